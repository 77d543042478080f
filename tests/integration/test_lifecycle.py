"""Every row of the table of endings, with the real clients against a real server: one record each, and the right one.

`ENDINGS` is the table. What is in its column `consumer` are the functions of `Sync` and `Async` below it, which do the
same with `for` and with `async for`. Each row runs in each of `WAYS`, by each of the two where both have the function:
that is a cell. Rows of `EXITS` end the process they run in, so they have one of their own.
"""

# ruff: noqa: E501 - a row of the table is one line

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import importlib
import inspect
import json
import logging
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import anthropic
import openai
import pytest

import llmlog
from llmlog import figures, journal, lifecycle
from llmlog.testing import Captured, Script, ScriptedServer
from llmlog.testing.scripts import INPUT_TOKENS

pytestmark = pytest.mark.filterwarnings("ignore:The model '.*' is deprecated:DeprecationWarning")  # of anthropic's

INFO, WARNING, ERROR = logging.INFO, logging.WARNING, logging.ERROR

# What the provider sends. Both pieces of the text always arrive; HANG leaves the consumer waiting for more.
PIECES = ["Hello", " world"]
WHOLE, SHORT, CUT, FAILS, HANG = (Script(PIECES, then) for then in ("end", "short", "cut", "error", "hang"))
NOTHING, NO_CHUNK = Script(hang_before="headers"), Script(hang_before="chunks")
UNAUTHORIZED, TOO_MANY = Script(status=401), Script(status=429)

# Whose the tokens of the record are: the `usage_source` that is expected of OpenAI's form, and of Anthropic's, which
# tells the input's tokens in the first chunk, and all in the one that brings the finish reason.
SENT = ("provider", "provider")
COUNTED = ("estimated", "mixed")
AT_FINISH = ("estimated", "provider")
ALL_COUNTED = ("estimated", "estimated")
FREE = ("estimated", "estimated", "and it costs nothing: the request was refused")

WRAPPED, OPENAI, ANTHROPIC, DICTS = WAYS = ("openai wrapped", "openai", "anthropic", "dicts")
SDKS = (WRAPPED, OPENAI, ANTHROPIC)
READS = ("by_for", "by_next", "through_with", "through_generator", "through_yield_from")


@dataclass(frozen=True)
class Row:
    """What happens, what does it, and what the record says then."""

    name: str
    script: Script
    consumer: str | tuple[str, ...]  # a function of Sync and Async, or several that come to the same
    outcome: str
    ended_by: str
    level: int
    usage: tuple[str, ...]
    ways: tuple[str, ...] = WAYS
    patience: float = 10.0  # the client's read timeout, in seconds
    exit_code: int = 0


