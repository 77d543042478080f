"""How the models of each family count: their encoding, what they add around a text, and counting a text.

The tables of the two encodings of today's OpenAI models (cl100k_base and o200k_base) are part of the package, their
patterns and special tokens are tiktoken's own. Other models are estimated by the nearer of the two, times a factor that
was measured on answers with the provider's own usage beside them; what is added around the text of a chat was found by
comparing with the `prompt_tokens` that the provider reported for recorded requests.
"""

from __future__ import annotations

import os
import pkgutil
import re
import threading
from binascii import a2b_base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from gzip import decompress
from importlib import import_module
from types import FunctionType
from typing import TYPE_CHECKING, Any, Literal

from llmlog import images, settings
from llmlog.exceptions import UsageTypeError, shown

if TYPE_CHECKING:
    from tiktoken import Encoding

__all__ = ["Family", "count", "family_of"]


_AS_GPT_4O = images.tiles(85, 170)


@dataclass(frozen=True, slots=True)
class Family:
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
    answered: int = 0
    """For an earlier answer in words, more than for other messages."""
    tools: int = 8
    """Once, where tools are sent; OpenAI's models read them as TypeScript, in the first system message."""
    response_tools: int = 2
    """The same for the Responses API, which is known by the shape of its definitions."""
    call: int = 7
    """For a tool call of an earlier answer; several in one answer go through a wrapper, which is longer."""
    parallel_call: int = 15
    answer: int = 0
    """What an answer's usage has beyond its text."""
    tools_as: Literal["typescript", "json", "compact json"] = "typescript"
    """How the tools are read."""
    role: bool = True
    """Whether a role is a word; otherwise it is one of the tokens of `message`."""
    image: images.Tokens = _AS_GPT_4O
    """The tokens of an image by its size and detail."""


_O200K = Family(exact_text=True, exact_chat=True)
_CL100K = replace(_O200K, encoding="cl100k_base")
_REASONING = replace(_O200K, reply=2, call=13, response_tools=8)
_GPT_5 = replace(_REASONING, tools=90, answered=2)
_CLAUDE = Family(factor=1.1, message=4, system=-5, tools=520, call=20, parallel_call=20, tools_as="json")

_NEW_CLAUDE = r"claude-(opus-4-[7-9]|4-[7-9]-opus|[a-z]+-[5-9]|[5-9]-)"
# The first pattern found in the name (lower case, without the path and the ft: before it) decides.
_FAMILIES: tuple[tuple[str, Family], ...] = (
    (_NEW_CLAUDE, replace(_CLAUDE, factor=1.4)),
    (r"claude-(3|(sonnet|opus)-4(-2025|-0|@|$)|4-(sonnet|opus))", replace(_CLAUDE, tools=350)),
    (r"claude", _CLAUDE),
    (r"gemini|gemma", Family(factor=1.05, message=0, reply=0, tools=0, tools_as="compact json", role=False)),
    (r"deepseek", Family(message=1, reply=2, role=False)),
    (r"mi[sx]tral|ministral|codestral|magistral|devstral|pixtral|voxtral", Family(factor=1.2)),
    (r"llama", Family(factor=1.03)),
    (r"nova-", Family(factor=1.05)),
    # The text of these is known; what is added to a chat is known less well.
    (r"^gpt-4o.*search", replace(_O200K, exact_chat=False, message=-1, reply=0)),
    (r"^o1-(mini|preview)", replace(_REASONING, exact_chat=False, message=7, answer=11)),
    (
        r"^(?=gpt-4o|gpt-4\.1|gpt-5|o1|o3|o4|chatgpt|gpt-oss|codex|computer-use)"
        r"(.*(audio|realtime|transcribe|tts|image|search|chat-latest|deep-research|computer-use)|o1|gpt-oss|codex)",
        replace(_REASONING, exact_chat=False),
    ),
    (r"^gpt-5\.", replace(_GPT_5, answer=3)),
    (r"^gpt-5(?![a-z0-9])", replace(_GPT_5, answer=9)),
    (r"^gpt-[6-9]", replace(_GPT_5, exact_text=False, exact_chat=False, answer=3)),
    (r"^o[34](?![a-z0-9])", replace(_REASONING, answer=13)),
    (r"^(gpt-4o|gpt-4\.[15]|chatgpt-4o)(?![a-z0-9])", _O200K),
    (r"^gpt-3\.?5-turbo-0301", replace(_CL100K, message=4, name=-1)),
    (r"^gpt-(4|3\.?5)(?![a-z0-9.])", _CL100K),
    (r"^(text-embedding-(ada-002|3)|davinci-002|babbage-002)", replace(_CL100K, message=0, reply=0, role=False)),
    (r"^(text|code)-(davinci|curie|babbage|ada|cushman)|^(davinci|curie|babbage|ada|gpt-?2)$",
     Family(encoding="cl100k_base")),
)  # fmt: skip


