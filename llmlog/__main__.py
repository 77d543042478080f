"""`python -m llmlog` is the command `llmlog`."""

from __future__ import annotations

from llmlog.cli import main

if __name__ == "__main__":
    main()
