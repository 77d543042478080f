"""Google's interactions: what is read of their events and of whole ones, as dicts and as objects."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pydantic
import pytest
from conftest import Records, answer, sdk

import llmlog
from llmlog import providers
from llmlog.answers import Answer
from llmlog.providers import interactions
from llmlog.usage import Usage

library = sdk("google.genai.interactions")

USAGE = {"total_input_tokens": 5, "total_output_tokens": 3, "total_thought_tokens": 4, "total_cached_tokens": 2,
         "total_tool_use_tokens": 6, "total_tokens": 18}  # fmt: skip


def interaction(status: str = "in_progress", **fields: Any) -> dict[str, Any]:
    return {"id": "v1_1", "object": "interaction", "model": "gemini-2.5-flash", "status": status, **fields}


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"event_type": kind, **fields}


def start(kind: str, index: int = 0, **fields: Any) -> dict[str, Any]:
    return event("step.start", index=index, step={"type": kind, **fields})


def delta(kind: str, index: int = 0, **fields: Any) -> dict[str, Any]:
    return event("step.delta", index=index, delta={"type": kind, **fields})


def text(piece: str, index: int = 0) -> dict[str, Any]:
    return delta("text", index, text=piece)


def call(name: str, index: int = 0, **arguments: Any) -> dict[str, Any]:
    return start("function_call", index, id=f"c_{name}", name=name, arguments=arguments)


def end(status: str = "completed", **fields: Any) -> dict[str, Any]:
    return event("interaction.completed", interaction=interaction(status, usage=USAGE, **fields))


CREATED = event("interaction.created", interaction=interaction())
WORKING = event("interaction.status_update", interaction_id="v1_1", status="in_progress")
HELLO = [CREATED, WORKING, start("model_output"), text("Hello"), text(" world"), event("step.stop", index=0),
         end(service_tier="standard")]  # fmt: skip


def objects(events: list[dict[str, Any]]) -> list[Any]:
    """The same as the SDK's objects, those of events that it does not know included."""
    adapter: Any = pydantic.TypeAdapter(library.InteractionSSEEvent)
    return [adapter.validate_python(one) for one in events]


def read(*events: Any) -> Answer:
    """What is read of a stream's events, as dicts and as objects."""
    made, other = Answer(), Answer()
    for one in events:
        interactions.read_chunk(made, one)
    for one in objects([*events]):
        interactions._quick(other, one)(other, one)
    assert seen(other) == seen(made)
    return made


def seen(made: Answer) -> dict[str, Any]:
    names = ("model", "response_id", "service_tier", "finish_reasons", "end_mark", "error", "content_chunks")
    return {
        **{name: getattr(made, name) for name in names},
        "text": str(made.texts[0]),
        "reasoning": str(made.reasoning),
        "tools": [(call.id, call.name, str(call.arguments)) for call in made.tool_calls.values()],
        "usage": None if made.usage is None else interactions.read_usage(made.usage),
    }


def test_a_stream() -> None:
    """Text, model, id, status and usage, each from its own event."""
    assert seen(read(*HELLO)) == {
        "model": "gemini-2.5-flash",
        "response_id": "v1_1",
        "service_tier": "standard",
        "finish_reasons": {0: "completed"},
        "end_mark": True,
        "error": None,
        "content_chunks": 2,
        "text": "Hello world",
        "reasoning": "",
        "tools": [],
        "usage": Usage(11, 7, 2, None, 4),
    }


def test_a_record(calls: Records) -> None:
    """The record has Google's name and the figures, whether or not the caller says whose events they are."""
    for options in ({}, {"provider": "google"}, {"provider": "gemini"}):
        calls.records.clear()
        assert list(llmlog.stream(iter(HELLO), **options)) == HELLO  # type: ignore[call-overload]
        record = calls.one()
        assert record["provider"] == options.get("provider", "google")
        assert (record["outcome"], record["finish_reason"]) == ("completed", "completed")
        assert (record["input_tokens"], record["output_tokens"], record["usage_source"]) == (11, 7, "provider")


def test_a_cut_stream(calls: Records) -> None:
    """Without its end a stream is incomplete, whatever its status was."""
    list(llmlog.stream(HELLO[:-1]))
    assert calls.one()["outcome"] == "incomplete"


def test_thoughts() -> None:
    """A summary of the thoughts is reasoning, with a delta or with the start of its step; its signature is not read."""
    hm, then = {"type": "text", "text": "Hm"}, {"type": "text", "text": ", then"}
    made = read(
        start("thought", summary=[hm]), delta("thought_summary", content=then), delta("thought_signature", signature="")
    )
    assert (str(made.reasoning), str(made.texts[0]), made.content_chunks) == ("Hm, then", "", 2)


