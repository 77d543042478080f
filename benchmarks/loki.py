"""How many records a second one process gets into a real Loki, which runs on the same machine.

    python benchmarks/loki.py [--records 100000]

Needs `make backends`. Loki's own limits of a tenant (4 MB/s) and of a stream (3 MB/s) are raised: they would be what is
measured. Checked beside the speed: Loki counts each record once.
"""

from __future__ import annotations

import argparse
import logging
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests"))

from backends.real import Loki

from llmlog.handlers import LokiHandler

LIMITS = {"ingestion_rate_mb": 500, "ingestion_burst_size_mb": 1000, "per_stream_rate_limit": "500MB",
          "per_stream_rate_limit_burst": "1000MB"}  # fmt: skip
EXTRAS = {
    "request_id": "4bf92f3577b34da6a3ce929d0e0e4736", "user_id": "u-1729", "model": "gpt-4o-mini",
    "outcome": "completed", "latency_ms": 1203.4, "ttft_ms": 211.9, "input_tokens": 412, "output_tokens": 128,
    "cost_usd": 0.000139, "streamed": True,
}  # fmt: skip


def main() -> int:
    """Print the rate; 1 where Loki's count is another."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=int, default=100_000)
    count = parser.parse_args().records
    log = logging.getLogger("bench")
    log.setLevel("INFO")
    log.propagate = False
    with tempfile.TemporaryDirectory() as made, Loki(pathlib.Path(made) / "loki", limits=LIMITS) as loki:
        handler = LokiHandler(loki.url, labels={"job": "bench"}, spool=pathlib.Path(made) / "spool", proxy=False)
        log.addHandler(handler)
        log.info("the connection is made", extra=EXTRAS)
        assert handler.flush(30)
        begun, cpu = time.perf_counter(), time.process_time()
        for number in range(count):
            log.info("record-%d answered in %d ms", number, 1203, extra=EXTRAS)
        called = time.perf_counter() - begun
        done = handler.flush(120)
        took, cpu = time.perf_counter() - begun, time.process_time() - cpu
        found = loki.query('sum(count_over_time({job="bench"}[1h]))')
        stored = int(found[0]["value"][1]) - 1 if found else 0
        handler.close()
    print(f"{count / took:,.0f} records/s into Loki: {took:.2f} s until it has all, {called:.2f} s of them in the "
          f"logging calls; {cpu / count * 1e6:.1f} us of our CPU a record; {stored - count} too many")  # fmt: skip
    return 0 if done and stored == count else 1


if __name__ == "__main__":
    sys.exit(main())
