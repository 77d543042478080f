"""What a provider says was used: its exports of usage and of costs, as one row for each day and model.

Known by their columns are the CSV files of OpenAI's and Anthropic's consoles, and the JSON of their usage and cost
APIs (a page, or a list of pages). Any other CSV file with a header is read where it is said which column is what.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple, NoReturn

from llmlog.exceptions import UsageTypeError, UsageValueError, shown

__all__ = ["FIGURES", "Export", "Row", "read"]

FIGURES = ("requests", "input_tokens", "output_tokens", "cost_usd")
"""What is compared, by our names; `input_tokens` with the cached ones, as everywhere."""


class Row(NamedTuple):
    """What was used of one model on one day (UTC), or in a part of it. What the export does not say is not there."""

    day: date
    model: str
    """Its name in the export; empty where the export does not tell."""
    figures: Mapping[str, Decimal]


class Export(NamedTuple):
    """One export. `provider`: whose, by its id in price tables; None: any's."""

    provider: str | None
    days: frozenset[date]
    """All that it has, those without usage included."""
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which columns are what. `marks`: those that tell it; of `date` and `model` the first that is there counts."""

    provider: str | None
    marks: frozenset[str]
    date: tuple[str, ...]
    model: tuple[str, ...]
    figures: Mapping[str, tuple[str, ...]]
    """By figure, the columns that add up to it."""
    currency: str = ""
    cents: bool = False
    """Whether costs are in hundredths of a dollar."""
    ends: str = ""
    """What a model's name ends at, where more follows it in its column."""
    decimal_comma: bool = False
    """Whether a comma is what others write as a point: in files whose values are apart by semicolons."""


_OPENAI = _Layout(
    "openai",
    frozenset({"start_time", "num_model_requests"}),
    date=("start_time", "start_time_iso"),
    model=("model",),
    figures={
        "requests": ("num_model_requests",),
        "input_tokens": ("input_tokens",),
        "output_tokens": ("output_tokens",),
    },
)
_LAYOUTS = (
    replace(
        _OPENAI,
        marks=frozenset({"start_time", "amount_value"}),
        model=("line_item",),
        figures={"cost_usd": ("amount_value",)},
        currency="amount_currency",
        ends=", ",  # the line item goes on with the kind of tokens
    ),
    _OPENAI,
    replace(_OPENAI, marks=frozenset({"start_time", "start_time_iso"})),  # a time in which nothing was used
    _Layout(
        "anthropic",
        frozenset({"usage_date_utc", "usage_output_tokens"}),
        date=("usage_date_utc",),
        model=("model_version", "model"),
        figures={
            "input_tokens": (
                "usage_input_tokens_no_cache",
                "usage_input_tokens_cache_write",
                "usage_input_tokens_cache_write_5m",
                "usage_input_tokens_cache_write_1h",
                "usage_input_tokens_cache_read",
            ),
            "output_tokens": ("usage_output_tokens",),
        },
    ),
    _Layout(
        "anthropic",
        frozenset({"usage_date_utc", "cost_usd"}),
        date=("usage_date_utc",),
        model=("model",),
        figures={"cost_usd": ("cost_usd",)},
    ),
    _Layout(
        "anthropic",
        frozenset({"starting_at", "uncached_input_tokens"}),
        date=("starting_at",),
        model=("model",),
        figures={
            "input_tokens": (
                "uncached_input_tokens",
                "cache_creation_ephemeral_5m_input_tokens",
                "cache_creation_ephemeral_1h_input_tokens",
                "cache_read_input_tokens",
            ),
            "output_tokens": ("output_tokens",),
        },
    ),
    _Layout(
        "anthropic",
        frozenset({"starting_at", "amount", "currency"}),
        date=("starting_at",),
        model=("model",),
        figures={"cost_usd": ("amount",)},
        currency="currency",
        cents=True,
    ),
)
_ANY = _Layout(None, frozenset(), ("date", "day"), ("model",), {name: (name,) for name in FIGURES})
Names = Mapping[str, None]
"""The columns, in their order."""
_STARTS = ("start_time", "starting_at")
"""Where the API's buckets say when they begin."""


