"""OpenAI's responses: what is read of their events and of whole ones, as dicts and as objects."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pydantic
import pytest
from conftest import Records, answer, chunk

import llmlog
from llmlog import providers
from llmlog.answers import Answer
from llmlog.providers import responses
from llmlog.usage import Usage

USAGE = {
    "input_tokens": 20, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
    "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 29,
}  # fmt: skip


def response(*output: dict[str, Any], status: str | None = "completed", **fields: Any) -> dict[str, Any]:
    """A response, as it is at its end or before."""
    return {"object": "response", "id": "resp_1", "model": "gpt-5-mini", "status": status, "output": [*output],
            "error": None, "incomplete_details": None, "usage": None, **fields}  # fmt: skip


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", **fields}


def start(**fields: Any) -> dict[str, Any]:
    return event("created", response=response(status="in_progress", service_tier="auto", **fields))


def end(*output: dict[str, Any], status: str = "completed", usage: Any = USAGE, **fields: Any) -> dict[str, Any]:
    return event(status, response=response(*output, status=status, usage=usage, **fields))


def text(piece: Any, index: int = 0) -> dict[str, Any]:
    return event("output_text.delta", delta=piece, output_index=index, content_index=0, item_id=f"msg_{index}")


def message(*texts: str, kind: str = "text") -> dict[str, Any]:
    name = {"text": "output_text", "transcript": "output_audio"}.get(kind, kind)
    return {"type": "message", "role": "assistant", "content": [{"type": name, kind: piece} for piece in texts]}


def reasoning(summary: str = "", content: str = "") -> dict[str, Any]:
    return {"type": "reasoning", "id": "rs_1", "encrypted_content": "xx", "summary": [{"text": summary}],
            "content": [{"text": content}]}  # fmt: skip


def call(name: str, arguments: Any = "", **fields: Any) -> dict[str, Any]:
    return {"type": "function_call", "id": f"fc_{name}", "call_id": f"call_{name}", "name": name,
            "arguments": arguments, **fields}  # fmt: skip


def item(state: str, made: dict[str, Any], index: Any = 0) -> dict[str, Any]:
    return event(f"output_item.{state}", output_index=index, item=made)


def arguments(piece: str, index: Any = 0, state: str = "delta", **fields: Any) -> dict[str, Any]:
    told = {"delta": piece} if state == "delta" else {"arguments": piece}
    return event(f"function_call_arguments.{state}", output_index=index, **told, **fields)


HELLO = [
    start(), event("in_progress", response=response(status="in_progress")), item("added", message()),
    event("content_part.added", output_index=0, part={"type": "output_text", "text": ""}),
    text("Hello"), text(" world"), event("output_text.done", output_index=0, text="Hello world"),
    event("content_part.done", part={"type": "output_text", "text": "Hello world"}),
    item("done", message("Hello world")), end(message("Hello world"), service_tier="default"),
]  # fmt: skip


class Object(pydantic.BaseModel):
    """As the SDK's: fields without validation, those that it does not know among the extra ones."""

    model_config = pydantic.ConfigDict(extra="allow")


def objects(value: Any) -> Any:
    """The same as objects whose fields are declared, as those of an SDK that knows them are."""
    if isinstance(value, list):
        return [objects(one) for one in value]
    if not isinstance(value, dict):
        return value
    kind: Any = pydantic.create_model("Declared", __base__=Object, **dict.fromkeys(value, (Any, None)))
    fields = {name: one if name == "arguments" else objects(one) for name, one in value.items()}  # that stays a dict
    return kind.model_construct(**fields)


def read(*events: Any) -> Answer:
    """What is read of a stream's events: each as a dict, as an object, and as an object of an SDK that knows it not."""
    made = Answer()
    for one in events:
        responses.read_chunk(made, one)
    for others in (objects([*events]), [Object.model_construct(**one) for one in events]):
        other = Answer()
        for one in others:
            responses._quick(other, one)(other, one)
        assert seen(other) == seen(made)
    return made


