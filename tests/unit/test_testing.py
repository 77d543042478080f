"""llmlog.testing: what is captured, the clock, scripts and their wire forms, the chain; the server has its own file."""

from __future__ import annotations

import gc
import json
import logging
import subprocess
import sys
import threading
from typing import Any

import pytest

import llmlog
from llmlog import settings, testing, worker
from llmlog.testing import (
    ABSENT,
    Captured,
    Chain,
    FakeClock,
    Script,
    ToolCall,
    anthropic_answer,
    anthropic_error,
    anthropic_events,
    assert_one_summary,
    capture,
    openai_answer,
    openai_error,
    openai_events,
)

TOOL = ToolCall("order_status", ['{"order"', ": 3}"])


# What is captured


def test_summaries_are_captured(llm_calls: Captured) -> None:
    """Each call is one dict, also one that only a finaliser ends."""
    list(llmlog.stream(["Hello"], provider="text", model="gpt-4o"))
    assert llm_calls.one()["outcome"] == "completed"
    stream = llmlog.stream(["a", "b"])
    cycle: list[Any] = [stream]
    cycle.append(cycle)
    next(stream)
    del stream, cycle
    assert [record["ended_by"] for record in llm_calls.all()] == ["exhausted", "garbage_collected"]
    assert all(isinstance(record, logging.LogRecord) for record in llm_calls.records)
    llm_calls.clear()
    assert llm_calls.all() == []


def test_events_are_captured_apart(llm_calls: Captured) -> None:
    """They are no summaries, and are found by their name."""
    llmlog.event("llm.feedback", score=1)
    llmlog.event("llm.retrieval", documents=3)
    assert llm_calls.all() == []
    assert [event["event"] for event in llm_calls.events()] == ["llm.feedback", "llm.retrieval"]
    assert [event["score"] for event in llm_calls.events("llm.feedback")] == [1]


def test_capture_leaves_the_loggers_as_they_were() -> None:
    """Levels, a disabled logger and handlers are as before, and what was left earlier is not in it."""
    logger = logging.getLogger("llmlog.calls")
    before = logger.level, logger.disabled, list(logger.handlers)
    logger.setLevel(logging.ERROR)
    logger.disabled = True
    try:
        left: Any = llmlog.stream(["of an earlier test"])
        left = [left]
        left.append(left)
        del left
        with capture() as captured:
            list(llmlog.stream(["a"]))
            assert captured.one()["chunks"] == 1
        list(llmlog.stream(["a"]))
        assert len(captured.all()) == 1
        assert (logger.level, logger.disabled, logger.handlers) == (logging.ERROR, True, before[2])
    finally:
        logger.setLevel(before[0])
        logger.disabled = before[1]


def test_records_that_are_never_made(llm_calls: Captured) -> None:
    """all() does not wait for ever."""
    begun, go_on = threading.Event(), threading.Event()

    def job() -> None:
        begun.set()
        go_on.wait(10)

    thread = threading.Thread(target=worker.drain)
    worker.later(job)
    thread.start()
    assert begun.wait(10)
    with pytest.raises(AssertionError, match=r"still being made after 0\.01 s"):
        llm_calls.all(timeout=0.01)
    go_on.set()
    thread.join()


def test_one_summary_as_expected(llm_calls: Captured) -> None:
    """Values, predicates and absence; the record comes back."""
    list(llmlog.stream(["Hello", " world"], model="gpt-4o", team="search"))
    record = assert_one_summary(
        llm_calls,
        outcome="completed",
        team="search",
        latency_ms=lambda ms: ms > 0,
        ttft_ms=pytest.approx(5000, abs=5000),
        error_type=ABSENT,
        http_status=None,
    )
    assert record is not llm_calls.records[0].__dict__
    assert record["response_length"] == 11


