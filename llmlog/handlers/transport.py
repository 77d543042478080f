"""How the backends over HTTP are reached: one way to send a body, and what an answer's status means for all of them.

A backend asks its transport, and the transport knows the connections, the credentials and the proxy. No credential
comes back out: it is in no message, in no `repr()` and in no `destination`.
"""

from __future__ import annotations

import math
import os
import re
import time
import zlib
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from llmlog._version import __version__
from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.handlers.backend import Entry, Outcome

__all__ = ["Answer", "HTTPTransport", "Transport", "address", "connected", "met_alike", "refused_as_a_whole"]

_MAX_ANSWER = 64 * 2**20
_MAX_WORDS = 1_000
_WORTH_COMPRESSING = 256
_OF_THE_CONTENT = frozenset({400, 409, 413, 422})
_WANTS_TLS = re.compile(  # Go's words, and nginx'; from the start, since a record's own may follow
    r"400: (Client sent an HTTP request to an HTTPS server|<html>\s*<head><title>400 The plain HTTP request was sent)"
)


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    """Their names in lower case."""
    body: bytes

    @property
    def words(self) -> str:
        """Its status and the beginning of its body, for people."""
        text = self.body[: 4 * _MAX_WORDS].decode("utf-8", "replace").strip()
        return f"{self.status}: {text[:_MAX_WORDS]}" if text else f"status {self.status}"

    @property
    def pause(self) -> float | None:
        """Seconds that `Retry-After` asks for, from 0; None: it asks for nothing."""
        asked = self.headers.get("retry-after", "").strip()
        try:
            seconds = float(asked)
        except ValueError:
            try:
                until = parsedate_to_datetime(asked).timestamp()
                # By the server's own clock, where it says what it shows.
                now = self.headers.get("date")
                seconds = until - (parsedate_to_datetime(now).timestamp() if now else time.time())
            except (ValueError, OverflowError):
                return None
        return max(seconds, 0.0) if math.isfinite(seconds) else None


class Transport(Protocol):
    """What sends a request. `llmlog.testing.FakeTransport` is one without a network."""

    def request(self, method: str, url: str, body: bytes = b"", headers: Mapping[str, str] = ...) -> Answer:
        """Send it and wait for the answer, whatever its status. OSError, TimeoutError: there was none."""
        ...

    def close(self) -> None:
        """Let go of connections; a later request opens them again."""
        ...


