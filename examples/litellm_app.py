"""LiteLLM with llmlog: a Router that retries and falls back, each attempt with its record, and a stream left early.

python examples/litellm_app.py        (with OPENAI_API_KEY: the real model)
"""

import asyncio
import logging.config
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # LiteLLM's own table, without a look at the network

import litellm  # type: ignore[import-not-found, unused-ignore]
from model_server import serve

import llmlog
from llmlog.integrations.litellm import Logger

RECORDS = Path(".demo/litellm.jsonl")
logging.config.dictConfig(llmlog.dict_config(file=str(RECORDS), service="shop"))
litellm.callbacks = [Logger()]
litellm.suppress_debug_info = True


async def ask(base_url: str | None, key: str) -> None:
    at: dict[str, Any] = {"api_base": base_url, "api_key": key}
    router = litellm.Router(
        model_list=[
            {"model_name": "fast", "litellm_params": {"model": "openai/no-such-model", **at}},
            {"model_name": "good", "litellm_params": {"model": "openai/gpt-4o-mini", **at}},
        ],
        fallbacks=[{"fast": ["good"]}],
        num_retries=0,
    )
    messages: list[Any] = [{"role": "user", "content": "Where is my parcel?"}]
    with llmlog.request(user_id="ann"):  # two records: the attempt that failed, and the one that answered
        response: Any = await router.acompletion(model="fast", messages=messages)
        print(response.choices[0].message.content)
    with llmlog.request(user_id="bob"):
        stream: Any = await litellm.acompletion(model="openai/gpt-4o-mini", messages=messages, stream=True, **at)
        async for chunk in llmlog.stream(stream):  # callbacks do not see an SDK's chunks: stream() does
            text = chunk.choices[0].delta.content
            print(text or "", end="", flush=True)
            if text and "." in text:
                break
    await asyncio.sleep(0.5)  # LiteLLM tells of a whole answer in a task of its own
    await litellm.close_litellm_async_clients()  # type: ignore[no-untyped-call, unused-ignore]


def main() -> None:
    with nullcontext(None) if "OPENAI_API_KEY" in os.environ else serve() as base_url:
        asyncio.run(ask(base_url, os.environ.get("OPENAI_API_KEY", "sk-demo")))
    llmlog.flush()
    print("\n\nThe records:", *(line for line in RECORDS.read_text().splitlines() if "llm.call" in line), sep="\n")


main()
