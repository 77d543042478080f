"""Call: one LLM call, from its start to the one record of its end.

Sans I/O: drivers (`llmlog.streams`, `llmlog.clients`, or the user's own `with llmlog.call()`) feed it what arrives
and tell it how it ended; the first to do so wins, whichever threads, tasks and finalisers race. It never awaits,
never touches the network, and holds neither chunks nor the stream.
"""

from __future__ import annotations

import inspect
import os
import time
import weakref
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TypeVar

from llmlog import context, providers, records, settings, worker
from llmlog.answers import Answer
from llmlog.context import RequestState
from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.faults import fault
from llmlog.figures import LONG, to_count, warm
from llmlog.prompts import Prompt
from llmlog.propagation import trace_of_now
from llmlog.summary import Facts, summary

__all__ = ["Call", "call", "flush", "how_it_left", "under_way"]

R = TypeVar("R")

ENDINGS = frozenset({
    "exhausted", "close", "context_exit", "loop_left", "garbage_collected", "exception", "consumer_exception",
    "cancellation", "client_disconnect", "interpreter_exit", "recovery",
})  # fmt: skip
"""What `ended_by` may be."""

_open: dict[int, weakref.ref[Call]] = {}
"""The calls that have no end yet. Taking a call out of here is what makes its record, so it happens once."""

under_way: ContextVar[Call | None] = ContextVar("llmlog_call", default=None)
"""The call that is being sent in this context: a wrapped client that is used inside it belongs to it."""


