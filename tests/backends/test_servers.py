"""The fixtures themselves: each backend serves, and keeps what it has over a stop and a kill."""

from __future__ import annotations

import pathlib
import time
import uuid
from collections.abc import Callable

import pytest

from backends.conftest import needed
from backends.real import Collector, Loki, OpenSearch, SyslogNG, ask, free_port, until


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_opensearch_keeps_documents(opensearch: OpenSearch, end: str) -> None:
    """A document that was acknowledged is found after the server was ended and started again, at the same address."""
    index = f"kept-{end}"
    opensearch.bulk(index, [("one", {"text": "here"})])
    assert opensearch.search(index)["hits"]["total"]["value"] == 1
    getattr(opensearch, end)()
    assert not opensearch.running
    with pytest.raises(OSError):
        ask(f"{opensearch.url}/")
    opensearch.start()
    assert opensearch.documents(index) == [{"text": "here"}]


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_loki_keeps_lines(loki: Loki, end: str) -> None:
    """A line that was acknowledged is found after the server was ended and started again, its metadata apart."""
    service = f"kept-{uuid.uuid4().hex}"
    now = time.time_ns()
    status, answer = loki.push([{"stream": {"service": service}, "values": [[str(now), "here", {"call_id": "c1"}]]}])
    assert status == 204, answer
    getattr(loki, end)()
    with pytest.raises(OSError):
        ask(f"{loki.url}/ready")
    loki.start()
    [(labels, stamp, line, metadata)] = until(lambda: loki.entries(f'{{service="{service}"}}'), "the line is found")
    assert labels["service"] == service
    assert "call_id" not in labels
    assert (stamp, line, metadata["call_id"]) == (now, "here", "c1")


def test_collector_passes_logs_on(collector: Collector) -> None:
    """A log record that came in over HTTP is among those that it has passed on."""
    body = uuid.uuid4().hex
    record = {"timeUnixNano": str(time.time_ns()), "body": {"stringValue": body}}
    status, answer = ask(f"{collector.url}/v1/logs", {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]})
    assert status == 200, answer
    until(lambda: any(log["body"] == {"stringValue": body} for log in collector.logs()), "it is passed on")


def test_syslog_ng_tails(syslog_ng: Callable[[str], SyslogNG], tmp_path: pathlib.Path) -> None:
    """Lines of a file come out at the other end, and after a kill those that came meanwhile."""
    source, out = tmp_path / "in", tmp_path / "out"
    source.write_text("one\n")
    server = syslog_ng(
        "@version: 3.38\n"
        f'source s {{ file("{source}" flags(no-parse) follow-freq(0.1)); }};\n'
        f'destination d {{ file("{out}" template("$MSG\\n")); }};\n'
        "log { source(s); destination(d); };\n"
    )
    until(lambda: out.exists() and out.read_text() == "one\n", "the first line is there")
    server.stop()
    with source.open("a") as more:
        more.write("two\n")
    server.start()
    until(lambda: out.read_text() == "one\ntwo\n", "the second line is there")


def test_missing_backend_says_how(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """What is not installed skips with the command that installs it, and fails where it is required."""
    monkeypatch.setattr(Loki, "installed", tmp_path / "loki-v0")
    monkeypatch.delenv("LLMLOG_REQUIRE", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"Loki is not installed \(loki-v0\): make backends"):
        needed(Loki)
    monkeypatch.setenv("LLMLOG_REQUIRE", "sdks,backends")
    with pytest.raises(pytest.fail.Exception, match="make backends"):
        needed(Loki)


def test_a_server_that_ends_at_once_shows_its_words(tmp_path: pathlib.Path) -> None:
    """A configuration that the server refuses fails the test with what the server said, not with a deadline."""
    needed(SyslogNG)
    with (
        pytest.raises(AssertionError, match=r"(?s)SyslogNG has ended.*syntax error"),
        SyslogNG(tmp_path / "s", "nonsense"),
    ):
        pass


def test_free_port_is_free() -> None:
    """Nobody answers at a port that is said to be free."""
    with pytest.raises(OSError):
        ask(f"http://127.0.0.1:{free_port()}/")
