"""Text completions, the format before chat: OpenAI's own, and those of the servers that still speak it.

Source of the format: OpenAI's API reference, "Completions".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmlog.answers import Answer
from llmlog.providers.base import Provider, fields_of, parts, text_in
from llmlog.providers.openai import index_of, is_text_completion, read_head, read_usage

__all__ = ["PROVIDER", "read_chunk", "read_response"]


def read_chunk(answer: Answer, chunk: Any) -> Any:
    """Any chunk, an SDK's object or a dict."""
    if isinstance(chunk, str):
        answer.end_mark |= chunk == "[DONE]"  # the end mark of the wire, where the source hands it on
        return None
    fields, told_before = fields_of(chunk), answer.usage
    read_head(answer, fields)
    choices = parts(fields.get("choices"))
    if choices and _is_placeholder(answer.usage):
        answer.usage = told_before
    for position, choice in enumerate(choices):
        _read_choice(answer, fields_of(choice), position)
    return not choices and fields.get("usage") is not None


def read_response(answer: Answer, response: Any) -> None:
    """A whole completion."""
    read_chunk(answer, response)
    answer.end_mark = True


def _is_placeholder(usage: Any) -> bool:
    """LiteLLM has no counts beside each piece, and says 0 and 0."""
    fields = fields_of(usage)
    return fields.get("prompt_tokens") == 0 == fields.get("completion_tokens")


def _read_choice(answer: Answer, choice: Mapping[str, Any], position: int) -> None:
    index = index_of(choice, position)
    if text := text_in(choice.get("text")):
        if index == 0:
            answer.pieces.append(text)
        else:
            answer.text(index).add(text)
            answer.has_content()
    if finish_reason := text_in(choice.get("finish_reason")):
        answer.finish(index, finish_reason)
        answer.content_filtered |= finish_reason == "content_filter"


PROVIDER = Provider(
    name="openai",
    matches=is_text_completion,
    chunk=read_chunk,
    response=read_response,
    usage=read_usage,
    operation="text_completion",
)
