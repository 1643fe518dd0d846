"""What layers are made of: compositions that run on every device, and that a plugin may serve with one kernel each.

Where the gradient has a faster spelling than the composition's own, it is a composition too, so that a plugin may
serve that as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy

from rustorch_core._arguments import number, one_of
from rustorch_core._axes import one_axis
from rustorch_core._define import Prepared, composition, op, public_names, unary
from rustorch_core._elementwise_functions import (
    abs,
    clip,
    copysign,
    exp,
    expm1,
    log,
    log1p,
    logical_and,
    maximum,
    minimum,
    square,
    tanh,
    where,
)
from rustorch_core._linear_algebra_functions import _times_transposed, _transposed_times, matmul
from rustorch_core._manipulation_functions import reshape
from rustorch_core._statistical_functions import max, sum
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ShapeError

# erf(x) / x on [0, 1] as a polynomial in s = 2 x**2 - 1, and x exp(x**2) erfc(x) on [1, inf) as one in
# s = (t - 0.2105...) / 0.7894..., t = (x - 3.75) / (x + 3.75): Chebyshev interpolants, within 5e-16 of the functions.
_ERF_NEAR = (
    0.9654687386698673, -0.1405360890227171, 0.019852496688984218, -0.0022854855611440855, 0.00021751715603563488,
    -1.75371694412802e-05, 1.2233827638093572e-06, -7.51156925108609e-08, 4.115751500265885e-09,
    -2.035231956483527e-10, 9.21125018742823e-12, -3.80659122412214e-13,
)  # fmt: skip
_ERFC_FAR = (
    0.5560179744758551, 0.025890101507071602, -0.03483854114733513, 0.029479740547377634, -0.019650931829305163,
    0.010881081054961326, -0.005052722272237865, 0.0019375121582010022, -0.0005844996645796401,
    0.00012061213156655767, -6.797468997584687e-06, -5.951603999337388e-06, 2.247396518154945e-06,
    -1.3205841770897537e-07, -1.5584706917029104e-07, 4.4576964425072994e-08, 6.268640275271665e-09,
    -4.949909122163358e-09, -5.9707439353109e-11, 3.321581729520095e-10,
)  # fmt: skip

_ERFC_IS_ZERO = 28.0


def _polynomial(coefficients: Sequence[float], s: Tensor) -> Tensor:
    result = s * coefficients[-1]
    for coefficient in coefficients[-2:0:-1]:
        result = (result + coefficient) * s
    return result + coefficients[0]


def _erfc_beyond_one(x: Tensor) -> Tensor:
    """erfc(x) for x >= 1."""
    t = (x - 3.75) / (x + 3.75)
    s = (t - 0.21052631578947368) * 1.2666666666666666
    return _polynomial(_ERFC_FAR, s) / x * exp(-x * x)


def _erf(x: Tensor) -> Tensor:
    is_near = abs(x) < 1
    near = x * _polynomial(_ERF_NEAR, 2 * square(where(is_near, x, 0)) - 1)
    return where(is_near, near, copysign(1 - _erfc_beyond_one(clip(abs(x), 1, _ERFC_IS_ZERO)), x))


def _erfc(x: Tensor) -> Tensor:
    far = _erfc_beyond_one(clip(abs(x), 1, _ERFC_IS_ZERO))
    return where(abs(x) < 1, 1 - _erf(x), where(x < 0, 2 - far, far))


erf = unary(
    "erf",
    "real floating-point",
    lambda g, x: g * (2 / math.sqrt(math.pi)) * exp(-x * x),
    "the error function",
    compose=_erf,
    reference=numpy.vectorize(math.erf, otypes=[float]),
)
erfc = unary(
    "erfc",
    "real floating-point",
    lambda g, x: g * (-2 / math.sqrt(math.pi)) * exp(-x * x),
    "the complementary error function, 1 - erf(x), exact in its tail",
    compose=_erfc,
    reference=numpy.vectorize(math.erfc, otypes=[float]),
)


# Activations


def _sigmoid(x: Tensor) -> Tensor:
    small = exp(-abs(x))
    return where(x >= 0, 1, small) / (1 + small)


relu = unary(
    "relu",
    "real-valued",
    lambda g, y: _relu_gradient(g, y),
    "the larger of each element and 0",
    compose=lambda x: maximum(x, 0),
    reference=lambda x: numpy.maximum(x, 0),
)
sigmoid = unary(
    "sigmoid",
    "real floating-point",
    lambda g, y: g * y * (1 - y),
    "the logistic function, 1 / (1 + exp(-x))",
    compose=_sigmoid,
    reference=lambda x: 1 / (1 + numpy.exp(-x)),
)
silu = unary(
    "silu",
    "real floating-point",
    lambda g, x: _silu_gradient(g, x),
    "x * sigmoid(x) (Elfwing et al. 2017, also known as swish)",
    compose=lambda x: x * sigmoid(x),
    reference=lambda x: x / (1 + numpy.exp(-x)),
)
softplus = unary(
    "softplus",
    "real floating-point",
    lambda g, x: g * sigmoid(x),
    "log(1 + exp(x)) without overflow",
    compose=lambda x: maximum(x, 0) + log1p(exp(-abs(x))),
    reference=lambda x: numpy.log1p(numpy.exp(x)),
)


@composition("real floating-point", lambda g, x2: _relu_gradient(g, x2), None)
def _relu_gradient(g: Tensor, y: Tensor, /) -> Tensor:
    """Choose `g` where `y`, the result of relu, is positive, and 0 elsewhere; both tensors of one shape and dtype."""
    return where(y > 0, g, 0)


@composition("real floating-point")
def _silu_gradient(g: Tensor, x: Tensor, /) -> Tensor:
    """Compute `g` times the derivative of silu at `x`; both tensors of one shape and dtype."""
    s = sigmoid(x)
    return g * s * (1 + x * (1 - s))


def _mish_slope(x: Tensor) -> Tensor:
    t = tanh(softplus(x))
    return t + x * (1 - t * t) * sigmoid(x)


mish = unary(
    "mish",
    "real floating-point",
    lambda g, x: g * _mish_slope(x),
    "x * tanh(softplus(x)) (Misra 2019)",
    compose=lambda x: x * tanh(softplus(x)),
    reference=lambda x: x * numpy.tanh(numpy.log1p(numpy.exp(x))),
)
relu6 = unary(
    "relu6",
    "real-valued",
    lambda g, y: where(logical_and(y > 0, y < 6), g, 0),
    "each element brought between 0 and 6",
    compose=lambda x: clip(x, 0, 6),
    reference=lambda x: numpy.clip(x, 0, 6),
    domain=(-2.0, 8.0),
)
hardswish = unary(
    "hardswish",
    "real floating-point",
    lambda g, x: g * where(abs(x) < 3, x / 3 + 0.5, where(x > 0, 1, 0)),
    "x * relu6(x + 3) / 6 (Howard et al. 2019)",
    compose=lambda x: x * clip(x / 6 + 0.5, 0, 1),
    reference=lambda x: x * numpy.clip(x / 6 + 0.5, 0, 1),
    domain=(-4.0, 4.0),
)
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
selu = unary(
    "selu",
    "real floating-point",
    lambda g, y: g * where(y > 0, _SELU_SCALE, y + _SELU_SCALE * _SELU_ALPHA),
    "1.0507 * elu(x, 1.6733), which keeps mean 0 and variance 1 (Klambauer et al. 2017)",
    compose=lambda x: _SELU_SCALE * where(x > 0, x, _SELU_ALPHA * expm1(minimum(x, 0))),
    reference=lambda x: _SELU_SCALE * numpy.where(x > 0, x, _SELU_ALPHA * numpy.expm1(x)),
)


@composition("real floating-point", lambda g, x, negative_slope: where(x > 0, g, g * negative_slope))
def leaky_relu(x: Tensor, /, negative_slope: float = 0.01) -> Tensor:
    """Multiply negative elements by a small number (Maas et al. 2013; PyTorch: leaky_relu).

    Arguments:
        x: tensor of a real floating-point dtype.
        negative_slope: that number.
    """
    return where(x > 0, x, x * number("leaky_relu", "negative_slope", negative_slope))


@composition("real floating-point", lambda g, x, alpha: where(x > 0, g, g * alpha * exp(minimum(x, 0))))
def elu(x: Tensor, /, alpha: float = 1.0) -> Tensor:
    """Bring negative elements smoothly towards -alpha (Clevert et al. 2016; PyTorch: elu).

    Arguments:
        x: tensor of a real floating-point dtype.
        alpha: how far below 0 the result reaches.
    """
    return where(x > 0, x, number("elu", "alpha", alpha) * expm1(minimum(x, 0)))


_SQRT_HALF, _SQRT_2_OVER_PI = math.sqrt(0.5), math.sqrt(2 / math.pi)


def _check_approximate(name: str, approximate: str) -> None:
    one_of(name, "approximate", approximate, ("none", "tanh"))


@composition("real floating-point", lambda g, x, approximate: _gelu_gradient(g, x, approximate=approximate))
def gelu(x: Tensor, /, *, approximate: str = "none") -> Tensor:
    """Compute x times the standard normal distribution function of x (Hendrycks and Gimpel 2016).

    Arguments:
        x: tensor of a real floating-point dtype.
        approximate: "none" for the exact form, "tanh" for 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x**3))).

    Raises:
        ArgumentError: for another `approximate`.
    """
    _check_approximate("gelu", approximate)
    if approximate == "tanh":
        return 0.5 * x * (1 + tanh(_SQRT_2_OVER_PI * (x + 0.044715 * x * x * x)))
    return 0.5 * x * erfc(-_SQRT_HALF * x)


@composition("real floating-point")
def _gelu_gradient(g: Tensor, x: Tensor, /, *, approximate: str = "none") -> Tensor:
    """Compute `g` times the derivative of gelu at `x`; both tensors of one shape and dtype."""
    if approximate == "tanh":
        t = tanh(_SQRT_2_OVER_PI * (x + 0.044715 * x * x * x))
        return g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * _SQRT_2_OVER_PI * (1 + 3 * 0.044715 * x * x))
    return g * (0.5 * erfc(-_SQRT_HALF * x) + x * exp(-0.5 * x * x) * (_SQRT_2_OVER_PI / 2))


# Rows


@composition("real floating-point", lambda g, y, axis: _softmax_gradient(g, y, axis=axis))
def softmax(x: Tensor, /, *, axis: int = -1) -> Tensor:
    """Compute exp(x) / sum(exp(x)) along an axis without overflow.

    Arguments:
        x: tensor of a real floating-point dtype.
        axis: the axis whose elements sum to 1 in the result.

    Raises:
        AxisError: where there is no such axis.
    """
    one_axis("softmax", axis, x.ndim)
    if x.size == 0:
        return x * 1
    powers = exp(x - max(x, axis=axis, keepdims=True))
    return powers / sum(powers, axis=axis, keepdims=True)


@composition("real floating-point")
def _softmax_gradient(g: Tensor, y: Tensor, /, *, axis: int = -1) -> Tensor:
    """Compute the gradient of softmax from that of its result `y`; both tensors of one shape and dtype."""
    return y * (g - sum(g * y, axis=axis, keepdims=True))


@composition("real floating-point", lambda g, y, axis: _log_softmax_gradient(g, y, axis=axis))
def log_softmax(x: Tensor, /, *, axis: int = -1) -> Tensor:
    """Compute log(softmax(x)) along an axis, exact where softmax is near 0.

    Arguments:
        x: tensor of a real floating-point dtype.
        axis: the axis whose elements sum to 1 under exp in the result.

    Raises:
        AxisError: where there is no such axis.
    """
    one_axis("log_softmax", axis, x.ndim)
    if x.size == 0:
        return x * 1
    shifted = x - max(x, axis=axis, keepdims=True)
    return shifted - log(sum(exp(shifted), axis=axis, keepdims=True))


@composition("real floating-point")
def _log_softmax_gradient(g: Tensor, y: Tensor, /, *, axis: int = -1) -> Tensor:
    """Compute the gradient of log_softmax from that of its result `y`; both tensors of one shape and dtype."""
    return g - exp(y) * sum(g, axis=axis, keepdims=True)


@composition(
    "floating-point",
    lambda g, x2: g @ x2,
    lambda g, x1: _transposed_times(_as_rows(g), _as_rows(x1)),
    lambda g: g,
)
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, /) -> Tensor:
    """Multiply by a matrix and add a bias: x @ weight.T + bias (PyTorch: linear).

    Arguments:
        x: tensor of shape (..., in).
        weight: tensor of shape (out, in).
        bias: tensor of shape (out), or None.

    Raises:
        ShapeError: where the shapes do not fit.
    """
    if weight.ndim != 2 or x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise ShapeError(f"linear: input of shape {x.shape} does not fit a weight of shape {weight.shape} (out, in)")
    product = _times_transposed(x, weight) if x.ndim > 1 else matmul(weight, x)
    return product if bias is None else product + bias


def _as_rows(x: Tensor) -> Tensor:
    """A stack of vectors as one matrix."""
    return x if x.ndim == 2 else reshape(x, (-1, x.shape[-1]) if x.size else (math.prod(x.shape[:-1]), x.shape[-1]))


# Chance


def _scaled(x: Tensor, is_kept: Tensor, *, scale: float) -> Tensor:
    return where(is_kept, x * scale, 0)


@op(
    "dropout",
    "floating-point",
    lambda g, x2, scale: _dropout(g, x2, scale=scale),
    None,
    compose=_scaled,
    method=False,
)
def _dropout(x: Tensor, is_kept: Tensor, /, *, scale: float) -> Prepared:
    """Multiply what is kept, and make 0 of the rest; `is_kept` is boolean, of the shape of `x`."""
    return (x, is_kept), {"scale": scale}


__all__ = public_names(vars())
