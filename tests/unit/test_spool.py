"""The folder of one destination."""

from __future__ import annotations

import errno
import json
import os
import pathlib
import signal
import stat
import threading
from collections.abc import Callable
from typing import Any

import pytest

from llmlog.handlers import spool as spool_module
from llmlog.handlers.spool import Spool
from llmlog.handlers.stamps import Stamps
from llmlog.testing import FakeClock

NOW = 1_800_000_000.0


def line(n: int, size: int = 20) -> bytes:
    return json.dumps({"n": n, "text": "x" * size}).encode()


def waiting(spool: Spool) -> list[int]:
    """What is in the spool's folder, in order."""
    found = []
    for path in sorted(pathlib.Path(spool.folder).glob("*.segment")):
        found += [json.loads(text.partition(b" ")[2])["n"] for text in path.read_bytes().splitlines()]
    return found


def stamps(spool: Spool) -> list[int]:
    (path,) = pathlib.Path(spool.folder).glob("*.segment")
    return [int(text.partition(b" ")[0]) for text in path.read_bytes().splitlines()]


@pytest.fixture
def made(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Spool]:
    monkeypatch.setattr(spool_module, "_stamps", Stamps())  # other tests have times of their own
    return lambda **options: Spool(str(tmp_path / "spool"), **options)


def test_a_record_is_in_a_file_at_once(made: Callable[..., Spool]) -> None:
    """Nothing waits in a buffer for a kill -9; the file is this user's alone."""
    spool = made()
    assert spool.append(line(1), NOW)
    assert waiting(spool) == [1]
    (path,) = pathlib.Path(spool.folder).iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_stamps_rise(made: Callable[..., Spool]) -> None:
    """Records of one moment, or a little out of order, have stamps of their own, near their time."""
    spool = made()
    for created in (NOW, NOW, NOW - 0.5, NOW + 0.000001, NOW):
        spool.append(line(0), created)
    found = stamps(spool)
    assert found == sorted(set(found))
    assert all(abs(stamp - NOW * 1e9) < 10_000 for stamp in found)


def test_a_clock_that_is_put_back_is_followed(made: Callable[..., Spool]) -> None:
    """Two hours of records do not end up in one nanosecond after another; none has the stamp of another."""
    spool = made()
    back = NOW - 7200
    times = [NOW, back, back, back + 60, NOW + 1, back + 30]
    for created in times:
        spool.append(line(0), created)
    found = stamps(spool)
    assert all(abs(stamp - created * 1e9) < 10_000 for stamp, created in zip(found, times, strict=True))
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("created", [float("nan"), float("inf"), -5.0, None, "now"])
def test_a_record_without_a_time_has_the_time_of_now(made: Callable[..., Spool], created: Any) -> None:
    """Whoever makes records by hand makes odd ones."""
    spool = made()
    spool.append(line(0), created)
    assert stamps(spool)[0] > 1_700_000_000_000_000_000


def test_dropping_the_oldest(made: Callable[..., Spool], tmp_path: pathlib.Path) -> None:
    """The newest are there, the dropped ones are counted, and the bound holds."""
    spool = made(max_bytes=100_000, full="drop_oldest")
    for n in range(5000):
        assert spool.append(line(n), NOW + n)
        if n % 100 == 0:
            assert spool.nbytes() <= 100_000
    found = waiting(spool)
    assert 1000 < len(found) < 5000
    assert found == list(range(5000 - len(found), 5000))
    assert spool.dropped == 5000 - len(found)


def test_what_is_being_sent_is_not_dropped(made: Callable[..., Spool]) -> None:
    """The segment that is under way stays, the next older ones go."""
    spool = made(max_bytes=100_000, full="drop_oldest")
    for n in range(200):
        spool.append(line(n), NOW)
    current = spool.pick(look=True)
    assert current is not None
    first = [json.loads(entry.line)["n"] for entry in current.read(10_000, 1 << 20)[0]]
    for n in range(200, 5000):
        spool.append(line(n), NOW)
    found = waiting(spool)
    assert found[: len(first)] == first
    assert found[len(first) :] == list(range(5000 - len(found) + len(first), 5000))
    assert spool.dropped == 5000 - len(found)


