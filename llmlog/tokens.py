"""How many tokens a text, a conversation or an embedding's input is: counted here, never over the network.

Exact for texts and chats of OpenAI's models, as far as their framing is known (`llmlog.encodings`), and an estimate for
all else; the count says which.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from llmlog import encodings, images
from llmlog.declarations import as_json, function_in, get, mapping, namespace, schema_of
from llmlog.encodings import Family, family_of
from llmlog.exceptions import UsageTypeError, shown
from llmlog.request_bodies import opened

__all__ = ["TokenCount", "around_calls", "by_size", "count_text", "count_tokens"]


class TokenCount(int):
    """A number of tokens that knows how it was found. It is an int everywhere, and cannot be changed.

    `exact`: the provider counts the same; False for an estimate. `encoding`: the one it was counted with.
    """

    exact: bool
    encoding: str

    def __new__(cls, value: int, *, exact: bool, encoding: str) -> TokenCount:
        self = super().__new__(cls, value)
        self.__dict__.update(exact=exact, encoding=encoding)
        return self

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a TokenCount cannot be changed: {name} = {shown(value)}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a TokenCount cannot be changed: del {name}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _token_count, (int(self), self.exact, self.encoding)

    def __repr__(self) -> str:
        return f"TokenCount({int(self)}, exact={self.exact}, encoding={self.encoding!r})"

    __str__ = int.__repr__


def _token_count(value: int, exact: bool, encoding: str) -> TokenCount:
    return TokenCount(value, exact=exact, encoding=encoding)


def count_tokens(
    content: Any,
    model: str | None,
    *,
    tools: Sequence[Any] | None = None,
    response_format: Any = None,
    deployments: Mapping[str, str] | None = None,
) -> TokenCount:
    """Count what `model` is sent, or answers.

    content: a text; the messages of a chat, or the input items of a response, as dicts or an SDK's objects; a
    list of texts (or of token ids) for an embedding; or a whole request as a dict, of whichever API, with its
    instructions, tools and format inside. tools: the definitions sent along. response_format: the format asked for,
    where it is a JSON schema. deployments: Azure's deployment name -> model; None: those given to `configure()`.
    An unknown model, or None, is an estimate.
    """
    family = family_of(model, deployments)
    request = opened(content)
    if request is not None:
        content = request.content
        tools = request.tools if tools is None else tools
        response_format = request.response_format if response_format is None else response_format
    if tools is not None and (not isinstance(tools, Sequence) or isinstance(tools, (str, bytes, bytearray))):
        raise UsageTypeError(f"tools must be a list of tool definitions, not {shown(tools)}")
    tally = _Tally(family)
    tally.exact &= request is None or request.is_whole
    if isinstance(content, str):
        tally.text(content)
    elif isinstance(content, (list, tuple)):
        tally.sequence(content)
    elif _is_message(content):
        tally.sequence([content])
    else:
        raise UsageTypeError(f"content must be a text or a list of messages, not {shown(content)}")
    if tools:
        tally.tools(tools)
    if schema := schema_of(response_format):
        tally.exact = False
        tally.text(schema)
        tally.framing += 2
    return tally.total()


def count_text(
    text: str,
    model: str | None,
    *,
    answer: bool = False,
    with_tools: bool = False,
    deployments: Mapping[str, str] | None = None,
) -> TokenCount:
    """Count a plain text: the short way for an answer that has ended.

    answer: add what the provider's usage has for an answer beyond its text: some, with reasoning models, and one more
    where tools were offered and the model answered in words (with_tools).
    """
    family = family_of(model, deployments)
    count, whole = encodings.count(text, family.encoding)
    more = family.answer + (with_tools and family.exact_text) if answer else 0
    exact = family.exact_text and whole and not more
    return TokenCount(math.ceil(count * family.factor) + more, exact=exact, encoding=family.encoding)


def around_calls(number: int, model: str | None) -> int:
    """What the usage of an answer has for so many calls of tools, beside their names and arguments."""
    family = family_of(model, {})
    return number * (family.call if number == 1 else family.parallel_call)


def by_size(nbytes: int) -> int:
    """A rough count of a text of which only the size is known, in bytes of UTF-8, whatever its language."""
    return math.ceil(nbytes / _BYTES_PER_TOKEN)


_BYTES_PER_TOKEN = 4.5  # the median of the answers recorded here, by o200k; four in five lie between 3.6 and 5.3


# Adding up ----------------------------------------------------------------------------------------

_MEDIA = re.compile(r"image|audio|video|file|document|inline_?data", re.I)
_DOCUMENT = 765
"""What a document or a recording is taken for, whose content would have to be read to be counted."""
_KEYS = (
    "text", "refusal", "thinking", "content", "parts", "output", "input", "arguments", "summary",
    "functionCall", "functionResponse", "toolUse", "toolResult", "args", "response", "json",
)  # fmt: skip
_VALUES = ("input", "arguments", "args", "response", "json")


class _Tally:
    """Adds up one request. What it cannot read it passes over, and the count is no longer exact."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.counted = 0  # tokens of text, by the encoding
        self.framing = 0  # tokens around it
        self.exact = family.exact_text
        self.system = False

    def total(self) -> TokenCount:
        total = math.ceil(self.counted * self.family.factor) + self.framing
        return TokenCount(max(total, 0), exact=self.exact, encoding=self.family.encoding)

    def text(self, text: str) -> None:
        count, whole = encodings.count(text, self.family.encoding)
        self.counted += count
        self.exact &= whole

    def sequence(self, items: Sequence[Any]) -> None:
        messages = False
        for item in items:
            try:
                if isinstance(item, str):
                    self.text(item)
                elif isinstance(item, int):
                    self.counted += 1
                elif isinstance(item, (list, tuple)) and all(type(each) is int for each in item):
                    self.counted += len(item)
                elif _is_part(item):
                    self.exact = False
                    self.text("".join(self.pieces(item)))
                else:
                    messages = True
                    self.message(item)
            except Exception:  # an object whose attributes raise, a list that holds itself
                self.exact = False
        if messages:
            self.framing += self.family.reply
            self.exact &= self.family.exact_chat

    def message(self, item: Any) -> None:
        kind = get(item, "type")
        if kind == "function_call":
            return self.calls([item])
        if kind == "reasoning":  # taken out again by the server, as far as its usage tells
            self.exact = False
            return None
        role = get(item, "role")
        if kind == "function_call_output":
            role = "tool"
        if not isinstance(role, str):
            self.exact = False
            role = ""
        self.framing += self.family.message
        if self.family.role:
            self.text(role)
        if role in ("system", "developer"):
            self.system = True
            self.framing += self.family.system
        content = get(item, "content")
        if content is None:
            parts = get(item, "parts")
            content = get(item, "output") if parts is None else parts
        said = "".join(self.pieces(content))
        self.text(said)
        if role == "assistant" and said:
            self.framing += self.family.answered
        self.exact &= role != "tool"
        for key in ("refusal", "name"):
            value = get(item, key)
            if isinstance(value, str) and value:
                self.exact = False
                self.text(value)
                # A name that only repeats the role is not sent twice.
                self.framing += (self.family.name - (value == role)) if key == "name" else 0
        calls = get(item, "tool_calls")
        if isinstance(calls, (list, tuple)) and calls:
            self.framing -= self.family.message + 1  # `calls` counts the message that holds them
            self.calls(calls)
        elif (call := get(item, "function_call")) is not None:
            self.framing -= self.family.message + 1
            self.calls([call])
        return None

    def calls(self, calls: Sequence[Any]) -> None:
        """The tool calls of one answer."""
        self.exact = False
        family = self.family
        self.framing += family.message + 1
        for call in calls:
            function = get(call, "function")
            function = call if function is None else function
            self.framing += family.call if len(calls) == 1 else family.parallel_call
            for key in ("name", "arguments", "input"):
                value = get(function, key)
                if value is not None:
                    self.text(value if isinstance(value, str) else as_json(value))

    def pieces(self, content: Any, depth: int = 0) -> Iterator[str]:
        """The text in a message's content, whatever its shape."""
        if isinstance(content, str):
            yield content
        elif isinstance(content, (list, tuple)):
            for part in content:
                yield from self.pieces(part, depth)
        elif content is not None:
            kind = get(content, "type")
            text = get(content, "text")
            if isinstance(text, str):
                self.exact &= kind in ("text", "input_text", "output_text")
                yield text
                return
            self.exact = False
            if kind == "document" and get(source := get(content, "source"), "type") == "text":  # Anthropic's
                yield from self.pieces(get(source, "data"), depth + 1)
                return
            if (isinstance(kind, str) and _MEDIA.search(kind)) or _has_media(content):
                self.framing += self.media(content)
                return
            if kind in ("tool_use", "tool_result", "function_call"):
                self.framing += self.family.call
            if isinstance(name := get(content, "name"), str):
                yield name
            for key in _KEYS:
                value = get(content, key)
                if isinstance(value, Mapping) and key in _VALUES:
                    yield as_json(value)
                elif value is not None and depth < 20:
                    yield from self.pieces(value, depth + 1)

    def media(self, part: Any) -> int:
        """An image by its size and the detail asked for; anything else by what it is taken for."""
        held = [part, *(found for name in _HOLDERS if (found := get(part, name)) is not None)]
        held += [
            found for each in held[1:] for name in ("source", "image_url") if (found := get(each, name)) is not None
        ]
        data = [each for one in held for each in (one, *(get(one, name) for name in _DATA)) if _is_data(each)]
        detail = next((each for one in held if isinstance(each := get(one, "detail"), str)), "auto")
        size = next((size for each in data if (size := images.size_of(each))), None)
        if size is None and not self.is_image(part, held):
            mime = next((each for one in held for name in _MIMES if isinstance(each := get(one, name), str)), "")
            text = next(
                (each for each in data if isinstance(each, str) and (mime or each[5:]).startswith("text/")), None
            )
            return _DOCUMENT if text is None else by_size(len(text) * 3 // 4)
        return self.family.image(size or images.UNKNOWN, detail)

    def is_image(self, part: Any, held: Sequence[Any]) -> bool:
        """Whether a part whose data is not here is an image, by its type."""
        said = [get(part, "type"), *(get(one, name) for one in held for name in _MIMES)]
        named = any(get(part, name) is not None for name in ("image", "image_url"))
        return named or any(isinstance(each, str) and "image" in each for each in said)

    def tools(self, tools: Sequence[Any]) -> None:
        self.exact = False
        try:
            definitions = [mapping(tool) for tool in tools]
            definitions = [each for tool in definitions for each in _declared(tool) or [tool]]
            if self.family.tools_as == "typescript":
                functions = [each for tool in definitions if (each := function_in(tool))]
                if not functions:
                    return
                self.text(namespace(functions))
                # The namespace is part of the system message; without one, it makes one.
                if all("function" not in tool for tool in definitions):
                    self.framing += self.family.response_tools
                else:
                    self.framing += self.family.tools - (self.family.message + 1 if self.system else 0)
            else:
                if self.family.tools_as == "compact json":  # Google's own tools are not in what is counted
                    definitions = [each for each in definitions if function_in(each)]
                self.text(as_json(definitions, (",", ":") if self.family.tools_as == "compact json" else None))
                self.framing += self.family.tools
        except Exception:  # no schema: a list that is none, an object whose attributes raise
            self.text(as_json(tools))


def _declared(tool: Mapping[str, Any]) -> Any:
    """Google's tools hold several functions."""
    return tool.get("functionDeclarations") or tool.get("function_declarations")


def _is_part(item: Any) -> bool:
    """Whether it is a part of a message, without the message around it."""
    has_text = isinstance(get(item, "text"), str) or any(get(item, name) is not None for name in _HOLDERS)
    return has_text and all(get(item, name) is None for name in ("role", "content", "parts"))


def _is_message(item: Any) -> bool:
    return isinstance(item, Mapping) or get(item, "role") is not None or get(item, "type") is not None


_HOLDERS = ("image_url", "source", "inlineData", "inline_data", "fileData", "file_data", "image", "file", "document")
_DATA = ("url", "data", "bytes", "file_data", "image_url")
_MIMES = ("media_type", "mime_type", "mimeType")


def _is_data(value: Any) -> bool:
    return isinstance(value, (str, bytes, bytearray, memoryview)) and len(value) > 20


def _has_media(part: Any) -> bool:
    return isinstance(part, Mapping) and any(isinstance(key, str) and _MEDIA.search(key) for key in part)
