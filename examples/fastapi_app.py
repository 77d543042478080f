"""FastAPI: one line of middleware, and each request has its id, its context and its record.

    python examples/fastapi_app.py        (with OPENAI_API_KEY: the real model)

It serves itself on a free port, asks itself twice, hangs up the second time, and prints the records.
"""

from __future__ import annotations

import logging.config
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import nullcontext
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from model_server import serve
from openai import AsyncOpenAI

import llmlog
from llmlog.middleware import ASGIMiddleware

RECORDS = Path(".demo/fastapi.jsonl")
logging.config.dictConfig(llmlog.dict_config(file=str(RECORDS), service="shop"))

app = FastAPI()
app.add_middleware(ASGIMiddleware, exclude=["/health"])  # the last one added stands outside of the others


@app.get("/orders/{order_id}/answer")
async def answer(order_id: int, question: str) -> StreamingResponse:
    llmlog.bind(feature="orders")
    client = llmlog.wrap(AsyncOpenAI())  # reads OPENAI_API_KEY and OPENAI_BASE_URL
    stream = await client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": question}], stream=True
    )

    async def text() -> AsyncIterator[str]:
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    return StreamingResponse(text(), media_type="text/plain")


def ask(url: str) -> None:
    """Read one answer to its end, and leave the next after its first piece."""
    for request_id in ("read-to-the-end", "left-early"):
        headers = {"X-Request-ID": request_id}
        with httpx.stream("GET", url, params={"question": "Where is my parcel?"}, headers=headers) as response:
            for piece in response.iter_text():
                print(piece, end="", flush=True)
                if request_id == "left-early":
                    break
        print(f"\n[{response.headers['x-request-id']}]")


def main() -> None:
    with nullcontext() if "OPENAI_API_KEY" in os.environ else serve() as base_url:
        if base_url:
            os.environ.update(OPENAI_BASE_URL=base_url, OPENAI_API_KEY="sk-demo")
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        ask(f"http://127.0.0.1:{port}/orders/77/answer")
        server.should_exit = True
        thread.join()
    llmlog.flush()
    print("\nThe records:", RECORDS.read_text(), sep="\n")


if __name__ == "__main__":
    main()
