"""WSGIMiddleware: the request's context, and its record, for any WSGI application (PEP 3333)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Unpack

from llmlog.context import Context, bind, current, enter
from llmlog.faults import fault
from llmlog.middleware.edges import CARRIERS, Edge, Options, content_length
from llmlog.middleware.requests import SEEN, Exchange, is_open, opened
from llmlog.middleware.routes import django_route, wsgi_route

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["WSGIMiddleware"]

_WITHOUT_BODY = frozenset({204, 304})


class WSGIMiddleware:
    """Around `app`, each request has a context, and a record when its response is closed.

    The id comes from the client where it sent a valid one, or is made; the response bears it, and so does
    `environ["llmlog.request_id"]`. The context, which also holds the trace, `http_method`, `http_path` and
    `client_address`, is there in each step of the response's iteration, and never in the server's thread between them.
    The record, `http.request` on logger `llmlog.http`, says how the request ended, how long it took, what its LLM
    calls came to. A response that is closed before its end was left by its client: what ends because of it ends as
    `cancelled` by `client_disconnect`.

    A file that the application hands to the server's own `wsgi.file_wrapper` passes as it is, so that the server can
    send it in its own way; its record is made then, without its size.

    See `llmlog.middleware.Options` for the options. UsageTypeError or UsageValueError for those that make no sense.
    """

    def __init__(self, app: WSGIApplication, **options: Unpack[Options]) -> None:
        self._edge = Edge(app, options)
        self.app = app
        self._wanted = [
            (f"HTTP_{name.upper().replace('-', '_')}", name) for name in (*self._edge.read_headers, *CARRIERS)
        ]
        self._django = django_route(app)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if is_open(environ.get(SEEN)):
            bind(**self._edge.fields)
            return self.app(environ, start_response)
        found = {name: (value,) for key, name in self._wanted if isinstance(value := environ.get(key), str)}
        came_in = self._edge.admit(
            found, method=environ.get("REQUEST_METHOD"), path=_path(environ), address=environ.get("REMOTE_ADDR")
        )
        outer, ours = current(), opened(came_in.fields)
        environ[SEEN], environ["llmlog.request_id"] = ours.request, came_in.request_id
        exchange = Exchange(
            ours,
            route=self._route(environ),
            declared=content_length(environ.get("CONTENT_LENGTH")),
            is_logged=came_in.is_logged,
        )
        bears = None if self._edge.header is None else (self._edge.header, came_in.request_id)
        start = _Start(exchange, bears, start_response)
        enter(ours)
        try:
            result = self.app(environ, start)
            if _is_servers_own(environ, result):
                exchange.sent = None
                exchange.is_out()
                _end(exchange)
                return result
            return _Body(result, exchange, start, has_body=environ.get("REQUEST_METHOD") != "HEAD")
        except BaseException as error:
            _end(exchange, error)
            raise
        finally:
            enter(outer)

    def _route(self, environ: WSGIEnvironment) -> Callable[[], str | None]:
        def route() -> str | None:
            if self._edge.route is not None:
                return self._edge.route(environ)
            if self._django is not None:
                return self._django(_decoded(environ.get("PATH_INFO") or "/"))
            found = wsgi_route(environ)
            return None if found is None else _decoded(environ.get("SCRIPT_NAME") or "") + found

        return route


def _end(exchange: Exchange, error: BaseException | None = None, *, deferred: bool = False) -> None:
    exchange.state.close(deferred=deferred)
    exchange.end(error, deferred=deferred)


def _path(environ: WSGIEnvironment) -> str | None:
    path = (environ.get("SCRIPT_NAME") or "", environ.get("PATH_INFO") or "")
    return _decoded("".join(path)) if all(isinstance(part, str) for part in path) else None


def _decoded(text: str) -> str:
    """A path as it is meant: WSGI has its bytes as Latin-1."""
    try:
        return text.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:  # a server that decodes it itself
        return text


def _is_servers_own(environ: WSGIEnvironment, result: object) -> bool:
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(result, wrapper)


class _Start:
    """`start_response`, and the `write` that it gives: status, length and the id's header of a response."""

    __slots__ = ("_bears", "_exchange", "_start_response", "length")

    def __init__(self, exchange: Exchange, bears: tuple[str, str] | None, start_response: StartResponse) -> None:
        self._exchange = exchange
        self._bears = bears
        self._start_response = start_response
        self.length: int | None = None

    # Any: what an application calls it with is for the server to judge.
    def __call__(self, status: Any, headers: Any, *exc_info: Any, **named: Any) -> Callable[[bytes], object]:
        passed = headers
        try:
            passed = self._with_id(headers)
            self.length = next((content_length(v) for k, v in headers if k.lower() == "content-length"), None)
        except Exception:  # no list of pairs: the server says so
            pass
        write = self._start_response(status, passed, *exc_info, **named)
        try:
            self._exchange.status = int(status[:3])
        except Exception:  # a status in a form of its own, which the server has accepted
            pass

        def counting(data: bytes) -> object:
            done = write(data)
            self._exchange.sent_piece(_length(data))
            return done

        return counting

    def _with_id(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        if self._bears is None or any(name.lower() == self._bears[0].lower() for name, _ in headers):
            return headers
        return [*headers, self._bears]


def _length(piece: object) -> int:
    return len(piece) if isinstance(piece, (bytes, bytearray, memoryview, str)) else 0


class _Body:
    """A response's iterable, each step of it in the request's context. `close()` makes the record."""

    __slots__ = ("_closed", "_error", "_exchange", "_has_body", "_held", "_iterator", "_result", "_start")

    def __init__(self, result: Iterable[bytes], exchange: Exchange, start: _Start, *, has_body: bool) -> None:
        self._closed = False
        self._error: BaseException | None = None
        self._result = result
        self._iterator: Iterator[bytes] | None = None
        self._exchange = exchange
        self._start = start
        self._has_body = has_body
        self._held: Context = exchange.context
        self._hold()

    def __len__(self) -> int:
        return len(self._result)  # type: ignore[arg-type] # the same TypeError where there is none

    def __bool__(self) -> bool:
        return bool(self._result)

    def __iter__(self) -> _Body:
        outer = self._enter()
        try:
            self._iterator = iter(self._result)
        except BaseException as error:
            self._error = error
            raise
        finally:
            self._leave(outer)
        return self

    def __next__(self) -> bytes:
        if self._iterator is None:
            iter(self)
        assert self._iterator is not None
        outer = self._enter()
        try:
            piece = next(self._iterator)
        except StopIteration:
            self._exchange.is_out()
            raise
        except BaseException as error:
            self._error = error
            raise
        finally:
            self._leave(outer)
        self._exchange.sent_piece(_length(piece))
        return piece

    def close(self) -> None:
        outer = self._enter()
        try:
            if not self._closed:
                self._settle()
            close = getattr(self._result, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            self._error = self._error or error
            raise
        finally:
            if not self._closed:
                self._closed = True
                self._finish()
            self._leave(outer)

    def __del__(self) -> None:
        if getattr(self, "_closed", True):  # or not made
            return
        self._closed = True
        try:
            self._finish(deferred=True)
        except Exception as error:
            fault("ending a response that was dropped", error)

    def _settle(self) -> None:
        """Whether a body that is closed now was left by its client, or had nothing more to send."""
        exchange = self._exchange
        if exchange.whole or self._error is not None:
            return
        enough = self._start.length is not None and (exchange.sent or 0) >= self._start.length
        if enough or not self._has_body or exchange.status in _WITHOUT_BODY:
            exchange.is_out()
        else:
            exchange.state.disconnected = True

    def _finish(self, *, deferred: bool = False) -> None:
        exchange, error = self._exchange, self._error
        if isinstance(error, Exception) and not exchange.whole and not exchange.sent:
            exchange.status = None  # a server sends nothing before the first piece: the client sees its 500
        self._error = None  # its traceback holds the frames of the application
        _end(exchange, error, deferred=deferred)

    def _enter(self) -> Context:
        outer = current()
        enter(self._held)
        return outer

    def _leave(self, outer: Context) -> None:
        self._hold()
        enter(outer)

    def _hold(self) -> None:
        """Keep what the step has bound."""
        now = current()
        if now.request is self._exchange.state:
            self._held = now
