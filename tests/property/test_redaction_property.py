"""Whatever a record holds and wherever a secret is hidden in it, the secret does not get out."""

import copy
import json
import logging
import pickle
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlog.filters import RedactFilter
from llmlog.formatters import JSONFormatter
from llmlog.plain import plain
from llmlog.redaction import Redactor, gate
from llmlog.redaction.detectors import DETECTORS

REDACTOR = Redactor()
UNGATED = Redactor()
UNGATED._finder._gate = None
with pytest.MonkeyPatch.context() as without_engine:
    without_engine.setattr(gate, "re2", None)
    BY_WORDS = Redactor()
PIECES = (
    "1", "23", "4111", " ", "-", ".", ":", "::", "@", "example.org", "+49", "(0)", "DE89", "3704 0044 0532 0130 00",
    "phone ", "ssn", "536-90-4399", "born ", "1980-05-17", "password", "=", "key", ": ", '"', "token", "sk-",
    "q7Wz3Kp9Xb2Vn8Rt5Ym1Lc6", "Bearer ", "https://", "a:b", "00:1A:2B:", "3C:4D:5E", "cpf ", "390.533.447-05",
    "203.0.113.9", "2001:db8::1", "\u202f", "\uff11", "call me at ", "card ", "501800000009", "[", "{", "é", "\n",
    "curl -u ", "-----BEGIN RSA PRIVATE KEY-----",
)  # fmt: skip
RANDOM = "q7Wz3Kp9Xb2Vn8Rt5Ym1Lc6Hd4Gs0Jf"
SECRETS = (
    "ann.b+tag@mail.example.org",
    "4111 1111 1111 1111",
    "5555555555554444",
    "+49 30 1234567",
    "(415) 555-0132",
    "203.0.113.9",
    "2001:db8:85a3::8a2e:370:7334",
    f"sk-proj-{RANDOM}",
    f"ghp_{RANDOM}abcd",
)

# Around a secret stand blanks and what cannot be a part of it.
words = st.text("abc xyz äß😀\n.,;'\"{}[]<>", max_size=12)
planted = st.builds(lambda secret, left, right: (secret, f"{left} {secret} {right}"), st.sampled_from(SECRETS), words, words)  # fmt: skip # noqa: E501
floats = st.floats(-1e9, 1e9) | st.sampled_from([float("nan"), float("inf")])
leaves = st.one_of(st.none(), st.booleans(), st.integers(0, 9999), floats, words, st.binary(max_size=5))


@st.composite
def hidden(draw: st.DrawFn) -> tuple[str, Any]:
    """A secret, and a nested value that holds it at some place: as an item, a value, a key."""
    secret, text = draw(planted)
    value: Any = text
    for _ in range(draw(st.integers(0, 6))):
        others = draw(st.lists(leaves, max_size=3))
        shape = draw(st.sampled_from(["list", "tuple", "value", "key", "json", "set", "bytes", "error"]))
        if shape == "list":
            value = [*others, value]
        elif shape == "tuple":
            value = (value, *others)
        elif shape == "json":
            value = json.dumps({"a": value}, ensure_ascii=False) if isinstance(value, str) else {"a": value}
        elif shape == "set" and isinstance(value, str):
            value = {value, "other"}
        elif shape == "bytes" and isinstance(value, str):
            value = value.encode()
        elif shape == "error" and isinstance(value, str):
            value = ValueError(value)
        elif shape == "key" and isinstance(value, str):
            value = {value: others, "b": 1}
        else:
            value = {"a": others, "value": value}
    return secret, value


def snapshot(value: Any) -> str:
    return repr(value)


@given(hidden())
def test_a_value_does_not_give_a_secret_away(case: tuple[str, Any]) -> None:
    """No secret is left in the JSON of the result, and the value given is as it was."""
    secret, value = case
    before = snapshot(value)
    clean = REDACTOR.value(value)
    assert secret not in json.dumps(clean, ensure_ascii=False)
    assert secret not in str(clean)
    assert snapshot(value) == before
    assert REDACTOR.value(clean) == clean or clean != clean or "nan" in str(clean)


@given(st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3)))
def test_what_holds_nothing_stays(value: Any) -> None:
    """A value without personal data comes back as the same object."""
    assert REDACTOR.value(value) is value


@given(st.text() | st.text("a@.1 -+:/=()\"'<>key%4x\\\n"))
def test_any_text(text: str) -> None:
    """Any text can be redacted, the spans lie in it, and redacting twice changes nothing more."""
    for find in DETECTORS.values():
        for start, end, _ in find(text):
            assert 0 <= start < end <= len(text)
    clean = REDACTOR.text(text)
    assert (clean is text) == (clean == text)


