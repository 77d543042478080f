"""Real clients, a real service, a model that fails: what llmlog makes of it.

    python examples/demo.py          (or `make demo`)

Starts the service of `app.py` under uvicorn, sends it readers who stay to the end, hang up, lose patience or
write down their card number, then stops it and reads `.demo/llmlog.jsonl` back: a table of the calls, and
checks. The model is `model_server.py`, or a real one where OPENAI_API_KEY or OPENAI_BASE_URL is set
(OPENAI_MODEL says which one): then each call is paid for.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from model_server import Model, serve
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

FOLDER = Path(".demo")
RECORDS = FOLDER / "llmlog.jsonl"
OUTPUT = FOLDER / "app.txt"
MODEL_TIMEOUT = "5"

Record = dict[str, Any]

CONSOLE = Console(highlight=False)
if not CONSOLE.is_terminal:
    CONSOLE.width = 110

PERSONAL = {
    "EMAIL": "erika.mustermann@example.org",
    "PHONE": "+49 30 901820 11",
    "CARD": "4242 4242 4242 4242",
    "IP": "203.0.113.77",
    "API_KEY": "sk-proj-9tQ2vXw7LmZr4BcN8sKd1HfJ6yPa3GeU0oRiTn5",
}
"""Invented, and sent to the service: none of it may be found in the records, only its name in its place."""

LETTER = (
    "[echo] About my refund: write to {EMAIL} or call {PHONE}. I paid with {CARD} "
    "from {IP}, and by mistake our key {API_KEY} went along."
)


@dataclass
class Visit:
    """One request to the service, and what it should leave behind."""

    id: str  # sent as X-Request-ID; empty: the service gives one
    path: str
    text: str
    user: str = ""
    model: str = "gpt-4o-mini"
    email: str | None = None
    pieces: int | None = None  # hang up after so many
    patience: float = 30.0  # seconds till the client gives up
    outcomes: Sequence[str] = ("completed",)
    scripted: bool = False  # only the project's own model server plays along


VISITS = [
    Visit("ann-1", "/chat", "Where is my parcel?", "ann"),
    Visit("ann-2", "/chat", "How do I get a refund?", "ann", "gpt-4o"),
    Visit("", "/chat", "I forgot my password.", "bob", model="gpt-4.1-mini"),
    Visit("", "/chat", "Which of the two should I take?", "eve"),
    Visit("hangs-up", "/chat", "[slow] Where is my parcel?", "bob", pieces=3, outcomes=["cancelled"]),
    Visit("hangs-up-2", "/chat", "[slow] How do I get a refund?", "eve", pieces=1, outcomes=["cancelled"]),
    Visit("impatient", "/chat", "[slow] Hello?", "dan", patience=2.5, outcomes=["cancelled"], scripted=True),
    Visit("in-one", "/answer", "How do I get a refund?", "bob"),
    Visit("", "/answer", "I forgot my password.", model="gpt-4.1-mini"),
    Visit("teaser", "/teaser", "Where is my parcel?", "ann", outcomes=["aborted"]),
    Visit("agent", "/agent", "[tool] Where is order 3?", "dan", outcomes=["completed", "completed"]),
    Visit(
        "agent-left", "/agent", "[tool] [slow] Where is order 4?", "eve", pieces=2, outcomes=["completed", "cancelled"]
    ),
    Visit("personal", "/chat", LETTER.format(**PERSONAL), "eri", email=PERSONAL["EMAIL"]),
    Visit("refused", "/chat", "[refuse] Give me his address.", "eve", scripted=True),
    Visit("error-500", "/chat", "[error] Hello?", "bob", outcomes=["error"], scripted=True),
    Visit("error-429", "/chat", "[429] Hello?", "bob", outcomes=["error"], scripted=True),
    Visit("error-mid", "/chat", "[error-mid] Hello?", "ann", outcomes=["error"], scripted=True),
    Visit("stalled", "/chat", "[stall] Hello?", "dan", outcomes=["error"], scripted=True),
    Visit("cut-short", "/chat", "[short] Hello?", "ann", outcomes=["incomplete"], scripted=True),
    Visit("cut-off", "/chat", "[cut] Hello?", "dan", email="d@n.example", outcomes=["error"], scripted=True),
]


# The visitors


async def visit(client: httpx.AsyncClient, to_do: Visit) -> None:
    """Send the request and read the answer as this visitor does; the request's id is in `to_do` then."""
    headers = {"X-Request-ID": to_do.id} if to_do.id else {}
    if to_do.user:
        headers["X-User-ID"] = to_do.user
    body = {"text": to_do.text, "model": to_do.model, "email": to_do.email}
    try:
        async with (
            asyncio.timeout(to_do.patience),
            client.stream("POST", to_do.path, json=body, headers=headers, timeout=30) as response,
        ):
            to_do.id = response.headers["x-request-id"]
            pieces = 0
            async for _ in response.aiter_raw():
                pieces += 1
                if pieces == to_do.pieces:
                    break
    except TimeoutError:
        if "cancelled" not in to_do.outcomes:
            raise


