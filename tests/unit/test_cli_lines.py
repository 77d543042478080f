"""The lines of a log, redacted one after the other: objects, text, private keys, lines of any length."""

from __future__ import annotations

import io
import itertools
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from llmlog.cli import lines
from llmlog.redaction import WITHHELD, Redactor

REDACTOR = Redactor()
MAIL = "ann@example.com"
BODY = "MIIEpAIBAAKCAQEA0Z3VS5JJcds3xfnygWyF0Z3VS5JJcds3xfnygWyF0Z3VS5JJ"
BEGIN, END = "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----"


def redacted(data: bytes | str, redactor: Redactor = REDACTOR) -> tuple[bytes, list[tuple[int, str]]]:
    data = data.encode() if isinstance(data, str) else data
    made = list(lines.pieces(io.BytesIO(data), redactor))
    assert b"".join(piece.data for piece in made) == data
    assert all((piece.clean is piece.data) == (not piece.found) for piece in made)
    return b"".join(piece.clean for piece in made), [place for piece in made for place in piece.found]


class Generated(io.RawIOBase):
    """A file that nobody has to hold: it is made while it is read."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._rest or next(self._parts, b"")
        size = min(len(buffer), len(data))
        buffer[:size], self._rest = data[:size], data[size:]
        return size


def most_memory(parts: Iterator[bytes]) -> tuple[int, int]:
    """The bytes that went through, and the most that was held at a time."""
    source = io.BufferedReader(Generated(parts))
    next(lines.pieces(io.BytesIO(f"{MAIL}\n".encode()), REDACTOR))  # what is made once
    tracemalloc.start()
    try:
        total = sum(len(piece.data) for piece in lines.pieces(source, REDACTOR))
        return total, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# Lines of JSON --------------------------------------------------------------------------------------


def test_an_object() -> None:
    """What is found goes, at any depth, keys and the values of telling names too."""
    line = {
        "message": f"from {MAIL}",
        "user": {"mail": MAIL, "password": {"old": 1}},
        "list": [1, f"x {MAIL}", [MAIL]],
        "api_keys": ["a", "b"],
        MAIL: 1,
        "card": 4111111111111111,
    }
    clean, found = redacted(json.dumps(line) + "\n")
    assert json.loads(clean) == {
        "message": "from <EMAIL>",
        "user": {"mail": "<EMAIL>", "password": "<REDACTED>"},
        "list": [1, "x <EMAIL>", ["<EMAIL>"]],
        "api_keys": "<REDACTED>",
        "<EMAIL>": 1,
        "card": "<CARD>",
    }
    kinds = ["email", "email", "key", "email", "email", "key", "email", "card"]
    assert found == [(1, kind) for kind in kinds]


@pytest.mark.parametrize(
    ("line", "clean"),
    [
        ('{"a": 1.10, "m": "%s",  "b":1e5,"c" : 12345678901234567890123 }', None),
        ('\ufeff {"m": "%s", "n": NaN, "i": -Infinity, "t": true}', None),
        ('{"m": "%s", "u": "\\u00fc \\/ \\ud83d", "v": "ü"}\r', None),
        ('{"m": "ü %s \\ud83d"}', '{"m": "ü <EMAIL> \\ud83d"}'),
        ('{"m": "\\u00fc %s"}', '{"m": "\\u00fc <EMAIL>"}'),
        ('{"m": "%s", "m": "the last"}', None),
        ('{"m": "\\"%s\\"\\n"}', None),
        ('[{"m": "%s"}, [], {}]', None),
        ('{"m": "raw\ttab %s"}', '{"m": "raw\\ttab <EMAIL>"}'),
    ],
)
def test_all_else_stays(line: str, clean: str | None) -> None:
    """Numbers, blanks, escapes, the order of keys, keys that are there twice: as they stood."""
    expected = clean or line.replace("%s", "<EMAIL>")
    assert redacted(line.replace("%s", MAIL)) == (expected.encode(), [(1, "email")])


def test_bytes_that_are_not_utf8() -> None:
    """They stay what they are, in text and in an object's strings, beside what is redacted."""
    text = b"\xff\xfeann@example.com\xc3 \x80\n"
    line = b'{"a": "\xe4 ann@example.com", "b\xff": 1}\n'
    assert redacted(text + line)[0] == (text + line).replace(MAIL.encode(), b"<EMAIL>")
    clean = bytes(one for one in range(256) if not chr(one).isdigit()) * 3
    assert redacted(clean) == (clean, [])


