"""`llmlog reconcile`: logs beside the provider's export, what is printed, and how it ends."""

from __future__ import annotations

import gzip
import json
import pathlib
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from llmlog import cli

OPENAI = """\
start_time,start_time_iso,num_model_requests,model,input_tokens,output_tokens
1769817600,2026-01-31T00:00:00+00:00,2.0,gpt-4o-2024-08-06,2000.0,200.0
1769904000,2026-02-01T00:00:00+00:00,,,,
"""
COSTS = """\
start_time,start_time_iso,amount_value,amount_currency,line_item
1769817600,2026-01-31T00:00:00+00:00,0.005,usd,"gpt-4o-2024-08-06, input"
1769817600,2026-01-31T00:00:00+00:00,0.0020,usd,"gpt-4o-2024-08-06, output"
"""
ANTHROPIC = """\
usage_date_utc,model_version,usage_input_tokens_no_cache,usage_input_tokens_cache_read,usage_output_tokens
2026-01-31,claude-haiku-4-5-20251001,400,600,100
"""


def call(record_id: object, /, **fields: Any) -> dict[str, Any]:
    record = {
        "timestamp": "2026-01-31T12:00:00.5Z", "event": "llm.call", "record_id": record_id, "provider": "openai",
        "model": "gpt-4o", "response_model": "gpt-4o-2024-08-06", "input_tokens": 1000, "output_tokens": 100,
        "usage_source": "provider", "cost_usd": 0.0035, "cost_source": "t 1", "outcome": "completed",
    }  # fmt: skip
    return {name: value for name, value in {**record, **fields}.items() if value is not None}


def run(*arguments: object, input: str | bytes | None = None) -> Result:
    return CliRunner().invoke(cli.app, ["reconcile", *(str(one) for one in arguments)], input=input)


def cells(result: Result) -> list[list[str]]:
    """The table's rows, without its head."""
    lines = [line for line in result.stdout.splitlines() if line.strip(" ─")]
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines[1:]]


class Folder:
    """The files of a test."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.usage = self.write("usage.csv", OPENAI)

    def write(self, name: str, content: str) -> pathlib.Path:
        (self.path / name).write_text(content)
        return self.path / name

    def log(self, *records: Any, name: str = "app.jsonl") -> pathlib.Path:
        return self.write(name, "".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in records))


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> Folder:
    return Folder(tmp_path)


def test_nothing_differs(folder: Folder) -> None:
    """Exit code 0 and no table; several files of both kinds, and what is there twice counts once."""
    first = folder.log(call(1), "no JSON", call(1), {"event": "other"})
    second = folder.log(call(1), call(2), name="b.jsonl")
    second.with_suffix(".gz").write_bytes(gzip.compress(second.read_bytes()))
    done = run(first, second, second.with_suffix(".gz"), "--usage", folder.usage, "--usage", folder.write("c", COSTS))
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.splitlines() == [
        "llmlog: days and models: 1 same, 0 different, 0 missing, 0 extra",
        "llmlog: left out: 4 calls there twice",
    ]


def test_what_differs(folder: Folder) -> None:
    """Exit code 1, and a row for each figure."""
    log = folder.log(call(1), call(2, output_tokens=90, cost_usd=0.0034), call(3, model="o\x1b3", response_model=None))
    usage = folder.write("usage.csv", f"{OPENAI}1769904000,x,1,gpt-5-2025-08-07,10,0\n")
    done = run(log, "--usage", usage, "--usage", folder.write("c", COSTS))
    assert done.exit_code == 1
    assert cells(done) == [
        ["2026-01-31", "gpt-4o-2024-08-06", "different", "output_tokens", "190", "200", "+10"],
        ["2026-01-31", "o\N{REPLACEMENT CHARACTER}3", "extra", "requests", "1"],
        ["2026-01-31", "o\N{REPLACEMENT CHARACTER}3", "extra", "input_tokens", "1,000"],
        ["2026-01-31", "o\N{REPLACEMENT CHARACTER}3", "extra", "output_tokens", "100"],
        ["2026-01-31", "o\N{REPLACEMENT CHARACTER}3", "extra", "cost_usd", "0.003500"],
        ["2026-02-01", "gpt-5-2025-08-07", "missing", "requests", "1"],
        ["2026-02-01", "gpt-5-2025-08-07", "missing", "input_tokens", "10"],
        ["2026-02-01", "gpt-5-2025-08-07", "missing", "output_tokens", "0"],
    ]
    assert "1 day" not in done.stderr
    assert "0 same, 1 different, 1 missing, 1 extra" in done.stderr


def test_tolerance(folder: Folder) -> None:
    """A difference of so many percent of the export's figure is none."""
    log = folder.log(call(1), call(2, output_tokens=90))
    assert run(log, "--usage", folder.usage, "--tolerance", "4.9").exit_code == 1
    assert run(log, "--usage", folder.usage, "--tolerance", "5%").exit_code == 0


def test_json(folder: Folder) -> None:
    """One object for each day and model, those that agree too."""
    log = folder.log(call(1), call(2, usage_source="estimated", outcome="aborted", cost_usd=None))
    done = run(log, "--usage", folder.usage, "--usage", folder.write("c", COSTS), "--json")
    assert done.exit_code == 0
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {
            "day": "2026-01-31", "model": "gpt-4o-2024-08-06", "verdict": "same",
            "requests": {"logs": 2, "estimated": 1, "provider": 2, "difference": 0, "same": True},
            "input_tokens": {"logs": 2000, "estimated": 1000, "provider": 2000, "difference": 0, "same": True},
            "output_tokens": {"logs": 200, "estimated": 100, "provider": 200, "difference": 0, "same": True},
            "cost_usd": {"logs": 0.0035, "provider": 0.007, "at_least": True, "difference": 0.0035, "same": True},
        }
    ]  # fmt: skip


