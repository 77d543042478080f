"""The user's own prices, as `configure(prices=...)` takes them: a TOML or JSON file, or the same as a mapping.

    name = "acme"                       # with the version in each record's cost_source; else the file's name and
    version = "2026-03"                 # a digest of what is in it
    currency = "EUR"                    # where the prices are no US dollars: a note, and what one of it is worth
    usd = 1.08

    [models."gpt-4o*"]                  # a name, or a pattern with * ? [...]
    input = 2.50                        # for a million tokens, as for every bucket (`llmlog.rates.BUCKETS`)
    output = 10
    web_search = 0.01                   # for each one; `request` is charged for each request
    tiers = [{above = 200_000, input = 5}]          # all tokens of a request with more input than that
    service_tiers.batch = {discount = 0.5}          # or other prices, where the response names that tier

    [[models."claude-*"]]               # several under one name: by provider, or by date
    provider = "anthropic"
    until = 2026-07-01                  # from this date, until before that one; midnight is UTC
    discount = 0.15                     # off all its prices; one below 0 is a surcharge

A model that has token prices here has no others; what has only discounts and fees goes over genai-prices' prices.
Fees of a model that nobody else has a price for are a lower bound.
Of several that match, the one with the full name is taken, then one that names the provider, then the longest pattern,
then, of overlapping dates, the one that began last, or ends first where they began together.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from fnmatch import translate
from typing import Any, NoReturn

from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.rates import BUCKETS, EXACT, FEES, Prices, Rates, multiplied
from llmlog.source_lines import Path, line_of, twice

__all__ = ["Entry", "PriceTable", "load", "provider_id", "vendor_of"]

# Our names and OpenTelemetry's -> genai-prices' ids. Others stand for themselves.
_PROVIDERS = {
    "openai": "openai",
    **dict.fromkeys(
        ("azure", "azure_openai", "azure_ai", "azure.ai.openai", "azure.ai.inference",
         "az.ai.openai", "az.ai.inference"), "azure"),
    **dict.fromkeys(
        ("google", "gemini", "vertex", "vertex_ai", "gcp.gemini", "gcp.vertex_ai", "gcp.gen_ai"), "google"),
    **dict.fromkeys(("bedrock", "aws.bedrock", "bedrock_agent", "bedrock_mantle", "amazon", "aws"), "aws"),
    **dict.fromkeys(("mistral", "mistral_ai"), "mistral"),
    **dict.fromkeys(("x_ai", "xai", "x-ai"), "x-ai"),
    **dict.fromkeys(("moonshot", "moonshot_ai"), "moonshotai"),
    **dict.fromkeys(("together", "together_ai"), "together"),
    **dict.fromkeys(("fireworks", "fireworks_ai"), "fireworks"),
    **{name: name for name in ("anthropic", "cohere", "deepseek", "groq", "openrouter", "perplexity")},
}  # fmt: skip


def provider_id(provider: str) -> str:
    """A provider's one name in tables of prices, whichever of its names this is."""
    name = provider.strip().lower()
    return _PROVIDERS.get(name, name)


def vendor_of(prefix: str) -> str | None:
    """The provider that a prefix of a model's name stands for, or None."""
    return _PROVIDERS.get(prefix.lower())


_TABLE = ("name", "version", "currency", "usd", "models")
_PRICES = (*BUCKETS, *FEES)
_TERMS = (*_PRICES, "discount", "tiers")
_ENTRY = (*_TERMS, "provider", "from", "until", "service_tiers")
_TIER = ("above", *_PRICES)


@dataclass(frozen=True, slots=True)
class Terms:
    """Prices, and by what all of them are multiplied."""

    prices: Prices
    factor: Decimal


@dataclass(frozen=True, eq=False, slots=True)
class Entry:
    """What the table says of the models of one pattern, by one provider, at one time."""

    source: str
    pattern: str
    provider: str | None
    since: float
    until: float
    """Unix minutes."""
    terms: Terms
    service_tiers: Mapping[str, Terms]

    @property
    def stands_alone(self) -> bool:
        """Whether it has token prices of its own, and needs no others."""
        return any(bucket in self.terms.prices for bucket in BUCKETS)

    def has_prices(self, tier: str | None) -> bool:
        """Whether each call in a service tier has one, of its tokens or as its fee: not all calls search."""
        terms = self.service_tiers.get(tier) if tier is not None else None
        names = {*self.terms.prices, *(terms.prices if terms is not None else ())}
        return bool(names - {"web_search"})

    def rates(self, tier: str | None, *, over: tuple[Prices, str] | None = None) -> Rates:
        """Its prices in a service tier. `over`: the prices, and their source, that it changes."""
        prices, source = ({}, self.source) if over is None else (over[0], f"{self.source} over {over[1]}")
        prices, factor = {**prices, **self.terms.prices}, self.terms.factor
        if tier is not None and (terms := self.service_tiers.get(tier)):
            prices, factor = {**prices, **terms.prices}, EXACT.multiply(factor, terms.factor)
        return Rates(multiplied(prices, factor), source)


