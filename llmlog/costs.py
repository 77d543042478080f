"""What a call cost, in US dollars: the user's own price table over genai-prices' dated ones, with no network.

A price that is not known is None, never 0. One that is known in part is a lower bound, and says so.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from llmlog import settings
from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.faults import notice
from llmlog.price_tables import PriceTable, provider_id, vendor_of
from llmlog.rates import BUCKETS, EXACT, Price, Prices, Rates, multiplied
from llmlog.usage import Usage

__all__ = ["Price", "cost", "of_record", "price", "warm"]


def cost(
    usage: Usage | Mapping[str, int | None],
    model: str | None,
    *,
    provider: str | None = None,
    at: datetime | None = None,
    service_tier: str | None = None,
) -> Decimal | None:
    """The cost of `usage` in US dollars, or None where the price of the model is unknown.

    `provider`: whose prices; None goes by the model's name. `at`: when the call was made (a naive time is UTC); None
    is now. `service_tier`: the one that the response names, such as "flex" or "batch".
    """
    if isinstance(model, str):
        model = settings.current().deployments.get(model, model)
    found = price(usage, model, provider=provider, at=at, service_tier=service_tier)
    return None if found is None else found.amount


def price(
    usage: Usage | Mapping[str, int | None],
    model: str | None,
    *,
    provider: str | None = None,
    at: datetime | None = None,
    service_tier: str | None = None,
    inference_geo: str | None = None,
    also: Sequence[str] = (),
    table: PriceTable | None = None,
) -> Price | None:
    """The same as a `Price`, which knows its source.

    `inference_geo`: where Anthropic says that it ran the model. `also`: other names of the model, such as the one that
    was asked for: the user's table may have it under any of them. `table`: that table; None: the configured one.
    """
    if not isinstance(usage, Usage):
        usage = _usage(usage)
    if not {type(model), type(provider), type(service_tier), type(inference_geo)} <= _TEXT_OR_NONE:
        for name, value in (("model", model), ("provider", provider), ("service_tier", service_tier),
                            ("inference_geo", inference_geo)):  # fmt: skip
            if value is not None and not isinstance(value, str):
                raise UsageTypeError(f"{name} is text or None, got {shown(value)}")
    if at is None:
        minute = int(time.time() // 60)
    elif isinstance(at, datetime):
        minute = int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() // 60)
        minute = max(_FIRST_MINUTE, min(minute, _LAST_MINUTE))
    else:
        raise UsageTypeError(f"at is a datetime or None, got {shown(at)}")
    if not model:
        return None
    names = (model, *also)
    rates = _rates(names, provider, service_tier, inference_geo, minute, table or settings.current().prices)
    return None if rates is None else rates.price(usage)


def of_record(record: Mapping[str, Any], *, table: PriceTable | None = None) -> Price | None:
    """What the call of a summary record cost, by the usage, the model, the tier and the time that stand in it.

    A record that bears no usage, or has no time, or is of a model without a price, has None.
    """
    if (source := str(record.get("cost_source"))).startswith((FREE, UNSENT, CACHED)):
        return Price(Decimal(0), source)
    try:
        at = datetime.fromisoformat(str(record.get("timestamp")))
        usage = Usage(**{name: record.get(name) for name in Usage.__slots__})
    except (ValueError, TypeError):  # another program's line
        return None
    options = {name: record.get(name) for name in ("provider", "service_tier", "inference_geo")}
    known = {name: value for name, value in options.items() if isinstance(value, str)}
    names = models(record.get("model"), record.get("response_model"), settings.current().deployments)
    return price(usage, names[0], also=names[1:], at=at, table=table, **known) if names else None


FREE = "not billed: the request was refused"
"""The source of a cost of nothing: the provider answered with an HTTP error instead of working."""
UNSENT = "not billed: the provider was not reached"
"""The same, where there was no connection that the request could have been sent by."""
CACHED = "not billed: a cache answered"
"""The same, where the provider was not asked: the application's own cache had the answer."""


