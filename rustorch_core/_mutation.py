"""Writing into a tensor means what it means in NumPy, and never spoils a gradient.

Views share memory, so a write through one is seen through all. A write under a gradient is a recorded op, so the
gradient is that of the same program written without mutation.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from typing import Any

from rustorch_core import _dispatch, _graph, _linear_algebra_functions, _memory, _native_indexing
from rustorch_core._creation_functions import arange, asarray, zeros
from rustorch_core._data_types import CATEGORIES, KINDS, DType, bool_
from rustorch_core._define import COMPARISONS, Prepared, attach, beside, cast, in_place, op, promoted
from rustorch_core._elementwise_functions import clip, where
from rustorch_core._indexing_functions import _get, _kept_key, _native_key
from rustorch_core._manipulation_functions import broadcast_to, reshape
from rustorch_core._memory import Path, before_write
from rustorch_core._native_indexing import is_basic
from rustorch_core._op import REGISTRY, Op
from rustorch_core._tensor import Tensor, same_device, tensor_like
from rustorch_core.errors import ArgumentError, DTypeError, GradientError, ShapeError


def _follow(x: Tensor, path: Path) -> Tensor:
    """The view at the end of a path, recorded."""
    for step, attributes in path:
        x = _dispatch.call(step, (x,), attributes)
    return x


@op(
    "erase",
    "all",
    lambda g, path, key: _erase(g, path, key),
    native=lambda xp, x, path, key: _written(xp, xp.asarray(x, copy=True), xp.zeros((), dtype=x.dtype), path, key),
    selects=True,
    method=False,
)
def _erase(x: Tensor, /, path: Path, key: Any) -> Prepared:
    return (x,), {"path": path, "key": key}


@op(
    "setitem",
    "all",
    lambda g, path, key: _erase(g, path, key),
    lambda g, x_shape, path, key: _with_axes(_last_written(_follow(g, path), key), x_shape),
    native=lambda xp, x, value, path, key, in_place: _write_natively(xp, x, value, path, key, in_place),
    selects=True,
    method=False,
)
def _set(x: Tensor, /, value: Tensor, path: Path, key: Any) -> Prepared:
    return (x, value), {"path": path, "key": key, "in_place": x._key.device.is_writable}


def _written(xp: Any, array: Any, value: Any, path: Path, key: Any) -> Any:
    """A new array: this one with a value at the end of a path, at a key."""
    if not path:
        return _native_indexing.written(xp, array, key, value)
    numbers = xp.reshape(xp.arange(math.prod(array.shape)), array.shape)
    places = _native_indexing.get(xp, _memory.follow(xp, numbers, path), key)
    return _native_indexing.put(xp, array, places, value)


def _write_natively(xp: Any, array: Any, value: Any, path: Path, key: Any, in_place: bool) -> Any:
    if not in_place:
        return _written(xp, array, value, path, key)
    try:
        _native_indexing.write(xp, _memory.follow(xp, array, path), key, value)
    except ValueError as error:
        if "read-only" in str(error):
            raise ArgumentError(f"in place: {error}; write into a .clone()") from error
        raise
    return array


def _last_written(g: Tensor, key: Any) -> Tensor:
    """The gradient of what was written: where places repeat, the last value stands and the others count for nothing."""
    gradient = _get(g, key)
    if is_basic(key):
        return gradient
    with _graph.set_recording(False):
        numbers = reshape(arange(gradient.size, device=g.device), gradient.shape)
        places = zeros(g.shape, dtype=numbers.dtype, device=g.device)
        places._array = _native_indexing.written(places._key.namespace, places._array, key, numbers._array)
        is_last = _get(places, key) == numbers
    return where(is_last, gradient, 0)


def _with_axes(g: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The gradient of a value that had more axes than the place it was written to: the first ones, of length 1."""
    extra = len(shape) - g.ndim
    return reshape(g, (1,) * extra + g.shape) if extra > 0 else g


def _write(name: str, x: Tensor, value: Tensor, key: Any) -> None:
    """Write at a native key; under a gradient as an op on the base, from which all its views are then derived anew.

    Raises:
        GradientError: for the memory of a leaf that requires a gradient, outside `no_grad()`.
    """
    is_recorded = _is_recorded(name, x, value)
    _check_may_be_written(name, x)
    before_write(x)
    is_base = x._place is None or x._place[2] is None
    is_whole = len(key) == 1 and key[0] is Ellipsis and value.shape == x.shape
    is_leaf = value._node is not None and value._node.op is None  # what a leaf is written into is no leaf
    if is_recorded and not (is_base and is_whole and not is_leaf):
        base, path = _base_of(x)
        written = _set(base, value, path, _kept_key(x, key))
        _set_array(base, written._array)
        _set_node(x, written)
        return
    _write_now(x, value, key)
    if is_recorded:
        _set_node(x, value)