def whole(made: dict[str, Any]) -> Answer:
    """A whole response, read as a dict, and the same as an object."""
    one, other = Answer(), Answer()
    responses.read_response(one, made)
    responses.read_response(other, objects(made))
    assert seen(other) == seen(one)
    return one


def seen(made: Answer) -> dict[str, Any]:
    names = ("model", "response_id", "service_tier", "finish_reasons", "end_mark", "refused", "content_filtered",
             "error", "content_chunks")  # fmt: skip
    return {
        **{name: getattr(made, name) for name in names},
        "text": str(made.texts[0]),
        "reasoning": str(made.reasoning),
        "tools": tools(made),
        "usage": responses.read_usage(made.usage),
    }


def tools(made: Answer) -> list[tuple[Any, ...]]:
    return [(one.id, one.name, str(one.arguments)) for one in made.tool_calls.values()]


def test_a_stream() -> None:
    """Text, model, id, tier, the last word, usage and the end mark, each from its own event, and each once."""
    assert seen(read(*HELLO)) == {
        "model": "gpt-5-mini",
        "response_id": "resp_1",
        "service_tier": "default",
        "finish_reasons": {0: "completed"},
        "end_mark": True,
        "refused": False,
        "content_filtered": False,
        "error": None,
        "content_chunks": 2,
        "text": "Hello world",
        "reasoning": "",
        "tools": [],
        "usage": Usage(20, 9, 4, 3, 5),
    }


def test_a_record(calls: Records) -> None:
    """The record has the provider's name and figures, whether or not the caller says whose events they are."""
    for options in ({}, {"provider": "openai"}, {"provider": "azure"}):
        calls.records.clear()
        assert list(llmlog.stream(iter(HELLO), **options)) == HELLO  # type: ignore[call-overload]
        record = calls.one()
        assert record["provider"] == options.get("provider", "openai")
        assert (record["operation"], record["outcome"], record["finish_reason"]) == ("chat", "completed", "completed")
        assert (record["input_tokens"], record["output_tokens"], record["usage_source"]) == (20, 9, "provider")


@pytest.mark.parametrize("kind", ["reasoning_text", "reasoning_summary_text"])
def test_reasoning(kind: str) -> None:
    """The model's own words and the summary of them are both reasoning; a repetition in a later event is none."""
    done = reasoning("Let me see") if "summary" in kind else reasoning(content="Let me see")
    made = read(start(), event(f"{kind}.delta", delta="Let me"), event(f"{kind}.delta", delta=" see"),
                event(f"{kind}.done", text="Let me see"), item("done", done), end(done))  # fmt: skip
    assert (str(made.reasoning), str(made.texts[0]), made.content_chunks) == ("Let me see", "", 2)


def test_whole_reasoning() -> None:
    """Where both are there, the summary says the same again."""
    assert str(whole(response(reasoning("In short", "At length"))).reasoning) == "At length"
    assert str(whole(response(reasoning("One"), reasoning("Two"))).reasoning) == "OneTwo"


def test_tool_calls() -> None:
    """Arguments come in pieces, by the place of their item in the output."""
    made = read(start(), item("added", call("weather")), arguments('{"city":', 0), item("added", call("time"), 1),
                arguments('"Oslo"}', 0), arguments('{"zone":"CET"}', 1), arguments('{"city":"Oslo"}', 0, "done"),
                item("done", call("weather", '{"city":"Oslo"}')), item("done", call("time", '{"zone":"CET"}'), 1),
                end(call("weather", '{"city":"Oslo"}'), call("time", '{"zone":"CET"}')))  # fmt: skip
    assert tools(made) == [("call_weather", "weather", '{"city":"Oslo"}'), ("call_time", "time", '{"zone":"CET"}')]
    assert made.content_chunks == 5


