"""JSONFormatter beside python-json-logger's two, on records as services make them. Prints times and ratios.

python benchmarks/bench_formatters.py
"""

from __future__ import annotations

import json
import logging
import sys
import timeit
from pathlib import Path

from pythonjsonlogger.json import JsonFormatter
from pythonjsonlogger.orjson import OrjsonFormatter

from llmlog.formatters import ConsoleFormatter, JSONFormatter

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
FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def record(extras: dict[str, object]) -> logging.LogRecord:
    made = logging.LogRecord("app.search", logging.INFO, __file__, 1, "answered %s in %d ms", ("gpt", 1203), None)
    made.__dict__.update(extras)
    return made


def microseconds(formatter: logging.Formatter, made: logging.LogRecord) -> float:
    timer = timeit.Timer(lambda: formatter.format(made))
    number, _ = timer.autorange()
    return min(timer.repeat(5, number // 4 or 1)) / (number // 4 or 1) * 1e6


def main() -> None:
    cases = {
        "10 extras": record(EXTRAS),
        "no extras": record({}),
        "10 extras and a path": record({**EXTRAS, "path": Path("some/where")}),
        "10 extras and 20 KB of text": record({**EXTRAS, "response": "some words, " * 1700}),
    }
    formatters = {
        "llmlog": JSONFormatter(),
        "llmlog, its keywords": JSONFormatter(FORMAT),
        "python-json-logger": JsonFormatter(FORMAT),
        "python-json-logger, orjson": OrjsonFormatter(FORMAT),
        "llmlog console": ConsoleFormatter(colors=False),
        "logging.Formatter": logging.Formatter(FORMAT),
    }
    print(f"Python {sys.version.split()[0]}; microseconds for one record, and how many times llmlog's\n")
    for case, made in cases.items():
        line = json.loads(formatters["llmlog"].format(made))
        assert line["message"] == "answered gpt in 1203 ms"
        ours = microseconds(formatters["llmlog"], made)
        print(case)
        for name, formatter in formatters.items():
            took = ours if name == "llmlog" else microseconds(formatter, made)
            print(f"  {name:<28}{took:8.2f} us {took / ours:7.1f} x")


if __name__ == "__main__":
    main()
