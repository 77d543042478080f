"""What a call cost."""

from __future__ import annotations

import decimal
import itertools
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import genai_prices
import pytest
from conftest import chunk
from genai_prices import calc_price, data_snapshot
from genai_prices.types import ConditionalPrice, TimeOfDateConstraint

import llmlog
from llmlog import costs, settings
from llmlog.costs import Price, cost, of_record, price
from llmlog.exceptions import UsageTypeError, UsageValueError
from llmlog.price_tables import load
from llmlog.testing import Captured
from llmlog.usage import Usage

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
USAGE = Usage(input_tokens=1000, output_tokens=100)


def theirs(
    model: str, provider: str | None, at: datetime, context: dict[str, str] | None = None, **usage: int
) -> Decimal:
    """genai-prices' own answer."""
    return calc_price(
        genai_prices.Usage(**usage),
        model,
        provider_id=provider,
        genai_request_timestamp=at,
        price_context=context,
    ).total_price


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    costs._rates.cache_clear()
    yield
    costs._rates.cache_clear()


class TestCost:
    def test_is_decimal_dollars(self) -> None:
        """A thousand tokens in and a hundred out of gpt-4o-mini."""
        assert cost(USAGE, "gpt-4o-mini", provider="openai", at=NOON) == Decimal("0.00021")

    def test_takes_a_mapping_with_the_same_names(self) -> None:
        """A Usage and its counts as a dict cost the same; None is not known."""
        counts = {"input_tokens": 1000, "output_tokens": 100, "cache_read_tokens": None}
        assert cost(counts, "gpt-4o", at=NOON) == cost(USAGE, "gpt-4o", at=NOON) is not None

    def test_has_cached_tokens_at_their_own_price(self) -> None:
        """Cached tokens are a part of the input, and are not counted twice."""
        usage = Usage(1000, 100, cache_read_tokens=600, cache_write_tokens=300)
        expected = theirs(
            "claude-haiku-4-5", "anthropic", NOON, input_tokens=1000, output_tokens=100,
            cache_read_tokens=600, cache_write_tokens=300,
        )  # fmt: skip
        assert cost(usage, "claude-haiku-4-5", provider="anthropic", at=NOON) == expected
        assert expected < (cost(USAGE, "claude-haiku-4-5", provider="anthropic", at=NOON) or 0)

    def test_follows_the_size_of_the_prompt(self) -> None:
        """Beyond a tier's start, every token has the tier's price."""
        for tokens in (200_000, 200_001):
            expected = theirs("gemini-2.5-pro", "google", NOON, input_tokens=tokens, output_tokens=10)
            assert cost(Usage(tokens, 10), "gemini-2.5-pro", provider="gcp.gemini", at=NOON) == expected

    def test_follows_the_time(self) -> None:
        """Dated prices, and prices by the time of day, at the moment of the call; a naive time is UTC."""
        for hour, minute in itertools.product((0, 1, 16, 17), (0, 29, 30, 31)):
            at = datetime(2025, 6, 1, hour, minute, 59, tzinfo=UTC)
            expected = theirs("deepseek-chat", "deepseek", at, input_tokens=1000, output_tokens=100)
            for same in (at, at.replace(tzinfo=None), at.astimezone(timezone(timedelta(hours=9)))):
                assert cost(USAGE, "deepseek-chat", provider="deepseek", at=same) == expected

    def test_is_todays_by_default(self) -> None:
        """Without a time, it is the price of now."""
        assert cost(USAGE, "gpt-4o", provider="openai") == cost(
            USAGE, "gpt-4o", provider="openai", at=datetime.now(UTC)
        )

    @pytest.mark.parametrize(
        ("model", "provider"),
        [
            ("no-such-model", None),
            ("no-such-model", "openai"),
            ("llama-3", "openai"),
            ("claude-sonnet-4-5", "openai"),
            ("gpt-4o", "no-such-provider"),
            ("gpt-4o", "my-openai-compatible-server"),
            ("gpt-4o", "ollama"),
            ("openai/gpt-4o", "anthropic"),
            ("/", None),
            ("openai/", "openai"),
            ("", "openai"),
            (None, "openai"),
            ("\ud800", "\0"),
            ("gpt-4o", ""),
        ],
    )
    def test_is_none_where_the_price_is_unknown(self, model: str | None, provider: str | None) -> None:
        """Unknown models and providers have no price, which is not 0, and do not raise."""
        assert cost(USAGE, model, provider=provider, at=NOON) is None

    def test_is_none_where_the_table_has_no_figure(self) -> None:
        """A model that is listed without any price is not free."""
        listed = [
            (model.id, provider.id)
            for provider in data_snapshot.get_snapshot().providers
            for model in provider.models
            if not isinstance(model.prices, list) and not vars(model.prices)
        ]
        for model, provider in listed[:20]:
            assert cost(USAGE, model, provider=provider, at=NOON) is None

    def test_is_none_where_the_table_has_no_price_of_tokens(self) -> None:
        """A model that is charged for by the hour or by the character has not cost nothing; a fee may be the user's."""
        for model in ("whisper-1", "tts-1"):
            assert cost(USAGE, model, provider="openai", at=NOON) is None
            fee = load({"name": "x", "version": "1", "models": {model: {"request": 0.006}}})
            found = price(USAGE, model, provider="openai", at=NOON, table=fee)
            assert found is not None
            assert (found.amount, found.partial) == (Decimal("0.006"), True)

    def test_is_none_for_a_usage_that_cannot_be(self) -> None:
        """More cached than sent, or more of it kept for an hour than written, has no cost."""
        assert cost(Usage(10, 10, cache_read_tokens=11), "gpt-4o", at=NOON) is None
        strange = Usage(10, 10, cache_write_tokens=2, cache_write_1h_tokens=3)
        assert cost(strange, "claude-sonnet-5", at=NOON) is None

    def test_is_partial_where_the_reasoning_was_not_counted_in(self) -> None:
        """More reasoning than answered: what was answered has its price, and the rest is not known."""
        found = price(Usage(10, 10, reasoning_tokens=11), "gpt-4o", at=NOON)
        assert found is not None
        assert (found.amount, found.partial) == (cost(Usage(10, 10), "gpt-4o", at=NOON), True)
        assert cost(Usage(), "gpt-4o", at=NOON) is None

    def test_of_nothing_is_zero(self) -> None:
        """A known price times no tokens."""
        assert cost(Usage(0, 0), "gpt-4o", at=NOON) == 0

    @pytest.mark.parametrize(
        ("ours", "named"),
        [
            ("azure", "azure"),
            ("azure.ai.openai", "azure"),
            ("azure_openai", "azure"),
            ("gcp.gemini", "google"),
            ("gcp.vertex_ai", "google"),
            ("Google", "google"),
            ("aws.bedrock", "aws"),
            ("bedrock", "aws"),
            ("groq", "groq"),
            ("deepseek", "deepseek"),
            ("mistral_ai", "mistral"),
            ("x_ai", "x-ai"),
            ("perplexity", "perplexity"),
            ("cohere", "cohere"),
            ("anthropic", "anthropic"),
        ],
    )
    def test_knows_the_providers_by_our_names_and_opentelemetrys(self, ours: str, named: str) -> None:
        """Every name leads to a provider of the price table, whose models it prices."""
        models = {"azure": "gpt-4o", "aws": "amazon.nova-lite-v1:0", "google": "gemini-2.5-flash"}
        provider = next(each for each in data_snapshot.get_snapshot().providers if each.id == named)
        by_tokens = (
            each.id
            for each in reversed(provider.models)
            if not isinstance(each.prices, list) and each.prices.input_mtok is not None
        )
        model = models.get(named) or next(by_tokens)
        assert cost(USAGE, model, provider=ours, at=NOON) == theirs(
            model, named, NOON, input_tokens=1000, output_tokens=100
        )

    @pytest.mark.parametrize(
        ("model", "provider", "plain", "owner"),
        [
            ("openai/gpt-4o", None, "gpt-4o", "openai"),
            ("openai/gpt-4o", "openai", "gpt-4o", "openai"),
            ("azure/gpt-4o", None, "gpt-4o", "azure"),
            ("gemini/gemini-2.5-flash", None, "gemini-2.5-flash", "google"),
            ("models/gemini-2.5-flash", "gcp.gemini", "gemini-2.5-flash", "google"),
            ("projects/p/locations/l/publishers/google/models/gemini-2.5-flash", "gcp.vertex_ai", "gemini-2.5-flash",
             "google"),
            ("publishers/google/models/gemini-2.5-flash", None, "gemini-2.5-flash", "google"),
            ("gpt-4o-2024-08-06", "openai", "gpt-4o", "openai"),
            ("text-embedding-3-small", None, "text-embedding-3-small", "openai"),
            ("ft:gpt-3.5-turbo-0613:org::id", None, "ft:gpt-3.5-turbo-0613:org::id", "openai"),
        ],
    )  # fmt: skip
    def test_reads_prefixes_and_dates(self, model: str, provider: str | None, plain: str, owner: str) -> None:
        """The names of gateways, snapshots and fine-tuned models."""
        expected = theirs(plain, owner, NOON, input_tokens=1000, output_tokens=100)
        assert cost(USAGE, model, provider=provider, at=NOON) == expected

    def test_of_a_deployment_is_its_models(self) -> None:
        """A configured deployment name stands for its model."""
        settings.change(deployments={"mine": "gpt-4o"})
        assert cost(USAGE, "mine", provider="azure", at=NOON) == cost(USAGE, "gpt-4o", provider="azure", at=NOON)

    def test_does_not_depend_on_what_was_asked_before(self) -> None:
        """Every order of look-ups gives the same answers: the memory holds all that an answer depends on."""
        questions: list[dict[str, Any]] = [
            {"provider": "azure", "at": NOON},
            {"provider": "openai", "at": NOON},
            {"provider": None, "at": NOON},
            {"provider": "openrouter", "at": NOON},
            {"provider": "openai", "at": NOON, "service_tier": "priority"},
            {"provider": "openai", "at": NOON, "service_tier": "batch"},
        ]
        alone = []
        for question in questions:
            costs._rates.cache_clear()
            alone.append(price(USAGE, "gpt-4.1", **question))
        for order in itertools.permutations(range(len(questions)), 3):
            costs._rates.cache_clear()
            assert [price(USAGE, "gpt-4.1", **questions[i]) for i in order] == [alone[i] for i in order]

    def test_does_not_depend_on_the_applications_decimal_context(self) -> None:
        """The application's precision and traps are its own."""
        with decimal.localcontext(decimal.Context(prec=3, traps=[decimal.Inexact])):
            assert cost(Usage(123_457, 7), "gpt-4o-mini", provider="openai", at=NOON) == Decimal("0.01852275")


