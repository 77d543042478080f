"""Where numbers that belong to somebody stand in a text: payment cards, US social security.

`RUN` finds what may hold one, `*_in` looks at one such run: the engine reads a text once for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from llmlog.redaction.places import Span, is_part, near

__all__ = ["CARD_WORD", "FREE_RUN", "RUN", "SSN_WORD", "card_in", "digits_of", "is_card", "ssn_in"]

RUN = re.compile(r"[+(0-9][0-9 ().\-/]{6,}+")
"""Digits and what may part them."""
FREE_RUN = re.compile(r"[+(0-9](?<!\w[+(0-9])(?<![0-9A-Fa-f]{4}-[+(0-9])[0-9 ().\-/]{6,}+")
"""A run that does not begin inside a word or a UUID."""


def digits_of(run: str) -> str:
    """The digits of a run, and nothing else."""
    return run.encode().translate(None, b"+ ().-/").decode()


# Payment cards

_CARD_GROUPS = re.compile(r"[0-9]++(?:[ -][0-9]++)*+")
_DIGITS = re.compile("[0-9]++")
CARD_WORD = re.compile(
    r"\b(?:card|credit|debit|visa|mastercard|maestro|amex|diners|discover|jcb|pan|cc|ccn|karte|kreditkarte"
    r"|carte|tarjeta|cart[aã]o|carta)\b"
)
_CARD_STEMS = ("car", "kart", "credit", "debit", "visa", "maestro", "amex", "diners", "discover", "jcb", "pan", "cc",
               "tarjeta")  # fmt: skip
# The ranges that networks have given out, with the lengths they use.
_CARD_RANGES = re.compile(
    r"""4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})      # Visa
    | 5[1-5][0-9]{14}                           # Mastercard
    | 2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}
    | 3[47][0-9]{13}                            # American Express
    | 3(?:0[0-59]|[689][0-9])[0-9]{11}          # Diners Club
    | (?:6011|64[4-9][0-9]|65[0-9]{2})[0-9]{12,15}   # Discover
    | 62[0-9]{14,17}                            # UnionPay
    | (?:35[0-9]{2}[0-9]|1800|2131)[0-9]{11}    # JCB
    | 220[0-4][0-9]{12,15}                      # Mir
    | (?:60|81|82|508)[0-9]{13,14}              # RuPay
    | (?:5018|5019|5020|5038|5893|6304|6759|676[1-3]|0604)[0-9]{12,15}  # Maestro, Dankort
    """,
    re.VERBOSE,
)
# One id in thirty has a network's first digits and Luhn's last: what its name calls an id is none of a card's.
_IDS_NAMES = frozenset(
    [
        "id",
        "ids",
        "uid",
        "uuid",
        "ino",
        "inode",
        "block",
        "blk",
        "seq",
        "sequence",
        "offset",
        "trace",
        "span",
        "request",
        "req",
        "thread",
        "tid",
        "pid",
        "ts",
        "time",
        "timestamp",
        "epoch",
        "nonce",
        "lsn",
        "xid",
        "zxid",
        "txn",
        "tx",
        "hash",
        "rev",
        "version",
        "size",
        "bytes",
        "cursor",
        "seed",
        "shard",
        "partition",
        "addr",
        "address",
        "ptr",
        "ns",
        "us",
        "ms",
    ]
)
_BETWEEN = " \"'=:#[("
_SMALL_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_TIDY = re.compile("[0-9]{12,19}|[0-9]{4}([ -])[0-9]{4}\\1[0-9]{4}\\1[0-9]{4}|[0-9]{4}([ -])[0-9]{4,6}\\2[0-9]{4,5}")


def card_in(text: str, start: int, run: str, digits: str) -> list[Span]:
    """Payment card numbers, with a right check digit: in a network's range, or beside a telling word."""
    made: list[Span] = []
    count = len(digits)
    if count < 12 or (count < 16 and run[0] == "+"):
        return made
    bare = run.rstrip(" .-(/)")
    if count < 20 and _is_card(digits) and _TIDY.fullmatch(bare):
        groups: Iterable[Span] = ((0, len(bare)),)
    elif count == 12 or bare.isdecimal():
        return made
    else:
        groups = _card_groups(run)
    for first, last in groups:
        begin, end = start + first, start + last
        if text[end : end + 1] == "." and text[end + 1 : end + 2].isdigit():
            continue
        before = text[begin - 2 if begin > 2 else 0 : begin]
        if before.endswith(".") or before == "_-" or is_part(text, begin, end):
            continue
        number = digits_of(run[first:last])
        if (_CARD_RANGES.fullmatch(number) and (last - first > len(number) or not _is_id(text, begin))) or near(
            CARD_WORD, _CARD_STEMS, text, begin, end, 40
        ):
            made.append((begin, end))
    return made


