"""Call: sending, finishing, failing, layers, limits."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import subprocess
import sys
import threading
from typing import Any

import pytest
from conftest import Clock, Records, answer, chunk, usage_chunk

import llmlog
from llmlog.answers import MAX_TEXT
from llmlog.semconv import FIELDS, STANDARD_ATTRIBUTES

RESPONSE = {
    "id": "chatcmpl-2",
    "object": "chat.completion",
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
}


class Refused(Exception):
    """An HTTP error as SDKs raise them."""

    status_code = 429


def test_a_whole_answer_completes_the_call(calls: Records) -> None:
    """finish() returns the response as it is and makes the record at once."""
    with llmlog.call(model="gpt-4o-mini", input="Hi", feature="search") as call:
        assert call.finish(RESPONSE) is RESPONSE
        assert len(calls.records) == 1
    record = calls.one()
    assert (record["outcome"], record["ended_by"], record["levelno"]) == ("completed", "exhausted", logging.INFO)
    assert (record["input_tokens"], record["output_tokens"], record["usage_source"]) == (9, 1, "provider")
    assert record["streamed"] is False
    assert record["feature"] == "search"
    assert record["cost_usd"] == pytest.approx((9 * 0.15 + 1 * 0.6) / 1e6)
    assert "chunks" not in record


def test_a_failure_of_the_sending_is_the_end(calls: Records) -> None:
    """A 429 before the first chunk has its record, with its status, and costs nothing."""
    with pytest.raises(Refused), llmlog.call(model="gpt-4o-mini", input="Hi there"):
        raise Refused("slow down, bob@example.com")
    record = calls.one()
    assert (record["outcome"], record["ended_by"], record["levelno"]) == ("error", "exception", logging.ERROR)
    assert record["http_status"] == 429
    assert record["error_type"].endswith("Refused")
    assert record["error_message"] == "slow down, <EMAIL>"
    assert (record["input_tokens"], record["output_tokens"], record["cost_usd"]) == (2, 0, 0.0)


class ConnectError(Exception):
    """What httpx raises where nobody listens."""


class ReadTimeout(Exception):
    """What it raises where no answer comes in time."""


def raised_from(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def after(error: Exception, before: Exception) -> Exception:
    error.__context__ = before
    return error


@pytest.mark.parametrize(
    ("error", "is_billed"),
    [
        (ConnectionRefusedError(111, "refused"), False),
        (raised_from(RuntimeError("Connection error."), raised_from(ConnectError(), OSError())), False),
        (after(RuntimeError("raised in a handler"), raised_from(RuntimeError(), ConnectError())), False),
        (raised_from(RuntimeError("Request timed out."), ReadTimeout()), True),
        (raised_from(RuntimeError(), after(ReadTimeout(), ConnectError("an attempt before"))), True),
        (raised_from(error := RuntimeError("a ring"), error), True),
    ],
    ids=["refused", "cause", "context", "timeout", "second-attempt", "ring"],
)
def test_what_could_not_be_sent_costs_nothing(calls: Records, error: Exception, is_billed: bool) -> None:
    """Where there was no connection nothing is billed; after a read that timed out the provider may have worked on."""
    with pytest.raises(type(error)), llmlog.call(model="gpt-4o-mini", input="Hi there"):
        raise error
    record = calls.one()
    assert record["outcome"] == "error"
    assert (record["cost_usd"] > 0, record["cost_source"].startswith("not billed")) == (is_billed, not is_billed)


def test_a_connection_that_broke_later_is_billed(calls: Records) -> None:
    """What came before it is counted, whatever the error says."""

    def breaks() -> Any:
        yield chunk("Hello")
        raise ConnectionRefusedError

    with pytest.raises(ConnectionRefusedError):
        list(llmlog.stream(breaks(), model="gpt-4o-mini", input="Hi there"))
    assert calls.one()["cost_usd"] > 0


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt()])
def test_cancelling_the_sending(calls: Records, error: BaseException) -> None:
    """A cancellation while the call is being sent."""
    with pytest.raises(type(error)), llmlog.call():
        raise error
    record = calls.one()
    assert (record["outcome"], record["ended_by"], record["levelno"]) == (
        "cancelled", "cancellation", logging.WARNING)  # fmt: skip


def test_a_block_without_an_answer(calls: Records) -> None:
    """Leaving the block without an answer is leaving early."""
    with llmlog.call():
        pass
    assert (calls.one()["outcome"], calls.one()["ended_by"]) == ("aborted", "context_exit")


def test_the_stream_may_outlive_its_block(calls: Records) -> None:
    """call().stream() goes on after the block, and ends by itself."""
    with llmlog.call() as call:
        stream = call.stream(answer("a", "b"))
    assert calls.all() == []
    assert len(list(stream)) == 5
    assert calls.one()["outcome"] == "completed"


def test_an_exception_in_the_block_while_the_stream_is_read(calls: Records) -> None:
    """The consumer's own exception through the block."""

    def use() -> None:
        with llmlog.call() as call:
            for _ in call.stream(answer("a", "b")):
                1 / 0

    with pytest.raises(ZeroDivisionError):
        use()
    record = calls.one()
    assert record["ended_by"] in ("consumer_exception", "loop_left")  # nobody held the stream: its end came first
    assert (record["outcome"], record["chunks"]) == ("aborted", 1)


