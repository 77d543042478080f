"""LokiHandler: records to Grafana Loki, through a spool."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.handlers.backend import Entry, Outcome
from llmlog.handlers.loki_refusals import Stream, is_configuration, refused
from llmlog.handlers.loki_stored import StoredLines
from llmlog.handlers.mending import shortened
from llmlog.handlers.shipped import SpooledHandler
from llmlog.handlers.transport import Answer, Transport, address, connected, met_alike, refused_as_a_whole
from llmlog.semconv import FIELDS

__all__ = ["LokiBackend", "LokiHandler"]

_PUSH = "/loki/api/v1/push"
_LABEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_LABELS = 14  # Loki takes 15, and `late` is one
_LONGEST_LABEL = 512  # characters: Loki takes 2,048 bytes
_LONGEST_METADATA = 256  # characters: with the fields of the table it stays well below Loki's 64 KiB
_MOST_VALUES = 200  # of one label field: each is a stream, and Loki takes 5,000 of a tenant
_LONGEST_LINE = 262_144
_OTHER = "other"
_SPAN = 1800 * 1_000_000_000  # half of what Loki takes behind the newest line of a stream
_CLOCKS_DIFFER = 60 * 1_000_000_000

_KEPT_APART = {
    spelling: field.name if spelling == field.name or field.unit != "ms" else spelling.replace(".", "_")
    for field in FIELDS.values()
    if field.loki == "metadata"
    for spelling in (field.otel, field.ecs, field.name)
}
"""What goes into structured metadata: the field as the line spells it -> the flat name, the same for all schemas."""


class LokiHandler(SpooledHandler):
    """Send each record to Grafana Loki: at once into a spool on disk, and from there in batches by a thread.

    `url`: of Loki, or of its push API. `labels`: the same for all records, such as service and env. `label_fields`:
    fields that are labels, too; few values each, so none that is an id. `tenant`: X-Scope-OrgID. The options of the
    connection (`auth`, `token`, `headers`, `timeout`, `ca_certs`, `verify`, `client_cert`, `proxy`) are those of
    `llmlog.handlers.transport.HTTPTransport`; the others (`spool`, `batch_records`, `max_bytes`, `full`, ...) those of
    `llmlog.handlers.shipped.SpooledHandler`. `transport` stands in for the network in tests.

    Ids and figures are structured metadata, so `{service="shop"} | model="gpt-4o" | unwrap cost_usd` reads no line.
    A line that Loki refuses for its age goes into a stream with the label `late`, or gets a time of now and `late`
    in its metadata; one that is too long has its texts cut.

    What may be stored already, since its sending was interrupted, is asked for before it is sent again: Loki would
    store it twice. That needs leave to read (`query_range`); without it, such records may be there twice.
    """

    def __init__(
        self,
        url: str,
        *,
        labels: Mapping[str, str] | None = None,
        label_fields: Iterable[str] = ("level",),
        tenant: str | None = None,
        transport: Transport | None = None,
        **options: Any,
    ) -> None:
        transport = connected(url, transport, options)
        backend = LokiBackend(url, transport, labels=labels, label_fields=label_fields, tenant=tenant)
        super().__init__(backend, **options)


class LokiBackend:
    """Entries as one push; Loki's answer as an outcome.

    Labels are `labels` and, of each record, `label_fields`: few values, since every combination of them is a stream.
    Ids and figures (`llmlog.semconv` says which) are structured metadata, the line is the record as it is.
    """

    name = "loki"

    def __init__(
        self,
        url: str,
        transport: Transport,
        *,
        labels: Mapping[str, str] | None = None,
        label_fields: Iterable[str] = ("level",),
        tenant: str | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        base, _ = address(url)
        self.url = base if base.endswith(_PUSH) else base + _PUSH
        self._labels = _checked_labels(labels)
        self._label_fields = _checked_fields(label_fields, self._labels)
        self._headers = {"Content-Type": "application/json"}
        if tenant is not None:
            if not isinstance(tenant, str):
                raise UsageTypeError(f"tenant is text, got {shown(tenant)}")
            if not tenant or not tenant.isascii() or not tenant.isprintable():
                raise UsageValueError(f"tenant is printable ASCII text, got {shown(tenant)}")
            self._headers["X-Scope-OrgID"] = tenant
        self.destination = f"{self.url} tenant={tenant or ''}"
        self._transport = transport
        self._stored = StoredLines(transport, self.url, self._headers, self._label_fields)
        self._clock = clock
        self._ahead = 0  # nanoseconds of our clock before Loki's
        taken = {*self._labels, *self._label_fields}  # the same name twice would be two in a query
        self._kept_apart = {spelling: name for spelling, name in _KEPT_APART.items() if name not in taken}
        self._spellings = [(name, *_spellings(name)) for name in self._label_fields]
        self._seen: dict[str, set[str]] = {name: set() for name in self._label_fields}

    def send(self, entries: Sequence[Entry]) -> Outcome:
        """Push them, a stream at a time. OSError, TimeoutError: they may or may not have arrived."""
        streams = self._streams(entries)
        again: list[Entry] = []
        found: list[tuple[Entry, str]] = []
        pause: float | None = None
        for number, stream in enumerate(streams):
            try:
                outcome = self._settled(stream)
            except OSError:
                if not number:
                    raise
                again += [entry for unsent in streams[number:] for entry in unsent.entries]
                break
            if outcome.split or outcome.denied:
                if not number:
                    return outcome
                outcome = Outcome(again=stream.entries)
            found += outcome.refused
            again += outcome.again
            pause = max(pause or 0.0, outcome.pause) if outcome.pause is not None else pause
        return Outcome(again=again, refused=found, pause=pause)

    def _settled(self, stream: Stream) -> Outcome:
        """The outcome of one push, and of another one for those that the first did not name, and so on."""
        found: list[tuple[Entry, str]] = []
        named: list[tuple[Entry, str]] = []
        while True:
            # After a refusal as well: the good lines are stored, and which they are its words do not say for certain.
            stream, outcome = self._stored.missing(stream, in_doubt=bool(named))
            if outcome is None:
                missing = {entry.key for entry in stream.entries}
                found += [(entry, reason) for entry, reason in named if entry.key in missing]
                stream = stream.without({entry.key for entry, _ in named})
                if not stream.entries:
                    return Outcome(refused=found)
                # Of others there was another kind of error, which it did not tell: those go out again.
                named, outcome = self._push(stream)
            if outcome is not None:
                if not found:
                    return outcome
                left = stream.entries if outcome.split or outcome.denied else outcome.again
                return Outcome(again=left, refused=[*found, *outcome.refused], pause=outcome.pause)

    def _push(self, stream: Stream) -> tuple[list[tuple[Entry, str]], Outcome | None]:
        """Those that were refused by name, or else the outcome of all."""
        entries = stream.entries
        body = orjson.dumps({"streams": [{"stream": stream.labels, "values": stream.values}]})
        answer = self._transport.request("POST", self.url, body, self._headers)
        if answer.status in (200, 204):
            return [], Outcome()
        if (outcome := met_alike(answer, entries)) is not None:
            return [], outcome
        if answer.status < 300:  # 260: an administrator has blocked the tenant for a while
            return [], Outcome(again=entries, pause=answer.pause)
        words = answer.body.decode("utf-8", "replace")
        if is_configuration(words):
            return [], Outcome(denied=answer.words)
        self._set_by(answer)
        found = refused(words, stream)
        return found, None if found else refused_as_a_whole(entries, answer.words)

    def mended(self, entry: Entry, reason: str) -> Entry | None:
        """Late: a stream of its own, then a time of now; too long: cut; too much metadata: none of it."""
        done = entry.changed.split()
        if "too far behind" in reason or "out of order" in reason:
            if "late" not in done and "now" not in done:
                return _changed(entry, "late")
            return self._now(entry)
        if "timestamp too old" in reason or "timestamp too new" in reason:
            return self._now(entry)
        if limit := re.search(r"max entry size '(\d+)'", reason):
            return _cut(entry, int(limit[1]))
        if "structured metadata" in reason:
            return None if "bare" in done else _changed(entry, "bare")
        if reason.startswith("413"):
            return _cut(entry, min(_LONGEST_LINE, len(entry.line) // 2))
        return None

    def close(self) -> None:
        """Let go of connections; a later `send` opens them again."""
        self._transport.close()

    def _streams(self, entries: Sequence[Entry]) -> list[Stream]:
        """One for each push: with the same labels, in the order of time, over half an hour at most.

        Several in one push would not be safe: of their errors Loki's ingester keeps the last stream's, so that it
        answers 204 where another one's lines were refused. Nor would hours be: what is stored moves the bound of what
        is late, and the first lines, sent again, would be refused as late, and be there twice.
        """
        open_ones: dict[tuple[str, ...], Stream] = {}
        made: list[Stream] = []
        first, *others = self._spellings or [("",)]
        known = set() if others else self._seen.get(first[0], set())  # of the usual one label field
        for entry in sorted(entries, key=_stamp):
            fields = _fields(entry.line)
            label = fields.get(first[0])
            if type(label) is str and label in known:
                key: tuple[str, ...] = (entry.changed, label)
            else:
                key = (entry.changed, *[self._label(names[0], _first(fields, names)) for names in self._spellings])
            stream = open_ones.get(key)
            if stream is None or entry.stamp > stream.until:
                stream = open_ones[key] = Stream(self._labels_of(key), entry.stamp + _SPAN)
                made.append(stream)
            value: list[Any] = [str(entry.stamp), entry.line.decode("utf-8", "replace")]
            if metadata := _metadata(fields, self._kept_apart, entry.changed):
                value.append(metadata)
            stream.entries.append(entry)
            stream.values.append(value)
        return made

    def _label(self, name: str, value: Any) -> str:
        """The label's value: one of a bounded number, empty where the record has none."""
        text = "" if value is None else str(value)[:_LONGEST_LABEL]
        seen = self._seen[name]
        if text and text not in seen:
            if len(seen) >= _MOST_VALUES:
                return _OTHER
            seen.add(text)
        return text

    def _labels_of(self, key: tuple[str, ...]) -> dict[str, str]:
        changed, *values = key
        labels = self._labels | {name: text for name, text in zip(self._label_fields, values, strict=True) if text}
        if not labels:
            labels[self._label_fields[0]] = "unknown"
        if "late" in changed.split():
            labels["late"] = "true"
        return labels

    def _now(self, entry: Entry) -> Entry | None:
        """With a time of the last half hour: whole half hours from its own, so that a second sending finds the same."""
        done = entry.changed.split()
        if "now" in done:
            return None
        stamp = entry.stamp + (self._clock() - self._ahead - entry.stamp) // _SPAN * _SPAN
        return Entry(stamp, entry.line, entry.key, " ".join([*(one for one in done if one != "late"), "now"]))

    def _set_by(self, answer: Answer) -> None:
        """Where Loki's clock tells another time than ours, its own is the one that it refuses records by."""
        try:
            theirs = int(parsedate_to_datetime(answer.headers.get("date", "")).timestamp()) * 1_000_000_000
        except (ValueError, OverflowError):
            return
        ahead = self._clock() - theirs
        self._ahead = ahead if abs(ahead) > _CLOCKS_DIFFER else 0