def test_custom_tool_calls() -> None:
    """Their input is any text."""
    begun = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": "sql", "input": ""}
    done = {**begun, "input": "SELECT 1"}
    made = read(item("added", begun), event("custom_tool_call_input.delta", output_index=0, delta="SELECT"),
                event("custom_tool_call_input.delta", output_index=0, delta=" 1"),
                event("custom_tool_call_input.done", output_index=0, input="SELECT 1"),
                item("done", done), end(done))  # fmt: skip
    assert tools(made) == [("call_1", "sql", "SELECT 1")]
    assert tools(whole(response(done))) == [("call_1", "sql", "SELECT 1")]


@pytest.mark.parametrize("events", [
    [item("added", call("a")), item("done", call("a", '{"x": 1}'))],
    [item("added", call("a", '{"x": 1}')), arguments('{"x"'), arguments(": 1}")],
    [arguments('{"x"'), item("done", call("a", '{"x": 1}'))],
    [item("added", call("a")), arguments('{"x": 1}', state="done")],
    [item("added", call("a"), None), arguments('{"x": 1}', None, item_id="fc_a"), item("done", call("a"), None)],
    [end(call("a", '{"x": 1}'))],
    [end(message(), call("a", {"x": 1}))],
    [item("added", call("a"), 7), arguments('{"x": 1}', 7), end(reasoning(), call("a", '{"x": 1}'))],
])  # fmt: skip
def test_ways_of_one_call(events: list[Any]) -> None:
    """Whatever of its events comes, and in whatever place: one call, with all its arguments."""
    assert tools(read(start(), *events)) == [("call_a", "a", '{"x": 1}')]


def test_calls_in_one_place() -> None:
    """A server that numbers no item: a call with another id is another one."""
    made = read(item("added", call("a")), arguments("{}"), item("done", call("a", "{}")), item("added", call("b")),
                arguments('{"x"'), arguments(": 1}"), item("done", call("b", '{"x": 1}')))  # fmt: skip
    assert tools(made) == [("call_a", "a", "{}"), ("call_b", "b", '{"x": 1}')]


@pytest.mark.parametrize("kind", [
    "web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "mcp_call",
    "tool_search_call", "local_shell_call", "shell_call", "apply_patch_call", "computer_call",
])  # fmt: skip
def test_the_providers_own_tools(kind: str) -> None:
    """They call none of the caller's functions; what they do is neither text nor content."""
    made = {"type": kind, "id": "x_1", "call_id": "call_1", "name": "search", "arguments": "{}", "content": "x"}
    got = read(start(), item("added", made), event(f"{kind}.in_progress"), event(f"{kind}_code.delta", delta="print"),
               item("done", made), text("Found it"), end(made, message("Found it")))  # fmt: skip
    assert (got.tool_calls, str(got.texts[0]), got.content_chunks) == ({}, "Found it", 1)


@pytest.mark.parametrize("events", [
    [event("output_text.done", text="Hello")],
    [event("output_text.done", text="Hello"), item("done", message("Hello"))],
    [item("done", message("Hel", "lo")), end(message("Hel", "lo"))],
    [end(message("Hel"), message("lo"))],
    [text("Hel"), end(message("Hello"))],
    [text("Hel"), item("done", message("Hel")), text("lo", 1), item("done", message("lo"), 1),
     end(message("Hel"), message("lo"))],
    [text("Hel"), item("done", message("Hel")), item("done", message("lo"), 1), end(message("Hel"), message("lo"))],
    [event("audio.transcript.delta", delta="Hello"), end(message("Hello", kind="transcript"))],
    [text("Hello"), end()],
    [response(message("Hello"))],
])  # fmt: skip
def test_text_that_came_late(events: list[Any]) -> None:
    """What no piece has brought is read from what repeats it, and never twice."""
    assert str(read(start(), *events).texts[0]) == "Hello"


