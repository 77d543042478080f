"""What redaction costs: microseconds for a text and for a record, beside what making the line costs anyway.

python benchmarks/bench_redaction.py
"""

from __future__ import annotations

import json
import logging
import timeit
from collections.abc import Callable

from llmlog.filters import RedactFilter
from llmlog.formatters import JSONFormatter
from llmlog.redaction import Redactor

CLEAN = (
    "2024-05-01T12:34:56.789Z INFO [worker-3] request_id=123e4567-e89b-12d3-a456-426614174000 "
    "GET /v1/items 200 in 1234.5 ms"
)
TWO = "2024-05-01T12:34:56.789Z INFO [worker-3] ann@example.org logged in from 203.0.113.9 in 1234.5 ms, session 42, ok"
MANY = (
    "from=ann@example.org to=bob.b@mail.example.com ip=203.0.113.9 via=2001:db8::1 card=4111 1111 1111 1111 "
    "amex=378282246310005 tel=+49 30 1234567 fax=(415) 555-0132 cell=415-555-0199 key=sk-q7Wz3Kp9Xb2Vn8Rt5Ym1Lc6Hd4 "
    "password=hunter2 token=ghp_q7Wz3Kp9Xb2Vn8Rt5Ym1Lc6Hd4Gs0Jf cc=eve@example.net host=198.51.100.7 phone=030 1234567"
)
CALL = {
    "record_id": "0f8fad5bd9cb469fa16570867728950e",
    "request_id": "7c9e6679742540de944be07fc1f90ae7",
    "model": "gpt-4o-mini-2024-07-18",
    "outcome": "completed",
    "latency_ms": 1234.56,
    "input_tokens": 412,
    "output_tokens": 128,
    "cost_usd": 0.000139,
    "tool_names": ["search", "fetch"],
}


def microseconds(work: Callable[[], object]) -> float:
    timer = timeit.Timer(work)
    number = max(1, timer.autorange()[0] // 4)
    return min(timer.repeat(7, number)) / number * 1e6


def row(name: str, taken: float, beside: float | None = None) -> None:
    ratio = f"{taken / beside:8.1f} x" if beside else ""
    print(f"{name:<58}{taken:9.2f} us{ratio}")


def main() -> None:
    redactor = Redactor()
    print("texts" + " " * 60 + "beside json.dumps(text)")
    for name, text in (("clean", CLEAN), ("two findings", TWO), ("fifteen findings", MANY)):
        row(
            f"  {len(text)} characters, {name}",
            microseconds(lambda text=text: redactor.text(text)),  # type: ignore[misc]
            microseconds(lambda text=text: json.dumps(text)),  # type: ignore[misc]
        )
    long = CLEAN * 1000
    row(f"  {len(long)} characters, clean, for each 120", microseconds(lambda: redactor.text(long)) * 120 / len(long))

    print("records" + " " * 58 + "beside the formatter")
    redact, formatter = RedactFilter(), JSONFormatter()
    for name, msg, args, extra in (
        ("plain message, no extras", CLEAN, (), {}),
        ("rendered message, two findings", TWO.replace("ann@example.org", "%s"), ("ann@example.org",), {}),
        ("the summary of a call", "gpt-4o-mini completed in 1.2 s, 412 + 128 tokens, $0.000139", (), CALL),
    ):
        record = logging.LogRecord("app", logging.INFO, __file__, 1, msg, args, None)
        record.__dict__.update(extra)

        def filtered(record: logging.LogRecord = record) -> None:
            record.__dict__.pop("_llmlog_redacted", None)
            redact.filter(record)

        row(
            f"  {name}",
            microseconds(filtered),
            microseconds(lambda record=record: formatter.format(record)),  # type: ignore[misc]
        )


if __name__ == "__main__":
    main()
