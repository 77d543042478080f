"""`llmlog setup elasticsearch`: what it prints where, and how it ends."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from local_server import Reply, answering, whole
from typer.testing import CliRunner, Result

from llmlog import cli

SECRET = "s3cret"


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(cli.app, ["setup", "elasticsearch", *arguments], env=environment)


@pytest.fixture
def asked() -> list[tuple[str, bytes]]:
    return []


@pytest.fixture
def server(asked: list[tuple[str, bytes]]) -> Iterator[str]:
    """An OpenSearch that takes everything by POST and GET, the verbs that the local server knows."""

    def answers(path: str, body: bytes) -> Reply | None:
        asked.append((path, body))
        return whole({"version": {"distribution": "opensearch", "number": "2.19.1"}})

    with answering(answers) as url:
        yield url


def requests(text: str) -> dict[str, Any]:
    """What was printed, as a console reads it."""
    made = {}
    for part in text.split("PUT ")[1:]:
        path, _, body = part.partition("\n")
        made[path] = json.loads(body)
    return made


def test_printed() -> None:
    """Standard output has the requests, and nothing else."""
    done = run("--index", "llm-%Y.%m", "--keep-days", "7")
    assert done.exit_code == 0
    assert done.stderr == ""
    printed = requests(done.stdout)
    assert list(printed) == ["/_ilm/policy/llm", "/_index_template/llm"]
    assert list(requests(run("--distribution", "opensearch").stdout)) == [
        "/_plugins/_ism/policies/logs-llmlog", "/_index_template/logs-llmlog",
    ]  # fmt: skip


def test_printed_for_the_server_that_is_there(server: str, asked: list[tuple[str, bytes]]) -> None:
    """It is asked which it is, and not changed."""
    printed = requests(run("--url", server, "--schema", "ecs").stdout)
    assert "/_plugins/_ism/policies/logs-llmlog" in printed
    assert "gen_ai" in printed["/_index_template/logs-llmlog"]["template"]["mappings"]["properties"]
    assert [path for path, _ in asked] == ["/"]


@pytest.mark.parametrize(
    ("arguments", "environment", "told"),
    [
        (["--install"], {}, "--url"),
        (["--schema", "otel"], {}, "'otel'"),
        (["--keep-days", "0"], {}, "0"),
        (["--index", "Logs"], {}, "'Logs'"),
        (["--url", "node:9200"], {}, "'node:9200'"),
        (["--url", "http://a", "--ca-certs", "/no/such"], {}, "/no/such"),
        (["--url", "http://a"], {"ELASTICSEARCH_USER": SECRET}, "name:password"),
        (["--url", "http://a"], {"ELASTICSEARCH_USER": f"a:{SECRET}", "ELASTICSEARCH_API_KEY": SECRET}, "one of them"),
    ],
)
def test_wrong_use(arguments: list[str], environment: dict[str, str], told: str) -> None:
    """One line, code 2, before anything is asked; and no secret in it."""
    done = run(*arguments, **environment)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert SECRET not in done.stderr


@pytest.mark.parametrize("environment", [{"ELASTICSEARCH_USER": f"a:{SECRET}"}, {"ELASTICSEARCH_API_KEY": SECRET}])
def test_nobody_is_there(environment: dict[str, str]) -> None:
    """One line, code 1."""
    done = run("--install", "--url", "http://127.0.0.1:9", **environment)
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1
    assert SECRET not in done.stderr


def test_something_else_is_there(tmp_path: pathlib.Path) -> None:
    """What answers is no Elasticsearch: told, code 1."""
    with answering(lambda path, body: whole({"hello": "world"})) as url:
        done = run("--install", "--url", url)
    assert done.exit_code == 1
    assert "no Elasticsearch or OpenSearch answers at" in done.stderr
