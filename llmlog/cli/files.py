"""The files that a command reads and rewrites: standard input, gzip, a new content that takes the old one's place."""

from __future__ import annotations

import gzip
import io
import os
import stat
import sys
import tempfile
import zlib
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import typer

__all__ = ["UNREADABLE", "Replacement", "Source"]

UNREADABLE = (OSError, EOFError, zlib.error)
"""What reading a file raises, and rewriting it."""

_GZIP = b"\x1f\x8b"
_UNKNOWN = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip"}


class Source:
    """A file that is open for reading, or standard input (`-`); gzip is told by its content.

    OSError where it cannot be read as lines of UTF-8. `before_read` is called before each read, which may have to
    wait for input, with the number of bytes so far: of those of the file, which may be compressed.
    """

    def __init__(self, name: str, before_read: Callable[[int], object]) -> None:
        is_stdin = name == "-"
        plain: Any = typer.get_binary_stream("stdin") if is_stdin else open(name, "rb", buffering=0)  # noqa: SIM115
        self._raw = _Counted(plain, not is_stdin, before_read)
        self.is_gzip = False
        self.status: os.stat_result | None = None
        try:
            if not is_stdin:
                self.status = os.fstat(plain.fileno())
            buffered: Any = io.BufferedReader(self._raw, 1 << 17)
            self.is_gzip = buffered.peek(2)[:2] == _GZIP
            lines: Any = gzip.GzipFile(fileobj=buffered) if self.is_gzip else buffered
            _refuse(lines.peek(64)[:64])
            self.lines: io.BufferedIOBase = lines
        except BaseException:
            self._raw.close()
            raise

    def close(self) -> None:
        """Close it, not standard input."""
        self.lines.close()
        self._raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Counted(io.RawIOBase):
    """Counts what is read, and says when more is to come."""

    def __init__(self, stream: Any, closes: bool, before_read: Callable[[int], object]) -> None:
        self._stream = stream
        self._closes = closes
        self._before_read = before_read
        self._read = getattr(stream, "read1", stream.read)  # what there is: a line is not to wait for the next ones
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._before_read(self.count)
        data: bytes = self._read(len(buffer))
        buffer[: len(data)] = data
        self.count += len(data)
        return len(data)

    def close(self) -> None:
        if self._closes:
            self._stream.close()
        super().close()


def _refuse(head: bytes) -> None:
    """Such a file would pass for clean, whatever is in it."""
    for magic, name in _UNKNOWN.items():
        if head.startswith(magic):
            raise OSError(f"it is compressed ({name}): decompress it first")
    even, odd = head[0::2], head[1::2]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or (len(head) > 3 and any(even) != any(odd)):
        raise OSError("it is UTF-16, not UTF-8: convert it first")


class Replacement:
    """The new content of a file, in a file of its own beside it until `take_place()`; otherwise it is removed again.

    It has the file's mode, and its owner where that is allowed. A link is followed. OSError where the folder cannot be
    written to, and where `name` is no file.
    """

    def __init__(self, name: str, source: Source) -> None:
        self._path = os.path.realpath(name)
        if source.status is None or not stat.S_ISREG(source.status.st_mode):
            raise OSError("it is no file that could be rewritten")
        self._status = source.status
        folder, base = os.path.split(self._path)
        fd, self._beside = tempfile.mkstemp(prefix=f".{base[:100]}.", suffix=".new", dir=folder)
        self._file = os.fdopen(fd, "wb", buffering=1 << 17)
        self._lines: Any = self._file
        if source.is_gzip:
            self._lines = gzip.GzipFile(base.removesuffix(".gz"), "wb", 6, self._file, self._status.st_mtime)
        self.write: Callable[[bytes], object] = self._lines.write

    def take_place(self) -> None:
        """Put it in the file's place, at once and whole. OSError where the file was written to meanwhile."""
        if self._lines is not self._file:
            self._lines.close()
        self._file.flush()
        self._take_over()
        os.fsync(self._file.fileno())
        self._file.close()
        now = os.stat(self._path)
        if _identity(now) != _identity(self._status):
            raise OSError("it was written to meanwhile, and is left as it is")
        os.replace(self._beside, self._path)
        self._beside = ""
        _sync_folder(os.path.dirname(self._path))

    def _take_over(self) -> None:
        """The mode comes last: a change of the owner takes bits of it away."""
        if hasattr(os, "fchown"):
            for owner, group in ((self._status.st_uid, self._status.st_gid), (-1, self._status.st_gid)):
                try:
                    os.fchown(self._file.fileno(), owner, group)
                except PermissionError:
                    continue
                break
        os.chmod(self._beside, stat.S_IMODE(self._status.st_mode))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in (self._lines, self._file):
            try:
                one.close()
            except OSError:  # the disk is full: told already, and the file goes anyhow
                pass
        if self._beside:
            os.unlink(self._beside)


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _sync_folder(folder: str) -> None:
    if sys.platform == "win32":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError:  # not every file system can
        pass
    finally:
        os.close(fd)
