"""Real backends on free ports of 127.0.0.1: started, waited for, stopped by their process ids, started again.

The fixtures of conftest.py give one of each; a test that needs another configuration makes its own:

    with Loki(folder, limits={"ingestion_rate_mb": 100}) as loki: ...
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

from backends import install

READY_SECONDS = 120  # a deadline, not a duration: they are ready within seconds, and machines are shared

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port(among: Sequence[int] = (0,)) -> int:
    """A port that nobody listens on; 0: whichever the system likes."""
    for port in random.sample(among, len(among)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise AssertionError(f"none of the ports {among} is free")


def until(true: Callable[[], Any], what: str, seconds: float = READY_SECONDS, every: float = 0.05) -> Any:
    """The first true answer; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := true()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(every)
    return answer


def ask(
    url: str, body: Any = None, *, method: str | None = None, headers: Mapping[str, str] | None = None, **query: Any
) -> tuple[int, Any]:
    """One HTTP exchange: the status, and the answer read as JSON where it is JSON. `body`: bytes, text, or JSON."""
    if query:
        url += "?" + urllib.parse.urlencode(query, doseq=True)
    if body is not None and not isinstance(body, bytes):
        body = (body if isinstance(body, str) else json.dumps(body)).encode()
    sent = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, body, sent, method=method)
    try:
        with _opener.open(request, timeout=60) as answer:
            status, text = answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            status, text = error.code, error.read().decode()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text


