"""`llmlog recost`: new costs for calls in logs, from the usage that their records bear."""

from __future__ import annotations

import gzip
import json
import os
import pathlib
import stat
import sys
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import llmlog
from llmlog import cli

TABLE = """\
name = "acme"
version = "2027"

[[models."gpt-4o-mini*"]]
until = 2026-07-01
input = 1.00
output = 2.00

[[models."gpt-4o-mini*"]]
from = 2026-07-01
input = 10.00
output = 20.00
tiers = [{above = 200_000, input = 30.00}]
service_tiers.batch = {discount = 0.5}
"""


def call(**fields: Any) -> dict[str, Any]:
    """A record: 1,000 + 100 tokens, priced by an old table."""
    record = {
        "timestamp": "2026-06-30T23:59:59.000001Z", "level": "INFO", "logger": "llmlog.calls",
        "message": "gpt-4o-mini completed in 8 ms, 1000 + 100 tokens, $0.500000", "event": "llm.call",
        "record_id": "a" * 32, "input_tokens": 1000, "output_tokens": 100, "usage_source": "provider",
        "cost_usd": 0.5, "cost_source": "old 1", "model": "gpt-4o-mini",
        "response_model": "gpt-4o-mini-2024-07-18", "provider": "openai", "outcome": "completed", "note": 1.10,
    }  # fmt: skip
    return {name: value for name, value in {**record, **fields}.items() if value is not None}


def text(*records: Any) -> str:
    return "".join(f"{one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)}\n" for one in records)


def run(*arguments: object, input: str | bytes | None = None) -> Result:
    return CliRunner().invoke(cli.app, ["recost", *(str(one) for one in arguments)], input=input)


def rows(result: Result) -> list[list[str]]:
    """The table's rows, without its head, by what stands two blanks apart."""
    lines = [line for line in result.stderr.splitlines() if line.startswith("  ") and line.strip(" ─")]
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines[1:]]


@pytest.fixture
def table(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "new.toml"
    path.write_text(TABLE)
    return path


@pytest.fixture
def log(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "app.jsonl"
    path.write_text(text("no JSON, 1.10", call(), '{"event": "other", "cost_usd": 1.10}'))
    return path


def priced(table: pathlib.Path, **fields: Any) -> dict[str, Any]:
    """What becomes of a record."""
    done = run("-", "--table", table, input=text(call(**fields)))
    assert done.exit_code == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    return made


@pytest.mark.parametrize(
    ("fields", "cost"),
    [
        ({}, 0.0012),
        ({"timestamp": "2026-07-01T00:00:00+00:00"}, 0.012),
        ({"timestamp": "2026-07-01T01:30:00+02:00"}, 0.0012),
        ({"timestamp": "2026-08-01T00:00:00Z", "service_tier": "batch"}, 0.006),
        ({"timestamp": "2026-08-01T00:00:00Z", "input_tokens": 300_000, "output_tokens": 0}, 9.0),
        ({"usage_source": "estimated", "outcome": "aborted"}, 0.0012),
        ({"output_tokens": 0}, 0.001),
        ({"cost_usd": None, "cost_source": None}, 0.0012),
    ],
)
def test_the_new_cost(table: pathlib.Path, fields: dict[str, Any], cost: float) -> None:
    """At the time of the call, in the tier that served it, from the usage that is there."""
    made = priced(table, **fields)
    assert (made["cost_usd"], made["cost_source"]) == (cost, "acme 2027")
    assert made["message"] == f"gpt-4o-mini completed in 8 ms, 1000 + 100 tokens, ${cost:.6f}"
    rest = {"cost_usd", "cost_source", "message"}
    assert {n: v for n, v in made.items() if n not in rest} == {
        n: v for n, v in call(**fields).items() if n not in rest
    }


def test_a_lower_bound(table: pathlib.Path) -> None:
    """It is marked, in the message too; and one that is none any more loses its mark."""
    made = priced(table, output_tokens=None)
    assert (made["cost_usd"], made["cost_partial"]) == (0.001, True)
    assert made["message"].endswith(" tokens, at least $0.001000")
    made = priced(table, cost_partial=True, message="gpt-4o-mini completed, 1 + 1 tokens, at least $0.500000")
    assert "cost_partial" not in made
    assert made["message"] == "gpt-4o-mini completed, 1 + 1 tokens, $0.001200"


def test_a_message_of_somebody_elses(table: pathlib.Path) -> None:
    """Where no cost stands at its end, none is put there."""
    assert priced(table, message="cost me $0.500000")["message"] == "cost me $0.500000"
    assert priced(table, message="9 + 9 tokens")["message"] == "9 + 9 tokens, $0.001200"
    assert "message" not in priced(table, message=None)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"input_tokens": None, "output_tokens": None}, "no usage"),
        ({"input_tokens": "1000", "output_tokens": None}, "no usage"),
        ({"model": "no-such", "response_model": None}, "no price"),
        ({"timestamp": None}, "no time"),
        ({"timestamp": "yesterday"}, "no time"),
        ({"input_tokens": 10**400}, "no price"),
        ({"model": None, "response_model": None}, "no price"),
    ],
)
def test_what_keeps_its_cost(table: pathlib.Path, fields: dict[str, Any], why: str) -> None:
    """A call that cannot be priced stays as it is, byte for byte, and the table says why."""
    line = text(call(**fields))
    done = run("-", "--table", table, input=line)
    assert done.stdout == line
    (row,) = rows(done)
    assert row[1:] == ["1", "0", "$0.500000", "$0.500000", f"1 {why}"]


