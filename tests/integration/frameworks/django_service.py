"""A Django service in one file, for test_django.py: `asgi` and `wsgi` are its applications."""

from __future__ import annotations

import asyncio
import logging.config
import os
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import django
from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import include, path
from django.utils.decorators import sync_and_async_middleware

import llmlog
from llmlog.middleware import ASGIMiddleware, WSGIMiddleware

settings.configure(
    ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="test", DEBUG=False, LOGGING_CONFIG=None, USE_TZ=True,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django_service.sync_middleware",
                "django_service.async_middleware"],
)  # fmt: skip
django.setup()
logging.config.dictConfig(llmlog.dict_config(file=os.environ["RECORDS"], service="django"))
log = logging.getLogger("service")


def sync_middleware(get_response: Any) -> Any:
    """Django runs the application below it in a thread, or this in one."""

    def middleware(request: Any) -> Any:
        response = get_response(request)
        response["X-Seen"] = llmlog.current().get("request_id", "nothing")
        return response

    return middleware


@sync_and_async_middleware
def async_middleware(get_response: Any) -> Any:
    """Runs where the application below it does."""
    if not iscoroutinefunction(get_response):
        return get_response

    async def middleware(request: Any) -> Any:
        return await get_response(request)

    return middleware


def chunk(text: str) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]}


FINISH = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def health(request: Any) -> HttpResponse:
    return HttpResponse("ok")


def sync_view(request: Any, chat_id: int) -> JsonResponse:
    llmlog.bind(user_id="u-7")
    for _ in llmlog.stream([chunk("a"), FINISH], model="gpt-4o-mini"):
        log.info("a piece")
    return JsonResponse({"request_id": llmlog.current()["request_id"]})


async def async_view(request: Any, chat_id: int) -> JsonResponse:
    llmlog.bind(user_id="u-7")
    for _ in llmlog.stream([chunk("a"), FINISH], model="gpt-4o-mini"):
        await asyncio.sleep(0)
        log.info("a piece")
    return JsonResponse({"request_id": llmlog.current()["request_id"]})


def sync_stream(request: Any, chat_id: int) -> StreamingHttpResponse:
    def text() -> Iterator[str]:
        for one in llmlog.stream([chunk("Hello"), chunk(" world"), FINISH], model="gpt-4o-mini"):
            log.info("a piece")
            yield one["choices"][0]["delta"].get("content", "")

    return StreamingHttpResponse(text(), content_type="text/plain")


async def async_stream(request: Any, chat_id: int) -> StreamingHttpResponse:
    async def text() -> AsyncIterator[str]:
        for one in llmlog.stream([chunk("Hello"), chunk(" world"), FINISH], model="gpt-4o-mini"):
            log.info("a piece")
            yield one["choices"][0]["delta"].get("content", "")

    return StreamingHttpResponse(text(), content_type="text/plain")


def sync_endless(request: Any, chat_id: int) -> StreamingHttpResponse:
    def text() -> Iterator[str]:
        def chunks() -> Iterator[Any]:
            while True:
                yield chunk("word " * 200)
                time.sleep(0.005)

        for one in llmlog.stream(chunks(), model="gpt-4o-mini"):
            yield one["choices"][0]["delta"]["content"]

    return StreamingHttpResponse(text(), content_type="text/plain")


async def async_endless(request: Any, chat_id: int) -> StreamingHttpResponse:
    async def text() -> AsyncIterator[str]:
        async def chunks() -> AsyncIterator[Any]:
            while True:
                yield chunk("word ")
                await asyncio.sleep(0.005)

        async for one in llmlog.stream(chunks(), model="gpt-4o-mini"):
            yield one["choices"][0]["delta"]["content"]

    return StreamingHttpResponse(text(), content_type="text/plain")


def broken(request: Any) -> HttpResponse:
    raise ZeroDivisionError


def server_error(request: Any) -> HttpResponse:
    """Django's own handler of errors."""
    return JsonResponse({"request_id": llmlog.current().get("request_id")}, status=500)


handler500 = server_error
chats = [
    path("<int:chat_id>/sync", sync_view), path("<int:chat_id>/async", async_view),
    path("<int:chat_id>/sync-stream", sync_stream), path("<int:chat_id>/async-stream", async_stream),
    path("<int:chat_id>/sync-endless", sync_endless), path("<int:chat_id>/async-endless", async_endless),
]  # fmt: skip
urlpatterns = [path("health", health), path("broken", broken), path("chats/", include(chats))]

asgi = ASGIMiddleware(get_asgi_application(), exclude=["/health"])
wsgi = WSGIMiddleware(get_wsgi_application(), exclude=["/health"])
