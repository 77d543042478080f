"""LiteLLM's chat completions: what is read of them beside what is OpenAI's, as dicts and as objects."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest
from conftest import Records, chunk, usage_chunk

import llmlog
from llmlog import providers
from llmlog.answers import Answer
from llmlog.providers import litellm
from llmlog.usage import Usage


class Object(pydantic.BaseModel):
    """As LiteLLM's: what it says of the provider is beside the fields, and in no dump."""

    model_config = pydantic.ConfigDict(extra="allow")
    object: str = "chat.completion.chunk"
    choices: list[Any] = []
    _hidden_params: dict[str, Any] = pydantic.PrivateAttr(default_factory=dict)


def made(fields: dict[str, Any], provider: str | None) -> Object:
    found = Object(**fields)
    found._hidden_params = {"custom_llm_provider": provider, "api_base": ""}
    return found


def dumped(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "provider_specific_fields": None}


HELLO = [chunk("Hello", role="assistant"), chunk(" world"), chunk(finish="stop")]
DETAILS = {"cached_tokens": 4, "cache_creation_tokens": 3}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("openai", "openai"), ("anthropic", "anthropic"), ("vertex_ai", "google"), ("gemini", "google"),
        ("ollama_chat", "ollama"), ("some_new_one", "some_new_one"), ("custom_openai", None), (None, None), (5, None),
    ],
)  # fmt: skip
def test_the_provider(calls: Records, given: Any, said: str | None) -> None:
    """It is the one that LiteLLM says has made the answer, by the record's own name for it."""
    chunks = [made(one, given) for one in HELLO]
    assert all(one is other for one, other in zip(llmlog.stream(iter(chunks)), chunks, strict=True))
    record = calls.one()
    assert (record.get("provider"), record["outcome"], record["response_length"]) == (said, "completed", 11)


def test_dicts(calls: Records) -> None:
    """A dump has lost the provider: it is not taken for OpenAI's."""
    list(llmlog.stream([dumped(one) for one in [*HELLO, usage_chunk(9, 2)]]))
    record = calls.one()
    assert "provider" not in record
    assert (record["input_tokens"], record["output_tokens"], record["outcome"]) == (9, 2, "completed")


def test_a_whole_answer(calls: Records) -> None:
    """The same, not streamed."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}}
    fields = {"object": "chat.completion", "model": "claude-haiku-4-5", "choices": [choice]}
    with llmlog.call() as call:
        call.finish(made(fields, "anthropic"))
    record = calls.one()
    assert (record["provider"], record["response_length"], record["outcome"]) == ("anthropic", 5, "completed")


def test_several_choices() -> None:
    """Of the reasons to finish it hands on one, at the end: then all choices are whole."""
    answer = Answer()
    for one in (chunk("Hello"), chunk("Good day", index=1)):
        litellm.read_chunk(answer, dumped(one))
        assert not answer.finished()
    litellm.read_chunk(answer, dumped(chunk(finish="stop")))
    assert answer.finished()


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        ({"prompt_tokens": 17, "completion_tokens": 5, "prompt_tokens_details": DETAILS}, Usage(17, 5, 4, 3)),
        ({"prompt_tokens": 17, "completion_tokens": 5, "cache_read_input_tokens": 4,
          "cache_creation_input_tokens": 3}, Usage(17, 5, 4, 3)),
        ({"prompt_tokens": 17, "completion_tokens": 5, "server_tool_use": {"web_search_requests": 2}},
         Usage(17, 5, web_searches=2)),
        ({"prompt_tokens": 17, "completion_tokens": 5, "prompt_tokens_details": {"web_search_requests": 3}},
         Usage(17, 5, web_searches=3)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, Usage(0, 0)),
        ({"prompt_tokens": None}, None),
        ({}, None),
        (None, None),
    ],
)  # fmt: skip
def test_usage(raw: Any, usage: Usage | None) -> None:
    """Tokens written to a cache are in the prompt's, under LiteLLM's own names."""
    assert litellm.read_usage(raw) == usage
    if isinstance(raw, dict):
        assert litellm.read_usage(Object(**raw)) == usage


def test_only_usage() -> None:
    """A chunk that brings the usage and nothing else is told apart, as OpenAI's is."""
    answer = Answer()
    assert [bool(litellm.read_chunk(answer, dumped(one))) for one in [*HELLO, usage_chunk(9, 2)]] == [False] * 3 + [
        True
    ]


def test_what_is_its_own() -> None:
    """Its objects and dumps are known before OpenAI's format is tried; a completion from before chat is not chat."""
    assert providers.UNKNOWN.pick(made(chunk("a"), "openai")) is litellm.PROVIDER
    assert providers.UNKNOWN.pick(dumped(chunk("a"))) is litellm.PROVIDER
    assert providers.UNKNOWN.pick(chunk("a")) is not litellm.PROVIDER
    assert not litellm.PROVIDER.matches(made({"object": "text_completion"}, "openai"))
    assert not litellm.PROVIDER.matches({"object": "embedding", "provider_specific_fields": None})
