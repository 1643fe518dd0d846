"""Pooling: the largest or the mean element of each window, one op each for any number of axes."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from rustorch_core._arguments import flag, integer
from rustorch_core._creation_functions import arange, asarray, zeros, zeros_like
from rustorch_core._data_types import bool_
from rustorch_core._define import cast, composition, public_names
from rustorch_core._elementwise_functions import add, logical_and, logical_not, logical_or, maximum, where
from rustorch_core._linear_algebra_functions import _times_transposed, matmul
from rustorch_core._manipulation_functions import expand_dims, squeeze
from rustorch_core._tensor import Tensor
from rustorch_core._windows import (
    Borders,
    Lengths,
    along_axis,
    batched,
    bordered,
    check_window_fits,
    one_for_each,
    places,
    with_border,
    without_border,
)
from rustorch_core.errors import ArgumentError


def _counts(
    lengths: Lengths, kernel: Lengths, stride: Lengths, padding: Lengths, dilation: Lengths, ceil_mode: bool
) -> Lengths:
    """How many windows there are along each axis; with `ceil_mode` also those that begin, but do not end, inside."""
    counts = []
    for length, size, step, border, gap in zip(lengths, kernel, stride, padding, dilation, strict=True):
        free = length + 2 * border - gap * (size - 1) - 1
        count = -(-free // step) + 1 if ceil_mode else free // step + 1
        counts.append(count - (ceil_mode and (count - 1) * step >= length + border))
    return tuple(counts)


def _borders(
    lengths: Lengths, kernel: Lengths, stride: Lengths, padding: Lengths, dilation: Lengths, counts: Lengths
) -> Borders:
    """The padding before and behind each axis, with what the last window reaches beyond it."""
    return tuple(
        (border, max(border, (count - 1) * step + gap * (size - 1) + 1 - length - border))
        for length, size, step, border, gap, count in zip(
            lengths, kernel, stride, padding, dilation, counts, strict=True
        )
    )


def _folded(
    x: Tensor, fold: Callable[[Any, Any], Tensor], kernel: Lengths, counts: Lengths, stride: Lengths, dilation: Lengths
) -> Tensor:
    """The elements of each window as one, one axis after the other."""
    for axis, window in enumerate(zip(kernel, counts, stride, dilation, strict=True), start=2):
        x = functools.reduce(fold, [x[(slice(None),) * axis + (met,)] for met in along_axis(*window)])
    return x


# The largest element


@composition(
    "real floating-point",
    lambda g, x, y, kernel, stride, padding, dilation, ceil_mode: _max_pool_gradient(
        g, x, y, kernel=kernel, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode
    ),
)
def _max_pool(
    x: Tensor, /, *, kernel: Lengths, stride: Lengths, padding: Lengths, dilation: Lengths, ceil_mode: bool
) -> Tensor:
    """Choose the largest element of each window of `x`, (N, C, ...); there is nothing in the padding."""
    counts = _counts(x.shape[2:], kernel, stride, padding, dilation, ceil_mode)
    borders = _borders(x.shape[2:], kernel, stride, padding, dilation, counts)
    result = _folded(with_border(x, borders, -math.inf), maximum, kernel, counts, stride, dilation)
    return result if max(kernel) > 1 else asarray(result, copy=True)


@composition(
    "real floating-point",
    lambda g, x2, x3, kernel, stride, padding, dilation, ceil_mode: _max_pool_chosen(
        g, x2, x3, kernel=kernel, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode
    ),
    None,
)
def _max_pool_gradient(
    g: Tensor,
    x: Tensor,
    y: Tensor,
    /,
    *,
    kernel: Lengths,
    stride: Lengths,
    padding: Lengths,
    dilation: Lengths,
    ceil_mode: bool,
) -> Tensor:
    """Send the gradient of each window to the first of its elements that is `y`, the largest one."""
    borders = _borders(x.shape[2:], kernel, stride, padding, dilation, y.shape[2:])
    wide, result = with_border(x, borders, -math.inf), bordered(x, x.shape, borders, 0.0)
    is_taken = zeros(y.shape, dtype=bool_, device=y.device)
    for key in places(kernel, y.shape[2:], stride, dilation):
        is_first = logical_and(wide[key] == y, logical_not(is_taken))
        is_taken = logical_or(is_taken, is_first)
        met = result[key]
        met += where(is_first, g, 0)
    return without_border(result, borders)


@composition(
    "real floating-point",
    lambda g, x2, x3, kernel, stride, padding, dilation, ceil_mode: _max_pool_gradient(
        g, x2, x3, kernel=kernel, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode
    ),
    None,
)
def _max_pool_chosen(
    values: Tensor,
    x: Tensor,
    y: Tensor,
    /,
    *,
    kernel: Lengths,
    stride: Lengths,
    padding: Lengths,
    dilation: Lengths,
    ceil_mode: bool,
) -> Tensor:
    """Choose of each window of `values` the one where the first element of `x` is that is `y`, the largest one."""
    borders = _borders(x.shape[2:], kernel, stride, padding, dilation, y.shape[2:])
    wide, candidates = with_border(x, borders, -math.inf), with_border(values, borders, 0.0)
    is_taken, result = zeros(y.shape, dtype=bool_, device=y.device), zeros_like(y)
    for key in places(kernel, y.shape[2:], stride, dilation):
        is_first = logical_and(wide[key] == y, logical_not(is_taken))
        is_taken = logical_or(is_taken, is_first)
        result = where(is_first, candidates[key], result)
    return result


# The mean


@composition(
    "floating-point",
    lambda g, x_shape, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override: _avg_pool_gradient(
        g,
        lengths=x_shape[2:],
        kernel=kernel,
        stride=stride,
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    ),
)
def _avg_pool(
    x: Tensor,
    /,
    *,
    kernel: Lengths,
    stride: Lengths,
    padding: Lengths,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    """Take the mean of each window of `x`, (N, C, ...)."""
    lengths, dilation = x.shape[2:], (1,) * len(kernel)
    counts = _counts(lengths, kernel, stride, padding, dilation, ceil_mode)
    borders = _borders(lengths, kernel, stride, padding, dilation, counts)
    sums = _folded(with_border(x, borders, 0.0), add, kernel, counts, stride, dilation)
    return sums / _divisors(x, lengths, counts, kernel, stride, padding, count_include_pad, divisor_override)


@composition(
    "floating-point",
    lambda g, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override: _avg_pool(
        g,
        kernel=kernel,
        stride=stride,
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    ),
)
def _avg_pool_gradient(
    g: Tensor,
    /,
    *,
    lengths: Lengths,
    kernel: Lengths,
    stride: Lengths,
    padding: Lengths,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    """Spread the gradient of each window over its elements; the axes of the input have the lengths given."""
    counts, dilation = g.shape[2:], (1,) * len(kernel)
    borders = _borders(lengths, kernel, stride, padding, dilation, counts)
    share = g / _divisors(g, lengths, counts, kernel, stride, padding, count_include_pad, divisor_override)
    result = bordered(g, (*g.shape[:2], *lengths), borders, 0.0)
    for key in places(kernel, counts, stride, dilation):
        met = result[key]
        met += share
    return without_border(result, borders)


def _divisors(
    like: Tensor,
    lengths: Lengths,
    counts: Lengths,
    kernel: Lengths,
    stride: Lengths,
    padding: Lengths,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor | int:
    """By what the sum of each window is divided: one number, or a tensor that broadcasts with the windows."""
    if divisor_override is not None:
        return divisor_override
    sizes = []
    for length, count, size, step, border in zip(lengths, counts, kernel, stride, padding, strict=True):
        first = numpy.arange(count) * step - border
        last = numpy.minimum(first + size, length + border)
        sizes.append(last - first if count_include_pad else numpy.minimum(last, length) - numpy.maximum(first, 0))
    divisors = functools.reduce(numpy.multiply.outer, sizes)
    if (divisors == divisors.flat[0]).all():
        return int(divisors.flat[0])
    return asarray(divisors.astype(like.dtype), device=like.device)


# What users call


def _windows(
    name: str, x: Tensor, kernel_size: Any, stride: Any, padding: Any, dilation: Any
) -> tuple[Tensor, dict[str, Any]]:
    """The input with an axis of examples, and the windows that slide along the others."""
    axes = int(name[-2])
    images = batched(name, x, axes)
    kernel = one_for_each(name, "kernel_size", kernel_size, axes)
    steps = kernel if stride is None else one_for_each(name, "stride", stride, axes)
    borders = one_for_each(name, "padding", padding, axes, least=0)
    gaps = one_for_each(name, "dilation", dilation, axes)
    if any(2 * border > size for border, size in zip(borders, kernel, strict=True)):
        raise ArgumentError(f"{name}: padding is at most half of the kernel, met padding={borders} and {kernel}")
    check_window_fits(name, images.shape, kernel, tuple((each, each) for each in borders), gaps)
    return images, {"kernel": kernel, "stride": steps, "padding": borders, "dilation": gaps}


def _max_pooled(
    name: str, x: Tensor, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> Tensor:
    images, windows = _windows(name, x, kernel_size, stride, padding, dilation)
    result = _max_pool(images, **windows, ceil_mode=flag(name, "ceil_mode", ceil_mode))
    return result if images is x else squeeze(result, axis=0)


def _avg_pooled(
    name: str,
    x: Tensor,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    images, windows = _windows(name, x, kernel_size, stride, padding, 1)
    del windows["dilation"]
    divisor = None if divisor_override is None else integer(name, "divisor_override", divisor_override)
    if divisor == 0:
        raise ArgumentError(f"{name}: divisor_override is not 0; leave it out to divide by the window's size")
    result = _avg_pool(
        images,
        **windows,
        ceil_mode=flag(name, "ceil_mode", ceil_mode),
        count_include_pad=flag(name, "count_include_pad", count_include_pad),
        divisor_override=divisor,
    )
    return result if images is x else squeeze(result, axis=0)


def max_pool1d(
    x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Tensor:
    """Choose the largest element of each window of signals (PyTorch: max_pool1d); arguments as for `max_pool2d`."""
    return _max_pooled("max_pool1d", x, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool2d(
    x: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """Choose the largest element of each window of images (PyTorch: max_pool2d).

    Arguments:
        x: tensor of a real floating-point dtype, (N, C, H, W) or (C, H, W).
        kernel_size: the window's height and width, one integer or two.
        stride: the window's step; by default its size.
        padding: how far windows begin and end outside, at most half of their size; no element there is chosen.
        dilation: the step between a window's elements.
        ceil_mode: whether windows that begin inside, but end outside, count too.

    Raises:
        ShapeError: where a window is larger than the padded input.
        ArgumentError: where a step is below 1, or the padding more than half of the window.
    """
    return _max_pooled("max_pool2d", x, kernel_size, stride, padding, dilation, ceil_mode)


def avg_pool1d(
    x: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Take the mean of each window of signals (PyTorch: avg_pool1d); arguments as for `avg_pool2d`."""
    return _avg_pooled("avg_pool1d", x, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    x: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Take the mean of each window of images (PyTorch: avg_pool2d).

    Arguments:
        x: tensor of a floating-point dtype, (N, C, H, W) or (C, H, W).
        kernel_size: the window's height and width, one integer or two.
        stride: the window's step; by default its size.
        padding: zeros on both sides of each axis, at most half of the window.
        ceil_mode: whether windows that begin inside, but end outside, count too.
        count_include_pad: whether these zeros count as elements.
        divisor_override: what the sum of a window is divided by; by default the number of its elements.

    Raises:
        ShapeError: where a window is larger than the padded input.
        ArgumentError: where a step is below 1, the padding more than half of the window, or the divisor is 0.
    """
    return _avg_pooled("avg_pool2d", x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def adaptive_avg_pool2d(x: Tensor, output_size: int | Sequence[int | None]) -> Tensor:
    """Take means of images in as many windows as the result is to have (PyTorch: adaptive_avg_pool2d).

    Arguments:
        x: tensor of a floating-point dtype, (N, C, H, W) or (C, H, W).
        output_size: height and width of the result, one integer or two; None keeps the input's.

    Raises:
        ArgumentError: where a length is below 1.
    """
    name = "adaptive_avg_pool2d"
    batched(name, x, 2)
    wanted = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * 2
    given = [length if each is None else each for each, length in itertools.zip_longest(wanted, x.shape[-2:])]
    height, width = one_for_each(name, "output_size", given, 2)
    return matmul(_means(x, -2, height), _times_transposed(x, _means(x, -1, width)))


def _means(x: Tensor, axis: int, count: int) -> Tensor:
    """The matrix that takes the means of an axis in so many windows."""
    length = x.shape[axis]
    windows, places = expand_dims(arange(count, device=x.device), axis=1), arange(length, device=x.device)
    first, last = windows * length // count, ((windows + 1) * length + count - 1) // count
    is_inside = logical_and(first <= places, places < last)
    return where(is_inside, 1 / cast(last - first, x.dtype), 0)


__all__ = public_names(vars())
