# Everything runs in ./.venv, made on first use and again only when the requirements change.
#   make demo | test | lint | faults | mutants | docs
#   make test-portable   the tests as on other CPUs, and on one and two threads
#   make test-device     the tests on a pretended GPU
#   make test-oldest     the tests with the oldest versions that pyproject.toml admits (some GB)
#   make wheel           wheel and sdist into dist/, tried out from outside
#   make test PYTHON=python3.13 VENV=.venv-3.13   under another Python
#   make fuzz [MINUTES=10] [ARGS="--seed 1"] | crash [KILLS=300]
#   make study NAME=logz-coverage [ARGS=--quick]
#   make models [ARGS=--quick]    a dozen trained models with their cards, into models/
#   make notebooks [NAME=table]   five pages as notebooks, with what their cells print and draw
#   make bench [NAME=samplers] [ARGS=--quick]

SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check -qq install -c constraints.txt
WORKERS ?= 2
# One thread a process: tests and benchmarks run several processes side by side.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help demo test test-portable test-device test-oldest wheel lint format faults mutants fuzz crash study bench notebooks models docs clean

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
	@$(PIP) -e '.[dev,flows,parquet,sweep,storage,track,arviz,hub,transport,remote]'
	@touch $@

$(VENV)/.docs: $(VENV)/.core
	@$(PIP) -e '.[docs]'
	@touch $@

$(VENV)/.bench: $(VENV)/.dev
	@$(PIP) -e '.[bench]'
	@touch $@

demo: $(VENV)/.core
	@$(BIN)/gibbsian demo $(ARGS)

RUN := -m pytest -q -n $(WORKERS) --dist worksteal
PYTEST := $(BIN)/python $(RUN)

# Both parts are run whichever fails; 5 is pytest's "nothing selected", by $(ARGS) for instance.
# $(1): Python; $(2): settings of the environment
both = status=0; none=0; for checks in 1 0; do \
	test $$checks = 1 || echo "the compiled ones, without type checks:"; \
	$(ONE_THREAD) $(2) GIBBSIAN_TYPECHECK=$$checks $(1) $(RUN) $$(test $$checks = 1 || echo -k compile) $(ARGS); \
	case $$? in 0) ;; 5) none=$$((none + 1));; *) status=1;; esac; \
	done; test $$none -lt 2 || status=5

test: $(VENV)/.dev
	@$(call both,$(BIN)/python,env); exit $$status

# The same machine as a plain x86-64, as one with AVX2, and as it is: sums come in another order.
# Each with compiled code of its own: PyTorch would take another setting's from its cache, vectors and all.
OWN_CACHE = TORCHINDUCTOR_CACHE_DIR=$(CURDIR)/$(VENV)/compiled
PLAIN = env MKL_CBWR=COMPATIBLE ATEN_CPU_CAPABILITY=default $(OWN_CACHE)-plain
AVX2 = env MKL_ENABLE_INSTRUCTIONS=AVX2 ATEN_CPU_CAPABILITY=avx2 $(OWN_CACHE)-avx2
QUICK := tests/bounds tests/evaluation tests/networks tests/numerics tests/samplers tests/training

test-portable: $(VENV)/.dev
	@failed=0; \
	echo "as on a plain x86-64:"; $(call both,$(BIN)/python,$(PLAIN)); test $$status = 0 || failed=1; \
	echo "as on one with AVX2:"; $(call both,$(BIN)/python,$(AVX2)); test $$status = 0 || failed=1; \
	echo "as it is:"; $(call both,$(BIN)/python,env); test $$status = 0 || failed=1; \
	for threads in 1 2; do echo "a part on $$threads threads:"; \
	GIBBSIAN_TEST_THREADS=$$threads $(PYTEST) $(QUICK) || failed=1; done; \
	exit $$failed

test-device: $(VENV)/.dev
	@$(ONE_THREAD) PYTHONPATH=. $(BIN)/python -m pytest -q -p tests.device.pretend tests/device $(ARGS)

OLDEST := .venv-oldest
# Another torch than the oldest: make test-oldest TORCH=2.13.0
TORCH ?=

$(OLDEST)/.done: pyproject.toml tests/oldest.py
	@$(PYTHON) -m venv --clear $(OLDEST)
	@echo "installing into $(OLDEST) ..." >&2
	@$(PYTHON) tests/oldest.py | sed '$(if $(TORCH),s/^torch==.*/torch==$(TORCH)/)' > $(OLDEST)/requirements.txt
	@$(OLDEST)/bin/pip --disable-pip-version-check -qq install -r $(OLDEST)/requirements.txt scikit-image \
		$$(grep -E '^(pytest|pytest-xdist|jaxtyping|beartype)==' constraints.txt)
	@$(OLDEST)/bin/pip --disable-pip-version-check -qq install --no-deps -e .
	@touch $@

test-oldest: $(OLDEST)/.done
	@$(call both,$(OLDEST)/bin/python,env); exit $$status

# The wheel is built from the sdist, so that what the sdist lacks the wheel lacks too.
wheel:
	@rm -rf dist; set -e; away=$$(mktemp -d); trap 'rm -rf "$$away"' EXIT; \
	$(PYTHON) -m venv $$away/build; $(PYTHON) -m venv $$away/use; \
	quiet="--disable-pip-version-check -qq install -c $$PWD/constraints.txt"; \
	$$away/build/bin/pip $$quiet build; $$away/build/bin/python -m build --outdir dist . > $$away/log \
		|| { cat $$away/log; exit 1; }; \
	$$away/use/bin/pip $$quiet torch; $$away/use/bin/pip $$quiet dist/*.whl; \
	cp tests/smoke.py README.md $$away; cd $$away; \
	use/bin/gibbsian demo --quick; use/bin/python smoke.py; ls $(CURDIR)/dist

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

models: $(VENV)/.dev
	@$(ONE_THREAD) $(BIN)/python examples/release_models.py $(ARGS)

notebooks: $(VENV)/.dev
	@$(ONE_THREAD) $(BIN)/python -m docs_build.notebooks $(NAME)

docs: $(VENV)/.docs
	@$(BIN)/properdocs build --strict --quiet

clean:
	rm -rf $(VENV) $(OLDEST) site build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
