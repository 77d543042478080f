"""Records as lines of JSON, and as lines for people."""

import copy
import datetime
import decimal
import itertools
import json
import logging
import logging.config
import math
import pickle
import random
import re
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from pythonjsonlogger.json import JsonEncoder, JsonFormatter

from llmlog.exceptions import UsageTypeError, UsageValueError
from llmlog.formatters import ConsoleFormatter, JSONFormatter

CREATED = 1767323045.678901
Excs = tuple[type[BaseException], BaseException, Any]


def record(msg: Any = "hello", *args: Any, **extras: Any) -> logging.LogRecord:
    made = logging.LogRecord("app.search", logging.INFO, "search.py", 7, msg, None, None, "answer")
    made.args = args[0] if len(args) == 1 and type(args[0]) is dict else args
    made.created, made.msecs = CREATED, 678.0
    made.__dict__.update(extras)
    return made


def parsed(line: str) -> dict[str, Any]:
    def refuse(constant: str) -> Any:
        raise AssertionError(f"{constant} is not JSON")

    assert "\n" not in line
    assert "\r" not in line
    made = json.loads(line, parse_constant=refuse)
    orjson.loads(line.encode())
    assert isinstance(made, dict)
    return made


def flat(made: logging.LogRecord, **options: Any) -> dict[str, Any]:
    return parsed(JSONFormatter(**options).format(made))


def raised(function: Callable[[], Any]) -> Excs:
    try:
        function()
    except BaseException as error:
        return type(error), error, error.__traceback__
    raise AssertionError("nothing was raised")


def throw(error: BaseException) -> Any:
    raise error


