"""What Elasticsearch or OpenSearch is to know of the records: the mapping of their fields, and how long to keep them.

Records arrive without it, too. With it figures are numbers from the first record on, a value of the wrong type costs
its field and not the record, and old records are deleted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.handlers.elasticsearch import checked_index
from llmlog.handlers.transport import Transport
from llmlog.semconv import FIELDS

__all__ = ["Plan", "SetupError", "distribution_of", "install"]

DISTRIBUTIONS = ("elasticsearch", "opensearch")
SCHEMAS = ("flat", "ecs")
_IGNORE_ABOVE = 1024
_HEADERS = {"Content-Type": "application/json"}


class SetupError(Exception):
    """The server did not do what it was asked; its words are the message."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be set up, for which server."""

    distribution: str = "elasticsearch"
    schema: str = "flat"
    """Whose names the formatter gives the fields."""
    index: str = "logs-llmlog-default"
    """As the handler has it: a data stream, or the name of dated indices, such as `llmlog-%Y.%m.%d`."""
    keep_days: int = 30

    def __post_init__(self) -> None:
        for name, value, known in (
            ("distribution", self.distribution, DISTRIBUTIONS),
            ("schema", self.schema, SCHEMAS),
        ):
            if value not in known:
                raise UsageValueError(f"{name} is {' or '.join(known)}, got {shown(value)}")
        if type(self.keep_days) is not int:
            raise UsageTypeError(f"keep_days is a whole number of days, got {shown(self.keep_days)}")
        if self.keep_days < 1:
            raise UsageValueError(f"keep_days is at least 1, got {self.keep_days}")
        checked_index(self.index)

    @property
    def is_dated(self) -> bool:
        """Whether each day has an index of its own, and not one data stream rolls over."""
        return "%" in self.index

    @property
    def pattern(self) -> str:
        """The names that the template is for."""
        if self.is_dated:
            return re.sub(r"(%.[^%]*)+", "*", self.index)
        kind, _, rest = self.index.partition("-")
        dataset, _, namespace = rest.partition("-")
        return f"{kind}-{dataset}-*" if namespace else f"{self.index}*"

    @property
    def name(self) -> str:
        """Of the template and of the policy."""
        return self.pattern.rstrip("*-.")

    def requests(self) -> dict[str, dict[str, Any]]:
        """`PUT /path` -> its body, in the order in which they have to be made."""
        if self.distribution == "opensearch":
            policy = {f"PUT /_plugins/_ism/policies/{self.name}": self._ism_policy()}
        else:
            policy = {f"PUT /_ilm/policy/{self.name}": self._ilm_policy()}
        return {**policy, f"PUT /_index_template/{self.name}": self._template()}

    def _template(self) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "codec": "best_compression",
            "mapping": {"ignore_malformed": True, "total_fields": {"limit": 1000}},
        }
        if self.distribution == "elasticsearch":
            settings["lifecycle"] = {"name": self.name}
        return {
            "index_patterns": [self.pattern],
            **({} if self.is_dated else {"data_stream": {}}),
            "priority": 500,  # above the servers' own templates for logs-*-*
            "template": {"settings": {"index": settings}, "mappings": self.mapping()},
            "_meta": {"description": f"Records of llmlog, schema {self.schema}"},
        }

    def mapping(self) -> dict[str, Any]:
        """The fields of `llmlog.semconv`, and what becomes of those that an application adds."""
        words = {"type": "keyword", "ignore_above": _IGNORE_ABOVE}
        rules: list[dict[str, Any]] = [{"texts": {"match_mapping_type": "string", "mapping": words}}]
        made: dict[str, Any] = {"dynamic": True, "date_detection": False, "dynamic_templates": rules}
        types = {name: words if type == "keyword" else {"type": type} for name, type in _types(self.schema).items()}
        if self.schema == "flat":
            # One field each, whatever they hold: objects of an application's are what makes mappings grow.
            flat = "flat_object" if self.distribution == "opensearch" else "flattened"
            rules.append({"objects": {"match_mapping_type": "object", "mapping": {"type": flat}}})
            types["timestamp"] = {"type": "alias", "path": "@timestamp"}
        return {**made, "properties": _nested(types)}

    def _ilm_policy(self) -> dict[str, Any]:
        phases: dict[str, Any] = {"delete": {"min_age": f"{self.keep_days}d", "actions": {"delete": {}}}}
        if not self.is_dated:
            rollover = {"max_age": "1d", "max_primary_shard_size": "50gb"}
            phases = {"hot": {"actions": {"rollover": rollover}}, **phases}
        return {"policy": {"phases": phases}}

    def _ism_policy(self) -> dict[str, Any]:
        age = "min_index_age" if self.is_dated else "min_rollover_age"
        rollover = {"rollover": {"min_index_age": "1d", "min_primary_shard_size": "50gb"}}
        hot = {
            "name": "hot",
            "actions": [] if self.is_dated else [rollover],
            "transitions": [{"state_name": "delete", "conditions": {age: f"{self.keep_days}d"}}],
        }
        return {
            "policy": {
                "description": f"Records of llmlog are kept for {self.keep_days} days",
                "default_state": "hot",
                "states": [hot, {"name": "delete", "actions": [{"delete": {}}], "transitions": []}],
                "ism_template": [{"index_patterns": [self.pattern], "priority": 500}],
            }
        }


