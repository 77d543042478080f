"""Chat completions: OpenAI's own, Azure's, and those of the many servers that speak the same format.

Source of the format: OpenAI's API reference, "Chat" and "Streaming". Seen beside it: choices without a delta and chunks
without choices (Azure's filter annotations), content as a list of parts (Mistral), reasoning as `reasoning_content`
(DeepSeek, vLLM), `reasoning` (Groq) or `reasoning_details` (OpenRouter), tool calls without an index (Mistral) or with
their name in every chunk, usage in every chunk (Perplexity, Databricks), in `x_groq` or in the choice.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from llmlog.answers import Answer, ToolCall
from llmlog.providers.base import Provider, Read, count, fields_of, parts, text_in
from llmlog.usage import Usage

__all__ = [
    "PROVIDER", "index_of", "is_from_litellm", "is_text_completion", "read_chunk", "read_head", "read_response",
    "read_usage",
]  # fmt: skip


def _quick(answer: Answer, chunk: Any) -> Read | None:
    """For SDK objects, once the model is known, a shorter way to read the chunk that most streams are made of.

    That is one choice with a piece of text and nothing else; any other chunk goes to `read_chunk`.
    """
    if not hasattr(type(chunk), "__pydantic_fields__"):
        return read_chunk
    return _read_quickly if answer.model else None


def _by_attributes(answer: Answer, chunk: Any) -> Any:
    try:
        (choice,) = chunk.choices
        delta = choice.delta
        text = delta.content
        if (
            text
            and type(text) is str
            and chunk.usage is None
            and choice.finish_reason is None
            and not choice.index
            and delta.tool_calls is None
            and delta.refusal is None
            and delta.function_call is None
            and not ((extra := delta.__pydantic_extra__) and any(extra.values()))
        ):
            answer.pieces.append(text)
            return None
    except (AttributeError, TypeError, ValueError):
        pass
    return read_chunk(answer, chunk)


def _by_dicts(answer: Answer, chunk: Any) -> Any:
    """The same for Python 3.11, where each look-up through pydantic's `__getattr__` costs up to ten times more."""
    try:
        fields = chunk.__dict__
        (choice,) = fields["choices"]
        choice_fields = choice.__dict__
        delta = choice_fields["delta"]
        delta_fields = delta.__dict__
        text = delta_fields["content"]
        if (
            text
            and type(text) is str
            and fields["usage"] is None
            and choice_fields["finish_reason"] is None
            and not choice_fields["index"]
            and delta_fields["tool_calls"] is None
            and delta_fields["refusal"] is None
            and delta_fields["function_call"] is None
            and not ((extra := delta.__pydantic_extra__) and any(extra.values()))
        ):
            answer.pieces.append(text)
            return None
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    return read_chunk(answer, chunk)


_read_quickly = _by_attributes if sys.version_info >= (3, 12) else _by_dicts


def read_chunk(answer: Answer, chunk: Any) -> Any:
    """Any chunk, an SDK's object or a dict."""
    if chunk == "[DONE]":  # the end mark of the wire, where the source hands it on
        answer.end_mark = True
        return None
    fields = fields_of(chunk)
    told_before = answer.usage is not None
    read_head(answer, fields)
    choices = parts(fields.get("choices"))
    content = False
    for position, choice in enumerate(choices):
        choice_fields = fields_of(choice)
        # `message`: some servers end a stream with the whole message; it repeats what the deltas brought.
        content |= _read_choice(answer, choice_fields, fields_of(choice_fields.get("delta")), position)
    if content:
        answer.has_content()
    elif fields.get("usage") is not None:
        # The first usage, without content, is the last word of a stream: some servers send no finish reason. Beside
        # content, or repeated, it is only a figure so far. The wire's own [DONE] is not handed on by the SDKs.
        answer.end_mark |= answer.content_chunks > 0 and (not choices or not told_before)
        return not choices
    return False


def read_response(answer: Answer, response: Any) -> None:
    """A whole chat completion."""
    fields = fields_of(response)
    read_head(answer, fields)
    for position, choice in enumerate(parts(fields.get("choices"))):
        choice_fields = fields_of(choice)
        _read_choice(answer, choice_fields, fields_of(choice_fields.get("message")), position)
    answer.end_mark = True