def models(asked: Any, answered: Any, deployments: Mapping[str, str]) -> list[str]:
    """The names to look a price up by, in turn: a deployment's model, the one that answered, the one asked for."""
    named = deployments.get(asked, asked) if isinstance(asked, str) else None
    names = (named, answered) if named != asked else (answered, named)
    return list(dict.fromkeys(name for name in names if isinstance(name, str) and name))


def tell_unpriced(record: Mapping[str, Any]) -> None:
    """Say once for each model, on stderr, that its calls have no cost, or only a lower bound of one."""
    counted = "input_tokens" in record or record.get("output_tokens")
    model = record.get("response_model") or record.get("model")
    if not isinstance(model, str) or not counted or (len(_told) >= _MOST_TOLD and model not in _told):
        return
    by = f" of {provider}" if (provider := record.get("provider")) else ""
    hint = "configure(prices=...) can give one"
    if "cost_usd" not in record:
        _told.add(model)
        if _has_price(record):
            what = f"the usage of a call of model {model!r}{by} has parts that are more than their whole"
            notice(f"no usage: {model}", f"{what}: such calls have no cost")
        else:
            notice(f"no price: {model}", f"no price is known for model {model!r}{by}: its calls have no cost; {hint}")
    elif record.get("cost_partial") and "total_tokens" in record:  # else it is a count that is missing, not a price
        _told.add(model)
        what = f"not all that a call of model {model!r}{by} used has a price in {record.get('cost_source')}"
        notice(f"part of a price: {model}", f"{what}: the cost of some calls is a lower bound; {hint}")


def _has_price(record: Mapping[str, Any]) -> bool:
    """Whether a call of this model would have a cost, had it another usage."""
    names = models(record.get("model"), record.get("response_model"), settings.current().deployments)
    by = provider if isinstance(provider := record.get("provider"), str) else None
    return bool(names) and price(Usage(0, 0), names[0], also=names[1:], provider=by) is not None


_MOST_TOLD = 100  # names of models may be anything: deployments of a tenant, fine-tunes
_told: set[str] = set()


