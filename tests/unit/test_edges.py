"""What is taken over from a client at the edge, and what of it is shown."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Records

import llmlog
from llmlog.middleware.edges import Edge, content_length, masked, visible

TRACE = {"traceparent": ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"], "baggage": ["tenant=7"]}


def app(*args: Any) -> None:
    raise AssertionError("not called")


def admitted(headers: dict[str, list[str]] | None = None, **options: Any) -> Any:
    """What an edge with these options makes of a request with these headers."""
    edge = Edge(app, options)
    return edge.admit(headers or {}, method="GET", path="/a", address="203.0.113.7")


def test_a_request_as_it_comes_in() -> None:
    """The client's id, the trace, and what was asked for."""
    came_in = admitted({"x-request-id": ["r-1"], **TRACE}, fields={"team": "a"})
    assert came_in.request_id == "r-1"
    assert came_in.is_logged
    assert came_in.fields == {
        "request_id": "r-1",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "span_id": "00f067aa0ba902b7",
        "trace_flags": "01",
        "baggage": "tenant=7",
        "http_method": "GET",
        "http_path": "/a",
        "client_address": "203.0.113.*",
        "team": "a",
    }


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-b": ["b"], "x-a": ["a"]}, "a"),
        ({"x-b": ["b"]}, "b"),
        ({"x-a": ["not valid"], "x-b": ["b"]}, "b"),
        ({"x-a": ["", "second"]}, "second"),
        ({"x-a": [" padded "]}, "padded"),
        ({"x-request-id": ["r-1"]}, "made"),
    ],
)
def test_the_first_valid_id_of_the_headers_to_read(headers: dict[str, list[str]], expected: str) -> None:
    """In the order in which they are named, and among duplicates in the order in which they were sent."""
    assert admitted(headers, read_headers=["X-A", "X-B"], generator=lambda: "made").request_id == expected


def test_duplicates_of_a_trace_s_headers() -> None:
    """Lists are one list; several traceparents are none."""
    came_in = admitted({**TRACE, "tracestate": ["a=1", "b=2"], "baggage": ["tenant=7", "user=8"]})
    assert (came_in.fields["tracestate"], came_in.fields["baggage"]) == ("a=1,b=2", "tenant=7,user=8")
    assert "trace_id" not in admitted({"traceparent": TRACE["traceparent"] * 2}).fields


def test_without_a_header_to_answer_with() -> None:
    """Nothing is read either, unless it is named."""
    assert admitted({"x-request-id": ["r-1"]}, header=None, generator=lambda: "made").request_id == "made"
    assert admitted({"x-b": ["r-1"]}, header=None, read_headers=["x-b"]).request_id == "r-1"


def test_an_edge_that_does_not_trust_its_clients() -> None:
    """A stranger's id is kept in a field of its own where it is valid; trace and baggage are not taken over."""
    came_in = admitted({"x-request-id": ["r-1"], **TRACE}, trusted=False, generator=lambda: "made")
    assert came_in.request_id == came_in.fields["request_id"] == "made"
    assert came_in.fields["client_request_id"] == "r-1"
    assert not {"trace_id", "span_id", "baggage"} & came_in.fields.keys()
    assert "client_request_id" not in admitted({"x-request-id": ["not valid"]}, trusted=False).fields


@pytest.mark.parametrize(
    "sent", ["", "a b", "x" * 129, "x" * 10_240, "a\r\nSet-Cookie: b=c", "a\nb", "\xff", "é", "a\0"]
)
def test_ids_that_are_not_taken(sent: str) -> None:
    """Empty, too long, or with signs that have no place in a header or a line of a log."""
    assert admitted({"x-request-id": [sent]}, generator=lambda: "made").request_id == "made"


def test_a_malformed_trace_is_none() -> None:
    """It is as if it had not been sent."""
    fields = admitted({"traceparent": ["00-xyz"], "tracestate": ["a=b"]}).fields
    assert not {"trace_id", "span_id", "tracestate"} & fields.keys()


def failing(*args: Any) -> Any:
    raise ZeroDivisionError


def test_a_validator_that_fails(faults_expected: dict[str, int]) -> None:
    """It is counted, and an id is made: the request is served."""
    faults_expected["reading a request's headers"] = 1
    assert len(admitted({"x-request-id": ["r-1"]}, validator=failing).request_id) == 32


def test_a_generator_that_fails(faults_expected: dict[str, int]) -> None:
    """The same: an id of ours takes its place."""
    faults_expected["making a request's id"] = 1
    assert len(admitted(generator=failing).request_id) == 32


