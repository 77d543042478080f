"""Log records as lines: JSON for machines, and a plain layout for people.

Whatever a record holds, one line comes out. Each formatter first takes the record as it is; where that fails
it takes a tidied copy, plain data throughout; where that fails too it writes the few things that are certain.
"""

from __future__ import annotations

import datetime
import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson
from pythonjsonlogger.json import JsonFormatter

from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.faults import fault
from llmlog.plain import endless, plain, text_of
from llmlog.semconv import STANDARD_ATTRIBUTES

__all__ = ["ConsoleFormatter", "JSONFormatter"]

_BASE = ("timestamp", "level", "logger", "message")
_HOOKS = ("add_fields", "jsonify_log_record", "parse", "process_log_record", "serialize_log_record")
_MIN_BYTES = 512
_SHORT = 64  # a text of up to this many characters is an id or a name: the last thing to cut


class JSONFormatter(JsonFormatter):
    """One record, one line of JSON, in the flat schema of `llmlog.semconv`.

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
        if schema != "flat":
            raise UsageValueError(f"schema is 'flat', the only one so far, got {shown(schema)}")
        own_constants = _checked_constants(constants)
        overridden = any(getattr(type(self), name) is not getattr(JSONFormatter, name) for name in _HOOKS)
        has_format = fmt is not None or datefmt is not None or style != "%"
        self._compatible = bool(python_json_logger) or has_format or overridden
        if self._compatible and own_constants:
            static = python_json_logger.get("static_fields") or {}
            python_json_logger["static_fields"] = {**own_constants, **static}
        super().__init__(fmt, datefmt, style, validate, **python_json_logger)
        self._constants = own_constants
        self._max_bytes = _checked_max_bytes(max_bytes, prefix=text_of(self.prefix))

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON. Never raises."""
        try:
            return super().format(record) if self._compatible else self._flat(record)
        except Exception:  # odd data in the record: not a fault
            pass
        try:
            tidy = _tidied(record, self.formatException)
            if self._compatible:
                try:
                    return super().format(tidy)
                except Exception:  # an option or a hook that fails for any record: what is left is our own
                    pass
            return self._flat(tidy)
        except RecursionError:
            pass
        except Exception as error:
            fault("formatting a record", error)
        try:
            return orjson.dumps(_certain(record)).decode()
        except RecursionError:
            return _STACK_IS_FULL

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """python-json-logger's hook: `log_data` as JSON text, and certainly valid JSON."""
        try:
            if endless(log_data):
                log_data = _plain_fields(log_data)
            text = super().jsonify_log_record(log_data)
            orjson.loads(text)
        except Exception:
            log_data = _plain_fields(log_data)
            try:
                text = super().jsonify_log_record(log_data)
                orjson.loads(text)
            except Exception:
                text = orjson.dumps(log_data).decode()
        if len(text) > self._max_bytes or len(text.encode()) > self._max_bytes:
            text = _fitted(_plain_fields(log_data), self._max_bytes, keep=()).decode()
        return text

    def _flat(self, record: logging.LogRecord) -> str:
        fields = self._fields(record)
        if endless(fields):
            fields = _plain_fields(fields)
        try:
            line = orjson.dumps(fields, option=orjson.OPT_PASSTHROUGH_DATACLASS)
        except Exception:
            # No default= callback: while one runs, another thread may change the container that orjson is
            # reading, and the process would crash. plain() takes a copy first.
            fields = _plain_fields(fields)
            line = orjson.dumps(fields)
        if len(line) > self._max_bytes:
            line = _fitted(_plain_fields(fields), self._max_bytes, keep=_BASE)
        return line.decode()

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        message, extras = _message_and_extras(record)
        if "timestamp" in extras or "level" in extras or "logger" in extras or "message" in extras:
            extras = _beside(_BASE, extras)
        fields = {
            "timestamp": _timestamp(record.created),
            "level": _text(record.levelname),
            "logger": _text(record.name),
            "message": message,
            **self._constants,
            **extras,
        }
        if record.exc_info or record.exc_text:
            error = _exception(record.exc_info)
            trace: Any = record.exc_text
            if error is not None:
                fields.setdefault("error_type", _qualified_name(type(error)))
                fields.setdefault("error_message", text_of(error))
                trace = trace or self.formatException(_as_tuple(record.exc_info, error))
            if trace:
                fields.setdefault("error_stack_trace", trace)
        if record.stack_info:
            fields.setdefault("stack_info", record.stack_info)
        return fields


