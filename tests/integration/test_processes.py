"""Forks, workers, threads, event loops: each call is recorded once, by the process that made it."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from conftest import Records, answer

import llmlog
from llmlog import journal

pytest.importorskip("gunicorn")
pytest.importorskip("uvicorn")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="its processes are forked")

PATIENCE = 20.0  # seconds that anything here may take

# What every program here begins with: one file of records and one journal for all its processes.
SET_UP = """
import logging, logging.config, os, pathlib, sys, threading, time
import llmlog

class WhoRecords(logging.Filter):
    def filter(self, record):
        record.recorded_by = os.getpid()
        return True

FOLDER = pathlib.Path(__file__).parent

def set_up(**options):
    config = llmlog.dict_config(file=FOLDER / "records.jsonl")
    config["filters"]["who"] = {"()": WhoRecords}
    config["handlers"]["llmlog_file"]["filters"].append("who")
    logging.config.dictConfig(config)
    llmlog.configure(journal=FOLDER / "journal", **options)

def stream(call, pieces=("a", "b")):
    return llmlog.stream(pieces, provider="text", model="gpt-4o-mini", call=call, pid=os.getpid())

def endless():
    while True:
        yield "word "
        time.sleep(0.005)  # a model's pace
"""


def program(folder: pathlib.Path, text: str, name: str = "program.py") -> pathlib.Path:
    """The program in a file of its own."""
    path = folder / name
    path.write_text(SET_UP + text)
    return path


def recorded(folder: pathlib.Path) -> dict[str, dict[str, Any]]:
    """The records of calls by their field `call`: each is there once, made by the process whose call it is."""
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    calls = [record for record in records if record.get("event") == "llm.call"]
    assert [call for call, count in Counter(record["call"] for record in calls).items() if count > 1] == []
    assert [record["call"] for record in calls if record["pid"] != record["recorded_by"]] == []
    return {record["call"]: record for record in calls}


def ends(records: dict[str, dict[str, Any]]) -> dict[str, tuple[str, str]]:
    return {call: (record["outcome"], record["ended_by"]) for call, record in records.items()}


def left_in_journal(folder: pathlib.Path) -> list[str]:
    return sorted(file.name for file in (folder / "journal").iterdir())


def until(holds: Callable[[], object], what: str) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE:g} s"
        time.sleep(0.01)


@contextmanager
def running(folder: pathlib.Path, *command: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process in `folder` that is killed at the end where it has not ended by itself."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", *command],
        cwd=folder, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code, and what it has printed."""
    printed, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, printed


# Servers ------------------------------------------------------------------------------------------

# Calls are named by the path: /whole-1 ends, /endless-1 does not.
WSGI = """
set_up()
of_the_master = stream("master")  # begun before the fork
next(of_the_master)

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    call = environ["PATH_INFO"].strip("/")
    return (piece.encode() for piece in stream(call, endless() if "endless" in call else ["a", "b"]))
"""

ASGI = """
import asyncio
from llmlog.middleware import ASGIMiddleware

set_up(exit_on_sigterm=True)

async def endless_async():
    while True:
        yield "word "
        await asyncio.sleep(0.005)

async def whole_async():
    yield "a"
    yield "b"

async def answer(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = (await receive())["type"]
            if event == "lifespan.startup":
                begin()
            await send({"type": event + ".complete"})
            if event == "lifespan.shutdown":
                return
    call = scope["path"].strip("/")
    if call == "blocks":  # this worker does nothing else meanwhile: the next request is the other one's
        (FOLDER / "blocked").touch()
        while not (FOLDER / "go-on").exists():
            time.sleep(0.005)
    await send({"type": "http.response.start", "status": 200, "headers": []})

    async def hangs_up():
        while (await receive())["type"] != "http.disconnect":
            pass

    async def answers():
        async for piece in stream(call, endless_async() if "endless" in call else whole_async()):
            await send({"type": "http.response.body", "body": piece.encode(), "more_body": True})

    tasks = {asyncio.create_task(hangs_up()), asyncio.create_task(answers())}
    try:
        done, open_ones = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    if "endless" not in call:
        await send({"type": "http.response.body", "body": b""})

app = ASGIMiddleware(answer)

def begin():
    pass
"""

A_CALL_BESIDE = """
def begin():
    def read():
        for _ in stream(f"beside-{os.getpid()}", endless()):
            pass
    threading.Thread(target=read, daemon=True).start()
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def serving(folder: pathlib.Path, *command: str, port: int) -> Iterator[subprocess.Popen[str]]:
    """A server, once it listens."""
    with running(folder, *command) as process:
        until(lambda: process.poll() is not None or listens(port), "the server listens")
        assert process.poll() is None, ended(process)
        yield process


def get(port: int, path: str) -> str:
    """The whole answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", f"/{path}")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@contextmanager
