"""Normalisation: over the last axes, over groups of channels, over a batch, and by the root of the mean square.

Each is an op with a closed form of its gradient: two means and a difference, where the composition would keep every
step. What belongs to scale and shift is the same for all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rustorch_core._arguments import flag, integer, number
from rustorch_core._autograd import no_grad
from rustorch_core._axes import as_shape
from rustorch_core._creation_functions import ones, zeros
from rustorch_core._data_type_functions import finfo
from rustorch_core._define import cast, composition, public_names
from rustorch_core._dispatch import check_tensor
from rustorch_core._elementwise_functions import sqrt, square
from rustorch_core._manipulation_functions import reshape
from rustorch_core._statistical_functions import mean, sum
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError, ShapeError


def _standardised(x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    """The tensor with mean 0 and variance 1 along axes."""
    centred = x - mean(x, axis=axes, keepdims=True)
    return centred / sqrt(mean(square(centred), axis=axes, keepdims=True) + eps)


def _standardised_gradient(g: Tensor, x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    """The gradient of the same: `g` less its mean and less its part along the result, in units of the deviation."""
    centred = x - mean(x, axis=axes, keepdims=True)
    deviation = sqrt(mean(square(centred), axis=axes, keepdims=True) + eps)
    y = centred / deviation
    return (g - mean(g, axis=axes, keepdims=True) - y * mean(g * y, axis=axes, keepdims=True)) / deviation


def _of_channels(weight: Tensor, ndim: int) -> Tensor:
    """One number for each channel, beside a tensor of shape (N, C, ...)."""
    return reshape(weight, (-1, *[1] * (ndim - 2)))


def _over_all_but_channels(x: Tensor) -> Tensor:
    return sum(x, axis=(0, *range(2, x.ndim)))


def _scale_and_shift(
    name: str, x: Tensor, weight: Tensor | None, bias: Tensor | None, shape: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """The scale and the shift, each checked; ones and zeros where they are None."""
    for argument, part in (("weight", weight), ("bias", bias)):
        if part is None:
            continue
        check_tensor(name, part)
        if part.shape != shape:
            raise ShapeError(f"{name}: {argument} has shape {part.shape}, expected {shape}")
    return (
        ones(shape, dtype=x.dtype, device=x.device) if weight is None else weight,
        zeros(shape, dtype=x.dtype, device=x.device) if bias is None else bias,
    )


def _lengths(name: str, x: Tensor, normalized_shape: Any) -> tuple[int, ...]:
    """The lengths of the last axes, in which `x` must end."""
    check_tensor(name, x)
    lengths = as_shape(name, normalized_shape)
    if not lengths or x.shape[-len(lengths) :] != lengths:
        raise ShapeError(f"{name}: shape {x.shape} does not end in the normalized shape {lengths}")
    return lengths


def _channels(name: str, x: Tensor) -> int:
    """How many channels `x` has, (N, C) or (N, C, ...)."""
    check_tensor(name, x)
    if x.ndim < 2:
        raise ShapeError(f"{name}: expected a tensor of shape (N, C, ...), met one of {x.shape}")
    return x.shape[1]


# Over the last axes


def _last(ndim: int) -> tuple[int, ...]:
    return tuple(range(-ndim, 0))


@composition(
    "real floating-point",
    lambda g, x1, x2, eps: _layer_norm_gradient(g, x1, x2, eps=eps),
    lambda g, x1, x_shape, eps: _layer_norm_weight_gradient(g, x1, axes=len(x_shape), eps=eps),
    lambda g: g,
)
def _layer_norm(x: Tensor, weight: Tensor, bias: Tensor, /, *, eps: float = 1e-5) -> Tensor:
    """Normalise the axes that `weight` has, then scale and shift."""
    return _standardised(x, _last(weight.ndim), eps) * weight + bias


@composition("real floating-point")
def _layer_norm_gradient(g: Tensor, x: Tensor, weight: Tensor, /, *, eps: float = 1e-5) -> Tensor:
    """Compute the gradient of layer_norm with respect to `x`."""
    return _standardised_gradient(g * weight, x, _last(weight.ndim), eps)


@composition("real floating-point")
def _layer_norm_weight_gradient(g: Tensor, x: Tensor, /, *, axes: int, eps: float = 1e-5) -> Tensor:
    """Compute the gradient of layer_norm with respect to its weight, which has so many axes."""
    return sum(g * _standardised(x, _last(axes), eps), axis=tuple(range(x.ndim - axes)))


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
    lengths = _lengths("layer_norm", x, normalized_shape)
    weight, bias = _scale_and_shift("layer_norm", x, weight, bias, lengths)
    return _layer_norm(x, weight, bias, eps=number("layer_norm", "eps", eps))


# By the root of the mean square


@composition(
    "real floating-point",
    lambda g, x1, x2, eps: _rms_norm_gradient(g, x1, x2, eps=eps),
    lambda g, x1, x_shape, eps: _rms_norm_weight_gradient(g, x1, axes=len(x_shape), eps=eps),
)
def _rms_norm(x: Tensor, weight: Tensor, /, *, eps: float) -> Tensor:
    """Divide by the root of the mean square of the axes that `weight` has, then scale."""
    return x / _root_mean_square(x, weight.ndim, eps) * weight


@composition("real floating-point")
def _rms_norm_gradient(g: Tensor, x: Tensor, weight: Tensor, /, *, eps: float) -> Tensor:
    """Compute the gradient of rms_norm with respect to `x`."""
    root, g = _root_mean_square(x, weight.ndim, eps), g * weight
    y = x / root
    return (g - y * mean(g * y, axis=_last(weight.ndim), keepdims=True)) / root


@composition("real floating-point")
def _rms_norm_weight_gradient(g: Tensor, x: Tensor, /, *, axes: int, eps: float) -> Tensor:
    """Compute the gradient of rms_norm with respect to its weight, which has so many axes."""
    return sum(g * (x / _root_mean_square(x, axes, eps)), axis=tuple(range(x.ndim - axes)))


def _root_mean_square(x: Tensor, axes: int, eps: float) -> Tensor:
    return sqrt(mean(square(x), axis=_last(axes), keepdims=True) + eps)


def rms_norm(
    x: Tensor, /, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Divide by the root of the mean square of the last axes, then scale (Zhang and Sennrich 2019; PyTorch: rms_norm).

    Arguments:
        x: tensor of a real floating-point dtype.
        normalized_shape: lengths of the last axes, which are normalised together.
        weight: tensor of that shape, or None for ones.
        eps: added to the mean square; by default the dtype's own eps.

    Raises:
        ShapeError: where `x` does not end in `normalized_shape`, or weight has another shape.
    """
    lengths = _lengths("rms_norm", x, normalized_shape)
    weight, _ = _scale_and_shift("rms_norm", x, weight, None, lengths)
    return _rms_norm(x, weight, eps=finfo(x.dtype).eps if eps is None else number("rms_norm", "eps", eps))


