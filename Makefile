# `make demo` shows it, `make test` checks it; both install what they need.

export PATH := $(CURDIR)/.venv/bin:$(PATH):$(CURDIR)/.node/bin
export PYTHONWARNINGS := ignore::SyntaxWarning
# Tests start many processes, and each would compile the same modules.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo run test tests unit lint types infra-lint audit azure faults soak bench format setup lock

help:
	@echo "make demo    start a local Azure, publish the example, upload data, follow the run"
	@echo "make run     the same local Azure, left running until Ctrl-C"
	@echo "make test    everything that CI checks, but for linters of infra/ and Microsoft's compiler"
	@echo "make unit    the fast part of the tests"
	@echo "make infra-lint  security lint of infra/ and the workflows, in an environment of its own"
	@echo "make audit   known vulnerabilities of what is pinned, asked of PyPI and npm"
	@echo "make azure   the tests that ask Azure itself; its environment variables name what"
	@echo "make faults  what goes wrong, for ten minutes: every promise is kept"
	@echo "make soak    a storm on real processes for MINUTES (30), and its books"
	@echo "make bench   what things cost, beside what they are compared with; UPLOADS (150) a storm"
	@echo "make format  format the code"
	@echo "make lock    compile requirements*.txt from pyproject.toml"

demo: setup
	@python -m examples.demo

run: setup
	@python -m examples.run

# Types and infra/ are checked beside the tests: each is one long thread, and many tests wait.
test: lint
	@$(MAKE) --no-print-directory -j 3 types infra-lint tests

tests:
	pytest -q -n 3 --dist loadfile --no-loadscope-reorder

unit: setup
	pytest -q tests/unit tests/simulation

lint: setup
	ruff check .
	ruff format --check .
	lint-imports --no-logo

types: setup
	mypy

infra-lint: setup
	@bin/infra-lint

audit: setup
	@bin/audit

azure: setup
	pytest -m azure tests/azure

faults: setup
	@python -m tests.recurrences --zones all --years 50 --minutes 1
	@python -m tests.simulation --minutes 4
	@python -m tests.faults --minutes 2

MINUTES = 30

soak: setup
	@python -m tests.faults --minutes $(MINUTES)

UPLOADS = 150

bench: setup
	@python -m tests.benchmarks --uploads $(UPLOADS)

format: setup
	ruff check --fix .
	ruff format .

setup:
	@bin/setup

LOCK = python -m uv pip compile -q --python-version 3.13 --universal --generate-hashes --no-annotate --no-header

lock: setup
	$(LOCK) pyproject.toml -o requirements.txt
	$(LOCK) pyproject.toml --extra cli --group dev -c requirements.txt -o requirements-dev.txt
	$(LOCK) requirements-lint.in --override requirements-lint.overrides -o requirements-lint.txt
	$(LOCK) requirements-audit.in -o requirements-audit.txt
