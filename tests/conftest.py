"""What the tests share: captured summaries, a clock in the test's hands, scripted chunks, the recorded cases."""

from __future__ import annotations

import gc
import importlib.util
import logging
import os
import pathlib
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import llmlog
from llmlog import faults, settings


def pytest_collection_finish() -> None:
    """Every test ends with a collection: let it look at what the test has made, not at all that was imported."""
    gc.collect()
    gc.freeze()


CASES = pathlib.Path(__file__).resolve().parents[2] / "shared" / "cases" / "loader.py"


@pytest.fixture(scope="session")
def cases() -> ModuleType:
    """The recorded cases' loader; without it the test is skipped, or fails where LLMLOG_REQUIRE names "cases"."""
    if not CASES.exists():
        missing = f"the recorded cases are not beside this checkout ({CASES.parent.parent.name}/{CASES.parent.name})"
        if "cases" in os.environ.get("LLMLOG_REQUIRE", "").split(","):
            pytest.fail(missing)
        pytest.skip(missing)
    spec = importlib.util.spec_from_file_location("recorded_cases", CASES)
    assert spec is not None
    assert spec.loader is not None
    loader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loader)
    return loader


def recorded(cases: ModuleType, **selection: Any) -> list[Any]:
    """The recorded cases that match; their loader leaves its files to the collector, which is not our warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        return list(cases.iter_cases(**selection))


class Records(logging.Handler):
    """Keeps the records it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def all(self) -> list[dict[str, Any]]:
        """The summaries so far, those that finalisers left behind included."""
        gc.collect()
        llmlog.calls.worker.wait(10)
        return [vars(record) for record in self.records]

    def one(self) -> dict[str, Any]:
        """The one summary there is."""
        found = self.all()
        assert len(found) == 1, [record["msg"] for record in found]
        return found[0]


@pytest.fixture
def calls() -> Iterator[Records]:
    """The summary records of this test."""
    handler = Records()
    logger = logging.getLogger("llmlog.calls")
    level, logger.disabled = logger.level, False
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture(autouse=True)
def faults_expected() -> Iterator[dict[str, int]]:
    """Each test has the default options and ends what it has begun; here it names the faults of ours it provokes."""
    before, counted = settings.current(), faults.counts()
    expected: dict[str, int] = {}
    yield expected
    gc.collect()
    llmlog.flush()
    settings.change(**{name: getattr(before, name) for name in before.__slots__})
    now = faults.counts()
    assert {where: n - counted.get(where, 0) for where, n in now.items() if n != counted.get(where, 0)} == expected


class Clock:
    """A clock that stands still until it is told to move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    """llmlog's clock, in the test's hands."""
    made = Clock()
    settings.change(clock=made)
    return made


def chunk(text: str | None = None, *, finish: str | None = None, index: int = 0, **delta: Any) -> dict[str, Any]:
    """One chat completion chunk as a dict."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": index, "delta": {"content": text, **delta}, "finish_reason": finish}],
    }


def usage_chunk(prompt: int, completion: int) -> dict[str, Any]:
    """The chunk that brings the usage and no choice."""
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {**chunk(), "choices": [], "usage": usage}


def answer(*texts: str, usage: bool = True) -> list[dict[str, Any]]:
    """A whole streamed answer: role, pieces, finish reason, usage."""
    chunks = [chunk("", role="assistant"), *map(chunk, texts), chunk(finish="stop")]
    return [*chunks, usage_chunk(9, len(texts))] if usage else chunks
