"""How many tokens a text, a conversation or an embedding's input is: counted here, never over the network.

The tables of the two encodings of today's OpenAI models (cl100k_base and o200k_base) are part of the package,
their patterns and special tokens are tiktoken's own. Counts for other models are estimates: the nearer of the
two, times a factor that was measured for the family on answers with the provider's own usage beside them.

What is added around the text of a chat (`_Family`) was found the same way, by comparing with the
`prompt_tokens` that the provider reported for recorded requests.
"""

from __future__ import annotations

import inspect
import json
import math
import os
import re
import threading
from binascii import a2b_base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from gzip import decompress
from importlib import import_module, resources
from types import FunctionType
from typing import TYPE_CHECKING, Any, NoReturn

from llmlog import settings
from llmlog.exceptions import UsageTypeError, shown

if TYPE_CHECKING:
    from tiktoken import Encoding

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
    family = _family_of(model, deployments)
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
    family = _family_of(model, deployments)
    count, whole = _count(text, family.encoding)
    more = family.answer if answer else 0
    exact = family.exact_text and whole and not more
    return TokenCount(math.ceil(count * family.factor) + more, exact=exact, encoding=family.encoding)


# Models -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Family:
    """How the models of one family count: what they add around the text."""

    encoding: str = "o200k_base"
    factor: float = 1.0
    """The family's own tokens for each one of the encoding's."""
    exact_text: bool = False
    exact_chat: bool = False
    message: int = 3
    """For each message, beside its role and content."""
    reply: int = 3
    """Once, for the start of the answer."""
    name: int = 1
    system: int = 0
    """For a system message, more or less than for others."""
    tools: int = 8
    """Once, where tools are sent; OpenAI's models read them as TypeScript, in the first system message."""
    response_tools: int = 2
    """The same for the Responses API, which is known by the shape of its definitions."""
    call: int = 7
    """For a tool call of an earlier answer; several in one answer go through a wrapper, which is longer."""
    parallel_call: int = 15
    answer: int = 0
    """What an answer's usage has beyond its text."""
    typescript: bool = True
    """Whether the tools are read as TypeScript; otherwise as JSON."""


_O200K = _Family(exact_text=True, exact_chat=True)
_CL100K = replace(_O200K, encoding="cl100k_base")
_REASONING = replace(_O200K, reply=2, call=13, response_tools=8)
_CLAUDE = _Family(factor=1.1, message=4, system=-5, tools=520, call=20, parallel_call=20, typescript=False)

# The first pattern found in the name (lower case, without the path and the ft: before it) decides.
_FAMILIES: tuple[tuple[str, _Family], ...] = (
    (r"claude-(opus-4-[7-9]|(opus|sonnet|haiku)-[5-9])", replace(_CLAUDE, factor=1.4)),
    (r"claude-(3|(sonnet|opus)-4-(2025|0))", replace(_CLAUDE, tools=350)),
    (r"claude", _CLAUDE),
    (r"gemini|gemma", _Family(factor=1.05, message=0, reply=0)),
    (r"mi[sx]tral|ministral|codestral|magistral|devstral", _Family(factor=1.2)),
    (r"llama", _Family(factor=1.03)),
    (r"nova-", _Family(factor=1.05)),
    # The text of these is known; what is added to a chat is known less well.
    (r"^gpt-4o.*search", replace(_O200K, exact_chat=False, message=-1, reply=0)),
    (r"^o1-(mini|preview)", replace(_REASONING, exact_chat=False, message=7, answer=11)),
    (
        r"^(?=gpt-4o|gpt-4\.1|gpt-5|o1|o3|o4|chatgpt|gpt-oss|codex|computer-use)"
        r"(.*(audio|realtime|transcribe|tts|image|chat-latest|deep-research|computer-use)|o1|gpt-oss|codex)",
        replace(_REASONING, exact_chat=False),
    ),
    (r"^gpt-5\.", replace(_REASONING, tools=90, answer=3)),
    (r"^gpt-5(?![a-z0-9])", replace(_REASONING, tools=90, answer=9)),
    (r"^o[34](?![a-z0-9])", replace(_REASONING, answer=13)),
    (r"^(gpt-4o|gpt-4\.[15]|chatgpt-4o)(?![a-z0-9])", _O200K),
    (r"^gpt-3\.?5-turbo-0301", replace(_CL100K, message=4, name=-1)),
    (r"^gpt-(4|3\.?5)(?![a-z0-9.])", _CL100K),
    (r"^(text-embedding-(ada-002|3)|davinci-002|babbage-002)", replace(_CL100K, exact_chat=False)),
    (r"^(text|code)-(davinci|curie|babbage|ada|cushman)|^(davinci|curie|babbage|ada|gpt-?2)$",
     _Family(encoding="cl100k_base")),
)  # fmt: skip


