# Each target sets itself up: python3 (3.11 or later) and make are all that a machine needs to have.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
comma := ,

.PHONY: demo test lowest litellm integrations backends soak soak-delivery check format bench clean

demo: $(VENV)/.demo
	$(BIN)/python examples/demo.py

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(ARGS)

# The unit tests with the oldest dependencies that setup.cfg allows.
lowest: $(VENV)-lowest/.dev
	$(VENV)-lowest/bin/python -m pytest tests/unit $(ARGS)

# The tests that need LiteLLM, which cannot be installed beside the newest openai.
litellm: $(VENV)-litellm/.dev
	LLMLOG_REQUIRE="$(if $(LLMLOG_REQUIRE),$(LLMLOG_REQUIRE)$(comma))litellm" \
		$(VENV)-litellm/bin/python -m pytest tests/integration/test_litellm.py \
		tests/integration/test_replay_litellm.py tests/unit/test_litellm_chunks.py \
		tests/integration/frameworks/test_litellm_logger.py \
		tests/integration/frameworks/test_framework_examples.py $(ARGS)

# The tests with the frameworks that llmlog works with, and that its other tests do without.
integrations: $(VENV)-integrations/.dev
	LLMLOG_REQUIRE="$(if $(LLMLOG_REQUIRE),$(LLMLOG_REQUIRE)$(comma))integrations" \
		$(VENV)-integrations/bin/python -m pytest tests/integration/frameworks $(ARGS)

# Loki, OpenSearch, an OpenTelemetry Collector and syslog-ng, for tests/backends: about six minutes, once. Some of them:
# make backends ARGS="opensearch loki". Nothing else needs them.
backends:
	$(PYTHON) tests/backends/install.py $(ARGS)

# Calls with every ending in processes that are killed: about a minute, and ten at the most.
soak: $(VENV)/.dev
	$(BIN)/python tests/soak.py $(ARGS)

# Delivery into the real Loki and OpenSearch (make backends) while they, and the
# processes that log, are killed: some six minutes.
soak-delivery: $(VENV)/.dev
	$(BIN)/python tests/soak_delivery.py $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev
	for file in benchmarks/bench_*.py benchmarks/redaction.py benchmarks/delivery.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean:
	rm -rf $(VENV) .demo build dist *.egg-info

$(VENV)/.demo: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "llmlog needs Python 3.11 or later; this is " + sys.version)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo]'
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

$(VENV)-lowest/.dev: setup.cfg pyproject.toml
	test -x $(VENV)-lowest/bin/python || $(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	$(VENV)-lowest/bin/python -m pip install --quiet --disable-pip-version-check \
		$$($(PYTHON) -c 'import configparser; c = configparser.ConfigParser(); c.read("setup.cfg"); \
		lines = c["options"]["install_requires"].split("\n"); \
		print(*[r.partition(";")[0].replace(">=", "==") for r in lines if r.strip()])')
	touch $@

$(VENV)-litellm/.dev: setup.cfg pyproject.toml
	test -x $(VENV)-litellm/bin/python || $(PYTHON) -m venv $(VENV)-litellm
	$(VENV)-litellm/bin/python -m pip install --quiet --disable-pip-version-check -e '.[test,litellm]' 'litellm[proxy]'
	touch $@

$(VENV)-integrations/.dev: setup.cfg pyproject.toml
	test -x $(VENV)-integrations/bin/python || $(PYTHON) -m venv $(VENV)-integrations
	$(VENV)-integrations/bin/python -m pip install --quiet --disable-pip-version-check -e '.[test,test-integrations]'
	touch $@
