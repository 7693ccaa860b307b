# Everything happens in .venv; ARGS goes through to the command: make run ARGS="--fast", make test ARGS="tests/test_run.py"
PY := .venv/bin
.PHONY: setup run test test-all check docs figures

setup: .venv/.ready

# Again whenever the dependencies change. Torch first, so that nothing else chooses its build.
.venv/.ready: pyproject.toml constraints.txt
	test -x $(PY)/python || python3 -m venv .venv
	$(PY)/pip install --quiet -c constraints.txt "$$(grep '^torch==' constraints.txt)"
	$(PY)/pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

run: setup
	$(PY)/alignlab run --out runs/demo $(ARGS)

# Workers of one thread each: the same figures on any number of cores. Three on two cores, since some tests wait.
test: setup
	OMP_NUM_THREADS=1 $(PY)/pytest -n 3 --dist worksteal $(ARGS)

# The campaigns too: seeded faults, mutated files, hostile folders.
test-all: setup
	OMP_NUM_THREADS=1 $(PY)/pytest -n 2 -m "campaign or not campaign" --timeout 3600 $(ARGS)

check: setup
	$(PY)/ruff format --check .
	$(PY)/ruff check .
	$(PY)/pyright
	$(PY)/lint-imports
	$(MAKE) docs
	$(MAKE) test

# The documentation with its reference, in build/docs; a warning is an error.
docs: setup
	OMP_NUM_THREADS=1 $(PY)/python -m sphinx -q -W --keep-going -b html docs build/docs

# Every page's figures anew, two units side by side; it says first how long that will take, and goes on where
# it was: make figures ARGS="--only results,recipes"
figures: setup
	$(PY)/python benchmarks/figures.py $(ARGS)
