"""`configure()` for llmlog's own options, and `dict_config()` for the usual set-up of logging."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from inspect import iscoroutinefunction
from typing import Any

from llmlog import journal, lifecycle, metrics, price_tables, redaction, settings
from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.request_state import Totals
from llmlog.semconv import SCHEMAS

__all__ = ["configure", "dict_config"]


class _Unset:
    def __repr__(self) -> str:  # what help() shows
        return "<unchanged>"


_UNSET: Any = _Unset()


def configure(
    *,
    capture: bool | int = _UNSET,
    ask_usage: bool = _UNSET,
    deployments: Mapping[str, str] = _UNSET,
    redaction: bool | Iterable[str] | Mapping[str, Any] = _UNSET,
    journal: str | os.PathLike[str] | None = _UNSET,
    log_start: bool = _UNSET,
    exit_on_sigterm: bool = _UNSET,
    prices: str | os.PathLike[str] | Mapping[str, Any] | None = _UNSET,
    budget_usd: float | Decimal | None = _UNSET,
    on_budget: Callable[[Totals], object] | None = _UNSET,
    metrics_seconds: float | None = _UNSET,
) -> None:
    """Set llmlog's own options, those that are named; logging itself is not touched.

    `capture`: whether prompts and responses go into the records, redacted and cut: True, False (the default), or how
    many characters of each. `ask_usage`: wrapped clients ask for usage in a stream where the caller has not chosen.
    `deployments`: Azure's deployment name -> the model behind it. `redaction`: which detectors `redact()`,
    `RedactFilter()` and captured texts use: True (all, the default), names, or a mapping with `kinds`, `patterns`
    and `keys`. `journal`: a folder where calls that are open are noted, so that those of a process that is killed are
    recorded by the next one (`llmlog.journal`); None: no journal. `log_start`: a DEBUG record `llm.start` when a call
    starts, to see one that hangs. `exit_on_sigterm`: SIGTERM ends the process as `sys.exit()` does, unless the
    application or its server has a handler of its own. `prices`: your own price table over genai-prices', a TOML or
    JSON file or a mapping (`llmlog.price_tables`). `budget_usd`: what one request may cost; its first call over it
    logs a WARNING `llm.budget`, and calls `on_budget` with the request's `Totals`; no stream is broken by it. Each of
    the three is taken back by None. `metrics_seconds`: how often a record `system.metrics` tells what the process uses
    (`llmlog.metrics`); None: never. UsageTypeError or UsageValueError for anything else, and then nothing is changed.
    """
    chosen: dict[str, Any] = {}
    for name, value in (("ask_usage", ask_usage), ("log_start", log_start), ("exit_on_sigterm", exit_on_sigterm)):
        if value is not _UNSET and not isinstance(value, bool):
            raise UsageTypeError(f"{name} is True or False, got {shown(value)}")
    if capture is not _UNSET:
        chosen["capture"] = settings.captured_characters(capture)
    if ask_usage is not _UNSET:
        chosen["ask_usage"] = ask_usage
    if log_start is not _UNSET:
        chosen["log_start"] = log_start
    if deployments is not _UNSET:
        if not isinstance(deployments, Mapping):
            raise UsageTypeError(f"deployments is a mapping of names to models, got {shown(deployments)}")
        for name, model in deployments.items():
            if not isinstance(name, str) or not isinstance(model, str):
                raise UsageTypeError(f"deployments maps names to models, got {shown(name)}: {shown(model)}")
        chosen["deployments"] = dict(deployments)
    if prices is not _UNSET:
        chosen["prices"] = None if prices is None else price_tables.load(prices)
    if budget_usd is not _UNSET:
        chosen["budget_usd"] = _budget(budget_usd)
    if on_budget is not _UNSET:
        if not (on_budget is None or callable(on_budget)) or iscoroutinefunction(on_budget):
            raise UsageTypeError(f"on_budget is a plain function or None, got {shown(on_budget)}")
        chosen["on_budget"] = on_budget
    redactor = None if redaction is _UNSET else _redactor(redaction)
    if metrics_seconds is not _UNSET and metrics_seconds is not None:
        metrics_seconds = metrics.checked(metrics_seconds)
    if exit_on_sigterm is not _UNSET:
        lifecycle.exit_on_sigterm(exit_on_sigterm)
    if journal is not _UNSET:
        _keep_journal(journal)
    if redactor is not None:
        _redact_with(redactor)
    if metrics_seconds is None:
        metrics.stop()
    elif metrics_seconds is not _UNSET:
        metrics.start(metrics_seconds)
    settings.change(**chosen)


def _budget(given: Any) -> float | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, (int, float, Decimal)):
        raise UsageTypeError(f"budget_usd is a number of US dollars or None, got {shown(given)}")
    try:
        budget = float(given)
    except (OverflowError, ValueError):  # a signalling NaN of Decimal's
        budget = float("nan")
    if not 0 <= budget < float("inf"):
        raise UsageValueError(f"budget_usd is a number of US dollars from 0, got {shown(given)}")
    return budget


def _redactor(option: Any) -> redaction.Redactor:
    return redaction.build(option)


def _redact_with(redactor: redaction.Redactor) -> None:
    redaction.configure(redactor)


def _keep_journal(folder: str | os.PathLike[str] | None) -> None:
    if folder is None:
        journal.disable()
    else:
        journal.enable(folder)


_SERVERS = ("uvicorn", "uvicorn.access", "gunicorn.error", "gunicorn.access")
"""Loggers that servers set up before they import the application, with handlers and no propagation."""


def dict_config(
    *,
    file: str | os.PathLike[str] | None = None,
    loki: str | Mapping[str, Any] | None = None,
    elasticsearch: str | Sequence[str] | Mapping[str, Any] | None = None,
    otlp: str | bool | Mapping[str, Any] | None = None,
    console: bool | str | None = None,
    service: str | None = None,
    env: str | None = None,
    level: str | int = "INFO",
    schema: str = "flat",
    redact: bool = True,
) -> dict[str, Any]:
    """The usual set-up, as a dict for `logging.config.dictConfig`: print it, change it, keep it in a file of your own.

    `file`: a JSON Lines file to append to. `loki` and `elasticsearch`: a URL (several nodes of Elasticsearch: a list),
    or a mapping of the arguments of `LokiHandler` or `ElasticsearchHandler`, with `url` among them. `otlp`: a URL, a
    mapping of the arguments of `OTLPHandler`, or True for where OpenTelemetry's own variables say; what goes there has
    OpenTelemetry's names, whatever the schema. `console`: True for lines for people on stderr, "json" for JSON on
    stdout, False for neither; None: True where there is no other handler. `service` and `env`: fields of every record,
    and labels in Loki. `level`: of the root logger. `schema`: whose names the fields have in JSON: "flat" (llmlog's
    own), "otel" or "ecs". `redact`: whether personal data is taken out.

    The loggers of uvicorn and gunicorn, which keep their lines from the root logger and write them as they are, lose
    their own handlers: access lines and tracebacks go where all else goes, redacted and with the request's id.
    """
    if file is not None and not isinstance(file, (str, os.PathLike)):
        raise UsageTypeError(f"file is a path or None, got {shown(file)}")
    if not (console is None or isinstance(console, bool) or console == "json"):
        raise UsageValueError(f'console is True, False, "json" or None, got {shown(console)}')
    if not isinstance(redact, bool):
        raise UsageTypeError(f"redact is True or False, got {shown(redact)}")
    for name, value in (("service", service), ("env", env)):
        if value is not None and not isinstance(value, str):
            raise UsageTypeError(f"{name} is text or None, got {shown(value)}")
    _check_level(level)
    if not isinstance(schema, str) or schema not in SCHEMAS:
        raise UsageValueError(f"schema is one of {', '.join(map(repr, SCHEMAS))}, got {shown(schema)}")

    filters: dict[str, Any] = {"llmlog_context": {"()": "llmlog.filters.ContextFilter"}}
    if redact:
        filters["llmlog_redaction"] = {"()": "llmlog.filters.RedactFilter"}
    constants = {name: value for name, value in (("service", service), ("env", env)) if value is not None}
    formatters: dict[str, Any] = {
        "llmlog_json": {"()": "llmlog.formatters.JSONFormatter", "schema": schema, "constants": constants},
        "llmlog_console": {"()": "llmlog.formatters.ConsoleFormatter"},
    }
    handlers: dict[str, Any] = {}
    if file is not None:
        handlers["llmlog_file"] = {
            "class": "llmlog.handlers.JSONLinesHandler",
            "filename": os.fspath(file),
            "formatter": "llmlog_json",
        }
    if loki is not None:
        options = _backend("loki", loki)
        options["labels"] = {name: value for name, value in constants.items() if value} | dict(
            options.get("labels") or {}
        )
        handlers["llmlog_loki"] = {"class": "llmlog.handlers.LokiHandler", **options, "formatter": "llmlog_json"}
    if elasticsearch is not None:
        options = _backend("elasticsearch", elasticsearch)
        handlers["llmlog_elasticsearch"] = {
            "class": "llmlog.handlers.ElasticsearchHandler", **options, "formatter": "llmlog_json"
        }  # fmt: skip
    if otlp is not None and otlp is not False:
        given = (
            {"endpoint": None, **otlp} if isinstance(otlp, Mapping) else {"endpoint": None} if otlp is True else otlp
        )
        options = _backend("otlp", given, "endpoint")
        handlers["llmlog_otlp"] = {"class": "llmlog.handlers.OTLPHandler", **constants, **options}
    if console or (console is None and not handlers):
        for_people = console != "json"
        handlers["llmlog_console"] = {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stderr" if for_people else "ext://sys.stdout",
            "formatter": "llmlog_console" if for_people else "llmlog_json",
        }
    for handler in handlers.values():
        handler["filters"] = list(filters)  # on the handlers: a logger's filters do not see its children's records
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": filters,
        "formatters": formatters,
        "handlers": handlers,
        "root": {"level": level, "handlers": list(handlers)},
        "loggers": {name: {"handlers": [], "propagate": True} for name in _SERVERS},
    }


def _backend(name: str, given: Any, place: str = "url") -> dict[str, Any]:
    """The arguments of its handler, as plain values. No message shows them: there may be a password in them."""
    if isinstance(given, str) or (isinstance(given, Sequence) and not isinstance(given, bytes)):
        return {place: given if isinstance(given, str) else list(given)}
    if not isinstance(given, Mapping):
        raise UsageTypeError(f"{name} is a URL, or a mapping of its handler's arguments, got a {type(given).__name__}")
    if place not in given:
        raise UsageValueError(
            f"{name} as a mapping has the URL as `{place}`, got {', '.join(map(shown, given)) or 'nothing'}"
        )
    taken = [one for one in given if one in ("class", "()", "formatter", "filters") or not isinstance(one, str)]
    if taken:
        raise UsageValueError(f"{name} is a mapping of its handler's arguments, got {', '.join(map(shown, taken))}")
    return {one: os.fspath(value) if isinstance(value, os.PathLike) else value for one, value in given.items()}


def _check_level(level: Any) -> None:
    if isinstance(level, bool) or not isinstance(level, (str, int)):
        raise UsageTypeError(f"level is a name or a number, got {shown(level)}")
    if isinstance(level, str) and level not in logging.getLevelNamesMapping():
        raise UsageValueError(f"level is one of {', '.join(logging.getLevelNamesMapping())}, got {shown(level)}")
