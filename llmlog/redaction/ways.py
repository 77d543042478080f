"""What is put in the place of what was found: a word, its last signs, a pseudonym, nothing, or what a function says."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.redaction.escapes import unescaped
from llmlog.redaction.options import resolved
from llmlog.redaction.places import folded

if TYPE_CHECKING:
    from llmlog.redaction.places import Place

__all__ = [
    "DROPPED", "KEYS_VARIABLE", "WAYS", "Way", "Words", "chosen", "mask", "pseudonyms", "replaced", "signing_keys",
    "way",
]  # fmt: skip

Way = Callable[[str], str]
WAYS = ("mask", "partial", "hash", "drop")
KEYS_VARIABLE = "LLMLOG_HASH_KEYS"
"""The environment variable with the keys of pseudonyms, `id:key`, parted by commas; the first one signs."""

DROPPED: Any = object()
"""Stands for a value of which redaction has left nothing: whoever holds it leaves it out."""

_SHOWN = 4
_LETTERS = "abcdefghijklmnop"  # a digest in figures might pass for the number of a card


def mask(kind: str) -> str:
    """The word for a kind: `<EMAIL>`."""
    return "<REDACTED>" if kind == "key" else f"<{kind.upper()}>"


class Words(dict[str, str]):
    """The word for each kind; a detector of the user's own may name further ones."""

    def __missing__(self, kind: str) -> str:
        return mask(kind)


def replaced(text: str, skip: int, places: Iterable[Place], words: Words, ways: Mapping[str, Way]) -> str:
    """What follows the first `skip` characters of a text, with what stands in the places replaced, each in its way."""
    pieces: list[str] = []
    at = skip
    if not skip and not ways:  # as nearly always
        for start, end, kind in places:
            pieces.append(text[at:start])
            pieces.append(words[kind])
            at = end
        pieces.append(text[at:])
        return "".join(pieces)
    for start, end, kind in places:
        if end <= skip:
            continue
        start = max(start, skip)
        if start > at:
            pieces.append(text[at:start])
        at = end
        if kind not in ways:
            pieces.append(words[kind])
        elif word := ways[kind](text[start:end]):
            pieces.append(word)
        elif text[end : end + 1] == " " and (not pieces or pieces[-1][-1] == " "):
            at += 1  # one blank is enough where a word is gone
        elif end == len(text) and pieces and pieces[-1][-1] == " ":
            pieces[-1] = pieces[-1][:-1]
    pieces.append(text[at:])
    return "".join(pieces)


def way(kind: str, how: str | Way, keys: Mapping[str, bytes]) -> Way | None:
    """A function from what was found to what takes its place; None: the word for its kind, whatever it was."""
    if callable(how):
        return how
    if how == "partial":
        return partial(_partial, word=mask(kind))
    if how == "drop":
        return _nothing
    if how == "hash":
        if not keys:
            raise UsageValueError(
                f'replace={{{kind!r}: "hash"}} needs a key: hash_keys={{"k1": ...}} or {KEYS_VARIABLE}'
            )
        return partial(_pseudonym, kind=kind, keys=dict(list(keys.items())[:1]))
    return None


def _partial(found: str, word: str) -> str:
    signs = [at for at, sign in enumerate(found) if sign.isalnum()]
    return f"****{found[signs[-_SHOWN] :]}" if len(signs) >= 2 * _SHOWN else word


def _nothing(found: str) -> str:
    return ""


def _pseudonym(found: str, kind: str, keys: Mapping[str, bytes]) -> str:
    return pseudonyms(kind, found, keys)[0]


def pseudonyms(kind: str, found: str, keys: Mapping[str, bytes]) -> list[str]:
    """The pseudonym of what was found under each of the keys: `<EMAIL:k1:mdpaocnlbhjgkfie>`."""
    normal = _normal(kind, found)
    name = mask(kind)[1:-1]
    made = []
    for key_id, key in keys.items():
        digest = hmac.digest(key, f"{kind}\0{normal}".encode("utf-8", "surrogatepass"), hashlib.sha256)
        made.append(f"<{name}:{key_id}:{''.join(_LETTERS[one >> 4] + _LETTERS[one & 15] for one in digest[:8])}>")
    return made


_NUMERIC = frozenset({"card", "phone", "ssn"})


def _normal(kind: str, found: str) -> str:
    """One spelling for what is the same person's: without blanks and hyphens, in small letters."""
    shown = folded(found)
    while seen := unescaped(shown):
        shown = seen[0]
    if kind in _NUMERIC:
        return re.sub(r"\D", "", shown.partition("ext")[0]).removeprefix("00" if kind == "phone" else "")
    if kind in ("email", "userinfo"):
        return shown.casefold()
    if kind in ("api_key", "key"):
        return found
    return re.sub(r"[\W_]", "", found).casefold()


_KEY_ID = re.compile("[A-Za-z_][A-Za-z0-9_]{0,15}")


def signing_keys(given: Mapping[str, str | bytes] | None) -> dict[str, bytes]:
    """The keys of pseudonyms, by their ids: those given, otherwise those of the environment. The first one signs."""
    source: Any = given
    if given is None:
        source = {}
        for part in filter(None, map(str.strip, os.environ.get(KEYS_VARIABLE, "").split(","))):
            key_id, colon, key = part.partition(":")
            if not colon:
                raise UsageValueError(f"{KEYS_VARIABLE} holds id:key, parted by commas; one part has no colon")
            source[key_id] = key
    if not isinstance(source, Mapping):
        raise UsageTypeError(f"hash_keys must map ids to keys, not {shown(type(given).__name__)}")
    made = {}
    for key_id, key in source.items():
        if not isinstance(key_id, str) or not _KEY_ID.fullmatch(key_id):
            raise UsageValueError(f"the id of a key is up to 16 letters, digits and _, not {shown(key_id)}")
        if not isinstance(key, (str, bytes)):
            raise UsageTypeError(f"the key {key_id} must be text or bytes, not {type(key).__name__}")
        made[key_id] = key.encode() if isinstance(key, str) else key
        if len(made[key_id]) < 16:
            raise UsageValueError(f"the key {key_id} is too short: 16 bytes at least, {len(made[key_id])} were given")
    return made


def chosen(replace: str | Way | Mapping[str, str | Way] | None, kinds: Iterable[str]) -> dict[str, str | Way]:
    """How each kind is replaced, from the option: one way for all, or a mapping from kinds, `*` for the others."""
    if replace is None:
        return {}
    known = [*kinds, "key"]
    given = replace if isinstance(replace, Mapping) else {"*": replace}
    for kind, how in given.items():
        if kind != "*" and kind not in known:
            raise UsageValueError(f"replace names no kind: {shown(kind)}; there are {', '.join(sorted(known))}")
        if isinstance(how, str) and how not in WAYS and "." not in how:
            raise UsageValueError(f"no way to replace: {shown(how)}; there are {', '.join(WAYS)}, and functions")
    made = {kind: how if how in WAYS else resolved("replace", how) for kind, how in given.items()}
    return {kind: made[kind] if kind in made else made["*"] for kind in known if kind in made or "*" in made}
