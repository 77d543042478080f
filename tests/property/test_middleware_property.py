"""Whatever clients, servers and applications do: nothing of the middleware's is raised, and both sides see each other.

Each run is made twice, with the middleware and without it, and compared.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from llmlog import faults
from llmlog.formatters import JSONFormatter
from llmlog.middleware import ASGIMiddleware, WSGIMiddleware
from llmlog.testing import capture

TYPES = st.sampled_from([
    "http.request", "http.disconnect", "http.response.start", "http.response.body", "http.response.trailers",
    "http.response.pathsend", "http.response.zerocopysend", "http.response.push", "websocket.connect",
    "websocket.accept", "websocket.receive", "websocket.send", "websocket.close", "websocket.disconnect",
    "websocket.http.response.start", "websocket.http.response.body", "something.else",
])  # fmt: skip
ODD = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=5) | st.lists(st.none())
NAMES = st.sampled_from([b"x-request-id", b"X-Request-ID", b"traceparent", b"tracestate", b"baggage",
                         b"content-length"]) | st.binary(max_size=12)  # fmt: skip
PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
HEADERS = st.lists(st.tuples(NAMES, st.binary(max_size=200) | st.sampled_from([b"r-1", PARENT, b"1\r\nset-cookie: a"])))
MESSAGES = st.fixed_dictionaries(
    {"type": TYPES},
    optional={
        "status": st.integers(100, 599) | ODD,
        "headers": HEADERS | ODD,
        "body": st.binary(max_size=20) | ODD,
        "more_body": st.booleans() | ODD,
        "trailers": st.booleans(),
        "more_trailers": st.booleans(),
        "text": st.text(max_size=5) | st.none(),
        "bytes": st.binary(max_size=5) | st.none(),
        "code": st.integers(0, 5000) | ODD,
    },
) | st.one_of(ODD, st.just({}))
ERRORS = st.sampled_from([None, OSError, ZeroDivisionError, asyncio.CancelledError])
STEPS = st.lists(st.sampled_from(["receive"]) | st.tuples(MESSAGES, st.sampled_from([None, None, OSError, ValueError])))


async def played(wrapped: Any, scope: Any, steps: list[Any], incoming: list[Any], end: Any) -> list[Any]:
    """What application and server see of each other, step by step."""
    seen: list[Any] = []
    messages = iter(incoming)
    answers: Any = None

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal answers
        for step in steps:
            try:
                if step == "receive":
                    seen.append(("received", await receive()))
                else:
                    message, answers = step
                    await send(message)
            except Exception as error:
                seen.append(("raised", type(error)))
        if end is not None:
            raise end

    async def receive() -> Any:
        return next(messages, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        seen.append(("sent", message))
        if answers is not None:
            raise answers

    try:
        await wrapped(app)(scope, receive, send)
    except (Exception, asyncio.CancelledError) as error:
        seen.append(("left", type(error)))
    return seen


def unheard(app: Any) -> ASGIMiddleware:
    """The middleware, without the one thing that it adds to a response."""
    return ASGIMiddleware(app, header=None, read_headers=["x-request-id"])


@given(
    headers=HEADERS,
    kind=st.sampled_from(["http", "websocket"]),
    path=st.text() | ODD,
    method=st.text(max_size=8) | ODD,
    client=st.none() | st.tuples(st.text(max_size=20) | ODD, st.integers()) | ODD,
    steps=STEPS,
    incoming=st.lists(MESSAGES),
    end=ERRORS,
)
def test_asgi(
    headers: Any, kind: str, path: Any, method: Any, client: Any, steps: list[Any], incoming: list[Any], end: Any
) -> None:
    """Any bytes in headers, any messages in any order, any failure: as without it, and one record that can be read."""
    scope = {"type": kind, "headers": headers, "path": path, "method": method, "client": client}
    before = faults.counts()
    with capture() as captured:
        with_us = asyncio.run(played(unheard, dict(scope), steps, incoming, end))
        (record,) = [one for one in captured.records if one.name == "llmlog.http"]
    assert with_us == asyncio.run(played(lambda app: app, dict(scope), steps, incoming, end))
    readable(record)
    assert faults.counts() == before


def readable(record: logging.LogRecord) -> None:
    """It is one line, in each way of writing it, and its fields survive."""
    line = JSONFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line)["event"] in ("http.request", "websocket.connection")
    assert record.getMessage().isprintable()


@given(headers=st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=12))), own=st.none() | st.binary())
def test_the_id_is_answered_once(headers: list[tuple[bytes, bytes]], own: bytes | None) -> None:
    """The application's headers pass as they are, in their order; the id comes last, unless it is there already."""
    if own is not None:
        headers = [*headers, (b"x-REQUEST-id", own)]
    steps = [({"type": "http.response.start", "status": 200, "headers": headers}, None)]
    ((_, sent),) = asyncio.run(played(ASGIMiddleware, {"type": "http", "headers": []}, steps, [], None))
    there = any(name.lower() == b"x-request-id" for name, _ in headers)
    assert sent["headers"][: len(headers)] == headers
    assert len(sent["headers"]) == len(headers) + (not there)


