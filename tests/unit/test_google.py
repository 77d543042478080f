"""Gemini's generated content: what is read of chunks and of whole answers, as dicts and as objects."""

from __future__ import annotations

import enum
import functools
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Records, answer, sdk

import llmlog
from llmlog import providers
from llmlog.answers import MAX_TEXT, Answer
from llmlog.providers import google
from llmlog.usage import Usage

types = sdk("google.genai.types")


def chunk(*parts: Any, finish: str | None = None, index: int | None = None, usage: Any = None, **fields: Any) -> Any:
    """One chunk as the wire has it: a candidate with these parts."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": [*parts]}}
    if finish:
        candidate["finishReason"] = finish
    if index is not None:
        candidate["index"] = index
    made = {"candidates": [candidate], "modelVersion": "gemini-2.5-flash", "responseId": "r1", **fields}
    return {**made, "usageMetadata": usage} if usage is not None else made


def text(piece: str, **fields: Any) -> dict[str, Any]:
    return {"text": piece, **fields}


def call(name: str | None = None, args: Any = None, **fields: Any) -> dict[str, Any]:
    given = {"name": name, "args": args, **fields}
    return {"functionCall": {key: value for key, value in given.items() if value is not None}}


def piece(path: str, value: Any = None, *, kind: str = "string", **fields: Any) -> dict[str, Any]:
    """A part with a piece of one argument."""
    return call(partialArgs=[{"jsonPath": path, f"{kind}Value": value, **fields}], willContinue=True)


def counted(prompt: int, candidates: int = 0, **more: int) -> dict[str, Any]:
    """A usage as the wire has it: a count of 0 is left out."""
    counts = {"promptTokenCount": prompt, "candidatesTokenCount": candidates, **more}
    counts = {name: tokens for name, tokens in counts.items() if tokens}
    total = sum(tokens for name, tokens in counts.items() if name != "cachedContentTokenCount")
    return {"totalTokenCount": total, **counts}


HELLO = [
    chunk(text("Hello"), usage=counted(5, 1)),
    chunk(text(" wor"), usage=counted(5, 2)),
    chunk(text("ld"), usage={"trafficType": "ON_DEMAND"}),
    chunk(text("!"), finish="STOP", usage={**counted(5, 4), "trafficType": "ON_DEMAND"}),
]


def objects(chunks: Sequence[Any]) -> list[Any]:
    """The same as the SDK's objects, which do without what the SDK does not know."""
    return [
        types.GenerateContentResponse._from_response(response=one, kwargs={}) if isinstance(one, dict) else one
        for one in chunks
    ]


def read(*chunks: Any) -> Answer:
    """What is read of a stream's chunks: as the wire has them, as objects, and as dicts with the objects' names."""
    made = Answer()
    for one in chunks:
        assert google.read_chunk(made, one) is None
    with_sdk = objects([one for one in chunks if "error" not in one])
    for others in (with_sdk, [one.model_dump() for one in with_sdk]):
        if len(others) < len(chunks):
            continue
        other = Answer()
        for one in others:
            (google._quick(other, one) or google.read_chunk)(other, one)
        assert seen(other) == seen(made)
    return made


def seen(made: Answer) -> dict[str, Any]:
    names = ("model", "response_id", "finish_reasons", "end_mark", "content_filtered", "error", "content_chunks")
    return {
        **{name: getattr(made, name) for name in names},
        "texts": {choice: str(text) for choice, text in made.texts.items()},
        "reasoning": str(made.reasoning),
        "tools": [(call.id, call.name, str(call.arguments)) for call in made.tool_calls.values()],
        "usage": None if made.usage is None else google.read_usage(made.usage),
    }


def tools(made: Answer) -> list[tuple[str, str]]:
    return [(call.name, str(call.arguments)) for call in made.tool_calls.values()]


