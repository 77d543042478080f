"""Images in tokens."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from llmlog import images
from llmlog.tokens import count_tokens


def png(width: int, height: int) -> bytes:
    """The head of one."""
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height) + bytes(50)


def gif(width: int, height: int) -> bytes:
    """The head of one."""
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(50)


def jpeg(width: int, height: int, before: int = 70_000) -> bytes:
    """One with a profile and tables before its frame, as a camera's has."""
    segments = b""
    while before > 0:
        part = min(before, 60_000)
        segments += b"\xff\xe2" + struct.pack(">H", part + 2) + bytes(part)
        before -= part
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9)
    return b"\xff\xd8" + segments + b"\xff\xff\xc4" + struct.pack(">H", 4) + b"\xff\xc0" + frame + bytes(50)


def webp(width: int, height: int, kind: str) -> bytes:
    """The head of one of the three kinds."""
    if kind == "VP8 ":
        body = bytes(6) + struct.pack("<HH", width, height)
    elif kind == "VP8L":
        body = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14)
    else:
        body = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF\0\0\0\0WEBP" + kind.encode() + bytes(4) + body + bytes(50)


FILES = {
    "png": png(640, 480),
    "gif": gif(640, 480),
    "jpeg": jpeg(640, 480),
    "webp": webp(640, 480, "VP8 "),
    "webp, lossless": webp(640, 480, "VP8L"),
    "webp, extended": webp(640, 480, "VP8X"),
}


class TestSize:
    @pytest.mark.parametrize("name", FILES)
    def test_is_read_from_the_header(self, name: str) -> None:
        """As bytes, as base64, and in a data: URL."""
        image = FILES[name]
        encoded = base64.b64encode(image).decode()
        for form in (image, bytearray(image), memoryview(image), encoded, f"data:image/x;base64,{encoded}"):
            assert images.size_of(form) == (640, 480)

    @pytest.mark.parametrize(
        "other",
        ["https://example.com/a.png", "file-123", "", "data:,", b"", b"%PDF-1.4" + bytes(90), None, 5, b"\xff\xd8\xff",
         png(0, 5), png(640, 480)[:20], jpeg(640, 480, 900_000), "é" * 50],
    )  # fmt: skip
    def test_of_anything_else_is_not_known(self, other: Any) -> None:
        """Nothing is fetched, and nothing raises."""
        assert images.size_of(other) is None

    @pytest.mark.parametrize("name", FILES)
    def test_of_one_that_is_cut_short_never_raises(self, name: str) -> None:
        """Wherever it ends."""
        for length in (*range(80), 70_010, 70_020):
            assert images.size_of(FILES[name][:length]) in (None, (640, 480))