def test_a_summary_that_is_not_as_expected(llm_calls: Captured) -> None:
    """The message has every difference and the record, in few lines."""

    def is_long(ms: float) -> bool:
        return ms > 1e9

    list(llmlog.stream(["Hello"], model="gpt-4o"))
    with pytest.raises(AssertionError) as failed:
        assert_one_summary(
            llm_calls, outcome="aborted", latency_ms=is_long, chunks=None, http_status=401, colour=lambda c: c
        )
    first, *lines = str(failed.value).splitlines()
    assert first == "the summary is not as expected"
    assert lines[0] == "  outcome: expected 'aborted', got 'completed'"
    assert lines[1].startswith("  latency_ms: expected what satisfies is_long (line ")
    assert lines[2:5] == [
        "  chunks: expected no such field, got 1",
        "  http_status: expected 401, got no such field",
        lines[4],
    ]
    assert "colour: expected what satisfies <lambda>" in lines[4]
    assert "gpt-4o completed in" in lines[6]
    assert "outcome='completed'" in " ".join(lines[7:])
    assert "levelname" not in str(failed.value)
    assert max(map(len, lines)) <= 120
    assert len(lines) < 20


def test_a_wrong_number_of_summaries(llm_calls: Captured) -> None:
    """None, or which ones there are."""
    with pytest.raises(AssertionError, match=r"expected one summary of an LLM call, got none$"):
        llm_calls.one()
    list(llmlog.stream(["a"], model="gpt-4o"))
    list(llmlog.stream(["a", "b"], model="gpt-4o-mini"))
    with pytest.raises(AssertionError, match=r"(?s)got 2\n.*gpt-4o completed.*chunks=1.*gpt-4o-mini completed"):
        assert_one_summary(llm_calls)
    with pytest.raises(llmlog.UsageTypeError, match=r"takes a Captured.*got \[1\]"):
        assert_one_summary([1])  # type: ignore[arg-type]


# The clock


def test_the_clock_is_llmlogs(llm_calls: Captured, llm_clock: FakeClock) -> None:
    """Times are what the test makes them."""

    def pieces() -> Any:
        llm_clock.advance(0.5)
        yield "Hello"
        llm_clock.sleep(1.5)
        yield " world"

    list(llmlog.stream(pieces()))
    assert_one_summary(llm_calls, ttft_ms=500, latency_ms=2000, max_gap_ms=1500, consumer_ms=0)
    assert llm_clock() == llm_clock.now == 1002.0


@pytest.mark.parametrize("order", range(2))
def test_the_clock_is_put_back(order: int) -> None:
    """After a test with the fixture, in whichever order, the real one is there."""
    assert not isinstance(settings.current().clock, FakeClock)


def test_a_clock_that_is_told_nonsense() -> None:
    """It goes forward, by seconds."""
    clock = FakeClock(5)
    assert repr(clock) == "<FakeClock at 5 s>"
    with pytest.raises(llmlog.UsageValueError, match="got -1 seconds"):
        clock.advance(-1)
    with pytest.raises(llmlog.UsageValueError, match="got nan seconds"):
        clock.sleep(float("nan"))
    with pytest.raises(llmlog.UsageTypeError, match="got '1'"):
        clock.sleep("1")  # type: ignore[arg-type]


# Scripts and their wire forms


def data_of(events: list[bytes]) -> list[Any]:
    """The JSON of each event, or its text."""
    found = []
    for event in events:
        assert event.endswith(b"\n\n")
        data = event.strip().splitlines()[-1].removeprefix(b"data: ").decode()
        found.append(json.loads(data) if data.startswith("{") else data)
    return found


def test_openai_events() -> None:
    """Role, pieces, finish reason, usage where it is asked for, end mark."""
    asked = {"model": "gpt-4o", "stream_options": {"include_usage": True}}
    *chunks, usage, done = data_of(list(openai_events(Script(), asked, id="chatcmpl-7")))
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "Hello"},
        {"content": " world"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, "stop"]
    assert {(chunk["id"], chunk["model"], chunk["usage"]) for chunk in chunks} == {("chatcmpl-7", "gpt-4o", None)}
    assert (usage["choices"], usage["usage"]["prompt_tokens"], usage["usage"]["completion_tokens"]) == ([], 10, 2)
    assert done == "[DONE]"
    unasked = data_of(list(openai_events(Script(), {"model": "gpt-4o"})))
    assert not any("usage" in chunk for chunk in unasked[:-1])
    assert unasked[-1] == "[DONE]"


