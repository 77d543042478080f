"""What takes the place of what was found: words, last signs, pseudonyms, nothing; and what stays all the same."""

import logging.config
import re
from typing import Any

import pytest

from llmlog.exceptions import UsageTypeError, UsageValueError
from llmlog.redaction import Redactor, build

MAIL = "ann@example.org"
CARD = "4111 1111 1111 1111"
KEYS = {"k2": "a key of thirty-two bytes, or so.", "k1": b"an older key of as many bytes..."}


def shout(found: str) -> str:
    return found.upper()


def tickets(text: str) -> list[tuple[int, int]]:
    return [found.span() for found in re.finditer("T-[0-9]+", text)]


def people(text: str) -> list[tuple[int, int, str]]:
    return [(found.start(), found.end(), "person") for found in re.finditer("Ann|Bob", text)]


def test_the_last_four() -> None:
    """`partial` leaves the last four signs, and none of what is too short for that."""
    partial = Redactor(replace="partial")
    assert partial.text(f"{CARD} and {MAIL} password=short") == "****1111 and ****e.org password=<REDACTED>"
    assert partial.text(partial.text(f"card {CARD}, tel +49 30 1234567")) == "card ****1111, tel ****4567"


def test_a_way_for_each_kind() -> None:
    """Each kind has its way, `*` is for the others, and kinds without one have their word."""
    own = Redactor(replace={"card": "partial", "email": "drop"})
    assert own.text(f"[{MAIL}] {CARD} 203.0.113.9") == "[] ****1111 <IP>"
    assert Redactor(replace={"card": "mask", "*": "drop"}).text(f"[{MAIL}] {CARD}") == "[] <CARD>"
    assert Redactor(replace={"key": "drop"}).value({"password": "x", "a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"write to {MAIL} now", "write to now"),
        (f"write to {MAIL}", "write to"),
        (f"{MAIL} wrote", "wrote"),
        (f"to {MAIL} {MAIL} and {MAIL}, ok", "to and , ok"),
        (f"to={MAIL};", "to=;"),
        (f"two  blanks {MAIL}\nstay", "two  blanks \nstay"),
        (MAIL, ""),
    ],
)
def test_what_is_dropped_from_a_text(text: str, clean: str) -> None:
    """What is dropped takes with it the blank that would stand twice, and nothing else."""
    assert Redactor(replace="drop").text(text) == clean


def test_what_is_dropped_as_a_whole() -> None:
    """A field or an item of which nothing is left is gone; what stays stays, and no name takes a value along."""
    drop = Redactor(replace="drop")
    value = {
        "to": MAIL, "cc": [MAIL, f"{MAIL} too", 7], "n": {"card": CARD, "x": 1}, "pin": "", "password": "p", MAIL: 2,
        "number": 4111111111111111,
    }  # fmt: skip
    assert drop.value(value) == {"cc": ["too", 7], "n": {"x": 1}, "pin": "", "<REDACTED>": 2}
    assert drop.value([f" {MAIL} ", ValueError]) == ["builtins.ValueError"]
    assert drop.value(MAIL) == drop.field("to", MAIL) == drop.field("password", "x") == ""
    assert drop.field("to", MAIL, nothing=None) is drop.field("password", 7, nothing=None) is None
    assert Redactor(replace={"email": lambda found: ""}).value({"to": MAIL, "a": 1}) == {"a": 1}


def test_pseudonyms() -> None:
    """The same person is the same pseudonym however the name is written, another person another one."""
    own = Redactor(replace="hash", hash_keys=KEYS)
    first = own.text(MAIL)
    assert re.fullmatch("<EMAIL:k2:[a-p]{16}>", first)
    assert own.text("ANN@Example.org") == first != own.text("bob@example.org")
    assert own.text("4111111111111111") == own.text(CARD) == own.text("4111-1111-1111-1111")
    assert own.text("+49 30 1234567") == own.text("+49-30-1234567")
    for written in ("ann%40example.org", "ann&#64;example.org", r"ann\u0040example.org", "an\u200bn@example.org"):
        assert own.text(written) == first
    assert own.text("４１１１ １１１１ １１１１ １１１１") == own.text(CARD)
    assert own.text(first) is first


def test_rotation_of_keys() -> None:
    """The first key signs; what older ones have made is told by their ids, and can be made again."""
    old, new = Redactor(replace="hash", hash_keys={"k1": KEYS["k1"]}), Redactor(replace="hash", hash_keys=KEYS)
    assert new.pseudonyms("email", MAIL) == [new.text(MAIL), old.text(MAIL)]
    assert ":k1:" in old.text(MAIL)
    assert ":k2:" in new.text(MAIL)


