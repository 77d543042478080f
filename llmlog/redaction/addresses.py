"""Where addresses stand in a text: of mail, of machines, and the user's name and password in those of the web."""

from __future__ import annotations

import re
import socket
import string

from llmlog.redaction.places import Place, Span, outline, outlines

__all__ = ["dotted_mac", "email", "ipv4_in", "ipv6", "is_machine", "mac", "userinfo"]

# E-mail addresses

_MAIL = re.compile(r"(?<![\w.+'~!#$*^-])([\w.+'~!#$*^-]++)(?:@|%40)([\w-]++(?:\.[\w-]++)++)")
_LOCAL = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+'~!#$*^-"
_LOCAL_LEADS = ".+'~!#$*^-"
_AT = re.compile(r"@[A-Za-z0-9_-]++(?:\.([A-Za-z0-9_-]++))++")  # ASCII: a look into a table, where `\w` asks Unicode
_REACH = 256


def email(text: str) -> list[Place]:
    """E-mail addresses, international ones and those in URLs (`%40`) too."""
    made: list[Place] = []
    if ("%" in text and "%40" in text) or ("@" in text and not text.isascii()):
        found_all = [(found.span(1), found.span(2)) for found in _MAIL.finditer(text)]
        spans = [_address(text, *local, *domain) for local, domain in found_all]
        return [(*span, "email") for span in spans if span]
    for found in _AT.finditer(text):
        at, end = found.span()
        head = text[at - _REACH if at > _REACH else 0 : at]
        local = head[len(head.rstrip(_LOCAL)) :].lstrip(_LOCAL_LEADS)
        if found[1].isalpha() and end - found.start(1) > 1 and local and local != "git":
            made.append((at - len(local), end, "email"))
        elif span := _address(text, at - len(local), at, at + 1, end):
            made.append((*span, "email"))
    return made


def _address(text: str, start: int, at: int, domain: int, end: int) -> Span | None:
    local = text[start:at].lstrip(_LOCAL_LEADS)
    if not local or local == "git":  # git@github.com is the same for everybody
        return None
    dot = text.rfind(".", domain, end)
    while dot > domain:  # in "ann@site.org.2" the last part is no top level
        if reach := _top_level(text[dot + 1 : end]):
            return at - len(local), dot + 1 + reach
        end = dot
        dot = text.rfind(".", domain, end)
    return None


_USUAL = re.compile(  # none of them begins the name of a cloud's region
    "com|org|net|edu|gov|mil|info|biz|io|ai|de|ch|fr|nl|uk|pl|se|jp|cn|br|ru|au", re.IGNORECASE
)


def _top_level(label: str) -> int:
    """How much of a label is a domain's last: what stands behind a hyphen or an underscore is some name's rest."""
    if (label.isalpha() and len(label) > 1) or label.startswith("xn--"):
        return len(label)
    head = label.replace("_", "-").partition("-")[0]
    return len(head) if _USUAL.fullmatch(head) else 0


# Machines

_IPV4 = re.compile(r"(?<![\w.])(?<![A-Za-z_]-)[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![\w]|\.[0-9])")
_HEX = "0123456789abcdefABCDEF"
_FROM_COLON = re.compile(":[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]*+")
_IPV6 = re.compile(r"(?<![\w.])([0-9A-Fa-f:]*+(?:\.[0-9]{1,3}){0,3}+)(%[0-9A-Za-z]{1,15})?+(?![^\W_])")
_THREE_IN_A_ROW = re.compile("[0-9A-Fa-f]{3}")
_BETWEEN = " :=.\"'"
_ANY = frozenset({"0.0.0.0", "127.0.0.1", "255.255.255.255", "255.255.255.0", "::1"})
_LAST_OF_VERSIONS = frozenset(["", *"nedrvNEDRV<>~!"])
_VERSION = re.compile(
    r"(?:version|release|firmware|build|\bver|\bv)[\"']?[ :=.]{0,3}[\"']?\Z|[=<>~!]=[ ]?\Z", re.IGNORECASE
)


def ipv4_in(text: str, start: int, end: int) -> list[Span]:
    """IPv4 addresses between two places; not versions."""
    return [
        found.span()
        for found in _IPV4.finditer(text, start, min(len(text), end + 2))
        if max(map(int, found[0].split("."))) < 256 and is_machine(text, *found.span())
    ]


