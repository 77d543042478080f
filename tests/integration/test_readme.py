"""The README: every Python block runs, in order, as a reader would run them; its commands and its length are right."""

from __future__ import annotations

import json
import logging
import logging.config
import pathlib
import re
from collections.abc import Iterator

import pytest

pytest.importorskip("openai")
import llmlog.middleware
from examples.model_server import serve
from llmlog.semconv import FIELDS

README = pathlib.Path(__file__).resolve().parents[2] / "README.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Puts the root logger back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:], root.level = handlers, level


def test_every_block_runs(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, logging_as_before: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """All blocks, one after the other, in one namespace; the records they leave are looked at."""
    blocks = BLOCK.findall(README.read_text())
    by_hand = BLOCK.findall((README.parent / "docs" / "set-up.md").read_text())
    blocks[1:1] = by_hand  # where a reader would have it
    assert {language for language, _ in blocks} == {"python"}
    assert len(blocks) >= 6
    monkeypatch.chdir(tmp_path)
    with serve(pace=0) as base_url:
        monkeypatch.setenv("OPENAI_BASE_URL", base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        namespace: dict[str, object] = {}
        for number, (_, code) in enumerate(blocks):
            exec(compile(code, f"README.md, block {number}", "exec"), namespace)
        namespace["client"].close()  # type: ignore[attr-defined]
        namespace.clear()
    assert llmlog.flush()
    records = [json.loads(line) for line in (tmp_path / "llm.jsonl").read_text().splitlines()]
    records = [record for record in records if record["logger"] == "llmlog.calls"]
    assert [record["outcome"] for record in records] == ["aborted", "completed", "completed"]
    assert (records[0]["feature"], records[0]["user_id"], records[0]["service"]) == ("search", "u-17", "shop")
    assert all(name in FIELDS for record in records for name in record)


def test_the_fields_it_names_are_in_the_table() -> None:
    """Each field that the README says a record holds is one of semconv's."""
    told = README.read_text().partition("One flat JSON object")[2].partition("What is not known")[0]
    names = set(re.findall(r"`(\w+)`", told)) - {"event", "capture"}
    assert len(names) >= 14
    assert names <= FIELDS.keys()


def test_it_is_short() -> None:
    """At most 150 lines, and the two commands are there."""
    text = README.read_text()
    assert len(text.splitlines()) <= 150
    assert "`make demo`" in text
    assert "`make test`" in text
