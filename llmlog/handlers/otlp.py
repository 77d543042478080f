"""OTLPHandler: records as OpenTelemetry logs, through a spool and OpenTelemetry's own exporter.

    OTLPHandler("http://localhost:4318", service="shop")     # pip install 'llmlog[otel]'

The SDK's batches live in memory, and one that was not taken is gone. Here a record leaves the spool only when the
exporter says that its batch was taken.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.faults import notice
from llmlog.formatters import JSONFormatter
from llmlog.handlers.backend import Entry, Outcome
from llmlog.handlers.mending import shortened
from llmlog.handlers.shipped import SpooledHandler
from llmlog.handlers.transport import Answer, address, met_alike, refused_as_a_whole

__all__ = ["OTLPBackend", "OTLPHandler"]

_PATH = "/v1/logs"
_LONGEST_LINE = 256 * 1024  # of a record that was refused: its figures arrive, its texts are cut
_MIN_INT, _MAX_INT = -(2**63), 2**63 - 1
_MOST_KNOWN = 1_000  # resources and scopes that are kept for the records to come


class OTLPHandler(SpooledHandler):
    """Spool each record, and have it sent to an OpenTelemetry Collector, or any other that speaks OTLP over HTTP.

    Its event name, attributes, severity, trace and resource are those of `JSONFormatter(schema="otel")`, with their
    types; the scope is the logger. `endpoint`: such as `http://localhost:4318`, and `/v1/logs` is added where it has no
    path; None: as OTEL_EXPORTER_OTLP_LOGS_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT says. The exporter's other
    variables, and OTEL_RESOURCE_ATTRIBUTES, hold as well. `service` and `env`: of the resource. `headers`, `timeout`
    (seconds for a batch), `ca_certs` and `client_cert` (a file, or certificate and key): of the connection. `spool` and
    all else: as with any `SpooledHandler`.

    UsageTypeError and UsageValueError for arguments without a meaning, and where OpenTelemetry's SDK is not installed.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        service: str | None = None,
        env: str | None = None,
        timeout: float = 10.0,
        ca_certs: str | os.PathLike[str] | None = None,
        client_cert: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
        spool: str | os.PathLike[str] | None = None,
        **spooled: Any,
    ) -> None:
        for name, value in (("service", service), ("env", env)):
            if value is not None and not isinstance(value, str):
                raise UsageTypeError(f"{name} is text or None, got {shown(value)}")
        backend = OTLPBackend(
            endpoint, headers=headers, timeout=timeout, ca_certs=ca_certs, client_cert=client_cert
        )  # fmt: skip
        super().__init__(backend, spool=spool, **spooled)
        # As of now, and in the record: it may be another process, with another environment, that sends it.
        resource = {**_resource_of_the_environment(), "service": service, "env": env}
        self.setFormatter(JSONFormatter(schema="otel", constants=resource))


