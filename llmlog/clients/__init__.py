"""`wrap(client)`: an SDK's client that logs each of its calls, and stays the client it is.

What sends is replaced on the client's own objects, so types, attributes and identity stay. One module for each SDK,
none of which it imports: they are told by their classes' names.
"""

from __future__ import annotations

import functools
from typing import Any, Protocol, TypeVar

from llmlog.clients import anthropic, bedrock, google, openai
from llmlog.clients.sending import Options, Undo
from llmlog.exceptions import UsageTypeError, shown
from llmlog.settings import captured_characters

__all__ = ["unwrap", "wrap"]

C = TypeVar("C")


class _SDK(Protocol):
    """What the module of an SDK offers."""

    @property
    def NAME(self) -> str: ...
    def knows(self, client: Any) -> bool: ...
    def install(self, client: Any, options: Options, undo: Undo) -> None: ...


_SDKS: tuple[_SDK, ...] = (anthropic, bedrock, google, openai)

_UNDO = "__llmlog__"
"""The attribute of a wrapped client that knows the way back."""


def wrap(client: C, *, ask_usage: bool = False, capture: bool | int | None = None, **fields: Any) -> C:
    """The same client, every one of its calls logged; the copies it makes (`with_options`, `copy`) too.

    `client`: of the SDKs openai, anthropic and google-genai, or boto3's for bedrock-runtime; sync and async, in all
    their forms (Azure, Bedrock, Vertex ...). `ask_usage`: ask the API for usage in a stream where it has to be asked
    and the caller has not chosen, and take the extra chunk out again. `capture`: as in `configure()`, for this client;
    None: as configured. `fields`: more fields for each record of this client. Wrapping again replaces the options.
    UsageTypeError for any other client: those have `call()` and `stream()`.
    """
    if not isinstance(ask_usage, bool):
        raise UsageTypeError(f"ask_usage is True or False, got {shown(ask_usage)}")
    characters = None if capture is None else captured_characters(capture)
    sdk = _sdk_of(client, "wrap")
    unwrap(client)
    again = functools.partial(wrap, ask_usage=ask_usage, capture=capture, **fields)
    undo = Undo()
    try:
        sdk.install(client, Options(ask_usage, characters, fields, again), undo)
    except BaseException:
        undo.undo()
        raise
    vars(client)[_UNDO] = undo
    return client


def unwrap(client: C) -> C:
    """The client as it was before `wrap()`; one that is not wrapped stays as it is."""
    _sdk_of(client, "unwrap")
    undo = vars(client).pop(_UNDO, None)
    if undo is not None:
        undo.undo()
    return client


def _sdk_of(client: Any, used: str) -> _SDK:
    """Which SDK's client this is."""
    for sdk in _SDKS:
        if not isinstance(client, type) and sdk.knows(client):
            return sdk
    raise UsageTypeError(
        f"{used}() takes a client of the {', '.join(sdk.NAME for sdk in _SDKS[:-1])} "
        f"or {_SDKS[-1].NAME} SDK, got {shown(client)}"
    )
