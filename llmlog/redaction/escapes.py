"""What a text says to those who read it: without escapes, colours, and the signs that nobody sees.

An address may be written `ann%40example.com`, `ann&#64;example.com` or `ann\\u0040example.com`; a number may stand
behind `\\n`, whose letter would make it a part of a word, or behind the colour that a console shows it in.
"""

from __future__ import annotations

import html
import re

from llmlog.redaction.places import UNSEEN

__all__ = ["COLOUR", "PATTERN", "blanked", "unescaped"]

COLOUR = r"(?:\x1b|\\{1,16}(?:u001[bB]|x1[bB]|033|e))\[[0-9;:]{0,24}[A-Za-z]"
_ESCAPE = (
    r"%(?:25){0,16}[0-7][0-9A-Fa-f]"
    r"|\\{1,16}(?:u00[0-7][0-9A-Fa-f]|x[0-7][0-9A-Fa-f]|[nrtfv])"
    r"|&(?:amp;){0,16}(?:#[0-9]{1,3}|#[xX][0-9A-Fa-f]{1,2}|quot|apos|amp|lt|gt|nbsp|commat|equals|colon|plus|period|lowbar);"
)
PATTERN = f"{UNSEEN}|{COLOUR}|{_ESCAPE}"
"""What a text that says something else than it shows has in it."""
_FIND = re.compile(f"(?P<unseen>{UNSEEN}+)|(?P<colour>{COLOUR})|{_ESCAPE}")
_COLOUR = re.compile(COLOUR)
_LETTERS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}


def blanked(text: str) -> str:
    """The text with blanks in place of what only sets a colour: the `m` at its end is no letter of a word."""
    if "\x1b[" not in text:
        return text
    return _COLOUR.sub(lambda found: " " * len(found[0]), text)


def unescaped(text: str) -> tuple[str, list[int], list[int]] | None:
    """What a folded text says, and for each sign of that where its writing begins and ends; None: just what it shows.

    It is shorter than the text.
    """
    pieces: list[str] = []
    begins: list[int] = []
    ends: list[int] = []
    at = 0
    for found in _FIND.finditer(text):
        start, end = found.span()
        said = "" if found["unseen"] else " " if found["colour"] else _said(found[0])
        pieces += (text[at:start], said)
        begins += range(at, start)
        ends += range(at + 1, start + 1)
        begins += [start] * len(said)
        ends += [end] * len(said)
        at = end
    if not at:
        return None
    pieces.append(text[at:])
    begins += range(at, len(text))
    ends += range(at + 1, len(text) + 1)
    return "".join(pieces), begins, ends


def _said(escape: str) -> str:
    if escape[0] == "&":
        name = escape.rpartition("amp;")[2].lstrip("&") or "amp;"
        return html.unescape(f"&{name}")[:1].replace("\xa0", " ")
    letter = escape.lstrip("\\")[:1] if escape[0] == "\\" else ""
    return _LETTERS[letter] if letter in _LETTERS else chr(int(escape[-2:], 16))