def test_a_stream() -> None:
    """Text, model, id, reason and usage; what the last chunk counts is the whole."""
    assert seen(read(*HELLO)) == {
        "model": "gemini-2.5-flash",
        "response_id": "r1",
        "finish_reasons": {0: "STOP"},
        "end_mark": False,
        "content_filtered": False,
        "error": None,
        "content_chunks": 4,
        "texts": {0: "Hello world!"},
        "reasoning": "",
        "tools": [],
        "usage": Usage(5, 4),
    }


@pytest.mark.parametrize("provider", [None, "google", "gemini", "vertex", "vertex_ai", "gcp.gemini", "gcp.vertex_ai"])
def test_a_record(calls: Records, provider: str | None) -> None:
    """The record has the provider by the name it was called, and the figures, as dicts and as objects."""
    for chunks in (HELLO, objects(HELLO)):
        calls.records.clear()
        assert list(llmlog.stream(chunks, provider=provider)) == chunks
        record = calls.one()
        assert record["provider"] == (provider or "google")
        assert record["operation"] == "generate_content"
        assert (record["outcome"], record["finish_reason"]) == ("completed", "STOP")
        assert type(record["finish_reason"]) is str
        assert (record["input_tokens"], record["output_tokens"], record["usage_source"]) == (5, 4, "provider")
        assert record["cost_usd"] == pytest.approx((5 * 0.3 + 4 * 2.5) / 1e6)
        assert record["service_tier"] == "ON_DEMAND"


def test_thoughts() -> None:
    """A part marked as a thought is reasoning; its signature is not read."""
    made = read(
        chunk(text("Let me", thought=True)),
        chunk(text(" see", thought=True), text("Yes")),
        chunk(text("", thoughtSignature="c2ln"), finish="STOP"),
    )
    assert str(made.reasoning) == "Let me see"
    assert str(made.texts[0]) == "Yes"
    assert made.content_chunks == 2


def test_candidates() -> None:
    """Each candidate has its own text and reason; on the wire the first one's index is left out."""
    first, second = chunk(text("A"))["candidates"], chunk(text("B"), index=1)["candidates"]
    made = read(
        {"candidates": [*first, *second]},
        chunk(text("b"), index=1),
        chunk(text("a")),
        chunk(finish="STOP", index=1),
    )
    assert seen(made)["texts"] == {0: "Aa", 1: "Bb"}
    assert made.finish_reasons == {1: "STOP"}
    assert not made.finished()
    google.read_chunk(made, chunk(finish="MAX_TOKENS"))
    assert made.finished()
    without = read({"candidates": [*first, *first]})
    assert seen(without)["texts"] == {0: "A", 1: "A"}


def test_function_calls() -> None:
    """Each part is a call of its own, whole, even if it has neither an id nor arguments, or is asked for twice."""
    made = read(
        chunk(call("weather", {"city": "Zürich"}), call("weather", {"city": "Oslo"}, id="c2")),
        chunk(call("now"), text("Wait"), finish="STOP"),
    )
    assert seen(made)["tools"] == [
        (None, "weather", '{"city": "Zürich"}'),
        ("c2", "weather", '{"city": "Oslo"}'),
        (None, "now", "{}"),
    ]
    assert made.content_chunks == 2
    assert str(made.texts[0]) == "Wait"


def test_arguments_value_by_value() -> None:
    """Arguments under their paths, texts in pieces, until a part says no more that it goes on."""
    made = read(
        chunk(call("cook", willContinue=True, id="c1")),
        chunk(piece("$.dish.name", "Lasa", willContinue=True)),
        chunk(piece("$.dish.name", "gne")),
        chunk(call(willContinue=True)),
        chunk(piece("$.dish.steps[0].text", "Boil"), piece("$.dish.steps[1]['long text']", "B.a[k]e")),
        chunk(piece("$.minutes", 40, kind="number"), piece("$.oven", True, kind="bool")),
        chunk(piece("$.wine", "NULL_VALUE", kind="null"), piece("$.litres", 0.5, kind="number")),
        chunk(call()),
        chunk(call("now"), finish="STOP"),
    )
    assert tools(made) == [
        (
            "cook",
            '{"dish": {"name": "Lasagne", "steps": [{"text": "Boil"}, {"long text": "B.a[k]e"}]}, '
            '"minutes": 40, "oven": true, "wine": null, "litres": 0.5}',
        ),
        ("now", "{}"),
    ]
    assert made.content_chunks == 7


