"""The two devices: array_api_strict's namespace, its arrays made a little stricter."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

import array_api_strict
import numpy

from rustorch_core import _numpy_namespace
from rustorch_core.plugin import Backend

array_api_strict.set_array_api_strict_flags(api_version="2025.12")
_Array = type(array_api_strict.zeros(()))

#: What the arrays have for their users' comfort; data leave by DLPack alone.
_BEYOND_THE_STANDARD = ("__array__", "__buffer__", "__iter__")
_OPERATORS = (
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "matmul",
    "and",
    "or",
    "xor",
    "lshift",
    "rshift",
)
_WRITING = ("__setitem__", *(f"__i{operator}__" for operator in _OPERATORS))


def strict() -> Backend:
    """Arrays that can be written."""
    return Backend(namespace=_Namespace(array_api_strict, _adopting("StrictArray", _BEYOND_THE_STANDARD)))


def frozen() -> Backend:
    """Arrays that cannot be written, neither by themselves nor by what the host sees of them."""
    adopt = _adopting("FrozenArray", (*_BEYOND_THE_STANDARD, *_WRITING))
    return Backend(namespace=_Namespace(array_api_strict, adopt), to_host=_read_only, writable=False)


def _read_only(native: Any) -> numpy.ndarray[Any, Any]:
    host = numpy.from_dlpack(native)
    host.flags.writeable = False
    return host


Adopt = Callable[[Any], None]


def _adopting(name: str, refused: tuple[str, ...]) -> Adopt:
    """What makes an array one of a class of that name, which lacks some methods."""
    array_class = type(name, (_Array,), {"__slots__": ()})

    def adopt(array: Any) -> None:
        array.__class__ = array_class

    for each, method in vars(_Array).items():
        if isinstance(method, FunctionType) and each.startswith("__"):
            setattr(array_class, each, _returning(adopt, method))
    for each in refused:
        setattr(array_class, each, _refusing(each))
    return adopt


def _returning(adopt: Adopt, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose results are adopted, and that is silent: NaN and infinity are values to the standard."""

    @functools.wraps(function)
    def returning(*args: Any, **kwargs: Any) -> Any:
        with numpy.errstate(all="ignore"):
            result = function(*args, **kwargs)
        for each in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(each, _Array):
                adopt(each)
        return result

    return returning


def _refusing(method: str) -> Callable[..., Any]:
    def refusing(array: Any, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"{type(array).__name__} has no {method}")

    return refusing


def _reshape(x: Any, /, shape: tuple[int, ...], *, copy: bool | None = None) -> Any:
    """array_api_strict 2.6 raises AttributeError where a copy is needed, and where there is no element to share."""
    try:
        return array_api_strict.reshape(x, shape, copy=None if 0 in x.shape else copy)
    except AttributeError as error:
        raise ValueError(str(error)) from error


def _as_on_cpu(name: str) -> Callable[..., Any]:
    """A function of rustorch's own NumPy device, which corrects what array_api_strict passes on."""
    function = getattr(_numpy_namespace, name)

    def corrected(*arrays: Any, **attributes: Any) -> Any:
        values = function(*[getattr(array, "_array", array) for array in arrays], **attributes)
        return _Array._new(values, device=None)

    return corrected


def _strictly_as_on_cpu(name: str) -> Callable[..., Any]:
    """The same, for those arguments only that array_api_strict takes."""
    strictly, corrected = getattr(array_api_strict, name), _as_on_cpu(name)

    def checked(*arrays: Any) -> Any:
        strictly(*arrays)
        return corrected(*arrays)

    return checked


#: Where array_api_strict 2.6 departs from the standard: special cases that are NumPy's, and warnings of empty slices.
_CORRECTED = {
    "reshape": _reshape,
    **{name: _strictly_as_on_cpu(name) for name in ("expm1", "floor_divide", "sign", "tanh")},
    **{name: _as_on_cpu(name) for name in ("mean", "std", "var")},
}


class _Namespace:
    """A module of array_api_strict whose functions return adopted arrays."""

    def __init__(self, module: ModuleType, adopt: Adopt) -> None:
        self._module = module
        self._adopt = adopt

    def __getattr__(self, name: str) -> Any:
        value = _CORRECTED.get(name) or getattr(self._module, name)
        if isinstance(value, ModuleType):
            value = _Namespace(value, self._adopt)
        elif isinstance(value, FunctionType):
            value = _returning(self._adopt, value)
        setattr(self, name, value)
        return value
