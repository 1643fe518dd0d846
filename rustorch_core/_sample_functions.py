"""What describes a sample, beyond the standard, as NumPy names and means it: order, spread and frequency."""

from __future__ import annotations

import math
from typing import Any

from rustorch_core import _statistical_functions as statistical
from rustorch_core._arguments import flag, integer, number
from rustorch_core._axes import Axes, some_axes
from rustorch_core._constants import inf, nan
from rustorch_core._creation_functions import asarray, linspace
from rustorch_core._data_types import CATEGORIES, DTYPES, Defaults, is_floating
from rustorch_core._define import cast, promoted, public_names
from rustorch_core._dispatch import check_tensor
from rustorch_core._elementwise_functions import (
    _conj,
    clip,
    floor,
    isinf,
    isnan,
    logical_and,
    logical_not,
    logical_or,
    round,
    sqrt,
    where,
)
from rustorch_core._indexing_functions import _scatter, take_along_axis
from rustorch_core._linear_algebra_functions import matmul
from rustorch_core._manipulation_functions import (
    broadcast_to,
    concat,
    expand_dims,
    matrix_transpose,
    moveaxis,
    permute_dims,
    reshape,
    unstack,
)
from rustorch_core._searching_functions import searchsorted, sort
from rustorch_core._tensor import Tensor, same_device
from rustorch_core.errors import ArgumentError, DTypeError, OperandError, ShapeError

# Order

