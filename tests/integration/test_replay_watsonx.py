"""watsonx.ai's recorded streams. Its SDK hands the JSON on as dicts, or their text alone."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import replaying
from conftest import Records
from replaying import replay


def tokens(usage: dict[str, Any]) -> dict[str, int | None]:
    return {"input_tokens": usage.get("input_token_count"), "output_tokens": usage.get("generated_token_count")}


@pytest.mark.parametrize("way", replaying.WAYS)
def test_replay(
    cases: ModuleType, calls: Records, way: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every recorded stream: figures as the oracle has them."""
    with capsys.disabled():
        replay(
            cases, calls, lambda case: replaying.of_framing(case, way)(case), tokens,
            {"provider": "watsonx", "api": "text_stream"},
            label=f"text_stream ({way})", at_least=1, monkeypatch=monkeypatch, provider=lambda case: "watsonx",
        )  # fmt: skip
