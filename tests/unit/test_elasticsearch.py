"""ElasticsearchBackend over a transport that plays the server: what it sends, and what it makes of the answers."""

from __future__ import annotations

import json
import logging
import pathlib
from collections.abc import Sequence
from typing import Any

import pytest
from delivering import SECOND, delivered, each_once, entry

from llmlog.formatters import JSONFormatter
from llmlog.handlers import ElasticsearchHandler
from llmlog.handlers.backend import Entry
from llmlog.handlers.elasticsearch import ElasticsearchBackend
from llmlog.handlers.transport import Answer
from llmlog.testing import FakeClock, FakeTransport

NOW = 1_795_000_000 * SECOND + 123_456_789  # 2026-11-18T11:06:40Z
URL = "http://node:9200"
OK = (200, '{"errors":false,"items":[]}')


def backend(
    *answers: Any, urls: str | Sequence[str] = URL, **options: Any
) -> tuple[ElasticsearchBackend, FakeTransport]:
    fake = FakeTransport(*(answers or (OK,)))
    return ElasticsearchBackend(urls, fake, **options), fake


def items(fake: FakeTransport, request: int = -1) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """What a request creates: (action, document)."""
    body = fake.requests[request].body
    assert body.endswith(b"\n")
    lines = [json.loads(line) for line in body.splitlines()]
    return [(action["create"], document) for action, document in zip(lines[::2], lines[1::2], strict=True)]


def created(*entries: Entry, **options: Any) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    elastic, fake = backend(**options)
    assert elastic.send(entries).refused == ()
    return items(fake)


def answer(*statuses: int, reason: str = "no", type: str = "mapper_parsing_exception") -> tuple[int, str]:
    """A bulk answer with these items."""
    states = [
        {
            "create": {"status": status}
            if status < 300
            else {"status": status, "error": {"type": type, "reason": reason}}
        }
        for status in statuses
    ]
    return 200, json.dumps({"errors": True, "items": states})


def formatted(schema: str, logger: str = "llmlog.calls", **fields: Any) -> Entry:
    record = logging.makeLogRecord({"name": logger, "levelname": "INFO", "levelno": 20, "msg": "m", **fields})
    record.created = NOW / SECOND
    return Entry(NOW, JSONFormatter(schema=schema).format(record).encode(), "segment:17")


def test_a_bulk() -> None:
    """One request: an action and a document for each, in order, and a newline after the last."""
    elastic, fake = backend()
    assert elastic.send([entry(NOW, key="a"), entry(NOW, key="b")]) == elastic.send([])
    sent = fake.requests[0]
    assert (sent.method, sent.headers) == ("POST", {"Content-Type": "application/x-ndjson"})
    assert sent.url.startswith(f"{URL}/logs-llmlog-default/_bulk?filter_path=errors,items.*.status,")
    assert [action for action, _ in items(fake, 0)] == [{"_id": "a"}, {"_id": "b"}]


@pytest.mark.parametrize("schema", ["flat", "ecs", "otel"])
def test_a_document_is_the_line_with_its_time(schema: str) -> None:
    """In every schema its time is @timestamp, and nothing is lost; in flat and ECS the record's id is its own."""
    one = formatted(schema, record_id="0123456789abcdef" * 2, model="m", note="ü")
    [(action, document)] = created(one)
    assert action == {"_id": "segment:17" if schema == "otel" else "0123456789abcdef" * 2}
    record = json.loads(one.line)
    for name in ("timestamp", "Timestamp"):
        if name in record:
            record["@timestamp"] = record.pop(name)
    assert document == record
    assert document["@timestamp"] == "2026-11-18T11:06:40.123457Z"


@pytest.mark.parametrize("schema", ["flat", "ecs", "otel"])
@pytest.mark.parametrize(
    ("logger", "fields"),
    [
        ("app", {"record_id": "a" * 32}),
        ("llmlog.calls", {"record_id": "the same"}),
        ("llmlog.calls", {"record_id": 'a"b'}),
        ("app", {"call": {"logger": "llmlog.calls", "log.logger": "llmlog.calls", "record_id": "a" * 32}}),
        ("llmlog.calls", {"record_id": "a" * 32, "note": [{"record_id": "b" * 32}]}),
        ("app", {"msg": '"logger":"llmlog.calls","record_id":"' + "a" * 32 + '"'}),
    ],
)
def test_an_id_that_is_not_certainly_unique_is_no_key(schema: str, logger: str, fields: dict[str, Any]) -> None:
    """A record of the application with somebody's record_id must not pass for one that is there already."""
    [(action, _)] = created(formatted(schema, logger, **fields))
    has_one = schema == "ecs" and logger != "app" and fields.get("record_id") == "a" * 32
    assert action["_id"] == ("a" * 32 if has_one else "segment:17")


