"""LangChain's messages and generations: what is read of them, streamed and whole, as dicts and as objects."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest
from conftest import Records
from hypothesis import given
from hypothesis import strategies as st

import llmlog
from llmlog import providers
from llmlog.answers import Answer
from llmlog.providers import langchain
from llmlog.usage import Usage


class Object(pydantic.BaseModel):
    """As LangChain's: what is inside the fields stays a dict, but for a generation's message."""

    model_config = pydantic.ConfigDict(extra="allow")


def objects(fields: Any) -> Any:
    if not isinstance(fields, dict) or "type" not in fields:
        return fields
    kind: Any = pydantic.create_model("Declared", __base__=Object, **dict.fromkeys(fields, (Any, None)))
    return kind.model_construct(**{name: objects(it) if name == "message" else it for name, it in fields.items()})


def piece(content: Any = "", **fields: Any) -> dict[str, Any]:
    """A chunk, as its `model_dump()` has it."""
    return {"content": content, "additional_kwargs": {}, "response_metadata": {}, "type": "AIMessageChunk",
            "name": None, "id": "lc_run--1", "tool_calls": [], "invalid_tool_calls": [], "usage_metadata": None,
            "tool_call_chunks": [], "chunk_position": None, **fields}  # fmt: skip


def message(content: Any = "", **fields: Any) -> dict[str, Any]:
    whole = piece(content, **{"type": "ai", **fields})
    return {name: value for name, value in whole.items() if name not in ("tool_call_chunks", "chunk_position")}


def metadata(**said: Any) -> dict[str, Any]:
    return piece(response_metadata=said)


def call(index: Any = None, id: Any = None, name: Any = None, args: Any = None) -> dict[str, Any]:
    return {"name": name, "args": args, "id": id, "index": index, "type": "tool_call_chunk"}


def calls_in(*pieces: dict[str, Any]) -> dict[str, Any]:
    return piece(tool_call_chunks=[*pieces])


def tokens(given: int, made: int, **details: Any) -> dict[str, Any]:
    return {"input_tokens": given, "output_tokens": made, "total_tokens": given + made, **details}


LAST = piece(chunk_position="last")


def seen(answer: Answer) -> dict[str, Any]:
    names = ("model", "provider", "response_id", "service_tier", "finish_reasons", "end_mark", "refused",
             "content_filtered", "content_chunks")  # fmt: skip
    return {
        **{name: getattr(answer, name) for name in names},
        "texts": {choice: str(text) for choice, text in answer.texts.items()},
        "reasoning": str(answer.reasoning),
        "tools": [(tool.id, tool.name, str(tool.arguments)) for tool in answer.tool_calls.values()],
        "usage": None if answer.usage is None else langchain.read_usage(answer.usage),
    }


def read(*chunks: dict[str, Any]) -> Answer:
    """What is read of a stream's chunks: the same as dicts and as objects, those by the shorter way too."""
    one, other, third = Answer(), Answer(), Answer()
    reader = langchain.PROVIDER.chunk
    for chunk in chunks:
        langchain.read_chunk(one, chunk)
        langchain.read_chunk(other, objects(chunk))
        reader(third, objects(chunk))
        reader = langchain._quick(third, objects(chunk))
    assert seen(one) == seen(other) == seen(third)
    return one


def finish(response: Any) -> Answer:
    one, other = Answer(), Answer()
    langchain.read_response(one, response)
    langchain.read_response(other, objects(response))
    assert seen(one) == seen(other)
    return one


def test_a_stream() -> None:
    """Text, model, provider, reason, usage and the mark of the end, each from its own chunk."""
    said = {"finish_reason": "stop", "model_name": "gpt-4o-mini", "service_tier": "default"}
    made = read(piece(response_metadata={"model_provider": "openai"}), piece("Hello"), piece(" world"),
                metadata(**said), piece(usage_metadata=tokens(9, 2)), LAST)  # fmt: skip
    assert seen(made) == {
        "model": "gpt-4o-mini",
        "provider": "openai",
        "response_id": None,
        "service_tier": "default",
        "finish_reasons": {0: "stop"},
        "end_mark": True,
        "refused": False,
        "content_filtered": False,
        "content_chunks": 2,
        "texts": {0: "Hello world"},
        "reasoning": "",
        "tools": [],
        "usage": Usage(9, 2),
    }


