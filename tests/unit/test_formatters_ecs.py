"""Records in the Elastic Common Schema."""

from __future__ import annotations

import json
import logging
import math
import re
from typing import Any

import pytest
from conftest import answer, chunk
from ecs_types import TYPES as FACTS
from ecs_types import problems

import llmlog
from llmlog.formatters import JSONFormatter
from llmlog.formatters.ecs import TYPES
from llmlog.semconv import FIELDS
from llmlog.testing import Captured


def record(msg: Any = "hello", **extras: Any) -> logging.LogRecord:
    made = logging.LogRecord("app.search", logging.INFO, "search.py", 7, msg, None, None)
    made.created = 1767323045.678901
    made.__dict__.update(extras)
    return made


def line(made: logging.LogRecord, **options: Any) -> dict[str, Any]:
    parsed = json.loads(JSONFormatter(schema="ecs", **options).format(made))
    assert isinstance(parsed, dict)
    assert problems(parsed) == []
    return parsed


def added(**extras: Any) -> dict[str, Any]:
    """What a record's own fields become."""
    base = line(record())
    return {name: value for name, value in line(record(**extras)).items() if name not in base}


def test_the_base_fields() -> None:
    """Flat dotted names, the time first, the level as Elastic's own formatter writes it."""
    made = line(record(), constants={"service": "shop", "env": "test", "region": "eu"})
    assert list(made.items()) == [
        ("@timestamp", "2026-01-02T03:04:05.678901Z"),
        ("log.level", "info"),
        ("message", "hello"),
        ("ecs.version", "9.5.0"),
        ("log.logger", "app.search"),
        ("service.name", "shop"),
        ("service.environment", "test"),
        ("labels.region", "eu"),
    ]


def test_a_calls_record(calls: Captured) -> None:
    """ECS' own names where it has them, with its types and units; what it has none for is llmlog's."""
    with llmlog.request("r-1", user_id="u-1"):
        for _ in llmlog.stream(answer("a", "b"), model="gpt-4o-mini", input="Say", top_k=40, seed=7):
            pass
    summary = calls.one()
    made = line(logging.makeLogRecord({**summary, "levelno": 20, "levelname": "INFO", "name": "llmlog.calls"}))
    expected = {
        "event.action": "llm.call",
        "event.id": summary["record_id"],
        "event.duration": round(summary["latency_ms"] * 1_000_000),
        "user.id": "u-1",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.request.top_k": 40,
        "gen_ai.request.seed": 7,
        "gen_ai.response.finish_reasons": [{"reason": "stop"}],
        "llmlog.finish_reason": ["stop"],
        "gen_ai.usage.input_tokens": 9,
        "llmlog.ttft_ms": summary["ttft_ms"],
        "llmlog.request_id": "r-1",
        "llmlog.cost_usd": summary["cost_usd"],
    }
    assert {name: made.get(name) for name in expected} == expected
    assert not [name for name in made if name.startswith("labels.")]


def test_a_reason_that_is_missing_is_left_out(calls: Captured) -> None:
    """Where one of several choices was cut short, the others' reasons are there."""
    for _ in llmlog.stream([chunk("a"), chunk("b", index=1), chunk(finish="stop")], model="gpt-4o-mini"):
        pass
    made = line(logging.makeLogRecord(calls.one()))
    assert made["gen_ai.response.finish_reasons"] == [{"reason": "stop"}]


def test_an_exception_has_its_fields() -> None:
    """error.type, error.message, error.stack_trace."""
    try:
        raise ValueError("bad")
    except ValueError as error:
        made = added(exc_info=(ValueError, error, error.__traceback__))
    assert (made["error.type"], made["error.message"]) == ("ValueError", "bad")
    assert made["error.stack_trace"].endswith("ValueError: bad")


@pytest.mark.parametrize("name", ["http", "error", "log", "event_", "service_", "user", "trace", "gen_ai", "llmlog"])
def test_a_scalar_of_an_objects_name_is_a_label(name: str) -> None:
    """`http` as a text would make the index refuse every document with `http.response.status_code`, or this one."""
    made = added(**{name: "x"}, http_status=429, error_type="E", user_id="u")
    assert made == {f"labels.{name}": "x", "http.response.status_code": 429, "error.type": "E", "user.id": "u"}


def test_what_is_spelled_as_ecs_does_goes_to_its_place() -> None:
    """By dotted names or by objects; beside ours, if nothing of ours stands there."""
    made = added(
        http={"request": {"method": "GET"}, "version": "1.1"},
        event={"kind": "event", "id": "mine"},
        record_id="r-1",
        tags=["a", "b"],
        labels={"team": "search"},
        **{"url.path": "/x", "labels.floor": 2, "error.code": "E7"},
    )
    assert made == {
        "http.request.method": "GET", "http.version": "1.1", "event.kind": "event", "event.id": "r-1",
        "labels.event_id": "mine", "tags": ["a", "b"], "labels.team": "search", "url.path": "/x", "labels.floor": 2,
        "error.code": "E7",
    }  # fmt: skip


