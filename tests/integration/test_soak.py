"""The soak, a small one: `make soak` is the long one."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest

SOAK = pathlib.Path(__file__).resolve().parents[1] / "soak.py"


@pytest.mark.skipif(sys.platform == "win32", reason="the journal needs POSIX file locks")
def test_a_small_soak() -> None:
    """Calls with every ending in processes that are killed: each that began is recorded, and once."""
    options = ["--calls=600", "--kills=3", "--workers=3", "--life=0.7", "--early=0", "--seed=5"]
    done = subprocess.run(
        [sys.executable, str(SOAK), *options], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    begun = re.search(r"(\d+) calls begun, (\d+) recorded", done.stdout)
    killed = re.search(r"(\d+) killed", done.stdout)
    assert begun is not None, done.stdout
    assert killed is not None, done.stdout
    assert int(begun[2]) >= int(begun[1]) >= 600
    assert int(killed[1]) >= 3
    for word in ("cancellation", "client_disconnect", "consumer_exception", "exhausted", "loop_left", "recovery"):
        assert f"\n{word} " in done.stdout
