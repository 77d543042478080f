"""Calls that nobody ended: what a dead process has left in its journal, and the records of it.

The file of a process (`llmlog.journal` writes it) is JSON Lines: `start`, with the fields of the record as they are
then; `names` and `so_far`, what the chunks have told; `ended`, once the record is written. A process holds a lock on
its file for as long as it lives, so a file whose lock is free is a dead one's.
"""

from __future__ import annotations

import logging
import os
import pathlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import orjson

from llmlog import locks, records, settings
from llmlog.context import Context
from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.faults import fault
from llmlog.locks import is_still, lock
from llmlog.prompts import Prompt
from llmlog.providers import UNKNOWN
from llmlog.summary import Ending, Facts, summary
from llmlog.usage import Usage

__all__ = ["ID", "KIND", "SUFFIX", "UNFINISHED", "checked", "line", "lock", "recover", "write"]

SUFFIX = ".journal"
UNFINISHED = ".new"
ID, KIND = slice(9, 41), slice(43, 50)


def recover(folder: str | os.PathLike[str]) -> int:
    """Write a record, with outcome `lost`, for each call that a dead process has left open in the journal `folder`.

    Returns how many. Each is recorded once, also where several processes recover at the same time; only a process
    that is killed right here leaves repeats, and they have the same `record_id`. UsageTypeError for what is no path,
    UsageValueError where it is no folder, or the system has no file locks.
    """
    path = checked(folder)
    if not path.is_dir():
        raise UsageValueError(f"a journal is a folder, and this is none: {shown(str(path))}")
    if not records.seen(records.CALLS, logging.ERROR):  # it has said why; the files are there when somebody looks
        return 0
    found = 0
    for file in sorted(path.iterdir()):
        if file.suffix in (SUFFIX, UNFINISHED):
            found += _recover_file(file)
    return found


def _recover_file(path: pathlib.Path) -> int:
    try:
        fd = os.open(path, os.O_RDWR | os.O_APPEND)
    except FileNotFoundError:  # another process was faster
        return 0
    except OSError as error:
        fault("recovering calls", error)
        return 0
    try:
        try:
            lock(fd)
        except BlockingIOError:  # its owner lives, or somebody else is recovering it
            return 0
        if not is_still(path, fd):  # taken away, or replaced by its owner, since it was opened
            return 0
        with open(fd, "rb", closefd=False) as reader:
            lost = _left_open(reader)
        if path.suffix == SUFFIX:  # an unfinished one has its calls in the file that it was to replace
            for call_id, facts in lost.items():
                records.emit(records.CALLS, *_record(call_id, *facts), created=_last_seen(*facts))
                records.flush_handlers()
                write(fd, b"\n" + line(call_id, "ended", True))  # its last line may be half a line
        path.unlink()
        return len(lost) if path.suffix == SUFFIX else 0
    finally:
        os.close(fd)


def _left_open(lines: Iterable[bytes]) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """The calls without an end, with their start and their last checkpoint. A half-written last line is normal."""
    found: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    for entry_line in lines:
        if not entry_line.strip():
            continue
        try:
            entry = orjson.loads(entry_line)
            call_id = entry["call"]
            if "start" in entry:
                found[call_id] = (entry["start"], {})
            elif call_id in found and ("names" in entry or "so_far" in entry):
                found[call_id][1].update(entry["names"] if "names" in entry else entry["so_far"])
            elif "ended" in entry:
                found.pop(call_id, None)
        except (ValueError, KeyError, TypeError) as error:
            if entry_line.endswith(b"\n"):
                fault("reading a journal", error)
    return found


def _record(call_id: str, start: Any, counters: Any) -> tuple[int, str, dict[str, Any]]:
    try:
        return summary(_facts(call_id, start, counters))
    except Exception as error:  # not a journal of ours: what is certain
        fault("reading a journal", error)
        fields = {"event": "llm.call", "record_id": call_id, "call_id": call_id, "outcome": "lost",
                  "ended_by": "recovery"}  # fmt: skip
        return logging.ERROR, "LLM call lost (recovery); its journal could not be read", fields


def _last_seen(start: Any, counters: Any) -> float | None:
    """Unix seconds of the last word of the call."""
    try:
        return float(start["created"]) + float(counters.get("seconds", 0.0))
    except (KeyError, TypeError, ValueError):
        return None


def _facts(call_id: str, start: dict[str, Any], counters: dict[str, Any]) -> Facts:
    """The call as far as its process had told."""
    call = Facts(call_id, Context({}), replace(settings.current(), capture=0))
    call.fields = start.get("fields") or {}
    call.provider, call.model = (counters.get(name) or call.fields.get(name) for name in ("provider", "model"))
    call.reader = _ITS_READER
    if size := start.get("prompt"):
        call.prompt = Prompt.of_size(*size)
    call.ending = Ending("recovery", counters.get("seconds"), None)
    call.started = 0.0
    call.last = call.pulled = counters.get("seconds", 0.0)
    if "chunks" not in counters:  # killed before its first checkpoint was whole
        call.streamed = bool(call.fields.get("streamed"))
        return call
    call.streamed = call.driven = True
    call.chunks = counters["chunks"]
    call.sending, call.wait, call.gap = counters["sending"], counters["wait"], counters.get("gap", 0.0)
    call.first_content, call.first_pull = counters.get("ttft"), counters.get("pulled")
    answer = call.answer
    answer.has_content(counters["content_chunks"])
    answer.text(0).grow(*counters["text"])
    answer.think("")
    answer.reasoning.grow(*counters.get("reasoning", (0, 0)))
    for place, tool_size in enumerate(counters.get("tools", ())):
        answer.tool_call(place).arguments.grow(*tool_size)
    for choice, reason in counters.get("finish_reasons", ()):
        answer.finish(choice, reason)
    answer.model, answer.response_id = counters.get("response_model"), counters.get("response_id")
    answer.service_tier, answer.usage = counters.get("service_tier"), counters.get("usage")
    return call


def _read_usage(raw: dict[str, int]) -> Usage:
    return Usage(**{name: count for name, count in raw.items() if name != "total_tokens"})


_ITS_READER = replace(UNKNOWN, name="journal", usage=_read_usage, formats=())
"""Reads no chunks; what was read before the process died is in our own words already."""


def line(call_id: str, kind: str, facts: Any) -> bytes:
    """One line of a journal; `ID` and `KIND` are where the call's id and the kind stand in it."""
    return b'{"call":"%b","%b":%b}\n' % (call_id.encode(), kind.encode(), orjson.dumps(facts))


def write(fd: int, content: bytes) -> None:
    """Write all of it."""
    while content:
        content = content[os.write(fd, content) :]


def checked(folder: Any) -> pathlib.Path:
    """The journal's folder as a path. UsageTypeError or UsageValueError where it cannot be one."""
    if not isinstance(folder, (str, os.PathLike)):
        raise UsageTypeError(f"a journal's folder is a path, got {shown(folder)}")
    if not os.fspath(folder):
        raise UsageValueError(f"a journal's folder is a path, got {shown(folder)}")
    if not locks.available:
        raise UsageValueError(f"a journal needs file locks, which this system has not (fcntl): {shown(folder)}")
    return pathlib.Path(os.fsdecode(folder)).absolute()
