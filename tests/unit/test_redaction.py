"""Redacting texts and objects: what goes, what stays, and what happens where it fails."""

import copy
import dataclasses
import datetime
import decimal
import json
import re
import sys
import threading
import uuid
from collections import OrderedDict
from types import MappingProxyType
from typing import Any, NamedTuple

import pydantic
import pytest

import llmlog
from llmlog import redaction
from llmlog.exceptions import UsageTypeError, UsageValueError
from llmlog.redaction import WITHHELD, Redactor, build, configure, current, engine, redact

MAIL = "ann@example.org"
CARD = 4111111111111111
RANDOM = "q7Wz3Kp9Xb2Vn8Rt5Ym1Lc6Hd4Gs0Jf"
redactor = Redactor()


@dataclasses.dataclass
class Person:
    mail: str


class Model(pydantic.BaseModel):
    mail: str


class Shown:
    """An object that is what it shows."""

    def __init__(self, text: str = "", form: str = "") -> None:
        self.text, self.form = text, form

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.form


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration of this test is gone after it."""
    monkeypatch.setattr("llmlog.redaction.configured._configured", None)


def test_each_kind_has_its_word() -> None:
    """Each kind is replaced by its own word, and the text around stays."""
    text = f"{MAIL} paid {CARD} from 203.0.113.9, tel +49 30 1234567, key sk-{RANDOM}, password=x"
    assert redactor.text(text) == "<EMAIL> paid <CARD> from <IP>, tel <PHONE>, key <API_KEY>, password=<REDACTED>"


def test_twice_is_as_once() -> None:
    """Redacted text has nothing left to redact."""
    text = redactor.text(f'{{"password": "x", "to": "{MAIL}"}} token={RANDOM} Authorization: Bearer {RANDOM}')
    assert "<" in text
    assert redactor.text(text) is text


def test_clean_text_is_the_same_object() -> None:
    """Where nothing was found nothing is made."""
    text = "gpt-4o-mini completed in 1.2 s, 412 + 128 tokens, $0.000139"
    value = {"a": [1, 2.5, None, True, text], "b": (datetime.date(2024, 5, 1), uuid.UUID(int=7))}
    assert redactor.text(text) is text
    assert redactor.value(value) is value


def test_find() -> None:
    """The places that would be replaced, in order, each with its kind."""
    text = f"token=7 {MAIL} paid {CARD}, password=x"
    kinds = [(text[start:end], kind) for start, end, kind in redactor.find(text)]
    assert kinds == [(MAIL, "email"), (str(CARD), "card"), ("x", "key")]
    assert redactor.find("nothing here") == []
    assert Redactor(patterns={"Ticket": "T-[0-9]+"}).find("on T-12") == [(3, 7, "Ticket")]


def test_findings_that_overlap_become_one() -> None:
    """A place that two kinds claim is replaced once, by the word of the longer."""
    assert redactor.text("https://bob:s3cret@203.0.113.9/") == "https://<USERINFO>@<IP>/"
    assert redactor.text("token: ann1234567890x@example.org") == "token: <API_KEY>"
    assert Redactor(["card", "phone"]).text("card 4111-1111-1111-1111") == "card <CARD>"


@pytest.mark.parametrize(
    ("value", "clean"),
    [
        ([MAIL, 1], ["<EMAIL>", 1]),
        ((MAIL,), ["<EMAIL>"]),
        ({MAIL}, ["<EMAIL>"]),
        ({"a": {"b": [{"c": MAIL}]}}, {"a": {"b": [{"c": "<EMAIL>"}]}}),
        ({MAIL: 1}, {"<EMAIL>": 1}),
        ({MAIL: 1, "bob@example.org": 2}, {"<EMAIL>": 1, "<EMAIL>_": 2}),
        (MappingProxyType({"a": MAIL}), {"a": "<EMAIL>"}),
        (Person(MAIL), {"mail": "<EMAIL>"}),
        (Model(mail=MAIL), {"mail": "<EMAIL>"}),
        (b"to ann@example.org", "to <EMAIL>"),
        (CARD, "<CARD>"),
        ([float(CARD), decimal.Decimal(CARD)], ["<CARD>", "<CARD>"]),
        (ValueError(MAIL), "ValueError: <EMAIL>"),
        (Shown(MAIL), "<EMAIL>"),
        ('{"a": {"mail": "ann@example.org"}}', '{"a": {"mail": "<EMAIL>"}}'),
    ],
)
def test_values_at_any_depth(value: Any, clean: Any) -> None:
    """Containers, objects and numbers are redacted wherever the finding is."""
    assert redactor.value(value) == clean


def test_what_only_the_text_of_an_object_shows() -> None:
    """What `str()` or `repr()` shows of an object and its plain form does not is no way out."""
    for hidden in ([Shown("x", MAIL)], {"a": Shown("x", MAIL)}, [Shown(MAIL, "x")]):
        assert MAIL not in str(redactor.value(hidden))
        assert MAIL not in json.dumps(redactor.value(hidden), default=str)


@pytest.mark.parametrize(
    "key",
    ["password", "Password", "PASSWD", "db_password", "api_key", "X-API-Key", "apiKey", "openai_api_key", "secret",
     "client_secret", "authorization", "Proxy-Authorization", "cookie", "Set-Cookie", "cookies", "access_token",
     "refreshToken", "private_key", "ssn", "api_keys"],
)  # fmt: skip
def test_keys_whose_value_goes(key: str) -> None:
    """The value of a telling key goes, whatever it is, in every spelling of the key."""
    for value in ("x", 7, ["a", "b"], {"deep": 1}, True):
        assert redactor.value({"a": [{key: value}]}) == {"a": [{key: "<REDACTED>"}]}
        assert redactor.field(key, value) == "<REDACTED>"
    assert redactor.value({key: None}) == {key: None}


@pytest.mark.parametrize(
    "key", ["input_tokens", "total_tokens", "max_tokens", "tokens_per_second", "token", "key", "session", "classname"]
)
def test_keys_whose_value_stays(key: str) -> None:
    """Counts of tokens and names that only look similar keep their values."""
    value = {key: 123456789, "b": {key: "short"}}
    assert redactor.value(value) is value
    assert redactor.text(f"{key}=4096 {key}: 12") == f"{key}=4096 {key}: 12"


class Login(NamedTuple):
    mail: str
    password: str


@pytest.mark.parametrize(
    ("value", "clean"),
    [
        (Login(MAIL, "x1"), ["<EMAIL>", "<REDACTED>"]),
        ({"a": [Login("b", "x1")]}, {"a": [["b", "<REDACTED>"]]}),
        ([("Authorization", "x1"), ("Accept", "*/*")], [["Authorization", "<REDACTED>"], ["Accept", "*/*"]]),
        ([(b"x-api-key", b"x1")], [["x-api-key", "<REDACTED>"]]),
        ([{"name": "DB_PASSWORD", "value": "x1"}], [{"name": "DB_PASSWORD", "value": "<REDACTED>"}]),
        ({"key": "Cookie", "value": ["x1"]}, {"key": "Cookie", "value": "<REDACTED>"}),
        ({"Name": "mobile", "Value": "2032852612"}, {"Name": "mobile", "Value": "<PHONE>"}),
        (["psql", "--password", "x1", "--host", "db"], ["psql", "--password", "<REDACTED>", "--host", "db"]),
        ({"smtp_pass": "x1", "userPw": "x2", "pw": 3}, dict.fromkeys(["smtp_pass", "userPw", "pw"], "<REDACTED>")),
        ({"password_hash": "x1", "basic-auth": "x2"}, dict.fromkeys(["password_hash", "basic-auth"], "<REDACTED>")),
        ([["Set-Cookie", "x1"]], [["Set-Cookie", "<REDACTED>"]]),
        ({b"password": "x1"}, {"b'password'": "<REDACTED>"}),
        ({"db_pwd": "x1", "password2": "x2"}, {"db_pwd": "<REDACTED>", "password2": "<REDACTED>"}),
        ({"cvv": 123, "card": {"CVC": "x1"}}, {"cvv": "<REDACTED>", "card": {"CVC": "<REDACTED>"}}),
    ],
)
def test_a_name_that_is_no_key_of_a_dict(value: Any, clean: Any) -> None:
    """Named tuples, headers as pairs and names in bytes tell of their values as the keys of a dict do."""
    assert redactor.value(value) == clean


@pytest.mark.parametrize(
    "value",
    [
        {"name": "token", "value": 5},
        {"name": "size", "value": "12"},
        {"value": 1, "pass": 12, "bypass": True, "first_pass": 0.5, "compass": "n"},
        ["--password"],
        ["--verbose", "--password=", "--x"],
        [1, "--password", 2],
    ],
)
def test_names_that_tell_nothing(value: Any) -> None:
    """What only looks like a name and its value stays."""
    assert redactor.value(value) is value


def test_pairs_that_are_none() -> None:
    """Two texts side by side are a name and its value only where they may be headers."""
    for value in (["password", "login"], {"missing": ["api_key", "model"]}, (1, 2), [(1, "a")], Login("a", "")):
        assert redactor.value(value) is value


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("{'password': b'x1'}", "{'password': b'<REDACTED>'}"),
        ('Login(password=b"x1", a=1)', 'Login(password=b"<REDACTED>", a=1)'),
        ("Login(password=Secret('x1 y'))", "Login(password=Secret('<REDACTED>'))"),
        ("password=x1'", "password=<REDACTED>'"),
    ],
)
def test_how_python_shows_a_value(text: str, clean: str) -> None:
    """The text of bytes and of an object that holds a secret is read to its end."""
    assert redactor.text(text) == clean


def test_json_in_json_in_json() -> None:
    """Backslashes make no difference, however many times a text was put into another one."""
    text: Any = {"password": "hunter22", "to": MAIL}
    for _ in range(4):
        text = json.dumps({"a": text} if isinstance(text, dict) else text)
        assert "hunter22" not in redactor.text(text)
        assert MAIL not in redactor.text(text)


def test_a_name_tells_of_its_value() -> None:
    """Beside `phone`, `card` or `token` a form that is only likely is enough."""
    value = {"phone": "9493 7477", "home_phone": 4930123456, "card_number": "501800000009", "auth": {"x_token": RANDOM}}
    clean = {"phone": "<PHONE>", "home_phone": "<PHONE>", "card_number": "<CARD>", "auth": {"x_token": "<API_KEY>"}}
    assert redactor.value(value) == clean
    birth = {"dob": "05/17/1980", "birthdate": datetime.date(1980, 5, 17), "iban": "gb82west12345698765432"}
    assert redactor.value(birth) == {"dob": "<BIRTH_DATE>", "birthdate": "<BIRTH_DATE>", "iban": "<IBAN>"}
    assert redactor.value({"rows": "9493 7477", "id": 4930123456}) == {"rows": "9493 7477", "id": 4930123456}


def test_numbers_that_are_ids_or_times() -> None:
    """Numbers that are no cards stay numbers."""
    value = [1700000000, 1700000000000, 1700000000000000000, 140123456789012, 0.1, 1e300, float("inf"), 10**30, -5]
    assert redactor.value(value) is value


def test_the_caller_s_objects_stay() -> None:
    """Redaction makes copies."""
    value = {"a": [MAIL, {"password": "x"}], "b": OrderedDict(c=MAIL), "p": Person(MAIL)}
    before = copy.deepcopy(value)
    assert MAIL not in str(redactor.value(value))
    assert value == before


def test_cycles_and_depth() -> None:
    """A cycle ends, and what lies too deep to be looked at does not get out."""
    cycle: list[Any] = [1]
    cycle.append(cycle)
    assert redactor.value(cycle) == [1, "<cycle>"]
    cycle.append(MAIL)
    assert redactor.value(cycle) == [1, "<cycle>", "<EMAIL>"]
    deep: Any = MAIL
    for _ in range(200):
        deep = [deep]
    assert MAIL not in str(redactor.value(deep))


def test_lone_surrogates() -> None:
    """Text that cannot be encoded is redacted like any other."""
    assert redactor.text(f"\ud800 {MAIL}") == "\ud800 <EMAIL>"
    assert "<EMAIL>" in redactor.value([f"\ud800 {MAIL}"])[0]


@pytest.mark.parametrize("text", ["AKIA" + "QWZKPXBVNRTYMLCH", "07911123456", f"hf_{RANDOM}", "SK" + "0af93b7c" * 4])
def test_one_word(text: str) -> None:
    """A finding that is the whole text, in one word, is found."""
    assert redactor.text(text) in ("<API_KEY>", "<PHONE>")


def test_long_texts() -> None:
    """A long text is redacted throughout."""
    text = f"some words and {MAIL}, " * 5000
    assert redactor.text(text) == "some words and <EMAIL>, " * 5000


def test_a_choice_of_kinds() -> None:
    """Only the kinds asked for are looked for; keys always are."""
    chosen = Redactor(["email"])
    assert chosen.value({"a": f"{MAIL} {CARD}", "password": 1}) == {"a": f"<EMAIL> {CARD}", "password": "<REDACTED>"}
    assert Redactor([]).text(f"{MAIL} password=x") == f"{MAIL} password=<REDACTED>"


def test_your_own_patterns_and_keys() -> None:
    """One's own patterns and keys come beside what is there."""
    own = Redactor(patterns={"ticket": r"T-\d+", "empty": re.compile("z*")}, keys=["Tenant-Id"])
    assert own.text(f"T-1 {MAIL} zz y") == "<TICKET> <EMAIL> <EMPTY> y"
    assert own.value({"tenant_id": 4, "password": 4}) == {"tenant_id": "<REDACTED>", "password": "<REDACTED>"}
    assert own.text("tenant_id=4") == "tenant_id=<REDACTED>"


