"""Records in OpenTelemetry's log data model."""

from __future__ import annotations

import json
import logging
import math
from typing import Any

import pytest
from conftest import Clock, answer, chunk, sdk

import llmlog
from llmlog.exceptions import UsageValueError
from llmlog.formatters import JSONFormatter
from llmlog.semconv import FIELDS, OTEL_SCHEMA
from llmlog.testing import Captured


def record(msg: Any = "hello", level: int = logging.INFO, **extras: Any) -> logging.LogRecord:
    made = logging.LogRecord("app.search", level, "search.py", 7, msg, None, None)
    made.created = 1767323045.678901
    made.__dict__.update(extras)
    return made


def line(made: logging.LogRecord, **options: Any) -> dict[str, Any]:
    parsed = json.loads(JSONFormatter(schema="otel", **options).format(made))
    assert isinstance(parsed, dict)
    return parsed


def attributes(**extras: Any) -> dict[str, Any]:
    found = line(record(**extras))["Attributes"]
    assert isinstance(found, dict)
    return found


def of_call(calls: Captured) -> dict[str, Any]:
    return line(logging.makeLogRecord({**calls.one(), "levelno": 20, "levelname": "INFO", "name": "llmlog.calls"}))


def test_the_top_is_the_data_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time, severity, body and scope have their places; the rest is an attribute."""
    monkeypatch.setattr("llmlog.formatters.otel.time.time", lambda: 1767323046.0)
    assert line(record("hello", shelf=3), constants={"service": "shop", "env": "test", "region": "eu"}) == {
        "Timestamp": "2026-01-02T03:04:05.678901Z",
        "ObservedTimestamp": "2026-01-02T03:04:06.000000Z",
        "SeverityText": "INFO",
        "SeverityNumber": 9,
        "Body": "hello",
        "InstrumentationScope": {"Name": "app.search"},
        "Attributes": {"shelf": 3},
        "SchemaUrl": OTEL_SCHEMA,
        "Resource": {"service.name": "shop", "deployment.environment.name": "test", "region": "eu"},
    }


@pytest.mark.parametrize(
    ("level", "number"),
    [(0, 0), (-5, 1), (5, 1), (10, 5), (12, 7), (19, 8), (20, 9), (25, 12), (30, 13), (40, 17), (50, 21), (99, 24)],
)
def test_severity_has_a_number(level: int, number: int) -> None:
    """Python's levels go by tens, OpenTelemetry's by fours."""
    assert line(record(level=level))["SeverityNumber"] == number


def test_severities_are_the_sdks() -> None:
    """The SDK's own handler gives each level from DEBUG on the same number."""
    inside = sdk("opentelemetry.sdk._logs._internal")
    if not hasattr(inside, "std_to_otel"):
        pytest.skip("this version of the SDK keeps its handler elsewhere")
    for level in range(10, 60):
        assert line(record(level=level))["SeverityNumber"] == inside.std_to_otel(level).value


def test_a_calls_record_has_the_conventions_names(calls: Captured, clock: Clock) -> None:
    """Event, model, usage and reasons as the GenAI conventions spell and type them; what has no name is llmlog's."""
    with llmlog.request("r-1", user_id="u-1", conversation_id="c-1"):
        stream = llmlog.stream(answer("a", "b"), model="gpt-4o-mini", input="Say", temperature=0.5, seed=7)
        for _ in stream:
            clock.advance(0.25)
    made = of_call(calls)
    assert made["EventName"] == "gen_ai.client.inference.operation.details"
    found = made["Attributes"]
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.request.stream": True,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.seed": 7,
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.output_tokens": 2,
        "gen_ai.conversation.id": "c-1",
        "user.id": "u-1",
        "llmlog.request_id": "r-1",
        "llmlog.outcome": "completed",
    }
    assert {name: found.get(name) for name in expected} == expected
    assert "error.type" not in found
    assert found["log.record.uid"] == calls.one()["record_id"]
    assert all(type(found[name]) is float for name in ("llmlog.cost_usd", "llmlog.latency_ms"))


def test_a_stream_that_was_cut_has_error_for_its_reason(calls: Captured) -> None:
    """At the place of the choice that was cut; the others keep the provider's word."""
    for _ in llmlog.stream([chunk("a"), chunk("b")], model="gpt-4o-mini"):
        pass
    assert of_call(calls)["Attributes"]["gen_ai.response.finish_reasons"] == ["error"]
    calls.clear()
    chunks = [
        chunk("a"),
        chunk("b", index=1),
        chunk("c", index=2),
        chunk(finish="stop"),
        chunk(finish="length", index=2),
    ]
    for _ in llmlog.stream(chunks, model="gpt-4o-mini"):
        pass
    assert (calls.one()["finish_reason"], calls.one()["cut_choices"]) == (["stop", "length"], [1])
    assert of_call(calls)["Attributes"]["gen_ai.response.finish_reasons"] == ["stop", "error", "length"]


def test_a_call_that_never_had_an_answer_has_no_reason() -> None:
    """A refused request is no stream that was cut."""
    assert "gen_ai.response.finish_reasons" not in attributes(event="llm.call", outcome="error", chunks=0)


def test_what_the_conventions_leave_out_is_left_out() -> None:
    """`stream` is only said where true, and a field without a value not at all."""
    assert attributes(streamed=False, shelf=None) == {}
    assert attributes(streamed=True) == {"gen_ai.request.stream": True}


