"""What Loki has already is asked for, and not pushed again."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from delivering import SECOND, entry, sent
from fake_loki import Loki

from llmlog.handlers.backend import Outcome
from llmlog.handlers.loki import LokiBackend
from llmlog.handlers.loki_refusals import Stream
from llmlog.handlers.loki_stored import StoredLines
from llmlog.handlers.transport import Answer
from llmlog.testing import FakeClock, FakeTransport

NOW = 1_795_000_000 * SECOND
BATCH = [entry(NOW + i, message=f"{i}" + "ü" * 200) for i in range(5)]


def backend(*answers: Any, **options: Any) -> tuple[LokiBackend, FakeTransport]:
    fake = FakeTransport(*answers)
    return LokiBackend("http://loki:3100", fake, clock=lambda: NOW, **options), fake


def methods(fake: FakeTransport) -> list[str]:
    return [one.method for one in fake.requests]


def query_of(fake: FakeTransport, request: int = 0) -> dict[str, str]:
    return {name: value for name, [value] in parse_qs(urlsplit(fake.requests[request].url).query).items()}


def lines(server: Loki) -> list[str]:
    return sorted(line for *_, line in server.stored)


def test_what_is_sent_the_first_time_is_not_asked_for() -> None:
    """It costs one request."""
    loki, fake = backend(Loki(NOW))
    assert loki.send(BATCH) == Outcome([], [])
    assert methods(fake) == ["POST"]


def test_only_what_is_missing_is_pushed_again() -> None:
    """Of a batch whose answer was lost, and of new entries beside it."""
    server = Loki(NOW)
    loki, fake = backend(server)
    loki.send(BATCH[:3])
    loki.send([*sent(BATCH[:4]), BATCH[4]])
    assert methods(fake) == ["POST", "GET", "POST"]
    assert lines(server) == sorted(one.line.decode() for one in BATCH)


def test_what_is_there_as_a_whole_is_not_pushed_again() -> None:
    """One question is enough."""
    server = Loki(NOW)
    loki, fake = backend(server)
    loki.send(BATCH)
    assert loki.send(sent(BATCH)) == Outcome([], [])
    assert methods(fake) == ["POST", "GET"]


def test_the_question() -> None:
    """The API beside the one to push to, the tenant, this stream and no other, from the first time to the last."""
    loki, fake = backend(Loki(NOW), tenant="team-a", labels={"service": 'a"b\\c'}, label_fields=("level", "model"))
    loki.send(sent(BATCH[1:4]))
    assert fake.requests[0].url.startswith("http://loki:3100/loki/api/v1/query_range?")
    assert fake.requests[0].headers["X-Scope-OrgID"] == "team-a"
    asked = query_of(fake)
    assert asked["query"].startswith(r'{level="INFO",model="",late="",service="a\"b\\c"} | ')
    assert (asked["start"], asked["end"], asked["direction"]) == (str(NOW + 1), str(NOW + 4), "forward")


def test_late_lines_are_looked_for_where_they_are() -> None:
    """They were stored in the stream of late ones, before the answer was lost."""
    server = Loki(NOW, newest={'{level="INFO"}': NOW})
    late = entry(NOW - 3 * 3600 * SECOND)
    for one in (late, late._replace(again=True)):
        loki, _ = backend(server)
        [(refused, reason)] = loki.send([one]).refused
        mended = loki.mended(refused, reason)
        assert mended is not None
        assert loki.send([mended._replace(again=one.again)]) == Outcome([], [])
    assert server.stored == [('{late="true", level="INFO"}', late.stamp, late.line.decode())]


def test_page_by_page() -> None:
    """A stream has other writers; Loki's limit of lines may be lower than what is asked for."""
    server = Loki(NOW)
    server.stored = [('{level="INFO"}', NOW + i % 7, f"another {i}") for i in range(35)]

    def limited(request: Any) -> Any:
        if request.method == "GET" and int(parse_qs(urlsplit(request.url).query)["limit"][0]) > 9:
            return 400, "max entries limit per query exceeded, limit > max_entries_limit_per_query (2000 > 9)"
        return server(request)

    loki, fake = backend(limited)
    loki.send(BATCH)
    assert loki.send(sent(BATCH)) == Outcome([], [])
    assert len(server.stored) == 40
    assert methods(fake).count("POST") == 1


