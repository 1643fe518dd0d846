"""Creation functions of the standard, and the transfer between devices."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy

from rustorch_core import _data_types, _devices, _exchange, _graph
from rustorch_core._arguments import flag, integer, number, one_of
from rustorch_core._axes import as_shape
from rustorch_core._data_types import as_dtype
from rustorch_core._define import Prepared, beside, op, promoted, public_names
from rustorch_core._devices import Device
from rustorch_core._dispatch import check_tensor
from rustorch_core._op import Op
from rustorch_core._tensor import Tensor, from_host, tensor_like, wrap
from rustorch_core.errors import (
    ArgumentError,
    DTypeError,
    ExportError,
    OperandError,
    OutOfMemoryError,
    ShapeError,
)

TRANSFER = Op("transfer", "all", (lambda g, home: _transfer(g, device=home),), kind="transfer")


def _transfer(x: Tensor, *, device: Device) -> Tensor:
    """Move a tensor to a device, by way of the host, with its gradient."""
    key = device.key(x.dtype)  # raises where the device has no such dtype
    made = tensor_like(Tensor, device.from_host(x.device.to_host(x._array)), key)
    if x._node is not None and _graph.recording():
        _graph.record(TRANSFER, (x,), {"home": x.device}, made)
    return made


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Tensor:
    """Make a tensor of what holds numbers (Array API: asarray).

    Arguments:
        obj: a tensor, a Python number, nested lists or tuples of numbers and tensors, a NumPy array, or anything with
            DLPack or the buffer protocol.
        dtype: dtype of the result; by default that of `obj`, for Python numbers the default of their kind.
        device: device of the result; by default that of a tensor, else the default device.
        copy: True always copies; False never does, and raises where it would be needed; None copies only where needed.

    Returns:
        `obj` itself, gradient and all, where nothing needs to change.

    Raises:
        ArgumentError: where `copy=False` and a copy is needed.
        ShapeError: for nested lists of unequal lengths.
        OperandError: for anything that holds no numbers.

    Example:
        >>> import rustorch as rt
        >>> rt.asarray([[1, 2], [3, 4]])
        tensor([[1, 2],
                [3, 4]], dtype=int64)
    """
    copy = None if copy is None else flag("asarray", "copy", copy)
    if isinstance(obj, Tensor):
        return _from_tensor(obj, dtype, device, copy)
    if isinstance(obj, (list, tuple)) and (tensors := list(_tensors(obj))):
        if copy is False:
            raise ArgumentError("asarray: copy=False, but tensors in a sequence must be copied to become one")
        return _from_tensor(_stacked(obj, tensors[0]), dtype, device, None)
    if hasattr(obj, "__dlpack__") and not isinstance(obj, (numpy.ndarray, numpy.generic)):
        try:
            taken = _exchange.taken_over(obj, None)
        except ExportError:
            if not hasattr(obj, "__array__"):
                raise
        else:
            is_bound = device is not None or not taken.device.shares_host_memory
            return _from_tensor(taken, dtype, device if is_bound else _devices.device(), copy)
    return _from_host(obj, None if dtype is None else as_dtype(dtype), _devices.device(device), copy)


def _from_host(obj: Any, dtype: _data_types.DType | None, device: Device, copy: bool | None) -> Tensor:
    """What is no tensor and speaks no DLPack: memory is shared where a NumPy array would share it."""
    array, is_foreign = _as_numpy(obj, dtype, copy)
    wanted = as_dtype(array.dtype) if dtype is None else dtype
    is_shared = is_foreign and array.dtype == wanted and device.shares_host_memory and not copy
    if copy is False and not is_shared:
        raise ArgumentError(f"asarray: copy=False, but {type(obj).__name__} cannot become a tensor without a copy")
    if array.dtype.kind == "c" != wanted.kind:
        raise DTypeError(
            f"asarray: {array.dtype} does not fit into {wanted}; take the real or the imaginary part first"
        )
    return from_host(array.astype(wanted, copy=is_foreign and not is_shared), device)


def _from_tensor(x: Tensor, dtype: Any, device: Any, copy: bool | None) -> Tensor:
    moves = device is not None and _devices.device(device) is not x.device
    changes = dtype is not None and as_dtype(dtype) is not x.dtype
    if copy is False and (moves or changes):
        raise ArgumentError(
            f"asarray: copy=False, but {x.dtype} on {x.device} must be copied to become what was asked for"
        )
    result = x.to(device=device, dtype=dtype) if moves or changes else x
    if copy and result is x:
        from rustorch_core._elementwise_functions import positive

        result = positive(x) if x.dtype != _data_types.DTYPES["bool"] else x.astype(x.dtype, copy=True)
    return result


def _as_numpy(obj: Any, dtype: Any, copy: bool | None) -> tuple[numpy.ndarray[Any, Any], bool]:
    """Anything that holds numbers as a NumPy array, and whether its memory may be somebody else's.

    Python numbers get the default dtype of their kind.
    """
    if isinstance(obj, numpy.generic):
        array, is_foreign = numpy.asarray(obj), False
    elif isinstance(obj, (bool, int, float, complex)):
        return _checked(lambda: numpy.asarray(obj, dtype=dtype or _data_types.scalar_dtype(obj)), obj), False
    elif isinstance(obj, (list, tuple, range)):
        return _from_nested(obj, dtype), False
    else:
        try:
            array, is_foreign = numpy.asarray(obj, copy=None if copy else copy), True
        except Exception as error:  # what strangers raise
            if copy is False:
                raise ArgumentError(f"asarray: copy=False, but {type(obj).__name__} needs one: {error}") from error
            raise OperandError(f"asarray: {type(obj).__name__} cannot become a tensor: {error}") from error
    if array.dtype.newbyteorder("=") not in _data_types.CATEGORIES["all"]:
        raise OperandError(
            f"asarray: {type(obj).__name__} holds {array.dtype}, no numbers of a dtype that rustorch has"
        )
    return array, is_foreign


def _checked(make: Any, obj: Any) -> numpy.ndarray[Any, Any]:
    try:
        return make()  # type: ignore[no-any-return]
    except OverflowError as error:
        raise DTypeError(f"asarray: {error}; name a dtype that holds it") from error
    except ValueError as error:
        kind = ShapeError if "inhomogeneous" in str(error) or "sequence" in str(error) else ArgumentError
        raise kind(f"asarray: {error}") from error
    except TypeError as error:
        raise OperandError(f"asarray: {error} (met {type(obj).__name__})") from error


def _from_nested(obj: Any, dtype: Any) -> numpy.ndarray[Any, Any]:
    """Nested lists: tensors and arrays in them keep their dtype beside numbers, and numbers alone get their default."""
    arrays: set[_data_types.DType] = set()
    plain = _plain(obj, arrays)
    array = _checked(lambda: numpy.asarray(plain, dtype=dtype), obj)
    if dtype is not None:
        return array
    if array.size == 0 and not arrays:
        return array.astype(_data_types.Defaults.floating)
    kinds = {"b": bool(0), "i": 0, "u": 0, "f": 0.0, "c": 0j}
    if array.dtype.kind not in kinds:
        raise OperandError(f"asarray: {type(obj).__name__} holds {array.dtype}, no numbers")
    scalar = kinds[array.dtype.kind]
    if arrays:
        together = functools.reduce(_data_types.promote_types, arrays)
        return array.astype(_data_types.with_scalar(together, scalar), copy=False)
    return array if array.dtype == numpy.uint64 else array.astype(_data_types.scalar_dtype(scalar))


_NUMBERS = frozenset({bool, int, float, complex})


def _plain(obj: Any, arrays: set[_data_types.DType]) -> Any:
    """Nested sequences with NumPy arrays in the place of other arrays, whose dtypes are added to a set."""
    if isinstance(obj, (list, tuple)):
        return [each if type(each) in _NUMBERS else _plain(each, arrays) for each in obj]
    if not hasattr(obj, "__array__"):
        return obj
    array = asarray(obj, device="cpu").__array__(copy=True)
    arrays.add(array.dtype)
    # NumPy does not mix bfloat16 with anything; float32 holds all its numbers.
    return array.astype(numpy.float32) if array.dtype == _data_types.bfloat16 else array


def _tensors(obj: Any) -> Iterator[Tensor]:
    """The tensors in nested sequences."""
    if isinstance(obj, Tensor):
        yield obj
    elif isinstance(obj, (list, tuple)):
        for each in obj:
            if type(each) not in _NUMBERS:
                yield from _tensors(each)


def _stacked(obj: Any, first: Tensor) -> Tensor:
    """Nested sequences of tensors and numbers as one tensor, with the gradient of each."""
    from rustorch_core._manipulation_functions import stack

    if isinstance(obj, (list, tuple)):
        return stack([_stacked(each, first) for each in obj])
    return obj if isinstance(obj, Tensor) else beside("asarray", first, obj)


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """Take over another library's array, without a copy where the memory allows it (Array API: from_dlpack).

    Arguments:
        x: anything with `__dlpack__`.
        device: device of the result; by default the one where `x` is.
        copy: True always copies; False never does, and raises where it would be needed.

    Raises:
        ArgumentError: where `copy=False` and a copy is needed to reach the device.
        ExportError: where the other library does not let go of it as asked.
        OperandError: where `x` has no `__dlpack__`.
    """
    if not hasattr(x, "__dlpack__"):
        raise OperandError(f"from_dlpack: {type(x).__name__} has no __dlpack__; use asarray")
    target = None if device is None else _devices.device(device)
    copy = None if copy is None else flag("from_dlpack", "copy", copy)
    taken = x.detach() if isinstance(x, Tensor) else _exchange.taken_over(x, copy)
    return asarray(taken, device=target, copy=copy if isinstance(x, Tensor) or not copy else None)


def _made(name: str, device: Any, dtype: Any, default: Any, *args: Any, **kwargs: Any) -> Tensor:
    """Call a device's creation function in a dtype that it has."""
    target = _devices.device(device)
    key = target.key(default if dtype is None else as_dtype(dtype))
    try:
        native = getattr(target.namespace, name)(*args, dtype=key.native_dtype, **kwargs)
    except MemoryError as error:
        raise OutOfMemoryError(f"{name}: {error}") from error
    except (ValueError, OverflowError, IndexError) as error:
        raise ArgumentError(f"{name}: {error}") from error
    except TypeError as error:
        raise OperandError(f"{name}: {error}") from error
    return wrap(native, target)


