"""Records about what is not a call: retrievals, tools, feedback and scores, deployments and outages, metrics."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any

from llmlog import context, records, settings
from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.plain import text_of, type_name
from llmlog.propagation import trace_of_now
from llmlog.redaction import redact

__all__ = ["event", "timed_event"]


def event(name: str, /, *, level: int | str = logging.INFO, **fields: Any) -> None:
    """Log one record named `name` on logger `llmlog.events`, with the current context and `fields`.

    The names and fields that dashboards know (`llmlog.semconv` has them all); any others are welcome:

    - `llm.retrieval`: `retriever`, `query_length`, `document_count`, `document_ids`, `document_scores`, `latency_ms`
    - `llm.tool`: `tool_name`, `tool_call_id`, `arguments_length`, `latency_ms`
    - `llm.feedback`: `score`, `label`, `comment`, and the call that is judged: `call_id` (`Call.call_id`), or the
      `response_id` that the provider gave its answer
    - `llm.score`: the same of an evaluation's, with `score_name` and `evaluator`
    - `system.event`: `kind` (deployment, configuration_change, provider_outage, rate_limit), `version`, `provider`
    - `system.metrics`: `llmlog.metrics` logs these

    `level`: logging's number or name for it. A field that is None is left out. UsageTypeError or UsageValueError for
    a name that is not text, or empty, and for a level that there is not.
    """
    number = _checked(name, level)
    trace = trace_of_now()
    trace.pop("trace_flags", None)
    known = {field: value for field, value in fields.items() if value is not None}
    made = {**context.current().attributes(), **trace, **known, "event": name, "record_id": context.new_id()}
    records.emit(records.EVENTS, number, name, made)


class timed_event:
    """A `with` block, sync or async, that ends in `event(name, **fields)` with how long it took: `latency_ms`.

        with llmlog.timed_event("llm.retrieval", retriever="docs") as found:
            documents = search(question)
            found["document_count"] = len(documents)

    It yields a dict for the fields that are not known before. An exception goes on its way, and is on the record, at
    level ERROR where it is an Exception, as `error_type` and `error_message` (redacted).
    """

    def __init__(self, name: str, /, *, level: int | str = logging.INFO, **fields: Any) -> None:
        self._level = _checked(name, level)
        self._name = name
        self._fields = fields

    def __enter__(self) -> dict[str, Any]:
        self._clock = settings.current().clock
        self._started = self._clock()
        return self._fields

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        fields = {"latency_ms": round((self._clock() - self._started) * 1000, 3), **_named(self._fields)}
        level = self._level
        if kind is not None:
            name = type_name(kind)
            fields.setdefault("error_type", name)
            fields.setdefault("error_message", redact(text_of(error)))
            level = max(level, logging.ERROR if issubclass(kind, Exception) else level)
        event(self._name, **{**fields, "level": level})

    async def __aenter__(self) -> dict[str, Any]:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def _named(fields: dict[Any, Any]) -> dict[str, Any]:
    return {name if isinstance(name, str) else text_of(name): value for name, value in fields.items()}


def _checked(name: Any, level: Any) -> int:
    if not isinstance(name, str):
        raise UsageTypeError(f"the name of an event is text, got {shown(name)}")
    if not name:
        raise UsageValueError(f"the name of an event may not be empty, got {shown(name)}")
    if isinstance(level, str):
        number = logging.getLevelNamesMapping().get(level.upper())
        if number is None:
            raise UsageValueError(f"level is one of {', '.join(logging.getLevelNamesMapping())}, got {shown(level)}")
        return number
    if isinstance(level, bool) or not isinstance(level, int):
        raise UsageTypeError(f"level is a name or a number, got {shown(level)}")
    return level
