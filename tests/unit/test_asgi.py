"""ASGIMiddleware, in plain ASGI, without a server."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Records, chunk

import llmlog
from llmlog.middleware import ASGIMiddleware

SCOPE: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "headers": [], "asgi": {"version": "3.0"}}


async def never(*args: Any) -> Any:
    raise AssertionError("not called")


def run(app: Any, scope: dict[str, Any] | None = None, incoming: tuple[Any, ...] = (), **options: Any) -> list[Any]:
    """Run one request through the middleware; returns what was sent."""
    sent: list[Any] = []
    messages = iter(incoming)

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(ASGIMiddleware(app, **options)({**SCOPE, **(scope or {})}, receive, send))  # type: ignore[arg-type]
    return sent


def answering(seen: list[Any], headers: tuple[Any, ...] = ()) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((dict(llmlog.current()), scope["state"]["request_id"]))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    return app


def test_the_clients_id_in_and_out() -> None:
    """A valid id is taken over, bound, put into the scope, and sent back."""
    seen: list[Any] = []
    traceparent = (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    sent = run(answering(seen), {"headers": [(b"x-request-id", b"r-1"), traceparent]}, fields={"team": "a"})
    context, in_scope = seen[0]
    assert (context["request_id"], in_scope, context["team"]) == ("r-1", "r-1", "a")
    assert context["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert sent[0]["headers"] == [(b"x-request-id", b"r-1")]


@pytest.mark.parametrize("bad", [b"", b"a b", b"x" * 200, b"a\tb", b"\xff", None])
def test_a_fresh_id_where_the_clients_is_no_good(bad: bytes | None) -> None:
    """An id that is missing or not valid is made here."""
    seen: list[Any] = []
    sent = run(answering(seen), {"headers": [] if bad is None else [(b"x-request-id", bad)]})
    assert len(seen[0][1]) == 32
    assert sent[0]["headers"][0][1] == seen[0][1].encode()


def test_injected_parts() -> None:
    """Header, generator and validator are the application's choice."""
    seen: list[Any] = []
    options = {"header": "X-Trace", "generator": lambda: "made", "validator": lambda value: value.startswith("ok")}
    sent = run(answering(seen), {"headers": [(b"x-trace", b"ok-1"), (b"x-request-id", b"no")]}, **options)
    assert sent[0]["headers"] == [(b"x-trace", b"ok-1")]
    run(answering(seen), {"headers": [(b"x-trace", b"bad")]}, **options)
    assert [one[1] for one in seen] == ["ok-1", "made"]


@pytest.mark.parametrize("made", [uuid.UUID(int=5), None, "a\r\nb", ""])
def test_what_the_generator_makes(made: Any) -> None:
    """A UUID is an id; what would break a header is not."""
    seen: list[Any] = []
    run(answering(seen), generator=lambda: made)
    expected = str(made) if isinstance(made, uuid.UUID) or made is None else None
    assert seen[0][1] == expected or (expected is None and len(seen[0][1]) == 32)


def test_an_answer_that_has_the_header_already() -> None:
    """The id is sent once."""
    sent = run(answering([], headers=((b"X-Request-ID", b"own"),)))
    assert sent[0]["headers"] == [(b"X-Request-ID", b"own")]


def test_the_id_in_the_state() -> None:
    """What stands outside of the middleware finds the id in the request's state, as what stands inside does."""
    state = {"db": 1}
    seen: list[Any] = []
    run(answering(seen), {"state": state})
    assert state == {"db": 1, "request_id": seen[0][1]}


def test_a_generator_that_nobody_resumes(calls: Records) -> None:
    """A suspended generator may live on after a hang-up, in a request of its own: its stream is settled."""
    kept: list[Any] = []

    @llmlog.request(feature="agent")
    def answer() -> Iterator[Any]:
        yield from llmlog.stream([chunk("a"), chunk("b")])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        kept.append(answer())
        next(kept[0])
        await receive()

    run(app, incoming=({"type": "http.disconnect"},))
    record = calls.one()
    assert (record["outcome"], record["ended_by"], record["feature"]) == ("cancelled", "client_disconnect", "agent")
    assert "error_type" not in record
    assert len(list(kept[0])) == 1  # whoever goes on gets the rest
    assert len(calls.all()) == 1


