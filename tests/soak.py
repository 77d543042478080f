"""Calls with every ending there is, in processes that are killed at any moment: each has its record, and one only.

    python tests/soak.py [--calls 20000] [--workers 4] [--seed N]          (or `make soak`)

Starts workers that make calls in several threads and event loops with a journal on, kills them by SIGKILL at random
moments and starts others, which recover what the dead ones have left, several at the same time. Each call bears a
`soak_id`, and a ledger has a line before it begins and one after, so that for every call it is known whether it began.
At the end the ledgers and the records are compared. Exit code 1 where anything is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import faulthandler
import gc
import itertools
import json
import logging
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import llmlog
from llmlog import journal
from llmlog.handlers import JSONLinesHandler
from llmlog.middleware import ASGIMiddleware
from llmlog.testing import Script, serve

MODEL = "gpt-4o-mini"
MESSAGES = [{"role": "user", "content": "Where is my parcel?"}]
PATIENCE = 600.0  # seconds for all of it
FIRST_SHOWN = 5  # violations of each kind
SHARED = "records-shared.jsonl"
THREADS = 2  # of a worker, beside its main thread and its event loop

WHOLE = list(Script(["Hello", " world", "."]).openai_chunks())
CUT_SHORT = list(Script(["Hello", " world"], "short").openai_chunks())
AT_FINISH = next(n for n, chunk in enumerate(WHOLE) if chunk["choices"] and chunk["choices"][0]["finish_reason"])
LONG_TEXT = ["The parcel left our warehouse. " * 30] * 30  # over what a thread counts itself


# What a call does ---------------------------------------------------------------------------------


class ConsumerError(Exception):
    """What the consumer raises."""


class Ledger:
    """The file of a worker that says which calls it is about to begin, and which have begun."""

    def __init__(self, path: pathlib.Path) -> None:
        self._fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

    def note(self, line: str) -> None:
        """One write, so that it is there, whole, whenever this process is killed."""
        os.write(self._fd, f"{line}\n".encode())


@dataclass
class One:
    """One call that is to be made, and noted."""

    id: str
    kind: str
    ledger: Ledger
    random: random.Random

    def about(self) -> None:
        self.ledger.note(f"about {self.id} {self.kind}")

    def begun(self) -> None:
        if self.random.random() < 0.05:
            time.sleep(0.002)  # a kill is to fall in here now and then, too
        self.ledger.note(f"begun {self.id}")

    def stream(self, source: Any, **options: Any) -> Any:
        """The source as an observed stream: the call has begun."""
        self.about()
        made = llmlog.stream(source, model=MODEL, input=MESSAGES, soak_id=self.id, **options)
        self.begun()
        return made

    @contextlib.contextmanager
    def call(self) -> Iterator[Any]:
        """The block around a sending: the call has begun."""
        self.about()
        with llmlog.call(model=MODEL, input=MESSAGES, soak_id=self.id) as call:
            self.begun()
            yield call


Does = Callable[[One], Any]
ENDS: dict[str, set[tuple[str, str]]] = {}
"""How the calls of each kind may end, beside being lost."""
SYNC: dict[str, Does] = {}
ASYNC: dict[str, Callable[[One], Awaitable[None]]] = {}
OPENAI: dict[str, Callable[[One, Any], None]] = {}
ASYNC_OPENAI: dict[str, Callable[[One, Any], Awaitable[None]]] = {}

EXIT = "aborted interpreter_exit"
SETTLED = "aborted loop_left"  # a flush() in another thread settles what is read by next() and not being waited for


def ends(into: dict[str, Any], *how: str) -> Callable[[Any], Any]:
    """Put a function among the kinds of calls; each of `how` is an outcome and an `ended_by`."""

    def add(does: Any) -> Any:
        into[does.__name__] = does
        ENDS[does.__name__] = {(outcome, ended_by) for outcome, ended_by in map(str.split, how)}
        return does

    return add


@ends(SYNC, "completed exhausted")
def ran_out(one: One) -> None:
    for _ in one.stream(WHOLE):
        pass


@ends(SYNC, "completed exhausted")
def text_ran_out(one: One) -> None:
    for _ in one.stream(["Hello", " world"], provider="text"):
        pass


@ends(SYNC, "completed exhausted")
def long_text(one: One) -> None:
    for _ in one.stream(LONG_TEXT, provider="text"):
        pass


@ends(SYNC, "incomplete exhausted")
def cut_short(one: One) -> None:
    for _ in one.stream(CUT_SHORT):
        pass


@ends(SYNC, "aborted close", SETTLED)
def closed(one: One) -> None:
    stream = one.stream(WHOLE)
    for _ in range(one.random.randrange(1, AT_FINISH)):
        next(stream)
    stream.close()


@ends(SYNC, "aborted context_exit")
def left_with(one: One) -> None:
    with one.stream(WHOLE) as stream:
        for _ in stream:
            break


@ends(SYNC, "aborted loop_left")
def break_dropped(one: One) -> None:
    for _ in one.stream(WHOLE):
        break


@ends(SYNC, "aborted loop_left")
def break_held_by_request(one: One) -> None:
    with llmlog.request(feature="soak"):
        stream = one.stream(WHOLE)
        for _ in stream:
            break
        other = llmlog.current()["feature"]
    del stream, other


@ends(SYNC, "aborted loop_left")
def break_held_till_flush(one: One) -> None:
    stream = one.stream(WHOLE)
    for _ in stream:
        break
    llmlog.flush()
    del stream


@ends(SYNC, "completed loop_left")
def break_after_finish(one: One) -> None:
    for number, _ in enumerate(one.stream(WHOLE)):
        if number == AT_FINISH:
            break


@ends(SYNC, "aborted garbage_collected")
def never_iterated(one: One) -> None:
    one.stream(WHOLE)


@ends(SYNC, "aborted close")
def never_iterated_closed(one: One) -> None:
    one.stream(WHOLE).close()


@ends(SYNC, "aborted loop_left", "aborted garbage_collected", EXIT)
def in_a_cycle(one: One) -> None:
    stream = one.stream(WHOLE)
    if one.random.random() < 0.5:
        for _ in stream:
            break
    cycle: list[Any] = [stream]
    cycle.append(cycle)


@ends(SYNC, "error exception")
def source_fails(one: One) -> None:
    def source() -> Iterator[Any]:
        yield from WHOLE[:2]
        raise ConnectionResetError("cut")

    with contextlib.suppress(ConnectionResetError):
        for _ in one.stream(source()):
            pass


@ends(SYNC, "aborted consumer_exception")
def consumer_fails_with(one: One) -> None:
    with contextlib.suppress(ConsumerError), one.stream(WHOLE) as stream:
        for _ in stream:
            raise ConsumerError


@ends(SYNC, "aborted loop_left")
def consumer_fails(one: One) -> None:
    with contextlib.suppress(ConsumerError):
        for _ in one.stream(WHOLE):
            raise ConsumerError


@ends(SYNC, "aborted loop_left")
def own_generator(one: One) -> None:
    def users() -> Iterator[Any]:
        for chunk in one.stream(WHOLE):  # noqa: UP028 - `yield from` is another way, the next one
            yield chunk

    generator = users()
    next(generator)
    if one.random.random() < 0.5:
        generator.close()  # type: ignore[attr-defined]


@ends(SYNC, "aborted loop_left", "completed loop_left", "completed exhausted")
def own_yield_from(one: One) -> None:
    @llmlog.request(feature="soak")
    def users() -> Iterator[Any]:
        yield from one.stream(WHOLE)

    for _ in users():
        if one.random.random() < 0.3:
            break


@ends(SYNC, "aborted garbage_collected", SETTLED)
def next_only(one: One) -> None:
    next(one.stream(WHOLE))


@ends(SYNC, "aborted loop_left")
def next_only_held_by_request(one: One) -> None:
    with llmlog.request():
        stream = one.stream(WHOLE)
        next(stream)
    del stream


@ends(SYNC, "error exception")
def sending_fails(one: One) -> None:
    with contextlib.suppress(ConnectionRefusedError), one.call():
        raise ConnectionRefusedError("nobody is there")


@ends(SYNC, "completed exhausted")
def whole_answer(one: One) -> None:
    with one.call() as call:
        call.finish({"object": "chat.completion", "model": MODEL, "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}]})  # fmt: skip


@ends(SYNC, "completed exhausted")
def outlives_its_block(one: One) -> None:
    with one.call() as call:
        stream = call.stream(WHOLE)
    for _ in stream:
        pass


@ends(SYNC, "aborted context_exit")
def block_left(one: One) -> None:
    with one.call():
        pass


@ends(SYNC, "aborted consumer_exception")
def block_fails_later(one: One) -> None:
    with contextlib.suppress(ConsumerError), one.call() as call:
        stream = call.stream(WHOLE)  # held, so that it is the block that tells
        for _ in stream:
            raise ConsumerError


@ends(SYNC, "completed exhausted")
def ends_in_another_thread(one: One) -> None:
    stream = one.stream(WHOLE)
    next(iter_of := iter(stream))
    thread = threading.Thread(target=lambda: list(iter_of))
    thread.start()
    thread.join()


# The same with `async for`.


async def source(then: str = "end") -> AsyncIterator[Any]:
    """Chunks, with a switch to other tasks before each; then the end, a fault or nothing any more."""
    for chunk in WHOLE if then == "end" else CUT_SHORT:
        await asyncio.sleep(0)
        yield chunk
    if then == "cut":
        raise ConnectionResetError("cut")
    if then == "hang":
        await asyncio.Event().wait()


@ends(ASYNC, "completed exhausted")
async def async_ran_out(one: One) -> None:
    async for _ in one.stream(source()):
        pass


@ends(ASYNC, "incomplete exhausted")
async def async_cut_short(one: One) -> None:
    async for _ in one.stream(source("short")):
        pass


@ends(ASYNC, "aborted loop_left")
async def async_break(one: One) -> None:
    async for _ in one.stream(source()):
        break


@ends(ASYNC, "aborted close")
async def async_closed(one: One) -> None:
    stream = one.stream(source("hang"))
    async for _ in stream:
        await stream.aclose()
        break


@ends(ASYNC, "aborted context_exit")
async def async_left_with(one: One) -> None:
    async with one.stream(source("hang")) as stream:
        async for _ in stream:
            break


@ends(ASYNC, "error exception")
async def async_source_fails(one: One) -> None:
    with contextlib.suppress(ConnectionResetError):
        async for _ in one.stream(source("cut")):
            pass


@ends(ASYNC, "aborted consumer_exception")
async def async_consumer_fails_with(one: One) -> None:
    with contextlib.suppress(ConsumerError):
        async with one.stream(source()) as stream:
            async for _ in stream:
                raise ConsumerError


@ends(ASYNC, "aborted garbage_collected")
async def async_never_iterated(one: One) -> None:
    one.stream(source())


@ends(ASYNC, "aborted loop_left")
async def async_own_generator(one: One) -> None:
    async def users() -> AsyncIterator[Any]:
        async for chunk in one.stream(source("hang")):
            yield chunk

    async for _ in users():
        break


@ends(ASYNC, "cancelled cancellation")
async def async_cancelled(one: One) -> None:
    waits = asyncio.Event()

    async def reads() -> None:
        async with one.stream(source("hang")) as stream:
            number = 0
            async for _ in stream:
                number += 1
                if number == len(CUT_SHORT):
                    waits.set()

    task = asyncio.create_task(reads())
    await waits.wait()
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@ends(ASYNC, "cancelled cancellation")
async def async_timed_out(one: One) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.005):
            async for _ in one.stream(source("hang")):
                pass
            await asyncio.Event().wait()


@ends(ASYNC, "error exception")
async def async_sending_fails(one: One) -> None:
    with contextlib.suppress(ConnectionRefusedError), one.call():
        await asyncio.sleep(0)
        raise ConnectionRefusedError("nobody is there")


@ends(ASYNC, "cancelled client_disconnect")
async def async_hung_up(one: One) -> None:
    """A web request whose client goes away, as servers tell it."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        stream = one.stream(source("hang"))
        async for _ in stream:
            if (await receive())["type"] == "http.disconnect":
                break

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError(message)

    await ASGIMiddleware(application)({"type": "http", "headers": []}, receive, send)


