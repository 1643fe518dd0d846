"""Manipulation functions of the standard: other shapes, other orders, several arrays into one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rustorch_core import _axes, _data_types
from rustorch_core._arguments import python_numbers
from rustorch_core._axes import Axes, as_shape, one_axis, resolved_shape, some_axes
from rustorch_core._define import Prepared, attach, cast, op, public_names
from rustorch_core._dispatch import check_tensor
from rustorch_core._tensor import Tensor, same_device
from rustorch_core.errors import ArgumentError, AxisError, OperandError, ShapeError


@op("reshape", "all", lambda g, x_shape: reshape(g, x_shape), is_view=True, may_copy=True, method=False)
def reshape(x: Tensor, /, shape: Any, *, copy: bool | None = None) -> Prepared:
    """Give the elements another shape, in row-major order (Array API: reshape).

    Arguments:
        x: any tensor.
        shape: integers whose product is the number of elements; one may be -1 and is computed.
        copy: True always copies, False never does, None copies only where it must.

    Raises:
        ShapeError: where the numbers of elements differ.
        ArgumentError: where `copy=False` and the memory does not allow it.
    """
    return (x,), {"shape": resolved_shape("reshape", shape, math.prod(x._array.shape)), "copy": copy}


@op("permute_dims", "all", lambda g, axes: permute_dims(g, _inverse(axes)), is_view=True)
def permute_dims(x: Tensor, /, axes: Sequence[int]) -> Prepared:
    """Reorder the axes (Array API: permute_dims).

    Arguments:
        x: any tensor.
        axes: every axis once, in the new order.
    """
    order = some_axes("permute_dims", axes if isinstance(axes, (tuple, list)) else (axes,), x.ndim)
    if len(order) != x.ndim:
        raise AxisError(f"permute_dims: axes {order} must name each of {x.ndim} axes once")
    return (x,), {"axes": order}


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axes.index(axis) for axis in range(len(axes)))


@op("matrix_transpose", "all", lambda g: matrix_transpose(g), is_view=True)
def matrix_transpose(x: Tensor, /) -> Prepared:
    """Swap the last two axes (Array API: matrix_transpose)."""
    if x.ndim < 2:
        raise ShapeError(f"matrix_transpose: expected at least 2 axes, met shape {x.shape}")
    return (x,), {}


def moveaxis(x: Tensor, source: Axes, destination: Axes, /) -> Tensor:
    """Move axes to other places, the rest staying in order (Array API: moveaxis).

    Arguments:
        x: any tensor.
        source: axis or axes to move.
        destination: where each of them goes.
    """
    check_tensor("moveaxis", x)
    sources, places = some_axes("moveaxis", source, x.ndim), some_axes("moveaxis", destination, x.ndim)
    if len(sources) != len(places):
        raise ArgumentError(f"moveaxis: {len(sources)} axes cannot go to {len(places)} places")
    order = [axis for axis in range(x.ndim) if axis not in sources]
    for place, axis in sorted(zip(places, sources, strict=True)):
        order.insert(place, axis)
    return permute_dims(x, order)


@op("broadcast_to", "all", lambda g: g, is_view=True, is_read_only=True)
def broadcast_to(x: Tensor, /, shape: Any) -> Prepared:
    """Repeat along axes of length 1, without a copy, to reach a shape (Array API: broadcast_to).

    Arguments:
        x: any tensor.
        shape: the shape to reach.

    Raises:
        ShapeError: where the shape of `x` does not broadcast to it.
    """
    target = as_shape("broadcast_to", shape)
    shape = x.shape
    if shape and (len(target) < len(shape) or _axes.broadcast_shapes(shape, target) != target):
        raise ShapeError(f"broadcast_to: shape {shape} does not broadcast to {target}")
    return (x,), {"shape": target}


def broadcast_arrays(*arrays: Tensor) -> tuple[Tensor, ...]:
    """Broadcast tensors to their common shape (Array API: broadcast_arrays)."""
    for x in arrays:
        check_tensor("broadcast_arrays", x)
    shape = _axes.broadcast_shapes(*[x.shape for x in arrays])
    return tuple(x if x.shape == shape else broadcast_to(x, shape) for x in arrays)


@op("expand_dims", "all", lambda g, x_shape: reshape(g, x_shape), is_view=True)
def expand_dims(x: Tensor, /, axis: Axes = 0) -> Prepared:
    """Insert axes of length 1 (Array API: expand_dims).

    Arguments:
        x: any tensor.
        axis: place or places of the new axes in the result.
    """
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    return (x,), {"axis": some_axes("expand_dims", axis, x.ndim + count)}


@op("squeeze", "all", lambda g, x_shape: reshape(g, x_shape), is_view=True)
def squeeze(x: Tensor, /, axis: Axes = None) -> Prepared:
    """Remove axes of length 1 (Array API: squeeze).

    Arguments:
        x: any tensor.
        axis: axis or axes, each of length 1; None removes all of that length (NumPy).

    Raises:
        ShapeError: where an axis is longer.
    """
    axes = tuple(i for i, n in enumerate(x.shape) if n == 1) if axis is None else some_axes("squeeze", axis, x.ndim)
    if long := [each for each in axes if x.shape[each] != 1]:
        raise ShapeError(f"squeeze: axis {long[0]} of shape {x.shape} has length {x.shape[long[0]]}, not 1")
    return (x,), {"axis": axes}


@op("flip", "all", lambda g, axis: flip(g, axis=axis), is_view=True)
def flip(x: Tensor, /, *, axis: Axes = None) -> Prepared:
    """Reverse the order of elements along axes, all of them by default (Array API: flip)."""
    return (x,), {"axis": some_axes("flip", axis, x.ndim)}


@op("roll", "all", lambda g, shift, axis: roll(g, _opposite(shift), axis=axis))
def roll(x: Tensor, /, shift: int | Sequence[int], *, axis: Axes = None) -> Prepared:
    """Shift elements along axes, those leaving at the end coming in at the front (Array API: roll).

    Arguments:
        x: any tensor.
        shift: by how many places; a sequence for several axes.
        axis: axis or axes; None rolls the flattened tensor.
    """
    shifts = as_shape("roll", shift)
    axes = None if axis is None else some_axes("roll", axis, x.ndim)
    if len(shifts) != 1 and (axes is None or len(shifts) != len(axes)):
        raise ArgumentError(f"roll: {len(shifts)} shifts for {'no' if axes is None else len(axes)} axes; give one each")
    if axes is None:
        return (x,), {"shift": shifts[0], "axis": None}
    return (x,), {"shift": shifts * len(axes) if len(shifts) == 1 else shifts, "axis": axes}


def _opposite(shift: int | tuple[int, ...]) -> int | tuple[int, ...]:
    return -shift if isinstance(shift, int) else tuple(-each for each in shift)


def _common(name: str, arrays: Any) -> tuple[Tensor, ...]:
    """The tensors of a list on one device and in the dtype they promote to."""
    if not isinstance(arrays, (tuple, list)):
        raise OperandError(f"{name}: expected a list or tuple of tensors, met {type(arrays).__name__}")
    tensors = tuple(arrays)
    if not tensors:
        raise ArgumentError(f"{name}: expected at least one tensor")
    for each in tensors:
        if not isinstance(each, Tensor):
            raise OperandError(f"{name}: expected a sequence of tensors, met {type(each).__name__} in it")
    same_device(name, *tensors)
    dtype = tensors[0].dtype
    for each in tensors[1:]:
        dtype = _data_types.promote_types(dtype, each.dtype)
    return tuple(cast(each, dtype) for each in tensors)


def _part(g: Tensor, position: int, shapes: list[tuple[int, ...]], axis: int | None) -> Tensor:
    """The piece of a concatenation that came from one input."""
    if axis is None:
        start = sum(_size(shape) for shape in shapes[:position])
        return reshape(g[start : start + _size(shapes[position])], shapes[position])
    start = sum(shape[axis] for shape in shapes[:position])
    return g[(slice(None),) * axis + (slice(start, start + shapes[position][axis]),)]


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


@op(
    "concat",
    "all",
    lambda g, position, shapes, axis: _part(g, position, shapes, axis),
    takes_list=True,
    method=False,
)
def concat(arrays: Sequence[Tensor], /, *, axis: int | None = 0) -> Prepared:
    """Join tensors along an axis that they have (Array API: concat).

    Arguments:
        arrays: tensors of equal shapes but for that axis.
        axis: the axis; None joins the flattened tensors.

    Raises:
        ShapeError: where the other axes differ.
    """
    tensors = _common("concat", arrays)
    if axis is None:
        return tensors, {"axis": None}
    chosen = one_axis("concat", axis, tensors[0].ndim)
    rests = {(x.shape[:chosen], x.shape[chosen + 1 :]) for x in tensors}
    if len(rests) > 1:
        raise ShapeError(f"concat: shapes {' and '.join(str(x.shape) for x in tensors)} differ beside axis {chosen}")
    return tensors, {"axis": chosen}


@op(
    "stack",
    "all",
    lambda g, position, axis: g[(slice(None),) * axis + (position,)],
    takes_list=True,
    method=False,
)
def stack(arrays: Sequence[Tensor], /, *, axis: int = 0) -> Prepared:
    """Join tensors of one shape along a new axis (Array API: stack).

    Arguments:
        arrays: tensors of one shape.
        axis: place of the new axis in the result.

    Raises:
        ShapeError: where the shapes differ.
    """
    tensors = _common("stack", arrays)
    if len({x.shape for x in tensors}) > 1:
        raise ShapeError(f"stack: shapes {' and '.join(str(x.shape) for x in tensors)} differ")
    return tensors, {"axis": one_axis("stack", axis, tensors[0].ndim + 1)}


def unstack(x: Tensor, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """Split a tensor into its slices along an axis, which they lose (Array API: unstack)."""
    check_tensor("unstack", x)
    chosen = one_axis("unstack", axis, x.ndim)
    return tuple(x[(slice(None),) * chosen + (i,)] for i in range(x.shape[chosen]))


def repeat(x: Tensor, repeats: Any, /, *, axis: int | None = None) -> Tensor:
    """Repeat each element (Array API: repeat).

    Arguments:
        x: any tensor.
        repeats: how often, an integer or a tensor of integers, one for each place along the axis.
        axis: the axis; None repeats in the flattened tensor.
    """
    from rustorch_core._creation_functions import arange, asarray
    from rustorch_core._indexing_functions import take

    check_tensor("repeat", x)
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    chosen = one_axis("repeat", axis, x.ndim)
    length = x.shape[chosen]
    counts = python_numbers(repeats)
    counts = list(as_shape("repeat", counts))
    counts = counts * length if len(counts) == 1 else counts
    if len(counts) != length or any(count < 0 for count in counts):
        raise ArgumentError(
            f"repeat: {len(counts)} counts for {length} places along axis {chosen}; none may be negative"
        )
    if len(set(counts)) == 1 and length:
        places = reshape(broadcast_to(expand_dims(arange(length, device=x.device), axis=1), (length, counts[0])), (-1,))
    else:
        indices = [place for place, count in enumerate(counts) for _ in range(count)]
        places = asarray(indices, dtype=_data_types.DTYPES["int64"], device=x.device)
    return take(x, places, axis=chosen)


def tile(x: Tensor, repetitions: Any, /) -> Tensor:
    """Lay copies of a tensor side by side along each axis (Array API: tile).

    Arguments:
        x: any tensor.
        repetitions: how many copies along each axis; counted from the last one.
    """
    check_tensor("tile", x)
    times = as_shape("tile", repetitions)
    if any(count < 0 for count in times):
        raise ArgumentError(f"tile: cannot repeat {times} times")
    ndim = max(x.ndim, len(times))
    times = (1,) * (ndim - len(times)) + times
    shape = (1,) * (ndim - x.ndim) + x.shape
    spread = reshape(x, tuple(n for length in shape for n in (1, length)))
    filled = broadcast_to(spread, tuple(n for pair in zip(times, shape, strict=True) for n in pair))
    return reshape(filled.clone(), tuple(count * length for count, length in zip(times, shape, strict=True)))


def _method_reshape(x: Tensor, *shape: Any, copy: bool | None = None) -> Tensor:
    """Give the elements another shape, as `reshape` does; the lengths may stand without parentheses."""
    return reshape(x, shape[0] if len(shape) == 1 else shape, copy=copy)


def _method_view(x: Tensor, *shape: Any) -> Tensor:
    """Give the elements another shape without a copy, or read the parts of complex numbers as real ones side by side.

    Arguments:
        x: any tensor.
        shape: the lengths (PyTorch: view); or a dtype, the complex or the real one of its kind (NumPy: view).

    Raises:
        ArgumentError: where the memory does not allow the shape, and for another dtype.
    """
    if len(shape) == 1 and not isinstance(shape[0], (int, tuple, list)):
        return _in_parts(x, _data_types.as_dtype(shape[0]))
    return reshape(x, shape[0] if len(shape) == 1 else shape, copy=False)


def _in_parts(x: Tensor, dtype: _data_types.DType) -> Tensor:
    """The last axis of complex numbers as one of their real and imaginary parts in turn, or the other way."""
    if dtype is x.dtype:
        return x[...]
    if x.ndim and dtype is _data_types.real_of(x.dtype):
        return reshape(stack([x.real, x.imag], axis=-1), (*x.shape[:-1], 2 * x.shape[-1]))
    if x.ndim and x.dtype is _data_types.real_of(dtype) and x.shape[-1] % 2 == 0:
        return x[..., ::2] + 1j * x[..., 1::2]
    raise ArgumentError(f"view: {x.dtype} of shape {x.shape} as {dtype} met; use astype to convert the values")


attach("view", _method_view)
attach("reshape", _method_reshape)
attach("moveaxis", moveaxis)
attach("unstack", unstack)
attach("tile", tile)
attach("repeat", repeat)


__all__ = public_names(vars())
