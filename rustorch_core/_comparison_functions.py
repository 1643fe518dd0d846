"""Comparison of whole arrays within a tolerance, beyond the standard, as NumPy names and means it."""

from __future__ import annotations

from typing import Any

from rustorch_core._arguments import flag, number
from rustorch_core._data_types import Defaults, is_floating
from rustorch_core._define import cast, is_operand, promoted, public_names
from rustorch_core._elementwise_functions import abs, isfinite, isnan, logical_and, logical_or, where
from rustorch_core._statistical_functions import all
from rustorch_core._tensor import Tensor


def isclose(x1: Any, x2: Any, /, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Say for each pair of elements whether abs(x1 - x2) <= atol + rtol * abs(x2) (NumPy: isclose).

    Arguments:
        x1: tensor or number.
        x2: tensor or number, the one to which the relative tolerance refers; both shapes broadcast.
        rtol: relative tolerance.
        atol: absolute tolerance.
        equal_nan: whether NaN is close to NaN.
    """
    rtol, atol = number("isclose", "rtol", rtol), number("isclose", "atol", atol)
    x1, x2 = promoted("isclose", x1, x2)
    first, second = (x if is_floating(x.dtype) else cast(x, Defaults.floating) for x in (x1, x2))
    is_near = abs(first - second) <= atol + rtol * abs(second)
    found = where(logical_and(isfinite(first), isfinite(second)), is_near, x1 == x2)
    both_are_nan = logical_and(isnan(first), isnan(second))
    return logical_or(found, both_are_nan) if flag("isclose", "equal_nan", equal_nan) else found


def allclose(x1: Any, x2: Any, /, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Say whether all pairs of elements are close (NumPy: allclose); arguments as for `isclose`."""
    return bool(all(isclose(x1, x2, rtol, atol, equal_nan)))


def array_equal(x1: Any, x2: Any, /, equal_nan: bool = False) -> bool:
    """Say whether two tensors have one shape and equal elements (NumPy: array_equal).

    Arguments:
        x1: tensor or number.
        x2: tensor or number.
        equal_nan: whether NaN equals NaN.
    """
    equal_nan = flag("array_equal", "equal_nan", equal_nan)
    if not is_operand(x1) or not is_operand(x2):
        return False
    x1, x2 = promoted("array_equal", x1, x2)
    if x1.shape != x2.shape:
        return False
    is_equal = x1 == x2
    if equal_nan and is_floating(x1.dtype):
        is_equal = logical_or(is_equal, logical_and(isnan(x1), isnan(x2)))
    return bool(all(is_equal))


__all__ = public_names(vars())
