# make demo, test, check or bench. The first of them makes .venv and installs what constraints.txt pins.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

# The tests look there too (tests/conftest.py).
ifeq ($(EBBING_DATA),)
ifneq ($(wildcard ../shared/data/.),)
export EBBING_DATA := $(CURDIR)/../shared/data
endif
endif

.PHONY: demo test lint examples check bench
.NOTPARALLEL:

demo: $(INSTALLED)
	$(BIN)/ebbing demo

test: $(INSTALLED)
	$(BIN)/pytest

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

examples: $(INSTALLED)
	@set -e; for example in examples/*.py; do echo "== $$example"; $(BIN)/python "$$example"; done

check: lint test examples

bench: $(INSTALLED)
	$(BIN)/python benchmarks/throughput.py --out results/throughput.json
	$(BIN)/python benchmarks/memory.py --out results/memory.json

# The constraints come with the very first install, so that no other build of torch is ever resolved.
$(INSTALLED): pyproject.toml constraints.txt
	@echo "Installing into .venv; the first time takes some minutes."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	@touch $@
