"""IBM watsonx.ai's text generation, streamed (`text_stream`) and whole.

Source of the format: IBM's API reference, "Infer text" and "Infer text event stream". Counts are totals so far, and the
first event alone has the prompt's: the others say 0. Its chat API speaks chat completions, and is read as such.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmlog.answers import Answer
from llmlog.providers.base import Provider, count, fields_of, parts, text_in
from llmlog.usage import Usage

__all__ = ["PROVIDER", "read_chunk", "read_response", "read_usage"]

_COUNTS = ("input_token_count", "generated_token_count")


def read_chunk(answer: Answer, chunk: Any) -> None:
    """Any event of a stream, or a whole answer. None of them brings the usage and nothing else."""
    fields = fields_of(chunk)
    if not answer.model:
        answer.model = text_in(fields.get("model_id")) or None
    for result in parts(fields.get("results")):
        _read_result(answer, fields_of(result))
    errors = fields.get("errors") or fields_of(fields.get("error")).get("errors")
    if error := next(iter(parts(errors)), None):
        _read_error(answer, fields_of(error), fields)
    elif error := fields.get("error"):
        message = text_in(error) or text_in(fields_of(error).get("message"))
        answer.error = (None, message or None, _status(fields.get("status_code")))


def read_response(answer: Answer, response: Any) -> None:
    """A whole answer, or the error that came instead."""
    read_chunk(answer, response)
    answer.end_mark = True


def _read_result(answer: Answer, result: Mapping[str, Any]) -> None:
    if text := text_in(result.get("generated_text")):
        answer.pieces.append(text)
    reason = text_in(result.get("stop_reason"))
    if reason and reason.lower() != "not_finished":
        answer.finish(0, reason)
        if reason.lower() == "error" and answer.error is None:
            answer.error = ("error", None, None)
    for name in _COUNTS:
        told = count(result.get(name))
        before = count((answer.usage or {}).get(name))
        if told is not None and told > (-1 if before is None else before):
            answer.usage = {**(answer.usage or {}), name: told}


def _read_error(answer: Answer, error: Mapping[str, Any], around: Mapping[str, Any]) -> None:
    status = _status(around.get("status_code")) or _status(fields_of(around.get("error")).get("status_code"))
    answer.error = (text_in(error.get("code")) or None, text_in(error.get("message")) or None, status)


def _status(value: Any) -> int | None:
    status = count(value)
    return status if status is not None and 400 <= status < 600 else None


def read_usage(raw: Any) -> Usage | None:
    """Already ours: nothing is cached, and reasoning is not told apart."""
    fields = fields_of(raw)
    given, produced = (count(fields.get(name)) for name in _COUNTS)
    return None if given is None and produced is None else Usage(given, produced)


def _matches(chunk: object) -> bool:
    fields = fields_of(chunk)
    results = parts(fields.get("results"))
    return bool(results) and "generated_text" in fields_of(results[0])


PROVIDER = Provider(
    name="watsonx",
    names=("watsonx", "ibm.watsonx.ai"),
    matches=_matches,
    chunk=read_chunk,
    response=read_response,
    usage=read_usage,
)
