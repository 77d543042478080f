"""Where secrets stand in a text: keys and tokens by their issuers' shapes, and the values of telling names.

Pure functions in linear time, as those in `llmlog.redaction.detectors`.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Literal

__all__ = ["Span", "Verdict", "api_key", "pairs", "squeezed"]

Span = tuple[int, int]
Verdict = Literal["any", "opaque"] | None  # which values of a name are secret

_DIGIT = re.compile("[0-9]")

_TOKEN = r"[A-Za-z0-9_\-]"
_B = r"(?<![A-Za-z0-9])"
# A text that must be there, and the shape around it. The shapes are the issuers' own.
_SHAPES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (literal, re.compile(shape))
    for literal, shape in (
        ("sk-", rf"{_B}sk-{_TOKEN}{{20,}}+"),  # OpenAI, Anthropic, OpenRouter, Langfuse
        ("k_", rf"{_B}[srp]k_(?:live|test|prod)_[A-Za-z0-9]{{10,}}+"),  # Stripe
        ("A", r"(?<![A-Za-z0-9])A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16}(?![A-Za-z0-9])"),  # AWS
        ("ABSK", r"ABSK[A-Za-z0-9+/]{60,}+=*"),
        ("AIza", rf"{_B}AIza{_TOKEN}{{30,}}+"),  # Google
        ("gh", rf"{_B}gh[pousr]_[A-Za-z0-9]{{20,}}+"),  # GitHub
        ("github_pat_", rf"{_B}github_pat_{_TOKEN}{{20,}}+"),
        ("gl", rf"{_B}gl(?:pat|ptt|rt|dt|ft|soat|cbt|agent|imt|ffct)-{_TOKEN}{{16,}}+"),  # GitLab
        ("GR1348941", rf"GR1348941{_TOKEN}{{18,}}+"),
        ("xox", rf"{_B}xox[abeoprs](?:\.xox[a-z])?-[A-Za-z0-9\-]{{10,}}+"),  # Slack
        ("xapp-", rf"{_B}xapp-[0-9]-[A-Za-z0-9\-]{{20,}}+"),
        ("hooks.slack.com", r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{20,}+"),
        ("hf_", rf"{_B}hf_[A-Za-z0-9]{{20,}}+"),  # Hugging Face
        ("gsk_", rf"{_B}gsk_[A-Za-z0-9]{{20,}}+"),  # Groq
        ("SK", rf"{_B}SK[0-9a-f]{{32}}(?![A-Za-z0-9])"),  # Twilio
        ("SG.", rf"{_B}SG\.{_TOKEN}{{16,}}\.{_TOKEN}{{16,}}+"),  # SendGrid
        ("npm_", rf"{_B}npm_[A-Za-z0-9]{{30,}}+"),
        ("pypi-", rf"{_B}pypi-{_TOKEN}{{30,}}+"),
        ("eyJ", rf"{_B}eyJ{_TOKEN}{{8,}}+\.eyJ{_TOKEN}{{8,}}+(?:\.{_TOKEN}*+)*+"),  # JWT
        ("_v1_", rf"{_B}do[opr]_v1_[0-9a-f]{{32,}}+"),  # DigitalOcean
        ("shp", rf"{_B}shp(?:at|ca|pa|ss)_[0-9a-fA-F]{{32}}"),  # Shopify
        ("sq0", rf"{_B}sq0[a-z]{{3}}-{_TOKEN}{{20,}}+"),  # Square
        ("pscale_", rf"{_B}pscale_[a-z]{{2,6}}_[\w=.\-]{{30,}}+"),  # PlanetScale
        ("sntry", rf"{_B}sntry[su]_[\w+/=]{{40,}}+"),  # Sentry
        ("xkeysib-", rf"{_B}xkeysib-{_TOKEN}{{40,}}+"),  # Brevo
        ("AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[A-Z0-9]{40,}+"),
        ("-us", r"(?<![A-Za-z0-9])[0-9a-f]{32}-us[0-9]{1,2}(?![0-9A-Za-z])"),  # Mailchimp
        ("://", r"://[^\s/:@\"'<>]{0,64}+:([^\s/@\"'<>]{1,256}+)@"),  # a password in a URL
    )
)
_SIGNED = re.compile(r"(?<![A-Za-z])(bearer|basic)[ ]{1,3}([A-Za-z0-9+/=_.~\-]{8,}+)", re.IGNORECASE)
_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")

_STEMS = ("token", "secret", "passw", "passphrase", "pwd", "key", "authorization", "cookie", "credential")
_SURE = re.compile(
    r"(?:password|passwd|passphrase|pwd|apikey|secret|secretkey|secretaccesskey|accesskey|privatekey|authtoken|accesstoken"
    r"|refreshtoken|sessiontoken|bearertoken|authorization|cookie)[0-9]{0,2}$"
)
_TELLING = re.compile(r"(?:[a-z0-9](?:key|secret)|token|credentials?|secrete?)[0-9]{0,2}$|^(?:apikey|token|secret)")
_HARMLESS = re.compile(
    r"public|primary|foreign|cache|partition|sort|csrf|xsrf|idempoten|routing|registry|keyword|monkey|sequence"
    r"|(?:next|page|continuation|sync|cursor|stop|eos|bos|pad|unk|mask|per|first|last)(?:page)?token"
)


def api_key(text: str) -> Iterator[Span]:
    """Keys and tokens by their issuers' shapes, private keys, `Bearer`, `Basic`, values of telling names."""
    for literal, shape in _SHAPES:
        if literal in text:
            for found in shape.finditer(text):
                if literal == "://" or _varied(found[0]):
                    yield found.span(shape.groups)
    if "earer " in text or "asic " in text or "EARER " in text or "ASIC " in text:
        for found in _SIGNED.finditer(text):
            if _opaque(found[2]) if len(found[1]) == 6 else _is_basic(found[2]):
                yield found.span(2)
    if "-----BEGIN " in text:
        yield from _private_keys(text)
    yield from pairs(text, _STEMS, _judge)


