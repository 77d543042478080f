"""Middleware that gives each HTTP request its context. No framework is needed, and none is imported."""

from __future__ import annotations

from llmlog.middleware.asgi import ASGIMiddleware

__all__ = ["ASGIMiddleware"]
