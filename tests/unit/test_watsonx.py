"""watsonx.ai's text generation: what is read of its events and of whole answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Records, answer
from test_cohere import objects

import llmlog
from llmlog import providers
from llmlog.answers import Answer
from llmlog.providers import watsonx
from llmlog.usage import Usage


def event(text: str, produced: int, given: int = 0, reason: str = "not_finished", **fields: Any) -> dict[str, Any]:
    result = {"generated_text": text, "generated_token_count": produced, "input_token_count": given}
    return {"model_id": "google/flan-ul2", "created_at": "x", "results": [{**result, "stop_reason": reason}], **fields}


WARNINGS = {"warnings": [{"message": "Non-IBM", "id": "disclaimer_warning"}]}
SUN = [event("", 0, 8, system=WARNINGS), event("the", 1), event(" sun", 2), event("", 3, reason="eos_token")]


def read(*chunks: Any) -> Answer:
    """What is read of a stream's events: as dicts, and the same as objects."""
    made, other = Answer(), Answer()
    for chunk in chunks:
        watsonx.read_chunk(made, chunk)
        watsonx.read_chunk(other, objects(chunk))
    for name in ("model", "finish_reasons", "usage", "error", "content_chunks", "pieces"):
        assert getattr(other, name) == getattr(made, name)
    return made


def test_a_stream() -> None:
    """Pieces of text; counts are totals, and the prompt's is in the first event; `not_finished` is no reason."""
    made = read(*SUN)
    assert (made.model, str(made.texts[0]), made.content_chunks) == ("google/flan-ul2", "the sun", 2)
    assert made.finish_reasons == {0: "eos_token"}
    assert watsonx.read_usage(made.usage) == Usage(8, 3)


def test_a_stream_cut_anywhere(calls: Records) -> None:
    """Before the last event it is incomplete; counts so far only grow."""
    produced = 0
    for place in range(1, len(SUN)):
        calls.records.clear()
        assert list(llmlog.stream(SUN[:place])) == SUN[:place]
        record = calls.one()
        assert (record["provider"], record["outcome"], record["input_tokens"]) == ("watsonx", "incomplete", 8)
        assert record["output_tokens"] >= produced
        produced = record["output_tokens"]


@pytest.mark.parametrize("provider", [None, "watsonx", "ibm.watsonx.ai"])
def test_a_whole_answer(calls: Records, provider: str | None) -> None:
    """One event that has it all; the record says the name that the caller uses."""
    with llmlog.call(provider=provider) as call:
        call.finish(event("Hi", 2, 8, reason="max_tokens"))
    record = calls.one()
    assert (record["provider"], record["outcome"]) == (provider or "watsonx", "completed")
    assert (record["response_length"], record["finish_reason"]) == (2, "max_tokens")
    assert (record["input_tokens"], record["output_tokens"], record["usage_source"]) == (8, 2, "provider")


def test_chat_under_its_name(calls: Records) -> None:
    """Its chat API speaks chat completions, and is read as such."""
    assert list(llmlog.stream(answer("Hello"), provider="watsonx"))
    record = calls.one()
    assert (record["provider"], record["outcome"], record["response_length"]) == ("watsonx", "completed", 5)


ERROR = {"errors": [{"code": "model_not_supported", "message": "no such model"}], "trace": "t", "status_code": 404}


@pytest.mark.parametrize("said", [ERROR, {"error": ERROR}])
def test_an_error(calls: Records, said: dict[str, Any]) -> None:
    """In the stream, or in place of an answer: with its code and status."""
    assert list(llmlog.stream([said], provider="watsonx"))
    record = calls.one()
    assert (record["outcome"], record["error_type"], record["http_status"]) == ("error", "model_not_supported", 404)
    assert read(SUN[0], {"error": "cut"}).error == (None, "cut", None)
    assert read(event("A", 1, reason="error")).error == ("error", None, None)


@pytest.mark.parametrize("chunk", SUN)
def test_whose_chunks(chunk: dict[str, Any]) -> None:
    """Each event tells whose it is, and nobody else claims it."""
    for form in (chunk, objects(chunk)):
        assert [found for found in providers.FORMATS if found.matches(form)] == [watsonx.PROVIDER]


@pytest.mark.parametrize("other", [
    *answer("Hello"), "results", None, 7, [], {}, {"results": []}, {"results": [{"outputText": "Hi"}]},
    {"generated_text": "Hi"}, {"results": {"generated_text": "Hi"}},
])  # fmt: skip
def test_not_its_chunks(other: Any) -> None:
    """Others' chunks, and what is none, are not claimed."""
    assert not watsonx.PROVIDER.matches(other)
    if isinstance(other, dict):
        assert not watsonx.PROVIDER.matches(SimpleNamespace(**other))


@pytest.mark.parametrize("value", [None, 7, "x", True, [], {}, [None], [7], [{}], -1, float("nan")])
def test_odd_values(value: Any) -> None:
    """What a provider may send in the place of what it should is no error."""
    made = Answer()
    result = dict.fromkeys(("generated_text", "generated_token_count", "input_token_count", "stop_reason"), value)
    for one in (
        value,
        {"results": value, "model_id": value},
        {"results": [result]},
        {"errors": value},
        {"error": value, "status_code": value},
        {"errors": [{"code": value}], "status_code": value},
    ):
        watsonx.read_chunk(made, one)
        watsonx.read_response(made, one)
        watsonx.PROVIDER.matches(one)
    watsonx.read_usage(made.usage)
    watsonx.read_usage(value)
