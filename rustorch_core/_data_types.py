"""The dtypes, the standard's categories of them, and how they promote."""

from __future__ import annotations

from functools import cache
from typing import Any

import ml_dtypes
import numpy

from rustorch_core.errors import ArgumentError, DTypeError

DType = numpy.dtype[Any]

bool_: DType = numpy.dtype(numpy.bool_)
int8: DType = numpy.dtype(numpy.int8)
int16: DType = numpy.dtype(numpy.int16)
int32: DType = numpy.dtype(numpy.int32)
int64: DType = numpy.dtype(numpy.int64)
uint8: DType = numpy.dtype(numpy.uint8)
uint16: DType = numpy.dtype(numpy.uint16)
uint32: DType = numpy.dtype(numpy.uint32)
uint64: DType = numpy.dtype(numpy.uint64)
float16: DType = numpy.dtype(numpy.float16)
bfloat16: DType = numpy.dtype(ml_dtypes.bfloat16)
float32: DType = numpy.dtype(numpy.float32)
float64: DType = numpy.dtype(numpy.float64)
complex64: DType = numpy.dtype(numpy.complex64)
complex128: DType = numpy.dtype(numpy.complex128)

_BOOLEAN: frozenset[DType] = frozenset({bool_})
_SIGNED: frozenset[DType] = frozenset({int8, int16, int32, int64})
_UNSIGNED: frozenset[DType] = frozenset({uint8, uint16, uint32, uint64})
_INTEGER = _SIGNED | _UNSIGNED
_REAL: frozenset[DType] = frozenset({float16, bfloat16, float32, float64})
_COMPLEX: frozenset[DType] = frozenset({complex64, complex128})

#: Every dtype by name.
DTYPES: dict[str, DType] = {dtype.name: dtype for dtype in vars().copy().values() if isinstance(dtype, numpy.dtype)}

#: What an op states about the dtypes it is defined for, in the standard's words.
CATEGORIES: dict[str, frozenset[DType]] = {
    "boolean": _BOOLEAN,
    "integer": _INTEGER,
    "integer or boolean": _BOOLEAN | _INTEGER,
    "real floating-point": _REAL,
    "complex floating-point": _COMPLEX,
    "floating-point": _REAL | _COMPLEX,
    # What LAPACK computes in, and so every device's linear algebra: the standard itself has no half precision.
    "single or double floating-point": frozenset({float32, float64, complex64, complex128}),
    "real-valued": _INTEGER | _REAL,
    "numeric": _INTEGER | _REAL | _COMPLEX,
    "all": _BOOLEAN | _INTEGER | _REAL | _COMPLEX,
}

#: The words that `isdtype` takes.
KINDS: dict[str, frozenset[DType]] = {
    "bool": _BOOLEAN,
    "signed integer": _SIGNED,
    "unsigned integer": _UNSIGNED,
    "integral": _INTEGER,
    "real floating": _REAL,
    "complex floating": _COMPLEX,
    "numeric": CATEGORIES["numeric"],
}

_COMPLEX_OF: dict[DType, DType] = {float16: complex64, bfloat16: complex64, float32: complex64, float64: complex128}
_REAL_OF: dict[DType, DType] = {complex64: float32, complex128: float64}


class Defaults:
    """The dtypes of what is made from Python numbers alone."""

    boolean: DType = bool_
    integer: DType = int64
    floating: DType = float32

    @classmethod
    def complex_floating(cls) -> DType:
        return complex_of(cls.floating)


def set_default_dtype(dtype: Any) -> None:
    """Set the dtype that Python floats become (PyTorch's function of that name).

    Arguments:
        dtype: float32 or float64; the default complex dtype follows.

    Raises:
        DTypeError: for any other dtype.
    """
    chosen = as_dtype(dtype)
    if chosen not in (float32, float64):
        raise DTypeError(f"set_default_dtype: {chosen} cannot be the default; choose float32 or float64")
    from rustorch_core._dispatch import _unbind

    Defaults.floating = chosen
    promote_types.cache_clear()
    _unbind()  # integers enter a floating-point function in the dtype that was the default when it was bound


def as_dtype(dtype: Any) -> DType:
    """The dtype object for a dtype, its name, or a type of numbers: NumPy's, or Python's in double precision."""
    if isinstance(dtype, numpy.dtype) and dtype in CATEGORIES["all"]:
        return DTYPES[dtype.name]
    if isinstance(dtype, str) and dtype in DTYPES:
        return DTYPES[dtype]
    found: DType | None
    try:
        found = None if dtype is None else numpy.dtype(dtype).newbyteorder("=")
    except (TypeError, ValueError):
        found = None
    if found is None or found not in CATEGORIES["all"]:
        raise DTypeError(f"{dtype!r} is not a dtype of rustorch; there are: {', '.join(DTYPES)}")
    return DTYPES[found.name]


def scalar_dtype(scalar: complex) -> DType:
    """The default dtype of a Python bool, int, float or complex."""
    if isinstance(scalar, bool):
        return Defaults.boolean
    if isinstance(scalar, int):
        return Defaults.integer
    return Defaults.floating if isinstance(scalar, float) else Defaults.complex_floating()


def complex_of(dtype: DType) -> DType:
    """The complex dtype whose parts have this real floating-point dtype's precision."""
    return _COMPLEX_OF.get(dtype, dtype)


def real_of(dtype: DType) -> DType:
    """The dtype of the real part of a dtype."""
    return _REAL_OF.get(dtype, dtype)


def is_floating(dtype: DType) -> bool:
    """Whether a dtype is real or complex floating-point: whether a gradient can flow through it."""
    return dtype in CATEGORIES["floating-point"]


@cache
def promote_types(first: DType, second: DType) -> DType:
    """The dtype that two arrays meet in.

    Within a kind, and where the standard speaks, its table. Where it leaves the answer open, a floating-point array
    keeps its dtype beside an integer one, as in PyTorch and JAX: float32 with int64 is float32; float16 and bfloat16
    meet in float32.
    """
    if {first, second} == {float16, bfloat16}:
        return float32
    for one, other in ((first, second), (second, first)):
        if is_floating(one) and other in CATEGORIES["integer or boolean"]:
            return one
    return as_dtype(numpy.promote_types(first, second))


def with_scalar(dtype: DType, scalar: complex) -> DType:
    """The dtype that an array of this dtype and a Python scalar meet in; the scalar never widens a kind it fits in."""
    if isinstance(scalar, bool):
        return dtype
    if isinstance(scalar, int):
        return Defaults.integer if dtype in CATEGORIES["boolean"] else dtype
    if not is_floating(dtype):
        return scalar_dtype(scalar)
    return complex_of(dtype) if isinstance(scalar, complex) and not isinstance(scalar, float) else dtype


def isdtype(dtype: Any, kind: Any) -> bool:
    """Say whether a dtype is of a kind (Array API: isdtype).

    Arguments:
        dtype: a dtype.
        kind: a dtype, one of "bool", "signed integer", "unsigned integer", "integral", "real floating",
            "complex floating", "numeric", or a tuple of these, of which one must hold.

    Raises:
        ArgumentError: for a kind that the standard does not name.
    """
    dtype = as_dtype(dtype)
    if isinstance(kind, tuple):
        return any(isdtype(dtype, one) for one in kind)
    if isinstance(kind, str) and kind in KINDS:
        return dtype in KINDS[kind]
    if isinstance(kind, str) and kind not in DTYPES:
        raise ArgumentError(f"isdtype: {kind!r} is no kind; there are: {', '.join(KINDS)}")
    return bool(dtype == as_dtype(kind))
