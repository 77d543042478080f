"""What the wire forms have in common: a script as parts, the parts as server-sent events or as dicts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.testing.scripts import Script

__all__ = ["Form", "Part", "dumped"]

Body = Mapping[str, Any] | None
"""The JSON object of a request; None where there is none: then usage counts as asked for."""


class Part(NamedTuple):
    """One event of a streamed answer, and the script's piece that it brings: of its text, or of a tool's arguments."""

    data: dict[str, Any]
    piece: str | None = None
    is_text: bool = True


@dataclass(frozen=True)
class Form:
    """How one provider sends an answer. The functions take the script, the request's body and the answer's id."""

    first_id: str
    """The id of an answer that is given none."""
    parts: Callable[[Script, Body, str], Iterator[Part]]
    """The streamed answer, as far as the script gets, an error event included."""
    framed: Callable[[dict[str, Any]], bytes]
    """The bytes of one event."""
    end_mark: bytes
    """The bytes after the last event of an answer that comes to its end."""
    answer: Callable[[Script, Body, str], dict[str, Any]]
    """The answer in one piece."""
    error: Callable[[int], dict[str, Any]]
    """The error object of a status."""
    request_id: str
    """The header that holds the request's id."""

    def events(self, script: Script, request: Body, id: str) -> Iterator[bytes]:
        """The server-sent events, as far as the script gets. UsageValueError where it has a status."""
        for part in self._checked(script, request, id):
            yield self.framed(part.data)
        if script.then == "end" and self.end_mark:
            yield self.end_mark

    def chunks(self, script: Script, request: Body) -> Iterator[dict[str, Any]]:
        """The events' data; a cut and a hang raise what a client would. UsageValueError where it has a status."""
        return self._chunks(script, self._checked(script, request, self.first_id))

    def _checked(self, script: Script, request: Body, id: str) -> Iterator[Part]:
        if not isinstance(script, Script):
            raise UsageTypeError(f"a wire form takes a Script, got {shown(script)}")
        if script.status is not None:
            raise UsageValueError(f"a script with an error's status has no stream, got status={script.status}")
        return iter(()) if script.hang_before else self.parts(script, request, id)

    def _chunks(self, script: Script, parts: Iterator[Part]) -> Iterator[dict[str, Any]]:
        gate = script.gate
        for part in parts:
            if part.piece is not None and gate is not None:
                gate() if callable(gate) else gate.acquire()
            yield part.data
        if script.then == "hang" or script.hang_before:
            raise TimeoutError("the script hangs: a client's patience is over")
        if script.then == "cut":
            raise ConnectionResetError("the script cuts the connection")


def dumped(value: Any) -> bytes:
    """`value` as JSON in UTF-8, without spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
