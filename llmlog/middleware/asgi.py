"""ASGIMiddleware: the request's context, and its record, for any ASGI application, in plain ASGI."""

from __future__ import annotations

from asyncio import CancelledError, get_running_loop
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Unpack

from llmlog.context import Context, bind, current, enter
from llmlog.faults import fault
from llmlog.lifecycle import end_under, flush
from llmlog.middleware.edges import CARRIERS, Edge, Options, Request, content_length
from llmlog.middleware.requests import SEEN, Connection, Exchange, is_open, leave, opened
from llmlog.middleware.routes import asgi_route, django_route

if TYPE_CHECKING:
    from asgiref.typing import ASGI3Application, ASGIReceiveCallable, ASGIReceiveEvent, ASGISendCallable, ASGISendEvent

__all__ = ["ASGIMiddleware"]


class ASGIMiddleware:
    """Around `app`, each HTTP request and each websocket has a context, and a record when it is over.

    The id comes from the client where it sent a valid one, or is made; the response bears it, and so does
    `scope["state"]["request_id"]` (`request.state.request_id`). The context also holds the trace, `http_method`,
    `http_path` and `client_address`. The record, `http.request` or `websocket.connection` on logger `llmlog.http`,
    says how the request ended, how long it took, what its LLM calls came to, and what was bound in it, in whichever of
    its tasks and threads; it is made when the last byte of the response is out, whatever background tasks do then. A
    client that hangs up is noticed: what ends because of it ends as `cancelled` by `client_disconnect`.

    What the application raises goes on to whoever stands outside, and the request's context stays with it, so that
    the server's traceback and Starlette's handlers for `Exception` and 500 bear the id. Their response does, too,
    where this middleware stands outside of them: `app = ASGIMiddleware(app)`, instead of `app.add_middleware(...)`.

    See `llmlog.middleware.Options` for the options. UsageTypeError or UsageValueError for those that make no sense.
    """

    def __init__(
        self, app: ASGI3Application | Callable[[Any, Any, Any], Awaitable[None]], **options: Unpack[Options]
    ) -> None:
        self._edge = Edge(app, options)
        self.app: Any = app
        self._header = None if self._edge.header is None else self._edge.header.lower().encode("ascii")
        self._wanted = frozenset(name.encode("ascii") for name in (*self._edge.read_headers, *CARRIERS))
        self._django = django_route(app)
        self._open: set[Exchange] = set()

    # Any: frameworks have types of their own for these three, and asgiref's do not fit into them.
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        kind = scope.get("type")
        if kind == "lifespan":
            await self.app(scope, receive, _flushing(send, self._open))
        elif kind not in ("http", "websocket"):
            await self.app(scope, receive, send)
        elif is_open(scope.get(SEEN)):
            bind(**self._edge.fields)
            await self.app(scope, receive, send)
        else:
            await self._run(scope, receive, send)

    async def _run(self, scope: MutableMapping[str, Any], receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        came_in, length = self._admitted(scope)
        outer = current()
        ours = opened(came_in.fields)
        _mark(scope, ours.request, came_in.request_id)
        bears = None if self._header is None else (self._header, came_in.request_id.encode("latin-1", "replace"))
        passes = _Http if scope["type"] == "http" else _Websocket
        kind = Exchange if scope["type"] == "http" else Connection
        exchange = kind(ours, route=self._route(scope), declared=length, is_logged=came_in.is_logged)
        passing = passes(exchange, bears, receive, send)
        stays = False
        ended: BaseException | None = None
        self._open.add(exchange)
        enter(ours)
        try:
            await self.app(scope, passing.receive, passing.send)
        except BaseException as error:
            ended = error
            stays = isinstance(error, Exception) and _is_outermost(outer) and not exchange.state.disconnected
            raise
        finally:
            deferred = isinstance(ended, GeneratorExit)  # closed by a collection, maybe: nothing may be logged then
            exchange.state.close(deferred=deferred)
            exchange.end(ended, deferred=deferred)
            self._open.discard(exchange)
            ended = None  # its traceback holds this frame
            if not stays:
                leave(exchange.state, outer)

    def _admitted(self, scope: MutableMapping[str, Any]) -> tuple[Request, int | None]:
        found: dict[str, list[str]] = {}
        length = None
        try:
            for name, value in scope.get("headers") or ():
                lower = name.lower()
                if lower in self._wanted:
                    found.setdefault(lower.decode("ascii"), []).append(value.decode("latin-1"))
                elif lower == b"content-length":
                    length = content_length(value.decode("latin-1"))
        except Exception as error:
            fault("reading a request's headers", error)
        client = scope.get("client")
        address = client[0] if isinstance(client, (tuple, list)) and client else None
        came_in = self._edge.admit(found, method=scope.get("method"), path=scope.get("path"), address=address)
        return came_in, length

    def _route(self, scope: MutableMapping[str, Any]) -> Callable[[], str | None]:
        root = scope.get("root_path") or ""

        def route() -> str | None:
            if self._edge.route is not None:
                return self._edge.route(scope)
            if self._django is not None:
                return self._django(str(scope["path"]).removeprefix(root))
            return asgi_route(scope, root)

        return route


def _is_outermost(outer: Context) -> bool:
    """Whether the task is this request's: inside another request, that one's context goes on."""
    return outer.request is None or outer.request.closed


def _mark(scope: MutableMapping[str, Any], state: object, request_id: str) -> None:
    """Put the id where it is found: in the scope's own state, so that whoever stands outside of us sees it, too."""
    try:
        scope[SEEN] = state
        scope.setdefault("state", {})["request_id"] = request_id
    except Exception as error:  # a scope, or a state, that is no dict
        fault("putting a request's id into its scope", error)


def _flushing(send: Any, still_open: set[Exchange]) -> Any:
    """`send`, with everything written before the server is told that the application is down.

    Servers may end the process by a signal then, and no exit handler of Python's runs: requests that are still open
    were cancelled, with their calls, and their tasks may not get to say so.
    """

    async def flushing(message: Any) -> None:
        if _type(message) in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            for exchange in list(still_open):
                end_under(exchange.state, "cancellation", CancelledError())
                exchange.end(CancelledError())
            flush(5.0)
        await send(message)

    return flushing


class _Passing:
    """What passes between the server and the application. Messages go on as they are, but for the id's header."""

    __slots__ = ("_bears", "_receive", "_send", "exchange")

    def __init__(
        self,
        exchange: Any,
        bears: tuple[bytes, bytes] | None,
        receive: ASGIReceiveCallable,
        send: ASGISendCallable,
    ) -> None:
        self.exchange = exchange
        self._bears = bears
        self._receive = receive
        self._send = send

    async def receive(self) -> ASGIReceiveEvent:
        message = await self._receive()
        try:
            self.received(message)
        except Exception as error:
            fault("reading what a server says", error)
        return message

    async def send(self, message: ASGISendEvent) -> None:
        passed: Any = message
        try:
            passed = self.sending(message)
        except Exception as error:
            fault("reading what an application says", error)
        try:
            await self._send(passed)
        except OSError:  # ASGI 2.4: this is how a server tells an application that only sends
            self.exchange.state.disconnected = True
            raise
        try:
            self.sent(message)
        except Exception as error:
            fault("reading what an application says", error)

    def received(self, message: Any) -> None:
        raise NotImplementedError

    def sending(self, message: Any) -> Any:
        raise NotImplementedError

    def sent(self, message: Any) -> None:
        raise NotImplementedError

    def with_id(self, message: Any) -> Any:
        """The message with the id among its headers: once, and nothing where the application has put one there."""
        headers = message.get("headers")
        if self._bears is None or not isinstance(headers, (Iterable, type(None))):
            return message
        listed = list(headers or ())
        if any(_is_named(pair, self._bears[0]) for pair in listed):
            return {**message, "headers": listed} if headers is not None else message
        return {**message, "headers": [*listed, self._bears]}


def _is_named(pair: Any, name: bytes) -> bool:
    try:
        return bool(pair[0].lower() == name)
    except Exception:  # what is no header is the server's to refuse
        return False


def _type(message: Any) -> str | None:
    kind = message.get("type") if type(message) is dict or isinstance(message, Mapping) else None
    return kind if isinstance(kind, str) else None


def _size(message: Any, *names: str) -> int:
    """The length of the first of these that the message has, in bytes."""
    for name in names:
        value = message.get(name)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return len(value)
        if isinstance(value, str):
            return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
    return 0


_STEPS = 50
"""Steps of the event loop: an error takes about three of them through each BaseHTTPMiddleware."""
_BODIES = frozenset({"http.response.body", "http.response.pathsend", "http.response.zerocopysend"})


class _Http(_Passing):
    """The messages of an HTTP request."""

    __slots__ = ("_last", "_trailers")

    exchange: Exchange

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._last = False  # the last message is on its way, or out
        self._trailers = False

    def received(self, message: Any) -> None:
        kind = _type(message)
        if kind == "http.request":
            self.exchange.received_piece(_size(message, "body"))
        # After the last byte, http.disconnect is how a server says that all is well.
        elif kind == "http.disconnect" and not self._last:
            self.exchange.state.disconnected = True

    def sending(self, message: Any) -> Any:
        kind = _type(message)
        if kind == "http.response.start":
            self._trailers = bool(message.get("trailers"))
            return self.with_id(message)
        if kind == "http.response.trailers":
            self._last = not message.get("more_trailers", False)
        elif kind in _BODIES:
            self._last = not (message.get("more_body", False) or self._trailers)
        return message

    def sent(self, message: Any) -> None:
        kind = _type(message)
        if kind == "http.response.body":
            self.exchange.sent_piece(_size(message, "body"))
        elif kind == "http.response.start":
            if self.exchange.status is None:
                self.exchange.status = _status(message)
        elif kind in _BODIES:
            self.exchange.sent = None  # a file that the server reads: we do not see it
        if self._last:
            self.exchange.is_out()
            # A stream whose loop was left may still be gone on with: the end of the request tells what it came to.
            if not self.exchange.state.left:
                _end_soon(self.exchange)


def _end_soon(exchange: Exchange) -> None:
    """Have its record made in a moment: at once where the application raises or returns now, and not much later where
    it goes on, with a background task.

    Starlette's BaseHTTPMiddleware ends the response of an application that has failed as if it were whole, and raises
    the error some steps of the event loop later.
    """
    try:
        loop = get_running_loop()
    except RuntimeError:  # not asyncio's
        exchange.end()
        return

    def step(left: int) -> None:
        if not left:
            exchange.end()
        elif exchange.is_open:
            loop.call_soon(step, left - 1)

    loop.call_soon(step, _STEPS)


def _status(message: Any) -> int | None:
    status = message.get("status")
    return int(status) if isinstance(status, int) else None


class _Websocket(_Passing):
    """The messages of a websocket."""

    __slots__ = ()

    exchange: Connection

    def received(self, message: Any) -> None:
        kind = _type(message)
        if kind == "websocket.receive":
            self.exchange.messages_in += 1
            self.exchange.received_piece(_size(message, "bytes", "text"))
        elif kind == "websocket.disconnect" and not self.exchange.by_us:
            self.exchange.state.disconnected = True
            self.exchange.closed(_code(message, 1005), by_us=False)

    def sending(self, message: Any) -> Any:
        starts = _type(message) in ("websocket.accept", "websocket.http.response.start")
        return self.with_id(message) if starts else message

    def sent(self, message: Any) -> None:
        kind = _type(message)
        if kind == "websocket.send":
            self.exchange.messages_out += 1
            self.exchange.sent_piece(_size(message, "bytes", "text"))
        elif kind == "websocket.accept":
            self.exchange.status = 101
        elif kind == "websocket.close":
            accepted = self.exchange.status == 101
            self.exchange.closed(_code(message, 1000) if accepted else None, by_us=True)
        elif kind == "websocket.http.response.start":
            self.exchange.status = _status(message)
        elif kind == "websocket.http.response.body":
            self.exchange.sent_piece(_size(message, "body"))
            if not message.get("more_body", False):
                self.exchange.closed(None, by_us=True)


def _code(message: Any, otherwise: int) -> int:
    code = message.get("code")
    return int(code) if isinstance(code, int) else otherwise
