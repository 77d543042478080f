"""RedactFilter: what a record bears after it, what stays as it was, in front of a queue and behind it."""

import copy
import dataclasses
import io
import json
import logging
import logging.config
import logging.handlers
import pickle
import queue
import re
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pydantic
import pytest
from pythonjsonlogger.json import JsonFormatter

from llmlog.exceptions import UsageValueError
from llmlog.filters import RedactFilter
from llmlog.formatters import ConsoleFormatter, JSONFormatter
from llmlog.redaction import WITHHELD, Redactor
from llmlog.redaction.analysers import presidio

MAIL = "ann@example.org"
FORMATTERS = [JSONFormatter(), JsonFormatter(), ConsoleFormatter(), logging.Formatter("%(message)s %(mail)s")]


class Copying(RedactFilter):
    _copies = True


class Editing(RedactFilter):
    _copies = False


@pytest.fixture(params=[Copying, Editing])
def kind(request: pytest.FixtureRequest) -> type[RedactFilter]:
    """Both ways of handing on, on every version of Python."""
    made: type[RedactFilter] = request.param
    return made


def record(msg: object = "hello", *args: object, **attributes: Any) -> logging.LogRecord:
    made = logging.LogRecord("app", logging.INFO, __file__, 1, msg, args, attributes.pop("exc_info", None))
    made.__dict__.update(attributes)
    return made


def passed(redact: RedactFilter, given: logging.LogRecord) -> logging.LogRecord:
    """What the next handler gets."""
    got = redact.filter(given)
    assert got
    return given if got is True else got


def raised(make: Callable[[], object]) -> Any:
    try:
        make()
    except Exception:
        return sys.exc_info()
    raise AssertionError


def test_message_and_arguments(kind: type[RedactFilter]) -> None:
    """The message is redacted as rendered, and no handler gets the arguments."""
    got = passed(kind(), record("user %s from %s, password=%s", MAIL, "203.0.113.9", "x1"))
    assert got.getMessage() == "user <EMAIL> from <IP>, password=<REDACTED>"
    assert got.args is None


def test_arguments_by_name(kind: type[RedactFilter]) -> None:
    """In a message that takes its arguments by their names, the names say what goes."""
    redact = kind()
    assert passed(redact, record("%(user)s: %(password)s", {"user": "ann", "password": "x1"})).getMessage() == (
        "ann: <REDACTED>"
    )
    made = passed(redact, record("%(password)d", {"password": 1234})).getMessage()
    assert "1234" not in made
    assert "<REDACTED>" in made
    assert passed(redact, record("%(n)05d %(a).1f", {"n": 7, "a": 1.25})).getMessage() == "00007 1.2"


def test_the_name_of_a_logger(kind: type[RedactFilter]) -> None:
    """A logger that is called after somebody is not named any more."""
    given = record()
    given.name = f"users.{MAIL}"
    assert MAIL not in passed(kind(), given).name


def test_arguments_go_even_where_nothing_was_found(kind: type[RedactFilter]) -> None:
    """What was looked at as rendered is handed on as rendered."""
    got = passed(kind(), record("%d of %s", 3, "five"))
    assert (got.msg, got.args) == ("3 of five", None)
    assert passed(kind(), record("%(n)s", {"n": MAIL})).getMessage() == "<EMAIL>"


def test_a_percent_sign_stays(kind: type[RedactFilter]) -> None:
    """A rendered message is not rendered again."""
    assert passed(kind(), record("%s is at 100%% %s", MAIL, "%s")).getMessage() == "<EMAIL> is at 100% %s"


@pytest.mark.parametrize("msg", ["%d %s %s", "%d", "no place", "%(name)s", "%"])
def test_arguments_that_do_not_fit(kind: type[RedactFilter], msg: str) -> None:
    """Where the message cannot be rendered, template and arguments are handed on redacted."""
    got = passed(kind(), record(f"to {MAIL} {msg}", MAIL))
    assert got.getMessage().startswith(f"to <EMAIL> {msg}")
    assert MAIL not in got.getMessage()


