"""What was said, redacted and cut."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from conftest import Records, answer, chunk

import llmlog
from llmlog import faults
from llmlog.answers import MAX_TEXT
from llmlog.semconv import FIELDS, STANDARD_ATTRIBUTES


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def tool_chunk(arguments: str, index: int = 0) -> dict[str, Any]:
    return chunk(
        tool_calls=[{"index": index, "id": f"call_{index}", "function": {"name": "f", "arguments": arguments}}]
    )


def test_length_and_digest_are_of_the_whole(calls: Records) -> None:
    """A text that was cut can be told from others, and matched with its like."""
    llmlog.configure(capture=10)
    asked, answered, arguments = "Why? " * 10, "Because. " * 10, '{"where": "far away"}'
    chunks = [chunk(answered), tool_chunk(arguments), tool_chunk("{}", 1), chunk(finish="tool_calls")]
    list(llmlog.stream(chunks, input=asked))
    record = calls.one()
    assert (record["prompt"], record["prompt_cut"], record["prompt_length"]) == ("Why? Why?…", True, len(asked))
    assert (record["response"], record["response_cut"]) == ("Because. …", True)
    assert record["response_length"] == len(answered)
    assert record["tool_arguments"] == ['{"where":…', "{}"]
    assert record["tool_arguments_length"] == [len(arguments), 2]
    assert record["prompt_sha256"] == digest(asked)
    assert record["response_sha256"] == digest(answered)
    assert record["tool_arguments_sha256"] == [digest(arguments), digest("{}")]
    assert {name for name in record if name not in STANDARD_ATTRIBUTES} <= set(FIELDS)


def test_the_digest_tells_nothing_that_redaction_took(calls: Records) -> None:
    """Whoever guesses an address cannot tell by the digest whether it was there."""
    llmlog.configure(capture=True)
    list(llmlog.stream(answer("Write to ann@example.com"), input="I am ann@example.com"))
    assert calls.one()["prompt_sha256"] == digest("I am <EMAIL>")
    assert calls.one()["response_sha256"] == digest("Write to <EMAIL>")


def test_each_choice_by_itself(calls: Records) -> None:
    """Several answers are several texts."""
    llmlog.configure(capture=True)
    list(llmlog.stream([chunk("a"), chunk("b", index=1), chunk(finish="stop"), chunk(finish="stop", index=1)]))
    assert calls.one()["response"] == ["a", "b"]
    assert calls.one()["response_sha256"] == [digest("a"), digest("b")]


def test_a_text_that_was_not_kept_as_a_whole(calls: Records) -> None:
    """There is no digest of what nobody has."""
    llmlog.configure(capture=100)
    list(llmlog.stream(iter(["word " * 1000] * (MAX_TEXT // 5000 + 2)), provider="text"))
    record = calls.one()
    assert (len(record["response"]), record["response_cut"]) == (100, True)
    assert "response_sha256" not in record


def test_images_are_named(calls: Records) -> None:
    """Neither what was sent nor what came back holds a picture."""
    llmlog.configure(capture=True)
    url = "data:image/png;base64," + "iVBORw0K" * 50
    asked = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
    list(llmlog.stream(answer("Here: ", url[:99], url[99:]), input=asked))
    assert calls.one()["prompt"] == "<image/png, 300 bytes>"
    assert calls.one()["response"] == "Here: <image/png, 300 bytes>"


class Broken(dict[str, Any]):
    """A message that cannot be read."""

    def get(self, *args: Any) -> Any:
        raise RuntimeError("no")


@pytest.mark.parametrize("capture", [False, True])
def test_a_message_that_cannot_be_read(calls: Records, faults_expected: dict[str, int], capture: bool) -> None:
    """The record comes without the text and its length, and that is counted."""
    known = faults.counts()
    llmlog.configure(capture=capture)
    list(llmlog.stream(answer("a"), input=[Broken()]))
    record = calls.one()
    assert (record["outcome"], record["output_tokens"]) == ("completed", 1)
    assert not {"prompt", "prompt_length", "response"} & set(record)
    now = faults.counts()
    faults_expected.update(
        {where: now[where] - known.get(where, 0) for where in now if now[where] != known.get(where, 0)}
    )
