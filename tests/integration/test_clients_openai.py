"""wrap() and every way in which the openai SDK calls a model, sync and async, against a local server."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Records
from local_server import Reply, answering, events, whole

import llmlog

openai = pytest.importorskip("openai")

MESSAGES: Any = [{"role": "user", "content": "hello there"}]
CHAT = {"model": "gpt-4o-mini", "messages": MESSAGES}
RESPONSE = {"model": "gpt-4o-mini", "instructions": "be brief", "input": "hello there"}
COMPLETION = {"model": "gpt-3.5-turbo-instruct", "prompt": "hello there"}
EMBEDDING = {"model": "text-embedding-3-small", "input": ["hello", "there"]}
STREAM = {"stream": True}


def audio() -> dict[str, Any]:
    return {"model": "gpt-4o-mini-transcribe", "file": ("a.wav", io.BytesIO(b"RIFF"))}


# What the server answers

USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
RESPONSE_USAGE = {"input_tokens": 9, "output_tokens": 2, "total_tokens": 11}
HEAD = {"id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-4o-mini", "parallel_tool_calls": True,
        "tool_choice": "auto", "tools": []}  # fmt: skip
TEXT = {"type": "output_text", "text": "Hello world", "annotations": []}
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [TEXT]}
DONE = {**HEAD, "status": "completed", "output": [MESSAGE], "usage": RESPONSE_USAGE}


def chunk(kind: str, **choice: Any) -> dict[str, Any]:
    return {"id": "c", "object": kind, "created": 1, "model": "gpt-4o-mini", "choices": [{"index": 0, **choice}]}


def chat(body: dict[str, Any]) -> Reply:
    if not body.get("stream"):
        message = {"role": "assistant", "content": '{"x": 1}' if "response_format" in body else "Hello world"}
        return whole({**chunk("chat.completion", message=message, finish_reason="stop"), "usage": USAGE})
    kind = "chat.completion.chunk"
    sent = [chunk(kind, delta={"role": "assistant", "content": "Hello "}), chunk(kind, delta={"content": "world"}),
            chunk(kind, delta={}, finish_reason="stop")]  # fmt: skip
    if (body.get("stream_options") or {}).get("include_usage"):
        sent.append({**chunk(kind), "choices": [], "usage": USAGE})
    return events(*sent, done=True)


def completion(body: dict[str, Any]) -> Reply:
    kind = "text_completion"
    if not body.get("stream"):
        return whole({**chunk(kind, text="Hello world", finish_reason="stop"), "usage": USAGE})
    sent = [chunk(kind, text="Hello ", finish_reason=None), chunk(kind, text="world", finish_reason="stop")]
    if (body.get("stream_options") or {}).get("include_usage"):
        sent.append({**chunk(kind), "choices": [], "usage": USAGE})
    return events(*sent, done=True)


def response(body: dict[str, Any]) -> Reply:
    if not body.get("stream"):
        return whole(DONE)
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    sent: list[dict[str, Any]] = [
        {"type": "response.created", "response": {**HEAD, "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**MESSAGE, "content": []}},
        {"type": "response.content_part.added", **at, "part": {**TEXT, "text": ""}},
        {"type": "response.output_text.delta", **at, "delta": "Hello ", "logprobs": []},
        {"type": "response.output_text.delta", **at, "delta": "world", "logprobs": []},
        {"type": "response.output_item.done", "output_index": 0, "item": MESSAGE},
        {"type": "response.completed", "response": DONE},
    ]
    return events(*({**one, "sequence_number": n} for n, one in enumerate(sent)), named=True)


def embedding(body: dict[str, Any]) -> Reply:
    data = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]
    return whole(
        {"object": "list", "data": data, "model": body["model"], "usage": {"prompt_tokens": 9, "total_tokens": 9}}
    )


def transcription(raw: bytes) -> Reply:
    if b"srt" in raw:
        return Reply([b"1\n00:00:00,000 --> 00:00:01,000\nHello world\n"], "text/plain")
    usage = {"type": "tokens", **RESPONSE_USAGE}
    if b'name="stream"' not in raw:
        return whole({"text": "Hello world", "usage": usage})
    return events(
        {"type": "transcript.text.delta", "delta": "Hello "},
        {"type": "transcript.text.delta", "delta": "world"},
        {"type": "transcript.text.done", "text": "Hello world", "usage": usage},
        done=True,
    )


ANSWERS: dict[str, Callable[[dict[str, Any]], Reply]] = {
    "/chat/completions": chat, "/completions": completion, "/responses": response, "/embeddings": embedding,
}  # fmt: skip
ERRORS = {"401": 401, "429": 429}


def answers(path: str, raw: bytes) -> Reply | None:
    """A model of the name of an error gets it; "hangs" gets nothing more than the headers."""
    path = path.partition("?")[0]
    if path.endswith(("/audio/transcriptions", "/audio/translations")):
        return transcription(raw)
    if path.endswith("/responses/resp_1"):
        return response(STREAM)
    body = json.loads(raw or b"{}")
    model = body.get("model")
    if model in ERRORS:
        return whole({"error": {"message": "no", "type": "t"}}, status=ERRORS[model])
    if model == "hangs":
        return Reply([], hangs=True)
    return next((make(body) for end, make in ANSWERS.items() if path.endswith(end)), None)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server that speaks all of OpenAI's APIs that are watched."""
    with answering(answers) as at:
        yield f"{at}/v1"


