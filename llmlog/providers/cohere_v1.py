"""Cohere's older texts: chat of version 1, and `generate`.

Source of the format: Cohere's API reference, "Chat with Streaming (V1)" and "Generate", and the fields of its SDK's own
types. The last event, `stream-end`, repeats the whole answer: of that, only what has not come before is read. The
plan before a call of tools is `text` here, in pieces as in the whole answer, so that it is read as such.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmlog.answers import Answer, ToolCall
from llmlog.providers import cohere
from llmlog.providers.base import Provider, Read, count, fields_of, parts, text_in
from llmlog.usage import Usage

__all__ = ["PROVIDER", "read_chunk", "read_response", "read_usage"]

_EVENTS = frozenset({
    "stream-start", "search-queries-generation", "search-results", "text-generation", "citation-generation",
    "tool-calls-chunk", "tool-calls-generation", "stream-end", "stream-error",
})  # fmt: skip


def _quick(answer: Answer, chunk: Any) -> Read:
    """For SDK objects, a shorter way to read the event that most streams are made of: a piece of text."""
    return _read_quickly if hasattr(type(chunk), "__pydantic_fields__") else read_chunk


def _read_quickly(answer: Answer, chunk: Any) -> Any:
    try:
        if (
            chunk.event_type == "text-generation"
            and type(text := chunk.text) is str
            and text
            and not chunk.__dict__.get("index")
        ):
            answer.pieces.append(text)
            return None
    except AttributeError:
        pass
    return read_chunk(answer, chunk)


def read_chunk(answer: Answer, chunk: Any) -> None:
    """Any event of a stream, an SDK's object or a dict; `generate`'s may come without their type."""
    fields = fields_of(chunk)
    kind = fields.get("event_type")
    if kind == "text-generation" or (kind is None and fields.get("is_finished") is False):
        _add_text(answer, count(fields.get("index")) or 0, fields.get("text"))
    elif kind == "tool-calls-chunk":
        _read_tool_piece(answer, fields)
    elif kind == "tool-calls-generation":
        _read_message(answer, fields)
    elif kind == "stream-start":
        _read_id(answer, fields)
    elif kind == "stream-error":
        reason = text_in(fields.get("finish_reason"))
        answer.error = (reason or None, text_in(fields.get("err")) or None, None)
        cohere.read_finish(answer, count(fields.get("index")) or 0, reason)
    elif kind == "stream-end" or (kind is None and fields.get("is_finished") is True):
        response = fields_of(fields.get("response"))
        _read_whole(answer, response)
        if not answer.finish_reasons:
            cohere.read_finish(answer, 0, fields.get("finish_reason"))
        answer.end_mark = True
    elif kind is None:
        read_response(answer, chunk)


def read_response(answer: Answer, response: Any) -> None:
    """A whole answer, or the error that came instead."""
    fields = fields_of(response)
    error = fields.get("error")
    if said := text_in(fields.get("message")) or text_in(error) or text_in(fields_of(error).get("message")):
        answer.error = (None, said, None)
    else:
        _read_whole(answer, fields)


def _read_whole(answer: Answer, fields: Mapping[str, Any]) -> None:
    _read_id(answer, fields)
    if generations := parts(fields.get("generations")):
        for place, generation in enumerate(generations):
            _read_generation(answer, fields_of(generation), place)
    else:
        _read_message(answer, fields)
        cohere.read_finish(answer, 0, fields.get("finish_reason"))
    if (meta := fields.get("meta")) is not None:
        answer.usage = meta


def _read_id(answer: Answer, fields: Mapping[str, Any]) -> None:
    """The reply's id, as in version 2: `generation_id`; `generate` has one for all its replies."""
    if not answer.response_id:
        ids = (text_in(fields.get(name)) for name in ("generation_id", "response_id", "id"))
        answer.response_id = next(filter(None, ids), None)


def _read_generation(answer: Answer, fields: Mapping[str, Any], place: int) -> None:
    index = count(fields.get("index"))
    choice = place if index is None else index
    if not answer.text(choice):
        _add_text(answer, choice, fields.get("text"))
    cohere.read_finish(answer, choice, fields.get("finish_reason"))


def _read_message(answer: Answer, fields: Mapping[str, Any]) -> None:
    """The text and the calls of tools, each where it has not come in pieces."""
    if not answer.text(0):
        _add_text(answer, 0, fields.get("text"))
    for place, item in enumerate(parts(fields.get("tool_calls"))):
        call = fields_of(item)
        if place in answer.tool_calls:
            continue
        tool_call = answer.tool_call(place)
        tool_call.name = text_in(call.get("name"))
        _add_parameters(tool_call, call.get("parameters"))
        answer.has_content()


def _add_text(answer: Answer, choice: int, text: Any) -> None:
    if not (piece := text_in(text)):
        return
    if choice == 0:
        answer.pieces.append(piece)
    else:
        answer.text(choice).add(piece)
        answer.has_content()


def _read_tool_piece(answer: Answer, fields: Mapping[str, Any]) -> None:
    delta = fields_of(fields.get("tool_call_delta"))
    _add_text(answer, 0, text_in(fields.get("text")) or delta.get("text"))
    name, parameters = text_in(delta.get("name")), delta.get("parameters")
    if not name and not parameters:
        return
    index = count(delta.get("index"))
    tool_call = answer.tool_call(max(0, len(answer.tool_calls) - 1) if index is None else index)
    tool_call.name = name or tool_call.name
    _add_parameters(tool_call, parameters)
    answer.has_content()


def _add_parameters(tool_call: ToolCall, parameters: Any) -> None:
    if isinstance(parameters, str):
        tool_call.arguments.add(parameters)
    elif parameters is not None:
        import json

        tool_call.arguments.add(json.dumps(parameters, ensure_ascii=False, default=str))


def read_usage(raw: Any) -> Usage | None:
    """`meta` has the counts that version 2 has in `usage`."""
    return cohere.read_usage(raw)


def _matches(chunk: object) -> bool:
    fields = fields_of(chunk)
    kind = fields.get("event_type")
    if kind is not None:
        return isinstance(kind, str) and kind in _EVENTS
    if isinstance(fields.get("is_finished"), bool):
        return "text" in fields or "response" in fields
    if "generation_id" in fields:
        return isinstance(fields.get("text"), str)
    generations = parts(fields.get("generations"))  # LangChain's results have some, too
    return bool(generations) and "llm_output" not in fields and "text" in fields_of(generations[0])


PROVIDER = Provider(
    name="cohere",
    matches=_matches,
    chunk=read_chunk,
    response=read_response,
    usage=read_usage,
    quick=_quick,
)
