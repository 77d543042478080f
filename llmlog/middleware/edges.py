"""The edge: what is taken over from a client, and what of it goes into the records. The same for ASGI and WSGI."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypedDict
from urllib.parse import quote

from llmlog.captures import cut
from llmlog.context import new_id
from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.faults import fault, notice
from llmlog.propagation import extract, valid_request_id
from llmlog.redaction import redact

__all__ = ["CARRIERS", "Edge", "Options", "Request", "content_length", "visible"]

CARRIERS = ("traceparent", "tracestate", "baggage")
"""The headers of a trace, beside those of the id."""

_TOKEN = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"})
_MAX_PATH = 1000
_MAX_LENGTH = 18  # digits of a Content-Length


class Options(TypedDict, total=False):
    """The options of both middlewares.

    `header`: the response's header that bears the id (X-Request-ID); None: it bears none. `read_headers`: those of the
    request that may bring one, the first valid one wins; as a rule the same. `generator`: makes an id where none came.
    `validator`: whether the client's id may be used, beside being 1 to 128 visible ASCII characters, as each id has to
    be: where the generator makes no such one, stderr says so once, and a random one is taken. `trusted`: False where
    clients are strangers: their id is kept as `client_request_id`, their trace and baggage are not taken over.

    `fields`: more fields for each request's context. `client`: its address as "masked" (the network: 203.0.113.*),
    "whole" (which a RedactFilter that looks for IP addresses takes out again) or "absent". `route`: gives the route's
    template for a scope (WSGI: an environ) when the request is over, where the framework is not one of those that are
    known. `log_requests`: whether each request has its record, on logger `llmlog.http`. `exclude`: paths of requests
    without a record, such as "/health" or "/static/*".
    """

    header: str | None
    read_headers: Iterable[str]
    generator: Callable[[], object]
    validator: Callable[[str], bool]
    trusted: bool
    fields: Mapping[str, Any] | None
    client: Literal["masked", "whole", "absent"]
    route: Callable[[Any], str | None] | None
    log_requests: bool
    exclude: Iterable[str]


class Request(NamedTuple):
    """What an edge makes of a request that comes in: its id, the fields of its context, whether it has a record."""

    request_id: str
    fields: dict[str, Any]
    is_logged: bool


class Edge:
    """Checked options: where requests come in. UsageTypeError or UsageValueError for an option that makes no sense."""

    def __init__(self, app: Any, options: Mapping[str, Any]) -> None:
        known = Options.__annotations__
        for name in options:
            if name not in known:
                raise UsageTypeError(f"no option of the middleware: {shown(name)}; there are {', '.join(known)}")
        self._generator: Callable[[], object] = options.get("generator", new_id)
        self._validator: Callable[[str], bool] = options.get("validator", valid_request_id)
        self.route: Callable[[Any], str | None] | None = options.get("route")
        for name, value in (("app", app), ("generator", self._generator), ("validator", self._validator)):
            if not callable(value):
                raise UsageTypeError(f"{name} is something to call, got {shown(value)}")
        if not (self.route is None or callable(self.route)):
            raise UsageTypeError(f"route is something to call or None, got {shown(self.route)}")
        header = options.get("header", "X-Request-ID")
        self.header = None if header is None else _header("header", header)
        own = () if self.header is None else (self.header,)
        self.read_headers = tuple(
            _header("read_headers", name).lower() for name in _texts("read_headers", options.get("read_headers", own))
        )
        for name in ("trusted", "log_requests"):
            if not isinstance(options.get(name, True), bool):
                raise UsageTypeError(f"{name} is True or False, got {shown(options[name])}")
        self.trusted: bool = options.get("trusted", True)
        self._log_requests: bool = options.get("log_requests", True)
        self._client = options.get("client", "masked")
        if self._client not in ("masked", "whole", "absent"):
            raise UsageValueError(f'client is "masked", "whole" or "absent", got {shown(self._client)}')
        fields = options.get("fields")
        if not (fields is None or (isinstance(fields, Mapping) and all(isinstance(name, str) for name in fields))):
            raise UsageTypeError(f"fields is a mapping of names or None, got {shown(fields)}")
        self.fields = dict(fields or {})
        exclude = _texts("exclude", options.get("exclude", ()))
        self._excluded = frozenset(path for path in exclude if not path.endswith("*"))
        self._excluded_beginnings = tuple(path[:-1] for path in exclude if path.endswith("*"))

    def admit(
        self, headers: Mapping[str, Collection[str]], *, method: object, path: object, address: object
    ) -> Request:
        """What is known of a request when it comes in. Never raises.

        `headers`: those of `read_headers` and `CARRIERS` that it has, lower-case, each with its values.
        """
        fields: dict[str, Any] = {}
        taken = None
        try:
            sent = next(filter(self._is_valid, _values(headers, self.read_headers)), None)
            if self.trusted:
                taken = sent
                carriers = [(name, value) for name in CARRIERS for value in headers.get(name, ())]
                fields = dict(extract(carriers)) if carriers else {}
            elif sent is not None:
                fields["client_request_id"] = sent
        except Exception as error:
            fault("reading a request's headers", error)
        fields["request_id"] = request_id = taken or self._made()
        is_logged = self._log_requests
        try:
            if type(method) is str:
                fields["http_method"] = method if method in _METHODS else "_OTHER"
            if type(path) is str:
                is_logged = is_logged and not self._excludes(path)
                fields["http_path"] = visible(redact(path))
            if (seen := self._address(address)) is not None:
                fields["client_address"] = seen
        except Exception as error:
            fault("describing a request", error)
        return Request(request_id, {**fields, **self.fields, "request_id": request_id}, is_logged)

    def _is_valid(self, sent: str) -> bool:
        return valid_request_id(sent) and bool(self._validator(sent))

    def _made(self) -> str:
        try:
            made = self._generator()
            request_id = "" if made is None else str(made)  # a uuid.UUID, say
        except Exception as error:
            fault("making a request's id", error)
            return new_id()
        if valid_request_id(request_id):
            return request_id
        notice("generator", f"the generator made no id of 1 to 128 visible ASCII characters, but {shown(made)}")
        return new_id()

    def _excludes(self, path: str) -> bool:
        if path in self._excluded:
            return True
        return bool(self._excluded_beginnings) and path.startswith(self._excluded_beginnings)

    def _address(self, address: object) -> str | None:
        if self._client == "absent" or type(address) is not str or not address:
            return None
        return visible(address) if self._client == "whole" else masked(address)


def content_length(value: object) -> int | None:
    """What a Content-Length says, where it says it in digits."""
    if isinstance(value, str) and len(value) <= _MAX_LENGTH and value.isascii() and value.isdecimal():
        return int(value)
    return None


@lru_cache(maxsize=1024)
def masked(address: str) -> str | None:
    """The network that an address is in: 203.0.113.*, 2001:db8:7:*; None for what is no address."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address):
        mapped = ip.ipv4_mapped
        if mapped is None:
            return f"{':'.join(f'{int.from_bytes(ip.packed[at : at + 2]):x}' for at in (0, 2, 4))}:*"
        ip = mapped
    return f"{str(ip).rpartition('.')[0]}.*"


def visible(text: object, limit: int = _MAX_PATH) -> str:
    """Text from outside in one line, cut to size: what cannot be printed is percent-encoded, as in a URL."""
    made = cut(text if type(text) is str else str(text), limit)[0]
    if made.isprintable():
        return made
    return "".join(sign if sign.isprintable() else quote(sign, errors="backslashreplace") for sign in made)


def _values(headers: Mapping[str, Collection[str]], names: Iterable[str]) -> Iterable[str]:
    return (value.strip() for name in names for value in headers.get(name, ()))


def _header(option: str, name: object) -> str:
    if not isinstance(name, str):
        raise UsageTypeError(f"{option} takes the name of a header, got {shown(name)}")
    if not _TOKEN.fullmatch(name.strip()):
        raise UsageValueError(f"{option} takes the name of a header, got {shown(name)}")
    return name.strip()


def _texts(option: str, values: Any) -> list[str]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise UsageTypeError(f"{option} is a list of texts, got {shown(values)}")
    texts = list(values)
    for value in texts:
        if not isinstance(value, str):
            raise UsageTypeError(f"{option} is a list of texts, got {shown(value)} in it")
    return texts
