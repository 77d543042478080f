"""Dotted names beside each other."""

import pytest

from llmlog.formatters.names import Taken, above


def test_a_name_stands_in_every_object_above_it() -> None:
    """From the nearest to the root."""
    assert above("a.b.c") == ["a.b", "a"]
    assert above("a") == []


@pytest.mark.parametrize(
    ("name", "free"),
    [
        ("http.response.status_code", True),  # ours, and not there yet: the application's to give
        ("http.method", True),
        ("other", True),
        ("http", False),
        ("http.response", False),
        ("http.response.status_code.class", False),
        ("there", False),
        ("there.below", False),
    ],
)
def test_a_name_is_free_where_no_other_is_above_or_below(name: str, free: bool) -> None:
    """What is a value cannot be an object as well, in the vocabulary or in the line."""
    assert Taken(["http.response.status_code", "message"]).free(name, {"there": 1}) is free
