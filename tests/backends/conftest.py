"""The real backends, one of each for all tests; without them a test skips, or fails where LLMLOG_REQUIRE says so.

They are shared. A test that stops one starts it again, and each tells its own records by a service or an index.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterator

import pytest

from backends.real import Collector, Loki, OpenSearch, Server, SyslogNG


def needed(server: type[Server]) -> None:
    """Skip where the backend is not installed; fail where LLMLOG_REQUIRE names "backends"."""
    if server.installed.exists():
        return
    missing = f"{server.__name__} is not installed ({server.installed.name}): make backends"
    if "backends" in os.environ.get("LLMLOG_REQUIRE", "").split(","):
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def opensearch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSearch]:
    """A real OpenSearch: `.url`, `.stop()`, `.kill()`, `.start()`, `.search(index, body)`, `.documents(index)`."""
    needed(OpenSearch)
    with OpenSearch(tmp_path_factory.mktemp("opensearch")) as server:
        yield server


@pytest.fixture(scope="session")
def loki(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loki]:
    """A real Loki: `.url`, `.stop()`, `.kill()`, `.start()`, `.query(...)`, `.query_range(...)`, `.entries(...)`."""
    needed(Loki)
    with Loki(tmp_path_factory.mktemp("loki")) as server:
        yield server


@pytest.fixture(scope="session")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A real OpenTelemetry Collector: `.url` for OTLP over HTTP, `.grpc`, `.logs()` that it has passed on."""
    needed(Collector)
    with Collector(tmp_path_factory.mktemp("collector")) as server:
        yield server


@pytest.fixture
def syslog_ng(tmp_path: pathlib.Path) -> Iterator[Callable[[str], SyslogNG]]:
    """A real syslog-ng, started with the configuration that the test gives: `syslog_ng(text)`."""
    needed(SyslogNG)
    started: list[SyslogNG] = []

    def start(config: str) -> SyslogNG:
        server = SyslogNG(tmp_path / f"syslog-ng-{len(started)}", config)
        started.append(server)
        return server.__enter__()

    yield start
    for server in started:
        server.stop()
