"""Anthropic's messages: a script as server-sent events, as one answer, as error objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from llmlog.exceptions import UsageValueError, shown
from llmlog.testing.scripts import Script, ToolCall
from llmlog.testing.wire import Body, Form, Part, dumped

__all__ = ["FORM", "anthropic_answer", "anthropic_error", "anthropic_events"]

FIRST_ID = "msg_1"
MODEL = "claude-sonnet-4-5-20250929"

STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
"""OpenAI's words for the end, and Anthropic's; any other word stays as it is."""

ERRORS = {
    400: ("invalid_request_error", "This request makes no sense."),
    401: ("authentication_error", "This API key is not right."),
    403: ("permission_error", "This key may not use the model."),
    404: ("not_found_error", "There is no such model."),
    413: ("request_too_large", "The request has more bytes than are allowed."),
    429: ("rate_limit_error", "Too many requests of this organisation. Wait, then send it again."),
    504: ("timeout_error", "The request took too long."),
    529: ("overloaded_error", "Overloaded"),
}
"""Type and message for each status; the others are the server's own failures."""


def anthropic_error(status: int = 529) -> dict[str, Any]:
    """The error object that comes with an HTTP status, or as an event in the middle of a stream (529)."""
    unknown = ERRORS[400] if status < 500 else ("api_error", "The server failed at this request.")
    kind, message = ERRORS.get(status, unknown)
    return {"type": "error", "error": {"type": kind, "message": message}}


def anthropic_events(script: Script, request: Body = None, *, id: str = FIRST_ID) -> Iterator[bytes]:
    """The server-sent events of a streamed answer, one `bytes` each, as far as the script gets.

    `request`: the body that asks: its model is the answer's. `id`: the answer's. UsageValueError for a script with an
    error's status.
    """
    return FORM.events(script, request, id)


def anthropic_answer(script: Script, request: Body = None, *, id: str = FIRST_ID) -> dict[str, Any]:
    """The whole answer to a request that is not streamed, whatever the script says of its end.

    UsageValueError where a tool call's arguments are no JSON object: there is no form for them here.
    """
    content: list[dict[str, Any]] = [{"type": "text", "text": script.text}] if script.pieces else []
    content += [
        {"type": "tool_use", "id": _tool_id(number, tool), "name": tool.name, "input": _input(tool)}
        for number, tool in enumerate(script.tool_calls, 1)
    ]
    whole = {**_message(script, request, id), "content": content, "stop_reason": _stop_reason(script)}
    usage = _usage(script)
    return whole if usage is None else {**whole, "usage": usage}


def _parts(script: Script, request: Body, id: str) -> Iterator[Part]:
    usage = _usage(script)
    if script.begins:
        message = _message(script, request, id)
        if usage is not None:
            message["usage"] = {**usage, "output_tokens": min(1, usage["output_tokens"])}
        yield Part({"type": "message_start", "message": message})
        yield from _blocks(script)
    if script.then == "error":
        yield Part(anthropic_error())
    elif script.then == "end":
        if script.pieces or script.tool_calls:
            yield Part({"type": "content_block_stop", "index": _last_block(script)})
        delta = {"stop_reason": _stop_reason(script), "stop_sequence": None}
        counts = {} if usage is None else {"usage": {"output_tokens": usage["output_tokens"]}}
        yield Part({"type": "message_delta", "delta": delta, **counts})
        yield Part({"type": "message_stop"})


def _blocks(script: Script) -> Iterator[Part]:
    """The text as one block, then one for each tool call. The last one is left open: faults come in the middle."""
    if script.pieces:
        yield Part({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    yield Part({"type": "ping"})
    for piece in script.pieces:
        delta = {"type": "text_delta", "text": piece}
        yield Part({"type": "content_block_delta", "index": 0, "delta": delta}, piece)
    first = 1 if script.pieces else 0
    for index, tool in enumerate(script.tool_calls, first):
        if index:
            yield Part({"type": "content_block_stop", "index": index - 1})
        block = {"type": "tool_use", "id": _tool_id(index - first + 1, tool), "name": tool.name, "input": {}}
        yield Part({"type": "content_block_start", "index": index, "content_block": block})
        for piece in tool.pieces:
            delta = {"type": "input_json_delta", "partial_json": piece}
            yield Part({"type": "content_block_delta", "index": index, "delta": delta}, piece, is_text=False)


def _last_block(script: Script) -> int:
    return len(script.tool_calls) - (0 if script.pieces else 1)


def _tool_id(number: int, tool: ToolCall) -> str:
    return tool.id or f"toolu_{number}"


def _input(tool: ToolCall) -> dict[str, Any]:
    text = "".join(tool.pieces)
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise UsageValueError(f"in a whole answer the arguments of a tool call are a JSON object, got {shown(text)}")
    return given


def _message(script: Script, request: Body, id: str) -> dict[str, Any]:
    return {
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": script.model or (request or {}).get("model") or MODEL,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _stop_reason(script: Script) -> str:
    if script.finish_reason is not None:
        return STOP_REASONS.get(script.finish_reason, script.finish_reason)
    if script.refusal:
        return "refusal"
    return "tool_use" if script.tool_calls else "end_turn"


def _usage(script: Script) -> dict[str, Any] | None:
    """Its input tokens are those that no cache had, unlike ours."""
    counts = script.counts()
    if counts is None:
        return None
    read, written = counts.cache_read_tokens or 0, counts.cache_write_tokens or 0
    return {
        "input_tokens": max(0, (counts.input_tokens or 0) - read - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": counts.output_tokens or 0,
        "service_tier": "standard",
    }


FORM = Form(
    first_id=FIRST_ID,
    parts=_parts,
    framed=lambda data: b"event: " + data["type"].encode() + b"\ndata: " + dumped(data) + b"\n\n",
    end_mark=b"",
    answer=lambda script, request, id: anthropic_answer(script, request, id=id),
    error=anthropic_error,
    request_id="request-id",
)
