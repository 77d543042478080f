"""Writes llm-calls.ndjson beside itself: a data view, visualisations, searches, and the dashboard that holds them.

The visualisations are the aggregation-based ones, and one in Vega: both Kibana and OpenSearch Dashboards have them, and
what they ask is in the file as it is. Change it here, not there.

python examples/kibana/build_objects.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("llm-calls.ndjson")
INDEX = "logs-llmlog-*"
CALLS = 'event:"llm.call"'
FAILED = ["error", "incomplete", "lost"]
LEFT = ["aborted", "cancelled"]

Aggregation = dict[str, Any]


def figure(kind: str, field: str = "", **params: Any) -> Aggregation:
    """A number: `count`, or a metric of a field."""
    return {"type": kind, "schema": "metric", "params": {**({"field": field} if field else {}), **params}}


def over_time() -> Aggregation:
    """By the time, in as many steps as fit."""
    params = {"field": "@timestamp", "interval": "auto", "min_doc_count": 1, "drop_partials": False}
    return {"type": "date_histogram", "schema": "segment", "params": params}


def by(field: str, schema: str = "bucket", size: int = 10) -> Aggregation:
    """By a field's values, those with the most of the first figure; records without one are a group, too."""
    params = {"field": field, "size": size, "order": "desc", "missingBucket": True, "missingBucketLabel": "none"}
    return {"type": "terms", "schema": schema, "params": params}


