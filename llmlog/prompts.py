"""What was asked, as text: chat messages, a prompt, a provider's whole request, or a list of any of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from llmlog.answers import utf8_length
from llmlog.exceptions import UsageTypeError, shown
from llmlog.faults import fault
from llmlog.providers.base import fields_of, text_in

__all__ = ["NO_PROMPT", "Prompt", "without_media"]

_DEPTH = 12
_TEXTS = (
    "system", "system_instruction", "systemInstruction", "instructions", "messages", "contents", "content", "parts",
    "text", "input_text", "prompt", "message", "input", "output", "arguments", "args", "partial_json", "json",
    "function", "tool_calls", "function_call", "functionCall", "functionResponse", "response", "toolUse", "toolResult",
    "thinking", "reasoning", "reasoning_content", "refusal",
)  # fmt: skip
"""Where text is found in a message, in this order, by the providers' own names."""
_VALUES = frozenset({"input", "output", "arguments", "args", "json", "response"})
"""What may hold any value, not only text: it counts as the JSON it is."""

_KINDS = {
    "image": "image", "image_url": "image", "input_image": "image", "inlineData": "data", "inline_data": "data",
    "audio": "audio", "input_audio": "audio", "video": "video", "document": "document", "file": "file",
    "input_file": "file", "file_data": "file", "fileData": "file", "source": "data",
}  # fmt: skip
_URLS = frozenset({"url", "image_url", "fileUri", "file_uri"})
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[\w.+-]+=[\w.+-]+)*);base64,([A-Za-z0-9+/_=\s-]*)")


class Prompt:
    """The input of one call. Keeps the caller's list as it was at the start, not the list itself.

    UsageTypeError for an input that is neither text nor a list nor a mapping, and for tools that are no list.
    """

    __slots__ = ("_size", "input", "tools")

    def __init__(self, input: Any = None, tools: Any = None) -> None:
        if not (input is None or isinstance(input, (str, list, tuple, Mapping))):
            raise UsageTypeError(f"input is text, a list of messages or a mapping, got {shown(input)}")
        if not (tools is None or isinstance(tools, (list, tuple))):
            raise UsageTypeError(f"tools is a list or None, got {shown(tools)}")
        self.input = tuple(input) if isinstance(input, list) else input
        self.tools = list(tools) if tools else None
        self._size: tuple[int, int] | None = None

    @classmethod
    def of_size(cls, characters: int, nbytes: int) -> Prompt:
        """A prompt of which only the size is known: that of a call whose process has died."""
        prompt = cls()
        prompt._size = (characters, nbytes)
        return prompt

    def __str__(self) -> str:
        """All its texts, and what stands for an image or a sound: its type and size."""
        return "\n".join(without_media(part) if is_text else part for part, is_text in _parts(self.input, _DEPTH))

    @property
    def size(self) -> tuple[int, int] | None:
        """Characters of all its texts, and bytes of UTF-8; None where there is no input, or none that can be read."""
        if self._size is None and self.input is not None:
            try:
                texts = [part for part, is_text in _parts(self.input, _DEPTH) if is_text]
            except Exception as error:  # a mapping of somebody's own
                fault("reading a prompt", error)
                return None
            self._size = sum(map(len, texts)), sum(map(utf8_length, texts))
        return self._size

    def length(self) -> int | None:
        """Characters of all its texts; None where there is no input."""
        size = self.size
        return None if size is None else size[0]


def without_media(text: str) -> str:
    """`text` with each `data:` URL in it as its type and size."""
    return _DATA_URL.sub(lambda url: _said(url[1] or "data", url[3]), text) if ";base64," in text else text


def _parts(value: Any, depth: int) -> Iterator[tuple[str, bool]]:
    """Pieces of text (True), and words for what is no text (False)."""
    if isinstance(value, str):
        yield value, True
    elif depth <= 0 or value is None or isinstance(value, (bool, int, float)):
        return
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _parts(item, depth - 1)
    elif isinstance(value, (bytes, bytearray, memoryview)):
        yield _said("data", value), False
    else:
        fields = fields_of(value)
        for name, kind in _KINDS.items():
            if (media := fields.get(name)) is None:
                continue
            if name == "source" and (inner := fields_of(media)).get("type") in (
                "text",
                "content",
            ):  # Anthropic's documents
                yield from _parts([inner.get("data"), inner.get("content")], depth - 1)
            elif words := _media(kind, media):
                yield words, False
        for name in _TEXTS:
            if (found := fields.get(name)) is None:
                continue
            if name in _VALUES and isinstance(found, Mapping):
                yield _json(found), True
            else:
                yield from _parts(found, depth - 1)


def _json(value: Mapping[str, Any]) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        return ""


def _media(kind: str, media: Any) -> str | None:
    """Words for an image, a sound or a file, as the providers' messages hold them; None for what is none.

    OpenAI: a URL, or `url`, `data` and `format`, `file_data`; Anthropic: `source` with `media_type` and `data`; Gemini:
    `inlineData`; Bedrock: `format` and `source.bytes`. A URL to elsewhere is kept: it is text that was sent.
    """
    if isinstance(media, str):
        return without_media(media) if media.startswith("data:") else f"<{kind} {media}>" if "://" in media else None
    fields = fields_of(media)
    named = text_in(fields.get("format"))
    mime = next((text_in(fields[name]) for name in ("media_type", "mime_type", "mimeType") if fields.get(name)), "")
    for name in ("url", "image_url", "fileUri", "file_uri", "file_data", "data", "bytes"):
        data = fields.get(name)
        if isinstance(data, str) and (data.startswith("data:") or name in _URLS):
            return _media(mime or kind, data)
        if isinstance(data, (str, bytes, bytearray, memoryview)):
            return _said(mime or (f"{kind}/{named}" if named else kind), data)
    source = fields.get("source")
    return _media(f"{kind}/{named}" if named else kind, source) if source is not None else None


def _said(kind: str, data: str | bytes | bytearray | memoryview) -> str:
    """Type and size in bytes; of base64, those it stands for."""
    if isinstance(data, str):
        encoded = re.sub(r"\s", "", data).rstrip("=")
        return f"<{kind}, {len(encoded) * 3 // 4} bytes>"
    return f"<{kind}, {memoryview(data).nbytes} bytes>"


NO_PROMPT = Prompt()
