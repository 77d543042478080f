"""One request, as it passes between a server and an application, and the one record that sums it up.

Sans I/O: the middleware tells what passes, whichever interface it stands in.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from llmlog import records, request_state, settings, worker
from llmlog.captures import cut
from llmlog.context import Context, current, enter, new_id
from llmlog.faults import fault
from llmlog.lifecycle import how_it_left
from llmlog.middleware.edges import visible
from llmlog.plain import text_of, type_name
from llmlog.propagation import trace_of_now
from llmlog.redaction import redact
from llmlog.request_state import RequestState, Totals

__all__ = ["SEEN", "Connection", "Exchange", "is_open", "leave", "opened"]

SEEN = "llmlog.request"
"""In a scope or an environ: the state of its request, for a middleware of ours further in, which has nothing to add."""

_MAX_ERROR = 500
_CLOSED_BY_CHOICE = frozenset({1000, 1001, 1005})  # done, going away, and no code at all


def opened(fields: dict[str, Any]) -> Context:
    """The context of a request that begins here: of its own, or inside one that is open.

    What an earlier request of this task has left behind is none of its business.
    """
    outer = current()
    around = outer.request
    if around is not None and around.closed:
        outer, around = Context({}), None
    return outer.extended(fields, RequestState(around))


def is_open(seen: object) -> bool:
    """Whether what stands under `SEEN` is a request that is not over."""
    return isinstance(seen, RequestState) and not seen.closed


def leave(ours: RequestState, outer: Context) -> None:
    """Go back to the context outside a request, from inside it, or from one inside that was never left."""
    now = current().request
    if now is not None and ours in now.around():
        enter(outer)


class Route:
    """Tells a request's route: `ask` does while the request is under way; what it said last, once it is over."""

    __slots__ = ("_ask", "_found")

    def __init__(self, ask: Callable[[], str | None]) -> None:
        self._ask: Callable[[], str | None] | None = ask
        self._found: str | None = None

    def __call__(self) -> str | None:
        if self._ask is None:
            return self._found
        try:
            found = self._ask()
            return visible(found) if found else None
        except Exception as error:
            fault("reading a request's route", error)
            return None

    def settle(self) -> None:
        """The request is over: what it came with is let go of."""
        self._found, self._ask = self(), None


class Exchange:
    """An HTTP request and its response: what has passed so far. `end()` makes the record, once.

    `status` of the response, once it has begun. `whole`: the last byte of it is out. `route`: tells the route's
    template, asked at the end. `declared`: how long the request's body is, by its Content-Length.
    """

    __slots__ = (
        "_at", "_clock", "_created", "_declared", "_first_byte", "_is_logged", "_route", "_started", "context",
        "received", "sent", "state", "status", "whole",
    )  # fmt: skip

    event = "http.request"

    def __init__(
        self,
        context: Context,
        *,
        route: Callable[[], str | None],
        declared: int | None = None,
        is_logged: bool = True,
    ) -> None:
        assert context.request is not None  # a request's context has its state
        self.context = context
        self.state: RequestState = context.request
        self._clock = settings.current().clock
        self._route = self.state.route = Route(route)
        self._declared = declared
        self._is_logged = is_logged
        self.status: int | None = None
        self.received: int | None = None
        self.sent: int | None = 0
        self.whole = False
        self._first_byte: float | None = None
        self._at: float | None = None
        self._created = 0.0
        self._started = self._clock()

    @property
    def is_open(self) -> bool:
        """Whether it is to have a record that has not been made."""
        return self._is_logged

    def received_piece(self, size: int) -> None:
        """A piece of the request's body was handed to the application."""
        self.received = (self.received or 0) + size

    def sent_piece(self, size: int) -> None:
        """A piece of the response's body is out."""
        if self.sent is not None:
            self.sent += size
        if size and self._first_byte is None:
            self._first_byte = self._clock()

    def is_out(self) -> None:
        """The last byte of the response is out: what happens from here on is not the client's.

        Frameworks finish a response, too, whose client they know to be gone.
        """
        self.whole = self.whole or not self.state.disconnected
        self._stop()

    def _stop(self) -> None:
        if self._at is None:
            self._at, self._created = self._clock(), time.time()

    def end(self, error: BaseException | None = None, *, deferred: bool = False) -> None:
        """The request is over: make its record, if that has not been done. Never raises.

        `error`: what the application raised. `deferred` in finalisers, where nothing may be logged: without an error,
        the response was dropped.
        """
        self._route.settle()
        if not self._is_logged:
            return
        self._is_logged = False
        try:
            self._stop()
            known = self._known(error, collected=deferred and error is None)
            if deferred:
                worker.later(lambda: self.state.when_counted(lambda: self._report(known)))
                return
            for safe_point in request_state.safe_points:
                safe_point()
            self.state.when_counted(lambda: self._report(known))
        except Exception as failure:
            fault("summing up a request", failure)

    def _known(self, error: BaseException | None, *, collected: bool) -> dict[str, Any]:
        """The fields, but for what its calls came to."""
        now = current()
        context = now if now.request is self.state else self.context
        if self.state.bound:  # in a thread, or in a task as BaseHTTPMiddleware has one: not in the context of now
            context = context.extended(self.state.bound, self.state)
        outcome, ended_by = self._outcome(error)
        if collected and outcome == "incomplete":
            outcome, ended_by = "aborted", "garbage_collected"
        fields: dict[str, Any] = {
            **context.attributes(),
            **trace_of_now(),
            "event": self.event,
            "record_id": new_id(),
            "http_route": self._route(),
            "outcome": outcome,
            "ended_by": ended_by,
            "http_status": self._status(error),
            "request_bytes": self._declared if self._declared is not None else self.received,
            "response_bytes": self.sent,
            **_times(self._started, self._at, self._first_byte),
        }
        if outcome == "error":
            kind = type(error)
            name = type_name(kind)
            # Here, not only in a filter: an error's message quotes what was sent.
            fields.update(error_type=name, error_message=cut(text_of(redact(text_of(error))), _MAX_ERROR)[0] or None)
        fields.pop("trace_flags", None)
        return fields

    def _outcome(self, error: BaseException | None) -> tuple[str, str]:
        if self.whole:  # a server may cancel what goes on after that; an error is one all the same
            return ("error", "exception") if isinstance(error, Exception) else ("completed", "exhausted")
        if self.state.disconnected:
            return "cancelled", "client_disconnect"
        if error is None:
            return "incomplete", "exhausted"
        if isinstance(error, Exception):
            return "error", "exception"
        ended_by = how_it_left(error)
        return ("cancelled" if ended_by == "cancellation" else "aborted"), ended_by

    def _status(self, error: BaseException | None) -> int | None:
        """What the client saw, or will: a server answers for an application that did not."""
        if self.status is not None or self.whole or self.state.disconnected:
            return self.status
        return 500 if error is None or isinstance(error, Exception) else None

    def _report(self, fields: dict[str, Any]) -> None:
        """Make the record; by whoever has made the figures of its last call."""
        try:
            self._emit(fields)
        except Exception as failure:
            fault("summing up a request", failure)

    def _emit(self, fields: dict[str, Any]) -> None:
        totals = self.state.totals
        fields.update(totals.as_fields())
        made = {name: value for name, value in fields.items() if value is not None}
        records.emit(records.HTTP, _level(made), self._message(made, totals), made, created=self._created, tell=False)

    def _message(self, fields: dict[str, Any], totals: Totals) -> str:
        parts = (self._what(fields), fields.get("http_route") or fields.get("http_path"), fields.get("http_status"))
        said = " ".join(visible(part) for part in parts if part)
        if fields["outcome"] != "completed":
            said += f" {fields['outcome']} ({fields['ended_by']})"
        return f"{said} in {_duration(fields['latency_ms'])}{_calls(totals)}"

    def _what(self, fields: dict[str, Any]) -> object:
        return fields.get("http_method", "request")


