"""Celery: the request goes along to a real worker, and each run of a task leaves one record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Records, framework

import llmlog

celery = framework("celery")

from llmlog.integrations import celery as ours  # noqa: E402

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_real_worker(pool: str, tmp_path: Path) -> None:
    """The example: one request id on both sides, the sender's fields, records of runs and of their calls."""
    environment = {**os.environ, "POOL": pool, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "celery_app.py")],
        cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    first, *lines = done.stdout.splitlines()
    assert first == "['Parcels leave in the morning.', 'flaky']"
    records = [json.loads(line) for line in lines]
    runs = [record for record in records if record.get("event") == "celery.task"]
    assert sorted(run["task_state"] for run in runs) == ["RETRY", "SUCCESS", "SUCCESS"]
    assert {(run["request_id"], run["user_id"], run["task_name"]) for run in runs} == {
        ("r-1", "u-17", "celery_app.summarise")
    }
    assert [run["request_calls"] for run in runs if run["task_state"] == "SUCCESS"] == [1, 1]
    assert [run["task_retries"] for run in runs if "task_retries" in run] == [1]
    calls = [record for record in records if record.get("event") == "llm.call"]
    assert {(call["request_id"], call["task_id"]) for call in calls} == {
        ("r-1", run["task_id"]) for run in runs if run["task_state"] == "SUCCESS"
    }
    sent = [json.loads(line) for line in (tmp_path / ".demo/celery/sender.jsonl").read_text().splitlines()]
    assert [record["request_id"] for record in sent if record["logger"] == "shop"] == ["r-1"]


@pytest.fixture
def app() -> Iterator[Any]:
    """An application whose tasks run where they are sent from."""
    made = celery.Celery("tasks", set_as_current=False)
    made.conf.task_always_eager = True
    ours.connect()
    ours.connect()  # again does no harm
    yield made
    ours.disconnect()


def test_a_run_that_fails(app: Any, calls: Records) -> None:
    """Its error is on the record, redacted, at level ERROR; the sender's context is as before."""

    @app.task
    def fail() -> None:
        raise ValueError("ann@example.com")

    with llmlog.request("r-1"):
        fail.delay()
        assert "task_id" not in llmlog.current()
    (run,) = calls.events("celery.task")
    assert (run["task_state"], run["levelname"], run["error_type"]) == ("FAILURE", "ERROR", "ValueError")
    assert run["error_message"] == "<EMAIL>"
    assert run["request_id"] == "r-1"


def test_a_stream_that_a_task_leaves(app: Any, calls: Records) -> None:
    """It is settled when its run is over, and counted in its record."""
    held = []

    @app.task
    def leave() -> None:
        stream = llmlog.stream(iter(["Hello", "world"]), provider="text", model="gpt-4o-mini", input="Hi")
        held.append(stream)
        next(iter(stream))

    leave.delay()
    llmlog.flush()
    (run,) = calls.events("celery.task")
    assert run["request_calls"] == 1
    assert run["request_cost_usd"] > 0
    assert calls.one()["task_name"].endswith("leave")


def test_headers_that_the_sender_names(app: Any, calls: Records) -> None:
    """What stands in the message is the request that the task runs in."""

    @app.task
    def work() -> dict[str, Any]:
        return dict(llmlog.current())

    along = {"headers": {"X-Request-ID": "r-9"}, "fields": {"user_id": "ann", "task_name": "not theirs to say"}}
    found = work.apply(headers={"llmlog": along}).get()
    assert (found["request_id"], found["user_id"], found["task_name"]) == ("r-9", "ann", work.name)
    assert calls.events("celery.task")[0]["request_id"] == "r-9"


@pytest.mark.parametrize(
    "came",
    [
        None, 3, {"headers": 3, "fields": 4}, {"headers": {"X-Request-ID": "a\nb"}},
        {"headers": {3: 4}, "fields": {"request_id": 5, 6: 7, "user_id": [8]}},
    ],
)  # fmt: skip
def test_headers_from_another_program(came: Any, app: Any, calls: Records) -> None:
    """Whatever stands in the message, the task runs in a request of its own, and nothing is a fault."""

    @app.task
    def work() -> str:
        return str(llmlog.current()["request_id"])

    made = work.apply(headers={"llmlog": came}).get()
    assert len(made) == 32
    assert "user_id" not in calls.events("celery.task")[0]
    assert calls.events("celery.task")[0]["request_id"] == made


def test_fields_are_names() -> None:
    """Anything else is an error at the call."""
    for wrong in ("user_id", 3, [3]):
        with pytest.raises(TypeError, match="fields"):
            ours.connect(fields=wrong)  # type: ignore[arg-type]
