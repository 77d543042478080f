"""Runs the detectors over texts and over objects at any depth, and puts a word in place of what they find.

The detectors' patterns are compiled when the first `Redactor` is made, not when this module is imported: an
application pays for them with its first record, not with its start.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from operator import is_
from typing import TYPE_CHECKING, Any

from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.faults import fault
from llmlog.plain import plain, text_of

if TYPE_CHECKING:
    from llmlog.redaction.detectors import Detector
    from llmlog.redaction.secrets import Span, Verdict

__all__ = ["KEYS", "WITHHELD", "Redactor", "build", "configure", "current", "redact"]

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
    (tuple(name + number for name in ("card", "pan") for number in _NUMBERED), "card: "),
    (("token", "tokens", "key", "keys", "secret", "secrets", "credential", "credentials"), None),  # its own name
)


class Redactor:
    """Puts `<EMAIL>`, `<CARD>`, `<PHONE>`, `<IP>`, `<API_KEY>` in place of personal data and secrets.

    `kinds`: the detectors to run (None: all). `patterns`: your own, name -> regular expression; what it finds
    becomes its name in capitals. `keys`: names beside `KEYS` whose value is always replaced by `<REDACTED>`.
    No method raises: what cannot be redacted becomes `WITHHELD`, and the fault is counted.
    """

    def __init__(
        self,
        kinds: Iterable[str] | None = None,
        *,
        patterns: Mapping[str, str | re.Pattern[str]] | None = None,
        keys: Iterable[str] | None = None,
    ) -> None:
        names = list(dict.fromkeys([*KEYS, *_names("keys", keys)]))
        self._set_up(_detectors(kinds), _patterns(patterns), names)

    def _set_up(self, detectors: dict[str, Detector], patterns: dict[str, Detector], keys: list[str]) -> None:
        from llmlog.redaction.detectors import INERT  # late: see above
        from llmlog.redaction.secrets import pairs, squeezed

        self._squeezed = squeezed
        self._is_inert = INERT.fullmatch
        self._exact = frozenset(map(squeezed, keys))
        self._endings = tuple(key for key in self._exact if len(key) >= 6)
        self._own = [(f"<{name.upper()}>", find) for name, find in patterns.items()]
        self._finders = [(f"<{name.upper()}>", find) for name, find in detectors.items()] + self._own
        if keys:
            self._finders.insert(0, (REDACTED, partial(pairs, stems=_stems(keys), judge=self._judge)))
        self._kinds = {REDACTED: "key", **{f"<{name.upper()}>": name for name in [*patterns, *detectors]}}
        self._known: dict[str, tuple[bool, str]] = {}
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
        raises what a pattern raises: nothing gets out of it that could be withheld.
        """
        finders = self._own if self._is_inert(text) else self._finders
        spans = [(start, end, word) for word, find in finders for start, end in find(text)]
        return [(start, end, self._kinds[word]) for start, end, word in _merged(spans)] if spans else []

    def value(self, value: Any) -> Any:
        """The same object where nothing was found in it at any depth, a redacted plain copy otherwise."""
        return self._safely(value, "")

    def field(self, name: str, value: Any) -> Any:
        """`value`, as the field `name` of a mapping or of a record: the name may say that it goes."""
        try:
            drop, hint = self._known.get(name) or self._learn(name)
        except Exception as error:
            return _withheld(error)
        if drop:
            return value if value is None or (type(value) is str and value == REDACTED) else REDACTED
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
            clean = REDACTED if drop else self._clean(item, hint, depth, known)
            if drop and (item is None or (type(item) is str and item == REDACTED)):
                clean = item
            clean_name = self._text(name)
            changed = changed or clean is not item or clean_name is not name
            while clean_name in made:  # two keys that have become one: keep both values
                clean_name += "_"
            made[clean_name] = clean
        return made if changed else value

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

    def _judge(self, name: str) -> Verdict:
        return "any" if (self._known.get(name) or self._learn(name))[0] else None

    def _text(self, text: str, hint: str = "") -> str:
        probe = hint + text
        finders = self._own if self._is_inert(probe) else self._finders
        spans = [(start, end, word) for word, find in finders for start, end in find(probe)]
        if not spans:
            return text
        pieces: list[str] = []
        at = len(hint)
        for start, end, word in _merged(spans):
            if end > at:
                pieces += (probe[at : max(start, at)], word)
                at = end
        return "".join(pieces) + probe[at:] if pieces else text


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


