"""Bedrock's InvokeModel: what is read of each model's JSON, in a stream's chunks and as whole bodies."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conftest import Records, answer
from test_bedrock import HELLO as NOVA
from test_bedrock import mangled, read_any

import llmlog
from llmlog import providers
from llmlog.answers import Answer
from llmlog.providers import bedrock_invoke
from llmlog.usage import Usage

METRICS = {"inputTokenCount": 9, "outputTokenCount": 2, "invocationLatency": 5, "firstByteLatency": 3}
LAST = {"amazon-bedrock-invocationMetrics": METRICS}


def wrapped(*events: dict[str, Any]) -> list[dict[str, Any]]:
    """Each as the bytes of a chunk; the last one with Bedrock's counts."""
    events = (*events[:-1], {**events[-1], **LAST})
    return [{"chunk": {"bytes": json.dumps(event).encode()}} for event in events]


def choice(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, **fields}]}


CLAUDE: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"type": "message", "role": "assistant", "id": "msg_1", "model": "claude-x",
                                          "content": [], "usage": {"input_tokens": 10, "output_tokens": 1,
                                                                   "cache_read_input_tokens": 4}}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
    {"type": "message_stop"},
]  # fmt: skip
STREAMS: dict[str, tuple[list[dict[str, Any]], str, Usage]] = {
    "claude": (CLAUDE, "end_turn", Usage(14, 5, 4)),
    "claude, older": ([{"type": "completion", "completion": "Hel", "stop_reason": None, "stop": None},
                       {"type": "completion", "completion": "lo", "stop_reason": "stop_sequence"}],
                      "stop_sequence", Usage(9, 2)),
    "nova": ([event for event in NOVA if "world" not in str(event)], "end_turn", Usage(17, 5, 4, 3)),
    "llama": ([{"generation": "Hello", "prompt_token_count": 12, "generation_token_count": 1, "stop_reason": None},
               {"generation": "", "prompt_token_count": None, "generation_token_count": 3, "stop_reason": "length"}],
              "length", Usage(12, 3)),
    "titan": ([{"outputText": "Hel", "index": 0, "totalOutputTextTokenCount": None, "completionReason": None,
                "inputTextTokenCount": 7},
               {"outputText": "lo", "index": 0, "totalOutputTextTokenCount": 4, "completionReason": "FINISH",
                "inputTextTokenCount": None}], "FINISH", Usage(7, 4)),
    "cohere": ([{"is_finished": False, "index": 0, "text": "Hello"},
                {"is_finished": True, "index": 0, "finish_reason": "COMPLETE"}], "COMPLETE", Usage(9, 2)),
    "cohere, chat": ([{"event_type": "text-generation", "text": "Hello", "is_finished": False},
                      {"event_type": "stream-end", "finish_reason": "COMPLETE", "is_finished": True,
                       "response": {"text": "Hello", "generation_id": "g", "meta": {"billed_units": {
                           "input_tokens": 6, "output_tokens": 1}}}}], "COMPLETE", Usage(6, 1)),
    "mistral": ([{"outputs": [{"text": "Hel", "stop_reason": None}]},
                 {"outputs": [{"text": "lo", "stop_reason": "stop"}]}],
                "stop", Usage(9, 2)),
    "mistral, chat": ([choice(message={"role": "assistant", "content": "Hello"}, stop_reason=None),
                       choice(message={"content": ""}, stop_reason="stop")], "stop", Usage(9, 2)),
    "jamba": ([choice(delta={"role": "assistant", "content": "Hello"}), choice(delta={}, finish_reason="stop"),
               {"choices": [], "usage": {"prompt_tokens": 8, "completion_tokens": 2}}], "stop", Usage(8, 2)),
    "deepseek": ([choice(text="Hel", stop_reason=None), choice(text="lo", stop_reason="length")],
                 "length", Usage(9, 2)),
}  # fmt: skip


@pytest.mark.parametrize("model", STREAMS)
def test_a_stream(calls: Records, model: str) -> None:
    """Each model's pieces, reason and usage; Bedrock's counts where the model tells none."""
    events, reason, usage = STREAMS[model]
    chunks = wrapped(*events)
    for options in ({}, {"provider": "bedrock"}, {"provider": "aws.bedrock"}):
        calls.records.clear()
        stream: Any = llmlog.stream(iter(chunks), **options)  # type: ignore[call-overload]
        assert list(stream) == chunks
        record = calls.one()
        assert record["provider"] == options.get("provider", "bedrock")
        assert (record["outcome"], record["finish_reason"], record["response_length"]) == ("completed", reason, 5)
        assert record["usage_source"] == "provider"
        assert {name: record[name] for name in usage.as_fields()} == usage.as_fields()


