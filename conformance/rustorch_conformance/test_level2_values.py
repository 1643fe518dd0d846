"""Level 2: what each op computes, in every dtype that the device has, is what the Array API standard says."""

import pytest

import rustorch
from rustorch_conformance.checks import check_dtypes, check_special_values, check_value
from rustorch_conformance.compositions import COMPOSITIONS, WITHOUT_GRADIENT, public_functions
from rustorch_conformance.samples import Composition
from rustorch_core import _plugins
from rustorch_core._compiled_steps import STEP_OF
from rustorch_core._op import REGISTRY, Op

OPS = [pytest.param(op, id=name) for name, op in REGISTRY.items()]
#: Ops whose values at zeros of either sign, infinities and NaN the standard states, and IEEE 754 behind it.
SPECIAL = """
    abs acos acosh add asin asinh atan atan2 atanh ceil copysign cos cosh divide exp expm1 floor log log10 log1p log2
    multiply negative reciprocal round sin sinh sqrt square subtract tan tanh trunc
"""


@pytest.mark.parametrize("op", OPS)
def test_values(op: Op, device: str) -> None:
    for dtype in check_dtypes(op, device):
        check_value(op, dtype, device)


@pytest.mark.parametrize("op", [pytest.param(each, id=each.name) for each in COMPOSITIONS])
def test_values_of_compositions(op: Composition, device: str) -> None:
    offered = check_dtypes(op, device)
    for dtype in {"float64", "complex128"} & {*offered} or {"float32", "complex64"} & {*offered}:
        check_value(op, dtype, device)


@pytest.mark.parametrize("op", [case for case in OPS if case.id in SPECIAL.split()])
def test_special_values(op: Op, device: str) -> None:
    check_special_values(op, device)


def test_every_public_function_is_accounted_for() -> None:
    rows = [each.name for each in COMPOSITIONS]
    listed = {*rows, *WITHOUT_GRADIENT}
    missing = sorted(set(public_functions()) - listed - {*REGISTRY})
    assert not missing, f"add rows to rustorch_conformance.compositions for {', '.join(missing)}"
    assert len(rows) == len(set(rows))
    assert not {*rows, *WITHOUT_GRADIENT} & {*REGISTRY}
    assert sorted({*rows, *WITHOUT_GRADIENT} - set(public_functions())) == []


def test_every_kernel_names_an_op() -> None:
    known = {*REGISTRY, *(STEP_OF + name for name in rustorch.optim.list())}
    for record, kernel in _plugins.facts("rustorch_kernels"):
        assert kernel.op in known, f"{record.name} brings a kernel for {kernel.op}, which is no op"
