"""How the backends over HTTP are reached, against local servers."""

from __future__ import annotations

import base64
import os
import pathlib
import socket
import subprocess
import sys
import threading
import warnings
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from delivering import entry

from llmlog.handlers.loki import LokiHandler
from llmlog.handlers.transport import Answer, HTTPTransport, address, connected, met_alike
from llmlog.testing import FakeTransport

SECRET = "s3cret"


class Server:
    """Keeps what it is asked, and answers with `status`, `headers` and `content`."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.status, self.headers, self.content = 200, dict[str, str](), b"ok"
        self.connections = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                server.connections += 1
                super().setup()

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.seen.append((self.command, self.path, headers, body))
                self.send_response(server.status)
                for name, value in {**server.headers, "Content-Length": str(len(server.content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(server.content)

            do_GET = do_PUT = do_POST

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.http.shutdown()
    thread.join()
    made.http.server_close()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of whoever runs the tests has no say."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def transport() -> Iterator[HTTPTransport]:
    made = HTTPTransport(timeout=10)
    yield made
    made.close()


def test_a_request(server: Server, transport: HTTPTransport) -> None:
    """Long bodies go out compressed, the connection is kept, and the answer comes as it is."""
    server.status, server.headers, server.content = 418, {"X-Words": "a"}, b"teapot"
    answer = transport.request("POST", f"{server.url}/push?a=b", b"x" * 10_000, {"Content-Type": "text/plain"})
    assert (answer.status, answer.headers["x-words"], answer.body) == (418, "a", b"teapot")
    method, path, headers, body = server.seen[0]
    assert (method, path, headers["content-type"], headers["content-encoding"]) == (
        "POST", "/push?a=b", "text/plain", "gzip",
    )  # fmt: skip
    assert headers["user-agent"].startswith("llmlog/")
    assert len(body) < 1000
    assert zlib.decompress(body, wbits=31) == b"x" * 10_000
    for _ in range(3):
        transport.request("GET", server.url)
    assert server.connections == 1
    transport.close()
    transport.request("GET", server.url)
    assert server.connections == 2


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({"auth": ("ann", SECRET)}, "Basic " + base64.b64encode(f"ann:{SECRET}".encode()).decode()),
        ({"auth": ["änn", "ü"]}, "Basic " + base64.b64encode("änn:ü".encode()).decode()),
        ({"token": SECRET}, f"Bearer {SECRET}"),
        ({"headers": {"Authorization": f"Custom {SECRET}"}}, f"Custom {SECRET}"),
    ],
)
def test_credentials(server: Server, options: dict[str, Any], header: str) -> None:
    """Each way to log in is a header, and none shows in a repr()."""
    transport = HTTPTransport(**options)
    transport.request("POST", server.url)
    assert server.seen[0][2]["authorization"] == header
    assert SECRET not in repr(transport)
    transport.close()


def test_credentials_in_the_url(server: Server) -> None:
    """They are used, decoded, and are not in the address that is asked or told."""
    url = f"http://ann:s%C3%BC%40@127.0.0.1:{server.port}/base/"
    assert address(url) == (f"{server.url}/base", ("ann", "sü@"))
    transport = connected(url, None, {})
    transport.request("POST", address(url)[0])
    assert base64.b64decode(server.seen[0][2]["authorization"][6:]).decode() == "ann:sü@"
    assert server.seen[0][1] == "/base"
    transport.close()


def test_no_redirection_is_followed(server: Server, transport: HTTPTransport) -> None:
    """A followed redirection would make a GET of a POST, and lose what was in it."""
    server.status, server.headers = 302, {"Location": f"{server.url}/elsewhere"}
    assert transport.request("POST", server.url, b"x").status == 302
    assert len(server.seen) == 1


def test_nobody_answers(transport: HTTPTransport) -> None:
    """A refused connection, one that is cut, and silence are each an OSError; silence is a TimeoutError."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def cut() -> None:
            listener.accept()[0].close()

        thread = threading.Thread(target=cut)
        thread.start()
        with pytest.raises(ConnectionError):
            transport.request("POST", f"http://127.0.0.1:{port}", b"x")
        thread.join()
        impatient = HTTPTransport(timeout=0.05)
        with pytest.raises(TimeoutError, match=r"0\.05 s"):
            impatient.request("POST", f"http://127.0.0.1:{port}", b"x")
        impatient.close()
    with pytest.raises(ConnectionError):
        transport.request("POST", f"http://127.0.0.1:{port}", b"x")


