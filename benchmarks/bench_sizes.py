"""How large records are: as lines, compressed, on the wire, stored in real backends. docs/scale.md reckons with it.

python benchmarks/bench_sizes.py            lines and bodies: needs nothing
python benchmarks/bench_sizes.py backends   and what Loki and OpenSearch make of 100,000 of them: after `make backends`
"""

from __future__ import annotations

import gzip
import json
import logging
import os
import pathlib
import random
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import llmlog
from llmlog import settings
from llmlog.filters import ContextFilter
from llmlog.formatters import JSONFormatter
from llmlog.handlers.backend import Entry
from llmlog.handlers.elasticsearch import ElasticsearchBackend
from llmlog.handlers.loki import LokiBackend
from llmlog.semconv import FIELDS
from llmlog.testing import FakeClock, FakeTransport

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests"))

BATCH = 500
WORDS = pathlib.Path(__file__).resolve().parents[1].joinpath("LICENSE").read_text().split()
MODELS = ("gpt-4o-mini", "gpt-4o", "o4-mini", "gpt-4.1")


class Kept(logging.Handler):
    """The lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[bytes] = []
        self.setFormatter(JSONFormatter(constants={"service": "shop", "env": "production"}))
        self.addFilter(ContextFilter())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record).encode())


def text(dice: random.Random, length: int) -> str:
    """Words, so many characters of them."""
    return " ".join(dice.choices(WORDS, k=length // 4))[:length]


def chunks(dice: random.Random, clock: FakeClock, model: str, said: str) -> Iterator[dict[str, Any]]:
    """A streamed answer in three pieces, and its usage."""
    base = {"id": f"chatcmpl-{dice.randbytes(14).hex()}", "object": "chat.completion.chunk", "model": model}
    third = len(said) // 3 + 1
    for piece in ("", said[:third], said[third : 2 * third], said[2 * third :]):
        clock.advance(dice.uniform(0.05, 0.9))
        yield {**base, "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]}
    yield {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    used = {"prompt_tokens": dice.randint(100, 4000), "completion_tokens": dice.randint(20, 900)}
    yield {**base, "choices": [], "usage": {**used, "total_tokens": sum(used.values())}}


def calls(count: int, *, capture: bool = False) -> list[bytes]:
    """The lines of so many calls, each in a request of its own."""
    dice, clock, kept = random.Random(5), FakeClock(), Kept()
    logger = logging.getLogger("llmlog.calls")
    before = logger.level, logger.propagate, settings.current().clock
    logger.addHandler(kept)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    settings.change(clock=clock)
    llmlog.configure(capture=capture)
    try:
        for _ in range(count):
            model = dice.choice(MODELS)
            asked, said = (text(dice, 2000), text(dice, 1000)) if capture else ("Where is it?", "It is on its way.")
            with llmlog.request(feature=dice.choice(("search", "chat")), user_id=f"u-{dice.randint(1, 100_000)}"):
                for _ in llmlog.stream(chunks(dice, clock, model, said), provider="openai", model=model, input=asked):
                    pass
    finally:
        logger.removeHandler(kept)
        level, logger.propagate, clock_before = before
        logger.setLevel(level)
        settings.change(clock=clock_before, capture=0)
    assert len(kept.lines) == count
    return kept.lines


def application(count: int) -> list[bytes]:
    """The lines of records of the application's own."""
    dice, kept = random.Random(6), Kept()
    logger = logging.Logger("shop.search", logging.INFO)
    logger.addHandler(kept)
    for _ in range(count):
        with llmlog.request(feature="search", user_id=f"u-{dice.randint(1, 100_000)}"):
            logger.info("found %d documents in %.1f ms", dice.randint(0, 40), dice.uniform(1, 90))
    return kept.lines


def body(backend: Any, transport: FakeTransport, lines: Sequence[bytes], first: int) -> bytes:
    """What a handler sends for these lines; they are a millisecond apart."""
    segment = f"{first:020d}-5eed5eed5e"  # their keys are as a spool's: the segment, and the place in it
    entries = [Entry(first + i * 1_000_000, line, f"{segment}-{i * 250}") for i, line in enumerate(lines)]
    outcome = backend.send(entries)
    assert not any((outcome.again, outcome.refused, outcome.split, outcome.denied)), outcome
    (sent,) = transport.requests
    return sent.body


def push(lines: Sequence[bytes], first: int) -> bytes:
    """A batch for Loki."""
    transport = FakeTransport()
    labels = {"service": "shop", "env": "production"}
    return body(LokiBackend("http://127.0.0.1", transport, labels=labels), transport, lines, first)


def bulk(lines: Sequence[bytes]) -> bytes:
    """A batch for Elasticsearch."""
    transport = FakeTransport((200, '{"errors":false}'))
    return body(ElasticsearchBackend("http://127.0.0.1", transport), transport, lines, 0)


def counted(lines: Sequence[bytes]) -> float:
    """What Loki's limits count of a record: its line and its metadata."""
    pushed = (json.loads(push(batch, 0)) for batch in batches(lines))
    values = [value for one in pushed for stream in one["streams"] for value in stream["values"]]
    metadata = [item for _, _, *rest in values for found in rest for pair in found.items() for item in pair]
    return (sum(map(len, lines)) + sum(len(item.encode()) for item in metadata)) / len(lines)


