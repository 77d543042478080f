"""What there is to do for a text, by the signs that it shows: an application's texts show few combinations of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from llmlog.redaction.detectors import DETECTORS, IN_RUNS, STEPS, Detector
from llmlog.redaction.secrets import of_shape
from llmlog.redaction.signs import BY_SHAPE, BY_STEM, DIGITS, ESCAPED, NUMBERS, WORD

__all__ = ["Plan", "Plans"]

_KNOWN = 4096


class Plan(NamedTuple):
    """Detectors to run, stems of names whose values to look for; whether to read runs of digits, and escapes."""

    steps: tuple[Detector, ...]
    stems: tuple[str, ...]
    numbers: bool
    escaped: bool


class Plans(dict[tuple[int, ...], Plan]):
    """The plan for each combination of signs, made when it is first met."""

    def __init__(self, detectors: Mapping[str, Detector], stems: Sequence[str]) -> None:
        self._stems = stems
        self._numbers = not IN_RUNS.keys().isdisjoint(detectors)
        self._always = [find for kind, find in detectors.items() if kind not in DETECTORS]
        self._steps = [(signs, step) for kind, step, signs in STEPS if kind in detectors]
        self._shapes = "api_key" in detectors
        self.everything = tuple(range(BY_STEM + len(stems)))
        """Every sign that there is."""

    def __missing__(self, signs: tuple[int, ...]) -> Plan:
        shown = frozenset(signs)
        steps = [*self._always, *(step for needed, step in self._steps if needed <= shown)]
        if self._shapes:
            steps += [partial(of_shape, sign - BY_SHAPE) for sign in signs if BY_SHAPE <= sign < BY_STEM]
        made = Plan(
            tuple(steps),
            tuple(self._stems[sign - BY_STEM] for sign in signs if sign >= BY_STEM),
            self._numbers and (NUMBERS in shown or {DIGITS, WORD} <= shown),
            ESCAPED in shown,
        )
        if len(self) >= _KNOWN:
            self.clear()
        self[signs] = made
        return made