def test_estimates_are_shown_apart(folder: Folder) -> None:
    """How much of a figure is estimated, and of how many calls."""
    log = folder.log(call(1), call(2, usage_source="mixed", input_tokens=500))
    done = run(log, "--usage", folder.usage)
    assert done.exit_code == 1
    assert cells(done) == [
        ["2026-01-31", "gpt-4o-2024-08-06", "different", "input_tokens", "1,500", "500", "2,000", "+500"]
    ]
    assert "the counts of 1 call are estimates" in done.stderr


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"timestamp": "2026-01-30T23:59:59Z"}, "of another day"),
        ({"timestamp": "2026-02-02T00:30:00+01:00"}, None),
        ({"timestamp": "2026-02-02T00:00:00Z"}, "of another day"),
        ({"timestamp": None}, "without a time"),
        ({"timestamp": "9999-12-31T23:59:59-14:00"}, "without a time"),
        ({"provider": "anthropic"}, "of another provider"),
        ({"provider": "azure"}, "of another provider"),
        ({"provider": None, "model": "llama", "response_model": None}, "of another provider"),
        ({"provider": None}, None),
        ({"model": None, "response_model": None}, "without a model"),
        ({"outcome": "error", "cost_source": "not billed: the request was refused"}, "refused by the provider"),
        ({"cost_usd": 0.0, "cost_source": "not billed: a cache answered"}, "that a cache answered"),
        (
            {"outcome": "error", "cost_source": "not billed: the provider was not reached"},
            "of a provider that was not reached",
        ),
        ({"event": None, "event.action": "llm.call"}, "in another schema than the flat one"),
        ({"record_id": None}, None),
    ],
)
def test_what_is_left_out(folder: Folder, fields: dict[str, Any], why: str | None) -> None:
    """A call that the export cannot know of is told, and compared with nothing; any other is extra."""
    done = run(folder.log(call(1), call(2), call(3, **fields)), "--usage", folder.usage)
    assert done.exit_code == (0 if why else 1)
    assert [line.partition("left out: 1 call ")[2] for line in done.stderr.splitlines()[1:]] == ([why] if why else [])


def test_which_days(folder: Folder) -> None:
    """Those of the exports, or those that are asked for."""
    log = folder.log(call(1), call(2), call(3, timestamp="2026-02-03T12:00:00Z"))
    assert run(log, "--usage", folder.usage).exit_code == 0
    assert run(log, "--usage", folder.usage, "--until", "2026-02-03").exit_code == 0
    assert run(log, "--usage", folder.usage, "--until", "2026-02-04").exit_code == 1
    assert run(log, "--usage", folder.usage, "--from", "2026-02-01").exit_code == 0
    empty = folder.write("empty.csv", "date,model,requests\n")
    assert run(log, "--usage", empty, "--from", "2026-02-01", "--until", "2026-02-03").exit_code == 0


def test_two_providers(folder: Folder) -> None:
    """The calls of both are compared, where both exports are there."""
    haiku = call(3, provider="anthropic", model="claude-haiku-4-5", response_model=None)
    log, anthropic = folder.log(call(1), call(2), haiku), folder.write("a.csv", ANTHROPIC)
    assert run(log, "--usage", folder.usage, "--usage", anthropic).exit_code == 0
    assert run(folder.log(call(1), call(2)), "--usage", folder.usage, "--usage", anthropic).exit_code == 1


def test_any_export(folder: Folder) -> None:
    """With its columns named; the calls of all providers, or of the one that is named."""
    usage = folder.write("any.csv", "Date,Slug,Requests,Prompt\n2026-01-31,openai/gpt-4o,2,2000\n")
    columns = [f"--column={each}" for each in ("date=Date", "model=Slug", "requests=Requests", "input_tokens=Prompt")]
    log = folder.log(call(1), call(2), call(3, provider="mistral", model="mistral-large", response_model=None))
    assert run(log, "--usage", usage, *columns).exit_code == 1
    assert run(log, "--usage", usage, *columns, "--provider", "openai").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--tolerance", "many"], "--tolerance is a percentage from 0 to 100, got 'many'"),
        (["--tolerance", "-1"], "--tolerance is a percentage"),
        (["--from", "1 May"], "--from is a date such as 2026-01-31, got '1 May'"),
        (["--until", "2026-13-01"], "--until is a date"),
        (["--from", "2026-02-02", "--until", "2026-02-02"], "--until is after --from, got 2026-02-02 and 2026-02-02"),
        (["--column", "x"], "--column is OURS=THEIRS"),
        (["--column", "x=y"], "a column is one of date, model"),
        (["--usage", "missing.csv"], "missing.csv: No such file"),
    ],
)
def test_wrong_use(folder: Folder, arguments: list[str], told: str) -> None:
    """Exit code 2, and one line that says why."""
    done = run(folder.log(call(1)), "--usage", folder.usage, *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_no_day(folder: Folder) -> None:
    """An export without a row does not say what to compare."""
    done = run(folder.log(call(1)), "--usage", folder.write("empty.csv", "date,model,requests\n"))
    assert done.exit_code == 2
    assert "the exports have no day" in done.stderr


def test_a_log_that_cannot_be_read(folder: Folder) -> None:
    """Exit code 2, and no verdict: what is not read would be missing."""
    done = run(folder.log(call(1)), "nowhere.jsonl", "--usage", folder.usage)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "nowhere.jsonl: No such file" in done.stderr
