# The targets a person types; CI types the same.
SHELL := /bin/bash
PYTHON ?= python3.11
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
CONFIG ?= examples/quickstart

.PHONY: run build test test-plain check bench gate counts load soak coverage fuzz clean lock

run: build
	$(BIN)/python examples/quickstart/run.py --config $(CONFIG)

# The environment is remade when a lock file changes; the compiled code when a source or header does.
.venv/ready: requirements/dev.txt
	@echo "[1/2] making the environment in .venv (downloads: a minute or two)"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --require-hashes -r requirements/dev.txt
	touch .venv/ready

# What the gates run on besides; apart, because it brings gevent and a web framework.
.venv/ready-bench: .venv/ready requirements/bench.txt
	$(BIN)/pip install --quiet --require-hashes -r requirements/bench.txt
	touch .venv/ready-bench

build: .venv/ready
	@echo "[2/2] building the compiled code"
	flock .venv/build.lock $(BIN)/python setup.py --quiet build_ext --inplace -j2
	@test -x $(BIN)/headgate || $(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .

test: build
	$(BIN)/python -m pytest

# The hot arithmetic once more as plain Python: what C integers could hide, this shows.
test-plain: build
	bash tests/plain.sh

check: build
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: build
	$(BIN)/python -m bench

# What a change may cost, against the commit it began at (BASE=REF for another): docs/gates.md.
BASE ?= auto
gate: build .venv/ready-bench
	$(BIN)/python -m bench gate --base $(BASE) $(GATE)

# Of the gates, what needs neither a quiet machine nor a base: that the recorded requests are answered and leave nothing.
counts: build
	$(BIN)/python -m bench gate --base none --allow-missing --skip micro --skip ratio --skip load

# Callers of all kinds for so many seconds; every answer must be the expected one.
LOAD_SECONDS ?= 20
load: build .venv/ready-bench
	$(BIN)/python -m bench load --seconds $(LOAD_SECONDS)

# All tests that have a count for it, in full: kills, pushes, floods, growth, and that each gate can fail (about an hour; needs what gate needs).
soak: build .venv/ready-bench
	SOAK=1 $(BIN)/python -m pytest -s tests/soak $$(grep -rl "^from tests.soak.counts" tests/*/test_*.py | grep -v ^tests/soak)

# Lines of core and plane that the tests run: docs/gates.md.
coverage: build
	bash tests/coverage/run.sh

# The parsers under changed inputs: `make fuzz MINUTES=60`. What it finds goes to tests/fuzz/findings.
MINUTES ?= 5
fuzz: build
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES)

lock: .venv/ready
	bash requirements/lock.sh

clean:
	rm -rf .venv build dist *.egg-info bench/out
	find core plane -name '*.so' -delete -o -name '*.c' -delete
