"""Cohere's chat, version 2.

Source of the format: Cohere's API reference, "Chat with Streaming (V2)", and the fields of its SDK's own types. A
message's parts and tool calls come between a start and an end of their own, each under its index; `message-end` is the
last event that tells anything. The plan that a model makes before it calls tools (`tool_plan`) is neither its visible
answer nor what it calls thinking: it is hidden text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from llmlog.answers import Answer
from llmlog.providers.base import Provider, Read, count, fields_of, text_in
from llmlog.usage import Usage

__all__ = ["PROVIDER", "read_chunk", "read_finish", "read_response", "read_usage"]

_EVENTS = frozenset({
    "message-start", "content-start", "content-delta", "content-end", "tool-plan-delta", "tool-call-start",
    "tool-call-delta", "tool-call-end", "citation-start", "citation-end", "message-end",
})  # fmt: skip


def _quick(answer: Answer, chunk: Any) -> Read:
    """For SDK objects, a shorter way to read the event that most streams are made of: a piece of text."""
    return _read_quickly if hasattr(type(chunk), "__pydantic_fields__") else read_chunk


def _read_quickly(answer: Answer, chunk: Any) -> Any:
    try:
        if chunk.type == "content-delta":
            content = chunk.delta.message.content
            if type(text := content.text) is str and text and not content.thinking:
                answer.pieces.append(text)
                return None
    except AttributeError:
        pass
    return read_chunk(answer, chunk)


def read_chunk(answer: Answer, chunk: Any) -> None:
    """Any event of a stream, an SDK's object or a dict. `message-end` brings the usage, and the finish reason too."""
    fields = fields_of(chunk)
    kind = fields.get("type")
    delta = fields_of(fields.get("delta"))
    message = fields_of(delta.get("message"))
    if kind in ("content-delta", "content-start"):
        _read_content(answer, message.get("content"))
    elif kind in ("tool-call-delta", "tool-call-start"):
        for tool_call in _items(message.get("tool_calls")):
            _read_tool_call(answer, fields_of(tool_call), fields.get("index"))
    elif kind == "tool-plan-delta":
        if plan := text_in(message.get("tool_plan")):
            answer.hide(plan)
            answer.has_content()
    elif kind == "message-start":
        answer.response_id = text_in(fields.get("id")) or None
        _read_message(answer, message)
    elif kind == "message-end":
        _read_end(answer, delta)
        answer.end_mark = True
    elif not kind:
        read_response(answer, chunk)


def read_response(answer: Answer, response: Any) -> None:
    """A whole answer, or the error that came instead."""
    fields = fields_of(response)
    if not answer.response_id:
        answer.response_id = text_in(fields.get("id")) or None
    message, error = fields.get("message"), fields.get("error")
    if isinstance(message, str) or (error and message is None):
        said = text_in(message) or text_in(error) or text_in(fields_of(error).get("message"))
        answer.error = (None, said or None, None)
        return
    _read_message(answer, fields_of(message))
    _read_end(answer, fields)


def _read_message(answer: Answer, message: Mapping[str, Any]) -> None:
    _read_content(answer, message.get("content"))
    if plan := text_in(message.get("tool_plan")):
        answer.hide(plan)
        answer.has_content()
    for index, tool_call in enumerate(_items(message.get("tool_calls"))):
        _read_tool_call(answer, fields_of(tool_call), index)


def _items(value: Any) -> Iterable[Any]:
    """Events hold one of what a whole message has a list of."""
    if isinstance(value, (list, tuple)):
        return value
    return () if value is None else (value,)


def _read_content(answer: Answer, content: Any) -> None:
    if isinstance(content, str):
        if content:
            answer.pieces.append(content)
        return
    for part in _items(content):
        fields = fields_of(part)
        if text := text_in(fields.get("text")):
            answer.pieces.append(text)
        if thinking := text_in(fields.get("thinking")):
            answer.think(thinking)
            answer.has_content()


def _read_tool_call(answer: Answer, fields: Mapping[str, Any], index: Any) -> None:
    function = fields_of(fields.get("function"))
    tool_call = answer.tool_call(index if isinstance(index, (int, str)) else None)
    tool_call.id = text_in(fields.get("id")) or tool_call.id
    tool_call.name = text_in(function.get("name")) or tool_call.name
    if arguments := text_in(function.get("arguments")):
        tool_call.arguments.add(arguments)
    answer.has_content()


def _read_end(answer: Answer, fields: Mapping[str, Any]) -> None:
    """What `message-end` and a whole answer end with."""
    read_finish(answer, 0, fields.get("finish_reason"))
    if error := text_in(fields.get("error")):
        answer.error = (text_in(fields.get("finish_reason")) or None, error, None)
    if (usage := fields.get("usage")) is not None:
        answer.usage = usage


def read_finish(answer: Answer, choice: int, reason: Any) -> None:
    """The finish reason, of either version; ERROR and ERROR_LIMIT say that there is no answer to be had."""
    if not (word := text_in(reason)):
        return
    answer.finish(choice, word)
    answer.content_filtered |= word == "ERROR_TOXIC"
    if word in ("ERROR", "ERROR_LIMIT") and answer.error is None:
        answer.error = (word, None, None)


def read_usage(raw: Any) -> Usage | None:
    """`billed_units` is what is charged for. `tokens` stands in for it; the cached ones are a part of that only.

    What Cohere puts around a prompt is in `tokens` only: mostly the larger part of a short one, at no cost.
    """
    fields = fields_of(raw)
    billed, tokens = fields_of(fields.get("billed_units")), fields_of(fields.get("tokens"))
    given, produced = count(billed.get("input_tokens")), count(billed.get("output_tokens"))
    whole = count(tokens.get("input_tokens")) if given is None else None
    usage = Usage(
        input_tokens=whole if given is None else given,
        output_tokens=count(tokens.get("output_tokens")) if produced is None else produced,
        cache_read_tokens=None if whole is None else count(fields.get("cached_tokens")),
    )
    return usage if usage.input_tokens is not None or usage.output_tokens is not None else None


def _matches(chunk: object) -> bool:
    fields = fields_of(chunk)
    kind = fields.get("type")
    if kind is not None:
        return isinstance(kind, str) and kind in _EVENTS
    if not isinstance(fields.get("finish_reason"), str) or "choices" in fields:
        return False
    message = fields_of(fields.get("message"))
    return message.get("role") == "assistant" and not isinstance(message.get("content"), str)


PROVIDER = Provider(
    name="cohere",
    names=("cohere",),
    matches=_matches,
    chunk=read_chunk,
    response=read_response,
    usage=read_usage,
    quick=_quick,
)
