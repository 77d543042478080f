"""Records about what is not a call: retrievals, feedback, tools, deployments, metrics."""

from __future__ import annotations

import logging
from typing import Any

from llmlog import context, records
from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.propagation import trace_of_now

__all__ = ["event"]


def event(name: str, /, **fields: Any) -> None:
    """Log one record named `name` on logger `llmlog.events`, with the current context and `fields`.

    `name`: `llm.retrieval`, `llm.feedback`, `llm.tool`, `system.metrics`, `system.event`, or one of your own.
    Its level is INFO. UsageTypeError or UsageValueError for a name that is not text, or empty.
    """
    if not isinstance(name, str):
        raise UsageTypeError(f"the name of an event is text, got {shown(name)}")
    if not name:
        raise UsageValueError(f"the name of an event may not be empty, got {shown(name)}")
    trace = trace_of_now()
    trace.pop("trace_flags", None)
    made = {**context.current().attributes(), **trace, **fields, "event": name, "record_id": context.new_id()}
    records.emit(records.EVENTS, logging.INFO, name, made)
