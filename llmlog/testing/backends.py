"""A backend in memory, for tests of what happens between a logging call and a log store."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from llmlog.handlers.backend import Entry, Outcome

__all__ = ["FakeBackend"]

Answer = Outcome | BaseException | Callable[[Sequence[Entry]], Outcome] | None


class FakeBackend:
    """Takes what is sent to it, and answers as it is told to.

        handler = SpooledHandler(backend := FakeBackend(OSError("down"), None), spool=tmp_path)

    `answers`: one for each sending to come: an Outcome, an error to raise, a function of the entries, or None, which
    takes them all; so does every sending after the last answer. `mends`: what `mended` does to an entry.
    """

    name = "fake"

    def __init__(
        self,
        *answers: Answer,
        destination: str = "memory",
        mends: Callable[[Entry, str], Entry | None] = lambda entry, reason: None,
    ) -> None:
        self.destination = destination
        self.answers: deque[Answer] = deque(answers)
        self.sent: list[list[Entry]] = []
        """Every sending, whatever became of it."""
        self.stored: dict[str, Entry] = {}
        """What was taken, by its key: what is sent twice is there once."""
        self.closed = 0
        """How often `close` was called."""
        self._mends = mends
        self._lock = threading.Lock()

    @property
    def records(self) -> list[dict[str, Any]]:
        """What was taken, in the order of its first sending."""
        return [json.loads(entry.line) for entry in list(self.stored.values())]

    def send(self, entries: Sequence[Entry]) -> Outcome:
        """Answer as the next of `answers` says."""
        with self._lock:
            self.sent.append(list(entries))
            answer = self.answers.popleft() if self.answers else None
            if isinstance(answer, BaseException):
                raise answer
            outcome = answer if isinstance(answer, Outcome) else answer(entries) if answer is not None else Outcome()
            if not (outcome.split or outcome.denied):
                left = {entry.key for entry in outcome.again} | {entry.key for entry, _ in outcome.refused}
                self.stored.update((entry.key, entry) for entry in entries if entry.key not in left)
            return outcome

    def mended(self, entry: Entry, reason: str) -> Entry | None:
        """What `mends` makes of it; None unless told otherwise."""
        return self._mends(entry, reason)

    def close(self) -> None:
        """Count it."""
        self.closed += 1
