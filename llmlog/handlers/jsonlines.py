"""A file of JSON lines that several threads and processes may share."""

from __future__ import annotations

import errno
import io
import itertools
import logging
import os
import stat
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from llmlog.exceptions import UsageTypeError, shown
from llmlog.faults import notice
from llmlog.formatters import JSONFormatter

__all__ = ["JSONLinesHandler"]

_spells = itertools.count(1)  # in which a file could not be written to: each is told
_fdatasync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


class JSONLinesHandler(logging.FileHandler):
    """Append each record to `filename` as one line, with one write: lines of several processes do not mix.

    The file is made with the permission bits `mode`, missing folders are made too, and both again after the
    file was moved or removed, as logrotate does. The formatter is `llmlog.formatters.JSONFormatter()` until
    another one is set. Nothing is buffered, so a fork takes nothing along. With `fsync` a record is on the disk,
    not only with the system, when the logging call returns. A record that comes after `close()` is still written.

    UsageTypeError where `filename` is no path, `mode` no whole number or `fsync` neither True nor False; OSError
    where the file cannot be opened: now or, with `delay`, when the first record comes, and then it goes to
    `handleError`.
    """

    _closed: bool  # the standard library's own
    stream: Any  # an unbuffered io.FileIO, or None while closed

    def __init__(
        self, filename: str | os.PathLike[str], *, mode: int = 0o600, delay: bool = False, fsync: bool = False
    ) -> None:
        if not isinstance(filename, (str, os.PathLike)):
            raise UsageTypeError(f"filename is a path, got {shown(filename)}")
        if type(mode) is not int:
            raise UsageTypeError(f"mode is the permission bits of the file, such as 0o600, got {shown(mode)}")
        if not isinstance(fsync, bool):
            raise UsageTypeError(f"fsync is True or False, got {shown(fsync)}")
        self.permissions = mode
        self._fsync = fsync
        self._torn = False  # whether the file ends in a part of a line
        self._size = 0  # of the file after our last look at it
        self._lost = 0  # records since the system last took one
        super().__init__(filename, mode="ab", delay=delay)
        self.setFormatter(JSONFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record; where that fails, `handleError` has the last word."""
        try:
            line = self.format(record).encode("utf-8", "backslashreplace") + b"\n"
            if self.stream is None:
                self.stream = self._open()
            else:
                self._look()
            self._append(b"\n" + line if self._torn else line)
            if self._fsync:
                _sync(self.stream.fileno())
            if self._lost:
                self._tell_lost("; it takes records again")
            if self._closed:  # after logging.shutdown() there is nobody left to close the file
                self.stream.close()
                self.stream = None
        except RecursionError:
            raise
        except Exception:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """As the standard library does it. Of records that the system does not take only the first is reported.

        A full disk would bring a traceback for each; the later ones are counted, and told when that is over.
        """
        if isinstance(sys.exception(), OSError):
            self._lost += 1
            if self._lost > 1:
                return
        super().handleError(record)

    def close(self) -> None:
        """Close the file, and tell what could not be written."""
        with self.lock or nullcontext():
            if self._lost:
                self._tell_lost("")
        super().close()

    def _tell_lost(self, since: str) -> None:
        lost, self._lost = self._lost, 0
        records = "1 record" if lost == 1 else f"{lost} records"
        notice(f"{self.baseFilename}: {next(_spells)}", f"{records} could not be written to {self.baseFilename}{since}")

    def _append(self, line: bytes) -> None:
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self.stream.fileno(), rest) :]
        finally:
            written = len(line) - len(rest)
            self._size += written
            if written:
                self._torn = bool(rest)

    def _open(self) -> Any:
        os.makedirs(os.path.dirname(self.baseFilename), exist_ok=True)
        opened = io.FileIO(self.baseFilename, "ab", opener=self._opener)
        self._size = os.fstat(opened.fileno()).st_size
        self._torn = _ends_torn(opened)
        return opened

    def _opener(self, path: str, flags: int) -> int:
        return os.open(path, flags, self.permissions)

    def _look(self) -> None:
        """Open the file again where it was moved; see whether another process, killed in its write, tore a line."""
        here = os.fstat(self.stream.fileno())
        try:
            there = os.stat(self.baseFilename)
        except FileNotFoundError:
            self._reopen()
            return
        except OSError:  # privileges were dropped, a folder became unreadable: what is open can still be written
            return
        if (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino):
            self._reopen()
        elif here.st_size != self._size:  # others write here, too
            self._size = here.st_size
            self._torn = _ends_torn(self.stream)

    def _reopen(self) -> None:
        try:
            opened = self._open()
        except OSError as error:
            reason = f"{self.baseFilename} was moved and cannot be made again ({error})"
            notice(f"reopening {self.baseFilename}", f"{reason}; records go on into the moved file")
            return
        self.stream.close()
        self.stream = opened


def _sync(fd: int) -> None:
    try:
        _fdatasync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a pipe or a device has nothing to sync
            raise


def _ends_torn(opened: io.FileIO) -> bool:
    """Whether a regular file ends without a newline: a process was killed, or the disk full, in mid-line.

    A write that is under way shows its half, too. Setting the file's times waits for it, so a file that has not grown
    since is not being written to.
    """
    status = os.fstat(opened.fileno())
    if not stat.S_ISREG(status.st_mode):
        return False
    try:
        with io.FileIO(opened.name, "rb") as file:  # open() is gone when the interpreter ends
            for _ in range(3):
                size = os.fstat(opened.fileno()).st_size
                file.seek(max(0, size - 1))
                if file.read(1) in (b"\n", b""):
                    return False
                os.utime(opened.fileno())
                if os.fstat(opened.fileno()).st_size == size:
                    return True
    except (OSError, TypeError):  # a file that we may write and not read; a system where utime() wants a name
        pass
    return False  # others are at it, and will see for themselves
