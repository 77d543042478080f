"""The Elastic Common Schema: flat dotted names, each value of the type that ECS gives the name.

A value of another type would cost the whole document: Elasticsearch refuses it. So what does not fit its name is kept
as a label, and so is what an application adds, unless it is spelled in ECS' own names (`http.request.method`, or an
object `http`). A label is a keyword, whatever its value, so no two documents can disagree about one.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

import orjson

from llmlog.formatters.contents import BASE, text, timestamp
from llmlog.formatters.names import Taken
from llmlog.plain import plain
from llmlog.semconv import ECS_VERSION, FIELDS, OTEL_PROVIDERS

__all__ = ["ECS", "TYPES"]

_ROOTS = frozenset({
    "agent", "as", "client", "cloud", "code_signature", "container", "data_stream", "destination", "device", "dll",
    "dns", "ecs", "elf", "email", "entity", "error", "event", "faas", "file", "gen_ai", "geo", "group", "hash",
    "host", "http", "interface", "log", "macho", "network", "observer", "orchestrator", "organization", "os",
    "package", "pe", "process", "registry", "related", "risk", "rule", "server", "service", "source", "span",
    "threat", "tls", "trace", "transaction", "url", "user", "user_agent", "vlan", "volume", "vulnerability", "x509",
})  # fmt: skip
"""The objects that ECS has at its top."""
_SCALARS = frozenset({str, int, float, bool})
_LEAST, _MOST = -(2**63), 2**63 - 1  # of a long
_FINISH_REASONS, _FINISH_REASON = FIELDS["finish_reason"].ecs, "llmlog.finish_reason"


class ECS:
    """One level of dotted names; `labels` for what has no name in ECS and is not ours."""

    keep: tuple[str, ...] = ("@timestamp", "log.level", "message", "ecs.version", "log.logger")
    mark = FIELDS["truncated"].ecs
    inside = ""

    def __init__(self, constants: Mapping[str, Any]) -> None:
        self._constants = dict(constants)

    def document(self, record: logging.LogRecord, message: str, extras: dict[str, Any]) -> dict[str, Any]:
        """The record as an ECS document."""
        made: dict[str, Any] = {
            "@timestamp": timestamp(record.created),
            "log.level": text(record.levelname).lower(),
            "message": message,
            "ecs.version": ECS_VERSION,
            "log.logger": text(record.name),
        }
        if self._constants:
            extras = {**self._constants, **extras}
        others: dict[str, Any] | None = None
        table = _TABLE.get
        for name, value in extras.items():
            if value is None:
                continue
            if (known := table(name)) is not None:
                spelling, kind, fit = known
                if type(value) is kind and (kind is not int or _LEAST <= value <= _MOST):
                    made[spelling] = value
                    continue
                value = fit(value)
                if value is not None:
                    made[spelling] = value
                    continue
                value = extras[name]
            elif type(value) in _SCALARS and "." not in name and name and not name.isspace():
                made[f"labels.{name}"] = value
                continue
            others = others or {}
            others[name] = value
        if nested := made.get(_FINISH_REASONS):  # no chart can use what is nested: once more, as words
            made[_FINISH_REASON] = [entry["reason"] for entry in nested]
        if others:
            _add(others, made)
        return made

    def least(self, time: str, level: str, logger: str, message: str) -> dict[str, Any]:
        """A document of what any record has."""
        values = (time, level.lower(), message, ECS_VERSION, logger)
        return dict(zip(self.keep, values, strict=True))


def _add(others: dict[str, Any], made: dict[str, Any]) -> None:
    """What an application spells as ECS does goes to its place, where that is free; the rest are labels."""
    leaves: list[tuple[str, Any]] = []
    for name, given in others.items():
        value = plain(given)
        if name == "labels" and type(value) is dict:
            for key, item in value.items():
                _label(key, item, made)
        elif name.startswith("labels."):
            _label(name.removeprefix("labels."), value, made)
        elif name == "tags" and (words := _keyword(value)) is not None:
            made["tags"] = words
        elif name.partition(".")[0] in _ROOTS and ("." in name or (type(value) is dict and value)):
            leaves += _leaves(name, value)
        else:
            _label(name, value, made)
    for name, value in sorted(leaves, key=lambda leaf: (leaf[0].count("."), leaf[0])):
        if all(map(str.strip, name.split("."))) and _NAMES.free(name, made):
            fit = _FITS.get(name)
            fitted = value if fit is None else fit(value)
            if fitted is not None:
                made[name] = fitted
                continue
        _label(name, value, made)


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if type(value) is dict and value:
        for key, item in value.items():
            yield from _leaves(f"{name}.{key}", item)
    elif value is not None:
        yield name, value


def _label(name: str, value: Any, made: dict[str, Any]) -> None:
    """A label's name has no dots, and its value is a word, a number, or a list of them."""
    if value is None:
        return
    key = "labels." + (name.strip().replace(".", "_") or "_")
    while key in made:
        key += "_"
    words = _keyword(value)
    made[key] = orjson.dumps(value).decode() if words is None else words


