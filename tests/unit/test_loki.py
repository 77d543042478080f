"""LokiBackend over a transport that plays Loki: what it pushes, and what it makes of the answers."""

from __future__ import annotations

import json
import logging
import pathlib
from collections.abc import Sequence
from typing import Any

import pytest
from delivering import SECOND, delivered, each_once, entry, sent
from fake_loki import Loki

from llmlog.formatters import JSONFormatter
from llmlog.handlers import LokiHandler
from llmlog.handlers.backend import Entry, Outcome
from llmlog.handlers.loki import LokiBackend
from llmlog.semconv import FIELDS
from llmlog.testing import FakeTransport

NOW = 1_795_000_000 * SECOND  # 2026-11-18T11:06:40Z
HOUR = 3600 * SECOND
URL = "http://loki:3100"


def backend(*answers: Any, **options: Any) -> tuple[LokiBackend, FakeTransport]:
    fake = FakeTransport(*answers)
    return LokiBackend(URL, fake, clock=lambda: NOW, **options), fake


def pushed(fake: FakeTransport, request: int = -1) -> list[Any]:
    made = [one for one in fake.requests if one.method == "POST"]
    return list(json.loads(made[request].body)["streams"])


def pushes(*entries: Entry, **options: Any) -> list[Any]:
    loki, fake = backend(**options)
    outcome = loki.send(entries)
    assert [*outcome.refused, *outcome.again] == []
    return [stream for request in range(len(fake.requests)) for stream in pushed(fake, request)]


def formatted(schema: str, **fields: Any) -> Entry:
    record = logging.makeLogRecord({"name": "llmlog.calls", "levelname": "INFO", "levelno": 20, "msg": "m", **fields})
    constants = {"service": "shop", "env": "prod"}
    return Entry(NOW, JSONFormatter(schema=schema, constants=constants).format(record).encode(), "k")


@pytest.mark.parametrize("url", [URL, URL + "/", URL + "/loki/api/v1/push", URL + "/loki/api/v1/push/"])
def test_a_push(url: str) -> None:
    """One request to the push API, whichever way the URL is given, with the tenant's header."""
    fake = FakeTransport()
    assert LokiBackend(url, fake, tenant="team-a").send([entry(NOW)]) == Outcome([], [])
    [sent] = fake.requests
    assert (sent.method, sent.url) == ("POST", URL + "/loki/api/v1/push")
    assert sent.headers == {"Content-Type": "application/json", "X-Scope-OrgID": "team-a"}


def test_streams_by_labels_in_the_order_of_time() -> None:
    """Entries with the same labels are one stream, the oldest first; each is its stamp and its line, unchanged."""
    batch = [entry(NOW + i, level=level, message=f"ü{i}") for i, level in ((3, "INFO"), (1, "ERROR"), (2, "INFO"))]
    streams = pushes(*batch, labels={"service": "shop"})
    assert {stream["stream"]["level"]: stream["values"] for stream in streams} == {
        "INFO": [[str(one.stamp), one.line.decode()] for one in (batch[2], batch[0])],
        "ERROR": [[str(batch[1].stamp), batch[1].line.decode()]],
    }
    assert all(stream["stream"]["service"] == "shop" for stream in streams)


