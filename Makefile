# Each target sets up its own environment from Python, make and the package index, and keeps it until
# pyproject.toml or the constraints change:
#     make test                           the tests
#     make test PYTHON=python3.12         on another Python
#     make test ARGS="-k losses"          with arguments of the tool behind the target

PYTHON ?= python3
ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: aot aot-linear bench bench-decisions bench-linear clean credit demo distributed docs experiment FORCE help \
	keras-speed least-cost lint paper paper-quick test test-all test-floor test-newest test-wheel

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: MODULE = examples.mnist  ## Train on MNIST with cross-entropy and with RWWCE, and compare what the mistakes cost
credit: MODULE = examples.credit  ## Train with costs or decide with costs, where each customer has costs of their own
least-cost: MODULE = examples.least_cost  ## Decide by cost with scikit-learn, on a table of two classes and one of four
distributed: MODULE = examples.distributed --processes 2 --devices 2  ## Train on MNIST in two processes with two devices each
bench: MODULE = benchmarks.losses  ## Time the losses against Optax and the naive formula
bench-decisions: MODULE = benchmarks.decisions  ## Time decisions, metrics and several labels on a million examples
bench-linear: MODULE = benchmarks.linear  ## Time the loss that is fused with the last layer, and read its memory
demo credit least-cost distributed bench bench-decisions bench-linear: .venv/.stamp
	.venv/bin/python -m $(strip $(MODULE)) $(ARGS)

# XLA's older emitters compile in two thirds of the time, and what they make is as fast here.
fast-compiling = XLA_FLAGS="$$XLA_FLAGS --xla_cpu_use_fusion_emitters=false"

experiment: .venv/.stamp  ## Run NAME=paper, recipes, rare_labels or language; with ARGS=--quick in small, in a minute
	$(fast-compiling) .venv/bin/python -m experiments $(NAME) $(ARGS)

paper:  ## Reproduce the paper's tables and figure on all of MNIST, and rank what it did not try
	$(MAKE) experiment NAME=paper

paper-quick:  ## The same code on a tenth of the images
	$(MAKE) experiment NAME=paper ARGS="--quick $(ARGS)"

# $(call pytest,ENVIRONMENT,MARKERS,DISTRIBUTION): it is no error if ARGS selects none of the tests. What JAX compiles is kept, however
# small, for the second run; JAX tells apart the programs of its versions and options.
pytest = JAX_COMPILATION_CACHE_DIR=$(CURDIR)/$(1)/compiled JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 \
	$(1)/bin/python -m pytest --numprocesses=2 --dist $(or $(3),loadfile) -m $(2) $(ARGS) || [ $$? = 5 ]
common = not slow and not docs and not experiments

# What is marked "optimized", and all of test-all, is compiled as users' programs are.
test: .venv/.stamp  ## Run the tests
test-floor: .venv-floor/.stamp  ## Run the tests with Colab's packages, the oldest that pyproject.toml allows (PYTHON=python3.12)
test-newest: .venv-newest/.stamp  ## Run the tests with the newest releases there are (PYTHON=python3.12 or newer)
test test-floor test-newest:
	$(fast-compiling) $(call pytest,$(<D),"$(common) and not optimized")
	$(call pytest,$(<D),"$(common) and optimized")
	$(if $(filter test,$@),,$(call pytest,$(<D),docs -k notebook))

test-all: .venv/.stamp  ## Run the tests, those of the experiments, and the further cases of the large tables
	$(call pytest,.venv,"not docs" --hypothesis-profile=all)

