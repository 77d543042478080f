"""Amazon Bedrock's InvokeModel: each model's own JSON, in the chunks of a stream or as a whole body.

Source of the formats: the Bedrock user guide, "Inference request parameters and response fields for foundation models"
and "Guardrails", and the API reference, "InvokeModelWithResponseStream". Claude's messages, Nova's, Cohere's and chat
completions are read by their own modules; Titan, Llama, Mistral's texts, AI21's Jurassic and Claude's older texts here.
The last chunk of a stream has Bedrock's own counts, whatever the model: they stand in where the model tells none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from llmlog.answers import Answer
from llmlog.providers import anthropic, bedrock, cohere, cohere_v1, openai
from llmlog.providers.base import Provider, count, fields_of, parts, text_in
from llmlog.usage import Usage

__all__ = ["PROVIDER", "bytes_in", "read_chunk", "read_response", "read_usage"]

_OTHERS = (anthropic.PROVIDER, bedrock.PROVIDER, cohere.PROVIDER, cohere_v1.PROVIDER)
_METRICS = "amazon-bedrock-invocationMetrics"
_ACTION = "amazon-bedrock-guardrailAction"
_COUNTS = ("inputTextTokenCount", "totalOutputTextTokenCount", "prompt_token_count", "generation_token_count")
_HEADERS = {
    "x-amzn-bedrock-input-token-count": "inputTokenCount",
    "x-amzn-bedrock-output-token-count": "outputTokenCount",
    "x-amzn-bedrock-cache-read-input-token-count": "cacheReadInputTokenCount",
    "x-amzn-bedrock-cache-write-input-token-count": "cacheWriteInputTokenCount",
}
"""Where a whole answer's counts are told beside its body, and what they are called in a stream."""


def bytes_in(chunk: Mapping[str, Any]) -> bytes | None:
    """The bytes of a `chunk` event; an agent's has them in the same place."""
    payload = fields_of(chunk.get("chunk")).get("bytes")
    return bytes(payload) if isinstance(payload, (bytes, bytearray, memoryview)) else None


def read_chunk(answer: Answer, chunk: Any) -> None:
    """A chunk of a stream, or the JSON out of one. None of them brings the usage and nothing else."""
    fields = fields_of(chunk)
    if (payload := bytes_in(fields)) is not None:
        fields = _object(payload)
    elif bedrock.read_exception(answer, fields):
        return
    _read(answer, fields, whole=False)


def read_response(answer: Answer, response: Any) -> None:
    """A whole body, parsed. One that is yet to be read is left to its reader: its counts stand in the headers."""
    fields = fields_of(response)
    if counts := _counts_beside(fields):
        answer.usage = counts
    else:
        _read(answer, fields, whole=True)
    answer.end_mark = True


def _object(payload: bytes) -> Mapping[str, Any]:
    """The JSON object in a chunk; an empty one where there is none."""
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _read(answer: Answer, fields: Mapping[str, Any], *, whole: bool) -> None:
    if "choices" in fields:
        (openai.read_response if whole else openai.read_chunk)(
            answer, _as_chat(fields, "message" if whole else "delta")
        )
    elif _is_text(fields):
        _read_texts(answer, fields)
    elif (other := _other(fields)) is not None:
        (other.response if whole else other.chunk)(answer, fields)
    if fields.get(_ACTION) == "INTERVENED":
        answer.content_filtered = True
        # What it blocks ends there, without more; what it masks goes on.
        answer.end_mark |= "masked" not in text_in(_guardrail(fields).get("actionReason"))
    if metrics := fields_of(fields.get(_METRICS)):
        answer.end_mark = True
        told = None if answer.usage is None else read_usage(answer.usage)
        if told is None or told.total_tokens is None:
            answer.usage = metrics


