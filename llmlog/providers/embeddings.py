"""Embeddings: a whole answer, of which only what it cost is read. Source of the format: OpenAI's API reference."""

from __future__ import annotations

from typing import Any

from llmlog.answers import Answer
from llmlog.providers.base import Provider, count, fields_of, parts, text_in
from llmlog.usage import Usage

__all__ = ["PROVIDER", "read_response", "read_usage"]


def read_response(answer: Answer, response: Any) -> None:
    """A whole answer: the model and the usage; its vectors are nobody's to log."""
    fields = fields_of(response)
    answer.model = text_in(fields.get("model")) or answer.model
    answer.response_id = text_in(fields.get("id")) or answer.response_id  # not OpenAI's: of servers that give one
    if (usage := fields.get("usage")) is not None:
        answer.usage = usage
    answer.end_mark = True


def read_usage(raw: Any) -> Usage | None:
    """All of it is input: a vector is no token."""
    fields = fields_of(raw)
    prompt, total = count(fields.get("prompt_tokens")), count(fields.get("total_tokens"))
    used = total if prompt is None else prompt
    return None if used is None else Usage(input_tokens=used, output_tokens=0)


def _matches(chunk: object) -> bool:
    fields = fields_of(chunk)
    data = parts(fields.get("data"))
    return fields.get("object") == "list" and bool(data) and "embedding" in fields_of(data[0])


PROVIDER = Provider(
    name="openai",
    matches=_matches,
    chunk=read_response,
    response=read_response,
    usage=read_usage,
    operation="embeddings",
)
