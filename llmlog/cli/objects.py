"""A line that is JSON, redacted in its place: the values that change are written anew, all others stay as they stand.

Reading a line and writing it back would make `1.1` of `1.10`, drop a key that is there twice, and spell `ü` anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from llmlog.redaction import WITHHELD, Redactor

__all__ = ["found_in", "parsed", "rewritten"]

_BEGIN = re.compile("\ufeff?[ \t]*+(?=[{[])")
_BLANKS = re.compile("[ \t\r\n]*+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # the others stand for bytes that are not UTF-8
_PROBE = {"probe": 0}


def parsed(text: str) -> tuple[Any, int] | None:
    """The object or array that a line is, and where it begins; None for any other line."""
    begin = _BEGIN.match(text)
    if begin is None:
        return None
    try:
        value, end = _DECODER.raw_decode(text, begin.end())
    except (ValueError, RecursionError):
        return None
    return (value, begin.end()) if _blanks(text, end) == len(text) else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Like `dict`, but a key that is there twice keeps both values: either may hold what is looked for."""
    made = dict(pairs)
    if len(made) < len(pairs):
        made = {}
        for name, value in pairs:
            while name in made:
                name += "_"
            made[name] = value
    return made


_DECODER = json.JSONDecoder(object_pairs_hook=_object, strict=False)


def _blanks(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found else at


class _Level:
    """A container that is open: whether a key comes next in it, and which name its values have."""

    __slots__ = ("is_object", "made", "name", "seen", "wants_key")

    def __init__(self, is_object: bool, name: str | None) -> None:
        self.is_object = self.wants_key = is_object
        self.name = name
        self.seen: set[str] = set()
        self.made: set[str] = set()

    def key(self, name: str, clean: str) -> str:
        """The key to write: two keys that have become one get an underscore, so that both values stay."""
        self.name, self.wants_key = name, False
        if clean != name or name in self.made:
            while clean in self.seen:
                clean += "_"
            self.made.add(clean)
        self.seen.add(clean)
        return clean


def rewritten(text: str, at: int, redactor: Redactor, leads: Mapping[str, str]) -> tuple[str, list[str]]:
    """The line redacted, and the kinds of what was found. `text` is one that `parsed()` took, from `at` on.

    `leads`: for fields of the outermost object, what earlier lines have put in front of their text.
    """
    pieces: list[str] = []
    kinds: list[str] = []
    written = 0
    levels = [_Level(False, None)]
    while True:
        begin = _blanks(text, at)
        mark, level = text[begin], levels[-1]
        at = begin + 1
        if mark in "{[" and not (level.is_object and _goes(redactor, level.name)):
            levels.append(_Level(mark == "{", level.name))
            continue
        if mark in ":,":
            level.wants_key = level.is_object and mark == ","
            continue
        if mark in "}]":
            levels.pop()
        else:
            value, at = _DECODER.raw_decode(text, begin)
            lead = ""
            if level.wants_key:
                clean: Any = level.key(value, redactor.text(value))
                its_name = None
            else:
                its_name = level.name
                lead = leads.get(its_name or "", "") if len(levels) == 2 and isinstance(value, str) else ""
                if lead:
                    clean = _after(lead, value, redactor)
                else:
                    clean = redactor.value(value) if its_name is None else redactor.field(its_name, value)
            if clean is not value and not (type(clean) is type(value) and clean == value):
                pieces += (text[written:begin], _dumped(clean, text[begin:at]))
                written = at
                kinds += _kinds(redactor, its_name, f"{lead}{value}" if lead else value, clean)
        if len(levels) == 1:
            return "".join(pieces) + text[written:], kinds


def _goes(redactor: Redactor, name: str | None) -> bool:
    """Whether the values of this name go, whatever they are."""
    return name is not None and redactor.field(name, _PROBE) is not _PROBE


def _after(lead: str, text: str, redactor: Redactor) -> str:
    """`text` redacted as what it is after `lead`, which is not in the result, nor is it lost with the text's end."""
    clean = redactor.text(lead + text).removeprefix(lead)
    return f"{clean}\n" if text.endswith("\n") and not clean.endswith("\n") else clean


def _dumped(value: Any, before: str) -> str:
    """`value` as JSON, written as the text before was: in ASCII, or with the bytes that are not UTF-8."""
    made = json.dumps(value, ensure_ascii=before.isascii())
    alone = _NO_BYTE if _SURROGATE.search(before) else _SURROGATE
    return alone.sub(lambda found: f"\\u{ord(found[0]):04x}", made)


def _kinds(redactor: Redactor, name: str | None, value: Any, clean: Any) -> list[str]:
    if clean == WITHHELD:
        return ["withheld"]
    if _goes(redactor, name):
        return ["key"]
    text = value if isinstance(value, str) else json.dumps(value)
    found = found_in(redactor, text)
    if not found and name is not None:
        lead = f"{name}: "  # its name has made it one
        found = [one for one in found_in(redactor, lead + text) if one[0] >= len(lead)]
    return [kind for _, kind in found] or ["key"]


def found_in(redactor: Redactor, text: str) -> list[tuple[int, str]]:
    """Where something was found in a text that redaction has changed, and of which kind."""
    try:
        return [(start, kind) for start, _, kind in redactor.find(text)]
    except Exception:  # a pattern of the user's: the redactor has withheld the text, and told why
        return []
