"""Finalisers that are safe: a collection strikes at the worst places; no deadlock, no lost record comes of it."""

from __future__ import annotations

import contextvars
import faulthandler
import gc
import itertools
import json
import logging
import logging.config
import logging.handlers
import pathlib
import pkgutil
import queue
import random
import signal
import subprocess
import sys
import threading
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from conftest import Records, answer

import llmlog
from llmlog import journal, worker
from llmlog.handlers import JSONLinesHandler

PATIENCE = 20.0  # seconds after which something counts as stuck; nothing waits that long


# Garbage that holds live calls.


async def pieces() -> AsyncIterator[str]:
    """An asynchronous source."""
    yield "a"
    yield "b"


def suspended(generator: Any) -> Any:
    """A generator, sync or async, after its first step."""
    if hasattr(generator, "__anext__"):
        with pytest.raises(StopIteration):
            anext(generator).send(None)
    else:
        next(generator)
    return generator


def a_stream() -> Any:
    stream = llmlog.stream(["a", "b"], provider="text")
    next(stream)
    return stream


def a_loop() -> Any:
    return suspended(iter(llmlog.stream(["a", "b"], provider="text")))


def a_call_block() -> Any:
    context = contextvars.copy_context()  # where it is the call under way
    return context, context.run(llmlog.call(model="gpt-4o-mini").__enter__)


def a_generator_inside_with() -> Any:
    def consumer() -> Iterator[str]:
        with llmlog.stream(["a", "b"], provider="text") as stream:
            yield from stream

    return suspended(consumer())


def a_generator_that_closes() -> Any:
    def consumer() -> Iterator[str]:
        stream = llmlog.stream(["a", "b"], provider="text")
        try:
            yield from stream
        finally:
            stream.close()

    return suspended(consumer())


def a_request_of_a_generator() -> Any:
    @llmlog.request
    def consumer() -> Iterator[str]:
        yield from llmlog.stream(["a", "b"], provider="text")

    return suspended(consumer())


def an_async_generator_inside_with() -> Any:
    async def consumer() -> AsyncIterator[str]:
        async with llmlog.stream(pieces(), provider="text") as stream:
            async for piece in stream:
                yield piece

    return suspended(consumer())


HOLDERS: list[Callable[[], Any]] = [
    a_stream, a_loop, a_call_block, a_generator_inside_with, a_generator_that_closes, a_request_of_a_generator,
    an_async_generator_inside_with,
]  # fmt: skip


class Mark:
    """Something in a cycle, to see whether that was collected."""


class Litter:
    """Cycles that hold live calls, one of each kind, and let go of when and where the test says."""

    def __init__(self) -> None:
        self.calls = 0
        self.collected = 0
        self._held: list[list[Any]] = []
        self._collecting = threading.RLock()

    def make(self, times: int = 1) -> None:
        """As many rounds of them, held."""
        for _ in range(times):
            self._held.append([self._cycle(holder) for holder in HOLDERS])
            self.calls += len(HOLDERS)

    @staticmethod
    def _cycle(holder: Callable[[], Any]) -> list[Any]:
        cycle = [Mark(), holder()]
        cycle.append(cycle)
        return cycle

    def collect(self) -> None:
        """Let go of one round, and collect it at this very place."""
        with self._collecting:  # until it is done: the test waits here for a thread that is at it
            if not self._held:
                return
            round_ = self._held.pop()
            marks = [weakref.ref(cycle[0]) for cycle in round_]
            del round_
            gc.collect()
            self.collected += not any(mark() for mark in marks)


@pytest.fixture
def litter() -> Iterator[Litter]:
    """Garbage that is collected where the test says, and nowhere else."""
    gc.collect()
    gc.disable()
    yield Litter()
    gc.enable()