@given(st.text() | st.text("a@.1 -+:/=()\"'<>key%4x\\n0E-") | st.lists(st.sampled_from(PIECES)).map("".join))
def test_the_gate_lets_nothing_by(text: str) -> None:
    """With google-re2, by words and without any gate the same is found: what it keeps from a detector is nothing."""
    assert REDACTOR.find(text) == UNGATED.find(text)
    assert BY_WORDS.find(text) == UNGATED.find(text)


def failure(text: str, way: str) -> Any:
    try:
        if way == "cause":
            raise ValueError("outer") from KeyError(text)
        if way == "group":
            raise ExceptionGroup("outer", [ValueError("one"), ExceptionGroup("deeper", [ValueError(text)])])
        error = ValueError("outer" if way == "note" else text)
        if way == "note":
            error.add_note(text)
        raise error
    except Exception:
        return sys.exc_info()


@pytest.mark.parametrize("copies", [True, False])
@given(
    case=hidden(), where=st.sampled_from(["arg", "msg", "extra", "name", "plain", "cause", "note", "group", "stack"])
)
def test_a_record_does_not_give_a_secret_away(copies: bool, case: tuple[str, Any], where: str) -> None:
    """Wherever a record holds a secret, no line and no pickle made of it does."""
    secret, value = case
    redact = RedactFilter()
    redact._copies = copies  # type: ignore[misc]
    record = logging.LogRecord("app", logging.INFO, "", 1, "hello", (), None)
    if where == "arg":
        record.msg, record.args = "%s and %s", (value, 1)
    elif where == "msg":
        record.msg = value
    elif where == "extra":
        record.__dict__["extra"] = value
    elif where == "name":
        record.__dict__[str(value)] = 1
    elif where == "stack":
        record.stack_info = str(value)
    else:
        record.exc_info = failure(str(value), where)
    before = snapshot(value)
    got = redact.filter(record)
    assert got
    clean = record if got is True else got
    assert secret not in JSONFormatter().format(clean).encode().decode("unicode_escape", "replace")
    assert secret not in logging.Formatter("%(message)s").format(copy.copy(clean))
    assert secret.encode() not in pickle.dumps(clean)
    assert snapshot(value) == before
    if copies and got is not True:
        assert secret in repr(vars(record)) or record.exc_info


class Nasty:
    """An object of which the chosen methods fail."""

    def __init__(self, fails: frozenset[str], text: str) -> None:
        object.__setattr__(self, "fails", fails)
        object.__setattr__(self, "text", text)

    def _do(self, what: str) -> str:
        if what in object.__getattribute__(self, "fails"):
            raise ValueError(object.__getattribute__(self, "text"))
        return str(object.__getattribute__(self, "text"))

    def __str__(self) -> str:
        return self._do("str")

    def __repr__(self) -> str:
        return self._do("repr")

    def __iter__(self) -> Any:
        return iter(self._do("iter"))

    def __getattr__(self, name: str) -> Any:
        return self._do("getattr")

    def __bool__(self) -> bool:
        return bool(self._do("bool"))

    def __len__(self) -> int:
        return len(self._do("len"))

    def __eq__(self, other: object) -> bool:
        return self._do("eq") == other

    def __hash__(self) -> int:
        return hash(self._do("hash"))


class NastyError(Exception):
    def __init__(self, fails: frozenset[str], text: str) -> None:
        super().__init__(text)
        self.nasty = Nasty(fails, text)

    def __str__(self) -> str:
        return str(self.nasty)


methods = st.frozensets(st.sampled_from(["str", "repr", "iter", "getattr", "bool", "len", "eq"]))


@given(methods, planted)
def test_nasty_objects(fails: frozenset[str], case: tuple[str, str]) -> None:
    """Objects with broken methods never make redaction raise, and show nothing that it has not seen."""
    secret, text = case
    nasty, error = Nasty(fails, text), NastyError(fails, text)
    for value in (nasty, [nasty], {"a": nasty}, {nasty: 1} if "hash" not in fails else nasty, error, {"e": error}):
        clean = REDACTOR.value(value)
        assert secret not in json.dumps(plain(clean), ensure_ascii=False)
    record = logging.LogRecord("app", logging.INFO, "", 1, "%s %s", (1, nasty), (NastyError, error, None))
    record.__dict__["extra"] = nasty
    got = RedactFilter().filter(record)
    assert got
    assert secret not in JSONFormatter().format(record if got is True else got)
