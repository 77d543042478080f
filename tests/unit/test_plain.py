"""Any object as plain data."""

import dataclasses
import datetime
import decimal
import enum
import math
import pathlib
import sys
import uuid
from collections import OrderedDict, deque, namedtuple
from types import MappingProxyType
from typing import Any
from unittest.mock import MagicMock

import orjson
import pydantic
import pytest

from llmlog.plain import plain, text_of


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    _hidden: Any = None


class Model(pydantic.BaseModel):
    name: str
    inner: dict[str, Any] = {}


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


class OddMeta(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise ValueError("no name")


class Nameless(metaclass=OddMeta):
    __str__ = __repr__ = Unprintable.__str__


class Impostor:
    @property
    def __class__(self) -> Any:
        raise ValueError("no class")

    def __repr__(self) -> str:
        return "impostor"


class Text(str):
    def __str__(self) -> str:
        return self

    def encode(self, *args: Any, **kwargs: Any) -> bytes:
        raise ValueError("no bytes")


class Ghost(dict):  # type: ignore[type-arg]
    def items(self) -> Any:
        raise ValueError("no items")


CASES = [
    (None, None),
    (True, True),
    (1.5, 1.5),
    ("text", "text"),
    ("é", "é"),
    ("\ud800", "\\ud800"),
    (math.nan, None),
    (-math.inf, None),
    (2**64 - 1, 2**64 - 1),
    (2**64, str(2**64)),
    (-(2**63) - 1, str(-(2**63) - 1)),
    (decimal.Decimal("0.000139"), 0.000139),
    (decimal.Decimal("NaN"), None),
    (decimal.Decimal("sNaN"), "sNaN"),
    ((1, [2]), [1, [2]]),
    ({3}, [3]),
    (deque([1, 2]), [1, 2]),
    ({"a": 1}.values(), [1]),
    ({"a": 1}.keys(), ["a"]),
    (OrderedDict(a=1), {"a": 1}),
    (MappingProxyType({"a": 1}), {"a": 1}),
    (namedtuple("Pair", "a b")(1, 2), [1, 2]),
    ({1: "a", "1": "b", None: "c", 2.5: "d", Color.RED: "e", (1, 2): "f"},
     {"1": "a", "1_": "b", "null": "c", "2.5": "d", "red": "e", "(1, 2)": "f"}),
    (Color.RED, "red"),
    (Point(1, (2,)), {"x": 1, "_hidden": [2]}),
    (Point, f"{__name__}.Point"),
    (Model(name="x", inner={"a": (1,)}), {"name": "x", "inner": {"a": [1]}}),
    (b"bytes \xff", "bytes \\xff"),
    (bytearray(b"x"), "x"),
    (memoryview(b"x"), "x"),
    (datetime.date(2026, 1, 2), "2026-01-02"),
    (datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC), "2026-01-02T03:04:00+00:00"),
    (datetime.time(3, 4, tzinfo=datetime.UTC), "03:04:00+00:00"),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (pathlib.PurePosixPath("a/b"), "a/b"),
    (ValueError("bad"), "ValueError: bad"),
    (Unprintable(), "<unprintable Unprintable object>"),
    (Nameless(), "<unprintable Nameless object>"),
    (Impostor(), "impostor"),
    (Text("text"), "text"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), CASES, ids=lambda value: type(value).__qualname__)
def test_each_kind_has_a_plain_form(value: Any, expected: Any) -> None:
    """Whatever is logged has one form, and JSON can hold it."""
    made = plain(value)
    assert made == expected
    assert type(made) is type(expected)
    assert orjson.loads(orjson.dumps(made)) == expected


def test_a_cycle_ends() -> None:
    """A list that holds itself, through whatever containers, is cut where it comes back."""
    loop: list[Any] = [1]
    loop.append({"again": (loop, Point(2, loop))})
    assert plain(loop) == [1, {"again": ["<cycle>", {"x": 2, "_hidden": "<cycle>"}]}]


def test_the_same_object_twice_is_no_cycle() -> None:
    """Only what holds itself is a cycle; what is merely shared is written each time."""
    shared = [1]
    assert plain([shared, shared]) == [[1], [1]]


def test_nesting_has_an_end() -> None:
    """A structure deeper than any reader takes is cut, not followed into a RecursionError."""
    deep: Any = "core"
    for _ in range(10_000):
        deep = [deep]
    assert "<nested too deeply>" in orjson.dumps(plain(deep)).decode()


def test_a_container_that_fails_is_text() -> None:
    """A mapping whose items() raises still says what it is."""
    assert plain({"ok": 1, "bad": Ghost(a=1)}) == {"ok": 1, "bad": "{'a': 1}"}


def test_a_mock_is_text() -> None:
    """An object that claims every attribute is neither a model nor a mapping."""
    assert "MagicMock" in plain(MagicMock(name="client"))


def test_long_bytes_are_cut_and_say_so() -> None:
    """An image is not written into the log."""
    made = plain(b"x" * 5000)
    assert len(made) < 1100
    assert made.endswith("… (5000 bytes)")


def test_a_number_too_long_for_decimal_digits_is_hexadecimal() -> None:
    """Python refuses to write such a number in decimal."""
    assert plain(10 ** (sys.get_int_max_str_digits() + 1)).startswith("0x")


def test_text_of_a_text_subclass_is_plain_text() -> None:
    """What comes out is a str and nothing but: its methods are not the user's."""
    assert type(text_of(Text("text"))) is str
    assert type(plain({Text("key"): Text("value")}).popitem()[1]) is str


def test_a_model_whose_dump_fails_is_text() -> None:
    """A provider's object that cannot be dumped still says what it is."""

    class Broken(Model):
        def model_dump(self, **kwargs: Any) -> Any:
            raise RuntimeError("no dump")

    assert plain(Broken(name="x")) == "name='x' inner={}"


def test_shared_parts_do_not_multiply_without_end() -> None:
    """A structure that holds the same part twice on each of its levels has a bounded plain form."""
    value: list[object] = []
    for _ in range(60):
        value = [value, value]
    assert "<too large>" in str(plain({"value": value, "odd": object}))