class Objects:
    """Saved objects, in the order of the dashboard."""

    def __init__(self) -> None:
        view = {"title": INDEX, "timeFieldName": "@timestamp"}
        self.saved = [self._object("index-pattern", "llmlog", view, "7.6.0", [])]
        self.panels: list[tuple[str, str, int, int]] = []

    @staticmethod
    def _object(
        kind: str, id: str, attributes: dict[str, Any], version: str, references: list[dict[str, str]]
    ) -> dict[str, Any]:
        # The version of the format, which both products bring up to their own.
        versions = {"migrationVersion": {kind: version}}
        return {"type": kind, "id": id, "attributes": attributes, "references": references, **versions}

    def _add(self, kind: str, title: str, attributes: dict[str, Any], query: str, size: tuple[int, int]) -> None:
        id = "llmlog-" + title.lower().replace(" ", "-").replace(",", "")
        where = "kibanaSavedObjectMeta.searchSourceJSON.index"
        source = {"query": {"query": query, "language": "lucene"}, "filter": [], "indexRefName": where}
        meta = {"kibanaSavedObjectMeta": {"searchSourceJSON": json.dumps(source)}}
        version = {"visualization": "7.10.0", "search": "7.9.3"}[kind]
        view = {"name": where, "type": "index-pattern", "id": "llmlog"}
        self.saved.append(self._object(kind, id, {"title": title, **attributes, **meta}, version, [view]))
        self.panels.append((kind, id, *size))

    def visualisation(
        self,
        kind: str,
        title: str,
        aggregations: list[Aggregation],
        *,
        query: str = CALLS,
        size: tuple[int, int] = (16, 12),
        **params: Any,
    ) -> None:
        """What `aggregations` give for the records of the query: figures, and what they are grouped by."""
        aggs = [{"id": str(i), "enabled": True, **one} for i, one in enumerate(aggregations, 1)]
        for one in aggs:
            if one["type"] == "terms":  # of percentiles, the last is what counts
                percents = aggs[0]["params"].get("percents")
                one["params"]["orderBy"] = f"1.{percents[-1]}" if percents else "1"
        state = {"title": title, "type": kind, "params": {"type": kind, **params}, "aggs": aggs}
        attributes = {"visState": json.dumps(state), "uiStateJSON": "{}", "description": "", "version": 1}
        self._add("visualization", title, attributes, query, size)

    def chart(
        self, kind: str, title: str, aggregations: list[Aggregation], *, unit: str = "", stacked: bool = False
    ) -> None:
        """Figures over time, drawn as lines or as stacked bars."""
        figures = [str(i) for i, one in enumerate(aggregations, 1) if one["schema"] == "metric"]
        category = {"id": "CategoryAxis-1", "type": "category", "position": "bottom", "show": True, "title": {}}
        category |= {"scale": {"type": "linear"}, "labels": {"show": True, "filter": True, "truncate": 100}}
        value = {"id": "ValueAxis-1", "name": "LeftAxis-1", "type": "value", "position": "left", "show": True}
        value |= {"scale": {"type": "linear", "mode": "normal"}, "title": {"text": unit}}
        value |= {"labels": {"show": True, "rotate": 0, "filter": False, "truncate": 100}}
        series = [
            {
                "data": {"id": id, "label": aggregations[int(id) - 1]["params"].get("customLabel", title)},
                "type": kind,
                "mode": "stacked" if stacked else "normal",
                "valueAxis": "ValueAxis-1",
                "show": True,
                "showCircles": True,
                "drawLinesBetweenPoints": True,
            }
            for id in figures
        ]
        self.visualisation(
            kind,
            title,
            aggregations,
            categoryAxes=[category],
            valueAxes=[value],
            seriesParams=series,
            grid={"categoryLines": False},
            addTooltip=True,
            addLegend=True,
            legendPosition="right",
        )

    def table(self, title: str, aggregations: list[Aggregation], *, query: str = CALLS) -> None:
        """A row for each group."""
        self.visualisation("table", title, aggregations, query=query, perPage=10, showPartialRows=False)

    def vega(self, title: str, spec: dict[str, Any]) -> None:
        """A drawing with queries of its own."""
        state = {"title": title, "type": "vega", "params": {"spec": json.dumps(spec, indent=2)}, "aggs": []}
        attributes = {"visState": json.dumps(state), "uiStateJSON": "{}", "description": "", "version": 1}
        self._add("visualization", title, attributes, "", (48, 14))

    def search(self, title: str, columns: list[str], order: str, query: str) -> None:
        """The records themselves, by a field, from above."""
        attributes = {"columns": columns, "sort": [[order, "desc"]], "description": "", "hits": 0, "version": 1}
        self._add("search", title, attributes, query, (48, 16))

    def dashboard(self, title: str) -> list[dict[str, Any]]:
        """All of them, with the dashboard at the end."""
        x = y = high = 0
        panels, references = [], []
        for i, (kind, id, width, height) in enumerate(self.panels):
            if x + width > 48:
                x, y, high = 0, y + high, 0
            name, place = f"panel_{i}", {"x": x, "y": y, "w": width, "h": height, "i": str(i)}
            panel = {"version": "7.10.0", "panelIndex": str(i), "gridData": place, "embeddableConfig": {}}
            panels.append({**panel, "panelRefName": name})
            references.append({"name": name, "type": kind, "id": id})
            x, high = x + width, max(high, height)
        attributes = {
            "title": title,
            "description": "llmlog's records of LLM calls",
            "panelsJSON": json.dumps(panels),
            "optionsJSON": json.dumps({"useMargins": True, "hidePanelTitles": False}),
            "timeRestore": True,
            "timeFrom": "now-6h",
            "timeTo": "now",
            "refreshInterval": {"pause": False, "value": 60_000},
            "version": 1,
            "kibanaSavedObjectMeta": {
                "searchSourceJSON": json.dumps({"query": {"query": "", "language": "lucene"}, "filter": []})
            },
        }
        return [*self.saved, self._object("dashboard", "llmlog-calls", attributes, "7.9.3", references)]


def within(*clauses: dict[str, Any]) -> dict[str, Any]:
    """A Vega panel's query: what the dashboard's bar, filters and time say, and these."""
    time = {"range": {"@timestamp": {"%timefilter%": True}}}
    return {
        "bool": {
            "must": ["%dashboard_context-must_clause%", time, *clauses],
            "filter": ["%dashboard_context-filter_clause%"],
            "must_not": ["%dashboard_context-must_not_clause%"],
        }
    }