def test_names_that_contradict_each_other_are_labels() -> None:
    """No name is both a value and an object."""
    given = {
        "http.request": "x", "http.request.method": "GET", "url": {"path": "/x", "path.deep": 1}, "url.path": 3,
        "message.length": 5, "http.response": 7, "client..ip": 1, "client. ": 2,
    }  # fmt: skip
    made = added(**given)
    assert made == {
        "http.request": "x", "labels.http_request_method": "GET", "url.path": "/x", "labels.url_path": 3,
        "labels.url_path_deep": 1, "labels.message_length": 5, "labels.http_response": 7, "labels.client__ip": 1,
        "labels.client_": 2,
    }  # fmt: skip


def test_labels_are_words_and_numbers() -> None:
    """A label that is an object is written as text, so that no two documents disagree about its members."""
    made = added(
        shelf=3, ratio=0.5, done=True, names=["a", "b"], who={"mail": ["x"]}, rows=[{"a": 1}], nothing=None, empty={},
        **{"a.b": 1, "a_b": 2, " ": 3, "": 4},
    )  # fmt: skip
    assert made == {
        "labels.shelf": 3, "labels.ratio": 0.5, "labels.done": True, "labels.names": ["a", "b"],
        "labels.who": '{"mail":["x"]}', "labels.rows": '[{"a":1}]', "labels.empty": "{}", "labels.a_b": 2,
        "labels.a_b_": 1, "labels._": 3, "labels.__": 4,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("seed", 2**31, "labels.seed"),  # ECS has an integer there: 32 bits
        ("seed", -(2**31), "gen_ai.request.seed"),
        ("input_tokens", "many", "labels.input_tokens"),
        ("input_tokens", True, "labels.input_tokens"),
        ("chunks", 2**63, "labels.chunks"),
        ("chunks", 2**63 - 1, "llmlog.chunks"),
        ("temperature", 1, "gen_ai.request.temperature"),
        ("temperature", "hot", "labels.temperature"),
        ("streamed", "yes", "labels.streamed"),
        ("model", 5, "gen_ai.request.model"),  # a keyword takes a number
        ("model", ["a", "b"], "gen_ai.request.model"),
        ("error_message", 5, "error.message"),
        ("latency_ms", -1.0, "labels.latency_ms"),
        ("latency_ms", "long", "labels.latency_ms"),
    ],
)
def test_a_value_of_another_type_is_a_label(name: str, value: Any, kept: str) -> None:
    """What does not fit the type of its name would cost the whole document."""
    assert list(added(**{name: value})) == [kept]


@pytest.mark.parametrize(
    ("name", "value"),
    [("model", {"a": 1}), ("finish_reason", 5), ("finish_reason", ["stop", 5]), ("latency_ms", math.inf)],
)
def test_an_odd_value_is_a_label(name: str, value: Any) -> None:
    """And no other field suffers."""
    made = line(record(**{name: value}, user_id="u"))
    assert made["user.id"] == "u"
    assert f"labels.{name}" in made or value == math.inf
    assert FIELDS[name].ecs not in made


def test_durations_are_nanoseconds() -> None:
    """event.duration is a whole number; one that an application gives in ECS' own name is believed."""
    assert added(latency_ms=1203.4567) == {"event.duration": 1_203_456_700}
    assert added(**{"event.duration": 17}) == {"event.duration": 17}
    assert added(**{"event.duration": "long"}) == {"labels.event_duration": "long"}


def test_extras_win_over_constants() -> None:
    """A record that knows better than the configuration is believed."""
    made = line(record(env="canary", region="us"), constants={"env": "test", "region": "eu"})
    assert (made["service.environment"], made["labels.region"]) == ("canary", "us")


def test_every_name_has_ecs_type() -> None:
    """What a mapping is made from agrees with the facts that these tests hold documents against."""
    same = {"match_only_text": "text"}
    known = {name: kind for name, kind in TYPES.items() if not name.startswith("llmlog.")}
    assert known == {name: same.get(FACTS[name], FACTS[name]) for name in known}


def test_a_short_line_is_still_a_document() -> None:
    """What is left has its types."""
    text = JSONFormatter(schema="ecs", max_bytes=600).format(
        record(response="r" * 9000, input_tokens=412, http="x" * 900)
    )
    made = json.loads(text)
    assert problems(made) == []
    assert made["llmlog.truncated"] is True
    assert made["gen_ai.usage.input_tokens"] == 412
    assert re.fullmatch("r+…", made["llmlog.response"])
