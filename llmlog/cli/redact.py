"""`llmlog redact`: personal data and secrets taken out of logs that are written already, or looked for in them."""

from __future__ import annotations

import json
import signal
import tomllib
from collections import Counter
from typing import Annotated, Any

import typer

from llmlog import redaction
from llmlog.cli.files import Replacement, Source
from llmlog.cli.lines import pieces
from llmlog.cli.runs import Run, ended_by_signals
from llmlog.cli.terminal import amount, tell, visible
from llmlog.exceptions import LLMLogError, UsageTypeError, UsageValueError, shown
from llmlog.redaction import Redactor

__all__ = ["command"]


def command(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE", help="JSON Lines or text; - is standard input.", show_default=False),
    ],
    in_place: Annotated[bool, typer.Option("--in-place", "-i", help="Rewrite the files.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing: say what would be redacted, and where.")
    ] = False,
    kinds: Annotated[
        list[str] | None, typer.Option("--kind", metavar="KIND", help="Look for this kind only (repeatable).")
    ] = None,
    patterns: Annotated[
        list[str] | None,
        typer.Option("--pattern", metavar="NAME=REGEX", help="Look for this too (repeatable)."),
    ] = None,
    keys: Annotated[
        list[str] | None, typer.Option("--key", metavar="NAME", help="Values of this name go (repeatable).")
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="TOML or JSON with the options of configure(redaction=...); those given here are added.",
        ),
    ] = None,
    max_places: Annotated[int, typer.Option(min=0, metavar="N", help="How many places --check prints.")] = 100,
) -> None:
    """Redact logs: to standard output, or in their place.

    A line that is JSON is redacted as an object, its keys included; anything else as text. gzip files stay gzip files
    in place, and are read out to standard output. A file in which nothing is found is not written. Rewrite only what
    no program has open for writing: it would go on with the old file.

    Exit code 0: done, or nothing found by --check; 1: --check has found something; 2: wrong use, and nothing was
    done, or something could not be read or written: the other files are done all the same.
    """
    try:
        if check and in_place:
            raise UsageValueError("--check changes nothing, and --in-place does: take one of them")
        if in_place and "-" in files:
            raise UsageValueError("standard input (-) cannot be rewritten in its place")
        redactor = _redactor(config, kinds, patterns, keys)
    except (LLMLogError, OSError) as error:
        tell(str(error))
        raise typer.Exit(2) from None
    run = _Run(files, redactor, max_places)
    try:
        with ended_by_signals():
            if check or in_place:
                run.all(run.check if check else run.rewrite)
            else:
                run.all(run.print, prints=True)
    except KeyboardInterrupt:
        raise typer.Exit(128 + signal.SIGINT) from None
    if check:
        run.report()
    elif in_place:
        run.sum_up("redacted")
    if run.failed:
        raise typer.Exit(2)
    if check and run.counts:
        raise typer.Exit(1)


# Options ---------------------------------------------------------------------------------------------


def _redactor(
    config: str | None, kinds: list[str] | None, patterns: list[str] | None, keys: list[str] | None
) -> Redactor:
    options = _read(config) if config is not None else {}
    named = dict(map(_pattern, patterns or ()))
    for name, given in (("kinds", kinds), ("keys", keys)):
        if given:
            options[name] = [*_of(list, options, name), *given]
    if named:
        options["patterns"] = {**_of(dict, options, "patterns"), **named}
    return redaction.build(options)


def _of(kind: type[Any], options: dict[str, Any], name: str) -> Any:
    value = options.get(name, kind())
    if not isinstance(value, kind):
        raise UsageTypeError(f"{name} is a {kind.__name__} in a configuration, got {shown(value)}")
    return value


def _pattern(given: str) -> tuple[str, str]:
    name, sign, pattern = given.partition("=")
    if not sign or not pattern:
        raise UsageValueError(f"--pattern is NAME=REGEX, got {shown(given)}")
    return name, pattern


def _read(path: str) -> dict[str, Any]:
    with open(path, "rb") as file:
        content = file.read()
    try:
        made = tomllib.loads(content.decode()) if path.endswith(".toml") else json.loads(content)
    except ValueError as error:  # theirs, both
        raise UsageValueError(f"{path} is no {'TOML' if path.endswith('.toml') else 'JSON'}: {error}") from None
    if not isinstance(made, dict):
        raise UsageTypeError(f"{path} holds a mapping of options, got {shown(made)}")
    return made


# The files, one after the other ----------------------------------------------------------------------


class _Run(Run):
    """What the command does to each file, and what it has found so far."""

    def __init__(self, files: list[str], redactor: Redactor, max_places: int) -> None:
        super().__init__(files)
        self._redactor = redactor
        self._max_places = max_places
        self._places: list[str] = []
        self._place_count = 0
        self._changed = 0
        self.counts: Counter[str] = Counter()

    def check(self, name: str, source: Source) -> None:
        """Count what is found, and note the places."""
        found: Counter[str] = Counter()
        try:
            for piece in pieces(source.lines, self._redactor):
                if piece.found:
                    found.update(kind for _, kind in piece.found)
                    for number, kind in dict.fromkeys(piece.found):
                        self._place_count += 1
                        if len(self._places) < self._max_places:
                            self._places.append(f"{visible(name)}:{number}: {kind}")
        finally:  # of a file that breaks off, too
            self._count(found)

    def rewrite(self, name: str, source: Source) -> None:
        """Put a redacted file in the place of this one, where something was found."""
        found: Counter[str] = Counter()
        with Replacement(name, source) as new:
            for piece in pieces(source.lines, self._redactor):
                found.update(kind for _, kind in piece.found)
                if "withheld" in found:
                    raise OSError(f"line {piece.found[0][0]} could not be redacted; the file is left as it is")
                new.write(piece.clean)
            if found:
                source.close()
                new.take_place()
                if source.status is not None and source.status.st_nlink > 1:
                    tell(f"{visible(name)}: it has other names (hard links); they keep what was in it")
        self._count(found)

    def print(self, name: str, source: Source) -> None:
        """Write the lines to standard output."""
        withheld = 0
        for piece in pieces(source.lines, self._redactor):
            self.write(piece.clean)
            withheld += any(kind == "withheld" for _, kind in piece.found)
        if withheld:
            self.fail(name, f"what could not be redacted is withheld, in {amount(withheld, 'line')}")

    def _count(self, found: Counter[str]) -> None:
        self.counts += found
        self._changed += bool(found)

    def report(self) -> None:
        """The places and the counts, on standard output; what people want to know beside them."""
        lines = [*self._places, *(f"{count:>7} {kind}" for kind, count in self.counts.most_common())]
        self.write("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))
        self.flush()
        if self._place_count > len(self._places):
            tell(f"the first {len(self._places):,} of {self._place_count:,} places are shown (--max-places)")
        self.sum_up("would be redacted")

    def sum_up(self, what_became: str) -> None:
        """How much was found, in one line."""
        if self.counts:
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.counts.most_common())
            tell(f"{what_became} in {self._changed:,} of {amount(len(self.files), 'file')}: {kinds}")
        elif self.failed < len(self.files):
            tell(f"nothing to redact in {amount(len(self.files) - self.failed, 'file')}")
