"""The examples of frameworks and chains, and of a UI's callbacks, run as their readers run them."""

from __future__ import annotations

import http.server
import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import framework

ROOT = Path(__file__).parents[3]


def run(example: str, folder: Path, **environment: str) -> str:
    """Run the example in `folder`, without a key of a real provider; gives what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "AZURE_"))}
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / example)], cwd=folder, capture_output=True, encoding="utf-8",
        env={**kept, "PYTHONPATH": str(ROOT), **environment}, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "llmlog:" not in done.stderr
    return done.stdout


def records(file: Path, event: str = "llm.call") -> list[dict[str, Any]]:
    """The records of this kind in the file."""
    found = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [record for record in found if record.get("event") == event]


@pytest.mark.parametrize(
    ("library", "route"),
    [
        ("fastapi", "/orders/{order_id}/answer"),
        ("django", "/orders/<int:order_id>/answer"),
        ("flask", "/orders/<int:order_id>/answer"),
    ],
)
def test_a_framework(tmp_path: Path, library: str, route: str) -> None:
    """One answer is read to its end and one is left: each request and each call has its record, joined by the id."""
    framework(library)
    printed = run(f"{library}_app.py", tmp_path)
    assert "Your parcel left our warehouse this morning." in printed
    file = tmp_path / ".demo" / f"{library}.jsonl"
    records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    requests = {one["request_id"]: one for one in records if one.get("event") == "http.request"}
    calls = {one["request_id"]: one for one in records if one.get("event") == "llm.call"}
    assert requests.keys() == calls.keys() == {"read-to-the-end", "left-early"}
    for request_id, outcome in (("read-to-the-end", "completed"), ("left-early", "cancelled")):
        request, call = requests[request_id], calls[request_id]
        assert (request["outcome"], call["outcome"]) == (outcome, outcome)
        assert (request["http_route"], request["http_status"], request["request_calls"]) == (route, 200, 1)
        assert request["request_cost_usd"] == call["cost_usd"] > 0
        assert (call["feature"], call["http_path"]) == ("orders", "/orders/77/answer")
    assert requests["left-early"]["ended_by"] == calls["left-early"]["ended_by"] == "client_disconnect"


def test_structlog(tmp_path: Path) -> None:
    """structlog's events and the call's record are lines of one log, redacted, with one request id."""
    framework("structlog")
    printed = [json.loads(line) for line in run("structlog_app.py", tmp_path).splitlines() if line.startswith("{")]
    asked, call, answered = [record for record in printed if record["logger"] in ("shop", "llmlog.calls")]
    assert (asked["message"], asked["customer"], asked["service"]) == ("asked", "<EMAIL>", "shop")
    assert asked["request_id"] == call["request_id"] == answered["request_id"]
    assert answered["output_tokens"] == call["output_tokens"]
    assert answered["cost_usd"] == call["cost_usd"]


def test_langchain(tmp_path: Path) -> None:
    """Two runs of one chain: read to the end, and left; each with its search."""
    framework("langchain_openai")
    assert "Your parcel left our warehouse this morning." in run("langchain_app.py", tmp_path)
    file = tmp_path / ".demo" / "langchain.jsonl"
    whole, left = records(file)
    assert [(one["outcome"], one["user_id"], one["chain_name"]) for one in (whole, left)] == [
        ("completed", "ann", "support"), ("aborted", "bob", "support"),
    ]  # fmt: skip
    searches = records(file, "llm.retrieval")
    assert [one["document_ids"] for one in searches] == [["faq-7"]] * 2
    assert searches[0]["chain_id"] == whole["chain_id"] != left["chain_id"]


def test_langserve(tmp_path: Path) -> None:
    """Two callers from afar, one of whom hangs up: request and call say so, under the callers' ids."""
    framework("langserve")
    printed = run("langserve_app.py", tmp_path)
    assert "Your parcel left our warehouse this morning." in printed
    file = tmp_path / ".demo" / "langserve.jsonl"
    expected = [("left-early", "cancelled"), ("read-to-the-end", "completed")]
    for event in ("http.request", "llm.call"):
        assert sorted((one["request_id"], one["outcome"]) for one in records(file, event)) == expected
    assert {one["http_route"] for one in records(file, "http.request")} == {"/support/stream"}
    assert {one["chain_name"] for one in records(file)} == {"/support"}


def test_litellm(tmp_path: Path) -> None:
    """A fallback, whose attempts share a parent, and a stream that is left."""
    if importlib.util.find_spec("litellm") is None and "litellm" not in os.environ.get("LLMLOG_REQUIRE", ""):
        pytest.skip("litellm is not installed here: `make litellm` runs this")
    run("litellm_app.py", tmp_path)
    failed, answered, left = records(tmp_path / ".demo" / "litellm.jsonl")
    assert (failed["outcome"], failed["http_status"], answered["outcome"]) == ("error", 404, "completed")
    assert failed["parent_id"] == answered["parent_id"]
    assert (left["outcome"], left["user_id"]) == ("aborted", "bob")
    assert left["output_tokens"] > 5


def test_a_ui_s_callbacks(tmp_path: Path) -> None:
    """The UI has the whole text, the record bears the request's fields."""
    framework("langchain_openai")
    printed = run("gradio_style.py", tmp_path)
    (record,) = records(tmp_path / ".demo" / "gradio.jsonl")
    assert printed.startswith("Your parcel left our warehouse this morning.")
    assert (record["outcome"], record["streamed"], record["conversation_id"]) == ("completed", True, "c-1")
    assert json.loads(printed.splitlines()[-1]) == record


def azure_chunks() -> Iterator[bytes]:
    """What Azure streams: first what its filter found in the prompt, without choices; then the answer."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
    safe = {"hate": {"filtered": False, "severity": "safe"}}
    first = {"id": "", "object": "", "created": 0, "model": "", "choices": [],
             "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": safe}]}  # fmt: skip
    choices: list[dict[str, Any]] = [
        {"delta": {"role": "assistant", "content": ""}, "content_filter_results": {}},
        {"delta": {"content": "Hello"}, "content_filter_results": safe},
        {"delta": {"content": " world"}, "content_filter_results": safe},
        {"delta": {}, "finish_reason": "stop", "content_filter_results": {}},
    ]
    chunks = [first, *({**head, "choices": [{"index": 0, "finish_reason": None, **choice}]} for choice in choices)]
    usage = {"prompt_tokens": 12, "completion_tokens": 2, "total_tokens": 14}
    for chunk in (*chunks, {**head, "choices": [], "usage": usage}):
        yield b"data: " + json.dumps(chunk).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"


def test_a_ui_s_callbacks_with_azure(tmp_path: Path) -> None:
    """Chunks without choices and with empty texts are normal: nothing breaks, nothing is lost."""
    framework("langchain_openai")
    paths = []

    class Azure(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            paths.append(self.path)
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            for chunk in azure_chunks():
                self.wfile.write(chunk)
                self.wfile.flush()

        def log_message(self, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Azure)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        printed = run("gradio_style.py", tmp_path, AZURE_OPENAI_ENDPOINT=endpoint, AZURE_OPENAI_API_KEY="x")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert printed.startswith("Hello world\n")
    assert paths[0].startswith("/openai/deployments/gpt-4o-mini/chat/completions")
    (record,) = records(tmp_path / ".demo" / "gradio.jsonl")
    assert (record["provider"], record["model"], record["outcome"]) == ("azure", "gpt-4o-mini", "completed")
    assert (record["input_tokens"], record["output_tokens"], record["usage_source"]) == (12, 2, "provider")
    assert (record["content_chunks"], record["response_length"]) == (2, 11)
