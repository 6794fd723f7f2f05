# make report | serve | test | lab | bench | results | lint | clean
# make report DATA=~/photos NAME=mine-thesis PROFILE=thesis EPOCHS=20
.DELETE_ON_ERROR:
.PHONY: report serve test lab bench results lint clean
.DEFAULT_GOAL := report

PYTHON ?= python3
DATA ?= synthetic
NAME ?= demo
PROFILE ?= demo
READY := .venv/.installed

report: $(READY)
	@.venv/bin/autoparts run --data "$(DATA)" --name "$(NAME)" --profile "$(PROFILE)" $(if $(EPOCHS),-p epochs $(EPOCHS))

serve: $(READY)
	@.venv/bin/autoparts serve --run "$(NAME)"

test: $(READY)
	@.venv/bin/ruff check . && .venv/bin/ruff format --check .
	@.venv/bin/pytest -n 2 --dist loadfile

lab: $(READY)
	@.venv/bin/jupyter lab --ip=127.0.0.1 --notebook-dir=notebooks

bench: $(READY)
	@.venv/bin/python -m tests.benchmarks

# The README's tables, from the runs under reports/ that it names.
results: $(READY)
	@.venv/bin/python -m tests.tools.results

lint: $(READY)
	@.venv/bin/ruff check --fix . && .venv/bin/ruff format .

clean:
	rm -rf .venv

# The stamp is written last, so an interrupted installation is done again.
$(READY): pyproject.toml
	@echo "Setting up .venv, once: torch and JupyterLab are fetched, up to 3 GB (6 GB on disk, most of it torch for GPUs) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "autoparts needs Python 3.11 or newer; call make PYTHON=python3.12")'
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check uv
	@.venv/bin/uv pip install --quiet --python .venv/bin/python --editable '.[dev]'
	@touch $@
