"""What a spool hands to a backend, and what it hears back: a backend shapes its payload, and keeps nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

__all__ = ["Backend", "Entry", "Outcome"]


class Entry(NamedTuple):
    """One record on its way. A tuple, since one is made for every record: `entry._replace(...)` mends it."""

    stamp: int
    """Its time in nanoseconds since the epoch; no two records of a process have the same."""
    line: bytes
    """One JSON object, without a newline."""
    key: str
    """Unique, and the same whenever this record is sent again: its segment's name and its place in it."""
    changed: str = ""
    """What `Backend.mended` has done to it ("late", "cut"); empty as it was written."""
    again: bool = False
    """Whether it may have been sent before, by this process or by one that was killed: it may be stored already."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the entries that were sent: those that no field names are stored."""

    again: Sequence[Entry] = ()
    """Not taken, through no fault of theirs: to be sent again."""
    refused: Sequence[tuple[Entry, str]] = ()
    """Not taken for what they are, with the backend's own words: mended, or put aside."""
    split: str = ""
    """The batch was refused as a whole, with the backend's own words: its halves are sent, down to the one at fault."""
    denied: str = ""
    """The credentials were refused, with the backend's own words: nothing of the batch was taken; said once."""
    pause: float | None = None
    """Seconds that the backend asked to be left alone for."""


class Backend(Protocol):
    """Where a spool's entries go. Only the spool's own thread calls it, or the one that flushes, one at a time."""

    name: str
    """For people and for the spool's folder, such as `loki`."""
    destination: str
    """What tells this destination from others (address, tenant, index; no secret): each has a spool of its own."""

    def send(self, entries: Sequence[Entry]) -> Outcome:
        """Send them all at once and wait for the answer. OSError and TimeoutError: they may or may not have arrived."""
        ...

    def mended(self, entry: Entry, reason: str) -> Entry | None:
        """`entry` in a form that may be taken after it was refused with these words; None: put it aside."""
        ...

    def close(self) -> None:
        """Let go of connections; a later `send` opens them again."""
        ...
