"""LangChain's messages and generations, streamed or whole: the one shape that it gives every provider's answers.

Source of the format: LangChain's reference, "Messages", "Standard content blocks" and "Usage metadata". What its
integrations put beside the standard fields (`response_metadata`, `additional_kwargs`, blocks in a provider's own
words) is read in the spellings that they use.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llmlog.answers import Answer, ToolCall
from llmlog.providers import openai
from llmlog.providers.base import Provider, Read, count, fields_of, parts, text_in
from llmlog.usage import Usage

__all__ = ["PROVIDER", "provider_named", "read_chunk", "read_response", "read_usage"]

_PROVIDERS = {
    "amazon_bedrock": "bedrock",
    "anthropic-bedrock": "bedrock",
    "anthropic_bedrock": "bedrock",
    "azure_ai": "azure",
    "azure_openai": "azure",
    "bedrock_converse": "bedrock",
    "gemini": "google",
    "google-genai": "google",
    "google_genai": "google",
    "google_vertexai": "google",
    "mistralai": "mistral",
    "openai-codex": "openai",
}
"""What an integration calls its provider, where the record has another name."""

_REASONS = ("finish_reason", "stop_reason", "stopReason", "done_reason")
_ENDED = frozenset({"completed", "incomplete", "failed", "cancelled"})
"""The statuses in which OpenAI's responses end; they have no finish reason."""
_FILTERED = frozenset({
    "content_filter", "content_filtered", "guardrail_intervened", "error_toxic", "safety", "recitation", "blocklist",
    "prohibited_content", "spii", "image_safety",
})  # fmt: skip
"""The finish reasons, in lower case, of an answer that a filter has stopped."""

_THOUGHTS = ("thinking", "reasoning", "reasoning_content")
_TIERS = ("", "flex_", "priority_")
"""What stands before a detail's name where OpenAI has other prices for the service tier."""


def _quick(answer: Answer, chunk: Any) -> Read:
    """For objects, a shorter way to read the chunk that most streams are made of: a piece of text and nothing else."""
    return _read_quickly if hasattr(type(chunk), "__pydantic_fields__") else read_chunk


def _read_quickly(answer: Answer, chunk: Any) -> None:
    try:
        fields = chunk.__dict__
        text, metadata = fields["content"], fields["response_metadata"]
        if (
            text
            and type(text) is str
            and not fields["tool_call_chunks"]
            and not fields["additional_kwargs"]
            and fields["usage_metadata"] is None
            and fields["chunk_position"] is None
            and (not metadata or (len(metadata) == 1 and "model_provider" in metadata and answer.provider))
        ):
            answer.pieces.append(text)
            return
    except (AttributeError, KeyError, TypeError):
        pass
    read_chunk(answer, chunk)


def read_chunk(answer: Answer, chunk: Any) -> None:
    """Any chunk, an object or a dict. A model that cannot stream gives its whole message as the only one."""
    fields = fields_of(chunk)
    kind = fields.get("type")
    if kind in ("AIMessageChunk", "ChatGenerationChunk", "Generation"):
        _read_generation(answer, fields)
    elif _matches(chunk):
        read_response(answer, chunk)


def read_response(answer: Answer, response: Any) -> None:
    """A whole message or generation, or a result: a list of choices, or one for each prompt."""
    fields = fields_of(response)
    if "generations" in fields:
        _read_result(answer, fields)
    else:
        _read_generation(answer, fields)
    _end(answer, True)


def _end(answer: Answer, is_whole: bool) -> None:
    """No more comes. Here LangChain parses the arguments of tools: where none came, they are an empty object."""
    answer.end_mark |= is_whole
    for tool_call in answer.tool_calls.values():
        if not tool_call.arguments:
            tool_call.arguments.add("{}")


def _read_result(answer: Answer, fields: Mapping[str, Any]) -> None:
    generations = parts(fields.get("generations"))
    choice = 0
    for prompt in generations if any(map(parts, generations)) else [generations]:
        for place, generation in enumerate(parts(prompt)):
            _read_generation(answer, fields_of(generation), choice, counted=place == 0)  # each has the usage of all
            choice += 1
    output = fields_of(fields.get("llm_output"))
    _read_head(answer, output)
    _read_usage_so_far(answer, None, output)


