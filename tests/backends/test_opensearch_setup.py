"""`llmlog setup elasticsearch` against a real OpenSearch: what it installs holds what llmlog's records bring."""

from __future__ import annotations

import json
import logging
import pathlib
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import answer
from typer.testing import CliRunner

import llmlog
from backends.real import OpenSearch
from llmlog import cli
from llmlog.filters import ContextFilter
from llmlog.formatters import JSONFormatter
from llmlog.handlers import ElasticsearchHandler


@pytest.fixture
def dataset() -> str:
    return f"t{uuid.uuid4().hex[:12]}"


def setup(opensearch: OpenSearch, index: str, *more: str) -> str:
    done = CliRunner().invoke(
        cli.app, ["setup", "elasticsearch", "--install", "--url", opensearch.url, "--index", index, *more]
    )
    assert done.exit_code == 0, done.stderr
    assert done.stdout == ""
    return done.stderr


@pytest.fixture
def loggers() -> Iterator[list[logging.Handler]]:
    """Handlers on the root logger for the time of a test."""
    root, added = logging.getLogger(), list[logging.Handler]()
    level = root.level
    root.setLevel(logging.INFO)
    yield added
    root.setLevel(level)
    for handler in added:
        root.removeHandler(handler)
        handler.close()


def logging_to(
    opensearch: OpenSearch, index: str, folder: pathlib.Path, loggers: list[logging.Handler], schema: str = "flat"
) -> ElasticsearchHandler:
    handler = ElasticsearchHandler(opensearch.url, index=index, spool=folder)
    handler.setFormatter(JSONFormatter(schema=schema, constants={"service": "shop", "env": "test"}))
    handler.addFilter(ContextFilter())
    loggers.append(handler)
    logging.getLogger().addHandler(handler)
    return handler


FIGURES = {"flat": ("model", "input_tokens", "cost_usd"),
           "ecs": ("gen_ai.request.model", "gen_ai.usage.input_tokens", "llmlog.cost_usd")}  # fmt: skip


ODD: list[dict[str, Any]] = [
    {"http": "GET"}, {"http": {"method": "GET"}}, {"http.method": "GET"}, {"latency_ms": "soon"}, {"order": 5},
    {"order": {"items": [{"n": i} for i in range(3)], "x": {"y": 1}}}, {"n": 1}, {"n": "a"}, {"when": "2026-11-21"},
    {"when": "no date"}, {"deep": {f"k{i}": i for i in range(1500)}}, {"long": "x" * 40_000},
]  # fmt: skip


@pytest.mark.parametrize("schema", ["flat", "ecs"])
def test_figures_of_real_calls(
    opensearch: OpenSearch, dataset: str, tmp_path: pathlib.Path, loggers: list[logging.Handler], schema: str
) -> None:
    """Template, data stream, real calls: sums by model are those of the records, and extras cannot spoil them."""
    index = f"logs-{dataset}-default"
    told = setup(opensearch, index, "--schema", schema)
    assert f"logs-{dataset}-*" in told
    assert "no index state management" in told
    handler = logging_to(opensearch, index, tmp_path, loggers, schema)
    with llmlog.request("r1", user_id="u1", feature="search"):
        for model in ("gpt-4o", "gpt-4o", "gpt-4o-mini"):
            list(llmlog.stream(answer("Hello"), model=model, input="Hi"))
        app = logging.getLogger("app")
        for odd in ODD:
            app.info("odd", extra=odd)
        try:
            raise ValueError("no")
        except ValueError:
            app.exception("failed")
    assert handler.flush(60)
    model, tokens, cost = FIGURES[schema]
    body = {"size": 100, "aggs": {"models": {"terms": {"field": model}, "aggs": {
        "tokens": {"sum": {"field": tokens}}, "cost": {"sum": {"field": cost}}}}}}  # fmt: skip
    found = opensearch.search(index, body)
    assert found["hits"]["total"]["value"] == 3 + len(ODD) + 1
    price = float(llmlog.cost({"input_tokens": 9, "output_tokens": 1}, "gpt-4o-mini") or 0)  # the model that answered
    assert {
        one["key"]: (one["tokens"]["value"], one["cost"]["value"]) for one in found["aggregations"]["models"]["buckets"]
    } == {"gpt-4o": (18, pytest.approx(2 * price)), "gpt-4o-mini": (9, pytest.approx(price))}
    stream = opensearch.ask(f"_data_stream/{index}")["data_streams"][0]
    assert stream["template"] == f"logs-{dataset}"
    assert not list(tmp_path.rglob("dead-letter*"))


def test_where_a_time_is_asked_for_by_its_own_name(
    opensearch: OpenSearch, dataset: str, tmp_path: pathlib.Path, loggers: list[logging.Handler]
) -> None:
    """`timestamp`, as the flat schema calls it, is found in searches, and the mapping stays small."""
    index = f"logs-{dataset}-default"
    setup(opensearch, index)
    handler = logging_to(opensearch, index, tmp_path, loggers)
    for i in range(1200):
        logging.getLogger("app").info("%d", i, extra={"deep": {f"k{i}": i}})
    assert handler.flush(60)
    assert (
        opensearch.search(index, {"query": {"range": {"timestamp": {"gte": "now-5m"}}}})["hits"]["total"]["value"]
        == 1200
    )
    mapping = json.dumps(opensearch.ask(f"{index}/_mapping"))
    assert mapping.count('"type"') < 200


def test_dated_indices(
    opensearch: OpenSearch, dataset: str, tmp_path: pathlib.Path, loggers: list[logging.Handler]
) -> None:
    """Without a data stream: an index for each day, with the same mapping."""
    index = f"{dataset}-%Y.%m.%d"
    assert f"{dataset}-*" in setup(opensearch, index)
    handler = logging_to(opensearch, index, tmp_path, loggers)
    logging.getLogger("app").info("hello", extra={"latency_ms": 1.5})
    assert handler.flush(60)
    [(name, its)] = opensearch.ask(f"{dataset}-*/_mapping").items()
    assert name.startswith(f"{dataset}-20")
    assert its["mappings"]["properties"]["latency_ms"] == {"type": "double"}
    assert len(opensearch.documents(f"{dataset}-*")) == 1


def test_again(opensearch: OpenSearch, dataset: str) -> None:
    """Installing twice is installing once."""
    for _ in range(2):
        setup(opensearch, f"logs-{dataset}-default", "--keep-days", "7")
