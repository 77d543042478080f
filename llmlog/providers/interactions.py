"""Interactions: Google's other way to ask Gemini models and agents, in steps.

Source of the format: the Gemini API's reference, "Interactions", and its list of streamed events; beside them the
events of its first version, `interaction.start` and `complete`, and `content.*` in place of `step.*`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmlog.answers import Answer, Text
from llmlog.providers.base import Provider, Read, count, fields_of, parts, text_in
from llmlog.usage import Usage

__all__ = ["PROVIDER", "read_chunk", "read_response", "read_usage"]

_KINDS = ("interaction.", "step.", "content.")
_MEDIA = frozenset({"image", "audio", "video", "document"})
_FAILED = {"status": "failed"}


def _quick(answer: Answer, chunk: Any) -> Read:
    """For SDK objects, a shorter way to read the event that most streams are made of: a piece of text."""
    return _read_quickly if hasattr(type(chunk), "__pydantic_fields__") else read_chunk


def _read_quickly(answer: Answer, chunk: Any) -> None:
    try:
        fields = chunk.__dict__
        if fields["event_type"] == "step.delta" and fields["metadata"] is None and not chunk.__pydantic_extra__:
            delta = fields["delta"].__dict__
            if delta["type"] == "text" and type(text := delta["text"]) is str and text:
                answer.pieces.append(text)
                return
    except (AttributeError, KeyError, TypeError):
        pass
    read_chunk(answer, chunk)


def read_chunk(answer: Answer, chunk: Any) -> None:
    """Any event of a stream, an SDK's object or a dict. None of them brings the usage and nothing else."""
    if chunk == "[DONE]":  # the end mark of the wire, where the source hands it on
        answer.end_mark = True
        return
    fields = _event(chunk)
    kind = text_in(fields.get("event_type"))
    if kind in ("step.delta", "content.delta"):
        _read_delta(answer, _known(fields.get("delta")), fields.get("index"))
    elif kind in ("step.start", "content.start"):
        _read_step(answer, _known(fields.get("step") or fields.get("content")), fields.get("index"))
    elif kind in ("interaction.created", "interaction.start"):
        _read_head(answer, fields_of(fields.get("interaction")))
    elif kind in ("interaction.completed", "interaction.complete"):
        _read_end(answer, fields_of(fields.get("interaction")))
        answer.end_mark = True
    elif kind == "interaction.status_update":
        if fields.get("status") == "failed":
            _read_error(answer, _FAILED)
    elif fields.get("error"):
        _read_error(answer, fields.get("error"))
    elif not kind:
        _read_end(answer, fields)
    metadata = fields_of(fields.get("metadata"))  # it may come with any event
    for usage in (metadata.get("usage"), metadata.get("total_usage"), fields.get("usage")):
        _read_usage_so_far(answer, usage)


def read_response(answer: Answer, response: Any) -> None:
    """A whole interaction, or the error that came instead."""
    read_chunk(answer, response)
    answer.end_mark = True


def _event(chunk: Any) -> Mapping[str, Any]:
    """An event's fields, those of one that the SDK knows only as it came included."""
    fields = fields_of(chunk)
    return fields_of(fields.get("raw")) if fields.get("event_type") == "UNKNOWN" else fields


def _known(value: Any) -> Mapping[str, Any]:
    """The same for a step, a delta or a content."""
    fields = fields_of(value)
    return fields_of(fields.get("raw")) if fields.get("type") == "UNKNOWN" else fields


def _read_head(answer: Answer, interaction: Mapping[str, Any]) -> None:
    if not answer.model:
        answer.model = text_in(interaction.get("model")) or text_in(interaction.get("agent")) or None
    if not answer.response_id:
        answer.response_id = text_in(interaction.get("id")) or None
    if tier := text_in(interaction.get("service_tier")):
        answer.service_tier = tier
    _read_usage_so_far(answer, interaction.get("usage"))


def _read_end(answer: Answer, interaction: Mapping[str, Any]) -> None:
    """The whole interaction: the end of a stream repeats what its deltas brought, if it has it at all."""
    _read_head(answer, interaction)
    if not answer.content_chunks:
        for index, step in enumerate(parts(interaction.get("steps")) or parts(interaction.get("outputs"))):
            _read_step(answer, _known(step), index)
    status = text_in(interaction.get("status"))
    if status and status not in ("in_progress", "queued"):
        answer.finish(0, status)
    if status == "failed":
        errors = parts(interaction.get("errors"))
        _read_error(answer, errors[0] if errors else _FAILED)


def _read_error(answer: Answer, error: Any) -> None:
    if error is _FAILED and answer.error is not None:  # of which more is known already
        return
    fields = fields_of(error)
    code = fields.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else None
    message = error if isinstance(error, str) else text_in(fields.get("message"))
    answer.error = (text_in(fields.get("status")) or text_in(code) or None, message or None, status)


class _AtStart(Text):
    """Arguments as the start of their step has them, mostly an empty object: pieces, where any come, replace them."""

    __slots__ = ()


