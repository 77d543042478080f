"""What one request has run up so far: the totals of its calls, and the streams whose loop was left while it is open."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

__all__ = ["RequestState", "Totals", "on_hang_up", "safe_points"]

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

    def as_fields(self) -> dict[str, Any]:
        """What is known of them, under the names of the records."""
        fields: dict[str, Any] = {"request_calls": self.calls}
        if self.calls:
            fields.update(request_input_tokens=self.input_tokens, request_output_tokens=self.output_tokens)
        if self.calls and self.priced():
            fields["request_cost_usd"] = self.cost_usd
            if self.cost_partial:
                fields["request_cost_partial"] = True
        return fields

    def priced(self) -> bool:
        """Whether the cost says anything: of calls without any known price it is not 0, but unknown."""
        return bool(self.cost_usd) or not self.cost_partial


class RequestState:
    """What one request has run up so far, shared by all its contexts. Figures of nested requests count in outer ones.

    `totals` of its ended calls; `disconnected`: whether the client has hung up, as the middleware saw it. `part`: it
    goes on with the request around it, under the same id. `bound`: what was bound in it last, in any of its threads
    and tasks, whose contexts are copies: for the record that sums it up. `route` tells the route's template of an HTTP
    request: its framework finds it when the context is there already.
    """

    __slots__ = (
        "_counted", "_over_budget", "_uncounted", "bound", "closed", "disconnected", "left", "parent", "part",
        "passed_over", "restores", "route", "totals",
    )  # fmt: skip

    def __init__(self, parent: RequestState | None = None, *, part: bool = False) -> None:
        self.parent = parent
        self.part = part
        self.route: Callable[[], str | None] | None = None if parent is None else parent.route
        self.totals = Totals()
        self.disconnected = False
        self.closed = False
        self.left: dict[str, Left] = {}  # by call_id
        self.bound: dict[str, Any] = {}
        self.passed_over = False
        self.restores: Any = None  # the context outside it, once it was passed over
        self._over_budget = False
        self._uncounted: set[str] = set()  # by call_id
        self._counted: Callable[[], None] | None = None

    def expect(self, call_id: str) -> None:
        """A call has ended whose figures are still being made. Takes no lock: finalisers call it."""
        self._uncounted.add(call_id)

    def arrived(self, call_id: str) -> None:
        """A call's figures are there, and added."""
        with _adding:
            self._uncounted.discard(call_id)
            action, self._counted = (self._counted, None) if not self._uncounted else (None, self._counted)
        if action is not None:
            action()

    def when_counted(self, action: Callable[[], None]) -> None:
        """Do `action` as soon as no figures are missing: now, or where the last of them are added."""
        with _adding:
            if self._uncounted:
                self._counted = action
                return
        action()

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