def test_anthropic_events() -> None:
    """The events' names and order, and where the usage stands."""
    usage = llmlog.Usage(input_tokens=100, output_tokens=7, cache_read_tokens=60, cache_write_tokens=30)
    events = list(anthropic_events(Script(["a", "b"], usage=usage, finish_reason="length"), {"model": "claude-x"}))
    names = [event.split(b"\n")[0].decode() for event in events]
    data = data_of(events)
    assert names == [f"event: {one['type']}" for one in data]
    assert [one["type"] for one in data] == [
        "message_start", "content_block_start", "ping", "content_block_delta", "content_block_delta",
        "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip
    message = data[0]["message"]
    assert (message["model"], message["usage"]["input_tokens"]) == ("claude-x", 10)
    assert (message["usage"]["cache_read_input_tokens"], message["usage"]["cache_creation_input_tokens"]) == (60, 30)
    assert [one["delta"]["text"] for one in data[3:5]] == ["a", "b"]
    assert data[6] == {
        "type": "message_delta",
        "delta": {"stop_reason": "max_tokens", "stop_sequence": None},
        "usage": {"output_tokens": 7},
    }


def test_tool_calls_in_openais_form() -> None:
    """Id and name first, then the arguments in pieces; without text, the first one comes with the role."""
    script = Script([], tool_calls=[TOOL, ToolCall("now", id="call_x")], usage=False)
    first, *others, last = script.openai_chunks()
    delta = first["choices"][0]["delta"]
    assert (delta["role"], delta["content"]) == ("assistant", None)
    assert delta["tool_calls"][0]["function"] == {"name": "order_status", "arguments": ""}
    calls = [chunk["choices"][0]["delta"]["tool_calls"][0] for chunk in others]
    assert [(call["index"], call.get("id"), call["function"]["arguments"]) for call in calls] == [
        (0, None, '{"order"'),
        (0, None, ": 3}"),
        (1, "call_x", ""),
        (1, None, "{}"),
    ]
    assert last["choices"][0]["finish_reason"] == "tool_calls"
    with_text = list(Script(["Wait."], tool_calls=[TOOL]).openai_chunks())
    assert [list(chunk["choices"][0]["delta"]) for chunk in with_text[:3]] == [
        ["role", "content", "refusal"],
        ["content"],
        ["tool_calls"],
    ]
    message = openai_answer(script)["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"][0]["function"] == {"name": "order_status", "arguments": '{"order": 3}'}


def test_tool_calls_in_anthropics_form() -> None:
    """A block for the text, then one for each call, with its arguments in pieces."""
    data = list(Script(["Wait."], tool_calls=[TOOL, ToolCall("now")]).anthropic_chunks())
    blocks = [(one["index"], one["content_block"]["type"]) for one in data if one["type"] == "content_block_start"]
    assert blocks == [(0, "text"), (1, "tool_use"), (2, "tool_use")]
    assert [one["index"] for one in data if one["type"] == "content_block_stop"] == [0, 1, 2]
    assert [one["delta"]["partial_json"] for one in data if one.get("delta", {}).get("type") == "input_json_delta"] == [
        '{"order"',
        ": 3}",
        "{}",
    ]
    assert data[-2]["delta"]["stop_reason"] == "tool_use"
    content = anthropic_answer(Script([], tool_calls=[TOOL]))["content"]
    assert content == [{"type": "tool_use", "id": "toolu_1", "name": "order_status", "input": {"order": 3}}]
    for pieces in (["{"], ["[1]"]):
        with pytest.raises(llmlog.UsageValueError, match="a JSON object, got"):
            anthropic_answer(Script([], tool_calls=[ToolCall("broken", pieces)]))


def test_refusals() -> None:
    """OpenAI has a field for it, Anthropic a stop reason."""
    script = Script(["I cannot", " do that."], refusal=True)
    deltas = [chunk["choices"][0]["delta"] for chunk in script.openai_chunks() if chunk["choices"]]
    assert [delta.get("refusal") for delta in deltas] == ["", "I cannot", " do that.", None]
    assert not any(delta.get("content") for delta in deltas)
    assert openai_answer(script)["choices"][0]["message"]["refusal"] == "I cannot do that."
    assert list(script.anthropic_chunks())[-2]["delta"]["stop_reason"] == "refusal"


def test_whole_answers() -> None:
    """They say the same as the streamed ones."""
    script = Script(["a", "b"], model="m-1", finish_reason="length")
    whole = openai_answer(script, {"model": "m"}, id="chatcmpl-3")
    assert (whole["id"], whole["object"], whole["model"]) == ("chatcmpl-3", "chat.completion", "m-1")
    assert whole["choices"][0]["message"]["content"] == "ab"
    assert whole["choices"][0]["finish_reason"] == "length"
    assert whole["usage"] == list(script.openai_chunks())[-1]["usage"]
    message = anthropic_answer(script)
    assert message["content"] == [{"type": "text", "text": "ab"}]
    assert (message["stop_reason"], message["usage"]["output_tokens"]) == ("max_tokens", 2)
    assert "usage" not in openai_answer(Script(usage=False))
    assert "usage" not in anthropic_answer(Script(usage=False))


def test_an_answer_without_usage() -> None:
    """usage=False: none, even where the request asks for it."""
    asked = {"stream_options": {"include_usage": True}}
    assert b"usage" not in b"".join(openai_events(Script(usage=False), asked))
    assert b"usage" not in b"".join(anthropic_events(Script(usage=False)))


def test_an_empty_answer() -> None:
    """No piece and an end: the events around it are there."""
    assert len(list(openai_events(Script([]), {}))) == 3
    assert [one["type"] for one in Script([]).anthropic_chunks()] == [
        "message_start", "ping", "message_delta", "message_stop",
    ]  # fmt: skip


@pytest.mark.parametrize("form", ["openai", "anthropic"])
def test_faults_as_chunks(form: str) -> None:
    """After the pieces: an error object, no end, or what a client would raise."""

    def chunks(*pieces: str, then: Any, **options: Any) -> Any:
        return getattr(Script(pieces, then, **options), f"{form}_chunks")()

    whole = list(chunks("a", then="end"))
    short = list(chunks("a", then="short"))
    assert short == whole[: len(short)]
    assert "a" in json.dumps(short[-1])
    *before, error = chunks("a", then="error")
    assert before == short
    assert error == (openai_error() if form == "openai" else anthropic_error())
    for then, error_type in (("cut", ConnectionResetError), ("hang", TimeoutError)):
        stream = chunks("a", then=then)
        assert [next(stream) for _ in short] == short
        with pytest.raises(error_type):
            next(stream)
    # With no piece before it, the fault comes in place of the first event.
    assert list(chunks(then="short")) == []
    assert list(chunks(then="error")) == [error]
    for then, options in (("hang", {}), ("end", {"hang_before": "headers"}), ("end", {"hang_before": "chunks"})):
        with pytest.raises(TimeoutError):
            next(chunks(then=then, **options))


def test_errors_objects() -> None:
    """The providers' own shapes, whatever the status."""
    assert openai_error(401)["error"]["code"] == "invalid_api_key"
    assert set(openai_error(418)["error"]) == {"message", "type", "param", "code"}
    assert openai_error(418)["error"]["type"] == "invalid_request_error"
    assert openai_error(503)["error"]["type"] == "server_error"
    assert anthropic_error(429)["error"]["type"] == "rate_limit_error"
    assert anthropic_error(502)["error"]["type"] == "api_error"
    assert anthropic_error(422)["error"]["type"] == "invalid_request_error"


def test_a_gate_is_passed_before_each_piece(llm_clock: FakeClock) -> None:
    """A function is called, of a semaphore one is taken."""
    stream = Script(["a", "b"], tool_calls=[TOOL], gate=lambda: llm_clock.advance(1)).openai_chunks()
    assert [(next(stream), llm_clock.now - 1000)[1] for _ in range(6)] == [0, 1, 2, 2, 3, 4]
    gate = threading.Semaphore(2)
    stream = Script(["a", "b"], gate=gate).anthropic_chunks()
    assert len(list(stream)) == 8
    assert not gate.acquire(blocking=False)


def test_llmlog_reads_scripted_chunks(llm_calls: Captured) -> None:
    """A script without HTTP is a source like any other."""
    list(llmlog.stream(Script().openai_chunks(), provider="openai"))
    assert_one_summary(llm_calls, outcome="completed", output_tokens=2, input_tokens=10, usage_source="provider")
    llm_calls.clear()
    with pytest.raises(ConnectionResetError):
        list(llmlog.stream(Script(then="cut").openai_chunks(), provider="openai"))
    assert_one_summary(llm_calls, outcome="error", error_type="ConnectionResetError", content_chunks=2)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"pieces": "Hello"}, llmlog.UsageTypeError, "got 'Hello': put it into a list"),
        ({"pieces": ["a", None]}, llmlog.UsageTypeError, "got None among them"),
        ({"then": "stop"}, llmlog.UsageValueError, "then is one of end, cut, short, error, hang, got 'stop'"),
        ({"hang_before": "body"}, llmlog.UsageValueError, "hang_before is one of headers, chunks, got 'body'"),
        ({"status": 200}, llmlog.UsageValueError, "400 to 599, got 200"),
        ({"status": "401"}, llmlog.UsageTypeError, "got '401'"),
        ({"usage": 3}, llmlog.UsageTypeError, "got 3"),
        ({"headers": []}, llmlog.UsageTypeError, r"got \[\]"),
        ({"tool_calls": TOOL}, llmlog.UsageTypeError, "got ToolCall"),
        ({"tool_calls": ["now"]}, llmlog.UsageTypeError, "got 'now' in it"),
        ({"gate": 1}, llmlog.UsageTypeError, "got 1"),
    ],
)
def test_what_makes_no_script(wrong: dict[str, Any], error: type[Exception], message: str) -> None:
    """It is said at once, with the value."""
    with pytest.raises(error, match=message):
        Script(**wrong)


