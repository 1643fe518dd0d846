"""Modified Bessel functions of the first kind, as SciPy names and means them.

Up to 18 their power series, all of whose terms are positive; beyond it the asymptotic series, which there reaches
double precision. Those with an `e` are scaled by exp(-abs(x)), and never overflow.
"""

from __future__ import annotations

import math

import numpy

from rustorch_core._elementwise_functions import abs, exp, isinf, maximum, minimum, sign, sqrt, where
from rustorch_core._neural_functions import _polynomial
from rustorch_core._special_functions import unary
from rustorch_core._tensor import Tensor

__all__ = ["i0", "i0e", "i1", "i1e"]

_REACH = 18.0


def _power_series(order: int) -> tuple[float, ...]:
    """In (x / 2)**2."""
    return tuple(1 / (math.factorial(k) * math.factorial(k + order)) for k in range(50))


def _asymptotic_series(order: int) -> tuple[float, ...]:
    """In 1 / x, of the scaled function times sqrt(2 pi x)."""
    terms = [1.0]
    for k in range(1, 30):
        terms.append(-terms[-1] * (4 * order**2 - (2 * k - 1) ** 2) / (8 * k))
    return tuple(terms)


_NEAR = {order: _power_series(order) for order in (0, 1)}
_FAR = {order: _asymptotic_series(order) for order in (0, 1)}


def _scaled(x: Tensor, order: int) -> Tensor:
    size = abs(x)
    near, far = minimum(size, _REACH), maximum(size, _REACH)
    low = _polynomial(_NEAR[order], (near / 2) ** 2) * (near / 2) ** order * exp(-near)
    high = _polynomial(_FAR[order], 1 / far) / sqrt(2 * math.pi * far)
    result = where(size <= _REACH, low, high)
    return result * sign(x) if order else result


def _unscaled(x: Tensor, order: int) -> Tensor:
    """In two factors, so that one that is too large alone does not spoil the product."""
    half = exp(abs(x) / 2)
    result = _scaled(x, order) * half * half
    return where(isinf(x), x if order else abs(x), result)


def _by_integral(order: int, scaled: bool):  # type: ignore[no-untyped-def]
    """The function as a mean of exp(x cos(angle)) cos(order angle), which the trapezoidal rule takes exactly."""
    angles = (numpy.arange(200) + 0.5) * math.pi / 200

    def mean(x: float) -> float:
        weights = numpy.exp(x * numpy.cos(angles) - (math.fabs(x) if scaled else 0)) * numpy.cos(order * angles)
        return float(numpy.mean(weights))

    return numpy.vectorize(mean, otypes=[float])


def _over(y: Tensor, x: Tensor) -> Tensor:
    """i1(x) / x or its scaled form, whose value at 0 is 1/2."""
    return where(x == 0, 0.5, y / where(x == 0, 1, x))


i0 = unary(
    "i0",
    lambda g, x: g * i1(x),
    "the modified Bessel function of order 0",
    lambda x: _unscaled(x, 0),
    reference=_by_integral(0, False),
)
i0e = unary(
    "i0e",
    lambda g, y, x: g * (i1e(x) - sign(x) * y),
    "exp(-abs(x)) times the modified Bessel function of order 0",
    lambda x: _scaled(x, 0),
    reference=_by_integral(0, True),
)
i1 = unary(
    "i1",
    lambda g, y, x: g * (i0(x) - _over(y, x)),
    "the modified Bessel function of order 1",
    lambda x: _unscaled(x, 1),
    reference=_by_integral(1, False),
)
i1e = unary(
    "i1e",
    lambda g, y, x: g * (i0e(x) - sign(x) * y - _over(y, x)),
    "exp(-abs(x)) times the modified Bessel function of order 1",
    lambda x: _scaled(x, 1),
    reference=_by_integral(1, True),
)
