"""LangChain's callbacks with the real langchain-core: one record for each run of a model."""

# ruff: noqa: E402 - the imports need langchain-core

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import sys
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from conftest import Clock, Records, sdk
from conftest import answer as openai_answer

import llmlog

sdk("langchain_core")

from langchain_core.caches import InMemoryCache
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.language_models.llms import LLM
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool

from llmlog.integrations.langchain import CallbackHandler

USAGE: Any = {"input_tokens": 9, "output_tokens": 2, "total_tokens": 11}
FAILS = "fails"
WAITS = "waits"


class Model(BaseChatModel):
    """Answers with these pieces, one chunk each, then with its usage. `FAILS` raises, `WAITS` never comes."""

    pieces: list[str] = ["Hello", " world"]  # noqa: RUF012 - pydantic copies it
    model: str = "gpt-4o-mini"
    temperature: float = 0.5
    n: int = 0

    @property
    def _llm_type(self) -> str:
        return "test"

    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        return {**super()._get_ls_params(stop=stop, **kwargs), "ls_provider": "azure_openai"}

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, "top_p": 0.9, "max_completion_tokens": 50}

    def _get_invocation_params(self, stop: Any = None, **kwargs: Any) -> Any:
        return {**self._identifying_params, **kwargs}

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        if FAILS in self.pieces:
            raise ValueError("no answer for ann@example.com")
        message = AIMessage("".join(self.pieces), usage_metadata=USAGE, response_metadata={"finish_reason": "stop"})
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _chunks(self) -> Iterator[ChatGenerationChunk | str]:
        for piece in self.pieces:
            if piece == FAILS:
                raise ValueError("broken")
            yield piece if piece == WAITS else ChatGenerationChunk(message=AIMessageChunk(piece))
        end = AIMessageChunk("", usage_metadata=USAGE, response_metadata={"finish_reason": "stop"})
        yield ChatGenerationChunk(message=end)

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for chunk in self._chunks():
            assert not isinstance(chunk, str)
            yield chunk

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._chunks():
            if isinstance(chunk, str):
                await asyncio.Event().wait()
            else:
                yield chunk

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        if WAITS in self.pieces:
            await asyncio.Event().wait()
        return self._generate(*args, **kwargs)


@pytest.fixture
def handler() -> CallbackHandler:
    """The handler under test."""
    return CallbackHandler()


@pytest.fixture
def model(handler: CallbackHandler) -> Model:
    """A model that has it."""
    return Model(callbacks=[handler])


def text(chunks: Any) -> str:
    return "".join(chunk.content for chunk in chunks)


def check(record: dict[str, Any], **expected: Any) -> None:
    """What every record of these has, and these fields."""
    fields = {"provider": "azure", "model": "gpt-4o-mini", "operation": "chat", "temperature": 0.5, "top_p": 0.9,
              "max_tokens": 50, **expected}  # fmt: skip
    assert {name: record.get(name) for name in fields} == fields


def test_a_whole_answer(model: Model, calls: Records) -> None:
    """What was asked and what came, under the run's id."""
    run_id = uuid.uuid4()
    answer = model.invoke([SystemMessage("Be kind"), HumanMessage("Hi")], config={"run_id": run_id})
    assert answer.content == "Hello world"
    record = calls.one()
    check(
        record, outcome="completed", ended_by="exhausted", streamed=False, call_id=str(run_id), input_tokens=9,
        output_tokens=2, usage_source="provider", finish_reason="stop", prompt_length=9, response_length=11,
        parent_id=None, chain_id=None, tags=None,
    )  # fmt: skip


def test_a_streamed_answer(model: Model, calls: Records, clock: Clock) -> None:
    """The chunks are handed on as they come, and timed."""
    got = []
    for chunk in model.stream("Hi"):
        assert not calls.records
        got.append(chunk.content)
        clock.advance(1.0)
    assert [piece for piece in got if piece] == ["Hello", " world"]
    record = calls.one()
    check(record, outcome="completed", streamed=True, chunks=len(got), content_chunks=2, usage_source="provider",
          ttft_ms=0.0, latency_ms=1000.0 * len(got), response_length=11)  # fmt: skip
    assert "wait_ms" not in record  # whose the time was, a callback does not see
    assert "consumer_ms" not in record


