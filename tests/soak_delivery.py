"""Delivery under everything at once: every record whose logging call returned is in the store, exactly once.

python tests/soak_delivery.py [--records 200000] [--processes 4] [--loki URL] [--elasticsearch URL]

Writers log into one spool, are killed by SIGKILL at random and started again; one sees its clock jump by two hours.
Between them and the store stands a proxy that answers 429, 500 and 413, cuts connections before and after the request
has arrived, and closes its port five times; the store of its own is killed with it each time. With URLs the stores are
real ones, and `llmlog.handlers` has the handlers for them. Prints a table; exits with 1 where the promise is broken.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import logging
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import urllib3

import llmlog
from llmlog.handlers import SpooledHandler
from llmlog.handlers.backend import Entry, Outcome

PATIENCE = 600.0  # seconds that all of it may take, for 200,000 records
MOODS = ["well"] * 6 + ["429", "500", "413", "cut before", "cut after", "half an answer"]
HTTP = b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n%bConnection: close\r\n\r\n%b"


class Lines:
    """A plain backend for the plain store: one line for each entry, its key before it."""

    name = "lines"

    def __init__(self, url: str) -> None:
        self.destination = url
        self.pool = urllib3.PoolManager(timeout=10, retries=False)

    def send(self, entries: Sequence[Entry]) -> Outcome:
        body = gzip.compress(b"".join(b"%b %b\n" % (entry.key.encode(), entry.line) for entry in entries), 1)
        try:
            answer = self.pool.request("POST", self.destination, body=body, headers={"X-Records": str(len(entries))})
        except urllib3.exceptions.HTTPError as error:
            raise OSError(str(error)) from error
        if answer.status == 413:
            return Outcome(split="413")
        if answer.status >= 400:
            return Outcome(again=entries, pause=float(answer.headers.get("Retry-After", 0)))
        return Outcome()

    def mended(self, entry: Entry, reason: str) -> None:
        return None

    def close(self) -> None:
        self.pool.clear()


def store(file: str, port: int) -> None:
    """The built-in store: it answers when the lines are in its file; it may be killed at any moment."""
    server = socket.create_server(("127.0.0.1", port), backlog=64)
    print(server.getsockname()[1], flush=True)
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def serve(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            request = read_request(stream)
            if request is not None:
                os.write(fd, b"\n" + gzip.decompress(request[2]))  # it may have been killed in the middle of a line
                connection.sendall(HTTP % (204, 0, b"", b""))

    while True:
        threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()


def read_request(stream: Any) -> tuple[bytes, list[bytes], bytes] | None:
    """The first line, the headers, the body; None where the connection ends before."""
    first = stream.readline()
    headers: list[bytes] = []
    while (line := stream.readline()) not in (b"\r\n", b""):
        headers.append(line)
    length = [int(line.split(b":")[1]) for line in headers if line.lower().startswith(b"content-length:")]
    if not first or not length:
        return None
    body = stream.read(length[0])
    return (first, headers, body) if len(body) == length[0] else None


class Proxy:
    """Hands requests on to the store, as long as its mood is good."""

    def __init__(self, target: str) -> None:
        self.target = urllib.parse.urlsplit(target)
        self.calm = False
        self.met: Counter[str] = Counter()
        self.largest = 0
        self.port = 0
        self.open()

    def open(self) -> None:
        """Listen, on the port of the first time."""
        self.server = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.server,), daemon=True).start()

    def close(self) -> None:
        """Nobody listens any more."""
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            connection.settimeout(30)
            try:
                while (request := read_request(stream)) is not None and self._answer(connection, request):
                    pass
            except (OSError, http.client.HTTPException):
                self.met["store not there"] += 1

    def _answer(self, connection: socket.socket, request: tuple[bytes, list[bytes], bytes]) -> bool:
        mood = "well" if self.calm else random.choice(MOODS)
        first, headers, body = request
        if mood == "413" and len(body) < 500:
            mood = "well"
        self.met[mood] += 1
        self.largest = max(self.largest, len(body))
        if mood == "429":
            connection.sendall(HTTP % (429, 0, b"Retry-After: 1\r\n", b""))
        elif mood in ("500", "413"):
            connection.sendall(HTTP % (int(mood), 0, b"", b""))
        elif mood == "cut before":
            return False
        else:
            method, path, _ = first.decode().split(" ", 2)
            names = dict(line.decode().rstrip().split(": ", 1) for line in headers)
            names = {name: value for name, value in names.items() if name.lower() not in ("host", "connection")}
            upstream = http.client.HTTPConnection(self.target.hostname or "", self.target.port, timeout=30)
            try:
                upstream.request(method, path, body, names)
                answer = upstream.getresponse()
                text, kind = answer.read(), answer.getheader("Content-Type") or "text/plain"
            finally:
                upstream.close()
            if mood == "cut after":
                return False
            whole = HTTP % (answer.status, len(text), f"Content-Type: {kind}\r\n".encode(), text)
            if mood == "half an answer":
                connection.sendall(whole[: len(whole) // 2])
                connection.shutdown(socket.SHUT_WR)
            else:
                connection.sendall(whole)
        return False


# The writers


def handler_of(kind: str, url: str, folder: pathlib.Path) -> SpooledHandler:
    """The handler under test."""
    options: dict[str, Any] = {"spool": folder / "spool", "batch_seconds": 0.1, "batch_records": 250}
    if kind == "loki":
        from llmlog.handlers.loki import LokiHandler

        return LokiHandler(url, **options)  # type: ignore[no-any-return,unused-ignore]
    if kind == "elasticsearch":
        from llmlog.handlers.elasticsearch import ElasticsearchHandler

        return ElasticsearchHandler(url, **options)  # type: ignore[no-any-return,unused-ignore]
    return SpooledHandler(Lines(url + "/lines"), **options)


class Jump(logging.Filter):
    """The clock of this process is put back by two hours after its first thousand records, and is right again later."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def filter(self, record: logging.LogRecord) -> bool:
        self.count += 1
        if 1000 < self.count <= 4000:
            record.created -= 7200
        return True