def test_extras(kind: type[RedactFilter]) -> None:
    """Extra fields are redacted at any depth, names included."""
    given = record(user={"mail": MAIL, "ids": [1, {MAIL}]}, password="x", phone="9493 7477", n=7, **{MAIL: "a"})
    got = vars(passed(kind(), given))
    assert got["user"] == {"mail": "<EMAIL>", "ids": [1, ["<EMAIL>"]]}
    assert (got["password"], got["phone"], got["n"]) == ("<REDACTED>", "<PHONE>", 7)
    assert got["<EMAIL>"] == "a"
    assert MAIL not in got


@dataclasses.dataclass
class Person:
    mail: str
    password: str = "x1"


class Model(pydantic.BaseModel):
    people: list[Person]


def test_objects_in_extras(kind: type[RedactFilter]) -> None:
    """Dataclasses, pydantic models and JSON in a text are redacted inside, by key too."""
    text = '{"user": {"password": ["a1", {"b1": "c1"}], "mail": "ann@example.org"}, "n": 1}'
    got = vars(passed(kind(), record(person=Person(MAIL), model=Model(people=[Person(MAIL)]), text=text)))
    assert got["person"] == {"mail": "<EMAIL>", "password": "<REDACTED>"}
    assert got["model"] == {"people": [{"mail": "<EMAIL>", "password": "<REDACTED>"}]}
    assert got["text"] == '{"user": {"password": <REDACTED>, "mail": "<EMAIL>"}, "n": 1}'


def test_names_of_threads_and_files(kind: type[RedactFilter]) -> None:
    """Names that the caller gives to threads, processes, tasks and files are looked at like everything else."""
    names = ("pathname", "filename", "module", "funcName", "threadName", "processName", "taskName")
    got = vars(passed(kind(), record(**dict.fromkeys(names, f"for {MAIL}"))))
    assert [got[name] for name in names] == ["for <EMAIL>"] * len(names)
    given = record(threadName="Thread-7 (work)", taskName="Task-12", pathname="/srv/app/views.py")
    assert {name: vars(passed(kind(), given))[name] for name in ("threadName", "taskName", "pathname")} == {
        "threadName": "Thread-7 (work)", "taskName": "Task-12", "pathname": "/srv/app/views.py"
    }  # fmt: skip


def people(text: str) -> list[tuple[int, int, str]]:
    return [(found.start(), found.end(), "person") for found in re.finditer("Ann|Bob", text)]


def test_an_analyser_behind_a_queue(kind: type[RedactFilter]) -> None:
    """What a language model finds goes where another thread handles the record, beside all else."""
    redact = kind(analyser=people, kinds=["email"])
    given = record(f"Ann is {MAIL}", who=["Bob"])
    got: list[logging.LogRecord] = []
    listener = threading.Thread(target=lambda: got.append(passed(redact, given)))
    listener.start()
    listener.join()
    assert got[0].getMessage() == "<PERSON> is <EMAIL>"
    assert vars(got[0])["who"] == ["<PERSON>"]


def test_an_analyser_never_keeps_the_caller(kind: type[RedactFilter], monkeypatch: pytest.MonkeyPatch) -> None:
    """In the thread that logged the record the analyser does not run, and that is said."""
    said: list[str] = []
    monkeypatch.setattr("llmlog.filters.notice", lambda key, text: said.append(text))
    got = passed(kind(analyser=f"{__name__}.people"), record(f"Ann is {MAIL}"))
    assert got.getMessage() == "Ann is <EMAIL>"
    assert "QueueListener" in said[0]


def test_presidio_as_an_analyser(kind: type[RedactFilter]) -> None:
    """Presidio's findings become spans with its entities for kinds."""

    class Engine:
        def analyze(self, text: str, **options: Any) -> list[Any]:
            assert options == {"entities": ["PERSON"], "language": "de", "score_threshold": 0.7}
            return [types.SimpleNamespace(start=0, end=3, entity_type="PERSON")]

    analyse = presidio(Engine(), entities=["PERSON"], language="de", score=0.7)
    assert list(analyse("Ann")) == [(0, 3, "person")]


def test_fields_that_are_dropped(kind: type[RedactFilter]) -> None:
    """A field of which redaction leaves nothing is gone from the record that goes on, and from no other."""
    given = record("hello", mail=MAIL, both=[MAIL, 1], password="x")
    made = passed(kind(replace="drop"), given)
    assert not {"mail", "password"} & vars(made).keys()
    assert vars(made)["both"] == [1]
    if kind is Copying:
        assert vars(given)["mail"] == MAIL
    assert passed(kind(replace="drop"), record(MAIL)).getMessage() == ""


