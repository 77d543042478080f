"""Transcriptions of speech, streamed and whole, and its translations.

Source of the format: OpenAI's API reference, "Audio". What is billed by the second has no tokens in its usage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmlog.answers import Answer
from llmlog.providers.base import Provider, fields_of, text_in
from llmlog.providers.responses import read_error, read_usage

__all__ = ["PROVIDER", "read_chunk", "read_response"]


def read_chunk(answer: Answer, chunk: Any) -> None:
    """Any event of a stream, an SDK's object or a dict."""
    if isinstance(chunk, str):
        answer.end_mark |= chunk == "[DONE]"
        return
    fields = fields_of(chunk)
    kind = fields.get("type")
    if kind == "transcript.text.delta":
        if text := text_in(fields.get("delta")):
            answer.pieces.append(text)
    elif kind == "transcript.text.segment":
        _read_segment(answer, text_in(fields.get("text")))
    elif kind == "transcript.text.done" or (kind is None and "text" in fields):
        read_response(answer, chunk)
    elif kind == "error" or fields.get("error"):
        read_error(answer, fields)


def _read_segment(answer: Answer, text: str) -> None:
    """What one speaker said: mostly what came in pieces before, and read then."""
    said = text.strip()
    if said and said not in str(answer.text(0)):
        answer.pieces.append(text)


def read_response(answer: Answer, response: Any) -> None:
    """A whole transcription, or the event that ends a stream: of its text, what is still missing."""
    fields = fields_of(response)
    if missing := text_in(fields.get("text"))[len(answer.text(0)) :]:
        answer.pieces.append(missing)
    if (usage := fields.get("usage")) is not None:
        answer.usage = usage
    if fields.get("error"):
        read_error(answer, fields)
    answer.end_mark = True


def _matches(chunk: object) -> bool:
    if not isinstance(chunk, Mapping):
        kind = getattr(chunk, "type", None)
        if str(type(chunk).__module__).startswith(
            "openai.types.audio."
        ):  # a plain transcription has nothing but its text
            return isinstance(getattr(chunk, "text", None), str) or isinstance(getattr(chunk, "delta", None), str)
    else:
        kind = chunk.get("type")
    if isinstance(kind, str):
        return kind.startswith("transcript.text.")
    fields = fields_of(chunk)
    if not isinstance(fields.get("text"), str) or "choices" in fields:
        return False
    if fields_of(fields.get("usage")).get("type") in ("tokens", "duration"):
        return True
    return "duration" in fields and ("segments" in fields or "words" in fields or "language" in fields)


PROVIDER = Provider(
    name="openai",
    matches=_matches,
    chunk=read_chunk,
    response=read_response,
    usage=read_usage,
    operation="transcription",
)
