"""docs/scale.md: its sizes are those that are measured, and its figures follow from them."""

from __future__ import annotations

import math
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/scale.md").read_text()
ROWS = {
    cells[0].strip(): [cell.strip() for cell in cells[1:]]
    for line in TEXT.splitlines()
    if line.startswith("| ") and not line.startswith("| ---")
    for cells in [line.strip("|").split("|")]
}
RATES = (10, 1_000, 100_000)
LINE, GZIP, COUNTED, _, WIRE, _, _ = map(float, ROWS["a call"])


def number(cell: str) -> float:
    """The number that a cell begins with."""
    found = re.match(r"[\d,.]+", cell)
    assert found
    scale = {"million": 1e6, "billion": 1e9}.get(cell.split()[-1], 1)
    return float(found[0].replace(",", "")) * scale


LOKI, OPENSEARCH = ([number(cell) for cell in ROWS[name]] for name in ("Loki", "OpenSearch"))
DAY = 86_400
FIGURES = {
    "calls a day": lambda rate: rate * DAY,
    "lines a day": lambda rate: rate * DAY * LINE / 1e9,
    "the same, gzip": lambda rate: rate * DAY * GZIP / 1e9,
    "to Loki, on the wire": lambda rate: rate * WIRE / 1e3,
    "what Loki's limits count": lambda rate: rate * COUNTED / 2**20,
    "stored by Loki in 30 days": lambda rate: rate * 30 * DAY * LOKI[0] / 1e9,
    "stored by OpenSearch in 30 days, one copy": lambda rate: rate * 30 * DAY * OPENSEARCH[0] / 1e9,
    "primary shards of 50 GB in 30 days": lambda rate: rate * 30 * DAY * OPENSEARCH[0] / 50e9,
    "cores of Loki to take them, one copy": lambda rate: rate * LOKI[1] / 1e6,
    "cores of OpenSearch to take them, one copy": lambda rate: rate * OPENSEARCH[1] / 1e6,
    "core-seconds of Loki for one panel over 6 hours": lambda rate: rate * 6 * 3600 * LOKI[2] / 1e6,
    "core-seconds of OpenSearch for the same": lambda rate: rate * 6 * 3600 * OPENSEARCH[2] / 1e6,
    "how long a spool of 1 GiB lasts, all of it in one process": lambda rate: 2**30 / (rate * LINE),
}
SECONDS = {"h": 3600, "min": 60, "s": 1}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_follow_from_the_sizes(name: str) -> None:
    """Each figure of the three rates, to the digits that it has."""
    for rate, cell in zip(RATES, ROWS[name], strict=True):
        told, figure = number(cell), FIGURES[name](rate)
        if name.startswith("how long"):
            figure /= SECONDS[cell.split()[1]]
        decimals = len(cell.split()[0].partition(".")[2])
        assert math.isclose(told, figure, abs_tol=0.51 * 10**-decimals, rel_tol=0.002), (rate, cell, figure)


def test_every_row_is_held_here() -> None:
    """A figure that nobody computes is not in the table."""
    told = [name for name, cells in ROWS.items() if len(cells) == len(RATES) and name not in ("Loki", "OpenSearch")]
    assert set(told) - {"", "OpenSearch, best_compression"} == set(FIGURES)


def test_sizes_are_those_measured() -> None:
    """The sizes of lines, and of what the handlers send, within a tenth: of fewer records."""
    module = runpy.run_path(str(ROOT / "benchmarks/bench_sizes.py"))
    for kind, lines in module["kinds"](500).items():
        for column, size, told in zip(module["COLUMNS"], module["sizes"](lines), ROWS[kind], strict=True):
            assert math.isclose(size, float(told), rel_tol=0.1), (kind, column, size, told)
