"""The executor that carries the context of whoever hands work in."""

from __future__ import annotations

import asyncio
import contextvars
import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor

import pytest

import llmlog

OTHER: contextvars.ContextVar[str] = contextvars.ContextVar("other", default="")


def where(_: object = None) -> tuple[str | None, str]:
    """The request and another context variable of here."""
    return llmlog.current().get("request_id"), OTHER.get()


def test_submit_and_map_run_in_the_context_of_now() -> None:
    """Ours and everybody else's variables, each piece of work those of its own moment."""
    with llmlog.ContextExecutor(2) as pool:
        OTHER.set("x")
        with llmlog.request("r-1"):
            first, several = pool.submit(where), pool.map(where, range(3))
        with llmlog.request("r-2"):
            second = pool.submit(where)
        assert first.result() == ("r-1", "x")
        assert list(several) == [("r-1", "x")] * 3
        assert second.result() == ("r-2", "x")
        assert pool.submit(where).result()[0] is None
    OTHER.set("")


def test_an_event_loop_s_executor() -> None:
    """`run_in_executor` loses the context with any other executor, and keeps it with this one."""

    async def main() -> tuple[str | None, str]:
        with llmlog.request("r-1"), llmlog.ContextExecutor(1) as pool:
            return await asyncio.get_running_loop().run_in_executor(pool, where)

    assert asyncio.run(main())[0] == "r-1"


def test_what_the_work_binds_stays_there() -> None:
    """The context goes along, and does not come back."""
    with llmlog.ContextExecutor(1) as pool, llmlog.request("r-1"):
        pool.submit(llmlog.bind, document_id="d-1").result()
        assert "document_id" not in llmlog.current()


def test_work_that_fails_fails_as_ever() -> None:
    """The future has the work's own exception."""
    with llmlog.ContextExecutor(1) as pool, pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 / 0).result()


def bound(name: str) -> object:
    """A field of the context of here."""
    return llmlog.current().get(name)


@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_carried_to_another_process(start: str) -> None:
    """A carried function is pickled with the fields of its request; what cannot be pickled stays at home."""
    with llmlog.request("r-1", user_id="u-1", lock=threading.Lock()):
        work = llmlog.carry(bound)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(start)) as pool:
        found = [pool.submit(work, name).result(timeout=60) for name in ("request_id", "user_id", "lock")]
    assert found == ["r-1", "u-1", None]


def test_carried_without_a_request_to_another_process() -> None:
    """Nothing is made up there."""
    import pickle

    assert pickle.loads(pickle.dumps(llmlog.carry(bound)))("request_id") is None
