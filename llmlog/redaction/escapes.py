"""What a text says to those who read it: without escapes, colours, and the signs that nobody sees.

An address may be written `ann%40example.com`, `ann&#64;example.com` or `ann\\u0040example.com`, or be in an object of
JSON that is in base64; a number may stand behind `\\n`, whose letter would make it a part of a word, or behind the
colour that a console shows it in.
"""

from __future__ import annotations

import binascii
import html
import re
from bisect import bisect_right
from collections.abc import Callable

from llmlog.redaction.places import UNSEEN

__all__ = ["PATTERN", "blanked", "unescaped"]

_SET = r"\[[0-9;:]{0,24}[A-Za-z]"
# Each alternative begins with one sign: that is how `re` finds the next one fast.
PATTERN = (
    rf"{UNSEEN}|\x00"  # UTF-16 read as UTF-8 has zeros between its letters
    rf"|\x1b{_SET}|\\\\{{0,15}}(?:u001[bB]|x1[bB]|033|e){_SET}"
    r"|\\\\{0,15}(?:u00[0-7][0-9A-Fa-f]|x[0-7][0-9A-Fa-f]|[nrtfv])"
    r"|%(?:25){0,16}[0-7][0-9A-Fa-f]"
    r"|&(?:amp;){0,16}(?:#[0-9]{1,3}|#[xX][0-9A-Fa-f]{1,2}|quot|apos|amp|lt|gt|nbsp|commat|equals|colon|plus|period);"
    r"|eyJ[A-Za-z0-9+/_\-]{20,}={0,2}"  # an object of JSON, in base64
)
"""What a text that says something else than it shows has in it."""
_ESCAPE = re.compile(PATTERN.replace("|eyJ", "|eyJ(?<![A-Za-z0-9+/_\\-]eyJ)"))  # not amid other base64
_COLOUR = re.compile(rf"\x1b{_SET}")
_LETTERS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}


def blanked(text: str) -> str:
    """The text with blanks in place of what only sets a colour: the `m` at its end is no letter of a word."""
    if "\x1b[" not in text:
        return text
    return _COLOUR.sub(lambda found: " " * len(found[0]), text)


def unescaped(text: str) -> tuple[str, Callable[[int, int], tuple[int, int]]] | None:
    """What a folded text says, and from places in that to those in the text; None: it says what it shows.

    It is shorter than the text.
    """
    pieces: list[str] = []
    heads, begins, ends = [0], [0], [0]  # where each stretch after an escape begins, and the escape itself
    size = at = 0
    for found in _ESCAPE.finditer(text):
        start, end = found.span()
        said = _said(found[0])
        pieces += (text[at:start], said)
        size += start - at + len(said)
        heads.append(size)
        begins.append(start)
        ends.append(end)
        at = end
    if not at:
        return None
    pieces.append(text[at:])

    def written(start: int, end: int) -> tuple[int, int]:
        first, last = bisect_right(heads, start) - 1, bisect_right(heads, end - 1) - 1
        begin, reached = ends[first] + start - heads[first], ends[last] + end - 1 - heads[last]
        if first + 1 < len(begins):
            begin = min(begin, begins[first + 1])
        is_escape = last + 1 < len(begins) and reached >= begins[last + 1]
        return begin, ends[last + 1] if is_escape else reached + 1

    return "".join(pieces), written


def _said(escape: str) -> str:
    sign = escape[0]
    if sign == "%":
        return chr(int(escape[-2:], 16))
    if sign == "e":
        code = escape.rstrip("=").replace("-", "+").replace("_", "/")
        code = code[:-1] if len(code) % 4 == 1 else code
        return binascii.a2b_base64(code + "=" * (-len(code) % 4)).decode("utf-8", "replace")
    if sign == "&":
        name = escape.rpartition("amp;")[2].lstrip("&") or "amp;"
        return html.unescape(f"&{name}")[:1].replace("\xa0", " ")
    if sign == UNSEEN or sign == "\0":
        return ""
    if sign == "\x1b" or "[" in escape:
        return " "
    letter = escape.lstrip("\\")[0]
    return _LETTERS[letter] if letter in _LETTERS else chr(int(escape[-2:], 16))
