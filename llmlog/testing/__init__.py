"""What makes code that calls language models testable: captured summaries, scripted providers, a clock, canaries.

    from llmlog.testing import Script, assert_one_summary, serve

    def test_a_cut_answer(llm_calls):
        with serve(Script(["Hello", " world"], "cut")) as server:
            client = llmlog.wrap(OpenAI(base_url=server.openai_url, api_key="sk-test", max_retries=0))
            with pytest.raises(openai.APIConnectionError):
                list(client.chat.completions.create(model="gpt-4o-mini", messages=[...], stream=True))
        assert_one_summary(llm_calls, outcome="error", content_chunks=2, latency_ms=lambda ms: ms > 0)

The fixtures `llm_calls`, `llm_clock` and `llm_canaries` are there wherever llmlog is installed: it is a pytest plugin,
and `-p no:llmlog` switches it off. Everything else works without pytest, and needs only the standard library. Importing
this package touches no logger: each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmlog.testing.anthropic import anthropic_answer, anthropic_error, anthropic_events
    from llmlog.testing.backends import FakeBackend
    from llmlog.testing.canaries import Canaries, Found
    from llmlog.testing.captured import ABSENT, Captured, assert_one_summary, capture
    from llmlog.testing.chains import Chain
    from llmlog.testing.clocks import FakeClock
    from llmlog.testing.openai import openai_answer, openai_error, openai_events
    from llmlog.testing.scripts import Script, ToolCall
    from llmlog.testing.servers import Request, ScriptedServer, serve
    from llmlog.testing.transports import FakeTransport

__all__ = [
    # captured summaries
    "ABSENT", "Captured", "assert_one_summary", "capture",
    # time
    "FakeClock",
    # where records are sent to
    "FakeBackend",
    # personal data and secrets that are to get out nowhere
    "Canaries", "Found",
    # scripts, and their wire forms
    "Script", "ToolCall",
    "anthropic_answer", "anthropic_error", "anthropic_events",
    "openai_answer", "openai_error", "openai_events",
    # a server that plays them, and the check of the whole chain
    "Chain", "Request", "ScriptedServer", "serve",
    # what stands in for the network between a handler and its backend
    "FakeTransport",
]  # fmt: skip

_HOMES = {
    "anthropic": ("anthropic_answer", "anthropic_error", "anthropic_events"),
    "backends": ("FakeBackend",),
    "canaries": ("Canaries", "Found"),
    "captured": ("ABSENT", "Captured", "assert_one_summary", "capture"),
    "chains": ("Chain",),
    "clocks": ("FakeClock",),
    "openai": ("openai_answer", "openai_error", "openai_events"),
    "scripts": ("Script", "ToolCall"),
    "servers": ("Request", "ScriptedServer", "serve"),
    "transports": ("FakeTransport",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


if not TYPE_CHECKING:  # a type checker sees the imports above, and nothing else

    def __getattr__(name: str) -> Any:
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module 'llmlog.testing' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"llmlog.testing.{home}"), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
