"""The lines of a log, redacted one after the other, in constant memory.

A line that is a JSON object or array is redacted as one, anything else as text. A private key is read over its lines.
What is not UTF-8 stays as it is, byte for byte.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from llmlog.cli.objects import found_in, parsed, rewritten
from llmlog.redaction import WITHHELD, Redactor

__all__ = ["Piece", "pieces"]

_PART = 1 << 20  # bytes of a line of text that are looked at together
_OBJECT = 16 << 20  # bytes of a line of JSON: a longer one is read as text
_AHEAD = 8192  # characters of a part that are looked at, and left for the next one
_NEAR = 128  # a word that is further away tells nothing about what was found


class Piece(NamedTuple):
    """One or several lines, or a part of a very long one."""

    data: bytes
    clean: bytes
    """The same, redacted: the same object where nothing was found."""
    found: list[tuple[int, str]]
    """The line and the kind of each finding; "withheld" where redaction has failed."""


def pieces(source: io.BufferedIOBase, redactor: Redactor) -> Iterator[Piece]:
    """All of `source`, in order: the pieces' `data` joined are what it holds."""
    number = 0
    key: _PrivateKey | None = None
    fields = _KeyInFields()
    while line := source.readline(_PART):
        number += 1
        is_whole = line.endswith(b"\n") or len(line) < _PART
        if not is_whole and line.lstrip(b"\xef\xbb\xbf \t")[:1] in (b"{", b"["):
            line += source.readline(_OBJECT - _PART)
            is_whole = line.endswith(b"\n") or len(line) < _OBJECT
        text = line.decode("utf-8", "surrogateescape") if is_whole else ""
        json = parsed(text)
        if key and (json or not is_whole or not key.goes_on(text)):
            yield key.piece(redactor)
            key = None
        if not is_whole:
            yield from _long(line, source, redactor, number)
        elif json:
            yield _json(line, text, *json, redactor, number, fields.leads(json[0]))
        elif key or _begins_key(text):
            key = key or _PrivateKey(number, text)
            key.add(text)
            if key.is_over:
                yield key.piece(redactor)
                key = None
        else:
            yield _text(line, text, redactor, number)
    if key:
        yield key.piece(redactor)


def _json(
    data: bytes, text: str, value: object, begin: int, redactor: Redactor, number: int, leads: Mapping[str, str]
) -> Piece:
    if not leads and redactor.value(value) is value:
        return Piece(data, data, [])
    clean, kinds = rewritten(text, value, begin, redactor, leads)
    return Piece(data, _encoded(clean), [(number, kind) for kind in kinds]) if kinds else Piece(data, data, [])


def _text(data: bytes, text: str, redactor: Redactor, number: int) -> Piece:
    """A text that begins in this line."""
    content = text.rstrip("\r\n")  # the line's end stays, also where everything before it goes
    clean = redactor.text(content)
    if clean == content:
        return Piece(data, data, [])
    written = _encoded(clean + text[len(content) :])
    if clean == WITHHELD:
        return Piece(data, written, [(number, "withheld")])
    found = [(number + content.count("\n", 0, start), kind) for start, kind in found_in(redactor, content)]
    return Piece(data, written, found or [(number, "key")])


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


# Private keys, whose lines are only together what they are -------------------------------------------

_KEY = 1 << 18  # characters of a private key, with all that stands in front of its lines
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_DIGIT = re.compile("[0-9]")
_HEADER = re.compile(r"\b(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset): ")


def _begins_key(text: str) -> bool:
    begin = text.rfind("-----BEGIN ")
    return begin >= 0 and text.find("-----END ", begin) < 0


def _blank(text: str) -> str:
    """What a line begins with, as it can be compared with that of another line: the time goes on."""
    return _DIGIT.sub("0", text.rstrip())


class _PrivateKey:
    """A key's lines so far, held back until it ends. A time, a name, a quote may stand in front of each of them."""

    def __init__(self, number: int, first: str) -> None:
        self._number = number
        self._lead = _blank(first[: first.rfind("-----BEGIN ")])
        self._lines: list[str] = []
        self._size = 0
        self._before = -1  # how much stands in front of a full line of the key
        self._in_header = False
        self.is_over = False

    def goes_on(self, text: str) -> bool:
        """Whether this line may belong to the key: where a key was cut off, the log's next line does not."""
        if "-----END " in text:
            return True
        was_header, self._in_header = self._in_header, _HEADER.search(text) is not None
        if self._in_header or was_header:  # after the header comes a blank line, with whatever stands in front of it
            return True
        if _blank(text) in ("", self._lead):
            return len(self._lines) == 1
        line = text.rstrip(" \t\r\n\"',;)\\").removesuffix("\\n")
        before = len(line.rstrip(_BASE64))
        length = len(line) - before
        if length >= 40:
            self._before = before
            return True
        return length > 0 and (before in (0, self._before) or (length >= 16 and self._before < 0))

    def add(self, text: str) -> None:
        """Hold this line."""
        self._lines.append(text)
        self._size += len(text)
        self.is_over = self._size > _KEY or ("-----END " in text and not _begins_key(text))

    def piece(self, redactor: Redactor) -> Piece:
        """All lines that are held."""
        text = "".join(self._lines)
        return _text(_encoded(text), text, redactor, self._number)


class _KeyInFields:
    """A key whose lines are one field of objects that follow each other, as in the logs of containers."""

    def __init__(self) -> None:
        self._key: _PrivateKey | None = None
        self._name = ""
        self._lead = ""

    def leads(self, value: object) -> Mapping[str, str]:
        """What the fields of this object are read after: the beginning of the key, where one goes on in it."""
        fields = value if isinstance(value, dict) else {}
        text = fields.get(self._name)
        made = {}
        if self._key and isinstance(text, str) and self._key.goes_on(text):
            made = {self._name: self._lead}
            self._key.add(text)
        if not made or (self._key and self._key.is_over):
            self._key = None
        for name, text in fields.items():
            if isinstance(text, str) and _begins_key(text):
                self._key, self._name = _PrivateKey(0, text), name
                self._lead = text[text.rfind("-----BEGIN ") :].splitlines()[0] + "\n"
                break
        return made


# Lines of any length ---------------------------------------------------------------------------------


def _long(line: bytes, source: io.BufferedIOBase, redactor: Redactor, number: int) -> Iterator[Piece]:
    """The line that begins with `line`, as text and in parts."""
    decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
    text, is_whole = decode(line), False
    while True:
        while not is_whole and len(text) < 2 * _PART:
            line = source.readline(_PART)
            is_whole = line.endswith(b"\n") or len(line) < _PART
            text += decode(line, is_whole)
        cut = _cut(text[: 2 * _PART], redactor) if len(text) >= 2 * _PART else len(text)
        part, text = text[:cut], text[cut:]
        yield _text(_encoded(part), part, redactor, number)
        if is_whole and not text:
            return


def _cut(text: str, redactor: Redactor) -> int:
    """Where a long line may be cut: at a blank or a comma, and away from all that is found."""
    try:
        spans = [(start, end) for start, end, _ in redactor.find(text)]
    except Exception:  # the text will be withheld
        spans = []
    last = len(text) - _AHEAD
    above = len(text) + _NEAR
    for start, end in [*reversed(spans), (0, 1)]:
        highest, lowest = min(above - _NEAR, last), end + _NEAR
        if lowest < highest:
            return max(text.rfind(" ", lowest, highest), text.rfind(",", lowest, highest)) + 1 or highest
        above = start
    within = [(start, end) for start, end in spans if start < last < end]
    return within[0][0] or within[0][1] if within else last
