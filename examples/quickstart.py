"""The smallest useful script: one streamed answer, left half-way, and the record of it.

python examples/quickstart.py        (with OPENAI_API_KEY: the real model)
"""

import logging.config
import os
from contextlib import nullcontext
from pathlib import Path

from model_server import serve
from openai import OpenAI

import llmlog

RECORDS = Path(".demo/quickstart.jsonl")
logging.config.dictConfig(llmlog.dict_config(file=str(RECORDS), service="quickstart"))


def main() -> None:
    with nullcontext(None) if "OPENAI_API_KEY" in os.environ else serve() as base_url:
        key = os.environ.get("OPENAI_API_KEY", "sk-demo")
        client = llmlog.wrap(OpenAI(base_url=base_url, api_key=key))

        with llmlog.request(feature="quickstart", user_id="ann"):
            question = "Where is my parcel? Write to ann@example.org."
            for chunk in client.chat.completions.create(
                model="gpt-4o-mini", messages=[{"role": "user", "content": question}], stream=True
            ):
                text = chunk.choices[0].delta.content or ""
                print(text, end="", flush=True)
                if "." in text:
                    break  # one sentence is enough: the record is written all the same

    llmlog.flush()
    print("\n\nThe record:", RECORDS.read_text().splitlines()[-1], sep="\n")


main()
