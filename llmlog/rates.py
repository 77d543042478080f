"""What a model charges for each kind of token, made ready once and then applied to any number of calls.

Each kind, a bucket, is a part of a larger one (`WHOLE`). A part without a price of its own costs what its whole costs.
Sums are made of whole numbers, so that they are exact whatever the application has made of its decimal context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from operator import attrgetter, mul
from typing import Any, NamedTuple

from llmlog.usage import Usage

__all__ = ["BUCKETS", "EXACT", "FEES", "Price", "Prices", "Rates", "multiplied"]

EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN)
"""For all arithmetic with prices, which the application's own context must not change."""

WHOLE: Mapping[str, str | None] = {
    "input": None, "output": None, "cache_read": "input", "cache_write": "input", "cache_write_1h": "cache_write",
    "reasoning": "output", "input_audio": "input", "output_audio": "output", "input_image": "input",
    "output_image": "output", "input_video": "input", "output_video": "output", "cache_audio_read": "cache_read",
    "cache_image_read": "cache_read",
}  # fmt: skip
"""Each bucket, and what it is a part of."""
_ALSO = {"cache_audio_read": "input_audio", "cache_image_read": "input_image"}
"""What these are a part of as well."""
_DEARER = ("cache_write", "cache_write_1h", "input_audio", "output_audio", "output_image", "output_video")
"""What mostly costs more than its whole: counted without a price of its own, it makes the sum a lower bound."""

BUCKETS = tuple(WHOLE)
FEES = ("web_search", "request")
"""What is charged by the piece: each search that the provider makes, and each request."""

_COUNTS = {**{bucket: f"{bucket}_tokens" for bucket in BUCKETS}, "web_search": "web_searches"}
"""What is counted of each, in a Usage."""

Prices = Mapping[str, Sequence[tuple[int, Decimal]]]
"""By bucket and fee, US dollars for a million tokens, or for one piece. One price is [(0, price)]; a pair of (n, price)
more holds for all tokens of a request that has more than n of input."""


@dataclass(frozen=True, slots=True)
class Price:
    """What one call cost."""

    amount: Decimal
    """US dollars."""
    source: str
    """The price table and its version."""
    partial: bool = False
    """Something that costs could not be priced: the amount is a lower bound."""


class _Bracket(NamedTuple):
    """What holds for requests with more than `above` tokens of input."""

    above: int
    weights: list[int]
    """What one of each count adds to the sum."""
    fee: int


class Rates:
    """The prices of one model at one time. `partial`: something is not priced, whatever the usage."""

    __slots__ = ("_brackets", "_counts", "_decimals", "_leaves", "_partial", "_shared", "_unpriced", "source")

    def __init__(self, prices: Prices, source: str, *, partial: bool = False) -> None:
        self.source = source
        self._partial = partial
        shared = [part for part, kind in _ALSO.items() if "cache_read" in prices and kind in prices]
        missing = [name for name in ("input", "output", *_DEARER, "web_search", *shared) if name not in prices]
        if "request" in prices and "web_search" in missing:  # the fee of a request is what its searches cost
            missing.remove("web_search")
        self._unpriced = _getter(missing)
        # The first three are always looked at; of the others only what has a price.
        names = list(dict.fromkeys(["input", "output", "reasoning", *(n for n in _COUNTS if n in prices), *shared]))
        self._counts = _getter(names)
        self._leaves = [[(names.index(name), sign) for name, sign in leaf.items()] for leaf in _leaves(prices)]
        self._shared = [
            (names.index(part), names.index("cache_read"), names.index(_ALSO[part]), part in prices) for part in shared
        ]
        shifts = [-int(price.as_tuple().exponent) for steps in prices.values() for _, price in steps]
        decimals = max(0, *shifts, 0)
        self._decimals = decimals + 6  # of a dollar, in the sums: prices are for a million
        edges = sorted({above for steps in prices.values() for above, _ in steps} | {0}, reverse=True)
        self._brackets = [_bracket(prices, edge, decimals, names) for edge in edges]

    def price(self, usage: Usage) -> Price | None:
        """What `usage` costs; None where nothing of it is known, or where its counts cannot be."""
        known = counts = self._counts(usage)
        partial = self._partial or any(self._unpriced(usage))
        if None in counts:
            counts = [count or 0 for count in known]
            if known[0] is None or known[1] is None:
                if known[0] is known[1]:
                    return None
                partial = partial or bool(self._brackets[-1].weights[known[1] is None])
                # Of a count that is not known, the parts may be.
                counts[0] = counts[0] or (usage.cache_read_tokens or 0) + (usage.cache_write_tokens or 0)
                counts[1] = counts[1] or counts[2]
        if counts[2] > counts[1]:  # a provider that does not count its reasoning in, and a reader that does not know
            partial = True
        if self._shared:
            return self._least(known, counts, partial)
        amount = self._sum(counts)
        return None if amount is None else self._made(amount, partial)

    def _least(self, known: Sequence[int | None], counts: Sequence[int], partial: bool) -> Price | None:
        """The price where a provider may not tell how much of the sound, or of the images, its cache held.

        If that has a price of its own, the least that it can have been; else as little was held as can be.
        """
        ways = [counts]
        for part, read, kind, priced in self._shared:
            if known[part] is None and counts[read] and counts[kind]:
                least, most = max(0, counts[read] + counts[kind] - counts[0]), min(counts[read], counts[kind])
                partial = partial or priced or least > 0
                possible = {least, most} if priced else {least}
                ways = [[*way[:part], number, *way[part + 1 :]] for way in ways for number in possible]
        amounts = [amount for way in ways if (amount := self._sum(way)) is not None]
        return self._made(min(amounts), partial) if amounts else None

    def _sum(self, counts: Sequence[int]) -> int | None:
        for leaf in self._leaves:
            if sum([counts[place] * sign for place, sign in leaf]) < 0:
                return None  # parts that are more than their whole
        bracket = self._brackets[-1]
        if len(self._brackets) > 1:
            bracket = next((each for each in self._brackets if counts[0] > each.above), bracket)
        tokens: int = sum(map(mul, counts, bracket.weights))
        return tokens + bracket.fee

    def _made(self, amount: int, partial: bool) -> Price:
        return Price(EXACT.scaleb(Decimal(amount), -self._decimals), self.source, partial)


