"""Scopes of a request: blocks, functions, generators; and its context carried elsewhere."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import Records, answer

import llmlog
from llmlog.context import new_id

OTHER: contextvars.ContextVar[str] = contextvars.ContextVar("other", default="none")


def here() -> Any:
    """The current request id, or None."""
    return llmlog.current().get("request_id")


def test_a_scope_gives_its_context() -> None:
    """request() yields the context, and takes it away again."""
    with llmlog.request("r1", user_id="u1") as context:
        assert context == {"request_id": "r1", "user_id": "u1"}
        assert llmlog.current() is context
    assert here() is None


def test_a_fresh_id() -> None:
    """Without an id there is a fresh one, 32 hexadecimal digits; no two are alike."""
    with llmlog.request() as one, llmlog.request("x"), llmlog.request() as inherited:
        assert len(one["request_id"]) == 32
        assert inherited["request_id"] == "x"
    assert len({new_id() for _ in range(1000)}) == 1000


def test_nested_scopes_inherit() -> None:
    """Fields are inherited, overridden, and back afterwards."""
    with llmlog.request("r1", a=1, b=1):
        with llmlog.request(b=2):
            assert llmlog.current() == {"request_id": "r1", "a": 1, "b": 2}
        assert llmlog.current() == {"request_id": "r1", "a": 1, "b": 1}


def test_async_with() -> None:
    """async with is the same."""

    async def main() -> None:
        async with llmlog.request("r1") as context:
            await asyncio.sleep(0)
            assert here() == context["request_id"] == "r1"
        assert here() is None

    asyncio.run(main())


def test_decorators() -> None:
    """With and without brackets, on functions and coroutine functions; a fresh request for each call."""

    @llmlog.request
    def plain(a: int) -> tuple[int, str]:
        """Its docstring."""
        return a, str(here())

    @llmlog.request(feature="f")
    async def coroutine(a: int) -> tuple[int, str]:
        await asyncio.sleep(0)
        return a, llmlog.current()["feature"]

    class Service:
        @llmlog.request("r1")
        def method(self) -> Any:
            return here()

    first, second = plain(1), plain(1)
    assert first[0] == 1
    assert first[1] != second[1]
    assert plain.__doc__ == "Its docstring."
    assert inspect.iscoroutinefunction(coroutine)
    assert asyncio.run(coroutine(2)) == (2, "f")
    assert Service().method() == "r1"
    assert here() is None


def test_a_decorated_function_that_raises() -> None:
    """The exception passes, the context goes."""

    @llmlog.request
    def fails() -> None:
        raise ValueError

    with pytest.raises(ValueError):
        fails()
    assert here() is None


def test_an_object_with_an_async_call() -> None:
    """The context of a callable object's coroutine holds while it runs."""

    class Agent:
        async def __call__(self) -> Any:
            await asyncio.sleep(0)
            return here()

    assert asyncio.run(llmlog.request("r1")(Agent())()) == "r1"


def test_a_generator_holds_its_context_in_its_steps_only() -> None:
    """Inside each step the request is there; the consumer between the steps has its own."""

    @llmlog.request("g")
    def numbers() -> Generator[Any, Any, str]:
        llmlog.bind(step=1)
        got = yield here()
        assert llmlog.current()["step"] == 1
        try:
            yield got, here()
        except KeyError as error:
            yield repr(error), here()
        return "done"

    assert inspect.isgeneratorfunction(numbers)
    with llmlog.request("consumer"):
        generator = numbers()
        assert next(generator) == "g"
        assert here() == "consumer"
        assert generator.send("sent") == ("sent", "g")
        assert generator.throw(KeyError("k")) == ("KeyError('k')", "g")
        with pytest.raises(StopIteration) as stop:
            next(generator)
        assert stop.value.value == "done"
        assert here() == "consumer"
        assert "step" not in llmlog.current()


def test_an_async_generator_holds_its_context_in_its_steps_only() -> None:
    """The same, async, with asend, athrow and an early aclose from another task."""
    closed = []

    @llmlog.request("g")
    async def numbers() -> AsyncGenerator[Any, Any]:
        try:
            got = yield here()
            try:
                yield got, here()
            except KeyError as error:
                yield repr(error), here()
            await asyncio.sleep(0)
            yield here()
        finally:
            closed.append(here())

    async def main() -> None:
        with llmlog.request("consumer"):
            generator = numbers()
            assert await anext(generator) == "g"
            assert here() == "consumer"
            assert await generator.asend("sent") == ("sent", "g")
            assert await generator.athrow(KeyError("k")) == ("KeyError('k')", "g")
            assert await anext(generator) == "g"
            await asyncio.create_task(generator.aclose())  # another task, another context
            assert here() == "consumer"
            assert [one async for one in numbers()][-1] == "g"

    assert inspect.isasyncgenfunction(numbers)
    asyncio.run(main())
    assert closed == ["g", "g"]


def test_a_dropped_generator_settles_its_streams(calls: Records) -> None:
    """A generator's request is over when the generator is dropped."""
    kept: list[Any] = []

    @llmlog.request("g")
    def chat() -> Iterator[Any]:
        stream = llmlog.stream(answer("a", "b"))
        kept.append(stream)
        for _ in stream:
            break
        yield 1

    next(chat())
    gc.collect()
    record = calls.one()
    assert (record["request_id"], record["ended_by"]) == ("g", "loop_left")


