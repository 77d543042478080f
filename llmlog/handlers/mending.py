"""Lines in another form, for a backend that has refused them: the texts suffer, the figures arrive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from llmlog.formatters.ecs import ECS
from llmlog.formatters.fitting import fitted
from llmlog.formatters.flat import Flat
from llmlog.formatters.otel import OTel

__all__ = ["moved_aside", "shortened"]

UNMAPPED = "unmapped"


def shortened(line: bytes, limit: int) -> bytes | None:
    """`line` in at most `limit` bytes, marked as truncated; None where it cannot be."""
    fields = _read(line)
    if fields is None or limit < 1:
        return None
    schema: type[ECS | OTel | Flat] = Flat
    if "@timestamp" in fields:
        schema = ECS
    elif "Timestamp" in fields and isinstance(fields.get(OTel.inside), dict):
        schema = OTel
    (fields[schema.inside] if schema.inside else fields).pop(schema.mark, None)  # it was cut before
    made = fitted(fields, limit, keep=schema.keep, whole=schema.keep[0], mark=schema.mark, inside=schema.inside)
    return made if len(made) <= limit else None


def moved_aside(line: bytes, is_moved: Callable[[str], bool]) -> bytes | None:
    """`line` with the fields that `is_moved` names as one text, JSON in `unmapped`; None where there are none.

    A text cannot be at odds with an index's mapping, whatever is in it.
    """
    fields = _read(line)
    if fields is None:
        return None
    before = fields.pop(UNMAPPED, None)
    moved = {name: fields.pop(name) for name in [name for name in fields if is_moved(name)]}
    if not moved:
        return None
    if isinstance(before, str) and (earlier := _read(before.encode())) is not None:
        moved = {**earlier, **moved}
    elif before is not None:
        moved[UNMAPPED] = before
    return orjson.dumps({**fields, UNMAPPED: orjson.dumps(moved).decode()})


def _read(line: bytes) -> dict[str, Any] | None:
    try:
        fields = orjson.loads(line)
    except ValueError:
        return None
    return fields if type(fields) is dict else None
