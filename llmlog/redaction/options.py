"""What a configuration may say of redaction, checked: names, patterns, functions by their dotted paths."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from llmlog.exceptions import UsageTypeError, UsageValueError, shown

if TYPE_CHECKING:
    from llmlog.redaction.places import Detector, OwnDetector

__all__ = ["allowed", "detectors_named", "functions", "names", "patterns", "resolved"]


def names(what: str, given: Iterable[str] | None) -> list[str]:
    """A list of names, none of them empty."""
    made = texts(what, given)
    for name in made:
        if not name.strip("-_. "):
            raise UsageValueError(f"{what} holds an empty name: {shown(name)}")
    return made


def texts(what: str, given: Iterable[str] | None) -> list[str]:
    """A list of texts."""
    if given is None:
        return []
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise UsageTypeError(f"{what} must be a list of names, not {shown(given)}")
    made = list(given)
    for one in made:
        if not isinstance(one, str):
            raise UsageTypeError(f"{what} must hold names, not {shown(one)}")
    return made


def detectors_named(kinds: Iterable[str] | None) -> dict[str, Detector]:
    """The detectors of these kinds; of the usual ones where none are named."""
    from llmlog.redaction.detectors import DETECTORS  # late: compiled with the first Redactor
    from llmlog.redaction.ids import COUNTRIES, country

    if kinds is None:
        return DETECTORS
    made = names("kinds", kinds)
    for kind in made:
        if kind not in DETECTORS and kind not in COUNTRIES:
            known = ", ".join([*sorted(DETECTORS), *sorted(COUNTRIES)])
            raise UsageValueError(f"no kind of personal data: {shown(kind)}; there are {known}")
    usual = {kind: find for kind, find in DETECTORS.items() if kind in made}
    return {**{kind: country(kind) for kind in made if kind not in DETECTORS}, **usual}


def patterns(given: Mapping[str, str | re.Pattern[str]] | None) -> dict[str, OwnDetector]:
    """Detectors from regular expressions of one's own."""
    from llmlog.redaction.places import matches

    return {
        name: partial(matches, compiled(f"pattern {name}", pattern))
        for name, pattern in _named("patterns", given).items()
    }


def functions(given: Mapping[str, Any] | None) -> dict[str, OwnDetector]:
    """Detectors of one's own: functions from a text to spans, or the dotted paths of such."""
    return {name: resolved(f"detector {name}", find) for name, find in _named("detectors", given).items()}


def _named(what: str, given: Any) -> Mapping[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        meant = "regular expressions" if what == "patterns" else "functions"
        raise UsageTypeError(f"{what} must map names to {meant}, not {shown(given)}")
    for name in given:
        if not isinstance(name, str) or not name.isidentifier():
            raise UsageValueError(f"the name of a {what.removesuffix('s')} must be an identifier, not {shown(name)}")
    return given


def compiled(what: str, pattern: Any) -> re.Pattern[str]:
    """A pattern for text, compiled."""
    try:
        made = re.compile(pattern)
    except re.error as error:
        raise UsageValueError(f"{what}, {shown(pattern)}, is no regular expression: {error}") from None
    except TypeError:
        raise UsageTypeError(f"{what} must be a text or compiled, not {shown(pattern)}") from None
    if not isinstance(made.pattern, str):
        raise UsageTypeError(f"{what} must be one for text, not {shown(pattern)}")
    return made


def resolved(what: str, given: Any) -> Callable[..., Any]:
    """A function, or what a dotted path leads to, as in a dictConfig."""
    if callable(given):
        return given  # type: ignore[no-any-return]
    if not isinstance(given, str):
        raise UsageTypeError(f"{what} must be a function or the dotted path of one, not {shown(given)}")
    module, _, name = given.rpartition(".")
    try:
        found = getattr(import_module(module), name) if module else None
    except (ImportError, AttributeError) as error:
        raise UsageValueError(f"{what}: there is no {shown(given)}: {error}") from error
    if not callable(found):
        raise UsageValueError(f"{what}: {shown(given)} is no dotted path of a function")
    return found  # type: ignore[no-any-return]


def allowed(allow: Iterable[str] | None, allow_patterns: Iterable[Any] | None) -> Callable[[str], bool] | None:
    """Whether a finding stays: it is one of the texts, in capitals or not, or a pattern matches all of it."""
    stay = frozenset(map(str.casefold, texts("allow", allow)))
    if allow_patterns is not None and (
        isinstance(allow_patterns, (str, bytes)) or not isinstance(allow_patterns, Iterable)
    ):
        raise UsageTypeError(f"allow_patterns must be a list of regular expressions, not {shown(allow_patterns)}")
    whole = [compiled("a pattern of allow_patterns", pattern).fullmatch for pattern in allow_patterns or ()]
    if not stay and not whole:
        return None
    return lambda found: found.casefold() in stay or any(fits(found) for fits in whole)
