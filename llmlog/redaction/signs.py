"""What a look at a text can see in it, by number: the signs without which a detector has nothing to find."""

from __future__ import annotations

from collections.abc import Callable, Collection

from llmlog.redaction.secrets import SHAPES

__all__ = [
    "BIRTH", "BY_SHAPE", "BY_STEM", "COLON", "DIGITS", "DOTTED_MAC", "IBAN", "IBAN_WORD", "ID_WORD", "MAC", "MAIL",
    "NUMBERS", "SHAPE", "SMALL_IBAN", "USER", "WORD", "Gate",
]  # fmt: skip

Gate = Callable[[str], Collection[int]]
"""From a text to the signs that are in it."""

(
    MAIL, USER, NUMBERS, DIGITS, WORD, COLON, MAC, DOTTED_MAC, IBAN, SMALL_IBAN, IBAN_WORD, SHAPE, BIRTH, ID_WORD
) = range(14)  # fmt: skip
BY_SHAPE = 14  # from here on: each of `SHAPES`
BY_STEM = BY_SHAPE + len(SHAPES)  # from here on: each of the stems of names whose values go
