"""wrap(): the real openai clients against a local server, sync and async."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Records

import llmlog

openai = pytest.importorskip("openai")
from examples.model_server import serve  # noqa: E402 - it needs what openai brings

MESSAGES: Any = [{"role": "user", "content": "Tell me about the sea, please."}]


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """A chat-completions server that answers at once."""
    with serve(pace=0) as url:
        yield url


@pytest.fixture
def client(base_url: str) -> Iterator[Any]:
    """A wrapped client."""
    with openai.OpenAI(api_key="sk-test", base_url=base_url, max_retries=0) as made:
        assert llmlog.wrap(made, team="search") is made
        yield made


def test_a_whole_answer(client: Any, calls: Records) -> None:
    """A completion that is not streamed: the SDK's own object, and one record."""
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, temperature=0.5, max_tokens=200)
    assert isinstance(answer, openai.types.chat.ChatCompletion)
    record = calls.one()
    assert (record["outcome"], record["streamed"], record["usage_source"]) == ("completed", False, "provider")
    assert (record["provider"], record["model"], record["team"]) == ("openai", "gpt-4o-mini", "search")
    assert record["output_tokens"] == answer.usage.completion_tokens
    assert record["response_length"] == len(answer.choices[0].message.content)
    assert record["response_id"] == answer.id
    assert (record["temperature"], record["max_tokens"]) == (0.5, 200)
    assert record["cost_usd"] > 0


def test_a_streamed_answer(client: Any, calls: Records) -> None:
    """A streamed completion is still the SDK's Stream."""
    stream = client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True)
    assert isinstance(stream, openai.Stream)
    assert stream.response.status_code == 200
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    record = calls.one()
    assert (record["outcome"], record["ended_by"], record["finish_reason"]) == ("completed", "exhausted", "stop")
    assert (record["response_length"], record["usage_source"]) == (len(text), "estimated")
    assert 0 < record["ttft_ms"] <= record["latency_ms"]
    assert record["wait_ms"] <= record["latency_ms"] <= record["wait_ms"] + record["consumer_ms"] + 100
    assert record["prompt_length"] == len(MESSAGES[0]["content"])


def test_usage_that_was_asked_for(base_url: str, calls: Records) -> None:
    """ask_usage=True brings the provider's own usage, and the consumer sees no extra chunk."""
    with openai.OpenAI(api_key="sk-test", base_url=base_url, max_retries=0) as bare:
        expected = len(list(bare.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True)))
        llmlog.wrap(bare, ask_usage=True)
        got = list(bare.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True))
        assert len(got) == expected == calls.one()["chunks"]
        assert all(chunk.choices and chunk.usage is None for chunk in got)
        assert calls.one()["usage_source"] == "provider"
        chosen = bare.chat.completions.create(
            model="gpt-4o-mini", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        assert [chunk.usage is not None for chunk in chosen][-1]  # the user's own wish is the user's


def test_usage_asked_for_everywhere(client: Any, calls: Records) -> None:
    """configure(ask_usage=True) is for every wrapped client."""
    llmlog.configure(ask_usage=True)
    list(client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True))
    assert calls.one()["usage_source"] == "provider"


def test_leaving_early(client: Any, calls: Records) -> None:
    """The consumer breaks off: one record, with what was delivered."""
    for chunk in client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True):
        if chunk.choices[0].delta.content:
            break
    record = calls.one()
    assert (record["outcome"], record["ended_by"], record["usage_source"]) == ("aborted", "loop_left", "estimated")
    assert record["output_tokens"] >= 1
    assert record["cost_usd"] > 0


@pytest.mark.parametrize(("marker", "status", "error"), [("[429]", 429, "RateLimitError"),
                                                          ("[error]", 500, "InternalServerError")])  # fmt: skip
def test_refused(client: Any, calls: Records, marker: str, status: int, error: str) -> None:
    """An HTTP error before the first chunk is the SDK's exception, and one record with its status."""
    with pytest.raises(getattr(openai, error)):
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": marker}], stream=True)
    record = calls.one()
    assert (record["outcome"], record["http_status"], record["cost_usd"]) == ("error", status, 0.0)
    assert record["error_type"] == f"openai.{error}"


