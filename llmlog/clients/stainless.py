"""What the SDKs of OpenAI and Anthropic have in common: one generator has made both.

Every method that sends goes through `client.request()`, with its retries inside and its raw and streamed forms told by
a header. That is where a call is watched, so whichever helper sends, there is one record. Around it, the methods of
the resources tell what the SDK refuses before it sends, and how a helper's `with` was left.
"""

from __future__ import annotations

import copy
import functools
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

from llmlog import settings
from llmlog.calls import Call
from llmlog.clients.bodies import watch
from llmlog.clients.sending import Asked, Options, Undo, answered, around, begin, was_sent
from llmlog.drivers import Driver
from llmlog.faults import fault
from llmlog.lifecycle import how_it_left

__all__ = ["Endpoint", "install", "is_made_of"]

_RAW = "X-Stainless-Raw-Response"
"""The header that says that the HTTP response is wanted and not its content."""

_RAW_FORMS = ("with_raw_response", "with_streaming_response")
"""What a resource keeps once it was used, with the methods of then."""


_sent: ContextVar[weakref.ref[Call] | None] = ContextVar("llmlog_sent", default=None)
"""The call whose request was last sent in this context: what its SDK does till it has an answer is part of it."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path of an API that is a call of a model. `asked`: of the request's body, and the provider's name."""

    path: str
    resources: tuple[str, ...]
    asked: Callable[[Mapping[str, Any], str], Asked]
    asks_usage: bool = False
    """Whether its streams bring usage only where `stream_options` asks for it."""


def is_made_of(client: Any, sdk: str, names: tuple[str, ...]) -> bool:
    """Whether the client's class, or one that it is made of, is one of these, of this SDK; without importing it."""
    return any(kind.__module__.partition(".")[0] == sdk and kind.__name__ in names for kind in type(client).__mro__)


def install(client: Any, provider: str, endpoints: tuple[Endpoint, ...], options: Options, undo: Undo) -> None:
    """Watch the client's calls."""
    is_async = hasattr(type(client), "__aenter__")
    gate = _Gate(provider, endpoints, options, is_async)
    undo.put(client, "request", around(client.request, is_async=is_async, begin=gate.begin, answered=gate.answered))
    later: dict[str, list[tuple[str, Endpoint]]] = {}
    for endpoint in endpoints:
        for path in endpoint.resources:
            name = path.partition(".")[0]
            if name in later or _is_to_come(client, name):
                later.setdefault(name, []).append((path, endpoint))
            else:
                _watch(client, path, gate, endpoint, undo)
    for name, paths in later.items():
        undo.put(client, name, _Later(client, name, functools.partial(_watch_all, client, paths, gate, undo)))
    if callable(pause := getattr(client, "_sleep_for_retry", None)):
        undo.put(client, "_sleep_for_retry", _counting(pause))
    for name in ("copy", "with_options"):
        undo.put(client, name, _copying(getattr(client, name), options))


def _watch(client: Any, path: str, gate: _Gate, endpoint: Endpoint, undo: Undo) -> None:
    """Watch the methods of the resource at a dotted path."""
    resource = _resource(client, path, undo)
    for name in ("create", "parse", "stream"):
        if hasattr(resource, name):
            method = getattr(resource, name)
            undo.put(resource, name, _method(method, gate, endpoint, gate.is_async and name != "stream"))


def _watch_all(client: Any, paths: list[tuple[str, Endpoint]], gate: _Gate, undo: Undo) -> None:
    for path, endpoint in paths:
        _watch(client, path, gate, endpoint, undo)


def _is_to_come(client: Any, name: str) -> bool:
    """Whether the SDK imports this resource when it is first used: openai's `beta` takes longer than all others."""
    sdk = next((kind.__module__.partition(".")[0] for kind in type(client).__mro__ if name in vars(kind)), "")
    return name == "beta" and name not in vars(client) and bool(sdk) and f"{sdk}.resources.beta" not in sys.modules


class _Later:
    """Stands for a resource, and passes for it, until something of it is used: then the SDK makes it."""

    def __init__(self, client: Any, name: str, watch_it: Callable[[], None]) -> None:
        self._client = client
        self._name = name
        self._watch_it = watch_it
        self._lock = threading.RLock()

    def _made(self) -> Any:
        with self._lock:
            own = vars(self._client)
            if own.get(self._name) is self:  # else it was made, or `unwrap()` has taken this away
                del own[self._name]
                self._watch_it()
            return getattr(self._client, self._name)

    def __getattr__(self, name: str) -> Any:
        if name in ("_client", "_lock"):  # while it is made, or copied
            raise AttributeError(name)
        return getattr(self._made(), name)

    @property  # type: ignore[misc]  # `object` says that it can be set
    def __class__(self) -> type:
        return type(self._made())


def _resource(client: Any, path: str, undo: Undo) -> Any:
    """The resource at a dotted path. The SDK makes and keeps each when it is first asked for; None: it has none."""
    found = client
    for name in ("", *path.split(".")):
        if name:
            undo.remember(found, name)
            found = getattr(found, name, None)
        if found is None:
            return None
        for raw in _RAW_FORMS:
            undo.drop(found, raw)
    return found


def _copying(method: Callable[..., Any], options: Options) -> Callable[..., Any]:
    @functools.wraps(method)
    def copied(*args: Any, **kwargs: Any) -> Any:
        return options.again(method(*args, **kwargs))

    return copied


