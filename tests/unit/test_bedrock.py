"""Bedrock's Converse: what is read of its events and of whole answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Records, answer, chunk

import llmlog
from llmlog import providers
from llmlog.answers import Answer
from llmlog.providers import Provider, bedrock
from llmlog.usage import Usage

USAGE = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 22, "cacheReadInputTokens": 4, "cacheWriteInputTokens": 3}


def start(index: int, **block: Any) -> dict[str, Any]:
    return {"contentBlockStart": {"contentBlockIndex": index, "start": block}}


def delta(index: int = 0, **piece: Any) -> dict[str, Any]:
    return {"contentBlockDelta": {"contentBlockIndex": index, "delta": piece}}


def tool(index: int, name: str, **fields: Any) -> dict[str, Any]:
    return start(index, toolUse={"toolUseId": f"tooluse_{name}", "name": name, **fields})


def arguments(index: int, piece: Any) -> dict[str, Any]:
    return delta(index, toolUse={"input": piece})


def stop(reason: Any = "end_turn") -> dict[str, Any]:
    return {"messageStop": {"stopReason": reason}}


def metadata(**fields: Any) -> dict[str, Any]:
    return {"metadata": {"usage": USAGE, "metrics": {"latencyMs": 7}, **fields}}


BEGIN = {"messageStart": {"role": "assistant"}}
HELLO = [BEGIN, delta(text="Hello"), delta(text=" world"), {"contentBlockStop": {"contentBlockIndex": 0}}, stop(),
         metadata()]  # fmt: skip


def whole(*content: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"ResponseMetadata": {"RequestId": "1", "HTTPStatusCode": 200}, "stopReason": "end_turn", "usage": USAGE,
            "output": {"message": {"role": "assistant", "content": [*content]}}, **fields}  # fmt: skip


def read(*events: Any) -> Answer:
    """What is read of a stream's events, with and without the types that they come under."""
    made, bare = Answer(), Answer()
    for event in events:
        bedrock.read_chunk(made, event)
        (kind, inner), *_ = event.items()
        bedrock.read_chunk(bare, event if kind.endswith("Exception") else inner)
    assert seen(bare) == seen(made)
    return made


def seen(answer: Answer) -> dict[str, Any]:
    names = ("model", "service_tier", "finish_reasons", "end_mark", "content_filtered", "error", "content_chunks")
    return {
        **{name: getattr(answer, name) for name in names},
        "text": str(answer.texts[0]),
        "reasoning": str(answer.reasoning),
        "tools": [(call.id, call.name, str(call.arguments)) for call in answer.tool_calls.values()],
        "usage": bedrock.read_usage(answer.usage),
    }


def mangled(value: Any) -> Iterator[Any]:
    """`value`, with each of its parts in turn missing, or of another type."""
    yield from (None, True, -1, 7, 1e400, "x", b"\xff", [], [None], {}, {"x": None}, ["x"])
    if isinstance(value, dict):
        for name in value:
            yield {key: part for key, part in value.items() if key != name}
            for part in mangled(value[name]):
                yield {**value, name: part}
    elif isinstance(value, list):
        for place in range(len(value)):
            for part in mangled(value[place]):
                yield [*value[:place], part, *value[place + 1 :]]


def read_any(reader: Provider, events: list[Any]) -> None:
    """Whatever a provider may send in place of these: reading it raises nothing."""
    for place, event in enumerate(events):
        for odd in mangled(event):
            made = Answer()
            assert reader.matches(odd) in (True, False)
            for one in (*events[:place], odd, *events[place + 1 :]):
                reader.chunk(made, one)
            reader.response(Answer(), odd)
            reader.usage(made.usage)


def test_a_stream() -> None:
    """Text, reason, usage and the end mark, each from its own event; cached tokens are part of the input."""
    assert seen(read(*HELLO)) == {
        "model": None,
        "service_tier": None,
        "finish_reasons": {0: "end_turn"},
        "end_mark": True,
        "content_filtered": False,
        "error": None,
        "content_chunks": 2,
        "text": "Hello world",
        "reasoning": "",
        "tools": [],
        "usage": Usage(17, 5, 4, 3),
    }


