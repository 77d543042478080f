"""Real records to put into a backend: calls of a scripted provider, each with its ending, over the last 50 minutes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from conftest import chunk, usage_chunk
from delivering import delivered
from typer.testing import CliRunner

import llmlog
from backends.real import Loki, OpenSearch
from llmlog import cli, settings
from llmlog.filters import ContextFilter
from llmlog.formatters import JSONFormatter
from llmlog.handlers.backend import Backend, Entry
from llmlog.handlers.elasticsearch import ElasticsearchBackend
from llmlog.handlers.loki import LokiBackend
from llmlog.handlers.transport import HTTPTransport
from llmlog.testing import FakeClock, capture

MINUTES = 50
MODELS = ("gpt-4o-mini", "gpt-4o", "o4-mini")
FEATURES = ("search", "chat", "summary")
ENDINGS = ("completed",) * 6 + ("aborted", "aborted", "cancelled", "error", "incomplete")


@dataclass(frozen=True)
class Line:
    """A record as a handler has it: its time in nanoseconds, its line, its fields."""

    stamp: int
    text: str
    fields: dict[str, Any]

    @property
    def seconds(self) -> float:
        """Its time."""
        return self.stamp / 1e9


def call(clock: FakeClock, dice: random.Random, ending: str, *, slow: float = 1.0) -> None:
    """One call by llmlog's own ways, that takes its seconds by the clock and ends as told."""

    model = dice.choice(MODELS)

    def source() -> Iterator[Any]:
        clock.advance(slow * dice.uniform(0.2, 2.0))
        yield {**chunk("", role="assistant"), "model": model}
        for _ in range(dice.randint(3, 9)):
            clock.advance(slow * dice.uniform(0.01, 0.6))
            yield {**chunk("a word "), "model": model}
        if ending == "error":
            raise ConnectionError("the provider went away")
        if ending == "cancelled":
            raise asyncio.CancelledError
        if ending == "completed":
            yield {**chunk(finish="stop"), "model": model}
            yield {**usage_chunk(dice.randint(200, 4000), dice.randint(20, 900)), "model": model}

    with contextlib.suppress(ConnectionError, asyncio.CancelledError):
        answer = llmlog.stream(source(), provider="openai", model=model, input="Where is my parcel?")
        for pieces, _ in enumerate(answer):
            if ending == "aborted" and pieces == 2:
                break
        answer.close()


def write(made: Iterable[Callable[[], object]], *, service: str, env: str, times: Iterable[float]) -> list[Line]:
    """What each of `made` logs, as a handler with JSONFormatter has it, at its time."""
    lines = []
    formatter = JSONFormatter(constants={"service": service, "env": env})
    with capture() as captured:
        captured.addFilter(ContextFilter())
        application = logging.getLogger("corpus.application")
        application.addHandler(captured)
        application.propagate = False
        application.setLevel(logging.DEBUG)
        try:
            for make, when in zip(made, times, strict=True):
                make()
                if not captured.records:
                    captured.all()  # a record that a finaliser has put aside
                for record in captured.records:
                    record.created = when
                    text = formatter.format(record)
                    lines.append(Line(round(when * 1e6) * 1000, text, json.loads(text)))
                captured.clear()
        finally:
            application.removeHandler(captured)
    return lines


def corpus(*, service: str | None = None, env: str = "production", calls: int = 120, seed: int = 8) -> list[Line]:
    """Calls of all endings, and among them records that no panel may take for calls; in the order of their times."""
    dice, clock = random.Random(seed), FakeClock()
    service = service or f"shop-{uuid.uuid4().hex[:12]}"
    application = logging.getLogger("corpus.application")

    def one_request() -> None:
        user = f"u-{dice.randint(1, 6)}"
        with llmlog.request(feature=dice.choice(FEATURES), user_id=user):
            call(clock, dice, dice.choice(ENDINGS))

    def beside() -> None:
        with llmlog.request(feature="chat", user_id="u-1", latency_ms=10_000_000):
            application.warning("an llm.call was slow, a system.event came", extra={"outcome": "error", "cost_usd": 99})

    def deployment() -> None:
        llmlog.event("system.event", kind="deployment", version=f"1.{dice.randint(0, 99)}", latency_ms=5)

    made = [*[one_request] * calls, *[beside] * 12, *[deployment] * 3]
    dice.shuffle(made)
    end = int(time.time()) - 30
    step = MINUTES * 60 / len(made)
    times = [end - MINUTES * 60 + (i + 0.37) * step + 0.000123 for i in range(len(made))]
    before = settings.current().clock
    settings.change(clock=clock)
    try:
        return write(made, service=service, env=env, times=times)
    finally:
        settings.change(clock=before)


def calls_of(lines: Iterable[Line]) -> list[Line]:
    """The summaries among them."""
    return [line for line in lines if line.fields.get("event") == "llm.call"]


# Into a backend


def by_handler(loki: Loki, lines: Sequence[Line]) -> None:
    """As LokiHandler sends them: level, service and env as labels, ids and figures as structured metadata."""
    backend = LokiBackend(loki.url, HTTPTransport(), label_fields=("level", "service", "env"))
    _sent(backend, lines)


def by_agent(loki: Loki, lines: Sequence[Line]) -> None:
    """As an agent does: labels of its own, and everything else in the line."""
    streams: dict[tuple[str, ...], list[Any]] = {}
    for line in lines:
        key = (str(line.fields["service"]), str(line.fields["env"]))
        streams.setdefault(key, []).append([str(line.stamp), line.text])
    status, answer = loki.push(
        {"stream": {"job": "llmlog", "filename": "llm.jsonl", "service": service, "env": env}, "values": values}
        for (service, env), values in streams.items()
    )
    assert status == 204, answer


def into_opensearch(opensearch: OpenSearch, index: str, lines: Sequence[Line]) -> None:
    """As ElasticsearchHandler sends them, into the data stream that `llmlog setup elasticsearch` has prepared."""
    setup = ["setup", "elasticsearch", "--install", "--url", opensearch.url, "--index", index]
    done = CliRunner().invoke(cli.app, setup)
    assert done.exit_code == 0, done.stderr
    _sent(ElasticsearchBackend(opensearch.url, HTTPTransport(), index=index), lines)


def _sent(backend: Backend, lines: Sequence[Line]) -> None:
    entries = [Entry(line.stamp, line.text.encode(), f"corpus:{i}") for i, line in enumerate(lines)]
    assert delivered(backend, entries) == []
    backend.close()
