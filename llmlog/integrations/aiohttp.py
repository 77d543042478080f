"""aiohttp: outgoing requests bear the current request's id and trace.

session = aiohttp.ClientSession(trace_configs=[trace_config()])
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmlog.propagation import added_to, checked_hosts

try:
    from aiohttp import TraceConfig
except ImportError as error:
    raise ImportError("llmlog.integrations.aiohttp needs aiohttp: pip install aiohttp") from error

__all__ = ["trace_config"]


def trace_config(*, hosts: Iterable[str] | None = None) -> TraceConfig:
    """For `trace_configs=` of a session: X-Request-ID, traceparent, tracestate and baggage, beside what is there.

    `hosts`: only requests to these get them; None: all do. A redirect takes the headers along, as it does others: with
    hosts that may redirect elsewhere, `allow_redirects=False`. UsageTypeError for what are no names.
    """
    known = checked_hosts(hosts)

    async def add(session: Any, context: Any, params: Any) -> None:
        added_to(params.headers, host=params.url.host, hosts=known)

    made = TraceConfig()
    made.on_request_start.append(add)
    return made
