"""What the commands tell people, on standard error, and what they do when nobody reads standard output any more."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import typer
from rich.console import Console
from rich.table import Table

__all__ = ["amount", "show", "silence_stdout", "tell", "visible"]


def tell(text: str) -> None:
    """One line for people."""
    typer.echo(f"llmlog: {text}", err=True)


def show(table: Table, *, stderr: bool = True) -> None:
    """A table for people, as wide as the terminal; where there is none, as wide as its words."""
    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    Console(stderr=stderr, highlight=False, width=None if is_terminal else 240).print(table)


def visible(text: str) -> str:
    """Without what a terminal would obey: a model's name is whatever a program has sent, a file's too."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def amount(number: int, noun: str) -> str:
    """`1 file`, `2,000 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def silence_stdout() -> None:
    """After a broken pipe: Python flushes standard output once more at the end, and would complain."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
