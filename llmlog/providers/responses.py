"""Responses: OpenAI's own, Azure's, and those of the servers that speak the same format.

Source of the format: OpenAI's API reference, "Responses" and "Streaming events". An answer's text comes in pieces, then
again as a part that is done, in an item that is done, and in the whole response that ends the stream: what came in
pieces is read from them, and from a later one only what is still missing. Seen beside it: streams without numbers or
without names for their reasoning's parts, items without a status, and `[DONE]` after the last event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llmlog.answers import Answer, Text
from llmlog.providers.base import Provider, Read, count, fields_of, parts, text_in
from llmlog.usage import Usage

__all__ = ["PROVIDER", "read_chunk", "read_error", "read_response", "read_usage"]

_FINAL = frozenset({"completed", "incomplete", "failed", "cancelled"})
"""A response's last words, which are its finish reasons too; the others say that more is to come."""

_STATUSES = {
    "server_error": 500,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "model_not_found": 404,
    "invalid_api_key": 401,
    "invalid_prompt": 400,
    "invalid_request_error": 400,
}
"""What each code or type of error is as an HTTP status; an error that comes in a stream has no other."""


def _quick(answer: Answer, chunk: Any) -> Read:
    """For SDK objects, a shorter way to read the event that most streams are made of: a piece of text."""
    return _read_quickly if hasattr(type(chunk), "__pydantic_fields__") else read_chunk


def _read_quickly(answer: Answer, chunk: Any) -> Any:
    try:
        fields = chunk.__dict__  # once: each look-up by attribute costs as much as all of the rest on Python 3.11
        if fields["type"] == "response.output_text.delta":
            text = fields["delta"]
            if type(text) is str and text:
                answer.pieces.append(text)
                return None
    except (AttributeError, KeyError):
        pass
    return read_chunk(answer, chunk)


def read_chunk(answer: Answer, chunk: Any) -> None:
    """Any event of a stream, an SDK's object or a dict. None of them brings the usage and nothing else."""
    if isinstance(chunk, str):
        answer.end_mark |= chunk == "[DONE]"
        return
    fields = fields_of(chunk)
    kind = fields.get("type")
    read = _EVENTS.get(kind) if isinstance(kind, str) else None
    if read is not None:
        if read(answer, fields):
            answer.has_content()
    elif isinstance(kind, str) and kind.startswith("response."):
        pass  # a tool that the provider runs, an annotation, a part that begins
    elif _is_whole(fields.get("object")):
        read_response(answer, chunk)
    elif fields.get("error"):
        read_error(answer, fields)


def read_response(answer: Answer, response: Any) -> None:
    """A whole response, or the error that came instead."""
    _read_whole(answer, fields_of(response))
    answer.end_mark = True


# Events: each reader returns whether there was content in it that `pieces` does not count already ----


def _read_text(answer: Answer, fields: Mapping[str, Any]) -> None:
    if text := text_in(fields.get("delta")):
        answer.pieces.append(text)


def _read_refusal(answer: Answer, fields: Mapping[str, Any]) -> None:
    _read_text(answer, fields)
    answer.refused = True


def _read_thought(answer: Answer, fields: Mapping[str, Any]) -> bool:
    thought = text_in(fields.get("delta"))
    if thought:
        answer.think(thought)
    return bool(thought)


def _read_arguments(answer: Answer, fields: Mapping[str, Any]) -> bool:
    piece = text_in(fields.get("delta"))
    if piece:
        answer.tool_call(_place(fields)).arguments.add(piece)
    return bool(piece)


def _read_whole_text(answer: Answer, fields: Mapping[str, Any]) -> bool:
    """A part that is done. Only where it is the first: which part the pieces so far belong to is not remembered."""
    answer.refused |= fields.get("type") == "response.refusal.done"
    return not len(answer.text(0)) and _add_text(answer, _text_of(fields))


def _read_whole_thought(answer: Answer, fields: Mapping[str, Any]) -> bool:
    return not len(answer.reasoning) and _add_thought(answer, text_in(fields.get("text")))


def _read_whole_arguments(answer: Answer, fields: Mapping[str, Any]) -> bool:
    return _replace_arguments(answer, _place(fields), fields)


def _read_item_start(answer: Answer, fields: Mapping[str, Any]) -> bool:
    """Of a call its id and name; what an item begins with otherwise comes again, in pieces or when it is done."""
    item = fields_of(fields.get("item"))
    if not _is_call(item):
        return False
    _name_call(answer, item, _place(fields))
    return True


def _read_item(answer: Answer, fields: Mapping[str, Any]) -> bool:
    item = fields_of(fields.get("item"))
    answer.web_searches += _is_search(item)
    if _is_call(item):
        return _read_call(answer, item, _place(fields))
    if not len(answer.text(0)) and _add_text(answer, _text_in_item(answer, item)):
        return True
    return not len(answer.reasoning) and _add_thought(answer, _thought_in_item(item))


