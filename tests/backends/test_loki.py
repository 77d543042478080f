"""LokiBackend against a real Loki: each way of not taking a line, and what becomes of it."""

from __future__ import annotations

import json
import pathlib
import time
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from delivering import SECOND, delivered, entry

from backends.conftest import needed
from backends.real import Loki, until
from llmlog.handlers.backend import Entry
from llmlog.handlers.loki import LokiBackend
from llmlog.handlers.transport import HTTPTransport

HOUR = 3600 * SECOND
# What lies back more than three hours is only found once Loki has written its chunk: the tests stay below.


@pytest.fixture
def service() -> str:
    return f"s-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def backend(loki: Loki, service: str) -> LokiBackend:
    return LokiBackend(loki.url, HTTPTransport(), labels={"service": service})


def stored(loki: Loki, service: str, count: int, more: str = "", **options: Any) -> list[Any]:
    """The entries that a query finds, once there are so many: (labels, stamp, record, metadata)."""
    start = time.time() - 8 * 86400

    def found() -> list[Any]:
        entries = loki.entries(f'{{service="{service}"}}{more}', start, time.time() + 3600, **options)
        return entries if len(entries) >= count else []

    entries = until(found, f"{count} entries are stored")
    assert len(entries) == count
    return [(labels, stamp, json.loads(line), metadata) for labels, stamp, line, metadata in entries]


def messages(found: Sequence[Any]) -> list[str]:
    return [record["message"] for _, _, record, _ in found]


def test_a_push(loki: Loki, backend: LokiBackend, service: str) -> None:
    """Labels are the few, ids and figures are structured metadata, the line is the record, the time is the stamp."""
    call = entry(
        record_id="r" * 32, request_id="q1", model="gpt-4o-mini", latency_ms=12.5, input_tokens=7, cost_usd=2.5e-06,
        streamed=True, finish_reason=["stop", "length"], note="ü",
    )  # fmt: skip
    assert delivered(backend, [call, entry(level="ERROR", message="no")]) == []
    (labels, stamp, record, metadata), (other, *_) = sorted(stored(loki, service, 2), key=lambda one: -len(one[3]))
    assert {name: labels[name] for name in ("service", "level")} == {"service": service, "level": "INFO"}
    assert labels.keys() <= {"service", "level", "service_name"}
    assert other["level"] == "ERROR"
    assert stamp == call.stamp
    assert record == json.loads(call.line)
    assert metadata.pop("detected_level", "info") == "info"
    assert metadata == {
        "record_id": "r" * 32, "request_id": "q1", "model": "gpt-4o-mini", "latency_ms": "12.5", "input_tokens": "7",
        "cost_usd": "2.5e-06", "finish_reason": '["stop","length"]',
    }  # fmt: skip


def test_figures_can_be_summed(loki: Loki, backend: LokiBackend, service: str) -> None:
    """LogQL adds up costs and tokens, by model, without reading the line."""
    calls = [
        entry(event="llm.call", model=model, cost_usd=cost, input_tokens=5, request_id=f"r{i}")
        for i, (model, cost) in enumerate([("a", 0.25), ("a", 2.5e-06), ("b", 1.0)])
    ]
    assert delivered(backend, calls) == []
    stored(loki, service, 3)
    select = f'{{service="{service}"}} | event="llm.call"'
    costs = loki.query(f"sum by (model) (sum_over_time({select} | unwrap cost_usd [5m]))", time.time() + 5)
    assert {one["metric"]["model"]: float(one["value"][1]) for one in costs} == pytest.approx({"a": 0.2500025, "b": 1})
    assert len(stored(loki, service, 1, ' | request_id="r1"')) == 1


def test_a_push_twice_is_stored_once(loki: Loki, backend: LokiBackend, service: str) -> None:
    """An answer that was lost doubles nothing, and equal lines at different times are different records."""
    now = time.time_ns()
    batch = [entry(now + i, request_id="r") for i in range(50)]
    for _ in range(3):
        assert delivered(backend, batch) == []
    assert len(stored(loki, service, 50)) == 50
    counted = loki.query(f'sum(count_over_time({{service="{service}"}}[5m]))', time.time() + 5)
    assert float(counted[0]["value"][1]) == 50


def test_partial_success(loki: Loki, backend: LokiBackend, service: str) -> None:
    """One line too long among good ones: those are there once, and it comes with its texts cut and its figures."""
    batch = [entry(message=f"good {i}") for i in range(20)]
    batch.insert(7, entry(message="long", prompt="ü" * 200_000, response="b" * 1000, latency_ms=5.5))
    outcome = backend.send(batch)
    assert outcome.refused == [(batch[7], "max entry size '262144' bytes exceeded")]
    assert delivered(backend, batch) == []
    found = stored(loki, service, 21)
    [long] = [one for one in found if one[2].get("truncated")]
    assert (long[2]["message"], long[2]["latency_ms"], long[3]["latency_ms"]) == ("long", 5.5, "5.5")
    assert len(long[2]["prompt"]) > 100_000
    assert long[2]["response"] == "b" * 1000