def _getter(names: Sequence[str]) -> Callable[[Usage], Sequence[Any]]:
    """The counts of a usage by these names; always several, so that it gives a tuple."""
    if len(names) < 2:
        return lambda usage: [getattr(usage, _COUNTS[name]) for name in names]
    return attrgetter(*(_COUNTS[name] for name in names))


def _bracket(prices: Prices, above: int, decimals: int, names: Sequence[str]) -> _Bracket:
    """Each bucket as what it adds to the sum, in which its whole has been charged already."""
    charged: dict[str, int] = {}  # by bucket: its own price, or that of what it is a part of
    weights: dict[str, int] = {}
    for bucket, whole in WHOLE.items():
        beside = 0 if whole is None else charged[whole]
        charged[bucket] = beside
        if also := _ALSO.get(bucket):
            beside += charged[also] - charged["input"]
            both = also in prices and "cache_read" in prices
            charged[bucket] = min(charged[also], charged["cache_read"]) if both else beside
        if bucket in prices:
            charged[bucket] = _price(prices[bucket], above, decimals)
        weights[bucket] = charged[bucket] - beside
    if "web_search" in prices:
        weights["web_search"] = _price(prices["web_search"], above, decimals + 6)
    fee = _price(prices["request"], above, decimals + 6) if "request" in prices else 0
    return _Bracket(above, [weights[name] for name in names], fee)


def _price(steps: Sequence[tuple[int, Decimal]], above: int, decimals: int) -> int:
    found = next((price for start, price in reversed(steps) if start <= above), steps[0][1])
    return int(EXACT.scaleb(found, decimals))


def _leaves(prices: Prices) -> Iterator[dict[str, int]]:
    """For each whole, what is left of it when its priced parts are taken out; what two parts share counts once."""
    for whole in dict.fromkeys((*WHOLE.values(), *_ALSO.values())):
        if whole is None or whole not in prices:
            continue
        parts = {name: -1 for name, of in WHOLE.items() if whole in (of, _ALSO.get(name)) and name in prices}
        if whole == "input":
            parts |= {name: 1 for name, kind in _ALSO.items() if {"cache_read", kind} <= prices.keys()}
        if parts:
            yield {whole: 1, **parts}


def multiplied(prices: Prices, factor: Decimal) -> Prices:
    """All of `prices`, by the same factor."""
    if factor == 1:
        return prices
    return {name: [(above, EXACT.multiply(each, factor)) for above, each in steps] for name, steps in prices.items()}
