"""A request's id and trace in and out of HTTP headers: X-Request-ID, and W3C traceparent, tracestate and baggage."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

from llmlog.context import current
from llmlog.exceptions import UsageTypeError, shown
from llmlog.faults import fault

__all__ = ["added_to", "checked_hosts", "extract", "inject", "trace_of_now", "valid_request_id"]

_TRACEPARENT = re.compile(
    r"(?!ff)(?!00.{53}-)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)  # version 00 has nothing behind its flags, later ones may
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
_MAX_STATE = 512  # W3C: at least this much of tracestate has to be passed on
_MAX_BAGGAGE = 8192


def valid_request_id(value: str) -> bool:
    """Whether an id from outside may be taken over: 1 to 128 visible ASCII characters."""
    return _REQUEST_ID.fullmatch(value) is not None


def extract(headers: Mapping[Any, Any] | Iterable[tuple[Any, Any]]) -> dict[str, str]:
    """The fields for `request(**fields)` in the headers of an incoming request.

    `headers`: a mapping or pairs, text or bytes, names in any case. What is not valid is left out, as if it had not
    been sent: `request_id` (X-Request-ID), `trace_id`, `span_id`, `trace_flags` (traceparent), `tracestate`, `baggage`.
    Of several ids the first valid one counts, several traceparents are none, the other two are lists and are joined.
    """
    found: dict[str, list[str]] = {}
    for name, value in _pairs(headers):
        if text := _text(value).strip():
            found.setdefault(_text(name).lower(), []).append(text)
    fields = {}
    if request_id := next(filter(valid_request_id, found.get("x-request-id", ())), None):
        fields["request_id"] = request_id
    traces = found.get("traceparent", ())
    if len(traces) == 1 and (trace := _TRACEPARENT.fullmatch(traces[0])):
        fields["trace_id"], fields["span_id"], fields["trace_flags"] = trace.group(1, 2, 3)
        if 0 < len(state := ",".join(found.get("tracestate", ()))) <= _MAX_STATE and _is_plain(state):
            fields["tracestate"] = state
    if 0 < len(baggage := ",".join(found.get("baggage", ()))) <= _MAX_BAGGAGE and _is_plain(baggage):
        fields["baggage"] = baggage
    return fields


def inject(headers: Mapping[str, str] | None = None) -> dict[str, str]:
    """`headers`, and the current request's beside them, as a new dict for an outgoing request.

    Headers that the caller has set are kept. The trace is the current OpenTelemetry span's where there is one.
    """
    made = dict(_pairs(headers)) if headers is not None else {}
    taken = {name.lower() for name in made if isinstance(name, str)}
    now = current()
    trace = {**now, **trace_of_now()}
    ours = {"X-Request-ID": now.get("request_id"), "baggage": now.get("baggage")}
    if trace.get("trace_id") == now.get("trace_id"):  # else it is another trace's: the span began one of its own
        ours["tracestate"] = now.get("tracestate")
    if trace.get("trace_id") and trace.get("span_id"):
        flags = trace.get("trace_flags") or "00"
        ours["traceparent"] = f"00-{trace['trace_id']}-{trace['span_id']}-{flags}"
    for name, value in ours.items():
        if isinstance(value, str) and value.isprintable() and name.lower() not in taken:
            made[name] = value
    return made


def added_to(headers: MutableMapping[str, str], *, host: str | None, hosts: frozenset[str] | None) -> None:
    """Put the current request's headers among those of a request to `host`. Never raises.

    To a host that is not one of `hosts` they do not go; a redirect has brought them along, and they are taken out.
    """
    try:
        welcome = hosts is None or (host or "").lower() in hosts
        for name, value in inject().items():
            if welcome:
                headers.setdefault(name, value)
            elif headers.get(name) == value:
                del headers[name]
    except Exception as error:
        fault("adding headers to a request", error)


def checked_hosts(hosts: Iterable[str] | None) -> frozenset[str] | None:
    """The names of hosts in lower case; None for None. UsageTypeError for anything else."""
    if hosts is None:
        return None
    if isinstance(hosts, str) or not isinstance(hosts, Iterable) or not all(isinstance(one, str) for one in hosts):
        raise UsageTypeError(f"hosts are names, such as ['api.internal'], or None, got {shown(hosts)}")
    return frozenset(one.lower() for one in hosts)


def trace_of_now() -> dict[str, str]:
    """`trace_id`, `span_id` and `trace_flags` of the current OpenTelemetry span; empty where there is none.

    OpenTelemetry is never imported for this: where the application has not imported it, there is no span.
    """
    opentelemetry = sys.modules.get("opentelemetry.trace")
    if opentelemetry is None:
        return {}
    try:
        span = opentelemetry.get_current_span().get_span_context()
        if not span.is_valid:
            return {}
        return {
            "trace_id": f"{span.trace_id:032x}",
            "span_id": f"{span.span_id:016x}",
            "trace_flags": f"{int(span.trace_flags):02x}",
        }
    except Exception:  # half-imported, or another version: there is no span that we could name
        return {}


def _pairs(headers: Any) -> list[tuple[Any, Any]]:
    try:
        return list(headers.items() if hasattr(headers, "items") else [(name, value) for name, value in headers])
    except (TypeError, ValueError):
        raise UsageTypeError(f"headers are a mapping or pairs of name and value, got {shown(headers)}") from None


def _is_plain(value: str) -> bool:
    return value.isascii() and value.isprintable()


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value if isinstance(value, str) else ""