@pytest.mark.parametrize(
    ("make", "error", "named"),
    [
        (lambda: Redactor(["mail"]), UsageValueError, "'mail'"),
        (lambda: Redactor("email"), UsageTypeError, "'email'"),
        (lambda: Redactor(7), UsageTypeError, "7"),  # type: ignore[arg-type]
        (lambda: Redactor([7]), UsageTypeError, "7"),  # type: ignore[list-item]
        (lambda: Redactor(keys="ssn"), UsageTypeError, "'ssn'"),
        (lambda: Redactor(keys=["-"]), UsageValueError, "'-'"),
        (lambda: Redactor(patterns=["x"]), UsageTypeError, "['x']"),  # type: ignore[arg-type]
        (lambda: Redactor(patterns={"a": "("}), UsageValueError, "'('"),
        (lambda: Redactor(patterns={"a": 7}), UsageTypeError, "7"),  # type: ignore[dict-item]
        (lambda: Redactor(patterns={"a": re.compile(b"x")}), UsageTypeError, "b'x'"),  # type: ignore[dict-item]
        (lambda: Redactor(patterns={"a b": "x"}), UsageValueError, "'a b'"),
        (lambda: build({"kind": ["email"]}), UsageValueError, "'kind'"),
        (lambda: build(7), UsageTypeError, "7"),
        (lambda: build("email"), UsageTypeError, "'email'"),
        (lambda: configure(None), UsageTypeError, "None"),  # type: ignore[arg-type]
    ],
)
def test_errors_of_use(make: Any, error: type[Exception], named: str) -> None:
    """A wrong argument is refused at the call, and named."""
    with pytest.raises(error, match=re.escape(named)):
        make()


