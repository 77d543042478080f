"""`wrap(client)`: an SDK's client that logs each of its calls, and stays the client it is.

The method that sends a call is replaced on the client's own resource object, so types, attributes and identity
stay. Chat completions of OpenAI's clients so far.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from llmlog.calls import Call, the_call
from llmlog.exceptions import UsageTypeError, shown
from llmlog.faults import fault
from llmlog.settings import captured_characters

__all__ = ["unwrap", "wrap"]

C = TypeVar("C")

_PROVIDERS = {
    "deepseek.com": "deepseek",
    "groq.com": "groq",
    "mistral.ai": "mistral_ai",
    "openrouter.ai": "openrouter",
    "perplexity.ai": "perplexity",
    "together.xyz": "together",
    "x.ai": "x_ai",
}
"""By the domain of a client's base URL; where it is none of them, the API is taken for OpenAI's."""

_RAW = "X-Stainless-Raw-Response"
"""The SDK's own mark of a call that wants the HTTP response and not its content."""


@dataclass(frozen=True, slots=True)
class _Options:
    provider: str
    is_async: bool
    ask_usage: bool
    capture: int | None
    fields: Mapping[str, Any]


def wrap(client: C, *, ask_usage: bool = False, capture: bool | int | None = None, **fields: Any) -> C:
    """The same client, every one of its chat completions logged; the copies it makes (`with_options`) too.

    `client`: an OpenAI, AsyncOpenAI, AzureOpenAI or AsyncAzureOpenAI. `ask_usage`: ask the API for usage in a stream
    where the caller has not chosen, and take the extra chunk out again. `capture`: as in `configure()`, for this
    client; None: as configured. `fields`: more fields for each record of this client. Wrapping again replaces the
    options. UsageTypeError for any other client.
    """
    if not isinstance(ask_usage, bool):
        raise UsageTypeError(f"ask_usage is True or False, got {shown(ask_usage)}")
    characters = None if capture is None else captured_characters(capture)
    if _sdk(client) != "openai":
        raise UsageTypeError(f"wrap() takes a client of the openai SDK, got {shown(client)}")
    unwrap(client)
    anything: Any = client
    options = _Options(_provider(anything), hasattr(type(client), "__aenter__"), ask_usage, characters, fields)
    for completions in _completions(anything):
        for name in ("create", "parse"):
            if hasattr(completions, name):
                setattr(completions, name, _observed(getattr(completions, name), options))
    for name in ("copy", "with_options"):
        setattr(anything, name, _copying(getattr(anything, name), ask_usage, capture, fields))
    return client


def unwrap(client: C) -> C:
    """The client as it was before `wrap()`; one that is not wrapped stays as it is."""
    if _sdk(client) != "openai":
        raise UsageTypeError(f"unwrap() takes a client of the openai SDK, got {shown(client)}")
    anything: Any = client
    for holder in (*_completions(anything), anything):
        for name in ("create", "parse", "copy", "with_options"):
            if hasattr(vars(holder).get(name), "__llmlog__"):
                delattr(holder, name)
    _forget_raw(anything)
    return client


def _completions(client: Any) -> list[Any]:
    """The client's resources that send chat completions; `beta` has one of its own."""
    beta: Any = getattr(getattr(client, "beta", None), "chat", None)
    chats = [chat for chat in (client.chat, beta) if hasattr(chat, "completions")]
    return [chat.completions for chat in chats]


def _forget_raw(client: Any) -> None:
    """The SDK keeps `with_raw_response` and its like once they were used, with the methods of then."""
    for holder in (client, client.chat, *_completions(client)):
        for name in ("with_raw_response", "with_streaming_response"):
            vars(holder).pop(name, None)


def _sdk(client: Any) -> str | None:
    """Which SDK's client this is, told by its class and never by importing the SDK."""
    for kind in type(client).__mro__:
        if kind.__module__.partition(".")[0] == "openai" and kind.__name__ in ("OpenAI", "AsyncOpenAI"):
            return "openai"
    return None


def _provider(client: Any) -> str:
    if "Azure" in type(client).__name__:
        return "azure"
    host = str(getattr(client.base_url, "host", ""))  # an httpx.URL
    if host.endswith(".azure.com"):
        return "azure"
    return next((name for domain, name in _PROVIDERS.items() if f".{host}".endswith(f".{domain}")), "openai")


