# Each target does its whole set-up: a .venv from the lock file, every archive checked by its hash.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -P -m pytest
CODE := schemas models streams usecases tests benchmarks

.DEFAULT_GOAL := help
.PHONY: help setup demo check test test-all simulate simulate-long chaos chaos-long chaos-cluster bench bench-quick bench-check bench-curves bench-latency format golden screenshots lock clean

help:  ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(STAMP)  ## The set-up alone: .venv from requirements.lock

# uv where there is one, else venv and pip; both check the hashes.
$(STAMP): requirements.lock pyproject.toml
	@echo "riverrun: setting up $(VENV) (once; about a minute)" >&2
	@if command -v uv >/dev/null 2>&1; then \
	  uv venv -q --allow-existing --python "$$(command -v $(PYTHON))" $(VENV) && \
	  uv pip install -q --python $(BIN)/python --require-hashes -r requirements.lock && \
	  uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e . ; \
	else \
	  $(PYTHON) -m venv $(VENV) && \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock && \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e . ; \
	fi
	@touch $(STAMP)

demo: setup  ## The whole loop on real flights, with an embedded Kafka and Redis (ARGS="--events 5000")
	@$(BIN)/riverrun demo $(ARGS)

check: setup  ## Format, lint, types, import contracts, unit and property tests: under two minutes
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports --cache-dir .import_linter_cache
	$(PYTEST) -q -n 2 --dist loadfile -m "not integration and not slow and not soak" schemas models streams usecases tests

test: check  ## check, and the integration tests on the real servers
	$(PYTEST) -q -n 2 --dist loadfile -m "slow and not integration and not soak" tests
	$(PYTEST) -q -m "integration and not soak" tests

test-all: check  ## Everything, the long runs too
	$(PYTEST) -q -m "slow or integration or soak" tests

format: setup  ## Put the code into its form
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

# Proofs, each from one command, each printing a table; a failure prints the seed that replays it.
SEED ?= 0
N ?= 500

simulate: setup  ## The real core and recovery under a seeded scheduler: SEED=0 N=500
	$(BIN)/python -P -m tests.simulation --seed $(SEED) --runs $(N) --jobs 2

simulate-long: setup  ## The same, 10,000 seeds
	$(BIN)/python -P -m tests.simulation --seed $(SEED) --runs 10000 --jobs 2

chaos: setup  ## Three workers on a real Kafka and Redis, with faults: 50,000 events
	$(BIN)/python -P -m tests.chaos --events 50000 --faults 14 --seed $(SEED)

chaos-long: setup  ## The same with an archive: a million events, 125 faults and 100 kills; 45 minutes, alone
	$(BIN)/python -P -m tests.chaos --events 1000000 --faults 125 --kills 84 --archive 30 --seed $(SEED)

chaos-cluster: setup  ## Three brokers, replication 3, min in-sync 2, hard bounces of one at a time
	$(BIN)/python -P -m tests.chaos --brokers 3 --events 30000 --faults 12 --kills 0 \
	  --only "broker killed" --seed $(SEED)

bench-curves: setup  ## Against partitions and load on Kafka, and a restart with a million waiting
	$(BIN)/python -P -m benchmarks.kafka_curves
	$(BIN)/python -P -m benchmarks.restart

bench-latency: setup  ## Publish to committed prediction: idle, 800/s and 3,000/s, with its cost
	$(BIN)/python -P -m benchmarks.latency

# riverrun beside hand-written aiokafka, Bytewax, Quix Streams and Faust; peers in benchmarks/.envs.
BENCH := $(BIN)/python -P -m benchmarks.side_by_side

bench: setup  ## Side by side with its peers, five rounds: benchmarks/RESULTS.md, results.json, profile.svg
	$(BENCH) --only riverrun --events 20000 --rounds 1 --profile benchmarks/profile.svg
	$(BENCH) $(ARGS)

bench-quick: setup  ## The same in under three minutes: one round, a table and nothing written
	$(BENCH) --quick $(ARGS)

bench-check: setup  ## Fail if a ratio is 15 % below the committed one (results.json)
	$(BENCH) --check $(ARGS)

golden: setup  ## Write the golden files and the reference in docs/ anew (the only way to change them)
	$(BIN)/riverrun schema --to tests/golden
	$(BIN)/riverrun schema --format jsonschema --to tests/golden/schemas
	$(BIN)/python -P -m tests.reference

screenshots: setup  ## The pictures of the page in README and docs, of real flights (needs chromium)
	@$(BIN)/python -P -m tests.screenshots $(ARGS)

lock:  ## Resolve the dependencies anew (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --extra all --group dev \
	  --no-annotate --no-header pyproject.toml -o requirements.lock

clean:  ## Stop the embedded servers and remove what was set up
	-$(BIN)/riverrun down --purge
	rm -rf $(VENV) dist build