def reading(port: int, path: str) -> Iterator[http.client.HTTPResponse]:
    """An answer whose first byte is there; at the end of the block its client hangs up."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", f"/{path}")
        response = connection.getresponse()
        assert response.read(1) == b"w"
        yield response
        response.close()
    finally:
        connection.close()


@pytest.mark.parametrize("options", [["--worker-class", "sync"], ["--worker-class", "gthread", "--threads", "2"]])
def test_gunicorn(tmp_path: pathlib.Path, options: list[str]) -> None:
    """Preloaded, with two workers: each has its own calls, and the call begun before the fork is the master's."""
    program(tmp_path, WSGI)
    port = free_port()
    command = ["-m", "gunicorn", "--preload", "--workers", "2", "--bind", f"127.0.0.1:{port}", *options]
    with serving(tmp_path, *command, "program:app", port=port) as master:
        for number in range(6):
            assert get(port, f"whole-{number}") == "ab"
        # A sync worker does one thing at a time: two at the same time are two workers.
        with reading(port, "endless-1"), reading(port, "endless-2"):
            pass
        until(lambda: {"endless-1", "endless-2"} <= recorded(tmp_path).keys(), "the hang-ups are recorded")
        master.terminate()
        code, printed = ended(master)
    assert code == 0, printed
    assert "llmlog:" not in printed
    calls = recorded(tmp_path)
    assert ends(calls) == {
        **{f"whole-{number}": ("completed", "exhausted") for number in range(6)},
        "endless-1": ("aborted", "loop_left"),
        "endless-2": ("aborted", "loop_left"),
        "master": ("aborted", "interpreter_exit"),
    }
    assert calls["master"]["pid"] == master.pid
    workers = {record["pid"] for call, record in calls.items() if call != "master"}
    assert master.pid not in workers
    if "sync" in options:
        assert len(workers) == 2
    assert left_in_journal(tmp_path) == []


def test_gunicorn_kills_a_worker(tmp_path: pathlib.Path) -> None:
    """A worker that does not stop in time is killed by its master: its open call is in the journal."""
    program(tmp_path, WSGI)
    port = free_port()
    command = ["-m", "gunicorn", "--preload", "--workers", "2", "--graceful-timeout", "1", "--bind",
               f"127.0.0.1:{port}"]  # fmt: skip
    with serving(tmp_path, *command, "program:app", port=port) as master, reading(port, "endless-1"):
        master.terminate()
        code, printed = ended(master)
        assert code == 0, printed
    assert recorded(tmp_path).keys() == {"master"}
    recover(tmp_path)
    calls = recorded_by_anybody(tmp_path)
    assert calls == [("endless-1", "lost", "recovery"), ("master", "aborted", "interpreter_exit")]
    assert left_in_journal(tmp_path) == []


def recover(folder: pathlib.Path) -> int:
    """What the next process would do: in one of its own, since the tests' has other handlers."""
    text = "set_up()\nfrom llmlog import journal\nprint(journal.recover(FOLDER / 'journal'))\n"
    with running(folder, str(program(folder, text, "next.py"))) as process:
        code, printed = ended(process)
    assert code == 0, printed
    return int(printed)


def recorded_by_anybody(folder: pathlib.Path) -> list[tuple[str, str, str]]:
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    calls = [record for record in records if record.get("event") == "llm.call"]  # the server's own lines are there, too
    return sorted((record["call"], record["outcome"], record["ended_by"]) for record in calls)


def uvicorn_workers(port: int, *more: str) -> list[str]:
    return ["-m", "uvicorn", "program:app", "--workers", "2", "--port", str(port), "--log-level", "warning",
            *more]  # fmt: skip


