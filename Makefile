# Everything here sets itself up: a Python >= 3.11 and make are all a machine needs. Nothing outside this folder changes.

VENV ?= .venv
BIN := $(VENV)/bin
USABLE := import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))

# Examples with a demo that runs by itself.
DEMOS := peers mesh tree capabilities

# Security profile of the demos: gated, overlay or strict-overlay; empty for what the files say.
PROFILE ?=

# Random meshes that `make sim` breaks and mends.
SEEDS ?= 2000

# Each transport with and without batches, for `make test-wire`, and the tests that run over a wire.
WIRES ?= websockets/true websockets/false picows/true picows/false
WIRE_TESTS ?= tests/e2e tests/interop

# Where `make bench…` leaves its figures: benchmarks/results holds those the docs speak of.
RESULTS ?= .bench

# For `make fuzz`: minutes for each target (10 if not said), and which of them (all when empty).
FUZZ ?=

# For `make fuzz`, `make chaos` and `make sim`: how long; and the seed of a chaos run, a fresh one when empty.
MINUTES ?=
SEED ?=

# The first usable Python; expanded only where an environment has to be made.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python; do \
	if $$name -c '$(USABLE)' >/dev/null 2>&1; then command -v $$name; break; fi; done)

.DEFAULT_GOAL := help
.PHONY: help setup check test test-core test-wire sim fuzz bench bench-load bench-scale bench-messages bench-security bench-startup bench-store chaos demo format clean

help:
	@echo 'make demo            the examples, each from start to end'
	@echo 'make test            the whole suite'
	@echo 'make test-core       the pure core alone, in seconds'
	@echo 'make test-wire       real processes over each transport, with and without batches: ten minutes'
	@echo 'make sim             more random meshes than `make test` runs; SEEDS=5000 says how many, MINUTES=10 how long'
	@echo 'make fuzz            what reads bytes of others, guided by coverage; MINUTES=10 each, FUZZ="token config"'
	@echo 'make chaos           real processes, killed, stopped and cut off: a minute; MINUTES=10 SEED=17'
	@echo 'make bench           how fast it is beside NATS, gRPC, bare TCP and Naylence: six minutes at most'
	@echo 'make bench-scale     very many agents, addresses and clients: three minutes'
	@echo 'make bench-startup   what a whole process costs, from its start to its end: half a minute'
	@echo 'make bench-security  what each security profile costs: four minutes'
	@echo 'make bench-load      10,000 calls of 1,000 clients in flight: 15 minutes'
	@echo 'make bench-messages  messages that are kept until somebody else has them: a minute'
	@echo 'make bench-store     what it costs to keep messages on the disk: half a minute'
	@echo 'make check           lint, format, types, import rules'
	@echo 'make format          format, and mend what a tool can'
	@echo 'make setup           make $(VENV) with all of it inside (the others do so by themselves)'
	@echo 'make clean           remove what make made'
	@echo
	@echo 'Figures go to $(RESULTS) as well; RESULTS=benchmarks/results puts them in place of those of the docs.'

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	@python='$(PYTHON)'; \
	if ! "$${python:-none}" -c '$(USABLE)' >/dev/null 2>&1; then \
		echo 'make: no Python >= 3.11 with venv found; install one, or say make PYTHON=/path/to/python' >&2; exit 1; \
	fi; \
	if ! $(BIN)/python -c '$(USABLE)' >/dev/null 2>&1; then \
		echo "setting up $(VENV) with $$python, once"; "$$python" -m venv --clear '$(VENV)'; \
	fi
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

check: setup
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --no-cache

test: setup
	$(BIN)/python -m pytest

test-wire: setup
	@for wire in $(WIRES); do \
		echo "transport $${wire%/*}, batch $${wire#*/}"; \
		FAME_TRANSPORT="$${wire%/*}" FAME_BATCH="$${wire#*/}" $(BIN)/python -m pytest -q $(WIRE_TESTS) || exit; \
	done

test-core: setup
	$(BIN)/python -m pytest tests/core

sim: setup
	FAME_SIM_SEEDS='$(SEEDS)' FAME_SIM_MINUTES='$(MINUTES)' $(BIN)/python -m pytest -q tests/sim/test_mesh.py tests/sim/test_messages.py -k 'random or lost'

fuzz: setup
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --quiet --editable '.[fuzz]'
	$(BIN)/python tests/fuzz/fuzz.py --minutes '$(or $(MINUTES),10)' $(FUZZ)

chaos: setup
	$(BIN)/python tests/chaos/chaos.py --minutes '$(or $(MINUTES),1)' $(if $(SEED),--seed '$(SEED)') --output '$(RESULTS)/chaos.json'

bench-startup: setup
	$(BIN)/python benchmarks/bench_startup.py --output '$(RESULTS)/startup.json'

bench: setup
	$(BIN)/python benchmarks/bench_speed.py --output '$(RESULTS)/speed.json'
	$(BIN)/python benchmarks/bench_startup.py --output '$(RESULTS)/startup.json'

bench-scale: setup
	$(BIN)/python benchmarks/bench_scale.py --output '$(RESULTS)/scale.json'

bench-security: setup
	$(BIN)/python benchmarks/bench_security.py --output '$(RESULTS)/security.json'

bench-load: setup
	$(BIN)/python benchmarks/bench_load.py --output '$(RESULTS)/load.json'

bench-messages: setup
	$(BIN)/python benchmarks/bench_messages.py --output '$(RESULTS)/messages.json'

bench-store: setup
	$(BIN)/python benchmarks/bench_store.py --output '$(RESULTS)/store.json'

demo: setup
	@for name in $(DEMOS); do \
		PROFILE='$(PROFILE)' $(MAKE) --no-print-directory -C "examples/$$name" demo PYTHON='$(abspath $(BIN))/python' || exit; \
	done

format: setup
	$(BIN)/python -m ruff format .
	$(BIN)/python -m ruff check --fix .

clean:
	rm -rf '$(VENV)' .venv-naylence .venv-bench .bench .fuzz .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage htmlcov
	find . -name __pycache__ -prune -exec rm -rf {} +
