"""Canaries: made-up personal data and secrets, to be put into an application and then looked for in all it writes."""

from __future__ import annotations

import base64
import gzip
import html
import ipaddress
import json
import logging
import os
import pathlib
import random
import re
import string
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote

from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.plain import plain, text_of
from llmlog.testing.captured import Captured

__all__ = ["Canaries", "Found"]


class Found(NamedTuple):
    """A canary that got out: of which kind, written how, and where."""

    kind: str
    how: str
    place: str


class Canaries:
    """One of each kind of personal data and secrets, made up, with right check digits, and unlike any other test's.

        def test_nothing_gets_out(llm_canaries, caplog, capsys, tmp_path):
            answer(f"My name is Ann. {llm_canaries.text()}")
            llm_canaries.assert_absent(caplog, capsys.readouterr(), tmp_path / "app.log")

    The same `seed` makes the same ones; None: others each time. The fixture `llm_canaries` takes the test's name.
    Addresses and numbers are from ranges that are kept for examples or given to nobody, where there are such.
    """

    def __init__(self, seed: int | str | bytes | None = None) -> None:
        if seed is not None and not isinstance(seed, (int, str, bytes)):
            raise UsageTypeError(f"seed is a number, text or None, got {shown(seed)}")
        drawn = random.Random(seed)
        digits, letters = string.digits, string.ascii_letters + string.digits

        def draw(alphabet: str, length: int) -> str:
            return "".join(drawn.choices(alphabet, k=length))

        local = f"canary-{draw(string.ascii_lowercase + digits, 10)}"
        exchange = f"{drawn.randint(2, 9)}0{drawn.randint(1, 9)} 555 01{draw(digits, 2)}"
        key = f"7{draw(letters, 44)}4Q9"
        payload = _base64url(json.dumps({"sub": draw(letters, 20), "iat": 1_700_000_000}).encode())
        signature = _base64url(drawn.randbytes(32))
        self.email = f"{local}@example.com"
        self.card = _with_luhn(f"400000{draw(digits, 9)}")
        self.phone = f"+1 {exchange}"
        self.ip = f"198.{drawn.randint(18, 19)}.{drawn.randint(100, 254)}.{drawn.randint(100, 254)}"
        self.ipv6 = "2001:db8:{:x}:{:x}::{:x}".format(*(drawn.randint(4096, 65535) for _ in range(3)))
        self.iban = _with_mod_97("DE", f"{draw('123456789', 1)}{draw(digits, 17)}")
        self.ssn = f"{drawn.randint(734, 749)}-{drawn.randint(10, 99)}-{drawn.randint(1000, 9999)}"
        self.api_key = f"sk-{key}"
        self.password = f"q5{draw(letters, 16)}8Z"
        self.url = f"postgresql://app:{self.password}@db.example.com/app"
        self.jwt = f"{_JWT_HEADER}.{payload}.{signature}"
        self._spellings = {
            # Each as it may be written, and what of it is telling enough alone.
            "email": (self.email, local),
            "card": (self.card,),
            "phone": (self.phone, exchange),
            "ip": (self.ip,),
            "ipv6": (self.ipv6, ipaddress.ip_address(self.ipv6).exploded),
            "iban": (self.iban,),
            "ssn": (self.ssn,),
            "api_key": (self.api_key, key),
            "password": (self.password,),
            "jwt": (payload, signature),
        }

    def fields(self) -> dict[str, str]:
        """All of them by kind, as for `extra=`: `email`, `card`, ..., `url` with the password in it."""
        names = ("email", "card", "phone", "ip", "ipv6", "iban", "ssn", "api_key", "url", "jwt")
        return {name: getattr(self, name) for name in names}

    def text(self) -> str:
        """All of them in a few sentences, as a user might type them."""
        return (
            f"Write to {self.email} or call me at {self.phone}. I paid with the card {self.card}, from the account "
            f"(IBAN) {self.iban}; my SSN is {self.ssn}. I come from {self.ip} and from {self.ipv6}. Log in with "
            f"{self.api_key}, at {self.url}, or with Authorization: Bearer {self.jwt}"
        )

    def find(self, *places: Any) -> list[Found]:
        """Where any of them is, in whatever is given: see `assert_absent()`."""
        if not places:
            raise UsageValueError("find() looks into texts, files, records, got nothing to look into")
        found: dict[Found, None] = {}  # in order, each once
        for number, place in enumerate(places, 1):
            name = f"argument {number}" if len(places) > 1 else "the argument"
            for where, text in _texts(place, name, 8):
                found.update(dict.fromkeys(self._find(text, where)))
        return list(found)

    def assert_absent(self, *places: Any) -> None:
        """Assert that none of them is in any of these, however it is written.

        Texts and bytes, paths of files (gzip too) and folders, LogRecords with everything on them, `llm_calls`,
        `caplog`, what `capsys.readouterr()` returns, and lists and mappings of all these. In them: as it is, in other
        case, split by separators, escaped as by JSON or `repr()`, quoted as in URLs or HTML, in base64, in
        hexadecimal. AssertionError names kinds and places, and never a value; OSError for a file that is not there;
        UsageValueError where there is nothing to look into.
        """
        __tracebackhide__ = True
        found = self.find(*places)
        if found:
            lines = [f"  {kind}, {how}: {place}" for kind, how, place in found[:_SHOWN]]
            more = [f"  and {len(found) - _SHOWN:,} more"] if len(found) > _SHOWN else []
            raise AssertionError("\n".join(["canaries got out", *lines, *more]))

    def _find(self, text: str, where: str) -> Iterator[Found]:
        written = _Written(text)
        for kind, spellings in self._spellings.items():
            for how, test in _WAYS.items():
                if test(written, spellings):
                    line = next(
                        (n for n, line in enumerate(text.splitlines(), 1) if test(_Written(line), spellings)), 0
                    )
                    place = f"{where}, line {line}" if line and "\n" in text else where
                    yield Found(kind, how, self._without_values(place))
                    break

    def _without_values(self, place: str) -> str:
        """The name of a file, a key: what is found in these is not told either."""
        for kind, spellings in self._spellings.items():
            for spelling in spellings:
                place = _pattern(spelling).sub(f"<{kind}>", place)
        return place


