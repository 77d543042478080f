"""What was said, where a record may hold it: redacted, cut to size, with its length and a digest of the whole."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

from llmlog.answers import Answer, Text
from llmlog.plain import text_of
from llmlog.prompts import Prompt, without_media
from llmlog.redaction import redact

__all__ = ["captured", "cut"]


class _Kept(NamedTuple):
    text: str
    is_cut: bool
    sha256: str | None


def captured(answer: Answer, prompt: Prompt, limit: int) -> dict[str, Any]:
    """The fields of a record for prompt, response and the arguments of tools; `limit` characters of each.

    Redacted as a whole (pieces of a number may lie in two chunks), then cut. The digest is of the whole redacted text:
    one of the original would tell whether a text that somebody guesses was in it. Of a text that was too long to be
    kept as a whole there is none.
    """
    fields: dict[str, Any] = {}
    if prompt.input is not None:
        kept = _kept(str(prompt), limit)
        fields.update(prompt=kept.text, prompt_cut=kept.is_cut or None, prompt_sha256=kept.sha256)
    texts = [_kept_of(answer.texts[choice], limit) for choice in sorted(answer.texts)]
    fields.update(
        response=_one_or_all([kept.text for kept in texts]),
        response_cut=any(kept.is_cut for kept in texts) or None,
        response_sha256=_one_or_all([kept.sha256 for kept in texts]),
    )
    if tools := list(answer.tool_calls.values()):
        arguments = [_kept_of(tool.arguments, limit) for tool in tools]
        fields.update(
            tool_arguments=[kept.text for kept in arguments],
            tool_arguments_length=[len(tool.arguments) for tool in tools],
            tool_arguments_sha256=[kept.sha256 for kept in arguments],
        )
    return {name: value for name, value in fields.items() if value is not None}


def _kept_of(text: Text, limit: int) -> _Kept:
    kept = _kept(without_media(str(text)), limit)
    return kept if len(str(text)) == len(text) else kept._replace(sha256=None, is_cut=True)


def _kept(text: str, limit: int) -> _Kept:
    whole = text_of(redact(text))
    return _Kept(*cut(whole, limit), hashlib.sha256(whole.encode()).hexdigest())


def _one_or_all(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values


def cut(text: str, limit: int) -> tuple[str, bool]:
    """`text`, at most `limit` characters long, and whether it was cut."""
    return (text, False) if len(text) <= limit else (text[: limit - 1] + "…", True)
