"""Finds in a text what is to go: runs the detectors that the text shows signs of, and settles what they claim."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial

from llmlog.redaction.detectors import IN_RUNS, INERT, NUMBER, STEPS, Detector, holds
from llmlog.redaction.escapes import blanked, unescaped
from llmlog.redaction.gate import gate
from llmlog.redaction.names import Names, squeezed, stems_of
from llmlog.redaction.numbers import FREE_RUN, RUN, digits_of
from llmlog.redaction.pairs import STEMS, Verdict, is_reference, judge, pairs
from llmlog.redaction.places import Place, folded, merged
from llmlog.redaction.secrets import SHAPES, of_shape
from llmlog.redaction.signs import ALL, BY_SHAPE, DIGITS, ESCAPED, NUMBERS, PAIR, WORD, Gate

__all__ = ["Finder"]

_JUDGED = 4096
_READINGS = 3  # how often what an escape says is read as an escape again


class Finder:
    """What `detectors`, and detectors of the user's `own`, find in a text, and values whose name says that they go.

    `keys`: those names, which `names` knows in all their spellings. `stays`: what is left, though it was found.
    """

    def __init__(
        self,
        detectors: Mapping[str, Detector],
        own: Mapping[str, Detector],
        names: Names,
        keys: Iterable[str],
        stays: Callable[[str], bool] | None,
    ) -> None:
        self._own = list(own.items())
        self._names = names
        self._stays = stays
        self._secrets = "api_key" in detectors
        self._stems = stems_of([*keys, *(STEMS if self._secrets else ())])
        self._gate: Gate | None = gate(self._stems) if detectors or self._stems else _see_nothing
        self._in_runs = [(kind, look, least) for kind, (look, least) in IN_RUNS.items() if kind in detectors]
        self._run_kinds = {kind for kind, _, _ in self._in_runs}
        self._ranks = {kind: rank for rank, kind in enumerate(["key", *detectors, *own])}
        self._judged: dict[str, tuple[Verdict, str]] = {}
        self._always: list[tuple[str, Detector]] = []
        self._at_sign: dict[int, list[tuple[str, Detector]]] = {}
        for kind, find in detectors.items():
            if kind in STEPS:
                step, sign = STEPS[kind]
                self._at_sign.setdefault(sign, []).append((kind, step))
            elif kind not in IN_RUNS:
                self._always.append((kind, find))
        if self._secrets:
            for number in range(len(SHAPES)):
                self._at_sign[BY_SHAPE + number] = [("api_key", partial(of_shape, number))]

    def beside(self, detectors: Mapping[str, Detector]) -> Finder:
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
        signs = self._gate(text) if self._gate else ALL
        if ESCAPED in signs:
            if depth and (seen := unescaped(text)):
                said, written = seen
                found += [(*written(start, end), kind) for start, end, kind in self._detected(said, depth - 1)]
            bare = blanked(text)
            if bare is not text:
                text, signs = bare, self._gate(bare) if self._gate else ALL
        if self._always:
            for kind, find in self._always:
                for start, end in find(text):
                    found.append((start, end, kind))
        if not signs:
            return found
        at_sign = self._at_sign
        for sign in signs:
            if sign in at_sign:
                for kind, find in at_sign[sign]:
                    for start, end in find(text):
                        found.append((start, end, kind))
        if PAIR in signs and self._stems:
            found += pairs(text, self._stems, self._judge)
        if self._in_runs and (NUMBERS in signs or (DIGITS in signs and WORD in signs)):
            self._find_in_runs(text, found)
        return found

    def _find_in_runs(self, text: str, found: list[Place]) -> None:
        """Adds what is made of digits. Pieces of what was found, of an IBAN, of a key, are no numbers of their own."""
        found.sort()
        taken = iter(found[:])
        start, end, _ = next(taken, _NOWHERE)
        for number in NUMBER.finditer(text):
            begins, ends = number.span()
            while end <= begins:
                start, end, _ = next(taken, _NOWHERE)
            kind = number.lastgroup
            if kind == "date" or kind == "figure" or (start <= begins and end >= ends - 2):
                continue
            if kind == "run":
                before = text[begins - 1] if begins else " "
                if before == "-" or before == "_" or before.isalnum():  # it may be free of that further on
                    for run in FREE_RUN.finditer(text, begins, ends):
                        found += self._in_run(text, *run.span())
                else:
                    found += self._in_run(text, begins, ends)
            elif kind in self._run_kinds and holds(kind, text, begins, ends):
                found.append((begins, ends, kind))
            elif longer := RUN.match(text, begins):
                found += self._in_run(text, begins, longer.end())

    def _in_run(self, text: str, at: int, end: int) -> Iterator[Place]:
        """What explains a whole run ends its reading."""
        run = text[at:end]
        digits = digits_of(run)
        left = len(digits)
        for kind, look, least in self._in_runs:
            if left >= least:
                for start, end in look(text, at, run, digits):
                    yield start, end, kind
                    left -= len(digits_of(text[start:end]))

    def _judge(self, name: str) -> tuple[Verdict, str]:
        return self._judged.get(name) or self._learn(name)

    def _learn(self, written: str) -> tuple[Verdict, str]:
        name = squeezed(written)
        judged: tuple[Verdict, str] = (None, "")
        if self._names.tell(name)[0]:
            if not is_reference(name):
                judged = "any", "key"
        elif self._secrets:
            judged = judge(name), "api_key"
        if len(self._judged) >= _JUDGED:
            self._judged.clear()
        if len(written) <= 64:
            self._judged[written] = judged
        return judged


_NOWHERE: Place = (1 << 60, 1 << 60, "")


def _see_nothing(text: str) -> Collection[int]:
    return ()
