"""structlog and llmlog in one log: structlog's events and the records of LLM calls as the same lines of JSON.

python examples/structlog_app.py     (with OPENAI_API_KEY: the real model)
"""

import logging.config
import os
from contextlib import nullcontext

import structlog
from model_server import serve
from openai import OpenAI

import llmlog
from llmlog.integrations.structlog import processors

logging.config.dictConfig(llmlog.dict_config(console="json", service="shop"))
structlog.configure(
    processors=processors(to="logging"),  # structlog's events become log records: one way out for all of them
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
)
log = structlog.get_logger("shop")


def main() -> None:
    with nullcontext(None) if "OPENAI_API_KEY" in os.environ else serve() as base_url:
        client = llmlog.wrap(OpenAI(base_url=base_url, api_key=os.environ.get("OPENAI_API_KEY", "sk-demo")))
        with llmlog.request(feature="search", user_id="u-17"):
            log.info("asked", customer="ann@example.org")
            answer = client.chat.completions.create(
                model="gpt-4o-mini", messages=[{"role": "user", "content": "Where is my parcel?"}]
            )
            log.info("answered", response=answer)  # its model, tokens and cost; never its text


main()
