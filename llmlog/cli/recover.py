"""`llmlog recover`: the calls that dead processes have left open in a journal, as JSON lines."""

from __future__ import annotations

import logging
import pathlib
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, BinaryIO, NoReturn

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from llmlog import recovery
from llmlog.cli.terminal import show, silence_stdout, tell, visible
from llmlog.exceptions import LLMLogError
from llmlog.filters import RedactFilter
from llmlog.formatters import JSONFormatter
from llmlog.handlers import JSONLinesHandler
from llmlog.records import CALLS

__all__ = ["command"]


def command(
    folder: Annotated[pathlib.Path, typer.Argument(metavar="FOLDER", help="The journal's folder.", show_default=False)],
    output: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="FILE", help="Append the lines to this file, not to standard output."),
    ] = None,
) -> None:
    """Record the calls that dead processes have left open in a journal: one JSON line each, redacted.

    Each is taken out of the journal once its line is written; those of living processes stay. A table of them goes to
    standard error.
    """
    kept = _Kept()
    with _refusing(), _recording(_lines_to(output), kept):
        recovery.recover(folder)
    _sum_up(kept.records)


# Writing ------------------------------------------------------------------------------------------


class _CannotWriteError(BaseException):
    """A line was not written. No Exception: those end in logging, and then the call would leave the journal."""


class _Lines(logging.Handler):
    """Writes JSON lines in UTF-8, whatever the locale says, each of them at once."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self.setFormatter(JSONFormatter())
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._stream.write(self.format(record).encode("utf-8", "backslashreplace") + b"\n")
            self._stream.flush()
        except OSError:
            self.handleError(record)


class _Kept(logging.Handler):
    """Keeps the records, for the table."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(vars(record))


def _lines_to(output: pathlib.Path | None) -> logging.Handler:
    made = _Lines(typer.get_binary_stream("stdout")) if output is None else JSONLinesHandler(output)
    made.addFilter(RedactFilter())
    made.handleError = _give_up  # type: ignore[method-assign]  # it is to end the command
    return made


def _give_up(record: logging.LogRecord) -> NoReturn:
    raise _CannotWriteError from sys.exception()


@contextmanager
def _recording(*handlers: logging.Handler) -> Iterator[None]:
    """Have `handlers`, in this order, get the records of calls."""
    logger = logging.getLogger(CALLS)
    before = logger.level
    logger.setLevel(logging.INFO)
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.setLevel(before)
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


@contextmanager
def _refusing() -> Iterator[None]:
    """Have a wrong use told in one line, and what cannot be written too."""
    try:
        yield
    except (LLMLogError, OSError) as error:
        tell(str(error))
        raise typer.Exit(2) from None
    except _CannotWriteError as failure:
        if isinstance(failure.__cause__, BrokenPipeError):
            silence_stdout()
        tell(f"a line could not be written ({failure.__cause__}); its call stays in the journal, and the rest does")
        raise typer.Exit(1) from None


# Telling ------------------------------------------------------------------------------------------


def _sum_up(calls: list[dict[str, Any]]) -> None:
    """The table of lost calls, for people."""
    if not calls:
        tell("no call was lost")
        return
    by_model: dict[str, list[dict[str, Any]]] = {}
    for call in calls:
        by_model.setdefault(str(call.get("model") or "unknown model"), []).append(call)
    table = Table("model", box=box.SIMPLE_HEAD, show_footer=len(by_model) > 1)
    for name, total in zip(("calls", "output tokens", "cost"), _figures(calls), strict=True):
        table.add_column(name, footer=total, justify="right", no_wrap=True)
    for model, its in sorted(by_model.items()):
        table.add_row(Text(visible(model), overflow="fold"), *_figures(its))
    tell(f"{len(calls):,} {'call was' if len(calls) == 1 else 'calls were'} lost")
    show(table)


def _figures(calls: list[dict[str, Any]]) -> tuple[str, str, str]:
    tokens, costs = (_known(calls, name) for name in ("output_tokens", "cost_usd"))
    is_partial = len(costs) < len(calls) or any(call.get("cost_partial") for call in calls)
    cost = f"{'at least ' if is_partial else ''}${sum(costs):.6f}" if costs else "unknown"
    return f"{len(calls):,}", f"{sum(tokens):,}" if tokens else "unknown", cost


def _known(calls: Iterable[dict[str, Any]], name: str) -> list[float]:
    return [value for call in calls if (value := call.get(name)) is not None]
