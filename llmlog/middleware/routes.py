"""The route's template of a request that is over: `/chats/{chat_id}`, not the path with an id in it.

No framework is imported: what it has put into the scope is read, and Django, which puts nothing there, is asked where
the application is Django's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

__all__ = ["asgi_route", "django_route", "wsgi_route"]


def asgi_route(scope: Mapping[str, Any], root: str) -> str | None:
    """The template where FastAPI, Starlette, or what puts a `route` with a `path` into its scope, has found one.

    `root`: the scope's root path as it came in; what a mount has added to it stands in front.
    """
    path = _path(scope)
    if path is None:
        return None
    now = scope.get("root_path") or ""
    mounted = now[len(root) :] if now.startswith(root) else ""
    if mounted and (params := scope.get("path_params")):
        names = {str(value): f"{{{name}}}" for name, value in params.items()}
        mounted = "/".join(names.get(part, part) for part in mounted.split("/"))
    return mounted + path


def _path(scope: Mapping[str, Any]) -> str | None:
    fastapi = scope.get("fastapi")
    if isinstance(fastapi, Mapping):  # a router that is included has a prefix that its routes do not know
        path = getattr(fastapi.get("effective_route_context"), "path_format", None)
        if isinstance(path, str) and path:
            return path
    route = scope.get("route")
    if route is not None:
        return _template(route)
    # Starlette before 1.0 tells the endpoint only.
    endpoint, router = scope.get("endpoint"), scope.get("router")
    if endpoint is None or router is None:
        return None
    return _found(getattr(router, "routes", ()), endpoint)


def _template(route: Any) -> str | None:
    if hasattr(route, "routes"):  # a mount, whose own path is in the root path by now: what is mounted has no routes
        return "/{path}"
    path = getattr(route, "path_format", None) or getattr(route, "path", None)
    return path if isinstance(path, str) else None


def _found(routes: Iterable[Any], endpoint: object) -> str | None:
    for route in routes:
        if getattr(route, "endpoint", None) is endpoint:
            return _template(route)
        below = getattr(route, "routes", None)
        if below and (path := _found(below, endpoint)) is not None:
            return path
    return None


def wsgi_route(environ: Mapping[str, Any]) -> str | None:
    """The template where Flask, or whatever is built on Werkzeug's routing, has found one."""
    rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
    path = getattr(rule, "rule", None)
    return path if isinstance(path, str) else None


def django_route(app: object) -> Callable[[str], str | None] | None:
    """Django's routes, by a path below the application's root, where `app` is Django's own handler; else None."""
    base = sys.modules.get("django.core.handlers.base")
    if base is None or not isinstance(app, base.BaseHandler):
        return None
    urls: Any = sys.modules.get("django.urls")

    @lru_cache(maxsize=1024)  # each record of a request asks
    def route(path: str) -> str | None:
        try:
            return f"/{urls.resolve(path).route}"
        except urls.Resolver404:
            return None

    return route