class TestTokens:
    @pytest.mark.parametrize(
        ("model", "size", "detail", "tokens"),
        [
            # the documentation's own examples
            ("gpt-4o", (1024, 1024), "high", 765),
            ("gpt-4o", (2048, 4096), "high", 1105),
            ("gpt-4o", (4096, 8192), "low", 85),
            ("gpt-4.1", (512, 512), "auto", 255),
            ("gpt-4o-mini", (1024, 1024), "high", 2833 + 4 * 5667),
            ("o1", (1024, 1024), "high", 75 + 4 * 150),
            ("gpt-5", (1024, 1024), "high", 70 + 4 * 140),
            ("gpt-4.1-mini", (1024, 1024), "high", 1659),
            ("gpt-4.1-mini", (1800, 2400), "high", 2353),
            ("gpt-4.1-nano", (540, 360), "auto", 502),
            ("gpt-5.4", (1024, 1024), "high", 1024),
            ("gpt-5.4", (4000, 4000), "high", 2500),
            ("gpt-5.4", (4000, 2000), "original", 7875),
            ("gpt-5.4", (4000, 4000), "low", 256),
            ("claude-sonnet-4-5", (1092, 1092), "auto", 1590),
            ("claude-sonnet-4-5", (200, 200), "auto", 53),
            ("claude-sonnet-4-5", (9000, 9000), "auto", 1600),
            ("gemini-2.5-flash", (300, 384), "auto", 258),
            ("gemini-2.5-flash", (960, 540), "auto", 258 * 6),
            ("gemini-3-pro", (10, 10), "auto", 1120),
        ],
    )
    def test_follow_the_providers_rules(self, model: str, size: tuple[int, int], detail: str, tokens: int) -> None:
        """Tiles, patches, areas: by the model, the size and the detail."""
        url = "data:image/png;base64," + base64.b64encode(png(*size)).decode()
        part = {"type": "image_url", "image_url": {"url": url, "detail": detail}}
        empty = count_tokens([{"role": "user", "content": []}], model)
        count = count_tokens([{"role": "user", "content": [part]}], model)
        assert (count - empty, count.exact) == (tokens, False)

    @pytest.mark.parametrize("size", [(1, 1), (1, 100_000), (100_000, 1), (65_535, 65_535), (33, 50_000)])
    @pytest.mark.parametrize("model", ["gpt-4o", "gpt-4.1-mini", "gpt-5.4", "claude-opus-5", "gemini-2.5-pro", "x"])
    def test_of_any_shape_are_a_number(self, model: str, size: tuple[int, int]) -> None:
        """A hair's breadth, or more than anybody sends."""
        encoded = base64.b64encode(png(*size)).decode()
        part = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": encoded}}
        assert 0 < count_tokens([{"role": "user", "content": [part]}], model) < 1_000_000

    @pytest.mark.parametrize(
        "part",
        [
            {"type": "image_url", "image_url": {"url": "DATA_URL"}},
            {"type": "input_image", "image_url": "DATA_URL"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "BASE64"}},
            {"inlineData": {"mimeType": "image/png", "data": "BASE64"}},
            {"inline_data": {"mime_type": "image/png", "data": b"BYTES"}},
            {"image": {"format": "png", "source": {"bytes": b"BYTES"}}},
            {"type": "file", "file": {"file_data": "DATA_URL"}},
        ],
    )
    def test_are_found_in_every_providers_shape(self, part: dict[str, Any]) -> None:
        """OpenAI's two APIs, Anthropic's, Google's, Bedrock's."""
        image = png(100, 100)
        encoded = base64.b64encode(image).decode()

        def filled(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: filled(each) for name, each in value.items()}
            forms = {"DATA_URL": f"data:image/png;base64,{encoded}", "BASE64": encoded, b"BYTES": image}
            return forms.get(value, value)

        empty = count_tokens([{"role": "user", "content": []}], "gpt-4o")
        assert count_tokens([{"role": "user", "content": [filled(part)]}], "gpt-4o") - empty == 255

    @pytest.mark.parametrize(
        "part",
        [
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            {"type": "input_image", "file_id": "file-1"},
            {"fileData": {"mimeType": "image/png", "fileUri": "gs://bucket/a.png"}},
        ],
    )
    def test_of_an_unknown_size_are_those_of_the_stated_one(self, part: dict[str, Any]) -> None:
        """What is not here counts as a square of 1024."""
        empty = count_tokens([{"role": "user", "content": []}], "gpt-4o")
        count = count_tokens([{"role": "user", "content": [part]}], "gpt-4o")
        assert (count - empty, count.exact) == (765, False)

    def test_of_a_text_file_are_its_texts(self) -> None:
        """By its size; a document that would have to be read counts as one page."""
        encoded = base64.b64encode(b"word " * 900).decode()
        empty = count_tokens([{"role": "user", "content": []}], "gpt-4o")
        for url, tokens in ((f"data:text/csv;base64,{encoded}", 1000), (f"data:application/pdf;base64,{encoded}", 765)):
            part = {"type": "file", "file": {"filename": "a", "file_data": url}}
            assert abs(count_tokens([{"role": "user", "content": [part]}], "gpt-4o") - empty - tokens) < 10
