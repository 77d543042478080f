"""Where dates of birth stand in a text: a date is one only beside a word that says so."""

from __future__ import annotations

import re
from collections.abc import Iterator

from llmlog.redaction.places import Place

__all__ = ["STEMS", "birth_date"]

STEMS = ("birth", "born", "dob", "d.o.b", "geburt", "geboren", "naissance", "née le", "né le", "nacimiento", "nacid",
         "nascita", "nato il", "nata il", "nascimento", "nascid", "生年月日", "出生")  # fmt: skip
"""What any of the words has in it, in small letters."""
_WORD = re.compile(
    r"(?<![a-z])(?:d\.?[ ]?o\.?[ ]?b\b|date[ _-]?of[ _-]?birth|birth[ _-]?da(?:te|y)|born\b)"
    r"|geburts(?:datum|tag)|geboren|date de naissance|n[ée]e? le\b|fecha de nacimiento|nacid[oa]|data di nascita"
    r"|nat[oa] il\b|data de nascimento|nascid[oa]|生年月日|出生(?:日期|年月日)?"
)
_MONTH = (
    r"(?:jan|feb|mar|mär|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez|ene|abr|ago|dic|fév|avr|aoû|déc|gen|mag|giu|lug"
    r"|set|ott|out)[a-zéûí]{0,8}\.?"
)
_DATE = re.compile(
    rf"""(?<![0-9])(?:
        [0-9]{{4}}([-/. ])[0-9]{{1,2}}\1[0-9]{{1,2}}
      | [0-9]{{1,2}}([-/. ])[0-9]{{1,2}}\2(?:[0-9]{{4}}|[0-9]{{2}})
      | [0-9]{{1,2}}(?:st|nd|rd|th|\.|º)?[ -](?:of[ ]|de[ ])?{_MONTH}(?:,|[ ]de)?[ -][0-9]{{2,4}}
      | {_MONTH}[ -][0-9]{{1,2}}(?:st|nd|rd|th)?,?[ -][0-9]{{4}}
      | (?:19|20)[0-9]{{6}}
      | [0-9]{{4}}年[0-9]{{1,2}}月[0-9]{{1,2}}日
    )(?![0-9])""",
    re.VERBOSE,
)
_REACH = 48
_BEFORE, _AFTER = 12, 18  # how far a word reaches around its stem
_LONGEST = 32


def birth_date(text: str) -> Iterator[Place]:
    """Dates, in figures or with a month's name, shortly after a word for birth: the first one after each."""
    lower = text.lower()
    if len(lower) != len(text):
        lower = text
    stems = [stem for stem in STEMS if stem in lower]
    if not stems:
        return
    first = max(0, min(map(lower.find, stems)) - _BEFORE)
    last = max(map(lower.rfind, stems)) + _AFTER
    words = [word.end() for word in _WORD.finditer(lower, first, last)]
    if not words:
        return
    words.append(len(text) + 1)
    word, following = -_REACH, 0
    for date in _DATE.finditer(lower, words[0], words[-2] + _REACH + _LONGEST):
        start = date.start()
        while words[following] <= start:
            word = words[following]
            following += 1
        if start - word < _REACH:
            yield *date.span(), "birth_date"
            word = -_REACH
