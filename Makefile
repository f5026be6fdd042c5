# The same targets for a person, for .ci/run and for .github/workflows/ci.yml.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# A config of your own, which git ignores, comes before the sample.
CONFIG ?= $(firstword $(wildcard config/config.local.yml) config/config.yml)
CLIENTS := $(abspath $(VENV))/clients
JOBS   ?= 4
SECONDS ?= 20
# The server is started some hundred times: without its bytecode each start compiles all of it.
TESTING := PATH="$(CLIENTS):$$PATH" PYTHONDONTWRITEBYTECODE= $(BIN)/python
PYTEST := $(TESTING) -m pytest -n $(JOBS)
SERVING := tests/api tests/auth tests/conformance tests/proxies tests/tls tests/workers tests/test_leaks.py tests/test_server.py tests/test_tls.py

.PHONY: serve test test-all test-ordinary test-versions coverage gc-model soak fuzz clients conformance conformance-table architecture settings sizing bench bench-report dist constraints hooks check fmt image clean help

help: ## show the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

serve: $(VENV)/.run ## serve config/config.local.yml if it is there, else config/config.yml: 127.0.0.1:5000, data in ./storage
	@$(BIN)/pyregistry serve $(CONFIG)

test: $(VENV)/.dev ## run the tests but the slow ones, in JOBS=4 processes; e.g. ARGS='-n 0 -x tests/gc'
	$(PYTEST) -m "not slow" $(ARGS)

test-all: $(VENV)/.dev ## run all tests; those that `make test` leaves out: ARGS='-m slow'
	$(PYTEST) $(ARGS)

coverage: $(VENV)/.dev ## run what `make test` runs, and fail where it reaches too few lines and branches
	rm -rf .coverage
	mkdir -m 1777 .coverage
	$(TESTING) -m coverage run -m pytest -n $(JOBS) -m "not slow" $(ARGS)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

test-versions: $(VENV)/.dev ## run a quick part on each Python, with lowest and newest dependencies; e.g. PYTHONS=3.13 DEPENDENCIES=floors
	PATH="$(CLIENTS):$$PATH" JOBS="$(JOBS)" ARGS="$(ARGS)" PYTHONS="$(PYTHONS)" DEPENDENCIES="$(DEPENDENCIES)" $(BIN)/python -m tests.dependencies.matrix

test-ordinary: $(VENV)/.dev ## run the tests of what serves requests without the fast path (docs/decisions/0049)
	PYREGISTRY_TEST_FAST_PATH=0 $(PYTEST) $(ARGS) $(SERVING)

gc-model: $(VENV)/.dev ## check the protocol of the garbage collection exhaustively (two minutes)
	$(BIN)/python -m tests.gc.model $(ARGS)

soak: $(VENV)/.dev ## clients push, delete and mount while garbage is collected (five minutes)
	PATH="$(CLIENTS):$$PATH" $(BIN)/python -m tests.soak $(ARGS)

fuzz: $(VENV)/.fuzz ## fuzz the parsers, guided by coverage, for SECONDS=20 each; e.g. SECONDS=120 ARGS='--keep manifest'
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(ARGS)

clients: $(VENV)/.dev ## build the programs for the tests that are written in Go, take those for Node from npm
	$(BIN)/python -m tests.clients.install $(CLIENTS)

conformance: $(VENV)/.dev ## run the OCI's own program (needs Go)
	$(BIN)/python -m tests.conformance.official $(ARGS)

conformance-table: $(VENV)/.dev ## write which client is tested with what
	$(BIN)/python -m tests.client_table --write

architecture: $(VENV)/.dev ## write the rooms of docs/architecture.md and their picture
	$(BIN)/python -m tests.architecture --write

settings: $(VENV)/.dev ## write docs/settings.md from the structs of the config
	$(BIN)/python -m tests.settings --write

bench: $(VENV)/.bench ## measure against the other registries (half an hour; needs Go, wrk, docker.io and root), e.g. ARGS=--quick
	$(BIN)/python -m bench run $(ARGS)
	$(BIN)/python -m bench report

bench-report: $(VENV)/.bench ## write the saved results into docs/performance.md
	$(BIN)/python -m bench report

sizing: $(VENV)/.dev ## measure the figures of docs/sizing.md (half a minute); ARGS=--write writes them
	$(BIN)/python -m bench.sizing $(ARGS)

constraints: $(VENV)/.dev ## write constraints/: the lowest versions of pyproject.toml, and the newest ones for the image (needs its Python)
	$(BIN)/python -m tests.dependencies

dist: $(VENV)/.dev ## build the source package and the wheel into ./dist, the same bytes from the same commit
	$(BIN)/python -m tests.packages

check: $(VENV)/.dev ## format, lint, types, import layers, words
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.words

hooks: $(VENV)/.dev ## let git check each commit, with the hooks of .pre-commit-config.yaml
	$(BIN)/pre-commit install

fmt: $(VENV)/.dev ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

image: ## build the container image, with labels and an SBOM, e.g. ENGINE=docker BASE=python:3.13.16-slim-trixie@sha256:...
	@.ci/image

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.run

$(VENV)/.fuzz: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	@touch $@ $(VENV)/.run

$(VENV)/.bench: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[bench]'
	@touch $@ $(VENV)/.run
