"""From fields to a LogRecord, and the word where nobody would see it."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import Any

import pytest
from conftest import Records, answer

import llmlog
from llmlog import records

CALL = "import llmlog, logging, logging.config, sys\n{setup}\nfor _ in range(3): list(llmlog.stream(['a', 'b']))\n"


def stderr_of(setup: str) -> str:
    """What a fresh interpreter says on stderr after three calls."""
    done = subprocess.run(
        [sys.executable, "-c", CALL.format(setup=setup)], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stderr


@pytest.mark.parametrize(
    ("setup", "why"),
    [
        ("", "level is WARNING"),
        ("logging.getLogger().setLevel('INFO')", "reach no handler"),
        ("logging.basicConfig(level='ERROR', stream=sys.stdout)", "level is ERROR"),
        ("logging.disable('INFO'); logging.basicConfig(level='INFO', stream=sys.stdout)", "logging.disable(INFO)"),
        ("logging.basicConfig(level='INFO', stream=sys.stdout); logging.root.handlers[0].setLevel('ERROR')",
         "reach no handler"),
        ("list(llmlog.stream(['a'])); logging.config.dictConfig({'version': 1})", "level is WARNING"),
        ("logging.getLogger('llmlog.calls'); logging.config.dictConfig({'version': 1})", "the logger is disabled"),
    ],
)  # fmt: skip
def test_the_word_where_nobody_would_see(setup: str, why: str) -> None:
    """Once on stderr, with the reason: no handler, a level, disable_existing_loggers."""
    said = stderr_of(setup)
    assert why in said
    assert said.count("llmlog: ") == 1


@pytest.mark.parametrize(
    "setup",
    [
        "logging.basicConfig(level='INFO', stream=sys.stdout)",
        "logging.raiseExceptions = False",
        "sys.stderr = None",
        "logging.config.dictConfig(llmlog.dict_config(console='json'))",
    ],
)
def test_no_word_where_all_is_well(setup: str) -> None:
    """Nothing is said where the records are seen, or where the application wants no such words."""
    assert stderr_of(setup) == ""


def test_a_record_like_any_other(calls: Records) -> None:
    """Fields are plain attributes, so that any formatter shows them."""
    with llmlog.request("r1"):
        list(llmlog.stream(answer("a"), model="gpt-4o-mini"))
    formatter = logging.Formatter("%(levelname)s %(name)s %(request_id)s %(outcome)s")
    assert formatter.format(calls.records[0]) == "INFO llmlog.calls r1 completed"
    assert calls.records[0].getMessage().startswith("gpt-4o-mini completed in ")
    assert calls.one()["event"] == "llm.call"
    assert len(calls.one()["record_id"]) == 32


def test_the_time_of_the_end(calls: Records) -> None:
    """`created` moves to when it happened, and the other times with it."""
    records.emit("llmlog.calls", logging.INFO, "late", {}, created=1_700_000_000.25)
    record = calls.records[0]
    assert (record.created, record.msecs) == (1_700_000_000.25, 250.0)


def test_a_filter_that_raises(
    calls: Records, faults_expected: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    """What goes wrong in the application's own logging does not reach the consumer of a stream."""

    def broken(record: Any) -> bool:
        raise RuntimeError("broken filter")

    faults_expected["logging a record"] = 1
    logging.getLogger("llmlog.calls").addFilter(broken)
    try:
        assert len(list(llmlog.stream(answer("a")))) == 4
    finally:
        logging.getLogger("llmlog.calls").removeFilter(broken)


def test_the_records_factory_is_used(calls: Records) -> None:
    """logging.setLogRecordFactory() works on llmlog's records too."""
    factory = logging.getLogRecordFactory()

    class Mine(logging.LogRecord):
        pass

    logging.setLogRecordFactory(Mine)
    try:
        list(llmlog.stream(answer("a")))
    finally:
        logging.setLogRecordFactory(factory)
    assert isinstance(calls.records[0], Mine)


def test_an_event() -> None:
    """event() logs what is not a call, with the current context."""
    handler = Records()
    logger = logging.getLogger("llmlog.events")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with llmlog.request("r1", user_id="u"):
            llmlog.event("llm.feedback", call_id="c1", score=1, user_id="other")
        with pytest.raises(TypeError, match="5"):
            llmlog.event(5)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="''"):
            llmlog.event("")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    (record,) = map(vars, handler.records)
    assert (record["event"], record["request_id"], record["score"]) == ("llm.feedback", "r1", 1)
    assert (record["user_id"], record["call_id"]) == ("other", "c1")
    assert len(record["record_id"]) == 32
