"""Windows that slide along the last axes of images: of the kernels of a convolution, and of pooling."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from rustorch_core._arguments import integer
from rustorch_core._creation_functions import full
from rustorch_core._dispatch import check_tensor
from rustorch_core._manipulation_functions import expand_dims
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError, ShapeError

#: One number for each of the axes, and the borders before and behind each.
Lengths = tuple[int, ...]
Borders = tuple[tuple[int, int], ...]


def window_counts(lengths: Lengths, kernel: Lengths, stride: Lengths, padding: Borders, dilation: Lengths) -> Lengths:
    """How many windows there are along each axis."""
    return tuple(
        (length + before + behind - gap * (size - 1) - 1) // step + 1
        for length, size, step, (before, behind), gap in zip(lengths, kernel, stride, padding, dilation, strict=True)
    )


def along_axis(size: int, count: int, step: int, gap: int) -> list[slice]:
    """For each of a window's places along an axis what it meets, in all windows at once."""
    return [slice(at * gap, at * gap + (count - 1) * step + 1, step) for at in range(size)]


def places(kernel: Lengths, counts: Lengths, stride: Lengths, dilation: Lengths) -> Iterator[tuple[Any, ...]]:
    """For each place in a window the key of what it meets, in all windows at once."""
    axes = [along_axis(*window) for window in zip(kernel, counts, stride, dilation, strict=True)]
    for slices in itertools.product(*axes):
        yield (slice(None), slice(None), *slices)


def is_whole(kernel: Lengths, stride: Lengths, padding: Borders) -> bool:
    """Whether the windows are the elements themselves."""
    return {*kernel, *stride} == {1} and not any(map(any, padding))


def with_border(x: Tensor, padding: Borders, fill: float) -> Tensor:
    """The tensor within a border along its last axes."""
    if not any(map(any, padding)):
        return x
    result = bordered(x, x.shape, padding, fill)
    result[_inside(padding)] = x
    return result


def bordered(like: Tensor, shape: Lengths, padding: Borders, fill: float) -> Tensor:
    """A tensor of one number, as large as one of a shape with a border."""
    count = len(padding)
    lengths = [length + before + behind for length, (before, behind) in zip(shape[-count:], padding, strict=True)]
    return full((*shape[:-count], *lengths), fill, dtype=like.dtype, device=like.device)


def without_border(x: Tensor, padding: Borders) -> Tensor:
    """What `with_border` put a border around."""
    return x[_inside(padding)] if any(map(any, padding)) else x


def _inside(padding: Borders) -> tuple[Any, ...]:
    return (..., *[slice(before, -behind or None) for before, behind in padding])


# What is read of arguments


def one_for_each(name: str, argument: str, value: Any, count: int, least: int = 1) -> Lengths:
    """An argument that is an integer for each axis, or one for all.

    Raises:
        OperandError: where it is neither.
        ArgumentError: where one of them is below the least.
    """
    given = tuple(value) if isinstance(value, (tuple, list)) else (value,) * count
    if len(given) == 1:
        given *= count
    if len(given) != count:
        raise ArgumentError(f"{name}: {argument} is an integer or {count} of them, met {value!r}")
    lengths = tuple(integer(name, argument, each) for each in given)
    if min(lengths) < least:
        raise ArgumentError(f"{name}: {argument} is at least {least}, met {value!r}")
    return lengths


def batched(name: str, x: Tensor, axes: int) -> Tensor:
    """The input with an axis of examples, of length 1 where it has none.

    Raises:
        OperandError: for what is no tensor.
        ShapeError: where it has neither form.
    """
    check_tensor(name, x)
    if x.ndim not in (axes + 1, axes + 2):
        form = ", ".join(["C", "L" if axes == 1 else "H, W" if axes == 2 else "D, H, W"])
        raise ShapeError(f"{name}: expected a tensor of shape (N, {form}) or ({form}), met one of {x.shape}")
    return expand_dims(x, axis=0) if x.ndim == axes + 1 else x


def check_window_fits(name: str, shape: Lengths, kernel: Lengths, padding: Borders, dilation: Lengths) -> None:
    """Refuse windows that reach beyond the padded input.

    Raises:
        ShapeError: with what met.
    """
    for length, size, (before, behind), gap in zip(shape[2:], kernel, padding, dilation, strict=True):
        reach = gap * (size - 1) + 1
        if reach > length + before + behind:
            raise ShapeError(
                f"{name}: a kernel of {kernel} reaches over {reach} elements, but the input of shape {shape} has "
                f"{length + before + behind} along an axis, padding included; use a smaller kernel or more padding"
            )