# Over groups of channels


@composition(
    "real floating-point",
    lambda g, x1, x2, num_groups, eps: _group_norm_gradient(g, x1, x2, num_groups=num_groups, eps=eps),
    lambda g, x1, num_groups, eps: _group_norm_weight_gradient(g, x1, num_groups=num_groups, eps=eps),
    lambda g: _over_all_but_channels(g),
)
def _group_norm(x: Tensor, weight: Tensor, bias: Tensor, /, *, num_groups: int, eps: float = 1e-5) -> Tensor:
    """Normalise groups of channels of `x`, (N, C, ...), each by itself, then scale and shift each channel."""
    y = _standardised(_grouped(x, num_groups), (-1,), eps)
    return reshape(y, x.shape) * _of_channels(weight, x.ndim) + _of_channels(bias, x.ndim)


@composition("real floating-point")
def _group_norm_gradient(g: Tensor, x: Tensor, weight: Tensor, /, *, num_groups: int, eps: float = 1e-5) -> Tensor:
    """Compute the gradient of group_norm with respect to `x`."""
    scaled = _grouped(g * _of_channels(weight, x.ndim), num_groups)
    return reshape(_standardised_gradient(scaled, _grouped(x, num_groups), (-1,), eps), x.shape)


@composition("real floating-point")
def _group_norm_weight_gradient(g: Tensor, x: Tensor, /, *, num_groups: int, eps: float = 1e-5) -> Tensor:
    """Compute the gradient of group_norm with respect to its weight."""
    return _over_all_but_channels(g * reshape(_standardised(_grouped(x, num_groups), (-1,), eps), x.shape))