def test_uvicorn_workers(tmp_path: pathlib.Path) -> None:
    """Two workers: readers who stay, who hang up, and who are there when the server stops."""
    program(tmp_path, ASGI)
    port = free_port()
    command = uvicorn_workers(port, "--timeout-graceful-shutdown", "1")
    with serving(tmp_path, *command, port=port) as parent:
        blocked = threading.Thread(target=get, args=(port, "blocks"))
        blocked.start()
        until((tmp_path / "blocked").exists, "a worker is blocked")
        assert get(port, "whole") == "ab"
        (tmp_path / "go-on").touch()
        blocked.join(PATIENCE)
        for number in range(6):
            with reading(port, f"endless-{number}"):
                pass
        until(lambda: len(recorded(tmp_path)) == 8, "the hang-ups are recorded")
        with reading(port, "endless-at-the-end"):
            parent.terminate()
            _, printed = ended(parent)
    assert "llmlog:" not in printed
    calls = recorded(tmp_path)
    assert ends(calls) == {
        "blocks": ("completed", "exhausted"),
        "whole": ("completed", "exhausted"),
        **{f"endless-{number}": ("cancelled", "client_disconnect") for number in range(6)},
        "endless-at-the-end": ("cancelled", "cancellation"),
    }
    assert len({parent.pid, *(record["pid"] for record in calls.values())}) == 3
    assert recover(tmp_path) == 0  # they end by a signal, and their files stay for the next process
    assert left_in_journal(tmp_path) == []


def a_call_beside_its_requests(folder: pathlib.Path, workers: int) -> None:
    """A server that is stopped while a thread of each worker has a call open."""
    program(folder, ASGI + A_CALL_BESIDE)
    port = free_port()
    with serving(folder, *uvicorn_workers(port, "--workers", str(workers)), port=port) as parent:
        until(lambda: len(left_in_journal(folder)) == workers, "each worker has begun its call")
        parent.terminate()
        _, printed = ended(parent)
    assert "llmlog:" not in printed


def test_uvicorn_and_a_call_beside_its_requests(tmp_path: pathlib.Path) -> None:
    """With exit_on_sigterm, a call that a thread of the application has open is recorded when the server stops."""
    a_call_beside_its_requests(tmp_path, 1)
    assert list(ends(recorded(tmp_path)).values()) == [("aborted", "interpreter_exit")]
    assert left_in_journal(tmp_path) == []


def test_uvicorn_workers_and_calls_beside_their_requests(tmp_path: pathlib.Path) -> None:
    """The journal has them where the server's workers end by the signal.

    With several workers uvicorn imports the application when its own SIGTERM handler is in place, which
    `exit_on_sigterm` leaves alone; at the end it puts back the system's, and ends each worker by the signal.
    """
    a_call_beside_its_requests(tmp_path, 2)
    recover(tmp_path)
    assert [ending for _, *ending in recorded_by_anybody(tmp_path)] == [["lost", "recovery"]] * 2
    assert left_in_journal(tmp_path) == []


# multiprocessing ----------------------------------------------------------------------------------

POOL = """
import multiprocessing

kept = []

def work(number):
    if number % 3 == 0:
        kept.append(stream(f"kept-{number}"))  # open until its process ends
        next(kept[-1])
    elif number % 3 == 1:
        for _ in stream(f"left-{number}"):
            break
    else:
        for _ in stream(f"whole-{number}"):
            pass

if __name__ == "__main__":
    set_up()
    of_the_parent = stream("parent")
    next(of_the_parent)
    pool = multiprocessing.get_context(sys.argv[1]).Pool(2, initializer=None if sys.argv[1] == "fork" else set_up)
    pool.map(work, range(30), chunksize=1)
    pool.close()
    pool.join()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool(tmp_path: pathlib.Path, method: str) -> None:
    """The workers record what they have made, what they have open at their end included, and none of the parent's."""
    with running(tmp_path, str(program(tmp_path, POOL)), method) as parent:
        assert ended(parent) == (0, "")
    calls = recorded(tmp_path)
    how = {"kept": ("aborted", "interpreter_exit"), "left": ("aborted", "loop_left"),
           "whole": ("completed", "exhausted")}  # fmt: skip
    expected = {name: how[name.partition("-")[0]] for name in (f"{list(how)[n % 3]}-{n}" for n in range(30))}
    assert ends(calls) == {**expected, "parent": ("aborted", "interpreter_exit")}
    assert calls["parent"]["pid"] == parent.pid
    assert parent.pid not in {record["pid"] for call, record in calls.items() if call != "parent"}
    assert left_in_journal(tmp_path) == []


FORKS = """
set_up()
stop = threading.Event()
numbers = {}

def calls(thread):
    number = 0
    while not stop.is_set():
        for _ in stream(f"parent-{thread}-{number}"):
            pass
        number += 1
        time.sleep(0.002)  # few calls: a fork while the journal is rewritten is the next test's
    numbers[thread] = number

threads = [threading.Thread(target=calls, args=(thread,)) for thread in range(2)]
for thread in threads:
    thread.start()
for number in range(15):
    child = os.fork()
    if child == 0:
        for _ in stream(f"child-{number}"):
            pass
        kept = stream(f"child-kept-{number}")
        next(kept)
        sys.exit()
    deadline = time.monotonic() + 10
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, 9)
            os.waitpid(child, 0)
            print("a child hangs")
            break
        time.sleep(0.001)
stop.set()
for thread in threads:
    thread.join()
print(sum(numbers.values()))
"""


