# make demo    set up and take a video apart
# make test    set up and pass the tests
# make check   style, types, and which floor may import which
# make test-browser   the tests of pages, in Chromium
# make test-gpu    the tests that need a GPU; make gpu-report: those, speeds, and a recipe trained for the rest of MINUTES
# make docs    the documentation as pages in build/site; a broken link is an error
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# On shared cores torch's busy waiting makes small steps many times slower.
export OMP_WAIT_POLICY := PASSIVE
# What is compiled once is read by every process after it.
unexport PYTHONDONTWRITEBYTECODE
# Two cores check types, where mypy can.
export MYPY_NUM_WORKERS := 2

.PHONY: everything demo test test-browser test-slow test-gpu gpu-report check style types floors docs format clean

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "scenewise needs Python 3.11 or newer; say which with: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@touch $@

$(VENV)/runs: $(VENV)/made pyproject.toml
	$(BIN)/python -m pip install --quiet -e .
	@touch $@

$(VENV)/develops: $(VENV)/made pyproject.toml
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	@touch $(VENV)/runs $@

$(VENV)/documents: $(VENV)/made pyproject.toml
	$(BIN)/python -m pip install --quiet -e ".[docs]"
	@touch $@

# For all of the below: pip works out once what is wanted.
everything: $(VENV)/made
	$(BIN)/python -m pip install --quiet -e ".[dev,docs]"
	@touch $(VENV)/runs $(VENV)/develops $(VENV)/documents

demo: $(VENV)/runs
	$(BIN)/scenewise demo --out demo --overwrite

test: $(VENV)/develops
	$(BIN)/python -m pytest -n 2 --dist worksteal -q -m "not slow and not browser"

test-browser: $(VENV)/develops
	$(BIN)/python -m pytest -n 2 -q -m browser tests/*/test_*in_browser.py

test-slow: $(VENV)/develops
	$(BIN)/python -m pytest -q -m slow --timeout=3600

# These two take the Python that is there, with the torch that suits its GPU.
GPU_PYTHON ?= python3
MINUTES ?= 9
RECIPE ?= provide-balls-colour
OUT ?= build/gpu

test-gpu:
	PYTHONPATH=src $(GPU_PYTHON) -m pytest tests/gpu -q

gpu-report:
	$(GPU_PYTHON) scripts/gpu_report.py --out $(OUT) --minutes $(MINUTES) --recipe $(RECIPE)

# Its three parts run side by side; each can be asked for alone.
check: $(VENV)/develops
	@$(MAKE) --no-print-directory -j2 --keep-going types floors style

style: $(VENV)/develops
	$(BIN)/ruff check src tests scripts examples
	$(BIN)/ruff format --check src tests scripts examples

types: $(VENV)/develops
	$(BIN)/mypy

floors: $(VENV)/develops
	$(BIN)/lint-imports

docs: $(VENV)/documents
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

format: $(VENV)/develops
	$(BIN)/ruff check --fix src tests scripts examples
	$(BIN)/ruff format src tests scripts examples

clean:
	rm -rf $(VENV) demo build dist