def test_what_is_being_sent_goes_on(calls: Records) -> None:
    """A call of a background task that is being sent when the client hangs up ends in its own way."""
    tasks: list[Any] = []

    async def background() -> None:
        async with llmlog.call() as call:
            await asyncio.sleep(0.01)
            call.finish({"choices": [], "object": "chat.completion"})

    async def app(scope: Any, receive: Any, send: Any) -> None:
        tasks.append(asyncio.create_task(background()))
        await asyncio.sleep(0)
        await receive()

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def main() -> None:
        await ASGIMiddleware(app)(dict(SCOPE), receive, never)
        await tasks[0]

    asyncio.run(main())
    assert calls.one()["outcome"] == "completed"


def test_the_end_of_the_application(calls: Records) -> None:
    """At lifespan.shutdown all is written: a server may end the process by a signal then."""
    stream = llmlog.stream([chunk("a"), chunk("b")])
    for _ in stream:
        break

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.complete"})
        assert not calls.records
        await send({"type": "lifespan.shutdown.complete"})

    assert len(run(app, {"type": "lifespan"})) == 2
    assert len(calls.records) == 1
    del stream


def test_other_protocols_pass() -> None:
    """What is neither HTTP nor a websocket is none of its business."""
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    run(app, {"type": "something"})
    assert "state" not in seen[0]


def test_websockets() -> None:
    """A websocket has its context and its id as well."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        assert llmlog.current()["request_id"] == "r-1"

    sent = run(app, {"type": "websocket", "headers": [(b"x-request-id", b"r-1")]}, ({"type": "websocket.connect"},))
    assert sent[0]["headers"] == [(b"x-request-id", b"r-1")]


def test_a_hang_up(calls: Records) -> None:
    """After http.disconnect, a stream that is left was left because of it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        for _ in llmlog.stream([chunk("a"), chunk("b")]):
            assert (await receive())["type"] == "http.disconnect"
            break

    run(app, incoming=({"type": "http.disconnect"},))
    record = calls.one()
    assert (record["outcome"], record["ended_by"], record["levelno"]) == ("cancelled", "client_disconnect", 20)


def test_a_disconnect_after_the_last_byte_is_none(calls: Records) -> None:
    """Servers say http.disconnect too when all has been sent."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        stream = llmlog.stream([chunk("a"), chunk("b")])
        next(stream)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"a"})
        await receive()
        stream.close()

    run(app, incoming=({"type": "http.disconnect"},))
    assert calls.one()["ended_by"] == "close"


def test_a_send_that_fails(calls: Records) -> None:
    """By ASGI 2.4 a server raises OSError from send() when the client is gone."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with llmlog.stream([chunk("a"), chunk("b")]) as stream:
            for _ in stream:
                await send({"type": "http.response.body", "body": b"a", "more_body": True})

    async def send(message: Any) -> None:
        raise OSError("gone")

    async def main() -> None:
        with pytest.raises(OSError, match="gone"):
            await ASGIMiddleware(app)(dict(SCOPE), never, send)  # type: ignore[arg-type]

    asyncio.run(main())
    assert calls.one()["ended_by"] == "client_disconnect"


def test_an_error_of_the_application_passes() -> None:
    """What the application raises is the server's; the context is gone."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(app)
    assert dict(llmlog.current()) == {}


@pytest.mark.parametrize(
    ("options", "error"),
    [({"app": 5}, TypeError), ({"generator": "x"}, TypeError), ({"validator": 1}, TypeError),
     ({"header": 5}, TypeError), ({"fields": 5}, TypeError), ({"fields": {1: 2}}, TypeError),
     ({"header": "a b"}, ValueError),
     ({"header": " "}, ValueError), ({"header": "Ä"}, ValueError)],
)  # fmt: skip
def test_errors_of_use(options: dict[str, Any], error: type[Exception]) -> None:
    """Wrong options are refused when it is built, with the value."""
    with pytest.raises(error, match=repr(next(iter(options.values())))):
        ASGIMiddleware(**{"app": never, **options})
