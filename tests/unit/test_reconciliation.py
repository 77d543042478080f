"""Logs beside a provider's account: which models are the same, and what differs."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from llmlog.reconciliation import Account, Difference, Names
from llmlog.usage_exports import Row

DAY = date(2026, 1, 31)
USED = {"requests": 10, "input_tokens": 1000, "output_tokens": 100, "cost_usd": "0.25"}


def decimals(given: dict[str, Any]) -> dict[str, Decimal]:
    return {name: Decimal(str(value)) for name, value in given.items() if value is not None}


def row(model: str = "gpt-4o-2024-08-06", day: date = DAY, **figures: Any) -> Row:
    return Row(day, model, decimals({**USED, **figures}))


def log(account: Account, *names: str, estimated: bool = False, is_least: bool = False, **figures: Any) -> None:
    given = decimals({**USED, **figures})
    account.log(DAY, names or ("gpt-4o-2024-08-06",), given, is_estimated=estimated, is_least=is_least)


def found(account: Account) -> list[tuple[str, str, list[str]]]:
    """Model, verdict, and the figures that differ."""
    return [
        (model, verdict, [one.figure for one in figures if not one.is_same])
        for (_, model), verdict, figures in account.compared()
    ]


@pytest.mark.parametrize(
    ("exported", "names", "expected"),
    [
        (["gpt-4o-2024-08-06", "gpt-4o"], ["gpt-4o-2024-08-06", "gpt-4o"], "gpt-4o-2024-08-06"),
        (["gpt-4o-2024-08-06"], ["gpt-4o"], "gpt-4o-2024-08-06"),
        (["gpt-4o"], ["gpt-4o-2024-08-06", "gpt-4o"], "gpt-4o"),
        (["gpt-4o"], ["gpt-4o-2024-08-06"], "gpt-4o"),
        (["gpt-4o-2024-05-13"], ["gpt-4o-2024-08-06"], None),
        (["gpt-4o-2024-05-13", "gpt-4o-2024-08-06"], ["gpt-4o"], None),
        (["gpt-4o-2024-05-13", "gpt-4o-2024-08-06"], ["gpt-4o-2024-08-06", "gpt-4o"], "gpt-4o-2024-08-06"),
        (["gpt-4o", "gpt-4o-mini"], ["gpt-4o-mini-2024-07-18"], "gpt-4o-mini"),
        (["gpt-4-0613"], ["gpt-4"], "gpt-4-0613"),
        (["claude-haiku-4-5-20251001", "Claude Haiku 4.5"], ["claude-haiku-4-5"], "claude-haiku-4-5-20251001"),
        (["Claude 3.5 Sonnet 2024-10-22"], ["claude-3-5-sonnet-latest"], "claude-3-5-sonnet-2024-10-22"),
        (["gemini-2.0-flash-001"], ["models/Gemini-2.0-flash"], "gemini-2.0-flash-001"),
        (["claude-opus-4-1"], ["claude-opus-4"], None),
        (["gpt-4o"], [], None),
    ],
)
def test_names(exported: list[str], names: list[str], expected: str | None) -> None:
    """The model that answered first, as it is, then without its date; another date is another model."""
    assert Names(exported).of(*names) == expected


def test_nothing_differs() -> None:
    """Several rows of an export and several calls add up."""
    account = Account([row(), row()], Decimal(0))
    for _ in range(4):
        log(account, requests=5, input_tokens=500, output_tokens=50, cost_usd="0.125")
    assert found(account) == [("gpt-4o-2024-08-06", "same", [])]


@pytest.mark.parametrize("figure", sorted(USED))
def test_one_figure_differs(figure: str) -> None:
    """Each of them is looked at, and what the export does not have is not."""
    account = Account([row()], Decimal(0))
    log(account, **{figure: "9"})
    assert found(account) == [("gpt-4o-2024-08-06", "different", [figure])]
    account = Account([row(**{figure: None})], Decimal(0))
    log(account, **{figure: "9"})
    assert found(account) == [("gpt-4o-2024-08-06", "same", [])]


def test_missing_and_extra() -> None:
    """One side has a model on a day that the other has not; what is nothing at all is not told."""
    nothing = row("gpt-5", requests=0, input_tokens=0, output_tokens=0, cost_usd=0)
    account = Account([row(), row("gpt-4"), row("gpt-4", date(2026, 2, 1)), nothing], Decimal(0))
    log(account)
    log(account, "o3")
    assert found(account) == [
        ("gpt-4", "missing", []), ("gpt-4o-2024-08-06", "same", []), ("o3", "extra", []), ("gpt-4", "missing", []),
    ]  # fmt: skip


def test_a_cost_that_is_of_no_model() -> None:
    """Of an export that is not by model: missing, and not lost."""
    assert found(Account([row("")], Decimal(0))) == [("", "missing", [])]


@pytest.mark.parametrize(("apart", "is_same"), [(990, True), (1010, True), (989, False), (1011, False)])
def test_tolerance(apart: int, is_same: bool) -> None:
    """A part of the export's figure, either way."""
    account = Account([row()], Decimal("0.01"))
    log(account, input_tokens=apart)
    assert found(account)[0][1] == ("same" if is_same else "different")


