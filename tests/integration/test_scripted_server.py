"""The scripted server with real clients: openai and anthropic, sync and async, and httpx."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

import llmlog
from llmlog.testing import Captured, FakeClock, Script, ScriptedServer, ToolCall, assert_one_summary, serve

anthropic = pytest.importorskip("anthropic")
openai = pytest.importorskip("openai")

MESSAGES: Any = [{"role": "user", "content": "Hello?"}]
OPENAI: Any = {"model": "gpt-4o-mini", "messages": MESSAGES}
ANTHROPIC: Any = {"model": "claude-test", "messages": MESSAGES, "max_tokens": 100}
PIECES = ["Grüße", ", ", "Zoë", " 🙂"]


class Client:
    """One SDK's client, in the few words that the tests below have for both of them."""

    def __init__(self, server: ScriptedServer, sdk: Any, timeout: float = 10) -> None:
        self.sdk = sdk
        options = {"api_key": "sk-test", "max_retries": 0, "timeout": timeout}
        self.made: Any = (
            OpenAI(base_url=server.openai_url, **options)
            if sdk is openai
            else Anthropic(base_url=server.anthropic_url, **options)
        )

    def create(self, **options: Any) -> Any:
        if self.sdk is openai:
            return self.made.chat.completions.create(**OPENAI, **options)
        return self.made.messages.create(**ANTHROPIC, **options)

    def text(self, chunk: Any) -> str | None:
        """The text that one chunk brings."""
        if self.sdk is openai:
            return chunk.choices[0].delta.content if chunk.choices else None
        return getattr(chunk.delta, "text", None) if chunk.type == "content_block_delta" else None

    def read(self, stream: Any, got: list[str]) -> None:
        """All of the stream, text by text."""
        got.extend(text for chunk in stream if (text := self.text(chunk)))


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A server, told by each test what to play."""
    with serve() as server:
        yield server


@pytest.fixture(params=[openai, anthropic], ids=["openai", "anthropic"])
def client(request: pytest.FixtureRequest, server: ScriptedServer) -> Iterator[Client]:
    """The client of one SDK, which gives up at once."""
    client = Client(server, request.param)
    with client.made:
        yield client


def streamed(client: Client) -> list[str]:
    """The texts of one streamed answer."""
    got: list[str] = []
    client.read(client.create(stream=True), got)
    return got


# Each way to end


def test_an_answer_that_ends(server: ScriptedServer, client: Client) -> None:
    """Piece by piece, and whole, with the same words."""
    server.play(Script(PIECES))
    assert streamed(client) == PIECES
    whole = client.create()
    text = whole.choices[0].message.content if client.sdk is openai else whole.content[0].text
    assert text == "".join(PIECES)
    assert whole.model in ("gpt-4o-mini", "claude-test")
    assert server.hung_up == 0


def test_an_answer_that_is_cut(server: ScriptedServer, client: Client) -> None:
    """All pieces arrive, then the connection breaks in the middle of the body; a whole answer too."""
    server.play(Script(PIECES, "cut"))
    got: list[str] = []
    with pytest.raises(Exception, match=r"(?i)connection") as cut:
        client.read(client.create(stream=True), got)
    assert type(cut.value).__name__ in ("APIConnectionError", "RemoteProtocolError")
    assert got == PIECES
    with pytest.raises(client.sdk.APIConnectionError):
        client.create()
    server.play(Script([], "cut"))
    with pytest.raises(Exception, match=r"(?i)connection"):
        client.read(client.create(stream=True), got)


def test_an_answer_that_ends_too_soon(server: ScriptedServer, client: Client) -> None:
    """All pieces arrive, and a proper end of HTTP; what is missing is the format's own end."""
    server.play(Script(PIECES, "short"))
    chunks = list(client.create(stream=True))
    assert [text for chunk in chunks if (text := client.text(chunk))] == PIECES
    assert client.text(chunks[-1]) == PIECES[-1]
    with pytest.raises(json.JSONDecodeError):
        client.create()


