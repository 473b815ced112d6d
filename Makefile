# make demo: the whole loop on this machine. make test: every check and test. Both set up what they need first.
.PHONY: setup demo test check bench screens fmt lint keys lock clean
.DEFAULT_GOAL := check
SHELL := /bin/sh

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
# The first python that is 3.11 or newer and can make environments.
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
# What is checked: the console is where it exists.
CODE := engine tests $(wildcard tui)
WORKERS ?= 2
# A third of its time the whole suite waits for servers and children: on two cores three workers fill it.
TEST_WORKERS ?= 3
ONLY ?=
PAIRS ?= 5

setup: $(STAMP)
	@tests/servers/install-packages

$(STAMP): pyproject.toml requirements-dev.lock
	@test -n "$(PYTHON)" || { echo "holdfast needs Python 3.11 or newer: none was found in PATH" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
		rm -rf $(VENV); \
		test "$$(id -u)" = 0 || { echo "the package python3-venv is missing: apt-get install python3-venv" >&2; exit 1; }; \
		(apt-get install -y -qq python3-venv || { apt-get update -qq && apt-get install -y -qq python3-venv; }) >/dev/null && \
		$(PYTHON) -m venv $(VENV); }
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --requirement requirements-dev.lock
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-build-isolation --no-deps --editable .
	@touch $@

demo: setup
	@$(BIN)/holdfast demo

fmt: setup
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

lint: setup
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy $(CODE)

check: lint
	$(BIN)/pytest -q -n $(WORKERS) -m "not slow" tests/unit tests/properties tests/families tests/test_architecture.py

test: lint
	$(BIN)/pytest -n $(TEST_WORKERS) --dist worksteal tests

bench: setup
	$(BIN)/python -m tests.bench --pairs $(PAIRS) $(if $(ONLY),--only $(ONLY)) $(ARGS)

# The page of the console's keys.
keys: setup
	$(BIN)/python -m tui.actions >tui/KEYS.md

# The pictures of the README.
screens: setup
	$(BIN)/python -m tests.tui.screens tui/screens

# The newest versions that pyproject.toml allows, written down exactly.
lock:
	rm -rf .cache/lock && $(PYTHON) -m venv .cache/lock
	.cache/lock/bin/python -m pip install --quiet --upgrade pip
	.cache/lock/bin/python -m pip install --quiet hatchling editables
	.cache/lock/bin/python -m pip install --quiet --no-build-isolation --group dev --editable '.[all]'
	{ sed -n '/^#/p' requirements-dev.lock; .cache/lock/bin/python -m pip freeze --all --exclude-editable --exclude setuptools; } >.cache/lock/new
	mv .cache/lock/new requirements-dev.lock && rm -rf .cache/lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .cache dist build
