"""Ollama's own API: what is read of its lines, its SDK's objects and its embeddings."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Records, answer
from test_cohere import objects

import llmlog
from llmlog import providers
from llmlog.answers import Answer
from llmlog.providers import ollama, ollama_embeddings
from llmlog.usage import Usage

HEAD = {"model": "qwen3", "created_at": "2025-01-01T00:00:00Z"}
COUNTS = {"prompt_eval_count": 18, "eval_count": 7, "total_duration": 5, "load_duration": 1}


def said(content: str | None = "", **message: Any) -> dict[str, Any]:
    """A chunk of `/api/chat`, with every field that the SDK's objects have."""
    whole = {"role": "assistant", "content": content, "thinking": None, "tool_calls": None, **message}
    return {**HEAD, "message": whole, "done": False}


def piece(response: str, **fields: Any) -> dict[str, Any]:
    """A chunk of `/api/generate`."""
    return {**HEAD, "response": response, "thinking": None, "done": False, **fields}


def done(chunk: dict[str, Any], reason: str | None = "stop", **counts: Any) -> dict[str, Any]:
    return {**chunk, "done": True, "done_reason": reason, **(counts or COUNTS)}


def tool(name: str, arguments: Any, **fields: Any) -> dict[str, Any]:
    return {**fields, "function": {"name": name, "arguments": arguments}}


CHAT = [said("Hello"), said(" world"), done(said())]
GENERATE = [piece("Hello"), piece(" world"), done(piece(""))]


def sdk(value: Any) -> Any:
    """As the SDK's objects: arguments of a tool stay a mapping."""
    made = objects(value)
    for given, call in zip(((value.get("message") or {}).get("tool_calls")) or [],
                           getattr(getattr(made, "message", None), "tool_calls", None) or [], strict=True):  # fmt: skip
        call.function.arguments = given["function"]["arguments"]
    return made


def seen(made: Answer) -> dict[str, Any]:
    return {
        "model": made.model,
        "finish_reasons": made.finish_reasons,
        "end_mark": made.end_mark,
        "content_chunks": made.content_chunks,
        "text": str(made.texts[0]),
        "reasoning": str(made.reasoning),
        "tools": [(call.id, call.name, str(call.arguments)) for call in made.tool_calls.values()],
        "usage": None if made.usage is None else ollama.read_usage(made.usage),
    }


def read(*chunks: Any) -> Answer:
    """What is read of a stream's chunks: as dicts, and the same as objects."""
    made, other = Answer(), Answer()
    for chunk in chunks:
        ollama.read_chunk(made, chunk)
        (ollama._quick(other, sdk(chunk)) or ollama.read_chunk)(other, sdk(chunk))
    assert seen(other) == seen(made)
    return made


@pytest.mark.parametrize("script", [CHAT, GENERATE], ids=["chat", "generate"])
def test_a_stream(script: list[dict[str, Any]]) -> None:
    """Text, model, reason and counts; the chunk that is done is the end mark."""
    assert seen(read(*script)) == {
        "model": "qwen3",
        "finish_reasons": {0: "stop"},
        "end_mark": True,
        "content_chunks": 2,
        "text": "Hello world",
        "reasoning": "",
        "tools": [],
        "usage": Usage(18, 7),
    }


def test_thinking() -> None:
    """It is reasoning, of a chat and of a text; a chunk that brings both counts once."""
    made = read(said("", thinking="Hm"), said("A", thinking=" so"), done(said()))
    assert (str(made.reasoning), str(made.texts[0]), made.content_chunks) == ("Hm so", "A", 2)
    assert str(read(piece("", thinking="Hm"), piece("A")).reasoning) == "Hm"


def test_tool_calls() -> None:
    """Each is whole, wherever it comes; its arguments are an object."""
    made = read(said("", tool_calls=[tool("weather", {"city": "Ås"}, id="call_1"), tool("now", {})]),
                said("", tool_calls=[tool("weather", {"city": "Oslo"})]), done(said()))  # fmt: skip
    assert seen(made)["tools"] == [
        ("call_1", "weather", '{"city": "Ås"}'),
        (None, "now", "{}"),
        (None, "weather", '{"city": "Oslo"}'),
    ]


def test_counts_that_are_missing(calls: Records) -> None:
    """A prompt's count that is missing is not 0: it is counted where the prompt is known, and marked."""
    last = done(piece(""), eval_count=58)
    assert ollama.read_usage(read(piece("A"), last).usage) == Usage(None, 58)
    assert ollama.read_usage({"eval_count": 0, "prompt_eval_count": 0}) == Usage(0, 0)
    assert ollama.read_usage({"eval_count": "many"}) is None
    assert list(llmlog.stream([piece("A"), last], input="Tell me a joke"))
    record = calls.one()
    assert (record["output_tokens"], record["usage_source"]) == (58, "mixed")
    assert 3 <= record["input_tokens"] <= 12


def test_a_later_line_does_not_erase() -> None:
    """What a proxy puts behind the last chunk is not read, and loses nothing."""
    made = read(*CHAT, {"signature": "0xff"}, {**said(), "done": None})
    assert (made.end_mark, ollama.read_usage(made.usage), made.finish_reasons) == (True, Usage(18, 7), {0: "stop"})


