"""A line that has to be short: the longest texts are cut, then the largest fields left out."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import orjson

__all__ = ["fitted"]

SHORT = 64
"""A text of up to this many characters is an id or a name: the last thing to cut."""

_Place = tuple[str, ...]  # of a field: its name, after that of the object that it stands in, if any


def fitted(
    fields: dict[str, Any],
    max_bytes: int,
    *,
    keep: Collection[str],
    whole: str | None = None,
    mark: str,
    inside: str = "",
) -> bytes:
    """`fields`, plain data, as JSON in at most `max_bytes`: long texts cut, then the largest fields left out.

    `keep`: fields that are never left out. `whole`: one that is not cut either. `mark`: the name of the field that
    tells of it. `inside`: the name of the object whose members are fields like the others, and which holds the mark.
    """
    places: dict[_Place, Any] = {(name,): value for name, value in fields.items() if not inside or name != inside}
    above = (inside,) if inside else ()
    if inside:
        places.update({(inside, name): value for name, value in fields.get(inside, {}).items()})
    marked = (*above, mark)
    if marked in places:  # somebody's own field of that name
        other = mark
        while (*above, other) in places:
            other += "_"
        places[(*above, other)] = places.pop(marked)
    places[marked] = True

    def dumped(chosen: Iterable[_Place], limit: int) -> bytes:
        made: dict[str, Any] = {inside: {}} if inside else {}
        for place in chosen:
            value = places[place]
            (made[inside] if len(place) > 1 else made)[place[-1]] = value if place == (whole,) else _cut(value, limit)
        return orjson.dumps(made)

    bare = len(dumped((), 0))
    shortest = {place: len(dumped((place,), SHORT)) - bare + 1 for place in places}  # with its comma
    excess = bare + sum(shortest.values()) - max_bytes
    kept = dict.fromkeys(places)
    loose = [place for place in places if place != marked and not (len(place) == 1 and place[0] in keep)]
    for place in sorted(loose, key=lambda place: (-shortest[place], place)):
        if excess <= 0:
            break
        excess -= shortest[place]
        del kept[place]
    low, high = (SHORT if excess <= 0 else SHORT // 4), max_bytes
    line = dumped(kept, low)
    while high - low > 8:  # the longest texts that still fit
        middle = (low + high) // 2
        longer = dumped(kept, middle)
        if len(longer) <= max_bytes:
            low, line = middle, longer
        else:
            high = middle
    return line


def _cut(value: Any, limit: int) -> Any:
    kind = type(value)
    if kind is str:
        return value if len(value) <= limit else value[:limit] + "…"
    if kind is dict:
        return {name: _cut(item, limit) for name, item in value.items()}
    if kind is list:
        return [_cut(item, limit) for item in value]
    return value