def read(source: io.BufferedIOBase, name: str, columns: Mapping[str, Sequence[str]] | None = None) -> Export:
    """The export in `source`, which errors call `name`.

    `columns`: `date`, `model` and figures -> the export's own names of them, where it is none that is known; several
    columns of a figure add up. UsageValueError for what is no such export, with the row and the value.
    """
    for what in columns or ():
        if what not in ("date", "model", *FIGURES):
            raise UsageValueError(f"a column is one of date, model, {', '.join(FIGURES)}, got {shown(what)}")
    try:
        text = source.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageValueError(f"{name} is no UTF-8: {error}") from None
    is_json = text.lstrip()[:1] in ("{", "[")
    text = text.lstrip("\r\n")
    delimiter = "" if is_json else max(",;\t", key=text.partition("\n")[0].count)
    names, rows = _of_json(text, name) if is_json else _of_csv(text, delimiter, name)
    layout = replace(_layout(names), decimal_comma=delimiter == ";")
    if columns:
        layout = replace(
            layout,
            date=tuple(columns.get("date", layout.date)),
            model=tuple(columns.get("model", layout.model)),
            figures={**layout.figures, **{each: tuple(columns[each]) for each in FIGURES if each in columns}},
        )
        missing = [each for wanted in columns.values() for each in wanted if rows and each not in names]
        if missing:
            raise UsageValueError(f"{name} has no column {shown(missing[0])}; it has {', '.join(names)}")
    if rows and layout.provider is None:
        for what, wanted in (("date", layout.date), ("model", layout.model)):
            if not names.keys() & {*wanted}:
                raise UsageValueError(
                    f"{name} is no export that is known: say which of its columns is the {what} ({', '.join(names)})"
                )
        if not names.keys() & {each for several in layout.figures.values() for each in several}:
            raise UsageValueError(
                f"{name} has none of {', '.join(FIGURES)}: say which of its columns are ({', '.join(names)})"
            )
    days: set[date] = set()
    found: list[Row] = []
    for number, row in rows:
        made = _Reading(f"{name}, row {number}", row, layout).row()
        days.add(made.day)
        if made.figures:
            found.append(made)
    return Export(layout.provider, frozenset(days), found)


def _layout(names: Names) -> _Layout:
    known = next((one for one in _LAYOUTS if one.marks <= names.keys()), None)
    if known is None and len(names) == 1:  # an API's buckets, in all of which nothing was used
        known = next((one for one in _LAYOUTS if names.keys() & {*_STARTS} & {*one.date}), None)
    return known or _ANY


def _of_csv(text: str, delimiter: str, name: str) -> tuple[Names, list[tuple[int, Mapping[str, Any]]]]:
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        names = [each.strip() for each in next(reader, [])]
        if not any(names):
            raise UsageValueError(f"{name} is empty: an export has a header at least")
        if len({*names}) < len(names):
            twice = next(each for each in names if names.count(each) > 1)
            raise UsageValueError(f"{name} has two columns of one name, {shown(twice)}")
        rows: list[tuple[int, Mapping[str, Any]]] = []
        for values in reader:
            if not any(values):
                continue
            if len(values) > len(names):
                raise UsageValueError(f"{name}, row {len(rows) + 1}: it has more values than the header has names")
            rows.append((len(rows) + 1, dict(zip(names, values, strict=False))))
    except csv.Error as error:
        raise UsageValueError(f"{name} is no CSV: {error}") from None
    return dict.fromkeys(names), rows


def _of_json(text: str, name: str) -> tuple[Names, list[tuple[int, Mapping[str, Any]]]]:
    try:
        pages = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise UsageValueError(f"{name} is no JSON: {error}") from None
    rows: list[Mapping[str, Any]] = []
    for page in pages if isinstance(pages, list) else [pages]:
        buckets = page.get("data", [page]) if isinstance(page, dict) else None
        if not isinstance(buckets, list):
            raise UsageTypeError(f"{name}: a page of usage is an object with a list `data`, got {shown(page)}")
        for bucket in buckets:
            results = bucket.get("results") if isinstance(bucket, dict) else None
            if not isinstance(results, list) or not all(isinstance(one, dict) for one in results):
                raise UsageTypeError(
                    f"{name}: a bucket of usage is an object with a list `results`, got {shown(bucket)}"
                )
            start = {key: bucket[key] for key in _STARTS if key in bucket}
            rows += [{**start, **_flat(one)} for one in results] or [start]
    return dict.fromkeys(column for row in rows for column in row), list(enumerate(rows, 1))


