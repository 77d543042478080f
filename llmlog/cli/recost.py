"""`llmlog recost`: the costs of calls in logs that are written already, worked out anew from the usage they bear."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from math import isfinite
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from llmlog import config, costs
from llmlog.cli import calls
from llmlog.cli.files import Replacement, Source
from llmlog.cli.runs import Run, ended_by_signals
from llmlog.cli.terminal import amount, show, tell, visible
from llmlog.exceptions import LLMLogError, UsageValueError, shown
from llmlog.price_tables import PriceTable, load
from llmlog.rates import Price

__all__ = ["command"]


def command(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE", help="JSON Lines of the flat schema; - is standard input.", show_default=False),
    ],
    table: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Your price table, TOML or JSON, over that of genai-prices."),
    ] = None,
    in_place: Annotated[bool, typer.Option("--in-place", "-i", help="Rewrite the files.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Change nothing: say what the calls would cost.")] = False,
    deployments: Annotated[
        list[str] | None,
        typer.Option("--deployment", metavar="NAME=MODEL", help="The model behind a deployment (repeatable)."),
    ] = None,
) -> None:
    """Work the costs of calls out anew, from the usage in their records: to standard output, or in their place.

    Each call is priced as of its own time, in the service tier that served it. A call without usage, or whose model
    has no price, keeps the cost it has, and the table on standard error counts it. Of a record nothing changes but
    cost_usd, cost_source, cost_partial and the cost in its message; any other line stays as it is, byte for byte. Files
    in which no cost changes are not written. Rewrite only what no program has open for writing.

    Exit code 0: done, or no cost would change; 1: --check has found costs that would; 2: wrong use, and nothing was
    done, or something could not be read or written: the other files are done all the same.
    """
    try:
        if check and in_place:
            raise UsageValueError("--check changes nothing, and --in-place does: take one of them")
        if in_place and "-" in files:
            raise UsageValueError("standard input (-) cannot be rewritten in its place")
        if deployments:
            config.configure(deployments=dict(map(_deployment, deployments)))
        run = _Run(files, None if table is None else load(table))
    except LLMLogError as error:
        tell(str(error))
        raise typer.Exit(2) from None
    try:
        with ended_by_signals():
            if check or in_place:
                run.all(run.check if check else run.rewrite)
            else:
                run.all(run.print, prints=True)
    except KeyboardInterrupt:
        raise typer.Exit(128 + signal.SIGINT) from None
    run.totals.tell()
    if run.failed:
        raise typer.Exit(2)
    if check and run.totals.changed:
        raise typer.Exit(1)


def _deployment(given: str) -> tuple[str, str]:
    name, sign, model = given.partition("=")
    if not (name and sign and model):
        raise UsageValueError(f"--deployment is NAME=MODEL, got {shown(given)}")
    return name, model


class _Run(Run):
    """What the command does to each file, and what it has found so far."""

    def __init__(self, files: list[str], table: PriceTable | None) -> None:
        super().__init__(files)
        self._table = table
        self.totals = _Totals()

    def check(self, name: str, source: Source) -> None:
        """Price the calls, and write nothing."""
        for line in calls.lines(source.lines):
            self._priced(line, self.totals)

    def rewrite(self, name: str, source: Source) -> None:
        """Put a file with the new costs in the place of this one, where any is new."""
        found = _Totals()
        is_new = False
        with Replacement(name, source) as new:
            for line in calls.lines(source.lines):
                data = self._priced(line, found)
                is_new = is_new or data is not line.data
                new.write(data)
            if is_new:
                source.close()
                new.take_place()
                if source.status is not None and source.status.st_nlink > 1:
                    tell(f"{visible(name)}: it has other names (hard links); they keep what was in it")
        self.totals.add(found)

    def print(self, name: str, source: Source) -> None:
        """Write the lines to standard output."""
        for line in calls.lines(source.lines):
            self.write(self._priced(line, self.totals))

    def _priced(self, line: calls.Line, totals: _Totals) -> bytes:
        """The line with its new cost; the same object where that is the old one, or there is none."""
        totals.foreign += line.is_foreign
        record = line.record
        if record is None:
            return line.data
        found = costs.of_record(record, table=self._table)
        if found is None or not isfinite(cost := float(found.amount)):  # a count of another program's, beyond all sense
            totals.keeps(record, _why_not(record))
            return line.data
        is_new = (record.get("cost_usd"), bool(record.get("cost_partial"))) != (cost, found.partial)
        totals.has(record, found, is_new=is_new)
        if not is_new:
            return line.data
        fields: dict[str, Any] = {"cost_usd": cost, "cost_source": found.source, "cost_partial": found.partial or None}
        message = record.get("message")
        if isinstance(message, str):
            said = f", {'at least ' if found.partial else ''}${cost:.6f}"
            fields["message"] = _COST.sub(lambda _: said, message)
        return calls.with_fields(line.data, fields)


_COST = re.compile(r"(?<= tokens)(?:, (?:at least )?\$\d+\.\d+)?$")
"""In the message of a call: where its cost stands, or would."""


def _why_not(record: Mapping[str, Any]) -> str:
    if not any(isinstance(record.get(name), int) for name in ("input_tokens", "output_tokens")):
        return "no usage"
    try:
        datetime.fromisoformat(str(record.get("timestamp")))
    except ValueError:
        return "no time"
    return "no price"


# Telling ------------------------------------------------------------------------------------------


class _Sum:
    """What calls cost together, as far as it is known."""

    __slots__ = ("is_least", "total")

    def __init__(self) -> None:
        self.total: Decimal | None = None
        self.is_least = False

    def add(self, cost: Decimal | None, is_partial: bool = False) -> None:
        if cost is not None:
            self.total = (self.total or Decimal(0)) + cost
        self.is_least = self.is_least or is_partial or cost is None

    def __str__(self) -> str:
        return "unknown" if self.total is None else f"{'at least ' if self.is_least else ''}${self.total:,.6f}"


class _Model:
    """The calls of one model: how many, and what they cost together."""

    __slots__ = ("after", "before", "calls", "changed", "kept")

    def __init__(self) -> None:
        self.calls = self.changed = 0
        self.before, self.after = _Sum(), _Sum()
        self.kept: dict[str, int] = {}

    def add(self, other: _Model) -> None:
        self.calls += other.calls
        self.changed += other.changed
        self.before.add(other.before.total, other.before.is_least)
        self.after.add(other.after.total, other.after.is_least)
        for why, number in other.kept.items():
            self.kept[why] = self.kept.get(why, 0) + number

    def row(self) -> tuple[str, ...]:
        kept = ", ".join(f"{number:,} {why}" for why, number in self.kept.items())
        return f"{self.calls:,}", f"{self.changed:,}", str(self.before), str(self.after), kept


class _Totals:
    """What was found, by model. `foreign`: lines of calls in another schema."""

    def __init__(self) -> None:
        self.models: dict[str, _Model] = {}
        self.foreign = 0

    @property
    def changed(self) -> int:
        """How many calls have a new cost."""
        return sum(model.changed for model in self.models.values())

    def has(self, record: Mapping[str, Any], found: Price, *, is_new: bool) -> None:
        """A call that has this cost now."""
        model = self._model(record)
        model.before.add(_money(record.get("cost_usd")), bool(record.get("cost_partial")))
        model.after.add(found.amount, found.partial)
        model.changed += is_new

    def keeps(self, record: Mapping[str, Any], why: str) -> None:
        """A call that keeps the cost it has, if it has one."""
        model = self._model(record)
        for cost in (model.before, model.after):
            cost.add(_money(record.get("cost_usd")), bool(record.get("cost_partial")))
        model.kept[why] = model.kept.get(why, 0) + 1

    def _model(self, record: Mapping[str, Any]) -> _Model:
        name = str(record.get("response_model") or record.get("model") or "unknown model")
        model = self.models.setdefault(name, _Model())
        model.calls += 1
        return model

    def add(self, other: _Totals) -> None:
        """Take over what was found in a file that is done."""
        self.foreign += other.foreign
        for name, model in other.models.items():
            self.models.setdefault(name, _Model()).add(model)

    def tell(self) -> None:
        """The table, for people."""
        if self.foreign:
            does = "is a call" if self.foreign == 1 else "are calls"
            tell(f"{amount(self.foreign, 'line')} {does} in another schema than the flat one, and not priced")
        if not self.models:
            tell("no call was found")
            return
        together = _Model()
        for model in self.models.values():
            together.add(model)
        table = Table(box=box.SIMPLE_HEAD, show_footer=len(self.models) > 1)
        table.add_column("model", footer=Text("all"))
        for name, total in zip(("calls", "new cost", "before", "after", "kept"), together.row(), strict=True):
            table.add_column(name, footer=total, justify="right", no_wrap=name != "kept")
        for name, model in sorted(self.models.items()):
            table.add_row(Text(visible(name), overflow="fold"), *model.row())
        show(table)


def _money(cost: Any) -> Decimal | None:
    """A cost as it is written in the record."""
    is_number = isinstance(cost, (int, float)) and not isinstance(cost, bool)
    return Decimal(repr(cost)) if is_number and isfinite(cost) else None
