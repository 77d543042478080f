"""Counting tokens, offline."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from gzip import decompress
from importlib import resources
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from llmlog import declarations, encodings, settings
from llmlog.exceptions import UsageTypeError
from llmlog.tokens import TokenCount, count_text, count_tokens

HELLO = [{"role": "user", "content": "Hello there"}]
WEATHER = {
    "name": "get_weather",
    "description": "The weather of today.",
    "parameters": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Where"},
            "unit": {"enum": ["c", "f"]},
            "days": {"type": "array", "items": {"type": "integer"}},
            "when": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
            "place": {"type": "object", "properties": {"lat": {"type": "number"}}},
        },
        "required": ["city"],
    },
}


def run(code: str, **environment: str) -> str:
    """What `code` prints in a new interpreter."""
    path = os.pathsep.join(each for each in sys.path if each)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class TestTokenCount:
    def test_is_an_int_that_says_how_it_was_found(self) -> None:
        """It adds, formats and serialises as the int it is."""
        count = TokenCount(12, exact=True, encoding="o200k_base")
        assert (count + 1, f"{count}", json.dumps(count), hash(count)) == (13, "12", "12", hash(12))
        assert repr(count) == "TokenCount(12, exact=True, encoding='o200k_base')"

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_survives_pickle_and_copy(self, protocol: int) -> None:
        """Every protocol brings back the number and what it knows."""
        count = TokenCount(12, exact=False, encoding="cl100k_base")
        for again in (pickle.loads(pickle.dumps(count, protocol)), copy.deepcopy(count)):
            assert (type(again), again, again.exact, again.encoding) == (TokenCount, 12, False, "cl100k_base")

    def test_cannot_be_changed(self) -> None:
        """Assigning and deleting are refused."""
        count = TokenCount(12, exact=True, encoding="o200k_base")
        with pytest.raises(AttributeError, match="exact"):
            count.exact = False
        with pytest.raises(AttributeError, match="exact"):
            del count.exact


class TestText:
    @pytest.mark.parametrize(
        ("text", "model", "count"),
        [
            ("", "gpt-4o", 0),
            ("hello world", "gpt-4o", 2),
            ("hello world", "gpt-4", 2),
            ("antidisestablishmentarianism", "gpt-4o", 6),
            ("antidisestablishmentarianism", "gpt-4", 6),
            ("お誕生日おめでとう", "gpt-4o", 8),
            ("お誕生日おめでとう", "gpt-4", 9),
        ],
    )
    def test_is_counted_with_the_models_own_encoding(self, text: str, model: str, count: int) -> None:
        """Words whose counts in the two encodings are publicly known."""
        assert count_tokens(text, model) == count_text(text, model) == count
        assert count_text(text, model).exact

    @pytest.mark.parametrize(
        ("model", "encoding", "exact"),
        [
            ("gpt-4o-mini-2024-07-18", "o200k_base", True),
            ("openai/gpt-4.1", "o200k_base", True),
            ("ft:gpt-4o-mini:org::id", "o200k_base", True),
            ("gpt-5.4-2026-03-05", "o200k_base", True),
            ("o3-mini", "o200k_base", True),
            ("GPT-4-Turbo", "cl100k_base", True),
            ("ft:gpt-3.5-turbo-0613:x::y", "cl100k_base", True),
            ("gpt-35-turbo", "cl100k_base", True),
            ("text-embedding-3-small", "cl100k_base", True),
            ("text-davinci-003", "cl100k_base", False),
            ("claude-sonnet-4-5", "o200k_base", False),
            ("us.anthropic.claude-haiku-4-5-v1:0", "o200k_base", False),
            ("gemini-2.5-flash", "o200k_base", False),
            ("my-deployment", "o200k_base", False),
            ("", "o200k_base", False),
            (None, "o200k_base", False),
        ],
    )
    def test_says_which_encoding_and_whether_it_is_the_models_own(
        self, model: str | None, encoding: str, exact: bool
    ) -> None:
        """Only a model whose encoding is known has an exact count; all others have the nearest."""
        count = count_tokens("some text", model)
        assert (count.encoding, count.exact) == (encoding, exact)

    def test_of_another_family_is_an_estimate_with_its_factor(self) -> None:
        """Claude's tokens are smaller than OpenAI's, and the newest ones' smaller still."""
        text = "The quick brown fox jumps over the lazy dog. " * 20
        older, newer = count_text(text, "claude-haiku-4-5"), count_text(text, "claude-opus-4-8")
        assert count_text(text, "gpt-4o") < older < newer

    @pytest.mark.parametrize(
        ("written", "plain"),
        [
            ("anthropic/claude-opus-4.8", "claude-opus-4-8"),
            ("anthropic/claude-4.8-opus-20260601", "claude-opus-4-8"),
            ("us.anthropic.claude-opus-4-8-v1:0", "claude-opus-4-8"),
            ("anthropic/claude-5-sonnet-20260601", "claude-sonnet-5"),
            ("anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
            ("anthropic/claude-4.6-sonnet-20260217", "claude-sonnet-4-6"),
            ("anthropic/claude-3.5-haiku", "claude-3-5-haiku-20241022"),
            ("anthropic/claude-sonnet-4", "claude-sonnet-4-20250514"),
            ("anthropic/claude-4-sonnet-20250522", "claude-sonnet-4-20250514"),
            ("global.openai.gpt-5.6-luna", "gpt-5.6-luna"),
            ("openai.gpt-oss-20b-1:0", "gpt-oss-20b"),
            ("ft:gpt-4o-mini-2024-07-18:acme::a", "gpt-4o-mini"),
            ("pixtral-large-latest", "mistral-large-latest"),
        ],
    )
    def test_knows_the_names_that_gateways_and_clouds_have(self, written: str, plain: str) -> None:
        """4.8 is 4-8, in front of the kind or behind it; a region is no name: what is known of the model holds."""
        assert encodings.family_of(written, {}) == encodings.family_of(plain, {})

    def test_of_a_reasoning_models_answer_has_a_few_tokens_more(self) -> None:
        """What the usage of an answer has beyond its text is added on demand, and is an estimate."""
        assert count_text("hi", "gpt-5-mini", answer=True) == count_text("hi", "gpt-5-mini") + 9
        assert not count_text("hi", "gpt-5-mini", answer=True).exact
        assert count_text("hi", "gpt-4o", answer=True).exact

    def test_of_an_answer_in_words_where_tools_were_offered_has_one_more(self) -> None:
        """With OpenAI's models; of the text alone it is none."""
        more = count_text("hi", "gpt-4o", answer=True, with_tools=True)
        assert (more, more.exact) == (count_text("hi", "gpt-4o") + 1, False)
        assert count_text("hi", "gpt-4o", with_tools=True) == count_text("hi", "gpt-4o")

    def test_of_a_deployment_is_its_models(self) -> None:
        """Azure's deployment name stands for the model that the user's map gives."""
        count = count_tokens("hi", "mine", deployments={"mine": "gpt-4"})
        assert (count.encoding, count.exact) == ("cl100k_base", True)

    def test_of_a_configured_deployment_is_its_models(self) -> None:
        """Without a map of its own, a count uses the one that was configured."""
        settings.change(deployments={"mine": "gpt-4"})
        assert count_text("hi", "mine").encoding == "cl100k_base"

    @pytest.mark.parametrize("text", ["<|endoftext|>", "a <|endofprompt|> b", "\ud800 x", "a\udfff", "\0", "\x1c"])
    def test_may_hold_anything(self, text: str) -> None:
        """Special tokens are text like any other, and half a surrogate pair is a character."""
        assert count_tokens(text, "gpt-4o") > 0
        assert count_tokens([{"role": "user", "content": text}], "gpt-4o") > 0


class TestLongRuns:
    @pytest.mark.parametrize(
        "unit",
        ["a", "A", " ", "\n", "漢", "7", "!", "_", "/\n", "\x1c", "a\u0301", "ab/", "😀!", "0x", "가나"],
    )
    def test_take_linear_time(self, unit: str) -> None:
        """A megabyte of one character, which takes tiktoken alone minutes, is counted in under a second."""
        text = unit * (1_000_000 // len(unit.encode()))
        count_text("", "gpt-4o")
        start = time.process_time()
        count = count_text(text, "gpt-4o")
        assert time.process_time() - start < 1.0
        assert 0 < count <= len(text.encode())

    def test_mixed_are_all_cut(self) -> None:
        """A run of one kind that goes over into a run of another hides neither."""
        text = "😀" * 300 + "!" * 200_000 + " " * 200_000 + "/" * 200_000 + "é" * 200_000
        count_text("", "gpt-4o")
        start = time.process_time()
        assert not count_text(text, "gpt-4o").exact
        assert time.process_time() - start < 2.0

    def test_cost_a_run_no_more_than_a_token_for_each_cut(self) -> None:
        """What is cut is counted as in one piece but for a token or so at each edge, and not called exact."""
        text = "x" + "-" * 3000 + "x"
        whole = len(encodings._encoder("o200k_base").encode_ordinary(text))
        count = count_text(text, "gpt-4o")
        assert abs(count - whole) <= 2 * (3000 // encodings._RUN)
        assert not count.exact

    @pytest.mark.parametrize("encoding", ["o200k_base", "cl100k_base"])
    def test_are_not_in_ordinary_text(self, encoding: str) -> None:
        """Prose, code, tables, URLs, Chinese without spaces and base64 are counted in one piece."""
        text = "\n".join(
            (
                "It was the best of times, it was the worst of times. " * 30,
                "def f(x):\n" + "        return x  # " + "-" * 80 + "\n" * 20,
                "| a | b |\n|---|---|\n" * 40,
                "https://example.com/" + "path-of-things/" * 40 + "?q=1",
                "今天天气很好，我们去公园散步。" * 60,
                "TWFuIGlzIGRpc3Rpbmd1aXNoZWQsIG5vdCBvbmx5IGJ5IGhpcyByZWFzb24sIGJ1dCBieSB0" * 20,
                "9" * 2000,
            )
        )
        model = {"o200k_base": "gpt-4o", "cl100k_base": "gpt-4"}[encoding]
        count = count_text(text, model)
        assert (count, count.exact) == (len(encodings._encoder(encoding).encode_ordinary(text)), True)


class TestChat:
    def test_adds_what_stands_around_the_messages(self) -> None:
        """Three tokens for each message and three for the answer, beside role and content."""
        count = count_tokens([{"role": "system", "content": "Be brief"}, *HELLO], "gpt-4o")
        assert (count, count.exact) == (3 + (3 + 1 + 2) + (3 + 1 + 2), True)

    def test_of_a_reasoning_model_has_one_less(self) -> None:
        """As recorded with the o-series and GPT-5."""
        assert count_tokens(HELLO, "gpt-5") == count_tokens(HELLO, "o3-mini") == count_tokens(HELLO, "gpt-4o") - 1

    def test_with_a_name_costs_the_name_and_one(self) -> None:
        """A name that only repeats the role is not sent twice."""
        named = count_tokens([{**HELLO[0], "name": "alice"}], "gpt-4o")
        assert named == count_tokens(HELLO, "gpt-4o") + 1 + count_text("alice", "gpt-4o")
        assert count_tokens([{**HELLO[0], "name": "user"}], "gpt-4o") == count_tokens(HELLO, "gpt-4o") + 1
        assert not named.exact

    def test_may_have_its_text_in_parts(self) -> None:
        """Text parts count as the text they make, in the words of either API."""
        for kind in ("text", "input_text"):
            parts = [{"type": kind, "text": "Hello"}, {"type": kind, "text": " there"}]
            assert count_tokens([{"role": "user", "content": parts}], "gpt-4o") == count_tokens(HELLO, "gpt-4o")

    def test_may_be_objects(self) -> None:
        """An SDK's objects are read by their attributes."""
        call = SimpleNamespace(id="1", type="function", function=SimpleNamespace(name="f", arguments='{"a": 1}'))
        made = SimpleNamespace(role="assistant", content=None, refusal=None, tool_calls=[call])
        plain = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"function": {"name": "f", "arguments": '{"a": 1}'}}],
        }
        assert count_tokens([made], "gpt-4o") == count_tokens([plain], "gpt-4o") > 10
        assert count_tokens(made, "gpt-4o") == count_tokens([made], "gpt-4o")
        assert not count_tokens([made], "gpt-4o").exact

    def test_has_a_channel_around_an_earlier_answer_of_gpt_5(self) -> None:
        """Two tokens more for each that is in words, as the usage of recorded requests has them."""
        answered = [*HELLO, {"role": "assistant", "content": "Hi"}, *HELLO, {"role": "assistant", "content": None}]
        for model, more in (("gpt-5.4", 2), ("gpt-5-mini", 2), ("o3-mini", 0)):
            assert count_tokens(answered, model) == count_tokens(answered, "gpt-4o") - 1 + more
            assert count_tokens(answered, model).exact

    def test_counts_a_responses_history(self) -> None:
        """Calls and their outputs are items of their own in the Responses API."""
        items = [
            {"role": "user", "content": "Weather?"},
            {"type": "reasoning", "summary": [], "encrypted_content": "x" * 5000},
            {"type": "function_call", "name": "get_weather", "arguments": '{"city": "Rome"}', "call_id": "c"},
            {"type": "function_call_output", "call_id": "c", "output": "sunny"},
        ]
        assert 25 < count_tokens(items, "gpt-4o") < 50

    @pytest.mark.parametrize(
        "message",
        [
            {
                "role": "user",
                "content": [{"type": "tool_result", "content": [{"type": "text", "text": "sunny day"}]}],
            },
            {"role": "assistant", "content": [{"type": "tool_use", "name": "f", "input": {"city": "Rome"}}]},
            {"role": "user", "parts": [{"text": "Hello there"}]},
            {"role": "user", "content": [{"text": "Hello there"}]},
            {"role": "assistant", "content": None, "refusal": "I will not"},
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        ],
    )
    def test_reads_the_shapes_of_other_providers(self, message: dict[str, Any]) -> None:
        """Content blocks of Anthropic, Gemini and Bedrock have their text counted too."""
        assert count_tokens([message], "claude-sonnet-4-5") > count_tokens([{"role": "user"}], "claude-sonnet-4-5")

    def test_does_not_count_the_bytes_of_an_image(self) -> None:
        """An image is some hundreds of tokens, however long its data."""
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
        low = {"type": "image_url", "image_url": {"url": "x", "detail": "low"}}
        assert 500 < count_tokens([{"role": "user", "content": [image]}], "gpt-4o") < 1500
        assert count_tokens([{"role": "user", "content": [low]}], "gpt-4o") < 150

    def test_of_nothing_is_nothing(self) -> None:
        """No messages, no tokens."""
        assert count_tokens([], "gpt-4o") == 0

    def test_passes_over_what_it_cannot_read(self) -> None:
        """Odd messages, contents, calls and attributes count as far as they can, and never raise."""

        class Broken:
            def __getattr__(self, name: str) -> Any:
                raise RuntimeError(name)

        loop: list[Any] = []
        loop.append(loop)
        nested: dict[str, Any] = {}
        nested["content"] = nested
        for odd in (
            None,
            5,
            1.5,
            object(),
            Broken(),
            loop,
            nested,
            {1: 2},
            b"x",
            {"role": 5, "content": {5}},
        ):
            for message in (odd, {"role": "user", "content": odd}, {"role": "user", "content": [odd]}):
                assert count_tokens([*HELLO, message], "gpt-4o") >= 8
            for calls in (odd, [odd], [{"function": odd}], [{"function": {"name": odd, "arguments": odd}}]):
                assert count_tokens([*HELLO, {"role": "assistant", "tool_calls": calls}], "gpt-4o") >= 8
            for tool in (
                odd,
                {"function": odd},
                {**WEATHER, "parameters": odd},
                {**WEATHER, "description": odd},
            ):
                for model in ("gpt-4o", "claude-sonnet-4-5"):
                    assert count_tokens(HELLO, model, tools=[tool]) >= 8