# With the SDK against a server: the last message says what it is to play.

SCRIPTS = {
    **{then: Script(["Hello", " world"], then) for then in ("end", "short", "cut", "error", "hang")},  # type: ignore[arg-type]
    "401": Script(status=401),
}


def asked(play: str) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": play}], "stream": True}


def played(body: dict[str, Any]) -> Script:
    return SCRIPTS[body["messages"][-1]["content"]]


@ends(OPENAI, "completed exhausted")
def sdk_ran_out(one: One, client: Any) -> None:
    with one.call():
        stream = client.chat.completions.create(**asked("end"))
    for _ in stream:
        pass


@ends(OPENAI, "completed exhausted")
def sdk_whole(one: One, client: Any) -> None:
    with one.call():
        client.chat.completions.create(**{**asked("end"), "stream": False})


@ends(OPENAI, "aborted loop_left")
def sdk_break(one: One, client: Any) -> None:
    with one.call():
        stream = client.chat.completions.create(**asked("hang"))
    for _ in stream:
        break


@ends(OPENAI, "incomplete exhausted")
def sdk_short(one: One, client: Any) -> None:
    for _ in one.stream(llmlog.unwrap(client).chat.completions.create(**asked("short"))):
        pass


@ends(OPENAI, "error exception")
def sdk_fails(one: One, client: Any) -> None:
    import openai

    with contextlib.suppress(openai.APIError), one.call():
        for _ in client.chat.completions.create(**asked(one.random.choice(["cut", "error", "401"]))):
            pass


