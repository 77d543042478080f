"""httpx (and httpx2): outgoing requests bear the current request's id and trace.

client = httpx.Client(event_hooks=event_hooks())
client = httpx.AsyncClient(event_hooks=async_event_hooks(hosts=["billing.internal"]))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from llmlog.propagation import added_to, checked_hosts

__all__ = ["async_event_hooks", "event_hooks"]


def event_hooks(*, hosts: Iterable[str] | None = None) -> dict[str, list[Callable[[Any], None]]]:
    """For `event_hooks=` of a client: X-Request-ID, traceparent, tracestate and baggage, beside what is there.

    `hosts`: only requests to these get them, after a redirect too; None: all do. UsageTypeError for what are no names.
    """
    known = checked_hosts(hosts)

    def add(request: Any) -> None:
        added_to(request.headers, host=request.url.host, hosts=known)

    return {"request": [add]}


def async_event_hooks(*, hosts: Iterable[str] | None = None) -> dict[str, list[Callable[[Any], Any]]]:
    """The same for an AsyncClient."""
    known = checked_hosts(hosts)

    async def add(request: Any) -> None:
        added_to(request.headers, host=request.url.host, hosts=known)

    return {"request": [add]}