_STUTTER = re.compile("[xX*#]{6}|0{12}")  # where a secret is still to be filled in


def _private_keys(text: str) -> Iterator[Span]:
    reached, closed = 0, True
    for begin in _PEM.finditer(text):
        if begin.start() < reached:
            continue
        end = text.find("-----END ", begin.end()) if closed else -1
        if end < 0:
            closed = False  # cut off: everything from here is key
            yield begin.start(), len(text)
            return
        reached = text.find("-----", end + 9, end + 80)
        reached = reached + 5 if reached > 0 else end + 9
        if end - begin.end() >= 24:
            yield begin.start(), reached


def _varied(token: str) -> bool:
    """Whether it may be a real secret: "sk-xxxxxxxxxxxxxxxxxxxxxx" and "sk-a-name-in-lower-case" are not."""
    if token.startswith(("AKIA", "ASIA", "ACCA", "ABIA")):
        return True
    return sum(map(str.isdigit, token)) >= 3 and len(set(token)) >= 8 and not _STUTTER.search(token)


def _opaque(value: str) -> bool:
    """Whether a value looks drawn at random: long, letters and digits in one piece."""
    if len(value) < 12 or not _DIGIT.search(value) or _STUTTER.search(value):
        return False
    if not _LETTER.search(value):
        return len(value) >= 16 and value.isdecimal()
    return len(set(value)) >= 6 and (len(value) >= 24 or _LONG_PIECE.search(value) is not None)


_LETTER = re.compile("[A-Za-z]")
_LONG_PIECE = re.compile("[A-Za-z0-9]{10}")


def _is_basic(value: str) -> bool:
    try:
        return b":" in binascii.a2b_base64(value)
    except ValueError:
        return False