class HTTPTransport:
    """Requests by urllib3: connections are kept, made when first needed, and made anew in a forked child.

    Bodies go out compressed. Nothing is retried and no redirection followed: what to send again, and when, is the
    spool's to decide.

    `auth`: user and password, which the URL may also have. `token`: a bearer token. `headers`: further ones, of every
    request. `timeout`: seconds to wait for a connection, and for an answer. `ca_certs`: a file, or a folder, of
    certificates to trust; None: the system's. `verify`: whether the server's certificate is verified. `client_cert`:
    ours, one file with its key, or two. `proxy`: a proxy's URL; None: as the environment says (HTTPS_PROXY, NO_PROXY,
    ...); False: none. UsageTypeError and UsageValueError for what has no meaning; no message names a secret.
    """

    def __init__(
        self,
        *,
        auth: tuple[str, str] | Sequence[str] | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        ca_certs: str | os.PathLike[str] | None = None,
        verify: bool = True,
        client_cert: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
        proxy: str | bool | None = None,
    ) -> None:
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
            raise UsageTypeError(f"timeout is a number of seconds, got {shown(timeout)}")
        if not 0 < timeout < math.inf:
            raise UsageValueError(f"timeout is a number of seconds above 0, got {shown(timeout)}")
        if not isinstance(verify, bool):
            raise UsageTypeError(f"verify is True or False, got {shown(verify)}")
        self._timeout = float(timeout)
        self._verify = verify
        self._ca_certs = None if ca_certs is None else _existing("ca_certs", ca_certs)
        self._client_cert = _client_cert(client_cert)
        self._proxy, self._proxy_auth = _checked_proxy(proxy)
        self._headers = _headers(auth, token, headers)
        self._pools: dict[str | None, Any] = {}
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return f"<HTTPTransport timeout={self._timeout} verify={self._verify}>"

    def request(self, method: str, url: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Send it and wait for the answer, whatever its status. OSError, TimeoutError: there was none."""
        import urllib3

        sent = {**self._headers, **(headers or {})}
        if len(body) > _WORTH_COMPRESSING:
            # Level 1: twice as fast as 6, and records repeat so much that it saves nine tenths as well.
            body, sent["Content-Encoding"] = zlib.compress(body, 1, wbits=31), "gzip"
        try:
            response = self._pool(url).request(
                method,
                url,
                body=body or None,
                headers=sent,
                timeout=urllib3.Timeout(connect=self._timeout, read=self._timeout),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            try:
                content = response.read(_MAX_ANSWER, decode_content=True)
                if response.length_remaining:
                    response.close()
            finally:
                response.release_conn()
        except urllib3.exceptions.NewConnectionError as error:  # to urllib3, that is a timeout
            raise ConnectionError(str(error)) from None
        except urllib3.exceptions.TimeoutError as error:
            raise TimeoutError(f"no answer within {self._timeout:g} s: {error}") from None
        except urllib3.exceptions.HTTPError as error:
            raise ConnectionError(str(error)) from None
        return Answer(response.status, {name.lower(): value for name, value in response.headers.items()}, content)

    def close(self) -> None:
        """Let go of connections; a later request opens them again."""
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.clear()

    def _pool(self, url: str) -> Any:
        if self._pid != os.getpid():  # the parent's connections are the parent's to use and to close
            self._pid, self._pools = os.getpid(), {}
        proxy = self._proxy if self._proxy is not None else _proxy_of_the_environment(url)
        if (pool := self._pools.get(proxy)) is None:
            pool = self._pools[proxy] = self._made(proxy)
        return pool

    def _made(self, proxy: str | None) -> Any:
        import urllib3

        options = {"maxsize": 2, "ssl_context": self._tls()}
        if not proxy:
            return urllib3.PoolManager(**options)
        proxy, auth = address(proxy)
        auth = self._proxy_auth or auth
        headers = urllib3.make_headers(proxy_basic_auth=":".join(auth)) if auth else None
        return urllib3.ProxyManager(proxy, proxy_headers=headers, **options)

    def _tls(self) -> Any:
        import ssl

        path = self._ca_certs
        where = {} if path is None else {"capath" if os.path.isdir(path) else "cafile": path}
        context = ssl.create_default_context(**where)  # type: ignore[arg-type]
        if not self._verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self._client_cert:
            certificate, *key = self._client_cert
            context.load_cert_chain(certificate, key[0] if key else None, "")  # "": never ask on the terminal
        return context


def connected(url: Any, transport: Transport | None, options: dict[str, Any]) -> Transport:
    """The transport that was given, or one by HTTP with those of `options` that are a connection's, taken out of them.

    `url`: the credentials in it are used where none are given.
    """
    chosen = {name: options.pop(name) for name in _CONNECTION if name in options}
    if transport is not None:
        if not (hasattr(transport, "request") and hasattr(transport, "close")):
            raise UsageTypeError(f"transport has request() and close(), got {shown(transport)}")
        if chosen:
            raise UsageValueError(f"the transport that is given has its own connection, got {', '.join(chosen)}, too")
        return transport
    if chosen.get("auth") is None and chosen.get("token") is None:
        chosen["auth"] = address(url)[1]
    return HTTPTransport(**chosen)


_CONNECTION = ("auth", "token", "headers", "timeout", "ca_certs", "verify", "client_cert", "proxy")


def address(url: Any, name: str = "url") -> tuple[str, tuple[str, str] | None]:
    """A URL without its credentials and last slash, and the credentials. UsageTypeError, UsageValueError."""
    if not isinstance(url, str):
        raise UsageTypeError(f"{name} is text such as http://localhost:3100, got {shown(url)}")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    wrong = not host or parts.scheme not in ("http", "https") or parts.query or parts.fragment
    if wrong or any(one.isspace() or not one.isprintable() for one in url):
        shown_url = shown(url if "@" not in url else "…@" + url.rpartition("@")[2])
        raise UsageValueError(f"{name} is an address such as http://localhost:3100, got {shown_url}")
    auth = None
    if parts.username is not None:
        auth = unquote(parts.username), unquote(parts.password or "")
    assert host is not None
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{f':{port}' if port is not None else ''}{parts.path.rstrip('/')}", auth


def met_alike(answer: Answer, entries: Sequence[Entry]) -> Outcome | None:
    """What an answer's status means whichever backend sent it; None: the backend's own to read."""
    status = answer.status
    if status in (408, 425, 429) or status >= 500:
        return Outcome(again=entries, pause=answer.pause)
    if 300 <= status < 500 and (status not in _OF_THE_CONTENT or _WANTS_TLS.match(answer.words)):
        return Outcome(denied=answer.words)  # credentials, address, quota: the configuration's fault, not a record's
    if status == 413:
        return refused_as_a_whole(entries, answer.words)
    return None


def refused_as_a_whole(entries: Sequence[Entry], words: str) -> Outcome:
    """One of them is at fault, and which one the answer does not say."""
    return Outcome(refused=[(entries[0], words)]) if len(entries) == 1 else Outcome(split=words)


def _headers(auth: Any, token: Any, further: Any) -> dict[str, str]:
    made = {"User-Agent": f"llmlog/{__version__}"}
    if further is not None and not isinstance(further, Mapping):
        raise UsageTypeError(f"headers is a mapping of names to values, got a {type(further).__name__}")
    for name, value in (further or {}).items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise UsageTypeError(f"headers maps names to text, got {shown(name)}: a {type(value).__name__}")
        made[name] = _header(f"the header {name}", value)
        _header("a header's name", name)
    if auth is not None and token is not None:
        raise UsageValueError("auth and token are two ways to log in: one of them is enough")
    if auth is not None:
        if isinstance(auth, str) or not isinstance(auth, Sequence) or [type(one) for one in auth] != [str, str]:
            raise UsageTypeError(f"auth is a user and a password, got a {type(auth).__name__}")
        import base64

        made["Authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
    if token is not None:
        if not isinstance(token, str):
            raise UsageTypeError(f"token is text, got a {type(token).__name__}")
        made["Authorization"] = "Bearer " + _header("token", token)
    return made


def _header(name: str, value: str) -> str:
    if not value.isascii() or not value.isprintable() or not value:
        raise UsageValueError(f"{name} is printable ASCII text, without line ends")
    return value


def _existing(name: str, path: Any) -> str:
    if not isinstance(path, (str, os.PathLike)):
        raise UsageTypeError(f"{name} is a path, got {shown(path)}")
    made = str(os.fspath(path))
    if not os.path.exists(made):
        raise UsageValueError(f"{name} is a path to a file that is there, got {shown(path)}")
    return made


def _client_cert(given: Any) -> tuple[str, ...]:
    if given is None:
        return ()
    if isinstance(given, (str, os.PathLike)):
        return (_existing("client_cert", given),)
    if not isinstance(given, Sequence) or len(given) != 2:
        raise UsageTypeError(f"client_cert is a path, or two: certificate and key, got {shown(given)}")
    return tuple(_existing("client_cert", one) for one in given)


def _checked_proxy(given: Any) -> tuple[str | None, tuple[str, str] | None]:
    if given is None:
        return None, None
    if given is False:
        return "", None
    if given is True:
        raise UsageValueError("proxy is a URL, False or None, got True")
    return address(given, "proxy")


def _proxy_of_the_environment(url: str) -> str | None:
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    proxies = getproxies()
    found = proxies.get(parts.scheme) or proxies.get("all")
    if not found or proxy_bypass(parts.netloc):
        return None
    return found if "://" in found else f"http://{found}"
