"""Where numbers of bank accounts (IBAN) stand in a text, known by their country's length and their check digits."""

from __future__ import annotations

import re
import string

from llmlog.redaction.places import Place, outline, outlines

__all__ = ["iban", "small_iban"]

_OUTLINES = outlines({"A": string.ascii_uppercase, "a": string.ascii_lowercase + "_", "n": string.digits})
_SMALL_IBAN = re.compile(r"[a-z](?<![0-9A-Za-z_][a-z])[A-Za-z][0-9]{2}(?=[ -]?[0-9A-Za-z])")  # beside the word only
_IBAN_WORDS = ("iban", "IBAN")
_REACH = 64
_IBAN_BODY = re.compile(r"[A-Za-z]{2}[0-9]{2}(?:[ -]?[0-9A-Za-z]){11,32}")
# How long a country's numbers are, as SWIFT's registry has it.
_IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FO FI GL NL SD FK", 19: "MK SI", 20: "AT BA EE KZ LT LU XK MN", 21: "CH HR LI LV",
        22: "BH BG CR DE GE GB IE ME RS VA", 23: "AE GI IL IQ OM SO TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST", 26: "IS TR", 27: "BI FR GR IT MC MR SM DJ", 28: "AL AZ BY CY DO GT HU LB NI PL SV",
        29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip


def iban(text: str) -> list[Place]:
    """Numbers of bank accounts, in one piece or in groups, with right check digits."""
    made: list[Place] = []
    outlined = outline(text, _OUTLINES)
    at = outlined.find(b"AAnn")
    while at >= 0:
        if (not at or outlined[at - 1] not in b"Aan") and (end := _end_of_iban(text, at, text[at : at + 2])):
            made.append((at, end, "iban"))
        at = outlined.find(b"AAnn", at + 4)
    return made


def small_iban(text: str) -> list[Place]:
    """The same in small letters, beside the word."""
    made: list[Place] = []
    for word in _IBAN_WORDS:
        at = text.find(word)
        while at >= 0:
            for found in _SMALL_IBAN.finditer(text, at - _REACH if at > _REACH else 0, at + _REACH):
                start = found.start()
                if end := _end_of_iban(text, start, text[start : start + 2].upper()):
                    made.append((start, end, "iban"))
            at = text.find(word, at + _REACH)
    return made


def _end_of_iban(text: str, start: int, country: str) -> int | None:
    """Where the number ends that begins at a place, if it is one."""
    length = _IBAN_LENGTHS.get(country)
    if length is None:
        return None
    end = start + length
    whole = text[start : end + 1]
    body = whole[4:length]
    grouped = not body.isalnum()
    if grouped:
        whole = text[start : end + length].replace(" ", "").replace("-", "")[:length]
        body = whole[4:]
    elif whole[length:].isalnum():
        return None
    if len(body) < length - 4 or not (body.isascii() and body.isalnum()):
        return None
    if not body.isdecimal():
        body = body.upper().translate(_LETTERS)
    if int(body + _COUNTRIES[country] + whole[2:4]) % 97 != 1:
        return None
    return _end_of_groups(text, start, length) if grouped else end


def _end_of_groups(text: str, start: int, length: int) -> int | None:
    """Where a number of so many letters and digits ends, when single blanks and hyphens part its groups."""
    body = _IBAN_BODY.match(text, start)
    at, left = start, length
    while body and left and at < body.end():
        left -= text[at] not in " -"
        at += 1
    return None if left or text[at : at + 1].isalnum() else at


_LETTERS = {ord("A") + at: str(10 + at) for at in range(26)}
_COUNTRIES = {country: country.translate(_LETTERS) for country in _IBAN_LENGTHS}
