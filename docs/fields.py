"""Writes docs/fields.md from the table in `llmlog.semconv`: `python docs/fields.py`. A test holds the two together."""

from __future__ import annotations

import pathlib

from llmlog.semconv import ECS_VERSION, FIELDS, OTEL_SCHEMA, Field

HEAD = f"""# Fields

Every field that llmlog writes, under the names of its three schemas: `JSONFormatter(schema="flat" | "otel" | "ecs")`,
or `dict_config(schema=...)`. This page is made from `llmlog/semconv.py` by `python docs/fields.py`.

- **flat**: llmlog's own names, on one level. Times are milliseconds, money US dollars, lengths characters.
- **otel**: OpenTelemetry's log data model. `Timestamp`, `ObservedTimestamp`, `SeverityText`, `SeverityNumber`, `Body`,
  `EventName`, `TraceId`, `SpanId`, `Resource`, `InstrumentationScope` and `SchemaUrl` are at the top, all else is in
  `Attributes`. The names are those of the conventions for generative AI at <{OTEL_SCHEMA}>. The time
  to the first chunk is in seconds, `finish_reasons` a list with `error` for a choice that was cut short,
  `gen_ai.request.stream` only there where true, and an `llm.call` is a `gen_ai.client.inference.operation.details`.
- **ecs**: the Elastic Common Schema {ECS_VERSION}, dotted names on one level. `event.duration` is in nanoseconds,
  `log.level` in lower case. `gen_ai.response.finish_reasons` is `nested` there, objects of one `reason` each; no chart
  can use that, so the words are in `llmlog.finish_reason` as well.

Both spell providers as the conventions do, such as `aws.bedrock` for `bedrock`.

What these vocabularies have no name for is `llmlog.<name>`. A field that is not known is absent.

**Fields of your own** keep their names in flat; one called as the first four of the table gets an underscore. In otel
they are attributes; one that stands above a name of the conventions (`http`, beside `http.response.status_code`), or
below another one of yours, gets underscores. In ecs they are labels (`shelf` is `labels.shelf`, objects as JSON text),
but for those that are spelled as ECS does: `http.request.method`, or an object `http`. There, too, a value that does
not fit the type of its name is a label: Elasticsearch would refuse the whole document.

"""
COLUMNS = ("flat", "type", "meaning", "otel", "ecs", "in Loki", "in Elasticsearch")


def page() -> str:
    """The page's text."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *map(_row, FIELDS.values())]
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(field: Field) -> tuple[str, ...]:
    kind = field.type.replace("|", "or")
    return (
        f"`{field.name}`",
        kind + (f", {field.unit}" if field.unit else ""),
        field.meaning,
        f"`{field.otel}`",
        f"`{field.ecs}`",
        field.loki,
        field.elasticsearch,
    )


if __name__ == "__main__":
    pathlib.Path(__file__).with_suffix(".md").write_text(page(), encoding="utf-8")
