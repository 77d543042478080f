"""Where personal data and secrets stand in a text: one function for each kind, pure, in linear time.

Each yields the spans `(start, end)` of what it found. Each looks first for a character without which there is
nothing to find, so that a clean line costs next to nothing. No text can make one slow: runs are read
possessively or up to a bound, and a search never begins twice in the same run.

Forms that are only likely (`20 32 85 26`, a card number of twelve digits) count where a telling word is near.
"""

from __future__ import annotations

import binascii
import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Literal

__all__ = ["DETECTORS", "INERT", "Detector", "api_key", "card", "email", "ip", "pairs", "phone", "squeezed"]

Span = tuple[int, int]
Detector = Callable[[str], Iterator[Span]]
Verdict = Literal["any", "opaque"] | None  # which values of a name are secret


# E-mail addresses

_MAIL = re.compile(r"(?<![\w.+'~!#$*^-])([\w.+'~!#$*^-]++)(?:@|%40)([\w-]++(?:\.[\w-]++)++)")


def email(text: str) -> Iterator[Span]:
    """E-mail addresses, international ones and those in URLs (`%40`) too."""
    if "@" not in text and "%40" not in text:
        return
    for found in _MAIL.finditer(text):
        local = found[1].lstrip(".+'~!#$*^-")
        labels = found[2].split(".")
        end = found.end()
        while len(labels) > 1 and not _is_top_level(labels[-1]):  # in "ann@site.org.2" the last part is none
            end -= len(labels.pop()) + 1
        if local and len(labels) > 1:
            yield found.end(1) - len(local), end


def _is_top_level(label: str) -> bool:
    return (label.isalpha() and len(label) > 1) or label.startswith("xn--")


# Payment cards

_CARD = re.compile(r"[0-9](?<![\w.][0-9])(?<!_-[0-9])[0-9 -]{11,}+")
_CARD_GROUPS = re.compile(r"[0-9]++(?:[ -][0-9]++)*+")
_DIGITS = re.compile("[0-9]++")
_CARD_WORD = re.compile(
    r"\b(?:card|credit|debit|visa|mastercard|maestro|amex|diners|discover|jcb|pan|cc|ccn|karte|kreditkarte"
    r"|carte|tarjeta|cart[aã]o|carta)\b"
)
_CARD_STEMS = ("car", "kart", "credit", "debit", "visa", "maestro", "amex", "diners", "discover", "jcb", "pan", "cc",
               "tarjeta")  # fmt: skip
# The ranges that networks have given out, with the lengths they use.
_CARD_RANGES = re.compile(
    r"""4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})      # Visa
    | 5[1-5][0-9]{14}                           # Mastercard
    | 2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}
    | 3[47][0-9]{13}                            # American Express
    | 3(?:0[0-59]|[689][0-9])[0-9]{11}          # Diners Club
    | (?:6011|64[4-9][0-9]|65[0-9]{2})[0-9]{12,15}   # Discover
    | 62[0-9]{14,17}                            # UnionPay
    | (?:35[0-9]{2}[0-9]|1800|2131)[0-9]{11}    # JCB
    | 220[0-4][0-9]{12,15}                      # Mir
    | (?:60|81|82|508)[0-9]{13,14}              # RuPay
    | (?:5018|5019|5020|5038|5893|6304|6759|676[1-3]|0604)[0-9]{12,15}  # Maestro, Dankort
    """,
    re.VERBOSE,
)


def card(text: str) -> Iterator[Span]:
    """Payment card numbers, with a right check digit: in a network's range, or beside a telling word."""
    for run in _CARD.finditer(text):
        for start, end in _card_groups(run[0]):
            start, end = start + run.start(), end + run.start()
            if text[end : end + 1] == "." and text[end + 1 : end + 2].isdigit():
                continue
            if _is_part(text, start, end):
                continue
            digits = text[start:end].replace(" ", "").replace("-", "")
            if _CARD_RANGES.fullmatch(digits) or _near(_CARD_WORD, _CARD_STEMS, text, start, end, 40):
                yield start, end


