"""The record of records that a backend will not see: those that were dropped, refused, or torn."""

from __future__ import annotations

import logging
import threading
from typing import Any

from llmlog import records
from llmlog.context import new_id
from llmlog.handlers.backend import Backend
from llmlog.handlers.spool import Spool

__all__ = ["DELIVERY", "DeliveryReports", "is_reporting"]

DELIVERY = "llmlog.delivery"
"""The logger of the records about what became of other records."""

_EVERY = 60.0  # seconds, at the least; an outage's end is told at once

_here = threading.local()


def is_reporting() -> bool:
    """Whether this thread is logging what became of records: it makes room itself, and its record finds some."""
    return getattr(_here, "reporting", False)


class DeliveryReports:
    """Tells of what `spool` has dropped, and of what was put aside, each once."""

    def __init__(self, spool: Spool, backend: Backend) -> None:
        self.refused = 0
        """How many records were put aside."""
        self._spool = spool
        self._backend = backend
        self._told = (0, 0, 0)  # dropped, torn, refused, as the last record had them
        self._told_at = -_EVERY
        self._outage_ms: float | None = None  # of the one that is over, and not told yet

    def outage_over(self, now: float, outage_ms: float) -> None:
        """The backend takes records again: what there is to tell is told with the next step."""
        self._outage_ms = outage_ms
        self._told_at = now - _EVERY

    def untold(self) -> int:
        """How many dropped records no record has told of."""
        return self._spool.dropped - self._told[0]

    def tell(self, now: float) -> None:
        """Log a record of what has come since the last one, if there is anything, and it is time."""
        counts = (self._spool.dropped, self._spool.torn, self.refused)
        if counts == self._told or now - self._told_at < _EVERY:
            return
        dropped, torn, refused = (count - told for count, told in zip(counts, self._told, strict=True))
        self._told, self._told_at = counts, now
        fields: dict[str, Any] = {"event": "llm.delivery", "record_id": new_id(), "backend": self._backend.name,
                                  "destination": self._backend.destination, "dropped_records": dropped,
                                  "refused_records": refused, "torn_records": torn,
                                  "spool_bytes": self._spool.nbytes()}  # fmt: skip
        if self._outage_ms is not None:
            fields["outage_ms"], self._outage_ms = round(self._outage_ms, 3), None
        lost = [
            f"{count} {what}" for count, what in ((dropped, "dropped"), (refused, "refused"), (torn, "torn")) if count
        ]
        message = f"records that {self._backend.name} does not have: {', '.join(lost)}"
        _here.reporting = True
        try:
            records.emit(DELIVERY, logging.WARNING, message, fields)
        finally:
            _here.reporting = False

    def forget(self) -> None:
        """In the child of a fork: what was dropped and refused was the parent's."""
        self._told, self.refused = (0, 0, 0), 0
