"""LangChain's newest integrations with llmlog's callbacks, against a scripted server: every ending, every layer."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from conftest import framework

import llmlog
from llmlog.testing import ABSENT, Captured, Script, ScriptedServer, ToolCall, assert_one_summary

core = framework("langchain_core")
chat_openai: Any = framework("langchain_openai").ChatOpenAI
chat_anthropic: Any = framework("langchain_anthropic").ChatAnthropic
StrOutputParser: Any = framework("langchain_core.output_parsers").StrOutputParser
runnables: Any = framework("langchain_core.runnables")

WHOLE = Script(["Hello", " world"])
CUT = Script(["Hello", " world"], "cut")
HANGS = Script(["Hello", " world"], "hang")
QUESTION = "Where is my parcel?"


def handler(**options: Any) -> Any:
    from llmlog.integrations.langchain import CallbackHandler

    return CallbackHandler(**options)


def openai_model(server: ScriptedServer, *, wrapped: bool = False, **options: Any) -> Any:
    made = chat_openai(model="gpt-4o-mini", base_url=server.openai_url, api_key="sk-test", max_retries=0,
                       temperature=0.2, max_tokens=70, stream_usage=True, **options)  # fmt: skip
    if wrapped:
        llmlog.wrap(made.root_client)
        llmlog.wrap(made.root_async_client)
    return made


def anthropic_model(server: ScriptedServer, **options: Any) -> Any:
    return chat_anthropic(model="claude-haiku-4-5", base_url=server.anthropic_url, api_key="sk-test", max_retries=0,
                          temperature=0.2, max_tokens=70, **options)  # fmt: skip


MODELS: dict[str, Callable[..., Any]] = {
    "openai": openai_model,
    "openai, wrapped": lambda server, **options: openai_model(server, wrapped=True, **options),
    "anthropic": anthropic_model,
}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest, server: ScriptedServer) -> Any:
    """A model with the callbacks; one of them has a client that is wrapped as well."""
    server.play(WHOLE)
    return MODELS[request.param](server, callbacks=[handler()])


def check(record: dict[str, Any], **expected: Any) -> None:
    """What every record of these has, and these fields."""
    anthropic = str(record["model"]).startswith("claude")
    fields = {"provider": "anthropic" if anthropic else "openai", "operation": "chat", "temperature": 0.2,
              "max_tokens": 70, **expected}  # fmt: skip
    assert {name: record.get(name) for name in fields} == fields
    assert record["prompt_length"] == len(QUESTION)
    assert record["cost_usd"] > 0


def texts(chunks: list[Any]) -> list[str]:
    """The pieces, Anthropic's lists of blocks included."""
    return [text for chunk in chunks if (text := str(chunk.text))]


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
def test_completed(runner: asyncio.Runner, model: Any, llm_calls: Captured, way: str) -> None:
    """Whole and streamed, sync and async: the provider's own usage, once."""

    async def main() -> list[Any]:
        if way == "ainvoke":
            return [await model.ainvoke(QUESTION)]
        return [chunk async for chunk in model.astream(QUESTION)]

    if way.startswith("a"):
        got = runner.run(main())
    else:
        got = [model.invoke(QUESTION)] if way == "invoke" else list(model.stream(QUESTION))
    assert texts(got) == (["Hello world"] if way.endswith("invoke") else ["Hello", " world"])
    record = assert_one_summary(
        llm_calls, outcome="completed", ended_by="exhausted", usage_source="provider", output_tokens=2,
        # Of a stream of Anthropic's, the integration hands on what the last event says: here that is the output alone.
        input_tokens=0 if isinstance(model, chat_anthropic) and way.endswith("stream") else 10,
        response_length=11, streamed=not way.endswith("invoke"),
    )  # fmt: skip
    check(record)


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_one_by_one(runner: asyncio.Runner, server: ScriptedServer, llm_calls: Captured, way: str) -> None:
    """Tokens reach the consumer as they come, through a chain too."""
    server.play(Script([f"{number} " for number in range(20)]))
    arriving = server.one_by_one()
    chain = openai_model(server) | StrOutputParser()
    config = {"callbacks": [handler()]}

    async def main() -> None:
        async for piece in chain.astream(QUESTION, config=config):
            arriving.arrived(piece)

    if way == "astream":
        runner.run(main())
    else:
        for piece in chain.stream(QUESTION, config=config):
            arriving.arrived(piece)
    arriving.check()
    check(assert_one_summary(llm_calls, outcome="completed", content_chunks=20, chain_name="RunnableSequence"))


