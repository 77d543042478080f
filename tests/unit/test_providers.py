"""Formats: found in their folder, picked by name and by shape."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
from typing import Any

import pytest
from conftest import Records, answer, chunk

import llmlog
from llmlog import providers
from llmlog.providers import FORMATS, UNKNOWN, named

FOLDER = pathlib.Path(providers.__file__).parent

ADDED = """
from llmlog.testing import capture

chunks = [{"echo": "Hel"}, {"echo": "lo", "usage": {"in": 3, "out": 2}}, {"echo": "", "done": True}]
with capture() as calls:
    assert list(llmlog.stream(iter(chunks))) == chunks
    with llmlog.call(provider="echo") as call:
        call.finish(chunks[1])
for record in map(vars, calls.records):
    assert record["provider"] == "echo", record
    assert (record["input_tokens"], record["output_tokens"], record["outcome"]) == (3, 2, "completed"), record
print("read")
"""


def test_adding_one_is_adding_a_file(tmp_path: pathlib.Path) -> None:
    """The README's module, put into the folder, is read by name and by shape."""
    code = re.search(r"```python\n(.*?)```", (FOLDER / "README.md").read_text(), re.DOTALL)
    assert code is not None
    (tmp_path / "echo.py").write_text(code[1])
    # The package lists its folder while it is imported, so the second folder is there before.
    start = (
        "import importlib.util, sys\n"
        "import llmlog\n"
        "spec = importlib.util.find_spec('llmlog.providers')\n"
        f"spec.submodule_search_locations.append({str(tmp_path)!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "sys.modules['llmlog.providers'] = llmlog.providers = module\n"
        "spec.loader.exec_module(module)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", start + ADDED], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "read\n", done.stderr


@pytest.mark.parametrize("name", ["openai", "azure", "deepseek", "anthropic", "text"])
def test_a_name_is_what_the_record_says(calls: Records, name: str) -> None:
    """Vendors that speak another's format keep their own name; plain text is nobody's."""
    list(llmlog.stream(answer("a"), provider=name))
    assert calls.one().get("provider") == ("openai" if name == "text" else name)


def test_a_name_does_not_hide_another_format(calls: Records) -> None:
    """A library in front of the provider hands on chunks of its own, or of another provider's format: shape tells."""
    list(llmlog.stream(answer("ab"), provider="anthropic"))
    assert (calls.one()["outcome"], calls.one()["response_length"]) == ("completed", 2)


def test_a_shape_that_does_not_tell(calls: Records) -> None:
    """With a name, chunks of no known shape are read as that provider's; what comes later may still tell."""
    list(llmlog.stream([{}, {"model": "m", "usage": None}, *answer("ab")], provider="openai"))
    assert (calls.one()["response_model"], calls.one()["response_length"]) == ("m", 2)


def test_what_nobody_knows(calls: Records) -> None:
    """It is delivered and counted; a known chunk after it is read."""
    list(llmlog.stream([{"unheard": "of"}, chunk("a"), chunk(finish="stop")]))
    assert (calls.one()["chunks"], calls.one()["response_length"], calls.one()["outcome"]) == (3, 1, "completed")


@pytest.mark.parametrize("one", FORMATS, ids=lambda one: one.chunk.__module__.rpartition(".")[2])
@pytest.mark.parametrize(
    "value", [None, 0, "", "text", b"", [], {}, object(), [{}], {"a": 1}, {"type": None}, Exception]
)
def test_every_reader_takes_anything(one: providers.Provider, value: Any) -> None:
    """Nothing that may arrive raises in a reader, and none takes for its own what is nobody's."""
    from llmlog.answers import Answer

    if not isinstance(value, str):
        assert not one.matches(value)
    for read in (one.chunk, one.response):
        read(Answer(), value)
    assert one.usage(value) is None or one.usage(value).total_tokens in (None, 0)  # type: ignore[union-attr]


def test_names() -> None:
    """Each is of one format, and what is none is refused with the value."""
    taken = [name for one in FORMATS for name in one.names]
    assert len(taken) == len(set(taken))
    assert all(named(one.name) is not None for one in FORMATS)
    assert named(None) is None
    assert UNKNOWN.is_form
    with pytest.raises(ValueError, match="'opnai'"):
        named("opnai")
    with pytest.raises(TypeError, match="5"):
        named(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("provider", [None, "openai", "anthropic"])
def test_an_answer_that_nobody_knows(calls: Records, provider: str | None) -> None:
    """Its length and output are not known, which is not the same as none."""
    with llmlog.call(provider=provider, model="gpt-4o-mini", input="Hi") as call:
        call.finish({"unheard": "of"})
    record = calls.one()
    assert record["outcome"] == "completed"
    assert not {"response_length", "output_tokens"} & set(record)