def test_the_connection_is_cut(client: Any, calls: Records) -> None:
    """A connection that breaks mid-way is the source's error; what came is counted."""
    stream = client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "[cut]"}], stream=True
    )
    with pytest.raises(openai.APIConnectionError):
        list(stream)
    record = calls.one()
    assert (record["outcome"], record["ended_by"]) == ("error", "exception")
    assert record["output_tokens"] > 0


def test_a_timeout(client: Any, calls: Records) -> None:
    """A provider that stops sending: the SDK's timeout is the end."""
    stream = client.with_options(timeout=0.3).chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "[stall]"}], stream=True
    )
    with pytest.raises((openai.APITimeoutError, openai.APIConnectionError)):
        list(stream)
    assert calls.one()["ended_by"] == "exception"
    assert calls.one()["team"] == "search"  # with_options() makes a copy that is wrapped as well


def test_tool_calls(client: Any, calls: Records) -> None:
    """Tool calls in pieces are counted, and their names are in the record."""
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]
    list(client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "[tool]"}], stream=True, tools=tools))  # fmt: skip
    record = calls.one()
    assert (record["tool_calls"], record["finish_reason"]) == (1, "tool_calls")
    assert len(record["tool_names"]) == 1


def test_async(base_url: str, calls: Records) -> None:
    """The async client: whole, streamed, left, refused."""

    async def main() -> None:
        async with openai.AsyncOpenAI(api_key="sk-test", base_url=base_url, max_retries=0) as client:
            create = llmlog.wrap(client).chat.completions.create
            await create(model="gpt-4o-mini", messages=MESSAGES)
            stream = await create(model="gpt-4o-mini", messages=MESSAGES, stream=True)
            assert isinstance(stream, openai.AsyncStream)
            async for _ in stream:
                pass
            async with await create(model="gpt-4o-mini", messages=MESSAGES, stream=True) as stream:
                async for _ in stream:
                    break
            with pytest.raises(openai.RateLimitError):
                await create(model="gpt-4o-mini", messages=[{"role": "user", "content": "[429]"}], stream=True)

    asyncio.run(main())
    assert [(record["outcome"], record["ended_by"]) for record in calls.all()] == [
        ("completed", "exhausted"),
        ("completed", "exhausted"),
        ("aborted", "context_exit"),
        ("error", "exception"),
    ]


def test_raw_responses(client: Any, calls: Records) -> None:
    """with_raw_response and with_streaming_response work as without llmlog, and have their records."""
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=MESSAGES)
    assert raw.http_response.status_code == 200
    assert json.loads(raw.text)["choices"]
    assert raw.parse() is raw.parse()
    assert calls.one()["outcome"] == "completed"
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=MESSAGES, stream=True)
    assert isinstance(raw.parse(), openai.Stream)
    assert len(list(raw.parse())) > 2
    with client.chat.completions.with_streaming_response.create(model="gpt-4o-mini", messages=MESSAGES) as response:
        assert response.parse().choices
    assert [record["outcome"] for record in calls.all()] == ["completed"] * 3


def test_raw_responses_used_before(base_url: str, calls: Records) -> None:
    """What the SDK has kept of with_raw_response does not outlive wrap() and unwrap()."""
    with openai.OpenAI(api_key="sk-test", base_url=base_url, max_retries=0) as client:
        client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=MESSAGES)
        llmlog.wrap(client)
        client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=MESSAGES)
        assert len(calls.all()) == 1
        llmlog.unwrap(client)
        client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=MESSAGES)
        assert len(calls.all()) == 1


def test_inside_call(client: Any, calls: Records) -> None:
    """call() around a wrapped client: the outer layer owns the one record, the inner one adds to it."""
    with llmlog.call(feature="chat") as call:
        stream = call.stream(client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True))
    list(stream)
    record = calls.one()
    assert (record["feature"], record["team"], record["model"]) == ("chat", "search", "gpt-4o-mini")
    assert record["call_id"] == call.call_id
    with llmlog.call():
        client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    with pytest.raises(openai.RateLimitError), llmlog.call():
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "[429]"}])
    assert [record["outcome"] for record in calls.all()] == ["completed", "completed", "error"]
    assert calls.all()[2]["http_status"] == 429