@pytest.mark.parametrize("name", ["bedrock", "aws.bedrock", "aws"])
def test_a_record(calls: Records, name: str) -> None:
    """The record has the name that the caller gives, Bedrock's figures and a price."""
    for options in ({}, {"provider": name}):
        calls.records.clear()
        stream: Any = llmlog.stream(iter(HELLO), model="anthropic.claude-3-5-haiku-20241022-v1:0", **options)  # type: ignore[arg-type]
        assert list(stream) == HELLO
        record = calls.one()
        assert record["provider"] == options.get("provider", "bedrock")
        assert (record["outcome"], record["finish_reason"], record["operation"]) == ("completed", "end_turn", "chat")
        assert (record["input_tokens"], record["output_tokens"], record["usage_source"]) == (17, 5, "provider")
        assert record["cost_usd"] > 0


def test_reasoning() -> None:
    """Reasoning text is read; its signature, and what is redacted of it, are not."""
    pieces = [delta(reasoningContent={"text": "Let me"}), delta(reasoningContent={"text": " see"}),
              delta(reasoningContent={"signature": "c2ln"}), delta(reasoningContent={"redactedContent": b"x"}),
              delta(1, text="Hi")]  # fmt: skip
    made = read(BEGIN, *pieces)
    assert (str(made.reasoning), str(made.texts[0]), made.content_chunks) == ("Let me see", "Hi", 3)


def test_tools() -> None:
    """A call of a tool: its name at the start of its block, its arguments in pieces, each by the block's index."""
    made = read(BEGIN, delta(text="Wait"), tool(1, "weather"), arguments(1, '{"city":'), tool(2, "now"),
                arguments(1, ' "Oslo"}'), arguments(2, ""), arguments(3, "{}"), stop("tool_use"))  # fmt: skip
    assert seen(made)["tools"] == [("tooluse_weather", "weather", '{"city": "Oslo"}'), ("tooluse_now", "now", "")]
    assert (made.finish_reasons, made.content_chunks) == ({0: "tool_use"}, 5)


def test_tools_of_the_provider() -> None:
    """A call that the provider runs itself, and its result, ask nothing of the caller."""
    result = [start(1, toolResult={"toolUseId": "tooluse_code"}), delta(1, toolResult=[{"json": {"stdOut": "4"}}])]
    own = tool(0, "code", type="server_tool_use")
    made = read(BEGIN, own, arguments(0, "{}"), *result, tool(2, "mine", type="tool_use"))
    assert seen(made)["tools"] == [("tooluse_mine", "mine", "")]
    assert made.content_chunks == 1


@pytest.mark.parametrize("reason", ["guardrail_intervened", "content_filtered", "max_tokens"])
def test_filtered(reason: str) -> None:
    """What a guardrail, or the model's own filter, has stopped."""
    filtered = reason != "max_tokens"
    assert read(BEGIN, delta(text="No"), stop(reason)).content_filtered is filtered
    made = Answer()
    bedrock.read_response(made, whole({"text": "No"}, stopReason=reason))
    assert (made.content_filtered, made.finish_reasons) == (filtered, {0: reason})


def test_metadata() -> None:
    """The service tier, and the model that a prompt router has chosen."""
    arn = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"
    made = read(
        *HELLO[:-1], metadata(serviceTier={"type": "priority"}, trace={"promptRouter": {"invokedModelId": arn}})
    )
    assert (made.service_tier, made.model) == ("priority", "anthropic.claude-3-haiku-20240307-v1:0")


@pytest.mark.parametrize(
    ("kind", "status"),
    [("throttlingException", 429), ("modelStreamErrorException", 424), ("internalServerException", 500),
     ("validationException", 400), ("serviceUnavailableException", 503)],
)  # fmt: skip
def test_an_exception_in_the_stream(calls: Records, kind: str, status: int) -> None:
    """An exception that comes as an event, where the source does not raise it."""
    failure = {kind: {"message": "no"}}
    assert read(BEGIN, failure).error == (kind, "no", status)
    for events in ([failure], [*HELLO[:2], failure]):
        calls.records.clear()
        list(llmlog.stream(iter(events)))
        record = calls.one()
        assert (record["outcome"], record["error_type"], record["http_status"]) == ("error", kind, status)