def _check_may_be_written(name: str, x: Tensor) -> None:
    """Refuse to write into views that NumPy gives to be read only, which on the host does so itself."""
    if x._place is None or x._key.device.shares_host_memory:
        return
    for step, _ in _memory.path_from_root(x._place):
        if step.is_read_only:
            raise ArgumentError(f"{name}: what {step.name} returns is read-only; write into a .clone()")


def _is_recorded(name: str, x: Tensor, value: Tensor) -> bool:
    if not _graph._state.on:
        return False
    node = x._node if x._place is None else x._place[0].node
    if node is not None and node.op is None:
        raise GradientError(
            f"{name}: the memory of a leaf that requires a gradient can only be written under no_grad(); "
            "use an operation that returns a new tensor, or .detach()"
        )
    return node is not None or value._node is not None


def _write_now(x: Tensor, value: Tensor, key: Any) -> None:
    """Write without a record."""
    if x._key.device.shares_host_memory and _dispatch.watchers is None:
        try:
            x._array[key] = value._array
            return
        except Exception:  # explained below
            pass
    bare = tensor_like(Tensor, x._array, x._key)
    _set_array(x, _set(bare, tensor_like(Tensor, value._array, value._key), (), key)._array)


def _base_of(x: Tensor) -> tuple[Tensor, Path]:
    """The base of a tensor's family as it is, and the way from there to the tensor; itself where it stands alone."""
    if x._place is None:
        return x, ()
    family = x._place[0]
    base = tensor_like(Tensor, family.array, family.key)
    base._node, base._place = family.node, (family, None, None, {})
    return base, _memory.path_in_family(x._place)


def _set_array(x: Tensor, array: Any) -> None:
    """Give a tensor the array that a write has left; where that is a new one, all others on the memory follow."""
    if array is x._array:
        return
    if x._place is None:
        x._array = array
        return
    buffer, path, xp = x._place[0].buffer, _memory.path_from_root(x._place), x._key.namespace
    buffer.root = _written(xp, buffer.root, array, path, (Ellipsis,))
    for family in buffer.families.now():
        family.array = _memory.follow(xp, buffer.root, family.origin)
        for member in family.members():
            member._array = _memory.follow(xp, family.array, _memory.path_in_family(member._place))


def _set_node(x: Tensor, written: Tensor) -> None:
    """Put a base and its living views where the write has left them in the graph."""
    if x._place is None:
        _graph.move(x, written._node)
        return
    family = x._place[0]
    base = family.base()
    family.last_node = written._node
    if base is not None:
        _graph.move(base, written._node)
    for view in family.members():
        if view is not base:
            _graph.move(view, _follow(written, _memory.path_in_family(view._place))._node)


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
    if value._key is not x._key:
        same_device("setitem", x, value)
        value = _fitting("setitem", x, value)
    if value._array.shape and _is_element(native, x):
        raise ShapeError(f"setitem: a value of shape {value.shape} does not fit into one element; take its item()")
    _write("setitem", x, value, native)


def _is_element(key: tuple[Any, ...], x: Tensor) -> bool:
    """Whether a key is made of nothing but integers, one for each axis; those may be arrays without axes."""
    boolean = x._key.device.key(bool_).native_dtype
    return len(key) == x.ndim and all(
        type(part) is int or (getattr(part, "shape", None) == () and part.dtype != boolean) for part in key
    )


def _fitting(name: str, x: Tensor, value: Tensor) -> Tensor:
    """A value in the dtype of what it is written into.

    Raises:
        DTypeError: where that would lose its kind: complex into real, floating-point into integer.
    """
    if value.dtype is x.dtype:
        return value
    if _rank(value) > _rank(x):
        raise DTypeError(f"{name}: {value.dtype} cannot be written into a tensor of {x.dtype}; convert one with astype")
    return cast(value, x.dtype)


def _rank(x: Tensor) -> int:
    """The place of a tensor's kind among those that can be written into the later ones."""
    kinds = ["boolean", "integer", "real floating-point", "complex floating-point"]
    return next(rank for rank, kind in enumerate(kinds) if x.dtype in CATEGORIES[kind])


def overwrite(x: Tensor, value: Tensor, name: str = "in place") -> Tensor:
    """Write what an op made of `x` into the memory of `x`; returns `x`.

    Raises:
        GradientError: for the memory of a leaf that requires a gradient, outside `no_grad()`.
        ShapeError: where the result would not fit into the shape of `x`.
        DTypeError: where it is of another kind, or would lose its sign.
    """
    if value.shape != x.shape:
        raise ShapeError(f"{name}: a result of shape {value.shape} does not fit into a tensor of shape {x.shape}")
    is_signed = x.dtype in KINDS["unsigned integer"] and value.dtype in KINDS["signed integer"]
    if is_signed or _rank(value) < _rank(x):
        raise DTypeError(f"{name}: a result of {value.dtype} does not fit into a tensor of {x.dtype}; use astype")
    _write(name, x, _fitting(name, x, value), (Ellipsis,))
    return x