async def everybody(url: str, visits: Sequence[Visit]) -> None:
    """All visitors at once."""
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client, asyncio.TaskGroup() as group:
        for to_do in visits:
            group.create_task(visit(client, to_do))


# The service


@contextmanager
def service(environment: dict[str, str]) -> Iterator[str]:
    """The application in a process of its own; gives its address once it is there, and ends it by SIGTERM."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(Path(__file__).parent), "app:app"]
    command += ["--port", str(port), "--log-level", "warning"]
    with OUTPUT.open("w") as output:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_for(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            status = process.wait(timeout=30)
    if status not in (0, -signal.SIGTERM):
        raise SystemExit(f"the service ended with status {status}:\n{OUTPUT.read_text()}")


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return as soon as something listens on the port."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"the service did not start:\n{OUTPUT.read_text()}")


# The records

COLOURS = {
    "completed": "green",
    "cancelled": "cyan",
    "aborted": "cyan",
    "incomplete": "yellow",
    "error": "red",
}


def seconds(milliseconds: float | None) -> str:
    """A duration as people read it."""
    return "-" if milliseconds is None else f"{milliseconds / 1000:.2f} s"


def tokens(call: Record, name: str) -> str:
    """A count, with `~` where it is not the provider's own."""
    if name not in call:
        return "-"
    return ("" if call.get("usage_source") == "provider" else "~") + str(call[name])


def dollars(value: float | None) -> str:
    """A price, which may be far below a cent."""
    return "-" if value is None else f"{value:.6f}"


def outcome(name: str) -> Text:
    """An outcome in its colour."""
    return Text(name, COLOURS.get(name, ""))


