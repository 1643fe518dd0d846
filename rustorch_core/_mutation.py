"""Writing into a tensor means what it means in NumPy, and never spoils a gradient.

Views share memory, so a write through one is seen through all. A write under a gradient is a recorded op, so the
gradient is that of the same program written without mutation.
"""

from __future__ import annotations

from typing import Any

from rustorch_core import _dispatch, _graph
from rustorch_core._creation_functions import arange, asarray, zeros
from rustorch_core._data_types import CATEGORIES
from rustorch_core._define import Prepared, attach, beside, cast, op
from rustorch_core._elementwise_functions import where
from rustorch_core._indexing_functions import _get, _is_basic, _kept_key, _native_key
from rustorch_core._manipulation_functions import broadcast_to, reshape
from rustorch_core._memory import Path, before_write
from rustorch_core._tensor import Tensor, same_device, tensor_like
from rustorch_core.errors import ArgumentError, DTypeError, GradientError, ShapeError


def _follow(x: Tensor, path: Path) -> Tensor:
    """The view at the end of a path, recorded."""
    for step, attributes in path:
        x = _dispatch.call(step, (x,), attributes)
    return x


def _follow_natively(xp: Any, array: Any, path: Path) -> Any:
    for step, attributes in path:
        function = step.native or getattr(xp, step.name)
        array = function(xp, array, **attributes) if step.native else function(array, **attributes)
    return array


@op(
    "erase",
    "all",
    lambda g, path, key: _erase(g, path, key),
    native=lambda xp, x, path, key: _write_natively(xp, xp.asarray(x, copy=True), 0, path, key),
    selects=True,
    method=False,
)
def _erase(x: Tensor, /, path: Path, key: Any) -> Prepared:
    return (x,), {"path": path, "key": key}


@op(
    "setitem",
    "all",
    lambda g, path, key: _erase(g, path, key),
    lambda g, path, key: _last_written(_follow(g, path), key),
    native=lambda xp, x, value, path, key: _write_natively(xp, x, value, path, key),
    selects=True,
    method=False,
)
def _set(x: Tensor, /, value: Tensor, path: Path, key: Any) -> Prepared:
    return (x, value), {"path": path, "key": key}


def _write_natively(xp: Any, array: Any, value: Any, path: Path, key: Any) -> Any:
    try:
        _follow_natively(xp, array, path)[key] = value
    except ValueError as error:
        if "read-only" in str(error):
            raise ArgumentError(f"in place: {error}; write into a .clone()") from error
        raise
    return array


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


def _write(name: str, x: Tensor, value: Tensor, key: Any) -> None:
    """Write at a native key; under a gradient as an op on the base, from which all its views are then derived anew.

    Raises:
        GradientError: for the memory of a leaf that requires a gradient, outside `no_grad()`.
    """
    base, path = _place(x)
    if _graph.recording() and base._node is not None and base._node.op is None:
        raise GradientError(
            f"{name}: the memory of a leaf that requires a gradient can only be written under no_grad(); "
            "use an operation that returns a new tensor, or .detach()"
        )
    before_write(x)
    is_recorded = _graph.recording() and (base._node is not None or value._node is not None)
    replaces_all = not path and len(key) == 1 and key[0] is Ellipsis and value.shape == x.shape
    if is_recorded and not replaces_all:
        _derive_anew(x, _set(base, value, path, _kept_key(x, key)))
        return
    _set(x.detach(), value.detach(), (), key)
    if is_recorded:
        _derive_anew(x, value)


def _place(x: Tensor) -> tuple[Tensor, Path]:
    """The base whose memory a tensor shares, and the way from there to it; the tensor itself where it stands alone."""
    memory = getattr(x, "_memory", None)
    if memory is None or memory.base is None:
        return x, ()
    base = tensor_like(Tensor, memory.array, memory.key)
    base._node = memory.base_node
    return base, memory.path_to(x)


def _derive_anew(x: Tensor, written: Tensor) -> None:
    """Put a base and its living views where the write has left them in the graph."""
    memory = getattr(x, "_memory", None)
    if memory is None or memory.base is None:
        _graph.move(x, written._node)
        return
    memory.node = written._node
    base = memory.base()
    if base is not None:
        _graph.move(base, written._node)
    for reference, path in list(memory.views.values()):
        view = reference()
        if view is not None:
            _graph.move(view, _follow(written, path)._node)


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
    _write("setitem", x, _fitting("setitem", x, value), native)


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
    _write("in place", x, _fitting("in place", x, value), (Ellipsis,))
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
