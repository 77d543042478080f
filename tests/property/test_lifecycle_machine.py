"""Random lives of many calls at once: whatever is interleaved, each call has one record, and it tells what happened.

A small model says what each record has to be. The first machine plays the application; the second one kills it at any
moment and reads its journal.
"""

from __future__ import annotations

import asyncio
import contextvars
import faulthandler
import gc
import json
import logging
import os
import pathlib
import sys
import tempfile
import threading
import types
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
from conftest import Records, chunk, usage_chunk
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

import llmlog
from llmlog import faults, journal, lifecycle, worker

PATIENCE = 30.0  # seconds after which a thread or a child counts as stuck; nothing waits that long


class Broken(Exception):
    """What a source or a consumer of these tests raises."""


ERRORS: list[type[BaseException]] = [Broken, TimeoutError, asyncio.CancelledError, KeyboardInterrupt]
LEAVING: list[type[BaseException] | None] = [None, *ERRORS, GeneratorExit, SystemExit]
HOW_IT_LEFT = {None: "context_exit", GeneratorExit: "context_exit", SystemExit: "interpreter_exit",
               asyncio.CancelledError: "cancellation", KeyboardInterrupt: "cancellation"}  # fmt: skip


ANSWER = {
    "object": "chat.completion",
    "model": "gpt-4o-mini",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
}


@types.coroutine
def pause() -> Generator[None, None, None]:
    """Wait until the test goes on, as a coroutine does for the network."""
    yield


class Source:
    """Gives its chunks, then raises its error, once. Where `waits`, an async one has the network to wait for."""

    def __init__(self, chunks: list[Any], error: BaseException | None) -> None:
        self.chunks, self.error, self.place, self.waits = chunks, error, 0, False

    def give(self) -> Any:
        if self.place < len(self.chunks):
            self.place += 1
            return self.chunks[self.place - 1]
        error, self.error = self.error, None
        raise error or StopIteration


class SyncSource(Source):
    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self.give()


class AsyncSource(Source):
    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if self.waits:
            await pause()
        try:
            return self.give()
        except StopIteration:
            raise StopAsyncIteration from None


def finished(coroutine: Any) -> Any:
    """What a coroutine returns that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")


def how_it_left(error: BaseException | None) -> str:
    """The `ended_by` of a `with` that is left by `error`."""
    return HOW_IT_LEFT.get(type(error) if error is not None else None, "consumer_exception")


def consumer(stream: Any, in_with: bool) -> Iterator[Any]:
    """A user's generator around a stream."""
    with stream if in_with else nullcontext():
        for one in stream:  # noqa: UP028 - as users write it; `yield from` would hand on close()
            yield one


async def async_consumer(stream: Any, in_with: bool) -> AsyncIterator[Any]:
    """The same around an asynchronous one."""
    async with stream if in_with else nullcontext():
        async for one in stream:
            yield one


