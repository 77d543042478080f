"""Delivery while everything goes wrong: each record is in Loki once, and in OpenSearch once.

    python tests/soak_delivery.py [--records 200000] [--seed N]          (or `make soak-delivery ARGS=...`)

Four writers log into both by `logging.config.dictConfig`, through a proxy for each that misbehaves (429, 500, 413,
connections cut before and after the server has done its work, delays). Meanwhile both servers are stopped and killed,
and started again on their data; the writers are killed by SIGKILL at random moments, and others adopt their spools; one
writer's clock jumps two hours ahead and later back. A ledger has a line before each logging call, and one after it has
returned. At the end, when the spools are empty, the ledgers and the servers' records are compared: a record whose call
returned is there once, one whose process was killed inside it at most once. Exit code 1 where anything is wrong.
Needs the real backends: `make backends`.
"""

from __future__ import annotations

import argparse
import faulthandler
import itertools
import json
import logging
import logging.config
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # where pytest has it, too

from backends.real import Loki, OpenSearch, Server
from faulty_proxy import PASSES, FaultyProxy

import llmlog

MODEL = "gpt-4o-mini"
MESSAGES = [{"role": "user", "content": "Where is my parcel?"}]
JUMP = 7200.0  # seconds
TIMEOUT = 3.0  # of the handlers' requests
PATIENCE = 300.0  # seconds beyond what the writing is to take
DELIVER = 240.0  # seconds that the last process has
FIRST_SHOWN = 5
LONG = "The parcel left our warehouse. " * 700  # 21 KB
TOO_LONG = "The parcel left our warehouse. " * 9_000  # 270 KB: more than Loki takes
PAGE = 10_000
KINDS = {"plain": 55, "call": 30, "exception": 6, "twice": 6, "long": 2.9, "too long": 0.1}


# The writers


def configure(folder: pathlib.Path, urls: dict[str, str]) -> None:
    """Both handlers, as an application's configuration has them."""
    shared = {"formatter": "json", "spool": str(folder / "spool"), "batch_records": 400, "batch_seconds": 0.2,
              "timeout": TIMEOUT, "proxy": False}  # fmt: skip
    handlers: dict[str, Any] = {
        "loki": {"class": "llmlog.handlers.LokiHandler", "url": urls["loki"], "labels": {"job": "soak"}, **shared},
        "elasticsearch": {"class": "llmlog.handlers.ElasticsearchHandler", "url": urls["elasticsearch"], **shared},
    }
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": "llmlog.formatters.JSONFormatter"}},
            "handlers": handlers,
            "root": {"level": "INFO", "handlers": list(handlers)},
        }
    )


class Clock:
    """The process's clock, two hours ahead while `is_ahead`."""

    def __init__(self) -> None:
        self.is_ahead = False
        self._time, self._time_ns = time.time, time.time_ns
        time.time, time.time_ns = self.time, self.time_ns

    def time(self) -> float:
        return self._time() + (JUMP if self.is_ahead else 0.0)

    def time_ns(self) -> int:
        return self._time_ns() + (int(JUMP) * 10**9 if self.is_ahead else 0)


