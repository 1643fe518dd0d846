"""Special functions, as SciPy names and means them; each runs on every device and differentiates to every order.

Half precision is computed in single precision and rounded once.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy

from rustorch_core import _neural_functions as neural
from rustorch_core import _statistical_functions as statistical
from rustorch_core._arguments import integer
from rustorch_core._axes import Axes, broadcast_shapes
from rustorch_core._creation_functions import arange
from rustorch_core._data_type_functions import finfo
from rustorch_core._data_types import CATEGORIES, DTYPES, is_floating
from rustorch_core._define import binary as _binary
from rustorch_core._define import cast, composition
from rustorch_core._define import unary as _unary
from rustorch_core._dispatch import check_tensor
from rustorch_core._elementwise_functions import (
    abs,
    atanh,
    clip,
    cos,
    exp,
    isinf,
    log,
    log1p,
    logical_and,
    logical_not,
    maximum,
    minimum,
    remainder,
    round,
    sin,
    sqrt,
    tan,
    where,
)
from rustorch_core._manipulation_functions import broadcast_to, expand_dims
from rustorch_core._neural_functions import _ERFC_FAR, _polynomial, erf, erfc, softplus
from rustorch_core._neural_functions import sigmoid as expit
from rustorch_core._searching_functions import unique_values
from rustorch_core._tensor import Tensor
from rustorch_core._transforms import grad
from rustorch_core.errors import ArgumentError, DTypeError

__all__ = [
    "beta",
    "betaln",
    "binom",
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfinv",
    "expit",
    "gamma",
    "gammaln",
    "kl_div",
    "log_expit",
    "log_ndtr",
    "log_softmax",
    "logit",
    "logsumexp",
    "multigammaln",
    "ndtr",
    "ndtri",
    "polygamma",
    "psi",
    "rel_entr",
    "softmax",
    "softplus",
    "xlog1py",
    "xlogy",
    "zeta",
]

_ROOT_TWO = math.sqrt(2)
_ROOT_TWO_PI = math.sqrt(2 * math.pi)
_SINGLE = DTYPES["float32"]


def _at_least_single(compose: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The composition with half precision computed in single precision, and any result in the inputs' dtype."""

    @functools.wraps(compose)
    def run(*inputs: Tensor, **attributes: Any) -> Tensor:
        dtype = inputs[0].dtype
        wide = inputs if dtype.itemsize > 2 else [cast(x, _SINGLE) for x in inputs]
        return cast(compose(*wide, **attributes), dtype)

    return run


def _slope(compose: Callable[..., Tensor], g: Tensor, position: int, *inputs: Tensor) -> Tensor:
    """The derivative of an elementwise composition in one of its inputs, through its own operations."""
    spread = [broadcast_to(x, g.shape) for x in inputs]
    slope: Tensor = grad(lambda *xs: statistical.sum(compose(*xs)), position)(*spread)
    return slope


def _published(function: Any, name: str) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__module__ = "rustorch.special"
    return function


def unary(
    name: str, rule: Any, summary: str, compose: Callable[..., Tensor], **facts: Any
) -> Callable[[Tensor], Tensor]:
    """State a function of one tensor."""
    made = _unary(f"special.{name}", "real floating-point", rule, summary, compose=_at_least_single(compose), **facts)
    return _published(made, name)  # type: ignore[no-any-return]


def binary(
    name: str, rules: Any, summary: str, compose: Callable[..., Tensor], **facts: Any
) -> Callable[[Any, Any], Tensor]:
    """State a function of two tensors that broadcast."""
    made = _binary(f"special.{name}", "real floating-point", rules, summary, compose=_at_least_single(compose), **facts)
    return _published(made, name)  # type: ignore[no-any-return]


