"""Captured: the records that llmlog makes, kept; and the assertion that there is one summary, with these fields."""

from __future__ import annotations

import gc
import logging
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from llmlog import worker
from llmlog.exceptions import UsageTypeError, shown
from llmlog.records import CALLS, EVENTS, HTTP

__all__ = ["ABSENT", "Captured", "assert_one_summary", "capture"]


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
"""In the place of an expected value: the record has no such field. None means the same."""

_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime"}


class Captured(logging.Handler):
    """Keeps the records of llmlog's loggers. `capture()` and the fixture `llm_calls` attach it and take it off again.

    `records`: all of them, as LogRecords, in the order in which they were made.
    """

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record; what `logging` calls."""
        self.records.append(record)

    def all(self, timeout: float = 10.0) -> list[dict[str, Any]]:
        """The summaries so far, as dicts of their attributes, those that finalisers left behind included.

        AssertionError where some are still being made after `timeout` seconds.
        """
        __tracebackhide__ = True
        _settle(timeout)
        return [dict(vars(record)) for record in list(self.records) if _is_summary(record)]

    def one(self) -> dict[str, Any]:
        """The one summary there is. AssertionError where there is none, or another."""
        __tracebackhide__ = True
        found = self.all()
        if len(found) != 1:
            lines = "".join(f"\n{_described(record)}" for record in found)
            raise AssertionError(f"expected one summary of an LLM call, got {len(found) or 'none'}{lines}")
        return found[0]

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """The records that `llmlog.event()` made so far, as dicts: those with this name, or all."""
        found = [dict(vars(record)) for record in list(self.records) if record.name == EVENTS]
        return [record for record in found if name is None or record.get("event") == name]

    def requests(self, timeout: float = 10.0) -> list[dict[str, Any]]:
        """The records of HTTP requests and websockets so far, as dicts. AssertionError as for `all()`."""
        __tracebackhide__ = True
        _settle(timeout)
        return [dict(vars(record)) for record in list(self.records) if record.name == HTTP]

    def clear(self) -> None:
        """Forget what there is, calls included that were left and have no record yet."""
        _settle(10.0)
        self.records.clear()


def _is_summary(record: logging.LogRecord) -> bool:
    return record.name == CALLS and vars(record).get("event") == "llm.call"  # not an `llm.start`


def _settle(timeout: float) -> None:
    """Have the records made that finalisers have put aside."""
    __tracebackhide__ = True
    gc.collect()
    if not worker.wait(timeout):
        raise AssertionError(f"records of LLM calls are still being made after {timeout:g} s")


@contextmanager
def capture() -> Iterator[Captured]:
    """Keep what llmlog logs inside the block, whatever its loggers' levels are; they are as before afterwards.

    Calls that were left before the block have their records made before it begins.
    """
    _settle(10.0)
    captured = Captured()
    loggers = [logging.getLogger(name) for name in (CALLS, EVENTS, HTTP)]
    before = [(logger.level, logger.disabled) for logger in loggers]
    for logger in loggers:
        logger.addHandler(captured)
        logger.setLevel(logging.DEBUG)
        logger.disabled = False
    try:
        yield captured
    finally:
        for logger, (level, disabled) in zip(loggers, before, strict=True):
            logger.removeHandler(captured)
            logger.setLevel(level)
            logger.disabled = disabled


def assert_one_summary(captured: Captured, /, **expected: Any) -> dict[str, Any]:
    """Assert that there is exactly one summary and that its fields are as `expected`; returns it.

    An expected value is compared by `==`. A function is asked instead (`latency_ms=lambda ms: ms > 3`); `ABSENT` or
    None: the record has no such field. AssertionError says what is there; UsageTypeError for what is no `Captured`.
    """
    __tracebackhide__ = True
    if not isinstance(captured, Captured):
        raise UsageTypeError(f"assert_one_summary() takes a Captured, such as `llm_calls`, got {shown(captured)}")
    record = captured.one()
    wrong = [f"  {name}: {why}" for name, value in expected.items() if (why := _difference(record, name, value))]
    if wrong:
        raise AssertionError("\n".join(["the summary is not as expected", *wrong, "it is", _described(record)]))
    return record


def _difference(record: dict[str, Any], name: str, expected: Any) -> str:
    """What is wrong with one field; "" where nothing is."""
    got = record.get(name, ABSENT)
    is_absent = got is None or got is ABSENT
    if expected is None or expected is ABSENT:
        return "" if is_absent else f"expected no such field, got {shown(got)}"
    if is_absent:
        return f"expected {_asked(expected)}, got no such field"
    if callable(expected):
        return "" if expected(got) else f"expected {_asked(expected)}, got {shown(got)}"
    return "" if got == expected else f"expected {shown(expected)}, got {shown(got)}"


def _asked(expected: Any) -> str:
    """An expected value for a message: a function by its place, which says more than its address."""
    code = getattr(expected, "__code__", None) if callable(expected) else None
    if code is None:
        return shown(expected)
    return f"what satisfies {code.co_name} (line {code.co_firstlineno})"


def _described(record: dict[str, Any]) -> str:
    """A record for a message: its sentence, then its fields."""
    fields = [f"{name}={shown(value, 60)}" for name, value in record.items() if name not in _STANDARD]
    lines = textwrap.wrap(" ".join(fields), 110, break_long_words=False, break_on_hyphens=False)
    return "\n".join([f"  {shown(record.get('msg'), 110)}", *(f"    {line}" for line in lines)])