@pytest.mark.parametrize(
    ("line", "document"),
    [
        (b'{"message":"m"}', {"@timestamp": "2026-11-18T11:06:40.123456Z", "message": "m"}),
        (b'{"message":"m","timestamp":"t"}', {"@timestamp": "t", "message": "m"}),
        (
            b'{"message":"m","timestamp":5}',
            {"@timestamp": "2026-11-18T11:06:40.123456Z", "message": "m", "timestamp": 5},
        ),
        (b'{"message":"m","@timestamp":null}', {"@timestamp": "2026-11-18T11:06:40.123456Z", "message": "m"}),
        (b'{"a":1,"@timestamp":17}', {"a": 1, "@timestamp": 17}),
        (b'{"a":1,"@timestamp":"t"}', {"a": 1, "@timestamp": "t"}),
        (b"[1]", {"@timestamp": "2026-11-18T11:06:40.123456Z", "message": "[1]"}),
        (b"{", {"@timestamp": "2026-11-18T11:06:40.123456Z", "message": "{"}),
    ],
)
def test_lines_that_do_not_begin_with_their_time(line: bytes, document: dict[str, Any]) -> None:
    """They get the spool's, where they have none: a data stream takes no document without."""
    assert created(Entry(NOW, line, "k")) == [({"_id": "k"}, document)]


def test_dated_indices() -> None:
    """Each document goes into the index of its own time, in UTC, in one request."""
    day = 86_400 * SECOND
    elastic, fake = backend(index="llmlog-%Y.%m.%d-%H")
    elastic.send([entry(NOW), entry(NOW - day), entry(NOW + day)])
    assert fake.requests[0].url.startswith(f"{URL}/_bulk?")
    assert [action["_index"] for action, _ in items(fake)] == [f"llmlog-2026.11.{n}-11" for n in (18, 17, 19)]


def test_each_items_status() -> None:
    """Stored, there already, busy, broken, refused: each entry is one of them."""
    batch = [entry(NOW + i, key=str(i)) for i in range(8)]
    outcome = backend(answer(201, 409, 429, 503, 400, 201, 422, 500, reason="failed to parse"))[0].send(batch)
    assert [one.key for one in outcome.again] == ["2", "3", "7"]
    assert [one.key for one, _ in outcome.refused] == ["4", "6"]
    assert outcome.refused[0][1] == "mapper_parsing_exception: failed to parse"
    assert not outcome.denied


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_the_index_does_not_take_is_no_fault_of_a_record(status: int) -> None:
    """No right to write, a blocked index, none at all: said where nothing is taken, else tried again."""
    batch = [entry(NOW), entry(NOW + 1)]
    blocked = answer(status, status, type="cluster_block_exception", reason="blocked")
    assert backend(blocked)[0].send(batch).denied == "cluster_block_exception: blocked"
    outcome = backend(answer(201, status))[0].send(batch)
    assert (list(outcome.again), outcome.refused, outcome.denied) == (batch[1:], [], "")


@pytest.mark.parametrize(
    ("type", "reason"),
    [
        ("index_closed_exception", "closed"),
        ("invalid_index_name_exception", "Invalid index name [Logs]"),
        ("validation_exception", "Validation Failed: 1: this action would add [2] shards, but this cluster has"),
        ("illegal_argument_exception", "no write index is defined for alias [logs]"),
        ("illegal_argument_exception", "pipeline with id [logs] does not exist"),
    ],
)
def test_an_index_that_takes_nothing_is_no_fault_of_a_record(type: str, reason: str) -> None:
    """Although it is a 400: the records stay, and it is told."""
    batch = [entry(NOW), entry(NOW + 1)]
    outcome = backend(answer(400, 400, type=type, reason=reason))[0].send(batch)
    assert (outcome.denied, outcome.refused) == (f"{type}: {reason}", ())


def test_a_records_own_words_do_not_stop_the_others() -> None:
    """A server shows the value that it refuses; a value that sounds like an error of the index is a value."""
    batch = [entry(NOW)]
    for words in ("index_closed_exception", "validation_exception: this action would add"):
        reason = f"failed to parse field [a]. Preview of field's value: '{words}'"
        outcome = backend(answer(400, reason=reason))[0].send(batch)
        assert (outcome.denied, [one for one, _ in outcome.refused]) == ("", batch)