def test_keys_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `hash_keys` the keys are those of the environment."""
    monkeypatch.setenv("LLMLOG_HASH_KEYS", "a1:sixteen bytes at least, b2:another sixteen bytes")
    assert Redactor(replace={"email": "hash"}).text(MAIL).startswith("<EMAIL:a1:")


def test_what_stays() -> None:
    """A text of the allow list stays, in capitals too, and so does what a pattern matches as a whole."""
    own = Redactor(allow=["Support@example.com", "127.0.0.1"], allow_patterns=[r".*@example\.net", re.compile("::1")])
    stays = "support@example.com 127.0.0.1 x@example.net ::1"
    assert own.text(stays) is stays
    assert own.text(f"{stays} {MAIL} 127.0.0.2") == f"{stays} <EMAIL> <IP>"
    assert own.value({"password": "127.0.0.1"}) == {"password": "<REDACTED>"}


def test_your_own_functions() -> None:
    """Functions find and replace, given as such or by their dotted paths, with kinds of their own where they say so."""
    own = Redactor(detectors={"ticket": tickets, "who": people}, replace={"email": shout, "ticket": "drop"})
    assert own.text(f"Ann T-12 {MAIL}") == "<PERSON> ANN@EXAMPLE.ORG"
    assert own.find("Ann T-12") == [(0, 3, "person"), (4, 8, "ticket")]
    assert Redactor(detectors={"bad": lambda text: [(0, 99), (-1, 2), (3, 3)]}).text("some text") == "some text"


def test_by_dict_config() -> None:
    """All of it is reached from a plain dictConfig."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {
                "redact": {
                    "()": "llmlog.filters.RedactFilter",
                    "kinds": ["email", "card"],
                    "detectors": {"ticket": f"{__name__}.tickets"},
                    "replace": {"email": f"{__name__}.shout", "card": "partial"},
                    "allow": [CARD],
                }
            },
            "handlers": {"null": {"class": "logging.NullHandler", "filters": ["redact"]}},
        }
    )


HASHED = {"replace": "hash"}


@pytest.mark.parametrize(
    ("options", "error", "named"),
    [
        ({"replace": "hide"}, UsageValueError, "'hide'"),
        ({"replace": {"mail": "mask"}}, UsageValueError, "'mail'"),
        ({"replace": {"email": 7}}, UsageTypeError, "7"),
        ({"replace": {"email": "no.such.thing"}}, UsageValueError, "'no.such.thing'"),
        (HASHED, UsageValueError, "LLMLOG_HASH_KEYS"),
        ({**HASHED, "hash_keys": {"k": "short"}}, UsageValueError, "5"),
        ({**HASHED, "hash_keys": {"k 1": "sixteen bytes at least"}}, UsageValueError, "'k 1'"),
        ({**HASHED, "hash_keys": {"k": 7}}, UsageTypeError, "int"),
        ({**HASHED, "hash_keys": "x"}, UsageTypeError, "str"),
        ({"detectors": {"a": 7}}, UsageTypeError, "7"),
        ({"detectors": {"a": "nowhere"}}, UsageValueError, "'nowhere'"),
        ({"detectors": {"a": "os.path.nothing"}}, UsageValueError, "'os.path.nothing'"),
        ({"detectors": {"a": "os.sep"}}, UsageValueError, "'os.sep'"),
        ({"detectors": [1]}, UsageTypeError, "[1]"),
        ({"allow": "x"}, UsageTypeError, "'x'"),
        ({"allow_patterns": ["("]}, UsageValueError, "'('"),
        ({"allow_patterns": "x"}, UsageTypeError, "'x'"),
        ({"replaces": "mask"}, UsageValueError, "'replaces'"),
    ],
)
def test_errors_of_use(
    options: dict[str, Any], error: type[Exception], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong option is refused where it is given, and named; a key never is."""
    monkeypatch.delenv("LLMLOG_HASH_KEYS", raising=False)
    with pytest.raises(error, match=re.escape(named)) as caught:
        build(options)
    assert "sixteen bytes" not in str(caught.value)


def test_a_broken_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys without ids are refused, and not shown."""
    monkeypatch.setenv("LLMLOG_HASH_KEYS", "just-a-key-without-any-id")
    with pytest.raises(UsageValueError, match="id:key") as caught:
        Redactor()
    assert "just-a" not in str(caught.value)


def test_a_function_that_fails(faults_expected: dict[str, int]) -> None:
    """Where one's own function fails the value is withheld."""

    def fail(found: str) -> str:
        raise ValueError(found)

    assert MAIL not in Redactor(replace={"email": fail}).text(MAIL)
    faults_expected["redacting"] = 1
