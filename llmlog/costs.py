"""What a call cost, in US dollars: genai-prices' dated tables, as installed, with no network.

A price that is not known is None, never 0. One that is known in part is a lower bound, and says so.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from llmlog import settings
from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.usage import Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice, PriceCalculation, TieredPrices

__all__ = ["Price", "cost", "price", "warm"]


@dataclass(frozen=True, slots=True)
class Price:
    """What one call cost."""

    amount: Decimal
    """US dollars."""
    source: str
    """The price table and its version."""
    partial: bool = False
    """Something that costs could not be priced: the amount is a lower bound."""


def cost(
    usage: Usage | Mapping[str, int | None],
    model: str | None,
    *,
    provider: str | None = None,
    at: datetime | None = None,
) -> Decimal | None:
    """The cost of `usage` in US dollars, or None where the price of the model is unknown.

    at: when the call was made (a naive time is UTC); None is now. provider: whose prices; None goes by the
    model's name.
    """
    if isinstance(model, str):
        model = settings.current().deployments.get(model, model)
    found = price(usage, model, provider=provider, at=at)
    return None if found is None else found.amount


def price(
    usage: Usage | Mapping[str, int | None],
    model: str | None,
    *,
    provider: str | None = None,
    at: datetime | None = None,
    service_tier: str | None = None,
) -> Price | None:
    """The same as a `Price`, which knows its source. service_tier: the one that the response names."""
    counts = _counts(usage)
    for name, value in (("model", model), ("provider", provider), ("service_tier", service_tier)):
        if value is not None and not isinstance(value, str):
            raise UsageTypeError(f"{name} must be a str or None, not {shown(value)}")
    if at is None:
        minute = int(time.time() // 60)
    elif isinstance(at, datetime):
        minute = int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() // 60)
    else:
        raise UsageTypeError(f"at must be a datetime or None, not {shown(at)}")
    if not model:
        return None
    rates = _rates(model, provider, service_tier, minute)
    if rates is None or (counts.input is None and counts.output is None):
        return None
    with localcontext(_CONTEXT):
        amount = rates.amount(counts)
    return None if amount is None else Price(amount, rates.source, rates.partial(counts))


def warm() -> None:
    """Load the price tables (some 150 ms, for a background thread), so that no call has to."""
    _rates("gpt-4o", "openai", None, int(time.time() // 60))


# Usage --------------------------------------------------------------------------------------------

_NAMES = tuple(field.name for field in fields(Usage))
_CONTEXT = Context(prec=28, rounding=ROUND_HALF_EVEN)  # whatever the application has made of its own


class _Counts(NamedTuple):
    input: int | None
    output: int | None
    read: int
    write: int
    reasoning: int
    input_audio: int = 0
    output_audio: int = 0
    input_image: int = 0
    output_image: int = 0


def _counts(usage: Usage | Mapping[str, int | None]) -> _Counts:
    if isinstance(usage, Usage):
        given = [getattr(usage, name) for name in _NAMES]
    elif isinstance(usage, Mapping):
        if unknown := [name for name in usage if name not in _NAMES]:
            raise UsageValueError(f"usage has no {shown(unknown[0])}; it has {', '.join(_NAMES)}")
        given = [usage.get(name) for name in _NAMES]
    else:
        raise UsageTypeError(f"usage must be a Usage or a mapping with its names, not {shown(usage)}")
    for place, count in enumerate(given):
        if count is None:
            continue
        if not isinstance(count, int) or isinstance(count, bool):
            raise UsageTypeError(f"{_NAMES[place]} must be an int or None, not {shown(count)}")
        if count < 0:
            raise UsageValueError(f"{_NAMES[place]} must not be negative: {count}")
    tokens, output, *parts = given
    return _Counts(tokens, output, *(part or 0 for part in parts))


# Prices -------------------------------------------------------------------------------------------

# Our names and OpenTelemetry's -> genai-prices' ids. Others stand for themselves.
_PROVIDERS = {
    "openai": "openai",
    **dict.fromkeys(
        ("azure", "azure_openai", "azure_ai", "azure.ai.openai", "azure.ai.inference",
         "az.ai.openai", "az.ai.inference"), "azure"),
    **dict.fromkeys(
        ("google", "gemini", "vertex", "vertex_ai", "gcp.gemini", "gcp.vertex_ai", "gcp.gen_ai"), "google"),
    **dict.fromkeys(("bedrock", "aws.bedrock", "bedrock_agent", "amazon", "aws"), "aws"),
    **dict.fromkeys(("mistral", "mistral_ai"), "mistral"),
    **dict.fromkeys(("x_ai", "xai", "x-ai"), "x-ai"),
    **dict.fromkeys(("moonshot", "moonshot_ai"), "moonshotai"),
    **dict.fromkeys(("together", "together_ai"), "together"),
    **dict.fromkeys(("fireworks", "fireworks_ai"), "fireworks"),
    **{name: name for name in ("anthropic", "cohere", "deepseek", "groq", "openrouter", "perplexity")},
}  # fmt: skip


def _provider_id(provider: str) -> str:
    name = provider.strip().lower()
    return _PROVIDERS.get(name, name)


def _references(model: str, provider: str | None) -> list[tuple[str, str | None]]:
    """The (model, provider) to look for, in turn: as given; then what a prefix of the model's name says."""
    own = None if provider is None else _provider_id(provider)
    found = [(model, own)]
    head, slash, rest = model.partition("/")
    if slash and rest:
        said = _PROVIDERS.get(head.lower())
        if said and own in (None, said):
            found.append((rest, said))
        elif head == "models":  # as Gemini's API has it
            found.append((rest, own))
    elif own is None and model.lower().startswith(("ft:", "text-embedding-")):
        found.append((model, "openai"))
    return found