def test_an_error_in_the_stream(server: ScriptedServer, client: Client) -> None:
    """All pieces arrive, then the SDK's own exception; a whole answer is a 500 instead."""
    server.play(Script(PIECES, "error"))
    got: list[str] = []
    with pytest.raises(client.sdk.APIError, match=r"failed|Overloaded"):
        client.read(client.create(stream=True), got)
    assert got == PIECES
    with pytest.raises(client.sdk.InternalServerError):
        client.create()


@pytest.mark.parametrize(
    ("script", "arrives"),
    [
        (Script(PIECES, "hang"), PIECES),
        (Script([], "hang"), []),
        (Script(PIECES, hang_before="chunks"), []),
        (Script(PIECES, hang_before="headers"), None),
    ],
    ids=["in the middle", "before the first chunk", "before the chunks", "before the headers"],
)
@pytest.mark.parametrize("sdk", [openai, anthropic], ids=["openai", "anthropic"])
def test_a_hang(server: ScriptedServer, sdk: Any, script: Script, arrives: list[str] | None) -> None:
    """The client's patience ends it, wherever it began, and the server sees the client go."""
    server.play(script)
    client = Client(server, sdk, timeout=0.5)
    got: list[str] = []
    with client.made:
        with contextlib.nullcontext() if arrives is not None else pytest.raises(sdk.APITimeoutError):
            stream = client.create(stream=True)
        if arrives is not None:
            with pytest.raises(Exception, match=r"(?i)timed out|timeout"):
                client.read(stream, got)
            assert got == arrives
        assert server.wait_for_hang_up()
        with pytest.raises(sdk.APITimeoutError):
            client.create()
        assert server.wait_for_hang_up(2)
    assert server.hung_up == 2


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, "BadRequestError"), (401, "AuthenticationError"), (403, "PermissionDeniedError"), (404, "NotFoundError"),
     (429, "RateLimitError"), (500, "InternalServerError"), (503, "InternalServerError")],
)  # fmt: skip
def test_statuses(server: ScriptedServer, client: Client, status: int, error: str) -> None:
    """Each is the SDK's own exception, streamed or not, with the header it looks at."""
    server.play(Script(status=status, headers={"X-Mine": "yes"}))
    for stream in (True, False):
        with pytest.raises(getattr(client.sdk, error)) as refused:
            client.create(stream=stream)
        headers = refused.value.response.headers
        assert refused.value.status_code == status
        assert refused.value.request_id.startswith("req_")
        assert headers.get("retry-after") == ("1" if status == 429 else None)
        assert headers["x-mine"] == "yes"


def test_retries_are_played_too(server: ScriptedServer, client: Client) -> None:
    """Script after script, and the last one again and again; headers of the script replace the provider's."""
    server.play(Script(status=429, headers={"Retry-After": "0", "retry-after-ms": "1"}), Script(PIECES), Script(["x"]))
    client.made = client.made.with_options(max_retries=1)
    assert streamed(client) == PIECES
    assert [streamed(client), streamed(client)] == [["x"], ["x"]]
    assert len(server.requests) == 4


def test_tool_calls(server: ScriptedServer, client: Client) -> None:
    """The SDK's own way of putting them together gets what was scripted, streamed and whole."""
    server.play(Script(["Wait."], tool_calls=[ToolCall("order_status", ['{"order"', ": 3}"]), ToolCall("now")]))
    whole = client.create()
    if client.sdk is openai:
        with client.made.chat.completions.stream(**OPENAI) as stream:
            final = stream.get_final_completion()
        for message in (final.choices[0].message, whole.choices[0].message):
            found = [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls]
            assert (message.content, found) == ("Wait.", [("order_status", {"order": 3}), ("now", {})])
    else:
        with client.made.messages.stream(**ANTHROPIC) as stream:
            final = stream.get_final_message()
        for message in (final, whole):
            text, *calls = message.content
            assert (text.text, message.stop_reason) == ("Wait.", "tool_use")
            assert [(call.name, call.input) for call in calls] == [("order_status", {"order": 3}), ("now", {})]


