"""structlog beside llmlog, both ways, with the real structlog: the same context, redaction, figures and JSON."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import framework

import llmlog

structlog = framework("structlog")

from llmlog.filters import ContextFilter, RedactFilter  # noqa: E402
from llmlog.formatters import JSONFormatter  # noqa: E402
from llmlog.integrations import structlog as ours  # noqa: E402

ANSWER = {
    "id": "c-1", "object": "chat.completion", "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}  # fmt: skip


class Lines(logging.StreamHandler[io.StringIO]):
    """A handler whose lines can be read back."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())

    @property
    def read(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def handler() -> Iterator[Lines]:
    """The root logger's only handler; structlog is as new before and after."""
    root, made = logging.getLogger(), Lines()
    before, level = root.handlers[:], root.level
    root.handlers, root.level = [made], logging.INFO
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    yield made
    root.handlers, root.level = before, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def set_up(way: str, handler: Lines) -> Any:
    """A structlog logger whose events reach `handler` as llmlog's JSON, in one of the three ways."""
    if way == "json":
        handler.setFormatter(logging.Formatter("%(message)s"))
    elif way == "logging":
        handler.setFormatter(JSONFormatter())
        handler.addFilter(ContextFilter())
        handler.addFilter(RedactFilter())
    else:
        handler.setFormatter(ours.formatter())
    structlog.configure(
        processors=ours.processors(to=way),
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return structlog.get_logger("shop")


WAYS = ("json", "logging", "formatter")


@pytest.mark.parametrize("way", WAYS)
def test_an_event_is_the_same_line_in_every_way(way: str, handler: Lines) -> None:
    """Message, level, logger, context of both libraries and fields, redacted, under JSONFormatter's names."""
    log = set_up(way, handler)
    structlog.contextvars.bind_contextvars(tenant="t-1")
    with llmlog.request("r-1", user_id="u-1"):
        log.warning("mail from %s", "ann@example.com", to=["bob@example.com"], password="secret", name="x")
    (line,) = handler.read
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "WARNING", "logger": "shop", "message": "mail from <EMAIL>", "to": ["<EMAIL>"],
        "password": "<REDACTED>", "name_": "x", "request_id": "r-1", "user_id": "u-1", "tenant": "t-1",
    }  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_exceptions_are_redacted(way: str, handler: Lines) -> None:
    """Type, message and traceback are fields, and no personal data gets out by them."""
    log = set_up(way, handler)
    try:
        raise ValueError("no such user: ann@example.com")
    except ValueError:
        log.exception("failed")
    (line,) = handler.read
    assert (line["error_type"], line["error_message"]) == ("ValueError", "no such user: <EMAIL>")
    assert "ValueError: no such user: <EMAIL>" in line["error_stack_trace"]
    assert "ann@" not in handler.stream.getvalue()


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_becomes_its_figures(way: str, handler: Lines) -> None:
    """`response=` is told by its model, tokens and cost; its text stays out of the log."""
    set_up(way, handler).info("answered", response=ANSWER)
    (line,) = handler.read
    assert (line["response_model"], line["input_tokens"], line["output_tokens"]) == ("gpt-4o-mini-2024-07-18", 3, 2)
    assert line["cost_usd"] == float(llmlog.cost({"input_tokens": 3, "output_tokens": 2}, "gpt-4o-mini") or 0)
    assert "response" not in line


@pytest.mark.parametrize("way", WAYS)
def test_usage_becomes_tokens_and_cost(way: str, handler: Lines) -> None:
    """`usage=` with `model=`, in llmlog's names; another library's usage stays as it is."""
    log = set_up(way, handler)
    log.info("a", usage={"input_tokens": 1000, "output_tokens": 0}, model="gpt-4o-mini")
    log.info("b", usage={"pages": 3})
    first, second = handler.read
    assert first["input_tokens"] == 1000
    assert first["cost_usd"] > 0
    assert second["usage"] == {"pages": 3}


def test_a_call_s_record_comes_out_right_by_structlog_s_formatter(handler: Lines) -> None:
    """The summary record has its own kind, message and time, and the context of its call's start."""
    set_up("formatter", handler)
    with llmlog.request("r-1"):
        stream = llmlog.stream(iter(["Hello"]), provider="text", model="gpt-4o", input="Hi")
    with llmlog.request("r-2"):
        assert list(stream) == ["Hello"]
    (line,) = handler.read
    assert (line["event"], line["request_id"], line["logger"]) == ("llm.call", "r-1", "llmlog.calls")
    assert line["message"].startswith("gpt-4o completed")


def test_logging_s_records_by_structlog_s_formatter_are_those_of_our_own(handler: Lines) -> None:
    """stdlib over ProcessorFormatter: the line is the one that filters and JSONFormatter would have made."""
    beside = Lines()
    beside.setFormatter(JSONFormatter())
    beside.addFilter(ContextFilter())
    beside.addFilter(RedactFilter())
    set_up("formatter", handler)
    logging.getLogger().handlers = [handler, beside]
    with llmlog.request("r-1"):
        try:
            raise OSError("+1 415 555 2671 rang")
        except OSError:
            logging.getLogger("std").exception("call %s", "x@y.com", extra={"card": "4111 1111 1111 1111"})
        llmlog.event("llm.feedback", score=1, call_id="c")
    assert [dict(sorted(line.items())) for line in handler.read] == [dict(sorted(line.items())) for line in beside.read]


def test_a_time_that_structlog_took_is_kept(handler: Lines) -> None:
    """A TimeStamper's time, ISO or epoch, is the record's; one that cannot be read is a field."""
    log = set_up("json", handler)
    for stamp in ("2026-01-02T03:04:05Z", 1767323045.0, "teatime"):
        log.info("x", timestamp=stamp)
    first, second, third = handler.read
    assert first["timestamp"] == second["timestamp"] == "2026-01-02T03:04:05.000000Z"
    assert third["timestamp_"] == "teatime"


@pytest.mark.parametrize("way", WAYS)
def test_odd_events_are_written(way: str, handler: Lines) -> None:
    """Arguments that do not fit, cycles and objects without a text never raise, and a line comes out."""
    cycle: dict[str, Any] = {}
    cycle["self"] = cycle

    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    log = set_up(way, handler)
    log.info("two %s %s", "one")
    odd = Odd() if way != "formatter" else 0  # pytest's own handler prints that record's dict
    log.info("odd", cycle=cycle, odd=odd, **{"a b": b"\xff"})
    log.info("")
    assert [line["message"] for line in handler.read][1:] == ["odd", ""]
    assert "one" in handler.read[0]["message"]


def test_structlog_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """Without logging, over its PrintLogger, the line is complete too."""
    structlog.reset_defaults()
    structlog.configure(processors=ours.processors(constants={"service": "shop"}))
    structlog.get_logger().error("it broke", event_="shop.order")
    structlog.reset_defaults()
    line = json.loads(capsys.readouterr().out)
    assert (line["level"], line["message"], line["service"], line["event"]) == (
        "ERROR", "it broke", "shop", "shop.order",
    )  # fmt: skip


def test_the_caller_s_objects_are_not_changed(handler: Lines) -> None:
    """Redaction works on copies."""
    log, mine = set_up("json", handler), {"mail": ["ann@example.com"]}
    log.info("x", mine=mine)
    assert mine == {"mail": ["ann@example.com"]}
    assert handler.read[0]["mine"] == {"mail": ["<EMAIL>"]}


def test_redaction_of_one_s_own_or_none(handler: Lines) -> None:
    """`redact=` takes Redactor's arguments, or False."""
    for redact, expected in ((False, "a@b.com 10.0.0.1"), ({"kinds": ["email"]}, "<EMAIL> 10.0.0.1")):
        handler.stream.truncate(0)
        handler.stream.seek(0)
        handler.setFormatter(ours.formatter(redact=redact))
        logging.getLogger("std").info("a@b.com 10.0.0.1")
        assert handler.read[0]["message"] == expected


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"to": "xml"}, ValueError),
        ({"to": "logging", "max_bytes": 1000}, TypeError),
        ({"redact": ["nothing"]}, ValueError),
    ],
)
def test_wrong_options(options: dict[str, Any], error: type[Exception]) -> None:
    """What has no meaning is an error at the call."""
    with pytest.raises(error):
        ours.processors(**options)
