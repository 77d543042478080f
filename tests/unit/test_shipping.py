"""From the spool to the backend, step by step, without a thread."""

from __future__ import annotations

import json
import logging
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from llmlog.handlers.backend import Entry, Outcome
from llmlog.handlers.dead_letters import DeadLetters
from llmlog.handlers.shipping import Shipper, is_shipping
from llmlog.handlers.spool import Spool
from llmlog.testing import FakeBackend, FakeClock


class Line:
    """A spool, its shipper and its backend."""

    def __init__(self, folder: pathlib.Path, **options: Any) -> None:
        self.clock = FakeClock()
        self.backend = FakeBackend()
        self.folder = folder
        spool = {name: options.pop(name) for name in ("max_bytes", "full") if name in options}
        self.spool = Spool(str(folder), clock=self.clock, **spool)
        self.dead = DeadLetters(str(folder), 10_000)
        self.chance = 1.0
        self.shipper = Shipper(
            self.spool, self.backend, self.dead, clock=self.clock, chance=lambda: self.chance,
            **{"batch_seconds": 0.0, **options},
        )  # fmt: skip
        self.n = 0

    def log(self, count: int = 1, **fields: Any) -> None:
        for _ in range(count):
            self.spool.append(json.dumps({"n": self.n, **fields}).encode(), 1_800_000_000.0 + self.n)
            self.n += 1

    def run(self) -> float | None:
        """Step until there is something to wait for."""
        for _ in range(1000):
            wait = self.shipper.step()
            if wait != 0.0:
                return wait
        raise AssertionError("it does not come to rest")

    @property
    def arrived(self) -> list[int]:
        return [record["n"] for record in self.backend.records]

    @property
    def sent(self) -> list[list[int]]:
        return [[json.loads(entry.line)["n"] for entry in part] for part in self.backend.sent]

    def close(self) -> None:
        self.shipper.stop(1.0)
        self.spool.close()


@pytest.fixture
def line(tmp_path: pathlib.Path) -> Iterator[Line]:
    made = Line(tmp_path / "spool")
    yield made
    made.close()


@pytest.fixture
def delivery(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, logger="llmlog.delivery")
    return caplog


def test_what_was_appended_is_sent_once_and_in_order(line: Line) -> None:
    """Then there is nothing left to do."""
    line.log(5)
    assert line.run() is None
    line.log(2)
    assert line.run() is None
    assert line.sent == [[0, 1, 2, 3, 4], [5, 6]]


def test_a_batch_is_sent_when_it_is_full_or_old_enough(tmp_path: pathlib.Path) -> None:
    """By count, by bytes, or by the age of its first record."""
    line = Line(tmp_path / "spool", batch_records=3, batch_bytes=1000, batch_seconds=2.0)
    line.log()
    assert line.run() == 2.0
    line.clock.advance(0.5)
    line.log()
    assert line.run() == 1.5
    assert line.sent == []
    line.clock.advance(1.5)
    line.run()
    assert line.sent == [[0, 1]]
    line.log(3)
    line.run()
    assert line.sent[1:] == [[2, 3, 4]]
    line.log(2, text="x" * 600)
    line.run()
    assert line.sent[2:] == [[5]]
    line.clock.advance(2.0)
    line.run()
    assert line.arrived == list(range(7))
    line.close()


def test_it_is_woken_when_there_is_enough(tmp_path: pathlib.Path) -> None:
    """Idle: by the first record; while it waits for a fuller batch: by the last one that fills it; busy: not at all."""
    line = Line(tmp_path / "spool", batch_records=3, batch_seconds=9.0)
    wake = line.spool.wake
    assert line.run() is None
    line.log()
    assert wake.is_set()
    wake.clear()
    assert line.run() == 9.0
    line.log()
    assert not wake.is_set()
    line.log()
    assert wake.is_set()
    wake.clear()
    line.log(5)
    assert not wake.is_set()
    line.close()