def test_two_keys_that_become_one() -> None:
    """Both values stay."""
    clean, _ = redacted('{"ann@example.com": 1, "bob@example.com": 2, "<EMAIL>": 3, "x": {"eve@example.com": 4}}')
    assert json.loads(clean) == {"<EMAIL>": 1, "<EMAIL>_": 2, "<EMAIL>__": 3, "x": {"<EMAIL>": 4}}


def test_headers_in_a_list() -> None:
    """A name and its value, as headers are kept: the name says of the value that it goes, whatever it is."""
    line = '{"headers": [["Cookie", "sid"], ["x-api-key", {"a": [1]}], ["accept", "text"], ["cookie", 1, 2]]}\n'
    clean = (
        '{"headers": [["Cookie", "<REDACTED>"], ["x-api-key", "<REDACTED>"], ["accept", "text"], ["cookie", 1, 2]]}\n'
    )
    assert redacted(line) == (clean.encode(), [(1, "key"), (1, "key")])
    assert redacted('["password", "email"]\n')[1] == []  # a list of names


@pytest.mark.parametrize(
    ("line", "clean"),
    [
        (f'{{"to": "{MAIL}", "a": 1.10}}', '{"a": 1.10}'),
        (f'{{"a": 1.10 , "to" : "{MAIL}" }}', '{"a": 1.10  }'),
        (f'{{"a": 1, "to": "{MAIL}", "password": {{"x": [1]}}, "b": 2}}', '{"a": 1, "b": 2}'),
        (f'{{"to": "{MAIL}", "cc": ["{MAIL}", " {MAIL}"]}}', '{"cc": []}'),
        (f'{{"to": "{MAIL}"}}', "{}"),
        (f'["{MAIL}", 1, "{MAIL}", "{MAIL}", [["cookie", "s"]], "to {MAIL}"]', '[1, [["cookie"]], "to"]'),
        (f'{{"{MAIL}": "{MAIL}", "{MAIL}": 2}}', '{"<REDACTED>": 2}'),
        (f'{{"a": "{MAIL}", "a": 2}}', '{"a": 2}'),
        (f"{MAIL}", ""),
        (f"to {MAIL}", "to"),
    ],
)
def test_what_is_dropped(line: str, clean: str) -> None:
    """A field or an item of which nothing is left is gone, with its comma; a line of text stays, as a record does."""
    assert redacted(f"{line}\nnext\n", Redactor(replace="drop"))[0].decode() == f"{clean}\nnext\n"


def test_deep_objects() -> None:
    """Deeper than the redactor goes at once, what is clean stays, and what is not goes."""
    nested = '{"a":' * 60 + '"%s"' + "}" * 60
    assert redacted(nested.replace("%s", "fine")) == (nested.replace("%s", "fine").encode(), [])
    assert redacted(nested.replace("%s", MAIL))[0] == nested.replace("%s", "<EMAIL>").encode()
    hopeless = "[" * 100_000 + MAIL
    assert redacted(hopeless)[0] == hopeless.replace(MAIL, "<EMAIL>").encode()


@pytest.mark.parametrize(
    "line",
    ['{"m": "ann@example.com"', '{"m": "ann@example.com"} tail', "[worker] ann@example.com", "{ann@example.com}"],
)
def test_what_only_looks_like_json(line: str) -> None:
    """It is text."""
    assert redacted(line) == (line.replace(MAIL, "<EMAIL>").encode(), [(1, "email")])


def test_an_object_that_was_redacted_is_clean() -> None:
    """What stands in the place of a finding is none."""
    once, found = redacted(f'{{"password": "x", "api_key": [1], "m": "{MAIL} password=hunter2"}}\n{MAIL}\n')
    assert len(found) == 5
    assert redacted(once) == (once, [])


# Lines of text --------------------------------------------------------------------------------------


def test_text() -> None:
    """The place is the line; line ends of any kind and a last line without one stay."""
    clean, found = redacted(f"one\r\n\n{MAIL} {MAIL}\r\nfine\nfrom {MAIL}")
    assert clean == b"one\r\n\n<EMAIL> <EMAIL>\r\nfine\nfrom <EMAIL>"
    assert found == [(3, "email"), (3, "email"), (5, "email")]
    assert redacted("") == (b"", [])


