"""FastAPI under a real uvicorn, with the real openai SDK: streams, hang-ups, errors, websockets, bad input."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from conftest import Records, framework
from http_servers import BAD_HEADERS, asked_with, hang_up, headers_of, raw, status_of, uvicorn_with, wait_for

import llmlog
from llmlog.formatters import JSONFormatter
from llmlog.middleware import ASGIMiddleware
from llmlog.testing import Script, serve

fastapi = framework("fastapi")
httpx = framework("httpx")
openai = framework("openai")
framework("uvicorn")
websockets = framework("websockets")

from fastapi.responses import JSONResponse, StreamingResponse  # noqa: E402

WORDS = [f"word{number} " for number in range(40)]
seen: dict[str, Any] = {}


class ModelDown(Exception):
    """An error that the application has a handler for."""


def application(model_url: str) -> Any:
    """A service as in production: dependencies, routers, mounts, middleware, handlers of errors."""
    client = llmlog.wrap(openai.AsyncOpenAI(base_url=model_url, api_key="sk-test", max_retries=0))

    async def user(x_user_id: str = fastapi.Header(default="u-0")) -> None:
        llmlog.bind(user_id=x_user_id)

    app = fastapi.FastAPI()
    router = fastapi.APIRouter(prefix="/v1/chats", dependencies=[fastapi.Depends(user)])

    @app.get("/health")
    def health() -> str:
        return "ok"

    @router.get("/{chat_id}/stream")
    async def streamed(chat_id: int) -> Any:
        stream = await client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "Say it."}], stream=True
        )

        async def text() -> AsyncIterator[str]:
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    yield chunk.choices[0].delta.content

        return StreamingResponse(text(), media_type="text/plain")

    @router.get("/{chat_id}/endless")
    async def endless(chat_id: int) -> Any:
        async def chunks() -> AsyncIterator[Any]:
            while True:
                yield {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "word "}}]}
                await asyncio.sleep(0.005)

        async def text() -> AsyncIterator[str]:
            async for one in llmlog.stream(chunks(), model="gpt-4o-mini"):
                yield one["choices"][0]["delta"]["content"]

        return StreamingResponse(text(), media_type="text/plain")

    @router.get("/{chat_id}/plain")
    def plain(chat_id: int) -> dict[str, str]:
        return {"request_id": llmlog.current()["request_id"]}  # in a worker thread

    @router.get("/{chat_id}/refused")
    async def refused(chat_id: int) -> None:
        raise fastapi.HTTPException(403)

    @router.get("/{chat_id}/down")
    async def down(chat_id: int) -> None:
        raise ModelDown

    @router.get("/{chat_id}/broken")
    async def broken(chat_id: int) -> None:
        raise ZeroDivisionError("for ann@example.com")

    @router.post("/{chat_id}/later")
    async def later(chat_id: int, tasks: fastapi.BackgroundTasks, text: str = fastapi.Body()) -> str:
        async def summarise() -> None:
            seen["background"] = llmlog.current()["request_id"]
            for _ in range(200):
                await asyncio.sleep(0)
            async with llmlog.call(model="gpt-4o-mini"):
                """A call that belongs to the request, and not to its response."""

        tasks.add_task(summarise)
        return text

    @app.websocket("/ws/{room}")
    async def room(websocket: fastapi.WebSocket, room: str) -> None:
        await websocket.accept()
        try:
            async for text in websocket.iter_text():
                for _ in llmlog.stream(iter(["a", "b"]), provider="text", model="gpt-4o-mini"):
                    await websocket.send_text(text.upper())
        finally:
            seen["websocket"] = llmlog.current()["request_id"]

    @app.exception_handler(ModelDown)
    async def model_down(request: Any, error: ModelDown) -> Any:
        seen["handler"] = (llmlog.current()["request_id"], request.state.request_id)
        return JSONResponse({}, status_code=502)

    @app.exception_handler(Exception)
    async def anything(request: Any, error: Exception) -> Any:
        """Starlette runs this one outside of all middleware."""
        seen["handler"] = (llmlog.current()["request_id"], request.state.request_id)
        return JSONResponse({}, status_code=500)

    @app.middleware("http")  # a BaseHTTPMiddleware: the application below it runs in a task of its own
    async def timing(request: Any, call_next: Any) -> Any:
        seen["inside"] = llmlog.current().get("request_id")
        response = await call_next(request)
        response.headers["X-Timing"] = "1"
        return response

    app.include_router(router)
    sub = fastapi.FastAPI()

    @sub.get("/items/{item_id}")
    async def item(item_id: str) -> str:
        return item_id

    app.mount("/tenants/{tenant}", sub)
    return app


@pytest.fixture(scope="module")
def model_url() -> Iterator[str]:
    """A model that streams forty words."""
    with serve(Script(WORDS)) as server:
        yield server.openai_url


@pytest.fixture(scope="module")
def base_url(model_url: str) -> Iterator[str]:
    """The service, with the middleware as it is usually added."""
    app = application(model_url)
    app.add_middleware(ASGIMiddleware, exclude=["/health"])
    with uvicorn_with(app) as url:
        yield url


def record_of(calls: Records, request_id: str) -> dict[str, Any]:
    """The record of one request, once the server's thread has made it."""

    def found() -> list[dict[str, Any]]:
        return [record for record in calls.requests() if record.get("request_id") == request_id]

    (record,) = wait_for(found, f"the record of {request_id}")
    return record  # type: ignore[no-any-return]


