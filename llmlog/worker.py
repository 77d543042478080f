"""The one thread, and the jobs that wait for a safe point.

A finaliser may run at any allocation, inside any lock: it only appends its job here. The job is done by whoever
comes first: the worker thread, a thread that leaves a request or begins a call, `flush()`, or the exit of the
interpreter. Everything the worker does can be done by any other thread, so nothing depends on its being alive.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

from llmlog.context import safe_points
from llmlog.faults import fault

__all__ = ["at_exit", "at_start", "drain", "later", "ready", "wait"]

Job = Callable[[], None]

at_exit: list[Callable[[], None]] = []
"""What to do first when the interpreter exits; then the last jobs are done."""

at_start: list[Callable[[], None]] = []
"""What the thread does before its first job."""

_jobs: deque[Job] = deque()
_wake: SimpleQueue[None] = SimpleQueue()  # put() is reentrant, and takes no lock that Python code could hold
_busy: dict[object, int] = {}  # who is doing jobs just now -> its thread
_idle = threading.Condition()
_started = False
_warming = False
_exit_hook = False


def later(job: Job) -> None:
    """Have `job` done at the next safe point. Takes no lock, starts no thread: finalisers may call it."""
    _jobs.append(job)
    _wake.put(None)


def ready() -> None:
    """Make sure that the thread runs and that the exit is watched. Cheap when they do; never from a finaliser."""
    if not _started:
        _start()
    if _jobs:
        drain()


def drain() -> None:
    """Do the waiting jobs here and now, and return when there are none left. Never raises."""
    if not _jobs:
        return
    me = object()
    _busy[me] = threading.get_ident()
    try:
        while True:
            try:
                job = _jobs.popleft()
            except IndexError:
                return
            try:
                job()
            except Exception as error:
                fault("writing a record", error)
    finally:
        _busy.pop(me, None)
        with _idle:
            _idle.notify_all()


def wait(timeout: float) -> bool:
    """Do the waiting jobs, then wait until other threads have done theirs: True, or False after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    drain()
    here = threading.get_ident()  # called from inside a job, it must not wait for itself
    with _idle:
        return _idle.wait_for(
            lambda: all(thread == here for thread in list(_busy.values())), max(0.0, deadline - time.monotonic())
        )


def _start() -> None:
    global _started, _exit_hook
    _started = True
    if not _exit_hook:
        _exit_hook = True
        # At the first call, not at import: what the application registers while it sets up its logging (stopping a
        # QueueListener, say) then comes after us.
        atexit.register(_exit)
        # Counting imports it (by way of tiktoken), and it refuses to be imported first when the interpreter exits.
        import concurrent.futures.thread  # noqa: F401
    try:
        threading.Thread(target=_run, name="llmlog-worker", daemon=True).start()
    except RuntimeError:  # the interpreter is shutting down, or the system has no thread left: others do the jobs
        pass


def _run() -> None:
    global _warming
    _warming = True
    for action in at_start:
        try:
            action()
        except Exception as error:
            fault("warming up", error)
    _warming = False
    with _idle:
        _idle.notify_all()
    while True:
        _wake.get()
        drain()


def _exit() -> None:
    for action in at_exit:
        try:
            action()
        except Exception as error:
            fault("ending open calls at exit", error)
    wait(5.0)
    with _idle:  # a thread that is stopped inside a C extension can take the process with it
        _idle.wait_for(lambda: not _warming, 5.0)


def _after_fork_in_child() -> None:
    global _started, _warming, _idle, _wake
    _started = _warming = False
    _jobs.clear()  # the parent's: it does them
    _busy.clear()
    _idle = threading.Condition()
    _wake = SimpleQueue()


safe_points.append(drain)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
