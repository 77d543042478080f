"""Langfuse: a handler that makes a generation of each summary record, for those who look at their calls there.

    config = llmlog.dict_config(...)
    config["handlers"]["langfuse"] = {"()": "llmlog.integrations.langfuse.LangfuseHandler",
                                      "filters": ["llmlog_context", "llmlog_redaction"]}
    config["loggers"] = {"llmlog.calls": {"handlers": ["langfuse"]}}

The keys and the address are the Langfuse SDK's own (LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY, LANGFUSE_BASE_URL), which
also sends. A client that Langfuse itself watches (`langfuse.openai`, its LangChain callback) tells of its calls too:
beside it, this handler would tell of them twice.

Source of the attributes: Langfuse's documentation, "OpenTelemetry: attribute mapping".
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from llmlog.exceptions import UsageTypeError, shown
from llmlog.faults import fault
from llmlog.providers.base import count, text_in

try:
    from langfuse import Langfuse, get_client  # type: ignore[import-not-found, unused-ignore]
    from opentelemetry import trace  # type: ignore[import-not-found, unused-ignore]
except ImportError as error:
    raise ImportError(f"{error}: pip install 'llmlog[langfuse]'") from error

__all__ = ["LangfuseHandler"]

_PARAMETERS = (
    "temperature", "max_tokens", "top_p", "top_k", "frequency_penalty", "presence_penalty", "seed", "choice_count",
    "reasoning_effort",
)  # fmt: skip
_METADATA = (
    "request_id", "call_id", "parent_id", "feature", "operation", "provider", "response_model", "response_id",
    "streamed", "outcome", "ended_by", "finish_reason", "http_status", "error_type", "latency_ms", "ttft_ms",
    "max_gap_ms", "usage_source", "cost_source", "cost_partial", "cached", "tool_names", "chain_name", "chain_id",
)  # fmt: skip
"""Of a record, what Langfuse has no place of its own for."""


class LangfuseHandler(logging.Handler):
    """Makes a generation of each summary of a call: in the record's trace, or one for each request.

    `client`: a `Langfuse`; None: the SDK's own for this process. UsageTypeError for anything else. Other records are
    passed over. Texts are there where `capture` is on, as the handler's filters leave them.
    """

    def __init__(self, client: Any = None, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        if client is not None and not isinstance(client, Langfuse):
            raise UsageTypeError(f"client is a Langfuse or None, got {shown(client)}")
        self._client = get_client() if client is None else client

    def emit(self, record: logging.LogRecord) -> None:
        """Make the generation of one record."""
        try:
            fields = vars(record)
            tracer = getattr(self._client, "_otel_tracer", None)  # its API for observations has no time of the start
            if fields.get("event") == "llm.call" and tracer is not None:
                self._tell(fields, tracer)
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Have the SDK send what it has."""
        try:
            self._client.flush()
        except Exception as error:
            fault("flushing Langfuse", error)

    def _tell(self, fields: Mapping[str, Any], tracer: Any) -> None:
        ended = float(fields["created"])
        started = ended - _number(fields.get("latency_ms")) / 1000
        span = tracer.start_span(
            text_in(fields.get("feature")) or text_in(fields.get("operation")) or "llm.call",
            context=_context(fields),
            start_time=int(started * 1e9),
            attributes=_attributes(fields, started),
        )
        span.end(end_time=int(ended * 1e9))


def _context(fields: Mapping[str, Any]) -> Any:
    """The record's own span as the parent; or, where it has none, a trace that is the request's."""
    trace_id, span_id = text_in(fields.get("trace_id")), text_in(fields.get("span_id"))
    if not trace_id:
        seed = text_in(fields.get("request_id")) or text_in(fields.get("call_id"))
        trace_id = Langfuse.create_trace_id(seed=seed or None)
    parent = trace.SpanContext(
        trace_id=int(trace_id, 16),
        span_id=int(span_id or secrets.token_hex(8), 16),
        is_remote=False,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(parent))


def _attributes(fields: Mapping[str, Any], started: float) -> dict[str, Any]:
    outcome = text_in(fields.get("outcome"))
    level = {"error": "ERROR", "lost": "ERROR", "incomplete": "WARNING"}.get(outcome, "DEFAULT")
    said = text_in(fields.get("error_message")) or ("" if outcome == "completed" else fields.get("ended_by"))
    first = fields.get("ttft_ms")
    cost = fields.get("cost_usd")
    found = {
        "langfuse.observation.type": "embedding" if fields.get("operation") == "embeddings" else "generation",
        "langfuse.observation.level": level,
        "langfuse.observation.status_message": said,
        "langfuse.observation.model.name": fields.get("model") or fields.get("response_model"),
        "langfuse.observation.model.parameters": _json({name: fields.get(name) for name in _PARAMETERS}),
        "langfuse.observation.usage_details": _json(_usage(fields)),
        "langfuse.observation.cost_details": None if cost is None else _json({"total": cost}),
        "langfuse.observation.completion_start_time": None if first is None else _json(_at(started + first / 1000)),
        "langfuse.observation.input": fields.get("prompt"),
        "langfuse.observation.output": _texts(fields.get("response")),
        "langfuse.internal.as_root": None if fields.get("trace_id") else True,
        "user.id": fields.get("user_id"),
        "session.id": fields.get("conversation_id"),
        "langfuse.trace.tags": fields.get("tags"),
        **{f"langfuse.observation.metadata.{name}": _texts(fields.get(name)) for name in _METADATA},
    }
    return {name: value for name, value in found.items() if value not in (None, "", "null")}


def _usage(fields: Mapping[str, Any]) -> dict[str, int]:
    """In parts that do not overlap: Langfuse adds them up."""
    read, written = count(fields.get("cache_read_tokens")) or 0, count(fields.get("cache_write_tokens")) or 0
    thought = count(fields.get("reasoning_tokens")) or 0
    given, made = count(fields.get("input_tokens")), count(fields.get("output_tokens"))
    parts = {
        "input": None if given is None else max(0, given - read - written),
        "input_cached_tokens": read or None,
        "input_cache_creation": written or None,
        "output": None if made is None else max(0, made - thought),
        "output_reasoning_tokens": thought or None,
        "total": count(fields.get("total_tokens")),
    }
    return {name: value for name, value in parts.items() if value is not None}


def _json(value: Any) -> str | None:
    if isinstance(value, dict):
        value = {name: one for name, one in value.items() if one is not None}
    return json.dumps(value, default=str) if value else None


def _texts(value: Any) -> Any:
    """A value as an attribute may be: what is no plain one, as JSON."""
    return value if isinstance(value, (str, bool, int, float)) or value is None else json.dumps(value, default=str)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