def _read_state(answer: Answer, fields: Mapping[str, Any]) -> None:
    """The response as it begins: without its output, which comes later, whatever of it is there already."""
    _read_head(answer, fields_of(fields.get("response")))


def _read_end(answer: Answer, fields: Mapping[str, Any]) -> bool:
    answer.end_mark = True
    return _read_whole(answer, fields_of(fields.get("response")))


def read_error(answer: Answer, fields: Mapping[str, Any]) -> None:
    """An error, which is told in the fields themselves or in an object among them."""
    error = fields.get("error")
    if isinstance(error, str):
        answer.error = (None, error or None, None)
        return
    own = fields_of(error) or fields
    code, kind = own.get("code"), text_in(own.get("type"))
    if kind == "error":
        kind = ""  # the event's type
    named = text_in(code) or kind
    known = _STATUSES.get(named, _STATUSES.get(kind))
    http = code if isinstance(code, int) and 400 <= code < 600 else known
    answer.error = (named or None, text_in(own.get("message")) or None, http)


_EVENTS: dict[str, Callable[[Answer, Mapping[str, Any]], bool | None]] = {
    "response.output_text.delta": _read_text,
    "response.refusal.delta": _read_refusal,
    "response.audio.transcript.delta": _read_text,
    "response.reasoning_text.delta": _read_thought,
    "response.reasoning_summary_text.delta": _read_thought,
    "response.function_call_arguments.delta": _read_arguments,
    "response.custom_tool_call_input.delta": _read_arguments,
    "response.output_text.done": _read_whole_text,
    "response.refusal.done": _read_whole_text,
    "response.reasoning_text.done": _read_whole_thought,
    "response.reasoning_summary_text.done": _read_whole_thought,
    "response.function_call_arguments.done": _read_whole_arguments,
    "response.custom_tool_call_input.done": _read_whole_arguments,
    "response.output_item.added": _read_item_start,
    "response.output_item.done": _read_item,
    "response.created": _read_state,
    "response.queued": _read_state,
    "response.in_progress": _read_state,
    **{f"response.{status}": _read_end for status in _FINAL},
    "error": read_error,
}


# The response and its items -----------------------------------------------------------------------


def _is_whole(kind: Any) -> bool:
    return kind in ("response", "response.compaction")


def _read_head(answer: Answer, response: Mapping[str, Any]) -> None:
    if not answer.model:
        answer.model = text_in(response.get("model")) or None
    if not answer.response_id:
        answer.response_id = text_in(response.get("id")) or None
    tier = text_in(response.get("service_tier"))
    if tier and tier != "auto":  # that is what was asked for; which one it was comes at the end
        answer.service_tier = tier
    if (usage := response.get("usage")) is not None:
        answer.usage = usage


def _read_whole(answer: Answer, response: Mapping[str, Any]) -> bool:
    """The response as it ends; True where its output has more than was read already."""
    _read_head(answer, response)
    output = [fields_of(item) for item in parts(response.get("output"))]
    answer.web_searches = max(answer.web_searches, sum(map(_is_search, output)))  # some have come as items before
    thought = "".join(map(_thought_in_item, output))[len(answer.reasoning) :]
    text = "".join(_text_in_item(answer, item) for item in output)[len(answer.text(0)) :]
    found = _add_thought(answer, thought) | _add_text(answer, text)
    for place, item in enumerate(output):
        if _is_call(item):
            found |= _read_call(answer, item, place)
    status = text_in(response.get("status"))
    if status in _FINAL:
        answer.finish(0, status)
    why = fields_of(response.get("incomplete_details")).get("reason")
    blocked = any(fields_of(one).get("blocked") is True for one in parts(response.get("content_filters")))
    answer.content_filtered |= blocked or why == "content_filter"  # the list is Azure's
    if response.get("error"):
        read_error(answer, response)
    elif status == "failed":
        answer.error = (None, None, None)
    return found


def _add_text(answer: Answer, text: str) -> bool:
    if text:
        answer.text(0).add(text)
    return bool(text)


def _add_thought(answer: Answer, thought: str) -> bool:
    if thought:
        answer.think(thought)
    return bool(thought)


def _text_of(part: Mapping[str, Any]) -> str:
    return text_in(part.get("text")) or text_in(part.get("refusal")) or text_in(part.get("transcript"))


def _text_in_item(answer: Answer, item: Mapping[str, Any]) -> str:
    if item.get("type") != "message":
        return ""
    content = [fields_of(part) for part in parts(item.get("content"))]
    answer.refused |= any(part.get("type") == "refusal" for part in content)
    return "".join(map(_text_of, content))


def _thought_in_item(item: Mapping[str, Any]) -> str:
    """What the model thought: in its own words, or, where they are not shown, their summary."""
    if item.get("type") != "reasoning":
        return ""
    own, summary = (
        "".join(text_in(fields_of(part).get("text")) for part in parts(item.get(name)))
        for name in ("content", "summary")
    )
    return own or summary