def _copying(copy: Callable[..., Any], ask_usage: bool, capture: bool | int | None, fields: Any) -> Any:
    @functools.wraps(copy)
    def copied(*args: Any, **kwargs: Any) -> Any:
        return wrap(copy(*args, **kwargs), ask_usage=ask_usage, capture=capture, **fields)

    copied.__llmlog__ = True  # type: ignore[attr-defined]
    return copied


def _observed(send: Callable[..., Any], options: _Options) -> Callable[..., Any]:
    """`send`, with a call around it."""
    observed: Any
    if options.is_async:

        @functools.wraps(send)
        async def asend(*args: Any, **kwargs: Any) -> Any:
            call, kwargs = _begin(options, kwargs)
            try:
                answer = await send(*args, **kwargs)
            except BaseException as error:
                _failed(call, error)
                raise
            return _answered(call, answer, kwargs)

        observed = asend
    else:

        @functools.wraps(send)
        def send_it(*args: Any, **kwargs: Any) -> Any:
            call, kwargs = _begin(options, kwargs)
            try:
                answer = send(*args, **kwargs)
            except BaseException as error:
                _failed(call, error)
                raise
            return _answered(call, answer, kwargs)

        observed = send_it
    observed.__llmlog__ = True
    return observed  # type: ignore[no-any-return]


def _begin(options: _Options, kwargs: dict[str, Any]) -> tuple[Call | None, dict[str, Any]]:
    """A call that is under way, and what to send. What the SDK will not like is the SDK's to refuse."""
    try:
        model, messages, tools = kwargs.get("model"), kwargs.get("messages"), kwargs.get("tools")
        call = Call(
            provider="openai",
            model=model if isinstance(model, str) else None,
            input=messages if isinstance(messages, (list, tuple)) else None,
            tools=tools if isinstance(tools, (list, tuple)) else None,
            fields={**options.fields, **_parameters(kwargs)},
        )
        call.provider = options.provider
        call.streamed = streamed = kwargs.get("stream") is True
        if options.capture is not None:
            call.settings = replace(call.settings, capture=options.capture)
        if streamed and (options.ask_usage or call.settings.ask_usage) and not _is_raw(kwargs):
            stream_options = kwargs.get("stream_options")
            asked = stream_options if isinstance(stream_options, Mapping) else {}
            if "include_usage" not in asked:
                kwargs = {**kwargs, "stream_options": {**asked, "include_usage": True}}
                call.hide_usage = True
        call = the_call(call, streamed=streamed)
    except Exception as error:
        fault("beginning a call", error)
        return None, kwargs
    return call, kwargs


def _parameters(kwargs: dict[str, Any]) -> dict[str, Any]:
    temperature = kwargs.get("temperature")
    limits = [kwargs.get("max_completion_tokens"), kwargs.get("max_tokens")]
    parameters = {"temperature": temperature, "max_tokens": next((n for n in limits if isinstance(n, int)), None)}
    return {name: value for name, value in parameters.items() if isinstance(value, (int, float))}


def _is_raw(kwargs: dict[str, Any]) -> bool:
    headers = kwargs.get("extra_headers")
    return isinstance(headers, Mapping) and _RAW in headers


def _failed(call: Call | None, error: BaseException) -> None:
    if call is not None:
        call.failed(error)


def _answered(call: Call | None, answer: Any, kwargs: dict[str, Any]) -> Any:
    """The SDK's answer, watched: a stream wrapped, a whole one read, an HTTP response when it is parsed."""
    if call is None:
        return answer
    try:
        if not _is_raw(kwargs):
            return call.stream(answer) if call.streamed else call.finish(answer)
        parse = answer.parse
        answer.parse = _parsing(parse, call)
        if not call.streamed and kwargs["extra_headers"][_RAW] == "true":
            answer.parse()  # its body is here already, and the SDK keeps what it parses
    except Exception as error:
        fault("watching an answer", error)
        call.end("exhausted")
    return answer


def _parsing(parse: Callable[..., Any], call: Call) -> Callable[..., Any]:
    seen: dict[int, Any] = {}

    def watched(parsed: Any) -> Any:
        if id(parsed) not in seen:
            seen[id(parsed)] = call.stream(parsed) if call.streamed else call.finish(parsed)
        return seen[id(parsed)]

    @functools.wraps(parse)
    def parsed(*args: Any, **kwargs: Any) -> Any:
        found = parse(*args, **kwargs)
        if hasattr(found, "__await__"):

            async def later() -> Any:
                return watched(await found)

            return later()
        return watched(found)

    return parsed
