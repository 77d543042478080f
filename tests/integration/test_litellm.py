"""The failure that llmlog began with, with the real litellm: a consumer that breaks off when there is no more content.

LiteLLM pins an older openai, so it has an environment of its own: `make litellm` runs these. Elsewhere they are
skipped, or fail where LLMLOG_REQUIRE names "litellm".
"""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

import llmlog
from llmlog.testing import ABSENT, Captured, Script, ScriptedServer, ToolCall, assert_one_summary

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # its own table of prices, and no look at the network
try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import warns of what it, and what it imports, is yet to change
        import litellm
        from litellm.integrations.custom_logger import CustomLogger
except ImportError:
    if "litellm" in os.environ.get("LLMLOG_REQUIRE", "").split(","):
        raise
    pytest.skip("litellm is not installed here: `make litellm` runs these", allow_module_level=True)

pytestmark = [
    pytest.mark.filterwarnings(r"ignore:::litellm(\.|$)"),
    pytest.mark.filterwarnings("ignore:Items? '.*' on TypedDict class:UserWarning"),  # pydantic's, of litellm's types
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),  # the same
]

MESSAGES: Any = [{"role": "user", "content": "Say hello to the world, please."}]
WHOLE = Script(["Hello", " world"])
TOOL = Script(["Hello", " world"], tool_calls=[ToolCall("search")])  # after the text, chunks without content come
CUT = Script(["Hello", " world"], "cut")


class Callback(CustomLogger):  # type: ignore[misc]  # where mypy runs, litellm is not
    """Keeps what LiteLLM tells of ended calls, as the integrations of tracing services do."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self.told.append("success")

    def log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self.told.append("failure")

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self.told.append("success")

    async def async_log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self.told.append("failure")


@pytest.fixture(scope="module")
def runner(runner: asyncio.Runner) -> Iterator[asyncio.Runner]:
    """The event loop, in which LiteLLM keeps its clients."""
    yield runner
    runner.run(litellm.close_litellm_async_clients())


@pytest.fixture(params=[False, True], ids=["", "callback"])
def callback(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callback | None:
    """None, or a callback that LiteLLM has."""
    if not request.param:
        return None
    made = Callback()
    monkeypatch.setattr(litellm, "callbacks", [made])
    return made


def options(server: ScriptedServer, **more: Any) -> dict[str, Any]:
    """What is asked of LiteLLM."""
    return {"model": "openai/gpt-4o-mini", "api_base": server.openai_url, "api_key": "x", "messages": MESSAGES,
            "max_retries": 0, **more}  # fmt: skip


def content(chunk: Any) -> Any:
    """A chunk's text, None or ""."""
    return chunk.choices[0].delta.content if chunk.choices else None


def check(record: dict[str, Any], text: str) -> None:
    """What every record of these has: who answered, and what the answer's counts cost."""
    assert (record["provider"], record["response_model"]) == ("openai", "gpt-4o-mini")
    assert record["response_id"].startswith("chatcmpl-")
    assert record["response_length"] == len(text)
    cost = llmlog.cost(
        {"input_tokens": record["input_tokens"], "output_tokens": record["output_tokens"]}, "gpt-4o-mini"
    )
    assert cost is not None
    assert record["cost_usd"] == pytest.approx(float(cost), rel=1e-12)
    if record["usage_source"] == "estimated":
        assert record["input_tokens"] == llmlog.count_tokens(MESSAGES, "gpt-4o-mini")


@pytest.mark.parametrize("model", [None, "gpt-4o-mini", "openai/gpt-4o-mini"])
def test_break_when_content_is_empty(
    server: ScriptedServer, runner: asyncio.Runner, callback: Callback | None, llm_calls: Captured, model: str | None
) -> None:
    """`async for`, and `break` at the first chunk without content after some: one record, whatever callbacks hear."""
    server.play(TOOL)

    async def main() -> list[str]:
        got: list[str] = []
        stream = await litellm.acompletion(**options(server, stream=True))
        async for chunk in llmlog.stream(stream, model=model, input=MESSAGES):
            if not content(chunk) and got:
                break
            got += [content(chunk)] if content(chunk) else []
        return got

    assert runner.run(main()) == ["Hello", " world"]
    record = assert_one_summary(
        llm_calls, outcome="aborted", ended_by="loop_left", levelno=20, usage_source="estimated", streamed=True,
        model=model or ABSENT, chunks=4, tool_names=["search"],
    )  # fmt: skip
    check(record, "Hello world")
    assert callback is None or callback.told == []


def test_break_at_the_last_chunk(
    server: ScriptedServer, runner: asyncio.Runner, callback: Callback | None, llm_calls: Captured
) -> None:
    """The first chunk without content brings the finish reason: completed, though its usage was not waited for."""
    server.play(WHOLE)

    async def main() -> None:
        text = ""
        stream = await litellm.acompletion(**options(server, stream=True, stream_options={"include_usage": True}))
        async for chunk in llmlog.stream(stream, input=MESSAGES):
            if not content(chunk) and text:
                break
            text += content(chunk) or ""

    runner.run(main())
    check(assert_one_summary(llm_calls, outcome="completed", ended_by="loop_left", finish_reason="stop"), "Hello world")
    assert callback is None or callback.told == []