def test_a_streamed_answer(base_url: str, calls: Records) -> None:
    """Its record comes when the body has ended, with the route's template and what its call came to."""
    headers = {"X-Request-ID": "s-1", "X-User-ID": "u-7"}
    with httpx.stream("GET", f"{base_url}/v1/chats/77/stream?key=secret", headers=headers) as response:
        assert response.headers.get_list("x-request-id") == ["s-1"]
        text = "".join(response.iter_text())
    assert text == "".join(WORDS)
    record, call = record_of(calls, "s-1"), calls.one()
    told = {"http_route": "/v1/chats/{chat_id}/stream", "http_path": "/v1/chats/77/stream", "http_method": "GET",
            "http_status": 200, "outcome": "completed", "response_bytes": len(text), "client_address": "127.0.0.*",
            "request_calls": 1, "request_output_tokens": call["output_tokens"],
            "request_cost_usd": call["cost_usd"]}  # fmt: skip
    assert {name: record.get(name) for name in told} == told
    assert record["latency_ms"] >= call["latency_ms"]
    assert (call["request_id"], call["user_id"], call["http_path"]) == ("s-1", "u-7", "/v1/chats/77/stream")
    assert call["http_route"] == record["http_route"]
    assert "secret" not in str(record)
    assert seen["inside"] == "s-1"


def test_a_hang_up(base_url: str, calls: Records) -> None:
    """Of the request and of its call alike."""
    hang_up(base_url, "/v1/chats/1/endless", "h-1")
    record = record_of(calls, "h-1")
    assert (record["outcome"], record["ended_by"], record["levelname"]) == ("cancelled", "client_disconnect", "INFO")
    assert (record["http_status"], record["request_calls"]) == (200, 1)
    assert record["response_bytes"] > 0
    assert (calls.one()["ended_by"], calls.one()["request_id"]) == ("client_disconnect", "h-1")


@pytest.mark.parametrize(
    ("path", "status", "route", "level"),
    [
        ("/v1/chats/1/plain", 200, "/v1/chats/{chat_id}/plain", "INFO"),
        ("/v1/chats/1/refused", 403, "/v1/chats/{chat_id}/refused", "WARNING"),
        ("/v1/chats/x/plain", 422, "/v1/chats/{chat_id}/plain", "WARNING"),
        ("/v1/chats/1/down", 502, "/v1/chats/{chat_id}/down", "ERROR"),
        ("/tenants/acme/items/77", 200, "/tenants/{tenant}/items/{item_id}", "INFO"),
        ("/nothing", 404, None, "WARNING"),
    ],
)
def test_answers(base_url: str, calls: Records, path: str, status: int, route: str | None, level: str) -> None:
    """Each with the id, once, and with its route's template, not the path with ids in it."""
    response = httpx.get(base_url + path, headers={"X-Request-ID": "a-1"})
    assert (response.status_code, response.headers.get_list("x-request-id")) == (status, ["a-1"])
    record = record_of(calls, "a-1")
    assert (record["http_status"], record.get("http_route"), record["levelname"]) == (status, route, level)
    assert record["outcome"] == "completed"


def test_a_worker_thread(base_url: str, calls: Records) -> None:
    """A plain function is run in a thread, in the context of its request."""
    response = httpx.get(f"{base_url}/v1/chats/1/plain", headers={"X-Request-ID": "t-1"})
    assert response.json() == {"request_id": "t-1"}
    record_of(calls, "t-1")


def test_a_handler_of_an_error(base_url: str, calls: Records) -> None:
    """The id is in the context there, and in the request's state."""
    httpx.get(f"{base_url}/v1/chats/1/down", headers={"X-Request-ID": "e-1"})
    record_of(calls, "e-1")
    assert seen["handler"] == ("e-1", "e-1")


def test_an_error_that_nobody_has_foreseen(base_url: str, calls: Records, caplog: pytest.LogCaptureFixture) -> None:
    """The handler of last resort and the server's traceback, both outside of the middleware, have the id."""
    caplog.handler.addFilter(add := llmlog.filters.ContextFilter())  # type: ignore[attr-defined]
    try:
        response = httpx.get(f"{base_url}/v1/chats/1/broken", headers={"X-Request-ID": "e-2"})
        (traced,) = wait_for(lambda: [one for one in caplog.records if one.name == "uvicorn.error"], "a traceback")
    finally:
        caplog.handler.removeFilter(add)
    assert response.status_code == 500
    assert seen["handler"] == ("e-2", "e-2")
    assert traced.request_id == "e-2"
    record = record_of(calls, "e-2")
    told = {"http_status": 500, "outcome": "error", "ended_by": "exception", "error_type": "ZeroDivisionError",
            "error_message": "for <EMAIL>", "levelname": "ERROR"}  # fmt: skip
    assert {name: record.get(name) for name in told} == told


