# Everything here sets itself up: Python >= 3.11 and make are all a machine needs.

SHELL := /bin/bash
VENV ?= .venv
BIN := $(VENV)/bin
FOUND := $(firstword $(foreach name,python3 python3.13 python3.12 python3.11 python,$(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
PYTHON ?= $(FOUND)

.DEFAULT_GOAL := help
.PHONY: help setup check test test-core demo format clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready ## make .venv with everything in it (the others do it by themselves)

$(VENV)/.ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python >= 3.11 found; install one or say make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

check: setup ## lint, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: setup ## the whole suite
	$(BIN)/python -m pytest

test-core: setup ## the pure core alone, in seconds
	$(BIN)/python -m pytest tests/core

demo: setup ## two sentinels, two agents, one client: the example, start to end
	@$(MAKE) --no-print-directory -C examples/peers demo FAME=$(abspath $(BIN))/fame PYTHON=$(abspath $(BIN))/python

format: setup ## format and mend what a tool can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove what make made
	rm -rf $(VENV) .venv-naylence .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage htmlcov
	find . -name __pycache__ -prune -exec rm -rf {} +
