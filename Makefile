# make translate    train the translation model of the README, test it and draw what it attends to
# make test         run the tests
# make test-parity  install PyTorch, transformers and CuPy and run all tests, those that compare with them too
# make lint         check style and types
# make benchmark    install the peers, compare with them (half an hour) and write benchmarks/RESULTS.md
#
# Each builds what it needs in .venv and asks nothing else of the machine. ARGS="..." is passed on.

PYTHON ?= python3
BIN := .venv/bin

translate: .venv/tutorials
	$(BIN)/python tutorials/translate.py $(ARGS)

test: .venv/tutorials .venv/test
	$(BIN)/python -m pytest $(ARGS)

test-parity: .venv/tutorials .venv/test .venv/parity
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmark: .venv/benchmark
	$(BIN)/python -m benchmarks.training_step $(ARGS)
	$(BIN)/python -m benchmarks.generation $(ARGS)
	$(BIN)/python -m benchmarks.attention_length $(ARGS)
	$(BIN)/python -m benchmarks.results

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "minixfmr needs Python 3.11 or later; $(PYTHON) is older or missing: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv .venv

.venv/tutorials .venv/test .venv/dev: .venv/%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	@touch $@

.venv/benchmark: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --editable ".[benchmark]"
	@touch $@

.venv/parity: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --editable ".[parity]"
	@touch $@

.PHONY: translate test test-parity lint benchmark
