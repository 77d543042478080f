"""Every field that llmlog writes, in one table: its meaning, its other spellings, where the backends keep it.

The spellings are OpenTelemetry's (attributes, and the names of its log data model such as `Body`) and ECS's;
where they have no name for a thing it is `llmlog.<name>`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "ECS_VERSION", "FIELDS", "OTEL_EVENTS", "OTEL_PROVIDERS", "OTEL_SCHEMA", "SCHEMAS", "STANDARD_ATTRIBUTES", "Field",
    "attribute_name",
]  # fmt: skip

SCHEMAS = ("flat", "otel", "ecs")
"""The vocabularies of the table: llmlog's own names, OpenTelemetry's, the Elastic Common Schema's."""
OTEL_SCHEMA = "https://opentelemetry.io/schemas/gen-ai-dev/1.42.0-dev"
"""The version of OpenTelemetry's GenAI conventions whose names these are; it builds on the general ones of 1.44.0."""
OTEL_EVENTS = {"llm.call": "gen_ai.client.inference.operation.details"}
"""Our kinds of records that the conventions have a name for."""
OTEL_PROVIDERS = {
    "azure": "azure.ai.openai", "bedrock": "aws.bedrock", "google": "gcp.gen_ai", "mistral": "mistral_ai",
    "vertex_ai": "gcp.vertex_ai", "watsonx": "ibm.watsonx.ai", "xai": "x_ai",
}  # fmt: skip
"""Providers that the conventions call by another name; ECS takes its names from there."""
ECS_VERSION = "9.5.0"
"""The version of the Elastic Common Schema whose names these are."""

