"""Mistral's SDK: the events that it wraps chat completion chunks in.

Source of the format: Mistral's API reference, "Chat Completion", and the SDK's types. Chat, agents and
fill-in-the-middle stream the same events. What stands in them, whole answers and the JSON are chat completions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmlog.answers import Answer
from llmlog.providers import openai
from llmlog.providers.base import Provider, Read, fields_of, parts

__all__ = ["PROVIDER", "read_chunk"]


def _quick(answer: Answer, chunk: Any) -> Read | None:
    """For SDK objects, once the model is known, a shorter way to read a piece of text and nothing else."""
    if not hasattr(type(chunk), "__pydantic_fields__"):
        return read_chunk
    return _read_quickly if answer.model else None


def _read_quickly(answer: Answer, chunk: Any) -> Any:
    try:
        fields = chunk.__dict__["data"].__dict__
        (choice,) = fields["choices"]
        choice_fields = choice.__dict__
        delta = choice_fields["delta"].__dict__
        text = delta["content"]
        if (
            text
            and type(text) is str
            and fields["usage"] is None
            and choice_fields["finish_reason"] is None
            and not choice_fields["index"]
            and not delta["tool_calls"]
        ):
            answer.pieces.append(text)
            return None
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    return read_chunk(answer, chunk)


def read_chunk(answer: Answer, chunk: Any) -> Any:
    """An event, or what stands in one."""
    data = _inside(chunk)
    return openai.read_chunk(answer, chunk if data is None else _as_sent(data))


def _inside(chunk: object) -> Any:
    """The chat completion chunk in an event; None where this is no event."""
    fields = fields_of(chunk)
    data = None if "choices" in fields else fields.get("data")
    return data if isinstance(fields_of(data).get("choices"), (list, tuple)) else None


def _as_sent(data: Any) -> Any:
    """The SDK gives a call of a tool that came without an index the index 0: each of them, where there are several."""
    fields = fields_of(data)
    choices = [fields_of(choice) for choice in fields["choices"]]
    if not any(parts(fields_of(choice.get("delta")).get("tool_calls")) for choice in choices):
        return data
    return {**fields, "choices": [{**choice, "delta": _delta_as_sent(choice.get("delta"))} for choice in choices]}


def _delta_as_sent(delta: Any) -> Mapping[str, Any]:
    fields = fields_of(delta)
    return {**fields, "tool_calls": [_call_as_sent(call) for call in parts(fields.get("tool_calls"))]}


def _call_as_sent(call: Any) -> Mapping[str, Any]:
    given = getattr(call, "__pydantic_fields_set__", None)
    fields = fields_of(call)
    return fields if given is None else {name: value for name, value in fields.items() if name in given}


PROVIDER = Provider(
    name="mistral",
    names=("mistral", "mistral_ai"),
    matches=lambda chunk: _inside(chunk) is not None,
    chunk=read_chunk,
    response=openai.read_response,
    usage=openai.read_usage,
    quick=_quick,
)
