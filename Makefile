# Each target does its whole set-up: a .venv from the lock file, every archive checked by its hash.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
UV ?= uv
PYTEST := $(BIN)/python -P -m pytest -q -n 4 --dist loadfile
CODE := schemas models riverrun streams usecases tests benchmarks tools

# Tests start some hundred Python processes: compiled once, not in each.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo check lint smoke test coverage test-all decisions simulate simulate-long chaos chaos-long chaos-cluster bench bench-quick bench-check bench-curves bench-latency format docs golden screenshots lock clean

help:  ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup:  ## The set-up alone: .venv from requirements.lock, with uv where there is one, else pip
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "riverrun: there is no $(PYTHON) here. Install Python 3.11 or later with venv (Debian, Ubuntu: apt install python3 python3-venv), or add PYTHON=/path/to/it" >&2; exit 1; }
	@$(PYTHON) tools/make_venv.py $(VENV) $(UV)

demo: setup  ## The whole loop on real flights, with an embedded Kafka and Redis (ARGS="--events 5000")
	@$(BIN)/riverrun demo $(ARGS)

check: lint docs  ## What is true without running anything: lint, and the documentation site

lint: setup  ## Format, lint, types and import contracts
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports --cache-dir .import_linter_cache

smoke: lint  ## lint, the quick tests and one whole loop on a real Kafka: before each commit
	$(PYTEST) -n 2 -m "smoke or not (integration or slow or soak)" tests

test: lint  ## lint and all tests but the long runs, on the real servers
	$(PYTEST) -m "not soak" tests

coverage: setup  ## Which lines the quick and the slow unit tests run (without servers), by module
	$(PYTEST) -m "not (integration or soak)" --cov --cov-report=term:skip-covered tests

test-all: test  ## The long runs, too, one after another
	$(PYTEST) -n 0 -m soak tests

format: setup  ## Put the code into its form
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

# Proofs, each from one command, each printing a table; a failure prints the seed that replays it.
SEED ?= 0
N ?= 500

decisions: setup  ## Every claim of docs/explanation/DECISIONS.md on every stream of the gallery (ARGS="--write")
	$(BIN)/python -P -m tests.gallery $(ARGS)

simulate: setup  ## The real core and recovery under a seeded scheduler: SEED=0 N=500
	$(BIN)/python -P -m tests.simulation --seed $(SEED) --runs $(N) --jobs 2

simulate-long: setup  ## The same, 10,000 seeds
	$(BIN)/python -P -m tests.simulation --seed $(SEED) --runs 10000 --jobs 2

chaos: setup  ## Three workers on a real Kafka and Redis, with faults, the learner's among them: 50,000 events
	$(BIN)/python -P -m tests.chaos --shared --events 50000 --faults 16 --seed $(SEED)

chaos-long: setup  ## The same with an archive: a million events, 125 faults and 100 kills; 45 minutes, alone
	$(BIN)/python -P -m tests.chaos --events 1000000 --faults 125 --kills 84 --archive 30 --seed $(SEED)

chaos-cluster: setup  ## Three brokers, replication 3, min in-sync 2, hard bounces of one at a time
	$(BIN)/python -P -m tests.chaos --brokers 3 --events 30000 --faults 12 --kills 0 \
	  --only "broker killed" --seed $(SEED)

bench-curves: setup  ## Against partitions and load on Kafka, and a restart with a million waiting
	$(BIN)/python -P -m benchmarks.workers.kafka_curves
	$(BIN)/python -P -m benchmarks.workers.restart

bench-latency: setup  ## Publish to committed prediction: idle, 800/s and 3,000/s, with its cost
	$(BIN)/python -P -m benchmarks.workers.latency

# riverrun beside hand-written aiokafka, Bytewax, Quix Streams and Faust; peers in benchmarks/.envs.
BENCH := $(BIN)/python -P -m benchmarks.side_by_side

bench: setup  ## Side by side with its peers, five rounds: benchmarks/RESULTS.md, results.json, profile.svg
	$(BENCH) --only riverrun --events 20000 --rounds 1 --profile benchmarks/profile.svg
	$(BENCH) $(ARGS)

bench-quick: setup  ## The same in under three minutes: one round, a table and nothing written
	$(BENCH) --quick $(ARGS)

bench-check: setup  ## Fail if a ratio is 15 % below the committed one (results.json)
	$(BENCH) --check $(ARGS)

docs: setup  ## The documentation site, strictly, into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

golden: setup  ## Write the golden files and the reference in docs/ again (the only way to change them)
	$(BIN)/riverrun schema --to tests/golden
	$(BIN)/riverrun schema --format jsonschema --to tests/golden/schemas
	$(BIN)/python -P -m tests.support.reference

screenshots: setup  ## The pictures of the page in README and docs, of real flights (needs chromium)
	@$(BIN)/python -P -m tests.support.servers.screenshots $(ARGS)

# The image has what workers and the page need, and its build stage what makes the wheel.
COMPILE := uv pip compile -q --universal --no-strip-extras --python-version 3.11 --generate-hashes \
  --no-annotate --no-header

lock:  ## Resolve the dependencies again (needs uv)
	$(COMPILE) --extra all --group dev --group docs pyproject.toml -o requirements.lock
	$(COMPILE) --extra ops --extra data --extra sources -c requirements.lock pyproject.toml -o deploy/requirements.lock
	sed -n 's/^requires = \["\(.*\)"\]$$/\1/p' pyproject.toml | $(COMPILE) -c requirements.lock - -o deploy/build.lock

clean:  ## Stop the embedded servers and remove what was set up
	-$(BIN)/riverrun down --purge
	rm -rf $(VENV) $(VENV).before dist build