def test_a_torn_answer(transport: HTTPTransport) -> None:
    """An answer that ends too early is none."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def half() -> None:
            connection, _ = listener.accept()
            connection.recv(10_000)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            connection.close()

        thread = threading.Thread(target=half)
        thread.start()
        with pytest.raises(ConnectionError):
            transport.request("POST", f"http://127.0.0.1:{listener.getsockname()[1]}", b"x")
        thread.join()


@pytest.mark.parametrize("how", ["option", "environment", "with a password"])
def test_a_proxy(server: Server, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """By option or from the environment: it gets the whole URL, and its own credentials."""
    url = server.url if how != "with a password" else f"http://ann:{SECRET}@127.0.0.1:{server.port}"
    if how == "environment":
        monkeypatch.setenv("http_proxy", url)
    transport = HTTPTransport(proxy=None if how == "environment" else url)
    transport.request("POST", "http://loki.example:3100/push", b"x")
    assert server.seen[0][1] == "http://loki.example:3100/push"
    if how == "with a password":
        assert base64.b64decode(server.seen[0][2]["proxy-authorization"][6:]) == f"ann:{SECRET}".encode()
        assert SECRET not in repr(transport)
    transport.close()


@pytest.mark.parametrize("how", ["proxy=False", "no_proxy"])
def test_no_proxy(server: Server, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """The environment's proxy is left out where it is told to be."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    if how == "no_proxy":
        monkeypatch.setenv("no_proxy", "127.0.0.1")
    transport = HTTPTransport(proxy=False if how == "proxy=False" else None)
    assert transport.request("POST", server.url).status == 200
    transport.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_a_forked_child_has_connections_of_its_own(server: Server, transport: HTTPTransport) -> None:
    """Parent and child would read each other's answers."""
    transport.request("GET", server.url)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # there are threads here; the child only sends and ends
        child = os.fork()
    if not child:
        try:
            os._exit(0 if transport.request("GET", server.url).status == 200 else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    transport.request("GET", server.url)
    assert server.connections == 2


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A key and a certificate for 127.0.0.1, signed by themselves."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=llmlog -addext subjectAltName=IP:127.0.0.1"
    try:
        subprocess.run(
            [*command.split(), "-keyout", "key", "-out", "cert"], cwd=folder, check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"openssl makes no certificate: {error}")
    return folder


def test_tls(server: Server, certificates: pathlib.Path) -> None:
    """A certificate that nobody vouches for is refused, as an OSError; one that `ca_certs` names is taken."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "cert", certificates / "key")
    context.load_verify_locations(certificates / "cert")
    context.verify_mode = ssl.CERT_REQUIRED
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True, do_handshake_on_connect=False)
    server.http.handle_error = lambda *_: None  # type: ignore[method-assign]  # a handshake that fails is expected
    url = server.url.replace("http", "https")
    ours = [certificates / "cert", certificates / "key"]
    for options, works in (
        ({"client_cert": ours}, False),
        ({"client_cert": ours, "ca_certs": certificates / "cert"}, True),
        ({"ca_certs": certificates / "cert"}, False),
    ):
        transport = HTTPTransport(timeout=10, **options)  # type: ignore[arg-type]
        if works:
            assert transport.request("POST", url, b"x").status == 200
        else:
            with pytest.raises(OSError):
                transport.request("POST", url, b"x")
        transport.close()


@pytest.mark.parametrize(
    ("after", "date", "pause"),
    [
        ("7", None, 7.0),
        ("0", None, 0.0),
        ("-3", None, 0.0),
        ("99999", None, 99999.0),
        ("nan", None, None),
        ("soon", None, None),
        ("", None, None),
        ("Sat, 21 Nov 2026 18:00:09 GMT", "Sat, 21 Nov 2026 18:00:00 GMT", 9.0),
        ("Sat, 21 Nov 2026 17:00:00 GMT", "Sat, 21 Nov 2026 18:00:00 GMT", 0.0),
        ("Sat, 21 Nov 1970 17:00:00 GMT", None, 0.0),
    ],
)
def test_retry_after(after: str, date: str | None, pause: float | None) -> None:
    """In seconds or as a date, by the server's clock; nothing where it cannot be read."""
    headers = {"retry-after": after, **({"date": date} if date else {})}
    assert Answer(429, headers, b"").pause == pause


def test_statuses_that_mean_the_same_everywhere() -> None:
    """Again, denied, or too large; what is left is for the backend to read."""
    batch = [entry(), entry()]
    for status in (408, 425, 429, 500, 502, 503, 504, 507):
        outcome = met_alike(Answer(status, {"retry-after": "3"}, b""), batch)
        assert outcome is not None
        assert (list(outcome.again), outcome.pause, outcome.denied) == (batch, 3.0, "")
    for status in (301, 302, 401, 402, 403, 404, 405, 406, 407, 410, 415, 421, 426, 431):
        outcome = met_alike(Answer(status, {}, b"no entry"), batch)
        assert outcome is not None
        assert outcome.denied == f"{status}: no entry"
    large = Answer(413, {}, b"large")
    assert met_alike(large, batch).split == "413: large"  # type: ignore[union-attr]
    assert met_alike(large, batch[:1]).refused == [(batch[0], "413: large")]  # type: ignore[union-attr]
    assert [met_alike(Answer(status, {}, b""), batch) for status in (200, 204, 400, 409, 422)] == [None] * 5


@pytest.mark.parametrize(
    "words",
    [
        "Client sent an HTTP request to an HTTPS server.\n",
        "<html>\r\n<head><title>400 The plain HTTP request was sent to HTTPS port</title></head>",
    ],
)
def test_http_where_https_belongs(words: str) -> None:
    """No record is at fault, although it is a 400."""
    outcome = met_alike(Answer(400, {}, words.encode()), [entry()])
    assert outcome is not None
    assert "HTTPS" in outcome.denied
    assert met_alike(Answer(400, {}, b"line refused: " + words.encode()), [entry()]) is None


def test_words_are_short() -> None:
    """A page of a proxy does not become a page in a notice."""
    assert len(Answer(502, {}, b"<html>" * 10_000).words) < 1100
    assert Answer(502, {}, b"").words == "status 502"
    assert Answer(400, {}, b"\xff").words == "400: \N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("options", "error", "shown"),
    [
        ({"timeout": "1"}, TypeError, "'1'"),
        ({"timeout": True}, TypeError, "True"),
        ({"timeout": 0}, ValueError, "0"),
        ({"timeout": float("nan")}, ValueError, "nan"),
        ({"verify": "no"}, TypeError, "'no'"),
        ({"ca_certs": "/no/such/file"}, ValueError, "/no/such/file"),
        ({"ca_certs": 5}, TypeError, "5"),
        ({"client_cert": ["a"]}, TypeError, "'a'"),
        ({"client_cert": "/no/such/file"}, ValueError, "/no/such/file"),
        ({"proxy": "proxy:3128"}, ValueError, "proxy:3128"),
        ({"proxy": True}, ValueError, "True"),
        ({"auth": SECRET}, TypeError, "str"),
        ({"auth": (SECRET,)}, TypeError, "tuple"),
        ({"auth": ("a", SECRET), "token": SECRET}, ValueError, "auth and token"),
        ({"token": 5}, TypeError, "int"),
        ({"token": f"{SECRET}\n"}, ValueError, "token"),
        ({"headers": {"X-A": f"{SECRET}\r\nX-B: c"}}, ValueError, "X-A"),
        ({"headers": {"X-A": 5}}, TypeError, "X-A"),
        ({"headers": SECRET}, TypeError, "str"),
    ],
)
def test_options_without_a_meaning(options: dict[str, Any], error: type[Exception], shown: str) -> None:
    """They are refused at the call, with the value, unless it is a secret."""
    with pytest.raises(error, match=shown) as raised:
        HTTPTransport(**options)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["loki:3100", "ftp://loki", "http://", "http://a b", "http://a:99999", f"http://u:{SECRET}@", "http://a?b=c"]
)
def test_addresses_without_a_meaning(url: str) -> None:
    """They are refused at the call; what may be a password is not shown."""
    with pytest.raises(ValueError, match="http://localhost:3100") as raised:
        address(url)
    assert SECRET not in str(raised.value)
    with pytest.raises(TypeError, match="5"):
        address(5)


