"""What was asked, as text."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlog.prompts import Prompt, without_media

PNG = b"\x89PNG" + bytes(96)
ENCODED = base64.b64encode(PNG).decode()
URL = f"data:image/png;base64,{ENCODED}"
SAID = "<image/png, 100 bytes>"

MESSAGES: dict[str, tuple[Any, str, int]] = {
    # what was sent, what is captured of it, how many characters of text it holds
    "text": ("Hello", "Hello", 5),
    "chat": ([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}], "Be brief.\nHi", 11),
    "parts": ([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}], "a\nb", 2),
    "objects": ([SimpleNamespace(role="user", content="Hi")], "Hi", 2),
    "anthropic": ({"system": "Be brief.", "messages": [{"role": "user", "content": "Hi"}]}, "Be brief.\nHi", 11),
    "gemini": ([{"role": "user", "parts": [{"text": "Hi"}]}], "Hi", 2),
    "gemini_tools": ([{"parts": [{"functionCall": {"name": "f", "args": {"city": "Ulm"}}}]}], '{"city": "Ulm"}', 15),
    "bedrock": ({"system": [{"text": "a"}], "messages": [{"content": [{"text": "b"}]}]}, "a\nb", 2),
    "responses": ([{"type": "message", "content": [{"type": "input_text", "text": "Hi"}]}], "Hi", 2),
    "tool_calls": ([{"tool_calls": [{"function": {"name": "f", "arguments": '{"a":1}'}}]}], '{"a":1}', 7),
    "tool_use": ([{"content": [{"type": "tool_use", "name": "f", "input": {"a": 1}}]}], '{"a": 1}', 8),
    "tool_result": ([{"content": [{"type": "tool_result", "content": "sunny"}]}], "sunny", 5),
    "image_url": ([{"content": [{"type": "image_url", "image_url": {"url": URL}}]}], SAID, 0),
    "image_elsewhere": (
        [{"content": [{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]}],
        "<image https://a.example/b.png>",
        0,
    ),
    "input_image": ([{"content": [{"type": "input_image", "image_url": URL}]}], SAID, 0),
    "input_audio": ([{"input_audio": {"data": ENCODED, "format": "wav"}}], "<audio/wav, 100 bytes>", 0),
    "file": ([{"file": {"filename": "a.pdf", "file_data": URL}}], SAID, 0),
    "anthropic_image": (
        [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ENCODED}}], SAID, 0,
    ),
    "anthropic_document": (
        [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Hi"}}], "Hi", 2,
    ),
    "gemini_image": ([{"parts": [{"inlineData": {"mimeType": "image/png", "data": ENCODED}}]}], SAID, 0),
    "gemini_object": (
        [SimpleNamespace(parts=[SimpleNamespace(inline_data=SimpleNamespace(mime_type="image/png", data=PNG))])],
        SAID,
        0,
    ),
    "bedrock_image": ([{"image": {"format": "png", "source": {"bytes": PNG}}}], SAID, 0),
    "bytes": ([PNG], "<data, 100 bytes>", 0),
    "nothing": ([None, 1, True, {}, {"content": None}, {"content": 5}], "", 0),
}  # fmt: skip


@pytest.mark.parametrize("name", MESSAGES)
def test_what_is_text_and_what_is_not(name: str) -> None:
    """Text of every provider's messages is found and counted; images and sounds are named by type and size."""
    sent, captured, length = MESSAGES[name]
    prompt = Prompt(sent)
    assert str(prompt) == captured
    assert prompt.length() == length


def test_an_image_within_text() -> None:
    """A data URL in the middle of a text is named there too."""
    assert without_media(f"![x]({URL}) and more") == f"![x]({SAID}) and more"
    assert without_media("data: nothing of the kind; base64, no") == "data: nothing of the kind; base64, no"


def test_no_input() -> None:
    """Nothing is known, which is not the same as nothing."""
    assert Prompt().length() is None
    assert Prompt("").length() == 0


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["content", "text", "image_url", "url", "source", "type", "data", "input", "parts", "image"]),
        inner, max_size=3,
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.lists(ANYTHING))
def test_messages_of_any_shape(messages: list[Any]) -> None:
    """Nothing that a caller may send raises, and text is counted as it is captured."""
    prompt = Prompt(messages)
    length = prompt.length()
    assert length is not None
    assert len(str(prompt)) >= length or "data:" in str(messages)


def test_messages_without_end() -> None:
    """A list that holds itself is read to some depth."""
    messages: list[Any] = [{"content": "a"}]
    messages.append(messages)
    assert Prompt(messages).length()
