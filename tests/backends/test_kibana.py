"""examples/kibana against the real OpenSearch: what each panel asks is taken from the file, and held to the records."""

from __future__ import annotations

import json
import pathlib
import runpy
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from backends.corpus import Line, calls_of, corpus, into_opensearch
from backends.figures import FAILED, LEFT, Series, alike, by, known, number, only, share, total
from backends.real import OpenSearch
from llmlog.semconv import FIELDS

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples/kibana"
OBJECTS: list[dict[str, Any]] = [json.loads(line) for line in (EXAMPLE / "llm-calls.ndjson").read_text().splitlines()]
NAMED = {one["attributes"]["title"]: one for one in OBJECTS}
DASHBOARD = OBJECTS[-1]
STATES: dict[str, dict[str, Any]] = {
    title: json.loads(one["attributes"]["visState"]) for title, one in NAMED.items() if one["type"] == "visualization"
}
STEP = 300
MISSING = "__missing__"
"""What the products ask for where records without a field are a group, and show under its label."""

Figure = Callable[[list[Line]], Series]


FIGURES: dict[str, list[Figure]] = {
    "Calls": [by(value=number)],
    "Cost": [by(value=total("cost_usd"))],
    "Tokens": [by(value=total("total_tokens"))],
    "Calls by outcome": [by("outcome", value=number)],
    "Tokens over time": [by(value=total("input_tokens")), by(value=total("output_tokens"))],
    "Cost over time": [by("model", value=total("cost_usd"))],
    "Outcomes": [by("outcome", "ended_by", value=number)],
    "Cost by model": [by("model", value=total("cost_usd"))],
    "Cost by user": [by("user_id", value=total("cost_usd"))],
    "Cost by feature": [by("feature", value=total("cost_usd"))],
    "Errors": [only(FAILED, by("error_type", value=number))],
}
"""Of each visualisation, what each of its figures has to be for some calls."""
PERCENTILES = {
    "P95 latency": ("latency_ms", [95]),
    "P95 latency by model": ("latency_ms", [95]),
    "Latency": ("latency_ms", [50, 95, 99]),
    "Time to first token": ("ttft_ms", [50, 95, 99]),
}
"""Of those that show percentiles: of what, and which."""
OTHERS = {"Failed and left", "Slowest calls", "Failed calls", "Deployments and other events"}


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    """The records."""
    return corpus()


@pytest.fixture(scope="module")
def index(opensearch: OpenSearch, lines: list[Line]) -> Iterator[str]:
    """The data stream that has them."""
    name = f"logs-llmlog.{uuid.uuid4().hex[:12]}-default"
    into_opensearch(opensearch, name, lines)
    yield name
    opensearch.ask(f"_data_stream/{name}", method="DELETE")