def batches(lines: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    return (lines[at : at + BATCH] for at in range(0, len(lines), BATCH))


def per_record(bodies: Iterable[bytes], count: int) -> tuple[float, float]:
    """Bytes for each record, as they are and by gzip's first level."""
    sizes = [(len(body), len(gzip.compress(body, 1))) for body in bodies]
    return sum(raw for raw, _ in sizes) / count, sum(packed for _, packed in sizes) / count


COLUMNS = ("line", "gzip", "Loki counts", "Loki body", "Loki gzip", "bulk body", "bulk gzip")


def kinds(count: int) -> dict[str, list[bytes]]:
    """What is measured."""
    return {
        "a call": calls(count),
        "a call with 3,000 characters of texts": calls(count, capture=True),
        "a record of the application": application(count),
    }


def sizes(lines: Sequence[bytes]) -> list[float]:
    """Bytes for each record, as in `COLUMNS`."""
    count = len(lines)
    return [
        *per_record((b"\n".join(batch) + b"\n" for batch in batches(lines)), count),
        counted(lines),
        *per_record((push(batch, 0) for batch in batches(lines)), count),
        *per_record((bulk(batch) for batch in batches(lines)), count),
    ]


def print_sizes(count: int) -> None:
    print(f"bytes for each record, in batches of {BATCH}; gzip level 1\n")
    print(f"{'':38}" + "".join(f"{column:>12}" for column in COLUMNS))
    for kind, lines in kinds(count).items():
        print(f"{kind:38}" + "".join(f"{number:12.0f}" for number in sizes(lines)))


# Real backends


def cpu(pid: int) -> float:
    """The seconds of processor time that a process has used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def folder_size(folder: pathlib.Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def stored(count: int) -> None:
    from backends.real import Loki, OpenSearch, ask, until

    lines = calls(count)
    print(f"\n{count:,} calls in real backends: for each record, bytes stored and the servers' processor time\n")
    print(f"{'':30}{'stored':>10}{'server CPU':>14}{'records/s':>12}{'P95 query':>12}")
    with tempfile.TemporaryDirectory() as folder:
        limits = {"ingestion_rate_mb": 1000, "ingestion_burst_size_mb": 1000}
        limits |= {"per_stream_rate_limit": "1000MB", "per_stream_rate_limit_burst": "1000MB"}
        with Loki(pathlib.Path(folder) / "loki", limits=limits) as loki:
            first = time.time_ns() - count * 1_000_000 - 10**9
            bodies = [
                gzip.compress(push(batch, first + i * BATCH * 1_000_000), 1) for i, batch in enumerate(batches(lines))
            ]
            url = f"{loki.url}/loki/api/v1/push"
            before, began = cpu(loki.pid), time.perf_counter()
            for body in bodies:
                status, answer = ask(url, body, headers={"Content-Encoding": "gzip"})
                assert status == 204, answer
            took, used = time.perf_counter() - began, cpu(loki.pid) - before
            all_of_them = 'sum(count_over_time({service="shop"} |= `llm.call` | json event | event="llm.call" [3h]))'
            (found,) = loki.query(all_of_them)
            assert int(found["value"][1]) == count, found
            before = cpu(loki.pid)
            loki.query(
                'quantile_over_time(0.95, {service="shop"} |= `llm.call` | json event, latency_ms'
                ' | event="llm.call" | unwrap latency_ms [3h]) by ()'
            )
            asked = cpu(loki.pid) - before
            ask(f"{loki.url}/flush", method="POST", body=b"")
            chunks = loki.folder / "data/chunks"
            until(lambda: folder_size(chunks) > 20 * count, "the chunks are written")
            time.sleep(2)  # and all of them
            report("Loki", folder_size(chunks), used, took, asked, count)
        with OpenSearch(pathlib.Path(folder) / "opensearch") as server:
            mapped = {name: {"type": one.elasticsearch} for name, one in FIELDS.items() if name != "timestamp"}
            properties = {**mapped, "@timestamp": {"type": "date"}}
            for codec in ("default", "best_compression"):
                index = f"calls-{codec}"
                options = {"number_of_replicas": 0, "codec": codec}
                settings_ = {"settings": {"index": options}, "mappings": {"properties": properties, "dynamic": False}}
                server.ask(index, settings_, method="PUT")
                packed = [gzip.compress(bulk(batch), 1) for batch in batches(lines)]
                before, began = cpu(server.pid), time.perf_counter()
                for body in packed:
                    status, answer = ask(
                        f"{server.url}/{index}/_bulk?filter_path=errors", body, headers={"Content-Encoding": "gzip"}
                    )
                    assert (status, answer) == (200, {"errors": False}), answer
                took, used = time.perf_counter() - began, cpu(server.pid) - before
                server.ask(f"{index}/_forcemerge?max_num_segments=1", method="POST", body=b"")
                server.refresh(index)
                before = cpu(server.pid)
                aggs = {"p": {"percentiles": {"field": "latency_ms", "percents": [95]}}}
                found = server.search(index, {"size": 0, "track_total_hits": True, "aggs": aggs}, refresh=False)
                asked = cpu(server.pid) - before
                assert found["hits"]["total"]["value"] == count
                size = server.ask(f"{index}/_stats/store")["_all"]["primaries"]["store"]["size_in_bytes"]
                report(f"OpenSearch, {codec}", size, used, took, asked, count)


def report(name: str, size: int, used: float, took: float, asked: float, count: int) -> None:
    figures = f"{size / count:8.0f} B{used / count * 1e6:11.0f} us{count / took:12,.0f}{asked / count * 1e6:9.1f} us"
    print(f"{name:30}{figures}", flush=True)


if __name__ == "__main__":
    print_sizes(5000)
    if "backends" in sys.argv[1:]:
        stored(100_000)