class TestEmbeddings:
    def test_are_the_sum_of_their_texts(self) -> None:
        """A list of texts has nothing around them; token ids are counted as they are."""
        model = "text-embedding-3-small"
        both = count_tokens(["hello world", "hello"], model)
        assert (both, both.exact) == (3, True)
        assert count_tokens([8134, 2308], model) == count_tokens([[8134], [2308]], model) == 2


class TestTools:
    def test_cost_what_the_model_reads_of_them(self) -> None:
        """A definition is counted as a declaration, not as its JSON; the count is an estimate."""
        count = count_tokens(HELLO, "gpt-4o", tools=[{"type": "function", "function": WEATHER}])
        assert 40 < count - count_tokens(HELLO, "gpt-4o") < len(json.dumps(WEATHER)) // 3
        assert not count.exact

    def test_are_read_as_typescript(self) -> None:
        """Types, comments, optional fields, defaults and nested objects."""
        assert declarations.namespace([WEATHER, {"name": "now"}]).splitlines() == [
            "namespace functions {",
            "",
            "// The weather of today.",
            "type get_weather = (_: {",
            "// Where",
            "city: string,",
            'unit?: "c" | "f",',
            "days?: number[],",
            "when?: string | null, // default: null",
            "place?: {",
            "lat?: number,",
            "},",
            "}) => any;",
            "",
            "type now = () => any;",
            "",
            "} // namespace functions",
        ]

    def test_may_be_bare_or_in_the_shape_of_another_api(self) -> None:
        """Responses' flat form, Anthropic's input_schema, and an SDK's objects; a hosted tool has none."""
        flat = {"type": "function", **WEATHER}
        anthropic = {"name": "w", "input_schema": WEATHER["parameters"]}
        dumped = SimpleNamespace(model_dump=lambda: flat)
        bare = count_tokens(HELLO, "gpt-4o")
        assert count_tokens(HELLO, "gpt-4o", tools=[flat]) == count_tokens(HELLO, "gpt-4o", tools=[dumped]) > bare
        assert count_tokens(HELLO, "claude-sonnet-4-5", tools=[anthropic]) > 400
        assert count_tokens(HELLO, "gpt-4o", tools=[{"type": "web_search"}]) == bare

    def test_that_are_no_schema_are_counted_as_what_they_are(self) -> None:
        """One definition that cannot be read as a type does not take the others out of the count."""
        odd = {"name": "odd", "parameters": {"type": "object", "properties": {"a": {"enum": 5}}}}
        assert count_tokens(HELLO, "gpt-4o", tools=[WEATHER, odd]) > count_tokens(HELLO, "gpt-4o", tools=[WEATHER])


SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "size": {"type": "object", "properties": {}, "additionalProperties": False},
    },
    "required": ["city"],
    "additionalProperties": False,
}


class TestFormats:
    def test_cost_their_schema(self) -> None:
        """As compact JSON, without what a strict schema says everywhere; in the words of either API."""
        plain = {**SCHEMA, "properties": {"city": {"type": "string"}, "size": {"type": "object", "properties": {}}}}
        del plain["additionalProperties"]
        written = count_text(json.dumps(plain, separators=(",", ":")), "gpt-4o")
        for asked in (
            {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}},
            {"type": "json_schema", "name": "place", "schema": SCHEMA},
        ):
            count = count_tokens(HELLO, "gpt-4o", response_format=asked)
            assert (count - count_tokens(HELLO, "gpt-4o"), count.exact) == (written + 2, False)

    @pytest.mark.parametrize(
        "asked", [None, {"type": "text"}, {"type": "json_object"}, {"type": "json_schema"}, str, 5, {"schema": SCHEMA}]
    )
    def test_without_a_schema_cost_nothing(self, asked: Any) -> None:
        """Plain text, any JSON, and what is no format."""
        assert count_tokens(HELLO, "gpt-4o", response_format=asked) == count_tokens(HELLO, "gpt-4o")

    def test_may_hold_themselves(self) -> None:
        """A schema that no JSON can be made of is passed over."""
        schema: dict[str, Any] = {}
        schema["properties"] = schema
        asked = {"type": "json_schema", "schema": schema}
        assert count_tokens(HELLO, "gpt-4o", response_format=asked) >= count_tokens(HELLO, "gpt-4o")


