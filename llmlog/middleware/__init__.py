"""Middleware that gives each HTTP request its context and its record. No framework is needed, and none is imported."""

from __future__ import annotations

from llmlog.middleware.asgi import ASGIMiddleware
from llmlog.middleware.edges import Options
from llmlog.middleware.wsgi import WSGIMiddleware

__all__ = ["ASGIMiddleware", "Options", "WSGIMiddleware"]
