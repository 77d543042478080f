"""One look at a text that says which detectors may find something in it.

Everything a detector can find matches one of the gate's patterns; most ordinary lines match none of them, and are done.
A linear-time engine, google-re2, looks for all of them at once. Without it the text's words tell: they come again and
again, and what each of them tells of is learnt once.

The engine learns too: a state for every combination of what may have begun at one place, and a line with new ids in
it leads to new ones, at a hundred times the price of known ones. So the patterns say less than the detectors know:
none begins anew at each letter or digit of a run, none counts far, and what stands before a token's telling piece is
left out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable
from typing import Any

from llmlog.redaction import births, escapes, ids, numbers, phones, signs
from llmlog.redaction.secrets import SHAPES
from llmlog.redaction.signs import Gate
from llmlog.redaction.words import by_words

try:
    import re2
except ImportError:  # a platform without wheels
    re2 = None  # type: ignore[assignment, unused-ignore]

__all__ = ["gate"]

_S = r"[ .\-/()]{0,3}"
_NOT_INSIDE = r"(?:^|[^0-9A-Za-z_\-]|(?:^|[^0-9A-Fa-f])[0-9A-Fa-f]{0,3}-)"  # of a word or a UUID
_PATTERNS: dict[int, tuple[str, ...]] = {
    signs.MAIL: ("@|%40",),
    signs.NUMBERS: (
        rf"{_NOT_INSIDE}[0-9](?:[ -]?[0-9]){{12}}",
        rf"\+[1-9](?:{_S}[0-9]){{6}}",
        rf"\b00[1-9](?:{_S}[0-9]){{8}}",
        r"\([0-9]{1,5}\)[ .\-]{0,2}[0-9]{2}",
        r"[0-9][.\-][0-9]{3}[.\-][0-9]{4}",
        r"[0-9][ /][0-9]{3}-[0-9]{4}",
        r"[0-9]-[0-9]{3}-[0-9]{2}-[0-9]{2}",
        r"\b0[1-9][0-9]{0,4}\)?(?:[ .\-/]{0,2}[0-9]){5}",
        r"[0-9]-[0-9]{2}-[0-9]{4}",
        r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]",
    ),
    signs.DIGITS: (rf"[0-9](?:{_S}[0-9]){{4}}",),
    signs.WORD: (phones.WORD.pattern, phones.HINT.pattern, numbers.CARD_WORD.pattern, numbers.SSN_WORD.pattern),
    signs.COLON: (r"[0-9a-fA-F]::|::[0-9a-fA-F]", r"(?:[0-9a-fA-F]{1,4}:){6}"),
    signs.MAC: (r"(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}",),
    signs.DOTTED_MAC: (r"[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}",),
    signs.IBAN: ("(?:^|[^0-9A-Za-z_])[A-Z]{2}[0-9]{2}[ -]?[0-9A-Za-z]",),
    signs.SMALL_IBAN: ("(?:^|[^0-9A-Za-z_])[a-z][A-Za-z][0-9]{2}[ -]?[0-9A-Za-z]",),
    signs.IBAN_WORD: ("iban|IBAN",),
    signs.SHAPE: (r"(?i:bearer|basic) [A-Za-z0-9+/=_.~ \-]{8}", "-----BEGIN ", "curl .*-"),
    signs.BIRTH: tuple(map(re.escape, births.STEMS)),
    signs.USER: (r"://[^\s/@\"'<>]*@",),
    signs.ESCAPED: (escapes.PATTERN,),
    signs.ID_WORD: (ids.pattern(before="(?:^|[^a-z])", after="(?:$|[^a-z])"),),
}  # fmt: skip
_LOOKING_AROUND = re.compile(r"\(\?<?[!=](?:\[(?:\\.|[^\]])*\]|\\.|[^)\[\\])*\)")
_POSSESSIVE = re.compile(r"(?<=[}*+?])\+")
_COUNTED = re.compile(r"\{([01]),[0-9]+\}")


def gate(stems: Iterable[str]) -> Gate:
    """What tells of a text which patterns may be in it; `stems`: parts of names whose values go."""
    return by_words(stems) if re2 is None else _by_engine(list(stems))


def _by_engine(stems: list[str]) -> Gate:
    find, forks = _compiled(stems), _forks

    def hits(text: str) -> Collection[int]:
        nonlocal find, forks
        if forks != _forks:
            _of_parents.append(find)
            find, forks = _compiled(stems), _forks
        return find(text.encode("utf-8", "replace")) or ()

    return hits


# The engine searches without the GIL, under locks of its own. A fork while another thread searches leaves them locked
# in the child, where nobody ever unlocks them: there a new set is made, and the parent's is never touched again.
_forks = 0
_of_parents: list[Any] = []


def _after_fork_in_child() -> None:
    global _forks
    _forks += 1


if re2 is not None and hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _compiled(stems: list[str]) -> Callable[[bytes], Any]:
    made = re2.Set.SearchSet(_options())
    for sign in sorted(_PATTERNS):
        ignoring = "(?i)" if sign in (signs.WORD, signs.BIRTH, signs.ID_WORD) else ""
        made.Add(ignoring + "|".join(_PATTERNS[sign]))
    for literal, shape in SHAPES:  # behind the others: their numbers follow on
        made.Add(_plain(literal, shape))
    for stem in stems:  # and behind those
        made.Add(_pair(re.escape(stem)))
    made.Compile()
    find: Callable[[bytes], Any] = made.Match
    return find


def _options() -> re2.Options:
    made = re2.Options()
    made.log_errors = False
    made.max_mem = 64 << 20
    return made


def _pair(stem: str) -> str:
    """A name with this stem in it, and what parts it from its value."""
    name = rf"{stem}[\w\-\x{{80}}-\x{{10FFFF}}]*"  # to the engine `\w` is ASCII
    said = rf"|{name} [\"']" if stem in "password" else ""
    return (
        rf"(?i){name}\\*[\"'`*]{{0,3}}\]?(?:\[[0-9]*\])?[ \t]*(?:str(?:ing)? )?[:=?.|!]{{0,3}}[=:]"
        rf"|{name}(?:\\*[\"'][, ]|>){said}"
        rf"|-[\w.\-]*{name} "
    )


def _plain(literal: str, shape: str) -> str:
    """A shape from its literal on, without what only `re` has, so that it takes more.

    That is looking around and not giving back; and few things are counted.
    """
    spellings = (re.escape(literal), literal.replace(".", r"\."))
    at = next((at for spelling in spellings if (at := shape.find(spelling)) >= 0), 0)
    shape = shape[at:]
    return f"(?:{_COUNTED.sub(_any_number, _POSSESSIVE.sub('', _LOOKING_AROUND.sub('', shape)))})"


def _any_number(counted: re.Match[str]) -> str:
    return "*" if counted[1] == "0" else "+"
