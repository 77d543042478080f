"""Recorded Bedrock streams through botocore's own parser, and as the dicts that it gives, watched by llmlog."""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from conftest import Records, recorded, sdk
from replaying import first, replay, watch

boto3 = sdk("boto3")

from botocore.awsrequest import AWSResponse  # noqa: E402 - after the skip
from botocore.eventstream import EventStream  # noqa: E402
from urllib3 import HTTPResponse  # noqa: E402

import llmlog  # noqa: E402
from llmlog import providers  # noqa: E402
from llmlog.answers import Answer  # noqa: E402
from llmlog.usage import Usage  # noqa: E402

CONVERSE = {"provider": "bedrock", "api": "converse_stream"}
INVOKE = {"provider": "bedrock", "api": "invoke_stream"}
AGENT = {"provider": "bedrock_agent", "api": "invoke_agent"}
AT_LEAST = {"converse_stream": 25, "invoke_stream": 24, "invoke_agent": 8}

# Its oracle counts a call that the provider ran itself (`server_tool_use`) among those that ask for an answer; the
# oracles of Anthropic's messages, agreed with by that SDK, do not.
WRONG = ["bedrock/converse_stream/pydantic_pydantic-ai__test_bedrock-test_bedrock_model_code_execution_tool_stream__i0"]


def tokens(usage: dict[str, Any]) -> dict[str, int | None]:
    """Each model's own counts, as the record should have them."""

    def one(*names: str) -> Any:
        return first(*map(usage.get, names))

    fresh = one("inputTokens", "input_tokens", "inputTextTokenCount", "prompt_token_count")
    read = one("cacheReadInputTokens", "cacheReadInputTokenCount", "cache_read_input_tokens")
    written = one("cacheWriteInputTokens", "cacheWriteInputTokenCount", "cache_creation_input_tokens")
    return {
        "input_tokens": None if fresh is None else int(fresh) + (read or 0) + (written or 0),
        "output_tokens": one("outputTokens", "output_tokens", "totalOutputTextTokenCount", "generation_token_count"),
        "cache_read_tokens": read,
        "cache_write_tokens": written,
    }


def of_agent(case: Any) -> None:
    """The oracles of agents know of no usage: it is in the traces, once for each call of a model that it made."""
    if case.meta["api"] != "invoke_agent":
        return
    steps = [
        step["modelInvocationOutput"]["metadata"]["usage"]
        for event in case.events()
        if event.event == "trace"
        for step in event.data["trace"].values()
        if isinstance(step, dict) and "modelInvocationOutput" in step
    ]
    assert case.meta["oracle"]["usage"] is None
    if steps:
        case.meta["oracle"]["usage"] = {
            name: sum(step[name] for step in steps) for name in ("inputTokens", "outputTokens")
        }


# The events as dicts ------------------------------------------------------------------------------


def events(case: Any) -> list[dict[str, Any]]:
    """As botocore gives them."""
    if case.meta["framing"] != "eventstream":  # saved as such
        return list(case.payloads())
    made = []
    for event in case.events():
        data = event.data
        if event.event == "chunk":
            text = data if isinstance(data, str) else json.dumps(data)
            data = {"bytes": text.encode()}
        made.append({event.event.lstrip("!"): data})
    return made


def dicts(case: Any) -> None:
    """With the provider's name."""
    of_agent(case)
    watch(case, events(case), case.meta["provider"])


def unnamed(case: Any) -> None:
    """Known by their shape."""
    of_agent(case)
    watch(case, events(case), None)


def bare(case: Any) -> None:
    """What stands in the events, without them."""
    watch(case, case.payloads(), case.meta["provider"])


WAYS = [
    *((selection, way) for selection in (CONVERSE, INVOKE, AGENT) for way in (dicts, unnamed)),
    (CONVERSE, bare),
    (INVOKE, bare),
]


