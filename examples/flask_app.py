"""Flask: the middleware around `wsgi_app`, and a streamed answer whose steps keep the request's context.

    python examples/flask_app.py        (with OPENAI_API_KEY: the real model)
    gunicorn --chdir examples flask_app:app

It serves itself on a free port, asks itself twice, hangs up the second time, and prints the records.
"""
# mypy: disable-error-code="import-not-found,method-assign,untyped-decorator"

from __future__ import annotations

import logging.config
import os
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import httpx
from flask import Flask, Response, request, stream_with_context
from model_server import serve
from openai import OpenAI
from werkzeug.serving import make_server

import llmlog
from llmlog.middleware import WSGIMiddleware

RECORDS = Path(".demo/flask.jsonl")
logging.config.dictConfig(llmlog.dict_config(file=str(RECORDS), service="shop"))
logging.getLogger("werkzeug").setLevel(logging.WARNING)  # its line for each request says less than `http.request`

app = Flask(__name__)
app.wsgi_app = WSGIMiddleware(app.wsgi_app, exclude=["/health"])


@app.get("/orders/<int:order_id>/answer")
def answer(order_id: int) -> Response:
    llmlog.bind(feature="orders")
    client = llmlog.wrap(OpenAI())  # reads OPENAI_API_KEY and OPENAI_BASE_URL
    stream = client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": request.args["question"]}], stream=True
    )

    def text() -> Iterator[str]:
        for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    return Response(stream_with_context(text()), mimetype="text/plain")


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
        server = make_server("127.0.0.1", 0, app)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        ask(f"http://127.0.0.1:{server.server_port}/orders/77/answer")
        server.shutdown()
        thread.join()
        server.server_close()
    llmlog.flush()
    print("\nThe records:", RECORDS.read_text(), sep="\n")


if __name__ == "__main__":
    main()
