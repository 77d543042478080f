"""`llmlog reconcile`: the calls in logs beside the provider's own account of what was used."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from llmlog import costs, usage_exports
from llmlog.cli import calls
from llmlog.cli.files import UNREADABLE, Source
from llmlog.cli.runs import Run, ended_by_signals
from llmlog.cli.terminal import amount, show, tell, visible
from llmlog.exceptions import LLMLogError, UsageValueError, shown
from llmlog.price_tables import provider_id
from llmlog.reconciliation import Account, Difference, Verdict
from llmlog.usage_exports import Export

__all__ = ["command"]


def command(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE", help="Logs, JSON Lines of the flat schema; - is standard input."),
    ],
    usage: Annotated[
        list[str],
        typer.Option(metavar="FILE", help="The provider's export of usage or costs, CSV or JSON (repeatable)."),
    ],
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="OURS=THEIRS",
            help="Which column of an export is the date, model, requests, input_tokens, output_tokens, cost_usd "
            "(repeatable; several of a figure add up).",
        ),
    ] = None,
    provider: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Compare the calls of this provider; of a known export, its own."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="The first day, where not the exports' first.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="DATE", help="The day after the last, where not the exports' last.")
    ] = None,
    tolerance: Annotated[
        str, typer.Option(metavar="PERCENT", help="By how much of the export's figure the two may differ.")
    ] = "0",
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON Lines: one object for each day and model, whatever was found.")
    ] = False,
) -> None:
    """Compare logs with what a provider says was used, for each day (UTC) and model: on standard output.

    Missing is what the provider has and the logs have not, extra the other way round; different are requests, input
    tokens, output tokens or costs, as far as the export has them. A record that is there twice counts once. Calls whose
    counts are estimates, such as aborted ones, are shown apart too, and may be wrong by a quarter.

    Exit code 0: nothing differs; 1: something does; 2: wrong use, or something could not be read.
    """
    try:
        allowed = _percent(tolerance)
        named = _columns(columns or ())
        first, end = _day(since, "--from"), _day(until, "--until")
        exports = [_export(name, named) for name in usage]
        run = _Run(files, exports, provider, first, end, allowed)
    except LLMLogError as error:
        tell(str(error))
        raise typer.Exit(2) from None
    try:
        with ended_by_signals():
            run.all(run.read)
    except KeyboardInterrupt:
        raise typer.Exit(128 + signal.SIGINT) from None
    if run.failed:
        raise typer.Exit(2)
    differs = run.report(as_json=as_json)
    raise typer.Exit(1 if differs else 0)


# Options ---------------------------------------------------------------------------------------------


def _percent(given: str) -> Decimal:
    try:
        percent = Decimal(given.strip().removesuffix("%"))
    except InvalidOperation:
        percent = Decimal(-1)
    if not (percent.is_finite() and 0 <= percent <= 100):
        raise UsageValueError(f"--tolerance is a percentage from 0 to 100, got {shown(given)}")
    return percent / 100


def _columns(given: Sequence[str]) -> dict[str, list[str]]:
    columns: dict[str, list[str]] = {}
    for each in given:
        ours, sign, theirs = each.partition("=")
        if not (ours and sign and theirs):
            raise UsageValueError(f"--column is OURS=THEIRS, such as input_tokens=prompt_tokens, got {shown(each)}")
        columns.setdefault(ours.strip(), []).append(theirs.strip())
    return columns


def _day(given: str | None, option: str) -> date | None:
    try:
        return None if given is None else date.fromisoformat(given)
    except ValueError:
        raise UsageValueError(f"{option} is a date such as 2026-01-31, got {shown(given)}") from None


def _export(name: str, columns: dict[str, list[str]]) -> Export:
    try:
        with Source(name, lambda done: None) as source:
            return usage_exports.read(source.lines, name, columns)
    except UNREADABLE as error:
        raise UsageValueError(f"{visible(name)}: {getattr(error, 'strerror', None) or error}") from None


# The logs --------------------------------------------------------------------------------------------


class _Run(Run):
    """Reads the logs into the account."""

    def __init__(
        self,
        files: list[str],
        exports: Sequence[Export],
        provider: str | None,
        since: date | None,
        until: date | None,
        tolerance: Decimal,
    ) -> None:
        super().__init__(files)
        days = sorted({day for export in exports for day in export.days})
        if not days and (since is None or until is None):
            raise UsageValueError("the exports have no day: say which ones to compare (--from, --until)")
        if since is not None and until is not None and since >= until:
            raise UsageValueError(f"--until is after --from, got {until} and {since}")
        self._since, self._until = since, until
        self._first, self._last = (days[0], days[-1]) if days else (date.min, date.max)
        providers = {export.provider for export in exports} if provider is None else {provider_id(provider)}
        self._providers = providers if None not in providers else None
        self._account = Account(
            (row for export in exports for row in export.rows if self._is_in_time(row.day)), tolerance
        )
        self._seen: set[int] = set()
        self._left_out: Counter[str] = Counter()
        self._estimated = 0

    def _is_in_time(self, day: date) -> bool:
        is_before = day < self._since if self._since else day < self._first
        return not is_before and (day < self._until if self._until else day <= self._last)

    def read(self, name: str, source: Source) -> None:
        """Count the calls of one file."""
        for line in calls.lines(source.lines):
            if line.record is not None:
                if why := self._count(line.record):
                    self._left_out[why] += 1
            elif line.is_foreign:
                self._left_out["in another schema than the flat one"] += 1

    def _count(self, record: dict[str, Any]) -> str | None:
        """Count a call; or why it is left out."""
        if (key := record.get("record_id")) is not None:
            digest = hash(str(key))
            if digest in self._seen:
                return "there twice"
            self._seen.add(digest)
        try:
            at = datetime.fromisoformat(str(record.get("timestamp")))
            day = (at.astimezone(UTC) if at.tzinfo else at).date()
        except (ValueError, OverflowError):
            return "without a time"
        if not self._is_in_time(day):
            return "of another day"
        names = [name for each in ("response_model", "model") if isinstance(name := record.get(each), str) and name]
        if not names:
            return "without a model"
        if self._providers is not None:
            by = record.get("provider")
            is_its = provider_id(by) in self._providers if isinstance(by, str) else self._account.names.of(*names)
            if not is_its:
                return "of another provider"
        source = str(record.get("cost_source"))
        if source.startswith(costs.FREE):
            return "refused by the provider"
        if source.startswith(costs.CACHED):
            return "that a cache answered"
        if source.startswith(costs.UNSENT):
            return "of a provider that was not reached"
        is_estimated = record.get("usage_source") != "provider"
        figures = {"requests": Decimal(1)}
        for figure in usage_exports.FIGURES[1:]:
            if (value := _number(record.get(figure))) is not None:
                figures[figure] = value
        is_least = "cost_usd" not in figures or bool(record.get("cost_partial"))
        self._account.log(day, names, figures, is_estimated=is_estimated, is_least=is_least)
        self._estimated += is_estimated
        return None

    def report(self, *, as_json: bool) -> bool:
        """What was found, on standard output; True where anything differs."""
        verdicts: Counter[Verdict] = Counter()
        table = Table("day", "model", "", "figure", box=box.SIMPLE_HEAD)
        for name in ("logs", "of it estimated", "provider", "difference"):
            table.add_column(name, justify="right", no_wrap=True)
        for (day, model), verdict, figures in self._account.compared():
            verdicts[verdict] += 1
            told = [one for one in figures if one.logged is not None or one.exported is not None]
            if as_json:
                self.write(_json(day, model, verdict, told))
            elif verdict != "same":
                for one in told if verdict != "different" else [each for each in told if not each.is_same]:
                    table.add_row(str(day), Text(visible(model) or "(none told)"), verdict, *_row(one))
        self.flush()
        if not as_json and table.row_count:
            show(table, stderr=False)
        self._sum_up(verdicts)
        return verdicts.total() > verdicts["same"]

    def _sum_up(self, verdicts: Counter[Verdict]) -> None:
        found = ", ".join(f"{verdicts[one]:,} {one}" for one in ("same", "different", "missing", "extra"))
        tell(f"days and models: {found}")
        if self._estimated:
            tell(f"the counts of {amount(self._estimated, 'call')} are estimates")
        for why, number in sorted(self._left_out.items()):
            tell(f"left out: {amount(number, 'call')} {why}")


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        return None
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


# Telling ------------------------------------------------------------------------------------------


def _row(one: Difference) -> tuple[str, ...]:
    apart = one.apart
    least = "at least " if one.is_least else ""
    logged = "" if one.logged is None else least + _said(one.logged, one.figure)
    difference = "" if apart is None else ("+" if apart > 0 else "") + _said(apart, one.figure)
    estimated = _said(one.estimated, one.figure) if one.estimated else ""
    return one.figure, logged, estimated, "" if one.exported is None else _said(one.exported, one.figure), difference


def _said(value: Decimal, figure: str) -> str:
    return f"{value:,.6f}" if figure == "cost_usd" else f"{value:,.0f}"


def _json(day: date, model: str, verdict: Verdict, figures: Iterable[Difference]) -> bytes:
    made: dict[str, Any] = {"day": str(day), "model": model or None, "verdict": verdict}
    for one in figures:
        sides = {"logs": one.logged, "estimated": one.estimated or None, "provider": one.exported}
        made[one.figure] = {name: _plain(value) for name, value in sides.items() if value is not None}
        if one.is_least:
            made[one.figure]["at_least"] = True
        if one.apart is not None:
            made[one.figure].update(difference=_plain(one.apart), same=one.is_same)
    return json.dumps(made).encode() + b"\n"


def _plain(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)