def test_unfinished_arguments() -> None:
    """What came of them is there: at the end of a cut stream, and where another call begins before they are whole."""
    made = read(chunk(call("a", willContinue=True)), chunk(piece("$.x", "ü")))
    (begun,) = made.tool_calls.values()
    assert (str(begun.arguments), len(begun.arguments), begun.arguments.nbytes) == ('{"x": "ü"}', 10, 11)
    google.read_chunk(made, chunk(call("b", willContinue=True)))
    google.read_chunk(made, chunk(piece("$.y", "2")))
    assert tools(made) == [("a", '{"x": "ü"}'), ("b", '{"y": "2"}')]


def test_arguments_with_an_id() -> None:
    """A server may repeat the name and id with every piece."""
    repeated = {"id": "c1", "willContinue": True}
    made = read(
        chunk(call("a", **repeated)),
        chunk(call("a", **repeated, partialArgs=[{"jsonPath": "$.x", "stringValue": "1"}])),
        chunk(call("a", id="c1")),
        chunk(call("a", id="c2")),
    )
    assert seen(made)["tools"] == [("c1", "a", '{"x": "1"}'), ("c2", "a", "{}")]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "$",
        "x",
        "$.a.b",
        "$[0]",
        "$.list.x",
        "$.list[0].x",
        "$" + ".b" * 60,
        "$.list[99999999999]",
        "$.list[0",
        "$.c..d",
        "$.c[*]",
        "$.c" + "c" * 2000,
    ],
)
def test_paths_that_lead_nowhere(path: str) -> None:
    """A piece whose path does not fit what is there is let go, the others are kept."""
    made = read(
        chunk(call("f", willContinue=True)),
        chunk(piece("$.a", "1")),
        chunk(piece("$.list[0]", "2")),
        chunk(piece(path, "3")),
        chunk(call()),
    )
    assert tools(made) == [("f", '{"a": "1", "list": ["2"]}')]


