"""Embeddings: what is read of a whole answer, as a dict and as an object."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Records, chunk

import llmlog
from llmlog import providers
from llmlog.answers import Answer
from llmlog.providers import embeddings
from llmlog.usage import Usage

ANSWER = {
    "object": "list", "model": "text-embedding-3-small",
    "usage": {"prompt_tokens": 1_000_000, "total_tokens": 1_000_000},
    "data": [{"object": "embedding", "index": 0, "embedding": [0.987654321, 0.2]}],
}  # fmt: skip


@pytest.mark.parametrize("form", [dict, lambda given: SimpleNamespace(**given)], ids=["dict", "object"])
def test_a_whole_answer(calls: Records, form: Any) -> None:
    """The model, and a usage that is all input: nothing is written, and that is known."""
    with llmlog.call(model="text-embedding-3-small") as call:
        call.finish(form(ANSWER))
    record = calls.one()
    assert (record["provider"], record["operation"], record["outcome"]) == ("openai", "embeddings", "completed")
    assert (record["input_tokens"], record["output_tokens"], record["usage_source"]) == (1_000_000, 0, "provider")
    assert (record["response_model"], record["response_length"]) == ("text-embedding-3-small", 0)
    assert record["cost_usd"] == pytest.approx(0.02)
    assert "0.987654321" not in str(record)


def test_usage() -> None:
    """By the prompt's tokens, or by all of them where a server sends only those."""
    assert embeddings.read_usage({"prompt_tokens": 0, "total_tokens": 7}) == Usage(0, 0)
    assert embeddings.read_usage({"total_tokens": 7}) == Usage(7, 0)
    assert embeddings.read_usage({"prompt_tokens": "many"}) is None
    assert embeddings.read_usage(None) is None


@pytest.mark.parametrize("odd", [None, 7, "x", [], [7], {}, {"usage": None}, {"model": 7, "id": []}], ids=repr)
def test_odd_answers(odd: Any) -> None:
    """A field may be missing, null, or of another type."""
    read = Answer()
    embeddings.read_response(read, odd)
    assert (read.model, read.response_id, read.usage) == (None, None, None)


def test_whose_answer() -> None:
    """Numbers or base64, each is known; nobody else claims it."""
    for vector in ([0.1], "AACAPw=="):
        given = {**ANSWER, "data": [{"object": "embedding", "index": 0, "embedding": vector}]}
        assert [reader for reader in providers.FORMATS if reader.matches(given)] == [embeddings.PROVIDER]


@pytest.mark.parametrize("other", [
    {"object": "list", "data": []}, {"object": "list", "data": [{"object": "model", "id": "gpt-5"}]},
    {"object": "list", "data": 7}, {"data": [{"embedding": []}]}, chunk("Hello"), {}, None, "list", [],
])  # fmt: skip
def test_not_its_answer(other: Any) -> None:
    """Other lists are not claimed."""
    assert not embeddings.PROVIDER.matches(other)