def test_refused_calls_stay_free(table: pathlib.Path) -> None:
    """The provider worked for nobody: nothing is what it costs by any table."""
    record = call(cost_usd=0.0, cost_source="not billed: the request was refused", outcome="error")
    assert run("-", "--table", table, input=text(record)).stdout == text(record)


def test_without_a_table() -> None:
    """By genai-prices', as of the call; a cost that is right already stays, with the source it was priced by."""
    cost = llmlog.cost({"input_tokens": 1000, "output_tokens": 100}, "gpt-4o-mini", provider="openai")
    made = json.loads(run("-", input=text(call())).stdout)
    assert cost is not None
    assert made["cost_usd"] == float(cost)
    assert made["cost_source"].startswith("genai-prices ")
    before = text({**made, "cost_source": "older 1"})
    assert run("-", input=before).stdout == before


def test_other_lines_pass(log: pathlib.Path, table: pathlib.Path) -> None:
    """Byte for byte: text, other records, bytes that are no UTF-8, a last line without an end."""
    others = (
        b'no JSON, 1.10\n\xff\xfe {"event":"llm.call"}\r\n{"event":"llm.budget","cost_usd":1.10}\n{"event": "llm.call'
    )
    log.write_bytes(others)
    done = run(log, "--table", table)
    assert done.stdout_bytes == others
    assert "no call was found" in done.stderr


def test_another_schema(table: pathlib.Path) -> None:
    """Calls under ECS's or OpenTelemetry's names are told, and pass."""
    line = text({"event.action": "llm.call"}, {"EventName": "llm.call"})
    done = run("-", "--table", table, input=line)
    assert done.stdout == line
    assert "2 lines are calls in another schema than the flat one" in done.stderr


def test_the_table_for_people(table: pathlib.Path) -> None:
    """By model: calls, how many have a new cost, before and after; what is not known is not 0."""
    records = [
        call(), call(cost_usd=None), call(cost_usd=0.0012), call(model="x\x1b[31m", response_model=None, cost_usd=None),
        call(model="y", response_model=None), call(model="y", response_model=None, cost_usd=True),
    ]  # fmt: skip
    assert rows(run("-", "--table", table, input=text(*records))) == [
        ["gpt-4o-mini-2024-07-18", "3", "2", "at least $0.501200", "$0.003600"],
        ["x\N{REPLACEMENT CHARACTER}[31m", "1", "0", "unknown", "unknown", "1 no price"],
        ["y", "2", "0", "at least $0.500000", "at least $0.500000", "2 no price"],
        ["all", "6", "2", "at least $1.001200", "at least $0.503600", "3 no price"],
    ]


