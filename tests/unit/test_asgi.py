"""ASGIMiddleware, in plain ASGI, without a server."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Records, chunk

import llmlog
from llmlog import faults
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


def test_what_the_generator_makes() -> None:
    """A UUID is an id, and so is a number."""
    for made in (uuid.UUID(int=5), 7):
        seen: list[Any] = []
        run(answering(seen), generator=lambda made=made: made)
        assert seen[0][1] == str(made)


@pytest.mark.parametrize("made", [None, "a\r\nb", "", "x" * 129])
def test_a_generator_that_makes_no_id(
    made: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would break a header, or is nothing, is no id: a random one is taken, and stderr says why."""
    monkeypatch.setattr(faults, "_told", set())
    seen: list[Any] = []
    for _ in range(2):
        run(answering(seen), generator=lambda: made)
    assert [len(one[1]) for one in seen] == [32, 32]
    assert seen[0][1] != seen[1][1]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("llmlog: the generator made no id")


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


def test_the_end_of_the_application_with_a_request_still_open(calls: Records) -> None:
    """The server has cancelled it, and may end the process before its task can say so: its record is made now."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await asyncio.Event().wait()

    async def server() -> None:
        async def send(message: Any) -> None:
            """Told that the application is down."""

        middleware = ASGIMiddleware(app)
        task = asyncio.create_task(middleware(dict(SCOPE), never, send))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await middleware({"type": "lifespan"}, never, send)
        assert record_of(calls)["ended_by"] == "cancellation"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(server())
    assert record_of(calls)["outcome"] == "cancelled"


def test_the_end_of_the_application_with_a_stream_still_open(calls: Records) -> None:
    """The calls of such a request are cancelled with it; those of no request go on."""

    async def chunks() -> Any:
        yield chunk("Hello")
        await asyncio.Event().wait()

    async def read(about: str) -> None:
        async for _ in llmlog.stream(chunks(), feature=about):
            pass

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await send({"type": "lifespan.shutdown.complete"})
            return
        with llmlog.request(about="a part of it"):
            await read("in a request")

    async def server() -> None:
        async def send(message: Any) -> None:
            """Told that the application is down."""

        middleware = ASGIMiddleware(app)
        elsewhere = asyncio.create_task(read("elsewhere"))
        task = asyncio.create_task(middleware(dict(SCOPE), never, send))  # type: ignore[arg-type]
        for _ in range(5):
            await asyncio.sleep(0)
        await middleware({"type": "lifespan"}, never, send)
        assert [(one["feature"], one["ended_by"], one["response_length"]) for one in calls.all()] == [
            ("in a request", "cancellation", 5)
        ]
        assert record_of(calls)["request_calls"] == 1
        for one in (task, elsewhere):
            one.cancel()
            with pytest.raises(asyncio.CancelledError):
                await one

    asyncio.run(server())
    assert [one["feature"] for one in calls.all()] == ["in a request", "elsewhere"]


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


def record_of(calls: Records) -> dict[str, Any]:
    """The one record of a request."""
    (record,) = calls.requests()
    return record


def test_the_record_of_a_request(calls: Records) -> None:
    """What came in, what went out, and the route that the framework has put into the scope."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await receive()
        scope["route"] = type("Route", (), {"path": "/chats/{chat_id}"})
        await send({"type": "http.response.start", "status": 201})
        await send({"type": "http.response.body", "body": b"abc", "more_body": True})
        await send({"type": "http.response.body", "body": b"de"})

    scope = {"method": "POST", "path": "/chats/7", "query_string": b"token=secret", "client": ["203.0.113.7", 1234]}
    messages = ({"type": "http.request", "body": b"12", "more_body": True}, {"type": "http.request", "body": b"345"})
    run(app, scope, messages)
    record = record_of(calls)
    told = {"http_method": "POST", "http_path": "/chats/7", "http_route": "/chats/{chat_id}", "http_status": 201,
            "client_address": "203.0.113.*", "request_bytes": 5, "response_bytes": 5}  # fmt: skip
    assert {name: record.get(name) for name in told} == told
    assert "secret" not in str(record)
    assert record["ttfb_ms"] <= record["latency_ms"]


async def steps(count: int = 100) -> None:
    """Let the event loop go on."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_the_record_is_made_when_the_body_has_ended(calls: Records) -> None:
    """Not when the application returns: a background task may go on for minutes."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await steps()
        assert calls.requests() == []
        await send({"type": "http.response.body", "body": b"a"})
        await steps()
        assert record_of(calls)["outcome"] == "completed"
        assert llmlog.current()["request_id"] == "r-1"  # a background task is still in it
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(app, {"headers": [(b"x-request-id", b"r-1")]})
    assert record_of(calls)["http_status"] == 200


