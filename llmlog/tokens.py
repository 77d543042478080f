"""How many tokens a text, a conversation or an embedding's input is: counted here, never over the network.

Exact for texts and chats of OpenAI's models, as far as their framing is known (`llmlog.encodings`), and an estimate for
all else; the count says which.
"""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from llmlog import encodings
from llmlog.encodings import Family, family_of
from llmlog.exceptions import UsageTypeError, shown

__all__ = ["TokenCount", "count_tokens", "count_text"]


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
    deployments: Mapping[str, str] | None = None,
) -> TokenCount:
    """Count what `model` is sent, or answers.

    content: a text; the messages of a chat, or the input items of a response, as dicts or an SDK's objects; a
    list of texts (or of token ids) for an embedding. tools: the definitions sent along. deployments: Azure's
    deployment name -> model; None: those given to `configure()`. An unknown model, or None, is an estimate.
    """
    family = family_of(model, deployments)
    if tools is not None and (not isinstance(tools, Sequence) or isinstance(tools, (str, bytes, bytearray))):
        raise UsageTypeError(f"tools must be a list of tool definitions, not {shown(tools)}")
    tally = _Tally(family)
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
    return tally.total()


def count_text(
    text: str, model: str | None, *, answer: bool = False, deployments: Mapping[str, str] | None = None
) -> TokenCount:
    """Count a plain text: the short way for an answer that has ended.

    answer: add what the provider's usage has for an answer beyond its text (some, with reasoning models).
    """
    family = family_of(model, deployments)
    count, whole = encodings.count(text, family.encoding)
    more = family.answer if answer else 0
    exact = family.exact_text and whole and not more
    return TokenCount(math.ceil(count * family.factor) + more, exact=exact, encoding=family.encoding)


def by_size(nbytes: int) -> int:
    """A rough count of a text of which only the size is known, in bytes of UTF-8, whatever its language."""
    return math.ceil(nbytes / _BYTES_PER_TOKEN)


_BYTES_PER_TOKEN = 4.5  # the median of the answers recorded here, by o200k; four in five lie between 3.6 and 5.3


# Adding up ----------------------------------------------------------------------------------------

_MEDIA = re.compile(r"image|audio|video|file|document|inline_?data", re.I)
_IMAGE, _IMAGE_LOW = 765, 85  # one of 1024 x 1024, in high and in low detail
_KEYS = ("text", "refusal", "thinking", "content", "parts", "output", "input", "arguments", "summary")


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
                else:
                    messages = True
                    self.message(item)
            except Exception:  # an object whose attributes raise, a list that holds itself
                self.exact = False
        if messages:
            self.framing += self.family.reply
            self.exact &= self.family.exact_chat

    def message(self, item: Any) -> None:
        kind = _get(item, "type")
        if kind == "function_call":
            return self.calls([item])
        if kind == "reasoning":  # taken out again by the server, as far as its usage tells
            self.exact = False
            return None
        role = _get(item, "role")
        if kind == "function_call_output":
            role = "tool"
        if not isinstance(role, str):
            self.exact = False
            role = ""
        self.framing += self.family.message
        self.text(role)
        if role in ("system", "developer"):
            self.system = True
            self.framing += self.family.system
        content = _get(item, "content")
        if content is None:
            parts = _get(item, "parts")
            content = _get(item, "output") if parts is None else parts
        self.text("".join(self.pieces(content)))
        self.exact &= role != "tool"
        for key in ("refusal", "name"):
            value = _get(item, key)
            if isinstance(value, str) and value:
                self.exact = False
                self.text(value)
                # A name that only repeats the role is not sent twice.
                self.framing += (self.family.name - (value == role)) if key == "name" else 0
        calls = _get(item, "tool_calls")
        if isinstance(calls, (list, tuple)) and calls:
            self.framing -= self.family.message + 1  # `calls` counts the message that holds them
            self.calls(calls)
        elif (call := _get(item, "function_call")) is not None:
            self.framing -= self.family.message + 1
            self.calls([call])
        return None

    def calls(self, calls: Sequence[Any]) -> None:
        """The tool calls of one answer."""
        self.exact = False
        family = self.family
        self.framing += family.message + 1
        for call in calls:
            function = _get(call, "function")
            function = call if function is None else function
            self.framing += family.call if len(calls) == 1 else family.parallel_call
            for key in ("name", "arguments", "input"):
                value = _get(function, key)
                if value is not None:
                    self.text(value if isinstance(value, str) else _json(value))

    def pieces(self, content: Any, depth: int = 0) -> Iterator[str]:
        """The text in a message's content, whatever its shape."""
        if isinstance(content, str):
            yield content
        elif isinstance(content, (list, tuple)):
            for part in content:
                yield from self.pieces(part, depth)
        elif content is not None:
            kind = _get(content, "type")
            text = _get(content, "text")
            if isinstance(text, str):
                self.exact &= kind in ("text", "input_text", "output_text")
                yield text
                return
            self.exact = False
            if (isinstance(kind, str) and _MEDIA.search(kind)) or _has_media(content):
                low = _get(_get(content, "image_url"), "detail") == "low" or _get(content, "detail") == "low"
                self.framing += _IMAGE_LOW if low else _IMAGE
                return
            if kind in ("tool_use", "tool_result", "function_call"):
                self.framing += self.family.call
            if isinstance(name := _get(content, "name"), str):
                yield name
            for key in _KEYS:
                value = _get(content, key)
                if isinstance(value, Mapping) and key in ("input", "arguments"):
                    yield _json(value)
                elif value is not None and depth < 20:
                    yield from self.pieces(value, depth + 1)

    def tools(self, tools: Sequence[Any]) -> None:
        self.exact = False
        try:
            definitions = [_mapping(tool) for tool in tools]
            if self.family.typescript:
                functions = [each for tool in definitions if (each := _function(tool))]
                if not functions:
                    return
                self.text(_namespace(functions))
                # The namespace is part of the system message; without one, it makes one.
                if all("function" not in tool for tool in definitions):
                    self.framing += self.family.response_tools
                else:
                    self.framing += self.family.tools - (self.family.message + 1 if self.system else 0)
            else:
                self.text(_json(definitions))
                self.framing += self.family.tools
        except Exception:  # a schema that holds itself, an object whose attributes raise
            pass


