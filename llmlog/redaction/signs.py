"""What a look at a text can see in it, by number: the signs without which a detector has nothing to find."""

from __future__ import annotations

from collections.abc import Callable, Collection

from llmlog.redaction.secrets import SHAPES

__all__ = [
    "BIRTH", "BY_SHAPE", "BY_STEM", "COLON", "DIGITS", "IBAN", "ID_WORD", "MAC", "MAIL", "NUMBERS", "SHAPE", "WORD",
    "Gate",
]  # fmt: skip

Gate = Callable[[str], Collection[int]]
"""From a text to the signs that are in it."""

MAIL, NUMBERS, DIGITS, WORD, COLON, MAC, IBAN, SHAPE, BIRTH, ID_WORD = range(10)
BY_SHAPE = 10  # from here on: each of `SHAPES`
BY_STEM = BY_SHAPE + len(SHAPES)  # from here on: each of the stems of names whose values go
