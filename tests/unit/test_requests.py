"""The record of a request, and how it tells endings apart."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from conftest import Clock, Records, chunk

import llmlog
from llmlog import worker
from llmlog.context import Context, current, enter
from llmlog.middleware.requests import Connection, Exchange, is_open, leave, opened
from llmlog.request_state import RequestState


def exchange(kind: Any = Exchange, fields: dict[str, Any] | None = None, **known: Any) -> Any:
    """A request that begins now."""
    context = opened({"request_id": "r-1", "http_method": "GET", "http_path": "/a/7", **(fields or {})})
    return kind(context, route=known.pop("route", lambda: None), **known)


def ended(one: Any, calls: Records, *, error: BaseException | None = None) -> dict[str, Any]:
    """Its record, once it is over."""
    one.end(error)
    (record,) = calls.requests()
    return record


def test_an_answered_request(calls: Records, clock: Clock) -> None:
    """Who asked for what, how it ended, and how long it took."""
    one = exchange(route=lambda: "/a/{item}", declared=3)
    one.received_piece(3)
    clock.advance(0.5)
    one.status = 200
    one.sent_piece(0)
    clock.advance(0.25)
    one.sent_piece(4)
    one.sent_piece(6)
    clock.advance(0.25)
    one.is_out()
    clock.advance(60)  # a background task
    record = ended(one, calls)
    told = {"request_id": "r-1", "http_method": "GET", "http_path": "/a/7", "http_route": "/a/{item}",
            "http_status": 200, "outcome": "completed", "ended_by": "exhausted", "event": "http.request",
            "request_bytes": 3, "response_bytes": 10, "latency_ms": 1000.0, "ttfb_ms": 750.0, "request_calls": 0,
            "levelno": logging.INFO, "name": "llmlog.http", "msg": "GET /a/{item} 200 in 1.0 s"}  # fmt: skip
    assert {name: record.get(name) for name in told} == told
    assert len(record["record_id"]) == 32
    assert not {"error_type", "request_input_tokens", "request_cost_usd", "trace_flags", "close_code"} & record.keys()


def test_one_record(calls: Records) -> None:
    """Whoever ends it, and however often."""
    one = exchange()
    one.end()
    one.end(ZeroDivisionError())
    assert len(calls.requests()) == 1


def test_a_request_that_is_not_logged(calls: Records) -> None:
    """Health checks, say."""
    exchange(is_logged=False).end()
    assert calls.requests() == []


class Abandoned(BaseException):
    """What is no Exception, and no cancellation that anybody knows."""


@pytest.mark.parametrize(
    ("status", "whole", "disconnected", "error", "expected"),
    [
        (200, True, False, None, ("completed", "exhausted", 200, logging.INFO)),
        (404, True, False, None, ("completed", "exhausted", 404, logging.WARNING)),
        (503, True, False, None, ("completed", "exhausted", 503, logging.ERROR)),
        (200, True, False, ZeroDivisionError(), ("completed", "exhausted", 200, logging.INFO)),  # a background task's
        (200, True, True, None, ("completed", "exhausted", 200, logging.INFO)),
        (None, False, False, ZeroDivisionError(), ("error", "exception", 500, logging.ERROR)),
        (200, False, False, ZeroDivisionError(), ("error", "exception", 200, logging.ERROR)),
        (None, False, False, TimeoutError(), ("error", "exception", 500, logging.ERROR)),
        (None, False, False, None, ("incomplete", "exhausted", 500, logging.ERROR)),
        (200, False, False, None, ("incomplete", "exhausted", 200, logging.WARNING)),
        (200, False, True, None, ("cancelled", "client_disconnect", 200, logging.INFO)),
        (None, False, True, OSError(), ("cancelled", "client_disconnect", None, logging.INFO)),
        (None, False, True, asyncio.CancelledError(), ("cancelled", "client_disconnect", None, logging.INFO)),
        (None, False, False, asyncio.CancelledError(), ("cancelled", "cancellation", None, logging.WARNING)),
        (200, False, False, asyncio.CancelledError(), ("cancelled", "cancellation", 200, logging.WARNING)),
        (200, False, False, SystemExit(), ("aborted", "interpreter_exit", 200, logging.WARNING)),
        (200, False, False, GeneratorExit(), ("aborted", "context_exit", 200, logging.WARNING)),
    ],
)  # fmt: skip
def test_endings(
    calls: Records,
    status: int | None,
    whole: bool,
    disconnected: bool,
    error: BaseException | None,
    expected: tuple[str, str, int | None, int],
) -> None:
    """A hang-up is told from a cancellation, and both from an error; the level goes by what happened."""
    one = exchange()
    one.status = status
    if whole:
        one.is_out()
    one.state.disconnected = disconnected
    record = ended(one, calls, error=error)
    assert (record["outcome"], record["ended_by"], record.get("http_status"), record["levelno"]) == expected
    assert ("error_type" in record) == (record["outcome"] == "error")


def test_an_error_in_the_record(calls: Records) -> None:
    """Its type, and its message without personal data, however long it is."""
    record = ended(exchange(), calls, error=KeyError("no ann@example.com " + "x" * 900))
    assert record["error_type"] == "KeyError"
    assert record["error_message"].startswith("'no <EMAIL> xxx")
    assert len(record["error_message"]) == 500


def test_a_dropped_response(calls: Records) -> None:
    """A finaliser logs nothing itself, and the record comes at the next safe point."""
    one = exchange()
    one.end(deferred=True)
    assert calls.records == []
    worker.drain()
    (record,) = calls.requests()
    assert (record["outcome"], record["ended_by"]) == ("aborted", "garbage_collected")


def test_what_its_calls_come_to(calls: Records) -> None:
    """Calls, tokens and cost, those of requests inside it included."""
    one = exchange()
    enter(one.context)
    for _ in range(2):
        with llmlog.request("inner"), llmlog.call(model="gpt-4o-mini") as call:
            call.finish({"object": "chat.completion", "model": "gpt-4o-mini", "choices": [],
                         "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}})  # fmt: skip
    record = ended(one, calls)
    enter(Context({}))
    summaries = calls.all()
    assert record["request_calls"] == 2
    assert (record["request_input_tokens"], record["request_output_tokens"]) == (2000, 200)
    assert record["request_cost_usd"] == pytest.approx(sum(summary["cost_usd"] for summary in summaries))
    assert "request_cost_partial" not in record
    assert record["msg"].endswith(f", 2 LLM calls, ${record['request_cost_usd']:.6f}")


def test_calls_without_a_price(calls: Records) -> None:
    """What is not known is not 0."""
    one = exchange()
    enter(one.context)
    list(llmlog.stream(["a"], provider="text", model="nobodys-model"))
    record = ended(one, calls)
    enter(Context({}))
    assert record["request_calls"] == 1
    assert not {"request_cost_usd", "request_cost_partial"} & record.keys()
    assert record["msg"].endswith(", 1 LLM call")


def test_a_call_that_is_still_being_counted(calls: Records) -> None:
    """A long text is counted by the worker: the request's record waits for it, and knows its tokens."""
    one = exchange()
    enter(one.context)
    list(llmlog.stream([chunk("word " * 10_000), chunk(finish="stop")], model="gpt-4o-mini"))
    record = ended(one, calls)
    enter(Context({}))
    assert record["request_calls"] == 1
    assert record["request_output_tokens"] == calls.one()["output_tokens"] > 9_000


