"""Indexing: `x[key]`, `x[key] = value`, take and take_along_axis."""

from __future__ import annotations

import operator
from typing import Any

import numpy

from rustorch_core import _graph, _mutation
from rustorch_core._axes import one_axis
from rustorch_core._data_types import CATEGORIES
from rustorch_core._define import Prepared, beside, cast, op, public_names
from rustorch_core._devices import Device
from rustorch_core._manipulation_functions import broadcast_to, reshape
from rustorch_core._tensor import Tensor, same_device
from rustorch_core.errors import DTypeError, IndexingError, OperandError, ShapeError


def native_key(key: Any, device: Device) -> Any:
    """A key as the device's arrays take it: tensors become native arrays, NumPy's and lists move there.

    Raises:
        IndexingError: for what cannot index.
        DeviceMismatchError: for an index on another device.
    """
    if isinstance(key, tuple):
        return tuple(native_key(each, device) for each in key)
    if key is None or key is Ellipsis or isinstance(key, (bool, int)):
        return key
    if isinstance(key, slice):
        return slice(*[None if part is None else operator.index(part) for part in (key.start, key.stop, key.step)])
    if isinstance(key, (list, numpy.ndarray)):
        from rustorch_core._creation_functions import asarray

        key = asarray(key, device=device) if not isinstance(key, list) or key else asarray(key, dtype="int64", device=device)
    if isinstance(key, Tensor):
        if key.dtype not in CATEGORIES["integer or boolean"]:
            raise IndexingError(f"index: a tensor of {key.dtype} cannot index; only integer and boolean ones can")
        if key.device is not device:
            from rustorch_core.errors import DeviceMismatchError

            raise DeviceMismatchError(f"index: an index on {key.device} met a tensor on {device}; move it with .to({str(device)!r})")
        return key._array
    try:
        return operator.index(key)
    except TypeError:
        raise IndexingError(f"index: {key!r} cannot index a tensor; use integers, slices, ..., None or tensors") from None


def is_basic(key: Any) -> bool:
    """Whether a key is made of integers, slices, `...` and None alone, so that it gives a view."""
    return all(each is None or each is Ellipsis or isinstance(each, (int, slice)) and not isinstance(each, bool)
               for each in (key if isinstance(key, tuple) else (key,)))  # fmt: skip


@op(
    "getitem",
    "all",
    lambda g, x_shape, key: _scatter(g, x_shape, key),
    native=lambda xp, x, key: x[key],
    method=False,
)
def _get(x: Tensor, /, key: Any) -> Prepared:
    return (x,), {"key": key}


def getitem(x: Tensor, key: Any) -> Tensor:
    """`x[key]`: a view for integers, slices, `...` and None; a copy for integer and boolean tensors, lists and arrays."""
    native = native_key(key, x._key.device)
    result = _get(x, native)
    return _mutation.share_memory(x, result) if is_basic(native) else result


@op(
    "scatter",
    "all",
    lambda g, key: _get(g, key),
    native=lambda xp, g, shape, key: _native_scatter(xp, g, shape, key),
    method=False,
)
def _scatter(g: Tensor, /, shape: tuple[int, ...], key: Any) -> Prepared:
    return (g,), {"shape": shape, "key": key}


def _native_scatter(xp: Any, g: Any, shape: tuple[int, ...], key: Any) -> Any:
    """Zeros of a shape with `g` added at the key, in which places may repeat."""
    result = xp.zeros(shape, dtype=g.dtype)
    if is_basic(key):
        result[key] = g
    elif hasattr(xp, "index_add"):
        xp.index_add(result, key, g)
    else:
        # The standard cannot add to repeated places: number the places, and let a one-hot product add them up.
        size = 1
        for length in shape:
            size *= length
        places = xp.reshape(xp.reshape(xp.arange(size), shape)[key], (-1,))
        chosen = xp.astype(xp.expand_dims(xp.arange(size), axis=1) == xp.expand_dims(places, axis=0), g.dtype)
        result = xp.reshape(chosen @ xp.reshape(g, (-1,)), shape)
    return result


def _erased(g: Tensor, key: Any) -> Tensor:
    """A gradient with zeros where a write went."""
    from rustorch_core._creation_functions import zeros
    from rustorch_core._elementwise_functions import positive

    with _graph.set_recording(False):
        mask = zeros(g.shape, dtype="bool", device=g.device)
        mask._array[key] = True
    from rustorch_core._elementwise_functions import where

    return where(mask, 0, positive(g))


@op(
    "setitem",
    "all",
    lambda g, key: _erased(g, key),
    lambda g, key: _get(g, key),
    native=lambda xp, x, value, key: _native_set(xp, x, value, key),
    method=False,
)
def _set(x: Tensor, /, value: Tensor, key: Any) -> Prepared:
    return (x, value), {"key": key}


def _native_set(xp: Any, x: Any, value: Any, key: Any) -> Any:
    x[key] = value
    return x


