"""Cohere's older texts, chat of version 1 and `generate`: what is read of events and of whole answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Records, answer
from test_cohere import objects

import llmlog
from llmlog import providers
from llmlog.answers import Answer
from llmlog.providers import cohere_v1
from llmlog.usage import Usage

META = {"billed_units": {"input_tokens": 7, "output_tokens": 3}, "tokens": {"input_tokens": 73, "output_tokens": 4}}
START = {"is_finished": False, "event_type": "stream-start", "generation_id": "g-1"}


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"is_finished": False, "event_type": kind, **fields}


def end(reason: str | None = "COMPLETE", **response: Any) -> dict[str, Any]:
    whole = {"response_id": "r-1", "generation_id": "g-1", "text": "", "finish_reason": reason, **response}
    return {"is_finished": True, "event_type": "stream-end", "finish_reason": reason, "response": whole}


def text(piece: str, **fields: Any) -> dict[str, Any]:
    return event("text-generation", text=piece, **fields)


def tool(**delta: Any) -> dict[str, Any]:
    return event("tool-calls-chunk", tool_call_delta=delta)


HELLO = [START, event("search-results", documents=[{"text": "x"}]), text("Hello"), text(" world"),
         event("citation-generation", citations=[{"text": "Hello"}]), end(text="Hello world", meta=META)]  # fmt: skip


def seen(made: Answer) -> dict[str, Any]:
    return {
        "id": made.response_id,
        "finish_reasons": made.finish_reasons,
        "end_mark": made.end_mark,
        "error": made.error,
        "content_chunks": made.content_chunks,
        "texts": [str(made.texts[choice]) for choice in sorted(made.texts)],
        "tools": [(call.name, str(call.arguments)) for call in made.tool_calls.values()],
        "usage": None if made.usage is None else cohere_v1.read_usage(made.usage),
    }


def read(*events: Any) -> Answer:
    """What is read of a stream's events: as dicts, and the same as objects."""
    made, other = Answer(), Answer()
    for one in events:
        cohere_v1.read_chunk(made, one)
        cohere_v1._quick(other, objects(one))(other, objects(one))
    assert seen(other) == seen(made)
    return made


def test_a_stream() -> None:
    """Text, id, reason, usage and the end mark; the last event's text is the same again."""
    assert seen(read(*HELLO)) == {
        "id": "g-1",
        "finish_reasons": {0: "COMPLETE"},
        "end_mark": True,
        "error": None,
        "content_chunks": 2,
        "texts": ["Hello world"],
        "tools": [],
        "usage": Usage(7, 3),
    }


def test_tool_calls_in_pieces() -> None:
    """Name, then parameters, by the call's index, and the plan before them is text; whole events repeat all that."""
    whole = [{"name": "weather", "parameters": {"city": "Oslo"}}, {"name": "now", "parameters": {}}]
    made = read(START, event("tool-calls-chunk", text="I will"), tool(text=" look."), tool(name="weather", index=0.0),
                tool(parameters='{"city": ', index=0.0), tool(parameters='"Oslo"}', index=0.0),
                tool(name="now", index=1, parameters="{}"), event("tool-calls-generation", text="I will look.",
                tool_calls=whole), end(text="I will look.", tool_calls=whole))  # fmt: skip
    assert seen(made)["tools"] == [("weather", '{"city": "Oslo"}'), ("now", "{}")]
    assert seen(made)["texts"] == ["I will look."]


def test_tool_calls_at_once() -> None:
    """Where none came in pieces, the event that has all of them is read, or the last one."""
    whole = [{"name": "f", "parameters": {"x": "é"}}, {"name": "f", "parameters": {"x": 2}}]
    for script in ([event("tool-calls-generation", text="Plan", tool_calls=whole), end()], [end(tool_calls=whole)]):
        assert seen(read(START, *script))["tools"] == [("f", '{"x": "é"}'), ("f", '{"x": 2}')]


def test_generate() -> None:
    """Several texts by their index, each with its own reason; an error is one."""
    generations = [{"id": "1", "index": 0, "text": "A", "finish_reason": "COMPLETE"},
                   {"id": "2", "index": 1, "text": "BC", "finish_reason": "MAX_TOKENS"}]  # fmt: skip
    last = {"is_finished": True, "event_type": "stream-end", "response": {"id": "g-1", "generations": generations}}
    made = read(text("A", index=0), text("B", index=1), text("C", index=1), last)
    assert (seen(made)["texts"], made.finish_reasons) == (["A", "BC"], {0: "COMPLETE", 1: "MAX_TOKENS"})
    assert made.content_chunks == 3
    bare = [{"text": "A", "is_finished": False}, {"text": "B", "is_finished": False},
            {"is_finished": True, "finish_reason": "COMPLETE", "response": {"id": "g-1"}}]  # fmt: skip
    assert (seen(read(*bare))["texts"], read(*bare).finish_reasons) == (["AB"], {0: "COMPLETE"})
    failed = read(text("A"), event("stream-error", finish_reason="ERROR_TOXIC", err="no"))
    assert (failed.error, failed.content_filtered) == (("ERROR_TOXIC", "no", None), True)


