"""The sampler: what the process uses, by the worker, as often as the user says."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Records

import llmlog
from llmlog import metrics, worker


@pytest.fixture(autouse=True)
def gauges() -> Iterator[None]:
    """Each test has gauges of its own, and stops the sampler."""
    before = dict(metrics._gauges)
    yield
    metrics.stop()
    metrics._gauges.clear()
    metrics._gauges.update(before)


def test_a_sample_has_the_process_and_the_open_calls() -> None:
    """CPU since the sample before, and calls that have no end yet."""
    before = metrics.sample()
    with llmlog.call(model="m"):
        now = metrics.sample()
    assert now["open_calls"] == before["open_calls"] + 1
    assert now["cpu_ms"] >= before["cpu_ms"]
    assert now["cpu_percent"] >= 0
    assert now["threads"] >= 1


def test_memory_is_psutil_s() -> None:
    """Where psutil is installed, memory and open files are there too."""
    psutil = pytest.importorskip("psutil")
    made = metrics.sample()
    assert 0.5 < made["memory_bytes"] / psutil.Process().memory_info().rss < 2
    assert made["open_files"] > 2


def test_without_psutil_the_rest_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra: nothing fails for want of it."""
    monkeypatch.setitem(sys.modules, "psutil", None)
    made = metrics.sample()
    assert made["threads"] == threading.active_count()
    assert "memory_bytes" not in made


def test_gauges_are_read_with_each_sample(faults_expected: dict[str, int]) -> None:
    """None leaves one out; one that fails is counted, and the others are there."""
    metrics.gauge("spool_bytes", lambda: 7)
    metrics.gauge("nothing", lambda: None)
    metrics.gauge("broken", lambda: 1 / 0)
    made = metrics.sample()
    assert made["spool_bytes"] == 7
    assert "nothing" not in made
    assert "broken" not in made
    faults_expected["reading a gauge"] = 1


def test_samples_are_logged_by_the_worker(calls: Records) -> None:
    """As often as was asked for, as records `system.metrics`."""
    second, reads = threading.Event(), iter(range(1, 1_000_000))

    def read() -> int:
        if (number := next(reads)) == 2:  # the first sample is logged by then
            second.set()
        return number

    metrics.gauge("seen", read)
    llmlog.configure(metrics_seconds=0.1)
    assert second.wait(30)
    llmlog.configure(metrics_seconds=None)
    assert metrics._log not in worker._periodic
    llmlog.flush()
    assert calls.events("system.metrics")[0]["seen"] == 1


@pytest.mark.parametrize(("seconds", "error"), [("1", TypeError), (True, TypeError), (0, ValueError), (-1, ValueError)])
def test_wrong_intervals(seconds: Any, error: type[Exception]) -> None:
    """What is no interval is an error at the call, and nothing is started."""
    with pytest.raises(error, match="metrics_seconds"):
        llmlog.configure(metrics_seconds=seconds)
    assert metrics._log not in worker._periodic


@pytest.mark.parametrize(("name", "read"), [(3, lambda: 1), ("x", 3)])
def test_wrong_gauges(name: Any, read: Any) -> None:
    """A name is text and a gauge can be called."""
    with pytest.raises(TypeError, match="gauge"):
        metrics.gauge(name, read)


def test_a_child_s_cpu_is_its_own() -> None:
    """After a fork the clock of the processor starts anew: no negative percentage."""
    metrics.sample()
    if (pid := os.fork()) == 0:
        os._exit(0 if metrics.sample().get("cpu_percent", 0) >= 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
