"""Log records as lines: JSON for machines, and a plain layout for people."""

from __future__ import annotations

from llmlog.formatters.console import ConsoleFormatter
from llmlog.formatters.json import JSONFormatter

__all__ = ["ConsoleFormatter", "JSONFormatter"]
