"""A server that speaks OpenAI's chat completions, for demos and tests: no key, no network, no bill.

What it sends has the real API's shape: server-sent events paced like a model, the usage chunk when
`stream_options` asks for it, error objects with their status and headers. It also fails as the real one
does: a marker in the last user message (or in the header `X-Script`, without the brackets) says how.

    [cut]        the connection is cut in the middle of the answer
    [short]      the same, but the HTTP response ends as if it were whole
    [stall]      the answer stops in the middle and the connection stays open
    [error-mid]  an error event in the middle of the stream
    [error]      500
    [429]        429, with Retry-After
    [401]        401, as a missing key and any `sk-wrong...` get it
    [slow]       each token of a stream after the first one takes twenty times as long
    [tool]       a call of the first tool offered
    [refuse]     a refusal
    [echo]       the answer repeats the question

    with serve() as base_url:
        client = OpenAI(base_url=base_url, api_key="sk-demo")

`python examples/model_server.py [PORT]` keeps it running, for anything that takes a base URL.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
import secrets
import socket
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Literal

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

import llmlog
from llmlog import testing
from llmlog.testing.scripts import Then

__all__ = ["MODELS", "Model", "Script", "serve"]

MODELS = {
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4.1": "gpt-4.1-2025-04-14",
}
"""The models it serves, and the dated name that each one answers with."""

ANSWERS = {
    "refund": (
        "A refund goes back to the card that paid. It is booked on the day the parcel reaches us, and most "
        "banks show it within five working days. If two weeks have passed, send us the order number."
    ),
    "parcel": (
        "Your parcel left our warehouse this morning. The carrier hands it over on the next working day, "
        "as a rule before noon. You can follow it with the number in your confirmation."
    ),
    "password": (
        "Open the sign-in page and choose the link below the form. We send a letter with a code that is "
        "good for ten minutes. Nobody of ours will ever ask you for it, and your old devices are signed out."
    ),
}
"""What the model says where the question has the word."""

OTHERWISE = (
    "That depends on what you would like to do with it. For most people the simple way is enough: begin with "
    "one small case, look at what comes out, and widen it from there. Tell me more, and I can be more exact."
)
REFUSAL = "I cannot help with this request."
AFTER_A_TOOL = "I have looked it up. The order was packed today and is on its way. Expect it tomorrow before noon."

Kind = Literal["text", "refusal", "tool"]
Fault = Literal["cut", "short", "stall", "error"]
FAULTS: dict[str, Fault] = {"cut": "cut", "short": "short", "stall": "stall", "error-mid": "error"}
MARKER = re.compile(r"\[([a-z0-9-]+)\]")


@dataclass(frozen=True)
class Script:
    """What the model does with one request: the pieces it sends, and what goes wrong half-way."""

    pieces: Sequence[str]
    kind: Kind = "text"
    tool: str = ""
    finish_reason: str = "stop"
    fault: Fault | None = None

    @property
    def sent(self) -> Sequence[str]:
        """The pieces that get out."""
        return self.pieces if self.fault is None else self.pieces[: max(1, len(self.pieces) // 2)]


class Failure(Exception):
    """An answer that is an error object."""

    def __init__(self, status: int, message: str, kind: str, code: str | None = None, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def server_error() -> Failure:
    return Failure(500, "The server failed at this request. It may be sent again.", "server_error")


# What the model says


def last_question(messages: Sequence[Mapping[str, Any]]) -> str:
    """The text of the last user message."""
    for message in reversed(messages):
        if message.get("role") == "user":
            content = message.get("content") or ""
            if isinstance(content, str):
                return content
            return " ".join(part.get("text", "") for part in content if part.get("type") == "text")
    return ""


def split(text: str) -> list[str]:
    """`text` in pieces about as long as tokens."""
    return re.findall(r"\s*\w{1,8}|\s*[^\w\s]+|\s+", text)


def arguments(tool: Mapping[str, Any]) -> str:
    """Arguments that fit the tool's schema: the first choice, or something of the right type."""
    samples = {"string": "Lisbon", "integer": 3, "number": 1.5, "boolean": True, "array": [], "object": {}}
    properties = tool.get("parameters", {}).get("properties", {})
    values = {
        name: schema["enum"][0] if schema.get("enum") else samples.get(schema.get("type"), "Lisbon")
        for name, schema in properties.items()
    }
    return json.dumps(values)


