"""Langfuse with llmlog: each summary record is a generation in your project, texts redacted; no client is replaced.

LANGFUSE_PUBLIC_KEY=... LANGFUSE_SECRET_KEY=... LANGFUSE_BASE_URL=... python examples/langfuse_app.py
(with OPENAI_API_KEY: the real model)
"""

import logging.config
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from model_server import serve
from openai import OpenAI

import llmlog

RECORDS = Path(".demo/langfuse.jsonl")


def set_up() -> None:
    config = llmlog.dict_config(file=str(RECORDS), service="shop")
    config["handlers"]["langfuse"] = {
        "()": "llmlog.integrations.langfuse.LangfuseHandler",
        "filters": ["llmlog_context", "llmlog_redaction"],
    }
    config.setdefault("loggers", {})["llmlog.calls"] = {"handlers": ["langfuse"]}
    logging.config.dictConfig(config)
    llmlog.configure(capture=2000)  # the texts, too: redacted by the handler's filter


def main() -> None:
    with nullcontext(None) if "OPENAI_API_KEY" in os.environ else serve() as base_url:
        client = llmlog.wrap(OpenAI(base_url=base_url, api_key=os.environ.get("OPENAI_API_KEY", "sk-demo")))
        messages: list[Any] = [{"role": "user", "content": "Where is my parcel? Write to ann@example.com"}]
        with llmlog.request(user_id="ann", conversation_id="c-1", feature="support"):  # one trace in Langfuse
            answer = client.chat.completions.create(model="gpt-4o-mini", messages=messages)
            print(answer.choices[0].message.content)
            stream: Any = client.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True)
            for chunk in stream:
                if chunk.choices and "." in (chunk.choices[0].delta.content or ""):
                    break  # a generation all the same, with what had come
    llmlog.flush()


if __name__ == "__main__":
    if not os.environ.get("LANGFUSE_PUBLIC_KEY"):
        raise SystemExit("this example sends to Langfuse: set LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY")
    set_up()
    main()
    print("\nThe records:", RECORDS.read_text(), sep="\n")
