"""Script: what a scripted provider sends for one request, and what goes wrong then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal, get_args

from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.usage import Usage

__all__ = ["INPUT_TOKENS", "Script", "Then", "ToolCall"]

INPUT_TOKENS = 10
"""The input tokens of a script that does not say its usage; its output tokens are one for each piece."""

Then = Literal["end", "cut", "short", "error", "hang"]
"""What comes after the pieces; `Script` says what each of them is."""
Before = Literal["headers", "chunks"]


@dataclass(frozen=True)
class ToolCall:
    """One call of a tool that the scripted model asks for.

    `pieces`: its arguments, a JSON object as text, in the pieces in which they are streamed. `id`: the provider's id
    of the call; None: one that looks like the provider's.
    """

    name: str
    pieces: Sequence[str] = ("{}",)
    id: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "pieces", _texts("the pieces of a tool call", self.pieces))


@dataclass(frozen=True)
class Script:
    """What is sent for one request: the pieces of the answer, one event each, and then its end or a fault.

    `pieces`: the answer's text. `then`, once they are sent:

        end     the answer ends as the provider's do: finish reason, usage, end mark
        cut     the connection is closed in the middle of the HTTP body
        short   the HTTP response ends as if it were whole, without finish reason and end mark
        error   an error event in the stream
        hang    nothing more comes, and the connection stays open till the client goes or the server is closed

    A fault with no piece (and no tool call) before it comes in place of the first event. A request that is not
    streamed gets half of its answer before a cut, a short end or a hang, and a status of 500 for an error.

    `hang_before`: "headers" or "chunks": nothing comes at all, or the headers only.
    `status`: an error status, 400 to 599, with the provider's error object; 429 brings a Retry-After of one second.
    `headers`: further headers of the response; they replace the provider's of the same name.
    `usage`: True: `INPUT_TOKENS` of input, and a token of output for each piece; a `Usage`: these counts; False: none,
    even where the request asks. `finish_reason`: in OpenAI's words, put into Anthropic's in its form; None: what fits.
    `tool_calls`: after the text. `refusal`: the pieces are those of a refusal.
    `model`: what the answer says it is from; None: what the request asks for.
    `gate`: what each piece waits for: a semaphore, of which each piece takes one (`gate.release(2)` lets two through),
    or a function, called before each piece (such as `lambda: clock.sleep(0.5)`).

    UsageTypeError and UsageValueError for what makes no script.
    """

    pieces: Sequence[str] = ("Hello", " world")
    then: Then = "end"
    _: KW_ONLY
    hang_before: Before | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    usage: bool | Usage = True
    finish_reason: str | None = None
    tool_calls: Sequence[ToolCall] = ()
    refusal: bool = False
    model: str | None = None
    gate: threading.Semaphore | Callable[[], object] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "pieces", _texts("the pieces of a script", self.pieces))
        _one_of("then", self.then, get_args(Then))
        if self.hang_before is not None:
            _one_of("hang_before", self.hang_before, get_args(Before))
        if self.status is not None:
            if isinstance(self.status, bool) or not isinstance(self.status, int):
                raise UsageTypeError(f"status is an HTTP status or None, got {shown(self.status)}")
            if not 400 <= self.status <= 599:
                raise UsageValueError(f"status is an error's, 400 to 599, got {shown(self.status)}")
        if not isinstance(self.usage, (bool, Usage)):
            raise UsageTypeError(f"usage is True, False or a llmlog.Usage, got {shown(self.usage)}")
        if not isinstance(self.headers, Mapping):
            raise UsageTypeError(f"headers is a mapping of names to texts, got {shown(self.headers)}")
        if isinstance(self.tool_calls, ToolCall):
            raise UsageTypeError(f"tool_calls is a sequence of ToolCall, got {shown(self.tool_calls)}")
        object.__setattr__(self, "tool_calls", tuple(self.tool_calls))
        for tool in self.tool_calls:
            if not isinstance(tool, ToolCall):
                raise UsageTypeError(f"tool_calls is a sequence of ToolCall, got {shown(tool)} in it")
        if self.gate is not None and not (callable(self.gate) or hasattr(self.gate, "acquire")):
            raise UsageTypeError(f"gate is a semaphore, a function or None, got {shown(self.gate)}")

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.pieces)

    @property
    def begins(self) -> bool:
        """Whether anything of the answer is sent: a fault with nothing before it comes in place of the first event."""
        return self.then == "end" or bool(self.pieces or self.tool_calls)

    def counts(self) -> Usage | None:
        """The tokens it says it used; None: it does not say."""
        if isinstance(self.usage, Usage):
            return self.usage
        if not self.usage:
            return None
        output = len(self.pieces) + sum(len(tool.pieces) for tool in self.tool_calls)
        return Usage(input_tokens=INPUT_TOKENS, output_tokens=output)

    def openai_chunks(self, request: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """The chunks of OpenAI's form as dicts, for tests without HTTP; after them a cut is a ConnectionResetError,
        a hang a TimeoutError.

        `request`: the body that asks for them; without one, usage counts as asked for.
        """
        from llmlog.testing.openai import FORM  # forms stand on scripts; this method is only their door

        return FORM.chunks(self, request)

    def anthropic_chunks(self, request: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """The same in Anthropic's form."""
        from llmlog.testing.anthropic import FORM

        return FORM.chunks(self, request)


def _texts(what: str, pieces: Any) -> tuple[str, ...]:
    if isinstance(pieces, str):
        raise UsageTypeError(f"{what} are several texts, got {shown(pieces)}: put it into a list")
    found = tuple(pieces)
    for piece in found:
        if not isinstance(piece, str):
            raise UsageTypeError(f"{what} are texts, got {shown(piece)} among them")
    return found


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageValueError(f"{name} is one of {', '.join(allowed)}, got {shown(value)}")
