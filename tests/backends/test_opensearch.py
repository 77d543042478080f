"""ElasticsearchBackend against a real OpenSearch: each item's status, and what becomes of it."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from delivering import SECOND, delivered, entry

from backends.real import OpenSearch, free_port
from llmlog.handlers.elasticsearch import ElasticsearchBackend
from llmlog.handlers.transport import HTTPTransport


@pytest.fixture
def index() -> str:
    return f"logs-llmlog-t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def stream(opensearch: OpenSearch, index: str) -> str:
    """A data stream's name, with a template of its own and no mapping but the time's."""
    template = {
        "index_patterns": [index],
        "data_stream": {},
        "priority": 500,
        "template": {"settings": {"index": {"number_of_replicas": 0}}},
    }
    opensearch.ask(f"_index_template/{index}", template, method="PUT")
    return index


def backend(opensearch: OpenSearch, index: str) -> ElasticsearchBackend:
    return ElasticsearchBackend(opensearch.url, HTTPTransport(), index=index)


@pytest.mark.parametrize("kind", ["stream", "index"])
def test_a_bulk(opensearch: OpenSearch, request: pytest.FixtureRequest, kind: str) -> None:
    """The documents are the records, with the time under its usual name; sent twice they are there once."""
    index = request.getfixturevalue(kind)
    call = entry(logger="llmlog.calls", record_id="a" * 32, model="gpt-4o-mini", cost_usd=2.5e-06, note="ü")
    batch = [call, *(entry(message=f"{i}", record_id="same") for i in range(30))]
    for _ in range(2):
        assert delivered(backend(opensearch, index), batch, sends=2) == []
    assert len(opensearch.documents(index)) == 31
    [hit] = opensearch.search(index, {"query": {"ids": {"values": ["a" * 32]}}})["hits"]["hits"]
    record = json.loads(call.line)
    record["@timestamp"] = record.pop("timestamp")
    assert hit["_source"] == record
    keys = [one.key for one in batch[1:]]
    assert opensearch.search(index, {"query": {"ids": {"values": keys}}})["hits"]["total"]["value"] == 30


def test_dated_indices(opensearch: OpenSearch) -> None:
    """Each record goes into the index of its own day."""
    prefix = f"llmlog-{uuid.uuid4().hex[:12]}"
    days = [1_795_000_000 * SECOND, 1_795_100_000 * SECOND]
    assert delivered(backend(opensearch, f"{prefix}-%Y.%m.%d"), [entry(day) for day in days], sends=2) == []
    for day in ("2026.11.18", "2026.11.19"):
        assert len(opensearch.documents(f"{prefix}-{day}")) == 1


def conflicts(opensearch: OpenSearch, index: str) -> list[dict[str, Any]]:
    return [one for one in opensearch.documents(index) if "unmapped" in one]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"latency_ms": 5.5}, {"latency_ms": "soon"}),
        ({"http": "GET"}, {"http": {"method": "GET"}}),
        ({"http": {"method": "GET"}}, {"http": "GET"}),
        ({"http": "GET"}, {"http.method": "GET"}),
        ({"when": "2026-11-21"}, {"when": "yesterday"}),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": "one"}}}),
        ({"a": {"b": 1}}, {"a": {"b": {"c": 2}}}),
        ({"one": 1, "two": 2, "three": 3}, {"one": "x", "two": "y", "three": "z"}),
    ],
)
def test_a_conflict_with_the_mapping(opensearch: OpenSearch, stream: str, first: Any, then: Any) -> None:
    """The field is moved aside as a text, so that the record and its figures arrive."""
    good = entry(**first, cost_usd=0.5)
    assert delivered(backend(opensearch, stream), [good]) == []
    bad = entry(**then, cost_usd=0.25, message="bad")
    assert delivered(backend(opensearch, stream), [entry(message="other"), bad]) == []
    [document] = conflicts(opensearch, stream)
    assert (document["message"], document["cost_usd"]) == ("bad", 0.25)
    assert json.loads(document["unmapped"]) == then
    assert document.keys().isdisjoint(then)
    total = opensearch.search(stream, {"aggs": {"cost": {"sum": {"field": "cost_usd"}}}})
    assert total["aggregations"]["cost"]["value"] == 0.75
    assert total["hits"]["total"]["value"] == 3


def test_a_time_that_is_none(opensearch: OpenSearch, stream: str) -> None:
    """A record whose time cannot be read has the one that the spool gave it."""
    odd = entry(message="odd", timestamp="noon")
    none = odd._replace(line=b'{"level":"INFO","message":"none"}', key="none")
    assert delivered(backend(opensearch, stream), [odd, none]) == []
    found = {one["message"]: one for one in opensearch.documents(stream)}
    assert found["odd"]["@timestamp"] == found["none"]["@timestamp"]
    assert json.loads(found["odd"]["unmapped"]) == {"timestamp": "noon"}


def test_too_many_fields(opensearch: OpenSearch, stream: str) -> None:
    """A record that would exceed the mapping's thousand fields comes with its own ones, and the rest as one text."""
    many = {f"field_{i}": i for i in range(1200)}
    assert delivered(backend(opensearch, stream), [entry(**many, model="m", cost_usd=0.5)]) == []
    [document] = opensearch.documents(stream)
    assert (document["model"], document["cost_usd"]) == ("m", 0.5)
    assert json.loads(document["unmapped"]) == many