@pytest.mark.parametrize("model", STREAMS)
def test_a_stream_cut_at_its_start(calls: Records, model: str) -> None:
    """What ends before its last chunk is incomplete."""
    end = 2 if model in ("claude", "nova") else 1
    list(llmlog.stream(iter(wrapped(*STREAMS[model][0])[:end])))
    assert (calls.one()["outcome"], calls.one()["provider"]) == ("incomplete", "bedrock")


@pytest.mark.parametrize("model", set(STREAMS) - {"mistral, chat", "deepseek"})
def test_without_the_chunks(calls: Records, model: str) -> None:
    """The JSON alone, as a user hands it on: read by the format's own module, where it has one."""
    events, reason, _ = STREAMS[model]
    list(llmlog.stream(iter(events), provider="bedrock"))
    record = calls.one()
    assert (record["provider"], record["finish_reason"]) == ("bedrock", reason)
    assert (record["outcome"], record["response_length"]) == ("completed", 5)


WHOLE: dict[str, tuple[dict[str, Any], str, Usage | None]] = {
    "titan": ({"inputTextTokenCount": 7, "results": [{"tokenCount": 4, "outputText": "Hello",
                                                      "completionReason": "CONTENT_FILTERED"}]},
              "CONTENT_FILTERED", Usage(7, 4)),
    "llama": ({"generation": "Hello", "prompt_token_count": 12, "generation_token_count": 3, "stop_reason": "stop"},
              "stop", Usage(12, 3)),
    "mistral": ({"outputs": [{"text": "Hello", "stop_reason": "stop"}]}, "stop", None),
    "jurassic": ({"id": 1, "prompt": {"text": "Hi"}, "completions": [{"data": {"text": "Hello"},
                                                                      "finishReason": {"reason": "endoftext"}}]},
                 "endoftext", None),
    "claude, older": ({"completion": "Hello", "stop_reason": "stop_sequence", "stop": "x"}, "stop_sequence", None),
}  # fmt: skip


@pytest.mark.parametrize("model", WHOLE)
def test_a_whole_body(model: str) -> None:
    """Parsed from `invoke_model()`'s body: no other format claims it."""
    body, reason, usage = WHOLE[model]
    assert [one for one in providers.FORMATS if one.matches(body)] == [bedrock_invoke.PROVIDER]
    made = Answer()
    bedrock_invoke.read_response(made, body)
    assert (str(made.texts[0]), made.finish_reasons, made.finished()) == ("Hello", {0: reason}, True)
    assert bedrock_invoke.read_usage(made.usage) == usage
    assert made.content_filtered is (reason == "CONTENT_FILTERED")


def test_several_choices() -> None:
    """Each text under its own choice."""
    completions = [{"data": {"text": text}, "finishReason": {"reason": text}} for text in ("one", "two", "")]
    made = Answer()
    bedrock_invoke.read_response(made, {"completions": completions})
    assert {choice: str(text) for choice, text in made.texts.items()} == {0: "one", 1: "two"}
    assert (made.finish_reasons, made.content_chunks) == ({0: "one", 1: "two"}, 2)


def test_a_body_that_is_yet_to_be_read() -> None:
    """The answer of `invoke_model()` itself: the counts in its headers, its body left alone."""
    told = {"input": "9", "output": "2", "cache-read-input": "4", "cache-write-input": "?"}
    headers = {f"x-amzn-bedrock-{name}-token-count": count for name, count in told.items()}
    response = {"body": object(), "ResponseMetadata": {"HTTPHeaders": headers}}
    assert [one for one in providers.FORMATS if one.matches(response)] == [bedrock_invoke.PROVIDER]
    made = Answer()
    bedrock_invoke.read_response(made, response)
    assert bedrock_invoke.read_usage(made.usage) == Usage(13, 2, 4)
    assert not bedrock_invoke.PROVIDER.matches({"body": object(), "ResponseMetadata": {"HTTPHeaders": {}}})


