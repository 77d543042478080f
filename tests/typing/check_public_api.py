"""What a type checker has to see: run by mypy, never executed. `assert_type` fails the check where it differs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any, assert_type
from wsgiref.types import WSGIApplication

import anthropic
import openai
from anthropic.resources.messages import AsyncMessages
from anthropic.types import RawMessageStreamEvent
from asgiref.typing import ASGI3Application
from fastapi import FastAPI
from google import genai
from openai.types.chat import ChatCompletionChunk

import llmlog
from llmlog.middleware import ASGIMiddleware, WSGIMiddleware


@llmlog.request
def plain(a: int) -> str:
    return str(a)


@llmlog.request("id", feature="f")
async def coroutine(a: int) -> str:
    return str(a)


async def check(
    sdk: openai.Stream[ChatCompletionChunk],
    asdk: openai.AsyncStream[ChatCompletionChunk],
    pieces: Iterator[str],
    apieces: AsyncIterator[str],
    messages: anthropic.Stream[RawMessageStreamEvent],
) -> None:
    assert_type(plain(1), str)
    assert_type(await coroutine(1), str)
    # A wrapped client is the client; a wrapped SDK stream is the SDK's stream.
    assert_type(llmlog.wrap(openai.OpenAI()), openai.OpenAI)
    assert_type(llmlog.unwrap(openai.AsyncOpenAI()), openai.AsyncOpenAI)
    assert_type(llmlog.wrap(openai.AzureOpenAI(), ask_usage=True, team="search"), openai.AzureOpenAI)
    assert_type(llmlog.wrap(anthropic.Anthropic()), anthropic.Anthropic)
    assert_type(llmlog.wrap(anthropic.AsyncAnthropic()).messages, AsyncMessages)
    assert_type(llmlog.wrap(genai.Client()), genai.Client)
    assert_type(llmlog.stream(sdk), openai.Stream[ChatCompletionChunk])
    assert_type(llmlog.stream(asdk), openai.AsyncStream[ChatCompletionChunk])
    assert_type(llmlog.stream(messages), anthropic.Stream[RawMessageStreamEvent])
    # Other iterables gain with and close.
    assert_type(llmlog.stream(pieces), llmlog.Stream[str])
    assert_type(llmlog.stream(apieces), llmlog.AsyncStream[str])
    with llmlog.stream(pieces) as stream:
        for piece in stream:
            assert_type(piece, str)
        stream.close()
    async with llmlog.stream(apieces) as astream:
        async for piece in astream:
            assert_type(piece, str)
        await astream.aclose()
    with llmlog.call(model="m") as call:
        assert_type(call, llmlog.Call)
        assert_type(call.finish({"a": 1}), dict[str, int])
    with llmlog.request(user_id=1) as context:
        assert_type(context, llmlog.Context)
        assert_type(context["request_id"], Any)
    assert_type(llmlog.carry(plain)(1), str)
    assert_type(llmlog.count_tokens("a", "gpt-4o"), llmlog.TokenCount)
    assert_type(llmlog.cost(llmlog.Usage(1, 2), "gpt-4o"), Decimal | None)
    assert_type(llmlog.flush(), bool)
    assert_type(llmlog.extract({"a": "b"}), dict[str, str])


def check_middleware(fastapi_app: FastAPI, asgi: ASGI3Application, wsgi: WSGIApplication) -> None:
    # What frameworks and servers call an application is one, before it and after it; the options are checked by name.
    ASGIMiddleware(fastapi_app, trusted=False, exclude=["/health"], client="absent")
    outermost: ASGI3Application = ASGIMiddleware(asgi, header=None)
    fastapi_app.add_middleware(ASGIMiddleware, log_requests=False)
    around: WSGIApplication = WSGIMiddleware(wsgi, fields={"team": "search"})
    WSGIMiddleware(around, client="hidden")  # type: ignore[arg-type]
    ASGIMiddleware(outermost, headers=[])  # type: ignore[call-arg]
