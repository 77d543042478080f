"""A file whose lock is free is a dead process's: the system takes a lock back when its process is gone, however."""

from __future__ import annotations

import os
from typing import Any, cast

try:
    import fcntl
except ImportError:  # not a POSIX system: `available` says so
    fcntl = cast(Any, None)

__all__ = ["available", "is_still", "lock"]

available: bool = fcntl is not None
"""Whether this system has locks of this kind."""


def lock(fd: int) -> None:
    """Lock an open file. BlockingIOError where somebody else has it."""
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_still(path: str | os.PathLike[str], fd: int) -> bool:
    """Whether the open file is the one at `path`: it may have been taken away between opening and locking it."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False
