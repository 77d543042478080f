"""google-genai's client, for the Gemini API and for Vertex AI, with its `aio` side, chats and interactions."""

from __future__ import annotations

import copy
import functools
import inspect
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any

from llmlog.calls import Call
from llmlog.clients.bodies import watch
from llmlog.clients.sending import Answered, Asked, Begin, Options, Undo, around, begin, parameters, request_of
from llmlog.providers.base import fields_of, parts

__all__ = ["NAME", "install", "knows"]

NAME = "google-genai"

_METHODS = {
    "generate_content": "_generate_content",
    "generate_content_stream": "_generate_content_stream",
    "embed_content": "",
}
"""What of `models` sends, and the method inside it that sends one request, where it may send several."""


_SCHEMAS = (("response_schema", "responseSchema"), ("response_json_schema", "responseJsonSchema"))
"""Of the form that the answer is to have."""


def knows(client: Any) -> bool:
    """Whether this is a client of this SDK."""
    kind = type(client)
    return any(one.__module__ == "google.genai.client" and one.__name__ == "Client" for one in kind.__mro__)


def install(client: Any, options: Options, undo: Undo) -> None:
    """Watch the client's calls. `chats` go through `models`, so they are watched with it."""
    provider = "vertex_ai" if getattr(client, "vertexai", False) else "google"
    for side, is_async in ((client, False), (client.aio, True)):
        models = side.models
        for name, inner in _METHODS.items():
            if hasattr(models, name):
                undo.put(models, name, _watched(models, name, inner, provider, options, is_async))
        if hasattr(type(side), "interactions") and "_interactions" in vars(side):

            def watch(made: Any, is_async: bool = is_async) -> None:
                begins = _begins(options, _interaction, provider)
                create = around(made.create, is_async=is_async, begin=begins, answered=_answered(is_async))
                undo.put(made, "create", create)

            if side._interactions is not None:
                watch(side._interactions)
            else:  # half a second to import, for what few use
                undo.put(side, "_interactions", _Later(side, watch))


def _watched(models: Any, name: str, inner: str, provider: str, options: Options, is_async: bool) -> Callable[..., Any]:
    original = getattr(models, name)
    begins = _begins(options, functools.partial(_content, name), provider)
    whole = around(original, is_async=is_async, begin=begins, answered=_answered(is_async))
    if not hasattr(models, inner or name) or not inner:
        return whole

    @functools.wraps(original)
    def by_request(*args: Any, **kwargs: Any) -> Any:
        """Where the SDK runs functions for the model, it asks several times: each is a call."""
        if not _runs_functions(kwargs.get("config")):
            return whole(*args, **kwargs)
        shadow = copy.copy(models)
        send = getattr(models, inner)
        setattr(shadow, inner, around(send, is_async=is_async, begin=begins, answered=_answered(is_async)))
        return getattr(type(models), name)(shadow, *args, **kwargs)

    return by_request


def _runs_functions(config: Any) -> bool:
    tools = parts(fields_of(config).get("tools"))
    return any(not isinstance(tool, Mapping) and not hasattr(type(tool), "__pydantic_fields__") for tool in tools)


def _declared(tool: Any) -> Any:
    """A plain function as about what the SDK declares of it."""
    if not inspect.isroutine(tool):
        return tool
    try:
        named = inspect.signature(tool).parameters
    except (TypeError, ValueError):
        named = MappingProxyType({})
    properties = {
        name: {"type": getattr(one.annotation, "__name__", str(one.annotation))} for name, one in named.items()
    }
    described = {"name": tool.__name__, "description": inspect.getdoc(tool)}
    return {"functionDeclarations": [{**described, "parameters": {"type": "OBJECT", "properties": properties}}]}


def _begins(options: Options, asked: Callable[[Mapping[str, Any], str], Asked], provider: str) -> Begin:
    def begun(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Call, Any, Any]:
        return begin(options, asked(kwargs, provider)), args, kwargs

    return begun


def _answered(is_async: bool) -> Answered:
    return lambda call, answer, kwargs: watch(call, answer, is_async=is_async)


def _content(name: str, kwargs: Mapping[str, Any], provider: str) -> Asked:
    config = fields_of(kwargs.get("config"))

    def of_config(snake: str, camel: str) -> tuple[Any, Any]:
        return config.get(snake), config.get(camel)

    thinking = next((fields_of(one) for one in of_config("thinking_config", "thinkingConfig") if one is not None), {})
    instruction = next((one for one in of_config("system_instruction", "systemInstruction") if one is not None), None)
    schema = next((one for name in _SCHEMAS for one in of_config(*name) if one is not None), None)
    return Asked(
        "google",
        provider,
        model=kwargs.get("model"),
        input=request_of(
            kwargs,
            system_instruction=instruction,
            contents=_as_list(kwargs.get("contents")),
            response_format=None if schema is None else {"type": "json_schema", "schema": schema},
        ),
        tools=[_declared(tool) for tool in parts(config.get("tools"))],
        parameters=parameters(
            temperature=config.get("temperature"),
            top_p=of_config("top_p", "topP"),
            top_k=of_config("top_k", "topK"),
            max_tokens=of_config("max_output_tokens", "maxOutputTokens"),
            frequency_penalty=of_config("frequency_penalty", "frequencyPenalty"),
            presence_penalty=of_config("presence_penalty", "presencePenalty"),
            seed=config.get("seed"),
            choice_count=of_config("candidate_count", "candidateCount"),
            reasoning_effort=(thinking.get("thinking_level"), thinking.get("thinkingLevel")),
        ),
        operation="embeddings" if name == "embed_content" else None,
        streamed=name == "generate_content_stream",
    )


def _interaction(kwargs: Mapping[str, Any], provider: str) -> Asked:
    request = kwargs.get("request")
    body = {**(fields_of(fields_of(request).get("body", request)) if request is not None else {}), **kwargs}
    config = fields_of(body.get("generation_config"))
    return Asked(
        "google",
        provider,
        model=body.get("model"),
        input=request_of(body, "system_instruction", "input"),
        tools=body.get("tools"),
        parameters=parameters(
            temperature=config.get("temperature"),
            top_p=config.get("top_p"),
            top_k=config.get("top_k"),
            max_tokens=config.get("max_output_tokens"),
            seed=config.get("seed"),
            reasoning_effort=config.get("thinking_level"),
        ),
        streamed=body.get("stream") is True,
    )


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [] if value is None else [value]


class _Later:
    """Stands for `interactions` till it is used: then it is made, watched, and takes this one's place."""

    def __init__(self, side: Any, watch: Callable[[Any], None]) -> None:
        self._side = side
        self._watch = watch
        self._lock = threading.Lock()

    def _made(self) -> Any:
        side = self._side
        with self._lock:
            if side._interactions is self:
                # Made apart: nobody gets it before it is watched. A copy of the client would close it when it goes.
                apart = SimpleNamespace(**{**vars(side), "_interactions": None})
                made = type(side).interactions.fget(apart)
                self._watch(made)
                side._interactions = made
        return side.interactions

    def __getattr__(self, name: str) -> Any:
        if name in ("_side", "_watch", "_lock"):  # while it is made
            raise AttributeError(name)
        return getattr(self._made(), name)

    @property  # type: ignore[misc]  # `object` says that it can be set
    def __class__(self) -> type:
        return type(self._made())