def _merged(spans: list[tuple[int, int, str]]) -> Iterator[tuple[int, int, str]]:
    """Spans in order, those that overlap made one, with the word of the longest, the first among equals."""
    spans.sort(key=lambda span: span[0])
    start, end, word = spans[0]
    longest = end - start
    for next_start, next_end, next_word in spans[1:]:
        if next_start >= end:
            yield start, end, word
            start, end, word = next_start, next_end, next_word
            longest = end - start
            continue
        if next_end - next_start > longest:
            word, longest = next_word, next_end - next_start
        end = max(end, next_end)
    yield start, end, word


def _repr(value: object) -> str:
    """What `str()` of a list or a dict shows of `value`."""
    try:
        return repr(value)
    except Exception:
        return ""


def _matches(text: str, pattern: re.Pattern[str]) -> Iterator[Span]:
    return (found.span() for found in pattern.finditer(text) if found.end() > found.start())


def _stems(keys: Iterable[str]) -> tuple[str, ...]:
    """Texts of which one is in every spelling of every key: `key` in `api_key`, `API-Key` and `apikey`."""
    stems: list[str] = []
    for key in sorted(keys, key=lambda key: len(_parts(key))):
        if not any(stem in part for part in _parts(key) for stem in stems):
            stems.append(_parts(key)[-1])
    return tuple(stems)


def _parts(key: str) -> list[str]:
    return [part for part in re.split("[-_. ]+", key.lower()) if part]


def _names(what: str, names: Iterable[str] | None) -> list[str]:
    if names is None:
        return []
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise UsageTypeError(f"{what} must be a list of names, not {shown(names)}")
    made = list(names)
    for name in made:
        if not isinstance(name, str):
            raise UsageTypeError(f"{what} must hold names, not {shown(name)}")
        if not name.strip("-_. "):
            raise UsageValueError(f"{what} holds an empty name: {shown(name)}")
    return made


def _detectors(kinds: Iterable[str] | None) -> dict[str, Detector]:
    from llmlog.redaction.detectors import DETECTORS  # late: see above

    if kinds is None:
        return DETECTORS
    chosen = _names("kinds", kinds)
    for kind in chosen:
        if kind not in DETECTORS:
            known = ", ".join(sorted(DETECTORS))
            raise UsageValueError(f"no kind of personal data: {shown(kind)}; there are {known}")
    return {kind: find for kind, find in DETECTORS.items() if kind in chosen}


def _patterns(patterns: Mapping[str, str | re.Pattern[str]] | None) -> dict[str, Detector]:
    if patterns is None:
        return {}
    if not isinstance(patterns, Mapping):
        raise UsageTypeError(f"patterns must map names to regular expressions, not {shown(patterns)}")
    made: dict[str, Detector] = {}
    for name, pattern in patterns.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise UsageValueError(f"the name of a pattern must be an identifier, not {shown(name)}")
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise UsageValueError(f"pattern {name}, {shown(pattern)}, is no regular expression: {error}") from None
        except TypeError:
            raise UsageTypeError(f"pattern {name} must be a text or compiled, not {shown(pattern)}") from None
        if not isinstance(compiled.pattern, str):
            raise UsageTypeError(f"pattern {name} must be one for text, not {shown(pattern)}")
        made[name] = partial(_matches, pattern=compiled)
    return made


_OPTIONS = ("kinds", "patterns", "keys")


def build(option: Any = None) -> Redactor:
    """A `Redactor` from what a configuration says.

    None or True: all kinds. False: nothing is found. A list: these kinds. A mapping: `Redactor`'s arguments.
    """
    if isinstance(option, Redactor):
        return option
    if option is None or option is True:
        return Redactor()
    if option is False:
        nothing = Redactor.__new__(Redactor)
        nothing._set_up({}, {}, [])
        return nothing
    if isinstance(option, Mapping):
        for name in option:
            if name not in _OPTIONS:
                known = ", ".join(_OPTIONS)
                raise UsageValueError(f"no option of redaction: {shown(name)}; there are {known}")
        return Redactor(**option)
    return Redactor(_names("redaction", option))


_configured: Redactor | None = None


def configure(redactor: Redactor) -> None:
    """Make this the redactor of `redact()` and of every `RedactFilter` that has none of its own."""
    global _configured
    if not isinstance(redactor, Redactor):
        raise UsageTypeError(f"a Redactor is needed here, not {shown(redactor)}")
    _configured = redactor


def current() -> Redactor:
    """The configured redactor; one that finds every kind, where none was configured."""
    global _configured
    if _configured is None:
        _configured = Redactor()
    return _configured


def redact(value: Any) -> Any:
    """`value`, text or any object, with personal data and secrets replaced: `<EMAIL>`, `<REDACTED>`, ...

    The same object where nothing was found, a redacted plain copy otherwise. Never raises: what cannot be
    redacted comes back as `<withheld: redaction failed>`.
    """
    return current().value(value)
