"""The real openai client, sync and async, against the server that the examples and other tests talk to."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from model_server import MODELS, Answer, Model, Script, serve

ASK = [{"role": "user", "content": "Where is my parcel?"}]
LOOK_UP = {
    "type": "function",
    "function": {
        "name": "order_status",
        "parameters": {
            "type": "object",
            "properties": {
                "order": {"type": "integer"},
                "detail": {"type": "string", "enum": ["short", "long"]},
            },
        },
    },
}


def ask(text: str) -> list[Any]:
    """The messages of a question."""
    return [{"role": "user", "content": text}]


def text_of(chunks: list[Any]) -> str:
    """The streamed answer, put together."""
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


@pytest.fixture(scope="module")
def model() -> Model:
    """A model without delays."""
    return Model(pace=0)


@pytest.fixture(scope="module")
def base_url(model: Model) -> Iterator[str]:
    """The server's address."""
    with serve(model) as url:
        yield url


@pytest.fixture
def client(base_url: str) -> Iterator[OpenAI]:
    """A client that gives up at once."""
    with OpenAI(base_url=base_url, api_key="sk-demo", max_retries=0, timeout=5) as client:
        yield client


@pytest.fixture
def endings(model: Model) -> Any:
    """What became of the requests of this test."""
    while not model.endings.empty():
        model.endings.get()
    return model.endings


