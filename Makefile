# Two commands do all the set-up: `make demo` and `make test`. Both build .venv/.
# To take torch from a CPU-only index:  make demo TORCH_INDEX=URL

PYTHON ?= python3
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := subimages sim export train embedded ground cli benchmarks
DEMO_FLAGS ?=

.PHONY: demo test lint docs clean

demo: $(VENV)/.installed
	$(BIN)/slewguard demo --out out/demo $(DEMO_FLAGS)

test: $(VENV)/.installed lint
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p build/tree && ln -sfn ../.. build/tree/slewguard
	cd build/tree && MYPYPATH=. ../../$(BIN)/mypy --config-file ../../pyproject.toml $(PACKAGES:%=-p slewguard.%)

docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -e '.[docs]'
	$(BIN)/sphinx-build -W --keep-going docs docs/_build

clean:
	rm -rf $(VENV) build out docs/_build *.egg-info

# tflite-runtime ends at Python 3.11; pip leaves it out by its marker on newer ones.
$(VENV)/.installed: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "slewguard needs $(PYTHON): apt install python3"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "slewguard needs Python 3.11 to 3.13: make PYTHON=python3.11"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "slewguard needs venv: apt install python3-venv"; exit 2; }
	@command -v cc >/dev/null || { echo "slewguard needs a C compiler: apt install gcc libc6-dev"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(BIN)/python -m pip install --quiet torch==2.13.0 --index-url $(TORCH_INDEX))
	$(BIN)/python -m pip install --quiet -e '.[train,plots,tflite,litert,test]'
	@touch $@
