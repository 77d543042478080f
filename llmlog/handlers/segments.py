"""One file of a spool: lines that were appended, how far they are settled, and the lock that says whose it is.

A line is `<stamp> <JSON>`. Beside the file stands its position: how many bytes at its start are settled, and how many
may have been sent, rewritten in place before each batch and after each acknowledgement. Whoever has the lock may send
what is in the file and remove it, nobody else: a segment whose lock is free was left by a process that is dead, or has
gone on to its next one.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from llmlog.handlers.backend import Entry
from llmlog.locks import is_still, lock

__all__ = ["Segment", "bytes_waiting", "make_folder", "offset_of", "segments_of"]

SUFFIX = ".segment"
POSITION = ".position"

_entry = tuple.__new__  # half the time of Entry(...), and one is made for every record
_NEWLINE = b"\n"
_READ_MORE = 4  # times as much, where a line is longer than what was read


class Segment:
    """An open segment, locked by this process."""

    __slots__ = ("_position_fd", "fd", "name", "path", "position", "records", "sent", "size", "sound", "taken")

    def __init__(self, path: str, fd: int, size: int, position: int = 0, sent: int = 0) -> None:
        self.path = path
        self.name = os.path.basename(path)[: -len(SUFFIX)]
        self.fd = fd
        self.size = size
        """Bytes of whole lines."""
        self.position = position
        self.sent = sent
        """Up to where something may have been sent: an entry before it that is not settled may be stored already."""
        self.records = 0
        """How many this process has appended."""
        self.taken = 0
        """How many of those were read."""
        self.sound = True
        """False while an append is under way: where it was broken off, `size` is to be looked up again."""
        self._position_fd = -1

    @classmethod
    def make(cls, folder: str) -> Segment:
        """A new one, empty and locked; the folder is made where it is missing. OSError where that cannot be."""
        for attempt in range(5):
            path = f"{folder}/{time.time_ns():020d}-{os.urandom(5).hex()}{SUFFIX}"
            try:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            except FileNotFoundError:
                make_folder(folder)
                continue
            try:
                lock(fd)
                if is_still(path, fd):
                    return cls(path, fd, 0)
            except BlockingIOError:  # somebody has taken it for one that was left behind, and will remove it
                pass
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)
            if attempt == 3:
                time.sleep(0.001)
        raise OSError(f"no segment can be made in {folder}")

    @classmethod
    def adopt(cls, path: str) -> Segment | None:
        """The one at `path`, which some process has left behind; None where it is somebody's, or gone."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_APPEND)
        except OSError:  # somebody was faster; or it is another user's
            return None
        try:
            lock(fd)
            if is_still(path, fd):
                size = os.fstat(fd).st_size
                position, sent = _read_position(path)
                return cls(path, fd, size, min(size, position), min(size, sent))
        except OSError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return None

    def read(self, most: int, nbytes: int) -> tuple[list[Entry], int, int]:
        """Up to `most` entries in about `nbytes` from the position on; where they end; how many lines were no entries.

        Half a line at the end is one of those: its process was killed in the middle of its write.
        """
        at, size = self.position, self.size
        block = os.pread(self.fd, min(nbytes, size - at), at)
        cut = block.rfind(_NEWLINE) + 1
        while not cut and len(block) < size - at:  # one long line
            more = os.pread(self.fd, min(_READ_MORE * len(block), size - at - len(block)), at + len(block))
            if not more:
                break
            cut = more.find(_NEWLINE) + 1
            cut = cut and cut + len(block)
            block += more
        if not cut:
            return [], size, 1 if block.strip(b"\0") else 0
        lines = block[:cut].split(_NEWLINE)
        lines.pop()
        del lines[most:]
        entries: list[Entry] = []
        add = entries.append
        prefix = self.name + "-"
        sent = self.sent
        broken = 0
        for line in lines:
            stamp, _, text = line.partition(b" ")
            if text[:1] == b"{" and text[-1:] == b"}" and stamp.isdigit():
                add(_entry(Entry, (int(stamp), text, f"{prefix}{at}", "", at < sent)))
            else:
                broken += 1
            at += len(line) + 1
        return entries, at, broken

    def resync(self) -> None:
        """After an append that was broken off: what is there is what counts, up to its last whole line."""
        size = os.fstat(self.fd).st_size
        tail = os.pread(self.fd, size - self.size, self.size) if size > self.size else b""
        whole = self.size + tail.rfind(_NEWLINE) + 1
        if whole != size:
            os.ftruncate(self.fd, whole)
        self.size = whole
        self.sound = True

    def settle(self, position: int) -> None:
        """All before `position` is settled, for the next process too. OSError: only this process knows."""
        self.position = position
        self._note()

    def sending(self, end: int) -> None:
        """What stands before `end` is about to be sent, for the next process too. OSError as in `settle`."""
        if end > self.sent:
            self.sent = end
            self._note()

    def _note(self) -> None:
        if self._position_fd < 0:
            self._position_fd = os.open(self.path + POSITION, os.O_WRONLY | os.O_CREAT, 0o600)
        os.pwrite(self._position_fd, b"%020d\n%020d\n" % (self.position, self.sent), 0)

    def unsettled(self) -> int:
        """How many records are in it that were not settled."""
        at, count = self.position, 0
        while at < self.size:
            block = os.pread(self.fd, 1 << 20, at)
            if not block:
                break
            count += block.count(_NEWLINE)
            at += len(block)
        return count

    def is_unlinked(self) -> bool:
        """Whether somebody has removed the file: what is in it can still be read here, and nowhere else."""
        return os.fstat(self.fd).st_nlink == 0

    def unlink(self) -> None:
        """Remove the file and its position; it stays open."""
        for path in (self.path, self.path + POSITION):
            with suppress(FileNotFoundError):
                os.unlink(path)

    def close(self) -> None:
        """Let go of it, and of its lock unless a parent or a child has it open as well."""
        fd, self.fd = self.fd, -1
        position, self._position_fd = self._position_fd, -1
        for one in (fd, position):
            if one >= 0:
                os.close(one)


