"""Personal data and secrets: found by detectors, replaced by a redactor."""

from llmlog.redaction.engine import KEYS, WITHHELD, Redactor, build, configure, current, redact

__all__ = ["KEYS", "WITHHELD", "Redactor", "build", "configure", "current", "redact"]
