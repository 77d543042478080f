"""Every field that llmlog writes, in one table: its meaning, its other spellings, where the backends keep it.

The spellings are OpenTelemetry's (attributes, and the names of its log data model such as `Body`) and ECS's;
where they have no name for a thing it is `llmlog.<name>`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

__all__ = ["Field", "FIELDS", "STANDARD_ATTRIBUTES", "attribute_name"]

Loki = Literal["label", "metadata", "line"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the flat schema."""

    name: str
    type: str
    """As a Python annotation: `str`, `int`, `float`, `bool`, `list[str]`, `str | list[str]`."""
    unit: str | None
    """`ms`, `tokens`, `tokens/s`, `USD`, `characters`; None for bare counts and what is no quantity."""
    meaning: str
    otel: str
    ecs: str
    loki: Loki
    """`label`: few values, indexed; `metadata`: ids; `line`: the rest."""
    elasticsearch: str
    """The type in the mapping of an index."""


_ELASTICSEARCH = {"str": "keyword", "int": "long", "float": "double", "bool": "boolean"}


def _field(
    name: str,
    type: str,
    meaning: str,
    *,
    unit: str | None = None,
    otel: str | None = None,
    ecs: str | None = None,
    loki: Loki = "line",
    elasticsearch: str | None = None,
) -> Field:
    ours = f"llmlog.{name}"
    kept_as = elasticsearch or _ELASTICSEARCH.get(type, "keyword")
    return Field(name, type, unit, meaning, otel or ours, ecs or ours, loki, kept_as)


def _both(name: str, type: str, meaning: str, spelling: str, *, unit: str | None = None, loki: Loki = "line") -> Field:
    return _field(name, type, meaning, unit=unit, otel=spelling, ecs=spelling, loki=loki)


