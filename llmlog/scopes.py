"""Scopes of a request: a block, a function, the steps of a generator; and its context carried to where work goes on.

No token is kept: a scope that is left in another task or thread than it was entered in restores only what is still
its own. Generators hold their context between their steps and give the consumer its own one back at each `yield`.
"""

from __future__ import annotations

import contextvars
import functools
import pickle
from collections.abc import AsyncGenerator, Callable, Generator
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from types import TracebackType
from typing import Any, TypeVar, cast, overload

from llmlog.context import Context, current, enter, new_id
from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.request_state import RequestState

__all__ = ["RequestScope", "carry", "request"]

F = TypeVar("F", bound=Callable[..., Any])


class RequestScope:
    """What `request(...)` returns: a context manager for `with` and `async with`, and a decorator."""

    def __init__(self, request_id: str | None, fields: dict[str, Any]) -> None:
        self._request_id = request_id
        self._fields = fields
        self._entered: list[tuple[Context, Context]] = []  # (outer, ours): a scope may be entered again

    def _open(self) -> Context:
        outer = current()
        request_id = self._request_id or outer.get("request_id") or new_id()
        parent = outer.request
        around = None if parent is None or parent.closed else parent
        state = RequestState(around, part=around is not None and request_id == outer.get("request_id"))
        return outer.extended({"request_id": request_id, **self._fields}, state)

    def __enter__(self) -> Context:
        outer, ours = current(), self._open()
        self._entered.append((outer, ours))
        enter(ours)
        return ours

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._entered:
            return
        request = current().request
        place = len(self._entered) - 1  # two tasks may share one scope: each leaves its own
        for number, (_, entered) in enumerate(self._entered):
            if entered.request is request:
                place = number
        outer, ours = self._entered.pop(place)
        state = cast(RequestState, ours.request)
        now = current()
        if now.request is state:
            enter(_still_open(outer))
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
    request's context with it and leaves the others as they are where it runs. A plain function may go to another
    process (it is pickled as it is): there it runs in a request with the same fields.
    """
    if not callable(fn):
        raise UsageTypeError(f"carry() takes a function, got {shown(fn)}")
    now = current()
    if _kind(fn) != "function":
        return cast(F, _decorated(fn, lambda: _Steps(now, owned=False)))
    return cast(F, _Carried(fn, now))


class _Carried:
    """A function with the context of where it was carried from."""

    def __init__(self, fn: Callable[..., Any], now: Context) -> None:
        functools.update_wrapper(self, fn)
        self._fn, self._now = fn, now
        self._snapshot = contextvars.copy_context()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._snapshot.copy().run(self._fn, *args, **kwargs)  # a copy: two threads may run it at the same time

    def __reduce__(self) -> Any:
        return _arrived, (self._fn, {name: value for name, value in self._now.items() if _can_be_pickled(value)})


def _arrived(fn: Callable[..., Any], fields: dict[str, Any]) -> Callable[..., Any]:
    return request(**fields)(fn) if fields.get("request_id") else fn


def _can_be_pickled(value: Any) -> bool:
    try:
        pickle.dumps(value)
    except Exception:  # a connection, a lock: it stays where it is
        return False
    return True


class _Steps:
    """A context that is current only while a step runs, and keeps what the step has bound."""

    __slots__ = ("_context", "_outer", "_owned")

    def __init__(self, context: Context, *, owned: bool) -> None:
        self._context = context
        self._owned = owned

    def __enter__(self) -> None:
        self._outer = current()
        enter(self._context)

    def __exit__(self, *exc_info: object) -> None:
        now = current()
        if now.request is self._context.request:  # else it ends in another context, which is not ours to change
            self._context = now
            enter(self._outer)

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
