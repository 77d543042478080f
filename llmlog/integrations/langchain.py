"""LangChain: a callback handler through which each call of a model has its record, and tools and retrievers theirs.

    chain.invoke(question, config={"callbacks": [llmlog.integrations.langchain.CallbackHandler()]})

A run of a model is a `Call` like any other. LangChain tells of its start, its tokens and mostly of its end; where a run
goes without a word, its call ends as a dropped one does: it is kept only as long as LangChain keeps the run's id.
"""

from __future__ import annotations

import asyncio
import functools
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

from llmlog import settings
from llmlog.answers import Answer
from llmlog.calls import Call
from llmlog.events import event
from llmlog.faults import fault
from llmlog.integrations.langchain_words import (
    asked,
    failed,
    first_text,
    found,
    is_cached,
    labels_of,
    message_of,
    name_of,
)
from llmlog.lifecycle import how_it_failed
from llmlog.providers import langchain
from llmlog.providers.base import fields_of, text_in

try:
    from langchain_core.callbacks import BaseCallbackHandler
except ImportError as error:
    raise ImportError(f"{error}: pip install 'llmlog[langchain]'") from error

__all__ = ["CallbackHandler"]

V = TypeVar("V")

_TEXT_IDS = 1000
"""So many runs are known at a time whose ids are texts, as LangServe's are: nothing tells when those are gone."""


class _Known(Generic[V]):
    """What is known of runs, by their ids: of each as long as LangChain keeps its id, or until it is taken out."""

    def __init__(self) -> None:
        self._by_id: WeakKeyDictionary[UUID, V] = WeakKeyDictionary()
        self._by_text: OrderedDict[str, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_id) + len(self._by_text)

    def keep(self, run_id: Any, known: V) -> None:
        """Know this of the run."""
        if isinstance(run_id, UUID):
            self._by_id[run_id] = known
            return
        self._by_text[str(run_id)] = known
        while len(self._by_text) > _TEXT_IDS:
            self._by_text.popitem(last=False)

    def get(self, run_id: Any) -> V | None:
        """What is known of it."""
        return self._by_id.get(run_id) if isinstance(run_id, UUID) else self._by_text.get(str(run_id))

    def take(self, run_id: Any) -> V | None:
        """The same, and know it no longer."""
        return self._by_id.pop(run_id, None) if isinstance(run_id, UUID) else self._by_text.pop(str(run_id), None)

    def items(self) -> list[tuple[Any, V]]:
        """All of them now; other threads may begin and end theirs meanwhile."""
        ids = [run_id for ref in self._by_id.keyrefs() if (run_id := ref()) is not None]
        return [(run_id, known) for run_id in [*ids, *self._by_text] if (known := self.get(run_id)) is not None]


class _RunCall(Call):
    """The call of a run."""

    __slots__ = ()

    def failed(self, error: BaseException) -> None:
        """A wrapped client inside failed. Where it was cancelled, nobody else may tell."""
        if isinstance(error, asyncio.CancelledError):
            self.end("cancellation", error)
        else:
            super().failed(error)


class _Run:
    """One run of a model. `owns`: its call is its own, and not that of a layer around it. `reads`: its tokens are
    read here, and not by a wrapped client inside. `bare`: they came as texts, without their chunks.
    """

    __slots__ = ("bare", "call", "loop", "owns", "parent", "reads")

    def __init__(self, call: Call, owns: bool, parent: UUID | None) -> None:
        self.call, self.owns, self.parent = call, owns, parent
        self.reads = self.bare = False
        try:
            self.loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self.loop = None

    def __del__(self) -> None:
        # A coroutine that is cancelled before the first token goes without a word; the loop that ends takes all.
        call = self.call
        if self.owns and not call.driven and self.loop is not None and self.loop.is_running():
            call.end("cancellation", asyncio.CancelledError(), deferred=True)

    def end(self, ended_by: str, error: BaseException | None = None) -> None:
        """The run is over, and its call with it; or its sending has failed, where another layer may try again."""
        call = self.call
        if self.owns or ended_by != "exception" or error is None:
            call.end(ended_by, error, deferred=ended_by == "loop_left")
        else:
            call.failed(error)
        if self.owns:
            call.leave()


class _Step:
    """One run of a chain, a tool or a retriever. `root`: name and id of the outermost run that it is part of."""

    __slots__ = ("fields", "root", "started")

    def __init__(self, root: tuple[str, str], fields: dict[str, Any]) -> None:
        self.root, self.fields = root, fields
        self.started = settings.current().clock()