class Shape:
    """Sync and async, in the same words: a method is called, and what it gives is used up."""

    def __init__(self, url: str, is_async: bool, **options: Any) -> None:
        self.is_async = is_async
        kind = openai.AsyncOpenAI if is_async else openai.OpenAI
        self.client: Any = kind(api_key="sk-test", base_url=url, **{"max_retries": 0, **options})

    def run(self, use: Callable[[Any], Any]) -> Any:
        """`use` with the client, which is closed then."""
        if not self.is_async:
            with self.client:
                return use(self.client)

        async def main() -> Any:
            async with self.client:
                return await use(self.client)

        return asyncio.run(main())

    def call(self, path: str, **kwargs: Any) -> Any:
        """All of the answer: the chunks of a stream, the events of a helper, or the whole."""

        def method(client: Any) -> Any:
            for name in path.split("."):
                client = getattr(client, name)
            return client(**kwargs)

        def use(client: Any) -> Any:
            made = method(client)
            if path.endswith(".stream"):
                with made as stream:
                    return list(stream)
            return list(made) if kwargs.get("stream") else made

        async def ause(client: Any) -> Any:
            made = method(client)
            if path.endswith(".stream"):
                async with made as stream:
                    return [event async for event in stream]
            made = await made
            return [one async for one in made] if kwargs.get("stream") else made

        return self.run(ause if self.is_async else use)


@pytest.fixture(params=["sync", "async"])
def shape(request: pytest.FixtureRequest, url: str) -> Shape:
    """A wrapped client."""
    made = Shape(url, request.param == "async")
    llmlog.wrap(made.client, team="search")
    return made


CALLED = {
    "provider": "openai",
    "outcome": "completed",
    "ended_by": "exhausted",
    "response_length": 11,
    "team": "search",
}
ASKED = {"prompt_length": 11, "input_tokens": 9, "output_tokens": 2, "usage_source": "provider"}
CHATTED = {"operation": "chat", "finish_reason": "stop", **ASKED}
RESPONDED = {"operation": "chat", **ASKED, "prompt_length": 19}
COMPLETED = {"operation": "text_completion", **ASKED}
COUNTED = {"usage_source": "estimated", "input_tokens": None}
WRITTEN = {"operation": "transcription", "usage_source": "estimated"}
HEARD = {"operation": "transcription", "usage_source": "provider", "output_tokens": 2}
EMBEDDED = {"operation": "embeddings", "response_length": 0, "input_tokens": 9, "usage_source": "provider"}