def is_card(text: str, start: int, end: int) -> bool:
    """Whether a number that stands alone, in groups of four or in one piece, is a card's by range and check digit."""
    number = text[start:end]
    parted = number[4]
    grouped = not parted.isdecimal()
    if grouped:
        number = number.replace(parted, "")
    return _CARD_RANGES.fullmatch(number) is not None and _luhn(number) and (grouped or not _is_id(text, start))


def _is_id(text: str, start: int) -> bool:
    """Whether the name right before a number says that it is some id, a count, a time."""
    if text[start - 1 : start] not in _BETWEEN:
        return False
    before = text[start - 24 if start > 24 else 0 : start].lower()
    name = before.rstrip(_BETWEEN)
    word = name[len(name.rstrip(_SMALL_LETTERS)) :]
    return word in _IDS_NAMES or (word.endswith("id") and before[len(name)] != " ")


def _card_groups(run: str) -> Iterator[Span]:
    """The parts of a run of digits, spaces and hyphens that may be one number: whole groups, and Luhn holds.

    Printed numbers begin with a group of four, the others are about as long: a column of figures does not.
    """
    for stretch in _CARD_GROUPS.finditer(run):
        if stretch.end() - stretch.start() < 12:
            continue
        groups = [found.span() for found in _DIGITS.finditer(run, *stretch.span())]
        reached = 0
        for first, (start, end) in enumerate(groups):
            if start < reached:
                continue
            digits, taken = run[start : min(end, start + 20)], 0
            if _is_card(digits):
                taken = end
            if end - start == 4:
                for next_start, next_end in groups[first + 1 : first + 6]:
                    if not 3 <= next_end - next_start <= 7:
                        break
                    digits += run[next_start:next_end]
                    if _is_card(digits):
                        taken = next_end
            if taken:
                yield start, taken
                reached = taken


def _is_card(digits: str) -> bool:
    return 12 <= len(digits) <= 19 and _luhn(digits) and digits.count("0") < len(digits)


def _luhn(digits: str) -> bool:
    codes = digits.encode()
    return sum(codes[-1::-2].translate(_VALUES) + codes[-2::-2].translate(_DOUBLED)) % 10 == 0


_VALUES = bytes(code - 48 if 48 <= code < 58 else 0 for code in range(256))
_DOUBLED = bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)[value] for value in _VALUES)


# Social security numbers

_SSN = re.compile(
    r"(?<![0-9])(?<![0-9][.\-/])(?!000|666)[0-9]{3}(?P<parted>[ .\-]?)(?!00)[0-9]{2}(?P=parted)(?!0000)[0-9]{4}"
    r"(?![0-9]|[.\-/][0-9])"
)
SSN_WORD = re.compile(r"\bssns?\b|social|\bss ?#|\bitin\b|\bsin\b|taxpayer")
_SSN_STEMS = ("ss", "social", "itin", "sin", "taxpayer")


def ssn_in(text: str, start: int, run: str, digits: str) -> list[Span]:
    """US social security numbers: with hyphens, or in any form beside a telling word."""
    made: list[Span] = []
    if len(digits) < 9 or ("-" not in run and len(digits) > 9):
        return made
    for found in _SSN.finditer(run):
        begin, end = start + found.start(), start + found.end()
        sure = found["parted"] == "-" and run[found.start()] != "9"
        if (sure or near(SSN_WORD, _SSN_STEMS, text, begin, end, 40)) and not is_part(text, begin, end):
            made.append((begin, end))
    return made
