"""What LangChain tells of a run, in the words of a record: plain functions on whatever arrives.

Source of the names: LangChain's reference ("Callbacks", "Messages", "Document") and its integrations' own parameters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llmlog.clients.sending import parameters
from llmlog.providers.base import fields_of, parts, text_in
from llmlog.summary import error_fields

__all__ = ["asked", "failed", "first_text", "found", "is_cached", "labels_of", "message_of", "name_of"]

_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant", "system": "system", "tool": "tool"}
_CONTEXT = ("user_id", "prompt_name", "prompt_version", "feature")
_CONVERSATIONS = ("conversation_id", "session_id", "thread_id")
"""Where a run's metadata say which conversation it is part of; the last is LangGraph's."""
_STEPS = ("seq:step:", "map:key:", "condition:", "branch:", "graph:step:")
"""What begins the tags that LangChain itself gives."""


def message_of(message: Any) -> dict[str, Any]:
    """A message as the chat API of most providers has it: for counting and capturing."""
    fields = fields_of(message)
    kind = text_in(fields.get("type"))
    role = fields.get("role") if kind == "chat" else _ROLES.get(kind, kind)
    made = {"role": role, "content": fields.get("content")}
    if fields.get("name"):
        made["name"] = fields["name"]
    calls = [_tool_call(fields_of(call)) for call in parts(fields.get("tool_calls"))]
    if calls:
        made["tool_calls"] = calls
    return made


def _tool_call(call: Mapping[str, Any]) -> dict[str, Any]:
    arguments = json.dumps(call.get("args"), ensure_ascii=False, default=str)
    return {"type": "function", "function": {"name": call.get("name"), "arguments": arguments}}


def asked(params: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    config = fields_of(params.get("generation_config"))
    either = {**config, **params}
    return parameters(
        temperature=(either.get("temperature"), metadata.get("ls_temperature")),
        max_tokens=(
            *(either.get(name) for name in ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict")),
            metadata.get("ls_max_tokens"),
        ),
        top_p=either.get("top_p"),
        top_k=either.get("top_k"),
        frequency_penalty=either.get("frequency_penalty"),
        presence_penalty=either.get("presence_penalty"),
        seed=either.get("seed"),
        choice_count=(either.get("n"), either.get("candidate_count")),
        reasoning_effort=(either.get("reasoning_effort"), fields_of(either.get("reasoning")).get("effort")),
    )


def labels_of(tags: Any, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The user's own tags, and of the metadata what has a name among the fields."""
    own = [tag for tag in parts(tags) if isinstance(tag, str) and not tag.startswith(_STEPS)]
    labels: dict[str, Any] = {name: metadata[name] for name in _CONTEXT if metadata.get(name) is not None}
    conversation = first_text(*(metadata.get(name) for name in _CONVERSATIONS))
    if conversation:
        labels["conversation_id"] = conversation
    return {**labels, "tags": own} if own else labels


def name_of(serialized: Any, told: Mapping[str, Any], otherwise: str) -> str:
    path = parts(fields_of(serialized).get("id"))
    last = path[-1] if path else None
    return first_text(told.get("name"), fields_of(serialized).get("name"), last) or otherwise


def first_text(*values: Any) -> str | None:
    return next((value for value in values if isinstance(value, str) and value), None)


_IDS = ("id", "document_id", "doc_id", "_id", "source")
_SCORES = ("score", "relevance_score", "_score", "similarity_score", "_similarity_score")


def found(documents: Any) -> dict[str, Any]:
    """How many, which, and how well they fit; the last two as far as all of them say so."""
    ids, scores = [], []
    for document in parts(documents):
        fields = fields_of(document)
        metadata = fields_of(fields.get("metadata"))
        ids.append(first_text(fields.get("id"), *(metadata.get(name) for name in _IDS)))
        numbers = [metadata[name] for name in _SCORES if isinstance(metadata.get(name), (int, float))]
        scores.append(float(numbers[0]) if numbers else None)
    return {
        "document_count": len(ids),
        "document_ids": ids if ids and None not in ids else None,
        "document_scores": scores if scores and None not in scores else None,
    }


def failed(error: BaseException) -> dict[str, Any]:
    outcome = "error" if isinstance(error, Exception) else "cancelled"
    return {"outcome": outcome, **error_fields(error)}


def is_cached(response: Any) -> bool:
    """Whether LangChain's own cache has answered: it says then that the answer cost nothing."""
    for prompt in parts(fields_of(response).get("generations")):
        for generation in parts(prompt):
            usage = fields_of(fields_of(getattr(generation, "message", None)).get("usage_metadata"))
            if usage.get("total_cost") == 0:
                return True
    return False