_SHOWN = 20
_JWT_HEADER = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"


def _with_luhn(digits: str) -> str:
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[::-2])
    return f"{digits}{-(doubled + sum(map(int, digits[-2::-2]))) % 10}"


def _with_mod_97(country: str, account: str) -> str:
    number = int("".join(str(int(one, 36)) for one in f"{account}{country}00"))
    return f"{country}{98 - number % 97:02}{account}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# How a value may be written -------------------------------------------------------------------------

_OTHER = re.compile("[^0-9A-Za-z]+")
_ESCAPE = re.compile(
    r"\\+(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|x([0-9A-Fa-f]{2})|([0-7]{3})|([abfnrtv])|(?=[^0-9A-Za-z\\]))"
)
_ROUNDS = 3  # JSON in a URL in JSON


class _Written:
    """A text, and what it looks like to those who unescape it, join it, decode it; each made when it is asked for."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def unescaped(self) -> list[str]:
        """The text without escapes and quoting, and once more where those were escaped themselves."""
        made, text = [], self.text
        for _ in range(_ROUNDS):
            before, text = text, html.unescape(unquote(_ESCAPE.sub(_character, text)))
            if text == before:
                break
            made.append(text)
        return made

    @cached_property
    def squeezed(self) -> list[str]:
        """All of these, letters and digits only."""
        return [_squeezed(text) for text in (self.text, *self.unescaped)]

    @cached_property
    def base64(self) -> list[str]:
        """All of these, as base64 is compared: in one line, in its first alphabet."""
        return ["".join(text.split()).replace("-", "+").replace("_", "/") for text in (self.text, *self.unescaped)]


def _character(escape: re.Match[str]) -> str:
    code = escape[1] or escape[2] or escape[3]
    if code or escape[4]:
        number = int(code, 16) if code else int(escape[4], 8)
        return chr(number) if number <= sys.maxunicode else ""
    return " " if escape[5] else ""  # the character after it stands for itself


def _squeezed(text: str) -> str:
    return _OTHER.sub("", text).lower()


def _as_it_is(written: _Written, spellings: Iterable[str]) -> bool:
    return any(spelling in written.text and _pattern(spelling).search(written.text) for spelling in spellings)


def _split(written: _Written, spellings: Iterable[str]) -> bool:
    return any(
        _squeezed(spelling) in written.squeezed[0] and _pattern(spelling).search(written.text) for spelling in spellings
    )


def _escaped(written: _Written, spellings: Iterable[str]) -> bool:
    return any(
        _squeezed(spelling) in squeezed and _pattern(spelling).search(text)
        for spelling in spellings
        for text, squeezed in zip(written.unescaped, written.squeezed[1:], strict=True)
    )


def _in_base64(written: _Written, spellings: Iterable[str]) -> bool:
    return any(core in text for spelling in spellings for core in _base64_cores(spelling) for text in written.base64)


def _in_hexadecimal(written: _Written, spellings: Iterable[str]) -> bool:
    return any(
        form.encode().hex() in text
        for spelling in spellings
        for form in (spelling, spelling.lower(), spelling.upper())
        for text in written.squeezed
    )


_WAYS: dict[str, Callable[[_Written, Iterable[str]], object]] = {
    "as it is": _as_it_is,
    "split or in other case": _split,
    "escaped or quoted": _escaped,
    "in base64": _in_base64,
    "in hexadecimal": _in_hexadecimal,
}


@lru_cache(maxsize=256)
def _pattern(spelling: str) -> re.Pattern[str]:
    """The letters and digits of `spelling`, with anything else between them; of a short one nothing longer."""
    is_address = spelling.count(".") == 3 or ":" in spelling
    if is_address:  # its groups are what it is: 1.23 is not 12.3
        inside = "[^0-9A-Za-z]{1,3}".join(filter(None, _OTHER.split(spelling)))
    else:
        inside = "[^0-9A-Za-z]{0,24}".join(_squeezed(spelling))
    if is_address or len(_squeezed(spelling)) < 10:
        inside = f"(?<![0-9]){inside}(?![0-9])"
    return re.compile(inside, re.IGNORECASE)


@lru_cache(maxsize=256)
def _base64_cores(spelling: str) -> frozenset[str]:
    """What the base64 of every text with `spelling` in it has in it: it may begin at any of three places."""
    made = set()
    for form in (spelling, spelling.lower(), spelling.upper(), _OTHER.sub("", spelling)):
        for shift, mixed in ((0, 0), (1, 2), (2, 3)):  # the characters that the bytes before it have a part in
            whole = base64.b64encode(b"\0" * shift + form.encode()).decode()
            made.add(whole[mixed:] if whole[-1] != "=" else whole[mixed:].rstrip("=")[:-1])
    return frozenset(made)


# Where to look --------------------------------------------------------------------------------------


def _texts(place: Any, name: str, depth: int) -> Iterator[tuple[str, str]]:
    """The texts that `place` holds, each with a name for the place."""
    if isinstance(place, str):
        yield name, place
    elif isinstance(place, (bytes, bytearray, memoryview)):
        yield name, bytes(place).replace(b"\0", b"").decode("utf-8", "backslashreplace")  # UTF-16 too
    elif isinstance(place, os.PathLike):
        yield from _files(pathlib.Path(place))
    elif isinstance(place, logging.LogRecord):
        yield from _record(place, name)
    elif isinstance(place, BaseException):
        yield name, "".join(traceback.format_exception(place))
    elif isinstance(getattr(place, "records", None), list):  # `llm_calls`, `caplog`
        if isinstance(place, Captured):
            place.all()  # those that finalisers have put aside too
        yield from _texts(place.records, f"{name}.records", depth)
        yield from _texts(getattr(place, "text", ""), f"{name}.text", depth)
    elif callable(getattr(place, "getvalue", None)):
        yield from _texts(place.getvalue(), name, depth)
    elif depth and isinstance(place, Mapping):
        for key, value in list(place.items()):
            yield from _texts(key, f"a key of {name}", 0)
            yield from _texts(value, f"{name}[{text_of(repr(key))}]", depth - 1)
    elif depth and isinstance(place, (list, tuple, set, frozenset, deque)):
        fields = getattr(place, "_fields", None)  # what `capsys.readouterr()` returns: out, err
        for at, value in enumerate(list(place)):
            yield from _texts(value, f"{name}.{fields[at]}" if fields else f"{name}[{at}]", depth - 1)
    elif place is not None:
        for text in dict.fromkeys((text_of(place), _repr(place), json.dumps(plain(place), ensure_ascii=False))):
            yield name, text


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:
        return ""


def _files(path: pathlib.Path) -> Iterator[tuple[str, str]]:
    if path.is_dir():
        for below in sorted(path.rglob("*")):
            if below.is_file():
                yield f"the path {below}", str(below.relative_to(path))
                yield from _files(below)
    else:
        data = path.read_bytes()
        yield from _texts(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data, str(path), 0)


def _record(record: logging.LogRecord, name: str) -> Iterator[tuple[str, str]]:
    """The message and every attribute: any formatter may write any of them."""
    name = f"{name} ({record.name}, {record.levelname})"
    try:
        yield f"{name}, message", record.getMessage()
    except Exception:  # the arguments do not fit; they are looked at below
        pass
    for attribute, value in vars(record).items():
        yield f"an attribute of {name}", attribute
        if attribute == "exc_info" and isinstance(value, tuple):
            value = value[1]
        yield from _texts(value, f"{name}, {attribute}", 4)
