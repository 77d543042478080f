"""The journal: what is on the disk while calls are open, and what the next process makes of it."""

from __future__ import annotations

import json
import os
import pathlib
import stat
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Clock, Records, answer, chunk

import llmlog
from llmlog import faults, journal, lifecycle, recovery

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the journal needs POSIX file locks")

MESSAGES = [{"role": "user", "content": "My name is Zoë and my card is 4111 1111 1111 1111"}]


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A journal's folder that is switched on, without the worker's own checkpoints."""
    made = tmp_path / "journal"
    journal.enable(made)
    llmlog.lifecycle.worker.tick(None)
    yield made
    journal.disable()


def files(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(folder.iterdir())


def entries(folder: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in files(folder) for line in file.read_text().splitlines() if line]


def checkpoint() -> None:
    journal.checkpoint(lifecycle.open_calls())


def die(folder: pathlib.Path, into: pathlib.Path) -> pathlib.Path:
    """What another process would find if this one were killed now."""
    into.mkdir()
    for file in files(folder):
        (into / file.name).write_bytes(file.read_bytes())
    return into


def test_a_call_in_the_file(folder: pathlib.Path, calls: Records) -> None:
    """A line when it starts, a line for each checkpoint at which it had got further, a line once it is recorded."""
    stream = llmlog.stream(answer("a", "b"), model="gpt-4o-mini", input=MESSAGES, feature="search")
    next(stream)
    next(stream)
    checkpoint()
    checkpoint()
    stream.close()
    assert [next(kind for kind in entry if kind != "call") for entry in entries(folder)] == [
        "start", "names", "so_far", "ended",
    ]  # fmt: skip
    assert {entry["call"] for entry in entries(folder)} == {calls.one()["call_id"]}


def test_no_text_and_no_personal_data(folder: pathlib.Path) -> None:
    """Neither the prompt nor the answer is on the disk, and the fields are redacted, and short and plain."""
    with llmlog.request("r-1", user_id="ann@example.com", note={"deep": "x"}, tenant="acme"):
        stream = llmlog.stream([chunk("Secret words")], model="gpt-4o-mini", input=MESSAGES, password="hunter2")
        next(stream)
        checkpoint()
        written = "".join(file.read_text() for file in files(folder))
        for text in ("Zo", "4111", "Secret", "ann@", "hunter2", "deep"):
            assert text not in written
        assert entries(folder)[0]["start"]["fields"]["user_id"] == "<EMAIL>"
        assert entries(folder)[0]["start"]["fields"]["tenant"] == "acme"
        stream.close()


def test_only_for_this_user(folder: pathlib.Path) -> None:
    """The folder is 0700, a file 0600."""
    stream = llmlog.stream(answer("a"))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in files(folder)] == [0o600]
    stream.close()


def test_no_file_without_a_call(folder: pathlib.Path) -> None:
    """A process that calls no model leaves no file, and one that ends well takes its file away."""
    assert files(folder) == []
    llmlog.stream(answer("a")).close()
    assert len(files(folder)) == 1
    journal.close()
    assert files(folder) == []


def test_a_lost_call(folder: pathlib.Path, tmp_path: pathlib.Path, calls: Records, clock: Clock) -> None:
    """The record of a call whose process died says all that was known by then."""

    def source() -> Iterator[Any]:
        clock.sleep(0.5)
        yield chunk("", role="assistant")
        clock.sleep(1.5)
        yield chunk("Hello ")
        clock.sleep(0.25)
        yield chunk("wörld")
        yield chunk("never seen")

    with llmlog.request("r-7", user_id="u-1"):
        stream = llmlog.stream(source(), model="gpt-4o-mini", input="Say hello", feature="search")
        for _ in range(3):
            next(stream)
        checkpoint()
        next(stream)
        assert recovery.recover(die(folder, tmp_path / "dead")) == 1
        lost = calls.records[0].__dict__
        stream.close()
    ended = calls.all()[1]
    assert (lost["outcome"], lost["ended_by"], lost["levelname"]) == ("lost", "recovery", "ERROR")
    assert lost["record_id"] == ended["record_id"]
    for name in ("call_id", "request_id", "user_id", "feature", "provider", "model", "response_model", "response_id",
                 "ttft_ms", "prompt_length", "streamed", "operation", "consumer_ms"):  # fmt: skip
        assert lost[name] == ended[name], name
    assert (lost["chunks"], lost["content_chunks"], lost["response_length"]) == (3, 2, 11)
    assert (lost["latency_ms"], lost["max_gap_ms"], lost["wait_ms"]) == (2250, 250, 2250)
    assert (lost["input_tokens"], lost["output_tokens"]) == (2, 3)
    assert (lost["usage_source"], lost["usage_extrapolated"]) == ("estimated", True)
    assert lost["cost_usd"] == float(llmlog.cost({"input_tokens": 2, "output_tokens": 3}, "gpt-4o-mini") or 0)
    assert "prompt" not in lost
    assert "response" not in lost


def test_killed_before_the_first_chunk(folder: pathlib.Path, tmp_path: pathlib.Path, calls: Records) -> None:
    """Only its start is known: no lengths, no times, and the tokens of what was asked."""
    with llmlog.call(model="gpt-4o-mini", input="Say hello") as call:
        assert recovery.recover(die(folder, tmp_path / "dead")) == 1
        call.finish({"choices": [], "model": "gpt-4o-mini"})
    lost = calls.records[0].__dict__
    assert (lost["outcome"], lost["model"], lost["input_tokens"]) == ("lost", "gpt-4o-mini", 2)
    assert not {"latency_ms", "ttft_ms", "response_length", "chunks"} & lost.keys()
    assert lost["msg"].startswith("gpt-4o-mini lost (recovery)")


def test_usage_that_was_told(folder: pathlib.Path, tmp_path: pathlib.Path, calls: Records) -> None:
    """The provider's own counts, as far as they had come, are in the record; tool calls and reasoning count."""
    told = {**chunk("a"), "usage": {"prompt_tokens": 40, "completion_tokens": 1, "total_tokens": 41}}
    tool = {"index": 0, "id": "t1", "function": {"name": "look_up", "arguments": '{"order": 17, "deep": true}'}}
    chunks = [told, chunk(None, reasoning_content="Let me think. "), chunk(None, tool_calls=[tool])]
    stream = llmlog.stream(chunks, model="gpt-4o-mini")
    list(zip(range(3), stream, strict=False))
    checkpoint()
    assert recovery.recover(die(folder, tmp_path / "dead")) == 1
    lost = calls.records[0].__dict__
    assert (lost["input_tokens"], lost["usage_source"]) == (40, "mixed")
    assert (lost["tool_calls"], lost["reasoning_length"], lost["output_tokens"]) == (1, 14, 11)
    assert "tool_names" not in lost
    stream.close()


