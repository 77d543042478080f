"""configure() and dict_config(), and set-ups by hand, with and without queues."""

from __future__ import annotations

import inspect
import io
import json
import logging
import logging.config
import logging.handlers
import pathlib
import queue
import signal
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import answer, sdk

import llmlog
from llmlog import redaction, settings

PERSONAL = "ann@example.com"


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Puts the root logger and the redactor back."""
    root = logging.getLogger()
    handlers, level, redactor = root.handlers[:], root.level, redaction.current()
    yield
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        handler.close()
    root.handlers[:], root.level = handlers, level
    redaction.configure(redactor)


def lines(file: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def work() -> None:
    """A request of an application: an ordinary record, an exception, an LLM call; each with personal data."""
    log = logging.getLogger("app")
    with llmlog.request("r1", user_id=PERSONAL):
        log.info("from %s", PERSONAL, extra={"who": {"mail": [PERSONAL]}})
        try:
            raise ValueError(PERSONAL)
        except ValueError:
            log.exception("failed")
        list(llmlog.stream(answer("Hello ", PERSONAL), model="gpt-4o-mini", input=f"I am {PERSONAL}"))


def check(records: list[dict[str, Any]]) -> None:
    assert [record["logger"] for record in records] == ["app", "app", "llmlog.calls"]
    assert all(record["request_id"] == "r1" for record in records)
    assert PERSONAL not in json.dumps(records)
    assert records[0]["message"] == "from <EMAIL>"
    assert records[0]["who"] == {"mail": ["<EMAIL>"]}
    assert (records[1]["error_type"], records[1]["error_message"]) == ("ValueError", "<EMAIL>")
    # The standard library's QueueHandler puts the traceback behind the message.
    assert "Traceback" in records[1].get("error_stack_trace", records[1]["message"])
    assert records[2]["response"] == "Hello <EMAIL>"
    assert records[2]["prompt"] == "I am <EMAIL>"
    assert records[2]["user_id"] == "<EMAIL>"


def test_the_usual_set_up(tmp_path: pathlib.Path) -> None:
    """dict_config(file=...) is all that an application needs."""
    file = tmp_path / "llm.jsonl"
    logging.config.dictConfig(llmlog.dict_config(file=file, service="shop", env="prod"))
    llmlog.configure(capture=True)
    work()
    check(lines(file))
    assert all((record["service"], record["env"]) == ("shop", "prod") for record in lines(file))


def test_console(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines for people on stderr, or JSON on stdout."""
    logging.config.dictConfig(llmlog.dict_config())
    work()
    captured = capsys.readouterr()
    assert "gpt-4o-mini completed" in captured.err
    assert PERSONAL not in captured.err
    assert captured.out == ""
    logging.config.dictConfig(llmlog.dict_config(console="json"))
    llmlog.configure(capture=True)
    work()
    check([json.loads(line) for line in capsys.readouterr().out.splitlines()])


def test_by_hand_with_a_queue(tmp_path: pathlib.Path) -> None:
    """A QueueHandler with llmlog's filters, a listener with its file: nothing personal even in the queue."""
    file = tmp_path / "llm.jsonl"
    waiting: queue.Queue[Any] = queue.Queue()
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {
                "options": {"()": "llmlog.filters.Options", "capture": True},
                "context": {"()": "llmlog.filters.ContextFilter"},
                "redact": {"()": "llmlog.filters.RedactFilter"},
            },
            "formatters": {"json": {"()": "llmlog.formatters.JSONFormatter"}},
            "handlers": {
                "queue": {
                    "()": lambda: logging.handlers.QueueHandler(waiting),
                    "filters": ["options", "context", "redact"],
                }
            },
            "root": {"level": "INFO", "handlers": ["queue"]},
        }
    )
    from llmlog.handlers import JSONLinesHandler

    target = JSONLinesHandler(file)
    listener = logging.handlers.QueueListener(waiting, target)
    work()
    assert PERSONAL not in repr([vars(record) for record in list(waiting.queue)])
    listener.start()
    listener.stop()
    target.close()
    check(lines(file))


def test_what_another_handler_sees(tmp_path: pathlib.Path) -> None:
    """From 3.12 on a handler without the filter gets the record as it was; on 3.11 it gets the redacted one."""
    file = tmp_path / "llm.jsonl"
    logging.config.dictConfig(llmlog.dict_config(file=file))
    seen: list[str] = []

    class Other(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())

    logging.getLogger().addHandler(Other())
    logging.getLogger("app").info("from %s", PERSONAL)
    assert lines(file)[0]["message"] == "from <EMAIL>"
    assert seen == ["from <EMAIL>" if sys.version_info < (3, 12) else f"from {PERSONAL}"]


def test_without_redaction(tmp_path: pathlib.Path) -> None:
    """dict_config(redact=False) leaves the filter out."""
    file = tmp_path / "llm.jsonl"
    logging.config.dictConfig(llmlog.dict_config(file=file, redact=False))
    logging.getLogger("app").info("from %s", PERSONAL)
    assert lines(file)[0]["message"] == f"from {PERSONAL}"


