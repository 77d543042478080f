"""OpenTelemetry: the current span on every record, an incoming trace carried on, nothing doubled."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Records, framework

import llmlog

framework("opentelemetry.sdk.trace")

from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: E402

ROOT = Path(__file__).parents[3]
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture(scope="module")
def provider() -> TracerProvider:
    """Spans of our own, kept in memory."""
    return TracerProvider()


@pytest.fixture
def spans(provider: TracerProvider) -> Iterator[InMemorySpanExporter]:
    """The spans that ended."""
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield exporter
    exporter.clear()


def filtered(record: logging.LogRecord) -> dict[str, Any]:
    """The record's attributes after the ContextFilter."""
    from llmlog.filters import ContextFilter

    assert ContextFilter().filter(record)
    return vars(record)


def test_every_record_bears_the_current_span(provider: TracerProvider, calls: Records) -> None:
    """The application's records by the ContextFilter, calls and events by themselves: the span they were made in."""
    tracer = provider.get_tracer("t")
    with llmlog.request(**llmlog.extract({"traceparent": f"00-{TRACE}-{SPAN}-01"})):
        with tracer.start_as_current_span("outer") as outer:
            stream = llmlog.stream(iter(["a"]), provider="text")
            with tracer.start_as_current_span("inner") as inner:
                list(stream)
                llmlog.event("x")
                mine = filtered(logging.makeLogRecord({}))
        outside = filtered(logging.makeLogRecord({}))
    ours, within = outer.get_span_context(), inner.get_span_context()
    call, event = calls.one(), calls.events("x")[0]
    assert (call["trace_id"], call["span_id"]) == (f"{ours.trace_id:032x}", f"{ours.span_id:016x}")
    assert event["span_id"] == mine["span_id"] == f"{within.span_id:016x}"
    assert (outside["trace_id"], outside["span_id"]) == (TRACE, SPAN)


def test_outgoing_headers_name_the_current_span(provider: TracerProvider) -> None:
    """traceparent is the span's, sampled or not; without one it is the incoming one."""
    with llmlog.request(**llmlog.extract({"traceparent": f"00-{TRACE}-{SPAN}-01"})):
        assert llmlog.inject()["traceparent"] == f"00-{TRACE}-{SPAN}-01"
        with provider.get_tracer("t").start_as_current_span("mine") as span:
            now = span.get_span_context()
            assert (
                llmlog.inject()["traceparent"]
                == f"00-{now.trace_id:032x}-{now.span_id:016x}-{int(now.trace_flags):02x}"
            )


def test_beside_an_instrumented_client(
    provider: TracerProvider, spans: InMemorySpanExporter, calls: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenTelemetry's own instrumentation of openai: one span of its, one record of ours, in either order."""
    instrumentation = framework("opentelemetry.instrumentation.genai.openai")
    openai = framework("openai")
    from llmlog import testing

    instrumentor = instrumentation.OpenAIInstrumentor()
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "gen_ai_latest_experimental")
    with testing.serve(testing.Script(["Hello", " world"])) as server:
        for first in ("ours", "theirs"):
            client = openai.OpenAI(base_url=server.openai_url, api_key="k", max_retries=0)
            client = llmlog.wrap(client) if first == "ours" else client
            instrumentor.instrument(tracer_provider=provider)
            try:
                client = llmlog.wrap(client)
                for streamed in (False, True):
                    answer = client.chat.completions.create(
                        model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}], stream=streamed
                    )
                    if streamed:
                        assert "".join(chunk.choices[0].delta.content or "" for chunk in answer) == "Hello world"
            finally:
                instrumentor.uninstrument()
            client.close()
    assert len(calls.all()) == 4
    assert len(spans.get_finished_spans()) == 4


@pytest.mark.parametrize("with_spans", ["1", "0"])
def test_two_services_over_http(with_spans: str, tmp_path: Path) -> None:
    """One request id and one trace in both logs, with the SDK and without, and where the time went."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "two_services.py")], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SPANS": with_spans}, capture_output=True, encoding="utf-8",
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()[1:]]
    within = [record for record in records if "request_id" in record]
    assert {record["request_id"] for record in within} == {"r-1"}
    assert {record["trace_id"] for record in within} == {TRACE}
    assert {record["service"] for record in within} == {"front", "answering"}
    by_event = {(record["service"], record["event"]): record for record in within if "event" in record}
    front, behind = by_event["front", "http.request"], by_event["answering", "http.request"]
    call, found = by_event["answering", "llm.call"], by_event["answering", "llm.retrieval"]
    filtering = by_event["front", "app.filter"]
    assert front["latency_ms"] >= behind["latency_ms"] >= call["latency_ms"] > 0
    assert found["latency_ms"] >= 0
    assert filtering["latency_ms"] >= 0
    assert behind["request_calls"] == 1
    if with_spans == "0":
        assert {record["span_id"] for record in within} == {SPAN}
    else:
        assert front["span_id"] != behind["span_id"]
