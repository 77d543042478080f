"""The request that work is done for: one `ContextVar` that holds one immutable `Context`.

A `Context` is replaced, never changed, and no token is kept: a scope that is left in another task or thread than
it was entered in restores only what is still its own. Generators hold their context between their steps and give
the consumer its own one back at each `yield`.
"""

from __future__ import annotations

import contextvars
import functools
import os
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from contextvars import ContextVar
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple, Protocol, TypeVar, cast, overload

from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.semconv import attribute_name

__all__ = [
    "NOTHING",
    "Context",
    "RequestScope",
    "RequestState",
    "Totals",
    "bind",
    "carry",
    "current",
    "enter",
    "new_id",
    "request",
    "totals",
    "unbind",
]

F = TypeVar("F", bound=Callable[..., Any])

NOTHING: Mapping[str, Any] = MappingProxyType({})
"""No fields: one for all, since most calls have none of their own, and no trace."""

CARRIED = frozenset({"trace_flags", "tracestate", "baggage"})
"""Fields that travel on to the next service (`propagation.inject`) and stay out of the records."""


def new_id() -> str:
    """A fresh random id: 32 hexadecimal digits, the shape of a W3C trace id."""
    return os.urandom(16).hex()


_adding = threading.RLock()  # reentrant: a signal handler may end a call while one is being added


def _after_fork_in_child() -> None:
    global _adding
    _adding = threading.RLock()  # the parent's may have been held by a thread that is not here


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class Left(Protocol):
    """A call whose loop was left while its stream is still held; the end of its request settles it."""

    def settle(self, *, deferred: bool) -> None: ...


class Totals(NamedTuple):
    """What the ended calls of one request come to, those of the requests inside it included."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    """US dollars, of the calls whose price is known."""
    cost_partial: bool = False
    """Whether the price of any is not known, or only in part: the cost is a lower bound."""


class RequestState:
    """What one request has run up so far, shared by all its contexts. Figures of nested requests count in outer ones.

    `totals` of its ended calls; `disconnected`: whether the client has hung up, as the middleware saw it. `part`: it
    goes on with the request around it, under the same id.
    """

    __slots__ = ("_over_budget", "closed", "disconnected", "left", "parent", "part", "passed_over", "restores",
                 "totals")  # fmt: skip

    def __init__(self, parent: RequestState | None = None, *, part: bool = False) -> None:
        self.parent = parent
        self.part = part
        self.totals = Totals()
        self.disconnected = False
        self.closed = False
        self.left: dict[str, Left] = {}  # by call_id
        self.passed_over = False
        self.restores: Context | None = None
        self._over_budget = False

    def add(
        self,
        *,
        input_tokens: int = 0,
        output_tokens: int = 0,
        cost_usd: float | None = None,
        cost_partial: bool = False,
        budget_usd: float | None = None,
    ) -> bool:
        """Count one ended call; a cost of None is not known. Whether this one took the request over its budget."""
        with _adding:
            while True:
                old = self.totals
                new = Totals(
                    old.calls + 1,
                    old.input_tokens + input_tokens,
                    old.output_tokens + output_tokens,
                    round(old.cost_usd + (cost_usd or 0.0), 12),  # sums of floats gather dust, and budgets are round
                    old.cost_partial or cost_partial or cost_usd is None,
                )
                if self.totals is old:  # a signal's handler, in this thread, may have added a call meanwhile
                    self.totals = new
                    break
            if budget_usd is None or self.part or self._over_budget or self.totals.cost_usd <= budget_usd:
                return False
            self._over_budget = True
            return True

    def close(self, *, deferred: bool = False) -> None:
        """The request is over: settle the streams whose loop was left. `deferred` where nothing may be logged now."""
        self.closed = True
        while self.left:
            try:
                _, call = self.left.popitem()
            except KeyError:
                break  # another thread took the last one
            call.settle(deferred=deferred)
        if self.disconnected:
            for action in on_hang_up:
                action(self, deferred)
        if not deferred:
            for safe_point in safe_points:
                safe_point()
        self.parent = None  # a chain of tasks that each begin a request must not keep all of them alive

    def hung_up(self) -> bool:
        """Whether the client of this request, or of one around it, has hung up."""
        return any(state.disconnected for state in self.around())

    def around(self) -> Iterator[RequestState]:
        """This request and those around it that were open when it began."""
        state: RequestState | None = self
        while state is not None:
            yield state
            state = state.parent


safe_points: list[Callable[[], None]] = []
"""What to run where a request is left: the worker adds itself, to log what ended inside a finaliser."""

on_hang_up: list[Callable[[RequestState, bool], None]] = []
"""What to run, with `deferred`, where a request is left whose client has hung up: calls adds itself."""


class Context(Mapping[str, Any]):
    """The fields of the current request, read-only. `.request` is the request's running state (None outside one)."""

    __slots__ = ("_attributes", "_fields", "request")

    def __init__(self, fields: dict[str, Any], request: RequestState | None = None) -> None:
        self._fields = fields  # ours alone: nobody changes it after this
        self.request = request
        self._attributes: dict[str, Any] | None = None

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Context({shown(self._fields, 400)})"

    def attributes(self) -> dict[str, Any]:
        """The fields as a LogRecord bears them: names it already has get a trailing underscore. Do not change it."""
        made = self._attributes
        if made is None:
            made = {attribute_name(k): v for k, v in self._fields.items() if k not in CARRIED}
            self._attributes = made
        return made