def test_handlers_by_what_is_asked_for() -> None:
    """A file alone means no console; nothing at all means the console."""
    assert list(llmlog.dict_config(file="a")["handlers"]) == ["llmlog_file"]
    assert list(llmlog.dict_config()["handlers"]) == ["llmlog_console"]
    assert list(llmlog.dict_config(file="a", console=True)["handlers"]) == ["llmlog_file", "llmlog_console"]
    assert json.loads(json.dumps(llmlog.dict_config(file="a"))) == llmlog.dict_config(file="a")


def test_the_loggers_of_servers(tmp_path: pathlib.Path) -> None:
    """What a server has set up before it imports the application does not pass the redaction by; its level stays."""
    file, said = tmp_path / "llm.jsonl", io.StringIO()
    server = logging.getLogger("uvicorn")
    server.addHandler(logging.StreamHandler(said))
    server.propagate = False
    server.setLevel("ERROR")
    try:
        logging.config.dictConfig(llmlog.dict_config(file=file))
        logging.getLogger("uvicorn.error").error("from %s", PERSONAL)
        logging.getLogger("uvicorn.error").warning("from %s", PERSONAL)
        assert [record["message"] for record in lines(file)] == ["from <EMAIL>"]
        assert said.getvalue() == ""
    finally:
        server.setLevel(logging.NOTSET)


@pytest.mark.parametrize(
    ("schema", "names"),
    [
        ("flat", {"message", "service", "request_id", "error_type"}),
        ("otel", {"Body", "Resource", "Attributes"}),
        ("ecs", {"message", "service.name", "llmlog.request_id", "error.type"}),
    ],
)
def test_the_schema_is_chosen(tmp_path: pathlib.Path, schema: str, names: set[str]) -> None:
    """The lines of the file have the names of the chosen vocabulary, and nothing personal in any."""
    file = tmp_path / "llm.jsonl"
    logging.config.dictConfig(llmlog.dict_config(file=file, service="shop", schema=schema))
    work()
    assert names <= lines(file)[1].keys()
    assert PERSONAL not in file.read_text()


def test_backends_by_url_or_by_their_arguments(tmp_path: pathlib.Path) -> None:
    """A URL is enough; a mapping has any argument of the handler. Service and env are labels in Loki, and few."""
    made = llmlog.dict_config(loki="http://loki:3100", elasticsearch=["http://a:9200", "http://b:9200"], service="shop")
    assert list(made["handlers"]) == ["llmlog_loki", "llmlog_elasticsearch"] == made["root"]["handlers"]
    assert made["handlers"]["llmlog_loki"]["labels"] == {"service": "shop"}
    options = {"url": "http://loki:3100", "labels": {"team": "a", "env": "x"}, "spool": tmp_path, "tenant": "t"}
    made = llmlog.dict_config(loki=options, elasticsearch="http://a:9200", env="prod", console=True, file="f")
    assert json.loads(json.dumps(made)) == made
    loki = made["handlers"]["llmlog_loki"]
    assert (loki["labels"], loki["spool"], loki["tenant"]) == ({"team": "a", "env": "x"}, str(tmp_path), "t")
    assert len(made["handlers"]) == 4
    assert all(handler["filters"] for handler in made["handlers"].values())


def test_backends_from_dict_config(tmp_path: pathlib.Path) -> None:
    """What dict_config() returns sets up the handlers, and their records are redacted before they are spooled."""
    options = {"spool": str(tmp_path), "timeout": 0.5, "batch_seconds": 3600}
    url = f"http://127.0.0.1:{free_port()}"
    logging.config.dictConfig(
        llmlog.dict_config(
            loki={"url": url, **options}, elasticsearch={"url": url, "index": "llmlog-%Y.%m.%d", **options}, service="s"
        )
    )
    logging.getLogger("app").info("from %s", PERSONAL)
    spooled = [file.read_text() for file in tmp_path.rglob("*") if file.is_file()]
    assert sum("from <EMAIL>" in text for text in spooled) == 2
    assert not any(PERSONAL in text for text in spooled)


