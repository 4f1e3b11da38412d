# make demo       train a tokenizer on bundled photographs, evaluate it, write tokens and a report
# make test       linters, types, layers and the whole test suite
# make test-fast  the tests that are quick, of every module
# make bench      every benchmark beside its rivals, for docs/benchmarks.md
# All set themselves up: a virtual environment in .venv with the pinned packages.

PYTHON ?= python3
VENV   ?= .venv
RUN    ?= runs/demo
JOBS   ?= 2

BIN     := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# Tests that were compiled once are not again, whatever the shell says of bytecode.
PYTEST  := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) --dist worksteal
SETUP   := pyproject.toml constraints.txt $(wildcard src/vocabula/functional/kernels/*)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo bench test suite test-fast sanitize lint type layers check format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' Makefile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "vocabula needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: $(SETUP) | $(BIN)/python
	$(INSTALL) -e .
	@touch $@

$(VENV)/.bench: $(VENV)/.runtime
	$(INSTALL) -e '.[bench]'
	@touch $@

$(VENV)/.development: $(VENV)/.runtime
	$(INSTALL) -e '.[dev]'
	@touch $@

demo: $(VENV)/.runtime ## train on bundled photographs (about 3 minutes on two cores)
	$(BIN)/vocabula train sample:photos --preset photos --out $(RUN) --overwrite
	@echo; echo "The photograph that training never saw:"
	$(BIN)/vocabula evaluate $(RUN) sample:photos/test
	@echo; echo "The photographs it was trained on:"
	$(BIN)/vocabula evaluate $(RUN) sample:photos/train
	$(BIN)/vocabula encode $(RUN) sample:photos -o $(RUN)/tokens.parquet --overwrite
	$(BIN)/vocabula report $(RUN) sample:photos/test --overwrite
	@echo
	@echo "Done. Look at:"
	@echo "  $(RUN)/report.html       reconstructions, codewords, usage and training curves; open it in a browser"
	@echo "  $(RUN)/tokens.parquet    the training photographs as integer codes"
	@echo "  $(RUN)                   the trained tokenizer: vocabula.load('$(RUN)')"

bench: $(VENV)/.bench ## time everything beside its rivals (about 25 minutes), rewrite docs/benchmarks.md
	$(BIN)/python benchmarks/suite.py

# Types take half a minute on one core where nothing is cached; the tests have the others meanwhile.
test: lint layers ## lint, types, layers and all tests
	@$(MAKE) --no-print-directory --jobs=2 type suite

suite: $(VENV)/.development
	$(PYTEST)

test-fast: $(VENV)/.development ## the quick tests, of every module (at most 90 seconds on two cores)
	$(PYTEST) -m "not slow"

sanitize: $(VENV)/.development ## all tests with the kernels under AddressSanitizer and UBSan
	PYTHON=$(BIN)/python tests/sanitize.sh -q

check: lint type layers ## everything in `make test` but the tests

lint: $(VENV)/.development ## ruff
	$(BIN)/ruff check
	$(BIN)/ruff format --check

type: $(VENV)/.development ## mypy
	$(BIN)/mypy

layers: $(VENV)/.development ## import-linter
	$(BIN)/lint-imports

format: $(VENV)/.development ## rewrite the code in the project's format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## remove the environment and the caches, never the runs
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
