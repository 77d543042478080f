"""JSONFormatter in its three schemas beside python-json-logger's two and ecs-logging's: records as services make them.

Prints times and ratios.

python benchmarks/bench_formatters.py     (with ecs-logging installed, that one too)
"""

from __future__ import annotations

import json
import logging
import sys
import time
import timeit
from pathlib import Path

from pythonjsonlogger.json import JsonFormatter
from pythonjsonlogger.orjson import OrjsonFormatter

from llmlog.formatters import ConsoleFormatter, JSONFormatter

try:
    import ecs_logging
except ImportError:
    ecs_logging = None

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
CALL = {
    **EXTRAS,
    "event": "llm.call",
    "record_id": "0b587be8796639d1ed971f1cd083f0bf",
    "call_id": "0b587be8796639d1ed971f1cd083f0bf",
    "operation": "chat",
    "provider": "openai",
    "response_model": "gpt-4o-mini-2024-07-18",
    "response_id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
    "ended_by": "exhausted",
    "finish_reason": "stop",
    "max_gap_ms": 31.7,
    "tokens_per_second": 129.1,
    "wait_ms": 1180.2,
    "consumer_ms": 4.1,
    "chunks": 130,
    "content_chunks": 128,
    "cache_read_tokens": 256,
    "total_tokens": 540,
    "usage_source": "provider",
    "cost_source": "genai-prices 0.2.3",
    "prompt_length": 1730,
    "response_length": 512,
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "span_id": "00f067aa0ba902b7",
}
"""The record of an LLM call, as it is without capture."""
FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def record(extras: dict[str, object]) -> logging.LogRecord:
    made = logging.LogRecord("app.search", logging.INFO, __file__, 1, "answered %s in %d ms", ("gpt", 1203), None)
    made.__dict__.update(extras)
    return made


def microseconds(formatter: logging.Formatter, made: logging.LogRecord) -> float:
    timer = timeit.Timer(lambda: formatter.format(made), timer=time.process_time)  # others use this machine, too
    number, _ = timer.autorange()
    return min(timer.repeat(5, number // 4 or 1)) / (number // 4 or 1) * 1e6


def main() -> None:
    cases = {
        "an LLM call": record(CALL),
        "10 extras": record(EXTRAS),
        "no extras": record({}),
        "10 extras and a path": record({**EXTRAS, "path": Path("some/where")}),
        "10 extras and 20 KB of text": record({**EXTRAS, "response": "some words, " * 1700}),
    }
    formatters: dict[str, logging.Formatter] = {
        "llmlog": JSONFormatter(),
        "llmlog, otel": JSONFormatter(schema="otel", constants={"service": "shop"}),
        "llmlog, ecs": JSONFormatter(schema="ecs", constants={"service": "shop"}),
        "llmlog, its keywords": JSONFormatter(FORMAT),
        "python-json-logger": JsonFormatter(FORMAT),
        "python-json-logger, orjson": OrjsonFormatter(FORMAT),
        "llmlog console": ConsoleFormatter(colors=False),
        "logging.Formatter": logging.Formatter(FORMAT),
    }
    if ecs_logging is not None:
        formatters["ecs-logging"] = ecs_logging.StdlibFormatter(extra={"service.name": "shop"})
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
