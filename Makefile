# Every target sets up what it needs: a virtual environment in .venv, once, from pyproject.toml.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := demo
DEMO_FRAMES ?= 300
DEMO_SCENE ?= mixed
JOBS ?= 2

.PHONY: help demo test test-all zoo check format tables clean

help:
	@echo "make demo      export the default model, prove parity, segment a drive (into $(DEMO)/)"
	@echo "make test      the test suite, without the slow proofs"
	@echo "make test-all  every test"
	@echo "make zoo       every network: a training step, export, parity (make test takes the small ones)"
	@echo "make check     ruff, mypy --strict, import-linter"
	@echo "make tables    the tables of README and docs, measured anew (needs EDGESEG_DATA)"

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "edgeseg needs Python 3.10 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12"; exit 3; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(READY)
	@$(BIN)/python apps/demo.py --output $(DEMO) --frames $(DEMO_FRAMES) --scene $(DEMO_SCENE)

test: $(READY)
	$(BIN)/python -m pytest -n $(JOBS) -m "not slow" $(ARGS)

test-all: $(READY)
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

# One process: the largest networks need some gigabytes each.
zoo: $(READY)
	$(BIN)/python -m pytest -m zoo $(ARGS)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

tables: $(READY)
	$(BIN)/python benchmarks/readme_tables.py $(ARGS)
	$(BIN)/python benchmarks/zoo.py

clean:
	rm -rf $(VENV) $(DEMO) build dist *.egg-info