def in_time(work: Callable[[], Any]) -> None:
    """Do it in a thread: a deadlock is a failure, and does not hang."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(2 * PATIENCE)
    if thread.is_alive():
        faulthandler.dump_traceback(file=sys.__stderr__)
        pytest.fail("a deadlock")
    if raised:
        raise raised[0]


@contextmanager
def attached(handler: logging.Handler, *names: str) -> Iterator[None]:
    """With `handler` on these loggers, and its records of any level."""
    loggers = [logging.getLogger(name) for name in names]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)
        handler.close()


def call_ids(records: list[logging.LogRecord]) -> Counter[str]:
    """How many records there are of each call."""
    return Counter(vars(record)["call_id"] for record in records if record.name == "llmlog.calls")


def assert_one_record_each(records: list[logging.LogRecord], calls: int) -> None:
    """Every call has one, once the jobs are done."""
    in_time(lambda: llmlog.flush(PATIENCE))
    found = call_ids(records)
    assert len(found) == calls
    assert set(found.values()) == {1}


# Inside the application's code.


class CollectingHandler(Records):
    """A handler whose emit() collects, inside its own lock and one of the application's that is not reentrant."""

    def __init__(self, litter: Litter) -> None:
        super().__init__()
        self.litter = litter
        self.application_lock = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        with self.application_lock:
            self.litter.collect()
            super().emit(record)


def test_inside_emit(litter: Litter) -> None:
    """A finaliser that logged would wait for itself, here, for ever."""
    handler = CollectingHandler(litter)
    with attached(handler, "llmlog.calls", "application"):

        def work() -> None:
            for _ in range(5):
                litter.make()
                logging.getLogger("application").info("hello")
            assert litter.collected == 5

        in_time(work)
        assert_one_record_each(handler.records, litter.calls)


class CollectingQueue(queue.Queue[Any]):
    """A queue that collects inside its mutex, which is not reentrant."""

    litter: Litter

    def _put(self, item: Any) -> None:
        self.litter.collect()
        super()._put(item)

    def _get(self) -> Any:
        self.litter.collect()
        return super()._get()


def test_inside_a_queues_mutex(litter: Litter) -> None:
    """The usual QueueHandler and QueueListener, with the collection in put() and in get()."""
    waiting, kept = CollectingQueue(), Records()
    waiting.litter = litter
    listener = logging.handlers.QueueListener(waiting, kept)
    handler = logging.handlers.QueueHandler(waiting)
    with attached(handler, "llmlog.calls", "application"):
        listener.start()

        def work() -> None:
            for _ in range(5):
                litter.make()
                logging.getLogger("application").info("hello")
            assert llmlog.flush(PATIENCE)
            listener.stop()
            assert litter.collected == 5

        in_time(work)
    assert_one_record_each(kept.records, litter.calls)


def test_inside_another_finaliser(litter: Litter, llm_calls: Records) -> None:
    """`__del__` of an object of the application, which logs, and inside which a collection comes about."""

    class Other:
        def __del__(self) -> None:
            litter.collect()
            logging.getLogger("application").info("gone")

    handler = CollectingHandler(litter)

    def work() -> None:
        for _ in range(3):
            litter.make(2)
            other = Other()
            del other  # by its last reference
            cycle: list[Any] = [Other(), a_stream()]
            litter.calls += 1
            cycle.append(cycle)
            del cycle
            gc.collect()  # by a collection, beside a call

    with attached(handler, "application"):
        in_time(work)
        assert_one_record_each(llm_calls.records, litter.calls)


