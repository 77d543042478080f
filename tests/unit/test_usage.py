"""The counts of tokens of one call."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import pytest

from llmlog.usage import Usage


def test_knows_nothing_by_default() -> None:
    """What is not known is None, and is no field of a record."""
    assert Usage().total_tokens is None
    assert Usage().as_fields() == {}


def test_total_is_input_and_output() -> None:
    """The total is known where both are; the cached and the reasoning tokens are parts of them."""
    usage = Usage(100, 20, 60, 10, 5)
    assert usage.total_tokens == 120
    assert Usage(input_tokens=100).total_tokens is None
    assert Usage(output_tokens=20).total_tokens is None


def test_zero_is_known() -> None:
    """None of a kind is a field with 0, other than not knowing."""
    assert Usage(0, 0, reasoning_tokens=0).as_fields() == {
        "input_tokens": 0,
        "output_tokens": 0,
        "reasoning_tokens": 0,
        "total_tokens": 0,
    }


def test_cannot_be_changed() -> None:
    """It is a value: frozen, equal by its counts, and picklable."""
    usage = Usage(1, 2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        usage.input_tokens = 5  # type: ignore[misc]
    assert usage == Usage(1, 2) == pickle.loads(pickle.dumps(usage))


@pytest.mark.parametrize(("wrong", "error"), [("x", TypeError), (1.5, TypeError), (True, TypeError), (-1, ValueError)])
def test_what_is_no_count(wrong: Any, error: type[Exception]) -> None:
    """A count is a whole number from 0, or None; the message shows what was given."""
    with pytest.raises(error, match=repr(wrong)):
        Usage(output_tokens=wrong)
