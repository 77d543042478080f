"""Amazon Bedrock's Converse: the events of `converse_stream()` and whole `converse()` answers, as botocore gives them.

Source of the format: the Bedrock Runtime API reference, "Converse", "ConverseStream" and "TokenUsage", and the user
guide on prompt caching. An event is a dict with one key, its type. Seen beside it: what stands under that key alone,
where the event stream was parsed by hand, and a usage whose cached counts are called `...TokenCount` (Nova).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmlog.answers import Answer
from llmlog.providers.base import Provider, count, fields_of, parts, text_in
from llmlog.usage import Usage

__all__ = ["PROVIDER", "json_of", "read_chunk", "read_exception", "read_response", "read_usage"]

_EVENTS = ("contentBlockDelta", "messageStart", "contentBlockStart", "contentBlockStop", "messageStop")

_STATUSES = {
    "validationException": 400,
    "serviceQuotaExceededException": 400,
    "accessDeniedException": 403,
    "resourceNotFoundException": 404,
    "modelTimeoutException": 408,
    "conflictException": 409,
    "dependencyFailedException": 424,
    "modelNotReadyException": 424,
    "modelStreamErrorException": 424,
    "throttlingException": 429,
    "internalServerException": 500,
    "badGatewayException": 502,
    "serviceUnavailableException": 503,
}
"""What each exception in a stream, an agent's too, is as an HTTP status."""


def read_chunk(answer: Answer, chunk: Any) -> None:
    """Any event of a stream. None of them brings the usage and nothing else: `metadata` belongs to all of them."""
    fields = fields_of(chunk)
    if "output" in fields:
        read_response(answer, chunk)
        return
    for kind in (*_EVENTS, "metadata"):
        if kind in fields:
            fields = fields_of(fields[kind])
            break
    else:
        if read_exception(answer, fields):
            return
    # An event's fields tell what it is, with and without its type.
    index = fields.get("contentBlockIndex")
    if (delta := fields.get("delta")) is not None:
        _read_delta(answer, fields_of(delta), index)
    elif (start := fields.get("start")) is not None:
        _read_tool_use(answer, fields_of(fields_of(start).get("toolUse")), index)
    elif "stopReason" in fields or "messageStop" in fields_of(chunk):
        _read_stop(answer, fields)
        answer.end_mark = True
    else:
        _read_metadata(answer, fields)


def read_response(answer: Answer, response: Any) -> None:
    """A whole answer."""
    fields = fields_of(response)
    message = fields_of(fields_of(fields.get("output")).get("message"))
    for index, block in enumerate(parts(message.get("content"))):
        _read_block(answer, fields_of(block), index)
    _read_stop(answer, fields)
    _read_metadata(answer, fields)
    answer.end_mark = True


def read_exception(answer: Answer, fields: Mapping[str, Any]) -> bool:
    """The exception that ends a stream, where this event is one: whether it is."""
    for kind in fields:
        if kind in _STATUSES and isinstance(said := fields[kind], Mapping):
            message = text_in(said.get("message")) or text_in(said.get("originalMessage"))
            answer.error = (kind, message or None, _STATUSES[kind])
            return True
    return False


def _read_delta(answer: Answer, delta: Mapping[str, Any], index: Any) -> None:
    if text := text_in(delta.get("text")):
        answer.pieces.append(text)
    elif reasoning := text_in(fields_of(delta.get("reasoningContent")).get("text")):
        answer.think(reasoning)
        answer.has_content()
    elif piece := text_in(fields_of(delta.get("toolUse")).get("input")):
        tool_call = answer.tool_calls.get(index) if isinstance(index, int) else None
        if tool_call is not None:
            tool_call.arguments.add(piece)
            answer.has_content()
    elif delta.get("image"):
        answer.has_content()


