"""The worker: jobs are done once, by whoever comes first, and never from a finaliser."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest

import llmlog
from llmlog import worker


def test_a_job_is_done_by_the_thread() -> None:
    """What is put aside is done without anybody's asking, once the thread runs."""
    done = threading.Event()
    worker.ready()
    worker.later(done.set)
    assert done.wait(10)


def test_wait_does_what_is_left() -> None:
    """wait() does the jobs itself, in order."""
    done: list[int] = []
    for n in range(5):
        worker.later(lambda n=n: done.append(n))  # type: ignore[misc]
    assert worker.wait(10)
    assert sorted(done) == list(range(5))


def test_wait_for_a_job_of_another_thread() -> None:
    """wait() says False while another thread is still at a job, and True after it."""
    begun, go_on = threading.Event(), threading.Event()

    def job() -> None:
        begun.set()
        go_on.wait(10)

    worker.ready()
    worker.later(job)
    thread = threading.Thread(target=worker.drain)
    thread.start()
    assert begun.wait(10)
    assert worker.wait(0.01) is False
    go_on.set()
    assert worker.wait(10) is True
    thread.join()


def test_wait_from_inside_a_job() -> None:
    """A job that flushes does not wait for itself."""
    answers: list[bool] = []
    worker.later(lambda: answers.append(worker.wait(5)))
    worker.wait(10)
    assert answers == [True]


def test_a_job_that_fails(faults_expected: dict[str, int], capsys: pytest.CaptureFixture[str]) -> None:
    """The others are done all the same."""
    faults_expected["writing a record"] = 1
    done: list[int] = []
    worker.later(lambda: 1 / 0)  # type: ignore[arg-type,return-value]
    worker.later(lambda: done.append(1))
    worker.wait(10)
    assert done == [1]


EXIT = """
import atexit, logging, sys
import llmlog
logging.basicConfig(level="INFO", stream=sys.stdout, format="%(levelname)s %(outcome)s %(ended_by)s %(chunks)s")
{body}
"""


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("s = llmlog.stream(['a', 'b']); it = iter(s); next(it)", "WARNING aborted interpreter_exit 1"),
        ("s = llmlog.stream(['a', 'b'])\nfor _ in s: break", "INFO aborted loop_left 1"),
        ("s = llmlog.stream(['a', 'b']); it = iter(s); next(it); sys.exit(3)", "WARNING aborted interpreter_exit 1"),
        ("s = llmlog.stream(['a', 'b']); it = iter(s); next(it); 1/0", "WARNING aborted interpreter_exit 1"),
        ("class A: pass\na = A(); a.a = a; a.s = llmlog.stream(['a']); del a\n"
         "import gc; gc.collect()", "INFO aborted garbage_collected 0"),
        ("import threading\ndef run():\n  for _ in llmlog.stream(['a', 'b']): done.set(); import time; time.sleep(60)\n"
         "done = threading.Event()\nthreading.Thread(target=run, daemon=True).start(); done.wait()",
         "WARNING aborted interpreter_exit 1"),
    ],
)  # fmt: skip
def test_exit_with_an_open_stream(body: str, expected: str) -> None:
    """The interpreter's end is an end: one record, whichever way it goes."""
    done = subprocess.run(
        [sys.executable, "-c", EXIT.format(body=body)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines() == [expected]


def test_a_long_text_is_counted_elsewhere(monkeypatch: pytest.MonkeyPatch, calls: Any) -> None:
    """Over some 20 KB the worker makes the record, also where the request is left before it comes to it."""
    threads: list[str] = []
    summed_up = threading.Event()
    made = llmlog.lifecycle.summary

    def summary(call: Any) -> Any:
        threads.append(threading.current_thread().name)
        summed_up.set()
        return made(call)

    monkeypatch.setattr(llmlog.lifecycle, "summary", summary)
    with llmlog.request():
        list(llmlog.stream(["word " * 100] * 50))
    assert summed_up.wait(30)
    assert llmlog.flush()
    assert threads == ["llmlog-worker"]
    assert calls.one()["output_tokens"] == pytest.approx(5000, abs=2)