def _read_step(answer: Answer, step: Mapping[str, Any], index: Any) -> None:
    """A whole step, or its start; a content of the first version reads like a step that holds nothing else."""
    kind = text_in(step.get("type"))
    if kind == "model_output":
        for content in parts(step.get("content")):
            _read_content(answer, _known(content))
    elif kind == "thought":
        summary = step.get("summary")
        for content in parts(summary) or [summary]:
            _read_thought(answer, _known(content))
    elif kind == "function_call":
        _read_call(answer, step, index)
    else:
        _read_content(answer, step)


def _read_content(answer: Answer, content: Mapping[str, Any]) -> None:
    """Text and media. A call that Google runs itself asks nothing of the caller: it is content, like its result."""
    kind = text_in(content.get("type"))
    if kind == "text":
        if text := text_in(content.get("text")):
            answer.pieces.append(text)
    elif kind in _MEDIA:
        if content.get("data") or content.get("uri"):
            answer.has_content()
    elif kind.endswith(("_call", "_result")):
        answer.has_content()


def _read_thought(answer: Answer, content: Mapping[str, Any]) -> None:
    if thought := text_in(content.get("text")) or text_in(content.get("thought")):
        answer.think(thought)
        answer.has_content()


def _read_call(answer: Answer, call: Mapping[str, Any], index: Any) -> None:
    tool_call = answer.tool_call(index if isinstance(index, int) else None)
    tool_call.id = text_in(call.get("id")) or tool_call.id
    tool_call.name = text_in(call.get("name")) or tool_call.name
    arguments = call.get("arguments")
    if arguments is not None or not len(tool_call.arguments):
        tool_call.arguments = _AtStart()
        tool_call.arguments.add(_json(arguments))
    answer.has_content()


def _json(arguments: Any) -> str:
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    import json

    return json.dumps(arguments, ensure_ascii=False, default=str)


def _read_delta(answer: Answer, delta: Mapping[str, Any], index: Any) -> None:
    kind = delta.get("type")
    if kind == "arguments_delta":
        tool_call = answer.tool_calls.get(index) if isinstance(index, int) else None
        if tool_call is not None and (piece := text_in(delta.get("arguments"))):
            if type(tool_call.arguments) is _AtStart:
                tool_call.arguments = Text()
            tool_call.arguments.add(piece)
            answer.has_content()
    elif kind in ("thought_summary", "thought"):
        _read_thought(answer, _known(delta.get("content")) or delta)
    elif kind == "function_call":
        _read_call(answer, delta, index)
    else:
        _read_content(answer, delta)


def _read_usage_so_far(answer: Answer, usage: Any) -> None:
    """Counts are totals so far, never increments: a later one replaces an earlier one, a missing one does not."""
    told = {name: value for name, value in fields_of(usage).items() if value is not None}
    if told:
        answer.usage = {**(answer.usage or {}), **told}


def read_usage(raw: Any) -> Usage | None:
    """`total_input_tokens` includes the cached ones; what tools brought, and thoughts, come on top."""
    fields = fields_of(raw)
    given, output = count(fields.get("total_input_tokens")), count(fields.get("total_output_tokens"))
    thoughts = count(fields.get("total_thought_tokens"))
    if given is None and output is None and thoughts is None:
        return None
    by_input = (*parts(fields.get("input_tokens_by_modality")), *parts(fields.get("tool_use_tokens_by_modality")))
    by_output = parts(fields.get("output_tokens_by_modality"))
    return Usage(
        input_tokens=None if given is None else given + (count(fields.get("total_tool_use_tokens")) or 0),
        output_tokens=None if output is None and thoughts is None else (output or 0) + (thoughts or 0),
        cache_read_tokens=count(fields.get("total_cached_tokens")),
        reasoning_tokens=thoughts,
        input_audio_tokens=_of_modality("audio", by_input),
        output_audio_tokens=_of_modality("audio", by_output),
        input_image_tokens=_of_modality("image", by_input),
        output_image_tokens=_of_modality("image", by_output),
    )


def _of_modality(modality: str, details: Any) -> int | None:
    found = [count(one.get("tokens")) for one in map(fields_of, details) if one.get("modality") == modality]
    known = [tokens for tokens in found if tokens is not None]
    return sum(known) if known else None


def _matches(chunk: object) -> bool:
    """Events have their kind; a whole interaction has a status and its steps, and comes from nobody else."""
    fields = _event(chunk)
    kind = fields.get("event_type")
    if isinstance(kind, str):
        return kind.startswith(_KINDS) or (kind == "error" and "error" in fields)
    return fields.get("object") == "interaction" or (
        isinstance(fields.get("status"), str) and ("steps" in fields or "outputs" in fields) and "usage" in fields
    )


PROVIDER = Provider(
    name="google",
    matches=_matches,
    chunk=read_chunk,
    response=read_response,
    usage=read_usage,
    quick=_quick,
    operation="generate_content",
)
