"""LiteLLM's SDK, Router and proxy with llmlog's logger: one record for each attempt, whatever LiteLLM tells of it.

LiteLLM pins an older openai, so it has an environment of its own: `make litellm` runs these. Elsewhere they are
skipped, or fail where LLMLOG_REQUIRE names "litellm".
"""

from __future__ import annotations

import asyncio
import copy
import gc
import importlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

import llmlog
from llmlog.testing import ABSENT, Captured, Script, ScriptedServer, assert_one_summary

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # its own table of prices, and no look at the network
try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import warns of what it, and what it imports, is yet to change
        import litellm
        import openai

        from llmlog.integrations.litellm import Logger, _ids
except ImportError:
    if "litellm" in os.environ.get("LLMLOG_REQUIRE", "").split(","):
        raise
    pytest.skip("litellm is not installed here: `make litellm` runs these", allow_module_level=True)

pytestmark = [
    pytest.mark.filterwarnings(r"ignore:::litellm(\.|$)"),
    pytest.mark.filterwarnings("ignore:Items? '.*' on TypedDict class:UserWarning"),  # pydantic's, of litellm's types
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),  # the same
]

ROOT = Path(llmlog.__file__).parents[1]
PATIENCE = 20.0
MESSAGES: Any = [{"role": "user", "content": "Say hello to the world, please."}]
WHOLE = Script(["Hello", " world"])
USAGE = {"stream_options": {"include_usage": True}}


@pytest.fixture(scope="module")
def runner(runner: asyncio.Runner) -> Iterator[asyncio.Runner]:
    """The event loop, in which LiteLLM keeps its clients."""
    yield runner
    runner.run(litellm.close_litellm_async_clients())


@pytest.fixture(autouse=True)
def logger(monkeypatch: pytest.MonkeyPatch, server: ScriptedServer) -> Logger:
    """The logger, and a server that answers."""
    made = Logger(team="blue")
    for name in ("input", "success", "failure", "_async_success", "_async_failure", "_async_input"):  # it adds to these
        monkeypatch.setattr(litellm, f"{name}_callback", [], raising=False)
    monkeypatch.setattr(litellm, "callbacks", [made])
    server.play(WHOLE)
    return made


def options(server: ScriptedServer, **more: Any) -> dict[str, Any]:
    """What is asked of LiteLLM."""
    return {"model": "openai/gpt-4o-mini", "api_base": server.openai_url, "api_key": "x", "messages": MESSAGES,
            "max_retries": 0, "temperature": 0.3, "max_tokens": 50, **more}  # fmt: skip


def content(chunk: Any) -> Any:
    """A chunk's text, None or ""."""
    return chunk.choices[0].delta.content if chunk.choices else None


async def settled(llm_calls: Captured, count: int = 1) -> None:
    """Wait until LiteLLM has told, in its threads and tasks, of so many ends; and a little for one too many."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        gc.collect()
        if len(llm_calls.all()) >= count:
            break
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)


def check(record: dict[str, Any], **expected: Any) -> None:
    """What every record of these has, and these fields."""
    fields = {"provider": "openai", "model": "gpt-4o-mini", "operation": "chat", "temperature": 0.3, "max_tokens": 50,
              "team": "blue", "prompt_length": len(MESSAGES[0]["content"]), **expected}  # fmt: skip
    assert {name: record.get(name) for name in fields} == fields
    assert record["latency_ms"] >= record.get("wait_ms", 0.0)


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("asked", ["whole", "stream", "stream with usage"])
def test_completed(server: ScriptedServer, runner: asyncio.Runner, llm_calls: Captured, way: str, asked: str) -> None:
    """Whole or streamed: one record, whichever of its hooks LiteLLM calls, with the provider's usage if it sent any."""
    more = {"stream": asked != "whole", **(USAGE if "usage" in asked else {})}

    async def main() -> None:
        if way == "async":
            answer = await litellm.acompletion(**options(server, **more))
            chunks = [chunk async for chunk in answer] if more["stream"] else []
        else:
            answer = litellm.completion(**options(server, **more))
            chunks = list(answer) if more["stream"] else []
        assert "".join(filter(None, map(content, chunks))) in ("", "Hello world")
        await settled(llm_calls)

    runner.run(main())
    record = assert_one_summary(
        llm_calls, outcome="completed", ended_by="exhausted", streamed=more["stream"], response_length=11,
        finish_reason="stop", usage_source="estimated" if asked == "stream" else "provider", chunks=ABSENT,
    )  # fmt: skip
    check(record, response_model="gpt-4o-mini")
    assert record["output_tokens"] == 2
    assert ("ttft_ms" in record) == more["stream"]


