"""structlog beside llmlog: the same context, redaction, figures and JSON, whichever of the two an event starts from.

structlog.configure(processors=processors())                        # structlog writes the lines

structlog.configure(processors=processors(to="logging"), logger_factory=structlog.stdlib.LoggerFactory())
# structlog's events become log records, and llmlog's handlers, filters and formatters do the rest

handler.setFormatter(formatter())                                   # structlog formats logging's records, too
structlog.configure(processors=processors(to="formatter"), logger_factory=structlog.stdlib.LoggerFactory())
"""

from __future__ import annotations

import datetime
import logging
import sys
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from llmlog import context
from llmlog.answers import Answer
from llmlog.costs import models, price
from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.faults import fault
from llmlog.formatters import JSONFormatter
from llmlog.plain import text_of, type_name
from llmlog.propagation import trace_of_now
from llmlog.providers import UNKNOWN
from llmlog.redaction import WITHHELD, Redactor, build, current
from llmlog.semconv import STANDARD_ATTRIBUTES, attribute_name
from llmlog.settings import current as settings
from llmlog.usage import Usage

try:
    import structlog
except ImportError as error:
    raise ImportError("llmlog.integrations.structlog needs structlog: pip install 'llmlog[structlog]'") from error

__all__ = ["JSONRenderer", "Redact", "add_context", "add_figures", "formatter", "processors", "to_logging"]

Event = MutableMapping[str, Any]
Processor = Callable[[Any, str, Any], Any]

_KIND = "event_"
"""llmlog's field `event`, such as llm.call, in an event dict: there `event` is the message."""
_OURS = ("event", "level", "logger", "timestamp", "exc_info", "exception", "stack", "stack_info", _KIND)
_META = ("_record", "_from_structlog", "_logger", "_name")


def processors(*, to: str = "json", redact: bool | Redactor | Mapping[str, Any] = True, **json: Any) -> list[Processor]:
    """The processors for `structlog.configure`.

    `to`: "json": each event ends as the line that `JSONFormatter(**json)` writes. "logging": as a log record with its
    fields as attributes; what llmlog's filters do is left to them. "formatter": as `formatter()` takes it.
    `redact`: with the configured detectors, with these (`Redactor`'s arguments), or not at all; only where structlog
    writes the line. UsageTypeError and UsageValueError for anything else.
    """
    first: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        fill_in,
        add_figures,
    ]
    if to != "json" and json:
        raise UsageTypeError(f"options of JSON go with to='json', got {', '.join(sorted(json))} with to={shown(to)}")
    if to == "logging":
        return [*first, to_logging]
    if to == "formatter":
        return [*first, add_context, structlog.stdlib.ProcessorFormatter.wrap_for_formatter]
    if to == "json":
        return [*first, add_context, *_redaction(redact), JSONRenderer(**json)]
    raise UsageValueError(f"to is 'json', 'logging' or 'formatter', got {shown(to)}")


def formatter(*, redact: bool | Redactor | Mapping[str, Any] = True, **json: Any) -> logging.Formatter:
    """structlog's ProcessorFormatter for a handler: its events and logging's records as the same JSON lines.

    In a dictConfig it is `{"()": "llmlog.integrations.structlog.formatter"}`. The arguments are those of `processors`.
    """
    rendering: list[Any] = [add_context, *_redaction(redact), JSONRenderer(**json)]
    made: logging.Formatter = structlog.stdlib.ProcessorFormatter(foreign_pre_chain=[from_record], processors=rendering)
    return made


def _redaction(option: Any) -> list[Processor]:
    return [] if option is False else [Redact(None if option is True else build(option))]


def fill_in(logger: Any, method: str, event: Event) -> Event:
    """The processor that puts positional arguments into the message; those that do not fit stand behind it."""
    arguments = event.pop("positional_args", None)
    if not arguments:
        return event
    one = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], Mapping) and arguments[0] else arguments
    try:
        event["event"] = event.get("event", "") % one
    except Exception:  # odd data in the event: not a fault
        event["event"] = f"{text_of(event.get('event', ''))} (args: {text_of(arguments)})"
    return event


def add_context(logger: Any, method: str, event: Event) -> Event:
    """The processor that adds the request's fields and the trace; what the event has already wins."""
    try:
        record = event.get("_record")
        if record is not None and record.name == "llmlog.calls":  # it bears the context of its call's start
            return event
        trace = trace_of_now()
        trace.pop("trace_flags", None)
        for name, value in {**context.current().attributes(), **trace}.items():
            event.setdefault(_KIND if name == "event" else name, value)
    except Exception as error:
        fault("putting the context on an event", error)
    return event


