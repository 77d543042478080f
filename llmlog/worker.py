"""The one thread, and the jobs that wait for a safe point.

A finaliser may run at any allocation, inside any lock: it only appends its job here. The job is done by whoever
comes first: the worker thread, a thread that leaves a request or begins a call, `flush()`, or the exit of the
interpreter. Everything the worker does can be done by any other thread, so nothing depends on its being alive.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from llmlog.faults import fault
from llmlog.request_state import safe_points

__all__ = ["after_exit", "at_exit", "at_start", "at_tick", "drain", "every", "later", "ready", "tick", "wait"]

Job = Callable[[], None]

at_exit: list[Callable[[], None]] = []
"""What to do first when the interpreter exits; then the last jobs are done."""

after_exit: list[Callable[[], None]] = []
"""What to do last when the interpreter exits."""

at_start: list[Callable[[], None]] = []
"""What the thread does before its first job."""

at_tick: list[Callable[[], None]] = []
"""What the thread does every so often, where `tick()` has asked for it."""

_jobs: deque[Job] = deque()
_long_jobs: deque[Job] = deque()  # for the thread; for nobody else but flush() and the exit
_wake: SimpleQueue[None] = SimpleQueue()  # put() is reentrant, and takes no lock that Python code could hold
_busy: dict[object, int] = {}  # who is doing jobs just now -> its thread
_idle = threading.Condition()
_periodic: dict[Job, tuple[float, float]] = {}  # what the thread does every so often -> every how often, next when
_started = False
_warming = False
_FORK_WAITS = 5.0  # seconds, at the most; loading takes less than one
_exit_hook = False
_exited = False


def later(job: Job, *, long: bool = False) -> None:
    """Have `job` done at the next safe point, or, where it is long, by the thread.

    Takes no lock, starts no thread: finalisers may call it.
    """
    if _exited:  # nobody comes by any more
        _do(job)
        return
    (_long_jobs if long else _jobs).append(job)
    _wake.put(None)


def ready() -> None:
    """Make sure that the thread runs and that the exit is watched. Cheap when they do; never from a finaliser."""
    if not _started:
        _start()
    if _jobs:
        drain()


def tick(period: float | None) -> None:
    """Do what `at_tick` holds every `period` seconds from now on; None: no longer."""
    every(period, _tick)


def every(period: float | None, action: Job) -> None:
    """Have the thread do `action` every `period` seconds from now on; None: no longer."""
    if period is None:
        _periodic.pop(action, None)
        return
    _periodic[action] = period, time.monotonic() + period
    ready()
    _wake.put(None)


def _tick() -> None:
    _all(at_tick, "keeping the journal")


def drain() -> None:
    """Do the waiting jobs here and now, but the long ones. Never raises."""
    _drain(_jobs, None)


def _drain(jobs: deque[Job], deadline: float | None) -> None:
    if not jobs:
        return
    me = object()
    taken: list[Job] = []
    try:
        _busy[me] = threading.get_ident()
        while deadline is None or time.monotonic() < deadline:
            try:
                taken.extend(map(deque.popleft, (jobs,)))  # in one step, so that no signal comes in between
            except IndexError:
                return
            _do(taken[0])
            taken.clear()
    finally:
        try:
            jobs.extendleft(taken)  # a signal's exception, before it was done: a job knows whether it has to do more
        finally:
            _busy.pop(me, None)
        with _idle:
            _idle.notify_all()


def _do(job: Job) -> None:
    try:
        job()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic inside an extension is no Exception
        fault("writing a record", error)


def wait(timeout: float) -> bool:
    """Do the waiting jobs, then wait until other threads have done theirs: True, or False after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    _drain(_jobs, deadline)
    _drain(_long_jobs, deadline)
    here = threading.get_ident()  # called from inside a job, it must not wait for itself
    with _idle:
        done = _idle.wait_for(
            lambda: all(thread == here for thread in list(_busy.values())), max(0.0, deadline - time.monotonic())
        )
    return done and not _jobs and not _long_jobs


def _start() -> None:
    global _started, _exit_hook, _warming
    _started = True
    if not _exit_hook:
        _exit_hook = True
        # At the first call, not at import: what the application registers while it sets up its logging (stopping a
        # QueueListener, say) then comes after us.
        atexit.register(_exit)
        # Counting imports it (by way of tiktoken), and it refuses to be imported first when the interpreter exits.
        import concurrent.futures.thread  # noqa: F401
    multiprocessing = sys.modules.get("multiprocessing.util")
    if multiprocessing is not None:  # its children leave by os._exit, and run its exit handlers only
        multiprocessing.Finalize(None, _exit, exitpriority=0)
    _warming = True  # from here on, so that a fork at once waits as well
    try:
        threading.Thread(target=_run, name="llmlog-worker", daemon=True).start()
    except RuntimeError:  # the interpreter is shutting down, or the system has no thread left: others do the jobs
        _warming = False


def _run() -> None:
    global _warming
    _all(at_start, "warming up")
    _warming = False
    with _idle:
        _idle.notify_all()
    while True:
        due = min((due for _, due in list(_periodic.values())), default=None)
        with suppress(Empty):
            _wake.get(timeout=None if due is None else max(0.0, due - time.monotonic()))
        _drain(_jobs, None)
        _drain(_long_jobs, None)
        for action, (period, due) in list(_periodic.items()):
            if time.monotonic() >= due:
                if action in _periodic:
                    _periodic[action] = period, time.monotonic() + period
                _all([action], "doing what is due")


def _all(actions: list[Callable[[], None]], doing: str) -> None:
    for action in actions:
        try:
            action()
        except BaseException as error:  # a panic inside an extension is no Exception
            fault(doing, error)


def _exit() -> None:
    global _exited
    _all(at_exit, "ending open calls at exit")
    wait(5.0)
    _all(after_exit, "closing the journal")
    with _idle:  # a thread that is stopped inside a C extension can take the process with it
        _idle.wait_for(lambda: not _warming, 5.0)
    _exited = True


def _before_fork() -> None:
    """A thread that is importing, or counting, holds locks that nobody would release in the child: let it finish."""
    here = threading.get_ident()
    with _idle:
        _idle.wait_for(lambda: not _warming and all(thread == here for thread in list(_busy.values())), _FORK_WAITS)


def _after_fork_in_child() -> None:
    global _started, _warming, _idle, _wake
    _started = _warming = False
    _jobs.clear()  # the parent's: it does them
    _long_jobs.clear()
    _busy.clear()
    _idle = threading.Condition()
    _wake = SimpleQueue()


safe_points.append(drain)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