def test_in_place(log: pathlib.Path, table: pathlib.Path) -> None:
    """Only the costs change; the mode stays, no other file is left; the second time nothing is written."""
    log.chmod(0o640)
    before = log.read_text().splitlines()
    done = run("--in-place", log, "--table", table)
    assert (done.exit_code, done.stdout) == (0, "")
    after = log.read_text().splitlines()
    assert (after[0], after[2]) == (before[0], before[2])
    assert json.loads(after[1])["cost_usd"] == 0.0012
    assert [one.name for one in log.parent.iterdir()] == sorted(["app.jsonl", "new.toml"])
    if sys.platform != "win32":
        assert stat.S_IMODE(log.stat().st_mode) == 0o640
    status = log.stat()
    assert rows(run("-i", log, "--table", table))[0][1:3] == ["1", "0"]
    assert (log.stat().st_ino, log.stat().st_mtime_ns) == (status.st_ino, status.st_mtime_ns)


def test_gzip_in_place(log: pathlib.Path, table: pathlib.Path) -> None:
    """A packed file stays one."""
    log.write_bytes(gzip.compress(text(call()).encode()))
    assert run("-i", log, "--table", table).exit_code == 0
    assert json.loads(gzip.decompress(log.read_bytes()))["cost_usd"] == 0.0012


def test_check(log: pathlib.Path, table: pathlib.Path) -> None:
    """Exit code 1 where a cost would change, and 0 where none would; nothing is written."""
    before = log.read_bytes()
    done = run("--check", log, "--table", table)
    assert (done.exit_code, done.stdout, log.read_bytes()) == (1, "", before)
    assert rows(done) == [["gpt-4o-mini-2024-07-18", "1", "1", "$0.500000", "$0.001200"]]
    run("-i", log, "--table", table)
    assert run("--check", log, "--table", table).exit_code == 0


def test_a_full_disk(log: pathlib.Path, table: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2: the file is as it was, the table does not count it, and the others are done."""
    other = log.with_name("b.jsonl")
    other.write_text(text(call()))
    replace = os.replace

    def fails(old: str, new: str) -> None:
        if new.endswith("app.jsonl"):
            raise OSError(28, "No space left on device")
        replace(old, new)

    monkeypatch.setattr(os, "replace", fails)
    before = log.read_bytes()
    done = run("-i", log, other, "--table", table)
    assert (done.exit_code, log.read_bytes()) == (2, before)
    assert f"{log}: No space left on device" in done.stderr
    assert rows(done)[0][1:3] == ["1", "1"]
    assert json.loads(other.read_text())["cost_usd"] == 0.0012


def test_deployments(table: pathlib.Path) -> None:
    """A deployment's free name is priced as the model that the user says is behind it."""
    line = text(call(model="prod-chat", response_model=None, provider="azure"))
    assert run("-", "--table", table, input=line).stdout == line
    made = json.loads(run("-", "--table", table, "--deployment", "prod-chat=gpt-4o-mini", input=line).stdout)
    assert made["cost_usd"] == 0.0012


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--check", "-i", "x"], "--check changes nothing"),
        (["-i", "-"], "standard input (-) cannot be rewritten"),
        (["x", "--table", "missing.toml"], "'missing.toml' cannot be read"),
        (["x", "--deployment", "prod"], "--deployment is NAME=MODEL, got 'prod'"),
    ],
)
def test_wrong_use(arguments: list[str], told: str) -> None:
    """Exit code 2, and one line that says why."""
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_table_that_is_wrong(log: pathlib.Path, table: pathlib.Path) -> None:
    """The message names its line, and nothing is done."""
    table.write_text(TABLE.replace("output = 2.00", 'output = "2.00"'))
    done = run("-i", log, "--table", table)
    assert done.exit_code == 2
    assert f"{table}, line 7: " in done.stderr