def read_head(answer: Answer, fields: Mapping[str, Any]) -> None:
    """What a chunk or a response says beside its choices."""
    if not answer.model:
        answer.model = text_in(fields.get("model")) or None
    if not answer.response_id:
        answer.response_id = text_in(fields.get("id")) or None
    if tier := text_in(fields.get("service_tier")):
        answer.service_tier = tier
    usage = fields.get("usage")
    if usage is None and (groq := fields.get("x_groq")) is not None:
        usage = fields_of(groq).get("usage")
    if usage is not None:
        answer.usage = usage
    if (error := fields if fields.get("object") == "error" else fields.get("error")) is not None:
        _read_error(answer, error)


def _read_error(answer: Answer, error: Any) -> None:
    if not error:
        return
    if isinstance(error, str):
        answer.error = (None, error, None)
        return
    fields = fields_of(error)
    kind = text_in(fields.get("type")) or text_in(fields.get("code")) or None
    http = _first(*(_status(fields.get(name)) for name in ("status_code", "status", "code")))
    answer.error = (kind, text_in(fields.get("message")) or None, http)


def _status(value: Any) -> int | None:
    """An HTTP status, which some servers write as text."""
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdigit():
        value = int(value)
    return value if isinstance(value, int) and 400 <= value < 600 else None


def index_of(choice: Mapping[str, Any], position: int) -> int:
    """Which of the choices it is: as it says, or by its place."""
    index = choice.get("index")
    return position if isinstance(index, bool) or not isinstance(index, int) else index


def _read_choice(answer: Answer, choice: Mapping[str, Any], message: Mapping[str, Any], position: int) -> bool:
    """One choice's delta, or whole message; True where it brought any content."""
    index = index_of(choice, position)
    if finish_reason := text_in(choice.get("finish_reason")):
        answer.finish(index, finish_reason)
        answer.content_filtered |= finish_reason == "content_filter"
    if results := choice.get("content_filter_results") or choice.get("content_filter_result"):
        found_by = map(fields_of, fields_of(results).values())  # by category, safe ones included
        answer.content_filtered |= any(one.get("filtered") is True for one in found_by)
    if (usage := choice.get("usage")) is not None and answer.usage is None:
        answer.usage = usage
    if (error := choice.get("error")) is not None:
        _read_error(answer, error)
    if not message:
        return False
    found = False
    content = message.get("content")
    if content:
        found = _read_content(answer, content, index)
    if refusal := text_in(message.get("refusal")):
        answer.text(index).add(refusal)
        answer.refused = found = True
    if audio := message.get("audio"):  # speech, and its words as text
        spoken = fields_of(audio)
        if words := text_in(spoken.get("transcript")):
            answer.text(index).add(words)
        found |= bool(words or spoken.get("data"))
    if reasoning := _reasoning(message):
        answer.think(reasoning)
        found = True
    for place, tool_call in enumerate(parts(message.get("tool_calls"))):
        _read_tool_call(answer, fields_of(tool_call), index, place)
        found = True
    if function := message.get("function_call"):
        _read_function(answer.tool_call((index, "function")), fields_of(function))
        found = True
    return found


def _reasoning(message: Mapping[str, Any]) -> str:
    """The reasoning, once: servers that send it under two names send the same under both."""
    plain = text_in(message.get("reasoning_content")) or text_in(message.get("reasoning"))
    details = map(fields_of, parts(message.get("reasoning_details")))
    return plain or "".join(text_in(part.get("text")) or text_in(part.get("summary")) for part in details)


def _read_content(answer: Answer, content: Any, index: int) -> bool:
    if isinstance(content, str):
        answer.text(index).add(content)
        return True
    found = False
    for part in parts(content):
        fields = fields_of(part)
        if text := text_in(fields.get("text")):
            answer.text(index).add(text)
            found = True
        thinking = fields.get("thinking")
        for thought in [thinking] if isinstance(thinking, str) else parts(thinking):
            text = thought if isinstance(thought, str) else text_in(fields_of(thought).get("text"))
            if text:
                answer.think(text)
                found = True
    return found


def _read_tool_call(answer: Answer, fields: Mapping[str, Any], choice: int, place: int) -> None:
    index, call_id = fields.get("index"), text_in(fields.get("id"))
    if isinstance(index, int):
        key: tuple[int, Any] = (choice, index)
    elif call_id:
        key = (choice, call_id)
    else:  # a server that gives neither: a further piece of the last one, or the one at the same place
        known = [k for k in answer.tool_calls if k[0] == choice]
        key = known[-1] if known and place == 0 else (choice, place)
    function = fields_of(fields.get("function"))
    known_call = answer.tool_calls.get(key)
    if known_call is not None and call_id and known_call.id not in (None, call_id) and function.get("name"):
        # Another call under the same index: some servers, and Mistral's SDK, give 0 to each.
        moved = (choice, known_call.id)
        answer.tool_calls = {moved if k == key else k: one for k, one in answer.tool_calls.items()}
    tool_call = answer.tool_call(key)
    if call_id and tool_call.id is None:
        tool_call.id = call_id
    _read_function(tool_call, function)


