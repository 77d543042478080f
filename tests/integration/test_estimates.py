"""wrap() and streams that are left before they tell their usage: all of the request is in the estimate.

Each request has instructions, messages, tools and a form for the answer. What the record says of its input is compared
with what the request on the wire counts, as the server got it, and with the same without each of its parts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Records, sdk
from local_server import Reply, answering, events
from test_clients_bedrock import CONVERSED_EVENTS, STREAM

import llmlog
from llmlog.tokens import count_tokens

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "sky": {"type": "string"}},
          "required": ["city", "sky"]}  # fmt: skip
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string", "description": "The city's name"}}}
ABOUT = "The weather of today, in one city of the world."
SYSTEM = "You are a weather reporter, and brief. Never say what you do not know."
ASKED = "How is the weather in Rome, and what should I wear?"


def chunk(text: str) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini", "choices": [choice]}


RESPONSE = {"id": "r", "object": "response", "created_at": 1, "model": "gpt-4o-mini", "output": [],
            "status": "in_progress", "parallel_tool_calls": True, "tool_choice": "auto", "tools": []}  # fmt: skip
MESSAGE = {"id": "m", "type": "message", "role": "assistant", "model": "claude-opus-5", "content": [],
           "stop_reason": None, "stop_sequence": None, "usage": None}  # fmt: skip
PIECE: Any = {"candidates": [{"content": {"role": "model", "parts": [{"text": "Sunny"}]}, "index": 0}]}

ANSWERS: dict[str, list[dict[str, Any]]] = {
    "/chat/completions": [chunk("Sunny"), chunk(" and")],
    "/responses": [
        {"type": "response.created", "sequence_number": 0, "response": RESPONSE},
        {"type": "response.output_text.delta", "sequence_number": 1, "item_id": "i", "output_index": 0,
         "content_index": 0, "delta": "Sunny", "logprobs": []},
    ],
    "/messages": [
        {"type": "message_start", "message": MESSAGE},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Sunny"}},
    ],
    ":streamGenerateContent": [PIECE, PIECE],
}  # fmt: skip


class Server:
    """Streams the beginning of an answer, and keeps the request."""

    def __init__(self) -> None:
        self.url = ""
        self.body: dict[str, Any] = {}

    def answer(self, path: str, raw: bytes) -> Reply | None:
        self.body = json.loads(raw)
        path = path.partition("?")[0]
        if path.endswith("/converse-stream"):
            return Reply(CONVERSED_EVENTS[:3], STREAM, hangs=True)
        return next((events(*made, named="type" in made[0], hangs=True)
                     for end, made in ANSWERS.items() if path.endswith(end)), None)  # fmt: skip


@pytest.fixture
def server() -> Iterator[Server]:
    """All five APIs."""
    made = Server()
    with answering(made.answer) as made.url:
        yield made


def chat(url: str, **more: Any) -> Any:
    client = llmlog.wrap(sdk("openai").OpenAI(api_key="k", base_url=url, max_retries=0))
    return client, client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "system", "content": SYSTEM}, {"role": "user", "content": ASKED}],
        response_format={"type": "json_schema", "json_schema": {"name": "sky", "schema": SCHEMA}},
        stream=True,
        **more,
    )


def chat_tools(url: str) -> Any:
    return chat(
        url, tools=[{"type": "function", "function": {"name": "w", "description": ABOUT, "parameters": PARAMETERS}}]
    )


def chat_functions(url: str) -> Any:
    return chat(url, functions=[{"name": "w", "description": ABOUT, "parameters": PARAMETERS}])


def responses(url: str) -> Any:
    client = llmlog.wrap(sdk("openai").OpenAI(api_key="k", base_url=url, max_retries=0))
    return client, client.responses.create(
        model="gpt-4o-mini",
        instructions=SYSTEM,
        input=ASKED,
        text={"format": {"type": "json_schema", "name": "sky", "schema": SCHEMA}},
        tools=[{"type": "function", "name": "w", "description": ABOUT, "parameters": PARAMETERS, "strict": False}],
        stream=True,
    )


def messages(url: str) -> Any:
    client = llmlog.wrap(sdk("anthropic").Anthropic(api_key="k", base_url=url, max_retries=0))
    return client, client.messages.create(
        model="claude-opus-5",
        max_tokens=99,
        system=[{"type": "text", "text": SYSTEM}],
        messages=[{"role": "user", "content": ASKED}],
        tools=[{"name": "w", "description": ABOUT, "input_schema": PARAMETERS}],
        extra_body={"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        stream=True,
    )


def gemini(url: str, **config: Any) -> Any:
    client = llmlog.wrap(sdk("google.genai").Client(api_key="k", http_options={"base_url": url}))
    given = {
        "system_instruction": SYSTEM,
        "response_mime_type": "application/json",
        "response_schema": SCHEMA,
        **config,
    }
    return client, client.models.generate_content_stream(model="gemini-2.5-flash", contents=ASKED, config=given)


def gemini_dicts(url: str) -> Any:
    return gemini(
        url, tools=[{"function_declarations": [{"name": "w", "description": ABOUT, "parameters": PARAMETERS}]}]
    )


def gemini_objects(url: str) -> Any:
    types = sdk("google.genai").types
    function = types.FunctionDeclaration(
        name="w", description=ABOUT, parameters=types.Schema.model_validate(PARAMETERS)
    )
    return gemini(url, tools=[types.Tool(function_declarations=[function])],
                  system_instruction=types.Content(parts=[types.Part.from_text(text=SYSTEM)]))  # fmt: skip


def converse(url: str) -> Any:
    config = sdk("botocore.config").Config(retries={"total_max_attempts": 1})
    client = llmlog.wrap(sdk("boto3").client(
        "bedrock-runtime", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b",
        endpoint_url=url, config=config,
    ))  # fmt: skip
    spec = {"name": "w", "description": ABOUT, "inputSchema": {"json": PARAMETERS}}
    made = client.converse_stream(
        modelId="anthropic.claude-opus-5-v1:0",
        system=[{"text": SYSTEM}],
        messages=[{"role": "user", "content": [{"text": ASKED}]}],
        toolConfig={"tools": [{"toolSpec": spec}]},
    )
    return client, made["stream"]


CASES: list[tuple[Callable[[str], Any], tuple[str, ...]]] = [
    (chat_tools, ("response_format", "tools", "messages")),
    (chat_functions, ("response_format", "functions", "messages")),
    (responses, ("instructions", "text", "tools", "input")),
    (messages, ("system", "output_config", "tools", "messages")),
    (gemini_dicts, ("systemInstruction", "generationConfig", "tools", "contents")),
    (gemini_objects, ("systemInstruction", "generationConfig", "tools", "contents")),
    (converse, ("system", "toolConfig", "messages")),
]


@pytest.mark.parametrize(("ask", "parts"), CASES, ids=[ask.__name__ for ask, _ in CASES])
def test_all_of_the_request(server: Server, calls: Records, ask: Callable[[str], Any], parts: tuple[str, ...]) -> None:
    """Instructions, messages, tools and the form asked for are in the input of a stream that is left."""
    client, stream = ask(server.url)
    for _ in stream:
        break
    stream.close()
    client.close()
    record = calls.one()
    assert (record["outcome"], record["usage_source"]) == ("aborted", "estimated")
    whole = count_tokens(server.body, record["model"])
    assert abs(record["input_tokens"] - whole) <= 0.1 * whole  # Gemini's SDK orders a schema's properties
    for part in parts:
        rest = {name: value for name, value in server.body.items() if name != part}
        assert count_tokens(rest, record["model"]) < whole - 5, part
    assert record["cost_usd"] > 0
    assert record["prompt_length"] == len(SYSTEM) + len(ASKED)


def test_a_function_for_gemini(server: Server, calls: Records) -> None:
    """A plain function, which the SDK declares, is about what it is declared as."""

    def weather(city: str, days: int) -> str:
        """The weather of the next days, in one city of the world."""
        return f"{city}, {days}: sunny"

    client, stream = gemini(server.url, tools=[weather], response_schema=None, response_mime_type=None)
    for _ in stream:
        break
    client.close()
    del stream
    llmlog.flush()
    record = calls.one()
    whole = count_tokens(server.body, record["model"])
    without = count_tokens({**server.body, "tools": []}, record["model"])
    assert without < record["input_tokens"]
    assert abs(record["input_tokens"] - whole) <= 0.2 * whole