def take_one_and_leave(stream: Iterator[Any]) -> None:
    for chunk in stream:
        if chunk.text:
            break


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_left_early(runner: asyncio.Runner, server: ScriptedServer, model: Any, llm_calls: Captured, way: str) -> None:
    """`break` after the first text: the provider is hung up on, and the record is that of a stream that was left."""
    server.play(HANGS)
    before = server.hung_up

    async def main() -> None:
        async for chunk in model.astream(QUESTION):
            if chunk.text:
                break
        gc.collect()
        for _ in range(100):  # the loop closes what was left in tasks of its own
            await asyncio.sleep(0)

    if way == "astream":
        runner.run(main())
    else:
        take_one_and_leave(model.stream(QUESTION))
    gc.collect()
    assert server.wait_for_hang_up(before + 1)
    record = assert_one_summary(
        llm_calls, outcome="aborted", levelno=20, response_length=5, error_type=ABSENT,
        # The integration closes its client's stream: one that is wrapped sees that before LangChain tells.
        ended_by=lambda by: by in ("loop_left", "context_exit", "close"),
    )  # fmt: skip
    check(record)
    assert record["usage_source"] in ("estimated", "mixed")
    assert record["output_tokens"] > 0


@pytest.mark.parametrize("way", ["astream", "ainvoke"])
def test_cancelled(runner: asyncio.Runner, server: ScriptedServer, model: Any, llm_calls: Captured, way: str) -> None:
    """A timeout while waiting for the provider.

    With nothing on its way: the `wait_for` of Python 3.11, in which LangChain waits for each chunk, forgets a
    cancellation that meets one.
    """
    asked = threading.Event()

    def play(body: dict[str, Any]) -> Script:
        asked.set()
        return HANGS

    server.play(play)

    async def main() -> None:
        everything = asyncio.Event()

        async def consume() -> None:
            async for piece in model.astream(QUESTION):
                if piece.content == HANGS.pieces[-1]:
                    everything.set()

        if way == "astream":
            task = asyncio.create_task(consume())
            await everything.wait()
        else:
            task = asyncio.create_task(model.ainvoke(QUESTION))
            await asyncio.to_thread(asked.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        gc.collect()
        for _ in range(20):
            await asyncio.sleep(0)

    runner.run(main())
    record = assert_one_summary(llm_calls, outcome="cancelled", ended_by="cancellation", levelno=30)
    check(record)


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_the_connection_is_cut(
    runner: asyncio.Runner, server: ScriptedServer, model: Any, llm_calls: Captured, way: str
) -> None:
    """The integration's own error reaches the consumer; what had come is in the record."""
    server.play(CUT)

    async def main() -> None:
        async for _ in model.astream(QUESTION):
            pass

    with pytest.raises(Exception) as raised:
        runner.run(main()) if way == "astream" else list(model.stream(QUESTION))
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(raised.value).__mro__}
    del raised
    record = assert_one_summary(llm_calls, outcome="error", ended_by="exception", response_length=11)
    check(record)
    assert record["error_type"] in names  # a wrapped client inside knows it by the SDK's own name


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
def test_refused(runner: asyncio.Runner, server: ScriptedServer, model: Any, llm_calls: Captured, way: str) -> None:
    """A 429 before anything came."""
    server.play(Script(status=429))

    async def main() -> None:
        if way == "ainvoke":
            await model.ainvoke(QUESTION)
        async for _ in model.astream(QUESTION):
            pass

    def sync() -> None:
        model.invoke(QUESTION) if way == "invoke" else list(model.stream(QUESTION))

    with pytest.raises(Exception, match=r"429|rate"):
        runner.run(main()) if way.startswith("a") else sync()
    record = assert_one_summary(llm_calls, outcome="error", ended_by="exception", http_status=429, cost_usd=0.0)
    assert record["error_type"].endswith("RateLimitError")


def test_a_short_answer(server: ScriptedServer, llm_calls: Captured) -> None:
    """A body that ends too early without an error is incomplete, though LangChain takes it for whole."""
    server.play(Script(["Hello", " world"], "short"))
    list(openai_model(server, callbacks=[handler()]).stream(QUESTION))
    check(assert_one_summary(llm_calls, outcome="incomplete", ended_by="exhausted", usage_source="estimated"))


def test_all_layers(server: ScriptedServer, llm_calls: Captured) -> None:
    """A wrapped client inside a model with callbacks, inside a chain, inside stream(), inside a request: one record."""
    server.play(WHOLE)
    model = openai_model(server, wrapped=True, callbacks=[handler()])
    chain = model | StrOutputParser()
    with llmlog.request("r-1"):
        stream = llmlog.stream(chain.stream(QUESTION, config={"callbacks": [handler()]}), provider="text", feature="f")
        assert [piece for piece in stream if piece] == ["Hello", " world"]
    check(assert_one_summary(llm_calls, outcome="completed", request_id="r-1", feature="f", input_tokens=10))