class Server:
    """A process of a backend, its port and its data: the same ones each time it is started."""

    installed: pathlib.Path

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.prepare()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def prepare(self) -> None:
        """Write what the process reads, once."""

    def command(self) -> list[str]:
        """The process to run."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """What its environment has more than ours."""
        return {}

    def ready(self) -> bool:
        """Whether it serves; OSError counts as no."""
        raise NotImplementedError

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process, while it runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, the first time or again, and wait until it is ready."""
        assert not self.running
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env={**os.environ, **self.environment()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            until(self._up, f"{type(self).__name__} is ready")
        except AssertionError as error:
            self.kill()
            raise AssertionError(f"{error}\n{self.output()[-3000:]}") from None

    def _up(self) -> bool:
        assert self.running, f"{type(self).__name__} has ended"
        try:
            return self.ready()
        except OSError:
            return False

    def stop(self) -> None:
        """End it in good order; the next start finds what was stored."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
        self._process = None

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = None

    def output(self) -> str:
        """What it has printed, of all its starts."""
        path = self.folder / "output"
        return path.read_text(errors="replace") if path.exists() else ""


class OpenSearch(Server):
    """OpenSearch, one node, without security. `heap`: in megabytes."""

    installed = install.OPENSEARCH

    def __init__(self, folder: pathlib.Path, *, heap: int = 512) -> None:
        super().__init__(folder)
        self.port = free_port(range(9201, 9300))  # its runner takes no others
        self.url = f"http://127.0.0.1:{self.port}"
        self.heap = heap

    def prepare(self) -> None:
        settings = {
            "discovery.type": "single-node",
            "network.host": "127.0.0.1",
            "transport.port": 0,
            "cluster.routing.allocation.disk.threshold_enabled": False,
        }
        config = self.folder / "node_1/config/opensearch.yml"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text("".join(f"{name}: {json.dumps(value)}\n" for name, value in settings.items()))

    def command(self) -> list[str]:
        return [
            *("java", f"-Xms{self.heap}m", f"-Xmx{self.heap}m", "-XX:TieredStopAtLevel=1"),
            *("-cp", f"{self.installed / 'lib'}/*", "org.codelibs.opensearch.runner.OpenSearchRunner"),
            *("-basePath", str(self.folder), "-numOfNode", "1", "-clusterName", f"llmlog-{self.port}"),
            *("-baseHttpPort", str(self.port - 1)),  # the first node's is the next
        ]

    def ready(self) -> bool:
        status, health = ask(f"{self.url}/_cluster/health", wait_for_status="yellow", timeout="1s")
        return status == 200 and health["cluster_name"] == f"llmlog-{self.port}"

    def ask(self, path: str, body: Any = None, *, method: str | None = None, **query: Any) -> Any:
        """One exchange, as JSON; AssertionError for any other status than 200 and 201."""
        status, answer = ask(f"{self.url}/{path.lstrip('/')}", body, method=method, **query)
        assert status in (200, 201), (status, answer)
        return answer

    def refresh(self, index: str = "_all") -> None:
        """Let searches see what was stored."""
        self.ask(f"{index}/_refresh", method="POST")

    def search(self, index: str, body: Any = None, *, refresh: bool = True) -> Any:
        """A search's answer, over what was stored before it."""
        if refresh:
            self.refresh(index)
        return self.ask(f"{index}/_search", body or {}, method="POST")

    def documents(self, index: str, query: Any = None, *, size: int = 10_000) -> list[dict[str, Any]]:
        """The documents that match, at most 10,000."""
        found = self.search(index, {"size": size, "query": query or {"match_all": {}}})
        return [hit["_source"] for hit in found["hits"]["hits"]]

    def bulk(self, index: str, documents: Iterable[tuple[str | None, Mapping[str, Any]]]) -> None:
        """Store documents, each with its id."""
        lines: list[str] = []
        for id, document in documents:
            lines += [json.dumps({"create": {"_id": id} if id else {}}), json.dumps(document)]
        answer = self.ask(f"{index}/_bulk", "\n".join(lines) + "\n")
        assert not answer["errors"], [item for item in answer["items"] if item["create"]["status"] >= 300][:3]


class Loki(Server):
    """Loki, all of it in one process, with its own limits where `limits` names none.

    `tenants`: every request needs X-Scope-OrgID. `rules`: of a rule file's text, evaluated each second.
    """

    installed = install.LOKI

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        limits: Mapping[str, Any] | None = None,
        tenants: bool = False,
        rules: str | None = None,
    ) -> None:
        super().__init__(folder)
        self.limits = dict(limits or {})
        self.tenants = tenants
        self.rules = rules

    def prepare(self) -> None:
        data = self.folder / "data"
        period = {"from": "2020-10-24", "store": "tsdb", "object_store": "filesystem", "schema": "v13"}
        config: dict[str, Any] = {
            "auth_enabled": self.tenants,
            "analytics": {"reporting_enabled": False},
            "server": {
                "http_listen_address": "127.0.0.1",
                "http_listen_port": self.port,
                "grpc_listen_address": "127.0.0.1",
                "grpc_listen_port": free_port(),
                "log_level": "warn",
            },
            "common": {
                "path_prefix": str(data),
                "instance_addr": "127.0.0.1",
                "replication_factor": 1,
                "ring": {"kvstore": {"store": "inmemory"}},
                "storage": {"filesystem": {"chunks_directory": f"{data}/chunks", "rules_directory": f"{data}/rules"}},
            },
            "schema_config": {"configs": [{**period, "index": {"prefix": "index_", "period": "24h"}}]},
            "ingester": {"lifecycler": {"min_ready_duration": "0s", "final_sleep": "0s"}},
            "frontend_worker": {"dns_lookup_duration": "200ms"},
            "frontend": {"scheduler_dns_lookup_period": "200ms"},
            "limits_config": self.limits,
        }
        if self.rules is not None:
            folder = self.folder / "rules"
            (folder / "fake").mkdir(parents=True, exist_ok=True)
            (folder / "fake/rules.yaml").write_text(self.rules)
            config["ruler"] = {
                "storage": {"type": "local", "local": {"directory": str(folder)}},
                "rule_path": str(self.folder / "evaluated"),
                "alertmanager_url": f"http://127.0.0.1:{free_port()}",
                "enable_alertmanager_v2": True,
                "enable_api": True,
                "evaluation_interval": "1s",
                "poll_interval": "1s",
            }
        (self.folder / "loki.json").write_text(json.dumps(config))  # JSON is YAML

    def command(self) -> list[str]:
        return [str(self.installed / "loki"), f"-config.file={self.folder / 'loki.json'}"]

    def ready(self) -> bool:
        return ask(f"{self.url}/ready")[0] == 200

    def push(self, streams: Iterable[Mapping[str, Any]], **headers: str) -> tuple[int, Any]:
        """What the push API answers to streams in its own JSON."""
        return ask(f"{self.url}/loki/api/v1/push", {"streams": list(streams)}, headers=headers)

    def query(self, logql: str, at: float | None = None, **options: Any) -> list[dict[str, Any]]:
        """The result of an instant query, at a time in seconds."""
        return self._result("query", query=logql, **({} if at is None else {"time": _nanoseconds(at)}), **options)

    def query_range(
        self, logql: str, start: float | None = None, end: float | None = None, **options: Any
    ) -> list[dict[str, Any]]:
        """The result of a range query; from an hour ago till now and a little, where not said otherwise."""
        times = {
            "start": _nanoseconds(time.time() - 3600 if start is None else start),
            "end": _nanoseconds(time.time() + 60 if end is None else end),
        }
        return self._result("query_range", query=logql, **times, **{"limit": 5000, **options})

    def _result(self, kind: str, *, tenant: str | None = None, **query: Any) -> list[dict[str, Any]]:
        # Keeps the structured metadata, and what a parser found, apart from the stream's labels: the third of a value.
        headers = {"X-Loki-Response-Encoding-Flags": "categorize-labels"}
        if tenant:
            headers["X-Scope-OrgID"] = tenant
        status, answer = ask(f"{self.url}/loki/api/v1/{kind}", headers=headers, **query)
        assert status == 200, (status, answer, query["query"])
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def entries(self, selector: str, start: float | None = None, end: float | None = None, **options: Any) -> list[Any]:
        """The records that a query finds, oldest first, at most 5,000: (labels, nanoseconds, line, metadata)."""
        found = self.query_range(selector, start, end, direction="forward", **options)
        entries = [
            (
                stream["stream"],
                int(value[0]),
                value[1],
                (value[2] if len(value) > 2 else {}).get("structuredMetadata", {}),
            )
            for stream in found
            for value in stream["values"]
        ]
        return sorted(entries, key=lambda entry: entry[1])

    def firing(self) -> dict[str, set[str]]:
        """The alerts that fire, each with the services that it fires for; "" where it names none."""
        status, answer = ask(f"{self.url}/prometheus/api/v1/rules")
        if status != 200:
            return {}
        rules = [rule for group in answer["data"]["groups"] for rule in group["rules"] if rule["state"] == "firing"]
        return {
            rule["name"]: {one["labels"].get("service", "") for one in rule["alerts"] if one["state"] == "firing"}
            for rule in rules
        }


