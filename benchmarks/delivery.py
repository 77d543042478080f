"""What delivery costs: the caller's time, the rate into a sink that only acknowledges, an outage of a million records.

python benchmarks/delivery.py [--records 300000] [--outage 1000000] [--peers 2000] [--loki 200000]

python-logging-loki and OpenTelemetry's batch processor run beside it where they are installed. The sink is another
process; it says which records it has, so a record that is missing or there twice is seen beside the speed. At the end
a real Loki takes them, where `make backends` has installed one.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import importlib.util
import json
import logging
import os
import pathlib
import re
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import urllib3

from llmlog.formatters import JSONFormatter
from llmlog.handlers import SpooledHandler
from llmlog.handlers.backend import Entry, Outcome
from llmlog.handlers.elasticsearch import ElasticsearchHandler
from llmlog.handlers.loki import LokiHandler

EXTRAS = {
    "request_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "user_id": "u-1729",
    "model": "gpt-4o-mini",
    "outcome": "completed",
    "latency_ms": 1203.4,
    "ttft_ms": 211.9,
    "input_tokens": 412,
    "output_tokens": 128,
    "cost_usd": 0.000139,
    "streamed": True,
}
RECORD = re.compile(rb"record-(\d+)")
log = logging.getLogger("benchmark")


# The sink


class Sink:
    """Acknowledges every POST, keeps the bodies; GET counts the records in them and forgets them.

    Under /far/ it answers after a millisecond, as a server on another machine does.
    """

    def __init__(self) -> None:
        self.bodies: list[tuple[bool, bytes]] = []
        self.server = socket.create_server(("127.0.0.1", 0))

    def run(self) -> None:
        print(self.server.getsockname()[1], flush=True)
        while True:
            connection, _ = self.server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb", buffering=1 << 20) as file:
            while request := file.readline():
                headers = {}
                while (line := file.readline()) not in (b"\r\n", b""):
                    name, _, value = line.partition(b":")
                    headers[name.lower()] = value.strip()
                if request.startswith(b"GET"):
                    answer = json.dumps(self.count()).encode()
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))
                    continue
                body = file.read(int(headers.get(b"content-length", 0)))
                self.bodies.append((b"gzip" in headers.get(b"content-encoding", b""), body))
                if b" /far/" in request:
                    time.sleep(0.001)
                if b"/v1/logs" in request:
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"
                    )
                elif b"_bulk" in request:
                    answer = b'{"errors":false,"items":[]}'
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))
                else:
                    connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    def count(self) -> dict[str, int]:
        found: Counter[bytes] = Counter()
        bodies, self.bodies = self.bodies, []
        for is_gzip, body in bodies:
            found.update(set(RECORD.findall(gzip.decompress(body) if is_gzip else body)))
        return {"requests": len(bodies), "bytes": sum(len(body) for _, body in bodies), "records": len(found),
                "twice": sum(count > 1 for count in found.values())}  # fmt: skip


class Lines:
    """A backend as plain as can be: the entries' lines, gzip, one POST."""

    name = "lines"

    def __init__(self, url: str) -> None:
        self.destination = url
        self.pool = urllib3.PoolManager(timeout=5, retries=False)

    def send(self, entries: Sequence[Entry]) -> Outcome:
        deflate = zlib.compressobj(1, wbits=31)
        body = deflate.compress(b"\n".join([entry.line for entry in entries])) + deflate.flush()
        try:
            answer = self.pool.request("POST", self.destination, body=body, headers={"Content-Encoding": "gzip"})
        except urllib3.exceptions.HTTPError as error:
            raise OSError(str(error)) from error
        return Outcome() if answer.status < 300 else Outcome(again=entries)

    def mended(self, entry: Entry, reason: str) -> None:
        return None

    def close(self) -> None:
        self.pool.clear()


# What is measured


def attach(handler: logging.Handler) -> None:
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel("INFO")


def make(number: int) -> logging.LogRecord:
    made = logging.LogRecord(
        "benchmark", logging.INFO, __file__, 1, "record-%d answered in %d ms", (number, 1203), None
    )
    made.__dict__.update(EXTRAS)
    return made


def times(call: Callable[[logging.LogRecord], Any], count: int) -> list[int]:
    """Nanoseconds of each call."""
    clock = time.perf_counter_ns
    took = []
    for number in range(count):
        record = make(number)
        begun = clock()
        call(record)
        took.append(clock() - begun)
    return took


def shown(name: str, took: list[int]) -> None:
    took = sorted(took)
    p50, p99, worst = (took[min(len(took) - 1, int(len(took) * part))] / 1000 for part in (0.5, 0.99, 1))
    mean = statistics.fmean(took) / 1000
    print(f"  {name:<44}{p50:9.2f}{mean:9.2f}{p99:9.2f}{worst / 1000:12.3f}")


