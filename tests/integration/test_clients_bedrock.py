"""wrap() and every way in which boto3 calls a model of Bedrock's, against a local server."""

from __future__ import annotations

import base64
import binascii
import io
import json
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Records
from local_server import Reply, answering, whole

import llmlog

boto3 = pytest.importorskip("boto3")
botocore_config = pytest.importorskip("botocore.config")
botocore_exceptions = pytest.importorskip("botocore.exceptions")

CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
CONVERSE: Any = {
    "modelId": CLAUDE,
    "messages": [{"role": "user", "content": [{"text": "hello there"}]}],
    "system": [{"text": "be brief"}],
    "inferenceConfig": {"temperature": 0.5, "maxTokens": 9, "topP": 0.25},
    "additionalModelRequestFields": {"top_k": 3},
}
BODY: Any = {"messages": [{"role": "user", "content": "hello there"}], "system": "be brief", "temperature": 0.5,
             "max_tokens": 9, "top_p": 0.25, "top_k": 3}  # fmt: skip
INVOKE: Any = {"modelId": CLAUDE, "body": json.dumps(BODY)}
TITAN: Any = {"modelId": "amazon.titan-embed-text-v2:0", "body": b'{"inputText": "hello there"}'}

# What the server answers


def event(kind: str, payload: Any, message: str = "event") -> bytes:
    """One event of Amazon's binary stream format."""
    named = {f":{message}-type": kind, ":content-type": "application/json", ":message-type": message}
    headers = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in named.items()
    )
    body = json.dumps(payload).encode()
    sizes = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    prelude = sizes + struct.pack(">I", binascii.crc32(sizes))
    return prelude + headers + body + struct.pack(">I", binascii.crc32(prelude + headers + body))


USAGE = {"inputTokens": 9, "outputTokens": 2, "totalTokens": 11}
CONVERSED = {"output": {"message": {"role": "assistant", "content": [{"text": "Hello world"}]}},
             "stopReason": "end_turn", "usage": USAGE, "metrics": {"latencyMs": 1}}  # fmt: skip
CONVERSED_EVENTS = [
    event("messageStart", {"role": "assistant"}),
    event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hello "}}),
    event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "world"}}),
    event("messageStop", {"stopReason": "end_turn"}),
    event("metadata", {"usage": USAGE, "metrics": {"latencyMs": 1}}),
]
MESSAGE = {"type": "message", "role": "assistant", "id": "msg_1", "model": "claude", "content": [],
           "usage": {"input_tokens": 9, "output_tokens": 2}}  # fmt: skip
