"""The handlers, the spool in front, against real servers that go away and come back: every record is there once."""

from __future__ import annotations

import json
import logging
import logging.config
import pathlib
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

import llmlog
from backends.real import Loki, OpenSearch, until
from llmlog.handlers import ElasticsearchHandler, LokiHandler


@pytest.fixture
def name() -> str:
    return f"h{uuid.uuid4().hex[:12]}"


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        handler.close()
    root.handlers[:], root.level = handlers, level


def in_loki(loki: Loki, service: str) -> list[dict[str, Any]]:
    return [json.loads(line) for _, _, line, _ in loki.entries(f'{{service="{service}"}}')]


@pytest.mark.parametrize("end", ["stop", "kill"])
@pytest.mark.parametrize("kind", ["loki", "opensearch"])
def test_an_outage(loki: Loki, opensearch: OpenSearch, name: str, tmp_path: pathlib.Path, kind: str, end: str) -> None:
    """Records from before, during and after it, from one process and a next one on the same spool."""
    server: Loki | OpenSearch = loki if kind == "loki" else opensearch

    def made() -> logging.Handler:
        if kind == "loki":
            return LokiHandler(loki.url, labels={"service": name}, spool=tmp_path, batch_seconds=0.01, timeout=5)
        return ElasticsearchHandler(opensearch.url, index=name, spool=tmp_path, batch_seconds=0.01, timeout=5)

    def messages() -> list[int]:
        found = in_loki(loki, name) if kind == "loki" else opensearch.documents(name)
        return sorted(int(one["message"]) for one in found)

    logger = logging.Logger("app")
    handler = made()
    logger.addHandler(handler)
    for i in range(300):
        logger.info("%d", i)
        if i == 100:
            getattr(server, end)()
        if i == 200:  # another handler goes on, as after a restart
            logger.removeHandler(handler)
            handler.close()
            handler = made()
            logger.addHandler(handler)
    server.start()
    assert handler.flush(60)  # type: ignore[call-arg,func-returns-value]
    until(lambda: len(messages()) >= 300, "they are all there")
    assert messages() == list(range(300))
    handler.close()
    assert not list(tmp_path.rglob("dead-letter*"))


def test_from_dict_config(
    loki: Loki, opensearch: OpenSearch, name: str, tmp_path: pathlib.Path, logging_as_before: None
) -> None:
    """All of it from dict_config(): the same records in both, redacted, with their request's id and figures."""
    logging.config.dictConfig(
        llmlog.dict_config(
            loki={"url": loki.url, "spool": tmp_path},
            elasticsearch={"url": [opensearch.url], "index": name, "spool": tmp_path},
            service=name,
            env="test",
        )
    )
    with llmlog.request("r1", user_id="ann@example.com"):
        list(llmlog.stream(["Hello"], provider="text", model="gpt-4o", input="Hi"))
        logging.getLogger("app").warning("to %s", "ann@example.com")
    assert llmlog.flush(60)
    until(lambda: len(in_loki(loki, name)) == 2, "they are in Loki")
    documents = opensearch.documents(name)
    records = in_loki(loki, name)
    for one in records:
        one["@timestamp"] = one.pop("timestamp")
    assert sorted(records, key=str) == sorted(documents, key=str)
    assert {one["request_id"] for one in records} == {"r1"}
    assert "ann@example.com" not in json.dumps(records)
    cost = loki.query(f'sum(sum_over_time({{service="{name}", env="test"}} | unwrap cost_usd [5m]))', time.time() + 5)
    [call] = [one for one in records if one.get("event") == "llm.call"]
    assert float(cost[0]["value"][1]) == pytest.approx(call["cost_usd"])


def test_a_burst(loki: Loki, name: str, tmp_path: pathlib.Path) -> None:
    """More than Loki's rate takes at once: it asks for patience, and has every record once in the end."""
    handler = LokiHandler(loki.url, labels={"service": name}, spool=tmp_path, batch_records=1000)
    logger = logging.Logger("app")
    logger.addHandler(handler)
    padding = "x" * 3000
    for i in range(4000):
        logger.info("%d", i, extra={"padding": padding})
    assert handler.flush(120)
    counted = f'sum(count_over_time({{service="{name}"}}[10m]))'
    until(lambda: loki.query(counted, time.time() + 5), "they can be counted")
    assert float(loki.query(counted, time.time() + 5)[0]["value"][1]) == 4000
    handler.close()
