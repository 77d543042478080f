"""One call around one sending: begun before it, failed with it, and given what comes of it. Knows no SDK."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import CodeType
from typing import Any

from llmlog.calls import Call, the_call
from llmlog.faults import fault
from llmlog.providers import named

__all__ = [
    "Answered",
    "Asked",
    "Begin",
    "Options",
    "Undo",
    "answered",
    "around",
    "begin",
    "parameters",
    "request_of",
    "was_sent",
]


@dataclass(frozen=True, slots=True)
class Options:
    """What `wrap()` was given for one client. `again`: wraps a copy of it in the same way."""

    ask_usage: bool
    capture: int | None
    fields: Mapping[str, Any]
    again: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for. Whatever the user has passed may be in `model`, `input` and `tools`.

    `format`: the name of the format that the answer most likely comes in; `provider`: whose answer it is.
    `operation`: what a failure was to be, where it is not what that format is mostly for.
    """

    format: str
    provider: str
    model: Any = None
    input: Any = None
    tools: Any = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    operation: str | None = None
    streamed: bool = False


_ABSENT = object()


class Undo:
    """What stood in the objects' own dicts before `wrap()`, for `unwrap()` to put it back."""

    def __init__(self) -> None:
        self._before: list[tuple[dict[str, Any], str, Any]] = []

    def remember(self, holder: Any, name: str) -> None:
        """Have this attribute restored."""
        own = vars(holder)
        self._before.append((own, name, own.get(name, _ABSENT)))

    def put(self, holder: Any, name: str, value: Any) -> None:
        """Set this attribute."""
        self.remember(holder, name)
        setattr(holder, name, value)

    def drop(self, holder: Any, name: str) -> None:
        """Take this attribute away, where the object has one of its own."""
        self.remember(holder, name)
        vars(holder).pop(name, None)

    def undo(self) -> None:
        """Restore everything."""
        for own, name, value in reversed(self._before):
            if value is _ABSENT:
                own.pop(name, None)
            else:
                own[name] = value
        self._before.clear()


# What is asked for

_FLOATS = frozenset({"temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty"})
_INTS = frozenset({"max_tokens", "seed", "choice_count"})


def parameters(**found: Any) -> dict[str, Any]:
    """The request's parameters by the names of their fields; what is not of their kind is left out.

    A value may be a tuple of what the request has under several names: the first of the right kind counts.
    """
    taken = {}
    for name, value in found.items():
        for one in value if isinstance(value, tuple) else (value,):
            if _is_kind(name, one):
                taken[name] = getattr(one, "value", one)  # of an enumeration
                break
    if taken.get("choice_count") == 1:
        del taken["choice_count"]
    return taken


def _is_kind(name: str, value: Any) -> bool:
    if name in _FLOATS:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if name in _INTS:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, str)


def request_of(body: Mapping[str, Any], *names: str, **others: Any) -> dict[str, Any] | None:
    """What of a request's body the model reads, as it is now: a list of the caller's may grow. None: nothing.

    `others`: what the body has under other names.
    """
    found = {name: value for name, value in ({name: body.get(name) for name in names} | others).items() if value}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()} or None


# The call

_SENDING: set[CodeType] = set()
"""The code of what sends: an exception that did not pass through it came from what stands before."""


def begin(options: Options, asked: Asked, *, hide_usage: bool = False) -> Call:
    """A call that is under way."""
    call = Call(
        model=asked.model if isinstance(asked.model, str) else None,
        input=asked.input if isinstance(asked.input, (str, list, tuple, Mapping)) else None,
        tools=asked.tools if isinstance(asked.tools, (list, tuple)) else None,
        fields={**options.fields, **asked.parameters},
    )
    if asked.operation is not None:
        call.fields = {"operation": asked.operation, **call.fields}
    call.reader = named(asked.format) or call.reader
    call.provider = asked.provider
    call.streamed = asked.streamed
    call.hide_usage = hide_usage
    if options.capture is not None:
        call.settings = replace(call.settings, capture=options.capture)
    return the_call(call, streamed=asked.streamed)


Begin = Callable[[tuple[Any, ...], dict[str, Any]], tuple[Call, tuple[Any, ...], dict[str, Any]] | None]
"""Begins the call of a sending with these arguments; gives the call, and what to send. None: it is no call."""

Answered = Callable[[Call, Any, dict[str, Any]], Any]
"""Watches what the sending has returned; gives what to return in its place."""


def around(send: Callable[..., Any], *, is_async: bool, begin: Begin, answered: Answered) -> Callable[..., Any]:
    """`send`, with a call around each sending. What goes wrong here is no reason not to send."""

    observed: Any

    def begun(args: Any, kwargs: Any) -> tuple[Call | None, Any, Any]:
        try:
            return begin(args, kwargs) or (None, args, kwargs)
        except Exception as error:
            fault("beginning a call", error)
            return None, args, kwargs

    def watched(call: Call, answer: Any, kwargs: Any) -> Any:
        try:
            return answered(call, answer, kwargs)
        except Exception as error:
            fault("watching an answer", error)
            call.end("exhausted")
            return answer

    if is_async:

        @functools.wraps(send)
        async def asend(*args: Any, **kwargs: Any) -> Any:
            call, args, kwargs = begun(args, kwargs)
            try:
                answer = await send(*args, **kwargs)
            except BaseException as error:
                if call is not None:
                    call.failed(error)
                raise
            return answer if call is None else watched(call, answer, kwargs)

        observed = asend
        _SENDING.add(observed.__code__)
        return asend

    @functools.wraps(send)
    def send_it(*args: Any, **kwargs: Any) -> Any:
        call, args, kwargs = begun(args, kwargs)
        try:
            answer = send(*args, **kwargs)
        except BaseException as error:
            if call is not None:
                call.failed(error)
            raise
        return answer if call is None else watched(call, answer, kwargs)

    observed = send_it
    _SENDING.add(observed.__code__)
    return send_it


def was_sent(error: BaseException) -> bool:
    """Whether an exception came out of a sending, which has told of it; or from before."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in _SENDING:
            return True
        trace = trace.tb_next
    return False


def answered(call: Call, answer: Any) -> Any:
    """An SDK's answer: a stream wrapped, a whole one read."""
    if call.streamed:
        return call.stream(answer)
    if call.is_open:
        if isinstance(answer, str):  # as a transcription may come
            call.reader = named("text") or call.reader
        call.finish(answer)
    return answer
