"""What a stream that is open takes, beside its text: many at a time, each some way into its answer.

Bytes by tracemalloc, everything that llmlog holds for a stream: the wrapper, its loop, the call. The goal is 2 KB for
2,000 chunks. Chunks are made one by one by the source, so one that is held would be counted. `bench_memory.py 10000`
for as many streams (it takes its time: each chunk is made under tracemalloc's eyes).
"""

from __future__ import annotations

import gc
import logging
import sys
import tracemalloc
from collections.abc import Iterator
from typing import Any

from openai._models import construct_type
from openai.types.chat import ChatCompletionChunk

import llmlog

MESSAGES = [{"role": "user", "content": "Where is my parcel?"}]


def sdk_chunk(text: str) -> Any:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    value = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini-2024-07-18",
             "choices": [choice], "usage": None}  # fmt: skip
    return construct_type(value=value, type_=ChatCompletionChunk)


class Source:
    """As many chunks as anybody wants, each with four characters."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self.number += 1
        return sdk_chunk(f"{self.number % 10_000:04}")


def beyond_text(streams: int, chunks: int) -> float:
    """Bytes for each of `streams` open streams beyond the characters of its text."""
    sources = [Source() for _ in range(streams)]
    held: list[Any] = [None] * streams
    loops: list[Any] = [None] * streams
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        with llmlog.request(user_id="u-17"):
            for place, source in enumerate(sources):
                held[place] = llmlog.stream(source, model="gpt-4o-mini", input=MESSAGES)
                loops[place] = iter(held[place])
        for loop in loops:
            for _ in range(chunks):
                next(loop)
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / streams - 4 * chunks
    finally:
        tracemalloc.stop()


def main() -> None:
    logger = logging.getLogger("llmlog.calls")
    logger.addHandler(logging.NullHandler())
    logger.setLevel(logging.INFO)
    logger.propagate = False
    beyond_text(10, 100)  # what is made once is made here
    llmlog.flush()
    streams = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    print(f"Python {sys.version.split()[0]}, {streams} open streams; bytes for each beside its text")
    for chunks in (0, 1, 100, 2000, 2007):
        print(f"  after {chunks:5} chunks  {beyond_text(streams, chunks):6.0f}")
    llmlog.flush()


if __name__ == "__main__":
    main()
