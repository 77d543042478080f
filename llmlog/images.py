"""What an image costs in tokens, by its size and the detail asked for, as the providers' documentation says.

The size is read from the image's own header: PNG, JPEG, GIF and WebP, as base64 or as bytes. Nothing is decoded, and
nothing is fetched: an image behind a URL counts as one of `UNKNOWN` size.
"""

from __future__ import annotations

import math
import re
from binascii import Error, a2b_base64
from collections.abc import Callable
from typing import Any, Literal

__all__ = ["UNKNOWN", "Size", "Tokens", "at_most", "claude", "gemini", "patches", "size_of", "tiles"]

Size = tuple[int, int]
Tokens = Callable[[Size, str], int]
"""Tokens of an image of this width and height, in this detail: "low", "high", "auto" or "original"."""

UNKNOWN: Size = (1024, 1024)
"""What an image is taken for whose size is not known."""


def tiles(base: int, tile: int) -> Tokens:
    """GPT-4o's way: fitted into a square of 2048, then to a short side of 768, so much for each square of 512."""

    def count(size: Size, detail: str) -> int:
        if detail == "low":
            return base
        width, height = _within(size, 2048)
        shrink = min(1.0, 768 / max(1.0, min(width, height)))
        return base + tile * _cover(width * shrink, height * shrink, 512)

    return count


def patches(factor: float, most: int, longest: int = 1_000_000) -> Tokens:
    """GPT-4.1 mini's way: squares of 32, each so much; an image that has more than `most` is scaled down."""

    def count(size: Size, detail: str) -> int:
        limit = 256 if detail == "low" else 10_000 if detail == "original" and most > 1536 else most
        width, height = _within(size, 512 if detail == "low" else 6000 if limit > most else longest)
        if _cover(width, height, 32) > limit:
            shrink = math.sqrt(32 * 32 * limit / (width * height))
            across, down = width * shrink / 32, height * shrink / 32
            shrink *= min(math.floor(across) / across, math.floor(down) / down) if min(across, down) >= 1 else 1
            width, height = width * shrink, height * shrink
        return math.ceil(min(_cover(width, height, 32), limit) * factor)

    return count


def claude(longest: int, most: int) -> Tokens:
    """Anthropic's way: the area by 750, of an image scaled to its longest side and to the most tokens."""

    def count(size: Size, detail: str) -> int:
        width, height = _within(size, longest)
        return min(most, max(1, round(width * height / 750)))

    return count


def at_most(tokens: int) -> Tokens:
    """Gemini 3's way: so many for any image, as long as no other resolution is asked for."""
    return lambda size, detail: tokens


def gemini(size: Size, detail: str) -> int:
    """Google's way: 258 for a small image, or for each tile that a larger one, of 3072 at most, is cut into."""
    width, height = _within(size, 3072)
    if max(size) <= 384:
        return 258
    unit = min(768, max(256, math.floor(min(width, height) / 1.5)))
    return 258 * _cover(width, height, unit)


def _within(size: Size, longest: int) -> tuple[float, float]:
    shrink = min(1.0, longest / max(1, *size))
    return size[0] * shrink, size[1] * shrink


def _cover(width: float, height: float, unit: int) -> int:
    """How many squares of `unit` cover it; what sticks out by a rounding error needs no further one."""
    return math.ceil(width / unit - 1e-6) * math.ceil(height / unit - 1e-6)


# The size, from the header ------------------------------------------------------------------------

_HEADER = 400_000
"""Bytes that are looked at: a JPEG may hold a profile and a preview before its size."""
_DATA_URL = re.compile(r"data:[^,]{0,200},")


def size_of(image: Any) -> Size | None:
    """Width and height of an image in base64, in a `data:` URL or in bytes; None where it is none, or not known."""
    if isinstance(image, str):
        start = match.end() if (match := _DATA_URL.match(image)) else 0
        text = image[start : start + _HEADER * 4 // 3]
        try:
            header = a2b_base64(text[: len(text) // 4 * 4])
        except (Error, ValueError):  # a URL, a path, a file's id
            return None
    elif isinstance(image, (bytes, bytearray, memoryview)):
        header = bytes(memoryview(image)[:_HEADER])
    else:
        return None
    try:
        found = _size(header)
    except IndexError:  # cut short
        return None
    return found if found and min(found) > 0 else None


def _size(header: bytes) -> Size | None:
    if header.startswith(b"\x89PNG\r\n\x1a\n"):
        return _number(header, 16, 4, "big"), _number(header, 20, 4, "big")
    if header.startswith((b"GIF87a", b"GIF89a")):
        return _number(header, 6, 2), _number(header, 8, 2)
    if header.startswith(b"\xff\xd8"):
        return _jpeg(header)
    if header.startswith(b"RIFF") and header[8:12] == b"WEBP":
        return _webp(header)
    return None


def _jpeg(header: bytes) -> Size | None:
    at = 2
    while at + 9 < len(header):
        if header[at] != 0xFF:
            at += 1
            continue
        marker = header[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # the start of a frame
            return _number(header, at + 7, 2, "big"), _number(header, at + 5, 2, "big")
        alone = marker in (0x01, 0xFF) or 0xD0 <= marker <= 0xD8
        at += 1 if marker == 0xFF else 2 if alone else 2 + max(2, _number(header, at + 2, 2, "big"))
    return None


def _webp(header: bytes) -> Size | None:
    kind = header[12:16]
    if kind == b"VP8 ":
        return _number(header, 26, 2) & 0x3FFF, _number(header, 28, 2) & 0x3FFF
    if kind == b"VP8L":
        bits = _number(header, 21, 4)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        return _number(header, 24, 3) + 1, _number(header, 27, 3) + 1
    return None


def _number(header: bytes, at: int, length: int, order: Literal["little", "big"] = "little") -> int:
    if at + length > len(header):
        raise IndexError(at)
    return int.from_bytes(header[at : at + length], order)
