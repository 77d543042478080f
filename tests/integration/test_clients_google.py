"""wrap() and every way in which google-genai calls a model, sync and async, against a local server."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Records
from local_server import Reply, answering, events, whole

import llmlog

genai = pytest.importorskip("google.genai")
errors = pytest.importorskip("google.genai.errors")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:google.genai")

MODEL = "gemini-2.5-flash"
CONFIG = {"system_instruction": "be brief", "temperature": 0.5, "top_p": 0.25, "topK": 3, "maxOutputTokens": 9,
          "seed": 7, "candidate_count": 1, "thinking_config": {"thinking_level": "LOW"}}  # fmt: skip
ASKED: Any = {"model": MODEL, "contents": "hello there", "config": CONFIG}
EMBED: Any = {"model": "gemini-embedding-001", "contents": ["hello", "there"]}
INTERACT: Any = {"model": MODEL, "input": "hello there", "system_instruction": "be brief"}

# What the server answers

USAGE = {"promptTokenCount": 9, "candidatesTokenCount": 2, "totalTokenCount": 11}


def content(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "index": 0, **more}
    return {"candidates": [candidate], "usageMetadata": USAGE, "modelVersion": MODEL, "responseId": "r"}


HEAD = {"id": "i", "object": "interaction", "model": MODEL, "created": "2025-01-01T00:00:00Z",
        "updated": "2025-01-01T00:00:00Z"}  # fmt: skip
STEPS = [{"type": "model_output", "content": [{"type": "text", "text": "Hello world"}]}]
TOTALS = {"total_input_tokens": 9, "total_output_tokens": 2, "total_tokens": 11}
INTERACTION = {**HEAD, "status": "completed", "steps": STEPS, "usage": TOTALS}


def answers(path: str, raw: bytes) -> Reply | None:
    """A model of the name of a status gets that error; "functions" asks for a function, once."""
    path = path.partition("?")[0]
    model, _, method = path.rpartition("/")[2].partition(":")
    body = json.loads(raw or b"{}")
    if model.isdigit():
        error = {"code": int(model), "message": "no", "status": "UNAUTHENTICATED"}
        return whole({"error": error}, status=int(model))
    if path.endswith("/interactions"):
        if not body.get("stream"):
            return whole(INTERACTION)
        return events(
            {"event_type": "interaction.created", "interaction": {**HEAD, "status": "in_progress", "steps": []}},
            {"event_type": "step.delta", "index": 0, "delta": {"type": "text", "text": "Hello world"}},
            {"event_type": "interaction.completed", "interaction": INTERACTION},
            done=True,
        )
    if "mbed" in method:
        return whole({"embeddings": [{"values": [0.5, 0.25]}]})
    if model == "hangs":
        return Reply([], hangs=True)
    asks = model == "functions" and "functionResponse" not in json.dumps(body)
    call = content({"functionCall": {"name": "today", "args": {}}}, finishReason="STOP")
    if "stream" not in method:
        return whole(call if asks else content({"text": "Hello world"}, finishReason="STOP"))
    pieces = [content({"text": "Hello "}), content({"text": "world"}, finishReason="STOP")]
    return events(*([call] if asks else pieces))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server that answers as Google does."""
    with answering(answers) as at:
        yield at


def client_of(url: str, **options: Any) -> Any:
    return genai.Client(api_key="k", http_options={"base_url": url, **options})


@pytest.fixture
def client(url: str) -> Iterator[Any]:
    """A wrapped client."""
    with client_of(url) as made:
        assert llmlog.wrap(made, team="search") is made
        yield made


def run(client: Any, is_async: bool, path: str, **kwargs: Any) -> Any:
    """All of the answer, of the client's sync or its async side."""

    def method(side: Any) -> Any:
        for name in path.split("."):
            side = getattr(side, name)
        return side(**kwargs)

    if not is_async:
        made = method(client)
        return list(made) if hasattr(type(made), "__next__") else made

    async def main() -> Any:
        made = await method(client.aio)
        try:
            return [one async for one in made] if hasattr(type(made), "__anext__") else made
        finally:
            await client.aio.aclose()

    return asyncio.run(main())