def _card_groups(run: str) -> Iterator[Span]:
    """The parts of a run of digits, spaces and hyphens that may be one number: whole groups, and Luhn holds.

    Printed numbers begin with a group of four, the others are about as long: a column of figures does not.
    """
    for stretch in _CARD_GROUPS.finditer(run):
        groups = [found.span() for found in _DIGITS.finditer(run, *stretch.span())]
        reached = 0
        for first, (start, end) in enumerate(groups):
            if start < reached:
                continue
            digits, taken = run[start : min(end, start + 20)], 0
            if _is_card(digits):
                taken = end
            if end - start == 4:
                for next_start, next_end in groups[first + 1 : first + 6]:
                    if not 3 <= next_end - next_start <= 7:
                        break
                    digits += run[next_start:next_end]
                    if _is_card(digits):
                        taken = next_end
            if taken:
                yield start, taken
                reached = taken


def _is_card(digits: str) -> bool:
    return 12 <= len(digits) <= 19 and _luhn(digits) and digits.count("0") < len(digits)


def _luhn(digits: str) -> bool:
    return (sum(map(int, digits[-1::-2])) + sum(map(_DOUBLED.__getitem__, digits[-2::-2]))) % 10 == 0


_DOUBLED = dict(zip("0123456789", (0, 2, 4, 6, 8, 1, 3, 5, 7, 9), strict=True))


# Phone numbers

_PHONE_RUN = re.compile(r"[+(0-9](?<!\w[+(0-9])[0-9 ().\-/\xa0\u2010\u2011\u2013]{5,}+")
_NO_PHONE = re.compile(  # dates and times of day, as far as they reach into a run of digits
    r"""(?<![0-9])(?:
        (?:19|20)[0-9]{2}([-/.])[01]?[0-9]\1[0-3]?[0-9]
      | [0-3]?[0-9]([-/.])[0-3]?[0-9]\2(?:19|20)[0-9]{2}
      | (?:19|20)[0-9]{2}[01][0-9][0-3][0-9]
    )(?:[- ][0-2][0-9]([.\-]?)[0-5][0-9]\3[0-6][0-9](?:[.\-][0-9]+)?)?(?![0-9])""",
    re.VERBOSE,
)
_SEPARATED = r"(?:[ .\-/()\xa0\u2010\u2011\u2013]{0,3}[0-9])"
_PHONE = re.compile(
    rf"""(?=[+(]|[0-9]{{2}}|1[ .\-][(0-9])(?<![0-9])(?<![0-9][.\-/])(?:
        (?P<plus>\+[1-9]{_SEPARATED}{{6,14}})
      | (?P<abroad>00[1-9]{_SEPARATED}{{8,13}})
      | (?:1[ .\-]?)?\([0-9]{{3}}\)[ .\-]{{0,2}}[0-9]{{3}}[ .\-]?[0-9]{{4}}
      | (?:1[.\-])?[0-9]{{3}}([.\-])[0-9]{{3}}\3[0-9]{{4}}
      | [2-9][0-9]{{2}}[ /][2-9][0-9]{{2}}-[0-9]{{4}}
      | [0-9]{{3}}-[0-9]{{3}}-[0-9]{{2}}-[0-9]{{2}}
      | (?P<area>\([0-9]{{1,5}}\)[ \-]?[0-9]{{2,7}}(?:[ \-][0-9]{{2,5}}){{0,3}})
      | (?P<trunk>\(?0[1-9][0-9]{{0,4}}\)?(?:[ .\-/]{{1,2}}[0-9]{{1,8}}){{1,5}})
      | 0[1-9][0-9]{{8,9}}
    )(?![0-9])(?![.\-/][0-9])""",
    re.VERBOSE,
)
_DIGIT = re.compile("[0-9]")
_PHONE_LIKELY = re.compile(
    r"(?<![0-9])(?<![0-9][.\-/])\(?[0-9]{1,13}\)?"
    r"(?:[ .\-/\xa0\u2010\u2011\u2013()]{1,3}[0-9]{1,8}){0,7}(?![0-9])"
)
_PHONE_WORD = re.compile(
    r"phone|\btele?\b|\btlf|\btelef|t[eé]l[eé]f|telep|mobil|m[oó]vil|celular|\bcell\b|\bfax\b|whats?app"
    r"|\bsms\b|hotline|helpline|landline|\bhandy|rufnummer|portable\b|\bdial\b|\bt[eé]l\b|電話|电话"
    r"|\b(?:call|text|ring|reach) (?:me|us|him|her|them|you|back)\b"
)
_PHONE_STEMS = ("phon", "tel", "tél", "tlf", "mobil", "movil", "móvil", "cel", "fax", "app", "sms", "line", "handy",
                "rufnummer", "portable", "dial", "電", "电", "call", "text", "ring", "reach")  # fmt: skip
