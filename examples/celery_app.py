"""A Celery task that runs in the request it was sent from: one id from the sender's log to the worker's.

python examples/celery_app.py        (sends two tasks to a worker that it starts; brings its own broker, a folder)
"""

import logging.config
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from celery import Celery, signals

import llmlog
from llmlog.integrations import celery as llmlog_celery

FOLDER = Path(".demo/celery").resolve()
for name in ("in", "results"):
    (FOLDER / name).mkdir(parents=True, exist_ok=True)
app = Celery(
    "celery_app",
    broker="filesystem://",
    backend=f"file://{FOLDER / 'results'}",
    broker_transport_options={"data_folder_in": str(FOLDER / "in"), "data_folder_out": str(FOLDER / "in")},
)
llmlog_celery.connect(fields=["user_id"])


@signals.setup_logging.connect  # type: ignore[untyped-decorator, unused-ignore]
def set_up_logging(**_: object) -> None:
    """In the worker: without this, Celery puts its own handlers on the root logger."""
    logging.config.dictConfig(llmlog.dict_config(file=str(FOLDER / "worker.jsonl"), service="worker"))


@app.task(bind=True, max_retries=1)  # type: ignore[untyped-decorator, unused-ignore]
def summarise(self: Any, text: str) -> str:
    if text == "flaky" and not self.request.retries:
        self.retry(countdown=0)
    pieces = llmlog.stream(iter(text.split()), provider="text", model="gpt-4o-mini", input="Summarise")
    return " ".join(pieces)


def main() -> None:
    logging.config.dictConfig(llmlog.dict_config(file=str(FOLDER / "sender.jsonl"), service="sender"))
    pool = os.environ.get("POOL", "prefork")
    command = [sys.executable, "-m", "celery", "-A", "celery_app", "worker", f"--pool={pool}", "-c", "2"]
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    with open(FOLDER / "worker.err", "wb") as said:
        command += ["--without-mingle", "--without-gossip"]
        worker = subprocess.Popen(command, env=here, stderr=said, stdout=said)
    try:
        with llmlog.request("r-1", user_id="u-17"):
            logging.getLogger("shop").info("sending")
            results = [summarise.delay("Parcels leave in the morning."), summarise.delay("flaky")]
        print([result.get(timeout=60) for result in results])
        time.sleep(0.5)  # a result is there before its task has ended
    finally:
        worker.terminate()
        worker.wait(30)
    llmlog.flush()
    print((FOLDER / "worker.jsonl").read_text(), end="")


if __name__ == "__main__":
    main()
