"""Prices applied to counts."""

from __future__ import annotations

import decimal
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import genai_prices
import pytest
from genai_prices import data_snapshot
from genai_prices.types import ModelPrice
from hypothesis import given, settings
from hypothesis import strategies as st

from llmlog.rates import BUCKETS, Rates, multiplied
from llmlog.usage import Usage


def rates(**prices: str) -> Rates:
    """Rates of one step each."""
    return Rates({name: [(0, Decimal(price))] for name, price in prices.items()}, "here")


def amount(made: Rates, **counts: int) -> Decimal | None:
    """What the counts cost."""
    found = made.price(Usage(**counts))
    return None if found is None else found.amount


class TestRates:
    def test_charge_each_part_at_its_own_price(self) -> None:
        """Cached, written, reasoned and heard tokens are taken out of the whole that they are a part of."""
        made = rates(input="3", output="15", cache_read="0.3", cache_write="3.75", cache_write_1h="6", reasoning="20",
                     input_audio="30")  # fmt: skip
        found = amount(made, input_tokens=1000, output_tokens=100, cache_read_tokens=200, cache_write_tokens=300,
                       cache_write_1h_tokens=100, reasoning_tokens=40, input_audio_tokens=50)  # fmt: skip
        per_million = 450 * 3 + 200 * Decimal("0.3") + 200 * Decimal("3.75") + 100 * 6 + 50 * 30 + 60 * 15 + 40 * 20
        assert found == per_million / 1_000_000

    def test_charge_a_part_without_a_price_as_its_whole(self) -> None:
        """Reasoning is output, an hour's cache write is a cache write, and cached tokens are input."""
        made = rates(input="2", output="8", cache_write="2.5")
        counts = {"input_tokens": 100, "output_tokens": 10, "reasoning_tokens": 5, "cache_read_tokens": 50}
        assert amount(made, **counts) == Decimal("0.00028")
        assert amount(made, input_tokens=100, output_tokens=0, cache_write_tokens=100, cache_write_1h_tokens=50) == (
            Decimal("0.00025")
        )

    def test_follow_the_size_of_the_input(self) -> None:
        """Above a step, all tokens of the request have its price; at it, none."""
        steps = {"input": [(0, Decimal(1)), (200_000, Decimal(2))], "output": [(0, Decimal(5))]}
        made = Rates(steps, "here")
        assert amount(made, input_tokens=200_000, output_tokens=0) == Decimal("0.2")
        assert amount(made, input_tokens=200_001, output_tokens=0) == Decimal("0.400002")

    def test_take_a_fee_by_request_for_its_searches(self) -> None:
        """Where only requests have a fee, searches cost nothing more, and the price is whole."""
        made = rates(input="1", output="1", request="0.012")
        found = made.price(Usage(0, 0, web_searches=3))
        assert found is not None
        assert (found.amount, found.partial) == (Decimal("0.012"), False)

    def test_charge_fees_by_the_piece(self) -> None:
        """Each search, and each request."""
        made = rates(input="1", output="1", web_search="0.01", request="0.005")
        assert amount(made, input_tokens=0, output_tokens=0, web_searches=3) == Decimal("0.035")

    def test_know_what_the_cache_held_of_the_sound(self) -> None:
        """What is both cached and audio is taken out of the input once."""
        made = rates(input="10", output="1", cache_read="1", input_audio="100", cache_audio_read="2")
        counts = {"input_tokens": 100, "output_tokens": 0, "cache_read_tokens": 60, "input_audio_tokens": 50}
        found = amount(made, **counts, cache_audio_read_tokens=20)
        assert found == Decimal(10 * 10 + 40 * 1 + 30 * 100 + 20 * 2) / 1_000_000

    def test_take_the_least_where_it_is_not_told(self) -> None:
        """Of all that the cache can have held, what costs least, as a lower bound."""
        made = rates(input="10", output="1", cache_read="1", input_audio="100", cache_audio_read="2")
        counts = {"input_tokens": 100, "output_tokens": 0, "cache_read_tokens": 60, "input_audio_tokens": 50}
        found = made.price(Usage(**counts))
        assert found is not None
        assert found.partial
        possible = [amount(made, **counts, cache_audio_read_tokens=n) for n in range(10, 51)]
        assert found.amount == min(each for each in possible if each is not None)

    @pytest.mark.parametrize(
        "counts",
        [
            {"input_tokens": 5, "output_tokens": 0, "cache_read_tokens": 6},
            {"input_tokens": 5, "output_tokens": 0, "cache_read_tokens": 3, "cache_write_tokens": 3},
            {"input_tokens": 5, "output_tokens": 1, "output_audio_tokens": 2},
        ],
    )
    def test_refuse_parts_that_are_more_than_their_whole(self, counts: dict[str, int]) -> None:
        """No price is right for a usage that cannot be."""
        made = rates(input="1", output="1", cache_read="0.1", cache_write="1.2", output_audio="9")
        assert amount(made, **counts) is None

    @pytest.mark.parametrize(
        ("counts", "partial"),
        [
            ({"input_tokens": 5, "output_tokens": 5}, False),
            ({"input_tokens": 5, "output_tokens": 5, "cache_read_tokens": 1}, False),
            ({"input_tokens": 5, "output_tokens": 5, "input_image_tokens": 1}, False),
            ({"input_tokens": 5, "output_tokens": 5, "cache_write_tokens": 1}, True),
            ({"input_tokens": 5, "output_tokens": 5, "input_audio_tokens": 1}, True),
            ({"input_tokens": 5, "output_tokens": 5, "output_image_tokens": 1}, True),
            ({"input_tokens": 5, "output_tokens": 5, "web_searches": 1}, True),
            ({"input_tokens": 5, "output_tokens": 5, "web_searches": 0}, False),
            ({"input_tokens": 5}, True),
        ],
    )
    def test_say_where_they_lack_something(self, counts: dict[str, int], partial: bool) -> None:
        """What mostly costs more than its whole, and has no price of its own, makes it a lower bound."""
        found = rates(input="1", output="1").price(Usage(**counts))
        assert found is not None
        assert found.partial is partial

    def test_are_exact_whatever_the_application_does(self) -> None:
        """A decimal context of the application's is not used, and not changed."""
        made = rates(input="0.123456789", output="1")
        with decimal.localcontext(decimal.Context(prec=2, traps=[decimal.Inexact])) as context:
            found = amount(made, input_tokens=123_456_789, output_tokens=1)
            assert not context.flags[decimal.Inexact]
        assert found == Decimal("15.241579750190521")

    def test_can_all_be_multiplied(self) -> None:
        """A discount is a factor of each step of each price."""
        half = multiplied({"input": [(0, Decimal(1)), (5, Decimal(3))]}, Decimal("0.5"))
        assert half == {"input": [(0, Decimal("0.5")), (5, Decimal("1.5"))]}


