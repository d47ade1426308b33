# The front door. Every goal works on a machine with git, make and Python 3.11 or later with venv.
#
#   make demo                  run the land-use example
#   make test PYTEST_ARGS=...  run the tests
#   make test TEST_PROCESSES=0 run them in one process
#   make PYTHON=/path/python   choose the Python that .venv is made from

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:
.DELETE_ON_ERROR:

# The first Python that is new enough; looked up only when an environment has to be made.
PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

VENV ?= .venv
RUN := $(VENV)/bin/python
PYTEST_ARGS ?=
# Processes that share the tests; 0 runs them all in one, as a debugger wants it.
TEST_PROCESSES ?= 2

# One stamp per set of extras. Its name holds the checkout, so a copied tree does not test the original.
STAMP := $(VENV)/.installed-$(shell printf '%s' '$(CURDIR)' | cksum | tr ' ' '-')-

# The Python wrapper of pyright must not ask the network for newer versions.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: help demo test test-slow chaos bench check format clean distclean
.PHONY: check-format check-lint check-types check-pyright check-layers check-source check-spelling

help: ## list the goals
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 22

demo: $(STAMP)examples ## run the land-use example on real imagery
	@$(RUN) -m examples.landuse

test: $(STAMP)dev ## run the tests
	@$(RUN) -m pytest -n $(TEST_PROCESSES) --dist worksteal $(PYTEST_ARGS)

test-slow: $(STAMP)dev ## run the tests that take long
	@$(RUN) -m pytest -m slow $(PYTEST_ARGS)

chaos: $(STAMP)dev ## kill processes under full load, five seeds for each fault
	@timeout 3h $(RUN) -m pytest -m 'slow or not slow' -o faulthandler_timeout=0 -s tests/chaos $(PYTEST_ARGS)

bench: $(STAMP)bench ## measure speed and memory against their budgets
	@$(RUN) -m benchmarks

check: check-format check-lint check-source check-layers check-types check-pyright check-spelling ## check format, lint, sizes, layers, types and spelling

format: $(STAMP)dev ## rewrite the sources in the house format
	@$(RUN) -m ruff check --quiet --fix-only .
	@$(RUN) -m ruff format .

check-format: $(STAMP)dev
	@$(RUN) -m ruff format --check .

check-lint: $(STAMP)dev
	@$(RUN) -m ruff check .

check-source: $(STAMP)dev
	@$(RUN) -m tools.check_source

check-layers: $(STAMP)dev
	@$(VENV)/bin/lint-imports --no-logo --no-cache

check-types: $(STAMP)dev
	@$(RUN) -m mypy src $(wildcard tests/typing)

check-pyright: $(STAMP)dev
	@$(RUN) -m pyright --pythonpath $(RUN)

check-spelling: $(STAMP)dev
	@$(RUN) -m codespell_lib

# Two makes at once are safe: the script takes a lock beside the environment.
$(STAMP)%: pyproject.toml tools/make_venv.py
	@test -n "$(PYTHON)" || { echo "fanflow needs Python 3.11 or later and found none on PATH:" \
		"install it, or name one with 'make PYTHON=/path/to/python3.11'" >&2; exit 2; }
	@$(PYTHON) tools/make_venv.py $(VENV) $* $@

clean: ## remove caches and built files
	@rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache runinfo landuse-output
	@find src tests tools examples benchmarks -type d -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

distclean: clean ## remove the environment as well
	@rm -rf $(VENV)
