"""Random lives of a spool's processes: whatever happens, a record arrives once, or is counted as dropped.

Each "process" is a Spool and a Shipper that a rule steps; it crashes by having its files closed, as the system does it,
and with all that it had in memory gone. The store knows the keys it has.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from llmlog.handlers.backend import Entry, Outcome
from llmlog.handlers.dead_letters import DeadLetters
from llmlog.handlers.shipping import Shipper
from llmlog.handlers.spool import Spool
from llmlog.testing import FakeClock

if os.name != "posix":
    pytest.skip("a spool needs POSIX file locks", allow_module_level=True)

MAX_BYTES = 64 * 1024


class Store:
    """Takes what it is sent, once for each key, in one of the ways that a store has."""

    name, destination = "store", "here"

    def __init__(self) -> None:
        self.stored: dict[str, int] = {}
        self.way = "takes"
        self.number = 0

    def send(self, entries: Sequence[Entry]) -> Outcome:
        """Poisoned records are refused in every way but an outage."""
        assert entries
        way = self.way
        if way == "is out":
            raise OSError("down")
        if way == "loses its answer":
            self._take(entries[: self.number])
            raise TimeoutError
        if way == "breaks":
            self._take(entries[: self.number])
            raise KeyError("oops")
        if way == "denies":
            return Outcome(denied="401")
        bad = [entry for entry in entries if b"poison" in entry.line]
        if way == "is too small" and len(entries) > 1 + self.number % 3:
            return Outcome(split="413")
        if way == "refuses as a whole" and bad:
            return Outcome(split="400")
        rest = [entry for entry in entries if entry not in bad]
        again = rest[self.number % 4 :: 3] if way == "takes a part" else []
        self._take([entry for entry in rest if entry not in again])
        return Outcome(again=again, refused=[(entry, "400") for entry in bad], pause=1.0 if self.number == 1 else None)

    def _take(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if b"poison" not in entry.line:
                number = json.loads(entry.line)["n"]
                assert self.stored.setdefault(entry.key, number) == number, "one key, two records"

    def mended(self, entry: Entry, reason: str) -> Entry | None:
        """Some can be mended."""
        if b"poison-mild" in entry.line:
            return entry._replace(line=entry.line.replace(b"poison-mild", b"cured"), changed="cured")
        return None

    def close(self) -> None:
        """Nothing to close."""


WAYS = ["takes", "is out", "loses its answer", "breaks", "denies", "is too small", "refuses as a whole", "takes a part"]


class Process:
    """One process, without a thread."""

    def __init__(self, folder: str, store: Store, clock: FakeClock, full: str) -> None:
        self.store = store
        self.spool = Spool(folder, max_bytes=MAX_BYTES, full=full, clock=clock)
        self.shipper = Shipper(
            self.spool, store, DeadLetters(folder, MAX_BYTES), batch_records=7, batch_bytes=4096, batch_seconds=1.0,
            clock=clock, chance=lambda: 1.0,
        )  # fmt: skip

    def crash(self) -> None:
        """The system closes its files; nothing else happens."""
        self.spool._close_all()
        self.spool._own.clear()
        self.shipper._batches.parts.clear()


class Machine(RuleBasedStateMachine):
    """Up to three processes, one folder, one store."""

    full = "drop_oldest"

    def __init__(self) -> None:
        super().__init__()
        self.root = tempfile.mkdtemp(prefix="llmlog-spool-")
        self.folder = f"{self.root}/spool"
        self.clock = FakeClock()
        self.store = Store()
        self.processes: list[Process] = []
        self.logged = 0
        self.poisoned: set[int] = set()
        self.dropped = 0  # by those that are gone
        self.expected_torn = 0

    @initialize()
    def begin(self) -> None:
        """There is a first process."""
        self.start()

    @precondition(lambda self: len(self.processes) < 3)
    @rule()
    def start(self) -> None:
        """Another process."""
        self.processes.append(Process(self.folder, self.store, self.clock, self.full))

    @rule(
        which=st.integers(0, 2), count=st.integers(1, 30), size=st.sampled_from([0, 0, 50, 900, 5000]),
        kind=st.sampled_from(["", "", "", "poison", "poison-mild"]), when=st.floats(-7200, 7200),
    )  # fmt: skip
    def append(self, which: int, count: int, size: int, kind: str, when: float) -> None:
        """Log some records, at whatever the clock says."""
        process = self.processes[which % len(self.processes)]
        for _ in range(count):
            line = json.dumps({"n": self.logged, "kind": kind, "text": "x" * size}).encode()
            before = process.spool.dropped
            done = process.spool.append(line, 1_800_000_000 + when)
            assert done or process.spool.dropped == before + 1
            if kind == "poison":
                self.poisoned.add(self.logged)
            self.logged += 1

    @rule(
        which=st.integers(0, 2), ways=st.lists(st.sampled_from(WAYS), min_size=1, max_size=12), number=st.integers(0, 9)
    )
    def ship(self, which: int, ways: list[str], number: int) -> None:
        """Let one process send, to a store in changing moods."""
        process = self.processes[which % len(self.processes)]
        for way in ways:
            self.store.way, self.store.number = way, number
            wait = process.shipper.step()
            self.clock.advance(wait or 0.0)

    @rule(which=st.integers(0, 2))
    def seal(self, which: int) -> None:
        """A flush, or a full segment."""
        self.processes[which % len(self.processes)].spool.seal()

    @rule(which=st.integers(0, 2), torn=st.booleans())
    def crash(self, which: int, torn: bool) -> None:
        """One process is killed, perhaps in the middle of a write; it is another one that goes on."""
        process = self.processes.pop(which % len(self.processes))
        active = process.spool._active
        if torn and active is not None:
            os.write(active.fd, b'1800000000000000000 {"n": -1, "text": "cut he')
        self.dropped += process.spool.dropped
        process.crash()
        if not self.processes:
            self.start()

    @rule(which=st.integers(0, 2))
    def close(self, which: int) -> None:
        """One process ends in an orderly way."""
        process = self.processes.pop(which % len(self.processes))
        process.shipper.stop(1.0)
        process.spool.close()
        self.dropped += process.spool.dropped
        if not self.processes:
            self.start()

    @rule(which=st.integers(0, 2))
    def fork(self, which: int) -> None:
        """The child's half of a fork: it has nothing of what the parent had. The parent's files are let go of."""
        process = self.processes[which % len(self.processes)]
        self.dropped += process.spool.dropped
        process.spool._forget()
        process.shipper._forget()

    @invariant()
    def nothing_is_there_that_was_not_logged(self) -> None:
        """And no record is there under two keys."""
        numbers = list(self.store.stored.values())
        assert len(set(numbers)) == len(numbers)
        assert all(0 <= number < self.logged for number in numbers)

    @invariant()
    def the_bound_holds(self) -> None:
        """But for the newest segment of each process, and what it is sending."""
        if os.path.isdir(self.folder):
            spooled = sum(file.stat().st_size for file in pathlib.Path(self.folder).glob("*.segment"))
            assert spooled <= MAX_BYTES + 3 * 2 * (MAX_BYTES // 32 + 6000)

    def teardown(self) -> None:
        """In the end the store is well again, and one process sends all that is left."""
        try:
            self._settle()
        finally:
            for process in self.processes:
                process.crash()
            shutil.rmtree(self.root)

    def _settle(self) -> None:
        if not self.processes:
            return
        self.store.way, self.store.number = "takes", 0
        for process in self.processes:
            process.shipper.stop(1.0)
            process.spool.close()
            self.dropped += process.spool.dropped
        last = Process(self.folder, self.store, self.clock, self.full)
        self.processes = [last]
        for _ in range(5000):
            wait = last.shipper.step()
            if wait is None:
                break
            self.clock.advance(wait)
        else:
            raise AssertionError("it does not come to rest")
        self.dropped += last.spool.dropped
        letters = pathlib.Path(self.folder, "dead-letter.jsonl")
        refused = (
            [json.loads(line)["record"]["n"] for line in letters.read_text().splitlines()] if letters.exists() else []
        )
        arrived = set(self.store.stored.values())
        assert set(refused) <= self.poisoned
        assert not arrived & self.poisoned
        missing = set(range(self.logged)) - arrived - set(refused)
        assert len(missing) <= self.dropped
        if not self.dropped:
            assert not missing
        left: list[Any] = list(pathlib.Path(self.folder).glob("*.segment"))
        assert left == []


class NewestMachine(Machine):
    """The same with the other way to stay within the bound."""

    full = "drop_newest"


@pytest.fixture(autouse=True)
def faults_of_the_store(faults_expected: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmlog.handlers.shipping.fault", lambda *args: None)  # a store that breaks is part of the play
    monkeypatch.setattr("llmlog.handlers.shipping.notice", lambda *args: None)


for machine in (Machine, NewestMachine):
    machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestDroppingTheOldest = Machine.TestCase
TestDroppingTheNewest = NewestMachine.TestCase