class ConsoleFormatter(logging.Formatter):
    """A line for people: time, level, logger, message and the extra fields, with the traceback below.

    `colors`: None for colours where stderr is a terminal and NO_COLOR is not set. `fields`: the names of the
    fields to show, in this order; None for all, and for a chosen few of the record of an LLM call, whose
    message says the rest. Control characters are escaped, so that no value can forge a line.
    """

    default_time_format = "%H:%M:%S"
    default_msec_format = "%s.%03d"

    def __init__(
        self,
        fmt: None = None,
        datefmt: str | None = None,
        style: str = "%",
        validate: bool = True,
        *,
        colors: bool | None = None,
        fields: Iterable[str] | None = None,
    ) -> None:
        if fmt is not None:
            raise UsageValueError(f"ConsoleFormatter has a layout of its own and takes no format, got {shown(fmt)}")
        if isinstance(fields, str) or not (fields is None or isinstance(fields, Iterable)):
            raise UsageTypeError(f"fields are names of fields, such as ['request_id'], got {shown(fields)}")
        super().__init__(None, datefmt)
        self._fields = None if fields is None else tuple(fields)
        self._colors = _on_a_terminal() if colors is None else colors

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line, and its traceback below. Never raises."""
        try:
            return self._lines(record)
        except Exception:  # odd data in the record: not a fault
            pass
        try:
            return self._lines(_tidied(record, self.formatException))
        except RecursionError:
            pass
        except Exception as error:
            fault("formatting a record", error)
        try:
            return " ".join(map(_indented, _certain(record).values()))
        except RecursionError:
            return _STACK_IS_FULL

    def _lines(self, record: logging.LogRecord) -> str:
        message, extras = _message_and_extras(record)
        names: Iterable[str] | None = self._fields
        if names is None:
            names = _CALL_FIELDS if extras.get("event") == "llm.call" else extras
        attributes = record.__dict__
        details = " ".join(
            f"{_visible(name)}={_value(extras[name] if name in extras else attributes[name])}"
            for name in names
            if name in extras or name in attributes
        )
        level = f"{record.levelname:<7}"
        if self._colors:
            level = f"{_LEVEL_COLORS.get(record.levelno, '')}{level}{_PLAIN}"
            details = details and f"{_DIM}{details}{_PLAIN}"
        parts = (self.formatTime(record, self.datefmt), level, _visible(record.name), _indented(message))
        text = " ".join(parts[:3]) + "  " + parts[3] + (f"  {details}" if details else "")
        trace = record.exc_text
        error = _exception(record.exc_info)
        if not trace and error is not None:
            trace = self.formatException(_as_tuple(record.exc_info, error))
        for below in (trace, record.stack_info):
            if below:
                text += "\n    " + _indented(below)
        return text


_CALL_FIELDS = (
    "request_id", "user_id", "conversation_id", "feature", "prompt_name", "prompt_version", "outcome",
    "ended_by", "finish_reason", "refused", "content_filtered", "attempt", "ttft_ms", "usage_source",
    "tool_names", "tool_arguments", "error_type", "http_status", "unread_chunks", "prompt", "response",
)  # fmt: skip
"""What the message of an LLM call's record does not say, and a person wants to see."""

