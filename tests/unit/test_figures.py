"""Tokens and cost of calls that did not bring the provider's own usage: of aborted ones above all."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest
from conftest import Records, chunk, usage_chunk

import llmlog
from llmlog.tokens import count_text, count_tokens
from llmlog.usage import Usage

QUESTION = [{"role": "system", "content": "You are brief."}, {"role": "user", "content": "How deep is the sea?"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_depth",
            "description": "The depth at a place.",
            "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
        },
    }
]
PIECES = ["The sea is ", "some four kilometres ", "deep, on average, ", "and eleven at most."]


def left_after(number: int, chunks: list[dict[str, Any]], **options: Any) -> None:
    """A stream whose consumer breaks off after so many chunks."""
    stream = llmlog.stream(chunks, provider="openai", model="gpt-4o-mini", **options)
    for place, _ in enumerate(stream, 1):
        if place == number:
            break
    stream.close()


def delta(call: dict[str, Any], index: int = 0) -> dict[str, Any]:
    """A chunk with a piece of a tool call."""
    return chunk(tool_calls=[{"index": index, **call}])


class TestCompleted:
    def test_without_usage_is_counted_as_the_provider_would(self, calls: Records) -> None:
        """Tools were offered and the model answered in words: that is one token more."""
        for tools in (None, TOOLS):
            chunks = [chunk("Four kilometres."), chunk(finish="stop")]
            list(llmlog.stream(chunks, provider="openai", model="gpt-4o-mini", input=QUESTION, tools=tools))
        plain, offered = calls.all()
        assert plain["output_tokens"] == count_text("Four kilometres.", "gpt-4o-mini") == offered["output_tokens"] - 1
        assert {plain["usage_source"], offered["usage_source"]} == {"estimated"}


class TestAborted:
    def test_counts_what_was_sent_and_what_was_delivered(self, calls: Records) -> None:
        """The messages and tools that were sent, the text that came, and a cost from both."""
        left_after(2, [chunk(piece) for piece in PIECES], input=QUESTION, tools=TOOLS)
        record = calls.one()
        assert (record["outcome"], record["usage_source"]) == ("aborted", "estimated")
        assert record["input_tokens"] == count_tokens(QUESTION, "gpt-4o-mini", tools=TOOLS)
        assert record["output_tokens"] == count_text("".join(PIECES[:2]), "gpt-4o-mini")
        expected = llmlog.cost(Usage(record["input_tokens"], record["output_tokens"]), "gpt-4o-mini")
        assert record["cost_usd"] == float(expected or 0) > 0
        assert "cost_partial" not in record

    def test_counts_the_arguments_of_tools(self, calls: Records) -> None:
        """A call that was half sent: its name, what came of its arguments, and what stands around a call."""
        chunks = [
            delta({"id": "c1", "function": {"name": "get_depth", "arguments": ""}}),
            delta({"function": {"arguments": '{"place": "Mari'}}),
            delta({"function": {"arguments": 'ana Trench"}'}}),
        ]
        left_after(2, chunks, input=QUESTION, tools=TOOLS)
        record = calls.one()
        expected = count_text("get_depth", "gpt-4o-mini") + count_text('{"place": "Mari', "gpt-4o-mini") + 7
        assert (record["output_tokens"], record["usage_source"]) == (expected, "estimated")
        assert record["tool_names"] == ["get_depth"]

    def test_counts_several_calls_each(self, calls: Records) -> None:
        """Parallel calls have more around each."""
        chunks = [
            delta({"id": f"c{n}", "function": {"name": "get_depth", "arguments": "{}"}}, index=n) for n in range(3)
        ]
        left_after(3, chunks, input=QUESTION)
        each = count_text("get_depth", "gpt-4o-mini") + count_text("{}", "gpt-4o-mini") + 15
        assert calls.one()["output_tokens"] == 3 * each

    def test_takes_a_whole_request_for_its_input(self, calls: Records) -> None:
        """As the user has it at hand: instructions, tools and format are inside."""
        request = {"instructions": "You are brief.", "input": "How deep is the sea?", "tools": TOOLS}
        left_after(1, [chunk(piece) for piece in PIECES], input=request)
        assert calls.one()["input_tokens"] == count_tokens(QUESTION, "gpt-4o-mini", tools=TOOLS)

    def test_counts_an_image_by_its_size(self, calls: Records) -> None:
        """Not by its bytes."""
        image = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 1024, 1024) + bytes(100_000)
        url = "data:image/png;base64," + base64.b64encode(image).decode()
        content = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
        chunks = [{**chunk(piece), "model": "gpt-4o-2024-08-06"} for piece in ("A cat", ".")]
        stream = llmlog.stream(chunks, provider="openai", model="gpt-4o",
                               input=[{"role": "user", "content": content}])  # fmt: skip
        next(iter(stream))
        stream.close()
        assert 765 < calls.one()["input_tokens"] < 790

    def test_in_the_middle_of_anthropics_stream_is_mixed(self, calls: Records) -> None:
        """The start told the input, with a placeholder for the output: what was delivered is more."""
        usage = {"input_tokens": 300, "cache_read_input_tokens": 200, "output_tokens": 1}
        start = {"type": "message_start", "message": {"type": "message", "role": "assistant", "content": [],
                                                      "model": "claude-sonnet-4-5", "usage": usage}}  # fmt: skip
        pieces = [
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
            for piece in PIECES
        ]
        stream = llmlog.stream([start, *pieces], provider="anthropic", model="claude-sonnet-4-5", input=QUESTION)
        for place, _ in enumerate(stream, 1):
            if place == 4:
                break
        stream.close()
        record = calls.one()
        assert (record["usage_source"], record["input_tokens"], record["cache_read_tokens"]) == ("mixed", 500, 200)
        assert record["output_tokens"] == count_text("".join(PIECES[:3]), "claude-sonnet-4-5") > 10
        expected = llmlog.cost(Usage(500, record["output_tokens"], 200), "claude-sonnet-4-5", provider="anthropic")
        assert record["cost_usd"] == float(expected or 0)

    def test_before_anything_came_has_cost_its_input(self, calls: Records) -> None:
        """The provider has read the request, whatever became of the answer."""
        stream = llmlog.stream([chunk("late")], provider="openai", model="gpt-4o-mini", input=QUESTION)
        stream.close()
        record = calls.one()
        assert (record["output_tokens"], record["usage_source"]) == (0, "estimated")
        assert record["cost_usd"] == float(llmlog.cost(Usage(record["input_tokens"], 0), "gpt-4o-mini") or 0) > 0

    def test_with_the_usage_already_there_is_the_providers(self, calls: Records) -> None:
        """A stream that was left after its last word."""
        chunks = [chunk("Deep."), chunk(finish="stop"), usage_chunk(21, 2)]
        left_after(3, chunks, input=QUESTION)
        record = calls.one()
        assert (record["input_tokens"], record["output_tokens"], record["usage_source"]) == (21, 2, "provider")

    def test_is_counted_by_the_model_behind_a_deployment(self, calls: Records) -> None:
        """Azure's own name for it says nothing."""
        llmlog.configure(deployments={"mine": "gpt-4"})
        stream = llmlog.stream([{**chunk(PIECES[0]), "model": "mine"}] * 2, provider="azure", model="mine",
                               input=QUESTION)  # fmt: skip
        next(iter(stream))
        stream.close()
        record = calls.one()
        assert record["input_tokens"] == count_tokens(QUESTION, "gpt-4")
        cost = llmlog.cost(Usage(record["input_tokens"], record["output_tokens"]), "gpt-4", provider="azure")
        assert record["cost_usd"] == float(cost or 0) > 0

    def test_of_an_unknown_price_has_tokens_and_no_cost(self, calls: Records) -> None:
        """Never 0."""
        stream = llmlog.stream(["a", "b"], provider="text", model="nobody-knows-me", input="How deep?")
        next(iter(stream))
        stream.close()
        record = calls.one()
        assert record["input_tokens"] > 0
        assert "cost_usd" not in record

    def test_follows_the_users_own_prices(self, calls: Records) -> None:
        """An estimate has the same table as the provider's own usage."""
        llmlog.configure(prices={"name": "ours", "version": "7", "models": {"gpt-4o-mini*": {"input": 1, "output": 2}}})
        left_after(2, [chunk(piece) for piece in PIECES], input=QUESTION)
        record = calls.one()
        assert record["cost_source"] == "ours 7"
        assert record["cost_usd"] == pytest.approx((record["input_tokens"] + 2 * record["output_tokens"]) / 1e6)

    async def _left(self) -> None:
        async def source() -> Any:
            for piece in PIECES:
                yield chunk(piece)

        stream = llmlog.stream(source(), provider="openai", model="gpt-4o-mini", input=QUESTION)
        async for _ in stream:
            break
        await stream.aclose()

    def test_async_is_the_same(self, calls: Records) -> None:
        """One chunk came."""
        import asyncio

        asyncio.run(self._left())
        record = calls.one()
        assert record["output_tokens"] == count_text(PIECES[0], "gpt-4o-mini")
        assert record["usage_source"] == "estimated"
