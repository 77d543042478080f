"""What `import llmlog` costs over `import logging`, in fresh processes, and which modules take the most of it."""

from __future__ import annotations

import statistics
import subprocess
import sys

RUNS = 15


def milliseconds(statement: str) -> float:
    """The time of one import in a fresh interpreter, after `import logging`."""
    code = f"import logging, time; t = time.perf_counter(); {statement}; print((time.perf_counter() - t) * 1000)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def main() -> None:
    milliseconds("import llmlog")  # byte code, file cache
    took = [milliseconds("import llmlog") for _ in range(RUNS)]
    print(f"Python {sys.version.split()[0]}, {RUNS} runs; milliseconds of `import llmlog` after `import logging`")
    print(f"  median {statistics.median(took):.1f}   lowest {min(took):.1f}   (the goal is 25)")
    everything = "from llmlog import *"
    used = statistics.median(milliseconds(everything) for _ in range(RUNS))
    print(f"  every public name, so all that an application's set-up loads: median {used:.1f}")
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import logging; from llmlog import *"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    own = []
    for line in done.stderr.splitlines():
        parts = line.removeprefix("import time:").split("|")
        if len(parts) == 3 and parts[0].strip().isdigit():
            own.append((int(parts[0]), parts[2].strip()))
    print("the slowest modules, by themselves, in microseconds (logging and the interpreter's own included)")
    for microseconds, name in sorted(own, reverse=True)[:12]:
        print(f"  {microseconds:6}  {name}")


if __name__ == "__main__":
    main()
