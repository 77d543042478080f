"""Two services over HTTP, one request: the same id and the same trace in both logs, and where the time went.

python examples/two_services.py      (the second service is a process of its own; it brings a model server)

The front takes a question, has the second service answer it, and filters the answer. With opentelemetry-sdk installed
both have spans, and their records bear them; without it (or with SPANS=0), the incoming trace is carried on.
"""

import logging.config
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from model_server import serve
from openai import AsyncOpenAI

import llmlog
from llmlog.integrations.httpx import async_event_hooks

FOLDER = Path(os.environ.get("FOLDER", ".demo/services")).resolve()
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def answering(model_url: str) -> FastAPI:
    """The second service: looks articles up, and asks the model."""
    app = FastAPI()
    client = llmlog.wrap(AsyncOpenAI(base_url=model_url, api_key="sk-demo"))

    @app.get("/answer")
    async def answer(question: str) -> str:
        async with llmlog.timed_event("llm.retrieval", retriever="articles", query_length=len(question)) as found:
            found["document_ids"] = ["a-1"]
        said = await client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": question}]
        )
        return said.choices[0].message.content or ""

    app.add_middleware(llmlog.middleware.ASGIMiddleware)
    return app


def front(answering_url: str) -> FastAPI:
    """The first service: what the user talks to."""
    app = FastAPI()

    @app.get("/ask")
    async def ask(question: str) -> str:
        async with httpx.AsyncClient(event_hooks=async_event_hooks(), timeout=30) as client:
            said: str = (await client.get(f"{answering_url}/answer", params={"question": question})).json()
        async with llmlog.timed_event("app.filter", length=len(said)):
            return said.replace("parcel", "package")

    app.add_middleware(llmlog.middleware.ASGIMiddleware)
    return app


def with_spans(app: FastAPI) -> Any:
    """Around `app`, a span for each request, where OpenTelemetry is installed; else the app as it is."""
    if os.environ.get("SPANS") == "0":
        return app
    try:
        from opentelemetry import propagate, trace
        from opentelemetry.sdk.trace import TracerProvider
    except ImportError:
        return app
    trace.set_tracer_provider(TracerProvider())
    tracer = trace.get_tracer("two_services")

    async def spanned(scope: Any, receive: Any, send: Any) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        with tracer.start_as_current_span(scope["path"], context=propagate.extract(headers)):
            await app(scope, receive, send)

    return spanned


def run(app: Any, listening: socket.socket) -> uvicorn.Server:
    """A server in a thread."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    threading.Thread(target=server.run, args=([listening],), daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    return server


def second_service(descriptor: int) -> None:
    logging.config.dictConfig(llmlog.dict_config(file=FOLDER / "answering.jsonl", service="answering"))
    with serve() as model_url:
        server = run(with_spans(answering(model_url)), socket.socket(fileno=descriptor))
        sys.stdin.read()  # until the first service goes
        server.should_exit = True
    llmlog.flush()


def main() -> None:
    logging.config.dictConfig(llmlog.dict_config(file=FOLDER / "front.jsonl", service="front"))
    behind = socket.create_server(("127.0.0.1", 0))
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "FOLDER": str(FOLDER)}
    command = [sys.executable, __file__, str(behind.fileno())]
    with subprocess.Popen(command, env=here, stdin=subprocess.PIPE, pass_fds=[behind.fileno()]) as second:
        before = socket.create_server(("127.0.0.1", 0))
        server = run(with_spans(front(f"http://127.0.0.1:{behind.getsockname()[1]}")), before)
        headers = {"X-Request-ID": "r-1", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
        url = f"http://127.0.0.1:{before.getsockname()[1]}/ask"
        print(httpx.get(url, params={"question": "Where is my parcel?"}, headers=headers, timeout=60).json())
        server.should_exit = True
        assert second.stdin is not None
        second.stdin.close()
    llmlog.flush()
    for name in ("front", "answering"):
        print((FOLDER / f"{name}.jsonl").read_text(), end="")


if __name__ == "__main__":
    if sys.argv[1:]:
        second_service(int(sys.argv[1]))
    else:
        main()
