"""Mistral's recorded streams, through its real client and without it."""

from __future__ import annotations

import asyncio
import json
from types import ModuleType
from typing import Any

import pytest
import replaying
from conftest import Records, sdk
from replaying import messages, replay

mistralai = sdk("mistralai.client")

import httpx2 as httpx  # noqa: E402 - after the skip: the SDK's own

import llmlog  # noqa: E402

CHAT = {"provider": "mistral", "api": "chat_completions"}
ASKED = [{"role": "user", "content": "Hi"}]


def tokens(usage: dict[str, Any]) -> dict[str, int | None]:
    return {
        "input_tokens": usage.get("prompt_tokens"),
        "output_tokens": usage.get("completion_tokens"),
        "cache_read_tokens": (usage.get("prompt_tokens_details") or {}).get("cached_tokens"),
    }


def wire(case: Any) -> bytes:
    """The body as the server sent it; payloads saved without their framing get it back."""
    if case.meta["framing"] == "sse":
        return bytes(case.raw)
    return framed(*case.payloads())


def framed(*events: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events) + b"data: [DONE]\n\n"


def answering(body: bytes, kind: str = "text/event-stream") -> httpx.MockTransport:
    return httpx.MockTransport(lambda request: httpx.Response(200, content=body, headers={"content-type": kind}))


def client(body: bytes, kind: str = "text/event-stream") -> Any:
    return mistralai.Mistral(api_key="test", client=httpx.Client(transport=answering(body, kind)))


def async_client(body: bytes) -> Any:
    return mistralai.Mistral(api_key="test", async_client=httpx.AsyncClient(transport=answering(body)))


def sync(case: Any) -> None:
    with client(wire(case)) as bare:
        expected = list(bare.chat.stream(model="m", messages=ASKED))
    with client(wire(case)) as watched:
        stream = llmlog.stream(watched.chat.stream(model="m", messages=ASKED), model="m", input=messages(case) or ASKED)
        assert list(stream) == expected, case.id


async def asynchronous(case: Any) -> None:
    asked = messages(case) or ASKED
    async with async_client(wire(case)) as bare:
        expected = [event async for event in await bare.chat.stream_async(model="m", messages=ASKED)]
    async with async_client(wire(case)) as watched:
        source = await watched.chat.stream_async(model="m", messages=ASKED)
        assert [event async for event in llmlog.stream(source, model="m", input=asked)] == expected, case.id


WAYS = {"sync": sync, "async": lambda case: asyncio.run(asynchronous(case))}


@pytest.mark.parametrize("way", [*WAYS, *replaying.WAYS])
def test_replay(
    cases: ModuleType, calls: Records, way: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every recorded stream: figures as the oracle has them, chunks as the bare client gives them."""
    with capsys.disabled():
        replay(
            cases, calls, lambda case: (WAYS.get(way) or replaying.of_framing(case, way))(case), tokens, CHAT,
            label=f"chat_completions ({way})", at_least=12, monkeypatch=monkeypatch,
            provider=lambda case: "openai" if way == "unnamed" else "mistral",
        )  # fmt: skip


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "mistral-small-latest",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}  # fmt: skip


USAGE = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}


def test_tool_calls_without_an_index(calls: Records) -> None:
    """The client gives each of them the index 0; they are two all the same."""
    two = [{"id": f"call{n}", "function": {"name": name, "arguments": "{}"}} for n, name in enumerate("ab")]
    body = framed(
        chunk(role="assistant", content=""), {**chunk("tool_calls", content="", tool_calls=two), "usage": USAGE}
    )
    with client(body) as made:
        events = list(llmlog.stream(made.chat.stream(model="m", messages=ASKED)))
    assert [call.index for call in events[-1].data.choices[0].delta.tool_calls] == [0, 0]
    record = calls.one()
    assert (record["outcome"], record["tool_names"], record["input_tokens"]) == ("completed", ["a", "b"], 9)


STREAMS = {
    "chat": lambda made: made.chat.stream(model="m", messages=ASKED),
    "agents": lambda made: made.agents.stream(agent_id="a", messages=ASKED),
    "fim": lambda made: made.fim.stream(model="m", prompt="def f("),
}


@pytest.mark.parametrize("kind", STREAMS)
def test_what_streams(calls: Records, kind: str) -> None:
    """Chat, agents and fill-in-the-middle; content as text and as a list of parts."""
    thought = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}, {"type": "text", "text": "A"}]
    body = framed(chunk(content=thought), chunk(content="BC"), {**chunk("stop", content=""), "usage": USAGE})
    with client(body) as made:
        assert len(list(llmlog.stream(STREAMS[kind](made)))) == 3
    record = calls.one()
    assert (record["provider"], record["outcome"], record["finish_reason"]) == ("mistral", "completed", "stop")
    assert (record["response_length"], record["reasoning_length"]) == (3, 2)
    assert (record["output_tokens"], record["usage_source"]) == (5, "provider")


def test_a_whole_answer(calls: Records) -> None:
    """As the client's object and as JSON."""
    said = {"role": "assistant", "content": "Hi"}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "mistral-small-latest", "usage": USAGE,
            "choices": [{"index": 0, "finish_reason": "stop", "message": said}]}  # fmt: skip
    with client(json.dumps(body).encode(), "application/json") as made, llmlog.call(provider="mistral") as call:
        call.finish(made.chat.complete(model="m", messages=ASKED))
    records = [calls.one()]
    calls.records.clear()
    with llmlog.call(provider="mistral") as call:
        call.finish(body)
    for record in [*records, calls.one()]:
        assert (record["provider"], record["outcome"], record["response_length"]) == ("mistral", "completed", 2)
        assert (record["input_tokens"], record["output_tokens"]) == (9, 5)
