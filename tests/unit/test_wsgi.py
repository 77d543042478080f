"""WSGIMiddleware, in plain WSGI, without a server; the standard library's validator stands on both sides of it."""

from __future__ import annotations

import gc
import io
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest
from conftest import Records, chunk

import llmlog
from llmlog.middleware import WSGIMiddleware


def environ_of(**more: Any) -> dict[str, Any]:
    """A request's environ."""
    environ: dict[str, Any] = {
        "REMOTE_ADDR": "203.0.113.7", "HTTP_X_REQUEST_ID": "r-1", "QUERY_STRING": "", "SCRIPT_NAME": "",
        "PATH_INFO": "/", **more,
    }  # fmt: skip
    setup_testing_defaults(environ)
    return environ


class Server:
    """What a server does with an application: `status`, `headers`, the pieces `sent`."""

    def __init__(self) -> None:
        self.status = ""
        self.headers: list[tuple[str, str]] = []
        self.sent: list[bytes] = []

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        if exc_info and self.sent:
            raise exc_info[1]
        self.status, self.headers = status, headers
        return self.sent.append

    def run(self, app: Any, *, take: int | None = None, **environ: Any) -> Server:
        """One request, from which the client goes after `take` pieces."""
        result = app(environ_of(**environ), self.start_response)
        try:
            for number, piece in enumerate(result, 1):
                self.sent.append(piece)
                if number == take:
                    break
        finally:
            if hasattr(result, "close"):
                result.close()
        return self


def serve(app: Any, *, take: int | None = None, environ: dict[str, Any] | None = None, **options: Any) -> Server:
    """One request through the middleware, which is as strict as the standard on both of its sides."""
    wrapped = validator(WSGIMiddleware(validator(app), **options))
    return Server().run(wrapped, take=take, **(environ or {}))


def record_of(calls: Records) -> dict[str, Any]:
    """The one record of a request."""
    (record,) = calls.requests()
    return record


def answering(seen: list[Any], *pieces: bytes, headers: Iterable[tuple[str, str]] = ()) -> Any:
    """An application that answers with a list, and keeps its context and the id in the environ."""

    def app(environ: Any, start_response: Any) -> Any:
        seen.append((dict(llmlog.current()), environ["llmlog.request_id"]))
        start_response("200 OK", [("Content-Type", "text/plain"), *headers])
        return list(pieces)

    return app


def streaming(*pieces: bytes) -> Any:
    """An application that answers with a generator, whose steps are an LLM's."""

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])

        def body() -> Iterator[bytes]:
            chunks = [*(chunk(piece.decode()) for piece in pieces), chunk(finish="stop")]
            for one in llmlog.stream(chunks, model="gpt-4o-mini"):
                if text := one["choices"][0]["delta"]["content"]:
                    yield text.encode()

        return body()

    return app