@pytest.mark.parametrize(
    ("provider", "name"),
    [("openai", "openai"), ("bedrock", "aws.bedrock"), ("azure", "azure.ai.openai"), ("vertex_ai", "gcp.vertex_ai"),
     ("my gateway", "my gateway"), (["a"], ["a"])],
)  # fmt: skip
@pytest.mark.parametrize("schema", ["otel", "ecs"])
def test_providers_have_the_conventions_names(schema: str, provider: Any, name: Any) -> None:
    """The conventions list their names, and one of the list has to be used; what is not there keeps its own."""
    made = json.loads(JSONFormatter(schema=schema).format(record(provider=provider)))
    assert made.get("Attributes", made)["gen_ai.provider.name"] == name


def test_the_trace_is_at_the_top() -> None:
    """Ids of the right form; others are attributes, so that no reader fails over them."""
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    made = line(record(trace_id=trace, span_id=span))
    assert (made["TraceId"], made["SpanId"]) == (trace, span)
    made = line(record(trace_id="a trace", span_id=5))
    assert made["Attributes"] == {"llmlog.trace_id": "a trace", "llmlog.span_id": 5}
    assert "TraceId" not in made


def test_a_record_may_have_a_service_of_its_own() -> None:
    """It wins over the configuration's, as in the flat schema, and for its own line only."""
    formatter = JSONFormatter(schema="otel", constants={"service": "shop", "env": "test"})
    made = json.loads(formatter.format(record(service="other")))
    assert made["Resource"] == {"service.name": "other", "deployment.environment.name": "test"}
    assert json.loads(formatter.format(record()))["Resource"]["service.name"] == "shop"


def test_an_exception_has_both_of_its_names() -> None:
    """`error.type`, as for any failed operation, and the names of a logged exception."""
    try:
        raise ValueError("bad")
    except ValueError as error:
        found = attributes(exc_info=(ValueError, error, error.__traceback__))
    assert (found["error.type"], found["exception.type"], found["exception.message"]) == (
        "ValueError",
        "ValueError",
        "bad",
    )
    assert found["exception.stacktrace"].endswith("ValueError: bad")


@pytest.mark.parametrize("name", ["http", "gen_ai", "error", "exception", "log", "user", "llmlog", "code"])
def test_a_name_that_stands_above_ours_gets_an_underscore(name: str) -> None:
    """The user's `http` cannot be a value where `http.response.status_code` makes it an object."""
    assert attributes(**{name: "x"}, http_status=429) == {f"{name}_": "x", "http.response.status_code": 429}


def test_names_beside_each_other() -> None:
    """Dotted names are kept while no other stands above or below them, or is the same."""
    found = attributes(
        model="a",
        http_="mine",
        **{"gen_ai.request.model": "b", "http.method": "GET", "a": 1, "a.b": 2, "c.d": 3, "c.d.e": 4,
           "error.type.x": 5, "gen_ai.usage": 6, "http": 7},
    )  # fmt: skip
    assert found == {
        "gen_ai.request.model": "a", "gen_ai_request_model_": "b", "http_": "mine", "http.method": "GET", "a": 1,
        "a_b_": 2, "c.d": 3, "c_d_e_": 4, "error_type_x_": 5, "gen_ai_usage_": 6, "http__": 7,
    }  # fmt: skip


def test_values_of_another_kind_are_kept() -> None:
    """A field of ours that an application fills in its own way does not cost the line."""
    made = line(record(event=5, ttft_ms="soon", finish_reason={"a": 1}, trace_id=math.nan))
    assert made["Attributes"] == {
        "llmlog.event": 5,
        "llmlog.ttft_ms": "soon",
        "gen_ai.response.finish_reasons": [{"a": 1}],
        "llmlog.trace_id": None,
    }


def test_a_short_line_keeps_its_attributes_one_by_one() -> None:
    """The longest texts are cut, then the largest attributes left out; the mark stands among them."""
    formatter = JSONFormatter(schema="otel", max_bytes=700, constants={"service": "shop"})
    made = json.loads(formatter.format(record(response="r" * 9000, numbers=list(range(900)), input_tokens=412)))
    assert made["Attributes"]["llmlog.truncated"] is True
    assert made["Attributes"]["gen_ai.usage.input_tokens"] == 412
    assert made["Attributes"]["llmlog.response"].endswith("r…")
    assert "numbers" not in made["Attributes"]
    assert made["Body"] == "hello"


def test_the_schema_takes_no_format() -> None:
    """python-json-logger's arguments lay a line out their own way: the two cannot both be had."""
    for options in ({"fmt": "%(message)s"}, {"datefmt": "%H"}, {"timestamp": True}):
        with pytest.raises(UsageValueError, match="otel"):
            JSONFormatter(schema="otel", **options)

    class Hooked(JSONFormatter):
        def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
            return log_data

    with pytest.raises(UsageValueError, match="Hooked"):
        Hooked(schema="otel")


def test_every_name_is_that_of_the_installed_conventions() -> None:
    """Each gen_ai name is one that the conventions' own package has, but for the one that came after it."""
    names = vars(sdk("opentelemetry.semconv._incubating.attributes.gen_ai_attributes"))
    if not hasattr(sdk("opentelemetry.semconv.schemas").Schemas, "V1_44_0"):
        pytest.skip("the installed package has the conventions of an earlier version")
    ours = {field.otel for field in FIELDS.values() if field.otel.startswith("gen_ai.")}
    newer = {"gen_ai.usage.cache_write.input_tokens"}
    assert ours - newer <= {value for name, value in names.items() if name.startswith("GEN_AI_")}
