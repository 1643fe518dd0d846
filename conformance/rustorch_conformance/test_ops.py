"""One row for each op of the registry, and for each function made of them: values, gradients, kernels."""

import pytest

import rustorch
from rustorch_conformance.checks import (
    check_at_points,
    check_dtypes,
    check_gradient,
    check_gradient_precision,
    check_kernel,
    check_no_gradient,
    check_value,
)
from rustorch_conformance.compositions import COMPOSITIONS, WITHOUT_GRADIENT, public_functions
from rustorch_conformance.pytest_plugin import device_under_test
from rustorch_conformance.samples import Composition
from rustorch_core import _plugins
from rustorch_core._data_types import CATEGORIES
from rustorch_core._op import REGISTRY, Op

OPS = [pytest.param(op, id=name) for name, op in REGISTRY.items()]
DIFFERENTIABLE = [
    *(pytest.param(op, id=name) for name, op in REGISTRY.items() if op.is_differentiable),
    *(pytest.param(each, id=each.name) for each in COMPOSITIONS),
]
ELEMENTWISE = [
    pytest.param(op, id=name)
    for name, op in REGISTRY.items()
    if op.kind in ("unary", "binary") and op.is_differentiable
]


def _of(kind: str, cases: list) -> list:  # type: ignore[type-arg]
    return [case for case in cases if CATEGORIES[kind] & CATEGORIES[case.values[0].category]]


@pytest.mark.parametrize("op", OPS)
def test_values(op: Op, device: str) -> None:
    for dtype in check_dtypes(op, device):
        check_value(op, dtype, device)


@pytest.mark.parametrize("op", [case for case in DIFFERENTIABLE if case.id not in REGISTRY])
def test_values_of_compositions(op: Composition, device: str) -> None:
    for dtype in {"float64", "complex128"} & {*check_dtypes(op, device)}:
        check_value(op, dtype, device)


@pytest.mark.parametrize("op", _of("real floating-point", DIFFERENTIABLE))
def test_gradient(op: Op, device: str) -> None:
    check_gradient(op, device)


@pytest.mark.parametrize("op", _of("complex floating-point", DIFFERENTIABLE))
def test_complex_gradient(op: Op, device: str) -> None:
    check_gradient(op, device, dtype="complex128")


@pytest.mark.parametrize("op", _of("real floating-point", DIFFERENTIABLE))
def test_gradient_in_single_precision(op: Op, device: str) -> None:
    check_gradient_precision(op, device)


@pytest.mark.parametrize("op", _of("complex floating-point", DIFFERENTIABLE))
def test_complex_gradient_in_single_precision(op: Op, device: str) -> None:
    check_gradient_precision(op, device, dtype="complex64")


@pytest.mark.parametrize("op", _of("real floating-point", ELEMENTWISE))
def test_gradient_at_points(op: Op, device: str) -> None:
    check_at_points(op, device)


@pytest.mark.parametrize("op", [case for case in OPS if not case.values[0].is_differentiable])
def test_what_has_no_gradient(op: Op, device: str) -> None:
    check_no_gradient(op, device)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Compare the compositions that a kernel serves on the device; the others would meet themselves."""
    if metafunc.function is test_kernel_equals_composition:
        device = rustorch.device(device_under_test(metafunc.config)).type
        served = {kernel.op for _, kernel in _plugins.facts("rustorch_kernels") if kernel.device == device}
        ops = [case for case in OPS if case.values[0].compose is not None and case.values[0].name in served]
        metafunc.parametrize("op", ops)


def test_kernel_equals_composition(op: Op, device: str) -> None:
    check_kernel(op, device)


def test_every_public_function_is_accounted_for() -> None:
    rows = [each.name for each in COMPOSITIONS]
    listed = {*rows, *WITHOUT_GRADIENT}
    missing = sorted(set(public_functions()) - listed - {*REGISTRY})
    assert not missing, f"add rows to rustorch_conformance.compositions for {', '.join(missing)}"
    assert len(rows) == len(set(rows))
    assert not {*rows, *WITHOUT_GRADIENT} & {*REGISTRY}
    assert sorted({*rows, *WITHOUT_GRADIENT} - set(public_functions())) == []


def test_every_kernel_names_an_op() -> None:
    for record, kernel in _plugins.facts("rustorch_kernels"):
        assert kernel.op in REGISTRY, f"{record.name} brings a kernel for {kernel.op}, which is no op"
