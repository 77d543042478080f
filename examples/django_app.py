"""Django in one file: the middleware around its ASGI application, and a view that streams.

    python examples/django_app.py        (with OPENAI_API_KEY: the real model)
    uvicorn --app-dir examples django_app:application

In a project of your own the last line of `asgi.py` (or `wsgi.py`, with `WSGIMiddleware`) is what matters. It serves
itself on a free port, asks itself twice, hangs up the second time, and prints the records.
"""
# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import django
import httpx
import uvicorn
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import StreamingHttpResponse
from django.urls import path
from model_server import serve
from openai import AsyncOpenAI

import llmlog
from llmlog.middleware import ASGIMiddleware

RECORDS = Path(".demo/django.jsonl")
settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["127.0.0.1"],
    SECRET_KEY="only-for-this-example",
    LOGGING=llmlog.dict_config(file=str(RECORDS), service="shop"),
)
django.setup()


async def answer(request: Any, order_id: int) -> StreamingHttpResponse:
    llmlog.bind(feature="orders")
    client = llmlog.wrap(AsyncOpenAI())  # reads OPENAI_API_KEY and OPENAI_BASE_URL
    stream = await client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": request.GET["question"]}], stream=True
    )

    async def text() -> AsyncIterator[str]:
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    return StreamingHttpResponse(text(), content_type="text/plain")


urlpatterns = [path("orders/<int:order_id>/answer", answer)]
application = ASGIMiddleware(get_asgi_application(), exclude=["/health"])


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
        config = uvicorn.Config(application, host="127.0.0.1", port=0, lifespan="off", log_config=None)
        server = uvicorn.Server(config)
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
