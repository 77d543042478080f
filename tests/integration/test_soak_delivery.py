"""The soak of delivery, a small one: `make soak-delivery` is the long one."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest

SOAK = pathlib.Path(__file__).resolve().parents[1] / "soak_delivery.py"


@pytest.mark.skipif(os.name != "posix", reason="a spool needs POSIX file locks")
def test_a_small_soak() -> None:
    """Writers and the store are killed, the proxy has all its moods: every record is there once."""
    options = ["--records=12000", "--stops=1", "--processes=3", "--seed=5"]
    done = subprocess.run(
        [sys.executable, str(SOAK), *options], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stdout + done.stderr
    counts = re.search(r"lines: ([\d,]+) records, missing 0, twice 0", done.stdout)
    assert counts is not None, done.stdout
    assert int(counts[1].replace(",", "")) >= 12_000
    assert "the store stopped and killed 1 times" in done.stdout