def _counting(pause: Callable[..., Any]) -> Callable[..., Any]:
    """What the SDK does before it sends a request again. A record that tells of the time has to tell how often."""

    @functools.wraps(pause)
    def counted(*args: Any, **kwargs: Any) -> Any:
        if (ref := _sent.get()) is not None and (call := ref()) is not None:
            call.retries += 1
        return pause(*args, **kwargs)

    return counted


class _Gate:
    """Watches what goes through one client's `request(cast_to, options, *, stream, stream_cls)`."""

    def __init__(self, provider: str, endpoints: tuple[Endpoint, ...], options: Options, is_async: bool) -> None:
        self.provider = provider
        self.endpoints = endpoints
        self.options = options
        self.is_async = is_async

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Call, Any, Any] | None:
        """The call of a request; None where it asks no model."""
        request = args[1] if len(args) > 1 else kwargs["options"]
        path = str(request.url).partition("?")[0].rstrip("/")
        endpoint = next((one for one in self.endpoints if path.endswith(one.path)), None)
        if endpoint is None or request.method.lower() != "post":
            _sent.set(None)
            return None
        body = _body(request)
        streamed = bool(kwargs.get("stream"))
        wanted = streamed and endpoint.asks_usage and _raw_form(request) is None
        call, hides = self.begin_call(endpoint, body, streamed, asks=wanted)
        _sent.set(weakref.ref(call))
        request = copy.copy(request)
        if hides:
            told = {**_mapping(body.get("stream_options")), "include_usage": True}
            request.json_data = {**_mapping(request.json_data), "stream_options": told}
        if callable(parser := getattr(request, "post_parser", None)):
            request.post_parser = _reading_first(parser, call)
        if len(args) > 1:
            return call, (args[0], request, *args[2:]), kwargs
        return call, args, {**kwargs, "options": request}

    def begin_call(
        self, endpoint: Endpoint, body: Mapping[str, Any], streamed: bool, *, asks: bool = False
    ) -> tuple[Call, bool]:
        """The call, and whether to ask for its usage."""
        asked = replace(endpoint.asked(body, self.provider), streamed=streamed)
        hides = (
            asks
            and (self.options.ask_usage or settings.current().ask_usage)
            and "include_usage" not in _mapping(body.get("stream_options"))
        )
        return begin(self.options, asked, hide_usage=hides), hides

    def answered(self, call: Call, answer: Any, kwargs: dict[str, Any]) -> Any:
        """The SDK's answer, watched."""
        return watch(call, answer, is_async=self.is_async)


def _body(request: Any) -> dict[str, Any]:
    return {**_mapping(request.json_data), **_mapping(getattr(request, "extra_json", None))}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _raw_form(request: Any) -> Any:
    return _mapping(request.headers).get(_RAW)


def _reading_first(parser: Callable[[Any], Any], call: Call) -> Callable[[Any], Any]:
    """What makes more of the answer may refuse it; that it came, and what it cost, is certain before."""

    def parse(answer: Any) -> Any:
        try:
            answered(call, answer)
        except Exception as error:
            fault("watching an answer", error)
        return parser(answer)

    return parse


# The resources' methods


def _method(method: Callable[..., Any], gate: _Gate, endpoint: Endpoint, is_async: bool) -> Callable[..., Any]:
    """A method that sends. What it raises before it has sent is a call that failed, too."""

    def refused(kwargs: dict[str, Any], error: Exception) -> None:
        if was_sent(error):
            return
        try:
            gate.begin_call(endpoint, kwargs, kwargs.get("stream") is True)[0].failed(error)
        except Exception as fault_of_ours:
            fault("beginning a call", fault_of_ours)

    if is_async:

        @functools.wraps(method)
        async def asent(*args: Any, **kwargs: Any) -> Any:
            try:
                return await method(*args, **kwargs)
            except Exception as error:
                refused(kwargs, error)
                raise

        return asent

    @functools.wraps(method)
    def sent(*args: Any, **kwargs: Any) -> Any:
        try:
            made = method(*args, **kwargs)
        except Exception as error:
            refused(kwargs, error)
            raise
        kind = type(made)
        if issubclass(kind, Driver):
            return made
        if method.__name__ == "stream":
            return _AsyncManager(made) if hasattr(kind, "__aenter__") else _Manager(made)
        return made

    return sent


class _Held:
    """A helper's context manager, which passes for the SDK's own."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self._call: Call | None = None

    def __getattr__(self, name: str) -> Any:
        if name == "_manager":  # while it is made
            raise AttributeError(name)
        return getattr(self._manager, name)

    @property  # type: ignore[misc]  # `object` says that it can be set
    def __class__(self) -> type:
        return type(self._manager)

    def _entered(self, stream: Any) -> Any:
        raw: Any = getattr(stream, "_raw_stream", None)
        if issubclass(type(raw), Driver):
            self._call = raw._call
        return stream

    def _left(self, error: BaseException | None) -> None:
        if self._call is not None:
            self._call.end(how_it_left(error), error, deferred=isinstance(error, GeneratorExit))
            self._call = None


class _Manager(_Held):
    """For `with`."""

    def __enter__(self) -> Any:
        return self._entered(self._manager.__enter__())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        self._left(error)
        return self._manager.__exit__(kind, error, trace)


class _AsyncManager(_Held):
    """For `async with`."""

    async def __aenter__(self) -> Any:
        return self._entered(await self._manager.__aenter__())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        self._left(error)
        return await self._manager.__aexit__(kind, error, trace)
