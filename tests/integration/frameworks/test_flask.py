"""Flask under a real gunicorn: streams with their context, hang-ups, errors, files, bad input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conftest import framework
from http_servers import BAD_HEADERS, Process, asked_with, hang_up, headers_of, process_with, status_of

import llmlog

framework("flask")
framework("gunicorn")
httpx = framework("httpx")


@pytest.fixture(scope="module", params=["sync", "gthread"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The service, in each of gunicorn's ways to work."""
    command = ("gunicorn", "-b", "fd://{fd}", "-k", request.param, "--threads", "2", "flask_service:application")
    with process_with(tmp_path_factory.mktemp("flask"), *command) as process:
        yield process


def test_a_streamed_answer(server: Process) -> None:
    """The context is there in each step of the generator, and the record of the request has its call."""
    response = httpx.get(f"{server.url}/chats/77/stream?key=secret", headers={"X-Request-ID": "s-1"})
    assert (response.text, response.headers.get_list("x-request-id")) == ("Hello world", ["s-1"])
    record = server.one("http.request", "s-1")
    told = {"http_route": "/chats/<int:chat_id>/stream", "http_path": "/chats/77/stream", "http_method": "GET",
            "http_status": 200, "outcome": "completed", "response_bytes": 11, "client_address": "127.0.0.*",
            "request_calls": 1, "user_id": "u-7", "level": "INFO"}  # fmt: skip
    assert {name: record.get(name) for name in told} == told
    call = server.one("llm.call", "s-1")
    assert call["user_id"] == "u-7"
    assert record["request_cost_usd"] == call["cost_usd"]
    pieces = [line for line in server.lines() if line["message"] == "a piece for /chats/77/stream"]
    assert {line["request_id"] for line in pieces} == {"s-1"}


def test_a_hang_up(server: Process) -> None:
    """gunicorn closes the response: request and call say why they ended."""
    hang_up(server.url, "/chats/1/endless", "h-1")
    record = server.one("http.request", "h-1")
    assert (record["outcome"], record["ended_by"], record["level"]) == ("cancelled", "client_disconnect", "INFO")
    assert server.one("llm.call", "h-1")["ended_by"] == "client_disconnect"


@pytest.mark.parametrize(
    ("path", "status", "route", "level"),
    [("/broken", 500, "/broken", "ERROR"), ("/nothing/7", 404, None, "WARNING"), ("/file", 200, "/file", "INFO")],
)
def test_answers(server: Process, path: str, status: int, route: str | None, level: str) -> None:
    """Each with the id, once; a 500, too."""
    request_id = f"a{path.replace('/', '-')}"
    response = httpx.get(server.url + path, headers={"X-Request-ID": request_id})
    assert (response.status_code, response.headers.get_list("x-request-id")) == (status, [request_id])
    record = server.one("http.request", request_id)
    assert (record["http_status"], record.get("http_route"), record["level"]) == (status, route, level)


def test_the_traceback_has_the_id(server: Process) -> None:
    """Flask logs it inside of the middleware."""
    httpx.get(f"{server.url}/broken", headers={"X-Request-ID": "t-1"})
    server.one("http.request", "t-1")
    (line,) = [one for one in server.lines() if "Exception on /broken" in one["message"] and one["request_id"] == "t-1"]
    assert line["error_type"] == "ZeroDivisionError"


def test_a_handler_of_an_error(server: Process) -> None:
    """The id is in the context there."""
    response = httpx.get(f"{server.url}/nothing", headers={"X-Request-ID": "n-1"})
    assert response.json() == {"request_id": "n-1"}


def test_an_error_half_way(server: Process) -> None:
    """The client has seen a 200, and the record says what came of it."""
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"{server.url}/half", headers={"X-Request-ID": "h-2"})
    record = server.one("http.request", "h-2")
    told = {"http_status": 200, "outcome": "error", "error_type": "ZeroDivisionError", "response_bytes": 4}
    assert {name: record.get(name) for name in told} == told


def test_head(server: Process) -> None:
    """A response without a body is no hang-up."""
    httpx.head(f"{server.url}/chats/1/stream", headers={"X-Request-ID": "head-1"})
    assert server.one("http.request", "head-1")["outcome"] == "completed"


@pytest.mark.parametrize("wrong", BAD_HEADERS)
def test_bad_headers(server: Process, wrong: str) -> None:
    """Never an error for the client, unless it is the server's, and never an answer that it has written."""
    answer = asked_with(server.url, BAD_HEADERS[wrong], b"/file")
    assert not headers_of(answer, "set-cookie")
    assert status_of(answer) in (b"200", b"400", b"431", b"")
    if status_of(answer) == b"200":
        (request_id,) = headers_of(answer, "x-request-id")
        assert request_id.isascii()
        assert request_id.isprintable()
        assert server.one("http.request", llmlog.redact(request_id))["http_status"] == 200


@pytest.fixture(autouse=True)
def nothing_leaks(server: Process) -> Iterator[Any]:
    """What stands outside of the middleware never sees a context of a request, and every line is one record."""
    yield
    assert [line for line in server.lines() if line["logger"] == "service" and line["level"] == "ERROR"] == []
    assert "llmlog:" not in server.output()