def offset_of(entry: Entry) -> int:
    """Where in its segment an entry begins."""
    return int(entry.key.rpartition("-")[2])


def make_folder(folder: str) -> None:
    """Make the folder, and those above it that are missing: this user's alone."""
    missing = []
    while folder and not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for path in reversed(missing):
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)


def segments_of(folder: str) -> Sequence[str]:
    """The names of the segments in a folder, oldest first. Positions without one are tidied away."""
    names = os.listdir(folder)
    segments = sorted(name for name in names if name.endswith(SUFFIX))
    known = set(segments)
    for name in names:
        if name.endswith(POSITION) and name[: -len(POSITION)] not in known:
            path = f"{folder}/{name}"
            if not os.path.exists(path[: -len(POSITION)]):  # it may have come while the folder was being listed
                with suppress(OSError):
                    os.unlink(path)
    return segments


def bytes_waiting(folder: str) -> int:
    """How much stands in the segments of a folder, whosever they are, that is not settled."""
    waiting = 0
    with suppress(OSError), os.scandir(folder) as files:
        for file in files:
            if file.name.endswith(SUFFIX):
                with suppress(OSError):  # it may have been sent, and removed, just now
                    waiting += max(0, file.stat().st_size - _read_position(file.path)[0])
    return waiting


def _read_position(path: str) -> tuple[int, int]:
    try:
        with open(path + POSITION, "rb") as file:
            position, sent = file.read(42).split()
            return int(position), int(sent)
    except FileNotFoundError:  # nothing was sent yet
        return 0, 0
    except (OSError, ValueError):  # torn: all of it may have been sent, and none is known to be settled
        return 0, sys.maxsize
