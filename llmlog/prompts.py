"""What was asked, as text: chat messages, a prompt, or a list of either."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmlog.answers import utf8_length
from llmlog.exceptions import UsageTypeError, shown
from llmlog.providers.base import fields_of

__all__ = ["NO_PROMPT", "Prompt"]


class Prompt:
    """The input of one call. Keeps the caller's list as it was at the start, not the list itself.

    UsageTypeError for an input that is neither text nor a list nor a mapping, and for tools that are no list.
    """

    __slots__ = ("_size", "input", "tools")

    def __init__(self, input: Any = None, tools: Any = None) -> None:
        if not (input is None or isinstance(input, (str, list, tuple, Mapping))):
            raise UsageTypeError(f"input is text, a list of messages or a mapping, got {shown(input)}")
        if not (tools is None or isinstance(tools, (list, tuple))):
            raise UsageTypeError(f"tools is a list or None, got {shown(tools)}")
        self.input = tuple(input) if isinstance(input, list) else input
        self.tools = list(tools) if tools else None
        self._size: tuple[int, int] | None = None

    @classmethod
    def of_size(cls, characters: int, nbytes: int) -> Prompt:
        """A prompt of which only the size is known: that of a call whose process has died."""
        prompt = cls()
        prompt._size = (characters, nbytes)
        return prompt

    def __str__(self) -> str:
        return "\n".join(_texts(self.input, 8))

    @property
    def size(self) -> tuple[int, int] | None:
        """Characters of all its texts, and bytes of UTF-8; None where there is no input."""
        if self._size is None and self.input is not None:
            texts = list(_texts(self.input, 8))
            self._size = sum(map(len, texts)), sum(map(utf8_length, texts))
        return self._size

    def length(self) -> int | None:
        """Characters of all its texts; None where there is no input."""
        size = self.size
        return None if size is None else size[0]


def _texts(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth <= 0 or value is None or isinstance(value, (bytes, int, float)):
        return
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item, depth - 1)
    else:
        fields = fields_of(value)
        for name in ("content", "text", "input", "output", "arguments"):
            yield from _texts(fields.get(name), depth - 1)
        for tool_call in _list(fields.get("tool_calls")):
            yield from _texts(fields_of(tool_call).get("function"), depth - 1)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


NO_PROMPT = Prompt()
