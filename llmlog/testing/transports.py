"""FakeTransport: what stands in for the network between a handler and its backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from llmlog.exceptions import UsageTypeError, shown
from llmlog.handlers.transport import Answer

__all__ = ["FakeTransport", "Sent"]


class Sent(NamedTuple):
    """One request, as a backend made it: not compressed yet, and without the connection's own headers."""

    method: str
    url: str
    body: bytes
    headers: Mapping[str, str]


Scripted = int | tuple[int, bytes | str] | Answer | Exception | Callable[[Sent], "Scripted"]


class FakeTransport:
    """Answers requests by a script: each answer once, the last one from then on, and 204 where there is none.

        backend = FakeTransport(503, ConnectionError("gone"), 204)
        handler = LokiHandler("http://loki:3100", transport=backend)

    An answer is a status, a status and a body, an `Answer`, an exception to raise, or a function that makes one of
    these from the request. `requests` has what was sent.
    """

    def __init__(self, *answers: Scripted) -> None:
        self.requests: list[Sent] = []
        self.closed = 0
        self._answers = list(answers) or [204]

    def request(self, method: str, url: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Keep the request and answer it."""
        sent = Sent(method, url, body, dict(headers or {}))
        self.requests.append(sent)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        while callable(answer) and not isinstance(answer, Answer):
            answer = answer(sent)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            return Answer(answer, {}, b"")
        if isinstance(answer, Answer):
            return answer
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise UsageTypeError(f"an answer is a status, a status and a body, or an Answer, got {shown(answer)}")
        status, content = answer
        return Answer(status, {}, content.encode() if isinstance(content, str) else content)

    def close(self) -> None:
        """Count it."""
        self.closed += 1
