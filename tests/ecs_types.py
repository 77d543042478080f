"""What Elasticsearch would say of an ECS document: the types of the fields that llmlog writes, as facts of ECS 9."""

from __future__ import annotations

import datetime
from typing import Any

from llmlog.semconv import FIELDS

TYPES = {
    "@timestamp": "date", "client.address": "keyword", "ecs.version": "keyword", "error.message": "match_only_text",
    "error.stack_trace": "wildcard", "error.type": "keyword", "event.action": "keyword", "event.duration": "long",
    "event.id": "keyword", "event.kind": "keyword", "gen_ai.operation.name": "keyword",
    "gen_ai.provider.name": "keyword", "gen_ai.request.choice.count": "integer",
    "gen_ai.request.frequency_penalty": "double", "gen_ai.request.max_tokens": "integer",
    "gen_ai.request.model": "keyword", "gen_ai.request.presence_penalty": "double", "gen_ai.request.seed": "integer",
    "gen_ai.request.temperature": "double", "gen_ai.request.top_k": "double", "gen_ai.request.top_p": "double",
    "gen_ai.response.finish_reasons": "nested", "gen_ai.response.id": "keyword", "gen_ai.response.model": "keyword",
    "gen_ai.usage.input_tokens": "integer", "gen_ai.usage.output_tokens": "integer", "gen_ai.tool.call.id": "keyword",
    "gen_ai.tool.name": "keyword", "http.request.body.bytes": "long", "http.request.method": "keyword",
    "http.response.body.bytes": "long", "http.response.status_code": "long", "http.version": "keyword",
    "log.level": "keyword", "log.logger": "keyword", "message": "match_only_text", "service.environment": "keyword",
    "service.name": "keyword", "service.version": "keyword", "span.id": "keyword", "tags": "keyword",
    "trace.id": "keyword", "url.path": "wildcard", "user.id": "keyword",
}  # fmt: skip
"""ECS' own."""
OURS = {field.ecs: field.elasticsearch for field in FIELDS.values() if field.ecs.startswith("llmlog.")}
"""Of an index with llmlog's mapping."""
_LIMITS = {"integer": 31, "long": 63}


def problems(document: dict[str, Any]) -> list[str]:
    """What of `document`, as parsed from its line, an index with these mappings would refuse."""
    found = []
    for name, value in document.items():
        kind = TYPES.get(name) or OURS.get(name) or ("keyword" if name.startswith("labels.") else None)
        if name == "llmlog.finish_reason":
            kind = "keyword"
        if not all(part.strip() for part in name.split(".")):
            found.append(f"{name!r} has an empty part")
        if kind is not None and not _fits(kind, value):
            found.append(f"{name} is {kind}, not {value!r}")
        found += [
            f"{name} is a value, {other} makes it an object" for other in document if other.startswith(f"{name}.")
        ]
        if name.startswith("llmlog.") and kind is None:
            found.append(f"{name} is not in the table")
    return found


def _fits(kind: str, value: Any) -> bool:
    if kind == "nested":
        return isinstance(value, list) and all(isinstance(item, dict) for item in value)
    if isinstance(value, list):
        return all(_fits(kind, item) for item in value)
    if value is None:
        return True
    if kind in _LIMITS:
        return type(value) is int and -(1 << _LIMITS[kind]) <= value < 1 << _LIMITS[kind]
    if kind == "double":
        return type(value) in (int, float)
    if kind == "boolean":
        return type(value) is bool
    if kind == "date":
        return datetime.datetime.fromisoformat(value).tzinfo is datetime.UTC
    if kind == "keyword":
        return type(value) in (str, int, float, bool)
    return type(value) is str