def is_machine(text: str, start: int, end: int) -> bool:
    """Whether four numbers with dots tell machines apart: no version, and not what any machine calls itself."""
    return text[start:end] not in _ANY and not is_version(text, start, end)


def is_version(text: str, start: int, end: int) -> bool:
    """Whether four numbers with dots are rather a version, by what stands before them."""
    if not start:
        return False
    before = text[start - 12 if start > 12 else 0 : start]
    if before[-1] == "/" and before[-2:-1].isalnum() and text.endswith(".0", start, end):
        return text[end : end + 1] != ":"  # Chrome/120.0.0.0; host/10.1.2.3, as Java writes it, is an address
    if before.rstrip(_BETWEEN)[-1:] in _LAST_OF_VERSIONS or "==" in before:
        return _VERSION.search(before) is not None
    return False


def ipv6(text: str) -> list[Place]:
    """IPv6 addresses; not times of day, or `a::b` in code."""
    made: list[Place] = []
    if "::" not in text and text.count(":") < 6:
        return made
    for found in _FROM_COLON.finditer(text):
        tail = found[0]
        if "::" not in tail and tail.count(":") < 6:
            continue
        at = found.start()
        head = text[at - 4 if at > 4 else 0 : at]
        start = at - len(head) + len(head.rstrip(_HEX))
        if start and text[start - 1].isalnum() and text[at - 1].isalpha():
            start = at + 1  # the colon ends a name: `peer:2001:db8::1`
        if end := _end_of_ipv6(text, start):
            made.append((start, end, "ip"))
    return made


def _end_of_ipv6(text: str, start: int) -> int | None:
    found = _IPV6.match(text, start)
    if not found:
        return None
    address, zone = found.groups()
    end = found.end()
    if not zone and address[-1:] in ":.":
        address = address.rstrip(".")
        if address.endswith(":") and not address.endswith("::"):
            address = address[:-1]
    if not 3 <= len(address) <= 45 or not _is_ipv6(address):
        return None
    return end if zone else start + len(address)


def _is_ipv6(address: str) -> bool:
    if address in _ANY:
        return False
    if "." not in address:
        digits = address.replace(":", "")
        if len(digits) < 4 or digits.isalpha():
            return False  # `a::b` is code, `[::2]` a slice
        if "::" in address and not _THREE_IN_A_ROW.search(address):
            return False
    try:
        socket.inet_pton(socket.AF_INET6, address)
    except (OSError, ValueError):
        return False
    return True


_MAC = re.compile(
    r"""(?<![\w:.-])(?:
        [0-9A-Fa-f]{2}([:-])[0-9A-Fa-f]{2}(?:\1[0-9A-Fa-f]{2}){4}
      | [0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}
    )(?![\w-]|[:.][0-9A-Fa-f])""",
    re.VERBOSE,
)
_OUTLINES = outlines({"h": string.hexdigits, ":": "-"})
_NOBODY = frozenset(
    each for digit in "0f" for part in ":-" for each in (part.join([digit * 2] * 6), ".".join([digit * 4] * 3))
)


def mac(text: str) -> list[Place]:
    """Hardware addresses in pairs, with : or -; not those that stand for nobody or everybody."""
    return _macs(text, b":hh:hh:", 2)


def dotted_mac(text: str) -> list[Place]:
    """The same in fours, with dots; figures alone are none."""
    return [place for place in _macs(text, b".hhhh.", 4) if not text[place[0] : place[1]].replace(".", "").isdecimal()]


def _macs(text: str, middle: bytes, head: int) -> list[Place]:
    """Those whose outline has this middle, with so much before it."""
    made: list[Place] = []
    outlined = outline(text, _OUTLINES)
    inside = outlined.find(middle)
    while inside >= 0:
        found = _MAC.match(text, inside - head) if inside >= head else None
        if found is None:
            inside = outlined.find(middle, inside + 3)
            continue
        start, end = found.span()
        if text[start:end].lower() not in _NOBODY:
            made.append((start, end, "mac"))
        inside = outlined.find(middle, end)
    return made


_USERINFO = re.compile(r"://([^\s/?#@\"'<>:]{0,256}+(?::[^\s/@\"'<>]{0,256}+)?)@")


def userinfo(text: str) -> list[Place]:
    """What stands between `://` and `@` in a URL: a name, a password, a token."""
    if "://" not in text or "@" not in text:
        return []
    return [
        (*found.span(1), "userinfo") for found in _USERINFO.finditer(text) if found[1] and found[1] not in ("git", ":")
    ]