class Call(Facts):
    """One LLM call. `call()` makes it; a context manager, sync and async, around the sending.

    Inside: `.stream(source)` for a streamed answer, which may outlive the block; `.finish(response)` for a whole one.
    A failure before either is the call's end. `call_id` is in its record, for joining feedback to it.
    """

    __slots__ = (
        "__weakref__",
        "_begun",
        "_entered",
        "_failed_at",
        "_finished_with",
        "_is_part",
        "_key",
        "_outer",
        "_read_by_hand",
        "_sent",
    )

    part: Call | None

    def __init__(
        self,
        *,
        provider: str | None = None,
        model: str | None = None,
        input: Any = None,
        tools: Any = None,
        fields: dict[str, Any] | None = None,
    ) -> None:
        self._begun = False  # first: __del__ is called even where the checks below raise
        reader = providers.reader_named(provider)
        if model is not None and not isinstance(model, str):
            raise UsageTypeError(f"model is a name or None, got {shown(model)}")
        self.prompt = Prompt(input, tools)
        self.settings = settings.current()
        self.clock = self.settings.clock
        self.reader = reader if reader is not None else providers.UNKNOWN
        self.provider = provider
        self.model = model
        self.fields = fields or {}
        self.call_id = context.new_id()
        self.context = context.current()
        self.trace = trace_of_now()
        self.answer = Answer()
        self.streamed = False
        self.driven = False
        self.hide_usage = False
        self.part = None
        self.chunks = self.unread = self.loops = 0
        self.wait = self.gap = self.sending = 0.0
        self.first_pull: float | None = None
        self.first_content: float | None = None
        self.is_left = False
        self.ended: float | None = None
        self.ended_by = ""
        self.error: BaseException | None = None
        self.disconnected = False
        self.around: tuple[RequestState, ...] = ()
        self._outer: Call | None = None
        self._entered = self._is_part = self._read_by_hand = False
        self._failed_at: tuple[float, float] | None = None
        self._finished_with: int | None = None
        self._key = id(self)
        self.created = 0.0
        self.started = self.last = self.pulled = self._sent = self.clock()

    def begin(self) -> Call:
        """The call is under way: from here on it will have a record, whatever happens."""
        if not (self._begun or self._is_part):
            self._begun = True
            _open[self._key] = weakref.ref(self)
            worker.ready()
        return self

    def __del__(self) -> None:
        if self._begun and _open is not None:  # None: the interpreter is taking its modules apart
            self.end("garbage_collected", deferred=True)

    def __repr__(self) -> str:
        return f"<Call {self.call_id} {self.model or ''} {self.ended_by or 'open'}, {self.chunks} chunks>"

    # What the drivers tell.

    def read(self, chunk: Any) -> Any:
        """Read one chunk into the answer. True: it brings the usage and nothing else."""
        if self.reader is providers.UNKNOWN:  # a stream may begin with something that nobody knows
            self.reader = providers.of(chunk)
        return self.reader.chunk(self.answer, chunk)

    def feed(self, chunk: Any) -> None:
        """Take in one chunk that has arrived. For drivers of one's own; `stream()` does it for its source."""
        self.drive()
        self.chunks += 1
        self.last = self.clock()
        try:
            self.read(chunk)
            if self.first_content is None and self.answer.content_chunks:
                self.first_content = self.last
            self.answer.pack()
        except Exception as error:
            self.unreadable(error)

    def drive(self) -> None:
        """The answer begins to come in, streamed: until now it was being sent."""
        self.begin()
        if not self.driven:
            self.streamed = True
            self._answered()

    def _answered(self) -> None:
        self.driven = True
        self.sending = self.clock() - self.started
        self._failed_at = self.error = None
        if under_way.get() is self:  # what is called from here on is another call
            under_way.set(self._outer)

    def unreadable(self, error: Exception) -> None:
        """Reading a chunk failed: it is delivered all the same, and counted."""
        self.unread += 1
        fault("reading a chunk", error)

    @property
    def is_open(self) -> bool:
        """Whether the call has not ended yet."""
        return self._key in _open

    def end(
        self,
        ended_by: str,
        error: BaseException | None = None,
        *,
        deferred: bool = False,
        at: tuple[float, float] | None = None,
    ) -> None:
        """The call is over: make its record, if nobody has. UsageValueError for an `ended_by` that there is not.

        `deferred` in finalisers, where nothing may be logged. `at`: when it was, by `clock` and in Unix seconds.
        """
        if ended_by not in ENDINGS:
            raise UsageValueError(f"ended_by is one of {', '.join(sorted(ENDINGS))}, got {shown(ended_by)}")
        if _open.pop(self._key, None) is None:
            return
        state = self.context.request
        if state is not None:
            state.left.pop(self._key, None)
            self.around = tuple(state.around())
            self.disconnected = state.hung_up()
        self.ended, self.created = at or (self.last if ended_by == "loop_left" else self.clock(), time.time())
        if not self.driven:  # all of it was the sending
            self.sending = self.ended - self.started
        self.ended_by = ended_by
        self.error = error
        if deferred:
            worker.later(self._report)
        elif self._is_long():
            worker.later(self._report, long=True)
        else:
            self._report()

    def _is_long(self) -> bool:
        try:
            return to_count(self.answer, self.prompt) > LONG
        except Exception:
            return False

    def _report(self) -> None:
        try:
            level, message, fields = summary(self)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the record comes all the same, with what is certain
            fault("summing up a call", error)
            level, message = 40, f"LLM call ended by {self.ended_by}; its figures could not be made"
            fields = {**self.context.attributes(), "event": "llm.call", "record_id": self.call_id,
                      "call_id": self.call_id, "ended_by": self.ended_by}  # fmt: skip
        for state in self.around:
            state.add(
                input_tokens=fields.get("input_tokens", 0),
                output_tokens=fields.get("output_tokens", 0),
                cost_usd=fields.get("cost_usd", 0.0),
            )
        self.error = None  # its traceback holds the frames of the application, and they hold the stream
        records.emit(records.CALLS, level, message, fields, created=self.created)

    def left(self) -> None:
        """The loop was left; the stream may still be held, and gone on with. Safe in a finaliser."""
        self.is_left = True
        self._settle_with_request()

    def by_hand(self) -> None:
        """The stream is read by `next()`: whether its consumer has left, only the end of its request can tell."""
        self._read_by_hand = True
        self._settle_with_request()

    def _settle_with_request(self) -> None:
        state = self.context.request
        if state is not None and not state.closed and self.is_open:
            state.left[self._key] = self

    def resumed(self) -> None:
        """The consumer goes on, in a loop: it is the loop that tells."""
        self.is_left = False
        if (state := self.context.request) is not None:
            state.left.pop(self._key, None)

    def settle(self, *, deferred: bool = False) -> None:
        """The consumer has left and its request is over: it will not go on."""
        self.end("loop_left", deferred=deferred)

    def seems_left(self) -> bool:
        """Whether `flush()` may settle it: its loop was left, or it is read by `next()`, outside any request."""
        left = self.is_left or (self._read_by_hand and self.context.request is None)
        return left and self.pulled <= self.last

    def join(self, inner: Call) -> None:
        """Make `inner` a part of this one: the same call as an inner layer sees it, without a record of its own."""
        _open.pop(inner._key, None)
        inner._is_part = True
        self.part = inner
        self.started = min(self.started, inner.started)

    def is_settled(self) -> bool:
        """Whether it is decided already which call this is."""
        return self._begun or self._is_part

    def takes_part(self) -> bool:
        """Whether a streamed call that begins now is what this stream is made of: it waits for its first chunk."""
        return (self.is_open or self._is_part) and self.driven and not self.chunks and self.part is None

    def _become(self, inner: Call) -> None:
        """`inner` begins while this one is being sent: it is this one, and what it knows is added."""
        if self._failed_at is not None:
            self.another().end("exception", self.error, at=self._failed_at)
            self._failed_at = self.error = None
        self._sent = inner.started
        self.fields = {**inner.fields, **self.fields}
        self.model = self.model or inner.model
        self.provider = self.provider or inner.provider
        if self.reader is providers.UNKNOWN:
            self.reader = inner.reader
        if self.prompt.input is None:
            self.prompt = inner.prompt
        self.settings = inner.settings
        self.hide_usage |= inner.hide_usage
        self.streamed = inner.streamed

    def another(self) -> Call:
        """A call beside this one, with this one as its parent: an attempt that failed, or a further answer."""
        made = Call(model=self.model, fields={**self.fields, "parent_id": self.call_id})
        made.provider, made.reader, made.prompt = self.provider, self.reader, self.prompt
        made.context, made.trace, made.settings, made.started = self.context, self.trace, self.settings, self._sent
        return made.begin()

    # What the user calls.

    def stream(self, source: Any) -> Any:
        """`source`, wrapped: the streamed answer of this call. It may outlive the `with` block.

        UsageTypeError for what is no iterable of chunks.
        """
        from llmlog.streams import wrapped  # streams stand on calls; this method is only their door

        return wrapped(source, self)

    def finish(self, response: R) -> R:
        """The whole answer has arrived: the call is over. Returns `response` as it is.

        UsageTypeError for an awaitable.
        """
        if inspect.isawaitable(response):
            raise UsageTypeError(f"finish() takes a whole answer, got {shown(response)}: await it first")
        if self.driven:
            # A wrapped client inside the block has finished it already; another answer is another call.
            return response if self._finished_with == id(response) else self.another().finish(response)
        self.begin()
        self._answered()
        self._finished_with = id(response)
        try:
            if self.reader is providers.UNKNOWN:
                self.reader = providers.of(response)
            self.reader.response(self.answer, response)
            self.answer.end_mark = True
        except Exception as error:
            self.unreadable(error)
        self.end("exhausted")
        return response

    def __enter__(self) -> Call:
        self._outer = under_way.get()
        call = the_call(self)
        if call is self:
            self._entered = True
            under_way.set(self)
        return call

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._entered:  # the block around this one is the call
            return
        self._entered = False
        if under_way.get() is self:
            under_way.set(self._outer)
        self._outer = None
        if not self.driven:
            if error is None and self._failed_at is not None:
                error = self.error
            self.end(
                "context_exit" if error is None else how_it_failed(error),
                error,
                deferred=isinstance(error, GeneratorExit),
                at=self._failed_at if error is self.error else None,
            )
        elif error is not None:
            self.end(how_it_left(error), error, deferred=isinstance(error, GeneratorExit))

    async def __aenter__(self) -> Call:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def failed(self, error: BaseException) -> None:
        """The sending, or the source, raised."""
        if self._entered and not self.driven:  # the block tells, or makes another attempt
            self.error, self._failed_at = error, (self.clock(), time.time())
        elif not isinstance(error, GeneratorExit):  # that one is the consumer going away: its finaliser tells
            self.end(how_it_failed(error), error)
        elif not self.driven:
            self.end("context_exit", deferred=True)