def test_an_immense_term(opensearch: OpenSearch, index: str) -> None:
    """A text that is too long for a keyword is cut; the figures are kept."""
    opensearch.ask(index, {"mappings": {"properties": {"prompt": {"type": "keyword"}}}}, method="PUT")
    assert delivered(backend(opensearch, index), [entry(prompt="x" * 50_000, cost_usd=0.5)]) == []
    [document] = opensearch.documents(index)
    assert (document["truncated"], document["cost_usd"]) == (True, 0.5)
    assert len(document["prompt"]) > 10_000


def test_nothing_is_stored_of_nothing(opensearch: OpenSearch, index: str) -> None:
    """What cannot be mended is put aside with the words of the server."""
    opensearch.ask(
        index, {"mappings": {"dynamic": "strict", "properties": {"@timestamp": {"type": "date"}}}}, method="PUT"
    )
    [(_, reason)] = delivered(backend(opensearch, index), [entry()])
    assert "strict_dynamic_mapping_exception" in reason


@pytest.mark.parametrize("closed", [True, False])
def test_a_closed_index_is_no_fault_of_a_record(opensearch: OpenSearch, index: str, closed: bool) -> None:
    """An index that takes no writes, or is closed: nothing is put aside, all is tried again later."""
    assert delivered(backend(opensearch, index), [entry()]) == []
    if closed:
        opensearch.ask(f"{index}/_close", method="POST")
    else:
        opensearch.ask(f"{index}/_settings", {"index.blocks.write": True}, method="PUT")
    batch = [entry(), entry()]
    outcome = backend(opensearch, index).send(batch)
    assert outcome.refused == ()
    assert outcome.denied or list(outcome.again) == batch


def test_an_index_that_cannot_be_made_is_no_fault_of_a_record(opensearch: OpenSearch, index: str) -> None:
    """A cluster that has all the shards it may have, which it says by a 400."""
    assert delivered(backend(opensearch, index), [entry()]) == []
    limit = {"persistent": {"cluster.max_shards_per_node": 1}}
    opensearch.ask("_cluster/settings", limit, method="PUT")
    try:
        outcome = backend(opensearch, f"{index}-other").send([entry()])
    finally:
        opensearch.ask("_cluster/settings", {"persistent": {"cluster.max_shards_per_node": None}}, method="PUT")
    assert "shards" in outcome.denied
    assert outcome.refused == ()


def test_a_node_that_is_down(opensearch: OpenSearch, index: str) -> None:
    """The other node is asked, and the one that failed rests."""
    down = f"http://127.0.0.1:{free_port()}"
    two = ElasticsearchBackend([down, opensearch.url], HTTPTransport(), index=index)
    for _ in range(4):
        assert delivered(two, [entry()], sends=2) == []
    assert len(opensearch.documents(index)) == 4
