# Two commands: `make demo` runs a study and shows its report, `make test` checks everything. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OLDEST := .venv-oldest
PIP := PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet

.DEFAULT_GOAL := help
.PHONY: help demo test test-portable test-oldest check wheel docs calibrate bench results format clean

help:
	@echo 'make demo       a study: which of four changes help a small AlexNet on drawn digits? (about a minute)'
	@echo 'make test       formatting, lint, types, import rules, tests'
	@echo 'make test-portable  tests without what Linux and macOS alone have, as far as Windows can be shown here'
	@echo 'make check      make test without the tests: seconds'
	@echo 'make wheel      dist/convtrials-*.whl, to install anywhere'
	@echo 'make test-oldest  the core of the tests on the oldest versions that the package allows, in .venv-oldest (gigabytes)'
	@echo 'make docs       the documentation as a site: site/index.html'
	@echo 'make calibrate  simulate thousands of studies with known truth: do verdicts keep their promises?'
	@echo 'make bench      training speed, side by side with Keras, Lightning and plain PyTorch (half an hour)'
	@echo 'make results    write the tables of docs/results.md again from the files in docs/results'
	@echo 'make format     format the code'
	@echo 'make clean      remove caches, site and .venv (runs stay)'

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'convtrials needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.12 ...'; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed: $(VENV)/made pyproject.toml constraints.txt
	@echo 'installing (once)'
	$(PIP) --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) --editable '.[dev]'
	@touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(PIP) --editable '.[docs]'
	@touch $@

demo: $(VENV)/installed
	$(BIN)/convtrials demo

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	$(BIN)/pytest --numprocesses 2

test-portable: $(VENV)/installed-dev
	$(BIN)/pytest --portable --numprocesses 2 tests/core tests/data tests/training tests/study tests/cli tests/models

wheel: $(VENV)/made
	rm -rf build/lib
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	@ls dist/*.whl

# Export needs a newer torch (2.9), and says so. These ask that two runs differ in a way that hangs on the last bits, which other versions of torch round otherwise.
NOT_OLDEST := --deselect tests/training/test_replicas_equal.py::test_rates_of_their_own_and_matrices_are_stepped_one_by_one \
	--deselect tests/training/test_replicas_runs.py::test_who_stops_early_leaves

$(OLDEST)/installed: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv $(OLDEST)
	PIP_CONSTRAINT=constraints-oldest.txt $(OLDEST)/bin/python -m pip install --quiet --editable '.[deploy]' \
		pytest pytest-timeout hypothesis split-folders tensorboard
	@touch $@

test-oldest: $(OLDEST)/installed
	$(OLDEST)/bin/python -m pytest -q tests/training tests/models tests/evaluation tests/data tests/deploy/test_predict.py $(NOT_OLDEST)

docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo 'open site/index.html; to search it, serve it: $(BIN)/python -m http.server --directory site'

calibrate: $(VENV)/installed
	$(BIN)/python -m benchmarks.calibration --docs docs

bench: $(VENV)/installed
	@mkdir -p docs/results/race
	$(BIN)/python -m benchmarks.race --peers all --out docs/results/race/bench-alexnet.json --table docs/performance.md
	$(BIN)/python -m benchmarks.race --model vgg11 --peers all --out docs/results/race/bench-vgg11.json --table docs/performance.md

results: $(VENV)/installed
	$(BIN)/python -m benchmarks.results

format: $(VENV)/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(OLDEST) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
