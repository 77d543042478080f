"""What is found in a text, by whom it is claimed, and what is left."""

from collections.abc import Iterable

import pytest

from llmlog.redaction.detectors import DETECTORS
from llmlog.redaction.finder import Finder
from llmlog.redaction.names import Names
from llmlog.redaction.places import OwnDetector, Place

RANDOM = "q7Wz3Kp9Xb2Vn8Rt5Ym1Lc6Hd4Gs0Jf"  # drawn once, belongs to nobody
KEYS = ("password", "ssn")


def finder(
    kinds: Iterable[str] = tuple(DETECTORS), own: dict[str, OwnDetector] | None = None, stays: Iterable[str] = ()
) -> Finder:
    return Finder(
        {kind: DETECTORS[kind] for kind in kinds}, own or {}, Names(KEYS), KEYS, frozenset(stays).__contains__
    )


def found(text: str, finds: Finder) -> list[tuple[str, str]]:
    return [(text[start:end], kind) for start, end, kind in finds.find(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("to ann@example.org from 203.0.113.9", [("ann@example.org", "email"), ("203.0.113.9", "ip")]),
        ("4111 1111 1111 1111, +49 30 12345678", [("4111 1111 1111 1111", "card"), ("+49 30 12345678", "phone")]),
        ("ssn 536-90-4399 of 2024-05-01", [("536-90-4399", "ssn")]),
        (f"token=ghp_{RANDOM} and", [(f"ghp_{RANDOM}", "api_key")]),
        ("password=4111111111111111", [("4111111111111111", "key")]),
        ("iban=DE89370400440532013000 ok", [("DE89370400440532013000", "iban")]),
        ("call 00:1A:2B:3C:4D:5E", [("00:1A:2B:3C:4D:5E", "mac")]),
        ("took 1234.5 ms", []),
    ],
)
def test_found_once(text: str, expected: list[tuple[str, str]]) -> None:
    """Each finding is of one kind, in order, whoever else would have claimed it or a piece of it."""
    assert found(text, finder()) == expected


def test_only_the_kinds_asked_for() -> None:
    """A detector that is not there leaves its findings; values of telling names go without any."""
    text = "ann@example.org 203.0.113.9 4111 1111 1111 1111 password=hunter2"
    assert found(text, finder(["ip"])) == [("203.0.113.9", "ip"), ("hunter2", "key")]
    assert found(text, finder([])) == [("hunter2", "key")]


def test_a_number_that_fails_its_form_may_be_another() -> None:
    """What has a card's form without its check digit is read again, beside its word, as what else it may be."""
    assert found("call me at 030 1234567", finder(["card", "phone"])) == [("030 1234567", "phone")]
    assert found("phone: 415-555-0132 x12", finder(["phone"])) == [("415-555-0132 x12", "phone")]
    assert found("4111 1111 1111 1112", finder(["card"])) == []


def test_a_number_inside_something_else_is_no_number() -> None:
    """A run of digits that begins inside a word counts from where it is free of it."""
    assert found("blk_-4111111111111111", finder(["card"])) == []
    assert found("x1 4111 1111 1111 1111", finder(["card"])) == [("4111 1111 1111 1111", "card")]


def test_detectors_of_ones_own() -> None:
    """A function of the user's may name kinds or none; what lies outside the text is not taken."""

    def find(text: str) -> list[tuple[int, int] | Place]:
        return [(0, 2), (3, 5, "other"), (-1, 3), (4, 99), (6, 6)]

    assert found("ab cd efg", finder([], {"mine": find})) == [("ab", "mine"), ("cd", "other")]
    assert found("ab cd efg", finder([]).beside({"beside": find})) == [("ab", "beside"), ("cd", "other")]
    assert found("ab cd efg", finder([])) == []


def test_what_stays() -> None:
    """What is allowed is left, though it was found."""
    text = "ann@example.org bob@example.org"
    assert found(text, finder(stays=["ann@example.org"])) == [("bob@example.org", "email")]


def test_a_name_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that comes again is not judged again; one too long to be kept is."""
    asked = []
    names = Names(KEYS)
    monkeypatch.setattr(names, "tell", lambda name: asked.append(name) or (name == "dbpassword", ""))
    finds = Finder({}, {}, names, KEYS, None)
    for _ in range(3):
        assert finds.find("db_password=hunter2 x") == [(12, 19, "key")]
    assert asked == ["dbpassword"]
    long = "x" * 40 + "password" + "y" * 20
    for _ in range(2):
        assert finds.find(f"{long}=hunter2") == []
    assert len(asked) == 3