def _nanoseconds(seconds: float) -> str:
    return f"{int(seconds * 1e6)}000"


class Collector(Server):
    """An OpenTelemetry Collector: OTLP comes in over HTTP at `url`, over gRPC at `grpc`; `received()` tells what."""

    installed = install.COLLECTOR

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__(folder)
        self.grpc = f"127.0.0.1:{free_port()}"
        self._received: list[dict[str, Any]] = []
        self._sink = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._sink.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return super().__enter__()

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        self._sink.shutdown()
        self._thread.join()
        self._sink.server_close()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        received = self._received

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def prepare(self) -> None:
        sink = f"http://127.0.0.1:{self._sink.server_address[1]}"
        config = {
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": self.url[7:]}, "grpc": {"endpoint": self.grpc}}}},
            "exporters": {
                "debug": {"verbosity": "detailed"},
                "otlp_http": {"endpoint": sink, "encoding": "json", "compression": "none"},
            },
            "service": {
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {
                    signal: {"receivers": ["otlp"], "exporters": ["debug", "otlp_http"]}
                    for signal in ("logs", "traces", "metrics")
                },
            },
        }
        (self.folder / "collector.json").write_text(json.dumps(config))

    def command(self) -> list[str]:
        return [str(self.installed / "otelcol"), f"--config={self.folder / 'collector.json'}"]

    def ready(self) -> bool:
        return ask(f"{self.url}/v1/logs", {"resourceLogs": []})[0] == 200

    def received(self) -> list[dict[str, Any]]:
        """The payloads that it has passed on so far, as OTLP's JSON: `resourceLogs`, `resourceSpans`, ..."""
        return list(self._received)

    def logs(self) -> list[dict[str, Any]]:
        """The log records that it has passed on so far, each with its `resource` and its `scope` among its keys."""
        return [
            {**record, "resource": resource.get("resource", {}), "scope": scope.get("scope", {})}
            for payload in self.received()
            for resource in payload.get("resourceLogs", ())
            for scope in resource["scopeLogs"]
            for record in scope["logRecords"]
        ]


class SyslogNG(Server):
    """syslog-ng with a configuration of the test's own; its state is in the folder, so that it goes on where it was."""

    installed = install.SYSLOG_NG

    def __init__(self, folder: pathlib.Path, config: str) -> None:
        super().__init__(folder)
        self.config = config

    def prepare(self) -> None:
        (self.folder / "syslog-ng.conf").write_text(self.config)

    def command(self) -> list[str]:
        [modules] = self.installed.glob("usr/lib/syslog-ng/[0-9]*")
        state = {"persist-file": "persist", "control": "control", "pidfile": "pid"}
        return [
            str(self.installed / "usr/sbin/syslog-ng"),
            *("--foreground", "--no-caps", "--stderr", f"--cfgfile={self.folder / 'syslog-ng.conf'}"),
            *(f"--{option}={self.folder / name}" for option, name in state.items()),
            f"--module-path={modules}",
        ]

    def environment(self) -> dict[str, str]:
        folders = {path.parent for lib in ("lib", "usr/lib") for path in (self.installed / lib).rglob("*.so*")}
        return {"LD_LIBRARY_PATH": ":".join(sorted(map(str, folders)))}

    def ready(self) -> bool:
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.folder / "control"))
            return True
