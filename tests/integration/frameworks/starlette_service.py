"""A Starlette service, for test_starlette.py: run by a real server, it writes its records to the file RECORDS."""

from __future__ import annotations

import asyncio
import logging.config
import os
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

import llmlog
from llmlog.middleware import ASGIMiddleware

logging.config.dictConfig(llmlog.dict_config(file=os.environ["RECORDS"], service="starlette"))
log = logging.getLogger("service")


def chunk(text: str) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]}


FINISH = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


async def health(request: Any) -> Any:
    return PlainTextResponse("ok")


async def streamed(request: Any) -> Any:
    def text() -> Iterator[str]:  # Starlette takes each step of it in a thread
        for one in llmlog.stream([chunk("Hello"), chunk(" world"), FINISH], model="gpt-4o-mini"):
            log.info("a piece")
            yield one["choices"][0]["delta"].get("content", "")

    async def afterwards() -> None:
        log.info("afterwards")

    return StreamingResponse(text(), background=BackgroundTask(afterwards))


async def endless(request: Any) -> Any:
    async def text() -> AsyncIterator[str]:
        async def chunks() -> AsyncIterator[Any]:
            while True:
                yield chunk("word ")
                await asyncio.sleep(0.005)

        async for one in llmlog.stream(chunks(), model="gpt-4o-mini"):
            yield one["choices"][0]["delta"]["content"]

    return StreamingResponse(text())


async def endless_in_threads(request: Any) -> Any:
    def text() -> Iterator[str]:
        def chunks() -> Iterator[Any]:
            while True:
                yield chunk("word ")
                time.sleep(0.005)

        for one in llmlog.stream(chunks(), model="gpt-4o-mini"):
            yield one["choices"][0]["delta"]["content"]

    return StreamingResponse(text())


async def slow(request: Any) -> Any:
    async with asyncio.timeout(0.02):
        await asyncio.Event().wait()


async def teapot(request: Any) -> Any:
    raise HTTPException(418)


async def broken(request: Any) -> Any:
    raise ZeroDivisionError


async def half(request: Any) -> Any:
    async def text() -> AsyncIterator[str]:
        yield "half"
        raise ZeroDivisionError

    return StreamingResponse(text())


async def room(websocket: Any) -> None:
    await websocket.accept()
    await websocket.send_text(llmlog.current()["request_id"])
    await websocket.close(4000)


async def failed(request: Any, error: Exception) -> Any:
    told = {"context": llmlog.current().get("request_id"), "state": request.state.request_id}
    return JSONResponse(told, status_code=getattr(error, "status_code", 500))


class Outside(BaseHTTPMiddleware):
    """Stands outside of ours, and runs it in a task of its own."""

    async def dispatch(self, request: Any, call_next: Any) -> Any:
        request.state.outside = True
        response = await call_next(request)
        response.headers["X-From-Inside"] = getattr(request.state, "from_inside", "nothing")
        return response


class Inside(BaseHTTPMiddleware):
    """Stands inside of ours."""

    async def dispatch(self, request: Any, call_next: Any) -> Any:
        request.state.from_inside = f"{llmlog.current()['request_id']}, {request.state.outside}"
        return await call_next(request)


routes = [
    Route("/health", health), Route("/chats/{chat_id:int}/stream", streamed),
    Route("/chats/{chat_id:int}/endless", endless), Route("/chats/{chat_id:int}/threads", endless_in_threads),
    Route("/slow", slow), Route("/teapot", teapot), Route("/broken", broken), Route("/half", half),
    WebSocketRoute("/ws/{room}", room),
    Mount("/v1", routes=[Route("/items/{item_id}", health)]),
    Mount("/static", StaticFiles(directory=os.path.dirname(__file__))),
]  # fmt: skip
application = Starlette(
    routes=routes,
    middleware=[Middleware(Outside), Middleware(ASGIMiddleware, exclude=["/health"]), Middleware(Inside)],
    exception_handlers={HTTPException: failed, Exception: failed},
)
around = ASGIMiddleware(Starlette(routes=routes, exception_handlers={Exception: failed}), exclude=["/health"])