def test_what_cannot_be_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line is withheld, its end stays, and the place says so."""
    redactor = Redactor()
    monkeypatch.setattr(redactor, "text", lambda text: WITHHELD if "fail" in text else text)
    monkeypatch.setattr(redactor, "field", lambda name, value, nothing="": WITHHELD if value == "fail" else value)
    monkeypatch.setattr(redactor, "value", lambda value: WITHHELD)
    clean, found = redacted('fail\nfine\n{"a": "fail", "b": 1}\n', redactor)
    assert clean.decode() == f'{WITHHELD}\nfine\n{{"a": "{WITHHELD}", "b": 1}}\n'
    assert found == [(1, "withheld"), (3, "withheld")]


# Private keys ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        [BEGIN, BODY, BODY, "MIIEpAI=", END],
        [BEGIN, "Proc-Type: 4,ENCRYPTED", "DEK-Info: AES-128-CBC,0123456789ABCDEF", "", BODY, "abc", END],
        ["-----BEGIN PGP PRIVATE KEY BLOCK-----", "", BODY, "=ab12", "-----END PGP PRIVATE KEY BLOCK-----"],
        [f'"{BEGIN}\\n"', f'"{BODY}\\n"', f'"{END}\\n"'],
        [BEGIN, BODY * 30, END],
    ],
)
@pytest.mark.parametrize("prefix", ["", "2024-05-01 12:00:0{} app[1]: ", "    "])
def test_a_key_over_lines(key: list[str], prefix: str) -> None:
    """It goes as a whole, with whatever a log puts in front of its lines; the lines around it stay."""
    text = "".join(f"{prefix.format(n)}{line}\n" for n, line in enumerate(["before", *key, "after it"]))
    clean, found = redacted(text)
    first, second, third = clean.decode().splitlines()
    assert (first, third) == (f"{prefix.format(0)}before", f"{prefix.format(len(key) + 1)}after it")
    assert second.startswith(prefix.format(1))
    assert "<API_KEY>" in second
    assert found == [(2, "api_key")]


def test_a_key_that_is_cut() -> None:
    """What is left of it goes, and the log's next lines stay."""
    after = f'INFO all is well again\n\n{{"a": 1}}\nfrom {MAIL}\n'
    for key in (f"{BEGIN}\n", f"{BEGIN}\n{BODY}\n", f"{BEGIN}\n{BODY}\n{BODY}\n"):
        assert redacted(f"bad key: {key}{after}") == (
            f"bad key: <API_KEY>\n{after.replace(MAIL, '<EMAIL>')}".encode(),
            [(1, "api_key"), (key.count("\n") + 4, "email")],
        )
    assert redacted(f"x\n{BEGIN}\n{BODY}")[0] == b"x\n<API_KEY>"


def test_an_object_after_a_key_that_is_cut() -> None:
    """The object is one."""
    assert redacted(f'{BEGIN}\n{BODY}\n{{"password": [1]}}\n')[0] == b'<API_KEY>\n{"password": "<REDACTED>"}\n'


def test_a_key_in_the_objects_of_a_container() -> None:
    """One line of it in each: all of them are found, and the objects that come after it are as they were."""
    texts = ["before", f"bad: {BEGIN}", BODY, BODY, "MIIEpAI=", END, "after", BODY, f"{BEGIN}\\n{BODY}\\n{END}", BODY]
    log = [f'{{"log":"{text}\\n",  "n": 1.0}}\n' for text in texts]
    clean, found = redacted("".join(log))
    gone = '{"log":"<API_KEY>\\n",  "n": 1.0}\n'
    first = '{"log":"bad: <API_KEY>",  "n": 1.0}\n'
    assert clean.decode() == "".join([log[0], first, gone * 3, *log[5:8], gone, log[9]])
    assert found == [(n, "api_key") for n in (2, 3, 4, 5, 9)]
    cut = f'{{"log":"{BEGIN}"}}\n{{"log":"all is well", "other": "{BODY}"}}\n{{"log":"{BODY}"}}\n'
    assert redacted(cut)[0].decode() == cut.replace(BEGIN, "<API_KEY>")
    for text in ('{"log": 1}\n', "[1]\n", "text\n"):
        assert redacted(f'{{"log":"{BEGIN}"}}\n{text}')[0].decode() == f'{{"log":"<API_KEY>"}}\n{text}'
    assert redacted("".join(log), Redactor(["email"])) == ("".join(log).encode(), [])


def test_two_keys() -> None:
    """One after the other, also where the second begins on the line on which the first ends."""
    clean, found = redacted(f"{BEGIN}\n{BODY}\n{END}\n{BEGIN}\n{BODY}\n{END}{BEGIN}\n{BODY}\n{END}\n")
    assert clean == b"<API_KEY>\n<API_KEY><API_KEY>\n"
    assert found == [(1, "api_key"), (4, "api_key"), (6, "api_key")]


