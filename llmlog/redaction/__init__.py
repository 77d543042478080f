"""Personal data and secrets: found by detectors, replaced by a redactor."""

from llmlog.redaction.configured import build, configure, current, redact
from llmlog.redaction.engine import KEYS, REDACTED, WITHHELD, Redactor

__all__ = ["KEYS", "REDACTED", "WITHHELD", "Redactor", "build", "configure", "current", "redact"]
