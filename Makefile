# Each target sets up its own environment from Python, make and the package index, and keeps it until
# pyproject.toml or the constraints change:
#     make test                           the tests
#     make test PYTHON=python3.12         on another Python
#     make test ARGS="-k losses"          with arguments of the tool behind the target

PYTHON ?= python3
ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1

# A stamp, written last, holds where the environment was built and with which Python. An environment that was interrupted,
# moved or whose Python is gone has no such stamp or does not start, and is built again from nothing.
STAMP = $(CURDIR) $(PYTHON)
usable = [ "$$(cat $(1)/.stamp 2>/dev/null)" = "$(STAMP)" ] && $(1)/bin/python -c "" 2>/dev/null
unless-usable = $(if $(shell $(call usable,$(1)) && echo yes),,FORCE)

# $(call environment,OLDEST PYTHON,PIP'S ARGUMENTS): builds or renews the folder of the target. The build backend comes first, so that
# the constraints hold for it as well.
define environment
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < ($(1)))' 2>/dev/null \
	|| { echo "This needs Python $(subst $(comma),.,$(1)) or newer, which $(PYTHON) is not: set PYTHON=/path/to/python." >&2; exit 1; }
@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	|| { echo "$(PYTHON) has no venv module (on Debian and Ubuntu it is the package python3-venv)." >&2; exit 1; }
@echo "Setting up $(@D), which takes a minute or two"
@$(call usable,$(@D)) || $(PYTHON) -m venv --clear $(@D)
@rm -f $@
@$(@D)/bin/python -m pip install --quiet --upgrade $(filter --constraint=%,$(2)) pip hatchling editables
@$(@D)/bin/python -m pip install $(if $(CI),--quiet) --no-build-isolation $(2)
@echo "$(STAMP)" > $@
endef
comma := ,

.PHONY: help
help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: .venv/.stamp  ## Train on MNIST with cross-entropy and with RWWCE, and compare what the mistakes cost
	.venv/bin/python -m examples.mnist $(ARGS)

.PHONY: credit
credit: .venv/.stamp  ## Train with costs or decide with costs, where each customer has costs of their own
	.venv/bin/python -m examples.credit

.PHONY: least-cost
least-cost: .venv/.stamp  ## Decide by cost with scikit-learn, on a table of two classes and one of four
	.venv/bin/python -m examples.least_cost

# XLA's older emitters compile in two thirds of the time, and what they make is as fast here.
.PHONY: experiment
experiment: .venv/.stamp  ## Run NAME=paper, recipes, rare_labels or language; with ARGS=--quick in small, in a minute
	@[ -d "experiments/$(NAME)" -o -f "experiments/$(NAME).py" ] && [ "$(NAME)" ] \
		|| { echo "NAME must be paper, recipes, rare_labels or language." >&2; exit 1; }
	XLA_FLAGS="$$XLA_FLAGS --xla_cpu_use_fusion_emitters=false" .venv/bin/python -m experiments.$(NAME) $(ARGS)

.PHONY: paper
paper:  ## Reproduce the paper's tables and figure on all of MNIST, and rank what it did not try
	$(MAKE) experiment NAME=paper

.PHONY: paper-quick
paper-quick:  ## The same code on a tenth of the images
	$(MAKE) experiment NAME=paper ARGS="--quick $(ARGS)"

.PHONY: distributed
distributed: .venv/.stamp  ## Train on MNIST in two processes with two devices each, as on several machines
	.venv/bin/python -m examples.distributed --processes 2 --devices 2 $(ARGS)

# $(call pytest,ENVIRONMENT,MARKERS): runs the tests of these markers; it is no error if ARGS selects none of them. What JAX compiles
# is kept, however small, for the second run; JAX tells apart the programs of its versions and options.
pytest = JAX_COMPILATION_CACHE_DIR=$(CURDIR)/$(1)/compiled JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 \
	$(1)/bin/python -m pytest --numprocesses=2 -m $(2) $(ARGS) || [ $$? = 5 ]
common = not slow and not docs and not experiments

# XLA's older emitters compile in two thirds of the time. What is marked "optimized", and all of test-all, is compiled as users'
# programs are.
define tests
XLA_FLAGS="$$XLA_FLAGS --xla_cpu_use_fusion_emitters=false" $(call pytest,$(1),"$(common) and not optimized")
$(call pytest,$(1),"$(common) and optimized")
endef

.PHONY: test
test: .venv/.stamp  ## Run the tests
	$(call tests,.venv)

.PHONY: test-all
test-all: .venv/.stamp  ## Run the tests, those of the experiments, and the further cases of the large tables
	$(call pytest,.venv,"not docs" --hypothesis-profile=all)

.PHONY: lint
lint: .venv/.stamp schemas  ## Check style, types and the files that services read
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

schema = .venv/bin/check-jsonschema --quiet --builtin-schema vendor.$(1)

