"""What Loki has already: asked before lines are pushed again whose fate is not known.

Loki leaves out a line that it has with the same time, but only while both would stand in the same block of its memory,
some 256 KB of a stream. A batch is larger, and a stream has other writers: pushed again, it would be counted twice.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlencode

import orjson

from llmlog.faults import notice
from llmlog.handlers.backend import Outcome
from llmlog.handlers.loki_refusals import Stream
from llmlog.handlers.transport import Transport

__all__ = ["StoredLines"]

_HEADERS = {"X-Loki-Response-Encoding-Flags": "categorize-labels"}  # else a line with metadata is a stream of its own
_EDGE = 160  # bytes at both ends that tell a line, with its length and its time, without bringing all of it back
_PAGE = 2_000  # lines of an answer, which stay well below the 4 MiB that Loki's own parts may say to each other
_FAILURES, _PATIENCE = 8, 300.0  # so often, and for so many seconds: then the lines go out unasked
_TEMPLATE = f"{{{{len __line__}}}} {{{{trunc {_EDGE} __line__ | b64enc}}}} {{{{trunc -{_EDGE} __line__ | b64enc}}}}"
_MOST_LINES = re.compile(r"max_entries_limit\w* \(\d+ > (\d+)\)")


class StoredLines:
    """Asks Loki at `push_url`, with the same `headers`, which lines of a stream it has.

    That needs leave to read. Where there is none, it is said once, and lines may be stored twice after an outage.
    """

    def __init__(
        self,
        transport: Transport,
        push_url: str,
        headers: Mapping[str, str],
        label_fields: Iterable[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = transport
        self._url = push_url.removesuffix("/push") + "/query_range"
        self._headers = {name: value for name, value in headers.items() if name != "Content-Type"} | _HEADERS
        self._may_be_absent = dict.fromkeys([*label_fields, "late"], "")
        self._page = _PAGE
        self._clock = clock
        self._failures = 0
        self._failing_since = 0.0

    def missing(self, stream: Stream, *, in_doubt: bool = False) -> tuple[Stream, Outcome | None]:
        """`stream` without what is stored of it; or also an outcome: nothing is known, try again later.

        Only entries that were sent before are looked for, or all of them where `in_doubt`. OSError, TimeoutError.
        """
        sent = {
            _identity(entry.stamp, value[1]): entry.key
            for entry, value in zip(stream.entries, stream.values, strict=True)
            if in_doubt or entry.again
        }
        if not sent:
            return stream, None
        stamps = [stamp for stamp, _ in sent]
        start, end = min(stamps), max(stamps) + 1
        query = f"{self._selector(stream.labels)} | line_format `{_TEMPLATE}` | keep late"
        stored: set[str] = set()
        while True:
            options = {"query": query, "start": start, "end": end, "limit": self._page, "direction": "forward"}
            answer = self._transport.request("GET", f"{self._url}?{urlencode(options)}", b"", self._headers)
            if answer.status == 400 and (most := _MOST_LINES.search(answer.words)) and int(most[1]) < self._page:
                self._page = max(1, int(most[1]))
                continue
            lines = _lines(answer.body) if answer.status == 200 else None
            if lines is None:
                return stream, self._unanswered(stream, answer.status, answer.words, answer.pause)
            self._failures = 0
            stored.update(sent[line] for line in lines if line in sent)
            if len(lines) < self._page:
                return (stream.without(stored) if stored else stream), None
            start = max(start + 1, max(stamp for stamp, _ in lines))

    def _selector(self, labels: Mapping[str, str]) -> str:
        wanted = self._may_be_absent | dict(labels)
        return "{" + ",".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in wanted.items()) + "}"

    def _unanswered(self, stream: Stream, status: int, words: str, pause: float | None) -> Outcome | None:
        now = self._clock()
        if not self._failures:
            self._failing_since = now
        self._failures += 1
        is_worth_waiting = self._failures < _FAILURES or now - self._failing_since < _PATIENCE
        if is_worth_waiting and (status in (408, 425, 429) or status >= 500):  # it may be down as a whole
            return Outcome(again=stream.entries, pause=pause)
        notice(
            f"asking {self._url}",
            f"loki at {self._url} does not say what it has stored ({words}); "
            "records whose sending was interrupted may be there twice",
        )
        return None


def _identity(stamp: int, text: str) -> tuple[int, str]:
    """A line as the template above has it."""
    line = text.encode()
    head, tail = (base64.b64encode(edge).decode() for edge in (line[:_EDGE], line[-_EDGE:]))
    return stamp, f"{len(line)} {head} {tail}"


def _lines(body: bytes) -> list[tuple[int, str]] | None:
    """The times and lines of an answer; None where it is none of Loki's."""
    try:
        streams = orjson.loads(body)["data"]["result"]
        return [(int(value[0]), value[1]) for stream in streams for value in stream["values"]]
    except (ValueError, LookupError, TypeError):
        return None