def test_tool_calls() -> None:
    """Arguments come with the start of a step, or in pieces that replace what it started with."""
    made = read(
        call("a", 1),
        delta("arguments_delta", 1, arguments='{"city":'),
        call("b", 2, x="é"),
        delta("arguments_delta", 1, arguments='"Oslo"}'),
        call("c", 3),
        delta("arguments_delta", 3),
        delta("arguments_delta", 7, arguments="{}"),
        end("requires_action"),
    )
    assert seen(made)["tools"] == [("c_a", "a", '{"city":"Oslo"}'), ("c_b", "b", '{"x": "é"}'), ("c_c", "c", "{}")]
    assert made.content_chunks == 5
    assert made.finish_reasons == {0: "requires_action"}


@pytest.mark.parametrize(
    "one",
    [
        delta("image", data="aGk=", mime_type="image/png"),
        delta("audio", uri="gs://a/b"),
        delta("code_execution_call", arguments={"code": "1", "language": "python"}),
        delta("google_search_result", result=[]),
        start("model_output", content=[{"type": "image", "data": "aGk="}]),
        start("mcp_server_tool_call", id="m", name="search", server_name="s", arguments={}),
    ],
)
def test_other_content(one: dict[str, Any]) -> None:
    """Media, and what Google runs itself, is content, but neither text nor a call asked of the caller."""
    made = read(one)
    assert (made.content_chunks, str(made.texts[0]), made.tool_calls) == (1, "", {})


def test_usage_so_far() -> None:
    """Any event may bring the usage so far, whole or in part; a missing count does not erase an earlier one."""
    made = read(
        {**CREATED, "metadata": {"usage": {"total_input_tokens": 5}}},
        {**text("Hello"), "metadata": {"total_usage": {"total_output_tokens": 1}}},
        {**WORKING, "usage": {"total_thought_tokens": 2, "total_output_tokens": None}},
    )
    assert interactions.read_usage(made.usage) == Usage(5, 3, reasoning_tokens=2)
    assert read(*HELLO, {**text("!"), "metadata": {"usage": None}}).usage["total_output_tokens"] == 3


def test_usage() -> None:
    """Audio and images are those of the input, and of what tools brought."""
    raw = {**USAGE, "input_tokens_by_modality": [{"modality": "text", "tokens": 1}, {"modality": "image", "tokens": 4}],
           "tool_use_tokens_by_modality": [{"modality": "image", "tokens": 6}, {"modality": "audio", "tokens": None}],
           "output_tokens_by_modality": [{"modality": "audio", "tokens": 3}]}  # fmt: skip
    assert interactions.read_usage(raw) == Usage(11, 7, 2, None, 4, None, 3, 10)
    for nothing in ({}, None, 7, {"total_input_tokens": "5"}):
        assert interactions.read_usage(nothing) is None
    assert interactions.read_usage({"total_output_tokens": 3}) == Usage(None, 3)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([event("error", error={"code": "quota", "message": "Slow down"})], ("quota", "Slow down", None)),
        ([event("error", error={"code": 429, "message": "Slow down"})], (None, "Slow down", 429)),
        ([end("failed", errors=[{"code": "internal", "message": "Oh"}])], ("internal", "Oh", None)),
        ([end("failed")], ("failed", None, None)),
        ([event("interaction.status_update", interaction_id="v1_1", status="failed")], ("failed", None, None)),
        ([event("error", error={"code": "quota"}), end("failed")], ("quota", None, None)),
        ([event("error", error="no")], (None, "no", None)),
    ],
)
def test_errors(events: list[dict[str, Any]], expected: tuple[Any, ...], calls: Records) -> None:
    """An event of its own, or an interaction that failed; the better known of both counts."""
    made = Answer()
    for one in events:
        interactions.read_chunk(made, one)
    assert made.error == expected
    list(llmlog.stream([CREATED, *events]))
    assert calls.one()["outcome"] == "error"


def test_the_first_version() -> None:
    """Before there were steps, contents came by themselves, and calls whole."""
    made = read(
        event("interaction.start", interaction=interaction()),
        event("content.start", index=0, content={"type": "thought"}),
        event("content.delta", index=0, delta={"type": "thought_summary", "content": {"type": "text", "text": "Hm"}}),
        event("content.start", index=1, content={"type": "text"}),
        event("content.delta", index=1, delta={"type": "text", "text": "Hello"}),
        event("content.stop", index=1),
        event("content.delta", index=2, delta={"type": "function_call", "id": "c", "name": "f", "arguments": {"x": 1}}),
        event("interaction.complete", interaction=interaction("completed", usage=USAGE)),
    )
    assert (str(made.reasoning), str(made.texts[0])) == ("Hm", "Hello")
    assert seen(made)["tools"] == [("c", "f", '{"x": 1}')]
    assert made.end_mark