ANSWERED = {
    "provider": "google", "operation": "generate_content", "model": MODEL, "outcome": "completed",
    "ended_by": "exhausted", "input_tokens": 9, "output_tokens": 2, "usage_source": "provider", "response_length": 11,
    "prompt_length": 19, "team": "search",
}  # fmt: skip
CHOSEN = {**ANSWERED, "temperature": 0.5, "top_p": 0.25, "top_k": 3, "max_tokens": 9, "seed": 7,
          "reasoning_effort": "LOW", "choice_count": None, "finish_reason": "STOP"}  # fmt: skip
EMBEDDED = {"operation": "embeddings", "model": EMBED["model"], "outcome": "completed", "prompt_length": 10}


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("path", "kwargs", "expected"),
    [
        ("models.generate_content", ASKED, {**CHOSEN, "streamed": False}),
        ("models.generate_content_stream", ASKED, {**CHOSEN, "streamed": True, "chunks": 2}),
        ("models.embed_content", EMBED, {**EMBEDDED, "streamed": False}),
        ("interactions.create", INTERACT, {**ANSWERED, "streamed": False}),
        ("interactions.create", {**INTERACT, "stream": True}, {**ANSWERED, "streamed": True, "chunks": 3}),
    ],
)
def test_a_method(client: Any, calls: Records, path: str, kwargs: Any, expected: Any, is_async: bool) -> None:
    """Each method that calls a model has one record, with its figures."""
    run(client, is_async, path, **kwargs)
    record = calls.one()
    assert {name: record.get(name) for name in expected} == expected


def test_chats(client: Any, calls: Records) -> None:
    """A chat's messages are calls of `models`: one record each."""
    chat = client.chats.create(model=MODEL)
    assert chat.send_message("hello").text == "Hello world"
    assert len(list(chat.send_message_stream("there"))) == 2

    async def main() -> None:
        talk = client.aio.chats.create(model=MODEL)
        await talk.send_message("hello")
        async for _ in await talk.send_message_stream("there"):
            pass
        await client.aio.aclose()

    asyncio.run(main())
    assert [(record["outcome"], record["streamed"]) for record in calls.all()] == [
        ("completed", False), ("completed", True), ("completed", False), ("completed", True),
    ]  # fmt: skip


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("method", ["generate_content", "generate_content_stream"])
def test_functions_that_the_sdk_runs(client: Any, calls: Records, method: str, is_async: bool) -> None:
    """Each time that the SDK asks the model, with a function's result or without, is a call, and was paid for."""

    def today() -> str:
        """Today's date."""
        return "Saturday"

    run(client, is_async, f"models.{method}", model="functions", contents="hello", config={"tools": [today]})
    assert [record["response_length"] for record in calls.all()] == [0, 11]
    assert [record.get("tool_names") for record in calls.all()] == [["today"], None]


# The SDK's async side leaves the connection of a refused request to the collector, with a warning.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("method", "operation"),
    [("generate_content", "generate_content"), ("generate_content_stream", "generate_content"),
     ("embed_content", "embeddings")],
)  # fmt: skip
@pytest.mark.parametrize("status", [401, 429])
def test_an_http_error(url: str, calls: Records, status: int, method: str, operation: str, is_async: bool) -> None:
    """An HTTP error is the SDK's exception, and one record with its status."""
    with client_of(url, retry_options={"attempts": 1}) as client, pytest.raises(errors.ClientError):
        run(llmlog.wrap(client), is_async, f"models.{method}", model=str(status), contents="hello")
    record = calls.one()
    assert (record["outcome"], record["http_status"], record["operation"]) == ("error", status, operation)


