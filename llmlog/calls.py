"""Call: one LLM call, what a driver tells of it and what a user does with it.

Sans I/O: drivers (`llmlog.streams`, `llmlog.clients`, or the user's own `with llmlog.call()`) feed it what arrives
and tell it how it ended. It never awaits, never touches the network, and holds neither chunks nor the stream.

Several layers may see the same call (a stream over a wrapped client's, inside a block): what begins while another
call is being sent *is* that call, and a stream whose first step begins or reads another one has it as its part. The
outermost owns the record.
"""

from __future__ import annotations

import inspect
import time
import weakref
from collections.abc import Iterator
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TypeVar

from llmlog import context, providers, settings
from llmlog.exceptions import UsageTypeError, shown
from llmlog.faults import fault
from llmlog.lifecycle import Life, how_it_failed, how_it_left
from llmlog.prompts import Prompt
from llmlog.propagation import trace_of_now
from llmlog.providers.base import Read
from llmlog.wire import Wire, is_wire

__all__ = ["Call", "call", "set_under_way", "the_call", "under_way"]

R = TypeVar("R")


class _Around(weakref.ref["Call"]):
    """The call that is being sent, and what is around it. Weak: contexts are copied, and outlive what they hold."""

    __slots__ = ("outer",)

    outer: _Around | None


_under_way: ContextVar[_Around | None] = ContextVar("llmlog_call", default=None)


def _around() -> _Around | None:
    """The innermost that is not over. One that ended in a copy of this context could not be taken out of this one."""
    ref = _under_way.get()
    while ref is not None and ((call := ref()) is None or call.is_over()):
        ref = ref.outer
    return ref


def under_way() -> Call | None:
    """The call that is being sent in this context: a wrapped client that is used inside it belongs to it."""
    ref = _around()
    return None if ref is None else ref()


def set_under_way(call: Call | None) -> None:
    """Have `call` be the one that is being sent in this context: one begun inside what is, or that around it again."""
    ref = outer = _around()
    while ref is not None and ref() is not call:
        ref = ref.outer
    if ref is None and call is not None:
        ref = _Around(call)
        ref.outer = outer
    _under_way.set(ref)