@dataclass(frozen=True, eq=False, slots=True)
class PriceTable:
    """Prices of the user's own. Equal only to itself, so that it can be a key."""

    source: str
    """Its name and version."""
    entries: Sequence[tuple[re.Pattern[str], Entry]]
    """The one that is to be preferred first."""

    def find(self, models: Sequence[str], provider: str | None, minute: int) -> Entry | None:
        """The entry for a model, by any of its names and its provider's one name, at a Unix minute."""
        names = [(name.strip().lower(), provider or vendor_of(name.rpartition("/")[0])) for name in models]
        for pattern, entry in self.entries:
            if not entry.since <= minute < entry.until:
                continue
            for name, by in names:
                if entry.provider in (None, by) and (pattern.match(name) or pattern.match(name.rpartition("/")[2])):
                    return entry
        return None


def load(source: str | os.PathLike[str] | Mapping[str, Any]) -> PriceTable:
    """The table in a file (JSON by its name, else TOML), or in a mapping.

    UsageTypeError or UsageValueError, with the file, the line and the value, for what is no such table.
    """
    if isinstance(source, Mapping):
        digest = hashlib.sha256(shown(source, limit=1 << 30).encode("utf-8", "surrogatepass"))
        return _Reader("prices", None, "prices", digest.hexdigest()).table(source)
    if not isinstance(source, (str, os.PathLike)):
        raise UsageTypeError(f"prices is a path, a mapping or None, got {shown(source)}")
    path = os.fspath(source)
    try:
        with open(path, "rb") as file:
            raw = file.read()
        text = raw.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise UsageValueError(f"prices: {shown(path)} cannot be read: {error}") from None
    is_json = str(path).lower().endswith(".json")
    reader = _Reader(str(path), (text, is_json), os.path.basename(path), hashlib.sha256(raw).hexdigest())
    try:
        if is_json:
            parsed = json.loads(text, parse_float=Decimal, parse_constant=Decimal)
        else:
            parsed = tomllib.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:  # json's and tomllib's own say the line
        raise UsageValueError(f"{path} is no {'JSON' if is_json else 'TOML'}: {error}") from None
    if is_json and (key := twice(text)):
        reader.wrong(key, "stands twice in one object")
    return reader.table(parsed)