def test_recorded_once(folder: pathlib.Path, tmp_path: pathlib.Path, calls: Records) -> None:
    """A file is recovered once, and is gone then; calls that had ended are not lost."""
    llmlog.stream(answer("a")).close()
    open_one = llmlog.stream(answer("a"))
    dead = die(folder, tmp_path / "dead")
    assert recovery.recover(dead) == 1
    assert recovery.recover(dead) == 0
    assert files(dead) == []
    open_one.close()
    assert sorted(record["outcome"] for record in calls.all()) == ["aborted", "aborted", "lost"]


def test_the_living_are_left_alone(folder: pathlib.Path, calls: Records) -> None:
    """A file whose lock is held belongs to a process that lives."""
    stream = llmlog.stream(answer("a"))
    assert recovery.recover(folder) == 0
    stream.close()
    assert calls.one()["outcome"] == "aborted"


@pytest.mark.parametrize("cut", [1, 10, 60, 90])
def test_a_half_written_last_line(folder: pathlib.Path, tmp_path: pathlib.Path, calls: Records, cut: int) -> None:
    """A process may be killed in the middle of a line: what stands before it counts."""
    stream = llmlog.stream(answer("a", "b", "c"))
    next(stream)
    checkpoint()
    (whole,) = files(die(folder, tmp_path / "dead"))
    before = whole.read_bytes()
    half = b'{"call":"' + b"0" * 32 + b'","start":{"created":1795000000.5,"fields":{"model":"gpt-4o-mini"}}}'
    whole.write_bytes(before + half[:cut])
    assert recovery.recover(whole.parent) == 1
    stream.close()
    assert len(calls.all()) == 2


def test_what_is_no_journal(tmp_path: pathlib.Path, calls: Records, faults_expected: dict[str, int]) -> None:
    """Lines that are no journal's are counted as faults, and what can be recorded is."""
    odd = [b"[]", b"nonsense", b'{"call":"x","start":5}', b'{"call":"y","start":{"created":"z"}}', b"\xff\xfe", b""]
    (tmp_path / "1-a.journal").write_bytes(b"\n".join(odd) + b"\n")
    (tmp_path / "readme.txt").write_text("not ours")
    assert recovery.recover(tmp_path) == 2
    assert [(record["call_id"], record["outcome"]) for record in calls.all()] == [("x", "lost"), ("y", "lost")]
    assert files(tmp_path) == [tmp_path / "readme.txt"]
    faults_expected["reading a journal"] = 4


