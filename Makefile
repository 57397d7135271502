# Two commands matter: `make repro` runs the pipeline, `make test` runs the tests. Both build what they need first.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
# LOCK=gpu installs the CUDA builds of torch and vLLM. On a CPU host whose pip does not know torch's CPU wheels:
# PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make env
LOCK ?= main
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-deps --no-compile
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Some machines switch byte code off; compiling vLLM and torch anew would add half a minute to every stage.
export PYTHONDONTWRITEBYTECODE :=

# What lint and tests run in: the light environment where `make env-light` built one, else the full one.
READY := $(if $(wildcard .venv/.light),.venv/.light,.venv/.ready)

.PHONY: help env env-light repro test test-slow lint docs lock publish publish-students perf rehearse-profile readme card

help: ## Print the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

env: .venv/.ready .venv-eval/.ready ## Build both environments from their locks (5 GB, about 3 minutes with a warm pip cache)

.venv/.ready: requirements/$(LOCK).txt requirements/payload.txt pyproject.toml
	@echo "building .venv from requirements/$(LOCK).txt (3.3 GB, 2-3 minutes with a warm pip cache)"
	@$(PYTHON) -m venv .venv || { echo "Python 3.11 with venv is needed: install it, or name it with PYTHON=..."; exit 2; }
	@.venv/bin/python $(PIP_INSTALL) -r requirements/$(LOCK).txt -r requirements/payload.txt \
	  || { echo "pip failed. If it found no torch==2.13.0+cpu: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make env"; exit 2; }
	@.venv/bin/python $(PIP_INSTALL) --no-build-isolation -e .
	@touch $@
	@rm -f .venv/.light

# The full environment contains the light one.
env-light: $(if $(wildcard .venv/.ready),.venv/.ready,.venv/.light) ## Build an environment without torch and vLLM, for work on rooms that run no model (1 GB, 1-2 minutes)

.venv/.light: requirements/light.txt requirements/payload.txt pyproject.toml
	@echo "building .venv from requirements/light.txt (1 GB, 1-2 minutes)"
	@$(PYTHON) -m venv .venv || { echo "Python 3.11 with venv is needed: install it, or name it with PYTHON=..."; exit 2; }
	@.venv/bin/python $(PIP_INSTALL) -r requirements/light.txt -r requirements/payload.txt
	@.venv/bin/python $(PIP_INSTALL) --no-build-isolation -e .
	@touch $@

.venv-eval/.ready: requirements/eval.txt
	@echo "building .venv-eval from requirements/eval.txt (2.1 GB, 1-2 minutes with a warm pip cache)"
	@$(PYTHON) -m venv .venv-eval || { echo "Python 3.11 with venv is needed: install it, or name it with PYTHON=..."; exit 2; }
	@.venv-eval/bin/python $(PIP_INSTALL) -r requirements/eval.txt \
	  || { echo "pip failed. If it found no torch==2.13.0+cpu: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make env"; exit 2; }
	@touch $@

# JOBS=1 is plain `dvc repro`.
repro: ## Run the pipeline of params.yaml from end to end, JOBS stages at a time; run it again to go on where it stopped
	@$(MAKE) --no-print-directory -j2 env
	@stillhouse check > /dev/null
	@echo "10 minutes for the embedded default on 2 fast and idle cores, up to 45 on slow and busy ones; Ctrl-C keeps every answer, run it again to go on"
	@stillhouse repro $(if $(JOBS),--jobs $(JOBS)) || { echo "A stage failed: its message is above. Fix what it names and run make repro again;"; \
	  echo "stillhouse doctor checks the machine, the environments and the parameters."; exit 2; }
	@echo "done: report/report.html has the answer, data/release/ the data sets; dvc metrics show prints the figures"

# One process more than cores, since tests of limits and kills wait.
test: $(READY) ## Run the tests, or only some: make test FILE=tests/verify/test_math.py
	@OMP_NUM_THREADS=1 python -m pytest $(if $(findstring .py,$(FILE)),,-n $$(( $$(nproc) + 1 )) --maxprocesses 8 --dist loadfile --no-loadscope-reorder) $(FILE)

test-slow: env ## Run the tests that run real models or both environments (about 10 minutes)
	@python -m pytest -m slow

lint: $(READY) ## Check format, style, types, and the paths and code of each stage
	@ruff format --check .
	@ruff check .
	@mypy
	@python tools/stage_code.py

docs: .venv/.ready ## Build the documentation into site/
	@python tools/params_reference.py
	@python tools/commands_reference.py
	@python tools/performance_reference.py
	@mkdocs build --quiet --strict

lock: .venv/.ready ## Refresh the lock files from requirements/*.in
	@python tools/lock.py

publish: .venv/.ready ## Publish the packaged data sets to the Hub and write their receipts
	@stillhouse publish

publish-students: .venv/.ready ## Publish the trained students with their cards and write their receipts
	@stillhouse publish --students

perf: .venv/.ready ## Measure the performance of our code: make perf NAME=x writes perf/results/x.json
	@test -n "$(NAME)" || { echo "usage: make perf NAME=<one of: $$(ls perf/[a-z]*.py | xargs -n1 basename | sed 's/\.py//' | paste -sd' ')>"; exit 2; }
	@python perf/$(NAME).py

rehearse-profile: .venv/.ready ## Run a profile on tiny models up to the filter, without GPU or network: make rehearse-profile PROFILE=paper
	@test -n "$(PROFILE)" || { echo "usage: make rehearse-profile PROFILE=<one of: $$(ls profiles | paste -sd' ')>"; exit 2; }
	@python -m tools.rehearse $(PROFILE)

readme: .venv/.ready ## Put the last run's tables and chart into README.md
	@python tools/readme.py

card: .venv/.ready ## Show the cards of the last run in docs/example-cards
	@python tools/card.py
