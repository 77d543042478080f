"""When a backend that failed is asked again."""

from __future__ import annotations

from llmlog.handlers.outages import Outage


def test_each_pause_is_twice_as_long_to_a_bound() -> None:
    """Half a second at first, half a minute at the most; chance takes a part of it."""
    outage = Outage(chance=lambda: 1.0)
    pauses = []
    for _ in range(9):
        outage.failed(100.0)
        pauses.append(outage.not_before - 100.0)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    outage.takes_some()
    outage.failed(100.0)
    assert outage.not_before == 100.5


def test_what_it_asked_for_is_kept_whoever_waits() -> None:
    """A pause that it named is longer than ours, and nobody's hurry cuts it short; five minutes at most."""
    outage = Outage(chance=lambda: 0.0)
    outage.failed(10.0, 7.0)
    outage.hurry()
    assert (outage.not_before, outage.may_send(16.9), outage.may_send(17.0)) == (17.0, False, True)
    outage.asked(10.0, 1e9)
    assert outage.not_before == 310.0
    outage.failed(20.0)
    outage.hurry()
    assert outage.not_before == 0.0


def test_an_outage_has_a_length_and_is_told_after_a_minute() -> None:
    """From its first failure to the first success; refused credentials are told in their own way."""
    outage = Outage(chance=lambda: 0.0)
    assert [outage.failed(at) for at in (0.0, 59.9, 60.0)] == [False, False, True]
    assert not outage.failed(61.0, denied=True)
    assert outage.not_before == 91.0
    assert outage.over(62.5) == 62_500.0
    assert outage.over(63.0) is None
    assert outage.since is None
