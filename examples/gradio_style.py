"""A chat UI fed by callbacks, as Gradio applications do it: the model works in a thread, a callback queues its tokens,
and the UI's generator takes them out. llmlog's handler stands beside it; each of them gets every token.

    gradio.ChatInterface(answer).launch()       # `answer` is all that the UI needs

python examples/gradio_style.py        (with AZURE_OPENAI_ENDPOINT, AZURE_OPENAI_API_KEY and AZURE_OPENAI_DEPLOYMENT,
or with OPENAI_API_KEY: the real model)
"""

import logging.config
import os
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_openai import AzureChatOpenAI, ChatOpenAI
from model_server import serve

import llmlog
from llmlog.integrations.langchain import CallbackHandler

RECORDS = Path(".demo/gradio.jsonl")
logging.config.dictConfig(llmlog.dict_config(file=str(RECORDS), service="chat"))
records = CallbackHandler()


class Tokens(BaseCallbackHandler):
    """A model's tokens, in a queue: put in by the thread that it works in, taken out by iterating."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[str | None] = SimpleQueue()

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        """Azure begins with a chunk that has no choices, only what its filter found: its token is empty."""
        self._queue.put(token)

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        """There are no more."""
        self._queue.put(None)

    def on_llm_error(self, *args: Any, **kwargs: Any) -> None:
        """The same."""
        self._queue.put(None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._queue.get, None)


def answer(message: str, model: BaseChatModel) -> Iterator[str]:
    """What the UI shows: the text so far, again and again."""
    tokens = Tokens()

    def ask() -> None:
        model.invoke(message, config={"callbacks": [tokens, records]})

    threading.Thread(target=llmlog.carry(ask)).start()  # carry: its records bear this request's id
    text = ""
    for token in tokens:
        if token:
            text += token
            yield text


def main() -> None:
    azure, real = os.environ.get("AZURE_OPENAI_ENDPOINT"), os.environ.get("OPENAI_API_KEY")
    with nullcontext(None) if azure or real else serve() as base_url:
        if azure:
            deployment = os.environ.get("AZURE_OPENAI_DEPLOYMENT", "gpt-4o-mini")
            model: BaseChatModel = AzureChatOpenAI(
                azure_deployment=deployment, model=deployment, api_version="2024-10-21", streaming=True
            )
        else:
            key: Any = real or "sk-demo"
            model = ChatOpenAI(model="gpt-4o-mini", base_url=base_url, api_key=key, streaming=True)
        shown = ""
        with llmlog.request(conversation_id="c-1"):
            for text in answer("Where is my parcel?", model):
                print(text[len(shown) :], end="", flush=True)
                shown = text

    llmlog.flush()
    print("\n\nThe record:", RECORDS.read_text().splitlines()[-1], sep="\n")


main()