def _keyword(value: Any) -> Any:
    if type(value) in _SCALARS:
        return value
    if type(value) is list and _SCALARS.issuperset(map(type, value)):
        return value
    return None


def _provider(value: Any) -> Any:
    return OTEL_PROVIDERS.get(value, value) if type(value) is str else _keyword(value)


def _text(value: Any) -> Any:
    return text(value) if type(value) in _SCALARS else None


def _whole_number(bits: int) -> Callable[[Any], Any]:
    limit = 1 << (bits - 1)

    def fit(value: Any) -> Any:
        return value if type(value) is int and -limit <= value < limit else None

    return fit


def _number(value: Any) -> Any:
    return value if type(value) in (int, float) and -1e300 < value < 1e300 else None


def _boolean(value: Any) -> Any:
    return value if type(value) is bool else None


def _nanoseconds(milliseconds: Any) -> Any:
    if type(milliseconds) in (int, float) and math.isfinite(milliseconds) and 0 <= milliseconds < 1e12:
        return round(milliseconds * 1_000_000)
    return None


def _date(value: Any) -> Any:
    try:
        return datetime.fromisoformat(value).isoformat()
    except (TypeError, ValueError):
        return None


def _reasons(value: Any) -> Any:
    """ECS maps the reasons as nested: each is an object."""
    reasons = value if type(value) is list else [value]
    if not all(type(reason) is str or reason is None for reason in reasons):
        return None
    return [{"reason": reason} for reason in reasons if reason is not None]


_FIT: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "keyword": (str, _keyword),
    "text": (str, _text),
    "wildcard": (str, _text),
    "boolean": (bool, _boolean),
    "double": (float, _number),
    "long": (int, _whole_number(64)),
    "integer": (None, _whole_number(32)),
    "date": (None, _date),
    "nested": (None, _reasons),
}
"""Types of Elasticsearch: the Python type that fits (whole numbers: within a long's limits; None: each has to be looked
at), and what makes another value fit, or says by None that it cannot."""

_OTHERS = {
    **dict.fromkeys(("max_tokens", "seed", "choice_count", "input_tokens", "output_tokens"), "integer"),
    "error_stack_trace": "wildcard",
    "latency_ms": "long",
    "finish_reason": "nested",
}
"""Where ECS has another type than the table in `llmlog.semconv`."""

TYPES: dict[str, str] = {
    **{field.ecs: _OTHERS.get(name, field.elasticsearch) for name, field in FIELDS.items()},
    "ecs.version": "keyword",
    _FINISH_REASON: "keyword",
    "tags": "keyword",
}
"""What an index's mapping has to say of our fields: their names in ECS, and their types. `labels.*` are keywords."""

_TABLE: dict[str, tuple[str, Any, Callable[[Any], Any]]] = {
    **{
        name: (field.ecs, *_FIT[TYPES[field.ecs]])
        for name, field in FIELDS.items()
        if name not in BASE  # an extra of such a name is somebody's own
    },
    "latency_ms": (FIELDS["latency_ms"].ecs, None, _nanoseconds),
    "provider": (FIELDS["provider"].ecs, None, _provider),
}
"""Our fields: the name in ECS, and what fits it."""
_FITS: dict[str, Callable[[Any], Any]] = {
    **{spelling: fit for spelling, _, fit in _TABLE.values()},
    FIELDS["latency_ms"].ecs: _whole_number(64),  # from an application that has the unit right already
}
_NAMES = Taken([*TYPES, "labels"])
