"""Canaries: made-up personal data and secrets, and finding them however they are written."""

from __future__ import annotations

import base64
import gzip
import html
import io
import json
import logging
import logging.config
import os
import pathlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

import llmlog
from llmlog.exceptions import UsageTypeError, UsageValueError
from llmlog.testing import Canaries, Captured, Found

KINDS = ["email", "card", "phone", "ip", "ipv6", "iban", "ssn", "api_key", "password", "jwt"]


@pytest.fixture
def canaries() -> Canaries:
    return Canaries("a seed")


def value(canaries: Canaries, kind: str) -> str:
    made: str = getattr(canaries, kind)
    return made


def kinds(found: list[Found]) -> list[str]:
    return [one.kind for one in found]


# What they are --------------------------------------------------------------------------------------


def test_the_same_seed(canaries: Canaries) -> None:
    """It makes the same ones; another, or none, makes others."""
    again, other, none = Canaries("a seed"), Canaries("another"), Canaries()
    assert again.fields() == canaries.fields()
    assert not set(other.fields().values()) & set(canaries.fields().values())
    assert none.email != Canaries().email
    with pytest.raises(UsageTypeError, match=r"1\.5"):
        Canaries(1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(50))
def test_valid(seed: int) -> None:
    """Whatever is drawn, the check digits are right, and the shapes too: a detector has no excuse."""
    made = Canaries(seed)
    digits = [int(one) for one in made.card[::-1]]
    assert (len(digits), (sum(digits[::2]) + sum(sum(divmod(2 * one, 10)) for one in digits[1::2])) % 10) == (16, 0)
    assert int("".join(str(int(one, 36)) for one in made.iban[4:] + made.iban[:4])) % 97 == 1
    header, payload, _ = (one + "=" * (-len(one) % 4) for one in made.jwt.split("."))
    assert json.loads(base64.urlsafe_b64decode(header)) == {"alg": "HS256", "typ": "JWT"}
    assert json.loads(base64.urlsafe_b64decode(payload))["iat"] == 1_700_000_000
    assert len(made.iban) == 22
    assert set(made.fields()) == {"url" if kind == "password" else kind for kind in KINDS}
    assert all(one in made.text() for one in made.fields().values())
    assert kinds(made.find(made.text())) == KINDS


def test_the_fixture(llm_canaries: Canaries, request: pytest.FixtureRequest) -> None:
    """They are those of the test's name."""
    assert llm_canaries.fields() == Canaries(request.node.nodeid).fields()


# How they may be written ----------------------------------------------------------------------------

WRITTEN: dict[str, tuple[str, Callable[[str], str]]] = {
    "plain": ("as it is", str),
    "upper": ("split or in other case", lambda text: text.swapcase().upper() + "\n"),
    "hyphens": ("split or in other case", lambda text: "-".join(text)),
    "wrapped": ("split or in other case", lambda text: f"'{text[:6]}'\n    '{text[6:]}'"),
    "json": ("escaped or quoted", lambda text: json.dumps("".join(f"\\u{ord(one):04x}" for one in text))),
    "percent": ("escaped or quoted", lambda text: "".join(f"%{ord(one):02X}" for one in text)),
    "twice": ("escaped or quoted", lambda text: quote("".join(f"%{ord(one):02X}" for one in text))),
    "repr": ("escaped or quoted", lambda text: "".join(f"\\x{ord(one):02x}" for one in text)),
    "html": ("escaped or quoted", lambda text: "".join(f"&#{ord(one)};" for one in text)),
    "base64": ("in base64", lambda text: base64.b64encode(text.encode()).decode()),
    "base64 + 1": ("in base64", lambda text: base64.b64encode(f"a{text} and more".encode()).decode()),
    "base64 + 2": ("in base64", lambda text: base64.urlsafe_b64encode(f">?{text}".encode()).decode()),
    "base64 in lines": ("in base64", lambda text: base64.encodebytes(f"{'x' * 50}{text} more".encode()).decode()),
    "base64 in a URL": ("in base64", lambda text: quote(base64.b64encode(f"{text}???>>>".encode()).decode(), safe="")),
    "hexadecimal": ("in hexadecimal", lambda text: text.encode().hex()),
    "a dump": ("in hexadecimal", lambda text: text.encode().hex(" ").upper()),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("written", WRITTEN)
def test_however_it_is_written(canaries: Canaries, kind: str, written: str) -> None:
    """It is found, and nothing else is; the error says kind, way and place, and never the value."""
    how, write = WRITTEN[written]
    text = f"first line\nsent {write(value(canaries, kind))!s} on"
    if kind in ("ip", "ipv6") and written in ("hyphens", "wrapped"):
        return  # digits with something between each of them are no address any more
    found = canaries.find(text)
    assert kinds(found) == [kind]
    assert found[0].how in (how, "as it is", "split or in other case")
    assert found[0].place.startswith("the argument")
    with pytest.raises(AssertionError) as raised:
        canaries.assert_absent(text)
    message = str(raised.value)
    assert message.startswith(f"canaries got out\n  {kind}, {found[0].how}: the argument")
    assert canaries.find(message) == []


@pytest.mark.parametrize("quoting", [json.dumps, repr, quote, quote_plus, html.escape, ascii])
def test_usual_quoting(canaries: Canaries, quoting: Callable[[str], str]) -> None:
    """All of them at once, through what programs use, twice."""
    assert kinds(canaries.find(quoting(canaries.text()))) == KINDS
    assert kinds(canaries.find(json.dumps({"body": quoting(canaries.text())}))) == KINDS


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("card", "{0} {1} {2} {3}"),
        ("card", "{0}-{1}-{2}-{3}"),
        ("card", '["{0}", "{1}", "{2}", "{3}"]'),
    ],
)
def test_numbers_in_groups(canaries: Canaries, kind: str, text: str) -> None:
    """As they are printed."""
    number = value(canaries, kind)
    assert kinds(canaries.find(text.format(*(number[at : at + 4] for at in range(0, 16, 4))))) == [kind]