NAMES = {f"{bucket}_tokens": f"{bucket}_tokens" for bucket in BUCKETS} | {
    "reasoning_tokens": "output_reasoning_tokens",
    "web_searches": "web_searches",
}
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
MODELS = [
    (provider.id, model)
    for provider in data_snapshot.get_snapshot().providers
    for model in provider.models
    if any(key.startswith(("input_", "output_", "cache_", "web", "requests")) for key in vars(model.get_prices(NOON)))
]


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """A usage that can be: no part is more than its whole."""
    sizes = st.integers(0, 300_000)

    def part(of: int) -> int:
        return draw(st.integers(0, of))

    audio_in_cache, image_in_cache, text_in_cache, hour, minutes = (draw(sizes) for _ in range(5))
    audio, image, video, reasoning, made_audio, made_image = (part(9999) for _ in range(6))
    read, write = audio_in_cache + image_in_cache + text_in_cache, hour + minutes
    return Usage(
        input_tokens=read + write + audio + image + video + draw(sizes),
        output_tokens=reasoning + made_audio + made_image + draw(sizes),
        cache_read_tokens=read,
        cache_write_tokens=write,
        cache_write_1h_tokens=hour,
        reasoning_tokens=reasoning,
        input_audio_tokens=audio + audio_in_cache,
        input_image_tokens=image + image_in_cache,
        input_video_tokens=video,
        output_audio_tokens=made_audio,
        output_image_tokens=made_image,
        cache_audio_read_tokens=audio_in_cache,
        cache_image_read_tokens=image_in_cache,
        web_searches=part(9),
    )


@settings(max_examples=300, deadline=None)
@given(usages(), st.sampled_from(MODELS))
def test_agree_with_genai_prices(usage: Usage, of: tuple[str, Any]) -> None:
    """For any usage of any model that genai-prices has a price of, the sum is its own."""
    from llmlog.costs import price

    provider, model = of
    table = model.get_prices(NOON)
    assert isinstance(table, ModelPrice)
    theirs = {NAMES[name]: n for name, n in usage.as_fields().items() if name in NAMES}
    expected = table.calc_price(genai_prices.Usage(**theirs))["total_price"]
    found = price(usage, model.id, provider=provider, at=NOON)
    if found is None:  # the id of one model may match another, and some are not priced by tokens
        return
    if genai_prices.calc_price(genai_prices.Usage(), model.id, provider_id=provider,
                               genai_request_timestamp=NOON).model is model:  # fmt: skip
        assert abs(found.amount - expected) < Decimal("1e-12"), (provider, model.id)