@ends(OPENAI, "aborted close")
def sdk_closed(one: One, client: Any) -> None:
    stream = one.stream(llmlog.unwrap(client).chat.completions.create(**asked("hang")))
    for _ in stream:
        stream.close()
        break


@ends(ASYNC_OPENAI, "completed exhausted")
async def async_sdk_ran_out(one: One, client: Any) -> None:
    with one.call():
        stream = await client.chat.completions.create(**asked("end"))
    async for _ in stream:
        pass


@ends(ASYNC_OPENAI, "cancelled cancellation")
async def async_sdk_cancelled(one: One, client: Any) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.2):
            with one.call():
                async for _ in await client.chat.completions.create(**asked("hang")):
                    pass


# Calls that are open while many others come and go.


class Held:
    """A few open streams of a thread: each is gone on with now and then, and ends in any way or with its process."""

    KIND = "held"

    def __init__(self) -> None:
        self._streams: list[Any] = []

    def step(self, new: Callable[[str], One], chance: random.Random) -> None:
        """Open one more, or read on in one that is open, or end it."""
        if len(self._streams) < 4:
            chunks = itertools.chain(WHOLE[:2], itertools.repeat(WHOLE[1]))
            self._streams.append(new(self.KIND).stream(chunks))
            return
        number = chance.randrange(len(self._streams))
        does = chance.random()
        if does < 0.6:
            next(self._streams[number])
        elif does < 0.8:
            self._streams.pop(number).close()
        else:
            del self._streams[number]


