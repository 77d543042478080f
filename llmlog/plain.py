"""Any object at all as plain data: dicts with text keys, lists, text, numbers, booleans and None.

One home for it, because redaction has to see exactly what the formatter will write.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import math
import traceback
from collections import deque
from collections.abc import Mapping, Set, ValuesView
from typing import Any

__all__ = ["endless", "plain", "text_of", "type_name"]

_MAX_DEPTH = 24
_MAX_CONTAINERS = 50_000  # in one value: parts that are shared again and again multiply without end
_MAX_BYTES = 1024
_SCALARS = frozenset({str, int, float, bool, type(None)})
_MIN_INT, _MAX_INT = -(2**63), 2**64 - 1  # what orjson writes as a number
_class_name = type.__dict__["__name__"].__get__  # the real one, whatever a metaclass makes of it


def type_name(kind: type) -> str:
    """An exception's type as records name it: `module.Name`, without the module where it is built in."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def text_of(value: object) -> str:
    """`str(value)`, or what can be said of it where that fails. Never raises, and is always valid Unicode."""
    try:
        text = str(value)
    except Exception:
        try:
            text = repr(value)
        except Exception:
            text = f"<unprintable {_class_name(type(value))} object>"
    text = str.__str__(text)  # a subclass's own methods are not to be trusted
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-8", "backslashreplace").decode()
    return text


def plain(value: Any) -> Any:
    """`value` as plain data, never raising: cycles, NaN, bytes and broken objects have a plain form too.

    NaN and the infinities become None, whole numbers beyond 64 bits text, sets lists, bytes text,
    objects their fields (dataclasses, pydantic models) or their text.
    """
    return _plain(value, _MAX_DEPTH, _Walk())


def endless(value: Any) -> bool:
    """Whether `value` holds more containers than can be written: itself, or shared parts that multiply."""
    found, level = 0, [value]
    while level:
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if issubclass(kind, dict):
                item = item.values()
            elif not issubclass(kind, (list, tuple)):
                continue
            found += 1
            if not _SCALARS.issuperset(map(type, item)):
                below += item
        if found > _MAX_CONTAINERS:
            return True
        level = below
    return False


class _Walk:
    """The containers that are open, by id, and how many more may be entered."""

    __slots__ = ("left", "open_ids")

    def __init__(self) -> None:
        self.open_ids: set[int] = set()
        self.left = _MAX_CONTAINERS


def _plain(value: Any, depth: int, walk: _Walk) -> Any:
    kind = type(value)
    if kind is str:
        return value if value.isascii() else text_of(value)
    if kind is bool or value is None:
        return value
    if kind is int:
        return value if _MIN_INT <= value <= _MAX_INT else _long_int(value)
    if kind is float:
        return value if math.isfinite(value) else None
    try:
        return _plain_object(value, depth, walk)
    except Exception:
        return text_of(value)


def _plain_object(value: Any, depth: int, walk: _Walk) -> Any:
    if id(value) in walk.open_ids:
        return "<cycle>"
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if (
        isinstance(value, (Mapping, list, tuple, Set, ValuesView, deque))
        or dataclasses.is_dataclass(value)
        or _is_model(value)
    ):
        if depth <= 0:
            return "<nested too deeply>"
        walk.left -= 1
        if walk.left < 0:
            return "<too large>"
        walk.open_ids.add(id(value))
        try:
            return _plain_container(value, depth - 1, walk)
        finally:
            walk.open_ids.discard(id(value))
    if isinstance(value, enum.Enum):
        return _plain(value.value, depth - 1, walk) if depth > 0 else text_of(value)
    if isinstance(value, str):
        return text_of(str.__str__(value))
    if isinstance(value, int):
        return _plain(int(value), depth, walk)
    if isinstance(value, (float, decimal.Decimal)):
        return _plain(float(value), depth, walk)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _bytes(bytes(value[: _MAX_BYTES + 1]), len(value))
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, BaseException):
        return text_of("".join(traceback.format_exception_only(value)).strip())
    return text_of(value)


def _plain_container(value: Any, depth: int, walk: _Walk) -> Any:
    if _is_model(value):
        value = value.model_dump()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name, None) for f in dataclasses.fields(value)}
    if not isinstance(value, Mapping):
        return [_plain(item, depth, walk) for item in list(value)]
    made: dict[str, Any] = {}
    for key, item in list(value.items()):
        name = key if type(key) is str and key.isascii() else _key(key)
        while name in made:  # two keys with one text, such as 1 and "1": keep both values
            name += "_"
        made[name] = _plain(item, depth, walk)
    return made


def _key(key: Any) -> str:
    if key is None or key is True or key is False:
        return {None: "null", True: "true", False: "false"}[key]
    return text_of(key.value) if isinstance(key, enum.Enum) else text_of(key)


def _is_model(value: Any) -> bool:
    """A pydantic model, told by its shape: importing pydantic for this would slow every start."""
    kind = type(value)
    return hasattr(kind, "model_dump") and hasattr(kind, "model_fields")


def _bytes(head: bytes, length: int) -> str:
    text = head[:_MAX_BYTES].decode("utf-8", "backslashreplace")
    return text if length <= _MAX_BYTES else f"{text}… ({length} bytes)"


def _long_int(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # beyond sys.get_int_max_str_digits()
        return hex(value)