def test_arguments_without_bounds() -> None:
    """What is kept of arguments is bounded, whatever a stream sends: far places of a list, endless values."""
    made = Answer()
    google.read_chunk(made, chunk(call("f", willContinue=True)))
    google.read_chunk(made, chunk(piece("$.list[999999999]", "far")))
    for _ in range(20):
        google.read_chunk(made, chunk(piece("$.x", "y" * (MAX_TEXT // 10))))
    google.read_chunk(made, chunk(call()))
    ((_, arguments),) = tools(made)
    assert arguments.startswith('{"list": ["far"]')
    assert len(arguments) <= MAX_TEXT + 100


@pytest.mark.parametrize(
    "part",
    [
        {"executableCode": {"language": "PYTHON", "code": "print(1)"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
        {"inlineData": {"mimeType": "image/png", "data": "aGk="}},
        {"fileData": {"mimeType": "image/png", "fileUri": "gs://a/b"}},
        {"toolCall": {"id": "t", "toolType": "GOOGLE_SEARCH_WEB"}},
    ],
)
def test_other_content(part: dict[str, Any]) -> None:
    """Media, and what the provider runs itself, is content, but neither text nor a call asked of the caller."""
    made = read(chunk(part))
    assert (made.content_chunks, str(made.texts[0]), made.tool_calls) == (1, "", {})


@pytest.mark.parametrize(
    ("reason", "filtered"),
    [
        ("SAFETY", True), ("RECITATION", True), ("BLOCKLIST", True), ("PROHIBITED_CONTENT", True), ("SPII", True),
        ("IMAGE_SAFETY", True), ("STOP", False), ("MAX_TOKENS", False), ("MALFORMED_FUNCTION_CALL", False),
    ],
)  # fmt: skip
def test_reasons(reason: str, filtered: bool) -> None:
    """The provider's own word, and whether it is a filter's."""
    made = read(chunk(text("He"), finish=reason))
    assert made.finish_reasons == {0: reason}
    assert made.content_filtered is filtered


def test_no_reason() -> None:
    """A reason that is not specified is none."""
    assert read(chunk(text("He"), finish="FINISH_REASON_UNSPECIFIED")).finish_reasons == {}


def test_a_refused_prompt(calls: Records) -> None:
    """Without a candidate the answer is whole, and filtered; ratings alone say nothing."""
    refused = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": counted(9)}
    made = read(refused)
    assert made.content_filtered
    assert made.finished()
    assert google.read_usage(made.usage) == Usage(9, 0)
    assert not read({"promptFeedback": {"safetyRatings": []}}).finished()
    list(llmlog.stream([refused]))
    record = calls.one()
    assert (record["outcome"], record["content_filtered"]) == ("completed", True)


def test_usage() -> None:
    """What tools brought is input, thoughts are output, and each is counted beside the others."""
    raw = {
        **counted(10, 20, thoughtsTokenCount=30, toolUsePromptTokenCount=40, cachedContentTokenCount=4),
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 3}, {"modality": "AUDIO", "tokenCount": 2},
                                {"modality": "IMAGE", "tokenCount": 5}],
        "toolUsePromptTokensDetails": [{"modality": "IMAGE", "tokenCount": 6}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 7}, {"modality": "AUDIO", "tokenCount": 8}],
        "cacheTokensDetails": [{"modality": "IMAGE", "tokenCount": 3}, {"modality": "AUDIO", "tokenCount": 1}],
    }  # fmt: skip
    expected = Usage(50, 50, 4, None, 30, 2, 8, 11, 7, None, 1, 3)
    assert google.read_usage(raw) == expected
    (with_sdk,) = objects([{"candidates": [], "usageMetadata": raw}])
    assert google.read_usage(with_sdk.usage_metadata) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({}, None),
        (None, None),
        ("usage", None),
        ({"trafficType": "ON_DEMAND"}, None),
        ({"promptTokenCount": 3}, Usage(3)),
        ({"candidatesTokenCount": 3}, Usage(None, 3)),
        (counted(3), Usage(3, 0)),
        (counted(3, thoughtsTokenCount=2), Usage(3, 2, reasoning_tokens=2)),
        ({"promptTokenCount": 3, "totalTokenCount": 9}, Usage(3, 6)),
        ({"candidatesTokenCount": 3, "totalTokenCount": 9}, Usage(6, 3)),
        ({"promptTokenCount": 3, "candidatesTokenCount": 5, "thoughtsTokenCount": 4, "totalTokenCount": 8},
         Usage(3, 5, reasoning_tokens=4)),
        ({"promptTokenCount": 3, "candidatesTokenCount": 5, "totalTokenCount": 1}, Usage(3, 5)),
        ({"promptTokenCount": "3", "candidatesTokenCount": True, "promptTokensDetails": {"modality": 1}}, None),
        ({"promptTokenCount": 3, "promptTokensDetails": [None, {"modality": "AUDIO"}, {"tokenCount": 1}]}, Usage(3)),
    ],
)  # fmt: skip
def test_incomplete_usage(raw: Any, expected: Usage | None) -> None:
    """A count that is left out is what the others leave of the total; without a total it is not known."""
    assert google.read_usage(raw) == expected


def test_usage_so_far() -> None:
    """Before the end no count falls, and a missing one erases nothing; the last usage has the whole."""
    ran = [
        chunk(text("a"), usage=counted(46, 51, thoughtsTokenCount=101)),
        chunk(text("b"), usage=counted(46)),
        chunk(text("c"), usage={"promptTokenCount": 50, "trafficType": "ON_DEMAND"}),
    ]
    assert google.read_usage(read(*ran).usage) == Usage(50, 152, reasoning_tokens=101)
    last = chunk(text("d"), finish="STOP", usage=counted(45, 60))
    assert google.read_usage(read(*ran, last).usage) == Usage(45, 60)
    assert google.read_usage(read(*ran, last, {"usageMetadata": {}}, chunk()).usage) == Usage(45, 60)
    partly = chunk(finish="STOP", usage={"candidatesTokenCount": 40})
    assert google.read_usage(read(*ran, partly).usage) == Usage(50, 141, reasoning_tokens=101)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Slow down"},
            ("RESOURCE_EXHAUSTED", "Slow down", 429),
        ),
        ({"code": "429", "message": None}, ("429", None, None)),
        ({}, (None, None, None)),
        ("no", (None, "no", None)),
    ],
)
def test_errors(error: Any, expected: tuple[Any, ...]) -> None:
    """An error comes as a chunk, or with a list around it."""
    assert read({"error": error}).error == expected
    made = Answer()
    google.read_chunk(made, [{"error": error}])
    assert made.error == expected


