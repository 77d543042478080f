"""Records to OpenTelemetry: what the SDK's exporter is given, and what comes of the server's answers."""

from __future__ import annotations

import builtins
import gzip
import json
import logging
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Clock, answer, sdk

import llmlog
from llmlog.exceptions import UsageTypeError, UsageValueError
from llmlog.formatters import JSONFormatter
from llmlog.handlers import OTLPHandler
from llmlog.handlers.backend import Entry, Outcome
from llmlog.handlers.otlp import OTLPBackend
from llmlog.semconv import OTEL_SCHEMA
from llmlog.testing import Captured

sdk("opentelemetry.exporter.otlp.proto.http._log_exporter")
requests = sdk("requests")
logs_service = sdk("opentelemetry.proto.collector.logs.v1.logs_service_pb2")

NOW = 1_767_323_045_678_901_000


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporter's own variables are not those of whoever runs the tests."""
    import os

    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


class Server:
    """What stands behind the SDK's session: answers in turn, the last one from then on."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers) or [200]
        self.asked: list[dict[str, Any]] = []

    def request(self, session: Any, method: str, url: str, **options: Any) -> Any:
        headers = {**session.headers, **(options.get("headers") or {})}
        body = gzip.decompress(options["data"])
        decoded = logs_service.ExportLogsServiceRequest.FromString(body)
        self.asked.append({"url": url, "headers": {k.lower(): v for k, v in headers.items()}, "logs": decoded})
        reply = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(reply, Exception):
            raise reply
        status, content, further = (*reply, b"", {})[:3] if isinstance(reply, tuple) else (reply, b"", {})
        response = requests.Response()
        response.status_code, response._content, response.reason = status, content, "reason"
        response.headers.update(further)
        return response

    def records(self, asked: int = -1) -> list[tuple[dict[str, Any], str, dict[str, Any]]]:
        """Of one request: resource, scope and record, in plain Python."""
        found = []
        for of_resource in self.asked[asked]["logs"].resource_logs:
            resource = attributes(of_resource.resource.attributes)
            for of_scope in of_resource.scope_logs:
                for one in of_scope.log_records:
                    plain = {
                        "time": one.time_unix_nano,
                        "observed": one.observed_time_unix_nano,
                        "severity": (one.severity_number, one.severity_text),
                        "body": value(one.body),
                        "event": one.event_name,
                        "trace": (one.trace_id.hex(), one.span_id.hex()),
                        "attributes": attributes(one.attributes),
                        "schema": of_scope.schema_url,
                    }
                    found.append((resource, of_scope.scope.name, plain))
        return found


def attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: value(pair.value) for pair in pairs}


def value(one: Any) -> Any:
    kind = one.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [value(item) for item in one.array_value.values]
    if kind == "kvlist_value":
        return attributes(one.kvlist_value.values)
    return getattr(one, kind)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Server]:
    """The server that all sessions reach."""

    def made(*answers: Any) -> Server:
        server = Server(*answers)
        monkeypatch.setattr(requests.Session, "request", lambda session, *a, **k: server.request(session, *a, **k))
        return server

    return made


def entry(line: Any, number: int = 0) -> Entry:
    return Entry(NOW + number, line if isinstance(line, bytes) else json.dumps(line).encode(), f"s:{number}")


def line(msg: str = "hello", constants: Any = None, **extras: Any) -> dict[str, Any]:
    made = logging.LogRecord("app.search", logging.WARNING, "a.py", 1, msg, None, None)
    made.__dict__.update(extras)
    parsed: dict[str, Any] = json.loads(JSONFormatter(schema="otel", constants=constants).format(made))
    return parsed


class TestRecords:
    def test_a_record_has_its_places_and_types(self, serve: Callable[..., Server]) -> None:
        """Severity, body, event, trace and typed attributes; the service is the resource's, the logger the scope's."""
        server = serve()
        trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
        given = line(
            constants={"service": "shop", "env": "test", "racks": [1]}, event="llm.call", trace_id=trace, span_id=span,
            input_tokens=412, cost_usd=0.25, streamed=True, finish_reason="stop", model="m", who={"ids": [1, None]},
        )  # fmt: skip
        given["ObservedTimestamp"] = "2026-01-02T03:04:06.000001Z"
        assert OTLPBackend().send([entry(given)]) == Outcome()
        [(resource, scope, made)] = server.records()
        assert made == {
            "time": NOW,
            "observed": 1_767_323_046_000_001_000,
            "severity": (13, "WARNING"),
            "body": "hello",
            "event": "gen_ai.client.inference.operation.details",
            "trace": (trace, span),
            "attributes": {
                "gen_ai.usage.input_tokens": 412,
                "llmlog.cost_usd": 0.25,
                "gen_ai.request.stream": True,
                "gen_ai.response.finish_reasons": ["stop"],
                "gen_ai.request.model": "m",
                "who": {"ids": [1, None]},
            },
            "schema": OTEL_SCHEMA,
        }
        assert {type(item) for item in made["attributes"].values()} == {int, float, bool, list, str, dict}
        assert scope == "app.search"
        assert (resource["service.name"], resource["deployment.environment.name"]) == ("shop", "test")
        assert resource["racks"] == "[1]"

    def test_a_summary_arrives(self, serve: Callable[..., Server], calls: Captured, clock: Clock) -> None:
        """The record of a call, with the GenAI conventions' names and types."""
        server = serve()
        for _ in llmlog.stream(answer("a", "b"), model="gpt-4o-mini", input="Say"):
            clock.advance(0.5)
        made = logging.makeLogRecord({**calls.one(), "name": "llmlog.calls", "levelno": 20, "levelname": "INFO"})
        OTLPBackend().send([entry(json.loads(JSONFormatter(schema="otel").format(made)))])
        [(_, scope, record)] = server.records()
        assert (scope, record["event"]) == ("llmlog.calls", "gen_ai.client.inference.operation.details")
        assert record["attributes"]["gen_ai.response.time_to_first_chunk"] == 0.5
        assert record["attributes"]["gen_ai.usage.output_tokens"] == 2

    def test_no_whole_number_is_too_large(self, serve: Callable[..., Server]) -> None:
        """OTLP's have 64 bits with a sign: a larger one is text, and costs neither the attribute nor the batch."""
        server = serve()
        given = line(huge=2**64 - 1, deep=[{"a": 2**63}], fits=-(2**63))
        OTLPBackend().send([entry(given)])
        assert server.records()[0][2]["attributes"] == {
            "huge": str(2**64 - 1), "deep": [{"a": str(2**63)}], "fits": -(2**63),
        }  # fmt: skip

    @pytest.mark.parametrize(
        "given",
        [
            {"timestamp": "x", "level": "WARNING", "logger": "app", "message": "hello", "shelf": 3, "none": None},
            {"@timestamp": "x", "log.level": "warning", "log.logger": "app", "message": "hello", "shelf": 3},
        ],
    )
    def test_a_line_of_another_schema_arrives(self, serve: Callable[..., Server], given: dict[str, Any]) -> None:
        """Somebody has set another formatter: message, level and logger are found, the rest are attributes."""
        server = serve()
        OTLPBackend().send([entry(given)])
        [(_, scope, made)] = server.records()
        assert (scope, made["body"], made["severity"]) == ("app", "hello", (13, given.get("level", "warning")))
        assert made["attributes"]["shelf"] == 3
        assert made["trace"] == ("", "")

    @pytest.mark.parametrize("bad", [b"5", b"{", b'{"Attributes":5}', b'{"Attributes":{},"TraceId":"xyz"}'])
    def test_what_is_no_record_is_refused_alone(self, serve: Callable[..., Server], bad: bytes) -> None:
        """A line that nobody can read does not hold up the others."""
        server = serve()
        first, last = entry(line("a"), 1), entry(line("b"), 3)
        outcome = OTLPBackend().send([first, broken := entry(bad, 2), last])
        assert [one for one, _ in outcome.refused] == [broken]
        assert not outcome.again
        assert [made["body"] for _, _, made in server.records()] == ["a", "b"]

    def test_what_a_resource_says_in_the_environment(
        self, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """OTEL_RESOURCE_ATTRIBUTES holds, as everywhere in OpenTelemetry."""
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "host.name=h1")
        server = serve()
        OTLPBackend().send([entry(line(constants={"service": "shop"}))])
        resource = server.records()[0][0]
        assert (resource["host.name"], resource["service.name"]) == ("h1", "shop")