@pytest.mark.parametrize("way", ["break", "close", "raise"])
def test_left_early(model: Model, calls: Records, way: str) -> None:
    """An early break is a stream that was left, and no error; what was delivered is counted."""
    stream = model.stream("Hi there")
    try:
        for _ in stream:
            if way == "raise":
                raise LookupError
            break
    except LookupError:
        pass
    if way == "close":
        stream.close()
    del stream
    record = calls.one()
    check(record, outcome="aborted", ended_by="loop_left", levelno=logging.INFO, chunks=1, usage_source="estimated",
          output_tokens=1, error_type=None)  # fmt: skip
    assert record["input_tokens"] == llmlog.count_tokens([{"role": "user", "content": "Hi there"}], "gpt-4o-mini")


def test_left_and_held(model: Model, calls: Records) -> None:
    """A generator that is held after its loop was left is settled when its request ends, or by flush()."""
    with llmlog.request():
        held = model.stream("Hi")
        next(held)
        llmlog.flush()
        assert calls.all() == []
    check(calls.one(), outcome="aborted", ended_by="loop_left", chunks=1)
    calls.clear()
    other = model.stream("Hi")
    next(other)
    llmlog.flush()
    check(calls.one(), outcome="aborted", ended_by="loop_left", chunks=1)
    assert text(held) == text(other) == " world"
    assert len(calls.all()) == 1


def test_flush_settles_no_run_without_tokens(model: Model, calls: Records) -> None:
    """A model that is thinking is not left."""

    def flushing(messages: Any, *args: Any, **kwargs: Any) -> Any:
        llmlog.flush()
        assert calls.all() == []
        return Model()._generate(messages)

    object.__setattr__(model, "_generate", flushing)
    model.invoke("Hi")
    check(calls.one(), outcome="completed")


def test_failures(handler: CallbackHandler, calls: Records) -> None:
    """The error reaches the caller; the record has it redacted, and what came before it."""
    with pytest.raises(ValueError, match="no answer"):
        Model(pieces=[FAILS], callbacks=[handler]).invoke("Hi")
    check(calls.one(), outcome="error", ended_by="exception", error_type="ValueError",
          error_message="no answer for <EMAIL>", streamed=False)  # fmt: skip
    calls.clear()
    stream = Model(pieces=["Hello", FAILS], callbacks=[handler]).stream("Hi")
    assert next(stream).content == "Hello"
    with pytest.raises(ValueError, match="broken"):
        next(stream)
    check(calls.one(), outcome="error", ended_by="exception", streamed=True, chunks=1, response_length=5)


async def left(stream: Any) -> None:
    async for _ in stream:
        break


def test_async(model: Model, calls: Records) -> None:
    """Whole, streamed, left, and failed in a loop: the same records."""

    async def main() -> list[str]:
        await model.ainvoke("Hi")
        got = [chunk.content async for chunk in model.astream("Hi") if chunk.content]
        await left(model.astream("Hi"))
        gc.collect()
        for _ in range(100_000):  # the loop closes what was left in tasks of its own, the worker makes the record
            if len(calls.all()) == 3:
                break
            await asyncio.sleep(0)
        with pytest.raises(ValueError, match="broken"):
            [chunk async for chunk in Model(pieces=[FAILS], callbacks=model.callbacks).astream("Hi")]
        return got

    assert asyncio.run(main()) == ["Hello", " world"]
    found = calls.all()
    assert [(one["outcome"], one["ended_by"], one["streamed"]) for one in found] == [
        ("completed", "exhausted", False), ("completed", "exhausted", True), ("aborted", "loop_left", True),
        ("error", "exception", False),
    ]  # fmt: skip
    for record in found:
        check(record)


def test_left_when_the_loop_ends(model: Model, calls: Records) -> None:
    """The loop cancels the closing of a generator that was left: that is no cancelled call."""
    asyncio.run(left(model.astream("Hi")))
    check(calls.one(), outcome="aborted", ended_by="loop_left", error_type=None)


