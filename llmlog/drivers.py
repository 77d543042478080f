"""What pulls a stream's chunks, one at a time: times them, has them read, and hands them on as they are.

The way of each chunk, so it is written out twice, for `next()` and for `await`: a function for what both share would
cost every chunk a call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from llmlog.calls import Call, set_under_way, under_way
from llmlog.exceptions import UsageTypeError, shown

__all__ = ["AsyncDriver", "Driver", "SyncDriver"]

T = TypeVar("T")

_PACK_EVERY = 8  # chunks: more of them waiting to be joined would take more room than their text


class Driver(Generic[T]):
    """What a loop and a stream have in common: pulling one chunk, timing it, reading it, handing it on."""

    __slots__ = ("_call", "_check_at", "_chunks", "_clock", "_read")

    def __init__(self, call: Call, iterator: Any) -> None:
        if not isinstance(call, Call):
            raise UsageTypeError(f"a stream is made by llmlog.stream() or Call.stream(), got {shown(call)}")
        self._call = call
        self._clock = call.clock
        self._chunks: Any = iterator
        self._read: Callable[[Any, Any], Any] | None = None
        self._check_at = 0

    def _begin_reading(self, chunk: Any) -> Any:
        call = self._call
        only_usage = call.read(chunk)
        if not call.reader.formats and call.wire is None:
            self._read = call.reader.quicker(call.answer, chunk)
        return only_usage

    def _check(self, call: Call, now: float) -> None:
        """What need not be done for each chunk: see the first content, keep the text small."""
        answer = call.answer
        if call.first_content is not None:
            answer.pack()
        elif answer.content_chunks:
            call.first_content = now
            call.gap = 0.0  # the wait for the first content is ttft; gaps are what comes after
            if call.first_pull is not None:  # what was waited for so far is no part of the model's speed
                call.sending, call.first_pull, call.wait = call.sending + call.wait, call.first_pull + call.wait, 0.0
        else:
            return
        self._check_at = call.chunks + _PACK_EVERY


class SyncDriver(Driver[T]):
    """Pulls with `next()`."""

    __slots__ = ()

    def _begin(self) -> Any:
        """The source's iterator."""
        raise NotImplementedError

    def _first(self) -> T:
        call = self._call
        if call.first_pull is not None:
            self._chunks = self._begin()
            return self.__next__()
        call.first_pull = self._clock()
        with _sending(call):
            try:
                self._chunks = self._begin()
            except BaseException as error:
                call.failed(error)
                raise
            return self.__next__()

    def __next__(self) -> T:
        iterator = self._chunks
        if iterator is None:
            return self._first()
        call, clock, read = self._call, self._clock, self._read
        while True:
            begin = call.pulled = clock()
            try:
                chunk: T = next(iterator)
            except StopIteration:
                call.wait += clock() - begin
                call.ran_out()
                raise
            except BaseException as error:
                call.wait += clock() - begin
                call.failed(error)
                raise
            now = clock()
            waited = now - begin
            call.wait += waited
            if waited > call.gap:
                call.gap = waited
            call.last = now
            call.chunks = chunks = call.chunks + 1
            try:
                only_usage = read(call.answer, chunk) if read is not None else self._begin_reading(chunk)
                if chunks >= self._check_at:
                    self._check(call, now)
            except Exception as error:
                call.unreadable(error)
                return chunk
            if only_usage and call.hide_usage:
                call.chunks -= 1  # it is not delivered
                continue
            return chunk


class AsyncDriver(Driver[T]):
    """Pulls with `await anext()`."""

    __slots__ = ()

    def _abegin(self) -> Any:
        """The source's iterator."""
        raise NotImplementedError

    async def _afirst(self) -> T:
        call = self._call
        if call.first_pull is not None:
            self._chunks = self._abegin()
            return await self.__anext__()
        call.first_pull = self._clock()
        with _sending(call):
            try:
                self._chunks = self._abegin()
            except BaseException as error:
                call.failed(error)
                raise
            return await self.__anext__()

    async def __anext__(self) -> T:
        iterator = self._chunks
        if iterator is None:
            return await self._afirst()
        call, clock, read = self._call, self._clock, self._read
        while True:
            begin = call.pulled = clock()
            try:
                chunk: T = await anext(iterator)
            except StopAsyncIteration:
                call.wait += clock() - begin
                call.ran_out()
                raise
            except BaseException as error:
                call.wait += clock() - begin
                call.failed(error)
                raise
            now = clock()
            waited = now - begin
            call.wait += waited
            if waited > call.gap:
                call.gap = waited
            call.last = now
            call.chunks = chunks = call.chunks + 1
            try:
                only_usage = read(call.answer, chunk) if read is not None else self._begin_reading(chunk)
                if chunks >= self._check_at:
                    self._check(call, now)
            except Exception as error:
                call.unreadable(error)
                return chunk
            if only_usage and call.hide_usage:
                call.chunks -= 1  # it is not delivered
                continue
            return chunk


@contextmanager
def _sending(call: Call) -> Iterator[None]:
    """The first pull: a generator that makes its own LLM call now makes it as a part of this one."""
    outer = under_way()
    if outer is not None and outer is not call and outer.takes_part():
        outer.join(call)  # made before, and read inside: the outer one is made of it
    set_under_way(call)
    try:
        yield
    finally:
        if under_way() is call:
            set_under_way(outer)