@pytest.mark.parametrize(
    ("path", "kwargs", "expected"),
    [
        ("chat.completions.create", CHAT, CHATTED),
        ("chat.completions.create", CHAT | STREAM, {**CHATTED, **COUNTED, "chunks": 3}),
        ("chat.completions.stream", CHAT, {**CHATTED, **COUNTED, "chunks": 3, "streamed": True}),
        ("chat.completions.parse", CHAT, CHATTED),
        ("beta.chat.completions.create", CHAT, CHATTED),
        ("responses.create", RESPONSE, RESPONDED),
        ("responses.create", RESPONSE | STREAM, {**RESPONDED, "chunks": 7}),
        ("responses.stream", RESPONSE, {**RESPONDED, "chunks": 7, "streamed": True}),
        ("responses.parse", RESPONSE, RESPONDED),
        ("completions.create", COMPLETION, COMPLETED),
        ("completions.create", COMPLETION | STREAM, {**COMPLETED, **COUNTED, "chunks": 2}),
        ("embeddings.create", EMBEDDING, EMBEDDED),
        ("audio.transcriptions.create", {}, HEARD),
        ("audio.transcriptions.create", STREAM, {**HEARD, "chunks": 3}),
        ("audio.transcriptions.create", {"response_format": "srt"}, {**WRITTEN, "response_length": 44}),
    ],
)  # fmt: skip
def test_a_method(shape: Shape, calls: Records, path: str, kwargs: Any, expected: dict[str, Any]) -> None:
    """Each method that calls a model has one record, with its figures."""
    asked = {**audio(), **kwargs} if path.startswith("audio") else kwargs
    shape.call(path, **asked)
    record = calls.one()
    expected = {"streamed": bool(kwargs.get("stream")), "model": asked["model"], **CALLED, **expected}
    assert {name: record.get(name) for name in expected if expected[name] is not None} == {
        name: value for name, value in expected.items() if value is not None
    }


@pytest.mark.parametrize("path", ["chat.completions.create", "chat.completions.stream", "completions.create"])
def test_usage_is_asked_for(url: str, calls: Records, path: str) -> None:
    """ask_usage=True brings the provider's usage; the chunk with it is taken out again."""
    kwargs = COMPLETION if path == "completions.create" else CHAT
    kwargs = kwargs if path.endswith("stream") else kwargs | STREAM
    shape, plain = Shape(url, False), Shape(url, False)
    llmlog.wrap(shape.client, ask_usage=True)
    assert len(shape.call(path, **kwargs)) == len(plain.call(path, **kwargs))
    assert calls.one()["usage_source"] == "provider"
    assert calls.one()["input_tokens"] == 9


def test_the_users_own_wish(url: str, calls: Records) -> None:
    """Who has chosen about usage gets what he chose, and what he passed is not changed."""
    for chosen, got in ((True, 4), (False, 3)):
        options = {"include_usage": chosen}
        shape = Shape(url, False)
        llmlog.wrap(shape.client, ask_usage=True)
        assert len(shape.call("chat.completions.create", **CHAT, **STREAM, stream_options=options)) == got
        assert options == {"include_usage": chosen}
    assert [record["usage_source"] for record in calls.all()] == ["provider", "estimated"]


def test_parameters(url: str, calls: Records) -> None:
    """What was asked of the model is in the record, in one spelling for all APIs."""
    shape = Shape(url, False)
    client = llmlog.wrap(shape.client)
    client.chat.completions.create(
        **CHAT, temperature=0, top_p=0.5, max_completion_tokens=9, frequency_penalty=0.25, presence_penalty=-1, seed=7,
        n=2, reasoning_effort="low", tools=[],
    )  # fmt: skip
    client.responses.create(**RESPONSE, max_output_tokens=9, reasoning={"effort": "low"}, top_p=0.5)
    client.chat.completions.create(**CHAT, n=1, temperature=None, max_tokens=3)
    names = ("temperature", "top_p", "max_tokens", "frequency_penalty", "presence_penalty", "seed", "choice_count",
             "reasoning_effort")  # fmt: skip
    assert [tuple(record.get(name) for name in names) for record in calls.all()] == [
        (0, 0.5, 9, 0.25, -1, 7, 2, "low"),
        (None, 0.5, 9, None, None, None, None, "low"),
        (None, None, 3, None, None, None, None, None),
    ]