def test_what_is_telling_alone(canaries: Canaries) -> None:
    """The name in an address, a number without its country, a key without its prefix, a part of a token."""
    assert kinds(canaries.find(canaries.email.partition("@")[0])) == ["email"]
    digits = canaries.phone.replace(" ", "").removeprefix("+1")
    for phone in (digits, f"001{digits}", f"({digits[:3]}) {digits[3:6]}.{digits[6:]}"):
        assert kinds(canaries.find(phone)) == ["phone"]
    assert kinds(canaries.find(canaries.api_key.removeprefix("sk-"))) == ["api_key"]
    assert kinds(canaries.find(canaries.jwt.split(".")[1])) == ["jwt"]
    assert kinds(canaries.find(f"ip-{canaries.ip.replace('.', '-')}.internal")) == ["ip"]
    assert kinds(canaries.find(canaries.ipv6.upper())) == ["ipv6"]


def test_what_is_none(canaries: Canaries) -> None:
    """Other values of the same kinds, what redaction leaves, and numbers that only contain one."""
    canaries.assert_absent(Canaries("another").text(), "2024-05-01T12:00:00.123Z ann@example.com 10.0.0.1", "")
    canaries.assert_absent(f"<EMAIL> ends in {canaries.card[-4:]}, header {canaries.jwt.partition('.')[0]}")
    canaries.assert_absent(f"1{canaries.ip}", f"{canaries.ip}1", f"9{canaries.ssn}", canaries.ip.replace(".", ""))
    canaries.assert_absent(list(range(1000)), {"n": 1.5, "none": None, "bytes": bytes(range(256))})


# Where they may be ----------------------------------------------------------------------------------