# fmt: off
ENDINGS = [
    #   what happens                      sent          consumer                outcome       ended_by              level    usage
    # The provider ends it.
    Row("ran out",                        WHOLE,        READS,                  "completed",  "exhausted",          INFO,    SENT),
    Row("ran out too soon",               SHORT,        READS,                  "incomplete", "exhausted",          WARNING, COUNTED),
    Row("connection cut",                 CUT,          READS,                  "error",      "exception",          ERROR,   COUNTED),
    Row("error event, raised",            FAILS,        READS,                  "error",      "exception",          ERROR,   COUNTED, SDKS),
    Row("error event, a dict",            FAILS,        READS,                  "error",      "exhausted",          ERROR,   COUNTED, (DICTS,)),
    Row("stalled",                        HANG,         "by_for",               "error",      "exception",          ERROR,   COUNTED, patience=0.2),
    Row("no chunk came",                  NO_CHUNK,     "by_for",               "error",      "exception",          ERROR,   ALL_COUNTED, patience=0.2),
    # It does not begin.
    Row("401",                            UNAUTHORIZED, "in_call",              "error",      "exception",          ERROR,   FREE, SDKS),
    Row("429",                            TOO_MANY,     "in_call",              "error",      "exception",          ERROR,   FREE, SDKS),
    Row("no answer came",                 NOTHING,      "in_call",              "error",      "exception",          ERROR,   ALL_COUNTED, SDKS, 0.2),
    Row("429, without call()",            TOO_MANY,     "by_for",               "error",      "exception",          ERROR,   FREE, (WRAPPED,)),
    Row("no answer, without call()",      NOTHING,      "by_for",               "error",      "exception",          ERROR,   ALL_COUNTED, (WRAPPED,), 0.2),
    # The consumer leaves.
    Row("closed",                         HANG,         "closes",               "aborted",    "close",              INFO,    COUNTED),
    Row("closed in its loop",             HANG,         "closes_in_loop",       "aborted",    "close",              INFO,    COUNTED),
    Row("left with",                      HANG,         "leaves_with",          "aborted",    "context_exit",       INFO,    COUNTED),
    Row("break in with",                  HANG,         "breaks_in_with",       "aborted",    "context_exit",       INFO,    COUNTED),
    Row("break, dropped",                 HANG,         "breaks",               "aborted",    "loop_left",          INFO,    COUNTED),
    Row("break, held, request ends",      HANG,         "breaks_in_request",    "aborted",    "loop_left",          INFO,    COUNTED),
    Row("break, held, flush()",           HANG,         "breaks_and_flushes",   "aborted",    "loop_left",          INFO,    COUNTED),
    Row("break, held, gone on with",      WHOLE,        "breaks_and_goes_on",   "completed",  "exhausted",          INFO,    SENT),
    Row("break after the finish reason",  WHOLE,        "breaks_at_finish",     "completed",  "loop_left",          INFO,    AT_FINISH),
    Row("left with after the finish",     WHOLE,        "leaves_with_at_finish", "completed", "context_exit",       INFO,    AT_FINISH),
    Row("own exception",                  HANG,         "raises",               "aborted",    "loop_left",          INFO,    COUNTED),
    Row("own exception through with",     HANG,         "raises_through_with",  "aborted",    "consumer_exception", WARNING, COUNTED),
    Row("next(), dropped",                HANG,         "takes",                "aborted",    "garbage_collected",  INFO,    COUNTED),
    Row("next(), held, request ends",     HANG,         "takes_in_request",     "aborted",    "loop_left",          INFO,    COUNTED),
    Row("next(), held, flush()",          HANG,         "takes_and_flushes",    "aborted",    "loop_left",          INFO,    COUNTED),
    Row("never iterated, dropped",        HANG,         "drops",                "aborted",    "garbage_collected",  INFO,    ALL_COUNTED),
    Row("never iterated, closed",         HANG,         "closes_at_once",       "aborted",    "close",              INFO,    ALL_COUNTED),
    Row("never iterated, in with",        HANG,         "enters",               "aborted",    "context_exit",       INFO,    ALL_COUNTED),
    Row("own generator closed",           HANG,         "closes_generator",     "aborted",    "loop_left",          INFO,    COUNTED),
    Row("own generator dropped",          HANG,         "drops_generator",      "aborted",    "loop_left",          INFO,    COUNTED),
    Row("own generator left by break",    HANG,         "breaks_generator",     "aborted",    "loop_left",          INFO,    COUNTED),
    Row("own generator closed in with",   HANG,         "closes_generator_with", "aborted",   "context_exit",       INFO,    COUNTED),
    # Somebody else ends the wait.
    Row("task cancelled",                 HANG,         "is_cancelled",         "cancelled",  "cancellation",       WARNING, COUNTED),
    Row("asyncio.timeout()",              HANG,         "times_out",            "cancelled",  "cancellation",       WARNING, COUNTED),
    Row("cancelled before a chunk",       NO_CHUNK,     "is_cancelled_at_once", "cancelled",  "cancellation",       WARNING, ALL_COUNTED),
    Row("hang-up, received",              HANG,         "serves_until_told",    "cancelled",  "client_disconnect",  INFO,    COUNTED),
    Row("hang-up, sending fails",         HANG,         "serves_until_refused", "cancelled",  "client_disconnect",  INFO,    COUNTED),
]
EXITS = [
    Row("Ctrl-C while waiting",           HANG,         "interrupted",          "cancelled",  "cancellation",       WARNING, COUNTED),
    Row("exit, loop left and held",       HANG,         "exits_after_break",    "aborted",    "loop_left",          INFO,    COUNTED),
    Row("exit, next() and held",          HANG,         "exits_after_next",     "aborted",    "interpreter_exit",   WARNING, COUNTED),
    Row("exit while a thread waits",      HANG,         "exits_beside_thread",  "aborted",    "interpreter_exit",   WARNING, COUNTED),
    Row("sys.exit() while waiting",       HANG,         "calls_sys_exit",       "aborted",    "interpreter_exit",   WARNING, COUNTED, exit_code=3),
    Row("SIGTERM while waiting",          HANG,         "terminated",           "aborted",    "interpreter_exit",   WARNING, COUNTED, exit_code=143),
    Row("kill -9, with a journal",        HANG,         "killed",               "lost",       "recovery",           ERROR,   COUNTED, exit_code=-9),
]
# fmt: on


class ConsumerError(Exception):
    """What the consumer raises."""


