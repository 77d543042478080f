"""examples/grafana against the real Loki: what each panel shows of real records, and what lets each alert fire."""

from __future__ import annotations

import contextlib
import json
import pathlib
import random
import re
import runpy
import subprocess
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

import llmlog
from backends.conftest import needed
from backends.corpus import Line, by_agent, by_handler, call, calls_of, corpus, write
from backends.figures import FAILED, LEFT, Lines, Series, alike, by, number, only, quantile, share, top, total
from backends.real import Loki, until
from llmlog import settings
from llmlog.testing import FakeClock

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples/grafana"
DASHBOARD: dict[str, Any] = json.loads((EXAMPLE / "dashboard.json").read_text())
PANELS: dict[str, dict[str, Any]] = {panel["title"]: panel for panel in DASHBOARD["panels"]}
RANGE, STEP = 3600, 300

SLOWEST = ("model", "outcome", "feature", "user_id", "request_id", "call_id")

FIGURES: dict[str, list[Callable[[Lines], Series]]] = {
    "Calls": [by(value=number)],
    "Cost": [by(value=total("cost_usd"))],
    "Tokens": [by(value=total("total_tokens"))],
    "P95 latency": [by(value=quantile(0.95, "latency_ms"))],
    "Failed": [by(value=share(FAILED))],
    "Left": [by(value=share(LEFT))],
    "Calls by outcome": [by("outcome", value=number)],
    "Latency": [by(value=quantile(q, "latency_ms")) for q in (0.5, 0.95, 0.99)],
    "Time to first token": [by(value=quantile(q, "ttft_ms")) for q in (0.5, 0.95, 0.99)],
    "Failed and left": [by(value=share(FAILED)), by(value=share(LEFT))],
    "Tokens over time": [by(value=total("input_tokens")), by(value=total("output_tokens"))],
    "Cost over time": [by("model", value=total("cost_usd"))],
    "Cost by model": [top(10, by("model", value=total("cost_usd")))],
    "Cost by user": [top(10, by("user_id", value=total("cost_usd")))],
    "Cost by feature": [top(10, by("feature", value=total("cost_usd")))],
    "Outcomes": [by("outcome", "ended_by", value=number)],
    "P95 latency by model": [by("model", value=quantile(0.95, "latency_ms"))],
    "Errors": [only(FAILED, by("error_type", value=number))],
    "Slowest calls": [top(20, by(*SLOWEST, value=lambda lines: max(line.fields["latency_ms"] for line in lines)))],
}
"""Of each panel of figures, what each of its queries has to give for the calls of a time."""
LOGS = {"Failed calls", "One request"}


@pytest.fixture(scope="module", params=[by_handler, by_agent])
def stored(request: pytest.FixtureRequest, loki: Loki) -> list[Line]:
    """Records that are in Loki, in both layouts; those of another service and another environment are there, too."""
    lines = corpus()
    service = lines[0].fields["service"]
    others = [*corpus(calls=20, seed=1), *corpus(service=service, env="staging", calls=20, seed=2)]
    for some in (lines, others):
        request.param(loki, some)
    return lines


def asked(expr: str, lines: Lines, **more: str) -> str:
    """A panel's query as Grafana sends it."""
    fields = lines[0].fields
    variables = {
        "$__range": f"{RANGE}s",
        "$__interval": f"{STEP}s",
        "$service": fields["service"],
        "$env": fields["env"],
        "$slower_than": "0",
        **more,
    }
    for name, value in variables.items():
        expr = expr.replace(name, value)
    assert "$" not in expr
    return expr


def labels(metric: dict[str, str], names: Sequence[str]) -> tuple[str, ...]:
    """A series' labels by name; Loki leaves out those that are empty."""
    assert set(metric) <= set(names)
    return tuple(metric.get(name, "") for name in sorted(names))


def names_of(expr: str) -> list[str]:
    """The labels that a query groups by."""
    found = re.search(r"\bby \(([^)]*)\)", expr)
    return [name.strip() for name in found[1].split(",") if name.strip()] if found else []