def test_no_answer(url: str, calls: Records) -> None:
    """A provider that does not answer, and one that is not there."""
    with client_of(url, timeout=300, retry_options={"attempts": 1}) as client, pytest.raises(Exception, match="timed"):
        llmlog.wrap(client).models.generate_content(model="hangs", contents="hello")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with client_of(nobody, retry_options={"attempts": 1}) as client, pytest.raises(Exception, match="refused"):
        list(llmlog.wrap(client).models.generate_content_stream(model=MODEL, contents="hello"))
    assert [record["ended_by"] for record in calls.all()] == ["exception"] * 2


LEFT: dict[str, tuple[Callable[[Any], Any], str]] = {
    "break": (lambda stream: next(iter(stream)), "loop_left"),
    "close": (lambda stream: (next(stream), stream.close()), "close"),
    "with": (lambda stream: (stream.__enter__(), next(stream), stream.__exit__(None, None, None)), "context_exit"),
    "never": (lambda stream: None, "garbage_collected"),
}


@pytest.mark.parametrize("how", LEFT)
def test_how_a_stream_is_left(client: Any, calls: Records, how: str) -> None:
    """Whatever the consumer does with a stream, there is one record, and it says so."""
    leave, ended_by = LEFT[how]
    stream = client.models.generate_content_stream(**ASKED)
    leave(stream)
    del stream
    assert (calls.one()["outcome"], calls.one()["ended_by"]) == ("aborted", ended_by)


def test_what_the_user_passes_stays(client: Any, calls: Records) -> None:
    """Nothing of what is passed is changed; contents and instructions of the SDK's types are read."""
    types = genai.types
    config = types.GenerateContentConfig(system_instruction="be brief", max_output_tokens=9)
    contents = [types.Content(role="user", parts=[types.Part(text="hello there")])]
    before = config.model_dump(), [one.model_dump() for one in contents]
    client.models.generate_content(model=MODEL, contents=contents, config=config)
    assert (config.model_dump(), [one.model_dump() for one in contents]) == before
    assert (calls.one()["prompt_length"], calls.one()["max_tokens"]) == (19, 9)


def test_vertex(url: str, calls: Records) -> None:
    """A client for Vertex AI says so."""
    credentials = pytest.importorskip("google.oauth2.credentials").Credentials("token")
    where = {"vertexai": True, "project": "p", "location": "global", "credentials": credentials}
    with genai.Client(**where, http_options={"base_url": url}) as client:
        llmlog.wrap(client).models.generate_content(**ASKED)
    assert (calls.one()["provider"], calls.one()["output_tokens"]) == ("vertex_ai", 2)


def test_interactions_raw(client: Any, calls: Records) -> None:
    """with_raw_response and with_streaming_response of interactions have their records."""
    assert client.interactions.with_raw_response.create(**INTERACT).parse().status == "completed"
    with client.interactions.with_streaming_response.create(**INTERACT, stream=True) as response:
        assert b"".join(response.iter_bytes())
    assert [record["output_tokens"] for record in calls.all()] == [2, 2]


def test_wrap_and_unwrap(url: str, calls: Records) -> None:
    """unwrap() leaves no trace; `interactions` is still made when it is first used, and is what it was."""
    with client_of(url) as client:
        touched = (client, client.aio, client.models, client.aio.models)
        before = [dict(vars(one)) for one in touched]
        llmlog.wrap(client, team="one")
        llmlog.wrap(client, team="two")
        interactions = client.interactions
        assert isinstance(interactions, type(client_of(url).interactions))
        interactions.create(**INTERACT)
        assert calls.one()["team"] == "two"
        assert client.interactions is client.interactions
        assert llmlog.unwrap(client) is client
        assert [vars(one) for one in touched] == before
        client.models.generate_content(**ASKED)
        client.interactions.create(**INTERACT)
        assert len(calls.all()) == 1
