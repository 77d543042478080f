"""Plain pieces of text: `provider="text"`. A format without an end mark: what runs out is whole."""

from __future__ import annotations

from typing import Any

from llmlog.answers import Answer
from llmlog.providers.base import Provider

__all__ = ["PROVIDER"]


def _read(answer: Answer, chunk: Any) -> None:
    if isinstance(chunk, str) and chunk:
        answer.pieces.append(chunk)


PROVIDER = Provider(
    name="text",
    matches=lambda chunk: isinstance(chunk, str),
    chunk=_read,
    response=_read,
    usage=lambda raw: None,
    ends=False,
    is_form=True,
)
