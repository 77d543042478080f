"""Escapes: what a text says to those who read it, and where that is written."""

import pytest

from llmlog.redaction.escapes import blanked, unescaped


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a%40b", "a@b"),
        ("a%252540b", "a@b"),
        ("100%25", "100%"),
        ("a%C3%A9", None),
        (r"a\u0040b\x40c\nd\\\\u0040", "a@b@c\nd@"),
        ("&#64;&#x40;&commat;&amp;quot;&amp;&nbsp;", '@@@"& '),
        ("&#0;a", "\ufffda"),
        ("\u200ba\u200b\u200bb\u200b", "ab"),
        ("\x1b[31mred\x1b[0m", " red "),
        (r"\x1b[31mred\u001b[0m", " red "),
        ("x eyJlbWFpbCI6ICJhbm5AZXhhbXBsZS5vcmcifQ==", 'x {"email": "ann@example.org"}'),
        ("AeyJlbWFpbCI6ICJhbm5AZXhhbXBsZS5vcmcifQ==", None),
        ("eyJ8fHx8fHx8fHx8fHx8fHx8fHx8", "{" + chr(0x22) + "|" * 19),
        ("fish & chips, 50 %, C:/x, eyJ", None),
    ],
)
def test_what_is_said(text: str, said: str | None) -> None:
    """Each escape is read as what it stands for, one more layer of itself included."""
    read = unescaped(text)
    assert (read and read[0]) == said


def test_places_in_base64() -> None:
    """What is found in it is all of it."""
    said, written = unescaped("a%41 eyJlbWFpbCI6ICJhbm5AZXhhbXBsZS5vcmcifQ==b")  # type: ignore[misc]
    at = said.index("ann@")
    assert written(at, at + 3) == (5, 45)
    assert written(0, len(said)) == (0, 46)


@pytest.mark.parametrize("text", ["%41b%43", "x\u200b%41\u200b\u200bB%43\u200by", "&lt;a\\u0062&gt;", "\u200b"])
def test_places(text: str) -> None:
    """Every stretch of what is said is at its place in the text, from its first sign's escape to its last one's."""
    said, written = unescaped(text)  # type: ignore[misc]
    places = [written(at, at + 1) for at in range(len(said))]
    for at, (start, end) in enumerate(places):
        alone = unescaped(text[start:end])
        assert (alone[0] if alone else text[start:end]) == said[at]
        for last in range(at, len(said)):
            assert written(at, last + 1) == (start, places[last][1])


def test_blanks() -> None:
    """What sets a colour is blank, in its full length, and nothing else is."""
    assert blanked("\x1b[1;31mred\x1b[0m 100%25\\n") == "       red     100%25\\n"