class Live:
    """One call: what the application holds of it, and the model of what its record has to say."""

    def __init__(self, request: str | None) -> None:
        self.context = contextvars.copy_context()  # of its own, as each task has
        self.call_id = ""
        self.block: Any = None  # call(), entered
        self.stream: Any = None
        self.loops: list[Any] = []
        self.generator: Any = None
        self.in_with = self.in_loop = False  # the generator
        self.waiting: Any = None  # a coroutine that is at its pull
        self.source = Source([], None)
        self.is_async = self.is_text = False

        self.request = request
        self.delivered = 0
        self.streamed = self.driven = self.begun = False
        self.left = self.by_hand = self.settles = False  # settles: at the end of its request
        self.ended_by: frozenset[str] = frozenset()  # any of these
        self.later = False  # its record is made at a safe point
        self.least, self.most = 0, 0  # chunks that its record counts

    # The model.

    def ends(self, *ended_by: str, later: bool = False) -> None:
        """It ends now, in one of these ways, if it has not ended."""
        if not self.ended_by:
            self.ended_by, self.later = frozenset(ended_by), later
            self.least = self.most = self.delivered

    def finished_after(self, chunks: int) -> bool:
        """Whether a finish reason was among the first `chunks`."""
        return not self.is_text and chunk(finish="stop") in self.source.chunks[:chunks]

    def outcomes(self, ended_by: str) -> set[str]:
        """What the outcome may be: the table of endings."""
        finished = {self.finished_after(self.least), self.finished_after(self.most)}
        if ended_by == "exhausted":
            return {"completed" if done or self.is_text or not self.streamed else "incomplete" for done in finished}
        if ended_by in ("close", "context_exit", "loop_left", "garbage_collected"):
            return {"completed" if done else "aborted" for done in finished}
        return {{"exception": "error", "cancellation": "cancelled"}.get(ended_by, "aborted")}

    def check(self, record: dict[str, Any]) -> None:
        """The record is this call's, and says what has happened."""
        assert self.ended_by, f"a record before the end: {record['msg']}"
        assert record["record_id"] == self.call_id
        assert record["ended_by"] in self.ended_by
        if self.later:  # what is delivered until it is made is counted
            self.most = self.delivered
        assert record["outcome"] in self.outcomes(record["ended_by"])
        assert record.get("request_id") == self.request
        if self.streamed:
            assert self.least <= record["chunks"] <= self.most
        else:
            assert "chunks" not in record

    def resumed(self) -> None:
        """A loop begins: it is the loop that tells."""
        self.left = self.settles = False

    def loop_gone(self) -> None:
        """A loop was left; was it the last?"""
        if not self.loops and not self.in_loop:
            self.left, self.settles = True, self.request is not None

    def let_go(self) -> None:
        """Something was let go: where nothing is held any more, nobody can go on."""
        held = (None if self.driven else self.block, self.stream, self.generator, self.waiting)
        if not self.loops and all(one is None for one in held):
            self.ends("loop_left" if self.left else "garbage_collected", later=True)

    # What the application does.

    def open(self, source: Source, is_text: bool, stream: Callable[..., Any]) -> None:
        """The answer begins: `stream` wraps what is to be iterated over, a list where that will do."""
        self.source, self.is_text, self.is_async = source, is_text, isinstance(source, AsyncSource)
        self.streamed = self.driven = True
        self.stream = self.context.run(stream, source if self.is_async or source.error else source.chunks)

    def run(self, step: Callable[..., Any], *args: Any) -> Any:
        """One step to its end, in this call's own context."""
        made = self.context.run(step, *args)
        return self.context.run(finished, made) if self.is_async else made

    def places(self) -> list[Any]:
        """Where a chunk can be pulled."""
        return [one for one in (self.stream, *self.loops, self.generator) if one is not None and self.waiting is None]

    def asks(self, place: Any) -> None:
        """A chunk is about to be pulled there."""
        if place is self.generator and not self.in_loop:
            self.in_loop = True
            self.resumed()
        elif place is self.stream and not self.begun:
            self.by_hand, self.settles = True, self.request is not None
        self.begun = True

    def pull(self, place: Any) -> None:
        """Pull one chunk and compare it, or the end."""
        self.asks(place)
        self.gets(place, lambda: self.run(anext if self.is_async else next, place))

    def gets(self, place: Any, step: Callable[[], Any]) -> None:
        """What `step` brings: the next chunk, the end, or the source's own error."""
        error = self.source.error
        try:
            got = step()
        except (StopIteration, StopAsyncIteration):
            ended_by = "exhausted"
        except BaseException as raised:
            if raised is not error:
                raise
            raised.__traceback__ = None  # it holds the frames, and they hold the stream
            ended_by = "exception" if isinstance(raised, Exception) else "cancellation"
        else:
            assert got is self.source.chunks[self.delivered]
            self.delivered += 1
            return
        assert self.delivered == len(self.source.chunks)
        assert ended_by == "exhausted" or self.source.error is None
        self.ends(ended_by)
        if place is self.generator:
            self.generator, self.in_loop = None, False

    def leave_generator(self, error: BaseException | None, how: str = "") -> None:
        """Close it, drop it, or throw into it."""
        generator, self.generator = self.generator, None
        was_in_loop, self.in_loop = self.in_loop, False
        if was_in_loop and self.in_with:
            self.ends(how_it_left(error), later=error is None)
        if error is not None:
            try:
                self.run(generator.athrow if self.is_async else generator.throw, error)
            except BaseException as raised:
                if raised is not error:
                    raise
                raised.__traceback__ = None
        elif how == "close":
            self.run(generator.aclose if self.is_async else generator.close)
        del generator
        if was_in_loop:
            self.loop_gone()
        self.let_go()

    def close(self) -> None:
        """Its close(), in whichever thread."""
        closed = self.stream.close()
        if self.is_async:
            finished(closed)

    def leave(self, error: BaseException | None) -> None:
        """The end of a `with`, in whichever thread."""
        leave = self.stream.__aexit__ if self.is_async else self.stream.__exit__
        left = leave(type(error) if error is not None else None, error, None)
        assert not (finished(left) if self.is_async else left)

    def drop(self) -> None:
        """Let go of everything."""
        if self.generator is not None:
            self.leave_generator(None)
        self.waiting = None
        if self.loops:
            self.loops.clear()
            self.loop_gone()
        self.stream = self.block = None
        self.context = contextvars.Context()
        self.let_go()

    def drop_in_a_cycle(self) -> None:
        """The same, for a collection to find; in which order it lets go, nobody knows."""
        held = [self.stream, self.loops, self.generator, self.waiting, self.block, self.context]
        held.append(held)
        by_generator = ["context_exit"] if self.in_with and self.in_loop else []
        self.stream = self.block = self.generator = self.waiting = None
        self.loops, self.context = [], contextvars.Context()
        self.ends("loop_left", "garbage_collected", *by_generator, later=True)