def test_no_secret_comes_out(tmp_path: pathlib.Path) -> None:
    """Not in the destination, which names a folder and is told, nor in the handler's repr() or an error's text."""
    handler = LokiHandler(f"http://ann:{SECRET}@127.0.0.1:9/base", spool=tmp_path, headers={"X-Key": SECRET})
    assert handler.backend.destination.startswith("http://127.0.0.1:9/base")
    with pytest.raises(OSError) as raised:
        handler.backend.send([entry()])
    assert not any(SECRET in text for text in (handler.backend.destination, repr(handler), str(raised.value)))
    handler.close()


def test_a_transport_of_the_users_own() -> None:
    """It has its own connection, so options of ours beside it are a mistake."""
    fake = FakeTransport()
    assert connected("http://a", fake, {}) is fake
    with pytest.raises(ValueError, match="timeout"):
        connected("http://a", fake, {"timeout": 5})
    with pytest.raises(TypeError, match="object"):
        connected("http://a", object(), {})  # type: ignore[arg-type]


def test_importing_the_handlers_is_cheap() -> None:
    """urllib3 is imported when the first request is sent, and no handler before it is named."""
    code = (
        "import sys, llmlog.handlers; print(*sys.modules); "
        "import llmlog.handlers.loki, llmlog.handlers.elasticsearch; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = (set(line.split()) for line in done.stdout.splitlines())
    assert "llmlog.handlers.jsonlines" not in first
    assert {"urllib3", "ssl", "http.client"}.isdisjoint(second)


def test_a_fake_transport_plays_its_script() -> None:
    """Each answer once, the last one from then on; a function is asked, an exception raised."""
    fake = FakeTransport(503, (400, "no"), OSError("gone"), lambda sent: (200, sent.body), Answer(204, {}, b""))
    assert fake.request("POST", "http://a", b"x", {"A": "b"}) == Answer(503, {}, b"")
    assert fake.request("POST", "http://a").words == "400: no"
    with pytest.raises(OSError, match="gone"):
        fake.request("POST", "http://a")
    assert fake.request("POST", "http://a", b"echo").body == b"echo"
    assert [fake.request("POST", "http://a").status for _ in range(3)] == [204] * 3
    assert fake.requests[0] == ("POST", "http://a", b"x", {"A": "b"})
    with pytest.raises(TypeError, match="'204'"):
        FakeTransport("204").request("POST", "http://a")  # type: ignore[arg-type]
