"""The anthropic SDK's clients, and their forms for Bedrock, Vertex and Foundry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmlog.clients.sending import Asked, Options, Undo, parameters, request_of
from llmlog.clients.stainless import Endpoint, is_made_of
from llmlog.clients.stainless import install as install_on
from llmlog.providers.base import fields_of

__all__ = ["NAME", "install", "knows"]

NAME = "anthropic"

_KINDS = ("Anthropic", "BaseBedrockClient", "BaseVertexClient", "BaseFoundryClient")

_PROVIDERS = {"Bedrock": "bedrock", "Vertex": "vertex_ai", "Foundry": "azure"}
"""By a part of the class's name. What else there is reaches Anthropic itself, whoever sends the bill."""


def knows(client: Any) -> bool:
    """Whether this is a client of this SDK."""
    return is_made_of(client, "anthropic", (*_KINDS, "AsyncAnthropic"))


def install(client: Any, options: Options, undo: Undo) -> None:
    """Watch the client's calls."""
    names = [kind.__name__ for kind in type(client).__mro__]
    provider = next((made for part, made in _PROVIDERS.items() if any(part in name for name in names)), "anthropic")
    install_on(client, provider, _ENDPOINTS, options, undo)


def _messages(body: Mapping[str, Any], provider: str) -> Asked:
    return Asked(
        "anthropic",
        provider,
        model=body.get("model"),
        input=request_of(body, "system", "messages", "output_config", "output_format"),
        tools=body.get("tools"),
        parameters=parameters(
            temperature=body.get("temperature"),
            top_p=body.get("top_p"),
            top_k=body.get("top_k"),
            max_tokens=body.get("max_tokens"),
            reasoning_effort=fields_of(body.get("output_config")).get("effort"),
        ),
    )


_ENDPOINTS = (Endpoint("/v1/messages", ("messages", "beta.messages"), _messages),)