def the_call(new: Call, *, streamed: bool = False) -> Call:
    """The call that `new` is: the one that is being sent around it, seen by an outer layer; else itself, begun."""
    outer = under_way.get()
    if outer is None or outer is new or new.is_settled():
        return new.begin()
    if not outer.driven and outer.is_open:
        outer._become(new)
        return outer
    if streamed and outer.takes_part():
        outer.join(new)
        return new
    return new.begin()


def how_it_failed(error: BaseException) -> str:
    """The `ended_by` of a sending or a source that raised."""
    return "exception" if isinstance(error, Exception) else how_it_left(error)


def how_it_left(error: BaseException | None) -> str:
    """The `ended_by` of a block that was left by `error`."""
    if error is None or isinstance(error, GeneratorExit):
        return "context_exit"
    if isinstance(error, Exception):
        return "consumer_exception"
    return "interpreter_exit" if isinstance(error, SystemExit) else "cancellation"


def call(
    *, provider: str | None = None, model: str | None = None, input: Any = None, tools: Any = None, **fields: Any
) -> Call:
    """One LLM call, as a context manager around its sending, sync and async.

    The clock starts here, and a failure before the first chunk (401, 429, timeout) has its record too.
    `provider`: how to read the answer, where its type does not tell ("openai", "text", ...). `model`: its name.
    `input`: the messages or the prompt, `tools`: the tools offered; both for counting where the provider sends no
    usage. `fields`: more fields of the record. UsageTypeError and UsageValueError for anything else.
    """
    return Call(provider=provider, model=model, input=input, tools=tools, fields=fields)


