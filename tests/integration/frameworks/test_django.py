"""Django, sync and async views, under uvicorn (ASGI) and gunicorn (WSGI)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import framework
from http_servers import BAD_HEADERS, Process, asked_with, hang_up, headers_of, process_with, status_of

import llmlog

framework("django")
framework("gunicorn")
framework("uvicorn")
httpx = framework("httpx")

COMMANDS = {
    "asgi": ("uvicorn", "--fd", "{fd}", "--log-level", "warning", "django_service:asgi"),
    "wsgi": ("gunicorn", "-b", "fd://{fd}", "-k", "gthread", "--threads", "2", "django_service:wsgi"),
}


@pytest.fixture(scope="module", params=COMMANDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The service under a server of each kind."""
    with process_with(tmp_path_factory.mktemp(request.param), *COMMANDS[request.param]) as process:
        yield process


@pytest.mark.parametrize("view", ["sync", "async"])
def test_a_view(server: Process, view: str) -> None:
    """In whichever thread or loop Django runs it: the request's id, one record, what its call came to."""
    request_id = f"v-{view}"
    response = httpx.get(f"{server.url}/chats/77/{view}?key=secret", headers={"X-Request-ID": request_id})
    assert response.json() == {"request_id": request_id}
    assert response.headers.get_list("x-request-id") == [request_id]
    assert response.headers["x-seen"] == request_id  # in a middleware of Django's
    record = server.one("http.request", request_id)
    told = {"http_route": f"/chats/<int:chat_id>/{view}", "http_path": f"/chats/77/{view}", "http_status": 200,
            "outcome": "completed", "request_calls": 1, "client_address": "127.0.0.*",
            "response_bytes": len(response.content)}  # fmt: skip
    assert {name: record.get(name) for name in told} == told
    call = server.one("llm.call", request_id)
    assert (call["user_id"], call["cost_usd"]) == ("u-7", record["request_cost_usd"])
    assert call["http_route"] == record["http_route"]
    assert "secret" not in str(record)


@pytest.mark.parametrize("view", ["sync", "async"])
# Django reads a body of the other kind as a whole before it sends it, with a warning.
def test_a_streaming_response(server: Process, view: str) -> None:
    """StreamingHttpResponse: the context is there in each step, and the record comes after the last one."""
    request_id = f"s-{view}"
    response = httpx.get(f"{server.url}/chats/1/{view}-stream", headers={"X-Request-ID": request_id})
    assert response.text == "Hello world"
    record = server.one("http.request", request_id)
    assert (record["request_calls"], record["response_bytes"], record["outcome"]) == (1, 11, "completed")
    assert server.one("llm.call", request_id)["outcome"] == "completed"
    pieces = [one for one in server.lines() if one["message"] == "a piece" and one.get("request_id") == request_id]
    assert len(pieces) == 3


def test_a_hang_up(server: Process) -> None:
    """Request and call say so: an async stream under uvicorn, a sync one under gunicorn."""
    view = "async" if "uvicorn" in server.command else "sync"
    hang_up(server.url, f"/chats/1/{view}-endless", "h-1")
    record = server.one("http.request", "h-1")
    assert (record["outcome"], record["ended_by"], record["level"]) == ("cancelled", "client_disconnect", "INFO")
    assert (record["http_route"], record["http_status"]) == (f"/chats/<int:chat_id>/{view}-endless", 200)
    assert server.one("llm.call", "h-1")["ended_by"] == "client_disconnect"


@pytest.mark.parametrize(
    ("path", "status", "route", "level"), [("/broken", 500, "/broken", "ERROR"), ("/nothing", 404, None, "WARNING")]
)
def test_errors(server: Process, path: str, status: int, route: str | None, level: str) -> None:
    """The response bears the id, once; Django's own record of it, and its handler, have it too."""
    request_id = f"e{path.replace('/', '-')}"
    response = httpx.get(server.url + path, headers={"X-Request-ID": request_id})
    assert (response.status_code, response.headers.get_list("x-request-id")) == (status, [request_id])
    record = server.one("http.request", request_id)
    assert (record["http_status"], record.get("http_route"), record["level"]) == (status, route, level)
    (line,) = [one for one in server.lines() if one["logger"] == "django.request" and one["request_id"] == request_id]
    assert path in line["message"]
    if status == 500:
        assert response.json() == {"request_id": request_id}


@pytest.mark.parametrize("wrong", BAD_HEADERS)
def test_bad_headers(server: Process, wrong: str) -> None:
    """Never an error for the client, unless it is the server's, and never an answer that it has written."""
    answer = asked_with(server.url, BAD_HEADERS[wrong], b"/chats/1/sync")
    assert not headers_of(answer, "set-cookie")
    assert status_of(answer) in (b"200", b"400", b"431", b"")
    if status_of(answer) == b"200":
        (request_id,) = headers_of(answer, "x-request-id")
        assert request_id.isascii()
        assert request_id.isprintable()
        assert server.one("http.request", llmlog.redact(request_id))["http_status"] == 200


@pytest.fixture(autouse=True)
def no_faults(server: Process) -> Iterator[None]:
    """Nothing of ours is told on stderr, and every line is one record."""
    yield
    server.lines()
    assert "llmlog:" not in server.output()
