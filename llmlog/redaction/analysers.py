"""Names and addresses: found by a language model, which takes milliseconds, so never on the caller's path.

An analyser is a function from a text to spans, `(start, end)` or `(start, end, kind)`. `RedactFilter(analyser=...)`
runs it on a handler behind a queue, in the listener's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from llmlog.exceptions import UsageValueError
from llmlog.redaction.places import Span

__all__ = ["Analyser", "presidio"]

Analyser = Callable[[str], Iterable[Span | tuple[int, int, str]]]

_ENTITIES = ("PERSON", "LOCATION", "NRP")


def presidio(
    engine: Any = None, *, entities: Iterable[str] = _ENTITIES, language: str = "en", score: float = 0.5
) -> Analyser:
    """Presidio as an analyser: `engine` is an `AnalyzerEngine`, by default its own with its own language model.

    Findings under `score` are left. Their kinds are Presidio's entities, in small letters: `person`, `location`.
    """
    if engine is None:
        try:
            from presidio_analyzer import AnalyzerEngine
        except ModuleNotFoundError as error:
            raise UsageValueError("presidio needs presidio-analyzer: pip install 'llmlog[presidio]'") from error
        engine = AnalyzerEngine()
    wanted = list(entities)

    def analyse(text: str) -> Iterable[tuple[int, int, str]]:
        found = engine.analyze(text=text, entities=wanted, language=language, score_threshold=score)
        return [(one.start, one.end, one.entity_type.lower()) for one in found]

    return analyse