ENDS[Held.KIND] = {("aborted", how) for how in ("close", "garbage_collected", "interpreter_exit", "loop_left")}


# A worker -----------------------------------------------------------------------------------------


class Worker:
    """A process that makes calls until its standard input is closed."""

    def __init__(self, folder: pathlib.Path, number: int, url: str, seed: str, with_sdk: bool) -> None:
        self._number, self._url, self._seed, self._with_sdk = number, url, seed, with_sdk
        self._stop = threading.Event()
        self._failures: list[BaseException] = []
        self._ledger = Ledger(folder / f"ledger-{number}")
        # Half of the workers share one file.
        name = f"records-{number}.jsonl" if number % 2 else SHARED
        logger = logging.getLogger("llmlog.calls")
        logger.addHandler(JSONLinesHandler(folder / name))
        logger.setLevel(logging.INFO)
        llmlog.configure(journal=folder / "journal")

    def run(self) -> None:
        """Make calls in several threads, the main one among them."""
        threading.Thread(target=self._wait_for_end, daemon=True).start()
        threads = [threading.Thread(target=self._watched, args=(self._loop, n)) for n in range(1, THREADS + 1)]
        threads.append(threading.Thread(target=self._watched, args=(self._event_loops, THREADS + 1)))
        for thread in threads:
            thread.start()
        self._watched(self._loop, 0)
        for thread in threads:
            thread.join()
        if self._failures:
            raise self._failures[0]

    def _wait_for_end(self) -> None:
        os.read(0, 1)  # not by sys.stdin: its lock would be held when the interpreter exits
        self._stop.set()

    def _watched(self, runs: Callable[[int], None], number: int) -> None:
        try:
            runs(number)
        except BaseException as error:
            self._failures.append(error)
            self._stop.set()

    def _maker(self, thread: int) -> tuple[Callable[[str], One], random.Random]:
        chance, numbers = random.Random(f"{self._seed}.{thread}"), itertools.count()
        return lambda kind: One(f"w{self._number}.{thread}-{next(numbers)}", kind, self._ledger, chance), chance

    def _loop(self, thread: int) -> None:
        new, chance = self._maker(thread)
        held, client = Held(), self._client(asynchronous=False) if thread == 1 else None
        kinds = list(SYNC)
        while not self._stop.is_set():
            does = chance.random()
            if does < 0.15:
                held.step(new, chance)
            elif does < 0.2 and client is not None:
                kind = chance.choice(list(OPENAI))
                OPENAI[kind](new(kind), client)
            elif does < 0.21:
                gc.collect()
            else:
                kind = chance.choice(kinds)
                SYNC[kind](new(kind))
        if chance.random() < 0.5:
            KEPT.append(held)  # open until the interpreter exits

    def _event_loops(self, thread: int) -> None:
        new, chance = self._maker(thread)
        while not self._stop.is_set():
            asyncio.run(self._tasks(new, chance))

    async def _tasks(self, new: Callable[[str], One], chance: random.Random) -> None:
        client = self._client(asynchronous=True)
        kinds = list(ASYNC)
        for _ in range(20):
            if self._stop.is_set():
                break
            async with asyncio.TaskGroup() as group:
                for _ in range(8):
                    kind = chance.choice(kinds)
                    group.create_task(_awaited(ASYNC[kind](new(kind))))
                if client is not None:
                    kind = chance.choice(list(ASYNC_OPENAI))
                    group.create_task(_awaited(ASYNC_OPENAI[kind](new(kind), client)))
        if client is not None:
            await client.close()

    def _client(self, *, asynchronous: bool) -> Any:
        if not self._with_sdk:
            return None
        import openai

        kind = openai.AsyncOpenAI if asynchronous else openai.OpenAI
        return llmlog.wrap(kind(base_url=self._url, api_key="sk-test", max_retries=0))


