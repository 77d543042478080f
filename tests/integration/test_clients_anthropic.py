"""wrap() and every way in which the anthropic SDK calls a model, sync and async, against a scripted server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Records

import llmlog
from llmlog.testing import Script, ScriptedServer, serve

anthropic = pytest.importorskip("anthropic")

ASKED: Any = {
    "model": "claude-test", "max_tokens": 9, "system": "be brief",
    "messages": [{"role": "user", "content": "hello there"}],
}  # fmt: skip
STREAM = {"stream": True}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A server that answers "Hello world"."""
    with serve() as made:
        yield made


def client_of(server: ScriptedServer, is_async: bool = False, **options: Any) -> Any:
    kind = anthropic.AsyncAnthropic if is_async else anthropic.Anthropic
    return kind(**{"api_key": "k", "base_url": server.anthropic_url, "max_retries": 0, **options})


def at(client: Any, path: str) -> Any:
    for name in path.split("."):
        client = getattr(client, name)
    return client


def run(client: Any, use: Callable[[Any], Any]) -> Any:
    """`use`, a function or a coroutine's, with the client, which is closed then."""
    if not hasattr(client, "__aenter__"):
        with client:
            return use(client)

    async def main() -> Any:
        async with client:
            return await use(client)

    return asyncio.run(main())


def call(client: Any, path: str, **kwargs: Any) -> Any:
    """All of the answer: the events of a stream or of a helper, or the whole."""

    def use(client: Any) -> Any:
        made = at(client, path)(**kwargs)
        if path.endswith(".stream"):
            with made as stream:
                return list(stream)
        return list(made) if kwargs.get("stream") else made

    async def ause(client: Any) -> Any:
        made = at(client, path)(**kwargs)
        if path.endswith(".stream"):
            async with made as stream:
                return [event async for event in stream]
        made = await made
        return [event async for event in made] if kwargs.get("stream") else made

    return run(client, ause if hasattr(client, "__aenter__") else use)


EXPECTED = {
    "provider": "anthropic", "operation": "chat", "model": "claude-test", "outcome": "completed",
    "ended_by": "exhausted", "input_tokens": 10, "output_tokens": 2, "usage_source": "provider", "response_length": 11,
    "prompt_length": 19, "max_tokens": 9, "finish_reason": "end_turn", "team": "search",
}  # fmt: skip


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("path", "kwargs"),
    [
        ("messages.create", {}), ("messages.create", STREAM), ("messages.stream", {}), ("messages.parse", {}),
        ("beta.messages.create", {}), ("beta.messages.create", STREAM), ("beta.messages.stream", {}),
    ],
)  # fmt: skip
def test_a_method(server: ScriptedServer, calls: Records, path: str, kwargs: Any, is_async: bool) -> None:
    """Each method that calls a model has one record, with its figures."""
    client = llmlog.wrap(client_of(server, is_async), team="search")
    call(client, path, **ASKED, **kwargs)
    record = calls.one()
    assert {name: record.get(name) for name in EXPECTED} == EXPECTED
    assert record["streamed"] is bool(kwargs or path.endswith("stream"))
    assert record.get("chunks") == (7 if record["streamed"] else None)


def test_parameters(server: ScriptedServer, calls: Records) -> None:
    """What was asked of the model is in the record."""
    client = llmlog.wrap(client_of(server))
    more = {"temperature": 0.5, "top_p": 0.25, "top_k": 3}  # not every version of the SDK has arguments for them
    client.messages.create(**ASKED, output_config={"effort": "low"}, extra_body=more)
    names = ("temperature", "top_p", "top_k", "max_tokens", "reasoning_effort")
    assert [calls.one()[name] for name in names] == [0.5, 0.25, 3, 9, "low"]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("path", ["messages.create", "messages.stream", "beta.messages.create"])
@pytest.mark.parametrize(("status", "error"), [(401, "AuthenticationError"), (429, "RateLimitError")])
def test_an_http_error(
    server: ScriptedServer, calls: Records, path: str, status: int, error: str, is_async: bool
) -> None:
    """An HTTP error is the SDK's exception, and one record with its status."""
    server.play(Script(status=status))
    with pytest.raises(getattr(anthropic, error)):
        call(llmlog.wrap(client_of(server, is_async)), path, **ASKED)
    assert (calls.one()["outcome"], calls.one()["http_status"]) == ("error", status)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("path", ["messages.create", "messages.stream"])
