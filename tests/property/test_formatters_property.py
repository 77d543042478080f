"""Whatever a record holds, one line of JSON comes out."""

import dataclasses
import datetime
import decimal
import enum
import json
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from ecs_types import problems
from hypothesis import given
from hypothesis import strategies as st

from llmlog import faults
from llmlog.formatters import ConsoleFormatter, JSONFormatter
from llmlog.plain import plain, text_of
from llmlog.semconv import FIELDS, STANDARD_ATTRIBUTES

ARMED: list[bool] = []
"""Not empty while llmlog is at work: Hypothesis cannot live with an object that has no class."""


class Nasty:
    """An object of which the chosen methods fail."""

    def __init__(self, how: str) -> None:
        self.__dict__["how"] = how

    def _fail(self, *args: Any) -> Any:
        raise {"key": KeyError, "recursion": RecursionError}.get(self.__dict__["how"], ValueError)("nasty")

    __str__ = __repr__ = __bool__ = __len__ = __iter__ = __eq__ = __hash__ = __int__ = __float__ = _fail
    __getattr__ = __getitem__ = __contains__ = __enter__ = __fspath__ = __format__ = __mod__ = _fail

    @property
    def __class__(self) -> Any:
        return self._fail() if ARMED else Nasty


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return self

    def __len__(self) -> int:
        return -1

    __repr__ = encode = split = isascii = __str__  # type: ignore[assignment]


class Number(int):
    def __str__(self) -> str:
        raise ValueError("no digits")

    __repr__ = __str__


class Lying(dict):  # type: ignore[type-arg]
    def items(self) -> Any:
        return iter([1, 2, 3])

    def __iter__(self) -> Any:
        raise ValueError("no keys")


class Odd(enum.Enum):
    TEXT = "\ud800"
    SET = frozenset({1})


@dataclasses.dataclass
class Pair:
    left: Any
    right: Any


class Dumped:
    model_fields = ()

    def __init__(self, dumped: Any) -> None:
        self.dumped = dumped

    def model_dump(self, **options: Any) -> Any:
        return self.dumped


class Silent(Exception):
    def __str__(self) -> str:
        raise ValueError("silent")


def looped(value: list[Any]) -> list[Any]:
    value.append({"loop": value})
    return value


texts = st.text() | st.text(st.characters(categories=["Cs", "Cc", "Co", "Zl", "So"])).map(str)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**63 - 2, 2**65)
    | st.floats()
    | texts
    | st.binary()
    | st.decimals()
    | st.datetimes()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.complex_numbers()
    | st.sampled_from(
        [
            *Odd,
            Odd,
            int,
            ...,
            NotImplemented,
            print,
            range(3),
            object(),
            decimal.Decimal("sNaN"),
            datetime.UTC,
            Silent(),
            Silent,
            memoryview(b"x"),
            iter([]),
        ]
    )
    | st.sampled_from(["value", "key", "recursion"]).map(Nasty)
    | texts.map(Text)
    | st.integers().map(Number)
)
keys = texts | st.none() | st.integers() | st.booleans() | st.floats() | st.tuples(st.integers()) | texts.map(Text)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(looped)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=3).map(Lying)
        | st.dictionaries(keys, inner, max_size=3).map(OrderedDict)
        | st.builds(Pair, inner, inner)
        | inner.map(Dumped)
        | st.builds(ValueError, inner)
    ),
    max_leaves=12,
)


@st.composite
def exceptions(draw: st.DrawFn) -> Any:
    error: BaseException = draw(st.sampled_from([ValueError, OSError, Silent]))(draw(leaves))
    if draw(st.booleans()):
        error = BaseExceptionGroup(draw(st.text()), [error])
    if draw(st.booleans()):
        error.__notes__ = draw(st.lists(values, max_size=2) | values)
    if draw(st.booleans()):
        error.__cause__ = error
    try:
        raise error
    except BaseException as caught:
        return draw(st.sampled_from([(type(caught), caught, caught.__traceback__), caught]))


@st.composite
def records(draw: st.DrawFn) -> logging.LogRecord:
    made = logging.LogRecord("app", draw(st.sampled_from([10, 20, 30, 40, 50, 7])), "a.py", 1, "", None, None)
    made.msg = draw(texts | values)
    args = draw(st.none() | st.lists(values, max_size=3).map(tuple) | st.dictionaries(texts, values, max_size=2))
    made.args = args
    made.exc_info = draw(st.none() | exceptions() | values)
    names = st.sampled_from([*made.__dict__, "level", "timestamp", "truncated", "error_type", "event"]) | keys
    made.__dict__.update(draw(st.dictionaries(names, values, max_size=4)))
    return made


