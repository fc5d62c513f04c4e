# Set-up, tests and the demo. PYTHON chooses the interpreter; VENV the environment's folder.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
MICL_HOME ?= $(CURDIR)/.micl

.PHONY: demo test test-gpu lint man docs setup clean

demo: setup
	MICL_HOME="$(MICL_HOME)" $(BIN)/micl learn --strategy moincl --tasks img_cap,aud_qa
	MICL_HOME="$(MICL_HOME)" $(BIN)/micl report @last
	@printf '\nNext, in this shell:\n  . "%s"\n  export MICL_HOME="%s"\n  micl runs\n' "$(abspath $(BIN))/activate" "$(MICL_HOME)"

test: setup lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

test-gpu: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m gpu -rs

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy micl_cli plugins
	$(BIN)/lint-imports

# Pages for `man micl-learn`, which finds them where the environment is active.
man: setup
	$(BIN)/python docs/man.py $(VENV)/share/man/man1

# The documentation site in site/: pages open from the folder, and in `python -m http.server -d site`.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --group test -e .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		--no-deps --upgrade --target $(VENV)/torchvision torchvision
	touch $@

clean:
	rm -rf $(VENV) .micl site .mypy_cache .ruff_cache
