"""Stream and AsyncStream: thin drivers around a `Call`, objects and not generators.

`iter()` hands out a small iterator for each loop, whose disappearance tells that the loop was left; the wrapper's
own disappearance ends the call. Nothing is delayed, swallowed, reordered or rewritten, and only what the consumer
closes is closed.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar, cast, overload

from llmlog.calls import Call, how_it_left, the_call, under_way
from llmlog.exceptions import UsageTypeError, shown
from llmlog.providers import UNKNOWN
from llmlog.providers.base import Quick

__all__ = ["AsyncStream", "Stream", "stream", "wrapped"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_PACK_EVERY = 64  # chunks


class _Driver(Generic[T]):
    """What a loop and a stream have in common: pulling one chunk, timing it, reading it, handing it on."""

    __slots__ = ("_call", "_check_at", "_clock", "_pull", "_read")

    def __init__(self, call: Call, pull: Callable[[], Any] | None) -> None:
        if not isinstance(call, Call):
            raise UsageTypeError(f"a stream is made by llmlog.stream() or Call.stream(), got {shown(call)}")
        self._call = call
        self._clock = call.clock
        self._pull = pull
        self._read: Quick | None = None
        self._check_at = 0

    def _begin_reading(self, chunk: Any) -> Any:
        call = self._call
        only_usage = call.read(chunk)
        if call.reader is not UNKNOWN:
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
        else:
            return
        self._check_at = call.chunks + _PACK_EVERY


class _Wrapper(_Driver[T]):
    """What both kinds of stream have in common: they pass for their source, and their end is the call's."""

    __slots__ = ("__weakref__", "_iterator", "_manager", "_source")

    def __init__(self, source: Any, call: Call) -> None:
        super().__init__(call, None)
        self._source: Any = source
        self._manager: Any = source  # whose `with` it is; entering it may give another object
        self._iterator: Any = None

    def __del__(self) -> None:
        try:
            call = self._call
        except AttributeError:  # it was never made
            return
        if call.is_open:  # nobody can go on with the stream now
            call.end("loop_left" if call.is_left else "garbage_collected", deferred=True)

    def __getattr__(self, name: str) -> Any:
        # `_source` itself arrives here only where it is not set: a copy, or a debugger while the wrapper is made.
        if name == "_source" or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self._source, name)

    @property  # type: ignore[misc]  # `object` says that it can be set
    def __class__(self) -> type:
        try:
            return cast(type, self._source.__class__)
        except AttributeError:
            return type(self)

    def __repr__(self) -> str:
        return f"<llmlog.{type(self).__name__} of {shown(self._source)}>"


class _SyncDriver(_Driver[T]):
    __slots__ = ()

    def _begin(self) -> Callable[[], T]:
        raise NotImplementedError

    def _first(self) -> T:
        call = self._call
        if call.first_pull is not None:
            self._pull = self._begin()
            return self.__next__()
        call.first_pull = self._clock()
        with _sending(call):
            try:
                self._pull = self._begin()
            except BaseException as error:
                call.failed(error)
                raise
            return self.__next__()

    def __next__(self) -> T:
        pull = self._pull
        if pull is None:
            return self._first()
        call, clock = self._call, self._clock
        while True:
            begin = call.pulled = clock()
            try:
                chunk: T = pull()
            except StopIteration:
                call.wait += clock() - begin
                call.end("exhausted")
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
                only_usage = (self._read or self._begin_reading)(chunk)
                if chunks >= self._check_at:
                    self._check(call, now)
            except Exception as error:
                call.unreadable(error)
                return chunk
            if only_usage and call.hide_usage:
                call.chunks -= 1  # it is not delivered
                continue
            return chunk


class _Loop(_SyncDriver[T]):
    """The iterator of one loop over a `Stream`."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Stream[T]) -> None:
        super().__init__(stream._call, stream._pull)
        self._stream = stream
        stream._call.loops += 1

    def _begin(self) -> Callable[[], T]:
        return self._stream._begin()

    def __iter__(self) -> Self:
        return self

    # What `yield from` looks for, and a generator has. Not by __getattr__: with it, Python 3.11 takes twice as long for
    # each attribute of this class.

    def send(self, value: Any) -> Any:
        """The source's own `send()`."""
        return self._stream._started().send(value)

    def throw(self, *error: Any) -> Any:
        """The source's own `throw()`; where it has none, the exception is raised here, as `yield from` does."""
        throw = getattr(self._stream._started(), "throw", None)
        if throw is None:
            raise error[1] if len(error) > 1 and error[1] is not None else error[0]
        return throw(*error)

    def close(self) -> None:
        """The source's own `close()`, where it has one."""
        close = getattr(self._stream._started(), "close", None)
        if close is not None:
            close()

    def __del__(self) -> None:
        call = self._call
        call.loops -= 1
        if not call.loops:
            call.left()


