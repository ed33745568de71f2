.DEFAULT_GOAL := help
.PHONY: help setup lock audit demo up check test test-slow e2e bench device-check docs

VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := $(VENV)/bin
STAMP := $(VENV)/.cryocloud-setup
PIP := $(BIN)/python -m pip install --quiet
LOCKED := --require-hashes --requirement requirements.lock
# The builds of torch without CUDA, where pip is not set up for them already.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## a virtual environment with everything in it

# The lock is for one platform. Elsewhere: pip install --editable '.[engine,web,client,postgres,billing,payments,test,dev,docs]'
$(STAMP): pyproject.toml requirements.lock requirements-data.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "requirements.lock is for Python 3.11; set PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) $(LOCKED) || $(PIP) --extra-index-url $(TORCH_INDEX) $(LOCKED)
	$(PIP) --no-deps --require-hashes --requirement requirements-data.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	$(BIN)/python -m cryocloud.compute.warm  # confined jobs take compiled kernels from there
	touch $@

lock: ## renew requirements.lock from the ranges in pyproject.toml (UPGRADE=--upgrade for the newest releases)
	test -x build/lock/bin/uv || { $(PYTHON) -m venv build/lock && build/lock/bin/python -m pip install --quiet uv==0.13.9; }
	build/lock/bin/uv pip compile pyproject.toml --all-extras --generate-hashes --no-annotate --quiet \
		--python-version 3.11 --python-platform x86_64-manylinux_2_28 --custom-compile-command 'make lock' \
		$(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS),--torch-backend cpu) $(UPGRADE) --output-file requirements.lock

audit: $(STAMP) ## bill of materials in build/, known vulnerabilities of what is locked
	$(BIN)/python checks/sbom.py
	$(BIN)/python checks/audit.py

up: $(STAMP) ## the platform at http://127.0.0.1:8000, with its data in cryocloud-data/ (Ctrl-C stops it)
	$(BIN)/cryocloud up

demo: $(STAMP) ## simulate micrographs, process them on the platform and compare with the truth (4 minutes on 2 cores)
	$(BIN)/cryocloud demo --out demo --overwrite

check: $(STAMP) ## style, types, architecture, size limits, licenses, names of tests (a minute)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python checks/size_limits.py
	$(BIN)/python checks/one_door.py
	$(BIN)/python checks/licenses.py
	$(BIN)/python checks/lock.py
	$(BIN)/python checks/collection.py

# One thread for each of the two test processes: waiting threads spin, and cost more than they help.
test test-slow e2e: export OMP_NUM_THREADS = 1
test test-slow e2e: export NUMBA_NUM_THREADS = 1

test: $(STAMP) ## all quick tests (8 minutes on 2 cores)
	$(BIN)/python -m pytest -n 2 -m 'not slow'

test-slow: $(STAMP) ## the long tests
	$(BIN)/python -m pytest -n 2 -m 'slow and not e2e'

e2e: $(STAMP) ## the whole journey in browsers (Debian's chromium and firefox-esr), with simulated and real micrographs (30 minutes)
	$(BIN)/python -m pytest -m e2e tests/e2e

bench: $(STAMP) ## speed and accuracy against known truth and against RELION
	$(BIN)/python -m benchmarks

device-check: $(STAMP) ## the engine on this machine's GPU against the CPU and the hardware's limits (8 minutes); tiny without one
	$(BIN)/python -m benchmarks.device

docs: $(STAMP) ## the manual as web pages in site/
	$(BIN)/mkdocs build --strict --quiet
	@echo "open site/index.html"
