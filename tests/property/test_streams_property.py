"""What holds for every stream: each chunk is delivered as it is, one record comes, and nothing of ours is raised."""

from __future__ import annotations

import logging
from typing import Any

from conftest import Records, chunk, usage_chunk
from hypothesis import given, settings
from hypothesis import strategies as st

import llmlog

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=4)
names = st.sampled_from(
    ["choices", "delta", "content", "index", "finish_reason", "tool_calls", "function", "name", "arguments", "id",
     "usage", "prompt_tokens", "completion_tokens", "model", "error", "message", "reasoning", "reasoning_details",
     "refusal", "x_groq", "text", "thinking", "service_tier", "code", "type"]
)  # fmt: skip
jsonlike = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=5), max_leaves=25
)


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """A real chunk with one of its parts replaced by something else, or taken away."""
    base = draw(st.sampled_from([chunk("a"), chunk(finish="stop"), usage_chunk(3, 4),
                                 chunk(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f"}}])]))  # fmt: skip
    holder: Any = base
    while True:
        key = draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
        below = holder[key]
        if isinstance(below, (dict, list)) and below and draw(st.booleans()):
            holder = below
            continue
        if isinstance(holder, dict) and draw(st.booleans()):
            del holder[key]
        else:
            holder[key] = draw(jsonlike)
        return base


def one_record(script: list[Any], how_many: int | None, **options: Any) -> dict[str, Any]:
    """Read a stream of `script`, or its first chunks; check delivery; return its one record."""
    calls = Records()
    logger = logging.getLogger("llmlog.calls")
    logger.addHandler(calls)
    logger.setLevel(logging.DEBUG)
    try:
        got = []
        for one in llmlog.stream(iter(script), **options):
            got.append(one)
            if len(got) == how_many:
                break
        assert all(one is other for one, other in zip(got, script, strict=False))
        assert len(got) == (len(script) if how_many is None else min(how_many, len(script)))
        llmlog.flush()
        (record,) = calls.records
        return vars(record)
    finally:
        logger.removeHandler(calls)
        logger.setLevel(logging.NOTSET)


@settings(max_examples=300, deadline=None)
@given(st.lists(mutated() | jsonlike, max_size=6), st.none() | st.integers(1, 6))
def test_any_chunks(script: list[Any], how_many: int | None) -> None:
    """Mutated chunks and arbitrary JSON, read to the end or left early."""
    record = one_record(script, how_many, provider="openai", model="gpt-4o-mini", input="hi")
    assert record["outcome"] in ("completed", "incomplete", "aborted", "error")
    assert record["chunks"] == (len(script) if how_many is None else min(how_many, len(script)))
    assert "unread_chunks" not in record
    assert record["usage_source"] in ("provider", "estimated", "mixed")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=20), max_size=200), st.none() | st.integers(1, 200))
def test_any_text(pieces: list[str], how_many: int | None) -> None:
    """Plain pieces of any text: their length is what was delivered."""
    record = one_record(pieces, how_many, provider="text")
    delivered = pieces if how_many is None else pieces[:how_many]
    assert record["response_length"] == len("".join(delivered))
    assert record["content_chunks"] == sum(map(bool, delivered))