@pytest.mark.parametrize(
    ("cost", "rows", "is_same"),
    [("0.254", 1, True), ("0.256", 1, False), ("0.506", 2, True), ("0.511", 2, False)],
)
def test_costs_are_rounded(cost: str, rows: int, is_same: bool) -> None:
    """An export in cents may be off by half a cent for each of its costs."""
    account = Account([row()] * rows, Decimal(0))
    log(account, requests=10 * rows, input_tokens=1000 * rows, output_tokens=100 * rows, cost_usd=cost)
    assert found(account)[0][1] == ("same" if is_same else "different")


def test_exact_costs_are_exact() -> None:
    """An export in millionths is compared to the half of one."""
    account = Account([row(cost_usd="0.250000")], Decimal(0))
    log(account, cost_usd="0.250001")
    assert found(account)[0][2] == ["cost_usd"]


@pytest.mark.parametrize(("exported", "is_same"), [("0.30", True), ("0.20", False)])
def test_a_cost_that_is_a_lower_bound(exported: str, is_same: bool) -> None:
    """The provider may have more than it, and not less."""
    account = Account([row(cost_usd=exported)], Decimal(0))
    log(account, is_least=True)
    assert found(account)[0][1] == ("same" if is_same else "different")


@pytest.mark.parametrize(
    ("requests", "tokens", "differs"),
    [
        (10, 1000, []), (12, 1200, []), (12, 1250, []), (12, 1251, ["input_tokens"]), (9, 1000, ["requests"]),
        (13, 1200, ["requests"]), (10, 999, ["input_tokens"]),
    ],
)  # fmt: skip
def test_estimates(requests: int, tokens: int, differs: list[str]) -> None:
    """The provider's figure lies between that of the calls it told, and all with a quarter more of the estimates."""
    account = Account([row(requests=requests, input_tokens=tokens)], Decimal(0))
    log(account)
    log(account, requests=2, input_tokens=200, output_tokens=0, cost_usd=0, estimated=True)
    assert found(account)[0][2] == differs
    ((_, _, figures),) = account.compared()
    assert [(one.figure, one.logged, one.estimated) for one in figures[:2]] == [
        ("requests", 12, 2), ("input_tokens", 1200, 200),
    ]  # fmt: skip


def test_what_one_side_does_not_tell() -> None:
    """It is not apart, and differs in nothing."""
    one = Difference("requests", None, Decimal(0), Decimal(1), is_least=False, less=Decimal(0), more=Decimal(0))
    assert (one.apart, one.is_same) == (None, True)
