"""A whole request, of whichever API, taken apart into what the model reads of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from llmlog.declarations import get

__all__ = ["Opened", "opened"]

_INPUTS = ("messages", "contents", "input", "prompt")
_INSTRUCTIONS = ("system", "instructions", "system_instruction", "systemInstruction")
_ELSEWHERE = ("previous_response_id", "conversation")
"""What a request has where the model reads more than is in it; or a `prompt` that is kept by its id."""


class Opened(NamedTuple):
    """What is in a request."""

    content: Any
    """Its messages with the instructions before them, or a text that is none."""
    tools: Sequence[Any] | None
    response_format: Any
    is_whole: bool
    """Whether the model reads nothing else."""


def opened(content: Any) -> Opened | None:
    """What is in a request; None where it is no request."""
    if not isinstance(content, Mapping) or "role" in content or "type" in content:
        return None
    request = _asked_to_count(content)
    if not any(name in request for name in (*_INPUTS, *_INSTRUCTIONS)):
        return None
    is_whole = not any(request.get(name) for name in _ELSEWHERE) and get(request.get("prompt"), "id") is None
    return Opened(_content(request), _tools(request), _format(request), is_whole)


def _asked_to_count(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """The request inside another one, which asks Google's or Bedrock's API to count it."""
    held = (request.get("generateContentRequest"), get(request.get("input"), "converse"))
    return next((each for each in held if isinstance(each, Mapping)), request)


def _content(request: Mapping[str, Any]) -> Any:
    named = next((name for name in _INPUTS if name in request), None)
    content: Any = [] if named is None else request[named]
    is_instructed = any(request.get(name) for name in _INSTRUCTIONS)
    if named == "prompt" and not is_instructed and isinstance(content, (str, list, tuple)):  # a text, and no chat
        return content
    messages = list(content) if isinstance(content, (list, tuple)) else [{"role": "user", "content": content}]
    for name in _INSTRUCTIONS:
        if instructions := request.get(name):
            held = get(instructions, "parts")
            messages.insert(0, {"role": "system", "content": instructions if held is None else held})
    return messages


def _tools(request: Mapping[str, Any]) -> Sequence[Any] | None:
    tools = request.get("tools") or request.get("functions") or get(request.get("toolConfig"), "tools")
    return tools if isinstance(tools, (list, tuple)) else None


def _format(request: Mapping[str, Any]) -> Any:
    held = [request.get(name) for name in ("response_format", "output_format")]
    held += [get(request.get(name), "format") for name in ("text", "output_config")]  # OpenAI's, Anthropic's
    config = request.get("generationConfig")  # Google's
    held += [
        {"type": "json_schema", "schema": schema}
        for name in ("responseSchema", "responseJsonSchema")
        if (schema := get(config, name)) is not None
    ]
    return next(filter(None, held), None)