CHAT = {"text": "Hi", "generation_id": "g-1", "response_id": "r-1", "finish_reason": "COMPLETE", "meta": META,
        "tool_calls": [{"name": "f", "parameters": {}}]}  # fmt: skip
GENERATED = {"id": "g-1", "prompt": "x", "generations": [{"id": "1", "text": "Hi", "finish_reason": "COMPLETE"}],
             "meta": META}  # fmt: skip


@pytest.mark.parametrize("response", [CHAT, GENERATED])
def test_a_whole_answer(calls: Records, response: dict[str, Any]) -> None:
    """Text, reason and usage, as a dict and as an object, known by its shape or by the provider's name."""
    for form, provider in ((response, None), (objects(response), None), (response, "cohere")):
        calls.records.clear()
        with llmlog.call(provider=provider) as call:
            call.finish(form)
        record = calls.one()
        assert (record["provider"], record["response_id"], record["response_length"]) == ("cohere", "g-1", 2)
        assert (record["outcome"], record["finish_reason"]) == ("completed", "COMPLETE")
        assert (record["input_tokens"], record["output_tokens"], record["usage_source"]) == (7, 3, "provider")
        assert record.get("tool_names") == (["f"] if response is CHAT else None)


def test_an_error_in_place_of_an_answer() -> None:
    """Its message is told, under whichever name."""
    for said in ({"message": "no"}, {"error": "no"}, {"error": {"message": "no"}}):
        made = Answer()
        cohere_v1.read_response(made, said)
        assert made.error == (None, "no", None)


def test_a_stream_cut_anywhere(calls: Records) -> None:
    """Before its last event it is incomplete; an event without usage does not make one."""
    for place in range(1, len(HELLO)):
        calls.records.clear()
        assert list(llmlog.stream(HELLO[:place])) == HELLO[:place]
        record = calls.one()
        assert (record["provider"], record["outcome"], record["usage_source"]) == ("cohere", "incomplete", "estimated")


@pytest.mark.parametrize("one", [*HELLO, tool(name="f"), event("stream-error", err="x"), CHAT, GENERATED,
                                 {"text": "A", "is_finished": False}])  # fmt: skip
def test_whose_chunks(one: dict[str, Any]) -> None:
    """Each event and a whole answer tell whose they are, as dicts and as objects, and nobody else claims them."""
    for form in (one, objects(one)):
        assert [found for found in providers.FORMATS if found.matches(form)] == [cohere_v1.PROVIDER]


@pytest.mark.parametrize("other", [
    *answer("Hello"), "stream-start", None, 7, [], {}, {"event_type": ["stream-start"]}, {"event_type": "on_chain_end"},
    {"generations": [[{"text": "Hi"}]], "llm_output": {}}, {"generations": [{"text": "Hi"}], "llm_output": None},
    {"generation_id": "g"}, {"is_finished": True}, {"generation": "Hi"},
])  # fmt: skip
def test_not_its_chunks(other: Any) -> None:
    """Others' chunks, and what is none, are not claimed."""
    assert not cohere_v1.PROVIDER.matches(other)
    if isinstance(other, dict):
        assert not cohere_v1.PROVIDER.matches(SimpleNamespace(**other))


@pytest.mark.parametrize("value", [None, 7, "x", True, [], {}, [None], [7], [{"text": 7}], {"generations": 7}])
def test_odd_values(value: Any) -> None:
    """What a provider may send in the place of what it should is no error."""
    made = Answer()
    for kind in (*sorted(cohere_v1._EVENTS), None, value):
        one = {
            "event_type": kind,
            "index": value,
            "tool_call_delta": value,
            "tool_calls": value,
            "generation_id": value,
        }
        delta, response = {"name": value, "index": value, "parameters": value}, {"generations": value, "meta": value}
        for fields in (
            one,
            {**one, "is_finished": True, "response": value},
            {**one, "text": value, "err": value},
            {"event_type": kind, "tool_call_delta": delta},
            {"event_type": kind, "response": {**response, "tool_calls": value}},
        ):
            cohere_v1.read_chunk(made, fields)
            cohere_v1._quick(made, objects(fields))(made, objects(fields))
            cohere_v1.read_response(made, fields)
    cohere_v1.read_chunk(made, value)
    cohere_v1.read_response(made, value)
    cohere_v1.read_usage(value)
