"""What is known of a call (`Facts`), and the one record that sums it up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from llmlog.answers import Answer
from llmlog.captures import captured, cut
from llmlog.context import NOTHING, Context
from llmlog.costs import CACHED, FREE, UNSENT
from llmlog.faults import fault, notice
from llmlog.figures import figures
from llmlog.plain import text_of, type_name
from llmlog.prompts import NO_PROMPT
from llmlog.providers import UNKNOWN, Provider
from llmlog.redaction import redact
from llmlog.request_state import RequestState
from llmlog.settings import Settings
from llmlog.wire import Wire

__all__ = ["Ending", "Facts", "beginning", "best_informed", "error_fields", "provider_of", "summary"]

_LEFT_EARLY = frozenset({"close", "context_exit", "loop_left", "garbage_collected", "client_disconnect"})
_CONSUMER_WENT = frozenset({*_LEFT_EARLY, "consumer_exception", "cancellation"})
_CAUSES = 10  # of an error that are looked at: chains may be rings
_MAX_ERROR = 500


class Ending(NamedTuple):
    """How a call ended. `at` is a reading of its clock, `created` Unix seconds; None: its process died, unseen.

    `around`: the requests that it counts in. `disconnected`: whether the client of one of them has hung up.
    """

    by: str
    at: float | None
    created: float | None
    error: BaseException | None = None
    around: tuple[RequestState, ...] = ()
    disconnected: bool = False


class Facts:
    """The state of one call. Times are readings of `clock`, in seconds; None: has not happened.

    `sending` is the time waited until the first content, `wait` the time spent waiting for chunks since, `gap` the
    longest such wait. `first_pull`: when the first chunk was asked for, moved on by what was waited for the content.
    `pulled`: when a chunk was last asked for, `last`: when one last came. `is_left`: its loop was left. `loops`:
    iterators that are alive. `unread`: chunks that could not be read. `driven`: an answer is coming in, or has come.
    `told`: its answer does not pass here: somebody tells of it as a whole. `part`: the same call as an inner layer saw
    it. `retries`: how often its SDK has sent it again. `wire`: parses the body, where the chunks are its pieces.
    """

    __slots__ = (
        "answer", "call_id", "chunks", "context", "driven", "ending", "fields", "first_content", "first_pull", "gap",
        "hide_usage", "is_left", "last", "loops", "model", "part", "prompt", "provider", "pulled", "reader", "retries",
        "sending", "settings", "started", "streamed", "told", "trace", "unread", "wait", "wire",
    )  # fmt: skip

    part: Facts | None

    def __init__(self, call_id: str, context: Context, chosen: Settings) -> None:
        self.call_id = call_id
        self.context = context
        self.trace: Mapping[str, str] = NOTHING
        self.settings = chosen
        self.fields: Mapping[str, Any] = NOTHING
        self.prompt = NO_PROMPT
        self.provider: str | None = None
        self.model: str | None = None
        self.reader = UNKNOWN
        self.answer = Answer()
        self.part = None
        self.wire: Wire | None = None
        self.streamed = self.driven = self.hide_usage = self.is_left = self.told = False
        self.chunks = self.unread = self.loops = self.retries = 0
        self.wait = self.gap = self.sending = 0.0
        self.first_pull: float | None = None
        self.first_content: float | None = None
        self.ending: Ending | None = None
        self.started = self.last = self.pulled = chosen.clock()

    @property
    def clock(self) -> Callable[[], float]:
        """What its times are readings of."""
        return self.settings.clock


def beginning(call: Facts) -> dict[str, Any]:
    """The fields that are known when a call starts."""
    known: dict[str, Any] = {
        **call.context.attributes(),
        **call.trace,
        **call.fields,
        "call_id": call.call_id,
        "operation": call.fields.get("operation", call.reader.operation),
        "provider": provider_of(call),
        "model": call.model,
        "streamed": call.streamed or None,
        "prompt_length": call.prompt.length(),
    }
    known.pop("trace_flags", None)
    return {name: value for name, value in known.items() if value is not None}


def provider_of(call: Facts) -> str | None:
    """Its provider's name, where that is known: from the caller, from the answer, or by the answer's format."""
    return call.provider or call.answer.provider or (None if call.reader.is_form else call.reader.name)


def summary(call: Facts) -> tuple[int, str, dict[str, Any]]:
    """Level, message and fields of the record of an ended call."""
    ending = call.ending or Ending("garbage_collected", None, None)
    layers = _layers(call)
    source = best_informed(call)
    answer, reader = source.answer, source.reader
    outcome, ended_by = _outcome(ending, call.chunks, answer, reader)
    fields: dict[str, Any] = {}
    for layer in reversed(layers):
        fields.update(layer.fields)
    model = next((layer.model for layer in layers if layer.model), None)
    provider = next((name for name in map(provider_of, layers) if name), None)
    prompt = next((layer.prompt for layer in layers if layer.prompt.input is not None), call.prompt)
    status = _status(ending.error) if outcome == "error" else None
    if outcome == "error" and status is None and answer.error:
        status = answer.error[2]
    refused = status is not None and not call.chunks
    unsent = outcome == "error" and status is None and not call.chunks and _never_connected(ending.error)
    came = call.chunks or (call.driven and not call.streamed)
    unread = bool(reader.formats and came and _nothing_read(answer))
    unseen = call.told and call.streamed and not (call.chunks or refused or unsent) and _nothing_read(answer)
    if unread:
        notice("unread", "a call's answer came in a form that is not read: its record has no output tokens or text")
    try:
        fields.update(
            figures(
                answer,
                reader,
                prompt,
                provider=provider,
                model=model,
                free=CACHED if fields.get("cached") is True else FREE if refused else UNSENT if unsent else None,
                unread=unread or unseen,
                settings=call.settings,
            )
        )
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a usage of a shape nobody has seen, a panic: the rest of the record is right
        fault("counting and pricing", error)
    streamed = call.streamed
    counted = streamed and (call.chunks > 0 or not call.told)
    if unseen and "cost_usd" in fields:
        fields["cost_partial"] = True
    fields.update(
        call_id=call.call_id,
        operation=fields.get("operation", reader.operation),
        provider=provider,
        model=model,
        response_model=answer.model,
        response_id=answer.response_id,
        streamed=streamed,
        outcome=outcome,
        ended_by=ended_by,
        http_status=status,
        retries=sum(layer.retries for layer in layers) or None,
        service_tier=answer.service_tier,
        finish_reason=_finish_reason(answer),
        cut_choices=_cut_choices(answer),
        refused=answer.refused or None,
        content_filtered=answer.content_filtered or None,
        chunks=call.chunks if counted else None,
        content_chunks=call.answer.content_chunks if counted else None,
        prompt_length=prompt.length(),
        response_length=sum(map(len, answer.texts.values())) if call.driven and not unread else None,
        reasoning_length=len(answer.reasoning) or None,
        tool_calls=len(answer.tool_calls) or None,
        tool_names=[tool.name for tool in answer.tool_calls.values() if tool.name] or None,
        unread_chunks=call.unread or None,
    )
    fields.update(_times(call, ending.at, fields.get("output_tokens")))
    if outcome == "error" or ended_by in ("cancellation", "consumer_exception"):  # a hang-up is nobody's error
        fields.update(_error(ending.error, answer))
    if call.settings.capture:
        try:
            fields.update(captured(answer, prompt, call.settings.capture))
        except Exception as error:  # a message of a shape nobody has seen: no text is better than one unredacted
            fault("capturing", error)
    first = {"event": "llm.call", "record_id": call.call_id, **call.context.attributes(), **call.trace}
    made = {**first, **{name: value for name, value in fields.items() if value is not None}}
    made.pop("trace_flags", None)
    made.update(event="llm.call", record_id=call.call_id)
    return _level(outcome, ended_by), _message(made), made


def _nothing_read(answer: Answer) -> bool:
    """Whether chunks in no known form have brought nothing, by whichever name they were read."""
    return not (answer.content_chunks or answer.finish_reasons or answer.error) and answer.usage is None


def _layers(call: Facts) -> list[Facts]:
    layers = [call]
    while (part := layers[-1].part) is not None:
        layers.append(part)
    return layers


def best_informed(call: Facts) -> Facts:
    """The layer whose answer to use: one that turned the chunks into something else knows less of it."""
    if call.part is None:
        return call
    layers = _layers(call)
    for layer in layers:
        if layer.answer.usage is not None:
            return layer
    return next((layer for layer in reversed(layers) if not layer.reader.is_form), layers[0])


def _outcome(ending: Ending, chunks: int, answer: Answer, reader: Provider) -> tuple[str, str]:
    """Outcome and ended_by: the table of endings."""
    ended_by = ending.by
    if ending.disconnected and ended_by in _CONSUMER_WENT:
        ended_by = "client_disconnect"
    if ended_by == "exhausted":
        if answer.error is not None:
            return "error", ended_by
        told = reader.name != "unknown" or chunks > 0
        whole = answer.finished() or (not reader.ends and told)
        return ("completed" if whole else "incomplete"), ended_by
    if ended_by == "exception":
        return "error", ended_by
    if ended_by in _LEFT_EARLY and answer.finished():
        return "completed", ended_by
    if ended_by in ("cancellation", "client_disconnect"):
        return "cancelled", ended_by
    return ("lost" if ended_by == "recovery" else "aborted"), ended_by


def _level(outcome: str, ended_by: str) -> int:
    if outcome in ("error", "lost"):
        return logging.ERROR
    if outcome == "incomplete" or ended_by in ("consumer_exception", "cancellation", "interpreter_exit"):
        return logging.WARNING
    return logging.INFO


def _times(call: Facts, ended: float | None, output_tokens: int | None) -> dict[str, Any]:
    if ended is None:  # its process died before it told more than its start
        return {}
    times: dict[str, Any] = {"latency_ms": _ms(ended - call.started)}
    if call.first_content is not None:
        times["ttft_ms"] = _ms(call.first_content - call.started)
    if call.first_pull is not None or not (call.chunks or (call.told and call.streamed)):  # else nobody saw who waited
        times["wait_ms"] = _ms(call.sending + call.wait)
    if call.chunks and call.first_pull is not None:
        times["consumer_ms"] = _ms(call.last - call.first_pull - call.wait)
        if call.first_content is not None and call.last > call.first_content:
            times["max_gap_ms"] = _ms(call.gap)
            # By the time spent waiting, not by the clock: a slow consumer is no slow model. One that is so slow that
            # the chunks lie ready when it comes for them hides the model's speed.
            if output_tokens and call.wait > (call.last - call.first_content) / 100:
                times["tokens_per_second"] = round(output_tokens / call.wait, 1)
    return times


def _ms(seconds: float) -> float:
    return round(max(0.0, seconds) * 1000, 3)


def _finish_reason(answer: Answer) -> Any:
    reasons = [answer.finish_reasons[choice] for choice in sorted(answer.finish_reasons)]
    return reasons[0] if len(reasons) == 1 else reasons or None


def _cut_choices(answer: Answer) -> list[int] | None:
    """Where some of several choices have come to their end, the places of those that have not."""
    ended = answer.finish_reasons
    choices = sorted({*ended, *(choice for choice, text in answer.texts.items() if text)})
    return [place for place, choice in enumerate(choices) if choice not in ended] or None if ended else None


def _error(error: BaseException | None, answer: Answer) -> dict[str, Any]:
    if error is not None:
        return error_fields(error)
    if answer.error is not None:
        return _error_fields(answer.error[0] or "error", answer.error[1])
    return {}


def error_fields(error: BaseException) -> dict[str, Any]:
    """What a record tells of an exception, without its traceback."""
    kind = type(error)
    name = type_name(kind)
    return _error_fields(name, text_of(error))


def _error_fields(name: str, message: str | None) -> dict[str, Any]:
    # Redacted here, not only in a filter: a provider's message quotes what was sent to it.
    return {"error_type": name, "error_message": cut(text_of(redact(message)), _MAX_ERROR)[0] if message else None}


def _status(error: BaseException | None) -> int | None:
    try:
        response = getattr(error, "response", None)
        found = [getattr(one, name, None) for one in (error, response) for name in ("status_code", "status", "code")]
        if isinstance(response, Mapping):  # botocore's
            found.append(response.get("ResponseMetadata", {}).get("HTTPStatusCode"))
        for status in found:
            if isinstance(status, int) and not isinstance(status, bool) and 400 <= status < 600:
                return int(status)
    except Exception:  # an error whose attributes raise
        pass
    return None


_NO_CONNECTION = frozenset({
    "ConnectionRefusedError", "gaierror",  # the standard library's
    "ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError",  # httpx's and httpcore's, requests' too
    "ConnectTimeoutError", "NewConnectionError",  # urllib3's, botocore's
    "EndpointConnectionError", "ClientConnectorError",  # botocore's, aiohttp's
})  # fmt: skip


def _never_connected(error: BaseException | None) -> bool:
    """Whether there was no connection. A read that timed out is none of these: the provider may have worked on.

    Causes are followed, and one context, of those who raise in a handler: an attempt before may stand further back.
    """
    for depth in range(_CAUSES):
        if error is None:
            break
        if any(kind.__name__ in _NO_CONNECTION for kind in type(error).__mro__):
            return True
        error = error.__cause__ or (error.__context__ if depth == 0 else None)
    return False


def _message(fields: dict[str, Any]) -> str:
    name = fields.get("model") or fields.get("response_model") or fields.get("provider") or "LLM call"
    said = f"{name} {fields['outcome']}"
    if fields["outcome"] != "completed" or fields["ended_by"] != "exhausted":
        said += f" ({fields['ended_by']})"
    if error := fields.get("error_type"):
        said += f", {error}"
    if (latency := fields.get("latency_ms")) is not None:
        said += f" in {_duration(latency)}"
    mark = "" if fields.get("usage_source") == "provider" else "~"
    if (output := fields.get("output_tokens")) is not None:
        said += f", {mark}{fields.get('input_tokens', '?')} + {output} tokens"
    if (cost := fields.get("cost_usd")) is not None:
        said += f", {'at least ' if fields.get('cost_partial') else ''}${cost:.6f}"
    return said


def _duration(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"
