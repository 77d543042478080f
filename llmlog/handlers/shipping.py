"""From a spool to its backend: batches, retries, what is refused; the spool's position moves when all is settled.

`Shipper.step()` does one thing and says how long to wait for the next one. A thread does it over and over, or the
one that flushes where no thread can be started.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Sequence

from llmlog.faults import fault, notice
from llmlog.handlers.backend import Backend, Entry, Outcome
from llmlog.handlers.batches import LOOK_EVERY, Batches
from llmlog.handlers.dead_letters import DeadLetters
from llmlog.handlers.delivery_reports import DeliveryReports
from llmlog.handlers.outages import Outage
from llmlog.handlers.spool import Spool

__all__ = ["Shipper", "is_shipping"]

_MENDINGS = 4  # of one entry, then it is put aside whatever the backend says
_POLL = 0.05  # seconds between two looks of one that waits: what another process does is told to nobody

_here = threading.local()


def is_shipping() -> bool:
    """Whether this thread is sending just now: what is logged then is the transport's, and would go round for ever."""
    return getattr(_here, "shipping", False)


class Shipper:
    """Sends what is in `spool` to `backend`, in batches: of so many records, so many bytes, or after so many seconds.

    `clock` is in seconds, `chance` between 0 and 1: for tests.
    """

    def __init__(
        self,
        spool: Spool,
        backend: Backend,
        dead_letters: DeadLetters,
        *,
        batch_records: int = 2_000,
        batch_bytes: int = 1 << 20,
        batch_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._spool = spool
        self._backend = backend
        self._dead_letters = dead_letters
        self._batches = Batches(spool, records=batch_records, nbytes=batch_bytes, seconds=batch_seconds)
        self._clock = clock
        self._outage = Outage(chance)
        self._said = ""  # what was raised when it last took nothing
        self._reports = DeliveryReports(spool, backend)
        self._mendings: Counter[str] = Counter()
        self._turn = threading.Lock()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopped = self._has_let_go = False
        self._is_new_process = False
        _shippers.add(self)

    @property
    def is_out(self) -> bool:
        """Whether the backend did not take the last thing that was sent to it."""
        return self._outage.since is not None

    @property
    def refused(self) -> int:
        """How many records were put aside."""
        return self._reports.refused

    # One step

    def step(self) -> float | None:
        """Send one batch, or a part of one, if it is time: seconds until the next step; None: nothing is left to do."""
        now = self._clock()
        if now < self._outage.not_before:
            return self._outage.not_before - now
        try:
            _here.shipping = True
            if self._is_new_process:
                self._is_new_process = False
                self._backend.close()  # its connections are the parent's
            wait = self._batches.load(now)
            if wait is None or wait > 0:
                return wait
            self._send(self._batches.parts.popleft())
        except Exception as error:
            fault("sending records", error)
            self._failed(self._clock())
        finally:
            _here.shipping = False
        now = self._clock()
        if not self.is_out:
            self._reports.tell(now)
        return max(0.0, self._outage.not_before - self._clock())

    def _send(self, part: list[Entry]) -> None:
        parts = self._batches.parts
        self._batches.sending()
        try:
            outcome = self._backend.send(part)
            self._take(part, outcome)
        except OSError:  # TimeoutError is one
            parts.appendleft(_sent(part))
            self._failed(self._clock())
        except BaseException:
            parts.appendleft(_sent(part))
            raise
        else:
            if not parts:
                self._mendings.clear()
            self._batches.advance()

    def _take(self, part: list[Entry], outcome: Outcome) -> None:
        """Do what the backend's answer asks for. Where this raises, `part` is sent again as a whole."""
        now = self._clock()
        if outcome.denied:
            notice(
                f"denied by {self._backend.name} {self._backend.destination}",
                f"{self._backend.name} at {self._backend.destination} refuses all records ({outcome.denied}); look at "
                f"address, credentials and index: until it takes them they are kept in {self._spool.folder}",
            )
            self._batches.parts.appendleft(part)
            self._failed(now, outcome.pause, denied=True)
            return
        refused: Sequence[tuple[Entry, str]] = outcome.refused
        if outcome.split:
            if len(part) > 1:
                half = len(part) // 2
                part = _sent(part)
                self._batches.parts.extendleft((part[half:], part[:half]))
                self._recovered(now)
                self._outage.asked(now, outcome.pause)
                return
            refused = ((part[0], outcome.split),)
        again, mended = list(outcome.again), []
        for entry, reason in refused:
            if (form := self._mended(entry, reason)) is not None:
                mended.append(form)
            elif not self._put_aside(entry, reason):
                again.append(entry)
        if mended:
            self._batches.parts.appendleft(mended)
        if again:
            self._batches.parts.appendleft(_sent(again))
            if len(again) < len(part):  # it takes some: no outage
                self._outage.takes_some()
            self._failed(now, outcome.pause)
        else:
            self._recovered(now)
            self._outage.asked(now, outcome.pause)

    def _mended(self, entry: Entry, reason: str) -> Entry | None:
        self._mendings[entry.key] += 1
        if self._mendings[entry.key] > _MENDINGS:
            return None
        try:
            mended = self._backend.mended(entry, reason)
        except Exception as error:
            fault("mending a record", error)
            return None
        return None if mended is None else mended._replace(key=entry.key, again=entry.again)

    def _put_aside(self, entry: Entry, reason: str) -> bool:
        """False where it cannot be: the disk is full, say, and it has to stay in the spool."""
        backend = f"{self._backend.name} at {self._backend.destination}"
        try:
            kept = self._dead_letters.add(entry, reason)
        except OSError as error:
            notice(f"putting aside for {backend}", f"{backend} refuses a record, and it cannot be put aside ({error})")
            return False
        if kept:
            self._reports.refused += 1
            notice(
                f"refused by {backend}",
                f"{backend} refuses a record ({reason}); it is kept in {self._dead_letters.path}, as later ones are",
            )
        else:
            self._spool.dropped += 1
        return True

    # Outages

    def _failed(self, now: float, pause: float | None = None, *, denied: bool = False) -> None:
        if error := sys.exception():
            self._said = f"{type(error).__name__}: {error}"
        if self._outage.failed(now, pause, denied=denied):
            self.tell_outage()
        with self._changed:
            self._changed.notify_all()

    def tell_outage(self) -> None:
        """Say on stderr, once, that the backend takes nothing, why, and where the records are till it does."""
        backend = f"{self._backend.name} at {self._backend.destination}"
        reason = self._said and f" ({self._said})"
        notice(f"no answer of {backend}", f"{backend} takes no records{reason}; they are kept in {self._spool.folder}")

    def _recovered(self, now: float) -> None:
        self._said = ""
        outage_ms = self._outage.over(now)
        if outage_ms is not None:
            self._reports.outage_over(now, outage_ms)

    # The thread, and those who wait for it

    def ready(self) -> None:
        """Make sure that the thread runs. Cheap when it does."""
        if self._thread is None and not self._stopped:
            self._start()

    def _start(self) -> None:
        with self._changed:
            if self._thread is not None or self._stopped:
                return
            name = f"llmlog-{self._backend.name}"
            self._thread = threading.Thread(
                target=_run, args=(weakref.ref(self), self._spool.wake), name=name, daemon=True
            )
            try:
                self._thread.start()
            except RuntimeError:  # the interpreter exits, or the system has no thread left: flush() does it
                self._thread = None

    def turn(self, timeout: float = -1) -> float | None:
        """A step, when no other thread is at one; 0 where that took longer than `timeout`."""
        if not self._turn.acquire(timeout=timeout):
            return 0.0
        try:
            return self.step()
        finally:
            self._turn.release()
            with self._changed:
                self._changed.notify_all()

    def flush(self, timeout: float, *, patient: bool = True) -> bool:
        """Send all that was appended so far: True, or False where it was not taken in `timeout` seconds.

        Not `patient`: nor is it tried again after a failure. When it was stopped, nothing is sent any more.
        """
        if self._stopped:
            return not self._spool.left()
        if self._thread is threading.current_thread() or is_shipping():  # it would wait for itself
            return False
        deadline = time.monotonic() + timeout
        self._spool.seal()
        looks, failures = self._batches.looks, self._outage.failures
        self._batches.look()
        self._outage.hurry()
        self.ready()
        wake_at = 0.0
        while True:
            if self._batches.looks > looks and not self._spool.left():
                return True
            now = time.monotonic()
            left = deadline - now
            if left <= 0 or not (
                patient or (self._outage.failures == failures and self._outage.may_send(self._clock()))
            ):
                return False
            thread = self._thread
            if thread is not None and thread.is_alive():
                if now >= wake_at:  # not after each of its turns: in an outage they do nothing, and would spin
                    wake_at = now + _POLL
                    self._spool.wake.set()
                with self._changed:
                    self._changed.wait(min(left, _POLL))
            else:
                wait = self.turn(left)
                if wait is None:
                    wait = _POLL  # another process has taken a segment over: see when it is gone
                if wait and (self._batches.looks == looks or self._spool.left()):
                    self._spool.wake.wait(min(wait, max(0.0, deadline - time.monotonic())))
                    self._spool.wake.clear()

    def stop(self, timeout: float) -> None:
        """Have the thread end, and let go of what it is sending: it stays in the spool."""
        self._stopped = True
        self._spool.wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
        if self._turn.acquire(timeout=timeout):
            try:
                self.let_go()
            finally:
                self._turn.release()

    def untold(self) -> int:
        """How many dropped records no delivery record has told of."""
        return self._reports.untold()

    def let_go(self) -> None:
        """Put back what was taken from the spool, and close the backend; once."""
        if self._has_let_go:
            return
        self._has_let_go = True
        self._batches.clear()
        self._spool.release()
        try:
            self._backend.close()
        except Exception as error:
            fault("closing a backend", error)

    def __del__(self) -> None:
        if (spool := getattr(self, "_spool", None)) is not None:
            spool.wake.set()

    def _forget(self) -> None:
        """In the child of a fork: thread, connections and what was under way are the parent's."""
        self._turn = threading.Lock()
        self._changed = threading.Condition()
        self._thread = None
        self._mendings.clear()
        self._batches.forget()
        self._outage.forget()
        self._reports.forget()
        self._is_new_process = True
        _here.shipping = False


def _sent(entries: list[Entry]) -> list[Entry]:
    """The same, once they have been sent: they may be stored, whatever was heard, or not heard, of them."""
    return [entry if entry.again else entry._replace(again=True) for entry in entries]


def _run(ref: weakref.ref[Shipper], wake: threading.Event) -> None:
    """The thread's life: it ends when the shipper is stopped, or nobody has it any more."""
    while True:
        shipper = ref()
        if shipper is None:
            return
        if shipper._stopped:
            with shipper._turn:
                shipper.let_go()
            return
        try:
            wait = shipper.turn()
        except BaseException as error:  # a panic inside an extension is no Exception
            fault("sending records", error)
            wait = 1.0
        del shipper
        wake.wait(LOOK_EVERY if wait is None else wait)
        wake.clear()


_shippers: weakref.WeakSet[Shipper] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for shipper in list(_shippers):
        shipper._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
