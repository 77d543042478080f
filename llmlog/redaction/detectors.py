"""Where personal data stands in a text: one function for each kind, pure, in linear time.

Each yields the spans `(start, end)` of what it found. Each looks first for a character without which there is
nothing to find, so that a clean line costs next to nothing. No text can make one slow: runs are read
possessively or up to a bound, and a search never begins twice in the same run.

Forms that are only likely (`20 32 85 26`, a card number of twelve digits) count where a telling word is near.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator

from llmlog.redaction.secrets import Span, api_key

__all__ = ["DETECTORS", "INERT", "Detector", "card", "email", "ip", "phone"]

Detector = Callable[[str], Iterator[Span]]


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
