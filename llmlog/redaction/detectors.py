"""Where personal data stands in a text: one function for each kind, pure, in linear time.

Each returns the places `(start, end, kind)` of what it found, and looks first for a character without which there is
nothing to find. No text can make one slow: runs are read possessively or up to a bound, and a search never begins
twice in the same run. Forms that are only likely (`20 32 85 26`, a card number of twelve digits) count where a telling
word is near.

The engine does not call them one after the other: what is made of digits it looks for in one reading (`IN_RUNS`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from llmlog.redaction import signs
from llmlog.redaction.accounts import iban, small_iban
from llmlog.redaction.addresses import dotted_mac, email, ipv4_in, ipv6, is_machine, mac, userinfo
from llmlog.redaction.births import birth_date
from llmlog.redaction.ids import national_id
from llmlog.redaction.numbers import FREE_RUN, card_in, digits_of, is_card, ssn_in
from llmlog.redaction.phones import is_phone, phone_in
from llmlog.redaction.places import Detector, Place, Span, folded
from llmlog.redaction.secrets import api_key, framed

__all__ = [
    "DETECTORS",
    "HOLDS",
    "INERT",
    "IN_RUNS",
    "NUMBER",
    "STEPS",
    "Detector",
    "Holds",
    "InRun",
    "card",
    "email",
    "ip",
    "phone",
    "ssn",
]

InRun = Callable[[str, int, str, str], list[Span]]
"""Looks at one run: the text, where the run begins in it, the run, and its digits alone."""
Holds = Callable[[str, int, int], bool]
"""Whether what stands between two places of a text, in the form of its kind, is valid."""


def _ipv4(text: str, start: int, run: str, digits: str) -> list[Span]:
    return ipv4_in(text, start, start + len(run)) if run.count(".") > 2 else []


IN_RUNS: dict[str, tuple[InRun, int]] = {
    "ip": (_ipv4, 4), "card": (card_in, 12), "ssn": (ssn_in, 9), "phone": (phone_in, 6)
}  # fmt: skip
"""What is looked for in a run of digits, with the least number of them: what explains a whole run ends its reading."""


# Most numbers stand alone, in one of a few forms: these are told by one look at the whole. Anything else is a run.
# The first sign is read before all else, for that is how an expression is fast that begins at few places.
NUMBER = re.compile(
    r"""[+(0-9](?=[0-9 ().\-/]{6})(?:(?<![^ \t\n=,;()\[\]{}<>|"'].)(?:
        (?P<date>(?:(?<=1)9|(?<=2)0)[0-9]{2}-[01][0-9]-[0-3][0-9](?=T[0-2][0-9]:|[ ][0-2][0-9]:[0-5]))
      | (?:
          (?P<ip>(?:(?<=1)[0-9]{0,2}|(?<=2)(?:[0-4]?[0-9]|5[0-5])?|(?<=[03-9])[0-9]?)
            (?:\.(?:25[0-5]|2[0-4][0-9]|[01]?[0-9]?[0-9])){3})
        | (?P<card>(?<=[0-9])(?:[0-9]{12,18}|[0-9]{3}([ -])[0-9]{4}\4[0-9]{4}\4[0-9]{4}))
        | (?P<ssn>(?:(?<=0)(?!00)|(?<=6)(?!66)|(?<=[1-578]))[0-9]{2}-(?!00)[0-9]{2}-(?!0000)[0-9]{4})
        | (?P<figure>(?:(?<=1)9|(?<=2)0)[0-9]{2}-[01][0-9]-[0-3][0-9](?:[ ][0-2][0-9])?
          |(?<=[0-9])(?:[0-9]{0,8}\.[0-9]{1,9}|[0-9]{0,4}))
        | (?P<phone>(?<=\+)[1-9](?:[0-9]{0,2}(?:[ -][0-9]{2,9}){2,5}|[0-9]{8,14})
          |(?:(?<=\()|(?<=1)[ .\-]?\()[2-9][0-9]{2}\)[ ]?[0-9]{3}[ .\-][0-9]{4}
          |(?:(?<=[2-9])[0-9]{2}|(?<=1)-[2-9][0-9]{2})-[0-9]{3}-[0-9]{4})
      )(?=[\t\n=,;\[\]{}<>|"']|\Z|[ (][ .\-(/]*+(?![0-9)]))
    )
    | (?P<run>[0-9 ().\-/]{6,}+))""",
    re.VERBOSE,
)
"""Whatever is made of digits, by the name of the group: `date` and `figure` are nobody's, a `run` may hold anything."""


def _is_ssn(text: str, start: int, end: int) -> bool:
    return True  # its form says all


HOLDS: dict[str, Holds] = {"ip": is_machine, "card": is_card, "ssn": _is_ssn, "phone": is_phone}
"""What makes a number valid that `NUMBER` took for one of its kind."""


def _in_runs(text: str, kind: str) -> list[Place]:
    look, least = IN_RUNS[kind]
    made: list[Place] = []
    for run in FREE_RUN.finditer(text):
        digits = digits_of(run[0])
        if len(digits) >= least:
            made += [(start, end, kind) for start, end in look(text, run.start(), run[0], digits)]
    return made


def card(text: str) -> list[Place]:
    """Payment card numbers, with a right check digit: in a network's range, or beside a telling word."""
    return _in_runs(folded(text), "card")


def ssn(text: str) -> list[Place]:
    """US social security numbers: with hyphens, or in any form beside a telling word."""
    return _in_runs(folded(text), "ssn")


def phone(text: str) -> list[Place]:
    """Phone numbers: with +, a leading 0, a code in brackets, as in America; others beside a telling word."""
    return _in_runs(folded(text), "phone")


def ip(text: str) -> list[Place]:
    """IPv4 and IPv6 addresses; not versions, times of day, or `a::b` in code."""
    return (_in_runs(text, "ip") if text.count(".") > 2 else []) + ipv6(text)


def _all_of(one: Detector, other: Detector, text: str) -> list[Place]:
    return [*one(text), *other(text)]


INERT = re.compile(
    "[A-Za-z_]{0,15}|[a-z_]*|[0-9]{0,6}[a-z][a-z0-9]{0,7}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}"
)  # fmt: skip
"""A text that is one word, or one id in small letters: nothing that a detector finds looks like that."""

DETECTORS: dict[str, Detector] = {
    "userinfo": userinfo,
    "api_key": api_key,
    "email": email,
    "iban": partial(_all_of, iban, small_iban),
    "card": card,
    "ssn": ssn,
    "mac": partial(_all_of, mac, dotted_mac),
    "ip": ip,
    "birth_date": birth_date,
    "national_id": national_id,
    "phone": phone,
}
"""Every detector, by the name of its kind; where findings of equal length collide, the first kind wins."""

STEPS: tuple[tuple[str, Detector, frozenset[int]], ...] = (
    ("userinfo", userinfo, frozenset({signs.USER})),
    ("api_key", framed, frozenset({signs.SHAPE})),
    ("email", email, frozenset({signs.MAIL})),
    ("iban", iban, frozenset({signs.IBAN})),
    ("iban", small_iban, frozenset({signs.SMALL_IBAN, signs.IBAN_WORD})),
    ("mac", mac, frozenset({signs.MAC})),
    ("mac", dotted_mac, frozenset({signs.DOTTED_MAC})),
    ("ip", ipv6, frozenset({signs.COLON})),
    ("birth_date", birth_date, frozenset({signs.BIRTH})),
    ("national_id", national_id, frozenset({signs.ID_WORD})),
)
"""What is left to run beside runs of digits, pairs and shapes: the kind, the step, the signs that a text must show."""
