"""A spool read in batches: when one is full or old enough, and what of it is settled."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from llmlog.faults import notice
from llmlog.handlers.backend import Entry
from llmlog.handlers.segments import Segment, offset_of
from llmlog.handlers.spool import Spool

__all__ = ["LOOK_EVERY", "Batches"]

LOOK_EVERY = 5.0  # seconds between two looks for segments that others have left behind


class Batches:
    """What of `spool` is to be sent next: a batch has `records` entries, or `nbytes`, or has waited for `seconds`.

    Times are the caller's, in seconds.
    """

    def __init__(self, spool: Spool, *, records: int, nbytes: int, seconds: float) -> None:
        self.parts: deque[list[Entry]] = deque()
        """What is left of the batch, each to be sent at once; what is in none of them is settled."""
        self.looks = 0
        """How often nothing was found that others have left behind."""
        self._spool = spool
        self._records = records
        self._nbytes = nbytes
        self._seconds = seconds
        self._mean_line = 512.0  # bytes, for reading no more than a batch needs
        self._segment: Segment | None = None  # whose entries are in `parts`
        self._end = 0  # of the batch, in the segment
        self._waiting_since: float | None = None  # since when there is something, but less than a batch
        self._look_at = 0.0

    def look(self) -> None:
        """Have the next `load` look for what others have left behind."""
        self._look_at = 0.0

    def load(self, now: float) -> float | None:
        """Read the next batch, when the one before is settled: 0 where there is one, or how long to wait for one.

        None: there is nothing, and the spool says when there is.
        """
        while not self.parts:
            look = now >= self._look_at
            segment = self._spool.pick(look=look)
            is_own = segment is None or self._spool.is_active(segment)
            if look and is_own:
                self._look_at = now + LOOK_EVERY
                self.looks += 1
            if segment is None:
                self._waiting_since = None
                if self._spool.wake_when(1, 1):
                    return None
                continue  # one came just now
            size = segment.size
            if segment.position >= size:
                if is_own and self._spool.is_active(segment):
                    self._waiting_since = None
                    if self._spool.wake_when(segment.records + 1, size + 1):
                        return None
                else:
                    self._spool.finish(segment)
                continue
            if is_own and (wait := self._fuller(segment, size, now)):
                return wait
            self._waiting_since = None
            self._read(segment)
        return 0.0

    def _fuller(self, segment: Segment, size: int, now: float) -> float:
        """How long to wait for a fuller batch; 0: it is full, or old enough."""
        missing = self._nbytes - (size - segment.position)
        if missing <= 0 or segment.records - segment.taken >= self._records or self._spool.is_pressed:
            return 0.0
        if self._waiting_since is None:
            self._waiting_since = now
        wait = self._waiting_since + self._seconds - now
        if wait <= 0:
            return 0.0
        waits = self._spool.wake_when(segment.taken + self._records, segment.position + self._nbytes)
        return wait if waits else 0.0

    def _read(self, segment: Segment) -> None:
        nbytes = min(self._nbytes, int(self._mean_line * self._records) + 4096)
        entries, self._end, torn = segment.read(self._records, nbytes)
        self._spool.torn += torn
        if not entries:
            self._settle(segment, self._end)
            return
        segment.taken += len(entries)
        self._mean_line = (self._end - segment.position) / len(entries)
        self._segment = segment
        self.parts.append(entries)

    def sending(self) -> None:
        """Note that the batch is about to be sent: it may be stored, whatever becomes of this process."""
        if self._segment is not None:
            self._noted(self._segment.sending, self._end)

    def advance(self) -> None:
        """Move the segment's position past what is in none of the parts any more."""
        segment = self._segment
        if segment is None:
            return
        position = min((offset_of(entry) for part in self.parts for entry in part), default=self._end)
        if position > segment.position:
            self._settle(segment, position)
        if not self.parts:
            self._segment = None
            if position >= segment.size and not self._spool.is_active(segment):
                self._spool.finish(segment)

    def _settle(self, segment: Segment, position: int) -> None:
        if position >= segment.size and not self._spool.is_active(segment):
            segment.position = position  # it is about to be removed
            return
        self._noted(segment.settle, position)

    def _noted(self, note: Callable[[int], None], position: int) -> None:
        try:
            note(position)
        except OSError as error:
            notice(
                f"settling in {self._spool.folder}",
                f"how far the spool was sent cannot be noted in {self._spool.folder} ({error}); "
                "after a restart some records are sent again, under the same keys",
            )

    def clear(self) -> None:
        """Forget the batch: it stays in the spool."""
        self.parts.clear()
        self._segment = None

    def forget(self) -> None:
        """In the child of a fork: the batch was the parent's, and what it has left behind is not looked for yet."""
        self.clear()
        self._waiting_since = None
        self._look_at = 0.0
