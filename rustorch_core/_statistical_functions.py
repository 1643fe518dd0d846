"""Reductions of the standard over any axes, with their gradients, and `logsumexp`."""

from __future__ import annotations

import math
from typing import Any

from rustorch_core import _data_types
from rustorch_core._arguments import flag, number
from rustorch_core._axes import Axes, one_axis, some_axes
from rustorch_core._creation_functions import zeros_like
from rustorch_core._define import Prepared, cast, composition, op, public_names
from rustorch_core._elementwise_functions import exp, log, where
from rustorch_core._manipulation_functions import broadcast_to, concat, flip, reshape
from rustorch_core._tensor import Tensor


def _kept_shape(shape: tuple[int, ...], axis: Axes) -> tuple[int, ...]:
    """The shape of a reduction that keeps its axes with length 1."""
    axes = some_axes("reduction", axis, len(shape))
    return tuple(1 if position in axes else length for position, length in enumerate(shape))


def _stretch(reduced: Tensor, x_shape: tuple[int, ...], axis: Axes) -> Tensor:
    """A reduction's result, repeated along the axes that it lost."""
    kept = _kept_shape(x_shape, axis) if axis is not None else ()
    return broadcast_to(reduced if reduced.shape == kept else reshape(reduced, kept), x_shape)


def _count(shape: tuple[int, ...], axis: Axes) -> int:
    return math.prod(shape if axis is None else [shape[each] for each in some_axes("reduction", axis, len(shape))])


def _read(name: str, x: Tensor, axis: Axes, keepdims: bool, **others: Any) -> Prepared:
    axes = None if axis is None else some_axes(name, axis, x.ndim)
    return (x,), {"axis": axes, "keepdims": flag(name, "keepdims", keepdims), **others}


def _accumulated(x: Tensor, dtype: Any) -> Tensor:
    """The tensor in the dtype in which a sum or product is taken: small integers widen to the default one.

    Unsigned ones stay unsigned where the device has them as wide as that.
    """
    if dtype is not None:
        return cast(x, _data_types.as_dtype(dtype))
    kinds, default = _data_types.KINDS, _data_types.Defaults.integer
    if x.dtype in kinds["unsigned integer"] and x.dtype.itemsize < default.itemsize:
        wide = _data_types.DTYPES["uint64"]
        return cast(x, wide if x.device.supports(wide) else default)
    is_small = x.dtype in kinds["bool"] or (x.dtype in kinds["integral"] and x.dtype.itemsize < default.itemsize)
    return cast(x, default) if is_small else x


def _extreme(g: Tensor, y: Tensor, x: Tensor, axis: Axes) -> Tensor:
    """The gradient of a maximum or minimum, shared evenly among the elements that attain it."""
    attain = x == _stretch(y, x.shape, axis)
    share = g / reshape(sum(cast(attain, g.dtype), axis=axis), g.shape)
    return where(attain, _stretch(share, x.shape, axis), 0)


# Core has chosen the dtype to add and multiply in; left to itself the standard widens small integers.


@op(
    "sum",
    "numeric",
    lambda g, x_shape, axis: _stretch(g, x_shape, axis),
    native=lambda xp, x, axis, keepdims: xp.sum(x, axis=axis, dtype=x.dtype, keepdims=keepdims),
)
def sum(x: Tensor, /, *, axis: Axes = None, dtype: Any = None, keepdims: bool = False) -> Prepared:
    """Add the elements along axes (Array API: sum).

    Arguments:
        x: tensor of a numeric dtype; booleans count as 0 and 1.
        axis: axis or axes to add along; None adds everything.
        dtype: dtype to add in; by default small integers widen to 64 bits, others keep theirs.
        keepdims: keep the axes with length 1.

    Raises:
        AxisError: where there is no such axis.

    Example:
        >>> import rustorch as rt
        >>> rt.sum(rt.asarray([[1.0, 2.0], [3.0, 4.0]]), axis=0)
        tensor([4., 6.], dtype=float32)
    """
    return _read("sum", _accumulated(x, dtype), axis, keepdims)


@op(
    "prod",
    "numeric",
    lambda g, x, axis: _stretch(g, x.shape, axis) * _product_of_others(x, axis),
    native=lambda xp, x, axis, keepdims: xp.prod(x, axis=axis, dtype=x.dtype, keepdims=keepdims),
    domain=(0.5, 2.0),
)
def prod(x: Tensor, /, *, axis: Axes = None, dtype: Any = None, keepdims: bool = False) -> Prepared:
    """Multiply the elements along axes (Array API: prod); arguments as for `sum`."""
    return _read("prod", _accumulated(x, dtype), axis, keepdims)