def _observing(method: Callable[..., None]) -> Any:
    """`method`, whose own faults stay its own."""

    @functools.wraps(method)
    def observed(self: CallbackHandler, *args: Any, **kwargs: Any) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception as error:
            fault("a callback of LangChain's", error)

    return observed


class CallbackHandler(BaseCallbackHandler):
    """Gives each call of a model its record, and each run of a tool or retriever an event. Sync and async, both.

    One is enough for a process: pass it in a call's `config={"callbacks": [...]}`, to a model (`callbacks=`), or to
    anything LangChain builds of them. `capture`: as in `configure()`, for these calls; None: as configured. `fields`:
    more fields for each of their records.

    A run's id is the `call_id`, its parent's the `parent_id`; `chain_name` and `chain_id` are the outermost chain's. In
    a run's metadata, the names of llmlog's context fields (`user_id`, `feature`, ...) are fields of its record, a
    `thread_id` or `session_id` is its `conversation_id`, and its own tags are its `tags`.
    """

    run_inline = True  # in async code too: in the order and the context of what it tells
    raise_error = False

    def __init__(self, *, capture: bool | int | None = None, **fields: Any) -> None:
        self._capture = None if capture is None else settings.captured_characters(capture)
        self._fields = fields
        self._runs: _Known[_Run] = _Known()
        self._steps: _Known[_Step] = _Known()

    # Models

    @_observing
    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[Any]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """A chat model is asked."""
        sent = [message_of(message) for message in messages[0]] if messages else None
        self._begin(sent, "chat", run_id, parent_run_id, kwargs)

    @_observing
    def on_llm_start(
        self,
        serialized: dict[str, Any],
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """A model that completes texts is asked."""
        self._begin(prompts[0] if prompts else None, "text_completion", run_id, parent_run_id, kwargs)

    def _begin(self, sent: Any, operation: str, run_id: UUID, parent: UUID | None, told: Mapping[str, Any]) -> None:
        params, metadata = fields_of(told.get("invocation_params")), fields_of(told.get("metadata"))
        tools = params.get("tools")
        call = _RunCall(
            model=first_text(metadata.get("ls_model_name"), params.get("model"), params.get("model_name")),
            input=sent,
            tools=tools if isinstance(tools, (list, tuple)) else None,
            fields={
                "operation": operation,
                **self._fields,
                **asked(params, metadata),
                **self._around(parent),
                **_labels(told),
            },
        )
        call.call_id = str(run_id)
        call.provider = langchain.provider_named(metadata.get("ls_provider"))
        if self._capture is not None:
            call.settings = replace(call.settings, capture=self._capture)
        entered = call.__enter__()
        self._runs.keep(run_id, _Run(entered, entered is call, parent))
        batch = told.get("batch_size")
        if entered is call and isinstance(batch, int) and batch > 1:  # which of them is sent, nobody tells
            call.leave()

    @_observing
    def on_llm_new_token(self, token: Any, *, chunk: Any = None, run_id: UUID, **kwargs: Any) -> None:
        """A chunk came; it goes to its consumer next."""
        run = self._runs.get(run_id)
        if run is None:
            return
        if chunk is None:
            run.bare = True
            chunk = {"type": "Generation", "text": text_in(token), "generation_info": None}
        else:
            message = getattr(chunk, "message", None)
            if message is not None and (message.response_metadata or not chunk.generation_info):
                chunk = message  # LangChain has put the rest into it
        self._read(run, chunk)

    @_observing
    def on_stream_event(self, event: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """An event came, in LangChain's third protocol of streaming."""
        run = self._runs.get(run_id)
        if run is None or fields_of(event).get("event") != "content-block-delta":
            return
        run.bare = True  # what else there is, the whole message tells
        delta = fields_of(fields_of(event).get("delta"))
        thought, text = text_in(delta.get("reasoning")), text_in(delta.get("text"))
        content = [{"type": "reasoning", "reasoning": thought}] if thought else text
        self._read(run, {"type": "AIMessageChunk", "content": content})

    def _read(self, run: _Run, chunk: Any) -> None:
        call = run.call
        if not run.reads:
            if call.driven:  # a wrapped client inside reads the same answer
                return
            run.reads = True
            call.feed(chunk)
            call.by_hand()  # the consumer has it now: if it goes, the end of the request tells
        else:
            call.feed(chunk)

    @_observing
    def on_llm_end(self, response: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """The answer is whole."""
        run = self._runs.take(run_id)
        if run is None:
            return
        call = run.call
        if is_cached(response):
            call.fields = {**call.fields, "cached": True}
        if not call.driven:
            call.finish(response)
        elif run.bare and call.is_open:
            _tell_all(call, response)
        if run.reads or run.owns:
            run.end("exhausted")

    @_observing
    def on_llm_error(self, error: BaseException, *, run_id: UUID, response: Any = None, **kwargs: Any) -> None:
        """It failed, was cancelled, or was left: an early `break` arrives as GeneratorExit."""
        run = self._runs.take(run_id)
        if run is None:
            return
        if isinstance(error, GeneratorExit) or _was_left(error):
            run.end("loop_left")
        else:
            run.end(how_it_failed(error), error)

    # What is around and beside them

    @_observing
    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """A chain, an agent or a node of a graph begins."""
        self._step(run_id, parent_run_id, name_of(serialized, kwargs, "chain"))

    @_observing
    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """A chain failed. Where it was cancelled, LangChain does not say so of the models that it was waiting for."""
        if isinstance(error, (Exception, GeneratorExit)):
            return
        for child, run in self._runs.items():
            if run.parent == run_id and run.owns:
                self._runs.take(child)
                run.end(how_it_failed(error), error)

    @_observing
    def on_tool_start(
        self, serialized: Any, input_str: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """A tool is called."""
        name = name_of(serialized, kwargs, "tool")
        given = len(input_str) if isinstance(input_str, str) else None
        fields = {"tool_name": name, "tool_call_id": kwargs.get("tool_call_id"), "arguments_length": given}
        self._step(run_id, parent_run_id, name, **_labels(kwargs), **fields)

    @_observing
    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """A tool has answered; one that caught its own error says so in its message."""
        failed = getattr(output, "status", None) == "error"
        self._tell("llm.tool", run_id, kwargs, outcome="error" if failed else "completed")

    @_observing
    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """A tool failed."""
        self._tell("llm.tool", run_id, kwargs, **failed(error))

    @_observing
    def on_retriever_start(
        self, serialized: Any, query: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Documents are looked for."""
        length = len(query) if isinstance(query, str) else None
        name = name_of(serialized, kwargs, "retriever")
        self._step(run_id, parent_run_id, name, **_labels(kwargs), retriever=name, query_length=length)

    @_observing
    def on_retriever_end(self, documents: Sequence[Any], *, run_id: UUID, **kwargs: Any) -> None:
        """Documents were found."""
        self._tell("llm.retrieval", run_id, kwargs, outcome="completed", **found(documents))

    @_observing
    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """The search failed."""
        self._tell("llm.retrieval", run_id, kwargs, **failed(error))

    def _step(self, run_id: UUID, parent: UUID | None, name: str, **fields: Any) -> None:
        above = None if parent is None else self._steps.get(parent)
        self._steps.keep(run_id, _Step((name, str(run_id)) if above is None else above.root, fields))

    def _around(self, parent: UUID | None) -> dict[str, Any]:
        """What a record says of the chain that it is part of."""
        if parent is None:
            return {}
        above = self._steps.get(parent)
        chain = {} if above is None else dict(zip(("chain_name", "chain_id"), above.root, strict=True))
        return {"parent_id": str(parent), **chain}

    def _tell(self, name: str, run_id: UUID, told: Mapping[str, Any], **fields: Any) -> None:
        step = self._steps.take(run_id)
        if step is None:
            return
        latency = round((settings.current().clock() - step.started) * 1000, 3)
        made = {
            **self._fields,
            **self._around(told.get("parent_run_id")),
            **step.fields,
            "call_id": str(run_id),
            "latency_ms": latency,
            **fields,
        }
        event(name, **{key: value for key, value in made.items() if value is not None})


def _labels(told: Mapping[str, Any]) -> dict[str, Any]:
    return labels_of(told.get("tags"), fields_of(told.get("metadata")))


def _tell_all(call: Call, response: Any) -> None:
    """Pieces without their chunks have brought the text only: the whole answer says the rest."""
    whole = Answer()
    langchain.read_response(whole, response)
    whole.has_content(call.answer.content_chunks - whole.content_chunks)
    call.reader, call.answer = langchain.PROVIDER, whole


def _was_left(error: BaseException) -> bool:
    """Whether this is the cancelled closing of a generator that was left, and no cancelled wait for a chunk.

    A loop that ends cancels the tasks in which such generators are closed; then it is their `yield` that raises.
    """
    trace = error.__traceback__
    return isinstance(error, asyncio.CancelledError) and trace is not None and trace.tb_next is None
