# The two commands of the README, and what keeps them working.
#
#   make demo    train on real digits, build for a PYNQ-Z2, verify in full, say where the report is
#   make test    everything under tests/ and rtl_tests/
#
# PYTHON= picks the interpreter (3.10 or newer), VENV= the virtual environment, JOBS= how many
# tests run at once. The PYNQ driver and the notebook are tested in an environment of their own,
# PYNQ_VENV=, made by PYNQ_PYTHON= (3.10 to 3.12): pynq and torch want different versions of NumPy.

PYTHON ?= python3
VENV ?= .venv
PYNQ_PYTHON ?= $(PYTHON)
PYNQ_VENV ?= $(VENV)-pynq
JOBS ?= 2
BIN := $(VENV)/bin
SETUP := tools/setup_env.py pyproject.toml constraints.txt

# More threads than idle cores make torch wait for itself: small networks train slower, not faster.
demo: export OMP_NUM_THREADS ?= 2
test test-pynq test-long: export OMP_NUM_THREADS ?= 1
# The tests compile the same sources many times: where ccache is installed, once.
CCACHE := $(firstword $(wildcard /usr/lib/ccache /usr/lib64/ccache))
test test-pynq test-long: export PATH := $(if $(CCACHE),$(CCACHE):)$(PATH)

.PHONY: help demo test test-pynq test-long lint docs clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^#   //p' Makefile

define setup
	@command -v '$(PYTHON)' >/dev/null || { \
	  echo 'xnorhw setup: missing: $(PYTHON); sudo apt-get install python3 python3-venv' >&2; exit 1; }
	@'$(PYTHON)' tools/setup_env.py '$(VENV)' $(EXTRAS)
	@touch $@
endef

$(VENV)/.ready-demo: EXTRAS := sim,train
$(VENV)/.ready-demo: $(SETUP)
	$(setup)

$(VENV)/.ready-dev: EXTRAS := dev
$(VENV)/.ready-dev: $(SETUP)
	$(setup)

$(PYNQ_VENV)/.ready-pynq: tools/setup_env.py pyproject.toml constraints-pynq.txt
	@'$(PYNQ_PYTHON)' tools/setup_env.py '$(PYNQ_VENV)' --group pynq
	@if [ -d '$(PYNQ_VENV)' ]; then touch $@; fi

demo: $(VENV)/.ready-demo
	@mkdir -p work
	$(BIN)/xnorhw train digits -o work/digits.pt
	$(BIN)/xnorhw build --board pynq-z2 work/digits.pt -o work/digits --verify full
	@echo
	@echo "The report lies in $(CURDIR)/work/digits/report.html"

test: $(VENV)/.ready-dev $(PYNQ_VENV)/.ready-pynq
	$(BIN)/python -m pytest tests -n $(JOBS)
	$(BIN)/python -m pytest rtl_tests -n $(JOBS)
	$(call pynq_tests)

# the last part of `make test` alone; the first environment makes the builds that it drives
test-pynq: $(VENV)/.ready-dev $(PYNQ_VENV)/.ready-pynq
	$(call pynq_tests)

define pynq_tests
	@if [ -x '$(PYNQ_VENV)/bin/python' ]; then \
	  set -x; '$(PYNQ_VENV)/bin/python' -m pytest tests/pynq tests/notebook $(1) -n $(JOBS) \
	    --builder '$(abspath $(BIN))/python'; \
	else echo 'tests/pynq and tests/notebook: not run, there is no environment with pynq'; fi
endef

test-long: $(VENV)/.ready-dev $(PYNQ_VENV)/.ready-pynq
	$(BIN)/python -m pytest tests -m long -n $(JOBS)
	$(BIN)/python -m pytest rtl_tests -m long -n $(JOBS)
	$(call pynq_tests,-m long)
	$(BIN)/python -m tools.plant_faults --jobs $(JOBS)

lint: $(VENV)/.ready-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python tools/check_repository.py

docs: $(VENV)/.ready-dev
	$(BIN)/python -m sphinx --fail-on-warning --keep-going -b html docs work/docs

clean:
	rm -rf work build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)*/*' -prune -exec rm -rf {} +
