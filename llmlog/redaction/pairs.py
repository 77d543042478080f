"""Names and their values in a text: `name=value`, `name: value`, `"name": "value"`, `--name value` and their like."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from typing import Literal

from llmlog.redaction.places import Place

__all__ = ["STEMS", "Judge", "Verdict", "is_reference", "judge", "opaque", "pairs", "stutters"]

Verdict = Literal["any", "opaque"] | None  # which values of a name are secret

STEMS = ("token", "secret", "pass", "pw", "key", "authorization", "cookie", "credential")
_SURE = re.compile(
    r"(?:(?:password|passwd|passphrase)(?:hash|confirm(?:ation)?|repeat|again)?|passcode|pwd|apikey|secret|secretkey"
    r"|secretaccesskey|accesskey|privatekey(?:pem)?|authtoken|accesstoken|refreshtoken|sessiontoken|bearertoken"
    r"|authorization|authheader|basicauth|cookie"
    r"|(?:user|root|admin|login|auth|db|database|sql|mysql|pg|postgres|postgresql|mongo|mongodb|redis|mq|rabbitmq|amqp|kafka"
    r"|ldap|smtp|imap|mail|email|ftp|sftp|ssh|http|proxy|elastic|opensearch|keystore|truststore)(?:pass|pw)|^pw)[0-9]{0,2}$"
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


_DIGIT = re.compile("[0-9]")
_BOTH = re.compile("(?=[^0-9]*+[0-9])[^A-Za-z]*+[A-Za-z]")
_MIXED_PIECE = re.compile("(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{10}")


def stutters(value: str) -> bool:
    """Whether a value has a stretch of one sign, as what is still to be filled in has."""
    return "xxxxxx" in value or "XXXXXX" in value or "******" in value or "######" in value or "000000000000" in value


def opaque(value: str) -> bool:
    """Whether a value looks drawn at random: long, letters and digits in one piece."""
    size = len(value)
    if size < 12 or stutters(value):
        return False
    if not _BOTH.match(value):
        return size >= 16 and value.isdecimal() and _DIGIT.search(value) is not None
    if len(set(value[:16])) < 6 and len(set(value)) < 6:  # the first signs tell of most
        return False
    if size < 24 and not _MIXED_PIECE.search(value):
        return False
    return ("-" not in value and "_" not in value) or not _is_made_up(value)


_EXAMPLES = ("example", "placeholder", "changeme", "dummy", "your")
_EXAMPLE = re.compile(rf"(?<![0-9a-z@.])(?:{'|'.join(_EXAMPLES)})(?![0-9a-z.])")
_REPEATED = re.compile(r"([0-9]{3,}+)[^0-9A-Za-z]\1[^0-9A-Za-z]\1(?![0-9A-Za-z])")


def _is_made_up(value: str) -> bool:
    """Whether a value says itself that it is an example: by a word, or by figures three times over."""
    lower = value.lower()
    for word in _EXAMPLES:
        if word in lower and _EXAMPLE.search(lower):
            return True
    return _REPEATED.search(value) is not None


_AFTER_STEM = re.compile(
    r"""([\w\-]{0,24}+)
    (?: \\{0,15}["'`*]{0,3}\]?(?:\[[0-9]*\])?[ \t]{0,4}(?:(?:string|str)[ ])?(?:[:=?.|!]{0,3}=>?|:)[=:]{0,2}[*]{0,2}
        [ \t]{0,8}
        (?P<line>[|>]?[+-]?\r?\n[ \t]{1,16}(?:-[ ])?)?
      | \\{0,15}["'],?[ ]{0,2}(?:\\{0,15}["'])?value(?:\\{0,15}["'])?[ ]{0,2}(?:(?P<held>=)|:)
        [ ]{0,2}(?=[bru]{0,2}\\{0,15}["'])
      | \\{0,15}["'](?P<next>,)[ ]{0,2}(?=[bru]{0,2}\\{0,15}["'])
      | (?P<said>[ ])(?=["'][^"'\s]{1,64}["'])
      | (?P<tag>>)\s{0,12}
      | (?P<blank>[ ])(?=\S{16}) )
    (?:(?:[a-z_][\w.]{0,40}\()?[bru]{0,2}(?=["']))?(?P<quote>\\{0,15}["'`])?
    (?:(?:bearer|basic|token|negotiate|bot|api-?key|ntlm|dpop|jwt|oauth|splunk|genie-?key|key)[ ]{1,3}
      |(?P<signed>digest|aws4-hmac-sha256)[ ]{1,3})?""",
    re.VERBOSE,
)
_BLANKS = r"\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # `\s`, but looked up in one table
_PLAIN = re.compile(  # `name=value`, as most are
    r"([\w\-]{0,24}+)=(?!(?:bearer|basic|token|negotiate|bot|api-?key|ntlm|dpop|jwt|oauth|splunk|genie-?key|key|digest"
    r"|aws4-hmac-sha256) )"
    rf"([a-z0-9/+][^{_BLANKS},;&\"'`<>\\]{{0,80}}+)(?=[{_BLANKS},;&<>\\]|\Z)"
)
_SMALL_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_IN_NAMES = _SMALL_LETTERS + "0123456789_-."
_TRAILING = ".)]}:|"
_CLOSING = re.compile(r"\s{0,12}</")
_BOUND = 256
_VALUES = {
    "": re.compile(rf"[^{_BLANKS},;&\"'`<>\\]{{0,256}}"),
    '"': re.compile(r'(?:[^"\\\n]|\\.){0,256}'),
    "'": re.compile(r"(?:[^'\\\n]|\\.){0,256}"),
    "`": re.compile(r"[^`\n]{0,256}"),
    "\\": re.compile(r"[^\"'`\\\n]{0,256}"),
    "cookie": re.compile(r"(?:[^\s;,\"'`]|;[ ]?){0,256}"),
    "signed": re.compile(r"[^\r\n'}]{0,256}"),
}
_STRUCTURE = re.compile(r"[\[{]\s{0,8}(?:\\{0,15}[\"'0-9]|[\[{])")
_LISTED = re.compile(r"\[\s{0,8}\\{0,15}[\"']([^\"'\\\n]{12,256})")
_BRACKET = re.compile(r"[\[\]{}]")
_LONGEST = 4096
_PLACEHOLDER = re.compile(
    r"[<{%*$].*|\[[a-z _\-]+\]?|(?:none|null|nil|true|false|undefined|str|string|bytes|int|bool|optional|required"
    r"|missing|invalid|empty|[01]|x{3,}|\.+)\W*",
    re.IGNORECASE | re.DOTALL,
)
_PLACEHOLDERS_BEGIN = frozenset("<{%*$[nNtTfFuUsSbBiIoOrRmMeE01xX.")


Judge = Callable[[str], tuple[Verdict, str]]
"""Says of a name, in small letters, which of its values go, and of what kind they are."""


def pairs(text: str, stems: Iterable[str], judge: Judge, known: Collection[Place] = ()) -> list[Place]:
    """The values of `name=value` and its like, where one of `stems` is in the name and `judge` takes it.

    `known`: what was found already; a value among it is not looked at again.
    """
    made: list[Place] = []
    lower = text.lower()
    if len(lower) != len(text):  # a capital that becomes two characters would shift all places
        lower = re.sub("[A-Z]+", lambda found: found[0].lower(), text)
    for stem in stems:
        reached = 0
        at = lower.find(stem)
        while at >= 0:
            after = at + len(stem)
            place = None
            if at < reached:
                pass
            elif found := _PLAIN.match(lower, after):
                place = _plain_value(text, lower, at, found, judge, known)
            elif found := _AFTER_STEM.match(lower, after):
                place = _value(text, lower, at, found, judge, known)
            if place:
                made.append(place)
                reached = place[1]
            at = lower.find(stem, after)
    return made


def _plain_value(
    text: str, lower: str, at: int, found: re.Match[str], judge: Judge, known: Collection[Place]
) -> Place | None:
    """The value of `name=value` whose name's stem stands at `at`, if it goes."""
    begins = _beginning(lower, at) if lower[at - 1 : at] in _IN_NAMES else at
    name = lower[begins : found.end(1)]
    verdict, kind = judge(name)
    if verdict is None:
        verdict, kind = _judged_with_word(lower, begins, name, judge)
        if verdict is None:
            return None
    start, end = found.span(2)
    if name.endswith("cookie"):
        end = _reached(_VALUES["cookie"], text, start, bool)
    return _taken(start, text[start:end].rstrip(_TRAILING), verdict, kind, known)


def _value(
    text: str, lower: str, at: int, found: re.Match[str], judge: Judge, known: Collection[Place]
) -> Place | None:
    """The same for every other spelling of a name and its value."""
    quote, blank, tag, signed, said = found.group("quote", "blank", "tag", "signed", "said")
    begins, start = _beginning(lower, at), found.end()
    if blank and lower[begins] != "-":
        return None  # only a command line's option is parted from its value by a blank alone
    name = lower[begins : found.end(1)]
    verdict, kind = judge(name)
    if verdict is None:
        verdict, kind = _judged_with_word(lower, begins, name, judge)
    if verdict is None or (said and not name.endswith("password")):
        return None
    if found["line"] or found["held"]:
        verdict = "opaque"
    if verdict == "opaque" and not quote and (listed := _LISTED.match(text, start)):
        return _taken(listed.start(1), listed[1], verdict, kind, known) and (start, _closed(text, start), kind)
    if verdict == "any" and not quote and _STRUCTURE.match(text, start):
        end = _closed(text, start)
        if not tag or _CLOSING.match(text, end):  # behind `<API_KEY>` that is no tag
            return start, end, kind
        return None
    if signed:
        pattern = _VALUES["signed"]
    elif quote:
        pattern = _VALUES[quote[0]]
    else:
        pattern = _VALUES["cookie" if name.endswith("cookie") else ""]
    end = _reached(pattern, text, start, opaque if verdict == "opaque" else bool)
    if found["next"] and (text[begins - 2 : begins - 1] == "." or text[end : end + 18].lstrip("\\")[1:2] in (".", ":")):
        return None  # the columns of a query; a name of its own
    if tag and not _CLOSING.match(text, end):
        verdict = "opaque"
    return _taken(start, text[start:end] if quote else text[start:end].rstrip(_TRAILING), verdict, kind, known)


def _beginning(lower: str, at: int) -> int:
    """Where the name begins whose stem stands at a place."""
    head = lower[at - 40 if at > 40 else 0 : at]
    return at - len(head) + len(head.rstrip(_IN_NAMES))


def _judged_with_word(lower: str, begins: int, name: str, judge: Judge) -> tuple[Verdict, str]:
    """What a name means together with the word before it: "api key: x"."""
    if begins and lower[begins - 1] == " ":
        head = lower[begins - 20 if begins > 20 else 0 : begins - 1]
        word = head[len(head.rstrip(_SMALL_LETTERS)) :]
        if word:
            judged = judge(word + name)
            if judged[0] == "any":
                return judged
    return None, ""


def _reached(pattern: re.Pattern[str], text: str, start: int, goes: Callable[[str], object]) -> int:
    """Where a value ends; a long one is read on only where it goes, so that none is read twice."""
    end = start
    while (piece := pattern.match(text, end)) and piece.end() > end:
        end = piece.end()
        if end - start < _BOUND or (end - start == _BOUND and not goes(text[start:end])):
            break
    return end


def _taken(start: int, value: str, verdict: Verdict, kind: str, known: Collection[Place]) -> Place | None:
    """The place of a value, unless it is known, a placeholder, or looks too plain for what its name may hold."""
    if not value:
        return None
    place = start, start + len(value), kind
    if verdict == "opaque":
        if place in known or not opaque(value[:_BOUND]):
            return None
    elif stutters(value[:64]) and len(set(value)) < 12:
        return None
    if value[0] in _PLACEHOLDERS_BEGIN and _PLACEHOLDER.fullmatch(value):
        return None
    return place


def _closed(text: str, start: int) -> int:
    """Where a list or an object that begins at a place ends; where it never does, or is long, as far as is looked."""
    depth = 0
    for bracket in _BRACKET.finditer(text, start, start + _LONGEST):
        depth += 1 if bracket[0] in "[{" else -1
        if depth == 0:
            return bracket.end()
    return min(len(text), start + _LONGEST)