def armed(function: Callable[[Any], Any], value: Any) -> Any:
    ARMED.append(True)
    try:
        return function(value)
    finally:
        ARMED.clear()


def check(line: str) -> None:
    def refuse(constant: str) -> Any:
        raise AssertionError(f"{constant} is not JSON")

    assert type(line) is str
    assert "\n" not in line
    assert isinstance(json.loads(line, parse_constant=refuse), dict)
    assert isinstance(orjson.loads(line.encode()), dict)


FORMATTERS = [
    JSONFormatter(),
    JSONFormatter(constants={"service": "shop"}, max_bytes=512),
    JSONFormatter("%(asctime)s %(levelname)s %(message)s", rename_fields={"message": "@m"}, timestamp=True),
    JSONFormatter(json_ensure_ascii=False, exc_info_as_array=True, reserved_attrs=[], max_bytes=2048),
    JSONFormatter(schema="otel", constants={"service": "shop", "region": "eu"}),
    JSONFormatter(schema="otel", constants={"service": "shop", "region": "eu"}, max_bytes=512),
    JSONFormatter(schema="ecs", constants={"service": "shop", "region": "eu"}),
    JSONFormatter(schema="ecs", constants={"service": "shop", "region": "eu"}, max_bytes=512),
]
IDS = ["flat", "512 bytes", "renamed", "nothing reserved", "otel", "otel 512", "ecs", "ecs 512"]


@pytest.mark.parametrize("formatter", FORMATTERS, ids=IDS)
@given(made=records())
def test_any_record_is_one_line_of_json(formatter: JSONFormatter, made: logging.LogRecord) -> None:
    """Whatever message, arguments, exception and extras are; and none of it is a fault of ours."""
    before = faults.counts()
    line = armed(formatter.format, made)
    check(line)
    assert len(line.encode()) <= formatter._max_bytes
    assert faults.counts() == before


dotted = st.lists(
    st.sampled_from(["a", "b", "http", "request", "error", "type", "gen_ai", "usage", " ", ""]), max_size=4
)
own_names = dotted.map(".".join) | st.sampled_from([*FIELDS, *(field.ecs for field in FIELDS.values())]) | texts
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(own_names, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("max_bytes", [None, 700])
@given(made=records(), more=st.dictionaries(own_names, json_values | values, max_size=8))
def test_any_record_is_a_valid_ecs_document(
    max_bytes: int | None, made: logging.LogRecord, more: dict[str, Any]
) -> None:
    """Each field has the type that ECS or our mapping gives it, and no name is both a value and an object."""
    made.__dict__.update({name: value for name, value in more.items() if name not in STANDARD_ATTRIBUTES})
    line = armed(JSONFormatter(schema="ecs", constants={"service": "shop"}, max_bytes=max_bytes).format, made)
    assert problems(json.loads(line)) == []


@given(made=records(), more=st.dictionaries(own_names, json_values | values, max_size=8))
def test_any_record_fits_the_log_data_model(made: logging.LogRecord, more: dict[str, Any]) -> None:
    """The places at the top have their types, ids their form, and no attribute stands above another's name."""
    made.__dict__.update({name: value for name, value in more.items() if name not in STANDARD_ATTRIBUTES})
    line = json.loads(armed(JSONFormatter(schema="otel").format, made))
    assert {"Timestamp", "SeverityText", "SeverityNumber", "Body", "InstrumentationScope", "Attributes"} <= line.keys()
    assert 0 <= line["SeverityNumber"] <= 24
    assert all(type(line.get(name, "")) is str for name in ("Timestamp", "SeverityText", "Body", "EventName"))
    assert len(line.get("TraceId", "0" * 32)) == 32
    assert len(line.get("SpanId", "0" * 16)) == 16
    names = line["Attributes"]
    assert [(name, other) for name in names for other in names if name and other.startswith(f"{name}.")] == []


@given(made=records())
def test_any_record_is_readable(made: logging.LogRecord) -> None:
    """The formatter for people always gives text, and only its first line starts where records do."""
    before = faults.counts()
    text = armed(ConsoleFormatter(colors=False).format, made)
    assert not any(ord(c) < 32 and c not in "\n\t" for c in text)
    assert all(line.startswith("    ") for line in text.split("\n")[1:])
    text.encode()
    assert faults.counts() == before


@given(value=values)
def test_any_value_is_plain(value: Any) -> None:
    """What comes out of plain() is JSON, and plain already."""
    made = armed(plain, value)
    line = orjson.dumps(made)
    assert orjson.loads(line) is not ...
    assert plain(made) == made
    armed(text_of, value).encode()