class Sync:
    """What a consumer does, by `for`, `next()` and `with`: each opens its stream, and leaves it in its own way."""

    @staticmethod
    def by_for(cell: Cell) -> None:
        for one in cell.open():
            cell.take(one)

    @staticmethod
    def by_next(cell: Cell) -> None:
        stream = cell.open()
        while True:
            try:
                cell.take(next(stream))
            except StopIteration:
                return

    @staticmethod
    def through_with(cell: Cell) -> None:
        with cell.open() as stream:
            for one in stream:
                cell.take(one)

    @staticmethod
    def through_generator(cell: Cell) -> None:
        for one in (one for one in cell.open()):
            cell.take(one)

    @staticmethod
    def through_yield_from(cell: Cell) -> None:
        def users() -> Iterator[Any]:
            yield from cell.open()

        for one in users():
            cell.take(one)

    @staticmethod
    def in_call(cell: Cell) -> None:
        with llmlog.call(model=cell.model, input=MESSAGES) as call:
            for one in call.stream(cell.source()):
                cell.take(one)

    @staticmethod
    def _until_text(cell: Cell, stream: Any) -> None:
        for one in stream:
            if cell.take(one):
                break

    @staticmethod
    def breaks(cell: Cell) -> None:
        Sync._until_text(cell, cell.open())

    @staticmethod
    def breaks_in_with(cell: Cell) -> None:
        with cell.open() as stream:
            Sync._until_text(cell, stream)

    @staticmethod
    def breaks_in_request(cell: Cell) -> None:
        with llmlog.request():
            cell.held = cell.open()
            Sync._until_text(cell, cell.held)
            cell.nothing_yet()

    @staticmethod
    def breaks_and_flushes(cell: Cell) -> None:
        cell.held = cell.open()
        Sync._until_text(cell, cell.held)
        cell.nothing_yet()
        assert llmlog.flush()

    @staticmethod
    def breaks_and_goes_on(cell: Cell) -> None:
        with llmlog.request():
            cell.held = cell.open()
            Sync._until_text(cell, cell.held)
            for one in cell.held:
                cell.take(one)

    @staticmethod
    def breaks_at_finish(cell: Cell) -> None:
        for one in cell.open():
            cell.take(one)
            if cell.finishes(one):
                break

    @staticmethod
    def leaves_with_at_finish(cell: Cell) -> None:
        with cell.open() as stream:
            for one in stream:
                cell.take(one)
                if cell.finishes(one):
                    return

    @staticmethod
    def closes(cell: Cell) -> None:
        stream = cell.held = cell.open()
        Sync._take_text(cell, stream)
        stream.close()

    @staticmethod
    def closes_in_loop(cell: Cell) -> None:
        stream = cell.held = cell.open()
        for one in stream:
            if cell.take(one):
                stream.close()
                break

    @staticmethod
    def leaves_with(cell: Cell) -> None:
        with cell.open() as cell.held:
            Sync._take_text(cell, cell.held)

    @staticmethod
    def raises(cell: Cell) -> None:
        with contextlib.suppress(ConsumerError):
            for one in cell.open():
                if cell.take(one):
                    raise ConsumerError

    @staticmethod
    def raises_through_with(cell: Cell) -> None:
        with contextlib.suppress(ConsumerError), cell.open() as stream:
            for one in stream:
                if cell.take(one):
                    raise ConsumerError

    @staticmethod
    def _take_text(cell: Cell, stream: Any) -> None:
        while not cell.take(next(stream)):
            pass

    @staticmethod
    def takes(cell: Cell) -> None:
        Sync._take_text(cell, cell.open())

    @staticmethod
    def takes_in_request(cell: Cell) -> None:
        with llmlog.request():
            cell.held = cell.open()
            Sync._take_text(cell, cell.held)
            llmlog.flush()
            cell.nothing_yet()

    @staticmethod
    def takes_and_flushes(cell: Cell) -> None:
        cell.held = cell.open()
        Sync._take_text(cell, cell.held)
        cell.nothing_yet()
        assert llmlog.flush()

    @staticmethod
    def drops(cell: Cell) -> None:
        cell.open()

    @staticmethod
    def closes_at_once(cell: Cell) -> None:
        cell.held = cell.open()
        cell.held.close()

    @staticmethod
    def enters(cell: Cell) -> None:
        with cell.open() as cell.held:
            pass

    @staticmethod
    def _users(cell: Cell) -> Iterator[Any]:
        for one in cell.open():  # noqa: UP028 - a loop of the user's own
            yield one

    @staticmethod
    def closes_generator(cell: Cell) -> None:
        cell.held = users = Sync._users(cell)
        Sync._take_text(cell, users)
        users.close()

    @staticmethod
    def drops_generator(cell: Cell) -> None:
        Sync._take_text(cell, Sync._users(cell))

    @staticmethod
    def breaks_generator(cell: Cell) -> None:
        Sync._until_text(cell, Sync._users(cell))

    @staticmethod
    def closes_generator_with(cell: Cell) -> None:
        def users() -> Iterator[Any]:
            with cell.open() as stream:
                yield from stream

        generator = cell.held = users()
        Sync._take_text(cell, generator)
        generator.close()

    @staticmethod
    def serves_until_refused(cell: Cell) -> None:
        def body() -> Iterator[str]:
            for one in cell.open():
                yield cell.take(one) or "."

        asyncio.run(serve_until_refused(cell, body))

    # In a process of its own: its end is the end of the function, or comes before.

    @staticmethod
    def interrupted(cell: Cell) -> None:
        when_waiting(cell, signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            Sync.by_for(cell)

    @staticmethod
    def exits_after_break(cell: Cell) -> None:
        HELD.append(stream := cell.open())
        Sync._until_text(cell, stream)

    @staticmethod
    def exits_after_next(cell: Cell) -> None:
        HELD.append(stream := cell.open())
        Sync._take_text(cell, stream)

    @staticmethod
    def exits_beside_thread(cell: Cell) -> None:
        threading.Thread(target=Sync.by_for, args=[cell], daemon=True).start()
        cell.delivered.wait()

    @staticmethod
    def calls_sys_exit(cell: Cell) -> None:
        signal.signal(signal.SIGUSR1, lambda number, frame: sys.exit(3))
        when_waiting(cell, signal.SIGUSR1)
        Sync.by_for(cell)

    @staticmethod
    def terminated(cell: Cell) -> None:
        llmlog.configure(exit_on_sigterm=True)
        when_waiting(cell, signal.SIGTERM)
        Sync.by_for(cell)

    @staticmethod
    def killed(cell: Cell) -> None:
        llmlog.configure(journal=cell.folder)
        when_waiting(cell, signal.SIGKILL)
        Sync.by_for(cell)


class Async:
    """The same by `async for`, `await anext()` and `async with`, and what there is for tasks only."""

    @staticmethod
    async def by_for(cell: Cell) -> None:
        async for one in await cell.aopen():
            cell.take(one)

    @staticmethod
    async def by_next(cell: Cell) -> None:
        stream = await cell.aopen()
        while True:
            try:
                cell.take(await anext(stream))
            except StopAsyncIteration:
                return

    @staticmethod
    async def through_with(cell: Cell) -> None:
        async with await cell.aopen() as stream:
            async for one in stream:
                cell.take(one)

    @staticmethod
    async def through_generator(cell: Cell) -> None:
        async for one in Async._users(cell):
            cell.take(one)

    @staticmethod
    async def in_call(cell: Cell) -> None:
        async with llmlog.call(model=cell.model, input=MESSAGES) as call:
            async for one in call.stream(await cell.asource()):
                cell.take(one)

    @staticmethod
    async def _until_text(cell: Cell, stream: Any) -> None:
        async for one in stream:
            if cell.take(one):
                break

    @staticmethod
    async def breaks(cell: Cell) -> None:
        await Async._until_text(cell, await cell.aopen())

    @staticmethod
    async def breaks_in_with(cell: Cell) -> None:
        async with await cell.aopen() as stream:
            await Async._until_text(cell, stream)

    @staticmethod
    async def breaks_in_request(cell: Cell) -> None:
        async with llmlog.request():
            cell.held = await cell.aopen()
            await Async._until_text(cell, cell.held)
            cell.nothing_yet()

    @staticmethod
    async def breaks_and_flushes(cell: Cell) -> None:
        cell.held = await cell.aopen()
        await Async._until_text(cell, cell.held)
        cell.nothing_yet()
        assert llmlog.flush()

    @staticmethod
    async def breaks_and_goes_on(cell: Cell) -> None:
        async with llmlog.request():
            cell.held = await cell.aopen()
            await Async._until_text(cell, cell.held)
            async for one in cell.held:
                cell.take(one)

    @staticmethod
    async def breaks_at_finish(cell: Cell) -> None:
        async for one in await cell.aopen():
            cell.take(one)
            if cell.finishes(one):
                break

    @staticmethod
    async def leaves_with_at_finish(cell: Cell) -> None:
        async with await cell.aopen() as stream:
            async for one in stream:
                cell.take(one)
                if cell.finishes(one):
                    return

    @staticmethod
    async def closes(cell: Cell) -> None:
        stream = cell.held = await cell.aopen()
        await Async._take_text(cell, stream)
        await stream.aclose()

    @staticmethod
    async def closes_in_loop(cell: Cell) -> None:
        stream = cell.held = await cell.aopen()
        async for one in stream:
            if cell.take(one):
                await stream.close()
                break

    @staticmethod
    async def leaves_with(cell: Cell) -> None:
        async with await cell.aopen() as cell.held:
            await Async._take_text(cell, cell.held)

    @staticmethod
    async def raises(cell: Cell) -> None:
        with contextlib.suppress(ConsumerError):
            async for one in await cell.aopen():
                if cell.take(one):
                    raise ConsumerError

    @staticmethod
    async def raises_through_with(cell: Cell) -> None:
        with contextlib.suppress(ConsumerError):
            async with await cell.aopen() as stream:
                async for one in stream:
                    if cell.take(one):
                        raise ConsumerError

    @staticmethod
    async def _take_text(cell: Cell, stream: Any) -> None:
        while not cell.take(await anext(stream)):
            pass

    @staticmethod
    async def takes(cell: Cell) -> None:
        await Async._take_text(cell, await cell.aopen())

    @staticmethod
    async def takes_in_request(cell: Cell) -> None:
        async with llmlog.request():
            cell.held = await cell.aopen()
            await Async._take_text(cell, cell.held)
            llmlog.flush()
            cell.nothing_yet()

    @staticmethod
    async def takes_and_flushes(cell: Cell) -> None:
        cell.held = await cell.aopen()
        await Async._take_text(cell, cell.held)
        cell.nothing_yet()
        assert llmlog.flush()

    @staticmethod
    async def drops(cell: Cell) -> None:
        await cell.aopen()

    @staticmethod
    async def closes_at_once(cell: Cell) -> None:
        cell.held = await cell.aopen()
        await cell.held.aclose()

    @staticmethod
    async def enters(cell: Cell) -> None:
        async with await cell.aopen() as cell.held:
            pass

    @staticmethod
    async def _users(cell: Cell) -> AsyncIterator[Any]:
        async for one in await cell.aopen():
            yield one

    @staticmethod
    async def closes_generator(cell: Cell) -> None:
        users: Any = Async._users(cell)
        cell.held = users
        await Async._take_text(cell, users)
        await users.aclose()

    @staticmethod
    async def drops_generator(cell: Cell) -> None:
        await Async._take_text(cell, Async._users(cell))

    @staticmethod
    async def breaks_generator(cell: Cell) -> None:
        await Async._until_text(cell, Async._users(cell))

    @staticmethod
    async def closes_generator_with(cell: Cell) -> None:
        async def users() -> AsyncIterator[Any]:
            async with await cell.aopen() as stream:
                async for one in stream:
                    yield one

        generator: Any = users()
        cell.held = generator
        await Async._take_text(cell, generator)
        await generator.aclose()

    @staticmethod
    async def is_cancelled(cell: Cell) -> None:
        task = asyncio.ensure_future(Async.by_for(cell))
        cell.at_last_piece = task.cancel  # it takes effect where the task waits next: for a chunk
        with pytest.raises(asyncio.CancelledError):
            await task

    @staticmethod
    async def is_cancelled_at_once(cell: Cell) -> None:
        task = asyncio.ensure_future(Async.by_for(cell))
        while not cell.opened:  # noqa: ASYNC110 - no event: what follows is to run before the next chunk is there
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    @staticmethod
    async def times_out(cell: Cell) -> None:
        with pytest.raises(TimeoutError):  # noqa: PT012 - it is the block that raises
            async with asyncio.timeout(None) as timeout:
                cell.at_last_piece = lambda: timeout.reschedule(0)
                await Async.by_for(cell)

    @staticmethod
    async def serves_until_told(cell: Cell) -> None:
        from starlette.responses import StreamingResponse

        gone = asyncio.Event()
        cell.at_last_piece = gone.set

        async def receive() -> dict[str, Any]:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            pass

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await StreamingResponse(Async._body(cell))(scope, receive, send)

        await llmlog.middleware.ASGIMiddleware(app)(scope("2.3"), receive, send)

    @staticmethod
    async def serves_until_refused(cell: Cell) -> None:
        await serve_until_refused(cell, lambda: Async._body(cell))

    @staticmethod
    async def _body(cell: Cell) -> AsyncIterator[str]:
        async for one in await cell.aopen():
            yield cell.take(one) or "."

    # In a process of its own.

    @staticmethod
    async def interrupted(cell: Cell) -> None:
        when_waiting(cell, signal.SIGINT)
        with pytest.raises(asyncio.CancelledError):  # it is asyncio.run() that raises the KeyboardInterrupt
            await Async.by_for(cell)

    @staticmethod
    async def exits_after_break(cell: Cell) -> None:
        HELD.append(stream := await cell.aopen())
        await Async._until_text(cell, stream)

    @staticmethod
    async def exits_after_next(cell: Cell) -> None:
        HELD.append(stream := await cell.aopen())
        await Async._take_text(cell, stream)

    @staticmethod
    async def calls_sys_exit(cell: Cell) -> None:
        signal.signal(signal.SIGUSR1, lambda number, frame: sys.exit(3))
        when_waiting(cell, signal.SIGUSR1)
        await Async.by_for(cell)

    @staticmethod
    async def terminated(cell: Cell) -> None:
        llmlog.configure(exit_on_sigterm=True)
        when_waiting(cell, signal.SIGTERM)
        await Async.by_for(cell)

    @staticmethod
    async def killed(cell: Cell) -> None:
        llmlog.configure(journal=cell.folder)
        when_waiting(cell, signal.SIGKILL)
        await Async.by_for(cell)


# One cell: a row, in one way, sync or async.

MESSAGES: Any = [{"role": "user", "content": "Say hello to the world, please."}]
MODELS = {WRAPPED: "gpt-4o-mini", OPENAI: "gpt-4o-mini", ANTHROPIC: "claude-haiku-4-5", DICTS: "gpt-4o-mini"}
DRIVERS = {"sync": Sync, "async": Async}
HELD: list[Any] = []
"""Streams that live as long as their process."""


class Clients:
    """The SDKs' clients, sync and async, each made when it is first used."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._made: dict[tuple[str, str], Any] = {}

    def get(self, way: str, driver: str) -> Any:
        if (made := self._made.get((way, driver))) is None:
            sdk: Any = anthropic if way == ANTHROPIC else openai
            kind = getattr(
                sdk, ("Async" if driver == "async" else "") + ("Anthropic" if sdk is anthropic else "OpenAI")
            )
            base_url = self._url if sdk is anthropic else f"{self._url}/v1"
            made = self._made[way, driver] = kind(base_url=base_url, api_key="sk-test", max_retries=0)
            if way == WRAPPED:
                llmlog.wrap(made)
        return made

    def close(self, run: Callable[[Any], Any]) -> None:
        for (_, driver), client in self._made.items():
            if driver == "async":
                run(client.close())
            else:
                client.close()


class Cell:
    """What a consumer gets its stream from, and gives its chunks to. Without llmlog where it is `bare`."""

    def __init__(self, row: Row, way: str, driver: str, clients: Clients, *, bare: bool = False) -> None:
        self.script, self.patience = row.script, row.patience
        self.way = OPENAI if bare and way == WRAPPED else way
        self.driver = driver
        self.clients = clients
        self.bare = bare
        self.model = MODELS[way]
        self.taken: list[tuple[str, str]] = []  # type and text of each chunk that was delivered
        self.raised: tuple[type, str] | None = None
        self.opened = False
        self.held: Any = None
        self.calls: Captured | None = None
        self.folder: pathlib.Path | None = None
        self.delivered = threading.Event()  # both pieces
        self.at_last_piece: Callable[[], object] = lambda: None

    @property
    def text(self) -> str:
        """What was delivered."""
        return "".join(text for _, text in self.taken)

    # What the consumer opens.

    def source(self) -> Any:
        """What the client returns: a stream, or something that has to be awaited first."""
        if self.way == DICTS:
            return achunks(self.script, self.patience) if self.driver == "async" else chunks(self.script, self.patience)
        client = self.clients.get(self.way, self.driver)
        options: Any = {"model": self.model, "messages": MESSAGES, "stream": True, "timeout": self.patience}
        if self.way == ANTHROPIC:
            return client.messages.create(**options, max_tokens=100)
        return client.chat.completions.create(**options, stream_options={"include_usage": True})

    async def asource(self) -> Any:
        source = self.source()
        return await source if inspect.isawaitable(source) else source

    def open(self) -> Any:
        return self._logged(self.source())

    async def aopen(self) -> Any:
        return self._logged(await self.asource())

    def _logged(self, source: Any) -> Any:
        self.opened = True
        return source if self.bare or self.way == WRAPPED else llmlog.stream(source, model=self.model, input=MESSAGES)

    # What it does with it.

    def take(self, chunk: Any) -> str:
        """One chunk was delivered; its text, or ""."""
        text = self._text(chunk) or ""
        self.taken.append((type(chunk).__name__, text))
        if text == PIECES[-1]:
            self.delivered.set()
            self.at_last_piece()
        return text

    def _text(self, chunk: Any) -> Any:
        if self.way == ANTHROPIC:
            return chunk.delta.text if chunk.type == "content_block_delta" else ""
        chunk = chunk if isinstance(chunk, dict) else chunk.model_dump()
        choices = chunk.get("choices")
        return choices[0]["delta"].get("content") if choices else ""

    def finishes(self, chunk: Any) -> bool:
        """Whether it brings the finish reason."""
        if self.way == ANTHROPIC:
            return bool(chunk.type == "message_delta")
        chunk = chunk if isinstance(chunk, dict) else chunk.model_dump()
        return any(choice["finish_reason"] for choice in chunk["choices"])

    def nothing_yet(self) -> None:
        """The stream may still be gone on with: no record so far."""
        assert self.calls is not None
        assert self.calls.all() == []

    def run(self, consumer: str, run: Callable[[Any], Any]) -> None:
        """Do it, and keep what it raises: as words, for a traceback would hold the stream."""
        try:
            done = getattr(DRIVERS[self.driver], consumer)(self)
            if self.driver == "async":
                run(done)
        except AssertionError:
            raise
        except Exception as error:
            self.raised = type(error), str(error)


def chunks(script: Script, patience: float) -> Iterator[dict[str, Any]]:
    """The chunks as dicts. Where the script hangs, so does this."""
    hangs = script.hang_before or script.then == "hang"
    if not script.hang_before:
        yield from (replace(script, then="short") if hangs else script).openai_chunks()
    if hangs:
        threading.Event().wait(patience)
        raise TimeoutError("the provider sends nothing")


async def achunks(script: Script, patience: float) -> AsyncIterator[dict[str, Any]]:
    """The same, for `async for`."""
    hangs = script.hang_before or script.then == "hang"
    for one in () if script.hang_before else (replace(script, then="short") if hangs else script).openai_chunks():
        yield one
    if hangs:
        await asyncio.wait_for(asyncio.Event().wait(), patience)


def scope(version: str) -> dict[str, Any]:
    """A request as an ASGI server announces it. From 2.4 on, sending to a client that has gone is an OSError."""
    return {"type": "http", "asgi": {"version": "3.0", "spec_version": version}, "method": "GET", "path": "/",
            "headers": []}  # fmt: skip


async def serve_until_refused(cell: Cell, body: Callable[[], Any]) -> None:
    """Answer a client that goes away once all pieces were sent to it."""
    from starlette.requests import ClientDisconnect
    from starlette.responses import StreamingResponse

    async def receive() -> Any:
        raise AssertionError("this response only sends")

    async def send(message: Any) -> None:
        if cell.delivered.is_set():
            raise OSError("the client has gone")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await StreamingResponse(body())(scope, receive, send)

    with contextlib.suppress(ClientDisconnect):
        await llmlog.middleware.ASGIMiddleware(app)(scope("2.4"), receive, send)


# The tests.


def warm(clients: Clients, run: Callable[[Any], Any]) -> None:
    """Load all that is loaded at its first use: it need not be looked at by each of the collections below."""
    for way in (OPENAI, ANTHROPIC):
        for driver in DRIVERS:
            Cell(ENDINGS[0], way, driver, clients, bare=True).run("by_for", run)
    for way in (OPENAI, ANTHROPIC):
        llmlog.cost({"input_tokens": 1}, MODELS[way])
        llmlog.count_tokens(".", MODELS[way])
    for driver in DRIVERS:
        clients.get(WRAPPED, driver)
    figures.warm()
    importlib.import_module("starlette.responses")
    gc.collect()
    gc.freeze()


def cells(rows: list[Row]) -> list[Any]:
    """Each row, in each of its ways, by each driver that has what its consumer does."""
    return [
        pytest.param(
            row,
            consumer,
            way,
            driver,
            id=f"{row.name}-{consumer}-{way}-{driver}",
        )
        for row in rows
        for consumer in ([row.consumer] if isinstance(row.consumer, str) else row.consumer)
        for way in row.ways
        for driver, functions in DRIVERS.items()
        if hasattr(functions, consumer)
    ]


@pytest.fixture(scope="module")
def clients(server: ScriptedServer, runner: asyncio.Runner) -> Iterator[Clients]:
    """The clients of that server."""
    made = Clients(server.url)
    server.play(SHORT)
    warm(made, runner.run)
    yield made
    made.close(runner.run)


@pytest.fixture(scope="module")
def bare(server: ScriptedServer, clients: Clients, runner: asyncio.Runner) -> Callable[[Row, str, str], Cell]:
    """What a consumer gets that reads to the end without llmlog, by row, way and driver."""
    known: dict[Any, Cell] = {}

    def read(row: Row, way: str, driver: str) -> Cell:
        script = row.script
        key = script.then, script.status, script.hang_before, way, driver
        if key not in known:
            server.play(script)
            known[key] = Cell(replace(row, patience=0.2), way, driver, clients, bare=True)
            known[key].run("by_for", runner.run)
        return known[key]

    return read


def check(record: dict[str, Any], row: Row, cell: Cell) -> None:
    """One record against its row."""
    told = record["outcome"], record["ended_by"], record["levelno"], record["usage_source"]
    assert told == (row.outcome, row.ended_by, row.level, row.usage[cell.way == ANTHROPIC])
    provider = "anthropic" if cell.way == ANTHROPIC else "openai"
    if not (cell.taken or cell.way == WRAPPED):  # neither a chunk nor the client has told
        provider = None
    assert record.get("provider") == provider
    assert record["model"] == cell.model
    if row.usage is not FREE and cell.opened:
        assert record["chunks"] == len(cell.taken)
        assert record["response_length"] == len(cell.text)

    counts = {field.name: record[field.name] for field in dataclasses.fields(llmlog.Usage) if field.name in record}
    if record["usage_source"] == "provider":
        assert (counts["input_tokens"], counts["output_tokens"]) == (INPUT_TOKENS, len(PIECES))
    else:
        told_input = record["usage_source"] == "mixed"
        if row.outcome == "lost":  # there are no texts in a journal: lengths only, of what was not told
            assert counts["output_tokens"] >= 1
            assert record["usage_extrapolated"] is True
            assert counts["input_tokens"] == INPUT_TOKENS if told_input else counts["input_tokens"] >= 1
        else:
            counted = llmlog.count_tokens(MESSAGES, cell.model)
            assert counts["input_tokens"] == (INPUT_TOKENS if told_input else counted)
            assert counts["output_tokens"] == (llmlog.count_tokens(cell.text, cell.model) if cell.text else 0)
    cost = 0.0 if row.usage is FREE else llmlog.cost(counts, cell.model, provider=provider)
    assert cost is not None
    assert record["cost_usd"] == pytest.approx(float(cost), rel=1e-12)


@pytest.mark.parametrize(("row", "consumer", "way", "driver"), cells(ENDINGS))
def test_endings(
    row: Row, consumer: str, way: str, driver: str,
    server: ScriptedServer, clients: Clients, runner: asyncio.Runner, bare: Callable[[Row, str, str], Cell],
    llm_calls: Captured,
) -> None:  # fmt: skip
    """A row of the table in one way: its one record, and for the consumer what it gets without llmlog."""
    without = bare(row, way, driver)
    server.play(row.script)
    cell = Cell(row, way, driver, clients)
    cell.calls = llm_calls
    cell.run(consumer, runner.run)
    reads_on = consumer in (*READS, "in_call")
    assert cell.raised == (without.raised if reads_on else None)
    assert cell.taken == (without.taken if reads_on else without.taken[: len(cell.taken)])
    gc.collect()
    for _ in range(3):  # the event loop closes async generators that were left
        runner.run(asyncio.sleep(0))

    (record,) = llm_calls.all()
    check(record, row, cell)
    cell.held = None
    assert len(llm_calls.all()) == 1

    if consumer == "raises_through_with":
        assert record["error_type"].endswith("ConsumerError")


# Processes that end.


class Processes:
    """Runs cells in processes of their own. Each is forked from one that has imported everything."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._parent = subprocess.Popen([sys.executable, __file__, url], stdin=-1, stdout=-1, text=True)

    def run(self, row: Row, way: str, driver: str, folder: pathlib.Path) -> int:
        """How it ended: its exit status, negative for a signal."""
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        print(json.dumps([row.name, way, driver, self._url, str(folder)]), file=self._parent.stdin, flush=True)
        return int(self._parent.stdout.readline())

    def wait_until_ready(self) -> None:
        """It has used each client once."""
        assert self._parent.stdout is not None
        assert self._parent.stdout.readline() == "ready\n"

    def close(self) -> None:
        self._parent.communicate()


def parent() -> None:
    """What `Processes` starts: fork for each line that it writes, and tell how the child has ended."""
    with asyncio.Runner() as runner:
        clients = Clients(sys.argv[1])
        warm(clients, runner.run)
        clients.close(runner.run)
    print("ready", flush=True)
    for line in sys.stdin:
        if not (pid := os.fork()):
            child(*json.loads(line))
            return  # to the end of the interpreter, which is what is tested
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def child(name: str, way: str, driver: str, url: str, folder: str) -> None:
    """One cell of `EXITS`: what is delivered goes to a file, each record to another."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a shell it is ignored
    signal.alarm(20)
    os.dup2(os.open(f"{folder}/stderr", os.O_CREAT | os.O_WRONLY), 2)
    records, taken = (os.open(f"{folder}/{name}", os.O_CREAT | os.O_WRONLY) for name in ("records", "taken"))

    class Written(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            os.write(records, json.dumps(vars(record), default=repr).encode() + b"\n")

    class WrittenCell(Cell):
        def take(self, chunk: Any) -> str:
            os.write(taken, json.dumps([type(chunk).__name__, self._text(chunk) or ""]).encode() + b"\n")
            return super().take(chunk)

    logging.getLogger("llmlog.calls").addHandler(Written())
    logging.getLogger("llmlog.calls").setLevel(logging.INFO)
    row = next(row for row in EXITS if row.name == name)
    cell = WrittenCell(row, way, driver, Clients(url))
    cell.folder = pathlib.Path(folder, "journal")
    assert isinstance(row.consumer, str)
    done = getattr(DRIVERS[driver], row.consumer)(cell)
    if driver == "async":
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(done)


def when_waiting(cell: Cell, number: signal.Signals) -> None:
    """Send this process a signal, once all pieces were delivered and its main thread stands still, waiting for more."""
    main = threading.main_thread().ident
    assert main is not None

    def place() -> tuple[int, int]:
        frame = sys._current_frames()[main]
        return id(frame), frame.f_lasti

    def watch() -> None:
        cell.delivered.wait()
        before, now = (0, 0), place()
        while now != before:
            threading.Event().wait(0.02)
            before, now = now, place()
        if number == signal.SIGKILL:
            journal.checkpoint(lifecycle.open_calls())  # as the worker does every second
        signal.pthread_kill(main, number)

    threading.Thread(target=watch, daemon=True).start()


@pytest.fixture(scope="module")
def processes(server: ScriptedServer) -> Iterator[Processes]:
    """Where processes come from."""
    server.play(SHORT)
    made = Processes(server.url)
    made.wait_until_ready()
    yield made
    made.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="its processes are forked")
@pytest.mark.parametrize(("row", "consumer", "way", "driver"), cells(EXITS))
def test_exits(
    row: Row, consumer: str, way: str, driver: str,
    server: ScriptedServer, processes: Processes, tmp_path: pathlib.Path, clients: Clients, llm_calls: Captured,
) -> None:  # fmt: skip
    """A process that ends with an open stream: its one record, and no complaint of llmlog's on its stderr."""
    server.play(row.script)
    code = processes.run(row, way, driver, tmp_path)
    records, taken = (
        [json.loads(line) for line in (tmp_path / name).read_text().splitlines()] for name in ("records", "taken")
    )
    complaints = (tmp_path / "stderr").read_text()
    if driver == "async":  # httpcore's generators complain when their event loop ends before them, without us too
        assert "llmlog:" not in complaints
    else:
        assert complaints == ""
    assert code == row.exit_code
    if row.outcome == "lost":
        assert records == []
        assert journal.recover(tmp_path / "journal") == 1
        assert journal.recover(tmp_path / "journal") == 0
        records = llm_calls.all()

    (record,) = records
    cell = Cell(row, way, driver, clients)
    cell.opened, cell.taken = True, [(kind, text) for kind, text in taken]
    check(record, row, cell)


if __name__ == "__main__":
    parent()
