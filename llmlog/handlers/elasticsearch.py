"""ElasticsearchHandler: records to Elasticsearch or OpenSearch, through a spool."""

from __future__ import annotations

import datetime
import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson

from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.handlers.backend import Entry, Outcome
from llmlog.handlers.mending import moved_aside, shortened
from llmlog.handlers.shipped import SpooledHandler
from llmlog.handlers.transport import Answer, Transport, address, connected, met_alike, refused_as_a_whole
from llmlog.semconv import FIELDS

__all__ = ["ElasticsearchBackend", "ElasticsearchHandler", "checked_index"]

# What is read of an answer: an item without an error is some 25 bytes then.
_QUERY = "filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"
_HEADERS = {"Content-Type": "application/x-ndjson"}
_LONGEST_TEXT = 30_000  # bytes of a whole line where a term was too long: Lucene takes 32,766 of one
_LONGEST_LINE = 256 * 1024  # of a record that was too large
_REST = 30.0
_MINUTE = 60_000_000_000


class ElasticsearchHandler(SpooledHandler):
    """Send each record to Elasticsearch or OpenSearch: at once into a spool on disk, and from there by a thread.

    `url`: of the server, or of several nodes of one cluster, which are asked in turn. `index`: a data stream or an
    index; with a time's directives (`llmlog-%Y.%m.%d`) the one of the record's own day, in UTC. `llmlog setup
    elasticsearch` makes its template. `api_key`: as Kibana shows it, encoded. The options of the connection (`auth`,
    `token`, `headers`, `timeout`, `ca_certs`, `verify`, `client_cert`, `proxy`) are those of
    `llmlog.handlers.transport.HTTPTransport`; the others (`spool`, `batch_records`, `max_bytes`, `full`, ...) those of
    `llmlog.handlers.shipped.SpooledHandler`. `transport` stands in for the network in tests.

    What is sent again is there once. A field whose value is at odds with the index's mapping is moved into the text
    `unmapped`, so that the record and its figures arrive.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        index: str = "logs-llmlog-default",
        api_key: str | None = None,
        transport: Transport | None = None,
        **options: Any,
    ) -> None:
        urls = nodes(url)
        if api_key is not None:
            options["headers"] = _with_key(api_key, options)
        transport = connected(urls[0], transport, options)
        super().__init__(ElasticsearchBackend(urls, transport, index=index), **options)


class ElasticsearchBackend:
    """Entries as one `_bulk` request of creations; the answer, item by item, as an outcome.

    An item's `_id` is the record's `record_id` where llmlog made the record, else the entry's key: what is sent twice
    is there once. The document is the line, with `@timestamp` for `timestamp`, as data streams want it.
    """

    name = "elasticsearch"

    def __init__(
        self,
        urls: str | Sequence[str],
        transport: Transport,
        *,
        index: str = "logs-llmlog-default",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.urls = [address(url)[0] for url in nodes(urls)]
        self._dated = checked_index(index)
        self._index = index
        self.destination = f"{' '.join(sorted(self.urls))} index={index}"
        self._transport = transport
        self._clock = clock
        self._rests = dict.fromkeys(self.urls, 0.0)
        self._turn = 0
        self._names: dict[int, str] = {}

    def send(self, entries: Sequence[Entry]) -> Outcome:
        """Send them all at once. OSError, TimeoutError: no node has answered."""
        path = "/_bulk?" if self._dated else f"/{self._index}/_bulk?"
        answer = self._asked(path + _QUERY, self._body(entries))
        if (outcome := met_alike(answer, entries)) is not None:
            return outcome
        if answer.status != 200:
            return refused_as_a_whole(entries, answer.words)
        if answer.body.startswith(b'{"errors":false'):
            return Outcome()
        return _read(answer, entries)

    def mended(self, entry: Entry, reason: str) -> Entry | None:
        """Without the field that is at odds with the mapping, then without all that are not llmlog's; or cut."""
        if "immense term" in reason or reason.startswith("413"):
            longest = _LONGEST_TEXT if "immense term" in reason else min(_LONGEST_LINE, len(entry.line) // 2)
            line = shortened(entry.line, longest) if len(entry.line) > longest else None
            return None if line is None else Entry(entry.stamp, line, entry.key, "cut")
        if "moved all" in entry.changed:
            return None
        if "moved" not in entry.changed and (named := _FIELD.findall(reason)):
            names = {one for found in named for one in _at_the_top(found)}
            if (line := moved_aside(entry.line, names.__contains__)) is not None:
                return Entry(entry.stamp, line, entry.key, f"{entry.changed} moved".strip())
        if (line := moved_aside(entry.line, lambda name: name not in _OURS)) is not None:
            return Entry(entry.stamp, line, entry.key, f"{entry.changed} moved all".strip())
        return None

    def close(self) -> None:
        """Let go of connections; a later `send` opens them again."""
        self._transport.close()

    def _body(self, entries: Iterable[Entry]) -> bytes:
        parts: list[bytes] = []
        for entry in entries:
            line = entry.line
            if self._dated:
                parts.append(b'{"create":{"_index":"%b","_id":%b}}' % (self._named(entry.stamp), _id(line, entry.key)))
            else:
                parts.append(b'{"create":{"_id":%b}}' % _id(line, entry.key))
            begins = line.startswith((b'{"timestamp":"', b'{"Timestamp":"'))
            parts.append(b'{"@timestamp"' + line[12:] if begins else _dated(line, entry.stamp))
        parts.append(b"")  # a request without the last newline fails as a whole
        return b"\n".join(parts)

    def _named(self, stamp: int) -> bytes:
        """The name of the index at that time."""
        minute = stamp // _MINUTE
        if (name := self._names.get(minute)) is None:
            if len(self._names) > 10_000:
                self._names.clear()
            when = datetime.datetime.fromtimestamp(minute * 60, datetime.UTC)
            name = self._names[minute] = when.strftime(self._index)
        return name.encode()

    def _asked(self, path: str, body: bytes) -> Answer:
        """The answer of the first node that gives one; a node that fails rests for a while."""
        now = self._clock()
        self._turn += 1
        turn = self._turn % len(self.urls)
        nodes = self.urls[turn:] + self.urls[:turn]
        nodes.sort(key=lambda url: self._rests[url] if self._rests[url] > now else 0.0)
        failure: OSError | None = None
        answer: Answer | None = None
        for url in nodes:
            try:
                answer = self._transport.request("POST", url + path, body, _HEADERS)
            except OSError as error:
                failure = error
            else:
                if answer.status not in (502, 503, 504):
                    self._rests[url] = 0.0
                    return answer
            self._rests[url] = now + _REST
        if answer is None:
            assert failure is not None
            raise failure
        return answer


_OURS = frozenset(
    {"@timestamp", "ecs.version", "Resource", "InstrumentationScope", "Attributes"}
    | {one for field in FIELDS.values() for one in (field.name, field.ecs, field.otel)}
)
"""The names at the top of a document that are ours, whatever its schema; what else there is, users have added."""


def nodes(url: Any) -> list[str]:
    """The addresses of the nodes, as they are given: one, or several."""
    if isinstance(url, str):
        return [url]
    if not isinstance(url, Sequence) or not all(isinstance(one, str) for one in url):
        raise UsageTypeError(f"url is an address, or several, got a {type(url).__name__}")
    if not url:
        raise UsageValueError(f"url is an address, or several, got {shown(url)}")
    return list(url)


def _with_key(api_key: Any, options: dict[str, Any]) -> dict[str, str]:
    if not isinstance(api_key, str):
        raise UsageTypeError(f"api_key is text, got a {type(api_key).__name__}")
    if not api_key.strip():
        raise UsageValueError("api_key is text, got none")
    if options.get("auth") is not None or options.get("token") is not None:
        raise UsageValueError("api_key, auth and token are ways to log in: one of them is enough")
    return {**(options.get("headers") or {}), "Authorization": f"ApiKey {api_key}"}


def _at_the_top(field: str) -> tuple[str, ...]:
    """What a field of the mapping may be called in the line: its own name, or that of the object it stands in."""
    return (field, field.partition(".")[0], field.removeprefix("@"), field.removeprefix("@").capitalize())


# "failed to parse field [latency_ms] of type [double] in document ...", "object mapping for [http] tried to parse ...",
# "can't merge a non object mapping [http] with ...", "Could not dynamically add mapping for field [http.method]. ..."
_FIELD = re.compile(r"(?:parse field|mapping for(?: field)?|object mapping|path|introduction of) \[([^\]]+)\]")

_TEXT = rb'"(?:[^"\\]|\\.)*"'
_MADE_BY_US = (
    (re.compile(rb'\{"timestamp":"[^"]*","level":"[^"]*","logger":"llmlog\.'), b'"record_id":"'),
    (
        re.compile(
            rb'\{"@timestamp":"[^"]*","log\.level":"[^"]*","message":%b,"ecs\.version":"[^"]*","log\.logger":"llmlog\.'
            % _TEXT
        ),
        b'"event.id":"',
    ),
)
"""How the lines of llmlog's own records begin, in the flat schema and in ECS, and the name of their ids."""
_ID = re.compile(rb"[0-9a-f]{32}(?=\")")


def _id(line: bytes, key: str) -> bytes:
    """The `_id`, as JSON. Not parsed for it: a quote inside a text is escaped, so the name is found only as a name.

    Records of the application may have a `record_id`, too, and the same one in many: theirs is no key.
    """
    for begins, name in _MADE_BY_US:
        if begins.match(line):
            found = _ID.match(line, line.index(name) + len(name)) if line.count(name) == 1 else None
            return b'"%b"' % found[0] if found else orjson.dumps(key)
    return orjson.dumps(key)


def _dated(line: bytes, stamp: int) -> bytes:
    """A line that does not begin with its time: with one, the entry's where it has none."""
    if line.startswith(b'{"@timestamp":"'):
        return line
    try:
        fields = orjson.loads(line)
    except ValueError:
        fields = {"message": line.decode("utf-8", "replace")}
    if type(fields) is not dict:
        fields = {"message": line.decode("utf-8", "replace")}
    when = fields.get("@timestamp")
    if isinstance(when, str) or type(when) is int:
        return line
    if isinstance(when := fields.get("timestamp"), str):
        del fields["timestamp"]
    else:
        seconds, rest = divmod(stamp, 1_000_000_000)
        when = f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"
    return orjson.dumps({**fields, "@timestamp": when})


def _read(answer: Answer, entries: Sequence[Entry]) -> Outcome:
    try:
        items = orjson.loads(answer.body)["items"]
        states = [next(iter(item.values())) for item in items]
        statuses = [state["status"] for state in states]
    except (ValueError, LookupError, TypeError, AttributeError, StopIteration):
        states, statuses = [], []
    if len(states) != len(entries):  # no answer of such a server: a proxy's page, a torn body
        return Outcome(again=entries)
    again: list[Entry] = []
    refused: list[tuple[Entry, str]] = []
    denied = ""
    for entry, state, status in zip(entries, states, statuses, strict=True):
        if status < 300 or status == 409:  # already there: an earlier answer was lost
            continue
        if status == 429 or status >= 500:
            again.append(entry)
        elif status in (401, 403, 404) or _OF_THE_INDEX.match(_reason(state)):  # not the record's fault
            denied = denied or _reason(state)
            again.append(entry)
        else:
            refused.append((entry, _reason(state)))
    if denied and len(again) == len(entries):
        return Outcome(denied=denied)
    return Outcome(again=again, refused=refused)


_OF_THE_INDEX = re.compile(
    r"index_closed_exception|invalid_index_name_exception|validation_exception: .*this action would add"
    r"|illegal_argument_exception: (no write index is defined|pipeline with id \[[^]]*\] does not exist)"
)
"""How a 400 begins where no record would be taken: the index is closed, or cannot be made (too many shards), ..."""


def _reason(state: dict[str, Any]) -> str:
    error = state.get("error")
    if not isinstance(error, dict):
        return f"status {state.get('status')}"
    cause = error.get("caused_by")
    words = [error.get("type"), error.get("reason"), cause.get("reason") if isinstance(cause, dict) else None]
    return ": ".join(str(one) for one in words if one)


_INDEX = re.compile(r"""(?![_+\-.])[^A-Z\\/*?"<>|\s,#:%\x00-\x1f\x7f]+""")


def checked_index(index: Any) -> bool:
    """Whether its name depends on a record's time. UsageTypeError, UsageValueError: it is no name of an index."""
    if not isinstance(index, str):
        raise UsageTypeError(f"index is text, got {shown(index)}")
    wrong = "it has a time's directives, such as %Y.%m.%d, of whole hours and days at most"
    if re.search(r"%[^YmdHjVG]|%$", index):
        raise UsageValueError(f"index: {wrong}, got {shown(index)}")
    name = re.sub("%.", "0", index)
    if not _INDEX.fullmatch(name) or len(name.encode()) > 200:
        raise UsageValueError(f"index is the name of a data stream or an index, in lower case, got {shown(index)}")
    return "%" in index