def test_a_refusal() -> None:
    """It is visible text, in pieces or whole."""
    made = read(start(), event("refusal.delta", delta="I"), event("refusal.delta", delta=" can't"),
                event("refusal.done", refusal="I can't"), end(message("I can't", kind="refusal")))  # fmt: skip
    assert (str(made.texts[0]), made.refused, made.content_chunks) == ("I can't", True, 2)
    late = read(start(), end(message("I can't", kind="refusal")))
    assert (str(late.texts[0]), late.refused) == ("I can't", True)
    assert read(event("refusal.done", refusal="No")).refused


@pytest.mark.parametrize(("events", "outcome"), [
    (HELLO[:-1], "incomplete"),
    (HELLO[:1], "incomplete"),
    (HELLO, "completed"),
    ([*HELLO[:-1], end(status="incomplete", incomplete_details={"reason": "max_output_tokens"})], "completed"),
    ([*HELLO[:-1], "[DONE]"], "completed"),
    ([*HELLO[:-1], end(status="failed", error={"code": "server_error", "message": "no"})], "error"),
    ([*HELLO[:-1], end(status="failed")], "error"),
])  # fmt: skip
def test_how_it_ended(calls: Records, events: list[Any], outcome: str) -> None:
    """Only a response's last word, or the wire's own, says that it is whole."""
    list(llmlog.stream(events))
    assert calls.one()["outcome"] == outcome


def test_an_answer_that_was_filtered() -> None:
    """The reason of an incomplete one says so, or Azure's list."""
    cut = end(status="incomplete", incomplete_details={"reason": "content_filter"})
    assert read(start(), cut).content_filtered
    assert read(start(), end(content_filters=[{"blocked": False}, {"blocked": True}])).content_filtered
    assert not read(start(), end(content_filters=[{"blocked": False}])).content_filtered


@pytest.mark.parametrize(("error", "expected"), [
    ({"code": "server_error", "message": "no"}, ("server_error", "no", 500)),
    ({"code": "rate_limit_exceeded", "message": "slow"}, ("rate_limit_exceeded", "slow", 429)),
    ({"type": "invalid_request_error", "code": None, "message": "no"}, ("invalid_request_error", "no", 400)),
    ({"type": "invalid_request_error", "code": "odd", "message": "no"}, ("odd", "no", 400)),
    ({"code": 503, "message": "no"}, (None, "no", 503)),
    ({"code": "new", "message": None}, ("new", None, None)),
    ("no such thing", (None, "no such thing", None)),
])  # fmt: skip
def test_errors(error: Any, expected: Any) -> None:
    """Code and message, and the status that the code stands for: of an event, of a response, in place of one."""
    assert read(start(), {"type": "error", "sequence_number": 3, "error": error}).error == expected
    assert read(start(), end(status="failed", error=error)).error == expected
    assert read(start(), {"error": error}).error == expected
    assert whole(response(status="failed", error=error)).error == expected
    if isinstance(error, dict) and "type" not in error:
        assert read(start(), {"type": "error", "sequence_number": 3, **error}).error == expected


def test_an_error_in_place_of_an_answer(calls: Records) -> None:
    """Its record is an error with its status."""
    list(llmlog.stream([{"type": "error", "code": "insufficient_quota", "message": "no", "sequence_number": 0}]))
    record = calls.one()
    assert (record["provider"], record["outcome"], record["error_type"]) == ("openai", "error", "insufficient_quota")
    assert record["http_status"] == 429


def test_a_whole_response(calls: Records) -> None:
    """All its items, its last word, its usage and its tier."""
    made = response(reasoning("Hm"), message("Let me", " look"), call("now", "{}"), call("a", '{"x": 1}'),
                    usage=USAGE, service_tier="flex")  # fmt: skip
    got = whole(made)
    assert (str(got.reasoning), str(got.texts[0]), got.service_tier) == ("Hm", "Let me look", "flex")
    assert tools(got) == [("call_now", "now", "{}"), ("call_a", "a", '{"x": 1}')]
    with llmlog.call() as one:
        assert one.finish(made) is made
    record = calls.one()
    assert (record["provider"], record["outcome"], record["tool_names"]) == ("openai", "completed", ["now", "a"])
    assert (record["cache_read_tokens"], record["reasoning_tokens"], record["response_model"]) == (4, 5, "gpt-5-mini")


