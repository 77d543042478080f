"""A call's life: begun once, ended once, whoever ends it and wherever, and never without its record.

Taking a call out of the table of open ones is what makes its record, so it happens once, whichever threads, tasks
and finalisers race. A finaliser only leaves a job behind; a process that dies leaves its journal.
"""

from __future__ import annotations

import logging
import os
import signal
import time
import weakref
from types import FrameType
from typing import Self

from llmlog import budgets, costs, journal, records, request_state, worker
from llmlog.context import new_id
from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.faults import fault
from llmlog.figures import LONG, to_count, warm
from llmlog.request_state import RequestState
from llmlog.summary import Ending, Facts, beginning, summary

__all__ = ["Life", "exit_on_sigterm", "flush", "how_it_failed", "how_it_left", "open_call"]

ENDINGS = frozenset({
    "exhausted", "close", "context_exit", "loop_left", "garbage_collected", "exception", "consumer_exception",
    "cancellation", "client_disconnect", "interpreter_exit", "recovery",
})  # fmt: skip
"""What `ended_by` may be."""

_CAUSED_BY_EXIT = frozenset({"cancellation", "context_exit", "loop_left", "garbage_collected"})
"""What an exit does to the calls that are open then, on its way through the stack and the event loop."""

_open: dict[str, weakref.ref[Life]] = {}
"""The calls that have no end yet, by their id."""

_exiting = False


class Life(Facts):
    """A call as what it is to its end: `Call` adds what a user and a driver do with one."""

    __slots__ = ("__weakref__", "_begun", "_is_part", "_read_by_hand", "_reported")

    _begun: bool
    _is_part: bool
    _read_by_hand: bool
    _reported: bool

    def begin(self, *, announced: bool = False) -> Self:
        """The call is under way: from here on it will have a record, whatever happens.

        `announced`: an inner layer has begun as this call already, and has told so.
        """
        if self._begun or self._is_part:
            return self
        self._begun = True
        _open[self.call_id] = weakref.ref(self)
        worker.ready()
        if announced:
            return self
        journal.started(self)
        if self.settings.log_start:
            fields = {**beginning(self), "event": "llm.start", "record_id": new_id()}
            message = f"{self.model or fields.get('provider') or 'LLM call'} started"
            records.emit(records.CALLS, logging.DEBUG, message, fields)
        return self

    def __del__(self) -> None:
        # Not there: a signal's exception came before it was made. None: the interpreter takes its modules apart.
        if getattr(self, "_begun", False) and _open is not None:
            self.end("garbage_collected", deferred=True)

    @property
    def ended_by(self) -> str:
        """How it ended; "" as long as it has not."""
        return self.ending.by if self.ending is not None else ""

    @property
    def is_open(self) -> bool:
        """Whether the call has not ended yet."""
        return self.ending is None and not self._is_part and self.call_id in _open

    def end(
        self,
        ended_by: str,
        error: BaseException | None = None,
        *,
        deferred: bool = False,
        at: tuple[float, float] | None = None,
    ) -> None:
        """The call is over: make its record, if nobody has. UsageValueError for an `ended_by` that there is not.

        `deferred` in finalisers, where nothing may be logged. `at`: when it was, by `clock` and in Unix seconds.
        """
        if self.ending is not None or self._is_part:  # a part: the layer around it owns the record, under its own id
            return
        if ended_by not in ENDINGS:
            raise UsageValueError(f"ended_by is one of {', '.join(sorted(ENDINGS))}, got {shown(ended_by)}")
        try:
            if _open.pop(self.call_id, None) is None:
                return
            if _exiting and ended_by in _CAUSED_BY_EXIT:
                ended_by = "interpreter_exit"
            ended, created = at or (self.last if ended_by == "loop_left" else self.clock(), time.time())
            if (state := self.context.request) is None:
                self.ending = Ending(ended_by, ended, created, error)
            else:
                state.left.pop(self.call_id, None)
                self.ending = Ending(ended_by, ended, created, error, tuple(state.around()), state.hung_up())
            if not self.driven:  # all of it was the sending
                self.sending = ended - self.started
            for request in self.ending.around:
                request.expect(self.call_id)
            if deferred:
                worker.later(self._report)
            elif self._is_long():
                worker.later(self._report, long=True)
            else:
                self._report()
        except (KeyboardInterrupt, SystemExit):  # a signal, in the middle of this: the record is made all the same
            if not (self.is_open or self._reported):
                self.ending = self.ending or Ending(ended_by, self.clock(), time.time(), error)
                worker.later(self._report)
            raise

    def _is_long(self) -> bool:
        try:
            return to_count(self.answer, self.prompt) > LONG
        except Exception:
            return False

    def _report(self) -> None:
        ending = self.ending
        if self._reported or ending is None:
            return
        try:
            level, message, fields = summary(self)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the record comes all the same, with what is certain
            fault("summing up a call", error)
            level, message = logging.ERROR, f"LLM call ended by {ending.by}; its figures could not be made"
            fields = {**self.context.attributes(), "event": "llm.call", "record_id": self.call_id,
                      "call_id": self.call_id, "ended_by": ending.by}  # fmt: skip
        # Its error's traceback holds the frames of the application, and they hold the stream.
        self.ending = ending._replace(error=None, around=())
        over = budgets.add(fields, ending.around, self.settings)
        records.emit(records.CALLS, level, message, fields, created=ending.created)
        self._reported = True
        journal.ended(self.call_id)
        costs.tell_unpriced(fields)
        for totals in over:
            budgets.tell(totals, self.context, self.trace, self.call_id, self.settings)
        for request in ending.around:
            request.arrived(self.call_id)

    def left(self) -> None:
        """The loop was left; the stream may still be held, and gone on with. Safe in a finaliser."""
        self.is_left = True
        self._settle_with_request()

    def by_hand(self) -> None:
        """The stream is read by `next()`: whether its consumer has left, only the end of its request can tell."""
        self._read_by_hand = True
        self._settle_with_request()

    def _settle_with_request(self) -> None:
        state = self.context.request
        if state is not None and not state.closed and self.is_open:
            state.left[self.call_id] = self

    def resumed(self) -> None:
        """The consumer goes on, in a loop: it is the loop that tells."""
        self.is_left = False
        if (state := self.context.request) is not None:
            state.left.pop(self.call_id, None)

    def settle(self, *, deferred: bool = False) -> None:
        """The consumer has left and its request is over: it will not go on."""
        self.end("loop_left", deferred=deferred)

    def seems_left(self) -> bool:
        """Whether `flush()` may settle it: its loop was left, or it is read by `next()`, outside any request."""
        left = self.is_left or (self._read_by_hand and self.context.request is None)
        return left and self.pulled <= self.last

    def merged_into(self, call_id: str) -> None:
        """Another layer's call, `call_id`, is this one: it owns the record."""
        self._is_part = True
        if _open.pop(self.call_id, None) is not None and self.call_id != call_id:
            journal.ended(self.call_id)


