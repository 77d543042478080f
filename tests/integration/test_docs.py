"""The pages in docs/: their code runs, their commands do what the text beside them says."""

from __future__ import annotations

import json
import logging
import logging.config
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
from typing import Any

import pytest

from llmlog.testing import Captured

pytest.importorskip("typer")
from typer.testing import CliRunner, Result

import llmlog
from llmlog import cli

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
FIGURES = DOCS / "figures.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def call(record_id: str, **fields: Any) -> dict[str, Any]:
    record = {
        "timestamp": "2026-11-01T12:00:00.000000Z", "event": "llm.call", "record_id": record_id, "provider": "openai",
        "message": "gpt-4o-mini completed in 1.0 s, 1000 + 100 tokens, $0.000210", "model": "gpt-4o-mini",
        "response_model": "gpt-4o-mini-2024-07-18", "input_tokens": 1000, "output_tokens": 100, "cost_usd": 0.00021,
        "cost_source": "genai-prices", "usage_source": "provider", "outcome": "completed",
    }  # fmt: skip
    return {**record, **fields}


def blocks(language: str) -> list[str]:
    return [code for found, code in BLOCK.findall(FIGURES.read_text()) if found == language]


def commands(block: str) -> list[tuple[list[str], list[str]]]:
    """Each command's arguments, and the lines that it is said to print, in words."""
    found = []
    for text in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        first, _, rest = text.replace("\n    --", " --").partition("\n")
        found.append((shlex.split(first), [" ".join(line.split()) for line in rest.splitlines()]))
    return found


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The files that the page speaks of."""
    log = [call("1"), call("2", output_tokens=50, usage_source="estimated", outcome="aborted")]
    (tmp_path / "app.jsonl").write_text("".join(json.dumps(one) + "\n" for one in log))
    (tmp_path / "prices.toml").write_text(*blocks("toml"))
    (tmp_path / "usage.csv").write_text(*blocks("csv"))
    (tmp_path / "other.csv").write_text(
        "Day,Model,Prompt,Cached,Completion\n2026-11-01,mistral-large-2411,900,100,100\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(arguments: list[str]) -> Result:
    assert arguments[0] == "llmlog"
    if ">" in arguments:
        place = arguments.index(">")
        done = CliRunner().invoke(cli.app, arguments[1:place])
        pathlib.Path(arguments[place + 1]).write_text(done.stdout)
        return done
    return CliRunner().invoke(cli.app, arguments[1:])


def test_code(folder: pathlib.Path, llm_calls: Captured) -> None:
    """The blocks of Python run, and the budget does what is said of it."""
    namespace: dict[str, object] = {}
    for code in blocks("python"):
        exec(compile(code, "figures.md", "exec"), namespace)
    with llmlog.request(), llmlog.call(model="gpt-4o-mini") as one:
        one.finish({"object": "chat.completion", "model": "gpt-4o-mini", "choices": [],
                    "usage": {"prompt_tokens": 9_000_000, "completion_tokens": 0}})  # fmt: skip
    assert (llm_calls.one()["cost_usd"], llm_calls.one()["cost_source"]) == (2.16, "acme 2026-11")


def test_recost(folder: pathlib.Path) -> None:
    """Looked at, printed, rewritten."""
    check, printed, in_place, deployed = (arguments for arguments, _ in commands(blocks("console")[0]))
    log = folder / "app.jsonl"
    before = log.read_text()
    assert run(check).exit_code == 1
    assert run(printed).exit_code == 0
    assert log.read_text() == before
    assert run(in_place).exit_code == 0
    assert log.read_text() == (folder / "priced.jsonl").read_text() != before
    assert json.loads(log.read_text().splitlines()[0])["cost_usd"] == 0.00017
    assert run(check).exit_code == 0
    assert run(deployed).exit_code == 0
    assert json.loads(log.read_text().splitlines()[0])["cost_usd"] == 0.00021


def test_reconcile(folder: pathlib.Path) -> None:
    """The table that is shown is the one that comes."""
    (shown, expected), (as_json, _), (other, _) = commands(blocks("console")[1])
    done = run(shown)
    assert done.exit_code == 1
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert [line for line in lines if line.strip("─")] == expected
    done = run(as_json)
    assert [json.loads(line)["verdict"] for line in done.stdout.splitlines()] == ["different"]
    log = [call("3", provider="mistral", model="mistral-large-latest", response_model="mistral-large-2411"), call("4")]
    (folder / "app.jsonl").write_text("".join(json.dumps(one) + "\n" for one in log))
    assert (run(other).exit_code, run(other).stdout) == (0, "")


def test_delivery(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's configuration is one that logging takes; none of its servers is asked."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    text = (DOCS / "delivery.md").read_text().replace("/var/spool/llmlog", str(tmp_path / "spool"))
    [(language, code)] = BLOCK.findall(text)
    assert language == "python"
    try:
        exec(compile(code, "delivery.md", "exec"), {"logging": logging, "llmlog": llmlog})
        made = [type(one).__name__ for one in root.handlers if one not in before]
        assert made == ["LokiHandler", "ElasticsearchHandler"]
    finally:
        for handler in root.handlers[:]:
            if handler not in before:
                handler.close()
        root.handlers[:], root.level = before, level


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_questions(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's commands find what the text says that they find."""
    monkeypatch.chdir(tmp_path)
    records = [
        {"logger": "shop", "message": "a question", "request_id": "r-1", "timestamp": "t", "level": "INFO"},
        call("1", request_id="r-1", feature="chat", latency_ms=900.0, wait_ms=100.0, consumer_ms=800.0),
        call("2", request_id="r-2", feature="chat", latency_ms=20.0, cost_usd=None),
        call("3", request_id="r-3", feature="search", latency_ms=20.0),
        {"event": "http.request", "request_id": "r-2", "latency_ms": 900.0, "message": "GET /a by ann@example.com"},
    ]
    del records[2]["cost_usd"]
    (tmp_path / "llm.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    found = [one for language, code in BLOCK.findall((DOCS / "questions.md").read_text()) for one, _ in commands(code)]
    request, cost, unpriced, slow, personal = found

    def printed(arguments: list[str]) -> str:
        return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True).stdout

    assert [line.split("\t")[-1] for line in printed(request).splitlines()] == [
        "a question",
        records[1]["message"],
    ]
    costs = [json.loads(one) for one in printed([cost[0], "-c", *cost[1:]]).splitlines()]
    assert [(one["feature"], one["calls"]) for one in costs] == [("chat", 2), ("search", 1)]
    assert [one["usd"] for one in costs] == [0.00021, 0.00021]
    assert printed(unpriced) == "1\n"
    assert (json.loads(printed(slow))["request_id"], json.loads(printed(slow))["consumer_ms"]) == ("r-1", 800.0)
    assert run(personal).exit_code == 1
    assert "ann@" not in run(personal).output


def test_testing(tmp_path: pathlib.Path) -> None:
    """The page's tests pass, with nothing but the plugin."""
    [(language, code)] = BLOCK.findall((DOCS / "testing.md").read_text())
    assert language == "python"
    (tmp_path / "test_page.py").write_text(code)
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_page.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout


def test_links_of_the_pages() -> None:
    """They lead somewhere."""
    for page in DOCS.glob("*.md"):
        for link in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert "://" in link or (DOCS / link).exists(), (page.name, link)
