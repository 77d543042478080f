"""Counts and costs against what providers reported for recorded requests, and genai-prices' own answers.

The cases are not part of the project. Where their folder is missing the tests are skipped, unless
LLMLOG_REQUIRE names "cases". Run with -s to see the figures.
"""

from __future__ import annotations

import json
import pathlib
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from statistics import median
from types import ModuleType
from typing import Any

import genai_prices
import pytest
from conftest import recorded

import llmlog
from llmlog.costs import cost
from llmlog.formatters import JSONFormatter
from llmlog.testing import Captured
from llmlog.tokens import TokenCount, count_text, count_tokens
from llmlog.usage import Usage

Row = dict[str, Any]


@pytest.fixture
def rows(cases: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Iterator[Row]]:
    """Reads one file of the recorded cases."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # looking for its folder, the loader leaves a file open
        monkeypatch.setenv("LLMLOG_CASES", cases.root())
    return cases.rows  # type: ignore[no-any-return]


def share(name: str, pairs: list[tuple[int, int]], close: Callable[[int, int], bool], *, least: float) -> None:
    """So many of (counted, reported) are close, at least; printed."""
    assert pairs, name
    result = sum(close(*pair) for pair in pairs) / len(pairs)
    print(f"{name}: {result:.1%} of {len(pairs)}, at least {least:.0%}")
    assert result >= least


def middle(name: str, errors: list[float], *, most: float) -> None:
    """The median error is no larger; printed."""
    found = median(errors)
    print(f"{name}: {found:.1%} of {len(errors)}, at most {most:.0%}")
    assert found <= most


def priced(name: str, compared: list[bool], *, least: float) -> None:
    """So many costs could be compared, and those are equal; printed."""
    share_of = sum(compared) / len(compared)
    print(f"{name}: {share_of:.1%} of {len(compared)}, at least {least:.0%}")
    assert share_of >= least


def prompts(rows: Callable[[str], Iterator[Row]], kind: str) -> list[tuple[TokenCount, int]]:
    """(counted, reported) of the recorded chat requests of one kind."""
    return [
        (
            count_tokens(row["messages"], row["model"], tools=row.get("tools") or row.get("functions")),
            row["usage"]["prompt_tokens"],
        )
        for row in rows("tokens/chat_prompt_tokens")
        if row["kind"] == kind
    ]


def test_chat_prompts_of_text(rows: Callable[[str], Iterator[Row]]) -> None:
    """Most are exact, nearly all within two tokens, and what is called exact nearly always is."""
    pairs = prompts(rows, "text")
    share("chat text, exact", [*pairs], lambda a, b: a == b, least=0.85)
    share("chat text, within 2 or 2 %", [*pairs], lambda a, b: abs(a - b) <= max(2, 0.02 * b), least=0.95)
    claimed = [(count, reported) for count, reported in pairs if count.exact]
    share("chat text called exact, and exact", [*claimed], lambda a, b: a == b, least=0.95)


def test_chat_prompts_with_tools(rows: Callable[[str], Iterator[Row]]) -> None:
    """Tool definitions and calls are within five percent, and marked as estimates."""
    pairs = prompts(rows, "tools")
    share("chat with tools, within 5 %", [*pairs], lambda a, b: abs(a - b) <= 0.05 * b, least=0.80)
    assert not any(count.exact for count, _ in pairs)


def test_completions(rows: Callable[[str], Iterator[Row]]) -> None:
    """The text of an answer gives the completion's tokens, those of reasoning aside."""
    pairs = []
    for row in rows("tokens/chat_prompt_tokens"):
        if row.get("completion_text_tokens") and len(row["outputs"]) == 1 and not row["outputs"][0]["tool_calls"]:
            details = row["usage"].get("completion_tokens_details") or {}
            reported = row["usage"]["completion_tokens"] - (details.get("reasoning_tokens") or 0)
            text, offered = row["outputs"][0]["text"] or "", bool(row.get("tools"))
            pairs.append((count_text(text, row["model"], answer=True, with_tools=offered), reported))
    share("completions, within 1", [*pairs], lambda a, b: abs(a - b) <= 1, least=0.97)


def test_embeddings(rows: Callable[[str], Iterator[Row]]) -> None:
    """Inputs of embeddings are exact, but for the empty text, for which the provider charges a token."""
    pairs = [
        (count_tokens(row["input"], row["model"]), row["usage"]["prompt_tokens"])
        for row in rows("tokens/embedding_tokens")
        if row["input"] != ""
    ]
    share("embeddings, exact", [*pairs], lambda a, b: a == b, least=1.0)