def how_it_failed(error: BaseException) -> str:
    """The `ended_by` of a sending or a source that raised."""
    return "exception" if isinstance(error, Exception) else how_it_left(error)


def how_it_left(error: BaseException | None) -> str:
    """The `ended_by` of a block that was left by `error`."""
    if error is None or isinstance(error, GeneratorExit):
        return "context_exit"
    if isinstance(error, Exception):
        return "consumer_exception"
    cause: BaseException | None = error
    for _ in range(10):  # an event loop that is left by sys.exit() cancels its tasks on the way out
        if cause is None or isinstance(cause, SystemExit):
            break
        cause = cause.__context__
    return "interpreter_exit" if isinstance(cause, SystemExit) else "cancellation"


def open_call(call_id: str | None) -> Life | None:
    """The call with this id, where it has no end yet."""
    ref = _open.get(call_id) if call_id else None
    return None if ref is None else ref()


def open_calls() -> list[Life]:
    """The calls of this process that have no end yet."""
    return [one for ref in list(_open.values()) if (one := ref()) is not None]


def end_under(request: RequestState, ended_by: str, error: BaseException | None = None) -> None:
    """End the calls that were made under this request, and are open."""
    for one in open_calls():
        around = one.context.request
        if around is not None and request in around.around():
            one.end(ended_by, error)


def flush(timeout: float = 10.0) -> bool:
    """Have everything accepted so far written: True, or False where that took longer than `timeout` seconds.

    Streams whose loop was left while they are still held are settled: they count as aborted, and whoever goes on
    reading gets the rest without its being counted. Then the handlers of llmlog's records are flushed, and those that
    send their records to a backend have sent them.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise UsageTypeError(f"timeout is a number of seconds, got {shown(timeout)}")
    deadline = time.monotonic() + timeout
    for one in open_calls():
        if one.seems_left():
            one.settle()
    journal.recover_pending()
    done = worker.wait(timeout)
    return records.flush_handlers(max(0.0, deadline - time.monotonic())) and done


def exit_on_sigterm(wanted: bool) -> None:
    """Have SIGTERM end the process by `SystemExit`, so that exit handlers run; or leave it to the system again.

    A handler that the application or its server has put there stays. UsageValueError outside the main thread.
    """
    old, new = (signal.SIG_DFL, _terminate) if wanted else (_terminate, signal.SIG_DFL)
    if signal.getsignal(signal.SIGTERM) != old:
        return
    try:
        signal.signal(signal.SIGTERM, new)
    except ValueError as error:
        raise UsageValueError(f"exit_on_sigterm={wanted} can be set in the main thread only: {error}") from None


def _terminate(number: int, frame: FrameType | None) -> None:
    global _exiting
    _exiting = True
    raise SystemExit(128 + number)


def _settle_abandoned(state: RequestState, deferred: bool) -> None:
    """A client has hung up and its request is over: end its streams that nobody is waiting for.

    Their loops were not left: a generator that is not resumed any more, as frameworks leave it in a worker thread,
    lives on until a collection, and may be too late then.
    """
    for one in open_calls():
        request = one.context.request
        if request is not None and state in request.around() and one.driven and one.pulled <= one.last:
            one.settle(deferred=deferred)


def _end_all() -> None:
    global _exiting
    for one in open_calls():
        one.end("loop_left" if one.is_left and not _exiting else "interpreter_exit")
    _exiting = True


def _after_fork_in_child() -> None:
    """The open calls are the parent's, and it makes their records."""
    _open.clear()


def _checkpoint() -> None:
    journal.checkpoint(open_calls())


request_state.on_hang_up.append(_settle_abandoned)
worker.at_exit.append(_end_all)
worker.at_start.append(warm)
worker.at_tick.append(_checkpoint)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