def setitem(x: Tensor, key: Any, value: Any) -> None:
    """`x[key] = value`: writes into the memory of `x`, seen through every view, and recorded under a gradient.

    Raises:
        GradientError: for a leaf that requires a gradient, outside `no_grad()`.
        DTypeError: where the value's dtype does not fit into that of `x`.
        IndexingError, ShapeError: where the key or the value's shape does not fit.
    """
    native = native_key(key, x._key.device)
    if not isinstance(value, Tensor):
        value = beside("setitem", x, value)
    same_device("setitem", x, value)
    value = _fitting("setitem", x, value)
    _mutation.check_writable("setitem", x, value)
    _mutation.before_write(x)
    result = _set(x, value, native)
    if result._node is not None:
        x._node = result._node


def _fitting(name: str, x: Tensor, value: Tensor) -> Tensor:
    """A value in the dtype of what it is written into.

    Raises:
        DTypeError: where that would lose its kind: complex into real, floating-point into integer.
    """
    if value.dtype is x.dtype:
        return value
    kinds = ["boolean", "integer", "real floating-point", "complex floating-point"]
    ranks = [next(rank for rank, kind in enumerate(kinds) if each.dtype in CATEGORIES[kind]) for each in (x, value)]
    if ranks[1] > ranks[0]:
        raise DTypeError(f"{name}: {value.dtype} cannot be written into a tensor of {x.dtype}; convert one with astype")
    return cast(value, x.dtype)


def overwrite(x: Tensor, value: Tensor) -> Tensor:
    """Write a whole value into the memory of `x`, as `x += y` and `x.copy_(y)` do; returns `x`.

    Raises:
        ShapeError: where the value would not fit into the shape of `x`.
    """
    if value.shape != x.shape:
        raise ShapeError(f"in place: a result of shape {value.shape} does not fit into a tensor of shape {x.shape}")
    value = _fitting("in place", x, value)
    _mutation.check_writable("in place", x, value)
    _mutation.replace(x, Ellipsis, value)
    if _graph.recording() or value._node is not None:
        x._node = value._node
    return x


def copy_(x: Tensor, source: Any) -> Tensor:
    """Write another tensor's values, or a number, into this one (PyTorch: copy_); returns `x`."""
    value = source if isinstance(source, Tensor) else beside("copy_", x, source)
    return overwrite(x, broadcast_to(value, x.shape))


def clone(x: Tensor) -> Tensor:
    """The same values in memory of their own, with their gradient (PyTorch: clone)."""
    from rustorch_core._creation_functions import asarray

    return asarray(x, copy=True)


Tensor.__getitem__ = getitem  # type: ignore[method-assign]
Tensor.__setitem__ = setitem  # type: ignore[method-assign]
Tensor.copy_ = copy_
Tensor.clone = clone


def take(x: Tensor, indices: Tensor, /, *, axis: int | None = None) -> Tensor:
    """Pick slices along an axis (Array API: take).

    Arguments:
        x: any tensor.
        indices: tensor of integers, any shape.
        axis: the axis; may be left out for one axis.

    Raises:
        IndexingError: for an index out of bounds.
    """
    if not isinstance(indices, Tensor) or indices.dtype not in CATEGORIES["integer"]:
        met = indices.dtype if isinstance(indices, Tensor) else type(indices).__name__
        raise OperandError(f"take: expected a tensor of integers as indices, met {met}")
    if axis is None and x.ndim != 1:
        raise OperandError(f"take: a tensor with {x.ndim} axes needs an axis to take along")
    chosen = one_axis("take", 0 if axis is None else axis, x.ndim)
    return getitem(x, (slice(None),) * chosen + (indices,))


def take_along_axis(x: Tensor, indices: Tensor, /, *, axis: int = -1) -> Tensor:
    """Pick elements along an axis, one for each index (Array API: take_along_axis).

    Arguments:
        x: any tensor.
        indices: tensor of integers whose other axes broadcast with those of `x`.
        axis: the axis.
    """
    from rustorch_core._axes import broadcast_shapes
    from rustorch_core._creation_functions import arange

    if x.ndim != indices.ndim:
        raise ShapeError(f"take_along_axis: shapes {x.shape} and {indices.shape} differ in their number of axes")
    chosen = one_axis("take_along_axis", axis, x.ndim)
    rest = broadcast_shapes(*[tuple(1 if i == chosen else n for i, n in enumerate(s)) for s in (x.shape, indices.shape)])
    x = broadcast_to(x, tuple(x.shape[chosen] if i == chosen else n for i, n in enumerate(rest)))
    places = [
        indices if i == chosen else reshape(arange(n, device=x.device), tuple(n if j == i else 1 for j in range(x.ndim)))
        for i, n in enumerate(rest)
    ]
    return getitem(x, tuple(places))


Tensor.take = take


__all__ = public_names(vars())
