"""A clock that stands still until it is told to move."""

from __future__ import annotations

import threading

from llmlog.exceptions import UsageTypeError, UsageValueError, shown

__all__ = ["FakeClock"]


class FakeClock:
    """Seconds, as `time.perf_counter()` gives them, that pass only by `sleep()` and `advance()`. Any thread may.

    `llmlog.settings.change(clock=...)` puts it in the place of the real one; the fixture `llm_clock` does, and takes
    it out again. Calls keep the clock they began with.
    """

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self.now

    def __repr__(self) -> str:
        return f"<FakeClock at {self.now} s>"

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass, at once. UsageTypeError for what is no number, UsageValueError below 0."""
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise UsageTypeError(f"a clock moves by seconds, got {shown(seconds)}")
        if not seconds >= 0:
            raise UsageValueError(f"a clock does not go back, got {shown(seconds)} seconds")
        with self._lock:
            self.now += seconds

    def sleep(self, seconds: float) -> None:
        """The same, under the name that code in need of a pause looks for."""
        self.advance(seconds)
