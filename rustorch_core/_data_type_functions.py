"""Data type functions of the standard, and the info object of the namespace."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy

from rustorch_core import _data_types, _devices
from rustorch_core._data_types import CATEGORIES, as_dtype, promote_types
from rustorch_core._define import Prepared, attach, op, public_names
from rustorch_core._dispatch import check_tensor
from rustorch_core._tensor import Tensor
from rustorch_core.errors import DTypeError, OperandError


@op(
    "astype",
    "all",
    lambda g: g,
    native=lambda xp, x, native_dtype, copy: xp.astype(x, native_dtype, copy=copy),
    method=False,
)
def _astype(x: Tensor, /, dtype: Any, *, copy: bool = True) -> Prepared:
    return (x,), {"native_dtype": x.device.key(dtype).native_dtype, "copy": copy}


def astype(x: Tensor, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Tensor:
    """Convert the elements to another dtype, with their gradient (Array API: astype).

    Arguments:
        x: any tensor, or a NumPy array; complex to real takes `rustorch.real` instead.
        dtype: the dtype to convert to.
        copy: whether to copy even where the dtype stays.
        device: a device to move to as well.

    Raises:
        DTypeError: for complex to real, and for a dtype that the device lacks.
    """
    if hasattr(x, "__array_interface__"):
        from rustorch_core._creation_functions import asarray

        x = asarray(x, device=device)
    check_tensor("astype", x)
    target = as_dtype(dtype)
    if device is not None:
        x = x.to(device=device)
    if target is x.dtype and not copy:
        return x
    if x.dtype in CATEGORIES["complex floating-point"] and target not in CATEGORIES["complex floating-point"]:
        raise DTypeError(f"astype: {x.dtype} to {target} would drop the imaginary part; use rustorch.real(x) first")
    return _astype(x, target, copy=copy)


attach("astype", astype)


def can_cast(from_: Any, to: Any, /) -> bool:
    """Say whether a dtype, or that of a tensor, converts to another without loss of kind (Array API: can_cast)."""
    source = from_.dtype if isinstance(from_, Tensor) else as_dtype(from_)
    target = as_dtype(to)
    return bool(numpy.can_cast(source, target))


def result_type(*arrays_and_dtypes: Any) -> _data_types.DType:
    """Find the dtype that tensors, dtypes and Python numbers meet in (Array API: result_type).

    Raises:
        OperandError: where there is neither a tensor nor a dtype, nor a number.
    """
    scalars = [
        each
        for each in arrays_and_dtypes
        if isinstance(each, (bool, int, float, complex)) and not hasattr(each, "dtype")
    ]
    others = [
        as_dtype(each if isinstance(each, type) else getattr(each, "dtype", each))
        for each in arrays_and_dtypes
        if not any(each is s for s in scalars)
    ]
    if not others:
        if not scalars:
            raise OperandError("result_type: expected at least one tensor or dtype")
        others = [_data_types.scalar_dtype(scalars[0])]
    result = others[0]
    for each in others[1:]:
        result = promote_types(result, each)
    for scalar in scalars:
        result = _data_types.with_scalar(result, scalar)
    return result


class FloatInfo(NamedTuple):
    """Machine limits of a floating-point dtype, as Python numbers."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: _data_types.DType


class IntegerInfo(NamedTuple):
    """Machine limits of an integer dtype, as Python numbers."""

    bits: int
    max: int
    min: int
    dtype: _data_types.DType


def finfo(type: Any, /) -> FloatInfo:
    """Tell the machine limits of a floating-point dtype (Array API: finfo)."""
    dtype = type.dtype if isinstance(type, Tensor) else as_dtype(type)
    if not _data_types.is_floating(dtype):
        raise DTypeError(f"finfo: {dtype} is not a floating-point dtype; use iinfo")
    if dtype.name == "bfloat16":
        import ml_dtypes

        info = ml_dtypes.finfo(dtype)
    else:
        info = numpy.finfo(dtype)
    real = _data_types.real_of(dtype)
    return FloatInfo(info.bits, float(info.eps), float(info.max), float(info.min), float(info.smallest_normal), real)


def iinfo(type: Any, /) -> IntegerInfo:
    """Tell the machine limits of an integer dtype (Array API: iinfo)."""
    dtype = type.dtype if isinstance(type, Tensor) else as_dtype(type)
    if dtype not in CATEGORIES["integer"]:
        raise DTypeError(f"iinfo: {dtype} is not an integer dtype; use finfo")
    info = numpy.iinfo(dtype)
    return IntegerInfo(info.bits, int(info.max), int(info.min), dtype)


class ArrayNamespaceInfo:
    """What the namespace can do, in the standard's form (Array API: inspection)."""

    def capabilities(self) -> dict[str, Any]:
        """Data-dependent shapes and boolean indexing are there; the number of axes is NumPy's."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> _devices.Device:
        """The device of tensors made without naming one."""
        return _devices.default_device()

    def devices(self) -> tuple[_devices.Device, ...]:
        """Every device that can be used."""
        return tuple(_devices.devices())

    def default_dtypes(self, *, device: Any = None) -> dict[str, _data_types.DType]:
        """The dtypes that Python numbers become."""
        defaults = _data_types.Defaults
        return {
            "real floating": defaults.floating,
            "complex floating": defaults.complex_floating(),
            "integral": defaults.integer,
            "indexing": defaults.integer,
        }

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, _data_types.DType]:
        """The standard's dtypes that a device offers, by name; of a kind, as in `isdtype`, if one is named."""
        chosen = _devices.device(device)
        beyond_the_standard = ("float16", "bfloat16")
        return {
            name: dtype
            for name, dtype in _data_types.DTYPES.items()
            if name not in beyond_the_standard
            and chosen.supports(dtype)
            and (kind is None or _data_types.isdtype(dtype, kind))
        }


def __array_namespace_info__() -> ArrayNamespaceInfo:  # noqa: N807  the standard's name
    """Tell what the namespace can do (Array API: inspection)."""
    return ArrayNamespaceInfo()


__all__ = public_names(vars())
