"""Recorded chat-completion streams through the real openai client, sync and async, wrapped by llmlog.

What llmlog reads is held against each case's oracle; what the consumer gets against the bare client's chunks.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from types import ModuleType
from typing import Any

import pytest
from conftest import recorded

openai = pytest.importorskip("openai")
httpx2 = pytest.importorskip("httpx2") if int(openai.__version__.split(".")[0]) >= 3 else pytest.importorskip("httpx")

import llmlog  # noqa: E402 - after the skips

KEY = "sk-test"
ORACLES_THAT_ARE_WRONG: dict[str, str] = {}
"""Case -> what the SDK's own output is; named in the closing note, never worked around in the code."""


def wire(case: Any) -> bytes:
    """The body as the server sent it; payloads saved without their framing get it back."""
    if case.meta["framing"] == "sse":
        return bytes(case.raw)
    return b"".join(b"data: " + line + b"\n\n" for line in case.raw.splitlines() if line.strip())


def transport(body: bytes) -> Any:
    """Answers every request with the recorded stream."""
    return httpx2.MockTransport(
        lambda request: httpx2.Response(200, content=body, headers={"content-type": "text/event-stream"})
    )


def bare(body: bytes) -> list[str]:
    """What the client gives without llmlog, as JSON, with the error that ended it, if one did."""
    client = openai.OpenAI(api_key=KEY, http_client=httpx2.Client(transport=transport(body)), max_retries=0)
    with client:
        return drain(client.chat.completions.create(model="m", messages=[], stream=True))


def drain(stream: Any) -> list[str]:
    got: list[str] = []
    try:
        got.extend(chunk.model_dump_json(warnings="none") for chunk in stream)
    except Exception as error:
        got.append(f"{type(error).__name__}: {error}")
    return got


def wrapped(body: bytes, messages: list[Any]) -> list[str]:
    client = openai.OpenAI(api_key=KEY, http_client=httpx2.Client(transport=transport(body)), max_retries=0)
    with llmlog.wrap(client, capture=10_000_000):
        stream = client.chat.completions.create(model="m", messages=messages, stream=True)
        assert isinstance(stream, openai.Stream)
        assert stream.response.status_code == 200
        return drain(stream)


async def awrapped(body: bytes, messages: list[Any]) -> list[str]:
    http = httpx2.AsyncClient(transport=transport(body))
    client = llmlog.wrap(openai.AsyncOpenAI(api_key=KEY, http_client=http, max_retries=0), capture=10_000_000)
    got = []
    async with client:
        stream = await client.chat.completions.create(model="m", messages=messages, stream=True)
        assert isinstance(stream, openai.AsyncStream)
        assert stream.response.status_code == 200
        try:
            async for chunk in stream:
                got.append(chunk.model_dump_json(warnings="none"))  # noqa: PERF401 - what came before an error counts
        except Exception as error:
            got.append(f"{type(error).__name__}: {error}")
    return got


def as_dicts(case: Any, messages: list[Any]) -> None:
    """The raw JSON, as dicts."""
    payloads = [payload for payload in case.payloads() if isinstance(payload, dict)]
    got = list(llmlog.stream(payloads, provider="openai", model="m", input=messages))
    assert all(one is other for one, other in zip(got, payloads, strict=True))


