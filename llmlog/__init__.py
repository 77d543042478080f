"""Structured logging for Python services that call language models: one record for every call, however it ends.

    client = llmlog.wrap(OpenAI())

    with llmlog.request(feature="search"):
        for chunk in client.chat.completions.create(model="gpt-4o-mini", messages=[...], stream=True):
            ...

Importing this package touches no logger and imports no third party: each name is loaded when it is first used.

PYTEST_DONT_REWRITE: as a pytest plugin (`llmlog.testing`) it may have been imported before pytest starts.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from llmlog._version import __version__

if TYPE_CHECKING:
    from llmlog.calls import Call, call
    from llmlog.clients import unwrap, wrap
    from llmlog.config import configure, dict_config
    from llmlog.context import Context, bind, current, totals, unbind
    from llmlog.costs import cost
    from llmlog.events import event, timed_event
    from llmlog.exceptions import LLMLogError, UsageTypeError, UsageValueError
    from llmlog.executors import ContextExecutor
    from llmlog.lifecycle import flush
    from llmlog.propagation import extract, inject
    from llmlog.redaction import redact
    from llmlog.request_state import Totals
    from llmlog.scopes import carry, request
    from llmlog.streams import AsyncStream, Stream, stream
    from llmlog.tokens import TokenCount, count_tokens
    from llmlog.usage import Usage

__all__ = [
    # the request
    "Context", "ContextExecutor", "Totals", "bind", "carry", "current", "extract", "inject", "request", "totals",
    "unbind",
    # its calls
    "AsyncStream", "Call", "Stream", "call", "stream", "unwrap", "wrap",
    # figures
    "TokenCount", "Usage", "cost", "count_tokens",
    # records
    "event", "flush", "redact", "timed_event",
    # set-up
    "configure", "dict_config",
    # errors of use
    "LLMLogError", "UsageTypeError", "UsageValueError",
    "__version__",
]  # fmt: skip

_HOMES = {
    "calls": ("Call", "call"),
    "clients": ("unwrap", "wrap"),
    "config": ("configure", "dict_config"),
    "context": ("Context", "bind", "current", "totals", "unbind"),
    "costs": ("cost",),
    "events": ("event", "timed_event"),
    "exceptions": ("LLMLogError", "UsageTypeError", "UsageValueError"),
    "executors": ("ContextExecutor",),
    "lifecycle": ("flush",),
    "propagation": ("extract", "inject"),
    "redaction": ("redact",),
    "request_state": ("Totals",),
    "scopes": ("carry", "request"),
    "streams": ("AsyncStream", "Stream", "stream"),
    "tokens": ("TokenCount", "count_tokens"),
    "usage": ("Usage",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = frozenset({
    *_HOMES, "filters", "formatters", "handlers", "integrations", "journal", "metrics", "middleware", "semconv",
    "testing",
})  # fmt: skip


def __getattr__(name: str) -> Any:
    if home := _HOME_OF.get(name):
        value = getattr(import_module(f"llmlog.{home}"), name)
    elif name in _MODULES:
        value = import_module(f"llmlog.{name}")
    else:
        raise AttributeError(f"module 'llmlog' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
