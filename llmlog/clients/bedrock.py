"""boto3's client for bedrock-runtime: Converse and InvokeModel, streamed or not."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from llmlog.calls import Call
from llmlog.clients.bodies import MAX_BODY, body_read
from llmlog.clients.sending import Asked, Options, Undo, around, begin, parameters, request_of
from llmlog.lifecycle import how_it_left
from llmlog.providers import bedrock_invoke
from llmlog.providers.base import fields_of

__all__ = ["NAME", "install", "knows"]

NAME = "boto3 (bedrock-runtime)"

_STREAMS = {"ConverseStream": "stream", "InvokeModelWithResponseStream": "body"}
"""The operations that stream, and where in the response the stream is."""

_OPERATIONS = frozenset({*_STREAMS, "Converse", "InvokeModel"})


def knows(client: Any) -> bool:
    """Whether this is a client of this SDK, for this service."""
    if not any(kind.__module__ == "botocore.client" and kind.__name__ == "BaseClient" for kind in type(client).__mro__):
        return False
    return bool(client.meta.service_model.service_name == "bedrock-runtime")


def install(client: Any, options: Options, undo: Undo) -> None:
    """Watch the client's calls. Its methods are made for its class, and all of them send by this one."""

    def begun(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Call, Any, Any] | None:
        operation, params = args
        if operation not in _OPERATIONS:
            return None
        asked = _converse if operation.startswith("Converse") else _invoke
        return begin(options, asked(operation, fields_of(params))), args, kwargs

    send = around(client._make_api_call, is_async=False, begin=begun, answered=_answered)
    undo.put(client, "_make_api_call", send)


def _converse(operation: str, params: Mapping[str, Any]) -> Asked:
    config, more = fields_of(params.get("inferenceConfig")), fields_of(params.get("additionalModelRequestFields"))
    return Asked(
        "bedrock",
        "bedrock",
        model=params.get("modelId"),
        input=request_of(params, "system", "messages"),
        tools=fields_of(params.get("toolConfig")).get("tools"),
        parameters=parameters(
            temperature=config.get("temperature"),
            top_p=config.get("topP"),
            top_k=(more.get("top_k"), more.get("topK")),
            max_tokens=config.get("maxTokens"),
            reasoning_effort=more.get("reasoning_effort"),
        ),
        streamed=operation in _STREAMS,
    )


def _invoke(operation: str, params: Mapping[str, Any]) -> Asked:
    """Each maker's models have a body of their own; what most of them name alike is found."""
    model, body = params.get("modelId"), _json(params.get("body"))
    found = {**body}
    for name in ("textGenerationConfig", "inferenceConfig", "inference_config", "generationConfig"):
        found.update(fields_of(body.get(name)))
    asked = next(
        (body[name] for name in ("messages", "prompt", "inputText", "texts", "message") if body.get(name)), None
    )
    is_embedding = isinstance(model, str) and "embed" in model.lower()
    return Asked(
        "bedrock",
        "bedrock",
        model=model,
        input=request_of(body, "system", input=asked),
        tools=body.get("tools"),
        parameters=parameters(
            temperature=found.get("temperature"),
            top_p=(found.get("top_p"), found.get("topP"), found.get("p")),
            top_k=(found.get("top_k"), found.get("topK"), found.get("k")),
            max_tokens=tuple(
                found.get(name)
                for name in ("max_tokens", "maxTokens", "max_new_tokens", "maxTokenCount", "max_gen_len")
            ),
            seed=found.get("seed"),
        ),
        operation="embeddings" if is_embedding else None,
        streamed=operation in _STREAMS,
    )


def _json(body: Any) -> Mapping[str, Any]:
    """A request's body where it is text or bytes; a file is the SDK's to read."""
    if isinstance(body, (str, bytes, bytearray)):
        try:
            return fields_of(json.loads(body))
        except ValueError:
            pass
    return {}


def _answered(call: Call, response: Any, kwargs: dict[str, Any]) -> Any:
    if call.streamed:
        name = next(name for name in _STREAMS.values() if hasattr(type(response.get(name)), "__iter__"))
        response[name] = call.stream(response[name])
        return response
    body = response.get("body")
    if not hasattr(body, "_raw_stream"):
        return call.finish(response) if call.is_open else response
    call.reader = bedrock_invoke.PROVIDER  # it reads every maker's
    call.reader.response(call.answer, response)  # the counts stand in the headers
    call.answer.end_mark = False
    body._raw_stream = _Body(body._raw_stream, call, getattr(body, "_content_length", None))
    return response


class _Body:
    """The stream inside a botocore StreamingBody: what is read of it is kept, and read as an answer at its end."""

    def __init__(self, raw: Any, call: Call, length: Any) -> None:
        self._raw = raw
        self._call = call
        self._kept = bytearray()
        self._length = int(length) if str(length).isdigit() else None
        self._handled = sys.exception()

    def __getattr__(self, name: str) -> Any:
        if name == "_raw":  # while it is made
            raise AttributeError(name)
        return getattr(self._raw, name)

    def _taken(self, read: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return read(*args, **kwargs)
        except BaseException as error:
            self._call.failed(error)
            raise

    def _keep(self, piece: bytes | memoryview, *, is_all: bool) -> None:
        if len(self._kept) < MAX_BODY:
            self._kept += piece
        if is_all or (self._length is not None and len(self._kept) >= self._length):
            body_read(self._call, self._kept)

    def read(self, amt: int | None = None, *args: Any, **kwargs: Any) -> Any:
        """The next bytes."""
        piece = self._taken(self._raw.read, amt, *args, **kwargs)
        self._keep(piece, is_all=amt is None or amt < 0 or (not piece and amt > 0))
        return piece

    def readinto(self, buffer: Any) -> Any:
        """The next bytes, into a buffer."""
        size = self._taken(self._raw.readinto, buffer)
        self._keep(memoryview(buffer)[: size or 0], is_all=not size and len(buffer) > 0)
        return size

    def readline(self, *args: Any) -> Any:
        """The next line."""
        line = self._taken(self._raw.readline, *args)
        self._keep(line, is_all=not line)
        return line

    def readlines(self, *args: Any) -> Any:
        """All lines."""
        lines = self._taken(self._raw.readlines, *args)
        self._keep(b"".join(lines), is_all=True)
        return lines

    def __iter__(self) -> Any:
        return iter(self.readline, b"")

    def stream(self, *args: Any, **kwargs: Any) -> Any:
        """Pieces of the rest."""
        for piece in self._raw.stream(*args, **kwargs):
            self._keep(piece, is_all=False)
            yield piece
        self._keep(b"", is_all=True)

    def close(self) -> None:
        """Nobody reads on: what a `with` around the body does, too."""
        error = sys.exception()
        if error is self._handled:
            error = None
        self._call.end("close" if error is None else how_it_left(error), error)
        self._raw.close()