class Writer:
    """Logs until its stdin ends, at so many records a second; each is noted before, and when its call has returned."""

    def __init__(self, folder: pathlib.Path, number: int, seed: str, rate: float, jump: list[int]) -> None:
        self._clock = Clock() if jump else None
        self._ahead = range(*jump) if jump else range(0)
        self._ledger = os.open(folder / f"ledger-{number}", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        self._number = number
        self._random = random.Random(seed)
        self._rate = rate
        self._logger = logging.getLogger("shop")
        self._kinds: dict[str, Callable[[str], None]] = {
            "plain": self._plain, "call": self._call, "exception": self._exception, "twice": self._twice,
            "long": lambda id: self._plain(id, LONG), "too long": lambda id: self._plain(id, TOO_LONG),
        }  # fmt: skip

    def run(self) -> None:
        """All of it."""
        ends = threading.Event()
        threading.Thread(target=lambda: (sys.stdin.buffer.read(), ends.set()), daemon=True).start()
        begun = time.monotonic()
        for count in itertools.count():
            if self._clock:
                self._clock.is_ahead = count in self._ahead
            while count > (time.monotonic() - begun) * self._rate:
                time.sleep(0.005)
            if ends.is_set():
                return
            [kind] = self._random.choices(list(KINDS), list(KINDS.values()))
            id = f"{self._number}-{count}"
            self._note(f"about {id} {2 if kind == 'twice' else 1}")
            self._kinds[kind](id)
            self._note(f"returned {id}")

    def _note(self, line: str) -> None:
        os.write(self._ledger, f"{line}\n".encode())

    def _plain(self, id: str, text: str = "") -> None:
        level = self._random.choice((logging.INFO, logging.INFO, logging.WARNING, logging.ERROR))
        extra = {"soak_id": id, "latency_ms": self._random.uniform(100, 9000), **({"prompt": text} if text else {})}
        self._logger.log(level, "answered", extra=extra)

    def _call(self, id: str) -> None:
        with llmlog.call(model=MODEL, input=MESSAGES, soak_id=id) as call:
            call.finish({"object": "chat.completion", "model": MODEL, "choices": [
                {"index": 0, "message": {"role": "assistant", "content": "It is there."}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}})  # fmt: skip

    def _exception(self, id: str) -> None:
        try:
            raise ConnectionResetError("the parcel service has hung up")
        except ConnectionResetError:
            self._logger.exception("no answer", extra={"soak_id": id})

    def _twice(self, id: str) -> None:
        """Two records that are equal in all, their time as well."""
        record = self._logger.makeRecord("shop", logging.INFO, "shop.py", 1, "again", (), None, None, {"soak_id": id})
        self._logger.handle(record)
        self._note(f"returned {id}")
        self._logger.handle(record)


def deliver(folder: pathlib.Path) -> int:
    """Send what is left in the spools: 0 when they are empty."""
    deadline = time.monotonic() + DELIVER
    while time.monotonic() < deadline:
        if llmlog.flush(5.0) and not left_in(folder):
            return 0
    return 1


def left_in(folder: pathlib.Path) -> list[str]:
    """The segments that are not settled."""
    return [f"{file.parent.name}/{file.name} {file.stat().st_size}" for file in folder.glob("spool/*/*.segment")]


# The parent


@dataclass
class Running:
    """A writer, and what it has noted so far."""

    process: subprocess.Popen[bytes]
    ledger: pathlib.Path
    said: pathlib.Path
    dies_at: float
    is_killed: bool
    spared_until: int  # records
    returned: int = 0
    read: int = 0
    is_ending: bool = False

    def look(self) -> int:
        """How many calls have returned since the last look."""
        if not self.ledger.exists():
            return 0
        with self.ledger.open("rb") as ledger:
            ledger.seek(self.read)
            text = ledger.read()
        text = text[: text.rfind(b"\n") + 1]
        self.read += len(text)
        new = text.count(b"returned ")
        self.returned += new
        return new


class Soak:
    """The whole play. `rate`: records a second, of all writers; `life`: seconds of a writer, on the average."""

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        records: int,
        seed: int,
        writers: int = 4,
        outages: int = 5,
        rate: float = 1200.0,
        life: float = 12.0,
        share: float = 0.25,
    ) -> None:
        self._folder = folder
        self._records = records
        self._seed = seed
        self._writers = writers
        self._outages = outages
        self._rate = rate
        self._life = life
        self._chance = random.Random(seed)
        self._numbers = itertools.count()
        self._running: list[Running] = []
        self._gone: list[Running] = []
        self._violations: defaultdict[str, list[str]] = defaultdict(list)
        self._ends: Counter[str] = Counter()
        self.written = self.kills = 0
        self._deadline = time.monotonic() + records / rate + PATIENCE
        self._loki = Loki(folder / "loki", limits={"max_entries_limit_per_query": 2 * PAGE})
        self._opensearch = OpenSearch(folder / "opensearch")
        self._proxies = {
            name: FaultyProxy(server.url, f"{seed}-{name}", share=share, slow=TIMEOUT + 1)
            for name, server in (("loki", self._loki), ("elasticsearch", self._opensearch))
        }

    def run(self) -> bool:
        """Whether all holds; prints the figures."""
        self._began = time.time()
        with self._loki, self._opensearch:
            template = {"index_patterns": ["logs-llmlog-default"], "data_stream": {}, "priority": 500,
                        "template": {"settings": {"index": {"number_of_replicas": 0}}}}  # fmt: skip
            self._opensearch.ask("_index_template/soak", template, method="PUT")
            try:
                begun = time.monotonic()
                self._write()
                writing = time.monotonic() - begun
                self._deliver()
                delivering = time.monotonic() - begun - writing
                self._check()
            finally:
                for one in self._running:
                    one.process.kill()
                    one.process.wait()
                for proxy in self._proxies.values():
                    proxy.close()
        self._print(writing, delivering)
        return not self._violations

    def _write(self) -> None:
        over = threading.Event()
        threads = [
            threading.Thread(target=self._interrupt, args=(server, random.Random(f"{self._seed}-{number}"), over))
            for number, server in enumerate((self._loki, self._opensearch))
        ]
        for thread in threads:
            thread.start()
        while self.written < self._records or any(thread.is_alive() for thread in threads):
            if time.monotonic() > self._deadline:
                self._wrong("time is up", f"{self.written} records are written")
                break
            while sum(not one.is_ending for one in self._running) < self._writers:
                self._start()
            time.sleep(0.02)
            self._look_after()
        over.set()
        for thread in threads:
            thread.join()
        for one in self._running:
            self._end(one)
        while self._running and time.monotonic() < self._deadline:
            time.sleep(0.02)
            self._look_after()
        for one in self._running[:]:
            self._wrong("writers do not exit", one.ledger.name)
            one.process.send_signal(signal.SIGUSR1)  # it says where its threads are
            time.sleep(1)
            self._kill(one)

    def _interrupt(self, server: Server, chance: random.Random, over: threading.Event) -> None:
        """Stop and kill a server, and start it again, at points of the writing."""
        name = type(server).__name__
        try:
            for number in range(self._outages):
                at = (number + chance.uniform(0.2, 0.8)) / self._outages * self._records
                while self.written < at:
                    if over.wait(0.05):
                        return
                (server.kill if number % 2 else server.stop)()
                time.sleep(chance.uniform(0.2, 4.0))
                server.start()
                self._ends[f"{name} {'killed' if number % 2 else 'stopped'}"] += 1
        except AssertionError as error:
            self._wrong("a server does not start again", f"{name}: {error}")

    def _start(self) -> None:
        number = next(self._numbers)
        jump = [self._records // 32, self._records // 12] if number == 0 else []
        lives = self._chance.uniform(0.0, 1.0) if self._chance.random() < 0.1 else 1.0 + self._chance.expovariate(
            1 / self._life)  # fmt: skip
        said = self._folder / f"stderr-{number}"
        one = Running(
            process=self._program("write", str(number), f"{self._seed}-{number}", str(self._rate / self._writers),
                                  json.dumps(jump), said=said),
            ledger=self._folder / f"ledger-{number}",
            said=said,
            dies_at=time.monotonic() + lives,
            is_killed=self._chance.random() < 0.85,
            spared_until=jump[1] + 100 if jump else 0,
        )  # fmt: skip
        self._running.append(one)

    def _program(self, *arguments: str, said: pathlib.Path) -> subprocess.Popen[bytes]:
        urls = json.dumps({name: proxy.url for name, proxy in self._proxies.items()})
        with said.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, __file__, arguments[0], str(self._folder), urls, *arguments[1:]],
                stdin=subprocess.PIPE, stdout=output, stderr=output,
            )  # fmt: skip

    def _look_after(self) -> None:
        for one in self._running[:]:
            self.written += one.look()
            if one.process.poll() is not None:
                if not one.is_ending or one.process.returncode:
                    self._wrong("writers failed", f"{one.ledger.name}: exit code {one.process.returncode}")
                self._over(one)
            elif not one.is_ending and time.monotonic() >= one.dies_at and one.returned >= one.spared_until:
                if one.is_killed:
                    self._kill(one)
                else:
                    self._end(one)

    def _end(self, one: Running) -> None:
        assert one.process.stdin is not None
        if not one.is_ending:
            one.is_ending = True
            one.process.stdin.close()

    def _kill(self, one: Running) -> None:
        one.process.kill()
        one.process.wait()
        self.kills += 1
        self._over(one)

    def _over(self, one: Running) -> None:
        self._running.remove(one)
        self._gone.append(one)
        self.written += one.look()
        assert one.process.stdin is not None
        one.process.stdin.close()
        self._listen(one.said)

    def _listen(self, said: pathlib.Path) -> None:
        """What a process has printed: nothing, but for the word that a server that we have ended takes no records."""
        lines = said.read_text(errors="replace").splitlines()
        if text := "\n".join(line for line in lines if line.strip() and "takes no records" not in line):
            self._wrong("processes have printed something", f"{said.name}: {text[:1500]}")

    def _deliver(self) -> None:
        for proxy in self._proxies.values():
            proxy.share /= 2
        said = self._folder / "stderr-deliver"
        process = self._program("deliver", said=said)
        try:
            code = process.wait(DELIVER + 60)
        except BaseException as error:
            process.kill()
            code = process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
        assert process.stdin is not None
        process.stdin.close()
        self._listen(said)
        if code:
            self._wrong("the last process does not empty the spools", f"exit code {code}; {left_in(self._folder)[:5]}")

    # What came of it

    def _check(self) -> None:
        about, returned = self._ledgers()
        self.found: dict[str, Counter[str]] = {"elasticsearch": Counter(self._in_opensearch())}
        pairs = self._in_loki()
        self.found["loki"] = Counter(id for _, id in pairs)
        # A query for lines merges some of those that are stored twice, and one for a figure counts them all.
        if (total := self._count_in_loki()) != len(pairs):
            self._wrong("loki: stored twice with one time", f"{total} are counted, {len(pairs)} are different")
        for name, found in self.found.items():
            for id in sorted(returned):
                if found[id] < returned[id]:
                    self._wrong(f"{name}: lost", f"{id}: {found[id]} of {returned[id]}")
            for id in sorted(found):
                if found[id] > about[id]:
                    self._wrong(f"{name}: twice", f"{id}: {found[id]} of {about[id]}")
        self.begun, self.returned = about.total(), returned.total()
        for file in self._folder.glob("spool/*/dead-letter*"):
            for line in file.read_text().splitlines():
                self._wrong("dead letters", f"{file.parent.name}: {line[:600]}")

    def _ledgers(self) -> tuple[Counter[str], Counter[str]]:
        """How many records of each id there may be, and how many there must be."""
        about, returned = Counter[str](), Counter[str]()
        for one in self._gone:
            for line in one.ledger.read_text().splitlines() if one.ledger.exists() else ():
                word, id, *count = line.split()
                if word == "about":
                    about[id] = int(count[0])
                else:
                    returned[id] += 1
        return about, returned

    def _in_opensearch(self) -> Iterator[str]:
        self._opensearch.refresh()
        query = {"size": PAGE, "_source": ["soak_id"], "query": {"exists": {"field": "soak_id"}}}
        answer = self._opensearch.ask("logs-llmlog-default/_search", query, method="POST", scroll="2m")
        while hits := answer["hits"]["hits"]:
            yield from (hit["_source"]["soak_id"] for hit in hits)
            scroll = {"scroll": "2m", "scroll_id": answer["_scroll_id"]}
            answer = self._opensearch.ask("_search/scroll", scroll, method="POST")

    _records_of = '{job="soak"} | json soak_id="soak_id" | soak_id != ""'

    def _in_loki(self) -> set[tuple[int, str]]:
        """The time and the id of each line, page by page; the late streams' too."""
        query = self._records_of + ' | line_format "{{.soak_id}}" | keep job'
        pairs: set[tuple[int, str]] = set()
        start, end = self._began - 2 * JUMP, time.time() + 2 * JUMP
        while True:
            page = self._loki.entries(query, start, end, limit=PAGE)
            pairs.update((stamp, id) for _, stamp, id, _ in page)
            if len(page) < PAGE:
                return pairs
            start = page[-1][1] / 1e9 - 1e-3  # a float is good for a microsecond or so

    def _count_in_loki(self) -> int:
        window = int(time.time() - self._began + 3 * JUMP)
        found = self._loki.query(f"sum(count_over_time({self._records_of}[{window}s]))", time.time() + JUMP)
        return int(found[0]["value"][1]) if found else 0

    def _wrong(self, what: str, which: str) -> None:
        self._violations[what].append(which)

    def _print(self, writing: float, delivering: float) -> None:
        for what, which in self._violations.items():
            print(f"WRONG: {what}: {len(which)}", *which[:FIRST_SHOWN], sep="\n  ")
        print(f"{self.returned} records whose calls returned ({self.begun} begun), by {len(self._gone)} processes, "
              f"{self.kills} of them killed")  # fmt: skip
        print("servers:", ", ".join(f"{what} {count} times" for what, count in sorted(self._ends.items())))
        for name, proxy in self._proxies.items():
            requests = sum(count for what, count in proxy.met.items() if not what.startswith("server"))
            told = ", ".join(f"{what} {count}" for what, count in sorted(proxy.met.items()))
            lost, twice = (len(self._violations.get(f"{name}: {what}", ())) for what in ("lost", "twice"))
            print(f"{name}: {self.found[name].total()} records, {lost} lost, {twice} twice; "
                  f"{requests - proxy.met[PASSES]} of {requests} requests met: {told}")  # fmt: skip
            for words, count in proxy.words.most_common(3):
                print(f"  refused by the server itself, {count} times: {words.strip()}")
        print(f"dead letters: {len(self._violations.get('dead letters', ()))}")
        print(f"{writing:.0f} s of writing, {delivering:.0f} s until all was delivered; seed {self._seed}", flush=True)


def main() -> int:
    """Run as the parent, as a writer, or as the one that delivers what is left."""
    if sys.argv[1:2] in (["write"], ["deliver"]):
        what, folder, urls, *more = sys.argv[1:]
        if hasattr(signal, "SIGUSR1"):
            faulthandler.register(signal.SIGUSR1)
        path = pathlib.Path(folder)
        if what == "deliver":
            configure(path, json.loads(urls))
            return deliver(path)
        number, seed, rate, jump = more
        writer = Writer(path, int(number), seed, float(rate), json.loads(jump))
        configure(path, json.loads(urls))
        writer.run()
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--outages", type=int, default=5, help="of each server")
    parser.add_argument("--rate", type=float, default=1200.0, help="records a second, of all writers")
    parser.add_argument("--life", type=float, default=12.0, help="seconds that a writer lives, on the average")
    parser.add_argument("--share", type=float, default=0.25, help="of the requests that something happens to")
    options = vars(parser.parse_args())
    for server in (Loki, OpenSearch):
        if not server.installed.exists():
            parser.error(f"{server.__name__} is not installed ({server.installed.name}): make backends")
    with tempfile.TemporaryDirectory(prefix="llmlog-soak-") as made:
        holds = Soak(pathlib.Path(made), **options).run()
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
