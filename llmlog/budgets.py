"""What a request may cost: told once when its calls come to more, and left to the application to act upon."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from llmlog import context, records
from llmlog.context import Context
from llmlog.faults import fault
from llmlog.request_state import RequestState, Totals
from llmlog.settings import Settings

__all__ = ["add", "tell"]


def add(fields: Mapping[str, Any], around: Iterable[RequestState], settings: Settings) -> list[Totals]:
    """Count an ended call, by the fields of its record, in its requests: the totals of those that it took over.

    A field of the user's that has a figure's name, where the call has none of its own, is no figure.
    """
    cost = fields.get("cost_usd")
    return [
        state.totals
        for state in around
        if state.add(
            input_tokens=_whole(fields.get("input_tokens")),
            output_tokens=_whole(fields.get("output_tokens")),
            cost_usd=cost if isinstance(cost, float) else None,
            cost_partial=bool(fields.get("cost_partial")),
            budget_usd=settings.budget_usd,
        )
    ]


def _whole(count: Any) -> int:
    return count if isinstance(count, int) else 0


def tell(totals: Totals, where: Context, trace: Mapping[str, str], call_id: str, settings: Settings) -> None:
    """One record, and the application's hook, which runs in the context of the call. Never raises."""
    fields = {
        **where.attributes(),
        **trace,
        "event": "llm.budget",
        "record_id": context.new_id(),
        "call_id": call_id,
        "budget_usd": settings.budget_usd,
        **totals.as_fields(),
    }
    fields.pop("trace_flags", None)
    at_least = "at least " if totals.cost_partial else ""
    budget = format(Decimal(str(settings.budget_usd)), "f")  # never 3e-05
    calls = "1 call" if totals.calls == 1 else f"{totals.calls} calls"
    said = f"request over its budget of ${budget}: {calls}, {at_least}${totals.cost_usd:.6f}"
    records.emit(records.EVENTS, logging.WARNING, said, fields)
    if settings.on_budget is None:
        return
    try:
        contextvars.copy_context().run(_call, settings.on_budget, totals, where)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        fault("calling on_budget", error)


def _call(hook: Any, totals: Totals, where: Context) -> None:
    context.enter(where)
    hook(totals)
