"""Stream and AsyncStream: thin drivers around a `Call`, objects and not generators.

`iter()` hands out a small iterator for each loop, whose disappearance tells that the loop was left; the wrapper's
own disappearance ends the call. Nothing is delayed, swallowed, reordered or rewritten, and only what the consumer
closes is closed.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, cast, overload

from llmlog.calls import Call, the_call
from llmlog.drivers import AsyncDriver, Driver, SyncDriver
from llmlog.exceptions import UsageTypeError, shown
from llmlog.lifecycle import how_it_left, open_call
from llmlog.providers.litellm import call_id_of

__all__ = ["AsyncStream", "Stream", "stream", "wrapped"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


_OWN = frozenset({*Driver.__slots__, "_manager", "_source"})


class _Wrapper(Driver[T]):
    """What both kinds of stream have in common: they pass for their source, and their end is the call's."""

    __slots__ = ("__dict__", "__weakref__", "_manager", "_source")

    def __init__(self, source: Any, call: Call) -> None:
        super().__init__(call, None)
        self._source: Any = source
        self._manager: Any = source  # whose `with` it is; entering it may give another object

    def __del__(self) -> None:
        try:
            call = self._call
        except AttributeError:  # it was never made
            return
        if call.is_open:  # nobody can go on with the stream now
            call.end("loop_left" if call.is_left else "garbage_collected", deferred=True)

    def _is_in_a_generator_that_goes(self, exception: Callable[[], BaseException | None] = sys.exception) -> bool:
        """Whether this is the `finally` of a generator that is being closed, perhaps by a collection inside some lock.

        Bound to what it needs: when the interpreter ends, the names of this module may be gone before a stream is.
        """
        return isinstance(exception(), GeneratorExit)

    def __getattr__(self, name: str) -> Any:
        # `_source` itself arrives here only where it is not set: a copy, or a debugger while the wrapper is made.
        if name == "_source" or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self._source, name)

    def __setattr__(self, name: str, value: Any) -> None:
        # What others hang on to a stream, or put in the place of an SDK's own, takes effect on that one. What is here
        # too, such as close(), is replaced here: it may well call the one that it replaces.
        holder = self if name in _OWN or hasattr(type(self), name) else self._source
        object.__setattr__(self, name, value) if holder is self else setattr(holder, name, value)

    @property  # type: ignore[misc]  # `object` says that it can be set
    def __class__(self) -> type:
        try:
            return cast(type, self._source.__class__)
        except AttributeError:
            return type(self)

    def __repr__(self) -> str:
        return f"<llmlog.{type(self).__name__} of {shown(self._source)}>"


class _Loop(SyncDriver[T]):
    """The iterator of one loop over a `Stream`."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Stream[T]) -> None:
        super().__init__(stream._call, stream._chunks)
        stream._call.loops += 1
        self._stream = stream

    def _begin(self) -> Any:
        return self._stream._begin()

    def __iter__(self) -> Self:
        return self

    # What `yield from` looks for, and a generator has. Not by __getattr__: with it, Python 3.11 takes twice as long for
    # each attribute of this class.

    def send(self, value: Any) -> Any:
        """The source's own `send()`."""
        return self._stream._begin().send(value)

    def throw(self, *error: Any) -> Any:
        """The source's own `throw()`; where it has none, the exception is raised here, as `yield from` does."""
        throw = getattr(self._stream._begin(), "throw", None)
        if throw is None:
            raise error[1] if len(error) > 1 and error[1] is not None else error[0]
        return throw(*error)

    def close(self) -> None:
        """The source's own `close()`, where it has one."""
        close = getattr(self._stream._begin(), "close", None)
        if close is not None:
            close()

    def __del__(self) -> None:
        try:
            call = self._stream._call
        except AttributeError:  # it was never made
            return
        call.loops -= 1
        if not call.loops:
            call.left()


class Stream(SyncDriver[T], _Wrapper[T]):
    """A synchronous stream, wrapped. It passes for its source: `isinstance`, attributes and methods are the source's.

    `with` and `close()` are always there.
    """

    __slots__ = ()

    def _begin(self) -> Any:
        if self._chunks is None:
            self._chunks = iter(self._source)
        return self._chunks

    def __iter__(self) -> Iterator[T]:
        self._call.resumed()
        return _Loop(self)

    def _first(self) -> T:
        self._call.by_hand()
        return super()._first()

    def close(self) -> None:
        """Close the source, where it can be closed; the call ends here."""
        self._call.end("close", deferred=self._is_in_a_generator_that_goes())
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