_TABLE = (
    # Every line
    _field(
        "timestamp", "str", "when the record was made: RFC 3339, UTC, microseconds", otel="Timestamp",
        ecs="@timestamp", elasticsearch="date",
    ),
    _field("level", "str", "the level's name", otel="SeverityText", ecs="log.level", loki="label"),
    _field("logger", "str", "the logger's name", otel="InstrumentationScope", ecs="log.logger"),
    _field("message", "str", "the message, for people", otel="Body", ecs="message", elasticsearch="text"),
    _field("service", "str", "the service that logs", otel="service.name", ecs="service.name", loki="label"),
    _field(
        "env", "str", "its environment, such as production", otel="deployment.environment.name",
        ecs="service.environment", loki="label",
    ),
    _both("error_type", "str", "the exception's qualified name; built-in: without a module", "error.type"),
    _field(
        "error_message", "str", "the exception's text", otel="exception.message", ecs="error.message",
        elasticsearch="text",
    ),
    _field(
        "error_stack_trace", "str", "the whole traceback: causes, groups and notes included",
        otel="exception.stacktrace", ecs="error.stack_trace", elasticsearch="text",
    ),
    _field("stack_info", "str", "the stack of the logging call, where asked for", otel="code.stacktrace",
           elasticsearch="text"),
    _field("truncated", "bool", "true where texts were cut, or fields left out, to keep the line short"),
    # Every record of llmlog
    _field("event", "str", "the kind of record, such as llm.call", otel="EventName", ecs="event.action"),
    _field("record_id", "str", "unique: the key for deduplication", otel="log.record.uid", ecs="event.id",
           loki="metadata"),
    # The request's context; all but the first are the user's to bind
    _field("request_id", "str", "the request that the work was done for", loki="metadata"),
    _both("user_id", "str", "the user who asked", "user.id", loki="metadata"),
    _field("conversation_id", "str", "the conversation or session", otel="gen_ai.conversation.id",
           loki="metadata"),
    _field("prompt_name", "str", "the prompt template's name", otel="gen_ai.prompt.name"),
    _field("prompt_version", "str", "the prompt template's version"),
    _field("feature", "str", "the feature of the application that asked"),
    _field("trace_id", "str", "the trace, as 32 hexadecimal digits", otel="TraceId", ecs="trace.id",
           loki="metadata"),
    _field("span_id", "str", "the span, as 16 hexadecimal digits", otel="SpanId", ecs="span.id",
           loki="metadata"),
    # The call
    _field("call_id", "str", "the call: joins feedback, tools and attempts to it", loki="metadata"),
    _field("parent_id", "str", "the logical call that this attempt belongs to", loki="metadata"),
    _both("operation", "str", "what was asked for, such as chat or embeddings", "gen_ai.operation.name"),
    _both("provider", "str", "the provider's name", "gen_ai.provider.name"),
    _both("model", "str", "the model asked for", "gen_ai.request.model"),
    _both("response_model", "str", "the model that answered", "gen_ai.response.model"),
    _both("response_id", "str", "the provider's id of the answer", "gen_ai.response.id", loki="metadata"),
    _field("streamed", "bool", "whether the answer was streamed", otel="gen_ai.request.stream"),
    _field("chain_name", "str", "the outermost chain, agent or graph of a framework that the call is part of"),
    _field("chain_id", "str", "that run of it", loki="metadata"),
    _field("tags", "list[str]", "the user's own words for the call, as the framework has them"),
    _field("cached", "bool", "true where a cache of the application's answered, and not the provider"),
    _field("attempt", "int", "which attempt of its logical call: 1 is the first"),
    _both("temperature", "float", "the sampling temperature asked for", "gen_ai.request.temperature"),
    _both("max_tokens", "int", "the most tokens to answer with", "gen_ai.request.max_tokens", unit="tokens"),
    _both("top_p", "float", "the nucleus of the sampling asked for", "gen_ai.request.top_p"),
    _both("top_k", "float", "the sampling's most likely tokens asked for", "gen_ai.request.top_k"),
    _both("frequency_penalty", "float", "the frequency penalty asked for", "gen_ai.request.frequency_penalty"),
    _both("presence_penalty", "float", "the presence penalty asked for", "gen_ai.request.presence_penalty"),
    _both("seed", "int", "the seed asked for", "gen_ai.request.seed"),
    _both("choice_count", "int", "how many choices were asked for, where not one", "gen_ai.request.choice.count"),
    _field("reasoning_effort", "str", "the effort of reasoning asked for"),
    _both("service_tier", "str", "the tier that the provider served it in", "openai.response.service_tier"),
    # How it ended
    _field("outcome", "str", "completed, aborted, incomplete, error, cancelled or lost"),
    _field(
        "ended_by", "str",
        "exhausted, close, context_exit, loop_left, garbage_collected, exception, consumer_exception, "
        "cancellation, client_disconnect, interpreter_exit or recovery",
    ),
    _both(
        "finish_reason", "str | list[str]", "the provider's own word; a list where there are several choices",
        "gen_ai.response.finish_reasons",
    ),
    _field("refused", "bool", "true where the model refused"),
    _field("content_filtered", "bool", "true where the provider's filter cut the answer"),
    _both("http_status", "int", "the status of a failed HTTP exchange", "http.response.status_code"),
    # Time
    _field("latency_ms", "float", "from the start of the call to its end", unit="ms", ecs="event.duration"),
    _field("ttft_ms", "float", "from the start of the call to the first content", unit="ms",
           otel="gen_ai.response.time_to_first_chunk"),
    _field("max_gap_ms", "float", "the longest wait between two chunks", unit="ms"),
    _field("tokens_per_second", "float", "output tokens by the time spent waiting for them after the first",
           unit="tokens/s"),
    _field("wait_ms", "float", "time spent waiting for the provider", unit="ms"),
    _field("consumer_ms", "float", "time in the consumer's hands between two chunks", unit="ms"),
    _field("chunks", "int", "chunks delivered"),
    _field("content_chunks", "int", "chunks delivered that had content"),
    _field("unread_chunks", "int", "chunks that llmlog could not read, delivered all the same"),
    # Tokens and money
    _both("input_tokens", "int", "input, cached tokens included", "gen_ai.usage.input_tokens", unit="tokens"),
    _both("output_tokens", "int", "output, reasoning included", "gen_ai.usage.output_tokens", unit="tokens"),
    _field("cache_read_tokens", "int", "input read from the provider's cache", unit="tokens",
           otel="gen_ai.usage.cache_read.input_tokens"),
    _field("cache_write_tokens", "int", "input written to the provider's cache", unit="tokens",
           otel="gen_ai.usage.cache_write.input_tokens"),
    _field("reasoning_tokens", "int", "output spent on reasoning", unit="tokens",
           otel="gen_ai.usage.reasoning.output_tokens"),
    _field("input_audio_tokens", "int", "input that was audio", unit="tokens"),
    _field("output_audio_tokens", "int", "output that was audio", unit="tokens"),
    _field("input_image_tokens", "int", "input that was images", unit="tokens"),
    _field("output_image_tokens", "int", "output that was images", unit="tokens"),
    _field("cache_write_1h_tokens", "int", "those of the written ones that the cache keeps for an hour", unit="tokens"),
    _field("cache_audio_read_tokens", "int", "those of the cached ones that are audio", unit="tokens"),
    _field("cache_image_read_tokens", "int", "those of the cached ones that are images", unit="tokens"),
    _field("input_video_tokens", "int", "input that was video", unit="tokens"),
    _field("output_video_tokens", "int", "output that was video", unit="tokens"),
    _field("web_searches", "int", "searches that the provider made and charges for"),
    _field("total_tokens", "int", "input and output together", unit="tokens"),
    _field("usage_source", "str", "whose counts these are: provider, estimated or mixed"),
    _field("usage_extrapolated", "bool",
           "true where not all of a text was kept to be counted, and the rest follows from its length"),
    _field("cost_usd", "float", "the price of the call; absent where it is not known", unit="USD"),
    _field("cost_source", "str", "the price table's name and version"),
    _field("cost_partial", "bool", "true where the cost is a lower bound"),
    _field("inference_geo", "str", "where the provider ran the model, where its price depends on it"),
    # A request over its budget (llm.budget)
    _field("budget_usd", "float", "what one request may cost", unit="USD"),
    _field("request_calls", "int", "ended calls of the request so far"),
    _field("request_input_tokens", "int", "their input together", unit="tokens"),
    _field("request_output_tokens", "int", "their output together", unit="tokens"),
    _field("request_cost_usd", "float", "their cost together", unit="USD"),
    _field("request_cost_partial", "bool", "true where not all of it is known: the cost is a lower bound"),
    # A tool's run (llm.tool) and a search (llm.retrieval)
    _both("tool_name", "str", "the tool that ran", "gen_ai.tool.name"),
    _both("tool_call_id", "str", "the model's id of the call of the tool", "gen_ai.tool.call.id", loki="metadata"),
    _field("arguments_length", "int", "length of what the tool was given", unit="characters"),
    _field("retriever", "str", "what searched"),
    _field("query_length", "int", "length of the query", unit="characters"),
    _field("document_count", "int", "how many documents were found"),
    _field("document_ids", "list[str]", "their ids, the best first"),
    _field("document_scores", "list[float]", "how well each fits, in the same order"),
    # What was said
    _field("prompt_length", "int", "length of the prompt", unit="characters"),
    _field("response_length", "int", "length of the visible answer, a refusal included", unit="characters"),
    _field("reasoning_length", "int", "length of the reasoning that was shown", unit="characters"),
    _field("tool_calls", "int", "how many tool calls the model made"),
    _field("tool_names", "list[str]", "the tools it called"),
    _field("prompt_cut", "bool", "true where the prompt was longer than what is kept of it"),
    _field("response_cut", "bool", "true where a response was longer than what is kept of it"),
    _field("prompt_sha256", "str", "of the whole prompt, redacted; only with capture"),
    _field("response_sha256", "str | list[str]", "of the whole response, redacted; only with capture"),
    _field("tool_arguments_length", "list[int]", "their whole lengths; only with capture", unit="characters"),
    _field("tool_arguments_sha256", "list[str]", "of their whole arguments, redacted; only with capture"),
    _field("tool_arguments", "list[str]", "their arguments, redacted; only with capture",
           elasticsearch="text"),
    _field("prompt", "str", "the prompt, redacted and cut to size; only with capture", elasticsearch="text"),
    _field("response", "str", "the answer, redacted and cut to size; only with capture",
           elasticsearch="text"),
)  # fmt: skip

FIELDS: dict[str, Field] = {field.name: field for field in _TABLE}
"""The table, by the field's name in the flat schema."""

STANDARD_ATTRIBUTES: frozenset[str] = frozenset(
    # taskName came with Python 3.12: a field's name must not depend on the version.
    {*logging.LogRecord("", 0, "", 0, "", None, None).__dict__, "message", "asctime", "taskName"}
)
"""The attributes that any LogRecord has, or may get from a formatter."""

_RENAMED = {name: f"{name}_" for name in STANDARD_ATTRIBUTES}


def attribute_name(field: str) -> str:
    """`field` as an attribute of a LogRecord: with a trailing underscore where that name is taken."""
    return _RENAMED.get(field, field)
