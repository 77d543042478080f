"""When to send again after a backend did not answer, or asked to be left alone. No clock of its own: it is told."""

from __future__ import annotations

import random
from collections.abc import Callable

__all__ = ["Outage"]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_DENIED_PAUSE = 60.0
_LONGEST_ASKED = 300.0  # a pause that is longer is a mistake more often than a wish
_TOLD_AFTER = 60.0  # seconds: a wrong address is told, a restart of the backend is not


class Outage:
    """Whether a backend takes records, and when it may be asked again. `chance`: between 0 and 1."""

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self.failures = 0
        """How many sendings have failed."""
        self.not_before = 0.0
        """When the next sending may be, by the clock of those who tell."""
        self.since: float | None = None
        """Since when it has taken nothing; None: it takes what it is sent."""
        self._chance = chance
        self._attempts = 0
        self._was_asked = False  # to be left alone, till `not_before`

    def failed(self, now: float, pause: float | None = None, *, denied: bool = False) -> bool:
        """Wait, each time longer, by chance, so that many processes do not come back at once.

        Whether it has lasted so long by now that it is to be told.
        """
        self.failures += 1
        if self.since is None:
            self.since = now
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self._attempts, 16))
        self._attempts += 1
        self._was_asked = False
        wait = _DENIED_PAUSE * (0.5 + self._chance() / 2) if denied else longest * self._chance()
        self.not_before = now + wait
        self.asked(now, pause)
        return not denied and now - self.since >= _TOLD_AFTER

    def takes_some(self) -> None:
        """It took a part of what it was sent: the next pause is a first one."""
        self._attempts = 0

    def asked(self, now: float, pause: float | None) -> None:
        """It asked to be left alone for so many seconds, of which five minutes are granted."""
        if pause is not None and pause > 0:
            self._was_asked = True
            self.not_before = max(self.not_before, now + min(pause, _LONGEST_ASKED))

    def over(self, now: float) -> float | None:
        """It takes records: the milliseconds for which it did not; None where it did."""
        self._attempts = 0
        self._was_asked = False
        since, self.since = self.since, None
        return None if since is None else (now - since) * 1000

    def hurry(self) -> None:
        """Somebody waits: try at once, unless it asked to be left alone."""
        if not self._was_asked:
            self.not_before = 0.0

    def may_send(self, now: float) -> bool:
        """Whether it has not asked to be left alone till later."""
        return not self._was_asked or now >= self.not_before

    def forget(self) -> None:
        """In the child of a fork: it was the parent's."""
        self.since = None
        self.not_before = 0.0
        self._attempts = 0
