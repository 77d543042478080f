"""ContextFilter and Options; RedactFilter has its own file."""

from __future__ import annotations

import logging
import logging.config
import sys
from types import SimpleNamespace
from typing import Any

import pytest

import llmlog
from llmlog import settings
from llmlog.filters import ContextFilter, Options


def record(name: str = "app", **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.INFO, __file__, 1, "hello", (), None)
    made.__dict__.update(extra)
    return made


def test_the_context_is_put_on_a_record() -> None:
    """Every record of the application bears the request's fields."""
    made = record()
    with llmlog.request("r1", user_id="u", name="n"):
        assert ContextFilter().filter(made) is True
    fields = vars(made)
    assert (fields["request_id"], fields["user_id"], fields["name_"], fields["name"]) == ("r1", "u", "n", "app")


def test_extra_wins() -> None:
    """What the caller says of this record goes before the context."""
    made = record(user_id="mine")
    with llmlog.request("r1", user_id="u"):
        ContextFilter().filter(made)
    assert vars(made)["user_id"] == "mine"


def test_summaries_are_left_alone() -> None:
    """A summary made later, in another request, does not get that one's fields."""
    made = record("llmlog.calls", request_id="r1")
    with llmlog.request("r2", user_id="u"):
        assert ContextFilter().filter(made) is True
    assert vars(made)["request_id"] == "r1"
    assert "user_id" not in vars(made)


def test_its_name_selects() -> None:
    """As with any filter of the standard library, a name lets only that logger's records pass."""
    assert ContextFilter("app").filter(record("app.db")) is True
    assert ContextFilter("app").filter(record("other")) is False


def test_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where OpenTelemetry has a current span, every record bears its ids."""
    span = SimpleNamespace(is_valid=True, trace_id=1, span_id=2, trace_flags=1)
    fake = SimpleNamespace(get_current_span=lambda: SimpleNamespace(get_span_context=lambda: span))
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", fake)  # type: ignore[arg-type]
    made = record()
    ContextFilter().filter(made)
    assert vars(made)["trace_id"].endswith("01")
    assert vars(made)["span_id"].endswith("02")
    assert "trace_flags" not in vars(made)


def test_options_are_configure() -> None:
    """A plain dictConfig reaches every option."""
    logging.config.dictConfig(
        {
            "version": 1,
            "incremental": False,
            "disable_existing_loggers": False,
            "filters": {"options": {"()": "llmlog.filters.Options", "capture": 5, "deployments": {"a": "gpt-4o"}}},
        }
    )
    assert (settings.current().capture, settings.current().deployments) == (5, {"a": "gpt-4o"})
    assert Options().filter(record()) is True
    with pytest.raises(TypeError, match="'yes'"):
        Options(capture="yes")
    with pytest.raises(TypeError, match="nonsense"):
        Options(nonsense=1)
