"""Convolutions: one op for any number of axes, and its two gradients, which are each other's gradients in turn.

On every device they are products of matrices: of the kernels with the columns of the input, the elements that each
place of a kernel meets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rustorch_core._arguments import integer, one_of
from rustorch_core._define import composition, public_names
from rustorch_core._dispatch import check_tensor
from rustorch_core._linear_algebra_functions import _times_transposed, _transposed_times, matmul
from rustorch_core._manipulation_functions import reshape, squeeze, stack
from rustorch_core._statistical_functions import sum
from rustorch_core._tensor import Tensor
from rustorch_core._windows import (
    Borders,
    Lengths,
    batched,
    bordered,
    check_window_fits,
    is_whole,
    one_for_each,
    places,
    window_counts,
    with_border,
    without_border,
)
from rustorch_core.errors import ArgumentError, ShapeError


@composition(
    "floating-point",
    lambda g, x2, x_shape, stride, padding, dilation, groups: _convolution_input_gradient(
        g, x2, lengths=x_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
    lambda g, x1, x_shape, stride, padding, dilation, groups: _convolution_weight_gradient(
        g, x1, kernel=x_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
    lambda g: sum(g, axis=(0, *range(2, g.ndim))),
)
def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    /,
    *,
    stride: Lengths,
    padding: Borders,
    dilation: Lengths,
    groups: int,
) -> Tensor:
    """Correlate `x`, (N, C, ...), with kernels, (out, C / groups, ...), and add the bias, (out).

    Arguments:
        x: tensor of a floating-point dtype.
        weight: the kernels.
        bias: one number for each, or None.
        stride: the step along each axis.
        padding: zeros before and behind each axis.
        dilation: the step between a kernel's places along each axis.
        groups: into how many groups the channels fall that have nothing to do with each other.
    """
    kernel, batch = weight.shape[2:], x.shape[0]
    lengths = window_counts(x.shape[2:], kernel, stride, padding, dilation)
    columns = _columns(x, kernel, lengths, stride, padding, dilation, groups)
    product = reshape(matmul(_as_matrices(weight, groups), columns), (batch, weight.shape[0], *lengths))
    if bias is not None:
        product += reshape(bias, (-1, *[1] * len(kernel)))
    return product


@composition(
    "floating-point",
    lambda g, x2, stride, padding, dilation, groups: _convolution(
        g, x2, stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
    lambda g, x1, x_shape, stride, padding, dilation, groups: _convolution_weight_gradient(
        x1, g, kernel=x_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
)
def _convolution_input_gradient(
    g: Tensor,
    weight: Tensor,
    /,
    *,
    lengths: Lengths,
    stride: Lengths,
    padding: Borders,
    dilation: Lengths,
    groups: int,
) -> Tensor:
    """Compute the gradient of a convolution with respect to its input, whose axes have the lengths given."""
    kernel, counts, batch = weight.shape[2:], g.shape[2:], g.shape[0]
    out = reshape(g, (batch, groups, g.shape[1] // groups, math.prod(counts)))
    columns = _transposed_times(_as_matrices(weight, groups), out)
    columns = reshape(columns, (batch, groups * weight.shape[1], math.prod(kernel), *counts))
    if is_whole(kernel, stride, padding):
        return squeeze(columns, axis=2)
    result = bordered(g, (batch, columns.shape[1], *lengths), padding, 0.0)
    for place, key in enumerate(places(kernel, counts, stride, dilation)):
        met = result[key]
        met += columns[:, :, place]
    return without_border(result, padding)


@composition(
    "floating-point",
    lambda g, x2, stride, padding, dilation, groups: _convolution(
        x2, g, stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
    lambda g, x1, x_shape, stride, padding, dilation, groups: _convolution_input_gradient(
        x1, g, lengths=x_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
)
def _convolution_weight_gradient(
    g: Tensor,
    x: Tensor,
    /,
    *,
    kernel: Lengths,
    stride: Lengths,
    padding: Borders,
    dilation: Lengths,
    groups: int,
) -> Tensor:
    """Compute the gradient of a convolution with respect to its kernels, whose axes have the lengths given."""
    counts, (batch, channels) = g.shape[2:], g.shape[:2]
    columns = _columns(x, kernel, counts, stride, padding, dilation, groups)
    out = reshape(g, (batch, groups, channels // groups, math.prod(counts)))
    return reshape(sum(_times_transposed(out, columns), axis=0), (channels, x.shape[1] // groups, *kernel))


def _as_matrices(weight: Tensor, groups: int) -> Tensor:
    """The kernels of each group as the rows of a matrix."""
    return reshape(weight, (groups, weight.shape[0] // groups, math.prod(weight.shape[1:])))


def _columns(
    x: Tensor,
    kernel: Lengths,
    counts: Lengths,
    stride: Lengths,
    padding: Borders,
    dilation: Lengths,
    groups: int,
) -> Tensor:
    """For each group what the kernel meets: one row for each channel and place in it, one column for each window."""
    shape = (x.shape[0], groups, x.shape[1] // groups * math.prod(kernel), math.prod(counts))
    if is_whole(kernel, stride, padding):
        return reshape(x, shape)
    wide = with_border(x, padding, 0.0)
    return reshape(stack([wide[key] for key in places(kernel, counts, stride, dilation)], axis=2), shape)


# What users call


def _borders(name: str, padding: Any, kernel: Lengths, stride: Lengths, dilation: Lengths) -> Borders:
    """Padding from the forms that PyTorch allows."""
    if not isinstance(padding, str):
        return tuple((each, each) for each in one_for_each(name, "padding", padding, len(kernel), least=0))
    one_of(name, "padding", padding, ("valid", "same"))
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if set(stride) != {1}:
        raise ArgumentError(f"{name}: padding='same' needs a stride of 1, met {stride}")
    totals = [gap * (size - 1) for size, gap in zip(kernel, dilation, strict=True)]
    return tuple((total // 2, total - total // 2) for total in totals)


def _convolved(
    name: str,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Tensor:
    axes = int(name[-2])
    images = batched(name, x, axes)
    check_tensor(name, weight)
    groups = integer(name, "groups", groups)
    if weight.ndim != axes + 2 or 0 in weight.shape:
        raise ShapeError(
            f"{name}: expected kernels of shape (out, in / groups, ...), {axes + 2} axes, met {weight.shape}"
        )
    if groups < 1 or images.shape[1] % groups or weight.shape[0] % groups:
        raise ArgumentError(
            f"{name}: groups={groups} does not divide {images.shape[1]} channels of the input and "
            f"{weight.shape[0]} of the output"
        )
    if images.shape[1] != weight.shape[1] * groups:
        raise ShapeError(
            f"{name}: an input of shape {x.shape} has {images.shape[1]} channels, but kernels of shape {weight.shape} "
            f"with groups={groups} take {weight.shape[1] * groups}"
        )
    if bias is not None:
        check_tensor(name, bias)
        if bias.shape != weight.shape[:1]:
            raise ShapeError(f"{name}: bias has shape {bias.shape}, expected {weight.shape[:1]}")
    steps, gaps = one_for_each(name, "stride", stride, axes), one_for_each(name, "dilation", dilation, axes)
    borders = _borders(name, padding, weight.shape[2:], steps, gaps)
    check_window_fits(name, images.shape, weight.shape[2:], borders, gaps)
    result = _convolution(images, weight, bias, stride=steps, padding=borders, dilation=gaps, groups=groups)
    return result if images is x else squeeze(result, axis=0)


def conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Correlate signals with kernels (PyTorch: conv1d); arguments as for `conv2d`, with one axis in place of two."""
    return _convolved("conv1d", x, weight, bias, stride, padding, dilation, groups)


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Correlate images with kernels (PyTorch: conv2d).

    Arguments:
        x: tensor of a floating-point dtype, (N, C, H, W) or (C, H, W).
        weight: the kernels, (out, C / groups, height, width).
        bias: tensor of shape (out), or None.
        stride: the step of the kernels, one integer or one for each axis.
        padding: zeros on both sides of each axis; "valid" for none, "same" for as many as give a result of the input's
            height and width, of which the odd one stands behind.
        dilation: the step between a kernel's places.
        groups: into how many groups the channels fall; each output sees its own group of inputs only.

    Raises:
        ShapeError: where the channels do not fit, or the kernels are larger than the padded input.
        ArgumentError: where `groups` does not divide the channels, or a step is below 1.
    """
    return _convolved("conv2d", x, weight, bias, stride, padding, dilation, groups)


def conv3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Correlate volumes with kernels (PyTorch: conv3d); arguments as for `conv2d`, with three axes in place of two."""
    return _convolved("conv3d", x, weight, bias, stride, padding, dilation, groups)


__all__ = public_names(vars())