def test_forks_beside_threads(tmp_path: pathlib.Path) -> None:
    """Children forked while threads are making calls neither hang nor record, or lose, anything of the parent's."""
    with running(tmp_path, str(program(tmp_path, FORKS))) as parent:
        code, printed = ended(parent)
    assert code == 0, printed
    assert printed.strip().isdigit(), printed
    calls = recorded(tmp_path)
    assert sum(call.startswith("parent") for call in calls) == int(printed)
    assert {calls[f"child-{number}"]["outcome"] for number in range(15)} == {"completed"}
    assert {calls[f"child-kept-{number}"]["ended_by"] for number in range(15)} == {"interpreter_exit"}
    assert left_in_journal(tmp_path) == []


ORPHAN = """
set_up()
of_the_parent = stream("parent")
next(of_the_parent)
if os.fork() == 0:
    own = stream("child")
    next(own)
    os.write(1, f"child {os.getpid()}\\n".encode())
    os.read(0, 1)  # until the test closes it
    sys.exit()
os.write(1, f"parent {os.getpid()}\\n".encode())
time.sleep(60)
"""


def test_the_parent_is_killed_and_its_child_lives(tmp_path: pathlib.Path, calls: Records) -> None:
    """The child holds no lock on the parent's file: it is recovered while the child lives, and the child's is not."""
    with running(tmp_path, str(program(tmp_path, ORPHAN))) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        told = dict(parent.stdout.readline().split() for _ in range(2))
        assert told["parent"] == str(parent.pid)
        assert len(left_in_journal(tmp_path)) == 2
        parent.kill()
        parent.wait()
        assert journal.recover(tmp_path / "journal") == 1
        lost = calls.one()
        assert (lost["call"], lost["outcome"], lost["pid"]) == ("parent", "lost", parent.pid)
        assert [name.partition("-")[0] for name in left_in_journal(tmp_path)] == [told["child"]]
        assert journal.recover(tmp_path / "journal") == 0
        parent.stdin.close()
        assert parent.stdout.read() == ""  # till the child has ended
    assert ends(recorded(tmp_path)) == {"child": ("aborted", "interpreter_exit")}
    assert left_in_journal(tmp_path) == []


IN_A_REWRITE = """
from llmlog import journal

made, forked = threading.Event(), threading.Event()
real = journal._File._made

def made_then_forked(file, content):
    fd = real(file, content)
    if content:  # not the first one, which is empty
        made.set()
        forked.wait(1)  # where a fork waits for the rewrite, it is over before
    return fd

journal._File._made = made_then_forked
set_up()
of_the_parent = stream("parent")
journal._file._at_least = 1
thread = threading.Thread(target=lambda: list(stream("another")))
thread.start()
made.wait()
if os.fork() == 0:
    os.write(1, b"child\\n")
    os.read(0, 1)
    os._exit(0)
forked.set()
thread.join()
os.write(1, b"parent\\n")  # in one piece: two processes write here
time.sleep(60)
"""


def test_a_fork_while_the_journal_is_rewritten(tmp_path: pathlib.Path, calls: Records) -> None:
    """The child holds no lock of the parent's, whenever it was forked."""
    with running(tmp_path, str(program(tmp_path, IN_A_REWRITE))) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        assert {parent.stdout.readline().strip() for _ in range(2)} == {"parent", "child"}
        parent.kill()
        parent.wait()
        recovered = journal.recover(tmp_path / "journal")
        parent.stdin.close()
        assert parent.stdout.read() == ""
    assert recovered == 1
    assert calls.one()["call"] == "parent"


HALF_A_LINE = """
set_up()
for _ in stream("before"):
    pass
print("ready", flush=True)
os.read(0, 1)
for number in range(3):
    for _ in stream(f"after-{number}"):
        pass
"""


def test_half_a_line_of_a_killed_process(tmp_path: pathlib.Path) -> None:
    """In a file that several processes share, a kill in the middle of a write spoils no line but its own.

    A kill does come in there: the system stops a write at a page's end, the more often the longer the line.
    """
    with running(tmp_path, str(program(tmp_path, HALF_A_LINE))) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        with (tmp_path / "records.jsonl").open("ab") as file:  # as the one that was killed leaves it
            file.write(b'{"timestamp":"2026-01-01T00:00:00.000000Z","le')
        process.stdin.close()
        assert process.wait(PATIENCE) == 0
    whole = []
    for line in (tmp_path / "records.jsonl").read_text().splitlines():
        try:
            whole.append(json.loads(line)["call"])
        except ValueError:
            pass
    assert whole == ["before", "after-0", "after-1", "after-2"]