class Stream(_SyncDriver[T], _Wrapper[T]):
    """A synchronous stream, wrapped. It passes for its source: `isinstance`, attributes and methods are the source's.

    `with` and `close()` are always there.
    """

    __slots__ = ()

    def _begin(self) -> Callable[[], T]:
        if self._pull is None:
            self._pull = self._started().__next__
        return self._pull

    def _started(self) -> Any:
        if self._iterator is None:
            self._iterator = iter(self._source)
        return self._iterator

    def __iter__(self) -> Iterator[T]:
        self._call.resumed()
        return _Loop(self)

    def _first(self) -> T:
        self._call.by_hand()
        return super()._first()

    def close(self) -> None:
        """Close the source, where it can be closed; the call ends here."""
        self._call.end("close", deferred=_in_a_generator_that_goes())
        close = getattr(self._source, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> Self:
        if hasattr(type(self._manager), "__enter__"):
            self._source = self._manager.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._call.end(how_it_left(error), error, deferred=isinstance(error, GeneratorExit))
        if hasattr(type(self._manager), "__exit__"):
            return cast("bool | None", self._manager.__exit__(kind, error, trace))
        close = getattr(self._source, "close", None)
        if close is not None:
            close()
        return None


class _AsyncDriver(_Driver[T]):
    """The same as `_SyncDriver`, awaiting; a function for what they share would cost each chunk a call."""

    __slots__ = ()

    def _abegin(self) -> Callable[[], Awaitable[T]]:
        raise NotImplementedError

    async def _afirst(self) -> T:
        call = self._call
        if call.first_pull is not None:
            self._pull = self._abegin()
            return await self.__anext__()
        call.first_pull = self._clock()
        with _sending(call):
            try:
                self._pull = self._abegin()
            except BaseException as error:
                call.failed(error)
                raise
            return await self.__anext__()

    async def __anext__(self) -> T:
        pull = self._pull
        if pull is None:
            return await self._afirst()
        call, clock = self._call, self._clock
        while True:
            begin = call.pulled = clock()
            try:
                chunk: T = await pull()
            except StopAsyncIteration:
                call.wait += clock() - begin
                call.end("exhausted")
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
                only_usage = (self._read or self._begin_reading)(chunk)
                if chunks >= self._check_at:
                    self._check(call, now)
            except Exception as error:
                call.unreadable(error)
                return chunk
            if only_usage and call.hide_usage:
                call.chunks -= 1  # it is not delivered
                continue
            return chunk


class _AsyncLoop(_AsyncDriver[T]):
    """The iterator of one loop over an `AsyncStream`."""

    __slots__ = ("_stream",)

    def __init__(self, stream: AsyncStream[T]) -> None:
        super().__init__(stream._call, stream._pull)
        self._stream = stream
        stream._call.loops += 1

    def _abegin(self) -> Callable[[], Awaitable[T]]:
        return self._stream._abegin()

    def __aiter__(self) -> Self:
        return self

    def asend(self, value: Any) -> Any:
        """The source's own `asend()`."""
        return self._stream._astarted().asend(value)

    def athrow(self, *error: Any) -> Any:
        """The source's own `athrow()`."""
        return self._stream._astarted().athrow(*error)

    async def aclose(self) -> None:
        """The source's own `aclose()`, where it has one."""
        close = getattr(self._stream._astarted(), "aclose", None)
        if close is not None:
            await close()

    def __del__(self) -> None:
        call = self._call
        call.loops -= 1
        if not call.loops:
            call.left()


class AsyncStream(_AsyncDriver[T], _Wrapper[T]):
    """An asynchronous stream, wrapped. It passes for its source: `isinstance`, attributes and methods are the source's.

    `async with`, `close()` and `aclose()` are always there; both are awaited.
    """

    __slots__ = ()

    def _abegin(self) -> Callable[[], Awaitable[T]]:
        if self._pull is None:
            self._pull = self._astarted().__anext__
        return self._pull

    def _astarted(self) -> Any:
        if self._iterator is None:
            self._iterator = aiter(self._source)
        return self._iterator

    def __aiter__(self) -> AsyncIterator[T]:
        self._call.resumed()
        return _AsyncLoop(self)

    async def _afirst(self) -> T:
        self._call.by_hand()
        return await super()._afirst()

    async def aclose(self) -> None:
        """Close the source, where it can be closed; the call ends here."""
        self._call.end("close", deferred=_in_a_generator_that_goes())
        await _closed(self._source)

    async def close(self) -> None:
        """The same as `aclose()`."""
        await self.aclose()

    async def __aenter__(self) -> Self:
        if hasattr(type(self._manager), "__aenter__"):
            self._source = await self._manager.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._call.end(how_it_left(error), error, deferred=isinstance(error, GeneratorExit))
        if hasattr(type(self._manager), "__aexit__"):
            return cast("bool | None", await self._manager.__aexit__(kind, error, trace))
        await _closed(self._source)
        return None


class _EitherStream(Stream[T], AsyncStream[T]):  # type: ignore[misc]  # close() is the sync one; aclose() is there too
    """A source that is iterable both ways, as LiteLLM's is: whoever loops decides."""

    __slots__ = ()


def _in_a_generator_that_goes() -> bool:
    """Whether this is the `finally` of a generator that is being closed, perhaps by a collection inside some lock."""
    return isinstance(sys.exception(), GeneratorExit)


async def _closed(source: Any) -> None:
    close = getattr(source, "aclose", None) or getattr(source, "close", None)
    if close is not None:
        done = close()
        if inspect.isawaitable(done):
            await done


@contextmanager
def _sending(call: Call) -> Iterator[None]:
    """The first pull: a generator that makes its own LLM call now makes it as a part of this one."""
    outer = under_way.get()
    if outer is not None and outer is not call and outer.takes_part():
        outer.join(call)  # made before, and read inside: the outer one is made of it
    under_way.set(call)
    try:
        yield
    finally:
        if under_way.get() is call:
            under_way.set(outer)


def wrapped(source: Any, call: Call) -> Any:
    """`source` as a stream of `call`. UsageTypeError where it cannot be iterated."""
    kind = type(source)
    is_async, is_sync = hasattr(kind, "__aiter__"), hasattr(kind, "__iter__")
    whole = isinstance(source, (str, bytes, bytearray, memoryview, Mapping)) or hasattr(kind, "__pydantic_fields__")
    if whole or not (is_async or is_sync):
        hint = ": await it first" if inspect.isawaitable(source) else ""
        raise UsageTypeError(f"stream() takes an iterable of chunks, sync or async, got {shown(source)}{hint}")
    call = the_call(call, streamed=True)
    if issubclass(kind, _Driver) and source._call is call:  # a wrapped client's, made inside this call's block
        return source
    if call.driven:
        call = call.another()
    if issubclass(kind, _Driver):
        call.join(source._call)
    call.drive()
    driver = _EitherStream if is_async and is_sync else AsyncStream if is_async else Stream
    return driver(source, call)


class _Closable(Protocol):
    """A stream object of an SDK: it has its response, and knows how to close itself."""

    response: Any

    def close(self) -> Any: ...


S = TypeVar("S", bound=_Closable)


@overload
def stream(
    source: S, *, provider: str | None = None, model: str | None = None, input: Any = None, tools: Any = None,
    **fields: Any,
) -> S: ...  # fmt: skip
@overload
def stream(
    source: AsyncIterable[T_co], *, provider: str | None = None, model: str | None = None, input: Any = None,
    tools: Any = None, **fields: Any,
) -> AsyncStream[T_co]: ...  # fmt: skip
@overload
def stream(
    source: Iterable[T_co], *, provider: str | None = None, model: str | None = None, input: Any = None,
    tools: Any = None, **fields: Any,
) -> Stream[T_co]: ...  # fmt: skip
def stream(
    source: Any, *, provider: str | None = None, model: str | None = None, input: Any = None, tools: Any = None,
    **fields: Any,
) -> Any:  # fmt: skip
    """`source`, wrapped: the chunks of one LLM call, handed on unchanged, and one record when it ends, however it ends.

    `source`: any sync or async iterable of chunks that is already there (the clock starts now): an SDK's stream
    object, or an iterator of SDK chunks, of the raw JSON as dicts, or of text. `provider`: whose chunks they are,
    where their type does not tell. `model`, `input` (messages or prompt) and `tools`: for counting and pricing where
    the provider sends no usage. `fields`: more fields of the record. UsageTypeError for a source that cannot be
    iterated (an awaitable: await it), UsageValueError for an unknown provider.
    """
    call = Call(provider=provider, model=model, input=input, tools=tools, fields=fields)
    return wrapped(source, call)
