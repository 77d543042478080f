"""Anthropic's messages: what is read of their events and of whole ones, as dicts and as objects."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pydantic
import pytest
from conftest import Records, answer, chunk

import llmlog
from llmlog import providers
from llmlog.answers import Answer
from llmlog.providers import anthropic
from llmlog.usage import Usage

USAGE = {"input_tokens": 10, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 1}


def message(*content: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A message, whole or as it starts."""
    return {"type": "message", "role": "assistant", "id": "msg_1", "model": "claude-haiku-4-5", "content": [*content],
            "stop_reason": None, "usage": USAGE, **fields}  # fmt: skip


def start(**fields: Any) -> dict[str, Any]:
    return {"type": "message_start", "message": message(**fields)}


def block(kind: str, index: int = 0, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": {"type": kind, **fields}}


def tool(name: str, index: int = 0, kind: str = "tool_use", input: Any = None) -> dict[str, Any]:
    return block(kind, index, id=f"toolu_{name}", name=name, input=input or {})


def delta(kind: str, index: int = 0, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def text(piece: str) -> dict[str, Any]:
    return delta("text_delta", text=piece)


def thinking(piece: str) -> dict[str, Any]:
    return delta("thinking_delta", thinking=piece)


def arguments(piece: str, index: int = 0) -> dict[str, Any]:
    return delta("input_json_delta", index, partial_json=piece)


def end(reason: str | None = "end_turn", **usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}


STOP = {"type": "message_stop"}
HELLO = [start(), block("text", text=""), {"type": "ping"}, text("Hello"), text(" world"),
         {"type": "content_block_stop", "index": 0}, end(output_tokens=5), STOP]  # fmt: skip


class Object(pydantic.BaseModel):
    """As the SDK's: fields without validation, those that it does not know among the extra ones."""

    model_config = pydantic.ConfigDict(extra="allow")


def objects(value: Any) -> Any:
    """The same as objects whose fields are declared, as those of an SDK that knows them are."""
    if isinstance(value, list):
        return [objects(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind: Any = pydantic.create_model("Declared", __base__=Object, **dict.fromkeys(value, (Any, None)))
    fields = {name: item if name == "input" else objects(item) for name, item in value.items()}  # that stays a dict
    return kind.model_construct(**fields)


def read(*events: Any) -> Answer:
    """What is read of a stream's events: each as a dict, as an object, and as an object of an SDK that knows it not."""
    made = Answer()
    for event in events:
        anthropic.read_chunk(made, event)
    for others in (objects([*events]), [Object.model_construct(**event) for event in events]):
        other = Answer()
        for event in others:
            anthropic._quick(other, event)(other, event)
        assert seen(other) == seen(made)
    return made


def seen(answer: Answer) -> dict[str, Any]:
    names = ("model", "response_id", "service_tier", "finish_reasons", "end_mark", "refused", "error", "content_chunks")
    return {
        **{name: getattr(answer, name) for name in names},
        "text": str(answer.texts[0]),
        "reasoning": str(answer.reasoning),
        "tools": [(call.id, call.name, str(call.arguments)) for call in answer.tool_calls.values()],
        "usage": None if answer.usage is None else anthropic.read_usage(answer.usage),
    }


def test_a_stream() -> None:
    """Text, model, id, reason, usage and the end mark, each from its own event."""
    assert seen(read(*HELLO)) == {
        "model": "claude-haiku-4-5",
        "response_id": "msg_1",
        "service_tier": None,
        "finish_reasons": {0: "end_turn"},
        "end_mark": True,
        "refused": False,
        "error": None,
        "content_chunks": 2,
        "text": "Hello world",
        "reasoning": "",
        "tools": [],
        "usage": Usage(17, 5, 4, 3),
    }


def test_a_record(calls: Records) -> None:
    """The record has Anthropic's name and figures, whether or not the caller says whose chunks they are."""
    for options in ({}, {"provider": "anthropic"}):
        calls.records.clear()
        assert list(llmlog.stream(iter(HELLO), **options)) == HELLO  # type: ignore[call-overload]
        record = calls.one()
        assert record["provider"] == "anthropic"
        assert (record["outcome"], record["finish_reason"]) == ("completed", "end_turn")
        assert (record["input_tokens"], record["output_tokens"], record["usage_source"]) == (17, 5, "provider")
        assert record["cost_usd"] == pytest.approx((10 * 1 + 4 * 0.1 + 3 * 1.25 + 5 * 5) / 1e6)


def test_thinking() -> None:
    """Thinking is reasoning; its signature, and what is redacted of it, are not read."""
    made = read(block("thinking", thinking="", signature=""), thinking("Let me"), thinking(" see"),
                delta("signature_delta", signature="c2ln"), block("redacted_thinking", 1, data="xxxx"))  # fmt: skip
    assert str(made.reasoning) == "Let me see"
    assert str(made.texts[0]) == ""
    assert made.content_chunks == 2


def test_tool_calls() -> None:
    """Arguments come in pieces, by the index of their block."""
    made = read(tool("weather", 1), arguments("", 1), arguments('{"city":', 1), tool("time", 2),
                arguments('"Oslo"}', 1), arguments('{"zone":"CET"}', 2))  # fmt: skip
    assert seen(made)["tools"] == [
        ("toolu_weather", "weather", '{"city":"Oslo"}'),
        ("toolu_time", "time", '{"zone":"CET"}'),
    ]
    assert made.content_chunks == 5


def test_a_tool_without_arguments() -> None:
    """Its block starts with an empty object, and no piece follows."""
    assert seen(read(tool("now"), arguments("")))["tools"] == [("toolu_now", "now", "{}")]


def test_what_a_block_starts_with() -> None:
    """Text, thinking and arguments may come with the start of their block; pieces of arguments replace these."""
    made = read(block("text", text="Hi"), text(" there"), block("thinking", 1, thinking="Hm"),
                tool("a", 2, input={"x": "é"}), tool("b", 3, input={"x": 1}), arguments('{"x": 2}', 3))  # fmt: skip
    assert str(made.texts[0]) == "Hi there"
    assert str(made.reasoning) == "Hm"
    assert seen(made)["tools"] == [("toolu_a", "a", '{"x": "é"}'), ("toolu_b", "b", '{"x": 2}')]


@pytest.mark.parametrize("kind", ["server_tool_use", "mcp_tool_use"])
def test_the_providers_own_tools(kind: str) -> None:
    """What the provider runs itself is not asked of the caller: no tool call; nor is its result a text."""
    result = block("web_search_tool_result", 1, tool_use_id="toolu_search", content=[{"type": "text", "text": "found"}])
    made = read(tool("search", kind=kind), arguments('{"query": "x"}'), result, text("Found it"))
    assert made.tool_calls == {}
    assert str(made.texts[0]) == "Found it"


def test_a_message_that_begins_anew() -> None:
    """A second `message_start` counts its blocks from 0 again: they are further blocks, in their order."""
    made = read(start(), tool("first", 1), arguments('{"cut', 1), start(id="msg_2"), tool("second", 1),
                arguments('{"whole": 1}', 1), end("tool_use", output_tokens=7), STOP)  # fmt: skip
    assert seen(made)["tools"] == [("toolu_first", "first", '{"cut'), ("toolu_second", "second", '{"whole": 1}')]
    assert made.response_id == "msg_1"
    assert anthropic.read_usage(made.usage) == Usage(17, 7, 4, 3)


def test_a_message_that_starts_with_content() -> None:
    """One that goes on with an earlier turn starts with what it had."""
    made = read({"type": "message_start", "message": message(tool("a")["content_block"])}, arguments('{"x": 1}'))
    assert seen(made)["tools"] == [("toolu_a", "a", '{"x": 1}')]


def test_citations_and_unknown_kinds() -> None:
    """What is not known is not read, and nothing else is lost by it."""
    made = read(start(), block("text", text="", citations=[]), text("A"), delta("citations_delta", citation={"x": "B"}),
                delta("compaction_delta", content="C"), block("hologram", 1, text="D"),
                delta("hologram_delta", 1, text="E"), {"type": "hologram", "text": "F"}, {"type": "ping"},
                {"type": None}, {}, end(output_tokens=2))  # fmt: skip
    assert str(made.texts[0]) == "A"
    assert (str(made.reasoning), made.tool_calls, made.content_chunks) == ("", {}, 1)


def test_usage_is_assigned() -> None:
    """Counts are totals: the last one told holds; null and absent leave the earlier one; 0 is a count."""
    made = read(start(), end(None, output_tokens=3, input_tokens=None), end(output_tokens=9, cache_read_input_tokens=0))
    assert made.usage == {**USAGE, "output_tokens": 9, "cache_read_input_tokens": 0}
    assert anthropic.read_usage(made.usage) == Usage(13, 9, 0, 3)
    assert USAGE["output_tokens"] == 1  # the provider's own is not written to


def test_usage_in_one_meaning() -> None:
    """Cached tokens come on top of the others, thinking ones are part of the output; what is no count is unknown."""
    details = {"output_tokens_details": {"thinking_tokens": 6}}
    assert anthropic.read_usage({**USAGE, **details}) == Usage(17, 1, 4, 3, 6)
    assert anthropic.read_usage({"input_tokens": 0, "output_tokens": 0}) == Usage(0, 0)
    assert anthropic.read_usage({"output_tokens": 2, "cache_read_input_tokens": 4}) == Usage(None, 2, 4)
    assert anthropic.read_usage({"input_tokens": "many", "output_tokens": True}) is None
    assert anthropic.read_usage(None) is None


def test_an_aborted_stream(calls: Records) -> None:
    """The output that a message starts with is a placeholder: what was delivered counts, where it is more."""
    stream = llmlog.stream([start(), *map(text, ["one two three four five "] * 20), end(output_tokens=1), STOP])
    for place, _ in enumerate(stream):
        if place == 20:
            break
    del stream
    record = calls.one()
    assert (record["outcome"], record["usage_source"]) == ("aborted", "mixed")
    assert record["output_tokens"] >= 80
    assert record["input_tokens"] == 17


@pytest.mark.parametrize(("events", "outcome"), [
    (HELLO[:-2], "incomplete"),
    (HELLO[:-1], "completed"),
    ([start(), STOP], "completed"),
    ([start(), end(None, output_tokens=5)], "incomplete"),
])  # fmt: skip
def test_cut_off(calls: Records, events: list[Any], outcome: str) -> None:
    """A stream without a reason and without its end mark was cut; its usage alone is no end."""
    list(llmlog.stream(events))
    assert calls.one()["outcome"] == outcome


def test_a_refusal() -> None:
    """The reason tells, in a stream and in a whole message."""
    assert read(start(), text("I"), end("refusal")).refused
    assert whole(message(stop_reason="refusal")).refused
    assert not read(start(), end("max_tokens")).refused


@pytest.mark.parametrize(("error", "expected"), [
    ({"type": "overloaded_error", "message": "Overloaded"}, ("overloaded_error", "Overloaded", 529)),
    ({"type": "invalid_request_error", "message": "no"}, ("invalid_request_error", "no", 400)),
    ({"type": "new_error", "message": None}, ("new_error", None, None)),
    ({"details": None}, (None, None, None)),
    ("no such thing", (None, "no such thing", None)),
])  # fmt: skip
def test_errors(error: Any, expected: Any) -> None:
    """Type and message, and the status that the type stands for, in a stream and in place of a message."""
    event = {"type": "error", "error": error, "request_id": "req_1"}
    assert read(start(), text("I"), event).error == expected
    assert whole(event).error == expected


def test_an_error_in_place_of_an_answer(calls: Records) -> None:
    """Its record is an error with its status, and cost nothing."""
    with llmlog.call(model="claude-haiku-4-5", input="Hi") as call:
        call.finish({"type": "error", "error": {"type": "not_found_error", "message": "no such model"}})
    record = calls.one()
    assert (record["outcome"], record["error_type"], record["http_status"]) == ("error", "not_found_error", 404)
    assert (record["provider"], record["cost_usd"]) == ("anthropic", 0.0)


def whole(response: dict[str, Any]) -> Answer:
    """A whole message, read as a dict, and the same as an object."""
    made, other = Answer(), Answer()
    anthropic.read_response(made, response)
    anthropic.read_response(other, objects(response))
    assert seen(other) == seen(made)
    return made


def test_a_whole_message(calls: Records) -> None:
    """All its blocks, its reason, its usage and its tier."""
    response = message(
        {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
        {"type": "text", "text": "Let me", "citations": None},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
        {"type": "text", "text": " look"},
        {"type": "tool_use", "id": "toolu_1", "name": "now", "input": {}},
        {"type": "tool_use", "id": "toolu_2", "name": "weather", "input": {"city": "Oslo"}},
        stop_reason="tool_use",
        usage={**USAGE, "service_tier": "standard"},
    )
    assert seen(whole(response)) == {
        "model": "claude-haiku-4-5",
        "response_id": "msg_1",
        "service_tier": "standard",
        "finish_reasons": {0: "tool_use"},
        "end_mark": True,
        "refused": False,
        "error": None,
        "content_chunks": 6,
        "text": "Let me look",
        "reasoning": "Hm",
        "tools": [("toolu_1", "now", "{}"), ("toolu_2", "weather", '{"city": "Oslo"}')],
        "usage": Usage(17, 1, 4, 3),
    }
    with llmlog.call() as call:
        assert call.finish(response) is response
    record = calls.one()
    assert (record["provider"], record["outcome"], record["tool_names"]) == (
        "anthropic",
        "completed",
        ["now", "weather"],
    )
    assert seen(read(response))["text"] == "Let me look"  # where a source yields it


def test_the_helpers_own_events() -> None:
    """What the SDK's helper derives and sends beside the API's events is not counted twice."""
    snapshot = message({"type": "text", "text": "Hello"})
    made = read(start(), block("text", text=""), text("Hello"), {"type": "text", "text": "Hello", "snapshot": "Hello"},
                thinking("Hm"), {"type": "thinking", "thinking": "Hm", "snapshot": "Hm"},
                tool("a", 1), arguments("{}", 1), {"type": "input_json", "partial_json": "{}", "snapshot": {}},
                {"type": "citation", "citation": {}, "snapshot": []}, {"type": "signature", "signature": "c2ln"},
                {"type": "content_block_stop", "index": 0, "content_block": snapshot["content"][0]},
                end(output_tokens=5), {"type": "message_stop", "message": snapshot})  # fmt: skip
    assert (str(made.texts[0]), str(made.reasoning), made.content_chunks) == ("Hello", "Hm", 4)
    assert seen(made)["tools"] == [("toolu_a", "a", "{}")]
    assert anthropic.read_usage(made.usage) == Usage(17, 5, 4, 3)


@pytest.mark.parametrize("event", [*HELLO, message(), {"type": "error", "error": {"type": "api_error"}}])
def test_whose_chunks(event: dict[str, Any]) -> None:
    """Each event and a whole message tell whose they are, as dicts and as objects."""
    assert providers.UNKNOWN.pick(event) is anthropic.PROVIDER
    assert providers.UNKNOWN.pick(objects(event)) is anthropic.PROVIDER


@pytest.mark.parametrize("other", [
    *answer("Hello"), chunk("Hello", type="message"), "message_start", None, 7, [], {},
    {"type": ["message"]}, {"type": None},
    {"type": "response.created", "response": {}},
    {"type": "error", "code": "server_error", "message": "no", "param": None, "sequence_number": 3},
    {"type": "error", "error": {"type": "server_error", "message": "no"}, "sequence_number": 3},
    {"type": "message-start", "id": "1", "delta": {}},
    {"type": "message", "role": "user", "content": "Hi"},
    {"type": "AIMessageChunk", "content": "Hi"},
])  # fmt: skip
def test_not_its_chunks(other: Any) -> None:
    """Others' chunks, and what is none, are not claimed."""
    assert providers.UNKNOWN.pick(other) is not anthropic.PROVIDER
    if isinstance(other, dict):
        assert providers.UNKNOWN.pick(SimpleNamespace(**other)) is not anthropic.PROVIDER


def test_the_quick_way() -> None:
    """It gives what the other one does, and falls back to that where it meets what it does not know."""
    odd = [text(""), text("!"), delta("text_delta", text=7), delta("text_delta"), {"type": "content_block_delta"}]
    script: list[Any] = [*objects([*HELLO, thinking("Hm"), *odd]), *HELLO, *odd, None, "[DONE]", objects({})]
    made, expected = Answer(), Answer()
    quick = anthropic._quick(made, script[0])
    assert quick is not anthropic.read_chunk
    for event in script:
        quick(made, event)
        anthropic.read_chunk(expected, event)
    assert seen(made) == seen(expected)
    assert str(made.texts[0]) == "Hello world!Hello world!"


@pytest.mark.parametrize("index", [None, {}, [0], "0", 1.5])
def test_an_index_that_is_none(calls: Records, index: Any) -> None:
    """A tool's block whose place is of the wrong type is read all the same."""
    block = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    delta = {"type": "input_json_delta", "partial_json": '{"a":1}'}
    events = [
        {"type": "content_block_start", "index": index, "content_block": block},
        {"type": "content_block_delta", "index": index, "delta": delta},
    ]
    assert list(llmlog.stream(events)) == events
    assert calls.one()["tool_names"] == ["f"]


def test_a_tool_that_the_provider_runs(calls: Records) -> None:
    """What was generated for it is counted where no usage tells, and is no tool call of the answer."""
    block = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    pieces = ['{"query": "the weather in ', 'Oslo, Bergen and Trondheim"}']
    events = [
        {"type": "content_block_start", "index": 0, "content_block": block},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": piece}}
          for piece in pieces),
    ]  # fmt: skip
    assert list(llmlog.stream(events)) == events
    record = calls.one()
    assert (record["response_length"], record["content_chunks"]) == (0, 3)
    assert record["output_tokens"] > 8
    assert "tool_calls" not in record
