"""Celery: a task runs in the request that it was sent from, and leaves one record of its run.

    from llmlog.integrations import celery as llmlog_celery

    llmlog_celery.connect(fields=["user_id"])      # where the application is made: senders and workers import it

Celery puts its own handlers on the root logger of a worker, unless somebody else sets logging up:

    @celery.signals.setup_logging.connect
    def set_up(**_):
        logging.config.dictConfig(llmlog.dict_config(file="worker.jsonl"))
"""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Iterable
from typing import Any

from llmlog import settings
from llmlog.context import current
from llmlog.events import event
from llmlog.exceptions import UsageTypeError, shown
from llmlog.faults import fault
from llmlog.plain import text_of, type_name
from llmlog.propagation import extract, inject
from llmlog.providers.base import fields_of
from llmlog.redaction import redact
from llmlog.request_state import RequestState
from llmlog.scopes import RequestScope, request

try:
    from celery import signals
except ImportError as error:
    raise ImportError("llmlog.integrations.celery needs Celery: pip install 'llmlog[celery]'") from error

__all__ = ["connect", "disconnect"]

_HEADER = "llmlog"
_PLAIN = (str, int, float, bool)
_LEVELS = {"FAILURE": logging.ERROR, "REVOKED": logging.WARNING}

_fields: tuple[str, ...] = ()
_running: dict[str, tuple[RequestScope, RequestState, float]] = {}  # a task's id -> its request, and when it started


def connect(*, fields: Iterable[str] = ()) -> None:
    """From now on tasks bear the request that they are sent from, and run in it; once is enough, again does no harm.

    `fields`: names of context fields that go along, beside the request's id and trace; those whose values are text,
    numbers or truth. Each run logs one record `celery.task` on logger `llmlog.events`: its name, id and state, how long
    it took, and what its LLM calls came to. UsageTypeError for fields that are no names.
    """
    global _fields
    if isinstance(fields, str) or not isinstance(fields, Iterable):
        raise UsageTypeError(f"fields are names, such as ['user_id'], got {shown(fields)}")
    names = tuple(fields)
    if not all(isinstance(name, str) for name in names):
        raise UsageTypeError(f"fields are names, such as ['user_id'], got {shown(fields)}")
    _fields = names
    for signal, receiver in _RECEIVERS:
        signal.connect(receiver, weak=False, dispatch_uid=f"llmlog.{receiver.__name__}")


def disconnect() -> None:
    """Leave tasks as they are again."""
    for signal, receiver in _RECEIVERS:
        signal.disconnect(receiver, dispatch_uid=f"llmlog.{receiver.__name__}")


def _sending(headers: Any = None, **_: Any) -> None:
    try:
        if isinstance(headers, dict):
            now = current()
            along = {name: now[name] for name in _fields if isinstance(now.get(name), _PLAIN)}
            if made := inject():
                headers[_HEADER] = {"headers": made, "fields": along}
    except Exception as error:
        fault("sending a task", error)


def _starting(task_id: Any = None, task: Any = None, **_: Any) -> None:
    try:
        scope = request(**_came_along(task.request), task_name=task.name, task_id=text_of(task_id))
        entered = scope.__enter__()
        assert entered.request is not None  # a request's context has its state
        _running[task_id] = scope, entered.request, settings.current().clock()
    except Exception as error:
        fault("starting a task", error)


def _came_along(context: Any) -> dict[str, Any]:
    """What the sender has put into the message; it may be another program, and anything."""
    came = fields_of(context.get(_HEADER) or fields_of(context.headers).get(_HEADER))  # the latter with apply()
    headers, fields = fields_of(came.get("headers")), fields_of(came.get("fields"))
    plain = {name: value for name, value in fields.items() if isinstance(name, str) and isinstance(value, _PLAIN)}
    taken = {"request_id", "task_name", "task_id"}
    return {**{name: value for name, value in plain.items() if name not in taken}, **extract(headers)}


def _ended(task_id: Any = None, task: Any = None, state: Any = None, retval: Any = None, **_: Any) -> None:
    try:
        if (known := _running.pop(task_id, None)) is None:
            return
        scope, run, started = known
        fields: dict[str, Any] = {
            "task_state": text_of(state) if state else None,
            "task_retries": task.request.retries or None,
            "latency_ms": round((settings.current().clock() - started) * 1000, 3),
        }
        if state in ("FAILURE", "RETRY") and isinstance(retval, BaseException):
            kind = type(retval)
            name = type_name(kind)
            fields.update(error_type=name, error_message=redact(text_of(retval)))
        inside = contextvars.copy_context()
        scope.__exit__(None, None, None)
        run.when_counted(lambda: inside.run(_log, state, fields, run))
    except Exception as error:
        fault("ending a task", error)


def _log(state: Any, fields: dict[str, Any], run: RequestState) -> None:
    event("celery.task", level=_LEVELS.get(state, logging.INFO), **fields, **run.totals.as_fields())


_RECEIVERS = (
    (signals.before_task_publish, _sending),
    (signals.task_prerun, _starting),
    (signals.task_postrun, _ended),
)
