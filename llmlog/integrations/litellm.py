"""LiteLLM: a logger for its SDK and its proxy, with a record for each attempt.

    litellm.callbacks = [llmlog.integrations.litellm.logger]            # the SDK

    litellm_settings:                                                   # the proxy's config.yaml
      callbacks: llmlog.integrations.litellm.logger

LiteLLM tells of an attempt before it is sent, and of its end where there is one. The proxy's streams pass through here,
chunk by chunk. The SDK's do not: a stream that is left there has a record that says so, and not how much had come;
`llmlog.stream(...)` around it sees that, and the two are one call with one record.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any
from weakref import WeakValueDictionary

from llmlog.calls import Call, set_under_way, under_way
from llmlog.clients.sending import parameters
from llmlog.exceptions import UsageTypeError
from llmlog.faults import fault
from llmlog.lifecycle import how_it_failed
from llmlog.providers.base import fields_of, parts, text_in
from llmlog.providers.litellm import provider_named

try:
    from litellm.integrations.custom_logger import CustomLogger  # type: ignore[import-not-found, unused-ignore]
except ImportError as error:
    raise ImportError(f"{error}: pip install 'llmlog[litellm]'") from error

__all__ = ["Logger", "logger"]

_KEY = "llmlog_attempt"
"""Under it LiteLLM's own notes of an attempt hold what is known here: as long as LiteLLM keeps those, and no longer."""

_OPERATIONS = {"completion": "chat", "embedding": "embeddings", "responses": "chat", "anthropic_messages": "chat"}
"""What LiteLLM calls an operation, where OpenTelemetry has another word."""

_ASKED_FOR_USAGE = frozenset({"openai", "azure", "text-completion-openai", "azure_text", "custom_openai"})
"""The providers, in LiteLLM's words, that send a stream's usage only where they are asked for it."""

_SEEN = 10_000
"""So many ids are remembered: the attempts of one request to the proxy share theirs, and an end may be told twice."""


class _AttemptCall(Call):
    """The call of one attempt. It is being sent only as seen from inside LiteLLM: who is told of its start is told of
    no later moment in the same context.
    """

    __slots__ = ()

    def is_over(self) -> bool:
        return super().is_over() or not _is_inside_litellm()

    def takes_part(self) -> bool:
        return False


class _Attempt:
    """What is known of one attempt. `owns`: its call is its own, and not that of a block around it. `loggers`: who was
    told of its start.

    Not to be copied with the notes that hold it: a copy would outlive them.
    """

    __slots__ = ("__weakref__", "began", "call", "loggers", "loop", "owns")

    def __init__(self, call: Call, owns: bool, began: float) -> None:
        self.call, self.owns, self.began = call, owns, began
        self.loggers: set[int] = set()
        try:
            self.loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self.loop = None

    def __del__(self) -> None:
        # A coroutine that is cancelled goes without a word; the loop that ends takes all.
        call = self.call
        waited = self.owns and not (call.streamed or call.driven)
        if waited and self.loop is not None and self.loop.is_running():
            call.end("cancellation", asyncio.CancelledError(), deferred=True)

    def __copy__(self) -> None:
        return None

    def __deepcopy__(self, memo: Any) -> None:
        return None

    def __reduce__(self) -> Any:
        return type(None), ()

    def fail(self, error: BaseException | None, at: tuple[float, float] | None = None) -> None:
        """It is over; in a block of the user's, another attempt may follow."""
        if error is not None and not self.owns:
            self.call.failed(error)
        else:
            self.call.end("exception" if error is None else how_it_failed(error), error, at=at)

    def at(self, end_time: Any) -> tuple[float, float] | None:
        """LiteLLM's own time of the end, by the call's clock and in Unix seconds: it may tell of it much later."""
        if not isinstance(end_time, datetime):
            return None
        ended = end_time.timestamp()
        return self.call.started + max(0.0, ended - self.began), ended


class _Ids:
    """LiteLLM's ids: the attempts that are open, by theirs, and those that have been seen. Known to all loggers."""

    def __init__(self) -> None:
        self.open: WeakValueDictionary[str, _Attempt] = WeakValueDictionary()
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def is_new(self, call_id: str) -> bool:
        """Whether it was never seen, until now."""
        with self._lock:
            if call_id in self._seen:
                return False
            self._seen[call_id] = None
            while len(self._seen) > _SEEN:
                self._seen.popitem(last=False)
            return True


_ids = _Ids()


