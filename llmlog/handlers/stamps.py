"""When a record was made, in whole nanoseconds, no two the same."""

from __future__ import annotations

import os
import threading
import time

__all__ = ["Stamps"]

_SECOND = 1_000_000_000
_STRIDE = 37  # 27 jumps into the past before own digits come near each other again


class Stamps:
    """Nanoseconds from a record's time, no two the same: equal lines of one moment are still two records.

    A LogRecord's time is good for microseconds. The last three digits are this process's own, so that those of
    several processes hardly meet; nor do those of a time that comes twice, since a jump back changes them.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._own = int.from_bytes(os.urandom(2)) % 1000
        self._last = 0
        self._past = 0

    def next(self, created: float) -> int:
        """The stamp of a record that was made at `created`, in seconds: later than all before it.

        But for a clock that was put back by a second or more, and a record that tells of long ago: theirs are later
        than those of the same time. Of something that is no time it is now.
        """
        try:
            stamp = int(created * 1_000_000 + 0.5) * 1000 + self._own
        except (TypeError, ValueError, OverflowError):
            stamp = -1
        if stamp < 0:  # no time at all
            stamp = time.time_ns()
        with self._lock:
            if stamp > self._last:
                self._last = stamp
            elif self._last - stamp < _SECOND:  # another thread was faster, or it is the same moment
                self._last = stamp = self._last + 1
            elif 0 <= self._past - stamp < _SECOND:
                self._past = stamp = self._past + 1
            else:  # the clock was put back, or the record tells of long ago
                self._own = (self._own + _STRIDE) % 1000
                self._past = stamp = stamp // 1000 * 1000 + self._own
        return stamp