class _AsyncLoop(AsyncDriver[T]):
    """The iterator of one loop over an `AsyncStream`."""

    __slots__ = ("_stream",)

    def __init__(self, stream: AsyncStream[T]) -> None:
        super().__init__(stream._call, stream._chunks)
        stream._call.loops += 1
        self._stream = stream

    def _abegin(self) -> Any:
        return self._stream._abegin()

    def __aiter__(self) -> Self:
        return self

    def asend(self, value: Any) -> Any:
        """The source's own `asend()`."""
        return self._stream._abegin().asend(value)

    def athrow(self, *error: Any) -> Any:
        """The source's own `athrow()`."""
        return self._stream._abegin().athrow(*error)

    async def aclose(self) -> None:
        """The source's own `aclose()`, where it has one."""
        close = getattr(self._stream._abegin(), "aclose", None)
        if close is not None:
            await close()

    def __del__(self) -> None:
        try:
            call = self._stream._call
        except AttributeError:  # it was never made
            return
        call.loops -= 1
        if not call.loops:
            call.left()


class AsyncStream(AsyncDriver[T], _Wrapper[T]):
    """An asynchronous stream, wrapped. It passes for its source: `isinstance`, attributes and methods are the source's.

    `async with`, `close()` and `aclose()` are always there; both are awaited.
    """

    __slots__ = ()

    def _abegin(self) -> Any:
        if self._chunks is None:
            self._chunks = aiter(self._source)
        return self._chunks

    def __aiter__(self) -> AsyncIterator[T]:
        self._call.resumed()
        return _AsyncLoop(self)

    async def _afirst(self) -> T:
        self._call.by_hand()
        return await super()._afirst()

    async def aclose(self) -> None:
        """Close the source, where it can be closed; the call ends here."""
        self._call.end("close", deferred=self._is_in_a_generator_that_goes())
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


async def _closed(source: Any) -> None:
    close = getattr(source, "aclose", None) or getattr(source, "close", None)
    if close is not None:
        done = close()
        if inspect.isawaitable(done):
            await done


def wrapped(source: Any, call: Call) -> Any:
    """`source` as a stream of `call`. UsageTypeError where it cannot be iterated."""
    kind = type(source)
    is_async, is_sync = hasattr(kind, "__aiter__"), hasattr(kind, "__iter__")
    whole = isinstance(source, (str, bytes, bytearray, memoryview, Mapping)) or hasattr(kind, "__pydantic_fields__")
    if whole or not (is_async or is_sync):
        hint = ": await it first" if inspect.isawaitable(source) else ""
        raise UsageTypeError(f"stream() takes an iterable of chunks, sync or async, got {shown(source)}{hint}")
    part: Call | None = source._call if issubclass(kind, Driver) else _told_of(source, call)
    call.streamed = True
    call = the_call(call, streamed=True, part=part)
    if part is call:  # a wrapped client's, made inside this call's block
        return source
    if call.driven:
        call = call.another()
        if part is not None:
            call.join(part)
    call.drive()
    driver = _EitherStream if is_async and is_sync else AsyncStream if is_async else Stream
    return driver(source, call)


def _told_of(source: Any, call: Call) -> Call | None:
    """The call that LiteLLM has told of before it handed out this stream of it, where that is not `call`."""
    try:
        found = open_call(call_id_of(source))
    except Exception:  # an object whose attributes raise
        return None
    if isinstance(found, Call) and found is not call:
        found.drive()  # its answer is here: the sending is over
        return found
    return None


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
    object, or an iterator of SDK chunks, of the raw JSON as dicts, of LangChain's or LiteLLM's chunks, of a body's
    lines or pieces as httpx and aiohttp hand them on, or of text. `provider`: whose chunks they are, where their type
    does not tell. `model`, `input` (messages or prompt) and `tools`: for counting and pricing where
    the provider sends no usage. `fields`: more fields of the record. UsageTypeError for a source that cannot be
    iterated (an awaitable: await it), UsageValueError for an unknown provider.
    """
    call = Call(provider=provider, model=model, input=input, tools=tools, fields=fields)
    return wrapped(source, call)
