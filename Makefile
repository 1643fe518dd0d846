# Two commands: `make demo` trains a model, `make test` runs every test. Each makes .venv by itself the first time.
# After that neither needs the network.

PYTHON ?= python3
# What `make bench` measures, and beside whom: `make bench SUITES="tensor_ops memory" PEERS="torch numpy"`.
SUITES ?= quick
PEERS ?= numpy
BIN := .venv/bin
PIP := PATH="$(abspath .venv/bin):$$PATH" $(BIN)/python -m pip --disable-pip-version-check --quiet install
SIMD_SOURCES := $(shell find plugins/rustorch_simd -type f -not -path '*/__pycache__/*' -not -path '*/build/*' 2>/dev/null)

# Of the table's gradients, which `rustorch-conformance --device strict` checks whole, those that take the least time;
# and what arrays that cannot be written change. The other tests of tensors pass on both devices too.
ON_STRICT := -k "single_precision or not test_level3_gradients"
# What an accelerator may break: memory of its own, views, gradients, exchange; and the levels but for gradients.
ON_LOOPBACK := tests/test_autograd.py tests/test_autograd_hooks.py tests/test_devices.py tests/test_exchange.py \
	tests/test_mutation.py tests/test_nn.py tests/test_optim.py tests/test_profiler.py conformance -k "not test_level3_gradients"
ON_FROZEN := tests/test_autograd.py tests/test_mutation.py tests/test_nn.py conformance -k "not test_level3_gradients"

.PHONY: demo test test-peers check bench clean

demo: .venv/demo .venv/simd
	$(BIN)/rustorch demo

test: .venv/dev .venv/simd
	$(BIN)/python -m pytest -q
	RUSTORCH_DEVICE=strict $(BIN)/python -m pytest -q $(ON_STRICT)
	RUSTORCH_DEVICE=frozen $(BIN)/python -m pytest -q $(ON_FROZEN)
	RUSTORCH_DEVICE=loopback $(BIN)/python -m pytest -q $(ON_LOOPBACK)

test-peers: .venv/peers
	$(BIN)/python -m pytest -q tests/peers

check: .venv/dev .venv/simd
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python docs/check_examples.py

bench: .venv/dev .venv/simd
	$(BIN)/rustorch bench $(SUITES) $(addprefix --peer ,$(PEERS))

clean:
	rm -rf .venv runs .pytest_cache .mypy_cache .ruff_cache .hypothesis

# The tools that build our own distributions live in .venv too, so that building again needs no network.
.venv/tools:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "RusTorch needs Python 3.11 or newer; set PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(PIP) "hatchling>=1.26" editables "meson-python>=0.17" ninja "numpy>=2.1"
	@touch $@

.venv/demo: pyproject.toml | .venv/tools
	$(PIP) --no-build-isolation -e ".[demo]"
	@touch $@

.venv/dev: pyproject.toml conformance/pyproject.toml conformance/strict_device/pyproject.toml conformance/loopback_device/pyproject.toml | .venv/tools
	$(PIP) --no-build-isolation -e ".[dev]" -e ./conformance -e ./conformance/strict_device -e ./conformance/loopback_device
	@touch $@ .venv/demo

.venv/peers: pyproject.toml | .venv/dev
	$(PIP) --no-build-isolation -e ".[dev,peers]"
	@touch $@

# Without a C compiler everything still works, on NumPy's own functions, and the build is tried again the next time.
.venv/simd: $(SIMD_SOURCES) | .venv/tools
	@if $(PIP) --no-build-isolation --no-deps --force-reinstall ./plugins/rustorch_simd > .venv/simd.log 2>&1; \
		then touch $@; \
		else echo "rustorch_simd was not built (no working C compiler? see .venv/simd.log); going on without its kernels"; fi
