"""What the detectors share: places in a text, what stands around them, and one spelling for every digit and dash."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache

__all__ = [
    "UNSEEN", "Detector", "OwnDetector", "Place", "Span", "folded", "is_part", "matches", "merged", "near", "outline",
    "outlines",
]  # fmt: skip

Span = tuple[int, int]
Place = tuple[int, int, str]
"""Where something begins and ends, and of what kind it is."""
Detector = Callable[[str], Iterable[Place]]
OwnDetector = Callable[[str], Iterable[Span | Place]]
"""A user's detector: where it names no kind, what it finds is of the kind of its own name."""

_PIECE_BEFORE = re.compile(r"[0-9A-Fa-f]{4}-\Z|[A-Za-z0-9_]\Z")
_PIECE_AFTER = re.compile(r"\w|-[0-9A-Fa-f]{4}")


def is_part(text: str, start: int, end: int) -> bool:
    """Whether a place is a piece of something longer: of a word, a hexadecimal number, a UUID."""
    after = text[end : end + 1]
    if after and (after == "-" or after == "_" or after.isalnum()) and _PIECE_AFTER.match(text, end):
        return True
    before = text[start - 1 : start] if start else ""
    return (before == "-" or before == "_" or before.isalnum()) and bool(
        _PIECE_BEFORE.search(text, max(0, start - 5), start)
    )


def near(words: re.Pattern[str], stems: Iterable[str], text: str, start: int, end: int, reach: int) -> bool:
    """Whether a telling word stands close before or after a place; `stems`: what any of the words has in it."""
    around = f"{text[max(0, start - reach) : start]}\0{text[end : end + 16]}".lower()
    for stem in stems:
        if stem in around:
            return words.search(around) is not None
    return False


_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2212\ufe63"
UNSEEN = "\u200b"
_INVISIBLE = (
    "\xad\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064\u2066\u2067"
    "\u2068\u2069\ufeff"
)
_BLANKS = "\xa0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"


_LAST_DIGITS = 0x20000  # no script has digits beyond


@cache
def _table() -> dict[int, str]:
    table = dict.fromkeys(map(ord, _INVISIBLE), UNSEEN)
    table |= dict.fromkeys(map(ord, _DASHES), "-") | dict.fromkeys(map(ord, _BLANKS), " ")
    table |= {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}  # fullwidth forms of ASCII
    digits = re.findall(r"\d", "".join(map(chr, range(0x80, _LAST_DIGITS))))
    return table | {ord(digit): str(unicodedata.decimal(digit)) for digit in digits}


@cache
def _foreign() -> frozenset[str]:
    return frozenset(map(chr, _table()))


def folded(text: str) -> str:
    """The text with every digit, dash, blank and fullwidth letter in its ASCII form, each at the place it had.

    What nobody sees, such as a space without width, becomes `UNSEEN`.
    """
    return text if text.isascii() or _foreign().isdisjoint(text) else text.translate(_table())


def outlines(classes: Mapping[str, str]) -> bytes:
    """A table for `outline`: each sign of a class becomes the letter that names it, any other stays."""
    return bytes.maketrans(
        "".join(classes.values()).encode(), "".join(name * len(signs) for name, signs in classes.items()).encode()
    )


def outline(text: str, table: bytes) -> bytes:
    """A text with its signs' classes in their place: what is searched for a fixed sequence is searched fast."""
    return text.encode("latin-1", "replace").translate(table)


def matches(pattern: re.Pattern[str], text: str) -> Iterator[Span]:
    """Where a pattern matches more than nothing."""
    return (found.span() for found in pattern.finditer(text) if found.end() > found.start())


def merged(places: list[Place], ranks: Mapping[str, int]) -> list[Place]:
    """Places in order, those that overlap made one, of the longest one's kind, among equals of the first."""
    places.sort()
    reached = -1
    for start, end, _ in places:
        if start < reached:
            return _joined(places, ranks)
        reached = end
    return places  # as nearly always: nothing was found twice


def _joined(places: list[Place], ranks: Mapping[str, int]) -> list[Place]:
    made: list[Place] = []
    reached = longest = -1
    for place in places:
        start, end, kind = place
        size = end - start
        if start >= reached:
            made.append(place)
            reached, longest = end, size
            continue
        first, _, last_kind = made[-1]
        if size > longest or (size == longest and ranks.get(kind, 99) < ranks.get(last_kind, 99)):
            last_kind, longest = kind, size
        reached = max(reached, end)
        made[-1] = first, reached, last_kind
    return made