def _product_of_others(x: Tensor, axis: Axes) -> Tensor:
    """For each element the product of all others along the axes; no division, so zeros do no harm."""
    from rustorch_core._manipulation_functions import permute_dims

    axes = some_axes("prod", axis, x.ndim)
    rest = tuple(each for each in range(x.ndim) if each not in axes)
    order = (*rest, *axes)
    moved = permute_dims(x, order)
    rows = reshape(moved, (*[x.shape[each] for each in rest], _count(x.shape, axes)))
    if rows.shape[-1] == 0:
        return x
    before = cumulative_prod(rows[..., :-1], axis=-1, include_initial=True)
    after = flip(cumulative_prod(flip(rows, axis=-1)[..., :-1], axis=-1, include_initial=True), axis=-1)
    return permute_dims(reshape(before * after, moved.shape), tuple(order.index(each) for each in range(x.ndim)))


@op("mean", "floating-point", lambda g, x_shape, axis: _stretch(g / _count(x_shape, axis), x_shape, axis))
def mean(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Prepared:
    """Average the elements along axes (Array API: mean); integers are averaged in the default floating-point dtype.

    Arguments:
        x: tensor of a floating-point dtype.
        axis: axis or axes to average along; None averages everything.
        keepdims: keep the axes with length 1.
    """
    return _read("mean", x, axis, keepdims)


@op(
    "var",
    "real floating-point",
    lambda g, x, axis, correction: (
        _stretch(g, x.shape, axis)
        * (x - mean(x, axis=axis, keepdims=True))
        * (2 * _one_over(_count(x.shape, axis) - correction))
    ),
)
def var(
    x: Tensor, /, *, axis: Axes = None, correction: float = 0.0, keepdims: bool = False, ddof: float | None = None
) -> Prepared:
    """Compute the variance along axes (Array API: var).

    Arguments:
        x: tensor of a real floating-point dtype.
        axis: axis or axes; None takes all elements.
        correction: subtracted from the number of elements in the divisor; 1 for the unbiased variance of a sample.
        keepdims: keep the axes with length 1.
        ddof: the correction, under the name that it has in NumPy.
    """
    chosen = number("var", "correction", correction if ddof is None else ddof)
    return _read("var", x, axis, keepdims, correction=chosen)


@op(
    "std",
    "real floating-point",
    lambda g, y, x, axis, correction: (
        _stretch(g * _inverse(y), x.shape, axis)
        * (x - mean(x, axis=axis, keepdims=True))
        * _one_over(_count(x.shape, axis) - correction)
    ),
)
def std(
    x: Tensor, /, *, axis: Axes = None, correction: float = 0.0, keepdims: bool = False, ddof: float | None = None
) -> Prepared:
    """Compute the standard deviation along axes (Array API: std); arguments as for `var`."""
    chosen = number("std", "correction", correction if ddof is None else ddof)
    return _read("std", x, axis, keepdims, correction=chosen)


def _one_over(count: float) -> float:
    """1 / count; NaN where nothing is left to divide by."""
    return 1 / count if count > 0 else math.nan


def _inverse(y: Tensor) -> Tensor:
    """1 / y, and 0 where y is 0: elements that do not vary have no direction in which they would."""
    return where(y == 0, 0, 1 / where(y == 0, 1, y))


@op("max", "real-valued", lambda g, y, x, axis: _extreme(g, y, x, axis), selects=True)
def max(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Prepared:
    """Find the largest element along axes (Array API: max); equal ones share the gradient.

    Arguments:
        x: tensor of a real-valued dtype.
        axis: axis or axes; None takes all elements.
        keepdims: keep the axes with length 1.

    Raises:
        ArgumentError: where there is no element to choose from.
    """
    return _read("max", x, axis, keepdims)


@op("min", "real-valued", lambda g, y, x, axis: _extreme(g, y, x, axis), selects=True)
def min(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Prepared:
    """Find the smallest element along axes (Array API: min); arguments as for `max`."""
    return _read("min", x, axis, keepdims)


@op("all", "all")
def all(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False, out: None = None) -> Prepared:
    """Say whether all elements along axes are true or not 0 (Array API: all); arguments as for `any`."""
    return _read("all", x, axis, keepdims)


@op("any", "all")
def any(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False, out: None = None) -> Prepared:
    """Say whether any element along axes is true or not 0 (Array API: any).

    Arguments:
        x: any tensor.
        axis: axis or axes; None takes all elements.
        keepdims: keep the axes with length 1.
        out: None, which libraries pass on from NumPy.
    """
    return _read("any", x, axis, keepdims)


@op("count_nonzero", "all")
def count_nonzero(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Prepared:
    """Count the elements along axes that are not 0 (Array API: count_nonzero); arguments as for `max`."""
    return _read("count_nonzero", x, axis, keepdims)


def _read_cumulative(name: str, x: Tensor, axis: int | None, dtype: Any, include_initial: bool) -> Prepared:
    if axis is None and x.ndim != 1:
        from rustorch_core.errors import AxisError

        raise AxisError(f"{name}: a tensor with {x.ndim} axes needs an axis to accumulate along")
    chosen = one_axis(name, 0 if axis is None else axis, x.ndim)
    return (_accumulated(x, dtype),), {
        "axis": chosen,
        "include_initial": flag(name, "include_initial", include_initial),
    }


def _sum_from_here(g: Tensor, axis: int, include_initial: bool) -> Tensor:
    """The gradient of a running sum: each element counts in every sum from its own place on."""
    if include_initial:
        g = g[(slice(None),) * axis + (slice(1, None),)]
    return flip(cumulative_sum(flip(g, axis=axis), axis=axis), axis=axis)


@op(
    "cumulative_sum",
    "numeric",
    lambda g, axis, include_initial: _sum_from_here(g, axis, include_initial),
    native=lambda xp, x, **attributes: xp.cumulative_sum(x, dtype=x.dtype, **attributes),
)
def cumulative_sum(
    x: Tensor, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Prepared:
    """Add up the elements along an axis, one after the other (Array API: cumulative_sum).

    Arguments:
        x: tensor of a numeric dtype with at least one axis.
        axis: the axis; may be left out for one axis.
        dtype: dtype to add in, as for `sum`.
        include_initial: begin with 0, which makes the result one longer.
    """
    return _read_cumulative("cumulative_sum", x, axis, dtype, include_initial)


def _product_from_here(g: Tensor, x: Tensor, axis: int, include_initial: bool) -> Tensor:
    """The gradient of a running product, by the recurrence s[k] = g[k] + x[k + 1] s[k + 1].

    There is no division in it, so zeros do no harm. It is solved by doubling (Hillis and Steele 1986): after each step
    a place knows what those within twice the distance contribute.
    """
    before = (slice(None),) * axis
    s = g[(*before, slice(1, None))] if include_initial else g
    length = x.shape[axis]
    if length == 0:
        return s
    factor = _moved_up(x, axis, 1)
    distance = 1
    while distance < length:
        s = s + factor * _moved_up(s, axis, distance)
        factor = factor * _moved_up(factor, axis, distance)
        distance *= 2
    return s * cumulative_prod(x[(*before, slice(0, length - 1))], axis=axis, include_initial=True)


def _moved_up(x: Tensor, axis: int, distance: int) -> Tensor:
    """The elements that stand further on along an axis, and 0 beyond its end."""
    before = (slice(None),) * axis
    rest = x[(*before, slice(distance, None))]
    return concat([rest, zeros_like(x[(*before, slice(0, distance))].detach())], axis=axis)


@op(
    "cumulative_prod",
    "numeric",
    lambda g, x, axis, include_initial: _product_from_here(g, x, axis, include_initial),
    native=lambda xp, x, **attributes: xp.cumulative_prod(x, dtype=x.dtype, **attributes),
    domain=(0.5, 2.0),
)
def cumulative_prod(
    x: Tensor, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Prepared:
    """Multiply up the elements along an axis (Array API: cumulative_prod); arguments as for `cumulative_sum`."""
    return _read_cumulative("cumulative_prod", x, axis, dtype, include_initial)


@composition(
    "real floating-point",
    # Of nothing but negative infinities no element has a part.
    lambda g, y, x, axis: _stretch(g, x.shape, axis) * exp(x - _stretch(where(y == -math.inf, 0, y), x.shape, axis)),
)
def logsumexp(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Compute log(sum(exp(x))) along axes without overflow (SciPy: logsumexp).

    Arguments:
        x: tensor of a real floating-point dtype.
        axis: axis or axes; None takes all elements.
        keepdims: keep the axes with length 1.
    """
    largest = max(x, axis=axis, keepdims=True) if x.size else sum(x, axis=axis, keepdims=True)
    largest = where(largest - largest == 0, largest, 0)
    result = log(sum(exp(x - largest), axis=axis, keepdims=True)) + largest
    if keepdims:
        return result
    axes = some_axes("logsumexp", axis, x.ndim)
    return reshape(result, tuple(length for each, length in enumerate(x.shape) if each not in axes))


__all__ = public_names(vars())