def test_the_clients_id_in_and_out(calls: Records) -> None:
    """A valid id is taken over, bound, put into the environ, and sent back; the record tells the rest."""
    seen: list[Any] = []
    environ = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "3", "wsgi.input": io.BytesIO(b"abc"),
               "SCRIPT_NAME": "/app", "PATH_INFO": "/stra\xc3\x9fe", "HTTP_TRACEPARENT":
               "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}  # fmt: skip
    server = serve(answering(seen, b"abc", b"de"), environ=environ, fields={"team": "a"})
    context, in_environ = seen[0]
    assert (context["request_id"], in_environ, context["team"]) == ("r-1", "r-1", "a")
    assert context["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert server.headers == [("Content-Type", "text/plain"), ("X-Request-ID", "r-1")]
    record = record_of(calls)
    told = {"http_method": "POST", "http_path": "/app/straße", "http_status": 200, "client_address": "203.0.113.*",
            "request_bytes": 3, "response_bytes": 5, "outcome": "completed", "ended_by": "exhausted",
            "request_calls": 0, "event": "http.request"}  # fmt: skip
    assert {name: record.get(name) for name in told} == told


@pytest.mark.parametrize("bad", ["", "a b", "x" * 10_240, "\xff", None])
def test_a_fresh_id_where_the_clients_is_no_good(bad: str | None) -> None:
    """An id that is missing or not valid is made here."""
    seen: list[Any] = []
    environ = environ_of()
    environ.pop("HTTP_X_REQUEST_ID")
    if bad is not None:
        environ["HTTP_X_REQUEST_ID"] = bad
    server = Server()
    WSGIMiddleware(answering(seen))(environ, server.start_response)
    assert len(seen[0][1]) == 32
    assert dict(server.headers)["X-Request-ID"] == seen[0][1]


def test_the_header_that_the_application_has_set() -> None:
    """The id is sent once."""
    server = serve(answering([], headers=[("x-request-id", "own")]))
    assert server.headers == [("Content-Type", "text/plain"), ("x-request-id", "own")]


def test_a_streamed_answer(calls: Records) -> None:
    """The context is there in each step, and never in the server's thread between them."""
    seen: list[Any] = []
    outside: list[Any] = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        llmlog.bind(user_id="u-1")
        for number in range(3):
            seen.append(dict(llmlog.current()))
            llmlog.bind(step=number)
            yield b"a"

    result = WSGIMiddleware(app)(environ_of(), Server().start_response)
    for _ in result:
        outside.append(dict(llmlog.current()))
        assert calls.requests() == []
    assert outside == [{}, {}, {}]
    assert [step.get("step") for step in seen] == [None, 0, 1]
    assert {(step["request_id"], step["user_id"]) for step in seen} == {("r-1", "u-1")}
    assert calls.requests() == []  # the server has not closed it yet
    result.close()  # type: ignore[attr-defined]
    record = record_of(calls)
    assert (record["outcome"], record["response_bytes"], record["step"]) == ("completed", 3, 2)
    assert dict(llmlog.current()) == {}


def test_steps_in_other_threads(calls: Records) -> None:
    """A server may take each step in whichever thread it likes."""
    server = Server()
    result = WSGIMiddleware(streaming(b"a", b"b"))(environ_of(), server.start_response)
    steps: list[Callable[[], Any]] = [lambda: next(result, None)] * 3  # type: ignore[call-overload]
    for step in (*steps, result.close):  # type: ignore[attr-defined]
        thread = threading.Thread(target=step)
        thread.start()
        thread.join()
    assert record_of(calls)["request_calls"] == 1
    assert calls.one()["request_id"] == "r-1"


def test_what_its_calls_come_to(calls: Records) -> None:
    """Calls, tokens and cost stand in the record of the request."""
    serve(streaming(b"Hello", b" world"))
    record = record_of(calls)
    assert record["request_calls"] == 1
    assert record["request_output_tokens"] == calls.one()["output_tokens"] > 0


def test_a_client_that_hangs_up(calls: Records) -> None:
    """A response that is closed before its end: the call says why it ended."""
    serve(streaming(b"a", b"b"), take=1)
    record = record_of(calls)
    assert (record["outcome"], record["ended_by"], record["levelname"]) == ("cancelled", "client_disconnect", "INFO")
    assert (record["http_status"], record["response_bytes"]) == (200, 1)
    assert (calls.one()["outcome"], calls.one()["ended_by"]) == ("cancelled", "client_disconnect")


@pytest.mark.parametrize(
    ("environ", "status", "headers", "take"),
    [
        ({"REQUEST_METHOD": "HEAD"}, "200 OK", [("Content-Type", "text/plain")], 0),
        ({}, "304 Not Modified", [], 0),
        ({}, "200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")], 2),
    ],
)
def test_a_response_that_is_closed_when_all_is_sent(
    calls: Records, environ: dict[str, Any], status: str, headers: list[tuple[str, str]], take: int
) -> None:
    """Servers need not ask for a piece that cannot come."""

    def app(environ: Any, start_response: Any) -> Any:
        start_response(status, headers)
        return (b"a" for _ in range(2))

    result = WSGIMiddleware(app)(environ_of(**environ), Server().start_response)
    for _ in range(take):
        next(result)  # type: ignore[call-overload]
    result.close()  # type: ignore[attr-defined]
    assert record_of(calls)["outcome"] == "completed"