class TestAnswers:
    ONE, TWO = entry({"Body": "a", "Attributes": {}}, 1), entry({"Body": "b", "Attributes": {}}, 2)

    @pytest.mark.parametrize(
        ("reply", "outcome"),
        [
            (200, Outcome()),
            (503, Outcome(again=[ONE, TWO])),
            ((429, b"", {"Retry-After": "7"}), Outcome(again=[ONE, TWO], pause=7.0)),
            ((401, b"who?"), Outcome(denied="401: who?")),
            ((404, b"where?"), Outcome(denied="404: where?")),
            ((413, b"too large"), Outcome(split="413: too large")),
            ((400, b"bad"), Outcome(split="400: bad")),
        ],
    )
    def test_an_answer_is_an_outcome(self, serve: Callable[..., Server], reply: Any, outcome: Outcome) -> None:
        """The exporter says only that it failed: what the server said decides."""
        server = serve(reply)
        assert OTLPBackend().send([self.ONE, self.TWO]) == outcome
        assert len(server.asked) == 1

    def test_one_that_is_refused_stands_alone(self, serve: Callable[..., Server]) -> None:
        """With the server's own words."""
        serve((400, b"bad"))
        assert OTLPBackend().send([self.ONE]) == Outcome(refused=[(self.ONE, "400: bad")])

    def test_no_answer_is_raised(self, serve: Callable[..., Server]) -> None:
        """At once, with one request: how long to wait for the next is the spool's to say. The next one is a new one."""
        server = serve(requests.ConnectionError("gone"), requests.Timeout("slow"), 200)
        backend = OTLPBackend()
        for error in ("gone", "slow"):
            with pytest.raises(OSError, match=error):
                backend.send([self.ONE])
        assert backend.send([self.ONE]) == Outcome()
        assert len(server.asked) == 3

    def test_a_part_that_was_rejected_is_not_sent_again(
        self, serve: Callable[..., Server], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The protocol forbids it, since the others would be there twice; it is said how many, and why."""

        def rejecting(count: int) -> tuple[int, bytes]:
            made = logs_service.ExportLogsServiceResponse()
            made.partial_success.rejected_log_records, made.partial_success.error_message = count, "no room left"
            return 200, made.SerializeToString()

        serve(rejecting(1))
        assert OTLPBackend().send([self.ONE, self.TWO]) == Outcome()
        assert "1 of 2 records were rejected" in capsys.readouterr().err
        serve(rejecting(2))
        assert OTLPBackend().send([self.ONE, self.TWO]).refused == [
            (self.ONE, "no room left"),
            (self.TWO, "no room left"),
        ]
        serve((200, b"<html>"))
        assert OTLPBackend().send([self.ONE]) == Outcome()

    def test_what_was_too_large_is_cut(self) -> None:
        """Its texts suffer, its figures arrive; what was refused for another reason is not changed."""
        backend, long = OTLPBackend(), entry(line(response="r" * 9000, input_tokens=412))
        cut = backend.mended(long, "413: too large")
        assert cut is not None
        assert (cut.key, cut.changed) == (long.key, "cut")
        assert len(cut.line) <= len(long.line) // 2
        assert json.loads(cut.line)["Attributes"]["gen_ai.usage.input_tokens"] == 412
        assert backend.mended(long, "400: bad") is None
        assert backend.mended(self.ONE, "413: too large") is None

    def test_closing_is_no_end(self, serve: Callable[..., Server]) -> None:
        """A later sending opens what it needs."""
        server = serve()
        backend = OTLPBackend()
        backend.close()
        for _ in range(2):
            assert backend.send([self.ONE]) == Outcome()
            backend.close()
        assert len(server.asked) == 2

    def test_an_exporter_that_fails_by_itself(
        self, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A batch that it cannot write is split, down to the record at fault."""
        serve()
        backend = OTLPBackend()
        backend.send([self.ONE])
        failure = sdk("opentelemetry.sdk._logs.export").LogRecordExportResult.FAILURE
        monkeypatch.setattr(backend._exporter, "export", lambda batch: failure)
        assert backend.send([self.ONE, self.TWO]).split


class TestOptions:
    @pytest.mark.parametrize(
        ("endpoint", "url"),
        [
            ("http://collector:4318", "http://collector:4318/v1/logs"),
            ("http://collector:4318/", "http://collector:4318/v1/logs"),
            ("https://host/otlp/v1/logs", "https://host/otlp/v1/logs"),
            (None, "http://localhost:4318/v1/logs"),
        ],
    )
    def test_where_it_goes(self, serve: Callable[..., Server], endpoint: str | None, url: str) -> None:
        """The path of the protocol is added where there is none."""
        server = serve()
        backend = OTLPBackend(endpoint)
        backend.send([entry(line())])
        assert server.asked[0]["url"] == backend.destination == url

    @pytest.mark.parametrize(
        ("name", "given", "url"),
        [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1", "http://a:1/v1/logs"),
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://a:1/x", "http://a:1/x"),
        ],
    )
    def test_where_the_environment_says(
        self, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, name: str, given: str, url: str
    ) -> None:
        """The exporter's own variables."""
        monkeypatch.setenv(name, given)
        server = serve()
        backend = OTLPBackend()
        backend.send([entry(line())])
        assert server.asked[0]["url"] == backend.destination == url

    def test_headers_are_sent_and_no_secret_is_told(self, serve: Callable[..., Server]) -> None:
        """A tenant is a destination of its own; credentials are in no name."""
        server = serve()
        backend = OTLPBackend("http://a:1", headers={"Authorization": "Bearer s3", "X-Scope-OrgID": "t1"})
        backend.send([entry(line())])
        assert server.asked[0]["headers"]["authorization"] == "Bearer s3"
        assert server.asked[0]["headers"]["x-scope-orgid"] == "t1"
        assert backend.destination == "http://a:1/v1/logs tenant=t1"

    @pytest.mark.parametrize(
        ("options", "error", "words"),
        [
            ({"endpoint": 5}, UsageTypeError, "5"),
            ({"endpoint": "collector:4318"}, UsageValueError, "collector"),
            ({"endpoint": "http://me:secret@host"}, UsageValueError, "headers"),
            ({"headers": ["a"]}, UsageTypeError, "list"),
            ({"headers": {"a": 5}}, UsageTypeError, "int"),
            ({"headers": {"a": "x\r\ny"}}, UsageValueError, "printable"),
            ({"timeout": "5"}, UsageTypeError, "'5'"),
            ({"timeout": 0}, UsageValueError, "0"),
            ({"ca_certs": 5}, UsageTypeError, "5"),
            ({"ca_certs": "no/such/file"}, UsageValueError, "no/such/file"),
            ({"client_cert": ["no/such/file"]}, UsageValueError, "no/such/file"),
            ({"service": 5}, UsageTypeError, "5"),
        ],
    )
    def test_arguments_without_a_meaning(
        self, tmp_path: pathlib.Path, options: dict[str, Any], error: type[Exception], words: str
    ) -> None:
        """They are refused at the call, with the value, and never with a secret."""
        with pytest.raises(error, match=words) as raised:
            OTLPHandler(spool=tmp_path, **options)
        assert "secret" not in str(raised.value)

    def test_without_the_sdk(self, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
        """The error names the extra."""
        real = builtins.__import__

        def without(name: str, *args: Any) -> Any:
            if name.startswith("opentelemetry.exporter"):
                raise ImportError("No module named 'opentelemetry.exporter'")
            return real(name, *args)

        monkeypatch.setattr(builtins, "__import__", without)
        with pytest.raises(UsageValueError, match=r"llmlog\[otel\]"):
            OTLPHandler(spool=tmp_path)


def test_services_do_not_take_each_others_records(
    serve: Callable[..., Server], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resource is that of the process which logged; another one, with another environment, may send it."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "host.name=h1,team=a%20b")
    serve(OSError("down"))
    first = OTLPHandler("http://a:1", env="test", spool=tmp_path)
    first.handle(logging.makeLogRecord({"msg": "of the shop", "levelname": "INFO"}))
    first.close()
    monkeypatch.setenv("OTEL_SERVICE_NAME", "stock")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "host.name=h2")
    server = serve(200)
    second = OTLPHandler("http://a:1", spool=tmp_path)
    assert second.flush(30)
    second.close()
    [(resource, _, made)] = server.records()
    assert made["body"] == "of the shop"
    wanted = {"service.name": "shop", "host.name": "h1", "team": "a b", "deployment.environment.name": "test"}
    assert resource | wanted == resource


def test_the_handler(serve: Callable[..., Server], tmp_path: pathlib.Path) -> None:
    """From a logging call to the exporter, through a spool; the exporter's own words do not go round."""
    server = serve(503, 200)
    handler = OTLPHandler("http://a:1", service="shop", env="test", spool=tmp_path, batch_seconds=0)
    logger = logging.getLogger("test.otlp")
    logger.addHandler(handler)
    logging.getLogger("opentelemetry").addHandler(handler)
    try:
        logger.error("hello", extra={"shelf": 3})
        assert handler.flush(30)
    finally:
        logger.removeHandler(handler)
        logging.getLogger("opentelemetry").removeHandler(handler)
        handler.close()
    [(resource, scope, made)] = server.records()
    assert (resource["service.name"], resource["deployment.environment.name"], scope) == ("shop", "test", "test.otlp")
    assert (made["body"], made["severity"], made["attributes"]) == ("hello", (17, "ERROR"), {"shelf": 3})
    assert len(server.asked) == 2
