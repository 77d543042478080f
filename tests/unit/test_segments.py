"""One file of a spool."""

from __future__ import annotations

import os
import pathlib
import stat

import pytest

from llmlog.handlers.segments import Segment, make_folder, offset_of, segments_of


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> str:
    return str(tmp_path / "spool" / "fake-1")


def written(folder: str, content: bytes) -> Segment:
    segment = Segment.make(folder)
    os.write(segment.fd, content)
    segment.size = len(content)
    return segment


def test_it_is_private_and_its_folder_is_made(folder: str) -> None:
    """Prompts may be in it: 0600 in 0700."""
    segment = Segment.make(folder)
    assert stat.S_IMODE(os.stat(segment.path).st_mode) == 0o600
    segment.settle(0)
    assert stat.S_IMODE(os.stat(segment.path + ".position").st_mode) == 0o600
    for path in (folder, os.path.dirname(folder)):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
    segment.close()


def test_lines_become_entries(folder: str) -> None:
    """Each has its stamp, its JSON, and a key from its segment and its place."""
    segment = written(folder, b'17 {"a":1}\n18 {"b":2}\n')
    entries, end, broken = segment.read(10, 1000)
    assert [(entry.stamp, entry.line, entry.changed) for entry in entries] == [
        (17, b'{"a":1}', ""),
        (18, b'{"b":2}', ""),
    ]
    assert [entry.key for entry in entries] == [f"{segment.name}-0", f"{segment.name}-11"]
    assert [offset_of(entry) for entry in entries] == [0, 11]
    assert (end, broken) == (22, 0)
    segment.close()


def test_a_batch_is_bounded_by_count_and_bytes(folder: str) -> None:
    """What does not fit is read the next time, from where the last one ended."""
    segment = written(folder, b"".join(b'%d {"a":1}\n' % n for n in range(10, 20)))
    first, end, _ = segment.read(3, 1000)
    assert [entry.stamp for entry in first] == [10, 11, 12]
    segment.settle(end)
    second, end, _ = segment.read(1000, 2 * 11 + 5)
    assert [entry.stamp for entry in second] == [13, 14]
    segment.settle(end)
    assert [entry.stamp for entry in segment.read(1000, 1000)[0]] == [15, 16, 17, 18, 19]
    segment.close()


@pytest.mark.parametrize("nbytes", [1, 100, 5000])
def test_a_line_longer_than_a_batch_is_read_alone(folder: str, nbytes: int) -> None:
    """However large it is, it comes whole."""
    text = b'{"a":"' + b"x" * 10_000 + b'"}'
    segment = written(folder, b"17 " + text + b'\n18 {"b":2}\n')
    entries, end, _ = segment.read(10, nbytes)
    assert [entry.line for entry in entries] == [text]
    assert end == len(text) + 4
    segment.close()


@pytest.mark.parametrize(
    ("content", "stamps", "broken"),
    [
        (b'17 {"a":1}\n18 {"b', [17], 0),
        (b"17", [], 1),
        (b'17 {"a":1}\n\0\0\0\0\n19 {"c":3}\n', [17, 19], 1),
        (b'17 {"a":1}\nx {"a":1}\n{"a":1}\n\n', [17], 3),
        (b"\0\0\0\0", [], 0),
        (b"", [], 0),
    ],
)
def test_what_is_no_entry_is_passed_over(folder: str, content: bytes, stamps: list[int], broken: int) -> None:
    """Half a line, or the nothing that a power cut leaves behind, keeps back no other record."""
    segment = written(folder, content)
    entries, end, passed = segment.read(10, 1000)
    assert [entry.stamp for entry in entries] == stamps
    assert passed == broken
    if entries and end < segment.size:  # the half line at the end is met by itself
        segment.settle(end)
        assert segment.read(10, 1000) == ([], segment.size, 1)
    segment.close()


def test_a_lock_says_whose_it_is(folder: str) -> None:
    """A segment is adopted once it was let go of, with its size and its position, by one alone."""
    segment = written(folder, b'17 {"a":1}\n18 {"b":2}\n')
    segment.settle(11)
    assert Segment.adopt(segment.path) is None
    segment.close()
    adopted = Segment.adopt(segment.path)
    assert adopted is not None
    assert (adopted.size, adopted.position, adopted.unsettled()) == (22, 11, 1)
    assert Segment.adopt(segment.path) is None
    adopted.unlink()
    assert Segment.adopt(segment.path) is None
    adopted.close()
    assert os.listdir(folder) == []


def test_one_that_was_taken_away_between_opening_and_locking(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock of a file that is gone is worth nothing: another one is made, and no such file is adopted."""
    lock, taken = __import__("llmlog.locks").locks.lock, []

    def stolen(fd: int) -> None:
        if not taken:
            taken.append(next(pathlib.Path(folder).iterdir()))
            taken[0].unlink()
        lock(fd)

    monkeypatch.setattr("llmlog.handlers.segments.lock", stolen)
    segment = Segment.make(folder)
    assert segment.path != str(taken[0])
    assert os.listdir(folder) == [os.path.basename(segment.path)]
    segment.close()
    taken.clear()
    assert Segment.adopt(segment.path) is None


def test_a_position_that_cannot_be_read_sends_all_again(folder: str) -> None:
    """The backend knows by the keys what it has; a position beyond the end is the end."""
    segment = written(folder, b'17 {"a":1}\n')
    segment.close()
    for content, position in ((b"", 0), (b"x" * 21, 0), (b"%020d\n" % 99, 0), (b"%020d\n%020d\n" % (99, 99), 11)):
        pathlib.Path(segment.path + ".position").write_bytes(content)
        adopted = Segment.adopt(segment.path)
        assert adopted is not None
        assert (adopted.position, adopted.sent) == (position, 11)
        adopted.close()


def test_what_was_being_sent_may_be_stored(folder: str) -> None:
    """Its process was killed then: the next one knows how far it may have come."""
    segment = written(folder, b"".join(b'%d {"a":1}\n' % n for n in range(10, 14)))
    segment.settle(11)
    segment.sending(33)
    segment.close()
    adopted = Segment.adopt(segment.path)
    assert adopted is not None
    assert [entry.again for entry in adopted.read(10, 1000)[0]] == [True, True, False]
    adopted.close()


def test_an_append_that_was_broken_off(folder: str) -> None:
    """What was written as a whole counts, half a line is cut off."""
    segment = written(folder, b'17 {"a":1}\n')
    os.write(segment.fd, b'18 {"b":2}\n19 {"c')
    segment.resync()
    assert segment.size == 22
    assert os.fstat(segment.fd).st_size == 22
    segment.close()


def test_segments_are_listed_oldest_first(folder: str) -> None:
    """A position that has lost its segment is tidied away."""
    made = [Segment.make(folder) for _ in range(3)]
    for segment in made:
        segment.settle(0)
    os.unlink(made[1].path)
    names = [os.path.basename(made[0].path), os.path.basename(made[2].path)]
    assert segments_of(folder) == names
    assert sorted(os.listdir(folder)) == sorted(names + [f"{name}.position" for name in names])
    for segment in made:
        segment.close()


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: pathlib.Path) -> None:
    """Its owner has chosen who may read it."""
    tmp_path.chmod(0o750)
    make_folder(str(tmp_path))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o750
