# Every target sets up what it needs: a Python of 3.11 or newer is all that must be there.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo smoke test integration shapes test-slow fuzz gpu matrix lint docs pictures mutants format clean

demo: $(VENV)/.experiments          ## train on handwritten digits with a learned rate, beside fixed rates
	$(BIN)/lrpilot demo

smoke: $(VENV)/.experiments         ## every table and figure of the paper at the smallest size, and their pages
	$(BIN)/lrpilot reproduce all --profile smoke --workers 2 --results runs/results
	$(BIN)/lrpilot report --profile smoke --results runs/results

test: $(VENV)/.dev                  ## the default test suite, within three minutes on two cores
	$(BIN)/python -m pytest -n 2

integration: $(VENV)/.dev           ## the tests among other people's trainers, of examples, whole commands, killed processes, long runs
	$(BIN)/python -m pytest -n 2 -m "integration and not slow"

CHECKED := action actor actor_critic calls chunk contracts critic displacement distill evaluation exploration features history \
    knobs living logbook loss_buffer losses measurement observation offline online online_changes opening oracle \
    picture pilot pilot_guard policy population ppo pretrain rates refinement repeat replay reward schedule score settings shape \
    snapshot soundness state steps timetable

shapes: $(VENV)/.dev                ## core, online, pilot and learning again, every shape and type checked at run time
	$(BIN)/python -m pytest -n 2 -m "not slow and not integration and not mistyped" --jaxtyping-packages=lrpilot,typed.check \
	    $(CHECKED:%=tests/test_%.py)

test-slow: $(VENV)/.dev             ## the long tests: learning targets
	$(BIN)/python -m pytest -m slow

fuzz: $(VENV)/.dev                  ## long: files damaged and command lines made up at random
	HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest -n 2 tests/test_fuzz_*.py

gpu: $(VENV)/.dev                   ## on a CUDA device: contract tests, a run of each controller, host waits, costs
	$(BIN)/python -m benchmarks.gpu --readme docs/reliability.md

matrix: $(VENV)/bin/python          ## the wheel under each supported Python, oldest and newest torch; CELLS=3.11/oldest
	$(BIN)/python .ci/matrix.py $(CELLS)

lint: $(VENV)/.dev                  ## style, types and the workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/zizmor --offline --quiet .github

docs: $(VENV)/.dev                  ## the documentation as a site, in runs/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

pictures: $(VENV)/.dev              ## the run that docs/how-it-works.md explains, and the notebook's pictures
	$(BIN)/python docs/pictures.py

mutants: $(VENV)/.dev               ## which changes to core, online and pilot no test notices; MODULES=core/history
	$(BIN)/python .ci/mutants.py $(MODULES)

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) runs .pytest_cache .ruff_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "lrpilot needs Python 3.11 or newer; choose one with: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'

$(VENV)/.experiments: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[experiments]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[all]' --group dev
	@touch $@ $(VENV)/.experiments