#: The alpha and beta of Hyndman and Fan 1996, of the methods that interpolate.
_PLOTTING_POSITIONS = {
    "interpolated_inverted_cdf": (0.0, 1.0),
    "hazen": (0.5, 0.5),
    "weibull": (0.0, 0.0),
    "linear": (1.0, 1.0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}
_ROUNDED = ("lower", "higher", "nearest", "midpoint")


def median(x: Tensor, /, axis: Axes = None, *, keepdims: bool = False) -> Tensor:
    """Compute the median along axes: the middle element, or the mean of the two in the middle (NumPy: median).

    Arguments:
        x: tensor of a real-valued dtype; integers become the default floating-point dtype.
        axis: axis or axes; None takes all elements.
        keepdims: keep the axes with length 1.

    Returns:
        the medians; NaN where there is a NaN among the elements, or no element.
    """
    return _quantiles("median", x, 0.5, axis, "linear", keepdims)


def quantile(x: Tensor, /, q: Any, axis: Axes = None, *, method: str = "linear", keepdims: bool = False) -> Tensor:
    """Compute quantiles along axes; the gradient goes to `q` and the elements that they lie between (NumPy: quantile).

    Arguments:
        x: tensor of a real-valued dtype; integers become the default floating-point dtype.
        q: which quantiles: a number from 0 to 1, or a list or tensor of them, whose axes come first in the result.
        axis: axis or axes; None takes all elements.
        method: "linear", "lower", "higher", "nearest", "midpoint", "hazen", "weibull", "median_unbiased",
            "normal_unbiased" or "interpolated_inverted_cdf".
        keepdims: keep the axes with length 1.

    Returns:
        the quantiles; NaN where there is a NaN among the elements, or no element.

    Raises:
        ArgumentError: for another method, and for a q outside of its range.
    """
    return _quantiles("quantile", x, q, axis, method, keepdims)


def percentile(x: Tensor, /, q: Any, axis: Axes = None, *, method: str = "linear", keepdims: bool = False) -> Tensor:
    """Compute percentiles along axes (NumPy: percentile); q from 0 to 100, the other arguments as for `quantile`."""
    return _quantiles("percentile", x, q, axis, method, keepdims, whole=100)


def _quantiles(
    name: str,
    x: Any,
    q: Any,
    axis: Axes,
    method: str,
    keepdims: bool,
    *,
    whole: float = 1,
    leaves_nan_out: bool = False,
) -> Tensor:
    check_tensor(name, x)
    if x.dtype in CATEGORIES["complex floating-point"] or x.dtype == bool:
        raise DTypeError(f"{name}: {x.dtype} has no order; expected a real-valued dtype")
    if not isinstance(method, str) or method not in (*_PLOTTING_POSITIONS, *_ROUNDED):
        raise ArgumentError(f"{name}: method is one of {', '.join((*_PLOTTING_POSITIONS, *_ROUNDED))}, met {method!r}")
    x = x if is_floating(x.dtype) else cast(x, Defaults.floating)
    axes = some_axes(name, axis, x.ndim)
    parts, q_shape = _fractions(name, q, whole)
    rows = _rows(x, axes)
    found = moveaxis(_in_rows(rows, parts, method, leaves_nan_out), -1, 0)
    with_ones = tuple(1 if each in axes else n for each, n in enumerate(x.shape))
    kept = with_ones if flag(name, "keepdims", keepdims) else rows.shape[:-1]
    return reshape(found, (*q_shape, *kept))


def _fractions(name: str, q: Any, whole: float) -> tuple[list[Any], tuple[int, ...]]:
    """The quantiles asked for as numbers from 0 to 1, or tensors where they have a gradient, and their shape."""
    asked = q if isinstance(q, Tensor) else asarray(q, dtype="float64", device="cpu")
    if asked.dtype not in CATEGORIES["real-valued"]:
        raise DTypeError(f"{name}: q is a real number or several, met {asked.dtype}")
    flat = reshape(asked, (asked.size,))
    values = flat.detach().tolist()
    if not all(0 <= value <= whole for value in values):
        raise ArgumentError(f"{name}: q must lie between 0 and {whole}, met {q}")
    return [value / whole for value in (unstack(flat) if flat.requires_grad else values)], asked.shape


def _rows(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The tensor with some of its axes as one, the last."""
    rest = [each for each in range(x.ndim) if each not in axes]
    length = math.prod(x.shape[each] for each in axes)
    return reshape(permute_dims(x, (*rest, *axes)), (*[x.shape[each] for each in rest], length))


def _in_rows(rows: Tensor, parts: list[Any], method: str, leaves_nan_out: bool) -> Tensor:
    """The quantiles of each row, along the last axis."""
    length = rows.shape[-1]
    if length == 0:
        return broadcast_to(asarray(nan, dtype=rows.dtype, device=rows.device), (*rows.shape[:-1], len(parts)))
    is_missing = isnan(rows)
    ordered = sort(where(is_missing, inf, rows))
    if leaves_nan_out:
        count = statistical.sum(cast(logical_not(is_missing), _widest(rows)), axis=-1, keepdims=True)
        places = concat([_place(count, part, method) for part in parts], axis=-1) if parts else count[..., :0]
        is_lost = count == 0
    else:
        numbers = [_place(length, part, method) for part in parts]
        places = asarray(numbers, dtype=_widest(rows), device=rows.device)
        places = broadcast_to(places, (*rows.shape[:-1], len(parts)))
        is_lost = statistical.any(is_missing, axis=-1, keepdims=True)
    return where(is_lost, nan, _between(ordered, places))


def _widest(x: Tensor) -> Any:
    """The dtype to count places in: double precision where the device has it."""
    double = DTYPES["float64"]
    return double if x.device.supports(double) else DTYPES["float32"]


def _place(count: Any, part: Any, method: str) -> Any:
    """Where a quantile lies among sorted elements, from 0; a tensor where one of the numbers is."""
    is_number = not isinstance(count, Tensor) and not isinstance(part, Tensor)
    last = count - 1
    if method == "linear":
        place = last * part
    elif method in _PLOTTING_POSITIONS:
        alpha, beta = _PLOTTING_POSITIONS[method]
        place = count * part + (alpha + part * (1 - alpha - beta)) - 1
    else:
        place = last * part
        down = math.floor(place) if is_number else floor(place)
        up = -(math.floor(-place) if is_number else floor(-place))
        nearest = place.__round__() if is_number else round(place)
        place = {"lower": down, "higher": up, "nearest": nearest, "midpoint": (down + up) / 2}[method]
    return min(max(place, 0), last) if is_number else where(place > last, last, where(place < 0, 0, place))


def _between(ordered: Tensor, places: Tensor) -> Tensor:
    """Elements of sorted rows at places that may lie between two of them."""
    down = floor(places)
    part = cast(places - down, ordered.dtype)
    first = clip(cast(down, DTYPES["int64"]), 0, ordered.shape[-1] - 1)
    second = clip(first + 1, 0, ordered.shape[-1] - 1)
    low, high = take_along_axis(ordered, first), take_along_axis(ordered, second)
    # Where nothing is to be added, infinities must not meet: inf - inf and 0 * inf are NaN.
    is_low = logical_and(part == 0, low == low)
    is_low = logical_or(is_low, logical_and(low == high, isinf(low)))
    rise = where(is_low, 0, high) - where(is_low, 0, low)
    return where(part >= 0.5, where(is_low, low, high - rise * (1 - part)), low + rise * part)


def ptp(x: Tensor, /, axis: Axes = None, *, keepdims: bool = False) -> Tensor:
    """Compute the range along axes: the largest element less the smallest (NumPy: ptp); arguments as for `max`."""
    largest = statistical.max(x, axis=axis, keepdims=keepdims)
    return largest - statistical.min(x, axis=axis, keepdims=keepdims)


# Spread


def average(x: Tensor, /, axis: Axes = None, weights: Tensor | None = None, *, keepdims: bool = False) -> Tensor:
    """Average the elements along axes, each with its weight (NumPy: average).

    Arguments:
        x: tensor of a numeric dtype.
        axis: axis or axes to average along; None averages everything.
        weights: tensor of the shape of `x`, or of its shape along `axis`; None weighs all alike.
        keepdims: keep the axes with length 1.

    Raises:
        ShapeError: where the weights have neither shape.
    """
    if weights is None:
        return statistical.mean(x, axis=axis, keepdims=keepdims)
    x, weights = promoted("average", x, weights)
    axes = some_axes("average", axis, x.ndim)
    if weights.shape != x.shape:
        if weights.shape != tuple(x.shape[each] for each in axes):
            raise ShapeError(f"average: weights of shape {weights.shape} fit neither {x.shape} nor its axes {axes}")
        order = sorted(range(len(axes)), key=axes.__getitem__)
        lengths = tuple(n if each in axes else 1 for each, n in enumerate(x.shape))
        weights = broadcast_to(reshape(permute_dims(weights, order), lengths), x.shape)
    total = statistical.sum(weights, axis=axis, keepdims=keepdims)
    return statistical.sum(x * weights, axis=axis, keepdims=keepdims) / total


def cov(x: Tensor, /, *, rowvar: bool = True, bias: bool = False, ddof: int | None = None) -> Tensor:
    """Estimate the covariance matrix of variables (NumPy: cov).

    Arguments:
        x: tensor of shape (variables, observations), or (observations) of one variable.
        rowvar: whether the variables are the rows; else they are the columns.
        bias: whether to divide by the number of observations; else by one less.
        ddof: subtracted from the number of observations in the divisor; overrides `bias`.

    Returns:
        a tensor of shape (variables, variables), without axes for one variable.
    """
    check_tensor("cov", x)
    if x.ndim > 2:
        raise ShapeError(f"cov: expected at most 2 axes, met shape {x.shape}")
    x = x if is_floating(x.dtype) else cast(x, Defaults.floating)
    is_in_rows = flag("cov", "rowvar", rowvar)
    rows = reshape(x, (1, -1)) if x.ndim < 2 else x if is_in_rows else matrix_transpose(x)
    fewer = number("cov", "ddof", ddof) if ddof is not None else 0 if flag("cov", "bias", bias) else 1
    centred = rows - statistical.mean(rows, axis=1, keepdims=True)
    products = matmul(centred, _conj(matrix_transpose(centred)))
    divisor = rows.shape[1] - fewer
    result = products / divisor if divisor > 0 else products * nan
    return reshape(result, ()) if result.shape == (1, 1) else result


def corrcoef(x: Tensor, /, *, rowvar: bool = True) -> Tensor:
    """Compute Pearson's correlation of variables (NumPy: corrcoef); arguments as for `cov`."""
    covariance = cov(x, rowvar=rowvar)
    if covariance.ndim == 0:
        return covariance / covariance
    from rustorch_core._elementwise_functions import real
    from rustorch_core._linear_algebra_extension import diagonal

    deviation = sqrt(real(diagonal(covariance)))
    return covariance / expand_dims(deviation, axis=1) / deviation


# Frequency


def bincount(x: Tensor, /, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """Count how often each number from 0 up occurs (NumPy: bincount).

    Arguments:
        x: vector of integers, none negative.
        weights: vector of the same length to add up instead of counting; the gradient goes to it.
        minlength: the least length of the result.

    Raises:
        ArgumentError: where a number is negative.
        ShapeError: where `x` is no vector, or the weights differ from it in length.
    """
    check_tensor("bincount", x)
    if x.dtype not in CATEGORIES["integer"]:
        raise DTypeError(f"bincount: expected a tensor of integers, met {x.dtype}")
    if x.ndim != 1:
        raise ShapeError(f"bincount: expected a vector, met shape {x.shape}")
    if x.size and int(statistical.min(x)) < 0:
        raise ArgumentError(f"bincount: expected no negative number, met {int(statistical.min(x))}")
    minlength = integer("bincount", "minlength", minlength)
    if minlength < 0:
        raise ArgumentError(f"bincount: minlength is at least 0, met {minlength}")
    if weights is None:
        weights = broadcast_to(asarray(1, dtype=Defaults.integer, device=x.device), x.shape)
    check_tensor("bincount", weights)
    same_device("bincount", x, weights)
    if weights.shape != x.shape:
        raise ShapeError(f"bincount: weights of shape {weights.shape} met numbers of shape {x.shape}")
    length = max(minlength, int(statistical.max(x)) + 1 if x.size else 0)
    return _scatter(weights, (length,), (cast(x, DTYPES["int64"])._array,))


def histogram(
    x: Tensor, /, bins: Any = 10, range: tuple[float, float] | None = None, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Count how many elements fall into each bin (NumPy: histogram).

    Arguments:
        x: tensor of a real-valued dtype; NaN and what lies outside falls into no bin.
        bins: number of bins of one width, or their edges, ascending, as a tensor or list.
        range: where bins of one width begin and end; by default at the smallest and the largest element.
        weights: tensor of the shape of `x` to add up instead of counting; the gradient goes to it.

    Returns:
        the counts, and the edges, one more; the last bin holds its upper edge.
    """
    check_tensor("histogram", x)
    values = reshape(x if is_floating(x.dtype) else cast(x, Defaults.floating), (-1,)).detach()
    edges = _edges(values, bins, range)
    count = edges.shape[0] - 1
    place = searchsorted(edges, values, side="right") - 1
    place = where(values == edges[-1], count - 1, place)
    is_inside = logical_and(values >= edges[0], values <= edges[-1])
    place = where(is_inside, place, count)
    if weights is not None:
        check_tensor("histogram", weights)
    flat = None if weights is None else reshape(weights, (weights.size,))
    return bincount(place, flat, minlength=count + 1)[:count], edges


def _edges(values: Tensor, bins: Any, limits: tuple[float, float] | None) -> Tensor:
    if not isinstance(bins, int):
        edges = (
            cast(bins, values.dtype)
            if isinstance(bins, Tensor)
            else asarray(bins, dtype=values.dtype, device=values.device)
        )
        if edges.ndim != 1 or edges.shape[0] < 2:
            raise ShapeError(f"histogram: expected at least 2 edges in a vector, met shape {edges.shape}")
        return edges
    if bins < 1:
        raise ArgumentError(f"histogram: expected at least 1 bin, met {bins}")
    if limits is None:
        limits = (float(statistical.min(values)), float(statistical.max(values))) if values.size else (0.0, 1.0)
    if not isinstance(limits, (tuple, list)) or len(limits) != 2:
        raise OperandError(f"histogram: the range is a pair of numbers, met {limits!r}")
    low, high = (number("histogram", "range", limit) for limit in limits)
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ArgumentError(f"histogram: the range ({low}, {high}) is not finite and ascending; name one")
    low, high = (low - 0.5, high + 0.5) if low == high else (low, high)
    return linspace(low, high, bins + 1, dtype=values.dtype, device=values.device)


__all__ = public_names(vars())
