"""Recorded streams through the providers' real clients, sync and async, watched by llmlog.

What llmlog reads is held against each case's oracle; what the consumer gets against the bare client's chunks.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
import replaying
from conftest import recorded, sdk
from replaying import ALL, first, messages, parsed, replay

openai, anthropic = sdk("openai"), sdk("anthropic")

import llmlog  # noqa: E402 - after the skips


@dataclass(frozen=True)
class API:
    """One provider's API: which cases are recorded from it, how its SDK is asked, what its usage means."""

    sdk: ModuleType
    client: str
    cases: dict[str, str]
    create: Callable[[Any, list[Any]], Any]
    tokens: Callable[[dict[str, Any]], dict[str, int | None]]
    helper: Callable[[Any, list[Any]], Any] | None = None
    wrappable: bool = False
    at_least: int = 50

    @property
    def provider(self) -> str:
        return self.sdk.__name__

    @property
    def ways(self) -> list[str]:
        return ["sync", "async", *(["helper", "async_helper"] if self.helper else [])]

    def open(self, body: bytes, *, is_async: bool = False) -> Any:
        """A client to which the server answers every request with `body`."""
        http = getattr(self.sdk._base_client, "httpx2", None) or self.sdk._base_client.httpx
        headers = {"content-type": "text/event-stream"}
        transport = http.MockTransport(lambda request: http.Response(200, content=body, headers=headers))
        return getattr(self.sdk, f"Async{self.client}" if is_async else self.client)(
            api_key="sk-test",
            http_client=(http.AsyncClient if is_async else http.Client)(transport=transport),
            max_retries=0,
        )


def chat_tokens(usage: dict[str, Any]) -> dict[str, int | None]:
    completion, prompt = usage.get("completion_tokens_details") or {}, usage.get("prompt_tokens_details") or {}
    reasoning, output = (
        first(completion.get("reasoning_tokens"), usage.get("reasoning_tokens")),
        usage["completion_tokens"],
    )
    if reasoning and usage.get("total_tokens") == usage["prompt_tokens"] + output + reasoning:
        output += reasoning  # xAI's, by its own total
    return {
        "input_tokens": usage.get("prompt_tokens"),
        "output_tokens": output,
        "reasoning_tokens": reasoning,
        "cache_read_tokens": first(prompt.get("cached_tokens"), usage.get("prompt_cache_hit_tokens")),
    }


def message_tokens(usage: dict[str, Any]) -> dict[str, int | None]:
    read, written = usage.get("cache_read_input_tokens"), usage.get("cache_creation_input_tokens")
    return {
        "input_tokens": usage["input_tokens"] + (read or 0) + (written or 0),
        "output_tokens": usage["output_tokens"],
        "cache_read_tokens": read,
        "cache_write_tokens": written,
        "reasoning_tokens": (usage.get("output_tokens_details") or {}).get("thinking_tokens"),
    }


CHAT = API(
    openai,
    "OpenAI",
    {"api": "chat_completions"},
    create=lambda client, messages: client.chat.completions.create(model="m", messages=messages, stream=True),
    tokens=chat_tokens,
    wrappable=True,
    at_least=100,
)
MESSAGES = API(
    anthropic,
    "Anthropic",
    {"api": "messages"},
    create=lambda client, messages: client.messages.create(model="m", max_tokens=9, messages=messages, stream=True),
    helper=lambda client, messages: client.messages.stream(model="m", max_tokens=9, messages=messages),
    tokens=message_tokens,
)


def wire(case: Any) -> bytes:
    """The body as the server sent it; payloads saved without their framing get it back."""
    if case.meta["framing"] == "sse":
        return bytes(case.raw)
    return b"".join(map(framed, filter(None, map(bytes.strip, case.raw.splitlines()))))


def framed(line: bytes) -> bytes:
    payload = parsed(line)
    kind = payload.get("type") if isinstance(payload, dict) else None
    return (f"event: {kind}\n".encode() if kind else b"") + b"data: " + line + b"\n\n"


def drain(stream: Any) -> list[str]:
    """The chunks as JSON, with the error that ended them, if one did."""
    got: list[str] = []
    try:
        got.extend(chunk.model_dump_json(warnings="none") for chunk in stream)
    except Exception as error:
        got.append(f"{type(error).__name__}: {error}")
    return got


async def adrain(stream: Any) -> list[str]:
    got = []
    try:
        async for chunk in stream:
            got.append(chunk.model_dump_json(warnings="none"))  # noqa: PERF401 - what came before an error counts
    except Exception as error:
        got.append(f"{type(error).__name__}: {error}")
    return got


def watched(api: API, stream: Any, messages: list[Any]) -> Any:
    """What the client gave, watched: a wrapped client has done it."""
    stream = stream if api.wrappable else llmlog.stream(stream, input=messages)
    assert stream.response.status_code == 200
    return stream


def sync(api: API, case: Any, messages: list[Any]) -> None:
    with api.open(wire(case)) as client:
        bare = drain(api.create(client, messages))
    with api.open(wire(case)) as client:
        if api.wrappable:
            llmlog.wrap(client, capture=ALL)
        stream = watched(api, api.create(client, messages), messages)
        assert isinstance(stream, api.sdk.Stream)
        assert drain(stream) == bare, case.id


async def asynchronous(api: API, case: Any, messages: list[Any]) -> None:
    with api.open(wire(case)) as client:
        bare = drain(api.create(client, messages))
    async with api.open(wire(case), is_async=True) as client:
        if api.wrappable:
            llmlog.wrap(client, capture=ALL)
        stream = watched(api, await api.create(client, messages), messages)
        assert isinstance(stream, api.sdk.AsyncStream)
        assert await adrain(stream) == bare, case.id


def helper(api: API, case: Any, messages: list[Any]) -> None:
    """The SDK's helper, which sends events of its own beside the API's."""
    assert api.helper is not None
    with api.open(wire(case)) as client, api.helper(client, messages) as source:
        bare = drain(source)
    with api.open(wire(case)) as client, api.helper(client, messages) as source:
        assert drain(watched(api, source, messages)) == bare, case.id


async def async_helper(api: API, case: Any, messages: list[Any]) -> None:
    assert api.helper is not None
    with api.open(wire(case)) as client, api.helper(client, messages) as source:
        bare = drain(source)
    async with api.open(wire(case), is_async=True) as client, api.helper(client, messages) as source:
        assert await adrain(watched(api, source, messages)) == bare, case.id


WAYS: dict[str, Callable[[API, Any, list[Any]], Any]] = {
    "sync": sync,
    "async": lambda *given: asyncio.run(asynchronous(*given)),
    "helper": helper,
    "async_helper": lambda *given: asyncio.run(async_helper(*given)),
}


@pytest.mark.parametrize(
    ("api", "way"),
    [pytest.param(api, way, id=f"{api.provider}-{way}") for api in (CHAT, MESSAGES) for way in api.ways],
)
def test_replay(
    cases: ModuleType,
    calls: Any,
    api: API,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every recorded stream: figures as the oracle has them, chunks as the bare client gives them."""
    with capsys.disabled():
        replay(
            cases, calls, lambda case: WAYS[way](api, case, messages(case)), api.tokens, api.cases,
            label=f"{api.cases['api']} ({way})", at_least=api.at_least, monkeypatch=monkeypatch,
            provider=lambda case: api.provider,
        )  # fmt: skip


@pytest.mark.parametrize("way", replaying.WAYS)
@pytest.mark.parametrize("api", [CHAT, MESSAGES], ids=lambda api: api.provider)
def test_replay_without_the_client(
    cases: ModuleType,
    calls: Any,
    api: API,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The JSON as dicts, and the body as an HTTP client hands it on."""
    with capsys.disabled():
        replay(
            cases, calls, lambda case: replaying.of_framing(case, way)(case), api.tokens, api.cases,
            label=f"{api.cases['api']} ({way})", at_least=api.at_least, monkeypatch=monkeypatch,
            provider=lambda case: api.provider if way == "unnamed" else case.meta["provider"],
        )  # fmt: skip


def test_text_stream(cases: ModuleType, calls: Any) -> None:
    """The helper's `text_stream` is plain text: delivered as it is, and counted."""
    for case in recorded(cases, **MESSAGES.cases):
        text = case.meta["oracle"]["choices"][0]["text"]
        if not text:  # then nothing tells what kind of stream it was
            continue
        calls.records.clear()
        with (
            MESSAGES.open(wire(case)) as client,
            client.messages.stream(model="m", max_tokens=9, messages=[]) as source,
        ):
            assert "".join(llmlog.stream(source.text_stream, model="claude-haiku-4-5")) == text
        record = calls.one()
        assert record["outcome"] == "completed"
        assert (record["response_length"], record["usage_source"]) == (len(text), "estimated")


def test_an_error_in_the_stream(calls: Any) -> None:
    """The client raises it; without a client, the event itself tells."""
    events = [
        {"type": "message_start", "message": {"id": "msg_1", "role": "assistant", "model": "claude-haiku-4-5"}},
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    ]
    body = b"".join(framed(json.dumps(event).encode()) for event in events)
    with MESSAGES.open(body) as client, pytest.raises(anthropic.APIStatusError):
        list(llmlog.stream(MESSAGES.create(client, [])))
    raised = calls.one()
    calls.records.clear()
    assert list(llmlog.stream(events)) == events
    told = calls.one()
    assert (raised["outcome"], raised["ended_by"]) == ("error", "exception")
    assert raised["error_type"].startswith("anthropic.")
    assert (told["outcome"], told["ended_by"]) == ("error", "exhausted")
    assert (told["error_type"], told["error_message"]) == ("overloaded_error", "Overloaded")
