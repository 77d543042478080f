"""The exceptions that llmlog raises at the call, never later, and never into a stream.

    Exception
     +-- TypeError
     |    +-- UsageTypeError       an argument of the wrong type
     +-- ValueError
          +-- UsageValueError      an argument of the right type, with a value that has no meaning

Both are also `LLMLogError`, so that one `except` catches every error of use. Their messages name the value.
Nothing else is raised: what goes wrong inside is counted and reported by `llmlog.faults`.
"""

from __future__ import annotations

__all__ = ["LLMLogError", "UsageTypeError", "UsageValueError", "shown"]


class LLMLogError(Exception):
    """The base of every error that llmlog raises."""


class UsageTypeError(LLMLogError, TypeError):
    """An argument has the wrong type."""


class UsageValueError(LLMLogError, ValueError):
    """An argument has the right type, and a value that has no meaning here."""


def shown(value: object, limit: int = 80) -> str:
    """`repr(value)` for an error message: cut to `limit` characters, and never raising."""
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}, whose repr() fails>"
    return text if len(text) <= limit else text[: limit - 1] + "…"