def test_a_path_that_fails(faults_expected: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be described is left out, and the request goes on."""
    faults_expected["describing a request"] = 1
    monkeypatch.setattr("llmlog.middleware.edges.redact", failing)
    came_in = admitted({"x-request-id": ["r-1"]})
    assert came_in.request_id == "r-1"
    assert "http_path" not in came_in.fields


@pytest.mark.parametrize(
    ("address", "client", "expected"),
    [
        ("203.0.113.7", "masked", "203.0.113.*"),
        ("2001:db8:7:1::5", "masked", "2001:db8:7:*"),
        ("::1", "masked", "0:0:0:*"),
        ("::ffff:203.0.113.7", "masked", "203.0.113.*"),
        ("fe80::1%eth0", "masked", "fe80:0:0:*"),
        ("testclient", "masked", None),
        ("203.0.113.7", "whole", "203.0.113.7"),
        ("a\nb", "whole", "a%0Ab"),
        ("203.0.113.7", "absent", None),
        ("", "whole", None),
        (None, "masked", None),
        (7, "whole", None),
    ],
)
def test_the_clients_address(address: Any, client: Any, expected: str | None) -> None:
    """Masked as a rule: the network, not the person's own address."""
    fields = Edge(app, {"client": client}).admit({}, method="GET", path="/", address=address).fields
    assert fields.get("client_address") == expected


@pytest.mark.parametrize("address", ["203.0.113.7", "2001:db8:7:1::5", "::1", "10.0.0.1"])
def test_a_masked_address_passes_the_redaction(address: str) -> None:
    """It is no personal data any more, so that the redactor leaves it."""
    network = masked(address)
    assert network is not None
    assert llmlog.redact(network) == network


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/chats/7", "/chats/7"),
        ("/users/ann@example.com/chats", "/users/<EMAIL>/chats"),
        ("/a\nb\r\x00", "/a%0Ab%0D%00"),
        ("/straße", "/straße"),
        ("/a\u202eb\u2028", "/a%E2%80%AEb%E2%80%A8"),
        ("/\udc80", "/%5Cudc80"),
        ("", ""),
        (None, None),
        (b"/a", None),
    ],
)
def test_the_path(path: Any, expected: str | None) -> None:
    """Redacted, in one line, with nothing in it that changes how a line is read."""
    assert Edge(app, {}).admit({}, method="GET", path=path, address=None).fields.get("http_path") == expected


def test_a_long_path_is_cut() -> None:
    """A record does not become as long as a client likes."""
    assert len(visible("/" + "a" * 9000)) == 1000


@pytest.mark.parametrize(
    ("method", "expected"), [("POST", "POST"), ("BREW", "_OTHER"), ("A\nB", "_OTHER"), (None, None), (b"GET", None)]
)
def test_the_method(method: Any, expected: str | None) -> None:
    """One of HTTP's, so that clients do not make up values of a field."""
    assert Edge(app, {}).admit({}, method=method, path="/", address=None).fields.get("http_method") == expected


@pytest.mark.parametrize(
    ("path", "is_logged"), [("/health", False), ("/healthy", True), ("/static/a.css", False), ("/static", True)]
)
def test_paths_without_a_record(path: str, is_logged: bool) -> None:
    """By name, or by their beginning."""
    edge = Edge(app, {"exclude": ["/health", "/static/*"]})
    assert edge.admit({}, method="GET", path=path, address=None).is_logged is is_logged


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0", 0), ("12", 12), ("", None), ("-1", None), ("1e3", None), ("٣", None), ("9" * 30, None), (None, None)],
)
def test_a_content_length(value: Any, expected: int | None) -> None:
    """Digits, or nothing."""
    assert content_length(value) == expected


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"generator": "x"}, TypeError),
        ({"validator": 1}, TypeError),
        ({"route": 1}, TypeError),
        ({"header": 5}, TypeError),
        ({"header": "a b"}, ValueError),
        ({"header": " "}, ValueError),
        ({"header": "Ä"}, ValueError),
        ({"read_headers": "X-Request-ID"}, TypeError),
        ({"read_headers": 5}, TypeError),
        ({"read_headers": [5]}, TypeError),
        ({"read_headers": ["a:b"]}, ValueError),
        ({"trusted": "no"}, TypeError),
        ({"log_requests": 1}, TypeError),
        ({"client": "hidden"}, ValueError),
        ({"fields": 5}, TypeError),
        ({"fields": {1: 2}}, TypeError),
        ({"exclude": "/health"}, TypeError),
        ({"exclude": [1]}, TypeError),
        ({"headers": []}, TypeError),
    ],
)
def test_errors_of_use(options: dict[str, Any], error: type[Exception]) -> None:
    """Wrong options are refused when it is built, with the value, or the name, in the message."""
    ((name, value),) = options.items()
    told = repr(value[0]) if isinstance(value, list) and value else repr(value)
    with pytest.raises(error) as caught:
        Edge(app, options)
    assert isinstance(caught.value, llmlog.LLMLogError)
    assert told in str(caught.value) or repr(name) in str(caught.value)


def test_no_application() -> None:
    """What cannot be called is no application."""
    with pytest.raises(llmlog.UsageTypeError, match="app is something to call, got 5"):
        Edge(5, {})


def test_the_fields_are_known_to_the_records(calls: Records) -> None:
    """Each record of a call bears what was asked for over HTTP."""
    with llmlog.request(**admitted({"x-request-id": ["r-1"]}).fields):
        list(llmlog.stream(["a"], provider="text"))
    record = calls.one()
    assert (record["http_method"], record["http_path"], record["client_address"]) == ("GET", "/a", "203.0.113.*")
