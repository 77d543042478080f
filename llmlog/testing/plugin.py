"""The pytest plugin. It is loaded in every pytest run where llmlog is installed: what it needs comes with first use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from llmlog.testing.canaries import Canaries
    from llmlog.testing.captured import Captured
    from llmlog.testing.clocks import FakeClock


@pytest.fixture
def llm_calls() -> Iterator[Captured]:
    """The records that llmlog makes during this test: one summary for every LLM call, and events."""
    from llmlog.testing.captured import capture

    with capture() as captured:
        yield captured


@pytest.fixture
def llm_clock() -> Iterator[FakeClock]:
    """llmlog's clock, in the test's hands: it stands still until `llm_clock.advance(seconds)`."""
    from llmlog import settings
    from llmlog.testing.clocks import FakeClock

    before = settings.current().clock
    clock = FakeClock()
    settings.change(clock=clock)
    yield clock
    settings.change(clock=before)


@pytest.fixture
def llm_canaries(request: pytest.FixtureRequest) -> Canaries:
    """Made-up personal data and secrets, this test's own: `llm_canaries.assert_absent(...)` says where they got out."""
    from llmlog.testing.canaries import Canaries

    return Canaries(request.node.nodeid)
