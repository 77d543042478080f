"""The numbers by which signs are known: those of patterns, of shapes and of stems follow on each other."""

import pytest

from llmlog.redaction import gate, signs
from llmlog.redaction.secrets import SHAPES

NAMED = [name for name in signs.__all__ if name.isupper() and not name.startswith("BY_")]


def test_each_sign_has_a_number_of_its_own() -> None:
    """Behind the named signs come the shapes', and behind those the stems'."""
    assert sorted(getattr(signs, name) for name in NAMED) == list(range(signs.BY_SHAPE))
    assert signs.BY_SHAPE + len(SHAPES) == signs.BY_STEM


@pytest.mark.skipif(gate.re2 is None, reason="google-re2 is not installed")
def test_the_engine_tells_by_these_numbers() -> None:
    """The engine counts its patterns as the signs are counted."""
    seen = gate.gate(["token", "secret"])
    assert set(seen("ann@example.org")) == {signs.MAIL}
    assert set(seen("a secret: x")) == {signs.BY_STEM + 1}
    shape = next(number for number, (literal, _) in enumerate(SHAPES) if literal == "AKIA")
    assert set(seen("x AKIAQWZKPXBVNRTYMLCH")) == {signs.BY_SHAPE + shape}
