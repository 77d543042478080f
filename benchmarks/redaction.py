"""What redaction costs, what gets through it and what it destroys, beside Presidio's patterns in the same run.

python benchmarks/redaction.py

Presidio is taken without a language model: its recognizers of patterns alone, as fast as it can be. Where
presidio-analyzer or the recorded cases (`../shared/cases`) are missing their columns are.
"""

from __future__ import annotations

import importlib.util
import logging
import pathlib
import random
import re
import time
import timeit
import uuid
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from llmlog.filters import RedactFilter
from llmlog.formatters import JSONFormatter
from llmlog.redaction import Redactor, gate

CLEAN = (
    "2024-05-01T12:34:56.789Z INFO [worker-3] request_id=123e4567-e89b-12d3-a456-426614174000 "
    "GET /v1/items 200 in 1234.5 ms"
)
TWO = "2024-05-01T12:34:56.789Z INFO [worker-3] ann@example.org logged in from 203.0.113.9 in 1234.5 ms, session 42, ok"
MANY = (
    "from=ann.b@mail.example.org to=bob@example.com ip=203.0.113.9 via=2001:db8::8a2e:370:7334 card=4111 1111 1111 "
    "1111 amex=378282246310005 tel=+49 30 12345678 fax=(415) 555-0132 ssn 536-90-4399 iban=DE89370400440532013000 "
    "mac=00:1A:2B:3C:4D:5E key=sk-q7Wz3Kp9Xb2Vn8Rt5Ym1Lc6Hd4 password=hunter2 token="
    "ghp_q7Wz3Kp9Xb2Vn8Rt5Ym1Lc6Hd4Gs0Jf cc=eve@example.net, 1,284 bytes sent in 0.37 s"
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
USUAL = re.compile(  # one alternation of the usual patterns: what a filter of one's own would have
    r"[\w.+-]+@[\w-]+\.[\w.-]+|\b(?:\d[ -]?){13,16}\b|\b\d{3}-\d{2}-\d{4}\b|\b(?:\d{1,3}\.){3}\d{1,3}\b"
    r"|\+\d[\d ()-]{7,}\d|\bsk-\w{20,}|(?:password|token|secret)=\S+"
)
CASES = pathlib.Path(__file__).resolve().parents[2] / "shared" / "cases" / "loader.py"

Find = Callable[[str], Iterable[tuple[int, int]]]


def microseconds(work: Callable[[], object]) -> float:
    timer = timeit.Timer(work)
    number = max(1, timer.autorange()[0] // 4)
    return min(timer.repeat(7, number)) / number * 1e6


def row(name: str, *cells: str) -> None:
    print(f"  {name:<46}" + "".join(f"{cell:>16}" for cell in cells))


def with_re_alone() -> Redactor:
    """A redactor as it is where google-re2 is missing."""
    engine, gate.re2 = gate.re2, None
    try:
        return Redactor()
    finally:
        gate.re2 = engine


def presidio() -> Find | None:
    """Presidio's recognizers of patterns, over an English text without a language model."""
    try:
        import presidio_analyzer.predefined_recognizers as all_of_them
        import tldextract
        from presidio_analyzer import PatternRecognizer, RecognizerResult
    except ImportError:
        return None
    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=())  # its own list, none from the network
    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    names = ("CreditCard", "Email", "Iban", "Ip", "Phone", "UsSsn", "Url", "Crypto", "UsItin", "UsBank", "UsPassport")
    made: list[Any] = [getattr(all_of_them, f"{name}Recognizer")() for name in names]

    def find(text: str) -> list[tuple[int, int]]:
        found: list[RecognizerResult] = []
        for one in made:
            found += one.analyze(text, one.supported_entities, None) or ()
        return [(one.start, one.end) for one in found if one.score >= 0.4 or not isinstance(one, PatternRecognizer)]

    return find


def speed(theirs: Find | None) -> None:
    redactor, alone = Redactor(), with_re_alone()
    row(
        "microseconds a text",
        "google-re2" if gate.re2 else "(no re2)",
        "re alone",
        "one alternation",
        "Presidio",
        "ratio",
    )
    for name, text in (("clean", CLEAN), ("two findings", TWO), ("fifteen findings", MANY)):
        assert theirs is None or redactor.text(text) == alone.text(text)
        ours = microseconds(lambda text=text: redactor.text(text))  # type: ignore[misc]
        slow = microseconds(lambda text=text: theirs(text)) if theirs else None  # type: ignore[misc]
        row(
            f"{len(text)} characters, {name}",
            f"{ours:.2f}",
            f"{microseconds(lambda text=text: alone.text(text)):.2f}",  # type: ignore[misc]
            f"{microseconds(lambda text=text: USUAL.findall(text)):.2f}",  # type: ignore[misc]
            f"{slow:.0f}" if slow else "-",
            f"{slow / ours:.0f} x" if slow else "-",
        )
    row("a line that was never seen, of ids and times", *(f"{fresh(it):.2f}" for it in (Redactor(), alone)))
    long = CLEAN * 1000
    row(
        f"{len(long)} characters, clean, each {len(CLEAN)}",
        *(f"{microseconds(lambda it=it: it.text(long)) / 1000:.2f}" for it in (redactor, alone)),  # type: ignore[misc]
    )


def fresh(redactor: Redactor, count: int = 6000) -> float:
    """Microseconds for a line with new ids in it, as nearly all lines are; the first half only warms up."""
    lines = [line for line, _ in ids_in_logs(count)]
    for line in lines[: count // 2]:
        redactor.text(line)
    started = time.perf_counter()
    for line in lines[count // 2 :]:
        redactor.text(line)
    return (time.perf_counter() - started) / (count - count // 2) * 1e6


def records() -> None:
    print()
    row("microseconds a record", "redaction", "the formatter")
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

        written = microseconds(lambda record=record: formatter.format(record))  # type: ignore[misc]
        row(name, f"{microseconds(filtered):.2f}", f"{written:.2f}")


def leaks(find: Find, text: str, start: int, end: int) -> bool:
    covered = {at for begin, stop in find(text) for at in range(begin, stop)}
    return any(text[at].isalnum() and at not in covered for at in range(start, end))


def labelled(cases: Any) -> dict[str, list[tuple[str, int, int]]]:
    made: dict[str, list[tuple[str, int, int]]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for name in ("presidio_research_v2", "presidio_research_generated_large"):
            for one in cases.rows(f"pii/{name}"):
                for span in one["spans"]:
                    if span["label"] in ("CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "US_SSN", "PHONE_NUMBER"):
                        made.setdefault(span["label"], []).append((one["text"], span["start"], span["end"]))
        for one in cases.rows("pii/phone_examples"):
            number = one["text"].removeprefix("tel:")
            made.setdefault("phones of all countries", []).append(
                (f"You can call me at {number} tomorrow.", 19, 19 + len(number))
            )
        for one in cases.rows("pii/gitleaks_rules"):
            for span in one["spans"]:
                made.setdefault("secrets", []).append((one["text"], span["start"] + 1, span["end"] - 1))
    return made


def ids_in_logs(count: int) -> list[tuple[str, list[tuple[int, int]]]]:
    """Lines full of ids, times and versions, and where those stand."""
    dice = random.Random(5)

    def digits(length: int) -> str:
        return str(dice.randrange(10 ** (length - 1), 10**length))

    lines = []
    for _ in range(count):
        made = " ".join(
            dice.choice(
                [
                    f"2024-{dice.randint(10, 12)}-{dice.randint(10, 28)} 12:{digits(2)[0]}3:17,{digits(3)}",
                    f"pid={digits(5)}",
                    str(uuid.UUID(int=dice.getrandbits(128))),
                    f"sha256:{dice.getrandbits(256):064x}",
                    f"blk_-{digits(19)}",
                    f"v{digits(1)}.{digits(2)}.{digits(3)}",
                    f"17{digits(8)}",
                    f"17{digits(11)}",
                    f"trace={dice.getrandbits(128):032x}",
                    f"offset={digits(16)}",
                    f"{digits(3)} {digits(4)} {digits(3)}",
                ]
            )
            for _ in range(4)
        )
        lines.append((made, [found.span() for found in re.finditer(r"[^\s=]*[0-9][^\s=]*", made)]))
    return lines


def accuracy(theirs: Find | None) -> None:
    redactor = Redactor()
    finders: list[Find] = [lambda text: [span[:2] for span in redactor.find(text)]]
    finders += [theirs] if theirs else []
    print()
    row("leaked", "llmlog", "Presidio")
    if CASES.exists():
        spec = importlib.util.spec_from_file_location("recorded_cases", CASES)
        assert spec is not None
        assert spec.loader is not None
        cases = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(cases)
        for label, spans in labelled(cases).items():
            shares = [sum(leaks(find, *span) for span in spans) / len(spans) for find in finders]
            row(f"{label} ({len(spans)})", *(f"{share:.1%}" for share in shares))
    else:
        row("the recorded cases are not beside this checkout")
    print()
    row("destroyed", "llmlog", "Presidio")
    lines = ids_in_logs(1500)
    total = sum(len(places) for _, places in lines)
    lost = [
        sum(
            any(begin < end and stop > start for begin, stop in find(line))
            for line, places in lines
            for start, end in places
        )
        for find in finders
    ]
    row(f"ids, times, versions in logs ({total})", *(f"{one / total:.2%}" for one in lost))


def main() -> None:
    theirs = presidio()
    if theirs is None:
        print("presidio-analyzer is not installed: pip install 'llmlog[presidio]' for its columns")
    speed(theirs)
    records()
    accuracy(theirs)


if __name__ == "__main__":
    main()