def test_a_whole_answer(calls: Records) -> None:
    """A whole answer is read like a chunk, and is whole; so is a list of chunks that were waited for."""
    for response in (chunk(text("Hello"), finish="STOP", usage=counted(5, 1)), HELLO):
        calls.records.clear()
        with llmlog.call(model="gemini-2.5-flash") as call:
            call.finish(response)
        record = calls.one()
        assert (record["provider"], record["outcome"], record["input_tokens"]) == ("google", "completed", 5)
        assert record["response_length"] in (5, 12)


class Absent(SimpleNamespace):
    """As an older SDK's object: what is not set is there, and empty."""

    def __bool__(self) -> bool:
        return any(vars(self).values())


class Reason(enum.IntEnum):
    FINISH_REASON_UNSPECIFIED = 0
    STOP = 1


def older(piece: str, reason: Reason, **fields: Any) -> Any:
    empty = {name: Absent() for name in ("inline_data", "file_data", "executable_code", "code_execution_result")}
    part = Absent(text=piece, function_call=fields.pop("function_call", Absent()), **empty)
    candidate = Absent(index=0, content=Absent(parts=[part], role="model"), finish_reason=reason)
    usage = Absent(prompt_token_count=3, candidates_token_count=2, cached_content_token_count=0, total_token_count=5)
    return Absent(candidates=[candidate], usage_metadata=usage, prompt_feedback=Absent(block_reason=Reason(0)))


class Struct(Mapping[str, Any]):
    """As an older SDK has the arguments: a mapping, and no dict."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Any:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def test_older_objects(calls: Records) -> None:
    """Those of the older SDKs leave nothing unset and have numbers for words."""
    wanted = Absent(name="weather", args=Struct({"city": "Oslo", "days": (1, 2), "more": Struct({})}))
    chunks = [
        older("Hello", Reason.FINISH_REASON_UNSPECIFIED),
        older("", Reason.FINISH_REASON_UNSPECIFIED, function_call=wanted),
        older("", Reason.STOP),
    ]
    llmlog.configure(capture=1000)
    assert list(llmlog.stream(chunks, model="gemini-1.5-flash")) == chunks
    record = calls.one()
    assert (record["provider"], record["outcome"], record["finish_reason"]) == ("google", "completed", "STOP")
    assert (record["input_tokens"], record["output_tokens"], record["response_length"]) == (3, 2, 5)
    assert record["tool_arguments"] == ['{"city": "Oslo", "days": [1, 2], "more": {}}']
    assert "content_filtered" not in record


@pytest.mark.parametrize("one", [*HELLO, {"error": {"code": 503, "status": "UNAVAILABLE", "message": "no"}},
                                 {"promptFeedback": {"blockReason": "SAFETY"}},
                                 {"usageMetadata": counted(1), "modelVersion": "gemini-2.5-flash"}])  # fmt: skip
def test_whose_chunks(one: dict[str, Any]) -> None:
    """Each kind of chunk tells whose it is: as the wire has it, in a list, and as an SDK's object or its dict."""
    assert providers.UNKNOWN.pick(one) is google.PROVIDER
    assert providers.UNKNOWN.pick([one]) is google.PROVIDER
    if "error" not in one:
        (with_sdk,) = objects([one])
        assert providers.UNKNOWN.pick(with_sdk) is google.PROVIDER
        assert providers.UNKNOWN.pick(with_sdk.model_dump()) is google.PROVIDER