@pytest.mark.parametrize("way", ["sync", "async"])
def test_break_when_content_is_empty(
    server: ScriptedServer, runner: asyncio.Runner, llm_calls: Captured, way: str
) -> None:
    """The failure that llmlog began with: `break` on empty content, with the logger and stream(): one record, exact."""

    async def main() -> list[str]:
        got: list[str] = []
        if way == "async":
            async for chunk in llmlog.stream(await litellm.acompletion(**options(server, stream=True)), feature="f"):
                if not content(chunk) and got:
                    break
                got += [content(chunk)] if content(chunk) else []
        else:
            for chunk in llmlog.stream(litellm.completion(**options(server, stream=True)), feature="f"):
                if not content(chunk) and got:
                    break
                got += [content(chunk)] if content(chunk) else []
        await settled(llm_calls)
        return got

    assert runner.run(main()) == ["Hello", " world"]
    record = assert_one_summary(
        llm_calls, ended_by="loop_left", response_length=11, feature="f", output_tokens=2, content_chunks=2,
        outcome="completed", finish_reason="stop",  # the chunk without content brought it
    )  # fmt: skip
    check(record)


@pytest.mark.parametrize("way", ["sync", "async"])
def test_break_without_stream(server: ScriptedServer, runner: asyncio.Runner, llm_calls: Captured, way: str) -> None:
    """LiteLLM says nothing of it: the record comes when the stream is gone, and guesses nothing of what had come."""

    async def main() -> None:
        if way == "async":
            async for _ in await litellm.acompletion(**options(server, stream=True)):
                break
        else:
            for _ in litellm.completion(**options(server, stream=True)):
                break
        await settled(llm_calls)

    with llmlog.request("r-1"):
        main_in_request = llmlog.carry(main)
    runner.run(main_in_request())
    record = assert_one_summary(
        llm_calls, outcome="aborted", streamed=True, output_tokens=ABSENT, response_length=ABSENT, chunks=ABSENT,
        cost_partial=True, ended_by=lambda by: by in ("garbage_collected", "loop_left"), request_id="r-1",
    )  # fmt: skip
    check(record)


@pytest.mark.parametrize("way", ["sync", "async"])
def test_refused(server: ScriptedServer, runner: asyncio.Runner, llm_calls: Captured, way: str) -> None:
    """A 429: LiteLLM's error reaches the caller, and costs nothing."""
    server.play(Script(status=429))

    async def main() -> None:
        with pytest.raises(litellm.exceptions.RateLimitError):
            await litellm.acompletion(**options(server)) if way == "async" else litellm.completion(**options(server))
        await settled(llm_calls)

    runner.run(main())
    record = assert_one_summary(
        llm_calls, outcome="error", ended_by="exception", http_status=429, cost_usd=0.0,
        error_type="litellm.exceptions.RateLimitError",
    )  # fmt: skip
    check(record)


@pytest.mark.parametrize("around", [False, True], ids=["", "stream()"])
def test_cut(server: ScriptedServer, runner: asyncio.Runner, llm_calls: Captured, around: bool) -> None:
    """The connection is cut in the middle: with stream() the record knows what had come."""
    server.play(Script(["Hello", " world"], "cut"))

    async def main() -> None:
        stream = await litellm.acompletion(**options(server, stream=True))
        with pytest.raises((litellm.exceptions.APIConnectionError, litellm.exceptions.MidStreamFallbackError)):
            async for _ in llmlog.stream(stream) if around else stream:
                pass
        del stream
        await settled(llm_calls)

    runner.run(main())
    record = assert_one_summary(
        llm_calls, outcome="error", ended_by="exception", response_length=11 if around else ABSENT,
        output_tokens=2 if around else ABSENT,
    )  # fmt: skip
    check(record)


