"""Handlers: where log records go."""

from __future__ import annotations

from llmlog.handlers.jsonlines import JSONLinesHandler
from llmlog.handlers.otlp import OTLPHandler
from llmlog.handlers.shipped import SpooledHandler

__all__ = ["JSONLinesHandler", "OTLPHandler", "SpooledHandler"]