_MAX_VALUE = 200
_PLAIN, _DIM = "\x1b[0m", "\x1b[2m"
_LEVEL_COLORS = {
    logging.DEBUG: "\x1b[36m",
    logging.INFO: "\x1b[32m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[1;31m",
}
# Controls, line separators, marks that reverse the direction of text, lone surrogates.
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_NEEDS_QUOTES = re.compile(r'[\s"=]|^$')


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def _visible(text: object) -> str:
    return _INVISIBLE.sub(_escaped, _text(text))


def _indented(text: object) -> str:
    """Lines after the first do not start where a record starts: a message cannot pass for another record."""
    lines = _text(text).split("\n")
    return "\n    ".join(["\t".join(map(_visible, line.split("\t"))) for line in lines])


def _value(value: object) -> str:
    quoted = isinstance(value, str)
    text = text_of(value) if quoted else orjson.dumps(plain(value)).decode()
    text = _visible(text if len(text) <= _MAX_VALUE else text[:_MAX_VALUE] + "…")
    if quoted and _NEEDS_QUOTES.search(text):
        text = '"' + text.replace('"', '\\"') + '"'
    return text


def _on_a_terminal() -> bool:
    try:
        return sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    except (AttributeError, ValueError):  # a program without stderr, or with a closed one
        return False


def _checked_constants(constants: Mapping[str, Any] | None) -> dict[str, Any]:
    if constants is None:
        return {}
    if not isinstance(constants, Mapping):
        raise UsageTypeError(f"constants are a mapping of fields and their values, got {shown(constants)}")
    return _beside(_BASE, {name: value for name, value in plain(constants).items() if value is not None})


def _checked_max_bytes(max_bytes: int | None, prefix: str) -> int:
    if max_bytes is None:
        return sys.maxsize
    if type(max_bytes) is not int:
        raise UsageTypeError(f"max_bytes is a whole number or None, got {shown(max_bytes)}")
    left = max_bytes - len(prefix.encode())
    if left < _MIN_BYTES:
        raise UsageValueError(f"max_bytes is at least {_MIN_BYTES}, a prefix not counted, got {max_bytes}")
    return left