def add_figures(logger: Any, method: str, event: Event) -> Event:
    """The processor that puts tokens and cost in the place of an answer or its usage.

    `response=`: a provider's whole answer, as the SDK's object or a dict: its model, id, finish reason, tokens and
    cost. `usage=` (a `Usage`, or a mapping with its names) with `model=`: tokens and cost. Else it stays as it is.
    """
    try:
        if (response := event.get("response")) is not None and (found := _of_response(response, event)):
            del event["response"]
        elif (usage := event.get("usage")) is not None and (found := _of_usage(usage, event)):
            del event["usage"]
        else:
            return event
        for name, value in found.items():
            event.setdefault(name, value)
    except Exception as error:
        fault("adding figures to an event", error)
    return event


def _of_response(response: Any, event: Event) -> dict[str, Any]:
    reader = UNKNOWN.pick(response)
    if reader is UNKNOWN:
        return {}
    answer = Answer()
    reader.response(answer, response)
    usage = reader.usage(answer.usage) if answer.usage is not None else None
    reasons = list(answer.finish_reasons.values())
    provider = answer.provider or (None if reader.is_form else reader.name)
    found: dict[str, Any] = {
        "provider": provider,
        "response_model": answer.model,
        "response_id": answer.response_id,
        "finish_reason": reasons[0] if len(reasons) == 1 else reasons or None,
        "service_tier": answer.service_tier,
        **(usage.as_fields() if usage is not None else {}),
    }
    if usage is not None:
        found.update(_cost(usage, event.get("model"), answer.model, provider, answer.service_tier))
    return {name: value for name, value in found.items() if value is not None}


def _of_usage(usage: Any, event: Event) -> dict[str, Any]:
    if isinstance(usage, Mapping) and usage.keys() <= set(Usage.__slots__):
        usage = Usage(**usage)
    if not isinstance(usage, Usage):
        return {}
    given = {name: event.get(name) for name in ("model", "response_model", "provider", "service_tier")}
    model, answered, provider, tier = (value if isinstance(value, str) else None for value in given.values())
    return {**usage.as_fields(), **_cost(usage, model, answered, provider, tier)}


def _cost(usage: Usage, model: Any, answered: Any, provider: str | None, tier: str | None) -> dict[str, Any]:
    names = models(model, answered, settings().deployments)
    found = price(usage, names[0], also=names[1:], provider=provider, service_tier=tier) if names else None
    if found is None:
        return {}
    fields: dict[str, Any] = {"cost_usd": float(found.amount), "cost_source": found.source}
    return {**fields, "cost_partial": True} if found.partial else fields


class Redact:
    """The processor that takes personal data and secrets out of an event: message, fields, exception, stack.

    `redactor`: None for the configured one. The exception becomes text (`exception`), with `error_type` and
    `error_message` beside it, since no renderer can redact what it formats itself. The caller's objects are never
    changed; what cannot be redacted is withheld.
    """

    def __init__(self, redactor: Redactor | None = None) -> None:
        if not (redactor is None or isinstance(redactor, Redactor)):
            raise UsageTypeError(f"redactor is a Redactor or None, got {shown(redactor)}")
        self._own = redactor

    def __call__(self, logger: Any, method: str, event: Event) -> Event:
        try:
            redactor = self._own or current()
            _exception_as_text(event)
            return {
                redactor.text(name) if type(name) is str else name: _redacted(name, value, redactor)
                for name, value in event.items()
            }
        except Exception as error:
            fault("redacting an event", error)
            kept = {name: event[name] for name in ("level", "logger", "timestamp", *_META) if name in event}
            return {"event": WITHHELD, **kept}


def _redacted(name: Any, value: Any, redactor: Redactor) -> Any:
    if name in _META or name in ("level", "span_id", "trace_id"):
        return value
    if name in ("event", "exception", "stack"):  # texts, whatever a key of that name would say
        return redactor.text(value) if isinstance(value, str) else redactor.value(value)
    return redactor.field(text_of(name), value)


