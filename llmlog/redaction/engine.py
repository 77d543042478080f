"""Walks texts and objects at any depth, and puts a word in place of what is found in them.

The detectors' patterns are compiled when the first `Redactor` is made, not when this module is imported: an
application pays for them with its first record, not with its start.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterable, Mapping
from operator import is_
from typing import TYPE_CHECKING, Any

from llmlog.faults import fault
from llmlog.plain import plain, text_of
from llmlog.redaction import options
from llmlog.redaction.names import KEYS, Names, named_inside, options_in
from llmlog.redaction.ways import DROPPED, Way, Words, chosen, mask, pseudonyms, replaced, signing_keys, way

if TYPE_CHECKING:
    from llmlog.redaction.finder import Finder

__all__ = ["KEYS", "REDACTED", "WITHHELD", "Redactor"]

WITHHELD = "<withheld: redaction failed>"
REDACTED = "<REDACTED>"

_CONTAINERS = frozenset({dict, list, tuple, set, frozenset})
_PAIRS = frozenset({list, tuple})
_NAMES = frozenset({str, bytes})
_MAX_DEPTH = 24
_ROOM = 120
_LONG = 10**11  # a number with twelve digits may be a card's
_KNOWN_NAMES = 4096


class Redactor:
    """Puts `<EMAIL>`, `<CARD>`, `<PHONE>`, `<IP>`, `<API_KEY>` ... in place of personal data and secrets.

    `kinds`: the detectors to run (None: all). `patterns`: your own, name -> regular expression, and `detectors`,
    name -> function from a text to spans, or its dotted path: what they find is of the kind of that name. `keys`:
    names beside `KEYS` whose value is always replaced. `replace`: how, for all kinds or by kind (`key`: the values
    of `keys`, `*`: the others): "mask" (the word, as above), "partial" (the last four signs), "hash" (a pseudonym,
    the same for the same person), "drop", or a function from what was found to what takes its place, or its dotted
    path. What is dropped leaves the text around it, without the blank that would stand twice; a field or an item of
    which nothing is left is gone itself. `hash_keys`: the pseudonyms' keys, id -> key, the first one signs; None:
    those of the environment (`LLMLOG_HASH_KEYS=id:key,...`). `allow`, `allow_patterns`: what stays, though it was
    found.

    No method raises: what cannot be redacted becomes `WITHHELD`, and the fault is counted.
    """

    def __init__(
        self,
        kinds: Iterable[str] | None = None,
        *,
        patterns: Mapping[str, str | re.Pattern[str]] | None = None,
        keys: Iterable[str] | None = None,
        detectors: Mapping[str, Any] | None = None,
        replace: str | Way | Mapping[str, str | Way] | None = None,
        allow: Iterable[str] | None = None,
        allow_patterns: Iterable[str | re.Pattern[str]] | None = None,
        hash_keys: Mapping[str, str | bytes] | None = None,
    ) -> None:
        from llmlog.redaction.finder import Finder  # late: see above
        from llmlog.redaction.pairs import judge

        found_by = options.detectors_named(kinds)
        own = {**options.patterns(patterns), **options.functions(detectors)}
        key_names = list(dict.fromkeys([*KEYS, *options.names("keys", keys)]))
        names = Names(key_names, judge if "api_key" in found_by else None)
        self._set_up(Finder(found_by, own, names, key_names, options.allowed(allow, allow_patterns)), names)
        self._words.update({"key": REDACTED}, **{kind: mask(kind) for kind in [*own, *found_by]})
        self._hash_keys.update(signing_keys(hash_keys))
        for kind, how in chosen(replace, self._words).items():
            made = way(kind, how, self._hash_keys)
            if made is not None:
                self._ways[kind] = made

    @classmethod
    def of_nothing(cls) -> Redactor:
        """A redactor that finds nothing, and leaves the values of all names."""
        from llmlog.redaction.finder import Finder  # late: see above

        made, names = cls.__new__(cls), Names(())
        made._set_up(Finder({}, {}, names, (), None), names)
        return made

    def _set_up(self, finder: Finder, names: Names) -> None:
        self._finder, self._tell = finder, names.tell
        self._words = Words()
        self._ways: dict[str, Way] = {}
        self._hash_keys: dict[str, bytes] = {}
        self._clean_names: dict[str, str] = {}
        self.mark = os.urandom(8).hex()

    def text(self, text: str) -> str:
        """The text with everything found replaced; the same object where nothing was found."""
        try:
            text = text if type(text) is str else text_of(text)
            places = self._finder.find(text)
            return replaced(text, 0, places, self._words, self._ways) if places else text
        except Exception as error:
            return _withheld(error)

    def find(self, text: str) -> list[tuple[int, int, str]]:
        """Where `text()` would replace something: `(start, end, kind)`, in order, none over another.

        The kind is a detector's name, a pattern's, or "key" for the value of a telling name. Unlike `text()` it
        raises what a pattern or function of one's own raises: nothing gets out of it that could be withheld.
        """
        return self._finder.find(text)

    def pseudonyms(self, kind: str, text: str) -> list[str]:
        """What `replace="hash"` makes of this text, under each of the keys, the signing one first.

        For finding in logs, new and old, what somebody is called in them.
        """
        return pseudonyms(kind, text, self._hash_keys)

    def name(self, text: str) -> str:
        """`text()` for a text that comes again and again, such as the name of a thread or of a file."""
        clean = self._clean_names.get(text)
        if clean is None:
            clean = self.text(text)
            if len(self._clean_names) >= _KNOWN_NAMES:
                self._clean_names.clear()
            if len(text) <= 256:
                self._clean_names[text] = clean
        return clean

    def beside(self, detectors: Mapping[str, Any]) -> Redactor:
        """A redactor like this one that has further detectors of one's own."""
        made = copy.copy(self)
        made._finder = self._finder.beside(detectors)
        made._clean_names, made.mark = {}, os.urandom(8).hex()
        return made

    def goes(self, name: str) -> bool:
        """Whether the value of this name goes, whatever it is."""
        return self._tell(name)[0]

    def value(self, value: Any) -> Any:
        """The same object where nothing was found in it at any depth, a redacted plain copy otherwise."""
        return self._safely(value, "")

    def field(self, name: str, value: Any, nothing: Any = "") -> Any:
        """`value`, as the field `name` of a mapping or of a record: the name may say that it goes.

        `nothing`: what comes back where nothing is left of it, because it was dropped.
        """
        try:
            drop, hint = self._tell(name)
            if drop:
                clean = self._instead(value)
                return nothing if clean is DROPPED else clean
        except Exception as error:
            return _withheld(error)
        return self._safely(value, hint, nothing)

    def _safely(self, value: Any, hint: str, nothing: Any = "") -> Any:
        try:
            clean = self._clean(value, hint, _MAX_DEPTH, {})
            if clean is value or type(clean) is str:
                return clean
            if clean is DROPPED:
                return nothing
            _make_sure_of_room(_ROOM)
            return plain(clean)
        except Exception as error:
            return _withheld(error)

    def _clean(self, value: Any, hint: str, depth: int, known: dict[int, Any]) -> Any:
        """`value` redacted; the same object where nothing was found. `known`: what became of the containers so far."""
        clean: Any
        kind = type(value)
        if kind is str:
            clean = self._text(value, hint)
            return clean if clean is value or clean.strip() else DROPPED
        if value is None or kind is bool:
            return value
        if kind is int or kind is float:
            return self._number(value, hint)
        if id(value) in known:
            return known[id(value)]
        if kind not in _CONTAINERS:
            if issubclass(kind, tuple) and hasattr(kind, "_fields"):
                return self._clean_named(value, depth, known)
            return self._clean_object(value, hint, depth)
        if depth <= 0:
            return "<nested too deeply>"
        known[id(value)] = "<cycle>"
        if kind is dict:
            clean = self._clean_dict(value, depth - 1, known)
        else:
            members = list(value)
            clean = [
                self._clean_pair(member, hint, depth - 1, known)
                if type(member) in _PAIRS and len(member) == 2
                else self._clean(member, hint, depth - 1, known)
                for member in members
            ]
            for at, name in options_in(members).items():
                if self._tell(name)[0]:
                    without = self._instead(members[at])  # each argument has its place
                    clean[at] = REDACTED if without is DROPPED else without
            clean = value if all(map(is_, clean, members)) else [one for one in clean if one is not DROPPED]
        known[id(value)] = clean
        return clean

    def _clean_pair(self, value: Any, hint: str, depth: int, known: dict[int, Any]) -> Any:
        """A name and its value, as headers are kept; any other list of two as it is."""
        name, item = value
        if type(name) in _NAMES and self._tell(_text_of_name(name))[0] and (clean := self._instead(item)) is not item:
            name = self._text(_text_of_name(name)) or REDACTED
            return [name, *(() if clean is DROPPED else (clean,))]
        return self._clean(value, hint, depth, known)

    def _clean_named(self, value: Any, depth: int, known: dict[int, Any]) -> Any:
        """A named tuple: its fields' names tell of them."""
        if depth <= 0:
            return "<nested too deeply>"
        clean = self._clean_dict(dict(zip(value._fields, value, strict=False)), depth - 1, known)
        members = [clean.get(name, DROPPED) for name in value._fields]
        return value if all(map(is_, members, value)) else [one for one in members if one is not DROPPED]

    def _clean_dict(self, value: dict[Any, Any], depth: int, known: dict[int, Any]) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        changed = False
        holder, its_name = named_inside(value) or (None, "")
        for key, item in list(value.items()):
            name = key if type(key) is str else next(iter(plain({key: None})))
            drop, hint = self._tell(name if type(key) is not bytes else _text_of_name(key))
            if name == holder and not drop:
                drop, hint = self._tell(its_name)
            clean = self._instead(item) if drop else self._clean(item, hint, depth, known)
            clean_name = self._text(name) if name else name
            changed = changed or clean is not item or clean_name is not name
            if clean is DROPPED:
                continue
            clean_name = clean_name or (name and REDACTED)  # no value goes because its name does
            while clean_name in made:  # two keys that have become one: keep both values
                clean_name += "_"
            made[clean_name] = clean
        return made if changed else value

    def _instead(self, value: Any) -> Any:
        """What stands in place of a value whose name says that it goes."""
        if value is None or (type(value) is str and value in (REDACTED, "")):
            return value
        way = self._ways.get("key")
        if way is None:
            return REDACTED
        return way(value if type(value) is str else text_of(value)) or DROPPED

    def _clean_object(self, value: Any, hint: str, depth: int) -> Any:
        """An object as its plain form and as the texts that `str()` shows of it, alone and in a container."""
        _make_sure_of_room(_ROOM)
        flat = plain(value)
        clean = self._clean(flat, hint, depth, {})
        if clean is not flat:
            return clean
        return flat if any(self._text(text) is not text for text in (text_of(value), _repr(value))) else value

    def _number(self, number: float, hint: str) -> Any:
        if -_LONG < number < _LONG and not (hint and abs(number) >= 1_000_000):
            return number
        if isinstance(number, float) and not number.is_integer():
            return number  # also what is not finite
        digits = str(int(number))
        clean = self._text(digits, hint)
        return number if clean is digits else clean or DROPPED

    def _text(self, text: str, hint: str = "") -> str:
        probe = hint + text if hint else text
        places = self._finder.find(probe)
        if not places or places[-1][1] <= len(hint):
            return text
        return replaced(probe, len(hint), places, self._words, self._ways)


def _make_sure_of_room(frames: int) -> None:
    """RecursionError where the stack is nearly full: there `plain()` and `str()` would show less than there is."""
    if frames:
        _make_sure_of_room(frames - 1)


def _withheld(error: BaseException) -> str:
    try:
        fault("redacting", error)
    except RecursionError:  # the stack is full: the value goes all the same
        pass
    return WITHHELD


def _text_of_name(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode("latin-1")


def _repr(value: object) -> str:
    """What `str()` of a list or a dict shows of `value`."""
    try:
        return repr(value)
    except Exception:
        return ""