def test_a_record(calls: Records) -> None:
    """The record has the provider that the chunks tell, with LangChain's name or without."""
    chunks = [
        piece("Hello", response_metadata={"model_provider": "anthropic", "model_name": "claude-haiku-4-5"}),
        piece(response_metadata={"stop_reason": "end_turn"}, usage_metadata=tokens(9, 2), chunk_position="last"),
    ]
    for options in ({}, {"provider": "langchain"}):
        calls.records.clear()
        assert list(llmlog.stream(iter(chunks), **options)) == chunks
        record = calls.one()
        assert (record["provider"], record["outcome"], record["finish_reason"]) == (
            "anthropic", "completed", "end_turn",
        )  # fmt: skip
        assert (record["input_tokens"], record["output_tokens"], record["usage_source"]) == (9, 2, "provider")


@pytest.mark.parametrize(
    ("content", "text", "reasoning"),
    [
        ("Hello", "Hello", ""),
        (["Hello", " world"], "Hello world", ""),
        ([{"type": "text", "text": "Hello", "index": 0}, {"type": "text", "citations": [], "index": 0}], "Hello", ""),
        ([{"type": "thinking", "thinking": "Well"}, {"type": "text", "text": "Hello"}], "Hello", "Well"),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "Well"}]}], "", "Well"),
        ([{"type": "reasoning", "reasoning": "Well", "extras": {}}], "", "Well"),
        ([{"type": "reasoning", "summary": [{"type": "summary_text", "text": "Well"}], "content": []}], "", "Well"),
        ([{"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Well"}]}], "", "Well"),
        ([{"type": "reasoning_content", "reasoning_content": {"text": "Well"}}], "", "Well"),
        ([{"type": "reasoning_content", "reasoning_content": {"signature": "c2ln"}}], "", ""),
        ([{"type": "redacted_thinking", "data": "xx"}, {"type": "input_json_delta", "partial_json": "{"}], "", ""),
        ([{"type": "server_tool_use", "name": "web_search"}, {"type": "image_url", "image_url": {}}, 5, None], "", ""),
    ],
)  # fmt: skip
def test_content(content: Any, text: str, reasoning: str) -> None:
    """What LangChain's own `.text` takes for text, and what its integrations have for reasoning."""
    made = read(piece(content))
    assert (str(made.texts[0]), str(made.reasoning)) == (text, reasoning)
    assert made.content_chunks == bool(text or reasoning)