def test_an_older_servers_last_chunk() -> None:
    """Without a reason: it is done all the same."""
    made = read(piece("A"), {**HEAD, "response": "", "done": True})
    assert (made.finished(), made.finish_reasons) == (True, {})


def test_an_image() -> None:
    """Steps and a picture: no text, and content when it comes."""
    steps = [{**HEAD, "completed": n, "total": 2, "done": False} for n in (1, 2)]
    made = read(*steps, {**HEAD, "image": "aGk=", "done": True})
    assert (made.content_chunks, made.end_mark, str(made.texts[0])) == (1, True, "")


@pytest.mark.parametrize("script", [CHAT, GENERATE], ids=["chat", "generate"])
def test_a_stream_cut_anywhere(calls: Records, script: list[dict[str, Any]]) -> None:
    """Before the chunk that is done it is incomplete."""
    for place in range(1, len(script)):
        calls.records.clear()
        assert list(llmlog.stream(script[:place])) == script[:place]
        record = calls.one()
        assert (record["provider"], record["outcome"], record["usage_source"]) == ("ollama", "incomplete", "estimated")


def test_whole_answers(calls: Records) -> None:
    """One chunk that is done."""
    for response in (done(said("Hi")), sdk(done(said("Hi"))), done(piece("Hi"))):
        calls.records.clear()
        with llmlog.call() as call:
            call.finish(response)
        record = calls.one()
        assert (record["provider"], record["outcome"], record["finish_reason"]) == ("ollama", "completed", "stop")
        assert (record["response_length"], record["input_tokens"], record["output_tokens"]) == (2, 18, 7)


def test_errors(calls: Records) -> None:
    """In place of an answer, and first of a stream, under the provider's name."""
    said = {"error": "model 'm' not found"}
    with llmlog.call(provider="ollama") as call:
        call.finish(said)
    assert list(llmlog.stream([said], provider="ollama")) == [said]
    llmlog.flush()
    for record in map(vars, calls.records):
        assert (record["provider"], record["outcome"]) == ("ollama", "error")
        assert record["error_message"] == "model 'm' not found"


EMBEDDED = {"model": "all-minilm", "embeddings": [[0.1, 0.2]], "total_duration": 5, "prompt_eval_count": 8}


def test_embeddings(calls: Records) -> None:
    """An operation of its own: what went in is told, where it is, and nothing comes out."""
    for response in (EMBEDDED, objects(EMBEDDED)):
        calls.records.clear()
        with llmlog.call() as call:
            call.finish(response)
        record = calls.one()
        assert (record["operation"], record["provider"], record["outcome"]) == ("embeddings", "ollama", "completed")
        assert (record["input_tokens"], record["output_tokens"], record["usage_source"]) == (8, 0, "provider")
    assert ollama_embeddings.read_usage({}) is None
    assert ollama_embeddings.PROVIDER.matches({"embedding": [0.1]})


@pytest.mark.parametrize("chunk", [*CHAT, *GENERATE, {**HEAD, "completed": 1, "total": 2, "done": False}, EMBEDDED])
def test_whose_chunks(chunk: dict[str, Any]) -> None:
    """Each chunk tells whose it is, as a dict and as an object, and nobody else claims it."""
    expected = ollama_embeddings.PROVIDER if chunk is EMBEDDED else ollama.PROVIDER
    for form in (chunk, objects(chunk)):
        assert [found for found in providers.FORMATS if found.matches(form)] == [expected]


@pytest.mark.parametrize("other", [
    *answer("Hello"), "done", None, 7, [], {}, {"done": True}, {"done": "yes", "message": {}}, {"response": "Hi"},
    {"embeddings": {"float": [[0.1]]}}, {"embeddings": [{"values": [0.1]}], "model": "m"}, {"embeddings": [[0.1]]},
    {"embedding": [0.1], "inputTextTokenCount": 3}, {"embedding": {"values": [0.1]}},
    {"id": "1", "embeddings": [[0.1]], "texts": ["Hi"], "model": "m"},
])  # fmt: skip
def test_not_its_chunks(other: Any) -> None:
    """Others' chunks, and what is none, are not claimed."""
    for one in (ollama.PROVIDER, ollama_embeddings.PROVIDER):
        assert not one.matches(other)
        if isinstance(other, dict):
            assert not one.matches(SimpleNamespace(**other))


@pytest.mark.parametrize("value", [None, 7, "x", True, [], {}, [None], [7], [{}], [{"function": 7}],
                                   [{"function": {"name": 7, "arguments": [1]}}]])  # fmt: skip
def test_odd_values(value: Any) -> None:
    """What a provider may send in the place of what it should is no error."""
    made = Answer()
    names = ("model", "message", "response", "thinking", "done", "done_reason", "error", "eval_count")
    messages = [said(**{"content": "A", name: value}) for name in ("content", "thinking", "tool_calls")]
    for one in (value, *({**said("A"), name: value} for name in names), *messages):
        ollama.read_chunk(made, one)
        (ollama._quick(made, objects(one)) or ollama.read_chunk)(made, objects(one))
        ollama.read_response(made, one)
        ollama_embeddings.read_response(made, one)
        ollama.PROVIDER.matches(one)
    ollama.read_usage(value)
    ollama.read_usage(made.usage)
