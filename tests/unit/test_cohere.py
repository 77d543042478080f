"""Cohere's chat, version 2, and its embeddings: what is read of events and of whole answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pydantic
import pytest
from conftest import Records, answer

import llmlog
from llmlog import providers
from llmlog.answers import Answer
from llmlog.providers import cohere, cohere_embeddings
from llmlog.usage import Usage

USAGE = {"billed_units": {"input_tokens": 44, "output_tokens": 28},
         "tokens": {"input_tokens": 1476, "output_tokens": 58}, "cached_tokens": 1376}  # fmt: skip
START = {"id": "c-1", "type": "message-start",
         "delta": {"message": {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": []}}}  # fmt: skip


class Object(pydantic.BaseModel):
    """As the SDK's: fields that it does not know are among the extra ones."""

    model_config = pydantic.ConfigDict(extra="allow")


def objects(value: Any) -> Any:
    """The same as objects; parameters of a tool stay a dict."""
    if isinstance(value, list):
        return [objects(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind: Any = pydantic.create_model("Declared", __base__=Object, **dict.fromkeys(value, (Any, None)))
    return kind.model_construct(
        **{name: item if name == "parameters" else objects(item) for name, item in value.items()}
    )


def event(kind: str, index: int | None = None, **message: Any) -> dict[str, Any]:
    place = {} if index is None else {"index": index}
    return {"type": kind, **place, "delta": {"message": message}}


def text(piece: str) -> dict[str, Any]:
    return event("content-delta", 0, content={"text": piece})


def tool(index: int, name: str, arguments: str = "") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return event("tool-call-start", index, tool_calls={"id": f"{name}_1", "type": "function", "function": function})


def arguments(index: int, piece: str) -> dict[str, Any]:
    return event("tool-call-delta", index, tool_calls={"function": {"arguments": piece}})


def end(reason: str | None = "COMPLETE", usage: Any = USAGE, **fields: Any) -> dict[str, Any]:
    return {"type": "message-end", "delta": {"finish_reason": reason, "usage": usage, **fields}}


HELLO = [START, event("content-start", 0, content={"type": "text", "text": ""}), text("Hello"),
         event("citation-start", 0, citations={"start": 0, "end": 5, "text": "Hello", "sources": []}),
         {"type": "citation-end", "index": 0}, text(" world"), {"type": "content-end", "index": 0}, end()]  # fmt: skip


def seen(made: Answer) -> dict[str, Any]:
    names = ("response_id", "finish_reasons", "end_mark", "content_filtered", "error", "content_chunks")
    return {
        **{name: getattr(made, name) for name in names},
        "text": str(made.texts[0]),
        "reasoning": str(made.reasoning),
        "tools": [(call.id, call.name, str(call.arguments)) for call in made.tool_calls.values()],
        "usage": None if made.usage is None else cohere.read_usage(made.usage),
    }


def read(*events: Any) -> Answer:
    """What is read of a stream's events: as dicts, and the same as objects."""
    made, other = Answer(), Answer()
    for one in events:
        cohere.read_chunk(made, one)
        cohere._quick(other, objects(one))(other, objects(one))
    assert seen(other) == seen(made)
    return made


def test_a_stream() -> None:
    """Text, id, reason, usage and the end mark, each from its own event; citations are no content."""
    assert seen(read(*HELLO)) == {
        "response_id": "c-1",
        "finish_reasons": {0: "COMPLETE"},
        "end_mark": True,
        "content_filtered": False,
        "error": None,
        "content_chunks": 2,
        "text": "Hello world",
        "reasoning": "",
        "tools": [],
        "usage": Usage(44, 28),
    }


def test_thinking_and_a_tool_plan() -> None:
    """Thinking is reasoning; a tool plan is hidden text, and neither reasoning nor the answer."""
    plan = [event("tool-plan-delta", tool_plan=piece) for piece in ("I", " will", "")]
    made = read(START, event("content-delta", 0, content={"thinking": "Hm"}), *plan, text("A"))
    assert (str(made.reasoning), str(made.texts[0]), made.content_chunks) == ("Hm", "A", 4)
    assert str(made.hidden) == "I will"


def test_tool_calls() -> None:
    """Arguments come in pieces under the index of their call; one without any has none."""
    made = read(START, tool(0, "weather"), arguments(0, '{"city": '), arguments(0, '"Oslo"}'), tool(1, "now"),
                {"type": "tool-call-end", "index": 1}, end("TOOL_CALL"))  # fmt: skip
    assert seen(made)["tools"] == [("weather_1", "weather", '{"city": "Oslo"}'), ("now_1", "now", "")]
    assert made.finish_reasons == {0: "TOOL_CALL"}


@pytest.mark.parametrize(
    ("last", "error", "filtered"),
    [
        (end("ERROR"), ("ERROR", None, None), False),
        (end("ERROR", None, error="overloaded"), ("ERROR", "overloaded", None), False),
        (end("ERROR_TOXIC"), None, True),
        (end("MAX_TOKENS"), None, False),
        (end("TIMEOUT"), None, False),
    ],
)
def test_how_it_may_end(last: dict[str, Any], error: Any, filtered: bool) -> None:
    """Only an error of the provider's is one; a reply that was found toxic was filtered."""
    made = read(START, text("A"), last)
    assert (made.error, made.content_filtered, made.end_mark) == (error, filtered, True)


def test_usage_in_one_meaning() -> None:
    """`billed_units` before `tokens`, which stands in for it; the cached ones are a part of the latter only."""
    assert cohere.read_usage(USAGE) == Usage(44, 28)
    assert cohere.read_usage({"tokens": USAGE["tokens"], "cached_tokens": 1376}) == Usage(1476, 58, 1376)
    assert cohere.read_usage({**USAGE, "billed_units": {"input_tokens": 0, "output_tokens": None}}) == Usage(0, 58)
    assert cohere.read_usage({"tokens": {"input_tokens": 0.0, "output_tokens": 3.0}}) == Usage(0, 3)
    assert cohere.read_usage({"tokens": None, "billed_units": {"search_units": 1}}) is None
    assert cohere.read_usage(None) is None


WHOLE = {"id": "c-1", "finish_reason": "TOOL_CALL", "usage": USAGE,
         "message": {"role": "assistant", "tool_plan": "I will", "content": [{"type": "thinking", "thinking": "Hm"},
                                                                             {"type": "text", "text": "A"}],
                     "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                                    {"id": "b", "type": "function", "function": {"name": "g"}}]}}  # fmt: skip


def test_a_whole_answer(calls: Records) -> None:
    """All its parts, as a dict and as an object."""
    for response in (WHOLE, objects(WHOLE)):
        made = Answer()
        cohere.read_response(made, response)
        assert (str(made.texts[0]), str(made.reasoning)) == ("A", "Hm")
        assert seen(made)["tools"] == [("a", "f", "{}"), ("b", "g", "")]
        calls.records.clear()
        with llmlog.call() as call:
            call.finish(response)
        record = calls.one()
        assert (record["provider"], record["outcome"], record["finish_reason"]) == ("cohere", "completed", "TOOL_CALL")
        assert (record["input_tokens"], record["output_tokens"], record["usage_source"]) == (44, 28, "provider")


@pytest.mark.parametrize("said", [{"message": "no such model"}, {"error": "no such model"},
                                  {"error": {"message": "no such model"}}])  # fmt: skip
def test_an_error_in_place_of_an_answer(calls: Records, said: dict[str, Any]) -> None:
    """Its message is in the record."""
    with llmlog.call(provider="cohere") as call:
        call.finish(said)
    record = calls.one()
    assert (record["outcome"], record["error_message"]) == ("error", "no such model")


def test_a_stream_cut_anywhere(calls: Records) -> None:
    """Before its last event it is incomplete, and what came is counted."""
    script = [*HELLO[:-1], tool(0, "f"), arguments(0, "{}"), end()]
    length = 0
    for place in range(1, len(script)):
        calls.records.clear()
        assert list(llmlog.stream(script[:place])) == script[:place]
        record = calls.one()
        assert (record["outcome"], record["usage_source"]) == ("incomplete", "estimated")
        assert record["response_length"] >= length
        length = record["response_length"]
    assert length == len("Hello world")


EMBEDDED = {"id": "e-1", "texts": ["Hi"], "response_type": "embeddings_floats", "embeddings": [[0.1]],
            "meta": {"billed_units": {"input_tokens": 2}}}  # fmt: skip


def test_embeddings(calls: Records) -> None:
    """An operation of its own: what went in is told, and nothing comes out."""
    by_type = {**EMBEDDED, "response_type": "embeddings_by_type", "embeddings": {"float": [[0.1]]}}
    for response in (EMBEDDED, objects(EMBEDDED), by_type):
        calls.records.clear()
        with llmlog.call(provider="cohere") as call:
            call.finish(response)
        record = calls.one()
        assert (record["operation"], record["outcome"], record["response_id"]) == ("embeddings", "completed", "e-1")
        assert (record["input_tokens"], record["output_tokens"], record["usage_source"]) == (2, 0, "provider")
    images = {"billed_units": {"images": 1, "image_tokens": 30, "text_tokens": 4}}
    assert cohere_embeddings.read_usage(images) == Usage(34, 0, input_image_tokens=30)
    assert cohere_embeddings.read_usage({"billed_units": {"images": 1}}) is None


@pytest.mark.parametrize("one", [*HELLO, WHOLE, tool(0, "f"), end()])
def test_whose_chunks(one: dict[str, Any]) -> None:
    """Each event and a whole answer tell whose they are, as dicts and as objects, and nobody else claims them."""
    for form in (one, objects(one)):
        assert [found for found in providers.FORMATS if found.matches(form)] == [cohere.PROVIDER]
    assert [found for found in providers.FORMATS if found.matches(EMBEDDED)] == [cohere_embeddings.PROVIDER]


@pytest.mark.parametrize("other", [
    *answer("Hello"), "content-delta", None, 7, [], {}, {"type": ["content-delta"]}, {"type": "message_start"},
    {"type": "debug", "prompt": "x"}, {"finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}},
    {"finish_reason": "stop", "message": None}, {"embeddings": [{"values": [0.1]}]},
])  # fmt: skip
def test_not_its_chunks(other: Any) -> None:
    """Others' chunks, and what is none, are not claimed."""
    for one in (cohere.PROVIDER, cohere_embeddings.PROVIDER):
        assert not one.matches(other)
        if isinstance(other, dict):
            assert not one.matches(SimpleNamespace(**other))


ODD: list[Any] = [None, 7, "x", True, [], {}, [None], {"text": 7}, {"message": 7}, {"message": {"content": 7}}]


@pytest.mark.parametrize("value", ODD)
def test_odd_values(value: Any) -> None:
    """What a provider may send in the place of what it should is no error, and is nothing."""
    made = Answer()
    for kind in cohere._EVENTS:
        for one in ({"type": kind, "delta": value, "index": value}, {"type": kind, "delta": {"message": value}},
                    event(kind, content=value, tool_calls=value, tool_plan=value)):  # fmt: skip
            cohere.read_chunk(made, one)
            cohere._quick(made, objects(one))(made, objects(one))
    for one in ({"type": "message-end", "delta": {"finish_reason": value, "usage": value}}, {"message": value}, value):
        cohere.read_chunk(made, one)
        cohere.read_response(made, one)
        cohere_embeddings.read_response(made, one)
        cohere_embeddings.read_response(made, {"meta": value, "id": value})
    cohere.read_usage({"tokens": value, "billed_units": value, "cached_tokens": value})
    cohere_embeddings.read_usage({"tokens": value, "billed_units": value})