class Logger(CustomLogger):  # type: ignore[misc, unused-ignore]  # where mypy runs, LiteLLM is not
    """Gives each attempt of LiteLLM's to answer its record: each retry and each fallback of a Router too.

    `fields`: more fields for each record. LiteLLM's id of an attempt is the `call_id`; attempts of one request of a
    Router, or of the proxy, share its trace id as their `parent_id`. The `user` asked for is the `user_id`, a session
    the `conversation_id`, the tags in the metadata are `tags`, and an answer from LiteLLM's cache is `cached`.
    """

    def __init__(self, **fields: Any) -> None:
        super().__init__()
        self._fields = fields

    # What LiteLLM tells

    def log_pre_api_call(self, model: Any, messages: Any, kwargs: Any) -> None:
        """An attempt is being sent."""
        try:
            known = _noted(kwargs)
            if known is None or not known.call.is_open or id(self) in known.loggers:
                known = self._begin(kwargs, model, messages)
            else:  # another logger has begun it
                known.call.fields = {**self._fields, **known.call.fields}
            known.loggers.add(id(self))
        except Exception as error:
            fault("a callback of LiteLLM's", error)

    def log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """The answer is whole."""
        self._end(kwargs, response_obj, start_time, end_time)

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """The same, of an asynchronous attempt."""
        self._end(kwargs, response_obj, start_time, end_time)

    def log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """The attempt failed."""
        self._end(kwargs, response_obj, start_time, end_time, failed=True)

    async def async_log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """The same, of an asynchronous attempt."""
        self._end(kwargs, response_obj, start_time, end_time, failed=True)

    async def async_post_call_failure_deployment_hook(
        self, request_data: Any, exception: Any, call_type: Any, **kwargs: Any
    ) -> None:
        """The same, told of each attempt: the event above comes once for each request to the proxy."""
        try:
            attempt = _attempt_of(request_data)
            if attempt is not None and isinstance(exception, BaseException):
                attempt.fail(exception)
        except Exception as error:
            fault("a callback of LiteLLM's", error)

    async def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict: Any, response: Any, request_data: Any
    ) -> AsyncIterator[Any]:
        """The proxy hands out a stream: its chunks pass through here as they are."""
        stream = self._watched(response, request_data)
        try:
            async for chunk in stream:
                yield chunk
        finally:
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()

    # What comes of it

    def _begin(self, kwargs: Any, model: Any, messages: Any) -> _Attempt:
        told, call_id = fields_of(kwargs), _id_of(kwargs)
        call = _call(told, model, messages, self._fields)
        if call_id is not None and _ids.is_new(call_id):
            call.call_id = call_id
        around = outer = under_way()
        while isinstance(outer, _AttemptCall):  # one beside it, not around it
            outer = outer.outer
        if outer is not around:
            set_under_way(outer)
        entered = call.__enter__()
        attempt = _Attempt(entered, entered is call, time.time())
        if call_id is not None:
            _ids.open[call_id] = attempt
        if isinstance(kwargs, dict):
            kwargs[_KEY] = attempt
        return attempt

    def _attempt(self, kwargs: Any, start_time: Any) -> _Attempt | None:
        """The attempt that is told of; one begun now, where its start was not told; None: its end has been told."""
        call_id = _id_of(kwargs)
        attempt = _noted(kwargs) or (None if call_id is None else _ids.open.get(call_id))
        if attempt is not None:
            return attempt
        if call_id is not None and not _ids.is_new(call_id):
            return None
        call = _call(fields_of(kwargs), None, None, self._fields)
        if call_id is not None:
            call.call_id = call_id
        began = time.time()
        if isinstance(start_time, datetime):
            call.started -= max(0.0, began - start_time.timestamp())
            began = min(began, start_time.timestamp())
        return _Attempt(call.begin(), True, began)

    def _end(self, kwargs: Any, response: Any, start_time: Any, end_time: Any, *, failed: bool = False) -> None:
        try:
            attempt = self._attempt(kwargs, start_time)
            if attempt is None:
                return
            call, told, at = attempt.call, fields_of(kwargs), attempt.at(end_time)
            if told.get("cache_hit") is True:
                call.fields = {**call.fields, "cached": True}
            if failed:
                attempt.fail(_error_of(told), at)
            elif not call.driven:
                first = told.get("completion_start_time")
                if call.streamed and isinstance(first, datetime):
                    call.first_content = call.started + max(0.0, first.timestamp() - attempt.began)
                call.take(_whole(told, response), at=at)
            elif attempt.owns:
                call.end("exhausted", at=at)
        except Exception as error:
            fault("a callback of LiteLLM's", error)

    def _watched(self, response: Any, request: Any) -> Any:
        try:
            attempt = _attempt_of(request)
            if attempt is not None and attempt.call.is_open and not attempt.call.driven:
                return attempt.call.stream(response)
        except UsageTypeError:  # not a stream of chunks
            pass
        except Exception as error:
            fault("a stream of LiteLLM's proxy", error)
        return response


