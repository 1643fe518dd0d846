"""The incomplete gamma and beta functions and the distributions made of them, as SciPy names and means them.

Each is a power series where that is short and a continued fraction elsewhere, run until the last element has settled.
The slope in the argument has a closed form; that in a parameter is taken through the series and fractions themselves.
"""

from __future__ import annotations

import math
from typing import Any

import numpy

from rustorch_core import _statistical_functions as statistical
from rustorch_core._data_type_functions import finfo
from rustorch_core._data_types import Defaults, is_floating
from rustorch_core._define import beside, cast, composition
from rustorch_core._elementwise_functions import abs, exp, isfinite, log, log1p, logical_and, sign, sqrt, where
from rustorch_core._manipulation_functions import broadcast_arrays
from rustorch_core._neural_functions import _polynomial
from rustorch_core._special_functions import (
    _GAMMALN_FAR,
    _at_least_single,
    _far,
    _slope,
    betaln,
    binary,
    gammaln,
    ndtr,
)
from rustorch_core._tensor import Tensor
from rustorch_core.errors import OperandError

__all__ = ["betainc", "betaincc", "chdtr", "chdtrc", "fdtr", "fdtrc", "gammainc", "gammaincc", "stdtr"]

#: Terms after which a series ends in any case, and how many are added before the next look at all elements.
_MOST_TERMS = 100_000
_TERMS_AT_ONCE = 8


def _has_settled(n: int, change: Tensor, limit: Any) -> bool:
    """Whether the last terms of all elements were too small to count; NaN counts as small."""
    return n % _TERMS_AT_ONCE == 0 and not bool(statistical.any(abs(change.detach()) > limit))


def _log_less_shift(ratio: Tensor, shift: Tensor) -> Tensor:
    """log(ratio) - shift, where shift is ratio - 1 without its cancellation; by the series of atanh about 1."""
    is_near = abs(shift) < 0.2
    r = where(is_near, shift / (2 + shift), 0)
    square = r * r
    near = 2 * r * square * _polynomial([1 / n for n in range(3, 23, 2)], square) - 2 * square / (1 - r)
    return where(is_near, near, log(where(is_near, 1, ratio)) - shift)


def _remainder(x: Tensor) -> Tensor:
    """What Stirling's formula leaves of the logarithm of gamma, for x of at least 3."""
    return _far(_GAMMALN_FAR, where(x < 3, 3, x))


# The incomplete gamma function


def _gamma_density(a: Tensor, x: Tensor) -> Tensor:
    """x**a exp(-x) / gamma(a + 1); about its peak without the cancellation of large logarithms."""
    plain = exp(a * log(x) - x - gammaln(a + 1))
    large = where(a < 3, 3, a)
    x = where(a < 3, 3, x)
    exponent = large * _log_less_shift(x / large, (x - large) / large) - _remainder(large)
    return where(a < 3, plain, exp(exponent) / sqrt(2 * math.pi * large))


def _gamma_series(a: Tensor, x: Tensor) -> Tensor:
    """1 + x / (a + 1) + x**2 / ((a + 1) (a + 2)) + ..."""
    epsilon = finfo(x.dtype).eps / 4
    term = total = x * 0 + 1
    for n in range(1, _MOST_TERMS):
        term = term * x / (a + n)
        total = total + term
        if _has_settled(n, term, epsilon * total.detach()):
            break
    return total


def _gamma_fraction(a: Tensor, x: Tensor) -> Tensor:
    """The continued fraction of gammaincc over its density times a, by Lentz's method, for x > a + 1."""
    epsilon = 8 * finfo(x.dtype).eps
    b = x + 1 - a
    d = 1 / b
    total, c = d, 1 / (x * 0 + finfo(x.dtype).smallest_normal)
    for n in range(1, _MOST_TERMS):
        weight = n * (a - n)
        b = b + 2
        d = 1 / (weight * d + b)
        c = b + weight / c
        change = c * d
        total = total * change
        if _has_settled(n, change - 1, epsilon):
            break
    return total


