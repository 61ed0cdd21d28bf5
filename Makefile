# `make demo` and `make test` need nothing but Python 3.10 or newer (with venv) and a network.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test lint bench slides site clean

demo: $(VENV)/installed
	$(BIN)/python train_cifar100.py --dataset shapes --network cifar-2x2 --width 0.25 \
	    --epochs 6 --lr 0.3 --out runs/demo --overwrite

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

# Speed and memory beside PyTorch: the better part of an hour, on a machine that does nothing else.
bench: $(VENV)/installed-test
	$(BIN)/python -m benchmarks

# The pages of docs and the stepper's lessons, for a browser: open site/index.html.
site: $(VENV)/installed-docs
	rm -rf site
	$(BIN)/python -m sphinx -W --keep-going -q -E -d build/doctrees docs site

# The slides of docs/teaching: needs Node.js and a browser.
slides:
	$(PYTHON) docs/teaching/build.py

clean:
	rm -rf $(VENV) build site *.egg-info .pytest_cache .ruff_cache

$(VENV)/created:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/installed: $(VENV)/created pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@
