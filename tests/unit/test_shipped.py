"""The handler over a spool and a backend."""

from __future__ import annotations

import gc
import json
import logging
import logging.config
import logging.handlers
import os
import pathlib
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pythonjsonlogger.json import JsonFormatter

import llmlog
from llmlog import metrics, records
from llmlog.exceptions import UsageTypeError, UsageValueError
from llmlog.formatters import ConsoleFormatter, JSONFormatter
from llmlog.handlers import SpooledHandler
from llmlog.handlers.backend import Outcome
from llmlog.testing import FakeBackend

log = logging.getLogger("test_shipped")


def record(message: str = "hello", **extras: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": message, "name": "app", "levelname": "INFO", **extras})


Make = Callable[..., SpooledHandler]


@pytest.fixture
def make(tmp_path: pathlib.Path) -> Iterator[Make]:
    made: list[SpooledHandler] = []

    def one(backend: Any = None, **options: Any) -> SpooledHandler:
        handler = SpooledHandler(backend or FakeBackend(), **{"spool": tmp_path, "batch_seconds": 0, **options})
        made.append(handler)
        return handler

    yield one
    for handler in made:
        handler.close()


@pytest.fixture
def attached() -> Iterator[Callable[[logging.Handler], None]]:
    root, before = logging.getLogger(), logging.getLogger().level
    added: list[logging.Handler] = []

    def attach(handler: logging.Handler) -> None:
        added.append(handler)
        root.addHandler(handler)
        root.setLevel("DEBUG")

    yield attach
    root.setLevel(before)
    for handler in added:
        root.removeHandler(handler)


def backend_of(handler: SpooledHandler) -> FakeBackend:
    assert isinstance(handler.backend, FakeBackend)
    return handler.backend


def messages(handler: SpooledHandler) -> list[str]:
    return [one["message"] for one in backend_of(handler).records]


def in_spool(handler: SpooledHandler) -> list[str]:
    found = []
    for path in sorted(pathlib.Path(handler.spool.folder).glob("*.segment")):
        found += [json.loads(line.partition(b" ")[2])["message"] for line in path.read_bytes().splitlines()]
    return found


def test_a_record_arrives_once(make: Make) -> None:
    """The thread sends it, flush() tells when; the spool is empty then."""
    handler = make()
    handler.handle(record("one"))
    handler.handle(record("two", user_id="ü"))
    assert handler.flush(10)
    assert messages(handler) == ["one", "two"]
    assert backend_of(handler).records[1]["user_id"] == "ü"
    assert os.listdir(handler.spool.folder) == []


def test_the_thread_needs_nobody_to_flush(make: Make) -> None:
    """A record is sent after batch_seconds without anybody's asking."""
    arrived = threading.Event()
    handler = make(FakeBackend(lambda entries: (arrived.set(), Outcome())[1]), batch_seconds=0.01)
    handler.handle(record())
    assert arrived.wait(10)


def test_the_sampler_tells_how_much_waits(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """`system.metrics` has the spools' depth: what no backend has taken; without a spool it says nothing of one."""
    monkeypatch.setattr(records, "deliverers", weakref.WeakSet())
    assert "spool_waiting_bytes" not in metrics.sample()
    handler = make(FakeBackend(OSError()))
    handler._shipper.ready = lambda: None  # type: ignore[method-assign]  # it waits till we flush
    other = make(FakeBackend())  # with the same spool: counted once
    assert other.spool.folder == handler.spool.folder
    assert metrics.sample()["spool_waiting_bytes"] == 0
    handler.handle(record("one"))
    one = metrics.sample()["spool_waiting_bytes"]
    handler.handle(record("two"))
    assert metrics.sample()["spool_waiting_bytes"] == 2 * one > 0
    del handler._shipper.ready  # type: ignore[attr-defined]
    assert handler.flush(10)
    assert metrics.sample()["spool_waiting_bytes"] == 0


def test_it_is_in_the_spool_when_the_call_returns(make: Make) -> None:
    """Nothing is lost with a process that is killed right after."""
    handler = make(FakeBackend(*[OSError("down")] * 99))
    handler.handle(record("one"))
    assert in_spool(handler) == ["one"]


@pytest.mark.parametrize(
    ("formatter", "expected"),
    [
        (logging.Formatter("%(levelname)s %(message)s"), {"message": "INFO hel\nlo", "level": "INFO", "logger": "app"}),
        (ConsoleFormatter(fields=()), None),
        (logging.Formatter('{"a": NaN}', validate=False), {"message": '{"a": NaN}'}),
        (logging.Formatter('["a"]', validate=False), {"message": '["a"]'}),
        (logging.Formatter('\n {"a": 1}\n', validate=False), {"a": 1}),
        (JsonFormatter("%(message)s", json_indent=2), {"message": "hel\nlo"}),
        (JSONFormatter(json_indent=2), {"message": "hel\nlo"}),
        (JSONFormatter(prefix="app: "), {"message": 'app: {"message": "hel\\nlo"}'}),
        (JSONFormatter(), {"message": "hel\nlo", "logger": "app"}),
        (logging.Formatter("\ud800", validate=False), {"message": "\\ud800"}),
    ],
)
def test_every_line_is_a_json_object(make: Make, formatter: logging.Formatter, expected: dict[str, Any] | None) -> None:
    """Whatever the formatter writes, backends get one object on one line."""
    handler = make()
    handler.setFormatter(formatter)
    handler.handle(record("hel\nlo"))
    assert handler.flush(10)
    (found,) = backend_of(handler).records
    if expected is None:
        assert "hel" in found["message"]
    else:
        assert {**found, **expected} == found
    if "a" not in found and "timestamp" in found:
        assert found["timestamp"].endswith("Z")


def test_a_formatter_that_fails(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes to handleError, as with any handler, and the next record is kept."""
    handler = make()
    failed: list[logging.LogRecord] = []
    monkeypatch.setattr(handler, "handleError", failed.append)
    handler.setFormatter(logging.Formatter("%(nothing)s"))
    handler.handle(record("one"))
    handler.setFormatter(logging.Formatter())
    handler.handle(record("two"))
    assert len(failed) == 1
    assert handler.flush(10)
    assert messages(handler) == ["two"]


@pytest.mark.parametrize(
    "options",
    [
        {"batch_records": 0}, {"batch_bytes": -1}, {"max_bytes": 1000}, {"full": "explode"}, {"batch_seconds": -1},
        {"batch_seconds": float("nan")}, {"spool": ""},
    ],
)  # fmt: skip
def test_values_without_a_meaning(make: Make, options: dict[str, Any]) -> None:
    """The error is raised where the mistake was made, and names the value."""
    with pytest.raises(UsageValueError) as raised:
        make(**options)
    assert repr(next(iter(options.values()))) in str(raised.value) or options == {"spool": ""}


@pytest.mark.parametrize(
    "options",
    [
        {"batch_records": "1"}, {"batch_bytes": True}, {"max_bytes": 1e9}, {"batch_seconds": "1"}, {"fsync": 1},
        {"spool": 3},
    ],
)  # fmt: skip
def test_types_without_a_meaning(make: Make, options: dict[str, Any]) -> None:
    """As above."""
    with pytest.raises(UsageTypeError, match=next(iter(options))):
        make(**options)


def test_a_folder_that_cannot_be_written(make: Make, tmp_path: pathlib.Path) -> None:
    """It is said when the handler is made, not when records come."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageValueError, match="cannot be written"):
        make(spool=tmp_path / "file" / "spool")


def test_the_state_folder_is_the_users(make: Make, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG_STATE_HOME, or the one below the home folder; a relative one counts for nothing."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert make(spool=None).spool.folder.startswith(f"{tmp_path}/state/llmlog/fake-")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert make(spool=None).spool.folder.startswith(f"{tmp_path}/home/.local/state/llmlog/fake-")
    monkeypatch.setattr("sys.platform", "darwin")
    assert make(spool=None).spool.folder.startswith(f"{tmp_path}/home/Library/Application Support/llmlog/fake-")


def test_destinations_do_not_mix(make: Make) -> None:
    """One folder, two destinations: each gets its own records, also those that a dead process has left."""
    one, other = make(FakeBackend(destination="a")), make(FakeBackend(destination="b"))
    one.handle(record("for a"))
    other.handle(record("for b"))
    assert one.flush(10)
    assert other.flush(10)
    assert (messages(one), messages(other)) == (["for a"], ["for b"])


def test_two_handlers_of_one_destination(make: Make) -> None:
    """Neither sends what the other has sent."""
    one, other = make(), make()
    for n in range(50):
        one.handle(record(f"one {n}"))
        other.handle(record(f"other {n}"))
    assert one.flush(10)
    assert other.flush(10)
    keys = [entry.key for handler in (one, other) for part in backend_of(handler).sent for entry in part]
    assert len(keys) == len(set(keys)) == 100


def test_what_a_closed_handler_has_left(make: Make) -> None:
    """The next one with this spool sends it."""
    first = make(FakeBackend(*[OSError("down")] * 99))
    first.handle(record("one"))
    first.close()
    first.handle(record("after close"))
    first.spool.close()
    second = make()
    assert second.flush(10)
    assert messages(second) == ["one", "after close"]


def test_close_sends_and_tidies_up(make: Make) -> None:
    """What can be sent in a moment is; the backend and the thread are let go of; twice is once."""
    handler = make(batch_seconds=3600)
    handler.handle(record("one"))
    thread = handler._shipper._thread
    assert thread is not None
    handler.close()
    handler.close()
    assert messages(handler) == ["one"]
    assert not thread.is_alive()
    assert backend_of(handler).closed == 1
    assert os.listdir(handler.spool.folder) == []


def test_a_handler_that_is_dropped(make: Make, tmp_path: pathlib.Path) -> None:
    """Its thread ends with it, and others may send what it has left."""
    handler = SpooledHandler(FakeBackend(*[OSError()] * 99), spool=tmp_path)
    handler.handle(record("one"))
    thread = handler._shipper._thread
    assert thread is not None
    gone = weakref.ref(handler)
    del handler
    gc.collect()
    assert gone() is None
    thread.join(30)
    assert not thread.is_alive()
    heir = make()
    assert heir.flush(10)
    assert messages(heir) == ["one"]


def test_the_transports_own_records_do_not_enter(make: Make, attached: Any) -> None:
    """Those of the thread that sends would go round for ever; those of the application's own transport are its own."""
    transport = logging.getLogger("urllib3")

    def chatty(entries: Any) -> Outcome:
        transport.debug("sending")
        return Outcome()

    handler = make(FakeBackend(*[chatty] * 99))
    attached(handler)
    transport.debug("the application's")
    log.info("one")
    assert handler.flush(10)
    assert handler.flush(10)
    assert messages(handler) == ["the application's", "one"]


def test_the_delivery_record_arrives_and_does_not_go_round(make: Make, attached: Any) -> None:
    """What was dropped is told in the backend itself, once."""
    handler = make(max_bytes=64 * 1024, full="drop_newest", batch_seconds=3600)
    attached(handler)
    handler._shipper.ready = lambda: None  # type: ignore[method-assign]  # no thread before the spool is full
    for n in range(1000):
        log.info("a record of some length, number %d", n)
    dropped = handler.spool.dropped
    assert dropped > 0
    del handler._shipper.ready  # type: ignore[method-assign]
    assert llmlog.flush(10)
    assert llmlog.flush(10)
    found = backend_of(handler).records
    told = [one for one in found if one["logger"] == "llmlog.delivery"]
    assert [one["dropped_records"] for one in told] == [dropped]
    assert len(found) == 1000 - dropped + 1


@pytest.mark.parametrize("full", ["block", "drop_oldest", "drop_newest"])
def test_the_delivery_record_finds_room(make: Make, attached: Any, full: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells what the bound has dropped, and is no victim of the bound itself: nobody would tell again."""
    handler = make(max_bytes=64 * 1024, full=full)
    attached(handler)
    monkeypatch.setattr(handler.spool, "_has_room", lambda nbytes: False)  # filled again as soon as there is some
    monkeypatch.setattr(handler.spool, "_wait_for_room", lambda nbytes: None)
    handler.spool.dropped += 7
    handler.spool.append(b'{"message":"one"}', time.time(), always=True)
    assert handler.flush(30)
    assert handler.flush(30)
    told = [one for one in backend_of(handler).records if one.get("logger") == "llmlog.delivery"]
    assert [one["dropped_records"] for one in told] == [7]


@pytest.mark.parametrize("full", ["block", "drop_oldest", "drop_newest"])
def test_a_small_spool_under_load(make: Make, attached: Any, full: str) -> None:
    """Threads log more than it holds while it is being sent: each record arrives, or is counted."""
    handler = make(max_bytes=64 * 1024, full=full)
    attached(handler)
    told = logging.handlers.BufferingHandler(10_000)  # a record of what was dropped may be dropped itself
    told.addFilter(logging.Filter("llmlog.delivery"))
    attached(told)

    def write(base: int) -> None:
        for n in range(500):
            log.info("record %d", base + n, extra={"text": "x" * 100})

    threads = [threading.Thread(target=write, args=(base,)) for base in (0, 500, 1000, 1500)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert handler.flush(60)
    arrived = [one["message"] for one in backend_of(handler).records if one["logger"] == "test_shipped"]
    assert len(set(arrived)) == len(arrived)
    reports = sum(one["logger"] == "llmlog.delivery" for one in backend_of(handler).records)
    assert len(arrived) + handler.spool.dropped == 2000 + len(told.buffer) - reports
    if full == "block":
        assert handler.spool.dropped == 0


def test_flush_of_the_library(make: Make) -> None:
    """llmlog.flush() has every such handler's records delivered, also behind a queue, or says False."""
    handler = make(batch_seconds=3600)
    down = make(FakeBackend(*[OSError("down")] * 9999, destination="down"), batch_seconds=3600)
    waiting: queue.Queue[Any] = queue.Queue()
    listener = logging.handlers.QueueListener(waiting, handler)
    front = logging.handlers.QueueHandler(waiting)
    front.handle(record("one"))
    listener.start()
    listener.stop()
    assert llmlog.flush(10) is True
    assert messages(handler) == ["one"]
    down.handle(record("two"))
    assert llmlog.flush(0.2) is False
    backend_of(down).answers.clear()
    assert llmlog.flush(10) is True
    assert messages(down) == ["two"]


def test_flush_takes_seconds(make: Make) -> None:
    """Anything else is an error of use."""
    with pytest.raises(UsageTypeError, match="'1'"):
        make().flush("1")  # type: ignore[arg-type]


def test_a_flush_from_the_thread_that_sends(make: Make) -> None:
    """A handler for the delivery record, or a transport, that flushes does not wait for itself."""
    answers: list[bool] = []
    handler = make(FakeBackend(lambda entries: (answers.append(handler.flush(60)), Outcome())[1]))
    handler.handle(record())
    assert handler.flush(10)
    assert answers == [False]


def test_it_is_built_from_a_plain_dict_config(tmp_path: pathlib.Path) -> None:
    """Subclasses with plain arguments are all that a dictConfig needs."""
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"store": {"class": f"{__name__}.Store", "spool": str(tmp_path), "full": "block", "level": "INFO"}},
        "loggers": {"test_shipped": {"handlers": ["store"], "level": "DEBUG", "propagate": False}},
    }
    logging.config.dictConfig(config)
    try:
        log.info("kept")
        log.debug("dropped")
        (handler,) = log.handlers
        assert isinstance(handler, SpooledHandler)
        assert handler.flush(10)
        assert messages(handler) == ["kept"]
        logging.config.dictConfig({**config, "handlers": {}, "loggers": {"test_shipped": {"propagate": True}}})
        assert not log.handlers
        assert backend_of(handler).closed == 1
    finally:
        log.propagate = True
        log.setLevel("NOTSET")


class Store(SpooledHandler):
    """As a user writes one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(FakeBackend(), **options)
