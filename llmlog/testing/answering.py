"""The HTTP side of the scripted server: one connection, its requests, and what is sent for each."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any, NoReturn, Protocol

from llmlog.testing import anthropic, openai
from llmlog.testing.chains import Chain
from llmlog.testing.scripts import Script
from llmlog.testing.wire import Form, dumped

__all__ = ["Handler", "Played", "Request"]

FORMS = {"/chat/completions": openai.FORM, "/messages": anthropic.FORM}
"""Which form a path's end asks for."""

_POLL = 0.05  # seconds between two looks at whether the client is still there, while something else is waited for


@dataclass(frozen=True)
class Request:
    """A request as it came: `path` with its query, `headers` by names in lower case, `body` from JSON, or None."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


class Played(Protocol):
    """What the connections need of their server."""

    stopping: threading.Event

    def received(self, request: Request) -> int:
        """Keep the request; its number, from 1."""

    def next_script(self, body: dict[str, Any]) -> tuple[Script, Chain | None]:
        """What to send for it, and the chain that waits for it."""

    def client_gone(self) -> None:
        """A client went away while it was being answered."""

    def failed(self, error: Exception) -> None:
        """A function of the test's raised."""


class _Gone(ConnectionError):
    """Nobody is there any more: the client went away, or the server is being closed."""


class Handler(BaseHTTPRequestHandler):
    """One connection. Each piece is one chunk of the HTTP body, and leaves at once."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_version, sys_version = "llmlog", ""

    @property
    def played(self) -> Played:
        """The server, as its listener knows it."""
        played: Played = self.server.played  # type: ignore[attr-defined]
        return played

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on stderr."""

    def do_GET(self) -> None:
        """Answer any request; those that are no POST to a path of the providers' get a 404."""
        try:
            self._answer()
        except ConnectionError:
            self.close_connection = True
            self.played.client_gone()
        except Exception as error:
            self.close_connection = True
            self.played.failed(error)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _answer(self) -> None:
        raw = self._body()
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        headers = {name.lower(): value for name, value in self.headers.items()}
        number = self.played.received(Request(self.command, self.path, headers, body))
        path = self.path.partition("?")[0].rstrip("/")
        form = next((form for end, form in FORMS.items() if path.endswith(end)), None)
        if form is None or self.command != "POST":
            self._send_object(form or openai.FORM, number, 404)
        elif not isinstance(body, dict):
            self._send_object(form, number, 400)
        else:
            self._play(form, number, body)

    def _play(self, form: Form, number: int, body: dict[str, Any]) -> None:
        try:
            script, chain = self.played.next_script(body)
        except Exception as error:  # the test's own function, perhaps an assertion in it
            self.played.failed(error)
            self._send_object(form, number, 500)
            return
        if script.hang_before == "headers":
            self._hang()
        id = form.first_id.removesuffix("1") + str(number)
        if script.status is not None:
            self._send_object(form, number, script.status, script.headers)
        elif not body.get("stream"):
            self._send_whole(form, number, script, lambda: form.answer(script, body, id))
        elif chain is None:
            self._send_stream(form, number, script, body, id, None)
        else:
            chain.begin(script.pieces)
            try:
                self._send_stream(form, number, script, body, id, chain)
            except ConnectionError:
                chain.broken("the server was closed" if self.played.stopping.is_set() else "the client went away")
                raise

    # What is sent.

    def _send_stream(
        self, form: Form, number: int, script: Script, body: dict[str, Any], id: str, chain: Chain | None
    ) -> None:
        kind = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
        self._send_head(200, form, number, {**kind, "transfer-encoding": "chunked"}, script.headers)
        if script.hang_before:
            self._hang()
        ready = b""  # what comes between two pieces leaves with the second one, what comes after the last with the end
        for part in form.parts(script, body, id):
            if part.piece is not None and script.gate is not None:
                self.wfile.write(ready)
                ready = b""
                self._pass(script.gate)
            ready += _chunk(form.framed(part.data))
            if part.piece is not None:
                waits = chain if part.piece and part.is_text else None
                if waits is not None:
                    waits.sending()
                self.wfile.write(ready)
                ready = b""
                if waits is not None:
                    self._wait_for(waits)
        if script.then == "end" and form.end_mark:
            ready += _chunk(form.end_mark)
        if script.then in ("end", "short", "error"):
            ready += _chunk(b"")
        self.wfile.write(ready)
        self._break_off(script)

    def _send_whole(self, form: Form, number: int, script: Script, answer: Callable[[], dict[str, Any]]) -> None:
        if script.then == "error":
            self._send_object(form, number, 500, script.headers)
            return
        whole = dumped(answer())
        sent = whole if script.then == "end" else whole[: len(whole) // 2] if script.begins else b""
        for _ in script.pieces if script.gate is not None else ():
            self._pass(script.gate)
        length = len(sent if script.then == "short" else whole)
        kind = {"content-type": "application/json", "content-length": str(length)}
        self._send_head(200, form, number, kind, script.headers)
        if script.hang_before:
            self._hang()
        self.wfile.write(sent)
        self._break_off(script)

    def _break_off(self, script: Script) -> None:
        if script.then == "cut":
            self.close_connection = True
        elif script.then == "hang":
            self._hang()

    def _send_object(self, form: Form, number: int, status: int, headers: Mapping[str, str] | None = None) -> None:
        error = dumped(form.error(status))
        kind = {"content-type": "application/json", "content-length": str(len(error))}
        if status == 429:
            kind["retry-after"] = "1"
        self._send_head(status, form, number, kind, headers or {})
        self.wfile.write(error)

    def _send_head(
        self, status: int, form: Form, number: int, headers: Mapping[str, str], own: Mapping[str, str]
    ) -> None:
        self.send_response(status)
        own = {name.lower(): value for name, value in own.items()}
        for name, value in {form.request_id: f"req_{number}", **headers, **own}.items():
            self.send_header(name, value)
        self.end_headers()

    # What is waited for.

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("transfer-encoding", "").lower():
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = []
        while size := int(self.rfile.readline().partition(b";")[0] or b"0", 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return b"".join(parts)

    def _pass(self, gate: Any) -> None:
        if callable(gate):
            gate()
            return
        while not gate.acquire(timeout=_POLL):
            self._see_client()

    def _wait_for(self, chain: Chain) -> None:
        deadline = time.monotonic() + chain.timeout
        while not chain.wait(min(_POLL, chain.timeout)):
            self._see_client()
            if time.monotonic() >= deadline:
                chain.late()

    def _see_client(self) -> None:
        """_Gone where the client has closed its end; what it sends early is left alone."""
        self.connection.settimeout(0)
        try:
            if not self.connection.recv(1, socket.MSG_PEEK):
                raise _Gone
        except BlockingIOError:
            pass
        finally:
            self.connection.settimeout(None)

    def _hang(self) -> NoReturn:
        if self.connection.recv(1, socket.MSG_PEEK):  # the next request, before this one is answered
            self.played.stopping.wait()
        raise _Gone


def _chunk(data: bytes) -> bytes:
    """`data` as one chunk of an HTTP body; the empty one is its end."""
    return b"%x\r\n%b\r\n" % (len(data), data)
