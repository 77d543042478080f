"""Text completions: what is read of their chunks and of whole ones, as dicts and as objects."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Records, answer, chunk

import llmlog
from llmlog import providers
from llmlog.answers import Answer
from llmlog.providers import completions


def piece(text: Any = "", *, index: Any = 0, finish: Any = None, **fields: Any) -> dict[str, Any]:
    choice = {"text": text, "index": index, "logprobs": None, "finish_reason": finish}
    return {"id": "cmpl-1", "object": "text_completion", "model": "gpt-3.5-turbo-instruct", "choices": [choice],
            **fields}  # fmt: skip


USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
HELLO = [piece("Hello"), piece(" world"), piece(finish="stop"), piece(choices=[], usage=USAGE)]


def objects(value: Any) -> Any:
    if isinstance(value, list):
        return [objects(one) for one in value]
    if not isinstance(value, dict):
        return value
    return SimpleNamespace(**{name: objects(one) for name, one in value.items()})


@pytest.mark.parametrize("form", [list, objects], ids=["dicts", "objects"])
def test_a_stream(calls: Records, form: Any) -> None:
    """Text, reason, model and usage, under the operation's own name."""
    list(llmlog.stream(form(HELLO), model="gpt-3.5-turbo-instruct"))
    record = calls.one()
    assert (record["provider"], record["operation"], record["outcome"]) == ("openai", "text_completion", "completed")
    assert (record["response_length"], record["finish_reason"], record["content_chunks"]) == (11, "stop", 2)
    assert (record["input_tokens"], record["output_tokens"], record["usage_source"]) == (9, 2, "provider")
    assert (record["response_model"], record["response_id"]) == ("gpt-3.5-turbo-instruct", "cmpl-1")


def test_several_choices(calls: Records) -> None:
    """Each has its text and its reason; the answer is whole when all have one."""
    begun = [piece("a"), piece("bc", index=1), piece("d"), piece(index=1, finish="length")]
    list(llmlog.stream(begun))
    assert calls.one()["outcome"] == "incomplete"
    calls.records.clear()
    list(llmlog.stream([*begun, piece(finish="content_filter")]))
    record = calls.one()
    assert (record["outcome"], record["finish_reason"]) == ("completed", ["content_filter", "length"])
    assert (record["response_length"], record["content_chunks"], record["content_filtered"]) == (4, 3, True)


def test_a_whole_completion(calls: Records) -> None:
    """Its choices, its reasons and its usage."""
    two = piece("Hello", finish="stop")["choices"] + piece("you", index=1, finish="stop")["choices"]
    with llmlog.call() as call:
        call.finish(piece(choices=two, usage=USAGE))
    record = calls.one()
    assert (record["operation"], record["outcome"], record["response_length"]) == ("text_completion", "completed", 8)
    assert (record["input_tokens"], record["finish_reason"]) == (9, ["stop", "stop"])


def test_only_the_usage() -> None:
    """A chunk that brings the usage and no choice says so, that `ask_usage` can take it out again."""
    read = Answer()
    assert [bool(completions.read_chunk(read, one)) for one in HELLO] == [False, False, False, True]
    assert not read.end_mark
    completions.read_chunk(read, "[DONE]")
    assert read.end_mark


def test_an_error(calls: Records) -> None:
    """In the middle of a stream."""
    list(llmlog.stream([piece("Hello"), {"error": {"message": "no", "type": "server_error", "code": 500}}]))
    record = calls.one()
    assert (record["outcome"], record["error_type"], record["http_status"]) == ("error", "server_error", 500)


@pytest.mark.parametrize("odd", [None, 7, "x", True, [], [7], {}, {"x": 1}], ids=repr)
def test_odd_chunks(odd: Any) -> None:
    """A field may be missing, null, or of another type."""
    read = Answer()
    for one in (odd, {"choices": odd, "usage": odd, "id": odd, "model": odd}, {"choices": [odd]}, piece(odd),
                piece(index=odd, finish=odd), {"choices": None, "error": odd}):  # fmt: skip
        completions.read_chunk(read, one)
        completions.read_response(read, one)


@pytest.mark.parametrize("one", [*HELLO, {"choices": [{"text": "Hi", "index": 0}]}])
def test_whose_chunks(one: dict[str, Any]) -> None:
    """Its chunks tell whose they are, by their name or by a choice that is text; nobody else claims them."""
    for form in (one, objects(one)):
        assert [reader for reader in providers.FORMATS if reader.matches(form)] == [completions.PROVIDER]


@pytest.mark.parametrize("other", [
    *answer("Hello"), chunk("Hello"), chunk("Hello", object=None), None, 7, [], {}, "text_completion",
    {"choices": [{"delta": {"content": "Hi"}, "text": "Hi"}]}, {"choices": []}, {"choices": 7},
])  # fmt: skip
def test_not_its_chunks(other: Any) -> None:
    """Chat's chunks, also those with their text twice, and what is none, are not claimed."""
    assert not completions.PROVIDER.matches(other)
