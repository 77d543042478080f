"""Providers' exports: whose they are, what their columns mean, and what is no export."""

from __future__ import annotations

import io
import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from llmlog.exceptions import LLMLogError, UsageValueError
from llmlog.usage_exports import Export, read

OPENAI = (
    "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,user_id,api_key_id,model,batch,"
    "service_tier,input_tokens,output_tokens,input_cached_tokens,input_uncached_tokens\n"
    "1759622400,1759708800,2025-10-05T00:00:00+00:00,2025-10-06T00:00:00+00:00,p,10.0,u,k,gpt-4o-2024-08-06,FALSE,"
    "default,59200.0,10646.0,5760.0,53440.0\n"
    "1759708800,1759795200,2025-10-06T00:00:00+00:00,2025-10-07T00:00:00+00:00,,,,,,,,,,,\n"
)
OPENAI_NOTHING = (
    "start_time,end_time,start_time_iso,end_time_iso\n"
    "1759622400,1759708800,2025-10-05T00:00:00+00:00,2025-10-06T00:00:00+00:00\n"
)
OPENAI_COSTS = (
    "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id\n"
    '1759622400,1759708800,x,x,0.8958740000000000,usd,"gpt-4o-2024-08-06, cached input",\n'
    "1759622400,1759708800,x,x,0.25,usd,web search tool calls,\n"
    "1759708800,1759795200,x,x,,,,\n"
)
ANTHROPIC = (
    "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,"
    "usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,"
    "usage_output_tokens,web_search_count,inference_geo,speed\n"
    "2026-03-22,claude-sonnet-4-20250514,k,Default,standard,≤ 200k,100000,20,3,4000,5000,10,not_available,\n"
)
ANTHROPIC_COSTS = (
    "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type,"
    "inference_geo,speed\n"
    "2026-03-22,Claude Opus 4.6,Default,k,message,≤ 200k,input_no_cache,1.50,1.50,token,global,\n"
)
OPENAI_API = {
    "object": "page",
    "data": [
        {"object": "bucket", "start_time": 1759622400, "end_time": 1759708800, "results": [
            {"object": "organization.usage.completions.result", "input_tokens": 1000, "output_tokens": 500,
             "input_cached_tokens": 800, "num_model_requests": 5, "model": "gpt-4o-mini-2024-07-18", "batch": None}]},
        {"object": "bucket", "start_time": 1759708800, "end_time": 1759795200, "results": []},
    ],
}  # fmt: skip
OPENAI_COSTS_API = {
    "data": [
        {"start_time": 1759622400, "results": [
            {"object": "organization.costs.result", "amount": {"value": 0.06, "currency": "usd"},
             "line_item": "gpt-4o-2024-08-06, output", "project_id": None}]},
    ],
}  # fmt: skip
ANTHROPIC_API = {
    "data": [
        {"starting_at": "2025-08-01T00:00:00Z", "ending_at": "2025-08-02T00:00:00Z", "results": [
            {"uncached_input_tokens": 1500, "cache_creation": {"ephemeral_1h_input_tokens": 1000,
             "ephemeral_5m_input_tokens": 500}, "cache_read_input_tokens": 200, "output_tokens": 70,
             "server_tool_use": {"web_search_requests": 10}, "model": "claude-sonnet-4-20250514"}]},
    ],
    "has_more": False,
}  # fmt: skip
ANTHROPIC_COSTS_API = {
    "data": [
        {"starting_at": "2025-08-01T00:00:00Z", "ending_at": "2025-08-02T00:00:00Z", "results": [
            {"currency": "USD", "amount": "123.78912", "model": "claude-sonnet-4-20250514"}]},
    ],
}  # fmt: skip
OCTOBER_5, OCTOBER_6, AUGUST_1, MARCH_22 = (
    date(2025, 10, 5), date(2025, 10, 6), date(2025, 8, 1), date(2026, 3, 22),
)  # fmt: skip


def export(content: Any, **columns: list[str]) -> Export:
    raw = (
        content
        if isinstance(content, bytes)
        else (content if isinstance(content, str) else json.dumps(content)).encode()
    )
    return read(io.BytesIO(raw), "usage.csv", columns)


def figures(**given: Any) -> dict[str, Decimal]:
    return {name: Decimal(str(value)) for name, value in given.items()}


