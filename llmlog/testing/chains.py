"""Chain: the check that each piece of a script reached the far end, in order, one by one."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from llmlog.exceptions import UsageTypeError, shown

__all__ = ["Chain"]


class Chain:
    """One streamed answer in lock-step: a piece is sent once the far end has reported the one before it.

    `ScriptedServer.one_by_one()` makes it. The far end, an HTTP client's loop or a UI's callback, in any thread or
    task, calls `arrived()` with each text it gets; at the end the test calls `check()`. A layer in between that
    buffers, merges, reorders or swallows is found out when the next piece does not arrive. From then on the server
    sends the rest without waiting, so that the consumer comes to its end.

    The pieces are those of the script's text that are not empty; arguments of tool calls are not waited for.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._changed = threading.Condition()
        self._pieces: Sequence[str] | None = None  # None: no answer has begun
        self._sent = 0
        self._arrived: list[str] = []
        self._failure: str | None = None

    def __repr__(self) -> str:
        return f"<Chain {self._sent} of {len(self._pieces or ())} sent, {len(self._arrived)} arrived>"

    def arrived(self, text: str | None) -> None:
        """The far end got `text`. None and "" are what events without text have, and are passed over.

        Never waits and never raises for what came: `check()` tells. UsageTypeError for what is no text.
        """
        if text is not None and not isinstance(text, str):
            raise UsageTypeError(f"what arrives is a text or None, got {shown(text)}")
        if not text:
            return
        with self._changed:
            number, pieces = len(self._arrived) + 1, self._pieces or ()
            if number > self._sent:
                what = f"{shown(text)} arrived when no piece was on its way: "
                self._fail(what + (f"{self._next()} was not sent yet" if number <= len(pieces) else "all had arrived"))
            elif text != pieces[number - 1]:
                self._fail(f"{shown(text)} arrived in the place of {self._next()}")
            self._arrived.append(text)
            self._changed.notify_all()

    def check(self) -> None:
        """Assert that every piece arrived, in order, one by one. Waits while pieces are on their way.

        Waiting blocks: in an event loop, await the consumer first. AssertionError names the piece that did not arrive.
        """
        __tracebackhide__ = True
        with self._changed:
            while not self._failure and not self._complete():
                before = self._sent, len(self._arrived), self._pieces
                if not self._changed.wait_for(lambda: self._moved(before), self.timeout):  # noqa: B023
                    self._fail(self._standstill())
            failure = self._failure
        if failure:
            raise AssertionError(failure)

    # What the server tells.

    def begin(self, pieces: Sequence[str]) -> None:
        """The answer with these pieces begins."""
        with self._changed:
            self._pieces = [piece for piece in pieces if piece]
            self._changed.notify_all()

    def sending(self) -> None:
        """The next piece is being sent."""
        with self._changed:
            self._sent += 1
            self._changed.notify_all()

    def wait(self, timeout: float) -> bool:
        """Wait for the piece that was sent: False where it is still on its way after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._failure) or not self._on_its_way(), timeout)

    def late(self) -> None:
        """The piece that was sent has had its time."""
        with self._changed:
            if self._on_its_way():
                self._fail(self._standstill())

    def broken(self, why: str) -> None:
        """Nothing more will be sent."""
        with self._changed:
            if not self._complete():
                state = "was sent and did not arrive" if self._on_its_way() else "was not sent"
                self._fail(f"{self._next()} {state}: {why}")

    # Under the lock.

    def _complete(self) -> bool:
        return self._pieces is not None and len(self._arrived) == len(self._pieces)

    def _moved(self, before: tuple[int, int, Sequence[str] | None]) -> bool:
        return bool(self._failure) or (self._sent, len(self._arrived), self._pieces) != before

    def _on_its_way(self) -> bool:
        return self._sent > len(self._arrived)

    def _next(self) -> str:
        """The piece that the far end is to report next."""
        number = len(self._arrived) + 1
        return f"piece {number} {shown((self._pieces or ())[number - 1])}"

    def _standstill(self) -> str:
        within = f"within {self.timeout:g} s"
        if self._pieces is None:
            return f"no streamed answer began {within}"
        if self._on_its_way():
            return f"{self._next()} was sent and did not arrive {within}"
        return f"{self._next()} was not sent {within}"

    def _fail(self, what: str) -> None:
        """The first failure is the one that tells; the others follow from it."""
        if self._failure is None:
            self._failure = f"{what}; arrived so far: {shown(self._arrived, 400)}"
        self._changed.notify_all()