def test_two_names_that_become_one(kind: type[RedactFilter]) -> None:
    """Fields whose names are redacted to the same word both stay."""
    got = vars(passed(kind(), record(**{MAIL: 1, "bob@example.org": 2})))
    assert (got["<EMAIL>"], got["<EMAIL>_"]) == (1, 2)


def test_a_mapping_for_a_message(kind: type[RedactFilter]) -> None:
    """A mapping as the message, as python-json-logger takes it, is redacted as a value."""
    got = passed(kind(), record({"message": f"to {MAIL}", "password": "x"}))
    assert got.msg == {"message": "to <EMAIL>", "password": "<REDACTED>"}
    assert MAIL not in "".join(formatter.format(got) for formatter in FORMATTERS[:3])


def test_an_object_for_a_message(kind: type[RedactFilter]) -> None:
    """Any other object as the message is redacted as text, and is text from there on."""
    assert passed(kind(), record(ValueError(MAIL))).getMessage() == "<EMAIL>"
    error = ValueError("x")
    assert passed(kind(), record(error)).msg == "x"


def failure(how: str) -> None:
    if how == "plain":
        raise ValueError(f"no such user: {MAIL}")
    if how == "cause":
        try:
            raise KeyError(MAIL)
        except KeyError as error:
            raise ValueError("no such user") from error
    if how == "context":
        try:
            raise KeyError(MAIL)
        except KeyError:
            raise ValueError("no such user")  # noqa: B904 # the context is what is under test
    if how == "note":
        error = ValueError("no such user")
        error.add_note(f"it was {MAIL}")
        raise error
    raise ExceptionGroup("several", [ValueError(MAIL), ExceptionGroup("deeper", [TypeError(f"{MAIL}!")])])


@pytest.mark.parametrize("how", ["plain", "cause", "context", "note", "group"])
def test_exceptions(kind: type[RedactFilter], how: str) -> None:
    """Tracebacks are redacted with causes, notes and groups, and no formatter gets the exception itself."""
    exc_info = raised(lambda: failure(how))
    given = record("failed", exc_info=exc_info, mail=None)
    got = passed(kind(), given)
    assert got.exc_info is None
    assert str(got.exc_text).startswith("  + Exception Group" if how == "group" else "Traceback")
    assert "<EMAIL>" in str(got.exc_text)
    assert vars(got)["error_type"] == type(exc_info[1]).__qualname__
    for formatter in FORMATTERS:
        assert MAIL not in formatter.format(got)
    line = json.loads(JSONFormatter().format(got))
    assert "<EMAIL>" in line["error_stack_trace"]
    assert line["error_message"] == str(exc_info[1]).replace(MAIL, "<EMAIL>")


def test_the_type_of_an_error(kind: type[RedactFilter]) -> None:
    """The type is named with its module, and what the application has set itself wins."""
    exc_info = raised(lambda: json.loads("{"))
    assert vars(passed(kind(), record(exc_info=exc_info)))["error_type"] == "json.decoder.JSONDecodeError"
    mine = vars(passed(kind(), record(exc_info=exc_info, error_type="Mine", error_message=f"at {MAIL}")))
    assert (mine["error_type"], mine["error_message"]) == ("Mine", "at <EMAIL>")


@pytest.mark.parametrize("exc_info", [(None, None, None), True, "text", ValueError(MAIL)])
def test_odd_exc_info(kind: type[RedactFilter], exc_info: Any) -> None:
    """Whatever stands in exc_info, the record passes and nothing raw is left there."""
    got = passed(kind(), record("x", exc_info=exc_info))
    assert got.exc_info is None
    assert MAIL not in JSONFormatter().format(got)


def test_text_that_is_there_already(kind: type[RedactFilter]) -> None:
    """A traceback that another formatter has made, the stack and a finished message are redacted."""
    got = passed(kind(), record("x", exc_text=f"boom {MAIL}", stack_info=f"stack {MAIL}", message=f"m {MAIL}"))
    assert (got.exc_text, got.stack_info) == ("boom <EMAIL>", "stack <EMAIL>")
    assert got.message == "m <EMAIL>"


