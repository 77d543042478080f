"""`llmlog redact`: files, standard input, --in-place, --check, and how it ends."""

from __future__ import annotations

import errno
import gzip
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from llmlog import cli
from llmlog.cli import files, runs
from llmlog.redaction import WITHHELD, Redactor

MAIL = "ann@example.com"
LINES = f'from {MAIL}\nfine\n{{"password": "hunter2", "n": 1.10, "m": "{MAIL}"}}\n'
CLEAN = 'from <EMAIL>\nfine\n{"password": "<REDACTED>", "n": 1.10, "m": "<EMAIL>"}\n'
NOISE = random.Random(1).randbytes(300_000)
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")


def run(*arguments: object, input: str | bytes | None = None) -> Result:
    return CliRunner().invoke(cli.app, ["redact", *(str(one) for one in arguments)], input=input)


@pytest.fixture
def log(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "app.log"
    path.write_text(LINES)
    return path


def names(folder: pathlib.Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


# To standard output ---------------------------------------------------------------------------------


def test_a_file_to_stdout(log: pathlib.Path) -> None:
    """Redacted, and nothing else is said; the file stays."""
    done = run(log)
    assert (done.exit_code, done.stdout, done.stderr) == (0, CLEAN, "")
    assert log.read_text() == LINES


def test_standard_input() -> None:
    """`-`, packed or not."""
    assert run("-", input=LINES).stdout == CLEAN
    assert run("-", input=gzip.compress(LINES.encode())).stdout == CLEAN


def test_several_files(log: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """One after the other; a last line without an end does not run into the next file."""
    (tmp_path / "b").write_text(f"b {MAIL}")
    (tmp_path / "empty").touch()
    assert run(tmp_path / "b", tmp_path / "empty", log, tmp_path / "b").stdout == f"b <EMAIL>\n{CLEAN}b <EMAIL>"


def test_gzip_to_stdout(tmp_path: pathlib.Path) -> None:
    """Read out, several members too, whatever the file is called."""
    path = tmp_path / "app.log.1"
    path.write_bytes(gzip.compress(LINES.encode()) + gzip.compress(LINES.encode()))
    assert run(path).stdout == CLEAN * 2


@pytest.mark.parametrize("arguments", [(), ("--in-place",), ("--check",)])
def test_files_that_cannot_be_read(log: pathlib.Path, tmp_path: pathlib.Path, arguments: tuple[str, ...]) -> None:
    """One line for each on stderr, exit code 2; the others are done."""
    torn = tmp_path / "torn.gz"
    torn.write_bytes(gzip.compress(NOISE[:1000])[:-20])
    broken = tmp_path / "broken.gz"
    broken.write_bytes(b"\x1f\x8b\x08" + bytes(7) + b"\xff" * 50)
    xz = tmp_path / "app.log.xz"
    xz.write_bytes(b"\xfd7zXZ\0\0")
    wide, wide_le = tmp_path / "wide.log", tmp_path / "wide-le.log"
    wide.write_bytes(MAIL.encode("utf-16"))
    wide_le.write_bytes(MAIL.encode("utf-16-le"))
    bad = [tmp_path / "missing", tmp_path, torn, broken, xz, wide, wide_le]
    before = {path: path.read_bytes() for path in bad if path.is_file()}
    done = run(*arguments, *bad, log)
    assert done.exit_code == 2
    told = done.stderr.splitlines()
    reasons = ["No such file", "directory", "ended before", "invalid", "compressed (xz)", "UTF-16", "UTF-16"]
    for path, line, reason in zip(bad, told[: len(bad)], reasons, strict=True):
        assert line.startswith(f"llmlog: {path}: ")
        assert reason in line
    assert {path: path.read_bytes() for path in before} == before
    assert names(tmp_path) == sorted(["app.log", *(path.name for path in before)])
    if arguments:
        became = "redacted" if "--in-place" in arguments else "would be redacted"
        assert told[len(bad) :] == [f"llmlog: {became} in 1 of 8 files: 2 email, 1 key"]
    else:
        assert done.stdout.endswith(CLEAN)


def test_zeros_in_a_log(tmp_path: pathlib.Path) -> None:
    """A file that begins with zeros, as after a crash, is no UTF-16."""
    path = tmp_path / "app.log"
    path.write_bytes(bytes(100) + b"ann@example.com\n")
    assert run(path).stdout_bytes == bytes(100) + b"<EMAIL>\n"


def test_what_cannot_be_redacted(log: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2: on stdout the line is withheld, in its place the file stays as it is; --check names the place."""
    monkeypatch.setattr(Redactor, "text", lambda self, text: WITHHELD if MAIL in text else text)
    done = run(log)
    assert (done.exit_code, done.stdout.splitlines()[0]) == (2, WITHHELD)
    assert done.stderr == f"llmlog: {log}: what could not be redacted is withheld, in 1 line\n"
    done = run("--in-place", log)
    assert (done.exit_code, log.read_text()) == (2, LINES)
    assert done.stderr == f"llmlog: {log}: line 1 could not be redacted; the file is left as it is\n"
    assert f"{log}:1: withheld" in run("--check", log).stdout


# In place -------------------------------------------------------------------------------------------


def test_in_place(log: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The file is redacted, its mode is as before, and a second time there is nothing to do."""
    log.chmod(0o640)
    done = run("--in-place", log)
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "llmlog: redacted in 1 of 1 file: 2 email, 1 key\n"
    assert (log.read_text(), names(tmp_path)) == (CLEAN, ["app.log"])
    assert log.stat().st_mode & 0o777 == 0o640
    before = log.stat()
    assert run("-i", log).stderr == "llmlog: nothing to redact in 1 file\n"
    assert (log.stat().st_ino, log.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_gzip_in_place(tmp_path: pathlib.Path) -> None:
    """A gzip file stays one."""
    path = tmp_path / "app.log.gz"
    path.write_bytes(gzip.compress(LINES.encode()))
    assert run("--in-place", path).exit_code == 0
    assert gzip.decompress(path.read_bytes()).decode() == CLEAN


@posix
def test_a_link(log: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The file it leads to is rewritten, beside itself; the link stays one."""
    folder = tmp_path / "links"
    folder.mkdir()
    (folder / "current").symlink_to(log)
    assert run("--in-place", folder / "current").exit_code == 0
    assert (folder / "current").is_symlink()
    assert log.read_text() == CLEAN
    assert (names(folder), names(tmp_path)) == (["current"], ["app.log", "links"])


@posix
def test_another_name_of_the_file(log: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """A hard link keeps the old content: that is told."""
    os.link(log, tmp_path / "other")
    done = run("--in-place", log)
    assert done.exit_code == 0
    assert done.stderr.startswith(f"llmlog: {log}: it has other names (hard links)")


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_the_owner(log: pathlib.Path) -> None:
    """It is as before, and so are the bits that a change of the owner takes away."""
    os.chown(log, 12345, 23456)
    log.chmod(0o2640)
    run("--in-place", log)
    status = log.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (12345, 23456, 0o2640)


@posix
def test_an_owner_that_cannot_be_kept(log: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is ours."""
    asked = []

    def refuses(fd: int, owner: int, group: int) -> None:
        asked.append((owner, group))
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(os, "fchown", refuses)
    assert run("--in-place", log).exit_code == 0
    assert log.read_text() == CLEAN
    assert asked == [(log.stat().st_uid, log.stat().st_gid), (-1, log.stat().st_gid)]


@posix
def test_what_is_no_file(tmp_path: pathlib.Path) -> None:
    """A device is not replaced."""
    done = run("--in-place", "/dev/null")
    assert (done.exit_code, done.stderr) == (2, "llmlog: /dev/null: it is no file that could be rewritten\n")


def test_written_to_meanwhile(log: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that came after the last one read is not lost: the file stays as it is."""
    take_place = files.Replacement.take_place

    def late(self: files.Replacement) -> None:
        with log.open("a") as file:
            file.write("one more\n")
        take_place(self)

    monkeypatch.setattr(files.Replacement, "take_place", late)
    done = run("--in-place", log)
    assert (done.exit_code, log.read_text(), names(tmp_path)) == (2, LINES + "one more\n", ["app.log"])
    assert done.stderr == f"llmlog: {log}: it was written to meanwhile, and is left as it is\n"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_failure_leaves_nothing(
    log: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, where: str
) -> None:
    """A full disk, Ctrl-C: the file is as it was, and there is none beside it."""

    def fails(*arguments: Any) -> None:
        raise error

    monkeypatch.setattr(os, where, fails)
    done = run("--in-place", log)
    assert (log.read_text(), names(tmp_path)) == (LINES, ["app.log"])
    if isinstance(error, OSError):
        assert (done.exit_code, done.stderr) == (2, f"llmlog: {log}: No space left on device\n")
    else:
        assert done.exit_code == 130


# --check --------------------------------------------------------------------------------------------


def test_check(log: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Exit code 1, the places and the counts on stdout; never what was found, and nothing is changed."""
    (tmp_path / "clean.log").write_text("fine\n")
    done = run("--check", log, tmp_path / "clean.log")
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        f"{log}:1: email", f"{log}:3: key", f"{log}:3: email", "      2 email", "      1 key"
    ]  # fmt: skip
    assert done.stderr == "llmlog: would be redacted in 1 of 2 files: 2 email, 1 key\n"
    assert "ann" not in done.output
    assert "hunter2" not in done.output
    assert log.read_text() == LINES


def test_check_of_a_file_that_breaks_off(tmp_path: pathlib.Path) -> None:
    """What was found up to there is told."""
    path = tmp_path / "torn.gz"
    path.write_bytes(gzip.compress(f"{MAIL}\n".encode() + NOISE)[:-1000])
    done = run("--check", path)
    assert (done.exit_code, done.stdout.splitlines()[0]) == (2, f"{path}:1: email")
    assert "ended before" in done.stderr.splitlines()[0]


def test_check_of_clean_files(log: pathlib.Path) -> None:
    """Exit code 0, one line on stderr; what the command has written is clean."""
    log.write_text(CLEAN)
    done = run("--check", log, "-", input="")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "llmlog: nothing to redact in 2 files\n")


def test_a_limit_of_places(log: pathlib.Path) -> None:
    """Only so many are printed; all are counted."""
    log.write_text(f"{MAIL} {MAIL}\n" * 5)
    done = run("--check", "--max-places", 2, log)
    assert done.stdout.splitlines() == [f"{log}:1: email", f"{log}:2: email", "     10 email"]
    assert done.stderr.splitlines()[0] == "llmlog: the first 2 of 5 places are shown (--max-places)"
    assert run("--check", "--max-places", 0, log).stdout == "     10 email\n"


@posix
def test_the_name_of_a_file(tmp_path: pathlib.Path) -> None:
    """It cannot colour the terminal."""
    path = tmp_path / "a\x1b[31m.log"
    path.write_text(MAIL)
    assert "\x1b" not in run("--check", path, tmp_path / "\x1bmissing").output


# Options --------------------------------------------------------------------------------------------


def test_kinds_patterns_and_keys(log: pathlib.Path) -> None:
    """What is looked for can be said."""
    log.write_text(f'{MAIL} 203.0.113.9 T-12 password=x\n{{"badge": 7, "pin": "9"}}\n')
    assert run("--kind", "ip", log).stdout.startswith(f"{MAIL} <IP> T-12 password=<REDACTED>\n")
    done = run("--kind=ip", "--kind=email", "--pattern=ticket=T-[0-9]+", "--key=badge", "--key", "pin", log)
    assert done.stdout == '<EMAIL> <IP> <TICKET> password=<REDACTED>\n{"badge": "<REDACTED>", "pin": "<REDACTED>"}\n'
    done = run("--check", "--pattern=a_b=T=?-([0-9]+)", "--kind=ip", log)
    assert f"{log}:1: a_b\n" in done.stdout


@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_a_configuration(log: pathlib.Path, tmp_path: pathlib.Path, suffix: str) -> None:
    """The options of configure(redaction=...) from a file; those of the command come on top."""
    config = tmp_path / f"redaction{suffix}"
    if suffix == ".json":
        config.write_text(json.dumps({"kinds": ["ip"], "keys": ["badge"], "patterns": {"ticket": "T-[0-9]+"}}))
    else:
        config.write_text('kinds = ["ip"]\nkeys = ["badge"]\n[patterns]\nticket = "T-[0-9]+"\n')
    log.write_text(f'{MAIL} 203.0.113.9 T-12 R-9\n{{"badge": 7, "pin": "9"}}\n')
    first = run("--config", config, log).stdout
    assert first == f'{MAIL} <IP> <TICKET> R-9\n{{"badge": "<REDACTED>", "pin": "9"}}\n'
    second = run("--config", config, "--kind=email", "--key=pin", "--pattern=room=R-[0-9]", log).stdout
    assert second == '<EMAIL> <IP> <TICKET> <ROOM>\n{"badge": "<REDACTED>", "pin": "<REDACTED>"}\n'


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--kind", "nonsense"), "'nonsense'"),
        (("--pattern", "x"), "--pattern is NAME=REGEX, got 'x'"),
        (("--pattern", "x="), "'x='"),
        (("--pattern", "x=("), "'('"),
        (("--pattern", "a b=c"), "'a b'"),
        (("--key", ""), "''"),
        (("--config", "missing.toml"), "missing.toml"),
        (("--config", "{}.toml"), "is no TOML"),
        (("--config", "{}.json"), "is no JSON"),
        (("--check", "--in-place"), "--check"),
        (("--in-place", "-"), "standard input"),
        (("--max-places", "-1"), "--max-places"),
        (("--nonsense",), "--nonsense"),
    ],
)
def test_wrong_use(log: pathlib.Path, tmp_path: pathlib.Path, arguments: tuple[str, ...], told: str) -> None:
    """Exit code 2, the value on stderr, and no file is touched."""
    for suffix in (".toml", ".json"):
        (tmp_path / f"wrong{suffix}").write_text("{ [")
    done = run(*(one.format(tmp_path / "wrong") for one in arguments), log)
    assert (done.exit_code, done.stdout) == (2, "")
    assert told in done.stderr
    assert "Traceback" not in done.output
    assert log.read_text() == LINES


@pytest.mark.parametrize(
    "content", ["[]", '{"kinds": "email"}', '{"kindz": []}', '{"patterns": []}', '{"keys": 3}', "3"]
)
def test_a_wrong_configuration(log: pathlib.Path, tmp_path: pathlib.Path, content: str) -> None:
    """Exit code 2, with options of the command beside it or without."""
    config = tmp_path / "wrong.json"
    config.write_text(content)
    for more in ((), ("--kind=email", "--key=x", "--pattern=x=y")):
        done = run("--config", config, *more, log)
        assert (done.exit_code, done.stdout) == (2, ""), content
        assert len(done.stderr.splitlines()) == 1
    assert run().exit_code == 2


# As a process ---------------------------------------------------------------------------------------


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "llmlog", "redact", *map(str, arguments)]


def process(*arguments: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command(*arguments), capture_output=True, timeout=60, check=False, **options)


def test_in_a_pipe(log: pathlib.Path) -> None:
    """Bytes in, bytes out, whatever the locale; no colours, no bar."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    data = b"\xff na\xc3\xafve ann@example.com\n"
    done = process("-", input=data * 10_000, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"\xff na\xc3\xafve <EMAIL>\n" * 10_000
    done = process("--check", log, env=environment)
    assert done.returncode == 1
    assert done.stdout.startswith(f"{log}:1: email\n".encode())


@posix
def test_a_reader_that_goes_away(tmp_path: pathlib.Path) -> None:
    """A closed pipe ends it, without a word."""
    path = tmp_path / "app.log"
    path.write_text(LINES * 5_000)
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command(path), stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@posix
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_disk_behind_stdout(log: pathlib.Path) -> None:
    """Exit code 2, and one line."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command(log), stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (2, b"llmlog: standard output: No space left on device\n")


@posix
def test_a_file_that_is_the_output_too(log: pathlib.Path) -> None:
    """It is refused: it would never end."""
    with log.open("ab") as output:
        done = subprocess.run(command(log), stdout=output, stderr=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (2, f"llmlog: {log}: it is the output, too\n".encode())
    assert log.read_text() == LINES


def test_lines_come_as_they_are_written() -> None:
    """`tail -f` in front of it: a line is there before the next one is."""
    with subprocess.Popen(command("-"), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        for _ in range(3):
            running.stdin.write(b"from ann@example.com\n")
            running.stdin.flush()
            assert running.stdout.readline() == b"from <EMAIL>\n"
        running.stdin.close()
        assert running.wait(60) == 0


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle(tmp_path: pathlib.Path, number: signal.Signals) -> None:
    """The file is as it was, and there is none beside it."""
    path = tmp_path / "app.log"
    os.mkfifo(tmp_path / "gate")
    path.write_text(LINES * 1000)
    script = (
        "import signal, sys; from llmlog.cli import files, main\n"
        # A shell may have started the tests in the background, or nohup: they ignore one of these, and so would it.
        "signal.signal(signal.SIGHUP, signal.SIG_DFL); signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"def waits(self): open({str(tmp_path / 'gate')!r}).read(); open({str(tmp_path / 'gate')!r}).read()\n"
        "files.Replacement.take_place = waits\n"
        f"sys.argv[1:] = ['redact', '--in-place', {str(path)!r}]; main()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE) as running:
        (tmp_path / "gate").write_text("")  # it is there now, and waits for the second one
        assert len(names(tmp_path)) == 3
        running.send_signal(number)
        _, told = running.communicate(timeout=60)
    assert running.returncode == 128 + number
    assert b"Traceback" not in told
    assert names(tmp_path) == ["app.log", "gate"]
    assert path.read_text() == LINES * 1000


@posix
@pytest.mark.parametrize("arguments", [("--check",), ("--in-place",), ()])
def test_the_bar(tmp_path: pathlib.Path, arguments: tuple[str, ...]) -> None:
    """On a terminal it tells how far it is; it is gone at the end, and nothing of it is on stdout."""
    import pty

    path = tmp_path / "app.log"
    path.write_text(LINES * 2_000)
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command(*arguments, path), stdout=subprocess.PIPE, stderr=theirs, env=environment) as running:
        os.close(theirs)
        shown = b""
        try:
            assert running.stdout is not None
            out = running.stdout.read()
            while piece := os.read(ours, 4096):
                shown += piece
        except OSError:  # Linux' way to say that the other end is closed
            pass
        finally:
            os.close(ours)
    assert "app.log" in shown.decode()
    assert b"/" in shown
    assert b"\x1b" not in out
    assert out == ((CLEAN * 2_000).encode() if not arguments else out)


def test_both_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the lines themselves are shown, there is no bar among them."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(runs, "Progress", None)  # it would fail
    with runs._progress(["-"], hidden=True) as show:
        show("-", 1)
