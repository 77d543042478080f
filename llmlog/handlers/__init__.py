"""Handlers: where log records go. Each is loaded when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmlog.handlers.elasticsearch import ElasticsearchHandler
    from llmlog.handlers.jsonlines import JSONLinesHandler
    from llmlog.handlers.loki import LokiHandler
    from llmlog.handlers.otlp import OTLPHandler
    from llmlog.handlers.shipped import SpooledHandler

__all__ = ["ElasticsearchHandler", "JSONLinesHandler", "LokiHandler", "OTLPHandler", "SpooledHandler"]

_HOMES = {
    "ElasticsearchHandler": "elasticsearch",
    "JSONLinesHandler": "jsonlines",
    "LokiHandler": "loki",
    "OTLPHandler": "otlp",
    "SpooledHandler": "shipped",
}


if not TYPE_CHECKING:  # a type checker sees the imports above, and nothing else

    def __getattr__(name: str) -> Any:
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module 'llmlog.handlers' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"llmlog.handlers.{home}"), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