def _family_of(model: str | None, deployments: Mapping[str, str] | None) -> _Family:
    if model is None:
        return _UNKNOWN
    if not isinstance(model, str):
        raise UsageTypeError(f"model must be a name or None, not {shown(model)}")
    if deployments is None:
        deployments = settings.current().deployments
    elif not isinstance(deployments, Mapping):
        raise UsageTypeError(f"deployments must map names to models, not {shown(deployments)}")
    known = deployments.get(model, model)
    if not isinstance(known, str):
        raise UsageTypeError(f"deployments[{model!r}] must be the name of a model, not {shown(known)}")
    return _family(known)


@lru_cache(maxsize=512)
def _family(model: str) -> _Family:
    name = model.strip().lower().rpartition("/")[2].removeprefix("openai.").removeprefix("ft:")
    for pattern, family in _FAMILIES:
        if re.search(pattern, name):
            return family
    from tiktoken.model import encoding_name_for_model  # models that came after this list

    try:
        encoding = encoding_name_for_model(name)
    except KeyError:
        return _UNKNOWN
    return _Family(encoding=encoding, exact_text=True) if encoding in _ENCODINGS else _UNKNOWN


_UNKNOWN = _Family()


# Adding up ----------------------------------------------------------------------------------------

_MEDIA = re.compile(r"image|audio|video|file|document|inline_?data", re.I)
_IMAGE, _IMAGE_LOW = 765, 85  # one of 1024 x 1024, in high and in low detail
_KEYS = ("text", "refusal", "thinking", "content", "parts", "output", "input", "arguments", "summary")


class _Tally:
    """Adds up one request. What it cannot read it passes over, and the count is no longer exact."""

    def __init__(self, family: _Family) -> None:
        self.family = family
        self.counted = 0  # tokens of text, by the encoding
        self.framing = 0  # tokens around it
        self.exact = family.exact_text
        self.system = False

    def total(self) -> TokenCount:
        total = math.ceil(self.counted * self.family.factor) + self.framing
        return TokenCount(max(total, 0), exact=self.exact, encoding=self.family.encoding)

    def text(self, text: str) -> None:
        count, whole = _count(text, self.family.encoding)
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


# Encodings ----------------------------------------------------------------------------------------

_ENCODINGS = ("cl100k_base", "o200k_base")

# tiktoken takes quadratic time over one long piece. A piece is a run of letters and marks, of symbols, or of
# blanks and slashes: a run of this length is cut, which ordinary text does not have.
_RUN = 256
_PUNCTUATION = (
    r"\d!-/:-@\[-`{-~\u2000-\u206f\u3001-\u3003\u3008-\u3011\u3014-\u301f"
    r"\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
)


def _runs(length: int) -> tuple[re.Pattern[str], ...]:
    """Patterns of whole runs, `length` or longer. Beginning only where a run does, they take linear time."""
    return (
        re.compile(rf"(?<![^\s{_PUNCTUATION}])[^\s{_PUNCTUATION}]{{{length},}}"),
        re.compile(rf"(?<![^\w\s])(?<!_)(?:[^\w\s]|_){{{length},}}"),
        re.compile(rf"(?<![\s/])[\s/]{{{length},}}"),
    )


_LONG, _STRIDE = _runs(_RUN), 8
_SAMPLED = _runs(_RUN // _STRIDE)


def _count(text: str, encoding: str) -> tuple[int, bool]:
    """The tokens of `text`, and whether it could be counted in one piece."""
    encode = _encoder(encoding).encode_ordinary
    sample = text[::_STRIDE]  # what is a run in the text is one in every eighth character: looked at first, for speed
    if len(text) < _RUN or not any(run.search(sample) for run in _SAMPLED):
        return len(encode(text)), True
    starts = {
        start
        for run in _LONG
        for match in run.finditer(text)
        for start in range(match.start() + _RUN, match.end(), _RUN)
    }
    if not starts:
        return len(encode(text)), True
    edges = [0, *sorted(starts), len(text)]
    return sum(len(encode(text[edges[i] : edges[i + 1]])) for i in range(len(edges) - 1)), False


_encoders: dict[str, Encoding] = {}
_lock = threading.RLock()  # reentrant: a finaliser that runs while loading may count, too


def _encoder(name: str) -> Encoding:
    """The encoding, loaded at its first use; whoever comes meanwhile waits for it."""
    encoder = _encoders.get(name)
    if encoder is None:
        import tiktoken

        openai_public = import_module("tiktoken_ext.openai_public")  # untyped
        with _lock:
            encoder = _encoders.get(name)
            if encoder is None:
                # tiktoken's own constructor, but with a loader that reads our table and not a URL.
                constructor: Any = getattr(openai_public, name)
                injected = {**vars(openai_public), "load_tiktoken_bpe": lambda *_, **__: _ranks(name)}
                _encoders[name] = encoder = tiktoken.Encoding(**FunctionType(constructor.__code__, injected)())
    return encoder


def _ranks(name: str) -> dict[bytes, int]:
    """The rank table of an encoding, from the package: on each line a token in base64 and its rank."""
    parts = decompress(resources.files("llmlog").joinpath(f"data/{name}.tiktoken.gz").read_bytes()).split()
    return dict(zip(map(a2b_base64, parts[::2]), map(int, parts[1::2]), strict=True))


def _new_lock() -> None:
    """In a forked child: the thread that may have held the lock is not there."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)
