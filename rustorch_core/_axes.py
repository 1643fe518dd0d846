"""Reading of axes and shapes, as the standard words them, with the errors that name what met."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

from rustorch_core.errors import ArgumentError, AxisError, OperandError, ShapeError

Axes = int | Sequence[int] | None


def one_axis(name: str, axis: Any, ndim: int) -> int:
    """An axis counted from 0.

    Raises:
        AxisError: where there is no such axis.
        OperandError: where it is no integer.
    """
    try:
        index = operator.index(axis)
    except TypeError:
        raise OperandError(f"{name}: an axis is an integer, met {axis!r}") from None
    if not -ndim <= index < ndim:
        raise AxisError(f"{name}: axis {index} is out of bounds for a tensor with {ndim} axes")
    return index % ndim


def some_axes(name: str, axis: Axes, ndim: int) -> tuple[int, ...]:
    """Axes counted from 0; None means all of them.

    Raises:
        AxisError: where there is no such axis, or one is named twice.
    """
    if axis is None:
        return tuple(range(ndim))
    if type(axis) is int:
        return (one_axis(name, axis, ndim),)
    found = tuple(one_axis(name, each, ndim) for each in (axis if isinstance(axis, (tuple, list)) else (axis,)))
    if len(set(found)) != len(found):
        raise AxisError(f"{name}: axis {axis} names one axis twice")
    return found


def as_shape(name: str, shape: Any) -> tuple[int, ...]:
    """A shape from an integer or a sequence of them; -1 is left for the caller to read."""
    lengths = shape if type(shape) is tuple or isinstance(shape, (tuple, list)) else (shape,)
    try:
        return tuple(map(operator.index, lengths))
    except TypeError:
        raise OperandError(f"{name}: a shape is made of integers, met {shape!r}") from None


def resolved_shape(name: str, shape: Any, size: int) -> tuple[int, ...]:
    """A shape for a given number of elements, the one -1 in it computed.

    Raises:
        ShapeError: where the numbers of elements differ.
    """
    lengths = as_shape(name, shape)
    if math.prod(lengths) == size and min(lengths, default=0) >= 0:
        return lengths
    unknown = [axis for axis, length in enumerate(lengths) if length < 0]
    known = 1
    for length in lengths:
        known *= length if length >= 0 else 1
    if len(unknown) == 1 and lengths[unknown[0]] == -1 and known and size % known == 0:
        return tuple(size // known if length < 0 else length for length in lengths)
    if unknown or known != size:
        raise ShapeError(f"{name}: {size} elements do not fit the shape {lengths}")
    return lengths


def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that shapes broadcast to (Array API: broadcast_shapes).

    Raises:
        ShapeError: where they do not broadcast, with all shapes.
    """
    result: list[int] = []
    for shape in shapes:
        lengths = as_shape("broadcast_shapes", shape)
        if any(length < 0 for length in lengths):
            raise ArgumentError(f"broadcast_shapes: a length is negative in {lengths}")
        result = [1] * (len(lengths) - len(result)) + result
        for axis in range(-1, -len(lengths) - 1, -1):
            if result[axis] != lengths[axis] and 1 not in (result[axis], lengths[axis]):
                raise ShapeError(
                    f"shapes {' and '.join(str(as_shape('', each)) for each in shapes)} cannot be broadcast together"
                )
            result[axis] = lengths[axis] if result[axis] == 1 else result[axis]
    return tuple(result)


def is_stretched_to(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Whether what has a shape broadcasts to another."""
    extra = len(target) - len(shape)
    return extra >= 0 and all(each in (1, wanted) for each, wanted in zip(shape, target[extra:], strict=True))