def test_responses_of_text(rows: Callable[[str], Iterator[Row]]) -> None:
    """The text input of a response, with its instructions, is within five percent; a JSON schema asked for as well."""
    texts, formats = [], []
    for row in rows("tokens/responses_usage"):
        request = row["request"]
        hidden = {"tools", "previous_response_id", "conversation", "prompt"} & {k for k in request if request[k]}
        sent = json.dumps(request.get("input"))
        if sent == "null" or hidden:
            continue
        if any(kind in sent for kind in ('"input_image"', '"input_file"', '"type": "reasoning"')):
            continue
        format_ = (request.get("text") or {}).get("format") or {}
        pairs = texts if format_.get("type", "text") == "text" else formats
        pairs.append((count_tokens(request, row["model"]), row["usage"]["input_tokens"]))
    share("responses text, within 5 %", [*texts], lambda a, b: abs(a - b) <= 0.05 * b, least=0.80)
    share("responses with a schema, within 10 %", [*formats], lambda a, b: abs(a - b) <= 0.10 * b, least=0.80)


def test_images(rows: Callable[[str], Iterator[Row]]) -> None:
    """Images that are sent along, so that their size is known, follow the published rules."""
    pairs = []
    for name, key in (("tokens/chat_prompt_tokens", "prompt_tokens"), ("tokens/responses_usage", "input_tokens")):
        for row in rows(name):
            request = row.get("request") or {name: row.get(name) for name in ("messages", "tools")}
            sent = json.dumps(request.get("messages") or request.get("input"))
            if "data:image" in sent and "https://" not in sent and "file_data" not in sent:
                pairs.append((count_tokens(request, row["model"]), row["usage"][key]))
    share("images, within 20 %", [*pairs], lambda a, b: abs(a - b) <= 0.2 * b, least=0.70)


def test_estimates_for_gemini(cases: ModuleType) -> None:
    """What a text-only request holds is estimated well, and marked."""
    errors = []
    for case in recorded(cases, api="generate_content"):
        request = (case.meta.get("request") or {}).get("body")
        reported = (case.meta["oracle"].get("usage") or {}).get("promptTokenCount")
        parts = '"tools"', '"inlineData"', '"fileData"'
        if reported and isinstance(request, dict) and not any(each in json.dumps(request) for each in parts):
            counted = count_tokens(request, "gemini-2.5-flash")
            assert not counted.exact
            errors.append(abs(counted - reported) / reported)
    middle("gemini, median error", errors, most=0.12)


def test_estimates_for_claude(rows: Callable[[str], Iterator[Row]]) -> None:
    """What the request holds (no images, hosted tools or thinking) is estimated well, and marked."""
    errors = []
    for row in rows("tokens/anthropic_usage"):
        request, usage = row["request"], row["usage"]
        tools = request.get("tools") or []
        hosted = any(tool.get("type") not in (None, "custom") for tool in tools) or "mcp_servers" in request
        media = any(kind in json.dumps(request["messages"]) for kind in ('"image"', '"document"', "mcp_"))
        if hosted or media or request.get("thinking"):
            continue
        counted = count_tokens(request, row["model"])
        assert not counted.exact
        reported = sum(
            usage.get(name) or 0 for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
        )
        errors.append(abs(counted - reported) / reported)
    middle("claude, median error", errors, most=0.12)


def test_aborted_streams(cases: ModuleType, llm_calls: Captured) -> None:
    """A stream that is left before it tells its usage is estimated at what the provider would have told."""
    inputs, outputs = [], []
    for case in recorded(cases, api="chat_completions", provider="openai"):
        request = (case.meta.get("request") or {}).get("body")
        usage = case.meta["oracle"].get("usage") or {}
        if not isinstance(request, dict) or not usage.get("completion_tokens"):
            continue
        delivered = [one for one in case.payloads() if any(not each.get("finish_reason") for each in one["choices"])]
        llm_calls.clear()
        stream = llmlog.stream([*delivered, {}], provider="openai", model=request["model"], input=request)
        for place, _ in enumerate(stream, 1):
            if place == len(delivered):
                break
        stream.close()
        record = llm_calls.one()
        if not delivered[0]["model"].startswith(("gpt", "o")):  # through a gateway
            continue
        assert (record["outcome"], record["usage_source"]) == ("aborted", "estimated")
        assert record["cost_usd"] > 0
        hidden = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
        outputs.append((record["output_tokens"], usage["completion_tokens"] - hidden))
        sent = json.dumps(request["messages"])
        if not any(each in sent for each in ('"image_url"', '"file"', '"input_audio"')):
            inputs.append((record["input_tokens"], usage["prompt_tokens"]))
    share("aborted: input, within 2 or 5 %", inputs, lambda a, b: abs(a - b) <= max(2, 0.05 * b), least=0.85)
    share("aborted: output, within 2 or 5 %", outputs, lambda a, b: abs(a - b) <= max(2, 0.05 * b), least=0.80)


# genai-prices' names -> ours. What has no name of ours must be absent, or priced as what it is a part of.
NAMES = {
    "output_reasoning_tokens": "reasoning_tokens",
    **{name: name for name in Usage.__slots__ if name != "reasoning_tokens"},
}
PARTS = {
    "cache_write_5m_tokens", "input_text_tokens", "output_text_tokens", "input_tool_tokens", "input_text_tool_tokens",
    "cache_text_read_tokens", "cache_video_read_tokens",
}  # fmt: skip
PROVIDERS = {
    "azure_openai": "azure.ai.openai",
    "gemini": "gcp.gemini",
    "vertex": "gcp.vertex_ai",
    "bedrock": "aws.bedrock",
    "xai": "x_ai",
    "mistral": "mistral_ai",
}
IDS = {"azure_openai": "azure", "gemini": "google", "vertex": "google", "bedrock": "aws", "xai": "x-ai"}
AT = datetime(2026, 6, 1, 12, tzinfo=UTC)