@pytest.mark.parametrize(
    "more",
    [
        {"reasoning_content": "Well"}, {"thinking": {"text": "Well", "signature": "c2ln"}}, {"reasoning": "Well"},
        {"reasoning": {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Well"}]}},
    ],
)  # fmt: skip
def test_reasoning_beside_the_content(more: dict[str, Any]) -> None:
    """It is read once: what stands in the content too is not repeated."""
    assert str(read(piece(additional_kwargs=more)).reasoning) == "Well"
    both = piece([{"type": "reasoning", "reasoning": "Well"}], additional_kwargs=more)
    assert str(read(both).reasoning) == "Well"


@pytest.mark.parametrize(
    "fields",
    [
        {"content": "", "additional_kwargs": {"refusal": "No."}},
        {"content": [{"type": "refusal", "refusal": "No."}]},
        {"content": [{"type": "non_standard", "value": {"type": "refusal", "refusal": "No."}}]},
    ],
)
def test_a_refusal(fields: dict[str, Any]) -> None:
    """It is what the user sees."""
    made = read(piece(**fields))
    assert (str(made.texts[0]), made.refused, made.content_chunks) == ("No.", True, 1)


def test_speech() -> None:
    """The words of a spoken answer are its text."""
    made = finish(message(additional_kwargs={"audio": {"data": "UklG", "transcript": "Hello"}}))
    assert str(made.texts[0]) == "Hello"


def test_the_shorter_way() -> None:
    """What brings more than a piece of text is read as a whole."""
    said = {"model_provider": "openai"}
    made = read(piece("a", response_metadata=said), piece("b", response_metadata=said), piece("c"),
                piece("d", usage_metadata=tokens(9, 2)), piece("e", additional_kwargs={"reasoning_content": "Well"}),
                piece("f", response_metadata={"finish_reason": "stop"}), piece([{"type": "text", "text": "g"}]),
                piece("h", tool_call_chunks=[call(0, "a", "t")]), piece("i", chunk_position="last"))  # fmt: skip
    assert (str(made.texts[0]), made.content_chunks, made.end_mark) == ("abcdefghi", 9, True)
    assert (str(made.reasoning), made.finish_reasons, len(made.tool_calls)) == ("Well", {0: "stop"}, 1)


def test_tool_calls() -> None:
    """Pieces belong together by their index, unless another id comes with it."""
    made = read(calls_in(call(1, "a", "weather", "")), calls_in(call(1, args='{"city":'), call(2, "b", "time", "")),
                calls_in(call(1, args='"Oslo"}')), calls_in(call(2, "c", "date", '{"day":1}')), LAST)  # fmt: skip
    assert seen(made)["tools"] == [("a", "weather", '{"city":"Oslo"}'), ("b", "time", "{}"), ("c", "date", '{"day":1}')]
    assert made.content_chunks == 4


def test_tool_calls_without_an_index() -> None:
    """Each is a call of its own; what has neither id nor name goes on with the last one."""
    made = read(calls_in(call(None, "a", "weather", "{}"), call(None, "b", "weather", '{"a":')),
                calls_in(call(args="1}")), LAST)  # fmt: skip
    assert seen(made)["tools"] == [("a", "weather", "{}"), ("b", "weather", '{"a":1}')]


def test_a_repeated_name() -> None:
    """Servers that repeat it with each piece mean it once."""
    made = read(calls_in(call(0, "a", "time", "{")), calls_in(call(0, "a", "time", "}")))
    assert seen(made)["tools"] == [("a", "time", "{}")]


def test_a_function_call() -> None:
    """OpenAI's functions come beside the content, in pieces; beside pieces of tool calls they are the same again."""
    made = read(piece(additional_kwargs={"function_call": {"name": "time", "arguments": ""}}),
                piece(additional_kwargs={"function_call": {"name": "", "arguments": '{"a":1}'}}))  # fmt: skip
    assert seen(made)["tools"] == [(None, "time", '{"a":1}')]
    again = {"function_call": {"name": "time", "arguments": "{}"}}
    made = read(piece(additional_kwargs=again, tool_call_chunks=[call(0, "a", "time", "{}")]))
    assert len(made.tool_calls) == 1


def test_usage_is_added() -> None:
    """Counts of chunks are made to be added, with their details; a chunk without any takes none away."""
    read_4 = {"input_token_details": {"cache_read": 4, "cache_creation": 3}}
    made = read(piece(usage_metadata=tokens(17, 1, **read_4)), piece("Hello"), piece(usage_metadata=None),
                piece(usage_metadata=tokens(0, 4, output_token_details={"reasoning": 2})),
                piece(usage_metadata={"input_tokens": None, "output_tokens": -3}))  # fmt: skip
    assert seen(made)["usage"] == Usage(17, 5, 4, 3, 2)


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        (tokens(9, 2), Usage(9, 2)),
        (tokens(0, 0), Usage(0, 0)),
        (tokens(9, 2, input_token_details={"audio": 3}, output_token_details={"audio": 1}),
         Usage(9, 2, input_audio_tokens=3, output_audio_tokens=1)),
        (tokens(9, 2, input_token_details={"priority_cache_read": 4, "priority": 5},
                output_token_details={"priority_reasoning": 1, "priority": 1}), Usage(9, 2, 4, None, 1)),
        (tokens(9, 2, input_token_details={"cache_creation": 0, "ephemeral_5m_input_tokens": 3,
                                           "ephemeral_1h_input_tokens": 2}), Usage(9, 2, None, 5)),
        (tokens(9, 2, input_token_details={"cache_creation": 5, "ephemeral_5m_input_tokens": 5}),
         Usage(9, 2, None, 5)),
        ({"prompt_tokens": 9, "completion_tokens": 2}, Usage(9, 2)),
        ({"output_tokens": 2}, Usage(None, 2)),
        ({"input_tokens": None, "input_token_details": None}, None),
        ({}, None), (None, None), ("9", None), ({"input_tokens": True, "output_tokens": "2"}, None),
    ],
)  # fmt: skip
def test_usage(raw: Any, usage: Usage | None) -> None:
    """The details under the names of every integration: of service tiers, and by how long a cache lives."""
    assert langchain.read_usage(raw) == usage