def _types(schema: str) -> dict[str, str]:
    """Each field as the documents spell it, and its type."""
    if schema == "flat":
        named = {name: field.elasticsearch for name, field in FIELDS.items() if name != "timestamp"}
        return {"@timestamp": "date", **named, "unmapped": "text"}
    return {
        **{field.ecs: field.elasticsearch for field in FIELDS.values()},
        FIELDS["latency_ms"].ecs: "long",  # nanoseconds
        FIELDS["finish_reason"].ecs: "nested",
        f"{FIELDS['finish_reason'].ecs}.reason": "keyword",
        "llmlog.finish_reason": "keyword",
        "ecs.version": "keyword",
        "tags": "keyword",
        "unmapped": "text",
    }


def _nested(types: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Dotted names as objects within each other."""
    made: dict[str, Any] = {}
    for name, kind in sorted(types.items()):
        inside = made
        *parents, last = name.split(".")
        for parent in parents:
            inside = inside.setdefault(parent, {}).setdefault("properties", {})
        inside.setdefault(last, {}).update(kind)
    return made


def distribution_of(url: str, transport: Transport) -> str:
    """Whether Elasticsearch or OpenSearch answers there. SetupError, OSError: neither does."""
    answer = transport.request("GET", url + "/", b"", {})
    try:
        version = orjson.loads(answer.body)["version"]
        version["number"]
        return "opensearch" if version.get("distribution") == "opensearch" else "elasticsearch"
    except (ValueError, LookupError, TypeError, AttributeError):
        raise SetupError(f"no Elasticsearch or OpenSearch answers at {url}: {answer.words}") from None


def install(plan: Plan, url: str, transport: Transport) -> list[str]:
    """Make the requests; what could not be done although the rest could, for people. SetupError: nothing more is."""
    left_out = []
    for request, body in plan.requests().items():
        method, path = request.split(" ", 1)
        target = url + path
        if "/_ism/" in path:
            target += _seen_version(target, transport)
        answer = transport.request(method, target, orjson.dumps(body), _HEADERS)
        if answer.status in (200, 201):
            continue
        if "/_ism/" in path and answer.status in (400, 404, 405) and b"no handler found" in answer.body:
            left_out.append("this OpenSearch has no index state management: nothing rolls over or deletes old records")
        else:
            raise SetupError(f"{request}: {answer.words}")
    return left_out


def _seen_version(target: str, transport: Transport) -> str:
    """What OpenSearch wants to hear of a policy that is there, before it takes another one."""
    answer = transport.request("GET", target, b"", {})
    try:
        found = orjson.loads(answer.body)
        return f"?if_seq_no={found['_seq_no']:d}&if_primary_term={found['_primary_term']:d}"
    except (ValueError, LookupError, TypeError):
        return ""


def as_text(plan: Plan) -> str:
    """The requests as the consoles of Kibana and OpenSearch Dashboards read them."""
    return "\n".join(
        f"{request}\n{orjson.dumps(body, option=orjson.OPT_INDENT_2).decode()}\n"
        for request, body in plan.requests().items()
    )