def query_of(saved: dict[str, Any]) -> dict[str, Any]:
    """A saved object's own query, as a search has it."""
    source = json.loads(saved["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])
    (reference,) = saved["references"]
    assert (reference["name"], reference["id"]) == (source["indexRefName"], "llmlog")
    assert (source["query"]["language"], source["filter"]) == ("lucene", [])
    return {"query_string": {"query": source["query"]["query"]}}


def request_of(aggs: list[dict[str, Any]]) -> dict[str, Any]:
    """The aggregations of a visualisation as the products send them: figures inside of the groups, in their order."""
    metrics: dict[str, Any] = {
        one["id"]: {one["type"]: {name: value for name, value in one["params"].items() if name != "customLabel"}}
        for one in aggs
        if one["schema"] == "metric" and one["type"] != "count"
    }
    counts = {one["id"] for one in aggs if one["type"] == "count"}
    inner = metrics
    for one in reversed([one for one in aggs if one["schema"] != "metric"]):
        params = dict(one["params"])
        if one["type"] == "terms":
            figure = params.pop("orderBy")
            assert (params.pop("missingBucket"), params.pop("missingBucketLabel")) == (True, "none")
            params["missing"] = MISSING
            params["order"] = {"_count" if figure in counts else figure: params.pop("order")}
            inner = {one["id"]: {"terms": params, "aggs": {**inner, **metrics}}}
        else:
            assert one["type"] == "date_histogram"
            assert params.pop("interval") == "auto"
            assert params.pop("drop_partials") is False
            inner = {one["id"]: {"date_histogram": {**params, "fixed_interval": f"{STEP}s"}, "aggs": inner}}
    return inner


def rows(
    aggs: list[dict[str, Any]], answer: dict[str, Any]
) -> Iterator[tuple[float | None, tuple[str, ...], dict[str, Any]]]:
    """The groups of an answer: the start of the time, the fields' values in the order of their names, the bucket."""
    groups = [one for one in aggs if one["schema"] != "metric"]

    def walk(bucket: dict[str, Any], level: int, when: float | None, found: dict[str, str]) -> Iterator[Any]:
        if level == len(groups):
            yield when, tuple(found[field] for field in sorted(found)), bucket
            return
        one = groups[level]
        for inner in bucket[one["id"]]["buckets"]:
            if one["type"] == "date_histogram":
                yield from walk(inner, level + 1, inner["key"] / 1000, found)
            else:
                value = inner["key"].replace(MISSING, "")
                yield from walk(inner, level + 1, when, {**found, one["params"]["field"]: value})

    yield from walk(answer, 0, None, {})


def asked(title: str, opensearch: OpenSearch, index: str) -> Iterator[tuple[float | None, tuple[str, ...], Any]]:
    """What a visualisation gets for its question."""
    aggs = STATES[title]["aggs"]
    answer = opensearch.search(index, {"size": 0, "query": query_of(NAMED[title]), "aggs": request_of(aggs)})
    top = {**answer.get("aggregations", {}), "doc_count": answer["hits"]["total"]["value"]}
    return rows(aggs, top)


def during(when: float | None, calls: list[Line]) -> list[Line]:
    return calls if when is None else [line for line in calls if when <= line.seconds < when + STEP]


class TestFile:
    def test_is_what_its_description_builds(self) -> None:
        """llm-calls.ndjson is written by build_objects.py, and not by hand."""
        built = runpy.run_path(str(EXAMPLE / "build_objects.py"))["text"]()
        assert built == (EXAMPLE / "llm-calls.ndjson").read_text()

    def test_every_panel_is_held_here(self) -> None:
        """What nobody tests is not on the dashboard; nothing overlaps, and what is referred to is in the file."""
        panels = json.loads(DASHBOARD["attributes"]["panelsJSON"])
        references = {one["name"]: (one["type"], one["id"]) for one in DASHBOARD["references"]}
        shown = [references[panel["panelRefName"]] for panel in panels]
        objects = {(one["type"], one["id"]): one["attributes"]["title"] for one in OBJECTS}
        assert len(objects) == len(OBJECTS)
        assert {objects[one] for one in shown} == {*FIGURES, *PERCENTILES, *OTHERS}
        assert len(set(shown)) == len(shown) == len(OBJECTS) - 2
        cells = [
            (panel["gridData"]["x"] + x, panel["gridData"]["y"] + y)
            for panel in panels
            for x in range(panel["gridData"]["w"])
            for y in range(panel["gridData"]["h"])
        ]
        assert len(cells) == len(set(cells))
        assert max(x for x, _ in cells) < 48

    def test_fields_are_in_the_table(self) -> None:
        """No field is misspelt: each is one of llmlog's, or documented for `system.event`."""
        allowed = {*FIELDS, "@timestamp", "kind", "version"}
        for state in STATES.values():
            assert {agg["params"]["field"] for agg in state["aggs"] if "field" in agg["params"]} <= allowed
        for saved in (one for one in OBJECTS if one["type"] == "search"):
            assert {*saved["attributes"]["columns"], saved["attributes"]["sort"][0][0]} <= allowed


class TestPanels:
    @pytest.mark.parametrize("title", FIGURES)
    def test_figures_are_those_of_the_records(
        self, title: str, opensearch: OpenSearch, index: str, lines: list[Line]
    ) -> None:
        """Each count and each sum, in each group and each step of the time."""
        calls = calls_of(lines)
        metrics = [one for one in STATES[title]["aggs"] if one["schema"] == "metric"]
        assert len(metrics) == len(FIGURES[title])
        found = list(asked(title, opensearch, index))
        held = 0
        for metric, figure in zip(metrics, FIGURES[title], strict=True):
            got: dict[float | None, Series] = defaultdict(dict)
            for when, group, bucket in found:
                value = bucket["doc_count"] if metric["type"] == "count" else bucket[metric["id"]]["value"]
                got[when][group] = value
            for when, series in got.items():
                within = during(when, calls)
                # A sum over records none of which has the figure is 0 there, and nothing here.
                wanted = {**dict.fromkeys(series, 0.0), **figure(within)}
                assert alike(series, wanted), (when, series, wanted)
                held += len(within)
        assert held == len(calls) * len(metrics)

    @pytest.mark.parametrize("title", PERCENTILES)
    def test_percentiles_are_those_of_the_records(
        self, title: str, opensearch: OpenSearch, index: str, lines: list[Line]
    ) -> None:
        """Each lies between the records of the nearest ranks: the server estimates what lies between."""
        field, percents = PERCENTILES[title]
        held = 0
        for when, group, bucket in asked(title, opensearch, index):
            within = during(when, calls_of(lines))
            if group:
                within = [line for line in within if line.fields["model"] == group[0]]
            values = known(within, field)
            got = {float(percent): value for percent, value in bucket["1"]["values"].items()}
            assert set(got) == {float(percent) for percent in percents}
            for percent, value in got.items():
                rank = percent / 100 * (len(values) - 1)
                low, high = max(0, int(rank) - 1), min(len(values) - 1, int(rank) + 2)
                assert values[low] <= value <= values[high]
            held += len(within)
        assert held == len(calls_of(lines))

    def test_terms_are_in_order(self, opensearch: OpenSearch, index: str) -> None:
        """The dearest come first, and the slowest model."""
        for title in ("Cost by user", "P95 latency by model"):
            got = [bucket["1"] for _, _, bucket in asked(title, opensearch, index)]
            values = [one["value"] if "value" in one else one["values"]["95.0"] for one in got]
            assert values == sorted(values, reverse=True)
            assert len(values) >= 3

    def test_shares_over_time(self, opensearch: OpenSearch, index: str, lines: list[Line]) -> None:
        """The shares of failed and left calls are computed by the server, in each step."""
        (layer, _) = json.loads(STATES["Failed and left"]["params"]["spec"])["layer"]
        answer = opensearch.search(index, vega(layer["data"]["url"]))
        buckets = answer
        for part in layer["data"]["format"]["property"].split("."):
            buckets = buckets[part]
        calls = calls_of(lines)
        held = 0
        starts = [bucket["key"] / 1000 for bucket in buckets]
        for bucket, start, end in zip(buckets, starts, [*starts[1:], float("inf")], strict=True):
            within = [line for line in calls if start <= line.seconds < end]
            assert bucket["doc_count"] == len(within)
            for name, outcomes in (("failed", FAILED), ("left", LEFT)):
                if within:
                    assert bucket[f"{name}_share"]["value"] == pytest.approx(share(outcomes)(within))
            held += len(within)
        assert held == len(calls)
        drawn = [line["encoding"]["y"]["field"] for line in layer["layer"]]
        assert drawn == ["failed_share.value", "left_share.value"]

    def test_events_over_the_shares(self, opensearch: OpenSearch, index: str, lines: list[Line]) -> None:
        """Deployments are the rules across them, with what the tooltip names."""
        (_, layer) = json.loads(STATES["Failed and left"]["params"]["spec"])["layer"]
        hits = opensearch.search(index, vega(layer["data"]["url"]))["hits"]["hits"]
        names = [one["field"].removeprefix("_source.") for one in layer["encoding"]["tooltip"]]
        wanted = [line for line in reversed(lines) if line.fields.get("event") == "system.event"]
        assert [[hit["_source"][name] for name in names] for hit in hits] == [
            [line.fields[name] for name in names] for line in wanted
        ]
        assert [hit["_source"]["@timestamp"] for hit in hits] == [line.fields["timestamp"] for line in wanted]
        assert len(hits) == 3

    @pytest.mark.parametrize("title", ["Slowest calls", "Failed calls", "Deployments and other events"])
    def test_searches(self, title: str, opensearch: OpenSearch, index: str, lines: list[Line]) -> None:
        """The records that a list shows, in its order, with its columns."""
        saved = NAMED[title]
        ((field, direction),) = saved["attributes"]["sort"]
        body = {"size": 500, "query": query_of(saved), "sort": [{field: direction}]}
        got = [hit["_source"] for hit in opensearch.search(index, body)["hits"]["hits"]]
        chosen = {
            "Slowest calls": calls_of(lines),
            "Failed calls": [line for line in calls_of(lines) if line.fields["outcome"] in FAILED],
            "Deployments and other events": [line for line in lines if line.fields.get("event") == "system.event"],
        }[title]
        name = field.replace("@timestamp", "timestamp")
        wanted = sorted(chosen, key=lambda line: line.fields[name], reverse=True)
        assert [one["record_id"] for one in got] == [line.fields["record_id"] for line in wanted]
        columns = saved["attributes"]["columns"]
        assert columns
        assert all(any(column in one for one in got) for column in columns)


def vega(url: dict[str, Any]) -> dict[str, Any]:
    """The question of a Vega panel, with the dashboard's time in it, and no filter of its own."""
    assert url["index"] == NAMED["logs-llmlog-*"]["attributes"]["title"]
    now = time.time()
    period = {"gte": int((now - 3600) * 1000), "lte": int(now * 1000), "format": "epoch_millis"}

    def replaced(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: period if inner == {"%timefilter%": True} else replaced(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [replaced(one) for one in value if not str(one).startswith("%dashboard_context-")]
        return value

    body: dict[str, Any] = replaced(url["body"])
    assert "%" not in json.dumps(body)
    return body