def test_build() -> None:
    """A configuration is None, a bool, kinds, a mapping or a redactor."""
    assert build(redactor) is redactor
    for everything in (None, True):
        assert build(everything).text(f"{MAIL} {CARD}") == "<EMAIL> <CARD>"
    assert build(["card"]).text(f"{MAIL} {CARD}") == f"{MAIL} <CARD>"
    assert build({"kinds": ["card"], "patterns": {"t": "T1"}, "keys": ["k"]}).value({"k": 1, "a": "T1"}) == {
        "k": "<REDACTED>",
        "a": "<T>",
    }
    assert build(False).value({"password": MAIL}) == {"password": MAIL}


@pytest.mark.usefixtures("configured")
def test_the_configured_redactor() -> None:
    """`redact` uses what is configured at the moment, everything where nothing is."""
    assert redact({"a": MAIL}) == {"a": "<EMAIL>"}
    assert current() is current()
    configure(Redactor(["card"]))
    assert redact([MAIL, CARD]) == [MAIL, "<CARD>"]
    assert redaction.redact is llmlog.redact


class Unkind:
    """An object that nothing can be done with."""

    def __getattribute__(self, name: str) -> Any:
        raise ValueError("no")

    def __repr__(self) -> str:
        raise ValueError("no")


def test_nothing_raises(faults_expected: dict[str, int]) -> None:
    """An object that refuses everything is no fault, and a failure inside withholds the value and is counted."""
    assert "Unkind" in str(redactor.value({"a": Unkind(), "b": MAIL}))
    broken = Redactor(detectors={"x": lambda text: iter([1 / 0])})
    assert broken.text("x 1") == WITHHELD
    assert broken.value({"a": ["x 1"]}) == WITHHELD
    assert broken.field("a", "x 1") == WITHHELD
    faults_expected["redacting"] = 3


