"""OTLPHandler and a real OpenTelemetry Collector: what arrives, and that an outage loses nothing."""

from __future__ import annotations

import logging
import pathlib
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import answer, sdk

import llmlog
from backends.real import Collector, until
from llmlog.handlers import OTLPHandler

sdk("opentelemetry.exporter.otlp.proto.http._log_exporter")


@pytest.fixture
def service() -> str:
    """The collector is shared: each test knows its own records by their service."""
    return f"otlp-{uuid.uuid4().hex}"


@pytest.fixture
def handler(collector: Collector, service: str, tmp_path: pathlib.Path) -> Iterator[OTLPHandler]:
    """On the root logger, for one test."""
    made = OTLPHandler(collector.url, service=service, env="test", spool=tmp_path, timeout=2, batch_seconds=0.05)
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.INFO)
    root.addHandler(made)
    yield made
    root.removeHandler(made)
    root.setLevel(level)
    made.close()


def attributes(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    """OTLP's JSON as it is: the type of each value beside it."""
    return {pair["key"]: pair["value"] for pair in pairs}


def of(service: str, collector: Collector) -> list[dict[str, Any]]:
    return [
        log
        for log in collector.logs()
        if attributes(log["resource"].get("attributes", [])).get("service.name") == {"stringValue": service}
    ]


def test_a_calls_record_arrives_typed(collector: Collector, handler: OTLPHandler, service: str) -> None:
    """Event name, severity, trace, scope, resource, and each attribute as the type that it has."""
    trace = {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7"}
    with llmlog.request("r-1", user_id="u-1", **trace):
        list(llmlog.stream(answer("a", "b"), model="gpt-4o-mini", input="Say", http="mine"))
    assert handler.flush(30)
    [log] = until(lambda: of(service, collector), "the record is passed on")
    assert log["eventName"] == "gen_ai.client.inference.operation.details"
    assert (log["severityNumber"], log["severityText"]) == (9, "INFO")
    assert (log["traceId"], log["spanId"]) == (trace["trace_id"], trace["span_id"])
    assert log["scope"]["name"] == "llmlog.calls"
    assert attributes(log["resource"]["attributes"])["deployment.environment.name"] == {"stringValue": "test"}
    found = attributes(log["attributes"])
    assert found["gen_ai.usage.input_tokens"] == {"intValue": "9"}
    assert found["gen_ai.request.stream"] == {"boolValue": True}
    assert found["gen_ai.response.finish_reasons"] == {"arrayValue": {"values": [{"stringValue": "stop"}]}}
    assert found["http_"] == {"stringValue": "mine"}
    assert "doubleValue" in found["gen_ai.response.time_to_first_chunk"]
    assert "doubleValue" in found["llmlog.cost_usd"]


def test_an_outage_loses_nothing(collector: Collector, handler: OTLPHandler, service: str) -> None:
    """Batches that the SDK would have dropped are in the spool, and arrive once the Collector is back, each once."""
    logger = logging.getLogger("app")

    def bodies() -> list[str]:
        return sorted(log["body"]["stringValue"] for log in of(service, collector) if log["scope"]["name"] == "app")

    for number in range(50):
        logger.info("before %d", number)
    assert handler.flush(30)
    until(lambda: len(bodies()) == 50, "the first half is passed on")  # what it has in memory dies with it
    collector.kill()
    for number in range(50):
        logger.info("meanwhile %d", number)
    assert not handler.flush(1)
    collector.start()
    assert handler.flush(60)
    until(lambda: len(bodies()) >= 100, "all are passed on")
    assert bodies() == sorted(f"{when} {number}" for when in ("before", "meanwhile") for number in range(50))