# The gamma function and its logarithmic derivatives. All of them by reflection below 1/2, by a polynomial up to 3, and
# beyond that by Stirling's series with its remainder as a polynomial in 1 / x**2. The polynomials are Chebyshev
# interpolants, within 3e-16 of the functions: NEAR in s = (x - c) / (x + c) * 2.3797958971132713, c = sqrt(3 / 2), of
# gammaln(x) / ((x - 1) (x - 2)) and digamma(x) / (x - root); FAR in s = 18 / x**2 - 1, of x times the remainder.
_GAMMALN_NEAR = (
    0.528838744145037, -0.19499299920071322, 0.022916637181315466, -0.011832449240938212, 0.0026949455119654924,
    -0.0012759724664100653, 0.00035464773440718365, -0.00016222038544473985, 4.9839421780918583e-05,
    -2.2377172359663254e-05, 7.3056547901984834e-06, -3.2412256922793396e-06, 1.1023284346898086e-06,
    -4.865429467238517e-07, 1.70455460159751e-07, -7.221148040787415e-08, 2.5813546739024295e-08,
    -1.3881248092946275e-08, 5.094107287491903e-09, -3.5748202786439956e-10, 1.1686620065695127e-10,
    -7.917649331865806e-10, 2.98741784819784e-10,
)  # fmt: skip
_DIGAMMA_NEAR = (
    1.0896460408215929, -0.6175422642438082, 0.18957099611144626, -0.0854923663071924, 0.03422090386525056,
    -0.014810710557693734, 0.006098228127804326, -0.0026009615856349938, 0.0010805894471065376,
    -0.0004581605747265504, 0.00019112882228996086, -8.080017321316371e-05, 3.378196575514718e-05,
    -1.4244104587093343e-05, 5.963305383730506e-06, -2.540601159719508e-06, 1.0645691560123013e-06,
    -4.091949888049212e-07, 1.7154135166153383e-07, -1.1080488781734032e-07, 4.648826706628353e-08,
    4.681893207630343e-09, -1.968753571456539e-09, -7.989277744876152e-09, 3.353588249353892e-09,
)  # fmt: skip
_GAMMALN_FAR = (
    0.08318136697655197, -0.00014970021836481406, 2.1834243385029594e-06, -7.748924281962512e-08,
    4.741689138100035e-09, -4.2388139437325853e-10, 5.0229677165425716e-11, -7.403531081032152e-12,
    1.2801191081419294e-12, -2.570054291019059e-13, 7.476397493696124e-14, -1.9592427077600295e-14,
)  # fmt: skip
_DIGAMMA_FAR = (
    0.08288196653982234, -0.00044036695774111296, 1.0452186234940756e-05, -5.044911709546733e-07,
    3.843640280575352e-08, -4.060038330670688e-09, 5.492450420389122e-10, -9.031864806349124e-11,
    1.7369084518495815e-11, -3.6660756676773295e-12, 8.808975419149287e-13, -3.400512183731137e-13,
    1.0303280152343367e-13,
)  # fmt: skip

# In two parts, of which single precision holds the first exactly.
_DIGAMMA_ROOT = (1.4616321325302124, 1.2438149938918909e-08)