def test_the_same_time_alone_is_no_proof() -> None:
    """Another process's record of the same moment stands in for none."""
    server = Loki(NOW)
    server.stored = [('{level="INFO"}', BATCH[0].stamp, BATCH[0].line.decode().replace("ü", "u", 1))]
    loki, _ = backend(server)
    loki.send(sent(BATCH[:1]))
    assert len(server.stored) == 2


@pytest.mark.parametrize("answer", [429, 503, (500, "empty ring")])
def test_no_answer_now(answer: Any) -> None:
    """Nothing is pushed: it is asked again later, for minutes, and then the lines go out all the same."""
    clock = FakeClock()
    fake = FakeTransport(answer)
    asks = StoredLines(fake, "http://loki:3100/loki/api/v1/push", {}, ("level",), clock)
    stream = Stream({"level": "INFO"}, NOW, sent(BATCH), [[str(one.stamp), one.line.decode()] for one in BATCH])
    for seconds in (0.0, *[40.0] * 7):
        clock.advance(seconds)
        assert asks.missing(stream) == (stream, Outcome(again=stream.entries))
    clock.advance(40.0)
    assert asks.missing(stream) == (stream, None)


def test_no_answer_is_an_outage() -> None:
    """What Loki could not say now is sent again later."""
    server = Loki(NOW)
    loki, _ = backend(lambda request: 503 if request.method == "GET" else server(request))
    assert [one.key for one in loki.send(sent(BATCH)).again] == [one.key for one in BATCH]
    assert server.stored == []


def test_no_leave_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines go out, and it is said what that means."""
    said: dict[str, str] = {}
    monkeypatch.setattr("llmlog.handlers.loki_stored.notice", said.__setitem__)
    server = Loki(NOW)
    loki, _ = backend(lambda request: (403, "write only") if request.method == "GET" else server(request))
    for _ in range(2):
        assert loki.send(sent(BATCH)) == Outcome([], [])
    assert len(server.stored) == 10
    [told] = said.values()
    assert "does not say what it has stored (403: write only)" in told


def test_the_good_lines_of_a_refused_push_are_not_pushed_again() -> None:
    """Loki has stored them, and does not name them."""
    server = Loki(NOW)
    server.line_limit = 1_000
    long = entry(NOW + 9, prompt="x" * 2_000)
    loki, fake = backend(server)
    assert [one for one, _ in loki.send([*BATCH, long]).refused] == [long]
    assert lines(server) == sorted(one.line.decode() for one in BATCH)
    assert methods(fake) == ["POST", "GET"]


def test_too_new_in_a_few_requests() -> None:
    """Loki names the second of the first one alone: some of that second may be stored, and are not refused."""
    server = Loki(NOW)
    edge = NOW + 600 * SECOND
    batch = [entry(edge + i * SECOND // 20, message=f"{i}") for i in range(-40, 40)]
    loki, fake = backend(server)
    refused = [one for one, _ in loki.send(batch).refused]
    assert refused == [one for one in batch if one.stamp > edge]
    assert len(server.stored) == 41
    assert methods(fake) == ["POST", "GET"]


def test_a_clock_that_runs_ahead_of_lokis() -> None:
    """A record that is too new gets a time of now: now by Loki's clock, which its answers show."""
    server = Loki(NOW - 2 * 3600 * SECOND)

    def dated(request: Any) -> Any:
        status, text = server(request)
        return Answer(status, {"date": "Wed, 18 Nov 2026 09:06:40 GMT"}, text.encode())

    loki, _ = backend(dated)
    [(refused, reason)] = loki.send([entry(NOW)]).refused
    mended = loki.mended(refused, reason)
    assert mended is not None
    assert loki.send([mended]) == Outcome([], [])
    [(_, stamp, line)] = server.stored
    assert server.now - 1800 * SECOND <= stamp <= server.now
    assert json.loads(line) == json.loads(refused.line)