def _is_inside_litellm() -> bool:
    """Whether this code was called by LiteLLM's, or awaited by it."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        if text_in(frame.f_globals.get("__name__")).startswith("litellm."):
            return True
    return False


# LiteLLM's words


def _id_of(kwargs: Any) -> str | None:
    told = fields_of(kwargs)
    return text_in(told.get("litellm_call_id")) or text_in(_params(told).get("litellm_call_id")) or None


def _noted(kwargs: Any) -> _Attempt | None:
    """The attempt that LiteLLM's notes hold."""
    found = fields_of(kwargs).get(_KEY)
    return found if isinstance(found, _Attempt) else None


def _attempt_of(request: Any) -> _Attempt | None:
    """The attempt at answering this request that was begun last."""
    asked = fields_of(request)
    attempt = _noted(getattr(asked.get("litellm_logging_obj"), "model_call_details", None))
    return attempt or _ids.open.get(_id_of(request) or "")


def _params(told: Mapping[str, Any]) -> Mapping[str, Any]:
    return fields_of(told.get("litellm_params"))


def _metadata(told: Mapping[str, Any]) -> Mapping[str, Any]:
    params = _params(told)
    found = [fields_of(where.get(name)) for where in (told, params) for name in ("metadata", "litellm_metadata")]
    return {name: value for one in found for name, value in one.items()}


def _error_of(told: Mapping[str, Any]) -> BaseException | None:
    error = told.get("exception")
    return error if isinstance(error, BaseException) else None


def _whole(told: Mapping[str, Any], response: Any) -> Any:
    """The whole answer. LiteLLM's usage of a stream whose provider was not asked for it is no more than its own guess:
    it is left out, so that the tokens are counted here, and marked.
    """
    whole = told.get("complete_streaming_response") or told.get("async_complete_streaming_response") or response
    if told.get("stream") is not True:
        return whole
    asked = fields_of(told.get("stream_options")) or fields_of(
        fields_of(told.get("optional_params")).get("stream_options")
    )
    usage = fields_of(fields_of(whole).get("usage"))
    silent = told.get("custom_llm_provider") in _ASKED_FOR_USAGE and asked.get("include_usage") is not True
    if silent or not usage.get("completion_tokens"):
        return _WithoutUsage(whole)
    return whole


class _WithoutUsage:
    """An answer as LiteLLM has put it together, but for its usage."""

    def __init__(self, whole: Any) -> None:
        self.__dict__.update({**fields_of(whole), "usage": None})
        self._hidden_params = getattr(whole, "_hidden_params", None)


def _call(told: Mapping[str, Any], model: Any, messages: Any, fields: Mapping[str, Any]) -> _AttemptCall:
    asked = fields_of(told.get("optional_params"))
    kind = text_in(told.get("call_type"))
    kind = kind[1:] if kind[:1] == "a" and kind != "anthropic_messages" else kind
    sent = messages if messages is not None else told.get("messages", told.get("input"))
    tools = asked.get("tools")
    call = _AttemptCall(
        model=text_in(told.get("model")) or text_in(model) or None,
        input=sent if isinstance(sent, (str, list, tuple, Mapping)) else None,
        tools=tools if isinstance(tools, (list, tuple)) else None,
        fields={
            "operation": _OPERATIONS.get(kind, kind) or "chat",
            **fields,
            **parameters(
                temperature=asked.get("temperature"),
                max_tokens=(asked.get("max_tokens"), asked.get("max_completion_tokens")),
                top_p=asked.get("top_p"),
                top_k=asked.get("top_k"),
                frequency_penalty=asked.get("frequency_penalty"),
                presence_penalty=asked.get("presence_penalty"),
                seed=asked.get("seed"),
                choice_count=asked.get("n"),
                reasoning_effort=asked.get("reasoning_effort"),
            ),
            **_labels(told),
        },
    )
    provider = told.get("custom_llm_provider") or _params(told).get("custom_llm_provider")
    call.provider = provider_named(provider)
    call.told = True
    call.streamed = told.get("stream") is True or asked.get("stream") is True
    return call


def _labels(told: Mapping[str, Any]) -> dict[str, Any]:
    """Who asked, in which conversation, and what this attempt is one of."""
    metadata, params = _metadata(told), _params(told)
    routed = "model_group" in metadata or "deployment" in metadata
    found = {
        "parent_id": text_in(told.get("litellm_trace_id")) if routed else text_in(metadata.get("trace_id")),
        "user_id": text_in(told.get("user"))
        or text_in(metadata.get("user_api_key_end_user_id"))
        or text_in(metadata.get("user_api_key_user_id")),
        "conversation_id": text_in(metadata.get("session_id")) or text_in(params.get("litellm_session_id")),
        "tags": [tag for tag in parts(metadata.get("tags")) if isinstance(tag, str)],
    }
    return {name: value for name, value in found.items() if value}


logger = Logger()
"""For the whole process: what LiteLLM's settings name."""
