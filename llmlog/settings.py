"""What `llmlog.configure()` has set: one frozen object, replaced as a whole, read where it is needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from llmlog.exceptions import UsageTypeError, UsageValueError, shown

__all__ = ["CAPTURED", "Settings", "captured_characters", "change", "current"]

CAPTURED = 8_000
"""Characters of the prompt and of the response that `capture=True` keeps."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of this process. `llmlog.configure` documents and validates each of them."""

    capture: int = 0
    """How many characters of the prompt and of the response go into a record; 0: none of either."""
    ask_usage: bool = False
    """Whether wrapped clients ask for usage in a stream where the caller has not chosen."""
    deployments: Mapping[str, str] = field(default_factory=dict)
    """Azure's deployment name -> the model behind it."""
    log_start: bool = False
    """Whether each call logs a DEBUG record when it starts."""
    prices: Any = None
    """The user's own price table (`llmlog.price_tables.PriceTable`), over genai-prices'; None: there is none."""
    budget_usd: float | None = None
    """What one request may cost before it is told; None: any sum."""
    on_budget: Callable[[Any], object] | None = None
    """What to call then, with the request's totals (`llmlog.Totals`)."""
    clock: Callable[[], float] = time.perf_counter
    """Seconds, for everything that is measured; tests put their own here."""


_settings = Settings()


def current() -> Settings:
    """The options in force now."""
    return _settings


def change(**options: Any) -> None:
    """Replace the named options."""
    global _settings
    _settings = replace(_settings, **options)


def captured_characters(capture: bool | int) -> int:
    """What `capture=` means, in characters: False is 0, True is `CAPTURED`."""
    if isinstance(capture, bool):
        return CAPTURED if capture else 0
    if not isinstance(capture, int):
        raise UsageTypeError(f"capture is True, False or a number of characters, got {shown(capture)}")
    if capture < 0:
        raise UsageValueError(f"capture is a number of characters from 0, got {shown(capture)}")
    return capture