def test_usage(server: ScriptedServer, client: Client) -> None:
    """As the script says, where the request asks."""
    server.play(Script(PIECES, usage=llmlog.Usage(input_tokens=50, output_tokens=7, cache_read_tokens=20)))
    if client.sdk is openai:
        *_, last = client.create(stream=True, stream_options={"include_usage": True})
        assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (50, 7)
        assert last.usage.prompt_tokens_details.cached_tokens == 20
    else:
        with client.made.messages.stream(**ANTHROPIC) as stream:
            usage = stream.get_final_message().usage
        assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (30, 20, 7)


# The server


def test_requests_are_kept(server: ScriptedServer, client: Client) -> None:
    """Method, path, headers by lower-case names, and the body."""
    client.create(stream=True, extra_headers={"X-Mine": "yes"}).close()
    (request,) = server.requests
    assert (request.method, request.headers["x-mine"]) == ("POST", "yes")
    assert request.path == ("/v1/chat/completions" if client.sdk is openai else "/v1/messages")
    assert request.body["messages"] == MESSAGES
    assert request.body["stream"] is True


def test_a_script_made_of_the_request(server: ScriptedServer, client: Client) -> None:
    """A function of the body."""
    server.play(lambda body: Script([body["model"], "!"]))
    assert streamed(client)[1:] == ["!"]


def test_a_function_that_fails() -> None:
    """The client gets a 500, and the test its own exception."""

    def play(body: Any) -> Any:
        assert body["model"] == "another", "a wrong model was asked for"

    with pytest.raises(AssertionError, match="a wrong model"), serve(play) as server:
        assert httpx.post(f"{server.openai_url}/chat/completions", json=OPENAI).status_code == 500
    with pytest.raises(llmlog.UsageTypeError, match="makes a Script, got None"), serve(lambda body: None) as server:  # type: ignore[arg-type,return-value]
        httpx.post(f"{server.openai_url}/chat/completions", json=OPENAI)
    with pytest.raises(httpx.HTTPStatusError), serve(play) as server:  # the block's own exception comes first
        httpx.post(f"{server.openai_url}/chat/completions", json=OPENAI).raise_for_status()


def test_a_gate_that_fails() -> None:
    """The answer is cut, and the test has its exception."""
    with pytest.raises(ZeroDivisionError), serve(Script(gate=lambda: 1 / 0)) as server:
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.post(f"{server.openai_url}/chat/completions", json={**OPENAI, "stream": True})


def test_what_is_no_request(server: ScriptedServer) -> None:
    """404 for another path or method, 400 for what is no JSON object; no script is used up."""
    server.play(Script(["first"]), Script(["second"]))
    assert httpx.get(f"{server.url}/v1/models").status_code == 404
    assert httpx.get(f"{server.openai_url}/chat/completions").status_code == 404
    for content in (b"", b"[]", b"{"):
        response = httpx.post(f"{server.anthropic_url}/v1/messages", content=content)
        assert (response.status_code, response.json()["type"]) == (400, "error")
    response = httpx.post(f"{server.openai_url}/chat/completions?version=1", json=OPENAI)
    assert response.json()["choices"][0]["message"]["content"] == "first"
    assert len(server.requests) == 6


def test_a_request_in_chunks(server: ScriptedServer) -> None:
    """A body without a length."""
    pieces = iter([b'{"model": "m",', b' "messages": []}'])
    response = httpx.post(f"{server.openai_url}/chat/completions", content=pieces)
    assert response.status_code == 200
    assert server.requests[0].body == {"model": "m", "messages": []}