_EMPTY = Context({})
_current: ContextVar[Context] = ContextVar("llmlog", default=_EMPTY)


def current() -> Context:
    """The context of now: a read-only mapping of the request's fields, empty outside any request."""
    return _current.get()


def enter(context: Context) -> None:
    """Have `context` be the current one, in a copy of Python's own context that is thrown away afterwards."""
    _current.set(context)


def totals() -> Totals:
    """What the ended calls of the current request come to so far; of none, where there is no request.

    A call counts when its record is made: one with a long text and no usage of the provider's a moment after its end.
    """
    state = _current.get().request
    return Totals() if state is None else state.totals


def bind(**fields: Any) -> None:
    """Add fields to the current context: from here on every record of this request bears them."""
    now = _current.get()
    _current.set(Context({**now._fields, **fields}, now.request))


def unbind(*names: str) -> None:
    """Take fields out of the current context; names it does not have are passed over."""
    for name in names:
        if not isinstance(name, str):
            raise UsageTypeError(f"unbind() takes names of fields, got {shown(name)}")
    now = _current.get()
    _current.set(Context({k: v for k, v in now._fields.items() if k not in names}, now.request))


class RequestScope:
    """What `request(...)` returns: a context manager for `with` and `async with`, and a decorator."""

    def __init__(self, request_id: str | None, fields: dict[str, Any]) -> None:
        self._request_id = request_id
        self._fields = fields
        self._entered: list[tuple[Context, Context]] = []  # (outer, ours): a scope may be entered again

    def _open(self) -> Context:
        outer = _current.get()
        request_id = self._request_id or outer._fields.get("request_id") or new_id()
        parent = outer.request
        around = None if parent is None or parent.closed else parent
        state = RequestState(around, part=around is not None and request_id == outer._fields.get("request_id"))
        return Context({**outer._fields, "request_id": request_id, **self._fields}, state)

    def __enter__(self) -> Context:
        outer, ours = _current.get(), self._open()
        self._entered.append((outer, ours))
        _current.set(ours)
        return ours

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._entered:
            return
        request = _current.get().request
        place = len(self._entered) - 1  # two tasks may share one scope: each leaves its own
        for number, (_, entered) in enumerate(self._entered):
            if entered.request is request:
                place = number
        outer, ours = self._entered.pop(place)
        state = cast(RequestState, ours.request)
        now = _current.get()
        if now.request is state:
            _current.set(_still_open(outer))
        elif now.request is not None and state in now.request.around():
            # Left before a request inside it: that one is to restore what was outside this one.
            state.passed_over, state.restores = True, outer
        # A client's hang-up may arrive as GeneratorExit, in a finaliser: then nothing may be logged here.
        state.close(deferred=kind is GeneratorExit)

    async def __aenter__(self) -> Context:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, fn: F) -> F:
        """`fn` with a request of its own around each call; for generators, around each step of each one."""
        if not callable(fn):
            raise UsageTypeError(f"request() decorates a function, got {shown(fn)}")
        return cast(F, _decorated(fn, self._fresh))

    def _fresh(self) -> _Steps:
        return _Steps(self._open(), owned=True)


def _still_open(context: Context) -> Context:
    while (state := context.request) is not None and state.passed_over and state.restores is not None:
        context = state.restores
    return context


