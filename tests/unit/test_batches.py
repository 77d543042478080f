"""A spool read in batches."""

from __future__ import annotations

import errno
import json
import os
import pathlib
from collections.abc import Iterator

import pytest

from llmlog.handlers.batches import LOOK_EVERY, Batches
from llmlog.handlers.segments import Segment
from llmlog.handlers.spool import Spool

NOW = 1_800_000_000.0


@pytest.fixture
def spool(tmp_path: pathlib.Path) -> Iterator[Spool]:
    made = Spool(str(tmp_path / "spool"))
    yield made
    made.close()


def batches(spool: Spool, records: int = 3, nbytes: int = 1 << 20, seconds: float = 2.0) -> Batches:
    return Batches(spool, records=records, nbytes=nbytes, seconds=seconds)


def log(spool: Spool, *numbers: int) -> None:
    for n in numbers:
        spool.append(json.dumps({"n": n}).encode(), NOW + n)


def loaded(one: Batches) -> list[list[int]]:
    return [[json.loads(entry.line)["n"] for entry in part] for part in one.parts]


def test_nothing_and_less_than_a_batch(spool: Spool) -> None:
    """Without records the spool says when there is one; with some it is time when the first of them is old enough."""
    one = batches(spool)
    assert one.load(0.0) is None
    assert not spool.wake.is_set()
    log(spool, 1)
    assert spool.wake.is_set()
    assert one.load(5.0) == 2.0
    assert one.load(6.5) == 0.5
    assert one.load(7.0) == 0.0
    assert loaded(one) == [[1]]


def test_the_next_one_is_read_when_the_one_before_is_settled(spool: Spool) -> None:
    """Until then `load` has nothing to do; what is settled is not read again."""
    one = batches(spool, records=2)
    log(spool, 1, 2, 3, 4)
    assert one.load(0.0) == 0.0
    assert one.load(0.0) == 0.0
    assert loaded(one) == [[1, 2]]
    one.parts.clear()
    one.advance()
    assert one.load(0.0) == 0.0
    assert loaded(one) == [[3, 4]]


def test_the_position_stays_before_what_is_left(spool: Spool) -> None:
    """The parts may be settled in any order: the first record that is not is where another process goes on."""
    one = batches(spool)
    log(spool, 1, 2, 3)
    one.load(0.0)
    [first, second, third] = one.parts.pop()
    one.parts.extend([[third], [second]])
    one.advance()
    spool.release()
    spool.close()
    again = batches(Spool(spool.folder))
    again.load(0.0)
    assert loaded(again) == [[2, 3]]
    assert first.key < second.key < third.key
    assert not again.parts[0][0].again  # nothing was noted as sent


def test_what_is_about_to_be_sent_is_noted(spool: Spool) -> None:
    """The next process knows what may be stored already."""
    one = batches(spool, records=2)
    log(spool, 1, 2, 3)
    one.load(0.0)
    one.sending()
    spool.release()
    spool.close()
    again = batches(Spool(spool.folder))
    again.load(0.0)
    assert [entry.again for entry in again.parts[0]] == [True, True, False]


def test_a_settled_segment_is_removed(spool: Spool) -> None:
    """When nothing is appended to it any more."""
    one = batches(spool)
    log(spool, 1, 2)
    spool.seal()
    one.load(0.0)
    assert len(os.listdir(spool.folder)) == 1
    one.parts.clear()
    one.advance()
    assert os.listdir(spool.folder) == []
    assert one.load(0.0) is None


def with_a_segment_of_its_own(spool: Spool) -> Batches:
    """Nothing is left in it."""
    one = batches(spool, records=1)
    log(spool, 1)
    one.load(0.0)
    one.parts.clear()
    one.advance()
    assert (one.load(0.0), one.looks) == (None, 1)
    return one


def test_others_are_looked_for_now_and_then(spool: Spool) -> None:
    """Not for each batch: that lists a folder."""
    one = with_a_segment_of_its_own(spool)
    left = Spool(spool.folder)
    log(left, 7)
    left.close()
    assert (one.load(LOOK_EVERY - 1), one.looks) == (None, 1)
    assert one.load(LOOK_EVERY) == 0.0
    assert loaded(one) == [[7]]


def test_a_look_at_once(spool: Spool) -> None:
    """For who flushes."""
    one = with_a_segment_of_its_own(spool)
    left = Spool(spool.folder)
    log(left, 7)
    left.close()
    one.look()
    assert one.load(0.0) == 0.0
    assert loaded(one) == [[7]]


def test_forgotten(spool: Spool) -> None:
    """It stays in the spool, and is the first of the next batch."""
    one = batches(spool, records=2)
    log(spool, 1, 2)
    one.load(0.0)
    one.forget()
    assert not one.parts
    one.advance()
    assert one.load(0.0) == 2.0
    assert one.load(2.0) == 0.0
    assert loaded(one) == [[1, 2]]


def test_a_position_that_cannot_be_noted(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is told, and this process goes on: it knows itself."""

    def full(segment: Segment) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Segment, "_note", full)
    one = batches(spool, records=1)
    log(spool, 1, 2)
    for number in (1, 2):
        assert one.load(0.0) == 0.0
        assert loaded(one) == [[number]]
        one.sending()
        one.parts.clear()
        one.advance()
    assert "cannot be noted" in capfd.readouterr().err