@pytest.mark.parametrize("status", ["queued", "in_progress", None])
def test_a_response_that_goes_on(status: str | None) -> None:
    """One that is worked on in the background has no last word yet."""
    assert whole(response(status=status)).finish_reasons == {}


def test_a_compaction(calls: Records) -> None:
    """What `responses.compact()` gives has a usage too."""
    with llmlog.call() as one:
        one.finish({"object": "response.compaction", "id": "resp_1", "output": [], "usage": USAGE})
    assert (calls.one()["input_tokens"], calls.one()["provider"]) == (20, "openai")


def test_usage() -> None:
    """0 is a count; what is none, is none; a later event without a usage does not erase it."""
    assert responses.read_usage({"input_tokens": 0, "output_tokens": 0}) == Usage(0, 0)
    assert responses.read_usage({"input_tokens": "many", "output_tokens": True}) is None
    assert responses.read_usage({"input_tokens": 1, "input_tokens_details": 7}) == Usage(1)
    assert responses.read_usage(None) is None
    made = read(start(usage=USAGE), end(usage=None))
    assert responses.read_usage(made.usage) == Usage(20, 9, 4, 3, 5)


def test_usage_by_kind() -> None:
    """Sound and images, of the cache too, under either name of the details; and Perplexity's words."""
    details = {"audio_tokens": 9, "image_tokens": 8, "cached_tokens": 7,
               "cached_tokens_details": {"text_tokens": 1, "audio_tokens": 4, "image_tokens": 2}}  # fmt: skip
    expected = Usage(20, 9, 7, input_audio_tokens=9, input_image_tokens=8, cache_audio_read_tokens=4,
                     cache_image_read_tokens=2)  # fmt: skip
    for name in ("input_token_details", "input_tokens_details"):
        assert responses.read_usage({"input_tokens": 20, "output_tokens": 9, name: details}) == expected
    perplexity = {"input_tokens": 20, "output_tokens": 9, "input_tokens_details": {"cache_read_input_tokens": 5},
                  "tool_calls_details": {"search_web": {"invocation": 2}}}  # fmt: skip
    assert responses.read_usage(perplexity) == Usage(20, 9, 5, web_searches=2)


def search(action: Any = "search", status: str = "completed") -> dict[str, Any]:
    """An item of a web search."""
    return {"type": "web_search_call", "id": "ws", "status": status,
            "action": {"type": action} if isinstance(action, str) else action}  # fmt: skip


@pytest.mark.parametrize(("events", "searches"), [
    ([item("done", search()), item("done", search(), 1), end(search(), search())], 2),
    ([item("added", search(status="in_progress")), item("done", search())], 1),
    ([end(search(), search(), message("x"))], 2),
    ([response(search())], 1),
    ([item("done", search("open_page")), item("done", search("find_in_page")), end(search("open_page"))], None),
    ([item("done", search(None)), end(search(None))], 1),
    ([item("done", search(status="failed"))], None),
    ([end(search(), usage={**USAGE, "server_side_tool_usage_details": {"web_search_calls": 0}})], 0),
    ([end(search(), usage={**USAGE, "server_side_tool_usage_details": {"web_search_calls": 3}})], 3),
])  # fmt: skip
def test_web_searches(calls: Records, events: list[Any], searches: int | None) -> None:
    """Each search is charged for, once, and no page that was opened; a usage that says how many has the last word."""
    for _ in llmlog.stream(iter([start(), *events]), provider="openai", model="gpt-5"):
        pass
    assert calls.one().get("web_searches") == searches


