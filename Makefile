# Everything runs in .venv, which the first target that needs it creates; another interpreter: make test PYTHON=python3.12
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help search test lint format build clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

search: $(VENV)/installed  ## Search on the shipped images, into a new folder in runs/; or ARGS="--data path/to/images"
	$(BIN)/frugalnas search $(ARGS)

test: $(VENV)/installed-dev  ## Run the tests; e.g. ARGS="-k journal"
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile $(ARGS)

lint: $(VENV)/installed-dev  ## Check style, types and import rows, as CI does
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed-dev  ## Sort imports, fix what can be fixed, format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

build: $(VENV)/installed-dev  ## Build the source archive and the wheel into dist/
	rm -rf dist
	$(BIN)/python -m build

clean:  ## Remove what the tools made; .venv and runs/ stay
	rm -rf dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# The stamps make a second call instant; a change of pyproject.toml installs again. Both installations are editable, so
# that neither replaces the other and edited sources count at once.
$(VENV)/installed: pyproject.toml | $(BIN)/pip
	@echo "Installing FrugalNAS and what it needs into $(VENV); PyTorch is large, this takes some minutes."
	$(BIN)/python -m pip install --disable-pip-version-check --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(BIN)/pip
	@echo "Installing FrugalNAS, what it needs and the developer's tools into $(VENV); PyTorch is large, this takes some minutes."
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/installed

# pip is the last thing that venv puts there: an environment left half made is made anew.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("FrugalNAS needs Python 3.11 or newer and this is " + sys.version.split()[0] + "; to name another: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv --clear $(VENV)
