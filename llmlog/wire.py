"""Payloads out of what HTTP clients hand on: lines, or pieces of text or bytes, of a streamed body.

Server-sent events by the WHATWG's rules (an event that is cut off at the end is kept: a server may close after it),
JSON lines (Ollama), and one JSON array that arrives element by element (Gemini without `alt=sse`). Sans I/O; there is
no maintained parser of this kind on PyPI that needs no HTTP client.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from llmlog.providers import Provider

__all__ = ["MAX_EVENT", "Wire", "is_wire"]

MAX_EVENT = 32_000_000
"""Characters of one event; a longer one is not read."""

_MAX_LINES = 10_000  # of one object

_FIELD = re.compile(r"(?:data|event|id|retry) ?:|:")
_EVENTS = re.compile(
    r"\ufeff?(?:data: ?[\[{]|event: ?[\w.-]+[ ]*(?:[\r\n]|$)|(?:id|retry): ?[^\s]+[\r\n]+(?:event|data):|"
    r":[^\r\n]*[\r\n]|: [A-Z ]+$)"
)
"""How a body of server-sent events begins, and hardly any model's answer."""

_DECODE = json.JSONDecoder()


def is_wire(chunk: Any, reader: Provider) -> bool:
    """Whether a stream's first chunk is a piece of a body, to be parsed, and neither an object nor plain text."""
    if isinstance(chunk, str):
        if not reader.formats or chunk == "[DONE]":
            return False
        return not reader.is_form or (reader.name == "unknown" and _EVENTS.match(chunk) is not None)
    return _bytes_in(chunk) is not None or _event_in(chunk) is not None


def _bytes_in(chunk: Any) -> bytes | None:
    if isinstance(chunk, tuple) and len(chunk) == 2:  # as aiohttp's iter_chunks() gives them
        chunk = chunk[0]
    return bytes(chunk) if isinstance(chunk, (bytes, bytearray, memoryview)) else None


def _event_in(chunk: Any) -> tuple[str, str] | None:
    """The type and data of an event that somebody else has parsed, as httpx-sse does."""
    name, data = getattr(chunk, "event", chunk), getattr(chunk, "data", None)
    return (name or "", data) if isinstance(data, str) and (name is None or isinstance(name, str)) else None


class Wire:
    """Parses one body. `feed()` takes its next piece, or its next line without an end; both give whole payloads.

    A payload is what the JSON says, or the text where it is none, such as `[DONE]`. A body that is one JSON object over
    several lines, as an error's may be, is one payload.
    """

    __slots__ = ("_by_lines", "_data", "_decode", "_event", "_in_array", "_object", "_rest")

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""  # what has no end yet: of a line, or of an array's element
        self._data: list[str] = []  # of the event that is being read
        self._event = ""
        self._object: list[str] = []  # lines of one that is not whole yet
        self._by_lines = False  # each piece is a line
        self._in_array = False

    def feed(self, piece: Any) -> Iterator[Any]:
        """The payloads that are whole with this piece."""
        if (event := _event_in(piece)) is not None:
            yield from self._dispatch(*event)
            return
        raw = _bytes_in(piece)
        text = self._decode(raw) if raw is not None else piece
        if not isinstance(text, str):
            return
        if not self._by_lines and self._rest and self._starts_a_line(text, is_empty=not (text or raw)):
            self._by_lines = True
            yield from self._lines([self._rest])
            self._rest = ""
        if self._by_lines:
            yield from self._lines(_split(text.rstrip("\r\n")))
            return
        whole = self._rest + text
        if not self._in_array and not self._data and whole.lstrip("\ufeff \t\r\n")[:1] == "[":
            self._in_array, whole = True, whole.lstrip("\ufeff \t\r\n")[1:]
        if self._in_array:
            yield from self._elements(whole, has_end="}" in text)
            return
        *lines, self._rest = _split(whole)
        self._bound()
        yield from self._lines(lines)

    def close(self) -> Iterator[Any]:
        """What is left: the last event where nothing came after it."""
        rest, self._rest = self._rest + self._decode(b"", True), ""
        if self._in_array:
            yield from self._elements(rest, has_end=True)
        else:
            yield from self._lines([rest.rstrip("\r"), ""])

    def _starts_a_line(self, text: str, is_empty: bool) -> bool:
        """Whether what is here is a line, handed on without its end, since this can only be the start of another."""
        if self._in_array or "\n" in self._rest or "\r" in self._rest:
            return False
        if not text:
            return is_empty  # and not a part of a character
        if _FIELD.match(text):
            return _FIELD.match(self._rest) is not None and _is_whole(self._rest)
        return text[0] == "{" and self._rest[0] == "{" and _is_json(self._rest)

    def _bound(self) -> None:
        if len(self._rest) > MAX_EVENT:
            self._rest = ""
            raise ValueError(f"an event of more than {MAX_EVENT} characters is not read")

    def _lines(self, lines: list[str]) -> Iterator[Any]:
        for line in lines:
            if self._object or line[:1] in ("{", "["):  # JSON lines, or an object over several
                yield from self._gather(line)
            elif not line:
                yield from self._dispatch(self._event, "\n".join(self._data))
                self._event = ""
                self._data = []
            elif line[0] != ":":
                name, _, value = line.lstrip("\ufeff").partition(":")
                value = value[1:] if value[:1] == " " else value
                if name == "data":
                    self._data.append(value)
                elif name == "event":
                    self._event = value

    def _gather(self, line: str) -> Iterator[Any]:
        if self._object and line[:1] == "{" and _is_json(line):
            self._object.clear()  # what came before was broken, and this is a line of its own
        self._object.append(line)
        if len(self._object) == 1 or line[:1] in ("}", "]"):
            try:
                payload = json.loads("\n".join(self._object))
            except ValueError:
                pass
            else:
                self._object.clear()
                yield payload
        if len(self._object) > _MAX_LINES:
            self._object.clear()
            raise ValueError(f"an object of more than {_MAX_LINES} lines is not read")

    def _dispatch(self, event: str, data: str) -> Iterator[Any]:
        if data:
            yield _payload(event, data)

    def _elements(self, text: str, has_end: bool) -> Iterator[Any]:
        start = 0
        while has_end:
            while start < len(text) and text[start] in ", \t\r\n]":
                start += 1
            try:
                payload, start = _DECODE.raw_decode(text, start)
            except ValueError:
                break
            yield payload
        self._rest = text[start:]
        self._bound()


def _split(text: str) -> list[str]:
    """The lines of `text`, and the rest after the last end of one; a "\\r" there may be half an end."""
    held = "\r" if text.endswith("\r") else ""
    lines = text[: len(text) - len(held)].replace("\r\n", "\n").replace("\r", "\n").split("\n")
    lines[-1] += held
    return lines


def _payload(event: str, data: str) -> Any:
    try:
        payload = json.loads(data)
    except ValueError:
        return data
    if event == "error" and not (isinstance(payload, dict) and ("error" in payload or "type" in payload)):
        return {"error": payload}
    return payload


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _is_whole(line: str) -> bool:
    """Whether a line may end here: its data, where it is JSON, is whole."""
    name, _, value = line.partition(":")
    return name != "data" or value.lstrip()[:1] not in ("{", "[") or _is_json(value)