@pytest.mark.parametrize(
    ("said", "provider"),
    [
        ("openai", "openai"), ("anthropic", "anthropic"), ("google_genai", "google"), ("google_vertexai", "google"),
        ("bedrock_converse", "bedrock"), ("mistralai", "mistral"), ("azure", "azure"), ("groq", "groq"),
        ("one_of_tomorrow", "one_of_tomorrow"), ("", None), (None, None), (5, None),
    ],
)  # fmt: skip
def test_the_provider(said: Any, provider: str | None) -> None:
    """By the names of the records; LangSmith's field says the same."""
    assert read(metadata(model_provider=said)).provider == provider
    assert read(metadata(ls_provider=said)).provider == provider


@pytest.mark.parametrize(
    ("said", "reason", "filtered", "refused"),
    [
        ({"finish_reason": "stop"}, "stop", False, False),
        ({"stop_reason": "end_turn", "stop_sequence": None}, "end_turn", False, False),
        ({"stop_reason": "refusal"}, "refusal", False, True),
        ({"stopReason": "guardrail_intervened"}, "guardrail_intervened", True, False),
        ({"finish_reason": "SAFETY"}, "SAFETY", True, False),
        ({"finish_reason": "content_filter"}, "content_filter", True, False),
        ({"done": True, "done_reason": "length"}, "length", False, False),
        ({"status": "completed"}, "completed", False, False),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "incomplete", True, False),
    ],
)
def test_reasons(said: dict[str, Any], reason: str, filtered: bool, refused: bool) -> None:
    """Each provider's own word, wherever its integration puts it."""
    made = read(piece("Hello"), metadata(**said))
    assert made.finish_reasons == {0: reason}
    assert (made.content_filtered, made.refused, made.finished()) == (filtered, refused, True)


def test_no_reason() -> None:
    """What has not ended, or says nothing that is known, has none."""
    for said in ({"status": "in_progress"}, {"finish_reason": None}, {"finish_reason": 1}, {"done": False}):
        made = read(piece("Hello"), metadata(**said))
        assert not made.finish_reasons
        assert not made.finished()


def test_ids() -> None:
    """LangChain's own ids are not the answer's."""
    for own in ("lc_run--1", "lc_1", "run--1", "run-1", None, 5):
        assert read(piece("Hello", id=own)).response_id is None
    assert read(piece("Hello", id="resp_1")).response_id == "resp_1"
    assert read(metadata(id="msg_1")).response_id == "msg_1"


@pytest.mark.parametrize(
    ("chunks", "outcome"),
    [
        ([piece("Hello"), LAST], "completed"),  # a model of the user's own, which tells nothing else
        ([piece("Hello", chunk_position="last")], "completed"),
        ([metadata(model_provider="openai"), piece("Hello"), LAST], "incomplete"),
        ([metadata(model_provider="openai"), piece("Hello"), piece(usage_metadata=tokens(9, 2)), LAST], "completed"),
        ([metadata(model_provider="openai"), piece("Hello"), metadata(finish_reason="stop")], "completed"),
        ([piece("Hello")], "incomplete"),
        ([message("Hello")], "completed"),  # a model that cannot stream
    ],
)
def test_the_end(calls: Records, chunks: list[Any], outcome: str) -> None:
    """LangChain marks the last chunk it has; whether the provider had ended, its integration tells."""
    list(llmlog.stream(iter(chunks)))
    assert calls.one()["outcome"] == outcome


def generation(**fields: Any) -> dict[str, Any]:
    return {"text": "", "generation_info": None, "type": "ChatGeneration", **fields}


def test_generations() -> None:
    """A chunk inside an integration has its reason beside the message; one of a plain LLM has its text."""
    made = read(
        generation(type="ChatGenerationChunk", message=piece("Hello")),
        generation(type="ChatGenerationChunk", message=piece(), generation_info={"finish_reason": "stop"}),
    )
    assert (str(made.texts[0]), made.finish_reasons) == ("Hello", {0: "stop"})  # fmt: skip
    made = read(generation(type="Generation", text="Hello"),
                generation(type="Generation", generation_info={"finish_reason": "stop"}))  # fmt: skip
    assert (str(made.texts[0]), made.finish_reasons) == ("Hello", {0: "stop"})


