"""Starlette under uvicorn and hypercorn: other middleware on both sides, errors, hang-ups, the end of the server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import framework
from http_servers import Process, connected, hang_up, process_with, wait_for

framework("starlette")
framework("uvicorn")
httpx = framework("httpx")

UVICORN = ("uvicorn", "--fd", "{fd}", "--log-level", "warning")
SERVERS = {"uvicorn": UVICORN, "hypercorn": ("hypercorn", "--bind", "fd://{fd}", "--graceful-timeout", "1")}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The service under each of the servers."""
    framework(request.param)
    command = (*SERVERS[request.param], "starlette_service:application")
    with process_with(tmp_path_factory.mktemp(request.param), *command) as process:
        yield process


def test_a_streamed_answer(server: Process) -> None:
    """Its steps, in threads, and its background task have the context; the record its call."""
    response = httpx.get(f"{server.url}/chats/77/stream", headers={"X-Request-ID": "s-1"})
    assert (response.text, response.headers.get_list("x-request-id")) == ("Hello world", ["s-1"])
    record = server.one("http.request", "s-1")
    told = {"http_route": "/chats/{chat_id}/stream", "http_path": "/chats/77/stream", "http_status": 200,
            "outcome": "completed", "response_bytes": 11, "request_calls": 1,
            "request_cost_usd": server.one("llm.call", "s-1")["cost_usd"]}  # fmt: skip
    assert {name: record.get(name) for name in told} == told

    def afterwards() -> list[Any]:
        return [one for one in server.lines() if one["message"] == "afterwards" and one.get("request_id") == "s-1"]

    assert len(wait_for(afterwards, "the background task")) == 1
    pieces = [one for one in server.lines() if one["message"] == "a piece"]
    assert {one.get("request_id") for one in pieces} == {"s-1"}


@pytest.mark.parametrize("view", ["endless", "threads"])
def test_a_hang_up(server: Process, view: str) -> None:
    """Seen through middleware that runs the application in tasks of its own."""
    request_id = f"h-{view}"
    hang_up(server.url, f"/chats/1/{view}", request_id)
    record = server.one("http.request", request_id)
    assert (record["outcome"], record["ended_by"], record["level"]) == ("cancelled", "client_disconnect", "INFO")
    assert server.one("llm.call", request_id)["ended_by"] == "client_disconnect"


def test_the_state_of_a_request(server: Process) -> None:
    """What stands outside and inside share it, as without the middleware."""
    response = httpx.get(f"{server.url}/v1/items/7", headers={"X-Request-ID": "i-1"})
    assert response.headers["x-from-inside"] == "i-1, True"


@pytest.mark.parametrize(
    ("path", "status", "route"),
    [
        ("/v1/items/7", 200, "/v1/items/{item_id}"),
        ("/static/test_starlette.py", 200, "/static/{path}"),
        ("/teapot", 418, "/teapot"),
        ("/nothing", 404, None),
    ],
)
def test_answers(server: Process, path: str, status: int, route: str | None) -> None:
    """With the id, once, and the route's template."""
    request_id = f"a{path.replace('/', '-')}"
    response = httpx.get(server.url + path, headers={"X-Request-ID": request_id})
    assert (response.status_code, response.headers.get_list("x-request-id")) == (status, [request_id])
    record = server.one("http.request", request_id)
    assert (record["http_status"], record.get("http_route")) == (status, route)
    if status == 418:
        assert response.json() == {"context": request_id, "state": request_id}


@pytest.mark.parametrize(("path", "error"), [("/broken", "ZeroDivisionError"), ("/slow", "TimeoutError")])
def test_an_error(server: Process, path: str, error: str) -> None:
    """Starlette answers outside of the middleware: the id is in the request's state there, and in the record."""
    request_id = f"e{path.replace('/', '-')}"
    response = httpx.get(server.url + path, headers={"X-Request-ID": request_id})
    assert (response.status_code, response.json()["state"]) == (500, request_id)
    record = server.one("http.request", request_id)
    assert (record["http_status"], record["outcome"], record["error_type"]) == (500, "error", error)


def test_an_error_half_way(server: Process) -> None:
    """A bug in the middle of a body is no hang-up; what it has sent by then was a 200."""
    with contextlib.suppress(httpx.HTTPError):  # middleware of Starlette's ends the response for the client
        httpx.get(f"{server.url}/half", headers={"X-Request-ID": "h-2"})
    record = server.one("http.request", "h-2")
    told = {"http_status": 200, "outcome": "error", "error_type": "ZeroDivisionError", "response_bytes": 4}
    assert {name: record.get(name) for name in told} == told


def test_a_websocket_that_the_service_closes(server: Process) -> None:
    """The code is the service's."""
    client = framework("websockets.sync.client")
    with client.connect(f"ws{server.url[4:]}/ws/blue", additional_headers={"X-Request-ID": "w-1"}) as connection:
        assert connection.recv() == "w-1"
        with pytest.raises(framework("websockets.exceptions").ConnectionClosed):
            connection.recv()
    record = server.one("websocket.connection", "w-1")
    told = {"http_route": "/ws/{room}", "close_code": 4000, "messages_out": 1, "outcome": "completed",
            "ended_by": "close"}  # fmt: skip
    assert {name: record.get(name) for name in told} == told


@pytest.fixture(autouse=True)
def no_faults(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing of ours is told on stderr, and every line is one record."""
    yield
    if "server" in request.fixturenames:
        server = request.getfixturevalue("server")
        server.lines()
        assert "llmlog:" not in server.output()


def test_around_everything(tmp_path: Path) -> None:
    """Outside of the whole application the middleware sees the 500, and the traceback has the id."""
    with process_with(tmp_path, *UVICORN, "--log-config", str(_empty(tmp_path)), "starlette_service:around") as server:
        response = httpx.get(f"{server.url}/broken", headers={"X-Request-ID": "e-1"})
        assert response.headers.get_list("x-request-id") == ["e-1"]
        assert (response.status_code, response.json()) == (500, {"context": "e-1", "state": "e-1"})
        assert server.one("http.request", "e-1")["http_status"] == 500
        traced = wait_for(lambda: [one for one in server.lines() if "error_stack_trace" in one], "a traceback")
        assert [one["request_id"] for one in traced] == ["e-1"]


def _empty(folder: Path) -> Path:
    """A set-up of logging that leaves uvicorn's loggers to the application's."""
    file = folder / "logging.json"
    file.write_text('{"version": 1, "disable_existing_loggers": false}')
    return file


def test_a_server_that_gives_up(tmp_path: Path) -> None:
    """A request that it cancels at its end is no hang-up, and has its record before the process is gone."""
    command = (*UVICORN, "--timeout-graceful-shutdown", "1", "starlette_service:application")
    with process_with(tmp_path, *command) as server:
        with connected(server.url) as connection:
            connection.sendall(b"GET /chats/1/endless HTTP/1.1\r\nHost: a\r\nX-Request-ID: c-1\r\n\r\n")
            assert connection.recv(100)
            server.stop()
        record = server.one("http.request", "c-1")
        assert (record["outcome"], record["ended_by"], record["level"]) == ("cancelled", "cancellation", "WARNING")
        assert server.one("llm.call", "c-1")["ended_by"] == "cancellation"
