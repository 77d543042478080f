"""Handlers: where log records go."""

from __future__ import annotations

from llmlog.handlers.jsonlines import JSONLinesHandler

__all__ = ["JSONLinesHandler"]
