"""Payloads out of the pieces and lines that HTTP clients hand on."""

from __future__ import annotations

import itertools
import json
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import answer
from hypothesis import given
from hypothesis import strategies as st

import llmlog
from llmlog.providers import UNKNOWN, named
from llmlog.wire import MAX_EVENT, Wire, is_wire

PAYLOADS: list[Any] = [
    {"choices": [{"delta": {"content": "Grüße, 世界 🎉"}}]},
    {"type": "ping"},
    {"text": 'a "quoted" {brace} [bracket]\n\nand: a colon, data: and an event: too'},
    {"text": "\u2028 and \x85 end no line of an event stream"},
    {"nested": {"list": [1, 2.5, None, True, {"deep": []}]}},
]
DUMPED = [json.dumps(payload, ensure_ascii=False) for payload in PAYLOADS]
END = {"lf": "\n", "crlf": "\r\n", "cr": "\r"}

SSE = ": comment\n\n" + "".join(f"id: {n}\nevent: message\ndata: {text}\n\n" for n, text in enumerate(DUMPED))
BODIES = {
    **{f"events_{name}": (SSE + "data: [DONE]\n\n").replace("\n", end) for name, end in END.items()},
    "events_without_a_last_end": SSE + "data: [DONE]",
    "events_after_a_mark": "\ufeff" + SSE + "data:[DONE]\n\n",
    "json_lines": "\n".join(DUMPED) + "\n",
    "json_lines_without_a_last_end": "\r\n".join(DUMPED),
    "objects_over_lines": "\n".join(json.dumps(payload, ensure_ascii=False, indent=2) for payload in PAYLOADS),
    "json_array": "[" + "\n,\r\n".join(DUMPED) + "\n]\n",
    "json_array_indented": json.dumps(PAYLOADS, indent=2),
}


def expected(name: str) -> list[Any]:
    return [*PAYLOADS, "[DONE]"] if name.startswith("events") else PAYLOADS


def parse(pieces: Any) -> list[Any]:
    wire = Wire()
    return [payload for piece in pieces for payload in wire.feed(piece)] + list(wire.close())


def cut(body: Any, places: list[int]) -> list[Any]:
    edges = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[start:end] for start, end in itertools.pairwise(edges)]


@pytest.mark.parametrize("name", BODIES)
@given(places=st.lists(st.integers(0, 10_000), max_size=12))
def test_bytes_cut_anywhere(name: str, places: list[int]) -> None:
    """The payloads do not depend on where the network cut the body, be it inside a character."""
    assert parse(piece for piece in cut(BODIES[name].encode(), places) if piece) == expected(name)


@pytest.mark.parametrize("name", BODIES)
@given(places=st.lists(st.integers(0, 10_000), max_size=12))
def test_text_cut_anywhere(name: str, places: list[int]) -> None:
    """The same for pieces of decoded text, as httpx' `iter_text()` gives them."""
    assert parse(piece for piece in cut(BODIES[name], places) if piece) == expected(name)


@pytest.mark.parametrize("name", BODIES)
def test_byte_by_byte(name: str) -> None:
    """The smallest pieces there are."""
    body = BODIES[name].encode()
    assert parse(body[place : place + 1] for place in range(len(body))) == expected(name)


@pytest.mark.parametrize("name", [name for name in BODIES if not name.endswith("indented")])
def test_line_by_line(name: str) -> None:
    """Lines without their ends, as httpx' `iter_lines()` gives them, and bytes without, as requests' does."""
    lines = BODIES[name].replace("\r\n", "\n").replace("\r", "\n").split("\n")
    lines = lines[:-1] if not lines[-1] else lines
    assert parse(lines) == expected(name)
    assert parse(line.encode() for line in lines) == expected(name)
    assert parse(line.encode() + b"\n" for line in lines) == expected(name)


def test_data_of_several_lines() -> None:
    """They are one payload, joined by the ends of lines."""
    assert parse(['data: {"a":\ndata:  1}\n\n']) == [{"a": 1}]
    assert parse(["event: message", "data: {", 'data: "a": 1}', ""]) == [{"a": 1}]


def test_events_that_somebody_has_parsed() -> None:
    """httpx-sse's objects: anything with the `event` and `data` of an event."""
    events = [SimpleNamespace(event="message", data=text) for text in DUMPED]
    assert parse([*events, SimpleNamespace(event=None, data="[DONE]")]) == [*PAYLOADS, "[DONE]"]


def test_chunks_of_aiohttp() -> None:
    """`iter_chunks()` gives each piece with a word on whether it ends one of HTTP's own chunks."""
    body = BODIES["events_lf"].encode()
    assert parse([(body[:40], False), (body[40:], True)]) == expected("events_lf")


