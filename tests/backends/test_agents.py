"""examples/agents: the configurations that can be run here, between a JSONLinesHandler's file and real backends."""

from __future__ import annotations

import json
import logging
import pathlib
import re
import uuid
from collections import Counter
from collections.abc import Callable

import pytest
from conftest import answer

import llmlog
from backends.real import Loki, OpenSearch, SyslogNG, ask, until
from llmlog import context
from llmlog.filters import ContextFilter
from llmlog.formatters import JSONFormatter
from llmlog.handlers import JSONLinesHandler

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples/agents"


def configured(text: str, **defines: str) -> str:
    """A configuration with its `@define`s as told."""
    for name, value in defines.items():
        text, count = re.subn(rf'^@define {name} ".*"$', f'@define {name} "{value}"', text, flags=re.MULTILINE)
        assert count == 1, name
    return text


class Service:
    """A service that logs into a file: calls by llmlog, and lines of its own, with all that JSON has to escape."""

    def __init__(self, file: pathlib.Path) -> None:
        self.file = file
        self.name = f"agent-{uuid.uuid4().hex[:12]}"
        self.written: list[str] = []
        self._rotations = 0
        self._handler = JSONLinesHandler(file)
        self._handler.setFormatter(JSONFormatter(constants={"service": self.name, "env": "production"}))
        self._handler.addFilter(ContextFilter())
        self._loggers = [logging.getLogger(name) for name in ("llmlog.calls", "agent.service")]

    def __enter__(self) -> Service:
        for logger in self._loggers:
            logger.addHandler(self._handler)
            logger.setLevel(logging.INFO)
            logger.propagate = False
        return self

    def __exit__(self, *_: object) -> None:
        for logger in self._loggers:
            logger.removeHandler(self._handler)
            logger.setLevel(logging.NOTSET)
            logger.propagate = True
        self._handler.close()

    def work(self, requests: int) -> None:
        """Two records for each request."""
        for _ in range(requests):
            with llmlog.request(feature="agents") as request:
                list(llmlog.stream(answer("a", "b"), provider="openai"))
                odd = 'a "quote", a \\ and $MSG $(echo x) `records`,\n\ttabs, \x01, é, 🙂, </b>'
                self._loggers[1].info(odd, extra={"record_id": context.new_id(), "of": request["request_id"]})

    def rotate(self) -> None:
        """As logrotate does without copytruncate."""
        self._rotations += 1
        self.file.rename(self.file.with_name(f"{self.file.name}.{self._rotations}"))

    def lines(self) -> dict[str, str]:
        """All that was written, by its id."""
        files = [*self.file.parent.glob(f"{self.file.name}*")]
        lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
        found = {json.loads(line)["record_id"]: line for line in lines}
        assert len(found) == len(lines)
        return found


def in_loki(loki: Loki, service: Service) -> list[tuple[str, int]]:
    """The lines that Loki has, with their times."""
    return [(line, stamp) for _, stamp, line, _ in loki.entries(f'{{service="{service.name}", env="production"}}')]


@pytest.fixture
def service(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> Service:
    return Service(tmp_path / "llm.jsonl")


def test_syslog_ng_brings_every_record_once(
    loki: Loki,
    opensearch: OpenSearch,
    syslog_ng: Callable[[str], SyslogNG],
    service: Service,
) -> None:
    """Over rotations, outages of both backends and a kill of the agent: each record is in both, once, as written."""
    index = f"logs-{service.name}"
    config = configured(
        (EXAMPLES / "syslog-ng.conf").read_text(),
        records=str(service.file),
        loki=loki.url,
        opensearch=opensearch.url,
        index=index,
    )

    def documents() -> int:
        if ask(f"{opensearch.url}/{index}/_refresh", method="POST")[0] != 200:  # it is not there yet, or starting
            return 0
        status, found = ask(f"{opensearch.url}/{index}/_count")
        return found["count"] if status == 200 else 0

    def arrived() -> bool:
        here = len(service.lines())
        return documents() >= here and len(in_loki(loki, service)) >= here

    with service:
        service.work(100)
        agent = syslog_ng(config)
        until(arrived, "the first records are there")

        service.work(100)
        service.rotate()
        service.work(100)
        until(arrived, "those of the rotated file and of the new one are there")

        loki.kill()
        service.work(100)
        opensearch.stop()
        service.work(100)
        loki.start()
        opensearch.start()
        until(arrived, "those of the outages are there")

        service.work(100)
        agent.kill()
        service.work(100)
        agent.start()
        service.work(100)
        until(arrived, "those that came around the agent's end are there")

    written = service.lines()
    assert len(written) == 8 * 200
    got = in_loki(loki, service)
    assert Counter(line for line, _ in got) == Counter(written.values())
    for line, stamp in got:
        seconds = json.loads(line)["timestamp"].removesuffix("Z")
        assert f"{stamp % 1_000_000_000:09d}" == f"{seconds.partition('.')[2]}000"
    stored = opensearch.documents(index)
    for document in stored:
        assert document.pop("@timestamp") == document["timestamp"]
    assert sorted(map(json.dumps, stored)) == sorted(json.dumps(json.loads(line)) for line in written.values())
