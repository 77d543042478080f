"""The flat schema: llmlog's own names, as the table in `llmlog.semconv` has them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from llmlog.formatters.contents import BASE, beside, text, timestamp

__all__ = ["Flat"]


class Flat:
    """One level of fields; what an application adds stands beside them under its own name."""

    keep: tuple[str, ...] = BASE
    mark = "truncated"
    inside = ""

    def __init__(self, constants: Mapping[str, Any]) -> None:
        self._constants = beside(BASE, dict(constants))

    def document(self, record: logging.LogRecord, message: str, extras: dict[str, Any]) -> dict[str, Any]:
        """The record's fields; an extra cannot take the place of the first four."""
        if "timestamp" in extras or "level" in extras or "logger" in extras or "message" in extras:
            extras = beside(BASE, extras)
        return {
            "timestamp": timestamp(record.created),
            "level": text(record.levelname),
            "logger": text(record.name),
            "message": message,
            **self._constants,
            **extras,
        }

    def least(self, time: str, level: str, logger: str, message: str) -> dict[str, Any]:
        """A document of what any record has."""
        return dict(zip(BASE, (time, level, logger, message), strict=True))
