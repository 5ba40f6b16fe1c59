# Everything lives in .venv. `make setup` builds it once and is instant afterwards.
# The first of these that runs and can make environments: a version manager's shim may do neither.
PYTHON ?= $(firstword $(shell for p in python3.11 /usr/bin/python3.11; do \
    $$p -c 'import ensurepip' 2>/dev/null && echo $$p; done) python3.11)
BIN := .venv/bin
STAMP := .venv/.installed
GL_PACKAGES := libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri libgles2 libosmesa6
NOT_ALONE := blocks transport_openpi openpi_caller openpi_sides suites suite_sides
DEMO_SHIFT := $(BIN)/takt shift --cycles 4 --seed 1000000

export MUJOCO_GL ?= egl
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup system demo test check format type bench
.DEFAULT_GOAL := help

help:
	@echo "make setup   build .venv; as root also the libraries for headless rendering"
	@echo "make demo    a short shift of the nut station in both modes, with reports"
	@echo "make test    every test"
	@echo "make check   lint, format, types, architecture"
	@echo "make format  rewrite the sources in the house style"
	@echo "make type    pyright alone"
	@echo "make bench   every speed claim, measured here; takes long"

setup: system $(STAMP)

# dpkg-query fails if one of the packages is unknown or absent; the whole check takes milliseconds.
system:
	@missing=$$(for p in $(GL_PACKAGES); do \
	    dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	missing=$$(echo $$missing); \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing for headless rendering: $$missing"; \
	    export DEBIAN_FRONTEND=noninteractive; \
	    apt-get update -qq && apt-get install -qq -y --no-install-recommends \
	        -o DPkg::Lock::Timeout=120 $$missing </dev/null >/dev/null && exit 0; \
	    echo "could not install them; rendering may fail, see 'takt doctor'" >&2; \
	else \
	    echo "headless rendering needs these packages, and only root can install them:" >&2; \
	    echo "    sudo apt-get install -y --no-install-recommends $$missing" >&2; \
	fi

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; assert sys.version_info[:2] >= (3, 11)' 2>/dev/null || { \
	    echo "expected Python 3.11 as '$(PYTHON)'; install it (Debian: apt-get install python3.11 python3.11-venv)" >&2; \
	    echo "or name another one: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "'$(PYTHON)' cannot make virtual environments; on Debian: apt-get install python3.11-venv" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install -c constraints.txt -e '.[all,dev]'
	@touch $@

demo: setup
	@rm -rf out/demo
	$(DEMO_SHIFT) --mode sync --out out/demo/sync
	$(DEMO_SHIFT) --mode async --out out/demo/async --beside out/demo/sync
	@echo
	@echo "asynchronous: $(CURDIR)/out/demo/async/report.html"
	@echo "synchronous:  $(CURDIR)/out/demo/sync/report.html"

test: setup
	OMP_NUM_THREADS=1 PYTHONHASHSEED=0 $(BIN)/python -m pytest

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python -m pytest -q tests/architecture

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

type: setup
	$(BIN)/pyright

# Not the two that ask for what is not here (a policy of the blocks table, openpi's client), nor what
# only they start. One that fails, or misses its claim, does not keep the others from running.
bench: setup
	@failed=; for script in $(filter-out $(NOT_ALONE:%=bench/%.py),$(sort $(wildcard bench/*.py))); do \
	    echo "== $$script"; $(BIN)/python $$script || failed="$$failed $$script"; \
	done; \
	[ -z "$$failed" ] || { echo "failed, or missed what it claims:$$failed" >&2; exit 1; }