def test_inside_loggings_own_lock(litter: Litter, llm_calls: Records) -> None:
    """dictConfig() holds it while it builds what it was told to."""

    def factory() -> logging.Handler:
        litter.collect()
        return logging.NullHandler()

    class Collecting(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            with logging._lock:  # type: ignore[attr-defined]
                litter.collect()
            return True

    def work() -> None:
        litter.make(2)
        logging.config.dictConfig(
            {"version": 1, "disable_existing_loggers": False, "handlers": {"probe": {"()": factory}}}
        )
        handler = Records()
        handler.addFilter(Collecting())
        handler.handle(logging.makeLogRecord({}))
        assert litter.collected == 2

    in_time(work)
    assert_one_record_each(llm_calls.records, litter.calls)


# Inside llmlog's own code.

SEAMS = [
    "llmlog.lifecycle.summary",
    "llmlog.lifecycle.to_count",
    "llmlog.lifecycle.Life.end",
    "llmlog.summary.figures",
    "llmlog.summary.redact",
    "llmlog.redaction.engine.Redactor.field",
    "llmlog.records.emit",
    "llmlog.records.seen",
    "llmlog.formatters.JSONFormatter.format",
    "llmlog.handlers.jsonlines.JSONLinesHandler._append",
    "llmlog.journal.started",
    "llmlog.journal.beginning",
    "llmlog.journal.write",
    "llmlog.journal.ended",
    "llmlog.journal.best_informed",
    "llmlog.worker._do",
    "llmlog.worker._drain",
    "llmlog.request_state.RequestState.close",
    "llmlog.calls.the_call",
    "llmlog.calls.Call.read",
]


@pytest.mark.parametrize("seam", SEAMS)
def test_inside_llmlog(seam: str, litter: Litter, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it is at work itself: in the thread that ends a call, in the worker, inside the journal's lock."""
    before = pkgutil.resolve_name(seam)

    def collects(*args: Any, **kwargs: Any) -> Any:
        litter.collect()
        try:
            return before(*args, **kwargs)
        finally:
            litter.collect()

    llmlog.configure(capture=True)
    handler = JSONLinesHandler(tmp_path / "calls.jsonl")
    with attached(handler, "llmlog.calls"):
        journal.enable(tmp_path / "journal")

        def work() -> None:
            litter.make(4)
            monkeypatch.setattr(seam, collects)
            for user in ("jane@example.org", "joe@example.org"):
                with llmlog.request(user_id=user):
                    list(llmlog.stream(answer("a", "b"), provider="openai", input="hi"))
                    with pytest.raises(ValueError, match="off"), llmlog.call(model="gpt-4o-mini"):
                        raise ValueError("off")
                    left = a_stream()
                    journal.checkpoint(llmlog.lifecycle.open_calls())
                del left
                for _ in a_stream():
                    break
            assert llmlog.flush(PATIENCE)
            monkeypatch.undo()

        try:
            in_time(work)
            assert litter.collected, "nobody came by"
            for _ in range(4):
                litter.collect()
            gc.collect()
            in_time(lambda: llmlog.flush(PATIENCE))
        finally:
            journal.disable()
        lines = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
        assert len(lines) == len({line["call_id"] for line in lines}) == litter.calls + 8
        assert list((tmp_path / "journal").iterdir()) == []


def test_at_every_allocation(llm_calls: Records, tmp_path: pathlib.Path) -> None:
    """Threads that do all sorts of things, while a collection comes with nearly every object that is made."""
    threads, rounds = 4, 5
    litters = [Litter() for _ in range(threads)]
    ended = itertools.count()
    barrier = threading.Barrier(threads)

    def work(litter: Litter) -> None:
        barrier.wait(PATIENCE)
        for _ in range(rounds):
            litter.make()
            litter.collect()
            with llmlog.request():
                list(llmlog.stream(answer("a", "b"), provider="openai"))
                for _ in llmlog.stream(["a", "b"], provider="text"):
                    break
                left = a_stream()
            with llmlog.stream(["a"], provider="text"):
                pass
            del left
            for _ in range(4):
                next(ended)
            worker.drain()

    before = gc.get_threshold()
    handler = CollectingHandler(Litter())
    journal.enable(tmp_path)
    try:
        with attached(handler, "llmlog.calls"):
            gc.set_threshold(1)  # beside what is collected explicitly
            at_work = [threading.Thread(target=work, args=(litter,), daemon=True) for litter in litters]
            for thread in at_work:
                thread.start()
            for thread in at_work:
                thread.join(PATIENCE)
                assert not thread.is_alive(), "a deadlock"
            gc.set_threshold(*before)
            gc.collect()
            calls = sum(litter.calls for litter in litters) + next(ended)
            assert_one_record_each(llm_calls.records, calls)
            assert_one_record_each(handler.records, calls)
    finally:
        gc.set_threshold(*before)
        journal.disable()
    assert list(tmp_path.iterdir()) == []


# At the interpreter's end.

SHUTDOWN = """
import asyncio, atexit, contextvars, gc, logging, os, sys, threading, types
import llmlog
from llmlog.handlers import JSONLinesHandler
logging.getLogger("llmlog.calls").addHandler(JSONLinesHandler(sys.argv[1]))
logging.getLogger("llmlog.calls").setLevel("INFO")
def begun():
    stream = llmlog.stream(["a", "b", "c"], provider="text")
    next(stream)
    return stream
class Cycle: pass
def cycle(held):
    made = Cycle()
    made.itself, made.held = made, held
def block():
    cycle(llmlog.call().__enter__())
{body}
"""

BODIES = {
    "module globals": ("one = begun(); other = iter(begun()); next(other); block = llmlog.call().__enter__()", 3),
    "cycles": ("gc.disable(); cycle(begun()); cycle(iter(begun())); contextvars.copy_context().run(block)", 3),
    "daemon threads": (
        "go_on = [threading.Event() for _ in range(3)]\n"
        "def slow(ready):\n"
        "    yield 'a'\n"
        "    ready.set()\n"
        "    threading.Event().wait()\n"
        "def run(ready):\n"
        "    for _ in llmlog.stream(slow(ready), provider='text'): pass\n"
        "for one in go_on:\n"
        "    threading.Thread(target=run, args=(one,), daemon=True).start()\n"
        "for one in go_on: one.wait()",
        3,
    ),
    "daemon threads at work": (
        "busy = threading.Event()\n"
        "def run():\n"
        "    while True:\n"
        "        stream = begun()\n"
        "        busy.set()\n"
        "        keep.append(stream)\n"
        "        if len(keep) == 50: break\n"
        "    threading.Event().wait()\n"
        "keep = []\n"
        "threading.Thread(target=run, daemon=True).start()\n"
        "busy.wait()\n"
        "while len(keep) < 50: pass",
        50,
    ),
    "thread locals": (
        "local = threading.local(); local.stream = begun()\n"
        "def run():\n"
        "    local.stream = begun()\n"
        "thread = threading.Thread(target=run); thread.start(); thread.join()",
        2,
    ),
    "dropped by an atexit handler after ours": (
        "keep = []; atexit.register(keep.clear); atexit.register(gc.collect); keep.append(begun()); cycle(begun())",
        2,
    ),
    "begun by an atexit handler after ours": (
        "def late():\n"
        "    list(llmlog.stream(['late'], provider='text'))\n"
        "    for _ in begun(): break\n"
        "    cycle(begun())\n"
        "    gc.collect()\n"
        "atexit.register(late); one = begun()",
        4,
    ),
    "begun by an atexit handler after ours, and held": (
        "keep = []; atexit.register(lambda: keep.append(begun())); one = begun()",
        2,
    ),
    "held by a module that goes after ours": ("logging.keeper = begun(); sys.keeper = begun()", 2),
    "ended by another module's __del__": (
        "class Keeper:\n"
        "    def __init__(self): self.stream = begun()\n"
        "    def __del__(self): self.stream.close(); self.stream.close()\n"
        "other = types.ModuleType('other'); other.keeper = Keeper(); sys.modules['other'] = other; del other",
        1,
    ),
    "ended by the __del__ of a module that goes after ours": (
        "class Keeper:\n"
        "    def __init__(self): self.stream = begun()\n"
        "    def __del__(self): self.stream.close(); self.stream.close()\n"
        "logging.keeper = Keeper()",
        1,
    ),
    "an async generator that nobody finalises": (
        "async def source():\n"
        "    yield 'a'\n"
        "    yield 'b'\n"
        "async def consumer():\n"
        "    async with llmlog.stream(source(), provider='text') as stream:\n"
        "        async for piece in stream: yield piece\n"
        "async def main():\n"
        "    global held\n"
        "    held = consumer(); await anext(held)\n"
        "loop = asyncio.new_event_loop(); loop.run_until_complete(main())",
        1,
    ),
    "an async generator of asyncio.run()": (
        "async def source():\n"
        "    yield 'a'\n"
        "    yield 'b'\n"
        "async def main():\n"
        "    global held\n"
        "    async def consumer():\n"
        "        async for piece in llmlog.stream(source(), provider='text'): yield piece\n"
        "    held = consumer(); await anext(held)\n"
        "asyncio.run(main())",
        1,
    ),
    "sys.exit() inside a loop": ("for _ in begun(): sys.exit()", 1),
    "sys.exit() inside a generator inside with": (
        "def consumer():\n    with begun() as stream: yield from stream\nfor _ in consumer():\n    sys.exit()",
        1,
    ),
    "at every allocation": ("gc.set_threshold(1)\nfor _ in range(20): cycle(begun())\none = begun()", 21),
}


def run(body: str, *arguments: object) -> None:
    """Run a program to its end: exit code 0, and not a word on stderr."""
    program = SHUTDOWN.replace("{body}", body)
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", BODIES)
def test_at_the_interpreters_end(name: str, tmp_path: pathlib.Path) -> None:
    """Whatever still holds a stream then: one line for each."""
    body, streams = BODIES[name]
    run(body, tmp_path / "calls.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    assert len({line["call_id"] for line in lines}) == len(lines) == streams


def test_an_end_without_any_handler(tmp_path: pathlib.Path) -> None:
    """os._exit() runs nothing of ours: the journal has it, for the next process to record as lost."""
    file, folder = tmp_path / "calls.jsonl", tmp_path / "journal"
    run("llmlog.configure(journal=sys.argv[2]); one = begun(); cycle(begun()); os._exit(0)", file, folder)
    assert not file.read_text()
    run("llmlog.configure(journal=sys.argv[2])", file, folder)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["outcome"] for line in lines] == ["lost", "lost"]
    assert not list(folder.iterdir())


# Interrupted.

OURS = str(pathlib.Path(llmlog.__file__).parent)


class Unlocked(logging.Handler):
    """Keeps records without a lock: what an interrupt does to those of `logging` is not what is tested."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def handle(self, record: logging.LogRecord) -> bool:
        self.records.append(record)
        return True


def by_close() -> None:
    a_stream().close()


def by_exhaustion() -> None:
    list(llmlog.stream(["a"], provider="text"))


def by_an_exception() -> None:
    with pytest.raises(ValueError, match="off"), llmlog.call(model="gpt-4o-mini"):
        raise ValueError("off")


def by_the_end_of_its_request() -> None:
    with llmlog.request():
        stream = a_stream()
    del stream


def by_flush() -> None:
    stream = a_stream()
    llmlog.flush(PATIENCE)
    del stream


@contextmanager
def watched() -> Iterator[None]:
    """For what only the main thread can do: a deadlock ends the run, and says where."""
    faulthandler.dump_traceback_later(3 * PATIENCE, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


WAYS = [by_close, by_exhaustion, by_an_exception, by_the_end_of_its_request, by_flush]


def begun_ids(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the calls that begin from now on."""
    ids: list[str] = []
    begin = llmlog.lifecycle.Life.begin

    def noted(self: Any, **options: Any) -> Any:
        done = begin(self, **options)
        if self.call_id not in ids:
            ids.append(self.call_id)
        return done

    monkeypatch.setattr(llmlog.lifecycle.Life, "begin", noted)
    return ids


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # test_an_interrupted_constructor()
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("end", WAYS)
def test_interrupted_at_each_call(
    end: Callable[[], None], error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal's exception wherever one may come on the way of a call: its record comes, at worst twice, by one id."""
    handler, ids = Unlocked(), begun_ids(monkeypatch)
    with watched(), attached(handler, "llmlog.calls"):
        end()  # what is done once is done
        for number in itertools.count():
            if not interrupted(end, error, number):
                break
            worker.wait(PATIENCE)
        assert number > 50, "it went another way"
        gc.collect()
        assert llmlog.flush(PATIENCE)
        found = call_ids(handler.records)
        assert not set(ids) - set(found), "lost"
        assert max(found.values()) <= 2


def interrupted(work: Callable[[], None], error: type[BaseException], at: int) -> bool:
    """Raise `error` where a signal's handler may run in ours: where a function begins, or one written in C is done.

    Not inside a finaliser, where it would be printed. False: `work` was over before.
    """
    places = itertools.count()
    struck = False

    def profile(frame: FrameType, event: str, argument: object) -> None:
        nonlocal struck
        if event not in ("call", "c_return") or not frame.f_code.co_filename.startswith(OURS):
            return
        if next(places) >= at and not in_a_finaliser(frame):
            sys.setprofile(None)
            struck = True
            raise error("a signal's")

    before = sys.getprofile()
    context = contextvars.copy_context()
    sys.setprofile(profile)
    try:
        context.run(work)
    except error:
        pass
    finally:
        sys.setprofile(before)
    return struck


def in_a_finaliser(frame: FrameType | None) -> bool:
    """Whether an exception would not come out, but be printed."""
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def interrupted_anywhere(work: Callable[[], None]) -> None:
    """Interrupt it at each place in turn."""
    for number in itertools.count():
        if not interrupted(work, KeyboardInterrupt, number):
            return


def test_an_interrupted_constructor(llm_calls: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that was never made has nothing to end, and says nothing on stderr."""
    said: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: said.append(repr(unraisable.exc_value)))
    with watched():
        by_exhaustion()  # what is done once is done
        interrupted_anywhere(by_exhaustion)
    assert not said


def test_an_interrupted_drain() -> None:
    """Jobs that were taken and not done are done by the next who comes by."""
    done: list[int] = []
    with watched():
        for number in itertools.count():
            for _ in range(3):
                worker._jobs.append(lambda number=number: done.append(number))  # type: ignore[misc]  # wakes nobody
            struck = interrupted(worker.drain, KeyboardInterrupt, number)
            worker.drain()
            assert done.count(number) >= 3, "lost"
            if not struck:
                break
    assert number > 5


def test_an_interrupted_drain_is_over() -> None:
    """Nobody waits for a thread that was interrupted: neither flush() elsewhere nor a fork."""
    with watched():
        for number in itertools.count():
            worker._jobs.append(int)  # wakes nobody
            if not interrupted(worker.drain, KeyboardInterrupt, number):
                break
            worker.drain()
    assert threading.get_ident() not in worker._busy.values()


def test_an_interrupted_enter(llm_calls: Records) -> None:
    """A block that was never entered is not under way: what comes next is a call of its own."""

    def enter() -> None:
        block = llmlog.call()
        call_id, was_interrupted = block.call_id, False
        try:
            block.__enter__()
        except KeyboardInterrupt:
            was_interrupted = True
        del block
        if was_interrupted:
            shared.append(llmlog.stream(["a"], provider="text")._call.call_id == call_id)
            raise KeyboardInterrupt

    shared: list[bool] = []
    with watched():
        interrupted_anywhere(enter)
    assert shared
    assert not any(shared)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # test_an_interrupted_constructor()
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no timers that send signals")
@pytest.mark.parametrize("end", WAYS)
def test_interrupted_by_a_timer(end: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Real signals, at moments that nobody has chosen."""
    handler, ids, chance = Unlocked(), begun_ids(monkeypatch), random.Random(7)

    def strike(number: int, frame: FrameType | None) -> None:
        if frame is not None and frame.f_code.co_filename.startswith(OURS) and not in_a_finaliser(frame):
            raise KeyboardInterrupt
        # Not in ours: a moment later; a longer one where a busy machine lets the signals interrupt their own handler.
        again = frame is not None and frame.f_code is strike.__code__
        signal.setitimer(signal.ITIMER_REAL, 1e-2 if again else 1e-5)

    before = signal.signal(signal.SIGALRM, strike)
    try:
        with watched(), attached(handler, "llmlog.calls"):
            end()
            for _ in range(150):
                try:
                    context = contextvars.copy_context()
                    signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-5, 1e-3))
                    context.run(end)
                except KeyboardInterrupt:
                    pass
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            gc.collect()
            assert llmlog.flush(PATIENCE)
            assert not set(ids) - set(call_ids(handler.records)), "lost"
    finally:
        signal.signal(signal.SIGALRM, before)