def test_dropping_the_newest(made: Callable[..., Spool]) -> None:
    """What is there stays; there is room again when the oldest have left."""
    clock = FakeClock()
    spool = made(max_bytes=100_000, full="drop_newest", clock=clock)
    kept = [spool.append(line(n), NOW) for n in range(5000)].count(True)
    assert waiting(spool) == list(range(kept))
    assert spool.dropped == 5000 - kept
    assert 90_000 < spool.nbytes() <= 100_000
    segment = spool.pick(look=True)
    assert segment is not None
    segment.position = segment.size
    spool.finish(segment)
    assert not os.path.exists(segment.path)
    assert spool.append(line(-1), NOW)
    assert waiting(spool)[-1] == -1


def test_blocking_waits_for_room(made: Callable[..., Spool]) -> None:
    """The caller goes on when the sender has made room, and nothing is dropped."""
    spool = made(max_bytes=100_000, full="block")
    total = 3000

    def write() -> None:
        for n in range(total):
            spool.append(line(n), NOW)

    writer = threading.Thread(target=write)
    writer.start()
    arrived: list[int] = []
    while len(arrived) < total:
        segment = spool.pick(look=True)
        if segment is None:
            continue
        entries, end, _ = segment.read(100, 1 << 20)
        arrived += [json.loads(entry.line)["n"] for entry in entries]
        segment.position = end
        spool.finish(segment)
    writer.join()
    assert arrived == list(range(total))
    assert spool.dropped == 0