.PHONY: schemas
schemas: .venv/.stamp
	$(call schema,github-workflows) .github/workflows/*.yml
	$(call schema,github-issue-config) .github/ISSUE_TEMPLATE/config.yml
	$(call schema,github-issue-forms) .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/idea.yml
	$(call schema,dependabot) .github/dependabot.yml
	$(call schema,readthedocs) .readthedocs.yaml
	$(call schema,citation-file-format) --force-filetype yaml CITATION.cff

# The pages of docs/api are written anew, so that none of a function that is gone remains.
sphinx = .venv/bin/sphinx-build --fail-on-warning --keep-going --nitpicky --builder

.PHONY: docs
docs: .venv/.stamp  ## Build the documentation into docs/_build/html, and run its code and that of the README
	rm -rf docs/api docs/_build/html
	$(sphinx) html docs docs/_build/html
	$(call pytest,.venv,docs)

.PHONY: docs-look
docs-look: .venv/.stamp  ## Open every page of the documentation in Chromium, narrow, wide, light and dark, and check it
	rm -rf docs/api docs/_build/html
	$(sphinx) html docs docs/_build/html
	.venv/bin/python docs/look.py

.PHONY: bench
bench: .venv/.stamp  ## Time the losses against Optax and the naive formula
	.venv/bin/python -m benchmarks.losses $(ARGS)

.PHONY: bench-linear
bench-linear: .venv/.stamp  ## Time the loss that is fused with the last layer against stored logits, and read its memory
	.venv/bin/python -m benchmarks.linear $(ARGS)

.PHONY: aot-linear
aot-linear: .venv-aot/.stamp  ## Compile the fused loss for TPU and H100 without either, and read its memory
	JAX_PLATFORMS=cpu JAX_SKIP_CUDA_CONSTRAINTS_CHECK=1 .venv-aot/bin/python -m benchmarks.aot_linear $(ARGS)

.PHONY: aot
aot: .venv-aot/.stamp .venv-aot-floor/.stamp  ## Compile the losses for TPU and H100 without either, and count what they read and write
	JAX_PLATFORMS=cpu JAX_SKIP_CUDA_CONSTRAINTS_CHECK=1 .venv-aot/bin/python -m benchmarks.aot $(ARGS)
	JAX_PLATFORMS=cpu .venv-aot-floor/bin/python -m benchmarks.aot --name aot_colab $(ARGS)

.PHONY: keras-speed
keras-speed: .venv/.stamp .venv-keras/.stamp  ## Time the paper's networks in Keras on TensorFlow against ours
	.venv/bin/python -m benchmarks.keras_speed --keras .venv-keras/bin/python $(ARGS)

.PHONY: test-floor
test-floor: .venv-floor/.stamp  ## Run the tests with Colab's packages, the oldest that pyproject.toml allows (PYTHON=python3.12)
	$(call tests,.venv-floor)

.PHONY: test-newest
test-newest: .venv-newest/.stamp  ## Run the tests with the newest releases there are (PYTHON=python3.12 or newer)
	$(call tests,.venv-newest)

# The copy holds all that the tests read, save the package: its import cannot but find the wheel.
.PHONY: test-wheel
test-wheel: .venv-wheel/.stamp  ## Run the tests against the built wheel, outside the repository
	rm -rf .venv-wheel/work
	.venv-wheel/bin/python -m build --wheel --no-isolation --outdir .venv-wheel/work/dist
	.venv-wheel/bin/python -m pip install --quiet --force-reinstall --no-deps .venv-wheel/work/dist/*.whl
	copy=$$(mktemp -d) && trap 'rm -rf "$$copy"' EXIT \
		&& cp -R README.md benchmarks docs examples experiments pyproject.toml tests "$$copy" && cd "$$copy" \
		&& "$(CURDIR)/.venv-wheel/bin/python" -c "import rwwce_jax; print('testing', rwwce_jax.__file__)" \
		&& "$(CURDIR)/.venv-wheel/bin/python" -m pytest --numprocesses=2 --pyargs rwwce_jax tests $(ARGS)

.PHONY: clean
clean:  ## Remove all that the other targets made
	rm -rf .venv .venv-aot .venv-aot-floor .venv-floor .venv-keras .venv-newest .venv-wheel
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache dist docs/_build docs/api output
	find benchmarks docs examples experiments rwwce_jax tests -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.stamp: pyproject.toml constraints.txt $(call unless-usable,.venv)
	$(call environment,3$(comma)11,--constraint=constraints.txt --editable '.[examples$(comma)paper$(comma)recipes]' --group dev)

.venv-aot/.stamp: pyproject.toml constraints.txt $(call unless-usable,.venv-aot)
	$(call environment,3$(comma)11,--constraint=constraints.txt --editable . --group aot)

# The compiler of Colab's TPU runtime; that for GPUs does not show its programs in this version.
.venv-aot-floor/.stamp: pyproject.toml constraints-floor.txt $(call unless-usable,.venv-aot-floor)
	$(call environment,3$(comma)11,--constraint=constraints-floor.txt --editable . --group aot-tpu)

.venv-keras/.stamp: pyproject.toml constraints.txt $(call unless-usable,.venv-keras)
	$(call environment,3$(comma)11,--constraint=constraints.txt --group keras-speed)

.venv-floor/.stamp: pyproject.toml constraints-floor.txt $(call unless-usable,.venv-floor)
	$(call environment,3$(comma)11,--constraint=constraints-floor.txt --editable '.[examples$(comma)paper]' --group test)

.venv-newest/.stamp: pyproject.toml $(call unless-usable,.venv-newest)
	$(call environment,3$(comma)12,--upgrade --upgrade-strategy=eager --editable '.[examples$(comma)paper]' --group test)

# The wheel replaces the editable package in the recipe of test-wheel.
.venv-wheel/.stamp: pyproject.toml constraints.txt $(call unless-usable,.venv-wheel)
	$(call environment,3$(comma)11,--constraint=constraints.txt --editable '.[examples$(comma)paper]' --group test)

.PHONY: FORCE
FORCE:
