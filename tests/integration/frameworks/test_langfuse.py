"""Langfuse's newest SDK: beside a client that it watches, and as a place where the summaries go.

It replaces methods of the openai SDK for the whole process, so each of these runs in one of its own; what it sends goes
to a server here that takes it in and answers as Langfuse's does.
"""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import textwrap
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import framework

import llmlog
from llmlog.testing import Script, ScriptedServer, serve

framework("langfuse")
protocol: Any = framework("opentelemetry.proto.collector.trace.v1.trace_service_pb2")

ROOT = Path(llmlog.__file__).parents[1]


class Langfuse:
    """Takes in the spans that the SDK sends."""

    def __init__(self) -> None:
        self.spans: list[tuple[Any, dict[str, Any]]] = []
        taken = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = zlib.decompress(body, 31)
                if self.path.endswith("/v1/traces"):
                    taken.take(body)
                self.answer()

            def answer(self) -> None:
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_GET = answer

            def log_message(self, *args: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def take(self, body: bytes) -> None:
        """Keep the spans, with their attributes as values."""
        request = protocol.ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    kept = {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}
                    self.spans.append((span, kept))

    def generations(self) -> list[dict[str, Any]]:
        """The attributes of those that are calls of models."""
        return [kept for _, kept in self.spans if kept.get("langfuse.observation.type") == "generation"]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def langfuse() -> Iterator[Langfuse]:
    """A server in Langfuse's place."""
    made = Langfuse()
    yield made
    made.close()


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A model's."""
    with serve() as made:
        yield made


def run(code: str, langfuse: Langfuse, server: ScriptedServer, folder: Path) -> list[dict[str, Any]]:
    """Run it with llmlog's file and Langfuse's keys; the summaries in the file."""
    file = folder / "records.jsonl"
    head = f"""
        import gc, logging.config
        import llmlog
        logging.config.dictConfig(llmlog.dict_config(file={str(file)!r}))
        MESSAGES = [{{"role": "user", "content": "Write to ann@example.com"}}]
        BASE = {server.openai_url!r}
    """
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("LANGFUSE_", "OTEL_"))},
        "PYTHONPATH": str(ROOT), "LANGFUSE_PUBLIC_KEY": "pk-test", "LANGFUSE_SECRET_KEY": "test",
        "LANGFUSE_BASE_URL": langfuse.url,
    }  # fmt: skip
    whole = textwrap.dedent(head) + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", whole], cwd=folder, env=environment, capture_output=True, text=True,
                          timeout=120, check=False)  # fmt: skip
    assert (done.returncode, "llmlog: " in done.stderr) == (0, False), done.stdout + done.stderr
    records = [json.loads(line) for line in file.read_text().splitlines()]
    return [record for record in records if record.get("event") == "llm.call"]


BESIDE = """
    from langfuse import get_client
    from langfuse.openai import AsyncOpenAI, OpenAI
    client = llmlog.wrap(OpenAI(base_url=BASE, api_key="x", max_retries=0))

    answer = client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    assert answer.choices[0].message.content == "Hello world"
    stream = client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == "Hello world"
    for chunk in client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True):
        if chunk.choices[0].delta.content:
            break
    del chunk
    gc.collect()

    import asyncio
    async def main():
        aclient = llmlog.wrap(AsyncOpenAI(base_url=BASE, api_key="x", max_retries=0))
        stream = await aclient.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True)
        assert [chunk async for chunk in stream]
        await aclient.close()
    asyncio.run(main())
    get_client().flush()
    llmlog.flush()
"""


def test_beside_a_client_that_langfuse_watches(langfuse: Langfuse, server: ScriptedServer, tmp_path: Path) -> None:
    """Both see each call once, and the answers are what they were."""
    records = run(BESIDE, langfuse, server, tmp_path)
    assert [(one["outcome"], one["streamed"]) for one in records] == [
        ("completed", False), ("completed", True), ("aborted", True), ("completed", True),
    ]  # fmt: skip
    assert {one["model"] for one in records} == {"gpt-4o-mini"}
    assert len(langfuse.generations()) == 4
    assert len(server.requests) == 4


FORWARDED = """
    from langfuse import get_client
    from openai import OpenAI, RateLimitError
    from llmlog.filters import ContextFilter, RedactFilter
    from llmlog.integrations.langfuse import LangfuseHandler
    handler = LangfuseHandler()
    handler.addFilter(ContextFilter())
    handler.addFilter(RedactFilter())
    logging.getLogger("llmlog.calls").addHandler(handler)
    llmlog.configure(capture=100)
    client = llmlog.wrap(OpenAI(base_url=BASE, api_key="x", max_retries=0))

    with llmlog.request("r-1", user_id="u-1", conversation_id="c-1", feature="search"):
        client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, temperature=0.2)
        for chunk in client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True):
            if chunk.choices[0].delta.content:
                break
        del chunk
        gc.collect()
        try:
            client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
        except RateLimitError:
            pass
    llmlog.event("llm.feedback", score=1)
    logging.getLogger("llmlog.calls").warning("by hand")
    llmlog.flush()
"""


def test_forwarded(langfuse: Langfuse, server: ScriptedServer, tmp_path: Path) -> None:
    """Each summary is a generation: who, what, how long, how many tokens, what it cost; texts redacted."""
    server.play(Script(["Hello", " world"]), Script(["Hello", " world"]), Script(status=429))
    records = run(FORWARDED, langfuse, server, tmp_path)
    assert len(records) == len(langfuse.generations()) == len(langfuse.spans) == 3
    assert len({span.trace_id for span, _ in langfuse.spans}) == 1  # the request's
    for record, (span, kept) in zip(records, langfuse.spans, strict=True):
        assert (kept["user.id"], kept["session.id"], span.name) == ("u-1", "c-1", "search")
        assert kept["langfuse.observation.metadata.call_id"] == record["call_id"]
        assert kept["langfuse.observation.model.name"] == "gpt-4o-mini"
        assert json.loads(kept["langfuse.observation.cost_details"]) == {"total": record["cost_usd"]}
        assert "ann@example.com" not in str(kept)
        assert kept["langfuse.observation.input"] == record["prompt"]
        lasted = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6
        assert lasted == pytest.approx(record["latency_ms"], abs=0.1)
    whole, left, failed = (kept for _, kept in langfuse.spans)
    assert json.loads(whole["langfuse.observation.usage_details"]) == {"input": 10, "output": 2, "total": 12}
    assert json.loads(whole["langfuse.observation.model.parameters"]) == {"temperature": 0.2}
    assert (whole["langfuse.observation.level"], whole["langfuse.observation.output"]) == ("DEFAULT", "Hello world")
    assert left["langfuse.observation.status_message"] == "loop_left"
    assert "langfuse.observation.completion_start_time" in left
    assert (failed["langfuse.observation.level"], failed["langfuse.observation.metadata.http_status"]) == ("ERROR", 429)


def test_the_example(langfuse: Langfuse, tmp_path: Path) -> None:
    """As its readers run it, with keys: a generation for each of its calls, in one trace; without, it says so."""
    known = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("LANGFUSE_", "OTEL_", "OPENAI_"))},
        "PYTHONPATH": str(ROOT),
    }
    keys = {"LANGFUSE_PUBLIC_KEY": "pk-test", "LANGFUSE_SECRET_KEY": "test", "LANGFUSE_BASE_URL": langfuse.url}
    printed = []
    for environment in (known, {**known, **keys}):
        done = subprocess.run(
            [sys.executable, str(ROOT / "examples" / "langfuse_app.py")], cwd=tmp_path, env=environment,
            capture_output=True, encoding="utf-8", timeout=120, check=False,
        )  # fmt: skip
        printed.append((done.returncode, "LANGFUSE_PUBLIC_KEY" in done.stderr, "llmlog: " in done.stderr))
    assert printed == [(1, True, False), (0, False, False)], done.stderr
    lines = (tmp_path / ".demo" / "langfuse.jsonl").read_text().splitlines()
    records = [record for record in map(json.loads, lines) if record.get("event") == "llm.call"]
    assert [record["outcome"] for record in records] == ["completed", "aborted"]
    found = langfuse.generations()
    assert [one["langfuse.observation.metadata.call_id"] for one in found] == [one["call_id"] for one in records]
    assert {(one["user.id"], one["session.id"]) for one in found} == {("ann", "c-1")}
    assert len({span.trace_id for span, _ in langfuse.spans}) == 1
    assert "ann@example.com" not in str(langfuse.spans)


def test_langfuse_is_down(server: ScriptedServer, tmp_path: Path) -> None:
    """The calls and their records are as ever."""
    gone = Langfuse()
    gone.close()
    code = FORWARDED.replace("llmlog.flush()", "llmlog.flush(); handler.close()").replace(
        "from langfuse import", "import os; os.environ['OTEL_EXPORTER_OTLP_TIMEOUT'] = '1'; from langfuse import"
    )
    assert [one["outcome"] for one in run(code, gone, server, tmp_path)] == ["completed", "aborted", "completed"]


def test_what_is_no_client() -> None:
    """Told where it is made."""
    from llmlog.integrations.langfuse import LangfuseHandler

    with pytest.raises(llmlog.UsageTypeError, match="client"):
        LangfuseHandler("pk-lf")
