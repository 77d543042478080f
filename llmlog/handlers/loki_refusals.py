"""What Loki means by a 400: it stores the good lines of a push, and names the others in a text for people."""

from __future__ import annotations

import datetime
import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llmlog.handlers.backend import Entry

__all__ = ["Stream", "is_configuration", "refused"]

_SECOND = 1_000_000_000


@dataclass(slots=True)
class Stream:
    """What one push is of: entries with the same labels, in the order of their stamps, and what is sent of each."""

    labels: Mapping[str, str]
    until: int
    """No entry has a later stamp."""
    entries: list[Entry] = field(default_factory=list)
    values: list[list[Any]] = field(default_factory=list)
    """`[stamp, line, metadata]` of each entry; without the third where it has none."""

    def without(self, keys: Container[str]) -> Stream:
        """The same without the entries of these keys."""
        kept = [pair for pair in zip(self.entries, self.values, strict=True) if pair[0].key not in keys]
        return Stream(self.labels, self.until, [entry for entry, _ in kept], [value for _, value in kept])


_CONFIGURATION = re.compile(
    "label names; limit|label name too long|label value too long|duplicate label name|missing required labels"
    "|at least one label pair|error parsing labels"
)
# "entry with timestamp 2026-11-21 18:00:00.123 +0000 UTC ignored, reason: '...'", up to ten of them.
_NAMED = re.compile(r"entry with timestamp (\S+ \S+ [+-]\d{4}) \S+ ignored, reason: '([^'\n]*)'")
_OLDEST = re.compile(r"oldest acceptable timestamp is: (\S+)")
_TOO_OLD = re.compile(r"has timestamp too old: \S+, oldest acceptable timestamp is: (\S+)")
_TOO_NEW = re.compile(r"has timestamp too new: ([^\s;]+)")
_TOO_LONG = re.compile(r"max entry size '(\d+)' bytes exceeded")
_METADATA_SIZE = re.compile(r"structured metadata too large: '\d+' bytes, limit: '(\d+)' bytes")
_METADATA_COUNT = re.compile(r"too many structured metadata labels: '\d+', limit: '(\d+)'")
_NO_METADATA = "structured metadata, but this feature is disallowed"


def is_configuration(words: str) -> bool:
    """Whether the labels are refused: no record is at fault, and none would be taken another way."""
    return bool(_CONFIGURATION.search(words))


def refused(words: str, stream: Stream) -> list[tuple[Entry, str]]:
    """The entries that were not taken, each with the reason. Empty: the words do not say.

    There may be others: Loki names ten, and tells one kind of error at a time. Times in its texts are whole seconds,
    mostly: of what is too new, those of the first second may have been taken all the same.
    """
    found: dict[str, tuple[Entry, str]] = {}
    for entry, reason in (*_too_late(words, stream), *_beyond_a_limit(words, stream)):
        found.setdefault(entry.key, (entry, reason))
    return list(found.values())


def _too_late(words: str, stream: Stream) -> Iterable[tuple[Entry, str]]:
    """Those that are behind the newest one of the stream.

    They are sent in the order of their stamps, so the bound was the same for all that are behind it.
    """
    named = {_nanoseconds(when): reason for when, reason in _NAMED.findall(words)}
    bounds = [(_nanoseconds(bound[1]), reason) for reason in named.values() if (bound := _OLDEST.search(reason))]
    oldest, behind = min(bounds, default=(0, ""))
    for entry in stream.entries:
        if entry.stamp in named:
            yield entry, named[entry.stamp]
        elif entry.stamp < oldest:
            yield entry, behind


def _beyond_a_limit(words: str, stream: Stream) -> Iterable[tuple[Entry, str]]:
    if bounds := _TOO_OLD.findall(words):
        oldest = min(map(_nanoseconds, bounds))
        yield from ((entry, f"timestamp too old: {bounds[0]}") for entry in stream.entries if entry.stamp < oldest)
    if named := _TOO_NEW.findall(words):
        second = min(map(_nanoseconds, named))
        yield from ((entry, f"timestamp too new: {named[0]}") for entry in stream.entries if entry.stamp >= second)
    if limit := _TOO_LONG.search(words):
        longest = int(limit[1])
        yield from ((entry, limit[0]) for entry in stream.entries if len(entry.line) > longest)
    for pattern, measured in ((_METADATA_SIZE, _size), (_METADATA_COUNT, len)):
        if limit := pattern.search(words):
            most = int(limit[1])
            for entry, value in zip(stream.entries, stream.values, strict=True):
                if len(value) > 2 and measured(value[2]) > most:
                    yield entry, limit[0]
    if _NO_METADATA in words:
        for entry, value in zip(stream.entries, stream.values, strict=True):
            if len(value) > 2:
                yield entry, _NO_METADATA


def _size(metadata: Mapping[str, str]) -> int:
    return sum(len(name) + len(value.encode()) for name, value in metadata.items())


_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))? ?(Z|[+-]\d\d:?\d\d)")


def _nanoseconds(text: str) -> int:
    """A time of Loki's, as Go writes it; 0 where it is none."""
    parts = _TIME.match(text)
    if parts is None:
        return 0
    day, clock, fraction, zone = parts.groups()
    seconds = int(datetime.datetime.fromisoformat(f"{day}T{clock}{zone}").timestamp())
    return seconds * _SECOND + int((fraction or "").ljust(9, "0"))
