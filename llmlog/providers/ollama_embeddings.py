"""Ollama's embeddings: whole answers of `/api/embed`, and of the older `/api/embeddings`, which tell no counts.

Source of the format: Ollama's API documentation.
"""

from __future__ import annotations

from typing import Any

from llmlog.answers import Answer
from llmlog.providers.base import Provider, count, fields_of, text_in
from llmlog.usage import Usage

__all__ = ["PROVIDER", "read_response", "read_usage"]


def read_response(answer: Answer, response: Any) -> None:
    """A whole answer, or the error that came instead."""
    fields = fields_of(response)
    answer.model = text_in(fields.get("model")) or None
    if error := text_in(fields.get("error")):
        answer.error = (None, error, None)
    if (given := fields.get("prompt_eval_count")) is not None:
        answer.usage = {"prompt_eval_count": given}
    answer.end_mark = True


def read_usage(raw: Any) -> Usage | None:
    """What was embedded; nothing comes out."""
    given = count(fields_of(raw).get("prompt_eval_count"))
    return None if given is None else Usage(given, 0)


def _matches(chunk: object) -> bool:
    fields = fields_of(chunk)
    if "embeddings" in fields:
        vectors = fields["embeddings"]
        plain = isinstance(vectors, (list, tuple)) and all(isinstance(one, (list, tuple)) for one in vectors[:1])
        return plain and isinstance(fields.get("model"), str) and "id" not in fields
    return set(fields) == {"embedding"} and isinstance(fields["embedding"], (list, tuple))


PROVIDER = Provider(
    name="ollama",
    matches=_matches,
    chunk=read_response,
    response=read_response,
    usage=read_usage,
    operation="embeddings",
)
