"""Embeddings by Google: the Gemini API's, one or many, and Vertex AI's predictions.

Source of the format: the Gemini API's reference, "Embeddings", and Vertex AI's for text embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmlog.answers import Answer
from llmlog.providers.base import Provider, count, fields_of, parts
from llmlog.usage import Usage

__all__ = ["PROVIDER", "read_response", "read_usage"]


def read_response(answer: Answer, response: Any) -> None:
    """The answer to one request; of the vectors nothing is read but how many tokens their texts had."""
    fields = fields_of(response)
    usage = fields_of(_first(fields, "usageMetadata", "usage_metadata"))
    told = [_first(usage, "promptTokenCount", "prompt_token_count")]
    if count(told[0]) is None:
        told = [_first(statistics, "tokenCount", "token_count") for statistics in map(_statistics, _vectors(fields))]
    counts = [count(tokens) for tokens in told]
    if counts and None not in counts:
        answer.usage = {"prompt_token_count": sum(tokens or 0 for tokens in counts)}
    answer.end_mark = True


def read_usage(raw: Any) -> Usage | None:
    """Only the texts are counted: there is no output."""
    prompt = count(_first(fields_of(raw), "prompt_token_count", "promptTokenCount"))
    return None if prompt is None else Usage(input_tokens=prompt, output_tokens=0)


def _first(fields: Mapping[str, Any], *names: str) -> Any:
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def _vectors(fields: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Each text's vector, with what is told of the text; Vertex AI has each inside a prediction."""
    if (one := fields.get("embedding")) is not None:
        return [fields_of(one)]
    if (predictions := parts(fields.get("predictions"))) and "embeddings" not in fields:
        return [fields_of(fields_of(prediction).get("embeddings")) for prediction in predictions]
    return [fields_of(one) for one in parts(fields.get("embeddings"))]


def _statistics(vector: Mapping[str, Any]) -> Mapping[str, Any]:
    return fields_of(vector.get("statistics"))


def _matches(chunk: object) -> bool:
    vectors = _vectors(fields_of(chunk))
    return bool(vectors) and isinstance(vectors[0].get("values"), list)


PROVIDER = Provider(
    name="google",
    matches=_matches,
    chunk=read_response,
    response=read_response,
    usage=read_usage,
    operation="embeddings",
)
