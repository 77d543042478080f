"""OpenAI's other formats, recorded: responses, text completions, transcriptions; through the real client, and without.

What llmlog reads is held against each case's oracle; what the consumer gets against the bare client's chunks.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import replaying
from conftest import recorded, sdk
from replaying import messages, replay

openai = sdk("openai")

import test_replay as chat  # noqa: E402 - after the skip
from test_replay import API  # noqa: E402

import llmlog  # noqa: E402
from llmlog import providers  # noqa: E402
from llmlog.answers import Answer  # noqa: E402

NOT_JSON = "openai/responses/vercel_ai____fixtures__-parallel-tool-call-wrapper.1"
"""Its first and last payloads lack their last brace: the SDK raises at the first, and nothing was read."""

NOT_FOR_THE_HELPER = "bedrock_mantle/responses/crmne_ruby_llm__vcr_cassettes-providers_bedrock_mantle_responses_chat_streams_through_the_responses_surface__i0"  # noqa: E501
"""Its message's only part has the index 1: the SDK's helper raises an IndexError at its first piece."""


def response_tokens(usage: dict[str, Any]) -> dict[str, int | None]:
    used, made = usage.get("input_tokens_details") or {}, usage.get("output_tokens_details") or {}
    return {
        "input_tokens": usage["input_tokens"],
        "output_tokens": usage["output_tokens"],
        "total_tokens": usage["total_tokens"],
        "cache_read_tokens": used.get("cached_tokens"),
        "cache_write_tokens": used.get("cache_write_tokens"),
        "reasoning_tokens": made.get("reasoning_tokens"),
    }


def transcription_tokens(usage: dict[str, Any]) -> dict[str, int | None]:
    return {
        "input_tokens": usage["input_tokens"],
        "output_tokens": usage["output_tokens"],
        "input_audio_tokens": usage["input_token_details"]["audio_tokens"],
    }


RESPONSES = API(
    openai,
    "OpenAI",
    {"api": "responses"},
    create=lambda client, messages: client.responses.create(model="m", input=messages, stream=True),
    tokens=response_tokens,
    at_least=82,
)
COMPLETIONS = API(
    openai,
    "OpenAI",
    {"api": "completions"},
    create=lambda client, messages: client.completions.create(model="m", prompt="", stream=True),
    tokens=lambda usage: {
        "input_tokens": usage["prompt_tokens"],
        "output_tokens": usage["completion_tokens"],
    },
    at_least=8,
)
TRANSCRIPTIONS = API(
    openai,
    "OpenAI",
    {"api": "audio_transcriptions"},
    create=lambda client, messages: client.audio.transcriptions.create(model="m", file=b"", stream=True),
    tokens=transcription_tokens,
    at_least=1,
)
APIS = (RESPONSES, COMPLETIONS, TRANSCRIPTIONS)
OPERATIONS = {"completions": "text_completion", "audio_transcriptions": "transcription"}
WHOLE = ({"api": "responses", "feature": "terminal:response.completed"},
         {"api": "responses", "feature": "terminal:response.incomplete"})  # fmt: skip


@pytest.mark.parametrize(
    ("api", "way"), [pytest.param(api, way, id=f"{api.cases['api']}-{way}") for api in APIS for way in api.ways]
)
def test_replay(
    cases: ModuleType,
    calls: Any,
    api: API,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every recorded stream: figures as the oracle has them, chunks as the bare client gives them."""

    def watch(case: Any) -> None:
        chat.WAYS[way](api, case, messages(case))

    with capsys.disabled():
        replay(
            cases, calls, watch, api.tokens, api.cases,
            label=f"{api.cases['api']} ({way})", at_least=api.at_least, monkeypatch=monkeypatch,
            provider=lambda case: None if case.id == NOT_JSON else "openai",
            wrong=(NOT_JSON,),
        )  # fmt: skip


