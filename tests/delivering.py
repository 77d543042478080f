"""What the tests of backends share: entries as a spool hands them on, and a delivery of them to their end."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any

from llmlog.handlers.backend import Backend, Entry

SECOND = 1_000_000_000


def entry(stamp: int | None = None, /, key: str | None = None, **fields: Any) -> Entry:
    """One record of the flat schema, an application's where nothing else is said."""
    stamp = time.time_ns() if stamp is None else stamp
    when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(stamp // SECOND)) + f".{stamp % SECOND // 1000:06d}Z"
    record = {"timestamp": when, "level": "INFO", "logger": "app", "message": "hello", **fields}
    line = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
    return Entry(stamp, line, key or uuid.uuid4().hex)


def delivered(backend: Backend, entries: Sequence[Entry], sends: int = 200) -> list[tuple[Entry, str]]:
    """Send them until each is stored or put aside, as the shipper does; those put aside, with the reasons."""
    waiting = [list(entries)]
    aside: list[tuple[Entry, str]] = []
    while waiting:
        batch = waiting.pop(0)
        sends -= 1
        assert sends, "it does not come to an end"
        outcome = backend.send(batch)
        assert not outcome.denied, outcome.denied
        if outcome.split:
            assert len(batch) > 1
            batch = sent(batch)
            waiting[:0] = [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
            continue
        each_once(batch, outcome.again, [one for one, _ in outcome.refused])
        rest = sent(outcome.again)
        for one, reason in outcome.refused:
            if (other := backend.mended(one, reason)) is None:
                aside.append((one, reason))
            else:
                assert (other.key, other.changed) != (one.key, one.changed), reason
                rest.append(other._replace(again=one.again))
        if rest:
            waiting.insert(0, rest)
    return aside


def sent(entries: Sequence[Entry]) -> list[Entry]:
    """The entries as the shipper sends them again."""
    return [one._replace(again=True) for one in entries]


def each_once(batch: Sequence[Entry], *parts: Sequence[Entry]) -> None:
    """What an outcome names was sent, and no entry is named twice."""
    named = Counter(one.key for part in parts for one in part)
    assert set(named.values()) <= {1}
    assert named.keys() <= {one.key for one in batch}
