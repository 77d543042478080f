"""Log records as lines for people."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterable

import orjson

from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.faults import fault
from llmlog.formatters import contents
from llmlog.plain import plain, text_of

__all__ = ["ConsoleFormatter"]


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
            return self._lines(contents.tidied(record, self.formatException))
        except RecursionError:
            pass
        except Exception as error:
            fault("formatting a record", error)
        try:
            return " ".join(map(_indented, contents.certain(record)))
        except RecursionError:
            return contents.STACK_IS_FULL

    def _lines(self, record: logging.LogRecord) -> str:
        message, extras = contents.message_and_extras(record)
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
        error = contents.exception(record.exc_info)
        if not trace and error is not None:
            trace = self.formatException(contents.as_tuple(record.exc_info, error))
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
    return _INVISIBLE.sub(_escaped, contents.text(text))


def _indented(text: object) -> str:
    """Lines after the first do not start where a record starts: a message cannot pass for another record."""
    lines = contents.text(text).split("\n")
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
