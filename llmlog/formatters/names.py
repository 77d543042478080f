"""Dotted names beside each other: no name may stand for a value and for an object that holds others."""

from __future__ import annotations

from collections.abc import Collection, Iterable

__all__ = ["Taken", "above"]


def above(name: str) -> list[str]:
    """The objects that a dotted name stands in: `a.b.c` in `a.b` and in `a`."""
    found = []
    while "." in name:
        name = name.rpartition(".")[0]
        found.append(name)
    return found


class Taken:
    """The names of a vocabulary, which somebody else's names have to leave alone."""

    def __init__(self, names: Iterable[str]) -> None:
        self.values = frozenset(names)
        """What stands for a value."""
        self.objects = frozenset(parent for name in self.values for parent in above(name))
        """What stands for an object."""

    def free(self, name: str, present: Collection[str]) -> bool:
        """Whether `name` may stand beside those that are `present`, of which the shorter ones came first."""
        if name in present or name in self.objects:
            return False
        return not any(parent in present or parent in self.values for parent in above(name))
