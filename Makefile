# Each target makes or refreshes .venv by itself, and only when pyproject.toml or constraints.txt changed.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo serve test check bench format lock openapi clean
.DELETE_ON_ERROR:

demo: $(READY) ## the main job on real data, start to finish
	$(BIN)/unlearn demo

serve: $(READY) ## the embedded service in ./.unlearn
	@test -f .unlearn/unlearn.env || $(BIN)/unlearn init --home .unlearn
	$(BIN)/unlearn serve --home .unlearn

test: $(READY) ## all tests; PostgreSQL and Redis are started by the tests themselves
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: $(READY) ## format, lint, types, architecture, openapi.json
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/unlearn openapi | diff -u openapi.json - || { echo "openapi.json has changed: run 'make openapi' and commit it"; exit 1; }

bench: $(READY) ## every benchmark, quick; `python -m benchmarks.<name>` runs one in full
	$(BIN)/python -m benchmarks.fisher --quick
	$(BIN)/python -m benchmarks.additivity --quick
	$(BIN)/python -m benchmarks.hayase --quick
	$(BIN)/python -m benchmarks.hayase_search --quick
	$(BIN)/python -m benchmarks.latency --quick
	$(BIN)/python -m benchmarks.faults --quick
	$(BIN)/python -m benchmarks.load --quick
	$(BIN)/python -m benchmarks.calibration --quick
	$(BIN)/python -m benchmarks.audit_cost --quick
	$(BIN)/python -m benchmarks.deepclean --quick
	$(BIN)/python -m benchmarks.random_samples --quick
	$(BIN)/python -m benchmarks.field --quick
	$(BIN)/python -m benchmarks.search --quick
	$(BIN)/python -m benchmarks.unrolling --quick

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

openapi: $(READY)
	$(BIN)/unlearn openapi > openapi.json

lock: ## resolve everything anew and write the exact pins
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/pip install -q torch==2.13.0 && build/lock/bin/pip install -q -e '.[worker,dev,bench]'
	{ echo '# Exact pins of everything the project installs: `make lock` writes this file from a fresh resolution.'; \
	  build/lock/bin/pip freeze --exclude-editable | sed 's/+cpu//'; } > constraints.txt

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "unlearnd needs Python 3.11: make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[worker,dev]'
	@touch $@
