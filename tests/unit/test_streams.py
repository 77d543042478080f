"""Stream and AsyncStream: every ending, delivery unchanged, times, limits."""

from __future__ import annotations

import asyncio
import collections.abc
import contextlib
import gc
import logging
import sys
import threading
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Clock, Records, answer, chunk, usage_chunk

import llmlog

INFO, WARNING, ERROR = logging.INFO, logging.WARNING, logging.ERROR
SCRIPT = answer("Hello", " world")
AFTER_FINISH = [chunk("Hello"), chunk(finish="stop"), usage_chunk(9, 1)]


class Source:
    """A scripted sync and async source: chunks, and exceptions to raise in their place."""

    def __init__(self, script: list[Any]) -> None:
        self.script = iter(script)
        self.closed = 0

    def step(self, done: type[Exception]) -> Any:
        for one in self.script:
            if isinstance(one, BaseException):
                raise one
            return one
        raise done


class SyncSource(Source):
    def __iter__(self) -> SyncSource:
        return self

    def __next__(self) -> Any:
        return self.step(StopIteration)

    def close(self) -> None:
        self.closed += 1


class AsyncSource(Source):
    def __aiter__(self) -> AsyncSource:
        return self

    async def __anext__(self) -> Any:
        await asyncio.sleep(0)
        return self.step(StopAsyncIteration)

    async def aclose(self) -> None:
        self.closed += 1


class ConsumerError(Exception):
    """What the consumer raises."""


# How a stream is used, sync and async alike: each takes a stream of llmlog's and leaves it in its own way.


def run_out(stream: Any) -> None:
    for _ in stream:
        pass


def break_off(stream: Any) -> None:
    for _ in stream:
        break


def stop_at_finish(stream: Any) -> None:
    for one in stream:
        if any(choice["finish_reason"] for choice in one["choices"]):
            break


def raise_in_the_loop(stream: Any) -> None:
    with contextlib.suppress(ConsumerError):
        for _ in stream:
            raise ConsumerError


def close(stream: Any) -> None:
    next(stream)
    stream.close()


def leave_with(stream: Any) -> None:
    with stream:
        next(stream)


def raise_through_with(stream: Any) -> None:
    with contextlib.suppress(ConsumerError), stream:
        for _ in stream:
            raise ConsumerError


def interrupt_through_with(stream: Any) -> None:
    with contextlib.suppress(KeyboardInterrupt), stream:
        raise KeyboardInterrupt


def exit_through_with(stream: Any) -> None:
    with contextlib.suppress(SystemExit), stream:
        raise SystemExit


def generator_closed_in_with(stream: Any) -> None:
    def users() -> Iterator[Any]:
        with stream:
            yield from stream

    generator = users()
    next(generator)
    generator.close()


def generator_dropped(stream: Any) -> None:
    def users() -> Iterator[Any]:
        yield from stream

    next(users())


def see_the_error(stream: Any) -> None:
    with contextlib.suppress(RuntimeError, KeyboardInterrupt, asyncio.CancelledError):
        run_out(stream)


def never(stream: Any) -> None:
    pass


async def arun_out(stream: Any) -> None:
    async for _ in stream:
        pass


async def abreak_off(stream: Any) -> None:
    async for _ in stream:
        break


async def astop_at_finish(stream: Any) -> None:
    async for one in stream:
        if any(choice["finish_reason"] for choice in one["choices"]):
            break


async def araise_in_the_loop(stream: Any) -> None:
    with contextlib.suppress(ConsumerError):
        async for _ in stream:
            raise ConsumerError


async def aclose(stream: Any) -> None:
    await anext(stream)
    await stream.aclose()


async def aleave_with(stream: Any) -> None:
    async with stream:
        await anext(stream)


async def araise_through_with(stream: Any) -> None:
    with contextlib.suppress(ConsumerError):
        async with stream:
            async for _ in stream:
                raise ConsumerError


async def ainterrupt_through_with(stream: Any) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        async with stream:
            raise asyncio.CancelledError


async def aexit_through_with(stream: Any) -> None:
    with contextlib.suppress(SystemExit):
        async with stream:
            raise SystemExit


