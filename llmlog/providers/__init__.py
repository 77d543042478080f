"""How to read each provider's chunks and responses: one module of plain functions for each format.

A module offers one `Provider`, and is found by being here (the README beside it shows how to write one); no SDK is
imported to read its objects.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import replace

from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.providers.base import Provider

__all__ = ["FORMATS", "UNKNOWN", "Provider", "named"]

FORMATS: tuple[Provider, ...] = tuple(
    importlib.import_module(f"{__name__}.{module.name}").PROVIDER
    for module in pkgutil.iter_modules(__path__)
    if module.name != "base"
)
"""Every format; which of them a chunk is in, its shape tells."""

UNKNOWN = Provider(
    name="unknown",
    matches=lambda chunk: False,
    chunk=lambda answer, chunk: None,
    response=lambda answer, response: None,
    usage=lambda raw: None,
    ends=False,
    is_form=True,
    formats=FORMATS,
)
"""Reads nothing: chunks of a kind that nobody here knows are delivered and counted."""


def _by_name() -> dict[str, Provider]:
    """For each name the format that reads what has no shape that tells; the others are for what has."""
    found = {name: one for one in FORMATS for name in one.names}
    for one in FORMATS:
        found.setdefault(one.name, one)
    return {
        name: replace(one, name=name, formats=(one, *(other for other in FORMATS if other is not one)))
        for name, one in found.items()
    }


_NAMED = _by_name()


def named(name: str | None) -> Provider | None:
    """The provider with this name. UsageTypeError or UsageValueError for what is none; None for None."""
    if name is None:
        return None
    if not isinstance(name, str):
        raise UsageTypeError(f"provider is a name or None, got {shown(name)}")
    if name not in _NAMED:
        raise UsageValueError(f"provider is one of {', '.join(sorted(_NAMED))}, got {shown(name)}")
    return _NAMED[name]
