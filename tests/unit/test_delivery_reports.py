"""The record of records that a backend will not see."""

from __future__ import annotations

import json
import logging
import pathlib
from typing import Any

import pytest

from llmlog.handlers.delivery_reports import DELIVERY, DeliveryReports, is_reporting
from llmlog.handlers.spool import Spool
from llmlog.testing import FakeBackend


@pytest.fixture
def spool(tmp_path: pathlib.Path) -> Spool:
    return Spool(str(tmp_path / "spool"))


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, logger=DELIVERY)
    return caplog


def fields(record: logging.LogRecord, *names: str) -> list[Any]:
    return [getattr(record, name) for name in names]


def test_nothing_to_tell(spool: Spool, told: pytest.LogCaptureFixture) -> None:
    """No record where none was lost, however often it is asked, and after an outage that cost none."""
    reports = DeliveryReports(spool, FakeBackend())
    reports.tell(0.0)
    reports.outage_over(100.0, 5_000.0)
    reports.tell(100.0)
    assert told.records == []


def test_each_loss_is_told_once(spool: Spool, told: pytest.LogCaptureFixture) -> None:
    """At most once a minute; the next record has what has come since."""
    reports = DeliveryReports(spool, FakeBackend())
    spool.dropped, spool.torn, reports.refused = 3, 1, 2
    reports.tell(0.0)
    reports.tell(70.0)
    spool.dropped = 8
    reports.tell(80.0)
    spool.dropped = 9
    reports.tell(90.0)
    names = ("dropped_records", "refused_records", "torn_records")
    assert [fields(record, *names) for record in told.records] == [[3, 2, 1], [5, 0, 0]]
    assert [record.getMessage() for record in told.records] == [
        "records that fake does not have: 3 dropped, 2 refused, 1 torn",
        "records that fake does not have: 5 dropped",
    ]
    assert reports.untold() == 1
    reports.tell(140.0)
    assert reports.untold() == 0


def test_the_end_of_an_outage_is_told_at_once(spool: Spool, told: pytest.LogCaptureFixture) -> None:
    """With how long it was, in that one record only."""
    reports = DeliveryReports(spool, FakeBackend())
    spool.dropped = 1
    reports.tell(0.0)
    spool.dropped = 2
    reports.outage_over(10.0, 9_876.54321)
    reports.tell(10.0)
    spool.dropped = 3
    reports.tell(100.0)
    assert [getattr(record, "outage_ms", None) for record in told.records] == [None, 9876.543, None]


def test_who_makes_room_is_known(spool: Spool) -> None:
    """The record goes into a full spool, too: only this thread knows, and only while it logs."""
    seen: list[bool] = []

    class Sees(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(is_reporting())

    logger, handler = logging.getLogger(DELIVERY), Sees()
    logger.addHandler(handler)
    try:
        reports = DeliveryReports(spool, FakeBackend())
        spool.dropped = 1
        reports.tell(0.0)
    finally:
        logger.removeHandler(handler)
    assert seen == [True]
    assert not is_reporting()


def test_a_child_tells_of_its_own(spool: Spool, told: pytest.LogCaptureFixture) -> None:
    """What its parent has lost is the parent's to tell."""
    reports = DeliveryReports(spool, FakeBackend())
    spool.dropped = reports.refused = 5
    reports.tell(0.0)
    spool.dropped = 0  # the spool forgets, too
    reports.forget()
    assert reports.untold() == 0
    reports.tell(100.0)
    assert len(told.records) == 1
    assert json.dumps(fields(told.records[0], "backend", "event")) == '["fake", "llm.delivery"]'
