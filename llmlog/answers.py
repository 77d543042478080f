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
    """A text that arrives in pieces. Appending to `pieces` is the hot path; `pack()` now and then keeps it small."""

    __slots__ = ("_blocks", "_kept", "_packed", "pieces")

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._blocks: list[str] = []
        self._packed = 0
        self._kept = 0

    def add(self, piece: str) -> None:
        self.pieces.append(piece)
        if len(self.pieces) >= _PIECES:
            self.pack()

    def pack(self) -> None:
        """Join the pieces into one block; what is beyond `MAX_TEXT` is let go, and its length remembered."""
        block = "".join(self.pieces)
        self.pieces.clear()
        self._packed += len(block)
        room = MAX_TEXT - self._kept
        if room > 0 and block:
            self._blocks.append(block[:room])
            self._kept += len(self._blocks[-1])

    def __len__(self) -> int:
        """The whole length in characters, what was let go included."""
        return self._packed + sum(map(len, self.pieces))

    def __str__(self) -> str:
        """What is kept of it."""
        if self.pieces:
            self.pack()
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

    `texts`: the visible answer, refusal included, by choice; `choice 0` is also at hand as `pieces`.
    `finish_reasons` by choice, in the provider's own words. `usage`: the provider's own object, as it came last.
    `end_mark`: whether the format's own mark of its end was seen. `error`: (type, message, status) of an error that came
    in the stream.
    """

    __slots__ = (
        "content_chunks", "content_filtered", "end_mark", "error", "finish_reasons", "model", "pieces", "reasoning",
        "refused", "response_id", "service_tier", "texts", "tool_calls", "usage",
    )  # fmt: skip

    def __init__(self) -> None:
        first = Text()
        self.pieces = first.pieces
        self.texts: dict[int, Text] = {0: first}
        self.reasoning = Text()
        self.tool_calls: dict[Any, ToolCall] = {}
        self.finish_reasons: dict[int, str] = {}
        self.model: str | None = None
        self.response_id: str | None = None
        self.service_tier: str | None = None
        self.usage: Any = None
        self.error: tuple[str | None, str | None, int | None] | None = None
        self.content_chunks = 0
        self.end_mark = False
        self.refused = False
        self.content_filtered = False

    def text(self, choice: int) -> Text:
        """The visible text of one choice."""
        found = self.texts.get(choice)
        if found is None:
            found = self.texts[choice] = Text()
        return found

    def pack(self) -> None:
        """Make the first choice's pieces small; the drivers call it every few dozen chunks."""
        if len(self.pieces) >= _PIECES:
            self.texts[0].pack()

    def finished(self) -> bool:
        """Whether the provider has said that the answer is whole: every choice finished, or its end mark seen."""
        if self.end_mark:
            return True
        reasons = self.finish_reasons
        return bool(reasons) and all(choice in reasons for choice, text in self.texts.items() if text or choice)
