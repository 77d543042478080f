"""Filters for any handler or logger of the standard library: what a record bears on its way out."""

from __future__ import annotations

import copy
import logging
import re
import sys
import traceback
from collections.abc import Iterable, Mapping
from typing import Any

from llmlog import context
from llmlog.config import configure
from llmlog.faults import fault
from llmlog.plain import text_of
from llmlog.propagation import trace_of_now
from llmlog.records import CALLS
from llmlog.redaction.engine import WITHHELD, Redactor, current
from llmlog.semconv import STANDARD_ATTRIBUTES

__all__ = ["ContextFilter", "Options", "RedactFilter"]

_MARK = "_llmlog_redacted"
_SPAN_ID = re.compile("[0-9a-f]{16}")


class ContextFilter(logging.Filter):
    """Puts the fields of the current request on every record that passes, as plain attributes.

    What a record has already (`extra=`) wins. Summary records bear the context of their call's start, and are left
    as they are.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """True for every record that the filter's name lets through."""
        if not super().filter(record):
            return False
        if record.name != CALLS:
            attributes = record.__dict__
            try:
                for name, value in {**context.current().attributes(), **_trace()}.items():
                    if name not in attributes:
                        attributes[name] = value
            except Exception as error:
                fault("putting the context on a record", error)
        return True


def _trace() -> dict[str, str]:
    trace = trace_of_now()
    trace.pop("trace_flags", None)
    return trace


class Options(logging.Filter):
    """Lets everything pass: building it is `llmlog.configure(**options)`, so that a plain dictConfig reaches it."""

    def __init__(self, name: str = "", **options: Any) -> None:
        super().__init__(name)
        configure(**options)

    def filter(self, record: logging.LogRecord) -> bool:
        """True."""
        return True


class RedactFilter(logging.Filter):
    """Takes personal data and secrets out of records: message, arguments, extra fields, exception, stack.

    From Python 3.12 on it hands on a redacted copy, and the record itself stays as it is. On 3.11 a filter
    cannot do that: the record is edited, and handlers that come later see the redacted one. The objects that
    the caller logged are never changed. Never raises: a part that fails is withheld.

    Without arguments it uses the redactor that `llmlog.configure(redaction=...)` has set, otherwise its own:
    see `llmlog.redaction.Redactor` for `kinds`, `patterns` and `keys`.
    """

    _copies = sys.version_info >= (3, 12)

    def __init__(
        self,
        name: str = "",
        *,
        kinds: Iterable[str] | None = None,
        patterns: Mapping[str, str | re.Pattern[str]] | None = None,
        keys: Iterable[str] | None = None,
    ) -> None:
        super().__init__(name)
        asked = not (kinds is None and patterns is None and keys is None)
        self._own = Redactor(kinds, patterns=patterns, keys=keys) if asked else None

    def filter(  # type: ignore[override, unused-ignore] # 3.11 knows no other records
        self, record: logging.LogRecord
    ) -> bool | logging.LogRecord:
        """A redacted copy of the record; True where nothing was to do, or the record itself was edited."""
        if not super().filter(record):
            return False
        attributes = record.__dict__
        try:
            redactor = self._own or current()
            if attributes.get(_MARK) == _mark(redactor, attributes):
                return True
            made = _redacted(record, redactor)
            made[_MARK] = _mark(redactor, made)
        except Exception as error:
            made = _withheld(attributes, error)
        unchanged = made.keys() - attributes.keys() <= {_MARK} and all(
            name == _MARK or made.get(name, made) is value for name, value in attributes.items()
        )
        if unchanged:
            attributes[_MARK] = made[_MARK]
            return True
        target = _copy(record) if self._copies else record
        for name in target.__dict__.keys() - made.keys():
            del target.__dict__[name]
        target.__dict__.update(made)
        return target if self._copies else True


def _mark(redactor: Redactor, attributes: Mapping[str, Any]) -> str:
    """Says who has redacted a record, and how many fields it had: those added later are not redacted yet."""
    return f"{redactor.mark}:{len(attributes.keys() - STANDARD_ATTRIBUTES - {_MARK})}"


def _redacted(record: logging.LogRecord, redactor: Redactor) -> dict[str, Any]:
    """The attributes of the record, redacted; the same objects where there was nothing to redact."""
    made: dict[str, Any] = {}
    for name, value in list(record.__dict__.items()):
        if name in STANDARD_ATTRIBUTES or name == _MARK:
            made[name] = value
        else:
            name = redactor.text(name)
            while name in made:  # two names that have become one: keep both values
                name += "_"
            made[name] = value if _is_span_id(name, value) else redactor.field(name, value)
    _redact_message(record, redactor, made)
    _redact_exception(redactor, made)
    for name in ("exc_text", "stack_info", "message"):
        if made.get(name):
            made[name] = redactor.text(made[name])
    return made


def _is_span_id(name: str, value: object) -> bool:
    """One span id in two thousand has digits only, and might pass for the number of a card."""
    return name == "span_id" and type(value) is str and _SPAN_ID.fullmatch(value) is not None


def _redact_message(record: logging.LogRecord, redactor: Redactor, made: dict[str, Any]) -> None:
    msg, args = record.msg, record.args
    has_args = args is not None and args != ()
    if issubclass(type(msg), Mapping):  # as python-json-logger takes it
        made["msg"] = redactor.value(msg)
    else:
        try:
            text = record.getMessage()
        except Exception:  # arguments that do not fit the template
            text = f"{text_of(msg)} (args: {text_of(args)})"
        clean = redactor.text(text)
        if clean is not text or has_args:
            made["msg"] = clean
    if has_args:
        made["args"] = None  # no handler can print what the text no longer shows


def _redact_exception(redactor: Redactor, made: dict[str, Any]) -> None:
    """The exception as text: no formatter can redact what it formats itself."""
    exc_info = made.get("exc_info")
    if not exc_info:
        return
    made["exc_info"] = None
    error = exc_info[1] if isinstance(exc_info, tuple) and len(exc_info) == 3 else exc_info
    if not isinstance(error, BaseException):
        return
    kind = type(error)
    in_module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    made.setdefault("error_type", f"{in_module}{kind.__qualname__}")
    made.setdefault("error_message", redactor.text(text_of(error)))
    if not made.get("exc_text"):  # a formatter has been there already
        try:
            trace = exc_info[2] if exc_info is not error else error.__traceback__
            made["exc_text"] = "".join(traceback.format_exception(kind, error, trace)).rstrip("\n")
        except Exception as failure:
            fault("redacting an exception", failure)
            made["exc_text"] = WITHHELD


def _withheld(attributes: Mapping[str, Any], error: Exception) -> dict[str, Any]:
    """The attributes without anything that the application put into them."""
    try:
        fault("redacting a record", error)
    except RecursionError:  # the stack is full: the record goes on all the same
        pass
    made = {name: value for name, value in attributes.items() if name in STANDARD_ATTRIBUTES}
    made.update(msg=WITHHELD, args=None, exc_info=None, exc_text=None, stack_info=None)
    made.pop("message", None)
    made[_MARK] = ""
    return made


def _copy(record: logging.LogRecord) -> logging.LogRecord:
    try:
        return copy.copy(record)
    except Exception:  # a subclass that cannot be copied
        return logging.makeLogRecord({})
