# Everything runs in ./.venv, made on first use and again only when the requirements change.
#   make demo | test | lint | faults | mutants | docs
#   make fuzz [MINUTES=10] [ARGS="--seed 1"] | crash [KILLS=300]
#   make study NAME=logz-coverage [ARGS=--quick]
#   make bench [NAME=samplers] [ARGS=--quick]

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check -qq install -c constraints.txt
WORKERS ?= 2
# One thread a process: tests and benchmarks run several processes side by side.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help demo test lint format faults mutants fuzz crash study bench docs clean

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

# Installing torch first, alone, lets a CPU build that lies on disk win over the index's newest.
$(VENV)/.core: pyproject.toml constraints.txt
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) ..." >&2
	@$(PIP) torch
	@$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@$(PIP) -e '.[dev,flows,parquet,sweep,track,arviz,hub,transport]'
	@touch $@

$(VENV)/.docs: $(VENV)/.core
	@$(PIP) -e '.[docs]'
	@touch $@

$(VENV)/.bench: $(VENV)/.dev
	@$(PIP) -e '.[bench]'
	@touch $@

demo: $(VENV)/.core
	@$(BIN)/gibbsian demo $(ARGS)

PYTEST := $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal

test: $(VENV)/.dev
	@$(ONE_THREAD) $(PYTEST) $(ARGS)
	@echo "the compiled ones, without type checks:"
	@$(ONE_THREAD) GIBBSIAN_TYPECHECK=0 $(PYTEST) -k compile $(ARGS)

lint: $(VENV)/.dev
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

format: $(VENV)/.dev
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

faults: $(VENV)/.dev
	@$(ONE_THREAD) $(BIN)/python -m faults $(ARGS)

# One-token changes of a file, judged by the tests named: make mutants FILE=gibbsian/bounds/upper.py TESTS=tests/bounds
mutants: $(VENV)/.dev
	@$(PIP) -e '.[mutation]'
	@$(BIN)/python -m faults.tokens $(or $(FILE),gibbsian/bounds/guarantees.py) $(or $(TESTS),tests/bounds)

fuzz: $(VENV)/.dev
	@$(ONE_THREAD) $(BIN)/python -m fuzz --minutes $(or $(MINUTES),10) $(ARGS)

crash: $(VENV)/.dev
	@$(ONE_THREAD) $(BIN)/python -m fuzz.crash --kills $(or $(KILLS),300) $(ARGS)

study: $(VENV)/.dev
	@test -n "$(NAME)" || { echo "say which: make study NAME=... (one of: $$(ls studies | sed -n 's/^\([a-z].*\)\.py$$/\1/p' | tr '_\n' '- '))" >&2; exit 2; }
	@$(ONE_THREAD) $(BIN)/python -m studies.$(subst -,_,$(NAME)) $(ARGS)

bench: $(VENV)/.bench
	@$(ONE_THREAD) $(BIN)/python -m benchmarks.$(subst -,_,$(or $(NAME),samplers)) $(ARGS)

docs: $(VENV)/.docs
	@$(BIN)/properdocs build --strict --quiet

clean:
	rm -rf $(VENV) site build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