Loki = Literal["label", "metadata", "line"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the flat schema."""

    name: str
    type: str
    """As a Python annotation: `str`, `int`, `float`, `bool`, `list[str]`, `str | list[str]`."""
    unit: str | None
    """`ms`, `tokens`, `tokens/s`, `USD`, `characters`, `bytes`; None for bare counts and what is no quantity."""
    meaning: str
    otel: str
    ecs: str
    loki: Loki
    """`label`: few values, indexed; `metadata`: ids, a call's figures, what they are grouped by; `line`: the rest."""
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
    _both("error_type", "str", "the exception's qualified name; built-in: without a module", "error.type",
          loki="metadata"),
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
    _field("event", "str", "the kind of record, such as llm.call", otel="EventName", ecs="event.action",
           loki="metadata"),
    _field("record_id", "str", "unique: the key for deduplication", otel="log.record.uid", ecs="event.id",
           loki="metadata"),
    # The request's context; all but the first are the user's to bind
    _field("request_id", "str", "the request that the work was done for", loki="metadata"),
    _both("user_id", "str", "the user who asked", "user.id", loki="metadata"),
    _field("conversation_id", "str", "the conversation or session", otel="gen_ai.conversation.id",
           loki="metadata"),
    _field("prompt_name", "str", "the prompt template's name", otel="gen_ai.prompt.name", loki="metadata"),
    _field("prompt_version", "str", "the prompt template's version", loki="metadata"),
    _field("feature", "str", "the feature of the application that asked", loki="metadata"),
    _field("trace_id", "str", "the trace, as 32 hexadecimal digits", otel="TraceId", ecs="trace.id",
           loki="metadata"),
    _field("span_id", "str", "the span, as 16 hexadecimal digits", otel="SpanId", ecs="span.id",
           loki="metadata"),
    # The call
    _field("call_id", "str", "the call: joins feedback, tools and attempts to it", loki="metadata"),
    _field("parent_id", "str", "the logical call that this attempt belongs to", loki="metadata"),
    _both("operation", "str", "what was asked for, such as chat or embeddings", "gen_ai.operation.name",
          loki="metadata"),
    _both("provider", "str", "the provider's name", "gen_ai.provider.name", loki="metadata"),
    _both("model", "str", "the model asked for", "gen_ai.request.model", loki="metadata"),
    _both("response_model", "str", "the model that answered", "gen_ai.response.model", loki="metadata"),
    _both("response_id", "str", "the provider's id of the answer", "gen_ai.response.id", loki="metadata"),
    _field("streamed", "bool", "whether the answer was streamed", otel="gen_ai.request.stream"),
    _field("chain_name", "str", "the outermost chain, agent or graph of a framework that the call is part of"),
    _field("chain_id", "str", "that run of it", loki="metadata"),
    _field("tags", "list[str]", "the user's own words for the call, as the framework has them", ecs="tags"),
    _field("cached", "bool", "true where a cache of the application's answered, and not the provider"),
    _field("attempt", "int", "which attempt of its logical call: 1 is the first", loki="metadata"),
    _field("retries", "int", "how often the SDK sent the request again by itself, which takes its time"),
    _both("temperature", "float", "the sampling temperature asked for", "gen_ai.request.temperature"),
    _both("max_tokens", "int", "the most tokens to answer with", "gen_ai.request.max_tokens", unit="tokens"),
    _both("top_p", "float", "the nucleus of the sampling asked for", "gen_ai.request.top_p"),
    _both("top_k", "float", "the sampling's most likely tokens asked for", "gen_ai.request.top_k"),
    _both("frequency_penalty", "float", "the frequency penalty asked for", "gen_ai.request.frequency_penalty"),
    _both("presence_penalty", "float", "the presence penalty asked for", "gen_ai.request.presence_penalty"),
    _both("seed", "int", "the seed asked for", "gen_ai.request.seed"),
    _both("choice_count", "int", "how many choices were asked for, where not one", "gen_ai.request.choice.count"),
    _field("reasoning_effort", "str", "the effort of reasoning asked for"),
    _field("service_tier", "str", "the tier that the provider served it in", otel="openai.response.service_tier"),
    # How it ended
    _field("outcome", "str", "completed, aborted, incomplete, error, cancelled or lost", loki="metadata"),
    _field(
        "ended_by", "str",
        "exhausted, close, context_exit, loop_left, garbage_collected, exception, consumer_exception, "
        "cancellation, client_disconnect, interpreter_exit or recovery", loki="metadata",
    ),
    _both(
        "finish_reason", "str | list[str | None]",
        "the provider's own word; a list where there are several choices, with null for one that was cut short",
        "gen_ai.response.finish_reasons", loki="metadata",
    ),
    _field("cut_choices", "list[int]", "the places of the choices that were cut short, where others were not"),
    _field("refused", "bool", "true where the model refused"),
    _field("content_filtered", "bool", "true where the provider's filter cut the answer"),
    _both("http_status", "int", "the HTTP status: of a call that failed, of a request's response",
          "http.response.status_code", loki="metadata"),
    # Time
    _field("latency_ms", "float", "from the start of the call, or of the request, to its end", unit="ms",
           ecs="event.duration", loki="metadata"),
    _field("ttft_ms", "float", "from the start of the call to the first content", unit="ms",
           otel="gen_ai.response.time_to_first_chunk", loki="metadata"),
    _field("max_gap_ms", "float", "the longest wait between two chunks", unit="ms"),
    _field("tokens_per_second", "float", "output tokens by the time spent waiting for them after the first",
           unit="tokens/s", loki="metadata"),
    _field("wait_ms", "float", "time spent waiting for the provider", unit="ms"),
    _field("consumer_ms", "float", "time in the consumer's hands between two chunks", unit="ms"),
    _field("chunks", "int", "chunks delivered"),
    _field("content_chunks", "int", "chunks delivered that had content"),
    _field("unread_chunks", "int", "chunks that llmlog could not read, delivered all the same"),
    # Tokens and money
    _both("input_tokens", "int", "input, cached tokens included", "gen_ai.usage.input_tokens", unit="tokens",
          loki="metadata"),
    _both("output_tokens", "int", "output, reasoning included", "gen_ai.usage.output_tokens", unit="tokens",
          loki="metadata"),
    _field("cache_read_tokens", "int", "input read from the provider's cache", unit="tokens",
           otel="gen_ai.usage.cache_read.input_tokens", loki="metadata"),
    _field("cache_write_tokens", "int", "input written to the provider's cache", unit="tokens",
           otel="gen_ai.usage.cache_write.input_tokens"),
    _field("reasoning_tokens", "int", "output spent on reasoning", unit="tokens",
           otel="gen_ai.usage.reasoning.output_tokens", loki="metadata"),
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
    _field("usage_source", "str", "whose counts these are: provider, estimated or mixed", loki="metadata"),
    _field("usage_extrapolated", "bool",
           "true where not all of a text was kept to be counted, and the rest follows from its length"),
    _field("cost_usd", "float", "the price of the call; absent where it is not known", unit="USD", loki="metadata"),
    _field("cost_source", "str", "the price table's name and version"),
    _field("cost_partial", "bool", "true where the cost is a lower bound"),
    _field("inference_geo", "str", "where the provider ran the model, where its price depends on it"),
    # A request as it came in over HTTP, or by a websocket; the first four are in its context
    _both("http_method", "str", "the request's method; _OTHER for one that HTTP does not know", "http.request.method"),
    _both("http_path", "str", "its path, without the query, redacted", "url.path"),
    _both("client_address", "str", "the client's network or address, as configured", "client.address"),
    _field("client_request_id", "str", "the id that a client sent who is not trusted", loki="metadata"),
    _field("http_route", "str", "the route's template, where the framework tells it", otel="http.route"),
    _field("ttfb_ms", "float", "from the start of the request to the first byte of the response's body", unit="ms"),
    _field("request_bytes", "int", "the request's body: its Content-Length, or what the application has read of it; "
           "what a websocket brought in", unit="bytes", otel="http.request.body.size", ecs="http.request.body.bytes"),
    _field("response_bytes", "int", "the response's body, as far as it got; what went out by a websocket",
           unit="bytes", otel="http.response.body.size", ecs="http.response.body.bytes"),
    _field("close_code", "int", "the code that a websocket was closed with"),
    _field("messages_in", "int", "messages that came in by a websocket"),
    _field("messages_out", "int", "messages that went out by a websocket"),
    # What its calls came to: a request's record, and one over its budget (llm.budget)
    _field("budget_usd", "float", "what one request may cost", unit="USD"),
    _field("request_calls", "int", "ended calls of the request so far"),
    _field("request_input_tokens", "int", "their input together", unit="tokens"),
    _field("request_output_tokens", "int", "their output together", unit="tokens"),
    _field("request_cost_usd", "float", "their cost together", unit="USD"),
    _field("request_cost_partial", "bool", "true where not all of it is known: the cost is a lower bound"),
    # What was judged, by people (llm.feedback) or by evaluations (llm.score); call_id joins it to the call
    _field("score", "float", "how good it is", otel="gen_ai.evaluation.score.value"),
    _field("label", "str", "how good it is, in a word", otel="gen_ai.evaluation.score.label"),
    _field("comment", "str", "what the judge says of it", otel="gen_ai.evaluation.explanation"),
    _field("score_name", "str", "what is judged, such as relevance", otel="gen_ai.evaluation.name"),
    _field("evaluator", "str", "who, or what, judged"),
    # A run of a task (celery.task)
    _field("task_name", "str", "the task that ran"),
    _field("task_id", "str", "that run of it, its retries included", loki="metadata"),
    _field("task_state", "str", "SUCCESS, FAILURE, RETRY, REVOKED, IGNORED"),
    _field("task_retries", "int", "how many runs came before this one"),
    # What happened around the calls (system.event)
    _field("kind", "str", "deployment, configuration_change, provider_outage, rate_limit, or the user's own"),
    _field("version", "str", "the version that is deployed", otel="service.version", ecs="service.version"),
    # The process (system.metrics)
    _field("cpu_percent", "float", "of one processor's time, since the sample before"),
    _field("cpu_ms", "float", "processor's time since the process began", unit="ms"),
    _field("memory_bytes", "int", "memory that is resident", unit="bytes", otel="process.memory.usage"),
    _field("threads", "int", "its threads", otel="process.thread.count"),
    _field("open_files", "int", "its open files and sockets", otel="process.unix.file_descriptor.count"),
    _field("open_calls", "int", "LLM calls that have no end yet, streams that are held among them"),
    _field("spool_waiting_bytes", "int", "records in the spools that no backend has taken yet", unit="bytes"),
    # What became of records on their way to a backend (llm.delivery)
    _field("backend", "str", "the kind of backend that does not have these records"),
    _field("destination", "str", "its address, and what else tells it from others"),
    _field("dropped_records", "int", "records that were dropped where the spool, or the disk, was full"),
    _field("refused_records", "int", "records that the backend refused, put aside in a file"),
    _field("torn_records", "int", "records of which a process that was killed left only a part"),
    _field("spool_bytes", "int", "what the spool's files hold", unit="bytes"),
    _field("outage_ms", "float", "how long the backend took no records", unit="ms"),
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
