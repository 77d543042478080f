"""Real servers on free ports for the tests beside this file, and a client that sends any bytes at all."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PATIENCE = 20.0


def wait_for(found: Callable[[], Any], what: str) -> Any:
    """What `found` gives, as soon as it gives anything."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(0.01)
    raise AssertionError(f"waited {PATIENCE:g} s for {what}")


@contextlib.contextmanager
def uvicorn_with(app: Any, **options: Any) -> Iterator[str]:
    """The application under uvicorn, in a thread of this process."""
    uvicorn = pytest.importorskip("uvicorn")
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, **{"log_config": None, "lifespan": "off", **options})
    )
    thread = threading.Thread(target=server.run, name="uvicorn")
    thread.start()
    try:
        wait_for(lambda: server.started, "uvicorn")
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


class Process:
    """A server in a process of its own, which writes its records to a file. `url`: where it listens."""

    def __init__(
        self, url: str, command: tuple[str, ...], records: Path, process: subprocess.Popen[bytes], output: Path
    ) -> None:
        self.url = url
        self.command = command
        self._records = records
        self._process = process
        self._output = output

    def records(self, event: str) -> list[dict[str, Any]]:
        """The records of one kind so far."""
        return [record for record in self.lines() if record.get("event") == event]

    def lines(self) -> list[dict[str, Any]]:
        """All of them; each line has to be one."""
        if not self._records.exists():
            return []
        return [json.loads(line) for line in self._records.read_text(encoding="utf-8").splitlines()]

    def one(self, event: str, request_id: str) -> dict[str, Any]:
        """The record of this kind and request, as soon as it is there."""

        def found() -> list[dict[str, Any]]:
            return [record for record in self.records(event) if record.get("request_id") == request_id]

        (record,) = wait_for(found, f"{event} of {request_id}; the server says {self.output()}")
        return record  # type: ignore[no-any-return]

    def output(self) -> str:
        """What it has printed."""
        return self._output.read_text(encoding="utf-8", errors="replace")[-3000:]

    def stop(self) -> None:
        """End it as an operator does."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def process_with(folder: Path, *command: str, **environment: str) -> Iterator[Process]:
    """`python -m COMMAND` with a socket that listens as file descriptor `{fd}`, and RECORDS as the file to write to."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    records, output = folder / "records.jsonl", folder / "output.txt"
    path = os.pathsep.join([str(ROOT), str(HERE)])
    with output.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *(part.format(fd=listener.fileno()) for part in command)],
            env={**os.environ, "HOME": str(folder), "PYTHONPATH": path, "RECORDS": str(records), **environment},
            pass_fds=[listener.fileno()],
            cwd=folder,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    listener.close()
    server = Process(url, command, records, process, output)
    try:
        wait_for(lambda: answers(url) or process.poll() is not None, f"a server; it says {server.output()}")
        assert process.poll() is None, server.output()
        yield server
    finally:
        server.stop()


def answers(url: str) -> bool:
    """Whether a server has answered a request for /health."""
    try:
        return b" 200 " in raw(url, b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    except OSError:
        return False


def connected(url: str) -> socket.socket:
    """A connection to the server."""
    where = urlsplit(url)
    return socket.create_connection((where.hostname, where.port), PATIENCE)  # type: ignore[arg-type]


def raw(url: str, request: bytes) -> bytes:
    """Send these bytes, and read until the server closes the connection."""
    with connected(url) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


def hang_up(url: str, path: str, request_id: str) -> bytes:
    """Ask, read till the body has begun, and go away without a word."""
    with connected(url) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nX-Request-ID: {request_id}\r\n\r\n".encode())
        answer = b""
        while len(answer.partition(b"\r\n\r\n")[2]) < 1:
            piece = connection.recv(65536)
            assert piece, answer
            answer += piece
        return answer


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
BAD_HEADERS: dict[str, bytes] = {
    "an id with a tab": b"X-Request-ID: a\tb",
    "an id of 10 KB": b"X-Request-ID: " + b"x" * 10_240,
    "an id that is not ASCII": b"X-Request-ID: \xe9\xff\xfe",
    "an id that is UTF-8": "X-Request-ID: 日本".encode(),
    "an empty id": b"X-Request-ID:",
    "an id with quotes and braces": b'X-Request-ID: "}{"a":1',
    "an id on two lines": b"X-Request-ID: a\r\n b",
    "an id with a bare newline": b"X-Request-ID: a\nSet-Cookie: b=c",
    "an id with a bare return": b"X-Request-ID: a\rSet-Cookie: b=c",
    "an id with a zero": b"X-Request-ID: a\0b",
    "an id that is encoded": b"X-Request-ID: a%0d%0aSet-Cookie:b=c",
    "two ids": b"X-Request-ID: one\r\nX-Request-ID: two",
    "a trace that is none": b"traceparent: hello",
    "a trace of zeros": b"traceparent: 00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01",
    "a long trace": b"traceparent: 00-" + b"a" * 10_240,
    "two traces": f"traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\ntraceparent: x".encode(),
    "a state without a trace": b"tracestate: \xff=\xfe",
    "long baggage": b"baggage: " + b"a=b," * 4000,
    "a length that is none": b"X-Content-Length: -5",
}
"""Headers that a client should not send, by what is wrong with them."""


def asked_with(url: str, header: bytes, path: bytes = b"/health") -> bytes:
    """The answer to a request with this header."""
    return raw(url, b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n" + header + b"\r\nConnection: close\r\n\r\n")


def status_of(answer: bytes) -> bytes:
    """The status of an answer: b"200"."""
    return answer.split(b" ", 2)[1] if answer else b""


def headers_of(answer: bytes, name: str) -> list[str]:
    """The values of a header of an answer."""
    lines = answer.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
    pairs = [line.partition(":") for line in lines]
    return [value.strip() for key, _, value in pairs if key.lower() == name.lower()]