# Calls of tools -----------------------------------------------------------------------------------


def _is_call(item: Mapping[str, Any]) -> bool:
    """Whether the caller's own function is called; the provider's tools, and those of a kind it defines, are none."""
    return item.get("type") in ("function_call", "custom_tool_call")


def _is_search(item: Mapping[str, Any]) -> bool:
    """Whether the provider has searched the web, which it charges for; it opens a page, and looks in it, for nothing.

    Before there were other actions an item told none.
    """
    if item.get("type") != "web_search_call" or item.get("status") == "failed":
        return False
    return bool(fields_of(item.get("action")).get("type", "search") == "search")


def _place(fields: Mapping[str, Any]) -> Any:
    """What an event's item goes by: its place in the output, which servers keep to more than to its id, or that."""
    index = fields.get("output_index")
    if isinstance(index, int):
        return index
    return text_in(fields.get("item_id")) or text_in(fields_of(fields.get("item")).get("id"))


def _read_call(answer: Answer, item: Mapping[str, Any], place: Any) -> bool:
    """A whole call; True where it had not come before."""
    before = len(answer.tool_calls)
    found = _replace_arguments(answer, _name_call(answer, item, place), item)
    return found or len(answer.tool_calls) > before


def _name_call(answer: Answer, item: Mapping[str, Any], place: Any) -> Any:
    """The call's key: known by its id where it has come before, wherever in the output it is now."""
    call_id = text_in(item.get("call_id")) or text_in(item.get("id")) or None
    known = answer.tool_calls
    key = next((key for key, call in known.items() if call_id and call.id == call_id), place)
    if key in known and call_id and known[key].id not in (None, call_id):  # a server that has one place for all
        answer.tool_calls = {object() if other == key else other: call for other, call in known.items()}
    tool_call = answer.tool_call(key)
    tool_call.id = tool_call.id or call_id
    tool_call.name = tool_call.name or text_in(item.get("name"))
    return key


def _replace_arguments(answer: Answer, key: Any, fields: Mapping[str, Any]) -> bool:
    """The whole arguments, where fewer came in pieces."""
    given = fields.get("arguments") or fields.get("input")
    if given and not isinstance(given, str):
        import json

        given = json.dumps(given, ensure_ascii=False, default=str)
    if not given:
        return False
    tool_call = answer.tool_call(key)
    if len(given) <= len(tool_call.arguments):
        return False
    tool_call.arguments = Text()
    tool_call.arguments.add(given)
    return True


# Usage --------------------------------------------------------------------------------------------


def read_usage(raw: Any) -> Usage | None:
    """`input_tokens` includes the cached ones, `output_tokens` the reasoning: our meaning already."""
    fields = fields_of(raw)
    used = fields_of(fields.get("input_tokens_details") or fields.get("input_token_details"))
    made = fields_of(fields.get("output_tokens_details") or fields.get("output_token_details"))
    cached = fields_of(used.get("cached_tokens_details"))
    usage = Usage(
        input_tokens=count(fields.get("input_tokens")),
        output_tokens=count(fields.get("output_tokens")),
        cache_read_tokens=count(used.get("cached_tokens", used.get("cache_read_input_tokens"))),  # Perplexity's
        cache_write_tokens=count(used.get("cache_write_tokens")),
        reasoning_tokens=count(made.get("reasoning_tokens")),
        input_audio_tokens=count(used.get("audio_tokens")),
        output_audio_tokens=count(made.get("audio_tokens")),
        input_image_tokens=count(used.get("image_tokens")),
        output_image_tokens=count(made.get("image_tokens")),
        cache_audio_read_tokens=count(cached.get("audio_tokens")),
        cache_image_read_tokens=count(cached.get("image_tokens")),
        web_searches=_searches(fields),
    )
    return usage if usage.input_tokens is not None or usage.output_tokens is not None else None


def _searches(usage: Mapping[str, Any]) -> int | None:
    """What xAI's usage, or Perplexity's, says of its searches; others leave them to be counted."""
    told = count(fields_of(usage.get("server_side_tool_usage_details")).get("web_search_calls"))
    if told is None:
        search = fields_of(fields_of(usage.get("tool_calls_details")).get("search_web"))
        told = count(search.get("invocation"))
    return told


def _matches(chunk: object) -> bool:
    if isinstance(chunk, Mapping):
        kind, whole = chunk.get("type"), chunk.get("object")
    else:
        kind, whole = getattr(chunk, "type", None), getattr(chunk, "object", None)
    if not isinstance(kind, str):
        return isinstance(whole, str) and _is_whole(whole)
    if kind == "error":
        return "sequence_number" in fields_of(chunk)  # without one it is Anthropic's
    return kind.startswith("response.")


PROVIDER = Provider(
    name="openai",
    names=("bedrock_mantle",),
    matches=_matches,
    chunk=read_chunk,
    response=read_response,
    usage=read_usage,
    quick=_quick,
)