def test_a_response_that_is_dropped(calls: Records) -> None:
    """A server that does not close it: the record comes from the collection."""
    result = iter(WSGIMiddleware(streaming(b"a", b"b"))(environ_of(), Server().start_response))
    next(result)
    del result
    gc.collect()
    record = record_of(calls)
    assert (record["outcome"], record["ended_by"], record["request_calls"]) == ("aborted", "garbage_collected", 1)


def test_an_error_before_the_response(calls: Records) -> None:
    """It passes, and the record has the server's status; nothing stays in the server's thread."""

    def app(environ: Any, start_response: Any) -> Any:
        raise KeyError("ann@example.com")

    with pytest.raises(KeyError):
        serve(app)
    record = record_of(calls)
    assert (record["http_status"], record["outcome"], record["error_type"]) == (500, "error", "KeyError")
    assert record["error_message"] == "'<EMAIL>'"
    assert dict(llmlog.current()) == {}


@pytest.mark.parametrize(("pieces", "status"), [([b"a"], 200), ([], 500), ([b""], 500)])
def test_an_error_in_the_body(calls: Records, pieces: list[bytes], status: int) -> None:
    """The status is what the client has seen: headers go out with the first piece."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield from pieces
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        serve(app)
    record = record_of(calls)
    assert (record["http_status"], record["outcome"], record["ended_by"]) == (status, "error", "exception")
    assert dict(llmlog.current()) == {}


def test_an_error_that_the_application_answers(calls: Records) -> None:
    """start_response with exc_info replaces what has not been sent; the id is in the new headers as well."""

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            start_response("503 Service Unavailable", [("Content-Type", "text/plain")], sys.exc_info())
        return [b"sorry"]

    server = serve(app)
    assert (server.status, dict(server.headers)["X-Request-ID"]) == ("503 Service Unavailable", "r-1")
    record = record_of(calls)
    assert (record["http_status"], record["levelno"]) == (503, logging.ERROR)


def test_an_error_that_comes_too_late() -> None:
    """What the server raises in start_response goes to the application."""
    told: list[Any] = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"a"
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            try:
                start_response("500 Error", [("Content-Type", "text/plain")], sys.exc_info())
            except ZeroDivisionError as error:
                told.append(error)

    serve(app)
    assert len(told) == 1


def test_an_error_of_close(calls: Records) -> None:
    """It passes to the server, and is in the record; the client has seen a whole response."""

    class Body(list):  # type: ignore[type-arg]
        def close(self) -> None:
            raise ZeroDivisionError

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return Body([b"a"])

    with pytest.raises(ZeroDivisionError):
        Server().run(WSGIMiddleware(app))
    record = record_of(calls)
    assert (record["outcome"], record["error_type"], record["http_status"]) == ("error", "ZeroDivisionError", 200)


def test_what_is_written(calls: Records) -> None:
    """The write() of old applications counts as well."""

    def app(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"abc")
        return [b"de"]

    assert serve(app).sent == [b"abc", b"de"]
    assert record_of(calls)["response_bytes"] == 5


def test_the_applications_headers_are_its_own() -> None:
    """Its list is not changed."""
    own = [("Content-Type", "text/plain")]

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", own)
        return [b""]

    assert len(serve(app).headers) == 2
    assert own == [("Content-Type", "text/plain")]


@pytest.mark.parametrize(
    ("status", "headers"), [("nonsense", []), ("200 OK", None), (None, [("a", "b")]), ("200 OK", [None]), (5, 5)]
)
def test_what_the_server_is_to_judge(calls: Records, status: Any, headers: Any) -> None:
    """A status or headers of no known form pass as they are."""
    got: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        start_response(status, headers)
        return [b"a"]

    def start_response(*args: Any) -> Any:
        got.extend(args)

    body = WSGIMiddleware(app, header=None)(environ_of(), start_response)  # type: ignore[arg-type]
    assert list(body) == [b"a"]
    body.close()  # type: ignore[attr-defined]
    assert got[0] is status
    assert got[1] is headers
    assert record_of(calls)["outcome"] == "completed"


def test_the_length_of_a_body() -> None:
    """A server may ask a list for it, to send a Content-Length; a generator has none."""
    whole = WSGIMiddleware(answering([], b"a"))(environ_of(), Server().start_response)
    assert (len(whole), bool(whole)) == (1, True)  # type: ignore[arg-type]
    empty = WSGIMiddleware(answering([]))(environ_of(), Server().start_response)
    assert not empty
    streamed = WSGIMiddleware(streaming(b"a"))(environ_of(), Server().start_response)
    assert streamed
    with pytest.raises(TypeError, match="has no len"):
        len(streamed)  # type: ignore[arg-type]
    for body in (whole, empty, streamed):
        body.close()  # type: ignore[attr-defined]


def test_a_file_for_the_server(calls: Records) -> None:
    """What is the server's own wrapper reaches it as it is, so that it can send the file in its own way."""

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"abc"))

    environ = environ_of(**{"wsgi.file_wrapper": FileWrapper})
    assert type(WSGIMiddleware(app)(environ, Server().start_response)) is FileWrapper
    record = record_of(calls)
    assert (record["outcome"], "response_bytes" in record) == ("completed", False)