def _near(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    return _polynomial(coefficients, (x - math.sqrt(1.5)) / (x + math.sqrt(1.5)) * 2.3797958971132713)


def _far(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    return _polynomial(coefficients, 18 / x / x - 1) / x


def _above_half(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where to reflect, the argument for it, and that argument limited to each of two ranges."""
    is_reflected = x < 0.5
    z = where(is_reflected, 1 - x, x)
    return is_reflected, z, clip(z, 0.5, 3), where(z < 3, 3, z)


def _log_gamma(near: Tensor, far: Tensor, z: Tensor) -> Tensor:
    low = (near - 1) * (near - 2) * _near(_GAMMALN_NEAR, near)
    high = far * (log(far) - 1) - 0.5 * log(far) + math.log(2 * math.pi) / 2 + _far(_GAMMALN_FAR, far)
    return where(z < 3, low, high)


def _gammaln(x: Tensor) -> Tensor:
    is_reflected, z, near, far = _above_half(x)
    value = _log_gamma(near, far, z)
    reflected = math.log(math.pi) - log(abs(sin(math.pi * (x - round(x))))) - value
    return where(isinf(x), x, where(is_reflected, reflected, value))


def _gamma(x: Tensor) -> Tensor:
    is_reflected, z, near, far = _above_half(x)
    # Beyond 40, and 180 in double precision, the result is infinite, but its factors would be infinity and 0.
    far = minimum(far, 180.0 if x.dtype.itemsize > 4 else 40.0)
    root = far ** (0.5 * far - 0.25)
    high = root * exp(-far) * root * (_ROOT_TWO_PI * exp(_far(_GAMMALN_FAR, far)))
    value = where(z < 3, exp(_log_gamma(near, near * 0 + 3, near * 0)), high)
    whole = round(x)
    sine = sin(math.pi * (x - whole)) * (1 - 2 * remainder(whole, 2))
    is_pole = logical_and(x < 0, x == whole)
    return where(is_pole, math.nan, where(is_reflected, math.pi / (sine * value), value))


def _digamma(x: Tensor) -> Tensor:
    is_reflected, z, near, far = _above_half(x)
    low = ((near - _DIGAMMA_ROOT[0]) - _DIGAMMA_ROOT[1]) * _near(_DIGAMMA_NEAR, near)
    high = log(far) - (0.5 + _far(_DIGAMMA_FAR, far)) / far
    value = where(z < 3, low, high)
    whole = round(x)
    reflected = value - math.pi / tan(math.pi * (x - whole))
    is_pole = logical_and(x < 0, x == whole)
    return where(is_pole, math.nan, where(is_reflected, reflected, value))


def _digamma_by_recurrence(x: Any) -> Any:
    z = x + 30
    tail = numpy.log(z) - 1 / (2 * z) - 1 / (12 * z**2) + 1 / (120 * z**4) - 1 / (252 * z**6)
    return tail - numpy.sum([1 / (x + k) for k in range(30)], axis=0)


def _is_pole(x: Tensor) -> Tensor:
    """Where the gamma function has its poles."""
    return logical_and(x <= 0, x == round(x))


def _turn_at_pole(x: Tensor) -> Tensor:
    """The derivative of 1 / gamma, by reflection sin(pi x) gamma(1 - x) / pi, over gamma(1 - x); for poles of gamma."""
    return cos(math.pi * x) - sin(math.pi * x) / math.pi * digamma(1 - x)


def _digammas_apart(x1: Tensor, x2: Tensor) -> Tensor:
    """digamma(x1) - digamma(x2), also where both have a pole: by reflection, whose cotangents take each other away."""
    are_poles = logical_and(_is_pole(x1), _is_pole(x2))
    return digamma(where(are_poles, 1 - x1, x1)) - digamma(where(are_poles, 1 - x2, x2))


gammaln = unary(
    "gammaln",
    lambda g, x: g * digamma(x),
    "the logarithm of the absolute value of the gamma function",
    _gammaln,
    domain=(0.2, 6.0),
    reference=numpy.vectorize(math.lgamma, otypes=[float]),
)
gamma = unary(
    "gamma",
    lambda g, y, x: g * y * digamma(x),
    "the gamma function, which continues the factorial of x - 1",
    _gamma,
    domain=(0.2, 5.0),
    reference=numpy.vectorize(math.gamma, otypes=[float]),
)
digamma = unary(
    "digamma",
    lambda g, x: g * polygamma(1, x),
    "the derivative of the logarithm of the gamma function",
    _digamma,
    domain=(0.2, 6.0),
    reference=_digamma_by_recurrence,
)
psi = digamma

#: Bernoulli's numbers B(2 j) over (2 j)!, from j = 1.
_BERNOULLI = tuple(
    numerator / denominator / math.factorial(2 * place)
    for place, (numerator, denominator) in enumerate(
        ((1, 6), (-1, 30), (1, 42), (-1, 30), (5, 66), (-691, 2730), (7, 6), (-3617, 510)), start=1
    )
)


@composition("real floating-point", lambda g, x, n: g * polygamma(n + 1, x))
def _polygamma(x: Tensor, /, *, n: int) -> Tensor:
    return _at_least_single(_polygamma_of)(x, n=n)


def _polygamma_of(x: Tensor, n: int) -> Tensor:
    is_reflected = x < 0
    value = _sum_of_powers(where(is_reflected, 1 - x, x), n + 1) * ((-1) ** (n + 1) * float(math.factorial(n)))
    cotangent = 1 / tan(math.pi * (x - round(x)))
    reflected = (-1) ** n * value - _polynomial(_cotangent_derivative(n), cotangent) * math.pi ** (n + 1)
    return where(is_reflected, reflected, value)


def _sum_of_powers(x: Tensor, s: int) -> Tensor:
    """The sum of (x + k)**-s over all k from 0, by Euler's and Maclaurin's formula behind the first terms."""
    count = 10 + s
    end = x + count
    total = end ** float(-s) * (end / (s - 1) + 0.5)
    rising = float(s)
    for place, number in enumerate(_BERNOULLI, start=1):
        total = total + end ** float(1 - s - 2 * place) * (number * rising)
        rising *= (s + 2 * place - 1) * (s + 2 * place)
    for k in reversed(range(count)):
        total = total + (x + k) ** float(-s)
    return where(x == math.inf, 0, total)


def _cotangent_derivative(n: int) -> tuple[float, ...]:
    """The n-th derivative of the cotangent as a polynomial in the cotangent c, whose own is -(1 + c**2)."""
    coefficients = [0, 1]
    for _ in range(n):
        slope = [place * each for place, each in enumerate(coefficients)][1:]
        coefficients = [-(low + high) for low, high in zip([*slope, 0, 0], [0, 0, *slope], strict=True)]
    return tuple(map(float, coefficients))


def _zeta(s: Tensor, q: Tensor) -> Tensor:
    """As for whole s above, and NaN where the sum does not converge."""
    is_inside = logical_and(s > 1, q > 0)
    is_finite = logical_and(is_inside, q < math.inf)
    value = _zeta_continued(where(is_finite, s, 2), where(is_finite, q, 1))
    beyond = where(q == math.inf, 0.0, where(q == round(q), math.inf, math.nan))
    edge = where(s == 1, math.inf, where(s > 1, beyond, math.nan))
    return where(is_finite, value, where(q == q, edge, math.nan))


def _zeta_continued(s: Tensor, q: Tensor) -> Tensor:
    """By Euler's and Maclaurin's formula, which also holds below 1, where the sum itself diverges."""
    end = q + 10
    total = end**-s * (end / (s - 1) + 0.5)
    rising = s
    for place, number in enumerate(_BERNOULLI, start=1):
        total = total + end ** (1 - s - 2 * place) * rising * number
        rising = rising * (s + 2 * place - 1) * (s + 2 * place)
    for k in reversed(range(10)):
        total = total + (q + k) ** -s
    return total


def _riemann(x: Tensor) -> Tensor:
    """By reflection for negative x."""
    is_reflected = x < 0
    s = where(is_reflected, 1 - x, x)
    value = _zeta_continued(where(s == 1, 2, where(s < 60, s, 60)), s * 0 + 1)
    value = where(s == 1, math.inf, where(s < 60, value, 1))
    half = where(is_reflected, x / 2, 0)
    turn = sin(math.pi * (half - 2 * round(half / 2))) * 2 * (2 * math.pi) ** (where(is_reflected, x, 0) - 1)
    return where(is_reflected, turn * _gamma(s) * value, value)


def _zeta_by_parts(s: float, q: float) -> float:
    """The sum itself, and for its end the integral."""
    end = 20_000 + q
    total = numpy.sum((numpy.arange(20_000) + q)[::-1] ** -s)
    return float(total + end ** (1 - s) / (s - 1) + end**-s / 2 + s * end ** (-s - 1) / 12)


_hurwitz = binary(
    "zeta",
    None,
    "the sum of (k + x2)**-x1 over all k from 0",
    _zeta,
    domain=(1.2, 6.0),
    reference=numpy.vectorize(_zeta_by_parts, otypes=[float]),
)
_riemann_zeta = unary(
    "riemann_zeta",
    None,
    "the sum of k**-x over all k from 1, continued below 1",
    _riemann,
    domain=(1.2, 6.0),
    reference=numpy.vectorize(lambda s: _zeta_by_parts(s, 1.0), otypes=[float]),
)


def zeta(x: Any, q: Any = None, /) -> Tensor:
    """Compute Riemann's or Hurwitz' zeta function (SciPy: special.zeta).

    Arguments:
        x: tensor or number, the exponent.
        q: tensor or number to which the summation index is added, above 0; None for Riemann's function.

    Returns:
        a tensor of the broadcast shape: infinity at 1, and for Hurwitz' function NaN below.
    """
    return _riemann_zeta(x) if q is None else _hurwitz(x, q)


def polygamma(n: Any, x: Any, /) -> Tensor:
    """Compute the n-th derivative of digamma (SciPy: special.polygamma).

    Arguments:
        n: which derivative, from 0 to 170, where the values end; a tensor of integers broadcasts with `x`.
        x: tensor of a real floating-point dtype.

    Raises:
        ArgumentError: for any other n.
    """
    check_tensor("polygamma", x)
    if isinstance(n, Tensor):
        if n.dtype not in CATEGORIES["real-valued"]:
            raise DTypeError(f"polygamma: n is a tensor of integers, met {n.dtype}")
        found = broadcast_to(x * 0 + math.nan, broadcast_shapes(n.shape, x.shape))
        for order in unique_values(n).tolist():
            found = where(n == order, polygamma(int(order), x), found) if order >= 0 == order % 1 else found
        return found
    if not isinstance(n, int) or not 0 <= n <= 170:
        raise ArgumentError(f"polygamma: n is an integer from 0 to 170, met {n!r}")
    return digamma(x) if n == 0 else _polygamma(x, n=n)


def multigammaln(a: Any, d: int, /) -> Tensor:
    """Compute the logarithm of the multivariate gamma function (SciPy: special.multigammaln).

    Arguments:
        a: tensor of a real floating-point dtype, above (d - 1) / 2.
        d: the dimension.

    Raises:
        ArgumentError: for a dimension below 1.
    """
    check_tensor("multigammaln", a)
    d = integer("multigammaln", "d", d)
    if d < 1:
        raise ArgumentError(f"multigammaln: d is at least 1, met {d}")
    places = arange(d, dtype=a.dtype if is_floating(a.dtype) else None, device=a.device) / 2
    total = statistical.sum(gammaln(expand_dims(a, axis=a.ndim) - places), axis=-1)
    return total + d * (d - 1) / 4 * math.log(math.pi)


def _betaln(x1: Tensor, x2: Tensor) -> Tensor:
    """By a reflection where the smaller argument is a pole of gamma, which a pole of the sum can take away."""
    small, large = minimum(x1, x2), maximum(x1, x2)
    is_pole = logical_and(small < 0, small == round(small))
    reflected = 1 - small - large
    is_finite = logical_and(logical_and(is_pole, large == round(large)), logical_and(reflected > 0, large > 0))
    first = where(is_finite, reflected, where(is_pole, 1, small))
    value = _betaln_off_poles(first, where(is_pole, maximum(large, 1), large))
    return where(logical_and(is_pole, logical_not(is_finite)), math.inf + 0 * large, value)


def _betaln_off_poles(x1: Tensor, x2: Tensor) -> Tensor:
    """Without the cancellation of large logarithms where one argument or both are at least 3 (Fullerton, dlbeta)."""
    small, large = minimum(x1, x2), maximum(x1, x2)
    both = small + large
    plain = _gammaln(small) + _gammaln(large) - _gammaln(both)
    wide, sums = maximum(large, 3), maximum(both, 3)
    rest = _far(_GAMMALN_FAR, wide) - _far(_GAMMALN_FAR, sums)
    shrink = log1p(-clip(small / sums, 0, 0.5))
    safe = where(small > 0, small, 1)
    one_large = _gammaln(safe) + rest + safe - safe * log(sums) + (wide - 0.5) * shrink
    two = maximum(small, 3)
    two_large = (
        _far(_GAMMALN_FAR, two)
        + rest
        + math.log(_ROOT_TWO_PI)
        - 0.5 * log(wide)
        + (two - 0.5) * log(two / sums)
        + wide * shrink
    )
    result = where(small >= 3, two_large, one_large)
    result = where(logical_and(small > 0, large >= 3), result, plain)
    result = where(logical_and(small > 0, large == math.inf), -math.inf, result)
    return where(logical_and(small == 0, large < math.inf), math.inf, result)


def _beta(x1: Tensor, x2: Tensor) -> Tensor:
    is_positive = logical_and(x1 >= 0, x2 >= 0)
    products = _gamma(x1) * _gamma(x2) / _gamma(x1 + x2)
    return where(is_positive, exp(_betaln(where(is_positive, x1, 1), where(is_positive, x2, 1))), products)


def _binom(n: Tensor, k: Tensor) -> Tensor:
    """By the beta function, and exact where both are whole and the result is."""
    is_large = logical_and(n - k > -1, k > -1)
    plain = exp(-log1p(where(is_large, n, 1)) - _betaln(where(is_large, 1 + n - k, 1), where(is_large, 1 + k, 1)))
    value = where(is_large, plain, 1 / ((n + 1) * _beta(1 + n - k, 1 + k)))
    is_whole = logical_and(n == round(n), k == round(k))
    value = where(logical_and(is_whole, abs(value) < 0.1 / finfo(n.dtype).eps), round(value), value)
    return where(logical_and(logical_and(is_whole, n >= 0), where(k < 0, True, k > n)), 0, value)


_log_gamma_of = numpy.vectorize(math.lgamma, otypes=[float])

betaln = binary(
    "betaln",
    (lambda g, x1, x2: g * _digammas_apart(x1, x1 + x2), lambda g, x1, x2: g * _digammas_apart(x2, x1 + x2)),
    "the logarithm of the absolute value of the beta function",
    _betaln,
    domain=(0.3, 6.0),
    reference=lambda a, b: _log_gamma_of(a) + _log_gamma_of(b) - _log_gamma_of(a + b),
)
beta = binary(
    "beta",
    (
        lambda g, y, x1, x2: g * _beta_slope(y, x1, x2),
        lambda g, y, x1, x2: g * _beta_slope(y, x2, x1),
    ),
    "the beta function, gamma(x1) gamma(x2) / gamma(x1 + x2)",
    _beta,
    domain=(0.3, 6.0),
    reference=lambda a, b: numpy.exp(_log_gamma_of(a) + _log_gamma_of(b) - _log_gamma_of(a + b)),
)

binom = binary(
    "binom",
    (
        lambda g, y, x1, x2: g * _binom_slope(y, x1, x1 + 1, x1 - x2 + 1),
        lambda g, y, x1, x2: (
            g
            * where(
                _is_pole(x2 + 1),
                _binom_slope(y, x1, x1 - x2 + 1, x2 + 1),
                -_binom_slope(y, x1, x2 + 1, x1 - x2 + 1),
            )
        ),
    ),
    "the binomial coefficient, gamma(x1 + 1) / (gamma(x2 + 1) gamma(x1 - x2 + 1))",
    _binom,
    domain=(0.3, 5.0),
    reference=lambda a, b: numpy.vectorize(
        lambda n, k: math.gamma(n + 1) / math.gamma(k + 1) / math.gamma(n - k + 1), otypes=[float]
    )(a, b),
)

# The normal distribution


def _log_ndtr(x: Tensor) -> Tensor:
    t = maximum(-x / _ROOT_TWO, 1)
    s = (1 - 7.5 / (t + 3.75) - 0.21052631578947368) * 1.2666666666666666
    tail = log(_polynomial(_ERFC_FAR, s) / (2 * t)) - t * t
    return where(x < -_ROOT_TWO, tail, log1p(-0.5 * erfc(maximum(x, -_ROOT_TWO) / _ROOT_TWO)))


# Wichura, Algorithm AS 241: the percentage points of the normal distribution, 1988; PPND16, relative error 1e-16.
_MIDDLE = (
    (3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
     4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3),
    (1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
     2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3),
)  # fmt: skip
_TAIL = (
    (1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
     1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4),
    (1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
     1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9),
)  # fmt: skip
_FAR_TAIL = (
    (6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
     2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7),
    (1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
     7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15),
)  # fmt: skip


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], r: Tensor) -> Tensor:
    return _polynomial(coefficients[0], r) / _polynomial(coefficients[1], r)


def _normal_quantile(q: Tensor, tail: Tensor) -> Tensor:
    """The quantile of the normal distribution, from the probability less 1/2, and that of the tail on its side."""
    middle = q * _ratio(_MIDDLE, 0.180625 - clip(q * q, 0, 0.180625))
    r = sqrt(-log(tail))
    distance = where(r <= 5, _ratio(_TAIL, clip(r, 0, 5) - 1.6), _ratio(_FAR_TAIL, maximum(r, 5) - 5))
    distance = where(tail > 0, distance, where(tail == 0, math.inf, math.nan))
    return where(abs(q) <= 0.425, middle, where(q < 0, -distance, distance))


def _inverse_cdf(p: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(p)


_inverse_cdfs = numpy.vectorize(_inverse_cdf, otypes=[float])
_error_functions = numpy.vectorize(math.erfc, otypes=[float])

ndtr = unary(
    "ndtr",
    lambda g, x: g * exp(-0.5 * x * x) / _ROOT_TWO_PI,
    "the cumulative distribution of the normal distribution",
    lambda x: 0.5 * erfc(x / -_ROOT_TWO),
    reference=lambda x: 0.5 * _error_functions(-x / _ROOT_TWO),
)
log_ndtr = unary(
    "log_ndtr",
    lambda g, y, x: g * exp(-0.5 * x * x - y) / _ROOT_TWO_PI,
    "the logarithm of the cumulative distribution of the normal distribution",
    _log_ndtr,
    domain=(-6.0, 3.0),
    reference=lambda x: numpy.log(0.5 * _error_functions(-x / _ROOT_TWO)),
)
ndtri = unary(
    "ndtri",
    lambda g, y: g * exp(0.5 * y * y) * _ROOT_TWO_PI,
    "the quantile of the normal distribution, the inverse of ndtr",
    lambda x: _normal_quantile(x - 0.5, minimum(x, 1 - x)),
    domain=(0.05, 0.95),
    reference=_inverse_cdfs,
)
erfinv = unary(
    "erfinv",
    lambda g, y: g * exp(y * y) * (math.sqrt(math.pi) / 2),
    "the inverse of the error function",
    lambda x: _normal_quantile(0.5 * x, 0.5 * (1 - abs(x))) / _ROOT_TWO,
    domain=(-0.9, 0.9),
    reference=lambda x: _inverse_cdfs((x + 1) / 2) / _ROOT_TWO,
)

# The logistic function and entropies


def _logit(x: Tensor) -> Tensor:
    is_middle = logical_and(x > 0.25, x < 0.75)
    return where(is_middle, 2 * atanh(where(is_middle, 2 * x - 1, 0)), log(x) - log1p(-x))


def _times_log(x1: Tensor, x2: Tensor, logarithm: Callable[[Tensor], Tensor]) -> Tensor:
    is_nothing = logical_and(x1 == 0, x2 == x2)
    return where(is_nothing, 0, x1 * logarithm(where(is_nothing, 1, x2)))


def _rel_entr(x1: Tensor, x2: Tensor) -> Tensor:
    is_inside = logical_and(x1 > 0, x2 > 0)
    inside = x1 * log(where(is_inside, x1, 1) / where(is_inside, x2, 1))
    outside = where(logical_and(x1 == 0, x2 >= 0), 0, math.inf)
    return where(x1 + x2 == x1 + x2, where(is_inside, inside, outside), x1 + x2)


logit = unary(
    "logit",
    lambda g, x: g / (x * (1 - x)),
    "log(x / (1 - x)), the inverse of expit",
    _logit,
    domain=(0.05, 0.95),
    reference=lambda x: numpy.log(x / (1 - x)),
)
log_expit = unary(
    "log_expit",
    lambda g, x: g * expit(-x),
    "the logarithm of expit, without overflow",
    lambda x: minimum(x, 0) - log1p(exp(-abs(x))),
    reference=lambda x: -numpy.log1p(numpy.exp(-x)),
)
xlogy = binary(
    "xlogy",
    (lambda g, x1, x2: g * _log_but_at_0(log, x1, x2, 0), lambda g, x1, x2: g * _quotient(x1, x2)),
    "x1 * log(x2), and 0 where x1 is 0",
    lambda x1, x2: _times_log(x1, x2, log),
    domain=(0.2, 3.0),
    reference=lambda x1, x2: x1 * numpy.log(x2),
)
xlog1py = binary(
    "xlog1py",
    (lambda g, x1, x2: g * _log_but_at_0(log1p, x1, x2, -1), lambda g, x1, x2: g * _quotient(x1, 1 + x2)),
    "x1 * log(1 + x2), and 0 where x1 is 0",
    lambda x1, x2: _times_log(x1, x2, log1p),
    domain=(0.2, 3.0),
    reference=lambda x1, x2: x1 * numpy.log1p(x2),
)
entr = unary(
    "entr",
    lambda g, x: -g * (log(x) + 1),
    "-x * log(x), 0 at 0 and negative infinity below",
    lambda x: where(x < 0, -math.inf, -_times_log(x, x, log)),
    domain=(0.2, 3.0),
    reference=lambda x: -x * numpy.log(x),
)
rel_entr = binary(
    "rel_entr",
    (lambda g, x1, x2: g * (_log_ratio(x1, x2) + 1), lambda g, x1, x2: -g * _quotient(x1, x2)),
    "x1 * log(x1 / x2), 0 where x1 is 0, and infinity where either is negative",
    _rel_entr,
    domain=(0.2, 3.0),
    reference=lambda x1, x2: x1 * numpy.log(x1 / x2),
)
kl_div = binary(
    "kl_div",
    (lambda g, x1, x2: g * _log_ratio(x1, x2), lambda g, x1, x2: g * (1 - _quotient(x1, x2))),
    "x1 * log(x1 / x2) - x1 + x2, and infinity where either is negative",
    lambda x1, x2: _rel_entr(x1, x2) - x1 + x2,
    domain=(0.2, 3.0),
    reference=lambda x1, x2: x1 * numpy.log(x1 / x2) - x1 + x2,
)


def _log_but_at_0(logarithm: Callable[[Tensor], Tensor], x1: Tensor, x2: Tensor, pole: float) -> Tensor:
    """The logarithm of x2, and 0 where it has its pole and x1 is 0: there the function is 0 along x2."""
    is_corner = logical_and(x1 == 0, x2 == pole)
    return where(is_corner, 0, logarithm(where(is_corner, 1, x2)))


def _beta_slope(y: Tensor, x1: Tensor, x2: Tensor) -> Tensor:
    """The derivative of beta by x1. It has no pole where gamma(x1 + x2) has: there 1 / gamma crosses 0."""
    total = x1 + x2
    is_crossing = _is_pole(total)
    both = gamma(where(is_crossing, x1, 1)) * gamma(where(is_crossing, x2, 1))
    crossing = both * gamma(where(is_crossing, 1 - total, 1)) * _turn_at_pole(where(is_crossing, total, 0))
    return y * digamma(x1) + where(is_crossing, crossing, -y * digamma(where(is_crossing, 1, total)))


def _binom_slope(y: Tensor, n: Tensor, x1: Tensor, x2: Tensor) -> Tensor:
    """Y (digamma(x1) - digamma(x2)). Where gamma(x2) has a pole and gamma(n + 1) none, 1 / gamma(x2) crosses 0."""
    is_crossing = logical_and(_is_pole(x2), logical_not(_is_pole(n + 1)))
    crossing = beta(where(is_crossing, n + 1, 1), where(is_crossing, 1 - x2, 1))
    crossing = crossing * _turn_at_pole(where(is_crossing, x2, 0)) + y * digamma(where(is_crossing, x1, 1))
    return where(is_crossing, crossing, y * _digammas_apart(x1, where(is_crossing, 1, x2)))


def _log_ratio(x1: Tensor, x2: Tensor) -> Tensor:
    """log(x1 / x2), and where both are 0 what makes x1 log(x1 / x2) flat there."""
    is_corner = logical_and(x1 == 0, x2 == 0)
    return where(is_corner, -1, log(where(is_corner, 1, x1) / where(is_corner, 1, x2)))


def _quotient(x1: Tensor, x2: Tensor) -> Tensor:
    """x1 / x2, and 0 where both are 0."""
    return x1 / where(logical_and(x1 == 0, x2 == 0), 1, x2)


# Sums of exponentials, with SciPy's default axes


def logsumexp(x: Tensor, /, axis: Axes = None, *, keepdims: bool = False) -> Tensor:
    """Compute log(sum(exp(x))) along axes without overflow (SciPy: special.logsumexp).

    Arguments:
        x: tensor of a real floating-point dtype.
        axis: axis or axes; None takes all elements.
        keepdims: keep the axes with length 1.
    """
    return statistical.logsumexp(x, axis=axis, keepdims=keepdims)


def softmax(x: Tensor, /, axis: int | None = None) -> Tensor:
    """Divide exp(x) by its sum along an axis (SciPy: special.softmax).

    Arguments:
        x: tensor of a real floating-point dtype.
        axis: the axis; None takes all elements.
    """
    check_tensor("softmax", x)
    if axis is not None:
        return neural.softmax(x, axis=axis)
    return neural.softmax(x.reshape((x.size,)), axis=0).reshape(x.shape)  # type: ignore[no-any-return]


def log_softmax(x: Tensor, /, axis: int | None = None) -> Tensor:
    """Compute the logarithm of softmax without overflow (SciPy: special.log_softmax); arguments as for `softmax`."""
    check_tensor("log_softmax", x)
    if axis is not None:
        return neural.log_softmax(x, axis=axis)
    return neural.log_softmax(x.reshape((x.size,)), axis=0).reshape(x.shape)  # type: ignore[no-any-return]