_PHONE_HINT = re.compile(
    r"\b(?:call|calls|calling|called|reach|ring|contact|answer|answering|office|numbers?|numero|num[eé]ro|n[uú]mero|nummer"
    r"|message|registered|direct|home|work|extension)\b"
)
_HINT_STEMS = ("call", "reach", "ring", "contact", "answer", "office", "num", "núm", "message", "registered", "direct",
               "home", "work", "extension")  # fmt: skip
_EXTENSION = re.compile(r"(?:[ ,]{0,2}(?:x|ext\.?|extension|#)[ ]?[0-9]{1,6}(?![0-9A-Za-z]))", re.IGNORECASE)
_RFC3966 = "tel:"


def phone(text: str) -> Iterator[Span]:
    """Phone numbers: with +, a leading 0, a code in brackets, as in America; others beside a telling word."""
    for run in _PHONE_RUN.finditer(text):
        shape = run[0]
        if len(_DIGIT.findall(shape)) < 6:
            continue
        offset = run.start()
        if text[run.end() : run.end() + 1] == ":" and text[run.end() + 1 : run.end() + 2].isdigit():
            shape = re.sub("[0-9]{1,2}$", "", shape)  # the hour of a time
        if offset > 1 and text[offset - 1] == ":" and text[offset - 2].isdigit():
            shape = re.sub(r"^[0-9]{2}(?:[.,][0-9]+)?", lambda m: "#" * len(m[0]), shape)
        shape = _NO_PHONE.sub(lambda m: "#" * len(m[0]), shape)
        for start, end in _phones(shape, text, offset):
            extension = _EXTENSION.match(text, end)
            if extension:
                end = extension.end()
            if not _is_part(text, start, end):
                yield start, end


def _phones(shape: str, text: str, offset: int) -> Iterator[Span]:
    certain = 0
    total = len(_DIGIT.findall(shape))
    if total < 6:
        return
    for found in _PHONE.finditer(shape):
        digits = len(_DIGIT.findall(found[0]))
        separated = digits < len(found[0].lstrip("+"))
        if found["plus"]:
            good = digits >= 8 and not re.fullmatch(r"\+[0-9]+\.[0-9]+", found[0])
        elif found["abroad"]:
            good = separated
        elif found["area"]:
            good = 8 <= digits <= 12
        elif found["trunk"]:
            good = 9 <= digits <= 12 and total <= 15
        else:
            good = True
        if good:
            certain += 1
            yield offset + found.start(), offset + found.end()
    if certain or total > 40:  # a column of figures is no list of phone numbers
        return
    for found in _PHONE_LIKELY.finditer(shape):
        digits = len(_DIGIT.findall(found[0]))
        start, end = offset + found.start(), offset + found.end()
        if not 6 <= digits <= 15 or re.fullmatch(r"[0-9]+\.[0-9]+|[0-9]{3}-[0-9]{2}-[0-9]{4}", found[0]):
            continue
        bare = digits == len(found[0])
        if bare and not 7 <= digits <= 13:
            continue
        if not _is_part(text, start, end) and (
            _near(_PHONE_WORD, _PHONE_STEMS, text, start, end, 40)
            or (not bare and _near(_PHONE_HINT, _HINT_STEMS, text, start, end, 28))
        ):
            yield start, end