TEXT = st.text(alphabet=st.characters(max_codepoint=255), max_size=200)


def exchanged(wrapped: Any, environ: dict[str, Any], script: dict[str, Any]) -> list[Any]:
    """What a WSGI application and its server see of each other."""
    seen: list[Any] = []

    class Body:
        def __iter__(self) -> Iterator[Any]:
            yield from script["pieces"]
            if script["fails"] is not None:
                raise script["fails"]

        def close(self) -> None:
            seen.append("closed")

    def app(environ: Any, start_response: Any) -> Any:
        try:
            start_response(script["status"], script["headers"])
        except Exception as error:
            seen.append(("raised", type(error)))
        if script["fails_at_once"] is not None:
            raise script["fails_at_once"]
        return list(script["pieces"]) if script["as_list"] else Body()

    def start_response(*args: Any) -> Any:
        seen.append(args)
        if script["refuses"] is not None:
            raise script["refuses"]
        return seen.append

    try:
        result = wrapped(app)(environ, start_response)
        try:
            for number, piece in enumerate(result):
                seen.append(piece)
                if number == script["take"]:
                    break
        finally:
            if hasattr(result, "close"):
                result.close()
    except Exception as error:
        seen.append(("left", type(error)))
    return seen


@given(
    environ=st.dictionaries(
        st.sampled_from(["HTTP_X_REQUEST_ID", "HTTP_TRACEPARENT", "HTTP_BAGGAGE", "PATH_INFO", "SCRIPT_NAME",
                         "REQUEST_METHOD", "CONTENT_LENGTH", "REMOTE_ADDR"]), TEXT | st.text(max_size=5),
    ),
    script=st.fixed_dictionaries({
        "status": TEXT | st.sampled_from(["200 OK", "204 No Content", "500 Error"]) | ODD,
        "headers": st.lists(st.tuples(st.sampled_from(["Content-Length", "X-Request-Id", "A"]), TEXT)) | ODD,
        "pieces": st.lists(st.binary(max_size=10) | ODD, max_size=5),
        "fails": ERRORS.filter(lambda error: error is not asyncio.CancelledError),
        "fails_at_once": ERRORS.filter(lambda error: error is not asyncio.CancelledError),
        "refuses": ERRORS.filter(lambda error: error is not asyncio.CancelledError),
        "take": st.integers(0, 5),
        "as_list": st.booleans(),
    }),
)  # fmt: skip
def test_wsgi(environ: dict[str, Any], script: dict[str, Any]) -> None:
    """Any environ, any answer, any failure, a client that goes at any piece: as without it, and one record."""
    before = faults.counts()
    with capture() as captured:
        with_us = exchanged(
            lambda app: WSGIMiddleware(app, header=None, read_headers=["X-Request-ID"]), dict(environ), script
        )
        (record,) = [one for one in captured.records if one.name == "llmlog.http"]
    without = exchanged(lambda app: app, dict(environ), script)
    if script["as_list"] and "closed" not in without:
        assert "closed" not in with_us
    assert with_us == without
    readable(record)
    assert faults.counts() == before
