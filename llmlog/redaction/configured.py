"""The redactor that is configured: `redact()` uses it, and every filter that has none of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.redaction import options
from llmlog.redaction.engine import Redactor

__all__ = ["build", "configure", "current", "redact"]

_OPTIONS = ("kinds", "patterns", "keys", "detectors", "replace", "allow", "allow_patterns", "hash_keys")


def build(option: Any = None) -> Redactor:
    """A `Redactor` from what a configuration says.

    None or True: all kinds. False: nothing is found. A list: these kinds. A mapping: `Redactor`'s arguments.
    """
    if isinstance(option, Redactor):
        return option
    if option is None or option is True:
        return Redactor()
    if option is False:
        return Redactor.of_nothing()
    if isinstance(option, Mapping):
        for name in option:
            if name not in _OPTIONS:
                known = ", ".join(_OPTIONS)
                raise UsageValueError(f"no option of redaction: {shown(name)}; there are {known}")
        return Redactor(**option)
    return Redactor(options.names("redaction", option))


_configured: Redactor | None = None


def configure(redactor: Redactor) -> None:
    """Make this the redactor of `redact()` and of every `RedactFilter` that has none of its own."""
    global _configured
    if not isinstance(redactor, Redactor):
        raise UsageTypeError(f"a Redactor is needed here, not {shown(redactor)}")
    _configured = redactor


def current() -> Redactor:
    """The configured redactor; one that finds every kind, where none was configured."""
    global _configured
    if _configured is None:
        _configured = Redactor()
    return _configured


def redact(value: Any) -> Any:
    """`value`, text or any object, with personal data and secrets replaced: `<EMAIL>`, `<REDACTED>`, ...

    The same object where nothing was found, a redacted plain copy otherwise. Never raises: what cannot be
    redacted comes back as `<withheld: redaction failed>`.
    """
    return current().value(value)
