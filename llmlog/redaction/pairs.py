"""Names and their values in a text: `name=value`, `name: value`, `"name": "value"`, `--name value` and their like."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Literal

__all__ = ["STEMS", "Verdict", "is_reference", "judge", "opaque", "pairs", "squeezed", "stems_of", "stutters"]

Verdict = Literal["any", "opaque"] | None  # which values of a name are secret

STEMS = ("token", "secret", "passw", "passphrase", "pwd", "key", "authorization", "cookie", "credential")
_SURE = re.compile(
    r"(?:password|passwd|passphrase|pwd|apikey|secret|secretkey|secretaccesskey|accesskey|privatekey|authtoken|accesstoken"
    r"|refreshtoken|sessiontoken|bearertoken|authorization|cookie)[0-9]{0,2}$"
)
_TELLING = re.compile(r"(?:[a-z0-9](?:key|secret)|token|credentials?|secrete?)[0-9]{0,2}$|^(?:apikey|token|secret)")
_HARMLESS = re.compile(
    r"public|primary|foreign|keyvault|cache|partition|sort|csrf|xsrf|idempoten|routing|registry|keyword|monkey|sequence|keyname"
    r"|(?:bucket|object|row|shard|group|dedup|storage|s3|json|map|lookup|config|index|hash|metric|topic|redis)_?key"
    r"|(?:next|page|continuation|sync|cursor|stop|eos|bos|pad|unk|mask|per|first|last)(?:page)?token"
)


@lru_cache(maxsize=1024)
def is_reference(name: str) -> bool:
    """Whether a name says where a secret is kept, not what it is."""
    return "keyvault" in name or "secretname" in name or "secretref" in name


@lru_cache(maxsize=1024)
def judge(name: str) -> Verdict:
    """Which values of a name (as `squeezed` has it) are secret: any, those that look drawn at random, none."""
    if _HARMLESS.search(name):
        return None
    return "any" if _SURE.search(name) else "opaque" if _TELLING.search(name) else None


_STRETCHES = ("xxxxxx", "XXXXXX", "******", "######", "000000000000")  # where a secret is still to be filled in
_DIGIT = re.compile("[0-9]")
_LETTER = re.compile("[A-Za-z]")
_MIXED_PIECE = re.compile("(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{10}")


def stutters(value: str) -> bool:
    """Whether a value has a stretch of one sign, as what is still to be filled in has."""
    return any(stretch in value for stretch in _STRETCHES)


def opaque(value: str) -> bool:
    """Whether a value looks drawn at random: long, letters and digits in one piece."""
    if len(value) < 12 or not _DIGIT.search(value) or stutters(value):
        return False
    if not _LETTER.search(value):
        return len(value) >= 16 and value.isdecimal()
    return len(set(value)) >= 6 and (len(value) >= 24 or _MIXED_PIECE.search(value) is not None)


_AFTER_STEM = re.compile(
    r"""([\w\-]{0,24}+)
    (?: \\?["'`]?\]?(?:\[[0-9]*\])?[ \t]{0,4}(?:(?:string|str)[ ])?(?:[:=?.|!]{0,3}=>?|:)[=:]{0,2}[ \t]{0,8}
      | \\?["'],[ ]{0,2}(?=\\?["'])
      | (?P<tag>>)\s{0,12}
      | (?P<blank>[ ])(?=\S{16}) )
    (?P<quote>\\?["'`])?
    (?:(?:bearer|basic|token|negotiate|bot|apikey)[ ]{1,3}|(?P<signed>digest|aws4-hmac-sha256)[ ]{1,3})?""",
    re.VERBOSE,
)
_PLAIN = re.compile(  # `name=value`, as most are
    r"([\w\-]{0,24}+)=(?=[a-z0-9/+])(?!(?:bearer|basic|token|negotiate|bot|apikey|digest|aws4-hmac-sha256) )"
)
_WORD_BEFORE = re.compile(r"[a-z]+ \Z")
_BEFORE_STEM = re.compile(r"[\w.\-]*\Z")
_CLOSING = re.compile(r"\s{0,12}</")
_BOUND = 256
_VALUES = {
    "": re.compile(r"[^\s,;&\"'`<>\\]{0,256}"),
    '"': re.compile(r'(?:[^"\\\n]|\\.){0,256}'),
    "'": re.compile(r"(?:[^'\\\n]|\\.){0,256}"),
    "`": re.compile(r"[^`\n]{0,256}"),
    "\\": re.compile(r"[^\"'`\\\n]{0,256}"),
    "cookie": re.compile(r"(?:[^\s;,\"'`]|;[ ]?){0,256}"),
    "signed": re.compile(r"[^\r\n'}]{0,256}"),
}
_STRUCTURE = re.compile(r"[\[{]\s{0,8}(?:\\?[\"'0-9]|[\[{])")
_BRACKET = re.compile(r"[\[\]{}]")
_LONGEST = 4096
_PLACEHOLDER = re.compile(
    r"[<{%*$].*|\[[a-z _\-]+\]?|(?:none|null|nil|true|false|undefined|str|string|bytes|int|bool|optional|required"
    r"|missing|invalid|empty|[01]|x{3,}|\.+)\W*",
    re.IGNORECASE | re.DOTALL,
)


def squeezed(name: str) -> str:
    """A name as it is compared: lower case, without `-`, `_`, dots and blanks."""
    return name.lower().replace("_", "").replace("-", "").replace(".", "").replace(" ", "")


Judge = Callable[[str], tuple[Verdict, str]]


def pairs(text: str, stems: Iterable[str], judge: Judge) -> Iterator[tuple[int, int, str]]:
    """The values of `name=value` and its like, where one of `stems` is in the name and `judge` takes it.

    `judge` says of a squeezed name which of its values go, and of what kind they are.
    """
    lower = text.lower()
    if len(lower) != len(text):  # a capital that becomes two characters would shift all places
        lower = re.sub("[A-Z]+", lambda found: found[0].lower(), text)
    for stem in stems:
        reached = 0
        at = lower.find(stem)
        while at >= 0:
            after = at + len(stem)
            place = None
            if at >= reached:
                plain = _PLAIN.match(lower, after)
                if plain:
                    place = _value(text, lower, at, plain.end(1), plain.end(), judge)
                else:
                    found = _AFTER_STEM.match(lower, after)
                    if found:
                        marks = found.group("quote", "blank", "tag", "signed")
                        place = _value(text, lower, at, found.end(1), found.end(), judge, *marks)
            if place:
                yield place
                reached = place[1]
            at = lower.find(stem, after)


def _value(
    text: str,
    lower: str,
    at: int,
    named: int,
    start: int,
    judge: Judge,
    quote: str | None = None,
    blank: str | None = None,
    tag: str | None = None,
    signed: str | None = None,
) -> tuple[int, int, str] | None:
    """The value at `start` of the name whose stem stands at `at` and which ends at `named`, if it goes."""
    first, quote = "", quote or ""
    if at and (lower[at - 1].isalnum() or lower[at - 1] in "_-."):
        before = _BEFORE_STEM.search(lower, max(0, at - 40), at)
        first = before[0] if before else ""
    if blank and not first.startswith("-"):
        return None  # only a command line's option is parted from its value by a blank alone
    name = squeezed(first + lower[at:named])
    verdict, kind = judge(name)
    if verdict is None:
        begins = at - len(first)
        word = _WORD_BEFORE.search(lower, max(0, begins - 20), begins) if lower[begins - 1 : begins] == " " else None
        if not word:
            return None
        verdict, kind = judge(squeezed(word[0]) + name)
        if verdict != "any":  # "api key: x"
            return None
    goes = opaque if verdict == "opaque" else bool
    pattern = _VALUES["signed" if signed else "cookie" if name.endswith("cookie") and not quote else quote[:1]]
    end = start
    if verdict == "any" and not quote and _STRUCTURE.match(text, start):
        end = _closed(text, start)
        if not tag or _CLOSING.match(text, end):  # behind `<API_KEY>` that is no tag
            return start, end, kind
        return None
    while (piece := pattern.match(text, end)) and piece.end() > end:
        end = piece.end()
        if end - start < _BOUND or (end - start == _BOUND and not goes(text[start:end])):
            break  # a long value is read on only where it goes, so that none is read twice
    if tag and not _CLOSING.match(text, end):
        goes = opaque
    value = text[start:end] if quote else text[start:end].rstrip(".)]}:|")
    if not value or not goes(value[:_BOUND]) or _PLACEHOLDER.fullmatch(value):
        return None
    if stutters(value[:64]) and len(set(value)) < 12:
        return None
    return start, start + len(value), kind


def _closed(text: str, start: int) -> int:
    """Where a list or an object that begins at a place ends; where it never does, or is long, as far as is looked."""
    depth = 0
    for bracket in _BRACKET.finditer(text, start, start + _LONGEST):
        depth += 1 if bracket[0] in "[{" else -1
        if depth == 0:
            return bracket.end()
    return min(len(text), start + _LONGEST)


def stems_of(keys: Iterable[str]) -> tuple[str, ...]:
    """Texts of which one is in every spelling of every key: `key` in `api_key`, `API-Key` and `apikey`."""
    stems: list[str] = []
    for key in sorted(keys, key=lambda key: len(_parts(key))):
        if not any(stem in part for part in _parts(key) for stem in stems):
            stems.append(_parts(key)[-1])
    return tuple(stem for stem in stems if not any(other in stem for other in stems if other != stem))


def _parts(key: str) -> list[str]:
    return [part for part in re.split("[-_. ]+", key.lower()) if part]