def _like(name: str, make: Any, x: Tensor, *args: Any, dtype: Any, device: Any) -> Tensor:
    """Call a creation function with a tensor's shape, and its dtype and device where no others are named."""
    check_tensor(name, x)
    made: Tensor = make(
        x.shape, *args, dtype=x.dtype if dtype is None else dtype, device=x.device if device is None else device
    )
    return made


def zeros(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Make a tensor of zeros (Array API: zeros).

    Arguments:
        shape: integer or sequence of integers.
        dtype: by default the default floating-point dtype.
        device: by default the default device.
    """
    return _made("zeros", device, dtype, _data_types.Defaults.floating, as_shape("zeros", shape))


def ones(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Make a tensor of ones (Array API: ones); arguments as for `zeros`."""
    return _made("ones", device, dtype, _data_types.Defaults.floating, as_shape("ones", shape))


def empty(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Make a tensor whose elements are whatever the memory held (Array API: empty); arguments as for `zeros`."""
    return _made("empty", device, dtype, _data_types.Defaults.floating, as_shape("empty", shape))


def full(shape: Any, fill_value: complex, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Make a tensor of one value (Array API: full).

    Arguments:
        shape: integer or sequence of integers.
        fill_value: Python number or tensor of one element, whose gradient is kept.
        dtype: by default the default dtype of the value's kind.
        device: by default the default device.

    Raises:
        DTypeError: where the value does not fit into the dtype: a fraction into integers, complex into real.
    """
    if isinstance(fill_value, Tensor) and fill_value.requires_grad:
        return _spread(fill_value.to(device=device, dtype=dtype), as_shape("full", shape))
    value = _number("full", fill_value)
    default = fill_value.dtype if isinstance(fill_value, Tensor) else _data_types.scalar_dtype(value)
    chosen = default if dtype is None else as_dtype(dtype)
    if not _holds(chosen, value):
        raise DTypeError(f"full: {value} does not fit into {chosen}; name a dtype that holds it")
    return _made("full", device, chosen, chosen, as_shape("full", shape), value)


def _spread(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """One element in every place of a shape, with its gradient."""
    from rustorch_core._manipulation_functions import broadcast_to, reshape

    return broadcast_to(reshape(value, ()), shape).clone()  # type: ignore[no-any-return]


def _number(name: str, value: Any) -> Any:
    """A Python number from one, a NumPy number or a tensor of one element."""
    if isinstance(value, (Tensor, numpy.generic)):
        value = value.item()
    if not isinstance(value, (bool, int, float, complex)):
        raise OperandError(f"{name}: expected a number, met {type(value).__name__}")
    return value


def _holds(dtype: _data_types.DType, value: complex) -> bool:
    """Whether a dtype has room for a number's kind: no fraction in integers, nothing complex in real ones."""
    if isinstance(value, complex):
        return dtype in _data_types.CATEGORIES["complex floating-point"]
    return _data_types.is_floating(dtype) or not isinstance(value, float) or value.is_integer()


def zeros_like(x: Tensor, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Make zeros of a tensor's shape, dtype and device (Array API: zeros_like)."""
    return _like("zeros_like", zeros, x, dtype=dtype, device=device)


def ones_like(x: Tensor, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Make ones of a tensor's shape, dtype and device (Array API: ones_like)."""
    return _like("ones_like", ones, x, dtype=dtype, device=device)


def empty_like(x: Tensor, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Make an uninitialised tensor of a tensor's shape, dtype and device (Array API: empty_like)."""
    return _like("empty_like", empty, x, dtype=dtype, device=device)


def full_like(x: Tensor, /, fill_value: complex, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Make a tensor of one value in a tensor's shape, dtype and device (Array API: full_like).

    Arguments:
        x: any tensor.
        fill_value: Python number or tensor of one element.
        dtype: by default that of `x`.
        device: by default that of `x`.

    Raises:
        DTypeError: where the value does not fit into the dtype.
    """
    return _like("full_like", full, x, fill_value, dtype=dtype, device=device)


def arange(
    start: float, /, stop: float | None = None, step: float = 1, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """Make evenly spaced numbers in a half-open interval (Array API: arange).

    Arguments:
        start: first number; the end of the interval from 0 where `stop` is left out.
        stop: end of the interval, not included.
        step: distance of neighbours, not 0.
        dtype: by default int64 for integers, else the default floating-point dtype.
        device: by default the default device.
    """
    start, stop = (0, start) if stop is None else (start, stop)
    start, stop, step = (_number("arange", each) for each in (start, stop, step))
    if step == 0:
        raise ArgumentError("arange: the step is 0")
    default = _data_types.scalar_dtype(start + stop + step)
    return _made("arange", device, dtype, default, start, stop, step)


def linspace(
    start: complex, stop: complex, /, num: int, *, dtype: Any = None, device: Any = None, endpoint: bool = True
) -> Tensor:
    """Make evenly spaced numbers over an interval (Array API: linspace).

    Arguments:
        start: first number; a tensor without axes keeps its gradient.
        stop: end of the interval, likewise.
        num: how many numbers.
        dtype: by default the default floating-point dtype of the numbers' kind.
        device: by default the default device.
        endpoint: whether `stop` is the last number.
    """
    (count,) = as_shape("linspace", (num,))
    if count < 0:
        raise ArgumentError(f"linspace: the number of elements is {count}")
    if any(isinstance(each, Tensor) and each.requires_grad for each in (start, stop)):
        first, last = promoted("linspace", start, stop)
        parts = linspace(0.0, 1.0, count, dtype=first.dtype, device=first.device, endpoint=endpoint)
        return (first + (last - first) * parts).to(device=device, dtype=dtype)
    start, stop = _number("linspace", start), _number("linspace", stop)
    default = _data_types.scalar_dtype(start + stop + 0.0)
    return _made("linspace", device, dtype, default, start, stop, count, endpoint=endpoint)


def logspace(
    start: float, stop: float, /, num: int = 50, *, endpoint: bool = True, base: float = 10.0, **others: Any
) -> Tensor:
    """Make powers of a base whose exponents are evenly spaced (NumPy: logspace).

    Arguments:
        start: first exponent.
        stop: last exponent.
        num: how many numbers.
        endpoint: whether `stop` is the last exponent.
        base: the base.
        others: dtype and device, as for `linspace`.
    """
    return number("logspace", "base", base) ** linspace(start, stop, num, endpoint=endpoint, **others)


def geomspace(start: float, stop: float, /, num: int = 50, *, endpoint: bool = True, **others: Any) -> Tensor:
    """Make numbers each of which is the same multiple of the one before (NumPy: geomspace).

    Arguments:
        start: first number, not 0.
        stop: last number, of the same sign.
        num: how many numbers.
        endpoint: whether `stop` is the last number.
        others: dtype and device, as for `linspace`.

    Raises:
        ArgumentError: where an end is 0 or their signs differ.
    """
    start, stop = number("geomspace", "start", start), number("geomspace", "stop", stop)
    if not start or not stop or (start < 0) != (stop < 0):
        raise ArgumentError(f"geomspace: expected two ends of one sign, met {start} and {stop}")
    exponents = linspace(math.log10(abs(start)), math.log10(abs(stop)), num, endpoint=endpoint, **others)
    powers: Tensor = 10.0**exponents
    return -powers if start < 0 else powers


def eye(n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None) -> Tensor:
    """Make a matrix with ones on a diagonal (Array API: eye).

    Arguments:
        n_rows: number of rows.
        n_cols: number of columns; by default that of the rows.
        k: which diagonal, positive above the main one.
        dtype: by default the default floating-point dtype.
        device: by default the default device.
    """
    rows, columns, diagonal = as_shape("eye", (n_rows, n_rows if n_cols is None else n_cols, k))
    return _made("eye", device, dtype, _data_types.Defaults.floating, rows, columns, k=diagonal)


def meshgrid(*arrays: Tensor, indexing: str = "xy") -> tuple[Tensor, ...]:
    """Make coordinate grids of vectors, each in memory of its own (Array API: meshgrid).

    Arguments:
        arrays: vectors of one dtype.
        indexing: "xy" for the second axis along the first vector, "ij" for axes in order.
    """
    from rustorch_core._manipulation_functions import broadcast_arrays, permute_dims, reshape

    one_of("meshgrid", "indexing", indexing, ("xy", "ij"))
    for x in arrays:
        check_tensor("meshgrid", x)
    if any(x.ndim > 1 for x in arrays):
        raise ShapeError(f"meshgrid: expected vectors, met shapes {' and '.join(str(x.shape) for x in arrays)}")
    ndim = len(arrays)
    spread = [reshape(x, (1,) * i + (-1,) + (1,) * (ndim - 1 - i)) for i, x in enumerate(arrays)]
    grids = broadcast_arrays(*spread)
    if indexing == "xy" and ndim > 1:
        grids = tuple(permute_dims(grid, (1, 0, *range(2, ndim))) for grid in grids)
    return tuple(asarray(grid, copy=True) for grid in grids)


@op("tril", "all", lambda g, k: tril(g, k=k), selects=True)
def tril(x: Tensor, /, *, k: int = 0) -> Prepared:
    """Keep the lower triangle of each matrix, zeros above diagonal `k` (Array API: tril)."""
    return _matrix("tril", x), {"k": integer("tril", "k", k)}


@op("triu", "all", lambda g, k: triu(g, k=k), selects=True)
def triu(x: Tensor, /, *, k: int = 0) -> Prepared:
    """Keep the upper triangle of each matrix, zeros below diagonal `k` (Array API: triu)."""
    return _matrix("triu", x), {"k": integer("triu", "k", k)}


def _matrix(name: str, x: Tensor) -> tuple[Tensor]:
    if x.ndim < 2:
        raise ShapeError(f"{name}: expected at least 2 axes, met shape {x.shape}")
    return (x,)


__all__ = public_names(vars())
