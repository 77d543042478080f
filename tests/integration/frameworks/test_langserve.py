"""LangServe: a chain behind real uvicorn, asked by RemoteRunnable; readers who read on, and readers who hang up."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from conftest import framework

import llmlog
from llmlog.middleware import ASGIMiddleware
from llmlog.testing import Captured, Script, ScriptedServer, assert_one_summary, serve

langserve = framework("langserve")
FastAPI: Any = framework("fastapi").FastAPI
uvicorn = framework("uvicorn")
ChatOpenAI: Any = framework("langchain_openai").ChatOpenAI
prompts = framework("langchain_core.prompts")
parsers = framework("langchain_core.output_parsers")

QUESTION = {"question": "Where is my parcel?"}
PATIENCE = 10.0

# What LangServe, which is not worked on any more, makes use of and pydantic will not have for ever.
pytestmark = pytest.mark.filterwarnings("ignore:::langserve.*", "ignore::pydantic.PydanticDeprecatedSince20")


@contextmanager
def running(app: Any) -> Iterator[str]:
    """The app under uvicorn, on a free port, in a thread; gives its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        assert eventually(lambda: server.started)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def eventually(condition: Callable[[], Any]) -> Any:
    """Wait until `condition` gives something, and give that; or what it gave last."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


@pytest.fixture(scope="module")
def model_server() -> Iterator[ScriptedServer]:
    """A server, told by each test what to play."""
    with serve() as made:
        yield made


@pytest.fixture(scope="module")
def url(model_server: ScriptedServer) -> Iterator[str]:
    """A service with a chain: prompt, model, parser; with llmlog's middleware and callbacks."""
    from llmlog.integrations.langchain import CallbackHandler

    model = ChatOpenAI(model="gpt-4o-mini", base_url=model_server.openai_url, api_key="sk-test", max_retries=0,
                       stream_usage=True)  # fmt: skip
    prompt = prompts.ChatPromptTemplate.from_messages([("user", "{question}")])
    chain = (prompt | model | parsers.StrOutputParser()).with_config(callbacks=[CallbackHandler(feature="serve")])
    app = FastAPI()
    app.add_middleware(ASGIMiddleware)
    langserve.add_routes(app, chain, path="/shop")
    with running(app) as root:
        yield f"{root}/shop"


@contextmanager
def calling(url: str, request_id: str, runner: asyncio.Runner) -> Iterator[Any]:
    """The chain, as its callers have it; its connections are closed in the loop that they belong to."""
    remote = langserve.RemoteRunnable(url, headers={"X-Request-ID": request_id})
    try:
        yield remote
    finally:
        runner.run(remote.async_client.aclose())


@pytest.fixture
def remote(url: str, runner: asyncio.Runner) -> Iterator[Any]:
    """The chain from afar."""
    with calling(url, "r-1", runner) as made:
        yield made


def settled(llm_calls: Captured) -> None:
    """Wait for the record: the server makes it when its answer is sent, and that is later than the client has it."""

    def there() -> bool:
        gc.collect()
        return bool(llm_calls.all())

    assert eventually(there)


def check(llm_calls: Captured, **expected: Any) -> None:
    settled(llm_calls)
    assert_one_summary(llm_calls, provider="openai", model="gpt-4o-mini", request_id="r-1", feature="serve",
                       chain_name="/shop", parent_id=lambda it: it, **expected)  # fmt: skip


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "batch"])
def test_whole_answers(
    runner: asyncio.Runner, model_server: ScriptedServer, remote: Any, llm_calls: Captured, way: str
) -> None:
    """One answer, one record, with the request's id."""
    model_server.play(Script(["Hello", " world"]))
    if way == "batch":
        assert remote.batch([QUESTION]) == ["Hello world"]
    else:
        answer = runner.run(remote.ainvoke(QUESTION)) if way == "ainvoke" else remote.invoke(QUESTION)
        assert answer == "Hello world"
    check(llm_calls, outcome="completed", streamed=False, input_tokens=10, output_tokens=2)


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_streamed_one_by_one(
    runner: asyncio.Runner, model_server: ScriptedServer, remote: Any, llm_calls: Captured, way: str
) -> None:
    """Each token is with the far end before the next one is sent."""
    model_server.play(Script([f"{number} " for number in range(10)]))
    arriving = model_server.one_by_one()

    async def main() -> None:
        async for piece in remote.astream(QUESTION):
            arriving.arrived(piece)

    if way == "astream":
        runner.run(main())
    else:
        for piece in remote.stream(QUESTION):
            arriving.arrived(piece)
    arriving.check()
    check(llm_calls, outcome="completed", streamed=True, content_chunks=10, input_tokens=10)


def test_events(runner: asyncio.Runner, model_server: ScriptedServer, remote: Any, llm_calls: Captured) -> None:
    """`astream_events()` from afar."""
    model_server.play(Script(["Hello", " world"]))

    async def main() -> list[str]:
        return [event["event"] async for event in remote.astream_events(QUESTION, version="v2")]

    assert "on_chat_model_stream" in runner.run(main())
    check(llm_calls, outcome="completed", streamed=True, content_chunks=2)


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_the_reader_hangs_up(
    runner: asyncio.Runner, model_server: ScriptedServer, remote: Any, llm_calls: Captured, way: str
) -> None:
    """The record says so, and that it is no error."""
    model_server.play(Script(["Hello", " world"], "hang"))

    async def main() -> None:
        stream = remote.astream(QUESTION)
        async for piece in stream:
            if piece:
                break
        await stream.aclose()

    if way == "astream":
        runner.run(main())
    else:
        stream = remote.stream(QUESTION)
        assert "Hello" in (next(stream), next(stream))
        stream.close()
    check(llm_calls, outcome="cancelled", ended_by="client_disconnect", levelno=20, usage_source="estimated",
          error_type=None)  # fmt: skip


def test_the_model_fails(model_server: ScriptedServer, remote: Any, llm_calls: Captured) -> None:
    """The caller gets LangServe's error, the record the provider's."""
    model_server.play(Script(status=429))
    with pytest.raises(Exception, match="Internal Server Error"):
        list(remote.stream(QUESTION))
    check(llm_calls, outcome="error", ended_by="exception", http_status=429, cost_usd=0.0)


def test_many_readers(runner: asyncio.Runner, model_server: ScriptedServer, url: str, llm_calls: Captured) -> None:
    """Side by side, half of them hang up: a record for each, under its own request."""
    model_server.play(lambda body: Script(["Hello", " world"], "hang" if "leave" in str(body["messages"]) else "end"))

    async def read(number: int, remote: Any) -> None:
        leaves = number % 2 == 0
        stream = remote.astream({"question": "leave" if leaves else "stay"})
        async for piece in stream:
            if piece and leaves:
                break
        await stream.aclose()

    async def main() -> None:
        await asyncio.gather(*(read(number, remote) for number, remote in enumerate(remotes)))

    with ExitStack() as stack:
        remotes = [stack.enter_context(calling(url, f"r-{number}", runner)) for number in range(10)]
        runner.run(main())

    def all_there() -> bool:
        gc.collect()
        return len(llm_calls.all()) >= 10

    assert eventually(all_there)
    found = {one["request_id"]: one["outcome"] for one in llm_calls.all()}
    assert found == {f"r-{number}": "cancelled" if number % 2 == 0 else "completed" for number in range(10)}
    assert llmlog.flush()
    assert len(llm_calls.all()) == 10