@pytest.mark.parametrize(("selection", "way"), WAYS, ids=lambda given: getattr(given, "__name__", None))
def test_replay_of_dicts(
    cases: ModuleType,
    calls: Records,
    selection: dict[str, str],
    way: Callable[[Any], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every recorded stream as dicts: figures as the oracle has them."""
    with capsys.disabled():
        replay(
            cases, calls, way, tokens, selection,
            label=f"{selection['api']} ({way.__name__})", at_least=AT_LEAST[selection["api"]], monkeypatch=monkeypatch,
            provider=lambda case: "bedrock" if way is unnamed else case.meta["provider"], wrong=WRONG,
        )  # fmt: skip


ENDS = re.compile(r'messageStop|message_stop|stop_reason": "|completionReason": "|INTERVENED')


@pytest.mark.parametrize("selection", [CONVERSE, INVOKE, AGENT], ids=lambda selection: selection["api"])
def test_cut_anywhere(cases: ModuleType, selection: dict[str, str]) -> None:
    """What is known after each event: counts only grow, and the answer is whole only where an event has said so."""
    for case in recorded(cases, **selection):
        answer, reader, ended, before = Answer(), providers.UNKNOWN, False, [0, 0, 0]
        for event in events(case):
            reader = reader.pick(event) if reader.formats else reader
            reader.chunk(answer, event)
            ended |= ENDS.search(repr(event)) is not None
            assert answer.finished() is ended or not reader.ends, (case.id, event)
            usage = reader.usage(answer.usage) or Usage()
            now = [len(answer.texts[0]), usage.input_tokens or 0, usage.output_tokens or 0]
            assert all(one <= other for one, other in zip(before, now, strict=True)), case.id
            before = now


# botocore -----------------------------------------------------------------------------------------


_clients: dict[str, tuple[Any, list[tuple[bytes, str]]]] = {}  # making one takes longer than reading a stream with it


def client(service: str, body: bytes, kind: str = "application/vnd.amazon.eventstream") -> Any:
    """A client to which the service answers every request with `body`."""
    if service not in _clients:
        made = boto3.client(service, region_name="us-east-1", aws_access_key_id="AKIA", aws_secret_access_key="example")
        answers: list[tuple[bytes, str]] = []

        def answer(request: Any, **_: Any) -> AWSResponse:
            body, kind = answers[-1]
            raw = HTTPResponse(io.BytesIO(body), headers={"content-type": kind}, status=200, preload_content=False)
            return AWSResponse(request.url, 200, dict(raw.headers), raw)

        made.meta.events.register("before-send", answer)
        _clients[service] = made, answers
    found, answers = _clients[service]
    answers[:] = [(body, kind)]
    return found


def opened(api: str, body: bytes) -> Any:
    """The event stream that the client's method for this API gives."""
    if api == "converse_stream":
        return client("bedrock-runtime", body).converse_stream(modelId="m", messages=[])["stream"]
    if api == "invoke_stream":
        return client("bedrock-runtime", body).invoke_model_with_response_stream(modelId="m", body=b"{}")["body"]
    asked = client("bedrock-agent-runtime", body)
    return asked.invoke_agent(agentId="A", agentAliasId="B", sessionId="session", inputText="?")["completion"]


def drain(stream: Any) -> list[Any]:
    """The events, with the error that ended them, if one did."""
    got: list[Any] = []
    try:
        got.extend(stream)
    except Exception as error:
        got.append(f"{type(error).__name__}: {error}")
    return got


@pytest.mark.parametrize("selection", [CONVERSE, INVOKE, AGENT], ids=lambda selection: selection["api"])
def test_replay(
    cases: ModuleType,
    calls: Records,
    selection: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every recorded body through botocore's parser: figures as the oracle's, events as the bare client gives them."""
    body: Callable[[Any], bytes] = lambda case: (  # noqa: E731 - what was saved as dicts gets its framing back
        case.raw if case.meta["framing"] == "eventstream" else b"".join(map(framed, case.payloads()))
    )

    def way(case: Any) -> None:
        of_agent(case)
        bare = drain(opened(selection["api"], body(case)))
        assert bare
        stream = llmlog.stream(opened(selection["api"], body(case)), provider=case.meta["provider"])
        assert isinstance(stream, EventStream)
        assert drain(stream) == bare, case.id

    with capsys.disabled():
        replay(
            cases, calls, way, tokens, selection, label=f"{selection['api']} (botocore)",
            at_least=AT_LEAST[selection["api"]], monkeypatch=monkeypatch,
            provider=lambda case: case.meta["provider"], wrong=WRONG,
        )  # fmt: skip


def framed(event: dict[str, Any], kind: str = "event") -> bytes:
    """One message of an event stream."""
    ((name, data),) = event.items()
    fields = {":message-type": kind, f":{kind}-type": name, ":content-type": "application/json"}
    headers = b"".join(
        struct.pack("B", len(key)) + key.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for key, value in fields.items()
    )
    payload = json.dumps(data).encode()
    prelude = struct.pack(">II", len(headers) + len(payload) + 16, len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))


HELLO: list[dict[str, Any]] = [
    {"messageStart": {"role": "assistant"}},
    {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "Hello"}}},
    {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": " world"}}},
    {"contentBlockStop": {"contentBlockIndex": 0}},
    {"messageStop": {"stopReason": "end_turn"}},
    {"metadata": {"usage": {"inputTokens": 9, "outputTokens": 2, "totalTokens": 11}, "metrics": {"latencyMs": 5}}},
]


def hello(*, upto: int = len(HELLO), error: dict[str, Any] | None = None) -> Any:
    """A stream of botocore's, of the first so many events, and then an exception."""
    body = b"".join(map(framed, HELLO[:upto])) + (framed(error, "exception") if error else b"")
    return opened("converse_stream", body)


def test_an_error_in_the_stream(calls: Records) -> None:
    """botocore raises the exception that came as an event: the consumer gets it, and the record is an error."""
    failure = {"throttlingException": {"message": "Too many tokens, please wait"}}
    stream = llmlog.stream(hello(upto=2, error=failure))
    got = drain(stream)
    assert got == drain(hello(upto=2, error=failure))
    assert "throttlingException" in got[-1]
    record = calls.one()
    assert (record["outcome"], record["ended_by"], record["chunks"]) == ("error", "exception", 2)
    assert record["error_type"] == "botocore.exceptions.EventStreamError"
    assert "Too many tokens" in record["error_message"]


def leave_with(stream: Any) -> None:
    with stream:
        next(iter(stream))


def leave_by_close(stream: Any) -> None:
    for _ in stream:
        stream.close()
        break


def leave_by_break(stream: Any) -> None:
    for event in stream:
        if "contentBlockDelta" in event:
            break


@pytest.mark.parametrize(
    ("leave", "ended_by", "closed"),
    [(leave_with, "context_exit", True), (leave_by_close, "close", True), (leave_by_break, "loop_left", False)],
)
def test_left_early(calls: Records, leave: Callable[[Any], None], ended_by: str, closed: bool) -> None:
    """botocore's event stream has `close()` and no `with`: both are there, and a loop may be left."""
    source = hello()
    closings: list[bool] = []
    source.close = lambda: closings.append(True)
    leave(llmlog.stream(source))
    llmlog.flush()
    record = calls.one()
    assert (record["outcome"], record["ended_by"], record["provider"]) == ("aborted", ended_by, "bedrock")
    assert closings == [True] * closed


def test_cut(calls: Records) -> None:
    """A body that ends in the middle is incomplete."""
    assert len(drain(llmlog.stream(hello(upto=3)))) == 3
    assert (calls.one()["outcome"], calls.one()["response_length"]) == ("incomplete", 11)


def test_whole_answers(calls: Records) -> None:
    """`converse()` as it is, `invoke_model()` by its parsed body."""
    said = {"output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}}, "stopReason": "end_turn",
            "usage": {"inputTokens": 9, "outputTokens": 1, "totalTokens": 14, "cacheReadInputTokens": 4},
            "metrics": {"latencyMs": 7}}  # fmt: skip
    runtime = client("bedrock-runtime", json.dumps(said).encode(), "application/json")
    with llmlog.call(model="amazon.nova-lite-v1:0") as call:
        response = runtime.converse(modelId="amazon.nova-lite-v1:0", messages=[])
        assert call.finish(response) is response
    assert_whole(calls)
    with llmlog.call() as call:
        call.finish(json.loads(runtime.invoke_model(modelId="m", body=b"{}")["body"].read()))
    assert_whole(calls)


def assert_whole(calls: Records) -> None:
    record = calls.one()
    assert (record["outcome"], record["provider"], record["usage_source"]) == ("completed", "bedrock", "provider")
    assert (record["input_tokens"], record["output_tokens"], record["cache_read_tokens"]) == (13, 1, 4)
    assert record["response_length"] == 5
    calls.records.clear()


def test_a_body_that_is_yet_to_be_read(calls: Records) -> None:
    """`invoke_model()`'s answer itself: its body is left for the caller to read."""
    response = client("bedrock-runtime", b'{"outputText": "Hi"}', "application/json").invoke_model(
        modelId="m", body=b"{}"
    )
    with llmlog.call() as call:
        call.finish(response)
    assert response["body"].read() == b'{"outputText": "Hi"}'
    assert calls.one()["outcome"] == "completed"


def several(stream: Any) -> Iterator[Any]:
    yield from stream


def test_from_a_generator(calls: Records) -> None:
    """Handed on by `yield from`, as an application's own generator does."""
    assert list(several(llmlog.stream(hello()))) == HELLO
    record = calls.one()
    assert (record["outcome"], record["input_tokens"], record["output_tokens"]) == ("completed", 9, 2)
