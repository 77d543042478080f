"""The package itself: what it exports, what it imports, who stands on whom."""

from __future__ import annotations

import ast
import pathlib
import subprocess
import sys

import pytest

import llmlog

ROOT = pathlib.Path(llmlog.__file__).parent

# A module imports only what stands above it, or an earlier sibling of its own folder.
LAYERS = [
    "_version", "exceptions", "faults", "locks", "settings", "semconv", "usage", "plain", "request_state", "context",
    "scopes", "propagation", "images", "encodings", "declarations", "request_bodies", "tokens", "rates",
    "source_lines", "price_tables", "costs", "answers", "growing", "providers.base", "providers.openai",
    "providers.responses",
    "providers.completions", "providers.embeddings", "providers.transcription", "providers.anthropic",
    "providers.google", "providers.google_embeddings", "providers.interactions", "providers.cohere",
    "providers.cohere_v1", "providers.cohere_embeddings", "providers.mistral", "providers.ollama",
    "providers.ollama_embeddings", "providers.watsonx", "providers.bedrock", "providers.bedrock_invoke",
    "providers.bedrock_agent", "providers.litellm", "providers.langchain", "providers.text", "providers", "wire",
    "redaction.names", "redaction.places", "redaction.escapes", "redaction.addresses", "redaction.accounts",
    "redaction.numbers",
    "redaction.phones", "redaction.births", "redaction.ids", "redaction.pairs", "redaction.secrets", "redaction.signs",
    "redaction.words", "redaction.gate", "redaction.detectors", "redaction.plans", "redaction.finder",
    "redaction.options", "redaction.ways", "redaction.engine", "redaction.configured", "redaction.analysers",
    "redaction", "worker", "records",
    "prompts", "captures", "figures", "summary", "recovery", "journal", "budgets", "lifecycle", "calls", "drivers",
    "streams", "clients.sending", "clients.bodies", "clients.stainless", "clients.anthropic", "clients.bedrock",
    "clients.google", "clients.openai", "clients", "events", "metrics", "config", "filters",
    "formatters.contents", "formatters.fitting", "formatters.names", "formatters.flat", "formatters.otel",
    "formatters.ecs", "formatters.json", "formatters.console", "formatters", "executors",
    "integrations.structlog", "integrations.httpx", "integrations.requests", "integrations.aiohttp",
    "integrations.celery", "integrations.langchain_words", "integrations.langchain", "integrations.litellm",
    "integrations.langfuse", "integrations",
    "handlers.backend", "handlers.segments", "handlers.stamps", "handlers.spool", "handlers.dead_letters",
    "handlers.outages", "handlers.delivery_reports", "handlers.batches", "handlers.shipping",
    "handlers.shipped", "handlers.jsonlines", "handlers.transport", "handlers.mending", "handlers.loki_refusals",
    "handlers.loki_stored", "handlers.loki", "handlers.elasticsearch", "handlers.elasticsearch_setup", "handlers.otlp",
    "handlers",
    "middleware.edges", "middleware.requests", "middleware.routes", "middleware.asgi", "middleware.wsgi", "middleware",
    "testing.scripts", "testing.wire", "testing.openai", "testing.anthropic", "testing.chains", "testing.answering",
    "testing.servers", "testing.captured", "testing.canaries", "testing.clocks",
    "testing.backends", "testing.transports", "testing.plugin", "testing",
    "usage_exports", "reconciliation", "cli.terminal", "cli.objects", "cli.lines", "cli.files", "cli.runs",
    "cli.calls", "cli.recost", "cli.reconcile", "cli.recover", "cli.redact", "cli.setup", "cli", "__main__",
]  # fmt: skip
DOORS = {
    ("calls", "streams"),  # Call.stream() is the door to the drivers that stand on it
    ("testing.scripts", "testing.openai"),  # as are the methods of a script to its wire forms
    ("testing.scripts", "testing.anthropic"),
}


