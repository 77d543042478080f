"""The signs that a text holds, told by its words: they come again and again, and each is learnt once.

What looks at texts where there is no linear-time engine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator

from llmlog.redaction import births, escapes, ids, signs
from llmlog.redaction.places import UNSEEN
from llmlog.redaction.secrets import JSON, shapes_in
from llmlog.redaction.signs import Gate

__all__ = ["by_words"]

_NO_LETTERS = bytes(code if code > 127 or chr(code).isalpha() else 32 for code in range(256))
_LETTERS = re.compile(r"[^\W\d_]+")
_ESCAPED = re.compile(escapes.PATTERN).search
_KNOWN = 8192
_LONG = 40


def by_words(stems: Iterable[str]) -> Gate:
    """What tells of a text which signs may be in it; `stems`: parts of names whose values go."""
    telling = list(_telling(stems))
    known: dict[bytes, list[tuple[int, str]]] = {}

    def learn(word: bytes) -> list[tuple[int, str]]:
        text = word.decode("utf-8", "replace")
        letters = set(text)
        told = [
            (sign, phrase) for sign, piece, fits, phrase in telling if letters.issuperset(piece) and fits(text, piece)
        ]
        if len(word) <= _LONG:
            if len(known) >= _KNOWN:
                known.clear()
            known[word] = told
        return told

    always = learn(b"")  # of names without a letter no word tells

    def seen(text: str) -> Collection[int]:
        made = {signs.NUMBERS, signs.MAC, signs.IBAN, signs.SMALL_IBAN}  # no word tells of them
        if text.count(".") > 1:
            made.add(signs.DOTTED_MAC)
        if "@" in text or "%40" in text:
            made.add(signs.MAIL)
            if "://" in text:
                made.add(signs.USER)
        if (
            "\\" in text or "%" in text or "&" in text or "\x1b" in text or "\0" in text or UNSEEN in text
        ) and _ESCAPED(text):
            made.add(signs.ESCAPED)
        if "::" in text or text.count(":") > 5:
            made.add(signs.COLON)
        lower = text.lower()
        long = [b""]
        for word in set(lower.encode("utf-8", "replace").translate(_NO_LETTERS).split()):
            told = known.get(word)
            if told is None:
                if len(word) > _LONG:  # is not kept: all of these are learnt in one go
                    long.append(word)
                    continue
                told = learn(word)
            for sign, phrase in told:
                if phrase in lower:
                    made.add(sign)
        for sign, phrase in learn(b" ".join(long)) if long[1:] else always:
            if phrase in lower:
                made.add(sign)
        for number in shapes_in(text):
            made.add(signs.BY_SHAPE + number)
            if number == JSON:
                made.add(signs.ESCAPED)
        return made

    return seen


Fits = Callable[[str, str], bool]


def _telling(stems: Iterable[str]) -> Iterator[tuple[int, str, Fits, str]]:
    """What a word, in small letters, tells of: the sign, a piece of the word, how it fits, what the text must hold."""
    for number, stem in enumerate(stems):
        yield signs.BY_STEM + number, _piece(stem), _inside, stem
    yield signs.IBAN_WORD, "iban", _inside, "iban"
    for sign in ("bearer", "basic", "begin", "curl"):
        yield signs.SHAPE, sign, _inside, sign
    for stem in births.STEMS:
        piece = _piece(stem)
        yield signs.BIRTH, piece, _inside if len(piece) > 2 or not piece.isascii() else _whole, stem
    for word in ids.WORDS:
        piece = _LETTERS.findall(word)[0]
        alone = piece != word or len(word) <= ids.BOUNDED
        yield signs.ID_WORD, piece, _alone if alone else _ahead, word


def _piece(stem: str) -> str:
    """The longest of the pieces of a stem that are letters alone, for only those stay together in a word."""
    return max(_LETTERS.findall(stem), key=len, default="")


def _inside(word: str, piece: str) -> bool:
    return piece in word


def _whole(word: str, piece: str) -> bool:
    return piece == word


def _alone(word: str, piece: str) -> bool:
    return piece == word or (not word.isascii() and piece in word) or (" " in word and piece in word)


def _ahead(word: str, piece: str) -> bool:
    return word.startswith(piece) or (not word.isascii() and piece in word) or (" " in word and piece in word)