def test_nobody_would_see_it(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no handler gets the records, the files stay until there is one."""
    line = recovery.line("0" * 32, "start", {"created": 1.0, "fields": {}})
    (tmp_path / "1-a.journal").write_bytes(line)
    code = (
        "import sys, logging, llmlog; from llmlog import journal; folder = sys.argv[1]; "
        "llmlog.configure(journal=folder); print(journal.recover(folder)); "
        "logging.basicConfig(stream=sys.stdout, format='%(outcome)s %(record_id)s'); llmlog.flush()"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert run.stdout.splitlines() == ["0", f"lost {'0' * 32}"], run.stderr
    assert "reach no handler" in run.stderr
    assert files(tmp_path) == []


def test_ended_calls_take_no_room(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is written anew when it has grown, with the open calls alone."""
    monkeypatch.setattr(journal, "_REWRITE_AT", 4096)
    journal.close()
    held = llmlog.stream(answer("a", "b", "c"), keep="me")
    next(held)
    checkpoint()
    sizes = []
    for _ in range(200):
        llmlog.stream(answer("a")).close()
        sizes.append(sum(file.stat().st_size for file in files(folder)))
    assert max(sizes) < 5000
    call_id = held._call.call_id
    assert [kind for entry in entries(folder) if entry["call"] == call_id for kind in entry if kind != "call"] == [
        "start", "names", "so_far",
    ]  # fmt: skip
    held.close()
    for _ in range(200):
        llmlog.stream(answer("a")).close()
    assert sum(file.stat().st_size for file in files(folder)) < 5000


def test_layers_are_one_call(folder: pathlib.Path, tmp_path: pathlib.Path, calls: Records) -> None:
    """A stream over a stream, and a generator that makes one, are noted once, and end once."""

    def texts() -> Iterator[str]:
        for one in llmlog.stream(answer("a", "b"), model="gpt-4o-mini"):
            yield one["id"]

    for make in (lambda: llmlog.stream(llmlog.stream(answer("a", "b"))), lambda: llmlog.stream(texts())):
        stream = make()
        next(stream)
        next(stream)
        checkpoint()
        dead = die(folder, tmp_path / f"dead{len(calls.records)}")
        assert recovery.recover(dead) == 1
        stream.close()
    lost = [record for record in calls.all() if record["outcome"] == "lost"]
    assert lost[1]["model"] == "gpt-4o-mini"
    assert len({record["record_id"] for record in calls.all()}) == 2
    journal.close()
    assert files(folder) == []


def test_several_recover_at_once(tmp_path: pathlib.Path) -> None:
    """Processes that start together share the work: each call is recorded by one of them."""
    ids = [f"{number:032x}" for number in range(60)]
    for number, call_id in enumerate(ids):
        (tmp_path / f"{number}-a.journal").write_bytes(
            recovery.line(call_id, "start", {"created": 1.0, "fields": {"model": "gpt-4o-mini"}})
        )
    code = (
        "import sys, logging, llmlog; logging.basicConfig(stream=sys.stdout, format='%(record_id)s'); "
        "llmlog.configure(journal=sys.argv[1])"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path)]
    running = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    found = [line for process in running for line in process.communicate(timeout=60)[0].splitlines()]
    assert sorted(found) == ids
    assert files(tmp_path) == []


def test_killed(tmp_path: pathlib.Path, calls: Records) -> None:
    """The real thing: a process is killed with a call open, and the worker has made a checkpoint by itself."""
    code = (
        "import sys, threading, llmlog, logging; logging.basicConfig(stream=sys.stderr); "
        "llmlog.configure(journal=sys.argv[1]); llmlog.lifecycle.worker.tick(0.02); "
        "seen = threading.Event(); at_tick = llmlog.lifecycle.worker.at_tick; "
        "stream = llmlog.stream(['Hello', ' world', '!'], provider='text', model='gpt-4o-mini', input='Hi'); "
        "next(stream); next(stream); at_tick.append(seen.set); seen.clear(); seen.wait(30); "
        "print('ready', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.kill()
    assert journal.recover(tmp_path) == 1
    record = calls.one()
    assert (record["outcome"], record["chunks"], record["response_length"]) == ("lost", 2, 11)
    assert record["cost_usd"] > 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_child_has_its_own(folder: pathlib.Path) -> None:
    """After a fork the file and its lock are the parent's; the child's calls are noted in a file of the child's."""
    stream = llmlog.stream(answer("a"))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            own = llmlog.stream(answer("b"))
            status = 0 if len(files(folder)) == 2 and own is not None else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    stream.close()
    assert journal.recover(folder) == (1 if llmlog.records.seen("llmlog.calls", 40, tell=False) else 0)


def test_a_full_disk(folder: pathlib.Path, calls: Records, monkeypatch: pytest.MonkeyPatch,
                     faults_expected: dict[str, int]) -> None:  # fmt: skip
    """Where the journal cannot be written the calls go on, and the fault is counted."""

    def full(fd: int, content: bytes) -> None:
        os.write(fd, content[:5])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(journal, "write", full)
        stream = llmlog.stream(answer("a"))
    other = llmlog.stream(answer("a"))
    stream.close()
    other.close()
    assert len(calls.all()) == 2
    faults_expected["writing the journal"] = 1
    journal.close()


@pytest.mark.parametrize(
    ("path", "error"), [(5, TypeError), (None, TypeError), ("", ValueError), (__file__, ValueError)]
)
def test_wrong_folders(path: Any, error: type[Exception]) -> None:
    """A folder that is none is refused at the call, with its value."""
    with pytest.raises(error, match=r"5|None|''|test_journal"):
        journal.enable(path)
    with pytest.raises(error, match=r"5|None|''|test_journal"):
        journal.recover(path)
    assert faults.counts().get("recovering calls") is None