def _in_place(name: str, native_dtypes: frozenset[DType]) -> Callable[[Tensor, Any], Any]:
    """`x += y`: writes into the memory of `x`, which keeps its shape and dtype, and copies nothing where it need not.

    Arguments:
        name: of the operator, such as "add".
        native_dtypes: those in which the native arrays' own operator does the same.
    """
    operate, natively = getattr(Tensor, f"__{name}__"), getattr(operator, f"i{name}")

    def assign(x: Tensor, other: Any) -> Any:
        key = x._key
        is_tensor = type(other) is Tensor and other._key is key and not _overlap(x, other)
        if (
            (is_tensor or type(other) in key.scalars)
            and key.dtype in native_dtypes
            and key.device.is_writable
            and _dispatch.watchers is None
            and not _is_recorded("in place", x, other if is_tensor else x)
        ):
            before_write(x)
            try:
                natively(x._array, other._array if is_tensor else other)
                return x
            except Exception:  # what does not fit is explained below
                pass
        value = operate(x, other)
        return value if value is NotImplemented else overwrite(x, value)

    return assign


def _overlap(x: Tensor, other: Tensor) -> bool:
    """Whether two tensors may see the same memory in different places."""
    if x._place is None or other._place is None:
        return False
    return x is not other and x._place[0].buffer is other._place[0].buffer


def _as_method(op: Op, assign: Callable[[Tensor, Any], Any]) -> Callable[..., Tensor]:
    """`x.add_(y)` and its like: an operator in place, written as a method (PyTorch)."""

    @functools.wraps(in_place(op))
    def method(x: Tensor, other: Any, /) -> Tensor:
        result = assign(x, other)
        return promoted(op.name, x, other)[0] if result is NotImplemented else result  # which raises

    return method


def _with_alpha(assign: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The same with a number that multiplies what is added."""

    @functools.wraps(assign)
    def method(x: Tensor, other: Any, /, *, alpha: Any = 1) -> Tensor:
        return assign(x, other if type(alpha) is int and alpha == 1 else other * alpha)

    return method


for stated in list(REGISTRY.values()):
    if stated.kind == "binary" and stated.operator not in (None, *COMPARISONS):
        native_dtypes = CATEGORIES[stated.category] if stated.has_native_operator else frozenset()
        assign = _in_place(stated.operator, native_dtypes)
        setattr(Tensor, f"__i{stated.operator}__", assign)
        setattr(Tensor, f"{stated.name}_", _as_method(stated, assign))
attach("__imatmul__", _in_place(_linear_algebra_functions.matmul.__name__, frozenset()))
attach("clip_", in_place(clip.op))  # type: ignore[attr-defined]

for name in ("add_", "subtract_"):
    setattr(Tensor, name, _with_alpha(vars(Tensor)[name]))
# PyTorch's shorter names for some of them.
for ours, theirs in (
    ("subtract", "sub"),
    ("multiply", "mul"),
    ("divide", "div"),
    ("negative", "neg"),
    ("clip", "clamp"),
):
    attach(f"{theirs}_", vars(Tensor)[f"{ours}_"])


def _fill_(x: Tensor, value: Any) -> Tensor:
    """Write a number, or a tensor without axes, into every place; returns the tensor (PyTorch)."""
    if isinstance(value, Tensor) and value.ndim:
        raise ShapeError(f"fill_: expected a number or a tensor without axes, met shape {value.shape}; use copy_")
    _setitem(x, ..., value)
    return x


def _zero_(x: Tensor) -> Tensor:
    """Write 0 into every place; returns the tensor (PyTorch)."""
    return _fill_(x, 0)


def _copy_(x: Tensor, source: Any) -> Tensor:
    """Write another tensor's values, or a number, into this one (PyTorch: copy_); returns `x`."""
    value = source if isinstance(source, Tensor) else beside("copy_", x, source)
    return overwrite(x, broadcast_to(_fitting("copy_", x, value), x.shape))


def _clone(x: Tensor) -> Tensor:
    """The same values in memory of their own, with their gradient (PyTorch: clone)."""
    return asarray(x, copy=True)


attach("__setitem__", _setitem)
attach("copy_", _copy_)
attach("clone", _clone)
attach("fill_", _fill_)
attach("zero_", _zero_)