def test_one_connection_for_many_requests(server: ScriptedServer) -> None:
    """Answers that end leave the connection usable; the chunks on the wire are the events."""
    server.play(Script(["a", "b"]))
    with httpx.Client(base_url=server.url) as client:
        for _ in range(3):
            with client.stream("POST", "/v1/messages", json={**ANTHROPIC, "stream": True}) as response:
                chunks = list(response.iter_raw())
                port = response.extensions["network_stream"].get_extra_info("client_addr")[1]
            assert b"".join(chunks).count(b"event: ") == 8
            assert response.headers["content-type"].startswith("text/event-stream")
            assert port == client_port(client)


def client_port(client: httpx.Client) -> int:
    """The local port of the client's one idle connection."""
    (connection,) = client._transport._pool.connections  # type: ignore[attr-defined]
    stream = connection._connection._network_stream
    port: int = stream.get_extra_info("client_addr")[1]
    return port


def test_a_gate(server: ScriptedServer, client: Client) -> None:
    """A piece is sent when the test lets it through, not before."""
    gate = threading.Semaphore(0)
    server.play(Script(PIECES, gate=gate))
    stream = client.create(stream=True)
    texts = (text for chunk in stream if (text := client.text(chunk)))
    for piece in PIECES:
        gate.release()
        assert next(texts) == piece
    assert list(texts) == []


def test_a_client_that_goes_at_a_gate(server: ScriptedServer, client: Client) -> None:
    """It is seen."""
    gate = threading.Semaphore(1)
    server.play(Script(PIECES, gate=gate))
    stream = client.create(stream=True)
    for chunk in stream:
        if client.text(chunk):
            break
    assert server.hung_up == 0
    assert server.wait_for_hang_up(1, timeout=0.01) is False
    stream.close()
    assert server.wait_for_hang_up()


def test_it_stops_at_once_whatever_hangs() -> None:
    """Hung streams, closed gates, idle connections: all threads are gone, and those who waited are told."""
    before = threading.active_count()
    with serve(Script(["a"], "hang"), Script(gate=threading.Semaphore(0)), Script()) as server:
        client = Client(server, openai)
        hung, gated = client.create(stream=True), client.create(stream=True)
        next(hung)
        streamed(client)  # leaves an idle connection
        idle = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
        begun = time.monotonic()
    assert time.monotonic() - begun < 1
    assert server.hung_up == 0  # nobody went: the server did
    server.close()
    for stream in (hung, gated):
        with pytest.raises(openai.APIConnectionError):
            list(stream)
    with idle, contextlib.suppress(ConnectionResetError):  # where it was not accepted yet
        assert idle.recv(1) == b""
    client.made.close()
    gc.collect()
    assert threading.active_count() == before


def test_errors_of_use(server: ScriptedServer) -> None:
    """They name the value."""
    with pytest.raises(llmlog.UsageTypeError, match="got 'Hello'"):
        serve("Hello")  # type: ignore[arg-type]
    with pytest.raises(llmlog.UsageValueError, match=r"at least one script, got \(\)"):
        server.play()
    with pytest.raises(llmlog.UsageTypeError, match="got 'soon'"):
        server.one_by_one("soon")  # type: ignore[arg-type]


def test_many_clients_at_once(server: ScriptedServer) -> None:
    """Each script is played once."""
    server.play(*[Script([str(n)]) for n in range(20)])
    got = []

    def ask() -> None:
        response = httpx.post(f"{server.openai_url}/chat/completions", json=OPENAI)
        got.append(response.json()["choices"][0]["message"]["content"])

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got, key=int) == [str(n) for n in range(20)]


# One by one


def test_the_whole_chain(server: ScriptedServer, client: Client) -> None:
    """Every piece reaches the loop before the next one is sent."""
    server.play(Script(PIECES))
    chain = server.one_by_one()
    for chunk in client.create(stream=True):
        chain.arrived(client.text(chunk))
    chain.check()


