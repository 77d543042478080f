"""The context that work is done in: one `ContextVar` that holds one immutable `Context`, replaced and never changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

from llmlog.exceptions import UsageTypeError, shown
from llmlog.request_state import RequestState, Totals
from llmlog.semconv import attribute_name

__all__ = ["NOTHING", "Context", "bind", "current", "enter", "new_id", "totals", "unbind"]

NOTHING: Mapping[str, Any] = MappingProxyType({})
"""No fields: one for all, since most calls have none of their own, and no trace."""

CARRIED = frozenset({"trace_flags", "tracestate", "baggage"})
"""Fields that travel on to the next service (`propagation.inject`) and stay out of the records."""


def new_id() -> str:
    """A fresh random id: 32 hexadecimal digits, the shape of a W3C trace id."""
    return os.urandom(16).hex()


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

    def extended(self, fields: dict[str, Any], request: RequestState | None) -> Context:
        """These fields and more, of this request."""
        return Context({**self._fields, **fields}, request)

    def attributes(self) -> dict[str, Any]:
        """The fields as a LogRecord bears them: names it already has get a trailing underscore. Do not change it."""
        made = self._attributes
        if made is None:
            made = {attribute_name(k): v for k, v in self._fields.items() if k not in CARRIED}
            self._attributes = made
        if (state := self.request) is not None and state.route is not None:
            template = state.route()
            if template is not None and "http_route" not in made:
                return {**made, "http_route": template}
        return made


_EMPTY = Context({})
_current: ContextVar[Context] = ContextVar("llmlog", default=_EMPTY)


def current() -> Context:
    """The context of now: a read-only mapping of the request's fields, empty outside any request."""
    return _current.get()


def enter(context: Context) -> None:
    """Have `context` be the current one."""
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
    if now.request is not None:
        now.request.bound.update(fields)
    _current.set(now.extended(fields, now.request))


def unbind(*names: str) -> None:
    """Take fields out of the current context; names it does not have are passed over."""
    for name in names:
        if not isinstance(name, str):
            raise UsageTypeError(f"unbind() takes names of fields, got {shown(name)}")
    now = _current.get()
    if now.request is not None:
        for name in names:
            now.request.bound.pop(name, None)
    _current.set(Context({k: v for k, v in now._fields.items() if k not in names}, now.request))
