"""Finds in a text what is to go: runs the detectors that the text shows signs of, and settles what they claim."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Mapping

from llmlog.redaction.detectors import HOLDS, IN_RUNS, INERT, NUMBER, Detector
from llmlog.redaction.escapes import blanked, unescaped
from llmlog.redaction.gate import gate
from llmlog.redaction.names import Names, squeezed, stems_of
from llmlog.redaction.numbers import FREE_RUN, RUN, digits_of
from llmlog.redaction.pairs import STEMS, Verdict, is_reference, judge, pairs
from llmlog.redaction.places import OwnDetector, Place, folded, merged
from llmlog.redaction.plans import Plan, Plans
from llmlog.redaction.signs import Gate

__all__ = ["Finder"]

_JUDGED = 4096
_READINGS = 3  # how often what an escape says is read as an escape again
_FEW = 32  # so many places are searched faster than looked up, and more are not searched: that would be quadratic


class Finder:
    """What `detectors`, and detectors of the user's `own`, find in a text, and values whose name says that they go.

    `keys`: those names, which `names` knows in all their spellings. `stays`: what is left, though it was found.
    """

    def __init__(
        self,
        detectors: Mapping[str, Detector],
        own: Mapping[str, OwnDetector],
        names: Names,
        keys: Iterable[str],
        stays: Callable[[str], bool] | None,
    ) -> None:
        self._own = list(own.items())
        self._stays = stays
        secrets = "api_key" in detectors
        self._judge = _Judgements(names, secrets).__getitem__
        stems = stems_of([*keys, *(STEMS if secrets else ())])
        self._gate: Gate | None = gate(stems) if detectors or stems else _see_nothing
        self._plans = Plans(detectors, stems)
        self._in_runs = [(kind, look, least) for kind, (look, least) in IN_RUNS.items() if kind in detectors]
        self._holds = {kind: holds for kind, holds in HOLDS.items() if kind in detectors}
        self._ranks = {kind: rank for rank, kind in enumerate(["key", *detectors, *own])}

    def beside(self, detectors: Mapping[str, OwnDetector]) -> Finder:
        """A finder like this one that has further detectors of one's own."""
        made = copy.copy(self)
        made._own = [*self._own, *detectors.items()]
        return made

    def find(self, text: str) -> list[Place]:
        """What is to go: in order, none over another, without what stays."""
        found: list[Place] = []
        if " " in text or not INERT.fullmatch(text):
            found = self._detected(text if text.isascii() else folded(text))
        for kind, find in self._own:
            for span in find(text):
                if 0 <= span[0] < span[1] <= len(text):
                    found.append((span[0], span[1], span[2] if len(span) > 2 else kind))
        if len(found) > 1:
            found = merged(found, self._ranks)
        if self._stays is not None:
            found = [place for place in found if not self._stays(text[place[0] : place[1]])]
        return found

    def _detected(self, text: str, depth: int = _READINGS) -> list[Place]:
        found: list[Place] = []
        steps, stems, numbers, escaped = self._plan(text)
        if escaped:
            if depth and (seen := unescaped(text)):
                said, written = seen
                found += [(*written(start, end), kind) for start, end, kind in self._detected(said, depth - 1)]
            bare = blanked(text)
            if bare is not text:
                text, (steps, stems, numbers, _) = bare, self._plan(bare)
        for find in steps:
            found += find(text)
        if stems:
            found += pairs(text, stems, self._judge, found if len(found) < _FEW else ())
        if numbers:
            self._find_in_runs(text, found)
        return found

    def _plan(self, text: str) -> Plan:
        return self._plans[tuple(self._gate(text)) if self._gate else self._plans.everything]

    def _find_in_runs(self, text: str, found: list[Place]) -> None:
        """Adds what is made of digits. Pieces of what was found, of an IBAN, of a key, are no numbers of their own."""
        found.sort()
        taken = iter([*found, _NOWHERE])
        start, end, _ = next(taken)
        holding = self._holds
        for number in NUMBER.finditer(text):
            begins, ends = number.span()
            while end <= begins:
                start, end, _ = next(taken)
            if start <= begins and end >= ends - 2:
                continue
            kind = number.lastgroup
            if kind in holding:
                if holding[kind](text, begins, ends):
                    found.append((begins, ends, kind))
                    continue
            elif kind == "date" or kind == "figure":
                continue
            elif kind == "run":
                before = text[begins - 1] if begins else " "
                if before == "-" or before == "_" or before.isalnum():  # it may be free of that further on
                    for run in FREE_RUN.finditer(text, begins, ends):
                        self._find_in_run(text, *run.span(), found)
                else:
                    self._find_in_run(text, begins, ends, found)
                continue
            if longer := RUN.match(text, begins):
                self._find_in_run(text, begins, longer.end(), found)

    def _find_in_run(self, text: str, at: int, end: int, found: list[Place]) -> None:
        """What explains a whole run ends its reading."""
        run = text[at:end]
        digits = digits_of(run)
        left = len(digits)
        for kind, look, least in self._in_runs:
            if left >= least:
                for start, end in look(text, at, run, digits):
                    found.append((start, end, kind))
                    left -= len(digits_of(text[start:end]))


class _Judgements(dict[str, tuple[Verdict, str]]):
    """Which values of a name go, and of what kind they are: each name is judged once."""

    def __init__(self, names: Names, secrets: bool) -> None:
        self._names = names
        self._secrets = secrets

    def __missing__(self, written: str) -> tuple[Verdict, str]:
        name = squeezed(written)
        judged: tuple[Verdict, str] = (None, "")
        if self._names.tell(name)[0]:
            if not is_reference(name):
                judged = "any", "key"
        elif self._secrets:
            judged = judge(name), "api_key"
        if len(self) >= _JUDGED:
            self.clear()
        if len(written) <= 64:
            self[written] = judged
        return judged


_NOWHERE: Place = (1 << 60, 1 << 60, "")


def _see_nothing(text: str) -> Collection[int]:
    return ()