def script_for(body: Mapping[str, Any], marks: set[str]) -> Script:
    """What the model does with this request."""
    fault = next((FAULTS[mark] for mark in FAULTS if mark in marks), None)
    messages: Sequence[Mapping[str, Any]] = body["messages"]
    question = last_question(messages)
    tools = [tool["function"] for tool in body.get("tools") or () if tool.get("type") == "function"]
    if messages[-1].get("role") == "tool":
        text = AFTER_A_TOOL
    elif tools and "tool" in marks:
        tool = tools[0]
        return Script(split(arguments(tool)), "tool", tool["name"], "tool_calls", fault)
    elif "refuse" in marks:
        return Script(split(REFUSAL), "refusal", fault=fault)
    else:
        text = next((text for word, text in ANSWERS.items() if word in question.lower()), OTHERWISE)
        if "echo" in marks:
            text = f"You wrote: {MARKER.sub('', question).strip()}\n\n{text}"
    pieces = split(text)
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if limit and limit < len(pieces):
        return Script(pieces[:limit], finish_reason="length", fault=fault)
    return Script(pieces, fault=fault)


# How it goes over the wire


@dataclass(frozen=True)
class Answer:
    """One answer's wire form, streamed or whole: that of `llmlog.testing`, with ids and counts like the real one's."""

    script: Script
    body: Mapping[str, Any]
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_urlsafe(21)}")
    call_id: str = field(default_factory=lambda: f"call_{secrets.token_urlsafe(18)}")

    def usage(self) -> llmlog.Usage:
        """The tokens of the request and of the whole answer, counted with the model's own encoding."""
        model = self.body["model"]
        prompt = llmlog.count_tokens(self.body["messages"], model, tools=self.body.get("tools"))
        completion = llmlog.count_tokens(self.script.tool + "".join(self.script.pieces), model)
        return llmlog.Usage(input_tokens=int(prompt), output_tokens=int(completion))

    def _scripted(self, pieces: Sequence[str], *, then: Then = "end", usage: bool) -> testing.Script:
        script = self.script
        tool = [testing.ToolCall(script.tool, pieces, self.call_id)] if script.kind == "tool" else []
        return testing.Script(
            [] if tool else pieces,
            then,
            tool_calls=tool,
            refusal=script.kind == "refusal",
            finish_reason=script.finish_reason,
            model=MODELS[self.body["model"]],
            usage=self.usage() if usage else False,
        )

    def events(self) -> Iterator[bytes]:
        """The server-sent events of the streamed answer, as far as the script gets."""
        fault = self.script.fault
        asked = fault is None and bool((self.body.get("stream_options") or {}).get("include_usage"))
        then: Then = "end" if fault is None else "hang" if fault == "stall" else fault
        return testing.openai_events(self._scripted(self.script.sent, then=then, usage=asked), self.body, id=self.id)

    def whole(self) -> bytes:
        """The answer in one piece."""
        scripted = self._scripted(self.script.pieces, usage=True)
        return json.dumps(testing.openai_answer(scripted, self.body, id=self.id), ensure_ascii=False).encode()


