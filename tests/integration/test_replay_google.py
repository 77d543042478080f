"""Gemini's recorded streams, as dicts, as bodies and through the real client, sync and async, watched by llmlog.

What llmlog reads is held against each case's oracle; what the consumer gets against the bare client's chunks.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import httpx
import pytest
import replaying
from conftest import recorded, sdk
from replaying import replay

import llmlog
from llmlog import providers
from llmlog.answers import Answer

genai = sdk("google.genai")

PARTIAL = "arguments that come value by value (`partialArgs`): the oracle has the empty object that they start with"
UNCOUNTED = "its usage has no count of the prompt: llmlog counts that itself, and says that the figures are mixed"
WRONG = {
    "gemini/generate_content/Arize-ai_openinference__test_instrumentation-"
    "test_generate_content_with_file_uri_image-True__i0": UNCOUNTED,
    "gemini/generate_content/vercel_ai____fixtures__-google-stream-no-args-tool-call": PARTIAL,
    "gemini/generate_content/vercel_ai____fixtures__-google-stream-tool-call-arguments": PARTIAL,
    "vertex/generate_content/vercel_ai____fixtures__-google-vertex-stream-tool-call-arguments-nested.1": PARTIAL,
}


def modalities(details: Any, modality: str) -> int | None:
    found = [one.get("tokenCount", one.get("tokens")) for one in details if one["modality"].upper() == modality]
    return sum(found) if found else None


def content_tokens(usage: dict[str, Any]) -> dict[str, int | None]:
    prompt, candidates = usage.get("promptTokenCount"), usage.get("candidatesTokenCount")
    details = [*usage.get("promptTokensDetails", []), *usage.get("toolUsePromptTokensDetails", [])]
    tokens = {
        "output_tokens": (candidates or 0) + usage.get("thoughtsTokenCount", 0),
        "reasoning_tokens": usage.get("thoughtsTokenCount"),
        "cache_read_tokens": usage.get("cachedContentTokenCount"),
        "input_audio_tokens": modalities(details, "AUDIO"),
        "input_image_tokens": modalities(details, "IMAGE"),
    }
    if prompt is not None:
        tokens["input_tokens"] = prompt + usage.get("toolUsePromptTokenCount", 0)
    return tokens


def interaction_tokens(usage: dict[str, Any]) -> dict[str, int | None]:
    details = [*usage.get("input_tokens_by_modality", []), *usage.get("tool_use_tokens_by_modality", [])]
    return {
        "input_tokens": usage["total_input_tokens"] + usage["total_tool_use_tokens"],
        "output_tokens": usage["total_output_tokens"] + usage["total_thought_tokens"],
        "reasoning_tokens": usage["total_thought_tokens"],
        "cache_read_tokens": usage["total_cached_tokens"],
        "input_image_tokens": modalities(details, "IMAGE"),
    }


@dataclass(frozen=True)
class API:
    """Which cases are recorded, what their usage means, how the client is asked for such a stream."""

    provider: str
    api: str
    tokens: Callable[[dict[str, Any]], dict[str, int | None]]
    at_least: int

    @property
    def cases(self) -> dict[str, str]:
        return {"provider": self.provider, "api": self.api}

    def __str__(self) -> str:
        return f"{self.provider}-{self.api}"

    def open(self, body: bytes) -> Any:
        """A client to which the server answers every request with `body`."""
        transport = httpx.MockTransport(
            lambda request: httpx.Response(200, content=body, headers={"content-type": "text/event-stream"})
        )
        return genai.Client(
            api_key="test",
            vertexai=self.provider == "vertex",
            http_options=genai.types.HttpOptions(
                httpx_client=httpx.Client(transport=transport),
                httpx_async_client=httpx.AsyncClient(transport=transport),
            ),
        )

    def ask(self, client: Any) -> Any:
        """A streamed answer; `client.aio` has one to be awaited."""
        if self.api == "interactions":
            return client.interactions.create(model="gemini-2.5-flash", input="Hi", stream=True)
        return client.models.generate_content_stream(model="gemini-2.5-flash", contents="Hi")


APIS = [
    API("gemini", "generate_content", content_tokens, 31),
    API("vertex", "generate_content", content_tokens, 6),
    API("gemini", "interactions", interaction_tokens, 4),
]


@pytest.mark.parametrize("way", replaying.WAYS)
@pytest.mark.parametrize("api", APIS, ids=str)
def test_replay_without_the_client(
    cases: ModuleType,
    calls: Any,
    api: API,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The JSON as dicts, and the body as an HTTP client hands it on."""
    with capsys.disabled():
        replay(
            cases, calls, lambda case: replaying.of_framing(case, way)(case), api.tokens, api.cases,
            label=f"{api} ({way})", at_least=api.at_least, monkeypatch=monkeypatch, wrong=WRONG,
            provider=lambda case: "google" if way == "unnamed" else case.meta["provider"],
        )  # fmt: skip


