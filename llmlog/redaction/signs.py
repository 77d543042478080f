"""What a look at a text can see in it, by number: the signs without which a detector has nothing to find."""

from __future__ import annotations

from collections.abc import Callable, Collection

from llmlog.redaction.secrets import SHAPES

__all__ = [
    "ALL", "BIRTH", "BY_SHAPE", "COLON", "DIGITS", "ESCAPED", "IBAN", "ID_WORD", "MAC", "MAIL", "NUMBERS", "PAIR",
    "SHAPE", "WORD", "Gate",
]  # fmt: skip

Gate = Callable[[str], Collection[int]]
"""From a text to the signs that are in it."""

MAIL, NUMBERS, DIGITS, WORD, COLON, MAC, IBAN, SHAPE, PAIR, BIRTH, ID_WORD, ESCAPED = range(12)
BY_SHAPE = 12  # from here on: each of `SHAPES`
ALL = range(BY_SHAPE + len(SHAPES))