def test_a_full_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the stack nearly full a value comes back redacted or withheld; nothing is raised and nothing gets out."""
    monkeypatch.setattr(engine, "fault", lambda where, error: None)

    def down(left: int) -> set[str]:
        return {json.dumps(redactor.value({"a": {"b": MAIL}}))} if left == 0 else down(left - 1)

    outcomes: set[str] = set()
    frames = len(list(_frames()))
    for left in range(sys.getrecursionlimit() - frames - 80, sys.getrecursionlimit() - frames - 8):
        try:
            outcomes |= down(left)
        except RecursionError:  # the test itself no longer fits
            break
    assert outcomes <= {json.dumps({"a": {"b": "<EMAIL>"}}), json.dumps(WITHHELD)}


def _frames() -> Any:
    frame: Any = sys._getframe()
    while frame:
        yield frame
        frame = frame.f_back


def test_many_threads() -> None:
    """One redactor serves many threads."""
    shared = Redactor()
    wrong: list[Any] = []

    def work(number: int) -> None:
        made = [shared.value({f"key{number}{turn}": MAIL, "password": 1}) for turn in range(200)]
        wrong.extend(one for one in made if set(one.values()) != {"<EMAIL>", "<REDACTED>"})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("text", [" <API_KEY> [{", "<PASSWORD> {1", "<REDACTED> [[", "<API_KEY> <REDACTED>"])
def test_what_is_redacted_stays_as_it_is(text: str) -> None:
    """What stands for a secret is no tag whose content would be one."""
    assert redact(text) == text


def test_a_child_of_a_fork_has_an_engine_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent's may be locked for ever there, by a thread that was searching when it was forked."""
    pytest.importorskip("re2")
    from llmlog.redaction import gate

    redactor, made, compiled = Redactor(), [], gate._compiled
    monkeypatch.setattr(gate, "_compiled", lambda names: made.append(names) or compiled(names))
    assert redactor.text("write to ann@example.com") == "write to <EMAIL>"
    assert not made
    monkeypatch.setattr(gate, "_forks", gate._forks + 1)  # as after a fork
    for _ in range(2):
        assert redactor.text("write to ann@example.com") == "write to <EMAIL>"
    assert len(made) == 1
