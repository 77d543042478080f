"""What a command does to files, one after the other, and standard output as it writes to it."""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from llmlog.cli.files import UNREADABLE, Source
from llmlog.cli.terminal import silence_stdout, tell, visible

__all__ = ["Run", "ended_by_signals"]

_BROKEN_PIPE = 128 + 13  # what a shell says of a program that SIGPIPE has ended


class Run:
    """The files of one command, and what became of them. `failed`: how many could not be done."""

    def __init__(self, files: list[str]) -> None:
        self.files = files
        self.failed = 0
        self._stdout: BinaryIO = typer.get_binary_stream("stdout")
        self._line_is_open = False

    def all(self, work: Callable[[str, Source], None], *, prints: bool = False) -> None:
        """Do it to every file; those where it fails are told and counted. `prints`: the lines go to standard output."""
        with _progress(self.files, hidden=prints and self._stdout.isatty()) as show:
            for name in self.files:

                def before_read(done: int, name: str = name) -> None:
                    self.flush()
                    show(name, done)

                try:
                    with Source(name, before_read) as source:
                        if prints:
                            self._begin(source)
                        work(name, source)
                except UNREADABLE as error:
                    self.fail(name, getattr(error, "strerror", None) or str(error))
            self.flush()

    def fail(self, name: str, reason: str) -> None:
        """Tell that this file could not be done."""
        self.failed += 1
        tell(f"{visible(name)}: {reason}")

    def _begin(self, source: Source) -> None:
        if source.status is not None and _is_stdout(source.status, self._stdout):
            raise OSError("it is the output, too")
        if self._line_is_open:  # the last line of the file before had no end
            self.write(b"\n")

    def write(self, data: bytes) -> None:
        """To standard output. A reader that has gone away ends the command."""
        if data:
            with self._writing():
                self._stdout.write(data)
            self._line_is_open = not data.endswith(b"\n")

    def flush(self) -> None:
        """What is written goes out, before more is read that may have to be waited for."""
        with self._writing():
            self._stdout.flush()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            silence_stdout()
            if isinstance(error, BrokenPipeError):
                raise typer.Exit(_BROKEN_PIPE) from None
            tell(f"standard output: {error.strerror or error}")
            raise typer.Exit(2) from None


def _is_stdout(status: os.stat_result, stdout: BinaryIO) -> bool:
    """Whether a file is what standard output goes to: reading it would never end."""
    with suppress(OSError, ValueError):
        return stat.S_ISREG(status.st_mode) and os.path.samestat(status, os.fstat(stdout.fileno()))
    return False


@contextmanager
def _progress(files: list[str], hidden: bool) -> Iterator[Callable[[str, int], None]]:
    """A bar on standard error, where that is a terminal: how many bytes are read of all there are."""
    if hidden or not sys.stderr.isatty():
        yield lambda name, done: None
        return
    sizes = {name: _size(name) for name in files}
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None if None in sizes.values() else sum(sizes[name] or 0 for name in files))
        before = {name: sum(sizes[one] or 0 for one in files[:at]) for at, name in enumerate(files)}
        yield lambda name, done: bar.update(task, description=visible(name), completed=before[name] + done)


def _size(name: str) -> int | None:
    try:
        return None if name == "-" else os.stat(name).st_size
    except OSError:
        return 0


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Have SIGTERM and SIGHUP end the command as an exception does: no file is to stay beside another one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.getsignal(one) for name in ("SIGTERM", "SIGHUP") if (one := getattr(signal, name, None))}
    for one, handler in before.items():
        if handler is not signal.SIG_IGN:  # nohup
            signal.signal(one, _end)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _end(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)
