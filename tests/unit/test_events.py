"""Events: one record each about what is not a call, and blocks that are timed."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from conftest import Clock, Records

import llmlog


def test_an_event_is_one_record_with_the_context(calls: Records) -> None:
    """Its name, an id of its own, the request's fields and its own, which win."""
    with llmlog.request("r-1", user_id="u-1", feature="search"):
        llmlog.event("llm.feedback", call_id="c-1", score=0.5, feature="chat", label=None)
    (made,) = calls.events()
    assert (made["event"], made["request_id"], made["user_id"]) == ("llm.feedback", "r-1", "u-1")
    assert (made["call_id"], made["score"], made["feature"]) == ("c-1", 0.5, "chat")
    assert len(made["record_id"]) == 32
    assert "label" not in made
    assert (made["levelno"], made["name"]) == (logging.INFO, "llmlog.events")


@pytest.mark.parametrize(("level", "number"), [("warning", 30), ("ERROR", 40), (logging.CRITICAL, 50), (35, 35)])
def test_an_event_has_the_level_it_is_given(level: Any, number: int, calls: Records) -> None:
    """A name in any case, or a number."""
    llmlog.event("system.event", kind="provider_outage", level=level)
    assert calls.events()[0]["levelno"] == number


@pytest.mark.parametrize(
    ("name", "level", "error"),
    [(3, "INFO", TypeError), ("", "INFO", ValueError), ("x", "LOUD", ValueError), ("x", None, TypeError),
     ("x", True, TypeError)],
)  # fmt: skip
def test_wrong_arguments(name: Any, level: Any, error: type[Exception]) -> None:
    """What is no name or no level is an error at the call, of a block too."""
    with pytest.raises(error):
        llmlog.event(name, level=level)
    with pytest.raises(error):
        llmlog.timed_event(name, level=level)


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_timed_event_says_how_long_its_block_took(way: str, calls: Records, clock: Clock) -> None:
    """With the fields that were known before and those that the block has added."""
    made = llmlog.timed_event("llm.retrieval", retriever="docs")
    if way == "sync":
        with made as found:
            clock.advance(0.25)
            found["document_count"] = 3
    else:

        async def search() -> None:
            async with made as found:
                clock.advance(0.25)
                found["document_count"] = 3

        asyncio.run(search())
    (record,) = calls.events("llm.retrieval")
    assert (record["latency_ms"], record["retriever"], record["document_count"]) == (250.0, "docs", 3)


@pytest.mark.parametrize(
    ("error", "level"), [(ValueError("ann@example.com"), logging.ERROR), (asyncio.CancelledError(), logging.INFO)]
)
def test_an_exception_goes_through_a_timed_block(error: BaseException, level: int, calls: Records) -> None:
    """It is on the record, redacted, and is the caller's to handle."""
    with pytest.raises(type(error)), llmlog.timed_event("llm.tool", tool_name="search"):
        raise error
    (record,) = calls.events("llm.tool")
    assert record["levelno"] == level
    assert record["error_type"].endswith(type(error).__name__)
    assert record["error_message"] == ("<EMAIL>" if level == logging.ERROR else "")


def test_odd_fields_are_logged(calls: Records) -> None:
    """A block's dict may hold names that are no text, and those of a LogRecord's own attributes."""
    with llmlog.timed_event("x") as fields:
        fields.update({3: 1, "name": "n", "level": "high"})
    (record,) = calls.events("x")
    assert (record["3"], record["name_"], record["name"]) == (1, "n", "llmlog.events")
