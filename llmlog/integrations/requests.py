"""requests: outgoing requests bear the current request's id and trace.

session = requests.Session()
session.mount("https://", ContextAdapter())
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from llmlog.propagation import added_to, checked_hosts

try:
    from requests.adapters import HTTPAdapter
except ImportError as error:
    raise ImportError("llmlog.integrations.requests needs requests: pip install requests") from error

__all__ = ["ContextAdapter"]


class ContextAdapter(HTTPAdapter):
    """requests' own HTTPAdapter, with its arguments; each request gets X-Request-ID, traceparent, tracestate, baggage.

    Headers that are there already are kept. `hosts`: only requests to these get them, after a redirect too; None: all
    do. UsageTypeError for what are no names.
    """

    def __init__(self, *args: Any, hosts: Iterable[str] | None = None, **options: Any) -> None:
        self._hosts = checked_hosts(hosts)
        super().__init__(*args, **options)

    def add_headers(self, request: Any, **options: Any) -> None:
        """What requests calls for each request that it sends."""
        added_to(request.headers, host=urlsplit(request.url).hostname, hosts=self._hosts)

    def __getstate__(self) -> dict[str, Any]:
        state: Any = super().__getstate__()
        return {**state, "_hosts": self._hosts}  # requests lists the attributes that it pickles