async def agenerator_closed_in_with(stream: Any) -> None:
    async def users() -> AsyncIterator[Any]:
        async with stream:
            async for one in stream:
                yield one

    generator = users()
    await anext(generator)
    await generator.aclose()


async def agenerator_dropped(stream: Any) -> None:
    async def users() -> AsyncIterator[Any]:
        async for one in stream:
            yield one

    await anext(users())
    await asyncio.sleep(0)


async def asee_the_error(stream: Any) -> None:
    with contextlib.suppress(RuntimeError, KeyboardInterrupt, asyncio.CancelledError):
        await arun_out(stream)


async def anever(stream: Any) -> None:
    pass


CUT = [chunk("Hello"), chunk(" wor")]
# the script, how it is used (sync, async) -> outcome, ended_by, level, chunks
ENDINGS = {
    "ran out": (SCRIPT, run_out, arun_out, "completed", "exhausted", INFO, 5),
    "ran out, cut": (CUT, run_out, arun_out, "incomplete", "exhausted", WARNING, 2),
    "nothing came": ([], run_out, arun_out, "incomplete", "exhausted", WARNING, 0),
    "a format without an end mark, empty": ([""], run_out, arun_out, "completed", "exhausted", INFO, 1),
    "text ran out": (["a", "b"], run_out, arun_out, "completed", "exhausted", INFO, 2),
    "break": (SCRIPT, break_off, abreak_off, "aborted", "loop_left", INFO, 1),
    "break after the finish reason": (
        AFTER_FINISH, stop_at_finish, astop_at_finish, "completed", "loop_left", INFO, 2),
    "exception in the loop": (SCRIPT, raise_in_the_loop, araise_in_the_loop, "aborted", "loop_left", INFO, 1),
    "closed": (SCRIPT, close, aclose, "aborted", "close", INFO, 1),
    "left with": (SCRIPT, leave_with, aleave_with, "aborted", "context_exit", INFO, 1),
    "exception through with": (
        SCRIPT, raise_through_with, araise_through_with, "aborted", "consumer_exception", WARNING, 1),
    "cancelled through with": (
        SCRIPT, interrupt_through_with, ainterrupt_through_with, "cancelled", "cancellation", WARNING, 0),
    "exit through with": (
        SCRIPT, exit_through_with, aexit_through_with, "aborted", "interpreter_exit", WARNING, 0),
    "user's generator closed in its with": (
        SCRIPT, generator_closed_in_with, agenerator_closed_in_with, "aborted", "context_exit", INFO, 1),
    "user's generator dropped": (SCRIPT, generator_dropped, agenerator_dropped, "aborted", "loop_left", INFO, 1),
    "the source raised": (
        [chunk("a"), RuntimeError("cut")], see_the_error, asee_the_error, "error", "exception", ERROR, 1),
    "cancelled while waiting": (
        [chunk("a"), asyncio.CancelledError()], see_the_error, asee_the_error,
        "cancelled", "cancellation", WARNING, 1),
    "interrupted while waiting": (
        [chunk("a"), KeyboardInterrupt()], see_the_error, see_the_error,
        "cancelled", "cancellation", WARNING, 1),
    "an error in the stream": (
        [chunk("a"), {"error": {"message": "overloaded", "type": "server_error", "code": 503}}],
        run_out, arun_out, "error", "exhausted", ERROR, 2),
    "never iterated": (SCRIPT, never, anever, "aborted", "garbage_collected", INFO, 0),
}  # fmt: skip


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_endings(calls: Records, ending: str, way: str) -> None:
    """Every row of the endings table: one record, with the right outcome, ended_by, level and count."""
    script, use, ause, outcome, ended_by, level, chunks = ENDINGS[ending]
    use_async = way == "async" and asyncio.iscoroutinefunction(ause)
    if use_async:

        async def main() -> None:
            stream = llmlog.stream(AsyncSource(script))
            await ause(stream)
            del stream
            gc.collect()
            await asyncio.sleep(0)

        asyncio.run(main())
    else:
        use(llmlog.stream(SyncSource(script)))
    record = calls.one()
    found = (record["outcome"], record["ended_by"], record["levelno"], record["chunks"])
    assert found == (outcome, ended_by, level, chunks)
    assert record["streamed"] is True
    assert record["usage_source"] in ("provider", "estimated")


