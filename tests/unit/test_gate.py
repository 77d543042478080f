"""The first look at a text, with the engine."""

import re

import pytest

from llmlog.redaction import Redactor, gate
from llmlog.redaction.secrets import SHAPES

re2 = pytest.importorskip("re2")

RANDOM = "q7Wz3Kp9Xb2Vn8Rt5Ym1Lc6Hd4Gs0Jf"  # drawn once, belongs to nobody


@pytest.mark.parametrize(("literal", "shape"), SHAPES, ids=[literal for literal, _ in SHAPES])
def test_a_shape_is_looked_for_from_its_literal_on(literal: str, shape: str) -> None:
    """What the engine looks for begins with the literal, so that no run of letters before it is counted."""
    made = gate._plain(literal, shape)
    assert made.startswith(("(?:" + literal.replace(".", r"\."), "(?:" + re.escape(literal)))
    assert re2.compile(made)


def test_a_name_with_letters_of_all_scripts() -> None:
    """A name goes on over letters that the engine takes for none."""
    text = f"x tokenİkey=ab@{RANDOM} y"
    ungated = Redactor()
    ungated._finder._gate = None
    assert Redactor().find(text) == ungated.find(text) != []
