# Two commands matter: `make run` and `make test`. Both set up what they need; nothing else is needed than
# Python 3.11+ and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Most slow tests wait for speech: two files at a time keep two cores busy.
PARALLEL := -n 2 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help run test check soak fmt node-test container-test benchmark peers-benchmark lock audit sbom wheel clean

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 17

run: $(VENV)/.run ## Run the gateway with the demo model and a synthetic conversation.
	$(BIN)/care-voice demo

test: $(VENV)/.dev $(VENV)/integrations/.done ## Everything that must be green: format, lint, types, all tests.
	@scripts/test-packages.sh
	$(BIN)/ruff format --check gateway tests benchmarks
	$(BIN)/ruff check gateway tests benchmarks
	$(BIN)/mypy
	$(BIN)/bandit -q -c pyproject.toml -r gateway
	$(BIN)/pytest $(PARALLEL)

soak: $(VENV)/.dev ## The faults again, longer and more of everything (about an hour; root for network and disk).
	SOAK=1 $(BIN)/pytest --timeout 1800 tests/faults tests/test_resume.py tests/fuzz

node-test: $(VENV)/.dev ## The vendors' Node SDKs against a gateway (needs Node.js 20 and npm).
	cd tests/peers/node && npm ci --no-fund --no-audit
	$(BIN)/pytest tests/peers/test_node.py

container-test: $(VENV)/.dev ## Build and run the container here, and check deploy/ with every tool (root, minutes).
	scripts/deploy-tools.sh $(PYTHON) $(VENV)/deploy-tools
	CONTAINER_TEST=1 $(BIN)/pytest --timeout 1800 tests/deploy

check: $(VENV)/.dev ## The quick part of `make test`: no slow and no browser tests.
	$(BIN)/ruff format --check gateway tests benchmarks
	$(BIN)/ruff check gateway tests benchmarks
	$(BIN)/mypy
	$(BIN)/pytest $(PARALLEL) -m "not slow and not browser"

fmt: $(VENV)/.dev ## Format the code.
	$(BIN)/ruff format gateway tests benchmarks
	$(BIN)/ruff check --fix gateway tests benchmarks

benchmark: $(VENV)/.dev ## Accuracy and latency of the demo model on this machine (minutes).
	$(BIN)/python -m benchmarks.streaming

peers-benchmark: $(VENV)/.dev ## Speakers that this and other Whisper gateways hold on this machine (an hour).
	$(BIN)/python -m benchmarks.peers

lock: $(VENV)/.dev ## Resolve the dependencies again, with hashes.
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-emit-find-links --no-header pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-emit-find-links --no-header pyproject.toml --group dev -o requirements-dev.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-emit-find-links --no-header tests/peers/integrations.in -o tests/peers/integrations.lock
	for name in deploy/cuda deploy/build tests/deploy/tools; do \
		$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
			--no-emit-find-links --no-header -c requirements-dev.lock $$name.in -o $$name.lock; done

audit: $(VENV)/.dev ## Look for known vulnerabilities in the locked dependencies. Needs the network.
	$(BIN)/pip-audit --strict --disable-pip --require-hashes -r requirements.lock

sbom: $(VENV)/.dev ## Write dist/sbom.json: what the gateway is made of (CycloneDX), from the lock file.
	@mkdir -p dist
	$(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --mc-type application \
		--output-reproducible --of JSON -o dist/sbom.json 2>/dev/null

wheel: $(VENV)/.dev ## Build dist/care_voice-*.whl, pages and demo model inside.
	rm -rf dist && $(BIN)/python -m hatchling build -t wheel
	$(MAKE) --no-print-directory sbom

clean: ## Remove what was built.
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.run: requirements.lock pyproject.toml
	scripts/setup.sh $(PYTHON) $(VENV) requirements.lock
	@touch $@

# LiveKit's and Pipecat's agents, for the examples of docs/integrations.md: apart, since they pin much.
$(VENV)/integrations/.done: tests/peers/integrations.lock | $(VENV)/.dev
	scripts/setup.sh $(PYTHON) $(VENV)/integrations tests/peers/integrations.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock tests/peers/whisper-live.lock pyproject.toml
	scripts/setup.sh $(PYTHON) $(VENV) requirements-dev.lock
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --require-hashes -r tests/peers/whisper-live.lock
	@touch $@ $(VENV)/.run
