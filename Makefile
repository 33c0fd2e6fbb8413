# Two commands do all: `make demo` and `make test`. Both create .venv and install into it once.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# Each process runs one thread. tests/conftest.py says how many processes run, and in which order files come.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --max-worker-restart 0 \
    --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test install lint types layers tests fast slow coverage docs format clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## the whole chain on this machine: measure, search, export, verify
	@$(BIN)/hwnat demo

test: lint types layers tests ## lint, types, layers and all tests

install: $(READY) ## create .venv and install everything

lint: $(READY) ## style, spelling, shell programs, prose, device files and tables
	@echo "ruff"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@echo "shellcheck"
	@find .ci tests -name '*.sh' -o -path .ci/run | xargs $(BIN)/shellcheck
	@find hwnat -name '*.sh' | xargs $(BIN)/shellcheck -s sh -x -P SCRIPTDIR
	@echo "codespell"
	@$(BIN)/codespell .
	@echo "proselint"
	@$(BIN)/python tools/check_prose.py
	@echo "device files and tables"
	@$(BIN)/python tools/check_records.py

types: $(READY) ## static types
	@echo "mypy"
	@$(BIN)/mypy --no-error-summary

layers: $(READY) ## which package may import which
	@echo "import-linter"
	@$(BIN)/lint-imports --no-cache --no-logo >.venv/layers.log 2>&1 || { cat .venv/layers.log; exit 1; }

tests: $(READY) ## all tests
	@echo "tests"
	@$(PYTEST)

fast: $(READY) ## tests of two seconds at most, each
	@echo "fast tests"
	@$(PYTEST) -m "not device and not slow"

slow: $(READY) ## tests of the whole chain
	@echo "slow tests"
	@$(PYTEST) -m "slow and not device"

coverage: $(READY) ## all tests, which take half as long again, and what of hwnat they run
	@echo "tests and their coverage"
	@$(PYTEST) --cov --cov-report=term:skip-covered

docs: $(READY) ## the documentation as a site, in site/
	@echo "mkdocs"
	@NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --quiet --strict

format: $(READY) ## rewrite the sources in the common format
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

clean: ## remove .venv and all caches, keep runs/
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage build site hwnat.egg-info

# A killed run leaves no .ready behind, so the next call goes on; an environment without pip is rebuilt.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else \
	    "hwnat needs Python 3.11 to 3.13, $(PYTHON) is %d.%d. Name another: make PYTHON=python3.12" % v)'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || \
	    { echo "creating .venv"; $(PYTHON) -m venv --clear .venv; }
	@echo "installing into .venv (once; some minutes)"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	@touch $@
