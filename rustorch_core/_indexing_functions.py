"""Indexing: `x[key]`, `x[key] = value`, take and take_along_axis."""

from __future__ import annotations

import operator
from typing import Any

import numpy

from rustorch_core import _dispatch, _graph, _native_indexing
from rustorch_core._axes import one_axis
from rustorch_core._data_types import CATEGORIES, bool_
from rustorch_core._define import Prepared, attach, op, public_names
from rustorch_core._dispatch import check_tensor
from rustorch_core._manipulation_functions import broadcast_to, reshape
from rustorch_core._memory import add_view
from rustorch_core._native_indexing import is_basic
from rustorch_core._op import Op
from rustorch_core._tensor import Tensor, same_device, wrap
from rustorch_core.errors import IndexingError, OperandError, ShapeError


def _native_key(key: Any, x: Tensor) -> Any:
    """A key as the device's arrays take it: each part native, and an ellipsis for the axes that it leaves out.

    Raises:
        IndexingError: for what cannot index.
        DeviceMismatchError: for an index on another device.
    """
    parts = key if isinstance(key, tuple) else (key,)
    plain = _plain_key(parts, x._array.shape)
    if plain is not None:
        return plain
    parts = tuple([_native_part(each, x) for each in parts])
    named = 0
    for part in parts:
        if part is Ellipsis:
            return parts
        named += 0 if part is None else part.ndim if getattr(part, "dtype", None) == _native_bool(x) else 1
    return parts if named >= x.ndim else (*parts, Ellipsis)