def test_a_framework_that_ends_a_failed_response(calls: Records) -> None:
    """The error comes a few steps later than the last byte, and is in the record."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b""})
        await steps(10)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(app)
    record = record_of(calls)
    assert (record["outcome"], record["error_type"], record["http_status"]) == ("error", "ZeroDivisionError", 200)


def test_a_stream_that_is_still_held_counts(calls: Records) -> None:
    """Whether its consumer has left, only the end of the request can tell: then the sum is drawn."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        held = llmlog.stream([chunk("a"), chunk("b")], model="gpt-4o-mini")
        for _ in held:
            break
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"a"})
        await steps()
        assert calls.requests() == []
        scope["held"] = held

    run(app)
    record = record_of(calls)
    assert (record["request_calls"], record["outcome"]) == (1, "completed")


def test_trailers_and_files(calls: Records) -> None:
    """A response ends with its trailers; of a file that the server sends the size is not known."""

    async def with_trailers(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "trailers": True})
        await send({"type": "http.response.body", "body": b"a"})
        await steps()
        assert calls.requests() == []
        await send({"type": "http.response.trailers", "headers": []})
        await steps()
        assert record_of(calls)["response_bytes"] == 1

    async def with_file(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.pathsend", "path": "/a"})
        await steps()
        assert "response_bytes" not in record_of(calls)

    run(with_trailers)
    calls.clear()
    run(with_file)
    assert record_of(calls)["outcome"] == "completed"


def test_an_error_before_the_response(calls: Records) -> None:
    """The client gets the server's 500, and so does the record; the server's own traceback still bears the id."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        llmlog.bind(user_id="u-1")
        raise KeyError("ann@example.com")

    async def server() -> dict[str, Any]:
        with pytest.raises(KeyError):
            await ASGIMiddleware(app)({**SCOPE, "headers": [(b"x-request-id", b"r-1")]}, never, never)
        return dict(llmlog.current())

    after = asyncio.run(server())
    assert (after["request_id"], after["user_id"]) == ("r-1", "u-1")
    record = record_of(calls)
    assert (record["http_status"], record["outcome"], record["error_type"]) == (500, "error", "KeyError")
    assert record["error_message"] == "'<EMAIL>'"
    assert record["levelname"] == "ERROR"


def test_what_is_bound_in_a_thread_or_a_task(calls: Records) -> None:
    """A plain function of FastAPI's runs in a thread, what is behind BaseHTTPMiddleware in a task: what they bind is
    on the request's record; what a request inside it binds is that one's own.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        llmlog.bind(feature="early", team="a", gone="x")
        llmlog.unbind("gone")
        await asyncio.to_thread(llmlog.bind, user_id="u-1")
        await asyncio.create_task(endpoint())
        with llmlog.request("inner"):
            llmlog.bind(inner=True)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    async def endpoint() -> None:
        llmlog.bind(feature="late")

    run(app)
    record = record_of(calls)
    assert (record["user_id"], record["feature"], record["team"]) == ("u-1", "late", "a")
    assert not {"inner", "gone"} & record.keys()


def test_the_next_request_of_a_task_that_has_failed() -> None:
    """It has nothing of the one before it."""
    seen: list[Any] = []

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        llmlog.bind(user_id="u-1")
        raise ZeroDivisionError

    async def server() -> None:
        with pytest.raises(ZeroDivisionError):
            await ASGIMiddleware(failing)(dict(SCOPE), never, never)

        async def send(message: Any) -> None:
            """Nothing is looked at."""

        await ASGIMiddleware(answering(seen))(dict(SCOPE), never, send)  # type: ignore[arg-type]

    asyncio.run(server())
    assert "user_id" not in seen[0][0]


def test_an_application_inside_another_ones_request() -> None:
    """An error that leaves it leaves the caller in its own request."""

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        assert (llmlog.current()["request_id"], llmlog.current()["tenant"]) == ("r-2", "t")
        raise ZeroDivisionError

    async def gateway() -> None:
        async with llmlog.request("r-1", tenant="t"):
            with pytest.raises(ZeroDivisionError):
                await ASGIMiddleware(failing)({**SCOPE, "headers": [(b"x-request-id", b"r-2")]}, never, never)
            assert llmlog.current()["request_id"] == "r-1"

    asyncio.run(gateway())


def test_cancelled(calls: Records) -> None:
    """A server that gives up on a request is no client that hung up, and no error."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()

    async def server() -> None:
        began = asyncio.Event()

        async def receive() -> Any:
            began.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(ASGIMiddleware(app)(dict(SCOPE), receive, never))  # type: ignore[arg-type]
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(server())
    record = record_of(calls)
    assert (record["outcome"], record["ended_by"], record["levelname"]) == ("cancelled", "cancellation", "WARNING")
    assert "http_status" not in record


def test_a_hang_up_while_the_last_piece_is_on_its_way(calls: Records) -> None:
    """Frameworks listen for http.disconnect meanwhile, and servers say it when all is sent."""

    async def server() -> None:
        told = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200})
            listening = asyncio.create_task(receive())
            await send({"type": "http.response.body", "body": b"a"})
            await listening

        async def receive() -> Any:
            told.set()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                await told.wait()

        await ASGIMiddleware(app)(dict(SCOPE), receive, send)  # type: ignore[arg-type]

    asyncio.run(server())
    assert record_of(calls)["outcome"] == "completed"


def test_a_response_that_is_finished_for_nobody(calls: Records) -> None:
    """A framework that has seen the client go may send the end of the response all the same."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await receive()
        await send({"type": "http.response.body", "body": b""})

    run(app, incoming=({"type": "http.disconnect"},))
    record = record_of(calls)
    assert (record["outcome"], record["ended_by"]) == ("cancelled", "client_disconnect")


def test_a_middleware_inside_a_middleware(calls: Records) -> None:
    """A mounted application may have its own: one id, one header, one record, and the fields of both."""
    seen: list[Any] = []
    inner = ASGIMiddleware(answering(seen), fields={"team": "b"})
    sent = run(inner, fields={"service_part": "a"})
    assert (seen[0][0]["team"], seen[0][0]["service_part"]) == ("b", "a")
    assert len(sent[0]["headers"]) == 1
    record = record_of(calls)
    assert (record["team"], record["request_id"]) == ("b", seen[0][1])


def test_a_scope_that_is_used_again(calls: Records) -> None:
    """Each time it is a request of its own."""
    scope = dict(SCOPE)
    for _ in range(2):

        async def app(scope: Any, receive: Any, send: Any) -> None:
            """Answers nothing."""

        asyncio.run(ASGIMiddleware(app)(scope, never, never))  # type: ignore[arg-type]
    assert len({record["request_id"] for record in calls.requests()}) == 2


@pytest.mark.parametrize("options", [{"log_requests": False}, {"exclude": ["/"]}])
def test_without_a_record(calls: Records, options: dict[str, Any]) -> None:
    """The context and the header are there all the same."""
    seen: list[Any] = []
    sent = run(answering(seen), **options)
    assert calls.requests() == []
    assert sent[0]["headers"] == [(b"x-request-id", seen[0][1].encode())]


def test_without_a_header() -> None:
    """The id is not for the client."""
    sent = run(answering([], headers=((b"a", b"b"),)), header=None)
    assert sent[0]["headers"] == ((b"a", b"b"),)


def test_a_route_of_the_applications_own(calls: Records) -> None:
    """A framework that nobody knows: its scope is read by a function of the user's."""
    run(answering([]), {"my.route": "/a/{b}"}, route=lambda scope: scope["my.route"])
    assert record_of(calls)["http_route"] == "/a/{b}"


def test_headers_that_are_made_on_the_way() -> None:
    """Any iterable of pairs will do, one that can be read once too; the application's own list is not changed."""
    own: list[Any] = [(b"a", b"b")]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": (pair for pair in own)})
        await send({"type": "http.response.start", "status": 200, "headers": own})

    sent = run(app, {"headers": [(b"x-request-id", b"r-1")]})
    assert [list(message["headers"]) for message in sent] == [[(b"a", b"b"), (b"x-request-id", b"r-1")]] * 2
    assert own == [(b"a", b"b")]


@pytest.mark.parametrize(
    "message", [{}, {"type": 5}, None, "text", {"type": "http.response.start", "headers": 5}, {"type": []},
                {"type": "http.response.body", "body": 5}, {"type": "http.response.start", "headers": [None, (b"a",)]}],
)  # fmt: skip
def test_messages_that_are_none(message: Any) -> None:
    """They pass as they are: what to make of them is the server's business."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(message)

    (passed,) = run(app, header=None)
    assert passed is message


@pytest.mark.parametrize("headers", [None, [("x-request-id", "r-1")], 5, [5], [(b"x-request-id",)]])
def test_headers_that_are_none(headers: Any, faults_expected: dict[str, int]) -> None:
    """A server's odd scope costs the id it may have had; the request is served."""
    seen: list[Any] = []
    if headers not in (None, [("x-request-id", "r-1")]):
        faults_expected["reading a request's headers"] = 1
    run(answering(seen), {"headers": headers})
    assert len(seen[0][1]) == 32


def test_a_state_that_is_none(faults_expected: dict[str, int]) -> None:
    """The id has no place there, and is in the context."""
    faults_expected["putting a request's id into its scope"] = 1

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert llmlog.current()["request_id"]
        assert scope["state"] is None

    run(app, {"state": None})


WEBSOCKET = {"type": "websocket", "path": "/ws", "headers": [(b"x-request-id", b"r-1")]}


def test_the_record_of_a_websocket(calls: Records) -> None:
    """What came in and went out, and how it was closed."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": "äb"})

    incoming = (
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": "hello", "bytes": None},
        {"type": "websocket.receive", "bytes": b"abc", "text": None},
        {"type": "websocket.disconnect", "code": 1001},
    )
    sent = run(app, WEBSOCKET, incoming)
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.send", "websocket.send"]
    record = record_of(calls)
    told = {"event": "websocket.connection", "messages_in": 2, "messages_out": 2, "request_bytes": 8,
            "response_bytes": 6, "close_code": 1001, "http_status": 101, "outcome": "completed",
            "ended_by": "client_disconnect", "msg": f"websocket /ws 101 in {record['latency_ms']:.0f} ms"}  # fmt: skip
    assert {name: record.get(name) for name in told} == told


def test_a_websocket_that_the_application_closes(calls: Records) -> None:
    """The server's confirmation is no hang-up: a call that goes on after it is not the client's doing."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4001})
        stream = llmlog.stream([chunk("a"), chunk("b")])
        next(stream)
        assert (await receive())["type"] == "websocket.disconnect"
        stream.close()

    run(app, WEBSOCKET, ({"type": "websocket.disconnect", "code": 4001},))
    record = record_of(calls)
    assert (record["close_code"], record["ended_by"], record["outcome"]) == (4001, "close", "completed")
    assert calls.one()["ended_by"] == "close"


def test_a_websocket_that_is_refused(calls: Records) -> None:
    """Closed before it was accepted: 403; or with a response of the application's own, which bears the id."""

    async def refusing(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.close"})

    async def answering_401(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"no"})

    run(refusing, WEBSOCKET)
    record = record_of(calls)
    assert (record["http_status"], record["levelname"]) == (403, "WARNING")
    assert "close_code" not in record
    calls.clear()
    sent = run(answering_401, WEBSOCKET)
    assert sent[0]["headers"] == [(b"x-request-id", b"r-1")]
    record = record_of(calls)
    assert (record["http_status"], record["response_bytes"]) == (401, 2)


def test_no_websocket_any_more(calls: Records) -> None:
    """A send that fails is a hang-up here too, and calls that end by it say so."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with llmlog.stream([chunk("a"), chunk("b")]) as stream:
            next(stream)
            await send({"type": "websocket.send", "text": "a"})

    async def send(message: Any) -> None:
        raise OSError("gone")

    async def server() -> None:
        with pytest.raises(OSError, match="gone"):
            await ASGIMiddleware(app)({**SCOPE, **WEBSOCKET}, never, send)  # type: ignore[arg-type]

    asyncio.run(server())
    assert record_of(calls)["outcome"] == "cancelled"
    assert calls.one()["ended_by"] == "client_disconnect"


def test_the_route_is_on_every_record_from_when_it_is_known(calls: Records) -> None:
    """Calls and events bear it, those of a request inside and of a stream that is left till the end included."""
    held: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        llmlog.event("before")
        scope["route"] = type("Route", (), {"path": "/chats/{chat_id}"})
        with llmlog.request(feature="search"):
            llmlog.event("inside")
            held.append(llmlog.stream(iter(["a"]), provider="text"))
            next(held[0])
        await answering([])(scope, receive, send)

    run(app, {"path": "/chats/7"})
    (before,), (inside,) = calls.events("before"), calls.events("inside")
    assert "http_route" not in before
    assert inside["http_route"] == calls.one()["http_route"] == record_of(calls)["http_route"] == "/chats/{chat_id}"


def test_a_route_that_cannot_be_told(calls: Records, faults_expected: dict[str, int]) -> None:
    """It is counted, and the records come without it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        llmlog.event("x")
        await answering([])(scope, receive, send)

    run(app, route=lambda scope: 1 / 0)
    assert "http_route" not in calls.events("x")[0]
    assert "http_route" not in record_of(calls)
    faults_expected["reading a request's route"] = 2
