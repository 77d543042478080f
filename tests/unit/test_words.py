"""What a text's words tell of it, where there is no engine that looks for everything at once."""

import pytest

from llmlog.redaction.signs import BIRTH, BY_STEM, COLON, DOTTED_MAC, IBAN_WORD, ID_WORD, MAIL, SHAPE, USER
from llmlog.redaction.words import by_words

TOKEN = BY_STEM
OFTEN = {BIRTH, COLON, DOTTED_MAC, IBAN_WORD, ID_WORD, MAIL, SHAPE, TOKEN, USER}


@pytest.mark.parametrize(
    ("text", "signs"),
    [
        ("gpt-4o-mini completed in 1.2 s", set()),
        ("to ann@example.org", {MAIL}),
        ("from 2001:db8::1", {COLON}),
        ("MY_API_TOKEN: x", {TOKEN}),
        ("authorization Bearer x", {SHAPE}),
        ("D.O.B. 1980", {BIRTH, DOTTED_MAC}),
        ("at 001a.2b3c.4d5e", {DOTTED_MAC}),
        ("my IBAN is", {IBAN_WORD}),
        ("git://ann@example", {MAIL, USER}),
        ("née le 17 mai", {BIRTH}),
        ("his CPF is", {ID_WORD}),
        ("request_id=7", set()),
        ("id number 7", {ID_WORD}),
        (f"{'x' * 50}token{'y' * 50}=1", {TOKEN}),
        ("居民身份证", {ID_WORD}),
    ],
)
def test_signs(text: str, signs: set[int]) -> None:
    """A word tells alone, with those it stands among, or inside a longer one."""
    seen = by_words(["token"])
    assert set(seen(text)) & OFTEN == signs
    assert set(seen(text)) & OFTEN == signs, "the second time it is known"


def test_a_name_without_letters() -> None:
    """A name of digits is looked for in the text itself."""
    seen = by_words(["123"])
    assert TOKEN in seen("x123=1")
    assert TOKEN not in seen("x12=1")
