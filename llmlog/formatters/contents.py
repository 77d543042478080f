"""What a record holds, whatever was put into it: its message, its fields, its error, as data that can be written."""

from __future__ import annotations

import datetime
import logging
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from llmlog.plain import plain, text_of, type_name
from llmlog.semconv import FIELDS, STANDARD_ATTRIBUTES

__all__ = [
    "BASE", "STACK_IS_FULL", "as_tuple", "beside", "certain", "exception", "message_and_extras", "plain_fields",
    "text", "tidied", "timestamp", "with_error",
]  # fmt: skip

BASE = ("timestamp", "level", "logger", "message")
"""What any line of the flat schema begins with."""
STACK_IS_FULL = '{"message":"a log record could not be written: the stack is full"}'
"""The line where nothing else could be made."""

_OURS = FIELDS.keys() - STANDARD_ATTRIBUTES
_LEFT_OUT = STANDARD_ATTRIBUTES | {"color_message"}  # uvicorn's: its message once more, with a terminal's escapes


def message_and_extras(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    """The message, and the fields beside it: those of `extra=`, of a dict as message, of the filters."""
    extras = {k: v for k, v in record.__dict__.items() if k in _OURS or (k not in _LEFT_OUT and k[:1] != "_")}
    if issubclass(type(record.msg), dict):
        extras = {**record.msg, **extras}  # type: ignore[dict-item] # a LogRecord's msg may be any object
        message: Any = extras.pop("message", "")
    else:
        message = record.getMessage()
    return text(message), extras


def text(value: Any) -> str:
    """`value` as text; the quick way for what is text already."""
    return value if type(value) is str else text_of(value)


def plain_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """The same fields as plain data."""
    made = plain(dict(fields))
    if type(made) is not dict:  # plain() answers a full stack, too, with a text
        raise RecursionError
    return made


def with_error(
    record: logging.LogRecord, extras: dict[str, Any], format_exception: Callable[[Any], Any]
) -> dict[str, Any]:
    """`extras`, with the exception and the stack of the record; what is there already is believed."""
    if record.exc_info or record.exc_text:
        error = exception(record.exc_info)
        trace: Any = record.exc_text
        if error is not None:
            extras.setdefault("error_type", type_name(type(error)))
            extras.setdefault("error_message", text_of(error))
            trace = trace or format_exception(as_tuple(record.exc_info, error))
        if trace:
            extras.setdefault("error_stack_trace", trace)
    if record.stack_info:
        extras.setdefault("stack_info", record.stack_info)
    return extras


def beside(taken: Iterable[str], fields: dict[str, Any]) -> dict[str, Any]:
    """`fields`, with a trailing underscore (or more) to the names that are taken."""
    made: dict[str, Any] = {}
    for own_name, value in fields.items():
        name = own_name
        while name in taken or (name != own_name and name in fields):
            name += "_"
        made[name] = value
    return made


_seconds: dict[int, str] = {}


def timestamp(created: float) -> str:
    """RFC 3339, UTC. The texts of a few seconds are kept: most records share theirs with the one before."""
    seconds, microseconds = divmod(round(created * 1_000_000), 1_000_000)
    text = _seconds.get(seconds)
    if text is None:
        text = datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()[:19]
        if len(_seconds) > 8:
            _seconds.clear()
        _seconds[seconds] = text
    return f"{text}.{microseconds:06d}Z"


def exception(exc_info: object) -> BaseException | None:
    """The exception that a record holds, alone or in the usual triple."""
    if issubclass(type(exc_info), tuple) and len(exc_info) == 3:  # type: ignore[arg-type]
        exc_info = exc_info[1]  # type: ignore[index]
    return exc_info if issubclass(type(exc_info), BaseException) else None  # type: ignore[return-value]


def as_tuple(exc_info: Any, error: BaseException) -> Any:
    """The usual triple."""
    return (type(error), error, error.__traceback__) if exc_info is error else exc_info


def tidied(record: logging.LogRecord, format_exception: Callable[[Any], Any]) -> logging.LogRecord:
    """The same record as plain data: whatever can be said of it, in types that every formatter can write."""
    attributes = dict(record.__dict__)  # in one step: another thread may be adding to it
    msg, args, exc_info = (attributes.pop(name, None) for name in ("msg", "args", "exc_info"))
    tidy = logging.LogRecord("", logging.NOTSET, "", 0, "", None, None)
    tidy.__dict__.update(plain_fields(attributes))
    tidy.name, tidy.levelname = text_of(tidy.name), text_of(tidy.levelname)
    tidy.msg = plain_fields(msg) if issubclass(type(msg), dict) else _message(record, msg, args)
    error = exception(exc_info)
    if error is not None:
        tidy.__dict__.setdefault("error_type", text_of(type_name(type(error))))
        tidy.__dict__.setdefault("error_message", text_of(error))
        tidy.exc_text = tidy.exc_text or plain(_trace(exc_info, error, format_exception))
    if type(tidy.levelno) is not int:
        tidy.levelno = logging.NOTSET
    try:
        timestamp(tidy.created)
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


def certain(record: logging.LogRecord) -> tuple[str, str, str, str]:
    """What any record has: a time, a level, a logger and a message, each as a short text."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    level, logger, message = (text_of(value)[:100] for value in (record.levelname, record.name, record.msg))
    return now, level, logger, message


def _trace(exc_info: Any, error: BaseException, format_exception: Callable[[Any], Any]) -> Any:
    try:
        return format_exception(as_tuple(exc_info, error))
    except Exception:  # a broken cause, note or source line: the place where it was raised is still known
        places = traceback.format_tb(error.__traceback__)
        return "".join([*places, f"{type_name(type(error))}: {text_of(error)}"])