# IP addresses

_IPV4 = re.compile(r"[0-9](?<![\w.][0-9])(?<![A-Za-z_]-[0-9])[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?![\w]|\.[0-9])")
_IPV6 = re.compile(r"[0-9A-Fa-f:](?<![\w:.][0-9A-Fa-f:])[0-9A-Fa-f:]*+(?:\.[0-9]{1,3}){0,3}+(?:%[0-9A-Za-z]{1,15})?")
_VERSION = re.compile(
    r"(?:version|release|firmware|build|\bver|\bv)[\"']?[ :=.]{0,3}[\"']?\Z|[=<>~!]=[ ]?\Z", re.IGNORECASE
)


def ip(text: str) -> Iterator[Span]:
    """IPv4 and IPv6 addresses; not versions, times of day, or `a::b` in code."""
    if text.count(".") > 2:
        for found in _IPV4.finditer(text):
            if all(int(part) < 256 for part in found[0].split(".")) and not _is_version(text, found):
                yield found.span()
    if ":" not in text or ("::" not in text and text.count(":") < 6):
        return
    for found in _IPV6.finditer(text):
        if found[0].count(":") < 2:
            continue
        address = found[0].partition("%")[0].rstrip(".")
        if address.endswith(":") and not address.endswith("::"):
            address = address[:-1]
        if 3 <= len(address) <= 45 and _is_ipv6(address) and not text[found.end() : found.end() + 1].isalnum():
            yield found.start(), found.end() if "%" in found[0] else found.start() + len(address)


def _is_version(text: str, found: re.Match[str]) -> bool:
    start, end = found.span()
    before = text[max(0, start - 12) : start]
    if before[-1:] == "/" and before[-2:-1].isalnum() and found[0].endswith(".0"):
        return text[end : end + 1] != ":"  # Chrome/120.0.0.0; host/10.1.2.3, as Java writes it, is an address
    return _VERSION.search(before) is not None


def _is_ipv6(address: str) -> bool:
    groups = [group for group in address.split(":") if group]
    if "." not in address and address != "::1":
        if len("".join(groups)) < 4 or address.isalpha() or not any(map(str.isdigit, address)):
            return False  # `a::b` is code, `[::2]` a slice
        if "::" in address and all(len(group) < 3 for group in groups):
            return False
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return False
    return True


# API keys and other secrets

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


_PIECE_BEFORE = re.compile(r"[0-9A-Fa-f]{4}-\Z|[A-Za-z0-9_]\Z")
_PIECE_AFTER = re.compile(r"[\w]|-[0-9A-Fa-f]{4}")


def _is_part(text: str, start: int, end: int) -> bool:
    """Whether a place is a piece of something longer: of a word, a hexadecimal number, a UUID."""
    return bool(_PIECE_BEFORE.search(text, max(0, start - 5), start) or _PIECE_AFTER.match(text, end))


def _near(words: re.Pattern[str], stems: Iterable[str], text: str, start: int, end: int, reach: int) -> bool:
    """Whether a telling word stands close before or after a place; `stems`: what any of the words has in it."""
    around = f"{text[max(0, start - reach) : start]}\0{text[end : end + 16]}".lower()
    for stem in stems:
        if stem in around:
            return words.search(around) is not None
    return False


INERT = re.compile("[A-Za-z_]{0,15}|[a-z_]*|[0-9]*+[a-z][a-z0-9]*")
"""A text that is one word, or one id in small letters: nothing that a detector finds looks like that."""

DETECTORS: dict[str, Detector] = {"api_key": api_key, "email": email, "card": card, "ip": ip, "phone": phone}
"""Every detector, by the name of its kind; where findings of equal length collide, the first kind wins."""