def test_a_streamed_answer(client: OpenAI) -> None:
    """The first chunk has the role, the last one the finish reason, and nothing asked for usage."""
    chunks = list(client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[0].choices[0].delta.content == ""
    assert "carrier" in text_of(chunks)
    assert [c.choices[0].finish_reason for c in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert {c.model for c in chunks} == {MODELS["gpt-4o-mini"]}
    assert {c.id for c in chunks} == {chunks[0].id}
    assert chunks[0].id.startswith("chatcmpl-")
    assert all(c.usage is None for c in chunks)


def test_usage_on_request(client: OpenAI) -> None:
    """One more chunk, without choices, has the usage; in the others it is null."""
    chunks = list(
        client.chat.completions.create(
            model="gpt-4o", messages=ASK, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[-1].choices == []
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.completion_tokens > 20
    assert all(c.usage is None and "usage" in c.model_fields_set for c in chunks[:-1])


def test_the_bytes_on_the_wire(base_url: str) -> None:
    """Each event is one `data:` line and an empty one, and the last one is the end mark."""
    body = {"model": "gpt-4o-mini", "messages": ASK, "stream": True}
    response = httpx.post(f"{base_url}/chat/completions", json=body, headers={"authorization": "Bearer sk-demo"})
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-request-id"].startswith("req_")
    *events, end, rest = response.text.split("\n\n")
    assert (end, rest) == ("data: [DONE]", "")
    first = json.loads(events[0].removeprefix("data: "))
    assert first["object"] == "chat.completion.chunk"
    assert first["choices"] == [
        {
            "index": 0,
            "delta": {"role": "assistant", "content": "", "refusal": None},
            "logprobs": None,
            "finish_reason": None,
        }
    ]


def test_a_whole_answer_says_the_same(client: OpenAI) -> None:
    """Streamed or not: the same text and the same usage."""
    whole = client.chat.completions.create(model="gpt-4o-mini", messages=ASK)
    streamed = list(
        client.chat.completions.create(
            model="gpt-4o-mini", messages=ASK, stream=True, stream_options={"include_usage": True}
        )
    )
    assert whole.choices[0].message.content == text_of(streamed)
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage == streamed[-1].usage


def test_a_length_limit(client: OpenAI) -> None:
    """`max_tokens` ends the answer, and the finish reason says so."""
    chunks = list(client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True, max_tokens=5))
    assert chunks[-1].choices[0].finish_reason == "length"
    assert len(text_of(chunks).split()) <= 5


@pytest.mark.parametrize("stream", [True, False])
def test_a_tool_call(client: OpenAI, stream: bool) -> None:
    """The arguments come in pieces and fit the schema; after the tool's result there is an answer."""
    messages = ask("[tool] Where is order 3?")
    calls: dict[str, Any] = {"model": "gpt-4o-mini", "messages": messages, "tools": [LOOK_UP]}
    if stream:
        chunks = list(client.chat.completions.create(**calls, stream=True))
        deltas = [c.choices[0].delta.tool_calls[0] for c in chunks if c.choices[0].delta.tool_calls]
        call_id, name = deltas[0].id, deltas[0].function.name
        given = "".join(d.function.arguments for d in deltas)
        assert len(deltas) > 3
        assert chunks[-1].choices[0].finish_reason == "tool_calls"
    else:
        choice = client.chat.completions.create(**calls).choices[0]
        call = choice.message.tool_calls[0]
        call_id, name, given = call.id, call.function.name, call.function.arguments
        assert choice.finish_reason == "tool_calls"
    assert call_id.startswith("call_")
    assert name == "order_status"
    assert json.loads(given) == {"order": 3, "detail": "short"}

    function = {"name": name, "arguments": given}
    messages += [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": call_id, "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": call_id, "content": "packed"},
    ]
    answer = client.chat.completions.create(**calls).choices[0]
    assert answer.finish_reason == "stop"
    assert answer.message.content


def test_a_refusal(client: OpenAI) -> None:
    """It stands in the field `refusal`, not in the content."""
    chunks = list(client.chat.completions.create(model="gpt-4o-mini", messages=ask("[refuse] please"), stream=True))
    assert text_of(chunks) == ""
    assert "".join(c.choices[0].delta.refusal or "" for c in chunks).startswith("I cannot")


def test_an_echo(client: OpenAI) -> None:
    """The answer repeats what was asked, without the markers, and in any script."""
    chunks = list(
        client.chat.completions.create(model="gpt-4o-mini", messages=ask("[echo] mél: zoë@例え.jp 🙂"), stream=True)
    )
    assert text_of(chunks).startswith("You wrote: mél: zoë@例え.jp 🙂\n")


@pytest.mark.parametrize("stream", [True, False])
def test_errors_before_the_answer(client: OpenAI, stream: bool) -> None:
    """Each status is the SDK's own exception, with the headers it looks at."""

    def sent(text: str, model: str = "gpt-4o-mini") -> Any:
        return client.chat.completions.create(model=model, messages=ask(text), stream=stream)

    with pytest.raises(openai.RateLimitError) as limited:
        sent("[429]")
    assert limited.value.response.headers["retry-after"] == "1"
    assert limited.value.code == "rate_limit_exceeded"
    with pytest.raises(openai.InternalServerError):
        sent("[error]")
    with pytest.raises(openai.AuthenticationError) as wrong:
        sent("[401]")
    assert wrong.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError, match="gpt-99"):
        sent("hello", model="gpt-99")


def test_a_wrong_key(base_url: str) -> None:
    """It is refused, and the message does not repeat it."""
    with (
        OpenAI(base_url=base_url, api_key="sk-wrong-123456789", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as wrong,
    ):
        client.chat.completions.create(model="gpt-4o-mini", messages=ASK)
    assert "123456789" not in str(wrong.value)


def test_a_request_that_makes_no_sense(base_url: str) -> None:
    """400, with an error object."""
    headers = {"authorization": "Bearer sk-demo"}
    for content in (b"", b"[]", b"{", b'{"model": "gpt-4o"}', b'{"model": "gpt-4o", "messages": []}'):
        response = httpx.post(f"{base_url}/chat/completions", content=content, headers=headers)
        assert response.status_code == 400
        assert response.json()["error"]["type"] == "invalid_request_error"


def test_retries_are_requests_of_their_own(base_url: str, model: Model) -> None:
    """The server counts every attempt."""
    before = model.received
    with OpenAI(base_url=base_url, api_key="sk-demo", max_retries=1) as client:
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model="gpt-4o-mini", messages=ask("[error]"))
    assert model.received == before + 2


def test_the_models(client: OpenAI) -> None:
    """All of them are listed."""
    assert [m.id for m in client.models.list()] == list(MODELS)


def test_a_cut_connection(client: OpenAI, endings: Any) -> None:
    """Half of the answer arrives, then the client's error about an incomplete body."""
    stream = client.chat.completions.create(model="gpt-4o-mini", messages=ask("[cut]"), stream=True)
    got: list[Any] = []
    with pytest.raises((openai.APIConnectionError, httpx.RemoteProtocolError)):
        got.extend(stream)
    assert len(text_of(got)) > 20
    assert endings.get(timeout=5) == "cut"


@pytest.mark.parametrize("marker", ["[cut]", "[short]"])
def test_a_cut_whole_answer(client: OpenAI, marker: str) -> None:
    """The same without streaming."""
    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(model="gpt-4o-mini", messages=ask(marker))


def test_a_stream_that_ends_too_soon(client: OpenAI, endings: Any) -> None:
    """Half of the answer and no error: only the finish reason is missing."""
    chunks = list(client.chat.completions.create(model="gpt-4o-mini", messages=ask("[short]"), stream=True))
    assert len(text_of(chunks)) > 20
    assert {chunk.choices[0].finish_reason for chunk in chunks} == {None}
    assert endings.get(timeout=5) == "short"


def test_a_stall(client: OpenAI, endings: Any) -> None:
    """Half of the answer arrives, then the client's timeout; its hang-up ends the work at the server."""
    impatient = client.with_options(timeout=0.3)
    stream = impatient.chat.completions.create(model="gpt-4o-mini", messages=ask("[stall]"), stream=True)
    got: list[Any] = []
    with pytest.raises((openai.APITimeoutError, httpx.ReadTimeout)):
        got.extend(stream)
    assert len(text_of(got)) > 20
    stream.close()
    assert endings.get(timeout=5) == "hung up"


def test_an_error_in_the_middle(client: OpenAI, endings: Any) -> None:
    """An event with an error object, after half of the answer."""
    stream = client.chat.completions.create(model="gpt-4o-mini", messages=ask("[error-mid]"), stream=True)
    got: list[Any] = []
    with pytest.raises(openai.APIError, match="failed"):
        got.extend(stream)
    assert len(text_of(got)) > 20
    assert endings.get(timeout=5) == "error"


def test_a_marker_in_a_header(client: OpenAI) -> None:
    """`X-Script` does what a marker does."""
    with pytest.raises(openai.InternalServerError):
        client.with_options(default_headers={"X-Script": "error"}).chat.completions.create(
            model="gpt-4o-mini", messages=ASK
        )


async def talk(base_url: str, endings: Any) -> None:
    """One conversation of the async client: an answer, a cut, a break."""
    async with AsyncOpenAI(base_url=base_url, api_key="sk-demo", max_retries=0, timeout=5) as client:
        stream = await client.chat.completions.create(
            model="gpt-4.1-mini", messages=ASK, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        assert "carrier" in text_of(chunks)
        assert chunks[-1].usage is not None
        assert endings.get(timeout=5) == "answered"

        with pytest.raises((openai.APIConnectionError, httpx.RemoteProtocolError)):
            async for _ in await client.chat.completions.create(
                model="gpt-4.1-mini", messages=ask("[cut]"), stream=True
            ):
                pass
        assert endings.get(timeout=5) == "cut"

        async with await client.chat.completions.create(
            model="gpt-4.1-mini", messages=ask("[stall]"), stream=True
        ) as stream:
            async for chunk in stream:
                if chunk.choices[0].delta.content:
                    break
        assert endings.get(timeout=5) == "hung up"


def test_the_async_client(base_url: str, endings: Any) -> None:
    """The same server, asynchronously; a consumer that leaves stops the server's work."""
    asyncio.run(talk(base_url, endings))


def test_it_stops_cleanly_with_an_answer_open() -> None:
    """No thread is left, no socket and no warning about one, and uvicorn's loggers are as before."""
    before = threading.active_count()
    level = logging.getLogger("uvicorn.error").level
    with serve(pace=0) as base_url:
        client = OpenAI(base_url=base_url, api_key="sk-demo", max_retries=0, timeout=5)
        stream = client.chat.completions.create(model="gpt-4o-mini", messages=ask("[stall]"), stream=True)
        next(iter(stream))
    stream.close()
    client.close()
    gc.collect()
    assert threading.active_count() == before
    assert logging.getLogger("uvicorn.error").level == level


def test_paced_like_a_model() -> None:
    """The first piece waits longer than the others, by the figures given; `pace` and [slow] multiply them."""
    model = Model(pace=2, first_token=(1.0, 1.0), per_token=(0.25, 0.25))
    answer = Answer(Script(["a", "b"]), {"model": "gpt-4o"})
    assert [pause for pause, _ in model._paced(answer.events())] == [2.0, 0.5, 0.5, 0.5, 0.5]
    assert [pause for pause, _ in model._paced(answer.events(), slow=True)] == [2.0, 10.0, 10.0, 10.0, 10.0]
