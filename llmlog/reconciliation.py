"""Logs beside a provider's own account, for each day and model: what is missing, what is extra, what differs.

A call without the provider's own usage has counts that are estimates, which are kept apart. Whether the provider
counted such a call at all, nobody knows, nor what it made beyond what was delivered: its figure agrees from that of
the calls whose usage it told, up to all of them with `ESTIMATES_ERR` more of the estimates.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from llmlog.usage_exports import FIGURES, Row

__all__ = ["ESTIMATES_ERR", "Account", "Difference", "Names", "Verdict"]

ESTIMATES_ERR = Decimal("0.25")
"""The part by which more tokens may have been used than an estimate says."""

Verdict = Literal["same", "different", "missing", "extra"]
"""Missing: the provider has it, the logs have not; extra: the other way round."""

Key = tuple[date, str]

_DATED = re.compile(r"[-@](?:20\d\d-\d\d-\d\d|20\d{6}|\d{4}|00\d)$")


class Names:
    """The names of models in the exports, and which of them another name of a model stands for.

    Several names are one model where only one of them has a date: a console's usage says claude-haiku-4-5-20251001,
    its costs say Claude Haiku 4.5.
    """

    def __init__(self, exported: Iterable[str]) -> None:
        names = {_normal(name) for name in exported}
        self._by_base: defaultdict[str, set[str]] = defaultdict(set)
        for name in names:
            self._by_base[_DATED.sub("", name)].add(name)
        self._known = {name: self._dated(name) for name in names}

    def _dated(self, name: str) -> str:
        others = self._by_base[name] - {name} if name in self._by_base else set()
        return others.pop() if len(others) == 1 else name

    def of(self, *names: str | None) -> str | None:
        """The export's name for a model that goes by any of these, the first of them first; None: it has none.

        As it is, and then without its date, where that leaves one.
        """
        given = [_normal(name) for name in names if name]
        for name in given:
            if name in self._known:
                return self._known[name]
        for name in given:
            base = _DATED.sub("", name)
            if name == base:
                found = {self._known[one] for one in self._by_base.get(base, ())}
                if len(found) == 1:
                    return found.pop()
            elif base in self._known:  # another date is another model
                return self._known[base]
        return None


def _normal(name: str) -> str:
    """Without the path in front of it; a name for people as the one that it stands for."""
    name = name.strip().lower().rpartition("/")[2].removesuffix("-latest")
    return re.sub(r"[ .]+", "-", name) if " " in name else name


class _Cell:
    """One model on one day."""

    __slots__ = ("cost_is_least", "estimated", "exported", "logged", "rounded_off")

    def __init__(self) -> None:
        self.exported: dict[str, Decimal] = {}
        self.logged: defaultdict[str, Decimal] = defaultdict(Decimal)
        self.estimated: defaultdict[str, Decimal] = defaultdict(Decimal)
        self.cost_is_least = False
        self.rounded_off = Decimal(0)


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of one model on one day. None: not told."""

    figure: str
    logged: Decimal | None
    """In the logs, with the estimates."""
    estimated: Decimal
    """The part of it that is estimates."""
    exported: Decimal | None
    is_least: bool
    """Whether the logs know only that it is at least this."""
    less: Decimal
    """By how much less the provider may have."""
    more: Decimal
    """By how much more."""

    @property
    def apart(self) -> Decimal | None:
        """How much more the provider has than the logs; None where one of them does not tell."""
        return None if self.logged is None or self.exported is None else self.exported - self.logged

    @property
    def is_same(self) -> bool:
        """Whether the two agree, as far as both tell."""
        apart = self.apart
        return apart is None or -self.less <= apart <= self.more or (self.is_least and apart > 0)


class Account:
    """Both sides, as they come in. `tolerance`: the part of an export's figure that a difference may be."""

    def __init__(self, rows: Iterable[Row], tolerance: Decimal) -> None:
        rows = list(rows)
        self.names = Names(row.model for row in rows if row.model)
        self._tolerance = tolerance
        self._cells: defaultdict[Key, _Cell] = defaultdict(_Cell)
        for row in rows:
            cell = self._cells[row.day, self.names.of(row.model) or ""]
            for figure, value in row.figures.items():
                cell.exported[figure] = cell.exported.get(figure, Decimal(0)) + value
            if (cost := row.figures.get("cost_usd")) is not None:
                cell.rounded_off += min(_HALF_A_CENT, Decimal((0, (5,), int(cost.as_tuple().exponent) - 1)))

    def log(
        self, day: date, names: Sequence[str], figures: Mapping[str, Decimal], *, is_estimated: bool, is_least: bool
    ) -> None:
        """A call of a model of these names. `is_least`: what it cost is not known, or not as a whole."""
        cell = self._cells[day, self.names.of(*names) or _normal(names[0])]
        for side in (cell.logged, cell.estimated) if is_estimated else (cell.logged,):
            for figure, value in figures.items():
                side[figure] += value
        cell.cost_is_least |= is_least

    def compared(self) -> Iterator[tuple[Key, Verdict, list[Difference]]]:
        """Each model on each day, in order."""
        for key, cell in sorted(self._cells.items()):
            if any(cell.exported.values()) or any(cell.logged.values()):
                figures = [self._compared(cell, figure) for figure in FIGURES]
                yield key, self._verdict(cell, figures), figures

    def _verdict(self, cell: _Cell, figures: Iterable[Difference]) -> Verdict:
        if not cell.logged:
            return "missing"
        if not any(cell.exported.values()):
            return "extra"
        return "same" if all(figure.is_same for figure in figures) else "different"

    def _compared(self, cell: _Cell, figure: str) -> Difference:
        exported, estimated = cell.exported.get(figure), cell.estimated.get(figure, Decimal(0))
        is_cost = figure == "cost_usd"
        apart = self._tolerance * abs(exported or Decimal(0)) + (cell.rounded_off if is_cost else 0)
        return Difference(
            figure,
            cell.logged.get(figure),
            estimated,
            exported,
            is_least=is_cost and cell.cost_is_least,
            less=apart + estimated,
            more=apart if figure == "requests" else apart + estimated * ESTIMATES_ERR,
        )


_HALF_A_CENT = Decimal("0.005")
"""The most that is taken for rounding, of each cost in an export: `0.5` may be half a dollar to the cent."""
