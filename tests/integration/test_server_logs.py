"""What uvicorn and gunicorn say themselves, of an application that fails: it goes where all else goes, redacted."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("gunicorn")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="gunicorn forks")

PERSONAL = "ann@example.com"
PATIENCE = 30.0

ASGI = """
import logging.config, pathlib
import llmlog
from llmlog.middleware import ASGIMiddleware

logging.config.dictConfig(llmlog.dict_config(file=pathlib.Path(__file__).with_name("records.jsonl")))

async def fails(scope, receive, send):
    if scope["type"] == "http":
        raise LookupError("nobody is called ann@example.com")

app = ASGIMiddleware(fails)
"""

WSGI = """
import logging.config, pathlib
import llmlog
from llmlog.middleware import WSGIMiddleware

logging.config.dictConfig(llmlog.dict_config(file=pathlib.Path(__file__).with_name("records.jsonl")))

def fails(environ, start_response):
    raise LookupError("nobody is called ann@example.com")

app = WSGIMiddleware(fails)
"""


@pytest.mark.parametrize(
    ("text", "command", "loggers"),
    [
        (ASGI, "uvicorn service:app --port {port} --lifespan off", ("uvicorn.access", "uvicorn.error")),
        (WSGI, "gunicorn service:app -b 127.0.0.1:{port} --access-logfile -", ("gunicorn.access", "gunicorn.error")),
    ],
    ids=["uvicorn", "gunicorn"],
)  # fmt: skip
def test_a_servers_own_lines(tmp_path: pathlib.Path, text: str, command: str, loggers: tuple[str, str]) -> None:
    """The access line and the traceback of a 500 are in the log, without what is personal; the terminal has neither."""
    (tmp_path / "service.py").write_text(text)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with open(tmp_path / "said", "wb") as said:
        server = subprocess.Popen(
            [sys.executable, "-m", *command.format(port=port).split()], cwd=tmp_path, stdout=said, stderr=said
        )
        try:
            assert asked(f"http://127.0.0.1:{port}/orders?of={PERSONAL}", server) == 500
            records = until_both(tmp_path / "records.jsonl", loggers)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(PATIENCE)
    access, error = (records[name] for name in loggers)
    assert "of=<EMAIL>" in access["message"]
    assert error["error_message"] == "nobody is called <EMAIL>"
    assert "Traceback" in error["error_stack_trace"]
    # A WSGI server has left the request when it catches the error: there the id is in the `http.request` record.
    assert error.get("request_id") == ("r-1" if text is ASGI else None)
    for file in ("said", "records.jsonl"):
        assert PERSONAL not in (tmp_path / file).read_text()


def asked(url: str, server: subprocess.Popen[bytes]) -> int:
    """The status of its answer, once it listens."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            request = urllib.request.Request(url, headers={"X-Request-ID": "r-1"})
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except OSError:
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)


def until_both(file: pathlib.Path, loggers: tuple[str, str]) -> dict[str, dict[str, Any]]:
    """The newest record of each logger; the access line may be written after the answer was read."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = {record["logger"]: record for record in map(json.loads, file.read_text().splitlines())}
        if set(loggers) <= found.keys() and "error_message" in found[loggers[1]]:
            return found
        assert time.monotonic() < deadline, sorted(found)
        time.sleep(0.05)