# Threads and event loops --------------------------------------------------------------------------


async def pieces(count: int = 3) -> AsyncIterator[str]:
    for number in range(count):
        await asyncio.sleep(0)
        yield f"piece {number} "


class Source:
    """An async iterator that belongs to no loop, and can go on in another one than it began in."""

    def __init__(self, count: int) -> None:
        self._left = count

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        if not self._left:
            raise StopAsyncIteration
        self._left -= 1
        return "piece "


def test_several_runs(calls: Records) -> None:
    """asyncio.run() again and again: each loop's calls are recorded, those that it leaves behind too."""
    kept: list[Any] = []

    async def run(number: int) -> None:
        with llmlog.request(f"r{number}"):
            async for _ in llmlog.stream(pieces(), provider="text", name_="whole"):
                pass
            async for _ in llmlog.stream(pieces(), provider="text", name_="left"):
                break
            kept.append(llmlog.stream(pieces(), provider="text", name_="kept"))
            async for _ in kept[-1]:
                break

    for number in range(3):
        asyncio.run(run(number))
    found = sorted((record["request_id"], record["name_"], record["outcome"], record["ended_by"])
                   for record in calls.all())  # fmt: skip
    assert found == [
        (f"r{number}", *how)
        for number in range(3)
        for how in (("kept", "aborted", "loop_left"), ("left", "aborted", "loop_left"),
                    ("whole", "completed", "exhausted"))
    ]  # fmt: skip


def test_ended_in_another_loop(calls: Records) -> None:
    """Begun under one asyncio.run(), ended under the next one: one record, with the request of its start."""
    stream = llmlog.stream(Source(4), provider="text")

    async def begin() -> None:
        with llmlog.request("first"):
            made.append(llmlog.stream(Source(4), provider="text"))
            assert await anext(steps(made[0])) == "piece "

    def steps(stream: Any) -> Any:
        iterators.append(aiter(stream))
        return iterators[-1]

    async def end() -> None:
        with llmlog.request("second"):
            async for _ in iterators[0]:
                pass

    made: list[Any] = []
    iterators: list[Any] = []
    asyncio.run(begin())
    assert calls.all() == []
    asyncio.run(end())
    record = calls.one()
    assert (record["outcome"], record["ended_by"], record["chunks"]) == ("completed", "exhausted", 4)
    assert record["request_id"] == "first"
    asyncio.run(stream.aclose())


def test_ended_in_another_thread_and_its_loop(calls: Records) -> None:
    """The same, where the other loop runs in another thread."""
    stream = llmlog.stream(Source(4), provider="text")

    async def read() -> None:
        async for _ in stream:
            pass

    asyncio.run(anext(stream))
    in_thread(lambda: asyncio.run(read()))
    record = calls.one()
    assert (record["outcome"], record["chunks"]) == ("completed", 4)


def in_thread(does: Callable[[], object]) -> None:
    """Do it in a thread, to its end; what it raises is raised here."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            does()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    if errors:
        raise errors[0]


@pytest.mark.parametrize(
    ("does", "outcome", "ended_by"),
    [
        (lambda stream: list(stream), "completed", "exhausted"),
        (lambda stream: stream.close(), "aborted", "close"),
        (lambda stream: stream.__exit__(None, None, None), "aborted", "context_exit"),
        (lambda stream: next(iter(stream)), "aborted", "loop_left"),
    ],
)
def test_ended_in_another_thread(calls: Records, does: Callable[[Any], object], outcome: str, ended_by: str) -> None:
    """Whatever a thread does to a stream that another one has begun: one record, with the request of its start."""
    held: list[Any] = []
    with llmlog.request("begins"):
        held.append(llmlog.stream(answer("a", "b")))

    def end() -> None:
        with llmlog.request("ends"):
            does(held[0])

    in_thread(end)
    held.clear()
    record = calls.one()
    assert (record["outcome"], record["ended_by"]) == (outcome, ended_by)
    assert record["request_id"] == "begins"


def test_dropped_in_another_thread(calls: Records) -> None:
    """The last reference to a stream goes in a thread that has nothing to do with it."""
    held = [llmlog.stream(answer("a", "b"))]
    next(held[0])
    in_thread(held.clear)
    record = calls.one()
    assert (record["outcome"], record["ended_by"]) == ("aborted", "garbage_collected")