class TestDashboard:
    def test_is_what_its_description_builds(self) -> None:
        """dashboard.json is written by build_dashboard.py, and not by hand."""
        assert runpy.run_path(str(EXAMPLE / "build_dashboard.py"))["text"]() == (EXAMPLE / "dashboard.json").read_text()

    def test_every_panel_is_held_here(self) -> None:
        """A panel that nobody tests is not in it, and no two overlap."""
        assert {*FIGURES, *LOGS} == set(PANELS)
        assert len(PANELS) == len(DASHBOARD["panels"])
        cells = [
            (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
            for panel in PANELS.values()
            for x in range(panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["h"])
        ]
        assert len(cells) == len(set(cells))
        assert max(x for x, _ in cells) < 24

    @pytest.mark.parametrize("title", FIGURES)
    def test_panel_shows_what_the_records_say(self, title: str, stored: list[Line], loki: Loki) -> None:
        """Each number of the panel is the one that follows from the records."""
        targets = PANELS[title]["targets"]
        assert len(targets) == len(FIGURES[title])
        calls = calls_of(stored)
        now = time.time()
        for target, figure in zip(targets, FIGURES[title], strict=True):
            expr, names = asked(target["expr"], stored), names_of(target["expr"])
            if target["queryType"] == "instant":
                result = loki.query(expr, at=now)
                got = {labels(one["metric"], names): float(one["value"][1]) for one in result}
                assert alike(got, figure(calls)), (got, figure(calls))
                continue
            points: dict[float, Series] = defaultdict(dict)
            end = int(now) // STEP * STEP + STEP
            for one in loki.query_range(expr, end - RANGE - STEP, end, step=STEP):
                for when, value in one["values"]:
                    points[float(when)][labels(one["metric"], names)] = float(value)
            held = 0
            for i in range(RANGE // STEP + 2):
                when = end - RANGE - STEP + i * STEP
                within = [line for line in calls if when - STEP < line.seconds <= when]
                wanted = figure(within) if within else {}
                assert alike(points.get(when, {}), wanted), (when, points.get(when), wanted)
                held += len(within)
            assert held == len(calls)

    def test_failed_calls_are_listed(self, stored: list[Line], loki: Loki) -> None:
        """The sentence of each call that failed, at its time."""
        (target,) = PANELS["Failed calls"]["targets"]
        failed = [line for line in calls_of(stored) if line.fields["outcome"] in FAILED]
        got = [(stamp, line) for _, stamp, line, _ in loki.entries(asked(target["expr"], stored))]
        assert got == [(line.stamp, line.fields["message"]) for line in failed]
        assert failed

    def test_one_request_is_listed(self, stored: list[Line], loki: Loki) -> None:
        """All records of the request, whatever wrote them, and no other."""
        (target,) = PANELS["One request"]["targets"]
        for line in (calls_of(stored)[7], next(line for line in stored if "corpus" in line.fields["logger"])):
            id = line.fields["request_id"]
            got = [text for _, _, text, _ in loki.entries(asked(target["expr"], stored, **{"$request_id": id}))]
            assert got == [one.text for one in stored if one.fields.get("request_id") == id]

    def test_annotations_are_the_events(self, stored: list[Line], loki: Loki) -> None:
        """Deployments and other system events, with what the titles name."""
        (annotation,) = DASHBOARD["annotations"]["list"]
        events = [line for line in stored if line.fields.get("event") == "system.event"]
        names = re.findall(r"{{(\w+)}}", annotation["titleFormat"] + annotation["textFormat"])
        assert names == ["kind", "version", "message"]
        got = loki.query_range(asked(annotation["expr"], stored))
        found = [{**stream["stream"], **value[2].get("parsed", {})} for stream in got for value in stream["values"]]
        assert sorted([one[name] for name in names] for one in found) == sorted(
            [line.fields[name] for name in names] for line in events
        )
        assert len(events) == 3

    def test_choices_are_the_labels(self, stored: list[Line], loki: Loki) -> None:
        """Service and environment are labels of what is stored; with all of them chosen, the queries still work."""
        lists = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
        fields = stored[0].fields
        for name in ("service", "env"):
            assert lists[name]["query"]["label"] == name
            found = loki.query(f"sum by ({name}) (count_over_time({{{name}=~`.+`}}[1h]))", at=time.time())
            assert fields[name] in [one["metric"][name] for one in found]
        every = {f"${name}": lists[name]["allValue"] for name in ("service", "env")}
        (target,) = PANELS["Calls"]["targets"]
        (result,) = loki.query(asked(target["expr"], stored, **every), at=time.time())
        assert float(result["value"][1]) >= len(calls_of(stored)) + 40

    @pytest.mark.parametrize("limit", [None, 5000])
    def test_many_users_and_calls(self, limit: int | None, loki: Loki, tmp_path: pathlib.Path) -> None:
        """Of thousands of calls the slowest are found by what slow is; of thousands of users, where Loki may."""
        with contextlib.ExitStack() as stack:
            if limit:
                loki = stack.enter_context(Loki(tmp_path, limits={"max_query_series": limit}))
            now, lines = time.time(), []
            shared = {"event": "llm.call", "service": f"busy-{uuid.uuid4().hex}", "env": "production", "level": "INFO"}
            shared |= {"model": "gpt-4o", "outcome": "completed", "feature": "search"}
            for i in range(3000):
                own = {"user_id": f"u-{i}", "call_id": f"c-{i}", "request_id": f"r-{i}"}
                fields = {**shared, **own, "latency_ms": float(i), "cost_usd": i / 100}
                lines.append(Line(int((now - 600 + i / 10) * 1e6) * 1000, json.dumps(fields), fields))
            by_handler(loki, lines)
            for title, slower_than in (("Slowest calls", "0" if limit else "2800"), ("Cost by user", "0")):
                (target,) = PANELS[title]["targets"]
                (figure,) = FIGURES[title]
                expr, names = asked(target["expr"], lines, **{"$slower_than": slower_than}), names_of(target["expr"])
                if title == "Cost by user" and not limit:
                    with pytest.raises(AssertionError, match="maximum number of series"):
                        loki.query(expr, at=now)
                    continue
                result = loki.query(expr, at=now)
                assert alike({labels(one["metric"], names): float(one["value"][1]) for one in result}, figure(lines))


# Alerts

RULES = (EXAMPLE / "alerts.yaml").read_text()
ALERTS = re.findall(r"- alert: (\w+)", RULES)
DEAR = {"name": "dear", "version": "1", "models": {"*": {"input": 100_000, "output": 100_000}}}


def calls_at(service: str, minutes: float, *endings: str, slow: float = 1.0) -> list[Line]:
    """Calls of a service, of so many minutes ago."""
    clock, dice = FakeClock(), random.Random(3)
    when = time.time() - minutes * 60
    before = settings.current().clock
    settings.change(clock=clock)
    try:
        made = [lambda ending=ending: call(clock, dice, ending, slow=slow) for ending in endings]
        return write(made, service=service, env="production", times=[when + i / 100 for i in range(len(made))])
    finally:
        settings.change(clock=before)


@pytest.fixture
def ruler(tmp_path: pathlib.Path) -> Iterator[Loki]:
    """A Loki of its own that evaluates the rules each second, and waits for nothing before an alert fires."""
    needed(Loki)
    rules = re.sub(r"interval: \w+", "interval: 1s", re.sub(r"for: \w+", "for: 0s", RULES))
    assert "for: 0s" in rules
    with Loki(tmp_path / "loki", rules=rules) as loki:
        yield loki


class TestAlerts:
    @pytest.mark.parametrize("file", ["alerts.yaml", "recording.yaml"])
    def test_rules_are_valid(self, file: str) -> None:
        """lokitool has nothing to say about them."""
        needed(Loki)
        done = subprocess.run(
            [Loki.installed / "lokitool", "rules", "check", "--strict", EXAMPLE / file],
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr

    def test_each_fires_for_its_service(self, ruler: Loki, calls: Any) -> None:
        """Each alert fires where its own trouble is, and nowhere else; nothing logged at all is trouble, too."""
        assert set(ALERTS) == {*TROUBLES, "LLMNoLogs"}
        until(lambda: ruler.firing() == {"LLMNoLogs": {""}}, "the silence is noticed")
        pushed = [*calls_at("healthy", 2, *["completed"] * 9, "aborted"), *calls_at("healthy", 30, "completed")]
        for alert, (minutes, endings, slow) in TROUBLES.items():
            llmlog.configure(prices=DEAR if alert == "LLMCostHigh" else None)
            pushed += calls_at(f"with-{alert}", minutes, *endings, slow=slow)
        for way in (by_handler, by_agent):
            way(ruler, sorted(pushed, key=lambda line: line.stamp))
        wanted = {alert: {f"with-{alert}"} for alert in TROUBLES}
        until(lambda: ruler.firing() == wanted, "every alert fires for its service", seconds=30)

    def test_recorded_figures_are_those_of_the_records(self, stored: list[Line], loki: Loki) -> None:
        """Each recording rule, over the whole time in place of a minute."""
        rules = re.findall(r"record: (\S+)\n\s+expr: \|\n((?:\s{10}.*\n)+)", (EXAMPLE / "recording.yaml").read_text())
        assert {name for name, _ in rules} == set(RECORDED)
        service = stored[0].fields["service"]
        for name, expr in rules:
            assert "[1m]" in expr
            expr = expr.replace("[1m]", f"[{RANGE}s]").replace(
                'service=~".+"', f'service="{service}", env="production"'
            )
            result = loki.query(expr, at=time.time())
            got = {labels(one["metric"], names_of(expr)): float(one["value"][1]) for one in result}
            assert alike(got, RECORDED[name](calls_of(stored))), name


WHERE = ("service", "env", "model")
RECORDED = {
    "service:llm_calls:count1m": by(*WHERE, "outcome", value=number),
    "service:llm_latency_ms:p95_1m": by(*WHERE, value=quantile(0.95, "latency_ms")),
    "service:llm_ttft_ms:p95_1m": by(*WHERE, value=quantile(0.95, "ttft_ms")),
    "service:llm_tokens:sum1m": by(*WHERE, value=total("total_tokens")),
    "service:llm_cost_usd:sum1m": by(*WHERE, "feature", value=total("cost_usd")),
}
"""What each recording rule has to give."""
TROUBLES: dict[str, tuple[float, list[str], float]] = {
    "LLMLatencyHigh": (2, ["completed"] * 10, 40.0),
    "LLMErrorRateHigh": (2, ["completed"] * 8 + ["error", "incomplete"], 1.0),
    "LLMAbortedShareHigh": (10, ["completed"] * 5 + ["aborted"] * 3 + ["cancelled"] * 2, 1.0),
    "LLMCostHigh": (2, ["completed"] * 3, 1.0),
    "LLMServiceSilent": (30, ["completed"] * 3, 1.0),
}
"""What lets each alert fire: minutes ago, endings, how slow."""
