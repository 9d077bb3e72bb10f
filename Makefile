# The commands anyone must know: `make help`. Each sets up what it needs in .venv, from a bare checkout:
# all that has to be there is Python >= 3.10, a Rust toolchain and make.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

FUZZ_SECONDS ?= 3600

# One interpreter and one way of linking for cargo, maturin and clippy alike: otherwise each rebuilds the others' work.
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
export PYO3_BUILD_EXTENSION_MODULE := 1
unexport CONDA_PREFIX

SOURCES := pyproject.toml Cargo.toml $(wildcard Cargo.lock) \
           $(shell find rust -name '*.rs' -o -name Cargo.toml)

.DEFAULT_GOAL := help
.PHONY: help demo figures test smoke fuzz sanitize aarch64 instructions notices bench lint format docs clean

help: ## say what there is
	@grep -E '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/.demo ## train five methods on 1848 schools in 537 districts; writes demo.png
	$(BIN)/python examples/demo.py

figures: $(VENV)/.demo ## the ten figures of docs/regularization.md, as figure*.png; about a minute
	for script in examples/regularization/figure*.py; do $(BIN)/python $$script || exit; done

test: $(VENV)/.dev ## the Rust tests, then the Python tests
	cargo test --workspace --exclude rfp-benches --profile checked -- --include-ignored
	$(BIN)/python -m pytest -n 2

smoke: $(VENV)/.installer ## wheel and sdist in fresh environments: every Python at hand, oldest and newest dependencies
	$(BIN)/python -m pip install --quiet 'uv>=0.5'
	rm -rf dist/packages
	$(BIN)/maturin build --release --sdist --out dist/packages
	$(BIN)/python tests/install/environments.py dist/packages/*

fuzz: $(VENV)/.dev ## new hostile arguments for every public callable, and spoilt files, for an hour (FUZZ_SECONDS)
	RFPCORE_FUZZ_SECONDS=$(FUZZ_SECONDS) RFPCORE_FUZZ_MUTATIONS=10000 RFPCORE_FUZZ_JOURNAL=fuzz-last-call.txt \
	    $(BIN)/python -m pytest tests/fuzz

# Both need a nightly toolchain. Miri interprets: only what is small enough is run by it, on the portable kernel.
MIRI_TESTS := network::head:: network::workspace:: objective::inner:: particles::tests::a_step

sanitize: ## Miri and AddressSanitizer over the kernel's tests, where a nightly toolchain with miri and rust-src is there
	@if ! rustup run nightly cargo miri --version >/dev/null 2>&1; then \
	    echo "MISSING: make sanitize needs 'rustup toolchain install nightly --component miri --component rust-src'"; exit 1; fi
	MIRIFLAGS="-Zmiri-tree-borrows -Zmiri-disable-isolation" cargo +nightly miri test -p rfp-kernel --lib -- $(MIRI_TESTS)
	RUSTFLAGS=-Zsanitizer=address cargo +nightly test -p rfp-kernel --release --lib --tests \
	    --target $$(rustc +nightly -vV | sed -n 's/^host: //p') --target-dir target/sanitize

# On an ARM machine `make test` does this faster. NEON and the portable kernel are emulated, half an hour; the wheel is for any
# Linux with glibc 2.17.
ARM      := aarch64-unknown-linux-gnu
EMULATOR := qemu-aarch64 -L /usr/aarch64-linux-gnu

aarch64: $(VENV)/.installer ## the kernel's tests with NEON under qemu, and a wheel for ARM in dist; see what it needs there
	@rustc --print target-libdir --target $(ARM) 2>/dev/null | xargs -r test -d || \
	    { echo "MISSING: make aarch64 needs 'rustup target add $(ARM)'"; exit 1; }
	@for program in qemu-aarch64 aarch64-linux-gnu-gcc; do command -v $$program >/dev/null || \
	    { echo "MISSING: $$program; make aarch64 needs 'apt-get install qemu-user gcc-aarch64-linux-gnu'"; exit 1; }; done
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc RFPCORE_TEST_RUNNER="$(EMULATOR)" \
	    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$(EMULATOR)" \
	    cargo test -p rfp-kernel --profile checked --target $(ARM) --lib --tests
	$(BIN)/python -m pip install --quiet ziglang
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/maturin build --release --zig --target $(ARM) --compatibility manylinux2014 --out dist

instructions: ## count the kernel's instructions by valgrind; fails where a pass takes 3 % more than benches/instructions.json
	$(PYTHON) -m benches.instructions

notices: ## write THIRD-PARTY-NOTICES anew, after a change of Cargo.lock
	$(PYTHON) rust/notices.py

bench: $(VENV)/.bench ## time the kernel against torch and JAX; writes benches/RESULTS.md and benches/results/VENDOR
	$(BIN)/python -m benches.run

lint: $(VENV)/.dev ## everything that checks without running: rustfmt, clippy, rustdoc, ruff, mypy, stubtest, workflows
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --release -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
	$(BIN)/python rust/notices.py --check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest --mypy-config-file pyproject.toml rfpcore._rfpcore
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

format: $(VENV)/.dev ## rewrite the code in the one accepted form
	cargo fmt --all
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.docs ## the site, in dist/docs, without network and without warnings; the kernel's reference, in target/doc
	$(BIN)/sphinx-build -W --keep-going -b html docs dist/docs
	$(BIN)/python -m pytest tests/system/test_site.py
	cargo doc --no-deps --package rfp-kernel

clean: ## remove what the commands above have made
	rm -rf $(VENV) target dist demo.png figure*.png fuzz-last-call.txt .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf docs/reference docs/reports docs/tutorials docs/sg_execution_times.rst
	rm -f python/rfpcore/_rfpcore*.so

# The extras and dependency groups of pyproject.toml that a command needs. The demo needs neither torch nor JAX.
$(VENV)/.demo:  NEEDS := --extras examples
$(VENV)/.dev:   NEEDS := --extras iv,progress,examples --group check
$(VENV)/.bench: NEEDS := --extras examples --group bench
$(VENV)/.docs:  NEEDS := --extras iv,examples --group docs

# The package built from the sources as they are, editable, with those.
$(VENV)/.demo $(VENV)/.dev $(VENV)/.bench $(VENV)/.docs: $(SOURCES) | $(VENV)/.installer
	@echo "Building rfpcore and installing its requirements ($(NEEDS))"
	$(BIN)/maturin develop --release $(NEEDS)
	@touch $@

# pip reads dependency groups from 25.1 on; Python 3.10 and 3.11 come with an older one.
$(VENV)/.installer:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1' maturin==1.16.0
	@touch $@
