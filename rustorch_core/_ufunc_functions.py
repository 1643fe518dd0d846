"""Elementwise functions beyond the standard, as NumPy names and means them, each made of the standard's."""

from __future__ import annotations

import functools
import math
from typing import Any

from rustorch_core import _define
from rustorch_core._arguments import flag
from rustorch_core._creation_functions import zeros_like
from rustorch_core._data_types import CATEGORIES, bool_
from rustorch_core._define import cast, public_names
from rustorch_core._dispatch import check_tensor
from rustorch_core._elementwise_functions import (
    abs,
    atan2,
    imag,
    isnan,
    logaddexp,
    logical_not,
    maximum,
    minimum,
    pow,
    real,
    remainder,
    sign,
    sin,
    trunc,
    where,
)
from rustorch_core._tensor import Tensor

unary = functools.partial(_define.unary, source="NumPy")
binary = functools.partial(_define.binary, source="NumPy")

# One array


def _cbrt(x: Tensor) -> Tensor:
    """By a power and one step of Newton's, which takes the rounding of 1/3 away."""
    near = sign(x) * abs(x) ** (1 / 3)
    slope = 3 * near * near
    is_plain = slope - slope == 0
    is_plain = where(is_plain, slope != 0, False)
    return where(is_plain, near - (near * near * near - x) / where(is_plain, slope, 1), near)


def _sinc(x: Tensor) -> Tensor:
    """sin(pi x) / (pi x), and its power series about 0, so that its derivatives are right there too."""
    angle = math.pi * x
    is_near = abs(angle) < 0.02
    square = where(is_near, angle * angle, 0)
    series = 1 - square / 6 * (1 - square / 20 * (1 - square / 42))
    away = where(is_near, 1, angle)
    return where(is_near, series, sin(away) / away)


cbrt = unary(
    "cbrt",
    "real floating-point",
    lambda g, y: g / (3 * y * y),
    "the cube root, that of a negative number included",
    compose=_cbrt,
    domain=(0.2, 3.0),
)
deg2rad = unary(
    "deg2rad",
    "real floating-point",
    lambda g: g * (math.pi / 180),
    "angles in radians from angles in degrees",
    compose=lambda x: x * (math.pi / 180),
)
exp2 = unary(
    "exp2",
    "real floating-point",
    lambda g, y: g * y * math.log(2),
    "2 to the power of each element",
    compose=lambda x: 2.0**x,
)
rad2deg = unary(
    "rad2deg",
    "real floating-point",
    lambda g: g * (180 / math.pi),
    "angles in degrees from angles in radians",
    compose=lambda x: x * (180 / math.pi),
)
sinc = unary("sinc", "real floating-point", None, "sin(pi x) / (pi x), and 1 at 0", compose=_sinc)


# Two arrays


def _fmod(x1: Tensor, x2: Tensor) -> Tensor:
    rest = remainder(abs(x1), abs(x2))
    return where(x1 < 0, -rest, rest)


def _heaviside(x1: Tensor, x2: Tensor) -> Tensor:
    return where(isnan(x1), x1, where(x1 == 0, x2, cast(x1 > 0, x1.dtype)))


def _gcd(xp: Any, x1: Any, x2: Any) -> Any:
    """The namespace's own, else Euclid's algorithm until every remainder is 0."""
    if hasattr(xp, "gcd"):
        return xp.gcd(x1, x2)
    x1, x2 = xp.broadcast_arrays(xp.abs(x1), xp.abs(x2))
    while xp.any(x2 != 0):
        is_done = x2 == 0
        rest = xp.remainder(x1, xp.where(is_done, xp.ones_like(x2), x2))
        x1, x2 = xp.where(is_done, x1, x2), xp.where(is_done, x2, rest)
    return x1


def _lcm(xp: Any, x1: Any, x2: Any) -> Any:
    """The namespace's own, else the product without the greatest common divisor."""
    if hasattr(xp, "lcm"):
        return xp.lcm(x1, x2)
    divisor = _gcd(xp, x1, x2)
    return xp.floor_divide(xp.abs(x1), xp.where(divisor == 0, xp.ones_like(divisor), divisor)) * xp.abs(x2)


float_power = binary(
    "float_power",
    "floating-point",
    None,
    "x1 to the power of x2, in floating point",
    compose=lambda x1, x2: pow(x1, x2),
    domain=(0.5, 2.0),
)
fmax = binary(
    "fmax",
    "real-valued",
    None,
    "the larger of each pair; NaN only where both are NaN",
    compose=lambda x1, x2: where(isnan(x1), x2, where(isnan(x2), x1, maximum(x1, x2))),
)
fmin = binary(
    "fmin",
    "real-valued",
    None,
    "the smaller of each pair; NaN only where both are NaN",
    compose=lambda x1, x2: where(isnan(x1), x2, where(isnan(x2), x1, minimum(x1, x2))),
)
fmod = binary(
    "fmod",
    "real-valued",
    (lambda g: g, lambda g, x1, x2: -g * trunc(x1 / x2)),
    "the remainder of x1 / x2, with the sign of x1",
    compose=_fmod,
    domain=(1, 9),
)
gcd = binary("gcd", "integer", None, "the greatest common divisor", native=_gcd)
heaviside = binary(
    "heaviside", "real floating-point", None, "0 below 0, x2 at 0, and 1 above", compose=_heaviside, domain=(0.2, 3.0)
)
lcm = binary("lcm", "integer", None, "the least common multiple", native=_lcm)
ldexp = binary(
    "ldexp",
    "real floating-point",
    None,
    "x1 times 2 to the power of x2",
    compose=lambda x1, x2: x1 * 2.0**x2,
    reference=lambda x1, x2: x1 * 2**x2,
)
logaddexp2 = binary(
    "logaddexp2",
    "real floating-point",
    None,
    "the logarithm to base 2 of 2**x1 + 2**x2, without overflow",
    compose=lambda x1, x2: logaddexp(x1 * math.log(2), x2 * math.log(2)) / math.log(2),
)


# Complex numbers


def _is_complex(x: Tensor) -> bool:
    return x.dtype in CATEGORIES["complex floating-point"]


def angle(x: Tensor, /, deg: bool = False) -> Tensor:
    """Compute the angle of complex numbers with the positive real axis (NumPy: angle).

    Arguments:
        x: tensor of a numeric dtype; real numbers lie at 0 or pi.
        deg: whether to give degrees; else radians.
    """
    check_tensor("angle", x)
    radians = atan2(imag(x), real(x)) if _is_complex(x) else atan2(zeros_like(x), x)
    return rad2deg(radians) if flag("angle", "deg", deg) else radians


def iscomplex(x: Tensor, /) -> Tensor:
    """Say for each element whether it has an imaginary part that is not 0 (NumPy: iscomplex)."""
    check_tensor("iscomplex", x)
    return imag(x) != 0 if _is_complex(x) else zeros_like(x, dtype=bool_)


def isreal(x: Tensor, /) -> Tensor:
    """Say for each element whether it has no imaginary part (NumPy: isreal)."""
    return logical_not(iscomplex(x))


__all__ = public_names(vars())
