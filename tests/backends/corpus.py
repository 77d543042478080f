"""Real records to put into a backend: calls of a scripted provider, each with its ending, over the last 50 minutes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from conftest import chunk, usage_chunk

import llmlog
from llmlog import settings
from llmlog.filters import ContextFilter
from llmlog.formatters import JSONFormatter
from llmlog.semconv import FIELDS
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


# In Loki


def as_a_handler(lines: Iterable[Line]) -> list[dict[str, Any]]:
    """Streams with level, service and env as labels; ids and figures as structured metadata."""
    streams: dict[tuple[str, ...], list[Any]] = {}
    for line in lines:
        found = {name: line.fields[name] for name, field in FIELDS.items() if name in line.fields}
        metadata = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in found.items()
            if FIELDS[name].loki == "metadata" or FIELDS[name].type in ("int", "float")
        }
        labels = tuple(str(found[name]) for name in ("level", "service", "env"))
        streams.setdefault(labels, []).append([str(line.stamp), line.text, metadata])
    names = ("level", "service", "env")
    return [{"stream": dict(zip(names, labels, strict=True)), "values": values} for labels, values in streams.items()]


def as_an_agent(lines: Iterable[Line]) -> list[dict[str, Any]]:
    """Streams with labels of the agent's, and everything else in the line."""
    streams: dict[tuple[str, ...], list[Any]] = {}
    for line in lines:
        key = (str(line.fields["service"]), str(line.fields["env"]))
        streams.setdefault(key, []).append([str(line.stamp), line.text])
    return [
        {"stream": {"job": "llmlog", "filename": "llm.jsonl", "service": service, "env": env}, "values": values}
        for (service, env), values in streams.items()
    ]
