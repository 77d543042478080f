"""LangChain with llmlog: one handler, and each call of a model, each tool and each search has its record.

python examples/langchain_app.py        (with OPENAI_API_KEY: the real model)
"""

import logging.config
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnablePassthrough
from langchain_openai import ChatOpenAI
from model_server import serve

import llmlog
from llmlog.integrations.langchain import CallbackHandler

RECORDS = Path(".demo/langchain.jsonl")
logging.config.dictConfig(llmlog.dict_config(file=str(RECORDS), service="shop"))


class Shelf(BaseRetriever):
    """In the place of a vector store."""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [Document("Parcels are sent within a day.", id="faq-7", metadata={"score": 0.92})]


def main() -> None:
    with nullcontext(None) if "OPENAI_API_KEY" in os.environ else serve() as base_url:
        key: Any = os.environ.get("OPENAI_API_KEY", "sk-demo")
        model = ChatOpenAI(model="gpt-4o-mini", base_url=base_url, api_key=key, temperature=0.2)
        prompt = ChatPromptTemplate.from_messages([("system", "Answer from: {known}"), ("user", "{question}")])
        steps: Runnable[Any, Any] = {"known": Shelf(), "question": RunnablePassthrough()} | prompt | model
        chain = steps.with_config(run_name="support", callbacks=[CallbackHandler()])

        with llmlog.request(user_id="ann"):
            for chunk in chain.stream("Where is my parcel?"):
                print(chunk.text, end="", flush=True)  # each token as it comes
        with llmlog.request(user_id="bob"):
            for chunk in chain.stream("Where is my parcel?"):
                if "." in chunk.text:
                    break  # enough: that is no error, and is recorded all the same

    llmlog.flush()
    print("\n\nThe records:", RECORDS.read_text(), sep="\n")


main()
