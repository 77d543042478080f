"""What the handlers of all backends share: the spool has a record when the logging call returns, a thread sends it."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import sys
from datetime import UTC, datetime
from typing import Any

import orjson

from llmlog import locks, metrics, records
from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.faults import notice
from llmlog.formatters import JSONFormatter
from llmlog.handlers.backend import Backend
from llmlog.handlers.dead_letters import DeadLetters
from llmlog.handlers.delivery_reports import DELIVERY, is_reporting
from llmlog.handlers.segments import bytes_waiting
from llmlog.handlers.shipping import Shipper, is_shipping
from llmlog.handlers.spool import Spool

__all__ = ["SpooledHandler"]

_FULL = ("drop_oldest", "drop_newest", "block")
_AT_EXIT = 5.0  # seconds that flush() without a timeout may take
_AT_CLOSE = 2.0
_LEAST_BYTES = 64 * 1024


class SpooledHandler(logging.Handler):
    """Append each record to a spool on this machine's disk, and have a thread send what is in it to `backend`.

    A record whose logging call has returned is sent even where the process is killed right after: by the next one, or
    by any other process of now with the same spool and destination. The caller never waits for the backend.

    `spool`: a folder, made where it is missing (0700; files 0600), a subfolder for each destination; None: `llmlog` in
    the user's state folder. `batch_records`, `batch_bytes`, `batch_seconds`: a batch is sent when it has so many
    records or bytes, or its first record waited so long. `max_bytes`: what a destination's folder may hold, and `full`
    what happens then: "drop_oldest", "drop_newest" or "block", which waits until there is room; what was dropped is
    told by a WARNING on logger `llmlog.delivery` once the backend takes records again. `fsync`: a record is on the
    disk, not only with the system, when the logging call returns: for machines that lose their power.

    The formatter is `llmlog.formatters.JSONFormatter()` until another one is set; a line that is no JSON object becomes
    the `message` of one. UsageTypeError and UsageValueError for arguments without a meaning, a folder that cannot be
    written, and a system without file locks (`fcntl`).
    """

    _closed: bool  # the standard library's own, from 3.10

    def __init__(
        self,
        backend: Backend,
        *,
        spool: str | os.PathLike[str] | None = None,
        batch_records: int = 2_000,
        batch_bytes: int = 1 << 20,
        batch_seconds: float = 1.0,
        max_bytes: int = 1 << 30,
        full: str = "drop_oldest",
        fsync: bool = False,
    ) -> None:
        for name, value, least in (
            ("batch_records", batch_records, 1),
            ("batch_bytes", batch_bytes, 1),
            ("max_bytes", max_bytes, _LEAST_BYTES),
        ):
            if type(value) is not int:
                raise UsageTypeError(f"{name} is a whole number, got {shown(value)}")
            if value < least:
                raise UsageValueError(f"{name} is at least {least}, got {shown(value)}")
        if isinstance(batch_seconds, bool) or not isinstance(batch_seconds, (int, float)):
            raise UsageTypeError(f"batch_seconds is a number of seconds, got {shown(batch_seconds)}")
        if not 0 <= batch_seconds < float("inf"):
            raise UsageValueError(f"batch_seconds is a number of seconds from 0, got {shown(batch_seconds)}")
        if full not in _FULL:
            raise UsageValueError(f"full is one of {', '.join(_FULL)}, got {shown(full)}")
        if not isinstance(fsync, bool):
            raise UsageTypeError(f"fsync is True or False, got {shown(fsync)}")
        folder = _folder(spool, backend)
        try:
            self.spool = Spool(folder, max_bytes=max_bytes, full=full, fsync=fsync)
        except OSError as error:
            raise UsageValueError(f"the spool's folder cannot be written: {shown(folder)}: {error}") from None
        self.backend = backend
        self._shipper = Shipper(
            self.spool, backend, DeadLetters(folder, max_bytes // 8), batch_records=batch_records,
            batch_bytes=batch_bytes, batch_seconds=batch_seconds,
        )  # fmt: skip
        super().__init__()
        self.setFormatter(JSONFormatter())
        records.deliverers.add(self)

    def handle(self, record: logging.LogRecord) -> Any:
        """Filter and append, without the lock of a Handler: threads format at the same time, and the spool has its own.

        With that lock held, a thread that waits for room would keep out the one that makes it.
        """
        passed: Any = self.filter(record)
        if passed:
            self.emit(
                passed if isinstance(passed, logging.LogRecord) else record
            )  # from 3.12 on a filter may replace it
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Append the record to the spool; where it cannot be formatted, `handleError` has the last word."""
        if is_shipping() and record.name != DELIVERY:  # a transport's own words on sending would go round for ever
            return
        try:
            line = self._line(record)
        except RecursionError:
            raise
        except Exception:
            self.handleError(record)
            return
        self.spool.append(line, record.created, always=is_reporting())
        self._shipper.ready()

    def _line(self, record: logging.LogRecord) -> bytes:
        text = self.format(record)
        if type(self.formatter) is JSONFormatter and text[:1] == "{" and text[-1:] == "}" and "\n" not in text:
            return text.encode("utf-8", "backslashreplace")
        line = text.encode("utf-8", "backslashreplace")
        try:
            value = orjson.loads(line)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
            value = {"timestamp": when, "level": record.levelname, "logger": record.name, "message": line.decode()}
            return orjson.dumps(value)
        return orjson.dumps(value) if b"\n" in line or line[:1] != b"{" or line[-1:] != b"}" else line

    def flush(self, timeout: float | None = None) -> bool:  # type: ignore[override]  # logging ignores the answer
        """Have what was logged so far taken by the backend: True, or False where it was not in `timeout` seconds.

        It stays in the spool then. None, as logging itself calls it at exit: some seconds, and one attempt.
        """
        if timeout is None:
            return self._shipper.flush(_AT_EXIT, patient=False)
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
            raise UsageTypeError(f"timeout is a number of seconds, got {shown(timeout)}")
        return self._shipper.flush(timeout)

    def close(self) -> None:
        """Send what can be sent in a moment, and let go: the rest is for the next process, and so is what comes now."""
        if not self._closed:
            records.deliverers.discard(self)
            if not self._shipper.is_out:
                self._shipper.flush(_AT_CLOSE, patient=False)
            if self._shipper.is_out:
                self._shipper.tell_outage()
            self._shipper.stop(_AT_CLOSE)
            self.spool.close()
            if untold := self._shipper.untold():
                notice(f"closing {self.spool.folder}", f"{untold} records for {self.backend.name} were dropped")
        super().close()


