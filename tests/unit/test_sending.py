"""What stands around a sending, without any SDK: a call for each, what it is asked for, the way back."""

from __future__ import annotations

import asyncio
import enum
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Records, answer

from llmlog.clients import sending
from llmlog.clients.bodies import watch
from llmlog.clients.sending import Asked, Options, Undo, around, begin, parameters, request_of, was_sent

OPTIONS = Options(ask_usage=False, capture=None, fields={"team": "search"}, again=lambda client: client)


def watched(send: Any, *, is_async: bool = False, **asked: Any) -> Any:
    """`send`, with a call of OpenAI's around it."""

    def begun(args: Any, kwargs: Any) -> Any:
        return begin(OPTIONS, Asked("openai", "openai", model="gpt-4o-mini", **asked)), args, kwargs

    return around(
        send, is_async=is_async, begin=begun, answered=lambda call, answer, kwargs: sending.answered(call, answer)
    )


def test_a_sending_is_a_call(calls: Records) -> None:
    """What is sent and comes back is as without a call around it; the record has what was asked for."""

    def send(*args: Any, **kwargs: Any) -> Any:
        return {"choices": [{"message": {"content": f"{args} {kwargs}"}, "finish_reason": "stop"}]}

    found = watched(send, input="hello", parameters={"seed": 7})(1, a=2)
    assert found["choices"][0]["message"]["content"] == "(1,) {'a': 2}"
    record = calls.one()
    assert (record["outcome"], record["team"], record["seed"], record["prompt_length"]) == ("completed", "search", 7, 5)


def test_a_stream(calls: Records) -> None:
    """A streamed answer is watched till its end."""
    chunks = answer("Hello", " world")
    assert list(watched(lambda: iter(chunks), streamed=True)()) == chunks
    assert (calls.one()["response_length"], calls.one()["streamed"]) == (11, True)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_failure(calls: Records, is_async: bool) -> None:
    """What the sending raises is the call's end, and told from what is raised before it."""

    def send() -> Any:
        raise TimeoutError("late")

    async def asend() -> Any:
        raise TimeoutError("late")

    observed = watched(asend if is_async else send, is_async=is_async, operation="embeddings")
    with pytest.raises(TimeoutError) as caught:
        asyncio.run(observed()) if is_async else observed()
    assert was_sent(caught.value)
    assert not was_sent(TimeoutError())
    assert (calls.one()["outcome"], calls.one()["operation"]) == ("error", "embeddings")


def test_what_is_no_call(calls: Records) -> None:
    """A request that asks no model is sent as it is."""
    send = around(lambda: 5, is_async=False, begin=lambda args, kwargs: None, answered=lambda *_: 6)
    assert send() == 5
    assert calls.all() == []


def test_faults_of_ours(calls: Records, faults_expected: dict[str, int]) -> None:
    """What goes wrong around a sending is no reason not to send, nor not to hand on the answer."""

    def breaks(*_: Any) -> Any:
        raise ZeroDivisionError

    assert around(lambda: 5, is_async=False, begin=breaks, answered=breaks)() == 5
    begun = begin(OPTIONS, Asked("openai", "openai"))
    assert around(lambda: 5, is_async=False, begin=lambda a, k: (begun, a, k), answered=breaks)() == 5
    assert calls.one()["ended_by"] == "exhausted"
    faults_expected.update({"beginning a call": 1, "watching an answer": 1})


class Effort(enum.StrEnum):
    LOW = "low"


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"temperature": 0, "top_p": 0.5, "seed": 7}, {"temperature": 0, "top_p": 0.5, "seed": 7}),
        ({"temperature": True, "top_p": "1", "seed": 7.5, "max_tokens": None, "reasoning_effort": 3}, {}),
        ({"max_tokens": (None, object(), 9, 8)}, {"max_tokens": 9}),
        ({"choice_count": 1}, {}),
        ({"choice_count": 2}, {"choice_count": 2}),
        ({"reasoning_effort": Effort.LOW}, {"reasoning_effort": "low"}),
    ],
)
def test_parameters(given: dict[str, Any], taken: dict[str, Any]) -> None:
    """Only values of the right kind are taken: SDKs have objects for what was not given."""
    assert parameters(**given) == taken


def test_what_the_model_reads() -> None:
    """The named parts of a request that are there, with lists as they are now."""
    messages = [{"role": "user", "content": "a"}]
    body = {"messages": messages, "system": "", "model": "m", "text": {"format": {}}}
    asked = request_of(body, "system", "messages", "text", "tools", contents=["b"], input=None)
    messages.clear()
    assert asked == {"messages": ({"role": "user", "content": "a"},), "text": {"format": {}}, "contents": ("b",)}
    assert request_of({"model": "m", "messages": object()}, "system") is None


def test_undo() -> None:
    """Everything is as before, in whichever order it was changed."""
    one = SimpleNamespace(a=1, b=2)
    undo = Undo()
    undo.put(one, "a", 3)
    undo.put(one, "a", 4)
    undo.put(one, "c", 5)
    undo.drop(one, "b")
    undo.drop(one, "d")
    undo.remember(one, "e")
    one.e = 6
    assert vars(one) == {"a": 4, "c": 5, "e": 6}
    undo.undo()
    assert vars(one) == {"a": 1, "b": 2}


class Response:
    """An httpx response as far as it matters; its body has not been read."""

    status_code = 200

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces

    @property
    def content(self) -> bytes:
        raise RuntimeError("not read")

    def iter_bytes(self) -> Any:
        yield from self.pieces


@pytest.mark.parametrize(
    ("pieces", "length"),
    [((b'{"choices": [{"message": {"content": "He', b'llo"}}]}'), 5), ((b"Hel", b"lo"), 5), ((b"\xff",), 1)],
)
def test_a_body_in_pieces(calls: Records, pieces: tuple[bytes, ...], length: int) -> None:
    """A whole answer whose body the caller reads: JSON, or text that is none."""
    response = Response(*pieces)
    assert watch(begin(OPTIONS, Asked("openai", "openai")), response, is_async=False) is response
    assert b"".join(response.iter_bytes()) == b"".join(pieces)
    assert b"".join(response.iter_bytes()) == b"".join(pieces)  # read again, it is no new call
    assert (calls.one()["outcome"], calls.one()["response_length"]) == ("completed", length)


def test_a_body_that_breaks(calls: Records) -> None:
    """A body whose connection is cut is an error; one that nobody reads on has no end till it is let go."""
    response: Any = Response(b"a")
    response.iter_bytes = lambda: (1 // 0 for _ in "a")
    watch(begin(OPTIONS, Asked("openai", "openai")), response, is_async=False)
    with pytest.raises(ZeroDivisionError):
        list(response.iter_bytes())
    assert calls.one()["outcome"] == "error"
    left: Any = Response(b"a", b"b")
    watch(begin(OPTIONS, Asked("openai", "openai")), left, is_async=False)
    next(left.iter_bytes())
    del left
    assert calls.all()[1]["ended_by"] == "garbage_collected"