class Connection(Exchange):
    """A websocket, from its handshake to its end. `code`: what it was closed with, `by_us`: by the application."""

    __slots__ = ("by_us", "code", "messages_in", "messages_out")

    event = "websocket.connection"

    def __init__(self, context: Context, **known: Any) -> None:
        super().__init__(context, **known)
        self.code: int | None = None
        self.by_us = False
        self.messages_in = self.messages_out = 0

    def closed(self, code: int | None, *, by_us: bool) -> None:
        """The connection is closed, and by whom: the first to do so counts."""
        if self._at is None:
            self.code, self.by_us = code, by_us
            self._stop()

    def _known(self, error: BaseException | None, *, collected: bool) -> dict[str, Any]:
        fields = super()._known(error, collected=collected)
        fields.update(close_code=self.code, messages_in=self.messages_in, messages_out=self.messages_out)
        return fields

    def _outcome(self, error: BaseException | None) -> tuple[str, str]:
        if self._closed_by_client():
            return ("completed" if self.code in _CLOSED_BY_CHOICE else "cancelled"), "client_disconnect"
        if error is None and self.by_us:
            return "completed", "close"
        return super()._outcome(error)

    def _what(self, fields: dict[str, Any]) -> object:
        return "websocket"

    def _closed_by_client(self) -> bool:
        return self.state.disconnected and not self.by_us

    def _status(self, error: BaseException | None) -> int | None:
        if self.status is None and self.by_us:
            return 403  # closed before it was accepted: the handshake is refused
        return super()._status(error)


def _times(started: float, ended: float | None, first_byte: float | None) -> dict[str, float]:
    times = {"latency_ms": _ms((ended if ended is not None else started) - started)}
    if first_byte is not None:
        times["ttfb_ms"] = _ms(first_byte - started)
    return times


def _ms(seconds: float) -> float:
    return round(max(0.0, seconds) * 1000, 3)


def _level(fields: dict[str, Any]) -> int:
    outcome, status = fields["outcome"], fields.get("http_status", 0)
    if outcome == "error" or status >= 500 or fields.get("close_code") == 1011:  # an unexpected condition
        return logging.ERROR
    if fields["ended_by"] == "client_disconnect":
        return logging.INFO
    return logging.INFO if outcome == "completed" and status < 400 else logging.WARNING


def _duration(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def _calls(totals: Totals) -> str:
    if not totals.calls:
        return ""
    said = f", {totals.calls} LLM call{'s' if totals.calls > 1 else ''}"
    if not totals.priced():
        return said
    return f"{said}, {'at least ' if totals.cost_partial else ''}${totals.cost_usd:.6f}"
