# make demo | test | soak | fuzz | lint | bench | clean. Each sets up .venv when it must: Python 3.10 or later is all it needs.
# A PyTorch without CUDA: make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu

PYTHON ?= python3
TORCH_INDEX ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# The tests shared out among the processor's cores, each worker's in their order. One test alone: .venv/bin/pytest -k name
SHARED := -n auto --maxprocesses 8 --dist worksteal

.PHONY: demo test soak fuzz lint bench clean

demo: .venv/installed
	@mkdir -p demo
	$(BIN)/comfyui-motion animate samples/source.png samples/driving.mp4 -o demo/demo.mp4 --preview demo/demo.png
	@echo "The clip is demo/demo.mp4, its contact sheet demo/demo.png."

test: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	@if $(BIN)/pyright --version >/dev/null 2>&1; then $(BIN)/pyright -p pyproject.toml --pythonpath $(BIN)/python; else echo "pyright cannot start here (it needs Node.js): types not checked."; fi
	$(BIN)/python -m pytest $(SHARED)

# Long runs: flat memory over thousands of frames and hundreds of loads, large pictures in little memory, kills;
# and a thousand fields, boxes, films and documents of each kind. One of them: make soak ONLY=loads
soak: .venv/dev
	$(BIN)/python -m pytest -m "soak or many" --hypothesis-profile=many tests/faults $(if $(ONLY),-k "$(ONLY)")

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright -p pyproject.toml --pythonpath $(BIN)/python

bench: .venv/installed
	$(BIN)/comfyui-motion bench

# Files that mean harm, each within 5 s and 1 GB: see SECURITY.md. make fuzz SEED=1 ROUNDS=1000
SEED ?= 0
ROUNDS ?= 300
fuzz: .venv/dev
	$(BIN)/python tests/hostile/fuzz.py --seed $(SEED) --rounds $(ROUNDS)

clean:
	rm -rf .venv fuzz demo build dist *.egg-info .pytest_cache .ruff_cache

# PyTorch first: its exact version, before anything else can ask for another.
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or later is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python lacks its venv module: on Debian, apt install python3-venv"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv, once ..."
	@$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$$(grep '^torch==' constraints.txt)"
	@$(PIP) --editable .
	@touch $@

.venv/dev: .venv/installed
	@$(PIP) --editable '.[dev]'
	@touch $@
