"""Cohere's embeddings, of both versions: whole answers, `embeddings` as a list or by type.

Source of the format: Cohere's API reference, "Embed", and the fields of its SDK's own types.
"""

from __future__ import annotations

from typing import Any

from llmlog.answers import Answer
from llmlog.providers.base import Provider, count, fields_of, text_in
from llmlog.usage import Usage

__all__ = ["PROVIDER", "read_response", "read_usage"]


def read_response(answer: Answer, response: Any) -> None:
    """A whole answer."""
    fields = fields_of(response)
    answer.response_id = text_in(fields.get("id")) or None
    if (meta := fields.get("meta")) is not None:
        answer.usage = meta
    answer.end_mark = True


def read_usage(raw: Any) -> Usage | None:
    """What was embedded, text and images together; a count of images is none of tokens. Nothing comes out."""
    fields = fields_of(raw)
    billed = fields_of(fields.get("billed_units"))
    text, images = count(billed.get("text_tokens")), count(billed.get("image_tokens"))
    given = count(fields_of(fields.get("tokens")).get("input_tokens"))
    if given is None:
        given = count(billed.get("input_tokens"))
    if given is None and (text is not None or images is not None):
        given = (text or 0) + (images or 0)
    return None if given is None else Usage(given, 0, input_image_tokens=images)


def _matches(chunk: object) -> bool:
    fields = fields_of(chunk)
    if "embeddings" not in fields:
        return False
    return text_in(fields.get("response_type")).startswith("embeddings_") or ("id" in fields and "texts" in fields)


PROVIDER = Provider(
    name="cohere",
    matches=_matches,
    chunk=read_response,
    response=read_response,
    usage=read_usage,
    operation="embeddings",
)
