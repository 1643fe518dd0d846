"""Level 3: derivatives of first and second order are those of the values, real and complex, double and single."""

import pytest

from rustorch_conformance.checks import (
    check_at_points,
    check_gradient,
    check_gradient_precision,
    check_no_gradient,
)
from rustorch_conformance.compositions import COMPOSITIONS
from rustorch_core._data_types import CATEGORIES
from rustorch_core._op import REGISTRY, Op

OPS = [pytest.param(op, id=name) for name, op in REGISTRY.items()]
DIFFERENTIABLE = [
    *(pytest.param(op, id=name) for name, op in REGISTRY.items() if op.is_differentiable),
    *(pytest.param(each, id=each.name) for each in COMPOSITIONS),
]
ELEMENTWISE = [case for case in OPS if case.values[0].kind in ("unary", "binary") and case.values[0].is_differentiable]


def _of(kind: str, cases: list) -> list:  # type: ignore[type-arg]
    return [case for case in cases if CATEGORIES[kind] & CATEGORIES[case.values[0].category]]


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
