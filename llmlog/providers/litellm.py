"""LiteLLM's chat completions: every provider's answers in OpenAI's format, with the provider's name beside them.

Source of the format: LiteLLM's documentation, "Output", "Streaming" and "Prompt caching". The name is not among the
fields: a chunk that was turned into a dict has lost it, and is known by a field that only LiteLLM adds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmlog.answers import Answer
from llmlog.providers import openai
from llmlog.providers.base import Provider, count, fields_of, text_in
from llmlog.usage import Usage

__all__ = ["PROVIDER", "call_id_of", "provider_named", "read_chunk", "read_response", "read_usage"]

_PROVIDERS = {
    "anthropic_text": "anthropic",
    "azure_ai": "azure",
    "azure_text": "azure",
    "bedrock_converse": "bedrock",
    "codestral": "mistral",
    "cohere_chat": "cohere",
    "custom_openai": "",  # any server that speaks OpenAI's format
    "fireworks_ai": "fireworks",
    "gemini": "google",
    "nvidia_nim": "nvidia",
    "ollama_chat": "ollama",
    "openai_like": "",
    "together_ai": "together",
    "vertex_ai": "google",
    "vertex_ai_beta": "google",
}
"""What LiteLLM calls a provider, where the record has another name."""


def read_chunk(answer: Answer, chunk: Any) -> Any:
    """Any chunk, an object or a dict."""
    if answer.provider is None:
        answer.provider = _provider_of(chunk)
    only_usage = openai.read_chunk(answer, chunk)
    answer.end_mark |= bool(answer.finish_reasons)  # it gives one, at the end of all choices
    return only_usage


def read_response(answer: Answer, response: Any) -> None:
    """A whole chat completion."""
    answer.provider = _provider_of(response)
    openai.read_response(answer, response)


def _provider_of(chunk: Any) -> str | None:
    return provider_named(_beside(chunk).get("custom_llm_provider"))


def provider_named(name: Any) -> str | None:
    """The provider by LiteLLM's name for it."""
    return _PROVIDERS.get(text_in(name), text_in(name)) or None


def call_id_of(stream: Any) -> str | None:
    """LiteLLM's own id of the call that this stream of its is the answer of."""
    return text_in(getattr(getattr(stream, "logging_obj", None), "litellm_call_id", None)) or None


def _beside(chunk: Any) -> Mapping[str, Any]:
    """What LiteLLM's objects carry beside their fields."""
    return fields_of(getattr(chunk, "_hidden_params", None))


def read_usage(raw: Any) -> Usage | None:
    """`prompt_tokens` includes the cached ones, whoever the provider is; LiteLLM has its own words for those."""
    usage = openai.read_usage(raw)
    if usage is None:
        return None
    fields = fields_of(raw)
    prompt = fields_of(fields.get("prompt_tokens_details"))
    tools = fields_of(fields.get("server_tool_use"))
    read, written = fields.get("cache_read_input_tokens"), fields.get("cache_creation_input_tokens")
    return replace(
        usage,
        cache_read_tokens=_first(usage.cache_read_tokens, read),
        cache_write_tokens=_first(usage.cache_write_tokens, prompt.get("cache_creation_tokens"), written),
        web_searches=_first(usage.web_searches, prompt.get("web_search_requests"), tools.get("web_search_requests")),
    )


def _first(*values: Any) -> int | None:
    return next((number for value in values if (number := count(value)) is not None), None)


PROVIDER = Provider(
    name="litellm",
    matches=openai.is_from_litellm,
    chunk=read_chunk,
    response=read_response,
    usage=read_usage,
    is_form=True,
)