def test_what_has_no_stream() -> None:
    """A status, and what is no script, said before the first event is taken."""
    with pytest.raises(llmlog.UsageValueError, match="status=401"):
        Script(status=401).openai_chunks()
    with pytest.raises(llmlog.UsageTypeError, match="takes a Script, got 'a'"):
        list(anthropic_events("a"))  # type: ignore[arg-type]


# The chain


def sent(chain: Chain, *pieces: str) -> None:
    """What a server does for each piece, with a far end that reports it."""
    for piece in pieces:
        chain.sending()
        chain.arrived(piece)


def failure_of(chain: Chain) -> str:
    """What check() says."""
    with pytest.raises(AssertionError) as failed:
        chain.check()
    return str(failed.value)


def test_a_chain_that_holds() -> None:
    """Every piece, in order; events without text are passed over."""
    chain = Chain(0.01)
    chain.begin(["a", "", "b"])
    chain.arrived("")
    sent(chain, "a")
    chain.arrived(None)
    sent(chain, "b")
    chain.check()
    chain.broken("too late to matter")
    chain.check()
    assert repr(chain) == "<Chain 2 of 2 sent, 2 arrived>"
    with pytest.raises(llmlog.UsageTypeError, match="got 3"):
        chain.arrived(3)  # type: ignore[arg-type]