def warm() -> None:
    """Load the price tables (some 150 ms, for a background thread), so that no call has to."""
    _rates(("gpt-4o",), "openai", None, None, int(time.time() // 60), None)


_TEXT_OR_NONE = {str, type(None)}
_COUNTS = frozenset(Usage.__slots__)
_FIRST_MINUTE, _LAST_MINUTE = (
    int(each.replace(tzinfo=UTC).timestamp() // 60) for each in (datetime.min, datetime(9999, 12, 31, 23, 59))
)
"""Of what a datetime can be in UTC; one with an offset may be beyond."""


def _usage(given: Any) -> Usage:
    if not isinstance(given, Mapping):
        raise UsageTypeError(f"usage is a Usage or a mapping with its names, got {shown(given)}")
    if not given.keys() <= _COUNTS:
        unknown = next(name for name in given if name not in _COUNTS)
        raise UsageValueError(f"usage has no {shown(unknown)}; it has {', '.join(Usage.__slots__)}")
    return Usage(**given)


# Looking a price up -------------------------------------------------------------------------------

_AT_A_SURCHARGE = ("priority", "fast")
_US_ONLY = Decimal("1.1")
"""What Anthropic multiplies each price by, from these models on, where they may run in the United States only."""
_US_ONLY_FOR = re.compile(r"claude-([a-z]+)-(4-[6-9]|[5-9])")


@lru_cache(maxsize=1024)
def _rates(
    names: tuple[str, ...],
    provider: str | None,
    tier: str | None,
    geo: str | None,
    minute: int,
    table: PriceTable | None,
) -> Rates | None:
    """Look a price up. The key holds all that it depends on: it changes with the date and the time of day."""
    tier = tier and tier.lower()
    own = None if provider is None else provider_id(provider)
    entry = table.find(names, own, minute) if table is not None else None
    if entry is not None and entry.stands_alone:
        return entry.rates(tier)
    on_terms = entry is None or tier not in entry.service_tiers
    for name in names:
        if found := _by_genai_prices(name, own, tier if on_terms else None, minute):
            break
    else:
        return entry.rates(tier) if entry is not None and entry.has_prices(tier) else None
    prices, source, partial = found
    if geo == "us" and own in (None, "anthropic") and _US_ONLY_FOR.search(name.lower()):
        prices = multiplied(prices, _US_ONLY)
    return Rates(prices, source, partial=partial) if entry is None else entry.rates(tier, over=(prices, source))


_BUCKETS = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_reasoning_mtok": "reasoning",
    "cache_audio_read_mtok": "cache_audio_read",
    "cache_image_read_mtok": "cache_image_read",
    **{f"{bucket}_mtok": bucket for bucket in BUCKETS if bucket.startswith(("input_", "output_"))},
}
"""genai-prices' names -> ours, for a million tokens."""
_FEES = {"web_searches_kcount": "web_search", "requests_kcount": "request"}
"""For a thousand."""


def _by_genai_prices(
    model: str, provider: str | None, tier: str | None, minute: int
) -> tuple[Prices, str, bool] | None:
    """The model's prices, the table's name and version, and whether the tier has no price though it costs more."""
    from genai_prices import Usage as AnyUsage
    from genai_prices import __version__, calc_price

    at = datetime.fromtimestamp(minute * 60, UTC)
    for name, owner in _references(model, provider):
        try:
            found = calc_price(
                AnyUsage(),
                name,
                provider_id=owner,
                genai_request_timestamp=at,
                price_context=_TERMS.get(tier, {"service_tier": tier}) if tier else None,
            )
        except Exception:  # LookupError: unknown; anything else is a table that cannot be used
            continue
        if owner is not None and found.provider.id != owner:
            continue  # it takes any provider whose name has a known one in it
        given = {name: price for name, price in vars(found.model_price).items() if price is not None}
        prices = {bucket: _steps(given[key], 0) for key, bucket in _BUCKETS.items() if key in given}
        prices |= {fee: _steps(given[key], -3) for key, fee in _FEES.items() if key in given}
        if not prices:  # or only what no usage has, such as hours of audio
            return None
        updated = found.auto_update_timestamp
        source = f"genai-prices {__version__}" + (f" of {updated:%Y-%m-%d}" if updated else "")
        variants = [
            variant.when.values()
            for variant in getattr(found.model, "price_variants", None) or ()
            if variant.constraint is None or variant.constraint.active(at)
        ]
        dearer = tier in _AT_A_SURCHARGE and not any(tier in when for when in variants)
        return prices, source, dearer
    return None


_TERMS = {"batch": {"processing": "batch"}, "fast": {"service_tier": "fast", "speed": "fast"}}
"""What genai-prices calls a tier, where it is not a `service_tier`."""


_RESOURCE = re.compile(r"(?:.*/)?models/", re.I)
"""What stands before a model's name in Gemini's API, and in full in Vertex AI's."""


def _references(model: str, provider: str | None) -> list[tuple[str, str | None]]:
    """The (model, provider) to look for, in turn: as given; then what a prefix of the model's name says."""
    found = [(model, provider)]
    head, slash, rest = model.partition("/")
    if slash and rest:
        said = vendor_of(head)
        if said and provider in (None, said):
            found.append((rest, said))
        elif resource := _RESOURCE.match(model):
            found.append((model[resource.end() :], provider))
    elif provider is None and model.lower().startswith(("ft:", "text-embedding-")):
        found.append((model, "openai"))
    return found


def _steps(price: Any, shift: int) -> list[tuple[int, Decimal]]:
    """One of genai-prices' prices, which may have tiers by the size of the input."""
    if isinstance(price, Decimal):
        return [(0, EXACT.scaleb(price, shift))]
    steps = [(0, price.base), *((tier.start, tier.price) for tier in price.tiers)]
    return [(above, EXACT.scaleb(each, shift)) for above, each in steps]
