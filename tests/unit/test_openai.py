"""Chat completions: what servers add to the format."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Records, chunk

import llmlog
from llmlog import providers
from llmlog.answers import Answer
from llmlog.providers import openai
from llmlog.usage import Usage


def read(*chunks: Any) -> Answer:
    made = Answer()
    for one in chunks:
        openai.read_chunk(made, one)
    return made


def choice(**fields: Any) -> dict[str, Any]:
    """A chunk whose only choice has these fields."""
    return {"id": "", "object": "", "model": "", "choices": [{"index": 0, "finish_reason": None, **fields}]}


def test_usage_by_kind() -> None:
    """Audio, images, and what was written to a cache, are parts of the counts."""
    usage = {"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29,
             "prompt_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 2, "audio_tokens": 3,
                                       "image_tokens": 4},
             "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 6, "image_tokens": 7}}  # fmt: skip
    assert openai.read_usage(usage) == Usage(20, 9, 1, 2, 5, 3, 6, 4, 7)


def test_a_cache_by_kind() -> None:
    """What of the sound and of the images was read from the cache has prices of its own."""
    usage = {
        "prompt_tokens": 20,
        "completion_tokens": 9,
        "prompt_tokens_details": {
            "cached_tokens": 6,
            "audio_tokens": 5,
            "cached_tokens_details": {"audio_tokens": 4, "image_tokens": 2},
        },
    }
    assert openai.read_usage(usage) == Usage(
        20, 9, 6, input_audio_tokens=5, cache_audio_read_tokens=4, cache_image_read_tokens=2
    )


def test_perplexity() -> None:
    """Its searches are counted in the usage, and its reasoning is not in the completion."""
    usage = {"prompt_tokens": 33, "completion_tokens": 7163, "total_tokens": 7196, "citation_tokens": 20163,
             "num_search_queries": 18, "reasoning_tokens": 73997}  # fmt: skip
    assert openai.read_usage(usage) == Usage(33, 7163 + 73997, reasoning_tokens=73997, web_searches=18)


def test_speech() -> None:
    """Its words are the visible text, in a stream and in a whole message."""
    made = read(chunk(audio={"id": "audio_1", "transcript": "Hel"}), chunk(audio={"transcript": "lo"}),
                chunk(audio={"data": "AAAA"}), chunk(audio=None), chunk(audio=7))  # fmt: skip
    assert (str(made.texts[0]), made.content_chunks) == ("Hello", 3)
    whole = Answer()
    message = {"role": "assistant", "content": None, "audio": {"id": "audio_1", "transcript": "Hello", "data": "AAAA"}}
    openai.read_response(whole, {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    assert str(whole.texts[0]) == "Hello"


FOUND: Any = {"hate": {"filtered": False, "severity": "safe"}, "violence": {"filtered": True, "severity": "high"}}


@pytest.mark.parametrize(("fields", "filtered"), [
    ({"content_filter_results": FOUND}, True),
    ({"content_filter_result": FOUND}, True),
    ({"content_filter_results": {"hate": FOUND["hate"]}, "content_filter_offsets": {"check_offset": 44}}, False),
    ({"content_filter_results": {"error": {"code": "content_filter_error", "message": "no"}}}, False),
    ({"content_filter_results": {}}, False),
    ({"content_filter_results": 7}, False),
    ({"finish_reason": "content_filter"}, True),
])  # fmt: skip
def test_filters(fields: dict[str, Any], filtered: bool) -> None:
    """Azure's annotations come in choices without a delta."""
    assert read(choice(**fields)).content_filtered is filtered


def test_the_prompts_filter_first(calls: Records) -> None:
    """Azure's first chunk has no choice, no model and no id: those of the next one count."""
    first = {"id": "", "object": "", "model": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]}
    list(llmlog.stream([first, chunk("Hello"), chunk(finish="stop")], provider="azure"))
    record = calls.one()
    assert (record["provider"], record["outcome"], record["response_length"]) == ("azure", "completed", 5)
    assert (record["response_model"], record["response_id"]) == ("gpt-4o-mini-2024-07-18", "chatcmpl-1")


@pytest.mark.parametrize(("given", "expected"), [
    ({"error": {"type": "server_error", "code": "x", "message": "no"}}, ("server_error", "no", None)),
    ({"error": {"code": 502, "message": "no"}}, (None, "no", 502)),
    ({"error": {"code": "429", "message": "no"}}, ("429", "no", 429)),
    ({"error": {"code": "content_filter", "status": 400, "message": "no"}}, ("content_filter", "no", 400)),
    ({"error": {"code": "x", "status": "INVALID", "status_code": 400}}, ("x", None, 400)),
    ({"error": {"code": 7, "message": {"text": "no"}}}, (None, None, None)),
    ({"error": "no"}, (None, "no", None)),
    ({"object": "error", "type": "BadRequestError", "message": "no", "code": 400}, ("BadRequestError", "no", 400)),
    (choice(error={"code": 502, "message": "no"}, finish_reason="error"), (None, "no", 502)),
    ({"error": None}, None),
    ({"error": {}}, None),
])  # fmt: skip
def test_errors(given: dict[str, Any], expected: Any) -> None:
    """By whatever names a server gives its type and its status: in the chunk, in the choice, in its place."""
    assert read(chunk("Hello"), given).error == expected


@pytest.mark.parametrize("one", [
    chunk("Hello"), {"choices": []}, {"choices": [], "object": ""}, {"object": "error", "message": "no"},
    {"choices": [{"delta": {"content": "Hi"}, "text": "Hi"}]}, {"choices": [{"message": {"content": "Hi"}}]},
    {"choices": [{"finish_reason": "stop"}]}, {"choices": 7}, {"choices": [7]},
])  # fmt: skip
def test_whose_chunks(one: dict[str, Any]) -> None:
    """Whatever has choices is chat, but for those that are nothing but text."""
    assert [reader for reader in providers.FORMATS if reader.matches(one)] == [openai.PROVIDER]
    if "choices" in one:
        assert openai.PROVIDER.matches(SimpleNamespace(**one))


def test_calls_that_share_an_index() -> None:
    """Some servers give 0 to each of several calls: another id with a name is another call, in a stream and a whole."""
    first = {"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}
    second = {"index": 0, "id": "b", "function": {"name": "g", "arguments": ""}}
    pieces = [
        first,
        {"index": 0, "function": {"arguments": "{}"}},
        second,
        {"index": 0, "function": {"arguments": "[]"}},
    ]
    streamed = Answer()
    for piece in pieces:
        openai.read_chunk(streamed, {"choices": [{"index": 0, "delta": {"tool_calls": [piece]}}]})
    whole = Answer()
    message = {"tool_calls": [{**first, "function": {"name": "f", "arguments": "{}"}},
                              {**second, "function": {"name": "g", "arguments": "[]"}}]}  # fmt: skip
    openai.read_response(whole, {"choices": [{"index": 0, "message": message}]})
    for made in (streamed, whole):
        calls = [(call.id, call.name, str(call.arguments)) for call in made.tool_calls.values()]
        assert calls == [("a", "f", "{}"), ("b", "g", "[]")]


def test_reasoning_that_comes_on_top() -> None:
    """xAI's total says that the completion is without it."""
    raw = {"prompt_tokens": 291, "completion_tokens": 26, "total_tokens": 513,
           "completion_tokens_details": {"reasoning_tokens": 196}}  # fmt: skip
    usage = openai.read_usage(raw)
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens) == (291, 222, 196)