def write(folder: pathlib.Path, stores: dict[str, str], name: str, jumps: bool) -> None:
    """Log until killed; each number is said when its logging call has returned. With no name: deliver what is left."""
    logger = logging.getLogger("soak")
    logger.setLevel("INFO")
    logger.propagate = False
    for kind, url in stores.items():
        logger.addHandler(handler_of(kind, url, folder))
    if not name:
        sys.exit(0 if llmlog.flush(240) else 1)
    if jumps:
        logger.addFilter(Jump())
    said = os.open(folder / f"said-{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    number = 0
    while True:
        logger.info("answered", extra={"soak": f"{name}-{number}", "model": "gpt-4o-mini", "latency_ms": 1203.4})
        os.write(said, b"%d\n" % number)
        number += 1
        if number % 20 == 0:
            time.sleep(0.008)  # so that there is time for everything to go wrong


# The parent


class Soak:
    """The whole play."""

    def __init__(self, folder: pathlib.Path, options: argparse.Namespace) -> None:
        self.folder = folder
        self.options = options
        self.random = random.Random(options.seed)
        self.real = {kind: url for kind in ("loki", "elasticsearch") if (url := getattr(options, kind))}
        self.store_process: subprocess.Popen[str] | None = None
        self.store_port = 0
        if not self.real:
            self.start_store()
        targets = self.real or {"lines": f"http://127.0.0.1:{self.store_port}"}
        self.proxies = {kind: Proxy(url) for kind, url in targets.items()}
        self.writers: list[subprocess.Popen[str]] = []
        self.started = self.killed = self.stopped = 0

    def start_store(self) -> None:
        """The built-in one, on the port that it had."""
        self.store_process = subprocess.Popen(
            [sys.executable, __file__, "store", str(self.folder / "store"), str(self.store_port)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.store_process.stdout is not None
        self.store_port = int(self.store_process.stdout.readline())

    def program(self, name: str, jumps: bool = False) -> subprocess.Popen[str]:
        """A writer, or with no name the one that delivers the rest."""
        urls = {kind: f"http://127.0.0.1:{proxy.port}" for kind, proxy in self.proxies.items()}
        return subprocess.Popen(
            [sys.executable, __file__, "write", str(self.folder), json.dumps(urls), name, "jumps" if jumps else ""],
            text=True,
        )  # fmt: skip

    def start_writer(self) -> None:
        """One more; the first one's clock jumps."""
        self.started += 1
        self.writers.append(self.program(f"w{self.started}", jumps=self.started == 1))

    def said(self) -> int:
        """How many logging calls have returned."""
        return sum(self.last_number(file) for file in self.folder.glob("said-*"))

    @staticmethod
    def last_number(file: pathlib.Path) -> int:
        """How many this writer has said."""
        with file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - 40))
            numbers = opened.read().split()
        return int(numbers[-1]) + 1 if numbers else 0

    def stop_store(self, seconds: float) -> None:
        """It is killed, and is there again later."""
        self.stopped += 1
        for proxy in self.proxies.values():
            proxy.close()
        if self.store_process is not None:
            self.store_process.kill()
            self.store_process.wait()
        time.sleep(seconds)
        if self.store_process is not None:
            self.start_store()
        for proxy in self.proxies.values():
            proxy.open()

    def run(self) -> bool:
        """True where everything holds."""
        begun = time.monotonic()
        for _ in range(self.options.processes):
            self.start_writer()
        total, kill_at = self.options.records, begun + 2
        stops = [total * (n + 1) // (self.options.stops + 1) for n in range(self.options.stops)]
        while ((written := self.said()) < total or stops) and time.monotonic() - begun < PATIENCE:
            time.sleep(0.05)
            if stops and written >= stops[0]:
                stops.pop(0)
                self.stop_store(self.random.uniform(0.5, 3.0))
            first = self.writers[0]
            spare_first = self.started <= self.options.processes + 3 and self.last_number_of("w1") < 5000
            if time.monotonic() >= kill_at:
                victim = self.random.choice(self.writers[1:] if spare_first else self.writers)
                kill_at = time.monotonic() + self.random.uniform(0.2, 1.5)
                self.kill(victim)
                self.start_writer()
            if any(writer.poll() is not None for writer in self.writers):
                print("a writer has ended by itself", first.args)
                return False
        while self.writers:
            self.kill(self.writers[0])
        writing = time.monotonic() - begun
        for proxy in self.proxies.values():
            proxy.calm = True
        rest = self.program("").wait(300)
        held = [self.check(kind) for kind in self.proxies]
        print(
            f"{self.said():,} records by {self.started} processes, {self.killed} of them killed, in {writing:.0f} s; "
            f"the store stopped and killed {self.stopped} times; the rest delivered: {rest == 0}"
        )
        left = [file.name for file in self.folder.glob("spool/*/*")]
        print(f"left in the spool: {left}")
        return all(held) and rest == 0 and not left

    def last_number_of(self, name: str) -> int:
        """How many one writer has said so far."""
        file = self.folder / f"said-{name}"
        return self.last_number(file) if file.exists() else 0

    def kill(self, writer: subprocess.Popen[str]) -> None:
        """With SIGKILL."""
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        self.writers.remove(writer)
        self.killed += 1

    def check(self, kind: str) -> bool:
        """Whether each record that was said is there once."""
        counts = Counter(self.found(kind))
        said = Counter[str]()
        for file in self.folder.glob("said-*"):
            name = file.name.removeprefix("said-")
            said.update(f"{name}-{number}" for number in range(self.last_number(file)))
        missing = set(said) - set(counts)
        twice = [one for one, count in counts.items() if count > 1]
        unsaid = len(set(counts) - set(said))
        proxy = self.proxies[kind]
        print(
            f"{kind}: {len(counts):,} records, missing {len(missing)}, twice {len(twice)}; "
            f"{unsaid} whose process was killed before the logging call had returned"
        )
        print(f"  the proxy's moods: {dict(proxy.met)}; largest request {proxy.largest:,} bytes")
        if missing or twice:
            print(f"  such as {sorted(missing)[:5]} {twice[:5]}")
        return not missing and not twice and unsaid <= self.killed

    def found(self, kind: str) -> Iterator[str]:
        """What the store has: each record as often as it is there."""
        if kind == "lines":
            known: set[bytes] = set()
            for line in (self.folder / "store").read_bytes().split(b"\n"):
                key, _, text = line.partition(b" ")
                try:
                    record = json.loads(text)
                except ValueError:  # nothing, or half a line: it was killed in the middle of its write
                    continue
                if key not in known:  # as any store that knows its keys
                    known.add(key)
                    if "soak" in record:
                        yield record["soak"]
        elif kind == "loki":
            yield from found_in_loki(self.real[kind])
        else:
            yield from found_in_elasticsearch(self.real[kind])


def asked(url: str, body: Any = None) -> Any:
    """The JSON that a store answers with."""
    data = None if body is None else json.dumps(body)
    method = "GET" if body is None else "POST"
    answer = urllib3.request(method, url, body=data, headers={"Content-Type": "application/json"}, timeout=60)
    if answer.status >= 300:
        raise RuntimeError(f"{answer.status} {answer.data[:500]!r}")
    return answer.json()


def found_in_loki(url: str) -> Iterator[str]:
    """Page by page, oldest first, over the last three hours."""
    start, end, page = time.time_ns() - 3 * 3600 * 10**9, time.time_ns() + 60 * 10**9, 5000
    seen: set[tuple[str, str, str]] = set()
    while True:
        query = urllib.parse.urlencode({"query": '{level=~".+"}', "start": start, "end": end, "limit": page,
                                        "direction": "forward"})  # fmt: skip
        streams = asked(f"{url}/loki/api/v1/query_range?{query}")["data"]["result"]
        lines = sorted((int(at), json.dumps(one["stream"], sort_keys=True), text)
                       for one in streams for at, text, *_ in one["values"])  # fmt: skip
        new = [one for one in lines if (str(one[0]), one[1], one[2]) not in seen]
        for at, stream, text in new:
            seen.add((str(at), stream, text))
            record = json.loads(text)
            if "soak" in record:
                yield record["soak"]
        if len(lines) < page:
            return
        start = lines[-1][0] if new else lines[-1][0] + 1


def found_in_elasticsearch(url: str) -> Iterator[str]:
    """All documents that have the field, by a scroll."""
    asked(f"{url}/_refresh", {})
    query = {"query": {"exists": {"field": "soak"}}, "_source": ["soak"], "size": 5000}
    answer = asked(f"{url}/_all/_search?scroll=2m", query)
    while hits := answer["hits"]["hits"]:
        yield from (hit["_source"]["soak"] for hit in hits)
        answer = asked(f"{url}/_search/scroll", {"scroll": "2m", "scroll_id": answer["_scroll_id"]})


def main() -> int:
    """Run as the parent, as a writer, or as the store."""
    if sys.argv[1:2] == ["store"]:
        store(sys.argv[2], int(sys.argv[3]))
    if sys.argv[1:2] == ["write"]:
        folder, stores, name, jumps = sys.argv[2:]
        write(pathlib.Path(folder), json.loads(stores), name, bool(jumps))
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--stops", type=int, default=5)
    parser.add_argument("--loki", help="the address of a real Loki, empty before")
    parser.add_argument("--elasticsearch", help="the address of a real OpenSearch or Elasticsearch, empty before")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory(prefix="llmlog-soak-") as made:
        soak = Soak(pathlib.Path(made), options)
        try:
            holds = soak.run()
        finally:
            for writer in soak.writers[:]:
                soak.kill(writer)
            if soak.store_process is not None:
                soak.store_process.kill()
                soak.store_process.wait()
    print("every record is there once" if holds else "BROKEN")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