def shares() -> dict[str, Any]:
    """The shares of failed and left calls over time, with deployments and other events as rules across them."""
    parts = {"failed": FAILED, "left": LEFT}
    counted = {name: {"filter": {"terms": {"outcome": outcomes}}} for name, outcomes in parts.items()}
    divided = {
        f"{name}_share": {
            "bucket_script": {
                "buckets_path": {"part": f"{name}>_count", "all": "_count"},
                "script": "params.part / params.all",
            }
        }
        for name in parts
    }
    # It takes an interval that suits; empty ones are no share at all.
    steps = {"auto_date_histogram": {"field": "@timestamp", "buckets": 60}, "aggs": {**counted, **divided}}
    calls = {"size": 0, "query": within({"term": {"event": "llm.call"}}), "aggs": {"steps": steps}}
    events = {
        "size": 100,
        "query": within({"term": {"event": "system.event"}}),
        "sort": [{"@timestamp": "desc"}],
        "_source": ["@timestamp", "kind", "version", "message"],
    }
    time = {"field": "key", "type": "temporal", "title": None}
    lines = [
        {
            "transform": [{"filter": "datum.doc_count > 0"}, {"calculate": f"'{name}'", "as": "share"}],
            "mark": {"type": "line", "point": True},
            "encoding": {
                "x": time,
                "y": {"field": f"{name}_share.value", "type": "quantitative", "axis": {"format": "%"}, "title": None},
                "color": {"field": "share", "type": "nominal", "title": None},
            },
        }
        for name in parts
    ]
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "layer": [
            {
                "data": {
                    "url": {"index": INDEX, "body": calls},
                    "format": {"property": "aggregations.steps.buckets"},
                },
                "layer": lines,
            },
            {
                "data": {"url": {"index": INDEX, "body": events}, "format": {"property": "hits.hits"}},
                "transform": [{"calculate": "toDate(datum._source['@timestamp'])", "as": "key"}],
                "mark": {"type": "rule", "strokeDash": [4, 4]},
                "encoding": {
                    "x": time,
                    "tooltip": [{"field": f"_source.{name}"} for name in ("kind", "version", "message")],
                },
            },
        ],
    }


def objects() -> list[dict[str, Any]]:
    """Everything, from the overview to the single record."""
    o = Objects()
    small = (12, 8)
    o.visualisation("metric", "Calls", [figure("count")], size=small)
    o.visualisation("metric", "Cost", [figure("sum", "cost_usd", customLabel="US dollars")], size=small)
    o.visualisation("metric", "Tokens", [figure("sum", "total_tokens", customLabel="tokens")], size=small)
    p95 = figure("percentiles", "latency_ms", percents=[95], customLabel="ms")
    o.visualisation("metric", "P95 latency", [p95], size=small)

    o.chart("histogram", "Calls by outcome", [figure("count"), over_time(), by("outcome", "group")], stacked=True)
    for title, field in (("Latency", "latency_ms"), ("Time to first token", "ttft_ms")):
        o.chart("line", title, [figure("percentiles", field, percents=[50, 95, 99]), over_time()], unit="ms")
    tokens = [figure("sum", f"{way}_tokens", customLabel=way) for way in ("input", "output")]
    o.chart("histogram", "Tokens over time", [*tokens, over_time()], stacked=True)
    o.chart(
        "histogram",
        "Cost over time",
        [figure("sum", "cost_usd"), over_time(), by("model", "group")],
        unit="US dollars",
        stacked=True,
    )
    o.table("Outcomes", [figure("count"), by("outcome"), by("ended_by")])
    for field, title in (("model", "model"), ("user_id", "user"), ("feature", "feature")):
        o.table(f"Cost by {title}", [figure("sum", "cost_usd", customLabel="US dollars"), by(field)])
    o.table("P95 latency by model", [p95, by("model")])
    failed = f"{CALLS} AND outcome:({' OR '.join(FAILED)})"
    o.table("Errors", [figure("count"), by("error_type")], query=failed)
    o.vega("Failed and left", shares())

    columns = ["latency_ms", "model", "outcome", "feature", "user_id", "request_id"]
    o.search("Slowest calls", columns, "latency_ms", CALLS)
    o.search("Failed calls", ["error_type", "error_message", "model", "request_id"], "@timestamp", failed)
    o.search("Deployments and other events", ["kind", "version", "message"], "@timestamp", 'event:"system.event"')
    return o.dashboard("LLM calls")


def text() -> str:
    """The file's text."""
    return "".join(json.dumps(one) + "\n" for one in objects())


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
    print(f"{FILE.name}: {len(objects())} objects")
