"""LiteLLM's streams, recorded, as dicts; where it is installed (`make litellm`) as its own objects too.

What llmlog reads is held against the library's own final answer. That runs the texts of several choices together, which
llmlog keeps apart as the provider has sent them; and what the provider runs itself is a tool call of the answer there.
"""

from __future__ import annotations

import asyncio
import json
import os
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import replaying
from conftest import recorded
from replaying import first

import llmlog
from llmlog.answers import Answer
from llmlog.providers import litellm as reader

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # its own table of prices, and no look at the network

pytestmark = [
    pytest.mark.filterwarnings(r"ignore:::litellm(\.|$)"),
    pytest.mark.filterwarnings("ignore:Item '.*' on TypedDict class:UserWarning"),  # pydantic's, of litellm's types
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),  # the same
]

RECORDED = {"kind": "lib_streams", "provider": "litellm"}
PROVIDERS = {"gemini": "google", "ollama_chat": "ollama"}


class Failed(Exception):
    """The library raised in the middle of the stream."""


def tokens(usage: dict[str, Any]) -> dict[str, int | None]:
    prompt, completion = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    return {
        "input_tokens": usage["prompt_tokens"],
        "output_tokens": usage["completion_tokens"],
        "reasoning_tokens": completion.get("reasoning_tokens"),
        "cache_read_tokens": prompt.get("cached_tokens"),
        "cache_write_tokens": first(prompt.get("cache_creation_tokens"), usage.get("cache_creation_input_tokens")),
    }


def chunks_of(case: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in case.raw.splitlines() if line.strip()]


def choices_of(case: Any) -> list[dict[str, Any]]:
    """The final answer's; of several choices, and where the library failed, those that the provider has sent.

    Of the reasons to finish LiteLLM hands on one, at the end of all choices.
    """
    final, http = case.meta["library_final"], case.meta["http_oracle"]["choices"]
    if case.meta["library_error"] or len(http) > 1:
        return [
            {**choice, "finish_reason": choice["finish_reason"] if n == 0 else None} for n, choice in enumerate(http)
        ]
    found = []
    for choice in final["choices"]:
        message = choice["message"]
        calls = [call["function"] for call in message.get("tool_calls") or []]
        found.append(
            {
                "text": message["content"],
                "refusal": message.get("refusal"),
                "reasoning": message.get("reasoning_content") or "",
                "tool_calls": calls,
                "finish_reason": choice["finish_reason"],
            }
        )
    return found


def prepare(case: Any) -> list[dict[str, Any]]:
    """The chunks; and what the other cases have in their side files."""
    chunks = chunks_of(case)
    error, http = case.meta["library_error"], case.meta["http_oracle"]
    choices = choices_of(case)
    said = any(choice["finish_reason"] for chunk in chunks for choice in chunk["choices"])
    if not said:  # the final answer makes one up
        choices = [{**choice, "finish_reason": None} for choice in choices]
    usage = next((chunk["usage"] for chunk in reversed(chunks) if chunk.get("usage")), None)
    if usage is not None and not error:
        assert usage["prompt_tokens"] == case.meta["library_final"]["usage"]["prompt_tokens"]
    case.meta["provider"] = case.meta["derived_from"].split("/")[0]
    case.meta["oracle"] = {"choices": choices, "usage": usage, "error": error, "terminal": http["terminal"],
                           "model": chunks[0]["model"]}  # fmt: skip
    return chunks


def source(chunks: list[Any], error: str | None) -> Iterator[Any]:
    yield from chunks
    if error:
        raise Failed(error)


async def asource(chunks: list[Any], error: str | None) -> AsyncIterator[Any]:
    for chunk in source(chunks, error):
        yield chunk


def watch(case: Any, chunks: list[Any], name: str | None = None) -> None:
    got: list[Any] = []
    error = case.meta["library_error"]
    try:
        got.extend(llmlog.stream(source(chunks, error), provider=name))
    except Failed:
        assert error
    assert all(one is other for one, other in zip(got, chunks, strict=not error)), case.id


async def awatch(case: Any, chunks: list[Any]) -> None:
    got: list[Any] = []
    error = case.meta["library_error"]
    try:
        async for chunk in llmlog.stream(asource(chunks, error)):
            got.append(chunk)  # noqa: PERF401 - what came before an error counts
    except Failed:
        assert error
    assert all(one is other for one, other in zip(got, chunks, strict=not error)), case.id