@pytest.mark.parametrize("way", ["invoke", "stream", "chain", "chain stream"])
def test_cancelled(handler: CallbackHandler, calls: Records, way: str) -> None:
    """Cancelled while waiting for the model, which LangChain does not always tell."""
    asked: Any = Model(pieces=["Hello", WAITS], callbacks=[handler])
    if way.startswith("chain"):
        asked = asked | StrOutputParser()

    async def main() -> None:
        started = asyncio.Event()

        async def consume() -> None:
            if way.endswith("stream"):
                async for _ in asked.astream("Hi", config={"callbacks": [handler]}):
                    started.set()
            else:
                asyncio.get_running_loop().call_soon(started.set)
                await asked.ainvoke("Hi", config={"callbacks": [handler]})

        task = asyncio.create_task(consume())
        await started.wait()
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(main())
    check(calls.one(), outcome="cancelled", ended_by="cancellation", error_type="asyncio.exceptions.CancelledError",
          chunks=1 if way.endswith("stream") else None)  # fmt: skip


def test_a_run_without_an_end(handler: CallbackHandler, calls: Records) -> None:
    """What LangChain drops is dropped here: nothing is kept, and each has its record."""
    for _ in range(50):
        run_id = uuid.uuid4()
        handler.on_chat_model_start({}, [[HumanMessage("Hi")]], run_id=run_id)
        handler.on_llm_new_token("Hel", run_id=run_id)
        handler.on_chain_start({}, {}, run_id=run_id)
    del run_id
    gc.collect()
    assert (len(handler._runs), len(handler._steps)) == (0, 0)
    assert [one["ended_by"] for one in calls.all()] == ["garbage_collected"] * 50