def _grouped(x: Tensor, num_groups: int) -> Tensor:
    return reshape(x, (x.shape[0], num_groups, math.prod(x.shape[1:]) // num_groups))


def group_norm(
    x: Tensor,
    /,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Bring groups of channels to mean 0 and variance 1, then scale and shift (Wu and He 2018; PyTorch: group_norm).

    Arguments:
        x: tensor of a real floating-point dtype, (N, C, ...).
        num_groups: into how many groups the channels fall; each is normalised by itself, in each example.
        weight: tensor of shape (C), or None for ones.
        bias: tensor of shape (C), or None for zeros.
        eps: added to the variance.

    Raises:
        ShapeError: where `x` has fewer than two axes, or weight or bias another shape.
        ArgumentError: where `num_groups` does not divide the channels.
    """
    channels, count = _channels("group_norm", x), integer("group_norm", "num_groups", num_groups)
    if count < 1 or channels % count:
        raise ArgumentError(f"group_norm: num_groups={count} does not divide the {channels} channels of {x.shape}")
    weight, bias = _scale_and_shift("group_norm", x, weight, bias, (channels,))
    return _group_norm(x, weight, bias, num_groups=count, eps=number("group_norm", "eps", eps))


# Over a batch


def _batch(ndim: int) -> tuple[int, ...]:
    return (0, *range(2, ndim))


@composition(
    "real floating-point",
    lambda g, x1, x2, index, eps: _batch_norm_input_rules[index](g, x1, x2, eps),
    lambda g, x1, index, eps: None if index else _batch_norm_weight_gradient(g, x1, eps=eps),
    lambda g, index: None if index else _over_all_but_channels(g),
)
def _batch_norm(x: Tensor, weight: Tensor, bias: Tensor, /, *, eps: float) -> Any:
    """Normalise each channel of `x`, (N, C, ...), over all else; also gives the mean and the variance of each."""
    axes = _batch(x.ndim)
    middle = mean(x, axis=axes, keepdims=True)
    centred = x - middle
    variance = mean(square(centred), axis=axes, keepdims=True)
    scale = _of_channels(weight, x.ndim) / sqrt(variance + eps)
    return centred * scale + _of_channels(bias, x.ndim), reshape(middle, (-1,)), reshape(variance, (-1,))


@composition("real floating-point")
def _batch_norm_gradient(g: Tensor, x: Tensor, weight: Tensor, /, *, eps: float) -> Tensor:
    """Compute the gradient of batch_norm in training with respect to `x`."""
    return _standardised_gradient(g, x, _batch(x.ndim), eps) * _of_channels(weight, x.ndim)


@composition("real floating-point")
def _batch_norm_weight_gradient(g: Tensor, x: Tensor, /, *, eps: float) -> Tensor:
    """Compute the gradient of batch_norm in training with respect to its weight."""
    return _over_all_but_channels(g * _standardised(x, _batch(x.ndim), eps))


def _mean_rule(g: Tensor, x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return _of_channels(g, x.ndim) / (x.size // x.shape[1]) + x * 0


def _variance_rule(g: Tensor, x: Tensor, weight: Tensor, eps: float) -> Tensor:
    centred = x - mean(x, axis=_batch(x.ndim), keepdims=True)
    return _of_channels(g, x.ndim) * (2 / (x.size // x.shape[1])) * centred


_batch_norm_input_rules = (
    lambda g, x, weight, eps: _batch_norm_gradient(g, x, weight, eps=eps),
    _mean_rule,
    _variance_rule,
)


@composition("real floating-point")
def _batch_norm_inference(
    x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, /, *, eps: float
) -> Tensor:
    """Bring each channel of `x`, (N, C, ...), from a mean and a variance known before to 0 and 1, scale and shift."""
    scale = weight / sqrt(variance + eps)
    return x * _of_channels(scale, x.ndim) + _of_channels(bias - mean * scale, x.ndim)


def batch_norm(
    x: Tensor,
    /,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Bring each channel to mean 0 and variance 1, then scale and shift (Ioffe and Szegedy 2015; PyTorch: batch_norm).

    Arguments:
        x: tensor of a real floating-point dtype, (N, C) or (N, C, ...).
        running_mean: tensor of shape (C): the means outside training, which training writes into; or None.
        running_var: tensor of shape (C): likewise the variances.
        weight: tensor of shape (C), or None for ones.
        bias: tensor of shape (C), or None for zeros.
        training: whether the batch's own mean and variance are used.
        momentum: the part of the new running values that comes from the batch; its variance without bias.
        eps: added to the variance.

    Raises:
        ShapeError: where `x` has fewer than two axes, or another argument another shape than (C).
        ArgumentError: in training where a channel has fewer than two elements; otherwise without running values.
    """
    name = "batch_norm"
    channels, eps = _channels(name, x), number(name, "eps", eps)
    weight, bias = _scale_and_shift(name, x, weight, bias, (channels,))
    for argument, running in (("running_mean", running_mean), ("running_var", running_var)):
        if running is not None:
            check_tensor(name, running)
        if running is not None and running.shape != (channels,):
            raise ShapeError(f"{name}: {argument} has shape {running.shape}, expected {(channels,)}")
    if not flag(name, "training", training):
        if running_mean is None or running_var is None:
            raise ArgumentError(
                f"{name}: outside training it needs running_mean and running_var; or pass training=True"
            )
        return _batch_norm_inference(x, running_mean, running_var, weight, bias, eps=eps)
    count = x.size // channels if channels else 0
    if count < 2:
        raise ArgumentError(
            f"{name}: a variance needs more than one element for each channel, but the shape {x.shape} has {count}; "
            "use a larger batch, or evaluate with running values"
        )
    y, batch_mean, batch_variance = _batch_norm(x, weight, bias, eps=eps)
    _follow(name, running_mean, batch_mean, momentum)
    _follow(name, running_var, batch_variance * (count / (count - 1)), momentum)
    return y


@no_grad()
def _follow(name: str, running: Tensor | None, value: Tensor, momentum: float) -> None:
    """Move a running value towards one of a batch, in its own memory."""
    if running is not None:
        part = number(name, "momentum", momentum)
        running *= 1 - part
        running += cast(value.detach() * part, running.dtype)


__all__ = public_names(vars())