def the_library() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import warns of what it, and what it imports, is yet to change
        return pytest.importorskip("litellm")


def made_by(case: Any) -> str:
    """The provider by the name that LiteLLM was given."""
    return str(case.meta["litellm_model"].partition("/")[0])


def provider_of(case: Any) -> str:
    """The same by the name that the record gives it."""
    return PROVIDERS.get(made_by(case), made_by(case))


def objects(case: Any) -> list[Any]:
    """The chunks as LiteLLM gives them: its objects, with the provider's name beside the fields."""
    kind = the_library().types.utils.ModelResponseStream
    chunks = [kind(**chunk) for chunk in prepare(case)]
    for chunk in chunks:
        chunk._hidden_params = {"custom_llm_provider": made_by(case)}
    return chunks


WAYS: dict[str, Callable[[Any], None]] = {
    "dicts": lambda case: watch(case, prepare(case), "litellm"),
    "unnamed": lambda case: watch(case, prepare(case)),
    "objects": lambda case: watch(case, objects(case)),
    "async": lambda case: asyncio.run(awatch(case, objects(case))),
}


SAID: dict[str, Callable[[Any], str | None]] = {
    "unnamed": lambda case: None, "objects": provider_of, "async": provider_of,
}  # fmt: skip
"""What the record says of the provider: a dict has lost its name."""


@pytest.mark.parametrize("way", WAYS)
def test_replay(
    cases: ModuleType, calls: Any, way: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every recorded stream: figures as the library's final answer has them; objects tell who made the answer."""
    if way in ("objects", "async"):
        the_library()
    with capsys.disabled():
        replaying.replay(
            cases, calls, WAYS[way], tokens, RECORDED,
            label=f"litellm ({way})", at_least=44, monkeypatch=monkeypatch, provider=SAID.get(way),
        )  # fmt: skip


@pytest.mark.parametrize("way", ["dicts", "objects"])
def test_whole(cases: ModuleType, calls: Any, way: str) -> None:
    """The library's final answers, as dicts and as objects."""
    kind = the_library().ModelResponse if way == "objects" else None
    for case in recorded(cases, **RECORDED):
        prepare(case)
        final = case.meta["library_final"]
        if final is None:
            continue
        calls.records.clear()
        response: Any = final
        if kind is not None:
            response = kind(**final)
            response._hidden_params = {"custom_llm_provider": made_by(case)}
        with llmlog.call() as call:
            call.finish(response)
        assert llmlog.flush()
        record = calls.one()
        assert record["outcome"] == "completed", case.id
        message = final["choices"][0]["message"]
        assert record["response_length"] == len(message["content"] or ""), case.id
        assert record.get("tool_calls", 0) == len(message.get("tool_calls") or []), case.id
        assert record["input_tokens"] == final["usage"]["prompt_tokens"], case.id
        assert record["output_tokens"] == final["usage"]["completion_tokens"], case.id
        if kind is not None:
            assert record["provider"] == provider_of(case)


def test_cut(cases: ModuleType) -> None:
    """A stream that is cut anywhere is read, and is not whole before it says so."""
    for case in recorded(cases, **RECORDED):
        made = Answer()
        has_ended = False
        for chunk in chunks_of(case):
            reader.read_chunk(made, chunk)
            has_ended |= "usage" in chunk or any(choice["finish_reason"] for choice in chunk["choices"])
            assert not made.finished() or has_ended, case.id


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("anthropic/claude-haiku-4-5", "anthropic"),
        ("gemini/gemini-2.5-flash", "google"),
        ("bedrock/anthropic.claude-3-sonnet-20240229-v1:0", "bedrock"),
        ("mistral/mistral-large-latest", "mistral"),
    ],
)
def test_live(calls: Any, model: str, provider: str) -> None:
    """LiteLLM's own streams and answers say who made them, whatever the format."""
    litellm = the_library()
    asked = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "mock_response": "Good day to you."}
    chunks = list(llmlog.stream(litellm.completion(**asked, stream=True)))
    assert all(isinstance(chunk, litellm.ModelResponseStream) for chunk in chunks)
    streamed = calls.one()
    calls.records.clear()
    with llmlog.call() as call:
        call.finish(litellm.completion(**asked))
    for record in (streamed, calls.one()):
        assert (record["provider"], record["outcome"], record["response_length"]) == (provider, "completed", 16)
