# Every target builds its own virtual environment; nothing needs to be installed before but Python 3.11+ and make.
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check
WHEEL = $(wildcard dist/pytest_mle-*.whl)
ENVIRONMENTS = .venvs
export OMP_NUM_THREADS ?= 2

.PHONY: help demo demo-full test test-slow test-matrix lint format wheel docs clean

help:
	@echo "make demo         run the example's checklist and say where the reports are"
	@echo "make demo-full    run every item of the training chapter on the example's own training; ends red, as its README says"
	@echo "make test         lint, types, layers and tests"
	@echo "make test-slow    what takes longer: scale, other processes, the example's training"
	@echo "make test-matrix  the parts without torch on Python 3.11 to 3.13, oldest and newest pytest"
	@echo "make format       format the code"
	@echo "make docs         write the generated reference pages"
	@echo "make clean        remove environments, builds and caches"

$(ENVIRONMENTS)/demo/ready: pyproject.toml constraints.txt $(shell find pytest_mle -type f -not -name '*.pyc')
	$(PYTHON) -m venv $(ENVIRONMENTS)/demo
	$(ENVIRONMENTS)/demo/bin/python $(PIP_INSTALL) -c constraints.txt torch==2.13.0
	$(ENVIRONMENTS)/demo/bin/python $(PIP_INSTALL) -c constraints.txt --force-reinstall --no-deps .
	$(ENVIRONMENTS)/demo/bin/python $(PIP_INSTALL) -c constraints.txt "pytest-mle[vision,fast,onnx,torch] @ file://$(CURDIR)"
	touch $@

demo: $(ENVIRONMENTS)/demo/ready
	cd example_project && ../$(ENVIRONMENTS)/demo/bin/pytest --mle-spec=spec.yaml
	@echo
	@echo "One JUnit XML per base practice: example_project/mle-reports/junit/"
	@echo "Everything that was measured:    example_project/mle-reports/results.json"
	@echo "The same checks on damaged data and bad models: cd example_project && ../$(ENVIRONMENTS)/demo/bin/pytest --mle-spec=spec_red.yaml"

$(ENVIRONMENTS)/demo/mlflow: $(ENVIRONMENTS)/demo/ready
	$(ENVIRONMENTS)/demo/bin/python $(PIP_INSTALL) -c constraints.txt "pytest-mle[mlflow] @ file://$(CURDIR)"
	touch $@

# Exit code 1 is a red gate, which is right as long as sign-offs are owed; tests/example holds each verdict.
demo-full: $(ENVIRONMENTS)/demo/mlflow
	cd example_project && { ../$(ENVIRONMENTS)/demo/bin/pytest --mle-spec=spec_full.yaml --mle-report-dir=mle-reports/full || test $$? -eq 1; }
	@echo
	@echo "Which verdicts are expected, and why some are red: example_project/README.md"
	@echo "One JUnit XML per base practice: example_project/mle-reports/full/junit/"

# The wheel is what is tested, not the source folder.
wheel: $(ENVIRONMENTS)/build/ready
	rm -rf dist build
	$(ENVIRONMENTS)/build/bin/python -m build --wheel --no-isolation . > /dev/null

$(ENVIRONMENTS)/build/ready: constraints.txt
	$(PYTHON) -m venv $(ENVIRONMENTS)/build
	$(ENVIRONMENTS)/build/bin/python $(PIP_INSTALL) -c constraints.txt build setuptools
	touch $@

$(ENVIRONMENTS)/test/ready: pyproject.toml constraints.txt tests/requirements.txt
	$(PYTHON) -m venv $(ENVIRONMENTS)/test
	$(ENVIRONMENTS)/test/bin/python $(PIP_INSTALL) -c constraints.txt torch==2.13.0
	$(ENVIRONMENTS)/test/bin/python $(PIP_INSTALL) -c constraints.txt -r tests/requirements.txt ".[all]"
	$(ENVIRONMENTS)/test/bin/python $(PIP_INSTALL) -c constraints.txt --no-deps torchattacks
	touch $@

.PHONY: installed
installed: wheel $(ENVIRONMENTS)/test/ready
	$(ENVIRONMENTS)/test/bin/python $(PIP_INSTALL) --force-reinstall --no-deps dist/pytest_mle-*.whl

test: installed lint
	# Tests of signals and time limits can miss them on a busy machine: tried once more, and reported as rerun.
	$(ENVIRONMENTS)/test/bin/pytest -m "not slow" -n 2 --dist loadfile --reruns 1

test-slow: installed
	$(ENVIRONMENTS)/test/bin/pytest -m slow

test-matrix: wheel
	PYTHON=$(PYTHON) ENVIRONMENTS=$(ENVIRONMENTS) sh tests/matrix.sh

lint: $(ENVIRONMENTS)/test/ready
	$(ENVIRONMENTS)/test/bin/ruff format --check .
	$(ENVIRONMENTS)/test/bin/ruff check .
	$(ENVIRONMENTS)/test/bin/mypy
	$(ENVIRONMENTS)/test/bin/lint-imports

format: $(ENVIRONMENTS)/test/ready
	$(ENVIRONMENTS)/test/bin/ruff format .
	$(ENVIRONMENTS)/test/bin/ruff check --fix .

docs: installed
	$(ENVIRONMENTS)/test/bin/python docs/generate_reference.py

clean:
	rm -rf $(ENVIRONMENTS) build dist *.egg-info mle-reports .mle-cache .pytest_cache .mypy_cache .ruff_cache
	rm -rf example_project/mle-reports example_project/.mle-cache
