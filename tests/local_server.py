"""A local HTTP server that answers as a test says: for the APIs that `llmlog.testing` does not play."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """One answer. `pieces`: of the body, each sent at once; `hangs`: nothing more comes, till the server is closed."""

    pieces: Iterable[bytes]
    type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    hangs: bool = False


def whole(value: Any, **reply: Any) -> Reply:
    """A JSON answer."""
    return Reply([json.dumps(value, indent=2).encode()], **reply)  # laid out over lines, as OpenAI's are


def events(*payloads: Any, named: bool = False, done: bool = False, **reply: Any) -> Reply:
    """Server-sent events. `named`: each has its type as its name; `done`: `[DONE]` comes last."""
    pieces = [
        (f"event: {payload['type']}\n" if named else "").encode() + f"data: {json.dumps(payload)}\n\n".encode()
        for payload in payloads
    ]
    return Reply([*pieces, *([b"data: [DONE]\n\n"] if done else [])], "text/event-stream", **reply)


@contextlib.contextmanager
def answering(answers: Callable[[str, bytes], Reply | None]) -> Iterator[str]:
    """A server at the URL given. `answers`: of a request's path and body; None is a 404."""
    closing = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing on stderr."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            reply = answers(self.path, body) or whole({"error": {"message": "no such path"}}, status=404)
            with contextlib.suppress(ConnectionError):
                self.send(reply)

        do_GET = do_POST

        def send(self, reply: Reply) -> None:
            pieces = list(reply.pieces)
            is_whole = len(pieces) == 1 and not reply.cut
            self.send_response(reply.status)
            self.send_header("content-type", reply.type)
            if is_whole:
                self.send_header("content-length", str(len(pieces[0])))
            else:
                self.send_header("transfer-encoding", "chunked")
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            for piece in pieces:
                self.wfile.write(piece if is_whole else b"%x\r\n%b\r\n" % (len(piece), piece))
            if reply.hangs:
                closing.wait(10)
            if reply.cut or reply.hangs:
                self.close_connection = True
            elif not is_whole:
                self.wfile.write(b"0\r\n\r\n")

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Clients hang up here."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="local-server", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
