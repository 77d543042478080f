"""A request's id and trace in and out of headers."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import llmlog
from llmlog import propagation

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
HEADERS = {
    "X-Request-ID": "r-1",
    "Traceparent": f"00-{TRACE}-{SPAN}-01",
    "tracestate": "vendor=1",
    "baggage": "tenant=7",
}


def test_there_and_back() -> None:
    """What comes in goes on to the next service."""
    with llmlog.request(**llmlog.extract(HEADERS)) as context:
        assert (context["request_id"], context["trace_id"], context["span_id"]) == ("r-1", TRACE, SPAN)
        sent = llmlog.inject({"Accept": "text/plain"})
    assert sent == {
        "Accept": "text/plain",
        "X-Request-ID": "r-1",
        "traceparent": f"00-{TRACE}-{SPAN}-01",
        "tracestate": "vendor=1",
        "baggage": "tenant=7",
    }


def test_headers_of_other_shapes() -> None:
    """Pairs, bytes, any case: as ASGI servers and HTTP clients have them."""
    pairs = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
    assert llmlog.extract(pairs) == llmlog.extract(HEADERS)


@pytest.mark.parametrize(
    "bad",
    [
        {"X-Request-ID": ""},
        {"X-Request-ID": "a b"},
        {"X-Request-ID": "x" * 129},
        {"X-Request-ID": "a\nb"},
        {"traceparent": "garbage"},
        {"traceparent": f"00-{'0' * 32}-{SPAN}-01"},
        {"traceparent": f"00-{TRACE}-{'0' * 16}-01"},
        {"traceparent": f"ff-{TRACE}-{SPAN}-01"},
        {"traceparent": f"00-{TRACE.upper()}-{SPAN}-01"},
        {"traceparent": f"00-{TRACE}-{SPAN}-01-more"},
        {"traceparent": f"00-{TRACE}-{SPAN}-01-"},
        {"tracestate": "without=traceparent"},
        {"baggage": "x" * 9000},
        {"baggage": None},
        {},
    ],
)
def test_what_is_not_valid_is_left_out(bad: dict[str, Any]) -> None:
    """Bad input from outside is as if it had not been sent."""
    assert llmlog.extract(bad) == {}


def test_a_later_version_of_traceparent() -> None:
    """It may say more behind the flags, and is read as far as it is known."""
    for sent in (f"01-{TRACE}-{SPAN}-01", f"01-{TRACE}-{SPAN}-01-more"):
        assert llmlog.extract({"traceparent": sent}) == {"trace_id": TRACE, "span_id": SPAN, "trace_flags": "01"}


def test_duplicate_headers() -> None:
    """The first valid id; lists are one list, as W3C has it; of several traces nobody knows which is meant."""
    parent = f"00-{TRACE}-{SPAN}-01"
    lists = [("tracestate", "a=1"), ("baggage", "b=2"), ("tracestate", " c=3"), ("baggage", ""), ("baggage", "d=4")]
    assert llmlog.extract([("x-request-id", "not valid"), ("X-Request-ID", "r-1"), ("x-request-id", "r-2")]) == {
        "request_id": "r-1"
    }
    assert llmlog.extract([("traceparent", parent), *lists]) == {
        "trace_id": TRACE, "span_id": SPAN, "trace_flags": "01", "tracestate": "a=1,c=3", "baggage": "b=2,d=4",
    }  # fmt: skip
    assert llmlog.extract([("traceparent", parent), ("traceparent", parent), *lists]) == {"baggage": "b=2,d=4"}


def test_wrong_headers() -> None:
    """What has no pairs is refused, with the value."""
    for wrong in (5, ["abc"]):
        with pytest.raises(TypeError, match="headers are a mapping"):
            llmlog.extract(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="headers are a mapping"):
            llmlog.inject(wrong)  # type: ignore[arg-type]


def test_inject_changes_nothing_of_the_callers() -> None:
    """The caller's headers stay as they are, and what they say already is kept."""
    mine = {"x-request-id": "mine"}
    with llmlog.request("theirs"):
        assert llmlog.inject(mine) == {"x-request-id": "mine"}
    assert mine == {"x-request-id": "mine"}
    assert llmlog.inject() == {}


def test_no_header_injection() -> None:
    """A value that would break a header is not sent on."""
    with llmlog.request("a\r\nSet-Cookie: b"):
        assert llmlog.inject() == {}


def test_the_current_span_of_opentelemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where OpenTelemetry has a current span, the trace is its own."""
    span = SimpleNamespace(is_valid=True, trace_id=int(TRACE, 16), span_id=int(SPAN, 16), trace_flags=1)
    fake = SimpleNamespace(get_current_span=lambda: SimpleNamespace(get_span_context=lambda: span))
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", fake)  # type: ignore[arg-type]
    assert llmlog.inject() == {"traceparent": f"00-{TRACE}-{SPAN}-01"}
    state = {"tracestate": "vendor=1"}
    with llmlog.request("r-1", trace_id=TRACE, span_id="1" * 16, **state):
        assert llmlog.inject() == {"X-Request-ID": "r-1", "traceparent": f"00-{TRACE}-{SPAN}-01", **state}
    with llmlog.request("r-1", trace_id="1" * 32, span_id="1" * 16, **state):  # that state is of another trace
        assert llmlog.inject() == {"X-Request-ID": "r-1", "traceparent": f"00-{TRACE}-{SPAN}-01"}
    span.is_valid = False
    assert llmlog.inject() == {}
    fake.get_current_span = None
    assert llmlog.inject() == {}


ANYTHING = st.one_of(st.none(), st.integers(), st.text(), st.binary())


@given(st.one_of(st.dictionaries(ANYTHING, ANYTHING), st.lists(st.tuples(ANYTHING, ANYTHING))))
def test_any_headers_can_be_read(headers: Any) -> None:
    """Names and values of any kind: what is found is text that a header and a log can hold."""
    for value in llmlog.extract(headers).values():
        assert value.isascii()
        assert value.isprintable()


@given(st.sampled_from(["traceparent", "tracestate", "baggage", "x-request-id"]), st.binary(max_size=300))
def test_any_bytes_in_a_header_that_is_read(name: str, value: bytes) -> None:
    """What a client puts there is taken over as a whole or not at all, and goes on as valid headers."""
    found = llmlog.extract([(name.encode(), value), (b"traceparent", f"00-{TRACE}-{SPAN}-01".encode())])
    assert all(value.isprintable() and value.isascii() for value in found.values())
    with llmlog.request(**found):
        assert all(sent.isprintable() and sent.isascii() for sent in llmlog.inject().values())


def test_the_first_of_two_headers_counts() -> None:
    """A second one, that somebody on the way has added, changes nothing."""
    assert llmlog.extract([("X-Request-ID", "r-1"), ("x-request-id", "r-2")])["request_id"] == "r-1"


def test_headers_go_to_named_hosts_only() -> None:
    """And are taken back from a request that was redirected to another one; the caller's own stay."""
    with llmlog.request("r-1"):
        headers: dict[str, str] = {"baggage": "mine"}
        propagation.added_to(headers, host="API.internal", hosts=propagation.checked_hosts(["api.internal"]))
        assert headers == {"X-Request-ID": "r-1", "baggage": "mine"}
        propagation.added_to(headers, host=None, hosts=frozenset({"api.internal"}))
        assert headers == {"baggage": "mine"}