@st.composite
def sources(draw: st.DrawFn) -> tuple[Source, bool]:
    """A source, and whether it is one of text."""
    is_text = draw(st.booleans())
    chunks: list[Any] = [f"piece {n} " for n in range(draw(st.integers(0, 4)))]
    if not is_text:
        chunks = [chunk(piece) for piece in chunks]
        if draw(st.booleans()):
            chunks += [chunk(finish="stop"), usage_chunk(9, 4)]
    error = draw(st.sampled_from([None, None, None, *ERRORS]))
    kind = draw(st.sampled_from([SyncSource, AsyncSource]))
    return kind(chunks, error("the source's own") if error else None), is_text


def made(error: type[BaseException] | None) -> BaseException | None:
    """An exception of this kind."""
    return None if error is None else error("the consumer's own")


class Application(RuleBasedStateMachine):
    """Many calls at once, and all that an application, its threads and its children may do to them."""

    lives: Bundle[Live] = Bundle("lives")

    def __init__(self) -> None:
        super().__init__()
        llmlog.flush()
        self.faults = faults.counts()
        self.handler = Records()
        logger = logging.getLogger("llmlog.calls")
        logger.addHandler(self.handler)
        logger.setLevel(logging.DEBUG)
        self.all: dict[str, Live] = {}
        self.checked: set[str] = set()
        self.requests: list[tuple[str, Any]] = []
        self.has_forked = False

    def begun(self, live: Live, call: Any) -> Live:
        live.call_id = call.call_id
        self.all[live.call_id] = live
        return live

    @property
    def request(self) -> str | None:
        return self.requests[-1][0] if self.requests else None

    # Requests.

    @rule()
    def begin_request(self) -> None:
        """A request, inside the one that is there."""
        scope = llmlog.request(llmlog.context.new_id())
        self.requests.append((scope.__enter__()["request_id"], scope))

    @precondition(lambda self: self.requests)
    @rule(inner=st.sampled_from([True, True, True, False]), error=st.sampled_from([None, Broken, GeneratorExit]))
    def leave_request(self, inner: bool, error: type[BaseException] | None) -> None:
        """Leave the innermost; now and then the outermost first, as tasks do."""
        request_id, scope = self.requests.pop(-1 if inner else 0)
        scope.__exit__(error, made(error), None)
        for live in self.all.values():
            if live.settles and live.request == request_id:
                live.ends("loop_left", later=error is GeneratorExit)

    # How calls begin.

    @rule(target=lives, source=sources())
    def stream(self, source: tuple[Source, bool]) -> Live:
        """A stream by hand."""
        live = Live(self.request)
        provider = "text" if source[1] else "openai"
        live.open(*source, lambda inner: llmlog.stream(inner, provider=provider))
        return self.begun(live, live.stream._call)

    @rule(target=lives)
    def block(self) -> Live:
        """A block around the sending; what comes in it is for other rules."""
        live = Live(self.request)
        live.block = live.context.run(llmlog.call(provider="openai").__enter__)
        return self.begun(live, live.block)

    @rule(live=lives, source=sources().filter(lambda source: not source[1]))
    def answer_in_block(self, live: Live, source: tuple[Source, bool]) -> None:
        """Its answer is streamed."""
        if live.block is not None and not live.driven:
            live.open(*source, live.block.stream)
            if live.ended_by:  # it was over before: another call, which is not in the model
                raise AssertionError("a block that is over has no answer")

    @rule(live=lives)
    def finish_in_block(self, live: Live) -> None:
        """Its answer arrives as a whole."""
        if live.block is not None and not live.driven:
            live.context.run(live.block.finish, ANSWER)
            live.driven = True
            live.ends("exhausted")

    @rule(live=lives, error=st.sampled_from(LEAVING))
    def leave_block(self, live: Live, error: type[BaseException] | None) -> None:
        """Leave it, whatever has become of its answer."""
        if live.block is None:
            return
        if not live.driven and error in (Broken, TimeoutError):
            live.ends("exception")
        elif not live.driven or error is not None:
            live.ends(how_it_left(made(error)), later=error is GeneratorExit)
        block, live.block = live.block, None
        live.context.run(block.__exit__, error, made(error), None)
        del block
        live.let_go()

    # How they are read.

    @rule(live=lives)
    def loop(self, live: Live) -> None:
        """Begin a loop, the first or one more."""
        if live.stream is not None:
            live.loops.append(aiter(live.stream) if live.is_async else iter(live.stream))
            live.resumed()

    @rule(live=lives, in_with=st.booleans())
    def user_generator(self, live: Live, in_with: bool) -> None:
        """A user's generator around it, suspended before its first step."""
        if live.stream is not None and live.generator is None:
            live.generator = (async_consumer if live.is_async else consumer)(live.stream, in_with)
            live.in_with = in_with

    @rule(live=lives, which=st.integers(0, 9), times=st.integers(1, 3))
    def pull(self, live: Live, which: int, times: int) -> None:
        """Pull some chunks, wherever that can be done."""
        if places := live.places():
            place = places[which % len(places)]
            for _ in range(times):
                if any(place is one for one in live.places()):
                    live.pull(place)

    @rule(live=lives, which=st.integers(0, 9))
    def begin_to_wait(self, live: Live, which: int) -> None:
        """A coroutine waits for the next chunk."""
        places = [place for place in live.places() if place is not live.generator]
        if live.is_async and places:
            place = places[which % len(places)]
            live.asks(place)
            live.source.waits = True
            live.waiting = live.context.run(anext, place)
            live.context.run(live.waiting.send, None)
            live.source.waits = False

    @rule(live=lives)
    def go_on_waiting(self, live: Live) -> None:
        """What it has waited for arrives."""
        if live.waiting is not None:
            waiting, live.waiting = live.waiting, None
            live.gets(None, lambda: live.context.run(finished, waiting))

    @rule(live=lives, error=st.sampled_from([asyncio.CancelledError, KeyboardInterrupt, TimeoutError]))
    def cancel(self, live: Live, error: type[BaseException]) -> None:
        """It is cancelled, or its timeout strikes, while it waits."""
        if live.waiting is not None:
            waiting, live.waiting = live.waiting, None
            with pytest.raises(error):
                live.context.run(waiting.throw, error())
            live.ends("exception" if error is TimeoutError else "cancellation")

    # How they end.

    @rule(live=lives)
    def close(self, live: Live) -> None:
        """close(), or aclose()."""
        if live.stream is not None:
            live.close()
            live.ends("close")

    @rule(live=lives, error=st.sampled_from(LEAVING))
    def leave_with(self, live: Live, error: type[BaseException] | None) -> None:
        """Leave a `with` around it."""
        if live.stream is not None:
            live.ends(how_it_left(made(error)), later=error is GeneratorExit)
            live.leave(made(error))

    @rule(live=lives, error=st.sampled_from([None, *ERRORS, SystemExit]), how=st.sampled_from(["close", "drop"]))
    def leave_generator(self, live: Live, error: type[BaseException] | None, how: str) -> None:
        """Close the user's generator, drop it, or throw an exception into it."""
        if live.generator is not None and live.waiting is None:
            live.leave_generator(made(error), how)

    @rule(live=lives)
    def break_off(self, live: Live) -> None:
        """Leave a loop: its iterator goes."""
        if live.loops and live.waiting is None:
            live.loops.pop()
            live.loop_gone()
            live.let_go()

    @rule(live=lives)
    def let_go_of_the_stream(self, live: Live) -> None:
        """The stream is no longer held, its loops may be."""
        if live.waiting is None:
            live.stream = None
            live.let_go()

    @rule(live=lives, in_a_cycle=st.booleans())
    def drop(self, live: Live, in_a_cycle: bool) -> None:
        """Let go of all of it."""
        live.drop_in_a_cycle() if in_a_cycle else live.drop()

    # Safe points.

    @rule()
    def collect(self) -> None:
        """A collection."""
        gc.collect()

    @rule()
    def drain(self) -> None:
        """Somebody does the waiting jobs."""
        worker.drain()

    @rule()
    def flush(self) -> None:
        """What was left is settled."""
        assert llmlog.flush()
        self.flushed()

    def flushed(self) -> None:
        for live in self.all.values():
            if live.waiting is None and (live.left or (live.by_hand and live.request is None)):
                live.ends("loop_left")

    # Threads and children.

    @rule(
        live=lives,
        ends=st.lists(st.sampled_from(["close", *LEAVING]), min_size=1, max_size=3),
        others=st.lists(st.sampled_from(["flush", "drain", "pull"]), max_size=3, unique=True),
    )
    def race(self, live: Live, ends: list[Any], others: list[str]) -> None:
        """Several threads end it at the same time, while another pulls."""
        if live.stream is None or live.waiting is not None:
            return
        place = live.places()[-1]
        before = live.delivered
        is_open, left_behind = not live.ended_by, live.source.error
        doings: list[Callable[[], Any]] = [
            live.close if end == "close" else partial(live.leave, made(end)) for end in ends
        ]
        doings += [{"flush": llmlog.flush, "drain": worker.drain}[one] for one in others if one != "pull"]
        possible = {"close" if end == "close" else how_it_left(made(end)) for end in ends}
        if is_open:
            live.ends(*possible, *(["loop_left"] if "flush" in others else []), later=True)
        if "pull" in others:
            doings.append(lambda: [live.pull(place) for _ in range(2) if place in live.places()])
        if is_open and "pull" in others:
            by_error = "exception" if isinstance(left_behind, Exception) else "cancellation"
            live.ended_by |= {by_error if left_behind else "exhausted"}
        at_once(doings)
        if "flush" in others:
            self.flushed()
        if is_open:
            assert worker.wait(PATIENCE)
            live.least, live.most, live.later = before, live.delivered, False
            gc.collect()

    @precondition(lambda self: self.all and not self.has_forked and hasattr(os, "fork"))
    @rule(how=st.lists(st.sampled_from(["pull", "close", "drop"]), min_size=1, max_size=4), seldom=st.integers(0, 2))
    def fork(self, how: list[str], seldom: int) -> None:
        """A child reads, ends and drops what it has inherited, and makes a call of its own."""
        if seldom:
            return
        self.has_forked = True
        report = in_child(lambda: self.child(how))
        assert report["faults"] == self.faults
        assert report["recorded"] == [report["own"]]

    def child(self, how: list[str]) -> dict[str, Any]:
        self.handler.records.clear()
        for place, live in enumerate(list(self.all.values())):
            doing = how[place % len(how)]
            if doing == "close" and live.stream is not None:
                live.close()
            elif doing == "drop":
                live.drop()
            elif places := live.places():
                live.pull(places[0])
        stream = llmlog.stream(["its", "own"], provider="text")
        own = stream._call.call_id
        assert list(stream) == ["its", "own"]
        gc.collect()
        assert llmlog.flush()
        recorded = [vars(one)["call_id"] for one in self.handler.records]
        return {"own": own, "recorded": recorded, "faults": faults.counts()}

    # What has to hold.

    @invariant()
    def records_are_of_ended_calls(self) -> None:
        """No record before its call's end, none twice, and each tells what happened."""
        records, self.handler.records = self.handler.records, []
        for record in map(vars, records):
            assert record["call_id"] not in self.checked, "a second record"
            self.checked.add(record["call_id"])
            self.all[record["call_id"]].check(record)
        due = {call_id for call_id, live in self.all.items() if live.ended_by and not live.later}
        assert due <= self.checked, "an ended call without its record"

    def teardown(self) -> None:
        """Every call that was begun has its record, once everything is let go."""
        logger = logging.getLogger("llmlog.calls")
        try:
            while self.requests:
                self.leave_request(True, None)
            for live in self.all.values():
                live.drop()
            gc.collect()
            assert llmlog.flush()
            self.records_are_of_ended_calls()
            assert self.checked == set(self.all)
            assert faults.counts() == self.faults
            assert not llmlog.current()
        finally:
            logger.removeHandler(self.handler)
            logger.setLevel(logging.NOTSET)


