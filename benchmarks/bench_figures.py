"""What counting and pricing cost: `python benchmarks/bench_figures.py`. Prints figures, asserts nothing."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Callable
from timeit import Timer
from typing import Any

PROSE = "The quick brown fox jumps over the lazy dog, and says: 'Hello, 1234 worlds'. " * 20
KILOBYTE = PROSE[:1024]
CHAT = [{"role": "system", "content": "You are brief."}, {"role": "user", "content": KILOBYTE}]


def once(label: str, function: Callable[[], Any]) -> None:
    start = time.perf_counter()
    function()
    print(f"{label:<44}{(time.perf_counter() - start) * 1e3:>10.1f} ms")


def each(label: str, function: Callable[[], Any]) -> None:
    timer = Timer(function)
    number, _ = timer.autorange()
    best = min(timer.repeat(5, number)) / number
    print(f"{label:<44}{best * 1e6:>10.2f} us")


def main() -> None:
    from llmlog.costs import cost, price, warm
    from llmlog.encodings import _encoder
    from llmlog.price_tables import load
    from llmlog.tokens import count_text, count_tokens
    from llmlog.usage import Usage

    once("first count, o200k_base (tiktoken's import too)", lambda: count_text("x", "gpt-4o"))
    once("first count, cl100k_base", lambda: count_text("x", "gpt-4"))
    once("price tables", warm)
    each("count_text, 10 characters", lambda: count_text("0123456789", "gpt-4o"))
    each("count_text, 1 KB", lambda: count_text(KILOBYTE, "gpt-4o"))
    each("  tiktoken alone", lambda: len(_encoder("o200k_base").encode_ordinary(KILOBYTE)))
    each("count_tokens, a chat of 1 KB", lambda: count_tokens(CHAT, "gpt-4o"))
    for label, unit in (("'a'", "a"), ("blanks", " "), ("Chinese", "漢"), ("emoji", "😀")):
        text = unit * (1_000_000 // len(unit.encode()))
        once(f"count_text, 1 MB of {label}", lambda text=text: count_text(text, "gpt-4o"))  # type: ignore[misc]
    for label, unit in (("a letter and a mark", "a\u0301"), ("hyphens", "-"), ("lines of one letter", "a\n")):
        text = unit * (1_000_000 // len(unit.encode()))
        once(f"count_text, 1 MB of {label}", lambda text=text: count_text(text, "gpt-4o"))  # type: ignore[misc]
    once("count_text, 1 MB of prose", lambda: count_text(PROSE * 650, "gpt-4o"))
    usage = Usage(1000, 200, 100)
    all_buckets = Usage(9000, 200, 1000, 3000, 100, cache_write_1h_tokens=1000, web_searches=2)
    table = load({"models": {"gpt-4o*": {"input": 2.5, "output": 10, "service_tiers": {"flex": {"discount": 0.5}}}}})
    each("cost, a price that was looked up", lambda: cost(usage, "gpt-4o", provider="openai"))
    each("  cache writes, reasoning, searches", lambda: cost(all_buckets, "claude-opus-5", provider="anthropic"))
    each("  tiers by size", lambda: cost(usage, "gemini-2.5-pro", provider="google"))
    each("  the user's table", lambda: price(usage, "gpt-4o", provider="openai", service_tier="flex", table=table))
    each("  a model without a price", lambda: cost(usage, "no-such-model", provider="openai"))
    from genai_prices import Usage as Theirs
    from genai_prices import calc_price

    other = Theirs(input_tokens=1000, output_tokens=200, cache_read_tokens=100)
    each("  genai-prices alone", lambda: calc_price(other, "gpt-4o", provider_id="openai"))
    on_cases()


def on_cases() -> None:
    """What the tests assert on the recorded cases, where they are there and pytest is: reached, of how many, wanted."""
    test = pathlib.Path(__file__).resolve().parents[1] / "tests" / "integration" / "test_figures_on_cases.py"
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:randomly", str(test)]
    said = subprocess.run(command, capture_output=True, text=True, check=False, cwd=test.parents[2]).stdout
    for line in said.splitlines():
        if match := re.match(r"\.?(.+): (\S+) of (\d+), (at .+)", line):
            print(f"{match[1]:<44}{match[2]:>10} of {match[3]:<6}{match[4]}")


if __name__ == "__main__":
    main()