@pytest.mark.parametrize("why", ["the sender itself", "closed", "exit"])
def test_blocking_has_its_limits(made: Callable[..., Spool], why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who makes room does not wait for it; nor does anybody when nobody makes room any more."""
    exiting = threading.Event()
    monkeypatch.setattr(spool_module, "_exiting", exiting)
    spool = made(max_bytes=100_000, full="block")
    filled = made(max_bytes=100_000, full="drop_newest")
    while filled.append(line(0, 1000), NOW):
        pass
    if why == "the sender itself":
        assert spool.append(line(0, 1000), NOW, always=True)
    else:
        waits = threading.Thread(target=spool.append, args=(line(0, 1000), NOW))
        waits.start()
        if why == "exit":
            spool_module._exiting.set()
            spool_module._exit()
        else:
            spool.close()
        waits.join()
    assert spool.dropped == (why != "the sender itself")


def test_a_full_disk(made: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    """Half a line is undone, the record is counted, stderr says so once, and later ones are kept."""
    spool = made()
    spool.append(line(0), NOW)
    write = os.write
    left = [10, 0]

    def full(fd: int, data: bytes) -> int:
        if not left:
            return write(fd, data)
        room = left.pop(0)
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[:room])

    monkeypatch.setattr(os, "write", full)
    assert not spool.append(line(1), NOW)
    assert waiting(spool) == [0]
    assert not spool.append(line(2), NOW)
    assert spool.append(line(3), NOW)
    monkeypatch.undo()
    assert waiting(spool) == [0, 3]
    assert spool.dropped == 2
    assert capfd.readouterr().err.count("could not be kept") == 1


def test_a_signal_handler_logs_in_the_middle_of_an_append(
    made: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record is taken along; the one that was interrupted is whole."""
    spool = made(max_bytes=64 * 1024)
    write = os.write
    nested: list[int] = []

    def interrupted(fd: int, data: bytes) -> int:
        if not nested:
            nested.extend(range(100, 200))
            for n in nested:
                spool.append(line(n, 100), NOW)
        return write(fd, data)

    monkeypatch.setattr(os, "write", interrupted)
    spool.append(line(1), NOW)
    assert waiting(spool) == [1, *nested]


def test_an_append_that_is_broken_off(made: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal's exception leaves a spool that is whole: nothing is cut in two, nothing is read twice."""
    spool = made()
    spool.append(line(0), NOW)
    write = os.write

    def interrupted(fd: int, data: bytes) -> int:
        write(fd, data)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        spool.append(line(1), NOW)
    monkeypatch.undo()
    spool.append(line(2), NOW)
    segment = spool.pick(look=False)
    assert segment is not None
    entries, end, broken = segment.read(10, 1000)
    assert [json.loads(entry.line)["n"] for entry in entries] == [0, 1, 2]
    assert (end, broken) == (segment.size, 0)


def test_fsync(made: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch) -> None:
    """With it, each record is on the disk before its logging call returns, and the name of its file too."""
    synced: list[bool] = []
    monkeypatch.setattr(spool_module, "_sync", lambda fd: synced.append(stat.S_ISREG(os.fstat(fd).st_mode)))
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(stat.S_ISREG(os.fstat(fd).st_mode)))
    spool = made(fsync=True)
    spool.append(line(1), NOW)
    spool.append(line(2), NOW)
    assert synced == [False, True, True]
    made().append(line(3), NOW)
    assert len(synced) == 3


def test_two_spools_of_one_folder_do_not_share(made: Callable[..., Spool]) -> None:
    """Each has segments of its own, and sends what the other has let go of, once."""
    one, two = made(), made()
    one.append(line(1), NOW)
    two.append(line(2), NOW)
    first, second = one.pick(look=True), two.pick(look=True)
    assert first is not None
    assert second is not None
    assert first.path != second.path
    one.release()
    one.close()
    two.release()
    adopted = two.pick(look=True)
    assert adopted is not None
    assert adopted.path == first.path


def test_what_is_left_is_known(made: Callable[..., Spool]) -> None:
    """Also where another process has taken a segment over: it is left until it is gone."""
    one, two = made(), made()
    one.append(line(1), NOW)
    assert not one.left()
    one.seal()
    assert one.left()
    taken = two.pick(look=True)
    assert taken is not None
    assert one.left()
    taken.position = taken.size
    two.finish(taken)
    assert not one.left()


def test_an_empty_spool_leaves_no_files(made: Callable[..., Spool]) -> None:
    """A process that has sent everything leaves its folder as it found it."""
    spool = made()
    spool.append(line(1), NOW)
    segment = spool.pick(look=True)
    assert segment is not None
    segment.settle(segment.size)
    spool.release()
    spool.close()
    assert list(pathlib.Path(spool.folder).iterdir()) == []


def test_after_close(made: Callable[..., Spool]) -> None:
    """Late records are kept, for the next one."""
    spool = made()
    spool.append(line(1), NOW)
    spool.close()
    assert spool.append(line(2), NOW)
    assert waiting(spool) == [1, 2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_holds_no_lock_of_its_parent(made: Callable[..., Spool]) -> None:
    """It has a segment of its own; what the parent held is free when the parent is gone, whatever the child does."""
    spool = made()
    spool.append(line(1), NOW)
    told, tell = os.pipe()
    go_on, going = os.pipe()
    middle = os.fork()
    if middle == 0:
        try:  # a parent of its own, which is killed while its child lives on
            spool.append(line(2), NOW)
            child = os.fork()
            if child == 0:
                spool.append(line(3), NOW)
                os.write(tell, b"%d\n" % os.getpid())
                os.read(go_on, 1)
                os._exit(0)
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    os.close(tell)
    child = int(os.read(told, 100))
    os.waitpid(middle, 0)
    try:
        spool.release()
        segment = spool.pick(look=True)
        assert segment is not None
        entries, _, _ = segment.read(10, 1000)
        assert [json.loads(entry.line)["n"] for entry in entries] == [2]
        segment.position = segment.size
        spool.finish(segment)
        own = spool.pick(look=True)
        assert own is not None
        assert spool.is_active(own)
    finally:
        os.write(going, b"x")
        os.close(told)
    assert child > 0


def test_many_threads_append_whole_lines(made: Callable[..., Spool]) -> None:
    """Every record is there once, across rotations."""
    spool = made(max_bytes=1 << 20)
    start = threading.Barrier(4)

    def write(base: int) -> None:
        start.wait()
        for n in range(base, base + 500):
            spool.append(line(n), NOW)

    threads = [threading.Thread(target=write, args=(base,)) for base in (0, 500, 1000, 1500)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waiting(spool)) == list(range(2000))