def test_retries_are_counted(server: ScriptedServer, calls: Records, path: str, is_async: bool) -> None:
    """One record, which says how often the SDK sent the request again: the time is not the model's."""
    server.play(Script(status=529, headers={"retry-after-ms": "1"}), Script())
    call(llmlog.wrap(client_of(server, is_async, max_retries=2)), path, **ASKED)
    assert (calls.one()["outcome"], calls.one()["retries"]) == ("completed", 1)


@pytest.mark.parametrize("is_async", [False, True])
def test_no_answer(server: ScriptedServer, calls: Records, is_async: bool) -> None:
    """A provider that does not answer in time."""
    server.play(Script(hang_before="headers"))
    with pytest.raises(anthropic.APITimeoutError):
        call(llmlog.wrap(client_of(server, is_async, timeout=0.3)), "messages.stream", **ASKED)
    assert (calls.one()["ended_by"], calls.one()["error_type"]) == ("exception", "anthropic.APITimeoutError")


def test_what_the_sdk_refuses(server: ScriptedServer, calls: Records) -> None:
    """Arguments that the SDK does not take raise the SDK's own error, and have their record."""
    with pytest.raises(TypeError, match="required"):
        llmlog.wrap(client_of(server)).messages.create(model="claude-test")
    assert (calls.one()["outcome"], calls.one()["provider"]) == ("error", "anthropic")


# The helper

HELPED = {
    "all": "exhausted", "text": "exhausted", "final": "exhausted", "final text": "exhausted", "until_done": "exhausted",
    "break": "context_exit", "close": "close", "never": "context_exit", "raise": "consumer_exception",
    "cancel": "cancellation",
}  # fmt: skip
ERRORS: dict[str, type[BaseException]] = {"raise": KeyError, "cancel": asyncio.CancelledError}


@pytest.mark.parametrize("how", HELPED)
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("resource", ["messages", "beta.messages"])
def test_the_helper(server: ScriptedServer, calls: Records, resource: str, is_async: bool, how: str) -> None:
    """`.stream()`: the SDK's own stream object, whatever of it is used, and one record with the right end."""

    def use(client: Any) -> None:
        with at(client, resource).stream(**ASKED) as stream:
            assert type(stream).__name__.endswith("MessageStream")
            assert isinstance(stream, anthropic.lib.streaming.MessageStream) is (resource == "messages")
            if how == "all":
                assert [event.type for event in stream].count("text") == 2
            elif how == "text":
                assert "".join(stream.text_stream) == "Hello world"
            elif how == "final":
                assert stream.get_final_message().usage.output_tokens == 2
            elif how == "final text":
                assert stream.get_final_text() == "Hello world"
            elif how == "until_done":
                stream.until_done()
            elif how == "close":
                next(stream)
                stream.close()
            elif how != "never":
                for _event in stream:
                    if how in ERRORS:
                        raise ERRORS[how]
                    break

    async def ause(client: Any) -> None:
        async with at(client, resource).stream(**ASKED) as stream:
            assert type(stream).__name__.endswith("AsyncMessageStream")
            if how == "all":
                assert [event.type async for event in stream].count("text") == 2
            elif how == "text":
                assert "".join([text async for text in stream.text_stream]) == "Hello world"
            elif how == "final":
                assert (await stream.get_final_message()).usage.output_tokens == 2
            elif how == "final text":
                assert await stream.get_final_text() == "Hello world"
            elif how == "until_done":
                await stream.until_done()
            elif how == "close":
                await anext(stream)
                await stream.close()
            elif how != "never":
                async for _event in stream:
                    if how in ERRORS:
                        raise ERRORS[how]
                    break

    client = llmlog.wrap(client_of(server, is_async))
    if how in ERRORS:
        with pytest.raises(ERRORS[how]):
            run(client, ause if is_async else use)
    else:
        run(client, ause if is_async else use)
    record = calls.one()
    outcome = {"exhausted": "completed", "cancellation": "cancelled"}.get(HELPED[how], "aborted")
    assert (record["ended_by"], record["outcome"]) == (HELPED[how], outcome)


def test_a_helper_that_is_not_entered(server: ScriptedServer, calls: Records) -> None:
    """The manager sends when it is entered, and not before."""
    manager = llmlog.wrap(client_of(server)).messages.stream(**ASKED)
    assert isinstance(manager, anthropic.lib.streaming.MessageStreamManager)
    assert calls.all() == []
    assert server.requests == []


# Streams, raw and streamed responses


@pytest.mark.parametrize(("how", "ended_by"), [("break", "loop_left"), ("close", "close"), ("with", "context_exit"),
                                               ("never", "garbage_collected")])  # fmt: skip
