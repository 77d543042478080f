"""Log records as lines of JSON, in one of three schemas.

Whatever a record holds, one line comes out. First the record is taken as it is; where that fails a tidied copy, plain
data throughout; where that fails too the few things that are certain.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson
from pythonjsonlogger.json import JsonFormatter

from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.faults import fault
from llmlog.formatters import contents
from llmlog.formatters.ecs import ECS
from llmlog.formatters.fitting import fitted
from llmlog.formatters.flat import Flat
from llmlog.formatters.otel import OTel
from llmlog.plain import endless, plain, text_of
from llmlog.semconv import SCHEMAS

__all__ = ["JSONFormatter", "Schema"]

_HOOKS = ("add_fields", "jsonify_log_record", "parse", "process_log_record", "serialize_log_record")
_MIN_BYTES = 512


class Schema(Protocol):
    """How one vocabulary lays a record out."""

    keep: tuple[str, ...]
    """The fields that a short line still has; the first of them is not even cut."""
    mark: str
    """The field that tells that a line was made shorter."""
    inside: str
    """The object that holds the record's own fields; empty where they stand in no other."""

    def document(self, record: logging.LogRecord, message: str, extras: dict[str, Any]) -> dict[str, Any]:
        """The record as one JSON object."""
        ...

    def least(self, time: str, level: str, logger: str, message: str) -> dict[str, Any]:
        """A document of what any record has."""
        ...


_SCHEMAS: dict[str, Callable[[Mapping[str, Any]], Schema]] = dict(zip(SCHEMAS, (Flat, OTel, ECS), strict=True))


class JSONFormatter(JsonFormatter):
    """One record, one line of JSON.

    `schema`: "flat", the names of the table in `llmlog.semconv`; "otel", OpenTelemetry's log data model with the
    names of its GenAI conventions; "ecs", the Elastic Common Schema.

    With any of python-json-logger's own arguments (a format, `rename_fields`, `static_fields`, ...), or in a
    subclass that overrides one of its hooks, the line is the one that python-json-logger's `JsonFormatter`
    writes; only where that would raise, or would not be valid JSON, odd values are written in a plain form.

    `constants`: fields for every line, such as service and env; a record's own fields win over them.
    `max_bytes`: the longest line, in bytes of UTF-8, at least 512. Beyond it the longest texts are cut and
    marked with "…", then the largest fields left out, and `truncated` is true.

    UsageTypeError and UsageValueError (which are TypeError and ValueError) for arguments without a meaning.
    """

    def __init__(
        self,
        fmt: Any = None,
        datefmt: str | None = None,
        style: str = "%",
        validate: bool = True,
        *,
        schema: str = "flat",
        constants: Mapping[str, Any] | None = None,
        max_bytes: int | None = None,
        **python_json_logger: Any,
    ) -> None:
        if not isinstance(schema, str) or schema not in SCHEMAS:
            raise UsageValueError(f"schema is one of {', '.join(map(repr, SCHEMAS))}, got {shown(schema)}")
        own_constants = _checked_constants(constants)
        overridden = any(getattr(type(self), name) is not getattr(JSONFormatter, name) for name in _HOOKS)
        has_format = fmt is not None or datefmt is not None or style != "%"
        self._compatible = bool(python_json_logger) or has_format or overridden
        if self._compatible and schema != "flat":
            raise UsageValueError(
                f"schema {shown(schema)} lays out its own lines, and takes neither a format nor python-json-logger's "
                f"arguments or hooks, got {shown(fmt if has_format else python_json_logger or type(self))}"
            )
        if self._compatible and own_constants:
            static = python_json_logger.get("static_fields") or {}
            python_json_logger["static_fields"] = {**contents.beside(contents.BASE, own_constants), **static}
        super().__init__(fmt, datefmt, style, validate, **python_json_logger)
        self._schema: Schema = _SCHEMAS[schema](own_constants)
        self._max_bytes = _checked_max_bytes(max_bytes, prefix=text_of(self.prefix))

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON. Never raises."""
        try:
            return super().format(record) if self._compatible else self._line(record)
        except Exception:  # odd data in the record: not a fault
            pass
        try:
            tidy = contents.tidied(record, self.formatException)
            if self._compatible:
                try:
                    return super().format(tidy)
                except Exception:  # an option or a hook that fails for any record: what is left is our own
                    pass
            return self._line(tidy)
        except RecursionError:
            pass
        except Exception as error:
            fault("formatting a record", error)
        try:
            return orjson.dumps(self._schema.least(*contents.certain(record))).decode()
        except RecursionError:
            return contents.STACK_IS_FULL

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """python-json-logger's hook: `log_data` as JSON text, and certainly valid JSON."""
        try:
            if endless(log_data):
                log_data = contents.plain_fields(log_data)
            text = super().jsonify_log_record(log_data)
            orjson.loads(text)
        except Exception:
            log_data = contents.plain_fields(log_data)
            try:
                text = super().jsonify_log_record(log_data)
                orjson.loads(text)
            except Exception:
                text = orjson.dumps(log_data).decode()
        if len(text) > self._max_bytes or len(text.encode()) > self._max_bytes:
            text = fitted(contents.plain_fields(log_data), self._max_bytes, keep=(), mark=Flat.mark).decode()
        return text

    def _line(self, record: logging.LogRecord) -> str:
        message, extras = contents.message_and_extras(record)
        if record.exc_info or record.exc_text or record.stack_info:
            extras = contents.with_error(record, extras, self.formatException)
        if endless(extras):
            extras = contents.plain_fields(extras)
        schema = self._schema
        fields = schema.document(record, message, extras)
        try:
            line = orjson.dumps(fields, option=orjson.OPT_PASSTHROUGH_DATACLASS)
        except Exception:
            # No default= callback: while one runs, another thread may change the container that orjson is
            # reading, and the process would crash. plain() takes a copy first.
            fields = contents.plain_fields(fields)
            line = orjson.dumps(fields)
        if len(line) > self._max_bytes:
            line = fitted(
                contents.plain_fields(fields),
                self._max_bytes,
                keep=schema.keep,
                whole=schema.keep[0],
                mark=schema.mark,
                inside=schema.inside,
            )
        return line.decode()


def _checked_constants(constants: Mapping[str, Any] | None) -> dict[str, Any]:
    if constants is None:
        return {}
    if not isinstance(constants, Mapping):
        raise UsageTypeError(f"constants are a mapping of fields and their values, got {shown(constants)}")
    return {name: value for name, value in plain(constants).items() if value is not None}


def _checked_max_bytes(max_bytes: int | None, prefix: str) -> int:
    if max_bytes is None:
        return sys.maxsize
    if type(max_bytes) is not int:
        raise UsageTypeError(f"max_bytes is a whole number or None, got {shown(max_bytes)}")
    left = max_bytes - len(prefix.encode())
    if left < _MIN_BYTES:
        raise UsageValueError(f"max_bytes is at least {_MIN_BYTES}, a prefix not counted, got {max_bytes}")
    return left