@pytest.mark.parametrize("then", ["cut", "short", "error", "hang"])
def test_the_whole_chain_before_a_fault(server: ScriptedServer, client: Client, then: Any) -> None:
    """It holds up to the fault, for the callback of a consumer in another thread."""
    server.play(Script(PIECES, then))
    chain = server.one_by_one()

    def consume() -> None:
        try:
            for chunk in client.create(stream=True, timeout=0.5):
                chain.arrived(client.text(chunk))
        except Exception:
            pass

    thread = threading.Thread(target=consume)
    thread.start()
    chain.check()
    thread.join()


def test_the_whole_chain_through_llmlog(server: ScriptedServer, llm_calls: Captured) -> None:
    """llmlog itself delays nothing: the wrapped client, inside a stream, to a callback."""
    server.play(Script(PIECES))
    chain = server.one_by_one()
    client = llmlog.wrap(Client(server, openai).made)
    with client:
        for chunk in llmlog.stream(client.chat.completions.create(**OPENAI, stream=True)):
            chain.arrived(chunk.choices[0].delta.content)
    chain.check()
    assert_one_summary(llm_calls, outcome="completed", content_chunks=len(PIECES), response_length=12)


def buffering(chunks: Any, size: int) -> Iterator[Any]:
    """What a layer in between must not do: hold `size` chunks back."""
    held = []
    for chunk in chunks:
        held.append(chunk)
        if len(held) > size:
            yield held.pop(0)
    yield from held


@pytest.mark.parametrize("size", [1, 1000])
def test_a_consumer_that_buffers_is_found_out(server: ScriptedServer, client: Client, size: int) -> None:
    """By one chunk or by all: the message names the piece, and the consumer comes to its end all the same."""
    server.play(Script(PIECES))
    chain = server.one_by_one(timeout=0.2)
    texts = [text for chunk in client.create(stream=True) if (text := client.text(chunk))] if size > 9 else []
    for chunk in () if texts else buffering(client.create(stream=True), size):
        texts.append(client.text(chunk) or "")
        chain.arrived(texts[-1])
    assert "".join(texts) == "".join(PIECES)
    with pytest.raises(AssertionError) as failed:
        chain.check()
    assert str(failed.value) == "piece 1 'Grüße' was sent and did not arrive within 0.2 s; arrived so far: []"


@pytest.mark.parametrize(
    ("consumer", "message"),
    [
        (lambda texts: (text.upper() for text in texts), "'GRÜSSE' arrived in the place of piece 1 'Grüße'"),
        (lambda texts: (text for text in texts if text != PIECES[2]), "piece 3 'Zoë' was sent and did not arrive"),
        (lambda texts: (t for text in texts for t in (text, text)), "'Grüße' arrived when no piece was on its way"),
        (lambda texts: (text + ("!" if text == PIECES[3] else "") for text in texts), "in the place of piece 4 ' 🙂'"),
    ],
    ids=["changes", "swallows", "repeats", "adds"],
)
def test_a_consumer_that_meddles_is_found_out(
    server: ScriptedServer, client: Client, consumer: Callable[[Any], Any], message: str
) -> None:
    """Whatever it does to the pieces."""
    server.play(Script(PIECES))
    chain = server.one_by_one(timeout=1)
    for text in consumer(text for chunk in client.create(stream=True) if (text := client.text(chunk))):
        chain.arrived(text)
    with pytest.raises(AssertionError) as failed:
        chain.check()
    assert message in str(failed.value)


def test_a_consumer_that_leaves_is_found_out(server: ScriptedServer, client: Client) -> None:
    """The piece that it did not wait for is named."""
    server.play(Script(PIECES))
    chain = server.one_by_one()
    stream = client.create(stream=True)
    for chunk in stream:
        if client.text(chunk) == PIECES[1]:
            break
        chain.arrived(client.text(chunk))
    stream.close()
    with pytest.raises(
        AssertionError, match=r"piece 2 ', ' was sent and did not arrive: the client went away; .*Grüße"
    ):
        chain.check()
    assert server.wait_for_hang_up()


