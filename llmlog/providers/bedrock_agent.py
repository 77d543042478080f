"""Amazon Bedrock's agents: the events of `invoke_agent()` and `invoke_inline_agent()`.

Source of the format: the Bedrock Agents Runtime API reference, "InvokeAgent", "TracePart" and "ReturnControlPayload".
The answer is plain text, in one piece or several, and has no finish reason. Tokens are told only where the caller has
asked for traces: each call of a model that the agent made has a trace of its own, with its counts, so that the agent's
usage is their sum; the steps that traces tell of are not the answer's reasoning. `returnControl` asks the caller to
call functions: those are its tool calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmlog.answers import Answer
from llmlog.providers import bedrock, bedrock_invoke
from llmlog.providers.base import Provider, count, fields_of, parts, text_in
from llmlog.usage import Usage

__all__ = ["PROVIDER", "read_chunk", "read_usage"]


def read_chunk(answer: Answer, chunk: Any) -> None:
    """Any event of the completion."""
    fields = fields_of(chunk)
    if (payload := bedrock_invoke.bytes_in(fields)) is not None:
        if text := payload.decode("utf-8", "replace"):
            answer.pieces.append(text)
    elif (part := fields.get("trace")) is not None:
        _read_trace(answer, fields_of(part))
    elif (control := fields.get("returnControl")) is not None:
        _read_control(answer, fields_of(control))
    elif "files" in fields:
        answer.has_content()
    else:
        bedrock.read_exception(answer, fields)


def _read_trace(answer: Answer, part: Mapping[str, Any]) -> None:
    trace = fields_of(part.get("trace"))
    if fields_of(trace.get("guardrailTrace")).get("action") == "INTERVENED":
        answer.content_filtered = True
    for step in trace.values():
        fields = fields_of(step)
        made = fields_of(fields.get("modelInvocationOutput"))
        if told := fields_of(fields_of(made.get("metadata")).get("usage")):
            # By the trace's own id: what is told again is not counted again.
            known = answer.usage or {}
            answer.usage = {**known, text_in(made.get("traceId")) or len(known): told}
        if fields_of(fields.get("observation")).get("finalResponse") and len(parts(part.get("callerChain"))) < 2:
            answer.end_mark = True  # of all that the agent did; one that it asked for help has a longer chain


def _read_control(answer: Answer, control: Mapping[str, Any]) -> None:
    for place, member in enumerate(parts(control.get("invocationInputs"))):
        fields = fields_of(member)
        function = fields_of(fields.get("functionInvocationInput"))
        api = fields_of(fields.get("apiInvocationInput"))
        tool_call = answer.tool_call(place)
        tool_call.id = text_in(control.get("invocationId")) or None
        tool_call.name = text_in(function.get("function")) or text_in(api.get("apiPath"))
        given = map(fields_of, parts(function.get("parameters") or api.get("parameters")))
        tool_call.arguments.add(bedrock.json_of({text_in(one.get("name")): one.get("value") for one in given}))
        answer.has_content()
    answer.end_mark = True


def read_usage(raw: Any) -> Usage | None:
    """The sum of what the agent's calls of models have used so far."""
    told = [fields_of(one) for one in fields_of(raw).values()]
    totals = [
        sum(counts) if (counts := [n for one in told if (n := count(one.get(name))) is not None]) else None
        for name in ("inputTokens", "outputTokens")
    ]
    return Usage(*totals) if any(total is not None for total in totals) else None


def _matches(chunk: object) -> bool:
    if not isinstance(chunk, Mapping):  # botocore gives nothing else
        return False
    if bedrock_invoke.bytes_in(chunk) is not None:
        return not bedrock_invoke.PROVIDER.matches(chunk)
    if isinstance(part := chunk.get("trace"), Mapping):
        return "agentId" in part or "sessionId" in part
    if isinstance(control := chunk.get("returnControl"), Mapping):
        return "invocationInputs" in control
    return isinstance(files := chunk.get("files"), Mapping) and "files" in files


PROVIDER = Provider(
    name="bedrock",
    names=("bedrock_agent",),
    matches=_matches,
    chunk=read_chunk,
    response=read_chunk,
    usage=read_usage,
    ends=False,
    operation="invoke_agent",
)