@pytest.mark.parametrize("way", ["sync", "async"])
def test_break_at_the_first_chunk(
    server: ScriptedServer, runner: asyncio.Runner, llm_calls: Captured, way: str
) -> None:
    """The first chunk has the role and no content: a consumer that takes that for the end has its record too."""
    server.play(WHOLE)

    async def main() -> None:
        async for chunk in llmlog.stream(await litellm.acompletion(**options(server, stream=True)), input=MESSAGES):
            if not content(chunk):
                break

    if way == "async":
        runner.run(main())
    else:
        for chunk in llmlog.stream(litellm.completion(**options(server, stream=True)), input=MESSAGES):
            if not content(chunk):
                break
    record = assert_one_summary(llm_calls, outcome="aborted", ended_by="loop_left", chunks=1, output_tokens=0)
    check(record, "")


@pytest.mark.parametrize("asks", [False, True], ids=["", "usage"])
@pytest.mark.parametrize("way", ["sync", "async"])
def test_ran_out(server: ScriptedServer, runner: asyncio.Runner, llm_calls: Captured, way: str, asks: bool) -> None:
    """Read to the end: the chunks are LiteLLM's own, and so is the usage where it was asked for."""
    server.play(WHOLE)
    asked = options(server, stream=True, **({"stream_options": {"include_usage": True}} if asks else {}))

    async def main() -> list[Any]:
        return [chunk async for chunk in llmlog.stream(await litellm.acompletion(**asked), input=MESSAGES)]

    chunks = runner.run(main()) if way == "async" else list(llmlog.stream(litellm.completion(**asked), input=MESSAGES))
    assert all(isinstance(chunk, litellm.ModelResponseStream) for chunk in chunks)
    assert [content(chunk) for chunk in chunks if content(chunk)] == ["Hello", " world"]
    record = assert_one_summary(
        llm_calls, outcome="completed", ended_by="exhausted", chunks=len(chunks), finish_reason="stop",
        usage_source="provider" if asks else "estimated",
    )  # fmt: skip
    check(record, "Hello world")


@pytest.mark.parametrize("way", ["sync", "async"])
def test_the_connection_is_cut(server: ScriptedServer, runner: asyncio.Runner, llm_calls: Captured, way: str) -> None:
    """LiteLLM's own exception reaches the consumer, and the record tells what had come."""
    server.play(CUT)

    async def main() -> None:
        async for _ in llmlog.stream(await litellm.acompletion(**options(server, stream=True)), input=MESSAGES):
            pass

    def sync() -> None:
        for _ in llmlog.stream(litellm.completion(**options(server, stream=True)), input=MESSAGES):
            pass

    with pytest.raises((litellm.exceptions.APIConnectionError, litellm.exceptions.MidStreamFallbackError)) as raised:
        runner.run(main()) if way == "async" else sync()
    kind = type(raised.value)
    del raised  # its traceback holds the stream
    record = assert_one_summary(
        llm_calls, outcome="error", ended_by="exception", levelno=40, usage_source="estimated",
        error_type=f"{kind.__module__}.{kind.__qualname__}",
    )  # fmt: skip
    check(record, "Hello world")


@pytest.mark.parametrize("way", ["sync", "async"])
def test_refused(server: ScriptedServer, runner: asyncio.Runner, llm_calls: Captured, way: str) -> None:
    """A 429 before the first chunk, inside call()."""
    server.play(Script(status=429))

    async def main() -> None:
        async with llmlog.call(model="openai/gpt-4o-mini", input=MESSAGES) as call:
            call.stream(await litellm.acompletion(**options(server, stream=True)))

    def sync() -> None:
        with llmlog.call(model="openai/gpt-4o-mini", input=MESSAGES) as call:
            call.stream(litellm.completion(**options(server, stream=True)))

    with pytest.raises(litellm.exceptions.RateLimitError):
        runner.run(main()) if way == "async" else sync()
    assert_one_summary(llm_calls, outcome="error", ended_by="exception", http_status=429, cost_usd=0.0)


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_whole_answer(server: ScriptedServer, runner: asyncio.Runner, llm_calls: Captured, way: str) -> None:
    """An answer in one piece, by finish()."""
    server.play(WHOLE)
    with llmlog.call(model="openai/gpt-4o-mini", input=MESSAGES) as call:
        if way == "async":
            call.finish(runner.run(litellm.acompletion(**options(server))))
        else:
            call.finish(litellm.completion(**options(server)))
    record = assert_one_summary(llm_calls, outcome="completed", ended_by="exhausted", usage_source="provider")
    check(record, "Hello world")
