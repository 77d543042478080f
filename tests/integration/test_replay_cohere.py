"""Cohere's recorded streams, through its real clients and without them; version 1 from what its reference shows."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any

import pytest
import replaying
from conftest import Records, sdk
from replaying import first, messages, parsed, replay

cohere = sdk("cohere")

import httpx  # noqa: E402 - after the skip: the SDK's own

import llmlog  # noqa: E402

V2 = {"provider": "cohere", "api": "v2_chat"}
ASKED = [{"role": "user", "content": "Hi"}]


def tokens(usage: dict[str, Any]) -> dict[str, int | None]:
    told, billed = usage.get("tokens") or {}, usage.get("billed_units") or {}
    return {
        "input_tokens": first(billed.get("input_tokens"), told.get("input_tokens")),
        "output_tokens": first(billed.get("output_tokens"), told.get("output_tokens")),
        "cache_read_tokens": None if "input_tokens" in billed else usage.get("cached_tokens"),
    }


def transport(body: bytes, kind: str) -> httpx.MockTransport:
    return httpx.MockTransport(lambda request: httpx.Response(200, content=body, headers={"content-type": kind}))


@contextlib.contextmanager
def client(body: bytes, kind: str = "text/event-stream", name: str = "ClientV2") -> Iterator[Any]:
    with httpx.Client(transport=transport(body, kind)) as http:
        yield getattr(cohere, name)(api_key="test", httpx_client=http)


@contextlib.asynccontextmanager
async def async_client(body: bytes, kind: str = "text/event-stream", name: str = "AsyncClientV2") -> AsyncIterator[Any]:
    async with httpx.AsyncClient(transport=transport(body, kind)) as http:
        yield getattr(cohere, name)(api_key="test", httpx_client=http)


def wire(case: Any) -> bytes:
    """The body as the server sent it; payloads saved without their framing get it back."""
    if case.meta["framing"] == "sse":
        return bytes(case.raw)
    return framed(*case.payloads())


def framed(*events: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def lines(*events: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def sync(case: Any) -> None:
    asked = messages(case) or ASKED
    with client(wire(case)) as bare:
        expected = list(bare.chat_stream(model="m", messages=ASKED))
    with client(wire(case)) as watched:
        stream = llmlog.stream(watched.chat_stream(model="m", messages=ASKED), model="m", input=asked)
        assert list(stream) == expected, case.id


async def asynchronous(case: Any) -> None:
    asked = messages(case) or ASKED
    async with async_client(wire(case)) as bare:
        expected = [chunk async for chunk in bare.chat_stream(model="m", messages=ASKED)]
    async with async_client(wire(case)) as watched:
        stream = llmlog.stream(watched.chat_stream(model="m", messages=ASKED), model="m", input=asked)
        assert [chunk async for chunk in stream] == expected, case.id


WAYS = {"sync": sync, "async": lambda case: asyncio.run(asynchronous(case))}


@pytest.mark.parametrize("way", [*WAYS, *replaying.WAYS])
def test_replay(
    cases: ModuleType, calls: Records, way: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every recorded stream: figures as the oracle has them, chunks as the bare client gives them."""
    with capsys.disabled():
        replay(
            cases, calls, lambda case: (WAYS.get(way) or replaying.of_framing(case, way))(case), tokens, V2,
            label=f"v2_chat ({way})", at_least=9, monkeypatch=monkeypatch, provider=lambda case: "cohere",
        )  # fmt: skip


META = {"api_version": {"version": "1"}, "billed_units": {"input_tokens": 7, "output_tokens": 3},
        "tokens": {"input_tokens": 73, "output_tokens": 4}}  # fmt: skip
CHAT = [
    {"is_finished": False, "event_type": "stream-start", "generation_id": "g-1"},
    {"is_finished": False, "event_type": "search-results", "documents": [{"id": "d", "text": "x"}]},
    {"is_finished": False, "event_type": "text-generation", "text": "Hello"},
    {"is_finished": False, "event_type": "text-generation", "text": " world"},
    {"is_finished": False, "event_type": "citation-generation",
     "citations": [{"start": 0, "end": 5, "text": "Hello", "document_ids": ["d"]}]},
    {"is_finished": True, "event_type": "stream-end", "finish_reason": "COMPLETE",
     "response": {"response_id": "r-1", "text": "Hello world", "generation_id": "g-1", "chat_history": [],
                  "finish_reason": "COMPLETE", "meta": META}},
]  # fmt: skip
PLAN = "I will look."
TOOLS = [
    {"is_finished": False, "event_type": "stream-start", "generation_id": "g-1"},
    {"is_finished": False, "event_type": "tool-calls-chunk", "text": "I will"},
    {"is_finished": False, "event_type": "tool-calls-chunk", "tool_call_delta": {"text": " look."}},
    {"is_finished": False, "event_type": "tool-calls-chunk", "tool_call_delta": {"name": "weather", "index": 0}},
    {"is_finished": False, "event_type": "tool-calls-chunk", "tool_call_delta": {"parameters": '{"city":', "index": 0}},
    {"is_finished": False, "event_type": "tool-calls-chunk", "tool_call_delta": {"parameters": '"Oslo"}', "index": 0}},
    {"is_finished": False, "event_type": "tool-calls-generation", "text": PLAN,
     "tool_calls": [{"name": "weather", "parameters": {"city": "Oslo"}}]},
    {"is_finished": True, "event_type": "stream-end", "finish_reason": "COMPLETE",
     "response": {"response_id": "r-1", "text": PLAN, "generation_id": "g-1", "finish_reason": "COMPLETE",
                  "tool_calls": [{"name": "weather", "parameters": {"city": "Oslo"}}], "meta": META}},
]  # fmt: skip
GENERATE = [
    {"text": "Hello", "is_finished": False, "event_type": "text-generation"},
    {"text": " world", "is_finished": False, "event_type": "text-generation"},
    {"is_finished": True, "event_type": "stream-end", "finish_reason": "COMPLETE",
     "response": {"id": "g-1", "prompt": "Hi",
                  "generations": [{"id": "1", "text": "Hello world", "finish_reason": "COMPLETE"}]}},
]  # fmt: skip
V1 = {
    "chat": (CHAT, lambda made: made.chat_stream(model="m", message="Hi")),
    "tools": (TOOLS, lambda made: made.chat_stream(model="m", message="Hi")),
    "generate": (GENERATE, lambda made: made.generate_stream(prompt="Hi")),
}


