"""The examples, run as their readers run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def run(example: str, folder: Path) -> str:
    """Run the example in `folder`, without a key of a real provider; gives what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / example)],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def calls_in(file: Path) -> list[dict[str, Any]]:
    """The records of LLM calls in the file."""
    records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [record for record in records if record.get("event") == "llm.call"]


def test_the_quickstart(tmp_path: Path) -> None:
    """One call, left after a sentence: one record, with estimated tokens, a cost and no address in it."""
    printed = run("quickstart.py", tmp_path)
    (record,) = calls_in(tmp_path / ".demo" / "quickstart.jsonl")
    assert printed.startswith("Your parcel left our warehouse this morning.\n")
    assert json.loads(printed.splitlines()[-1]) == record
    assert (record["outcome"], record["ended_by"]) == ("aborted", "loop_left")
    assert (record["feature"], record["user_id"], record["service"]) == ("quickstart", "ann", "quickstart")
    assert record["usage_source"] == "estimated"
    assert record["output_tokens"] > 5
    assert record["cost_usd"] > 0


def test_the_demo(tmp_path: Path) -> None:
    """All its checks hold, nothing is printed on stderr, and the output is fit for a log file."""
    printed = run("demo.py", tmp_path)
    assert printed.count("\nok ") >= 7
    assert "FAILED" not in printed
    assert "\x1b" not in printed
    tables, rest = printed.split("The records are in ")
    assert max(map(len, tables.splitlines())) <= 110
    assert '"event": "llm.call"' in rest
    calls = calls_in(tmp_path / ".demo" / "llmlog.jsonl")
    endings = {(call["outcome"], call["ended_by"]) for call in calls}
    assert endings >= {
        ("completed", "exhausted"),
        ("aborted", "loop_left"),
        ("cancelled", "client_disconnect"),
        ("incomplete", "exhausted"),
        ("error", "exception"),
    }
    assert all(call["request_id"] in printed or call["request_id"][:8] in printed for call in calls)
    assert {call["usage_source"] for call in calls} == {"provider", "estimated"}


def printed_records(printed: str) -> list[dict[str, Any]]:
    """The lines of JSON on stdout."""
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]


def test_the_events(tmp_path: Path) -> None:
    """A retrieval with its time, the call, and judgements that bear its id; samples of the process beside them."""
    records = printed_records(run("events.py", tmp_path))
    by_kind = {record.get("event"): record for record in records}
    call = by_kind["llm.call"]
    assert by_kind["llm.feedback"]["call_id"] == by_kind["llm.score"]["call_id"] == call["call_id"]
    assert by_kind["llm.feedback"]["comment"] == "<EMAIL>: thanks"
    assert by_kind["llm.retrieval"]["document_ids"][0] == "a-1"
    assert by_kind["llm.retrieval"]["latency_ms"] >= 0
    assert by_kind["llm.retrieval"]["request_id"] == call["request_id"] == by_kind["llm.feedback"]["request_id"]
    kinds = [record["kind"] for record in records if record.get("event") == "system.event"]
    assert kinds == ["deployment", "provider_outage"]


def test_across(tmp_path: Path) -> None:
    """Threads, tasks, pools and another process: each line bears the request."""
    records = [record for record in printed_records(run("across.py", tmp_path)) if record["logger"] == "shop"]
    assert len(records) == 5
    assert {(record["request_id"], record["user_id"]) for record in records} == {("r-1", "u-17")}
    assert records[-1]["message"] == "another process"
