"""ASGIMiddleware: the request's context for any ASGI application, in plain ASGI."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from llmlog.context import new_id
from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.lifecycle import flush
from llmlog.propagation import extract, valid_request_id
from llmlog.request_state import RequestState
from llmlog.scopes import request

if TYPE_CHECKING:
    from asgiref.typing import (
        ASGI3Application,
        ASGIReceiveCallable,
        ASGIReceiveEvent,
        ASGISendCallable,
        ASGISendEvent,
        Scope,
    )

__all__ = ["ASGIMiddleware"]


class ASGIMiddleware:
    """Around `app`, each HTTP or websocket request has a context, with its id, the trace, and `fields`.

    The id comes from the header `header` where the client sent a valid one, else from `generator`; the response
    bears it, and so does `scope["state"]["request_id"]`. A client that hangs up is noticed: what ends because of it
    ends as `cancelled` by `client_disconnect`.

    `validator`: takes the client's id and tells whether it may be used (1 to 128 visible ASCII characters as a rule).
    UsageTypeError for an app, generator or validator that cannot be called, a header that is not text, or fields that
    are no mapping.
    """

    def __init__(
        self,
        app: ASGI3Application | Callable[[Any, Any, Any], Awaitable[None]],
        *,
        header: str = "X-Request-ID",
        generator: Callable[[], object] = new_id,
        validator: Callable[[str], bool] = valid_request_id,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        for name, value in (("app", app), ("generator", generator), ("validator", validator)):
            if not callable(value):
                raise UsageTypeError(f"{name} is something to call, got {shown(value)}")
        if not isinstance(header, str):
            raise UsageTypeError(f"header is the name of a header, got {shown(header)}")
        if not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", header.strip(), re.ASCII):
            raise UsageValueError(f"header is the name of a header, got {shown(header)}")
        if not (fields is None or (isinstance(fields, Mapping) and all(isinstance(name, str) for name in fields))):
            raise UsageTypeError(f"fields is a mapping of names or None, got {shown(fields)}")
        self.app: Any = app
        self._header = header.strip().lower().encode("ascii")
        self._generator = generator
        self._validator = validator
        self._fields = dict(fields or {})

    # Any: frameworks have types of their own for these three, and asgiref's do not fit into them.
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._run(scope, receive, send)

    async def _run(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, _flushing(send))
            return
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        found = extract(scope["headers"])
        request_id = self._request_id(scope["headers"])
        async with request(**{**found, **self._fields, "request_id": request_id}) as context:
            state = context.request
            assert state is not None  # a request's context has its state
            passing = _Passing(state, self._header, request_id, receive, send)
            inner: Any = {**scope, "state": {**(scope.get("state") or {}), "request_id": request_id}}
            await self.app(inner, passing.receive, passing.send)

    def _request_id(self, headers: Any) -> str:
        for name, value in headers:
            if name.lower() == self._header:
                sent: str = value.decode("latin-1").strip()
                if valid_request_id(sent) and self._validator(sent):
                    return sent
                break
        made = str(self._generator())  # a uuid.UUID, say
        return made if valid_request_id(made) else new_id()


def _flushing(send: Any) -> Any:
    """`send`, with everything written before the server is told that the application is down.

    Servers may end the process by a signal then, and no exit handler of Python's runs.
    """

    async def flushing(message: Any) -> None:
        if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            flush(5.0)
        await send(message)

    return flushing


class _Passing:
    """What passes between the server and the application for one request."""

    __slots__ = ("_complete", "_header", "_receive", "_request_id", "_send", "_state")

    def __init__(
        self,
        state: RequestState,
        header: bytes,
        request_id: str,
        receive: ASGIReceiveCallable,
        send: ASGISendCallable,
    ) -> None:
        self._state = state
        self._header = header
        self._request_id = request_id
        self._receive = receive
        self._send = send
        self._complete = False

    async def receive(self) -> ASGIReceiveEvent:
        message = await self._receive()
        # After the last byte, http.disconnect is how a server says that all is well.
        if message["type"] in ("http.disconnect", "websocket.disconnect") and not self._complete:
            self._state.disconnected = True
        return message

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] in ("http.response.start", "websocket.accept"):
            headers = list(message.get("headers") or ())
            if all(name.lower() != self._header for name, _ in headers):
                headers.append((self._header, self._request_id.encode("latin-1", "replace")))
            message = {**message, "headers": headers}  # type: ignore[assignment]
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self._complete = True
        try:
            await self._send(message)
        except OSError:  # ASGI 2.4: this is how a server tells an application that only sends
            self._state.disconnected = True
            raise
