"""What is to do for a text, by the signs that it shows."""

import pytest

from llmlog.redaction import plans, signs
from llmlog.redaction.accounts import iban, small_iban
from llmlog.redaction.addresses import email
from llmlog.redaction.detectors import DETECTORS, STEPS
from llmlog.redaction.places import Place
from llmlog.redaction.plans import Plans

STEMS = ("token", "pass")


def nothing(text: str) -> list[Place]:
    return []


def test_a_sign_leads_to_its_detector() -> None:
    """A detector runs where all its signs are shown, and only there."""
    made = Plans(DETECTORS, STEMS)
    assert made[(signs.MAIL,)] == ((email,), (), False, False)
    assert made[(signs.IBAN, signs.SMALL_IBAN)].steps == (iban,)
    assert made[(signs.SMALL_IBAN, signs.IBAN_WORD)].steps == (small_iban,)
    assert made[()] == ((), (), False, False)


def test_a_detector_that_is_not_wanted_has_no_part() -> None:
    """No sign leads to what was not asked for; a kind without a sign is looked for in every text."""
    made = Plans({"ip": DETECTORS["ip"], "br_cpf": nothing}, ())
    assert made[(signs.MAIL, signs.BY_SHAPE)].steps == (nothing,)
    assert made[()].steps == (nothing,)


def test_stems_and_shapes() -> None:
    """A stem's sign leads to that stem alone, a shape's to the search for that shape."""
    made = Plans(DETECTORS, STEMS)
    plan = made[(signs.BY_STEM + 1, signs.BY_SHAPE)]
    assert plan.stems == ("pass",)
    (step,) = plan.steps
    assert [place[2] for place in step("sk-q7Wz3Kp9Xb2Vn8Rt5Ym1Lc6Hd4 x")] == ["api_key"]


@pytest.mark.parametrize(
    ("shown", "read"),
    [((signs.NUMBERS,), True), ((signs.DIGITS,), False), ((signs.WORD,), False), ((signs.WORD, signs.DIGITS), True)],
)
def test_when_digits_are_read(shown: tuple[int, ...], read: bool) -> None:
    """Runs of digits are read where a number shows, or a few digits and a telling word."""
    assert Plans(DETECTORS, ())[shown].numbers is read
    assert Plans({"email": email}, ())[shown].numbers is False


def test_when_escapes_are_read() -> None:
    """Where the text says something else than it shows."""
    assert Plans(DETECTORS, ())[(signs.ESCAPED,)].escaped
    assert not Plans(DETECTORS, ())[(signs.MAIL,)].escaped


def test_everything() -> None:
    """With every sign every step runs, and every stem is looked for."""
    made = Plans(DETECTORS, STEMS)
    plan = made[made.everything]
    assert {step for _, step, _ in STEPS} <= set(plan.steps)
    assert plan.stems == STEMS
    assert plan.numbers


def test_plans_are_kept_but_not_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan is made once; when there are many all are forgotten."""
    monkeypatch.setattr(plans, "_KNOWN", 2)
    made = Plans(DETECTORS, STEMS)
    assert made[(signs.MAIL,)] is made[(signs.MAIL,)]
    for sign in range(10):
        assert made[(sign,)].stems == ()
        assert len(made) <= 2
