"""What llmlog is to other libraries: one module for each, the only place where that library is imported.

They are found by their dotted path (`llmlog.integrations.structlog`), and none is imported before it is named; each
says which extra to install where its library is missing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = frozenset({"aiohttp", "celery", "httpx", "langchain", "langfuse", "litellm", "requests", "structlog"})


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"llmlog.integrations.{name}")
    raise AttributeError(f"module 'llmlog.integrations' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