# The copy holds all that the tests read, save the package: its import cannot but find the wheel.
test-wheel: .venv-wheel/.stamp  ## Run the tests against the built wheel, outside the repository
	rm -rf .venv-wheel/work
	.venv-wheel/bin/python -m build --wheel --no-isolation --outdir .venv-wheel/work/dist
	.venv-wheel/bin/python -m pip install --quiet --force-reinstall --no-deps .venv-wheel/work/dist/*.whl
	copy=$$(mktemp -d) && trap 'rm -rf "$$copy"' EXIT \
		&& cp -R README.md benchmarks docs examples experiments pyproject.toml tests "$$copy" && cd "$$copy" \
		&& "$(CURDIR)/.venv-wheel/bin/python" -c "import rwwce_jax; print('testing', rwwce_jax.__file__)" \
		&& "$(CURDIR)/.venv-wheel/bin/python" -m pytest --numprocesses=2 --pyargs rwwce_jax tests $(ARGS)

schema = .venv/bin/check-jsonschema --quiet --builtin-schema vendor.
lint: .venv/.stamp  ## Check style, types and the files that services read
	$(schema)github-workflows .github/workflows/*.yml
	$(schema)github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(schema)github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/idea.yml
	$(schema)dependabot .github/dependabot.yml
	$(schema)readthedocs .readthedocs.yaml
	$(schema)citation-file-format --force-filetype yaml CITATION.cff
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

# The pages of docs/api are written anew, so that none of a function that is gone remains.
docs: .venv/.stamp  ## Build the documentation into docs/_build/html, and run its code and that of the README
	rm -rf docs/api docs/_build/html
	.venv/bin/sphinx-build --fail-on-warning --keep-going --nitpicky --builder html docs docs/_build/html
	$(fast-compiling) $(call pytest,.venv,docs,load)

aot = JAX_PLATFORMS=cpu JAX_SKIP_CUDA_CONSTRAINTS_CHECK=1 .venv-aot/bin/python -m benchmarks
aot-linear: .venv-aot/.stamp  ## Compile the fused loss for TPU and H100 without either, and read its memory
	$(aot).aot_linear $(ARGS)

aot: .venv-aot/.stamp .venv-aot-floor/.stamp  ## Compile the losses for TPU and H100 without either, and count what they read and write
	$(aot).aot $(ARGS)
	JAX_PLATFORMS=cpu .venv-aot-floor/bin/python -m benchmarks.aot --name aot_colab $(ARGS)

keras-speed: .venv/.stamp .venv-keras/.stamp  ## Time the paper's networks in Keras on TensorFlow against ours
	.venv/bin/python -m benchmarks.keras_speed --keras .venv-keras/bin/python $(ARGS)

clean:  ## Remove all that the other targets made
	rm -rf $(environments)
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache dist docs/_build docs/api output
	find benchmarks docs examples experiments rwwce_jax tests -name __pycache__ -type d -prune -exec rm -rf {} +

# What each environment holds. In that of test-wheel the wheel replaces the editable package. The compiler of aot-floor is that of
# Colab's TPU runtime; Colab's for GPUs does not show its programs.
environments = .venv .venv-aot .venv-aot-floor .venv-floor .venv-keras .venv-newest .venv-wheel
.venv = --constraint=constraints.txt --editable . --group dev
.venv-aot = --constraint=constraints.txt --editable . --group aot
.venv-aot-floor = --constraint=constraints-floor.txt --editable . --group aot-tpu
.venv-floor = --constraint=constraints-floor.txt --editable . --group test
.venv-keras = --constraint=constraints.txt --group keras-speed
.venv-newest = --upgrade --upgrade-strategy=eager --editable . --group test
.venv-wheel = --constraint=constraints.txt --editable . --group test

# A stamp, written last, holds where the environment was built and with which Python. One that was interrupted or moved, or whose Python
# is gone, is built again from nothing. The build backend comes first, so that the constraints hold for it as well.
STAMP = $(CURDIR) $(PYTHON)
usable = [ "$$(cat $(1)/.stamp 2>/dev/null)" = "$(STAMP)" ] && $(1)/bin/python -c "" 2>/dev/null
unless-usable = $(if $(shell $(call usable,$(1)) && echo yes),,FORCE)
constraint = $(filter --constraint=%,$($(1)))
oldest = $(if $(filter .venv-newest,$(@D)),12,11)

.SECONDEXPANSION:
$(environments:=/.stamp): %/.stamp: pyproject.toml $$(subst --constraint=,,$$(call constraint,$$*)) $$(call unless-usable,$$*)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, $(oldest)))' 2>/dev/null \
		|| { echo "This needs Python 3.$(oldest) or newer, which $(PYTHON) is not: set PYTHON=/path/to/python." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "$(PYTHON) has no venv module (on Debian and Ubuntu it is the package python3-venv)." >&2; exit 1; }
	@echo "Setting up $(@D), which takes a minute or two"
	@$(call usable,$(@D)) || $(PYTHON) -m venv --clear $(@D)
	@rm -f $@
	@$(@D)/bin/python -m pip install --quiet --upgrade $(call constraint,$(@D)) pip hatchling editables
	@$(@D)/bin/python -m pip install $(if $(CI),--quiet) --no-build-isolation $($(@D))
	@echo "$(STAMP)" > $@
