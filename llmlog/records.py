"""From fields to a LogRecord on one of llmlog's own loggers, and the word where nobody would see it."""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Mapping
from typing import Any

from llmlog.faults import fault, notice
from llmlog.semconv import attribute_name

__all__ = ["CALLS", "EVENTS", "HTTP", "deliverers", "emit", "flush_handlers", "seen"]

CALLS = "llmlog.calls"
"""The logger of the summary records, one for every LLM call."""
EVENTS = "llmlog.events"
"""The logger of the records about what is not a call."""
HTTP = "llmlog.http"
"""The logger of the records of HTTP requests and websockets."""


deliverers: weakref.WeakSet[Any] = weakref.WeakSet()
"""The handlers whose records are under way after they were logged: `flush(timeout)` has them delivered, or is False.

All that there are: a queue may stand between them and llmlog's loggers.
"""


def emit(
    name: str,
    level: int,
    message: str,
    fields: Mapping[str, Any],
    *,
    created: float | None = None,
    tell: bool = True,
) -> None:
    """Log one record with `fields` as its attributes on logger `name`. Never raises: a fault is counted.

    `created`: Unix seconds of what the record tells, where that is earlier than now. `tell`: whether to say so where
    nobody sees it.
    """
    try:
        logger = logging.getLogger(name)
        if not seen(name, level, tell=tell) and not logger.isEnabledFor(level):
            return  # where it is enabled, logging's own last resort may print it
        record = logger.makeRecord(name, level, __file__, 0, message, (), None, "emit")
        record.__dict__.update({attribute_name(field): value for field, value in fields.items()})
        if created is not None:
            # relativeCreated is a plain difference, so it moves by as much.
            record.relativeCreated -= (record.created - created) * 1000
            record.created, record.msecs = created, float(int((created - int(created)) * 1000))
        logger.handle(record)
    except Exception as error:
        fault("logging a record", error)


def seen(name: str, level: int, *, tell: bool = True) -> bool:
    """Whether a handler gets the records of this level; where none does, why not is said once on stderr."""
    logger = logging.getLogger(name)
    why = _why_unseen(logger, level)
    if why and tell:
        notice("unseen", why)
    return not why


def _why_unseen(logger: logging.Logger, level: int) -> str:
    if not logger.isEnabledFor(level):
        if logger.disabled:
            why = "the logger is disabled; set disable_existing_loggers to False in your dictConfig"
        elif logger.manager.disable >= level:
            why = f"logging.disable({logging.getLevelName(logger.manager.disable)}) is in force"
        else:
            limit = logging.getLevelName(logger.getEffectiveLevel())
            why = f"its level is {limit}, and this record is {logging.getLevelName(level)}"
        return f"records are not logged by {logger.name!r}: {why}"
    if not _has_handler(logger, level):
        return (
            f"records of {logger.name!r} reach no handler: neither it nor a logger above it has one for "
            f"{logging.getLevelName(level)}; logging.config.dictConfig(llmlog.dict_config(console=True)) sets one up"
        )
    return ""


def _has_handler(logger: logging.Logger, level: int) -> bool:
    above: logging.Logger | None = logger
    while above is not None:
        for handler in above.handlers:
            if handler.level <= level:
                return True
        above = above.parent if above.propagate else None
    return False


def flush_handlers(timeout: float | None = None) -> bool:
    """Flush the handlers that see llmlog's records; with a `timeout` in seconds also have what they keep delivered.

    True, or False where that took longer. Never raises.
    """
    seen = set()
    for name in (CALLS, EVENTS, HTTP):
        above: logging.Logger | None = logging.getLogger(name)
        while above is not None:
            for handler in above.handlers:
                if id(handler) not in seen and handler not in deliverers:
                    seen.add(id(handler))
                    try:
                        handler.flush()
                    except Exception as error:
                        fault("flushing a handler", error)
            above = above.parent if above.propagate else None
    return timeout is None or _deliver(timeout)


def _deliver(timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    done = True
    for left_to_wait in (False, True):  # all begin, then all are waited for
        for one in list(deliverers):
            try:
                delivered = one.flush(max(0.0, deadline - time.monotonic()) if left_to_wait else 0.0)
            except Exception as error:
                fault("flushing a handler", error)
                delivered = False
            done = done and (delivered or not left_to_wait)
    return done