def _read_generation(answer: Answer, fields: Mapping[str, Any], choice: int = 0, *, counted: bool = True) -> None:
    """A generation, or the message in it or without it. `counted`: its usage is not that of another one."""
    message = fields_of(fields.get("message")) or fields
    more = fields_of(message.get("additional_kwargs"))
    metadata = {**fields_of(fields.get("generation_info")), **fields_of(message.get("response_metadata"))}
    _read_head(answer, metadata, message.get("id"))
    _read_reason(answer, metadata, choice)
    if counted:
        _read_usage_so_far(answer, message.get("usage_metadata"), metadata)
    text, refusal, reasoning = _content(message.get("content", message.get("text")))
    text = text or text_in(fields_of(more.get("audio")).get("transcript"))
    reasoning = reasoning or _reasoning(more)
    refusal = refusal or text_in(more.get("refusal"))
    answer.refused |= bool(refusal)
    if reasoning:
        answer.think(reasoning)
    found = _read_tool_calls(answer, message, more, choice) or bool(reasoning)
    if (text or refusal) and choice == 0:
        answer.pieces.append(text + refusal)
    elif text or refusal:
        answer.text(choice).add(text + refusal)
        answer.has_content()
    elif found:
        answer.has_content()
    if message.get("chunk_position") == "last":
        # LangChain itself marks the end with a chunk without metadata where there is no more, even of a stream that
        # was cut: an integration that tells who the provider is also tells the finish reason, or at least the usage.
        _end(answer, bool(metadata) or answer.provider is None or answer.usage is not None)


def _read_head(answer: Answer, metadata: Mapping[str, Any], message_id: Any = None) -> None:
    if not answer.model:
        answer.model = text_in(metadata.get("model_name")) or text_in(metadata.get("model")) or None
    if not answer.provider:
        name = text_in(metadata.get("model_provider")) or text_in(metadata.get("ls_provider"))
        answer.provider = provider_named(name)
    if not answer.response_id:
        own = text_in(message_id)
        own = "" if own.startswith(("lc_", "run-")) else own  # LangChain's, where the provider gave none
        answer.response_id = text_in(metadata.get("id")) or own or None
    if tier := text_in(metadata.get("service_tier")):
        answer.service_tier = tier


def provider_named(name: Any) -> str | None:
    """The provider by the name that its integration has for it."""
    return _PROVIDERS.get(text_in(name), text_in(name)) or None


def _read_reason(answer: Answer, metadata: Mapping[str, Any], choice: int) -> None:
    reason = next((reason for name in _REASONS if (reason := text_in(metadata.get(name)))), "")
    status = text_in(metadata.get("status"))
    if reason or status in _ENDED:
        answer.finish(choice, reason or status)
    why = text_in(fields_of(metadata.get("incomplete_details")).get("reason"))
    answer.content_filtered |= reason.lower() in _FILTERED or why in _FILTERED
    answer.refused |= reason == "refusal"
    answer.end_mark |= metadata.get("done") is True  # Ollama's


def _content(content: Any) -> tuple[str, str, str]:
    """The text, as LangChain's own `.text` has it, the refusal, and the reasoning in a message's content."""
    if isinstance(content, str):
        return content, "", ""
    text, refusal, reasoning = [], [], []
    for block in parts(content):
        if isinstance(block, str):
            text.append(block)
            continue
        fields = fields_of(block)
        if fields.get("type") == "non_standard":
            fields = fields_of(fields.get("value"))
        kind = fields.get("type")
        if kind == "text":
            text.append(text_in(fields.get("text")))
        elif kind == "refusal":
            refusal.append(text_in(fields.get("refusal")))
        elif kind in _THOUGHTS:
            reasoning.append(_thought(fields))
    return "".join(text), "".join(refusal), "".join(reasoning)


def _thought(fields: Mapping[str, Any]) -> str:
    """The reasoning in one block: under its own name, or in the summary or the content of OpenAI's."""
    return next((text for name in (*_THOUGHTS, "summary", "content") if (text := _words(fields.get(name)))), "")


def _words(value: Any) -> str:
    """What is said in a text, in a part that has one, or in a list of such."""
    if isinstance(value, str):
        return value
    found = value if isinstance(value, (list, tuple)) else (value,)
    return "".join(part if isinstance(part, str) else text_in(fields_of(part).get("text")) for part in found)


def _reasoning(more: Mapping[str, Any]) -> str:
    """The reasoning of an integration that puts it beside the content."""
    whole = fields_of(more.get("reasoning"))  # OpenAI's item
    return next((text for name in _THOUGHTS if (text := _words(more.get(name)))), "") or _words(whole.get("summary"))


def _read_tool_calls(answer: Answer, message: Mapping[str, Any], more: Mapping[str, Any], choice: int) -> bool:
    """The pieces of tool calls, or whole ones; True where there are any."""
    whole = [*parts(message.get("tool_calls")), *parts(message.get("invalid_tool_calls"))]
    pieces = parts(message.get("tool_call_chunks")) or whole
    for piece in map(fields_of, pieces):
        _add(_tool_call(answer, piece, choice), piece, "args")
    function = fields_of(more.get("function_call"))
    if function and not pieces:  # OpenAI's, before there were tools; Google's integration says each call here too
        _add(answer.tool_call((choice, "function")), function, "arguments")
    return bool(pieces or function)