@pytest.mark.parametrize(
    ("path", "kwargs", "status"),
    [
        ("chat.completions.create", CHAT, 401), ("chat.completions.create", CHAT | STREAM, 429),
        ("chat.completions.stream", CHAT, 401), ("chat.completions.parse", CHAT, 429),
        ("responses.create", RESPONSE, 401), ("responses.create", RESPONSE | STREAM, 429),
        ("responses.stream", RESPONSE, 429), ("completions.create", COMPLETION, 429),
        ("embeddings.create", EMBEDDING, 401),
    ],
)  # fmt: skip
def test_an_http_error(shape: Shape, calls: Records, path: str, kwargs: Any, status: int) -> None:
    """An HTTP error is the SDK's exception, and one record with its status."""
    error = {401: "AuthenticationError", 429: "RateLimitError"}[status]
    with pytest.raises(getattr(openai, error)):
        shape.call(path, **{**kwargs, "model": str(status)})
    record = calls.one()
    assert (record["outcome"], record["ended_by"], record["http_status"]) == ("error", "exception", status)
    assert record["error_type"] == f"openai.{error}"
    operations = {"embeddings.create": "embeddings", "completions.create": "text_completion"}
    assert record["operation"] == operations.get(path, "chat")


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("path", ["chat.completions.create", "responses.stream"])
def test_no_answer(url: str, calls: Records, path: str, is_async: bool) -> None:
    """A provider that does not answer, and one that is not there."""
    kwargs = CHAT if path.startswith("chat") else RESPONSE
    hanging = Shape(url, is_async, timeout=0.3)
    llmlog.wrap(hanging.client)
    with pytest.raises(openai.APIConnectionError):
        hanging.call(path, **{**kwargs, "model": "hangs"})
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
    refused = Shape(nobody, is_async)
    llmlog.wrap(refused.client)
    with pytest.raises(openai.APIConnectionError):
        refused.call(path, **kwargs)
    late, missing = calls.all()
    assert (late["outcome"], missing["outcome"]) == ("error", "error")
    assert missing["error_type"] == "openai.APIConnectionError"


LATER = """
import sys, openai, llmlog
from llmlog.testing import capture, serve

with serve() as server, capture() as calls:
    client = openai.OpenAI(base_url=server.openai_url, api_key="k", max_retries=0)
    llmlog.wrap(client)
    before = "openai.resources.beta" in sys.modules
    beta, asked = client.beta, {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
    assert isinstance(beta, openai.resources.beta.Beta)
    assert beta.chat.completions is client.beta.chat.completions
    client.beta.chat.completions.create(**asked)
    try:
        beta.chat.completions.create(model="gpt-4o-mini")
    except TypeError:
        pass
    client.with_options(timeout=9).beta.chat.completions.create(**asked)
    assert [one["outcome"] for one in calls.all()] == ["completed", "error", "completed"], calls.all()
    llmlog.unwrap(client)
    client.beta.chat.completions.create(**asked)
    kept = llmlog.wrap(openai.OpenAI(base_url=server.openai_url, api_key="k", max_retries=0))
    again = kept.beta
    llmlog.unwrap(kept)
    again.chat.completions.create(**asked)
    assert len(calls.all()) == 3
    print(before)
"""


def test_what_the_sdk_imports_later_is_watched_later() -> None:
    """wrap() does not import openai's beta resources where the SDK waits with that; once used they are watched."""
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", LATER],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{int(openai.__version__.partition('.')[0]) < 3}\n"


@pytest.mark.parametrize("is_async", [False, True])
def test_retries_are_one_call(calls: Records, is_async: bool) -> None:
    """What the SDK tries again is one call to the user, and one record, which says how often; what it tries again of
    another request is none of it."""
    tried = []

    def third(path: str, raw: bytes) -> Reply:
        tried.append(path)
        if len(tried) % 3 and len(tried) < 9:
            return whole({}, status=500, headers={"retry-after-ms": "1"})
        return chat(json.loads(raw)) if raw else whole({"object": "list", "data": []})

    with answering(third) as url:
        for path, kwargs in (
            ("chat.completions.create", CHAT),
            ("chat.completions.create", CHAT | STREAM),
            ("models.retrieve", {"model": "gpt-4o-mini"}),
            ("chat.completions.create", CHAT),
        ):
            shape = Shape(url, is_async, max_retries=2)
            llmlog.wrap(shape.client)
            shape.call(path, **kwargs)
    assert len(tried) == 10
    assert [record["outcome"] for record in calls.all()] == ["completed"] * 3
    assert [record.get("retries") for record in calls.all()] == [2, 2, None]


