"""`configure()` for llmlog's own options, and `dict_config()` for the usual set-up of logging."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from typing import Any

from llmlog import redaction, settings
from llmlog.exceptions import UsageTypeError, UsageValueError, shown

__all__ = ["configure", "dict_config"]

_UNSET: Any = object()


def configure(
    *,
    capture: bool | int = _UNSET,
    ask_usage: bool = _UNSET,
    deployments: Mapping[str, str] = _UNSET,
    redaction: bool | Iterable[str] | Mapping[str, Any] = _UNSET,
) -> None:
    """Set llmlog's own options, those that are named; logging itself is not touched.

    `capture`: whether prompts and responses go into the records, redacted and cut: True, False (the default), or how
    many characters of each. `ask_usage`: wrapped clients ask for usage in a stream where the caller has not chosen.
    `deployments`: Azure's deployment name -> the model behind it. `redaction`: which detectors `redact()`,
    `RedactFilter()` and captured texts use: True (all, the default), names, or a mapping with `kinds`, `patterns`
    and `keys`. UsageTypeError or UsageValueError for anything else, and then nothing is changed.
    """
    chosen: dict[str, Any] = {}
    if capture is not _UNSET:
        chosen["capture"] = settings.captured_characters(capture)
    if ask_usage is not _UNSET:
        if not isinstance(ask_usage, bool):
            raise UsageTypeError(f"ask_usage is True or False, got {shown(ask_usage)}")
        chosen["ask_usage"] = ask_usage
    if deployments is not _UNSET:
        if not isinstance(deployments, Mapping):
            raise UsageTypeError(f"deployments is a mapping of names to models, got {shown(deployments)}")
        for name, model in deployments.items():
            if not isinstance(name, str) or not isinstance(model, str):
                raise UsageTypeError(f"deployments maps names to models, got {shown(name)}: {shown(model)}")
        chosen["deployments"] = dict(deployments)
    if redaction is not _UNSET:
        _set_redaction(redaction)
    settings.change(**chosen)


def _set_redaction(option: Any) -> None:
    redaction.configure(redaction.build(option))


def dict_config(
    *,
    file: str | os.PathLike[str] | None = None,
    console: bool | str | None = None,
    service: str | None = None,
    env: str | None = None,
    level: str | int = "INFO",
    schema: str = "flat",
    redact: bool = True,
) -> dict[str, Any]:
    """The usual set-up, as a dict for `logging.config.dictConfig`: print it, change it, keep it in a file of your own.

    `file`: a JSON Lines file to append to. `console`: True for lines for people on stderr, "json" for JSON on
    stdout, False for neither; None: True where there is no file. `service` and `env`: fields of every record.
    `level`: of the root logger. `schema`: names of the fields ("flat"). `redact`: whether personal data is taken out.
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
    if schema != "flat":
        raise UsageValueError(f'schema is "flat", got {shown(schema)}')

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
    if console or (console is None and file is None):
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
    }


def _check_level(level: Any) -> None:
    if isinstance(level, bool) or not isinstance(level, (str, int)):
        raise UsageTypeError(f"level is a name or a number, got {shown(level)}")
    if isinstance(level, str) and level not in logging.getLevelNamesMapping():
        raise UsageValueError(f"level is one of {', '.join(logging.getLevelNamesMapping())}, got {shown(level)}")