class Call(Life):
    """One LLM call. `call()` makes it; a context manager, sync and async, around the sending.

    Inside: `.stream(source)` for a streamed answer, which may outlive the block; `.finish(response)` for a whole one.
    A failure before either is the call's end. `call_id` is in its record, for joining feedback to it.
    """

    __slots__ = ("_entered", "_failed", "_finished_with", "_has_inner", "_quick", "_sent", "outer")

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
        reader = providers.named(provider)
        if model is not None and not isinstance(model, str):
            raise UsageTypeError(f"model is a name or None, got {shown(model)}")
        prompt = Prompt(input, tools)
        super().__init__(context.new_id(), context.current(), settings.current())
        self.prompt = prompt
        if reader is not None:
            self.reader = reader
            self.provider = None if reader.is_form else provider
        self.model = model
        if fields:
            self.fields = fields
        self.trace = trace_of_now() or context.NOTHING
        self.outer: Call | None = None
        self._quick: Read | None = None  # reads the chunks that are fed, once it is known whose they are
        self._entered = self._has_inner = self._is_part = self._read_by_hand = self._reported = False
        self._failed: tuple[BaseException, tuple[float, float]] | None = None
        self._finished_with: int | None = None
        self._sent = self.started

    def __repr__(self) -> str:
        return f"<Call {self.call_id} {self.model or ''} {self.ended_by or 'open'}, {self.chunks} chunks>"

    # What the drivers tell.

    def read(self, chunk: Any) -> Any:
        """Read one chunk into the answer. True: it brings the usage and nothing else."""
        if self.wire is None and is_wire(chunk, self.reader):
            self.wire = Wire()
        if self.wire is not None:
            return self._read_wire(self.wire.feed(chunk))
        return self._read_one(chunk)

    def _read_one(self, chunk: Any) -> Any:
        if self.reader.formats:  # not decided yet; a stream may begin with something that nobody knows
            self.reader = self.reader.pick(chunk)
        return self.reader.chunk(self.answer, chunk)

    def _read_wire(self, payloads: Iterator[Any]) -> None:
        for payload in payloads:
            if isinstance(payload, (dict, list)) or payload == "[DONE]":  # what is no JSON is no plain text either
                self._read_one(payload)
                self.answer.pack()

    def ran_out(self) -> None:
        """The source has no more chunks."""
        if self.wire is not None:
            try:
                self._read_wire(self.wire.close())
            except Exception as error:
                self.unreadable(error)
        self.end("exhausted")

    def feed(self, chunk: Any) -> None:
        """Take in one chunk that has arrived. For drivers of one's own; `stream()` does it for its source."""
        if not self.driven:
            self.drive()
        self.chunks += 1
        self.last = self.settings.clock()
        try:
            if self._quick is not None:
                self._quick(self.answer, chunk)
            else:
                self.read(chunk)
                if not self.reader.formats and self.wire is None:
                    self._quick = self.reader.quicker(self.answer, chunk)
            if self.first_content is None and self.answer.content_chunks:
                self.first_content = self.last
            if not self.chunks % 8:
                self.answer.pack()
        except Exception as error:
            self.unreadable(error)

    def drive(self) -> None:
        """The answer begins to come in, streamed: until now it was being sent."""
        self.begin()
        if not self.driven:
            self.streamed = True
            if self.outer is not None and self.outer.takes_part():  # a stream around this one waits for its chunks
                self.outer.join(self)
            self._answered()

    def _answered(self) -> None:
        self.driven = True
        self.sending = self.clock() - self.started
        self._failed = None
        self.leave()  # what is called from here on is another call

    def unreadable(self, error: Exception) -> None:
        """Reading a chunk failed: it is delivered all the same, and counted."""
        self.unread += 1
        fault("reading a chunk", error)

    def join(self, inner: Call) -> None:
        """Make `inner` a part of this one: the same call as an inner layer sees it, without a record of its own."""
        if inner.is_open and not self.is_settled():  # it has told of its start, so this one goes on under its id
            self.call_id = inner.call_id
            inner.merged_into(self.call_id)
            self.begin(announced=True)
        else:
            inner.merged_into(self.call_id)
        self.part = inner
        self.started = min(self.started, inner.started)

    def is_settled(self) -> bool:
        """Whether it is decided already which call this is."""
        return self._begun or self._is_part

    def is_over(self) -> bool:
        """Whether it has ended, or is a part of another call that has its answer."""
        return self.ending is not None or (self._is_part and self.driven and not self.takes_part())

    def takes_part(self) -> bool:
        """Whether a streamed call that begins now is what this stream is made of: it waits for its first chunk."""
        waits = self.driven and self.streamed and not self.chunks
        return (self.is_open or self._is_part) and waits and self.part is None

    def _become(self, inner: Call) -> None:
        """`inner` begins while this one is being sent: it is this one, and what it knows is added."""
        if self._failed is not None:
            error, at = self._failed
            self.another().end("exception", error, at=at)
            self._failed = None
        self._has_inner = True
        self._sent = inner.started
        self.fields = {**inner.fields, **self.fields}
        self.model = self.model or inner.model
        self.provider = self.provider or inner.provider
        if self.reader.formats:
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
            known = self._finished_with == id(response) or self._is_made_of_inner(response)
            return response if known else self.another().finish(response)
        self.take(response)
        return response

    def take(self, response: Any, *, at: tuple[float, float] | None = None) -> None:
        """Take in a whole answer, as the call's end. `at`: when it had come, by `clock` and in Unix seconds."""
        self.begin()
        self._answered()
        if at is not None:
            self.sending = max(0.0, at[0] - self.started)
        self._finished_with = id(response)
        try:
            self.reader = self.reader.pick(response)
            self.reader.response(self.answer, response)
            self.answer.end_mark = True
        except Exception as error:
            self.unreadable(error)
        self.end("exhausted", at=at)

    def _is_made_of_inner(self, response: Any) -> bool:
        """Whether this is what a library around the inner layer has made of the same answer."""
        try:
            return self._has_inner and providers.UNKNOWN.pick(response).is_form
        except Exception as error:
            fault("reading an answer", error)
            return True

    def leave(self) -> None:
        """In this context it is not being sent any more: what was around it, is."""
        if under_way() is self:
            set_under_way(self.outer)

    def __enter__(self) -> Call:
        self.outer = under_way()
        call = the_call(self)
        if call is self:
            self._entered = True
            set_under_way(self)
        return call

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._entered:  # the block around this one is the call
            return
        self._entered = False
        self.leave()
        self.outer = None
        if not self.driven:
            at = None
            if self._failed is not None and (
                error is None or error is self._failed[0]
            ):  # it was over when the sending failed
                error, at = self._failed
            ended_by = "context_exit" if error is None else how_it_failed(error)
            self.end(ended_by, error, deferred=isinstance(error, GeneratorExit), at=at)
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
            self._failed = error, (self.clock(), time.time())
        elif not isinstance(error, GeneratorExit):  # that one is the consumer going away: its finaliser tells
            self.end(how_it_failed(error), error)
        elif not self.driven:
            self.end("context_exit", deferred=True)
        else:
            self.pulled = self.last  # nobody waits for that chunk any more


def the_call(new: Call, *, streamed: bool = False, part: Call | None = None) -> Call:
    """The call that `new` is: the one that is being sent around it, seen by an outer layer; else itself, begun.

    `part`: the call of the stream that `new` is about to read.
    """
    outer = under_way()
    call = new
    if outer is not None and outer is not new and not new.is_settled():
        if not outer.driven and outer.is_open:
            outer._become(new)
            call = outer
        elif streamed and outer.takes_part():
            outer.join(new)
    if part is not None and part is not call and not call.driven:
        call.join(part)
    return call.begin()


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
