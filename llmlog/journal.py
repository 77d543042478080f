"""Calls that outlive their process: a file that says which are open, for the next process to record those it lost.

Each process has a file of its own in the journal's folder (`llmlog.recovery` has its form): a line when a call starts,
a line of counters about every second while chunks come in, a line when its record is written. Never a text: no
personal data on the disk but the fields of the record itself, redacted. Calls that have ended take no room.
"""

from __future__ import annotations

import logging
import os
import pathlib
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Any

from llmlog import records, redaction, worker
from llmlog.exceptions import UsageValueError, shown
from llmlog.faults import fault
from llmlog.recovery import ID, KIND, SUFFIX, UNFINISHED, checked, line, lock, recover, write
from llmlog.summary import Facts, beginning, best_informed, provider_of

__all__ = ["checkpoint", "close", "disable", "enable", "ended", "recover", "recover_pending", "started"]

_REWRITE_AT = 128 * 1024  # bytes, at the least
_PERIOD = 1.0  # seconds between two checkpoints
_NOT_TEXT_OF_THE_USERS = frozenset({"call_id", "operation", "provider", "model", "parent_id"})
_MAX_VALUE = 256

_folder: pathlib.Path | None = None
_file: _File | None = None
_pending = False  # files of dead processes may be there, and nobody would have seen their records so far
_lock = threading.RLock()  # reentrant: a signal handler may begin a call while a line is being written


class _File:
    """The file of this process. `live`: its open calls, with the chunks that each had at its last checkpoint."""

    __slots__ = ("_at_least", "_fd", "_is_torn", "_path", "_size", "live")

    def __init__(self, folder: pathlib.Path) -> None:
        self.live: dict[str, int] = {}
        self._path = folder / f"{os.getpid()}-{os.urandom(4).hex()}{SUFFIX}"
        self._fd = self._made(b"")
        self._size, self._at_least, self._is_torn = 0, _REWRITE_AT, False

    def _made(self, content: bytes) -> int:
        """A locked file with `content`, in the place of the one that is there."""
        new = self._path.with_suffix(UNFINISHED)
        for attempt in range(3):
            fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            try:
                lock(fd)
                write(fd, content)
                new.replace(self._path)
            except OSError:  # another process has taken it for one that was left behind, before it was locked
                os.close(fd)
                with suppress(FileNotFoundError):
                    new.unlink()
                if attempt == 2:
                    raise
            else:
                return fd
        raise AssertionError("the loop above returns or raises")

    def write(self, lines: bytes) -> None:
        if self._is_torn:
            lines = b"\n" + lines
        self._is_torn = True  # until all of it is written; a full disk may take half a line
        write(self._fd, lines)
        self._is_torn = False
        self._size += len(lines)

    def ended(self, call_id: str) -> None:
        if self.live.pop(call_id, None) is None:
            return
        self.write(line(call_id, "ended", True))
        if self._size > self._at_least:
            self._rewrite()

    def _rewrite(self) -> None:
        """Keep the lines of open calls only, so that calls that have ended take no room."""
        if not self.live:
            os.ftruncate(self._fd, 0)
            self._size, self._at_least = 0, _REWRITE_AT
            return
        kept: dict[tuple[bytes, bytes], bytes] = {}
        live = {call_id.encode() for call_id in self.live}
        for entry in os.pread(self._fd, self._size, 0).splitlines(keepends=True):
            if entry[ID] in live:
                kept[entry[ID], entry[KIND]] = entry  # the start, the names, and the last checkpoint
        content = b"".join(kept.values())
        fd = self._made(content)
        os.close(self._fd)
        self._fd, self._size = fd, len(content)
        self._at_least = max(_REWRITE_AT, 4 * self._size)

    def close(self) -> None:
        """Let go of it; where a call is still open, the file stays for those who recover it."""
        if not self.live:
            with suppress(FileNotFoundError):
                self._path.unlink()
        os.close(self._fd)

    def forget(self) -> None:
        """In a child process: the file, and its lock, are the parent's."""
        os.close(self._fd)


def enable(folder: str | os.PathLike[str]) -> None:
    """Keep a journal in `folder` from now on, and record the calls that dead processes have left open there.

    `folder`: made where it is missing, for this user only (0700, files 0600); several processes share it. Where no
    handler would see the records yet, the files stay until there is one. UsageTypeError for what is no path,
    UsageValueError where the folder cannot be used, or the system has no file locks (`fcntl`).
    """
    global _folder, _pending
    path = checked(folder)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError("it is not this user's")
    except OSError as error:
        raise UsageValueError(f"the journal's folder cannot be written: {shown(str(path))}: {error}") from None
    if _folder != path:
        disable()
    _folder, _pending = path, True
    worker.tick(_PERIOD)
    recover_pending()


def disable() -> None:
    """Keep no journal from now on."""
    global _folder, _pending
    _folder, _pending = None, False
    worker.tick(None)
    close()


def close() -> None:
    """Let go of this process's file, and remove it where no call is open. A call that begins now makes a new one."""
    global _file
    with _lock:
        file, _file = _file, None
        if file is not None:
            try:
                file.close()
            except OSError as error:
                fault("closing the journal", error)