def test_cut(calls: Records) -> None:
    """Without its `messageStop` a stream is incomplete; one that lacks only its usage is whole, and counted."""
    for end, outcome in ((3, "incomplete"), (5, "completed")):
        calls.records.clear()
        list(llmlog.stream(iter(HELLO[:end])))
        assert (calls.one()["outcome"], calls.one()["usage_source"]) == (outcome, "estimated")


def test_a_stop_without_a_reason() -> None:
    """It is the end all the same."""
    assert read(BEGIN, delta(text="Hi"), stop(None)).finished()
    made = Answer()
    bedrock.read_chunk(made, {"messageStop": {}})
    assert made.finished()


def test_a_whole_answer(calls: Records) -> None:
    """Every kind of block; where a source yields it, too."""
    cited = {"citationsContent": {"content": [{"text": " indeed"}, {}], "citations": [{"title": "x"}]}}
    response = whole({"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "x"}}}, {"text": "Yes"}, cited,
                     {"reasoningContent": {"redactedContent": b"x"}}, {"image": {"format": "png"}},
                     {"toolUse": {"toolUseId": "t", "name": "now", "input": {}}},
                     {"toolUse": {"toolUseId": "u", "name": "weather", "input": {"city": "Århus"}}},
                     serviceTier={"type": "flex"})  # fmt: skip
    with llmlog.call() as call:
        assert call.finish(response) is response
    record = calls.one()
    assert (record["provider"], record["outcome"], record["service_tier"]) == ("bedrock", "completed", "flex")
    made, yielded = Answer(), Answer()
    bedrock.read_response(made, response)
    bedrock.read_chunk(yielded, response)
    assert seen(yielded) == seen(made)
    assert (str(made.texts[0]), str(made.reasoning)) == ("Yes indeed", "Hm")
    assert seen(made)["tools"] == [("t", "now", "{}"), ("u", "weather", '{"city": "Århus"}')]
    assert seen(made)["usage"] == Usage(17, 5, 4, 3)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"inputTokens": 0, "outputTokens": 0}, Usage(0, 0)),
        ({"inputTokens": 3, "cacheReadInputTokenCount": 2, "cacheWriteInputTokenCount": 0}, Usage(5, None, 2, 0)),
        ({"outputTokens": 2}, Usage(None, 2)),
        ({"totalTokens": 2}, None),
        ({"inputTokens": "3", "outputTokens": -1}, None),
        (None, None),
    ],
)
def test_usage(raw: Any, expected: Usage | None) -> None:
    """0 is a count; what is missing, or is none, is not known."""
    assert bedrock.read_usage(raw) == expected


def test_usage_that_is_missing_later() -> None:
    """A later usage adds to what an earlier one told, and takes nothing away."""
    made = read(metadata(), {"metadata": {"usage": {"outputTokens": 6, "inputTokens": None}}}, {"metadata": {}})
    assert bedrock.read_usage(made.usage) == Usage(17, 6, 4, 3)


def test_whatever_comes() -> None:
    """Fields that are missing, or of another type, are not read, and raise nothing."""
    read_any(bedrock.PROVIDER, [*HELLO, tool(1, "a"), arguments(1, "{}"), delta(reasoningContent={"text": "x"}),
                                metadata(serviceTier={"type": "x"}), {"throttlingException": {"message": "x"}},
                                whole({"text": "x"}, {"toolUse": {"name": "x", "input": {}}})])  # fmt: skip


@pytest.mark.parametrize("event", [*HELLO, tool(0, "a"), whole(), {"validationException": {"message": "no"}}])
def test_whose_chunks(event: dict[str, Any]) -> None:
    """Each event and a whole answer tell whose they are, and no other format claims them."""
    assert [one for one in providers.FORMATS if one.matches(event)] == [bedrock.PROVIDER]


@pytest.mark.parametrize("other", [
    *answer("Hello"), chunk("Hello", metadata={"usage": 1}), "messageStart", None, 7, [], {}, {"metadata": {}},
    {"output": "text"}, {"output": {"message": {}}}, {"messageStart": None}, {"chunk": {"bytes": b"{}"}},
    {"metadata": {"usage": {"input_tokens": 1}}}, {"trace": {"agentId": "A"}},
])  # fmt: skip
def test_not_its_chunks(other: Any) -> None:
    """Others' chunks, and what is none, are not claimed."""
    assert not bedrock.PROVIDER.matches(other)
