# Every command of the house. On a fresh machine only Python 3.11, Java 17 and Maven are needed: the first target
# that needs it makes .venv from the hashed lock and installs the project into it.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2
GENERATED := schemas/events docs ARCHITECTURE.md ops/grafana ops/prometheus

.PHONY: help contract demo chaos test long check fresh bench up down generate lock clean

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP)  ## publish real crossings, kill workers meanwhile, compare the table with the published one (KEEP=1: leave it running)
	$(BIN)/migex demo $(if $(KEEP),--keep)

chaos: $(STAMP)  ## publish while everything is killed, hangs or is cut off, and count again (KILLS=20 SEED=1 NODES=1|3 MINUTES= REPORT=FILE)
	$(BIN)/migex chaos --kills $(or $(KILLS),20) --seed $(or $(SEED),1) --nodes $(or $(NODES),1) \
	  $(if $(MINUTES),--minutes $(MINUTES)) $(if $(REPORT),--report $(REPORT))

test: $(STAMP)  ## every test that takes seconds, on a real Kafka too (under 15 minutes)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m 'not long'

long: $(STAMP)  ## what takes minutes or hours: large random histories, repeated kills, 200 kills of everything
	$(BIN)/python -m pytest -m long --timeout 3600
	$(BIN)/migex chaos --kills 200 --seed $(or $(SEED),1) --rate 200 $(if $(REPORT),--report $(REPORT))

check: $(STAMP) fresh  ## style, types, layers, generated files, containers, alert rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	@if command -v promtool > /dev/null; then \
	  promtool check config ops/prometheus/prometheus.yml; \
	  promtool test rules ops/prometheus/rules_test.yml; \
	else \
	  echo 'promtool is not installed (Debian: prometheus): alert rules were not tried'; \
	fi

REPORTED := $(if $(REPORT),--report $(REPORT))
bench: $(STAMP)  ## measured comparisons, ours with Kafka Streams' in the same run (ORIGINALS=1000000 ROUNDS=1 PROBES=2000 REPORT=FILE.md)
	$(BIN)/python -m bench.door $(REPORTED)
	$(BIN)/python -m bench.dropped $(REPORTED)
	$(BIN)/python -m bench.agents --takeover $(if $(ORIGINALS),--originals $(ORIGINALS)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(REPORTED)
	$(BIN)/python -m bench.delay --kills 10 $(if $(PROBES),--probes $(PROBES)) $(REPORTED)
	$(BIN)/python -m bench.rebuild $(REPORTED)
	$(BIN)/python -m bench.memory $(REPORTED)
	$(BIN)/python -m bench.profile $(REPORTED)

up: $(STAMP)  ## start the whole system on this machine, and show it
	$(BIN)/migex up

down: $(STAMP)  ## stop what `make up` started
	$(BIN)/migex down

generate: $(STAMP)  ## make what is made from something else: models, settings page, error page, dashboard
	@$(BIN)/python -m schemas.generate
	@$(BIN)/python -m docs.generate

contract: $(STAMP)  ## write the draft of an event family's contract, or of its next version (NAME=student.enrolled)
	@$(BIN)/python -m schemas.drafts $(NAME)

fresh: $(STAMP)
	@sum() { find $(GENERATED) -type f -not -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum; }; \
	before=$$(sum); $(MAKE) --no-print-directory generate; \
	[ "$$before" = "$$(sum)" ] || { echo 'generated files were not fresh; they are now: commit them'; exit 1; }

COMPILE := $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --python-version 3.11
lock: $(STAMP)  ## resolve the dependencies again, with hashes and without any index address
	$(COMPILE) pyproject.toml -o requirements/runtime.txt
	$(COMPILE) --extra dev pyproject.toml -o requirements/dev.txt
	$(COMPILE) --group build -o requirements/build.txt

clean:  ## forget the virtual environment, caches and builds; data in .migex stays
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