def flush(timeout: float = 10.0) -> bool:
    """Have everything accepted so far written: True, or False where that took longer than `timeout` seconds.

    Streams whose loop was left while they are still held are settled: they count as aborted, and whoever goes on
    reading gets the rest without its being counted. Then the handlers of llmlog's records are flushed.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise UsageTypeError(f"timeout is a number of seconds, got {shown(timeout)}")
    for one in _open_calls():
        if one.seems_left():
            one.settle()
    done = worker.wait(timeout)
    records.flush_handlers()
    return done


def _open_calls() -> list[Call]:
    return [one for ref in list(_open.values()) if (one := ref()) is not None]


def _settle_abandoned(state: RequestState, deferred: bool) -> None:
    """A client has hung up and its request is over: end its streams that nobody is waiting for.

    Their loops were not left: a generator that is not resumed any more, as frameworks leave it in a worker thread,
    lives on until a collection, and may be too late then.
    """
    for one in _open_calls():
        request = one.context.request
        if request is not None and state in request.around() and one.driven and one.pulled <= one.last:
            one.settle(deferred=deferred)


def _end_all() -> None:
    for one in _open_calls():
        one.end("loop_left" if one.is_left else "interpreter_exit")


def _forget() -> None:
    """In a child process: the open calls are the parent's, and it makes their records."""
    _open.clear()


context.on_hang_up.append(_settle_abandoned)
worker.at_exit.append(_end_all)
worker.at_start.append(warm)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
