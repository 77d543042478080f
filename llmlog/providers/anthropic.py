"""Messages: Anthropic's own, and those of the servers that speak the same format.

Source of the format: Anthropic's API reference, "Messages", "Streaming messages" and "Errors". Seen beside it: a second
`message_start` in the middle of a stream, blocks that begin with all they hold, and the events that the SDK's helper
`messages.stream()` derives from the others and sends after them: those have types of their own, and are not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmlog.answers import Answer, Text
from llmlog.providers.base import Provider, Read, count, fields_of, parts, text_in
from llmlog.usage import Usage

__all__ = ["PROVIDER", "read_chunk", "read_response", "read_usage"]

_EVENTS = frozenset({
    "message_start", "message_delta", "message_stop", "content_block_start", "content_block_delta",
    "content_block_stop", "ping",
})  # fmt: skip

_RUN_BY_THE_PROVIDER = frozenset({"server_tool_use", "mcp_tool_use"})

_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""What each type of error is as an HTTP status; an error that comes in a stream has no other."""


def _quick(answer: Answer, chunk: Any) -> Read:
    """For SDK objects, a shorter way to read the events that most streams are made of: the pieces of a block."""
    return _read_quickly if hasattr(type(chunk), "__pydantic_fields__") else read_chunk


def _read_quickly(answer: Answer, chunk: Any) -> Any:
    try:
        if chunk.type == "content_block_delta":
            delta = chunk.delta
            if delta.type == "text_delta" and type(text := delta.text) is str and text:
                answer.pieces.append(text)
                return None
            if not delta.__pydantic_extra__:  # what an older SDK does not know of is there
                return _read_delta(answer, delta.__dict__, chunk.index)
    except AttributeError:
        pass
    return read_chunk(answer, chunk)


def read_chunk(answer: Answer, chunk: Any) -> None:
    """Any event of a stream, an SDK's object or a dict. None of them brings the usage and nothing else."""
    fields = fields_of(chunk)
    kind = fields.get("type")
    if kind == "content_block_delta":
        _read_delta(answer, fields_of(fields.get("delta")), fields.get("index"))
    elif kind == "content_block_start":
        _read_block(answer, fields_of(fields.get("content_block")), fields.get("index"))
    elif kind == "message_start":
        _read_message(answer, fields_of(fields.get("message")))
    elif kind == "message_delta":
        _read_stop(answer, fields_of(fields.get("delta")))
        _read_usage_so_far(answer, fields.get("usage"))
    elif kind == "message_stop":
        answer.end_mark = True
    elif kind in ("error", "message"):
        _read_whole(answer, fields)


def read_response(answer: Answer, response: Any) -> None:
    """A whole message, or the error that came instead."""
    _read_whole(answer, fields_of(response))
    answer.end_mark = True


def _read_whole(answer: Answer, fields: Mapping[str, Any]) -> None:
    if fields.get("type") == "error":
        _read_error(answer, fields.get("error"))
    else:
        _read_message(answer, fields)


def _read_message(answer: Answer, message: Mapping[str, Any]) -> None:
    """A whole message, or the beginning of one: even that may hold content, where it goes on with an earlier turn."""
    if not answer.model:
        answer.model = text_in(message.get("model")) or None
    if not answer.response_id:
        answer.response_id = text_in(message.get("id")) or None
    for index, block in enumerate(parts(message.get("content"))):
        _read_block(answer, fields_of(block), index)
    _read_stop(answer, message)
    _read_usage_so_far(answer, message.get("usage"))


def _read_stop(answer: Answer, fields: Mapping[str, Any]) -> None:
    if reason := text_in(fields.get("stop_reason")):
        answer.finish(0, reason)
        answer.refused |= reason == "refusal"


def _read_error(answer: Answer, error: Any) -> None:
    if isinstance(error, str):
        answer.error = (None, error or None, None)
        return
    fields = fields_of(error)
    kind = text_in(fields.get("type"))
    answer.error = (kind or None, text_in(fields.get("message")) or None, _STATUSES.get(kind))


class _AtStart(Text):
    """Arguments as the start of their block has them, mostly an empty object: pieces, where any come, replace them."""

    __slots__ = ()