def _plain_key(parts: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[Any, ...] | None:
    """A key that is native as it is, made of nothing but Python's own integers, slices, `...` and None; else None."""
    left_out = len(shape)
    for part in parts:
        kind = type(part)
        if kind is int:
            left_out -= 1
        elif kind is slice:
            if not (type(part.start) in _ENDS and type(part.stop) in _ENDS and type(part.step) in _ENDS):
                return None
            left_out -= 1
        elif part is Ellipsis:
            left_out = 0
        elif part is not None:
            return None
    return (*parts, Ellipsis) if left_out > 0 and Ellipsis not in parts else parts


_ENDS = (int, type(None))


def _native_bool(x: Tensor) -> Any:
    return x._key.device.key(bool_).native_dtype


def _native_part(part: Any, x: Tensor) -> Any:
    if part is None or part is Ellipsis:
        return part
    if isinstance(part, slice):
        return slice(*[None if each is None else _integer(each) for each in (part.start, part.stop, part.step)])
    device = x._key.device
    if isinstance(part, (list, tuple, range, bool, numpy.ndarray, numpy.bool_)):
        from rustorch_core._creation_functions import asarray

        part = asarray(part, dtype="int64" if isinstance(part, (list, tuple)) and not part else None, device=device)
    if isinstance(part, Tensor):
        if part.dtype not in CATEGORIES["integer or boolean"]:
            raise IndexingError(f"index: a tensor of {part.dtype} cannot index; only integer and boolean ones can")
        same_device("index", x, part)
        return part._array
    return _integer(part)


def _integer(part: Any) -> int:
    try:
        return operator.index(part)
    except TypeError:
        raise IndexingError(
            f"index: {part!r} cannot index a tensor; use integers, slices, ..., None or tensors"
        ) from None


@op(
    "getitem_advanced",
    "all",
    lambda g, x_shape, key: _scatter(g, x_shape, key),
    native=_native_indexing.copied,
    selects=True,
    method=False,
)
def _get(x: Tensor, /, key: Any) -> Prepared:
    return (x,), {"key": key}


@op(
    "getitem",
    "all",
    lambda g, x_shape, key: _scatter(g, x_shape, key),
    native=_native_indexing.get,
    selects=True,
    is_view=True,
    method=False,
)
def _view(x: Tensor, /, key: Any) -> Prepared:
    return (x,), {"key": key}


def _getitem(x: Tensor, key: Any) -> Tensor:
    """`x[key]`: a view for integers, slices, `...` and None; a copy for an element, for tensors, lists and arrays."""
    own = x._key
    if own.device.shares_host_memory and _dispatch.watchers is None and _graph._state.on:
        parts = _plain_key(key if type(key) is tuple else (key,), x._array.shape)
        if parts is not None:
            try:
                array = x._array[parts]
            except (IndexError, ValueError, OverflowError):
                pass  # explained below
            else:
                made, attributes = wrap(array, own.device), {"key": parts}
                is_view = made._array is array
                if is_view:
                    add_view(x, made, _VIEW, attributes)
                if x._node is not None:
                    _graph.record(_VIEW if is_view else _ELEMENT, (x,), attributes, made)
                return made
    native = _native_key(key, x)
    if not is_basic(native):
        return _get(x, native if x._node is None else _kept_key(x, native))
    if len(native) == len(x._array.shape) and all(type(part) is int for part in native):
        return _get(x, native)
    return _view(x, native)


_VIEW: Op = _view.op  # type: ignore[attr-defined]
_ELEMENT: Op = _get.op  # type: ignore[attr-defined]


def _kept_key(x: Tensor, key: tuple[Any, ...]) -> tuple[Any, ...]:
    """A key for the graph to keep: copies of its arrays, so that a later write into an index changes no gradient."""
    copy = x._key.namespace.asarray
    return tuple([part if is_basic((part,)) else copy(part, copy=True) for part in key])


@op(
    "scatter",
    "numeric",
    lambda g, key: _get(g, key),
    native=_native_indexing.scattered,
    method=False,
)
def _scatter(g: Tensor, /, shape: tuple[int, ...], key: Any) -> Prepared:
    return (g,), {"shape": shape, "key": key}


attach("__getitem__", _getitem)


def take(x: Tensor, indices: Tensor, /, *, axis: int | None = None) -> Tensor:
    """Pick slices along an axis (Array API: take).

    Arguments:
        x: any tensor.
        indices: tensor of integers, any shape.
        axis: the axis; may be left out for one axis.

    Raises:
        IndexingError: for an index out of bounds.
    """
    check_tensor("take", x)
    if not isinstance(indices, Tensor) or indices.dtype not in CATEGORIES["integer"]:
        met = indices.dtype if isinstance(indices, Tensor) else type(indices).__name__
        raise OperandError(f"take: expected a tensor of integers as indices, met {met}")
    if axis is None and x.ndim != 1:
        raise OperandError(f"take: a tensor with {x.ndim} axes needs an axis to take along")
    chosen = one_axis("take", 0 if axis is None else axis, x.ndim)
    return _getitem(x, (slice(None),) * chosen + (indices,))


def take_along_axis(x: Tensor, indices: Tensor, /, *, axis: int = -1) -> Tensor:
    """Pick elements along an axis, one for each index (Array API: take_along_axis).

    Arguments:
        x: any tensor.
        indices: tensor of integers whose other axes broadcast with those of `x`.
        axis: the axis.
    """
    from rustorch_core._axes import broadcast_shapes
    from rustorch_core._creation_functions import arange

    check_tensor("take_along_axis", x)
    check_tensor("take_along_axis", indices)
    if x.ndim != indices.ndim:
        raise ShapeError(f"take_along_axis: shapes {x.shape} and {indices.shape} differ in their number of axes")
    chosen = one_axis("take_along_axis", axis, x.ndim)
    rest = broadcast_shapes(
        *[tuple(1 if i == chosen else n for i, n in enumerate(s)) for s in (x.shape, indices.shape)]
    )
    x = broadcast_to(x, tuple(x.shape[chosen] if i == chosen else n for i, n in enumerate(rest)))
    places = [
        indices
        if i == chosen
        else reshape(arange(n, device=x.device), tuple(n if j == i else 1 for j in range(x.ndim)))
        for i, n in enumerate(rest)
    ]
    return _getitem(x, tuple(places))


attach("take", take)


__all__ = public_names(vars())