@pytest.mark.parametrize(
    ("content", "provider", "days", "rows"),
    [
        (OPENAI, "openai", {OCTOBER_5, OCTOBER_6},
         [(OCTOBER_5, "gpt-4o-2024-08-06", figures(requests=10, input_tokens=59200, output_tokens=10646))]),
        (OPENAI_NOTHING, "openai", {OCTOBER_5}, []),
        (OPENAI_COSTS, "openai", {OCTOBER_5, OCTOBER_6},
         [(OCTOBER_5, "gpt-4o-2024-08-06", figures(cost_usd="0.895874")),
          (OCTOBER_5, "web search tool calls", figures(cost_usd="0.25"))]),
        (ANTHROPIC, "anthropic", {MARCH_22},
         [(MARCH_22, "claude-sonnet-4-20250514", figures(input_tokens=104023, output_tokens=5000))]),
        (ANTHROPIC_COSTS, "anthropic", {MARCH_22}, [(MARCH_22, "Claude Opus 4.6", figures(cost_usd="1.50"))]),
        (OPENAI_API, "openai", {OCTOBER_5, OCTOBER_6},
         [(OCTOBER_5, "gpt-4o-mini-2024-07-18", figures(requests=5, input_tokens=1000, output_tokens=500))]),
        ([OPENAI_API, {"data": []}], "openai", {OCTOBER_5, OCTOBER_6},
         [(OCTOBER_5, "gpt-4o-mini-2024-07-18", figures(requests=5, input_tokens=1000, output_tokens=500))]),
        ({"data": OPENAI_API["data"][1:]}, "openai", {OCTOBER_6}, []),
        ({"data": [{"starting_at": "2025-08-01T00:00:00Z", "results": []}]}, "anthropic", {AUGUST_1}, []),
        (OPENAI_COSTS_API, "openai", {OCTOBER_5}, [(OCTOBER_5, "gpt-4o-2024-08-06", figures(cost_usd="0.06"))]),
        (ANTHROPIC_API, "anthropic", {AUGUST_1},
         [(AUGUST_1, "claude-sonnet-4-20250514", figures(input_tokens=3200, output_tokens=70))]),
        (ANTHROPIC_COSTS_API, "anthropic", {AUGUST_1},
         [(AUGUST_1, "claude-sonnet-4-20250514", figures(cost_usd="1.2378912"))]),
        ("date,model,requests\n", None, set(), []),
        (ANTHROPIC.partition("\n")[0], "anthropic", set(), []),
    ],
)  # fmt: skip
def test_known_exports(content: Any, provider: str | None, days: set[date], rows: list[Any]) -> None:
    """The consoles' files and the APIs' answers are told by their columns."""
    found = export(content)
    assert (found.provider, found.days) == (provider, days)
    assert [tuple(row) for row in found.rows] == rows


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffdate,model,requests\n2026-01-31,m,1\n",
        "date,model,requests\r\n2026-01-31,m,1\r\n",
        "date;model;requests\n2026-01-31;m;1\n",
        'date\tmodel\trequests\n2026-01-31\t"m"\t1',
        " date , model , requests \n2026-01-31, m , 1 \n",
        "\r\n\ndate,model,requests\n2026-01-31,m,1\n",
        "date,model,requests\n\n2026-01-31,m,1\n,,\n",
    ],
)
def test_forms_of_a_file(content: str) -> None:
    """A byte order mark, other ends of lines, blank lines, blanks and other separators change nothing."""
    assert export(content).rows == [(date(2026, 1, 31), "m", figures(requests=1))]


def test_any_export() -> None:
    """Its own columns by our names, several of a figure added up; what it does not have is not there."""
    content = (
        "Day,Slug,Prompt,Cached,Completion,Spent,Note\n2026-01-31,gpt-4o,10,5,1.0,$0.5,x\n2026-02-01,gpt-4o,,,,,\n"
    )
    found = export(
        content, date=["Day"], model=["Slug"], input_tokens=["Prompt", "Cached"], cost_usd=["Spent"],
        output_tokens=["Completion"],
    )  # fmt: skip
    assert found.provider is None
    assert found.days == {date(2026, 1, 31), date(2026, 2, 1)}
    assert found.rows == [(date(2026, 1, 31), "gpt-4o", figures(input_tokens=15, output_tokens="1.0", cost_usd="0.5"))]


def test_a_column_of_a_known_export() -> None:
    """What is said of one column leaves the others as they are known."""
    found = export(OPENAI, input_tokens=["input_uncached_tokens"])
    assert found.rows[0].figures == figures(requests=10, input_tokens=53440, output_tokens=10646)