def test_the_id_on_a_500(model_url: str, calls: Records) -> None:
    """Around the whole application, the middleware sees that response, too."""
    with uvicorn_with(ASGIMiddleware(application(model_url))) as url:
        response = httpx.get(f"{url}/v1/chats/1/broken", headers={"X-Request-ID": "e-3"})
        assert (response.status_code, response.headers.get_list("x-request-id")) == (500, ["e-3"])
        record = record_of(calls, "e-3")
    assert (record["http_status"], record["http_route"]) == (500, "/v1/chats/{chat_id}/broken")


def test_a_background_task(base_url: str, calls: Records) -> None:
    """It has the context of the request, whose record is made before it."""
    response = httpx.post(f"{base_url}/v1/chats/1/later", json="hello", headers={"X-Request-ID": "b-1"})
    assert response.json() == "hello"
    call = wait_for(calls.all, "the call of the background task")[0]
    record = record_of(calls, "b-1")
    assert seen["background"] == call["request_id"] == "b-1"
    assert (record["request_bytes"], record["request_calls"]) == (7, 0)
    names = [one.name for one in calls.records]
    assert names.index("llmlog.http") < names.index("llmlog.calls")


@pytest.mark.parametrize("goes", ["closes", "is lost"])
def test_a_websocket(base_url: str, calls: Records, goes: str) -> None:
    """One record for the connection: what came in and went out, how it was closed, what its calls came to."""
    from websockets.sync.client import connect

    url = f"ws{base_url[4:]}/ws/blue"
    with connect(url, additional_headers={"X-Request-ID": "w-1"}) as connection:
        assert connection.response.headers.get_all("x-request-id") == ["w-1"]
        connection.send("hi")
        assert (connection.recv(), connection.recv()) == ("HI", "HI")
        if goes == "is lost":
            connection.socket.shutdown(socket.SHUT_RDWR)
    record = record_of(calls, "w-1")
    told = {"event": "websocket.connection", "http_status": 101, "http_route": "/ws/{room}", "messages_in": 1,
            "messages_out": 2, "request_bytes": 2, "response_bytes": 4, "request_calls": 1,
            "ended_by": "client_disconnect"}  # fmt: skip
    assert {name: record.get(name) for name in told} == told
    # By 1005, "no code", some of uvicorn's websockets mean both a close without a code and a connection that is gone.
    assert record["close_code"] in ((1005, 1006) if goes == "is lost" else (1000,))
    assert record["outcome"] == ("cancelled" if record["close_code"] == 1006 else "completed")
    assert seen["websocket"] == "w-1"


def test_no_health_checks(base_url: str, calls: Records) -> None:
    """They have no record, and their id all the same."""
    assert len(httpx.get(f"{base_url}/health").headers["x-request-id"]) == 32
    httpx.get(f"{base_url}/nothing", headers={"X-Request-ID": "n-1"})
    record_of(calls, "n-1")
    assert {record["http_path"] for record in calls.requests()} == {"/nothing"}


@pytest.fixture(scope="module")
def bare_url(model_url: str) -> Iterator[str]:
    """The same service without the middleware."""
    with uvicorn_with(application(model_url)) as url:
        yield url


@pytest.mark.parametrize("wrong", BAD_HEADERS)
def test_bad_headers(base_url: str, bare_url: str, calls: Records, wrong: str) -> None:
    """Never an error for the client that it would not have had, and never an answer or a line that it has written."""
    answer = asked_with(base_url, BAD_HEADERS[wrong], b"/tenants/a/items/1")
    bare = asked_with(bare_url, BAD_HEADERS[wrong], b"/tenants/a/items/1")
    assert status_of(answer) == status_of(bare)
    assert not headers_of(answer, "set-cookie")
    if status_of(answer) != b"200":  # refused by the server itself
        return
    ((request_id),) = headers_of(answer, "x-request-id")
    assert request_id.isascii()
    assert request_id.isprintable()
    assert len(request_id) <= 128
    record = record_of(calls, request_id)
    (line,) = [one for one in calls.records if one.name == "llmlog.http"]
    written = JSONFormatter().format(line)
    assert "\n" not in written
    assert json.loads(written)["request_id"] == request_id
    assert logging.Formatter().format(line).isprintable()
    assert "trace_id" not in record or wrong == "two traces"


def test_bad_paths(base_url: str, calls: Records) -> None:
    """What a path decodes to is one line in the log, without personal data."""
    raw(base_url, b"GET /a%0d%0aERROR%20fake/ann%40example.com?x=y HTTP/1.1\r\nHost: a\r\n"
                  b"X-Request-ID: p-1\r\nConnection: close\r\n\r\n")  # fmt: skip
    record = record_of(calls, "p-1")
    assert record["http_path"] == "/a%0D%0AERROR fake/<EMAIL>"
    assert record["msg"].startswith("GET /a%0D%0AERROR fake/<EMAIL> 404 in ")
