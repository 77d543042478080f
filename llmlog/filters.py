"""Filters for any handler or logger of the standard library: what a record bears on its way out."""

from __future__ import annotations

import copy
import logging
import os
import re
import sys
import threading
import traceback
import weakref
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from llmlog import context
from llmlog.config import configure
from llmlog.faults import fault, notice
from llmlog.plain import plain, text_of, type_name
from llmlog.propagation import trace_of_now
from llmlog.records import CALLS
from llmlog.redaction import REDACTED, WITHHELD, Redactor, build, current
from llmlog.redaction.analysers import Analyser, presidio
from llmlog.redaction.options import resolved
from llmlog.redaction.ways import DROPPED
from llmlog.semconv import STANDARD_ATTRIBUTES

__all__ = ["ContextFilter", "Options", "RedactFilter"]

_MARK = "_llmlog_redacted"
_PASSED = STANDARD_ATTRIBUTES | {_MARK}
_SPAN_ID = re.compile("[0-9a-f]{16}")
_MADE_BY_FORMATTERS = frozenset({_MARK, "message", "asctime"})
_ON_THE_PATH = (
    "RedactFilter(analyser=...) stands where records are logged; it is run only behind a queue, by a QueueListener"
)
_NAMES = ("name", "pathname", "filename", "module", "funcName", "threadName", "processName", "taskName")
_CHANGEABLE = (dict, list, set, bytearray, deque)


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

    Without arguments it uses the redactor that `llmlog.configure(redaction=...)` has set, otherwise its own: see
    `llmlog.redaction.Redactor` for `kinds`, `patterns`, `keys`, `detectors`, `replace`, `allow`, `allow_patterns` and
    `hash_keys`.

    `analyser`: a function from a text to spans, or its dotted path, or "presidio", for what takes a language model to
    find, names above all. It is slow, so it is run only where nobody waits for it: on a handler behind a queue
    (`QueueHandler` and `QueueListener`), never in the thread that logged the record. Where the filter finds itself in
    that thread it redacts everything else, and says once on stderr that the analyser did not run.
    """

    _copies = sys.version_info >= (3, 12)

    def __init__(self, name: str = "", *, analyser: Analyser | str | None = None, **options: Any) -> None:
        super().__init__(name)
        self._own = build(options) if any(value is not None for value in options.values()) else None
        self._analyser: Analyser | None = None
        if analyser is not None:
            self._analyser = presidio() if analyser == "presidio" else resolved("analyser", analyser)
        self._thorough: tuple[Redactor, Redactor] | None = None
        self._last: _Done | None = None

    def filter(  # type: ignore[override, unused-ignore] # 3.11 knows no other records
        self, record: logging.LogRecord
    ) -> bool | logging.LogRecord:
        """A redacted copy of the record; True where nothing was to do, or the record itself was edited."""
        if not super().filter(record):
            return False
        attributes, mark = record.__dict__, ""
        try:
            redactor = self._own or current()
            if self._analyser is not None:
                redactor = self._with_analyser(redactor, record)
            mark = redactor.mark
            if _MARK in attributes and attributes[_MARK] == _marked(mark, attributes):
                return True
            done = self._last
            if done is not None and done.record() is record and done.values == _values(mark, attributes):
                changes, gone = done.changes, done.gone
            else:
                changes, gone = _redacted(record, redactor)
                if self._copies and (changes or gone):
                    self._last = _Done(weakref.ref(record), _values(mark, attributes), changes, gone)
        except Exception as error:
            changes, gone = _withheld(attributes, error)
        target = _copy(record) if self._copies and (changes or gone) else record
        made = target.__dict__
        for name in gone:
            made.pop(name, None)
        made.update(changes)
        made[_MARK] = _marked(mark, made)
        if "args" in changes or "msg" in changes:
            target = _showing_its_message(target, self._copies)
        return True if target is record else target

    def _with_analyser(self, redactor: Redactor, record: logging.LogRecord) -> Redactor:
        if record.thread == threading.get_ident() and record.process == os.getpid():
            notice("analyser", _ON_THE_PATH)
            return redactor
        assert self._analyser is not None
        if self._thorough is None or self._thorough[0] is not redactor:
            self._thorough = redactor, redactor.beside({"analyser": self._analyser})
        return self._thorough[1]


class _Done(NamedTuple):
    """What came of a record, for the next handler: it gets the record as it was, not the copy of the one before."""

    record: weakref.ref[logging.LogRecord]
    values: tuple[str, object]
    changes: dict[str, Any]
    gone: list[Any]


def _values(mark: str, attributes: Mapping[str, Any]) -> tuple[str, object]:
    """What a record had; the message, too, as the formatter of a handler in between may have left it there."""
    return _marked(mark, attributes), attributes.get("message")


def _marked(mark: str, attributes: Mapping[str, Any]) -> str:
    """Says who has redacted a record, and which values it had: what came after that is not redacted yet."""
    values = tuple((name, id(value)) for name, value in attributes.items() if name not in _MADE_BY_FORMATTERS)
    return f"{mark}:{hash(values)}"


def _redacted(record: logging.LogRecord, redactor: Redactor) -> tuple[dict[str, Any], list[Any]]:
    """The attributes that redaction changes, and the names that it takes away."""
    attributes = record.__dict__
    changes: dict[str, Any] = {}
    gone = []
    for name in [name for name in attributes if name not in _PASSED]:
        value = attributes[name]
        clean_name = redactor.text(name) or REDACTED  # no value goes because its name does
        clean = value if _is_span_id(name, value) else redactor.field(clean_name, value, DROPPED)
        if clean is DROPPED:
            gone.append(name)
            continue
        if clean is value and issubclass(type(value), _CHANGEABLE):
            clean = plain(value)  # as it is now: a queue may hold the record while the caller goes on adding to it
        if clean_name is not name:
            gone.append(name)
            while clean_name in attributes or clean_name in changes:  # two names that have become one: keep both
                clean_name += "_"
        if clean is not value or clean_name is not name:
            changes[clean_name] = clean
    for name in _NAMES:
        value = attributes.get(name)
        if type(value) is str and (clean := redactor.name(value)) is not value and clean != value:
            changes[name] = clean
    changes.update(_message(record, redactor))
    if record.exc_info:
        changes.update(_exception(record, redactor))
    for name in ("exc_text", "stack_info", "message"):
        text = changes.get(name) or attributes.get(name)
        if text:
            clean = redactor.text(text)
            if clean is not text or name in changes:
                changes[name] = clean
    return changes, gone


def _is_span_id(name: str, value: object) -> bool:
    """One span id in two thousand has digits only, and might pass for the number of a card."""
    return name == "span_id" and type(value) is str and _SPAN_ID.fullmatch(value) is not None


def _message(record: logging.LogRecord, redactor: Redactor) -> dict[str, Any]:
    msg, args = record.msg, record.args
    made: dict[str, Any] = {}
    if args is not None and args != ():
        made["args"] = None  # no handler can print what the text no longer shows
    if issubclass(type(msg), Mapping):  # as python-json-logger takes it
        clean = redactor.value(msg)
        return made if clean is msg else {**made, "msg": clean}
    try:
        text = _rendered(record, redactor)
    except Exception:  # arguments that do not fit the template
        text = f"{text_of(msg)} (args: {text_of(args)})"
    clean = redactor.text(text)
    # A message that is some object is text from here on: it might say something else when it is asked again.
    return {**made, "msg": clean} if made or clean is not text or type(msg) is not str else {}


def _rendered(record: logging.LogRecord, redactor: Redactor) -> str:
    """The message with its arguments; those go whose names say so, for the text no longer shows them."""
    args = record.args
    if not isinstance(args, dict) or not any(type(name) is str and redactor.goes(name) for name in args):
        return record.getMessage()
    clean = {name: redactor.field(name, value) if redactor.goes(name) else value for name, value in args.items()}
    try:
        return str(record.msg) % clean
    except (TypeError, ValueError):  # "%(pin)d" takes no word
        return f"{text_of(record.msg)} (args: {text_of(clean)})"


def _exception(record: logging.LogRecord, redactor: Redactor) -> dict[str, Any]:
    """The exception as text: no formatter can redact what it formats itself."""
    exc_info: Any = record.exc_info
    made: dict[str, Any] = {"exc_info": None}
    error = exc_info[1] if isinstance(exc_info, tuple) and len(exc_info) == 3 else exc_info
    if not isinstance(error, BaseException):
        return made
    kind = type(error)
    if "error_type" not in record.__dict__:
        made["error_type"] = type_name(kind)
    if "error_message" not in record.__dict__:
        made["error_message"] = redactor.text(text_of(error))
    if not record.exc_text:  # otherwise a formatter has been there already
        try:
            trace = error.__traceback__ if exc_info is error else exc_info[2]
            made["exc_text"] = "".join(traceback.format_exception(kind, error, trace)).rstrip("\n")
        except Exception as failure:
            fault("redacting an exception", failure)
            made["exc_text"] = WITHHELD
    return made


def _withheld(attributes: Mapping[str, Any], error: Exception) -> tuple[dict[str, Any], list[Any]]:
    """The record without anything that the application has put into it."""
    try:
        fault("redacting a record", error)
    except RecursionError:  # the stack is full: the record goes on all the same
        pass
    changes = {"msg": WITHHELD, "args": None, "exc_info": None, "exc_text": None, "stack_info": None}
    return changes, [name for name in attributes if name not in STANDARD_ATTRIBUTES or name == "message"]


def _showing_its_message(record: logging.LogRecord, copies: bool) -> logging.LogRecord:
    """The record, such that its message is `msg`: a class of the application's may make another one of its own."""
    if type(record).getMessage is logging.LogRecord.getMessage:
        return record
    try:
        record.__class__ = logging.LogRecord
    except TypeError:  # it has slots: only another record shows it
        return logging.makeLogRecord(dict(record.__dict__)) if copies else record
    return record


def _copy(record: logging.LogRecord) -> logging.LogRecord:
    try:
        return copy.copy(record)
    except Exception:  # a subclass that cannot be copied
        return logging.makeLogRecord(dict(record.__dict__))
