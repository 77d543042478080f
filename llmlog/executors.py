"""A pool of threads whose work runs in the context of whoever handed it in."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from llmlog.scopes import carry

__all__ = ["ContextExecutor"]

P = ParamSpec("P")
T = TypeVar("T")


class ContextExecutor(ThreadPoolExecutor):
    """The standard library's `ThreadPoolExecutor`, with the same arguments: `submit` and `map` carry the context along.

    `loop.run_in_executor(executor, ...)` and `loop.set_default_executor(executor)` do so, too. For an executor that is
    somebody else's, or one of processes: `executor.submit(llmlog.carry(fn), ...)`.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As the executor's own, in the context of now."""
        return super().submit(carry(fn), *args, **kwargs)