def table(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    """An empty table: columns of words, then columns of figures."""
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    made.show_edge = False
    made.padding = (0, 1, 0, 0) if CONSOLE.width >= 110 else (0, 0)
    for name in left:
        made.add_column(name, no_wrap=True)
    for name in right:
        made.add_column(name, justify="right", no_wrap=True)
    return made


def table_of_calls(calls: Sequence[Record]) -> Table:
    """One row for each call, in the order in which they ended."""
    made = table(
        f"{len(calls)} LLM calls",
        ["request", "user", "feature", "model", "outcome", "ended by"],
        ["in", "out", "cost $", "first", "total"],
    )
    for call in calls:
        generated = re.fullmatch(r"[0-9a-f-]{32,36}", call["request_id"])
        made.add_row(
            call["request_id"][:8] if generated else call["request_id"],
            call.get("user_id", "-"),
            call.get("feature", "-"),
            call.get("model", "-"),
            outcome(call["outcome"]),
            f"{call['ended_by']} {call.get('http_status', '')}",
            tokens(call, "input_tokens"),
            tokens(call, "output_tokens"),
            dollars(call.get("cost_usd")),
            seconds(call.get("ttft_ms")),
            seconds(call["latency_ms"]),
        )
    return made


def table_of_totals(calls: Sequence[Record]) -> Table:
    """The sums, by outcome."""
    made = table("Totals", ["outcome"], ["calls", "tokens in", "tokens out", "cost $"])
    groups: dict[str, list[Record]] = defaultdict(list)
    for call in calls:
        groups[call["outcome"]].append(call)
    rows = [(outcome(name), groups[name]) for name in COLOURS if name in groups]
    for name, group in [*rows, (Text("all", "bold"), list(calls))]:
        made.add_row(
            name,
            str(len(group)),
            str(sum(call.get("input_tokens", 0) for call in group)),
            str(sum(call.get("output_tokens", 0) for call in group)),
            dollars(sum(call.get("cost_usd", 0.0) for call in group)),
        )
    return made


def check(visits: Sequence[Visit], records: Sequence[Record], started: int | None) -> Iterator[tuple[bool, str]]:
    """What has to be true of the records, and whether it is. `started`: calls the model has seen."""
    calls = [record for record in records if record.get("event") == "llm.call"]
    if started is not None:
        yield len(calls) == started, f"{len(calls)} records for {started} calls that reached the model"
    by_request = Counter(call["request_id"] for call in calls)
    silent = [to_do.id for to_do in visits if not by_request[to_do.id]]
    yield not silent, f"every one of {len(visits)} requests has its record {silent or ''}"

    ids = [record["record_id"] for record in records if "record_id" in record]
    yield len(ids) == len(set(ids)), f"{len(ids)} record ids, none twice"

    if started is not None:
        wrong = {}
        for to_do in visits:
            got = [call["outcome"] for call in calls if call["request_id"] == to_do.id]
            if got != list(to_do.outcomes):
                wrong[to_do.id] = got
        yield not wrong, f"every call ended as it was meant to {wrong or ''}"

        unpriced = [call["request_id"] for call in calls if "cost_usd" not in call or "output_tokens" not in call]
        yield not unpriced, f"every call has its tokens and its cost {unpriced or ''}"

    others = [record for record in records if record.get("logger") == "demo"]
    lost = [record["message"] for record in others if record.get("request_id") not in by_request]
    yield bool(others) and not lost, f"{len(others)} records of the application bear their request's id {lost or ''}"

    text = RECORDS.read_text(encoding="utf-8")
    found = [name for name, value in PERSONAL.items() if value in text or value.replace(" ", "") in text]
    yield not found, f"no personal data in the file: {len(PERSONAL)} values looked for {found or ''}"
    marks = [f"<{name}>" for name in PERSONAL]
    missing = [mark for mark in marks if mark not in text]
    yield not missing, f"in its place: {' '.join(marks)} {missing or ''}"

    printed = OUTPUT.read_text()
    yield not printed, f"the service had nothing to say on stderr {printed}"


def main() -> int:
    """Run it all; 1 where a check failed."""
    FOLDER.mkdir(exist_ok=True)
    RECORDS.unlink(missing_ok=True)
    model = Model()
    real = bool(os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL"))
    visits = [to_do for to_do in VISITS if not (real and to_do.scripted)]
    for to_do in visits:
        to_do.model = os.environ.get("OPENAI_MODEL", to_do.model)
    with ExitStack() as stack:
        environment = {"OPENAI_API_KEY": os.environ.get("OPENAI_API_KEY") or "sk-demo"}
        if not real:
            base_url = stack.enter_context(serve(model))
            environment.update(OPENAI_BASE_URL=base_url, DEMO_TIMEOUT=MODEL_TIMEOUT, NO_PROXY="127.0.0.1")
        with service(environment) as url:
            asyncio.run(everybody(url, visits))

    records = [json.loads(line) for line in RECORDS.read_text(encoding="utf-8").splitlines()]
    calls = [record for record in records if record.get("event") == "llm.call"]
    CONSOLE.print(table_of_calls(calls))
    CONSOLE.print("\n~ counted by llmlog: the model sent no usage.  first: till the first token.\n")
    CONSOLE.print(table_of_totals(calls))
    CONSOLE.print()
    example = next((call for call in calls if call["outcome"] == "cancelled"), calls[-1])
    CONSOLE.print(f"The records are in {RECORDS}, one a line. The one of {example['request_id']}:")
    CONSOLE.print_json(data=example)
    CONSOLE.print()

    failed = False
    for ok, what in check(visits, records, None if real else model.received):
        failed |= not ok
        CONSOLE.print(Text("ok    " if ok else "FAILED", "green" if ok else "bold red"), what.strip(), markup=False)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