@pytest.mark.parametrize("body", ["", "<html>", "[]", '{"errors":true}', '{"errors":true,"items":[]}',
                                  '{"errors":true,"items":[{}]}', '{"errors":true,"items":[{"create":5}]}',
                                  '{"errors":true,"items":[{"create":{}}]}'])  # fmt: skip
def test_an_answer_that_cannot_be_read(body: str) -> None:
    """A proxy's page is no word on what was stored: again, under the same ids."""
    batch = [entry(NOW)]
    assert list(backend((200, body))[0].send(batch).again) == batch


def test_the_whole_request_is_refused() -> None:
    """Its halves are sent, down to the one at fault."""

    def picky(sent: Any) -> Any:
        return (400, "illegal_argument_exception") if b"poison" in sent.body else OK

    elastic, fake = backend(picky)
    poison = entry(NOW, message="poison", x=1)
    aside = delivered(elastic, [*(entry(NOW + i) for i in range(6)), poison])
    assert [json.loads(one.line)["message"] for one, _ in aside] == ["poison"]
    assert len(fake.requests) > 3


def test_mending_moves_the_named_field_first() -> None:
    """Then everything that is not llmlog's, and then it is put aside; the id stays the same."""
    elastic, _ = backend()
    one = entry(NOW, logger="llmlog.calls", record_id="a" * 32, latency_ms="soon", http="x", note=1, cost_usd=0.5)
    reason = "mapper_parsing_exception: failed to parse field [latency_ms] of type [double] in document with id 'a'"
    first = elastic.mended(one, reason)
    assert first is not None
    [(action, document)] = created(first)
    assert action == {"_id": "a" * 32}
    assert json.loads(document.pop("unmapped")) == {"latency_ms": "soon"}
    assert (document["http"], document["cost_usd"], document["record_id"]) == ("x", 0.5, "a" * 32)
    second = elastic.mended(first, "illegal_argument_exception: object mapping for [http] tried to parse")
    assert second is not None
    [(_, document)] = created(second)
    assert json.loads(document.pop("unmapped")) == {"latency_ms": "soon", "http": "x", "note": 1}
    assert document.keys() == {"@timestamp", "level", "logger", "message", "record_id", "cost_usd"}
    assert elastic.mended(second, reason) is None


@pytest.mark.parametrize(
    ("reason", "moved"),
    [
        ("mapper_parsing_exception: object mapping for [http] tried to parse field [http] as object", {"http"}),
        ("mapper_parsing_exception: failed to parse field [a.b] of type [long] in document", {"a"}),
        ("illegal_argument_exception: can't merge a non object mapping [http] with an object mapping", {"http"}),
        ("mapper_parsing_exception: Could not dynamically add mapping for field [x.y]. Existing mapping", {"x.y"}),
        ("strict_dynamic_mapping_exception: mapping set to strict, dynamic introduction of [http] within", {"http"}),
        ("document_parsing_exception: [1:309] failed to parse field [http] of type [long] in document", {"http"}),
        ("illegal_argument_exception: Limit of total fields [1000] has been exceeded", {"http", "a", "x.y"}),
        ("mapper_parsing_exception: failed to parse", {"http", "a", "x.y"}),
    ],
)
def test_reasons(reason: str, moved: set[str]) -> None:
    """Each server and version has its own words for it."""
    mended = backend()[0].mended(entry(NOW, http="x", a={"b": "c"}, model="m", **{"x.y": 1}), reason)
    assert mended is not None
    document = json.loads(mended.line)
    assert json.loads(document["unmapped"]).keys() == moved
    assert document["model"] == "m"


def test_texts_are_cut_where_they_are_too_long() -> None:
    """A term that Lucene does not take, a document that the server does not: the figures are kept."""
    elastic, _ = backend()
    one = entry(NOW, prompt="x" * 100_000, cost_usd=0.5)
    for reason, most in (
        ("illegal_argument_exception: Document contains at least one immense term", 32_766),
        ("413", 60_000),
    ):
        mended = elastic.mended(one, reason)
        assert mended is not None
        document = json.loads(mended.line)
        assert len(mended.line) <= most
        assert (document["cost_usd"], document["truncated"]) == (0.5, True)
    assert elastic.mended(entry(NOW), "illegal_argument_exception: immense term") is None
    huge = elastic.mended(entry(NOW, prompt="x" * 20_000_000), "413: request entity too large")
    assert huge is not None
    assert len(huge.line) <= 256 * 1024  # at once: a record is mended four times at the most


