"""The openai SDK's clients, Azure's and Amazon's forms of them included, and whoever's API they talk to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmlog.clients.sending import Asked, Options, Undo, parameters, request_of
from llmlog.clients.stainless import Endpoint, is_made_of
from llmlog.clients.stainless import install as install_on
from llmlog.providers.base import fields_of

__all__ = ["NAME", "install", "knows", "provider_of"]

NAME = "openai"

_PROVIDERS = {
    "azure.com": "azure",
    "deepseek.com": "deepseek",
    "groq.com": "groq",
    "mistral.ai": "mistral_ai",
    "openrouter.ai": "openrouter",
    "perplexity.ai": "perplexity",
    "together.xyz": "together",
    "x.ai": "x_ai",
}
"""By the domain of a client's base URL; where it is none of them, the API is taken for OpenAI's."""


def knows(client: Any) -> bool:
    """Whether this is a client of this SDK."""
    return is_made_of(client, "openai", ("OpenAI", "AsyncOpenAI"))


def install(client: Any, options: Options, undo: Undo) -> None:
    """Watch the client's calls."""
    install_on(client, provider_of(client), _ENDPOINTS, options, undo)


def provider_of(client: Any) -> str:
    """Whose API the client talks to."""
    kind = type(client).__name__
    if "Azure" in kind:
        return "azure"
    if "Bedrock" in kind:
        return "bedrock"
    host = str(getattr(client.base_url, "host", ""))  # an httpx.URL
    return next((name for domain, name in _PROVIDERS.items() if f".{host}".endswith(f".{domain}")), "openai")


def _chat(body: Mapping[str, Any], provider: str) -> Asked:
    return Asked(
        "openai",
        provider,
        model=body.get("model"),
        input=request_of(body, "messages", "response_format"),
        tools=body.get("tools") or body.get("functions"),
        parameters=_parameters(body, effort=body.get("reasoning_effort")),
    )


def _responses(body: Mapping[str, Any], provider: str) -> Asked:
    return Asked(
        "openai",
        provider,
        model=body.get("model"),
        input=request_of(body, "instructions", "input", "text"),
        tools=body.get("tools"),
        parameters=_parameters(body, effort=fields_of(body.get("reasoning")).get("effort")),
    )


def _completion(body: Mapping[str, Any], provider: str) -> Asked:
    return Asked(
        "openai",
        provider,
        model=body.get("model"),
        input=body.get("prompt"),
        parameters=_parameters(body),
        operation="text_completion",
    )


def _embedding(body: Mapping[str, Any], provider: str) -> Asked:
    return Asked("openai", provider, model=body.get("model"), input=body.get("input"), operation="embeddings")


def _transcription(body: Mapping[str, Any], provider: str) -> Asked:
    return Asked(
        "openai",
        provider,
        model=body.get("model"),
        input=body.get("prompt"),
        parameters=parameters(temperature=body.get("temperature")),
        operation="transcription",
    )


def _parameters(body: Mapping[str, Any], *, effort: Any = None) -> dict[str, Any]:
    return parameters(
        temperature=body.get("temperature"),
        top_p=body.get("top_p"),
        top_k=body.get("top_k"),
        max_tokens=(body.get("max_completion_tokens"), body.get("max_output_tokens"), body.get("max_tokens")),
        frequency_penalty=body.get("frequency_penalty"),
        presence_penalty=body.get("presence_penalty"),
        seed=body.get("seed"),
        choice_count=body.get("n"),
        reasoning_effort=effort,
    )


_ENDPOINTS = (
    Endpoint("/chat/completions", ("chat.completions", "beta.chat.completions"), _chat, asks_usage=True),
    Endpoint("/completions", ("completions",), _completion, asks_usage=True),
    Endpoint("/responses", ("responses", "beta.responses"), _responses),
    Endpoint("/embeddings", ("embeddings",), _embedding),
    Endpoint("/audio/transcriptions", ("audio.transcriptions",), _transcription),
    Endpoint("/audio/translations", ("audio.translations",), _transcription),
)