def _read_function(tool_call: ToolCall, function: Mapping[str, Any]) -> None:
    name = text_in(function.get("name"))
    if name and name != tool_call.name:  # some servers repeat the name in every chunk
        tool_call.name += name
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        if arguments:
            tool_call.arguments.add(arguments)
    elif arguments:
        import json

        tool_call.arguments.add(json.dumps(arguments, ensure_ascii=False, default=str))


def read_usage(raw: Any) -> Usage | None:
    """`prompt_tokens` includes the cached ones, `completion_tokens` the reasoning: our meaning already.

    But for the servers where the reasoning comes on top: their total says so (xAI's), or there is more of it than of
    the whole (Perplexity's).
    """
    fields = fields_of(raw)
    prompt = fields_of(fields.get("prompt_tokens_details"))
    completion = fields_of(fields.get("completion_tokens_details"))
    cached = fields_of(prompt.get("cached_tokens_details"))
    asked, answered = count(fields.get("prompt_tokens")), count(fields.get("completion_tokens"))
    reasoning = _first(count(completion.get("reasoning_tokens")), count(fields.get("reasoning_tokens")))
    if asked is not None and answered is not None and reasoning:
        on_top = count(fields.get("total_tokens")) == asked + answered + reasoning or reasoning > answered
        answered += reasoning if on_top else 0
    usage = Usage(
        input_tokens=asked,
        output_tokens=answered,
        cache_read_tokens=_first(count(prompt.get("cached_tokens")), count(fields.get("prompt_cache_hit_tokens"))),
        cache_write_tokens=count(prompt.get("cache_write_tokens")),
        reasoning_tokens=reasoning,
        input_audio_tokens=count(prompt.get("audio_tokens")),
        output_audio_tokens=count(completion.get("audio_tokens")),
        input_image_tokens=count(prompt.get("image_tokens")),
        output_image_tokens=count(completion.get("image_tokens")),
        cache_audio_read_tokens=count(cached.get("audio_tokens")),
        cache_image_read_tokens=count(cached.get("image_tokens")),
        web_searches=count(fields.get("num_search_queries")),  # Perplexity's
    )
    return usage if usage.input_tokens is not None or usage.output_tokens is not None else None


def _first(*counts: int | None) -> int | None:
    return next((found for found in counts if found is not None), None)


def is_text_completion(chunk: object) -> bool:
    """Whether it is a completion from before chat, which has choices too: by its name, or by what they hold."""
    fields = fields_of(chunk)
    kind = fields.get("object")
    if kind == "text_completion" or str(kind).startswith("chat."):
        return kind == "text_completion"
    choices = parts(fields.get("choices"))
    first = fields_of(choices[0]) if choices else {}
    return isinstance(first.get("text"), str) and "delta" not in first and "message" not in first


def is_from_litellm(chunk: object) -> bool:
    """Whether LiteLLM has made it: the same format, with a word on whose answer it is, and a module of its own here."""
    if isinstance(chunk, Mapping):
        kind, told = chunk.get("object"), "provider_specific_fields" in chunk
    else:
        kind = getattr(chunk, "object", None)
        told = "custom_llm_provider" in fields_of(getattr(chunk, "_hidden_params", None))
    return told and str(kind).startswith("chat.completion")


def _matches(chunk: object) -> bool:
    if isinstance(chunk, Mapping):
        kind = chunk.get("object")
        said = "choices" in chunk or kind == "error" or str(kind).startswith("chat.completion")
    else:
        said = hasattr(chunk, "choices")
    return said and not is_text_completion(chunk) and not is_from_litellm(chunk)


PROVIDER = Provider(
    name="openai",
    names=(
        "openai", "azure", "azure_openai", "azure_ai", "azure.ai.openai", "azure.ai.inference", "alibaba", "cerebras",
        "cloudflare", "databricks", "deepseek", "fireworks", "github", "gpustack", "groq", "huggingface",
        "litellm_proxy", "lmstudio", "moonshot", "nvidia", "openrouter", "perplexity", "sambanova", "snowflake",
        "together", "vercel", "vllm", "writer", "x_ai", "xai", "zai",
    ),
    matches=_matches,
    chunk=read_chunk,
    response=read_response,
    usage=read_usage,
    quick=_quick,
)  # fmt: skip
