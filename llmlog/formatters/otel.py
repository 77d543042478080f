"""OpenTelemetry's log data model as JSON, with the names of its conventions for generative AI.

    {"Timestamp": "2026-01-02T03:04:05.678901Z", "SeverityText": "INFO", "SeverityNumber": 9, "Body": "...",
     "Resource": {"service.name": "shop"}, "InstrumentationScope": {"Name": "llmlog.calls"},
     "EventName": "gen_ai.client.inference.operation.details", "TraceId": "...", "SpanId": "...",
     "Attributes": {"gen_ai.request.model": "gpt-4o-mini", ...}, "SchemaUrl": "..."}

The names at the top are those of the data model. Times are texts: as numbers of nanoseconds they would not survive a
reader whose numbers are doubles, as those of the Collector's JSON parser are.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from llmlog.formatters.contents import BASE, text, timestamp
from llmlog.formatters.names import Taken
from llmlog.semconv import FIELDS, OTEL_EVENTS, OTEL_PROVIDERS, OTEL_SCHEMA

__all__ = ["OTel"]

_Object = dict[str, Any]
_ID = {"TraceId": re.compile("[0-9a-f]{32}"), "SpanId": re.compile("[0-9a-f]{16}")}
_FINISH_REASONS, _STREAM = FIELDS["finish_reason"].otel, FIELDS["streamed"].otel
_TTFT, _PROVIDER = FIELDS["ttft_ms"].otel, FIELDS["provider"].otel
_SEVERITIES = {
    logging.NOTSET: 0, logging.DEBUG: 5, logging.INFO: 9, logging.WARNING: 13, logging.ERROR: 17, logging.CRITICAL: 21,
}  # fmt: skip


class OTel:
    """The record's time, level, logger, message, event and trace at the top; all else of it is an attribute.

    A field without a value is left out. What an application adds keeps its name, unless that is one of the
    conventions' or stands above one (`http`, beside `http.response.status_code`): then it gets an underscore.
    """

    keep: tuple[str, ...] = ("Timestamp", "SeverityText", "SeverityNumber", "Body", "InstrumentationScope")
    mark = FIELDS["truncated"].otel
    inside = "Attributes"

    def __init__(self, constants: Mapping[str, Any]) -> None:
        self._resource = {FIELDS[name].otel if name in FIELDS else name: value for name, value in constants.items()}

    def document(self, record: logging.LogRecord, message: str, extras: _Object) -> _Object:
        """The record in the log data model."""
        level = record.levelno
        attributes: _Object = {}
        made = {
            "Timestamp": timestamp(record.created),
            "ObservedTimestamp": timestamp(time.time()),
            "SeverityText": text(record.levelname),
            "SeverityNumber": _SEVERITIES[level] if level in _SEVERITIES else _severity(level),
            "Body": message,
            "InstrumentationScope": {"Name": text(record.name)},
            "Attributes": attributes,
            "SchemaUrl": OTEL_SCHEMA,
        }
        if self._resource:
            made["Resource"] = self._resource
        others: _Object | None = None
        spelling, special = _SPELLINGS.get, _SPECIAL.get
        for name, value in extras.items():
            if value is None:
                continue
            if (spelled := spelling(name)) is not None:
                attributes[spelled] = value
            elif (put := special(name)) is not None:
                put(value, made, attributes)
            elif "." in name or name in _NAMES.objects:
                others = others or {}
                others[name] = value
            else:
                attributes[name] = value
        if extras.get("event") == "llm.call":
            _cut_short(extras, attributes)
        if "error_stack_trace" in extras and "error_type" in extras:  # a logged exception has a name of its own
            attributes["exception.type"] = extras["error_type"]
        if others:
            _add(others, attributes)
        return made

    def least(self, time: str, level: str, logger: str, message: str) -> _Object:
        """A document of what any record has."""
        scope = {"Name": logger}
        return {"Timestamp": time, "SeverityText": level, "Body": message, "InstrumentationScope": scope}


def _severity(level: int) -> int:
    """Python's levels go by tens, OpenTelemetry's by fours; the three steps above a name are its finer shades."""
    if level < logging.DEBUG:
        return 1
    tens, ones = divmod(min(level, 53), 10)
    return tens * 4 + 1 + min(ones, 3)


def _add(others: _Object, attributes: _Object) -> None:
    for name in sorted(others, key=lambda name: (name.count("."), name)):
        free = name
        if not _NAMES.free(name, attributes):
            free = name.replace(".", "_") + "_"
            while free in attributes:
                free += "_"
        attributes[free] = others[name]


def _cut_short(extras: _Object, attributes: _Object) -> None:
    """A stream that was cut short has no reason from the provider: the conventions' word is `error`."""
    if "finish_reason" in extras:
        reasons, places = attributes.get(_FINISH_REASONS), extras.get("cut_choices")
        if type(reasons) is list and type(places) is list:
            for place in places:
                if type(place) is int:
                    reasons.insert(place, "error")
    elif extras.get("chunks") and extras.get("outcome") != "completed":
        attributes[_FINISH_REASONS] = ["error"]


def _event(value: Any, made: _Object, attributes: _Object) -> None:
    if type(value) is str:
        made["EventName"] = OTEL_EVENTS.get(value, value)
    else:
        attributes["llmlog.event"] = value


def _id(name: str) -> Callable[[Any, _Object, _Object], None]:
    spelling = FIELDS[name].otel
    valid = _ID[spelling].fullmatch

    def put(value: Any, made: _Object, attributes: _Object) -> None:
        if type(value) is str and valid(value):
            made[spelling] = value
        else:
            attributes[f"llmlog.{name}"] = value

    return put


def _of_resource(name: str) -> Callable[[Any, _Object, _Object], None]:
    spelling = FIELDS[name].otel

    def put(value: Any, made: _Object, attributes: _Object) -> None:
        made["Resource"] = {**made.get("Resource", {}), spelling: value}

    return put


def _provider(value: Any, made: _Object, attributes: _Object) -> None:
    attributes[_PROVIDER] = OTEL_PROVIDERS.get(value, value) if type(value) is str else value


def _streamed(value: Any, made: _Object, attributes: _Object) -> None:
    if value is not False:
        attributes[_STREAM] = value


def _seconds(value: Any, made: _Object, attributes: _Object) -> None:
    if type(value) is float or type(value) is int:
        attributes[_TTFT] = round(value / 1000, 6)
    else:
        attributes["llmlog.ttft_ms"] = value


def _finish_reasons(value: Any, made: _Object, attributes: _Object) -> None:
    attributes[_FINISH_REASONS] = list(value) if type(value) is list else [value]


_SPECIAL: dict[str, Callable[[Any, _Object, _Object], None]] = {
    "event": _event,
    "trace_id": _id("trace_id"),
    "span_id": _id("span_id"),
    "service": _of_resource("service"),
    "env": _of_resource("env"),
    "provider": _provider,
    "streamed": _streamed,
    "ttft_ms": _seconds,
    "finish_reason": _finish_reasons,
}
"""Our fields with a place of their own, or another unit or form."""
_SPELLINGS = {
    name: field.otel
    for name, field in FIELDS.items()
    if name not in _SPECIAL and name not in BASE  # an extra of such a name is somebody's own
}
"""The other ones: their names among the attributes."""
_NAMES = Taken([*(field.otel for field in FIELDS.values() if "." in field.otel), "exception.type"])