def _bytes_waiting() -> int | None:
    """What waits in the spools of this process's handlers, other processes' records in them included."""
    folders = {one.spool.folder for one in list(records.deliverers) if isinstance(one, SpooledHandler)}
    return sum(map(bytes_waiting, folders)) if folders else None


metrics.gauge("spool_waiting_bytes", _bytes_waiting)


def _folder(spool: Any, backend: Backend) -> str:
    """The folder of one destination: different ones never mix."""
    if spool is not None and not isinstance(spool, (str, os.PathLike)):
        raise UsageTypeError(f"spool is a folder or None, got {shown(spool)}")
    if spool is not None and not os.fspath(spool):
        raise UsageValueError(f"spool is a folder or None, got {shown(spool)}")
    if not locks.available:
        raise UsageValueError(
            "a spool needs file locks, which this system has not (fcntl); "
            "llmlog.handlers.JSONLinesHandler and an agent do without"
        )
    root = _state_folder() if spool is None else os.path.abspath(os.path.expanduser(os.fsdecode(spool)))
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", backend.name) or "backend"
    digest = hashlib.sha256(backend.destination.encode("utf-8", "backslashreplace")).hexdigest()[:16]
    return f"{root}/{name}-{digest}"


def _state_folder() -> str:
    state = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):  # a relative one is to be ignored, by its specification
        mac = sys.platform == "darwin"
        state = os.path.expanduser("~/Library/Application Support" if mac else "~/.local/state")
    if not os.path.isabs(state):
        raise UsageValueError("this user has no home folder to keep a spool in; name one: spool=")
    return f"{state}/llmlog"
