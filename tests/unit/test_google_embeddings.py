"""Embeddings by Google: what is read of them, as dicts and as objects."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from conftest import Records, sdk

import llmlog
from llmlog import providers
from llmlog.answers import Answer
from llmlog.providers import google_embeddings
from llmlog.usage import Usage

ONE = {"embedding": {"values": [0.1, 0.2]}, "usageMetadata": {"promptTokenCount": 3}}
MANY = {"embeddings": [{"values": [0.1]}, {"values": [0.2]}], "usageMetadata": {"promptTokenCount": 5}}
PREDICTIONS = {
    "predictions": [
        {"embeddings": {"values": [0.1], "statistics": {"token_count": 2, "truncated": False}}},
        {"embeddings": {"values": [0.2], "statistics": {"token_count": 3.0, "truncated": False}}},
    ]
}


@pytest.mark.parametrize(("response", "tokens"), [(ONE, 3), (MANY, 5), (PREDICTIONS, 5)])
def test_embeddings(calls: Records, response: dict[str, Any], tokens: int) -> None:
    """The texts' tokens are the input, and there is no output."""
    with llmlog.call(model="gemini-embedding-001") as call:
        assert call.finish(response) is response
    record = calls.one()
    assert (record["provider"], record["operation"], record["outcome"]) == ("google", "embeddings", "completed")
    assert (record["input_tokens"], record["output_tokens"], record["usage_source"]) == (tokens, 0, "provider")
    assert record["cost_usd"] == pytest.approx(tokens * 0.15 / 1e6)


def test_the_client(calls: Records) -> None:
    """The client's own object is known and read as well."""
    genai = sdk("google.genai")
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=PREDICTIONS))
    options = genai.types.HttpOptions(httpx_client=httpx.Client(transport=transport))
    client = genai.Client(api_key="test", vertexai=True, http_options=options)
    with llmlog.call(model="text-embedding-005") as call:
        call.finish(client.models.embed_content(model="text-embedding-005", contents=["Hi", "there"]))
    record = calls.one()
    assert (record["provider"], record["operation"]) == ("google", "embeddings")
    assert (record["input_tokens"], record["output_tokens"]) == (5, 0)


@pytest.mark.parametrize("response", [
    {}, None, 7, {"embedding": 7}, {"embeddings": [None, 7, {}]}, {"predictions": [None, 7, {"embeddings": 7}]},
    {"embeddings": [{"values": [0.1]}]}, {"usageMetadata": 7}, {"usageMetadata": {"promptTokenCount": "3"}},
    {"embeddings": [{"values": [], "statistics": {"tokenCount": 1}}, {"values": []}]},
])  # fmt: skip
def test_nothing_counted(response: Any) -> None:
    """Where a count is missing none is made up, and nothing is raised."""
    made = Answer()
    google_embeddings.read_response(made, response)
    assert made.usage is None
    assert google_embeddings.read_usage(response) is None
    assert google_embeddings.read_usage({"promptTokenCount": 0}) == Usage(0, 0)


@pytest.mark.parametrize("other", [
    None, 7, [], {}, {"embedding": [0.1]}, {"embeddings": [[0.1]]}, {"embeddings": {"float": [[0.1]]}},
    {"object": "list", "data": [{"embedding": [0.1]}]}, {"predictions": ["text"]}, {"predictions": [{"content": "x"}]},
])  # fmt: skip
def test_not_its_answers(other: Any) -> None:
    """Others' embeddings, and what is none, are not claimed."""
    assert providers.UNKNOWN.pick(other) is not google_embeddings.PROVIDER
