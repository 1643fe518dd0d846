"""What layers are made of: compositions that run on every device, and that a plugin may serve with one kernel each.

Where the gradient has a faster spelling than the composition's own, it is a composition too, so that a plugin may
serve that as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy

from rustorch_core._arguments import number, one_of
from rustorch_core._axes import as_shape, one_axis
from rustorch_core._creation_functions import ones, zeros
from rustorch_core._data_types import CATEGORIES
from rustorch_core._define import composition, public_names, unary
from rustorch_core._dispatch import check_tensor
from rustorch_core._elementwise_functions import (
    abs,
    clip,
    copysign,
    exp,
    log,
    log1p,
    maximum,
    sqrt,
    square,
    tanh,
    where,
)
from rustorch_core._indexing_functions import take_along_axis
from rustorch_core._linear_algebra_functions import _times_transposed, _transposed_times, matmul
from rustorch_core._manipulation_functions import expand_dims, reshape, squeeze
from rustorch_core._statistical_functions import max, mean, min, sum
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError, DTypeError, IndexingError, ShapeError

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


@composition("real floating-point")
def _layer_norm(x: Tensor, weight: Tensor, bias: Tensor, /, *, eps: float = 1e-5) -> Tensor:
    """Normalise the axes that `weight` has, then scale and shift."""
    axes = tuple(range(-weight.ndim, 0))
    centred = x - mean(x, axis=axes, keepdims=True)
    return centred / sqrt(mean(square(centred), axis=axes, keepdims=True) + eps) * weight + bias


def layer_norm(
    x: Tensor,
    /,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Bring the last axes to mean 0 and variance 1, then scale and shift (Ba et al. 2016; PyTorch: layer_norm).

    Arguments:
        x: tensor of a real floating-point dtype.
        normalized_shape: lengths of the last axes, which are normalised together.
        weight: tensor of that shape, or None for ones.
        bias: tensor of that shape, or None for zeros.
        eps: added to the variance.

    Raises:
        ShapeError: where `x` does not end in `normalized_shape`, or weight or bias have another shape.
    """
    check_tensor("layer_norm", x)
    lengths = as_shape("layer_norm", normalized_shape)
    if not lengths or x.shape[-len(lengths) :] != lengths:
        raise ShapeError(f"layer_norm: shape {x.shape} does not end in the normalized shape {lengths}")
    for name, part in (("weight", weight), ("bias", bias)):
        if part is None:
            continue
        check_tensor("layer_norm", part)
        if part.shape != lengths:
            raise ShapeError(f"layer_norm: {name} has shape {part.shape}, expected {lengths}")
    weight = ones(lengths, dtype=x.dtype, device=x.device) if weight is None else weight
    bias = zeros(lengths, dtype=x.dtype, device=x.device) if bias is None else bias
    return _layer_norm(x, weight, bias, eps=number("layer_norm", "eps", eps))


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


# Losses


_REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {"mean": mean, "sum": sum, "none": lambda losses: losses}


def _reduced(name: str, losses: Tensor, reduction: str) -> Tensor:
    one_of(name, "reduction", reduction, _REDUCTIONS)
    return _REDUCTIONS[reduction](losses)


def cross_entropy(
    logits: Tensor, target: Tensor, /, *, reduction: str = "mean", label_smoothing: float = 0.0
) -> Tensor:
    """Compute the cross entropy between logits and classes (PyTorch: cross_entropy).

    Arguments:
        logits: tensor of a real floating-point dtype, (C), (N, C) or (N, C, ...), C classes.
        target: class indices, the shape of `logits` without C; or probabilities of the shape of `logits`.
        reduction: "mean", "sum" or "none".
        label_smoothing: part of the probability that is spread evenly over all classes, 0 to 1.

    Raises:
        ShapeError: where the shapes do not fit.
        DTypeError: where the target is neither of integers nor of the dtype of `logits`.
        IndexingError: for a class that does not exist.
    """
    check_tensor("cross_entropy", logits)
    check_tensor("cross_entropy", target)
    if not 0.0 <= number("cross_entropy", "label_smoothing", label_smoothing) <= 1.0:
        raise ArgumentError(f"cross_entropy: label_smoothing is between 0 and 1, met {label_smoothing}")
    axis = 1 if logits.ndim > 1 else 0
    log_probabilities = log_softmax(logits, axis=axis)
    if target.dtype in CATEGORIES["integer"]:
        losses = -_chosen(log_probabilities, target, axis)
    elif target.shape == logits.shape and target.dtype in CATEGORIES["real floating-point"]:
        losses = -sum(log_probabilities * target, axis=axis)
    else:
        kind = ShapeError if target.dtype == logits.dtype else DTypeError
        raise kind(
            f"cross_entropy: a target of {target.dtype} and shape {target.shape} fits no logits of {logits.dtype} and "
            f"shape {logits.shape}; pass integer classes without the class axis, or probabilities of the logits' shape"
        )
    if label_smoothing:
        losses = (1 - label_smoothing) * losses - label_smoothing * mean(log_probabilities, axis=axis)
    return _reduced("cross_entropy", losses, reduction)


def _chosen(log_probabilities: Tensor, target: Tensor, axis: int) -> Tensor:
    """The entry of each target's class."""
    shape, classes = log_probabilities.shape, log_probabilities.shape[axis]
    if target.shape != shape[:axis] + shape[axis + 1 :]:
        raise ShapeError(
            f"cross_entropy: classes of shape {target.shape} do not fit logits of shape {shape}; "
            f"expected {shape[:axis] + shape[axis + 1 :]}"
        )
    if target.size and (int(min(target)) < 0 or int(max(target)) >= classes):
        raise IndexingError(
            f"cross_entropy: classes run from {int(min(target))} to {int(max(target))}, "
            f"but the logits have {classes} classes, from 0"
        )
    return squeeze(take_along_axis(log_probabilities, expand_dims(target, axis=axis), axis=axis), axis=axis)


def mse_loss(x: Tensor, target: Tensor, /, *, reduction: str = "mean") -> Tensor:
    """Compute the squared differences of two tensors of one shape (PyTorch: mse_loss).

    Arguments:
        x: tensor of a floating-point dtype.
        target: tensor of the same shape.
        reduction: "mean", "sum" or "none".

    Raises:
        ShapeError: where the shapes differ; they are not broadcast.
    """
    check_tensor("mse_loss", x)
    check_tensor("mse_loss", target)
    if x.shape != target.shape:
        raise ShapeError(f"mse_loss: shapes {x.shape} and {target.shape} differ")
    return _reduced("mse_loss", square(x - target), reduction)


__all__ = public_names(vars())