def test_retries_that_come_to_nothing(calls: Records) -> None:
    """The record of the failure says that it was the last of several."""
    with answering(lambda path, raw: whole({}, status=429, headers={"retry-after-ms": "1"})) as url:
        shape = Shape(url, False, max_retries=1)
        llmlog.wrap(shape.client)
        with pytest.raises(openai.RateLimitError), llmlog.call(model="gpt-4o-mini"):
            shape.call("chat.completions.create", **CHAT)
    assert (calls.one()["http_status"], calls.one()["retries"]) == (429, 1)


def test_what_parse_refuses_has_its_figures(shape: Shape, calls: Records) -> None:
    """An answer that came and does not fit the schema was paid for."""
    import pydantic

    class Wanted(pydantic.BaseModel):
        y: int

    with pytest.raises(pydantic.ValidationError):
        shape.call("chat.completions.parse", **CHAT, response_format=Wanted)
    assert (calls.one()["outcome"], calls.one()["output_tokens"]) == ("completed", 2)


# How a stream is left

ENDED = {
    "all": ("completed", "exhausted"), "break": ("aborted", "loop_left"), "close": ("aborted", "close"),
    "with": ("aborted", "context_exit"), "raise": ("aborted", "consumer_exception"),
    "never": ("aborted", "garbage_collected"),
}  # fmt: skip


@pytest.mark.parametrize("how", ENDED)
@pytest.mark.parametrize("path", ["chat.completions.create", "responses.create"])
def test_how_a_stream_is_left(url: str, calls: Records, path: str, how: str) -> None:
    """Whatever the consumer does with a stream, there is one record, and it says so."""
    shape = Shape(url, False)
    create = llmlog.wrap(shape.client).chat.completions.create
    kwargs: Any = CHAT
    if path.startswith("responses"):
        create, kwargs = shape.client.responses.create, RESPONSE
    stream = create(**kwargs, stream=True)
    assert isinstance(stream, openai.Stream)
    _use(stream, how)
    del stream
    assert (calls.one()["outcome"], calls.one()["ended_by"]) == ENDED[how]


def _use(stream: Any, how: str) -> None:
    if how == "all":
        for _ in stream:
            pass
    elif how == "break":
        for _ in stream:
            break
    elif how == "close":
        next(stream)
        stream.close()
    elif how == "with":
        with stream:
            next(stream)
    elif how == "raise":
        with pytest.raises(KeyError), stream:
            raise KeyError("mine")


HELPERS = [("chat.completions", CHAT, "get_final_completion"), ("responses", RESPONSE, "get_final_response")]


@pytest.mark.parametrize(("resource", "kwargs", "final"), HELPERS)
@pytest.mark.parametrize("how", ["all", "final", "until_done", "break", "raise", "cancel", "never"])
def test_how_a_helper_is_left(shape: Shape, calls: Records, resource: str, kwargs: Any, final: str, how: str) -> None:
    """`.stream()`: the SDK's own stream object, whatever of it is used, and one record with the right end."""
    kind = openai.lib.streaming.chat if resource == "chat.completions" else openai.lib.streaming.responses
    name = "ChatCompletionStream" if resource == "chat.completions" else "ResponseStream"
    ended = {"break": "context_exit", "never": "context_exit", "raise": "consumer_exception", "cancel": "cancellation"}
    error = {"raise": KeyError, "cancel": asyncio.CancelledError}.get(how)

    def use(client: Any) -> None:
        manager = _at(client, resource).stream(**kwargs)
        assert isinstance(manager, getattr(kind, f"{name}Manager"))
        with manager as stream:
            assert type(stream) is getattr(kind, name)
            if how == "final":
                assert getattr(stream, final)().model == "gpt-4o-mini"
            elif how == "until_done":
                stream.until_done()
            elif how != "never":
                for _event in stream:
                    if error is not None:
                        raise error
                    if how == "break":
                        break

    async def ause(client: Any) -> None:
        async with _at(client, resource).stream(**kwargs) as stream:
            assert type(stream) is getattr(kind, f"Async{name}")
            if how == "final":
                assert (await getattr(stream, final)()).model == "gpt-4o-mini"
            elif how == "until_done":
                await stream.until_done()
            elif how != "never":
                async for _event in stream:
                    if error is not None:
                        raise error
                    if how == "break":
                        break

    if error is not None:
        with pytest.raises(error):
            shape.run(ause if shape.is_async else use)
    else:
        shape.run(ause if shape.is_async else use)
    assert calls.one()["ended_by"] == ended.get(how, "exhausted")


