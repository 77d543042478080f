"""The file of JSON lines."""

import gc
import json
import logging
import logging.config
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmlog.exceptions import UsageTypeError
from llmlog.formatters import JSONFormatter
from llmlog.handlers import JSONLinesHandler

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX permissions, moving of open files, and fork")


def record(message: str = "hello", **extras: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": message, "name": "app", "levelname": "INFO", **extras})


def lines(path: Path) -> list[dict[str, Any]]:
    text = path.read_bytes()
    assert text.endswith(b"\n")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "app" / "calls.jsonl"


@pytest.fixture
def handler(path: Path) -> Iterator[JSONLinesHandler]:
    handler = JSONLinesHandler(path)
    yield handler
    handler.close()


def failing(handler: JSONLinesHandler, monkeypatch: pytest.MonkeyPatch) -> list[logging.LogRecord]:
    """The records that went to handleError."""
    failed: list[logging.LogRecord] = []
    monkeypatch.setattr(handler, "handleError", failed.append)
    return failed


def test_a_record_is_a_line_at_once(handler: JSONLinesHandler, path: Path) -> None:
    """Nothing waits in a buffer, and missing folders are made."""
    handler.handle(record("one", user_id="ü"))
    assert lines(path)[0]["user_id"] == "ü"
    handler.handle(record("two"))
    assert [line["message"] for line in lines(path)] == ["one", "two"]


def test_an_existing_file_is_appended_to(path: Path) -> None:
    """A restart of the service loses no earlier line."""
    for message in ("one", "two"):
        handler = JSONLinesHandler(str(path))
        handler.handle(record(message))
        handler.close()
    assert [line["message"] for line in lines(path)] == ["one", "two"]


@posix
@pytest.mark.parametrize(("options", "expected"), [({}, 0o600), ({"mode": 0o640}, 0o640)])
def test_the_file_is_private_unless_asked_otherwise(path: Path, options: Any, expected: int) -> None:
    """Prompts may be in it: nobody else reads it by default."""
    before = os.umask(0o022)
    try:
        JSONLinesHandler(path, **options).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == expected


def test_it_is_built_from_a_plain_dict_config(path: Path) -> None:
    """Level, filters and formatters are set as for any handler."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": "llmlog.formatters.JSONFormatter", "constants": {"service": "shop"}}},
            "filters": {"no_noise": {"()": "logging.Filter", "name": "shop"}},
            "handlers": {
                "file": {
                    "class": "llmlog.handlers.JSONLinesHandler",
                    "filename": str(path),
                    "formatter": "json",
                    "filters": ["no_noise"],
                    "level": "INFO",
                }
            },
            "loggers": {name: {"handlers": ["file"], "level": "DEBUG"} for name in ("shop", "noise")},
        }
    )
    try:
        logging.getLogger("shop").info("kept")
        logging.getLogger("shop").debug("dropped")
        logging.getLogger("noise").info("dropped")
        assert [(line["message"], line["service"]) for line in lines(path)] == [("kept", "shop")]
    finally:
        for name in ("shop", "noise"):
            for handler in logging.getLogger(name).handlers[:]:
                logging.getLogger(name).removeHandler(handler)
                handler.close()


@pytest.mark.parametrize("filename", [None, 3, b"calls.jsonl", ["a"]])
def test_what_is_not_a_path_is_refused_at_once(filename: Any) -> None:
    """The error is raised where the mistake was made, and names the value."""
    with pytest.raises(UsageTypeError, match="filename is a path") as raised:
        JSONLinesHandler(filename)
    assert repr(filename) in str(raised.value)


def test_a_stdlib_mode_is_refused_at_once(path: Path) -> None:
    """`mode` means permission bits here, not the "a" of FileHandler."""
    with pytest.raises(UsageTypeError, match="'a'"):
        JSONLinesHandler(path, mode="a")  # type: ignore[arg-type]
    assert not path.exists()


@posix
def test_it_follows_a_rotation(handler: JSONLinesHandler, path: Path) -> None:
    """After logrotate has moved the file, records go into a new one of the old name."""
    handler.handle(record("one"))
    path.rename(path.with_suffix(".1"))
    handler.handle(record("two"))
    assert [line["message"] for line in lines(path.with_suffix(".1"))] == ["one"]
    assert [line["message"] for line in lines(path)] == ["two"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@posix
def test_it_follows_the_removal_of_the_folder(handler: JSONLinesHandler, path: Path) -> None:
    """A file removed together with its folder is made again."""
    path.unlink()
    path.parent.rmdir()
    handler.handle(record())
    assert len(lines(path)) == 1


@posix
def test_a_file_that_cannot_be_made_again_costs_no_record(
    handler: JSONLinesHandler, path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Where the new file cannot be opened, records go on into the moved one, and stderr says so once."""
    moved = path.parent.with_name("moved")
    path.parent.rename(moved)
    path.parent.write_text("a file where the folder was")
    handler.handle(record("one"))
    path.parent.unlink()
    path.parent.with_name("other").mkdir()
    path.parent.symlink_to("nowhere/at/all")
    handler.handle(record("two"))
    handler.handle(record("three"))
    assert [line["message"] for line in lines(moved / path.name)] == ["one", "two", "three"]
    assert capfd.readouterr().err.count("cannot be made again") == 1


def test_close_leaves_nothing_open(path: Path) -> None:
    """A handler that was closed raises no ResourceWarning, closed twice or never used."""
    for delay in (False, True):
        handler = JSONLinesHandler(path, delay=delay)
        handler.close()
        handler.close()
    del handler
    gc.collect()


def test_a_record_after_close_is_written(path: Path) -> None:
    """What is logged after logging.shutdown(), at exit, is not lost, and the file is closed again."""
    handler = JSONLinesHandler(path)
    handler.close()
    handler.handle(record("late"))
    handler.handle(record("later"))
    assert handler.stream is None
    assert [line["message"] for line in lines(path)] == ["late", "later"]


def test_delay_opens_the_file_with_the_first_record(path: Path) -> None:
    """A handler that nobody uses leaves no file behind."""
    handler = JSONLinesHandler(path, delay=True)
    assert not path.exists()
    handler.handle(record())
    handler.close()
    assert len(lines(path)) == 1


def test_a_partial_write_is_finished(handler: JSONLinesHandler, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may take a line in pieces."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
    handler.handle(record("one"))
    handler.handle(record("two"))
    assert [line["message"] for line in lines(path)] == ["one", "two"]


def test_a_torn_line_does_not_spoil_the_next(
    handler: JSONLinesHandler, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full in mid-line: handleError hears of it, and the next record starts on a new line."""
    failed = failing(handler, monkeypatch)
    write, calls = os.write, []

    def full(fd: int, data: Any) -> int:
        calls.append(data)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return write(fd, data[:9])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        handler.handle(record("lost"))
    handler.handle(record("next"))
    handler.handle(record("after"))
    first, *others = path.read_bytes().splitlines()
    assert len(first) == 9
    assert [json.loads(line)["message"] for line in others] == ["next", "after"]
    assert [r.getMessage() for r in failed] == ["lost"]


def test_a_line_torn_by_an_earlier_process_does_not_spoil_the_next(path: Path) -> None:
    """A process was killed in mid-line: its successor starts on a line of its own."""
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"message": "los')
    handler = JSONLinesHandler(path)
    handler.handle(record("next"))
    handler.close()
    assert json.loads(path.read_bytes().splitlines()[1])["message"] == "next"


def test_a_line_torn_by_another_process_does_not_spoil_the_next(handler: JSONLinesHandler, path: Path) -> None:
    """Another process is killed in mid-line while this one has the file open; a whole line of another adds nothing."""
    handler.handle(record("before"))
    for others in (b'{"message":"whole"}\n', b'{"message":"los'):
        with path.open("ab") as file:
            file.write(others)
        handler.handle(record("next"))
    handler.handle(record("after"))
    lines = path.read_bytes().splitlines()
    assert lines.pop(3) == b'{"message":"los'
    assert [json.loads(line)["message"] for line in lines] == ["before", "whole", "next", "next", "after"]


def test_an_error_goes_to_handle_error(path: Path, handler: JSONLinesHandler, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the standard library: nothing is raised into the application."""
    failed = failing(handler, monkeypatch)

    class Broken(JSONFormatter):
        def format(self, record: logging.LogRecord) -> str:
            raise ValueError("no line")

    handler.setFormatter(Broken())
    handler.handle(record())
    assert len(failed) == 1


def test_a_file_that_cannot_be_opened_later_goes_to_handle_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `delay` the error comes with the first record, and not into the application."""
    (tmp_path / "file").write_text("")
    handler = JSONLinesHandler(tmp_path / "file" / "calls.jsonl", delay=True)
    failed = failing(handler, monkeypatch)
    handler.handle(record())
    handler.close()
    assert len(failed) == 1


def test_a_full_disk_is_told_once(
    handler: JSONLinesHandler, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One traceback for all records of one full disk, and how many they were once it is over."""

    def full(fd: int, data: Any) -> int:
        raise OSError(28, "No space left on device")

    for spell in (3, 1):
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            for _ in range(spell):
                handler.handle(record("lost"))
        assert capsys.readouterr().err.count("Traceback") == 1
        handler.handle(record("kept"))
        told = f"{spell} records" if spell > 1 else "1 record"
        assert f"{told} could not be written to {path}; it takes records again\n" in capsys.readouterr().err
        handler.handle(record("kept"))
        assert capsys.readouterr().err == ""
    assert [line["message"] for line in lines(path)] == ["kept"] * 4


def test_what_was_lost_till_the_end_is_told_at_the_end(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The disk is still full when the handler is closed."""
    handler = JSONLinesHandler(path)

    def full(fd: int, data: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        handler.handle(record("lost"))
        handler.handle(record("lost"))
    capsys.readouterr()
    handler.close()
    handler.close()
    assert capsys.readouterr().err == f"llmlog: 2 records could not be written to {path}\n"


def test_text_that_utf8_cannot_hold_is_escaped(handler: JSONLinesHandler, path: Path) -> None:
    """Another formatter's line with a lone surrogate is written all the same."""
    handler.setFormatter(logging.Formatter('{"message": "%(message)s"}'))
    handler.handle(record("\ud800"))
    assert path.read_bytes() == b'{"message": "\\ud800"}\n'


def test_threads_do_not_mix_lines(handler: JSONLinesHandler, path: Path) -> None:
    """Two handlers on one file, and several threads on each, write whole lines."""
    other = JSONLinesHandler(path)
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        for i in range(50):
            (handler, other)[number % 2].handle(record(f"{number}-{i} " + "x" * 5000))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    written = {line["message"].split()[0] for line in lines(path)}
    assert written == {f"{number}-{i}" for number in range(8) for i in range(50)}


FORKING = """
import logging, os, sys
from llmlog.handlers import JSONLinesHandler

logger = logging.getLogger("forked")
logger.addHandler(JSONLinesHandler(sys.argv[1]))
logger.warning("parent before")
children = []
for number in range(4):
    pid = os.fork()
    if not pid:
        for i in range(100):
            logger.warning("%d-%d %s", number, i, "x" * 3000)
        os._exit(0)
    children.append(pid)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
logger.warning("parent after")
"""


@posix
def test_forked_processes_share_the_file(path: Path) -> None:
    """Children write through the inherited handler: whole lines, each of them once."""
    path.parent.mkdir(parents=True)
    subprocess.run([sys.executable, "-W", "error", "-c", FORKING, str(path)], check=True, timeout=60)
    messages = [" ".join(line["message"].split()[:2]) for line in lines(path)]
    assert messages[0] == "parent before"
    assert messages[-1] == "parent after"
    expected = sorted(f"{n}-{i} {'x' * 3000}" for n in range(4) for i in range(100))
    assert sorted(messages[1:-1]) == expected


def test_fsync(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is asked for, each record is on the disk before its logging call returns."""
    synced: list[bytes] = []
    monkeypatch.setattr("llmlog.handlers.jsonlines._fdatasync", lambda fd: synced.append(path.read_bytes()[-3:]))
    for fsync in (True, False):
        handler = JSONLinesHandler(path, fsync=fsync)
        handler.handle(record("one"))
        handler.close()
    assert synced == [b'"}\n']
    with pytest.raises(UsageTypeError, match="'yes'"):
        JSONLinesHandler(path, fsync="yes")  # type: ignore[arg-type]


@posix
def test_a_pipe_takes_no_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be synced is written all the same."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    handler = JSONLinesHandler(fifo, fsync=True)
    failed = failing(handler, monkeypatch)
    handler.handle(record("one"))
    handler.close()
    assert json.loads(os.read(reader, 1000))["message"] == "one"
    os.close(reader)
    assert failed == []