@overload
def request(request_id: F) -> F: ...
@overload
def request(request_id: str | None = None, **fields: Any) -> RequestScope: ...
def request(request_id: Any = None, **fields: Any) -> Any:
    """The scope of one request: every record and every LLM call inside bears its id and its fields.

    A context manager (`with` and `async with`, giving the `Context`) and a decorator, with and without brackets,
    for functions, coroutine functions, generators and async generators, whose request begins with their first step.
    `request_id`: text; without one the id of the request around it, or else a fresh one. UsageTypeError or
    UsageValueError for an id that is not text, or empty.
    """
    if callable(request_id) and not fields:
        return RequestScope(None, {})(request_id)
    if request_id is not None and not isinstance(request_id, str):
        raise UsageTypeError(f"request_id is text or None, got {shown(request_id)}")
    if request_id is not None and not request_id.strip():
        raise UsageValueError(f"request_id may not be empty, got {shown(request_id)}")
    return RequestScope(request_id, fields)


def carry(fn: F) -> F:
    """`fn`, to be run elsewhere (a thread, an executor, a callback), in the context of now.

    All of Python's context variables go along for a plain function; a coroutine function or a generator takes the
    request's context with it and leaves the others as they are where it runs.
    """
    if not callable(fn):
        raise UsageTypeError(f"carry() takes a function, got {shown(fn)}")
    now = _current.get()
    if _kind(fn) != "function":
        return cast(F, _decorated(fn, lambda: _Steps(now, owned=False)))
    snapshot = contextvars.copy_context()

    @functools.wraps(fn)
    def carried(*args: Any, **kwargs: Any) -> Any:
        return snapshot.copy().run(fn, *args, **kwargs)  # a copy: two threads may run it at the same time

    return cast(F, carried)


class _Steps:
    """A context that is current only while a step runs, and keeps what the step has bound."""

    __slots__ = ("_context", "_outer", "_owned")

    def __init__(self, context: Context, *, owned: bool) -> None:
        self._context = context
        self._owned = owned

    def __enter__(self) -> None:
        self._outer = _current.get()
        _current.set(self._context)

    def __exit__(self, *exc_info: object) -> None:
        now = _current.get()
        if now.request is self._context.request:  # else it ends in another context, which is not ours to change
            self._context = now
            _current.set(self._outer)

    def close(self, *, deferred: bool = False) -> None:
        state = self._context.request
        if self._owned and state is not None:
            state.close(deferred=deferred)


def _kind(fn: Callable[..., Any]) -> str:
    for candidate in (fn, getattr(fn, "__call__", None)):  # noqa: B004 - an object's async __call__ counts
        if isasyncgenfunction(candidate):
            return "async generator"
        if iscoroutinefunction(candidate):
            return "coroutine"
        if isgeneratorfunction(candidate):
            return "generator"
    return "function"


def _decorated(fn: Callable[..., Any], steps: Callable[[], _Steps]) -> Callable[..., Any]:
    kind = _kind(fn)
    if kind == "async generator":

        @functools.wraps(fn)
        async def async_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            held, source = steps(), fn(*args, **kwargs)
            step = functools.partial(source.asend, None)
            dropped = False
            try:
                while True:
                    with held:
                        try:
                            item = await step()
                        except StopAsyncIteration:
                            return
                    try:
                        sent = yield item
                    except GeneratorExit:
                        dropped = True
                        with held:
                            await source.aclose()
                        raise
                    except BaseException as error:
                        step = functools.partial(source.athrow, error)
                    else:
                        step = functools.partial(source.asend, sent)
            finally:
                held.close(deferred=dropped)

        return async_generator

    if kind == "generator":

        @functools.wraps(fn)
        def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            held, source = steps(), fn(*args, **kwargs)
            step = functools.partial(source.send, None)
            dropped = False
            try:
                while True:
                    with held:
                        try:
                            item = step()
                        except StopIteration as stop:
                            return stop.value
                    try:
                        sent = yield item
                    except GeneratorExit:
                        dropped = True
                        with held:
                            source.close()
                        raise
                    except BaseException as error:
                        step = functools.partial(source.throw, error)
                    else:
                        step = functools.partial(source.send, sent)
            finally:
                held.close(deferred=dropped)

        return generator

    if kind == "coroutine":

        @functools.wraps(fn)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            held = steps()
            dropped = False
            try:
                with held:
                    return await fn(*args, **kwargs)
            except GeneratorExit:  # closed, or collected, while it was waiting
                dropped = True
                raise
            finally:
                held.close(deferred=dropped)

        return coroutine

    @functools.wraps(fn)
    def function(*args: Any, **kwargs: Any) -> Any:
        held = steps()
        try:
            with held:
                return fn(*args, **kwargs)
        finally:
            held.close()

    return function
