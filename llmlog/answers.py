"""What a provider has sent so far, in one form for all of them. Filled by `llmlog.providers`, read by `llmlog.summary`.

No chunk is kept: only the text (bounded), the names, the figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["MAX_TEXT", "Answer", "Text", "ToolCall", "utf8_length"]

MAX_TEXT = 1_000_000
"""Characters of one text that are kept for counting and capture; beyond them only the length is known."""


_TAIL = 512
_NONE: Mapping[Any, Any] = MappingProxyType({})


class Text:
    """A text that arrives in pieces: bounded, and small for what it holds.

    Pieces gather in a tail, the tail in blocks, each more than twice as long as the one after it: a long text is a
    handful of strings, and no character is copied more often than there are blocks.
    """

    __slots__ = ("_blocks", "_more_bytes", "_not_kept", "_tail")

    def __init__(self) -> None:
        self._tail = ""
        self._blocks: tuple[str, ...] = ()
        self._not_kept = 0  # characters
        self._more_bytes = 0  # than characters, without those of the tail

    def add(self, piece: str) -> None:
        """Append `piece`; what is beyond `MAX_TEXT` is let go, and its length remembered."""
        self._tail += piece
        if len(self._tail) >= _TAIL:
            self._settle()

    def _settle(self) -> None:
        whole, blocks = self._tail, self._blocks
        self._more_bytes += utf8_length(whole) - len(whole)
        block = whole[: max(0, MAX_TEXT - sum(map(len, blocks)))]
        self._not_kept += len(whole) - len(block)
        if block:
            while blocks and len(blocks[-1]) <= 2 * len(block):
                block = blocks[-1] + block
                blocks = blocks[:-1]
            self._blocks = (*blocks, block)
        self._tail = ""

    def grow(self, length: int, nbytes: int) -> None:
        """Make it longer by so many characters, and bytes of UTF-8, that are not kept."""
        self._not_kept += length
        self._more_bytes += nbytes - length

    def __len__(self) -> int:
        """The whole length in characters, what was let go included."""
        return sum(map(len, self._blocks)) + self._not_kept + len(self._tail)

    @property
    def nbytes(self) -> int:
        """The whole length in bytes of UTF-8."""
        return len(self) - len(self._tail) + self._more_bytes + utf8_length(self._tail)

    def __str__(self) -> str:
        """What is kept of it."""
        if self._tail:
            self._settle()
        if len(self._blocks) > 1:
            self._blocks = ("".join(self._blocks),)
        return self._blocks[0] if self._blocks else ""


def utf8_length(text: str) -> int:
    """The length of `text` in bytes of UTF-8; half a surrogate pair, as a broken stream may bring it, counts three."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


_NO_TEXT = Text()


class ToolCall:
    """One call of a tool that the model asks for."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id: str | None = None
        self.name = ""
        self.arguments = Text()


class Answer:
    """The accumulator that a provider's functions fill.

    `texts`: the visible answer, refusal included, by choice. `finish_reasons` by choice, in the provider's own words.
    `usage`: the provider's own object, as it came last. `end_mark`: whether the format's own mark of its end was seen.
    `hidden`: text that was generated and is no part of the answer, such as arguments for tools that the provider runs
    itself: it is counted, and has no length of its own. `web_searches`: how many of those tools were searches that are
    charged for, where the usage does not say. `error`: (type, message, status) of an error that came in the stream.
    `provider`: who made the answer, where it says so: a library's or a gateway's. `pieces` is the hot path: a
    chunk that brings nothing but a piece of the first choice's text appends it there; all else goes through `text()`.
    """

    __slots__ = (
        "_content_chunks", "_others", "_text", "content_filtered", "end_mark", "error", "finish_reasons", "hidden",
        "model", "pieces", "provider", "reasoning", "refused", "response_id", "service_tier", "tool_calls", "usage",
        "web_searches",
    )  # fmt: skip

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._text = Text()
        self._others: dict[int, Text] | None = None  # the further choices; few streams have any
        self._content_chunks = 0
        self.reasoning = _NO_TEXT
        self.hidden = _NO_TEXT
        self.tool_calls: Mapping[Any, ToolCall] = _NONE
        self.finish_reasons: Mapping[int, str] = _NONE
        self.model: str | None = None
        self.provider: str | None = None
        self.response_id: str | None = None
        self.service_tier: str | None = None
        self.usage: Any = None
        self.web_searches = 0
        self.error: tuple[str | None, str | None, int | None] | None = None
        self.end_mark = False
        self.refused = False
        self.content_filtered = False

    @property
    def content_chunks(self) -> int:
        """How many chunks brought any content: text, reasoning, a refusal, a tool call."""
        return self._content_chunks + len(self.pieces)

    def has_content(self, chunks: int = 1) -> None:
        """Count chunks that brought content by another way than `pieces`."""
        self._content_chunks += chunks

    def size(self) -> tuple[int, int]:
        """Characters of the visible texts, and bytes of UTF-8. Any thread may ask while the answer comes in."""
        pending = "".join(self.pieces)
        length, nbytes = len(pending) + len(self._text), utf8_length(pending) + self._text.nbytes
        for text in list((self._others or _NONE).values()):
            length, nbytes = length + len(text), nbytes + text.nbytes
        return length, nbytes

    @property
    def texts(self) -> dict[int, Text]:
        """The visible text of each choice."""
        self.pack()
        return {0: self._text, **(self._others or {})}

    def text(self, choice: int) -> Text:
        """The visible text of one choice."""
        self.pack()
        if choice == 0:
            return self._text
        if self._others is None:
            self._others = {}
        found = self._others.get(choice)
        if found is None:
            found = self._others[choice] = Text()
        return found

    def think(self, piece: str) -> None:
        """Append to the reasoning."""
        if self.reasoning is _NO_TEXT:
            self.reasoning = Text()
        self.reasoning.add(piece)

    def hide(self, piece: str) -> None:
        """Append to the hidden text."""
        if self.hidden is _NO_TEXT:
            self.hidden = Text()
        self.hidden.add(piece)

    def tool_call(self, key: Any) -> ToolCall:
        """The call of a tool under this key, which is the provider's own."""
        found = self.tool_calls.get(key)
        if found is None:
            found = ToolCall()
            self.tool_calls = {**self.tool_calls, key: found}
        return found

    def finish(self, choice: int, reason: str) -> None:
        """This choice is whole, in the provider's own word."""
        self.finish_reasons = {**self.finish_reasons, choice: reason}

    def pack(self) -> None:
        """Move the pieces to where they belong; the drivers call it every few chunks."""
        if pieces := self.pieces:
            block = "".join(pieces)
            self._content_chunks += len(pieces)
            pieces.clear()
            self._text.add(block)

    def finished(self) -> bool:
        """Whether the provider has said that the answer is whole: every choice finished, or its end mark seen."""
        if self.end_mark:
            return True
        reasons = self.finish_reasons
        return bool(reasons) and all(choice in reasons for choice, text in self.texts.items() if text or choice)
