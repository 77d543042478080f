"""OpenAI's chat completions: a script as server-sent events, as one answer, as error objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmlog.testing.scripts import Script
from llmlog.testing.wire import Body, Form, Part, dumped

__all__ = ["FORM", "openai_answer", "openai_error", "openai_events"]

FIRST_ID = "chatcmpl-1"
MODEL = "gpt-4o-mini-2024-07-18"
CREATED = 1_750_000_000

ERRORS = {
    400: ("This request makes no sense.", "invalid_request_error", None),
    401: ("This API key is not right: sk-t********.", "invalid_request_error", "invalid_api_key"),
    403: ("This project may not use the model.", "invalid_request_error", "model_not_found"),
    404: ("There is no such model, or you have no access to it.", "invalid_request_error", "model_not_found"),
    429: ("Too many requests of this organisation. Wait, then send it again.", "requests", "rate_limit_exceeded"),
}
"""Message, type and code for each status; the others are the server's own failures."""


def openai_error(status: int = 500) -> dict[str, Any]:
    """The error object that comes with an HTTP status, or as an event in the middle of a stream (500)."""
    unknown = ERRORS[400] if status < 500 else ("The server failed at this request.", "server_error", None)
    message, kind, code = ERRORS.get(status, unknown)
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def openai_events(script: Script, request: Body = None, *, id: str = FIRST_ID) -> Iterator[bytes]:
    """The server-sent events of a streamed answer, one `bytes` each, as far as the script gets.

    `request`: the body that asks: its model is the answer's, and usage is sent where its `stream_options` ask for it;
    without one it is sent. `id`: the answer's. UsageValueError for a script with an error's status.
    """
    return FORM.events(script, request, id)


def openai_answer(script: Script, request: Body = None, *, id: str = FIRST_ID) -> dict[str, Any]:
    """The whole answer to a request that is not streamed, whatever the script says of its end."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    if script.pieces or not script.tool_calls:
        message["refusal" if script.refusal else "content"] = script.text
    if script.tool_calls:
        message["tool_calls"] = [
            {"id": call_id, "type": "function", "function": {"name": name, "arguments": "".join(pieces)}}
            for call_id, name, pieces in _tools(script)
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(script)}
    usage = _usage(script)
    whole = {**_head("chat.completion", script, request, id), "choices": [choice]}
    return whole if usage is None else {**whole, "usage": usage}


def _parts(script: Script, request: Body, id: str) -> Iterator[Part]:
    head = _head("chat.completion.chunk", script, request, id)
    asked = request is None or bool((request.get("stream_options") or {}).get("include_usage"))
    usage = _usage(script) if asked else None
    no_usage_yet = {} if usage is None else {"usage": None}

    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**head, "choices": [choice], **no_usage_yet}

    if script.begins:
        yield from (Part(chunk(delta), piece, "tool_calls" not in delta) for delta, piece in _deltas(script))
    if script.then == "error":
        yield Part(openai_error())
    elif script.then == "end":
        yield Part(chunk({}, _finish_reason(script)))
        if usage is not None:
            yield Part({**head, "choices": [], "usage": usage})


def _deltas(script: Script) -> Iterator[tuple[dict[str, Any], str | None]]:
    """The role first, with the first tool call where there is no text before it; then piece by piece."""
    role: dict[str, Any] = {"role": "assistant", "content": "", "refusal": None}
    has_text = bool(script.pieces) or not script.tool_calls
    if has_text:
        yield {**role, "content": None, "refusal": ""} if script.refusal else role, None
        for piece in script.pieces:
            yield {"refusal" if script.refusal else "content": piece}, piece
    for index, (call_id, name, pieces) in enumerate(_tools(script)):
        function = {"name": name, "arguments": ""}
        begun = {"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]}
        yield begun if has_text or index else {"role": "assistant", "content": None, **begun, "refusal": None}, None
        for piece in pieces:
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}, piece


def _tools(script: Script) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for number, tool in enumerate(script.tool_calls, 1):
        yield tool.id or f"call_{number}", tool.name, tuple(tool.pieces)


def _finish_reason(script: Script) -> str:
    return script.finish_reason or ("tool_calls" if script.tool_calls else "stop")


def _head(kind: str, script: Script, request: Body, id: str) -> dict[str, Any]:
    return {
        "id": id,
        "object": kind,
        "created": CREATED,
        "model": script.model or (request or {}).get("model") or MODEL,
        "service_tier": "default",
        "system_fingerprint": "fp_5c219ed000",
    }


def _usage(script: Script) -> dict[str, Any] | None:
    counts = script.counts()
    if counts is None:
        return None
    prompt, completion = counts.input_tokens or 0, counts.output_tokens or 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": counts.cache_read_tokens or 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": counts.reasoning_tokens or 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


FORM = Form(
    first_id=FIRST_ID,
    parts=_parts,
    framed=lambda data: b"data: " + dumped(data) + b"\n\n",
    end_mark=b"data: [DONE]\n\n",
    answer=lambda script, request, id: openai_answer(script, request, id=id),
    error=openai_error,
    request_id="x-request-id",
)
