"""What the journal adds: to a call (its start and its end), and for each checkpoint of an open one.

Microseconds; the goal is 15 for a call and 3 for a checkpoint. The file is looked at as well: it may hold nothing of
calls that have ended.
"""

from __future__ import annotations

import logging
import pathlib
import statistics
import sys
import tempfile
import time
from typing import Any

import llmlog
from llmlog import journal, lifecycle

CALLS = 2000
OPEN = 1000
RUNS = 15
MESSAGES = [{"role": "system", "content": "Answer in one sentence."}, {"role": "user", "content": "Where is it? " * 20}]


def one_call() -> None:
    llmlog.stream((), model="gpt-4o-mini", input=MESSAGES, feature="search").close()


def microseconds(calls: int) -> float:
    begun = time.perf_counter()
    for _ in range(calls):
        one_call()
    return (time.perf_counter() - begun) / calls * 1e6


def chunk(text: str) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return {"id": "chatcmpl-1", "model": "gpt-4o-mini-2024-07-18", "choices": [choice]}


def checkpoints(folder: pathlib.Path) -> list[float]:
    """Microseconds for each checkpoint of `OPEN` open calls that have all got further."""
    journal.enable(folder)
    streams = [llmlog.stream([chunk(" hello")] * (RUNS + 1), model="gpt-4o-mini", input=MESSAGES) for _ in range(OPEN)]
    found = []
    for _ in range(RUNS):
        for stream in streams:
            next(stream)
        begun = time.perf_counter()
        journal.checkpoint(lifecycle.open_calls())
        found.append((time.perf_counter() - begun) / OPEN * 1e6)
    for stream in streams:
        stream.close()
    return found


def main() -> None:
    logger = logging.getLogger("llmlog.calls")
    logger.addHandler(logging.NullHandler())
    logger.setLevel(logging.INFO)
    with tempfile.TemporaryDirectory() as name, llmlog.request(user_id="u-17", tenant="acme", feature="search"):
        folder = pathlib.Path(name)
        microseconds(200)
        added = []
        for _ in range(RUNS):
            journal.disable()
            without = microseconds(CALLS)
            journal.enable(folder)
            added.append(microseconds(CALLS) - without)
        size = sum(file.stat().st_size for file in folder.iterdir())
        counted = checkpoints(folder)
        journal.disable()
    print(f"Python {sys.version.split()[0]}; microseconds added by the journal")
    print(f"  a call        median {statistics.median(added):.1f}   lowest {min(added):.1f}")
    print(f"  a checkpoint  median {statistics.median(counted):.1f}   lowest {min(counted):.1f}")
    print(f"  its file after {CALLS * RUNS} calls that have ended: {size / 1024:.0f} KB")
    assert size <= 130 * 1024


if __name__ == "__main__":
    main()
