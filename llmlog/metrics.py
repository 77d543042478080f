"""`system.metrics`: what the process uses and has open, logged every so often on logger `llmlog.events`.

    llmlog.configure(metrics_seconds=60)            # or llmlog.metrics.start(60)

Memory, threads and open files are psutil's (`pip install 'llmlog[metrics]'`); without it the rest is logged: CPU, open
calls, and what waits in the spools of the handlers. `gauge()` adds more.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from llmlog import worker
from llmlog.events import event
from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.faults import fault
from llmlog.lifecycle import open_calls

__all__ = ["gauge", "sample", "start", "stop"]

_gauges: dict[str, Callable[[], float | None]] = {}
_process: Any = None  # psutil's, of this process
_before: tuple[float, float] | None = None  # wall and CPU seconds at the sample before


def start(seconds: float = 60.0) -> None:
    """Log a sample every `seconds` from now on, from llmlog's own thread; a child of a fork goes on by itself.

    UsageTypeError or UsageValueError for what is no time, or less than a tenth of a second.
    """
    period = checked(seconds)
    _measured()  # the first sample tells of the time from here
    worker.every(period, _log)


def checked(seconds: Any) -> float:
    """`seconds`, where they are an interval for samples; UsageTypeError or UsageValueError where not."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise UsageTypeError(f"metrics_seconds is a number of seconds or None, got {shown(seconds)}")
    if not 0.1 <= seconds < float("inf"):
        raise UsageValueError(f"metrics_seconds is at least 0.1, got {shown(seconds)}")
    return seconds


def stop() -> None:
    """Log no more samples."""
    worker.every(None, _log)


def gauge(name: str, read: Callable[[], float | None]) -> None:
    """Have each sample bear the number that `read()` returns, as field `name`; None leaves it out.

    `read` runs in llmlog's thread and is not to wait. The same name again takes the place of the one before.
    """
    if not isinstance(name, str):
        raise UsageTypeError(f"the name of a gauge is text, got {shown(name)}")
    if not callable(read):
        raise UsageTypeError(f"a gauge is a function that returns a number, got {shown(read)}")
    _gauges[name] = read


def sample() -> dict[str, float]:
    """The figures of now, by the names of the record's fields; CPU since the sample before. Never raises."""
    fields: dict[str, float | None] = {}
    for read in (_measured, _by_psutil, _counted):
        try:
            fields.update(read())
        except Exception as error:
            fault("sampling the process", error)
    for name, gauged in list(_gauges.items()):
        try:
            fields[name] = gauged()
        except Exception as error:
            fault("reading a gauge", error)
    return {name: value for name, value in fields.items() if value is not None}


def _log() -> None:
    fields: dict[str, Any] = {**sample()}
    event("system.metrics", **fields)


def _measured() -> dict[str, float]:
    global _before
    wall, cpu = time.monotonic(), time.process_time()
    before, _before = _before, (wall, cpu)
    fields = {"cpu_ms": round(cpu * 1000, 1)}
    if before is not None and wall > before[0] and cpu >= before[1]:  # less: a fork, and another process
        fields["cpu_percent"] = round(100 * (cpu - before[1]) / (wall - before[0]), 1)
    return fields


def _by_psutil() -> dict[str, float | None]:
    global _process
    try:
        import psutil
    except ImportError:
        return {"threads": threading.active_count()}
    if _process is None or _process.pid != os.getpid():
        _process = psutil.Process()
    with _process.oneshot():
        files = _process.num_fds() if hasattr(_process, "num_fds") else _process.num_handles()
        return {"memory_bytes": _process.memory_info().rss, "threads": _process.num_threads(), "open_files": files}


def _counted() -> dict[str, float]:
    return {"open_calls": len(open_calls())}