def test_searches_in_a_whole_response(calls: Records) -> None:
    """Of an SDK's objects, too."""
    for made in (response(search(), search("open_page")), objects(response(search(), search("open_page")))):
        calls.clear()
        with llmlog.call(model="gpt-5") as one:
            one.finish(made)
        assert calls.one()["web_searches"] == 1


def test_searches_are_paid_for(calls: Records) -> None:
    """Those of a stream that was left, too."""
    stream = llmlog.stream(iter([start(model="gpt-5"), item("done", search()), text("x"), end()]), input="news?")
    with stream:
        for number, _ in enumerate(stream):
            if number == 2:
                break
    record = calls.one()
    assert (record["outcome"], record["usage_source"], record["web_searches"]) == ("aborted", "estimated", 1)
    assert record["cost_usd"] > 0.01
    assert "cost_partial" not in record


ODD = [None, 7, "x", True, [], [7], {}, {"x": 1}, [{"type": ["x"]}], [{"type": {}}], {"type": []}, [[]]]


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize("kind", [
    *responses._EVENTS, "response.new", "response.done", "response", None, 7,
])  # fmt: skip
def test_odd_events(kind: Any, odd: Any) -> None:
    """A field may be missing, null, of another type, or a list of what nobody expects."""
    names = ("delta", "text", "refusal", "arguments", "input", "item", "response", "output_index", "item_id", "error",
             "output", "status", "usage", "code", "message", "content", "summary", "id", "call_id", "name",
             "object")  # fmt: skip
    made = Answer()
    for name in names:
        for around in ({}, {"item": {"type": "function_call", name: odd}}, {"item": {"type": "message", name: odd}},
                       {"response": {"output": [{"type": "reasoning", name: odd}], name: odd}}):  # fmt: skip
            responses.read_chunk(made, {"type": kind, **around, name: odd})
    responses.read_chunk(made, odd)
    responses.read_response(made, odd)
    responses.read_response(made, dict.fromkeys(names, odd))
    responses.read_usage(made.usage)
    responses.read_usage(odd)


@pytest.mark.parametrize("one", [*HELLO, response(), response(status=None),
                                 {"type": "error", "code": "x", "message": "no", "sequence_number": 3}])  # fmt: skip
def test_whose_events(one: dict[str, Any]) -> None:
    """Each event and a whole response tell whose they are, as dicts and as objects, and nobody else claims them."""
    for form in (one, objects(one), SimpleNamespace(**one)):
        assert [reader for reader in providers.FORMATS if reader.matches(form)] == [responses.PROVIDER]


@pytest.mark.parametrize("other", [
    *answer("Hello"), chunk("Hello"), None, 7, [], {}, "response.created", {"type": ["response.created"]},
    {"type": "error", "error": {"type": "api_error", "message": "no"}}, {"object": "list"}, {"object": ["response"]},
    {"type": "transcript.text.delta", "delta": "Hi"}, {"type": "message_start", "message": {}},
])  # fmt: skip
def test_not_its_events(other: Any) -> None:
    """Others' chunks, and what is none, are not claimed."""
    assert not responses.PROVIDER.matches(other)
    if isinstance(other, dict):
        assert not responses.PROVIDER.matches(SimpleNamespace(**other))


def test_the_quick_way() -> None:
    """It gives what the other one does, and falls back to that where it meets what it does not know."""
    odd = [text(""), text("!"), text(7), text(None), event("output_text.delta"), event("new")]
    script: list[Any] = [*objects([*HELLO, *odd]), *HELLO, *odd, None, "[DONE]", objects({})]
    made, expected = Answer(), Answer()
    quick = responses._quick(made, script[0])
    assert quick is not responses.read_chunk
    assert responses._quick(made, HELLO[0]) is responses.read_chunk
    for one in script:
        quick(made, one)
        responses.read_chunk(expected, one)
    assert seen(made) == seen(expected)
    assert str(made.texts[0]) == "Hello world!Hello world!"
