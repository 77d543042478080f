"""Outgoing requests of httpx, requests and aiohttp bear the current request's id and trace."""

from __future__ import annotations

import asyncio
import contextlib
import json
import pickle
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from conftest import framework

import llmlog

httpx = framework("httpx")
requests = framework("requests")
aiohttp = framework("aiohttp")

from llmlog.integrations import aiohttp as for_aiohttp  # noqa: E402
from llmlog.integrations import httpx as for_httpx  # noqa: E402
from llmlog.integrations import requests as for_requests  # noqa: E402

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
INCOMING = {"X-Request-ID": "r-1", "traceparent": f"00-{TRACE}-{SPAN}-01", "baggage": "tenant=7"}


@pytest.fixture
def echo() -> Iterator[str]:
    """A server that answers with the headers that it got; at /elsewhere it redirects to another name of itself."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing on stderr."""

        def do_GET(self) -> None:
            body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
            if self.path == "/elsewhere":
                self.send_response(302)
                self.send_header("Location", f"http://localhost:{self.server.server_address[1]}/")
                body = b""
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


Get = Callable[..., dict[str, str]]


def by_httpx(url: str, headers: dict[str, str] | None = None, **options: Any) -> Any:
    """GET by httpx."""
    with httpx.Client(event_hooks=for_httpx.event_hooks(**options), follow_redirects=True) as client:
        return client.get(url, headers=headers).json()


def by_async_httpx(url: str, headers: dict[str, str] | None = None, **options: Any) -> Any:
    """GET by httpx's AsyncClient."""

    async def main() -> Any:
        hooks = for_httpx.async_event_hooks(**options)
        async with httpx.AsyncClient(event_hooks=hooks, follow_redirects=True) as client:
            return (await client.get(url, headers=headers)).json()

    return asyncio.run(main())


def by_requests(url: str, headers: dict[str, str] | None = None, **options: Any) -> Any:
    """GET by requests."""
    with contextlib.closing(requests.Session()) as session:
        session.mount("http://", for_requests.ContextAdapter(**options))
        return session.get(url, headers=headers, timeout=10).json()


def by_aiohttp(url: str, headers: dict[str, str] | None = None, **options: Any) -> Any:
    """GET by aiohttp."""

    async def main() -> Any:
        async with aiohttp.ClientSession(trace_configs=[for_aiohttp.trace_config(**options)]) as session:
            async with session.get(url, headers=headers) as response:
                return json.loads(await response.read())

    return asyncio.run(main())


CLIENTS = [by_httpx, by_async_httpx, by_requests, by_aiohttp]


@pytest.mark.parametrize("get", CLIENTS)
def test_id_trace_and_baggage_go_along(get: Get, echo: str) -> None:
    """What came in goes out again; outside any request nothing does."""
    with llmlog.request(**llmlog.extract(INCOMING)):
        got = get(echo)
    assert {name.lower(): value for name, value in INCOMING.items()}.items() <= got.items()
    assert not {"x-request-id", "traceparent", "baggage"} & get(echo).keys()


@pytest.mark.parametrize("get", CLIENTS)
def test_the_caller_s_own_headers_are_kept(get: Get, echo: str) -> None:
    """In any case of the letters."""
    with llmlog.request("r-1"):
        assert get(echo, {"x-request-id": "mine"})["x-request-id"] == "mine"


@pytest.mark.parametrize("get", CLIENTS)
def test_only_to_the_hosts_that_are_named(get: Get, echo: str) -> None:
    """Ids and baggage stay inside."""
    with llmlog.request("r-1"):
        assert "x-request-id" not in get(echo, hosts=["api.internal"])
        assert get(echo, hosts=["127.0.0.1"])["x-request-id"] == "r-1"


@pytest.mark.parametrize("get", [by_httpx, by_async_httpx, by_requests])
def test_a_redirect_to_another_host_leaves_them_behind(get: Get, echo: str) -> None:
    """They do not go on to a host that is not named."""
    with llmlog.request("r-1"):
        assert "x-request-id" not in get(f"{echo}/elsewhere", hosts=["127.0.0.1"])
        assert get(f"{echo}/elsewhere")["x-request-id"] == "r-1"


@pytest.mark.parametrize("get", CLIENTS)
def test_hosts_are_names(get: Get, echo: str) -> None:
    """Anything else is an error at the call."""
    for wrong in ("api.internal", 3, [3]):
        with pytest.raises(TypeError, match="hosts"):
            get(echo, hosts=wrong)


def test_an_id_that_no_header_can_hold(echo: str) -> None:
    """Is not sent, and the request is."""
    with llmlog.request("line\nbreak"):
        assert "x-request-id" not in by_httpx(echo)


def test_the_adapter_of_requests_can_be_pickled() -> None:
    """As requests' own: sessions are sent to other processes."""
    made = pickle.loads(pickle.dumps(for_requests.ContextAdapter(hosts=["a"])))
    assert made._hosts == {"a"}