@pytest.mark.parametrize(
    ("given", "day"),
    [
        ("2026-01-31", date(2026, 1, 31)), ("20260131", date(2026, 1, 31)), ("1769817600", date(2026, 1, 31)),
        ("1769817600.0", date(2026, 1, 31)), ("2026-01-31T23:30:00-01:00", date(2026, 2, 1)),
        ("2026-01-31 23:59", date(2026, 1, 31)), ("2026-01-31T00:00:00Z", date(2026, 1, 31)),
        ("2026/01/31", date(2026, 1, 31)), ("2026/01/31 23:59:00", date(2026, 1, 31)),
        ("2026-01-31 23:59 UTC", date(2026, 1, 31)), ("1769903999.9", date(2026, 1, 31)),
        ("1769903999999", date(2026, 1, 31)),
    ],
)  # fmt: skip
def test_days(given: str, day: date) -> None:
    """A date, a time with or without a zone, Unix seconds: the day is UTC's."""
    assert export(f"date,model,requests\n{given},m,1\n").days == {day}


@pytest.mark.parametrize(
    ("given", "number"),
    [("1234", "1234"), ('"1,234,567.5"', "1234567.5"), ("$0.05", "0.05"), ("1.2e-05", "0.000012"), ("-0.5", "-0.5")],
)
def test_numbers(given: str, number: str) -> None:
    """As people and programs write them, and never as floats."""
    assert export(f"date,model,cost_usd\n2026-01-31,m,{given}\n").rows[0].figures["cost_usd"] == Decimal(number)


@pytest.mark.parametrize(
    ("given", "number"),
    [("1,5", "1.5"), ("1,500", "1.5"), ("1.234,5", "1234.5"), ("1,234,567.5", "1234567.5"), ("0.05", "0.05")],
)
def test_numbers_beside_semicolons(given: str, number: str) -> None:
    """A comma there is what others write as a point: 1,500 dollars are no 1500."""
    assert export(f"date;model;cost_usd\n2026-01-31;m;{given}\n").rows[0].figures["cost_usd"] == Decimal(number)


@pytest.mark.parametrize("given", ["1.000", "1.234.567", '"1,500.5"', "1.5"])
@pytest.mark.parametrize("separator", [",", ";"])
def test_counts_are_whole(given: str, separator: str) -> None:
    """And 1.000 may be one, or a thousand."""
    content = (
        f"date,model,requests\n2026-01-31,m,{given}\n"
        if separator == ","
        else (f"date;model;requests\n2026-01-31;m;{given}\n")
    )
    with pytest.raises(UsageValueError, match="row 1: requests is a"):
        export(content)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "usage.csv is empty"),
        ("\n\n", "usage.csv is empty"),
        ("date,model,requests\n2026-01-31,m,1e999999999\n", "requests is a number that can be"),
        ("date,model,requests\n9999-12-31T23:00:00-02:00,m,1\n", "date is a date such as"),
        ("date;model;requests\n2026-01-31;m;1,500\n", "requests is a whole number"),
        ("a,b\n1,2\n", "say which of its columns is the date (a, b)"),
        ("date,b\n1,2\n", "say which of its columns is the model (date, b)"),
        ("date,model,x\n1,2,3\n", "has none of requests, input_tokens"),
        ("date,model,requests\n31.01.2026,m,1\n", "row 1: date is a date such as 2026-01-31"),
        ("date,model,requests\n,m,1\n", "row 1: it has no date or day"),
        ("date,model,requests\n2026-01-31,m,1\n2026-01-31,m,many\n", "row 2: requests is a number, got 'many'"),
        ('date,model,requests\n2026-01-31,m,"1,5"\n', "requests is a number, got '1,5'"),
        ("date,model,requests\n2026-01-31,m,NaN\n", "requests is a number, got 'NaN'"),
        ("date,model,requests\n2026-01-31,m,1,1\n", "row 1: it has more values"),
        ("date,date,requests\n", "two columns of one name, 'date'"),
        ('date,model,requests\n"2026', "is no CSV"),
        (b"\xff\xfe\x00", "is no UTF-8"),
        ("{", "is no JSON"),
        ({"data": 1}, "a page of usage is an object with a list `data`"),
        ([1], "a page of usage is an object with a list `data`"),
        ({"data": [{"start_time": 1}]}, "a bucket of usage is an object with a list `results`"),
        ({"data": [{"start_time": 1759622400, "results": [{"num_model_requests": True}]}]}, "is a number, got True"),
        (OPENAI_COSTS.replace("usd", "eur"), "amount_currency is not USD, got 'eur'"),
    ],
)
def test_what_is_no_export(content: Any, told: str) -> None:
    """An error of use, with the row and the value."""
    with pytest.raises(LLMLogError) as error:
        export(content)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"tokens": ["x"]}, "a column is one of date, model, requests"),
        ({"requests": ["x"]}, "has no column 'x'; it has"),
    ],
)
def test_wrong_columns(columns: dict[str, list[str]], told: str) -> None:
    """A figure that there is not, a column that the export has not."""
    with pytest.raises(UsageValueError, match=told):
        export(OPENAI, **columns)
