"""What there is to do for a text, by the signs that it shows: an application's texts show few combinations of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from llmlog.redaction.detectors import IN_RUNS, STEPS, Detector
from llmlog.redaction.secrets import SHAPES, of_shape
from llmlog.redaction.signs import BY_SHAPE, BY_STEM, DIGITS, NUMBERS, WORD

__all__ = ["Plan", "Plans"]

_KNOWN = 4096


class Plan(NamedTuple):
    """The detectors to run, the stems of names whose values to look for, and whether to read runs of digits."""

    steps: tuple[tuple[str, Detector], ...]
    stems: tuple[str, ...]
    numbers: bool


class Plans(dict[tuple[int, ...], Plan]):
    """The plan for each combination of signs, made when it is first met."""

    def __init__(self, detectors: Mapping[str, Detector], stems: Sequence[str]) -> None:
        self._stems = stems
        self._numbers = not IN_RUNS.keys().isdisjoint(detectors)
        self._always: list[tuple[str, Detector]] = []
        self._at_sign: dict[int, list[tuple[str, Detector]]] = {}
        for kind, find in detectors.items():
            if kind in STEPS:
                step, sign = STEPS[kind]
                self._at_sign.setdefault(sign, []).append((kind, step))
            elif kind not in IN_RUNS:
                self._always.append((kind, find))
        if "api_key" in detectors:
            for number in range(len(SHAPES)):
                self._at_sign[BY_SHAPE + number] = [("api_key", partial(of_shape, number))]
        self.everything = tuple(range(BY_STEM + len(stems)))
        """Every sign that there is."""

    def __missing__(self, signs: tuple[int, ...]) -> Plan:
        steps = [*self._always]
        for sign in signs:
            steps += self._at_sign.get(sign, ())
        made = Plan(
            tuple(steps),
            tuple(self._stems[sign - BY_STEM] for sign in signs if sign >= BY_STEM),
            self._numbers and (NUMBERS in signs or (DIGITS in signs and WORD in signs)),
        )
        if len(self) >= _KNOWN:
            self.clear()
        self[signs] = made
        return made
