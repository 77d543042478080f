"""ECS documents and a real index with ECS' types: whatever a record holds, the document is taken."""

from __future__ import annotations

import json
import logging
import math
import random
from typing import Any

from ecs_types import OURS, TYPES

from backends.real import OpenSearch
from llmlog.formatters import JSONFormatter
from llmlog.semconv import FIELDS, STANDARD_ATTRIBUTES


def mapping() -> dict[str, Any]:
    """ECS' mappings of the fields that llmlog writes, those of llmlog's own, and every label a keyword."""
    properties: dict[str, Any] = {}
    for name, kind in {**TYPES, **OURS, "llmlog.finish_reason": "keyword"}.items():
        *above, last = name.split(".")
        place = properties
        for part in above:
            place = place.setdefault(part, {"properties": {}})["properties"]
        place[last] = {"type": kind, **({"ignore_above": 1024} if kind in ("keyword", "wildcard") else {})}
    labels = {"path_match": "labels.*", "mapping": {"type": "keyword", "ignore_above": 1024}}
    return {"date_detection": False, "dynamic_templates": [{"labels": labels}], "properties": properties}


TEXTS = ["", " ", "word", "2026-01-02T03:04:05Z", "é€😀", "x" * 40_000, "\ud800", "null", "1e400", "a\nb\x00"]
NUMBERS = [0, 1, -1, 2**31, 2**63, 2**64, 10**30, 0.5, 1e300, math.inf, math.nan, True, False]


def odd(chance: random.Random, depth: int = 2) -> Any:
    kind = chance.randrange(8 if depth else 5)
    if kind < 2:
        return chance.choice(TEXTS)
    if kind < 4:
        return chance.choice(NUMBERS)
    if kind == 4:
        return chance.choice([None, object, {1}, b"\xff", 3j])
    if kind == 5:
        return [odd(chance, depth - 1) for _ in range(chance.randrange(3))]
    return {
        chance.choice(["a", "b.c", "", 1, None, "type"]): odd(chance, depth - 1) for _ in range(chance.randrange(3))
    }


def test_every_document_is_taken(opensearch: OpenSearch) -> None:
    """Seeded noise in llmlog's fields and an application's: none is refused, and the figures can be added up."""
    chance = random.Random(7)
    formatter = JSONFormatter(schema="ecs", constants={"service": "shop", "region": "eu"})
    own = ["http", "error", "log", "event", "user", "service", "url", "tags", "labels", "shelf", "a.b", "a", "x.y"]
    names = [name for name in FIELDS if name not in STANDARD_ATTRIBUTES]
    documents = []
    for number in range(600):
        made = logging.LogRecord("app", logging.INFO, "a.py", 1, chance.choice(TEXTS), None, None)
        for name in [*chance.sample(names, 12), *chance.sample([*own, "", " "], 5)]:
            value = odd(chance)
            # An object under one of ECS' own names is the application's: the same types in each document are, too.
            made.__dict__[name] = [value] if isinstance(value, dict) else value
        made.__dict__["record_id"], made.__dict__["input_tokens"] = f"r-{number}", 10
        documents.append((f"r-{number}", json.loads(formatter.format(made))))
    opensearch.ask("/ecs-noise", {"mappings": mapping()}, method="PUT")
    opensearch.bulk("ecs-noise", documents)
    found = opensearch.search(
        "ecs-noise",
        {"size": 0, "track_total_hits": True, "aggs": {"sum": {"sum": {"field": "gen_ai.usage.input_tokens"}}}},
    )
    assert found["hits"]["total"]["value"] == 600
    assert found["aggregations"]["sum"]["value"] == 6000


def test_a_call_can_be_charted(opensearch: OpenSearch) -> None:
    """Finish reasons by word, and by ECS' nested query; durations in nanoseconds."""
    made = logging.LogRecord("llmlog.calls", logging.INFO, "a.py", 1, "done", None, None)
    made.__dict__.update(
        event="llm.call", finish_reason=["stop", "length"], latency_ms=1203.4, http="x", http_status=429
    )
    document = json.loads(JSONFormatter(schema="ecs").format(made))
    opensearch.ask("/ecs-call", {"mappings": mapping()}, method="PUT")
    opensearch.bulk("ecs-call", [("one", document)])
    nested = {"path": "gen_ai.response.finish_reasons"}
    by_word = {"terms": {"field": "llmlog.finish_reason"}}
    found = opensearch.search(
        "ecs-call",
        {
            "query": {"bool": {"filter": [
                {"nested": {**nested, "query": {"match": {"gen_ai.response.finish_reasons.reason": "stop"}}}},
                {"range": {"event.duration": {"gte": 1_203_000_000, "lt": 1_204_000_000}}},
                {"term": {"http.response.status_code": 429}},
                {"term": {"labels.http": "x"}},
            ]}},
            "aggs": {"reasons": by_word},
        },
    )  # fmt: skip
    assert found["hits"]["total"]["value"] == 1
    assert {bucket["key"] for bucket in found["aggregations"]["reasons"]["buckets"]} == {"stop", "length"}