def name_of(path: pathlib.Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: pathlib.Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "llmlog":
            inside = node.module[len("llmlog.") :]
            for alias in node.names:
                whole = f"{inside}.{alias.name}".lstrip(".")
                found.add(whole if whole in LAYERS else inside)
        elif isinstance(node, ast.Import):
            found |= {alias.name[len("llmlog.") :] for alias in node.names if alias.name.startswith("llmlog.")}
    return found


def test_a_module_imports_only_what_stands_above_it() -> None:
    """Data flows one way, and so do imports."""
    wrong = []
    for path in ROOT.rglob("*.py"):
        name = name_of(path)
        if name:
            assert name in LAYERS, f"{name} has no place in the layers yet"
            wrong += [
                (name, other)
                for other in imports_of(path)
                if LAYERS.index(other) >= LAYERS.index(name) and (name, other) not in DOORS
            ]
    assert wrong == []


def test_all_is_the_public_api() -> None:
    """__all__ names what is there, wherever its home is, and what a type checker sees is the same."""
    assert len(set(llmlog.__all__)) == len(llmlog.__all__)
    for name in llmlog.__all__:
        assert getattr(llmlog, name) is not None
        assert name in dir(llmlog)
    tree = ast.parse((ROOT / "__init__.py").read_text())
    seen = {
        (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("llmlog.")
        for alias in node.names
    }
    homes = {(f"llmlog.{home}", name) for home, names in llmlog._HOMES.items() for name in names}
    assert seen == {*homes, ("llmlog._version", "__version__")}
    assert {name for _, name in seen} == set(llmlog.__all__)


def test_what_is_not_there() -> None:
    """A name that does not exist is an AttributeError, as in any module."""
    with pytest.raises(AttributeError, match="nothing"):
        llmlog.nothing
    assert llmlog.middleware.ASGIMiddleware is not None


def test_integrations_are_found_by_their_path() -> None:
    """`import llmlog` is enough for `llmlog.integrations.httpx`, as the documentation writes it."""
    shown = python("import llmlog; print(llmlog.integrations.httpx.event_hooks.__module__)")
    assert shown == "llmlog.integrations.httpx"
    modules = {path.stem for path in (ROOT / "integrations").glob("*.py")} - {"__init__", "langchain_words"}
    assert llmlog.integrations._MODULES == modules <= set(dir(llmlog.integrations))
    with pytest.raises(AttributeError, match="nothing"):
        llmlog.integrations.nothing


def python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


def test_import_brings_no_third_party() -> None:
    """`import llmlog` imports the standard library and itself."""
    code = (
        "import sys; before = set(sys.modules); import llmlog; "
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before} "
        "- set(sys.stdlib_module_names) - {'llmlog'}))"
    )
    assert python(code) == ""


def test_import_touches_no_logger_and_starts_no_thread() -> None:
    """Nothing of the application's logging changes by importing."""
    code = (
        "import logging, threading; import llmlog; "
        "print(list(logging.root.manager.loggerDict), logging.root.handlers, threading.active_count())"
    )
    assert python(code) == "[] [] 1"


@pytest.mark.parametrize(
    "path", ["llmlog.formatters.JSONFormatter", "llmlog.formatters.ConsoleFormatter", "llmlog.filters.ContextFilter",
             "llmlog.filters.RedactFilter", "llmlog.filters.Options", "llmlog.handlers.JSONLinesHandler",
             "llmlog.handlers.LokiHandler", "llmlog.handlers.ElasticsearchHandler", "llmlog.handlers.OTLPHandler",
             "llmlog.middleware.ASGIMiddleware", "llmlog.middleware.WSGIMiddleware"],
)  # fmt: skip
def test_dotted_paths(path: str) -> None:
    """The classes that dictConfig names are where the documentation says."""
    import logging.config

    assert logging.config.BaseConfigurator({}).resolve(path).__name__ == path.rpartition(".")[2]