def test_metrics_beside_the_models_own_counts() -> None:
    """The model's own counts are the answer's; Bedrock's stand in where one of them is missing."""
    made = Answer()
    for chunk in wrapped(CLAUDE[0], CLAUDE[3]):
        bedrock_invoke.read_chunk(made, chunk)
    assert bedrock_invoke.read_usage(made.usage) == Usage(14, 1, 4)
    made = Answer()
    bedrock_invoke.read_chunk(
        made, *wrapped({"outputText": "Hi", "completionReason": "FINISH", "inputTextTokenCount": 7})
    )
    assert bedrock_invoke.read_usage(made.usage) == Usage(9, 2)
    assert bedrock_invoke.read_usage(
        {**METRICS, "cacheReadInputTokenCount": 0, "cacheWriteInputTokenCount": 3}
    ) == Usage(12, 2, 0, 3)


@pytest.mark.parametrize(
    ("reason", "outcome"), [("Guardrail blocked.", "completed"), ("Guardrail masked.", "incomplete")]
)
def test_a_guardrail(calls: Records, reason: str, outcome: str) -> None:
    """What a guardrail blocks has neither a reason nor metrics, and is whole; what it masks goes on."""
    event = {"outputText": "Blocked", "index": 0.0, "totalOutputTextTokenCount": 3.0, "inputTextTokenCount": 6.0,
             "amazon-bedrock-guardrailAction": "INTERVENED",
             "amazon-bedrock-trace": {"guardrail": {"actionReason": reason}}}  # fmt: skip
    list(llmlog.stream(iter([{"chunk": {"bytes": json.dumps(event).encode()}}])))
    record = calls.one()
    assert (record["outcome"], record["content_filtered"]) == (outcome, True)
    assert record["input_tokens"] == 6


def test_an_exception_in_the_stream(calls: Records) -> None:
    """An exception that comes as an event, where the source does not raise it."""
    list(llmlog.stream(iter([*wrapped(*CLAUDE)[:2], {"modelTimeoutException": {"message": "no"}}])))
    record = calls.one()
    assert (record["outcome"], record["http_status"], record["error_message"]) == ("error", 408, "no")


@pytest.mark.parametrize("payload", [b"", b"null", b"[1]", b"{", b"\xff", b'"x"', b"[" * 100_000])
def test_what_is_no_object(payload: bytes) -> None:
    """Is not read in the middle of a stream, and does not begin one."""
    made = Answer()
    bedrock_invoke.read_chunk(made, {"chunk": {"bytes": payload}})
    bedrock_invoke.read_chunk(made, {"chunk": {"bytes": bytearray(payload)}})
    assert made.content_chunks == 0
    assert not bedrock_invoke.PROVIDER.matches({"chunk": {"bytes": payload}})


@pytest.mark.parametrize("model", [*STREAMS, *WHOLE])
def test_whatever_comes(model: str) -> None:
    """Fields that are missing, or of another type, are not read, and raise nothing."""
    events = STREAMS[model][0] if model in STREAMS else [WHOLE[model][0]]
    reader = bedrock_invoke.PROVIDER
    read_any(reader, [*events[:-1], {**events[-1], **LAST}])
    for odd in mangled(events[0]):
        if isinstance(odd, dict):
            chunk = {"chunk": {"bytes": json.dumps(odd, default=str).encode()}}
            assert reader.matches(chunk) in (True, False)
            reader.chunk(Answer(), chunk)


@pytest.mark.parametrize("model", STREAMS)
def test_whose_chunks(model: str) -> None:
    """Each chunk tells whose it is, and no other format claims it."""
    for chunk in wrapped(*STREAMS[model][0]):
        assert [one for one in providers.FORMATS if one.matches(chunk)] == [bedrock_invoke.PROVIDER]


@pytest.mark.parametrize("other", [
    *answer("Hello"), *CLAUDE, *NOVA, "Hi", None, 7, [], {}, {"chunk": {"bytes": b"Hi"}}, {"outputText": "x"},
    {"generation": "x"}, {"results": [{"generated_text": "x"}]}, {"completion": "x"}, {"outputs": "x"},
])  # fmt: skip
def test_not_its_chunks(other: Any) -> None:
    """Others' chunks, and what is none, are not claimed."""
    assert not bedrock_invoke.PROVIDER.matches(other)
