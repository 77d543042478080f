"""The records of calls in a log, line by line, and fields of theirs written anew without a change to any other."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

__all__ = ["Line", "lines", "with_fields"]

_LONGEST = 16 << 20  # bytes of a line that is read as a record
_MARK = b'"llm.call"'
_BLANKS = re.compile(r"[ \t\r\n]*+")
_NAME = re.compile(r'([ \t\r\n]*+)"((?:[^"\\]|\\.)*+)"([ \t\r\n]*+:[ \t\r\n]*+)', re.DOTALL)
_DECODER = json.JSONDecoder(strict=False)
_VALUE = _DECODER.raw_decode


class Line(NamedTuple):
    """One line, or a part of a very long one."""

    data: bytes
    record: dict[str, Any] | None
    """The record of a call, in the flat schema; None for any other line."""
    is_foreign: bool
    """Whether it is one of a call in another schema, as it seems."""


def lines(source: io.BufferedIOBase) -> Iterator[Line]:
    """All of `source`, in order: the lines' `data` joined are what it holds."""
    goes_on = False
    while data := source.readline(_LONGEST):
        is_whole = data.endswith(b"\n") or len(data) < _LONGEST
        named = is_whole and not goes_on and _MARK in data
        record = _record(data) if named else None
        yield Line(data, record, named and record is None)
        goes_on = not is_whole


def _record(data: bytes) -> dict[str, Any] | None:
    try:
        value = _DECODER.decode(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and value.get("event") == "llm.call" else None


def with_fields(data: bytes, fields: Mapping[str, Any]) -> bytes:
    """A record's line with these fields; None takes one out. All else stays as it stands, byte for byte.

    Reading a line and writing it back would make `1.1` of `1.10`, and spell `ü` anew.
    """
    text = data.decode("utf-8")
    begin = text.index("{") + 1
    ensure_ascii = text.isascii()
    members: list[str] = []
    written: set[str] = set()
    blank = colon = ""
    at = begin
    while found := _NAME.match(text, at):  # what was read as an object has one
        value_at = found.end()
        value, value_end = _VALUE(text, value_at)
        end = _BLANKS.match(text, value_end).end()  # type: ignore[union-attr]  # it matches anywhere
        key = found[2] if "\\" not in found[2] else _DECODER.decode(f'"{found[2]}"')
        blank, colon = found[1] if members else blank, found[3]
        if key not in fields or (fields[key] is not None and _same(value, fields[key])):
            members.append(text[at:end])
        elif fields[key] is not None:
            new = json.dumps(fields[key], ensure_ascii=ensure_ascii)
            members.append(text[at:value_at] + new + text[value_end:end])
        written.add(key)
        at = end + 1
        if text[end] == "}":
            break
    for name, value in fields.items():
        if name not in written and value is not None:
            members.append(f"{blank}{json.dumps(name)}{colon}{json.dumps(value, ensure_ascii=ensure_ascii)}")
    # What is half a surrogate pair is written as the escape that it was.
    return (text[:begin] + ",".join(members) + text[end:]).encode("utf-8", "backslashreplace")


def _same(before: Any, after: Any) -> bool:
    return type(before) is type(after) and before == after
