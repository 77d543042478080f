"""What the middleware adds to a request: microseconds, beside asgi-correlation-id and beside no middleware at all.

The application is bare ASGI (and WSGI) and answers at once, so that all of the difference is the middleware's. It
checks what each of them does: the id in the response, and for llmlog the record. asgi-correlation-id does the id only.
"""

from __future__ import annotations

import asyncio
import io
import logging
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from llmlog.filters import ContextFilter, RedactFilter
from llmlog.formatters import JSONFormatter
from llmlog.middleware import ASGIMiddleware, WSGIMiddleware

REQUESTS = 2000
RUNS = 9
PIECES = 10_000
# What a browser and a proxy send.
HEADERS = [
    (b"host", b"shop.example"), (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64)"), (b"accept", b"*/*"),
    (b"accept-language", b"en"), (b"accept-encoding", b"gzip, br"), (b"cookie", b"session=abc"),
    (b"x-forwarded-for", b"203.0.113.7"), (b"x-forwarded-proto", b"https"), (b"connection", b"keep-alive"),
    (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    (b"x-request-id", b"6a1f0c5e0b1c4d2e8f3a9b7c6d5e4f30"),
]  # fmt: skip
SCOPE: dict[str, Any] = {
    "type": "http", "method": "GET", "path": "/orders/77/answer", "query_string": b"", "headers": HEADERS,
    "client": ("203.0.113.7", 1234), "asgi": {"version": "3.0"},
}  # fmt: skip
ENVIRON: dict[str, Any] = {
    "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/orders/77/answer", "QUERY_STRING": "",
    "REMOTE_ADDR": "203.0.113.7", "wsgi.input": io.BytesIO(),
    **{f"HTTP_{name.decode().upper().replace('-', '_')}": value.decode() for name, value in HEADERS},
}  # fmt: skip


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"word ", "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def streaming_app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    for _ in range(PIECES):
        await send({"type": "http.response.body", "body": b"word ", "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def wsgi_app(environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("content-type", "text/plain")])
    return [b"word "]


def asgi(app: Any) -> float:
    """Microseconds for each request."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    async def main() -> float:
        begun = time.perf_counter()
        for _ in range(REQUESTS):
            await app(dict(SCOPE), receive, send)
        return (time.perf_counter() - begun) / REQUESTS * 1e6

    taken = asyncio.run(main())
    has_id = [any(name.lower() == b"x-request-id" for name, _ in one["headers"]) for one in sent if "headers" in one]
    assert len(has_id) == REQUESTS
    assert all(has_id) == (app is not asgi_app)
    return taken


def piece(app: Any) -> float:
    """Microseconds for each piece of a streamed response."""

    async def send(message: Any) -> None:
        """Sent."""

    async def main() -> float:
        begun = time.perf_counter()
        await app(dict(SCOPE), send, send)
        return (time.perf_counter() - begun) / PIECES * 1e6

    return asyncio.run(main())


def wsgi(app: Any) -> float:
    """Microseconds for each request."""
    started: list[Any] = []

    def start_response(status: str, headers: Any) -> Any:
        started.append(headers)

    begun = time.perf_counter()
    for _ in range(REQUESTS):
        body = app(dict(ENVIRON), start_response)
        assert b"".join(body) == b"word "
        if hasattr(body, "close"):
            body.close()
    taken = (time.perf_counter() - begun) / REQUESTS * 1e6
    assert all(len(headers) == 2 for headers in started) == (app is not wsgi_app)
    return taken


class Counting(logging.Handler):
    """Keeps nothing, and counts."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.format(record)
        self.count += 1


def peers() -> dict[str, Any]:
    try:
        from asgi_correlation_id import CorrelationIdMiddleware
    except ImportError:
        print("asgi-correlation-id is not installed: no figures of its own")
        return {}
    return {"asgi-correlation-id (the id)": CorrelationIdMiddleware(asgi_app, validator=None)}


def compared(measure: Callable[[Any], float], apps: dict[str, Any]) -> None:
    """Each in turn, `RUNS` times, so that all of them have the same machine."""
    found: dict[str, list[float]] = {name: [] for name in apps}
    for _ in range(RUNS):
        for name, app in apps.items():
            found[name].append(measure(app))
    bare = min(found["bare"])
    for name, taken in found.items():
        print(
            f"  {name:<36} {min(taken):7.1f}   added {min(taken) - bare:6.1f}   median {statistics.median(taken):7.1f}"
        )


def main() -> None:
    logger = logging.getLogger("llmlog.http")
    logger.propagate = False
    handler = Counting()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    handler.setFormatter(logging.Formatter())
    print(f"Python {sys.version.split()[0]}; microseconds for one request, the lowest of {RUNS} runs")
    print("ASGI")
    only_id: dict[str, Any] = {"log_requests": False}
    apps = {"bare": asgi_app, **peers(), "llmlog (id, trace, path, client)": ASGIMiddleware(asgi_app, **only_id),
            "llmlog (and the record)": ASGIMiddleware(asgi_app)}  # fmt: skip
    compared(asgi, apps)
    assert handler.count == REQUESTS * RUNS  # those of the last one
    print("WSGI")
    compared(wsgi, {"bare": wsgi_app, "llmlog (id, trace, path, client)": WSGIMiddleware(wsgi_app, **only_id),
                    "llmlog (and the record)": WSGIMiddleware(wsgi_app)})  # fmt: skip
    print("ASGI, each piece of a streamed response")
    compared(piece, {"bare": streaming_app, "llmlog": ASGIMiddleware(streaming_app)})
    print("ASGI, the record redacted and written as JSON")
    handler.setFormatter(JSONFormatter())
    handler.addFilter(ContextFilter())
    handler.addFilter(RedactFilter())
    compared(asgi, {"bare": asgi_app, "llmlog": ASGIMiddleware(asgi_app)})


if __name__ == "__main__":
    main()