def _both_gammas(a: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Gammainc and gammaincc."""
    is_inside = logical_and(logical_and(a > 0, x > 0), logical_and(isfinite(a), isfinite(x)))
    a, x, given_a, given_x = where(is_inside, a, 1), where(is_inside, x, 1), a, x
    is_low = x <= a + 1
    density = _gamma_density(a, x)
    low = density * _gamma_series(a, where(is_low, x, 0))
    high = density * a * _gamma_fraction(where(is_low, 1, a), where(is_low, 3, x))
    lower, upper = where(is_low, low, 1 - high), where(is_low, 1 - low, high)
    is_edge = logical_and(given_a >= 0, given_x >= 0)
    is_edge = logical_and(is_edge, where(isfinite(given_a), True, isfinite(given_x)))
    is_edge = logical_and(is_edge, given_a + given_x > 0)
    is_full = cast(where(given_a == 0, True, where(given_x > 0, isfinite(given_a), False)), a.dtype)
    lower = where(is_inside, lower, where(is_edge, is_full, math.nan))
    return lower, where(is_inside, upper, where(is_edge, 1 - is_full, math.nan))


def _gamma_slope(a: Tensor, x: Tensor) -> Tensor:
    """The derivative of gammainc in x."""
    safe = where(x > 0, x, 1)
    return where(x > 0, exp((a - 1) * log(safe) - safe - gammaln(a)), where(a == 1, 1.0, where(a < 1, math.inf, 0.0)))


def _off_zero(a: Tensor) -> Tensor:
    """The parameter, and in place of 0 the next number, where the slope is the same and no limit is to be taken."""
    return a + cast(a == 0, a.dtype) * finfo(a.dtype).smallest_normal


def _gammainc(a: Tensor, x: Tensor) -> Tensor:
    return _both_gammas(a, x)[0]


def _gammaincc(a: Tensor, x: Tensor) -> Tensor:
    return _both_gammas(a, x)[1]


def _gamma_by_parts(a: float, x: float) -> float:
    """Gammainc by its power series alone, in Python's numbers."""
    terms = numpy.cumprod([1.0] + [x / (a + n) for n in range(1, 400)])
    return float(numpy.sum(terms)) * math.exp(a * math.log(x) - x - math.lgamma(a + 1)) if x > 0 else 0.0


_gammas_by_parts = numpy.vectorize(_gamma_by_parts, otypes=[float])

gammainc = binary(
    "gammainc",
    (lambda g, x1, x2: g * _slope(_gammainc, g, 0, _off_zero(x1), x2), lambda g, x1, x2: g * _gamma_slope(x1, x2)),
    "the regularised lower incomplete gamma function of parameter x1 at x2",
    _gammainc,
    domain=(0.3, 6.0),
    reference=_gammas_by_parts,
)
gammaincc = binary(
    "gammaincc",
    (lambda g, x1, x2: g * _slope(_gammaincc, g, 0, _off_zero(x1), x2), lambda g, x1, x2: -g * _gamma_slope(x1, x2)),
    "the regularised upper incomplete gamma function of parameter x1 at x2",
    _gammaincc,
    domain=(0.3, 6.0),
    reference=lambda a, x: 1 - _gammas_by_parts(a, x),
)


# The incomplete beta function


def _beta_density(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """x**a (1 - x)**b / beta(a, b); about its peak without the cancellation of large logarithms."""
    plain = exp(a * log(x) + b * log1p(-x) - betaln(a, b))
    is_large = logical_and(a >= 3, b >= 3)
    large_a, large_b, x = where(is_large, a, 3), where(is_large, b, 3), where(is_large, x, 0.5)
    both = large_a + large_b
    shift = x * large_b - large_a * (1 - x)
    low = large_a * _log_less_shift(x * both / large_a, shift / large_a)
    high = large_b * _log_less_shift((1 - x) * both / large_b, -shift / large_b)
    exponent = low + high + _remainder(both) - _remainder(large_a) - _remainder(large_b)
    return where(is_large, exp(exponent) * sqrt(large_a / both * large_b / (2 * math.pi)), plain)


def _beta_fraction(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """The continued fraction of betainc over its density, by Lentz's method, for x < (a + 1) / (a + b + 2)."""
    epsilon = 8 * finfo(x.dtype).eps
    total = d = 1 / (1 - (a + b) * x / (a + 1))
    c = x * 0 + 1
    for n in range(1, _MOST_TERMS):
        even = n * (b - n) * x / ((a + 2 * n - 1) * (a + 2 * n))
        odd = -(a + n) * (a + b + n) * x / ((a + 2 * n) * (a + 2 * n + 1))
        for weight in (even, odd):
            d, c = 1 / (1 + weight * d), 1 + weight / c
            change = c * d
            total = total * change
        if _has_settled(n, change - 1, epsilon):
            break
    return total / a


def _both_betas(a: Tensor, b: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Betainc and betaincc."""
    is_inside = logical_and(logical_and(a > 0, b > 0), logical_and(x > 0, x < 1))
    is_inside = logical_and(is_inside, isfinite(a + b))
    given_a, given_b, given_x = a, b, x
    a, b, x = (where(is_inside, each, safe) for each, safe in ((a, 1), (b, 1), (x, 0.5)))
    density = _beta_density(a, b, x)
    is_low = x < (a + 1) / (a + b + 2)
    part = density * _beta_fraction(where(is_low, a, b), where(is_low, b, a), where(is_low, x, 1 - x))
    lower, upper = where(is_low, part, 1 - part), where(is_low, 1 - part, part)
    is_edge = logical_and(logical_and(given_a >= 0, given_b >= 0), logical_and(given_x >= 0, given_x <= 1))
    # Where a parameter is 0 or infinite all of the mass lies at one end, and where both are it lies nowhere.
    low_mass, high_mass = (given_a == 0, given_b == math.inf), (given_b == 0, given_a == math.inf)
    at_low, at_high = (where(one, True, other) for one, other in (low_mass, high_mass))
    is_edge = logical_and(is_edge, where(at_low, at_high, False) == (given_x != given_x))
    is_full = cast(where(at_low, True, where(at_high, False, given_x == 1)), a.dtype)
    is_full = where(given_x == 0, 0, where(given_x == 1, 1, is_full))
    lower = where(is_inside, lower, where(is_edge, is_full, math.nan))
    return lower, where(is_inside, upper, where(is_edge, 1 - is_full, math.nan))


def _beta_slope(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """The derivative of betainc in x."""
    return exp((a - 1) * log(x) + (b - 1) * log1p(-x) - betaln(a, b))


def _lower_beta(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    return _both_betas(a, b, x)[0]


def _upper_beta(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    return _both_betas(a, b, x)[1]


@composition(
    "real floating-point",
    lambda g, x1, x2, x3: g * _slope(_lower_beta, g, 0, x1, x2, x3),
    lambda g, x1, x2, x3: g * _slope(_lower_beta, g, 1, x1, x2, x3),
    lambda g, x1, x2, x3: g * _beta_slope(x1, x2, x3),
    domain=(0.3, 3.0),
)
def _betainc(a: Tensor, b: Tensor, x: Tensor, /) -> Tensor:
    return _at_least_single(_lower_beta)(a, b, x)


@composition(
    "real floating-point",
    lambda g, x1, x2, x3: g * _slope(_upper_beta, g, 0, x1, x2, x3),
    lambda g, x1, x2, x3: g * _slope(_upper_beta, g, 1, x1, x2, x3),
    lambda g, x1, x2, x3: -g * _beta_slope(x1, x2, x3),
    domain=(0.3, 3.0),
)
def _betaincc(a: Tensor, b: Tensor, x: Tensor, /) -> Tensor:
    return _at_least_single(_upper_beta)(a, b, x)


def _together(name: str, *operands: Any) -> tuple[Tensor, ...]:
    """Tensors and numbers as tensors of one shape, integers in the default floating-point dtype."""
    tensors = [each for each in operands if isinstance(each, Tensor)]
    if not tensors:
        met = " and ".join(type(each).__name__ for each in operands)
        raise OperandError(f"{name}: expected a tensor among the operands, met {met}")
    first = next((each for each in tensors if is_floating(each.dtype)), cast(tensors[0], Defaults.floating))
    all_tensors = [each if isinstance(each, Tensor) else beside(name, first, each) for each in operands]
    return broadcast_arrays(*[x if is_floating(x.dtype) else cast(x, Defaults.floating) for x in all_tensors])


def betainc(a: Any, b: Any, x: Any, /) -> Tensor:
    """Compute the regularised incomplete beta function (SciPy: special.betainc).

    Arguments:
        a: tensor or number, the first parameter.
        b: tensor or number, the second parameter.
        x: tensor or number, from 0 to 1; all three shapes broadcast.
    """
    return _betainc(*_together("betainc", a, b, x))


def betaincc(a: Any, b: Any, x: Any, /) -> Tensor:
    """Compute 1 - betainc(a, b, x), exact where that is small (SciPy: special.betaincc); arguments as for `betainc`."""
    return _betaincc(*_together("betaincc", a, b, x))


_betainc.op.function = betainc  # type: ignore[attr-defined]
_betaincc.op.function = betaincc  # type: ignore[attr-defined]


# Distributions


def chdtr(v: Any, x: Any, /) -> Tensor:
    """Compute the cumulative chi-square distribution (SciPy: special.chdtr).

    Arguments:
        v: tensor or number, the degrees of freedom.
        x: tensor or number; both shapes broadcast.
    """
    v, x = _together("chdtr", v, x)
    return gammainc(v / 2, x / 2)


def chdtrc(v: Any, x: Any, /) -> Tensor:
    """Compute the chi-square distribution's survival function (SciPy: special.chdtrc); arguments as for `chdtr`."""
    v, x = _together("chdtrc", v, x)
    return gammaincc(v / 2, x / 2)


def fdtr(dfn: Any, dfd: Any, x: Any, /) -> Tensor:
    """Compute the cumulative F distribution (SciPy: special.fdtr).

    Arguments:
        dfn: tensor or number, the degrees of freedom of the numerator.
        dfd: tensor or number, those of the denominator.
        x: tensor or number, at least 0; all three shapes broadcast.
    """
    dfn, dfd, x = _together("fdtr", dfn, dfd, x)
    return where(x < 0, math.nan, betainc(dfn / 2, dfd / 2, dfn * x / (dfd + dfn * x)))


def fdtrc(dfn: Any, dfd: Any, x: Any, /) -> Tensor:
    """Compute the F distribution's survival function (SciPy: special.fdtrc); arguments as for `fdtr`."""
    dfn, dfd, x = _together("fdtrc", dfn, dfd, x)
    return where(x < 0, math.nan, betainc(dfd / 2, dfn / 2, dfd / (dfd + dfn * x)))


def _nearly_normal(df: Tensor, t: Tensor) -> Tensor:
    """The normal quantile of stdtr for many degrees of freedom: Hill, Algorithm 395: Student's t, 1970."""
    less = df - 0.5
    square = less * log1p(t * t / df)
    scale = 48 * less * less
    series = (((-0.4 * square - 3.3) * square - 24) * square - 85.5) / (0.8 * square * square + 100 + scale)
    return ((series + square + 3) / scale + 1) * sqrt(square) * sign(t)


def _stdtr(df: Tensor, t: Tensor) -> Tensor:
    """By the beta function of whichever part of t**2 + df is the smaller."""
    is_normal = df > 3000
    normal = ndtr(where(df == math.inf, t, _nearly_normal(where(logical_and(is_normal, df < math.inf), df, 3000), t)))
    df = where(is_normal, 1, where(df > 0, df, math.nan))
    square = t * t
    is_near = square < df
    part = where(is_near, square, df) / (square + df)
    half = _at_least_single(_lower_beta)(where(is_near, 0.5, df / 2), where(is_near, df / 2, 0.5), part) / 2
    half = where(abs(t) == math.inf, where(df > 0, 0, math.nan), half)
    result = where(is_near, 0.5 + sign(t) * half, where(t < 0, half, 1 - half))
    return where(is_normal, normal, result)


def _student_slope(df: Tensor, t: Tensor) -> Tensor:
    """The density of Student's distribution."""
    is_normal = df == math.inf
    safe = where(is_normal, 1, df)
    student = exp(-(safe + 1) / 2 * log1p(t * t / safe) - betaln(safe * 0 + 0.5, safe / 2)) / sqrt(safe)
    return where(is_normal, exp(-0.5 * t * t) / math.sqrt(2 * math.pi), student)


def _student_slope_by_degrees(g: Tensor, df: Tensor, t: Tensor) -> Tensor:
    """The derivative of stdtr in the degrees of freedom; at 0, where it vanishes, by that of the density."""
    at_zero = t * _slope(_student_slope, g, 0, df, t * 0)
    return where(t == 0, at_zero, _slope(_stdtr, g, 0, df, where(t == 0, 1, t)))


def _student_by_parts(df: float, t: float) -> float:
    """Stdtr by Simpson's rule over the density."""
    places = numpy.linspace(0, t, 4001)
    heights = (1 + places**2 / df) ** (-(df + 1) / 2)
    weights = numpy.ones(4001)
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    scale = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / math.sqrt(df * math.pi)
    return 0.5 + float(weights @ heights) * t / 12000 * scale


stdtr = binary(
    "stdtr",
    (lambda g, x1, x2: g * _student_slope_by_degrees(g, x1, x2), lambda g, x1, x2: g * _student_slope(x1, x2)),
    "the cumulative distribution of Student's t with x1 degrees of freedom at x2",
    _stdtr,
    domain=(0.3, 6.0),
    reference=numpy.vectorize(_student_by_parts, otypes=[float]),
)