def test_the_consumers_error_is_named(calls: Records) -> None:
    """error_type is the consumer's exception, never GeneratorExit in its place."""
    raise_through_with(llmlog.stream(SyncSource(SCRIPT)))
    assert calls.one()["error_type"].endswith("ConsumerError")


def test_held_and_settled_at_the_end_of_the_request(calls: Records) -> None:
    """A loop left while the stream is held: settled when its request ends, not before."""
    with llmlog.request():
        stream = llmlog.stream(SyncSource(SCRIPT))
        break_off(stream)
        assert calls.all() == []
    record = calls.one()
    assert (record["outcome"], record["ended_by"], record["chunks"]) == ("aborted", "loop_left", 1)
    assert len(list(stream)) == 4  # the consumer still gets the rest
    assert len(calls.all()) == 1


def test_held_and_settled_at_flush(calls: Records) -> None:
    """Outside a request, flush() settles it."""
    stream = llmlog.stream(SyncSource(SCRIPT))
    break_off(stream)
    assert calls.all() == []
    assert llmlog.flush() is True
    assert calls.one()["ended_by"] == "loop_left"
    del stream


def test_held_and_gone_on_with(calls: Records) -> None:
    """Until it is settled, the consumer may go on: nothing has been decided."""
    with llmlog.request():
        stream = llmlog.stream(SyncSource(SCRIPT))
        break_off(stream)
        assert len(list(stream)) == 4
        assert calls.one()["outcome"] == "completed"
    assert calls.one()["chunks"] == 5


@pytest.mark.parametrize("inside", [True, False])
def test_read_by_next_and_held(calls: Records, inside: bool) -> None:
    """A stream read by next() and left is settled at the end of its request, or at flush() outside one."""
    if inside:
        with llmlog.request():
            stream = llmlog.stream(SyncSource(SCRIPT))
            next(stream)
            llmlog.flush()
            assert calls.all() == []
    else:
        stream = llmlog.stream(SyncSource(SCRIPT))
        next(stream)
        llmlog.flush()
    assert calls.one()["ended_by"] == "loop_left"
    del stream


def test_two_loops_over_one_stream(calls: Records) -> None:
    """The loop is left when its last iterator is gone."""
    stream = llmlog.stream(SyncSource(SCRIPT))
    first, second = iter(stream), iter(stream)
    next(first)
    next(second)
    del first
    assert not stream._call.is_left
    del second
    assert stream._call.is_left
    assert len(list(stream)) == 3
    assert calls.one()["chunks"] == 5


def test_a_cycle_is_collected(calls: Records) -> None:
    """A stream that hangs on a cycle ends when the cycle is collected, and logs nothing from there."""
    holder = SimpleNamespace(stream=llmlog.stream(SyncSource(SCRIPT)))
    holder.self = holder
    next(holder.stream)
    del holder
    gc.collect()
    assert calls.one()["ended_by"] in ("garbage_collected", "loop_left")


def test_finalisers_do_not_log(calls: Records) -> None:
    """What ends in a finaliser is put aside, and logged where logging is safe: not in the thread that dropped it."""
    jobs: list[Any] = []
    worker, llmlog.lifecycle.worker.later = llmlog.lifecycle.worker.later, jobs.append
    try:
        break_off(llmlog.stream(SyncSource(SCRIPT)))
    finally:
        llmlog.lifecycle.worker.later = worker
    assert calls.records == []
    (job,) = jobs
    job()
    assert calls.one()["ended_by"] == "loop_left"


@pytest.mark.parametrize("odd", [None, "", 0, 1.5, [], {}, {"choices": None}, {"choices": [None, 5, {}]}, object(),
                                 {"choices": "abc"}, {"choices": [{"delta": 5, "finish_reason": {}}]}, b"x",
                                 {"choices": [{"delta": {"tool_calls": [None, {"function": 3}], "content": 7}}]},
                                 {"usage": 5, "choices": []}, {"error": 7}, {"error": ""}, {1: 2}])  # fmt: skip