def test_a_record_that_comes_while_it_goes_to_sleep(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sent, not slept over: also the very first one."""
    wake_when = line.spool.wake_when

    def late(records: int, nbytes: int) -> bool:
        if line.n < 2:
            line.log()
        return wake_when(records, nbytes)

    monkeypatch.setattr(line.spool, "wake_when", late)
    assert line.run() is None
    assert line.sent == [[0], [1]]


@pytest.mark.parametrize("error", [OSError("down"), TimeoutError(), ConnectionResetError()])
def test_an_outage(line: Line, error: OSError) -> None:
    """The same batch is sent again, after pauses that grow, by chance, up to half a minute."""
    line.backend.answers.extend([error] * 9)
    line.log(3)
    pauses = []
    for _ in range(9):
        pause = line.run()
        assert pause
        pauses.append(pause)
        line.clock.advance(pause)
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert line.run() is None
    assert line.sent == [[0, 1, 2]] * 10
    assert line.arrived == [0, 1, 2]
    assert not line.shipper.is_out


def test_an_outage_that_lasts_is_told(line: Line, capfd: pytest.CaptureFixture[str]) -> None:
    """Once, after a minute, with the error and the place of the records: an address may be wrong for ever."""
    line.backend.destination = "out-here"
    line.backend.answers.extend([ConnectionRefusedError("nobody listens")] * 9)
    line.log()
    told = []
    for _ in range(9):  # at 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 61.5 and 91.5 s
        pause = line.run()
        assert pause
        line.clock.advance(pause)
        told.append(capfd.readouterr().err)
    assert [bool(words) for words in told] == [False] * 7 + [True, False]
    assert "takes no records (ConnectionRefusedError: nobody listens)" in told[7]
    assert f"kept in {line.folder}" in told[7]


def test_an_outage_at_the_end_is_told_with_its_reason(line: Line, capfd: pytest.CaptureFixture[str]) -> None:
    """A process that ends before the minute is over says what a longer one would have said."""
    line.backend.destination = "out-here-at-the-end"
    line.backend.answers.append(ConnectionRefusedError("nobody listens"))
    line.log()
    assert line.run()
    assert capfd.readouterr().err == ""
    line.shipper.tell_outage()
    assert "takes no records (ConnectionRefusedError: nobody listens); they are kept" in capfd.readouterr().err


def test_the_jitter_is_full(line: Line) -> None:
    """Chance has all of the pause."""
    line.backend.answers.extend([OSError()] * 2)
    line.chance = 0.25
    line.log()
    assert line.run() == 0.125


def test_a_pause_that_the_backend_asks_for(line: Line) -> None:
    """Retry-After is honoured, after a success too."""
    line.backend.answers.extend([lambda entries: Outcome(again=entries, pause=20.0), Outcome(pause=7.0)])
    line.log()
    assert line.run() == 20.0
    line.clock.advance(19.0)
    assert line.run() == 1.0
    line.clock.advance(1.0)
    assert line.run() == 7.0
    line.log()
    assert line.run() == 7.0
    line.clock.advance(7.0)
    line.run()
    assert line.sent == [[0], [0], [1]]


def test_a_part_is_sent_again(line: Line) -> None:
    """What was stored is not; the position waits for the first that was not."""
    line.backend.answers.append(lambda entries: Outcome(again=[entries[1], entries[3]]))
    line.log(5)
    assert line.run() == 0.5
    segment = next(line.folder.glob("*.position"))
    length = len(json.dumps({"n": 0})) + 21
    assert [int(one) for one in segment.read_bytes().split()] == [length, 5 * length]
    line.clock.advance(0.5)
    line.run()
    assert line.sent == [[0, 1, 2, 3, 4], [1, 3]]
    assert [[one.again for one in part] for part in line.backend.sent] == [[False] * 5, [True] * 2]


def test_a_batch_that_is_refused_as_a_whole_is_halved(line: Line) -> None:
    """Down to the one at fault, which is put aside with the backend's words; the rest arrives, in order."""

    def poisoned(entries: Any) -> Outcome:
        return Outcome(split="413 too much") if any(b'"n": 5' in entry.line for entry in entries) else Outcome()

    line.backend.answers.extend([poisoned] * 20)
    line.log(8)
    assert line.run() is None
    assert line.arrived == [0, 1, 2, 3, 4, 6, 7]
    assert line.sent == [[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3], [4, 5, 6, 7], [4, 5], [4], [5], [6, 7]]
    (letter,) = (line.folder / "dead-letter.jsonl").read_text().splitlines()
    told = json.loads(letter)
    assert (told["reason"], told["record"]) == ("413 too much", {"n": 5})
    assert told["key"] == line.backend.sent[5][0].key
    assert (line.folder / "dead-letter.jsonl").stat().st_mode & 0o777 == 0o600
    assert line.shipper.refused == 1


def test_a_record_that_can_be_mended_is_sent_in_its_other_form(line: Line) -> None:
    """Under the same key, and the rest has arrived already."""
    line.backend._mends = lambda entry, reason: entry._replace(line=b'{"n": -1}', changed=reason)
    line.backend.answers.append(lambda entries: Outcome(refused=[(entries[1], "late")]))
    line.log(3)
    line.run()
    assert line.sent == [[0, 1, 2], [-1]]
    assert line.backend.sent[1][0].changed == "late"
    assert line.backend.sent[1][0].key == line.backend.sent[0][1].key
    assert not (line.folder / "dead-letter.jsonl").exists()


def test_a_record_is_not_mended_for_ever(line: Line) -> None:
    """Whatever the backend says, the fifth refusal is the last."""
    line.backend._mends = lambda entry, reason: entry
    line.backend.answers.extend([lambda entries: Outcome(refused=[(entries[0], "no")])] * 99)
    line.log()
    assert line.run() is None
    assert len(line.sent) == 5
    assert line.shipper.refused == 1


def test_refused_credentials(line: Line, capfd: pytest.CaptureFixture[str]) -> None:
    """Said once; the records stay, and it is tried again at long intervals."""
    line.backend.destination = "denied-here"
    line.backend.answers.extend([Outcome(denied="401 who are you")] * 3)
    line.log(2)
    for _ in range(3):
        assert line.run() == 60.0
        line.clock.advance(60.0)
    told = capfd.readouterr().err
    assert told.count("401 who are you") == 1
    assert f"kept in {line.folder}" in told
    assert line.run() is None
    assert line.arrived == [0, 1]


def test_a_fault_of_the_backend(line: Line, faults_expected: dict[str, int]) -> None:
    """It is counted, treated like an outage, and loses nothing."""
    faults_expected["sending records"] = 2
    line.backend.answers.extend([KeyError("oops"), lambda entries: None])  # type: ignore[list-item,return-value]
    line.log(2)
    for _ in range(2):
        pause = line.run()
        assert pause
        line.clock.advance(pause)
    assert line.run() is None
    assert line.arrived == [0, 1]


def test_dead_letters_that_cannot_be_kept(line: Line) -> None:
    """The record stays in the spool until the file can be written; the others go on."""
    (line.folder / "dead-letter.jsonl").mkdir()
    line.backend.answers.extend(
        [lambda entries: Outcome(refused=[(e, "no") for e in entries if b'"n": 1' in e.line])] * 9
    )
    line.log(3)
    assert line.run() == 0.5
    assert line.arrived == [0, 2]
    (line.folder / "dead-letter.jsonl").rmdir()
    line.clock.advance(0.5)
    assert line.run() is None
    assert json.loads((line.folder / "dead-letter.jsonl").read_text())["record"] == {"n": 1}


def test_dead_letters_are_bounded(line: Line, delivery: pytest.LogCaptureFixture) -> None:
    """A backend that refuses everything fills no disk: beyond the bound they are dropped, and counted."""
    line.backend.answers.extend([lambda entries: Outcome(refused=[(entry, "no") for entry in entries])] * 2)
    line.log(200)
    line.run()
    assert (line.folder / "dead-letter.jsonl").stat().st_size <= 10_000
    assert line.shipper.refused > 20
    assert line.shipper.refused + line.spool.dropped == 200
    (record,) = delivery.records
    assert (record.refused_records, record.dropped_records) == (line.shipper.refused, line.spool.dropped)  # type: ignore[attr-defined]


def test_another_process_goes_on_where_this_one_was_killed(line: Line, tmp_path: pathlib.Path) -> None:
    """What was settled is not sent again, what was not is sent under the same key, and may be there."""
    line.backend.answers.extend([None, OSError()])
    line.log(3)
    line.run()
    line.log(2)
    line.run()
    line.spool._close_all()  # as the system does it
    other = Line(line.folder)
    other.log(1)
    other.run()
    assert other.sent == [[3, 4], [0]]
    assert other.backend.sent[0] == [one._replace(again=True) for one in line.backend.sent[1]]
    assert not other.backend.sent[1][0].again
    other.close()
    assert list(line.folder.iterdir()) == []


def test_a_full_segment_makes_room_for_the_next(tmp_path: pathlib.Path) -> None:
    """Segments are removed when they are settled, and records keep their order across them."""
    line = Line(tmp_path / "spool", max_bytes=64 * 1024)
    for _ in range(20):
        line.log(50)
        line.run()
    assert line.arrived == list(range(1000))
    assert len(list(line.folder.glob("*.segment"))) == 1
    line.close()
    assert list(line.folder.iterdir()) == []


def test_a_folder_that_is_removed(line: Line) -> None:
    """What is in it is sent all the same, and it is made again."""
    line.backend.answers.append(OSError())
    line.log(3)
    line.run()
    for path in line.folder.iterdir():
        path.unlink()
    line.folder.rmdir()
    line.log(2)
    line.clock.advance(1)
    line.run()
    assert line.arrived == [0, 1, 2, 3, 4]
    assert line.folder.is_dir()


def test_what_the_bound_has_dropped_is_told(
    tmp_path: pathlib.Path, delivery: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the backend takes records again there is one record of it, and no second one without a reason."""
    line = Line(tmp_path / "spool", max_bytes=64 * 1024, full="drop_newest")
    line.backend.answers.extend([OSError()] * 2)
    line.log(3000, text="x" * 50)
    dropped = line.spool.dropped
    assert dropped > 500
    line.run()
    line.clock.advance(0.5)
    line.run()
    line.clock.advance(1.0)
    assert delivery.records == []
    line.run()
    assert line.arrived == list(range(3000 - dropped))
    (record,) = delivery.records
    fields = record.__dict__
    assert record.levelname == "WARNING"
    assert fields["event"] == "llm.delivery"
    assert fields["dropped_records"] == dropped
    assert fields["outage_ms"] == 1500.0
    assert fields["backend"] == "fake"
    assert fields["spool_bytes"] > 0
    assert str(dropped) in record.getMessage()
    line.log(1)
    line.run()
    assert len(delivery.records) == 1
    line.close()


def test_its_own_thread_is_marked_while_it_sends(line: Line) -> None:
    """So that the transport's records can be told from the application's."""
    seen: list[bool] = []
    line.backend.answers.append(lambda entries: (seen.append(is_shipping()), Outcome())[1])
    line.log()
    line.run()
    assert seen == [True]
    assert not is_shipping()


def test_the_connections_of_a_parent_are_let_go_of(line: Line) -> None:
    """The child of a fork has its own, and nothing of what the parent was sending."""
    line.backend.answers.append(OSError())
    line.log(2)
    line.run()
    line.spool._forget()
    line.shipper._forget()
    assert line.backend.closed == 0  # its locks may be held by a thread that is gone: not within the fork
    line.log()
    line.run()
    assert line.backend.closed == 1
    assert line.sent[1:] == [[0, 1], [2]]  # nobody holds the parent's segment here: in a real fork, it does


def test_flush_without_a_thread(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none can be started any more, the one who flushes sends."""
    monkeypatch.setattr("threading.Thread.start", lambda self: (_ for _ in ()).throw(RuntimeError("at shutdown")))
    line.log(3)
    assert line.shipper.flush(5.0)
    assert line.arrived == [0, 1, 2]
    assert os.listdir(line.folder) == []


def test_an_impatient_flush_ends_with_the_first_failure(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit of the interpreter is not held up by an outage; a pause is cut short for one attempt."""
    monkeypatch.setattr("threading.Thread.start", lambda self: (_ for _ in ()).throw(RuntimeError("at shutdown")))
    line.backend.answers.extend([OSError()] * 2)
    line.log(3)
    line.run()
    assert line.shipper.flush(60.0, patient=False) is False
    assert len(line.sent) == 2
    assert line.shipper.flush(60.0, patient=False) is True


def test_a_flush_in_an_outage_does_not_spin(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks again some times a second, and not after each of the thread's turns that had to do nothing."""
    turns, step = [], line.shipper.step

    def counted() -> float | None:
        turns.append(line.shipper.is_out)
        return step()

    monkeypatch.setattr(line.shipper, "step", counted)
    line.backend.answers.append(OSError())
    line.log()
    assert line.shipper.flush(0.5) is False  # its clock stands still: no second attempt
    assert len(line.sent) == 1
    assert True in turns
    assert len(turns) <= 20  # thousands, where each turn is followed by the next
    line.clock.advance(30.0)
    assert line.shipper.flush(60.0) is True


def test_entries_are_what_backends_are_promised(line: Line) -> None:
    """Stamps rise, lines are JSON without a newline, keys are unique."""
    line.log(100)
    line.run()
    (entries,) = line.backend.sent
    assert all(isinstance(entry, Entry) for entry in entries)
    stamps = [entry.stamp for entry in entries]
    assert stamps == sorted(set(stamps))
    assert len({entry.key for entry in entries}) == 100
    assert all(b"\n" not in entry.line for entry in entries)


def test_a_record_that_comes_while_nothing_is_found(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one of a process, between the look and the wish to be woken, is sent at once, and is no fault."""
    wake_when, came = line.spool.wake_when, []

    def meanwhile(records: int, size: int) -> bool:
        if not came:
            came.append(True)
            line.log()
        return wake_when(records, size)

    monkeypatch.setattr(line.spool, "wake_when", meanwhile)
    assert line.run() is None
    assert line.arrived == [0]


@pytest.mark.parametrize("fault", [OSError("no answer"), Outcome(split="413")])
def test_what_is_sent_again_may_be_stored(line: Line, fault: Any) -> None:
    """Whatever was heard of the first sending, or not heard; the backend is told so, and mended forms say so too."""
    line.backend.answers.extend([fault, lambda entries: Outcome(refused=[(entries[0], "no")])])
    line.backend._mends = lambda entry, reason: Entry(entry.stamp, b'{"n": 7}', entry.key, "mended")
    line.log(2)
    line.run()
    line.clock.advance(60.0)
    assert line.run() is None
    first, *later = line.backend.sent
    assert [one.again for one in first] == [False, False]
    assert all(one.again for part in later for one in part)
    assert any(one.changed for part in later for one in part)
