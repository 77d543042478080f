"""From logging calls in real processes, which are killed, forked and ended, to a store: everything once."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="its processes are forked and killed")

PATIENCE = 60.0  # seconds that anything here may take

SET_UP = """
import atexit, json, logging, os, pathlib, random, signal, sys, threading, time
from llmlog.handlers import SpooledHandler
from llmlog.handlers.backend import Outcome

FOLDER = pathlib.Path(__file__).parent

class Store:
    '''A file that every sending is appended to, while nothing says that it is down.'''

    name, destination = "file", "store"
    lies = 0.0  # how often the answer to a sending that has arrived is lost

    def send(self, entries):
        if (FOLDER / "down").exists():
            raise OSError("down")
        lines = b"".join(b"%s %d %s\\n" % (one.key.encode(), os.getpid(), one.line) for one in entries)
        fd = os.open(FOLDER / "store", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(fd, lines)
        os.close(fd)
        if random.random() < self.lies:
            raise TimeoutError("no answer")
        return Outcome()

    def mended(self, entry, reason):
        return None

    def close(self):
        pass

def handler(**options):
    made = SpooledHandler(Store(), **{"spool": FOLDER / "spool", "batch_seconds": 0.02, **options})
    logging.getLogger().addHandler(made)
    logging.getLogger().setLevel("INFO")
    return made

log = logging.getLogger("app")

def say(number):
    '''Log it; when that has returned, say so.'''
    log.info("n", extra={"n": number, "by": os.getpid()})
    os.write(said, b"%d %d\\n" % (os.getpid(), number))

said = os.open(FOLDER / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
"""


class Place:
    """A folder with a spool, a store, and programs that log."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.running: list[subprocess.Popen[bytes]] = []
        self.programs = 0

    def start(self, program: str) -> subprocess.Popen[bytes]:
        self.programs += 1
        file = self.folder / f"program{self.programs}.py"
        file.write_text(SET_UP + program)
        process = subprocess.Popen(
            # From 3.12 on Python warns of any fork beside a thread, which is what some of these do.
            [sys.executable, "-W", "ignore:This process:DeprecationWarning", str(file)],
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONDEVMODE": ""},
        )
        self.running.append(process)
        return process

    def run(self, program: str) -> str:
        """Its words on stderr, after it has ended well."""
        process = self.start(program)
        _, words = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, words.decode()
        return words.decode()

    def down(self) -> None:
        (self.folder / "down").touch()

    def up(self) -> None:
        (self.folder / "down").unlink()

    def deliver(self) -> None:
        """A later process sends what others have left."""
        assert self.run("made = handler()\nassert made.flush(50)\nassert os.listdir(made.spool.folder) == []") == ""

    def said(self) -> list[tuple[int, int]]:
        """The records whose logging call has returned: the process, and the number."""
        lines = (self.folder / "said").read_text().splitlines()
        return [(int(pid), int(n)) for pid, _, n in (line.partition(" ") for line in lines)]

    def sent(self) -> list[tuple[str, int, tuple[int, int]]]:
        """Key, the process that sent it, and the record; a process may be killed in the middle of a line."""
        found = []
        for line in (self.folder / "store").read_bytes().split(b"\n"):
            try:
                key, sender, text = line.split(b" ", 2)
                record = json.loads(text)
            except ValueError:
                continue
            if "n" in record:
                found.append((key.decode(), int(sender), (record["by"], record["n"])))
        return found

    def stored(self) -> Counter[tuple[int, int]]:
        """How often each record is there, for a store that knows the keys it has."""
        return Counter({key: record for key, _, record in self.sent()}.values())

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture
def place(tmp_path: pathlib.Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    for process in made.running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_exit_sends_what_is_pending(place: Place) -> None:
    """A program that ends leaves nothing behind, also what it logs on its very way out."""
    program = """
handler(batch_seconds=3600)
atexit.register(lambda: say(-1))
class Late:
    def __del__(self):
        say(-2)
late = Late()
for n in range(100):
    say(n)
"""
    assert place.run(program) == ""
    stored = place.stored()
    assert {n for _, n in stored} >= {-1, *range(100)}
    place.deliver()
    assert place.stored() == Counter(place.said())
    assert len(place.said()) >= 101


def test_exit_while_the_store_is_down(place: Place) -> None:
    """The program ends soon and says where the records are, and the next one sends what it has left."""
    place.down()
    told = place.run("handler()\nfor n in range(100): say(n)")
    assert "takes no records" in told
    assert f"kept in {place.folder}" in told
    assert not (place.folder / "store").exists()
    place.up()
    place.deliver()
    assert place.stored() == Counter(place.said())
    assert len(place.said()) == 100


def test_exit_while_a_thread_waits_for_room(place: Place) -> None:
    """The interpreter waits for its threads, and they wait for nobody then: what has no room is dropped."""
    place.down()
    program = """
handler(full="block", max_bytes=64 * 1024)
def write():
    for n in range(2000):
        log.info("n", extra={"n": n, "by": os.getpid()})
threading.Thread(target=write).start()
"""
    assert "were dropped" in place.run(program)
    place.up()
    place.deliver()
    numbers = sorted(n for _, n in place.stored())
    assert numbers == list(range(len(numbers)))
    assert 100 < len(numbers) < 2000


def test_no_thread_can_be_started(place: Place) -> None:
    """A system without a thread left, or an interpreter on its way out: flush() sends."""
    program = """
def start(self):
    raise RuntimeError("can't start new thread at interpreter shutdown")
threading.Thread.start = start
made = handler()
for n in range(100):
    say(n)
assert made.flush(30)
say(100)
"""
    assert place.run(program) == ""
    assert place.stored() == Counter(place.said())
    assert len(place.said()) == 101


def test_processes_that_leave_at_once(place: Place) -> None:
    """os._exit runs no handlers, and loses nothing either."""
    place.run("handler(batch_seconds=3600)\nfor n in range(100): say(n)\nos._exit(0)")
    place.deliver()
    assert place.stored() == Counter(place.said())


def test_kill_9(place: Place) -> None:
    """Four writers on one spool are killed in the middle of everything, again and again, and answers are lost."""
    program = """
Store.lies = 0.2
handler(batch_records=50).spool._segment_bytes = 32 * 1024  # many; and a bound that nobody reaches, however slow it is
for n in range(10**9):
    say(n)
"""
    writers = [place.start(program) for _ in range(4)]
    for turn in range(12):
        goal = len(place.said()) + 300 if turn else 300
        place.wait_for(lambda: (place.folder / "said").exists() and len(place.said()) >= goal)  # noqa: B023
        if turn == 3:
            place.down()
        if turn == 7:
            place.up()
        victim = writers.pop(0)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        writers.append(place.start(program))
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    place.deliver()
    stored, said = place.stored(), Counter(place.said())
    assert sum((said - stored).values()) == 0
    assert set(stored.values()) == {1}
    assert len(stored - said) <= 16  # logged, and killed before it could say so


def test_forks_in_the_midst(place: Place) -> None:
    """Children of a process whose threads log all the while send their own records, and nothing twice."""
    program = """
made = handler(batch_records=20)
stop = threading.Event()
def write(base):
    n = base
    while not stop.is_set():
        say(n)
        n += 1
threads = [threading.Thread(target=write, args=(base,)) for base in (0, 10**6)]
for thread in threads:
    thread.start()
children = []
for number in range(12):
    child = os.fork()
    if child == 0:
        for n in range(50):
            say(n)
        if number % 3 == 0:
            assert made.flush(30)
        if number % 3 == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
stop.set()
for thread in threads:
    thread.join()
"""
    assert place.run(program) == ""
    place.deliver()
    assert place.stored() == Counter(place.said())
    assert len({pid for pid, _ in place.said()}) == 13
    live = Counter(key for key, _, _ in place.sent())
    killed_while_sending = [key for key, count in live.items() if count > 1]
    assert len(killed_while_sending) <= 4 * 20


def test_a_pool_of_workers(place: Place) -> None:
    """multiprocessing's children leave without exit handlers; their parent, or anybody, sends what they have left."""
    program = """
import multiprocessing
def work(n):
    say(n)
    return n
if __name__ == "__main__":
    handler(batch_seconds=3600)
    say(-1)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        pool.map(work, range(300))
        pool.close()
        pool.join()
"""
    assert place.run(program) == ""
    place.deliver()
    assert place.stored() == Counter(place.said())
    assert len(place.said()) == 301
    assert max(Counter(key for key, _, _ in place.sent()).values()) == 1


def test_processes_share_a_bound(place: Place) -> None:
    """Their folder stays within it, and what they have dropped is all that is missing."""
    place.down()
    program = """
made = handler(max_bytes=1 << 20, full="drop_newest")
for n in range(5000):
    say(n)
(FOLDER / f"dropped{os.getpid()}").write_text(str(made.spool.dropped))
os._exit(0)
"""
    writers = [place.start(program) for _ in range(4)]
    for writer in writers:
        assert writer.wait(PATIENCE) == 0
    folder = next((place.folder / "spool").iterdir())
    assert sum(file.stat().st_size for file in folder.iterdir()) <= (1 << 20) * 1.1
    dropped = sum(int(file.read_text()) for file in place.folder.glob("dropped*"))
    place.up()
    place.deliver()
    assert sum(place.stored().values()) == 20_000 - dropped
    assert dropped > 10_000