class TestRequests:
    TOOL: ClassVar[dict[str, Any]] = {"type": "function", "function": WEATHER}
    SYSTEM: ClassVar[dict[str, Any]] = {"role": "system", "content": "Be brief"}

    @pytest.mark.parametrize(
        "request_",
        [
            {"model": "x", "messages": [SYSTEM, *HELLO], "tools": [TOOL]},
            {"model": "x", "system": "Be brief", "messages": HELLO, "tools": [TOOL]},
            {"model": "x", "system": [{"type": "text", "text": "Be brief"}], "messages": HELLO, "tools": [TOOL]},
            {"instructions": "Be brief", "input": HELLO, "tools": [TOOL]},
            {"instructions": "Be brief", "input": "Hello there", "tools": [TOOL]},
            {"systemInstruction": {"parts": [{"text": "Be brief"}]}, "contents": "Hello there", "tools": [TOOL]},
            {"generateContentRequest": {"systemInstruction": "Be brief", "contents": HELLO, "tools": [TOOL]}},
            {"input": {"converse": {"system": [{"text": "Be brief"}], "messages": HELLO, "tools": [TOOL]}}},
        ],
    )
    def test_are_counted_as_a_whole(self, request_: dict[str, Any]) -> None:
        """With the instructions, the tools and the format that are inside, in the words of each API."""
        assert count_tokens(request_, "gpt-4o") == count_tokens([self.SYSTEM, *HELLO], "gpt-4o", tools=[self.TOOL])

    @pytest.mark.parametrize(
        "request_",
        [{"prompt": "some text"}, {"prompt": ["some", " text"]}, {"prompt": [14689, 1495]}, {"input": "some text"}],
    )
    def test_of_models_without_chats_are_their_text(self, request_: dict[str, Any]) -> None:
        """A completion's prompt, an embedding's input: with nothing around it."""
        for model in ("davinci-002", "text-embedding-3-small"):
            count = count_tokens({"model": model, **request_}, model)
            assert (count, count.exact) == (2, True)

    def test_of_a_prompt_may_have_instructions(self) -> None:
        """As Ollama takes them."""
        expected = count_tokens([self.SYSTEM, *HELLO], "llama3")
        assert count_tokens({"prompt": "Hello there", "system": "Be brief"}, "llama3") == expected

    @pytest.mark.parametrize(
        "more", [{"previous_response_id": "resp_1"}, {"conversation": "conv_1"}, {"prompt": {"id": "pmpt_1"}}]
    )
    def test_that_name_what_is_elsewhere_are_estimates(self, more: dict[str, Any]) -> None:
        """The model reads more than the request has in it."""
        assert count_tokens({"input": HELLO}, "gpt-4o").exact
        assert not count_tokens({"input": HELLO, **more}, "gpt-4o").exact

    def test_have_their_format_in_them(self) -> None:
        """Chat's `response_format`, and Responses' `text.format`."""
        asked = {"type": "json_schema", "schema": SCHEMA}
        expected = count_tokens(HELLO, "gpt-4o", response_format=asked)
        assert count_tokens({"messages": HELLO, "response_format": asked}, "gpt-4o") == expected
        assert count_tokens({"input": HELLO, "text": {"format": asked}}, "gpt-4o") == expected
        assert count_tokens({"messages": HELLO, "output_config": {"format": asked}}, "gpt-4o") == expected
        assert count_tokens({"messages": HELLO, "output_format": asked}, "gpt-4o") == expected
        for name in ("responseSchema", "responseJsonSchema"):
            assert count_tokens({"contents": HELLO, "generationConfig": {name: SCHEMA}}, "gpt-4o") == expected

    def test_may_have_a_schema_that_a_class_stands_for(self) -> None:
        """A class of pydantic's, as Google's SDK takes one, is what it makes of itself."""

        class Place:
            @staticmethod
            def model_json_schema() -> dict[str, Any]:
                return SCHEMA

        asked = {"type": "json_schema", "schema": SCHEMA}
        expected = count_tokens(HELLO, "gpt-4o", response_format=asked)
        assert count_tokens(HELLO, "gpt-4o", response_format={**asked, "schema": Place}) == expected
        assert count_tokens(HELLO, "gpt-4o", response_format={**asked, "schema": int}) == count_tokens(HELLO, "gpt-4o")

    def test_may_be_instructions_alone(self) -> None:
        """Of a prompt that the provider keeps, the rest is not here."""
        assert count_tokens({"instructions": "Be brief"}, "gpt-4o") == count_tokens([self.SYSTEM], "gpt-4o")

    @pytest.mark.parametrize("part", [{"text": "Hello there"}, SimpleNamespace(text="Hello there", role=None)])
    def test_may_have_parts_without_a_message(self, part: Any) -> None:
        """Google's contents may be parts, or texts: together they are one message."""
        assert count_tokens([part], "gemini-2.5-flash") == count_tokens(["Hello there"], "gemini-2.5-flash") > 0

    @pytest.mark.parametrize("name", ["functionDeclarations", "function_declarations"])
    def test_may_have_googles_tools(self, name: str) -> None:
        """As they are on the wire, and in the words of its SDK."""
        declared = count_tokens(HELLO, "gemini-2.5-flash", tools=[{name: [WEATHER, WEATHER]}])
        assert declared == count_tokens(HELLO, "gemini-2.5-flash", tools=[WEATHER, WEATHER])

    @pytest.mark.parametrize(
        "odd", [{"messages": None}, {"input": 5}, {"messages": HELLO, "tools": 5}, {"contents": {}}]
    )
    def test_may_be_odd(self, odd: dict[str, Any]) -> None:
        """What cannot be read is passed over."""
        assert count_tokens(odd, "gpt-4o") >= 0

    def test_of_gemini_have_no_words_for_roles(self) -> None:
        """Only the text counts, and the declarations of tools as compact JSON."""
        asked = {"contents": [{"role": "user", "parts": [{"text": "Hello there"}]}]}
        assert count_tokens(asked, "gemini-2.5-flash") == count_text("Hello there", "gemini-2.5-flash")
        tools = [{"functionDeclarations": [WEATHER]}, {"googleSearch": {}}]
        more = count_tokens({**asked, "tools": tools}, "gemini-2.5-flash") - count_tokens(asked, "gemini-2.5-flash")
        assert abs(more - count_text(json.dumps([WEATHER], separators=(",", ":")), "gemini-2.5-flash")) <= 1

    def test_count_what_earlier_calls_held(self) -> None:
        """The arguments of a call and what it gave, in Google's and in Bedrock's words."""
        for parts in (
            [{"functionCall": {"name": "get_weather", "args": {"city": "Rome"}}}],
            [{"functionResponse": {"name": "get_weather", "response": {"sky": "cloudy as ever"}}}],
            [{"toolUse": {"name": "get_weather", "input": {"city": "Rome"}}}],
            [{"toolResult": {"content": [{"json": {"sky": "cloudy as ever"}}]}}],
        ):
            empty = count_tokens([{"role": "user", "parts": []}], "gemini-2.5-flash")
            assert count_tokens([{"role": "user", "parts": parts}], "gemini-2.5-flash") >= empty + 5


