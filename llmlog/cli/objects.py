"""A line that is JSON, redacted in its place: the values that change are written anew, all others stay as they stand.

Reading a line and writing it back would make `1.1` of `1.10`, drop a key that is there twice, and spell `ü` anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from llmlog.redaction import REDACTED, WITHHELD, Redactor
from llmlog.redaction.ways import DROPPED

__all__ = ["found_in", "parsed", "rewritten"]

_BEGIN = re.compile("\ufeff?[ \t]*+(?=[{[])")
_BLANKS = re.compile("[ \t\r\n]*+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # the others stand for bytes that are not UTF-8


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
    """A container that is open: its members, which of them comes next, and which name its values have."""

    __slots__ = ("is_object", "kept", "made", "members", "name", "pair", "seen", "undo", "wants_key")

    def __init__(self, container: Any, name: str | None, pair: str | None = None) -> None:
        self.is_object = self.wants_key = isinstance(container, dict)
        self.members = iter(container.values() if self.is_object else container)
        self.name = name
        self.pair = pair  # the name in a list of a name and its value, where it says that the value goes
        self.kept = False  # whether a member stays, which a comma parts from the next one
        self.seen: set[str] = set()
        self.made: set[str] = set()
        self.undo = (0, 0, 0, "")  # what there was before the key: pieces, how far, where it begins; and the key

    def key(self, name: str, clean: str) -> str:
        """The key to write: two keys that have become one get an underscore, so that both values stay."""
        self.name, self.wants_key = name, False
        if clean != name or name in self.made:
            while clean in self.seen:
                clean += "_"
            self.made.add(clean)
        return clean

    def keep(self) -> None:
        """The member whose turn it is stays."""
        self.kept = True
        self.seen.add(self.undo[3])


def rewritten(text: str, value: Any, at: int, redactor: Redactor, leads: Mapping[str, str]) -> tuple[str, list[str]]:
    """The line redacted, and the kinds of what was found. `text` is one that `parsed()` took: `value`, from `at` on.

    What is dropped goes with its name and a comma. `leads`: for fields of the outermost object, what earlier lines
    have put in front of their text.
    """
    pieces: list[str] = []
    kinds: list[str] = []
    written = comma = 0
    levels = [_Level([value], None)]
    while True:
        begin = _blanks(text, at)
        mark, level = text[begin], levels[-1]
        at = begin + 1
        if mark == ":":
            continue
        if mark == ",":
            comma, level.wants_key = begin, level.is_object
            continue
        if mark in "}]":
            levels.pop()
            if len(levels) == 1:
                return "".join(pieces) + text[written:], kinds
            continue
        if level.wants_key:
            name, at = _DECODER.raw_decode(text, begin)
            clean: Any = level.key(name, redactor.text(name) or (name and REDACTED))
            level.undo = len(pieces), written, begin, clean
            if clean != name:
                pieces += (text[written:begin], _dumped(clean, text[begin:at]))
                written = at
                kinds += _kinds(redactor, None, name, clean)
            continue
        member = next(level.members)
        if mark in "{[" and not ((level.is_object or level.pair) and _goes(redactor, level.name)):
            pair = None if level.is_object or len(levels) == 1 else _name_of_pair(member, redactor)
            level.keep()
            levels.append(_Level(member, level.name, pair))
            continue
        _, at = _DECODER.raw_decode(text, begin)
        lead = leads.get(level.name or "", "") if len(levels) == 2 and isinstance(member, str) else ""
        if level.pair and level.name != level.pair:
            clean, level.name = redactor.text(member) or REDACTED, level.pair
        elif lead:
            clean = _after(lead, member, redactor)
        else:
            clean = redactor.field(level.name or "", member, DROPPED)
        if clean is member or (type(clean) is type(member) and clean == member):
            level.keep()
            continue
        kinds += _kinds(redactor, level.name, f"{lead}{member}" if lead else member, clean)
        if clean is DROPPED:
            if level.is_object:
                count, written, begin, _ = level.undo
                del pieces[count:]
            if level.kept:
                begin = comma
            elif (end := _blanks(text, at)) < len(text) and text[end] == ",":
                at = _blanks(text, end + 1)
                level.wants_key = level.is_object
            pieces.append(text[written:begin])
        else:
            pieces += (text[written:begin], _dumped(clean, text[begin:at]))
            level.keep()
        written = at


def _goes(redactor: Redactor, name: str | None) -> bool:
    """Whether the values of this name go, whatever they are."""
    return name is not None and redactor.goes(name)


def _name_of_pair(container: Any, redactor: Redactor) -> str | None:
    """The name in a list of a name and its value, as headers are kept, where it says that the value goes."""
    if isinstance(container, list) and len(container) == 2:
        name = container[0]
        if isinstance(name, str) and redactor.goes(name):
            return name
    return None


def _after(lead: str, text: str, redactor: Redactor) -> Any:
    """`text` redacted as what it is after `lead`, which is not in the result, nor is it lost with the text's end."""
    clean = redactor.text(lead + text).removeprefix(lead)
    if not clean.strip():
        return DROPPED
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
