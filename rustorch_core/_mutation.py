"""Writing into a tensor means what it means in NumPy, and never spoils a gradient.

Views share memory, so a write through one is seen through all. A write under a gradient is a recorded op, so the
gradient is that of the same program written without mutation.
"""

from __future__ import annotations

from typing import Any

from rustorch_core import _graph
from rustorch_core._creation_functions import arange, asarray, zeros
from rustorch_core._data_types import CATEGORIES
from rustorch_core._define import Prepared, attach, beside, cast, op
from rustorch_core._elementwise_functions import where
from rustorch_core._indexing_functions import _get, _is_basic, _kept_key, _native_key
from rustorch_core._manipulation_functions import broadcast_to, reshape
from rustorch_core._memory import before_write, is_shared
from rustorch_core._tensor import Tensor, same_device
from rustorch_core.errors import ArgumentError, DTypeError, GradientError, ShapeError


def check_writable(name: str, tensor: Tensor, value: Tensor) -> None:
    """Refuse the writes whose gradient would be wrong.

    Raises:
        GradientError: for a leaf that requires a gradient, and under a gradient for memory that a view shares.
    """
    if not _graph.recording():
        return
    if tensor._node is not None and tensor._node.op is None:
        raise GradientError(
            f"{name}: a leaf that requires a gradient can only be written under no_grad(); "
            "use an operation that returns a new tensor, or .detach()"
        )
    if (tensor._node is not None or value._node is not None) and is_shared(tensor):
        raise GradientError(
            f"{name}: this memory is shared by a view, and a write into it under a gradient is not supported yet; "
            "write into a .clone()"
        )


def _erased(g: Tensor, key: Any) -> Tensor:
    """A gradient with zeros where a write went."""
    with _graph.set_recording(False):
        mask = zeros(g.shape, dtype="bool", device=g.device)
        mask._array[key] = True
    return where(mask, 0, g)


@op(
    "setitem",
    "all",
    lambda g, key: _erased(g, key),
    lambda g, key: _last_written(g, key),
    native=lambda xp, x, value, key: _native_set(xp, x, value, key),
    method=False,
)
def _set(x: Tensor, /, value: Tensor, key: Any) -> Prepared:
    return (x, value), {"key": key}


def _last_written(g: Tensor, key: Any) -> Tensor:
    """The gradient of what was written: where places repeat, the last value stands and the others count for nothing."""
    gradient = _get(g, key)
    if _is_basic(key):
        return gradient
    with _graph.set_recording(False):
        numbers = reshape(arange(gradient.size, device=g.device), gradient.shape)
        places = zeros(g.shape, dtype=numbers.dtype, device=g.device)
        places._array[key] = numbers._array
        is_last = _get(places, key) == numbers
    return where(is_last, gradient, 0)


def _native_set(xp: Any, x: Any, value: Any, key: Any) -> Any:
    x[key] = value
    return x


def _setitem(x: Tensor, key: Any, value: Any) -> None:
    """`x[key] = value`: writes into the memory of `x`, seen through every view, and recorded under a gradient.

    Raises:
        GradientError: for a leaf that requires a gradient, outside `no_grad()`.
        DTypeError: where the value's dtype does not fit into that of `x`.
        IndexingError, ShapeError: where the key or the value's shape does not fit.
    """
    native = _native_key(key, x)
    if not isinstance(value, Tensor):
        value = beside("setitem", x, value)
    same_device("setitem", x, value)
    value = _fitting("setitem", x, value)
    check_writable("setitem", x, value)
    before_write(x)
    result = _set(x, value, _kept_key(x, native) if value._node is not None or x._node is not None else native)
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
    check_writable("in place", x, value)
    before_write(x)
    try:
        x._array[...] = value._array
    except ValueError as error:
        raise ArgumentError(f"in place: {error} (met {x.dtype}{list(x.shape)}); write into a .clone()") from error
    if _graph.recording() or value._node is not None:
        x._node = value._node
    return x


def _copy_(x: Tensor, source: Any) -> Tensor:
    """Write another tensor's values, or a number, into this one (PyTorch: copy_); returns `x`."""
    value = source if isinstance(source, Tensor) else beside("copy_", x, source)
    return overwrite(x, broadcast_to(value, x.shape))


def _clone(x: Tensor) -> Tensor:
    """The same values in memory of their own, with their gradient (PyTorch: clone)."""
    return asarray(x, copy=True)


attach("__setitem__", _setitem)
attach("copy_", _copy_)
attach("clone", _clone)