def test_attempts_share_their_parent(client: Any, calls: Records) -> None:
    """An attempt that fails inside a call() block, and the one that takes its place: each has its record."""
    with llmlog.call() as call:
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "[429]"}])
        client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    failed, done = calls.all()
    assert (failed["outcome"], failed["parent_id"]) == ("error", call.call_id)
    assert (done["outcome"], done["call_id"]) == ("completed", call.call_id)


def test_a_generator_of_the_users_around_it(client: Any, calls: Records) -> None:
    """stream() over a generator that uses a wrapped client: one record, with the provider's figures in it."""

    def texts() -> Iterator[str]:
        for chunk in client.chat.completions.create(
            model="gpt-4o-mini", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        ):
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    text = "".join(llmlog.stream(texts(), feature="outer"))
    record = calls.one()
    assert (record["feature"], record["team"], record["usage_source"]) == ("outer", "search", "provider")
    assert record["response_length"] == len(text)
    assert record["outcome"] == "completed"


def test_capture_of_one_client(base_url: str, calls: Records) -> None:
    """capture= is for this client."""
    with openai.OpenAI(api_key="sk-test", base_url=base_url, max_retries=0) as client:
        llmlog.wrap(client, capture=40)
        client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    assert calls.one()["prompt"] == MESSAGES[0]["content"]
    assert len(calls.one()["response"]) == 40


def test_the_beta_resource(client: Any, calls: Records) -> None:
    """beta.chat.completions is a resource of its own, and is watched as well."""
    client.beta.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    assert calls.one()["outcome"] == "completed"


def test_unwrap(client: Any, calls: Records) -> None:
    """unwrap() gives the client back as it was; wrapping twice does not log twice."""
    llmlog.wrap(client, team="other")
    client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    assert calls.one()["team"] == "other"
    assert llmlog.unwrap(client) is client
    client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    client.with_options(timeout=5).chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    assert len(calls.all()) == 1
    assert "create" not in vars(client.chat.completions)


def test_what_the_sdk_refuses_is_the_sdks(client: Any, calls: Records) -> None:
    """Arguments that the SDK does not take raise the SDK's own error."""
    with pytest.raises(TypeError, match="Missing required arguments"):
        client.chat.completions.create(model=5)
    assert calls.one()["outcome"] == "error"


@pytest.mark.parametrize("wrong", [5, None, object(), "client", openai.OpenAI])
def test_what_is_no_client(wrong: Any) -> None:
    """wrap() and unwrap() take clients of the SDK, and say what they were given."""
    for use in (llmlog.wrap, llmlog.unwrap):
        with pytest.raises(TypeError, match="openai SDK, got"):
            use(wrong)


def test_wrong_options(base_url: str) -> None:
    """Options of the wrong type are refused at the call."""
    with openai.OpenAI(api_key="sk-test", base_url=base_url) as client:
        with pytest.raises(TypeError, match="'yes'"):
            llmlog.wrap(client, ask_usage="yes")
        with pytest.raises(ValueError, match="-1"):
            llmlog.wrap(client, capture=-1)
        assert "create" not in vars(client.chat.completions)


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://api.x.ai/v1", "x_ai"),
        ("https://example.ai/v1", "openai"),
        ("https://me.openai.azure.com/openai/v1/", "azure"),
    ],
)
def test_providers_by_their_address(url: str, provider: str) -> None:
    """Which provider it is, is told by the client's base URL."""
    from llmlog.clients.openai import provider_of

    with openai.OpenAI(api_key="sk-test", base_url=url) as client:
        assert provider_of(client) == provider
    with openai.AzureOpenAI(api_key="k", azure_endpoint="https://me.example.com", api_version="1") as azure:
        assert provider_of(azure) == "azure"
