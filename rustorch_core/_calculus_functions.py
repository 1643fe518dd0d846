"""Numerical calculus beyond the standard, as NumPy names and means it: running sums, slopes, areas, interpolation."""

from __future__ import annotations

from typing import Any

from rustorch_core import _statistical_functions as statistical
from rustorch_core._arguments import integer, number, scalar
from rustorch_core._axes import Axes, one_axis, some_axes
from rustorch_core._creation_functions import asarray
from rustorch_core._data_types import Defaults, is_floating
from rustorch_core._define import attach, cast, public_names
from rustorch_core._dispatch import check_tensor
from rustorch_core._elementwise_functions import where
from rustorch_core._indexing_functions import take
from rustorch_core._manipulation_functions import concat, moveaxis, reshape
from rustorch_core._searching_functions import argsort, searchsorted
from rustorch_core._tensor import Tensor
from rustorch_core._utility_functions import diff
from rustorch_core.errors import ArgumentError, ShapeError

# Running sums and products


def cumsum(x: Tensor, /, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Add up the elements along an axis (NumPy: cumsum).

    Arguments:
        x: tensor of a numeric dtype.
        axis: the axis; None takes the flattened tensor.
        dtype: dtype to add in, as for `sum`.
    """
    check_tensor("cumsum", x)
    x, axis = (reshape(x, (x.size,)), 0) if axis is None else (x, axis)
    return statistical.cumulative_sum(x, axis=axis, dtype=dtype)


def cumprod(x: Tensor, /, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Multiply up the elements along an axis (NumPy: cumprod); arguments as for `cumsum`."""
    check_tensor("cumprod", x)
    x, axis = (reshape(x, (x.size,)), 0) if axis is None else (x, axis)
    return statistical.cumulative_prod(x, axis=axis, dtype=dtype)


# Slopes and areas


def gradient(x: Tensor, /, *spacings: Any, axis: Axes = None, edge_order: int = 1) -> Any:
    """Estimate slopes along axes by differences of neighbours, central ones inside (NumPy: gradient).

    Arguments:
        x: tensor of a floating-point dtype; integers become the default one.
        spacings: nothing for a distance of 1; one number for all axes; or for each axis a number or a vector of places.
        axis: axis or axes; None for all of them.
        edge_order: 1 or 2, of the one-sided differences at both ends.

    Returns:
        a tensor for one axis, else a tuple of one for each.

    Raises:
        ArgumentError: where the spacings do not fit the axes, or an axis is too short.
    """
    check_tensor("gradient", x)
    x = x if is_floating(x.dtype) else cast(x, Defaults.floating)
    axes = some_axes("gradient", axis, x.ndim)
    if integer("gradient", "edge_order", edge_order) not in (1, 2):
        raise ArgumentError(f"gradient: edge_order is 1 or 2, met {edge_order}")
    if len(spacings) not in (0, 1, len(axes)):
        raise ArgumentError(f"gradient: {len(spacings)} spacings met {len(axes)} axes; give none, one, or one each")
    each_spacing = spacings * len(axes) if len(spacings) == 1 else spacings or (1.0,) * len(axes)
    slopes = [_slope(x, one, spacing, edge_order) for one, spacing in zip(axes, each_spacing, strict=True)]
    return slopes[0] if len(slopes) == 1 else tuple(slopes)


def _slope(x: Tensor, axis: int, spacing: Any, edge_order: int) -> Tensor:
    """The slope along one axis, from parabolas through three neighbours."""
    length = x.shape[axis]
    if length <= edge_order:
        raise ArgumentError(f"gradient: axis {axis} of shape {x.shape} needs at least {edge_order + 1} elements")
    rows = moveaxis(x, axis, -1)
    steps = _steps(x, axis, spacing)
    rises = diff(rows) / steps
    if length == 2:
        return moveaxis(concat([rises, rises], axis=-1), -1, axis)
    before, after = steps[..., :-1], steps[..., 1:]
    inner = (rises[..., :-1] * after + rises[..., 1:] * before) / (before + after)
    first, last = rises[..., :1], rises[..., -1:]
    if edge_order == 2:
        # The parabola's slope is linear: it changes over an end's step by twice what lies between rise and slope.
        first, last = 2 * first - inner[..., :1], 2 * last - inner[..., -1:]
    return moveaxis(concat([first, inner, last], axis=-1), -1, axis)


def _steps(x: Tensor, axis: int, spacing: Any) -> Tensor:
    """The distances of neighbours along an axis: one for each pair."""
    length = x.shape[axis]
    places = spacing if isinstance(spacing, Tensor) else asarray(spacing, dtype=x.dtype, device=x.device)
    if places.ndim == 0:
        from rustorch_core._manipulation_functions import broadcast_to

        return broadcast_to(places, (length - 1,))
    if places.shape != (length,):
        raise ShapeError(f"gradient: places of shape {places.shape} met axis {axis} of shape {x.shape}")
    return diff(places)


def trapezoid(y: Tensor, /, x: Tensor | None = None, dx: float = 1.0, axis: int = -1) -> Tensor:
    """Integrate along an axis by the trapezoidal rule (NumPy: trapezoid).

    Arguments:
        y: tensor of a floating-point dtype, the heights; integers become the default one.
        x: where the heights stand: a vector along the axis, or a tensor that broadcasts with `y`.
        dx: the distance of neighbours where no `x` is given.
        axis: the axis.
    """
    check_tensor("trapezoid", y)
    y = y if is_floating(y.dtype) else cast(y, Defaults.floating)
    heights = moveaxis(y, one_axis("trapezoid", axis, y.ndim), -1)
    between = (heights[..., 1:] + heights[..., :-1]) / 2
    if x is None:
        return statistical.sum(between * scalar("trapezoid", "dx", dx), axis=-1)
    places = x if isinstance(x, Tensor) else asarray(x, dtype=y.dtype, device=y.device)
    widths = diff(places) if places.ndim == 1 else diff(moveaxis(places, axis, -1))
    return statistical.sum(between * widths, axis=-1)


def interp(
    x: Tensor, xp: Any, fp: Any, /, left: float | None = None, right: float | None = None, period: float | None = None
) -> Tensor:
    """Interpolate linearly between points, with a gradient for all three tensors (NumPy: interp).

    Arguments:
        x: where to interpolate, any shape.
        xp: vector of the points' places, ascending unless `period` is given.
        fp: vector of the points' values.
        left: the value below the first point; by default the value there.
        right: the value above the last point; by default the value there.
        period: the period of the places; `left` and `right` are then ignored.

    Raises:
        ShapeError: where the points are no vectors of one length, or there is none.
    """
    check_tensor("interp", x)
    xp, fp = (each if isinstance(each, Tensor) else asarray(each, device=x.device) for each in (xp, fp))
    if xp.ndim != 1 or xp.shape != fp.shape or xp.size == 0:
        raise ShapeError(f"interp: points of shapes {xp.shape} and {fp.shape} are no vectors of one length")
    if period is not None:
        period = number("interp", "period", period)
        period = -period if period < 0 else period
        if not period:
            raise ArgumentError("interp: the period is 0")
        x, xp = x % period, xp % period
        order = argsort(xp)
        xp, fp = take(xp, order), take(fp, order)
        xp = concat([xp[-1:] - period, xp, xp[:1] + period])
        fp = concat([fp[-1:], fp, fp[:1]])
        left = right = None
    last = xp.shape[0] - 1
    after = searchsorted(xp.detach(), x.detach(), side="right")
    before = where(after > last, last, after) - 1
    before = where(before < 0, 0, before)
    following = where(before + 1 > last, last, before + 1)
    low, high = xp[before], xp[following]
    width = where(high == low, 1, high - low)
    found = fp[before] + (x - low) / width * (fp[following] - fp[before])
    found = where(x <= xp[0], fp[0], where(x >= xp[-1], fp[-1], found))
    left = None if left is None else scalar("interp", "left", left)
    right = None if right is None else scalar("interp", "right", right)
    found = found if left is None else where(x < xp[0], left, found)
    found = found if right is None else where(x > xp[-1], right, found)
    return where(x == x, found, x)


for _function in (cumsum, cumprod):
    attach(_function.__name__, _function)


__all__ = public_names(vars())
