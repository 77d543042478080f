"""What a provider has sent so far, in one form for all of them. Filled by `llmlog.providers`, read by `llmlog.summary`.

No chunk is kept: only the text (bounded), the names, the figures.
"""

from __future__ import annotations

from typing import Any

__all__ = ["MAX_TEXT", "Answer", "Text", "ToolCall"]

MAX_TEXT = 1_000_000
"""Characters of one text that are kept for counting and capture; beyond them only the length is known."""

_PIECES = 64


class Text:
    """A text that arrives in pieces: bounded, and joined now and then so that it stays small."""

    __slots__ = ("_blocks", "_kept", "_packed", "_pieces")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._blocks: list[str] = []
        self._packed = 0
        self._kept = 0

    def add(self, piece: str) -> None:
        self._pieces.append(piece)
        if len(self._pieces) >= _PIECES:
            self._pack()

    def _pack(self) -> None:
        """Join the pieces into one block; what is beyond `MAX_TEXT` is let go, and its length remembered."""
        block = "".join(self._pieces)
        self._pieces.clear()
        self._packed += len(block)
        room = MAX_TEXT - self._kept
        if room > 0 and block:
            self._blocks.append(block[:room])
            self._kept += len(self._blocks[-1])

    def __len__(self) -> int:
        """The whole length in characters, what was let go included."""
        return self._packed + sum(map(len, self._pieces))

    def __str__(self) -> str:
        """What is kept of it."""
        if self._pieces:
            self._pack()
        if len(self._blocks) > 1:
            self._blocks[:] = ["".join(self._blocks)]
        return self._blocks[0] if self._blocks else ""


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
    `error`: (type, message, status) of an error that came in the stream. `pieces` is the hot path: a chunk that brings
    nothing but a piece of the first choice's text appends it there; all else goes through `text()`.
    """

    __slots__ = (
        "_content_chunks", "_texts", "content_filtered", "end_mark", "error", "finish_reasons", "model", "pieces",
        "reasoning", "refused", "response_id", "service_tier", "tool_calls", "usage",
    )  # fmt: skip

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._texts: dict[int, Text] = {0: Text()}
        self._content_chunks = 0
        self.reasoning = Text()
        self.tool_calls: dict[Any, ToolCall] = {}
        self.finish_reasons: dict[int, str] = {}
        self.model: str | None = None
        self.response_id: str | None = None
        self.service_tier: str | None = None
        self.usage: Any = None
        self.error: tuple[str | None, str | None, int | None] | None = None
        self.end_mark = False
        self.refused = False
        self.content_filtered = False

    @property
    def content_chunks(self) -> int:
        """How many chunks brought any content: text, reasoning, a refusal, a tool call."""
        return self._content_chunks + len(self.pieces)

    def has_content(self) -> None:
        """Count one chunk that brought content by another way than `pieces`."""
        self._content_chunks += 1

    @property
    def texts(self) -> dict[int, Text]:
        """The visible text of each choice."""
        self.pack()
        return self._texts

    def text(self, choice: int) -> Text:
        """The visible text of one choice."""
        self.pack()
        found = self._texts.get(choice)
        if found is None:
            found = self._texts[choice] = Text()
        return found

    def pack(self) -> None:
        """Move the pieces to where they belong; the drivers call it every few dozen chunks."""
        if pieces := self.pieces:
            block = "".join(pieces)
            self._content_chunks += len(pieces)
            pieces.clear()
            self._texts[0].add(block)

    def finished(self) -> bool:
        """Whether the provider has said that the answer is whole: every choice finished, or its end mark seen."""
        if self.end_mark:
            return True
        reasons = self.finish_reasons
        return bool(reasons) and all(choice in reasons for choice, text in self.texts.items() if text or choice)
