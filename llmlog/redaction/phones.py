"""Where telephone numbers stand in a run of digits."""

from __future__ import annotations

import re

from llmlog.redaction.numbers import digits_of
from llmlog.redaction.places import Span, is_part, near

__all__ = ["HINT", "WORD", "is_phone", "phone_in"]

_NO_PHONE = re.compile(  # dates and times of day, as far as they reach into a run of digits
    r"""(?<![0-9])(?:
        (?:19|20)[0-9]{2}([-/.])[01]?[0-9]\1[0-3]?[0-9]
      | [0-3]?[0-9]([-/.])[0-3]?[0-9]\2(?:19|20)[0-9]{2}
      | (?:19|20)[0-9]{2}[01][0-9][0-3][0-9]
    )(?:[- ][0-2][0-9]([.\-]?)[0-5][0-9]\3[0-6][0-9](?:[.\-][0-9]+)?)?(?![0-9])""",
    re.VERBOSE,
)
_DATE = re.compile(r"(?:19|20)[0-9]{2}([-/.])[01][0-9]\1[0-3][0-9](?: [0-2][0-9])?")
_WHOLE = re.compile(
    r"""\+[1-9](?:[ .\-]?[0-9]){7,14}
      | (?:1[ .\-]?)?\([2-9][0-9]{2}\)[ ]?[0-9]{3}[ .\-][0-9]{4}
      | (?:1[.\-])?[2-9][0-9]{2}([.\-])[0-9]{3}\1[0-9]{4}""",
    re.VERBOSE,
)
_SEPARATED = r"(?:[ .\-/()]{0,3}[0-9])"
_PHONE = re.compile(
    rf"""(?=[+(]|[0-9]{{2}}|1[ .\-][(0-9])(?<![0-9])(?<![0-9][.\-/])(?:
        (?P<plus>\+[1-9]{_SEPARATED}{{6,14}})
      | (?P<abroad>00[1-9]{_SEPARATED}{{8,13}})
      | (?:1[ .\-]?)?\([0-9]{{3}}\)[ .\-]{{0,2}}[0-9]{{3}}[ .\-]?[0-9]{{4}}
      | (?:1[.\-])?[0-9]{{3}}([.\-])[0-9]{{3}}\3[0-9]{{4}}
      | [2-9][0-9]{{2}}[ /][2-9][0-9]{{2}}-[0-9]{{4}}
      | [0-9]{{3}}-[0-9]{{3}}-[0-9]{{2}}-[0-9]{{2}}
      | (?P<area>\([0-9]{{1,5}}\)[ \-]?[0-9]{{2,7}}(?:[ \-][0-9]{{2,5}}){{0,3}})
      | (?P<trunk>\(?0[1-9][0-9]{{0,4}}\)?(?:[ .\-/]{{1,2}}[0-9]{{1,8}}){{1,5}})
      | 0[1-9][0-9]{{8,9}}
    )(?![0-9])(?![.\-/][0-9])""",
    re.VERBOSE,
)
_LIKELY = re.compile(
    r"(?<![0-9])(?<![0-9][.\-/])\(?[0-9]{1,13}\)?(?:[ .\-/()]{1,3}[0-9]{1,8}){0,7}(?![0-9])"
)  # fmt: skip
_DECIMAL = re.compile(r"\+?[0-9]+\.[0-9]+")
_NEVER = re.compile(r"[0-9]+\.[0-9]+|[0-9]{3}-[0-9]{2}-[0-9]{4}|(?:19|20)[0-9]{2}-(?:19|20)?[0-9]{2}")
WORD = re.compile(
    r"phone|\btele?\b|\btlf|\btelef|t[eé]l[eé]f|telep|mobil|m[oó]vil|celular|\bcell\b|\bfax\b|whats?app"
    r"|\bsms\b|hotline|helpline|landline|\bhandy|rufnummer|portable\b|\bdial\b|\bt[eé]l\b|電話|电话"
    r"|\b(?:call|text|ring|reach) (?:me|us|him|her|them|you|back)\b"
)
_STEMS = ("phon", "tel", "tél", "tlf", "mobil", "movil", "móvil", "cel", "fax", "app", "sms", "line", "handy",
          "rufnummer", "portable", "dial", "電", "电", "call", "text", "ring", "reach")  # fmt: skip
