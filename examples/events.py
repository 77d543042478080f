"""What happens around a call: a retrieval before it, a tool and a judgement after it, a deployment, the process.

python examples/events.py            (with OPENAI_API_KEY: the real model)
"""

import logging.config
import os
from contextlib import nullcontext

from model_server import serve
from openai import OpenAI

import llmlog

logging.config.dictConfig(llmlog.dict_config(console="json", service="shop", env="dev"))
llmlog.configure(metrics_seconds=0.2)

ARTICLES = {"a-1": "Parcels leave our warehouse in the morning.", "a-2": "Returns are free for thirty days."}


def search(question: str) -> dict[str, float]:
    """Articles that share words with the question, and how many."""
    words = set(question.lower().split())
    return {name: float(len(words & set(text.lower().split()))) for name, text in ARTICLES.items()}


def main() -> None:
    llmlog.event("system.event", kind="deployment", version="2.4.1")
    with nullcontext(None) if "OPENAI_API_KEY" in os.environ else serve() as base_url:
        client = OpenAI(base_url=base_url, api_key=os.environ.get("OPENAI_API_KEY", "sk-demo"))
        question = "When do parcels leave?"
        with llmlog.request(feature="help"):
            with llmlog.timed_event("llm.retrieval", retriever="articles", query_length=len(question)) as found:
                scores = search(question)
                best = sorted(scores, key=lambda name: -scores[name])
                found.update(document_ids=best, document_scores=[scores[name] for name in best])
            with llmlog.call(model="gpt-4o-mini") as call:
                prompt = f"{ARTICLES[best[0]]}\n\n{question}"
                call.finish(
                    client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": prompt}])
                )
            llmlog.event(
                "llm.feedback", call_id=call.call_id, score=1.0, label="helpful", comment="ann@example.org: thanks"
            )
            llmlog.event("llm.score", call_id=call.call_id, score_name="relevance", score=0.8, evaluator="overlap")
    llmlog.event("system.event", kind="provider_outage", provider="openai", level="WARNING")
    llmlog.flush()


main()
