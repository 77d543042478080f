"""How to read each provider's chunks and responses: one module of plain functions for each of them.

A module offers one `Provider`; no SDK is imported to read its objects.
"""

from __future__ import annotations

from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.providers import anthropic, openai, text
from llmlog.providers.base import Provider

__all__ = ["PROVIDERS", "UNKNOWN", "Provider", "of", "reader_named"]

PROVIDERS: dict[str, Provider] = {
    provider.name: provider for provider in (openai.PROVIDER, anthropic.PROVIDER, text.PROVIDER)
}
"""By the name that `provider=` takes; the first one that knows a chunk reads it."""

UNKNOWN = Provider(
    name="unknown",
    matches=lambda chunk: False,
    chunk=lambda answer, chunk: None,
    response=lambda answer, response: None,
    usage=lambda raw: None,
    ends=False,
)
"""Reads nothing: chunks of a kind that nobody here knows are delivered and counted."""


def reader_named(name: str | None) -> Provider | None:
    """The provider with this name. UsageTypeError or UsageValueError for what is none; None for None."""
    if name is None:
        return None
    if not isinstance(name, str):
        raise UsageTypeError(f"provider is a name or None, got {shown(name)}")
    if name not in PROVIDERS:
        raise UsageValueError(f"provider is one of {', '.join(sorted(PROVIDERS))}, got {shown(name)}")
    return PROVIDERS[name]


def of(chunk: object) -> Provider:
    """The provider whose chunk or response this is, told by its type and shape."""
    for provider in PROVIDERS.values():
        if provider.matches(chunk):
            return provider
    return UNKNOWN