def test_retries_and_fallbacks(server: ScriptedServer, llm_calls: Captured) -> None:
    """Each attempt is a run of its own: a record for each, in the same run of the same chain."""
    server.play(Script(status=429), Script(status=429), WHOLE)
    first = openai_model(server).with_retry(stop_after_attempt=2, wait_exponential_jitter=False)
    chain = runnables.RunnableLambda(lambda question: question) | first.with_fallbacks([anthropic_model(server)])
    assert chain.invoke(QUESTION, config={"callbacks": [handler()]}).text == "Hello world"
    found = llm_calls.all()
    assert [(one["provider"], one["outcome"]) for one in found] == [
        ("openai", "error"), ("openai", "error"), ("anthropic", "completed"),
    ]  # fmt: skip
    assert len({one["call_id"] for one in found}) == 3
    assert len({one["chain_id"] for one in found}) == 1
    assert found[0]["parent_id"] == found[1]["parent_id"]


def test_threads(server: ScriptedServer, llm_calls: Captured) -> None:
    """One handler for the process, used by many threads at once, each in its request."""
    server.play(WHOLE)
    model, start = openai_model(server, callbacks=[handler()]), threading.Barrier(8)

    def ask(number: int) -> None:
        with llmlog.request(f"r-{number}"):
            start.wait()
            assert texts(list(model.stream(QUESTION))) == ["Hello", " world"]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one["request_id"] for one in llm_calls.all()) == [f"r-{number}" for number in range(8)]


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "astream"])
def test_an_agent(runner: asyncio.Runner, server: ScriptedServer, llm_calls: Captured, way: str) -> None:
    """LangChain's agents: two calls of the model, and the tool between them, all of one run."""
    agents = framework("langchain.agents")
    tools = framework("langchain_core.tools")

    @tools.tool  # type: ignore[misc]  # where mypy runs, this is not typed
    def order_status(order: int) -> str:
        """How far an order is."""
        return "packed"

    asks = Script([], tool_calls=[ToolCall("order_status", ('{"order": 7}',))])
    server.play(asks, Script(["It is packed."]))
    agent = agents.create_agent(openai_model(server), tools=[order_status], name="shop")
    config = {"callbacks": [handler()], "metadata": {"user_id": "u-1"}}
    question = {"messages": [("user", QUESTION)]}

    @llmlog.request("r-1")
    async def main() -> None:
        if way == "ainvoke":
            await agent.ainvoke(question, config=config)
        else:
            async for _ in agent.astream(question, config=config, stream_mode="messages"):
                pass

    def sync() -> None:
        with llmlog.request("r-1"):
            agent.invoke(question, config=config)

    runner.run(main()) if way.startswith("a") else sync()
    first, second = llm_calls.all()
    (tool,) = llm_calls.events("llm.tool")
    assert (first["tool_names"], first["finish_reason"]) == (["order_status"], "tool_calls")
    assert (second["outcome"], second["response_length"], second["streamed"]) == ("completed", 13, way == "astream")
    assert (tool["tool_name"], tool["outcome"], tool["user_id"]) == ("order_status", "completed", "u-1")
    for record in (first, second, tool):
        assert (record["chain_name"], record["chain_id"], record["request_id"]) == ("shop", first["chain_id"], "r-1")
    assert tool["tool_call_id"]


def test_parallel_and_batch(runner: asyncio.Runner, server: ScriptedServer, llm_calls: Captured) -> None:
    """Branches and batches: as many records as requests."""
    server.play(WHOLE)
    before = len(server.requests)
    model = openai_model(server)
    both = runnables.RunnableParallel(one=model, other=model | StrOutputParser())

    async def main() -> None:
        await both.ainvoke(QUESTION, config=config)
        async for _ in both.astream(QUESTION, config=config):
            pass
        await model.abatch([QUESTION] * 3, config=config)

    config = {"callbacks": [handler()]}
    both.invoke(QUESTION, config=config)
    model.batch([QUESTION] * 3, config=config)
    runner.run(main())
    found = llm_calls.all()
    assert len(found) == len({one["call_id"] for one in found}) == len(server.requests) - before == 12
    for record in found:
        check(record, outcome="completed", input_tokens=10)


def test_a_generator_function(runner: asyncio.Runner, server: ScriptedServer, llm_calls: Captured) -> None:
    """RunnableGenerator over a model, left early: each step in another task than the one before it."""
    server.play(HANGS)
    model = openai_model(server)

    async def shouted(pieces: AsyncIterator[Any]) -> AsyncIterator[str]:
        async for piece in pieces:
            yield str(piece.text).upper()

    @llmlog.request()
    async def main() -> list[str]:
        stream = (model | runnables.RunnableGenerator(shouted)).astream(QUESTION, config={"callbacks": [handler()]})
        got: list[str] = []
        while "HELLO" not in got:
            got.append(await asyncio.create_task(anext(stream)))
        await asyncio.create_task(stream.aclose())
        return got

    runner.run(main())
    check(assert_one_summary(llm_calls, outcome="aborted", ended_by="loop_left"))