def _is_message(item: Any) -> bool:
    return isinstance(item, Mapping) or _get(item, "role") is not None or _get(item, "type") is not None


def _has_media(part: Any) -> bool:
    return isinstance(part, Mapping) and any(isinstance(key, str) and _MEDIA.search(key) for key in part)


def _get(item: Any, key: str) -> Any:
    """`item`'s value for `key`: a mapping's, or an object's attribute; else None."""
    try:
        return item.get(key) if isinstance(item, Mapping) else getattr(item, key, None)
    except Exception:
        return None


def _mapping(item: Any) -> Mapping[str, Any]:
    """A mapping, or an object of an SDK as one."""
    if isinstance(item, Mapping):
        return item
    dump = getattr(item, "model_dump", None)
    dumped = dump() if callable(dump) else getattr(item, "__dict__", None)
    return dumped if isinstance(dumped, Mapping) else {}


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=_mapping)
    except Exception:  # it holds itself, or an odd key
        return ""


def _function(tool: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The function that a definition, of Chat Completions, of Responses or a bare one, describes."""
    function = tool.get("function", tool)
    return function if isinstance(function, Mapping) and isinstance(function.get("name"), str) else None


def _namespace(functions: Sequence[Mapping[str, Any]]) -> str:
    """Function definitions as the model reads them: declarations in a TypeScript namespace."""
    lines = ["namespace functions {", ""]
    for function in functions:
        schema = function.get("parameters") or function.get("input_schema") or {}
        lines += _comment(function)
        fields = _fields(schema)
        title = f" // {schema['title']}\n" if isinstance(schema.get("title"), str) else ""
        signature = f"(_: {title}{{\n{fields}\n}})" if fields else "()"
        lines += [f"type {function['name']} = {signature} => any;", ""]
    return "\n".join([*lines, "} // namespace functions"])


def _fields(schema: Mapping[str, Any]) -> str:
    required = schema.get("required") or ()
    lines = []
    for name, field in (schema.get("properties") or {}).items():
        if not isinstance(field, Mapping):
            field = {}
        if isinstance(field.get("title"), str):
            lines.append(f"// {field['title']}")
        lines += _comment(field)
        default = f" // default: {_json(field['default'])}" if "default" in field else ""
        lines.append(f"{name}{'' if name in required else '?'}: {_type(field)},{default}")
    return "\n".join(lines)


def _comment(schema: Mapping[str, Any]) -> list[str]:
    description = schema.get("description")
    return [f"// {inspect.cleandoc(description)}"] if isinstance(description, str) and description else []


def _type(schema: Any) -> str:
    """A JSON schema as a TypeScript type."""
    if not isinstance(schema, Mapping):
        return "any"
    if "enum" in schema:
        return " | ".join(map(_json, schema["enum"]))
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " | ".join(map(_type, schema[key]))
    kind = schema.get("type")
    if isinstance(kind, (list, tuple)):
        return " | ".join(_type({**schema, "type": each}) for each in kind)
    if kind == "array":
        return f"{_type(schema.get('items'))}[]"
    if kind == "object" or "properties" in schema:
        fields = _fields(schema)
        return f"{{\n{fields}\n}}" if fields else "object"
    if kind in ("integer", "number"):
        return "number"
    return kind if kind in ("string", "boolean", "null") else "any"
