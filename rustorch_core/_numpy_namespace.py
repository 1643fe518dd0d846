"""The standard's namespace for NumPy arrays: array_api_compat's, with the few differences that rustorch needs."""

import math
import operator
from typing import Any

import numpy
from array_api_compat import numpy as _compat

from rustorch_core._data_types import bfloat16 as bfloat16  # by ml_dtypes; the other dtypes are NumPy's own

# NumPy's operators take a shorter way to the same loops: 30 ns less a call than the ufuncs.
add = operator.add
subtract = operator.sub
multiply = operator.mul


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Any:
    """Spelled out, so that a number too large for the dtype is infinity without a warning."""
    return numpy.array(obj, dtype=dtype, copy=copy)


def from_host(array: Any, index: int) -> Any:
    """A copy, in C order."""
    return numpy.array(array, order="C")


# NumPy's own indexing; see rustorch_core/_native_indexing.py.


def index_get(array: Any, key: Any) -> Any:
    return array[key]


def index_set(array: Any, key: Any, value: Any) -> Any:
    array[key] = value
    return array


def index_add(array: Any, key: Any, values: Any) -> Any:
    numpy.add.at(array, key, values)
    return array


# Reductions straight from the ufuncs: NumPy's functions of these names take a microsecond more to do the same. Core
# always names the axis, whose default differs.
max: Any = numpy.maximum.reduce
min: Any = numpy.minimum.reduce
all: Any = numpy.logical_and.reduce
any: Any = numpy.logical_or.reduce
sum: Any = numpy.add.reduce
prod: Any = numpy.multiply.reduce


def mean(x: Any, /, *, axis: Any, keepdims: bool) -> Any:
    """NumPy's own warns of empty input, and does not know that bfloat16 wants to be added in float32."""
    if x.itemsize == 2:
        return mean(x.astype(numpy.float32), axis=axis, keepdims=keepdims).astype(x.dtype)
    return numpy.divide(sum(x, axis=axis, keepdims=keepdims), _count(x, axis))


def var(x: Any, /, *, axis: Any, correction: float, keepdims: bool) -> Any:
    """The mean of the squared distances from the mean, with `correction` fewer elements counted."""
    wide = x.astype(numpy.float32) if x.itemsize == 2 else x
    squares = numpy.square(wide - mean(wide, axis=axis, keepdims=True))
    total, count = sum(squares, axis=axis, keepdims=keepdims), _count(x, axis) - correction
    return (total / numpy.asarray(count if count > 0 else 0, total.dtype)).astype(x.dtype, copy=False)


def std(x: Any, /, *, axis: Any, correction: float, keepdims: bool) -> Any:
    """The square root of `var`."""
    return numpy.sqrt(var(x, axis=axis, correction=correction, keepdims=keepdims))


def _count(x: Any, axis: Any) -> int:
    return x.size if axis is None else math.prod(x.shape[each] for each in axis)


def cumulative_sum(x: Any, /, *, axis: int, dtype: Any, include_initial: bool) -> Any:
    return _accumulated(numpy.add.accumulate(x, axis=axis, dtype=dtype), axis, 0 if include_initial else None)


def cumulative_prod(x: Any, /, *, axis: int, dtype: Any, include_initial: bool) -> Any:
    return _accumulated(numpy.multiply.accumulate(x, axis=axis, dtype=dtype), axis, 1 if include_initial else None)


def _accumulated(result: Any, axis: int, initial: int | None) -> Any:
    if initial is None:
        return result
    shape = (*result.shape[:axis], 1, *result.shape[axis + 1 :])
    return numpy.concatenate([numpy.full(shape, initial, result.dtype), result], axis=axis)


def matmul(x1: Any, x2: Any, /) -> Any:
    """NumPy multiplies matrices of bfloat16 into float32."""
    product = numpy.matmul(x1, x2)
    return product if product.dtype is x1.dtype else product.astype(x1.dtype, copy=False)


def reshape(x: Any, /, shape: Any, *, copy: bool | None = None) -> Any:
    return x.reshape(shape) if copy is None else numpy.reshape(x, shape, copy=copy)


def matrix_transpose(x: Any, /) -> Any:
    return x.swapaxes(-1, -2)


def broadcast_to(x: Any, /, shape: Any) -> Any:
    """NumPy's own takes four times as long for a number."""
    if x.shape or x.dtype.kind == "V":
        return numpy.broadcast_to(x, shape)
    result = numpy.ndarray(shape, x.dtype, x, 0, (0,) * len(shape))
    result.flags.writeable = False
    return result


# Special cases in which NumPy differs from the standard; the others pay for no more than a look at the values.


def floor_divide(x1: Any, x2: Any, /) -> Any:
    """Infinities divide as in `x1 / x2`, where NumPy has NaN for inf // 2 and -1 for 1 // -inf."""
    result = numpy.floor_divide(x1, x2)
    if result.dtype.kind == "f" and not (numpy.isfinite(x1).all() and numpy.isfinite(x2).all()):
        result = numpy.where(numpy.isinf(x1) | numpy.isinf(x2), numpy.floor(numpy.divide(x1, x2)), result)
    return result


def expm1(x: Any, /) -> Any:
    """Complex infinities, NaN and zeros have the parts that C99 gives to exp, less one."""
    result = numpy.expm1(x)
    if result.dtype.kind == "c":
        real, imaginary = numpy.real(x), numpy.imag(x)
        is_real, is_wild = imaginary == 0, ~numpy.isfinite(imaginary)
        result = numpy.where(is_real, _complex(numpy.expm1(real) + 0.0, imaginary), result)
        result = numpy.where(is_wild & (real == -numpy.inf), _complex(-1.0, 0.0, result.dtype), result)
        result = numpy.where(is_wild & (real == numpy.inf), _complex(numpy.inf, numpy.nan, result.dtype), result)
    return result


def _complex(real: Any, imaginary: Any, dtype: Any = None) -> Any:
    """A complex array of these parts; adding them would spoil infinities and signs of zero."""
    made = numpy.empty(numpy.shape(real), dtype or numpy.result_type(real, numpy.complex64))
    made.real, made.imag = real, imaginary
    return made


def sign(x: Any, /) -> Any:
    """Complex numbers on the unit circle, 0 at 0, and silent where that divides."""
    if x.dtype.kind != "c":
        return numpy.sign(x)
    magnitude = numpy.abs(x)
    return numpy.where(magnitude == 0, 0, x / numpy.where(magnitude == 0, 1, magnitude)).astype(x.dtype, copy=False)


def tanh(x: Any, /) -> Any:
    """At a complex infinity the imaginary part is a zero of the sign of the argument's."""
    result = numpy.tanh(x)
    if result.dtype.kind == "c":
        real, imaginary = numpy.real(x), numpy.imag(x)
        limit = _complex(numpy.copysign(1.0, real), numpy.copysign(0.0, imaginary), result.dtype)
        result = numpy.where(numpy.isinf(real) & numpy.isfinite(imaginary), limit, result)
    return result


def __getattr__(name: str) -> Any:
    return getattr(_compat, name)
