# The targets of the examples that are a fabric.yaml and a demo.py; each Makefile includes this one.
# BIN is the folder of `fame` and `python`, with a slash: the repository's own environment if it is there, else the PATH.
BIN ?= $(if $(wildcard ../../.venv/bin/fame),$(abspath ../../.venv/bin)/)
FAME = $(BIN)fame
PYTHON = $(BIN)$(if $(BIN),python,python3)

.PHONY: help setup start stop logs demo

help:
	@echo "make setup   once: make the repository's environment, with fame in it"
	@echo "make demo    the whole example from start to stop, on free ports"
	@echo "make start   start all nodes"
	@echo "make logs    follow what they say"
	@echo "make stop    stop them"

setup:
	$(MAKE) -C ../.. setup

start:
	$(FAME) up -d fabric.yaml

logs:
	$(FAME) logs -f --file fabric.yaml

stop:
	$(FAME) down fabric.yaml

demo:
	$(PYTHON) demo.py
