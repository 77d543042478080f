"""LangChain's streams: recorded ones, and its newest integrations playing the recorded bodies of their providers.

What llmlog reads is held against the library's own sum of the chunks. Where that loses something, llmlog can have no
more: ChatOpenAI hands on neither reasoning nor which choice a piece belongs to, an older Anthropic's input tokens are
not handed on, and counts that a server sends as totals so far are added up.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import replaying
from conftest import recorded, sdk
from replaying import differences, first, parsed

import llmlog
from llmlog import captures, providers
from llmlog.answers import Answer
from llmlog.providers import langchain

messages = sdk("langchain_core.messages")

RECORDED = {"kind": "lib_streams", "provider": "langchain"}
REASONS = ("finish_reason", "stop_reason", "stopReason", "done_reason", "status")
PROVIDERS = {"azure_openai": "openai", "deepseek": "openai", "groq": "openai",  # by ChatOpenAI, which says that
             "gemini": "google", "cohere": None}  # fmt: skip
"""What LangChain tells of the provider, where it is not the provider's name."""


class Failed(Exception):
    """The library raised in the middle of the stream."""


def tokens(usage: dict[str, Any]) -> dict[str, int | None]:
    given, made = usage.get("input_token_details") or {}, usage.get("output_token_details") or {}
    return {
        "input_tokens": usage["input_tokens"],
        "output_tokens": usage["output_tokens"],
        "cache_read_tokens": first(given.get("cache_read"), given.get("flex_cache_read")),
        "cache_write_tokens": first(given.get("ephemeral_5m_input_tokens") or None, given.get("cache_creation")),
        "reasoning_tokens": first(made.get("reasoning"), made.get("flex_reasoning")),
        "input_audio_tokens": given.get("audio"),
        "output_audio_tokens": made.get("audio"),
    }


