"""JSON that arrives value by value, each under its path: arguments of a tool's call, as Gemini streams them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from llmlog.answers import MAX_TEXT, Text, utf8_length

__all__ = ["GrowingJSON"]


class GrowingJSON(Text):
    """Values under their paths, texts in pieces: JSON where it is asked for.

    `room`: characters that may still come.
    """

    __slots__ = ("room", "values")

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[Any, Any] = {}
        self.room = MAX_TEXT

    def put(self, path: str, value: Any) -> None:
        """Set the value at `path`, or lengthen the text there; one whose path leads nowhere is let go."""
        self.room -= len(path) + (len(value) if isinstance(value, str) else 0)
        keys = _keys(path) if self.room >= 0 else []
        node: Any = self.values
        for key, following in zip(keys, [*keys, None][1:], strict=True):
            if isinstance(node, _Array) is isinstance(key, str):
                return
            node = node.places if isinstance(node, _Array) else node
            if not isinstance(node, dict):
                return
            if following is not None:
                node = node.setdefault(key, _Array() if isinstance(following, int) else {})
            elif isinstance(value, str):
                if not isinstance(node.get(key), Text):
                    node[key] = Text()
                node[key].add(value)
            else:
                node[key] = value

    def __str__(self) -> str:
        return _json(self.values)

    def __len__(self) -> int:
        return len(str(self))

    @property
    def nbytes(self) -> int:
        """The whole length in bytes of UTF-8."""
        return utf8_length(str(self))


class _Array:
    """A list whose places are filled as they come."""

    __slots__ = ("places",)

    def __init__(self) -> None:
        self.places: dict[int, Any] = {}


_KEY = re.compile(r"""\.([^.\[\]]+)|\[(\d{1,9})\]|\[["'](.*?)["']\]""")
_MAX_PATH = 1000


def _keys(path: str) -> list[str | int]:
    """The steps of a JSON path, from the root; none where it has any but names and numbers, or too many of them."""
    keys: list[str | int] = []
    end = 1
    for step in _KEY.finditer(path, 1, _MAX_PATH):
        name, number, quoted = step.groups()
        if step.start() == end:
            end = step.end()
            keys.append(int(number) if number else name or quoted or "")
    return keys if path.startswith("$") and end == len(path) and len(keys) <= 50 else []


def _json(value: Any) -> str:
    import json

    try:
        return json.dumps(value, ensure_ascii=False, default=_plain)
    except (TypeError, ValueError, RecursionError):  # keys that are no text, or a depth that nobody means
        return ""


def _plain(value: Any) -> Any:
    """What JSON has for our own kinds of value, and for the older SDKs'."""
    if isinstance(value, _Array):
        return [value.places[place] for place in sorted(value.places)]
    if isinstance(value, Mapping):
        return dict(value)
    return str(value) if isinstance(value, (Text, bytes)) or not isinstance(value, Sequence) else list(value)
