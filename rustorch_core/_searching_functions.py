"""Searching, sorting and set functions of the standard, and the truth of whole arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

from rustorch_core._arguments import flag, one_of
from rustorch_core._axes import one_axis
from rustorch_core._define import Prepared, op, promoted, public_names
from rustorch_core._dispatch import check_tensor
from rustorch_core._indexing_functions import take_along_axis
from rustorch_core._tensor import Tensor, same_device
from rustorch_core.errors import ArgumentError


@op("argmax", "real-valued")
def argmax(x: Tensor, /, *, axis: int | None = None, keepdims: bool = False) -> Prepared:
    """Find where the largest element along an axis stands first (Array API: argmax).

    Arguments:
        x: tensor of a real-valued dtype.
        axis: the axis; None searches the flattened tensor.
        keepdims: keep the axis with length 1.
    """
    return (x,), {
        "axis": None if axis is None else one_axis("argmax", axis, x.ndim),
        "keepdims": flag("argmax", "keepdims", keepdims),
    }


@op("argmin", "real-valued")
def argmin(x: Tensor, /, *, axis: int | None = None, keepdims: bool = False) -> Prepared:
    """Find where the smallest element along an axis stands first (Array API: argmin); arguments as for `argmax`."""
    return (x,), {
        "axis": None if axis is None else one_axis("argmin", axis, x.ndim),
        "keepdims": flag("argmin", "keepdims", keepdims),
    }


@op("nonzero", "all")
def nonzero(x: Tensor, /) -> Prepared:
    """Find the indices of the elements that are not 0, one tensor for each axis (Array API: nonzero)."""
    if x.ndim == 0:
        raise ArgumentError("nonzero: a tensor without axes has no indices")
    return (x,), {}


@op("searchsorted", "real-valued", native=lambda xp, x1, x2, **attributes: xp.searchsorted(x1, x2, **attributes))
def searchsorted(x1: Tensor, x2: Any, /, *, side: str = "left", sorter: Tensor | None = None) -> Prepared:
    """Find where elements would go into a sorted vector (Array API: searchsorted).

    Arguments:
        x1: sorted vector.
        x2: tensor or number to insert.
        side: "left" before equal elements, "right" after them.
        sorter: indices that sort `x1`.
    """
    one_of("searchsorted", "side", side, ("left", "right"))
    x1, x2 = promoted("searchsorted", x1, x2)
    if sorter is not None:
        check_tensor("searchsorted", sorter)
        same_device("searchsorted", x1, sorter)
    return (x1, x2), {"side": side, "sorter": None if sorter is None else sorter._array}


@op("argsort", "real-valued")
def argsort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Prepared:
    """Find the indices that sort along an axis (Array API: argsort); arguments as for `sort`."""
    return (x,), {
        "axis": one_axis("argsort", axis, x.ndim),
        "descending": flag("argsort", "descending", descending),
        "stable": flag("argsort", "stable", stable),
    }


@op(
    "sort",
    "real-valued",
    lambda g, x, axis, descending: _unsorted(g, argsort(x, axis=axis, descending=descending), axis),
)
def sort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Prepared:
    """Sort along an axis (Array API: sort); the gradient goes back to where each element came from.

    Arguments:
        x: tensor of a real-valued dtype.
        axis: the axis.
        descending: from the largest to the smallest.
        stable: whether equal elements keep their order.
    """
    return (x,), {
        "axis": one_axis("sort", axis, x.ndim),
        "descending": flag("sort", "descending", descending),
        "stable": flag("sort", "stable", stable),
    }


def _unsorted(g: Tensor, order: Tensor, axis: int) -> Tensor:
    """Elements back where they stood before they were put in an order."""
    return take_along_axis(g, argsort(order, axis=axis), axis=axis)


class UniqueAll(NamedTuple):
    """What `unique_all` returns."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """What `unique_counts` returns."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """What `unique_inverse` returns."""

    values: Tensor
    inverse_indices: Tensor


@op("unique_all", "all", no_gradient="which elements are unique changes in jumps", method=False)
def _unique_all(x: Tensor, /) -> Prepared:
    return (x,), {}


def unique_all(x: Tensor, /) -> UniqueAll:
    """Find the different elements and all about them (Array API: unique_all).

    Returns:
        the elements sorted, where each stands first, the indices that rebuild the tensor, and how often each occurs.
    """
    return UniqueAll(*_unique_all(x))


def unique_counts(x: Tensor, /) -> UniqueCounts:
    """Find the different elements, sorted, and how often each occurs (Array API: unique_counts)."""
    found = unique_all(x)
    return UniqueCounts(found.values, found.counts)


def unique_inverse(x: Tensor, /) -> UniqueInverse:
    """Find the different elements, sorted, and the indices that rebuild the tensor (Array API: unique_inverse)."""
    found = unique_all(x)
    return UniqueInverse(found.values, found.inverse_indices)


def unique_values(x: Tensor, /) -> Tensor:
    """Find the different elements, sorted (Array API: unique_values)."""
    return unique_all(x).values


__all__ = public_names(vars())