KEPT: list[Any] = []


async def _awaited(one: Awaitable[None]) -> None:
    await one


# The parent ---------------------------------------------------------------------------------------


@dataclass
class Running:
    """A worker as its parent sees it."""

    process: subprocess.Popen[bytes]
    ledger: pathlib.Path
    stderr: pathlib.Path
    lives: float  # seconds, from its first call on, or from its start where it is to die early
    dies_early: bool
    started: float = field(default_factory=time.monotonic)
    begun: int = 0
    _read: int = 0

    def look(self) -> int:
        """How many calls have begun since the last look."""
        if not self.ledger.exists():
            return 0
        with self.ledger.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        new = new[: new.rfind(b"\n") + 1]
        self._read += len(new)
        count = sum(line.startswith(b"begun") for line in new.splitlines())
        if count and not self.begun and not self.dies_early:
            self.started = time.monotonic()
        self.begun += count
        return count

    def is_due(self) -> bool:
        return (self.dies_early or self.begun > 0) and time.monotonic() - self.started >= self.lives


class Soak:
    """The parent: starts workers, kills them, and checks what they have left."""

    def __init__(
        self, folder: pathlib.Path, calls: int, kills: int, workers: int, life: float, early: float, seed: int
    ) -> None:
        self.folder, self.workers, self.seed = folder, workers, seed
        self._calls, self._kills, self._life, self._early = calls, kills, life, early
        self._chance = random.Random(seed)
        self._numbers = itertools.count(1)
        self._running: list[Running] = []
        self._gone: list[Running] = []
        self._deadline = time.monotonic() + PATIENCE
        self._violations: defaultdict[str, list[str]] = defaultdict(list)
        self._torn = self._empty = 0
        self.kills = self.begun = 0

    def run(self) -> bool:
        """Whether everything holds; prints the table, and what does not hold."""
        started = time.monotonic()
        with serve(played) as server:
            try:
                self._run_workers(server.openai_url)
            finally:
                for one in self._running:  # something failed here: nothing is to be left behind
                    one.process.kill()
                    one.process.wait()
        self._recover()
        seconds = time.monotonic() - started
        self._check(seconds)
        for what, which in self._violations.items():
            shown = ", ".join(which[:FIRST_SHOWN]) + (", ..." if len(which) > FIRST_SHOWN else "")
            print(f"WRONG: {what}: {len(which)}: {shown}")
        return not self._violations

    def _run_workers(self, url: str) -> None:
        while self.begun < self._calls or self.kills < self._kills:
            if time.monotonic() > self._deadline:
                self._wrong("time is up before all calls have begun", f"{self.begun} of {self._calls}")
                break
            while len(self._running) < self.workers:
                self._start(url)
            time.sleep(0.005)
            for one in list(self._running):
                self.begun += one.look()
                if one.process.poll() is not None:
                    self._ended(one)
                elif one.is_due():
                    one.process.kill()
                    one.process.wait()
                    self.kills += 1
                    self._ended(one, killed=True)
        for one in self._running:
            assert one.process.stdin is not None
            one.process.stdin.close()
        for one in list(self._running):
            try:
                one.process.wait(max(1.0, min(60.0, self._deadline - time.monotonic())))
            except subprocess.TimeoutExpired:
                self._wrong("workers do not exit", str(one.ledger.name))
                one.process.send_signal(signal.SIGUSR1)  # it says where its threads are
                time.sleep(1)
                one.process.kill()
                one.process.wait()
                self.kills += 1
            self._ended(one)

    def _start(self, url: str) -> None:
        number = next(self._numbers)
        dies_early = self._chance.random() < self._early
        lives = self._chance.uniform(0.0, 1.0) if dies_early else 0.05 + self._chance.expovariate(1 / self._life)
        with_sdk = not dies_early and self._chance.random() < 0.3  # importing it takes a second
        command = [sys.executable, __file__, "worker", str(self.folder), str(number), url, f"{self.seed}-{number}"]
        stderr = self.folder / f"stderr-{number}"
        with stderr.open("wb") as output:
            process = subprocess.Popen(
                [*command, *(["sdk"] if with_sdk else [])], stdin=subprocess.PIPE, stderr=output, stdout=output
            )
        self._running.append(Running(process, self.folder / f"ledger-{number}", stderr, lives, dies_early))

    def _ended(self, one: Running, *, killed: bool = False) -> None:
        self._running.remove(one)
        self._gone.append(one)
        self.begun += one.look()
        assert one.process.stdin is not None
        one.process.stdin.close()
        if not killed and one.process.returncode != 0:
            self._wrong("workers failed", f"{one.ledger.name}: exit code {one.process.returncode}")
        if told := one.stderr.read_text(errors="replace").strip():
            self._wrong("workers have printed something", f"{one.stderr.name}: {told[:1500]}")

    def _recover(self) -> None:
        """What those that were killed last have left."""
        handler, logger = JSONLinesHandler(self.folder / "records-parent.jsonl"), logging.getLogger("llmlog.calls")
        logger.addHandler(handler)
        try:
            journal.recover(self.folder / "journal")
        finally:
            logger.removeHandler(handler)
            handler.close()
        for file in (self.folder / "journal").iterdir():
            self._wrong("files are left in the journal", file.name)

    def _check(self, seconds: float) -> None:
        about, begun = self._ledgers()
        records_of: defaultdict[str, list[str]] = defaultdict(list)
        table: Counter[tuple[str, str]] = Counter()
        seen: Counter[str] = Counter()
        for file in sorted(self.folder.glob("records-*.jsonl")):
            for record in self._records(file):
                id, record_id = str(record.get("soak_id")), str(record.get("record_id"))
                seen[record_id] += 1
                if seen[record_id] > 1:
                    continue
                records_of[id].append(record_id)
                how = str(record.get("outcome")), str(record.get("ended_by"))
                table[how] += 1
                if id not in about:
                    self._wrong("records of calls that nobody was about to begin", id)
                elif how not in ENDS[about[id]] and how != ("lost", "recovery"):
                    self._wrong("calls that ended in another way", f"{id} {about[id]}: {' by '.join(how)}")
        for id in sorted(begun - records_of.keys()):
            self._wrong("calls without a record", f"{id} {about[id]}")
        for id, found in records_of.items():
            if len(found) > 1:
                self._wrong("calls with several records", f"{id} {' '.join(found)}")
        repeats = sum(seen.values()) - len(seen)
        if self._torn > self.kills:
            self._wrong("more half lines than kills", f"{self._torn} half lines, {self.kills} kills")
        if repeats > self.kills:
            self._wrong("more repeats than kills", f"{repeats} repeats, {self.kills} kills")
        if not table:
            self._wrong("no records", str(self.folder))
        self._print(table)
        print(
            f"{len(begun)} calls begun, {len(records_of)} recorded: {len(records_of.keys() - begun)} of them of "
            f"processes that were killed before they could say that the call had begun\n"
            f"{len(self._gone)} processes, {self.kills} killed; {table['lost', 'recovery']} calls recovered; "
            f"{repeats} repeats, {self._torn} half lines, {self._empty} empty ones\n"
            f"{seconds:.1f} s, {len(begun) / seconds:.0f} calls/s; seed {self.seed}"
        )

    def _ledgers(self) -> tuple[dict[str, str], set[str]]:
        """The calls that were to begin, with their kinds, and those that did."""
        about: dict[str, str] = {}
        begun = set()
        for one in self._gone:
            for line in one.ledger.read_text().splitlines() if one.ledger.exists() else ():
                word, id, *kind = line.split()
                if word == "about":
                    about[id] = kind[0]
                else:
                    begun.add(id)
        return about, begun

    def _records(self, file: pathlib.Path) -> Iterator[dict[str, Any]]:
        lines = file.read_bytes().splitlines(keepends=True)
        for number, line in enumerate(lines, 1):
            if line == b"\n" and file.name == SHARED:  # of a process that opened it while another was writing
                self._empty += 1
                continue
            try:
                if not line.endswith(b"\n"):
                    raise ValueError("no end of line")
                record = json.loads(line)
            except ValueError as error:
                # The system may stop a write in its middle for a kill: half a line, and its call is in the journal. It
                # is the last one of a process, and no other process's line may be spoilt by it.
                is_half = line.count(b'{"timestamp":') == 1 and (number == len(lines) or file.name == SHARED)
                if not is_half:
                    self._wrong("broken lines", f"{file.name} line {number}: {error}: {line[:80]!r}")
                self._torn += is_half
            else:
                if record.get("event") == "llm.call":
                    yield record

    def _wrong(self, what: str, which: str) -> None:
        self._violations[what].append(which)

    def _print(self, table: Counter[tuple[str, str]]) -> None:
        outcomes = sorted({outcome for outcome, _ in table})
        endings = sorted({ended_by for _, ended_by in table})
        width = max(map(len, [*endings, "total"]), default=5)
        print(" " * width, *(f"{outcome:>10}" for outcome in [*outcomes, "total"]))
        for ended_by in endings:
            counts = [table[outcome, ended_by] for outcome in outcomes]
            print(f"{ended_by:<{width}}", *(f"{count or '-':>10}" for count in [*counts, sum(counts)]))
        totals = [sum(table[outcome, ended_by] for ended_by in endings) for outcome in outcomes]
        print(f"{'total':<{width}}", *(f"{count:>10}" for count in [*totals, sum(totals)]), flush=True)


def main() -> int:
    """Run as the parent, or as a worker."""
    if sys.argv[1:2] == ["worker"]:
        faulthandler.register(signal.SIGUSR1)
        folder, number, url, seed, *sdk = sys.argv[2:]
        Worker(pathlib.Path(folder), int(number), url, seed, bool(sdk)).run()
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=100, help="at the least")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--life", type=float, default=2.0, help="seconds that a worker lives, on the average")
    parser.add_argument("--early", type=float, default=0.25, help="the share of those killed in their first second")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    if hasattr(signal, "alarm"):  # where even the parent hangs; workers end when it is gone
        signal.alarm(int(PATIENCE) + 90)
    with tempfile.TemporaryDirectory(prefix="llmlog-soak-") as made:
        soak = Soak(
            pathlib.Path(made), options.calls, options.kills, options.workers, options.life, options.early, options.seed
        )
        holds = soak.run()
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