def _at(client: Any, path: str) -> Any:
    for name in path.split("."):
        client = getattr(client, name)
    return client


# Raw and streamed responses

READ: dict[str, Callable[[Any], Any]] = {
    "read": lambda response: response.read(),
    "text": lambda response: response.text(),
    "iter_bytes": lambda response: response.iter_bytes(),
    "iter_lines": lambda response: response.iter_lines(),
    "iter_text": lambda response: response.iter_text(7),
    "parse": lambda response: response.parse(),
}


@pytest.mark.parametrize(
    ("how", "resource", "streamed"),
    [(how, "chat.completions", streamed) for how in READ for streamed in (False, True)]
    + [("json", "chat.completions", False), ("parse", "responses", True), ("iter_lines", "responses", True)],
)
def test_streaming_responses(shape: Shape, calls: Records, how: str, resource: str, streamed: bool) -> None:
    """with_streaming_response: whichever way the body is read, its record has the same end and figures."""
    kwargs: Any = CHAT if resource == "chat.completions" else RESPONSE
    read = READ.get(how, lambda response: response.json())

    def use(client: Any) -> None:
        with _at(client, resource).with_streaming_response.create(**kwargs, stream=streamed) as response:
            assert calls.all() == []
            found = read(response)
            if how.startswith("iter") or (how == "parse" and streamed):
                assert list(found)

    async def ause(client: Any) -> None:
        async with _at(client, resource).with_streaming_response.create(**kwargs, stream=streamed) as response:
            found = read(response)
            if hasattr(found, "__await__"):
                found = await found
            if how.startswith("iter") or (how == "parse" and streamed):
                assert [piece async for piece in found]

    shape.run(ause if shape.is_async else use)
    record = calls.one()
    assert (record["outcome"], record["ended_by"], record["response_length"]) == ("completed", "exhausted", 11)
    assert record["streamed"] is streamed
    assert record["usage_source"] == ("estimated" if streamed and resource == "chat.completions" else "provider")


@pytest.mark.parametrize("how", ["nothing", "break", "raise"])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_streaming_response_that_is_left(shape: Shape, calls: Records, streamed: bool, how: str) -> None:
    """with_streaming_response that is not read, or not to its end."""

    def use(client: Any) -> None:
        with client.chat.completions.with_streaming_response.create(**CHAT, stream=streamed) as response:
            if how == "raise":
                raise KeyError("mine")
            if how == "break":
                for _piece in response.iter_bytes(5):
                    break

    async def ause(client: Any) -> None:
        async with client.chat.completions.with_streaming_response.create(**CHAT, stream=streamed) as response:
            if how == "raise":
                raise KeyError("mine")
            if how == "break":
                async for _piece in response.iter_bytes(5):
                    break

    if how == "raise":
        with pytest.raises(KeyError):
            shape.run(ause if shape.is_async else use)
    else:
        shape.run(ause if shape.is_async else use)
    expected = "consumer_exception" if how == "raise" else "context_exit"
    assert (calls.one()["outcome"], calls.one()["ended_by"]) == ("aborted", expected)


@pytest.mark.parametrize(("path", "kwargs"), [("chat.completions", CHAT), ("responses", RESPONSE),
                                               ("embeddings", EMBEDDING), ("completions", COMPLETION)])  # fmt: skip
def test_raw_responses(shape: Shape, calls: Records, path: str, kwargs: Any) -> None:
    """with_raw_response: the body is there, and so is the record; parsing is the user's affair."""

    def use(client: Any) -> None:
        raw = _at(client, path).with_raw_response.create(**kwargs)
        assert calls.one()["outcome"] == "completed"
        assert raw.parse() is raw.parse()

    async def ause(client: Any) -> None:
        raw = await _at(client, path).with_raw_response.create(**kwargs)
        assert raw.parse() is raw.parse()

    shape.run(ause if shape.is_async else use)
    assert (calls.one()["usage_source"], calls.one()["input_tokens"]) == ("provider", 9)


