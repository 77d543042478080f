"""What is installed in Elasticsearch and OpenSearch, over a transport that plays them."""

from __future__ import annotations

import fnmatch
import json
from typing import Any

import pytest

from llmlog.handlers.elasticsearch_setup import Plan, SetupError, distribution_of, install
from llmlog.semconv import FIELDS
from llmlog.testing import FakeTransport

URL = "http://node:9200"


def properties(schema: str, distribution: str = "elasticsearch") -> dict[str, Any]:
    made = Plan(distribution, schema).mapping()["properties"]
    return dict(made)


def found(properties: dict[str, Any], name: str) -> Any:
    """The mapping of a dotted name."""
    *parents, last = name.split(".")
    for parent in parents:
        properties = properties[parent]["properties"]
    return properties[last]


@pytest.mark.parametrize("schema", ["flat", "ecs"])
def test_every_field_has_its_type(schema: str) -> None:
    """As the table has it, or where a schema has another unit or shape as that one says."""
    mapped = properties(schema)
    different = {"flat": {"timestamp": "alias"}, "ecs": {"latency_ms": "long", "finish_reason": "nested"}}[schema]
    for name, field in FIELDS.items():
        its = found(mapped, name if schema == "flat" else field.ecs)
        assert its["type"] == different.get(name, field.elasticsearch), name
        assert its.get("ignore_above") == (1024 if its["type"] == "keyword" else None), name
    assert mapped["@timestamp"] == {"type": "date"}
    assert mapped["unmapped"] == {"type": "text"}


@pytest.mark.parametrize(("distribution", "flat"), [("elasticsearch", "flattened"), ("opensearch", "flat_object")])
def test_objects_of_an_applications_do_not_make_the_mapping_grow(distribution: str, flat: str) -> None:
    """Each is one field, and texts are keywords of bounded length."""
    rules = {name: rule for one in Plan(distribution).mapping()["dynamic_templates"] for name, rule in one.items()}
    assert rules["objects"] == {"match_mapping_type": "object", "mapping": {"type": flat}}
    assert rules["texts"]["mapping"] == {"type": "keyword", "ignore_above": 1024}
    # ECS' documents have dotted names, and no objects of an application's.
    assert len(Plan(distribution, "ecs").mapping()["dynamic_templates"]) == 1


@pytest.mark.parametrize(
    ("index", "pattern", "dated"),
    [
        ("logs-llmlog-default", "logs-llmlog-*", False),
        ("logs-shop.llm-prod-eu", "logs-shop.llm-*", False),
        ("llm", "llm*", False),
        ("logs-llm", "logs-llm*", False),
        ("llmlog-%Y.%m.%d", "llmlog-*", True),
        ("a-%Y-b-%m.c", "a-*", True),
    ],
)
def test_patterns(index: str, pattern: str, dated: bool) -> None:
    """The template is for the handler's index and for those beside it; only a stream rolls over."""
    plan = Plan(index=index)
    assert (plan.pattern, plan.is_dated) == (pattern, dated)
    assert fnmatch.fnmatch(index, pattern)
    policy, template = plan.requests().values()
    assert template["index_patterns"] == [pattern]
    assert ("data_stream" in template) is not dated
    assert ("rollover" in json.dumps(policy)) is not dated
    policy, _ = Plan("opensearch", index=index, keep_days=7).requests().values()
    assert policy["policy"]["ism_template"][0]["index_patterns"] == [pattern]
    assert ("rollover" in json.dumps(policy["policy"]["states"][0]["actions"])) is not dated
    assert '"7d"' in json.dumps(policy)


def test_elasticsearch() -> None:
    """A lifecycle policy, and then the template that names it."""
    fake = FakeTransport((200, '{"acknowledged":true}'))
    assert install(Plan(keep_days=7), URL, fake) == []
    assert [(sent.method, sent.url) for sent in fake.requests] == [
        ("PUT", f"{URL}/_ilm/policy/logs-llmlog"), ("PUT", f"{URL}/_index_template/logs-llmlog"),
    ]  # fmt: skip
    policy, template = (json.loads(sent.body) for sent in fake.requests)
    assert policy["policy"]["phases"]["delete"]["min_age"] == "7d"
    assert template["template"]["settings"]["index"]["lifecycle"] == {"name": "logs-llmlog"}


def test_opensearch_has_a_policy_already() -> None:
    """It takes another one only from who has seen the first."""

    def server(sent: Any) -> Any:
        if sent.method == "GET":
            return 200, '{"_id":"logs-llmlog","_seq_no":7,"_primary_term":2,"policy":{}}'
        return (200, "{}") if "_ism" not in sent.url or sent.url.endswith("?if_seq_no=7&if_primary_term=2") else 409

    fake = FakeTransport(server)
    assert install(Plan("opensearch"), URL, fake) == []
    assert [sent.method for sent in fake.requests] == ["GET", "PUT", "PUT"]


def test_opensearch_without_a_state_management() -> None:
    """The template is installed all the same, and what is missing is told."""

    def server(sent: Any) -> Any:
        return (400, '{"error":"no handler found for uri [/_plugins] and method [PUT]"}') if "_ism" in sent.url else 200

    fake = FakeTransport(server)
    [told] = install(Plan("opensearch"), URL, fake)
    assert "no index state management" in told
    assert fake.requests[-1].url == f"{URL}/_index_template/logs-llmlog"


@pytest.mark.parametrize("plan", [Plan(), Plan("opensearch")])
def test_a_server_that_refuses(plan: Plan) -> None:
    """Its words are told, and nothing more is tried."""
    fake = FakeTransport((403, "security_exception: no"))
    with pytest.raises(SetupError, match=r"PUT /_.*403: security_exception: no"):
        install(plan, URL, fake)
    assert sum(sent.method == "PUT" for sent in fake.requests) == 1


@pytest.mark.parametrize(
    ("version", "distribution"),
    [({"distribution": "opensearch", "number": "2.19.1"}, "opensearch"), ({"number": "8.17.0"}, "elasticsearch")],
)
def test_which_server_it_is(version: Any, distribution: str) -> None:
    """It is asked."""
    assert distribution_of(URL, FakeTransport((200, json.dumps({"version": version})))) == distribution


@pytest.mark.parametrize("answer", [(200, "<html>"), (200, "[]"), (200, "{}"), (401, "{}"), (502, "")])
def test_which_server_it_is_not(answer: Any) -> None:
    """Something else answers there, or does not let us in."""
    with pytest.raises(SetupError, match="no Elasticsearch or OpenSearch answers at http://node:9200"):
        distribution_of(URL, FakeTransport(answer))


@pytest.mark.parametrize(
    ("options", "error", "shown"),
    [
        ({"distribution": "solr"}, ValueError, "'solr'"),
        ({"schema": "otel"}, ValueError, "'otel'"),
        ({"keep_days": 0}, ValueError, "0"),
        ({"keep_days": True}, TypeError, "True"),
        ({"index": "A"}, ValueError, "'A'"),
    ],
)
def test_plans_without_a_meaning(options: dict[str, Any], error: type[Exception], shown: str) -> None:
    """They are refused at the call."""
    with pytest.raises(error, match=shown):
        Plan(**options)
