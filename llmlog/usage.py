"""How much one call used, in one meaning for every provider: tokens, and what is charged beside them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from llmlog.exceptions import UsageTypeError, UsageValueError, shown

__all__ = ["Usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Counts of tokens. None means not known; 0 means that there were none.

    `input_tokens` includes the cached ones (`cache_read_tokens`, `cache_write_tokens`), `output_tokens` includes
    the reasoning ones, and each those of its audio, images and video, whatever a provider's own way of counting is.
    `cache_write_1h_tokens` are those of the written ones that are kept for an hour, `cache_audio_read_tokens` and
    `cache_image_read_tokens` those of the read ones that are audio and images. `web_searches` counts no tokens: it is
    how many the provider made and charges for. UsageTypeError or UsageValueError for what is no count.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    input_audio_tokens: int | None = None
    output_audio_tokens: int | None = None
    input_image_tokens: int | None = None
    output_image_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    cache_audio_read_tokens: int | None = None
    cache_image_read_tokens: int | None = None
    input_video_tokens: int | None = None
    output_video_tokens: int | None = None
    web_searches: int | None = None

    def __post_init__(self) -> None:
        for count in _counts(self):
            if count is not None and (type(count) is not int or count < 0):
                self._check()
                return

    def _check(self) -> None:
        for field in fields(self):
            count = getattr(self, field.name)
            if count is None:
                continue
            if isinstance(count, bool) or not isinstance(count, int):
                raise UsageTypeError(f"{field.name} is a whole number or None, got {shown(count)}")
            if count < 0:
                raise UsageValueError(f"{field.name} may not be negative, got {shown(count)}")

    @property
    def total_tokens(self) -> int | None:
        """Input and output together; None where either is not known."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return self.input_tokens + self.output_tokens

    def as_fields(self) -> dict[str, Any]:
        """The known counts under the names of the summary record."""
        known = {f.name: getattr(self, f.name) for f in fields(self)}
        known["total_tokens"] = self.total_tokens
        return {name: count for name, count in known.items() if count is not None}


_counts = attrgetter(*Usage.__slots__)
"""All of them at once: a usage is made for each call."""