@pytest.mark.parametrize("place", ["steps", "outputs"])
def test_a_whole_interaction(calls: Records, place: str) -> None:
    """A whole one has its steps, or in the first version its outputs, and is not asked in pieces."""
    steps: list[dict[str, Any]] = [
        {"type": "user_input", "content": [{"type": "text", "text": "Hi"}]},
        {"type": "thought", "summary": [{"type": "text", "text": "Hm"}]},
        {"type": "model_output", "content": [{"type": "text", "text": "Hello"}]},
        {"type": "function_call", "id": "c1", "name": "f", "arguments": {"x": 1}},
        {"type": "function_call", "id": "c2", "name": "g", "arguments": {}},
    ]
    if place == "outputs":
        steps[0:3] = [{"type": "thought", "summary": [{"text": "Hm"}]}, {"type": "text", "text": "Hello"}]
    whole = interaction("requires_action", usage=USAGE, **{place: steps})
    with llmlog.call() as started:
        assert started.finish(whole) is whole
    record = calls.one()
    assert (record["provider"], record["outcome"]) == ("google", "completed")
    assert record["finish_reason"] == "requires_action"
    assert (record["response_length"], record["reasoning_length"]) == (5, 2)
    assert record["tool_names"] == ["f", "g"]
    assert seen(read(CREATED, event("interaction.completed", interaction=whole)))["text"] == "Hello"
    assert seen(read(*HELLO[:-1], event("interaction.completed", interaction=whole)))["text"] == "Hello world"


@pytest.mark.parametrize("one", [*HELLO, event("error", error={"message": "no"}), event("content.stop", index=1)])
def test_whose_events(one: dict[str, Any]) -> None:
    """Each event tells whose it is, as a dict and as an SDK's object, of whichever version."""
    assert providers.UNKNOWN.pick(one) is interactions.PROVIDER
    assert providers.UNKNOWN.pick(*objects([one])) is interactions.PROVIDER


@pytest.mark.parametrize("other", [
    *answer("Hello"), None, 7, [], {}, "interaction.created", event("message_start"), {"event_type": None},
    {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    {"id": "resp_1", "object": "response", "status": "completed", "output": [], "usage": {}},
])  # fmt: skip
def test_not_its_events(other: Any) -> None:
    """Others' events, and what is none, are not claimed."""
    assert providers.UNKNOWN.pick(other) is not interactions.PROVIDER


ODD: list[Any] = [
    None, 7, "text", [], {}, event("step.delta"), event("step.delta", delta=7), event("step.delta", index=[], delta={}),
    event("step.start", step=7), event("step.start", index=[], step={"type": "function_call", "arguments": 7}),
    event("step.start", step={"type": "model_output", "content": [None, 7, {"type": "text", "text": 7}]}),
    event("step.start", step={"type": "thought", "summary": 7}), event("interaction.created", interaction=7),
    event("step.delta", index=0, delta={"type": ["text"], "text": []}), event("interaction.status_update", status=[]),
    event("step.delta", index={}, delta={"type": "arguments_delta", "arguments": {}}), event("step.odd"),
    event("step.delta", delta={"type": "thought_summary", "content": 7}), event("error", error=[]),
    event("error"), event("interaction.created", interaction={"model": 7, "id": [], "usage": 7}),
    {"event_type": 7, "raw": 7},
    event("UNKNOWN", raw=7), event("step.delta", delta={"type": "image"}, metadata=7),
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_odd_events(odd: Any) -> None:
    """Whatever comes, as an event or as an answer, and as an object's attributes: nothing is raised."""
    for reads in (interactions.read_chunk, interactions.read_response):
        made = Answer()
        reads(made, odd)
        if isinstance(odd, dict):
            reads(made, SimpleNamespace(**odd))
        interactions.read_usage(made.usage)
        assert str(made.texts[0]) == ""


def test_the_end_mark_of_the_wire() -> None:
    """Where the source hands it on, the stream is whole."""
    made = Answer()
    interactions.read_chunk(made, "[DONE]")
    assert made.finished()


def test_the_quick_way() -> None:
    """It gives what the other one does, and falls back to that where it meets what it does not know."""
    script = [*objects([*HELLO[:-1], {**text("!"), "metadata": {"usage": USAGE}}, text(""), call("f"), *HELLO])]
    made, expected = Answer(), Answer()
    quick = interactions._quick(made, script[0])
    assert quick is interactions._read_quickly
    assert interactions._quick(made, HELLO[0]) is interactions.read_chunk
    for one in [*script, *HELLO, *ODD]:
        quick(made, one)
        interactions.read_chunk(expected, one)
    assert seen(made) == seen(expected)
