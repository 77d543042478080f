"""Whatever a record holds, all of it can be sent to OpenTelemetry."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from conftest import sdk
from hypothesis import given
from hypothesis import strategies as st
from test_formatters_property import armed, json_values, keys, records

from llmlog.formatters import JSONFormatter
from llmlog.handlers.backend import Entry
from llmlog.handlers.otlp import _Records

sdk("opentelemetry.exporter.otlp.proto.http._log_exporter")
encoder = sdk("opentelemetry.exporter.otlp.proto.common._log_encoder")


def encoded(line: bytes) -> Any:
    request = encoder.encode_logs([_Records().made(Entry(1, line, "a:0"))])
    sent = type(request).FromString(request.SerializeToString())
    return sent.resource_logs[0].scope_logs[0].log_records[0]


@pytest.mark.parametrize("max_bytes", [None, 700])
@given(made=records(), more=st.dictionaries(keys.map(str), json_values, max_size=4))
def test_every_attribute_arrives(max_bytes: int | None, made: logging.LogRecord, more: dict[str, Any]) -> None:
    """The SDK's encoder drops an attribute that it cannot write, and says so in a log: none is."""
    made.__dict__.update({name: value for name, value in more.items() if name not in made.__dict__})
    line = armed(JSONFormatter(schema="otel", constants={"service": "shop"}, max_bytes=max_bytes).format, made)
    record = encoded(line.encode())
    expected = json.loads(line)
    assert {pair.key for pair in record.attributes} == {name or "_" for name in expected["Attributes"]}
    assert record.body.string_value == expected["Body"]
    assert record.severity_number == expected["SeverityNumber"]
    assert record.trace_id.hex() == expected.get("TraceId", "")


@pytest.mark.parametrize("schema", ["flat", "ecs"])
@given(made=records())
def test_a_line_of_another_schema_arrives(schema: str, made: logging.LogRecord) -> None:
    """Where somebody has set another formatter, its fields are attributes."""
    line = armed(JSONFormatter(schema=schema).format, made)
    fields = {name for name, value in json.loads(line).items() if value is not None}
    known = {"message", "level", "logger", "log.level", "log.logger"}
    assert {pair.key for pair in encoded(line.encode()).attributes} == {name or "_" for name in fields - known}
