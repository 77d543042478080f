"""Mistral's SDK: its events, and the chat completion chunks in them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Records, answer, chunk, usage_chunk
from test_cohere import objects

import llmlog
from llmlog import providers
from llmlog.answers import Answer
from llmlog.providers import mistral, openai
from llmlog.usage import Usage

SCRIPT = [
    chunk("", role="assistant"),
    chunk("Hello"),
    chunk([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}, {"type": "text", "text": " world"}]),  # type: ignore[arg-type]
    {**chunk("", finish="stop"), "usage": usage_chunk(9, 5)["usage"]},
]  # fmt: skip


def event(data: Any) -> dict[str, Any]:
    return {"data": data}


def seen(made: Answer) -> tuple[Any, ...]:
    usage = None if made.usage is None else mistral.PROVIDER.usage(made.usage)
    tools = [(call.id, call.name, str(call.arguments)) for call in made.tool_calls.values()]
    return str(made.texts[0]), str(made.reasoning), made.finish_reasons, made.content_chunks, usage, tools


def read(*chunks: dict[str, Any]) -> Answer:
    """What is read of events, as dicts and as objects: the same as of the chunks without them."""
    made, others = Answer(), (Answer(), Answer())
    for one in chunks:
        openai.read_chunk(made, one)
        mistral.read_chunk(others[0], event(one))
        whole = objects(event({"usage": None, **one}))
        for choice in whole.data.choices:
            choice.delta.tool_calls = getattr(choice.delta, "tool_calls", None)
        (mistral._quick(others[1], whole) or mistral.read_chunk)(others[1], whole)
    assert seen(others[0]) == seen(others[1]) == seen(made)
    return made


def test_a_stream() -> None:
    """Text, thinking, reason and usage, content as text or as a list of parts."""
    assert seen(read(*SCRIPT)) == ("Hello world", "Hm", {0: "stop"}, 2, Usage(9, 5), [])


def test_tool_calls() -> None:
    """Each under its index, or under its id where it has none."""
    two = [{"id": name, "function": {"name": name, "arguments": "{}"}} for name in "ab"]
    assert seen(read(chunk("", tool_calls=two)))[5] == [("a", "a", "{}"), ("b", "b", "{}")]
    parts = [{"index": 0, "id": "a", "function": {"name": "f", "arguments": piece}} for piece in ('{"x":', " 1}")]
    assert seen(read(*(chunk("", tool_calls=[part]) for part in parts)))[5] == [("a", "f", '{"x": 1}')]


@pytest.mark.parametrize("provider", ["mistral", "mistral_ai"])
@pytest.mark.parametrize("wrapped", [True, False])
def test_under_its_name(calls: Records, provider: str, wrapped: bool) -> None:
    """Events, and plain chat completion chunks by their shape; the record says the name that the caller uses."""
    script = [event(one) for one in SCRIPT] if wrapped else SCRIPT
    assert list(llmlog.stream(script, provider=provider)) == script
    record = calls.one()
    assert (record["provider"], record["outcome"], record["response_length"]) == (provider, "completed", 11)


def test_a_stream_cut_anywhere(calls: Records) -> None:
    """Before its last event it is incomplete."""
    for place in range(1, len(SCRIPT)):
        calls.records.clear()
        assert list(llmlog.stream(map(event, SCRIPT[:place])))
        record = calls.one()
        assert (record["provider"], record["outcome"]) == ("mistral", "incomplete")


@pytest.mark.parametrize("one", SCRIPT)
def test_whose_chunks(one: dict[str, Any]) -> None:
    """An event tells whose it is, as a dict and as an object, and nobody else claims it."""
    for form in (event(one), objects(event(one))):
        assert [found for found in providers.FORMATS if found.matches(form)] == [mistral.PROVIDER]


@pytest.mark.parametrize("other", [
    *answer("Hello"), "data", None, 7, [], {}, {"data": "{}"}, {"data": []}, {"data": {"id": 1}, "event": "x"},
    {"object": "list", "data": [{"embedding": [0.1]}]},
])  # fmt: skip
def test_not_its_chunks(other: Any) -> None:
    """Others' chunks, and what is none, are not claimed."""
    assert not mistral.PROVIDER.matches(other)
    if isinstance(other, dict):
        assert not mistral.PROVIDER.matches(SimpleNamespace(**other))


@pytest.mark.parametrize("value", [None, 7, "x", True, [], {}, [None], [7], [{}], [{"delta": 7}],
                                   [{"delta": {"tool_calls": [7, {"function": 7}, None]}}]])  # fmt: skip
def test_odd_values(value: Any) -> None:
    """What a provider may send in the place of what it should is no error."""
    made = Answer()
    for one in (value, {"data": value}, event({"choices": value, "usage": value, "model": value})):
        mistral.read_chunk(made, one)
        (mistral._quick(made, objects(one)) or mistral.read_chunk)(made, objects(one))