class TestEveryModel:
    def test_costs_what_genai_prices_says(self) -> None:
        """For each model of the installed table, below and above its tiers, the sum is the library's own."""
        compared = 0
        for provider in data_snapshot.get_snapshot().providers:
            for model in provider.models:
                rates = costs._rates((model.id,), provider.id, None, None, int(NOON.timestamp() // 60), None)
                if rates is None:
                    continue
                for usage in ((12_345, 678, 0, 0, 0), (312_345, 1678, 4000, 5000, 321)):
                    names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens",
                             "output_reasoning_tokens")  # fmt: skip
                    expected = theirs(
                        model.id,
                        provider.id,
                        NOON,
                        None,
                        **{k: v for k, v in zip(names, usage, strict=True) if v},
                    )
                    found = cost(Usage(*usage), model.id, provider=provider.id, at=NOON)
                    assert found is not None
                    assert abs(found - expected) < Decimal("5e-13"), (model.id, provider.id)
                    compared += 1
        assert compared > 2000

    def test_changes_its_price_at_full_minutes(self) -> None:
        """Prices are remembered by the minute, which is right only while they change at none between."""
        for provider in data_snapshot.get_snapshot().providers:
            for model in provider.models:
                for one in model.prices if isinstance(model.prices, list) else []:
                    assert isinstance(one, ConditionalPrice)
                    if isinstance(one.constraint, TimeOfDateConstraint):
                        times = (one.constraint.start_time, one.constraint.end_time)
                        assert all(each.second == each.microsecond == 0 for each in times)


class TestPrice:
    def test_names_its_source(self) -> None:
        """The table and its version."""
        found = price(USAGE, "gpt-4o", provider="openai", at=NOON)
        assert found == Price(found.amount if found else Decimal(0), f"genai-prices {genai_prices.__version__}")

    @pytest.mark.parametrize(
        ("usage", "model", "partial"),
        [
            (Usage(1000, 100), "gpt-4o", False),
            (Usage(1000, None), "gpt-4o", True),
            (Usage(None, 100), "gpt-4o", True),
            (Usage(1000, None), "text-embedding-3-small", False),
            (Usage(1000, 0), "text-embedding-3-small", False),
            (Usage(1000, 5), "text-embedding-3-small", True),
        ],
    )
    def test_is_partial_where_something_is_missing(self, usage: Usage, model: str, partial: bool) -> None:
        """A count that is not known, or a bucket without a price, makes it a lower bound."""
        found = price(usage, model, provider="openai", at=NOON)
        assert found is not None
        assert (found.partial, found.amount > 0) == (partial, True)

    def test_of_an_unknown_input_has_at_least_the_cached_ones(self) -> None:
        """What is known of a count that is not is in the lower bound."""
        found = price(Usage(None, 0, cache_read_tokens=1000), "gpt-4o", provider="openai", at=NOON)
        assert found is not None
        assert found.partial
        assert found.amount == theirs("gpt-4o", "openai", NOON, input_tokens=1000, cache_read_tokens=1000)

    def test_follows_the_service_tier(self) -> None:
        """The tier of the response has its own prices where the table has them, or else the standard ones."""
        by_tier: dict[str | None, Price | None] = {
            tier: price(USAGE, "gpt-5", provider="openai", at=NOON, service_tier=tier)
            for tier in (None, "default", "flex", "priority", "batch", "no-such-tier")
        }
        for tier, found in by_tier.items():
            context = {"processing": "batch"} if tier == "batch" else {"service_tier": tier} if tier else None
            assert found is not None
            assert found.amount == theirs("gpt-5", "openai", NOON, context, input_tokens=1000, output_tokens=100)


class TestWrongUse:
    @pytest.mark.parametrize(
        ("usage", "options", "shown"),
        [
            (5, {}, "5"),
            (None, {}, "None"),
            ({"input_tokens": "many"}, {}, "'many'"),
            ({"input_tokens": True}, {}, "True"),
            ({"input_tokens": 1.5}, {}, "1.5"),
            (USAGE, {"model": 5}, "5"),
            (USAGE, {"provider": b"openai"}, "b'openai'"),
            (USAGE, {"at": "today"}, "'today'"),
            (USAGE, {"service_tier": 5}, "5"),
        ],
    )
    def test_of_a_type_is_refused_with_the_value(self, usage: Any, options: dict[str, Any], shown: str) -> None:
        """A wrong type is a TypeError, at the call."""
        with pytest.raises(UsageTypeError) as error:
            price(usage, **{"model": "gpt-4o", **options})
        assert shown in str(error.value)

    @pytest.mark.parametrize(
        ("usage", "shown"),
        [({"prompt_tokens": 5}, "'prompt_tokens'"), ({"input_tokens": -5}, "-5")],
    )
    def test_of_a_value_is_refused_with_the_value(self, usage: Any, shown: str) -> None:
        """An unknown name or a negative count is a ValueError, at the call."""
        with pytest.raises(UsageValueError) as error:
            cost(usage, "gpt-4o")
        assert shown in str(error.value)

    @pytest.mark.parametrize("hours", [-14, 0, 14])
    def test_of_any_time_is_taken(self, hours: int) -> None:
        """The first and the last that there are, wherever: a log may have such ones."""
        somewhere = timezone(timedelta(hours=hours))
        for at in (datetime.min, datetime.max):
            assert cost(USAGE, "gpt-4o", at=at.replace(tzinfo=somewhere)) is not None
        assert of_record({**TestOfRecord.RECORD, "timestamp": "9999-12-31T23:59:59.999999-14:00"}) is not None


class TestLoading:
    def test_is_left_to_the_first_use(self) -> None:
        """The import does not load the tables; warm() does, and opens no socket."""
        code = (
            "import socket, sys\n"
            "def refuse(*_, **__): raise AssertionError('a socket was opened')\n"
            "socket.socket.__init__ = socket.create_connection = socket.getaddrinfo = refuse\n"
            "from llmlog import costs; print('genai_prices' in sys.modules)\n"
            "costs.warm(); print('genai_prices.data' in sys.modules)"
        )
        paths = [each for each in sys.path if each]
        done = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}\n{code}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout.split(), done.stderr) == (["False", "True"], "")

    def test_is_done_once_for_a_minute(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A price that was looked up is not looked up again."""
        first = cost(USAGE, "gpt-4o", provider="openai", at=NOON)
        monkeypatch.setattr(genai_prices, "calc_price", None)
        assert cost(USAGE, "gpt-4o", provider="openai", at=NOON + timedelta(seconds=59)) == first


class TestOfRecord:
    RECORD: Mapping[str, Any] = {
        "timestamp": "2026-06-01T12:00:00.000000Z",
        "provider": "openai",
        "model": "gpt-4o",
        "response_model": "gpt-4o-2024-08-06",
        "input_tokens": 1000,
        "output_tokens": 100,
        "total_tokens": 1100,
        "cost_usd": 99.0,
    }

    def test_is_what_its_usage_cost_then(self) -> None:
        """By the figures, the model, the tier and the time that stand in it, whatever cost does."""
        found = of_record(self.RECORD)
        assert found == price(USAGE, "gpt-4o", provider="openai", at=NOON)
        tier = {**self.RECORD, "model": "o3", "service_tier": "priority", "timestamp": "2026-11-01T00:00:00Z"}
        later = datetime(2026, 11, 1, tzinfo=UTC)
        expected = price(USAGE, "gpt-4o", provider="openai", at=later, service_tier="priority")
        assert of_record(tier) == expected

    def test_may_be_by_another_table(self) -> None:
        """A new table, for the same usage."""
        found = of_record(self.RECORD, table=load({"name": "x", "version": "1", "models": {"gpt-4o*": {"input": 1}}}))
        assert found == Price(Decimal("0.001"), "x 1", partial=True)

    @pytest.mark.parametrize("why", ["the request was refused", "the provider was not reached", "a cache answered"])
    def test_of_what_was_not_billed_is_nothing(self, why: str) -> None:
        """Whatever was counted."""
        found = of_record({**self.RECORD, "cost_source": f"not billed: {why}"})
        assert found is not None
        assert found.amount == 0

    @pytest.mark.parametrize(
        "record",
        [
            {},
            {"timestamp": "2026-06-01T12:00:00Z", "model": "gpt-4o"},
            {**RECORD, "timestamp": None},
            {**RECORD, "input_tokens": "many"},
            {**RECORD, "model": 5, "response_model": None},
            {**RECORD, "model": "no-such-model", "response_model": "no-such-model"},
        ],
    )
    def test_of_what_cannot_be_priced_is_none(self, record: dict[str, Any]) -> None:
        """No usage, no time, no model with a price: a file may hold any line."""
        assert of_record(record) is None


class TestRecords:
    """What a summary record says of its cost."""

    def test_has_its_tier_in_the_price(self, calls: Captured) -> None:
        """Anthropic's fast mode has prices of its own, and its cache for an hour too; searches are charged each."""
        usage = {
            "input_tokens": 10,
            "cache_creation_input_tokens": 300,
            "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
            "server_tool_use": {"web_search_requests": 2},
            "output_tokens": 20,
            "speed": "fast",
            "service_tier": "standard",
        }
        message = {"type": "message", "role": "assistant", "model": "claude-opus-5", "content": [], "usage": usage,
                   "stop_reason": "end_turn"}  # fmt: skip
        with llmlog.call(provider="anthropic", model="claude-opus-5") as call:
            call.finish(message)
        record = calls.one()
        assert (record["service_tier"], record["cache_write_1h_tokens"], record["web_searches"]) == ("fast", 200, 2)
        expected = theirs(
            "claude-opus-5", "anthropic", datetime.now(UTC), {"speed": "fast"}, input_tokens=310, output_tokens=20,
            cache_write_tokens=300, cache_write_1h_tokens=200, web_searches=2,
        )  # fmt: skip
        assert record["cost_usd"] == float(expected)

    def test_has_the_place_in_the_price(self, calls: Captured) -> None:
        """Anthropic charges a tenth more where the model may run in the United States only."""
        for geo in ("us", "not_available", "global"):
            usage = {"input_tokens": 1000, "output_tokens": 0, "inference_geo": geo}
            with llmlog.call(provider="anthropic", model="claude-opus-5") as call:
                call.finish({"type": "message", "role": "assistant", "content": [], "usage": usage})
        us, unknown, anywhere = calls.all()
        assert (us["inference_geo"], anywhere["inference_geo"]) == ("us", "global")
        assert "inference_geo" not in unknown
        assert us["cost_usd"] == pytest.approx(1.1 * anywhere["cost_usd"])
        assert unknown["cost_usd"] == anywhere["cost_usd"]

    def test_has_the_users_price_under_either_name(self, calls: Captured) -> None:
        """A provider answers with the name of a snapshot; the table has the name that was asked for, or a pattern."""
        usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0, "total_tokens": 1_000_000}
        for names in ({"gpt-4o-mini": {"input": 7}}, {"*": {"input": 9}, "gpt-4o-mini-2024-07-18": {"input": 7}}):
            llmlog.configure(prices={"models": names})
            chunks = [chunk("a"), chunk(finish="stop"), {**chunk(), "choices": [], "usage": usage}]
            list(llmlog.stream(chunks, provider="openai", model="gpt-4o-mini"))
        assert [record["response_model"] for record in calls.all()] == ["gpt-4o-mini-2024-07-18"] * 2
        assert [record["cost_usd"] for record in calls.all()] == [7.0, 7.0]

    def test_with_a_count_that_is_not_known_tells_nothing(
        self, calls: Captured, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A lower bound for want of a count is no matter of prices."""
        llmlog.configure(prices={"models": {"never-told": {"input": 1, "output": 1}}})
        list(llmlog.stream(["a"], provider="text", model="never-told"))
        assert calls.one()["cost_partial"] is True
        assert "price" not in capsys.readouterr().err

    def test_without_a_price_is_told_once_for_each_model(
        self, calls: Captured, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """On stderr, beside the records, which have no cost."""
        for model in ("told-once", "told-too", "told-once"):
            list(llmlog.stream(["a"], provider="text", model=model))
        said = capsys.readouterr().err.splitlines()
        assert [line.split("'")[1] for line in said if "no price is known" in line] == ["told-once", "told-too"]
        assert not any("cost_usd" in record for record in calls.all())

    def test_with_parts_that_are_more_than_the_whole_is_told_as_such(
        self, calls: Captured, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It has no cost, for want of a usage that can be, not of a price."""
        llmlog.configure(prices={"models": {"told-of-usage": {"input": 1, "output": 1, "cache_read": 0.1}}})
        usage = {"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 20}}
        last = {**chunk(), "model": "told-of-usage", "choices": [], "usage": usage}
        list(llmlog.stream([chunk("a"), chunk(finish="stop"), last], provider="openai", model="told-of-usage"))
        assert "cost_usd" not in calls.one()
        said = capsys.readouterr().err
        assert "more than their whole" in said
        assert "no price" not in said

    def test_with_a_price_for_a_part_is_told_once(self, calls: Captured, capsys: pytest.CaptureFixture[str]) -> None:
        """A bucket that costs, and has no price, is no bucket that costs nothing."""
        llmlog.configure(prices={"models": {"told-in-part": {"input": 1}}})
        for _ in range(2):
            list(llmlog.stream(["a"], provider="text", model="told-in-part", input="hi"))
        assert capsys.readouterr().err.count("the cost of some calls is a lower bound") == 1
        assert [record["cost_partial"] for record in calls.all()] == [True, True]

    def test_with_a_tier_that_has_no_price_is_a_lower_bound(self) -> None:
        """Priority costs more than the standard tier; how much is not known here."""
        found = price(USAGE, "gpt-4", provider="openai", at=NOON, service_tier="priority")
        assert found is not None
        assert found.partial
        flex = price(USAGE, "gpt-4", provider="openai", at=NOON, service_tier="flex")
        assert flex is not None
        assert not flex.partial