def test_one_stream_and_half_an_hour_to_a_push() -> None:
    """Of several streams' errors Loki tells the last one's or none, and it refuses lines that were stored as late."""
    batch = [entry(NOW + i * HOUR // 4, level=level) for i in range(9) for level in ("INFO", "ERROR")]
    loki, fake = backend()
    loki.send(batch)
    assert all(len(pushed(fake, request)) == 1 for request in range(len(fake.requests)))
    streams = [pushed(fake, request)[0] for request in range(len(fake.requests))]
    assert [len(stream["values"]) for stream in streams] == [3] * 6
    assert all(int(one["values"][-1][0]) - int(one["values"][0][0]) == HOUR // 2 for one in streams)


@pytest.mark.parametrize("schema", ["flat", "otel", "ecs"])
def test_labels_and_metadata_have_the_same_names_in_every_schema(schema: str) -> None:
    """A dashboard's query does not depend on the formatter's schema."""
    one = formatted(schema, event="app.event", record_id="r1", request_id="q1", model="m1", input_tokens=5,
                    cost_usd=0.25, user_id="u1", message_="own")  # fmt: skip
    [stream] = pushes(one, label_fields=("level", "service", "env"))
    assert {name: value.upper() for name, value in stream["stream"].items()} == {
        "level": "INFO", "service": "SHOP", "env": "PROD",
    }  # fmt: skip
    assert stream["values"][0][2] == {
        "event": "app.event", "record_id": "r1", "request_id": "q1", "model": "m1", "input_tokens": "5",
        "cost_usd": "0.25", "user_id": "u1",
    }  # fmt: skip


def test_metadata_is_text_and_bounded() -> None:
    """Numbers, lists and booleans are text, long values are cut, and all fields of the table fit into Loki's limits."""
    values = {name: "ü" * 10_000 for name, field in FIELDS.items() if field.loki == "metadata"}
    [[_, _, metadata]] = pushes(entry(NOW, **values))[0]["values"]
    assert metadata.keys() == values.keys()
    assert len(metadata) <= 128
    assert sum(len(name) + len(value.encode()) for name, value in metadata.items()) <= 65_536
    odd = entry(NOW, http_status=200, latency_ms=1e-07, finish_reason=["a", None], attempt=True, model=None)
    [[_, _, metadata]] = pushes(odd)[0]["values"]
    assert metadata == {
        "http_status": "200", "latency_ms": "1e-07", "finish_reason": '["a",null]', "attempt": "true",
    }  # fmt: skip


@pytest.mark.parametrize(
    "line", [b"[1]", b"{", b'{"message":"m"}', b'{"level":null}', b'{"level":{"a":1}}', b"{}", b"\xff"]
)
def test_odd_lines_have_a_label_too(line: bytes) -> None:
    """Loki takes no stream without one."""
    [stream] = pushes(Entry(NOW, line, "k"))
    assert stream["stream"]["level"] in ("unknown", '{"a":1}')
    assert stream["values"][0][1] == line.decode("utf-8", "replace")


def test_a_label_of_too_many_values() -> None:
    """Each value is a stream, and Loki takes 5,000: beyond 200 of a field they share one."""
    streams = pushes(*(entry(NOW + i, path_kind=f"v{i}") for i in range(500)), label_fields=("path_kind",))
    labels = {stream["stream"]["path_kind"] for stream in streams}
    assert len(labels) == 201
    assert "other" in labels
    assert sum(len(stream["values"]) for stream in streams) == 500
    assert len(streams) == 201


@pytest.mark.parametrize(
    ("options", "error", "shown"),
    [
        ({"label_fields": ["request_id"]}, ValueError, "'request_id'"),
        ({"label_fields": ["latency_ms"]}, ValueError, "'latency_ms'"),
        ({"label_fields": ["message"]}, ValueError, "'message'"),
        ({"label_fields": ["prompt_sha256"]}, ValueError, "'prompt_sha256'"),
        ({"label_fields": ["order_id"]}, ValueError, "'order_id'"),
        ({"label_fields": ["session"]}, ValueError, "'session'"),
        ({"label_fields": "level"}, TypeError, "'level'"),
        ({"label_fields": [5]}, TypeError, "5"),
        ({"label_fields": 5}, TypeError, "5"),
        ({"label_fields": ["http.method"]}, ValueError, "'http.method'"),
        ({"label_fields": ["__name"]}, ValueError, "'__name'"),
        ({"label_fields": []}, ValueError, "needs a label"),
        ({"label_fields": ["team"], "labels": {"team": "a"}}, ValueError, "'team'"),
        ({"label_fields": [f"f{i}" for i in range(15)]}, ValueError, "15"),
        ({"labels": {"a.b": "c"}}, ValueError, "'a.b'"),
        ({"labels": {"late": "c"}}, ValueError, "'late'"),
        ({"labels": {"a": ""}}, ValueError, "'a'"),
        ({"labels": {"a": "x" * 600}}, ValueError, "'a'"),
        ({"labels": {"a": 5}}, TypeError, "5"),
        ({"labels": ["a"]}, TypeError, "'a'"),
        ({"tenant": 5}, TypeError, "5"),
        ({"tenant": "a\nb"}, ValueError, "a.*b"),
        ({"tenant": ""}, ValueError, "''"),
    ],
)
def test_options_without_a_meaning(options: dict[str, Any], error: type[Exception], shown: str) -> None:
    """Among them every label that would make a stream of each request."""
    with pytest.raises(error, match=shown):
        LokiBackend(URL, FakeTransport(), **options)


@pytest.mark.parametrize(
    "name", ["level", "service", "env", "model", "provider", "outcome", "event", "feature", "region"]
)
def test_fields_that_may_be_labels(name: str) -> None:
    """What has few values, the user's own too."""
    [stream] = pushes(one := entry(NOW, **{name: "x"}), label_fields=(name,))
    assert stream == {"stream": {name: "x"}, "values": [[str(NOW), one.line.decode()]]}  # and not in the metadata, too


# What Loki answers ---------------------------------------------------------------------------------


def settled(server: Loki, batch: Sequence[Entry], **options: Any) -> tuple[FakeTransport, list[tuple[Entry, str]]]:
    loki, fake = backend(server, **options)
    return fake, delivered(loki, batch)


def test_a_line_too_long_among_good_ones() -> None:
    """The good lines are there at the first push; the long one comes with its texts cut and its figures whole."""
    batch = [entry(NOW + i) for i in range(5)]
    batch.append(entry(NOW + 9, prompt="ü" * 300_000, latency_ms=5.5, cost_usd=2.5e-06))
    server = Loki(NOW)
    fake, aside = settled(server, batch)
    assert aside == []
    lines = [json.loads(line) for _, _, line in server.stored]
    assert len(lines) == 6
    [cut] = [line for line in lines if line.get("truncated")]
    assert (cut["latency_ms"], cut["cost_usd"], cut["prompt"][-1]) == (5.5, 2.5e-06, "…")
    assert len(fake.requests) == 3


@pytest.mark.parametrize("count", [1, 10, 500])
def test_lines_behind_their_stream(count: int) -> None:
    """Loki names ten of them: the others are told by the bound that it names, in a handful of pushes."""
    late = [entry(NOW - 3 * HOUR + i * SECOND, message=f"{i}") for i in range(count)]
    good = [entry(NOW - 100 + i) for i in range(50)]
    server = Loki(NOW, newest={'{level="INFO"}': NOW})
    fake, aside = settled(server, [*good, *late])
    assert aside == []
    assert len(fake.requests) <= 4
    names = {name for name, *_ in server.stored}
    assert names == {'{level="INFO"}', '{late="true", level="INFO"}'}
    assert len(server.stored) == count + 50
    assert {stamp for name, stamp, _ in server.stored if "late" in name} == {one.stamp for one in late}


def test_lines_behind_the_late_ones_too() -> None:
    """They get a time of now, each its own, are marked in their metadata, and tell their own time in the line."""
    late = [entry(NOW - 9 * HOUR + i, message=f"{i}") for i in range(20)]
    server = Loki(NOW, newest={'{level="INFO"}': NOW, '{late="true", level="INFO"}': NOW - HOUR})
    fake, aside = settled(server, late)
    assert aside == []
    assert len({stamp for _, stamp, _ in server.stored}) == 20
    assert all(NOW - HOUR // 2 <= stamp <= NOW for _, stamp, _ in server.stored)
    assert {name for name, *_ in server.stored} == {'{level="INFO"}'}
    assert all(value[2]["late"] == "true" for stream in pushed(fake) for value in stream["values"])
    assert {line for *_, line in server.stored} == {one.line.decode() for one in late}


@pytest.mark.parametrize("offset", [-200 * HOUR, 5 * HOUR])
def test_no_time_for_loki(offset: int) -> None:
    """Too old, or from a clock that runs ahead: the time of now, and the good ones once."""
    odd = [entry(NOW + offset + i * SECOND // 7, message=f"{i}") for i in range(40)]
    server = Loki(NOW)
    _, aside = settled(server, [*odd, *(entry(NOW - i) for i in range(5))])
    assert aside == []
    assert len(server.stored) == 45
    assert all(NOW - HOUR // 2 <= stamp <= NOW for _, stamp, _ in server.stored)
    _, aside = settled(server, sent(odd))  # by the next process, which does not know what became of them
    assert len(server.stored) == 45


def test_a_batch_over_hours_sent_twice() -> None:
    """What is stored moves the bound of what is late: hours go out as half hours, and a lost answer doubles nothing."""
    server = Loki(NOW)
    batch = [entry(NOW - 6 * HOUR + i * HOUR // 4, message=f"{i}") for i in range(25)]
    lost = {2, 5}

    def losing(sent: Any) -> Any:
        answer = server(sent)
        if len(fake.requests) in lost:
            raise TimeoutError("lost")
        return answer

    loki, fake = backend(losing)
    outcome = loki.send(batch)
    assert (len(outcome.again), outcome.refused) == (25 - 3, [])
    while outcome.again:
        outcome = loki.send(sent(outcome.again))
        assert outcome.refused == []
    assert sorted(server.stored) == [('{level="INFO"}', one.stamp, one.line.decode()) for one in batch]


def test_less_metadata() -> None:
    """What has too much of it comes without; the line has it all."""
    server = Loki(NOW)
    server.metadata_limit = 20
    fake, aside = settled(server, [entry(NOW, message="plain"), entry(NOW + 1, request_id="r" * 30)])
    assert aside == []
    assert len(server.stored) == 2
    assert all(len(value) == 2 for stream in pushed(fake) for value in stream["values"])


def test_what_cannot_be_mended() -> None:
    """A reason that nobody knows finds the one at fault by halves, and puts it aside with Loki's words."""

    def picky(sent: Any) -> tuple[int, str]:
        return (400, "couldn't parse push request: no") if b"poison" in sent.body else (204, "")

    loki, _ = backend(picky)
    poison = entry(NOW, message="poison")
    [(aside, reason)] = delivered(loki, [entry(NOW + 1), entry(NOW + 2), poison])
    assert (aside.key, reason) == (poison.key, "400: couldn't parse push request: no")


def test_mending_comes_to_an_end() -> None:
    """What is refused again for the same reason is put aside, not mended for ever."""
    loki, _ = backend()
    one = entry(NOW, prompt="x" * 1000)
    for reason, forms in (
        ("entry too far behind, oldest", ["late", "now"]),
        ("entry out of order", ["late", "now"]),
        ("timestamp too old: x", ["now"]),
        ("timestamp too new: x", ["now"]),
        ("max entry size '700' bytes exceeded", ["cut"]),
        ("too many structured metadata labels", ["bare"]),
        ("413: too large", ["cut", "cut"]),
        ("no such reason", []),
    ):
        seen: list[str] = []
        form: Entry | None = one
        while (form := loki.mended(form, reason)) is not None:
            assert form.key == one.key
            seen.append(form.changed)
            assert len(seen) < 5
        assert seen[: len(forms)] == forms
        assert set(seen) <= set(forms)


@pytest.mark.parametrize(
    "words",
    [
        "entry for stream '{a=\"b\"}' has 16 label names; limit 15",
        "missing required labels 'team' for user 'fake' for stream '{}' (policy: '')",
        "error parsing labels '{' with error: no",
        "stream '{}' has label value too long: 'x'",
    ],
)
def test_labels_that_loki_refuses(words: str) -> None:
    """It is the configuration's fault: told, and no record is put aside."""
    outcome = backend((400, words))[0].send([entry(NOW), entry(NOW + 1)])
    assert words in outcome.denied
    assert (outcome.refused, outcome.again, outcome.split) == ((), (), "")


@pytest.mark.parametrize("status", [260, 429, 500, 503])
def test_try_again(status: int) -> None:
    """Busy, broken, or blocked by an administrator: nothing is settled."""
    batch = [entry(NOW), entry(NOW + 1)]
    outcome = backend(status)[0].send(batch)
    assert list(outcome.again) == batch


def test_no_answer_in_the_middle() -> None:
    """After a partial success the rest is sent again; where that meets an outage, nothing is settled too early."""
    long = entry(NOW, message="x" * 300_000)
    good = entry(NOW + 1)
    words = "max entry size '262144' bytes exceeded for stream '{}' while adding an entry with length '300000' bytes"
    outcome = backend((400, words), 503)[0].send([long, good])
    assert (list(outcome.refused), list(outcome.again)) == ([], [long, good])
    lost = {"data": {"result": []}}
    outcome = backend((400, words), (200, json.dumps(lost)), 503)[0].send([long, good])
    assert [one for one, _ in outcome.refused] == [long]
    assert list(outcome.again) == [good]
    with pytest.raises(OSError, match="gone"):
        backend((400, words), OSError("gone"))[0].send([long, good])
    outcome = backend((400, words), (400, "what?"))[0].send([long, good, entry(NOW + 2)])
    each_once([long, good], [one for one, _ in outcome.refused])
    assert len(outcome.again) == 2


def test_the_handler(tmp_path: pathlib.Path) -> None:
    """A record comes out of the logging call, through the spool, as a push; nothing of it is left."""
    fake = FakeTransport()
    handler = LokiHandler(URL, labels={"service": "shop"}, tenant="t", spool=tmp_path, transport=fake)
    logger = logging.Logger("app")
    logger.addHandler(handler)
    logger.warning("hello %s", "you", extra={"request_id": "r1"})
    assert handler.flush(30)
    [stream] = pushed(fake)
    [[_, line, metadata]] = stream["values"]
    assert stream["stream"] == {"service": "shop", "level": "WARNING"}
    assert metadata == {"request_id": "r1"}
    assert json.loads(line)["message"] == "hello you"
    handler.close()
    assert fake.closed
    with pytest.raises(TypeError, match="no_such_option"):
        LokiHandler(URL, spool=tmp_path, transport=fake, no_such_option=1)