def once(name: str) -> str:
    """A name that was sent twice, and that LangChain has added to itself."""
    half = name[: len(name) // 2]
    return half if half * 2 == name else name


def told(chunks: list[dict[str, Any]], *names: str) -> str | None:
    """What the first chunk to tell it says."""
    return next(
        (found for chunk in chunks for name in names if (found := chunk["response_metadata"].get(name)) is not None),
        None,
    )


def oracle(chunks: list[dict[str, Any]], final: dict[str, Any], reasoning: str, error: str | None) -> dict[str, Any]:
    """What the library's own sum has, in the words of the other oracles."""
    reason = told(chunks, *REASONS)
    found = final["tool_calls"] + final["invalid_tool_calls"]
    calls = [{"name": once(call["name"] or ""), "arguments": json.dumps(call["args"])} for call in found]
    refusal = "".join(
        block["refusal"] for block in final["content"] if isinstance(block, dict) and block.get("type") == "refusal"
    )
    choice = {"text": final["_text"], "refusal": refusal, "reasoning": reasoning, "tool_calls": calls,
              "finish_reason": reason}  # fmt: skip
    return {
        "choices": [choice],
        "usage": final["usage_metadata"],
        "error": error,
        "terminal": bool(reason or final["usage_metadata"]),
        "model": told(chunks, "model_name", "model"),
    }


def chunks_of(case: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in case.raw.splitlines() if line.strip()]


def prepare(case: Any) -> list[dict[str, Any]]:
    """The chunks; and what the other cases have in their side files."""
    chunks = chunks_of(case)
    family = case.meta["derived_from"].split("/")[0]
    by_chat_openai = family in ("openai", "azure_openai", "deepseek", "groq") and "responses" not in case.id
    http = case.meta["http_oracle"]
    reasoning = "" if by_chat_openai else "".join(choice["reasoning"] for choice in http["choices"])
    case.meta["provider"] = family
    case.meta["oracle"] = oracle(chunks, case.meta["library_final"], reasoning, case.meta["library_error"])
    return chunks


def source(chunks: list[Any], error: str | None) -> Iterator[Any]:
    yield from chunks
    if error:
        raise Failed(error)


async def asource(chunks: list[Any], error: str | None) -> AsyncIterator[Any]:
    for chunk in source(chunks, error):
        yield chunk


def watch(case: Any, chunks: list[Any], name: str | None) -> None:
    got: list[Any] = []
    error = case.meta["library_error"]
    try:
        got.extend(llmlog.stream(source(chunks, error), provider=name))
    except Failed:
        assert error
    assert all(one is other for one, other in zip(got, chunks, strict=not error)), case.id


def objects(case: Any) -> list[Any]:
    return [messages.AIMessageChunk(**chunk) for chunk in prepare(case)]


async def awatch(case: Any, chunks: list[Any]) -> None:
    got: list[Any] = []
    error = case.meta["library_error"]
    try:
        async for chunk in llmlog.stream(asource(chunks, error)):
            got.append(chunk)  # noqa: PERF401 - what came before an error counts
    except Failed:
        assert error
    assert all(one is other for one, other in zip(got, chunks, strict=not error)), case.id


def whole(case: Any, *, dumped: bool) -> None:
    """The library's sum of the chunks as a whole message; of several choices it makes no sense."""
    chunks = objects(case)
    summed = chunks[0] + chunks[1:]
    if "multi_choice" in case.meta["features"]:
        case.meta["oracle"]["choices"][0]["finish_reason"] = told([summed.model_dump()], *REASONS)
        case.meta["oracle"]["model"] = None
    for call in (*summed.tool_calls, *summed.invalid_tool_calls):
        call["name"] = once(call["name"] or "")
    message = messages.message_chunk_to_message(summed)
    case.meta["oracle"]["error"] = None
    with llmlog.call() as call:
        call.finish(message.model_dump() if dumped else message)


WAYS: dict[str, Callable[[Any], None]] = {
    "dicts": lambda case: watch(case, prepare(case), "langchain"),
    "unnamed": lambda case: watch(case, prepare(case), None),
    "objects": lambda case: watch(case, objects(case), None),
    "async": lambda case: asyncio.run(awatch(case, objects(case))),
    "whole": lambda case: whole(case, dumped=False),
    "whole_dicts": lambda case: whole(case, dumped=True),
}


@pytest.mark.parametrize("way", WAYS)
def test_replay(
    cases: ModuleType, calls: Any, way: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every recorded stream: figures as the library's sum has them, and the provider that it names."""
    with capsys.disabled():
        replaying.replay(
            cases, calls, WAYS[way], tokens, RECORDED,
            label=f"langchain ({way})", at_least=70, monkeypatch=monkeypatch,
            provider=lambda case: PROVIDERS.get(case.meta["provider"], case.meta["provider"]),
        )  # fmt: skip


def test_cut(cases: ModuleType) -> None:
    """A stream that is cut anywhere is read, its counts only grow, and it is not whole before it says so."""
    for case in recorded(cases, **RECORDED):
        made, known = Answer(), (0, 0)
        has_ended = False
        for chunk in chunks_of(case):
            langchain.read_chunk(made, chunk)
            has_ended |= bool(chunk["chunk_position"] or told([chunk], *REASONS))
            assert not made.finished() or has_ended, case.id
            if made.usage is not None:
                usage = langchain.read_usage(made.usage)
                assert usage is not None
                now = (usage.input_tokens or 0, usage.output_tokens or 0)
                assert now >= known, case.id
                known = now


def test_no_other_format(cases: ModuleType) -> None:
    """Its chunks are in its own format and in no other."""
    for case in recorded(cases, **RECORDED):
        for chunk in (*chunks_of(case), *objects(case)):
            assert [one.name for one in providers.FORMATS if one.matches(chunk)] == ["langchain"]


# Live -----------------------------------------------------------------------------------------------


def framed(case: Any) -> bytes:
    """The body as the server sent it; payloads saved without their framing get it back."""
    if case.meta["framing"] == "sse":
        return bytes(case.raw)
    events = [(parsed(line), line) for line in map(bytes.strip, case.raw.splitlines()) if line]
    kinds = [(event.get("type") if isinstance(event, dict) else None, line) for event, line in events]
    return b"".join((f"event: {kind}\n".encode() if kind else b"") + b"data: " + line + b"\n\n" for kind, line in kinds)


def transport(sdk: ModuleType, body: bytes, kind: str = "text/event-stream") -> tuple[Any, Any]:
    """Two HTTP clients, sync and async, to which every request is answered with `body`."""
    http = getattr(sdk._base_client, "httpx2", None) or sdk._base_client.httpx
    made = http.MockTransport(lambda request: http.Response(200, content=body, headers={"content-type": kind}))
    return http.Client(transport=made), http.AsyncClient(transport=made)


def chat_openai(body: bytes, kind: str = "text/event-stream", **options: Any) -> Any:
    openai, library = sdk("openai"), sdk("langchain_openai")
    sync, asynchronous = transport(openai, body, kind)
    return library.ChatOpenAI(
        model="m", api_key="sk-test", http_client=sync, http_async_client=asynchronous, max_retries=0, **options
    )


def chat_anthropic(body: bytes, kind: str = "text/event-stream") -> Any:
    anthropic, library = sdk("anthropic"), sdk("langchain_anthropic")
    sync, asynchronous = transport(anthropic, body, kind)
    made = library.ChatAnthropic(model="m", api_key="sk-test", max_tokens=9)
    vars(made)["_client"] = anthropic.Anthropic(api_key="sk-test", http_client=sync, max_retries=0)
    vars(made)["_async_client"] = anthropic.AsyncAnthropic(api_key="sk-test", http_client=asynchronous, max_retries=0)
    return made


LIVE: dict[str, tuple[Callable[[bytes], Any], dict[str, str], int]] = {
    "openai": (lambda body: chat_openai(body, stream_usage=True), {"api": "chat_completions"}, 40),
    "responses": (lambda body: chat_openai(body, use_responses_api=True), {"api": "responses"}, 20),
    "anthropic": (chat_anthropic, {"api": "messages"}, 40),
}


def dumped(chunk: Any) -> dict[str, Any]:
    """A chunk without what differs from run to run."""
    made: dict[str, Any] = chunk.model_dump()
    return {name: value for name, value in made.items() if name != "id" or not str(value).startswith("lc_")}


def drain(stream: Any) -> tuple[list[Any], str | None]:
    """The chunks, with the error that ended them, if one did."""
    got: list[Any] = []
    try:
        got.extend(stream)
    except Exception as error:
        return got, f"{type(error).__name__}: {error}"
    return got, None


async def adrain(stream: Any) -> tuple[list[Any], str | None]:
    got: list[Any] = []
    try:
        async for chunk in stream:
            got.append(chunk)  # noqa: PERF401 - what came before an error counts
    except Exception as error:
        return got, f"{type(error).__name__}: {error}"
    return got, None


def reasoning_of(blocks: list[Any]) -> str:
    """What the library's own translation of the sum calls reasoning."""
    return "".join(block.get("reasoning", "") for block in blocks if block["type"] == "reasoning")


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")  # the SDK's, of what it does not know
@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("family", LIVE)
def test_live(
    cases: ModuleType,
    calls: Any,
    family: str,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The library's chunks are handed on as they are, and read as the library's own sum of them."""
    monkeypatch.setattr(captures, "redact", lambda value: value)  # what was read is under test here
    llmlog.configure(capture=replaying.ALL)
    chat, selection, at_least = LIVE[family]
    found: dict[str, Any] = {}
    replayed = 0
    for case in recorded(cases, provider="anthropic" if family == "anthropic" else "openai", **selection):
        body = framed(case)
        bare, error = drain(chat(body).stream("Hello"))
        calls.records.clear()
        if way == "sync":
            got, raised = drain(llmlog.stream(chat(body).stream("Hello")))
        else:
            got, raised = asyncio.run(adrain(llmlog.stream(chat(body).astream("Hello"))))
        assert ([*map(dumped, got)], raised) == ([*map(dumped, bare)], error), case.id
        assert llmlog.flush()
        record = vars(calls.records[0])
        assert len(calls.records) == 1
        replayed += 1
        if not bare:
            assert record["outcome"] == "error", case.id
            continue
        assert record["provider"] == ("anthropic" if family == "anthropic" else "openai")
        summed = bare[0] + bare[1:]
        dumps = [chunk.model_dump() for chunk in bare]
        expected = oracle(
            dumps, {**summed.model_dump(), "_text": str(summed.text)}, reasoning_of(summed.content_blocks), error
        )
        if different := differences(record, expected, tokens):
            found[case.id] = different
    with capsys.disabled():
        print(f"\nreplayed {replayed} streams: langchain live: {family} ({way})")
    assert replayed >= at_least
    assert not found, json.dumps(found, indent=1, default=str)


USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13, "prompt_tokens_details": {"cached_tokens": 2}}


def completion(*texts: str, **message: Any) -> bytes:
    choices = [
        {"index": index, "finish_reason": "stop", "message": {"role": "assistant", "content": text, **message}}
        for index, text in enumerate(texts)
    ]
    made = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
    return json.dumps({**made, "choices": choices, "usage": USAGE}).encode()


def test_invoke(calls: Any) -> None:
    """A whole message, and a result with several choices, each of which tells the usage of all."""
    with llmlog.call(model="gpt-4o-mini") as call:
        call.finish(chat_openai(completion("Hello"), "application/json").invoke("Say hello"))
    record = calls.one()
    assert (record["provider"], record["outcome"], record["response_id"]) == ("openai", "completed", "chatcmpl-1")
    assert (record["input_tokens"], record["cache_read_tokens"], record["output_tokens"]) == (9, 2, 4)
    assert (record["response_model"], record["response_length"]) == ("gpt-4o-mini-2024-07-18", 5)
    calls.records.clear()
    chat = chat_openai(completion("Hello", "Good day"), "application/json", n=2)
    with llmlog.call(model="gpt-4o-mini") as call:
        call.finish(chat.generate([[messages.HumanMessage("Say hello")]]))
    record = calls.one()
    assert (record["input_tokens"], record["output_tokens"], record["usage_source"]) == (9, 4, "provider")
    assert (record["response_length"], record["finish_reason"]) == (13, ["stop", "stop"])


def test_invoke_anthropic(calls: Any) -> None:
    """A whole message of Anthropic's, with thinking and a call of a tool."""
    content = [{"type": "thinking", "thinking": "Well", "signature": "c2ln"}, {"type": "text", "text": "Let me see."},
               {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}}]  # fmt: skip
    usage = {"input_tokens": 10, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 3, "output_tokens": 5}
    body = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5", "content": content,
            "stop_reason": "tool_use", "stop_sequence": None, "usage": usage}  # fmt: skip
    with llmlog.call() as call:
        call.finish(chat_anthropic(json.dumps(body).encode(), "application/json").invoke("How is the weather?"))
    record = calls.one()
    assert (record["provider"], record["response_model"], record["response_id"]) == (
        "anthropic", "claude-haiku-4-5", "msg_1",
    )  # fmt: skip
    assert (record["input_tokens"], record["cache_read_tokens"], record["cache_write_tokens"]) == (17, 4, 3)
    assert (record["output_tokens"], record["finish_reason"], record["tool_names"]) == (5, "tool_use", ["weather"])
    assert (record["response_length"], record["reasoning_length"]) == (11, 4)


def test_a_cut_stream(calls: Any) -> None:
    """LangChain marks a last chunk where there is no more, even of a stream that was cut: it is incomplete."""
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini"}
    choice = {"index": 0, "delta": {"role": "assistant", "content": "Hel"}, "finish_reason": None}
    body = b"data: " + json.dumps({**chunk, "choices": [choice]}).encode() + b"\n\n"
    chunks = list(llmlog.stream(chat_openai(body).stream("Say hello")))
    assert chunks[-1].chunk_position == "last"
    assert calls.one()["outcome"] == "incomplete"
