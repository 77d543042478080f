"""A Flask service that streams, for test_flask.py: run by gunicorn, it writes its records to the file RECORDS."""

from __future__ import annotations

import logging.config
import os
import time
from collections.abc import Iterator
from typing import Any

import flask

import llmlog
from llmlog.middleware import WSGIMiddleware

logging.config.dictConfig(llmlog.dict_config(file=os.environ["RECORDS"], service="flask"))
log = logging.getLogger("service")
app = flask.Flask(__name__)


def chunk(text: str) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]}


@app.get("/health")
def health() -> str:
    return "ok"


@app.get("/chats/<int:chat_id>/stream")
def stream(chat_id: int) -> flask.Response:
    llmlog.bind(user_id="u-7")

    @flask.stream_with_context
    def text() -> Iterator[str]:
        finish = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        for one in llmlog.stream([chunk("Hello"), chunk(" world"), finish], model="gpt-4o-mini"):
            log.info("a piece for %s", flask.request.path)
            yield one["choices"][0]["delta"].get("content", "")

    return flask.Response(text(), mimetype="text/plain")


@app.get("/chats/<int:chat_id>/endless")
def endless(chat_id: int) -> flask.Response:
    @flask.stream_with_context
    def text() -> Iterator[str]:
        def chunks() -> Iterator[Any]:
            while True:
                yield chunk("word " * 200)
                time.sleep(0.005)

        for one in llmlog.stream(chunks(), model="gpt-4o-mini"):
            yield one["choices"][0]["delta"]["content"]

    return flask.Response(text(), mimetype="text/plain")


@app.get("/broken")
def broken() -> str:
    raise ZeroDivisionError


@app.get("/half")
def half() -> flask.Response:
    def text() -> Iterator[str]:
        yield "half"
        raise ZeroDivisionError

    return flask.Response(text(), mimetype="text/plain")


@app.get("/file")
def file() -> flask.Response:
    return flask.send_file(__file__)


@app.errorhandler(404)
def not_found(error: Any) -> Any:
    return {"request_id": llmlog.current()["request_id"]}, 404


class Watch:
    """Outside of the middleware: tells what is left in the worker's thread between the steps of a response."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: Any, start_response: Any) -> Any:
        if llmlog.current():
            log.error("the thread has a context that is over")
        result = self.app(environ, start_response)
        if llmlog.current():
            log.error("the context has leaked to the server")
        return result


application = Watch(WSGIMiddleware(app, exclude=["/health"]))
