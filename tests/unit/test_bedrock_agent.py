"""Bedrock's agents: what is read of the events of a completion."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Records, answer
from test_bedrock import HELLO as CONVERSE
from test_bedrock import read_any

import llmlog
from llmlog import providers
from llmlog.answers import Answer
from llmlog.providers import bedrock_agent
from llmlog.usage import Usage


def text(piece: str, **fields: Any) -> dict[str, Any]:
    return {"chunk": {"bytes": piece.encode(), **fields}}


def trace(chain: int = 1, **steps: Any) -> dict[str, Any]:
    return {"trace": {"agentId": "A", "sessionId": "s", "callerChain": [{}] * chain, "trace": {**steps}}}


def invoked(trace_id: str, given: int, made: int, kind: str = "orchestrationTrace") -> dict[str, Any]:
    usage = {"inputTokens": given, "outputTokens": made}
    return trace(**{kind: {"modelInvocationOutput": {"traceId": trace_id, "metadata": {"usage": usage}}}})


def final(chain: int = 1) -> dict[str, Any]:
    return trace(chain, orchestrationTrace={"observation": {"type": "FINISH", "finalResponse": {"text": "Hi"}}})


OSLO = [{"name": "city", "type": "string", "value": "Oslo"}]
FUNCTION = {"functionInvocationInput": {"actionGroup": "g", "function": "weather", "parameters": OSLO}}
API = {"apiInvocationInput": {"actionGroup": "g", "apiPath": "/now", "httpMethod": "GET", "parameters": []}}
CONTROL = {"returnControl": {"invocationId": "i", "invocationInputs": [FUNCTION, API]}}
TRACED = [
    invoked("1-pre", 435, 116, "preProcessingTrace"),
    invoked("1-0", 252, 354),
    final(),
    text("Hello"),
    text(" world"),
]


def read(*events: Any) -> Answer:
    made = Answer()
    for event in events:
        bedrock_agent.read_chunk(made, event)
    made.pack()
    return made


@pytest.mark.parametrize("provider", [None, "bedrock", "bedrock_agent"])
def test_a_record(calls: Records, provider: str | None) -> None:
    """The usage is that of all the calls of models that the agent has traced."""
    assert list(llmlog.stream(iter(TRACED), provider=provider)) == TRACED
    record = calls.one()
    assert record["provider"] == (provider or "bedrock")
    assert (record["operation"], record["outcome"]) == ("invoke_agent", "completed")
    assert (record["input_tokens"], record["output_tokens"], record["usage_source"]) == (687, 470, "provider")
    assert (record["response_length"], record["content_chunks"]) == (11, 2)
    assert "finish_reason" not in record


def test_without_traces(calls: Records) -> None:
    """Plain text that runs out is whole; its tokens are counted."""
    list(llmlog.stream(iter([text("Hello"), text(" wörld")])))
    record = calls.one()
    assert (record["outcome"], record["usage_source"], record["response_length"]) == ("completed", "estimated", 11)


def test_text_that_looks_like_json(calls: Records) -> None:
    """An agent may answer in JSON: what no model speaks is its text."""
    list(llmlog.stream(iter([text('{"total": 4}')])))
    assert (calls.one()["operation"], calls.one()["response_length"]) == ("invoke_agent", 12)


def test_a_trace_that_comes_twice() -> None:
    """What one call of a model used is counted once."""
    made = read(TRACED[0], TRACED[1], TRACED[1])
    assert bedrock_agent.read_usage(made.usage) == Usage(687, 470)


def test_the_end_of_what_was_done() -> None:
    """Only the agent's own final response says that its usage is whole, not that of one it asked for help."""
    assert not read(TRACED[0], final(2)).finished()
    assert read(TRACED[0], final(2), final(1)).finished()


def test_control_that_is_returned(calls: Records) -> None:
    """The functions that the caller is asked to call are the tool calls."""
    list(llmlog.stream(iter([invoked("1-0", 9, 5), CONTROL])))
    record = calls.one()
    assert (record["outcome"], record["usage_source"]) == ("completed", "provider")
    assert record["tool_names"] == ["weather", "/now"]
    made = read(CONTROL)
    assert [(call.id, str(call.arguments)) for call in made.tool_calls.values()] == [
        ("i", '{"city": "Oslo"}'),
        ("i", "{}"),
    ]
    assert made.content_chunks == 2


def test_other_events() -> None:
    """A guardrail that intervened, files, and citations beside the text."""
    made = read(trace(guardrailTrace={"action": "NONE"}), {"files": {"files": [{"name": "a.csv", "bytes": b""}]}},
                text("Hi", attribution={"citations": []}), {"chunk": {"bytes": b"\xff"}})  # fmt: skip
    assert (str(made.texts[0]), made.content_chunks, made.content_filtered) == ("Hi\ufffd", 3, False)
    assert read(trace(guardrailTrace={"action": "INTERVENED"})).content_filtered


def test_an_exception_in_the_stream(calls: Records) -> None:
    """An agent's own exceptions, where the source does not raise them."""
    list(llmlog.stream(iter([text("Hi"), {"dependencyFailedException": {"message": "no"}}])))
    record = calls.one()
    assert (record["outcome"], record["http_status"]) == ("error", 424)
    assert record["error_type"] == "dependencyFailedException"


def test_usage() -> None:
    """The sum of what is told; None where nothing is."""
    assert bedrock_agent.read_usage({"a": {"inputTokens": 0}, "b": {"inputTokens": None}, "c": None}) == Usage(0)
    assert bedrock_agent.read_usage({"a": {}}) is None
    assert bedrock_agent.read_usage(None) is None


def test_whatever_comes() -> None:
    """Fields that are missing, or of another type, are not read, and raise nothing."""
    read_any(bedrock_agent.PROVIDER, [*TRACED, CONTROL, trace(guardrailTrace={"action": "NONE"})])


@pytest.mark.parametrize(
    "event", [*TRACED, CONTROL, text('{"total": 4}'), text("[1]"), text(""), {"files": {"files": []}}]
)
def test_whose_chunks(event: dict[str, Any]) -> None:
    """Each event tells whose it is, and no other format claims it."""
    assert [one for one in providers.FORMATS if one.matches(event)] == [bedrock_agent.PROVIDER]


@pytest.mark.parametrize("other", [
    *answer("Hello"), *CONVERSE, "Hi", None, 7, [], {}, {"trace": {}}, {"trace": "x"}, {"files": []},
    {"chunk": {"bytes": "text"}}, {"chunk": None}, text('{"outputText": "x", "completionReason": null}'),
])  # fmt: skip
def test_not_its_chunks(other: Any) -> None:
    """Others' chunks, and what is none, are not claimed."""
    assert not bedrock_agent.PROVIDER.matches(other)