def test_a_middleware_inside_a_middleware(calls: Records) -> None:
    """One id, one header, one record, and the fields of both."""
    seen: list[Any] = []
    server = serve(WSGIMiddleware(answering(seen, b"a"), fields={"team": "b"}), fields={"part": "a"})
    assert (seen[0][0]["team"], seen[0][0]["part"]) == ("b", "a")
    assert len(server.headers) == 2
    assert record_of(calls)["team"] == "b"


def test_an_application_inside_another_ones_request(calls: Records) -> None:
    """Its calls count in both, and the caller's context is back after each step."""
    with llmlog.request("outer"):
        for _ in WSGIMiddleware(streaming(b"a"))(environ_of(), Server().start_response):
            assert llmlog.current()["request_id"] == "outer"
        assert llmlog.totals().calls == 1


def test_without_a_record(calls: Records) -> None:
    """The context and the header are there all the same."""
    server = serve(answering([], b"a"), environ={"PATH_INFO": "/health"}, exclude=["/health"])
    assert calls.requests() == []
    assert dict(server.headers)["X-Request-ID"] == "r-1"


def test_routes(calls: Records) -> None:
    """Werkzeug's rule below the script's name, or what a function of the user's says."""

    class Rule:
        rule = "/chats/<int:chat_id>"

    class Request:
        url_rule = Rule

    def app(environ: Any, start_response: Any) -> Any:
        environ["werkzeug.request"] = Request
        start_response("200 OK", [("Content-Type", "text/plain")])
        environ["werkzeug.request"] = None  # as Flask does when it leaves its own context
        return [b"a"]

    serve(app, environ={"SCRIPT_NAME": "/api", "PATH_INFO": "/chats/7"})
    assert record_of(calls)["http_route"] == "/api/chats/<int:chat_id>"
    calls.clear()
    serve(app, route=lambda environ: environ["PATH_INFO"][:2])
    assert record_of(calls)["http_route"] == "/"


def test_errors_of_use() -> None:
    """Wrong options are refused when it is built."""
    with pytest.raises(llmlog.UsageTypeError, match="app is something to call, got 5"):
        WSGIMiddleware(5)  # type: ignore[arg-type]
    with pytest.raises(llmlog.UsageTypeError, match="no option of the middleware: 'headers'"):
        WSGIMiddleware(answering([]), headers=[])  # type: ignore[call-arg]