class Broken:
    """Nothing of it works. As a test's parameter it stands for its instance, which pytest could not name."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __hash__ = __len__ = __bool__ = __iter__ = __str__  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        raise ValueError("no attributes")

    @property
    def __class__(self) -> Any:
        raise ValueError("no class")


def made_from(value: Any) -> Any:
    return Broken() if value is Broken else value


class TestFlat:
    def test_the_base_fields_come_first(self) -> None:
        """Time, level, logger and message, then the constants, then the extras in their order."""
        made = flat(record("hello %s", "world", b=1, a=None), constants={"service": "shop", "env": "test"})
        assert list(made.items()) == [
            ("timestamp", "2026-01-02T03:04:05.678901Z"),
            ("level", "INFO"),
            ("logger", "app.search"),
            ("message", "hello world"),
            ("service", "shop"),
            ("env", "test"),
            ("b", 1),
            ("a", None),
        ]

    @pytest.mark.parametrize("created", [0, 0.0000005, 1.9999996, 1e9, 1767323045.9999999, -1.5, 253402300799])
    def test_the_time_is_utc_with_microseconds(self, created: float) -> None:
        """The quick way to write the time gives what datetime gives, in whatever order records come."""
        expected = datetime.datetime.fromtimestamp(created, datetime.UTC).isoformat(timespec="microseconds")
        assert flat(record(created=created))["timestamp"] == expected.replace("+00:00", "Z")

    def test_the_time_is_right_where_threads_share_a_formatter(self) -> None:
        """The remembered second of one thread never stands in the line of another."""
        formatter, start, wrong = JSONFormatter(), threading.Barrier(4), []

        def work(offset: int) -> None:
            made = record(created=1e9 + offset)
            expected = datetime.datetime.fromtimestamp(1e9 + offset, datetime.UTC).isoformat()[:19]
            start.wait()
            times = [parsed(formatter.format(made))["timestamp"] for _ in range(500)]
            wrong.extend(time for time in times if not time.startswith(expected))

        threads = [threading.Thread(target=work, args=(offset,)) for offset in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []

    def test_extras_win_over_constants(self) -> None:
        """A record that knows better than the configuration is believed."""
        assert flat(record(env="canary"), constants={"env": "test"})["env"] == "canary"

    def test_an_extra_cannot_overwrite_a_base_field(self) -> None:
        """It is not lost either: it gets an underscore, or two where that name is taken."""
        made = flat(record(timestamp=1, level=2, level_=3, logger=4))
        assert made["timestamp"] == "2026-01-02T03:04:05.678901Z"
        assert made["level"] == "INFO"
        assert made["logger"] == "app.search"
        assert (made["timestamp_"], made["level_"], made["level__"], made["logger_"]) == (1, 3, 2, 4)

    def test_a_constant_cannot_overwrite_a_base_field(self) -> None:
        """The same rule holds for constants; one that is None is left out."""
        made = flat(record(), constants={"level": "x", "service": None})
        assert (made["level"], made["level_"]) == ("INFO", "x")
        assert "service" not in made

    def test_private_attributes_are_left_out(self) -> None:
        """Names that begin with an underscore are somebody's own."""
        assert flat(record(_private=1, public_=2)).keys() == {
            "timestamp",
            "level",
            "logger",
            "message",
            "public_",
        }

    def test_the_message_in_colours_is_left_out(self) -> None:
        """uvicorn's lines have theirs once more, with escapes for a terminal."""
        record = logging.makeLogRecord({"msg": "Started", "color_message": "\x1b[36mStarted\x1b[0m", "pid": 7})
        line = JSONFormatter().format(record)
        assert json.loads(line)["pid"] == 7
        assert "color" not in line
        assert "color" not in ConsoleFormatter().format(record)

    def test_a_dict_as_message_is_merged(self) -> None:
        """Its items are fields, its "message" the message; extras win."""
        made = flat(record({"message": 3, "a": 1, "b": 2, "level": "odd", "name": "bob"}, b=4))
        assert (made["message"], made["a"], made["b"], made["level_"], made["name"]) == (
            "3",
            1,
            4,
            "odd",
            "bob",
        )
        assert flat(record({"a": 1}))["message"] == ""

    def test_the_record_and_its_dict_are_left_as_they_are(self) -> None:
        """Another handler's formatter sees what the application logged."""
        message = {"a": {1: 2}, "message": "x"}
        made = record(message, exc_info=raised(lambda: throw(ValueError())), extra=Broken())
        before = dict(made.__dict__)
        flat(made)
        assert made.__dict__.keys() == before.keys()
        assert all(made.__dict__[name] is before[name] for name in before)
        assert message == {"a": {1: 2}, "message": "x"}

    def test_the_stack_is_a_field(self) -> None:
        """What stack_info=True collects is written."""
        assert flat(record(stack_info="Stack:\n  here"))["stack_info"] == "Stack:\n  here"

    def test_a_formatter_survives_copying(self) -> None:
        """A configuration may be copied, or sent to another process."""
        formatter = JSONFormatter(constants={"service": "shop"})
        for twin in (copy.deepcopy(formatter), pickle.loads(pickle.dumps(formatter))):
            assert twin.format(record(a=1)) == formatter.format(record(a=1))

    @pytest.mark.parametrize("schema", ["ecs ", "OTel", None, ["flat"]])
    def test_an_unknown_schema_is_refused(self, schema: Any) -> None:
        """The error names the value and what is possible."""
        with pytest.raises(UsageValueError, match="'flat'") as error:
            JSONFormatter(schema=schema)
        assert repr(schema) in str(error.value)

    def test_constants_that_are_no_mapping_are_refused(self) -> None:
        """The error is raised where the mistake was made."""
        with pytest.raises(UsageTypeError, match="shop"):
            JSONFormatter(constants="shop")  # type: ignore[arg-type]


