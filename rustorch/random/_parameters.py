"""What a distribution is called with: read, checked and broadcast before anything is drawn."""

from __future__ import annotations

import functools
import operator
import reprlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy

from rustorch_core import _devices, _graph
from rustorch_core._axes import as_shape
from rustorch_core._data_types import CATEGORIES, Defaults, DType, as_dtype, float64, promote_types
from rustorch_core._devices import Device
from rustorch_core._tensor import Tensor, from_host, same_device
from rustorch_core.errors import (
    ArgumentError,
    DTypeError,
    GradientError,
    OperandError,
    ShapeError,
)

_Array = numpy.ndarray[Any, Any]


class _Domain(NamedTuple):
    """What a parameter may be: in words, and for arrays."""

    words: str
    holds: Callable[[_Array], Any]
    is_integer: bool = False


_NUMBER = _Domain("a number", lambda x: x == x)
_FINITE = _Domain("finite", numpy.isfinite)
_NOT_NEGATIVE = _Domain("finite and at least 0", lambda x: numpy.isfinite(x) & (x >= 0))
_POSITIVE = _Domain("finite and above 0", lambda x: numpy.isfinite(x) & (x > 0))
_PROBABILITY = _Domain("from 0 to 1", lambda x: (x >= 0) & (x <= 1))
_LOGITS = _Domain("finite or -inf", lambda x: x < numpy.inf)
_INTEGER = _Domain("an integer", lambda x: True, is_integer=True)
_COUNT = _Domain("from 0 to 2**63 - 1", lambda x: (x >= 0) & (x < 2**63), is_integer=True)

#: How a draw of which a gradient is wanted is written, as a function of one that has no parameters.
_REPARAMETERISED = {
    "uniform": "low + (high - low) * uniform(shape=...)",
    "normal": "mean + std * normal(shape=...)",
    "lognormal": "exp(mean + std * normal(shape=...))",
    "laplace": "location + scale * laplace(shape=...)",
    "gumbel": "location + scale * gumbel(shape=...)",
    "exponential": "scale * exponential(shape=...)",
}


class _Call:
    """One call of a distribution, read and checked before anything is drawn."""

    def __init__(
        self,
        name: str,
        shape: Any,
        dtype: Any,
        device: Any,
        category: str = "real floating-point",
        has_categories: bool = False,
        **parameters: tuple[Any, _Domain],
    ) -> None:
        self.name = name
        self.values = [_read(name, parameter, *given) for parameter, given in parameters.items()]
        self._names = list(parameters)
        tensors = [given for given, _ in parameters.values() if isinstance(given, Tensor)]
        shapes = [value.shape for value in self.values]
        if has_categories:
            shapes[0] = _without_categories(name, self._names[0], shapes[0])
        self.shape = _result_shape(name, shape, dict(zip(self._names, shapes, strict=True)))
        self.dtype = _result_dtype(name, dtype, category, tensors)
        self.device: Device = (
            _devices.device(device) if device is not None or not tensors else same_device(name, *tensors)
        )
        self.device.key(self.dtype)  # raises where the device has no such dtype

    def met(self) -> str:
        """The parameters in words."""
        return ", ".join(
            f"{name}={reprlib.repr(value.tolist())}" for name, value in zip(self._names, self.values, strict=True)
        )

    def tensor(self, values: _Array) -> Tensor:
        """What was drawn, in the dtype and on the device that were asked for."""
        if values.size and values.dtype != self.dtype:
            self.check_holds(values.max())
        return from_host(values.astype(self.dtype, copy=False), self.device)

    def check_holds(self, highest: Any) -> None:
        """Raise ArgumentError where the dtype is an integer one that ends below a number."""
        if self.dtype in CATEGORIES["integer"] and highest > numpy.iinfo(self.dtype).max:
            raise ArgumentError(f"{self.name}: {highest} is beyond {self.dtype}; choose a wider dtype")

    def check_order(self, lower: str, upper: str) -> None:
        """Raise ArgumentError where one parameter is above another."""
        low, high = (self.values[self._names.index(name)] for name in (lower, upper))
        pair = _first_pair(low, high, low > high)
        if pair:
            raise ArgumentError(f"{self.name}: {lower} is at most {upper}, met {pair[0]} and {pair[1]}")

    def rounded_inward(self, low: _Array, high: _Array, last: _Array) -> tuple[_Array, _Array]:
        """The least and the greatest number of the dtype from low to last, as float64; both are low where that is high.

        What is cut to these bounds stays within them when it is rounded to the dtype.

        Raises:
            ArgumentError: where the dtype has no number there, or ends before a finite bound.
        """
        if low.ndim == high.ndim == 0:
            return _numbers_rounded_inward(self.name, self.dtype, float(low), float(high), float(last))
        return _rounded_inward(self.name, self.dtype, low, high, last)


def _rounded_inward(name: str, dtype: DType, low: _Array, high: _Array, last: _Array) -> tuple[_Array, _Array]:
    infinity = numpy.asarray(numpy.inf).astype(dtype)
    with numpy.errstate(over="ignore"):
        least, greatest = low.astype(dtype), last.astype(dtype)
    for bound, rounded in ((low, least), (high, greatest)):
        beyond = bound[numpy.isfinite(bound) & ~numpy.isfinite(rounded.astype(float64))]
        if beyond.size:
            raise ArgumentError(f"{name}: a bound of {beyond.flat[0]} is beyond {dtype}")
    least = numpy.where(least.astype(float64) < low, numpy.nextafter(least, infinity), least).astype(float64)
    greatest = numpy.where(greatest.astype(float64) > last, numpy.nextafter(greatest, -infinity), greatest)
    is_one_number = low == high
    least = numpy.where(is_one_number, low, least)
    greatest = numpy.where(is_one_number, low, greatest.astype(float64))
    pair = _first_pair(low, high, least > greatest)
    if pair:
        raise ArgumentError(f"{name}: {dtype} has no number between {pair[0]} and {pair[1]}")
    return least, greatest


