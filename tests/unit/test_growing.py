"""JSON that arrives value by value."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlog.answers import MAX_TEXT
from llmlog.growing import GrowingJSON


def grown(*values: tuple[str, Any]) -> GrowingJSON:
    made = GrowingJSON()
    for path, value in values:
        made.put(path, value)
    return made


def test_values_and_texts() -> None:
    """Each under its path, texts in pieces, lists in the order of their places."""
    made = grown(
        ("$.city", "Os"), ("$.city", "lo"), ("$.days", 3), ("$.tags[1]", "b"), ("$.tags[0]", "a"),
        ('$["odd.key"].x', None),
    )  # fmt: skip
    assert json.loads(str(made)) == {"city": "Oslo", "days": 3, "tags": ["a", "b"], "odd.key": {"x": None}}


def test_its_length_is_that_of_the_json() -> None:
    """In characters and in bytes."""
    made = grown(("$.x", "ü"))
    assert (str(made), len(made), made.nbytes) == ('{"x": "ü"}', 10, 11)


@pytest.mark.parametrize(
    "path", ["", "$", "x", "$.", "$..a", "$.a.b", "$[0]", "$.a[x]", "$.a[99999999999]", "$.b" * 60]
)
def test_a_path_that_leads_nowhere_is_let_go(path: str) -> None:
    """Nothing else is harmed by it."""
    assert str(grown(("$.a", "1"), (path, "2"))) in ('{"a": "1"}', "{}")


def test_it_is_bounded() -> None:
    """What comes after a million characters is let go, as it is of any text."""
    made = grown(("$.a", "x" * (MAX_TEXT - 20)), ("$.b", "y" * 100), ("$.c", 1))
    assert json.loads(str(made)).keys() == {"a"}


_KEYS = st.text("abcXYZ_-", min_size=1, max_size=4)
_LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8)


@given(st.dictionaries(_KEYS, _LEAVES | st.dictionaries(_KEYS, _LEAVES, min_size=1, max_size=3), max_size=4))
def test_what_was_taken_apart_is_whole_again(whole: dict[str, Any]) -> None:
    """Every value under its path, texts a character at a time."""
    made = GrowingJSON()
    for name, value in whole.items():
        inside = value.items() if isinstance(value, dict) else [("", value)]
        for key, leaf in inside:
            path = f"$.{name}.{key}" if key else f"$.{name}"
            for piece in [leaf[:1], *leaf[1:]] if isinstance(leaf, str) else [leaf]:
                made.put(path, piece)
    assert json.loads(str(made)) == whole
