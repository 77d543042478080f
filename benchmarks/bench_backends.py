"""What a backend costs the thread that sends: CPU for each record, from the spool's line to the compressed request.

    python benchmarks/bench_backends.py

Nothing is sent: the transport compresses and answers. Checked beside it: every line is in what was sent.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from llmlog.formatters import JSONFormatter
from llmlog.handlers.backend import Backend, Entry, Outcome
from llmlog.handlers.elasticsearch import ElasticsearchBackend
from llmlog.handlers.loki import LokiBackend
from llmlog.handlers.transport import Answer

BATCH, BATCHES = 2_000, 10
CALL = {
    "event": "llm.call", "user_id": "u-17", "feature": "search", "operation": "chat", "provider": "openai",
    "model": "gpt-4o-mini", "response_model": "gpt-4o-mini-2024-07-18", "streamed": True, "outcome": "completed",
    "ended_by": "exhausted", "finish_reason": "stop", "ttft_ms": 302.114, "max_gap_ms": 33.2,
    "tokens_per_second": 88.1, "wait_ms": 1100.2, "consumer_ms": 33.22, "chunks": 130, "content_chunks": 128,
    "input_tokens": 412, "total_tokens": 540, "usage_source": "provider", "cost_usd": 0.000139,
    "cost_source": "genai-prices 0.2.3", "prompt_length": 1200, "response_length": 400,
}  # fmt: skip


class Compressing:
    """Does what the real transport does with the CPU, and keeps the bodies where it is told to."""

    def __init__(self) -> None:
        self.kept: list[bytes] | None = None
        self.nbytes = 0

    def request(self, method: str, url: str, body: bytes = b"", headers: Any = None) -> Answer:
        """Compress it, and say that all is well."""
        self.nbytes += len(zlib.compress(body, 1, wbits=31))
        if self.kept is not None:
            self.kept.append(body)
        return Answer(200, {}, b'{"errors":false}')

    def close(self) -> None:
        """Nothing."""


def lines(make: Callable[[int], tuple[str, dict[str, Any]]]) -> list[Entry]:
    """Entries as the formatter writes them."""
    formatter = JSONFormatter(constants={"service": "shop", "env": "production"})
    entries = []
    start = time.time()
    for i in range(BATCH * BATCHES):
        message, fields = make(i)
        name = "llmlog.calls" if "event" in fields else "app.orders"
        record = logging.makeLogRecord({"name": name, "levelname": "INFO", "levelno": 20, "msg": message, **fields})
        record.created = start + i / 40_000
        line = formatter.format(record).encode()
        entries.append(Entry(int(record.created * 1e9), line, f"6f2d1c0a-{i}"))
    return entries


def call(i: int) -> tuple[str, dict[str, Any]]:
    """The record of an LLM call."""
    latency, tokens = 900 + i % 977 + i % 13 / 10, 64 + i % 129
    ids = {name: uuid.uuid4().hex for name in ("request_id", "call_id", "record_id")}
    message = f"gpt-4o-mini completed in {latency / 1000:.1f} s, 412 + {tokens} tokens, $0.000139"
    return message, {**CALL, **ids, "latency_ms": latency, "output_tokens": tokens}


def application(i: int) -> tuple[str, dict[str, Any]]:
    """An ordinary record."""
    return f"order {i} was placed by a customer", {"request_id": uuid.uuid4().hex, "user_id": f"u-{i % 97}"}


def measured(backend: Backend, entries: Sequence[Entry]) -> float:
    """Microseconds of CPU for each record: the best of five runs."""
    best = float("inf")
    for _ in range(5):
        before = time.process_time()
        for batch in batches(entries):
            outcome = backend.send(batch)
            assert (list(outcome.again), list(outcome.refused), outcome.split) == ([], [], ""), outcome
        best = min(best, time.process_time() - before)
    return best / len(entries) * 1e6


def batches(entries: Sequence[Entry]) -> list[Sequence[Entry]]:
    """In parts of a batch."""
    return [entries[i : i + BATCH] for i in range(0, len(entries), BATCH)]


def checked(backend: Backend, transport: Compressing, entries: Sequence[Entry]) -> None:
    """Every record is in what is sent, once."""
    transport.kept = []
    assert backend.send(entries[:BATCH]) in (Outcome(), Outcome([], []))
    sent: list[str] = []
    for body in transport.kept:
        if backend.name == "loki":
            sent += [
                json.loads(line)["message"] for one in json.loads(body)["streams"] for _, line, *_ in one["values"]
            ]
        else:
            sent += [json.loads(line)["message"] for line in body.splitlines()[1::2]]
    assert sent == [json.loads(one.line)["message"] for one in entries[:BATCH]]
    transport.kept = None


def main() -> None:
    """Print the table."""
    print(f"{'':34}{'us a record':>12}{'bytes, line':>13}{'bytes, sent':>13}")
    for kind, make in (("record of the application", application), ("record of an LLM call", call)):
        entries = lines(make)
        size = sum(len(one.line) for one in entries) / len(entries)
        for name in ("loki", "elasticsearch"):
            transport = Compressing()
            backend: Backend
            if name == "loki":
                backend = LokiBackend("http://loki:3100", transport, labels={"service": "shop", "env": "production"})
            else:
                backend = ElasticsearchBackend("http://node:9200", transport)
            checked(backend, transport, entries)
            transport.nbytes = 0
            cost = measured(backend, entries)
            print(f"{kind + ', ' + name:34}{cost:12.2f}{size:13.0f}{transport.nbytes / len(entries) / 5:13.0f}")


if __name__ == "__main__":
    main()