# The same for images. Where documentation and recorded requests differ (the small GPT-5 models), the latter hold.
_IMAGES: tuple[tuple[str, images.Tokens], ...] = (
    (_NEW_CLAUDE, images.claude(2576, 4784)),
    (r"claude", images.claude(1568, 1600)),
    (r"gemini-[3-9]", images.at_most(1120)),
    (r"gemini|gemma", images.gemini),
    (r"^gpt-4o-mini", images.tiles(2833, 5667)),
    (r"^gpt-4\.1-mini", images.patches(1.62, 1536)),
    (r"^gpt-4\.1-nano", images.patches(2.46, 1536)),
    (r"^o4-mini", images.patches(1.72, 1536)),
    (r"^gpt-5.*mini", images.patches(1.2, 1536)),
    (r"^gpt-5.*nano", images.patches(1.5, 1536)),
    (r"^gpt-5\.[23](?!\d)", images.patches(1, 1536)),
    (r"^gpt-(5\.[4-9]|[6-9])", images.patches(1, 2500, 2048)),
    (r"^gpt-5", images.tiles(70, 140)),
    (r"^o[13](?![a-z0-9])", images.tiles(75, 150)),
    (r"^computer-use", images.tiles(65, 129)),
)


def family_of(model: str | None, deployments: Mapping[str, str] | None) -> Family:
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


_BEFORE = re.compile(r"^(?:(?:[a-z-]+\.)?openai\.|ft:)")
"""What may stand before the name of one of OpenAI's models: Bedrock's region and maker, or that it was fine-tuned."""


@lru_cache(maxsize=512)
def _family(model: str) -> Family:
    name = _BEFORE.sub("", model.strip().lower().rpartition("/")[2])
    if "claude" in name:  # gateways write 4.8 for 4-8
        name = name.replace(".", "-")
    family = _text_family(name)
    image = next((image for pattern, image in _IMAGES if re.search(pattern, name)), family.image)
    return replace(family, image=image)


def _text_family(name: str) -> Family:
    for pattern, family in _FAMILIES:
        if re.search(pattern, name):
            return family
    from tiktoken.model import encoding_name_for_model  # models that came after this list

    try:
        encoding = encoding_name_for_model(name)
    except KeyError:
        return _UNKNOWN
    return Family(encoding=encoding, exact_text=True) if encoding in _ENCODINGS else _UNKNOWN


_UNKNOWN = Family()


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


def count(text: str, encoding: str) -> tuple[int, bool]:
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
    packed = pkgutil.get_data("llmlog", f"data/{name}.tiktoken.gz")
    if packed is None:
        raise FileNotFoundError(f"llmlog's own rank table {name}")
    parts = decompress(packed).split()
    return dict(zip(map(a2b_base64, parts[::2]), map(int, parts[1::2]), strict=True))


def _new_lock() -> None:
    """In a forked child: the thread that may have held the lock is not there."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)
