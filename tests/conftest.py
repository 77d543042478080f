"""What the tests share: captured summaries, a clock in the test's hands, scripted chunks, the recorded cases."""

from __future__ import annotations

import asyncio
import gc
import importlib
import importlib.util
import os
import pathlib
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import hypothesis
import pytest

import llmlog
from llmlog import faults, settings
from llmlog.testing import Captured as Records
from llmlog.testing import FakeClock as Clock
from llmlog.testing import ScriptedServer, serve

hypothesis.settings.register_profile("llmlog", deadline=None)  # the machines are shared: no test is timed
hypothesis.settings.load_profile("llmlog")


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


def sdk(name: str) -> Any:
    """An SDK that a test needs; without it the test is skipped, or fails where LLMLOG_REQUIRE names "sdks"."""
    return _needed(name, "sdks")


def framework(name: str) -> Any:
    """As `sdk`, for what `make integrations` installs: a failure where LLMLOG_REQUIRE names "integrations"."""
    return _needed(name, "integrations")


def _needed(name: str, word: str) -> Any:
    if word in os.environ.get("LLMLOG_REQUIRE", "").split(","):
        return importlib.import_module(name)
    return pytest.importorskip(name)


def recorded(cases: ModuleType, **selection: Any) -> list[Any]:
    """The recorded cases that match; their loader leaves its files to the collector, which is not our warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        return list(cases.iter_cases(**selection))


@pytest.fixture
def calls(llm_calls: Records) -> Records:
    """The summary records of this test."""
    return llm_calls


@pytest.fixture(autouse=True)
def faults_expected() -> Iterator[dict[str, int]]:
    """Each test has the default options and ends what it has begun; here it names the faults of ours it provokes."""
    before, counted = settings.current(), faults.counts()
    expected: dict[str, int] = {}
    yield expected
    gc.collect()
    llmlog.flush()
    gc.freeze()  # as above: what this test has imported, the next one's collections need not look at
    settings.change(**{name: getattr(before, name) for name in before.__slots__})
    now = faults.counts()
    assert {where: n - counted.get(where, 0) for where, n in now.items() if n != counted.get(where, 0)} == expected


@pytest.fixture
def clock(llm_clock: Clock) -> Clock:
    """llmlog's clock, in the test's hands."""
    return llm_clock


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    """A server, told by each test what to play."""
    with serve() as made:
        yield made


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """One event loop for all tests of a module: SDKs keep their clients and connections in it."""
    with asyncio.Runner() as made:
        yield made


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
