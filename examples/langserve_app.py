"""LangServe with llmlog: a chain behind a URL, asked from afar; one id on both sides, and hang-ups are noticed.

    python examples/langserve_app.py        (with OPENAI_API_KEY: the real model)

It serves itself on a free port, asks itself twice by RemoteRunnable, hangs up the second time, and prints the records.
"""

from __future__ import annotations

import logging.config
import os
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from langserve import RemoteRunnable, add_routes  # type: ignore[import-not-found, unused-ignore]
from model_server import serve

import llmlog
from llmlog.integrations.langchain import CallbackHandler
from llmlog.middleware import ASGIMiddleware

RECORDS = Path(".demo/langserve.jsonl")
logging.config.dictConfig(llmlog.dict_config(file=str(RECORDS), service="shop"))


def service(base_url: str | None) -> FastAPI:
    key: Any = os.environ.get("OPENAI_API_KEY", "sk-demo")
    model = ChatOpenAI(model="gpt-4o-mini", base_url=base_url, api_key=key)
    prompt = ChatPromptTemplate.from_messages([("user", "{question}")])
    app = FastAPI()
    app.add_middleware(ASGIMiddleware)
    add_routes(app, (prompt | model | StrOutputParser()).with_config(callbacks=[CallbackHandler()]), path="/support")
    return app


def ask(url: str) -> None:
    """Read one answer to its end, and leave the next after its first piece."""
    for request_id in ("read-to-the-end", "left-early"):
        with llmlog.request(request_id):
            chain = RemoteRunnable(url, headers=llmlog.inject())
            pieces = chain.stream({"question": "Where is my parcel?"})
            for piece in pieces:
                print(piece, end="", flush=True)
                if piece and request_id == "left-early":
                    break
            pieces.close()  # hangs up, if the answer is not over
            print(f"\n[{request_id}]")


def main() -> None:
    with nullcontext(None) if "OPENAI_API_KEY" in os.environ else serve() as base_url:
        server = uvicorn.Server(uvicorn.Config(service(base_url), host="127.0.0.1", port=0, log_config=None))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        ask(f"http://127.0.0.1:{port}/support")
        server.should_exit = True
        thread.join()
    llmlog.flush()
    print("\nThe records:", RECORDS.read_text(), sep="\n")


if __name__ == "__main__":
    main()
