# Two commands matter: `make demo` and `make test`. Each sets up what it needs, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FLOORS := contracts ledger tools agents graphs server
PACKAGES := $(addprefix -p edgewright.,$(FLOORS) examples) -m edgewright

.DEFAULT_GOAL := help
.PHONY: help demo incident test lint types bench trial crash outage overspend faults systems serve clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(READY): pyproject.toml
	@echo "Setting up $(VENV) (once; a minute or two) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1" 2>$(VENV)/pip.log || (cat $(VENV)/pip.log; exit 1)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e . --group dev 2>$(VENV)/pip.log || (cat $(VENV)/pip.log; exit 1)
	@touch $@

demo: $(READY) ## run the customer support example on all its tickets (offline model, SQLite)
	@$(BIN)/edgewright demo

incident: $(READY) ## play the founding incident, with rules in the prompt only and under the gate
	@$(BIN)/python -m edgewright.examples.guarded_database

test: $(READY) ## run the tests
	@$(BIN)/python -m pytest -n 2 --dist worksteal -q

lint: $(READY) ## ruff, check and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(READY) ## mypy, strict
	@$(BIN)/mypy $(PACKAGES)
	@$(BIN)/mypy tests bench

bench: $(READY) ## print figures side by side with their baselines
	@$(BIN)/python -m bench

trial: $(READY) ## try the gate on an office's tasks, attacked and not, beside no gate
	@$(BIN)/python -m bench.trial

crash: $(READY) ## kill processes in the middle of effects, and count the effects
	@$(BIN)/python -m bench.crash --ungoverned

outage: $(READY) ## a hundred runs, a tenth of which need an integration that is dead
	@$(BIN)/python -m bench.outage

overspend: $(READY) ## ask for more calls than budgets cover, at once, and count those that were made
	@$(BIN)/python -m bench.overspend

faults: $(READY) ## the fault matrix: every topology under every fault with every declared reaction
	@$(BIN)/python -m bench.faults

systems: $(READY) ## run every example system on its own cases (offline models) and check each
	@$(BIN)/edgewright systems

serve: $(READY) ## serve the systems of langgraph.json over HTTP
	@$(BIN)/edgewright serve

clean: ## remove the virtual environment, caches and the demo's files
	rm -rf $(VENV) .edgewright .langgraph_api build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
