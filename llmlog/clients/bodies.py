"""HTTP responses that the caller reads: raw ones of an SDK, and bodies that come in pieces."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from llmlog.calls import Call
from llmlog.clients.sending import answered
from llmlog.faults import fault
from llmlog.lifecycle import how_it_left

__all__ = ["MAX_BODY", "body_read", "watch"]

MAX_BODY = 32_000_000
"""Bytes of a whole answer's body that are kept to be read; a longer one is handed on, and not read."""


def watch(call: Call, answer: Any, *, is_async: bool) -> Any:
    """An SDK's answer, watched; of a raw one the body, read here if it has come already, and else by its reader."""
    http = getattr(answer, "http_response", None)
    if http is None and hasattr(answer, "iter_bytes") and hasattr(answer, "status_code"):
        http = answer  # httpx's own response was asked for
    if http is None:
        return answered(call, answer)
    try:
        body = http.content
    except RuntimeError:  # it has not been read
        body = None
    if body is None:
        _watch_reading(call, answer, http, is_async)
    else:
        body_read(call, body)
    return answer


def _watch_reading(call: Call, answer: Any, http: Any, is_async: bool) -> None:
    name = "aiter_bytes" if is_async else "iter_bytes"  # all other ways of reading come to it
    original = getattr(http, name)
    held: list[Any] = []  # the stream, till the response is closed: a loop that was left is not the end

    def unwatch() -> None:
        vars(http).pop(name, None)

    def pieces(*args: Any, **kwargs: Any) -> Any:
        unwatch()  # what is asked for again, the response has kept
        source = original(*args, **kwargs)
        if not call.streamed:
            return _given_async(call, source) if is_async else _given(call, source)
        stream = call.stream(source)
        if hasattr(answer, "close"):
            held.append(stream)
        return stream

    setattr(http, name, pieces)
    if answer is http:
        return
    if call.streamed and hasattr(answer, "parse"):
        answer.parse = _parsing(answer, call, unwatch)
    if hasattr(answer, "close"):
        answer.close = _closing(answer, call, held)


def body_read(call: Call, body: bytes | bytearray) -> None:
    """The whole body of the answer has been read."""
    try:
        answered(call, _answer_in(body) if len(body) < MAX_BODY else None)
    except Exception as error:
        fault("watching an answer", error)
        call.end("exhausted")


def _answer_in(body: bytes | bytearray) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")


def _given(call: Call, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces of a whole answer's body, handed on; read when the last one has come."""
    body = bytearray()
    try:
        for piece in pieces:
            if len(body) < MAX_BODY:
                body += piece
            yield piece
    except BaseException as error:
        _broken(call, error)
        raise
    body_read(call, body)


async def _given_async(call: Call, pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """As `_given`, for `async for`."""
    body = bytearray()
    try:
        async for piece in pieces:
            if len(body) < MAX_BODY:
                body += piece
            yield piece
    except BaseException as error:
        _broken(call, error)
        raise
    body_read(call, body)


def _broken(call: Call, error: BaseException) -> None:
    if not isinstance(error, GeneratorExit):  # the reader may have stopped, and closes the response next
        call.failed(error)


def _closing(answer: Any, call: Call, held: list[Any]) -> Callable[..., Any]:
    """Its `close`, which ends the call: what a `with` around the response does when it is left."""
    close = answer.close
    handled = sys.exception()  # another one is what the block is left by

    @functools.wraps(close)
    def closed(*args: Any, **kwargs: Any) -> Any:
        vars(answer).pop("close", None)
        error = sys.exception()
        if error is handled:
            error = None
        call.end(how_it_left(error), error, deferred=isinstance(error, GeneratorExit))
        held.clear()
        return close(*args, **kwargs)

    return closed


def _parsing(answer: Any, call: Call, unwatch: Callable[[], None]) -> Callable[..., Any]:
    """Its `parse`, to a stream: that is watched then, and not the body."""
    parse = answer.parse
    seen: list[tuple[Any, Any]] = []

    def watched(parsed: Any) -> Any:
        for known, stream in seen:
            if parsed is known:
                return stream
        unwatch()
        try:
            stream = call.stream(parsed)
        except Exception as error:
            fault("watching an answer", error)
            return parsed
        kept = getattr(answer, "_parsed_by_type", None)
        if isinstance(kept, dict):  # the SDK hands out the same again, and it had better be this one
            kept.update({key: stream for key, value in kept.items() if value is parsed})
            vars(answer).pop("parse", None)
        else:
            seen.append((parsed, stream))
        return stream

    @functools.wraps(parse)
    def parsed(*args: Any, **kwargs: Any) -> Any:
        found = parse(*args, **kwargs)
        if hasattr(found, "__await__"):

            async def later() -> Any:
                return watched(await found)

            return later()
        return watched(found)

    return parsed
