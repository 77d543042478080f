"""The table of fields."""

import ast
import dataclasses
import logging
import pathlib
import re
import runpy

import pytest

from llmlog import semconv
from llmlog.semconv import FIELDS, STANDARD_ATTRIBUTES, attribute_name

SUMMARY = [
    "request_id",
    "user_id",
    "conversation_id",
    "prompt_name",
    "prompt_version",
    "feature",
    "record_id",
    "call_id",
    "parent_id",
    "operation",
    "provider",
    "model",
    "response_model",
    "response_id",
    "streamed",
    "chain_name",
    "chain_id",
    "tags",
    "cached",
    "attempt",
    "temperature",
    "max_tokens",
    "top_p",
    "top_k",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "choice_count",
    "reasoning_effort",
    "service_tier",
    "outcome",
    "ended_by",
    "finish_reason",
    "cut_choices",
    "refused",
    "content_filtered",
    "latency_ms",
    "ttft_ms",
    "max_gap_ms",
    "tokens_per_second",
    "chunks",
    "content_chunks",
    "unread_chunks",
    "wait_ms",
    "consumer_ms",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
    "input_image_tokens",
    "output_image_tokens",
    "cache_write_1h_tokens",
    "cache_audio_read_tokens",
    "cache_image_read_tokens",
    "input_video_tokens",
    "output_video_tokens",
    "web_searches",
    "total_tokens",
    "usage_source",
    "usage_extrapolated",
    "cost_usd",
    "cost_source",
    "cost_partial",
    "inference_geo",
    "prompt_length",
    "response_length",
    "reasoning_length",
    "tool_calls",
    "tool_names",
    "tool_arguments",
    "tool_arguments_length",
    "tool_arguments_sha256",
    "prompt_sha256",
    "response_sha256",
    "prompt_cut",
    "response_cut",
    "prompt",
    "response",
    "error_type",
    "error_message",
    "http_status",
    "trace_id",
    "span_id",
]
BUDGET = [
    "budget_usd",
    "request_calls",
    "request_input_tokens",
    "request_output_tokens",
    "request_cost_usd",
    "request_cost_partial",
]
HTTP = [
    "http_method",
    "http_path",
    "client_address",
    "client_request_id",
    "http_route",
    "ttfb_ms",
    "request_bytes",
    "response_bytes",
    "close_code",
    "messages_in",
    "messages_out",
]
DELIVERY = [
    "backend",
    "destination",
    "dropped_records",
    "refused_records",
    "torn_records",
    "spool_bytes",
    "outage_ms",
]
STEPS = [
    "tool_name",
    "tool_call_id",
    "arguments_length",
    "retriever",
    "query_length",
    "document_count",
    "document_ids",
    "document_scores",
]
BASE = [
    "timestamp",
    "level",
    "logger",
    "message",
    "error_type",
    "error_message",
    "error_stack_trace",
    "stack_info",
    "event",
    "service",
    "env",
]


def test_every_documented_field_is_in_the_table() -> None:
    """The fields of the records of calls, requests, budgets, deliveries, steps and of every line have their rows."""
    assert {*SUMMARY, *HTTP, *BUDGET, *DELIVERY, *STEPS, *BASE} <= FIELDS.keys()


def test_a_field_is_found_under_its_own_name() -> None:
    """The key of a row is its name, and no row was lost to a second one of the same name."""
    assert all(name == field.name for name, field in FIELDS.items())
    assert len(FIELDS) == len(semconv._TABLE)


@pytest.mark.parametrize("spelling", ["otel", "ecs"])
def test_no_two_fields_share_a_spelling(spelling: str) -> None:
    """In each other vocabulary, two fields would overwrite each other if they shared a name."""
    spellings = [getattr(field, spelling) for field in FIELDS.values()]
    assert len(spellings) == len(set(spellings))


def test_types_and_units_are_of_a_closed_set() -> None:
    """A generator of documentation or mappings can rely on the words in the table."""
    for field in FIELDS.values():
        names = {node.id for node in ast.walk(ast.parse(field.type)) if isinstance(node, ast.Name)}
        assert names <= {"str", "int", "float", "bool", "list"}, field.name
        assert field.unit in {None, "ms", "tokens", "tokens/s", "USD", "characters", "bytes"}, field.name
        assert field.loki in {"label", "metadata", "line"}, field.name
        assert field.elasticsearch in {"keyword", "long", "double", "boolean", "text", "date"}, field.name
        assert field.meaning
        assert field.meaning[-1] != "."


def test_only_fields_of_few_values_are_labels_of_loki() -> None:
    """An id as a label makes a stream of its own for every request."""
    assert {name for name, field in FIELDS.items() if field.loki == "label"} == {"level", "service", "env"}
    assert all(field.loki == "metadata" for name, field in FIELDS.items() if re.search(r"_id$", name))


def test_a_row_cannot_be_changed() -> None:
    """The table is one for the whole process."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        FIELDS["model"].otel = "other"  # type: ignore[misc]


def test_the_attributes_of_any_record_are_known() -> None:
    """What a record has by itself, and what formatters add, is never a field of the user's."""
    record = logging.makeLogRecord({})
    logging.Formatter("%(asctime)s").format(record)
    assert record.__dict__.keys() <= STANDARD_ATTRIBUTES
    assert "taskName" in STANDARD_ATTRIBUTES


@pytest.mark.parametrize("name", sorted(STANDARD_ATTRIBUTES))
def test_a_taken_name_gets_an_underscore(name: str) -> None:
    """A context field called `name` or `args` cannot overwrite the record's own."""
    assert attribute_name(name) == f"{name}_"
    assert attribute_name(f"{name}_") == f"{name}_"


def test_no_field_of_the_summary_needs_another_name() -> None:
    """llmlog's own fields are plain attributes of the record under their documented names."""
    assert [attribute_name(name) for name in SUMMARY] == SUMMARY


def test_the_page_of_fields_is_the_tables() -> None:
    """docs/fields.md is what `python docs/fields.py` writes: no field is missing, no spelling out of date."""
    docs = pathlib.Path(__file__).parents[2] / "docs"
    assert (docs / "fields.md").read_text(encoding="utf-8") == runpy.run_path(str(docs / "fields.py"))["page"]()


def test_the_conventions_own_names_are_of_one_vocabulary() -> None:
    """A field without a name elsewhere is llmlog's there, under its own name."""
    for field in FIELDS.values():
        for spelling in (field.otel, field.ecs):
            assert not spelling.startswith("llmlog.") or spelling == f"llmlog.{field.name}"