# Several nodes -------------------------------------------------------------------------------------


def test_nodes_take_turns() -> None:
    """Each request goes to the next one."""
    elastic, fake = backend(urls=["http://a", "http://b", "http://c"])
    for _ in range(6):
        elastic.send([entry(NOW)])
    hosts = [sent.url.partition("/logs")[0] for sent in fake.requests]
    assert sorted(hosts[:3]) == ["http://a", "http://b", "http://c"]
    assert hosts[:3] == hosts[3:]


@pytest.mark.parametrize("failure", [OSError("gone"), TimeoutError("late"), 502, 503, 504])
def test_a_failed_node_rests(failure: Any) -> None:
    """The others are asked meanwhile; after a while it has its turn again."""
    clock = FakeClock()
    down = True

    def answers(sent: Any) -> Any:
        return failure if down and sent.url.startswith("http://a") else OK

    elastic, fake = backend(answers, urls=["http://a", "http://b"], clock=clock)
    for _ in range(10):
        assert elastic.send([entry(NOW)]).again == ()
    assert sum(sent.url.startswith("http://a") for sent in fake.requests) == 1
    down = False
    clock.advance(31)
    for _ in range(2):
        elastic.send([entry(NOW)])
    assert {sent.url.partition("/logs")[0] for sent in fake.requests[-2:]} == {"http://a", "http://b"}


def test_all_nodes_are_down() -> None:
    """The last word: an answer where one gave any, else the error. Each is asked, resting or not."""
    elastic, fake = backend(OSError("gone"), urls=["http://a", "http://b"])
    for count in (2, 4):
        with pytest.raises(OSError, match="gone"):
            elastic.send([entry(NOW)])
        assert len(fake.requests) == count
    batch = [entry(NOW)]
    elastic, _ = backend(Answer(503, {"retry-after": "9"}, b""), OSError("gone"), urls=["http://a", "http://b"])
    outcome = elastic.send(batch)
    assert (list(outcome.again), outcome.pause) == (batch, 9.0)


# The handler ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "shown"),
    [
        ({"index": 5}, TypeError, "5"),
        ({"index": "Logs"}, ValueError, "'Logs'"),
        ({"index": ""}, ValueError, "''"),
        ({"index": "_a"}, ValueError, "'_a'"),
        ({"index": "a b"}, ValueError, "'a b'"),
        ({"index": "a/b"}, ValueError, "'a/b'"),
        ({"index": "a-%M"}, ValueError, "'a-%M'"),
        ({"index": "a%"}, ValueError, "'a%'"),
        ({"url": []}, ValueError, r"\[\]"),
        ({"url": 5}, TypeError, "int"),
        ({"url": [5]}, TypeError, "list"),
        ({"url": ["http://a", "b"]}, ValueError, "'b'"),
        ({"api_key": 5}, TypeError, "int"),
        ({"api_key": " "}, ValueError, "api_key"),
        ({"api_key": "s3cret", "auth": ("a", "s3cret")}, ValueError, "one of them"),
        ({"api_key": "s3cret\n"}, ValueError, "Authorization"),
    ],
)
def test_options_without_a_meaning(
    tmp_path: pathlib.Path, options: dict[str, Any], error: type[Exception], shown: str
) -> None:
    """They are refused at the call, with the value unless it is a secret, and no folder is made."""
    with pytest.raises(error, match=shown) as raised:
        ElasticsearchHandler(**{"url": URL, "spool": tmp_path, **options})
    assert "s3cret" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_the_handler(tmp_path: pathlib.Path) -> None:
    """A record comes out of the logging call, through the spool, as a document with a key of its own."""
    fake = FakeTransport(OK)
    handler = ElasticsearchHandler([URL, "http://b"], index="llmlog-%Y", spool=tmp_path, transport=fake)
    logger = logging.Logger("app")
    logger.addHandler(handler)
    for _ in range(2):
        logger.warning("hello %s", "you", extra={"record_id": "same"})
    assert handler.flush(30)
    (first, document), (second, _) = [item for request in range(len(fake.requests)) for item in items(fake, request)]
    assert first["_id"] != second["_id"]
    assert first["_index"].startswith("llmlog-2")
    assert document["message"] == "hello you"
    handler.close()
    assert fake.closed


def test_every_outcome_settles_each_entry_once() -> None:
    """No entry is in two parts of an outcome."""
    batch = [entry(NOW + i) for i in range(4)]
    outcome = backend(answer(201, 400, 429, 409))[0].send(batch)
    each_once(batch, outcome.again, [one for one, _ in outcome.refused])