class JSONRenderer:
    """The last processor: the event as the line of JSON that `JSONFormatter(**options)` writes for such a record."""

    def __init__(self, **options: Any) -> None:
        self._formatter = JSONFormatter(**options)

    def __call__(self, logger: Any, method: str, event: Event) -> Any:
        over_logging = isinstance(logger, logging.Logger) and "_record" not in event
        try:
            record = _record_of(logger, method, event)
        except Exception as error:
            fault("rendering an event", error)
            record = logging.LogRecord("structlog", _level_of(method), "", 0, text_of(event), None, None)
        line = self._formatter.format(record)
        # logging's `exception()` would add the traceback by itself, unredacted.
        return ((line,), {"exc_info": False}) if over_logging else line


def to_logging(logger: Any, method: str, event: Event) -> dict[str, Any]:
    """The last processor before a logger of the standard library: a record with the fields as its attributes."""
    options = {name: event.pop(name) for name in ("exc_info", "stack_info", "stacklevel") if name in event}
    if "exception" in event:  # format_exc_info was here
        event["error_stack_trace"] = event.pop("exception")
    message = event.pop("event", "")
    kind = event.pop(_KIND, None)
    extra = {attribute_name(name): value for name, value in event.items() if name not in _META}
    if kind is not None:
        extra["event"] = kind
    return {"msg": message, "extra": extra, **options}


def from_record(logger: Any, method: str, event: Event) -> Event:
    """For ProcessorFormatter's `foreign_pre_chain`: the fields of a record that did not come from structlog."""
    record: logging.LogRecord = event["_record"]
    for name, value in record.__dict__.items():
        if name not in STANDARD_ATTRIBUTES and name[:1] != "_":
            event[_KIND if name == "event" else name] = value
    if record.exc_info:
        event["exc_info"] = record.exc_info
    elif record.exc_text:
        event["exception"] = record.exc_text
    if record.stack_info:
        event["stack"] = record.stack_info
    return event


def _record_of(logger: Any, method: str, event: Event) -> logging.LogRecord:
    """The LogRecord that says what the event says."""
    _exception_as_text(event)
    came_as = event.get("_record")
    level = _level_of(event.get("level", method))
    name = event.get("logger") or getattr(logger, "name", None) or "structlog"
    if came_as is not None:
        level, name = came_as.levelno, came_as.name
    record = logging.LogRecord(text_of(name), level, "", 0, event.get("event", ""), None, None)
    extras = {attribute_name(key): value for key, value in event.items() if key not in _OURS and key not in _META}
    if came_as is not None:
        record.created, record.levelname = came_as.created, came_as.levelname
    elif (stamp := event.get("timestamp")) is not None and not _set_time(record, stamp):
        extras["timestamp"] = stamp  # some clock's own way to write it
    record.__dict__.update(extras)
    if _KIND in event:
        record.__dict__["event"] = event[_KIND]
    record.exc_text = event.get("exception")
    record.stack_info = event.get("stack") or event.get("stack_info")
    return record


def _exception_as_text(event: Event) -> None:
    """`exc_info`, in any of the forms that structlog takes, as `exception`, `error_type` and `error_message`."""
    error: Any = event.pop("exc_info", None)
    if isinstance(error, tuple) and len(error) == 3:
        error = error[1]
    elif error is not None and not isinstance(error, BaseException) and error:
        error = sys.exc_info()[1]
    if not isinstance(error, BaseException):
        return
    kind = type(error)
    event.setdefault("error_type", type_name(kind))
    event.setdefault("error_message", text_of(error))
    try:
        event.setdefault("exception", "".join(traceback.format_exception(error)).rstrip("\n"))
    except Exception as failure:  # an exception that cannot show itself
        fault("formatting an exception", failure)


def _level_of(name: Any) -> int:
    if isinstance(name, str):
        known = {"warn": "WARNING", "exception": "ERROR", "fatal": "CRITICAL", "msg": "INFO", "log": "INFO"}
        return logging.getLevelNamesMapping().get(known.get(name, name.upper()), logging.INFO)
    return logging.INFO


def _set_time(record: logging.LogRecord, stamp: Any) -> bool:
    """Take over the time that a TimeStamper has put there, if it can be read."""
    try:
        if isinstance(stamp, str):
            when = datetime.datetime.fromisoformat(stamp)
            stamp = (when if when.tzinfo else when.astimezone()).timestamp()
        if isinstance(stamp, bool) or not isinstance(stamp, (int, float)):
            return False
        record.created = float(stamp)
    except (ValueError, OverflowError, OSError):
        return False
    return True
