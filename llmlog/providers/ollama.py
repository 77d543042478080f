"""Ollama's own API, `/api/chat` and `/api/generate`: JSON lines, the SDK's objects, and whole answers alike.

Source of the format: Ollama's API documentation. An answer is a chunk that is `done` at once. Counts of 0 are left out
by the server, and `prompt_eval_count` too where older versions had the whole prompt cached: then it is not known how
long that was. Its OpenAI-compatible API is read by `llmlog.providers.openai`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmlog.answers import Answer
from llmlog.providers.base import Provider, Read, count, fields_of, parts, text_in
from llmlog.usage import Usage

__all__ = ["PROVIDER", "read_chunk", "read_response", "read_usage"]

_COUNTS = ("prompt_eval_count", "eval_count")


def _quick(answer: Answer, chunk: Any) -> Read | None:
    """For SDK objects, once the model is known, a shorter way to read a piece of text and nothing else."""
    if not hasattr(type(chunk), "__pydantic_fields__"):
        return read_chunk
    return _read_quickly if answer.model else None


def _read_quickly(answer: Answer, chunk: Any) -> Any:
    try:
        fields = chunk.__dict__
        if not fields["done"]:
            message = fields.get("message")
            own = fields if message is None else message.__dict__
            text = own["response" if message is None else "content"]
            if type(text) is str and text and not own["thinking"] and not own.get("tool_calls"):
                answer.pieces.append(text)
                return None
    except (AttributeError, KeyError):
        pass
    return read_chunk(answer, chunk)


def read_chunk(answer: Answer, chunk: Any) -> None:
    """Any chunk, an SDK's object or a dict. The last one brings the usage, and the reason too."""
    fields = fields_of(chunk)
    if not answer.model:
        answer.model = text_in(fields.get("model")) or None
    if error := text_in(fields.get("error")):
        answer.error = (None, error, None)
    message = fields_of(fields.get("message"))
    content = False
    for text in (text_in(fields.get("response")), text_in(message.get("content"))):
        if text:
            answer.text(0).add(text)
            content = True
    for thinking in (text_in(fields.get("thinking")), text_in(message.get("thinking"))):
        if thinking:
            answer.think(thinking)
            content = True
    for tool_call in parts(message.get("tool_calls")):
        _read_tool_call(answer, fields_of(tool_call))
        content = True
    if content or text_in(fields.get("image")):
        answer.has_content()
    if fields.get("done") is True:
        answer.end_mark = True
        if reason := text_in(fields.get("done_reason")):
            answer.finish(0, reason)
    if told := {name: fields[name] for name in _COUNTS if fields.get(name) is not None}:
        answer.usage = {**(answer.usage or {}), **told}


def read_response(answer: Answer, response: Any) -> None:
    """A whole answer, or the error that came instead."""
    read_chunk(answer, response)
    answer.end_mark = True


def _read_tool_call(answer: Answer, fields: Mapping[str, Any]) -> None:
    """A call of a tool comes whole; none of them says of its index or id what could be relied on."""
    function = fields_of(fields.get("function"))
    tool_call = answer.tool_call(len(answer.tool_calls))
    tool_call.id = text_in(fields.get("id")) or None
    tool_call.name = text_in(function.get("name"))
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        tool_call.arguments.add(arguments)
    elif arguments is not None:
        import json

        plain = dict(arguments) if isinstance(arguments, Mapping) else arguments
        tool_call.arguments.add(json.dumps(plain, ensure_ascii=False, default=str))


def read_usage(raw: Any) -> Usage | None:
    """Thinking is part of `eval_count`. Where the prompt's count is missing, it is not known, not 0."""
    fields = fields_of(raw)
    given, produced = (count(fields.get(name)) for name in _COUNTS)
    return None if given is None and produced is None else Usage(given, produced)


def _matches(chunk: object) -> bool:
    fields = fields_of(chunk)
    if not isinstance(fields.get("done"), bool) or "choices" in fields:
        return False
    return "created_at" in fields or "message" in fields or "response" in fields


PROVIDER = Provider(
    name="ollama",
    names=("ollama",),
    matches=_matches,
    chunk=read_chunk,
    response=read_response,
    usage=read_usage,
    quick=_quick,
)