def test_what_breaks_a_chain() -> None:
    """Each message names the piece, and says what had arrived before."""
    assert failure_of(Chain(0.01)) == "no streamed answer began within 0.01 s; arrived so far: []"

    chain = Chain(0.01)
    chain.begin(["a", " b", "c"])
    sent(chain, "a")
    assert failure_of(chain) == "piece 2 ' b' was not sent within 0.01 s; arrived so far: ['a']"

    chain = Chain(0.01)
    chain.begin(["a", " b", "c"])
    sent(chain, "a")
    chain.sending()
    assert chain.wait(0) is False
    chain.late()
    assert chain.wait(0) is True  # what has failed is not waited for any more
    sent(chain, "c")
    assert failure_of(chain) == "piece 2 ' b' was sent and did not arrive within 0.01 s; arrived so far: ['a']"

    chain = Chain(5)
    chain.begin(["a", "b"])
    sent(chain, "a")
    chain.sending()
    chain.arrived("B")
    assert failure_of(chain) == "'B' arrived in the place of piece 2 'b'; arrived so far: ['a']"

    chain = Chain(5)
    chain.begin(["a", "b"])
    sent(chain, "a")
    chain.arrived("a")
    assert failure_of(chain).startswith("'a' arrived when no piece was on its way: piece 2 'b' was not sent yet;")

    chain = Chain(5)
    chain.begin(["a"])
    sent(chain, "a")
    chain.arrived("a")
    assert failure_of(chain).startswith("'a' arrived when no piece was on its way: all had arrived; arrived so far")

    for on_its_way, state in ((True, "was sent and did not arrive"), (False, "was not sent")):
        chain = Chain(5)
        chain.begin(["a", "b"])
        sent(chain, "a")
        if on_its_way:
            chain.sending()
        chain.broken("the client went away")
        assert failure_of(chain) == f"piece 2 'b' {state}: the client went away; arrived so far: ['a']"


