"""The standard's namespace for NumPy arrays: array_api_compat's, with the few differences that rustorch needs."""

import operator
from collections.abc import Callable
from typing import Any

import numpy
from array_api_compat import numpy as _compat

# NumPy's operators take a shorter way to the same loops: 30 ns less a call than the ufuncs.
add = operator.add
subtract = operator.sub
multiply = operator.mul

asarray = _compat.asarray
astype = _compat.astype
empty = _compat.empty


def from_host(array: Any, index: int) -> Any:
    """A copy, in C order."""
    return numpy.array(array, order="C")


def index_add(array: Any, key: Any, values: Any) -> None:
    """Add values into an array at a key in which places may repeat; the standard has no function for it."""
    numpy.add.at(array, key, values)


# Reductions straight from the ufuncs: NumPy's functions of these names take a microsecond more to do the same. Core
# always names the axis, whose default differs.
max: Any = numpy.maximum.reduce
min: Any = numpy.minimum.reduce
all: Any = numpy.logical_and.reduce
any: Any = numpy.logical_or.reduce


_add_reduce: Any = numpy.add.reduce
_multiply_reduce: Any = numpy.multiply.reduce


def sum(x: Any, /, *, axis: Any, keepdims: bool) -> Any:
    """Core has chosen the dtype to add in; NumPy would widen small integers once more."""
    return _add_reduce(x, axis=axis, dtype=x.dtype, keepdims=keepdims)


def prod(x: Any, /, *, axis: Any, keepdims: bool) -> Any:
    """As for `sum`."""
    return _multiply_reduce(x, axis=axis, dtype=x.dtype, keepdims=keepdims)


def reshape(x: Any, /, shape: Any, *, copy: bool | None = None) -> Any:
    return x.reshape(shape) if copy is None else numpy.reshape(x, shape, copy=copy)


def clip(x: Any, /, min: Any = None, max: Any = None) -> Any:
    """Spelled out, because NumPy's own does not take bfloat16."""
    result = x if min is None else numpy.maximum(x, min)
    result = result if max is None else numpy.minimum(result, max)
    return x.copy() if result is x else result


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
    if numpy.iscomplexobj(result):
        real, imaginary = numpy.real(x), numpy.imag(x)
        is_real, is_wild = imaginary == 0, ~numpy.isfinite(imaginary)
        result = numpy.where(is_real, _complex(numpy.expm1(real), imaginary), result)
        result = numpy.where(is_wild & (real == -numpy.inf), _complex(-1.0, 0.0, result.dtype), result)
        result = numpy.where(is_wild & (real == numpy.inf), _complex(numpy.inf, numpy.nan, result.dtype), result)
    return result


def _complex(real: Any, imaginary: Any, dtype: Any = None) -> Any:
    """A complex array of these parts; adding them would spoil infinities and signs of zero."""
    made = numpy.empty(numpy.shape(real), dtype or numpy.result_type(real, numpy.complex64))
    made.real, made.imag = real, imaginary
    return made


def _quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    """NaN and infinity are values here, not warnings.

    What ufuncs warn of is attributed to the frame that called them, which the filter in `rustorch_core` silences at no
    cost. These functions warn from frames of NumPy's own.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        with numpy.errstate(all="ignore"):
            return function(*args, **kwargs)

    call.__name__ = function.__name__
    return call


mean = _quiet(_compat.mean)
var = _quiet(_compat.var)
std = _quiet(_compat.std)
cumulative_sum = _quiet(_compat.cumulative_sum)
cumulative_prod = _quiet(_compat.cumulative_prod)


def __getattr__(name: str) -> Any:
    return getattr(_compat, name)