def _tool_call(answer: Answer, fields: Mapping[str, Any], choice: int) -> ToolCall:
    """The call that a piece belongs to: the one with its index, unless that has another id, or a new one."""
    index, call_id = fields.get("index"), text_in(fields.get("id"))
    if index is None and not call_id and not text_in(fields.get("name")):
        known = [key for key in answer.tool_calls if key[0] == choice]
        if known:
            return answer.tool_call(known[-1])
    if isinstance(index, (int, str)):
        for key, tool_call in answer.tool_calls.items():
            if key[:2] == (choice, index) and (not call_id or tool_call.id in (None, call_id)):
                return tool_call
    else:
        index = None
    return answer.tool_call((choice, index, len(answer.tool_calls)))


def _add(tool_call: ToolCall, fields: Mapping[str, Any], name_of_arguments: str) -> None:
    if tool_call.id is None:
        tool_call.id = text_in(fields.get("id")) or None
    name = text_in(fields.get("name"))
    if name != tool_call.name:  # some servers repeat the name in every chunk
        tool_call.name += name
    arguments = fields.get(name_of_arguments)
    if isinstance(arguments, str):
        tool_call.arguments.add(arguments)
    elif arguments is not None:
        tool_call.arguments.add(json.dumps(arguments, ensure_ascii=False, default=str))


def _read_usage_so_far(answer: Answer, usage: Any, metadata: Mapping[str, Any]) -> None:
    """Counts of chunks are LangChain's own, and made to be added, as its sum of the chunks does.

    Where there are none, those of a provider that speaks OpenAI's words may be in the metadata.
    """
    if isinstance(usage, Mapping) and usage:
        told = fields_of(answer.usage)
        answer.usage = _sum(told if "input_token_details" in told else {}, usage)
    elif answer.usage is None and (totals := metadata.get("token_usage")):
        answer.usage = totals


def _sum(told: Mapping[str, Any], usage: Mapping[str, Any]) -> dict[str, Any]:
    total = dict(told)
    for name in ("input_tokens", "output_tokens", "total_tokens"):
        _increase(total, name, usage.get(name))
    for name in ("input_token_details", "output_token_details"):
        details = dict(total.get(name) or {})
        for detail, number in fields_of(usage.get(name)).items():
            _increase(details, detail, number)
        total[name] = details
    return total


def _increase(counts: dict[str, Any], name: str, more: Any) -> None:
    if (number := count(more)) is not None:
        counts[name] = counts.get(name, 0) + number


def read_usage(raw: Any) -> Usage | None:
    """`input_tokens` includes the cached ones, `output_tokens` the reasoning: our meaning already."""
    fields = fields_of(raw)
    given, made = fields_of(fields.get("input_token_details")), fields_of(fields.get("output_token_details"))
    usage = Usage(
        input_tokens=count(fields.get("input_tokens")),
        output_tokens=count(fields.get("output_tokens")),
        cache_read_tokens=_total(given, *(f"{tier}cache_read" for tier in _TIERS)),
        cache_write_tokens=_most(
            _total(given, *(f"{tier}cache_creation" for tier in _TIERS)),
            _total(given, "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"),  # the same, by how long they live
        ),
        reasoning_tokens=_total(made, *(f"{tier}reasoning" for tier in _TIERS)),
        input_audio_tokens=count(given.get("audio")),
        output_audio_tokens=count(made.get("audio")),
        input_image_tokens=count(given.get("image")),
        output_image_tokens=count(made.get("image")),
    )
    if usage.input_tokens is not None or usage.output_tokens is not None:
        return usage
    return openai.read_usage(raw)


def _total(details: Mapping[str, Any], *names: str) -> int | None:
    known = [number for name in names if (number := count(details.get(name))) is not None]
    return sum(known) if known else None


def _most(*counts: int | None) -> int | None:
    return max((number for number in counts if number is not None), default=None)


def _matches(chunk: object) -> bool:
    fields = fields_of(chunk)
    kind = fields.get("type")
    if kind in ("AIMessageChunk", "ai"):
        return "content" in fields
    if kind in ("ChatGenerationChunk", "ChatGeneration"):
        return "message" in fields
    if kind == "Generation":
        return "generation_info" in fields
    return "generations" in fields and "llm_output" in fields


PROVIDER = Provider(
    name="langchain",
    matches=_matches,
    chunk=read_chunk,
    response=read_response,
    usage=read_usage,
    quick=_quick,
    is_form=True,
)