class Paced(Response):
    """A body sent piece by piece, with a pause before each, till its end or its reader's."""

    def __init__(
        self,
        pieces: Iterable[tuple[float, bytes]],
        *,
        fault: Fault | None,
        endings: SimpleQueue[str],
        headers: Mapping[str, str],
        media_type: str,
    ) -> None:
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        self.pieces = pieces
        self.fault = fault
        self.endings = endings
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with asyncio.TaskGroup() as group:  # whichever of the two ends first ends the other one
            sending = group.create_task(self._send(send))
            waiting = group.create_task(self._wait_for_hang_up(receive))
            sending.add_done_callback(lambda _: waiting.cancel())
            waiting.add_done_callback(lambda _: sending.cancel())

    async def _wait_for_hang_up(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def _send(self, send: Send) -> None:
        ending = "hung up"
        try:
            started = False
            for pause, piece in self.pieces:
                await asyncio.sleep(pause)
                if not started:  # like the real one: the headers come with the first token
                    await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                    started = True
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            if self.fault == "stall":
                await asyncio.Event().wait()
            if self.fault != "cut":  # without an end, the server closes the connection
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            ending = self.fault or "answered"
        finally:
            self.endings.put(ending)


class Model:
    """The server's state: how fast it is, and what it has seen.

    `pace` multiplies all delays (0: none). `received` counts the chat completions that were asked for, and
    `endings` gets for each "answered", "refused" (an error's status), "hung up" or the fault's name.
    """

    def __init__(
        self,
        *,
        pace: float = 1.0,
        first_token: tuple[float, float] = (0.15, 0.4),
        per_token: tuple[float, float] = (0.015, 0.04),
        seed: int = 1,
    ) -> None:
        self.pace = pace
        self.first_token = first_token
        self.per_token = per_token
        self.received = 0
        self.endings: SimpleQueue[str] = SimpleQueue()
        self._random = random.Random(seed)

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/v1/chat/completions", self._complete, methods=["POST"]),
                Route("/v1/models", self._models),
            ]
        )

    async def _models(self, request: Request) -> Response:
        common = {"object": "model", "created": 1715367049, "owned_by": "system"}
        return JSONResponse({"object": "list", "data": [{"id": name, **common} for name in MODELS]})

    async def _complete(self, request: Request) -> Response:
        self.received += 1
        headers = {"x-request-id": f"req_{secrets.token_hex(16)}", "openai-version": "2020-10-01"}
        try:
            return await self._answer(request, headers)
        except Failure as failure:
            self.endings.put("refused")
            return JSONResponse(failure.body, failure.status, {**headers, **failure.headers})

    async def _answer(self, request: Request, headers: Mapping[str, str]) -> Response:
        body = checked(await request.body())
        marks = set(MARKER.findall(last_question(body["messages"])))
        marks.update(request.headers.get("x-script", "").split())
        check_key(request.headers.get("authorization", ""), marks)
        if "429" in marks:
            message = "Too many requests of this organisation. Wait a second, then send it again."
            limits = {"x_ratelimit_limit_requests": "500", "x_ratelimit_remaining_requests": "0"}
            raise Failure(429, message, "requests", "rate_limit_exceeded", retry_after="1", **limits)
        script = script_for(body, marks)
        if "error" in marks or (script.fault == "error" and not body.get("stream")):
            raise server_error()
        answer = Answer(script, body)
        if body.get("stream"):
            return Paced(
                self._paced(answer.events(), slow="slow" in marks),
                fault=script.fault,
                endings=self.endings,
                headers={**headers, "cache-control": "no-cache"},
                media_type="text/event-stream",
            )
        whole = answer.whole()
        sent = whole if script.fault is None else whole[: len(whole) // 2]
        thinking = sum(pause for pause, _ in self._paced([b""] * len(script.pieces)))
        return Paced(
            [(thinking, sent)],
            fault="cut" if script.fault == "short" else script.fault,
            endings=self.endings,
            headers={**headers, "content-length": str(len(whole))},
            media_type="application/json",
        )

    def _paced(self, pieces: Iterable[bytes], *, slow: bool = False) -> Iterator[tuple[float, bytes]]:
        delay, pace = self.first_token, self.pace
        for piece in pieces:
            yield self._random.uniform(*delay) * pace, piece
            delay, pace = self.per_token, self.pace * (20 if slow else 1)


def checked(raw: bytes) -> dict[str, Any]:
    """The request's body, if it is one that can be answered."""
    try:
        body = json.loads(raw)
    except ValueError:
        raise Failure(400, "The body of the request is no JSON.", "invalid_request_error") from None
    if not isinstance(body, dict) or not body.get("model") or not body.get("messages"):
        raise Failure(400, "A request has a model and at least one message.", "invalid_request_error")
    if body.get("n") not in (None, 1):
        raise Failure(400, "This server gives one choice: n is 1.", "invalid_request_error")
    if body["model"] not in MODELS:
        message = f"There is no model `{body['model']}`, or you have no access to it."
        raise Failure(404, message, "invalid_request_error", "model_not_found")
    return body


def check_key(authorization: str, marks: set[str]) -> None:
    key = authorization.removeprefix("Bearer ")
    if not key or key.startswith("sk-wrong") or "401" in marks:
        message = f"This API key is not right: {key[:5]}{'*' * 8}{key[-2:]}."
        raise Failure(401, message, "invalid_request_error", "invalid_api_key")


# Running it


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.ready.set()


@contextmanager
def serve(model: Model | None = None, *, pace: float = 1.0) -> Iterator[str]:
    """Run the server in a thread on a free port of 127.0.0.1; gives its base URL, and stops it at the end.

    `pace`: that of the model, where none is given. Answers still open at the end are cut.
    """
    names = ("uvicorn.error", "uvicorn.access", "uvicorn.asgi")
    llmlog.count_tokens("", "gpt-4o")  # the tokenizer is there before the first request, not in the middle of it
    levels = [logging.getLogger(name).level for name in names]
    listener = socket.create_server(("127.0.0.1", 0))
    try:
        server = _Server(
            uvicorn.Config(
                (model or Model(pace=pace)).app(),
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level=logging.CRITICAL,  # a cut connection is no news here
                timeout_graceful_shutdown=0,
            )
        )
        thread = threading.Thread(target=server.run, args=([listener],), name="model-server")
        thread.start()
        try:
            server.ready.wait()
            if not server.started:
                raise RuntimeError("the model server did not start")
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            server.should_exit = True
            thread.join()
    finally:
        listener.close()
        for name, level in zip(names, levels, strict=True):
            logging.getLogger(name).setLevel(level)


if __name__ == "__main__":
    uvicorn.run(Model().app(), port=int(sys.argv[1]) if len(sys.argv) > 1 else 8001)
