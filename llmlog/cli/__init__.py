"""The command `llmlog`: one module for each of its commands.

Standard output is for machines: what a command is asked for, and nothing else. What people want to know goes to
standard error. Exit code 2: the command was used wrongly, and nothing was done; 1: it could not be done to its end.
`llmlog redact` has codes of its own, which its help tells.
"""

from __future__ import annotations

import sys
from typing import Annotated

try:
    import rich  # noqa: F401  # what the commands need: missing, it is told here
    import typer
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition(".")[0] not in ("rich", "typer"):
        raise
    # Not an ImportError: the script that pip installs imports this module before anything could catch one.
    print(f"llmlog: the command needs {error.name}: pip install 'llmlog[cli]'", file=sys.stderr)
    raise SystemExit(2) from None

from llmlog._version import __version__
from llmlog.cli import recover, redact, setup

__all__ = ["app", "main"]

app = typer.Typer(
    name="llmlog", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)
app.command("recover")(recover.command)
app.command("redact")(redact.command)
app.add_typer(setup.app, name="setup")


def main() -> None:
    """Run the command with the arguments of this process, and end it."""
    app()


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"llmlog {__version__}")
        raise typer.Exit


@app.callback()
def _llmlog(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """One record for every call of a language model: what to do with them outside a program."""
