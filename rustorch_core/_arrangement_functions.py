"""Other arrangements of elements beyond the standard, as NumPy names and means them; each is made of the standard's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rustorch_core import _statistical_functions as statistical
from rustorch_core._arguments import integer, is_tracked, python_numbers
from rustorch_core._axes import as_shape, one_axis, some_axes
from rustorch_core._creation_functions import arange
from rustorch_core._data_types import Defaults, is_floating
from rustorch_core._define import attach, beside, cast, public_names
from rustorch_core._dispatch import check_tensor
from rustorch_core._elementwise_functions import abs, floor, round, where
from rustorch_core._indexing_functions import take
from rustorch_core._manipulation_functions import (
    broadcast_to,
    concat,
    flip,
    permute_dims,
    reshape,
    stack,
)
from rustorch_core._searching_functions import nonzero
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError, GradientError, OperandError, ShapeError

# Axes


def transpose(x: Tensor, /, axes: Sequence[int] | None = None) -> Tensor:
    """Reorder the axes, by default to their reverse (NumPy: transpose).

    Arguments:
        x: any tensor.
        axes: every axis once, in the new order.
    """
    check_tensor("transpose", x)
    return permute_dims(x, tuple(reversed(range(x.ndim))) if axes is None else axes)


def swapaxes(x: Tensor, axis1: int, axis2: int, /) -> Tensor:
    """Exchange two axes (NumPy: swapaxes).

    Arguments:
        x: any tensor.
        axis1: one axis.
        axis2: the other axis.
    """
    check_tensor("swapaxes", x)
    first, second = one_axis("swapaxes", axis1, x.ndim), one_axis("swapaxes", axis2, x.ndim)
    order = list(range(x.ndim))
    order[first], order[second] = second, first
    return permute_dims(x, order)


def ravel(x: Tensor, /) -> Tensor:
    """Give the elements as a vector, in row-major order (NumPy: ravel)."""
    check_tensor("ravel", x)
    return reshape(x, (-1,) if x.size else (0,))


def atleast_1d(x: Tensor, /) -> Tensor:
    """Give a tensor without axes one of length 1 (NumPy: atleast_1d)."""
    check_tensor("atleast_1d", x)
    return reshape(x, (1,)) if x.ndim == 0 else x


def atleast_2d(x: Tensor, /) -> Tensor:
    """Give a tensor at least two axes; a vector becomes a row (NumPy: atleast_2d)."""
    check_tensor("atleast_2d", x)
    return reshape(x, (1,) * (2 - x.ndim) + x.shape) if x.ndim < 2 else x


def atleast_3d(x: Tensor, /) -> Tensor:
    """Give a tensor at least three axes; (N) becomes (1, N, 1), and (M, N) becomes (M, N, 1) (NumPy: atleast_3d)."""
    check_tensor("atleast_3d", x)
    return reshape(atleast_2d(x), (*atleast_2d(x).shape, 1)) if x.ndim < 3 else x


# Joining and splitting


def _several(name: str, arrays: Any) -> list[Tensor]:
    if isinstance(arrays, Tensor) and arrays.ndim:
        return list(arrays)
    if not isinstance(arrays, (tuple, list)):
        raise OperandError(f"{name}: expected a list or tuple of tensors, met {type(arrays).__name__}")
    for each in arrays:
        check_tensor(name, each)
    return list(arrays)


def hstack(arrays: Sequence[Tensor], /) -> Tensor:
    """Join tensors side by side: vectors along their one axis, others along the second (NumPy: hstack).

    Arguments:
        arrays: tensors of equal shapes but for that axis.
    """
    parts = [atleast_1d(each) for each in _several("hstack", arrays)]
    return concat(parts, axis=0 if parts and parts[0].ndim == 1 else 1)


def vstack(arrays: Sequence[Tensor], /) -> Tensor:
    """Join tensors one below the other, vectors as rows (NumPy: vstack).

    Arguments:
        arrays: tensors of equal shapes but for the first axis.
    """
    return concat([atleast_2d(each) for each in _several("vstack", arrays)], axis=0)


def split(x: Tensor, indices_or_sections: Any, /, axis: int = 0) -> list[Tensor]:
    """Cut a tensor along an axis into views (NumPy: split).

    Arguments:
        x: any tensor.
        indices_or_sections: a number of equal parts, or the places at which to cut.
        axis: the axis.

    Raises:
        ArgumentError: where the axis does not divide into equal parts.
    """
    check_tensor("split", x)
    if isinstance(indices_or_sections, int) and indices_or_sections > 0:
        length = x.shape[one_axis("split", axis, x.ndim)]
        if length % indices_or_sections:
            raise ArgumentError(
                f"split: {length} places along axis {axis} do not divide into {indices_or_sections} equal parts; "
                "array_split allows unequal ones"
            )
    return array_split(x, indices_or_sections, axis)


def array_split(x: Tensor, indices_or_sections: Any, /, axis: int = 0) -> list[Tensor]:
    """Cut a tensor along an axis into views, the first of which may be one longer (NumPy: array_split).

    Arguments:
        x: any tensor.
        indices_or_sections: a number of parts, or the places at which to cut.
        axis: the axis.
    """
    check_tensor("array_split", x)
    chosen = one_axis("array_split", axis, x.ndim)
    length = x.shape[chosen]
    if isinstance(indices_or_sections, int):
        if not 1 <= indices_or_sections < 2**31:
            raise ArgumentError(f"array_split: expected at least 1 part, below 2**31, met {indices_or_sections}")
        short, longer = divmod(length, indices_or_sections)
        cuts = tuple(part * short + min(part, longer) for part in range(1, indices_or_sections))
    else:
        places = indices_or_sections
        cuts = as_shape("array_split", python_numbers(places))
    before = (slice(None),) * chosen
    ends = zip((0, *cuts), (*cuts, length), strict=True)
    return [x[(*before, slice(start, end))] for start, end in ends]


# Turning


def flipud(x: Tensor, /) -> Tensor:
    """Reverse the order along the first axis (NumPy: flipud)."""
    check_tensor("flipud", x)
    return flip(x, axis=0)


def fliplr(x: Tensor, /) -> Tensor:
    """Reverse the order along the second axis (NumPy: fliplr)."""
    check_tensor("fliplr", x)
    return flip(x, axis=1)


def rot90(x: Tensor, /, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Tensor:
    """Turn by quarters in the plane of two axes, from the first toward the second (NumPy: rot90).

    Arguments:
        x: tensor with at least two axes.
        k: how many quarters.
        axes: the two axes.
    """
    check_tensor("rot90", x)
    pair = some_axes("rot90", axes, x.ndim)
    if len(pair) != 2:
        raise ArgumentError(f"rot90: expected two axes, met {axes}")
    first, second = pair
    quarters = integer("rot90", "k", k) % 4
    if quarters == 0:
        return x[...]
    if quarters == 2:
        return flip(x, axis=(first, second))
    if quarters == 1:
        return swapaxes(flip(x, axis=second), first, second)
    return flip(swapaxes(x, first, second), axis=second)


# Diagonals


def diag(x: Tensor, /, k: int = 0) -> Tensor:
    """Give the diagonal of a matrix, or the matrix that has a vector for its diagonal (NumPy: diag).

    Arguments:
        x: matrix or vector.
        k: which diagonal, positive above the main one.

    Raises:
        ShapeError: for any other number of axes.
    """
    from rustorch_core._linear_algebra_extension import diagonal

    check_tensor("diag", x)
    k = integer("diag", "k", k)
    if x.ndim == 2:
        return diagonal(x, offset=k)
    if x.ndim != 1:
        raise ShapeError(f"diag: expected a matrix or a vector, met shape {x.shape}")
    placed = pad(x, (max(0, -k), max(0, k)))
    places = arange(placed.shape[0], device=x.device)
    is_diagonal = reshape(places, (-1, 1)) + k == places
    return where(is_diagonal, reshape(placed, (-1, 1)), 0)


# Finding


def argwhere(x: Tensor, /) -> Tensor:
    """Find the indices of the elements that are not 0, one in each row (NumPy: argwhere)."""
    check_tensor("argwhere", x)
    if x.ndim == 0:
        return reshape(argwhere(atleast_1d(x)), (-1, 1))[:, :0]
    return stack(list(nonzero(x)), axis=1)


def flatnonzero(x: Tensor, /) -> Tensor:
    """Find where in the flattened tensor the elements are not 0 (NumPy: flatnonzero)."""
    return nonzero(ravel(x))[0]


# Borders

_CONTINUATIONS = ("edge", "reflect", "symmetric", "wrap")
_STATISTICS = ("maximum", "mean", "median", "minimum")
_PADDINGS = ("constant", "linear_ramp", *_CONTINUATIONS, *_STATISTICS)


def pad(
    x: Tensor,
    pad_width: Any,
    /,
    mode: str = "constant",
    *,
    constant_values: Any = 0,
    end_values: Any = 0,
    stat_length: Any = None,
) -> Tensor:
    """Add elements before the first and after the last along each axis (NumPy: pad).

    Arguments:
        x: any tensor.
        pad_width: how many: a number for all, a pair (before, after) for all axes, a pair for each axis, or a dict
            from axes to numbers or pairs.
        mode: "constant"; "edge" repeats the outermost element; "reflect" mirrors about it, "symmetric" about the
            border; "wrap" continues from the other end; "linear_ramp" goes evenly to `end_values`; "maximum", "mean",
            "median" and "minimum" add that of the elements next to the border.
        constant_values: the number to add, or pairs as in `pad_width`.
        end_values: where a linear ramp ends, likewise.
        stat_length: of how many elements a statistic is taken, likewise; None takes it of all.

    Raises:
        ArgumentError: for another mode, a negative width, and an empty axis that must be continued.
    """
    check_tensor("pad", x)
    if not isinstance(mode, str) or mode not in _PADDINGS:
        raise ArgumentError(f"pad: mode is one of {', '.join(_PADDINGS)}, met {mode!r}")
    widths = _pairs("pad_width", pad_width, x.ndim)
    if any(as_shape("pad", pair) != pair or min(pair) < 0 for pair in widths):
        raise ArgumentError(f"pad: pad_width holds integers, none negative; met {pad_width}")
    fills = _pairs("constant_values", constant_values, x.ndim)
    ends = _pairs("end_values", end_values, x.ndim)
    lengths = _pairs("stat_length", stat_length, x.ndim)
    for axis, (before, after) in enumerate(widths):
        if not before and not after:
            continue
        if mode in _CONTINUATIONS:
            x = take(x, _continued(x, axis, before, after, mode), axis=axis)
        elif mode == "constant":
            x = _with_border(x, axis, before, after, fills[axis])
        elif mode == "linear_ramp":
            x = concat(_ramps(x, axis, before, after, ends[axis]), axis=axis)
        else:
            x = _with_border(x, axis, before, after, _statistics(x, axis, mode, lengths[axis]))
    return x if any(map(any, widths)) else x.clone()


def _pairs(name: str, given: Any, ndim: int) -> list[tuple[Any, Any]]:
    """A pair for each axis, from the forms that NumPy allows."""
    if isinstance(given, dict):
        pairs: list[tuple[Any, Any]] = [(0, 0)] * ndim
        for axis, each in given.items():
            pairs[one_axis("pad", axis, ndim)] = tuple(each) if isinstance(each, (tuple, list)) else (each, each)
        return pairs
    if is_tracked(given) and given.ndim:
        raise GradientError(f"pad: no gradient goes through {name} of shape {given.shape}; pass its elements in tuples")
    given = given if is_tracked(given) else python_numbers(given)
    if not isinstance(given, (tuple, list)):
        return [(given, given)] * ndim
    if not any(isinstance(each, (tuple, list)) for each in given):
        given = [given]
    pairs = [(each[0], each[-1]) for each in given if isinstance(each, (tuple, list)) and len(each) in (1, 2)]
    if len(pairs) != len(given) or len(pairs) not in (1, ndim):
        raise ShapeError(f"pad: {name} {given} is neither a number nor a pair, nor a pair for each of {ndim} axes")
    return pairs * ndim if len(pairs) == 1 else pairs


def _with_border(x: Tensor, axis: int, before: int, after: int, fills: tuple[Any, Any]) -> Tensor:
    borders = [
        broadcast_to(
            cast(fill if isinstance(fill, Tensor) else beside("pad", x, fill), x.dtype),
            tuple(width if each == axis else n for each, n in enumerate(x.shape)),
        )
        for width, fill in zip((before, after), fills, strict=True)
    ]
    return concat([borders[0], x, borders[1]], axis=axis)


def _ramps(x: Tensor, axis: int, before: int, after: int, ends: tuple[Any, Any]) -> list[Tensor]:
    """The tensor between two borders that go evenly from the ends given to its own edges."""
    here = (slice(None),) * axis
    wide = x if is_floating(x.dtype) else cast(x, Defaults.floating)
    edges = wide[(*here, slice(0, 1))], wide[(*here, slice(-1, None))]
    ramps = []
    for width, end, edge in zip((before, after), ends, edges, strict=True):
        steps = reshape(cast(arange(width, device=x.device), wide.dtype), (width,) + (1,) * (x.ndim - 1 - axis))
        ramp = end + (edge - end) * steps / (width or 1)
        ramps.append(ramp if is_floating(x.dtype) else cast(floor(ramp), x.dtype))
    return [ramps[0], x, flip(ramps[1], axis=axis)]


def _statistics(x: Tensor, axis: int, mode: str, lengths: tuple[Any, Any]) -> tuple[Tensor, Tensor]:
    """The statistic of the elements next to each border."""
    from rustorch_core._sample_functions import median

    reduce = {"maximum": statistical.max, "mean": statistical.mean, "median": median, "minimum": statistical.min}[mode]
    here, length = (slice(None),) * axis, x.shape[axis]
    first, last = (length if each is None else min(integer("pad", "stat_length", each), length) for each in lengths)
    if min(first, last) < 1:
        raise ArgumentError(f"pad: a {mode} of no element met; stat_length is at least 1, and no axis is empty")
    parts = x[(*here, slice(0, first))], x[(*here, slice(length - last, None))]
    found = [reduce(part, axis=axis, keepdims=True) for part in parts]
    low, high = (each if is_floating(x.dtype) or each.dtype == x.dtype else round(each) for each in found)
    return low, high


def _continued(x: Tensor, axis: int, before: int, after: int, mode: str) -> Tensor:
    """Where along an axis each element of the result comes from."""
    length = x.shape[axis]
    if length == 0:
        raise ArgumentError(f"pad: axis {axis} of shape {x.shape} is empty; only mode 'constant' can continue it")
    places = arange(-before, length + after, device=x.device)
    last = length - 1
    if mode == "edge":
        return where(places < 0, 0, where(places > last, last, places))
    if mode == "wrap":
        return places % length
    if mode == "symmetric":
        turned = places % (2 * length)
        return where(turned > last, 2 * length - 1 - turned, turned)
    return last - abs(places % (2 * last) - last) if last else places * 0


for _function in (ravel, swapaxes):
    attach(_function.__name__, _function)


__all__ = public_names(vars())
