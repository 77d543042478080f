"""What every provider module offers, and what most of them need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llmlog.answers import Answer
from llmlog.usage import Usage

__all__ = ["Provider", "Read", "count", "fields_of", "parts", "text_in"]

Read = Callable[[Answer, Any], Any]
"""Reads one chunk, or a response, into the answer. A chunk's true means: it brings the usage, and nothing else."""


@dataclass(frozen=True, slots=True)
class Provider:
    """How to read one provider's stream and answers."""

    name: str
    """What `provider=` takes, and what the record says. Several formats of one provider share it."""
    matches: Callable[[object], bool]
    """Whether a chunk or response is in this format: as an SDK's object, and as a dict. No two formats say so."""
    chunk: Read
    """Reads any of its chunks."""
    response: Read
    """Reads a whole response."""
    usage: Callable[[Any], Usage | None]
    """The provider's own usage in our meaning; None where it holds no count."""
    ends: bool = True
    """Whether its streams say that they are whole; one that runs out without saying so was cut."""
    quick: Callable[[Answer, Any], Read | None] | None = None
    """Picks, after a chunk was read, the reader for more like it; None: not yet. Without it, `chunk` reads all."""
    operation: str = "chat"
    """What was asked for, in OpenTelemetry's words."""
    names: tuple[str, ...] = ()
    """The names for which this is the format where a chunk's shape does not tell: of vendors and servers that speak it,
    and `name` itself where several formats share it. `provider=` takes them too, and the record then says them.
    """
    is_form: bool = False
    """Whether it is a form in which anybody's answers come, and `name` no provider's."""
    formats: tuple[Provider, ...] = ()
    """Where it is not known yet in which format the answer comes: the ones that it may be."""

    def pick(self, chunk: object) -> Provider:
        """The format that a chunk or response is in; itself where that is decided, or cannot be told yet."""
        for one in self.formats:  # no generator: a signal that comes as it is let go has nobody to go to
            if one.matches(chunk):
                return one
        return self

    def quicker(self, answer: Answer, chunk: Any) -> Read | None:
        """The reader for the chunks that follow this one; None where it is too early to tell."""
        return self.chunk if self.quick is None else self.quick(answer, chunk)


def fields_of(value: Any) -> Mapping[str, Any]:
    """The fields of a JSON object: a dict as it is, an SDK's object by its attributes, extra ones included."""
    if isinstance(value, Mapping):
        return value
    try:
        own: Mapping[str, Any] = getattr(value, "__dict__", None) or {}
        extra = getattr(value, "__pydantic_extra__", None)
        return {**own, **extra} if extra else own
    except Exception:  # an object that does not let itself be looked at
        return {}


def parts(value: Any) -> list[Any] | tuple[Any, ...]:
    """`value` where it is a list, and an empty one where it is anything else."""
    return value if isinstance(value, (list, tuple)) else ()


def text_in(value: Any) -> str:
    """`value` where it is text, and "" where it is anything else."""
    return value if isinstance(value, str) else ""


def count(value: Any) -> int | None:
    """A count of tokens, or None: 0 is a count, None and "" and True are not."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if 0 <= value < 1e15 else None