def test_how_a_stream_is_left(server: ScriptedServer, calls: Records, how: str, ended_by: str) -> None:
    """Whatever the consumer does with a stream, there is one record, and it says so."""
    stream = llmlog.wrap(client_of(server)).messages.create(**ASKED, stream=True)
    assert isinstance(stream, anthropic.Stream)
    if how == "break":
        for _ in stream:
            break
    elif how == "close":
        next(stream)
        stream.close()
    elif how == "with":
        with stream:
            next(stream)
    del stream
    assert (calls.one()["outcome"], calls.one()["ended_by"]) == ("aborted", ended_by)


READ: dict[str, Callable[[Any], Any]] = {
    "read": lambda response: response.read(),
    "iter_lines": lambda response: response.iter_lines(),
    "iter_bytes": lambda response: response.iter_bytes(),
    "parse": lambda response: response.parse(),
    "nothing": lambda response: None,
}


@pytest.mark.parametrize("how", READ)
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
def test_streaming_responses(server: ScriptedServer, calls: Records, is_async: bool, streamed: bool, how: str) -> None:
    """with_streaming_response: whichever way the body is read, its record has the same figures."""
    iterates = how.startswith("iter") or (how == "parse" and streamed)

    def use(client: Any) -> None:
        with client.messages.with_streaming_response.create(**ASKED, stream=streamed) as response:
            found = READ[how](response)
            assert not iterates or list(found)

    async def ause(client: Any) -> None:
        async with client.messages.with_streaming_response.create(**ASKED, stream=streamed) as response:
            found = READ[how](response)
            found = await found if hasattr(found, "__await__") else found
            assert not iterates or [piece async for piece in found]

    run(llmlog.wrap(client_of(server, is_async)), ause if is_async else use)
    record = calls.one()
    if how == "nothing":
        assert (record["outcome"], record["ended_by"]) == ("aborted", "context_exit")
    else:
        assert (record["ended_by"], record["response_length"], record["output_tokens"]) == ("exhausted", 11, 2)


def test_raw_responses(server: ScriptedServer, calls: Records) -> None:
    """with_raw_response: whole and streamed."""
    create = llmlog.wrap(client_of(server)).messages.with_raw_response.create
    assert create(**ASKED).parse().content[0].text == "Hello world"
    raw = create(**ASKED, stream=True)
    assert raw.parse() is raw.parse()
    assert len(list(raw.parse())) == 7
    assert [record["response_length"] for record in calls.all()] == [11, 11]


# The client


@pytest.mark.parametrize("is_async", [False, True])
def test_wrap_and_unwrap(server: ScriptedServer, calls: Records, is_async: bool) -> None:
    """Copies are logged as well; wrapping again replaces the options; unwrap() leaves no trace."""
    client = client_of(server, is_async)
    client.messages, client.beta.messages
    touched = (client, client.messages, client.beta, client.beta.messages)
    before = [dict(vars(one)) for one in touched]
    llmlog.wrap(client, team="one")
    assert llmlog.wrap(client, team="two") is client
    call(client.with_options(timeout=5), "messages.create", **ASKED)
    assert calls.one()["team"] == "two"
    assert llmlog.unwrap(client) is client
    assert [vars(one) for one in touched] == before


def test_other_forms_of_the_client(server: ScriptedServer, calls: Records) -> None:
    """The clients for other clouds speak the same; whose answer it is, is told."""
    foundry = anthropic.AnthropicFoundry(api_key="k", base_url=server.anthropic_url, max_retries=0)
    with llmlog.wrap(foundry) as client:
        client.messages.create(**ASKED)
        with client.messages.stream(**ASKED) as stream:
            stream.until_done()
    elsewhere: Any = {"base_url": server.url, "max_retries": 0}
    amazons = anthropic.AnthropicBedrock(aws_access_key="a", aws_secret_key="b", aws_region="us-east-1", **elsewhere)
    googles = anthropic.AnthropicVertex(access_token="a", project_id="p", region="global", **elsewhere)
    for made in (amazons, googles):
        with made, pytest.raises(anthropic.NotFoundError):  # they ask at paths that this server does not have
            llmlog.wrap(made).messages.create(**ASKED)
    assert [record["provider"] for record in calls.all()] == ["azure", "azure", "bedrock", "vertex_ai"]
    assert calls.all()[2]["http_status"] == 404


def test_inside_a_call(server: ScriptedServer, calls: Records) -> None:
    """A helper inside call() is that call."""
    client = llmlog.wrap(client_of(server))
    with llmlog.call(feature="chat") as outer, client.messages.stream(**ASKED) as stream:
        stream.until_done()
    assert (calls.one()["call_id"], calls.one()["feature"]) == (outer.call_id, "chat")
