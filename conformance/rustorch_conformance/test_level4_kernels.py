"""Level 4: kernels mean what their compositions mean, on hard input too; reads and writes keep their order."""

import numpy
import pytest

import rustorch
from rustorch_conformance.checks import check_kernel
from rustorch_conformance.pytest_plugin import device_under_test
from rustorch_core import _plugins
from rustorch_core._op import REGISTRY, Op


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Compare the compositions that a kernel serves on the device; the others would meet themselves."""
    if metafunc.function is test_kernel_equals_composition:
        device = device_under_test(metafunc.config).partition(":")[0]
        served = {kernel.op for _, kernel in _plugins.facts("rustorch_kernels") if kernel.device == device}
        ops = [op for name, op in REGISTRY.items() if op.compose is not None and name in served]
        metafunc.parametrize("op", ops, ids=[op.name for op in ops])


def test_kernel_equals_composition(op: Op, device: str) -> None:
    check_kernel(op, device)


_SIZE = 256


def _matrix(seed: int) -> numpy.ndarray:  # type: ignore[type-arg]
    return numpy.random.default_rng(seed).uniform(-1, 1, (_SIZE, _SIZE)).astype("float32") / _SIZE**0.5


def _on_host(x: rustorch.Tensor) -> numpy.ndarray:  # type: ignore[type-arg]
    return numpy.array(x.device.to_host(x._array))


def test_the_host_waits_for_what_it_reads(device: str) -> None:
    matrix = _matrix(0)
    x = y = rustorch.asarray(matrix, device=device)
    expected = matrix.astype("float64")
    for _ in range(20):
        y = y @ x
        expected = expected @ matrix
    numpy.testing.assert_allclose(_on_host(y), expected, atol=1e-4 * abs(expected).max())


def test_reads_come_before_later_writes(device: str) -> None:
    matrix = _matrix(1)
    x = rustorch.asarray(matrix, device=device, copy=True)
    results = []
    for step in range(8):
        results.append(x @ x)
        x[...] = float(step)
    numpy.testing.assert_allclose(_on_host(results[0]), matrix @ matrix, atol=1e-5)
    for step, result in enumerate(results[1:]):
        numpy.testing.assert_allclose(_on_host(result), numpy.full_like(matrix, step * step * _SIZE), rtol=1e-5)


def test_synchronize_leaves_values_alone(device: str) -> None:
    x = rustorch.asarray(_matrix(2), device=device)
    before = _on_host(x @ x)
    product = x @ x
    rustorch.device(device).synchronize()
    numpy.testing.assert_array_equal(_on_host(product), before)