def test_raw_streams(url: str, calls: Records) -> None:
    """A raw response to a stream: parsed, parsed in passing, or read by hand."""
    shape = Shape(url, False)
    create = llmlog.wrap(shape.client).chat.completions.with_raw_response.create
    raw = create(**CHAT, stream=True)
    assert isinstance(raw.parse(), openai.Stream)
    assert raw.parse() is raw.parse()
    assert len(list(raw.parse())) == 3
    for _ in create(**CHAT, stream=True).parse():
        break
    assert b"Hello" in b"".join(create(**CHAT, stream=True).http_response.iter_bytes())
    create(**CHAT, stream=True)
    assert [record["ended_by"] for record in calls.all()] == [
        "exhausted", "loop_left", "exhausted", "garbage_collected",
    ]  # fmt: skip
    assert [record["chunks"] for record in calls.all()][:2] == [3, 1]


def test_reading_an_answer_again_is_no_new_call(url: str, calls: Records) -> None:
    """responses.retrieve(), streamed too, asks no model."""
    client = llmlog.wrap(Shape(url, False).client)
    list(client.responses.retrieve("resp_1", stream=True))
    with client.responses.stream(response_id="resp_1") as stream:
        stream.until_done()
    assert calls.all() == []


def test_asked_without_a_method(url: str, calls: Records) -> None:
    """client.post(), for what the SDK has no method for: the path tells."""
    client = llmlog.wrap(Shape(url, False).client)
    answer = client.post("/chat/completions", cast_to=openai.types.chat.ChatCompletion, body=CHAT)
    assert answer.choices[0].message.content == "Hello world"
    assert calls.one()["output_tokens"] == 2


# The client


def test_a_wrapped_client_is_as_before_when_unwrapped(shape: Shape) -> None:
    """unwrap() leaves no trace in the client and its resources, and keeps what the SDK kept."""
    client = shape.client
    llmlog.unwrap(client)
    raw = client.chat.completions.with_raw_response
    touched = (client, client.chat, client.chat.completions)
    before = [dict(vars(one)) for one in touched]
    llmlog.wrap(client)
    llmlog.wrap(client, team="other")
    assert client.chat.completions.with_raw_response is not raw
    assert client.responses.with_streaming_response is not None
    llmlog.unwrap(client)
    assert [vars(one) for one in touched] == before
    assert llmlog.unwrap(client) is client


def test_copies(shape: Shape, calls: Records) -> None:
    """with_options() and copy() make clients that are logged as well."""

    def copies(client: Any) -> list[Any]:
        made = [client.with_options(timeout=5), client.copy(), client.with_options(timeout=5).with_options(timeout=6)]
        assert {type(copy) for copy in made} == {type(client)}
        return made

    def use(client: Any) -> None:
        for copy in copies(client):
            copy.embeddings.create(**EMBEDDING)

    async def ause(client: Any) -> None:
        for copy in copies(client):
            await copy.embeddings.create(**EMBEDDING)

    shape.run(ause if shape.is_async else use)
    assert [record["team"] for record in calls.all()] == ["search"] * 3


def test_azure(url: str, calls: Records) -> None:
    """Azure's client: its deployment is the model, and the provider is Azure."""
    with openai.AzureOpenAI(api_key="k", azure_endpoint=url, api_version="1") as client:
        llmlog.wrap(client).chat.completions.create(**CHAT)
    assert (calls.one()["provider"], calls.one()["model"]) == ("azure", "gpt-4o-mini")


def test_inside_a_call(url: str, calls: Records) -> None:
    """A helper inside call() is that call."""
    client = llmlog.wrap(Shape(url, False).client)
    with llmlog.call(feature="chat") as call, client.responses.stream(**RESPONSE) as stream:
        stream.until_done()
    assert (calls.one()["call_id"], calls.one()["feature"], calls.one()["output_tokens"]) == (call.call_id, "chat", 2)