def test_left_in_another_context() -> None:
    """A scope that is left elsewhere raises nothing, and restores nothing that is not its own."""
    scope = llmlog.request("r1")

    def elsewhere() -> None:
        with llmlog.request("other"):
            scope.__exit__(None, None, None)
            assert here() == "other"

    def inside() -> None:
        scope.__enter__()
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert here() == "r1"

    contextvars.copy_context().run(inside)
    llmlog.request().__exit__(None, None, None)  # never entered: nothing to do


def test_a_coroutine_that_is_closed_in_another_context() -> None:
    """A decorated coroutine that goes while another request runs does not put its own context in that one's place."""

    @llmlog.request(feature="A")
    async def waits() -> None:
        await asyncio.Future()

    async def main() -> dict[str, Any]:
        with llmlog.request("AA", tenant="secret"):
            coroutine = waits()
            context = contextvars.copy_context()
            context.run(coroutine.send, None)
        with llmlog.request("B"):
            coroutine.close()
            return dict(llmlog.current())

    assert asyncio.run(main()) == {"request_id": "B"}


def test_one_scope_shared_by_two_tasks() -> None:
    """Each task leaves what it has entered."""
    scope = llmlog.request(a=1)
    first, second = contextvars.copy_context(), contextvars.copy_context()
    first.run(scope.__enter__)
    second.run(scope.__enter__)
    first.run(scope.__exit__, None, None, None)
    second.run(scope.__exit__, None, None, None)
    assert [dict(context.run(llmlog.current)) for context in (first, second)] == [{}, {}]


def test_what_ends_with_an_inner_request_counts_in_the_outer_one(calls: Records) -> None:
    """Streams that were left, held or dropped, count in the requests around theirs."""
    with llmlog.request() as outer:
        with llmlog.request():
            for _ in llmlog.stream(answer("a")):
                break
            held = llmlog.stream(answer("b"))
            for _ in held:
                break
        assert outer.request is not None
    calls.all()
    assert outer.request.totals.calls == 2


def test_left_out_of_order() -> None:
    """Of two scopes left in the wrong order, neither leaves its context behind."""

    def inside() -> None:
        with llmlog.request("around"):
            first, second = llmlog.request("first"), llmlog.request("second")
            first.__enter__()
            second.__enter__()
            first.__exit__(None, None, None)
            assert here() == "second"
            second.__exit__(None, None, None)
            assert here() == "around"

    contextvars.copy_context().run(inside)


def test_one_scope_entered_twice() -> None:
    """A scope object may be used again, also inside itself."""
    scope = llmlog.request(a=1)
    with scope as outer, scope as inner:
        assert outer["request_id"] == inner["request_id"]
        assert here() is not None
    assert here() is None


@pytest.mark.parametrize(("wrong", "error"), [(5, TypeError), ("", ValueError), ("  ", ValueError), (b"x", TypeError)])
def test_wrong_ids(wrong: Any, error: type[Exception]) -> None:
    """An id is text that says something; the message shows what was given."""
    with pytest.raises(error, match=repr(wrong)):
        llmlog.request(wrong)


def test_other_errors_of_use() -> None:
    """What is no function cannot be decorated or carried; names are text."""
    with pytest.raises(TypeError, match="5"):
        llmlog.request("r")(5)  # type: ignore[type-var]
    with pytest.raises(TypeError, match="5"):
        llmlog.carry(5)  # type: ignore[type-var]
    with pytest.raises(TypeError, match="5"):
        llmlog.unbind(5)  # type: ignore[arg-type]


def test_carry_to_threads() -> None:
    """A carried function runs in the context of where it was made, in many threads at the same time."""
    barrier = threading.Barrier(4)

    def work(n: int) -> Any:
        barrier.wait(10)
        llmlog.bind(n=n)
        return here(), llmlog.current()["n"], OTHER.get()

    def inside() -> list[Any]:
        OTHER.set("theirs")
        with llmlog.request("r1"), ThreadPoolExecutor(4) as pool:
            found = list(pool.map(llmlog.carry(work), range(4)))
            assert "n" not in llmlog.current()
        return found

    found = contextvars.copy_context().run(inside)
    assert found == [("r1", n, "theirs") for n in range(4)]


@pytest.mark.parametrize("kind", ["coroutine", "generator", "async generator"])
def test_carry_other_kinds(kind: str) -> None:
    """Coroutine functions and generators take the request along."""

    async def coroutine() -> Any:
        await asyncio.sleep(0)
        return here()

    def generator() -> Iterator[Any]:
        yield here()

    async def async_generator() -> AsyncIterator[Any]:
        yield here()

    async def first(run: Callable[[], AsyncIterator[Any]]) -> Any:
        return await anext(run())

    with llmlog.request("r1"):
        carried = llmlog.carry({"coroutine": coroutine, "generator": generator}.get(kind, async_generator))
    with llmlog.request("elsewhere"):
        if kind == "generator":
            assert next(carried()) == "r1"
        else:
            assert asyncio.run(carried() if kind == "coroutine" else first(carried)) == "r1"
        assert here() == "elsewhere"


def test_a_chain_of_requests_keeps_nothing_alive() -> None:
    """Tasks that each begin the next one inside their request do not pile up."""
    states = []

    def job(n: int) -> None:
        with llmlog.request() as context:
            states.append(context.request)
            if n:
                contextvars.copy_context().run(lambda: later.append(n - 1))

    later = [5]
    while later:
        job(later.pop())
    assert all(state is not None and state.parent is None for state in states)
