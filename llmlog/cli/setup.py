"""`llmlog setup elasticsearch`: template, mapping and policy for the records, printed or installed."""

from __future__ import annotations

import pathlib
from typing import Annotated, Any

import typer

from llmlog.cli.terminal import tell, visible
from llmlog.exceptions import LLMLogError
from llmlog.handlers.elasticsearch_setup import Plan, SetupError, as_text, distribution_of, install
from llmlog.handlers.transport import address, connected

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Tell a log store what the records are.")


@app.callback()
def _setup() -> None:
    """Tell a log store what the records are."""


@app.command("elasticsearch")
def elasticsearch(
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The server, to be asked whether it is Elasticsearch or OpenSearch."),
    ] = None,
    wanted: Annotated[bool, typer.Option("--install", help="Make the requests, rather than print them.")] = False,
    index: Annotated[
        str, typer.Option(metavar="NAME", help="The handler's index: a data stream, or such as llmlog-%Y.%m.%d.")
    ] = "logs-llmlog-default",
    schema: Annotated[str, typer.Option(metavar="flat|ecs", help="The formatter's schema.")] = "flat",
    keep_days: Annotated[int, typer.Option(metavar="DAYS", help="Days to keep records for.")] = 30,
    distribution: Annotated[
        str | None,
        typer.Option(metavar="elasticsearch|opensearch", help="The kind of server, where none is asked."),
    ] = None,
    ca_certs: Annotated[
        pathlib.Path | None, typer.Option(metavar="FILE", help="Certificates to trust.", show_default=False)
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="ELASTICSEARCH_API_KEY", help="Better in the environment than in a command.")
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(envvar="ELASTICSEARCH_USER", metavar="NAME:PASSWORD", help="As above.", show_default=False),
    ] = None,
) -> None:
    """Print, or install, what Elasticsearch or OpenSearch is to know of llmlog's records.

    An index template with the mapping of their fields, and a policy (ILM, ISM) that rolls over and deletes. Printed,
    the requests are as Kibana's console takes them.
    """
    try:
        if wanted and url is None:
            raise _Misuse("--install needs the server's address: --url")
        transport = None if url is None else connected(url, None, _options(ca_certs, api_key, user))
        base = "" if url is None else address(url)[0]
        kind = distribution
        if transport is not None and kind is None:
            Plan(schema=schema, index=index, keep_days=keep_days)  # wrong options are told before anything is asked
            kind = distribution_of(base, transport)
        plan = Plan(kind or "elasticsearch", schema, index, keep_days)
        if not wanted or transport is None:
            typer.echo(as_text(plan), nl=False)
            return
        for left_out in install(plan, base, transport):
            tell(left_out)
    except (LLMLogError, _Misuse) as error:
        tell(str(error))
        raise typer.Exit(2) from None
    except (SetupError, OSError) as error:
        tell(visible(str(error)))
        raise typer.Exit(1) from None
    tell(f"{plan.distribution} at {base} knows the records in {plan.pattern}; streams that are there already take it "
         "on when they next roll over")  # fmt: skip


class _Misuse(Exception):
    """The options do not go together."""


def _options(ca_certs: pathlib.Path | None, api_key: str | None, user: str | None) -> dict[str, Any]:
    options: dict[str, Any] = {"ca_certs": ca_certs}
    if api_key is not None and user is not None:
        raise _Misuse("--api-key and --user are two ways to log in: one of them is enough")
    if api_key is not None:
        options["headers"] = {"Authorization": f"ApiKey {api_key}"}
    if user is not None:
        name, colon, password = user.partition(":")
        if not colon:
            raise _Misuse("--user is a name and a password, as name:password")
        options["auth"] = (name, password)
    return options
