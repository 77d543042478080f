"""Streamed bodies as real HTTP clients hand them on: httpx, httpx-sse, aiohttp and urllib."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from conftest import Records, answer, sdk

import llmlog

aiohttp, httpx, httpx_sse = sdk("aiohttp"), sdk("httpx"), sdk("httpx_sse")

CHUNKS = answer("Grüße, ", "世界", " 🎉")
EVENTS = (
    ": STILL PROCESSING\n\n"
    + "".join(f"data: {json.dumps(c, ensure_ascii=False)}\n\n" for c in CHUNKS)
    + "data: [DONE]\n\n"
)


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "llama3", "message": {"role": "assistant", "content": text}, "done": bool(more), **more}


LINES = "".join(
    json.dumps(one, ensure_ascii=False) + "\n"
    for one in (*map(said, ("Grüße, ", "世界", " 🎉")), said("", done_reason="stop", prompt_eval_count=9, eval_count=3))
)


class Handler(BaseHTTPRequestHandler):
    """Writes the body in pieces of seven bytes, which ends characters and lines anywhere."""

    def do_GET(self) -> None:
        body = (EVENTS if self.path == "/events" else LINES).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if self.path == "/events" else "application/x-ndjson")
        self.end_headers()
        for place in range(0, len(body), 7):
            self.wfile.write(body[place : place + 7])
            self.wfile.flush()

    def log_message(self, *args: Any) -> None:
        """Nothing on stderr."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server's address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_address[1]}"
        serving.shutdown()
        thread.join()


@contextmanager
def by_httpx(url: str, read: Callable[[Any], Any]) -> Iterator[Any]:
    with httpx.Client() as client, client.stream("GET", url) as response:
        yield read(response)


@contextmanager
def by_urllib(url: str) -> Iterator[Any]:
    with urllib.request.urlopen(url) as response:
        yield response


WAYS: dict[str, Callable[[str], Any]] = {
    "httpx iter_lines": lambda url: by_httpx(url, lambda response: response.iter_lines()),
    "httpx iter_bytes": lambda url: by_httpx(url, lambda response: response.iter_bytes()),
    "httpx iter_raw": lambda url: by_httpx(url, lambda response: response.iter_raw(11)),
    "httpx iter_text": lambda url: by_httpx(url, lambda response: response.iter_text()),
    "urllib": by_urllib,
}


@asynccontextmanager
async def by_async_httpx(url: str, read: Callable[[Any], Any]) -> AsyncIterator[Any]:
    async with httpx.AsyncClient() as client, client.stream("GET", url) as response:
        yield read(response)


@asynccontextmanager
async def by_aiohttp(url: str, read: Callable[[Any], Any]) -> AsyncIterator[Any]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        yield read(response.content)


ASYNC_WAYS: dict[str, Callable[[str], Any]] = {
    "httpx aiter_lines": lambda url: by_async_httpx(url, lambda response: response.aiter_lines()),
    "httpx aiter_bytes": lambda url: by_async_httpx(url, lambda response: response.aiter_bytes()),
    "aiohttp content": lambda url: by_aiohttp(url, lambda content: content),
    "aiohttp iter_any": lambda url: by_aiohttp(url, lambda content: content.iter_any()),
    "aiohttp iter_chunked": lambda url: by_aiohttp(url, lambda content: content.iter_chunked(10)),
    "aiohttp iter_chunks": lambda url: by_aiohttp(url, lambda content: content.iter_chunks()),
}
FORMATS = {"events": ("openai", "gpt-4o-mini-2024-07-18"), "lines": ("ollama", "llama3")}


def is_right(record: Any, path: str) -> bool:
    """The whole answer was read, whatever it was cut into."""
    assert (record["outcome"], record["usage_source"]) == ("completed", "provider")
    assert (record["input_tokens"], record["output_tokens"], record["response_length"]) == (9, 3, 11)
    assert (record["provider"], record["response_model"]) == FORMATS[path]
    return True


@pytest.mark.parametrize("path", FORMATS)
@pytest.mark.parametrize("way", WAYS)
def test_sync(server: str, calls: Records, way: str, path: str) -> None:
    """The pieces reach the consumer as the client gave them, and the record has what they hold."""
    with WAYS[way](f"{server}/{path}") as source:
        got = list(llmlog.stream(source, provider=FORMATS[path][0]))
    assert calls.one()["chunks"] == len(got)
    assert is_right(calls.one(), path)
    joined = "".join(got) if isinstance(got[0], str) else b"".join(got).decode()
    assert joined.replace("\n", "") == (EVENTS if path == "events" else LINES).replace("\n", "")


@pytest.mark.parametrize("path", FORMATS)
@pytest.mark.parametrize("way", ASYNC_WAYS)
def test_async(server: str, calls: Records, way: str, path: str) -> None:
    """The same, awaited."""

    async def read() -> int:
        async with ASYNC_WAYS[way](f"{server}/{path}") as source:
            return len([piece async for piece in llmlog.stream(source, provider=FORMATS[path][0])])

    assert asyncio.run(read()) == calls.one()["chunks"]
    assert is_right(calls.one(), path)


@pytest.mark.parametrize("way", [way for way in WAYS if "text" in way or "lines" in way or "bytes" in way])
def test_nobody_has_said_whose_they_are(server: str, calls: Records, way: str) -> None:
    """A stream of events shows by its beginning that it is one."""
    with WAYS[way](f"{server}/events") as source:
        list(llmlog.stream(source))
    assert is_right(calls.one(), "events")


def test_events_of_httpx_sse(server: str, calls: Records) -> None:
    """Events that httpx-sse has parsed."""
    with httpx.Client() as client, httpx_sse.connect_sse(client, "GET", f"{server}/events") as source:
        events = list(llmlog.stream(source.iter_sse()))
    assert len(events) == len(CHUNKS) + 1
    assert is_right(calls.one(), "events")
