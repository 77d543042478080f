"""Recorded streams, replayed: what llmlog has read is held against each case's oracle."""

from __future__ import annotations

import gc
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import pytest
from conftest import recorded

import llmlog
from llmlog import captures

ALL = 10_000_000
Tokens = Callable[[dict[str, Any]], dict[str, int | None]]
"""An oracle's usage, the provider's own -> the record's fields, as they should be."""


def first(*counts: int | None) -> int | None:
    """The first count that is known."""
    return next((count for count in counts if count is not None), None)


def replay(
    cases: ModuleType,
    records: Any,
    way: Callable[[Any], object],
    tokens: Tokens,
    *selections: dict[str, Any],
    label: str,
    at_least: int,
    monkeypatch: pytest.MonkeyPatch,
    provider: Callable[[Any], str | None] | None = None,
    wrong: Iterable[str] = (),
) -> None:
    """Every case of the selections by `way`: one record each, figures as the oracle has them; prints how many.

    `provider`: what the record should say for a case. `wrong`: ids of the oracles that are wrong, which the test names
    with the reason.
    """
    monkeypatch.setattr(captures, "redact", lambda value: value)  # what was read is under test here
    llmlog.configure(capture=ALL)
    replayed: Counter[str] = Counter()
    found: dict[str, Any] = {}
    for case in (case for selection in selections for case in recorded(cases, **selection)):
        records.records.clear()
        way(case)
        assert llmlog.flush()
        assert len(records.records) == 1, case.id
        record = vars(records.records[0])
        assert record["levelno"] == {"completed": logging.INFO, "incomplete": logging.WARNING}.get(
            record["outcome"], logging.ERROR
        ), case.id
        assert "unread_chunks" not in record, case.id
        if provider is not None:
            assert record.get("provider") == provider(case), case.id
        if not replayed:
            gc.collect()
            gc.freeze()  # what the first one has imported, the collections of the others need not look at
        replayed[case.meta["provider"]] += 1
        if case.id not in wrong and (different := differences(record, case.meta["oracle"], tokens)):
            found[case.id] = different
    print(f"\nreplayed {replayed.total()} streams: {label}: {dict(replayed)}")
    assert replayed.total() >= at_least
    assert not found, json.dumps(found, indent=1, default=str)


def differences(record: dict[str, Any], oracle: dict[str, Any], tokens: Tokens) -> dict[str, Any]:
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
    expected["arguments"] = [parsed(call["arguments"]) for choice in choices for call in choice["tool_calls"]]
    ours["arguments"] = [parsed(arguments) for arguments in record.get("tool_arguments", [])]
    texts = [choice["text"] or choice["refusal"] or "" for choice in choices]
    response = record.get("response", "")
    expected["text"] = [text for text in texts if text]
    ours["text"] = [text for text in ([response] if isinstance(response, str) else response) if text]
    if (usage := oracle["usage"]) is not None:
        expected["source"], ours["source"] = "provider", record.get("usage_source")
        expected |= tokens(usage)
        ours |= {name: record.get(name) for name in tokens(usage)}
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


def parsed(text: Any) -> Any:
    """JSON as its value; what is none as it is."""
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text


# Ways without an SDK ------------------------------------------------------------------------------


def messages(case: Any) -> list[Any]:
    """What was asked, where it was recorded as messages."""
    body = case.meta["request"]["body"]
    found = body.get("messages") if isinstance(body, dict) else None
    return found if isinstance(found, list) else []


def watch(case: Any, chunks: list[Any], provider: str | None) -> None:
    """`chunks` through `llmlog.stream()`: handed on one by one, as they are."""
    got = list(llmlog.stream(iter(chunks), provider=provider, model="m", input=messages(case)))
    assert all(one is other for one, other in zip(got, chunks, strict=True)), case.id


def dicts(case: Any) -> None:
    """The raw JSON, as dicts, with the provider's name."""
    watch(case, case.payloads(), case.meta["provider"])


def unnamed(case: Any) -> None:
    """The raw JSON, as dicts, known by its shape."""
    watch(case, case.payloads(), None)


def pieces(case: Any) -> None:
    """The body in pieces of bytes, cut anywhere."""
    watch(case, list(case.http_chunks(seed=len(case.id))), case.meta["provider"])


def lines(case: Any) -> None:
    """The body line by line, without their ends: httpx' `iter_lines()`."""
    watch(case, case.raw.decode("utf-8", "replace").splitlines(), case.meta["provider"])


def byte_lines(case: Any) -> None:
    """The body line by line, with their ends: aiohttp's `content`."""
    watch(case, case.raw.splitlines(keepends=True), case.meta["provider"])


BODY = {"pieces": pieces, "lines": lines, "byte_lines": byte_lines}
"""For cases that are a streamed body: server-sent events, JSON lines, a JSON array."""
WAYS: dict[str, Callable[[Any], None]] = {"dicts": dicts, "unnamed": unnamed, **BODY}


def of_framing(case: Any, way: str) -> Callable[[Any], None]:
    """`way`, or dicts for a case that was recorded as payloads and not as a body."""
    return dicts if way in BODY and case.meta["framing"] not in ("sse", "ndjson", "json_array") else WAYS[way]
