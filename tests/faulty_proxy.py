"""An HTTP proxy that misbehaves on purpose, between a client and the real server: which way is a seeded chance's."""

from __future__ import annotations

import contextlib
import http.client
import random
import re
import socket
import threading
import time
import urllib.parse
from collections import Counter
from typing import Any, NamedTuple

PASSES = "passes"
FAULTS = {
    "429": 3,
    "429 and Retry-After": 2,
    "500": 3,
    "413": 4,
    "cut in the request": 2,
    "cut before the server": 3,
    "cut after the server": 4,
    "cut in the answer": 4,
    "delayed": 4,
    "too slow": 1,
}
"""What may happen to a request, and how often it does; `cut after` and `cut in`: the server has done what was asked."""

_TOO_LARGE = 8_000  # bytes of a body, compressed; so that one record alone never is


class _Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class FaultyProxy:
    """Listens at `url` for the server at `target`. `met` counts what happened.

    `share`: of the requests that something happens to; 0 from now on: none. `slow`: seconds that a client does not
    wait. A server that is not there is a 502 or a connection that ends, as it is with a load balancer.
    """

    def __init__(self, target: str, seed: str, *, share: float = 0.3, slow: float = 10.0) -> None:
        parts = urllib.parse.urlsplit(target)
        self._target = parts.hostname or "", parts.port or 80
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._slow = slow
        self.share = share
        self.met: Counter[str] = Counter()
        self.words: Counter[str] = Counter()  # the server's own on what it refuses, without figures
        self._server = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream, contextlib.suppress(OSError):
            connection.settimeout(60)
            goes_on = True
            while goes_on:
                fault = self._chosen()
                request = _read(stream, only_half=fault == "cut in the request")
                if request is None:
                    return
                if fault == "413" and len(request.body) < _TOO_LARGE:
                    fault = PASSES
                self._count(fault)
                goes_on = self._meet(fault, request, connection)

    def _chosen(self) -> str:
        with self._lock:
            if self._random.random() >= self.share:
                return PASSES
            return self._random.choices(list(FAULTS), list(FAULTS.values()))[0]

    def _count(self, what: str) -> None:
        with self._lock:
            self.met[what] += 1

    def _meet(self, fault: str, request: _Request, connection: socket.socket) -> bool:
        """Whether the connection goes on."""
        if fault.startswith("cut") and "after" not in fault and "answer" not in fault:
            return False
        if fault[:3] in ("429", "500", "413"):
            asked = {"Retry-After": "1"} if "Retry" in fault else {}
            connection.sendall(_answer(int(fault[:3]), asked, b"the proxy is in a mood"))
            return True
        if fault == "delayed":
            with self._lock:
                seconds = self._random.uniform(0.05, 0.8)
            time.sleep(seconds)
        try:
            status, headers, body = self._asked(request)
        except (OSError, http.client.HTTPException):
            self._count("server away")
            if len(request.body) % 2:  # as good as chance
                return False
            connection.sendall(_answer(502, {}, b"the server is away"))
            return True
        if status >= 300:
            self._count(f"server's own {status}")
            with self._lock:
                self.words[re.sub(r"\S*\d\S*", "#", body[:300].decode("utf-8", "replace"))[:150]] += 1
        if fault == "cut after the server":
            return False
        if fault == "too slow":
            time.sleep(self._slow)
        whole = _answer(status, headers, body)
        if fault == "cut in the answer":
            connection.sendall(whole[: len(whole) * 2 // 3])
            return False
        connection.sendall(whole)
        return True

    def _asked(self, request: _Request) -> tuple[int, dict[str, str], bytes]:
        server = http.client.HTTPConnection(*self._target, timeout=60)
        try:
            server.request(request.method, request.path, request.body or None, request.headers)
            answer = server.getresponse()
            kept = {name: value for name in ("Content-Type", "Retry-After", "Date", "Content-Encoding")
                    if (value := answer.getheader(name))}  # fmt: skip
            return answer.status, kept, answer.read()
        finally:
            server.close()


def _read(stream: Any, *, only_half: bool) -> _Request | None:
    """The next request; None where the connection ends before it does."""
    first = stream.readline().decode("latin-1").split()
    if len(first) != 3:
        return None
    headers: dict[str, str] = {}
    while (line := stream.readline().decode("latin-1")) not in ("\r\n", ""):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    length = int(headers.get("content-length", 0))
    body = stream.read(length // 2 if only_half else length)
    if len(body) < length and not only_half:
        return None
    kept = {name: value for name, value in headers.items() if name not in ("host", "connection", "content-length")}
    return _Request(first[0], first[1], kept, body)


def _answer(status: int, headers: dict[str, str], body: bytes) -> bytes:
    lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, 'x')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if status != 204:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body if status != 204 else b"")