def _flat(result: Mapping[str, Any]) -> dict[str, Any]:
    """With what stands in objects beside the rest, named as OpenAI's files name it."""
    flat: dict[str, Any] = {}
    for key, value in result.items():
        if isinstance(value, dict):
            flat.update({f"{key}_{inner}": each for inner, each in value.items()})
        else:
            flat[key] = value
    return flat


_NUMBER = re.compile(r"-?(?:\d+|\d{1,3}(?:,\d{3})+)?(?:\.\d*)?(?:[eE][+-]?\d+)?")
_WITH_DECIMAL_COMMA = re.compile(r"-?(?:\d+|\d{1,3}(?:\.\d{3})+),\d+")
_IN_THOUSANDS = re.compile(r"-?\d{1,3}(?:\.\d{3})+")
"""A count in these may be by a thousand more than it looks like."""


class _Reading:
    """Reads one row of an export."""

    def __init__(self, where: str, row: Mapping[str, Any], layout: _Layout) -> None:
        self.where = where
        self.given = row
        self.layout = layout

    def wrong(self, column: str, what: str) -> NoReturn:
        raise UsageValueError(f"{self.where}: {column} {what}, got {shown(self.given[column])}")

    def row(self) -> Row:
        layout = self.layout
        figures: dict[str, Decimal] = {}
        for figure, columns in layout.figures.items():
            is_count = figure != "cost_usd"
            counts = [count for column in columns if (count := self.number(column, is_count=is_count)) is not None]
            if counts:
                figures[figure] = sum(counts, Decimal(0))
        if "cost_usd" in figures:
            if layout.cents:
                figures["cost_usd"] = figures["cost_usd"].scaleb(-2)
            currency = self.given.get(layout.currency)
            if currency and str(currency).lower() != "usd":
                self.wrong(layout.currency, "is not USD")
        return Row(self.day(), self.model(), figures)

    def day(self) -> date:
        column = next((each for each in self.layout.date if self.given.get(each)), None)
        if column is None:
            raise UsageValueError(f"{self.where}: it has no {' or '.join(self.layout.date)}")
        given = self.given[column]
        text = str(given).strip()
        try:
            if re.fullmatch(r"\d{9,11}(\.\d+)?", text):  # Unix seconds; 13 digits are milliseconds
                return datetime.fromtimestamp(float(text), UTC).date()
            if re.fullmatch(r"\d{13}", text):
                return datetime.fromtimestamp(int(text) / 1000, UTC).date()
            text = re.sub(r"^(\d{4})/(\d\d)/(\d\d)", r"\1-\2-\3", text.removesuffix(" UTC"))
            moment = datetime.fromisoformat(text)
            return (moment.astimezone(UTC) if moment.tzinfo else moment).date()
        except (ValueError, OverflowError, OSError):
            self.wrong(column, "is a date such as 2026-01-31, a time in ISO 8601, or Unix seconds")

    def model(self) -> str:
        model = next((str(value) for each in self.layout.model if (value := self.given.get(each))), "")
        return (model.partition(self.layout.ends)[0] if self.layout.ends else model).strip()

    def number(self, column: str, *, is_count: bool) -> Decimal | None:
        value = self.given.get(column)
        if value is None or value == "":
            return None
        text = str(value).strip().removeprefix("$")
        if self.layout.decimal_comma and _WITH_DECIMAL_COMMA.fullmatch(text):
            text = text.replace(".", "").replace(",", ".")
        try:
            if isinstance(value, bool) or not _NUMBER.fullmatch(text):
                raise InvalidOperation
            found = Decimal(text.replace(",", ""))
        except InvalidOperation:
            self.wrong(column, "is a number")
        if found and abs(found.adjusted()) > 20:
            self.wrong(column, "is a number that can be")
        if is_count and (found != found.to_integral_value() or _IN_THOUSANDS.fullmatch(text)):
            self.wrong(column, "is a whole number, with commas for thousands or without any")
        return found