def resident() -> tuple[float, float]:
    """MB in memory: now, and at the most so far."""
    with open("/proc/self/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["VmRSS"].split()[0]) / 1024, int(fields["VmHWM"].split()[0]) / 1024


def involuntary_switches() -> int:
    """How often the system has taken this thread's processor for another program's sake."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw


def counted(port: int) -> dict[str, int]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("GET", "/")
    found: dict[str, int] = json.loads(connection.getresponse().read())
    connection.close()
    return found


def rate(name: str, handler: logging.Handler, port: int, count: int, finish: Callable[[], object]) -> float:
    """Records a second, from the first logging call until the sink has acknowledged the last one."""
    attach(handler)
    begun, cpu = time.perf_counter(), time.process_time()
    for number in range(count):
        log.info("record-%d answered in %d ms", number, 1203, extra=EXTRAS)
    called = time.perf_counter() - begun
    finish()
    took, cpu = time.perf_counter() - begun, time.process_time() - cpu
    found = counted(port)
    per_record = found["bytes"] / max(1, found["records"])
    print(
        f"  {name:<32}{count / took:12,.0f}{called / count * 1e6:12.2f}{cpu / count * 1e6:10.2f}{found['requests']:10,}"
        f"{per_record:10.0f}{count - found['records']:10,}{found['twice']:8,}"
    )
    return count / took


def handlers(url: str, folder: str) -> dict[str, Callable[[], SpooledHandler]]:
    return {
        "llmlog, plain lines": lambda: SpooledHandler(Lines(url + "/lines"), spool=folder),
        "llmlog, LokiHandler": lambda: LokiHandler(url, spool=folder),
        "llmlog, ElasticsearchHandler": lambda: ElasticsearchHandler(url, spool=folder),
    }


def caller(url: str, folder: str, count: int) -> None:
    print("The caller's time for one record, formatting included\n")
    print(f"  {'':<44}{'p50 us':>9}{'mean us':>9}{'p99 us':>9}{'worst ms':>12}")
    shown("JSONFormatter alone", times(JSONFormatter().format, count))
    plain = logging.FileHandler(f"{folder}/plain.log")
    plain.setFormatter(JSONFormatter())
    shown("logging.FileHandler, JSONFormatter", times(plain.handle, count))
    plain.close()
    for name, one in handlers(url, folder).items():
        handler = one()
        shown(name, times(handler.handle, count))
        handler.flush(60)
        handler.close()


def sustained(url: str, port: int, folder: str, count: int, peers: int) -> None:
    print("\nRecords a second into a sink that only acknowledges, until the last one is acknowledged\n")
    columns = (
        ("records/s", 12),
        ("caller us", 12),
        ("CPU us", 10),
        ("requests", 10),
        ("B/record", 10),
        ("missing", 10),
    )
    print(" " * 34 + "".join(f"{title:>{width}}" for title, width in columns) + f"{'twice':>8}")
    counted(port)
    rates = {}
    for name, one in handlers(url, folder).items():
        handler = one()
        rates[name] = rate(name, handler, port, count, lambda handler=handler: handler.flush(120))  # type: ignore[misc]
        handler.close()
    if importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http._log_exporter"):
        open_telemetry(url, port, count, rates)
        ours, theirs = rates["llmlog, LokiHandler"], rates["OTLP batch processor"]
        print(f"\n  LokiHandler does {ours / theirs:,.1f} times the records of the OTLP batch processor")
    if importlib.util.find_spec("logging_loki") is None:
        return
    print("\nBeside python-logging-loki: a sink that answers at once, and one that answers after a millisecond\n")
    for distance, base in ("near", url), ("1 ms away", url + "/far"):
        beside_logging_loki(base, distance, port, folder, count, peers)


def beside_logging_loki(url: str, distance: str, port: int, folder: str, count: int, peers: int) -> None:
    import logging_loki

    handler = LokiHandler(url, spool=folder)
    ours = rate(f"LokiHandler, {distance}", handler, port, count, lambda: handler.flush(120))
    handler.close()
    peer = logging_loki.LokiHandler(url=f"{url}/loki/api/v1/push", tags={"app": "benchmark"}, version="1")
    peer.setFormatter(JSONFormatter())
    theirs = rate(f"python-logging-loki, {distance}", peer, port, peers, lambda: None)
    print(f"  {ours / theirs:,.1f} times as many\n")


def open_telemetry(url: str, port: int, count: int, rates: dict[str, float]) -> None:
    import warnings

    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    warnings.simplefilter("ignore")
    provider = LoggerProvider()
    exporter = OTLPLogExporter(endpoint=f"{url}/v1/logs", compression=Compression.Gzip)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logging.getLogger("opentelemetry").setLevel("CRITICAL")
    name = "OTLP batch processor"
    rates[name] = rate(name, LoggingHandler(logger_provider=provider), port, count // 10, provider.force_flush)
    provider.shutdown()


def outage(url: str, port: int, folder: str, count: int) -> None:
    """A million records while nobody listens, then all of them delivered."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = taken.getsockname()[1]
    backend = Lines(f"http://127.0.0.1:{nobody}/lines")
    handler = SpooledHandler(backend, spool=folder)
    print(f"\n{count:,} records while the backend is down\n")
    print(f"  {'':<44}{'p50 us':>9}{'mean us':>9}{'p99 us':>9}{'worst ms':>12}")
    attach(handler)
    clock = time.perf_counter_ns
    times(handler.handle, 10_000)
    plain = logging.FileHandler(f"{folder}/outage.log")
    plain.setFormatter(JSONFormatter())
    shown("logging.FileHandler beside it, for comparison", times(plain.handle, 100_000))
    before, _ = resident()
    total = worst = worst_of_ours = over = over_by_us = 0
    begun_all = time.perf_counter()
    for number in range(count):
        record = make(10_000 + number)
        switches = involuntary_switches()
        begun = clock()
        handler.handle(record)
        took = clock() - begun
        total += took
        worst = max(worst, took)
        if took > 1_000_000:
            is_ours = involuntary_switches() == switches
            over += took >= 5_000_000
            over_by_us += took >= 5_000_000 and is_ours
            worst_of_ours = max(worst_of_ours, took * is_ours)
    seconds = time.perf_counter() - begun_all
    after, most = resident()
    print(f"  {'llmlog':<44}{'':9}{total / count / 1000:9.2f}{'':9}{worst / 1e6:12.3f}")
    print(f"  {'  ... calls that no other program interrupted':<71}{worst_of_ours / 1e6:12.3f}")
    print(
        f"\n  memory: {before:.1f} MB before, {after:.1f} MB after, {after - before:+.1f} MB; at the most {most:.1f} MB"
    )
    print(f"  calls of 5 ms and more: {over} of {count:,}; {over_by_us} of them that no other program interrupted")
    size = handler.spool.nbytes() / 1e6
    print(f"  {count / seconds:,.0f} records/s; spool {size:,.0f} MB; dropped {handler.spool.dropped}")
    counted(port)
    backend.destination = url + "/lines"
    begun_all = time.perf_counter()
    done = handler.flush(300)
    seconds = time.perf_counter() - begun_all
    found = counted(port)
    print(f"  back again: {found['records']:,} records delivered in {seconds:.1f} s "
          f"({found['records'] / seconds:,.0f}/s), all of them: {done}, missing "
          f"{count + 10_000 - found['records']}, twice {found['twice']}")  # fmt: skip
    handler.close()


def into_loki(folder: str, count: int) -> None:
    """The same records into a real Loki on this machine, whose processors both of them share."""
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests"))
    from backends.real import Loki

    if not Loki.installed.exists():
        print("\nNo real Loki here: make backends")
        return
    limits = {"ingestion_rate_mb": 1000, "ingestion_burst_size_mb": 1000, "per_stream_rate_limit": "1GB",
              "per_stream_rate_limit_burst": "1GB"}  # fmt: skip
    with Loki(pathlib.Path(folder, "loki"), limits=limits) as loki:
        handler = LokiHandler(loki.url, labels={"service": "benchmark"}, spool=folder)
        attach(handler)
        begun = time.perf_counter()
        for number in range(count):
            log.info("record-%d answered in %d ms", number, 1203, extra=EXTRAS)
        done = handler.flush(300)
        took = time.perf_counter() - begun
        [total] = loki.query('sum(count_over_time({service="benchmark"}[1h]))', time.time() + 5)
        print(f"\nInto a real Loki: {count / took:,.0f} records/s; of {count:,} it has {int(total['value'][1]):,}, "
              f"all of them acknowledged: {done}")  # fmt: skip
        handler.close()
        if importlib.util.find_spec("logging_loki") is None:
            return
        import logging_loki

        peer = logging_loki.LokiHandler(url=f"{loki.url}/loki/api/v1/push", tags={"service": "peer"}, version="1")
        attach(peer)
        begun = time.perf_counter()
        for number in range(1_000):
            log.info("record-%d answered in %d ms", number, 1203, extra=EXTRAS)
        theirs = (time.perf_counter() - begun) / 1_000
        print(f"  python-logging-loki: {1 / theirs:,.0f} records/s, which is 1/{theirs * count / took:.0f} of that")


def main() -> None:
    if sys.argv[1:] == ["sink"]:
        Sink().run()
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--outage", type=int, default=1_000_000)
    parser.add_argument("--peers", type=int, default=2_000, help="records for those that send one by one")
    parser.add_argument("--loki", type=int, default=200_000, help="records for a real Loki (make backends)")
    options = parser.parse_args()
    sink = subprocess.Popen([sys.executable, __file__, "sink"], stdout=subprocess.PIPE, text=True)
    try:
        assert sink.stdout is not None
        port = int(sink.stdout.readline())
        url = f"http://127.0.0.1:{port}"
        print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores\n")
        with tempfile.TemporaryDirectory(prefix="llmlog-delivery-") as folder:
            caller(url, folder, 50_000)
            sustained(url, port, folder, options.records, options.peers)
            outage(url, port, folder, options.outage)
            into_loki(folder, options.loki)
    finally:
        sink.kill()
        sink.wait()


if __name__ == "__main__":
    main()