def test_otlp(tmp_path: pathlib.Path) -> None:
    """A URL, arguments, or as the environment says; OpenTelemetry's names whatever the schema, and nothing personal."""
    made = llmlog.dict_config(otlp="http://c:4318", service="shop", env="prod", schema="ecs")["handlers"]["llmlog_otlp"]
    assert (made["endpoint"], made["service"], made["env"]) == ("http://c:4318", "shop", "prod")
    assert "formatter" not in made
    assert llmlog.dict_config(otlp=True)["handlers"]["llmlog_otlp"]["endpoint"] is None
    assert list(llmlog.dict_config(otlp=False)["handlers"]) == ["llmlog_console"]
    assert llmlog.dict_config(otlp={"spool": tmp_path})["handlers"]["llmlog_otlp"]["spool"] == str(tmp_path)
    sdk("opentelemetry.exporter.otlp.proto.http._log_exporter")
    options = {"endpoint": f"http://127.0.0.1:{free_port()}", "spool": tmp_path, "timeout": 0.5, "batch_seconds": 3600}
    logging.config.dictConfig(llmlog.dict_config(otlp=options, service="shop"))
    logging.getLogger("app").info("from %s", PERSONAL)
    spooled = "".join(file.read_text() for file in tmp_path.rglob("*") if file.is_file())
    assert '"Body":"from <EMAIL>"' in spooled
    assert '"service.name":"shop"' in spooled
    assert PERSONAL not in spooled


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"loki": {"token": "secret"}}, ValueError),
        ({"loki": 5}, TypeError),
        ({"elasticsearch": {"url": "http://a", "class": "b"}}, ValueError),
        ({"elasticsearch": b"http://a"}, TypeError),
        ({"otlp": 5}, TypeError),
        ({"otlp": {"formatter": "a"}}, ValueError),
    ],
)
def test_dict_config_refuses_backends(options: dict[str, Any], error: type[Exception]) -> None:
    """The name of what is wrong is in the message, and nothing that may be a secret."""
    with pytest.raises(error, match=next(iter(options))) as raised:
        llmlog.dict_config(**options)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"file": 5}, TypeError),
        ({"console": "xml"}, ValueError),
        ({"service": 5}, TypeError),
        ({"env": b"x"}, TypeError),
        ({"level": "LOUD"}, ValueError),
        ({"level": 1.5}, TypeError),
        ({"schema": "xml"}, ValueError),
        ({"schema": ["ecs"]}, ValueError),
        ({"redact": 3}, TypeError),
        ({"console": 1}, ValueError),
    ],
)
def test_dict_config_refuses(options: dict[str, Any], error: type[Exception]) -> None:
    """Wrong options are refused at the call, with the value in the message."""
    with pytest.raises(error, match=repr(next(iter(options.values())))):
        llmlog.dict_config(**options)


@pytest.mark.parametrize(
    ("options", "error", "shown"),
    [
        ({"capture": "yes"}, TypeError, "'yes'"),
        ({"capture": -1}, ValueError, "-1"),
        ({"ask_usage": 1}, TypeError, "1"),
        ({"deployments": ["a"]}, TypeError, "'a'"),
        ({"deployments": {"a": 5}}, TypeError, "5"),
        ({"redaction": ["emial"]}, ValueError, "'emial'"),
        ({"redaction": 5}, TypeError, "5"),
        ({"log_start": "yes"}, TypeError, "'yes'"),
        ({"exit_on_sigterm": 1}, TypeError, "1"),
        ({"journal": 5}, TypeError, "5"),
        ({"journal": __file__}, ValueError, "test_config"),
        ({"journal": __file__, "log_start": True}, ValueError, "test_config"),
    ],
)
def test_configure_refuses(options: dict[str, Any], error: type[Exception], shown: str) -> None:
    """Wrong options are refused at the call with the value, and change nothing."""
    before = settings.current()
    with pytest.raises(error, match=shown):
        llmlog.configure(**options)
    assert settings.current() is before


def test_what_help_says_of_options_that_are_not_named() -> None:
    """They stay; no address of an object in the signature."""
    assert "budget_usd: 'float | Decimal | None' = <unchanged>" in str(inspect.signature(llmlog.configure))


def test_configure_sets_what_is_named() -> None:
    """Each option by itself; the others stay."""
    llmlog.configure(capture=100, redaction=["email"])
    llmlog.configure(ask_usage=True)
    assert (settings.current().capture, settings.current().ask_usage) == (100, True)
    assert llmlog.redact("ann@example.com or 4242 4242 4242 4242") == "<EMAIL> or 4242 4242 4242 4242"


def test_the_journal_on_and_off(tmp_path: pathlib.Path) -> None:
    """`configure(journal=)` names the folder; None switches it off again."""
    llmlog.configure(journal=tmp_path)
    stream = llmlog.stream(["a"])
    assert len(list(tmp_path.iterdir())) == 1
    stream.close()
    llmlog.configure(journal=None)
    llmlog.stream(["a"]).close()
    assert list(tmp_path.iterdir()) == []


def test_exit_on_sigterm() -> None:
    """A handler is set where the system's own was, and taken away again; another's stays; only in the main thread."""
    old = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        llmlog.configure(exit_on_sigterm=False)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        llmlog.configure(exit_on_sigterm=True)
        ours = signal.getsignal(signal.SIGTERM)
        assert callable(ours)
        llmlog.configure(exit_on_sigterm=False)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        llmlog.configure(exit_on_sigterm=True)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with ThreadPoolExecutor(1) as elsewhere, pytest.raises(ValueError, match="main thread"):
            elsewhere.submit(llmlog.configure, exit_on_sigterm=True).result()
    finally:
        signal.signal(signal.SIGTERM, old)