def started(call: Facts) -> None:
    """Note that `call` has begun. Never raises."""
    global _file
    if _folder is None:
        return
    try:
        size = call.prompt.size
        facts: dict[str, Any] = {"created": time.time(), "fields": _clean(beginning(call))}
        if size is not None:
            facts["prompt"] = size
        entry = line(call.call_id, "start", facts)
        with _lock:
            if _file is None:
                _file = _File(_folder)
            _file.live[call.call_id] = 0
            _file.write(entry)
    except Exception as error:  # a full disk: the call goes on without a journal
        fault("writing the journal", error)


def ended(call_id: str) -> None:
    """Note that the record of this call is written. Never raises."""
    if _file is None:
        return
    try:
        with _lock:
            if _file is not None:
                _file.ended(call_id)
    except Exception as error:
        fault("writing the journal", error)


def checkpoint(calls: Iterable[Facts]) -> None:
    """Note how far the open `calls` have come, those that got a chunk since the last time. Never raises."""
    file = _file
    if file is None:
        return
    made: list[tuple[str, int, bytes]] = []
    for call in calls:
        call_id, before, chunks = call.call_id, file.live.get(call.call_id), call.chunks
        if before is None or before == chunks:
            continue
        try:
            source = best_informed(call)
            lines = line(call_id, "so_far", _so_far(call, source))
            if not before:
                lines = line(call_id, "names", _names(call, source)) + lines
            made.append((call_id, chunks, lines))
        except Exception as error:
            fault("writing the journal", error)
    if not made:
        return
    try:
        with _lock:  # some have ended meanwhile, and the file may be another process's
            if file is _file:
                still = [(call_id, chunks, lines) for call_id, chunks, lines in made if call_id in file.live]
                file.live.update((call_id, chunks) for call_id, chunks, _ in still)
                file.write(b"".join(lines for _, _, lines in still))
    except Exception as error:
        fault("writing the journal", error)


def _names(call: Facts, source: Facts) -> dict[str, Any]:
    """What the first chunk tells."""
    answer = source.answer
    names = {
        "provider": provider_of(call) or provider_of(source),
        "model": call.model or source.model,
        "response_model": answer.model,
        "response_id": answer.response_id,
    }
    return {name: value for name, value in names.items() if value}


def _so_far(call: Facts, source: Facts) -> dict[str, Any]:
    """The counters of an open call. Seconds are from its start; texts are [characters, bytes of UTF-8]."""
    answer = source.answer
    start = call.started
    facts: dict[str, Any] = {
        "seconds": call.last - start,
        "chunks": call.chunks,
        "content_chunks": call.answer.content_chunks,
        "text": answer.size(),
        "sending": call.sending,
        "wait": call.wait,
    }
    if call.first_content is not None:
        facts["ttft"] = call.first_content - start
        facts["gap"] = call.gap
    if call.first_pull is not None:
        facts["pulled"] = call.first_pull - start
    if reasoning := len(answer.reasoning):
        facts["reasoning"] = [reasoning, answer.reasoning.nbytes]
    if answer.tool_calls:
        facts["tools"] = [[len(tool.arguments), tool.arguments.nbytes] for tool in list(answer.tool_calls.values())]
    if answer.finish_reasons:
        facts["finish_reasons"] = list(answer.finish_reasons.items())
    if answer.service_tier:
        facts["service_tier"] = answer.service_tier
    if answer.usage is not None and (usage := source.reader.usage(answer.usage)) is not None:
        facts["usage"] = usage.as_fields()
    return facts


def recover_pending() -> None:
    """Record the calls of dead processes, if that is still to be done and somebody would see it. Never raises."""
    global _pending
    folder = _folder
    if not _pending or folder is None or not records.seen(records.CALLS, logging.ERROR, tell=False):
        return
    _pending = False
    try:
        recover(folder)
    except Exception as error:
        fault("recovering calls", error)


def _clean(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that are short and plain, redacted."""
    redactor = redaction.current()
    made: dict[str, Any] = {}
    for name, value in fields.items():
        kind = type(value)
        if kind is str and name not in _NOT_TEXT_OF_THE_USERS:
            value = _clean_text(redactor, name, value[:_MAX_VALUE])
        elif kind not in (str, int, float, bool):
            continue
        made[name] = value
    return made


@lru_cache(maxsize=1024)  # the same few tenants, features and users again and again
def _clean_text(redactor: redaction.Redactor, name: str, text: str) -> Any:
    return redactor.field(name, text)


def _before_fork() -> None:
    """No other thread is in the middle of a change of files then."""
    _lock.acquire()


def _after_fork_in_parent() -> None:
    _lock.release()


def _after_fork_in_child() -> None:
    """The file, and its lock, are the parent's."""
    global _file, _lock
    _lock = threading.RLock()
    file, _file = _file, None
    if file is not None:
        file.forget()


worker.at_tick.append(recover_pending)
worker.after_exit.append(close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
