"""The wheel, as users get it: built, installed elsewhere, imported there, counting and pricing offline."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = """
import logging, logging.config, pathlib, sys
import llmlog
assert pathlib.Path(llmlog.__file__).is_relative_to(sys.prefix), llmlog.__file__
logging.config.dictConfig(llmlog.dict_config(console="json"))
with llmlog.request("r1"):
    for _ in llmlog.stream(["Hello", " world"], model="gpt-4o", input="Say hello"):
        pass
assert llmlog.count_tokens("Hello world", "gpt-4") == 2
"""


def run(*command: str, cwd: pathlib.Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_"))}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The wheel, built from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT), cwd=folder)
    (made,) = folder.glob("*.whl")
    return made


def test_what_is_in_it(wheel: pathlib.Path) -> None:
    """The package, its data, its types and its licences; no tests, no examples."""
    names = set(zipfile.ZipFile(wheel).namelist())
    for wanted in ("llmlog/__init__.py", "llmlog/py.typed", "llmlog/data/cl100k_base.tiktoken.gz",
                   "llmlog/data/o200k_base.tiktoken.gz", "llmlog/data/LICENSE"):  # fmt: skip
        assert wanted in names
    assert all(name.startswith(("llmlog/", "llmlog-")) for name in names)
    assert wheel.stat().st_size < 4_000_000


def test_it_works_where_it_is_installed(wheel: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """In a clean virtual environment, outside the checkout."""
    run(sys.executable, "-m", "venv", str(tmp_path / "venv"), cwd=tmp_path)
    python = str(tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python")
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel), cwd=tmp_path)
    line = run(python, "-c", SCRIPT, cwd=tmp_path)
    assert '"outcome":"completed"' in line
    assert '"request_id":"r1"' in line
    assert line.count("\n") == 1