def wire(case: Any) -> bytes:
    """The body as the server sent it; payloads saved without their framing get it back."""
    if case.meta["framing"] == "sse":
        return bytes(case.raw)
    return b"".join(map(framed, case.payloads()))


def framed(payload: dict[str, Any]) -> bytes:
    kind = payload.get("event_type")
    return (f"event: {kind}\n" if kind else "").encode() + b"data: " + json.dumps(payload).encode() + b"\n\n"


def sync(api: API, case: Any) -> None:
    bare = list(api.ask(api.open(wire(case))))
    assert list(llmlog.stream(api.ask(api.open(wire(case))))) == bare, case.id


async def asynchronous(api: API, case: Any) -> None:
    bare = list(api.ask(api.open(wire(case))))
    async with api.open(wire(case)).aio as client:
        assert [chunk async for chunk in llmlog.stream(await api.ask(client))] == bare, case.id


CLIENTS: dict[str, Callable[[API, Any], None]] = {
    "sync": sync,
    "async": lambda api, case: asyncio.run(asynchronous(api, case)),
}


@pytest.mark.parametrize("way", CLIENTS)
@pytest.mark.parametrize("api", APIS, ids=str)
def test_replay(
    cases: ModuleType,
    calls: Any,
    api: API,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every recorded stream through Google's client: figures as the oracle has them, chunks as the bare client's."""
    with capsys.disabled():
        replay(
            cases, calls, lambda case: CLIENTS[way](api, case), api.tokens, api.cases,
            label=f"{api} ({way} client)", at_least=api.at_least, monkeypatch=monkeypatch, wrong=WRONG,
            provider=lambda case: "google",
        )  # fmt: skip


def test_partial_arguments(cases: ModuleType, calls: Any) -> None:
    """Arguments that came value by value are put together, where the recorded oracles have none."""
    llmlog.configure(capture=replaying.ALL)
    found = {}
    for case in recorded(cases, api="generate_content", feature="partial_args"):
        calls.records.clear()
        list(llmlog.stream(case.payloads()))
        found[case.id.rpartition("-")[2]] = [json.loads(arguments) for arguments in calls.one()["tool_arguments"]]
    recipe = found.pop("nested.1")[0]["recipe"]
    assert found == {"call": [{}, {"id": "A"}, {"id": "B"}, {"id": "C"}],
                     "arguments": [{"location": "Boston"}, {"location": "San Francisco"}]}  # fmt: skip
    assert recipe["ingredients"][:2] == [
        {"amount": "16 oz", "name": "Lasagna noodles"},
        {"amount": "1 lb", "name": "Ground beef"},
    ]


@pytest.mark.parametrize("api", APIS, ids=str)
def test_cut(cases: ModuleType, calls: Any, api: API) -> None:
    """However early a stream is cut: a record, counts that never fall, and incomplete before the reason to finish."""
    for case in recorded(cases, **api.cases):
        payloads = case.payloads()
        before: dict[str, int] = {}
        for end in sorted({*range(0, len(payloads), max(1, len(payloads) // 8)), len(payloads)}):
            calls.records.clear()
            list(llmlog.stream(payloads[:end], provider=case.meta["provider"]))
            record = calls.one()
            sent = json.dumps(payloads[:end])
            finished = '"finishReason"' in sent or '"interaction.completed"' in sent
            assert record["outcome"] == ("completed" if finished else "incomplete"), (case.id, end)
            names = ("response_length", "reasoning_length", "tool_calls", "content_chunks", "chunks")
            counts = {name: record.get(name) or 0 for name in names}
            if not finished:  # the last word on the tokens is the provider's
                counts |= told(payloads[:end])
            assert all(counts[name] >= before.get(name, 0) for name in counts), (case.id, end)
            before = counts


def told(payloads: list[Any]) -> dict[str, int]:
    """The tokens that a stream has told of so far."""
    answer = Answer()
    for payload in payloads:
        reader = providers.UNKNOWN.pick(payload)
        reader.chunk(answer, payload)
    usage = reader.usage(answer.usage) if payloads else None
    return {name: tokens for name, tokens in usage.as_fields().items() if name != "total_tokens"} if usage else {}


def test_an_error_in_the_stream(calls: Any) -> None:
    """The client raises it; without a client, the chunk itself tells."""
    error = {"error": {"code": 429, "message": "Quota exceeded", "status": "RESOURCE_EXHAUSTED"}}
    chunk = {"candidates": [{"content": {"parts": [{"text": "Hello"}]}}], "modelVersion": "gemini-2.5-flash"}
    body = b"".join(map(framed, (chunk, error)))
    with pytest.raises(genai.errors.APIError):
        list(llmlog.stream(APIS[0].ask(APIS[0].open(body))))
    raised = calls.one()
    for chunks in ([chunk, error], [chunk, [error]], [body]):
        calls.records.clear()
        assert list(llmlog.stream(iter(chunks), provider="gemini")) == chunks
        told = calls.one()
        assert (told["outcome"], told["ended_by"], told["http_status"]) == ("error", "exhausted", 429)
        assert (told["error_type"], told["error_message"]) == ("RESOURCE_EXHAUSTED", "Quota exceeded")
    assert (raised["outcome"], raised["ended_by"]) == ("error", "exception")
    assert raised["error_type"].startswith("google.genai.errors.")
    assert raised["response_length"] == 5


@pytest.mark.parametrize("api", [APIS[0], APIS[2]], ids=str)
def test_a_whole_answer(calls: Any, api: API) -> None:
    """A whole answer, as the client's object and as the JSON: both in one form, with all figures."""
    if api.api == "interactions":
        body: dict[str, Any] = {
            "id": "v1_1", "object": "interaction", "model": "gemini-2.5-flash", "status": "completed",
            "created": "2026-05-13T20:35:42Z", "updated": "2026-05-13T20:35:42Z",
            "steps": [{"type": "thought", "summary": [{"type": "text", "text": "Hm"}]},
                      {"type": "model_output", "content": [{"type": "text", "text": "Hello"}]}],
            "usage": {"total_input_tokens": 5, "total_output_tokens": 3, "total_thought_tokens": 4, "total_tokens": 12},
        }  # fmt: skip
    else:
        parts = [{"text": "Hm", "thought": True}, {"text": "Hello"}]
        body = {
            "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 3, "thoughtsTokenCount": 4,
                              "totalTokenCount": 12},
            "modelVersion": "gemini-2.5-flash", "responseId": "v1_1",
        }  # fmt: skip
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=body))
    client = genai.Client(
        api_key="test", http_options=genai.types.HttpOptions(httpx_client=httpx.Client(transport=transport))
    )
    with llmlog.call() as call:
        if api.api == "interactions":
            call.finish(client.interactions.create(model="gemini-2.5-flash", input="Hi"))
        else:
            call.finish(client.models.generate_content(model="gemini-2.5-flash", contents="Hi"))
    seen = calls.one()
    calls.records.clear()
    with llmlog.call() as call:
        assert call.finish(body) is body
    for record in (seen, calls.one()):
        assert (record["provider"], record["operation"], record["outcome"]) == (
            "google", "generate_content", "completed",
        )  # fmt: skip
        assert (record["response_model"], record["response_id"]) == ("gemini-2.5-flash", "v1_1")
        assert (record["input_tokens"], record["output_tokens"], record["reasoning_tokens"]) == (5, 7, 4)
        assert (record["response_length"], record["reasoning_length"]) == (5, 2)