def differences(record: dict[str, Any], oracle: dict[str, Any]) -> dict[str, Any]:
    """Field -> (ours, the oracle's), where they differ."""
    choices = oracle["choices"]
    expected: dict[str, Any] = {
        "response_length": sum(len(choice["text"] or "") + len(choice["refusal"] or "") for choice in choices),
        "reasoning_length": sum(len(choice["reasoning"] or "") for choice in choices),
        "tool_names": [call["name"] for choice in choices for call in choice["tool_calls"]],
        "finish_reason": [choice["finish_reason"] for choice in choices if choice["finish_reason"]],
    }
    reason = record.get("finish_reason") or []
    ours: dict[str, Any] = {
        "response_length": record.get("response_length"),
        "reasoning_length": record.get("reasoning_length", 0),
        "tool_names": record.get("tool_names", []),
        "finish_reason": [reason] if isinstance(reason, str) else reason,
    }
    expected["arguments"] = [_json(call["arguments"]) for choice in choices for call in choice["tool_calls"]]
    ours["arguments"] = [_json(arguments) for arguments in record.get("tool_arguments", [])]
    texts = [choice["text"] or choice["refusal"] or "" for choice in choices]
    response = record.get("response", "")
    expected["text"] = [text for text in texts if text]
    ours["text"] = [text for text in ([response] if isinstance(response, str) else response) if text]
    if (usage := oracle["usage"]) is not None:
        expected["source"], ours["source"] = "provider", record.get("usage_source")
        expected["usage"] = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
        ours["usage"] = (record.get("input_tokens"), record.get("output_tokens"))
        details = usage.get("completion_tokens_details") or {}
        expected["reasoning_tokens"] = details.get("reasoning_tokens")
        ours["reasoning_tokens"] = record.get("reasoning_tokens")
        if expected["reasoning_tokens"] is None:
            expected["reasoning_tokens"] = usage.get("reasoning_tokens")
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
        expected["cached"] = cached if cached is not None else usage.get("prompt_cache_hit_tokens")
        ours["cached"] = record.get("cache_read_tokens")
    else:
        expected["source"], ours["source"] = "estimated", record.get("usage_source")
    if oracle["error"]:
        expected["outcome"], ours["outcome"] = "error", record["outcome"]
    elif record["outcome"] == "incomplete":
        expected["outcome"], ours["outcome"] = oracle["terminal"], False
    else:
        expected["outcome"], ours["outcome"] = "completed", record["outcome"]
    for name in ("model", "id"):
        if oracle.get(name):
            key = {"model": "response_model", "id": "response_id"}[name]
            expected[name], ours[name] = oracle[name], record.get(key)
    return {name: (ours[name], wanted) for name, wanted in expected.items() if ours[name] != wanted}


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text


@pytest.mark.parametrize("way", ["sync", "async", "dicts"])
def test_replay(
    cases: ModuleType, calls: Any, way: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every recorded chat-completion stream: figures as the oracle has them, chunks as the bare client gives them."""
    from llmlog import summary

    monkeypatch.setattr(summary, "redact", lambda value: value)  # what was read is under test here, not redaction
    llmlog.configure(capture=10_000_000)
    replayed: Counter[str] = Counter()
    wrong: dict[str, Any] = {}
    for case in recorded(cases, api="chat_completions"):
        body, messages = wire(case), (case.meta["request"]["body"] or {}).get("messages") or []
        calls.records.clear()
        if way == "dicts":
            as_dicts(case, messages)
        else:
            got = wrapped(body, messages) if way == "sync" else asyncio.run(awrapped(body, messages))
            assert got == bare(body), f"{case.id}: the consumer got something else than from the bare client"
        assert llmlog.flush()
        assert len(calls.records) == 1, case.id
        record = vars(calls.records[0])
        assert record["levelno"] == {"completed": logging.INFO, "incomplete": logging.WARNING}.get(
            record["outcome"], logging.ERROR
        )
        replayed[case.meta["provider"]] += 1
        if found := differences(record, case.meta["oracle"]):
            wrong[case.id] = found
    with capsys.disabled():
        print(f"\nreplayed {replayed.total()} chat-completion streams ({way}): {dict(replayed)}")
    assert replayed.total() > 100
    assert len(ORACLES_THAT_ARE_WRONG) <= replayed.total() * 0.01
    wrong = {name: found for name, found in wrong.items() if name not in ORACLES_THAT_ARE_WRONG}
    assert not wrong, json.dumps(wrong, indent=1, default=str)