def seen_in(record: dict[str, Any]) -> list[Any]:
    names = ("provider", "outcome", "finish_reason", "response_id", "response_length", "tool_names", "input_tokens")
    return [record.get(name) for name in names]


@pytest.mark.parametrize("script", V1)
@pytest.mark.parametrize("is_async", [False, True])
def test_version_1(calls: Records, script: str, is_async: bool) -> None:
    """Its older client's events: read as their JSON is, and handed on as the bare client gives them."""
    events, create = V1[script]

    async def asynchronous() -> None:
        async with async_client(lines(*events), "application/stream+json", "AsyncClient") as made:
            expected = [event async for event in create(made)]
        async with async_client(lines(*events), "application/stream+json", "AsyncClient") as made:
            assert [event async for event in llmlog.stream(create(made))] == expected

    if is_async:
        asyncio.run(asynchronous())
    else:
        with client(lines(*events), "application/stream+json", "Client") as made:
            expected = list(create(made))
        with client(lines(*events), "application/stream+json", "Client") as made:
            assert list(llmlog.stream(create(made))) == expected
    record = calls.one()
    calls.records.clear()
    assert list(llmlog.stream(events)) == events
    assert seen_in(record) == seen_in(calls.one())
    length, names = (len(PLAN), ["weather"]) if script == "tools" else (len("Hello world"), None)
    assert seen_in(record)[:6] == ["cohere", "completed", "COMPLETE", "g-1", length, names]
    assert seen_in(record)[6] == (None if script == "generate" else 7)


V2_ANSWER = {
    "id": "c-1", "finish_reason": "COMPLETE",
    "message": {"role": "assistant",
                "content": [{"type": "thinking", "thinking": "Hm"}, {"type": "text", "text": "Hi"}]},
    "usage": {"billed_units": {"input_tokens": 3, "output_tokens": 2}, "cached_tokens": 40,
              "tokens": {"input_tokens": 50, "output_tokens": 5}},
}  # fmt: skip
V1_ANSWER: dict[str, Any] = CHAT[-1]["response"]  # type: ignore[assignment]
GENERATED = {"id": "g-1", "prompt": "Hi", "generations": [{"id": "1", "text": "Hello"}], "meta": META}
EMBEDDED = {"id": "e-1", "embeddings": {"float": [[0.1, 0.2]]}, "texts": ["Hi"], "response_type": "embeddings_by_type",
            "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 2}}}  # fmt: skip
WHOLE = {
    "v2": (V2_ANSWER, "ClientV2", lambda made: made.chat(model="m", messages=ASKED), 2, 3, "chat"),
    "v1": (V1_ANSWER, "Client", lambda made: made.chat(model="m", message="Hi"), 11, 7, "chat"),
    "generate": (GENERATED, "Client", lambda made: made.generate(prompt="Hi"), 5, 7, "chat"),
    "embeddings": (
        EMBEDDED, "ClientV2",
        lambda made: made.embed(model="m", texts=["Hi"], input_type="search_query", embedding_types=["float"]),
        0, 2, "embeddings",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_answers(calls: Records, kind: str) -> None:
    """As the client's objects and as JSON: what was asked for, text and tokens."""
    body, name, create, length, given, operation = WHOLE[kind]
    with client(json.dumps(body).encode(), "application/json", name) as made, llmlog.call(model="m") as call:
        call.finish(create(made))
    records = [calls.one()]
    calls.records.clear()
    with llmlog.call(model="m", provider="cohere") as call:
        call.finish(parsed(json.dumps(body)))
    for record in [*records, calls.one()]:
        assert (record["provider"], record["operation"], record["outcome"]) == ("cohere", operation, "completed")
        assert (record["response_length"], record["input_tokens"], record["response_id"]) == (
            length,
            given,
            body.get("id", "g-1"),
        )
        assert record["usage_source"] == "provider"
