"""What must hold for every recorded stream, whichever provider's: cut off anywhere, and with anything in it mutated."""

from __future__ import annotations

import copy
import json
import random
import time
from collections import Counter
from functools import cache
from types import ModuleType
from typing import Any

import hypothesis
import pytest
from conftest import recorded
from hypothesis import strategies as st

import llmlog
from llmlog import faults
from llmlog.calls import Call
from llmlog.providers import FORMATS
from llmlog.summary import Ending, summary

AT_LEAST = 431
COUNTS = ("chunks", "content_chunks", "response_length", "reasoning_length", "tool_calls")

ANYTHING: list[Any] = [
    None, True, 0, -1, 3.5, float("nan"), 10**30, "", "text", "\ud800", [], ["text"], [None], [[]], {}, {"a": None},
    b"bytes",
]  # fmt: skip


@cache
def every(cases: ModuleType) -> list[tuple[Any, list[Any]]]:
    """Each case with its chunks as a user hands them on: botocore's events by their names, others as they are."""
    return [(case, chunks_of(case)) for case in recorded(cases)]


def chunks_of(case: Any) -> list[Any]:
    if case.meta["framing"] != "eventstream":
        return list(case.payloads())
    made: list[Any] = []
    for one in case.events():
        text = one.data if isinstance(one.data, str) else json.dumps(one.data)
        made.append({one.event.lstrip("!"): {"bytes": text.encode()} if one.event == "chunk" else one.data})
    return made


def cut_here(call: Call) -> dict[str, Any]:
    """The record of a stream that runs out now."""
    call.ending = Ending("exhausted", call.last, time.time())
    try:
        return summary(call)[2]
    finally:
        call.ending = None


def recorded_now(calls: Any) -> dict[str, Any]:
    """The one record there is, without the collection that `calls.one()` makes: among so many cases it takes long."""
    assert llmlog.flush()
    (record,) = calls.records
    calls.records.clear()
    return vars(record)


def test_cut_at_every_event(cases: ModuleType, calls: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing raises, counts only grow, and once a stream is whole it stays whole: before that it is incomplete."""
    before, ended, events = faults.counts(), Counter[str](), 0
    for case, chunks in every(cases):
        call = Call(provider=case.meta["provider"])
        call.drive()
        counts, outcomes = dict.fromkeys(COUNTS, 0), []
        for chunk in chunks:
            call.feed(chunk)
            if call.answer.usage is None and len(call.answer.texts[0]) > 2000 and call.chunks % 20:
                continue  # its tokens would be counted once more for each event
            record = cut_here(call)
            now = {name: record.get(name) or 0 for name in COUNTS}
            assert all(now[name] >= counts[name] for name in COUNTS), (case.id, counts, now)
            counts, events = now, events + 1
            outcomes.append(record["outcome"])
        assert set(outcomes) <= {"incomplete", "completed", "error"}, case.id
        whole = [outcome != "incomplete" for outcome in outcomes]
        assert whole == sorted(whole), case.id
        call.end("exhausted")
        assert recorded_now(calls)["outcome"] == (outcomes[-1] if outcomes else "incomplete"), case.id
        ended["whole at its last event, or some before it" if any(whole) else "never whole"] += 1
    with capsys.disabled():
        print(f"\ncut {ended.total()} streams at {events} events: {dict(ended)}")
    assert ended.total() >= AT_LEAST
    assert faults.counts() == before


def mutated(chunks: list[Any], chance: random.Random) -> list[Any]:
    """The same with one thing changed: a field gone, null, of another type, an event nobody knows."""
    changed = list(chunks)
    target: Any = {}
    if changed:
        place: Any = chance.randrange(len(changed))
        changed[place] = target = copy.deepcopy(changed[place])
    while isinstance(target, (dict, list)) and target:
        place = chance.choice(list(target) if isinstance(target, dict) else range(len(target)))
        if isinstance(target[place], (dict, list)) and target[place] and chance.random() < 0.7:
            target = target[place]
            continue
        kind = chance.randrange(4)
        if kind == 0:
            del target[place]
        else:
            target[place] = (None, chance.choice(ANYTHING), {"type": "unknown", "unknown": {}})[kind - 1]
        break
    return changed


def test_mutated(cases: ModuleType, calls: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is in a chunk, the consumer gets it, the record comes, and none of our readers raises."""
    before, streams = faults.counts(), 0

    @hypothesis.settings(max_examples=2000, database=None)
    @hypothesis.given(
        st.sampled_from(every(cases)),
        st.randoms(use_true_random=False),
        st.booleans(),
        st.booleans(),
        st.integers(1, 3),
    )
    def mutate(one: Any, chance: random.Random, from_its_end: bool, named: bool, times: int) -> None:
        nonlocal streams
        case, chunks = one
        changed = chunks[-10:] if from_its_end else chunks[:40]
        for _ in range(times):
            changed = mutated(changed, chance)
        got = list(llmlog.stream(iter(changed), provider=case.meta["provider"] if named else None))
        assert all(one is other for one, other in zip(got, changed, strict=True)), case.id
        assert recorded_now(calls)["outcome"] in ("completed", "incomplete", "error"), case.id
        assert {where: n for where, n in faults.counts().items() if n != before.get(where, 0)} == {}
        streams += 1

    mutate()
    with capsys.disabled():
        print(f"\n{streams} mutated streams, each delivered and recorded")


def test_one_format_each(cases: ModuleType) -> None:
    """No two formats take the same chunk for theirs, and each stream is somebody's."""
    for case, chunks in every(cases):
        taken: set[str] = set()
        for chunk in chunks:
            takers = [one.chunk.__module__ for one in FORMATS if one.matches(chunk)]
            assert len(takers) <= 1, (case.id, chunk, takers)
            taken.update(takers)
        assert len(taken) == 1, (case.id, taken)
