"""A real FastAPI application under a real uvicorn: who hangs up, and what the record says."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from conftest import Records, chunk

import llmlog
from llmlog.middleware import ASGIMiddleware

fastapi = pytest.importorskip("fastapi")
uvicorn = pytest.importorskip("uvicorn")
httpx = pytest.importorskip("httpx")

from fastapi.responses import StreamingResponse  # noqa: E402

app = fastapi.FastAPI()
app.add_middleware(ASGIMiddleware)
ended = threading.Event()


async def endless() -> AsyncIterator[Any]:
    while True:
        yield chunk("word ")
        await asyncio.sleep(0.005)


def endless_sync() -> Iterator[Any]:
    while True:
        yield chunk("word ")
        time.sleep(0.005)  # a model's pace, not a test's: the server sends while this waits


@app.get("/async")
async def stream_async() -> Any:
    async def body() -> AsyncIterator[str]:
        async for one in llmlog.stream(endless(), model="gpt-4o-mini"):
            yield one["choices"][0]["delta"]["content"]

    return StreamingResponse(body())


@app.get("/with")
async def stream_with() -> Any:
    async def body() -> AsyncIterator[str]:
        async with llmlog.stream(endless(), model="gpt-4o-mini") as stream:
            async for one in stream:
                yield one["choices"][0]["delta"]["content"]

    return StreamingResponse(body())


@app.get("/sync")
def stream_sync() -> Any:
    def body() -> Iterator[str]:
        for one in llmlog.stream(endless_sync(), model="gpt-4o-mini"):
            yield one["choices"][0]["delta"]["content"]

    return StreamingResponse(body())


@app.get("/whole")
async def whole() -> Any:
    async def body() -> AsyncIterator[str]:
        for one in llmlog.stream([chunk("a"), chunk(finish="stop")]):
            yield one["choices"][0]["delta"]["content"] or "."

    return StreamingResponse(body())


@app.get("/fails")
async def fails() -> None:
    raise fastapi.HTTPException(status_code=418)


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """The application under uvicorn on a free port."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def wait_for_one(calls: Records) -> dict[str, Any]:
    """The summary, once the server's thread has made it."""
    deadline = time.monotonic() + 10
    while not calls.all() and time.monotonic() < deadline:
        time.sleep(0.01)
    return calls.one()


@pytest.mark.parametrize("path", ["/async", "/with", "/sync"])
def test_the_client_hangs_up(base_url: str, calls: Records, path: str) -> None:
    """A client that goes away half-way: cancelled, by client_disconnect, with its request's id."""
    with httpx.stream("GET", base_url + path, headers={"X-Request-ID": f"r{path}"}) as response:
        assert response.headers["x-request-id"] == f"r{path}"
        for _ in response.iter_raw():
            break
    record = wait_for_one(calls)
    assert (record["outcome"], record["ended_by"], record["levelno"]) == ("cancelled", "client_disconnect", 20)
    assert record["request_id"] == f"r{path}"
    assert record["chunks"] >= 1
    assert record["output_tokens"] >= 1


def test_read_to_the_end(base_url: str, calls: Records) -> None:
    """A client that reads to the end is no hang-up."""
    response = httpx.get(base_url + "/whole")
    assert response.text == "a."
    record = wait_for_one(calls)
    assert (record["outcome"], record["ended_by"]) == ("completed", "exhausted")
    assert record["request_id"] == response.headers["x-request-id"]


def test_an_error_response_has_the_id(base_url: str) -> None:
    """Errors that the framework answers bear the id as well."""
    assert httpx.get(base_url + "/fails", headers={"X-Request-ID": "e1"}).headers["x-request-id"] == "e1"