class TestErrors:
    def test_an_exception_has_its_fields(self) -> None:
        """The type's qualified name (built-in ones without a module), the text, and the whole traceback."""
        made = flat(record(exc_info=raised(lambda: throw(ValueError("bad")))))
        assert (made["error_type"], made["error_message"]) == ("ValueError", "bad")
        assert made["error_stack_trace"].startswith("Traceback (most recent call last)")
        assert made["error_stack_trace"].endswith("ValueError: bad")
        assert flat(record(exc_info=raised(lambda: throw(UsageTypeError("x")))))["error_type"] == (
            "llmlog.exceptions.UsageTypeError"
        )

    def test_causes_groups_and_notes_are_in_the_traceback(self) -> None:
        """Nothing that Python would print is missing."""

        def fail() -> None:
            try:
                throw(KeyError("the cause"))
            except KeyError as cause:
                error = ExceptionGroup("several", [OSError("first"), TypeError("second")])
                error.add_note("a note")
                raise error from cause

        made = flat(record(exc_info=raised(fail)))
        assert made["error_type"] == "ExceptionGroup"
        for part in ("the cause", "direct cause", "several", "first", "second", "a note"):
            assert part in made["error_stack_trace"]

    def test_fields_that_are_there_win(self) -> None:
        """Redaction and the summary record set them themselves."""
        made = flat(
            record(
                exc_info=raised(lambda: throw(ValueError("secret"))),
                exc_text="Traceback: ***",
                error_type="X",
                error_message="***",
            )
        )
        assert (made["error_type"], made["error_message"], made["error_stack_trace"]) == (
            "X",
            "***",
            "Traceback: ***",
        )
        assert "secret" not in json.dumps(made)

    def test_a_traceback_as_text_is_enough(self) -> None:
        """A redacted traceback, or one from another process, comes without the exception itself."""
        made = flat(record(exc_text="Traceback: ***"))
        assert made["error_stack_trace"] == "Traceback: ***"
        assert "error_type" not in made

    @pytest.mark.parametrize("exc_info", [(None, None, None), True, 1, "text", (), (ValueError,), Broken])
    def test_what_is_no_exception_leaves_no_field(self, exc_info: Any) -> None:
        """`logger.exception` outside an except block, or a record made by hand."""
        made = flat(record(exc_info=made_from(exc_info)))
        assert made.keys() == {"timestamp", "level", "logger", "message"}

    def test_an_exception_alone_is_enough(self) -> None:
        """A record made by hand may hold the exception in place of the triple."""
        made = flat(record(exc_info=raised(lambda: throw(ValueError("bad")))[1]))
        assert made["error_type"] == "ValueError"
        assert "in throw" in made["error_stack_trace"]

    def test_an_exception_whose_text_fails_is_written(self) -> None:
        """So is one whose notes and causes are not what they should be."""

        class Odd(Exception):
            def __str__(self) -> str:
                raise RuntimeError("no text")

            __repr__ = __str__

        error = Odd()
        error.__notes__ = Broken()  # type: ignore[assignment]
        made = flat(record(exc_info=raised(lambda: throw(error))))
        assert made["error_type"].endswith("Odd")
        assert made["error_message"] == "<unprintable Odd object>"
        assert "in throw" in made["error_stack_trace"]

    def test_a_formatter_of_tracebacks_that_fails_leaves_the_place(self) -> None:
        """A subclass may write tracebacks its own way; where that fails, the frames are still written."""

        class Custom(JSONFormatter):
            def formatException(self, ei: Any) -> str:
                return str(1 / (ei[1].args[0]))

        formatter = Custom()
        assert (
            parsed(formatter.format(record(exc_info=raised(lambda: throw(ValueError(2))))))["error_stack_trace"]
            == "0.5"
        )
        made = parsed(formatter.format(record(exc_info=raised(lambda: throw(ValueError(0))))))
        assert "in throw" in made["error_stack_trace"]
        assert made["error_stack_trace"].endswith("ValueError: 0")