class _Reader:
    """Reads a parsed table. `text`: the file's, and whether it is JSON, to tell lines by."""

    def __init__(self, name: str, text: tuple[str, bool] | None, short: str, digest: str) -> None:
        self.name = name
        self.text = text
        self.short = short
        self.digest = digest

    def wrong(self, path: Path, what: str, error: type[UsageTypeError | UsageValueError] = UsageValueError) -> NoReturn:
        """Raise, with the place in the file."""
        where = self.name
        if self.text is not None:
            line = line_of(path, *self.text)
            where += "" if line is None else f", line {line}"
        said = ".".join(f'"{key}"' if re.search(r"[^\w-]", str(key)) else str(key) for key in path)
        raise error(f"{where}: {said} {what}" if said else f"{where}: {what}")

    def table(self, given: Any) -> PriceTable:
        table = self.mapping((), given, _TABLE)
        name, version, currency = (self.text_at((key,), table.get(key)) for key in ("name", "version", "currency"))
        source = f"{name or self.short} {version or self.digest[:10]}"
        is_dollars = currency is None or currency.upper() == "USD"
        usd = Decimal(1)
        if "usd" in table:
            usd = self.number(("usd",), table["usd"], "what one of the currency is worth in US dollars")
            if usd == 0 or (currency and is_dollars and usd != 1):
                self.wrong(("usd",), f"is what one {currency or 'of the currency'} is worth, got {shown(table['usd'])}")
        elif not is_dollars:
            self.wrong(("currency",), f"is {shown(currency)}: the table needs `usd`, what one of it is in US dollars")
        if usd != 1 or not is_dollars:
            source += f" ({currency or 'its currency'} at {usd})"
        models = table.get("models")
        if not isinstance(models, Mapping) or not models:
            self.wrong(("models",), f"is a table of prices by model, got {shown(models)}", UsageTypeError)
        entries: dict[tuple[Any, ...], Entry] = {}
        for pattern, found in models.items():
            for path, each in self.each(("models", pattern), found):
                entry = self.entry(path, str(pattern).strip().lower(), each, source, usd)
                held_by = (entry.pattern, entry.provider, entry.since, entry.until)
                if entries.setdefault(held_by, entry) is not entry:
                    self.wrong(path, "is for the same models, provider and dates as one before it")
        ranked = sorted(entries.values(), key=_rank)  # stable: what is equal keeps the file's order
        return PriceTable(source, [(re.compile(translate(entry.pattern)), entry) for entry in ranked])

    def each(self, path: Path, found: Any) -> Iterator[tuple[Path, Any]]:
        if isinstance(found, (list, tuple)):
            if not found:
                self.wrong(path, "is an empty list")
            for place, each in enumerate(found):
                yield (*path, place), each
        else:
            yield path, found

    def entry(self, path: Path, pattern: str, given: Any, source: str, usd: Decimal) -> Entry:
        if not pattern:
            self.wrong(path, "is no name of a model")
        entry = self.mapping(path, given, _ENTRY)
        provider = self.text_at((*path, "provider"), entry.get("provider"))
        since, until = (self.minute((*path, key), entry.get(key)) for key in ("from", "until"))
        if since is not None and until is not None and since >= until:
            self.wrong((*path, "until"), f"is {shown(entry['until'])}, which is not after from, {shown(entry['from'])}")
        tiers = self.mapping((*path, "service_tiers"), entry.get("service_tiers", {}), None)
        terms = self.terms(path, entry, usd, {})
        return Entry(
            source,
            pattern,
            None if provider is None else provider_id(provider),
            float("-inf") if since is None else since,
            float("inf") if until is None else until,
            terms,
            {
                str(name).lower(): self.terms(
                    (*path, "service_tiers", name),
                    self.mapping((*path, "service_tiers", name), each, _TERMS),
                    usd,
                    terms.prices,
                )
                for name, each in tiers.items()
            },
        )

    def terms(self, path: Path, given: Mapping[str, Any], usd: Decimal, others: Prices) -> Terms:
        """Prices, their tiers by size, and a discount. `others`: the prices that hold where these say nothing."""
        prices = {
            name: [(0, EXACT.multiply(usd, self.number((*path, name), given[name], _meaning(name))))]
            for name in _PRICES
            if name in given
        }
        tiers = given.get("tiers", [])
        if not isinstance(tiers, (list, tuple)):
            self.wrong((*path, "tiers"), f"is a list, got {shown(tiers)}", UsageTypeError)
        last = 0
        for place, each in enumerate(tiers):
            at = (*path, "tiers", place)
            tier = self.mapping(at, each, _TIER)
            above = tier.get("above")
            if isinstance(above, bool) or not isinstance(above, int) or above <= last:
                self.wrong(at, f"needs `above`, a number of input tokens that is more than {last}, got {shown(above)}")
            last = above
            for name in (name for name in _PRICES if name in tier):
                below = prices.get(name) or [*others.get(name, ())]
                if not below:
                    self.wrong((*at, name), "has no price for smaller requests beside it")
                price = EXACT.multiply(usd, self.number((*at, name), tier[name], _meaning(name)))
                prices[name] = [*below, (above, price)]
        discount = Decimal(0)
        if "discount" in given:
            meaning = "a part of 1, such as 0.15, and below 0 a surcharge"
            discount = self.number((*path, "discount"), given["discount"], meaning, least=-100, most=1)
        return Terms(prices, EXACT.subtract(Decimal(1), discount))

    def mapping(self, path: Path, given: Any, names: Sequence[str] | None) -> Mapping[str, Any]:
        if not isinstance(given, Mapping):
            self.wrong(path, f"is a table, got {shown(given)}", UsageTypeError)
        if names is not None and (odd := [name for name in given if name not in names]):
            self.wrong((*path, odd[0]), f"= {shown(given[odd[0]])} is not known here; known are {', '.join(names)}")
        return given

    def text_at(self, path: Path, given: Any) -> str | None:
        if given is not None and not isinstance(given, str):
            self.wrong(path, f"is text, got {shown(given)}", UsageTypeError)
        return given or None

    def number(self, path: Path, given: Any, meaning: str, *, least: int = 0, most: int = 10**9) -> Decimal:
        if isinstance(given, bool) or not isinstance(given, (int, float, Decimal)):
            self.wrong(path, f"is a number, {meaning}, got {shown(given)}", UsageTypeError)
        found = Decimal(float.__repr__(given) if isinstance(given, float) else given)  # as it was written
        if not (found.is_finite() and least <= found <= most and int(found.as_tuple().exponent) >= -20):
            self.wrong(path, f"is {meaning}, from {least} to {most}, got {shown(given)}")
        return found

    def minute(self, path: Path, given: Any) -> int | None:
        """A date or a time as Unix minutes."""
        if given is None:
            return None
        found = given
        if isinstance(found, str):
            try:
                found = datetime.fromisoformat(found)
            except ValueError:
                self.wrong(path, f"is a date such as 2026-01-31, got {shown(given)}")
        elif not isinstance(found, datetime) and isinstance(found, date):
            found = datetime(found.year, found.month, found.day)
        if not isinstance(found, datetime):
            self.wrong(path, f"is a date such as 2026-01-31, got {shown(given)}", UsageTypeError)
        if found.second or found.microsecond:
            self.wrong(path, f"is a date, or a time at a full minute, got {shown(given)}")
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() // 60)


def _meaning(name: str) -> str:
    return "the price of each one" if name in FEES else "the price of a million tokens"


def _rank(entry: Entry) -> tuple[Any, ...]:
    is_pattern = bool(re.search(r"[*?\[]", entry.pattern))
    length = len(entry.pattern) if is_pattern else 0
    return is_pattern, entry.provider is None, -length, -entry.since, entry.until
