"""Lines of a log, whatever is in them: nothing is lost, nothing that is found stays, and JSON stays JSON."""

from __future__ import annotations

import io
import json
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from llmlog.cli import lines
from llmlog.plain import plain
from llmlog.redaction import Redactor

MAIL = "ann@example.com"
REDACTOR = Redactor(["email"])
DROPPING = Redactor(["email"], replace="drop")

texts = st.one_of(st.text(max_size=20), st.just(MAIL), st.builds("{} {}".format, st.text(max_size=9), st.just(MAIL)))
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts)
names = st.one_of(texts, st.sampled_from(["password", "api_keys", "message", "name", "value"]))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(names, inner, max_size=4),
        st.lists(st.tuples(names, inner).map(list), max_size=3),
        st.builds(lambda name, value: {"name": name, "n": 1, "value": value}, names, inner),
        st.lists(st.one_of(names, st.sampled_from(["--password", "--x"]), inner), max_size=4),
    ),
    max_leaves=12,
)
objects = st.dictionaries(names, values, max_size=4)


def redacted(data: bytes, redactor: Redactor = REDACTOR) -> bytes:
    made = list(lines.pieces(io.BytesIO(data), redactor))
    assert b"".join(piece.data for piece in made) == data
    return b"".join(piece.clean for piece in made)


def dump(value: Any, is_ascii: bool = True) -> str:
    return json.dumps(value, ensure_ascii=is_ascii)


@given(st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([b"\n", b"-----BEGIN ", b"{", b"[", b'"', b","]))))
def test_bytes_survive(parts: list[bytes]) -> None:
    """Any bytes at all, in lines and parts of any length."""
    data = b"".join(parts).replace(b"@", b"").replace(b"%40", b"").replace(b"=", b"")
    with (
        mock.patch.object(lines, "_PART", 40),
        mock.patch.object(lines, "_OBJECT", 80),
        mock.patch.object(lines, "_AHEAD", 8),
        mock.patch.object(lines, "_NEAR", 4),
    ):
        assert REDACTOR.find(data.decode("utf-8", "replace")) or redacted(data) == data


@given(objects, st.booleans(), st.sampled_from([REDACTOR, DROPPING]))
def test_an_object_is_what_the_redactor_makes_of_it(value: dict[str, Any], is_ascii: bool, redactor: Redactor) -> None:
    """The line says what the redacted object says, with its keys in the same order; what is dropped is gone."""
    line = dump(value, is_ascii).encode("utf-8", "surrogatepass")
    if b"\xed" in line:  # half a character, which is no UTF-8
        line = dump(value).encode()
    read = json.loads(line)
    clean = redacted(line + b"\n", redactor)
    assert clean.endswith(b"\n")
    if clean == line + b"\n":
        assert redactor.value(read) is read or dump(redactor.value(read)) == dump(read)
    else:
        # Beside what goes, the redactor changes what orjson does not write: the line keeps long numbers and NaN.
        assert dump(plain(json.loads(clean))) == dump(plain(redactor.value(read)))
        assert MAIL not in clean.decode()
    if redactor is REDACTOR:  # what is dropped may leave a name and a value behind, which looked like no pair before
        assert redacted(clean, redactor) == clean


@given(st.lists(texts.filter(lambda text: "-----" not in text), max_size=5))
def test_text_is_what_the_redactor_makes_of_it(parts: list[str]) -> None:
    """Line by line."""
    written = [part.replace("\n", " ").replace("\r", " ").replace("{", "(").replace("[", "(") for part in parts]
    data = "".join(f"{line}\n" for line in written)
    assert redacted(data.encode()).decode() == "".join(f"{REDACTOR.text(line)}\n" for line in written)
