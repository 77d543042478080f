"""Ollama's recorded streams of its own API, through its real clients and without them."""

from __future__ import annotations

import asyncio
import json
from types import ModuleType
from typing import Any

import pytest
import replaying
from conftest import Records, recorded, sdk
from replaying import replay

ollama = sdk("ollama")

import httpx  # noqa: E402 - after the skip: the SDK's own

import llmlog  # noqa: E402

NATIVE = [{"provider": "ollama", "api": "native_chat"}, {"provider": "ollama", "api": "native_generate"}]
PROMPT_CACHED = (
    "ollama/native_generate/traceloop_openllmetry__test_generation-test_ollama_async_streaming_generation_legacy__i0"
)
"""Its usage has no count of the prompt, so that half of the record's is estimated, and marked; the oracle says all."""


def tokens(usage: dict[str, Any]) -> dict[str, int | None]:
    return {"input_tokens": usage.get("prompt_eval_count"), "output_tokens": usage.get("eval_count")}


def transport(body: bytes) -> httpx.MockTransport:
    headers = {"content-type": "application/x-ndjson"}
    return httpx.MockTransport(lambda request: httpx.Response(200, content=body, headers=headers))


def wire(case: Any) -> bytes:
    """The body without what a proxy has put behind it, which the client takes for a broken answer."""
    return b"".join(line for line in case.raw.splitlines(keepends=True) if b'"done"' in line)


def create(client: Any, case: Any) -> Any:
    body = case.meta["request"]["body"]
    if "messages" in body:
        return client.chat(model="m", messages=body["messages"], stream=True)
    return client.generate(model="m", prompt=body["prompt"], stream=True)


def sync(case: Any) -> None:
    expected = list(create(ollama.Client(transport=transport(wire(case))), case))
    source = create(ollama.Client(transport=transport(wire(case))), case)
    assert list(llmlog.stream(source, model="m", input="Hi")) == expected, case.id


async def asynchronous(case: Any) -> None:
    bare = await create(ollama.AsyncClient(transport=transport(wire(case))), case)
    expected = [chunk async for chunk in bare]
    source = await create(ollama.AsyncClient(transport=transport(wire(case))), case)
    assert [chunk async for chunk in llmlog.stream(source, model="m", input="Hi")] == expected, case.id


WAYS = {"sync": sync, "async": lambda case: asyncio.run(asynchronous(case))}


@pytest.mark.parametrize("way", [*WAYS, *replaying.WAYS])
def test_replay(
    cases: ModuleType, calls: Records, way: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every recorded stream: figures as the oracle has them, chunks as the bare client gives them."""
    with capsys.disabled():
        replay(
            cases, calls, lambda case: (WAYS.get(way) or replaying.of_framing(case, way))(case), tokens, *NATIVE,
            label=f"native ({way})", at_least=4, monkeypatch=monkeypatch, provider=lambda case: "ollama",
            wrong=[PROMPT_CACHED],
        )  # fmt: skip


def test_a_prompt_that_was_cached(cases: ModuleType, calls: Records) -> None:
    """Its tokens are not told: counted where the caller gives the prompt, absent where not; the output's are told."""
    for case in recorded(cases, ids=[PROMPT_CACHED]):
        assert list(llmlog.stream(case.payloads(), input="Tell me a joke about OpenTelemetry"))
        counted = calls.one()
        calls.records.clear()
        assert list(llmlog.stream(case.payloads()))
        unknown = calls.one()
        assert 5 <= counted["input_tokens"] <= 20
        assert "input_tokens" not in unknown
        for record in (counted, unknown):
            assert (record["outcome"], record["output_tokens"]) == ("completed", 58)
        assert counted["usage_source"] == "mixed"


def test_chat_completions_under_its_name(cases: ModuleType, calls: Records) -> None:
    """What comes from its OpenAI-compatible API is read by its shape."""
    for case in recorded(cases, provider="ollama", api="chat_completions"):
        calls.records.clear()
        replaying.dicts(case)
        record = calls.one()
        choice = case.meta["oracle"]["choices"][0]
        assert (record["provider"], record["outcome"]) == ("ollama", "completed")
        assert record["response_length"] == len(choice["text"])


CHAT = {"model": "qwen3", "created_at": "2025-01-01T00:00:00Z", "done": True, "done_reason": "stop",
        "message": {"role": "assistant", "content": "Hi", "thinking": "Hm",
                    "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
        "prompt_eval_count": 9, "eval_count": 5}  # fmt: skip
GENERATED = {"model": "qwen3", "created_at": "2025-01-01T00:00:00Z", "done": True, "done_reason": "stop",
             "response": "Hi", "prompt_eval_count": 9, "eval_count": 5}  # fmt: skip
EMBEDDED = {"model": "all-minilm", "embeddings": [[0.1, 0.2]], "total_duration": 1, "prompt_eval_count": 9}
WHOLE = {
    "chat": (CHAT, lambda client: client.chat(model="m", messages=[{"role": "user", "content": "Hi"}])),
    "generate": (GENERATED, lambda client: client.generate(model="m", prompt="Hi")),
    "embeddings": (EMBEDDED, lambda client: client.embed(model="m", input="Hi")),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_answers(calls: Records, kind: str) -> None:
    """As the client's objects and as JSON: what was asked for, text, tools and tokens."""
    body, ask = WHOLE[kind]
    client = ollama.Client(transport=transport(json.dumps(body).encode()))
    with llmlog.call() as call:
        call.finish(ask(client))
    records = [calls.one()]
    calls.records.clear()
    with llmlog.call(provider="ollama") as call:
        call.finish(body)
    for record in [*records, calls.one()]:
        assert record["operation"] == ("embeddings" if kind == "embeddings" else "chat")
        assert (record["provider"], record["outcome"]) == ("ollama", "completed")
        assert (record["response_model"], record["input_tokens"]) == (body["model"], 9)
        assert record["response_length"] == (0 if kind == "embeddings" else 2)
        assert record.get("tool_names") == (["weather"] if kind == "chat" else None)
        assert record["usage_source"] == "provider"


def test_an_error_in_the_stream(calls: Records) -> None:
    """The client raises it; without a client, its line tells."""
    lines = [{"model": "m", "created_at": "x", "response": "Hi", "done": False}, {"error": "out of memory"}]
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    client = ollama.Client(transport=transport(body))
    with pytest.raises(ollama.ResponseError):
        list(llmlog.stream(client.generate(model="m", prompt="Hi", stream=True)))
    raised = calls.one()
    calls.records.clear()
    assert list(llmlog.stream(lines)) == lines
    told = calls.one()
    assert (raised["outcome"], raised["ended_by"]) == ("error", "exception")
    assert (told["outcome"], told["error_message"]) == ("error", "out of memory")