def test_a_server_that_is_closed_breaks_the_chain() -> None:
    """It says so, and nobody waits."""
    with serve(Script(PIECES)) as server:
        chain = server.one_by_one(timeout=60)
        client = Client(server, openai)
        stream = client.create(stream=True)
        next(stream)
    with pytest.raises(AssertionError, match="piece 1 'Grüße' was sent and did not arrive: the server was closed"):
        chain.check()
    stream.close()
    client.made.close()


def test_a_chain_is_for_the_next_stream(server: ScriptedServer, client: Client) -> None:
    """Refusals and whole answers do not use it up; two of them are taken one after the other."""
    first, second = server.one_by_one(), server.one_by_one()
    server.play(Script(status=500), Script(), Script(["a"]), Script(["b", "c"]))
    with pytest.raises(client.sdk.InternalServerError):
        client.create(stream=True)
    client.create()
    for chain in (first, second):
        for chunk in client.create(stream=True):
            chain.arrived(client.text(chunk))
    first.check()
    second.check()


def test_the_async_clients(server: ScriptedServer) -> None:
    """Every piece, one by one, to callbacks in two tasks of one loop; a buffer in one of them is found out."""
    server.play(Script(PIECES))

    async def main() -> None:
        async with (
            AsyncOpenAI(base_url=server.openai_url, api_key="sk-test", max_retries=0) as first,
            AsyncAnthropic(base_url=server.anthropic_url, api_key="sk-test", max_retries=0) as second,
        ):
            chain = server.one_by_one()
            async for chunk in await first.chat.completions.create(**OPENAI, stream=True):
                chain.arrived(chunk.choices[0].delta.content)
            chain.check()

            chain = server.one_by_one()
            async with second.messages.stream(**ANTHROPIC) as stream:
                async for text in stream.text_stream:
                    chain.arrived(text)
            chain.check()

            chain = server.one_by_one(timeout=0.2)
            queue: asyncio.Queue[str | None] = asyncio.Queue()

            async def produce() -> None:
                chunks = [c async for c in await first.chat.completions.create(**OPENAI, stream=True)]
                for chunk in chunks:
                    queue.put_nowait(chunk.choices[0].delta.content)

            async with asyncio.TaskGroup() as group:
                group.create_task(produce())
            while not queue.empty():
                chain.arrived(queue.get_nowait())
            with pytest.raises(AssertionError, match="piece 1 'Grüße' was sent and did not arrive"):
                chain.check()

            server.play(Script(PIECES, "hang"))
            async with await second.messages.create(**ANTHROPIC, stream=True) as events:
                async for event in events:
                    if event.type == "content_block_delta":
                        break
            assert await asyncio.to_thread(server.wait_for_hang_up)

            for then in ("cut", "error"):
                server.play(Script(PIECES, then))
                with pytest.raises(Exception, match=r"(?i)connection|failed"):
                    async for _ in await first.chat.completions.create(**OPENAI, stream=True):
                        pass
            server.play(Script(status=401))
            with pytest.raises(anthropic.AuthenticationError):
                await second.messages.create(**ANTHROPIC)

    asyncio.run(main())


# With what else is in the package


def test_times_are_the_clocks(server: ScriptedServer, llm_calls: Captured, llm_clock: FakeClock) -> None:
    """A gate that moves the clock makes the times of a whole call exact."""
    pauses = iter([0.5, 0.25, 0.125, 0.125])
    server.play(Script(PIECES, gate=lambda: llm_clock.advance(next(pauses))))
    chain = server.one_by_one()
    client = llmlog.wrap(Client(server, openai).made)
    with client:
        for chunk in client.chat.completions.create(**OPENAI, stream=True):
            chain.arrived(chunk.choices[0].delta.content)
    chain.check()
    assert_one_summary(llm_calls, outcome="completed", latency_ms=1000, error_type=None)