class OTLPBackend:
    """Entries as one export of the SDK's exporter; what the server answered as an outcome.

    The exporter tells only whether a batch was taken, and would try again by itself while nobody else can be sent to.
    So its requests end at the first answer, which is kept here: what comes of it is the spool's to decide.
    """

    name = "otlp"

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        ca_certs: str | os.PathLike[str] | None = None,
        client_cert: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    ) -> None:
        _import_opentelemetry()
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
            raise UsageTypeError(f"timeout is a number of seconds, got {shown(timeout)}")
        if not 0 < timeout < float("inf"):
            raise UsageValueError(f"timeout is a number of seconds above 0, got {shown(timeout)}")
        self._options: dict[str, Any] = {
            "endpoint": _endpoint(endpoint),
            "headers": _headers(headers),
            "timeout": float(timeout),
            "certificate_file": None if ca_certs is None else _path("ca_certs", ca_certs),
        }
        if client_cert is not None:
            files = [client_cert] if isinstance(client_cert, (str, os.PathLike)) else list(client_cert)
            certificate, *key = (_path("client_cert", file) for file in files)
            self._options.update(client_certificate_file=certificate, client_key_file=key[0] if key else None)
        self.destination = self._options["endpoint"] or _endpoint_of_the_environment()
        tenant = next((value for name, value in (headers or {}).items() if name.lower() == "x-scope-orgid"), None)
        if tenant:
            self.destination += f" tenant={tenant}"
        self._exporter: Any = None
        self._met = _Met()
        self._records = _Records()

    def send(self, entries: Sequence[Entry]) -> Outcome:
        """Export them all at once. OSError, TimeoutError: they may or may not have arrived."""
        if self._exporter is None:
            self._exporter = self._made()
        batch, rest, refused = [], [], list[tuple[Entry, str]]()
        for entry in entries:
            try:
                batch.append(self._records.made(entry))
                rest.append(entry)
            except Exception as error:  # a line of somebody else's
                refused.append((entry, f"no log record can be made of it: {error}"))
        outcome = self._export(batch, rest) if batch else Outcome()
        if not refused or outcome.split or outcome.denied:
            return outcome
        return Outcome(again=outcome.again, refused=[*refused, *outcome.refused], pause=outcome.pause)

    def _export(self, batch: list[Any], entries: Sequence[Entry]) -> Outcome:
        from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value
        from opentelemetry.sdk._logs.export import LogRecordExportResult

        met = self._met = _Met()
        token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))  # no span, metric or record about a sending
        try:
            taken = self._exporter.export(batch) is LogRecordExportResult.SUCCESS
        except _Ended:
            taken = False
        finally:
            detach(token)
        if met.error is not None:
            raise met.error
        answer = met.answer
        if answer is None:  # the exporter has not even asked: it could not write this batch
            return refused_as_a_whole(entries, "the exporter cannot write it")
        if taken:
            return _partly(answer, entries)
        outcome = met_alike(answer, entries)
        return refused_as_a_whole(entries, answer.words) if outcome is None else outcome

    def mended(self, entry: Entry, reason: str) -> Entry | None:
        """Cut to half its size, and less each time, while it is long; what is short is refused for something else."""
        limit = min(_LONGEST_LINE, len(entry.line) // 2)
        line = shortened(entry.line, limit) if reason.startswith("413") and limit > 1024 else None
        return None if line is None else entry._replace(line=line, changed="cut")

    def close(self) -> None:
        """Let go of connections; a later `send` opens them again."""
        exporter, self._exporter = self._exporter, None
        if exporter is not None:
            exporter.shutdown()

    def _made(self) -> Any:
        import requests
        from opentelemetry.exporter.otlp.proto.http import Compression
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

        session = requests.Session()
        session.request = self._once(session.request)  # type: ignore[method-assign,assignment,unused-ignore]
        return OTLPLogExporter(compression=Compression.Gzip, session=session, **self._options)

    def _once(self, request: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*args: Any, **options: Any) -> Any:
            met = self._met
            if met.answer is not None or met.error is not None:  # it tries again: the spool will
                raise _Ended
            try:
                response = request(*args, **options)
            except OSError as error:  # all errors of requests are
                met.error = error
                raise _Ended(str(error)) from None
            headers = {name.lower(): value for name, value in response.headers.items()}
            met.answer = Answer(response.status_code, headers, response.content)
            if not 200 <= response.status_code < 300:
                raise _Ended(met.answer.words)
            return response

        return asked


class _Met:
    """What one export has met: an answer, or an error in place of one."""

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self.error: OSError | None = None


class _Ended(Exception):
    """Ends an export where its first request has ended, with the server's words."""


class _Records:
    """Lines as the SDK's log records. Resources and scopes are made once for each line that is the same."""

    def __init__(self) -> None:
        self._resources: dict[bytes, Any] = {}
        self._scopes: dict[tuple[str, str], Any] = {}

    def made(self, entry: Entry) -> Any:
        """The record that `entry` tells of; a line in another schema keeps what it says, under its own names."""
        from opentelemetry._logs import LogRecord, SeverityNumber
        from opentelemetry.sdk._logs import ReadableLogRecord

        fields = orjson.loads(entry.line)
        if "Attributes" not in fields and "SeverityText" not in fields:
            fields = _from_elsewhere(fields)
        number = fields.get("SeverityNumber", 0)
        record = LogRecord(
            timestamp=entry.stamp,
            observed_timestamp=_nanoseconds(fields.get("ObservedTimestamp")) or entry.stamp,
            severity_text=fields.get("SeverityText"),
            severity_number=SeverityNumber(number if type(number) is int and 0 <= number <= 24 else 0),
            body=_value(fields.get("Body")),
            attributes={name or "_": _value(value) for name, value in fields.get("Attributes", {}).items()},
            event_name=fields.get("EventName"),
        )
        # The trace of now is the thread's that sends: none.
        record.trace_id, record.span_id = int(fields.get("TraceId", "0"), 16), int(fields.get("SpanId", "0"), 16)
        scope = fields.get("InstrumentationScope", {}).get("Name", "")
        return ReadableLogRecord(
            record, self._resource(fields.get("Resource", {})), self._scope(scope, fields.get("SchemaUrl", ""))
        )

    def _resource(self, attributes: dict[str, Any]) -> Any:
        key = orjson.dumps(attributes)
        if (found := self._resources.get(key)) is None:
            from opentelemetry.sdk.resources import Resource

            if len(self._resources) >= _MOST_KNOWN:
                self._resources.clear()
            words = {name: _word(value) for name, value in attributes.items()}
            found = self._resources[key] = Resource.create(words)
        return found

    def _scope(self, name: str, schema: str) -> Any:
        if (found := self._scopes.get((name, schema))) is None:
            from opentelemetry.sdk.util.instrumentation import InstrumentationScope

            if len(self._scopes) >= _MOST_KNOWN:
                self._scopes.clear()
            found = self._scopes[name, schema] = InstrumentationScope(name, schema_url=schema)
        return found


def _from_elsewhere(fields: dict[str, Any]) -> dict[str, Any]:
    """A line of another formatter: its message is the body, its level and logger are known, the rest are attributes."""
    rest = {name: value for name, value in fields.items() if value is not None}
    message = rest.pop("message", None)
    level = str(rest.pop("log.level", None) or rest.pop("level", ""))
    logger = str(rest.pop("log.logger", None) or rest.pop("logger", ""))
    number = logging.getLevelNamesMapping().get(level.upper())
    return {
        "Body": message,
        "SeverityText": level or None,
        "SeverityNumber": 0 if number is None else min(24, max(1, number // 10 * 4 + 1)),
        "InstrumentationScope": {"Name": logger},
        "Attributes": rest,
    }


def _value(value: Any) -> Any:
    """A value that OTLP can carry: its whole numbers have 64 bits, with a sign."""
    kind = type(value)
    if kind is int:
        return value if _MIN_INT <= value <= _MAX_INT else str(value)
    if kind is list:
        return [_value(item) for item in value]
    if kind is dict:
        return {name: _value(item) for name, item in value.items()}
    return value


def _word(value: Any) -> Any:
    """What a resource's attribute may be: no list and no object."""
    return value if type(value) in (str, bool, int, float) else orjson.dumps(value).decode()


def _nanoseconds(text: Any) -> int | None:
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1_000_000 + 0.5) * 1000
    except (TypeError, ValueError, OverflowError):
        return None


def _partly(answer: Answer, entries: Sequence[Entry]) -> Outcome:
    """Taken; some of it perhaps not, and then the answer says how many and why, but not which ones."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

    try:
        partial = ExportLogsServiceResponse.FromString(answer.body).partial_success
    except Exception:  # an answer in another encoding, or none
        return Outcome()
    count, words = partial.rejected_log_records, partial.error_message or "rejected"
    if count >= len(entries):
        return Outcome(refused=[(entry, words) for entry in entries])
    if count > 0:
        # Sent again, the others would be there twice: the protocol forbids it.
        notice(f"otlp: {words}", f"{count} of {len(entries)} records were rejected, and it is not told which: {words}")
    return Outcome()


def _import_opentelemetry() -> None:
    try:
        import opentelemetry.exporter.otlp.proto.http._log_exporter  # noqa: F401
        from opentelemetry.sdk._logs import ReadableLogRecord  # noqa: F401
    except ImportError as error:
        raise UsageValueError(
            f"OTLPHandler needs OpenTelemetry's SDK and its exporter from 1.39 on: pip install 'llmlog[otel]' ({error})"
        ) from error


def _endpoint(given: Any) -> str | None:
    if given is None:
        return None
    base, auth = address(given, "endpoint")
    if auth is not None:
        raise UsageValueError("endpoint has no user and password in it: headers={'Authorization': ...}")
    _, _, path = base.partition("://")[2].partition("/")
    return base if path else base + _PATH


def _endpoint_of_the_environment() -> str:
    if logs := os.environ.get("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"):
        return logs
    base = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or "http://localhost:4318"
    return base.rstrip("/") + _PATH


def _resource_of_the_environment() -> dict[str, Any]:
    from opentelemetry.sdk.resources import OTELResourceDetector

    return dict(OTELResourceDetector().detect().attributes)


def _headers(given: Any) -> dict[str, str] | None:
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise UsageTypeError(f"headers is a mapping of names to values, got a {type(given).__name__}")
    for name, value in given.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise UsageTypeError(f"headers maps names to text, got {shown(name)}: a {type(value).__name__}")
        if not (name + value).isascii() or not (name + value).isprintable():
            raise UsageValueError(f"the header {name} is printable ASCII text, without line ends")
    return dict(given)


def _path(name: str, given: Any) -> str:
    if not isinstance(given, (str, os.PathLike)):
        raise UsageTypeError(f"{name} is a path, got {shown(given)}")
    if not os.path.exists(given):
        raise UsageValueError(f"{name} is a path to a file that is there, got {shown(given)}")
    return str(os.fspath(given))