@dataclass(frozen=True, slots=True)
class _Rates:
    """The prices of one model at one time, ready to be used."""

    source: str
    table: ModelPrice
    linear: bool
    """Whether `_linear` gives genai-prices' own answer, ten times faster."""

    def amount(self, counts: _Counts) -> Decimal | None:
        read_and_write = counts.read + counts.write
        tokens = read_and_write if counts.input is None else counts.input
        output = counts.reasoning if counts.output is None else counts.output
        if read_and_write > tokens or counts.reasoning > output:
            return None  # a usage that cannot be
        known = counts._replace(input=tokens, output=output)
        linear = self.linear and not (
            counts.input_audio or counts.output_audio or counts.input_image or counts.output_image
        )
        return _linear(self.table, known) if linear else _by_genai_prices(self.table, known)

    def partial(self, counts: _Counts) -> bool:
        """Whether the amount lacks something: a count that is not known, a bucket that has no price."""
        priced = vars(self.table).get
        return any(
            (count is None and priced(key) is not None) or (bool(count) and priced(key) is None)
            for key, count in (
                ("input_mtok", counts.input),
                ("output_mtok", counts.output),
                ("input_audio_mtok", counts.input_audio),  # dearer than text; an image mostly costs the same
                ("output_audio_mtok", counts.output_audio),
            )
        )


@lru_cache(maxsize=1024)
def _rates(model: str, provider: str | None, tier: str | None, minute: int) -> _Rates | None:
    """Look a price up. The key holds all that it depends on: it changes with the date and the time of day."""
    from genai_prices import Usage as AnyUsage
    from genai_prices import __version__, calc_price

    at = datetime.fromtimestamp(minute * 60, UTC)
    context: dict[str, str] | None = {"service_tier": tier} if tier else None
    if tier == "batch":
        context = {"processing": "batch"}
    for name, owner in _references(model, provider):
        try:
            found: PriceCalculation = calc_price(
                AnyUsage(), name, provider_id=owner, genai_request_timestamp=at, price_context=context
            )
        except Exception:  # LookupError: unknown; anything else is a table that cannot be used
            continue
        if owner is not None and found.provider.id != owner:
            continue  # it takes any provider whose name has a known one in it
        table = found.model_price
        if not any(value is not None for value in vars(table).values()):
            return None
        updated = found.auto_update_timestamp
        source = f"genai-prices {__version__}" + (f" of {updated:%Y-%m-%d}" if updated else "")
        return _Rates(source, table, _is_linear(table))
    return None


def _by_genai_prices(table: ModelPrice, counts: _Counts) -> Decimal | None:
    from genai_prices import Usage as AnyUsage

    try:
        return table.calc_price(
            AnyUsage(
                input_tokens=counts.input,
                output_tokens=counts.output,
                cache_read_tokens=counts.read or None,
                cache_write_tokens=counts.write or None,
                output_reasoning_tokens=counts.reasoning or None,
                input_audio_tokens=counts.input_audio or None,
                output_audio_tokens=counts.output_audio or None,
                input_image_tokens=counts.input_image or None,
                output_image_tokens=counts.output_image or None,
            )
        )["total_price"]
    except Exception:  # a usage or a table that it refuses
        return None


_MILLION = Decimal(1_000_000)


def _linear(table: ModelPrice, counts: _Counts) -> Decimal:
    """The same sum by hand: each token at the price of its kind, or of what that kind is a part of."""
    prices: dict[str, Any] = vars(table)
    tokens, output = counts.input or 0, counts.output or 0
    total = Decimal(0)
    for key, count, within_input in (
        ("cache_read_mtok", counts.read, True),
        ("cache_write_mtok", counts.write, True),
        ("output_reasoning_mtok", counts.reasoning, False),
    ):
        if count and (rate := prices.get(key)) is not None:
            total += _rate(rate, counts.input) * count
            if within_input:
                tokens -= count
            else:
                output -= count
    if tokens and (rate := prices.get("input_mtok")) is not None:
        total += _rate(rate, counts.input) * tokens
    if output and (rate := prices.get("output_mtok")) is not None:
        total += _rate(rate, counts.input) * output
    return total / _MILLION


def _rate(rate: Decimal | TieredPrices, tokens: int | None) -> Decimal:
    if isinstance(rate, Decimal):
        return rate
    price = rate.base
    for tier in rate.tiers:  # in ascending order; the highest that is crossed is the price of all
        if (tokens or 0) > tier.start:
            price = tier.price
    return price


def _is_linear(table: ModelPrice) -> bool:
    """Whether `_linear` may be used for this model: it agrees with genai-prices below and above each tier."""
    starts = {tier.start for rate in vars(table).values() for tier in getattr(rate, "tiers", ())}
    with localcontext(_CONTEXT):
        for tokens in (100_003, *(edge for start in starts for edge in (start, start + 1))):
            probe = _Counts(tokens, 7919, min(tokens // 3, 1009), min(tokens // 3, 10_007), 499)
            for counts in (probe, probe._replace(read=0, write=0, reasoning=0)):
                theirs = _by_genai_prices(table, counts)
                if theirs is None or abs(_linear(table, counts) - theirs) > Decimal("1e-15"):
                    return False
    return True