@pytest.mark.parametrize("other", [
    *answer("Hello"), None, 7, "candidates", [], {}, [[]], {"candidates": 7}, {"error": "no"},
    {"error": {"code": "server_error", "message": "no", "type": "server_error", "param": None}},
    {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    {"name": "cachedContents/1", "usageMetadata": {"totalTokenCount": 1}},
    {"type": "AIMessageChunk", "content": "Hi", "usage_metadata": {"input_tokens": 1}},
])  # fmt: skip
def test_not_its_chunks(other: Any) -> None:
    """Others' chunks, and what is none, are not claimed."""
    assert providers.UNKNOWN.pick(other) is not google.PROVIDER


DEEP = functools.reduce(lambda inner, _: [inner], range(3000), [])  # type: ignore[arg-type, return-value]
ODD: list[Any] = [
    None, 7, "text", "[DONE]", [], [None], {}, {"candidates": None}, {"candidates": [None, 7, "x", {}]},
    {"candidates": [{"content": "x"}, {"content": {"parts": "x"}}, {"content": {"parts": [None, 7, "x", {}]}}]},
    chunk({"text": 7}, {"functionCall": 7}, {"functionCall": {}}, {"functionCall": {"name": 7, "args": 7}}),
    chunk(call("f", {"x": [object()]}), call("f", partialArgs="x"), call("f", partialArgs=[None, 7, {}])),
    chunk(call("f", {"deep": DEEP})),
    chunk(call("f", {("a", "b"): 1})),
    {"candidates": [{"index": True, "finishReason": 7}, {"index": "1", "finishReason": ["STOP"]}]},
    {"usageMetadata": 7}, {"usageMetadata": {"promptTokenCount": float("nan")}}, {"usageMetadata": "x"},
    {"promptFeedback": 7}, {"promptFeedback": {"blockReason": 7}}, {"modelVersion": 7, "responseId": []},
    {"error": 7}, {"error": []}, {"error": {"code": None}},
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_odd_chunks(odd: Any) -> None:
    """Whatever comes, as a chunk or as an answer, and as an object's attributes: nothing is raised."""
    for reads in (google.read_chunk, google.read_response):
        made = Answer()
        reads(made, odd)
        if isinstance(odd, dict):
            reads(made, SimpleNamespace(**odd))
        google.read_usage(made.usage)
        assert str(made.texts[0]) == ""


def test_the_quick_way() -> None:
    """It gives what the other one does, and falls back to that where it meets what it does not know."""
    script = [
        *HELLO[:3],
        chunk(text("Hm", thought=True)),
        chunk(text("signed", thoughtSignature="c2ln")),
        chunk(text("two"), text(" parts")),
        chunk(text("other"), index=1),
        chunk(text("first"), index=0, usage=counted(5, 1)),
        chunk(text("then"), usage=counted(9, 9)),
        {"modelVersion": "gemini-2.5-flash"},
        {"promptFeedback": {"safetyRatings": []}, **chunk(text("rated"))},
        HELLO[3],
    ]
    made, expected = Answer(), Answer()
    first, *others = objects(script)
    assert google._quick(made, first) is None
    google.read_chunk(made, first)
    google.read_chunk(expected, first)
    quick = google._quick(made, first)
    assert quick is google._read_quickly
    for one in [*others, None, {}, "x", *ODD, *HELLO]:
        quick(made, one)
        google.read_chunk(expected, one)
    assert seen(made) == seen(expected)
    assert google._quick(made, HELLO[0]) is google.read_chunk