def test_ids_that_are_texts(handler: CallbackHandler, calls: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    """LangServe gives its runs such ids: they are kept to a number, and each has its record."""
    run_id: Any = str(uuid.uuid4())
    Model(callbacks=[handler]).invoke("Hi", config={"run_id": run_id})
    check(calls.one(), call_id=run_id, outcome="completed")
    calls.clear()
    monkeypatch.setattr("llmlog.integrations.langchain._TEXT_IDS", 10)
    for number in range(50):
        handler.on_chat_model_start({}, [[HumanMessage("Hi")]], run_id=f"run-{number}")  # type: ignore[arg-type]
        handler.on_llm_new_token("Hel", run_id=f"run-{number}")  # type: ignore[arg-type]
    assert len(handler._runs) == 10
    assert [one["ended_by"] for one in calls.all()] == ["garbage_collected"] * 40


def test_two_handlers(handler: CallbackHandler, calls: Records) -> None:
    """A second one, for the whole process or for the chain, makes no second record and counts nothing twice."""
    model = Model(callbacks=[handler])
    second = {"callbacks": [CallbackHandler(feature="search")]}
    assert text(model.stream("Hi", config=second)) == "Hello world"
    record = calls.one()
    check(record, outcome="completed", content_chunks=2, feature="search", response_length=11)
    calls.clear()
    model.invoke("Hi", config=second)
    check(calls.one(), outcome="completed", streamed=False, feature="search")


def test_stream_around(model: Model, calls: Records) -> None:
    """The outermost owns the record: its name and its times, and what the run of the model knows."""
    assert text(llmlog.stream(model.stream("Hi"), feature="search")) == "Hello world"
    record = calls.one()
    check(record, outcome="completed", feature="search", response_length=11, input_tokens=9, content_chunks=2)
    assert "wait_ms" in record
    calls.clear()
    chain = model | StrOutputParser()
    assert "".join(llmlog.stream(chain.stream("Hi"), provider="text")) == "Hello world"
    check(calls.one(), outcome="completed", response_length=11, input_tokens=9, usage_source="provider")


def test_stream_around_a_chain_of_two(model: Model, calls: Records) -> None:
    """The model that is streamed is the stream's own; the one that was asked before it has a record beside it."""

    async def answered() -> AsyncIterator[Any]:
        await model.ainvoke("Say it again")
        async for chunk in model.astream("Hi"):
            yield chunk

    async def main() -> str:
        return "".join([chunk.content async for chunk in llmlog.stream(answered(), feature="search")])

    assert asyncio.run(main()) == "Hello world"
    first, second = calls.all()
    assert (first["streamed"], first.get("feature")) == (False, None)
    assert (second["streamed"], second["feature"], second["response_length"]) == (True, "search", 11)


def test_call_around(model: Model, calls: Records) -> None:
    """Inside a block, the run is the block's call; finishing with what LangChain has made of the answer is no other."""
    with llmlog.call(feature="search") as call:
        call.finish(model.invoke("Hi"))
    record = calls.one()
    check(record, outcome="completed", feature="search", call_id=call.call_id, streamed=False)
    calls.clear()
    with llmlog.call() as call:
        for _ in call.stream(model.stream("Hi")):
            pass
    check(calls.one(), outcome="completed", content_chunks=2)
    calls.clear()
    with pytest.raises(ValueError, match="no answer"), llmlog.call():
        Model(pieces=[FAILS], callbacks=model.callbacks).invoke("Hi")
    check(calls.one(), outcome="error", ended_by="exception")


def test_a_second_attempt_in_a_block(handler: CallbackHandler, calls: Records) -> None:
    """Inside a block, a model that failed and the one that stood in for it are attempts of one call."""
    with llmlog.call() as call:
        asked = Model(pieces=[FAILS]).with_fallbacks([Model(pieces=["Yes"])])
        call.finish(asked.invoke("Hi", config={"callbacks": [handler]}))
    failed, answered = calls.all()
    assert (failed["outcome"], failed["parent_id"]) == ("error", call.call_id)
    assert (answered["outcome"], answered["call_id"], answered["response_length"]) == ("completed", call.call_id, 3)


class Delegating(Model):
    """A model that has another one answer."""

    inner: Any = None

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.inner.invoke(messages))])

    def _stream(self, messages: Any, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for chunk in self.inner.stream(messages):
            yield ChatGenerationChunk(message=chunk)


def test_a_model_inside_a_model(model: Model, handler: CallbackHandler, calls: Records) -> None:
    """Two layers that see the same call: the outer one's record, and nothing is counted twice."""
    outer = Delegating(inner=model, callbacks=[handler], model="gpt-4o")
    run_id = uuid.uuid4()
    assert text(outer.stream("Hi", config={"run_id": run_id})) == "Hello world"
    record = calls.one()
    assert (record["call_id"], record["model"], record["response_length"]) == (str(run_id), "gpt-4o", 11)
    assert (record["content_chunks"], record["input_tokens"]) == (2, 9)
    calls.clear()
    outer.invoke("Hi")
    assert calls.one()["outcome"] == "completed"
    calls.clear()
    with pytest.raises(ValueError, match="no answer"):
        Delegating(inner=Model(pieces=[FAILS], callbacks=[handler]), callbacks=[handler]).invoke("Hi")
    check(calls.one(), outcome="error", ended_by="exception")


def test_a_wrapped_client_inside(handler: CallbackHandler, calls: Records) -> None:
    """The run owns the record; what the layer inside reads is in it, once."""

    class Inside(Model):
        def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
            with llmlog.call(provider="openai", model="gpt-4o") as call:
                for chunk in call.stream(openai_answer("Hello", " world")):
                    if chunk["choices"]:
                        yield ChatGenerationChunk(message=AIMessageChunk(chunk["choices"][0]["delta"]["content"] or ""))

    run_id = uuid.uuid4()
    assert text(Inside(callbacks=[handler]).stream("Hi", config={"run_id": run_id})) == "Hello world"
    record = calls.one()
    check(record, outcome="completed", call_id=str(run_id), response_model="gpt-4o-mini-2024-07-18",
          usage_source="provider", response_length=11, content_chunks=2)  # fmt: skip


def test_several_prompts_at_once(model: Model, calls: Records) -> None:
    """Each prompt of generate() is a run, and a record."""
    model.generate([[HumanMessage("Hi")], [HumanMessage("Good day")]])
    assert sorted(one["prompt_length"] for one in calls.all()) == [2, 8]
    calls.clear()
    asyncio.run(model.agenerate([[HumanMessage("Hi")], [HumanMessage("Good day")]]))
    assert sorted(one["prompt_length"] for one in calls.all()) == [2, 8]


def test_side_by_side(model: Model, calls: Records) -> None:
    """batch(), abatch() and RunnableParallel: as many records as answers, each its own."""
    model.batch(["a", "bb", "ccc"])
    asyncio.run(model.abatch(["dddd", "eeeee"]))
    both = RunnableParallel(one=model, other=RunnableLambda(lambda x: f"{x}!") | model)
    both.invoke("ffffff", config={"callbacks": []})
    asyncio.run(both.ainvoke("gggggggg"))
    found = calls.all()
    assert sorted(one["prompt_length"] for one in found) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert len({one["call_id"] for one in found}) == 9


def test_chains(handler: CallbackHandler, calls: Records) -> None:
    """A record says which run it is a part of, and which chain that is a part of."""
    prompt = ChatPromptTemplate.from_messages([("system", "Be kind"), ("user", "{question}")])
    inner = (prompt | Model() | StrOutputParser()).with_config(run_name="answering")
    chain = (RunnableLambda(lambda x: {"question": x}) | inner).with_config(run_name="shop")
    run_id = uuid.uuid4()
    config: Any = {"callbacks": [handler], "run_id": run_id}
    assert chain.invoke("Hi", config=config) == "Hello world"
    record = calls.one()
    check(record, chain_name="shop", chain_id=str(run_id), prompt_length=9)
    assert record["parent_id"] not in (None, str(run_id))


def test_tags_and_metadata(handler: CallbackHandler, calls: Records) -> None:
    """The user's tags, without LangChain's own; of the metadata what has a name here."""
    chain = Model(tags=["fast"]) | StrOutputParser()
    metadata = {"user_id": "u-1", "feature": "search", "thread_id": "t-1", "colour": "red", "prompt_name": None}
    chain.invoke("Hi", config={"callbacks": [handler], "tags": ["shop"], "metadata": metadata})
    record = calls.one()
    check(record, user_id="u-1", feature="search", conversation_id="t-1")
    assert sorted(record["tags"]) == ["fast", "shop"]
    assert "colour" not in record
    assert "prompt_name" not in record


def test_options(calls: Records) -> None:
    """Fields of one's own, and the texts of these calls only."""
    handler = CallbackHandler(capture=100, team="blue")
    Model(callbacks=[handler]).invoke([HumanMessage("Write to ann@example.com")])
    record = calls.one()
    assert (record["team"], record["response"]) == ("blue", "Hello world")
    assert "<EMAIL>" in record["prompt"]
    with pytest.raises(llmlog.UsageTypeError, match="capture"):
        CallbackHandler(capture="all")  # type: ignore[arg-type]


def test_conversations_are_counted_as_they_are_sent(handler: CallbackHandler, calls: Records) -> None:
    """Roles, calls of tools and their answers have the names of the chat API, so that counts are the provider's."""
    asked = {"name": "weather", "args": {"city": "Oslo"}, "id": "call_1", "type": "tool_call"}
    messages = [SystemMessage("Be kind"), HumanMessage("How is it?"), AIMessage("", tool_calls=[asked]),
                ToolMessage("Rain", tool_call_id="call_1")]  # fmt: skip
    for _ in Model(callbacks=[handler]).stream(messages):
        break
    same: Any = [
        {"role": "system", "content": "Be kind"},
        {"role": "user", "content": "How is it?"},
        {"role": "assistant", "content": "", "tool_calls": [
            {"type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}]},
        {"role": "tool", "content": "Rain"},
    ]  # fmt: skip
    assert calls.one()["input_tokens"] == llmlog.count_tokens(same, "gpt-4o-mini")


def test_a_cached_answer(handler: CallbackHandler, calls: Records) -> None:
    """It was not paid for again, and says why."""
    model = Model(callbacks=[handler], cache=InMemoryCache())
    assert model.invoke("Hi").content == model.invoke("Hi").content
    asked, cached = calls.all()
    assert (asked.get("cached"), cached["cached"]) == (None, True)
    assert asked["cost_usd"] > 0
    assert (cached["cost_usd"], cached["cost_source"]) == (0.0, "not billed: a cache answered")
    assert cached["outcome"] == "completed"


def test_a_model_that_completes_text(handler: CallbackHandler, calls: Records) -> None:
    """The older kind of model: a prompt, not messages."""
    FakeListLLM(responses=["world"], callbacks=[handler]).invoke("Hello")
    record = calls.one()
    assert (record["operation"], record["prompt_length"], record["response_length"]) == ("text_completion", 5, 5)
    assert record["outcome"] == "completed"


class Telling(LLM):
    """A model that tells of its tokens without their chunks, as older integrations do."""

    @property
    def _llm_type(self) -> str:
        return "telling"

    def _call(self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> str:
        for token in ("wo", "rld"):
            run_manager.on_llm_new_token(token)
        return "world"


def test_tokens_without_chunks(handler: CallbackHandler, calls: Records) -> None:
    """They are counted and timed; the text is the whole answer's, and not there twice."""
    Telling(callbacks=[handler]).invoke("Hello")
    record = calls.one()
    assert (record["outcome"], record["chunks"], record["content_chunks"]) == ("completed", 2, 2)
    assert (record["response_length"], record["streamed"]) == (5, True)


@pytest.mark.filterwarnings("ignore:.*beta:langchain_core._api.beta_decorator.LangChainBetaWarning")
def test_events_of_the_third_protocol(model: Model, calls: Records) -> None:
    """`stream_events(version="v3")` tells of deltas instead of tokens."""
    stream = model.stream_events("Hi", version="v3")
    assert "".join(stream.text) == "Hello world"
    check(calls.one(), outcome="completed", streamed=True, content_chunks=2, response_length=11, input_tokens=9)


def test_events_of_the_second_protocol(model: Model, calls: Records) -> None:
    """`astream_events()` streams what was only invoked; the record is one, and knows it was streamed."""

    async def main() -> list[str]:
        return [event["event"] async for event in RunnableLambda(model.invoke).astream_events("Hi", version="v2")]

    assert "on_chat_model_stream" in asyncio.run(main())
    check(calls.one(), outcome="completed", streamed=True, content_chunks=2)


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    if city == "Nowhere":
        raise LookupError("no such place as bob@example.com's")
    return "rain"


def test_tools(handler: CallbackHandler, calls: Records, clock: Clock) -> None:
    """Each run of a tool is an event: which, how long, how it ended; no argument."""
    call = {"name": "weather", "args": {"city": "Oslo"}, "id": "call_1", "type": "tool_call"}
    chain = RunnableLambda(lambda x: weather.invoke(x)).with_config(run_name="agent")
    with llmlog.request("r-1"):
        chain.invoke(call, config={"callbacks": [handler], "tags": ["shop"]})
    with pytest.raises(LookupError):
        asyncio.run(weather.ainvoke({"city": "Nowhere"}, config={"callbacks": [handler]}))
    done, failed = calls.events("llm.tool")
    assert (done["tool_name"], done["tool_call_id"], done["outcome"]) == ("weather", "call_1", "completed")
    assert (done["chain_name"], done["request_id"], done["latency_ms"]) == ("agent", "r-1", 0.0)
    assert done["arguments_length"] == len("{'city': 'Oslo'}")
    assert done["parent_id"] == done["chain_id"]
    assert (failed["outcome"], failed["error_type"]) == ("error", "LookupError")
    assert failed["error_message"] == "no such place as <EMAIL>'s"
    assert "Oslo" not in str(done)
    assert calls.all() == []


class Shelf(BaseRetriever):
    """Finds what it was given."""

    found: list[Any]

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        if not self.found:
            raise TimeoutError("no index")
        return self.found


def test_retrievers(handler: CallbackHandler, calls: Records) -> None:
    """Each search is an event with what was found, by id and score."""
    config: Any = {"callbacks": [handler]}
    first = [Document("a", id="d-1", metadata={"score": 0.9}), Document("b", metadata={"source": "d-2", "score": 1})]
    Shelf(found=first).invoke("Where is it?", config=config)
    asyncio.run(Shelf(found=[Document("c")]).ainvoke("?", config=config))
    with pytest.raises(TimeoutError):
        Shelf(found=[]).invoke("Hm", config=config)
    known, unknown, failed = calls.events("llm.retrieval")
    assert (known["document_ids"], known["document_scores"]) == (["d-1", "d-2"], [0.9, 1.0])
    assert (known["document_count"], known["query_length"], known["retriever"]) == (2, 12, "Shelf")
    assert known["latency_ms"] >= 0
    assert (unknown["document_count"], "document_ids" in unknown, "document_scores" in unknown) == (1, False, False)
    assert (failed["outcome"], failed["error_type"]) == ("error", "TimeoutError")


def test_a_search_that_finds_no_list(handler: CallbackHandler, calls: Records) -> None:
    """A retriever that returns nothing at all has its event, too."""
    run_id = uuid.uuid4()
    handler.on_retriever_start({"name": "Shelf"}, "?", run_id=run_id)
    handler.on_retriever_end(None, run_id=run_id)  # type: ignore[arg-type]
    assert calls.events("llm.retrieval")[0]["document_count"] == 0


def test_runs_begin_while_others_are_looked_through(handler: CallbackHandler) -> None:
    """One handler is enough for all threads: a chain that is cancelled in one, and chains that begin in another."""
    stop, interval = threading.Event(), sys.getswitchinterval()

    def begin() -> None:
        while not stop.is_set():
            held = [uuid.uuid4() for _ in range(50)]
            for run_id in held:
                handler.on_chain_start({}, {}, run_id=run_id)

    thread = threading.Thread(target=begin)
    sys.setswitchinterval(1e-6)
    try:
        thread.start()
        for _ in range(2000):
            handler._steps.items()
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(interval)
    assert handler._steps.items() == []


def test_odd_callbacks(handler: CallbackHandler, calls: Records, faults_expected: dict[str, int]) -> None:
    """What is absent or of another kind is left out; what was never begun is nothing; nothing is raised."""
    unknown = uuid.uuid4()
    handler.on_llm_new_token("a", run_id=unknown)
    handler.on_llm_end(None, run_id=unknown)
    handler.on_llm_error(ValueError(), run_id=unknown)
    handler.on_tool_end(None, run_id=unknown)
    handler.on_retriever_end([], run_id=unknown)
    run_id = uuid.uuid4()
    handler.on_chat_model_start(None, [], run_id=run_id, metadata=None, tags=None, invocation_params=None)  # type: ignore[arg-type]
    handler.on_llm_new_token(None, run_id=run_id)
    handler.on_stream_event(None, run_id=run_id)
    handler.on_llm_end(None, run_id=run_id)
    assert len(calls.all()) == 1
    handler.on_chat_model_start({}, [[None]], run_id=unknown, metadata={"ls_provider": 3, "user_id": object()})  # type: ignore[list-item]
    handler.on_llm_error(KeyboardInterrupt(), run_id=unknown)
    assert calls.all()[1]["outcome"] == "cancelled"
    handler.on_chat_model_start({}, 3, run_id=unknown)  # type: ignore[arg-type]
    assert len(calls.all()) == 2
    faults_expected["a callback of LangChain's"] = 1


def test_it_is_found_by_its_path() -> None:
    """As LangChain's settings and dotted paths name it."""
    assert importlib.import_module("llmlog.integrations.langchain").CallbackHandler is CallbackHandler
    assert CallbackHandler.run_inline is True


def test_without_langchain(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "langchain_core.callbacks", None)
    monkeypatch.delitem(sys.modules, "llmlog.integrations.langchain")
    with pytest.raises(ImportError, match=r"pip install 'llmlog\[langchain\]'"):
        importlib.import_module("llmlog.integrations.langchain")
