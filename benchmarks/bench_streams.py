"""What llmlog adds to a stream of SDK objects that are ready: per chunk, per stream, per request.

Microseconds over the bare iteration in the same run, sync and async; the goal is 0.6 and 0.8 per chunk. The text that
came out is checked as well: a driver that skips work would be faster.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

from openai._models import construct_type
from openai.types.chat import ChatCompletionChunk

import llmlog

CHUNKS = 2000
RUNS = 60


class Last(logging.Handler):
    """Keeps the last record."""

    record: Any = None

    def emit(self, record: logging.LogRecord) -> None:
        self.record = record


def sdk_chunks() -> list[Any]:
    """Text chunks as OpenAI sends them, then one with the finish reason and the usage."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
    text = {**head, "choices": [{"index": 0, "delta": {"content": " hello"}, "finish_reason": None}], "usage": None}
    usage = {"prompt_tokens": 9, "completion_tokens": CHUNKS, "total_tokens": CHUNKS + 9}
    end = {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage}
    return [construct_type(value=one, type_=ChatCompletionChunk) for one in [text] * CHUNKS + [end]]


def timed(stream: Iterable[Any]) -> float:
    """Seconds from the first to the last text chunk."""
    begun = done = 0.0
    for number, _ in enumerate(stream, 1):
        if number == 1:
            begun = time.perf_counter()
        elif number == CHUNKS:
            done = time.perf_counter()
    return done - begun


async def asource(chunks: list[Any]) -> AsyncIterator[Any]:
    for chunk in chunks:
        yield chunk


async def atimed(stream: Any) -> float:
    begun = done = 0.0
    number = 0
    async for _ in stream:
        number += 1
        if number == 1:
            begun = time.perf_counter()
        elif number == CHUNKS:
            done = time.perf_counter()
    return done - begun


def each(times: int, action: Any) -> float:
    """Microseconds for one of `times` actions."""
    begun = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - begun) / times * 1e6


def request() -> None:
    with llmlog.request():
        pass


def main() -> None:
    last = Last()
    logger = logging.getLogger("llmlog.calls")
    logger.addHandler(last)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    chunks, pieces = sdk_chunks(), [" hello"] * (CHUNKS + 1)
    found: dict[str, list[float]] = {"SDK objects": [], "SDK objects, async": [], "text": []}
    gc.disable()
    for _ in range(RUNS):
        bare, wrapped = timed(iter(chunks)), timed(llmlog.stream(iter(chunks)))
        assert last.record.response_length == CHUNKS * 6
        assert last.record.output_tokens == CHUNKS
        found["SDK objects"].append(wrapped - bare)
        abare = asyncio.run(atimed(asource(chunks)))
        found["SDK objects, async"].append(asyncio.run(atimed(llmlog.stream(asource(chunks)))) - abare)
        found["text"].append(timed(llmlog.stream(iter(pieces))) - timed(iter(pieces)))
    gc.enable()
    print(f"Python {sys.version.split()[0]}, {RUNS} runs of {CHUNKS} chunks; microseconds added per chunk")
    for name, seconds in found.items():
        low, middle = min(seconds), statistics.median(seconds)
        print(f"  {name:20} median {middle / (CHUNKS - 1) * 1e6:.2f}   lowest {low / (CHUNKS - 1) * 1e6:.2f}")
    print("microseconds each")
    print(f"  request()            {each(20_000, request):.1f}")
    llmlog.flush()
    print(f"  a stream that is made, dropped and recorded  {each(2_000, lambda: llmlog.stream(())):.0f}")
    llmlog.flush()


if __name__ == "__main__":
    main()