def test_far_behind_its_stream(loki: Loki, backend: LokiBackend, service: str) -> None:
    """What is hours behind goes into a stream marked late, with its own time, and nothing is there twice."""
    now = time.time_ns()
    assert delivered(backend, [entry(now, message="now")]) == []
    batch = [entry(now - 2 * HOUR + i * SECOND, message=f"late {i}") for i in range(30)]
    batch += [entry(now + 1 + i, message=f"on time {i}") for i in range(30)]
    assert delivered(backend, batch, sends=5) == []
    found = stored(loki, service, 61)
    assert sorted(messages(found)) == sorted(["now", *(json.loads(one.line)["message"] for one in batch)])
    late = [one for one in found if one[0].get("late") == "true"]
    assert [(stamp, record["message"]) for _, stamp, record, _ in late] == [
        (one.stamp, json.loads(one.line)["message"]) for one in batch[:30]
    ]


def test_behind_the_late_ones_too(loki: Loki, backend: LokiBackend, service: str) -> None:
    """Refused there as well: the time of now, its own is in the line, and it is marked as late all the same."""
    now = time.time_ns()
    assert delivered(backend, [entry(now, message="now")]) == []
    assert delivered(backend, [entry(now - 2 * HOUR, message="late")]) == []
    assert delivered(backend, [entry(now - 5 * HOUR + i, message=f"later {i}") for i in range(15)]) == []
    found = stored(loki, service, 17)
    assert sum(one[0].get("late") == "true" for one in found) == 1
    later = [one for one in found if one[3].get("late") == "true" and "late" not in one[0]]
    assert len(later) == 15
    assert all(stamp >= now for _, stamp, _, _ in later)
    assert {record["timestamp"][:13] for _, _, record, _ in later} == {
        time.strftime("%Y-%m-%dT%H", time.gmtime(now / SECOND - 5 * 3600))
    }
    assert len(stored(loki, service, 16, ' | late="true"')) == 16


@pytest.mark.parametrize("offset", [-9 * 24 * HOUR, 2 * HOUR], ids=["too old", "too new"])
def test_no_time_for_loki(loki: Loki, backend: LokiBackend, service: str, offset: int) -> None:
    """Older than a week, or from a clock that runs ahead: all of them arrive, with the time of now."""
    now = time.time_ns()
    batch = [entry(now + offset + i * SECOND // 3, message=f"{i}") for i in range(20)] + [entry(message="good")]
    assert delivered(backend, batch) == []
    found = stored(loki, service, 21)
    assert sorted(messages(found)) == sorted([*map(str, range(20)), "good"])
    assert sum(one[3].get("late") == "true" for one in found) == 20
    assert all(abs(stamp - now) < HOUR for _, stamp, _, _ in found)


def test_all_kinds_at_once(loki: Loki, backend: LokiBackend, service: str) -> None:
    """Loki tells one kind of error at a time: all are found, and every record is there once."""
    now = time.time_ns()
    assert delivered(backend, [entry(now, message="first")]) == []
    batch: list[Entry] = []
    for i in range(40):
        offset = {0: 0, 1: -2 * HOUR, 2: 2 * HOUR, 3: -9 * 24 * HOUR}[i % 4]
        padding = {"prompt": "x" * 300_000} if i % 10 == 0 else {}
        batch.append(entry(now + offset + i, message=f"{i}", level="INFO" if i % 3 else "ERROR", **padding))
    assert delivered(backend, batch) == []
    assert sorted(messages(stored(loki, service, 41))) == sorted(["first", *map(str, range(40))])


def test_less_metadata(tmp_path: pathlib.Path) -> None:
    """A Loki that takes less metadata, or none, gets the line without it."""
    needed(Loki)
    for limits in ({"max_structured_metadata_entries_count": 3}, {"max_structured_metadata_size": "64"},
                   {"allow_structured_metadata": False}):  # fmt: skip
        with Loki(tmp_path / next(iter(limits)), limits=limits) as loki:
            backend = LokiBackend(loki.url, HTTPTransport(), labels={"service": "s"})
            rich = entry(request_id="r" * 40, call_id="c" * 40, model="m", provider="p", message="rich")
            assert delivered(backend, [entry(message="plain"), rich]) == []
            found = stored(loki, "s", 2)
            assert sorted(messages(found)) == ["plain", "rich"]
            assert all("request_id" not in one[3] for one in found)


def test_a_tenant(tmp_path: pathlib.Path) -> None:
    """Without a tenant it is said that the credentials are refused; with one, nobody else sees the records."""
    needed(Loki)
    with Loki(tmp_path / "loki", tenants=True) as loki:
        assert "no org id" in LokiBackend(loki.url, HTTPTransport()).send([entry()]).denied
        backend = LokiBackend(loki.url, HTTPTransport(), labels={"service": "s"}, tenant="team-a")
        assert delivered(backend, [entry()]) == []
        assert len(stored(loki, "s", 1, tenant="team-a")) == 1
        assert loki.entries('{service="s"}', tenant="team-b") == []


def test_too_fast(tmp_path: pathlib.Path) -> None:
    """A 429 is no one's fault: all of it again."""
    needed(Loki)
    with Loki(tmp_path / "loki", limits={"ingestion_rate_mb": 0.01, "ingestion_burst_size_mb": 0.02}) as loki:
        backend = LokiBackend(loki.url, HTTPTransport(), labels={"service": "s"})
        batch = [entry(message="x" * 1000) for _ in range(100)]
        assert list(backend.send(batch).again) == batch


def test_labels_that_loki_refuses(tmp_path: pathlib.Path) -> None:
    """What the configuration does wrong is told, and no record is put aside for it."""
    needed(Loki)
    with Loki(tmp_path / "loki", limits={"max_label_names_per_series": 2}) as loki:
        backend = LokiBackend(loki.url, HTTPTransport(), labels={"a": "1", "b": "2", "c": "3"})
        assert "label names" in backend.send([entry()]).denied
