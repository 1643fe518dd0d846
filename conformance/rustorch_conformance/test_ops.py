"""One row for each op of the registry: values, gradients, kernels."""

import pytest

import rustorch
from rustorch_conformance.checks import check_dtypes, check_gradient, check_kernel, check_value
from rustorch_conformance.pytest_plugin import device_under_test
from rustorch_core import _plugins
from rustorch_core._data_types import CATEGORIES
from rustorch_core._op import REGISTRY, Op

OPS = [pytest.param(op, id=name) for name, op in REGISTRY.items()]


def _has_real_gradient(op: Op) -> bool:
    return op.is_differentiable and bool(CATEGORIES["real floating-point"] & CATEGORIES[op.category])


def _has_complex_gradient(op: Op) -> bool:
    return bool(op.rules) and bool(CATEGORIES["complex floating-point"] & CATEGORIES[op.category])


@pytest.mark.parametrize("op", OPS)
def test_values(op: Op, device: str) -> None:
    for dtype in check_dtypes(op, device):
        check_value(op, dtype, device)


@pytest.mark.parametrize("op", [case for case in OPS if _has_real_gradient(case.values[0])])
def test_gradient(op: Op, device: str) -> None:
    check_gradient(op, device)


@pytest.mark.parametrize("op", [case for case in OPS if _has_complex_gradient(case.values[0])])
def test_complex_gradient(op: Op, device: str) -> None:
    check_gradient(op, device, dtype="complex128")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Compare the compositions that a kernel serves on the device; the others would meet themselves."""
    if metafunc.function is test_kernel_equals_composition:
        device = rustorch.device(device_under_test(metafunc.config)).type
        served = {kernel.op for _, kernel in _plugins.facts("rustorch_kernels") if kernel.device == device}
        ops = [case for case in OPS if case.values[0].compose is not None and case.values[0].name in served]
        metafunc.parametrize("op", ops)


def test_kernel_equals_composition(op: Op, device: str) -> None:
    check_kernel(op, device)


def test_every_kernel_names_an_op() -> None:
    for record, kernel in _plugins.facts("rustorch_kernels"):
        assert kernel.op in REGISTRY, f"{record.name} brings a kernel for {kernel.op}, which is no op"
