"""What the name of a field says of its value: that it goes, whatever it is, or how to read it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

__all__ = ["KEYS", "Names", "named_inside", "options_in", "squeezed", "stems_of"]

KEYS = (
    "password", "passwd", "passphrase", "pwd", "secret", "secret_key", "secret_access_key", "api_key",
    "private_key", "authorization", "cookie", "set-cookie", "access_token", "refresh_token", "auth_token",
    "session_token", "bearer_token", "ssn", "cvv", "cvc",
)  # fmt: skip
"""Names whose value goes, whatever it is. `-`, `_` and capitals make no difference; `db_password` is one."""

# What the name of a field says about its text; the detectors read it in front of the text.
_NUMBERED = ("", "number", "no", "nr")
_PHONES = ("phone", "mobile", "cell", "fax", "tel", "telephone", "whatsapp", "msisdn")
_HINTS: tuple[tuple[tuple[str, ...], str | None], ...] = (
    (tuple(name + number for name in _PHONES for number in _NUMBERED), "phone: "),
    (("iban",), "iban: "),
    (("dob", "birthdate", "dateofbirth", "birthday"), "born: "),
    (tuple(name + number for name in ("card", "pan") for number in _NUMBERED), "card: "),
    (("token", "tokens", "key", "keys", "secret", "secrets", "credential", "credentials"), None),  # its own name
)
_KNOWN = 4096


def squeezed(name: str) -> str:
    """A name as it is compared: lower case, without `-`, `_`, dots and blanks."""
    return name.lower().replace("_", "").replace("-", "").replace(".", "").replace(" ", "")


def stems_of(keys: Iterable[str]) -> tuple[str, ...]:
    """Texts of which one is in every spelling of every key: `key` in `api_key`, `API-Key` and `apikey`."""
    stems: list[str] = []
    for key in sorted(keys, key=lambda key: len(_parts(key))):
        if not any(stem in part for part in _parts(key) for stem in stems):
            stems.append(_parts(key)[-1])
    return tuple(stem for stem in stems if not any(other in stem for other in stems if other != stem))


def _parts(key: str) -> list[str]:
    return [part for part in re.split("[-_. ]+", key.lower()) if part]


def named_inside(fields: Mapping[Any, Any]) -> tuple[str, str] | None:
    """The field of an object that holds a value, and the name that another field gives it.

    As in `{"name": "Cookie", "value": "..."}`: so headers and variables of the environment are often kept.
    """
    holder = "value" if "value" in fields else "Value" if "Value" in fields else None
    if holder is not None:
        for field in _NAME_FIELDS:
            name = fields.get(field)
            if type(name) is str:
                return holder, name
    return None


def options_in(members: Sequence[Any]) -> dict[int, str]:
    """Where in a command's arguments an option's value stands, and the option: `["login", "--password", ...]`."""
    if len(members) < 2 or type(members[0]) is not str:
        return {}
    return {
        at: member.lstrip("-")
        for at, member in enumerate(members[:-1], 1)
        if type(member) is str and member.startswith("--") and "=" not in member
    }


_NAME_FIELDS = ("name", "key", "header", "Name", "Key", "Header")


class Names:
    """Reads names; what it has learnt of those that come again and again it keeps.

    `judge`: says "any" of the further names, as `squeezed` has them, whose values are secret whatever they are.
    """

    def __init__(self, keys: Iterable[str], judge: Callable[[str], object] | None = None) -> None:
        self._exact = frozenset(map(squeezed, keys))
        self._endings = tuple(key for key in self._exact if len(key) >= 6)
        self._judge = judge
        self._known: dict[str, tuple[bool, str]] = {}

    def tell(self, name: str) -> tuple[bool, str]:
        """Whether the value of this name goes, and otherwise what to read in front of it."""
        return self._known.get(name) or self._learn(name)

    def _learn(self, key: str) -> tuple[bool, str]:
        name = squeezed(key)
        single = name.removesuffix("s")
        goes = name in self._exact or single in self._exact or name.endswith(self._endings)
        goes = goes or single.endswith(self._endings) or (self._judge is not None and self._judge(name) == "any")
        hint = next((text or f"{key}: " for endings, text in _HINTS if name.endswith(endings)), "")
        if len(self._known) >= _KNOWN:
            self._known.clear()
        if len(key) <= 64:
            self._known[key] = goes, hint
        return goes, hint
