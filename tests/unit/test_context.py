"""The request's context: one immutable mapping, replaced by binding."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

import llmlog


def here() -> Any:
    """The current request id, or None."""
    return llmlog.current().get("request_id")


def test_outside_a_request_there_is_nothing() -> None:
    """The context is an empty read-only mapping."""
    assert dict(llmlog.current()) == {}
    assert llmlog.current().request is None
    with pytest.raises(TypeError):
        llmlog.current()["a"] = 1  # type: ignore[index]


def test_bind_and_unbind() -> None:
    """They replace the current context, and a scope's end takes what was bound inside it."""
    with llmlog.request("r1"):
        llmlog.bind(a=1, b=2)
        before = llmlog.current()
        llmlog.unbind("a", "never there")
        assert llmlog.current() == {"request_id": "r1", "b": 2}
        assert before["a"] == 1
    assert dict(llmlog.current()) == {}


def test_bind_outside_a_request() -> None:
    """Fields may be bound without a request too."""

    def inside() -> None:
        llmlog.bind(job="j1")
        assert llmlog.current() == {"job": "j1"}
        with llmlog.request("r1"):
            assert llmlog.current() == {"job": "j1", "request_id": "r1"}

    contextvars.copy_context().run(inside)


def test_tasks_do_not_see_each_other() -> None:
    """Concurrent tasks each have their own context."""

    async def one(name: str) -> str:
        async with llmlog.request(name):
            await asyncio.sleep(0)
            llmlog.bind(who=name)
            await asyncio.sleep(0)
            return str(llmlog.current()["who"]) + str(here())

    async def main() -> list[str]:
        return await asyncio.gather(*(one(str(n)) for n in range(50)))

    assert asyncio.run(main()) == [f"{n}{n}" for n in range(50)]


def test_names_as_attributes() -> None:
    """What travels on only is no attribute of records; what a LogRecord has gets an underscore."""
    with llmlog.request("r1", name="n", tracestate="s", baggage="b", trace_flags="01", trace_id="t") as context:
        assert context.attributes() == {"request_id": "r1", "name_": "n", "trace_id": "t"}
        assert "request_id" in repr(context)
