"""Structured logging for Python services that call language models: one record for every call, however it ends.

    client = llmlog.wrap(OpenAI())

    with llmlog.request(feature="search"):
        for chunk in client.chat.completions.create(model="gpt-4o-mini", messages=[...], stream=True):
            ...

Importing this package touches no logger and imports no third party: what needs one is loaded when it is first used.
"""

from __future__ import annotations

from llmlog._version import __version__
from llmlog.calls import Call, call, flush
from llmlog.clients import unwrap, wrap
from llmlog.config import configure, dict_config
from llmlog.context import Context, bind, carry, current, request, unbind
from llmlog.costs import cost
from llmlog.events import event
from llmlog.exceptions import LLMLogError, UsageTypeError, UsageValueError
from llmlog.propagation import extract, inject
from llmlog.redaction import redact
from llmlog.streams import AsyncStream, Stream, stream
from llmlog.tokens import TokenCount, count_tokens
from llmlog.usage import Usage

__all__ = [
    # the request
    "Context", "bind", "carry", "current", "extract", "inject", "request", "unbind",
    # its calls
    "AsyncStream", "Call", "Stream", "call", "stream", "unwrap", "wrap",
    # figures
    "TokenCount", "Usage", "cost", "count_tokens",
    # records
    "event", "flush", "redact",
    # set-up
    "configure", "dict_config",
    # errors of use
    "LLMLogError", "UsageTypeError", "UsageValueError",
    "__version__",
]  # fmt: skip