def _read_block(answer: Answer, block: Mapping[str, Any], index: Any) -> None:
    """A whole block, or its start.

    A call of a tool that the provider runs itself asks nothing of the caller: like its result it is no tool call of the
    answer. Its arguments were generated all the same.
    """
    if not isinstance(index, int):
        index = None
    if index in answer.tool_calls:  # a message has begun anew, and counts its blocks from 0 again
        answer.tool_calls = {object() if key == index else key: call for key, call in answer.tool_calls.items()}
    kind = text_in(block.get("type"))
    if kind == "text":
        if text := text_in(block.get("text")):
            answer.pieces.append(text)
    elif kind == "thinking":
        if thinking := text_in(block.get("thinking")):
            answer.think(thinking)
            answer.has_content()
    elif kind in _RUN_BY_THE_PROVIDER:
        if arguments := block.get("input"):  # of a whole message; in a stream they come in pieces
            answer.hide(_json(arguments))
        answer.has_content()
    elif kind == "tool_use":
        tool_call = answer.tool_call(index)
        tool_call.id = text_in(block.get("id")) or None
        tool_call.name = text_in(block.get("name"))
        tool_call.arguments = _AtStart()
        tool_call.arguments.add(_json(block.get("input")))
        answer.has_content()


def _json(arguments: Any) -> str:
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    if not arguments:
        return "{}"
    import json

    return json.dumps(arguments, ensure_ascii=False, default=str)


def _read_delta(answer: Answer, delta: Mapping[str, Any], index: Any) -> None:
    kind = delta.get("type")
    if kind == "text_delta":
        if text := text_in(delta.get("text")):
            answer.pieces.append(text)
    elif kind == "thinking_delta":
        if thinking := text_in(delta.get("thinking")):
            answer.think(thinking)
            answer.has_content()
    elif kind == "input_json_delta":
        piece = text_in(delta.get("partial_json"))
        if not piece:
            return
        tool_call = answer.tool_calls.get(index if isinstance(index, int) else None)
        if tool_call is None:
            answer.hide(piece)
        else:
            if type(tool_call.arguments) is _AtStart:
                tool_call.arguments = Text()
            tool_call.arguments.add(piece)
        answer.has_content()


def _read_usage_so_far(answer: Answer, usage: Any) -> None:
    """Counts are totals so far, never increments: a later one replaces an earlier one, a missing one does not."""
    told = {name: value for name, value in fields_of(usage).items() if value is not None}
    if not told:
        return
    answer.usage = {**(answer.usage or {}), **told}
    if tier := text_in(told.get("service_tier")):
        answer.service_tier = tier
    if told.get("speed") == "fast":  # the fast mode has prices of its own, as a tier has
        answer.service_tier = "fast"


def read_usage(raw: Any) -> Usage | None:
    """`input_tokens` is without the cached ones, which come on top; `output_tokens` includes the thinking.

    `iterations` is not read: it breaks the same counts down, and adds those of a compaction and of another model's
    advice, which are not this answer's.
    """
    fields = fields_of(raw)
    fresh, output = count(fields.get("input_tokens")), count(fields.get("output_tokens"))
    if fresh is None and output is None:
        return None
    written_1h = count(fields_of(fields.get("cache_creation")).get("ephemeral_1h_input_tokens"))
    read, written = count(fields.get("cache_read_input_tokens")), count(fields.get("cache_creation_input_tokens"))
    return Usage(
        input_tokens=None if fresh is None else fresh + (read or 0) + (written or 0),
        output_tokens=output,
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=count(fields_of(fields.get("output_tokens_details")).get("thinking_tokens")),
        cache_write_1h_tokens=written_1h,
        web_searches=count(fields_of(fields.get("server_tool_use")).get("web_search_requests")),
    )


def _matches(chunk: object) -> bool:
    fields = chunk if isinstance(chunk, Mapping) else None
    kind = getattr(chunk, "type", None) if fields is None else fields.get("type")
    if not isinstance(kind, str):
        return False
    if kind in _EVENTS:
        return True
    if kind not in ("message", "error"):
        return False
    fields = fields_of(chunk)
    if kind == "message":
        return fields.get("role") == "assistant"
    return bool(fields.get("error")) and "sequence_number" not in fields  # with a number it is OpenAI's


PROVIDER = Provider(
    name="anthropic",
    matches=_matches,
    chunk=read_chunk,
    response=read_response,
    usage=read_usage,
    quick=_quick,
)
