"""The command `llmlog`: what it prints where, and how it ends."""

from __future__ import annotations

import errno
import json
import logging
import os
import pathlib
import subprocess
import sys
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

import llmlog
from llmlog import cli, recovery

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the journal needs POSIX file locks")


def started(call: str, **fields: Any) -> bytes:
    return recovery.line(call * 32, "start", {"created": 1_700_000_000.5, "fields": fields, "prompt": [9, 9]})


def so_far(call: str, text: int) -> bytes:
    facts = {"seconds": 2.0, "chunks": 3, "content_chunks": 2, "text": [text, text], "sending": 0.5, "wait": 1.5}
    return recovery.line(call * 32, "so_far", facts)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """The journal of a process that died with three calls open, and one ended."""
    made = tmp_path / "journal"
    made.mkdir()
    lines = [
        started("a", model="gpt-4o-mini", feature="search", user_id="ann@example.com"),
        so_far("a", 450),
        started("b", model="gpt-4o-mini", note="naïve ✓"),
        started("c", model="no-such-model\x1b[31m[bold]"),
        started("d", model="gpt-4o-mini"),
        recovery.line("d" * 32, "ended", True),
    ]
    (made / "1-aaaa.journal").write_bytes(b"".join(lines))
    return made


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(one) for one in arguments])