def test_a_call_that_a_finaliser_has_ended(calls: Records) -> None:
    """A stream that was dropped is settled before the sum is drawn."""
    one = exchange()
    enter(one.context)
    for _ in llmlog.stream([chunk("a"), chunk("b")], model="gpt-4o-mini"):
        break
    one.is_out()
    record = ended(one, calls)
    enter(Context({}))
    assert record["request_calls"] == 1


def test_fields_that_the_application_has_bound(calls: Records) -> None:
    """Who asked is known when the request is over, not when it came in."""
    one = exchange()
    enter(one.context)
    llmlog.bind(user_id="u-17")
    record = ended(one, calls)
    enter(Context({}))
    assert record["user_id"] == "u-17"


def test_a_route_that_fails(calls: Records, faults_expected: dict[str, int]) -> None:
    """The record comes without it."""
    faults_expected["reading a request's route"] = 1
    record = ended(exchange(route=lambda: 1 // 0), calls)
    assert record["msg"].startswith("GET /a/7 500 incomplete (exhausted) in ")
    assert "http_route" not in record


def test_a_fault_of_ours(calls: Records, faults_expected: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted; nothing reaches the application."""
    faults_expected["summing up a request"] = 1
    monkeypatch.setattr("llmlog.middleware.requests.trace_of_now", lambda: 1 // 0)
    exchange().end()
    assert calls.requests() == []


@pytest.mark.parametrize(
    ("code", "by_us", "status", "error", "expected"),
    [
        (1000, False, 101, None, ("completed", "client_disconnect", logging.INFO)),
        (1001, False, 101, None, ("completed", "client_disconnect", logging.INFO)),
        (1006, False, 101, None, ("cancelled", "client_disconnect", logging.INFO)),
        (1006, False, 101, ZeroDivisionError(), ("cancelled", "client_disconnect", logging.INFO)),
        (1000, True, 101, None, ("completed", "close", logging.INFO)),
        (1011, True, 101, None, ("completed", "close", logging.ERROR)),
        (1000, True, 101, ZeroDivisionError(), ("error", "exception", logging.ERROR)),
        (None, True, None, None, ("completed", "close", logging.WARNING)),
        (None, None, 101, ZeroDivisionError(), ("error", "exception", logging.ERROR)),
        (None, None, 101, asyncio.CancelledError(), ("cancelled", "cancellation", logging.WARNING)),
    ],
)
def test_endings_of_a_websocket(
    calls: Records, code: int | None, by_us: bool | None, status: int | None, error: Any, expected: tuple[Any, ...]
) -> None:
    """Closing it is how a client ends it; a connection that is lost is a hang-up."""
    one = exchange(Connection)
    one.status = status
    if by_us is not None:
        one.state.disconnected = not by_us
        one.closed(code, by_us=by_us)
    record = ended(one, calls, error=error)
    assert (record["outcome"], record["ended_by"], record["levelno"]) == expected
    assert record.get("close_code") == code
    assert record["event"] == "websocket.connection"
    assert record["http_status"] == (status or 403)


def test_the_first_to_close_a_websocket_counts(calls: Records, clock: Clock) -> None:
    """The other side only confirms it."""
    one = exchange(Connection)
    clock.advance(2)
    one.closed(4000, by_us=True)
    clock.advance(2)
    one.closed(1005, by_us=False)
    record = ended(one, calls)
    assert (record["close_code"], record["ended_by"], record["latency_ms"]) == (4000, "close", 2000.0)


def test_a_request_inside_another() -> None:
    """It counts in the one around it, and bears its fields; an earlier one that is over has nothing to say."""
    with llmlog.request(user_id="u-1") as outer:
        inner = opened({"request_id": "r-2"})
        assert (inner["user_id"], inner["request_id"]) == ("u-1", "r-2")
        assert inner.request is not None
        assert inner.request.parent is outer.request
    enter(outer)
    fresh = opened({"request_id": "r-3"})
    enter(Context({}))
    assert dict(fresh) == {"request_id": "r-3"}
    assert fresh.request is not None
    assert fresh.request.parent is None


def test_leaving_with_a_request_inside_still_open() -> None:
    """The context outside is back, whatever the application has left open."""
    ours = opened({"request_id": "r-1"})
    assert ours.request is not None
    enter(ours)
    llmlog.request("inner").__enter__()
    leave(ours.request, Context({}))
    assert dict(current()) == {}


def test_leaving_elsewhere() -> None:
    """Another request's context is not ours to change."""
    ours = opened({"request_id": "r-1"})
    assert ours.request is not None
    with llmlog.request("other"):
        leave(ours.request, Context({}))
        assert current()["request_id"] == "other"


def test_what_marks_an_open_request() -> None:
    """Its state, until it is closed: a scope that is used again is a request of its own."""
    state = RequestState()
    assert is_open(state)
    state.close()
    assert not is_open(state)
    assert not is_open(None)