def at_once(doings: list[Callable[[], Any]]) -> None:
    """Do all of it at the same time, each in a thread; what one raises is raised here."""
    barrier, raised = threading.Barrier(len(doings)), []

    def run(doing: Callable[[], Any]) -> None:
        try:
            barrier.wait(PATIENCE)
            doing()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(doing,), daemon=True) for doing in doings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "a deadlock"
    for error in raised:
        raise error


def in_child(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `work` returns in a child process."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork: that is what is tested
        child = os.fork()
    if child == 0:
        try:
            faulthandler.dump_traceback_later(PATIENCE, exit=True, file=sys.__stderr__)
            os.write(writing, json.dumps(work()).encode())
        except BaseException as error:
            os.write(writing, json.dumps({"own": "", "recorded": [repr(error)], "faults": {}}).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as report:
        said = report.read()
    os.waitpid(child, 0)
    made: dict[str, Any] = json.loads(said)  # nothing: it was stuck
    return made


class Journal(RuleBasedStateMachine):
    """A process with a journal; at any moment it is as if it had been killed, and another one reads what it left."""

    lives: Bundle[Any] = Bundle("lives")

    def __init__(self) -> None:
        super().__init__()
        llmlog.flush()
        self.faults = faults.counts()
        self.handler = Records()
        logger = logging.getLogger("llmlog.calls")
        logger.addHandler(self.handler)
        logger.setLevel(logging.DEBUG)
        self.folder = tempfile.TemporaryDirectory()
        self.rewrite_at, journal._REWRITE_AT = journal._REWRITE_AT, 600  # bytes, so that it comes about
        journal.enable(self.folder.name)
        self.open: dict[str, Any] = {}
        self.delivered: dict[str, int] = {}
        self.noted: dict[str, int] = {}  # of them, at the last checkpoint

    @rule(target=lives, pieces=st.lists(st.text(max_size=5), max_size=6))
    def begin(self, pieces: list[str]) -> Any:
        """A call of this process."""
        stream = llmlog.stream(pieces, provider="text", model="gpt-4o-mini", feature="search")
        call_id = stream._call.call_id
        self.open[call_id] = stream
        self.delivered[call_id] = self.noted[call_id] = 0
        return stream

    @rule(stream=lives, times=st.integers(1, 3))
    def read(self, stream: Any, times: int) -> None:
        """Some chunks come in."""
        call_id = stream._call.call_id
        for _ in range(times):
            try:
                next(stream)
            except StopIteration:
                self.open.pop(call_id, None)
            else:
                self.delivered[call_id] += 1

    @rule(stream=lives)
    def end(self, stream: Any) -> None:
        """It ends."""
        self.open.pop(stream._call.call_id, None)
        stream.close()

    @rule(stream=lives)
    def end_in_a_finaliser(self, stream: Any) -> None:
        """It ends where nothing may be logged; its record comes at a safe point."""
        self.open.pop(stream._call.call_id, None)
        stream.__exit__(GeneratorExit, GeneratorExit(), None)
        assert worker.wait(PATIENCE)

    @rule()
    def checkpoint(self) -> None:
        """What the worker does every second; it may do so here as well."""
        journal.checkpoint(lifecycle.open_calls())
        self.noted.update({call_id: self.delivered[call_id] for call_id in self.open})

    @precondition(lambda self: self.open)
    @rule()
    def rewrite(self) -> None:
        """What comes about when the file has grown long."""
        with journal._lock:
            assert journal._file is not None
            journal._file._rewrite()

    @rule()
    def recover_while_it_lives(self) -> None:
        """Another process looks at the folder: this one has its lock."""
        assert self.recovered(pathlib.Path(self.folder.name)) == (0, [])

    @rule()
    def die(self) -> None:
        """Killed just now: the calls that were open are lost, with what the last checkpoint knew of them."""
        with tempfile.TemporaryDirectory() as copy:
            self.left(copy)
            count, records = self.recovered(pathlib.Path(copy))
            assert count == len(self.open)
            assert sorted(one["call_id"] for one in records) == sorted(self.open)
            for one in records:
                assert one["feature"] == "search"
                assert self.noted[one["call_id"]] <= one.get("chunks", 0) <= self.delivered[one["call_id"]]
            assert self.recovered(pathlib.Path(copy)) == (0, [])

    @rule(cut=st.integers(0, 3_000))
    def die_in_mid_write(self, cut: int) -> None:
        """The disk has the file up to some byte: the lines that are whole count."""
        with tempfile.TemporaryDirectory() as copy:
            expected: set[str] = set()
            for file in self.left(copy):
                content = file.read_bytes()
                content = content[: len(content) - cut % (len(content) + 1)]
                file.write_bytes(content)
                expected |= started_and_not_ended(content)
            count, records = self.recovered(pathlib.Path(copy))
            assert count == len(expected)
            assert sorted(one["call_id"] for one in records) == sorted(expected)
            assert all(one.get("chunks", 0) <= self.delivered[one["call_id"]] for one in records)
            assert self.recovered(pathlib.Path(copy)) == (0, [])

    def left(self, folder: str) -> list[pathlib.Path]:
        """Copies of what is on the disk."""
        with journal._lock:  # the worker may be writing, and the copy takes several steps
            made = [pathlib.Path(folder, file.name) for file in pathlib.Path(self.folder.name).iterdir()]
            for file in made:
                file.write_bytes(pathlib.Path(self.folder.name, file.name).read_bytes())
        return made

    def recovered(self, folder: pathlib.Path) -> tuple[int, list[dict[str, Any]]]:
        """How many calls recover() has found, and their records."""
        before = len(self.handler.records)
        count = journal.recover(folder)
        records = [one for one in map(vars, self.handler.records[before:]) if one["outcome"] == "lost"]
        assert all(one["ended_by"] == "recovery" and one["record_id"] == one["call_id"] for one in records)
        return count, records

    def teardown(self) -> None:
        """The process leaves in order: there is nothing to recover."""
        logger = logging.getLogger("llmlog.calls")
        try:
            for stream in self.open.values():
                stream.close()
            journal.disable()
            assert list(pathlib.Path(self.folder.name).iterdir()) == []
            assert faults.counts() == self.faults
        finally:
            journal.disable()
            journal._REWRITE_AT = self.rewrite_at
            self.folder.cleanup()
            logger.removeHandler(self.handler)
            logger.setLevel(logging.NOTSET)


def started_and_not_ended(content: bytes) -> set[str]:
    """The calls that are open by the whole lines of a journal."""
    found: set[str] = set()
    for line in content.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if "start" in entry:
            found.add(entry["call"])
        elif "ended" in entry:
            found.discard(entry["call"])
    return found


TestApplication = Application.TestCase
TestApplication.settings = settings(
    max_examples=80, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestJournal = Journal.TestCase
TestJournal.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_lost_call_of_which_no_name_is_known(
    llm_calls: Records, faults_expected: dict[str, int], tmp_path: pathlib.Path
) -> None:
    """A stream of text without model= has no names to note: its journal is whole all the same."""
    copy = tmp_path / "copy"
    copy.mkdir()
    journal.enable(tmp_path / "journal")
    before = Counter(faults.counts())
    try:
        stream = llmlog.stream(["a", "b"], provider="text")
        next(stream)
        journal.checkpoint(lifecycle.open_calls())
        for file in (tmp_path / "journal").iterdir():
            (copy / file.name).write_bytes(file.read_bytes())
        assert journal.recover(copy) == 1
        stream.close()
    finally:
        journal.disable()
    faults_expected.update(Counter(faults.counts()) - before)
    assert not faults_expected


def test_flush_settles_what_a_closed_coroutine_has_left(llm_calls: Records) -> None:
    """A task that is destroyed while it waits for a chunk has left its loop; flush() settles it as any other."""
    source = AsyncSource([], None)
    source.waits = True
    stream = llmlog.stream(source, provider="text")
    loop = aiter(stream)
    waiting = anext(loop)
    waiting.send(None)
    waiting.close()
    del waiting, loop
    assert llmlog.flush()
    assert [vars(one)["ended_by"] for one in llm_calls.records] == ["loop_left"]
    del stream