def files(folder: pathlib.Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_lost_calls_on_stdout(folder: pathlib.Path) -> None:
    """One JSON line for each, redacted, and nothing else; the journal is empty then."""
    done = run("recover", folder)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 0
    assert [record["call_id"][0] for record in records] == ["a", "b", "c"]
    assert {(record["event"], record["outcome"], record["ended_by"], record["level"]) for record in records} == {
        ("llm.call", "lost", "recovery", "ERROR")
    }
    first, second, _ = records
    assert (first["feature"], first["user_id"], first["output_tokens"]) == ("search", "<EMAIL>", 100)
    assert first["timestamp"] == "2023-11-14T22:13:22.500000Z"
    assert second["note"] == "naïve ✓"
    assert files(folder) == []


def test_the_table_for_people(folder: pathlib.Path) -> None:
    """On stderr: how many, and for each model its calls, tokens and cost; a name cannot colour the terminal."""
    lines = run("recover", folder).stderr.splitlines()
    assert lines[0] == "llmlog: 3 calls were lost"
    rows = [line.split() for line in lines if line.strip(" ─-")][1:]
    cost = float(llmlog.cost({"input_tokens": 4, "output_tokens": 100}, "gpt-4o-mini") or 0)
    assert rows == [
        ["model", "calls", "output", "tokens", "cost"],
        ["gpt-4o-mini", "2", "100", f"${cost:.6f}"],
        ["no-such-model\N{REPLACEMENT CHARACTER}[31m[bold]", "1", "0", "unknown"],
        ["3", "100", "at", "least", f"${cost:.6f}"],
    ]


def test_one_model_needs_no_total(folder: pathlib.Path) -> None:
    """One call is one row, in the singular."""
    (folder / "1-aaaa.journal").write_bytes(started("a", model="gpt-4o-mini") + so_far("a", 450))
    lines = [line for line in run("recover", folder).stderr.splitlines() if line.strip(" ─-")]
    assert lines[0] == "llmlog: 1 call was lost"
    assert len(lines) == 3


def test_into_a_file(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Appended, and then there is nothing on stdout."""
    output = tmp_path / "made" / "lost.jsonl"
    output.parent.mkdir()
    output.write_text('{"call_id": "before"}\n')
    done = run("recover", folder, "--output", output)
    assert (done.exit_code, done.stdout) == (0, "")
    assert [json.loads(line)["call_id"][0] for line in output.read_text().splitlines()] == ["b", "a", "b", "c"]
    assert files(folder) == []


def test_nothing_was_lost(tmp_path: pathlib.Path) -> None:
    """It says so on stderr, and that is no failure."""
    done = run("recover", tmp_path)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "llmlog: no call was lost\n")


def test_a_living_process_keeps_its_calls(folder: pathlib.Path) -> None:
    """A file whose lock is held is left alone."""
    fd = os.open(folder / "1-aaaa.journal", os.O_RDWR)
    recovery.lock(fd)
    assert run("recover", folder).stderr == "llmlog: no call was lost\n"
    os.close(fd)
    assert len(run("recover", folder).stdout.splitlines()) == 3


@pytest.mark.parametrize("name", ["missing", "a file"])
def test_a_folder_that_is_none(tmp_path: pathlib.Path, name: str) -> None:
    """Exit code 2, and one line that names it."""
    (tmp_path / "a file").touch()
    done = run("recover", tmp_path / name)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"llmlog: a journal is a folder, and this is none: {str(tmp_path / name)!r}\n"


def test_a_file_that_cannot_be_opened(folder: pathlib.Path) -> None:
    """Exit code 2, and the journal is as it was."""
    done = run("recover", folder, "--output", folder)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Is a directory" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert files(folder) == ["1-aaaa.journal"]


@pytest.mark.parametrize("to_file", [True, False])
def test_a_full_disk(
    folder: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, to_file: bool
) -> None:
    """What could not be written stays in the journal: exit code 1, and the next time it is there, and nothing twice."""
    output = tmp_path / "lost.jsonl"
    formatted: list[str] = []

    class Full(cli.JSONFormatter):
        def format(self, record: logging.LogRecord) -> str:
            if len(formatted) == 1:
                raise OSError(errno.ENOSPC, "No space left on device")
            formatted.append(super().format(record))
            return formatted[-1]

    with monkeypatch.context() as patched:
        patched.setattr("llmlog.handlers.jsonlines.JSONFormatter" if to_file else "llmlog.cli.JSONFormatter", Full)
        done = run("recover", folder, *(("--output", output) if to_file else ()))
    assert done.exit_code == 1
    assert "No space left on device" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [json.loads(line)["call_id"][0] for line in formatted] == ["a"]
    assert [json.loads(line)["call_id"][0] for line in run("recover", folder).stdout.splitlines()] == ["b", "c"]


def test_the_logger_is_as_before(folder: pathlib.Path) -> None:
    """In a process that has more to do, the command leaves its logger as it was."""
    logger = logging.getLogger("llmlog.calls")
    before = logger.level, list(logger.handlers)
    run("recover", folder)
    assert (logger.level, list(logger.handlers)) == before


def test_version() -> None:
    """The version, on stdout."""
    done = run("--version")
    assert (done.exit_code, done.stdout) == (0, f"llmlog {llmlog.__version__}\n")


def test_wrong_use() -> None:
    """A missing argument and an unknown command: exit code 2, told on stderr."""
    for arguments, told in ((("recover",), "FOLDER"), (("recovr", "x"), "recovr")):
        done = run(*arguments)
        assert (done.exit_code, done.stdout) == (2, "")
        assert told in done.stderr
    assert "recover" in run("--help").stdout


# As a process ---------------------------------------------------------------------------------------


def process(*command: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, *command], capture_output=True, timeout=60, check=False, **options)


@pytest.fixture
def script() -> pathlib.Path:
    """The script that pip has made of the entry point."""
    path = pathlib.Path(sys.executable).with_name("llmlog")
    if not path.exists():
        pytest.skip("this environment was made before llmlog had a command: install it again")
    return path


def test_in_a_pipe(folder: pathlib.Path) -> None:
    """Plain text without colours, in UTF-8 whatever the locale."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = process("-m", "llmlog", "recover", str(folder), env=environment)
    assert done.returncode == 0, done.stderr
    assert [orjson.loads(line)["call_id"][0] for line in done.stdout.splitlines()] == ["a", "b", "c"]
    assert done.stderr.startswith(b"llmlog: 3 calls were lost\n")
    assert b"\x1b" not in done.stdout + done.stderr


def test_a_reader_that_goes_away(folder: pathlib.Path) -> None:
    """A closed pipe ends it: one line on stderr, and the calls stay in the journal."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "llmlog", "recover", str(folder)],
        stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False,
    )  # fmt: skip
    os.close(writing)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert b"Broken pipe" in done.stderr
    assert len(run("recover", folder).stdout.splitlines()) == 3


def test_the_script(script: pathlib.Path) -> None:
    """`llmlog` is there where llmlog is installed, and is the same."""
    done = subprocess.run([script, "--version"], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, f"llmlog {llmlog.__version__}\n".encode())


@pytest.mark.parametrize("missing", ["typer", "rich"])
@pytest.mark.parametrize("start", ["from llmlog.cli import main; main()", "import llmlog.__main__"])
def test_without_the_extra(missing: str, start: str) -> None:
    """One line that names what to install, and exit code 2."""
    done = process("-c", f"import sys; sys.modules[{missing!r}] = None; sys.argv[1:] = ['--version']; {start}")
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.decode().splitlines() == [f"llmlog: the command needs {missing}: pip install 'llmlog[cli]'"]


def test_the_library_does_without_it() -> None:
    """Nothing of llmlog but the command imports typer."""
    done = process(
        "-c", "import sys, llmlog, llmlog.config, llmlog.handlers, llmlog.testing; print('typer' in sys.modules)"
    )
    assert done.stdout.strip() == b"False"