def test_files_and_folders(canaries: Canaries, tmp_path: pathlib.Path) -> None:
    """Read whole, unpacked, and their names too; the place has the line."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "app.log").write_text(f"one\ntwo\n{canaries.email}\n")
    (tmp_path / "logs" / "app.log.gz").write_bytes(gzip.compress(f"one\n{canaries.card}".encode()))
    (tmp_path / "logs" / "wide.log").write_bytes(canaries.iban.encode("utf-16"))
    (tmp_path / "logs" / f"{canaries.ssn}.txt").touch()
    found = {(one.kind, one.place.replace(str(tmp_path), ".").replace(os.sep, "/")) for one in canaries.find(tmp_path)}
    assert found == {
        ("email", "./logs/app.log, line 3"),
        ("card", "./logs/app.log.gz, line 2"),
        ("iban", "./logs/wide.log"),
        ("ssn", "the path ./logs/<ssn>.txt"),
    }
    assert kinds(canaries.find(tmp_path / "logs" / "app.log")) == ["email"]
    with pytest.raises(FileNotFoundError):
        canaries.assert_absent(tmp_path / "missing.log")


def test_nothing_to_look_into(canaries: Canaries) -> None:
    """A test that looks nowhere would always pass: UsageValueError."""
    with pytest.raises(UsageValueError, match="nothing"):
        canaries.assert_absent()


@dataclass
class Order:
    mail: str


def _raised(canaries: Canaries) -> Any:
    try:
        try:
            raise KeyError(canaries.api_key)
        except KeyError as error:
            error.add_note(canaries.phone)
            raise ValueError("no") from error
    except ValueError:
        return sys.exc_info()


RECORDS: dict[str, Callable[[Canaries], tuple[str, dict[str, Any]]]] = {
    "message": lambda made: ("email", {"msg": f"to {made.email}"}),
    "arguments": lambda made: ("email", {"msg": "to %s", "args": (made.email,)}),
    "arguments that do not fit": lambda made: ("email", {"msg": "to %d %d", "args": (made.email,)}),
    "extra": lambda made: ("iban", {"account": made.iban}),
    "deep": lambda made: ("ssn", {"body": {"users": [{"ssn": made.ssn}]}}),
    "a key": lambda made: ("ssn", {"body": {made.ssn: 1}}),
    "an object": lambda made: ("email", {"order": Order(made.email)}),
    "a name": lambda made: ("email", {made.email: 1}),
    "an exception": lambda made: ("api_key", {"exc_info": _raised(made)}),
    "a note": lambda made: ("phone", {"exc_info": _raised(made)}),
    "its text": lambda made: ("jwt", {"exc_text": f"KeyError: {made.jwt}"}),
    "the stack": lambda made: ("password", {"stack_info": made.url}),
}


@pytest.mark.parametrize("part", RECORDS)
def test_a_record(canaries: Canaries, part: str) -> None:
    """Every part of it is looked at, and the place says which record it is."""
    kind, attributes = RECORDS[part](canaries)
    record = logging.makeLogRecord({"name": "app.orders", "levelname": "INFO", **attributes})
    found = [one for one in canaries.find([logging.makeLogRecord({}), record]) if one.kind == kind]
    assert found
    assert all("the argument[1] (app.orders, INFO)" in one.place for one in found)
    assert canaries.find(*(one.place for one in found)) == []


class _Broken:
    def __str__(self) -> str:
        raise ValueError("no")

    __repr__ = __str__


def test_whatever_is_given(canaries: Canaries) -> None:
    """Lists, mappings, bytes, buffers, exceptions, objects; those that go in circles, those that break."""
    circle: list[Any] = [canaries.email]
    circle.append(circle)
    for place in (
        circle, {canaries.email: 1}, {"a": [(canaries.email,)]}, canaries.email.encode(), io.StringIO(canaries.email),
        io.BytesIO(canaries.email.encode()), ValueError(canaries.email), Order(canaries.email), {canaries.email},
    ):  # fmt: skip
        assert set(kinds(canaries.find(place))) == {"email"}
    canaries.assert_absent(_Broken(), [_Broken()], None)
    assert canaries.find("fine", ["fine", canaries.card])[0].place == "argument 2[1]"


def test_pytests_own(
    canaries: Canaries, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], llm_calls: Captured
) -> None:
    """`caplog`, what `capsys` has read, and `llm_calls`."""
    logging.getLogger("app").warning("to %s", canaries.email)
    print(canaries.card)
    llmlog.event("llm.tool", account=canaries.iban)
    assert set(kinds(canaries.find(caplog))) >= {"email"}
    printed = canaries.find(capsys.readouterr())
    assert [(one.kind, one.place) for one in printed] == [("card", "the argument.out, line 1")]
    assert set(kinds(canaries.find(llm_calls))) == {"iban"}


def test_many(canaries: Canaries) -> None:
    """An error stays readable."""
    with pytest.raises(AssertionError) as raised:
        canaries.assert_absent([canaries.text()] * 10)
    assert len(str(raised.value).splitlines()) == 22
    assert str(raised.value).endswith("and 80 more")


# llmlog itself --------------------------------------------------------------------------------------


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


class _Looking(logging.Handler):
    """Looks at each record before any filter does."""

    def __init__(self, canaries: Canaries) -> None:
        super().__init__()
        self._canaries = canaries
        self.seen: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.update(kinds(self._canaries.find(record)))


@pytest.mark.usefixtures("logging_as_before")
def test_nothing_gets_out(llm_canaries: Canaries, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything, logged everywhere through what dict_config sets up: no canary is in the file or on the console."""
    text, fields = llm_canaries.text(), llm_canaries.fields()
    path = tmp_path / "app.log"
    llmlog.configure(capture=True)
    logging.config.dictConfig(llmlog.dict_config(file=path, console=True, service="shop"))
    logging.getLogger().handlers.insert(0, looking := _Looking(llm_canaries))
    logger = logging.getLogger("shop.orders")
    with llmlog.request(feature="search", note=text):
        llmlog.bind(customer={"about": text, **fields})
        logger.info(text)
        logger.info("%s and %r", text, {"all": [text]})
        logger.info("fields", extra={"order": {"customer": fields, "lines": [fields, (text,)]}, **fields})
        logger.info({"message": text, **fields})
        logger.info(json.dumps(fields), extra={"body": json.dumps({"user": fields})})
        try:
            raise ValueError(text) from KeyError(text)
        except ValueError as error:
            error.add_note(text)
            logger.exception("failed: %s", error, stack_info=True)
        llmlog.event("llm.feedback", comment=text, by=fields)
        stream = llmlog.stream(iter([text[at : at + 7] for at in range(0, len(text), 7)]), provider="text", input=text)
        assert "".join(stream) == text
    assert llmlog.flush()
    printed = capsys.readouterr()
    llm_canaries.assert_absent(path, printed)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 8
    assert lines[-1]["response"].startswith("Write to <EMAIL>")
    assert len(printed.err.splitlines()) >= 8
    assert looking.seen == set(KINDS)  # they were there
