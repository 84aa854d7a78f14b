# The commands of this project; `make help` lists them. Each brings the machine up to date first (seconds when it is).

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup judge demo test check refusals contract-refusals bench lock

VENV := .venv/bin
heading = @printf '\n== %s\n' '$(1)'

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup:  ## system packages, TimescaleDB, virtual environment
	@bash setup/setup.sh

# exec: the demo takes the shell's place, so that it, and not a shell around it, gets the signals.
demo: setup  ## the whole system on this machine [MINUTES=n, else until Ctrl-C]
	@exec $(VENV)/scada demo $(if $(MINUTES),--minutes $(MINUTES)) $(DEMO_OPTIONS)

judge: setup  ## another implementation of OPC UA, which the tests judge ours by
	@bash setup/judge.sh

# Two workers, a file to one of them: half of the tests' time is waiting for servers and processes.
test: judge  ## every check: style, types, floor plan, all tests
	$(call heading,style)
	@$(VENV)/ruff check
	@$(VENV)/ruff format --check
	$(call heading,types)
	@$(VENV)/mypy
	$(call heading,floor plan)
	@$(VENV)/lint-imports
	$(call heading,tests)
	@$(VENV)/pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_OPTIONS)

check:  ## the fast checks, for between two edits (no set-up)
	$(call heading,style)
	@$(VENV)/ruff check
	@$(VENV)/ruff format --check
	$(call heading,types)
	@$(VENV)/mypy
	$(call heading,floor plan)
	@$(VENV)/lint-imports
	$(call heading,unit tests)
	@$(VENV)/pytest -q tests/unit

refusals: setup  ## every order that must be refused, tried against a simulated station, with its reason
	@exec $(VENV)/pytest -q -s --no-header tests/acceptance/test_refusals*.py tests/acceptance/test_standby.py

contract-refusals: setup  ## every bad file a buyer may bring and every failing service, with its reason, beside pdfsig
	@exec $(VENV)/pytest -q -s --no-header tests/acceptance/test_contract_bad_inputs.py

bench: setup  ## one measurement: NAME=telemetry, ingest, … [SECONDS=n]
	@test -n '$(NAME)' || { echo 'bench: which one? make bench NAME=telemetry' >&2; exit 2; }
	@exec $(VENV)/python -m tests.bench $(NAME) $(if $(SECONDS),--seconds $(SECONDS))

lock:  ## write requirements.lock anew from pyproject.toml
	@bash setup/lock.sh