def theirs(usage: Row, model: str, provider: str | None, at: datetime) -> Decimal | None:
    """The answer of the installed genai-prices; None where it has no price."""
    try:
        found = genai_prices.calc_price(
            genai_prices.Usage(**usage), model, provider_id=provider, genai_request_timestamp=at
        )
    except LookupError:
        return None
    return found.total_price if vars(found.model_price) else None


def compare(usage: Row, model: str, provider: str | None, named: str | None, at: datetime) -> bool:
    """Whether a recorded usage could be compared; if so, it costs what genai-prices says."""
    if not usage or any(count and name not in NAMES and name not in PARTS for name, count in usage.items()):
        return False
    expected = theirs(usage, model, named, at)
    if expected is None:
        return False
    ours = {NAMES[name]: count for name, count in usage.items() if name in NAMES}
    found = cost(ours, model, provider=provider, at=at)
    assert found is not None, (model, provider)
    assert abs(found - expected) < Decimal("5e-7"), (model, provider, usage)
    return True


def test_costs_of_recorded_streams(rows: Callable[[str], Iterator[Row]]) -> None:
    """The usage of each recorded stream costs what genai-prices says, with our names of providers."""
    compared = [
        compare(
            row["genai_usage"],
            row["model"],
            PROVIDERS.get(row["provider"], row["provider"]),
            IDS.get(row["provider"], row["provider"]),
            AT,
        )
        for row in rows("cost/stream_costs")
        if "genai_usage" in row
    ]
    priced("stream costs, equal", compared, least=0.9)


def test_costs_of_recorded_calls(cases: ModuleType, rows: Callable[[str], Iterator[Row]], llm_calls: Captured) -> None:
    """What the record of a recorded stream's call has used costs what genai-prices makes of the provider's usage.

    Apart from searches, which it does not find in a usage, and x.ai's reasoning, which comes on top of the output.
    """
    usages = {row["case"]: row for row in rows("cost/stream_costs") if row.get("genai_usage")}
    compared = []
    for case in recorded(cases, kind="streams"):
        if (row := usages.get(case.id)) is None:
            continue
        llm_calls.clear()
        for _ in llmlog.stream(iter(case.payloads())):
            pass
        record, whose = llm_calls.one(), row["provider"]
        expected = theirs(row["genai_usage"], row["model"], IDS.get(whose, whose), AT)
        on_top = whose == "xai" and record.get("reasoning_tokens")
        if expected is None or record.get("web_searches") or on_top:
            continue
        usage = {name: record[name] for name in Usage.__slots__ if name in record}
        found = cost(usage, row["model"], provider=PROVIDERS.get(whose, whose), at=AT)
        assert found is not None, case.id
        compared.append(abs(found - expected) < Decimal("5e-7"))
        assert compared[-1], (case.id, usage, row["genai_usage"])
    priced(f"recorded calls ({len(compared)}), equal", compared, least=1.0)
    assert len(compared) > 200


def test_costs_of_real_usages(rows: Callable[[str], Iterator[Row]]) -> None:
    """So does each usage of genai-prices' own set, under each provider that prices it."""
    compared = [
        compare(extracted["usage"], row["model"], each["provider_id"], each["provider_id"], AT)
        for row in rows("cost/genai_prices_real_usages")
        for extracted in row["extracted"]
        for each in extracted["extractors"]
        if "input_price" in each
    ]
    priced("real usages, equal", compared, least=0.98)


def test_costs_of_genai_prices_own_tests(rows: Callable[[str], Iterator[Row]]) -> None:
    """And each case of its own tests, at its own date."""
    compared = []
    for row in rows("cost/genai_prices_calc_cases"):
        stated = row["kwargs"]
        if set(stated) <= {"provider_id", "genai_request_timestamp"}:
            at = stated.get("genai_request_timestamp")
            provider = stated.get("provider_id")
            when = datetime.fromisoformat(at) if at else AT
            compared.append(compare(row["usage"], row["model_ref"], provider, provider, when))
    priced("genai-prices' tests, equal", compared, least=0.8)


def test_recost_finds_nothing_new(cases: ModuleType, llm_calls: Captured, tmp_path: pathlib.Path) -> None:
    """What a call's record says it costs is what is worked out from that record afterwards."""
    pytest.importorskip("typer")
    from typer.testing import CliRunner

    from llmlog import cli

    for case in recorded(cases, kind="streams"):
        for _ in llmlog.stream(iter(case.payloads())):
            pass
    llmlog.flush()
    log = tmp_path / "calls.jsonl"
    log.write_text("".join(JSONFormatter().format(record) + "\n" for record in llm_calls.records))
    done = CliRunner().invoke(cli.app, ["recost", "--check", str(log)])
    assert done.exit_code == 0, done.stderr
    assert len(llm_calls.records) > 400
