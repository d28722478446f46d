# Seven words: setup fix check test bench demo docs. All a machine needs is Python >= 3.11, git and make;
# recipes use nothing else (no grep, rm, touch), so a bare PATH is enough.

BIN := .venv/bin
READY := .venv/ready
LOCKS := requirements/bootstrap.lock requirements/dev.lock
CLIENTS := .venv/clients/ready .venv/serving-clients/ready

# A file's tests stay on one worker, for they share what they started. Much of the suite waits for processes.
PYTEST := $(BIN)/pytest -q -n logical --maxprocesses 4 --dist loadfile
# `make check test` checks once and tests once: the whole suite holds the fast tests.
FAST := $(if $(filter test,$(MAKECMDGOALS)),,fast)

.PHONY: setup fix check test bench demo docs
.DEFAULT_GOAL := setup

setup: $(READY)

fix: $(READY)
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

check: $(READY)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo
	@$(if $(FAST),$(PYTEST) -m "not slow")

test: $(READY) $(CLIENTS)
	@$(PYTEST)

bench: $(READY)
	@$(BIN)/python -m benchmarks $(SUITE)

demo: $(READY)
	@$(BIN)/homeostat demo

docs: $(READY)
	@$(BIN)/python docs/write_map.py
	@$(BIN)/pytest -q tests/test_docs.py tests/test_doctests.py

# venv -> uv -> hashed lock -> ourselves, editable. Build tools come from the lock too, hence no build isolation.
$(READY): $(LOCKS) pyproject.toml
	@found=; for python in python3 python3.14 python3.13 python3.12 python3.11; do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then echo 'make: Homeostat needs Python >= 3.11; none of python3, python3.11 .. 3.14 is' >&2; exit 1; fi; \
	echo "setup: .venv with $$found" >&2; \
	$$found -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.lock
	@$(BIN)/uv pip sync --quiet --system-certs --compile-bytecode --python $(BIN)/python --require-hashes --no-build-isolation $(LOCKS)
	@$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@$(BIN)/python -c 'import pathlib; pathlib.Path("$@").touch()'

# The real foreign clients (MLflow's, W&B's; the serving protocols') that tests run against us: environments of their own.
.venv/%/ready: requirements/%.lock $(READY)
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv/$*
	@$(BIN)/uv pip sync --quiet --system-certs --compile-bytecode --python .venv/$*/bin/python --require-hashes requirements/$*.lock
	@$(BIN)/python -c 'import pathlib; pathlib.Path("$@").touch()'
