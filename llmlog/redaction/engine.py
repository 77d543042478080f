"""Runs the detectors over texts and over objects at any depth, and puts a word in place of what they find.

The detectors' patterns are compiled when the first `Redactor` is made, not when this module is imported: an
application pays for them with its first record, not with its start.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable, Iterable, Mapping
from operator import is_
from typing import TYPE_CHECKING, Any

from llmlog.faults import fault
from llmlog.plain import plain, text_of
from llmlog.redaction import options
from llmlog.redaction.places import merged
from llmlog.redaction.ways import Way, chosen, mask, pseudonyms, signing_keys, way

if TYPE_CHECKING:
    from llmlog.redaction.pairs import Verdict
    from llmlog.redaction.places import Detector

__all__ = ["KEYS", "WITHHELD", "Redactor"]

WITHHELD = "<withheld: redaction failed>"
REDACTED = "<REDACTED>"

KEYS = (
    "password", "passwd", "passphrase", "pwd", "secret", "secret_key", "secret_access_key", "api_key",
    "private_key", "authorization", "cookie", "set-cookie", "access_token", "refresh_token", "auth_token",
    "session_token", "bearer_token", "ssn",
)  # fmt: skip
"""Names whose value goes, whatever it is. `-`, `_` and capitals make no difference; `db_password` is one."""

_CONTAINERS = frozenset({dict, list, tuple, set, frozenset})
_MAX_DEPTH = 24
_ROOM = 120
_LONG = 10**11  # a number with twelve digits may be a card's
_KNOWN_KEYS = 4096

# What the name of a field says about its text; the detectors read it in front of the text.
_NUMBERED = ("", "number", "no", "nr")
_PHONES = ("phone", "mobile", "cell", "fax", "tel", "telephone", "whatsapp", "msisdn")
_HINTS: tuple[tuple[tuple[str, ...], str | None], ...] = (
    (tuple(name + number for name in _PHONES for number in _NUMBERED), "phone: "),
    (("iban",), "iban: "),
    (("dob", "birthdate", "dateofbirth", "birthday"), "born: "),
    (tuple(name + number for name in ("card", "pan") for number in _NUMBERED), "card: "),
    (("token", "tokens", "key", "keys", "secret", "secrets", "credential", "credentials"), None),  # its own name
)


class Redactor:
    """Puts `<EMAIL>`, `<CARD>`, `<PHONE>`, `<IP>`, `<API_KEY>` ... in place of personal data and secrets.

    `kinds`: the detectors to run (None: all). `patterns`: your own, name -> regular expression, and `detectors`,
    name -> function from a text to spans, or its dotted path: what they find is of the kind of that name. `keys`:
    names beside `KEYS` whose value is always replaced. `replace`: how, for all kinds or by kind (`key`: the values
    of `keys`, `*`: the others): "mask" (the word, as above), "partial" (the last four signs), "hash" (a pseudonym,
    the same for the same person), "drop", or a function from what was found to what takes its place, or its dotted
    path. `hash_keys`: the pseudonyms' keys, id -> key, the first one signs; None: those of the environment
    (`LLMLOG_HASH_KEYS=id:key,...`). `allow`, `allow_patterns`: what stays, though it was found.

    No method raises: what cannot be redacted becomes `WITHHELD`, and the fault is counted.
    """

    _stays: Callable[[str], bool] | None
    _hash_keys: dict[str, bytes]

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
        key_names = list(dict.fromkeys([*KEYS, *options.names("keys", keys)]))
        own = {**options.patterns(patterns), **options.functions(detectors)}
        self._set_up(options.detectors_named(kinds), own, key_names)
        self._stays = options.allowed(allow, allow_patterns)
        self._hash_keys = signing_keys(hash_keys)
        for kind, how in chosen(replace, self._words).items():
            made = way(kind, how, self._hash_keys)
            if made is not None:
                self._ways[kind] = made

    def _set_up(self, detectors: dict[str, Detector], own: dict[str, Detector], keys: list[str]) -> None:
        from llmlog.redaction.detectors import IN_RUNS, INERT, STEPS, told_alone  # late: see above
        from llmlog.redaction.gate import ALL, BY_SHAPE, DIGITS, NUMBER, PAIR, WORD, gate
        from llmlog.redaction.numbers import RUN, digits_of
        from llmlog.redaction.pairs import STEMS, is_reference, judge, pairs, squeezed, stems_of
        from llmlog.redaction.places import folded
        from llmlog.redaction.secrets import of_shape, shaped

        self._squeezed, self._pairs, self._folded, self._digits_of = squeezed, pairs, folded, digits_of
        self._of_shape, self._shaped = of_shape, shaped
        self._runs = RUN.finditer
        self._is_reference = is_reference
        self._is_inert = INERT.fullmatch
        self._exact = frozenset(map(squeezed, keys))
        self._endings = tuple(key for key in self._exact if len(key) >= 6)
        self._own = list(own.items())
        self._judge_secret = judge if "api_key" in detectors else None
        self._in_runs = [(kind, look, least) for kind, (look, least) in IN_RUNS.items() if kind in detectors]
        self._run_kinds, self._told_alone = {kind for kind, _, _ in self._in_runs}, told_alone
        self._finders = [
            (kind, *STEPS.get(kind, (find, None)))
            for kind, find in detectors.items()
            if kind not in IN_RUNS or kind in STEPS
        ]
        self._stems = stems_of([*keys, *(STEMS if self._judge_secret else ())])
        self._gate = gate(self._stems) if detectors or keys else _no_hits
        self._all = ALL
        self._marks = PAIR, NUMBER, DIGITS, WORD, BY_SHAPE
        self._words = {"key": REDACTED, **{kind: mask(kind) for kind in [*own, *detectors]}}
        self._ranks = {kind: rank for rank, kind in enumerate(["key", *detectors, *own])}
        self._ways: dict[str, Way] = {}
        self._stays = None
        self._hash_keys = {}
        self._known: dict[str, tuple[bool, str]] = {}
        self._names: dict[str, str] = {}
        self.mark = os.urandom(8).hex()

    def text(self, text: str) -> str:
        """The text with everything found replaced; the same object where nothing was found."""
        try:
            return self._text(text if type(text) is str else text_of(text))
        except Exception as error:
            return _withheld(error)

    def find(self, text: str) -> list[tuple[int, int, str]]:
        """Where `text()` would replace something: `(start, end, kind)`, in order, none over another.

        The kind is a detector's name, a pattern's, or "key" for the value of a telling name. Unlike `text()` it
        raises what a pattern or function of one's own raises: nothing gets out of it that could be withheld.
        """
        return self._places(text)

    def pseudonyms(self, kind: str, text: str) -> list[str]:
        """What `replace="hash"` makes of this text, under each of the keys, the signing one first.

        For finding in logs, new and old, what somebody is called in them.
        """
        return pseudonyms(kind, text, self._hash_keys)

    def name(self, text: str) -> str:
        """`text()` for a text that comes again and again, such as the name of a thread or of a file."""
        clean = self._names.get(text)
        if clean is None:
            clean = self.text(text)
            if len(self._names) >= _KNOWN_KEYS:
                self._names.clear()
            if len(text) <= 256:
                self._names[text] = clean
        return clean

    def beside(self, detectors: Mapping[str, Any]) -> Redactor:
        """A redactor like this one that has further detectors of one's own."""
        made = copy.copy(self)
        made._own = [*self._own, *detectors.items()]
        made._known, made._names, made.mark = {}, {}, os.urandom(8).hex()
        return made

    def value(self, value: Any) -> Any:
        """The same object where nothing was found in it at any depth, a redacted plain copy otherwise."""
        return self._safely(value, "")

    def field(self, name: str, value: Any) -> Any:
        """`value`, as the field `name` of a mapping or of a record: the name may say that it goes."""
        try:
            drop, hint = self._known.get(name) or self._learn(name)
            if drop:
                return self._instead(value)
        except Exception as error:
            return _withheld(error)
        return self._safely(value, hint)

    def _safely(self, value: Any, hint: str) -> Any:
        try:
            clean = self._clean(value, hint, _MAX_DEPTH, {})
            if clean is value or type(clean) is str:
                return clean
            _make_sure_of_room(_ROOM)
            return plain(clean)
        except Exception as error:
            return _withheld(error)

    def _clean(self, value: Any, hint: str, depth: int, known: dict[int, Any]) -> Any:
        """`value` redacted; the same object where nothing was found. `known`: what became of the containers so far."""
        kind = type(value)
        if kind is str:
            return self._text(value, hint)
        if value is None or kind is bool:
            return value
        if kind is int or kind is float:
            return self._number(value, hint)
        if id(value) in known:
            return known[id(value)]
        if kind not in _CONTAINERS:
            return self._clean_object(value, hint, depth)
        if depth <= 0:
            return "<nested too deeply>"
        known[id(value)] = "<cycle>"
        clean: Any
        if kind is dict:
            clean = self._clean_dict(value, depth - 1, known)
        else:
            members = list(value)
            clean = [self._clean(member, hint, depth - 1, known) for member in members]
            clean = value if all(map(is_, clean, members)) else clean
        known[id(value)] = clean
        return clean

    def _clean_dict(self, value: dict[Any, Any], depth: int, known: dict[int, Any]) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        changed = False
        for key, item in list(value.items()):
            name = key if type(key) is str else next(iter(plain({key: None})))
            drop, hint = self._known.get(name) or self._learn(name)
            clean = self._instead(item) if drop else self._clean(item, hint, depth, known)
            clean_name = self._text(name)
            changed = changed or clean is not item or clean_name is not name
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
        return way(value if type(value) is str else text_of(value))

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
        return number if clean is digits else clean

    def _learn(self, key: str) -> tuple[bool, str]:
        """What a name says: whether the value goes, and what to read in front of it."""
        name = self._squeezed(key)
        single = name.removesuffix("s")
        drop = name in self._exact or single in self._exact or name.endswith(self._endings)
        drop = drop or single.endswith(self._endings)
        hint = next((text or f"{key}: " for endings, text in _HINTS if name.endswith(endings)), "")
        if len(self._known) >= _KNOWN_KEYS:
            self._known.clear()
        if len(key) <= 64:
            self._known[key] = drop, hint
        return drop, hint

    def _judge(self, name: str) -> tuple[Verdict, str]:
        if (self._known.get(name) or self._learn(name))[0]:
            return (None, "") if self._is_reference(name) else ("any", "key")
        return (self._judge_secret(name), "api_key") if self._judge_secret else (None, "")

    def _text(self, text: str, hint: str = "") -> str:
        probe = hint + text if hint else text
        pieces: list[str] = []
        at = skip = len(hint)
        for start, end, kind in self._places(probe):
            if end > skip:
                start = max(start, skip)
                way = self._ways.get(kind)
                word = way(probe[start:end]) if way else self._words.get(kind) or mask(kind)
                pieces += (probe[at:start], word)
                at = end
        return "".join(pieces) + probe[at:] if pieces else text

    def _places(self, probe: str) -> list[tuple[int, int, str]]:
        """What is to be replaced: in order, none over another, without what is allowed."""
        found: list[tuple[int, int, str]] = []
        if not self._is_inert(probe):
            found = self._found(probe if probe.isascii() else self._folded(probe))
        for kind, find in self._own:
            for span in find(probe):
                if 0 <= span[0] < span[1] <= len(probe):
                    found.append((span[0], span[1], span[2] if len(span) > 2 else kind))
        if len(found) > 1:
            found = merged(found, self._ranks)
        if self._stays is not None:
            found = [place for place in found if not self._stays(probe[place[0] : place[1]])]
        return found

    def _found(self, text: str) -> list[tuple[int, int, str]]:
        """Everything the detectors find: those alone are run whose patterns the gate has seen."""
        found: list[tuple[int, int, str]] = []
        if self._gate:
            hits = self._gate(text)
            if not hits:
                return found
        else:
            hits = self._all
        for kind, find, when in self._finders:
            if when is None or when in hits:
                for start, end in find(text):
                    found.append((start, end, kind))
        pair, number, digits, word, by_shape = self._marks
        if self._judge_secret:
            if not self._gate:
                found += [(start, end, "api_key") for start, end in self._shaped(text)]
            for hit in hits:
                if hit >= by_shape:
                    found += [(start, end, "api_key") for start, end in self._of_shape(hit - by_shape, text)]
        if pair in hits and self._stems:
            found += self._pairs(text, self._stems, self._judge)
        if self._in_runs and (number in hits or (digits in hits and word in hits)):
            taken = sorted(found)  # pieces of an IBAN, of a key, are no numbers of their own
            at = 0
            for run in self._runs(text):
                start = run.start()
                while at < len(taken) and taken[at][1] <= start:
                    at += 1
                if at == len(taken) or taken[at][0] > start or taken[at][1] < run.end() - 2:
                    self._look(text, start, run[0], found)
        return found

    def _look(self, text: str, at: int, run: str, found: list[tuple[int, int, str]]) -> None:
        told = self._told_alone(text, at, run)
        if told is not None:
            kind, start, end = told
            if kind in self._run_kinds:
                found.append((start, end, kind))
                return
            if kind == "date":
                return
        digits = self._digits_of(run)
        left = len(digits)
        for kind, look, least in self._in_runs:
            if left >= least:
                for start, end in look(text, at, run, digits):
                    found.append((start, end, kind))
                    left -= len(self._digits_of(text[start:end]))


def _no_hits(text: str) -> Iterable[int]:
    return ()


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


def _repr(value: object) -> str:
    """What `str()` of a list or a dict shows of `value`."""
    try:
        return repr(value)
    except Exception:
        return ""