def test_odd_chunks_are_delivered(calls: Records, odd: Any) -> None:
    """Whatever a stream yields reaches the consumer as it is, and the rest is read all the same."""
    script = [chunk("a"), odd, chunk("b"), chunk(finish="stop")]
    got = list(llmlog.stream(script))
    assert all(one is other for one, other in zip(got, script, strict=True))
    assert calls.one()["response_length"] == 2
    assert calls.one()["chunks"] == 4


def test_a_chunk_that_cannot_be_read(
    calls: Records, faults_expected: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    """A chunk whose reading fails is counted, reported once, and delivered."""

    class Broken(dict[str, Any]):
        def get(self, *args: Any) -> Any:
            raise RuntimeError("no")

    faults_expected["reading a chunk"] = 2
    broken = Broken(choices=[])
    assert list(llmlog.stream([chunk("a"), broken, broken, chunk(finish="stop")]))[1] is broken
    assert calls.one()["unread_chunks"] == 2
    assert capsys.readouterr().err.count("a fault while reading a chunk") <= 1


@pytest.mark.parametrize(
    "source",
    [5, None, "text", b"bytes", memoryview(b"x"), {"a": 1}, object(), 1.5],
    ids=lambda source: type(source).__name__,
)
def test_what_is_no_stream(calls: Records, source: Any) -> None:
    """A wrong source is refused at the call, with the value in the message, and is no call."""
    with pytest.raises(TypeError, match="iterable of chunks"):
        llmlog.stream(source)
    assert calls.all() == []


@pytest.mark.parametrize("kind", [llmlog.Stream, llmlog.AsyncStream])
def test_streams_are_not_made_by_hand(kind: Any) -> None:
    """Their classes are for isinstance and typing; stream() makes them."""
    with pytest.raises(TypeError, match=r"llmlog\.stream"):
        kind([], 6)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_an_awaitable_has_to_be_awaited() -> None:
    """Forgetting the await is told at the call."""

    async def create() -> list[Any]:
        return []

    with pytest.raises(TypeError, match="await it"):
        llmlog.stream(create())  # type: ignore[call-overload]


class SDKStream(SyncSource):
    """A stream object as SDKs have it."""

    response = SimpleNamespace(status_code=200)

    def __enter__(self) -> SDKStream:
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.close()


def test_it_passes_for_its_source() -> None:
    """isinstance, attributes and methods are the source's; what the source lacks is missing."""
    source = SDKStream(SCRIPT)
    stream = llmlog.stream(source)
    assert isinstance(stream, SDKStream)
    assert isinstance(stream, llmlog.Stream)
    assert stream.response is source.response
    assert stream.__class__ is SDKStream
    assert isinstance(stream, collections.abc.Iterator)
    assert not isinstance(stream, collections.abc.AsyncIterator)
    with pytest.raises(AttributeError, match="nothing_here"):
        stream.nothing_here
    assert "Stream of" in repr(stream)
    stream.close()
    assert source.closed == 1


def test_only_what_the_consumer_closes_is_closed() -> None:
    """Leaving a loop, dropping the wrapper: the source is left as it is."""
    source = SDKStream(SCRIPT)
    break_off(llmlog.stream(source))
    gc.collect()
    assert source.closed == 0
    with llmlog.stream(source):
        pass
    assert source.closed == 1


def test_with_and_close_are_always_there(calls: Records) -> None:
    """A source that knows neither can be used with both."""
    with llmlog.stream([chunk("a")]) as stream:
        assert len(list(stream)) == 1
    llmlog.stream([chunk("a")]).close()
    assert [record["ended_by"] for record in calls.all()] == ["exhausted", "close"]


def test_a_source_that_suppresses(calls: Records) -> None:
    """What the source's own __exit__ answers is what the block gets."""

    class Suppressing(SDKStream):
        def __exit__(self, *exc_info: Any) -> Any:
            return True

    with llmlog.stream(Suppressing(SCRIPT)):
        raise ConsumerError
    assert calls.one()["ended_by"] == "consumer_exception"


def test_a_close_that_raises(calls: Records) -> None:
    """The source's error in close() reaches the consumer, and the record is made."""

    class Unclosable(SyncSource):
        def close(self) -> None:
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        llmlog.stream(Unclosable(SCRIPT)).close()
    assert calls.one()["ended_by"] == "close"


def test_a_source_that_is_iterable_both_ways(calls: Records) -> None:
    """LiteLLM's streams are: whoever loops decides."""

    class Both(SyncSource):
        def __aiter__(self) -> AsyncIterator[Any]:
            return AsyncSource(list(self.script))

    assert len(list(llmlog.stream(Both(SCRIPT)))) == 5

    async def main() -> int:
        return len([one async for one in llmlog.stream(Both(SCRIPT))])

    assert asyncio.run(main()) == 5
    assert [record["outcome"] for record in calls.all()] == ["completed", "completed"]


def test_a_source_both_ways_is_closed_both_ways() -> None:
    """aclose() of such a source can be awaited, close() called."""

    class Both(SyncSource):
        def __aiter__(self) -> AsyncIterator[Any]:
            return AsyncSource(list(self.script))

    async def main() -> None:
        stream: Any = llmlog.stream(Both(SCRIPT))
        async with contextlib.aclosing(stream):
            await anext(aiter(stream))

    asyncio.run(main())
    source = Both(SCRIPT)
    llmlog.stream(source).close()
    assert source.closed == 1


def test_iter_that_raises(calls: Records) -> None:
    """A source whose iteration cannot begin has failed, as one that raises later."""

    class Unreachable:
        def __iter__(self) -> Iterator[Any]:
            raise ConnectionError("refused")

    with pytest.raises(ConnectionError):
        list(llmlog.stream(Unreachable()))
    assert (calls.one()["outcome"], calls.one()["error_type"]) == ("error", "ConnectionError")


def test_yield_from(calls: Records) -> None:
    """send() and throw() reach a generator through `yield from` as without llmlog."""

    def source() -> Any:
        try:
            got = yield "a"
        except KeyError:
            got = "thrown"
        yield got

    def users() -> Any:
        yield from llmlog.stream(source(), provider="text")

    generator = users()
    assert next(generator) == "a"
    assert generator.send("sent") == "sent"
    generator = users()
    assert next(generator) == "a"
    assert generator.throw(KeyError()) == "thrown"

    def of_a_list() -> Any:
        yield from llmlog.stream(["a", "b"], provider="text")

    generator = of_a_list()
    next(generator)
    with pytest.raises(ZeroDivisionError):
        generator.throw(ZeroDivisionError())
    generator = of_a_list()
    next(generator)
    with pytest.raises(AttributeError):
        generator.send("x")


def test_a_context_manager_that_gives_another_object(calls: Records) -> None:
    """What was entered is what is left, and what it gave is what is read."""
    left = []

    class Manager(SyncSource):
        def __enter__(self) -> Any:
            return SyncSource([chunk("x"), chunk(finish="stop")])

        def __exit__(self, *exc_info: Any) -> None:
            left.append(self)

    manager = Manager(SCRIPT)
    with llmlog.stream(manager) as stream:
        assert len(list(stream)) == 2
    assert left == [manager]
    assert calls.one()["outcome"] == "completed"


def test_closed_by_another_thread_while_a_chunk_is_waited_for(calls: Records) -> None:
    """A stop button: the close is the end, not the error that the reader gets from it."""
    waiting, closed = threading.Event(), threading.Event()

    class Blocking:
        def __iter__(self) -> Blocking:
            return self

        def __next__(self) -> Any:
            waiting.set()
            closed.wait(10)
            raise OSError("closed")

        def close(self) -> None:
            closed.set()

    stream = llmlog.stream(Blocking())
    reader = threading.Thread(target=lambda: see_os_error(stream))
    reader.start()
    assert waiting.wait(10)
    stream.close()
    reader.join()
    assert (calls.one()["outcome"], calls.one()["ended_by"]) == ("aborted", "close")


def see_os_error(stream: Any) -> None:
    with contextlib.suppress(OSError):
        run_out(stream)


def test_closed_in_the_finally_of_a_generator_that_goes(calls: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator's own close() may be run by a collection, inside some lock: nothing is logged there."""

    def users() -> Iterator[Any]:
        stream = llmlog.stream(SyncSource(SCRIPT))
        try:
            yield from stream
        finally:
            stream.close()

    jobs: list[Any] = []
    monkeypatch.setattr(llmlog.lifecycle.worker, "later", lambda job, **_: jobs.append(job))
    generator = users()
    next(generator)
    del generator
    assert (len(jobs), calls.records) == (1, [])
    jobs[0]()
    assert calls.one()["ended_by"] == "close"


def test_usage_in_every_chunk_is_no_end(calls: Records) -> None:
    """A figure that is repeated in chunks without content does not say that the answer is whole."""
    usage = {"prompt_tokens": 9, "completion_tokens": 1}
    script = [{**chunk("a"), "usage": usage}, {**chunk(""), "usage": usage}]
    list(llmlog.stream(script))
    assert calls.one()["outcome"] == "incomplete"


def test_the_last_wait_counts(calls: Records, clock: Clock) -> None:
    """A hang before an error is time spent waiting for the provider."""

    def hangs() -> Iterator[Any]:
        yield chunk("a")
        clock.sleep(3.0)
        raise RuntimeError

    see_the_error(llmlog.stream(hangs()))
    assert (calls.one()["wait_ms"], calls.one()["latency_ms"]) == (3000.0, 3000.0)


def test_task_cancelled_while_it_waits(calls: Records) -> None:
    """A real cancellation, and a timeout, while a chunk is waited for."""

    async def hang() -> AsyncIterator[Any]:
        yield chunk("a")
        await asyncio.Event().wait()

    async def main() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await arun_out(llmlog.stream(hang()))

    asyncio.run(main())
    record = calls.one()
    assert (record["outcome"], record["ended_by"], record["chunks"]) == ("cancelled", "cancellation", 1)
    assert record["error_type"] == "asyncio.exceptions.CancelledError"


def test_whose_fault_slow_is(calls: Records, clock: Clock) -> None:
    """Time in the consumer's hands is not booked as waiting for the provider."""

    def slow_model() -> Iterator[Any]:
        clock.sleep(0.5)
        yield chunk("", role="assistant")
        clock.sleep(0.25)
        yield chunk("a")
        clock.sleep(0.125)
        yield chunk("b")
        clock.sleep(0.5)
        yield chunk(finish="stop")

    for _ in llmlog.stream(slow_model()):
        clock.sleep(2.0)
    record = calls.one()
    assert record["ttft_ms"] == 2750.0  # the consumer held the empty first chunk for two seconds
    assert record["wait_ms"] == 1375.0
    assert record["consumer_ms"] == 6000.0
    assert record["max_gap_ms"] == 500.0
    assert record["latency_ms"] == 9375.0
    assert record["content_chunks"] == 2
    assert record["tokens_per_second"] == 1.6  # one token in 0.625 s: the model's own


def test_the_models_speed(calls: Records, clock: Clock) -> None:
    """Tokens per second, where the model was what was waited for."""

    def model() -> Iterator[Any]:
        for text in ("a", "b", "c"):
            clock.sleep(1.0)
            yield chunk(text)
        clock.sleep(1.0)
        yield {**usage_chunk(9, 30), "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}

    list(llmlog.stream(model()))
    assert calls.one()["tokens_per_second"] == 10.0


@pytest.mark.parametrize("pause", [0.0, 0.5, 30.0])
def test_a_slow_consumer_is_no_slow_model(calls: Records, clock: Clock, pause: float) -> None:
    """Whatever the consumer does between two chunks, what is said of the model stays the same."""

    def model() -> Iterator[Any]:
        for text in ("a", "b", "c"):
            clock.sleep(1.0)
            yield chunk(text)
        clock.sleep(2.0)
        yield {**usage_chunk(9, 30), "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}

    for _ in llmlog.stream(model()):
        clock.sleep(pause)
    record = calls.one()
    told = [record[name] for name in ("ttft_ms", "wait_ms", "max_gap_ms", "tokens_per_second", "consumer_ms")]
    assert told == [1000.0, 5000.0, 2000.0, 7.5, 3000.0 * pause]


def test_chunks_that_lie_ready(calls: Records, clock: Clock) -> None:
    """Behind a consumer that is always late nobody can tell how fast the model was."""
    for _ in llmlog.stream([*map(chunk, "abc"), chunk(finish="stop")]):
        clock.sleep(1.0)
    record = calls.one()
    assert (record["wait_ms"], record["consumer_ms"]) == (0.0, 3000.0)
    assert "tokens_per_second" not in record


def test_an_answer_in_one_piece(calls: Records, clock: Clock) -> None:
    """A proxy that buffers shows: one content chunk, and the first content comes when the call ends."""

    def buffered() -> Iterator[Any]:
        yield chunk("", role="assistant")
        clock.sleep(4.0)
        yield chunk("all of the answer, which was many tokens long")
        yield chunk(finish="stop")

    list(llmlog.stream(buffered()))
    record = calls.one()
    assert (record["content_chunks"], record["ttft_ms"], record["latency_ms"]) == (1, 4000.0, 4000.0)
    assert "tokens_per_second" not in record


def test_no_chunk_is_held(calls: Records) -> None:
    """After a chunk is handed on, llmlog has no reference to it."""
    stream = llmlog.stream(dict(one) for one in [chunk("a"), chunk("b"), usage_chunk(1, 1)])
    for one in stream:
        # this frame, the argument of getrefcount
        assert sys.getrefcount(one) == 2
        assert [ref for ref in gc.get_referrers(one) if isinstance(ref, (llmlog.Call, llmlog.Stream))] == []


def test_an_open_stream_is_small(calls: Records) -> None:
    """Beside its text, a stream takes less than 2 KB after 2,000 chunks, the wrapper and its loop included."""
    streams = 40

    def source() -> Iterator[Any]:
        for number in range(2008):
            yield chunk(f"{number:04}")

    def opened() -> list[Any]:
        return [llmlog.stream(iter(one), model="gpt-4o-mini", input="Count.") for one in sources]

    sources = [source() for _ in range(streams)]
    for one in opened()[:5]:  # what is made once is made here
        next(one)
    llmlog.flush()
    sources = [source() for _ in range(streams)]
    for one in sources:
        next(one)  # a generator's own frame grows with its first step
    tracemalloc.start()
    try:
        with llmlog.request(user_id="u-1"):
            before = tracemalloc.get_traced_memory()[0]
            loops = [iter(stream) for stream in opened()]
        for loop in loops:
            for _ in range(2007):  # seven pieces are waiting to be joined: it cannot be more
                next(loop)
        taken = (tracemalloc.get_traced_memory()[0] - before) / streams
    finally:
        tracemalloc.stop()
    assert taken - 4 * 2007 < 2048
    del loops


def test_a_stream_dies_without_the_collector(calls: Records) -> None:
    """llmlog makes no reference cycle of its own: break is seen at once, collector or not."""
    gc.disable()
    try:
        break_off(llmlog.stream(SyncSource(SCRIPT)))
        see_the_error(llmlog.stream(SyncSource([RuntimeError("x")])))
        llmlog.flush()
        assert len(calls.records) == 2
    finally:
        gc.enable()


class Hooked:
    """An SDK's stream that looks up its own parts as it goes, as OpenAI's does."""

    def __init__(self) -> None:
        self._iterator = iter(answer("Hello", " world"))
        self.closed = 0

    def __iter__(self) -> Any:
        yield from self._iterator

    def close(self) -> None:
        self.closed += 1


def test_what_others_put_in_the_place_of_its_parts(calls: Records) -> None:
    """Langfuse replaces the iterator of a stream and its close(), and hangs its own word on it: all of it works."""
    source = Hooked()
    wrapped: Any = llmlog.stream(source)
    seen: list[Any] = []
    inside, close = wrapped._iterator, wrapped.close

    def watched() -> Any:
        for one in inside:
            seen.append(one)
            yield one

    def closed() -> None:
        close()
        seen.append("closed")

    wrapped._iterator = watched()
    wrapped.close = closed
    wrapped._word = "said"
    assert (source.__dict__["_word"], wrapped._word) == ("said", "said")
    got = list(wrapped)
    assert seen == got == answer("Hello", " world")
    wrapped.close()
    assert (seen[-1], source.closed) == ("closed", 1)
    assert calls.one()["outcome"] == "completed"
