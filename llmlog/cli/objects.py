"""A line that is JSON, redacted in its place: the values that change are written anew, all others stay as they stand.

Reading a line and writing it back would make `1.1` of `1.10`, drop a key that is there twice, and spell `ü` anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from llmlog.redaction import REDACTED, WITHHELD, Redactor
from llmlog.redaction.names import named_inside, options_in
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

    __slots__ = ("is_object", "is_pair", "kept", "made", "members", "name", "named", "seen", "undo", "wants_key")

    def __init__(self, container: Any, name: str | None, named: Mapping[int, str] | None = None) -> None:
        self.is_object = self.wants_key = isinstance(container, dict)
        self.members = enumerate(container.values() if self.is_object else container)
        self.name = name
        self.named = named or {}  # members whose name stands in another member
        self.is_pair = not self.is_object and len(container) == 2 and self.named.get(1) == container[0]
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

    def keeps(self, number: int) -> bool:
        """Whether a word stands in the place of a member that is dropped: an option's value, the name in a pair."""
        if self.is_object or not self.named:
            return False
        return number == 0 if self.is_pair else number in self.named

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
        number, member = next(level.members)
        its_name = level.named.get(number, level.name)
        if mark in "{[" and not ((level.is_object or number in level.named) and _goes(redactor, its_name)):
            is_item = not level.is_object and len(levels) > 1
            level.keep()
            levels.append(_Level(member, its_name, _named(member, is_item, redactor)))
            continue
        _, at = _DECODER.raw_decode(text, begin)
        lead = leads.get(its_name or "", "") if len(levels) == 2 and isinstance(member, str) else ""
        clean = _after(lead, member, redactor) if lead else redactor.field(its_name or "", member, DROPPED)
        if clean is DROPPED and level.keeps(number):
            clean = REDACTED
        if clean is member or (type(clean) is type(member) and clean == member):
            level.keep()
            continue
        kinds += _kinds(redactor, its_name, f"{lead}{member}" if lead else member, clean)
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


def _named(container: Any, is_item: bool, redactor: Redactor) -> dict[int, str]:
    """Those members of a container whose name stands in another member, as the redactor reads it."""
    if isinstance(container, dict):
        holder, name = named_inside(container) or (None, "")
        if holder is None or redactor.goes(holder):
            return {}
        return {number: name for number, field in enumerate(container) if field == holder}
    if is_item and len(container) == 2 and isinstance(container[0], str) and redactor.goes(container[0]):
        return {1: container[0]}
    return {number: name for number, name in options_in(container).items() if redactor.goes(name)}


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