class TestWrongUse:
    @pytest.mark.parametrize(
        ("content", "model", "options", "shown"),
        [
            (5, "gpt-4o", {}, "5"),
            (None, "gpt-4o", {}, "None"),
            (b"x", "gpt-4o", {}, "b'x'"),
            (iter(()), "gpt-4o", {}, "iterator"),
            ("x", 5, {}, "5"),
            ("x", b"gpt-4o", {}, "b'gpt-4o'"),
            ("x", "gpt-4o", {"tools": "x"}, "'x'"),
            ("x", "gpt-4o", {"tools": {"name": "f"}}, "{'name': 'f'}"),
            ("x", "gpt-4o", {"deployments": ["mine"]}, "['mine']"),
            ("x", "mine", {"deployments": {"mine": 5}}, "5"),
        ],
    )
    def test_is_refused_with_the_value(self, content: Any, model: Any, options: Any, shown: str) -> None:
        """A value of a wrong type is named in a TypeError, at the call."""
        with pytest.raises(UsageTypeError) as error:
            count_tokens(content, model, **options)
        assert shown in str(error.value)


class TestEncodings:
    @pytest.mark.parametrize(
        ("name", "digest"),
        [
            ("cl100k_base", "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"),
            ("o200k_base", "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"),
        ],
    )
    def test_have_the_public_tables(self, name: str, digest: str) -> None:
        """The tables in the package are those whose digests tiktoken states."""
        packed = resources.files("llmlog").joinpath(f"data/{name}.tiktoken.gz").read_bytes()
        assert hashlib.sha256(decompress(packed)).hexdigest() == digest

    def test_need_no_network_and_no_cache(self, tmp_path: Any) -> None:
        """Without sockets, and with a cache folder that is and stays empty, a fresh process can count."""
        code = (
            "import socket\n"
            "def refuse(*_, **__): raise AssertionError('a socket was opened')\n"
            "socket.socket.__init__ = socket.create_connection = socket.getaddrinfo = refuse\n"
            "from llmlog.tokens import count_tokens\n"
            "print(int(count_tokens('hello world', 'gpt-4o')), int(count_tokens('hello world', 'gpt-4')))"
        )
        assert run(code, TIKTOKEN_CACHE_DIR=str(tmp_path)) == "2 2"
        assert not list(tmp_path.iterdir())

    def test_are_not_loaded_by_the_import(self) -> None:
        """tiktoken is imported at the first count."""
        assert run("import sys, llmlog.tokens; print('tiktoken' in sys.modules)") == "False"

    def test_are_loaded_once_by_threads_that_come_together(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever comes while the table is being read waits for it."""
        loaded: list[str] = []
        entered = threading.Event()
        ranks = encodings._ranks

        def slow(name: str) -> dict[bytes, int]:
            loaded.append(name)
            entered.set()
            return ranks(name)

        monkeypatch.setattr(encodings, "_encoders", {})
        monkeypatch.setattr(encodings, "_ranks", slow)
        counts: list[int] = []
        threads = [threading.Thread(target=lambda: counts.append(count_text("hello", "gpt-4"))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert entered.is_set()
        assert (loaded, counts) == (["cl100k_base"], [1, 1, 1, 1])

    def test_load_in_a_child_forked_while_another_thread_loads(self) -> None:
        """The lock of a thread that does not exist in the child is not waited for."""
        if not hasattr(os, "fork"):
            pytest.skip("no fork here")
        code = (
            "import os, threading, warnings; warnings.simplefilter('ignore')\n"
            "from llmlog import encodings, tokens\n"
            "held, done = threading.Event(), threading.Event()\n"
            "def hold():\n"
            "    with encodings._lock: held.set(); done.wait(60)\n"
            "thread = threading.Thread(target=hold); thread.start(); held.wait()\n"
            "child = os.fork()\n"
            "if not child: os._exit(int(tokens.count_text('hello world', 'gpt-4')))\n"
            "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])); done.set(); thread.join()"
        )
        assert run(code) == "2"
