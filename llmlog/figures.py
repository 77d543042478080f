"""Tokens and cost of an ended call: the provider's own usage where it came, otherwise counted and marked."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from llmlog import costs, tokens
from llmlog.answers import Answer, Text
from llmlog.prompts import Prompt
from llmlog.providers.base import Provider, fields_of, text_in
from llmlog.settings import Settings
from llmlog.usage import Usage

__all__ = ["LONG", "figures", "to_count", "warm"]

LONG = 20_000
"""Characters that are counted in the thread that ended the call; more is left to the worker."""


def warm() -> None:
    """Load prices and the usual encoding, which takes some 0.4 s, before an event loop has to wait for them."""
    costs.warm()
    tokens.count_text("", None)


def to_count(answer: Answer, prompt: Prompt) -> int:
    """How many characters would have to be counted, because the provider sent no usage."""
    if answer.usage is not None and answer.finished():
        return 0
    return (prompt.length() or 0) + sum(map(len, _texts(answer)))


def figures(
    answer: Answer,
    reader: Provider,
    prompt: Prompt,
    *,
    provider: str | None,
    model: str | None,
    free: str | None,
    unread: bool,
    settings: Settings,
) -> dict[str, Any]:
    """The record's tokens and cost. `free`: why it cost nothing (`costs.FREE` and the like); None: it did.

    `unread`: an answer came in a form that nobody here reads, so that its length is not known.
    """
    named = settings.deployments.get(model or "", model)
    counted_as = named if named != model else answer.model or named
    usage = reader.usage(answer.usage) if answer.usage is not None else None
    source = "provider"
    if usage is None:
        output = None if unread else _count_output(answer, prompt, counted_as)
        usage, source = Usage(_count_input(prompt, counted_as), output), "estimated"
    elif usage.input_tokens is None or usage.output_tokens is None or not answer.finished():
        completed = _completed(usage, answer, prompt, counted_as)
        source = "provider" if completed == usage and answer.finished() else "mixed"
        usage = completed
    if answer.web_searches and usage.web_searches is None:
        usage = replace(usage, web_searches=answer.web_searches)
    fields: dict[str, Any] = {**usage.as_fields(), "usage_source": source}
    if source != "provider" and not _all_kept(answer, prompt):
        fields["usage_extrapolated"] = True
    if free:
        fields.update(cost_usd=0.0, cost_source=free)
    elif usage.input_tokens is not None or usage.output_tokens:
        fields.update(_cost(usage, provider, costs.models(model, answer.model, settings.deployments), answer, settings))
    return fields


def _cost(usage: Usage, provider: str | None, models: list[str], answer: Answer, settings: Settings) -> dict[str, Any]:
    at = datetime.fromtimestamp(time.time(), UTC)
    geo = text_in(fields_of(answer.usage).get("inference_geo"))  # Anthropic's usage says it
    where = geo if geo not in ("", "not_available") else None
    if not models:
        return {"inference_geo": where}
    found = costs.price(
        usage,
        models[0],
        also=models[1:],
        provider=provider,
        at=at,
        service_tier=answer.service_tier,
        inference_geo=where,
        table=settings.prices,
    )
    if found is None:
        return {"inference_geo": where}
    fields: dict[str, Any] = {"cost_usd": float(found.amount), "cost_source": found.source}
    return {**fields, "cost_partial": found.partial or None, "inference_geo": where}


def _completed(usage: Usage, answer: Answer, prompt: Prompt, model: str | None) -> Usage:
    """What an unfinished stream has told so far may be a placeholder: more was delivered than it says."""
    output = usage.output_tokens
    if output is None or not answer.finished():
        output = max(output or 0, _count_output(answer, prompt, model))
    input_tokens = usage.input_tokens if usage.input_tokens is not None else _count_input(prompt, model)
    return replace(usage, input_tokens=input_tokens, output_tokens=output)


def _all_kept(answer: Answer, prompt: Prompt) -> bool:
    """Whether the texts are here as a whole, to be counted."""
    return all(len(str(text)) == len(text) for text in _texts(answer)) and (prompt.input is not None or not prompt.size)


def _count_input(prompt: Prompt, model: str | None) -> int | None:
    if prompt.input is None:
        return tokens.by_size(prompt.size[1]) if prompt.size else None
    return int(tokens.count_tokens(prompt.input, model, tools=prompt.tools, deployments={}))


def _count_output(answer: Answer, prompt: Prompt, model: str | None) -> int:
    total = 0
    offered = prompt.tools or (isinstance(prompt.input, Mapping) and prompt.input.get("tools"))
    with_tools = bool(offered) and not answer.tool_calls
    whole = answer.finished()  # what a model adds around its answer comes at the answer's end
    for place, text in enumerate(_texts(answer)):
        if kept := str(text):
            ended = whole and place == 0
            counted = tokens.count_text(kept, model, answer=ended, with_tools=with_tools, deployments={})
            total += counted if len(kept) == len(text) else round(counted * len(text) / len(kept))
        else:
            total += tokens.by_size(text.nbytes)
    names = [call.name for call in answer.tool_calls.values() if call.name]
    total += sum(int(tokens.count_text(name, model, deployments={})) for name in names)
    return total + tokens.around_calls(len(names), model)


def _texts(answer: Answer) -> list[Text]:
    arguments = [call.arguments for call in answer.tool_calls.values()]
    return [*answer.texts.values(), answer.reasoning, answer.hidden, *arguments]