class Unkind:
    """An object that nothing can be done with."""

    def __getattribute__(self, name: str) -> Any:
        raise ValueError(MAIL)

    def __repr__(self) -> str:
        raise ValueError(MAIL)


class UnkindError(Exception):
    def __str__(self) -> str:
        raise ValueError(MAIL)


def test_never_raises(kind: type[RedactFilter]) -> None:
    """Objects that refuse everything pass in some form."""
    exc_info = raised(lambda: (_ for _ in ()).throw(UnkindError()))
    given = record("%s %s", 1, Unkind(), unkind=Unkind(), deep=[{"x": Unkind()}], exc_info=exc_info)
    got = passed(kind(), given)
    assert MAIL not in JSONFormatter().format(got)


def test_a_failure_withholds(
    kind: type[RedactFilter], monkeypatch: pytest.MonkeyPatch, faults_expected: dict[str, int]
) -> None:
    """Where redaction fails the part is withheld, the rest passes, and the failure is counted."""
    redact = kind(detectors={"x": lambda text: iter([1 / 0] if "@" in text else [])})
    got = passed(redact, record("fine", a=MAIL, b=["fine"], c=[MAIL]))
    assert (got.msg, vars(got)["a"], vars(got)["b"], vars(got)["c"]) == ("fine", WITHHELD, ["fine"], WITHHELD)
    faults_expected["redacting"] = 2


def test_a_failure_of_everything_withholds_everything(
    kind: type[RedactFilter], monkeypatch: pytest.MonkeyPatch, faults_expected: dict[str, int]
) -> None:
    """Where even the filter itself fails, level and logger are what is left."""
    redact = kind(kinds=["email"])
    monkeypatch.setattr(redact, "_own", object())
    got = passed(redact, record(f"to {MAIL}", secret=MAIL, exc_info=raised(lambda: failure("plain"))))
    assert (got.msg, got.levelname, got.name) == (WITHHELD, "INFO", "app")
    assert MAIL not in str(vars(got))
    faults_expected["redacting a record"] = 1


def test_the_copy_leaves_the_record_alone() -> None:
    """The way of Python 3.12: the original record is as it was."""
    given = record("to %s", MAIL, user={"mail": MAIL}, exc_info=raised(lambda: failure("plain")))
    before = {**vars(given), "user": copy.deepcopy(vars(given)["user"])}
    got = Copying().filter(given)
    assert isinstance(got, logging.LogRecord)
    assert got is not given
    assert vars(given) == before


def test_the_edit_leaves_the_caller_s_objects_alone() -> None:
    """The way of Python 3.11: the record is changed, the objects in it are not."""
    user = {"mail": MAIL, "deep": [MAIL]}
    given = record("to %s", user, user=user)
    assert Editing().filter(given) is True
    assert MAIL not in str(vars(given))
    assert user == {"mail": MAIL, "deep": [MAIL]}


def test_the_way_of_this_python() -> None:
    """A copy where a filter may return one."""
    assert RedactFilter._copies is (sys.version_info >= (3, 12))


def test_a_clean_record_passes_itself(kind: type[RedactFilter]) -> None:
    """A record without findings is neither copied nor changed."""
    given = record("all is well", n=1, ids=(1, 2))
    before = dict(vars(given))
    assert kind().filter(given) is True
    assert {name: value for name, value in vars(given).items() if name != "_llmlog_redacted"} == before


def test_once_is_enough(kind: type[RedactFilter], monkeypatch: pytest.MonkeyPatch) -> None:
    """What one redactor has done it does not do again, unless there are new fields; another one does it again."""
    redact, other = kind(kinds=["email"]), kind(kinds=["card"])
    assert redact._own is not None
    texts: list[str] = []
    once = passed(redact, record(f"to {MAIL}", a="x"))
    monkeypatch.setattr(redact._own, "text", lambda text: texts.append(text) or text)
    assert redact.filter(once) is True
    assert not texts
    vars(once)["later"] = MAIL
    monkeypatch.undo()
    assert vars(passed(redact, once))["later"] == "<EMAIL>"
    assert passed(other, record("4111111111111111", a=MAIL)).msg == "<CARD>"


