"""A whole request, of whichever API, taken apart into what the model reads of it."""

from __future__ import annotations

from typing import Any

import pytest

from llmlog.request_bodies import Opened, opened

HI = [{"role": "user", "content": "Hi"}]
BRIEF = {"role": "system", "content": "Be brief"}
TOOLS = [{"name": "f"}]
SCHEMA = {"type": "json_schema", "schema": {"type": "object"}}


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"messages": HI}, Opened(HI, None, None, True)),
        ({"messages": tuple(HI), "functions": TOOLS}, Opened(HI, TOOLS, None, True)),
        ({"system": "Be brief", "messages": HI, "tools": TOOLS}, Opened([BRIEF, *HI], TOOLS, None, True)),
        ({"instructions": "Be brief", "input": "Hi"}, Opened([BRIEF, *HI], None, None, True)),
        ({"systemInstruction": {"parts": "Be brief"}, "contents": "Hi"}, Opened([BRIEF, *HI], None, None, True)),
        ({"messages": HI, "toolConfig": {"tools": TOOLS}}, Opened(HI, TOOLS, None, True)),
        ({"messages": HI, "tools": "none"}, Opened(HI, None, None, True)),
        ({"input": HI, "text": {"format": SCHEMA}}, Opened(HI, None, SCHEMA, True)),
        ({"input": HI, "previous_response_id": "r"}, Opened(HI, None, None, False)),
        ({"input": HI, "prompt": {"id": "p"}}, Opened(HI, None, None, False)),
        ({"prompt": "Hi"}, Opened("Hi", None, None, True)),
        ({"prompt": "Hi", "system": "Be brief"}, Opened([BRIEF, *HI], None, None, True)),
        ({"generateContentRequest": {"contents": HI}}, Opened(HI, None, None, True)),
        ({"input": {"converse": {"messages": HI}}}, Opened(HI, None, None, True)),
    ],
)
def test_what_is_in_a_request(request_: dict[str, Any], expected: Opened) -> None:
    """Under each API's own names; what was asked elsewhere is known to be missing."""
    assert opened(request_) == expected


@pytest.mark.parametrize("other", ["Hi", HI, None, 5, {}, HI[0], {"type": "text", "input": "x"}, {"model": "m"}])
def test_what_is_no_request(other: Any) -> None:
    """A text, messages, one of them, or a mapping without any of the names."""
    assert opened(other) is None
