# make demo, test, check, docs or bench. The first of them makes .venv and installs what constraints.txt pins.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

# The tests look there too (tests/conftest.py).
ifeq ($(EBBING_DATA),)
ifneq ($(wildcard ../shared/data/.),)
export EBBING_DATA := $(CURDIR)/../shared/data
endif
endif

.PHONY: demo test lint examples docs walk packaging check bench
.NOTPARALLEL:

demo: $(INSTALLED)
	$(BIN)/ebbing demo

test: $(INSTALLED)
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

examples: $(INSTALLED)
	@set -e; for example in examples/*.py; do echo "== $$example"; OMP_NUM_THREADS=1 $(BIN)/python -W error "$$example"; done

# The site of docs/, built strictly.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "The site is site/index.html."

# The two how-tos, typed from top to bottom.
walk: $(INSTALLED)
	$(BIN)/pytest -m slow tests/test_docs.py

# Into empty environments, for every Python at hand.
packaging: $(INSTALLED)
	.ci/packaging

check: lint docs test examples

bench: $(INSTALLED)
	$(BIN)/python benchmarks/startup.py --out results/startup.json
	$(BIN)/python benchmarks/throughput.py --out results/throughput.json
	$(BIN)/python benchmarks/memory.py --out results/memory.json
	$(BIN)/python benchmarks/measures.py --out results/measures.json
	$(BIN)/python benchmarks/ledger.py --out results/ledger.json

# The constraints come with the very first install, so that no other build of torch is ever resolved.
$(INSTALLED): pyproject.toml constraints.txt
	@echo "Installing into .venv; the first time takes some minutes."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	@touch $@
