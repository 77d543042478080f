"""The records of calls in a log: which lines are any, and how a field of one is written anew."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlog.cli import calls
from llmlog.cli.calls import lines, with_fields


def read(*data: bytes) -> list[tuple[bytes, bool, bool]]:
    return [(line.data, line.record is not None, line.is_foreign) for line in lines(io.BytesIO(b"".join(data)))]


def test_which_lines() -> None:
    """A record of a call in the flat schema; its name in another place of an object is another schema's."""
    record, spaced = b'{"event":"llm.call","n":1}\n', b' { "event" : "llm.call" }\r\n'
    other, ecs = b'{"event":"llm.start"}\n', b'{"event.action":"llm.call"}\n'
    torn, text, last = b'{"event":"llm.call"\n', b"llm.call\n", b'\xef\xbb\xbf{"event":"llm.call"}'
    assert read(record, spaced, other, ecs, torn, text, b"\xff\n", last) == [
        (record, True, False),
        (spaced, True, False),
        (other, False, False),
        (ecs, False, True),
        (torn, False, True),
        (text, False, False),
        (b"\xff\n", False, False),
        (last, True, False),
    ]


def test_a_very_long_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes in parts, none of which is a record; the next line may be one."""
    monkeypatch.setattr(calls, "_LONGEST", 30)
    record = b'{"event":"llm.call"}\n'
    long = b"x" * 30 + record
    assert [one[1] for one in read(long, record)] == [False, False, True]
    assert b"".join(one[0] for one in read(long, record)) == long + record


@pytest.mark.parametrize(
    ("before", "fields", "after"),
    [
        ('{"a":1.10,"b":"\\u00fc"}\n', {"a": 2}, '{"a":2,"b":"\\u00fc"}\n'),
        ('{"a":1.10,"b":2}', {"b": None}, '{"a":1.10}'),
        ('{"a":1.10,"b":2}', {"a": None}, '{"b":2}'),
        ('{"a": 1, "b": 2}\r\n', {"c": 3}, '{"a": 1, "b": 2, "c": 3}\r\n'),
        ('{"a":1,"a":2}', {"a": 3}, '{"a":3,"a":3}'),
        ('{"a":{"b":1},"b":1}', {"b": 2}, '{"a":{"b":1},"b":2}'),
        ('{"a":1.0}', {"a": 1.0}, '{"a":1.0}'),
        ('{"a":"ü"}', {"b": "ß"}, '{"a":"ü","b":"ß"}'),
        ('{"a":1}', {"b": "ß"}, '{"a":1,"b":"\\u00df"}'),
        ('{"a":"ü"}', {"a": "\ud800"}, '{"a":"\\ud800"}'),
        ('\ufeff{"a":1}', {"a": 2}, '\ufeff{"a":2}'),
        ('{"a":1}', {"b": None}, '{"a":1}'),
    ],
)
def test_fields_anew(before: str, fields: dict[str, Any], after: str) -> None:
    """Replaced, added or taken out; what else stands in the line stays as it is spelt."""
    assert with_fields(before.encode(), fields).decode() == after


VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["a", "b", "cost_usd", "{", '"']), VALUES, min_size=1),
    st.dictionaries(st.sampled_from(["a", "b", "cost_usd", "new"]), st.none() | st.floats(0, 1) | st.text()),
    st.sampled_from([None, (",", ":"), (" , ", " : ")]),
    st.booleans(),
)
def test_it_is_what_an_update_makes(
    record: dict[str, Any], fields: dict[str, Any], separators: tuple[str, str] | None, ensure_ascii: bool
) -> None:
    """Whatever the record holds and however it is written, it is as if its dict had been changed."""
    line = json.dumps(record, separators=separators, ensure_ascii=ensure_ascii)
    if not any(0xD800 <= ord(one) < 0xE000 for one in line):
        after = {name: value for name, value in {**record, **fields}.items() if fields.get(name, 0) is not None}
        assert json.loads(with_fields(line.encode(), fields)) == after
