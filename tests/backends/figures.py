"""What the panels of the example dashboards have to show of some records, said in Python."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

from backends.corpus import Line

FAILED = {"error", "incomplete", "lost"}
LEFT = {"aborted", "cancelled"}

Lines = Sequence[Line]
Series = dict[tuple[str, ...], float]
"""Figures by the values of the fields that they are grouped by, in the order of the fields' names."""


def by(*fields: str, value: Callable[[Lines], float | None]) -> Callable[[Lines], Series]:
    """A figure for each group of records."""

    def figure(lines: Lines) -> Series:
        groups = defaultdict(list)
        for line in lines:
            groups[tuple(str(line.fields.get(field, "")) for field in sorted(fields))].append(line)
        found = {group: value(members) for group, members in groups.items()}
        return {group: number for group, number in found.items() if number is not None}

    return figure


def number(lines: Lines) -> float:
    """How many."""
    return float(len(lines))


def known(lines: Lines, field: str) -> list[float]:
    """The values of a figure, from the least."""
    return sorted(line.fields[field] for line in lines if field in line.fields)


def total(field: str) -> Callable[[Lines], float | None]:
    """The sum of those that are known."""
    return lambda lines: math.fsum(values) if (values := known(lines, field)) else None


def quantile(q: float, field: str) -> Callable[[Lines], float | None]:
    """Between the two nearest ranks, in proportion."""

    def figure(lines: Lines) -> float | None:
        if not (values := known(lines, field)):
            return None
        rank = q * (len(values) - 1)
        low = values[int(rank)]
        high = values[min(int(rank) + 1, len(values) - 1)]
        return low + (high - low) * (rank - int(rank))

    return figure


def share(outcomes: set[str]) -> Callable[[Lines], float]:
    """The share of those that ended so."""
    return lambda lines: sum(line.fields["outcome"] in outcomes for line in lines) / len(lines)


def top(count: int, figure: Callable[[Lines], Series]) -> Callable[[Lines], Series]:
    """The greatest only."""
    return lambda lines: dict(sorted(figure(lines).items(), key=lambda item: -item[1])[:count])


def only(outcomes: set[str], figure: Callable[[Lines], Series]) -> Callable[[Lines], Series]:
    """Of those that ended so."""
    return lambda lines: figure([line for line in lines if line.fields["outcome"] in outcomes])


def alike(got: Series, wanted: Series) -> bool:
    """Whether they are the same figures, but for the order of additions."""
    return got.keys() == wanted.keys() and all(
        math.isclose(got[key], wanted[key], rel_tol=1e-9, abs_tol=1e-9) for key in wanted
    )