def test_what_is_no_secret_stays() -> None:
    """A certificate is held and comes out as it was; so does a key whose kind is not looked for."""
    for text, redactor in (
        (f"-----BEGIN CERTIFICATE-----\n{BODY}\n-----END CERTIFICATE-----\n", REDACTOR),
        (f"{BEGIN}\n{BODY}\n{END}\n", Redactor(["email"])),
    ):
        assert redacted(text, redactor) == (text.encode(), [])


def test_a_key_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so much is held."""
    monkeypatch.setattr(lines, "_KEY", 1000)
    clean, _ = redacted(f"{BEGIN}\n" + f"{BODY}\n" * 100)
    assert clean.startswith(b"<API_KEY>\n")
    assert clean.count(b"\n") > 50


# Long lines -----------------------------------------------------------------------------------------


@pytest.fixture
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is a long line is made short."""
    monkeypatch.setattr(lines, "_PART", 1000)
    monkeypatch.setattr(lines, "_OBJECT", 5000)
    monkeypatch.setattr(lines, "_AHEAD", 200)


@pytest.mark.usefixtures("short_parts")
@pytest.mark.parametrize("end", [b"", b"\n", b"\nnext\n"])
@pytest.mark.parametrize("filler", [b"word, ", b"x", b"\xff", "ü".encode(), b"0f8fad5b "])
@pytest.mark.parametrize("length", [999, 1000, 1999, 2000, 2001, 7000])
def test_a_clean_long_line(filler: bytes, length: int, end: bytes) -> None:
    """It survives byte for byte, wherever it is cut."""
    data = (filler * length)[:length] + end
    assert redacted(data) == (data, [])


@pytest.mark.usefixtures("short_parts")
@pytest.mark.parametrize("blank", [" ", ",", "|"])
def test_a_long_line_with_findings(blank: str) -> None:
    """None is cut in two, wherever it stands; and a telling word near it still tells."""
    for at in range(1700, 2100, 7):
        data = f"{'x' * at}{blank}{MAIL}{blank}phone: 20 32 85 26{blank}{'y' * 3000}"
        clean, found = redacted(f"{data}\n{MAIL}")
        assert clean.decode() == data.replace(MAIL, "<EMAIL>").replace("20 32 85 26", "<PHONE>") + "\n<EMAIL>"
        assert found == [(1, "email"), (1, "phone"), (2, "email")]


@pytest.mark.usefixtures("short_parts")
def test_a_long_line_full_of_findings() -> None:
    """Where nothing lies between them, it is cut at one of them."""
    assert redacted(f"{MAIL} " * 1000) == (b"<EMAIL> " * 1000, [(1, "email")] * 1000)


@pytest.mark.usefixtures("short_parts")
def test_a_long_line_after_a_key_that_is_cut() -> None:
    """It comes after the key."""
    long = "a word, " * 500
    assert redacted(f"{BEGIN}\n{long}\n")[0].decode() == f"<API_KEY>\n{long}\n"


@pytest.mark.usefixtures("short_parts")
def test_long_objects() -> None:
    """One is an object as long as it may be held; beyond that it is text, and still nothing gets through."""
    for length in (900, 1000, 4900):
        line = json.dumps({"x": "y" * length, "password": {"a": "hunter2"}, "mail": MAIL})
        clean = json.dumps({"x": "y" * length, "password": "<REDACTED>", "mail": "<EMAIL>"})
        assert redacted(line) == (clean.encode(), [(1, "key"), (1, "email")])
        assert redacted(line + "\nfine\n")[0] == clean.encode() + b"\nfine\n"
    line = json.dumps({"x": "y" * 9000, "mail": MAIL})
    assert redacted(line + "\n")[0].decode() == line.replace(MAIL, "<EMAIL>") + "\n"


# Memory ---------------------------------------------------------------------------------------------


def test_many_lines_in_constant_memory() -> None:
    """Ten times the lines, and no more memory: what is read is not kept."""

    def log(count: int) -> Iterator[bytes]:
        kinds = [b'{"m": "ann@example.com", "n": 1}\n', b"a line of text, nothing in it\n", f"{BEGIN}\n".encode()]
        return itertools.islice(itertools.cycle(kinds), count)

    few, many = most_memory(log(1_000)), most_memory(log(10_000))
    assert many[0] > 9 * few[0]
    assert many[1] < few[1] + 50_000


@pytest.mark.usefixtures("short_parts")
def test_a_line_of_any_length_in_constant_memory() -> None:
    """The same for one line."""

    def log(count: int) -> Iterator[bytes]:
        return itertools.repeat(b"a word and another, ", count)

    few, many = most_memory(log(1_000)), most_memory(log(10_000))
    assert many[0] == 10 * few[0]
    assert many[1] < few[1] + 50_000