def _message_and_extras(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    extras = {k: v for k, v in record.__dict__.items() if k not in STANDARD_ATTRIBUTES and k[:1] != "_"}
    if issubclass(type(record.msg), dict):
        extras = {**record.msg, **extras}  # type: ignore[dict-item] # a LogRecord's msg may be any object
        message: Any = extras.pop("message", "")
    else:
        message = record.getMessage()
    return _text(message), extras


def _text(value: Any) -> str:
    return value if type(value) is str else text_of(value)


def _plain_fields(fields: dict[str, Any]) -> dict[str, Any]:
    made = plain(dict(fields))
    if type(made) is not dict:  # plain() answers a full stack, too, with a text
        raise RecursionError
    return made


def _beside(taken: Iterable[str], fields: dict[str, Any]) -> dict[str, Any]:
    """`fields`, with a trailing underscore (or more) to the names that are taken."""
    made: dict[str, Any] = {}
    for own_name, value in fields.items():
        name = own_name
        while name in taken or (name != own_name and name in fields):
            name += "_"
        made[name] = value
    return made


_second: tuple[int, str] = (-1, "")


def _timestamp(created: float) -> str:
    """RFC 3339, UTC. The text of the current second is kept: most records share it with the one before."""
    global _second
    seconds, microseconds = divmod(round(created * 1_000_000), 1_000_000)
    known, text = _second
    if seconds != known:
        text = datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()[:19]
        _second = seconds, text  # one assignment: no thread sees half of it
    return f"{text}.{microseconds:06d}Z"


def _exception(exc_info: object) -> BaseException | None:
    if issubclass(type(exc_info), tuple) and len(exc_info) == 3:  # type: ignore[arg-type]
        exc_info = exc_info[1]  # type: ignore[index]
    return exc_info if issubclass(type(exc_info), BaseException) else None  # type: ignore[return-value]


def _as_tuple(exc_info: Any, error: BaseException) -> Any:
    return (type(error), error, error.__traceback__) if exc_info is error else exc_info


def _qualified_name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _tidied(record: logging.LogRecord, format_exception: Callable[[Any], Any]) -> logging.LogRecord:
    """The same record as plain data: whatever can be said of it, in types that every formatter can write."""
    attributes = dict(record.__dict__)  # in one step: another thread may be adding to it
    msg, args, exc_info = (attributes.pop(name, None) for name in ("msg", "args", "exc_info"))
    tidy = logging.LogRecord("", logging.NOTSET, "", 0, "", None, None)
    tidy.__dict__.update(_plain_fields(attributes))
    tidy.name, tidy.levelname = text_of(tidy.name), text_of(tidy.levelname)
    tidy.msg = _plain_fields(msg) if issubclass(type(msg), dict) else _message(record, msg, args)
    error = _exception(exc_info)
    if error is not None:
        tidy.__dict__.setdefault("error_type", text_of(_qualified_name(type(error))))
        tidy.__dict__.setdefault("error_message", text_of(error))
        tidy.exc_text = tidy.exc_text or plain(_trace(exc_info, error, format_exception))
    if type(tidy.levelno) is not int:
        tidy.levelno = logging.NOTSET
    try:
        _timestamp(tidy.created)
        tidy.msecs = float(tidy.msecs)
    except Exception:
        tidy.created = time.time()
        tidy.msecs = tidy.created % 1 * 1000
    return tidy


def _message(record: logging.LogRecord, msg: object, args: object) -> str:
    """The message; where it cannot be made, the template and what was to go into it."""
    try:
        return text_of(record.getMessage())
    except Exception:
        template, parts = text_of(msg), plain(args)
        return f"{template} (args: {orjson.dumps(parts).decode()})" if parts else template


def _certain(record: logging.LogRecord) -> dict[str, str]:
    """What any record has."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    texts = (now, *(text_of(value)[:100] for value in (record.levelname, record.name, record.msg)))
    return dict(zip(_BASE, texts, strict=True))


_STACK_IS_FULL = '{"message":"a log record could not be written: the stack is full"}'


def _trace(exc_info: Any, error: BaseException, format_exception: Callable[[Any], Any]) -> Any:
    try:
        return format_exception(_as_tuple(exc_info, error))
    except Exception:  # a broken cause, note or source line: the place where it was raised is still known
        places = traceback.format_tb(error.__traceback__)
        return "".join([*places, f"{_qualified_name(type(error))}: {text_of(error)}"])


def _fitted(fields: dict[str, Any], max_bytes: int, keep: tuple[str, ...]) -> bytes:
    """`fields`, plain data, in at most `max_bytes`: long texts cut, then the largest fields left out."""
    kept = {**_beside(("truncated",), fields), "truncated": True}

    def dumped(names: Iterable[str], limit: int) -> bytes:
        return orjson.dumps({k: kept[k] if k == "timestamp" else _cut(kept[k], limit) for k in names})

    shortest = {name: len(dumped((name,), _SHORT)) - 1 for name in kept}
    excess = 1 + sum(shortest.values()) - max_bytes
    for name in sorted(kept.keys() - {*keep, "truncated"}, key=lambda name: (-shortest[name], name)):
        if excess <= 0:
            break
        excess -= shortest[name]
        del kept[name]
    low, high = (_SHORT if excess <= 0 else _SHORT // 4), max_bytes
    line = dumped(kept, low)
    while high - low > 8:  # the longest texts that still fit
        middle = (low + high) // 2
        longer = dumped(kept, middle)
        if len(longer) <= max_bytes:
            low, line = middle, longer
        else:
            high = middle
    return line


def _cut(value: Any, limit: int) -> Any:
    kind = type(value)
    if kind is str:
        return value if len(value) <= limit else value[:limit] + "…"
    if kind is dict:
        return {name: _cut(item, limit) for name, item in value.items()}
    if kind is list:
        return [_cut(item, limit) for item in value]
    return value
