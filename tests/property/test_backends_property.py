"""Any entries and any server: each entry is stored once, or put aside, and what is sent can be read."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from delivering import SECOND, delivered, each_once, sent
from fake_loki import HOUR, Loki
from hypothesis import given
from hypothesis import strategies as st

from llmlog.handlers.backend import Entry
from llmlog.handlers.elasticsearch import ElasticsearchBackend
from llmlog.handlers.loki import LokiBackend
from llmlog.testing import FakeTransport

NOW = 1_795_000_000 * SECOND

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
names = texts | st.sampled_from(
    ["timestamp", "@timestamp", "Timestamp", "level", "service", "record_id", "latency_ms", "model", "request_id",
     "truncated", "unmapped", "Attributes", "Resource", "finish_reason"]
)  # fmt: skip
offsets = st.sampled_from([0, 1, -HOUR // 2, -2 * HOUR, -5 * HOUR, -200 * HOUR, HOUR // 20, 3 * HOUR])


@st.composite
def batches(draw: st.DrawFn) -> list[Entry]:
    made = []
    for i, (offset, fields, padding) in enumerate(
        draw(st.lists(st.tuples(offsets, st.dictionaries(names, values, max_size=6), st.sampled_from([0, 0, 0, 2000]))))
    ):
        if padding:
            fields["prompt"] = "x" * padding
        line = json.dumps(fields, ensure_ascii=draw(st.booleans())).encode()
        made.append(Entry(NOW + offset + i * 1000, line, f"k{i}"))
    return made


@given(batches(), st.sampled_from([1000, 262_144]), st.sampled_from([16, 65_536]))
def test_loki_has_each_entry_once(batch: list[Entry], line_limit: int, metadata_limit: int) -> None:
    """Whatever their times, labels and sizes: what Loki could take in any form is there, and nothing twice."""
    server = Loki(NOW, newest={'{level="unknown"}': NOW})
    server.line_limit, server.metadata_limit = line_limit, metadata_limit
    backend = LokiBackend("http://loki", FakeTransport(server), clock=lambda: NOW)
    aside = delivered(backend, batch)
    assert len(server.stored) + len(aside) == len(batch)
    assert all("max entry size" in reason for _, reason in aside)  # nothing in them could be cut
    lines = Counter(one.line.decode() for one in batch)
    others = Counter(line for *_, line in server.stored) - lines
    assert all(len(line.encode()) <= line_limit for line in others)
    assert sum(others.values()) <= sum(len(one.line) > line_limit for one in batch)


@given(batches())
def test_loki_has_nothing_twice_when_all_is_sent_again(batch: list[Entry]) -> None:
    """An answer that was lost makes a second sending, of the same lines at the same times."""
    server = Loki(max((one.stamp for one in batch), default=NOW))
    on_time = [one for one in batch if one.stamp > server.now - HOUR]
    backend = LokiBackend("http://loki", FakeTransport(server), clock=lambda: NOW)
    for again in (on_time, sent(on_time)):
        outcome = backend.send(again)
        assert [*outcome.again, *outcome.refused] == []
    assert len(server.stored) == len(on_time)


class Elastic:
    """Answers bulk requests with the statuses that it is given, once for each id, and then stores."""

    def __init__(self, statuses: list[int]) -> None:
        self.statuses = statuses
        self.stored: dict[str, Any] = {}

    def __call__(self, sent: Any) -> tuple[int, str]:
        lines = [json.loads(line) for line in sent.body.splitlines()]
        items = []
        for action, document in zip(lines[::2], lines[1::2], strict=True):
            id = action["create"]["_id"]
            assert isinstance(document["@timestamp"], (str, int))
            status = self.statuses.pop() if self.statuses else 201
            if status == 201 and id in self.stored:
                status = 409
            if status in (201, 504):  # stored, and the answer was lost on the way
                self.stored.setdefault(id, document)
            error = {"type": "mapper_parsing_exception", "reason": "failed to parse field [model] of type [long]"}
            items.append({"create": {"status": status, **({} if status < 300 else {"error": error})}})
        return 200, json.dumps({"errors": True, "items": items})


@given(batches(), st.lists(st.sampled_from([201, 409, 429, 400, 500, 504]), max_size=30))
def test_elasticsearch_has_each_entry_once(batch: list[Entry], statuses: list[int]) -> None:
    """Whatever the statuses: each entry is stored under its key, or put aside, and keeps its content."""
    server = Elastic([status for status in statuses if status != 409])
    backend = ElasticsearchBackend("http://node", FakeTransport(server))
    aside = delivered(backend, batch)
    each_once(batch, [one for one, _ in aside])
    assert server.stored.keys() | {one.key for one, _ in aside} == {one.key for one in batch}
    for one in batch:
        document = server.stored.get(one.key)
        if document is not None and "unmapped" not in document:
            fields = json.loads(one.line)
            assert all(document[name] == fields[name] for name in fields if name.lower().strip("@") != "timestamp")