def _stamp(entry: Entry) -> int:
    return entry.stamp


def _changed(entry: Entry, how: str) -> Entry:
    return Entry(entry.stamp, entry.line, entry.key, f"{entry.changed} {how}".strip())


def _cut(entry: Entry, limit: int) -> Entry | None:
    line = shortened(entry.line, limit)
    if line is None or len(line) >= len(entry.line):
        return None
    return Entry(entry.stamp, line, entry.key, " ".join([*entry.changed.replace("cut", "").split(), "cut"]))


def _fields(line: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(line)
    except ValueError:
        return {}
    if type(fields) is not dict:
        return {}
    if "Attributes" in fields:  # the otel schema
        for inside in ("Resource", "Attributes"):
            if type(fields.get(inside)) is dict:
                fields = {**fields, **fields[inside]}
    return fields


def _metadata(fields: dict[str, Any], kept_apart: Mapping[str, str], changed: str) -> dict[str, str]:
    made = {}
    if changed:
        how = changed.split()
        if "bare" in how:
            return {}
        if "now" in how:
            made["late"] = "true"
    for spelling, value in fields.items():
        if (name := kept_apart.get(spelling)) is not None and value is not None:
            kind = type(value)
            if kind is not str:
                value = repr(value) if kind is float or kind is int else orjson.dumps(value).decode()
            made[name] = value if len(value) <= _LONGEST_METADATA else value[:_LONGEST_METADATA]
    return made


def _first(fields: dict[str, Any], names: Iterable[str]) -> Any:
    """The value of a field under the first of its names that is there."""
    for name in names:
        value = fields.get(name)
        if value is not None:
            return value if isinstance(value, (str, int, float)) else orjson.dumps(value).decode()
    return None


def _spellings(name: str) -> tuple[str, ...]:
    known = FIELDS.get(name)
    return () if known is None else (known.ecs, known.otel)


def _checked_labels(labels: Any) -> dict[str, str]:
    if labels is None:
        return {}
    if not isinstance(labels, Mapping):
        raise UsageTypeError(f"labels is a mapping of names to values, got {shown(labels)}")
    for name, value in labels.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise UsageTypeError(f"labels maps names to text, got {shown(name)}: {shown(value)}")
        _check_name(name)
        if not value or len(value) > _LONGEST_LABEL:
            raise UsageValueError(f"a label's value has 1 to {_LONGEST_LABEL} characters, got {shown(name)}: {value!r}")
    return dict(labels)


def _checked_fields(names: Any, labels: Mapping[str, str]) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise UsageTypeError(f'label_fields are names of fields, such as ["level"], got {shown(names)}')
    made = tuple(dict.fromkeys(names))
    for name in made:
        if not isinstance(name, str):
            raise UsageTypeError(f"label_fields are names of fields, got {shown(name)}")
        _check_name(name)
        if _has_many_values(name):
            raise UsageValueError(
                f"{shown(name)} has too many values for a label of Loki: each of them would be a stream. "
                "It is found all the same, in the structured metadata or in the line"
            )
        if name in labels:
            raise UsageValueError(f"{shown(name)} is in labels and in label_fields")
    if not made and not labels:
        raise UsageValueError("Loki needs a label: both labels and label_fields are empty")
    if len(made) + len(labels) > _MOST_LABELS:
        raise UsageValueError(f"Loki takes {_MOST_LABELS} labels, got {len(made) + len(labels)}")
    return made


def _check_name(name: str) -> None:
    if not _LABEL_NAME.fullmatch(name) or name.startswith("__") or name == "late":
        raise UsageValueError(f"a label's name has letters, digits and _, and is not `late`, got {shown(name)}")


def _has_many_values(name: str) -> bool:
    if (known := FIELDS.get(name)) is not None:
        has_few = known.type in ("str", "bool") and known.elasticsearch in ("keyword", "boolean")
        return not has_few or name.endswith(("_id", "_sha256"))
    return bool(re.search(r"(?i)(^|_)(u?uid|id|ip|time|timestamp|trace|span|session|email|url|path)$", name))