HINT = re.compile(
    r"\b(?:call|calls|calling|called|reach|ring|contact|answer|answering|office|numbers?|numero|num[eé]ro|n[uú]mero|nummer"
    r"|message|registered|direct|home|work|extension)\b"
)
_HINT_STEMS = ("call", "reach", "ring", "contact", "answer", "office", "num", "núm", "message", "registered", "direct",
               "home", "work", "extension")  # fmt: skip
_EXTENSION = re.compile(r"(?:[ ,]{0,2}(?:x|ext\.?|extension|#)[ ]?[0-9]{1,6}(?![0-9A-Za-z]))", re.IGNORECASE)
_EXTENDED = frozenset(" xXeE#")


def phone_in(text: str, start: int, run: str, digits: str) -> list[Span]:
    """Phone numbers: with +, a leading 0, a code in brackets, as in America; others beside a telling word."""
    if len(digits) < 6:
        return []
    whole = shape = run.rstrip(" .-(/")
    end = start + len(shape)
    after = text[end : end + 2]
    if _DATE.fullmatch(shape):
        return []
    if (
        _WHOLE.fullmatch(shape)
        and not _DECIMAL.fullmatch(shape)
        and not is_part(text, start, end)
        and not (after[:1] == ":" or (text[start - 1 : start] == ":" and text[start - 2 : start - 1].isdigit()))
    ):
        return [(start, _with_extension(text, end))]
    if after[:1] == ":" and after[1:].isdigit():
        shape = re.sub("[0-9]{1,2}$", "", shape)  # the hour of a time
    if start > 1 and text[start - 1] == ":" and text[start - 2].isdigit():
        shape = re.sub(r"^[0-9]{2}(?:[.,][0-9]+)?", _blanked, shape)
    shape = _NO_PHONE.sub(_blanked, shape)
    total = len(digits) if shape == whole else len(digits_of(shape.replace("#", "")))
    made: list[Span] = []
    for begin, end in _phones(shape, total, text, start):
        last = _with_extension(text, end)
        if not is_part(text, begin, last):
            made.append((begin, last))
    return made


def _blanked(found: re.Match[str]) -> str:
    return "#" * (found.end() - found.start())


def is_phone(text: str, start: int, end: int) -> bool:
    """Whether a number that stands alone in a phone number's form is one, and ends there: no extension follows."""
    if text[end + 1 : end + 2] in _EXTENDED and _EXTENSION.match(text, end):
        return False
    return text[start] != "+" or 9 <= len(digits_of(text[start:end])) <= 15  # the other forms have ten digits, or 11


def _with_extension(text: str, end: int) -> int:
    if text[end : end + 1] not in (" ", ",", "x", "X", "e", "E", "#"):
        return end
    found = _EXTENSION.match(text, end)
    return found.end() if found else end


def _phones(shape: str, total: int, text: str, offset: int) -> list[Span]:
    made: list[Span] = []
    if total < 6:
        return made
    for found in _PHONE.finditer(shape) if total > 8 or "+" in shape or "(" in shape else ():
        digits = len(digits_of(found[0]))
        if found["plus"]:
            good = digits >= 8 and not _DECIMAL.fullmatch(found[0])
        elif found["abroad"]:
            good = digits < len(found[0])
        elif found["area"]:
            good = 8 <= digits <= 12
        elif found["trunk"]:
            good = 9 <= digits <= 12 and total <= 15
        else:
            good = True
        if good:
            made.append((offset + found.start(), offset + found.end()))
    if made or total > 40:  # a column of figures is no list of phone numbers
        return made
    for found in _LIKELY.finditer(shape):
        digits = len(digits_of(found[0]))
        start, end = offset + found.start(), offset + found.end()
        if not 6 <= digits <= 15 or _NEVER.fullmatch(found[0]):
            continue
        bare = digits == len(found[0])
        if bare and not 7 <= digits <= 13:
            continue
        if (
            near(WORD, _STEMS, text, start, end, 40) or (not bare and near(HINT, _HINT_STEMS, text, start, end, 28))
        ) and not is_part(text, start, end):
            made.append((start, end))
    return made