def _guardrail(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    return fields_of(fields_of(fields.get("amazon-bedrock-trace")).get("guardrail"))


def _other(fields: Mapping[str, Any]) -> Provider | None:
    if "is_finished" in fields:  # the last chunk of Cohere's texts has little else
        return cohere_v1.PROVIDER
    return next((other for other in _OTHERS if other.matches(fields)), None)


def _as_chat(fields: Mapping[str, Any], place: str) -> dict[str, Any]:
    """As chat completions are spelled: Mistral's have whole messages for pieces, DeepSeek's plain texts."""
    choices = []
    for choice in map(fields_of, parts(fields["choices"])):
        message = choice.get("delta") or choice.get("message") or {"content": choice.get("text")}
        reason = choice.get("finish_reason") or choice.get("stop_reason")
        choices.append({**choice, place: message, "finish_reason": reason})
    return {**fields, "choices": choices}


def _is_text(fields: Mapping[str, Any]) -> bool:
    """Whether this is one of the formats that have nothing but texts, and no module of their own."""
    if isinstance(fields.get("outputText"), str) or isinstance(fields.get("generation"), str):
        return "completionReason" in fields or any(name in fields for name in (*_COUNTS, "stop_reason", _ACTION))
    if isinstance(fields.get("completion"), str):
        return "stop_reason" in fields
    for name, sign in (("results", "outputText"), ("outputs", "stop_reason"), ("completions", "finishReason")):
        if found := parts(fields.get(name)):
            return sign in fields_of(found[0])
    return False


def _texts(fields: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """The text of each choice, and why it ended there."""
    if "outputText" in fields:
        yield fields["outputText"], fields.get("completionReason")
    elif "generation" in fields or "completion" in fields:
        yield fields.get("generation", fields.get("completion")), fields.get("stop_reason")
    for result in map(fields_of, parts(fields.get("results"))):
        yield result.get("outputText"), result.get("completionReason")
    for output in map(fields_of, parts(fields.get("outputs"))):
        yield output.get("text"), output.get("stop_reason")
    for made in map(fields_of, parts(fields.get("completions"))):
        yield fields_of(made.get("data")).get("text"), fields_of(made.get("finishReason")).get("reason")


def _read_texts(answer: Answer, fields: Mapping[str, Any]) -> None:
    for choice, (text, reason) in enumerate(_texts(fields)):
        if piece := text_in(text):
            if choice == 0:
                answer.pieces.append(piece)
            else:
                answer.text(choice).add(piece)
                answer.has_content()
        if ended := text_in(reason):
            answer.finish(choice, ended)
            answer.content_filtered |= ended == "CONTENT_FILTERED"
    told = {name: fields[name] for name in _COUNTS if fields.get(name) is not None}
    counts = [count(fields_of(result).get("tokenCount")) for result in parts(fields.get("results"))]
    if known := [n for n in counts if n is not None]:
        told["totalOutputTextTokenCount"] = sum(known)
    if told:
        answer.usage = {**(answer.usage or {}), **told}


def _counts_beside(fields: Mapping[str, Any]) -> dict[str, int]:
    """The counts in the headers of an answer whose body is yet to be read."""
    if "body" not in fields:
        return {}
    headers = fields_of(fields_of(fields.get("ResponseMetadata")).get("HTTPHeaders"))
    told = {ours: text_in(headers.get(name)) for name, ours in _HEADERS.items()}
    return {name: int(text) for name, text in told.items() if text.isdecimal() and len(text) < 16}


def read_usage(raw: Any) -> Usage | None:
    """The model's own counts, each format in its meaning; Bedrock's are without the cached ones, which come on top."""
    fields = fields_of(raw)
    for read in (anthropic.read_usage, openai.read_usage, bedrock.read_usage, cohere_v1.read_usage):
        if (usage := read(fields)) is not None:
            return usage
    if "inputTokenCount" in fields or "outputTokenCount" in fields:
        tokens = {"inputTokens": fields.get("inputTokenCount"), "outputTokens": fields.get("outputTokenCount")}
        return bedrock.read_usage({**fields, **tokens})
    given = [count(fields.get(name)) for name in _COUNTS]
    told = [given[2] if given[0] is None else given[0], given[3] if given[1] is None else given[1]]
    return Usage(*told) if any(n is not None for n in told) else None


def _matches(chunk: object) -> bool:
    if not isinstance(chunk, Mapping):  # botocore gives nothing else
        return False
    if (payload := bytes_in(chunk)) is None:
        return _is_text(chunk) or bool(_counts_beside(chunk))
    fields = _object(payload)  # an agent's text may be JSON, too, but hardly any that a model speaks
    known = "choices" in fields or _is_text(fields) or _METRICS in fields or _ACTION in fields
    return known or _other(fields) is not None


PROVIDER = Provider(
    name="bedrock",
    matches=_matches,
    chunk=read_chunk,
    response=read_response,
    usage=read_usage,
)