def test_a_whole_message() -> None:
    """Its calls of tools come whole, valid or not."""
    made = finish(message([{"type": "tool_use", "id": "a", "name": "time", "input": {"zone": "CET"}}], id="msg_1",
                          tool_calls=[{"name": "time", "args": {"zone": "CET"}, "id": "a", "type": "tool_call"}],
                          invalid_tool_calls=[{"name": "date", "args": "{", "id": "b", "error": None}],
                          usage_metadata=tokens(9, 2)))  # fmt: skip
    assert seen(made)["tools"] == [("a", "time", '{"zone": "CET"}'), ("b", "date", "{")]
    assert (made.end_mark, made.response_id, seen(made)["usage"]) == (True, "msg_1", Usage(9, 2))


def test_results() -> None:
    """Each choice tells the usage of all; those of several prompts are added."""

    def one(text: str) -> dict[str, Any]:
        return generation(
            message=message(text, usage_metadata=tokens(9, 4), response_metadata={"finish_reason": "stop"})
        )

    result: dict[str, Any] = {"generations": [one("a"), one("b")], "llm_output": {"model_name": "gpt-4o-mini"}}
    made = finish(result)
    assert seen(made)["texts"] == {0: "a", 1: "b"}
    assert (seen(made)["usage"], made.model, made.finish_reasons) == (
        Usage(9, 4),
        "gpt-4o-mini",
        {0: "stop", 1: "stop"},
    )
    several = {"generations": [[one("a"), one("b")], [one("c")]], "llm_output": None, "run": None, "type": "LLMResult"}
    made = finish(several)
    assert (seen(made)["texts"], seen(made)["usage"]) == ({0: "a", 1: "b", 2: "c"}, Usage(18, 8))


def test_a_result_of_a_plain_llm() -> None:
    """It has its usage in the provider's words, once."""
    output = {"token_usage": {"prompt_tokens": 9, "completion_tokens": 2}, "model_name": "gpt-3.5-turbo-instruct"}
    made = finish({"generations": [[generation(type="Generation", text="Hello")]], "llm_output": output})
    assert (str(made.texts[0]), seen(made)["usage"], made.model) == ("Hello", Usage(9, 2), "gpt-3.5-turbo-instruct")


def test_what_others_say() -> None:
    """Messages of people and tools in the same stream are no answer."""
    made = read(piece("Hello"), {**message("A question"), "type": "human"}, {**message("42"), "type": "tool"})
    assert str(made.texts[0]) == "Hello"


def test_what_is_its_own() -> None:
    """No other format takes its chunks, and it takes none of theirs."""
    result: dict[str, Any] = {"generations": [], "llm_output": None}
    chunk = generation(type="ChatGenerationChunk", message=piece())
    own = [piece(), message(), chunk, generation(message=message()), generation(type="Generation"), result]
    for value in own:
        for form in (value, objects(value)):
            assert [one.name for one in providers.FORMATS if one.matches(form)] == ["langchain"]
    others: list[Any] = [{"type": "human", "content": ""}, {"type": []}, {"generations": []}, {"type": "ai"}, "ai"]
    for other in others:
        assert not langchain.PROVIDER.matches(other)


NAMES = [*piece(), "message", "generations", "llm_output", "generation_info"]
INNER = ["type", "text", "thinking", "summary", "input_tokens", "input_token_details", "cache_read", "index", "args",
         "name", "id", "token_usage", "status", "model_provider", "incomplete_details", "arguments"]  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*NAMES, *INNER]), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(NAMES), ANYTHING),
    st.sampled_from(["AIMessageChunk", "ai", "ChatGenerationChunk", "Generation"]),
)
def test_anything(fields: dict[str, Any], kind: str) -> None:
    """Whatever is in the fields, reading does not raise, and what was read is a usage or none."""
    made = Answer()
    for chunk in (piece("Hello"), {**fields, "type": kind}, fields):
        langchain.read_chunk(made, chunk)
        langchain.read_response(made, chunk)
    assert made.usage is None or isinstance(langchain.read_usage(made.usage), Usage | None)
    assert str(made.texts[0]).startswith("HelloHello")
