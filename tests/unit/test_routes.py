"""Templates of routes, from what frameworks leave in a scope or an environ."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from llmlog.middleware.routes import asgi_route, django_route, wsgi_route

ITEM = SimpleNamespace(path="/items/{item_id:int}", path_format="/items/{item_id}")


def endpoint() -> None:
    """What a route leads to."""


@pytest.mark.parametrize(
    ("scope", "root", "expected"),
    [
        ({}, "", None),
        ({"route": ITEM}, "", "/items/{item_id}"),
        ({"route": SimpleNamespace(path="/a")}, "", "/a"),
        ({"route": SimpleNamespace(path=5)}, "", None),
        ({"route": ITEM, "root_path": "/api"}, "/api", "/items/{item_id}"),
        ({"route": ITEM, "root_path": "/api/v1"}, "/api", "/v1/items/{item_id}"),
        ({"route": ITEM, "root_path": "/t/77", "path_params": {"tenant": 77}}, "", "/t/{tenant}/items/{item_id}"),
        ({"route": ITEM, "root_path": "/other"}, "/api", "/items/{item_id}"),
        ({"route": SimpleNamespace(path="/static", routes=[]), "root_path": "/static"}, "", "/static/{path}"),
        (
            {"route": ITEM, "fastapi": {"effective_route_context": SimpleNamespace(path_format="/v2/items/{item_id}")}},
            "",
            "/v2/items/{item_id}",
        ),
        ({"route": ITEM, "fastapi": {}}, "", "/items/{item_id}"),
        ({"endpoint": endpoint, "router": SimpleNamespace(routes=[])}, "", None),
        ({"endpoint": endpoint}, "", None),
    ],
)
def test_an_asgi_scope(scope: dict[str, Any], root: str, expected: str | None) -> None:
    """What the framework has found, below what a mount has added to the root path."""
    assert asgi_route(scope, root) == expected


def test_an_endpoint_without_its_route() -> None:
    """Older Starlettes name the endpoint only: its route is looked up, in mounts too."""
    route = SimpleNamespace(path_format="/deep/{name}", endpoint=endpoint)
    mount = SimpleNamespace(routes=[route], endpoint=None)
    router = SimpleNamespace(routes=[SimpleNamespace(endpoint=len), mount])
    assert asgi_route({"endpoint": endpoint, "router": router}, "") == "/deep/{name}"


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (SimpleNamespace(url_rule=SimpleNamespace(rule="/chats/<int:chat_id>")), "/chats/<int:chat_id>"),
        (SimpleNamespace(url_rule=None), None),
        (None, None),
    ],
)
def test_a_wsgi_environ(request_: Any, expected: str | None) -> None:
    """Werkzeug's request knows its rule; without a match there is none."""
    assert wsgi_route({"werkzeug.request": request_}) == expected


def test_django_is_asked_for_its_own_applications_only() -> None:
    """Any other application's paths are none of Django's, though it may be installed."""
    assert django_route(endpoint) is None
