"""Where a value stands in a TOML or JSON file."""

from __future__ import annotations

import pytest

from llmlog.source_lines import line_of, twice

TOML = """\
a = 1

[b."c.d"]   # a comment
e = [{f = 1},
     {f = 2}, {f = 3},
]
g.h = 2
[[i]]
j = 1
[[i]]
j = 2
[i.k]
l = 3
"""
JSON = """\
{"a": 1,
 "b": {"c.d": {"e": [{"f": 1},
                     {"f": 2}, {"f": "}\\"]"}],
               "g": {"h": 2}}},
 "i": [{"j": 1},
       {"j": 2, "k":
        {"l": 3}}]}
"""
PLACES = {
    ("a",): (1, 1),
    ("b", "c.d"): (3, 2),
    ("b", "c.d", "e", 0, "f"): (4, 2),
    ("b", "c.d", "e", 2, "f"): (5, 3),
    ("b", "c.d", "g", "h"): (7, 4),
    ("b", "c.d", "not there"): (3, 2),
    ("i", 0, "j"): (9, 5),
    ("i", 1, "j"): (11, 6),
    ("i", 1, "k", "l"): (13, 7),
    ("not there",): (None, None),
}


@pytest.mark.parametrize("path", PLACES)
def test_lines(path: tuple[str | int, ...]) -> None:
    """Of each value, or of what is around it; the same with Windows' ends of lines."""
    toml, json = PLACES[path]
    for end in ("\n", "\r\n"):
        assert line_of(path, TOML.replace("\n", end), is_json=False) == toml
        assert line_of(path, JSON.replace("\n", end), is_json=True) == json


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"a": 1, "b": [{"a": 1}, {"a": 1}], "c": {"a": ["a", "a"]}}', None),
        ('{"a": 1, "b": {"a": 1, "\\u0061": 2}}', ("b", "a")),
        ('[{"a": 1}, {"a": {}, "a": {}}]', (1, "a")),
        ("[]", None),
        ("5", None),
    ],
)
def test_a_key_that_stands_twice(text: str, path: tuple[str | int, ...] | None) -> None:
    """In one object: the same key in several ones is none."""
    assert twice(text) == path
