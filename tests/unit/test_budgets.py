"""What a request's calls come to, and what it may cost."""

from __future__ import annotations

import gc
import logging.config
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from conftest import Records, answer, chunk, usage_chunk

import llmlog
from llmlog import Totals, settings
from llmlog.exceptions import UsageTypeError, UsageValueError

PRICES = {"name": "ours", "version": "1", "models": {"gpt-4o-mini*": {"input": 1000, "output": 10_000}}}
"""A token in is a tenth of a cent, one out a cent."""


@pytest.fixture(autouse=True)
def _prices() -> None:
    llmlog.configure(prices=PRICES)


@pytest.fixture
def budgets(calls: Records) -> Callable[[], list[dict[str, Any]]]:
    """The budgets' records so far."""
    return lambda: calls.events("llm.budget")


def spend(tokens: int = 1) -> None:
    """A call of so many tokens out, and none in."""
    list(llmlog.stream([chunk("x"), chunk(finish="stop"), usage_chunk(0, tokens)], provider="openai"))


class TestTotals:
    def test_are_those_of_the_calls_that_have_ended(self, calls: Records) -> None:
        """Calls, tokens and cost so far."""
        with llmlog.request():
            assert llmlog.totals() == Totals()
            list(llmlog.stream(answer("a", "b"), provider="openai"))
            assert llmlog.totals() == Totals(1, 9, 2, 0.029)
            spend()
            assert llmlog.totals() == Totals(2, 9, 3, 0.039)

    def test_of_no_request_are_none(self, calls: Records) -> None:
        """Outside of any request nothing is added up."""
        spend()
        assert llmlog.totals() == Totals()

    def test_count_in_the_requests_around(self, calls: Records) -> None:
        """An inner request has its own, and the outer one has those too."""
        with llmlog.request():
            spend()
            with llmlog.request("inner"):
                spend(2)
                assert llmlog.totals()[:3] == (1, 0, 2)
            assert llmlog.totals()[:3] == (2, 0, 3)

    def test_are_those_of_all_threads(self, calls: Records) -> None:
        """Calls made elsewhere on behalf of the request count in it."""
        with llmlog.request():
            threads = [threading.Thread(target=llmlog.carry(spend)) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert llmlog.totals() == Totals(8, 0, 8, 0.08)

    def test_are_partial_where_a_price_is_not_known(self, calls: Records) -> None:
        """A call without a cost makes the sum a lower bound."""
        with llmlog.request():
            spend()
            list(llmlog.stream(["text"], provider="text", model="no-such-model"))
            assert llmlog.totals()[3:] == (0.01, True)

    def test_have_aborted_calls_in_them(self, calls: Records) -> None:
        """What was broken off was paid for."""
        with llmlog.request():
            for _ in llmlog.stream([chunk("word "), chunk("word")], provider="openai", input="hi"):
                break
            gc.collect()
            llmlog.flush()
            assert llmlog.totals().calls == 1
            assert llmlog.totals().cost_usd == calls.one()["cost_usd"] > 0

    def test_take_no_field_of_the_users_for_a_figure(self, calls: Records) -> None:
        """A call that knows no input of its own bears the context's field of that name."""
        with llmlog.request(input_tokens="many"):
            list(llmlog.stream(["text"], provider="text"))
            assert llmlog.totals() == Totals(1, 0, 1, 0.0, True)


class TestBudget:
    def test_crossed_is_told_once(self, calls: Records, budgets: Callable[[], list[dict[str, Any]]]) -> None:
        """One warning, with the request's totals, when a call takes it over; reaching it is no crossing."""
        llmlog.configure(budget_usd=0.03)
        with llmlog.request("r-1", feature="search"):
            spend(3)
            assert not budgets()
            spend()
            spend()
        (record,) = budgets()
        assert (record["levelname"], record["name"], record["feature"]) == ("WARNING", "llmlog.events", "search")
        fields = {name: value for name, value in record.items() if name.startswith(("budget", "request_"))}
        assert fields == {
            "request_id": "r-1",
            "budget_usd": 0.03,
            "request_calls": 2,
            "request_input_tokens": 0,
            "request_output_tokens": 4,
            "request_cost_usd": 0.04,
        }
        assert record["message"] == "request over its budget of $0.03: 2 calls, $0.040000"
        assert record["call_id"] == calls.all()[1]["call_id"]
        assert record["record_id"] not in {call["record_id"] for call in calls.all()}

    def test_small_ones_are_written_out(self, budgets: Callable[[], list[dict[str, Any]]]) -> None:
        """The message is for people: a fraction of a cent is no 5e-05, and one call is one."""
        llmlog.configure(budget_usd=0.00005)
        with llmlog.request():
            spend()
        (record,) = budgets()
        assert record["message"] == "request over its budget of $0.00005: 1 call, $0.010000"

    def test_is_that_of_each_request(self, calls: Records, budgets: Callable[[], list[dict[str, Any]]]) -> None:
        """What another request has spent is not counted, and calls outside of any have no budget."""
        llmlog.configure(budget_usd=0.03)
        for _ in range(3):
            with llmlog.request():
                spend(2)
            spend(9)
        assert not budgets()

    def test_is_told_once_for_nested_requests_of_one_id(
        self, calls: Records, budgets: Callable[[], list[dict[str, Any]]]
    ) -> None:
        """A request that goes on with the one around it is that one; another id is another request."""
        llmlog.configure(budget_usd=0.01)
        with llmlog.request("outer"), llmlog.request():
            spend(2)
            with llmlog.request("inner"):
                spend(2)
        assert [record["request_calls"] for record in budgets()] == [1, 1]

    def test_breaks_no_stream(self, calls: Records, budgets: Callable[[], list[dict[str, Any]]]) -> None:
        """The calls after it go on as before."""
        llmlog.configure(budget_usd=0)
        with llmlog.request():
            for _ in range(3):
                assert len(list(llmlog.stream(answer("a", "b"), provider="openai"))) == 5
        assert len(budgets()) == 1
        assert [record["outcome"] for record in calls.all()] == ["completed"] * 3

    def test_calls_the_hook_in_the_requests_context(
        self, calls: Records, budgets: Callable[[], list[dict[str, Any]]]
    ) -> None:
        """Once, with the totals, wherever the call has ended; what it binds is not seen outside."""
        seen: list[Any] = []

        def hook(totals: Totals) -> None:
            llmlog.bind(feature="hook")
            seen.append((totals, llmlog.current()["request_id"], llmlog.totals()))

        llmlog.configure(budget_usd=Decimal("0.01"), on_budget=hook)
        with llmlog.request("r-1"):
            stream = llmlog.stream([chunk("x"), chunk(finish="stop"), usage_chunk(0, 2)], provider="openai")
            thread = threading.Thread(target=lambda: list(stream))
            thread.start()
            thread.join()
            spend()
            assert "feature" not in llmlog.current()
        assert seen == [(Totals(1, 0, 2, 0.02), "r-1", Totals(1, 0, 2, 0.02))]

    @pytest.mark.parametrize("error", [ValueError("no"), GeneratorExit()])
    def test_hook_never_raises_into_the_caller(
        self,
        error: BaseException,
        calls: Records,
        budgets: Callable[[], list[dict[str, Any]]],
        faults_expected: dict[str, int],
    ) -> None:
        """Its failure is a fault, and counted; the record was there before."""

        def hook(totals: Totals) -> None:
            raise error

        llmlog.configure(budget_usd=0, on_budget=hook)
        with llmlog.request():
            spend()
            spend()
        assert len(budgets()) == 1
        assert len(calls.all()) == 2
        faults_expected["calling on_budget"] = 1

    def test_hook_may_make_a_call_itself(self, calls: Records, budgets: Callable[[], list[dict[str, Any]]]) -> None:
        """It counts in the same request, which is told already."""
        llmlog.configure(budget_usd=0, on_budget=lambda totals: spend())
        with llmlog.request():
            spend()
            assert llmlog.totals().calls == 2
        assert len(budgets()) == 1

    @pytest.mark.parametrize(
        ("options", "error", "shown"),
        [
            ({"budget_usd": "5"}, UsageTypeError, "'5'"),
            ({"budget_usd": Decimal("NaN")}, UsageValueError, "NaN"),
            ({"budget_usd": Decimal("sNaN")}, UsageValueError, "NaN"),
            ({"budget_usd": Decimal("1e400")}, UsageValueError, "1E+400"),
            ({"budget_usd": 10**400}, UsageValueError, "1000"),
            ({"budget_usd": True}, UsageTypeError, "True"),
            ({"budget_usd": -1}, UsageValueError, "-1"),
            ({"budget_usd": float("nan")}, UsageValueError, "nan"),
            ({"budget_usd": Decimal("Infinity")}, UsageValueError, "Infinity"),
            ({"on_budget": "print"}, UsageTypeError, "'print'"),
        ],
    )
    def test_wrong_is_refused_with_the_value(self, options: dict[str, Any], error: type[Exception], shown: str) -> None:
        """At configure(), and nothing is changed."""
        with pytest.raises(error) as raised:
            llmlog.configure(log_start=True, **options)
        assert shown in str(raised.value)
        assert not settings.current().log_start

    def test_hook_is_no_coroutine_function(self) -> None:
        """Nobody would await it."""

        async def hook(totals: Totals) -> None: ...

        with pytest.raises(UsageTypeError, match="plain function"):
            llmlog.configure(on_budget=hook)


def told(totals: Totals) -> None:
    """A hook that dictConfig can name."""
    heard.append(totals)


heard: list[Totals] = []


def test_a_plain_dict_config_reaches_them(calls: Records) -> None:
    """Prices, budget and hook from logging's own configuration."""
    options = {
        "()": "llmlog.filters.Options",
        "prices": PRICES,
        "budget_usd": 0.01,
        "on_budget": f"ext://{__name__}.told",
    }
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False, "incremental": False,
                               "filters": {"options": options}})  # fmt: skip
    heard.clear()
    with llmlog.request():
        spend(2)
    assert heard == [Totals(1, 0, 2, 0.02)]
