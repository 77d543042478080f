"""When a record was made, no two the same."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlog.handlers.stamps import Stamps

NOW = 1_800_000_000.0
SECOND = 1_000_000_000


def test_records_of_one_moment_have_stamps_of_their_own() -> None:
    """Equal lines are two records, then; a microsecond is as near as a float's time is."""
    stamps = Stamps()
    found = [stamps.next(NOW) for _ in range(5)]
    assert found == list(range(found[0], found[0] + 5))
    assert abs(found[0] - int(NOW) * SECOND) < 1_000


def test_a_time_that_comes_twice() -> None:
    """Events that are told again, say: the second one is not the first one sent again."""
    stamps = Stamps()
    found = [stamps.next(NOW + second) for second in (0, 0, 2, 0, 0, 2, 0)]
    assert len(set(found)) == len(found)


@given(st.lists(st.floats(0, 9) | st.integers(0, 9), max_size=20))
def test_near_their_time_and_never_twice(offsets: list[float]) -> None:
    """Within the second that two threads may be out of order, they rise."""
    stamps = Stamps()
    made = [(NOW + offset, stamps.next(NOW + offset)) for offset in offsets]
    assert len({stamp for _, stamp in made}) == len(made)
    assert all(abs(stamp / SECOND - created) < 1.001 for created, stamp in made)
    for (_, before), (created, stamp) in itertools.pairwise(made):
        assert before < stamp or before - created * SECOND >= 0.999 * SECOND


@pytest.mark.parametrize("created", [None, "yesterday", float("nan"), float("inf"), -1.0, object()])
def test_what_is_no_time_is_now(created: Any) -> None:
    """The record is not lost for it."""
    before = time.time_ns()
    assert before <= Stamps().next(created) <= time.time_ns()


def test_threads_do_not_share_one() -> None:
    """Each takes its own, all at the same time."""
    stamps, start = Stamps(), threading.Barrier(4)
    found: list[list[int]] = [[] for _ in range(4)]

    def take(mine: list[int]) -> None:
        start.wait(10)
        mine += [stamps.next(NOW) for _ in range(500)]

    threads = [threading.Thread(target=take, args=(mine,)) for mine in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set().union(*found)) == 2_000
    assert all(mine == sorted(mine) for mine in found)


def test_processes_hardly_meet() -> None:
    """The nanoseconds below a record's time are each process's own."""
    assert len({Stamps().next(NOW) for _ in range(50)}) > 20
