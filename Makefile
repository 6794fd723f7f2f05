# make report | serve | test | lab | bench | results | lint | clean
# make report DATA=~/photos NAME=mine-thesis PROFILE=thesis EPOCHS=20
.DELETE_ON_ERROR:
.PHONY: report serve test lab bench results lint clean
.DEFAULT_GOAL := report

PYTHON ?= python3
DATA ?= synthetic
NAME ?= demo
PROFILE ?=
READY := .venv/.installed

report: $(READY)
	@.venv/bin/autoparts run --data "$(DATA)" --name "$(NAME)" --profile "$(PROFILE)" $(if $(EPOCHS),-p epochs $(EPOCHS))

serve: $(READY)
	@.venv/bin/autoparts serve --run "$(NAME)"

# One thread each: two workers with two threads each on two cores mostly wait for each other, at full load.
test: $(READY)
	@.venv/bin/ruff check . && .venv/bin/ruff format --check .
	@OMP_NUM_THREADS=1 .venv/bin/pytest -n 2 --dist loadfile --no-loadscope-reorder

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

# The stamp is written last, so an interrupted installation is done again. Without an NVIDIA GPU torch is fetched without
# the libraries for one, unless the index of such builds does not answer; --reinstall asks it though torch is there. All is
# compiled to bytecode at once: where Python may not keep that, each process would do it anew, which takes seconds.
INSTALL := .venv/bin/uv pip install --compile-bytecode --python .venv/bin/python
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "autoparts needs Python 3.11 or newer; call make PYTHON=python3.12")'
	@echo "Setting up .venv, once: torch, JupyterLab and more are fetched ..."
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check uv
	@backend=; \
	if test "$$(uname)" = Linux -a -z "$$UV_TORCH_BACKEND" -a ! -e /dev/nvidia0 && ! nvidia-smi -L > /dev/null 2>&1; then \
		if UV_HTTP_TIMEOUT=10 UV_HTTP_RETRIES=0 $(INSTALL) --dry-run --no-deps --reinstall --torch-backend=cpu torch > /dev/null 2>&1; \
		then backend=--torch-backend=cpu; echo "There is no NVIDIA GPU: torch comes without the libraries for one."; \
		else echo "There is no NVIDIA GPU, but torch without the libraries for one cannot be had here: its ordinary build is 3 GB to fetch, 6 GB on disk."; \
		fi; \
	fi; \
	$(INSTALL) $$backend --editable '.[dev]'
	@touch $@
