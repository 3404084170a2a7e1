# make translate    train the translation model of the README, test it and draw what it attends to
# make test         run the tests, all but the long ones
# make test-all     run the long ones too
# make notebooks    open the tutorials in JupyterLab
# make lite         build a JupyterLite site: tutorials and exercises in a browser tab, with nothing installed
# make pyodide      get the Python of a browser tab from npm, for the test that compiles the package with it
# make test-parity  install PyTorch, transformers and CuPy and run all tests, including comparisons with them
# make test-notebooks  install Jupyter and run every tutorial on less data
# make docs         build the documentation into build/site (needs npm, which brings MathJax)
# make test-docs    open each of its pages in a browser
# make fuzz         odd calls and damaged files by the thousand, each right or refused in one sentence (three minutes)
# make lint         check style and types
# make benchmark    install the peers, compare with them (half an hour) and write benchmarks/RESULTS.md
#
# On a machine with an NVIDIA GPU:
#
# make test-gpu       run the tests that need one
# make benchmark-gpu  compare with PyTorch there, in float32 and TF32 (an hour), and write benchmarks/RESULTS_GPU.md
#
# CuPy is installed for CUDA 12, or with CUDA=cuda13 for 13. PyTorch is the ordinary wheel, which on Linux brings its own
# CUDA; for an older driver choose another:
# make benchmark-gpu TORCH="torch --index-url https://download.pytorch.org/whl/cu126"
#
# Each builds what it needs in .venv; nothing else is needed. ARGS="..." is passed on.

PYTHON ?= python3
CUDA ?= cuda12
TORCH ?= torch==2.13.0
MATHJAX ?= 3.2.2
BIN := .venv/bin

translate: .venv/tutorials
	$(BIN)/python tutorials/translate.py $(ARGS)

test: .venv/tutorials .venv/test
	$(BIN)/python -m pytest -n logical --dist loadfile $(ARGS)

test-all: .venv/tutorials .venv/test
	$(BIN)/python -m pytest -n logical --dist loadfile -m "not slow" $(ARGS)

test-parity: .venv/tutorials .venv/test .venv/parity
	$(BIN)/python -m pytest $(ARGS)

notebooks: .venv/notebooks
	$(BIN)/jupyter lab tutorials $(ARGS)

test-notebooks: .venv/tutorials .venv/test .venv/notebooks
	$(BIN)/python -m pytest -m notebook $(ARGS)

docs: .venv/docs build/static/mathjax/tex-svg.js
	rm -rf build/pages build/site
	$(BIN)/python docs/site/pages.py build/pages
	$(BIN)/python -m sphinx -W --keep-going -q -b html -c docs/site -d build/doctrees build/pages build/site $(ARGS)
	@echo "open build/site/index.html"

test-docs: .venv/docs .venv/test
	$(BIN)/python -m pytest -m docs -rs tests/test_site.py $(ARGS)

build/static/mathjax/tex-svg.js:
	@command -v npm >/dev/null || { echo "make docs needs npm, from which MathJax comes"; exit 1; }
	mkdir -p build/npm $(@D)
	npm install --silent --no-save --prefix build/npm mathjax@$(MATHJAX)
	cp build/npm/node_modules/mathjax/es5/tex-svg.js $@

lite: .venv/lite
	$(BIN)/python tutorials/lite.py $(ARGS)

pyodide:
	npm install --silent --no-save --prefix .venv/pyodide pyodide

fuzz: .venv/test
	$(BIN)/python -m tests.fuzz $(ARGS)

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmark: .venv/benchmark
	$(BIN)/python -m benchmarks.training_step $(ARGS)
	$(BIN)/python -m benchmarks.generation $(ARGS)
	$(BIN)/python -m benchmarks.attention_length $(ARGS)
	@if command -v valgrind >/dev/null; then $(BIN)/python -m benchmarks.instructions; else echo "no valgrind: instructions are not counted"; fi
	$(BIN)/python -m benchmarks.results

test-gpu: .venv/tutorials .venv/test .venv/$(CUDA)
	$(BIN)/python -m pytest -m gpu -rs $(ARGS)

benchmark-gpu: .venv/benchmark .venv/$(CUDA)
	$(BIN)/python -m benchmarks.training_step --backend cupy $(ARGS)
	$(BIN)/python -m benchmarks.generation --backend cupy $(ARGS)
	$(BIN)/python -m benchmarks.results --gpu

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "minixfmr needs Python 3.11 or later; $(PYTHON) is older or missing: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv .venv

.venv/tutorials .venv/notebooks .venv/lite .venv/test .venv/docs .venv/dev .venv/cuda12 .venv/cuda13: .venv/%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	@touch $@

.venv/benchmark: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --editable ".[benchmark]"
	@touch $@

.venv/parity: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --editable ".[parity]"
	@touch $@

.PHONY: translate notebooks lite pyodide docs test test-all test-docs fuzz test-notebooks test-parity lint benchmark test-gpu \
  benchmark-gpu