def test_async_block(calls: Records) -> None:
    """The block works with async with."""

    async def main() -> None:
        async with llmlog.call(model="gpt-4o-mini") as call:
            call.finish(RESPONSE)

    asyncio.run(main())
    assert calls.one()["outcome"] == "completed"


def test_a_call_never_entered_has_no_record(calls: Records) -> None:
    """Only what was begun is recorded."""
    llmlog.call(model="gpt-4o-mini")
    assert calls.all() == []


def test_driven_by_hand(calls: Records) -> None:
    """feed() and end() are enough for a driver of one's own; dropping it is an end too."""
    call = llmlog.call()
    for one in answer("a", "b"):
        call.feed(one)
    call.end("close")
    call.end("exhausted")
    assert (calls.one()["outcome"], calls.one()["ended_by"], calls.one()["chunks"]) == ("completed", "close", 5)
    dropped = llmlog.call()
    dropped.feed(chunk("a"))
    del dropped
    assert [record["ended_by"] for record in calls.all()] == ["close", "garbage_collected"]


def test_many_threads_race_to_end_it(calls: Records) -> None:
    """Exactly one record, whichever thread is first."""
    for _ in range(20):
        call = llmlog.call().begin()
        barrier = threading.Barrier(8)

        def end(call: llmlog.Call = call, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            call.end("close")

        threads = [threading.Thread(target=end) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(calls.all()) == 20
    assert len({record["record_id"] for record in calls.all()}) == 20


def test_layers_make_one_record(calls: Records) -> None:
    """The outermost layer owns the record, and the inner one adds what it knows."""
    inner = llmlog.stream(answer("a", "b"), model="gpt-4o-mini", team="x")
    for _ in llmlog.stream(inner, feature="search"):
        pass
    record = calls.one()
    assert (record["feature"], record["team"], record["model"]) == ("search", "x", "gpt-4o-mini")
    assert (record["output_tokens"], record["usage_source"]) == (2, "provider")


def test_a_generator_that_makes_text_of_a_stream(calls: Records) -> None:
    """A layer that turns chunks into text keeps the inner layer's usage, model and finish reason."""

    def texts() -> Any:
        for one in llmlog.stream(answer("a", "b"), model="gpt-4o-mini"):
            for choice in one["choices"]:
                if choice["delta"].get("content"):
                    yield choice["delta"]["content"]

    assert "".join(llmlog.stream(texts(), feature="f")) == "ab"
    record = calls.one()
    assert (record["feature"], record["model"], record["finish_reason"]) == ("f", "gpt-4o-mini", "stop")
    assert (record["usage_source"], record["outcome"], record["provider"]) == ("provider", "completed", "openai")


def test_a_stream_made_before_and_read_inside(calls: Records) -> None:
    """A generator over a stream that was made before it: one call, seen twice, and booked once."""
    inner = llmlog.stream(answer("a", "b"), model="gpt-4o-mini")
    texts = (choice["delta"].get("content") or "" for one in inner for choice in one["choices"])
    assert "".join(llmlog.stream(texts, provider="text")) == "ab"
    assert calls.one()["output_tokens"] == 2


def test_three_layers(calls: Records) -> None:
    """Each layer adds what it knows, the outer ones win."""
    innermost = llmlog.stream(answer("a"), model="gpt-4o-mini", team="x", feature="inner")
    for _ in llmlog.stream(llmlog.stream(innermost, tenant="t"), feature="outer"):
        pass
    record = calls.one()
    assert (record["model"], record["team"], record["tenant"], record["feature"]) == ("gpt-4o-mini", "x", "t", "outer")


def test_blocks_inside_blocks(calls: Records) -> None:
    """call() inside call(), and stream() inside call(), are the outer call."""
    with llmlog.call(feature="f"), llmlog.call(model="gpt-4o-mini") as inner:
        inner.finish(RESPONSE)
    with llmlog.call(feature="g"):
        list(llmlog.stream(answer("a")))
    first, second = calls.all()
    assert (first["feature"], first["model"], first["outcome"]) == ("f", "gpt-4o-mini", "completed")
    assert (second["feature"], second["outcome"], second["chunks"]) == ("g", "completed", 4)


def test_two_answers_in_one_block(calls: Records) -> None:
    """A second answer inside a block is a call of its own, with the first as its parent."""
    with llmlog.call() as call:
        list(call.stream(answer("a")))
        list(call.stream(answer("b")))
    first, second = calls.all()
    assert second["parent_id"] == first["call_id"] == call.call_id


def test_an_error_after_the_block(calls: Records) -> None:
    """A source that raises after its block was left: an error, seen at once."""

    def broken() -> Any:
        yield chunk("a")
        raise RuntimeError("cut")

    with llmlog.call() as call:
        stream = call.stream(broken())
    with pytest.raises(RuntimeError):
        list(stream)
    assert (calls.one()["outcome"], calls.one()["chunks"]) == ("error", 1)


def test_context_of_the_start(calls: Records) -> None:
    """The record has the context as it was when the call started."""
    with llmlog.request("r1", user_id="u1"):
        stream = llmlog.stream(answer("a"))
        llmlog.bind(user_id="u2")
        list(stream)
    assert (calls.one()["request_id"], calls.one()["user_id"]) == ("r1", "u1")


def test_the_sending_is_waiting_for_the_provider(calls: Records, clock: Clock) -> None:
    """wait_ms holds the time until the answer began to come in, whole or streamed."""
    with llmlog.call() as call:
        clock.sleep(2.0)
        stream = call.stream([chunk("a"), chunk(finish="stop")])
    clock.sleep(1.0)  # the consumer takes its time before it begins to read
    list(stream)
    with llmlog.call() as call:
        clock.sleep(3.0)
        call.finish(RESPONSE)
    streamed, whole = calls.all()
    assert (streamed["wait_ms"], streamed["ttft_ms"], streamed["consumer_ms"]) == (2000.0, 3000.0, 0.0)
    assert (whole["wait_ms"], whole["latency_ms"]) == (3000.0, 3000.0)


def test_names_that_a_log_record_has(calls: Records) -> None:
    """Context fields and call fields with a LogRecord's own names get a trailing underscore."""
    with llmlog.request(name="n", module="m"):
        list(llmlog.stream(answer("a"), thread="t", args=(1,)))
    record = calls.one()
    assert (record["name_"], record["module_"], record["thread_"], record["args_"]) == ("n", "m", "t", (1,))
    assert record["name"] == "llmlog.calls"


def test_totals_of_a_request(calls: Records) -> None:
    """A request knows what has been used under it; nested requests count in the outer one."""
    with llmlog.request() as outer:
        list(llmlog.stream(answer("a"), model="gpt-4o-mini"))
        with llmlog.request():
            list(llmlog.stream(answer("a", "b"), model="gpt-4o-mini"))
    assert outer.request is not None
    assert outer.request.totals[:3] == (2, 18, 3)
    assert outer.request.totals.cost_usd == pytest.approx((18 * 0.15 + 3 * 0.6) / 1e6)
    assert len(calls.all()) == 2


def test_usage_that_is_estimated(calls: Records) -> None:
    """Without the provider's usage tokens are counted, marked, and priced."""
    for _ in llmlog.stream(answer("Hello", " world", usage=False), model="gpt-4o", input=[
        {"role": "user", "content": "Say hello"}]):  # fmt: skip
        pass
    record = calls.one()
    assert (record["usage_source"], record["output_tokens"], record["input_tokens"]) == ("estimated", 2, 9)
    assert record["cost_usd"] > 0
    assert "cost_partial" not in record


def test_an_estimate_without_the_input_is_a_lower_bound(calls: Records) -> None:
    """Where the input is not known, the cost says that it is partial."""
    list(llmlog.stream(answer("Hello", usage=False), model="gpt-4o"))
    assert "input_tokens" not in calls.one()
    assert calls.one()["cost_partial"] is True


def test_a_placeholder_in_an_unfinished_stream(calls: Records) -> None:
    """What was delivered counts, where a stream that was left has told less so far."""
    early = {**chunk("Hello there, my friend"), "usage": {"prompt_tokens": 9, "completion_tokens": 1}}
    for _ in llmlog.stream(iter([early, early]), model="gpt-4o"):
        break
    assert (calls.one()["usage_source"], calls.one()["output_tokens"]) == ("mixed", 5)


def test_zero_is_not_missing(calls: Records) -> None:
    """A provider's 0 is taken as it is."""
    list(llmlog.stream([*answer("a", usage=False), usage_chunk(0, 0)], model="gpt-4o"))
    record = calls.one()
    assert (record["input_tokens"], record["output_tokens"], record["usage_source"]) == (0, 0, "provider")
    assert record["cost_usd"] == 0.0


def test_an_unknown_model_has_no_price(calls: Records) -> None:
    """No cost where the price is unknown, never 0."""
    chunks = [{**one, "model": "my-own-model"} for one in answer("a")]
    list(llmlog.stream(chunks, model="my-own-model"))
    assert "cost_usd" not in calls.one()


def test_deployments_are_priced_by_their_model(calls: Records) -> None:
    """An Azure deployment with a name of its own."""
    llmlog.configure(deployments={"prod-chat": "gpt-4o-mini"})
    list(llmlog.stream([{**one, "model": ""} for one in answer("a")], model="prod-chat"))
    assert calls.one()["cost_usd"] == pytest.approx((9 * 0.15 + 1 * 0.6) / 1e6)
    assert calls.one()["model"] == "prod-chat"


def test_capture_is_off(calls: Records) -> None:
    """Neither prompt nor response goes into a record unless asked for; their lengths do."""
    list(llmlog.stream(answer("Hello"), input="Hi there"))
    assert not {"prompt", "response", "tool_arguments"} & set(calls.one())
    assert (calls.one()["prompt_length"], calls.one()["response_length"]) == (8, 5)


def test_capture_is_redacted_and_cut(calls: Records) -> None:
    """Personal data that lies across two chunks is found, because the joined text is redacted."""
    llmlog.configure(capture=30)
    messages = [{"role": "user", "content": "I am ann@example.com"}]
    list(llmlog.stream(answer("Write to bob@exam", "ple.com, ", "or not, " * 9), input=messages))
    record = calls.one()
    assert record["prompt"] == "I am <EMAIL>"
    assert record["response"] == "Write to <EMAIL>, or not, or …"
    assert record["response_cut"] is True
    assert "prompt_cut" not in record
    assert {name for name in record if name not in STANDARD_ATTRIBUTES} <= set(FIELDS)


def test_several_choices(calls: Records) -> None:
    """The text of each choice is captured by itself, and each has its finish reason."""
    llmlog.configure(capture=True)
    chunks = [chunk("a"), chunk("b", index=1), chunk("c"), chunk(finish="stop"), chunk(finish="length", index=1)]
    list(llmlog.stream(chunks))
    record = calls.one()
    assert record["response"] == ["ac", "b"]
    assert record["finish_reason"] == ["stop", "length"]
    assert (record["outcome"], record["response_length"]) == ("completed", 3)


def test_the_text_that_is_kept_is_bounded(calls: Records) -> None:
    """Beyond the bound only the length is known, and the estimate follows it."""
    piece = "word " * 2000
    pieces = [piece] * (MAX_TEXT // len(piece) + 100)
    list(llmlog.stream(iter(pieces), provider="text"))
    assert calls.one()["response_length"] == len(piece) * len(pieces)
    assert calls.one()["output_tokens"] == pytest.approx(2000 * len(pieces), rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "error", "shown"),
    [
        ({"model": 5}, TypeError, "5"),
        ({"provider": "opnai"}, ValueError, "'opnai'"),
        ({"provider": 5}, TypeError, "5"),
        ({"input": 5}, TypeError, "5"),
        ({"tools": "x"}, TypeError, "'x'"),
    ],
)
def test_errors_of_use(arguments: dict[str, Any], error: type[Exception], shown: str) -> None:
    """Wrong arguments are refused at the call, with the value in the message."""
    with pytest.raises(error, match=shown):
        llmlog.call(**arguments)
    with pytest.raises(error, match=shown):
        llmlog.stream([], **arguments)


def test_flush_refuses_what_is_no_time() -> None:
    """flush() takes seconds."""
    with pytest.raises(TypeError, match="'soon'"):
        llmlog.flush("soon")  # type: ignore[arg-type]


def test_a_fault_of_ours_still_leaves_a_record(
    calls: Records, monkeypatch: pytest.MonkeyPatch, faults_expected: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Where summing up fails, the record says so with what is certain."""
    monkeypatch.setattr(llmlog.lifecycle, "summary", lambda call: 1 / 0)
    faults_expected["summing up a call"] = 1
    with llmlog.request("r9"):
        assert len(list(llmlog.stream(answer("a")))) == 4
    record = calls.one()
    assert (record["request_id"], record["ended_by"], record["event"]) == ("r9", "exhausted", "llm.call")
    assert "summing up a call" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_child_process_leaves_the_parents_calls_alone(calls: Records) -> None:
    """After a fork the open calls are the parent's, and a child's own calls have their records."""
    stream = llmlog.stream(answer("a", "b"))
    next(stream)
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        list(stream)
        del stream
        gc.collect()
        before = len(calls.all())
        list(llmlog.stream(answer("c")))
        os.write(write, bytes([before, len(calls.all())]))
        os._exit(0)
    os.waitpid(child, 0)
    assert list(os.read(read, 2)) == [0, 1]
    os.close(read)
    os.close(write)
    assert calls.all() == []
    list(stream)
    assert calls.one()["chunks"] == 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_children_of_multiprocessing() -> None:
    """A child of multiprocessing leaves by os._exit: its records are made all the same."""
    code = (
        "import logging, multiprocessing, sys, warnings; import llmlog; warnings.simplefilter('ignore')\n"
        "logging.basicConfig(level='INFO', stream=sys.stdout, format='%(outcome)s %(ended_by)s')\n"
        "def child():\n"
        "    global held\n"
        "    held = llmlog.stream(['a', 'b'])\n"
        "    for _ in held: break\n"
        "process = multiprocessing.get_context('fork').Process(target=child)\n"
        "process.start(); process.join()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split("\n")[0] == "aborted loop_left"


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_a_whole_answer_has_to_be_awaited() -> None:
    """finish() of a coroutine is told at the call."""

    async def create() -> None: ...

    call = llmlog.call()
    with pytest.raises(TypeError, match="await it"):
        call.finish(create())


def test_chunks_that_nobody_reads(calls: Records, capsys: pytest.CaptureFixture[str]) -> None:
    """Their number is known, their length is not: no output tokens, no text, a cost that is a lower bound."""
    list(llmlog.stream([object(), object()], model="gpt-4o", input="Say hello"))
    record = calls.one()
    assert (record["outcome"], record["chunks"], record["cost_partial"]) == ("completed", 2, True)
    assert not {"output_tokens", "total_tokens", "response_length"} & set(record)


def test_text_has_a_price(calls: Records) -> None:
    """Pieces of text are a form and no provider: the model tells the price."""
    list(llmlog.stream(["Hello", " world"], provider="text", model="gpt-4o", input="Say hello"))
    assert calls.one()["cost_usd"] == pytest.approx((2 * 2.5 + 2 * 10) / 1e6)
    assert "provider" not in calls.one()


def test_a_panic_of_a_dependency(
    calls: Records, monkeypatch: pytest.MonkeyPatch, faults_expected: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    """What an extension throws that is no Exception does not reach the consumer, and the record comes."""

    class Panic(BaseException):
        pass

    def panics(*args: Any, **kwargs: Any) -> Any:
        raise Panic

    monkeypatch.setattr(llmlog.summary, "figures", panics)
    faults_expected["counting and pricing"] = 1
    assert len(list(llmlog.stream(["a", "b"]))) == 2
    assert calls.one()["outcome"] == "completed"


FORK = """
import os, sys, warnings; warnings.simplefilter("ignore")
import logging, llmlog
logging.basicConfig(level="INFO", stream=sys.stderr, format="%(outcome)s")
stream = llmlog.stream(iter("ab"), model="gpt-4o")
next(iter(stream))
child = os.fork()
if child == 0:
    list(llmlog.stream(["c"], model="gpt-4o", input="x"))
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_at_the_first_call() -> None:
    """While the worker is loading prices and encodings, a fork waits: the child would wait for ever for its locks."""
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "7\n"


def test_a_start_can_be_seen(calls: Records) -> None:
    """With `log_start` each call has a DEBUG record when it begins, so that one that hangs is seen before it ends."""
    llmlog.configure(log_start=True)
    with llmlog.request("r-1"):
        stream = llmlog.stream(answer("a"), model="gpt-4o-mini", input="Say hello", feature="search")
    (start,) = (vars(record) for record in calls.records)
    assert (start["event"], start["levelname"], start["msg"]) == ("llm.start", "DEBUG", "gpt-4o-mini started")
    assert (start["request_id"], start["feature"], start["prompt_length"], start["streamed"]) == (
        "r-1",
        "search",
        9,
        True,
    )
    assert "outcome" not in start
    list(stream)
    end = vars(calls.records[1])
    assert (end["event"], end["call_id"]) == ("llm.call", start["call_id"])
    assert end["record_id"] != start["record_id"]


def test_a_start_is_told_once(calls: Records) -> None:
    """However many layers see a call, it starts once, under the id that it ends under."""
    llmlog.configure(log_start=True)

    def texts() -> Any:
        for one in llmlog.stream(answer("a", "b")):
            yield one["id"]

    list(llmlog.stream(llmlog.stream(llmlog.stream(answer("a")))))
    list(llmlog.stream(texts()))
    with llmlog.call() as call:
        list(call.stream(llmlog.stream(answer("a"))))
    events = [(record.__dict__["event"], record.__dict__["call_id"]) for record in calls.records]
    assert [event for event, _ in events] == ["llm.start", "llm.call"] * 3
    assert len({call_id for _, call_id in events}) == 3


def message(text: str) -> dict[str, Any]:
    """An answer in LangChain's form."""
    return {"type": "ai", "content": text, "response_metadata": {}, "additional_kwargs": {}, "tool_calls": []}


def test_a_library_around_the_client_inside(calls: Records) -> None:
    """What a library has made of the answer that the layer inside has read is no second answer."""
    with llmlog.call(feature="search") as call:
        with llmlog.call(model="gpt-4o-mini") as inner:
            inner.finish(RESPONSE)
        made = message("Hello")
        assert call.finish(made) is made
        text = "Hello"
        assert call.finish(text) is text
    assert calls.one()["feature"] == "search"
    calls.clear()
    with llmlog.call() as call:
        call.finish(RESPONSE)
        call.finish(message("Good day"))  # nothing was inside: these are two
    assert len(calls.all()) == 2


def test_a_block_inside_a_stream(calls: Records) -> None:
    """A call by hand that streams is what the stream around it waits for; one that does not is another call."""

    def pieces() -> Any:
        with llmlog.call(model="gpt-4o-mini") as first:
            first.finish(RESPONSE)
        with llmlog.call(model="gpt-4o") as second:
            for one in second.stream(answer("Hello", " world")):
                yield one["choices"][0]["delta"].get("content") if one["choices"] else None

    stream = llmlog.stream(pieces(), provider="text", feature="search")
    assert "".join(piece or "" for piece in stream) == "Hello world"
    before, streamed = calls.all()
    assert (before["model"], "feature" in before) == ("gpt-4o-mini", False)
    assert (streamed["model"], streamed["feature"], streamed["usage_source"]) == ("gpt-4o", "search", "provider")


def test_a_call_that_ended_elsewhere_hides_none(calls: Records) -> None:
    """A call that was begun here and ended in a copy of this context does not stand between a block and its client."""

    async def begun_and_ended() -> None:
        call = llmlog.call(model="gpt-4o").__enter__()
        await asyncio.create_task(asyncio.to_thread(call.finish, RESPONSE))

    async def main() -> None:
        await begun_and_ended()
        with llmlog.call(feature="search"):
            pass

    async def inside() -> Any:
        async def pieces() -> Any:
            await begun_and_ended()
            async for one in llmlog.stream(agen()):
                yield one

        async def agen() -> Any:
            for one in answer("Hello"):
                yield one

        return [one async for one in llmlog.stream(pieces(), feature="search")]

    asyncio.run(inside())
    assert [(one.get("feature"), one["streamed"]) for one in calls.all()] == [(None, False), ("search", True)]
    calls.clear()
    asyncio.run(main())
    assert [one["outcome"] for one in calls.all()] == ["completed", "aborted"]
