"""A service with LLM features, as it is in production: FastAPI, the openai SDK, Python's own logging.

    OPENAI_API_KEY=... uvicorn --app-dir examples app:app
    curl -N localhost:8000/chat -d '{"text": "Where is my parcel?"}' -H 'content-type: application/json'

What llmlog adds: the set-up of logging, `wrap` around the clients, the middleware, and `bind`. Every LLM call
leaves one record in `.demo/llmlog.jsonl`, and every record of a request bears that request's id.
"""

from __future__ import annotations

import json
import logging.config
import os
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import openai
from fastapi import Depends, FastAPI, Header, Request
from fastapi.responses import JSONResponse, StreamingResponse
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

import llmlog
from llmlog.middleware import ASGIMiddleware

logging.config.dictConfig(llmlog.dict_config(file=".demo/llmlog.jsonl", service="demo", env="local", level="INFO"))
llmlog.configure(capture=200)  # off by default: the first characters of prompts and responses, redacted
log = logging.getLogger("demo")

# The SDK reads OPENAI_API_KEY and OPENAI_BASE_URL itself. No retries: here each failure is to be seen.
TIMEOUT = float(os.environ.get("DEMO_TIMEOUT", "30"))
client = llmlog.wrap(AsyncOpenAI(max_retries=0, timeout=TIMEOUT), ask_usage=True)
sync_client = llmlog.wrap(OpenAI(max_retries=0, timeout=TIMEOUT))


class Question(BaseModel):
    """What is asked, and by whom."""

    text: str
    email: str | None = None
    model: str = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")

    @property
    def messages(self) -> list[Any]:
        """The prompt."""
        rules = "You answer questions of a shop's customers, in a few sentences."
        return [{"role": "system", "content": rules}, {"role": "user", "content": self.text}]


async def user(x_user_id: Annotated[str | None, Header()] = None) -> None:
    """From here on, every record of this request says who asked."""
    if x_user_id:
        llmlog.bind(user_id=x_user_id)


app = FastAPI(dependencies=[Depends(user)])
app.add_middleware(ASGIMiddleware)  # at the server's end, what is still open or on its way goes into the log, too


@app.post("/chat")
async def chat(question: Question) -> StreamingResponse:
    """A streamed answer. Where the reader hangs up, the model's work ends too, and the record says so."""
    llmlog.bind(feature="chat")
    log.info("a question: %s", question.text, extra={"asked_by": {"email": question.email}})
    stream = await client.chat.completions.create(model=question.model, messages=question.messages, stream=True)

    async def text() -> AsyncIterator[str]:
        try:
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    yield chunk.choices[0].delta.content
        except Exception:
            log.exception("the answer to %s broke off", question.email or "a guest")
            yield "\n[Sorry, the answer broke off here.]"

    return StreamingResponse(text(), media_type="text/plain")


@app.post("/answer")
async def answer(question: Question) -> dict[str, str | None]:
    """An answer in one piece."""
    llmlog.bind(feature="answer")
    response = await client.chat.completions.create(model=question.model, messages=question.messages)
    return {"answer": response.choices[0].message.content}


@app.post("/teaser")
async def teaser(question: Question) -> dict[str, str]:
    """The first sentence only: the loop is left with `break`, and nobody closes the stream."""
    llmlog.bind(feature="teaser")
    text = ""
    async for chunk in await client.chat.completions.create(
        model=question.model, messages=question.messages, stream=True
    ):
        if chunk.choices:
            text += chunk.choices[0].delta.content or ""
        if "." in text:
            break
    return {"teaser": text}


TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "order_status",
            "description": "How far an order is",
            "parameters": {"type": "object", "properties": {"order": {"type": "integer"}}},
        },
    }
]


@app.post("/agent")
def agent(question: Question) -> StreamingResponse:
    """A tool, then the answer: two calls of one request, with the synchronous client in a worker thread."""
    return StreamingResponse(agent_steps(question), media_type="text/plain")


@llmlog.request(feature="agent")
def agent_steps(question: Question) -> Iterator[str]:
    """Each step runs in the context of the request, whichever thread takes it."""
    messages = question.messages
    first = sync_client.chat.completions.create(model=question.model, messages=messages, tools=TOOLS)
    message = first.choices[0].message
    messages.append(message.model_dump(exclude_none=True))
    for call in message.tool_calls or ():
        log.info("the model asks for %s", call.id)
        yield "[looking up the order]\n"
        messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps({"state": "packed"})})
    for chunk in sync_client.chat.completions.create(model=question.model, messages=messages, tools=TOOLS, stream=True):
        if chunk.choices and chunk.choices[0].delta.content:
            yield chunk.choices[0].delta.content


@app.exception_handler(openai.OpenAIError)
async def model_failed(request: Request, error: openai.OpenAIError) -> JSONResponse:
    """The caller gets a status; the reason stands in the record of the call."""
    return JSONResponse({"detail": "The model did not answer."}, status_code=502)