def test_cancelled(server: ScriptedServer, runner: asyncio.Runner, llm_calls: Captured) -> None:
    """A caller's timeout, of which LiteLLM does not tell."""
    server.play(Script(["Hello"], "hang"))

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await litellm.acompletion(**options(server))
        await settled(llm_calls)

    runner.run(main())
    check(assert_one_summary(llm_calls, outcome="cancelled", ended_by="cancellation"))


@pytest.mark.parametrize("way", ["sync", "async"])
def test_inside_call(server: ScriptedServer, runner: asyncio.Runner, llm_calls: Captured, way: str) -> None:
    """A block around it is the call: its id, its fields, one record."""

    async def main() -> llmlog.Call:
        with llmlog.call(feature="f") as call:
            if way == "async":
                call.finish(await litellm.acompletion(**options(server)))
            else:
                call.finish(litellm.completion(**options(server)))
        await settled(llm_calls)
        return call

    call = runner.run(main())
    check(assert_one_summary(llm_calls, outcome="completed", feature="f", call_id=call.call_id, output_tokens=2))


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_wrapped_client_inside(
    server: ScriptedServer, runner: asyncio.Runner, llm_calls: Captured, way: str, streams: bool
) -> None:
    """A client that is wrapped, given to LiteLLM: the attempt's record, with what the client saw."""
    clients: dict[str, Any] = {"sync": openai.OpenAI, "async": openai.AsyncOpenAI}
    client = llmlog.wrap(clients[way](base_url=server.openai_url, api_key="x", max_retries=0))

    async def main() -> None:
        if way == "async":
            answer = await litellm.acompletion(**options(server, stream=streams), client=client)
            [chunk async for chunk in answer] if streams else None
            await settled(llm_calls)
            await client.close()
        else:
            answer = litellm.completion(**options(server, stream=streams), client=client)
            list(answer) if streams else None
            await settled(llm_calls)
            client.close()

    runner.run(main())
    check(assert_one_summary(llm_calls, outcome="completed", response_length=11, streamed=streams))


def test_another_call_in_the_loop(server: ScriptedServer, runner: asyncio.Runner, llm_calls: Captured) -> None:
    """What the consumer of a stream asks meanwhile, of LiteLLM or of a wrapped client, is another call."""
    client = llmlog.wrap(openai.AsyncOpenAI(base_url=server.openai_url, api_key="x"))

    async def main() -> None:
        async for chunk in await litellm.acompletion(**options(server, stream=True)):
            if content(chunk) == "Hello":
                await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
                await litellm.acompletion(**options(server, model="openai/gpt-4.1"))
        await settled(llm_calls, 3)
        await client.close()

    runner.run(main())
    found = {one["model"]: one["outcome"] for one in llm_calls.all()}
    assert found == dict.fromkeys(("gpt-4o-mini", "gpt-4o", "gpt-4.1"), "completed")
    assert len(llm_calls.all()) == 3


def test_router(server: ScriptedServer, runner: asyncio.Runner, llm_calls: Captured) -> None:
    """A retry and a fallback: a record for each attempt, joined by their parent_id."""
    server.play(Script(status=429), Script(status=429), WHOLE)
    router = litellm.Router(
        model_list=[
            {"model_name": name, "litellm_params": {"model": model, "api_base": server.openai_url, "api_key": "x"}}
            for name, model in (("fast", "openai/gpt-4o-mini"), ("good", "openai/gpt-4o"))
        ],
        fallbacks=[{"fast": ["good"]}],
        num_retries=1,
        retry_after=0,
    )

    async def main() -> None:
        await router.acompletion(model="fast", messages=MESSAGES, max_retries=0)
        await settled(llm_calls, 3)

    runner.run(main())
    found = llm_calls.all()
    assert [(one["model"], one["outcome"]) for one in found] == [
        ("gpt-4o-mini", "error"), ("gpt-4o-mini", "error"), ("gpt-4o", "completed"),
    ]  # fmt: skip
    assert len({one["parent_id"] for one in found}) == 1
    assert len({one["call_id"] for one in found}) == 3


