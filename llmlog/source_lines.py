"""Where a value stands in a TOML or JSON file: neither of the parsers tells.

A text is read again for that, and only where something in it is wrong: it is one that its parser has taken.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

__all__ = ["Path", "line_of", "twice"]

Path = tuple[str | int, ...]
"""The keys and places that lead to a value."""


def line_of(path: Path, text: str, is_json: bool) -> int | None:
    """The line of a value, or of the nearest one around it that has a line; None: none has."""
    lines = dict(_json_lines(text) if is_json else _toml_lines(text))
    return next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), None)


def twice(text: str) -> Path | None:
    """The first key of a JSON text that stands twice in one object, which its parser takes without a word."""
    seen: set[Path] = set()
    for path, _ in _json_lines(text):
        if path in seen:
            return path
        seen.add(path)
    return None


def _toml_lines(text: str) -> Iterator[tuple[Path, int]]:
    header: Path = ()
    arrays: dict[Path, int] = {}
    array: Path = ()  # the one that an earlier line has opened
    items = 0
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        keys = _toml(line)
        if keys is None:
            found = _items(line) if array else None
            name, sign, rest = line.partition("=")
            if found is None and sign and (keys := _toml(f"{name}= 0")):
                for path in _paths(keys):
                    yield (*header, *path), number
                    array, items = (*header, *path), 0
                found = _items(rest.strip().removeprefix("["))
            for path in _paths(found):
                yield (*array, items + int(path[0]), *path[1:]), number
            items += len(found or ())
            continue
        if not line.startswith("["):
            for path in _paths(keys):
                yield (*header, *path), number
            continue
        header = ()
        *_, names = _paths(keys)
        for key in names:
            if key == 0:
                arrays[header] = arrays.get(header, -1) + 1
            elif header in arrays:
                header = (*header, arrays[header])
            header = (*header, arrays[header] if key == 0 else key)
        yield header, number


def _toml(line: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(line) or None
    except tomllib.TOMLDecodeError:
        return None


def _items(line: str) -> list[Any] | None:
    """What a line holds of an array that it is inside of; None: it is no such line."""
    found = _toml(f"x = [{line.removesuffix(']')}\n]")
    return None if found is None else found["x"]


def _paths(value: Any) -> Iterator[Path]:
    """The path of each value inside, the containers' own included."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (key,)
        for path in _paths(inner):
            yield (key, *path)


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[][{},:\n]', re.S)


def _json_lines(text: str) -> Iterator[tuple[Path, int]]:
    path: list[str | int] = []
    last = ""
    line = 1
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark == "\n":
            line += 1
            continue
        if mark in "{[":
            path.append(0 if mark == "[" else "")
        elif mark in "}]":
            path.pop()
        elif mark == "," and path and isinstance(path[-1], int):
            path[-1] += 1
        elif mark == ":" and path:
            path[-1] = json.loads(last)
        else:
            last = mark
            continue
        if mark in ":[,":
            yield tuple(path), line