class TestTotal:
    @pytest.mark.parametrize(
        ("msg", "args", "expected"),
        [
            ("%d items", ("x",), '%d items (args: ["x"])'),
            ("%s and %s", (1,), "%s and %s (args: [1])"),
            ("%(a)s", ({"b": 1},), '%(a)s (args: {"b":1})'),
            ("100%", (1,), "100% (args: [1])"),
            ("no place", (Broken,), 'no place (args: ["<unprintable Broken object>"])'),
            (Broken, (), "<unprintable Broken object>"),
            (None, (), "None"),
            ("lone \ud800", (), "lone \\ud800"),
            ("two\nlines", (), "two\nlines"),
        ],
    )
    def test_a_message_that_cannot_be_made_shows_its_parts(self, msg: Any, args: Any, expected: str) -> None:
        """The template and the arguments, in place of an error on stderr and no line."""
        assert flat(record(made_from(msg), *map(made_from, args)))["message"] == expected

    def test_odd_values_have_a_plain_form(self) -> None:
        """One odd value does not cost the others, nor the line."""
        loop: list[Any] = []
        loop.append(loop)
        deep: Any = 1
        for _ in range(5000):
            deep = {"d": deep}
        made = flat(
            record(
                nan=math.nan,
                big=2**70,
                raw=b"\xff",
                loop=loop,
                deep=deep,
                keys={1: 1, (2,): 2},
                fine=1,
                lone="\ud800",
                money=decimal.Decimal("1.5"),
                broken=Broken(),
                path=Path("a"),
                set={1},
            )
        )
        assert made["nan"] is None
        assert made["big"] == str(2**70)
        assert made["raw"] == "\\xff"
        assert made["loop"] == ["<cycle>"]
        assert made["keys"] == {"1": 1, "(2,)": 2}
        assert made["lone"] == "\\ud800"
        assert (made["fine"], made["money"], made["path"], made["set"]) == (1, 1.5, "a", [1])
        assert made["broken"] == "<unprintable Broken object>"

    def test_names_that_are_not_text_are_written(self) -> None:
        """A record unpickled or made by hand may hold any key."""
        made = record()
        made.__dict__.update({1: "a", None: "b", "": "c", ("t",): "d", "\ud800": "e"})  # type: ignore[dict-item]
        line = flat(made)
        assert (line["1"], line["null"], line[""], line["('t',)"], line["\\ud800"]) == (
            "a",
            "b",
            "c",
            "d",
            "e",
        )

    @pytest.mark.parametrize("name", sorted(record().__dict__))
    @pytest.mark.parametrize("value", [None, math.nan, math.inf, 1e30, "text", [], {}, b"x", Broken, 2**80])
    def test_any_attribute_may_hold_anything(self, name: str, value: Any) -> None:
        """Whatever was done to the record, a line comes out, with a time that can be read."""
        made = record(extra=1)
        made.__dict__[name] = made_from(value)
        for formatter in (
            JSONFormatter(),
            JSONFormatter(timestamp=True),
            JSONFormatter("%(asctime)s %(name)s"),
        ):
            line = parsed(formatter.format(made))
            assert line["extra"] == 1
        assert datetime.datetime.fromisoformat(flat(made)["timestamp"])
        assert "extra=1" in ConsoleFormatter(colors=False).format(made)

    @pytest.mark.parametrize("name", sorted(record().__dict__))
    def test_any_attribute_may_be_missing(self, name: str) -> None:
        """A record from elsewhere may lack what the standard library puts in."""
        made = record(extra=1)
        del made.__dict__[name]
        assert flat(made)["extra"] == 1
        assert "extra=1" in ConsoleFormatter().format(made)

    def test_a_record_changed_by_another_thread_is_written(self) -> None:
        """A dict that grows while it is read is read again, from a copy."""

        class Growing(logging.LogRecord):
            def getMessage(self) -> str:
                if "grown" not in self.__dict__:
                    self.grown = True
                    raise RuntimeError("dictionary changed size during iteration")
                return super().getMessage()

        made = Growing("app", logging.INFO, "", 0, "hello", None, None)
        assert flat(made)["message"] == "hello"

    def test_a_full_stack_still_gives_a_line(self) -> None:
        """Where an exception handler logs a RecursionError, there is little room left."""
        made = record(path=Path("x"))

        def descend(depth: int, formatter: logging.Formatter) -> str:
            return descend(depth - 1, formatter) if depth else formatter.format(made)

        for formatter in (JSONFormatter(), JSONFormatter("%(message)s"), ConsoleFormatter(colors=False)):
            lines = {}
            for room in range(100):
                try:
                    lines[room] = descend(sys.getrecursionlimit() - _stack_depth() - room, formatter)
                except RecursionError as error:
                    where = traceback.extract_tb(error.__traceback__)[-1]
                    assert where.name == "descend"
            assert len(lines) > 85
            assert lines[99] == formatter.format(made)
            if isinstance(formatter, JSONFormatter):
                assert all("message" in parsed(line) for line in lines.values())

    def test_a_fault_of_ours_is_counted_and_a_line_comes_out(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Should the library itself be broken, what is certain is written."""
        counted: list[str] = []
        for module in ("json", "console"):
            monkeypatch.setattr(f"llmlog.formatters.{module}.fault", lambda where, error: counted.append(where))
        monkeypatch.setattr("llmlog.formatters.contents.message_and_extras", lambda record: 1 / 0)
        made = record("hello \ud800")
        assert flat(made)["message"] == "hello \\ud800"
        assert "hello" in ConsoleFormatter().format(made)
        assert counted == ["formatting a record"] * 2


def _stack_depth() -> int:
    frame, depth = sys._getframe(), 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1  # type: ignore[assignment]
    return depth


class TestMaxBytes:
    @pytest.mark.parametrize("max_bytes", [512, 600, 1000, 4096, 10_000])
    @pytest.mark.parametrize(
        "extras",
        [
            {"response": "x" * 20_000},
            {"response": "é€😀" * 5000},
            {"response": '\x01\n"' * 5000},
            {"messages": [{"role": "user", "content": "y" * 3000}] * 10},
            {f"field_{i}": "z" * 100 for i in range(200)},
            {"numbers": list(range(10_000))},
            {"k" * 20_000: 1},
            {"response": "x" * 20_000, "numbers": list(range(10_000)), "broken": Broken},
        ],
        ids=["ascii", "wide", "escapes", "nested", "many", "numbers", "long name", "all"],
    )
    def test_a_line_is_never_longer(self, max_bytes: int, extras: dict[str, Any]) -> None:
        """Texts are cut, then the largest fields left out; ids and figures stay, and it stays JSON."""
        made = record(request_id="4bf92f3577b34da6a3ce929d0e0e4736", **extras, input_tokens=412)
        made.__dict__.update({name: made_from(value) for name, value in extras.items()})
        for formatter in (
            JSONFormatter(max_bytes=max_bytes),
            JSONFormatter("%(message)s", max_bytes=max_bytes),
        ):
            line = formatter.format(made)
            assert len(line.encode()) <= max_bytes
            fields = parsed(line)
            assert fields["truncated"] is True
            assert fields["message"] == "hello"
            assert fields["request_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
            assert fields["input_tokens"] == 412

    def test_the_room_is_used(self) -> None:
        """The longest text takes what the others leave, and its cut is marked."""
        line = JSONFormatter(max_bytes=2000).format(record(prompt="p" * 300, response="r" * 9000))
        fields = parsed(line)
        assert 1980 <= len(line) <= 2000
        assert fields["prompt"] == "p" * 300
        assert re.fullmatch("r+…", fields["response"])

    def test_base_fields_are_cut_last(self) -> None:
        """Even where everything is long, the base fields are there, and the time is whole."""
        made = record("\x01" * 9000, name="\x01" * 900, levelname="\x01" * 900)
        line = JSONFormatter(max_bytes=512).format(made)
        assert len(line.encode()) <= 512
        assert parsed(line).keys() == {"timestamp", "level", "logger", "message", "truncated"}
        assert parsed(line)["timestamp"] == "2026-01-02T03:04:05.678901Z"

    def test_a_line_that_fits_is_not_touched(self) -> None:
        """Up to the last byte."""
        made = record(text="é" * 400)
        whole = JSONFormatter().format(made)
        assert JSONFormatter(max_bytes=len(whole.encode())).format(made) == whole
        assert parsed(JSONFormatter(max_bytes=len(whole.encode()) - 1).format(made))["truncated"] is True

    def test_an_extra_called_truncated_is_kept(self) -> None:
        """The mark does not overwrite the user's own field."""
        made = flat(record("x" * 1000, truncated="mine"), max_bytes=512)
        assert (made["truncated"], made["truncated_"]) == (True, "mine")

    def test_the_prefix_counts(self) -> None:
        """python-json-logger's prefix is a part of the line."""
        line = JSONFormatter(prefix="@cee: ", max_bytes=600).format(record("x" * 1000))
        assert line.startswith("@cee: {")
        assert len(line) <= 600

    @pytest.mark.parametrize(
        ("value", "error"),
        [
            (511, ValueError),
            (0, ValueError),
            (-1, ValueError),
            ("1000", TypeError),
            (1000.0, TypeError),
            (True, TypeError),
        ],
    )
    def test_a_limit_without_meaning_is_refused(self, value: Any, error: type[Exception]) -> None:
        """The error names the value."""
        with pytest.raises(error, match=re.escape(repr(value))):
            JSONFormatter(max_bytes=value)


OPTIONS: list[dict[str, Any]] = [
    {"fmt": "%(asctime)s %(levelname)s %(name)s %(message)s"},
    {"fmt": "{message} {lineno}", "style": "{"},
    {"fmt": "${message} ${user}", "style": "$"},
    {"style": "{"},
    {"datefmt": "%Y", "fmt": "%(asctime)s"},
    {"fmt": "anything", "validate": False, "style": "%"},
    {"prefix": "@cee: "},
    {"rename_fields": {"message": "@message", "missing": "x", "user": "who"}},
    {"rename_fields": {"missing": "x"}, "rename_fields_keep_missing": True},
    {"static_fields": {"service": "shop", "user": "nobody"}},
    {"reserved_attrs": ["msg", "args", "user"]},
    {"reserved_attrs": []},
    {"timestamp": True},
    {"timestamp": "@timestamp"},
    {"defaults": {"user": "nobody", "env": "test"}},
    {"exc_info_as_array": True},
    {"stack_info_as_array": True},
    {"json_default": repr},
    {"json_encoder": JsonEncoder},
    {"json_serializer": json.dumps},
    {"json_indent": 2},
    {"json_ensure_ascii": False},
]


def records() -> list[logging.LogRecord]:
    error = raised(lambda: throw(ValueError("bad")))
    return [
        record("hello %s", "world"),
        record("unicode é 😀", user="ü"),
        record({"a": 1, "message": "from dict", "user": "u"}),
        record({"exc_info": "mine"}, exc_info=error),
        record("failed", exc_info=error, stack_info="Stack:\n  here"),
        record("redacted", exc_text="Traceback: ***"),
        record("none", exc_info=(None, None, None)),
        record("odd", when=datetime.datetime(2026, 1, 2), raw=b"x", cls=int, _private=1, nested={"a": [1, None]}),
        record("many", user="u", env="live", service="own", timestamp="t", level="l"),
        record(None, number=1.5, big=2**70),
    ]


class TestPythonJsonLogger:
    @pytest.mark.parametrize(
        "options",
        [
            *OPTIONS,
            *({**one, **other} for one, other in itertools.combinations(OPTIONS, 2) if not one.keys() & other.keys()),
        ],
        ids=lambda options: "+".join(options),
    )
    def test_its_arguments_give_its_output(self, options: dict[str, Any]) -> None:
        """Whoever comes from python-json-logger keeps every line as it was."""
        try:
            theirs = JsonFormatter(**options)
        except ValueError as error:
            with pytest.raises(ValueError, match=str(error)):
                JSONFormatter(**options)
            return
        ours = JSONFormatter(**options)
        for mine, other in zip(records(), records(), strict=True):
            for name in ("relativeCreated", "thread", "exc_info", "args"):
                if "reserved_attrs" in options:  # then these are written, and differ from record to record
                    mine.__dict__[name] = other.__dict__[name] = None
            try:
                expected = theirs.format(other)
            except Exception:
                line = ours.format(mine).removeprefix(options.get("prefix", ""))
                parsed(line.replace("\n", ""))  # json_indent
            else:
                assert ours.format(mine) == expected

    def test_positional_arguments_are_the_standard_librarys(self) -> None:
        """As logging.config calls a formatter named by `class`."""
        made = record("hello", user="u")
        expected = JsonFormatter("{message} {levelname}", None, "{", True).format(made)
        assert JSONFormatter("{message} {levelname}", None, "{", True).format(made) == expected

    @pytest.mark.parametrize(
        "made",
        [
            lambda: record("%d", "x", extra=1),
            lambda: record("nan", nan=math.nan, extra=1),
            lambda: record("inf", deep=[{"a": -math.inf}], extra=1),
            lambda: record("keys", keys={(1,): 2}, extra=1),
            lambda: record("lone \ud800", extra=1),
            lambda: record("broken", broken=Broken(), extra=1),
            lambda: record(Broken(), extra=1),
            lambda: record("bad", exc_info=True, extra=1),
            lambda: record({"a": math.nan, 1: 2, (3,): 4}, extra=1),
        ],
    )
    def test_what_breaks_it_is_written_all_the_same(self, made: Callable[[], logging.LogRecord]) -> None:
        """Where it raises, or writes no JSON, the layout stays and the odd values have a plain form."""
        options = {"static_fields": {"service": "shop"}, "rename_fields": {"message": "@m"}}
        line = parsed(JSONFormatter("%(message)s %(levelname)s", **options).format(made()))
        assert {"@m", "levelname", "service", "extra"} <= line.keys()
        assert (line["levelname"], line["service"], line["extra"]) == ("INFO", "shop", 1)

    def test_a_cycle_is_written(self) -> None:
        """json.dumps refuses one."""
        loop: dict[str, Any] = {}
        loop["self"] = loop
        assert parsed(JSONFormatter("%(message)s").format(record("x", loop=loop)))["loop"] == {"self": "<cycle>"}

    @pytest.mark.parametrize(
        "options",
        [
            {"json_serializer": lambda *args, **kwargs: 1 / 0},
            {"json_serializer": lambda *args, **kwargs: "not json"},
            {"json_default": lambda value: 1 / 0},
            {"prefix": 3},
            {"rename_fields": {"message": ["unhashable"]}},
            {"defaults": {"nan": math.nan}},
        ],
        ids=str,
    )
    def test_an_option_that_fails_for_every_record_costs_none(self, options: dict[str, Any]) -> None:
        """The message is there, in whatever layout is left."""
        line = JSONFormatter("%(message)s", **options).format(record("hello", odd=object(), extra=1))
        assert (parsed(line)["message"], parsed(line)["extra"]) == ("hello", 1)

    def test_constants_are_its_static_fields(self) -> None:
        """Service and environment are in the line whichever layout it has; its own option wins."""
        made = record("hello")
        ours = JSONFormatter("%(message)s", constants={"service": "shop", "env": "a"}, static_fields={"env": "b"})
        theirs = JsonFormatter("%(message)s", static_fields={"service": "shop", "env": "b"})
        assert ours.format(made) == theirs.format(made)

    def test_a_subclass_keeps_its_hooks(self) -> None:
        """Who overrides one gets python-json-logger's layout, and the hook is called."""

        class Custom(JSONFormatter):
            def process_log_record(self, log_record: dict[str, Any]) -> dict[str, Any]:
                return {**log_record, "hook": True}

        assert parsed(Custom().format(record("hello", a=1))) == {"message": "hello", "a": 1, "hook": True}

    def test_an_unknown_argument_is_refused(self) -> None:
        """A misspelt option is not ignored."""
        with pytest.raises(TypeError, match="max_bites"):
            JSONFormatter(max_bites=1000)


class TestDictConfig:
    @pytest.mark.parametrize(
        ("entry", "expected"),
        [
            ({"class": "llmlog.formatters.JSONFormatter"}, {"timestamp", "level", "logger", "message", "a"}),
            ({"()": "llmlog.formatters.JSONFormatter"}, {"timestamp", "level", "logger", "message", "a"}),
            (
                {"()": "llmlog.formatters.JSONFormatter", "constants": {"s": 1}, "max_bytes": 1000},
                {"timestamp", "level", "logger", "message", "a", "s"},
            ),
            ({"class": "llmlog.formatters.JSONFormatter", "format": "%(message)s"}, {"message", "a"}),
            (
                {
                    "class": "llmlog.formatters.JSONFormatter",
                    "format": "{message}",
                    "style": "{",
                    "validate": True,
                },
                {"message", "a"},
            ),
            (
                {"class": "llmlog.formatters.JSONFormatter", "datefmt": "%Y", "format": "%(asctime)s"},
                {"asctime", "a"},
            ),
            ({"()": "llmlog.formatters.JSONFormatter", "format": "%(message)s"}, {"message", "a"}),
            ({"()": "llmlog.formatters.JSONFormatter", "fmt": "%(message)s"}, {"message", "a"}),
            ({"()": "llmlog.formatters.JSONFormatter", "timestamp": True}, {"timestamp", "message", "a"}),
            pytest.param(
                {"class": "llmlog.formatters.JSONFormatter", "format": "%(message)s", "defaults": {"d": 1}},
                {"message", "a", "d"},
                marks=pytest.mark.skipif(sys.version_info < (3, 12), reason="the key came with Python 3.12"),
            ),
            ({"()": "llmlog.formatters.JSONFormatter", "defaults": {"d": 1}}, {"message", "a", "d"}),
        ],
    )
    def test_json(self, entry: dict[str, Any], expected: set[str]) -> None:
        """Both ways that logging.config has to build a formatter, with the keys of each."""
        formatter = logging.config.DictConfigurator({"version": 1}).configure_formatter(entry)
        assert parsed(formatter.format(record("hello", a=1))).keys() == expected

    @pytest.mark.parametrize(
        "entry",
        [
            {"class": "llmlog.formatters.ConsoleFormatter"},
            {"()": "llmlog.formatters.ConsoleFormatter", "colors": False, "fields": ["a"]},
        ],
    )
    def test_console(self, entry: dict[str, Any]) -> None:
        """The same holds for the formatter for people."""
        formatter = logging.config.DictConfigurator({"version": 1}).configure_formatter(entry)
        assert "hello  a=1" in formatter.format(record("hello", a=1))


class TestConsole:
    def line(self, made: logging.LogRecord, **options: Any) -> str:
        return ConsoleFormatter(**{"colors": False, **options}).format(made)

    def test_a_line(self) -> None:
        """Time of day, level, logger, message and the extras."""
        made = self.line(record("hello %s", "world", user="u 1", n=1.5, tags=["a", "b"], empty="", none=None))
        assert re.fullmatch(
            r"\d\d:\d\d:05\.678 INFO    app\.search  hello world  "
            r'user="u 1" n=1\.5 tags=\["a","b"\] empty="" none=null',
            made,
        )

    def test_without_extras_nothing_trails(self) -> None:
        """The line ends with the message."""
        assert self.line(record("hello")).endswith("app.search  hello")

    def test_colors(self) -> None:
        """The level has its colour, the extras are dim, and both end."""
        made = self.line(record("hello", levelno=logging.ERROR, levelname="ERROR", a=1), colors=True)
        assert "\x1b[31mERROR  \x1b[0m" in made
        assert made.endswith("  \x1b[2ma=1\x1b[0m")

    @pytest.mark.parametrize(
        ("terminal", "no_color", "colored"),
        [(True, None, True), (True, "", True), (True, "1", False), (False, None, False)],
    )
    def test_colors_are_for_terminals(
        self, monkeypatch: pytest.MonkeyPatch, terminal: bool, no_color: str | None, colored: bool
    ) -> None:
        """Unless told, only where stderr is one, and NO_COLOR is not set."""
        monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
        monkeypatch.delenv("NO_COLOR", raising=False)
        if no_color is not None:
            monkeypatch.setenv("NO_COLOR", no_color)
        assert ("\x1b[" in ConsoleFormatter().format(record())) is colored

    def test_a_program_without_stderr(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A windowed program has none."""
        monkeypatch.setattr(sys, "stderr", None)
        assert "\x1b" not in ConsoleFormatter().format(record())

    def test_a_call_shows_what_its_message_does_not_say(self) -> None:
        """The record of an LLM call has some forty fields: a person sees a few of them."""
        made = record(
            "gpt-4o-mini aborted in 1.2 s, 412 + 12 tokens",
            event="llm.call",
            outcome="aborted",
            ended_by="loop_left",
            request_id="r1",
            input_tokens=412,
            record_id="x",
            wait_ms=3,
        )
        assert self.line(made).endswith("tokens  request_id=r1 outcome=aborted ended_by=loop_left")

    def test_fields_are_the_users_choice(self) -> None:
        """In their order; the record's own attributes can be chosen too; absent ones are passed over."""
        made = record("hello", a=1, b=2, c=3)
        assert self.line(made, fields=["c", "lineno", "x", "a"]).endswith("hello  c=3 lineno=7 a=1")
        assert self.line(made, fields=()).endswith("hello")

    @pytest.mark.parametrize("fields", ["request_id", 3])
    def test_fields_that_are_no_names_are_refused(self, fields: Any) -> None:
        """One name alone would be read as its letters."""
        with pytest.raises(UsageTypeError, match=str(fields)):
            ConsoleFormatter(fields=fields)

    def test_a_format_is_refused(self) -> None:
        """It would not be used: better said than ignored."""
        with pytest.raises(UsageValueError, match="message"):
            ConsoleFormatter("%(message)s")  # type: ignore[arg-type]

    def test_a_date_format_is_used(self) -> None:
        """Who wants the date sees the date."""
        assert self.line(record(), datefmt="%Y|").startswith("2026|")

    def test_the_traceback_stands_below(self) -> None:
        """Indented, and what redaction has made of it where there is such."""
        error = raised(lambda: throw(ValueError("bad")))
        made = self.line(record("failed", exc_info=error, stack_info="Stack:\n  here")).split("\n")
        assert made[1] == "    Traceback (most recent call last):"
        assert made[-3:] == ["    ValueError: bad", "    Stack:", "      here"]
        assert "bad" not in self.line(record("failed", exc_info=error, exc_text="***"))

    def test_nothing_can_forge_a_line(self) -> None:
        """Control characters are escaped, and no further line starts where a record starts."""
        evil = "x\n12:00:00.000 INFO    forged\r\x1b[31m\u202e\x85\u2028"
        error = raised(lambda: throw(ValueError(evil)))
        made = self.line(record(evil, a=evil, exc_info=error, name=evil, **{evil: 1}))
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", made)
        assert all(line.startswith("    ") for line in made.split("\n")[1:])

    def test_a_long_value_is_cut(self) -> None:
        """A prompt does not fill the screen."""
        assert len(self.line(record(prompt="x" * 9000))) < 300


def test_formatters_agree_on_random_records() -> None:
    """Seeded noise: what python-json-logger writes, the flat schema holds too."""
    source = random.Random(7)
    for _ in range(200):
        extras = {f"f{i}": source.choice([1, 1.5, None, True, "é", [1, "x"], {"a": 1}]) for i in range(5)}
        made = record("hello", **extras)
        theirs = json.loads(JsonFormatter().format(made))
        assert {name: flat(made)[name] for name in theirs} == theirs


@pytest.mark.parametrize("options", [{}, {"timestamp": True}])
def test_parts_that_multiply(options: dict[str, Any]) -> None:
    """A value that holds the same part twice on each of its levels gives one line, and soon."""
    value: Any = []
    for _ in range(60):
        value = [value, {"again": value}]
    line = JSONFormatter(**options).format(logging.makeLogRecord({"msg": "m", "value": value}))
    assert json.loads(line)["message"] == "m"
    assert len(line) < 10_000_000