@pytest.mark.parametrize("way", replaying.WAYS)
@pytest.mark.parametrize("api", APIS, ids=lambda api: api.cases["api"])
def test_replay_without_the_client(
    cases: ModuleType,
    calls: Any,
    api: API,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The JSON as dicts, and the body as an HTTP client hands it on; each is known for the operation that it is."""
    operations = set()

    def watch(case: Any) -> None:
        replaying.of_framing(case, way)(case)
        operations.add(calls.one()["operation"])

    with capsys.disabled():
        replay(
            cases, calls, watch, api.tokens, api.cases,
            label=f"{api.cases['api']} ({way})", at_least=api.at_least, monkeypatch=monkeypatch,
            provider=lambda case: "openai" if way == "unnamed" else case.meta["provider"],
        )  # fmt: skip
    assert operations == {OPERATIONS.get(api.cases["api"], "chat")}


def helped(case: Any) -> None:
    """The SDK's helper, which sends its own events in the place of some of the API's."""
    with RESPONSES.open(chat.wire(case)) as client, client.responses.stream(model="m", input=[]) as source:
        bare = chat.drain(source)
    with RESPONSES.open(chat.wire(case)) as client, client.responses.stream(model="m", input=[]) as source:
        assert chat.drain(llmlog.stream(source, input=[])) == bare, case.id


async def helped_async(case: Any) -> None:
    with RESPONSES.open(chat.wire(case)) as client, client.responses.stream(model="m", input=[]) as source:
        bare = chat.drain(source)
    async with (
        RESPONSES.open(chat.wire(case), is_async=True) as client,
        client.responses.stream(model="m", input=[]) as source,
    ):
        assert await chat.adrain(llmlog.stream(source, input=[])) == bare, case.id


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")  # the SDK's own, of newer items
@pytest.mark.parametrize("way", [helped, lambda case: asyncio.run(helped_async(case))], ids=["sync", "async"])
def test_helper(
    cases: ModuleType,
    calls: Any,
    way: Callable[[Any], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`responses.stream()`: the same figures, the same events as without us."""
    with capsys.disabled():
        replay(
            cases, calls, way, response_tokens, RESPONSES.cases,
            label="responses (helper)", at_least=82, monkeypatch=monkeypatch,
            provider=lambda case: None if case.id == NOT_JSON else "openai", wrong=(NOT_JSON, NOT_FOR_THE_HELPER),
        )  # fmt: skip


def whole(case: Any) -> dict[str, Any]:
    """The response that ended the stream: what the same call would have had for its answer without one."""
    response: dict[str, Any] = case.payloads()[-1]["response"]
    return response


def answered(payload: dict[str, Any], ask: Callable[[Any], Any]) -> Any:
    """What the client gives for a whole answer."""
    http = getattr(openai._base_client, "httpx2", None) or openai._base_client.httpx
    transport = http.MockTransport(lambda request: http.Response(200, json=payload))
    with openai.OpenAI(api_key="sk-test", http_client=http.Client(transport=transport), max_retries=0) as client:
        return ask(client)


WHOLE_WAYS: dict[str, Callable[[Any], Any]] = {
    "dicts": whole,
    "create": lambda case: answered(whole(case), lambda client: client.responses.create(model="m", input="")),
    "parse": lambda case: answered(whole(case), lambda client: client.responses.parse(model="m", input="")),
}


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")  # the SDK's own, of newer items
@pytest.mark.parametrize("way", WHOLE_WAYS)
def test_whole_responses(
    cases: ModuleType,
    calls: Any,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The response that each stream ended with says by itself all that its events said."""

    def finish(case: Any) -> None:
        with llmlog.call(model="m") as call:
            response = WHOLE_WAYS[way](case)
            assert call.finish(response) is response
        assert calls.one()["outcome"] == "completed", case.id

    with capsys.disabled():
        replay(
            cases, calls, finish, response_tokens, *WHOLE,
            label=f"whole responses ({way})", at_least=81, monkeypatch=monkeypatch, provider=lambda case: "openai",
        )  # fmt: skip


def without(case: Any, *ends: str) -> list[Any]:
    """The case's events without those of these kinds."""
    return [payload for payload in case.payloads() if not payload["type"].endswith(ends)]


@pytest.mark.parametrize("left_out", [(".delta",), (".delta", ".done"), (".done",), (".added", ".done")], ids="+".join)
def test_events_that_did_not_come(
    cases: ModuleType,
    calls: Any,
    left_out: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What the missing events would have said is read from those that say it again, once."""
    with capsys.disabled():
        replay(
            cases, calls, lambda case: replaying.watch(case, without(case, *left_out), None), response_tokens, *WHOLE,
            label=f"responses without {' and '.join(left_out)}", at_least=81, monkeypatch=monkeypatch,
        )  # fmt: skip


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.cases["api"])
def test_cut_anywhere(cases: ModuleType, api: API) -> None:
    """After each event no figure is less than before it, and none but the last ones says that the answer is whole."""
    for case in recorded(cases, **api.cases):
        payloads = case.payloads()
        reader, read, before = providers.UNKNOWN.pick(payloads[0]), Answer(), (0, 0, 0, 0, 0)
        for place, payload in enumerate(payloads):
            assert not read.finished() or place >= len(payloads) - 2, case.id
            reader.chunk(read, payload)
            read.pack()
            arguments = sum(len(call.arguments) for call in read.tool_calls.values())
            now = (*read.size(), len(read.reasoning), len(read.tool_calls), arguments)
            assert all(one >= other for one, other in zip(now, before, strict=True)), case.id
            before = now
        assert read.finished() is case.meta["oracle"]["terminal"], case.id


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.cases["api"])
def test_cut_records(cases: ModuleType, calls: Any, api: API) -> None:
    """A stream that is cut has a record that says so, wherever it is."""
    for case in recorded(cases, **api.cases):
        payloads = case.payloads()
        places = [place for place, payload in enumerate(payloads) if not str(payload.get("type")).endswith("delta")]
        for place in [*places[1 : -1 : max(1, len(places) // 3)], len(payloads) - 1]:
            calls.records.clear()
            assert list(llmlog.stream(payloads[:place])) == payloads[:place]
            record = calls.one()
            told = any(
                choice.get("finish_reason") for payload in payloads[:place] for choice in payload.get("choices", ())
            )
            if place:
                assert record["outcome"] == ("completed" if told else "incomplete"), (case.id, place)
                assert (record["usage_source"], record["provider"]) == ("estimated", "openai")


def test_a_parsed_answer(calls: Any) -> None:
    """The helper's own objects, which hold the answer once more as the type that was asked for, are read the same."""
    import pydantic

    class City(pydantic.BaseModel):
        name: str

    text = '{"name":"Oslo"}'
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": text, "annotations": []}]}  # fmt: skip
    response = {"id": "resp_1", "object": "response", "model": "gpt-5", "output": [], "status": "in_progress"}
    usage = {"input_tokens": 9, "output_tokens": 5, "total_tokens": 14}
    done = {**response, "output": [item], "status": "completed", "usage": usage}
    at = {"output_index": 0, "content_index": 0, "item_id": "msg_1", "logprobs": []}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": response},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        {"type": "response.content_part.added", **at, "part": {**item["content"][0], "text": ""}},  # type: ignore[dict-item]
        *({"type": "response.output_text.delta", **at, "delta": piece} for piece in ('{"name":', '"Oslo"}')),
        {"type": "response.output_text.done", **at, "text": text},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": done},
    ]
    body = b"".join(
        chat.framed(json.dumps({**event, "sequence_number": number}).encode()) for number, event in enumerate(events)
    )

    async def ask() -> Any:
        async with RESPONSES.open(body, is_async=True) as client:
            async with client.responses.stream(model="m", input="", text_format=City) as source:
                async for _ in (stream := llmlog.stream(source)):
                    pass
                return (await stream.get_final_response()).output_parsed

    with (
        RESPONSES.open(body) as client,
        client.responses.stream(model="m", input="", text_format=City) as source,
    ):
        stream = llmlog.stream(source)
        assert [event.type for event in stream][-1] == "response.completed"
        assert stream.get_final_response().output_parsed == City(name="Oslo")
    assert asyncio.run(ask()) == City(name="Oslo")
    parsed = answered(done, lambda client: client.responses.parse(model="m", input="", text_format=City))
    with llmlog.call() as call:
        assert call.finish(parsed).output_parsed == City(name="Oslo")
    assert llmlog.flush()
    assert len(calls.records) == 3
    for record in map(vars, calls.records):
        assert (record["outcome"], record["response_length"], record["finish_reason"]) == (
            "completed",
            len(text),
            "completed",
        )
        assert (record["input_tokens"], record["output_tokens"], record["usage_source"]) == (9, 5, "provider")
        assert (record["provider"], record["response_model"], record["response_id"]) == ("openai", "gpt-5", "resp_1")


COMPLETION = {
    "id": "cmpl-1", "object": "text_completion", "created": 1, "model": "gpt-3.5-turbo-instruct",
    "choices": [{"text": "Hello", "index": 0, "logprobs": None, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
}  # fmt: skip
EMBEDDINGS = {
    "object": "list", "model": "text-embedding-3-small", "usage": {"prompt_tokens": 9, "total_tokens": 9},
    "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}],
}  # fmt: skip
TOKENS = {"type": "tokens", "input_tokens": 9, "output_tokens": 5, "total_tokens": 14,
          "input_token_details": {"audio_tokens": 9, "text_tokens": 0}}  # fmt: skip
SECONDS = {"type": "duration", "seconds": 3}
VERBOSE = {"task": "transcribe", "language": "english", "duration": 2.5, "text": "Hello", "segments": []}


def transcribe(client: Any, **options: Any) -> Any:
    return client.audio.transcriptions.create(model="m", file=b"", **options)


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # the SDK's own word for translations
@pytest.mark.parametrize(
    ("payload", "ask", "kind", "operation", "tokens"),
    [
        (COMPLETION, lambda client: client.completions.create(model="m", prompt=""),
         "Completion", "text_completion", (9, 5, "provider")),
        (EMBEDDINGS, lambda client: client.embeddings.create(model="m", input=""),
         "CreateEmbeddingResponse", "embeddings", (9, 0, "provider")),
        ({"text": "Hello", "usage": TOKENS}, transcribe, "Transcription", "transcription", (9, 5, "provider")),
        ({"text": "Hello", "usage": SECONDS}, transcribe, "Transcription", "transcription", (None, 1, "estimated")),
        ({"text": "Hello"}, transcribe, "Transcription", "transcription", (None, 1, "estimated")),
        ({**VERBOSE, "usage": SECONDS}, lambda client: transcribe(client, response_format="verbose_json"),
         "TranscriptionVerbose", "transcription", (None, 1, "estimated")),
        ({**VERBOSE, "usage": TOKENS}, lambda client: transcribe(client, response_format="diarized_json"),
         "TranscriptionDiarized", "transcription", (9, 5, "provider")),
        ({"text": "Hello"}, lambda client: client.audio.translations.create(model="m", file=b""),
         "Translation", "transcription", (None, 1, "estimated")),
        (VERBOSE, lambda client: client.audio.translations.create(model="m", file=b"", response_format="verbose_json"),
         "TranslationVerbose", "transcription", (None, 1, "estimated")),
    ],
)  # fmt: skip
def test_whole_answers(
    calls: Any, payload: dict[str, Any], ask: Any, kind: str, operation: str, tokens: tuple[Any, ...]
) -> None:
    """Each type of answer that the client gives is known for what it is."""
    response = answered(payload, ask)
    assert type(response).__name__ == kind
    with llmlog.call() as call:
        assert call.finish(response) is response
    record = calls.one()
    assert (record["provider"], record["operation"], record["outcome"]) == ("openai", operation, "completed")
    assert (record.get("input_tokens"), record["output_tokens"], record["usage_source"]) == tokens
    assert record["response_length"] == (0 if operation == "embeddings" else 5)