def _read_block(answer: Answer, block: Mapping[str, Any], index: int) -> None:
    if text := text_in(block.get("text")):
        answer.pieces.append(text)
    elif (cited := block.get("citationsContent")) is not None:
        for part in parts(fields_of(cited).get("content")):
            if text := text_in(fields_of(part).get("text")):
                answer.pieces.append(text)
    elif (reasoning := block.get("reasoningContent")) is not None:
        if text := text_in(fields_of(fields_of(reasoning).get("reasoningText")).get("text")):
            answer.think(text)
            answer.has_content()
    elif (tool_use := block.get("toolUse")) is not None:
        _read_tool_use(answer, fields_of(tool_use), index)
    elif block.get("image"):
        answer.has_content()


def _read_tool_use(answer: Answer, tool_use: Mapping[str, Any], index: Any) -> None:
    """A call of a tool, or its start. One that the provider runs itself asks nothing of the caller: it is none."""
    if not tool_use or tool_use.get("type") == "server_tool_use" or not isinstance(index, int):
        return
    tool_call = answer.tool_call(index)
    tool_call.id = text_in(tool_use.get("toolUseId")) or tool_call.id
    tool_call.name = text_in(tool_use.get("name")) or tool_call.name
    if "input" in tool_use:
        tool_call.arguments.add(json_of(tool_use["input"]))
    answer.has_content()


def json_of(arguments: Any) -> str:
    """Arguments as JSON, where they are not yet."""
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    import json

    return json.dumps(arguments, ensure_ascii=False, default=str)


def _read_stop(answer: Answer, fields: Mapping[str, Any]) -> None:
    if reason := text_in(fields.get("stopReason")):
        answer.finish(0, reason)
        answer.content_filtered |= reason in ("guardrail_intervened", "content_filtered")


def _read_metadata(answer: Answer, fields: Mapping[str, Any]) -> None:
    told = {name: value for name, value in fields_of(fields.get("usage")).items() if value is not None}
    if told:
        answer.usage = {**(answer.usage or {}), **told}
    if tier := text_in(fields_of(fields.get("serviceTier")).get("type")):
        answer.service_tier = tier
    router = fields_of(fields_of(fields.get("trace")).get("promptRouter"))
    if invoked := text_in(router.get("invokedModelId")):  # an ARN: which of its models the router has chosen
        answer.model = invoked.rpartition("/")[2]


def read_usage(raw: Any) -> Usage | None:
    """`inputTokens` is without the cached ones, which come on top."""
    fields = fields_of(raw)
    fresh, output = count(fields.get("inputTokens")), count(fields.get("outputTokens"))
    if fresh is None and output is None:
        return None
    read, written = _cached(fields, "Read"), _cached(fields, "Write")
    return Usage(
        input_tokens=None if fresh is None else fresh + (read or 0) + (written or 0),
        output_tokens=output,
        cache_read_tokens=read,
        cache_write_tokens=written,
    )


def _cached(fields: Mapping[str, Any], way: str) -> int | None:
    found = count(fields.get(f"cache{way}InputTokens"))
    return count(fields.get(f"cache{way}InputTokenCount")) if found is None else found


def _matches(chunk: object) -> bool:
    if not isinstance(chunk, Mapping):  # botocore gives nothing else
        return False
    if any(isinstance(chunk.get(kind), Mapping) for kind in (*_EVENTS, *_STATUSES)):
        return True
    if isinstance(metadata := chunk.get("metadata"), Mapping):
        return isinstance(metadata.get("usage"), Mapping) and "inputTokens" in metadata["usage"]
    if isinstance(output := chunk.get("output"), Mapping):
        return isinstance(output.get("message"), Mapping) and "stopReason" in chunk
    return "contentBlockIndex" in chunk and "type" not in chunk


PROVIDER = Provider(
    name="bedrock",
    names=("bedrock", "aws.bedrock", "aws"),
    matches=_matches,
    chunk=read_chunk,
    response=read_response,
    usage=read_usage,
)