@functools.lru_cache
def _numbers_rounded_inward(name: str, dtype: DType, low: float, high: float, last: float) -> tuple[_Array, _Array]:
    """The same for numbers, which a program mostly draws between again and again."""
    return _rounded_inward(name, dtype, numpy.asarray(low), numpy.asarray(high), numpy.asarray(last))


def _read(name: str, parameter: str, value: Any, domain: _Domain) -> _Array:
    """A parameter's values on the host: integers as they are, all others in float64.

    Raises:
        GradientError: where a gradient is wanted of it.
        OperandError, DTypeError: for no numbers, or numbers of another kind.
        ArgumentError: for numbers outside the domain.
    """
    if type(value) is (int if domain.is_integer else float) and domain.holds(value):
        return numpy.asarray(value)
    if isinstance(value, Tensor):
        _check_no_gradient(name, parameter, value)
        host = value.device.to_host(value._array)
    else:
        host = _number_or_array(name, parameter, value, domain)
    kinds = CATEGORIES["integer"] if domain.is_integer else CATEGORIES["real-valued"] | CATEGORIES["boolean"]
    if host.dtype.newbyteorder("=") not in kinds and not (domain.is_integer and isinstance(value, int)):
        error = DTypeError if isinstance(value, Tensor) else OperandError
        raise error(f"{name}: {parameter} is {_kind(domain)}, or a tensor of such, met {reprlib.repr(value)}")
    values = host if domain.is_integer else host.astype(float64, copy=False)
    outside = values[~numpy.asarray(domain.holds(values), dtype=bool)]
    if outside.size:
        raise ArgumentError(f"{name}: {parameter} is {domain.words}, met {outside.flat[0]}")
    return values


def _number_or_array(name: str, parameter: str, value: Any, domain: _Domain) -> _Array:
    try:
        if not isinstance(value, (list, tuple, numpy.ndarray)):
            value = operator.index(value) if domain.is_integer else float(value) if isinstance(value, int) else value
        return numpy.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        message = f"{name}: {parameter} is {_kind(domain)}, or a tensor of such, met {reprlib.repr(value)}"
        raise OperandError(message) from error


def _kind(domain: _Domain) -> str:
    return "an integer" if domain.is_integer else "a real number"


def _check_no_gradient(name: str, parameter: str, value: Tensor) -> None:
    if value.requires_grad and _graph.recording():
        written = _REPARAMETERISED.get(name)
        instead = f"write {written}, or pass" if written else "pass"
        raise GradientError(
            f"{name}: {parameter} requires a gradient, and a draw has none; {instead} {parameter}.detach()"
        )


def _one_integer(name: str, parameter: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise OperandError(f"{name}: {parameter} is an integer, met {value!r}") from None


def _first_pair(first: _Array, second: _Array, is_wrong: Any) -> tuple[Any, Any] | None:
    """The first two elements that met where something is wrong."""
    if not is_wrong.any():
        return None
    first, second, is_wrong = numpy.broadcast_arrays(first, second, numpy.asarray(is_wrong, dtype=bool))
    return first[is_wrong].flat[0], second[is_wrong].flat[0]


def _without_categories(name: str, parameter: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if not shape or shape[-1] == 0:
        raise ShapeError(f"{name}: {parameter} is of shape (..., categories), met {shape}")
    return shape[:-1]


def _result_shape(name: str, shape: Any, given: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The shape that was asked for, else that of the parameters together."""
    together: tuple[int, ...] = ()
    if any(given.values()):
        met = " and ".join(f"{parameter} of shape {each}" for parameter, each in given.items())
        try:
            together = numpy.broadcast_shapes(*given.values())
        except ValueError:
            raise ShapeError(f"{name}: {met} cannot be broadcast together") from None
    if shape is None:
        return together
    lengths = as_shape(name, shape)
    if any(length < 0 for length in lengths):
        raise ArgumentError(f"{name}: a length is at least 0, met shape {lengths}")
    if not together:
        return lengths
    try:
        fits = numpy.broadcast_shapes(together, lengths) == lengths
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"{name}: {met} cannot be broadcast to shape {lengths}")
    return lengths


def _result_dtype(name: str, dtype: Any, category: str, tensors: list[Tensor]) -> DType:
    """The dtype that was asked for, if it can hold what is drawn, else the default one."""
    if dtype is not None:
        wanted = as_dtype(dtype)
        if wanted not in CATEGORIES[category]:
            expected = ", ".join(sorted(each.name for each in CATEGORIES[category]))
            raise DTypeError(f"{name}: {wanted} cannot hold what is drawn; choose one of {expected}")
        return wanted
    if category != "real floating-point":
        return Defaults.boolean if category == "all" else Defaults.integer
    floating = [tensor.dtype for tensor in tensors if tensor.dtype in CATEGORIES[category]]
    return functools.reduce(promote_types, floating) if floating else Defaults.floating