def test_once_for_all_handlers(kind: type[RedactFilter]) -> None:
    """Each handler hands the filter the record as it was made; what was found in it is not looked for again."""
    found: list[str] = []
    redact = kind(replace={"email": lambda value: found.append(value) or "<E>"})
    given = record("to %s", MAIL, mail=MAIL)
    for _ in range(3):
        got = passed(redact, given)
        assert (got.getMessage(), got.mail) == ("to <E>", "<E>")  # type: ignore[attr-defined]
    assert len(found) == 2
    other = record("to %s", "bob@example.org")
    assert passed(redact, other).getMessage() == "to <E>"
    assert len(found) == 3


@pytest.mark.parametrize(
    ("kind", "name"),
    # `message` is what a formatter leaves: where records are edited, that is redacted already
    [(Copying, "mail"), (Copying, "more"), (Copying, "message"), (Editing, "mail"), (Editing, "more")],
)
def test_what_comes_between_two_handlers(kind: type[RedactFilter], name: str) -> None:
    """What a handler in between has put on the record is redacted for the next one."""
    redact = kind()
    given = record("to %s", MAIL, mail="none")
    passed(redact, given)
    setattr(given, name, f"to {MAIL}")
    assert MAIL not in repr(vars(passed(redact, given)))


def test_ids_and_figures_survive(kind: type[RedactFilter]) -> None:
    """What llmlog itself writes is never taken for personal data."""
    fields: dict[str, Any] = {
        "record_id": "12345678901234567890123456789012",
        "call_id": "4111111111111111411111111111111a",
        "parent_id": "00000000000000000000000000000001",
        "trace_id": "41111111111111111111111111111111",
        "span_id": "4111111111111111",
        "request_id": "123e4567-e89b-12d3-a456-426614174000",
        "response_id": "chatcmpl-9XyZ0123456789abcdefGHIJKLMNO",
        "model": "gpt-4o-mini-2024-07-18",
        "latency_ms": 1234.567891234,
        "input_tokens": 412345,
        "total_tokens": 1234567890123,
        "tokens_per_second": 41.5,
        "cost_usd": 0.000139,
        "created_at": "2024-05-01T12:34:56.789012+00:00",
    }
    got = vars(passed(kind(), record("gpt-4o-mini completed in 1.2 s, 412 + 128 tokens, $0.000139", **fields)))
    assert {name: got[name] for name in fields} == fields


def test_the_name_of_a_filter(kind: type[RedactFilter]) -> None:
    """As with any filter, a name lets only that logger's records pass."""
    assert kind("other").filter(record()) is False
    assert kind("app").filter(record()) is True


@pytest.mark.parametrize("arguments", [{"kinds": ["mail"]}, {"patterns": {"a": "("}}, {"keys": [" "]}])
def test_errors_of_use(arguments: Mapping[str, Any]) -> None:
    """A wrong argument is refused where the filter is made."""
    with pytest.raises(UsageValueError):
        RedactFilter(**arguments)


