"""Faults of llmlog itself: counted, told once on stderr, never raised into the application.

The rule of telling is the standard library's own: nothing is printed where `logging.raiseExceptions` is false.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections import Counter

__all__ = ["counts", "fault", "notice"]

_counts: Counter[str] = Counter()
_told: set[str] = set()


def counts() -> dict[str, int]:
    """How often each part of llmlog failed in this process: `{"reading a chunk": 3}`. Empty is the normal answer."""
    return dict(_counts)


def fault(where: str, error: BaseException | None = None) -> None:
    """Count a failure of ours while doing `where`; the first of its kind is told on stderr, with its traceback."""
    _counts[where] += 1
    kind = f"{where}: {type(error).__name__}"
    if kind in _told:
        return
    _told.add(kind)
    _tell(f"llmlog: a fault while {where}; your program is not affected, later ones are only counted", error)


def notice(key: str, text: str) -> None:
    """Say `text` on stderr, once for each `key` in the life of the process."""
    if key not in _told:
        _told.add(key)
        _tell(f"llmlog: {text}", None)


def _tell(text: str, error: BaseException | None) -> None:
    stderr = sys.stderr
    if not logging.raiseExceptions or stderr is None:  # None: a windowed program has no stderr
        return
    try:
        if error is not None:
            text += "\n" + "".join(traceback.format_exception(error)).rstrip()
        stderr.write(text + "\n")
    except Exception:  # a closed stderr, a broken __str__ in the error: there is nobody left to tell
        pass