INVOKED = {**MESSAGE, "content": [{"type": "text", "text": "Hello world"}], "stop_reason": "end_turn"}
INVOKED_EVENTS = [
    event("chunk", {"bytes": base64.b64encode(json.dumps(one).encode()).decode()})
    for one in (
        {"type": "message_start", "message": MESSAGE},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello world"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    )
]
COUNTS = {"x-amzn-bedrock-input-token-count": "9", "x-amzn-bedrock-output-token-count": "2"}
STREAM = "application/vnd.amazon.eventstream"


def answers(path: str, body: bytes) -> Reply | None:
    """A model of the name of an error gets it; "hangs" gets nothing."""
    model, _, operation = path.removeprefix("/model/").partition("/")
    if model == "denied":
        return whole({"message": "no"}, status=403, headers={"x-amzn-errortype": "AccessDeniedException"})
    if model == "throttled":
        return whole({"message": "slow"}, status=429, headers={"x-amzn-errortype": "ThrottlingException"})
    if model == "hangs":
        return Reply([], hangs=True)
    if operation == "converse":
        return whole(CONVERSED)
    if operation == "converse-stream":
        fault = [event("throttlingException", {"message": "slow"}, "exception")] if model == "breaks" else []
        return Reply([*CONVERSED_EVENTS[:3], *fault] if fault else CONVERSED_EVENTS, STREAM)
    if operation == "invoke":
        titan = {"embedding": [0.5], "inputTextTokenCount": 9}
        return whole(titan if "titan" in model else INVOKED, headers=COUNTS)
    if operation == "invoke-with-response-stream":
        return Reply(INVOKED_EVENTS, STREAM)
    return None


# botocore leaves the connection of a stream that nobody closes to the collector, with a warning.
LEFT_OPEN = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")


def client_of(url: str, **options: Any) -> Any:
    config = botocore_config.Config(retries={"total_max_attempts": 1}, **options)
    return boto3.client(
        "bedrock-runtime", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b", endpoint_url=url,
        config=config,
    )  # fmt: skip


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server that answers as Bedrock does."""
    with answering(answers) as at:
        yield at


@pytest.fixture(scope="module")
def made(url: str) -> Iterator[Any]:
    """A client; making one takes long."""
    client = client_of(url)
    yield client
    client.close()


@pytest.fixture
def client(made: Any) -> Iterator[Any]:
    """The client, wrapped."""
    assert llmlog.wrap(made, team="search") is made
    yield made
    llmlog.unwrap(made)


ASKED = {
    "provider": "bedrock", "operation": "chat", "model": CLAUDE, "outcome": "completed", "ended_by": "exhausted",
    "input_tokens": 9, "output_tokens": 2, "usage_source": "provider", "response_length": 11, "prompt_length": 19,
    "temperature": 0.5, "max_tokens": 9, "top_p": 0.25, "top_k": 3, "team": "search", "finish_reason": "end_turn",
}  # fmt: skip
EMBEDDED = {"operation": "embeddings", "model": TITAN["modelId"], "outcome": "completed", "prompt_length": 11,
            "input_tokens": 9, "team": "search"}  # fmt: skip
USED: dict[str, tuple[str, Any, Callable[[Any], Any], Any]] = {
    "converse": ("converse", CONVERSE, lambda answer: answer["output"], ASKED),
    "converse_stream": ("converse_stream", CONVERSE, lambda answer: list(answer["stream"]), {**ASKED, "chunks": 5}),
    "invoke_model": ("invoke_model", INVOKE, lambda answer: answer["body"].read(), ASKED),
    "invoke_model, embeddings": ("invoke_model", TITAN, lambda answer: answer["body"].read(), EMBEDDED),
    "invoke_model_with_response_stream": (
        "invoke_model_with_response_stream", INVOKE, lambda answer: list(answer["body"]), {**ASKED, "chunks": 6},
    ),
}  # fmt: skip


@pytest.mark.parametrize("used", USED)
def test_an_operation(client: Any, calls: Records, used: str) -> None:
    """Each operation that calls a model has one record, with its figures."""
    name, params, use, expected = USED[used]
    before = json.dumps(params, default=str)
    assert use(getattr(client, name)(**params))
    record = calls.one()
    assert {field: record.get(field) for field in expected} == expected
    assert record["streamed"] is ("stream" in name)
    assert json.dumps(params, default=str) == before


@pytest.mark.parametrize("name", ["converse", "converse_stream", "invoke_model", "invoke_model_with_response_stream"])
@pytest.mark.parametrize(("model", "status"), [("denied", 403), ("throttled", 429)])
def test_an_http_error(client: Any, calls: Records, name: str, model: str, status: int) -> None:
    """An HTTP error is botocore's exception, and one record with its status."""
    with pytest.raises(botocore_exceptions.ClientError):
        getattr(client, name)(**{**(CONVERSE if "converse" in name else INVOKE), "modelId": model})
    assert (calls.one()["outcome"], calls.one()["http_status"]) == ("error", status)


def test_no_answer(calls: Records, url: str) -> None:
    """A provider that does not answer, and one that is not there."""
    late = llmlog.wrap(client_of(url, read_timeout=0.3))
    with pytest.raises(botocore_exceptions.ReadTimeoutError):
        late.converse(**{**CONVERSE, "modelId": "hangs"})
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
    missing = llmlog.wrap(client_of(nobody))
    with pytest.raises(botocore_exceptions.EndpointConnectionError):
        missing.converse(**CONVERSE)
    assert [record["ended_by"] for record in calls.all()] == ["exception"] * 2
    late.close()
    missing.close()


def test_what_boto3_refuses(client: Any, calls: Records) -> None:
    """Parameters that are wrong are botocore's to refuse, and have their record."""
    with pytest.raises(botocore_exceptions.ParamValidationError):
        client.converse(modelId=5)
    assert calls.one()["outcome"] == "error"


@LEFT_OPEN
def test_an_error_in_the_stream(client: Any, calls: Records) -> None:
    """A stream that breaks: what came is counted."""
    with pytest.raises(botocore_exceptions.EventStreamError):
        list(client.converse_stream(**{**CONVERSE, "modelId": "breaks"})["stream"])
    record = calls.one()
    assert (record["outcome"], record["ended_by"], record["response_length"]) == ("error", "exception", 11)


@LEFT_OPEN
@pytest.mark.parametrize("how", ["break", "close", "with", "never"])
def test_how_a_stream_is_left(client: Any, calls: Records, how: str) -> None:
    """Whatever the consumer does with a stream, there is one record, and it says so."""
    answer = client.converse_stream(**CONVERSE)
    stream = answer["stream"]
    assert stream.__class__.__name__ == "EventStream"
    if how == "break":
        for _ in stream:
            break
    elif how == "close":
        next(iter(stream))
        stream.close()
    elif how == "with":
        with stream:
            next(iter(stream))
    del stream, answer
    expected = {"break": "loop_left", "close": "close", "with": "context_exit", "never": "garbage_collected"}
    assert (calls.one()["outcome"], calls.one()["ended_by"]) == ("aborted", expected[how])


READ: dict[str, Callable[[Any], Any]] = {
    "read": lambda body: body.read(),
    "read in pieces": lambda body: b"".join(iter(lambda: body.read(7), b"")),
    "for": lambda body: b"".join(body),
    "iter_chunks": lambda body: b"".join(body.iter_chunks(5)),
    "iter_lines": lambda body: b"".join(body.iter_lines()),
    "readlines": lambda body: b"".join(body.readlines()),
    "readinto": lambda body: io.BufferedReader(body).read(),
    "with": lambda body: body.__enter__().read(),
    "json.load": lambda body: json.dumps(json.load(body)).encode(),
}


@pytest.mark.parametrize("how", READ)
def test_ways_to_read_a_body(client: Any, calls: Records, how: str) -> None:
    """A body is read once, whichever way, and then there is its record."""
    answer = client.invoke_model(**INVOKE)
    assert calls.all() == []
    body = answer["body"]
    assert type(body).__name__ == "StreamingBody"
    assert json.loads(READ[how](body)) == INVOKED
    record = calls.one()
    assert (record["outcome"], record["ended_by"], record["response_length"]) == ("completed", "exhausted", 11)


@pytest.mark.parametrize(("how", "ended_by"), [("never", "garbage_collected"), ("a part", "garbage_collected"),
                                               ("close", "close"), ("with", "close")])  # fmt: skip
def test_a_body_that_is_not_read(client: Any, calls: Records, how: str, ended_by: str) -> None:
    """A body that nobody reads to its end was paid for: the counts stand in the headers."""
    answer = client.invoke_model(**INVOKE)
    if how == "a part":
        answer["body"].read(5)
    elif how == "close":
        answer["body"].close()
    elif how == "with":
        with answer["body"]:
            pass
    del answer
    record = calls.one()
    assert (record["outcome"], record["ended_by"]) == ("aborted", ended_by)
    assert (record["input_tokens"], record["output_tokens"]) == (9, 2)


def test_wrap_and_unwrap(made: Any, calls: Records) -> None:
    """unwrap() leaves no trace in the client; wrapping again replaces the options."""
    assert made.exceptions is not None  # made when it is first used
    before = dict(vars(made))
    llmlog.wrap(made, team="one")
    llmlog.wrap(made, team="two", capture=5)
    made.converse(**CONVERSE)
    assert (calls.one()["team"], calls.one()["response"]) == ("two", "Hell…")
    assert llmlog.unwrap(made) is made
    assert vars(made) == before
    made.converse(**CONVERSE)
    assert len(calls.all()) == 1


def test_other_services() -> None:
    """A client for another service is none that calls models."""
    other = boto3.client("sts", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    with pytest.raises(TypeError, match="bedrock-runtime"):
        llmlog.wrap(other)
    other.close()