@lru_cache(maxsize=1024)
def _judge(name: str) -> Verdict:
    if _HARMLESS.search(name):
        return None
    return "any" if _SURE.search(name) else "opaque" if _TELLING.search(name) else None


# Names and their values: `name=value`, `name: value`, `"name": "value"`, `name => 'value'`, `--name value`

_AFTER_STEM = re.compile(
    r"""([\w\-]{0,24}+)
    (?: \\?["'`]?\]?(?:\[[0-9]*\])?[ \t]{0,4}(?:(?:string|str)[ ])?(?:[:=?.|!]{0,3}=>?|:)[=:]{0,2}[ \t]{0,8}
      | \\?["'],[ ]{0,2}(?=\\?["'])
      | (?P<tag>>)\s{0,12}
      | (?P<blank>[ ])(?=\S{16}) )
    (?P<quote>\\?["'`])?
    (?:(?:bearer|basic|token|digest|negotiate|bot|apikey)[ ]{1,3})?""",
    re.VERBOSE | re.IGNORECASE,
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
    "line": re.compile(r"[^\"'\n]{0,256}"),
}
_PLACEHOLDER = re.compile(
    r"[<{%*$].*|(?:none|null|nil|true|false|undefined|str|string|bytes|int|bool|optional|required|missing|invalid|empty"
    r"|x{3,}|\.+)\W*",
    re.IGNORECASE | re.DOTALL,
)


def squeezed(name: str) -> str:
    """A name as it is compared: lower case, without `-`, `_`, dots and blanks."""
    return name.lower().translate(_SQUEEZE)


_SQUEEZE = str.maketrans("", "", "-_. ")


def pairs(text: str, stems: Iterable[str], judge: Callable[[str], Verdict]) -> Iterator[Span]:
    """The values of `name=value` and its like, where one of `stems` is in the name and `judge` takes it."""
    lower = text.lower()
    if len(lower) != len(text):  # a capital that becomes two characters would shift all places
        lower = re.sub("[A-Z]+", lambda found: found[0].lower(), text)
    for stem in stems:
        reached = 0
        at = lower.find(stem)
        while at >= 0:
            after = at + len(stem)
            found = _AFTER_STEM.match(text, after) if at >= reached else None
            span = _value(text, lower, at, found, judge) if found else None
            if span:
                yield span
                reached = span[1]
            at = lower.find(stem, after)


def _value(text: str, lower: str, at: int, found: re.Match[str], judge: Callable[[str], Verdict]) -> Span | None:
    before = _BEFORE_STEM.search(lower, max(0, at - 40), at)
    first = before[0] if before else ""
    if found["blank"] and not first.startswith("-"):
        return None  # only a command line's option is parted from its value by a blank alone
    name = squeezed(first + lower[at : found.end(1)])
    verdict = judge(name)
    if verdict is None:
        begins = at - len(first)
        word = _WORD_BEFORE.search(lower, max(0, begins - 20), begins) if lower[begins - 1 : begins] == " " else None
        if not word or judge(squeezed(word[0]) + name) != "any":  # "api key: x"
            return None
        verdict = "any"
    goes = _opaque if verdict == "opaque" else bool
    quote = found["quote"] or ""
    pattern = _VALUES["line" if name.endswith("cookie") and not quote else quote[:1]]
    start = end = found.end()
    while (piece := pattern.match(text, end)) and piece.end() > end:
        end = piece.end()
        if end - start < _BOUND or (end - start == _BOUND and not goes(text[start:end])):
            break  # a long value is read on only where it goes, so that none is read twice
    if found["tag"] and not _CLOSING.match(text, end):
        goes = _opaque
    value = text[start:end] if quote else text[start:end].rstrip(".)]}:|")
    if not value or _PLACEHOLDER.fullmatch(value) or not goes(value[:_BOUND]):
        return None
    return start, start + len(value)
