"""What SciPy calls convenience functions, and its transforms and losses of that kind, each made of other ops."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy

from rustorch_core._data_type_functions import finfo
from rustorch_core._elementwise_functions import (
    abs,
    cos,
    exp,
    expm1,
    floor,
    hypot,
    log,
    log1p,
    logical_and,
    logical_not,
    minimum,
    remainder,
    sin,
    where,
)
from rustorch_core._neural_functions import _ERFC_FAR, _polynomial, erfc
from rustorch_core._special_functions import _is_pole, _slope, _turn_at_pole, binary, digamma, gamma, unary
from rustorch_core._tensor import Tensor
from rustorch_core._ufunc_functions import cbrt, exp2, sinc

__all__ = [
    "boxcox",
    "boxcox1p",
    "cbrt",
    "cosdg",
    "cosm1",
    "cotdg",
    "erfcx",
    "exp2",
    "exp10",
    "exprel",
    "gammasgn",
    "huber",
    "inv_boxcox",
    "inv_boxcox1p",
    "pseudo_huber",
    "rgamma",
    "sinc",
    "sindg",
    "tandg",
]

# Exponentials


def _exprel(x: Tensor) -> Tensor:
    """(exp(x) - 1) / x, and its power series about 0, so that its derivatives are right there too."""
    is_near = abs(x) < 1e-3
    near = where(is_near, x, 0)
    is_plain = logical_and(logical_not(is_near), x < math.inf)
    away = where(is_plain, x, 1)
    series = 1 + near / 2 * (1 + near / 3 * (1 + near / 4 * (1 + near / 5)))
    return where(is_near, series, where(is_plain, expm1(away) / away, x))


def _erfcx(x: Tensor) -> Tensor:
    is_far = x >= 1
    far = minimum(where(is_far, x, 1), finfo(x.dtype).max / 8)
    t = (far - 3.75) / (far + 3.75)
    near = where(is_far, 0, x)
    scaled = _polynomial(_ERFC_FAR, (t - 0.21052631578947368) * 1.2666666666666666) / far
    return where(is_far, scaled, exp(near * near) * erfc(near))


exp10 = unary(
    "exp10",
    lambda g, y: g * y * math.log(10),
    "10 to the power of each element",
    lambda x: 10.0**x,
    reference=lambda x: 10.0**x,
)
exprel = unary("exprel", None, "(exp(x) - 1) / x, and 1 at 0", _exprel, reference=lambda x: numpy.expm1(x) / x)
erfcx = unary(
    "erfcx",
    lambda g, y, x: g * (2 * x * y - 2 / math.sqrt(math.pi)),
    "exp(x**2) * erfc(x), without overflow",
    _erfcx,
    reference=numpy.vectorize(lambda x: math.exp(x * x) * math.erfc(x), otypes=[float]),
)
cosm1 = unary(
    "cosm1", lambda g, x: -g * sin(x), "cos(x) - 1, exact near 0", lambda x: -2 * sin(x / 2) ** 2,
    reference=lambda x: -2 * numpy.sin(x / 2) ** 2,
)  # fmt: skip

# Angles in degrees, exact at the quarters of a turn


def _sindg(x: Tensor) -> Tensor:
    turn = remainder(abs(x), 360)
    half = where(turn > 180, turn - 180, turn)
    quarter = where(half > 90, 180 - half, half)
    size = where(quarter > 45, cos((90 - quarter) * (math.pi / 180)), sin(quarter * (math.pi / 180)))
    return where((turn > 180) == (x < 0), size, -size)


sindg = unary(
    "sindg",
    lambda g, x: g * cosdg(x) * (math.pi / 180),
    "the sine of angles in degrees",
    _sindg,
    reference=lambda x: numpy.sin(numpy.deg2rad(x)),
)
cosdg = unary(
    "cosdg",
    lambda g, x: -g * sindg(x) * (math.pi / 180),
    "the cosine of angles in degrees",
    lambda x: _sindg(x + 90),
    reference=lambda x: numpy.cos(numpy.deg2rad(x)),
)
tandg = unary(
    "tandg",
    lambda g, y: g * (1 + y * y) * (math.pi / 180),
    "the tangent of angles in degrees",
    lambda x: _sindg(x) / _sindg(x + 90),
    reference=lambda x: numpy.tan(numpy.deg2rad(x)),
)
cotdg = unary(
    "cotdg",
    lambda g, y: -g * (1 + y * y) * (math.pi / 180),
    "the cotangent of angles in degrees",
    lambda x: _sindg(x + 90) / _sindg(x),
    domain=(20.0, 70.0),
    reference=lambda x: 1 / numpy.tan(numpy.deg2rad(x)),
)

# Relatives of the gamma function


def _gammasgn(x: Tensor) -> Tensor:
    is_odd = remainder(floor(x), 2) == 1
    result = where(logical_and(x < 0, is_odd), -1.0, 1.0)
    return where(logical_and(x < 0, x == floor(x)), math.nan, where(x == x, result, x))


def _rgamma(x: Tensor) -> Tensor:
    is_pole = _is_pole(x)
    return where(is_pole, 0, 1 / gamma(where(is_pole, 1, x)))


def _rgamma_slope(y: Tensor, x: Tensor) -> Tensor:
    """The derivative of 1 / gamma, which crosses 0 where gamma has a pole."""
    is_pole = _is_pole(x)
    crossing = gamma(where(is_pole, 1 - x, 1)) * _turn_at_pole(where(is_pole, x, 0))
    return where(is_pole, crossing, -y * digamma(where(is_pole, 1, x)))


gammasgn = unary(
    "gammasgn",
    lambda g: g * 0,
    "the sign of the gamma function",
    _gammasgn,
    domain=(0.2, 5.0),
    reference=numpy.sign,
)
rgamma = unary(
    "rgamma",
    lambda g, y, x: g * _rgamma_slope(y, x),
    "1 / gamma(x), which is 0 at the poles of gamma",
    _rgamma,
    domain=(0.2, 5.0),
    reference=lambda x: 1 / numpy.vectorize(math.gamma, otypes=[float])(x),
)
# Box's and Cox's transforms of x1 by the exponent x2


def _power_less_one(logarithm: Tensor, exponent: Tensor) -> Tensor:
    """(exp(exponent * logarithm) - 1) / exponent, with its limit for the logarithm of 0."""
    is_nothing = logarithm == -math.inf
    safe = where(is_nothing, 0, logarithm)
    limit = where(exponent > 0, -1 / where(exponent > 0, exponent, 1), -math.inf)
    return where(is_nothing, limit, safe * _exprel(exponent * safe))


def _root(x: Tensor, exponent: Tensor) -> Tensor:
    """log(x * exponent + 1) / exponent, the inverse; about an exponent of 0 by its power series."""
    product = x * exponent
    is_near = abs(product) < 1e-3
    near = where(is_near, product, 0)
    series = x * (1 - near * (1 / 2 - near * (1 / 3 - near * (1 / 4 - near * (1 / 5 - near / 6)))))
    return where(is_near, series, log1p(where(is_near, 1, product)) / where(is_near, 1, exponent))


def _boxcox(x1: Tensor, x2: Tensor) -> Tensor:
    return _power_less_one(log(x1), x2)


def _boxcox1p(x1: Tensor, x2: Tensor) -> Tensor:
    return _power_less_one(log1p(x1), x2)


def _inv_boxcox(x1: Tensor, x2: Tensor) -> Tensor:
    return exp(_root(x1, x2))


def _inv_boxcox1p(x1: Tensor, x2: Tensor) -> Tensor:
    return expm1(_root(x1, x2))


def _inverse_slope(compose: Callable[..., Tensor], g: Tensor, x1: Tensor, x2: Tensor) -> Tensor:
    """The derivative of the inverse by the exponent, with its limit at the end of the domain."""
    is_end = x1 * x2 == -1
    limit = -x1 * x1 * where(is_end, 0, x1) ** (1 - x2)
    return where(is_end, limit, _slope(compose, g, 1, where(is_end, 0, x1), x2))


# By x1 the rules are closed, for at the ends of the domain the compositions know their limits alone.
boxcox = binary(
    "boxcox",
    (lambda g, x1, x2: g * x1 ** (x2 - 1), lambda g, x1, x2: g * _slope(_boxcox, g, 1, x1, x2)),
    "(x1**x2 - 1) / x2, and log(x1) where x2 is 0",
    _boxcox,
    domain=(0.3, 3.0),
    reference=lambda x1, x2: (x1**x2 - 1) / x2,
)
boxcox1p = binary(
    "boxcox1p",
    (lambda g, x1, x2: g * (1 + x1) ** (x2 - 1), lambda g, x1, x2: g * _slope(_boxcox1p, g, 1, x1, x2)),
    "the Box-Cox transform of 1 + x1",
    _boxcox1p,
    domain=(0.3, 3.0),
    reference=lambda x1, x2: ((1 + x1) ** x2 - 1) / x2,
)
inv_boxcox = binary(
    "inv_boxcox",
    (lambda g, y, x2: g * y ** (1 - x2), lambda g, x1, x2: g * _inverse_slope(_inv_boxcox, g, x1, x2)),
    "the inverse of the Box-Cox transform in x1",
    _inv_boxcox,
    domain=(0.3, 3.0),
    reference=lambda x1, x2: (1 + x1 * x2) ** (1 / x2),
)
inv_boxcox1p = binary(
    "inv_boxcox1p",
    (lambda g, y, x2: g * (1 + y) ** (1 - x2), lambda g, x1, x2: g * _inverse_slope(_inv_boxcox1p, g, x1, x2)),
    "the inverse of the Box-Cox transform of 1 + x1",
    _inv_boxcox1p,
    domain=(0.3, 3.0),
    reference=lambda x1, x2: (1 + x1 * x2) ** (1 / x2) - 1,
)

# Losses of the distance x2, quadratic up to x1 and linear beyond


def _huber(x1: Tensor, x2: Tensor) -> Tensor:
    distance = abs(x2)
    is_near = distance < x1
    loss = where(is_near, 0.5 * where(is_near, x2, 0) ** 2, x1 * (distance - 0.5 * x1))
    return where(x1 < 0, math.inf, loss)


def _pseudo_huber(x1: Tensor, x2: Tensor) -> Tensor:
    """Without the cancellation of the root about 0."""
    safe = where(x1 > 0, x1, 1)
    ratio = x2 / safe
    loss = x2 * x2 / (1 + hypot(ratio * 0 + 1, ratio))
    return where(x1 > 0, loss, where(x1 == 0, x1 * abs(x2), where(x1 < 0, math.inf, x1)))


huber = binary(
    "huber",
    None,
    "Huber's loss",
    _huber,
    domain=(0.2, 3.0),
    reference=lambda x1, x2: numpy.where(numpy.abs(x2) <= x1, x2**2 / 2, x1 * (numpy.abs(x2) - x1 / 2)),
)
pseudo_huber = binary(
    "pseudo_huber",
    None,
    "a smooth form of Huber's loss, x1**2 (sqrt(1 + (x2 / x1)**2) - 1)",
    _pseudo_huber,
    domain=(0.2, 3.0),
    reference=lambda x1, x2: x1**2 * (numpy.sqrt(1 + (x2 / x1) ** 2) - 1),
)
