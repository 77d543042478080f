"""Writes dashboard.json beside itself: every panel, its query and its place. Change it here, not there.

python examples/grafana/build_dashboard.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("dashboard.json")
SOURCE = {"type": "loki", "uid": "${datasource}"}
SERVICE = '{service=~"$service", env=~"$env"}'
FAILED = 'outcome=~"error|incomplete|lost"'
LEFT = 'outcome=~"aborted|cancelled"'


def calls(*fields: str, where: str = "") -> str:
    """The records of calls, with these fields read from their lines.

    The text first, which is cheap; then the field, since other lines may contain the words. Naming the fields is
    faster than reading all of them, and does not mind what else is in the line or in its structured metadata.
    """
    read = ", ".join(["event", *fields])
    return f'{SERVICE} |= `llm.call` | json {read} | event="llm.call"' + (f" | {where}" if where else "")


def count(*by: str, where: str = "", per: str = "$__range") -> str:
    """How many calls; by these fields."""
    fields = [*by, *(["outcome"] if where and "outcome" not in by else [])]
    group = f" by ({', '.join(by)})" if by else ""
    return f"sum{group} (count_over_time({calls(*fields, where=where)} [{per}]))"


def total(field: str, *by: str, per: str = "$__range") -> str:
    """The sum of a figure; calls without it add nothing."""
    group = f" by ({', '.join(by)})" if by else ""
    return f"sum{group} (sum_over_time({calls(*by, field)} | unwrap {field} [{per}]))"


def share(where: str, per: str = "$__range") -> str:
    """The share of calls with such an outcome: 0 where there is none of them, nothing where there is no call."""
    return f"({count(where=where, per=per)} or vector(0)) / {count(per=per)}"


def quantile(q: float, field: str, *by: str, per: str = "$__range") -> str:
    """A percentile of a figure, exact over the records."""
    return f"quantile_over_time({q}, {calls(*by, field)} | unwrap {field} [{per}]) by ({', '.join(by)})"


Target = tuple[str, str]
"""A query and its legend."""


class Dashboard:
    """Panels, laid out in rows of 24 columns."""

    def __init__(self) -> None:
        self.panels: list[dict[str, Any]] = []
        self._x = self._y = self._height = 0

    def add(
        self,
        kind: str,
        title: str,
        description: str,
        targets: list[Target],
        *,
        size: tuple[int, int],
        unit: str = "short",
        query: str = "instant",
        custom: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
        transformations: list[dict[str, Any]] | None = None,
    ) -> None:
        """The next panel, in this row or at the start of the next one."""
        width, height = size
        if self._x + width > 24:
            self._x, self._y, self._height = 0, self._y + self._height, 0
        panel: dict[str, Any] = {
            "id": len(self.panels) + 1,
            "type": kind,
            "title": title,
            "description": description,
            "datasource": SOURCE,
            "gridPos": {"x": self._x, "y": self._y, "w": width, "h": height},
            "fieldConfig": {"defaults": {"unit": unit, "custom": custom or {}}, "overrides": []},
            "options": options or {},
            "targets": [
                {
                    "refId": chr(ord("A") + i),
                    "datasource": SOURCE,
                    "queryType": query,
                    "expr": expr,
                    "legendFormat": legend,
                }
                for i, (expr, legend) in enumerate(targets)
            ],
        }
        if transformations:
            panel["transformations"] = transformations
        self.panels.append(panel)
        self._x += width
        self._height = max(self._height, height)

    def figure(self, title: str, description: str, expr: str, unit: str = "short") -> None:
        """One number over the whole time."""
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "none"}
        self.add("stat", title, description, [(expr, title)], size=(4, 4), unit=unit, options=options)

    def curve(
        self, title: str, description: str, targets: list[Target], unit: str = "short", *, stacked: bool = False
    ) -> None:
        """Figures over time; stacked bars for counts."""
        drawn = {"drawStyle": "bars", "fillOpacity": 60, "stacking": {"mode": "normal"}} if stacked else {}
        options = {"tooltip": {"mode": "multi", "sort": "desc"}}
        self.add(
            "timeseries",
            title,
            description,
            targets,
            size=(8, 8),
            unit=unit,
            query="range",
            custom=drawn,
            options=options,
        )

    def bars(self, title: str, description: str, expr: str, legend: str, unit: str = "short") -> None:
        """One bar for each value of a field."""
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "orientation": "horizontal", "displayMode": "basic"}
        self.add("bargauge", title, description, [(expr, legend)], size=(8, 8), unit=unit, options=options)

    def table(self, title: str, description: str, expr: str, columns: list[str], value: str, unit: str) -> None:
        """A row for each series: its labels, and its value."""
        names = {"Value": value, "Value #A": value}
        transformations = [
            {"id": "labelsToFields", "options": {"mode": "columns"}},
            {"id": "merge", "options": {}},
            {
                "id": "organize",
                "options": {
                    "excludeByName": {"Time": True},
                    "renameByName": names,
                    "indexByName": {name: i for i, name in enumerate(["Value #A", "Value", *columns])},
                },
            },
            {"id": "sortBy", "options": {"sort": [{"field": value, "desc": True}]}},
        ]
        self.add("table", title, description, [(expr, "")], size=(24, 9), unit=unit, transformations=transformations)

    def lines(self, title: str, description: str, expr: str) -> None:
        """The records themselves, newest first."""
        options = {"showTime": True, "enableLogDetails": True, "sortOrder": "Descending", "wrapLogMessage": True}
        self.add("logs", title, description, [(expr, "")], size=(24, 9), query="range", options=options)


def panels() -> list[dict[str, Any]]:
    """All of them, from the overview to the single request."""
    d, step = Dashboard(), "$__interval"
    d.figure("Calls", "Calls that have ended, attempts included.", count())
    d.figure("Cost", "Of the calls whose price is known.", total("cost_usd"), "currencyUSD")
    d.figure("Tokens", "Input and output together.", total("total_tokens"))
    d.figure("P95 latency", "95 of 100 calls were faster.", quantile(0.95, "latency_ms"), "ms")
    d.figure("Failed", "Share of calls that ended in error, incomplete or lost.", share(FAILED), "percentunit")
    d.figure(
        "Left",
        "Share of calls that the consumer left (aborted), or that were cancelled.",
        share(LEFT),
        "percentunit",
    )

    d.curve("Calls by outcome", "", [(count("outcome", per=step), "{{outcome}}")], stacked=True)
    d.curve(
        "Latency",
        "From the start of a call to its end.",
        [(quantile(q, "latency_ms", per=step), f"P{q * 100:.0f}") for q in (0.5, 0.95, 0.99)],
        "ms",
    )
    d.curve(
        "Time to first token",
        "From the start of a streamed call to its first content.",
        [(quantile(q, "ttft_ms", per=step), f"P{q * 100:.0f}") for q in (0.5, 0.95, 0.99)],
        "ms",
    )
    d.curve(
        "Failed and left",
        "Shares of the calls that ended in each interval.",
        [(share(FAILED, step), "failed"), (share(LEFT, step), "left")],
        "percentunit",
    )
    d.curve(
        "Tokens over time",
        "Input includes cached tokens, output includes reasoning.",
        [(total("input_tokens", per=step), "input"), (total("output_tokens", per=step), "output")],
        stacked=True,
    )
    d.curve(
        "Cost over time",
        "By the model asked for.",
        [(total("cost_usd", "model", per=step), "{{model}}")],
        "currencyUSD",
        stacked=True,
    )

    for field, legend in (("model", "By model"), ("user_id", "By user"), ("feature", "By feature")):
        expr = f"topk(10, {total('cost_usd', field)})"
        d.bars(f"Cost {legend.lower()}", "The ten dearest.", expr, f"{{{{{field}}}}}", "currencyUSD")
    d.bars("Outcomes", "How calls ended, and by whom.", count("outcome", "ended_by"), "{{outcome}}: {{ended_by}}")
    d.bars("P95 latency by model", "", quantile(0.95, "latency_ms", "model"), "{{model}}", "ms")
    d.bars("Errors", "By their type.", count("error_type", where=FAILED), "{{error_type}}")

    columns = ["model", "outcome", "feature", "user_id", "request_id", "call_id"]
    slow = calls(*columns, "latency_ms", where="latency_ms > $slower_than")
    slowest = f"max_over_time({slow} | unwrap latency_ms [$__range]) by ({', '.join(columns)})"
    description = "The twenty slowest of those that took more milliseconds than is said above."
    d.table("Slowest calls", description, f"topk(20, {slowest})", columns, "latency", "ms")
    d.lines(
        "Failed calls",
        "The newest ones.",
        calls("outcome", "message", where=FAILED) + " | line_format `{{.message}}`",
    )
    d.lines(
        "One request",
        "Everything that was logged for the request id given above.",
        f'{SERVICE} |= `$request_id` | json request_id | request_id="$request_id"',
    )
    return d.panels


def variable(name: str, label: str, every: str) -> dict[str, Any]:
    """A choice of the values of a label, several or all of them."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"type": 1, "label": name, "stream": "", "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": every,
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def dashboard() -> dict[str, Any]:
    """The whole document, as Grafana imports it."""
    events = f'{SERVICE} |= `system.event` | json event, kind, version, message | event="system.event"'
    return {
        "title": "LLM calls",
        "uid": "llmlog-calls",
        "description": "llmlog's records of LLM calls, in Loki",
        "tags": ["llmlog"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "label": "Loki", "type": "datasource", "query": "loki"},
                # Loki wants one matcher that does not take the empty value; an environment may be missing.
                variable("service", "Service", ".+"),
                variable("env", "Environment", ".*"),
                # Each slow call is a series, and Loki gives 500 of them.
                {"name": "slower_than", "label": "Slow is, ms", "type": "textbox", "query": "10000"},
                {"name": "request_id", "label": "Request id", "type": "textbox", "query": "-"},
            ]
        },
        "annotations": {
            "list": [
                {
                    "name": "Deployments and other events",
                    "enable": True,
                    "datasource": SOURCE,
                    "expr": events,
                    "titleFormat": "{{kind}} {{version}}",
                    "textFormat": "{{message}}",
                    "tagKeys": "service,env,kind",
                    "iconColor": "blue",
                }
            ]
        },
        "panels": panels(),
    }


def text() -> str:
    """The file's text."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
    print(f"{FILE.name}: {len(panels())} panels")