def test_without_arguments_the_configured_redactor_is_used(
    kind: type[RedactFilter], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filter without arguments follows the configuration of the moment; one with arguments does not."""
    follows, own = kind(), kind(kinds=["email"])
    monkeypatch.setattr("llmlog.redaction.configured._configured", Redactor(["card"]))
    assert passed(follows, record(f"{MAIL} 4111111111111111")).msg == f"{MAIL} <CARD>"
    assert passed(own, record(f"{MAIL} 4111111111111111")).msg == "<EMAIL> 4111111111111111"


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger of this test alone."""
    made = logging.Logger("app", logging.DEBUG)
    yield made
    for handler in made.handlers:
        handler.close()


def test_a_later_handler(logger: logging.Logger) -> None:
    """From 3.12 on the filter of one handler changes nothing for the next one."""
    first, second = io.StringIO(), io.StringIO()
    for stream in (first, second):
        logger.addHandler(logging.StreamHandler(stream))
    logger.handlers[0].addFilter(RedactFilter())
    logger.info("to %s", MAIL)
    assert first.getvalue() == "to <EMAIL>\n"
    assert second.getvalue() == ("to <EMAIL>\n" if sys.version_info < (3, 12) else f"to {MAIL}\n")


@pytest.mark.parametrize("where", ["in front", "behind"])
@pytest.mark.parametrize("pickled", [False, True])
def test_with_a_queue(logger: logging.Logger, where: str, pickled: bool) -> None:
    """In front of a QueueHandler and behind it, pickled or not, everything that comes out is redacted."""
    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    stream = io.StringIO()
    sender, target = logging.handlers.QueueHandler(waiting), logging.StreamHandler(stream)
    target.setFormatter(JSONFormatter())
    (sender if where == "in front" else target).addFilter(RedactFilter())
    logger.addHandler(sender)
    logger.exception("to %s", MAIL, exc_info=raised(lambda: failure("cause")), extra={"user": {"mail": MAIL}})
    queued = waiting.get_nowait()
    target.handle(pickle.loads(pickle.dumps(queued)) if pickled else queued)
    line = json.loads(stream.getvalue())
    assert MAIL not in stream.getvalue()
    assert line["message"].startswith("to <EMAIL>")
    assert line["user"] == {"mail": "<EMAIL>"}


def test_from_dict_config() -> None:
    """The filter is built by a plain dictConfig, with its arguments."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"redact": {"()": "llmlog.filters.RedactFilter", "patterns": {"ticket": r"T-\d+"}}},
            "handlers": {"out": {"class": "logging.NullHandler", "filters": ["redact"]}},
            "loggers": {"redact.dict.config": {"handlers": ["out"]}},
        }
    )
    (handler,) = logging.getLogger("redact.dict.config").handlers
    (redact,) = handler.filters
    assert isinstance(redact, RedactFilter)
    assert passed(redact, record(f"T-12 for {MAIL}")).msg == "<TICKET> for <EMAIL>"


class Braces(logging.LogRecord):
    """A record whose message is made in its own way, as the standard library's cookbook shows."""

    def getMessage(self) -> str:
        return str(self.msg).format(*self.args)  # type: ignore[misc]


class Slotted(Braces):
    __slots__ = ("more",)


@pytest.mark.parametrize(("kind", "made_by"), [(Copying, Braces), (Editing, Braces), (Copying, Slotted)])
def test_a_record_that_makes_its_own_message(kind: type[RedactFilter], made_by: type[logging.LogRecord]) -> None:
    """Its redacted message is what every handler sees: it is not made once more."""
    given = made_by("app", logging.INFO, __file__, 1, "write to {} {{}}", (MAIL,), None)
    got = passed(kind(), given)
    assert got.getMessage() == "write to <EMAIL> {}"
    assert pickle.loads(pickle.dumps(got)).getMessage() == "write to <EMAIL> {}"


class Uncopyable(logging.LogRecord):
    def __copy__(self) -> "Uncopyable":
        raise TypeError("no copies")


def test_a_record_that_cannot_be_copied() -> None:
    """A subclass that refuses to be copied is handed on as a plain record."""
    given = Uncopyable("app", logging.INFO, __file__, 1, f"to {MAIL}", (), None)
    assert passed(Copying(), given).msg == "to <EMAIL>"
    assert given.msg == f"to {MAIL}"


@pytest.mark.parametrize("kind", [Editing, Copying])
def test_what_the_caller_adds_afterwards(kind: type[RedactFilter]) -> None:
    """A queue may hold the record while the caller goes on: it bears its fields as they were."""
    history: list[Any] = [{"content": "hello"}]
    given = record("start", history=history)
    done = kind().filter(given)
    target = given if done is True else done
    history.append({"content": "ann@example.com"})
    assert vars(target)["history"] == [{"content": "hello"}]


@pytest.mark.parametrize("kind", [Editing, Copying])
def test_what_another_filter_puts_in_between(kind: type[RedactFilter]) -> None:
    """A record that was redacted, and was given another message or value since, is redacted again."""
    given = record("start", who="nobody")
    first = kind().filter(given)
    target: Any = given if first is True else first
    target.msg, target.who = "from ann@example.com", "ann@example.com"
    second = kind().filter(target)
    last: Any = target if second is True else second
    assert (last.getMessage(), last.who) == ("from <EMAIL>", "<EMAIL>")


@pytest.mark.parametrize("kind", [Editing, Copying])
def test_a_message_that_says_something_else_when_asked_again(kind: type[RedactFilter]) -> None:
    """An object as message is text after the filter."""

    class Fickle:
        said = 0

        def __str__(self) -> str:
            self.said += 1
            return "hello" if self.said == 1 else "ann@example.com"

    given = record(Fickle())
    done = kind().filter(given)
    target: Any = given if done is True else done
    assert target.getMessage() == "hello"