def test_an_error_event() -> None:
    """The event's type tells that its data is an error, where the data does not."""
    assert parse(['event: error\ndata: {"message": "overloaded"}\n\n']) == [{"error": {"message": "overloaded"}}]
    assert parse(['event: error\ndata: {"error": {"code": 1}}\n\n']) == [{"error": {"code": 1}}]
    assert parse(['event: error\ndata: {"type": "error"}\n\n']) == [{"type": "error"}]


def test_a_broken_line(calls: Any) -> None:
    """What follows it is read, and it is nobody's text."""
    lines = [line + "\n" for line in ('{"model": "m", "broken', *map(json.dumps, answer("ab")))]
    assert parse(lines) == [json.loads(line) for line in lines[1:]]
    assert list(llmlog.stream(iter(lines), provider="openai")) == lines
    assert (calls.one()["outcome"], calls.one()["response_length"]) == ("completed", 2)


def test_an_error_as_a_body(calls: Any) -> None:
    """A provider's error over several lines, where a stream was asked for."""
    error = json.dumps({"error": {"message": "no such model", "type": "not_found", "code": 404}}, indent=2)
    assert "".join(llmlog.stream(error.splitlines(keepends=True), provider="openai")) == error
    record = calls.one()
    assert (record["outcome"], record["http_status"], record["error_message"]) == ("error", 404, "no such model")


@given(st.lists(st.one_of(st.binary(max_size=30), st.text(max_size=30))))
def test_whatever_comes(pieces: list[Any]) -> None:
    """No body raises, or makes a payload out of nothing."""
    assert len(parse(pieces)) <= sum(map(len, pieces))


@pytest.mark.parametrize(
    "chunk", [b"", b"data", bytearray(b"x"), memoryview(b"x"), (b"x", True), SimpleNamespace(event="", data="x")]
)
def test_what_is_a_piece_of_a_body(chunk: Any) -> None:
    """Bytes in any form are, and parsed events, whoever's."""
    assert is_wire(chunk, UNKNOWN)


@pytest.mark.parametrize(
    "text", ['data: {"a": 1}', "data: [DONE]", "event: message_start\ndata: {", "event: ping",
             ": OPENROUTER PROCESSING",
             "id: 1\nevent: message"],
)  # fmt: skip
def test_text_that_begins_like_an_event_stream(text: str) -> None:
    """It is one, though nobody has said so."""
    assert is_wire(text, UNKNOWN)
    assert is_wire(text, named("openai") or UNKNOWN)
    assert not is_wire(text, named("text") or UNKNOWN)


@pytest.mark.parametrize("text", ["", "Hello", "data is", "event", "event: the party", '{"a": 1}', "[1]", ": )", "id"])
def test_text_that_does_not(text: str) -> None:
    """A model's own words are plain text, unless the provider's name says otherwise."""
    assert not is_wire(text, UNKNOWN)
    assert is_wire(text, named("openai") or UNKNOWN)


@pytest.mark.parametrize("chunk", [{"data": "x"}, 1, None, ("a", "b"), SimpleNamespace(data={"a": 1}), [b"x"]])
def test_objects_are_no_pieces(chunk: Any) -> None:
    """Chunks that are parsed already are read as they are."""
    assert not is_wire(chunk, UNKNOWN)


def test_a_stream_of_bytes(calls: Any) -> None:
    """The chunks of the body are the consumer's, untouched; the record has what they hold."""
    chunks = answer("Hel", "lo")
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks).encode() + b"data: [DONE]\n\n"
    pieces = [body[place : place + 50] for place in range(0, len(body), 50)]
    assert list(llmlog.stream(iter(pieces))) == pieces
    record = calls.one()
    assert (record["outcome"], record["provider"], record["response_length"]) == ("completed", "openai", 5)
    assert (record["chunks"], record["input_tokens"], record["output_tokens"]) == (len(pieces), 9, 2)
    assert record["ttft_ms"] >= 0


def test_a_body_that_is_cut_off(calls: Any) -> None:
    """What came is counted, an event without its end too; the end mark did not come."""
    chunks = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in answer("Hel", "lo")[:3]]
    assert list(llmlog.stream([*chunks[:-1], chunks[-1][:-2]])) == [*chunks[:-1], chunks[-1][:-2]]
    record = calls.one()
    assert (record["outcome"], record["response_length"]) == ("incomplete", 5)


def test_an_event_beyond_all_bounds(faults_expected: dict[str, int], calls: Any) -> None:
    """It is delivered and not kept; the stream goes on."""
    pieces = [
        b"data: {" + b"x" * MAX_EVENT,
        b"xx",
        b"\n\n",
        *(f"data: {json.dumps(c)}\n\n".encode() for c in answer("a")),
    ]
    assert list(llmlog.stream(iter(pieces), provider="openai")) == pieces
    record = calls.one()
    assert (record["unread_chunks"], record["response_length"], record["outcome"]) == (1, 1, "completed")
    faults_expected["reading a chunk"] = 1