def test_a_piece_that_arrives_just_in_time() -> None:
    """What the server says of the time does not count once the piece is there."""
    chain = Chain(5)
    chain.begin(["a"])
    sent(chain, "a")
    chain.late()
    chain.check()


def test_check_waits_for_another_thread() -> None:
    """The far end may still be at it."""
    chain = Chain(10)
    thread = threading.Thread(target=lambda: (chain.begin(["a", "b"]), sent(chain, "a", "b")))
    thread.start()
    chain.check()
    thread.join()


# The package, and the plugin


def python(*command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter."""
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=60, **options)


def test_all_names_are_there() -> None:
    """What is exported exists, and nothing else does."""
    assert llmlog.testing is testing
    for name in testing.__all__:
        assert getattr(testing, name) is not None
        assert name in dir(testing)
    assert {name for names in testing._HOMES.values() for name in names} == set(testing.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        testing.nothing


def test_the_plugin_is_light() -> None:
    """It is loaded in every test run of every user: no logger, no third party but pytest, no thread, nothing early."""
    code = (
        "import pytest, sys, logging, threading; before = set(sys.modules), set(logging.root.manager.loggerDict); "
        "import llmlog.testing.plugin; "
        "print(*sorted(set(sys.modules) - before[0])); "
        "print(set(logging.root.manager.loggerDict) - before[1], threading.active_count())"
    )
    modules, rest = python("-c", code, check=True).stdout.splitlines()
    assert set(modules.split()) <= {
        "llmlog", "llmlog._version", "llmlog.testing", "llmlog.testing.plugin", "importlib.metadata"
    }  # fmt: skip
    assert rest == "set() 1"


def test_all_but_the_plugin_goes_without_pytest() -> None:
    """The standard library is enough."""
    code = (
        "import sys; sys.modules['pytest'] = None; import llmlog.testing as t; [getattr(t, n) for n in t.__all__]; "
        "print(*sorted({m.partition('.')[0] for m in sys.modules} & {'openai', 'httpx', 'anthropic', '_pytest'}))"
    )
    assert python("-c", code, check=True).stdout.strip() == ""


def test_it_may_be_imported_before_pytest_is() -> None:
    """pytest warns of a plugin's package that it cannot rewrite any more, unless the package says so itself."""
    assert "PYTEST_DONT_REWRITE" in (llmlog.__doc__ or "")


FILE = """
import llmlog
from llmlog.testing import assert_one_summary

def test_passes(llm_calls, llm_clock):
    def pieces():
        llm_clock.advance(2)
        yield "a"
    list(llmlog.stream(pieces()))
    assert_one_summary(llm_calls, latency_ms=2000, outcome="completed")

def test_fails(llm_calls):
    for piece in llmlog.stream(["a", "b"]):
        break
    assert_one_summary(llm_calls, outcome="completed")
"""


def test_the_fixtures_in_a_test_run(tmp_path: Any) -> None:
    """As a user has them: by the entry point, without a conftest, with warnings as errors, and switched off."""
    (tmp_path / "test_it.py").write_text(FILE)
    (tmp_path / "setup.cfg").write_text("[tool:pytest]\n")
    command = ["-m", "pytest", "-W", "error", "-p", "no:cacheprovider", "-p", "no:randomly", "test_it.py"]
    done = python(*command, cwd=tmp_path)
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "E         outcome: expected 'completed', got 'aborted'" in done.stdout
    assert "captured.py" not in done.stdout  # no frame of ours between the test and the message
    done = python(*command, "-p", "no:llmlog", cwd=tmp_path)
    assert "fixture 'llm_calls' not found" in done.stdout
    assert "2 errors" in done.stdout


def test_what_is_collected_is_ours(llm_calls: Captured) -> None:
    """A fixture's captured records are this test's only."""
    gc.collect()
    assert llm_calls.all() == []
