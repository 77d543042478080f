"""Transcriptions: what is read of their events and of whole ones, as dicts and as objects."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Records, chunk

import llmlog
from llmlog import providers
from llmlog.answers import Answer
from llmlog.providers import transcription
from llmlog.usage import Usage

TOKENS = {"type": "tokens", "input_tokens": 37, "output_tokens": 12, "total_tokens": 49,
          "input_token_details": {"audio_tokens": 30, "text_tokens": 7}}  # fmt: skip
SECONDS = {"type": "duration", "seconds": 9}
VERBOSE = {"task": "transcribe", "language": "english", "duration": 2.5, "text": "Hello", "segments": []}


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"transcript.text.{kind}", **fields}


def delta(text: Any) -> dict[str, Any]:
    return event("delta", delta=text)


def segment(text: Any) -> dict[str, Any]:
    return event("segment", id="seg_1", start=0.0, end=1.0, speaker="A", text=text)


HELLO = [delta("Hello"), delta(" world"), event("done", text="Hello world", usage=TOKENS)]


def read(*events: Any) -> Answer:
    """What is read of a stream's events, as dicts and as objects."""
    made, other = Answer(), Answer()
    for one in events:
        transcription.read_chunk(made, one)
        transcription.read_chunk(other, SimpleNamespace(**one) if isinstance(one, dict) else one)
    assert (str(made.texts[0]), made.usage, made.end_mark) == (str(other.texts[0]), other.usage, other.end_mark)
    return made


def test_a_stream(calls: Records) -> None:
    """Its text comes in pieces; the event that ends it brings the usage, and the same text again."""
    list(llmlog.stream(HELLO, model="gpt-4o-transcribe"))
    record = calls.one()
    assert (record["provider"], record["operation"], record["outcome"]) == ("openai", "transcription", "completed")
    assert (record["response_length"], record["content_chunks"], record["usage_source"]) == (11, 2, "provider")
    assert (record["input_tokens"], record["output_tokens"], record["input_audio_tokens"]) == (37, 12, 30)


@pytest.mark.parametrize("events", [
    [event("done", text="Hello world")],
    [delta("Hello"), event("done", text="Hello world")],
    [segment("Hello"), segment(" world"), event("done", text="Hello world")],
    [delta("Hello"), segment("Hello "), delta(" world"), segment(" world")],
    [delta("Hello"), delta(" world"), segment("Hello"), segment("world"), event("done", text="Hello world")],
    [{"text": "Hello world"}],
])  # fmt: skip
def test_text_that_comes_again(events: list[Any]) -> None:
    """What a speaker said, and the whole at the end, are read only where no piece has brought them."""
    assert str(read(*events).texts[0]) == "Hello world"


def test_cut_off(calls: Records) -> None:
    """Without its last event it is not whole; the wire's own mark is one too."""
    list(llmlog.stream(HELLO[:-1]))
    assert calls.one()["outcome"] == "incomplete"
    assert read(delta("Hello"), "[DONE]").end_mark


@pytest.mark.parametrize(("given", "tokens"), [
    ({"text": "Hello", "usage": TOKENS}, (37, 12, "provider")),
    ({"text": "Hello", "usage": SECONDS}, (None, 1, "estimated")),
    (VERBOSE, (None, 1, "estimated")),
])  # fmt: skip
def test_whole_ones(calls: Records, given: dict[str, Any], tokens: tuple[Any, ...]) -> None:
    """What is billed by the second has its text counted."""
    for form in (given, SimpleNamespace(**given)):
        calls.records.clear()
        with llmlog.call(model="whisper-1") as call:
            call.finish(form)
        record = calls.one()
        assert (record["operation"], record["outcome"], record["response_length"]) == ("transcription", "completed", 5)
        assert (record.get("input_tokens"), record["output_tokens"], record["usage_source"]) == tokens


def test_usage() -> None:
    """Tokens are counts, seconds are none."""
    assert transcription.read_usage(TOKENS) == Usage(37, 12, input_audio_tokens=30)
    assert transcription.read_usage(SECONDS) is None


def test_an_error() -> None:
    """In a stream, or in place of an answer."""
    error = {"type": "server_error", "message": "no"}
    assert read(delta("Hello"), {"type": "error", "error": error}).error == ("server_error", "no", 500)
    made = Answer()
    transcription.read_response(made, {"error": error})
    assert made.error == ("server_error", "no", 500)


@pytest.mark.parametrize("odd", [None, 7, "x", True, [], [7], {}, {"x": 1}], ids=repr)
@pytest.mark.parametrize("kind", ["transcript.text.delta", "transcript.text.segment", "transcript.text.done",
                                  "transcript.text.new", "error", None, 7, []])  # fmt: skip
def test_odd_events(kind: Any, odd: Any) -> None:
    """A field may be missing, null, or of another type."""
    made = Answer()
    for one in (odd, {"type": kind, "text": odd, "delta": odd, "usage": odd, "error": odd}, {"type": kind}):
        transcription.read_chunk(made, one)
        transcription.read_response(made, one)


@pytest.mark.parametrize("one", [*HELLO, segment("Hi"), VERBOSE, {"text": "Hello", "usage": SECONDS}])
def test_whose_events(one: dict[str, Any]) -> None:
    """Each tells whose it is, as a dict and as an object, and nobody else claims it."""
    for form in (one, SimpleNamespace(**one)):
        assert [reader for reader in providers.FORMATS if reader.matches(form)] == [transcription.PROVIDER]


@pytest.mark.parametrize("other", [
    {"text": "Hello"}, {"text": "Hello", "usage": {"input_tokens": 1}}, {"text": 7, "usage": TOKENS},
    {"type": "text", "text": "Hi"}, {"type": 7, "text": "Hi"}, chunk("Hi"), {}, None, "transcript.text.delta",
])  # fmt: skip
def test_not_its_events(other: Any) -> None:
    """A dict that has nothing but a text could be anybody's."""
    assert not transcription.PROVIDER.matches(other)
    if isinstance(other, dict):
        assert not transcription.PROVIDER.matches(SimpleNamespace(**other))
