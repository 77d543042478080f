"""The context wherever the work goes: threads, tasks, other event loops, asgiref, anyio and trio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from conftest import Records, framework

import llmlog

asgiref_sync = framework("asgiref.sync")
asgiref_local = framework("asgiref.local")
anyio = framework("anyio")
trio = framework("trio")


def here() -> Any:
    """The request of here."""
    return llmlog.current().get("request_id")


async def chunks(*pieces: str) -> AsyncIterator[str]:
    """A source that lets others run between its chunks, on any event loop."""
    for piece in pieces:
        await anyio.sleep(0)
        yield piece


def test_asyncio_s_ways_keep_the_context() -> None:
    """A thread by to_thread, tasks, and the tasks of a group."""

    async def main() -> list[Any]:
        async def one() -> Any:
            await asyncio.sleep(0)
            return here()

        async with llmlog.request("r-1"):
            found = [await asyncio.to_thread(here), await asyncio.create_task(one())]
            async with asyncio.TaskGroup() as group:
                inside = [group.create_task(one()) for _ in range(3)]
            found += [task.result() for task in inside]
        return found

    assert asyncio.run(main()) == ["r-1"] * 5


def test_a_plain_thread_has_it_by_carry() -> None:
    """The standard library's threads start without a context; `carry` gives it to them."""
    seen: list[Any] = []
    with llmlog.request("r-1"):
        for target in (lambda: seen.append(here()), llmlog.carry(lambda: seen.append(here()))):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    assert seen == [None, "r-1"]


def test_asgiref_both_ways() -> None:
    """sync_to_async, thread-sensitive or not, async_to_sync, and what is bound on the other side comes back."""

    async def main() -> list[Any]:
        async with llmlog.request("r-1"):
            found = [
                await asgiref_sync.sync_to_async(here, thread_sensitive=sensitive)() for sensitive in (True, False)
            ]
            await asgiref_sync.sync_to_async(lambda: llmlog.bind(document_id="d-1"))()
            return [*found, llmlog.current().get("document_id")]

    assert asyncio.run(main()) == ["r-1", "r-1", "d-1"]

    async def inside() -> Any:
        return here()

    with llmlog.request("r-2"):
        assert asgiref_sync.async_to_sync(inside)() == "r-2"


def test_asgiref_s_local_and_our_context_are_two() -> None:
    """A Local of the application's is neither seen nor disturbed."""
    local = asgiref_local.Local()
    local.tenant = "t-1"
    with llmlog.request("r-1"):
        assert local.tenant == "t-1"
        local.tenant = "t-2"
    assert local.tenant == "t-2"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_anyio_s_threads_and_task_groups(backend: str) -> None:
    """Worker threads, their way back, and tasks, on both event loops."""
    found: list[Any] = []

    async def one() -> None:
        await anyio.sleep(0)
        found.append(here())

    async def main() -> None:
        async with llmlog.request("r-1"):
            found.append(await anyio.to_thread.run_sync(here))
            found.append(await anyio.to_thread.run_sync(lambda: anyio.from_thread.run_sync(here)))
            async with anyio.create_task_group() as group:
                group.start_soon(one)

    anyio.run(main, backend=backend)
    assert found == ["r-1"] * 3


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_stream_that_is_cancelled(backend: str, calls: Records) -> None:
    """Each event loop's own cancellation while a chunk is waited for: cancelled, with what was delivered."""

    async def forever() -> AsyncIterator[str]:
        yield "Hello"
        await anyio.sleep_forever()

    async def main() -> None:
        async with llmlog.request("r-1"):
            with anyio.CancelScope() as scope:
                async for _ in llmlog.stream(forever(), provider="text", model="gpt-4o"):
                    scope.cancel()

    anyio.run(main, backend=backend)
    record = calls.one()
    assert (record["outcome"], record["ended_by"], record["chunks"]) == ("cancelled", "cancellation", 1)
    assert record["request_id"] == "r-1"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_timeout_of_the_event_loop(backend: str, calls: Records) -> None:
    """anyio's deadline is a cancellation, too, and the caller gets its TimeoutError."""

    async def main() -> None:
        with anyio.fail_after(0.01):
            async with llmlog.stream(chunks("a"), provider="text") as stream:
                async for _ in stream:
                    await anyio.sleep_forever()

    with pytest.raises(TimeoutError):
        anyio.run(main, backend=backend)
    assert (calls.one()["outcome"], calls.one()["ended_by"]) == ("cancelled", "cancellation")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_whole_stream_and_one_left(backend: str, calls: Records) -> None:
    """The same records on both event loops."""

    async def main() -> None:
        assert [piece async for piece in llmlog.stream(chunks("a", "b"), provider="text")] == ["a", "b"]
        source = chunks("a", "b")
        async for _ in llmlog.stream(source, provider="text"):
            break
        await source.aclose()  # type: ignore[attr-defined]  # trio warns where a collection has to do it

    anyio.run(main, backend=backend)
    assert [record["outcome"] for record in calls.all()] == ["completed", "aborted"]


def test_an_async_generator_that_another_task_closes(calls: Records) -> None:
    """The context of its start is on its record, and the closing task keeps its own."""

    @llmlog.request(feature="search")
    async def answer() -> AsyncIterator[str]:
        async for piece in llmlog.stream(chunks("a", "b", "c"), provider="text"):
            yield piece

    async def main() -> Any:
        with llmlog.request("r-1"):
            made = answer()
            await anext(made)

        async def close() -> Any:
            with llmlog.request("r-2"):
                await made.aclose()
                return here()

        return await asyncio.create_task(close())

    assert asyncio.run(main()) == "r-2"
    record = calls.one()
    assert (record["request_id"], record["feature"], record["outcome"]) == ("r-1", "search", "aborted")


def test_two_event_loops_at_the_same_time(calls: Records) -> None:
    """Nothing depends on one loop: each thread's calls have the context of their own."""

    def run(number: int) -> None:
        async def main() -> None:
            async with llmlog.request(f"r-{number}"):
                async for _ in llmlog.stream(chunks("a"), provider="text"):
                    pass

        asyncio.run(main())

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(record["request_id"] for record in calls.all()) == ["r-0", "r-1", "r-2", "r-3"]
