"""Exchange by DLPack: memory lent to other libraries, and taken over from them, without a copy where it allows that."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy

from rustorch_core import _devices
from rustorch_core._data_types import bfloat16
from rustorch_core._memory import exported
from rustorch_core._tensor import Tensor, wrap
from rustorch_core.errors import ExportError, RusTorchError

_HOST = (1, 0)
#: DLPack's numbers of devices whose memory the host reads as its own: the host's, and what CUDA and ROCm pin there.
_HOST_KINDS = (1, 3, 11)
#: DLPack's numbers of kinds of elements.
_UNSIGNED, _BFLOAT = 1, 4


class _DLTensor(ctypes.Structure):
    """The head of DLPack's description of an array."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", ctypes.c_int32 * 2),
        ("ndim", ctypes.c_int32),
        ("kind", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
    )


class _Versioned(ctypes.Structure):
    """What stands around the description since DLPack 1.0; until then it stood first."""

    _fields_ = (
        ("version", ctypes.c_uint32 * 2),
        ("manager_ctx", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("dl_tensor", _DLTensor),
    )


_python = ctypes.pythonapi
_name_of = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", _python))
_pointer_in = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", _python))


def _description(capsule: Any) -> _DLTensor:
    """The description in a capsule that nobody has taken yet."""
    name = _name_of(capsule)
    place = _pointer_in(capsule, name)
    if name == b"dltensor_versioned":
        return _Versioned.from_address(place).dl_tensor  # type: ignore[no-any-return]
    return _DLTensor.from_address(place)


# To other libraries


def capsule(x: Tensor, *, stream: Any, max_version: Any, dl_device: Any, copy: bool | None) -> Any:
    """What `__dlpack__` returns: a description of the tensor's memory, or of a copy where the reader needs one.

    Raises:
        ExportError: where `copy=False` and a copy is needed, or the device cannot do what is asked for.
    """
    options = {"stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy}
    try:
        obstacle = _obstacle(x, max_version, dl_device)
        if obstacle and copy is False:
            raise ExportError(f"copy=False, but {obstacle}; allow a copy, or make one with .clone()")
        if not obstacle:
            array = x._array if copy else exported(x)
        elif x.device.shares_host_memory:
            array, options["copy"] = x._array, True
        else:
            array, options = numpy.array(x.device.to_host(x._array)), {"max_version": max_version}
        return _native_capsule(array, {name: value for name, value in options.items() if value is not None})
    except Exception as error:  # natives raise what they like
        raise ExportError(f"__dlpack__: {x.dtype} on {x.device} cannot be exported: {error}") from error


def _obstacle(x: Tensor, max_version: Any, dl_device: Any) -> str:
    """Why the reader cannot have the memory itself, or nothing."""
    if not x.device.shares_host_memory:
        is_elsewhere = dl_device is not None and tuple(dl_device) == _HOST != x.__dlpack_device__()
        return "the host cannot read the memory" if is_elsewhere else ""
    if x.size and any(stride < 0 for stride in x._array.strides):
        return "strides are negative, at which PyTorch ends the process"
    if not x._array.flags.writeable and (max_version is None or tuple(max_version) < (1, 0)):
        return "the memory is read-only, of which DLPack before 1.0 cannot tell"
    return ""


def _native_capsule(array: Any, options: dict[str, Any]) -> Any:
    """A native array's own capsule; NumPy cannot name bfloat16, so there it is named afterwards."""
    if not isinstance(array, numpy.ndarray) or array.dtype != bfloat16:
        return array.__dlpack__(**options)
    made = array.view(numpy.uint16).__dlpack__(**options)
    _description(made).kind = _BFLOAT
    return made


# From other libraries


def taken_over(x: Any, copy: bool | None) -> Tensor:
    """A tensor of another library's array, on the device where that is; its memory, unless a copy is asked for.

    Arguments:
        x: anything with `__dlpack__`.
        copy: True always copies; False never does, and raises where it would be needed.

    Raises:
        ExportError: where the other library does not let go of it, or no device here can take it.
    """
    try:
        kind, index = x.__dlpack_device__()
        if kind in _HOST_KINDS:
            return wrap(_host_array(x, copy), _devices.device("cpu"))
        return _on_its_device(x, (int(kind), int(index)), copy)
    except RusTorchError:
        raise
    except Exception as error:  # what strangers raise
        raise ExportError(f"from_dlpack: {type(x).__name__} cannot be taken over: {error}") from error


def _host_array(x: Any, copy: bool | None) -> Any:
    if copy:
        return _host_array(x, None).copy()
    options: Any = {} if copy is None else {"copy": copy}
    try:
        return numpy.from_dlpack(x, **options)
    except (BufferError, RuntimeError):
        renamed = _Renamed(x)
        array = numpy.from_dlpack(renamed, **options)
        return array.view(bfloat16)


class _Renamed:
    """An array of bfloat16 as one of unsigned integers, which NumPy can take over."""

    def __init__(self, x: Any) -> None:
        self._x = x

    def __dlpack_device__(self) -> Any:
        return self._x.__dlpack_device__()

    def __dlpack__(self, **options: Any) -> Any:
        capsule = self._x.__dlpack__(**options)
        description = _description(capsule)
        if (description.kind, description.bits) != (_BFLOAT, 16):
            raise BufferError(f"rustorch has no dtype for DLPack's kind {description.kind} of {description.bits} bits")
        description.kind = _UNSIGNED
        return capsule


def _on_its_device(x: Any, place: tuple[int, int], copy: bool | None) -> Tensor:
    """The tensor on the one device here that is DLPack's device of this kind and index."""
    for device in _devices.devices():
        if not device.shares_host_memory:
            one = device.from_host(numpy.zeros(1, numpy.float32))
            if tuple(map(int, one.__dlpack_device__())) == place:
                options = {} if copy is None else {"copy": copy}
                return wrap(device.namespace.from_dlpack(x, **options), device)
    raise ExportError(f"it is on DLPack's device {place}, which no device here is; copy it to the host first")