def test_cached(server: ScriptedServer, runner: asyncio.Runner, llm_calls: Captured,
                monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """LiteLLM's own cache answers: a record that says so, and costs nothing."""
    monkeypatch.setattr(litellm, "cache", litellm.Cache(type="local"))

    async def main() -> None:
        await litellm.acompletion(**options(server))
        await settled(llm_calls)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if litellm.cache.cache.cache_dict:  # a task of LiteLLM's puts it there
                break
            await asyncio.sleep(0.01)
        await litellm.acompletion(**options(server))
        await settled(llm_calls, 2)

    before = len(server.requests)
    runner.run(main())
    assert len(server.requests) == before + 1
    asked, cached = llm_calls.all()
    assert (asked.get("cached"), cached["cached"], cached["cost_usd"]) == (None, True, 0.0)
    assert (cached["outcome"], cached["response_length"]) == ("completed", 11)


def test_metadata(server: ScriptedServer, runner: asyncio.Runner, llm_calls: Captured) -> None:
    """Who asked, and in which conversation."""

    async def main() -> None:
        await litellm.acompletion(**options(server, user="u-1", metadata={"session_id": "s-1", "tags": ["a"]}))
        await settled(llm_calls)

    runner.run(main())
    check(assert_one_summary(llm_calls, user_id="u-1", conversation_id="s-1", tags=["a"], parent_id=ABSENT))


def test_embeddings(runner: asyncio.Runner, llm_calls: Captured) -> None:
    """Another operation than a chat."""

    async def main() -> None:
        await litellm.aembedding(model="openai/text-embedding-3-small", input=["Hello"], mock_response=[[0.1, 0.2]])
        await settled(llm_calls)

    runner.run(main())
    assert_one_summary(llm_calls, operation="embeddings", model="text-embedding-3-small", outcome="completed")


CALL_ID = secrets.token_hex(8)  # an id is told of once, in the life of the process
NOW = datetime.now()
ANSWER = {"id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4o-mini", "choices": [
    {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}]}  # fmt: skip


@pytest.mark.parametrize("hook", ["log_success_event", "log_failure_event"])
@pytest.mark.parametrize(
    "kwargs",
    [None, {}, {"litellm_params": None}, {"litellm_params": {"metadata": None}}, {"model": None, "messages": None},
     {"litellm_params": {}, "optional_params": None, "metadata": None, "call_type": None, "exception": None},
     {"litellm_call_id": 7, "stream": "yes", "completion_start_time": "now", "exception": "text"}],
)  # fmt: skip
@pytest.mark.parametrize("response", [None, ANSWER])
def test_absent_arguments(logger: Logger, llm_calls: Captured, hook: str, kwargs: Any, response: Any) -> None:
    """Whatever is None or missing, the attempt has its record."""
    getattr(logger, hook)(kwargs, response, None, None)
    record = assert_one_summary(llm_calls, outcome="error" if hook == "log_failure_event" else "completed")
    assert record["team"] == "blue"


def test_two_loggers(
    server: ScriptedServer, runner: asyncio.Runner, llm_calls: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second one makes no second record."""
    monkeypatch.setattr(litellm, "callbacks", [*litellm.callbacks, Logger(floor=3)])

    async def main() -> None:
        await litellm.acompletion(**options(server))
        await settled(llm_calls)

    runner.run(main())
    check(assert_one_summary(llm_calls, outcome="completed", output_tokens=2), floor=3)


def test_told_twice(logger: Logger, llm_calls: Captured) -> None:
    """An end that is told by several hooks, or without a beginning, is one."""
    kwargs: dict[str, Any] = {"litellm_call_id": CALL_ID, "model": "gpt-4o-mini", "messages": MESSAGES}
    for _ in range(3):
        logger.log_success_event(kwargs, ANSWER, NOW, NOW + timedelta(seconds=2))
        asyncio.run(logger.async_log_success_event(dict(kwargs), ANSWER, NOW, NOW + timedelta(seconds=2)))
        logger.log_failure_event({"litellm_call_id": CALL_ID}, None, NOW, NOW)
    assert_one_summary(llm_calls, outcome="completed", call_id=CALL_ID, latency_ms=lambda ms: 1999 < ms < 2001)


def test_a_copy_of_the_notes(logger: Logger, llm_calls: Captured) -> None:
    """LiteLLM's notes may be copied and written out: that keeps no attempt, and raises nothing."""
    call_id = secrets.token_hex(8)
    kwargs: dict[str, Any] = {"litellm_call_id": call_id, "model": "gpt-4o-mini", "stream": True}
    logger.log_pre_api_call("gpt-4o-mini", MESSAGES, kwargs)
    copied = copy.deepcopy(kwargs)
    json.dumps(kwargs, default=str)
    assert llm_calls.all() == []
    del kwargs
    assert_one_summary(llm_calls, outcome="aborted", ended_by="garbage_collected", call_id=call_id)
    assert copied["model"] == "gpt-4o-mini"
    assert call_id not in _ids.open


# The proxy

KEY = f"sk-{secrets.token_hex(32)}"


class Proxy:
    """LiteLLM's proxy in a process of its own, and the file that it logs to."""

    def __init__(self, url: str, file: Path) -> None:
        self.url, self.file = url, file

    def records(self, count: int) -> list[dict[str, Any]]:
        """Wait for so many records of calls; all there are, once they are."""
        deadline = time.monotonic() + PATIENCE
        found: list[dict[str, Any]] = []
        while len(found) < count and time.monotonic() < deadline:
            time.sleep(0.05)
            lines = self.file.read_text(encoding="utf-8").splitlines() if self.file.exists() else []
            records = [json.loads(line) for line in lines]
            found = [record for record in records if record.get("event") == "llm.call"]
        return found

    def ask(self, model: str, **more: Any) -> dict[str, Any]:
        """The arguments of a request."""
        body = {"model": model, "messages": MESSAGES, **more}
        return {"url": f"{self.url}/v1/chat/completions", "json": body, "headers": {"Authorization": f"Bearer {KEY}"},
                "timeout": PATIENCE}  # fmt: skip


MAIN = """
import logging.config, sys
import llmlog
logging.config.dictConfig(llmlog.dict_config(file=sys.argv[1], service="proxy"))
from litellm.proxy.proxy_cli import run_server
run_server(["--config", sys.argv[2], "--host", "127.0.0.1", "--port", sys.argv[3]])
"""


@pytest.fixture(scope="module")
def proxy(server: ScriptedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """The proxy, with the logger named in its config.yaml."""
    pytest.importorskip("litellm.proxy.proxy_server", exc_type=ImportError)
    folder = tmp_path_factory.mktemp("proxy")
    model = {"model": "openai/gpt-4o-mini", "api_base": server.openai_url, "api_key": "x", "max_retries": 0}
    other = {**model, "model": "openai/gpt-4o"}
    config = {
        "model_list": [
            {"model_name": "fast", "litellm_params": model},
            {"model_name": "good", "litellm_params": other},
        ],
        "litellm_settings": {"callbacks": "llmlog.integrations.litellm.logger"},
        "router_settings": {"num_retries": 1, "retry_after": 0, "fallbacks": [{"fast": ["good"]}]},
    }
    (folder / "config.yaml").write_text(json.dumps(config))  # which is YAML too
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    made = Proxy(f"http://127.0.0.1:{port}", folder / "records.jsonl")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                   "LITELLM_MASTER_KEY": KEY}  # fmt: skip
    with (folder / "out.txt").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, str(made.file), str(folder / "config.yaml"), str(port)],
            cwd=folder, env=environment, stdout=out, stderr=out,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + 120
            while not _answers(f"{made.url}/health/liveliness"):
                said = (folder / "out.txt").read_text(errors="replace")[-2000:]
                assert process.poll() is None, said
                assert time.monotonic() < deadline, said
                time.sleep(0.2)
            yield made
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def new(proxy: Proxy, count: int, ask: Callable[[], object]) -> list[dict[str, Any]]:
    """The records that come of it."""
    before = len(proxy.records(0)) if not proxy.file.exists() else len(proxy.records(1))
    ask()
    found = proxy.records(before + count)[before:]
    time.sleep(0.3)
    assert len(proxy.records(before + count)[before:]) == count
    return found


def test_proxy(proxy: Proxy, server: ScriptedServer) -> None:
    """A whole answer, and a streamed one whose chunks pass one by one."""
    (record,) = new(proxy, 1, lambda: httpx.post(**proxy.ask("fast")).raise_for_status())
    assert (record["outcome"], record["provider"], record["model"]) == ("completed", "openai", "gpt-4o-mini")
    assert (record["input_tokens"], record["usage_source"], record["service"]) == (10, "provider", "proxy")
    server.play(Script([f"{number} " for number in range(10)]))
    arriving = server.one_by_one(timeout=PATIENCE)

    def read() -> None:
        with httpx.stream("POST", **proxy.ask("fast", stream=True)) as response:
            for line in response.iter_lines():
                if line.startswith("data: {"):
                    chunk = json.loads(line[6:])
                    arriving.arrived(chunk["choices"][0]["delta"].get("content") if chunk["choices"] else None)
        arriving.check()

    (record,) = new(proxy, 1, read)
    assert (record["outcome"], record["streamed"], record["content_chunks"]) == ("completed", True, 10)
    assert record["max_gap_ms"] >= 0


def test_the_proxys_client_hangs_up(proxy: Proxy, server: ScriptedServer) -> None:
    """What had come is in the record, where LiteLLM itself writes nothing."""
    server.play(Script(["Hello", " world"], "hang"))

    def leave() -> None:
        with httpx.stream("POST", **proxy.ask("fast", stream=True)) as response:
            for line in response.iter_lines():
                if "world" in line:
                    break

    (record,) = new(proxy, 1, leave)
    assert (record["outcome"], record["ended_by"]) == ("cancelled", "cancellation")  # LiteLLM cancels its answer then
    assert (record["response_length"], record["usage_source"], record["streamed"]) == (11, "estimated", True)
    assert record["cost_usd"] > 0


def test_the_proxys_fallbacks(proxy: Proxy, server: ScriptedServer) -> None:
    """Each attempt of one request, under one parent."""
    server.play(Script(status=429), Script(status=429), WHOLE)
    found = new(proxy, 3, lambda: httpx.post(**proxy.ask("fast")).raise_for_status())
    assert sorted((one["model"], one["outcome"]) for one in found) == [
        ("gpt-4o", "completed"), ("gpt-4o-mini", "error"), ("gpt-4o-mini", "error"),
    ]  # fmt: skip
    assert len({one["parent_id"] for one in found}) == 1


def test_without_litellm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "litellm.integrations.custom_logger", None)
    monkeypatch.delitem(sys.modules, "llmlog.integrations.litellm")
    with pytest.raises(ImportError, match=r"pip install 'llmlog\[litellm\]'"):
        importlib.import_module("llmlog.integrations.litellm")


def test_what_is_no_stream(logger: Logger, llm_calls: Captured) -> None:
    """The proxy's hook hands on whatever it is given."""

    async def main() -> list[Any]:
        async def pieces() -> AsyncIterator[Any]:
            yield 1
            yield None

        return [piece async for piece in logger.async_post_call_streaming_iterator_hook(None, pieces(), {})]

    assert asyncio.run(main()) == [1, None]
    assert llm_calls.all() == []
